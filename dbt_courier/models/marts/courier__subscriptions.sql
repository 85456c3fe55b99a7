{{ config(enabled=courier.has_table('list_subscription')) }}

select
    subscriptions.source_relation,
    subscriptions.list_id,
    {%- if courier.has_table('list') %}
    lists.list_name,
    {%- else %}
    cast(null as {{ dbt.type_string() }}) as list_name,
    {%- endif %}
    subscriptions.recipient_id,
    subscriptions.subscribed_at,
    subscriptions.preferences
from {{ ref('stg_courier__list_subscription') }} as subscriptions
{%- if courier.has_table('list') %}
left join {{ ref('stg_courier__list') }} as lists
    on subscriptions.source_relation = lists.source_relation
    and subscriptions.list_id = lists.list_id
{%- endif %}
where
    not subscriptions.is_deleted
    {%- if courier.has_table('list') %}
    and not coalesce(lists.is_deleted, false)
    {%- endif %}
