-- Filter, mask and project events that keep arriving, as soon as they do; published exactly once.
SET trigger = 'asap';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP, created_ms BIGINT
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'json');

INSERT INTO results
SELECT event_id, concat('u***', substring(user_id, 6, 2)) AS user, created_ms
FROM events
WHERE event_type IN ('purchase', 'add_cart', 'search', 'click');
