{{ config(enabled=courier.has_table('message')) }}
-- Without message_event only the time to the last open is known. On BigQuery, write
-- approx_quantiles(x, 100)[offset(50)] for the percentiles.
select
    source_relation,
    channel,
    count(seconds_to_first_open) as number_of_first_opens,
    percentile_cont(0.5) within group (order by seconds_to_first_open) as p50_to_first_open,
    percentile_cont(0.95) within group (order by seconds_to_first_open) as p95_to_first_open,
    percentile_cont(0.5) within group (order by seconds_to_last_open) as p50_to_last_open,
    percentile_cont(0.95) within group (order by seconds_to_last_open) as p95_to_last_open
from {{ ref('courier__messages') }}
where is_opened
group by 1, 2
order by 1, 2
