-- columns: `day` TIMESTAMP_LTZ(3), category BIGINT, average DOUBLE
-- changes
INSERT INTO results
SELECT CAST(FLOOR(`dateTime` TO DAY) AS TIMESTAMP_LTZ(3)), category, AVG(CAST(final AS DOUBLE))
FROM (
    SELECT a.id, a.category, a.`dateTime`, MAX(b.price) AS final
    FROM auction a JOIN bid b ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
    GROUP BY a.id, a.category, a.`dateTime`
)
GROUP BY CAST(FLOOR(`dateTime` TO DAY) AS TIMESTAMP_LTZ(3)), category;
