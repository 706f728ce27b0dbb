-- Steps 3 to 6: validate, mask, process, write to several sinks. Steps 7 and 8, monitoring and cost, are
-- the page that `tidemill run` serves meanwhile and the summary it ends with.
SET trigger = 'asap';
SET dead_letter = 'dead_letters';

-- 3. Columns and types come from the registry. A record that breaks them lands in dead_letters, with
--    its bytes and the reason.
CREATE TABLE events (WATERMARK FOR timestamp AS timestamp - INTERVAL '30 seconds') WITH (
    connector = 'log', path = '${OUT}/log', topic = 'user-events', format = 'json',
    schema_registry = '${DEMO}/registry', schema_subject = 'user-events'
);
CREATE TABLE dead_letters WITH (connector = 'delta', path = '${OUT}/tables/dead_letters');

-- 4. From here on no view shows a whole e-mail address or phone number.
CREATE VIEW masked AS
SELECT event_id, user_id, session_id, event_type, duration, timestamp,
       mask_email(email) AS email, mask_phone(phone) AS phone
FROM events;

-- 5. Enrichment by a static table, then a window of 5 minutes sliding by 1 minute, per user.
CREATE TABLE plans (user_id STRING, plan STRING, region STRING) WITH (
    connector = 'files', path = '${DEMO}/plans.csv', format = 'csv', header = 'true', static = 'true'
);
CREATE VIEW user_metrics AS
SELECT window.start AS window_start, window.end AS window_end, user_id, plan, region,
       count(*) AS event_count, count(DISTINCT session_id) AS session_count, avg(duration) AS avg_duration,
       max(email) AS email, max(phone) AS phone
FROM masked JOIN plans USING (user_id)
GROUP BY window(timestamp, '5 minutes', '1 minute'), user_id, plan, region;

-- 6. The same rows for history, for analytics, and for you to watch (the busiest users).
CREATE TABLE gold WITH (connector = 'delta', path = '${OUT}/tables/user_metrics');
CREATE TABLE analytics WITH (connector = 'files', path = '${OUT}/analytics', format = 'parquet');
CREATE TABLE screen WITH (connector = 'console', num_rows = '3');

INSERT INTO gold SELECT * FROM user_metrics;
INSERT INTO analytics SELECT * FROM user_metrics;
INSERT INTO screen
SELECT window_start, user_id, plan, event_count AS events, session_count AS sessions,
       round(avg_duration, 2) AS avg_duration, email, phone
FROM user_metrics WHERE event_count >= 2000;
