{{ config(enabled=courier.has_table('message')) }}

{%- call courier.union_connections('message') %}
    src.id as message_id,
    src.status,
    {{ courier.utc('src.enqueued') }} as enqueued_at,
    {{ courier.utc('src.sent') }} as sent_at,
    {{ courier.utc('src.delivered') }} as delivered_at,
    {{ courier.utc('src.opened') }} as opened_at,
    {{ courier.utc('src.clicked') }} as clicked_at,
    {{ courier.utc('src.canceled_at') }} as canceled_at,
    src.recipient,
    src.recipient_id,
    src.event,
    src.notification as template_id,
    src.error,
    src.reason,
    src.reason_code,
    src.reason_details,
    src.list_id,
    src.list_message_id,
    src.idempotency_key,
    src.run_id,
    src.job_id,
    src.additional_fields
{%- endcall %}
