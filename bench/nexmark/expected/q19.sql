-- keys: auction
SELECT auction,
       list({'price': price, 'bidder': bidder, 'dateTime': dateTime} ORDER BY price DESC, bidder DESC, dateTime DESC)[1:10] AS bids
FROM bid GROUP BY auction
