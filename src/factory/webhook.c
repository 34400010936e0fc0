/* Webhook: tells failures and lateness to one address, from a thread of its own.
 *
 * A run that ends only puts a line into a bounded queue: a peer that is slow or gone never holds
 * one up. What the peer does not take after the last try, and what comes while the queue is full,
 * is said in the log and dropped: `run list` and /metrics have it all the same. */
#include "factory/routes.h"

#include "base/log.h"
#include "base/mem.h"
#include "factory/probe.h"
#include "factory/settings.h"
#include "http/client.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum {
    QUEUE_LIMIT = 256,
    TRY_LIMIT = 5,
    FIRST_PAUSE_MS = 1000, /* doubled with each try */
    LOOK_MS = 5000,        /* for windows that are late */
    CONNECT_TIMEOUT_S = 5,
    IDLE_TIMEOUT_S = 10,
    TEXT_LIMIT_BYTES = 1024 * 1024,
    ANSWER_LIMIT_BYTES = 64 * 1024,
    ARENA_LIMIT_BYTES = 16 * 1024 * 1024,
    WATCHED_LIMIT = 256, /* pipelines whose lateness is remembered */
};

typedef struct message {
    struct message *next;
    dl_buf text;
} message;

typedef struct watched {
    char pipeline[DL_FACTORY_NAME_LIMIT + 1];
    bool late; /* told, and not caught up since */
} watched;

struct dl_webhook {
    dl_factory *factory;
    dl_arena *arena; /* of the settings */
    dl_factory_settings settings;
    dl_http_client *client; /* of the thread */
    dl_cancel stop;
    watched watched[WATCHED_LIMIT]; /* of the thread */
    size_t watched_count;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    message *first, **last;
    size_t count;
    pthread_t thread;
    bool has_locks, has_thread;
};

static bool is_used(const dl_webhook *hook)
{
    return hook->settings.webhook.len > 0 || hook->settings.secret_kind != DL_FACTORY_SECRET_NONE;
}

/* Never the address: it may be a secret. */
static void log_lost(const char *why, dl_status status, unsigned http_status)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_WARN, "factory", "webhook");
    dl_log_str(&line, "lost", dl_str_of(why));
    if (status != DL_OK) {
        dl_log_str(&line, "error", dl_str_of(dl_status_name(status)));
    }
    if (http_status != 0) {
        dl_log_int(&line, "status", (int64_t)http_status);
    }
    dl_log_end(&line);
}

/* ---- the queue ---- */

static void free_message(message *m)
{
    if (m != NULL) {
        dl_buf_clear(&m->text);
        dl_mem_free(m);
    }
}

static void free_messagep(message **m)
{
    free_message(*m);
}

static void enqueue(dl_webhook *hook, message *take_message)
{
    pthread_mutex_lock(&hook->lock);
    bool room = hook->count < QUEUE_LIMIT;
    if (room) {
        *hook->last = take_message;
        hook->last = &take_message->next;
        hook->count++;
        pthread_cond_signal(&hook->changed);
    }
    pthread_mutex_unlock(&hook->lock);
    if (!room) {
        log_lost("too many wait to be sent", DL_OK, 0);
        free_message(take_message);
    }
}

static message *dequeue(dl_webhook *hook)
{
    pthread_mutex_lock(&hook->lock);
    message *m = hook->first;
    if (m != NULL) {
        hook->first = m->next;
        hook->last = hook->first == NULL ? &hook->first : hook->last;
        hook->count--;
    }
    pthread_mutex_unlock(&hook->lock);
    return m;
}

/* Until `ms` have passed or we have to stop; with `for_work` also until there is a message. */
static void rest(dl_webhook *hook, unsigned ms, bool for_work)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&hook->lock);
    int waited = 0;
    while (waited != ETIMEDOUT && !dl_cancel_asked(&hook->stop) &&
           !(for_work && hook->first != NULL)) {
        waited = pthread_cond_timedwait(&hook->changed, &hook->lock, &until);
    }
    pthread_mutex_unlock(&hook->lock);
}

/* ---- what is told ---- */

static void put_text(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, text);
}

static void put_time(dl_json_writer *w, const char *key, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(time_us, text);
    put_text(w, key, dl_str_of(text));
}

typedef struct lateness {
    dl_str pipeline;
    int64_t window_end_us, late_us;
} lateness;

/* One of `run` and `late` is there. */
static void tell(dl_webhook *hook, const char *event, const dl_run *run, const lateness *late)
{
    DL_CLEANUP(free_messagep) message *m = dl_mem_zalloc(1, sizeof *m);
    if (m == NULL) {
        log_lost("no memory", DL_E_NOMEM, 0);
        return;
    }
    dl_buf_init(&m->text, TEXT_LIMIT_BYTES);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &m->text, NULL);
    dl_json_object_begin(&w);
    put_text(&w, "event", dl_str_of(event));
    put_time(&w, "time", dl_factory_now_us(hook->factory));
    put_text(&w, "pipelineName", run != NULL ? run->pipeline : late->pipeline);
    if (late != NULL) {
        put_time(&w, "windowEnd", late->window_end_us);
        dl_json_key(&w, DL_STR("lateInSeconds"));
        dl_json_int(&w, late->late_us / 1000000);
    }
    dl_json_key(&w, DL_STR("run"));
    if (run != NULL) {
        dl_fact_run(&w, run);
    } else {
        dl_json_null(&w);
    }
    dl_json_object_end(&w);
    if (dl_json_writer_status(&w) != DL_OK) {
        log_lost("the message is too long", dl_json_writer_status(&w), 0);
        return;
    }
    enqueue(hook, DL_STEAL(m));
}

void dl_webhook_told(void *webhook, const dl_run *run, const char *event)
{
    dl_webhook *hook = webhook;
    (void)event; /* what ended and how, the run itself says; lateness we look for ourselves */
    if (hook == NULL || !is_used(hook) || run->status != DL_RUN_FAILED) {
        return;
    }
    tell(hook, "failed", run, NULL);
}

/* ---- lateness ---- */

static watched *watch(dl_webhook *hook, dl_str pipeline)
{
    for (size_t i = 0; i < hook->watched_count; i++) {
        if (dl_str_eq_nocase(dl_str_of(hook->watched[i].pipeline), pipeline)) {
            return &hook->watched[i];
        }
    }
    if (hook->watched_count == WATCHED_LIMIT) {
        return NULL;
    }
    watched *one = &hook->watched[hook->watched_count];
    if (!dl_str_copy(pipeline, one->pipeline, sizeof one->pipeline)) {
        return NULL;
    }
    one->late = false;
    hook->watched_count++;
    return one;
}

/* Told once, until the pipeline has caught up: a backfill of months ago is one message, not one for
 * each window that comes to be the oldest. */
static void look_at(dl_webhook *hook, dl_str pipeline)
{
    dl_run_totals totals = {0};
    watched *one = watch(hook, pipeline);
    if (one == NULL || dl_runs_totals(hook->factory, pipeline, &totals, NULL) != DL_OK) {
        return;
    }
    int64_t late_us = dl_factory_now_us(hook->factory) - totals.oldest_waiting_us;
    bool late = totals.waiting_windows > 0 && late_us > hook->settings.late_after_us;
    if (late && !one->late) {
        const lateness what = {
            .pipeline = pipeline, .window_end_us = totals.oldest_waiting_us, .late_us = late_us};
        tell(hook, "late", NULL, &what);
    }
    one->late = late;
}

static void look_for_late(dl_webhook *hook)
{
    if (hook->settings.late_after_us == 0) {
        return;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)4 * ARENA_LIMIT_BYTES);
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    if (arena == NULL || dl_catalog_list(hook->factory, DL_FACTORY_PIPELINE, arena, &entries,
                                         &count, NULL) != DL_OK) {
        return; /* looked at again in a moment */
    }
    for (size_t i = 0; i < count; i++) {
        look_at(hook, entries[i].name);
    }
}

/* ---- sending ---- */

static dl_status address(dl_webhook *hook, dl_arena *arena, dl_str *out_url, dl_error *err)
{
    dl_str url = hook->settings.webhook;
    if (hook->settings.secret_kind != DL_FACTORY_SECRET_NONE) {
        const dl_factory_connection reference = {.name = DL_STR("webhook"),
                                                 .auth = DL_FACTORY_AUTH_TOKEN,
                                                 .secret_kind = hook->settings.secret_kind,
                                                 .secret = hook->settings.secret};
        DL_TRY(dl_connection_secret(&reference, arena, &url, err));
        url = dl_str_trim(url);
        DL_TRY(dl_factory_url_check(url, "webhook", err));
    }
    return dl_arena_copy(arena, url, out_url, err); /* ends it with a NUL */
}

/* One try. `out_again`: it may do better later. */
static dl_status post(dl_webhook *hook, const message *m, unsigned *out_status, bool *out_again,
                      dl_error *err)
{
    static const dl_http_field fields[] = {{DL_STR("Content-Type"), DL_STR("application/json")},
                                           {DL_STR("User-Agent"), DL_STR("dicomlake")}};
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_str url = DL_STR_NONE;
    *out_again = true;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "webhook: out of memory");
    }
    DL_TRY(address(hook, arena, &url, err));
    DL_AUTO_BUF body = {0};
    dl_buf_init(&body, ANSWER_LIMIT_BYTES);
    dl_http_answer answer = {0};
    const dl_http_call call = {
        .method = "POST",
        .url = url.ptr,
        .fields = fields,
        .field_count = DL_COUNT_OF(fields),
        .body = {(const uint8_t *)m->text.ptr, m->text.len},
    };
    dl_status status = dl_http_client_do(hook->client, &call, arena, &body, &answer, err);
    if (status == DL_E_LIMIT) { /* the peer has a lot to say, but it took the message */
        dl_error_clear(err);
        return DL_OK;
    }
    DL_TRY(status);
    *out_status = answer.status;
    if (answer.status >= 200 && answer.status < 300) {
        return DL_OK;
    }
    *out_again = answer.status >= 500 || answer.status == 408 || answer.status == 429;
    return dl_error_set(err, DL_E_UNAVAILABLE, "webhook: the peer refused");
}

static void deliver(dl_webhook *hook, const message *m)
{
    unsigned pause_ms = FIRST_PAUSE_MS;
    for (unsigned attempt = 1; !dl_cancel_asked(&hook->stop); attempt++) {
        dl_error err = {0};
        unsigned http_status = 0;
        bool again = false;
        dl_status status = post(hook, m, &http_status, &again, &err);
        if (status == DL_OK || status == DL_E_CANCELED) {
            return;
        }
        if (!again || attempt == TRY_LIMIT) {
            log_lost(again ? "no try succeeded" : "the peer refused it", status, http_status);
            return;
        }
        rest(hook, pause_ms, false);
        pause_ms *= 2;
    }
}

static void *work(void *context)
{
    dl_webhook *hook = context;
    int64_t next_look_us = 0;
    while (!dl_cancel_asked(&hook->stop)) {
        int64_t now_us = dl_clock_monotonic_us();
        if (now_us >= next_look_us) {
            look_for_late(hook);
            next_look_us = now_us + (int64_t)LOOK_MS * 1000;
        }
        DL_CLEANUP(free_messagep) message *m = dequeue(hook);
        if (m != NULL) {
            deliver(hook, m);
        } else {
            rest(hook, LOOK_MS, true);
        }
    }
    return NULL;
}

/* ---- life ---- */

static dl_status start(dl_webhook *hook, dl_error *err)
{
    pthread_condattr_t attributes;
    const dl_http_client_options options = {.connect_timeout_s = CONNECT_TIMEOUT_S,
                                            .idle_timeout_s = IDLE_TIMEOUT_S,
                                            .cancel = &hook->stop};
    DL_TRY(dl_http_client_create(&options, &hook->client, err));
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&hook->lock, NULL);
    pthread_cond_init(&hook->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    hook->has_locks = true;
    int code = pthread_create(&hook->thread, NULL, work, hook);
    if (code != 0) {
        return dl_error_errno(err, code, "webhook: no thread");
    }
    hook->has_thread = true;
    return DL_OK;
}

dl_status dl_webhook_create(dl_factory *factory, dl_webhook **out_webhook, dl_error *err)
{
    dl_webhook *hook = dl_mem_zalloc(1, sizeof *hook);
    if (hook == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "webhook: out of memory");
    }
    hook->factory = factory;
    hook->last = &hook->first;
    hook->arena = dl_arena_create((size_t)1024 * 1024);
    dl_status status =
        hook->arena != NULL
            ? dl_factory_settings_load(dl_factory_home(factory), hook->arena, &hook->settings, err)
            : dl_error_set(err, DL_E_NOMEM, "webhook: out of memory");
    if (status == DL_OK && is_used(hook)) {
        status = start(hook, err);
    }
    if (status != DL_OK) {
        dl_webhook_destroy(hook);
        return status;
    }
    *out_webhook = hook;
    return DL_OK;
}

void dl_webhook_destroy(dl_webhook *webhook)
{
    if (webhook == NULL) {
        return;
    }
    if (webhook->has_thread) {
        pthread_mutex_lock(&webhook->lock);
        dl_cancel_ask(&webhook->stop);
        pthread_cond_signal(&webhook->changed);
        pthread_mutex_unlock(&webhook->lock);
        (void)pthread_join(webhook->thread, NULL);
    }
    if (webhook->count > 0) {
        log_lost("the process ends before all was sent", DL_OK, 0);
    }
    while (webhook->first != NULL) {
        free_message(dequeue(webhook));
    }
    if (webhook->has_locks) {
        (void)pthread_cond_destroy(&webhook->changed);
        (void)pthread_mutex_destroy(&webhook->lock);
    }
    dl_http_client_destroy(webhook->client);
    dl_arena_destroy(webhook->arena);
    dl_mem_free(webhook);
}
