{# How many rows meet a condition. #}
{% macro count_where(condition) %}
    {{- return('sum(case when ' ~ condition ~ ' then 1 else 0 end)') -}}
{% endmacro %}

{# A share from 0 to 1, null where there is no whole. #}
{% macro share(part, whole) %}
    {{- return('cast(' ~ part ~ ' as ' ~ dbt.type_float() ~ ') / nullif(' ~ whole ~ ', 0)') -}}
{% endmacro %}

{# The seconds to a later time; null where one is missing or they are out of order. #}
{% macro seconds_after(first, last) %}
    {{- return(
        'case when ' ~ last ~ ' >= ' ~ first ~ ' then '
        ~ courier.seconds_between(first, last) ~ ' end'
    ) -}}
{% endmacro %}

{# What every aggregate of courier__messages counts, and the rates of it. #}
{% macro message_counts() %}
    count(*) as number_of_messages,
    {{ courier.count_where('is_sent') }} as number_of_sends,
    {{ courier.count_where('is_delivered') }} as number_of_deliveries,
    {{ courier.count_where('is_opened') }} as number_of_opens,
    {{ courier.count_where('is_clicked') }} as number_of_clicks,
    {{ courier.count_where('is_bounced') }} as number_of_bounces,
    {{ courier.count_where("bounce_type = 'hard'") }} as number_of_hard_bounces,
    {{ courier.count_where("bounce_type = 'soft'") }} as number_of_soft_bounces,
    {{ courier.count_where('is_failed') }} as number_of_failures,
    {{ courier.count_where('is_skipped') }} as number_of_skips
{% endmacro %}

{% macro message_rates() %}
    {{ courier.share('number_of_deliveries', 'number_of_sends') }} as delivery_rate,
    {{ courier.share('number_of_opens', 'number_of_sends') }} as open_rate,
    {{ courier.share('number_of_clicks', 'number_of_sends') }} as click_rate,
    {{ courier.share('number_of_bounces', 'number_of_sends') }} as bounce_rate
{% endmacro %}

{# The first and last sign of activity and the latest of each kind. #}
{% macro message_times() %}
    min(enqueued_at) as first_event_at,
    max(last_event_at) as last_event_at,
    max(case when is_sent then coalesce(sent_at, enqueued_at) end) as most_recent_send_at,
    max(coalesce(last_opened_at, clicked_at)) as most_recent_open_at,
    max(clicked_at) as most_recent_click_at,
    max(case when is_bounced then coalesce(sent_at, enqueued_at) end) as most_recent_bounce_at
{% endmacro %}
