/**
 * Report: what became of each file of an import, counted and grouped by reason.
 *
 * Reasons are made of codes, tags and fixed words; values of files never get into them.
 *
 * Thread: locked (workers add; the one who prints does so after they ended).
 */
#ifndef DL_CLI_REPORT_H
#define DL_CLI_REPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "cli/cli.h"

typedef enum dl_cli_outcome {
    DL_CLI_STORED,
    DL_CLI_WARNED,  /* stored, with warnings */
    DL_CLI_THERE,   /* already in the archive */
    DL_CLI_REFUSED, /* not stored; also: could not be read */
    DL_CLI_SKIPPED, /* not meant to be stored */
    DL_CLI_OUTCOME_COUNT
} dl_cli_outcome;

enum {
    DL_CLI_REASON_SIZE = 200,
    DL_CLI_REASON_LIMIT = 200, /* different reasons; more are counted as "other reasons" */
    DL_CLI_REASON_NAMES = 3,   /* file names kept for each */
};

typedef struct dl_cli_verdict {
    dl_cli_outcome outcome;
    unsigned code;                   /* of the service, 0: none */
    char reason[DL_CLI_REASON_SIZE]; /* empty: nothing to say */
} dl_cli_verdict;

/** A verdict of our own; a longer text is cut. */
dl_cli_verdict dl_cli_verdict_of(dl_cli_outcome outcome, const char *text);

typedef struct dl_cli_report dl_cli_report;

/** Errors: DL_E_NOMEM. */
DL_NODISCARD dl_status dl_cli_report_create(dl_cli_report **out_report, dl_error *err);
void dl_cli_report_destroy(dl_cli_report *report);
DL_DEFINE_AUTO(dl_cli_report)

/** `name` is copied when it is kept. */
void dl_cli_report_add(dl_cli_report *report, const dl_cli_verdict *verdict, dl_str name,
                       uint64_t bytes);
uint64_t dl_cli_report_count(const dl_cli_report *report, dl_cli_outcome outcome);
/** Done, or partly, or failed when something was refused and nothing is in the archive. */
dl_cli_exit dl_cli_report_exit(const dl_cli_report *report);

/** `complete`: the walk went to its end. */
DL_NODISCARD dl_status dl_cli_report_print(const dl_cli_report *report, int64_t took_us,
                                           bool complete, FILE *out, dl_error *err);
/** One JSON object. */
DL_NODISCARD dl_status dl_cli_report_json(const dl_cli_report *report, int64_t took_us,
                                          bool complete, dl_buf *out, dl_error *err);

#endif
