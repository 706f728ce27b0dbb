-- The ten highest bids of each auction.
-- Adapted: Nexmark numbers the bids (row_number by price, descending); here they are collected, sorted and cut. All bids
-- of an auction stay in state.
SET output_mode = 'update';

INSERT INTO result
SELECT auction, slice(sort_array(collect_list(struct(price, bidder, dateTime)), false), 1, 10) AS bids
FROM bid
GROUP BY auction;
