-- A few rows an epoch: what an epoch costs by itself. Windows by type keep some state.
SET trigger = 'available-now';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 minutes'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json', max_files_per_trigger = '1');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT window.start AS window_start, event_type, count(*) AS n
FROM events
GROUP BY window(timestamp, '1 minute'), event_type;
