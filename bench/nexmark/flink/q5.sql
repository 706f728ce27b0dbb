-- columns: starttime TIMESTAMP_LTZ(3), endtime TIMESTAMP_LTZ(3), auction BIGINT, num BIGINT
CREATE TEMPORARY VIEW counts AS
SELECT window_start, window_end, auction, COUNT(*) AS num
FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY auction, window_start, window_end;

CREATE TEMPORARY VIEW most AS
SELECT window_start, window_end, MAX(num) AS maxn FROM counts GROUP BY window_start, window_end;

INSERT INTO results
SELECT CAST(c.window_start AS TIMESTAMP_LTZ(3)), CAST(c.window_end AS TIMESTAMP_LTZ(3)), c.auction, c.num
FROM counts c JOIN most m ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.num = m.maxn;
