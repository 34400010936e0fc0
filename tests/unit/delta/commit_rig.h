/**
 * Tables of a hundred rows to commit to, and what lives in them afterwards.
 */
#ifndef DL_TESTS_DELTA_COMMIT_RIG_H
#define DL_TESTS_DELTA_COMMIT_RIG_H

#include "tables.h"

extern tables t;                    /* main makes and clears it */
extern uint8_t counts[TABLES_ROWS]; /* how often each id lived at the last expect_rows */

/** A table of one file with ids 0 .. 99, under a key of its own. */
dl_delta_table *new_table(const char *root, bool compat);
/** So many rows live, each once. */
void expect_rows(dl_delta_table *table, int64_t want);

#endif
