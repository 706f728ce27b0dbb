-- The last bid of each bidder on each auction.
-- Adapted: Nexmark numbers the bids (row_number over time, descending) and keeps the first; that is the greatest of
-- (time, price), which an aggregate gives.
SET output_mode = 'update';

INSERT INTO result
SELECT auction, bidder, last.price AS price, last.channel AS channel, last.url AS url, last.dateTime AS dateTime,
       last.extra AS extra
FROM (
    SELECT auction, bidder,
           max(struct(dateTime AS dateTime, price AS price, channel AS channel, url AS url, extra AS extra)) AS last
    FROM bid
    GROUP BY auction, bidder
);
