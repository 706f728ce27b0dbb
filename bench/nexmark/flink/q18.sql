-- Flink writes the new last bid without taking the one before back: the last of a key counts.
-- keys: auction, bidder
-- columns: auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `dateTime` TIMESTAMP_LTZ(3), extra STRING
-- changes
INSERT INTO results
SELECT auction, bidder, price, channel, url, `dateTime`, extra
FROM (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY auction, bidder ORDER BY `dateTime` DESC, price DESC, channel DESC, url DESC, extra DESC) AS place
    FROM bid
)
WHERE place = 1;
