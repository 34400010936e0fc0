/**
 * What the two files of the module share: a connection and its statements.
 */
#ifndef DL_DB_INTERNAL_H
#define DL_DB_INTERNAL_H

#include "db/db.h"

#include <sqlite3.h>

enum {
    DL_DB_BUCKET_COUNT = 128,   /* of the table of statements; a power of two */
    DL_DB_TEXT_KEPT_LIMIT = 32, /* statements made of run-time text that are kept */
    DL_DB_TEXT_LIMIT = 64 * 1024
};

struct dl_db_stmt {
    dl_db *db;
    sqlite3_stmt *raw;
    const void *key; /* the literal's address; NULL for run-time text */
    bool busy;       /* between query and finish */
    bool done;       /* the last row was seen: SQLite would start anew */
    int rc;          /* the first thing that went wrong since query */
    uint64_t used;   /* when, in dl_db.ticks */
    dl_db_stmt *next_in_bucket;
};

struct dl_db {
    sqlite3 *handle;
    dl_db_stmt *buckets[DL_DB_BUCKET_COUNT];
    dl_db_stmt *texts;
    size_t text_count;
    uint64_t ticks;
    bool in_transaction; /* as the caller sees it; SQLite may have given up on its own */
    bool damaged;        /* a result code said so */
    int log_pages;
};

/** The error for an SQLite result code. `what` is a short clause: "commit". */
dl_status dl_db_fail(dl_db *db, int rc, const char *what, dl_error *err);
void dl_db_statements_clear(dl_db *db);

#endif
