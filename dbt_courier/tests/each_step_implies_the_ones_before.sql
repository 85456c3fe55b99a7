{{ config(enabled=courier.has_table('message')) }}
-- A click is an open, an open a delivery, a delivery and a bounce are sends.
select *
from {{ ref('courier__messages') }}
where
    (is_clicked and not is_opened)
    or (is_opened and not is_delivered)
    or (is_delivered and not is_sent)
    or (is_bounced and not is_sent)
    or (is_bounced and not is_failed)
    or (is_failed and is_skipped)
