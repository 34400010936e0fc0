/* The scheduler with its threads, and as a process that is killed. */
#include "scheduler_rig.h"

#include "base/log.h"
#include "base/mem.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- threads ---- */

typedef struct busy {
    _Atomic int running, most, done, told;
    _Atomic bool hold;   /* runs go on until they are cancelled */
    _Atomic bool gather; /* the first waits for a second beside it */
} busy;

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static void busy_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
{
    busy *b = context;
    (void)arena;
    int running = ++b->running;
    b->most = running > b->most ? running : b->most;
    pause_ms(2);
    for (int i = 0; i < 3000 && b->gather && b->most < 2; i++) {
        pause_ms(10);
    }
    while (b->hold && !dl_cancel_asked(cancel)) {
        pause_ms(5);
    }
    run->status = dl_cancel_asked(cancel) ? DL_RUN_CANCELLED : DL_RUN_SUCCEEDED;
    b->running--;
    b->done++;
}

static void busy_told(void *context, const dl_run *run, const char *event)
{
    (void)run;
    ((busy *)context)->told += event[0] != '\0';
}

static bool wait_for(_Atomic int *what, int least)
{
    for (int i = 0; i < 12000 && *what < least; i++) {
        pause_ms(10);
    }
    return *what >= least;
}

TAP_CASE(threads_work_and_stop)
{
    home h;
    busy b = {.gather = true};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    t.max_concurrency = 3;
    begin_with(&h, &t);
    h.now_us += 30 * HOUR_US;
    dl_scheduler_options options = {.factory = h.factory,
                                    .work = {.run = busy_run, .told = busy_told, .context = &b},
                                    .workers = 8};
    dl_scheduler *s = NULL;
    TAP_OK(dl_scheduler_open(&options, &s, &h.err), h.err);
    TAP_OK(dl_scheduler_start(s, &h.err), h.err);
    TAP_TRUE(wait_for(&b.told, 30));
    TAP_TRUE(b.most <= 3 && b.most > 1);
    b.hold = true;
    h.now_us += HOUR_US; /* seen within a second */
    TAP_TRUE(wait_for(&b.running, 1));
    dl_run *runs = NULL;
    (void)list(&h, "t", &runs);
    TAP_EQ_INT(runs[0].status, DL_RUN_IN_PROGRESS);
    TAP_OK(dl_runs_cancel(h.factory, dl_str_of(runs[0].id), &h.err), h.err);
    dl_scheduler_wake(s);
    TAP_TRUE(wait_for(&b.told, 31));
    (void)list(&h, "t", &runs);
    TAP_EQ_INT(runs[0].status, DL_RUN_CANCELLED);
    h.now_us += HOUR_US;
    dl_scheduler_wake(s);
    TAP_TRUE(wait_for(&b.running, 1));
    dl_scheduler_close(s); /* asks the run to stop, and queues it again */
    TAP_EQ_INT(list(&h, "t", &runs), 33);
    TAP_EQ_INT(runs[0].status, DL_RUN_QUEUED);
    TAP_EQ_INT(runs[1].status, DL_RUN_CANCELLED);
    TAP_TRUE(strstr(runs[1].cause.ptr, "interrupted") != NULL);
    home_end(&h);
}

TAP_CASE(an_end_that_cannot_be_recorded_is_not_lost)
{
    home h;
    busy b = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    h.now_us += 2 * HOUR_US;
    exec(&h, "CREATE TRIGGER full BEFORE UPDATE OF ended_us ON run"
             " BEGIN SELECT RAISE(ABORT, 'full'); END"); /* as a disk that is full */
    dl_scheduler_options options = {.factory = h.factory,
                                    .work = {.run = busy_run, .told = busy_told, .context = &b},
                                    .workers = 2};
    dl_scheduler *s = NULL;
    TAP_OK(dl_scheduler_open(&options, &s, &h.err), h.err);
    TAP_OK(dl_scheduler_start(s, &h.err), h.err);
    TAP_TRUE(wait_for(&b.done, 1));
    pause_ms(300);
    TAP_EQ_INT(b.told, 0);
    exec(&h, "DROP TRIGGER full");
    TAP_TRUE(wait_for(&b.told, 2));
    TAP_EQ_INT(b.done, 2); /* each once */
    dl_run *runs = NULL;
    TAP_EQ_INT(list(&h, "t", &runs), 2);
    TAP_EQ_INT(runs[0].status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(runs[1].status, DL_RUN_SUCCEEDED);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- a real process, killed ---- */

enum { LIVES = 40, KILLED_WINDOWS = 400 };

static void kill_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
{
    (void)context;
    (void)arena;
    (void)cancel;
    run->status = DL_RUN_SUCCEEDED;
}

static _Noreturn void live(const char *folder)
{
    static home h;
    (void)snprintf(h.folder, sizeof h.folder, "%s", folder);
    h.now_us = START_US + KILLED_WINDOWS * HOUR_US;
    home_open(&h);
    dl_scheduler_options options = {.factory = h.factory, .work = {.run = kill_run}};
    dl_scheduler *s = NULL;
    int64_t next_us = 0;
    bool fine = dl_scheduler_open(&options, &s, &h.err) == DL_OK;
    while (fine && next_us <= h.now_us) {
        fine = dl_scheduler_step(s, &next_us, &h.err) == DL_OK;
    }
    _exit(fine ? 0 : 1);
}

/* It is given more time from life to life, so that it comes to its end at last. */
static bool live_and_kill(const char *folder, int life)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        live(folder);
    }
    pause_ms(1 + life * 3 / 2);
    if (life < LIVES) {
        (void)kill(child, SIGKILL);
    }
    TAP_TRUE(child > 0 && waitpid(child, &status, 0) == child);
    TAP_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

TAP_CASE(killed_again_and_again_each_window_succeeds_once)
{
    home h;
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    home_close(&h); /* no database is open across the fork */
    int killed = 0;
    for (int life = 0; life <= LIVES; life++) {
        killed += live_and_kill(h.folder, life);
    }
    TAP_TRUE(killed > 3);
    home_open(&h);
    TAP_TRUE(!dl_scheduler_is_running(h.factory));
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), KILLED_WINDOWS);
    check_contiguous(w, KILLED_WINDOWS);
    dl_run *runs = NULL;
    size_t count = list(&h, "t", &runs), succeeded = 0;
    int64_t last_us = INT64_MAX;
    for (size_t i = 0; i < count; i++) { /* newest first */
        if (runs[i].status == DL_RUN_SUCCEEDED) {
            TAP_TRUE(runs[i].window_start_us < last_us);
            last_us = runs[i].window_start_us;
            succeeded++;
        } else {
            TAP_EQ_INT(runs[i].status, DL_RUN_CANCELLED);
            TAP_TRUE(runs[i].cause.len > 0);
        }
    }
    TAP_EQ_INT(succeeded, KILLED_WINDOWS);
    home_end(&h);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(threads_work_and_stop);
    TAP_RUN(an_end_that_cannot_be_recorded_is_not_lost);
    TAP_RUN(killed_again_and_again_each_window_succeeds_once);
    return tap_done();
}
