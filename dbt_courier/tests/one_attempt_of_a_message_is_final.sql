{{ config(enabled=courier.has_table('message_provider')) }}
select source_relation, message_id
from {{ ref('courier__message_attempts') }}
group by source_relation, message_id
having {{ courier.count_where('is_final') }} <> 1
