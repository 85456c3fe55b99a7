{{ config(enabled=courier.has_table('message')) }}
-- Opens of push, SMS and chat are not tracked: who gets only those looks silent here.
select source_relation, recipient_id, recipient, number_of_sends, most_recent_send_at
from {{ ref('courier__recipients') }}
where number_of_sends >= 2 and number_of_opens = 0
order by 1, 4 desc, 2
