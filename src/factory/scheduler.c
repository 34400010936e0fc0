#include "factory/scheduler_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_SIZE = 4200,
    PID_SIZE = 32,
    RUN_ARENA_BYTES = 64 * 1024 * 1024,
    QUESTION_ARENA_BYTES = 1024 * 1024,
    STEP_RUNS = 64,  /* of one step without workers */
    LOOK_MS = 1000,  /* how often others' wishes are looked for */
    WATCH_MS = 1000, /* one question to a feed at most */
    WATCH_TROUBLE_MS = 5000,
    WATCH_PAUSE_MS = 50,
};
static const int64_t history_default_us = 45LL * 86400 * 1000000;
static const int64_t prune_every_us = 3600LL * 1000000;

/* ---- the lock: one scheduler a home ---- */

/* Open-file-description locks end with the process, and can be asked for without being taken. */
static dl_status lock_path(dl_factory *factory, char out[PATH_SIZE], dl_error *err)
{
    int len = snprintf(out, PATH_SIZE, "%s/state/factory.lock", dl_factory_home(factory));
    return len < PATH_SIZE ? DL_OK
                           : dl_error_set(err, DL_E_INVALID, "the path of the home is too long");
}

static dl_status in_use(int fd, const char *home, dl_error *err)
{
    char pid[PID_SIZE] = "";
    ssize_t len = pread(fd, pid, sizeof pid - 1, 0);
    dl_str text = dl_str_trim((dl_str){pid, len > 0 ? (size_t)len : 0});
    text.len -= dl_str_ends(text, DL_STR("\n"));
    (void)dl_error_set(err, DL_E_CONFLICT, "another process schedules on %s: process %.*s", home,
                       DL_STR_ARG(text.len > 0 ? text : DL_STR("unknown")));
    dl_error_hint(err, "one a home: it sees what is asked for here; stop it first to take over");
    return DL_E_CONFLICT;
}

static dl_status take_lock(dl_scheduler *s, dl_error *err)
{
    char path[PATH_SIZE], pid[PID_SIZE];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    dl_db *db = NULL; /* opened: the folder is there */
    DL_TRY(dl_factory_lock(s->options.factory, DL_FACTORY_WRITE, &db, err));
    dl_factory_unlock(s->options.factory);
    DL_TRY(lock_path(s->options.factory, path, err));
    DL_TRY(dl_file_open(path, O_RDWR | O_CREAT, 0600, &s->lock_fd, err));
    if (fcntl(s->lock_fd, F_OFD_SETLK, &lock) != 0) {
        return errno == EAGAIN || errno == EACCES
                   ? in_use(s->lock_fd, dl_factory_home(s->options.factory), err)
                   : dl_error_errno(err, errno, "cannot lock %s", path);
    }
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)len, 0) != len) {
        return dl_error_errno(err, errno, "cannot write %s", path);
    }
    return DL_OK;
}

bool dl_scheduler_is_running(dl_factory *factory)
{
    char path[PATH_SIZE];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    DL_AUTO_FD fd = -1;
    return lock_path(factory, path, NULL) == DL_OK &&
           dl_file_open(path, O_RDWR, 0, &fd, NULL) == DL_OK &&
           fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- open and close ---- */

static void scheduler_closep(dl_scheduler **scheduler)
{
    dl_scheduler_close(*scheduler);
}

static dl_status make_sync(dl_scheduler *s, dl_error *err)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: no lock");
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    bool made = pthread_mutex_init(&s->mutex, NULL) == 0;
    if (made && pthread_cond_init(&s->cond, &attributes) != 0) {
        (void)pthread_mutex_destroy(&s->mutex);
        made = false;
    }
    (void)pthread_condattr_destroy(&attributes);
    s->has_mutex = made;
    return made ? DL_OK : dl_error_set(err, DL_E_NOMEM, "scheduler: no lock");
}

dl_status dl_scheduler_open(const dl_scheduler_options *options, dl_scheduler **out_scheduler,
                            dl_error *err)
{
    if (options->workers > DL_SCHEDULER_WORKER_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "scheduler: %u workers exceed %d", options->workers,
                            DL_SCHEDULER_WORKER_LIMIT);
    }
    DL_CLEANUP(scheduler_closep) dl_scheduler *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
    }
    s->options = *options;
    s->lock_fd = -1;
    s->pruned_us = INT64_MIN;
    if (s->options.history_us <= 0) {
        s->options.history_us = history_default_us;
    }
    DL_TRY(make_sync(s, err));
    DL_TRY(take_lock(s, err));
    DL_TRY(dl_scheduler_recover(s, err));
    *out_scheduler = DL_STEAL(s);
    return DL_OK;
}

static void stop_threads(dl_scheduler *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    dl_cancel_ask(&s->watch_cancel);
    for (size_t i = 0; i < DL_SCHEDULER_WORKER_LIMIT; i++) {
        if (s->slots[i].busy) {
            dl_cancel_ask(&s->slots[i].cancel);
        }
    }
    (void)pthread_cond_broadcast(&s->cond);
    (void)pthread_mutex_unlock(&s->mutex);
    for (size_t i = 0; i < s->thread_count; i++) {
        (void)pthread_join(s->threads[i], NULL);
    }
}

void dl_scheduler_close(dl_scheduler *s)
{
    if (s == NULL) {
        return;
    }
    if (s->has_mutex) {
        stop_threads(s);
        (void)pthread_cond_destroy(&s->cond);
        (void)pthread_mutex_destroy(&s->mutex);
    }
    dl_book_clear(&s->book);
    dl_file_close(&s->lock_fd);
    dl_mem_free(s);
}

void dl_scheduler_wake(dl_scheduler *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->woken = true;
    (void)pthread_cond_broadcast(&s->cond);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* ---- one run ---- */

static bool is_stopping(dl_scheduler *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    bool stopping = s->stopping;
    (void)pthread_mutex_unlock(&s->mutex);
    return stopping;
}

static void log_failure(const char *op, const dl_error *err)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "factory", op);
    dl_log_error(&line, err);
    dl_log_end(&line);
}

static void log_run(const dl_run *run)
{
    dl_log_line line;
    dl_log_begin(&line, run->status == DL_RUN_FAILED ? DL_LOG_WARN : DL_LOG_INFO, "factory", "run");
    dl_log_str(&line, "run", dl_str_of(run->id));
    dl_log_str(&line, "pipeline", run->pipeline);
    dl_log_str(&line, "trigger", run->trigger);
    dl_log_str(&line, "status", dl_str_of(dl_run_status_text(run->status)));
    dl_log_int(&line, "attempt", (int64_t)run->attempt);
    dl_log_int(&line, "ms", (run->ended_us - run->started_us) / 1000);
    dl_log_end(&line);
}

/* The slot through which others ask the run to stop; `index` is the worker's. */
static dl_slot *take_slot(dl_scheduler *s, size_t index, const char *id)
{
    dl_slot *slot = &s->slots[index];
    (void)pthread_mutex_lock(&s->mutex);
    slot->cancel = (dl_cancel){.asked = s->stopping};
    (void)dl_str_copy(dl_str_of(id), slot->id, sizeof slot->id);
    slot->busy = true;
    (void)pthread_mutex_unlock(&s->mutex);
    return slot;
}

static bool give_slot(dl_scheduler *s, dl_slot *slot)
{
    (void)pthread_mutex_lock(&s->mutex);
    slot->busy = false;
    bool stopping = s->stopping;
    (void)pthread_mutex_unlock(&s->mutex);
    return stopping;
}

/* What was done must not be lost to a disk that is full for a while: a worker holds on to the end
 * until it is recorded. Without threads the caller decides; after the end of the scheduler the
 * next one does the run again. */
static dl_status record_end(dl_scheduler *s, dl_run_claim *claim, bool stopping, dl_error *err)
{
    for (;;) {
        dl_status status = dl_scheduler_end(s, &claim->run, &claim->more, stopping, err);
        if (status == DL_OK || status == DL_E_CONFLICT || !s->started || is_stopping(s)) {
            return status;
        }
        log_failure("end", err);
        dl_error_clear(err);
        for (int i = 0; i < LOOK_MS / WATCH_PAUSE_MS && !is_stopping(s); i++) {
            struct timespec pause = {.tv_nsec = WATCH_PAUSE_MS * 1000000L};
            (void)nanosleep(&pause, NULL);
        }
    }
}

static dl_status do_run(dl_scheduler *s, size_t index, dl_run_claim *claim, dl_arena *arena,
                        dl_error *err)
{
    const dl_scheduler_work *work = &s->options.work;
    dl_slot *slot = take_slot(s, index, claim->run.id);
    work->run(work->context, &claim->run, arena, &slot->cancel);
    bool stopping = give_slot(s, slot);
    DL_TRY(record_end(s, claim, stopping, err));
    log_run(&claim->run);
    if (work->told != NULL) {
        work->told(work->context, &claim->run, dl_run_status_text(claim->run.status));
    }
    return DL_OK;
}

/* `*out_found` false: there is nothing to do. */
static dl_status claim_and_run(dl_scheduler *s, size_t index, bool *out_found, int64_t *out_next_us,
                               dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(RUN_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
    }
    dl_run_claim claim = {0};
    DL_TRY(dl_scheduler_claim(s, arena, &claim, err));
    *out_found = claim.found;
    *out_next_us = claim.next_us;
    return claim.found ? do_run(s, index, &claim, arena, err) : DL_OK;
}

/* ---- a step ---- */

static dl_status plan_in(dl_scheduler *s, dl_db *db, int64_t *next_us, dl_error *err)
{
    int64_t now_us = dl_factory_now_us(s->options.factory);
    DL_TRY(dl_book_read(db, &s->book, err));
    if (!s->book.settled) { /* a worker or the watch may have read it before us */
        DL_TRY(dl_step_forget(db, now_us, err));
        s->book.settled = true;
    }
    return dl_step_plan(db, &s->book, now_us, next_us, err);
}

static dl_status plan_once(dl_scheduler *s, int64_t *next_us, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin_relaxed(s->options.factory, &db, err));
    dl_status status = plan_in(s, db, next_us, err);
    status = dl_runs_finish_relaxed(s->options.factory, db, status, err);
    if (status != DL_OK) { /* what it forgot on the way was rolled back: look again */
        dl_factory_lock_drafts(s->options.factory);
        s->book.settled = false;
        dl_factory_unlock(s->options.factory);
    }
    return status;
}

static dl_status prune_sometimes(dl_scheduler *s, dl_error *err)
{
    int64_t now_us = dl_factory_now_us(s->options.factory);
    if (s->pruned_us != INT64_MIN && now_us >= s->pruned_us &&
        now_us - s->pruned_us < prune_every_us) {
        return DL_OK;
    }
    size_t count = 0;
    s->pruned_us = now_us;
    return dl_runs_prune(s->options.factory, dl_plan_add(now_us, -s->options.history_us), &count,
                         err);
}

/* ---- triggers on change ---- */

typedef struct feed_question {
    dl_str trigger, pipeline;
    int64_t after;
    bool found;
} feed_question;

/* The n-th started trigger on change. */
static dl_status next_question(dl_scheduler *s, size_t n, dl_arena *arena, feed_question *out,
                               dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(s->options.factory, DL_FACTORY_WRITE, &db, err));
    dl_status status = s->book.arena == NULL ? dl_book_read(db, &s->book, err) : DL_OK;
    for (size_t i = 0; i < s->book.count && status == DL_OK; i++) {
        const dl_scheduled *t = &s->book.triggers[i];
        if (t->trigger.type != DL_FACTORY_ON_CHANGE || !t->started || n-- > 0) {
            continue;
        }
        dl_place place = {0};
        status = dl_place_read(db, t->trigger.name, &place, err);
        status =
            status != DL_OK ? status : dl_arena_copy(arena, t->trigger.name, &out->trigger, err);
        status = status != DL_OK ? status
                                 : dl_arena_copy(arena, t->trigger.pipeline, &out->pipeline, err);
        out->after = t->newest > place.sequence ? t->newest : place.sequence;
        out->found = true;
        break;
    }
    dl_factory_unlock(s->options.factory);
    return status;
}

static void keep_answer(dl_scheduler *s, const feed_question *question, int64_t newest)
{
    dl_factory_lock_drafts(s->options.factory);
    dl_scheduled *t = dl_book_find(&s->book, question->trigger);
    if (t != NULL && newest > t->newest) {
        t->newest = newest;
    }
    dl_factory_unlock(s->options.factory);
}

/* Ask the feed behind the n-th trigger on change; `*out_found` false: there are no more, or it
 * cannot be known. */
static dl_status ask_feed(dl_scheduler *s, size_t n, unsigned timeout_ms, bool *out_found,
                          bool *out_news, dl_error *err)
{
    const dl_scheduler_work *work = &s->options.work;
    feed_question question = {0};
    *out_found = false;
    if (work->newest == NULL) {
        return DL_OK;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(QUESTION_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
    }
    DL_TRY(next_question(s, n, arena, &question, err));
    *out_found = question.found;
    if (!question.found) {
        return DL_OK;
    }
    int64_t newest = 0;
    dl_status status = work->newest(work->context, question.pipeline, question.after, timeout_ms,
                                    &s->watch_cancel, &newest, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "asking the feed for trigger %.*s",
                               DL_STR_ARG(question.trigger));
    }
    *out_news = newest > question.after;
    keep_answer(s, &question, newest);
    return DL_OK;
}

/* Without threads the step asks by itself, without waiting; trouble is the next step's. */
static void ask_feeds(dl_scheduler *s)
{
    bool found = true, news = false;
    for (size_t i = 0; found; i++) {
        dl_error err = {0};
        if (ask_feed(s, i, 0, &found, &news, &err) != DL_OK) {
            log_failure("newest", &err);
        }
    }
}

dl_status dl_scheduler_step(dl_scheduler *s, int64_t *out_next_us, dl_error *err)
{
    if (!s->started) {
        ask_feeds(s);
    }
    int64_t next_us = INT64_MAX;
    DL_TRY(plan_once(s, &next_us, err));
    DL_TRY(prune_sometimes(s, err));
    bool found = s->options.workers == 0 && s->options.work.run != NULL;
    for (size_t i = 0; found; i++) {
        int64_t queued_us = INT64_MAX;
        if (i == STEP_RUNS) {
            next_us = dl_factory_now_us(s->options.factory);
            break;
        }
        DL_TRY(claim_and_run(s, 0, &found, &queued_us, err));
        if (found) { /* what depends on it may be due now */
            DL_TRY(plan_once(s, &next_us, err));
        }
        next_us = queued_us < next_us ? queued_us : next_us;
    }
    *out_next_us = next_us;
    return DL_OK;
}

/* ---- threads ---- */

/* Until `ms` have passed, somebody wakes or the end; whether it goes on. */
static bool sleep_ms(dl_scheduler *s, int64_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&s->mutex);
    while (!s->stopping && !s->woken &&
           pthread_cond_timedwait(&s->cond, &s->mutex, &until) != ETIMEDOUT) {
    }
    s->woken = false;
    bool go_on = !s->stopping;
    s->round++; /* workers look */
    (void)pthread_cond_broadcast(&s->cond);
    (void)pthread_mutex_unlock(&s->mutex);
    return go_on;
}

static bool slot_id(dl_scheduler *s, size_t i, char out_id[DL_FACTORY_RUN_ID_SIZE])
{
    (void)pthread_mutex_lock(&s->mutex);
    bool wanted = s->slots[i].busy && !dl_cancel_asked(&s->slots[i].cancel);
    (void)dl_str_copy(dl_str_of(s->slots[i].id), out_id, DL_FACTORY_RUN_ID_SIZE);
    (void)pthread_mutex_unlock(&s->mutex);
    return wanted;
}

static void ask_slot(dl_scheduler *s, size_t i, const char *id)
{
    (void)pthread_mutex_lock(&s->mutex);
    if (s->slots[i].busy && dl_str_eq(dl_str_of(s->slots[i].id), dl_str_of(id))) {
        dl_cancel_ask(&s->slots[i].cancel);
    }
    (void)pthread_mutex_unlock(&s->mutex);
}

/* Wishes to cancel are rows: of this process or of another. */
static dl_status pass_cancels(dl_scheduler *s, dl_error *err)
{
    for (size_t i = 0; i < s->options.workers; i++) {
        char id[DL_FACTORY_RUN_ID_SIZE];
        if (!slot_id(s, i, id)) {
            continue;
        }
        dl_db_stmt *q = NULL;
        dl_db *db = NULL;
        DL_TRY(dl_factory_lock(s->options.factory, DL_FACTORY_WRITE, &db, err));
        dl_status status =
            dl_db_query(db, "SELECT 1 FROM run WHERE id = ?1 AND cancel_asked = 1", &q, err);
        bool asked = false;
        if (status == DL_OK) {
            dl_db_bind_str(q, 1, dl_str_of(id));
            asked = dl_db_step(q);
            status = dl_db_finish(q, err);
        }
        dl_factory_unlock(s->options.factory);
        DL_TRY(status);
        if (asked) {
            ask_slot(s, i, id);
        }
    }
    return DL_OK;
}

static int64_t step_and_wait_ms(dl_scheduler *s)
{
    dl_error err = {0};
    int64_t next_us = INT64_MAX;
    if (dl_scheduler_step(s, &next_us, &err) != DL_OK || pass_cancels(s, &err) != DL_OK) {
        log_failure("schedule", &err); /* it is tried again in a second */
        return LOOK_MS;
    }
    int64_t wait_us =
        next_us == INT64_MAX ? INT64_MAX : next_us - dl_factory_now_us(s->options.factory);
    return wait_us <= 0 ? 0 : wait_us < LOOK_MS * 1000LL ? (wait_us + 999) / 1000 : LOOK_MS;
}

static void *scheduling_thread(void *context)
{
    dl_scheduler *s = context;
    while (sleep_ms(s, step_and_wait_ms(s))) {
    }
    return NULL;
}

typedef struct worker_start {
    dl_scheduler *scheduler;
    size_t index;
} worker_start;

/* The next round of looking; false at the end. */
static bool next_round(dl_scheduler *s, uint64_t *round)
{
    (void)pthread_mutex_lock(&s->mutex);
    while (!s->stopping && s->round == *round) {
        (void)pthread_cond_wait(&s->cond, &s->mutex);
    }
    *round = s->round;
    bool go_on = !s->stopping;
    (void)pthread_mutex_unlock(&s->mutex);
    return go_on;
}

static void *worker_thread(void *context)
{
    worker_start start = *(worker_start *)context;
    dl_mem_free(context);
    dl_scheduler *s = start.scheduler;
    uint64_t round = 0;
    while (next_round(s, &round)) {
        bool found = true;
        while (found && !is_stopping(s)) {
            dl_error err = {0};
            int64_t next_us = 0;
            if (claim_and_run(s, start.index, &found, &next_us, &err) != DL_OK) {
                log_failure("run", &err);
                break;
            }
            if (found) {
                dl_scheduler_wake(s);
            }
        }
    }
    return NULL;
}

/* Ask for each trigger on change; one alone is waited for at its feed. Returns how many there are.
 */
static size_t watch_round(dl_scheduler *s, size_t last, bool *out_trouble)
{
    *out_trouble = false;
    for (size_t count = 0;; count++) {
        dl_error err = {0};
        bool found = false, news = false;
        if (ask_feed(s, count, last == 1 ? WATCH_MS : 0, &found, &news, &err) != DL_OK &&
            !is_stopping(s)) {
            *out_trouble = true;
            log_failure("newest", &err);
        }
        if (!found || is_stopping(s)) {
            return count;
        }
        if (news) {
            dl_scheduler_wake(s);
        }
    }
}

static void *watching_thread(void *context)
{
    dl_scheduler *s = context;
    size_t last = 1; /* triggers on change there were in the last round */
    while (!is_stopping(s)) {
        bool trouble = false;
        size_t count = watch_round(s, last, &trouble);
        /* A feed that cannot wait answers at once: never in a circle without a pause. */
        int64_t pause_ms = trouble ? WATCH_TROUBLE_MS : count == 1 ? WATCH_PAUSE_MS : WATCH_MS;
        int64_t until_us = dl_clock_monotonic_us() + pause_ms * 1000;
        last = count;
        while (!is_stopping(s) && dl_clock_monotonic_us() < until_us) {
            struct timespec pause = {.tv_nsec = WATCH_PAUSE_MS * 1000000L};
            (void)nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

static dl_status start_thread(dl_scheduler *s, void *(*run)(void *), void *context, dl_error *err)
{
    int failed = pthread_create(&s->threads[s->thread_count], NULL, run, context);
    if (failed != 0) {
        return dl_error_errno(err, failed, "scheduler: cannot start a thread");
    }
    s->thread_count++;
    return DL_OK;
}

static dl_status start_worker(dl_scheduler *s, size_t index, dl_error *err)
{
    worker_start *start = dl_mem_alloc(1, sizeof *start);
    if (start == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
    }
    *start = (worker_start){s, index};
    dl_status status = start_thread(s, worker_thread, start, err);
    if (status != DL_OK) {
        dl_mem_free(start);
    }
    return status;
}

dl_status dl_scheduler_start(dl_scheduler *s, dl_error *err)
{
    s->started = true;
    for (size_t i = 0; i < s->options.workers; i++) {
        DL_TRY(start_worker(s, i, err));
    }
    if (s->options.work.newest != NULL) {
        DL_TRY(start_thread(s, watching_thread, s, err));
    }
    return start_thread(s, scheduling_thread, s, err);
}
