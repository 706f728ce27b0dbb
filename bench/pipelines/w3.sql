-- W3: per type of event, a tumbling minute: count and sum; append; Parquet.
SET trigger = 'available-now';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 minutes'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT window.start AS window_start, event_type, count(*) AS n, sum(duration) AS duration
FROM events
GROUP BY window(timestamp, '1 minute'), event_type;
