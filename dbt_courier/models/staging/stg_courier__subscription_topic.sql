{{ config(enabled=courier.has_table('subscription_topic')) }}

{%- call courier.union_connections('subscription_topic') %}
    src.id as topic_id,
    src.section_id,
    src.name as topic_name,
    src.description,
    src.default_status,
    src.routing_options,
    src.allowed_preferences,
    src.include_unsubscribe_header,
    src.topic_data,
    {{ courier.utc('src.created') }} as created_at,
    src.creator as created_by,
    {{ courier.utc('src.updated') }} as updated_at,
    src.updater as updated_by,
    src.digest_template_id,
    src.digest_audience_id,
    src.digest_trigger_empty,
    {{ courier.utc('src.digest_created') }} as digest_created_at,
    {{ courier.utc('src.digest_updated') }} as digest_updated_at,
    src.digest_schedules,
    src.digest_categories,
    src.additional_fields
{%- endcall %}
