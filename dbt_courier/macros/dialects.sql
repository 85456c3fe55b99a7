{# What the SQL dialects spell differently. #}

{# A time as a UTC timestamp, the same whatever the session's time zone is. #}
{% macro utc(column) %}
    {{- return(adapter.dispatch('utc', 'courier')(column)) -}}
{% endmacro %}

{% macro default__utc(column) %}
    {{- return('cast(' ~ column ~ " at time zone 'UTC' as timestamp)") -}}
{% endmacro %}

{% macro snowflake__utc(column) %}
    {{- return("cast(convert_timezone('UTC', " ~ column ~ ') as timestamp_ntz)') -}}
{% endmacro %}

{# BigQuery's TIMESTAMP is UTC already. #}
{% macro bigquery__utc(column) %}
    {{- return('cast(' ~ column ~ ' as timestamp)') -}}
{% endmacro %}

{# The seconds from one UTC timestamp to another, to the millisecond. #}
{% macro seconds_between(first, last) %}
    {{- return(adapter.dispatch('seconds_between', 'courier')(first, last)) -}}
{% endmacro %}

{% macro default__seconds_between(first, last) %}
    {{- return('extract(epoch from (' ~ last ~ ' - ' ~ first ~ '))') -}}
{% endmacro %}

{% macro snowflake__seconds_between(first, last) %}
    {{- return("datediff('millisecond', " ~ first ~ ', ' ~ last ~ ') / 1000.0') -}}
{% endmacro %}

{% macro bigquery__seconds_between(first, last) %}
    {{- return('timestamp_diff(' ~ last ~ ', ' ~ first ~ ', millisecond) / 1000') -}}
{% endmacro %}

{# The text at a path of keys in a JSON column; null where there is none. #}
{% macro json_text(column, path) %}
    {{- return(adapter.dispatch('json_text', 'courier')(column, path)) -}}
{% endmacro %}

{% macro default__json_text(column, path) %}
    {{- exceptions.raise_compiler_error(
        'json_text is not written for ' ~ target.type ~ ': add ' ~ target.type ~ '__json_text.'
    ) -}}
{% endmacro %}

{% macro duckdb__json_text(column, path) %}
    {{- return('json_extract_string(' ~ column ~ ", '" ~ courier.json_path(path) ~ "')") -}}
{% endmacro %}

{% macro postgres__json_text(column, path) %}
    {%- set keys = [] -%}
    {%- for key in path -%}
        {%- do keys.append("'" ~ key | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{- return(
        'jsonb_extract_path_text(cast(' ~ column ~ ' as jsonb), ' ~ keys | join(', ') ~ ')'
    ) -}}
{% endmacro %}

{% macro snowflake__json_text(column, path) %}
    {%- set keys = [] -%}
    {%- for key in path -%}
        {%- do keys.append("['" ~ key | replace("'", "''") ~ "']") -%}
    {%- endfor -%}
    {{- return('cast(' ~ column ~ keys | join('') ~ ' as varchar)') -}}
{% endmacro %}

{% macro bigquery__json_text(column, path) %}
    {{- return('json_value(' ~ column ~ ", '" ~ courier.json_path(path) ~ "')") -}}
{% endmacro %}

{# $."key"."inner", for a single-quoted text. #}
{% macro json_path(path) %}
    {{- return('$."' ~ path | join('"."') | replace("'", "''") ~ '"') -}}
{% endmacro %}
