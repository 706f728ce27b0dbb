-- Average price of a category: the average of the winning bids of its auctions.
-- Adapted: Nexmark takes winning bids back when a higher one comes; here an auction's winning bid and the average of a
-- category come out once, when they are final. So the average is one of the auctions that open on a day, and the join
-- has a bound that a program can use: no auction lasts longer than 20 seconds.
CREATE VIEW winning AS
SELECT a.id, a.category, a.dateTime, max(b.price) AS final
FROM auction a JOIN bid b
  ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
 AND b.dateTime >= a.dateTime AND b.dateTime <= a.dateTime + INTERVAL 20 SECONDS
GROUP BY a.id, a.category, a.dateTime;

INSERT INTO result
SELECT window.start AS day, category, avg(final) AS average
FROM winning
GROUP BY window(dateTime, '1 day'), category;
