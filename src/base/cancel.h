/**
 * Cancel: one flag that asks long work to stop. Work looks at it at every I/O.
 *
 * Thread: locked (any thread, also a signal handler, may ask).
 */
#ifndef DL_BASE_CANCEL_H
#define DL_BASE_CANCEL_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct dl_cancel {
    atomic_bool asked; /* relaxed: it carries no data, only the wish */
} dl_cancel;

static inline void dl_cancel_ask(dl_cancel *cancel)
{
    atomic_store_explicit(&cancel->asked, true, memory_order_relaxed);
}

/** NULL is never asked. */
static inline bool dl_cancel_asked(dl_cancel *cancel)
{
    return cancel != NULL && atomic_load_explicit(&cancel->asked, memory_order_relaxed);
}

#endif
