-- Every column is looked at, and one row comes out: what decoding costs.
SET trigger = 'available-now';
SET output_mode = 'complete';

CREATE TABLE events (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP
) WITH (connector = 'files', path = '${DATA}/*.${FORMAT}', format = '${FORMAT}');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'parquet');

INSERT INTO results
SELECT count(event_id) AS n, count(user_id) AS users, count(session_id) AS sessions, count(event_type) AS types,
       sum(duration) AS duration, sum(amount) AS amount, max(timestamp) AS newest
FROM events;
