/* What a shortcut leads to, looked at: a table opened once, a folder listed. */
#include "base/clock.h"
#include "delta/delta.h"
#include "lakehouse/catalog_internal.h"

#include <dirent.h>
#include <errno.h>

/* ---- a table ---- */

typedef struct opened {
    dl_store *store;
    dl_columnar_engine *engine;
    dl_delta_table *table;
} opened;

static void opened_close(opened *o)
{
    dl_delta_table_close(o->table);
    dl_columnar_engine_destroy(o->engine);
    dl_store_close(o->store);
}

static dl_status open_table(dl_factory *factory, dl_str folder, opened *out, dl_error *err)
{
    const dl_columnar_engine_options options = {0};
    DL_TRY(dl_store_open_shared(folder.ptr, false, &out->store, err));
    DL_TRY(dl_columnar_engine_create(&options, &out->engine, err));
    const dl_delta_open open = {.store = out->store,
                                .root = DL_STR(""),
                                .engine = out->engine,
                                .clock = dl_factory_options_of(factory)->clock,
                                .version = -1,
                                .timestamp_us = INT64_MIN,
                                .prefer_commits = true};
    return dl_delta_table_open(&open, &out->table, err);
}

/** Our words before those of the cause, and what to do where it does not say so itself. */
static void explain(dl_shortcut_state *state, dl_status status)
{
    state->broken = true;
    (void)dl_error_within(&state->why, status, "opening %.*s", DL_STR_ARG(state->folder));
    if (state->why.hint[0] != '\0') {
        return;
    }
    dl_error_hint(&state->why, "%s",
                  status == DL_E_UNSUPPORTED
                      ? "read it with the engine that wrote it, or drop the feature there"
                  : status == DL_E_CORRUPT ? "dicomlake table check says more; restore its log"
                  : status == DL_E_DENIED || state->why.os_code == EACCES
                      ? "give the account that runs dicomlake the right to read there"
                      : "see that the sub path names a table");
}

/** Marks of `sync` (docs/sync.md): "dicomlake:SOURCE:TABLE" and ":time" behind it. */
static void take_watermark(const dl_delta_table *table, dl_lakehouse_table *out)
{
    dl_delta_app app;
    for (size_t i = 0; dl_delta_app_at(table, i, &app); i++) {
        if (!dl_str_starts(app.app_id, DL_STR("dicomlake:")) ||
            dl_str_find_str(app.app_id, DL_STR(":window:")) >= 0) {
            continue;
        }
        int64_t *mark =
            dl_str_ends(app.app_id, DL_STR(":time")) ? &out->watermark_us : &out->watermark;
        *mark = app.version > *mark ? app.version : *mark;
    }
}

dl_status dl_lakehouse_describe(dl_factory *factory, const dl_shortcut *shortcut, dl_arena *arena,
                                dl_lakehouse_table *out, dl_error *err)
{
    DL_CLEANUP(opened_close) opened o = {0};
    dl_lakehouse_table table = {.version = -1, .row_count = -1, .size_bytes = -1, .file_count = -1};
    DL_TRY(dl_shortcut_resolve(factory, shortcut, arena, &table.state, err));
    if (!table.state.broken && shortcut->kind == DL_SHORTCUT_TABLES) {
        dl_status status = open_table(factory, table.state.folder, &o, &table.state.why);
        if (status == DL_E_NOMEM) {
            return dl_error_set(err, status, "%s", table.state.why.message);
        }
        if (status != DL_OK) {
            explain(&table.state, status);
        }
    }
    if (o.table != NULL) {
        dl_delta_totals totals = dl_delta_totals_of(o.table);
        table.version = dl_delta_version(o.table);
        table.row_count = totals.row_count;
        table.size_bytes = totals.size_bytes;
        table.file_count = totals.file_count;
        table.changed_us = dl_delta_timestamp_ms(o.table) * 1000;
        take_watermark(o.table, &table);
        dl_query_field *fields = NULL;
        DL_TRY(dl_query_fields_of(o.table, arena, &fields, &table.field_count, err));
        table.fields = fields;
    }
    *out = table;
    return DL_OK;
}

/* ---- the test of a shortcut ---- */

static dl_status list_folder(const dl_shortcut_state *state, dl_error *err)
{
    DIR *folder = opendir(state->folder.ptr);
    if (folder == NULL) {
        return dl_error_errno(err, errno, "cannot list %s", state->folder.ptr);
    }
    errno = 0;
    (void)readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
    int code = errno;
    (void)closedir(folder);
    return code == 0 ? DL_OK : dl_error_errno(err, code, "cannot list %s", state->folder.ptr);
}

dl_status dl_shortcut_test(dl_factory *factory, const dl_shortcut *shortcut, dl_arena *arena,
                           dl_shortcut_state *out, dl_error *err)
{
    dl_lakehouse_table table;
    DL_TRY(dl_lakehouse_describe(factory, shortcut, arena, &table, err));
    if (!table.state.broken && shortcut->kind == DL_SHORTCUT_FILES) {
        dl_status status = list_folder(&table.state, &table.state.why);
        if (status != DL_OK) {
            explain(&table.state, status);
        }
    }
    *out = table.state;
    return DL_OK;
}

/* ---- as JSON ---- */

static void put_text(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, text);
}

static void put_number(dl_json_writer *w, const char *key, int64_t value, int64_t unknown)
{
    dl_json_key(w, dl_str_of(key));
    if (value == unknown) {
        dl_json_null(w);
    } else {
        dl_json_int(w, value);
    }
}

static void put_time(dl_json_writer *w, const char *key, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_json_key(w, dl_str_of(key));
    if (time_us == 0) {
        dl_json_null(w);
    } else {
        dl_clock_format_utc(time_us, text);
        dl_json_string(w, dl_str_of(text));
    }
}

static void put_state(dl_json_writer *w, const dl_shortcut_state *state)
{
    const dl_shortcut *s = state->shortcut;
    put_text(w, "path", dl_str_of(s->kind == DL_SHORTCUT_TABLES ? "Tables" : "Files"));
    put_text(w, "name", s->name);
    put_text(w, "connection", s->connection);
    put_text(w, "subpath", s->subpath);
    put_text(w, "folder", state->folder);
    dl_json_key(w, DL_STR("broken"));
    if (!state->broken) {
        dl_json_null(w);
        return;
    }
    dl_json_object_begin(w);
    put_text(w, "status", dl_str_of(dl_status_name(state->why.status)));
    put_text(w, "message", dl_str_of(state->why.message));
    put_text(w, "hint", dl_str_of(state->why.hint));
    dl_json_object_end(w);
}

void dl_shortcut_write_state(dl_json_writer *w, const dl_shortcut_state *state)
{
    dl_json_object_begin(w);
    put_state(w, state);
    dl_json_object_end(w);
}

static void put_field(dl_json_writer *w, const dl_query_field *field)
{
    dl_json_object_begin(w);
    put_text(w, "name", field->name);
    put_text(w, "type", field->type);
    put_text(w, "attribute", field->attribute);
    put_text(w, "tag", field->tag);
    dl_json_key(w, DL_STR("partition"));
    dl_json_bool(w, field->partition);
    dl_json_key(w, DL_STR("nullable"));
    dl_json_bool(w, field->nullable);
    dl_json_object_end(w);
}

void dl_lakehouse_write_table(dl_json_writer *w, const dl_lakehouse_table *table)
{
    dl_json_object_begin(w);
    put_state(w, &table->state);
    put_number(w, "version", table->version, -1);
    put_number(w, "rows", table->row_count, -1);
    put_number(w, "sizeBytes", table->size_bytes, -1);
    put_number(w, "files", table->file_count, -1);
    put_number(w, "watermark", table->watermark, 0);
    put_time(w, "watermarkTime", table->watermark_us);
    put_time(w, "changed", table->changed_us);
    dl_json_key(w, DL_STR("columns"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < table->field_count; i++) {
        put_field(w, &table->fields[i]);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}
