WITH winning AS (
    SELECT a.id, a.seller, a.dateTime, max(b.price) AS final
    FROM final_auction a JOIN final_bid b ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
    GROUP BY ALL
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY seller ORDER BY dateTime DESC, id DESC) AS place FROM winning
)
SELECT CAST(date_trunc('day', dateTime) AS TIMESTAMP) AS day, seller, avg(final) AS average FROM numbered WHERE place <= 10 GROUP BY ALL
