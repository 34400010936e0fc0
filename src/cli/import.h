/**
 * Import: the parts of the import command.
 *
 * The main thread walks the paths and pushes files into a queue; workers take them in batches, look
 * at the first bytes, and store DICOM files. A worker that meets an archive unpacks it in memory
 * and puts its entries into the same queue, so that one large zip keeps every worker busy; what the
 * queue has no room for it sends itself.
 *
 * Thread: the job is locked (its parts are); a worker is confined.
 */
#ifndef DL_CLI_IMPORT_H
#define DL_CLI_IMPORT_H

#include "cli/progress.h"
#include "cli/queue.h"
#include "cli/report.h"
#include "cli/store.h"

#include <pthread.h>

enum {
    DL_CLI_IMPORT_JOBS = 8,
    DL_CLI_IMPORT_JOBS_LIMIT = 64,
    /* An entry of an archive is held whole up to this size, beyond it is streamed by the worker. */
    DL_CLI_IMPORT_HELD_LIMIT_BYTES = 16 << 20,
};

typedef struct dl_cli_import_job {
    dl_cli *cli;
    const char *base;
    bool update, verbose;
    dl_cli_queue *queue;
    dl_cli_report *report;
    dl_cli_progress *progress;
    pthread_mutex_t lock; /* guards what follows */
    dl_error fatal;       /* the first; status DL_OK: none */
} dl_cli_import_job;

/** The body of a worker's thread; `context` is the job. */
void *dl_cli_import_work(void *context);
/** Remember the first error that ends the import, and ask all to stop. */
void dl_cli_import_end(dl_cli_import_job *job, const dl_error *why);
/** Count one file, and say so when it was refused and the person wants to see each. */
void dl_cli_import_count(dl_cli_import_job *job, const dl_cli_verdict *verdict, dl_str name,
                         uint64_t bytes);

#endif
