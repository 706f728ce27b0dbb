-- columns: auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP_LTZ(3), extra STRING
INSERT INTO results SELECT auction, bidder, price, `dateTime`, extra FROM bid;
