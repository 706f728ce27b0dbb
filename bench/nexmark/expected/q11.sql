WITH marked AS (
    SELECT bidder, dateTime,
           coalesce(dateTime - lag(dateTime) OVER (PARTITION BY bidder ORDER BY dateTime) > INTERVAL 10 SECONDS, true) AS begins
    FROM final_bid
), numbered AS (
    SELECT *, sum(begins::INT) OVER (PARTITION BY bidder ORDER BY dateTime ROWS UNBOUNDED PRECEDING) AS session FROM marked
)
SELECT bidder, count(*) AS bid_count, min(dateTime) AS starttime, max(dateTime) + INTERVAL 10 SECONDS AS endtime
FROM numbered GROUP BY bidder, session
