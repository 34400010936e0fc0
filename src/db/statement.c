#include "db/internal.h"

#include "base/mem.h"

#include <string.h>

static size_t bucket_of(const void *key)
{
    uint64_t h = (uint64_t)(uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 57) & (DL_DB_BUCKET_COUNT - 1);
}

static void stmt_free(dl_db_stmt *stmt)
{
    (void)sqlite3_finalize(stmt->raw);
    dl_mem_free(stmt);
}

void dl_db_statements_clear(dl_db *db)
{
    for (size_t i = 0; i <= DL_DB_BUCKET_COUNT; i++) {
        dl_db_stmt **list = i < DL_DB_BUCKET_COUNT ? &db->buckets[i] : &db->texts;
        while (*list != NULL) {
            dl_db_stmt *stmt = *list;
            *list = stmt->next_in_bucket;
            stmt_free(stmt);
        }
    }
    db->text_count = 0;
}

static dl_status prepare(dl_db *db, dl_str sql, const void *key, dl_db_stmt **list,
                         dl_db_stmt **out_stmt, dl_error *err)
{
    dl_db_stmt *stmt = dl_mem_zalloc(1, sizeof *stmt);
    if (stmt == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "database: out of memory");
    }
    int rc = sqlite3_prepare_v3(db->handle, sql.ptr, (int)sql.len, SQLITE_PREPARE_PERSISTENT,
                                &stmt->raw, NULL);
    if (rc != SQLITE_OK) {
        dl_mem_free(stmt);
        return dl_db_fail(db, rc, "prepare", err);
    }
    stmt->db = db;
    stmt->key = key;
    stmt->next_in_bucket = *list;
    *list = stmt;
    *out_stmt = stmt;
    return DL_OK;
}

static void take(dl_db_stmt *stmt, dl_db_stmt **out_stmt)
{
    DL_ASSERT(stmt != NULL);
    stmt->busy = true;
    stmt->done = false;
    stmt->rc = SQLITE_OK;
    stmt->used = ++stmt->db->ticks;
    *out_stmt = stmt;
}

dl_status dl_db_query(dl_db *db, const char *sql, dl_db_stmt **out_stmt, dl_error *err)
{
    dl_db_stmt **list = &db->buckets[bucket_of(sql)];
    dl_db_stmt *stmt = *list;
    while (stmt != NULL && (stmt->key != (const void *)sql || stmt->busy)) {
        stmt = stmt->next_in_bucket; /* a busy one serves an outer loop: a second is prepared */
    }
    if (stmt == NULL) {
        DL_TRY(prepare(db, dl_str_of(sql), sql, list, &stmt, err));
    }
    take(stmt, out_stmt);
    return DL_OK;
}

/** Drop the text statement that was not used for the longest time, if there are too many. */
static void shrink_texts(dl_db *db)
{
    if (db->text_count < DL_DB_TEXT_KEPT_LIMIT) {
        return;
    }
    dl_db_stmt **oldest = NULL;
    for (dl_db_stmt **p = &db->texts; *p != NULL; p = &(*p)->next_in_bucket) {
        if (!(*p)->busy && (oldest == NULL || (*p)->used < (*oldest)->used)) {
            oldest = p;
        }
    }
    if (oldest != NULL) {
        dl_db_stmt *stmt = *oldest;
        *oldest = stmt->next_in_bucket;
        stmt_free(stmt);
        db->text_count--;
    }
}

dl_status dl_db_query_text(dl_db *db, dl_str sql, dl_db_stmt **out_stmt, dl_error *err)
{
    if (sql.len > DL_DB_TEXT_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "database: statement of %zu bytes exceeds %d", sql.len,
                            DL_DB_TEXT_LIMIT);
    }
    dl_db_stmt *stmt = db->texts;
    while (stmt != NULL && (stmt->busy || !dl_str_eq(dl_str_of(sqlite3_sql(stmt->raw)), sql))) {
        stmt = stmt->next_in_bucket;
    }
    if (stmt == NULL) {
        shrink_texts(db);
        DL_TRY(prepare(db, sql, NULL, &db->texts, &stmt, err));
        db->text_count++;
    }
    take(stmt, out_stmt);
    return DL_OK;
}

const char *dl_db_statement_sql(const dl_db *db, size_t i)
{
    for (size_t b = 0; b <= DL_DB_BUCKET_COUNT; b++) {
        const dl_db_stmt *s = b < DL_DB_BUCKET_COUNT ? db->buckets[b] : db->texts;
        for (; s != NULL; s = s->next_in_bucket) {
            if (i-- == 0) {
                return sqlite3_sql(s->raw);
            }
        }
    }
    return NULL;
}

static void remember(dl_db_stmt *stmt, int rc)
{
    if (stmt->rc == SQLITE_OK) {
        stmt->rc = rc;
    }
}

void dl_db_bind_int(dl_db_stmt *stmt, int index, int64_t value)
{
    remember(stmt, sqlite3_bind_int64(stmt->raw, index, value));
}

void dl_db_bind_double(dl_db_stmt *stmt, int index, double value)
{
    remember(stmt, sqlite3_bind_double(stmt->raw, index, value));
}

void dl_db_bind_str(dl_db_stmt *stmt, int index, dl_str value)
{
    if (value.ptr == NULL) {
        dl_db_bind_null(stmt, index);
        return;
    }
    remember(stmt, sqlite3_bind_text64(stmt->raw, index, value.ptr, value.len, SQLITE_STATIC,
                                       SQLITE_UTF8));
}

void dl_db_bind_bytes(dl_db_stmt *stmt, int index, dl_bytes value)
{
    if (value.ptr == NULL) {
        dl_db_bind_null(stmt, index);
        return;
    }
    remember(stmt, sqlite3_bind_blob64(stmt->raw, index, value.ptr, value.len, SQLITE_STATIC));
}

void dl_db_bind_null(dl_db_stmt *stmt, int index)
{
    remember(stmt, sqlite3_bind_null(stmt->raw, index));
}

/* Whether SQLite is in a transaction as the caller is. It may have rolled back by itself: nothing
 * is written on as if not. Or a rollback had no memory: it is done now, before anything joins what
 * is left. */
static int match_transaction(dl_db *db)
{
    bool open = sqlite3_get_autocommit(db->handle) == 0;
    if (open == db->in_transaction) {
        return SQLITE_OK;
    }
    return open ? sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL) : SQLITE_ABORT_ROLLBACK;
}

bool dl_db_step(dl_db_stmt *stmt)
{
    if (stmt->rc != SQLITE_OK || stmt->done) {
        return false;
    }
    stmt->rc = match_transaction(stmt->db);
    if (stmt->rc != SQLITE_OK) {
        return false;
    }
    int rc = sqlite3_step(stmt->raw);
    if (rc == SQLITE_ROW) {
        return true;
    }
    stmt->done = true;
    stmt->rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
    return false;
}

int64_t dl_db_int(const dl_db_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt->raw, column);
}

double dl_db_double(const dl_db_stmt *stmt, int column)
{
    return sqlite3_column_double(stmt->raw, column);
}

bool dl_db_is_null(const dl_db_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt->raw, column) == SQLITE_NULL;
}

dl_str dl_db_str(const dl_db_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt->raw, column);
    return (dl_str){(const char *)text, (size_t)sqlite3_column_bytes(stmt->raw, column)};
}

dl_bytes dl_db_bytes(const dl_db_stmt *stmt, int column)
{
    const void *bytes = sqlite3_column_blob(stmt->raw, column);
    return (dl_bytes){bytes, (size_t)sqlite3_column_bytes(stmt->raw, column)};
}

dl_status dl_db_finish(dl_db_stmt *stmt, dl_error *err)
{
    if (stmt == NULL) {
        return DL_OK;
    }
    DL_ASSERT(stmt->busy);
    stmt->busy = false;
    dl_status status = DL_OK;
    if (stmt->rc != SQLITE_OK) { /* before the reset, which forgets the words */
        status = dl_db_fail(stmt->db, stmt->rc, "statement", err);
    }
    (void)sqlite3_reset(stmt->raw);
    (void)sqlite3_clear_bindings(stmt->raw);
    return status;
}

dl_status dl_db_run(dl_db_stmt *stmt, dl_error *err)
{
    while (dl_db_step(stmt)) {
    }
    return dl_db_finish(stmt, err);
}
