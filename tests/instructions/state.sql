-- Updates of state: the same users in each of ten epochs, kept in RocksDB.
SET trigger = 'available-now';
SET output_mode = 'update';
SET state_backend = 'rocksdb';

CREATE TABLE events (user_id STRING, duration DOUBLE)
WITH (connector = 'files', path = '${DATA}/*.json', format = 'json', max_files_per_trigger = '1');

CREATE TABLE results WITH (connector = 'files', path = '${OUT}/data', format = 'json');

INSERT INTO results
SELECT user_id, count(*) AS n, sum(duration) AS duration, max(duration) AS longest FROM events GROUP BY user_id HAVING n < 0;
