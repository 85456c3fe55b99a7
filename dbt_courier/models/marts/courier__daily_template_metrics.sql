{{ config(enabled=courier.has_table('message')) }}

with counted as (
    select
        source_relation,
        enqueued_date as date_day,
        template_id,
        max(template_name) as template_name,
        {{ courier.message_counts() }},
        count(distinct recipient_id) as number_of_recipients,
        count(distinct case when is_sent then recipient_id end) as number_of_recipients_sent_to,
        count(distinct case when is_opened then recipient_id end) as number_of_recipients_opening,
        count(distinct case when is_clicked then recipient_id end)
            as number_of_recipients_clicking
    from {{ ref('courier__messages') }}
    group by source_relation, enqueued_date, template_id
)

select
    *,
    {{ courier.message_rates() }}
from counted
