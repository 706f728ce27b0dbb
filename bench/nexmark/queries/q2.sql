-- Selection: the bids of some auctions.
INSERT INTO result
SELECT auction, price FROM bid WHERE mod(auction, 123) = 0;
