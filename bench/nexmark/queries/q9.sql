-- Winning bids: the highest bid of each auction, of several the first.
-- Adapted: Nexmark numbers the bids of an auction (row_number) and corrects itself; here the winner comes out once, when
-- it is final, as the greatest of (price, earliest time).
CREATE VIEW winning AS
SELECT a.id, a.dateTime, a.itemName, a.seller, a.category,
       max(struct(b.price AS price, -unix_micros(b.dateTime) AS first, b.bidder AS bidder)) AS bid
FROM auction a JOIN bid b
  ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
 AND b.dateTime >= a.dateTime AND b.dateTime <= a.dateTime + INTERVAL 20 SECONDS
GROUP BY a.id, a.dateTime, a.itemName, a.seller, a.category;

INSERT INTO result
SELECT id, itemName, seller, category, dateTime, bid.bidder AS bidder, bid.price AS price,
       timestamp_micros(-bid.first) AS bid_dateTime
FROM winning;
