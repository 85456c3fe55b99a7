{{ config(enabled=courier.has_table('message_provider')) }}
-- Which channel and provider fail most, and with which errors. Another provider may have delivered
-- the message after all.
with counted as (
    select
        *,
        count(*) over (partition by source_relation, channel, provider) as number_of_attempts
    from {{ ref('courier__message_attempts') }}
)

select
    source_relation,
    channel,
    provider,
    error,
    count(*) as number_of_failures,
    {{ courier.share('count(*)', 'max(number_of_attempts)') }} as share_of_attempts
from counted
where is_failed
group by 1, 2, 3, 4
order by 1, 5 desc
