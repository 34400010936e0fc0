/*
 * Group commit: what all requests have ready shares one round of syncs and one transaction.
 *
 * Two threads, one after the other: the publisher draws watermarks and gives files their names, the
 * indexer puts their rows into one transaction and wakes the requests. While one group is being put
 * into the index the next is being published. Jobs stay in order from the first queue to the last.
 */
#include "service/internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

enum { TAKE_LIMIT = 2 * DL_SERVICE_GROUP_LIMIT };

typedef struct job {
    struct job *next;
    dl_commit_item *items;
    size_t count;
    sem_t done; /* posted once; the job is its waiter's from then on */
} job;

typedef struct queue {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t arrived;
    job *first, **last;
    bool closed;
} queue;

typedef struct stage {
    dl_committer *committer;
    queue in;
    pthread_t thread;
    bool started;
    dl_commit_item *group[TAKE_LIMIT]; /* of the thread alone: what it is working on */
} stage;

struct dl_committer {
    dl_service *service;
    stage publisher, indexer;
    dl_store_publish_item publish[TAKE_LIMIT]; /* of the publisher */
};

int64_t dl_service_now_us(const dl_service *service)
{
    return dl_clock_now_us(&service->clock);
}

void dl_service_key(const dl_service_settings *settings, dl_str partition_name, int64_t watermark,
                    char out_key[DL_SERVICE_KEY_SIZE])
{
    char number[24];
    char spread[24];
    int n = snprintf(number, sizeof number, "%lld", (long long)watermark);
    uint64_t hash = dl_store_xxh64((dl_bytes){(const uint8_t *)number, (size_t)n});
    (void)snprintf(spread, sizeof spread, "%llu", (unsigned long long)hash);
    (void)snprintf(out_key, DL_SERVICE_KEY_SIZE, "AHDS/%s/dicom/%s/%.*s/%.3s_%s.dcm",
                   settings->workspace, settings->name, DL_STR_ARG(partition_name), spread, number);
}

static void log_failure(const char *op, const dl_error *cause)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "service", op);
    dl_log_error(&line, cause);
    dl_log_end(&line);
}

static void fail(dl_commit_item *item, const char *op, const dl_error *cause)
{
    item->status = cause->status == DL_OK ? DL_E_IO : cause->status;
    log_failure(op, cause);
}

/* ---- queues ---- */

static void queue_init(queue *q)
{
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->arrived, NULL);
    q->last = &q->first;
}

static void queue_clear(queue *q)
{
    pthread_cond_destroy(&q->arrived);
    pthread_mutex_destroy(&q->lock);
}

/* Append a list of jobs. */
static void queue_put(queue *q, job *jobs)
{
    pthread_mutex_lock(&q->lock);
    *q->last = jobs;
    while (*q->last != NULL) {
        q->last = &(*q->last)->next;
    }
    pthread_cond_signal(&q->arrived);
    pthread_mutex_unlock(&q->lock);
}

static void queue_close(queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_signal(&q->arrived);
    pthread_mutex_unlock(&q->lock);
}

/* Take whole jobs while they fit; waits for the first. NULL when there will be none any more. */
static job *queue_take(queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->first == NULL && !q->closed) {
        pthread_cond_wait(&q->arrived, &q->lock);
    }
    job *taken = q->first;
    job **end = &taken;
    size_t count = 0;
    while (*end != NULL && count + (*end)->count <= TAKE_LIMIT) {
        count += (*end)->count;
        end = &(*end)->next;
    }
    q->first = *end;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    *end = NULL;
    pthread_mutex_unlock(&q->lock);
    return taken;
}

/* ---- publishing ---- */

/* Watermarks are drawn here, in commit order, so that after a crash every file without a row is
 * above the last committed one. */
static size_t prepare(dl_committer *c, const job *jobs)
{
    size_t ready = 0;
    for (const job *j = jobs; j != NULL; j = j->next) {
        for (size_t i = 0; i < j->count; i++) {
            dl_commit_item *item = &j->items[i];
            dl_error cause = {0};
            item->status = dl_index_next_watermark(c->service->index, &item->put.watermark, &cause);
            if (item->status != DL_OK) {
                fail(item, "watermark", &cause);
                continue;
            }
            dl_service_key(&c->service->settings, item->partition_name, item->put.watermark,
                           item->key);
            c->publish[ready] =
                (dl_store_publish_item){.spool = item->spool, .key = dl_str_of(item->key)};
            c->publisher.group[ready] = item;
            ready++;
        }
    }
    return ready;
}

/* A file that has the name of one that is new: the index is older than the files. */
static void publish_again(dl_committer *c, dl_store_publish_item *p, const char *key)
{
    dl_error cause = {0};
    if (dl_service_set_aside(c->service, key, &cause) != DL_OK) {
        log_failure("set-aside", &cause);
        return;
    }
    dl_store_publish(c->service->store, p, 1);
}

static void publish(dl_committer *c, size_t count)
{
    dl_store_publish(c->service->store, c->publish, count);
    for (size_t i = 0; i < count; i++) {
        dl_commit_item *item = c->publisher.group[i];
        dl_store_publish_item *p = &c->publish[i];
        if (p->status == DL_E_EXISTS) {
            publish_again(c, p, item->key);
        }
        item->status = p->status;
        if (p->status != DL_OK) {
            dl_error cause = {0};
            (void)dl_error_set(&cause, p->status, "cannot store %s: %s", item->key,
                               dl_status_name(p->status));
            fail(item, "publish", &cause);
            continue;
        }
        item->put.size_bytes = p->stat.size_bytes;
        item->put.tag = p->stat.tag;
        static_assert(sizeof item->put.hash == sizeof p->stat.hash, "one kind of hash");
        memcpy(item->put.hash, p->stat.hash, sizeof item->put.hash);
    }
}

static void *run_publisher(void *context)
{
    stage *s = context;
    dl_committer *c = s->committer;
    for (job *jobs = queue_take(&s->in); jobs != NULL; jobs = queue_take(&s->in)) {
        size_t count = prepare(c, jobs);
        if (count > 0) {
            publish(c, count);
        }
        queue_put(&c->indexer.in, jobs);
    }
    queue_close(&c->indexer.in);
    return NULL;
}

/* ---- indexing ---- */

/* What was published; the rest has its status already. */
static size_t gather(stage *s, const job *jobs)
{
    size_t count = 0;
    for (const job *j = jobs; j != NULL; j = j->next) {
        for (size_t i = 0; i < j->count; i++) {
            if (j->items[i].status == DL_OK) {
                s->group[count++] = &j->items[i];
            }
        }
    }
    return count;
}

static dl_status put_all(const stage *s, dl_commit_item *const *items, size_t count, dl_error *err)
{
    dl_index_tx *tx = NULL;
    DL_TRY(dl_index_begin(s->committer->service->index, &tx, err));
    for (size_t i = 0; i < count; i++) {
        dl_commit_item *item = items[i];
        dl_error cause = {0};
        item->status = dl_index_put_instance(tx, &item->put, &item->outcome, &cause);
        if (item->status != DL_OK) { /* what ended the transaction comes out of the commit */
            log_failure("index", &cause);
        }
    }
    return dl_index_commit(tx, err);
}

static void remove_unused(const stage *s, dl_commit_item *const *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const dl_commit_item *item = items[i];
        dl_error cause = {0};
        bool used = item->status == DL_OK && item->outcome != DL_INDEX_EXISTS;
        if (!used &&
            dl_store_remove(s->committer->service->store, dl_str_of(item->key), &cause) != DL_OK) {
            log_failure("remove", &cause); /* nothing speaks of it: `verify` names it, or the next
                                              start moves it aside */
        }
    }
}

/* A commit whose sync failed may stand whole in the log: after a crash it would count. A write that
 * lasts takes its place there. Until one does the files stay; the next start finds their rows or
 * moves them aside. */
static bool is_undone(const stage *s)
{
    dl_error cause = {0};
    return dl_index_setting_put(s->committer->service->index, DL_STR("commit.undone"), DL_STR("1"),
                                &cause) == DL_OK;
}

/* Whether the next transaction would fail in the same way, whatever it holds. */
static bool is_of_the_disk(dl_status status)
{
    return status == DL_E_UNAVAILABLE || status == DL_E_IO || status == DL_E_DENIED;
}

/* DL_OK, or why none of the items was kept; then nothing has become of their files. */
static dl_status try_all(const stage *s, dl_commit_item *const *items, size_t count)
{
    dl_error cause = {0};
    dl_status status = put_all(s, items, count, &cause);
    if (status != DL_OK) {
        log_failure("commit", &cause);
    }
    return status;
}

static void conclude(const stage *s, dl_commit_item *const *items, size_t count, dl_status status)
{
    for (size_t i = 0; i < count && status != DL_OK; i++) {
        items[i]->status = status;
    }
    if (status != DL_E_UNAVAILABLE || is_undone(s)) {
        remove_unused(s, items, count);
    }
}

static void commit(const stage *s, dl_commit_item *const *items, size_t count)
{
    dl_status status = try_all(s, items, count);
    if (status == DL_OK || count == 1 || is_of_the_disk(status)) {
        conclude(s, items, count, status);
        return;
    }
    for (size_t i = 0; i < count; i++) { /* one that cannot be kept takes none with it */
        conclude(s, &items[i], 1, try_all(s, &items[i], 1));
    }
}

static void *run_indexer(void *context)
{
    stage *s = context;
    for (job *jobs = queue_take(&s->in); jobs != NULL; jobs = queue_take(&s->in)) {
        size_t count = gather(s, jobs);
        if (count > 0) {
            commit(s, s->group, count);
        }
        for (job *j = jobs; j != NULL;) {
            job *next = j->next;
            (void)sem_post(&j->done);
            j = next;
        }
    }
    return NULL;
}

/* ---- life ---- */

static dl_status start(stage *s, void *(*run)(void *), dl_error *err)
{
    int code = pthread_create(&s->thread, NULL, run, s);
    if (code != 0) {
        return dl_error_errno(err, code, "cannot start the committer");
    }
    s->started = true;
    return DL_OK;
}

dl_status dl_committer_create(dl_service *service, dl_committer **out_committer, dl_error *err)
{
    dl_committer *c = dl_mem_zalloc(1, sizeof *c);
    if (c == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for the committer");
    }
    c->service = service;
    c->publisher.committer = c;
    c->indexer.committer = c;
    queue_init(&c->publisher.in);
    queue_init(&c->indexer.in);
    dl_status status = start(&c->indexer, run_indexer, err);
    if (status == DL_OK) {
        status = start(&c->publisher, run_publisher, err);
    }
    if (status != DL_OK) {
        dl_committer_destroy(c);
        return status;
    }
    *out_committer = c;
    return DL_OK;
}

void dl_committer_destroy(dl_committer *c)
{
    if (c == NULL) {
        return;
    }
    if (c->publisher.started) {
        queue_close(&c->publisher.in); /* its thread closes the next queue when it ends */
        pthread_join(c->publisher.thread, NULL);
    } else {
        queue_close(&c->indexer.in);
    }
    if (c->indexer.started) {
        pthread_join(c->indexer.thread, NULL);
    }
    queue_clear(&c->publisher.in);
    queue_clear(&c->indexer.in);
    dl_mem_free(c);
}

void dl_committer_run(dl_committer *c, dl_commit_item *items, size_t count)
{
    DL_ASSERT(count <= DL_SERVICE_GROUP_LIMIT);
    job mine = {.items = items, .count = count};
    (void)sem_init(&mine.done, 0, 0);
    queue_put(&c->publisher.in, &mine);
    while (sem_wait(&mine.done) != 0) {
        DL_ASSERT(errno == EINTR);
    }
    (void)sem_destroy(&mine.done);
}
