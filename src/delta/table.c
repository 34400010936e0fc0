/* A table at one version: opening, moving on, what it says of itself. */
#include "delta/internal.h"

#include "base/mem.h"

#include <string.h>

enum {
    ARENA_LIMIT_BYTES = 1024 * 1024 * 1024,
    COLUMNS_LIMIT_BYTES = 256 * 1024 * 1024,
    EXPIRE_EVERY = 64, /* commits between two looks at old tombstones */
};
static const int64_t week_ms = 7 * (int64_t)86400000;

/* ---- what changes with the metadata ---- */

static dl_status make_columns(const dl_delta_metadata *metadata, dl_arena **out_arena,
                              dl_delta_column **out_columns, size_t *out_count, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(COLUMNS_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_delta_schema_columns(metadata, arena, out_columns, out_count, err));
    *out_arena = DL_STEAL(arena);
    return DL_OK;
}

/* Tombstones that no checkpoint has to carry any more are forgotten. */
static void expire(dl_delta_table *table)
{
    int64_t keep_ms = week_ms;
    dl_str text = dl_delta_property(table, "delta.deletedFileRetentionDuration");
    if (text.ptr != NULL && !dl_delta_interval_ms(text, &keep_ms)) {
        return;
    }
    dl_delta_live_expire(table->live, dl_clock_now_us(&table->open.clock) / 1000 - keep_ms);
}

/* ---- opening ---- */

static dl_status load(dl_delta_table *table, int64_t version, dl_error *err)
{
    DL_TRY(dl_delta_log_load(table, version, INT64_MAX, err));
    const dl_delta_metadata *metadata = dl_delta_live_metadata(table->live);
    DL_TRY(dl_delta_check_readable(dl_delta_live_protocol(table->live), metadata, err));
    dl_arena *arena = NULL;
    DL_TRY(make_columns(metadata, &arena, &table->columns, &table->column_count, err));
    dl_arena_destroy(table->columns_arena);
    table->columns_arena = arena;
    expire(table);
    return DL_OK;
}

static dl_status table_alloc(const dl_delta_open *options, dl_delta_table **out_table,
                             dl_error *err)
{
    DL_AUTO_TABLE table = dl_mem_zalloc(1, sizeof *table);
    if (table == NULL || (table->arena = dl_arena_create(ARENA_LIMIT_BYTES)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    table->open = *options;
    table->version = -1;
    table->checkpoint_version = -1;
    if (table->open.clock.now_us == NULL) {
        table->open.clock = dl_clock_system();
    }
    DL_TRY(dl_arena_copy(table->arena, options->root, &table->open.root, err));
    *out_table = DL_STEAL(table);
    return DL_OK;
}

dl_status dl_delta_table_open(const dl_delta_open *options, dl_delta_table **out_table,
                              dl_error *err)
{
    DL_AUTO_TABLE table = NULL;
    DL_TRY(table_alloc(options, &table, err));
    DL_TRY(load(table, options->version, err));
    if (options->timestamp_us != INT64_MIN) {
        int64_t version = table->version;
        DL_TRY(dl_delta_log_version_at(table, options->timestamp_us, &version, err));
        if (version != table->version) {
            DL_TRY(load(table, version, err));
        }
    }
    *out_table = DL_STEAL(table);
    return DL_OK;
}

void dl_delta_table_close(dl_delta_table *table)
{
    if (table != NULL) {
        dl_delta_live_destroy(table->live);
        dl_arena_destroy(table->columns_arena);
        dl_arena_destroy(table->arena);
        dl_mem_free(table);
    }
}

/* ---- moving on ---- */

/* As time travel sees it: without in-commit timestamps each commit is after the one before. */
static int64_t next_timestamp(const dl_delta_table *table, const dl_delta_commit *commit,
                              int64_t file_ms)
{
    int64_t ms = file_ms >= 0 ? file_ms : commit->info.timestamp_ms;
    if (commit->info.in_commit) {
        return commit->info.timestamp_ms;
    }
    return ms <= table->timestamp_ms && table->timestamp_ms < INT64_MAX ? table->timestamp_ms + 1
                                                                        : ms;
}

/* `file_ms`: when the commit's file was written; -1: not known. */
static dl_status apply_at(dl_delta_table *table, const dl_delta_commit *commit, int64_t file_ms,
                          dl_error *err)
{
    const dl_delta_metadata *metadata =
        commit->metadata != NULL ? commit->metadata : dl_delta_live_metadata(table->live);
    dl_arena *arena = NULL;
    dl_delta_column *columns = NULL;
    size_t count = 0;
    if (commit->protocol != NULL) {
        DL_TRY(dl_delta_check_readable(commit->protocol, metadata, err));
    }
    if (commit->metadata != NULL) {
        DL_TRY(make_columns(metadata, &arena, &columns, &count, err));
    }
    dl_status status = dl_delta_live_apply(table->live, commit, err);
    if (status != DL_OK) {
        dl_arena_destroy(arena);
        return status;
    }
    if (arena != NULL) {
        dl_arena_destroy(table->columns_arena);
        table->columns_arena = arena;
        table->columns = columns;
        table->column_count = count;
    }
    table->timestamp_ms = next_timestamp(table, commit, file_ms);
    table->version = commit->info.version;
    if (table->version % EXPIRE_EVERY == 0) {
        expire(table);
    }
    if (table->open.on_commit != NULL) {
        table->open.on_commit(table->open.context, commit);
    }
    return DL_OK;
}

dl_status dl_delta_table_apply(dl_delta_table *table, const dl_delta_commit *commit, dl_error *err)
{
    DL_ASSERT(commit->info.version == table->version + 1);
    return apply_at(table, commit, -1, err);
}

typedef struct moving {
    dl_delta_table *table;
    int64_t file_ms;
} moving;

static dl_status apply_read(void *context, const dl_delta_commit *commit, dl_error *err)
{
    moving *m = context;
    return apply_at(m->table, commit, m->file_ms, err);
}

dl_status dl_delta_update(dl_delta_table *table, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_delta_log_name *names = NULL;
    size_t count = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_delta_log_list(table, table->version + 1, arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        moving m = {table, names[i].modified_us / 1000};
        if (names[i].kind == DL_DELTA_LOG_CHECKPOINT) {
            table->checkpoint_version = names[i].version;
        }
        if (names[i].kind == DL_DELTA_LOG_COMMIT && names[i].version > table->version) {
            DL_TRY(dl_delta_log_read(table, table->version + 1, names[i].version, apply_read, &m,
                                     err));
        }
    }
    return DL_OK;
}

/* ---- asking ---- */

int64_t dl_delta_version(const dl_delta_table *table)
{
    return table->version;
}

int64_t dl_delta_timestamp_ms(const dl_delta_table *table)
{
    return table->timestamp_ms;
}

const dl_delta_protocol *dl_delta_protocol_of(const dl_delta_table *table)
{
    return dl_delta_live_protocol(table->live);
}

const dl_delta_metadata *dl_delta_metadata_of(const dl_delta_table *table)
{
    return dl_delta_live_metadata(table->live);
}

dl_str dl_delta_property(const dl_delta_table *table, const char *key)
{
    return dl_delta_configuration(dl_delta_metadata_of(table), key);
}

bool dl_delta_makes_dvs(const dl_delta_table *table)
{
    return dl_delta_has_feature(dl_delta_protocol_of(table), "deletionVectors") &&
           dl_str_eq_nocase(dl_delta_property(table, "delta.enableDeletionVectors"),
                            DL_STR("true"));
}

int64_t dl_delta_app_version(const dl_delta_table *table, dl_str app_id)
{
    return dl_delta_live_app_version(table->live, app_id);
}

bool dl_delta_app_at(const dl_delta_table *table, size_t i, dl_delta_app *out_app)
{
    dl_delta_app app = {0};
    size_t cursor = 0;
    for (size_t at = 0; dl_delta_live_next_app(table->live, &cursor, &app); at++) {
        if (at == i) {
            *out_app = app;
            return true;
        }
    }
    return false;
}

size_t dl_delta_file_count(const dl_delta_table *table)
{
    return (size_t)dl_delta_live_totals(table->live).file_count;
}

bool dl_delta_next_file(const dl_delta_table *table, size_t *cursor, const dl_delta_file **out_file)
{
    return dl_delta_live_next_file(table->live, cursor, out_file);
}

const dl_delta_file *dl_delta_file_by_path(const dl_delta_table *table, dl_str path)
{
    return dl_delta_live_find(table->live, path);
}

dl_delta_totals dl_delta_totals_of(const dl_delta_table *table)
{
    return dl_delta_live_totals(table->live);
}

const dl_delta_column *dl_delta_columns(const dl_delta_table *table, size_t *out_count)
{
    *out_count = table->column_count;
    return table->columns;
}
