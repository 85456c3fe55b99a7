{{ config(enabled=courier.has_table('message_provider')) }}

-- Courier names the channel of only some attempts. A provider that was seen with one channel
-- alone lends it to its other attempts.
with attempts as (
    select
        *,
        case
            when channel_key like '%:%' then {{ dbt.split_part('channel_key', "':'", 1) }}
            else nullif(channel_key, '')
        end as named_channel,
        coalesce(status, 'UNKNOWN') = 'UNDELIVERABLE' as is_failed
    from {{ ref('stg_courier__message_provider') }}
    where not is_deleted
),

compared as (
    select
        *,
        min(named_channel) over (partition by source_relation, provider) as first_channel,
        max(named_channel) over (partition by source_relation, provider) as last_channel
    from attempts
)

select
    source_relation,
    message_id,
    position,
    coalesce(named_channel, case when first_channel = last_channel then first_channel end)
        as channel,
    provider,
    status,
    is_failed,
    -- The last one that did not fail, else the last one.
    row_number() over (
        partition by source_relation, message_id
        order by case when is_failed then 1 else 0 end, position desc
    ) = 1 as is_final,
    count(*) over (partition by source_relation, message_id) as number_of_attempts,
    error,
    sent_at,
    delivered_at,
    opened_at,
    clicked_at
from compared
