/**
 * Child: a statement of somebody else in a process of its own: this program once more, sealed
 * (query/seal.h), with its limits, its rows coming through a pipe.
 *
 * The child is one of
 *
 *     dicomlake sql --worker --format F ...         stdin: the statement     stdout: its rows
 *     dicomlake worker cohort --name NAME ...       stdin: the statement     stdout: nothing
 *     dicomlake worker notebook ...                 stdin: {"parameters": {...}, "notebook": {...}}
 *                                                   stdout: the notebook as it is then
 *
 * where "..." is `--home HOME --lakehouse NAME --memory BYTES --limit ROWS --timeout Ns`. The last
 * line of its standard error is one JSON object, written after the last row: {"rows": N, ...}, or
 * what went wrong: {"status", "message", "hint", "line", "column", "at"} with the status' name
 * (dl_status_name) and, where it is known, the place in the statement. It inherits three pipes and
 * nothing else, is the head of a process group of its own, and asks to be killed when its parent is
 * (PR_SET_PDEATHSIG). When the reader goes away, time is up or somebody cancels, it is killed:
 * nothing of it matters to anyone else.
 *
 * The first rows are held back for a moment, so that what fails early fails before an answer has
 * begun. Statements are on no command line and in no list or log.
 *
 * Thread: locked (start, cancel, list, stop); a child is confined.
 */
#ifndef DL_LAKEHOUSE_CHILD_H
#define DL_LAKEHOUSE_CHILD_H

#include "lakehouse/lakehouse.h"
#include "query/output.h"

enum {
    DL_CHILDREN_LIMIT = 64,                         /* at once, at most */
    DL_CHILD_INPUT_LIMIT_BYTES = 128 * 1024 * 1024, /* of a notebook with its outputs */
    DL_CHILD_FIRST_BYTES = 64 * 1024,               /* are held back, ... */
    DL_CHILD_FIRST_MS = 100, /* ... or what came in so long since the first */
};

typedef struct dl_children dl_children;

typedef struct dl_children_options {
    const char *program; /* absolute; /proc/self/exe's target */
    const char *home;
    unsigned at_once;       /* 0: 4; further ones wait up to wait_ms, then DL_E_UNAVAILABLE */
    unsigned wait_ms;       /* 0: 5000 */
    dl_query_limits limits; /* no statement gets more; 0: 1 GiB, 600 s, 100 M rows */
} dl_children_options;
DL_NODISCARD dl_status dl_children_create(const dl_children_options *options,
                                          dl_children **out_children, dl_error *err);
/** Kills what runs; from now on nothing starts (DL_E_UNAVAILABLE). */
void dl_children_stop(dl_children *children);
/** As dl_children_stop; every child must have been destroyed. NULL is fine. */
void dl_children_destroy(dl_children *children);

typedef struct dl_child dl_child;
typedef enum dl_child_kind {
    DL_CHILD_STATEMENT,
    DL_CHILD_COHORT,
    DL_CHILD_NOTEBOOK,
} dl_child_kind;

typedef struct dl_child_options {
    dl_child_kind kind;
    dl_str lakehouse;
    dl_str input;           /* what its standard input gets; borrowed while it starts */
    dl_query_format format; /* of a STATEMENT */
    dl_str name;            /* of a COHORT */
    dl_query_limits limits; /* of this one; 0, or beyond the children's: those */
    /** Whether whoever waits for it is gone; asked several times a second, as long as somebody
     * waits in dl_child_start or dl_child_read. NULL: never. */
    bool (*gone)(void *context);
    void *context;
} dl_child_options;

enum { DL_CHILD_ID_SIZE = 33 };

/**
 * Returns when the first rows are there, or the statement failed: then with its error and place
 * (may be NULL).
 *
 * Errors: those of dl_query_run; DL_E_LIMIT with os_code ETIMEDOUT (time is up), ENOMEM (its
 * process was ended for want of memory) or 0 (rows, the statement's size); DL_E_UNAVAILABLE (as
 * many run as may, or none can be started); DL_E_CANCELED (also: gone); DL_E_IO (its process
 * ended without a word).
 */
DL_NODISCARD dl_status dl_child_start(dl_children *children, const dl_child_options *options,
                                      dl_child **out_child, dl_query_place *out_place,
                                      dl_error *err);
/** 0 bytes: the end. A child that fails in the middle: its error, as of dl_child_start. */
DL_NODISCARD dl_status dl_child_read(dl_child *child, char *out, size_t room, size_t *out_len,
                                     dl_error *err);
/** Kills it when it still runs. NULL is fine. */
void dl_child_destroy(dl_child *child);
DL_DEFINE_AUTO(dl_child)
const char *dl_child_id(const dl_child *child);

typedef struct dl_child_fact {
    char id[DL_CHILD_ID_SIZE];
    char lakehouse[DL_LAKEHOUSE_NAME_LIMIT + 1];
    dl_child_kind kind;
    int64_t started_us;
} dl_child_fact;
/** No statement gets more time than this. */
uint32_t dl_children_time_limit_ms(const dl_children *children);
/** What runs now; the statements themselves are not told. */
size_t dl_children_list(dl_children *children, dl_child_fact *out, size_t room);
/** Its process is killed before this returns. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_children_cancel(dl_children *children, dl_str id, dl_error *err);

/** How statements ended, since the children were made; for figures. */
typedef enum dl_child_outcome {
    DL_CHILD_DONE,
    DL_CHILD_FAILED,    /* of itself */
    DL_CHILD_LIMITED,   /* time, rows, memory */
    DL_CHILD_CANCELLED, /* also: nobody waited any more */
    DL_CHILD_REFUSED,   /* none was free */
} dl_child_outcome;
enum { DL_CHILD_OUTCOMES = 5 };
typedef struct dl_children_figures {
    uint64_t ended[DL_CHILD_OUTCOMES];
    uint64_t ran_us; /* of all that started, from start to end */
    size_t running;
} dl_children_figures;
void dl_children_count(dl_children *children, dl_children_figures *out);
/** The same in Prometheus' text format. */
DL_NODISCARD dl_status dl_children_put_metrics(dl_children *children, dl_buf *out, dl_error *err);

#endif
