/**
 * Tables for tests: a folder of one's own, a table with a column of each kind, rows that follow
 * from their id, and what the live rows are.
 *
 * Thread: confined.
 */
#ifndef DL_TESTS_DELTA_TABLES_H
#define DL_TESTS_DELTA_TABLES_H

#include "delta/delta.h"

enum { TABLES_ROWS = 100000 };

typedef struct tables {
    char folder[256];
    dl_store *store;
    dl_columnar_engine *engine;
    dl_clock clock;
} tables;

/** A new folder below TMPDIR's usual place; `folder` not NULL: that one, made when missing. */
void tables_init(tables *t, const char *folder);
/** Also removes a folder that tables_init made up. */
void tables_clear(tables *t);

/** partitionName (partition), id, name, at, score, tags, info{site, dose} */
extern const char tables_schema[];

dl_delta_open tables_open_options(const tables *t, const char *root);
dl_status tables_create(const tables *t, const char *root, bool compat, dl_delta_table **out_table,
                        dl_error *err);
/** As another writer made it, with column mapping by name. */
dl_status tables_create_mapped(const tables *t, const char *root, dl_delta_table **out_table,
                               dl_error *err);
dl_status tables_open(const tables *t, const char *root, dl_delta_table **out_table, dl_error *err);

/** A finished file of rows first .. first + count - 1. `partition` NULL: null. */
dl_status tables_write(dl_delta_table *table, const char *partition, int64_t first, int64_t count,
                       dl_delta_writer **out_writer, dl_error *err);
/** A commit of one such file. */
dl_status tables_append(dl_delta_table *table, const char *partition, int64_t first, int64_t count,
                        dl_error *err);
/** How often each id below TABLES_ROWS lives: `counts` has TABLES_ROWS of them. */
dl_status tables_count(dl_delta_table *table, uint8_t *counts, dl_error *err);
/** A row set of some rows. */
dl_delta_bitmap *tables_rows(const int64_t *rows, size_t count);
/** The only live file; NULL when there is another number of them. */
const dl_delta_file *tables_only_file(const dl_delta_table *table);

#endif
