-- Highest bid: the bids with the highest price of every ten seconds.
-- A join takes one event time a side; that of the bids is the window, so their time is cast, and is a value then.
CREATE VIEW highest AS
SELECT window, max(price) AS maxprice FROM bid GROUP BY window(dateTime, '10 seconds');

INSERT INTO result
SELECT b.auction, b.price, b.bidder, b.dateTime, b.extra
FROM (
    SELECT auction, price, bidder, CAST(dateTime AS TIMESTAMP) AS dateTime, extra,
           window(dateTime, '10 seconds') AS window
    FROM bid
) b
JOIN highest h ON b.window = h.window AND b.price = h.maxprice;
