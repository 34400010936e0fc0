/* The queue between walk and workers. */
#include "tap.h"

#include "cli/queue.h"

#include <pthread.h>

static dl_cli_item *make_item(const char *name, uint64_t size)
{
    dl_cli_item *item = dl_cli_item_create(dl_str_of(name));
    if (item != NULL) {
        item->size_bytes = size;
    }
    return item;
}

static void drop(dl_cli_item **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dl_cli_item_destroy(items[i]);
    }
}

TAP_CASE(batches_stay_within_their_limits)
{
    static const struct {
        const char *name;
        uint64_t sizes[5];
        size_t limit;
        uint64_t limit_bytes;
        size_t want; /* in the first batch */
    } cases[] = {
        {"all fit", {10, 20, 30, 20, 20}, 5, 100, 5},
        {"one byte too many", {10, 20, 30, 20, 21}, 5, 100, 4},
        {"one item too many", {1, 1, 1, 1, 1}, 4, 100, 4},
        {"a large one goes alone", {101, 1, 1, 1, 1}, 5, 100, 1},
        {"a large one waits", {1, 101, 1, 1, 1}, 5, 100, 1},
        {"sizes near the end of the range", {UINT64_MAX, UINT64_MAX, 1, 1, 1}, 5, 100, 1},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_cancel stop = {0};
        DL_AUTO(dl_cli_queue) queue = NULL;
        TAP_OK(dl_cli_queue_create(&stop, &queue, &err), err);
        for (size_t k = 0; k < 5; k++) {
            TAP_TRUE(dl_cli_queue_push(queue, make_item("x", cases[i].sizes[k])));
        }
        dl_cli_item *items[5];
        size_t got = dl_cli_queue_take(queue, items, cases[i].limit, cases[i].limit_bytes);
        TAP_EQ_INT(got, cases[i].want);
        drop(items, got);
        TAP_ROW_END(cases[i].name);
    }
}

TAP_CASE(offers_are_refused_at_the_bounds)
{
    dl_error err = {0};
    dl_cancel stop = {0};
    DL_AUTO(dl_cli_queue) queue = NULL;
    TAP_OK(dl_cli_queue_create(&stop, &queue, &err), err);
    for (int i = 0; i < DL_CLI_QUEUE_LIMIT; i++) {
        TAP_TRUE(dl_cli_queue_offer(queue, make_item("x", 1)));
    }
    dl_cli_item *one_more = make_item("y", 1);
    TAP_TRUE(!dl_cli_queue_offer(queue, one_more));
    dl_cli_item *taken = NULL;
    TAP_EQ_INT(dl_cli_queue_take(queue, &taken, 1, 1), 1);
    dl_cli_item_destroy(taken);
    TAP_TRUE(dl_cli_queue_offer(queue, one_more));
}

TAP_CASE(bytes_held_are_bounded)
{
    dl_error err = {0};
    dl_cancel stop = {0};
    DL_AUTO(dl_cli_queue) queue = NULL;
    TAP_OK(dl_cli_queue_create(&stop, &queue, &err), err);
    size_t half = DL_CLI_QUEUE_LIMIT_BYTES / 2;
    const size_t sizes[] = {half, half, 1};
    for (size_t i = 0; i < DL_COUNT_OF(sizes); i++) {
        dl_cli_item *item = make_item("x", sizes[i]);
        dl_buf_init(&item->bytes, sizes[i]);
        TAP_OK(dl_buf_reserve(&item->bytes, sizes[i], &err), err);
        item->bytes.len = sizes[i];
        bool taken = dl_cli_queue_offer(queue, item);
        TAP_EQ_INT(taken, i < 2);
        if (!taken) {
            dl_cli_item_destroy(item);
        }
    }
}

typedef struct shared {
    dl_cli_queue *queue;
    size_t got;
} shared;

static void *take_all(void *context)
{
    shared *s = context;
    dl_cli_item *items[7];
    size_t count = 0;
    while ((count = dl_cli_queue_take(s->queue, items, 7, 100)) > 0) {
        s->got += count;
        drop(items, count);
    }
    return NULL;
}

/** More items than there is room for: the producer waits, the takers end when it does. */
TAP_CASE(everything_arrives_once)
{
    enum { TAKERS = 3, ITEMS = 3 * DL_CLI_QUEUE_LIMIT };
    dl_error err = {0};
    dl_cancel stop = {0};
    DL_AUTO(dl_cli_queue) queue = NULL;
    TAP_OK(dl_cli_queue_create(&stop, &queue, &err), err);
    shared takers[TAKERS];
    pthread_t threads[TAKERS];
    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (shared){queue, 0};
        TAP_EQ_INT(pthread_create(&threads[i], NULL, take_all, &takers[i]), 0);
    }
    for (int i = 0; i < ITEMS; i++) {
        TAP_TRUE(dl_cli_queue_push(queue, make_item("x", 1)));
    }
    dl_cli_queue_begin(queue); /* a second producer keeps it open */
    dl_cli_queue_end(queue);
    TAP_TRUE(dl_cli_queue_push(queue, make_item("x", 1)));
    dl_cli_queue_end(queue);
    size_t total = 0;
    for (int i = 0; i < TAKERS; i++) {
        (void)pthread_join(threads[i], NULL);
        total += takers[i].got;
    }
    TAP_EQ_INT(total, ITEMS + 1);
}

TAP_CASE(asked_to_stop_nobody_waits)
{
    dl_error err = {0};
    dl_cancel stop = {0};
    DL_AUTO(dl_cli_queue) queue = NULL;
    TAP_OK(dl_cli_queue_create(&stop, &queue, &err), err);
    TAP_TRUE(dl_cli_queue_push(queue, make_item("x", 1)));
    dl_cancel_ask(&stop);
    dl_cli_item *item = make_item("y", 1);
    TAP_TRUE(!dl_cli_queue_push(queue, item));
    TAP_TRUE(!dl_cli_queue_offer(queue, item));
    dl_cli_item_destroy(item);
    dl_cli_item *taken = NULL;
    TAP_EQ_INT(dl_cli_queue_take(queue, &taken, 1, 1), 0);
}

int main(void)
{
    batches_stay_within_their_limits();
    TAP_RUN(offers_are_refused_at_the_bounds);
    TAP_RUN(bytes_held_are_bounded);
    TAP_RUN(everything_arrives_once);
    TAP_RUN(asked_to_stop_nobody_waits);
    return tap_done();
}
