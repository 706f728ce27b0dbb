-- columns: auction BIGINT, bidder BIGINT, price DOUBLE, `dateTime` TIMESTAMP_LTZ(3), extra STRING
INSERT INTO results SELECT auction, bidder, CAST(0.908 * price AS DOUBLE), `dateTime`, extra FROM bid;
