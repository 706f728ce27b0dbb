-- Flink writes the new winner of a rank without taking the one before back: the last of a key counts.
-- keys: id
-- columns: id BIGINT, itemName STRING, seller BIGINT, category BIGINT, `dateTime` TIMESTAMP_LTZ(3), bidder BIGINT, price BIGINT, bid_dateTime TIMESTAMP_LTZ(3)
-- changes
INSERT INTO results
SELECT id, itemName, seller, category, `dateTime`, bidder, price, bid_dateTime
FROM (
    SELECT a.id, a.itemName, a.seller, a.category, a.`dateTime`, b.bidder, b.price, b.`dateTime` AS bid_dateTime,
           ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.`dateTime` ASC, b.bidder DESC) AS place
    FROM auction a JOIN bid b ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
)
WHERE place = 1;
