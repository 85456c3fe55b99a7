{{ config(enabled=courier.has_table('message')) }}
-- Joins to templates, lists, attempts and histories neither drop nor repeat a message.
with staged as (
    select source_relation, count(*) as number_of_messages
    from {{ ref('stg_courier__message') }}
    where not is_deleted
    group by source_relation
),

mart as (
    select source_relation, count(*) as number_of_messages
    from {{ ref('courier__messages') }}
    group by source_relation
)

select staged.source_relation, staged.number_of_messages
from staged
left join mart
    on staged.source_relation = mart.source_relation
where staged.number_of_messages <> coalesce(mart.number_of_messages, 0)
