{{ config(enabled=courier.has_table('notification')) }}

{%- call courier.union_connections('notification') %}
    src.id as template_id,
    src.template_name,
    {{ courier.utc('src.template_created_at') }} as created_at,
    {{ courier.utc('src.template_updated_at') }} as updated_at,
    src.state,
    src.creator as created_by,
    src.updater as updated_by,
    src.topic_id,
    src.subscription_topic_id,
    src.tags,
    src.event_ids,
    src.routing_method,
    src.routing_channels,
    src.note,
    {{ courier.json_text('src.additional_fields', ['brand', 'id']) }} as brand_id,
    src.additional_fields
{%- endcall %}
