-- The tables of every Nexmark query; check.py puts them before the query.
SET trigger = 'available-now';

CREATE TABLE person (
    id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
    dateTime TIMESTAMP, extra STRING,
    WATERMARK FOR dateTime AS dateTime - INTERVAL '4 seconds'
) WITH (connector = 'files', path = '${DATA}/person/*.json', format = 'json', max_files_per_trigger = '1');

CREATE TABLE auction (
    id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
    dateTime TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT, extra STRING,
    WATERMARK FOR dateTime AS dateTime - INTERVAL '4 seconds'
) WITH (connector = 'files', path = '${DATA}/auction/*.json', format = 'json', max_files_per_trigger = '1');

CREATE TABLE bid (
    auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
    dateTime TIMESTAMP, extra STRING,
    WATERMARK FOR dateTime AS dateTime - INTERVAL '4 seconds'
) WITH (connector = 'files', path = '${DATA}/bid/*.json', format = 'json', max_files_per_trigger = '1');

CREATE TABLE result WITH (connector = 'files', path = '${OUT}', format = 'parquet');
