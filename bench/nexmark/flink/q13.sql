-- columns: auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP_LTZ(3), `value` STRING
CREATE TABLE side_input (`key` BIGINT, `value` STRING) WITH (
    'connector' = 'filesystem', 'path' = 'file://${DATA}/side_input.csv', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true'
);

INSERT INTO results
SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.`value` FROM bid b JOIN side_input s ON MOD(b.auction, 10000) = s.`key`;
