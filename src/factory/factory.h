/**
 * Factory: connections, pipelines, triggers and runs of one home, in Data Factory's own words.
 *
 * The parts, each with a header of its own:
 *
 *     expression   "@formatDateTime(trigger().outputs.windowStartTime)" read, checked, evaluated
 *     calendar     time zones; when a schedule fires next; where a tumbling window ends
 *     document     the JSON documents (linked service, pipeline, trigger): read, check, write
 *     catalog      drafts in HOME/config/factory, what is published in the database
 *     gallery      templates; import of the public template's zip or JSON; export
 *     runs         windows, runs, stages, logs in the database
 *     plan         pure: which window or run is due, given what is there and the time
 *     scheduler    the thread that asks plan and starts workers; one a home
 *     work         what a run does: opens connections, syncs, tells runs about it
 *     probe        connection test: what works and, if not, why
 *     routes       the same over HTTP, the OpenAPI document, metrics, webhook
 *
 * A `dl_factory` is one home. Several processes may have it open at once (commands beside a running
 * service): documents are small files that are replaced whole, everything else is one SQLite
 * database, HOME/state/factory.db. Only the process that holds HOME/state/factory.lock schedules
 * and works; others put wishes into the database (a run queued, a run to cancel), and it sees them
 * within a second.
 *
 * Thread: locked.
 */
#ifndef DL_FACTORY_FACTORY_H
#define DL_FACTORY_FACTORY_H

#include "base/arena.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "db/db.h"
#include "feed/feed.h"

enum {
    DL_FACTORY_NAME_LIMIT = 140, /* Data Factory's own bound of a pipeline's name */
    DL_FACTORY_RUN_ID_SIZE = 37, /* a UUID in lower case, ended by NUL */
    DL_FACTORY_DOCUMENT_LIMIT_BYTES = 1024 * 1024,
};

typedef struct dl_factory dl_factory;

typedef struct dl_factory_options {
    const char *home; /* made when something is written */
    dl_clock clock;   /* all times come from it; waiting does not */
    /** The feed of this home's own service, for a connection whose URL is "home:". Called by
     * worker threads. NULL: there is none. */
    dl_status (*open_home_feed)(void *context, dl_feed_source **out_source, dl_error *err);
    void *context;
} dl_factory_options;

/** Touches nothing: the database is opened when it is first asked for. Errors: DL_E_INVALID (the
 * home's path). */
DL_NODISCARD dl_status dl_factory_open(const dl_factory_options *options, dl_factory **out_factory,
                                       dl_error *err);
/** Nothing may be under way. NULL is fine. */
void dl_factory_close(dl_factory *factory);
const char *dl_factory_home(const dl_factory *factory);
/** What it was opened with; `home` is the factory's own copy. */
const dl_factory_options *dl_factory_options_of(const dl_factory *factory);
int64_t dl_factory_now_us(const dl_factory *factory);

typedef enum dl_factory_need {
    DL_FACTORY_DRAFTS, /* the lock alone: drafts are files */
    DL_FACTORY_READ,   /* makes nothing: a home without a database has an empty one */
    DL_FACTORY_WRITE,  /* made when missing, and brought to the newest schema */
} dl_factory_need;

/** The shared connection (NULL for DRAFTS), locked until dl_factory_unlock; one transaction a lock
 * at most. Errors, then nothing is locked: why the database cannot be opened, at the next call it
 * is tried again; DL_E_CORRUPT also when damage was met in it before, and that stays so. */
DL_NODISCARD dl_status dl_factory_lock(dl_factory *factory, dl_factory_need need, dl_db **out_db,
                                       dl_error *err);
/** The lock alone, as for DL_FACTORY_DRAFTS. */
void dl_factory_lock_drafts(dl_factory *factory);
void dl_factory_unlock(dl_factory *factory);
/** What is wrong with the database, without its folder, so that clients may read it; DL_OK: nothing
 * that is known. Waits for nobody. */
DL_NODISCARD dl_status dl_factory_fault(dl_factory *factory, dl_error *err);

/** Letters, digits, '-' and '_', 1 to DL_FACTORY_NAME_LIMIT. Errors: DL_E_INVALID naming `what`. */
DL_NODISCARD dl_status dl_factory_name_check(dl_str name, const char *what, dl_error *err);

#endif
