/* The life of a run, and of the lakes that stay open between runs. */
#include "base/mem.h"
#include "factory/work_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 50,       /* how soon a wish to stop is seen */
    PROGRESS_MS = 1000, /* how often the run's record follows */
    PROGRESS_ARENA_BYTES = 1 << 20,
    TIDY_MS = 5000,
    RETRY_DEFAULT_S = 30,
};

/* ---- waiting ---- */

static struct timespec time_after(int64_t ms)
{
    struct timespec until = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000 * 1000000);
    until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

static void init_lock(pthread_mutex_t *lock, pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void dl_work_log(dl_work_running *r, const char *level, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dl_error ignored = {0}; /* the run goes on without its log */
    (void)(dl_runs_log(r->work->factory, dl_str_of(r->run->id), level, dl_str_of(text), &ignored) ==
           DL_OK);
}

/* ---- kept lakes ---- */

static dl_work_kept *find_kept(const dl_work *work, dl_str name)
{
    for (size_t i = 0; i < work->kept_count; i++) {
        if (dl_str_eq(dl_str_of(work->kept[i]->pipeline_name), name)) {
            return work->kept[i];
        }
    }
    return NULL;
}

/* Called with the lock: the one idle for longest; with a lake open, when `open`. */
static dl_work_kept *find_idle(dl_work *work, bool open, int64_t before_us)
{
    dl_work_kept *oldest = NULL;
    for (size_t i = 0; i < work->kept_count; i++) {
        dl_work_kept *k = work->kept[i];
        if (k != NULL && !k->busy && (!open || k->pipeline != NULL) &&
            k->idle_since_us <= before_us &&
            (oldest == NULL || k->idle_since_us < oldest->idle_since_us)) {
            oldest = k;
        }
    }
    return oldest;
}

static size_t count_open(const dl_work *work)
{
    size_t count = 0;
    for (size_t i = 0; i < work->kept_count; i++) {
        count += !work->kept[i]->busy && work->kept[i]->pipeline != NULL;
    }
    return count;
}

static void give_back(dl_work *work, dl_work_kept *kept)
{
    (void)pthread_mutex_lock(&work->lock);
    kept->busy = false;
    kept->idle_since_us = dl_clock_monotonic_us();
    (void)pthread_cond_broadcast(&work->changed);
    (void)pthread_mutex_unlock(&work->lock);
}

/* Close lakes that are idle since `before_us`, and the oldest of those above the limit. */
static void tidy(dl_work *work, int64_t before_us)
{
    for (;;) {
        (void)pthread_mutex_lock(&work->lock);
        bool many = count_open(work) > DL_WORK_LAKE_LIMIT;
        dl_work_kept *kept = find_idle(work, true, many ? INT64_MAX : before_us);
        if (kept != NULL) {
            kept->busy = true;
        }
        (void)pthread_mutex_unlock(&work->lock);
        if (kept == NULL) {
            return;
        }
        dl_work_kept_close(kept, false); /* the source stays: it knows what the service is */
        give_back(work, kept);
    }
}

static void *tidy_on(void *context)
{
    dl_work *work = context;
    (void)pthread_mutex_lock(&work->lock);
    while (!work->over) {
        struct timespec until = time_after(TIDY_MS);
        (void)pthread_cond_timedwait(&work->changed, &work->lock, &until);
        (void)pthread_mutex_unlock(&work->lock);
        tidy(work, dl_clock_monotonic_us() - (int64_t)DL_WORK_IDLE_S * 1000000);
        (void)pthread_mutex_lock(&work->lock);
    }
    (void)pthread_mutex_unlock(&work->lock);
    return NULL;
}

/* Called with the lock. A pipeline that is new takes the place of the one idle for longest when
 * there are too many. `*out_kept` NULL: all are busy. */
static dl_status make_kept(dl_work *work, dl_str name, dl_work_kept **out_kept, dl_error *err)
{
    dl_work_kept *kept = NULL;
    if (work->kept_count == DL_WORK_KEPT_LIMIT) {
        kept = find_idle(work, false, INT64_MAX);
    } else {
        kept = dl_mem_zalloc(1, sizeof *kept);
        if (kept == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a run");
        }
        work->kept[work->kept_count++] = kept;
    }
    if (kept != NULL && !dl_str_copy(name, kept->pipeline_name, sizeof kept->pipeline_name)) {
        return dl_error_set(err, DL_E_LIMIT, "the pipeline's name is too long");
    }
    if (kept != NULL) {
        kept->fingerprint = 0; /* what another pipeline left is closed */
    }
    *out_kept = kept;
    return DL_OK;
}

/* Runs of one pipeline come one after another here. */
static dl_status take_kept(dl_work_running *r, dl_error *err)
{
    dl_work *work = r->work;
    dl_status status = DL_OK;
    (void)pthread_mutex_lock(&work->lock);
    while (status == DL_OK && r->kept == NULL) {
        dl_work_kept *kept = find_kept(work, r->run->pipeline);
        if (kept == NULL) {
            status = make_kept(work, r->run->pipeline, &kept, err);
        }
        if (status == DL_OK && kept != NULL && !kept->busy) {
            kept->busy = true;
            r->kept = kept;
        } else if (status == DL_OK && dl_cancel_asked(r->cancel)) {
            status = dl_error_set(err, DL_E_CANCELED, "cancelled while waiting for another run");
        } else if (status == DL_OK) {
            struct timespec until = time_after(LOOK_MS);
            (void)pthread_cond_timedwait(&work->changed, &work->lock, &until);
        }
    }
    (void)pthread_mutex_unlock(&work->lock);
    if (status == DL_OK) {
        atomic_store(&r->kept->cancel.asked, false);
        r->kept->now = r;
    }
    return status;
}

/* ---- watching a run ---- */

/* Called with the run's lock, which is not held while the record is written. */
static void tell_progress(dl_work_running *r)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(PROGRESS_ARENA_BYTES);
    dl_run run = *r->run;
    dl_pipeline_counts counts = r->before;
    dl_pipeline_counts now = {0};
    dl_error ignored = {0};
    dl_pipeline_counts_now(r->pipeline, &now);
    dl_pipeline_counts_add(&counts, &now);
    if (arena != NULL && dl_work_counts_put(r, &counts, arena, &run.counts, &ignored) == DL_OK) {
        (void)pthread_mutex_unlock(&r->lock);
        (void)(dl_runs_progress(r->work->factory, &run, &ignored) == DL_OK);
        (void)pthread_mutex_lock(&r->lock);
    }
}

/* Called with the run's lock. */
static void pass_cancel_on(dl_work_running *r)
{
    bool late = dl_clock_monotonic_us() - r->began_us > r->timeout_us;
    if (late) {
        atomic_store(&r->timed_out, true);
    }
    if (late || dl_cancel_asked(r->cancel)) {
        dl_cancel_ask(&r->kept->cancel);
    }
}

static void *watch(void *context)
{
    dl_work_running *r = context;
    int64_t told_us = dl_clock_monotonic_us();
    (void)pthread_mutex_lock(&r->lock);
    while (!r->over) {
        pass_cancel_on(r);
        if (r->pipeline != NULL &&
            dl_clock_monotonic_us() - told_us >= (int64_t)PROGRESS_MS * 1000) {
            tell_progress(r);
            told_us = dl_clock_monotonic_us();
            continue;
        }
        struct timespec until = time_after(LOOK_MS);
        (void)pthread_cond_timedwait(&r->changed, &r->lock, &until);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void stop_watching(dl_work_running *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->over = true;
    (void)pthread_cond_signal(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->watcher, NULL);
}

/* ---- a run ---- */

static void forget_counts(dl_work_running *r)
{
    r->counts = (dl_pipeline_counts){0};
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        r->counts.tables[i].version = -1; /* no table seen */
    }
}

static dl_status attempt(dl_work_running *r, dl_error *err)
{
    int64_t began_us = dl_clock_monotonic_us();
    (void)pthread_mutex_lock(&r->lock);
    r->attempts++;
    (void)pthread_mutex_unlock(&r->lock);
    forget_counts(r);
    dl_status status = dl_work_kept_open(r, err);
    (void)pthread_mutex_lock(&r->lock);
    r->opened_us += dl_clock_monotonic_us() - began_us;
    (void)pthread_mutex_unlock(&r->lock);
    if (status == DL_OK) {
        status = dl_pipeline_sync(r->kept->pipeline, r->kept->source, &r->counts, err);
    }
    if (status == DL_OK) {
        dl_work_kept_rest(r->kept);
    } else { /* what is open may be at fault */
        dl_work_kept_close(r->kept, true);
    }
    return status;
}

/* What another try may help against. */
static bool is_passing(dl_status status)
{
    static const bool passing[] = {
        [DL_E_DENIED] = true, [DL_E_CONFLICT] = true, [DL_E_UNAVAILABLE] = true,
        [DL_E_IO] = true,     [DL_E_NOMEM] = true,    [DL_E_EXISTS] = true};
    return (size_t)status < DL_COUNT_OF(passing) && passing[status];
}

static bool wait_for_retry(dl_work_running *r, unsigned seconds)
{
    int64_t until_us = dl_clock_monotonic_us() + (int64_t)seconds * 1000000;
    (void)pthread_mutex_lock(&r->lock);
    while (!dl_cancel_asked(&r->kept->cancel) && dl_clock_monotonic_us() < until_us) {
        int64_t left_ms = (until_us - dl_clock_monotonic_us()) / 1000 + 1;
        struct timespec until = time_after(left_ms < LOOK_MS ? left_ms : LOOK_MS);
        (void)pthread_cond_timedwait(&r->changed, &r->lock, &until);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return !dl_cancel_asked(&r->kept->cancel);
}

/* The activity's own retries: `retry` and `retryIntervalInSeconds` of its policy. */
static dl_status attempts(dl_work_running *r, dl_error *err)
{
    const dl_factory_pipeline *p = &r->plan->pipeline;
    unsigned pause_s = p->retry_interval_s == 0 ? RETRY_DEFAULT_S : p->retry_interval_s;
    for (;;) {
        dl_error cause = {0};
        dl_status status = attempt(r, &cause);
        if (status == DL_OK || r->attempts > p->retry_count || !is_passing(status) ||
            dl_cancel_asked(&r->kept->cancel)) {
            if (err != NULL && status != DL_OK) {
                *err = cause;
            }
            return status;
        }
        (void)pthread_mutex_lock(&r->lock); /* the watcher reads it */
        dl_pipeline_counts_add(&r->before, &r->counts);
        (void)pthread_mutex_unlock(&r->lock);
        dl_work_log(r, "warn", "%s; try %u of %u in %u s", cause.message, r->attempts + 1,
                    p->retry_count + 1, pause_s);
        (void)wait_for_retry(r, pause_s);
    }
}

static dl_status work_watched(dl_work_running *r, dl_error *err)
{
    unsigned timeout_s = r->plan->pipeline.timeout_s;
    r->timeout_us = (int64_t)(timeout_s == 0 ? DL_WORK_TIMEOUT_S : timeout_s) * 1000000;
    int code = pthread_create(&r->watcher, NULL, watch, r);
    if (code != 0) {
        return dl_error_errno(err, code, "cannot start a thread for a run");
    }
    dl_status status = attempts(r, err);
    stop_watching(r);
    return status;
}

static dl_status work_on(dl_work_running *r, dl_error *err)
{
    r->plan = dl_arena_alloc(r->arena, 1, sizeof *r->plan);
    if (r->plan == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(dl_work_plan_make(r->work->factory, r->run, r->arena, r->plan, err));
    DL_TRY(take_kept(r, err));
    dl_status status = work_watched(r, err);
    r->kept->now = NULL;
    give_back(r->work, r->kept);
    tidy(r->work, dl_clock_monotonic_us() - (int64_t)DL_WORK_IDLE_S * 1000000);
    if (status == DL_E_CANCELED && atomic_load(&r->timed_out)) {
        dl_error_clear(err);
        (void)dl_error_set(err, DL_E_LIMIT, "the run took longer than its timeout of %lld s",
                           (long long)(r->timeout_us / 1000000));
        dl_error_hint(err, "rerun it: it goes on after what was committed; or raise the timeout");
        return DL_E_LIMIT;
    }
    return status;
}

/* ---- its end ---- */

static void tell_end(dl_work_running *r, dl_status status, const dl_error *err)
{
    dl_run *run = r->run;
    dl_error ignored = {0};
    dl_pipeline_counts counts = r->before;
    dl_pipeline_counts_add(&counts, &r->counts);
    if (dl_work_counts_put(r, &counts, r->arena, &run->counts, &ignored) != DL_OK) {
        run->counts = DL_STR("{}");
    }
    run->cause = run->hint = DL_STR_NONE;
    run->status = status == DL_OK           ? DL_RUN_SUCCEEDED
                  : status == DL_E_CANCELED ? DL_RUN_CANCELLED
                                            : DL_RUN_FAILED;
    if (status == DL_OK) {
        int64_t in = 0, out = 0;
        for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
            in += counts.tables[i].rows_in;
            out += counts.tables[i].rows_out;
        }
        dl_work_log(r, "info", "%" PRId64 " changes, %" PRId64 " rows in, %" PRId64 " out",
                    counts.changes, in, out);
        return;
    }
    if (dl_arena_copy(r->arena, dl_str_of(err->message), &run->cause, &ignored) != DL_OK ||
        dl_arena_copy(r->arena, dl_str_of(dl_work_hint(err)), &run->hint, &ignored) != DL_OK) {
        run->cause = DL_STR("no memory for the cause");
    }
    dl_work_log(r, status == DL_E_CANCELED ? "warn" : "error", "%s", err->message);
}

static void do_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
{
    dl_error err = {0};
    dl_work_running r = {.work = context,
                         .run = run,
                         .arena = arena,
                         .cancel = cancel,
                         .began_us = dl_clock_monotonic_us()};
    forget_counts(&r);
    init_lock(&r.lock, &r.changed);
    dl_status status = work_on(&r, &err);
    err.status = status;
    tell_end(&r, status, &err);
    (void)pthread_cond_destroy(&r.changed);
    (void)pthread_mutex_destroy(&r.lock);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
static dl_status newest(void *context, dl_str pipeline, int64_t after, unsigned timeout_ms,
                        dl_cancel *cancel, int64_t *out_sequence, dl_error *err)
{
    return dl_work_newest(context, pipeline, after, timeout_ms, cancel, out_sequence, err);
}

dl_scheduler_work dl_work_ops(dl_work *work)
{
    return (dl_scheduler_work){.run = do_run, .newest = newest, .context = work};
}

/* ---- open and close ---- */

dl_status dl_work_create(dl_factory *factory, dl_work **out_work, dl_error *err)
{
    dl_work *work = dl_mem_zalloc(1, sizeof *work);
    if (work == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for runs");
    }
    work->factory = factory;
    init_lock(&work->lock, &work->changed);
    int code = pthread_create(&work->tidier, NULL, tidy_on, work);
    work->has_tidier = code == 0;
    if (code != 0) {
        dl_work_destroy(work);
        return dl_error_errno(err, code, "cannot start a thread for runs");
    }
    *out_work = work;
    return DL_OK;
}

void dl_work_limit_tries(dl_work *work, unsigned try_limit, unsigned backoff_ms)
{
    work->try_limit = try_limit;
    work->backoff_ms = backoff_ms;
}

void dl_work_destroy(dl_work *work)
{
    if (work == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&work->lock);
    work->over = true;
    (void)pthread_cond_broadcast(&work->changed);
    (void)pthread_mutex_unlock(&work->lock);
    if (work->has_tidier) {
        (void)pthread_join(work->tidier, NULL);
    }
    for (size_t i = 0; i < work->kept_count; i++) {
        dl_work_kept_close(work->kept[i], true);
        dl_mem_free(work->kept[i]);
    }
    dl_work_news_close(work);
    (void)pthread_cond_destroy(&work->changed);
    (void)pthread_mutex_destroy(&work->lock);
    dl_mem_free(work);
}
