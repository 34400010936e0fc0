#include "db/internal.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    DEFAULT_BUSY_MS = 10000,
    DEFAULT_CACHE_KIB = 2048,
    LOG_KEPT_BYTES = 16 * 1024 * 1024, /* a longer log file is cut when it is next reset */
    PRAGMA_SIZE = 96,
    URI_SIZE = 3 * 4096 + 64,
};

static dl_status status_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return DL_E_NOMEM;
    case SQLITE_CONSTRAINT:
        return DL_E_EXISTS;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return DL_E_UNAVAILABLE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return DL_E_CORRUPT;
    case SQLITE_TOOBIG:
        return DL_E_LIMIT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return DL_E_DENIED;
    default:
        return DL_E_IO;
    }
}

dl_status dl_db_fail(dl_db *db, int rc, const char *what, dl_error *err)
{
    dl_status status = status_of(rc);
    sqlite3 *handle = db->handle;
    db->damaged = db->damaged || status == DL_E_CORRUPT;
    /* Neither text holds values: SQLite names tables and columns only. */
    const char *text = handle != NULL && (sqlite3_extended_errcode(handle) & 0xff) == (rc & 0xff)
                           ? sqlite3_errmsg(handle)
                           : sqlite3_errstr(rc);
    (void)dl_error_set(err, status, "database: %s: %s", what, text);
    if (err != NULL) {
        err->os_code = rc;
    }
    if ((rc & 0xff) == SQLITE_FULL) {
        dl_error_hint(err, "free space on the disk that holds the database");
    } else if ((rc & 0xff) == SQLITE_IOERR) {
        dl_error_hint(err, "check the disk that holds the database and the space left on it");
    } else if (status == DL_E_CORRUPT) {
        dl_error_hint(
            err,
            "check the disk; restore the whole home from one backup, never the database alone");
    } else if (status == DL_E_UNAVAILABLE) {
        dl_error_hint(err, "another process holds the database; try again later");
    }
    return status;
}

static int note_log_pages(void *context, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    ((dl_db *)context)->log_pages = pages;
    return SQLITE_OK;
}

static dl_status set_number(dl_db *db, const char *pragma, long long value, dl_error *err)
{
    char sql[PRAGMA_SIZE];
    (void)sqlite3_snprintf((int)sizeof sql, sql, "PRAGMA %s=%lld", pragma, value);
    return dl_db_exec(db, sql, err);
}

static dl_status configure(dl_db *db, const dl_db_options *options, dl_error *err)
{
    unsigned busy_ms = options->busy_timeout_ms == 0 ? DEFAULT_BUSY_MS : options->busy_timeout_ms;
    unsigned cache_kib = options->cache_kib == 0 ? DEFAULT_CACHE_KIB : options->cache_kib;
    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, (int)(busy_ms > INT32_MAX ? INT32_MAX : busy_ms));
    DL_TRY(set_number(db, "cache_size", -(long long)cache_kib, err));
    DL_TRY(dl_db_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF", err));
    if (options->read_only) {
        return DL_OK;
    }
    DL_TRY(dl_db_exec(db,
                      options->relaxed ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                                         "PRAGMA secure_delete=FAST"
                                       : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                         "PRAGMA secure_delete=FAST",
                      err));
    DL_TRY(set_number(db, "journal_size_limit", LOG_KEPT_BYTES, err));
    if (options->no_auto_checkpoint) { /* the hook takes the place of SQLite's own */
        (void)sqlite3_wal_hook(db->handle, note_log_pages, db);
    }
    return DL_OK;
}

/* Once, before the first connection: SQLite's own statistics of memory cost a lock for each
 * allocation, and nobody reads them. */
static void start_library(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* refused, and fine, when it runs already */
}

/* Only a URI can say that a file does not change. */
static dl_status unchanging_uri(const char *path, char out[URI_SIZE], dl_error *err)
{
    static const char end[] = "?immutable=1";
    static const char digits[] = "0123456789abcdef";
    size_t len = (size_t)snprintf(out, URI_SIZE, "file:");
    for (; *path != '\0'; path++) {
        if (len + 3 + sizeof end > URI_SIZE) {
            return dl_error_set(err, DL_E_INVALID, "database: the path is too long");
        }
        if (strchr("%?#", *path) != NULL) {
            out[len++] = '%';
            out[len++] = digits[(unsigned char)*path >> 4];
            out[len++] = digits[(unsigned char)*path & 0x0f];
        } else {
            out[len++] = *path;
        }
    }
    memcpy(out + len, end, sizeof end);
    return DL_OK;
}

dl_status dl_db_open(const char *path, const dl_db_options *options, dl_db **out_db, dl_error *err)
{
    static const dl_db_options defaults = {0};
    if (options == NULL) {
        options = &defaults;
    }
    DL_AUTO_DB db = dl_mem_zalloc(1, sizeof *db);
    if (db == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "database: out of memory");
    }
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, start_library);
    int flags =
        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
        (options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    char uri[URI_SIZE];
    const char *name = path;
    if (options->read_only && options->unchanging) {
        DL_TRY(unchanging_uri(path, uri, err));
        flags |= SQLITE_OPEN_URI;
        name = uri;
    }
    int rc = sqlite3_open_v2(name, &db->handle, flags, NULL);
    if (rc == SQLITE_CANTOPEN) {
        (void)dl_db_fail(db, rc, "open", err);
        return dl_error_within(err, DL_E_IO, "opening %s", path);
    }
    if (rc != SQLITE_OK) {
        return dl_db_fail(db, rc, "open", err);
    }
    dl_status status = configure(db, options, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "opening %s", path);
    }
    *out_db = DL_STEAL(db);
    return DL_OK;
}

void dl_db_close(dl_db *db)
{
    if (db == NULL) {
        return;
    }
    dl_db_rollback(db);
    dl_db_statements_clear(db);
    if (db->damaged) { /* what is left of it is for whoever repairs it */
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    (void)sqlite3_close_v2(db->handle);
    dl_mem_free(db);
}

dl_status dl_db_exec(dl_db *db, const char *sql, dl_error *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? DL_OK : dl_db_fail(db, rc, "statement", err);
}

static dl_status read_version(dl_db *db, int64_t *out_version, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "PRAGMA user_version", &q, err));
    int64_t version = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_version = version;
    return DL_OK;
}

static dl_status run_script(dl_db *db, const char *script, size_t version, dl_error *err)
{
    DL_TRY(dl_db_begin(db, true, err));
    int64_t found = 0;
    dl_status status = read_version(db, &found, err); /* another process may have been faster */
    if (status == DL_OK && found < (int64_t)version) {
        status = dl_db_exec(db, script, err);
        if (status == DL_OK) {
            status = set_number(db, "user_version", (long long)version, err);
        }
    }
    if (status == DL_OK) {
        return dl_db_commit(db, err);
    }
    dl_db_rollback(db);
    return dl_error_within(err, status, "bringing the schema to version %zu", version);
}

dl_status dl_db_migrate(dl_db *db, const char *const *scripts, size_t count, dl_error *err)
{
    int64_t version = 0;
    DL_TRY(read_version(db, &version, err));
    if (version < 0 || (uint64_t)version > count) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED,
                           "database: schema version %lld is newer than %zu, the newest known here",
                           (long long)version, count);
        dl_error_hint(err, "use the program version that wrote it, or a newer one");
        return DL_E_UNSUPPORTED;
    }
    for (size_t i = (size_t)version; i < count; i++) {
        DL_TRY(run_script(db, scripts[i], i + 1, err));
    }
    return DL_OK;
}

static dl_status run_literal(dl_db *db, const char *sql, const char *what, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, sql, &q, err));
    dl_status status = dl_db_run(q, err);
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "%s", what);
}

dl_status dl_db_begin(dl_db *db, bool write, dl_error *err)
{
    DL_ASSERT(!db->in_transaction);
    if (write) {
        DL_TRY(run_literal(db, "BEGIN IMMEDIATE", "beginning to write", err));
        db->in_transaction = true;
        return DL_OK;
    }
    DL_TRY(run_literal(db, "BEGIN", "beginning to read", err));
    db->in_transaction = true;
    /* BEGIN alone takes no snapshot; the first read does. */
    dl_status status =
        run_literal(db, "SELECT 1 FROM sqlite_schema LIMIT 1", "beginning to read", err);
    if (status != DL_OK) {
        dl_db_rollback(db);
    }
    return status;
}

dl_status dl_db_commit(dl_db *db, dl_error *err)
{
    DL_ASSERT(db->in_transaction);
    dl_status status = run_literal(db, "COMMIT", "committing", err);
    if (status != DL_OK) {
        /* The log was written and its sync failed: after a crash the transaction may count. */
        if ((sqlite3_errcode(db->handle) & 0xff) == SQLITE_IOERR) {
            status = DL_E_UNAVAILABLE;
            if (err != NULL) {
                err->status = status;
            }
        }
        dl_db_rollback(db);
        return status;
    }
    db->in_transaction = false;
    return DL_OK;
}

void dl_db_rollback(dl_db *db)
{
    db->in_transaction = false;
    if (db->handle != NULL && sqlite3_get_autocommit(db->handle) == 0) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

static dl_status checkpoint(dl_db *db, int mode, dl_error *err)
{
    int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, NULL, NULL);
    return rc == SQLITE_OK ? DL_OK : dl_db_fail(db, rc, "checkpoint", err);
}

dl_status dl_db_checkpoint(dl_db *db, dl_error *err)
{
    return checkpoint(db, SQLITE_CHECKPOINT_PASSIVE, err);
}

dl_status dl_db_checkpoint_restart(dl_db *db, dl_error *err)
{
    return checkpoint(db, SQLITE_CHECKPOINT_RESTART, err);
}

bool dl_db_is_damaged(const dl_db *db)
{
    return db->damaged;
}

int dl_db_log_pages(const dl_db *db)
{
    return db->log_pages;
}

int64_t dl_db_last_id(const dl_db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

int64_t dl_db_changes(const dl_db *db)
{
    return sqlite3_changes64(db->handle);
}
