-- Hot items: which auctions have the most bids in the last ten seconds, every two seconds?
CREATE VIEW counts AS
SELECT window, auction, count(*) AS num
FROM bid
GROUP BY window(dateTime, '10 seconds', '2 seconds'), auction;

CREATE VIEW most AS
SELECT window, max(num) AS maxn FROM counts GROUP BY window;

INSERT INTO result
SELECT c.window.start AS starttime, c.window.end AS endtime, c.auction, c.num
FROM counts c JOIN most m ON c.window = m.window
WHERE c.num >= m.maxn;
