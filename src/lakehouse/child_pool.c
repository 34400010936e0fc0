/* All statements under way: room for so many, time, cancelling, figures. */
#include "lakehouse/child_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum {
    AT_ONCE = 4,
    WAIT_MS = 5000,
    LOOK_MS = 100, /* whether somebody who waits is still there */
    IDLE_MS = 60 * 60 * 1000,
    TIME_MS = 600 * 1000,
};
#define MEMORY_BYTES ((uint64_t)1024 * 1024 * 1024)
#define ROWS ((uint64_t)100 * 1000 * 1000)

static void wait_until(dl_children *pool, int64_t time_us)
{
    struct timespec until = {.tv_sec = time_us / 1000000, .tv_nsec = time_us % 1000000 * 1000};
    (void)pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
}

/* ---- killing: all with the lock held ---- */

/* Give the room back; once. */
static void leave_locked(dl_child *child, dl_child_outcome outcome)
{
    dl_children *pool = child->pool;
    for (size_t i = 0; i < pool->figures.running; i++) {
        if (pool->running[i] == child) {
            pool->running[i] = pool->running[--pool->figures.running];
            pool->figures.ended[outcome]++;
            pool->figures.ran_us += (uint64_t)(dl_clock_monotonic_us() - child->begun_us);
            pthread_cond_broadcast(&pool->changed);
            return;
        }
    }
}

/* Others may have its room at once: whoever reads it may take long to find out. */
static void kill_locked(dl_child *child, dl_child_why why)
{
    if (child->pid != 0 && child->why == DL_CHILD_OF_ITSELF) {
        child->why = why;
        (void)kill(-child->pid, SIGKILL); /* its group, which it heads since before its exec */
        leave_locked(child, why == DL_CHILD_TIME ? DL_CHILD_LIMITED : DL_CHILD_CANCELLED);
    }
}

void dl_child_kill(dl_child *child, dl_child_why why)
{
    pthread_mutex_lock(&child->pool->lock);
    kill_locked(child, why);
    pthread_mutex_unlock(&child->pool->lock);
}

int dl_child_reap(dl_child *child, dl_child_why *out_why)
{
    siginfo_t about;
    int status = -1;
    pthread_mutex_lock(&child->pool->lock);
    pid_t pid = child->pid;
    *out_why = child->why;
    if (pid != 0) {
        (void)kill(-pid, SIGKILL);
    }
    pthread_mutex_unlock(&child->pool->lock);
    if (pid == 0) {
        return -1;
    }
    /* Waiting without reaping: until it is reaped, with the lock held, its number stays its own. */
    while (waitid(P_PID, (id_t)pid, &about, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&child->pool->lock);
    if (waitpid(pid, &status, WNOHANG) != pid) {
        status = -1; /* somebody ignores SIGCHLD for us: it is gone all the same */
    }
    child->pid = 0;
    *out_why = child->why;
    pthread_mutex_unlock(&child->pool->lock);
    return status;
}

/* ---- time ---- */

static void *watch(void *context)
{
    dl_children *pool = context;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        int64_t now_us = dl_clock_monotonic_us();
        int64_t next_us = now_us + (int64_t)IDLE_MS * 1000;
        for (size_t i = pool->figures.running; i > 0; i--) { /* those that end are taken out */
            dl_child *child = pool->running[i - 1];
            if (child->pid == 0) {
                continue;
            }
            if (child->deadline_us <= now_us) {
                kill_locked(child, DL_CHILD_TIME);
            } else if (child->deadline_us < next_us) {
                next_us = child->deadline_us;
            }
        }
        wait_until(pool, next_us);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- room ---- */

static dl_status enter_locked(dl_child *child, int64_t until_us, bool *out_entered, dl_error *err)
{
    dl_children *pool = child->pool;
    if (pool->stopping) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "the service is about to stop");
    }
    if (pool->figures.running < pool->at_once) {
        pool->running[pool->figures.running++] = child;
        *out_entered = true;
        return DL_OK;
    }
    int64_t now_us = dl_clock_monotonic_us();
    if (now_us >= until_us) {
        pool->figures.ended[DL_CHILD_REFUSED]++;
        (void)dl_error_set(err, DL_E_UNAVAILABLE, "%u statements run already, as many as may",
                           pool->at_once);
        dl_error_hint(err, "ask again in a moment");
        return DL_E_UNAVAILABLE;
    }
    int64_t look_us = now_us + (int64_t)LOOK_MS * 1000;
    wait_until(pool, look_us < until_us ? look_us : until_us);
    return DL_OK;
}

dl_status dl_child_enter(dl_child *child, dl_error *err)
{
    dl_children *pool = child->pool;
    int64_t until_us = dl_clock_monotonic_us() + (int64_t)pool->wait_ms * 1000;
    bool entered = false;
    while (!entered) {
        if (child->gone != NULL && child->gone(child->context)) {
            return dl_error_set(err, DL_E_CANCELED, "nobody waits for the statement any more");
        }
        pthread_mutex_lock(&pool->lock);
        dl_status status = enter_locked(child, until_us, &entered, err);
        pthread_mutex_unlock(&pool->lock);
        DL_TRY(status);
    }
    return DL_OK;
}

void dl_child_runs(dl_child *child, pid_t pid)
{
    dl_children *pool = child->pool;
    pthread_mutex_lock(&pool->lock);
    child->pid = pid;
    child->deadline_us = child->begun_us + (int64_t)child->limits.time_ms * 1000;
    if (pool->stopping) { /* meanwhile */
        kill_locked(child, DL_CHILD_STOP);
    }
    pthread_cond_broadcast(&pool->changed); /* the watch has a new deadline */
    pthread_mutex_unlock(&pool->lock);
}

void dl_child_leave(dl_child *child, dl_child_outcome outcome)
{
    pthread_mutex_lock(&child->pool->lock);
    leave_locked(child, outcome);
    pthread_mutex_unlock(&child->pool->lock);
}

/* ---- what others see ---- */

uint32_t dl_children_time_limit_ms(const dl_children *children)
{
    return children->limits.time_ms;
}

size_t dl_children_list(dl_children *children, dl_child_fact *out, size_t room)
{
    size_t count = 0;
    pthread_mutex_lock(&children->lock);
    for (size_t i = 0; i < children->figures.running && count < room; i++) {
        if (children->running[i]->pid != 0) {
            out[count++] = children->running[i]->fact;
        }
    }
    pthread_mutex_unlock(&children->lock);
    return count;
}

dl_status dl_children_cancel(dl_children *children, dl_str id, dl_error *err)
{
    bool found = false;
    pthread_mutex_lock(&children->lock);
    for (size_t i = 0; i < children->figures.running && !found; i++) {
        dl_child *child = children->running[i];
        if (child->pid != 0 && dl_str_eq(dl_str_of(child->fact.id), id)) {
            kill_locked(child, DL_CHILD_CANCEL);
            found = true;
        }
    }
    pthread_mutex_unlock(&children->lock);
    return found ? DL_OK
                 : dl_error_set(err, DL_E_NOT_FOUND, "no statement with this id is under way");
}

void dl_children_count(dl_children *children, dl_children_figures *out)
{
    pthread_mutex_lock(&children->lock);
    *out = children->figures;
    pthread_mutex_unlock(&children->lock);
}

dl_status dl_children_put_metrics(dl_children *children, dl_buf *out, dl_error *err)
{
    static const char *const outcomes[DL_CHILD_OUTCOMES] = {[DL_CHILD_DONE] = "done",
                                                            [DL_CHILD_FAILED] = "failed",
                                                            [DL_CHILD_LIMITED] = "limited",
                                                            [DL_CHILD_CANCELLED] = "cancelled",
                                                            [DL_CHILD_REFUSED] = "refused"};
    dl_children_figures f;
    dl_children_count(children, &f);
    DL_TRY(dl_buf_append_str(
        out,
        DL_STR("# HELP dicomlake_statements_total Statements from outside by how they ended.\n"
               "# TYPE dicomlake_statements_total counter\n"),
        err));
    for (size_t i = 0; i < DL_CHILD_OUTCOMES; i++) {
        DL_TRY(dl_buf_printf(out, err, "dicomlake_statements_total{outcome=\"%s\"} %" PRIu64 "\n",
                             outcomes[i], f.ended[i]));
    }
    DL_TRY(dl_buf_printf(out, err,
                         "# HELP dicomlake_statement_seconds_total How long all that ended took.\n"
                         "# TYPE dicomlake_statement_seconds_total counter\n"
                         "dicomlake_statement_seconds_total %.6f\n"
                         "# HELP dicomlake_statements_running Statements from outside that run.\n"
                         "# TYPE dicomlake_statements_running gauge\n"
                         "dicomlake_statements_running %zu\n",
                         (double)f.ran_us / 1e6, f.running));
    return DL_OK;
}

/* ---- life ---- */

void dl_children_stop(dl_children *children)
{
    pthread_mutex_lock(&children->lock);
    children->stopping = true;
    for (size_t i = children->figures.running; i > 0; i--) {
        kill_locked(children->running[i - 1], DL_CHILD_STOP);
    }
    pthread_cond_broadcast(&children->changed);
    pthread_mutex_unlock(&children->lock);
}

void dl_children_destroy(dl_children *children)
{
    if (children == NULL) {
        return;
    }
    dl_children_stop(children);
    if (children->watching) {
        (void)pthread_join(children->watcher, NULL);
    }
    DL_ASSERT(children->figures.running == 0);
    pthread_cond_destroy(&children->changed);
    pthread_mutex_destroy(&children->lock);
    dl_mem_free(children->program);
    dl_mem_free(children->home);
    dl_mem_free(children);
}
DL_DEFINE_AUTO(dl_children)

static char *copy_of(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = dl_mem_alloc(size, 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}

static void init_lock(dl_children *pool)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&pool->lock, NULL);
}

dl_status dl_children_create(const dl_children_options *options, dl_children **out_children,
                             dl_error *err)
{
    if (options->at_once > DL_CHILDREN_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "%u statements at once exceed %d", options->at_once,
                            (int)DL_CHILDREN_LIMIT);
    }
    dl_children *made = dl_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for statements");
    }
    init_lock(made);
    DL_AUTO(dl_children) pool = made;
    pool->program = copy_of(options->program);
    pool->home = copy_of(options->home);
    if (pool->program == NULL || pool->home == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for statements");
    }
    pool->at_once = options->at_once == 0 ? AT_ONCE : options->at_once;
    pool->wait_ms = options->wait_ms == 0 ? WAIT_MS : options->wait_ms;
    pool->limits = options->limits;
    pool->limits.memory_bytes =
        options->limits.memory_bytes == 0 ? MEMORY_BYTES : options->limits.memory_bytes;
    pool->limits.time_ms = options->limits.time_ms == 0 ? TIME_MS : options->limits.time_ms;
    pool->limits.rows = options->limits.rows == 0 ? ROWS : options->limits.rows;
    int failed = pthread_create(&pool->watcher, NULL, watch, pool);
    if (failed != 0) {
        return dl_error_errno(err, failed, "a thread that watches statements cannot be started");
    }
    pool->watching = true;
    *out_children = DL_STEAL(pool);
    return DL_OK;
}
