{# The connections to read, each as {schema, streams}. #}
{% macro connections() %}
    {%- set found = [] -%}
    {%- for entry in var('courier_schemas') or [var('courier_schema')] -%}
        {%- if entry is string -%}
            {%- do found.append({'schema': entry, 'streams': var('courier_streams')}) -%}
        {%- else -%}
            {%- do found.append({
                'schema': entry.schema,
                'streams': entry.get('streams', var('courier_streams')),
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# Whether a connection with these streams (a list, or a comma-separated text) has a table. #}
{% macro syncs(streams, table) %}
    {%- set core = [
        'brand', 'audience', 'audit_event', 'list', 'message', 'notification', 'tenant'
    ] -%}
    {%- set names = (streams.split(',') if streams is string else streams) | map('trim') | list -%}
    {{ return(table in names or 'all' in names or ('core' in names and table in core)) }}
{% endmacro %}

{# Whether any connection has a table, so that the models that need it are enabled. #}
{% macro has_table(table) %}
    {%- for connection in courier.connections() if courier.syncs(connection.streams, table) -%}
        {{ return(true) }}
    {%- endfor -%}
    {{ return(false) }}
{% endmacro %}

{#
    One table of all connections under one roof. The caller's block lists the columns, each
    qualified with `src`; every row also says where it comes from and whether it is deleted.
#}
{% macro union_connections(table) %}
    {%- set source_table = source('courier', table) -%}
    {%- set selects = [] -%}
    {%- for connection in courier.connections() if courier.syncs(connection.streams, table) -%}
        {%- set relation = source_table.incorporate(path={'schema': connection.schema}) -%}
        {%- set select -%}
select
    cast('{{ connection.schema }}' as {{ dbt.type_string() }}) as source_relation,
    {{ caller() | trim }},
    {%- for passed in courier.pass_through(table) %}
    {{ courier.json_text('src.' ~ passed.column, passed.path) }} as {{ passed.alias }},
    {%- endfor %}
    {{ courier.is_deleted(relation) }} as is_deleted,
    {{ courier.utc('src._fivetran_synced') }} as _fivetran_synced
from {{ relation }} as src
        {%- endset -%}
        {%- do selects.append(select) -%}
    {%- endfor -%}
    {{ selects | join('\nunion all\n') }}
{% endmacro %}

{# A table has no `_fivetran_deleted` until its first row arrives, so its columns are looked up. #}
{% macro is_deleted(relation) %}
    {%- if execute and flags.INTROSPECT -%}
        {%- for column in adapter.get_columns_in_relation(relation) -%}
            {%- if column.name | lower == '_fivetran_deleted' -%}
                {{ return('coalesce(src._fivetran_deleted, false)') }}
            {%- endif -%}
        {%- endfor -%}
        {{ return('false') }}
    {%- endif -%}
    {{ return('coalesce(src._fivetran_deleted, false)') }}
{% endmacro %}

{#
    The pass-through columns of a table, each as {column, path, alias}. An entry of
    `courier_pass_through` is a key, or {key, alias}; a key inside another is a list.
#}
{% macro pass_through(table) %}
    {%- set column = 'properties' if table == 'tenant' else 'additional_fields' -%}
    {%- set found = [] -%}
    {%- for entry in var('courier_pass_through').get(table, []) -%}
        {%- set key = entry.key if entry is mapping else entry -%}
        {%- set path = [key] if key is string else key -%}
        {%- set alias = entry.alias if entry is mapping else path | join('_') -%}
        {%- do found.append({'column': column, 'path': path, 'alias': alias}) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
