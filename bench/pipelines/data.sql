-- The events every engine reads: two hours of them, 100,000 users, 2 % up to 8 minutes late.
SET trigger = 'available-now';

CREATE TABLE made (
    event_id STRING, user_id STRING, session_id STRING, event_type STRING,
    duration DOUBLE, amount DECIMAL(12, 2), timestamp TIMESTAMP
) WITH (
    connector = 'generator', shape = 'user-events', seed = '42', users = '${USERS:-100000}', late = '2%',
    start_timestamp = '2026-01-01T00:10:00Z', rows_per_second = '${RATE}', number_of_rows = '${EVENTS}'
);

CREATE TABLE events WITH (
    connector = 'files', path = '${DATA}', format = '${FORMAT:-json}', max_records_per_file = '${A_FILE}'
);

INSERT INTO events SELECT * FROM made;
