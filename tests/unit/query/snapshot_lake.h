/**
 * A folder with Delta tables, and an engine with sessions over them: for tests of snapshots.
 *
 * Thread: confined.
 */
#ifndef DL_TESTS_QUERY_SNAPSHOT_LAKE_H
#define DL_TESTS_QUERY_SNAPSHOT_LAKE_H

#include "delta/tables.h"
#include "query/internal.h"

enum { LAKE_TABLES = 4, LAKE_TEXT_SIZE = 16384 };

typedef struct lake {
    tables tables;
    dl_engine engine;
    dl_snapshots *snapshots;
    dl_query_table names[LAKE_TABLES];
    char folders[LAKE_TABLES][300];
    dl_arena *arena;
    dl_query_read reads[LAKE_TABLES];
    size_t failed; /* want that failed last */
    char text[LAKE_TEXT_SIZE];
} lake;

/** Tables "a", "b", ... of one set, in the folders of lake_roots. */
extern const char *const lake_roots[LAKE_TABLES];
void lake_init(lake *l);
void lake_clear(lake *l);
/** A session anew. */
void lake_session(lake *l);
/** Version 0 of table i as another writer made it, column mapping and all: `partitions` is JSON
 * between brackets, `configuration` between braces. */
dl_status lake_create(const lake *l, size_t i, dl_str schema, const char *partitions,
                      const char *configuration, dl_error *err);
/** Any further commit: lines of JSON. */
dl_status lake_commit(const lake *l, size_t i, int64_t version, dl_str lines, dl_error *err);
/** A want of table `i` under the name `view`, newest version. */
dl_snapshot_want lake_want(const lake *l, size_t i, const char *view);
dl_status lake_bind(lake *l, const dl_snapshot_want *wants, size_t count, dl_error *err);
/** Newest version of table i as the view "v". */
dl_status lake_bind_newest(lake *l, size_t i, dl_error *err);
/** First column of the answer's rows as text, joined by ';' (NULL: "NULL"); the error's words on
 * failure. It lives until the next call. */
const char *lake_ask(lake *l, const char *sql);

/** The engine's plan of a statement, as text. */
const char *lake_explain(lake *l, const char *sql);

#endif
