{{ config(enabled=courier.has_table('message')) }}
-- A recipient's messages are those of all its templates.
with by_template as (
    select source_relation, recipient_id, sum(number_of_messages) as number_of_messages
    from {{ ref('courier__recipient_templates') }}
    group by source_relation, recipient_id
)

select recipients.source_relation, recipients.recipient_id
from {{ ref('courier__recipients') }} as recipients
left join by_template
    on recipients.source_relation = by_template.source_relation
    and recipients.recipient_id = by_template.recipient_id
where recipients.number_of_messages <> coalesce(by_template.number_of_messages, 0)
