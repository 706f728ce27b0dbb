-- Mask the records of a topic into another: JSON in, JSON out, exactly once, no state.
SET trigger = 'available-now';
SET delivery = 'exactly-once';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP
) WITH (
    connector = 'kafka', bootstrap_servers = '${BROKERS}', topic = '${FROM}', starting_offsets = 'earliest', format = 'json'
);

CREATE TABLE results WITH (connector = 'kafka', bootstrap_servers = '${BROKERS}', topic = '${TO}', format = 'json');

INSERT INTO results
SELECT event_id, concat('u***', substring(user_id, 6, 2)) AS user_masked, event_type, duration, amount, timestamp
FROM events;
