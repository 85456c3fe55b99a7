{{ config(enabled=courier.has_table('message')) }}

with messages as (
    select
        stg.*,
        coalesce(stg.status, 'UNKNOWN') as known_status,
        coalesce(nullif(stg.recipient_id, ''), nullif(stg.recipient, '')) as known_recipient_id
    from {{ ref('stg_courier__message') }} as stg
    where not stg.is_deleted
),

clicks as (
    select
        *,
        clicked_at is not null or known_status = 'CLICKED' as is_clicked,
        case
            when known_status <> 'UNDELIVERABLE' then null
            when reason_code = 'HARD' then 'hard'
            when reason_code = 'SOFT' then 'soft'
            when reason = 'BOUNCED' then 'unknown'
        end as bounce_type
    from messages
),

opens as (
    select
        *,
        opened_at is not null or is_clicked or known_status = 'OPENED' as is_opened,
        bounce_type is not null as is_bounced
    from clicks
),

deliveries as (
    select
        *,
        delivered_at is not null or is_opened or known_status = 'DELIVERED' as is_delivered
    from opens
),

-- A message bounces only after it was sent, even where Courier gives no time for that.
flagged as (
    select
        *,
        sent_at is not null or is_delivered or is_bounced or known_status = 'SENT' as is_sent,
        known_status = 'UNDELIVERABLE' as is_failed,
        known_status in ('FILTERED', 'THROTTLED', 'UNROUTABLE', 'UNMAPPED') as is_skipped
    from deliveries
),

{%- if courier.has_table('message_provider') %}

attempts as (
    select source_relation, message_id, channel, provider, number_of_attempts
    from {{ ref('int_courier__message_attempts') }}
    where is_final
),
{%- endif %}

{%- if courier.has_table('message_event') %}

first_opens as (
    select source_relation, message_id, min(occurred_at) as first_opened_at
    from {{ ref('stg_courier__message_event') }}
    where event_type = 'OPENED' and not is_deleted
    group by source_relation, message_id
),
{%- endif %}

joined as (
    select
        flagged.*,
        {%- if courier.has_table('notification') %}
        templates.template_name,
        templates.brand_id,
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as template_name,
        cast(null as {{ dbt.type_string() }}) as brand_id,
        {%- endif %}
        {%- if courier.has_table('notification') and courier.has_table('brand') %}
        brands.brand_name,
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as brand_name,
        {%- endif %}
        {%- if courier.has_table('list') %}
        lists.list_name,
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as list_name,
        {%- endif %}
        {%- if courier.has_table('message_provider') %}
        attempts.channel,
        attempts.provider,
        coalesce(attempts.number_of_attempts, 0) as number_of_attempts,
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as channel,
        cast(null as {{ dbt.type_string() }}) as provider,
        cast(null as {{ dbt.type_int() }}) as number_of_attempts,
        {%- endif %}
        {%- if courier.has_table('message_event') %}
        first_opens.first_opened_at
        {%- else %}
        cast(null as {{ dbt.type_timestamp() }}) as first_opened_at
        {%- endif %}
    from flagged
    {%- if courier.has_table('notification') %}
    left join {{ ref('stg_courier__notification') }} as templates
        on flagged.source_relation = templates.source_relation
        and flagged.template_id = templates.template_id
    {%- endif %}
    {%- if courier.has_table('notification') and courier.has_table('brand') %}
    left join {{ ref('stg_courier__brand') }} as brands
        on templates.source_relation = brands.source_relation
        and templates.brand_id = brands.brand_id
    {%- endif %}
    {%- if courier.has_table('list') %}
    left join {{ ref('stg_courier__list') }} as lists
        on flagged.source_relation = lists.source_relation
        and flagged.list_id = lists.list_id
    {%- endif %}
    {%- if courier.has_table('message_provider') %}
    left join attempts
        on flagged.source_relation = attempts.source_relation
        and flagged.message_id = attempts.message_id
    {%- endif %}
    {%- if courier.has_table('message_event') %}
    left join first_opens
        on flagged.source_relation = first_opens.source_relation
        and flagged.message_id = first_opens.message_id
    {%- endif %}
)

select
    source_relation,
    message_id,
    status,
    {{ courier.outcome() }} as outcome,
    {{ courier.outcome_reason() }} as outcome_reason,
    reason,
    reason_code,
    reason_details,
    error,
    is_sent,
    is_delivered,
    is_opened,
    is_clicked,
    is_bounced,
    bounce_type,
    is_failed,
    is_skipped,
    enqueued_at,
    sent_at,
    delivered_at,
    first_opened_at,
    opened_at as last_opened_at,
    clicked_at,
    canceled_at,
    greatest(
        enqueued_at,
        coalesce(sent_at, enqueued_at),
        coalesce(delivered_at, enqueued_at),
        coalesce(opened_at, enqueued_at),
        coalesce(clicked_at, enqueued_at),
        coalesce(canceled_at, enqueued_at)
    ) as last_event_at,
    cast(enqueued_at as date) as enqueued_date,
    {{ courier.seconds_after('enqueued_at', 'sent_at') }} as seconds_to_send,
    {{ courier.seconds_after('sent_at', 'delivered_at') }} as seconds_to_delivery,
    {{ courier.seconds_after('enqueued_at', 'delivered_at') }}
        as seconds_from_enqueued_to_delivery,
    {{ courier.seconds_after('sent_at', 'first_opened_at') }} as seconds_to_first_open,
    {{ courier.seconds_after('sent_at', 'opened_at') }} as seconds_to_last_open,
    {{ courier.seconds_after('sent_at', 'clicked_at') }} as seconds_to_click,
    known_recipient_id as recipient_id,
    recipient,
    event,
    template_id,
    template_name,
    brand_id,
    brand_name,
    list_id,
    list_name,
    list_message_id,
    channel,
    provider,
    number_of_attempts,
    {%- for passed in courier.pass_through('message') %}
    {{ passed.alias }},
    {%- endfor %}
    idempotency_key,
    run_id,
    job_id
from joined
