{{ config(enabled=courier.has_table('tenant')) }}

{%- call courier.union_connections('tenant') %}
    src.id as tenant_id,
    src.name as tenant_name,
    src.parent_tenant_id,
    src.brand_id,
    src.default_preferences_items,
    src.properties,
    src.user_profile,
    src.additional_fields
{%- endcall %}
