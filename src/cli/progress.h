/**
 * Progress: one line on standard error, redrawn in place, only when a person watches.
 *
 * Facts are added by any thread; at most ten times a second one of them redraws the line. When the
 * error stream is no terminal nothing is ever written. dl_cli_progress_clear() wipes the line
 * before something else is printed.
 *
 * dl_cli_progress_format() is the pure part: facts, width and time in, one line out.
 *
 * Thread: locked.
 */
#ifndef DL_CLI_PROGRESS_H
#define DL_CLI_PROGRESS_H

#include "base/buf.h"

#include <stdio.h>

typedef struct dl_cli_progress_facts {
    const char *verb;                 /* "importing" */
    const char *noun;                 /* "files" */
    uint64_t items_done, items_total; /* total 0: not known */
    uint64_t bytes_done, bytes_total; /* total 0: not known */
    bool counting;                    /* the totals still grow */
    double items_per_s, bytes_per_s;  /* recent; 0: not known yet */
    int64_t seconds_left;             /* -1: not known */
} dl_cli_progress_facts;

/** One line of at most `width` columns, without newline; out must hold 4 * width bytes. */
DL_NODISCARD dl_status dl_cli_progress_format(const dl_cli_progress_facts *facts, size_t width,
                                              dl_buf *out, dl_error *err);

/** Rates over the last seconds: an average that forgets. Pure but for its own state. */
typedef struct dl_cli_rate {
    int64_t at_us; /* 0: nothing seen yet */
    uint64_t items, bytes;
    double items_per_s, bytes_per_s;
} dl_cli_rate;
void dl_cli_rate_update(dl_cli_rate *rate, int64_t now_us, uint64_t items, uint64_t bytes);

typedef struct dl_cli_progress dl_cli_progress;

/** `verb` and `noun` are borrowed. Errors: DL_E_NOMEM. */
DL_NODISCARD dl_status dl_cli_progress_create(FILE *err_stream, const char *verb, const char *noun,
                                              dl_cli_progress **out_progress, dl_error *err);
/** Wipes the line. */
void dl_cli_progress_destroy(dl_cli_progress *progress);
DL_DEFINE_AUTO(dl_cli_progress)

/** Whether anybody watches: counting ahead is worth it only then. */
bool dl_cli_progress_watched(const dl_cli_progress *progress);
/** All four work on NULL. */
void dl_cli_progress_add(dl_cli_progress *progress, uint64_t items, uint64_t bytes);
void dl_cli_progress_expect(dl_cli_progress *progress, uint64_t items, uint64_t bytes);
void dl_cli_progress_counting(dl_cli_progress *progress, bool counting);
void dl_cli_progress_clear(dl_cli_progress *progress);

#endif
