SELECT a.id, a.itemName, a.seller, a.category, a.dateTime, b.bidder, b.price, b.dateTime AS bid_dateTime
FROM final_auction a JOIN final_bid b ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
QUALIFY row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime, b.bidder DESC) = 1
