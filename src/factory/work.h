/**
 * Work: what a run does. Opens the two connections of the published pipeline, evaluates the
 * parameters, syncs (pipeline/pipeline.h), and tells runs about it: parameters, live counts, log
 * lines, retries, the first cause of a failure and what to do.
 *
 * Lakes stay open between runs of one pipeline (a window without changes costs one request and
 * milliseconds), are opened anew after a failure or when the document changed, and are closed when
 * idle for a minute.
 *
 * Thread: locked; runs on one lake exclude each other by the lake's own lock.
 */
#ifndef DL_FACTORY_WORK_H
#define DL_FACTORY_WORK_H

#include "factory/scheduler.h"

typedef struct dl_work dl_work;
DL_NODISCARD dl_status dl_work_create(dl_factory *factory, dl_work **out_work, dl_error *err);
/** NULL is fine. */
void dl_work_destroy(dl_work *work);
/** For dl_scheduler_options. */
dl_scheduler_work dl_work_ops(dl_work *work);

/** Tries of one request to a source before a run fails, and its first pause; 0: the feed's own.
 * Before the first run. */
void dl_work_limit_tries(dl_work *work, unsigned try_limit, unsigned backoff_ms);

/** The hint for a failure of a run: what to do, by its status and cause. Pure; never NULL. */
const char *dl_work_hint(const dl_error *err);

#endif
