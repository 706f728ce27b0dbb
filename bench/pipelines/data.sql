-- The events both engines read: two hours of them, 100,000 users, 2 % up to 8 minutes late.
SET trigger = 'available-now';

CREATE TABLE made (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP
) WITH (
    connector = 'generator', shape = 'user-events', seed = '42', users = '100000', late = '2%',
    start_timestamp = '2026-01-01T00:10:00Z', rows_per_second = '${RATE}', number_of_rows = '${EVENTS}'
);

CREATE TABLE events WITH (connector = 'files', path = '${DATA}', format = 'json', max_records_per_file = '500000');

INSERT INTO events SELECT * FROM made;
