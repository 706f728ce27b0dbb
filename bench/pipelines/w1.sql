-- W1: per user, a window of 5 minutes sliding by 1: count, distinct sessions, average; append; Delta, exactly once.
SET trigger = 'available-now';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 minutes'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'delta', path = '${OUT}/data');

INSERT INTO results
SELECT user_id, window.start AS window_start, count(*) AS n, count(DISTINCT session_id) AS sessions,
       avg(duration) AS avg_duration
FROM events
GROUP BY window(timestamp, '5 minutes', '1 minute'), user_id;
