{{ config(enabled=courier.has_table('notification_metric')) }}

{%- call courier.union_connections('notification_metric') %}
    src.notification_id as template_id,
    src.granularity,
    {{ courier.utc('src.period') }} as period_start_at,
    src.provider,
    src.channel,
    src.sent as number_of_sends,
    src.delivered as number_of_deliveries,
    src.opened as number_of_opens,
    src.clicked as number_of_clicks,
    src.errors as number_of_errors,
    src.undeliverable as number_of_undeliverable,
    src.additional_fields
{%- endcall %}
