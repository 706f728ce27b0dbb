-- Local items: who sells in these states? A join without bounds of time: both sides are kept for ever.
INSERT INTO result
SELECT p.name, p.city, p.state, a.id
FROM auction a JOIN person p ON a.seller = p.id
WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA');
