-- Side input: every bid with a value from a table.
CREATE TABLE side_input (key BIGINT, value STRING)
WITH (connector = 'files', path = '${DATA}/side_input.csv', format = 'csv', header = 'true', static = 'true');

INSERT INTO result
SELECT b.auction, b.bidder, b.price, b.dateTime, s.value
FROM bid b JOIN side_input s ON mod(b.auction, 10000) = s.key;
