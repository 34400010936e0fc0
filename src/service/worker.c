/* Background work of a home: files of deleted versions, and studies whose time has come. */
#include "service/internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <time.h>

enum {
    ROUND_MS = 1000,
    BATCH = 100,
    TRY_LIMIT = 5,
};
static const int64_t retry_after_us = 86400LL * 1000000;

struct dl_worker {
    dl_service *service;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards the two below */
    pthread_cond_t changed;
    bool awake, stopping;
};

static void log_failure(const char *op, const dl_error *cause)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_WARN, "service", op);
    dl_log_error(&line, cause);
    dl_log_end(&line);
}

static dl_status remove_file(dl_worker *w, const dl_index_garbage *g, dl_error *err)
{
    char key[DL_SERVICE_KEY_SIZE];
    dl_service_key(&w->service->settings, g->partition_name, g->watermark, key);
    return dl_store_remove(w->service->store, dl_str_of(key), err);
}

/* True when there may be more. */
static dl_status sweep(dl_worker *w, bool *out_more, dl_error *err)
{
    dl_service *service = w->service;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_index_garbage *list = NULL;
    size_t count = 0;
    int64_t now_us = dl_service_now_us(service);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to remove files");
    }
    DL_TRY(dl_index_garbage_due(service->index, &(dl_index_due){now_us, BATCH}, arena, &list,
                                &count, err));
    *out_more = count == BATCH;
    if (count == 0) {
        return DL_OK;
    }
    bool *removed = dl_arena_alloc(arena, count, sizeof *removed);
    if (removed == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        dl_error cause = {0};
        removed[i] = remove_file(w, &list[i], &cause) == DL_OK;
        if (!removed[i]) {
            log_failure(list[i].tries + 1 < TRY_LIMIT ? "remove" : "remove-given-up", &cause);
        }
    }
    dl_index_tx *tx = NULL;
    DL_TRY(dl_index_begin(service->index, &tx, err));
    dl_status status = DL_OK;
    for (size_t i = 0; i < count && status == DL_OK; i++) {
        int64_t later_us = list[i].tries + 1 < TRY_LIMIT ? now_us + retry_after_us : INT64_MAX;
        status = removed[i] ? dl_index_garbage_done(tx, list[i].watermark, err)
                            : dl_index_garbage_retry(tx, list[i].watermark, later_us, err);
    }
    if (status != DL_OK) {
        dl_index_rollback(tx);
        return status;
    }
    return dl_index_commit(tx, err);
}

static dl_status expire(dl_worker *w, dl_error *err)
{
    dl_service *service = w->service;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_index_scope *list = NULL;
    size_t count = 0;
    int64_t now_us = dl_service_now_us(service);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to expire studies");
    }
    DL_TRY(dl_index_expired(service->index, &(dl_index_due){now_us, BATCH}, arena, &list, &count,
                            err));
    for (size_t i = 0; i < count; i++) {
        dl_index_tx *tx = NULL;
        int64_t instances = 0;
        DL_TRY(dl_index_begin(service->index, &tx, err));
        dl_status status = dl_index_delete(
            tx, &list[i], now_us + service->settings.deletion_delay_s * 1000000, &instances, err);
        if (status != DL_OK) {
            dl_index_rollback(tx);
            if (status == DL_E_NOT_FOUND) {
                continue; /* somebody was faster */
            }
            return status;
        }
        DL_TRY(dl_index_commit(tx, err));
        dl_log_line line;
        dl_log_begin(&line, DL_LOG_INFO, "service", "expire");
        dl_log_str(&line, "study_uid", list[i].study_uid);
        dl_log_int(&line, "instances", instances);
        dl_log_end(&line);
    }
    return DL_OK;
}

/* Until the next round, a wake-up or the end; false at the end. */
static bool wait_round(dl_worker *w, bool at_once)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ROUND_MS / 1000;
    pthread_mutex_lock(&w->lock);
    int code = 0;
    while (!at_once && !w->awake && !w->stopping && code == 0) {
        code = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    }
    w->awake = false;
    bool go_on = !w->stopping;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void *run(void *context)
{
    dl_worker *w = context;
    bool more = false;
    while (wait_round(w, more)) {
        dl_error cause = {0};
        more = false;
        if (expire(w, &cause) != DL_OK) {
            log_failure("expire", &cause);
        }
        if (sweep(w, &more, &cause) != DL_OK) {
            log_failure("sweep", &cause);
            more = false;
        }
    }
    return NULL;
}

dl_status dl_worker_create(dl_service *service, dl_worker **out_worker, dl_error *err)
{
    dl_worker *w = dl_mem_zalloc(1, sizeof *w);
    if (w == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for the worker");
    }
    w->service = service;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int code = pthread_create(&w->thread, NULL, run, w);
    if (code != 0) {
        dl_worker_destroy(w);
        return dl_error_errno(err, code, "cannot start the worker");
    }
    w->started = true;
    *out_worker = w;
    return DL_OK;
}

void dl_worker_wake(dl_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->awake = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void dl_worker_destroy(dl_worker *w)
{
    if (w == NULL) {
        return;
    }
    if (w->started) {
        pthread_mutex_lock(&w->lock);
        w->stopping = true;
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    dl_mem_free(w);
}
