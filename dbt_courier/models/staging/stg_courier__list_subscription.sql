{{ config(enabled=courier.has_table('list_subscription')) }}

{%- call courier.union_connections('list_subscription') %}
    src.list_id,
    src.recipient_id,
    {{ courier.utc('src.created') }} as subscribed_at,
    src.preferences,
    src.additional_fields
{%- endcall %}
