-- columns: auction BIGINT, price BIGINT
INSERT INTO results SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
