-- columns: `day` TIMESTAMP_LTZ(3), seller BIGINT, average DOUBLE
-- changes
CREATE TEMPORARY VIEW winning AS
SELECT a.id, a.seller, a.`dateTime`, MAX(b.price) AS final
FROM auction a JOIN bid b ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
GROUP BY a.id, a.seller, a.`dateTime`;

INSERT INTO results
SELECT CAST(FLOOR(`dateTime` TO DAY) AS TIMESTAMP_LTZ(3)), seller, AVG(CAST(final AS DOUBLE))
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY seller ORDER BY `dateTime` DESC, id DESC) AS place FROM winning)
WHERE place <= 10
GROUP BY CAST(FLOOR(`dateTime` TO DAY) AS TIMESTAMP_LTZ(3)), seller;
