-- keys: bidder, starttime
-- result: SELECT bidder, CAST(sum(bid_count) AS BIGINT) AS bid_count FROM result GROUP BY bidder
SELECT bidder, count(*) AS bid_count FROM bid GROUP BY bidder
