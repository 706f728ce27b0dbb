-- One small commit to a Delta table after another, for as long as it takes.
SET trigger = 'processing-time ${INTERVAL}';

CREATE TABLE events WITH (connector = 'generator', shape = 'user-events', rows_per_second = '100');

CREATE TABLE results WITH (connector = 'delta', path = '${TABLE}');

INSERT INTO results SELECT * FROM events;
