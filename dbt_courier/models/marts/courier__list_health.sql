{{ config(
    enabled=courier.has_table('message')
    and courier.has_table('list')
    and courier.has_table('list_subscription')
) }}

with lists as (
    select source_relation, list_id, list_name, created_at
    from {{ ref('stg_courier__list') }}
    where not is_deleted
),

subscribers as (
    select
        subscriptions.source_relation,
        subscriptions.list_id,
        count(*) as number_of_subscribers,
        max(subscriptions.subscribed_at) as most_recent_subscription_at,
        {{ courier.count_where('recipients.number_of_sends > 0 and recipients.number_of_opens = 0') }}
            as number_of_silent_subscribers
    from {{ ref('courier__subscriptions') }} as subscriptions
    left join {{ ref('courier__recipients') }} as recipients
        on subscriptions.source_relation = recipients.source_relation
        and subscriptions.recipient_id = recipients.recipient_id
    group by subscriptions.source_relation, subscriptions.list_id
),

sends as (
    select
        source_relation,
        list_id,
        {{ courier.message_times() }},
        {{ courier.message_counts() }},
        {{ courier.count_where("is_failed and reason = 'UNSUBSCRIBED'") }}
            as number_of_unsubscribed_failures
    from {{ ref('courier__messages') }}
    where list_id is not null
    group by source_relation, list_id
),

joined as (
    select
        lists.source_relation,
        lists.list_id,
        lists.list_name,
        lists.created_at,
        coalesce(subscribers.number_of_subscribers, 0) as number_of_subscribers,
        coalesce(subscribers.number_of_silent_subscribers, 0) as number_of_silent_subscribers,
        subscribers.most_recent_subscription_at,
        sends.most_recent_send_at,
        sends.most_recent_open_at,
        {%- for count in [
            'messages', 'sends', 'deliveries', 'opens', 'clicks', 'bounces', 'hard_bounces',
            'soft_bounces', 'failures', 'unsubscribed_failures', 'skips'
        ] %}
        coalesce(sends.number_of_{{ count }}, 0) as number_of_{{ count }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from lists
    left join subscribers
        on lists.source_relation = subscribers.source_relation
        and lists.list_id = subscribers.list_id
    left join sends
        on lists.source_relation = sends.source_relation
        and lists.list_id = sends.list_id
)

select
    *,
    {{ courier.message_rates() }}
from joined
