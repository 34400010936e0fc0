/**
 * What child.c (one process and its pipes) and child_pool.c (all of them: room, time, cancel)
 * share.
 */
#ifndef DL_LAKEHOUSE_CHILD_INTERNAL_H
#define DL_LAKEHOUSE_CHILD_INTERNAL_H

#include "lakehouse/child.h"

#include <pthread.h>
#include <sys/types.h>

/** Why we killed one. */
typedef enum dl_child_why {
    DL_CHILD_OF_ITSELF, /* we did not */
    DL_CHILD_TIME,
    DL_CHILD_CANCEL,
    DL_CHILD_GONE,
    DL_CHILD_STOP,
} dl_child_why;

struct dl_child {
    dl_children *pool;
    dl_child_fact fact;
    dl_query_limits limits;
    int64_t begun_us; /* monotonic */

    /* Guarded by the pool's lock: a process may only be killed while nobody has waited for it, or
     * its number could be somebody else's. */
    pid_t pid; /* 0: none, or it has been waited for */
    int64_t deadline_us;
    dl_child_why why;

    /* The reader's alone. */
    int in, out, says; /* pipes to its standard input, from its output and errors; -1: closed */
    dl_str input;      /* what is left of it */
    dl_buf first;      /* held back */
    size_t first_taken;
    dl_buf said; /* the end of what it said */
    bool ended;
    dl_error end;
    dl_query_place place;
    bool (*gone)(void *context);
    void *context;
};

struct dl_children {
    char *program, *home;
    unsigned at_once, wait_ms;
    dl_query_limits limits;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    dl_child *running[DL_CHILDREN_LIMIT];
    dl_children_figures figures; /* .running is the number of those */
    bool stopping, watching;
    pthread_t watcher;
};

/** Wait for room and take it. Errors: DL_E_UNAVAILABLE, DL_E_CANCELED. */
DL_NODISCARD dl_status dl_child_enter(dl_child *child, dl_error *err);
/** From now on it can be killed. */
void dl_child_runs(dl_child *child, pid_t pid);
/** Kill it unless it was before; the first reason stays. */
void dl_child_kill(dl_child *child, dl_child_why why);
/** Kill it and wait for it: then nothing of it is left. -1 when it did not run, else waitpid's
 * status. */
int dl_child_reap(dl_child *child, dl_child_why *out_why);
/** Give the room back, unless it was when it was killed. */
void dl_child_leave(dl_child *child, dl_child_outcome outcome);

#endif
