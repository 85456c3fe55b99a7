{{ config(enabled=courier.has_table('message')) }}

with counted as (
    select
        source_relation,
        recipient_id,
        max(recipient) as recipient,
        {{ courier.message_times() }},
        {{ courier.message_counts() }},
        count(distinct template_id) as number_of_templates
    from {{ ref('courier__messages') }}
    where recipient_id is not null
    group by source_relation, recipient_id
)

select
    *,
    {{ courier.message_rates() }}
from counted
