{{ config(enabled=courier.has_table('list')) }}

{%- call courier.union_connections('list') %}
    src.id as list_id,
    src.name as list_name,
    {{ courier.utc('src.created') }} as created_at,
    {{ courier.utc('src.updated') }} as updated_at,
    src.preferences,
    src.additional_fields
{%- endcall %}
