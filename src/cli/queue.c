#include "cli/queue.h"

#include "base/mem.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 50 }; /* how often someone who waits looks whether to stop */

struct dl_cli_queue {
    dl_cancel *stop;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    dl_cli_item *first, *last;
    size_t count, bytes, producers;
};

dl_cli_item *dl_cli_item_create(dl_str name)
{
    dl_cli_item *item = dl_mem_zalloc(1, sizeof *item + name.len + 1);
    if (item != NULL && name.len > 0) {
        memcpy(item->name, name.ptr, name.len);
    }
    return item;
}

void dl_cli_item_destroy(dl_cli_item *item)
{
    if (item != NULL) {
        dl_buf_clear(&item->bytes);
        dl_mem_free(item);
    }
}

dl_status dl_cli_queue_create(dl_cancel *stop, dl_cli_queue **out_queue, dl_error *err)
{
    dl_cli_queue *queue = dl_mem_zalloc(1, sizeof *queue);
    if (queue == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "queue: out of memory");
    }
    queue->stop = stop;
    queue->producers = 1;
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->changed, NULL);
    *out_queue = queue;
    return DL_OK;
}

void dl_cli_queue_destroy(dl_cli_queue *queue)
{
    if (queue != NULL) {
        while (queue->first != NULL) {
            dl_cli_item *next = queue->first->next;
            dl_cli_item_destroy(queue->first);
            queue->first = next;
        }
        (void)pthread_cond_destroy(&queue->changed);
        (void)pthread_mutex_destroy(&queue->lock);
        dl_mem_free(queue);
    }
}

/** A signal handler cannot wake us: so nobody sleeps for long. */
static void wait_a_little(dl_cli_queue *queue)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    (void)pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
}

static bool has_room(const dl_cli_queue *queue, const dl_cli_item *item)
{
    return queue->count < DL_CLI_QUEUE_LIMIT &&
           (queue->bytes == 0 || queue->bytes + item->bytes.len <= DL_CLI_QUEUE_LIMIT_BYTES);
}

static void append(dl_cli_queue *queue, dl_cli_item *item)
{
    item->next = NULL;
    if (queue->last == NULL) {
        queue->first = item;
    } else {
        queue->last->next = item;
    }
    queue->last = item;
    queue->count++;
    queue->bytes += item->bytes.len;
    (void)pthread_cond_broadcast(&queue->changed);
}

bool dl_cli_queue_push(dl_cli_queue *queue, dl_cli_item *take_item)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (!dl_cancel_asked(queue->stop) && !has_room(queue, take_item)) {
        wait_a_little(queue);
    }
    bool taken = !dl_cancel_asked(queue->stop);
    if (taken) {
        append(queue, take_item);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return taken;
}

bool dl_cli_queue_offer(dl_cli_queue *queue, dl_cli_item *take_item)
{
    (void)pthread_mutex_lock(&queue->lock);
    bool taken = !dl_cancel_asked(queue->stop) && has_room(queue, take_item);
    if (taken) {
        append(queue, take_item);
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return taken;
}

static dl_cli_item *shift(dl_cli_queue *queue)
{
    dl_cli_item *item = queue->first;
    queue->first = item->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    item->next = NULL;
    queue->count--;
    queue->bytes -= item->bytes.len;
    return item;
}

size_t dl_cli_queue_take(dl_cli_queue *queue, dl_cli_item **out_items, size_t limit,
                         uint64_t limit_bytes)
{
    size_t taken = 0;
    uint64_t total = 0;
    (void)pthread_mutex_lock(&queue->lock);
    while (!dl_cancel_asked(queue->stop) && queue->first == NULL && queue->producers > 0) {
        wait_a_little(queue);
    }
    while (
        !dl_cancel_asked(queue->stop) && queue->first != NULL && taken < limit &&
        (taken == 0 || (total <= limit_bytes && queue->first->size_bytes <= limit_bytes - total))) {
        total += queue->first->size_bytes;
        out_items[taken++] = shift(queue);
    }
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
    return taken;
}

void dl_cli_queue_begin(dl_cli_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->producers++;
    (void)pthread_mutex_unlock(&queue->lock);
}

void dl_cli_queue_end(dl_cli_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    DL_ASSERT(queue->producers > 0);
    queue->producers--;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}
