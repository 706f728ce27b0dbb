-- W2: filter, mask, project; Parquet. No state.
SET trigger = 'available-now';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT event_id, concat('u***', substring(user_id, 6, 2)) AS user_masked, event_type, duration, amount, timestamp
FROM events
WHERE event_type IN ('purchase', 'add_cart', 'search', 'click');
