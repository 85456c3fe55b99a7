{{ config(enabled=courier.has_table('message')) }}

with counted as (
    select
        source_relation,
        recipient_id,
        template_id,
        max(template_name) as template_name,
        {{ courier.message_times() }},
        {{ courier.message_counts() }}
    from {{ ref('courier__messages') }}
    where recipient_id is not null
    group by source_relation, recipient_id, template_id
)

select
    *,
    {{ courier.message_rates() }}
from counted
