-- An hour's window that slides by a part of it: every event is in as many windows as there are parts.
SET trigger = 'available-now';

CREATE TABLE events (
    user_id STRING, event_type STRING, duration DOUBLE, timestamp TIMESTAMP,
    WATERMARK FOR timestamp AS timestamp - INTERVAL '10 minutes'
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT ${KEY}, window.start AS window_start, count(*) AS n, sum(duration) AS duration
FROM events
GROUP BY window(timestamp, '60 minutes', '${SLIDE} minutes'), ${KEY};
