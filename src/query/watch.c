#include "base/clock.h"
#include "query/session.h"

#include <time.h>

enum { LOOK_EVERY_US = 25000 };

/* Whether the statement shall end. */
static bool is_over(dl_watch *watch)
{
    if (dl_clock_monotonic_us() >= watch->deadline_us) {
        atomic_store_explicit(&watch->timed_out, true, memory_order_relaxed);
        return true;
    }
    return dl_cancel_asked(watch->asked) || dl_cancel_asked(watch->inner);
}

static void wait_a_little(dl_watch *watch)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + (int64_t)LOOK_EVERY_US * 1000;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_cond_timedwait(&watch->wake, &watch->mutex, &until);
}

static void tell_stuck(dl_watch *watch)
{
    int64_t now_us = dl_clock_monotonic_us();
    if (watch->over_us == 0) {
        watch->over_us = now_us;
    }
    if (watch->stuck != NULL && now_us - watch->over_us >= (int64_t)DL_QUERY_STUCK_MS * 1000) {
        void (*stuck)(void *) = watch->stuck;
        watch->stuck = NULL;
        stuck(watch->stuck_context);
    }
}

/* Interrupts again and again: the engine forgets a wish that comes just before it begins. */
static void *look(void *context)
{
    dl_watch *watch = context;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->done) {
        if (is_over(watch)) {
            dl_cancel_ask(watch->inner);
            dl_engine_interrupt(watch->engine);
            tell_stuck(watch);
        }
        wait_a_little(watch);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

dl_status dl_watch_begin(dl_watch *watch, dl_error *err)
{
    DL_ASSERT(!watch->runs);
    watch->done = false;
    watch->over_us = 0;
    atomic_store_explicit(&watch->timed_out, false, memory_order_relaxed);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&watch->mutex, NULL);
    pthread_cond_init(&watch->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&watch->thread, NULL, look, watch) != 0) {
        pthread_cond_destroy(&watch->wake);
        pthread_mutex_destroy(&watch->mutex);
        return dl_error_set(err, DL_E_NOMEM, "sql: no thread to watch the statement");
    }
    watch->runs = true;
    return DL_OK;
}

void dl_watch_end(dl_watch *watch)
{
    if (!watch->runs) {
        return;
    }
    pthread_mutex_lock(&watch->mutex);
    watch->done = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    watch->runs = false;
}
