/**
 * Plan: what is due out of what is there and the time. Pure: no database, no clock, no feed.
 *
 * A tumbling trigger has a grid of borders: its start plus or minus whole intervals. Windows lie
 * between borders. Where windows of an older grid are in the way (the frequency was changed, the
 * start moved), the new ones begin and end at them, so that windows stay contiguous and never
 * overlap; the last one ends at the trigger's end.
 *
 * A schedule counts from the moment it was started: what it missed while nobody scheduled it fires
 * once, what it missed while it was stopped does not fire.
 *
 * Pure.
 */
#ifndef DL_FACTORY_PLAN_H
#define DL_FACTORY_PLAN_H

#include "factory/runs.h"

typedef struct dl_plan_range {
    int64_t start_us, end_us; /* end exclusive; empty when end <= start */
} dl_plan_range;

/** The border of the grid at or before `at_us`, also before the trigger's start. */
int64_t dl_plan_floor(const dl_factory_trigger *trigger, int64_t at_us);
/** The first border after `at_us`; INT64_MAX: there is none any more. */
int64_t dl_plan_border(const dl_factory_trigger *trigger, int64_t at_us);
/** The window that begins at `at_us`, when the next one that exists begins at `next_us` (INT64_MAX:
 * none). False: the trigger has ended. */
bool dl_plan_window(const dl_factory_trigger *trigger, int64_t at_us, int64_t next_us,
                    dl_plan_range *out_window);
/** When a window with that end is made: its end plus the delay. */
int64_t dl_plan_due(const dl_factory_trigger *trigger, int64_t end_us);
/** The window that ended last before or at `now_us`; of a trigger that has ended its last one. */
dl_plan_range dl_plan_last(const dl_factory_trigger *trigger, int64_t now_us);

/** The time of the trigger it depends on that has to be covered by windows that succeeded: that of
 * the window moved by the offset, as long as the size says, as far as `upstream` has windows.
 * Empty: nothing to wait for. */
dl_plan_range dl_plan_need(const dl_factory_dependency *dependency,
                           const dl_factory_trigger *upstream, dl_plan_range window);

typedef struct dl_plan_firing {
    bool due;
    int64_t at_us;   /* when due: the newest time that was missed, or is now */
    int64_t next_us; /* the one after that; INT64_MAX: never */
} dl_plan_firing;
/** What of a schedule is due in (position_us, now_us]. */
dl_plan_firing dl_plan_schedule(const dl_factory_trigger *trigger, int64_t position_us,
                                int64_t now_us);

/** Whether a run that ended so is tried again after `retry` tries, and when. On change there is no
 * window that would stand as failed, so there is always another try: after 30 s, a minute ... 32
 * minutes. */
bool dl_plan_retry(const dl_factory_trigger *trigger, dl_run_status status, unsigned retry,
                   int64_t now_us, int64_t *out_not_before_us);

/** Whether something on change is due: `newest` beyond `sequence`, and quiet since `fired_us`.
 * `out_next_us`: when to look again; INT64_MAX: at a change. */
bool dl_plan_change(const dl_factory_trigger *trigger, int64_t newest, int64_t sequence,
                    int64_t fired_us, int64_t now_us, int64_t *out_next_us);

/** a + b, at the bounds of the type. */
int64_t dl_plan_add(int64_t a, int64_t b);

#endif
