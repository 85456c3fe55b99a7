{{ config(enabled=courier.has_table('message')) }}
{%- for model in ['courier__daily_template_metrics', 'courier__recipients'] %}
select source_relation
from {{ ref(model) }}
where
    {%- for rate in ['delivery_rate', 'open_rate', 'click_rate', 'bounce_rate'] %}
    {{ rate }} < 0 or {{ rate }} > 1{{ ' or' if not loop.last }}
    {%- endfor %}
{{ 'union all' if not loop.last }}
{%- endfor %}
