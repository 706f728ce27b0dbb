/* What the client library can do and no more: a bare loop over librdkafka, without decoding a record.
 *
 *   kafka_loop produce BROKERS TOPIC COUNT        records of 200 bytes of JSON, spread over the partitions
 *   kafka_loop copy BROKERS FROM TO COUNT         consumes COUNT records and produces each again
 *   kafka_loop copy-txn BROKERS FROM TO COUNT     the same in transactions of 100,000 records, offsets in them
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORD_BYTES 200
#define TRANSACTION_RECORDS 100000
#define WAIT_MS 60000

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) fail(name, why);
}

static void check(rd_kafka_error_t *error, const char *what) {
    if (error) fail(what, rd_kafka_error_string(error));
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[512];
    rd_kafka_t *made = rd_kafka_new(type, conf, why, sizeof why);
    if (!made) fail("client", why);
    return made;
}

static long lost;

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer, (void)opaque;
    if (message->err) lost++;
}

static rd_kafka_t *producer(const char *brokers, const char *transaction) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "linger.ms", "20");
    set(conf, "batch.num.messages", "10000");
    set(conf, "queue.buffering.max.messages", "1000000");
    if (transaction) set(conf, "transactional.id", transaction);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *made = client(RD_KAFKA_PRODUCER, conf);
    if (transaction) check(rd_kafka_init_transactions(made, WAIT_MS), "init transactions");
    return made;
}

/* Takes the record, waiting while the producer's queue is full. */
static void put(rd_kafka_t *producer, rd_kafka_topic_t *topic, const void *value, size_t bytes) {
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)value, bytes, NULL, 0, NULL)) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(producer, 10);
    }
}

static void finish(rd_kafka_t *producer) {
    if (rd_kafka_flush(producer, WAIT_MS) || lost) fail("flush", "records were not delivered");
}

static unsigned long draw(unsigned long *state) {
    *state = *state * 6364136223846793005UL + 1442695040888963407UL;
    return *state >> 33;
}

static void produce(const char *brokers, const char *to, long count) {
    static const char *types[] = {"page_view", "click", "add_cart", "purchase", "search", "login", "logout", "share"};
    rd_kafka_t *out = producer(brokers, NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(out, to, NULL);
    unsigned long seed = 42;
    char text[RECORD_BYTES + 1];
    for (long number = 0; number < count; number++) {
        long ms = number % 86400000;
        int bytes = snprintf(text, sizeof text,
            "{\"user_id\":\"u%06lu\",\"session_id\":\"s%07lx\",\"event_type\":\"%s\",\"duration\":%lu.%03lu,\"amount\":%lu.%02lu,"
            "\"timestamp\":\"2026-01-01T%02ld:%02ld:%02ld.%03ldZ\",\"event_id\":\"%08ld-",
            draw(&seed) % 100000, draw(&seed) % 0xFFFFFFF, types[draw(&seed) % 8], draw(&seed) % 120, draw(&seed) % 1000,
            draw(&seed) % 1000, draw(&seed) % 100, ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000, number);
        memset(text + bytes, 'x', RECORD_BYTES - 2 - bytes);
        memcpy(text + RECORD_BYTES - 2, "\"}", 2);
        put(out, topic, text, RECORD_BYTES);
    }
    finish(out);
}

static void copy(const char *brokers, const char *from, const char *to, long count, int transactions) {
    char id[64];
    snprintf(id, sizeof id, "loop-%ld", (long)time(NULL));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", id);
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "enable.auto.commit", "false");
    set(conf, "isolation.level", "read_committed");
    rd_kafka_t *in = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(in);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, from, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(in, topics)) fail("subscribe", from);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(in);

    rd_kafka_t *out = producer(brokers, transactions ? id : NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(out, to, NULL);
    rd_kafka_message_t *batch[1000];
    for (long done = 0, open = 0; done < count;) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 1000, batch, 1000);
        if (transactions && !open && got > 0) check(rd_kafka_begin_transaction(out), "begin"), open = 1;
        for (ssize_t at = 0; at < got; at++) {
            if (!batch[at]->err && done < count) put(out, topic, batch[at]->payload, batch[at]->len), done++, open++;
            rd_kafka_message_destroy(batch[at]);
        }
        if (transactions && open && (open > TRANSACTION_RECORDS || done == count)) {
            rd_kafka_topic_partition_list_t *offsets;
            if (rd_kafka_assignment(in, &offsets) || rd_kafka_position(in, offsets)) fail("position", from);
            rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(in);
            check(rd_kafka_send_offsets_to_transaction(out, offsets, group, WAIT_MS), "offsets");
            check(rd_kafka_commit_transaction(out, WAIT_MS), "commit");
            rd_kafka_consumer_group_metadata_destroy(group);
            rd_kafka_topic_partition_list_destroy(offsets);
            open = 0;
        }
        rd_kafka_poll(out, 0);
    }
    finish(out);
    rd_kafka_consumer_close(in);
}

int main(int count, char **told) {
    if (count == 5 && !strcmp(told[1], "produce")) produce(told[2], told[3], atol(told[4]));
    else if (count == 6 && !strcmp(told[1], "copy")) copy(told[2], told[3], told[4], atol(told[5]), 0);
    else if (count == 6 && !strcmp(told[1], "copy-txn")) copy(told[2], told[3], told[4], atol(told[5]), 1);
    else fail("kafka_loop", "see the head of kafka_loop.c");
    return 0;
}
