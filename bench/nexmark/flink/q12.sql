-- Windows of the clock as numbers of ten seconds: Flink drops windows of processing time that are open where its input ends.
-- columns: bidder BIGINT, bid_count BIGINT, seen BIGINT
-- changes
-- result: SELECT bidder, CAST(sum(bid_count) AS BIGINT) AS bid_count FROM result GROUP BY bidder
INSERT INTO results
SELECT bidder, COUNT(*), seen FROM (SELECT bidder, UNIX_TIMESTAMP() / 10 AS seen FROM bid) GROUP BY bidder, seen;
