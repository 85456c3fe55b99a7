-- Ten first questions to the tables that this connector fills.
--
-- Written for DuckDB, in which a local run leaves its tables:
--     duckdb files/warehouse.db      and then      USE tester
-- Elsewhere choose the connection's schema first (Snowflake: USE SCHEMA, BigQuery: the query's
-- default dataset). What differs is replaced word by word:
--
--     DuckDB                                        Snowflake                      BigQuery
--     EPOCH_MS(x)                                   TO_TIMESTAMP_NTZ(x, 3)         TIMESTAMP_MILLIS(x)
--     DATE_TRUNC('week', x)                         the same                       TIMESTAMP_TRUNC(x, ISOWEEK)
--     DATE_TRUNC('month', x)                        the same                       TIMESTAMP_TRUNC(x, MONTH)
--     CAST(x AS DATE)                               the same                       the same
--     PERCENTILE_CONT(p) WITHIN GROUP (ORDER BY x)  the same                       APPROX_QUANTILES(x, 100)[OFFSET(50)], [OFFSET(95)]
--     JSON_EXTRACT_STRING(x, '$[0]')                PARSE_JSON(x)[0]::STRING       JSON_VALUE(x, '$[0]')
--     REGEXP_FULL_MATCH(x, p)                       REGEXP_LIKE(x, p)              REGEXP_CONTAINS(x, p)
--
-- Times that Courier gives as epoch milliseconds stay whole numbers, and all is UTC.

-- 1. Delivery, open and click rates by template and week
-- Of what went to a provider. An opened message was delivered, though some providers never say
-- so. Templates that have been deleted keep their name here. Recent weeks still change.
SELECT
    DATE_TRUNC('week', EPOCH_MS(m.enqueued)) AS week,
    COALESCE(n.name, n.title, m.notification, 'no template') AS template,
    COUNT(*) AS messages,
    COUNT(m.sent) AS sent,
    ROUND(COUNT(COALESCE(m.delivered, m.opened, m.clicked)) * 100.0 / NULLIF(COUNT(m.sent), 0), 1)
        AS delivered_pct,
    ROUND(COUNT(COALESCE(m.opened, m.clicked)) * 100.0 / NULLIF(COUNT(m.sent), 0), 1)
        AS opened_pct,
    ROUND(COUNT(m.clicked) * 100.0 / NULLIF(COUNT(m.sent), 0), 1) AS clicked_pct
FROM message AS m
LEFT JOIN notification AS n ON n.id = m.notification
GROUP BY 1, 2, m.notification
ORDER BY 1 DESC, 3 DESC, m.notification;

-- 2. Failed messages by reason
-- HARD and SOFT tell bounces apart: to a hard one nothing will ever be delivered.
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

-- 3. Seconds from send to delivery, half and 95 of 100 messages, by week
-- Only of messages whose delivery the provider reports.
SELECT
    DATE_TRUNC('week', EPOCH_MS(enqueued)) AS week,
    COUNT(*) AS delivered,
    ROUND(PERCENTILE_CONT(0.50) WITHIN GROUP (ORDER BY (delivered - sent) / 1000.0), 1)
        AS p50_seconds,
    ROUND(PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY (delivered - sent) / 1000.0), 1)
        AS p95_seconds
FROM message
WHERE delivered IS NOT NULL AND sent IS NOT NULL
GROUP BY 1
ORDER BY 1;

-- 4. Recipients who never open
-- At least two messages sent and none opened. Raise the two with the length of your history.
SELECT
    recipient_id,
    MAX(recipient) AS recipient,
    COUNT(sent) AS sent,
    CAST(EPOCH_MS(MAX(sent)) AS DATE) AS last_sent
FROM message
GROUP BY 1
HAVING COUNT(sent) >= 2 AND COUNT(opened) = 0 AND COUNT(clicked) = 0
ORDER BY 3 DESC, 1;

-- 5. Undelivered by channel
-- Courier tells the channel of a message only one by one, so this goes by the first channel of
-- its template, which classic templates alone carry, and by what it was sent to.
SELECT
    COALESCE(JSON_EXTRACT_STRING(n.routing_channels, '$[0]'), 'not known') AS first_channel,
    CASE
        WHEN m.recipient LIKE '%@%' THEN 'mail address'
        WHEN REGEXP_FULL_MATCH(m.recipient, '^[+]?[0-9]{7,15}$') THEN 'phone number'
        ELSE 'user id'
    END AS sent_to,
    COUNT(*) AS messages,
    SUM(CASE WHEN m.status IN ('UNDELIVERABLE', 'UNROUTABLE', 'UNMAPPED') THEN 1 ELSE 0 END)
        AS undelivered,
    ROUND(
        SUM(CASE WHEN m.status IN ('UNDELIVERABLE', 'UNROUTABLE', 'UNMAPPED') THEN 1 ELSE 0 END)
        * 100.0 / COUNT(*), 1
    ) AS undelivered_pct
FROM message AS m
LEFT JOIN notification AS n ON n.id = m.notification
GROUP BY 1, 2
ORDER BY 4 DESC, 1, 2;

-- 6. Audiences and lists, new and in all, by month
-- Those that are there today and carry the time at which they were made. Their members are not
-- synced.
SELECT
    kind,
    month,
    COUNT(*) AS added,
    SUM(COUNT(*)) OVER (PARTITION BY kind ORDER BY month) AS in_all
FROM (
    SELECT 'audience' AS kind, DATE_TRUNC('month', created_at) AS month
    FROM audience
    WHERE NOT _fivetran_deleted AND created_at IS NOT NULL
    UNION ALL
    SELECT 'list' AS kind, DATE_TRUNC('month', created) AS month
    FROM list
    WHERE NOT _fivetran_deleted AND created IS NOT NULL
) AS made
GROUP BY 1, 2
ORDER BY 1, 2;

-- 7. Who changed what
-- From the audit trail, which not every plan has.
SELECT
    COALESCE(actor_email, actor_id, 'nobody named') AS who,
    type AS what,
    COUNT(*) AS times,
    MAX(a.timestamp) AS last_time
FROM audit_event AS a
GROUP BY 1, 2
ORDER BY 3 DESC, 1, 2;

-- 8. Tenants by plan
-- plan and seats are properties that you set on tenants: put the names of yours in their place.
SELECT
    COALESCE(properties_plan, 'not set') AS plan,
    COUNT(*) AS tenants,
    SUM(properties_seats) AS seats
FROM tenant
WHERE NOT _fivetran_deleted
GROUP BY 1
ORDER BY 2 DESC, 1;

-- 9. Templates nobody uses
-- No message by them in as much history as there is here.
SELECT
    n.id,
    COALESCE(n.name, n.title) AS template,
    COALESCE(n.state, 'classic') AS state,
    CAST(EPOCH_MS(COALESCE(n.updated, n.updated_at, n.created, n.created_at)) AS DATE)
        AS last_changed
FROM notification AS n
WHERE NOT n._fivetran_deleted
    AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.notification = n.id)
ORDER BY 4, 1;

-- 10. Messages by day and what became of them
-- The rest is under way, cancelled or simulated. The last days still change.
SELECT
    CAST(EPOCH_MS(enqueued) AS DATE) AS day,
    COUNT(*) AS messages,
    COUNT(COALESCE(delivered, opened, clicked)) AS delivered,
    COUNT(COALESCE(opened, clicked)) AS opened,
    SUM(CASE WHEN status IN ('UNDELIVERABLE', 'UNROUTABLE', 'UNMAPPED') THEN 1 ELSE 0 END)
        AS undelivered
FROM message
GROUP BY 1
ORDER BY 1;
