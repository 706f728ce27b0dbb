-- columns: auction BIGINT, price BIGINT, bidder BIGINT, `dateTime` TIMESTAMP_LTZ(3), extra STRING
CREATE TEMPORARY VIEW windowed AS
SELECT auction, price, bidder, `dateTime`, extra, window_start, window_end
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND));

CREATE TEMPORARY VIEW highest AS
SELECT window_start, window_end, MAX(price) AS maxprice FROM windowed GROUP BY window_start, window_end;

INSERT INTO results
SELECT b.auction, b.price, b.bidder, b.`dateTime`, b.extra
FROM windowed b JOIN highest h
  ON b.window_start = h.window_start AND b.window_end = h.window_end AND b.price = h.maxprice;
