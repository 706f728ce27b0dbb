-- Mask the records of a topic into a Delta table, exactly once.
SET trigger = '${TRIGGER}';
SET delivery = 'exactly-once';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP, created_ms BIGINT
) WITH (
    connector = 'kafka', bootstrap_servers = '${BROKERS}', topic = '${FROM}', starting_offsets = 'earliest', format = 'json'
);

CREATE TABLE results WITH (connector = 'delta', path = '${OUT}/data');

INSERT INTO results
SELECT event_id, concat('u***', substring(user_id, 6, 2)) AS user_masked, event_type, duration, amount, timestamp, created_ms
FROM events;
