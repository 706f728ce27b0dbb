-- Steps 1 and 2, production and ingestion: made-up user events go into the embedded log, as JSON.
-- Half a per cent is broken, 1 % is up to 20 seconds late. A small epoch ten times a second keeps the pace.
SET trigger = 'processing-time 100ms';
SET epoch_bytes_max = '${PACE:-640KiB}';

CREATE TABLE made (value STRING) WITH (
    connector = 'generator', format = 'raw', shape = 'user-events', users = '1000',
    start_timestamp = '${START:-2026-01-01T09:00:00Z}', rows_per_second = '${EVENTS_PER_SECOND:-250}',
    number_of_rows = '${EVENTS:-600000}', malformed = '0.5%', late = '1%', late_by = '20 seconds'
);

-- the topic, and a copy that the demo counts with another program when all is done
CREATE TABLE user_events WITH (
    connector = 'log', path = '${OUT}/log', topic = 'user-events', partitions = '2', format = 'raw'
);
CREATE TABLE copy WITH (connector = 'files', path = '${OUT}/copy', format = 'parquet');

INSERT INTO user_events SELECT value FROM made;
INSERT INTO copy SELECT value FROM made;
