WITH winning AS (
    SELECT a.id, a.category, a.dateTime, max(b.price) AS final
    FROM final_auction a JOIN final_bid b ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
    GROUP BY ALL
)
SELECT CAST(date_trunc('day', dateTime) AS TIMESTAMP) AS day, category, avg(final) AS average FROM winning GROUP BY ALL
