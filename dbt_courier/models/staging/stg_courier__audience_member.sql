{{ config(enabled=courier.has_table('audience_member')) }}

{%- call courier.union_connections('audience_member') %}
    src.audience_id,
    src.member_id,
    {{ courier.utc('src.added_at') }} as added_at,
    src.audience_version,
    src.additional_fields
{%- endcall %}
