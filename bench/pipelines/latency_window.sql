-- Windows of 10 seconds by type of event, each change shown as soon as it happens; exactly once.
SET trigger = 'asap';
SET output_mode = 'update';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP, created_ms BIGINT,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 seconds'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'json');

INSERT INTO results
SELECT window.start AS window_start, event_type, count(*) AS n, max(created_ms) AS created_ms
FROM events
GROUP BY window(timestamp, '10 seconds'), event_type;
