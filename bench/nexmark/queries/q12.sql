-- Windows of processing time: how many bids did a bidder make in each ten seconds of the clock?
-- The windows depend on when it runs; what is checked is that a bidder's windows add up.
SET output_mode = 'update';

INSERT INTO result
SELECT bidder, count(*) AS bid_count, window.start AS starttime, window.end AS endtime
FROM (SELECT bidder, current_timestamp() AS seen FROM bid)
GROUP BY window(seen, '10 seconds'), bidder;
