-- One of every stateful operator, so that their state in a checkpoint of this version stays readable.
SET parallelism = 2;
CREATE TABLE words (word STRING, n INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
    WITH (connector = 'files', path = 'in', format = 'json');
CREATE TABLE counts WITH (connector = 'files', path = 'out/counts', format = 'json');
CREATE TABLE visits WITH (connector = 'files', path = 'out/visits', format = 'json');
CREATE TABLE firsts WITH (connector = 'files', path = 'out/firsts', format = 'json');
CREATE TABLE pairs WITH (connector = 'files', path = 'out/pairs', format = 'json');
CREATE TABLE totals WITH (connector = 'files', path = 'out/totals', format = 'json', output_mode = 'update');
INSERT INTO counts
    SELECT window.start AS at, word, count(*) AS c, sum(n) AS total, max(n) AS most, count(DISTINCT n) AS kinds
    FROM words GROUP BY window(ts, '10 minutes'), word;
INSERT INTO visits
    SELECT session_window.start AS at, word, count(*) AS c FROM words GROUP BY session_window(ts, '5 minutes'), word;
INSERT INTO firsts SELECT DISTINCT word, ts FROM words;
INSERT INTO pairs
    SELECT a.word, a.n AS n, b.n AS m FROM words a JOIN words b
    ON a.word = b.word AND b.ts > a.ts AND b.ts <= a.ts + INTERVAL '5 minutes';
INSERT INTO totals SELECT word, sum(n) AS total, avg(n) AS mean FROM words GROUP BY word;
