-- columns: auction BIGINT, price BIGINT, bidder BIGINT, `dateTime` TIMESTAMP_LTZ(3)
-- changes
-- result: SELECT auction, list({'price': price, 'bidder': bidder, 'dateTime': dateTime} ORDER BY price DESC, bidder DESC, dateTime DESC) AS bids FROM result GROUP BY auction
INSERT INTO results
SELECT auction, price, bidder, `dateTime`
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, bidder DESC, `dateTime` DESC) AS place FROM bid)
WHERE place <= 10;
