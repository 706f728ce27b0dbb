-- User sessions: how many bids did a bidder make in each session? Ten seconds without a bid end one.
INSERT INTO result
SELECT bidder, count(*) AS bid_count, session_window.start AS starttime, session_window.end AS endtime
FROM bid
GROUP BY session_window(dateTime, '10 seconds'), bidder;
