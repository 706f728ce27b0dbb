-- Visits a minute and page, from made-up events. Replace the source by your own:
-- `tidemill connectors` lists what there is, `tidemill connectors kafka` shows the options of one.

SET checkpoint = '${CHECKPOINT:-.tidemill/visits}';

CREATE TABLE visits (
    user_id STRING NOT NULL,
    page STRING,
    duration DOUBLE,
    ts TIMESTAMP,
    WATERMARK FOR ts AS ts - INTERVAL '10 seconds'
) WITH (
    connector = 'generator',
    rows_per_second = '1000'
);

CREATE TABLE visits_per_minute WITH (
    connector = 'console'
);

INSERT INTO visits_per_minute
SELECT window.start AS minute, page, count(*) AS visits, count(DISTINCT user_id) AS users
FROM visits
GROUP BY window(ts, '10 seconds'), page;
