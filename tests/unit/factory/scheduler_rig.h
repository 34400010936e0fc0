/**
 * Schedulers whose work only counts, and short words for what they made.
 */
#ifndef DL_TESTS_FACTORY_SCHEDULER_RIG_H
#define DL_TESTS_FACTORY_SCHEDULER_RIG_H

#include "schedule_fixture.h"

typedef struct counter {
    home *home;
    size_t runs, fail_first;
    int64_t last_start_us, last_end_us;
    bool in_order;
} counter;

/** Of work: counts the runs, and fails the first when told. `context` is a counter. */
void count_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel);
dl_scheduler *open_with(home *h, counter *c);
/** Steps until nothing is due; when something is again. */
int64_t steps(home *h, dl_scheduler *s);
/** A home with the pipeline "p" and, not NULL, a trigger of it, published. */
void begin_with(home *h, const dl_factory_trigger *t);
size_t list(home *h, const char *trigger, dl_run **out_runs);
size_t windows_of(home *h, const char *trigger, dl_run_window **out_windows);
dl_trigger_facts facts_of(home *h, const char *trigger);
void exec(home *h, const char *sql);
void check_contiguous(const dl_run_window *windows, size_t count);

#endif
