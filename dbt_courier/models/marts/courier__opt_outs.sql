{{ config(enabled=courier.has_table('preference_change')) }}

-- In each context of a user (a tenant, or none), what came before and after every change.
with changes as (
    select
        *,
        lag(status) over (
            partition by source_relation, user_id, tenant_id, topic_id
            order by changed_at, preference_change_id
        ) as earlier_status
    from {{ ref('stg_courier__preference_change') }}
    where not is_deleted
),

-- A change of routing alone leaves the status as it is.
turns as (
    select
        *,
        lead(status) over (
            partition by source_relation, user_id, tenant_id, topic_id
            order by changed_at, preference_change_id
        ) as next_status,
        lead(changed_at) over (
            partition by source_relation, user_id, tenant_id, topic_id
            order by changed_at, preference_change_id
        ) as next_changed_at
    from changes
    where status <> coalesce(earlier_status, previous_status, 'none')
)

select
    turns.source_relation,
    turns.preference_change_id,
    turns.user_id,
    turns.tenant_id,
    turns.topic_id,
    {%- if courier.has_table('subscription_topic') %}
    coalesce(topics.topic_name, turns.topic_name) as topic_name,
    topics.section_id,
    {%- else %}
    turns.topic_name,
    cast(null as {{ dbt.type_string() }}) as section_id,
    {%- endif %}
    {%- if courier.has_table('subscription_topic') and courier.has_table('preference_section') %}
    sections.section_name,
    {%- else %}
    cast(null as {{ dbt.type_string() }}) as section_name,
    {%- endif %}
    turns.changed_at as opted_out_at,
    turns.next_changed_at as ended_at,
    turns.next_status is null as is_current
from turns
{%- if courier.has_table('subscription_topic') %}
left join {{ ref('stg_courier__subscription_topic') }} as topics
    on turns.source_relation = topics.source_relation
    and turns.topic_id = topics.topic_id
{%- endif %}
{%- if courier.has_table('subscription_topic') and courier.has_table('preference_section') %}
left join {{ ref('stg_courier__preference_section') }} as sections
    on topics.source_relation = sections.source_relation
    and topics.section_id = sections.section_id
{%- endif %}
where turns.status = 'OPTED_OUT'
