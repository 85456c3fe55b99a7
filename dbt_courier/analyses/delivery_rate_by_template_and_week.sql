{{ config(enabled=courier.has_table('message')) }}
-- Sums of counts, divided: an average of daily rates would weigh small days like large ones.
select
    source_relation,
    cast({{ dbt.date_trunc('week', 'date_day') }} as date) as week,
    template_id,
    max(template_name) as template_name,
    sum(number_of_sends) as number_of_sends,
    {{ courier.share('sum(number_of_deliveries)', 'sum(number_of_sends)') }} as delivery_rate
from {{ ref('courier__daily_template_metrics') }}
group by 1, 2, 3
order by 1, 2 desc, number_of_sends desc
