{{ config(enabled=courier.has_table('audit_event')) }}

{%- call courier.union_connections('audit_event') %}
    src.audit_event_id,
    {{ courier.utc('src.timestamp') }} as occurred_at,
    src.type as event_type,
    src.source,
    src.actor_id,
    src.actor_email,
    src.target,
    src.target_id,
    src.target_email,
    src.workspace_id,
    src.additional_fields
{%- endcall %}
