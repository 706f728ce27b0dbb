-- Highest bid, for Spark: a cast to the type that is there is taken out, and the time would stay a second event time; a
-- value computed of it does not.
CREATE VIEW highest AS
SELECT window, max(price) AS maxprice FROM bid GROUP BY window(dateTime, '10 seconds');

INSERT INTO result
SELECT b.auction, b.price, b.bidder, b.dateTime, b.extra
FROM (
    SELECT auction, price, bidder, timestamp_micros(unix_micros(dateTime)) AS dateTime, extra,
           window(dateTime, '10 seconds') AS window
    FROM bid
) b
JOIN highest h ON b.window = h.window AND b.price = h.maxprice;
