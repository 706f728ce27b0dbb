-- Decode JSON: every column is looked at, one row comes out.
SET trigger = 'available-now';
SET output_mode = 'complete';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP
) WITH (connector = 'files', path = '${DATA}/*.json', format = 'json');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'json');

INSERT INTO results
SELECT count(event_id) AS n, count(user_id) AS users, count(session_id) AS sessions, count(event_type) AS types,
       sum(duration) AS duration, sum(amount) AS amount, max(timestamp) AS newest
FROM events;
