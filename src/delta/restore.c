/* RESTORE: a new commit after which the table's rows are those of an earlier version.
 *
 * Applications (txn) go back with the rows, so that a sync applies again what came later. One that
 * had not committed by then is set to version -1, which is what dl_delta_app_version says of an
 * application that never did: a log cannot take a txn away, and 0 could be a sequence that was
 * never applied.
 *
 * The protocol never goes back: features that came later stay, and what the old version needed is
 * added where it was dropped since.
 */
#include "delta/maintain.h"

#include <stdio.h>
#include <string.h>

enum { RESTORE_TRIES = 5, NUMBER_TEXT_SIZE = 24 };

typedef struct restoration {
    dl_delta_table *now;
    dl_delta_table *then;
    dl_arena *arena;
    dl_delta_file *adds, *removes;
    size_t add_count, remove_count;
    int64_t add_bytes, remove_bytes;
    dl_delta_app *apps;
    size_t app_count;
    dl_delta_protocol protocol;
    bool new_protocol, new_metadata;
} restoration;

static bool same_text(dl_str a, dl_str b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && (a.ptr == NULL || dl_str_eq(a, b));
}

/* One logical file is a path with its deletion vector (protocol, "Add File and Remove File"). */
static bool same_logical_file(const dl_delta_file *a, const dl_delta_file *b)
{
    return a->dv.storage == b->dv.storage &&
           (a->dv.storage == 0 || (a->dv.offset == b->dv.offset &&
                                   dl_str_eq(a->dv.path_or_inline, b->dv.path_or_inline)));
}

/* ---- what differs ---- */

static dl_status compare_files(restoration *r, dl_error *err)
{
    const dl_delta_file *file = NULL;
    r->adds = dl_arena_alloc(r->arena, dl_delta_file_count(r->then) + 1, sizeof *r->adds);
    r->removes = dl_arena_alloc(r->arena, dl_delta_file_count(r->now) + 1, sizeof *r->removes);
    if (r->adds == NULL || r->removes == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t cursor = 0; dl_delta_next_file(r->then, &cursor, &file);) {
        const dl_delta_file *other = dl_delta_file_by_path(r->now, file->path);
        if (other == NULL || !same_logical_file(file, other)) {
            r->adds[r->add_count] = *file;
            r->adds[r->add_count++].data_change = true;
            r->add_bytes += file->size_bytes;
        }
    }
    int64_t now_ms = dl_delta_now_ms(r->now);
    for (size_t cursor = 0; dl_delta_next_file(r->now, &cursor, &file);) {
        const dl_delta_file *other = dl_delta_file_by_path(r->then, file->path);
        if (other == NULL || !same_logical_file(file, other)) {
            r->removes[r->remove_count] = *file;
            r->removes[r->remove_count].data_change = true;
            r->removes[r->remove_count++].deletion_ms = now_ms;
            r->remove_bytes += file->size_bytes;
        }
    }
    return DL_OK;
}

static dl_status compare_apps(restoration *r, dl_error *err)
{
    dl_delta_app app = {0};
    size_t count = 0;
    while (dl_delta_app_at(r->now, count, &app)) {
        count++;
    }
    r->apps = dl_arena_alloc(r->arena, count + 1, sizeof *r->apps);
    if (r->apps == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; dl_delta_app_at(r->now, i, &app); i++) {
        int64_t then = dl_delta_app_version(r->then, app.app_id);
        if (then != app.version) {
            app.version = then;
            app.updated_ms = dl_delta_now_ms(r->now);
            r->apps[r->app_count++] = app;
        }
    }
    return DL_OK;
}

static bool same_pairs(const dl_delta_pairs *a, const dl_delta_pairs *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        bool found = false;
        for (size_t k = 0; !found && k < b->count; k++) {
            found = dl_str_eq(a->items[i].key, b->items[k].key) &&
                    same_text(a->items[i].value, b->items[k].value);
        }
        same = found;
    }
    return same;
}

static bool same_metadata(const dl_delta_metadata *a, const dl_delta_metadata *b)
{
    bool same = dl_str_eq(a->id, b->id) && same_text(a->name, b->name) &&
                same_text(a->description, b->description) &&
                dl_str_eq(a->schema_json, b->schema_json) &&
                a->partition_columns.count == b->partition_columns.count;
    for (size_t i = 0; same && i < a->partition_columns.count; i++) {
        same = dl_str_eq(a->partition_columns.items[i], b->partition_columns.items[i]);
    }
    return same && same_pairs(&a->configuration, &b->configuration);
}

/* `a` and what of `b` it lacks, in the arena. */
static dl_status join_names(dl_arena *arena, const dl_delta_names *a, const dl_delta_names *b,
                            dl_delta_names *out, dl_error *err)
{
    dl_str *items = dl_arena_alloc(arena, a->count + b->count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t count = a->count;
    if (count > 0) {
        memcpy(items, a->items, count * sizeof *items);
    }
    for (size_t i = 0; i < b->count; i++) {
        bool found = false;
        for (size_t k = 0; k < a->count && !found; k++) {
            found = dl_str_eq(a->items[k], b->items[i]);
        }
        if (!found) {
            items[count++] = b->items[i];
        }
    }
    *out = (dl_delta_names){items, count};
    return DL_OK;
}

static dl_status compare_protocols(restoration *r, dl_error *err)
{
    const dl_delta_protocol *now = dl_delta_protocol_of(r->now);
    const dl_delta_protocol *then = dl_delta_protocol_of(r->then);
    r->protocol = *now;
    if (then->min_reader > now->min_reader) {
        r->protocol.min_reader = then->min_reader;
    }
    if (then->min_writer > now->min_writer) {
        r->protocol.min_writer = then->min_writer;
    }
    DL_TRY(join_names(r->arena, &now->reader_features, &then->reader_features,
                      &r->protocol.reader_features, err));
    DL_TRY(join_names(r->arena, &now->writer_features, &then->writer_features,
                      &r->protocol.writer_features, err));
    r->new_protocol = r->protocol.min_reader != now->min_reader ||
                      r->protocol.min_writer != now->min_writer ||
                      r->protocol.reader_features.count != now->reader_features.count ||
                      r->protocol.writer_features.count != now->writer_features.count;
    r->new_metadata = !same_metadata(dl_delta_metadata_of(r->now), dl_delta_metadata_of(r->then));
    return DL_OK;
}

/* ---- is it all still there ---- */

static dl_status is_there(dl_delta_table *table, dl_str key, bool *out_there, dl_error *err)
{
    dl_store_stat stat = {0};
    dl_status status = dl_store_stat_key(table->open.store, key, &stat, err);
    *out_there = status == DL_OK;
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        status = DL_OK;
    }
    return status;
}

static dl_status check_files(restoration *r, int64_t version, dl_error *err)
{
    size_t missing = 0;
    for (size_t i = 0; i < r->add_count; i++) {
        const dl_delta_file *file = &r->adds[i];
        bool there = false;
        dl_str key = DL_STR_NONE;
        DL_TRY(dl_delta_key(r->now, file->path, r->arena, &key, err));
        DL_TRY(is_there(r->now, key, &there, err));
        if (there && file->dv.storage != 0 && file->dv.storage != 'i') {
            DL_TRY(dl_delta_dv_key(r->now, &file->dv, r->arena, &key, err));
            DL_TRY(is_there(r->now, key, &there, err));
        }
        missing += !there;
    }
    if (missing == 0) {
        return DL_OK;
    }
    dl_error_set(err, DL_E_NOT_FOUND,
                 "%zu of the %zu files to bring back for version %lld are gone", missing,
                 r->add_count, (long long)version);
    dl_error_hint(err, "they were vacuumed; restore a later version");
    return DL_E_NOT_FOUND;
}

/* ---- the commit ---- */

static dl_str number_text(char out[NUMBER_TEXT_SIZE], int64_t value)
{
    int n = snprintf(out, NUMBER_TEXT_SIZE, "%lld", (long long)value);
    return (dl_str){out, (size_t)n};
}

static dl_status check_allowed(const restoration *r, dl_error *err)
{
    dl_str none = DL_STR("");
    dl_delta_change change = {.operation = "RESTORE",
                              .data_change = true,
                              .removes = &none, /* looked at for their number only */
                              .remove_count = r->remove_count > 0 ? 1 : 0};
    return dl_delta_check_writable(&r->protocol, dl_delta_metadata_of(r->now), &change, err);
}

static dl_status commit_restoration(restoration *r, int64_t version, dl_delta_result *out_result,
                                    dl_error *err)
{
    char text[7][NUMBER_TEXT_SIZE];
    dl_delta_totals then = dl_delta_totals_of(r->then);
    const dl_delta_pair parameters[] = {{DL_STR("version"), number_text(text[0], version)},
                                        {DL_STR("timestamp"), DL_STR_NONE}};
    const dl_delta_pair metrics[] = {
        {DL_STR("tableSizeAfterRestore"), number_text(text[1], then.size_bytes)},
        {DL_STR("numOfFilesAfterRestore"), number_text(text[2], then.file_count)},
        {DL_STR("numRemovedFiles"), number_text(text[3], (int64_t)r->remove_count)},
        {DL_STR("numRestoredFiles"), number_text(text[4], (int64_t)r->add_count)},
        {DL_STR("removedFilesSize"), number_text(text[5], r->remove_bytes)},
        {DL_STR("restoredFilesSize"), number_text(text[6], r->add_bytes)}};
    dl_delta_commit commit = {.info = {.operation = DL_STR("RESTORE"),
                                       .parameters = {parameters, 1},
                                       .metrics = {metrics, DL_COUNT_OF(metrics)},
                                       .blind_append = 0},
                              .protocol = r->new_protocol ? &r->protocol : NULL,
                              .metadata = r->new_metadata ? dl_delta_metadata_of(r->then) : NULL,
                              .apps = r->apps,
                              .app_count = r->app_count,
                              .adds = r->adds,
                              .add_count = r->add_count,
                              .removes = r->removes,
                              .remove_count = r->remove_count};
    return dl_delta_commit_actions(r->now, &commit, true, out_result, err);
}

static void restoration_clear(restoration *r)
{
    dl_delta_table_close(r->then);
    dl_arena_destroy(r->arena);
}

static dl_status try_restore(dl_delta_table *table, int64_t version, dl_delta_result *out_result,
                             dl_error *err)
{
    DL_CLEANUP(restoration_clear)
    restoration r = {.now = table, .arena = dl_arena_create(DL_DELTA_MAINTAIN_ARENA_BYTES)};
    if (r.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "restore: out of memory");
    }
    dl_delta_open then = table->open;
    then.version = version;
    then.timestamp_us = INT64_MIN;
    then.on_commit = NULL;
    DL_TRY(dl_delta_table_open(&then, &r.then, err));
    DL_TRY(compare_files(&r, err));
    DL_TRY(compare_apps(&r, err));
    DL_TRY(compare_protocols(&r, err));
    DL_TRY(check_allowed(&r, err));
    DL_TRY(check_files(&r, version, err));
    return commit_restoration(&r, version, out_result, err);
}

dl_status dl_delta_restore(dl_delta_table *table, int64_t version, dl_delta_result *out_result,
                           dl_error *err)
{
    if (version < 0) {
        return dl_error_set(err, DL_E_INVALID, "version %lld cannot be restored",
                            (long long)version);
    }
    DL_TRY(dl_delta_update(table, err));
    if (version == dl_delta_version(table)) {
        *out_result = (dl_delta_result){.version = version};
        return DL_OK;
    }
    for (int tries = 1;; tries++) {
        dl_status status = try_restore(table, version, out_result, err);
        /* "there already" of an application that we turn back: somebody brought it forward */
        bool raced = status == DL_E_CONFLICT || status == DL_E_EXISTS;
        if (!raced || tries == RESTORE_TRIES) {
            return status == DL_OK
                       ? DL_OK
                       : dl_error_within(err, status, "restoring version %lld", (long long)version);
        }
        dl_error_clear(err);
        DL_TRY(dl_delta_update(table, err));
    }
}
