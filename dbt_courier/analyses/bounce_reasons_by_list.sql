{{ config(enabled=courier.has_table('message')) }}
-- `error` is what the provider said. Messages to single recipients have no list.
select
    source_relation,
    coalesce(list_name, list_id, 'no list') as list,
    bounce_type,
    coalesce(reason_details, error, outcome_reason) as bounce_reason,
    count(*) as number_of_bounces
from {{ ref('courier__messages') }}
where is_bounced
group by 1, 2, 3, 4
order by 1, 5 desc
