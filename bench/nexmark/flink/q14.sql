-- columns: auction BIGINT, bidder BIGINT, price DOUBLE, bidTimeType STRING, `dateTime` TIMESTAMP_LTZ(3), extra STRING, c_counts BIGINT
INSERT INTO results
SELECT auction, bidder, CAST(0.908 * price AS DOUBLE),
       CASE WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18 THEN 'dayTime'
            WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime'
            ELSE 'otherTime' END,
       `dateTime`, extra, CHAR_LENGTH(extra) - CHAR_LENGTH(REPLACE(extra, 'c', ''))
FROM bid
WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
