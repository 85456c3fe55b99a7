{{ config(enabled=courier.has_table('notification_metric')) }}

with counted as (
    select
        metrics.source_relation,
        cast(metrics.period_start_at as date) as date_day,
        metrics.template_id,
        {%- if courier.has_table('notification') %}
        templates.template_name,
        {%- else %}
        cast(null as {{ dbt.type_string() }}) as template_name,
        {%- endif %}
        metrics.channel,
        metrics.provider,
        metrics.number_of_sends,
        metrics.number_of_deliveries,
        metrics.number_of_opens,
        metrics.number_of_clicks,
        metrics.number_of_errors,
        metrics.number_of_undeliverable
    from {{ ref('stg_courier__notification_metric') }} as metrics
    {%- if courier.has_table('notification') %}
    left join {{ ref('stg_courier__notification') }} as templates
        on metrics.source_relation = templates.source_relation
        and metrics.template_id = templates.template_id
    {%- endif %}
    where metrics.granularity = 'DAY' and not metrics.is_deleted
)

select
    *,
    {{ courier.share('number_of_deliveries', 'number_of_sends') }} as delivery_rate,
    {{ courier.share('number_of_opens', 'number_of_sends') }} as open_rate,
    {{ courier.share('number_of_clicks', 'number_of_sends') }} as click_rate
from counted
