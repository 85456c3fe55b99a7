{{ config(enabled=courier.has_table('audience')) }}

{%- call courier.union_connections('audience') %}
    src.id as audience_id,
    src.name as audience_name,
    src.description,
    {{ courier.utc('src.created_at') }} as created_at,
    {{ courier.utc('src.updated_at') }} as updated_at,
    src.operator,
    src.filter,
    src.additional_fields
{%- endcall %}
