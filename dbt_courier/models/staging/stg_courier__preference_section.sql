{{ config(enabled=courier.has_table('preference_section')) }}

{%- call courier.union_connections('preference_section') %}
    src.id as section_id,
    src.name as section_name,
    src.description,
    src.has_custom_routing,
    src.routing_options,
    {{ courier.utc('src.created') }} as created_at,
    src.creator as created_by,
    {{ courier.utc('src.updated') }} as updated_at,
    src.updater as updated_by,
    src.additional_fields
{%- endcall %}
