-- Monitor new users: who has registered and opened an auction in the same ten seconds?
CREATE VIEW registered AS
SELECT window, id, name FROM person GROUP BY window(dateTime, '10 seconds'), id, name;

CREATE VIEW opened AS
SELECT window, seller FROM auction GROUP BY window(dateTime, '10 seconds'), seller;

INSERT INTO result
SELECT p.id, p.name, p.window.start AS starttime
FROM registered p JOIN opened a ON p.id = a.seller AND p.window = a.window;
