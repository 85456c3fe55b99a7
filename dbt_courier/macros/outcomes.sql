{# What became of a message, from the flags of courier__messages. #}
{% macro outcome() %}
case
        when is_clicked then 'clicked'
        when is_opened then 'opened'
        when is_bounced then 'bounced'
        when is_failed then 'failed'
        when is_delivered then 'delivered'
        when is_skipped then 'skipped'
        when known_status = 'CANCELED' then 'canceled'
        when known_status = 'SIMULATED' then 'simulated'
        when is_sent then 'sent'
        else 'in progress'
    end
{%- endmacro %}

{# Why a message bounced, failed or was skipped or canceled, in words; null for all others. #}
{% macro outcome_reason() %}
case
        when is_opened or not (is_failed or is_skipped or known_status = 'CANCELED') then null
        when bounce_type = 'hard' then 'Hard bounce: the address accepts no messages'
        when bounce_type = 'soft' then 'Soft bounce: the address was unavailable'
        when bounce_type = 'unknown' then 'Bounced'
        when reason = 'UNSUBSCRIBED' then 'The recipient has unsubscribed'
        when reason = 'OPT_IN_REQUIRED' then 'The recipient has not opted in'
        when reason = 'NO_CHANNELS' then 'No channel reaches the recipient'
        when reason = 'NO_PROVIDERS' then 'No provider is configured'
        when reason = 'UNPUBLISHED' then 'The template is not published'
        when reason = 'PROVIDER_ERROR' then 'The provider returned an error'
        when reason = 'FILTERED' then 'Excluded by a filter'
        when reason in ('FAILED', 'UNDELIVERABLE') then 'No provider delivered the message'
        when reason is not null then reason
        when known_status = 'FILTERED' then 'Excluded by a filter'
        when known_status = 'THROTTLED' then 'Held back by a send limit'
        when known_status = 'UNROUTABLE' then 'No channel reaches the recipient'
        when known_status = 'UNMAPPED' then 'No template is mapped to the event'
        when known_status = 'CANCELED' then 'Canceled before it was sent'
        else 'No reason given'
    end
{%- endmacro %}
