-- Pass through: what reading, decoding and writing cost.
INSERT INTO result
SELECT auction, bidder, price, dateTime, extra FROM bid;
