/* A table held against itself: the files that the log names, what it says of them, and the log's
 * own copies of itself (checkpoint, checksum). Findings are told, not returned: one does not hide
 * the next. */
#include "delta/check.h"
#include "json/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_LIMIT_BYTES = 1024 * 1024 * 1024, CRC_LIMIT_BYTES = 256 * 1024 * 1024 };

void dl_delta_find(const dl_delta_checker *c, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->visit(c->context, text);
}

/* Errors that are about the table become findings; the rest end the check. */
static dl_status told(const dl_delta_checker *c, dl_status status, const dl_error *cause,
                      const char *what, dl_str name, dl_error *err)
{
    if (status == DL_E_CORRUPT || status == DL_E_NOT_FOUND || status == DL_E_UNSUPPORTED) {
        dl_delta_find(c, "%s %.*s: %s", what, DL_STR_ARG(name), cause->message);
        return DL_OK;
    }
    if (status != DL_OK && err != NULL) {
        *err = *cause;
    }
    return status;
}

/* ---- files ---- */

static dl_status check_vector(const dl_delta_checker *c, const dl_delta_file *file, int64_t rows,
                              dl_error *err)
{
    DL_AUTO(dl_delta_bitmap) deleted = NULL;
    uint64_t beyond = 0;
    if (file->dv.storage == '\0') {
        return DL_OK;
    }
    DL_TRY(dl_delta_bitmap_create(&deleted, err));
    DL_TRY(dl_delta_dv_read(c->table, &file->dv, deleted, err));
    if (rows >= 0 && dl_delta_bitmap_next(deleted, (uint64_t)rows, &beyond)) {
        dl_delta_find(c, "file %.*s: its deletion vector names row %llu of %lld",
                      DL_STR_ARG(file->path), (unsigned long long)beyond, (long long)rows);
    }
    return DL_OK;
}

static dl_status check_there(const dl_delta_checker *c, const dl_delta_file *file, dl_arena *arena,
                             dl_str *out_location, dl_error *err)
{
    dl_str key = DL_STR_NONE;
    dl_store_stat stat = {0};
    DL_TRY(dl_delta_key(c->table, file->path, arena, &key, err));
    DL_TRY(dl_store_stat_key(c->table->open.store, key, &stat, err));
    if (stat.size_bytes != (uint64_t)file->size_bytes) {
        dl_delta_find(c, "file %.*s: it has %llu bytes, the log says %lld", DL_STR_ARG(file->path),
                      (unsigned long long)stat.size_bytes, (long long)file->size_bytes);
    }
    return dl_store_location(c->table->open.store, key, arena, out_location, err);
}

static dl_status check_file(const dl_delta_checker *c, const dl_delta_file *file, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_str location = DL_STR_NONE;
    int64_t rows = -1;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(check_there(c, file, arena, &location, err));
    DL_TRY(dl_columnar_row_count(c->table->open.engine, location, &rows, err));
    if (file->row_count >= 0 && rows != file->row_count) {
        dl_delta_find(c, "file %.*s: it has %lld rows, its statistics say %lld",
                      DL_STR_ARG(file->path), (long long)rows, (long long)file->row_count);
    }
    DL_TRY(check_vector(c, file, rows, err));
    return dl_delta_check_stats(c, file, rows, err);
}

static dl_status check_files(const dl_delta_checker *c, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    const dl_delta_file **files = NULL;
    size_t count = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_delta_files_by_path(c->table, arena, &files, &count, err));
    for (size_t i = 0; i < count; i++) {
        dl_error cause = {0};
        if (dl_cancel_asked(c->cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "canceled");
        }
        dl_status status = check_file(c, files[i], &cause);
        DL_TRY(told(c, status, &cause, "file", files[i]->path, err));
    }
    return DL_OK;
}

/* ---- the checkpoint against the commits ---- */

static bool same_pairs(dl_delta_pairs a, dl_delta_pairs b)
{
    for (size_t i = 0; i < a.count; i++) {
        bool found = false;
        for (size_t k = 0; k < b.count && !found; k++) {
            found = dl_str_eq(a.items[i].key, b.items[k].key) &&
                    dl_str_eq(a.items[i].value, b.items[k].value);
        }
        if (!found) {
            return false;
        }
    }
    return a.count == b.count;
}

static bool same_file(const dl_delta_file *a, const dl_delta_file *b)
{
    return a->size_bytes == b->size_bytes && a->row_count == b->row_count &&
           a->dv.storage == b->dv.storage && a->dv.offset == b->dv.offset &&
           a->dv.cardinality == b->dv.cardinality &&
           dl_str_eq(a->dv.path_or_inline, b->dv.path_or_inline) &&
           same_pairs(a->partition_values, b->partition_values);
}

static void compare_files(const dl_delta_checker *c, const dl_delta_live *checkpoint,
                          const dl_delta_live *replay, int64_t version)
{
    const dl_delta_file *file = NULL;
    for (size_t cursor = 0; dl_delta_live_next_file(checkpoint, &cursor, &file);) {
        const dl_delta_file *other = dl_delta_live_find(replay, file->path);
        if (other == NULL || !same_file(file, other)) {
            dl_delta_find(c, "checkpoint %lld: the file %.*s is not as the commits say",
                          (long long)version, DL_STR_ARG(file->path));
        }
    }
    for (size_t cursor = 0; dl_delta_live_next_file(replay, &cursor, &file);) {
        if (dl_delta_live_find(checkpoint, file->path) == NULL) {
            dl_delta_find(c, "checkpoint %lld: the file %.*s is missing", (long long)version,
                          DL_STR_ARG(file->path));
        }
    }
}

static void compare_heads(const dl_delta_checker *c, const dl_delta_live *checkpoint,
                          const dl_delta_live *replay, int64_t version)
{
    const dl_delta_protocol *p = dl_delta_live_protocol(checkpoint);
    const dl_delta_protocol *q = dl_delta_live_protocol(replay);
    const dl_delta_metadata *m = dl_delta_live_metadata(checkpoint);
    const dl_delta_metadata *n = dl_delta_live_metadata(replay);
    if (p->min_reader != q->min_reader || p->min_writer != q->min_writer ||
        p->reader_features.count != q->reader_features.count ||
        p->writer_features.count != q->writer_features.count) {
        dl_delta_find(c, "checkpoint %lld: its protocol is not that of the commits",
                      (long long)version);
    }
    if (!dl_str_eq(m->id, n->id) || !dl_str_eq(m->schema_json, n->schema_json) ||
        !same_pairs(m->configuration, n->configuration) ||
        m->partition_columns.count != n->partition_columns.count) {
        dl_delta_find(c, "checkpoint %lld: its metaData is not that of the commits",
                      (long long)version);
    }
    dl_delta_app app = {0};
    for (size_t cursor = 0; dl_delta_live_next_app(replay, &cursor, &app);) {
        if (dl_delta_live_app_version(checkpoint, app.app_id) != app.version) {
            dl_delta_find(c, "checkpoint %lld: the application %.*s is not at version %lld",
                          (long long)version, DL_STR_ARG(app.app_id), (long long)app.version);
        }
    }
}

/* The snapshot of `version` by checkpoints up to `limit` only. */
static dl_status load_shadow(const dl_delta_checker *c, int64_t version, int64_t limit,
                             dl_delta_table *shadow, dl_error *err)
{
    *shadow = *c->table;
    shadow->live = NULL;
    return dl_delta_log_load(shadow, version, limit, err);
}

static dl_status check_checkpoint(const dl_delta_checker *c, int64_t version, dl_error *err)
{
    dl_delta_table first = {0}, second = {0};
    dl_error cause = {0}, ignored = {0};
    char name[32];
    (void)snprintf(name, sizeof name, "%lld", (long long)version);
    dl_status status = load_shadow(c, version, version, &first, &cause);
    if (status == DL_OK && first.checkpoint_version != version) {
        dl_delta_find(c, "checkpoint %s: it cannot be read; its version is there by its commits",
                      name);
    } else if (status == DL_OK) {
        /* Where the log was cleaned there is nothing to compare with. */
        if (load_shadow(c, version, version - 1, &second, &ignored) == DL_OK) {
            compare_files(c, first.live, second.live, version);
            compare_heads(c, first.live, second.live, version);
        }
    } else {
        status = told(c, status, &cause, "checkpoint", dl_str_of(name), err);
    }
    dl_delta_live_destroy(first.live);
    dl_delta_live_destroy(second.live);
    return status;
}

static dl_status check_newest_checkpoint(const dl_delta_checker *c, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_delta_log_name *names = NULL;
    size_t count = 0;
    int64_t version = -1;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_delta_log_list(c->table, 0, arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool checkpoint = names[i].kind == DL_DELTA_LOG_CHECKPOINT ||
                          names[i].kind == DL_DELTA_LOG_CHECKPOINT_V2 ||
                          names[i].kind == DL_DELTA_LOG_CHECKPOINT_PART;
        if (checkpoint && names[i].version <= c->table->version) {
            version = names[i].version;
        }
    }
    return version < 0 ? DL_OK : check_checkpoint(c, version, err);
}

/* ---- the checksum ---- */

static void compare_count(const dl_delta_checker *c, dl_str text, const char *key, int64_t want)
{
    dl_str value = DL_STR_NONE;
    int64_t got = 0;
    if (dl_json_get(text, dl_str_of(key), &value) && dl_json_int_of(value, &got) && got != want) {
        dl_delta_find(c, "checksum of version %lld: %s is %lld, the log says %lld",
                      (long long)c->table->version, key, (long long)got, (long long)want);
    }
}

static dl_status check_checksum(const dl_delta_checker *c, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    DL_AUTO_BUF text = {0};
    dl_str key = DL_STR_NONE;
    dl_error cause = {0};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    dl_buf_init(&text, CRC_LIMIT_BYTES);
    DL_TRY(dl_delta_log_key(c->table, c->table->version, ".crc", arena, &key, err));
    dl_status status = dl_store_get(c->table->open.store, key, &text, &cause);
    if (status == DL_E_NOT_FOUND) {
        return DL_OK; /* nobody has to write one */
    }
    if (status != DL_OK) {
        return dl_error_set(err, status, "%s", cause.message);
    }
    dl_str json = dl_buf_str(&text);
    if (dl_json_check(json, NULL) != DL_OK) {
        dl_delta_find(c, "checksum of version %lld: it is no JSON", (long long)c->table->version);
        return DL_OK;
    }
    dl_delta_totals totals = dl_delta_totals_of(c->table);
    compare_count(c, json, "numFiles", totals.file_count);
    compare_count(c, json, "tableSizeBytes", totals.size_bytes);
    compare_count(c, json, "numDeletedRecordsOpt", totals.deleted_rows);
    compare_count(c, json, "numDeletionVectorsOpt", totals.dv_count);
    return DL_OK;
}

dl_status dl_delta_check(dl_delta_table *table, dl_cancel *cancel,
                         void (*visit)(void *context, const char *finding), void *context,
                         dl_error *err)
{
    dl_delta_checker c = {table, cancel, visit, context};
    DL_TRY(check_newest_checkpoint(&c, err));
    DL_TRY(check_checksum(&c, err));
    return check_files(&c, err);
}
