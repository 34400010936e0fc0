/* Group commit: what all requests have ready shares one round of syncs and one transaction. */
#include "service/internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef struct job {
    struct job *next;
    dl_commit_item *items;
    size_t count;
    bool done;
} job;

struct dl_committer {
    dl_service *service;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* guards the queue and every job's `done` */
    pthread_cond_t arrived, finished;
    job *first, **last;
    bool stopping;

    /* of the thread alone */
    dl_commit_item *group[2 * DL_SERVICE_GROUP_LIMIT];
    dl_store_publish_item publish[2 * DL_SERVICE_GROUP_LIMIT];
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

/* Watermarks are drawn here, in commit order, so that after a crash every file without a row is
 * above the last committed one. */
static size_t prepare(dl_committer *c, size_t count)
{
    size_t ready = 0;
    for (size_t i = 0; i < count; i++) {
        dl_commit_item *item = c->group[i];
        dl_error cause = {0};
        item->status = dl_index_next_watermark(c->service->index, &item->put.watermark, &cause);
        if (item->status != DL_OK) {
            fail(item, "watermark", &cause);
            continue;
        }
        dl_service_key(&c->service->settings, item->partition_name, item->put.watermark, item->key);
        c->publish[ready] =
            (dl_store_publish_item){.spool = item->spool, .key = dl_str_of(item->key)};
        c->group[ready] = item;
        ready++;
    }
    return ready;
}

static size_t publish(dl_committer *c, size_t count)
{
    dl_store_publish(c->service->store, c->publish, count);
    size_t ready = 0;
    for (size_t i = 0; i < count; i++) {
        dl_commit_item *item = c->group[i];
        const dl_store_publish_item *p = &c->publish[i];
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
        c->group[ready++] = item;
    }
    return ready;
}

static dl_status put_all(dl_committer *c, size_t count, dl_error *err)
{
    dl_index_tx *tx = NULL;
    DL_TRY(dl_index_begin(c->service->index, &tx, err));
    for (size_t i = 0; i < count; i++) {
        dl_commit_item *item = c->group[i];
        dl_error cause = {0};
        item->status = dl_index_put_instance(tx, &item->put, &item->outcome, &cause);
        if (item->status == DL_E_NOMEM || item->status == DL_E_IO) {
            *err = cause;
            dl_index_rollback(tx);
            return cause.status;
        }
        if (item->status != DL_OK) {
            log_failure("index", &cause);
        }
    }
    return dl_index_commit(tx, err);
}

static void remove_unused(dl_committer *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const dl_commit_item *item = c->group[i];
        dl_error cause = {0};
        bool used = item->status == DL_OK && item->outcome != DL_INDEX_EXISTS;
        if (!used && dl_store_remove(c->service->store, dl_str_of(item->key), &cause) != DL_OK) {
            log_failure("remove", &cause); /* the sweep of the next start finds it */
        }
    }
}

static void commit_group(dl_committer *c, size_t count)
{
    count = prepare(c, count);
    if (count > 0) {
        count = publish(c, count);
    }
    if (count == 0) {
        return;
    }
    dl_error cause = {0};
    dl_status status = put_all(c, count, &cause);
    if (status != DL_OK) {
        log_failure("commit", &cause);
        for (size_t i = 0; i < count; i++) {
            c->group[i]->status = status;
        }
    }
    remove_unused(c, count);
}

/* Take whole jobs while they fit; waits for the first. NULL when there will be none any more. */
static job *take_jobs(dl_committer *c, size_t *out_count)
{
    pthread_mutex_lock(&c->lock);
    while (c->first == NULL && !c->stopping) {
        pthread_cond_wait(&c->arrived, &c->lock);
    }
    job *taken = c->first;
    job **end = &c->first;
    size_t count = 0;
    while (*end != NULL && count + (*end)->count <= DL_COUNT_OF(c->group)) {
        for (size_t i = 0; i < (*end)->count; i++) {
            c->group[count++] = &(*end)->items[i];
        }
        end = &(*end)->next;
    }
    c->first = *end;
    if (c->first == NULL) {
        c->last = &c->first;
    }
    *end = NULL; /* ends the list that was taken; when nothing was, `first` is NULL anyway */
    pthread_mutex_unlock(&c->lock);
    *out_count = count;
    return taken;
}

static void *run(void *context)
{
    dl_committer *c = context;
    size_t count = 0;
    for (job *jobs = take_jobs(c, &count); jobs != NULL; jobs = take_jobs(c, &count)) {
        commit_group(c, count);
        pthread_mutex_lock(&c->lock);
        for (job *j = jobs; j != NULL;) {
            job *next = j->next; /* the job is its waiter's: not touched after `done` */
            j->done = true;
            j = next;
        }
        pthread_cond_broadcast(&c->finished);
        pthread_mutex_unlock(&c->lock);
    }
    return NULL;
}

dl_status dl_committer_create(dl_service *service, dl_committer **out_committer, dl_error *err)
{
    dl_committer *c = dl_mem_zalloc(1, sizeof *c);
    if (c == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for the committer");
    }
    c->service = service;
    c->last = &c->first;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->arrived, NULL);
    pthread_cond_init(&c->finished, NULL);
    int code = pthread_create(&c->thread, NULL, run, c);
    if (code != 0) {
        dl_committer_destroy(c);
        return dl_error_errno(err, code, "cannot start the committer");
    }
    c->started = true;
    *out_committer = c;
    return DL_OK;
}

void dl_committer_destroy(dl_committer *c)
{
    if (c == NULL) {
        return;
    }
    if (c->started) {
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_cond_signal(&c->arrived);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    pthread_cond_destroy(&c->finished);
    pthread_cond_destroy(&c->arrived);
    pthread_mutex_destroy(&c->lock);
    dl_mem_free(c);
}

void dl_committer_run(dl_committer *c, dl_commit_item *items, size_t count)
{
    DL_ASSERT(count <= DL_SERVICE_GROUP_LIMIT);
    job mine = {.items = items, .count = count};
    pthread_mutex_lock(&c->lock);
    *c->last = &mine;
    c->last = &mine.next;
    pthread_cond_signal(&c->arrived);
    while (!mine.done) {
        pthread_cond_wait(&c->finished, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}
