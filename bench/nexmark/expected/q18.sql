-- keys: auction, bidder
SELECT auction, bidder, price, channel, url, dateTime, extra
FROM bid
QUALIFY row_number() OVER (
    PARTITION BY auction, bidder ORDER BY dateTime DESC, price DESC, channel DESC, url DESC, extra DESC) = 1
