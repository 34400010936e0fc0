/**
 * Database: prepared statements and transactions over SQLite (embedded). The only module that knows
 * SQLite.
 *
 * A `dl_db` is one connection. Statements are prepared once per connection and kept: dl_db_query()
 * with the same SQL text (the same literal) is a lookup by pointer. Reading is a loop:
 *
 *     dl_db_stmt *q = NULL;
 *     DL_TRY(dl_db_query(db, "SELECT id, uid FROM study WHERE partition_id = ?1", &q, err));
 *     dl_db_bind_int(q, 1, partition);
 *     while (dl_db_step(q)) {
 *         int64_t id = dl_db_int(q, 0);
 *     }
 *     DL_TRY(dl_db_finish(q, err)); // resets the statement and reports what went wrong on the way
 *
 * Bind errors (out of memory) are remembered and come out of dl_db_finish.
 *
 * Files are opened in WAL mode, synchronous FULL for writers: a commit that returned survives power
 * loss.
 *
 * Thread: confined (one connection per thread at a time; hand-over between threads is fine).
 */
#ifndef DL_DB_DB_H
#define DL_DB_DB_H

#include "base/arena.h"
#include "base/str.h"

typedef struct dl_db dl_db;
typedef struct dl_db_stmt dl_db_stmt;

typedef struct dl_db_options {
    bool read_only;
    bool unchanging; /* with read_only: nobody writes meanwhile, nothing is made beside it */
    unsigned busy_timeout_ms; /* 0: 10000 */
    unsigned cache_kib;       /* page cache; 0: 2048 */
    bool no_auto_checkpoint;  /* the caller calls dl_db_checkpoint */
    bool relaxed; /* synchronous NORMAL: power loss may undo the last commits, for caches */
} dl_db_options;

DL_NODISCARD dl_status dl_db_open(const char *path, const dl_db_options *options, dl_db **out_db,
                                  dl_error *err);
void dl_db_close(dl_db *db);
static inline DL_UNUSED void dl_db_closep(dl_db **db)
{
    dl_db_close(*db);
}
#define DL_AUTO_DB DL_CLEANUP(dl_db_closep) dl_db *

/** Several statements without results, for schema and pragmas. */
DL_NODISCARD dl_status dl_db_exec(dl_db *db, const char *sql, dl_error *err);

/**
 * Bring the schema to the newest version: scripts[i] leads from version i to i + 1 (PRAGMA
 * user_version), each in a transaction. Errors: DL_E_UNSUPPORTED when the file is newer than the
 * program.
 */
DL_NODISCARD dl_status dl_db_migrate(dl_db *db, const char *const *scripts, size_t count,
                                     dl_error *err);

/** `sql` is kept by pointer: a literal, or text that outlives the connection. */
DL_NODISCARD dl_status dl_db_query(dl_db *db, const char *sql, dl_db_stmt **out_stmt,
                                   dl_error *err);
/** As dl_db_query for SQL made at run time: prepared anew (small LRU by text inside). */
DL_NODISCARD dl_status dl_db_query_text(dl_db *db, dl_str sql, dl_db_stmt **out_stmt,
                                        dl_error *err);
/** Parameters count from 1. Text and blobs are borrowed until dl_db_finish. */
void dl_db_bind_int(dl_db_stmt *stmt, int index, int64_t value);
void dl_db_bind_double(dl_db_stmt *stmt, int index, double value);
/** ptr NULL binds NULL; an empty text with ptr not NULL binds ''. */
void dl_db_bind_str(dl_db_stmt *stmt, int index, dl_str value);
void dl_db_bind_bytes(dl_db_stmt *stmt, int index, dl_bytes value);
void dl_db_bind_null(dl_db_stmt *stmt, int index);
/** True: a row is there. False: the end or an error; dl_db_finish tells. */
bool dl_db_step(dl_db_stmt *stmt);
/** Columns count from 0. Pointers are valid until the next step or finish. */
int64_t dl_db_int(const dl_db_stmt *stmt, int column);
double dl_db_double(const dl_db_stmt *stmt, int column);
bool dl_db_is_null(const dl_db_stmt *stmt, int column);
dl_str dl_db_str(const dl_db_stmt *stmt, int column);
dl_bytes dl_db_bytes(const dl_db_stmt *stmt, int column);
/** Ends the use of a statement. Errors: DL_E_EXISTS (unique), DL_E_UNAVAILABLE (busy), DL_E_IO
 * (disk, also full), DL_E_CORRUPT. NULL is fine. */
DL_NODISCARD dl_status dl_db_finish(dl_db_stmt *stmt, dl_error *err);
/** Step to the end and finish: for statements without rows. */
DL_NODISCARD dl_status dl_db_run(dl_db_stmt *stmt, dl_error *err);

int64_t dl_db_last_id(const dl_db *db);
int64_t dl_db_changes(const dl_db *db);

/** Writers begin IMMEDIATE. Readers get one snapshot until the end. */
DL_NODISCARD dl_status dl_db_begin(dl_db *db, bool write, dl_error *err);
DL_NODISCARD dl_status dl_db_commit(dl_db *db, dl_error *err);
/** Fine when nothing is open. */
void dl_db_rollback(dl_db *db);
/** Move the write-ahead log into the file without blocking readers or writers. */
DL_NODISCARD dl_status dl_db_checkpoint(dl_db *db, dl_error *err);
/** As dl_db_checkpoint, and let the log start anew: waits for readers and holds writers up.
 * Errors: DL_E_UNAVAILABLE when a reader does not end within the busy timeout. */
DL_NODISCARD dl_status dl_db_checkpoint_restart(dl_db *db, dl_error *err);
/** Whether something in the file was met that cannot be right. Closing then leaves file and
 * write-ahead log as they are. */
bool dl_db_is_damaged(const dl_db *db);
/** Pages in the write-ahead log after this connection's last commit. */
int dl_db_log_pages(const dl_db *db);

/** SQL of the i-th prepared statement, NULL past the last: tests ask for the plan of each. */
const char *dl_db_statement_sql(const dl_db *db, size_t i);

#endif
