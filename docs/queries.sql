-- Eleven first questions to the tables that this connector fills.
--
-- Written for DuckDB, in which a local run leaves its tables: files/warehouse.db after 'make debug',
-- files/demo/warehouse.db after 'make demo KEEP=1'. 'make sql' opens a prompt on the newest of them,
-- and 'make questions' answers everything below. In a prompt of your own, begin with USE tester.
-- Elsewhere choose the connection's schema first (Snowflake: USE SCHEMA, BigQuery: the query's
-- default dataset), and replace what differs:
--
--     DuckDB                                        Snowflake                           BigQuery
--     x AT TIME ZONE 'UTC'                          CONVERT_TIMEZONE('UTC', x)          x
--     DATE_TRUNC('week', x)                         the same                            TIMESTAMP_TRUNC(x, ISOWEEK)
--     DATE_TRUNC('month', x)                        the same                            TIMESTAMP_TRUNC(x, MONTH)
--     EXTRACT(EPOCH FROM y - x)                     DATEDIFF('millisecond', x, y)/1000  TIMESTAMP_DIFF(y, x, MILLISECOND)/1000
--     COUNT(*) FILTER (WHERE c)                     COUNT_IF(c)                         COUNTIF(c)
--     PERCENTILE_CONT(p) WITHIN GROUP (ORDER BY x)  the same                            APPROX_QUANTILES(x, 100)[OFFSET(50)], [OFFSET(95)]
--     JSON_EXTRACT_STRING(x, '$.plan'), '$[0]'      x:plan::STRING, x[0]::STRING        JSON_VALUE(x, '$.plan'), '$[0]'
--     REGEXP_FULL_MATCH(x, p)                       REGEXP_LIKE(x, p)                   REGEXP_CONTAINS(x, p)
--     SPLIT_PART(x, ':', 1)                         the same                            SPLIT(x, ':')[OFFSET(0)]
--
-- Days, weeks and months are those of UTC, whatever the session's time zone is. What counts as
-- sent, delivered, opened and bounced is the same as in dbt_courier, the dbt package beside this
-- file: many providers never report a delivery, but an opened message was delivered.
--
-- In a local run, a table has no column _fivetran_deleted until its first row arrives. That is
-- what each UNION ALL BY NAME adds. Where the column exists, read the table itself.

-- 1. Delivery, open and click rates by template and week
-- Of the messages that went to a provider. Courier tracks opens of email and inbox messages only:
-- of a template for push, SMS or chat, opened_pct says nothing. Deleted templates keep their name.
-- Recent weeks still change.
WITH messages AS (
    SELECT
        notification,
        CAST(DATE_TRUNC('week', enqueued AT TIME ZONE 'UTC') AS DATE) AS week,
        COALESCE(sent, delivered, opened, clicked) IS NOT NULL
            OR status IN ('SENT', 'DELIVERED', 'OPENED', 'CLICKED')
            OR (
                status = 'UNDELIVERABLE'
                AND (reason = 'BOUNCED' OR reason_code IN ('HARD', 'SOFT'))
            ) AS is_sent,
        COALESCE(delivered, opened, clicked) IS NOT NULL
            OR status IN ('DELIVERED', 'OPENED', 'CLICKED') AS is_delivered,
        COALESCE(opened, clicked) IS NOT NULL OR status IN ('OPENED', 'CLICKED') AS is_opened,
        clicked IS NOT NULL OR status = 'CLICKED' AS is_clicked
    FROM message
),
counted AS (
    SELECT
        week,
        notification,
        COUNT(*) AS messages,
        COUNT(*) FILTER (WHERE is_sent) AS sent,
        COUNT(*) FILTER (WHERE is_delivered) AS delivered,
        COUNT(*) FILTER (WHERE is_opened) AS opened,
        COUNT(*) FILTER (WHERE is_clicked) AS clicked
    FROM messages
    GROUP BY week, notification
)
SELECT
    c.week,
    COALESCE(n.template_name, c.notification, 'no template') AS template,
    c.messages,
    c.sent,
    ROUND(c.delivered * 100.0 / NULLIF(c.sent, 0), 1) AS delivered_pct,
    ROUND(c.opened * 100.0 / NULLIF(c.sent, 0), 1) AS opened_pct,
    ROUND(c.clicked * 100.0 / NULLIF(c.sent, 0), 1) AS clicked_pct
FROM counted AS c
LEFT JOIN notification AS n ON n.id = c.notification
ORDER BY c.week DESC, c.messages DESC, c.notification;

-- 2. Failed messages by reason
-- A hard bounce is permanent, a soft one temporary.
SELECT
    status,
    COALESCE(reason, 'none given') AS reason,
    COALESCE(reason_code, '') AS bounce,
    COUNT(*) AS messages,
    ROUND(COUNT(*) * 100.0 / SUM(COUNT(*)) OVER (), 1) AS pct_of_failed
FROM message
WHERE status IN ('UNDELIVERABLE', 'UNROUTABLE', 'UNMAPPED', 'FILTERED', 'THROTTLED')
GROUP BY 1, 2, 3
ORDER BY 4 DESC, 1, 2, 3;

-- 3. Seconds from send to delivery, p50 and p95, by week
-- Of the messages whose delivery the provider reports.
SELECT
    CAST(DATE_TRUNC('week', enqueued AT TIME ZONE 'UTC') AS DATE) AS week,
    COUNT(*) AS delivered,
    ROUND(PERCENTILE_CONT(0.50) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM delivered - sent)), 1)
        AS p50_seconds,
    ROUND(PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM delivered - sent)), 1)
        AS p95_seconds
FROM message
WHERE delivered >= sent
GROUP BY 1
ORDER BY 1;

-- 4. Recipients who never open
-- Sent at least two messages, opened none. Raise the two with the length of your history.
WITH messages AS (
    SELECT
        COALESCE(NULLIF(recipient_id, ''), NULLIF(recipient, '')) AS recipient_id,
        recipient,
        COALESCE(sent, enqueued) AT TIME ZONE 'UTC' AS sent_at,
        COALESCE(sent, delivered, opened, clicked) IS NOT NULL
            OR status IN ('SENT', 'DELIVERED', 'OPENED', 'CLICKED')
            OR (
                status = 'UNDELIVERABLE'
                AND (reason = 'BOUNCED' OR reason_code IN ('HARD', 'SOFT'))
            ) AS is_sent,
        COALESCE(opened, clicked) IS NOT NULL OR status IN ('OPENED', 'CLICKED') AS is_opened
    FROM message
)
SELECT
    recipient_id,
    MAX(recipient) AS recipient,
    COUNT(*) FILTER (WHERE is_sent) AS sent,
    CAST(MAX(sent_at) FILTER (WHERE is_sent) AS DATE) AS last_sent
FROM messages
WHERE recipient_id IS NOT NULL
GROUP BY 1
HAVING COUNT(*) FILTER (WHERE is_sent) >= 2 AND COUNT(*) FILTER (WHERE is_opened) = 0
ORDER BY 3 DESC, 1;

-- 5. Undelivered by channel
-- By the first channel of the template, which only legacy templates have, and by what the message
-- was sent to. Sync message_provider to see the channel that each message really took.
SELECT
    COALESCE(JSON_EXTRACT_STRING(n.routing_channels, '$[0]'), 'unknown') AS first_channel,
    CASE
        WHEN m.recipient LIKE '%@%' THEN 'email address'
        WHEN REGEXP_FULL_MATCH(m.recipient, '^[+]?[0-9]{7,15}$') THEN 'phone number'
        WHEN m.recipient <> '' THEN 'user id'
        ELSE 'unknown'
    END AS sent_to,
    COUNT(*) AS messages,
    COUNT(*) FILTER (WHERE m.status IN ('UNDELIVERABLE', 'UNROUTABLE', 'UNMAPPED')) AS undelivered,
    ROUND(
        COUNT(*) FILTER (WHERE m.status IN ('UNDELIVERABLE', 'UNROUTABLE', 'UNMAPPED'))
        * 100.0 / COUNT(*), 1
    ) AS undelivered_pct
FROM message AS m
LEFT JOIN notification AS n ON n.id = m.notification
GROUP BY 1, 2
ORDER BY 4 DESC, 1, 2;

-- 6. Audiences and lists, new and in all, by month
-- Those that exist today and carry the time at which they were created.
WITH living AS (
    SELECT 'audience' AS kind, created_at AS created, _fivetran_deleted FROM (
        SELECT * FROM audience UNION ALL BY NAME SELECT FALSE AS _fivetran_deleted WHERE FALSE
    )
    UNION ALL
    SELECT 'list' AS kind, created, _fivetran_deleted FROM (
        SELECT * FROM list UNION ALL BY NAME SELECT FALSE AS _fivetran_deleted WHERE FALSE
    )
)
SELECT
    kind,
    CAST(DATE_TRUNC('month', created AT TIME ZONE 'UTC') AS DATE) AS month,
    COUNT(*) AS added,
    SUM(COUNT(*)) OVER (
        PARTITION BY kind
        ORDER BY CAST(DATE_TRUNC('month', created AT TIME ZONE 'UTC') AS DATE)
    ) AS in_all
FROM living
WHERE NOT _fivetran_deleted AND created IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2;

-- 7. Who changed what
-- From the audit trail, which not every plan includes.
SELECT
    COALESCE(actor_email, actor_id, 'unknown') AS who,
    type AS what,
    COUNT(*) AS times,
    MAX(a.timestamp) AT TIME ZONE 'UTC' AS last_time
FROM audit_event AS a
GROUP BY 1, 2
ORDER BY 3 DESC, 1, 2;

-- 8. Tenants by plan
-- plan and seats are properties that you set on tenants: put the names of yours in their place.
WITH tenants AS (
    SELECT * FROM tenant UNION ALL BY NAME SELECT FALSE AS _fivetran_deleted WHERE FALSE
)
SELECT
    COALESCE(JSON_EXTRACT_STRING(properties, '$.plan'), 'not set') AS plan,
    COUNT(*) AS tenants,
    SUM(TRY_CAST(JSON_EXTRACT_STRING(properties, '$.seats') AS BIGINT)) AS seats
FROM tenants
WHERE NOT _fivetran_deleted
GROUP BY 1
ORDER BY 2 DESC, 1;

-- 9. Templates nobody uses
-- Without a message in as much history as there is here.
WITH templates AS (
    SELECT * FROM notification UNION ALL BY NAME SELECT FALSE AS _fivetran_deleted WHERE FALSE
)
SELECT
    t.id,
    t.template_name AS template,
    COALESCE(t.state, 'legacy') AS state,
    CAST(COALESCE(t.template_updated_at, t.template_created_at) AT TIME ZONE 'UTC' AS DATE)
        AS last_changed
FROM templates AS t
WHERE NOT t._fivetran_deleted
    AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.notification = t.id)
ORDER BY 4, 1;

-- 10. Messages by day and what became of them
-- The rest is under way, canceled or simulated. Recent days still change.
SELECT
    CAST(enqueued AT TIME ZONE 'UTC' AS DATE) AS day,
    COUNT(*) AS messages,
    COUNT(*) FILTER (
        WHERE COALESCE(delivered, opened, clicked) IS NOT NULL
            OR status IN ('DELIVERED', 'OPENED', 'CLICKED')
    ) AS delivered,
    COUNT(*) FILTER (
        WHERE COALESCE(opened, clicked) IS NOT NULL OR status IN ('OPENED', 'CLICKED')
    ) AS opened,
    COUNT(*) FILTER (
        WHERE status = 'UNDELIVERABLE' AND (reason = 'BOUNCED' OR reason_code IN ('HARD', 'SOFT'))
    ) AS bounced,
    COUNT(*) FILTER (WHERE status = 'UNDELIVERABLE') AS failed,
    COUNT(*) FILTER (WHERE status IN ('FILTERED', 'THROTTLED', 'UNROUTABLE', 'UNMAPPED'))
        AS skipped
FROM message
GROUP BY 1
ORDER BY 1;

-- 11. Failed attempts by channel, provider and error
-- Which channel and provider fail most, and with which errors? Needs the table message_provider,
-- which is synced where `streams` names it. Another provider may have delivered the message after
-- all. An attempt that names no channel takes the only one that its provider was seen with.
WITH attempts AS (
    SELECT
        provider,
        error,
        status = 'UNDELIVERABLE' AS is_failed,
        NULLIF(SPLIT_PART(channel_key, ':', 1), '') AS named_channel
    FROM message_provider
),
seen AS (
    SELECT provider, MIN(named_channel) AS channel
    FROM attempts
    GROUP BY provider
    HAVING COUNT(DISTINCT named_channel) = 1
),
inferred AS (
    SELECT
        COALESCE(a.named_channel, s.channel, 'unknown') AS channel,
        COALESCE(a.provider, 'unknown') AS provider,
        a.error,
        a.is_failed
    FROM attempts AS a
    LEFT JOIN seen AS s ON s.provider = a.provider
),
counted AS (
    SELECT *, COUNT(*) OVER (PARTITION BY channel, provider) AS attempts
    FROM inferred
)
SELECT
    channel,
    provider,
    COALESCE(error, 'none given') AS error,
    COUNT(*) AS failed,
    ROUND(COUNT(*) * 100.0 / MAX(attempts), 1) AS pct_of_attempts
FROM counted
WHERE is_failed
GROUP BY 1, 2, 3
ORDER BY 4 DESC, 1, 2, 3;
