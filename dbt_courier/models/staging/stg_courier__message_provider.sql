{{ config(enabled=courier.has_table('message_provider')) }}

{%- call courier.union_connections('message_provider') %}
    src.message_id,
    src.position,
    src.provider,
    src.status,
    {{ courier.utc('src.sent') }} as sent_at,
    {{ courier.utc('src.delivered') }} as delivered_at,
    {{ courier.utc('src.opened') }} as opened_at,
    {{ courier.utc('src.clicked') }} as clicked_at,
    src.error,
    src.channel_key,
    src.channel_name,
    src.channel_template,
    src.additional_fields
{%- endcall %}
