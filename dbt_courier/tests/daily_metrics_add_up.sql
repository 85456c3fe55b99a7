{{ config(enabled=courier.has_table('message')) }}
-- The days hold every message, once.
with days as (
    select
        source_relation,
        sum(number_of_messages) as number_of_messages,
        sum(number_of_opens) as number_of_opens
    from {{ ref('courier__daily_template_metrics') }}
    group by source_relation
),

messages as (
    select
        source_relation,
        count(*) as number_of_messages,
        {{ courier.count_where('is_opened') }} as number_of_opens
    from {{ ref('courier__messages') }}
    group by source_relation
)

select messages.source_relation
from messages
left join days
    on messages.source_relation = days.source_relation
where
    messages.number_of_messages <> coalesce(days.number_of_messages, 0)
    or messages.number_of_opens <> coalesce(days.number_of_opens, 0)
