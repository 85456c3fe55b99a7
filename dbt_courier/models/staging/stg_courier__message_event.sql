{{ config(enabled=courier.has_table('message_event')) }}

{%- call courier.union_connections('message_event') %}
    src.message_id,
    src.position,
    src.type as event_type,
    {{ courier.utc('src.ts') }} as occurred_at,
    src.channel_id,
    src.channel_label,
    src.integration_id,
    src.integration_provider as provider,
    src.output,
    src.event_id,
    src.notification_id as template_id,
    src.reason,
    src.reason_code,
    src.error_message,
    src.additional_fields
{%- endcall %}
