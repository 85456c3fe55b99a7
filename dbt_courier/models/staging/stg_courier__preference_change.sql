{{ config(enabled=courier.has_table('preference_change')) }}

{%- call courier.union_connections('preference_change') %}
    src.id as preference_change_id,
    src.user_id,
    src.topic_id,
    src.topic_name,
    src.status,
    src.has_custom_routing,
    src.custom_routing,
    {{ courier.utc('src.timestamp') }} as changed_at,
    src.tenant_id,
    src.previous_status,
    src.previous_has_custom_routing,
    src.previous_custom_routing,
    src.additional_fields
{%- endcall %}
