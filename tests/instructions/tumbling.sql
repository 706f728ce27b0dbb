-- Tumbling windows with few groups: W3 of the benchmark.
SET trigger = 'available-now';

CREATE TABLE events (
    event_type STRING, duration DOUBLE, timestamp TIMESTAMP,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 minutes'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT window.start AS window_start, event_type, count(*) AS n, sum(duration) AS duration
FROM events
GROUP BY window(timestamp, '1 minute'), event_type;
