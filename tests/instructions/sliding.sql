-- Sliding windows by user with exact distinct sessions: W1 of the benchmark.
SET trigger = 'available-now';

CREATE TABLE events (
    user_id STRING, session_id STRING, duration DOUBLE, timestamp TIMESTAMP,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 minutes'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT user_id, window.start AS window_start, count(*) AS n, count(DISTINCT session_id) AS sessions,
       avg(duration) AS avg_duration
FROM events
GROUP BY window(timestamp, '5 minutes', '1 minute'), user_id;
