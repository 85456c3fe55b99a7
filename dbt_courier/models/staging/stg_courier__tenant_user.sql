{{ config(enabled=courier.has_table('tenant_user')) }}

{%- call courier.union_connections('tenant_user') %}
    src.tenant_id,
    src.user_id,
    src.type as user_type,
    src.additional_fields
{%- endcall %}
