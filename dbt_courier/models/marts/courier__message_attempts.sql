{{ config(enabled=courier.has_table('message_provider')) }}

select
    source_relation,
    message_id,
    position,
    channel,
    provider,
    status,
    is_failed,
    is_final,
    error,
    sent_at,
    delivered_at,
    opened_at as last_opened_at,
    clicked_at
from {{ ref('int_courier__message_attempts') }}
