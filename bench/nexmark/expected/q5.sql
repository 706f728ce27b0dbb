WITH counts AS (
    SELECT time_bucket(INTERVAL 2 SECONDS, dateTime) - to_seconds(2 * before) AS starttime, auction, count(*) AS num
    FROM final_bid CROSS JOIN range(5) AS earlier(before)
    GROUP BY ALL
)
SELECT starttime, starttime + INTERVAL 10 SECONDS AS endtime, auction, num
FROM counts
QUALIFY num = max(num) OVER (PARTITION BY starttime)
