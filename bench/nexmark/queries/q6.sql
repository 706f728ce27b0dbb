-- Average selling price by seller: over the last ten closed auctions of each.
-- Adapted: Nexmark's form needs an OVER window above a join, on streams; here the winning bids of the auctions that open
-- on a day are collected, and the last ten of them averaged.
CREATE VIEW winning AS
SELECT a.id, a.seller, a.dateTime, max(b.price) AS final
FROM auction a JOIN bid b
  ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
 AND b.dateTime >= a.dateTime AND b.dateTime <= a.dateTime + INTERVAL 20 SECONDS
GROUP BY a.id, a.seller, a.dateTime;

CREATE VIEW by_seller AS
SELECT window, seller, sort_array(collect_list(struct(dateTime, id, final)), false) AS auctions
FROM winning
GROUP BY window(dateTime, '1 day'), seller;

INSERT INTO result
SELECT window.start AS day, seller,
       aggregate(slice(auctions, 1, 10), 0L, (total, one) -> total + one.final) / least(size(auctions), 10) AS average
FROM by_seller;
