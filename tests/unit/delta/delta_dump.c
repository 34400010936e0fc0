/* Prints a table through the public interface, for the tests that compare it with what others read:
 *
 *     delta_dump [-v VERSION | -t MICROSECONDS] [-r] [-f] [-h] [-c] FOLDER [COLUMN...]
 *
 * One JSON object a line: {"table":{...}}, then with -f {"file":{...}}, with -r {"row":{...}} (all
 * columns, or those named), with -h {"info":{...}}, with -c {"finding":"..."}. An error is
 * {"error":{"status":...,"message":...,"hint":...}} and exit 1. */
#include "delta/delta.h"
#include "json/json.h"

#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUT_LIMIT_BYTES = 256 * 1024 * 1024, ARENA_LIMIT_BYTES = 1024 * 1024 * 1024 };

typedef struct dump {
    dl_delta_table *table;
    dl_buf out;
    dl_json_writer w;
    const dl_columnar_leaf *leaves; /* of the scan */
    size_t leaf_count;
    const dl_delta_column **columns; /* wanted */
    size_t column_count;
    size_t *at; /* next entry, one a leaf */
} dump;

static void flush(dump *d)
{
    if (d->out.len > 0) {
        printf("%.*s\n", DL_STR_ARG(dl_buf_str(&d->out)));
    }
    dl_buf_reset(&d->out);
    dl_json_writer_init(&d->w, &d->out, NULL);
}

static void put_text(dump *d, const char *key, dl_str text)
{
    dl_json_key(&d->w, dl_str_of(key));
    if (text.ptr == NULL) {
        dl_json_null(&d->w);
    } else {
        dl_json_string(&d->w, text);
    }
}

static void put_int(dump *d, const char *key, int64_t value)
{
    dl_json_key(&d->w, dl_str_of(key));
    dl_json_int(&d->w, value);
}

static void put_names(dump *d, const char *key, dl_delta_names names)
{
    dl_json_key(&d->w, dl_str_of(key));
    dl_json_array_begin(&d->w);
    for (size_t i = 0; i < names.count; i++) {
        dl_json_string(&d->w, names.items[i]);
    }
    dl_json_array_end(&d->w);
}

static void put_pairs(dump *d, const char *key, dl_delta_pairs pairs)
{
    dl_json_key(&d->w, dl_str_of(key));
    dl_json_object_begin(&d->w);
    for (size_t i = 0; i < pairs.count; i++) {
        dl_json_key(&d->w, pairs.items[i].key);
        if (pairs.items[i].value.ptr == NULL) {
            dl_json_null(&d->w);
        } else {
            dl_json_string(&d->w, pairs.items[i].value);
        }
    }
    dl_json_object_end(&d->w);
}

/* ---- the table ---- */

static void put_columns(dump *d)
{
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(d->table, &count);
    dl_json_key(&d->w, DL_STR("columns"));
    dl_json_array_begin(&d->w);
    for (size_t i = 0; i < count; i++) {
        dl_json_object_begin(&d->w);
        put_text(d, "name", columns[i].name);
        put_text(d, "physical", columns[i].field.name);
        put_int(d, "id", columns[i].field.field_id);
        dl_json_key(&d->w, DL_STR("type"));
        dl_json_raw(&d->w, columns[i].type_json);
        dl_json_key(&d->w, DL_STR("nullable"));
        dl_json_bool(&d->w, columns[i].nullable);
        dl_json_key(&d->w, DL_STR("partition"));
        dl_json_bool(&d->w, columns[i].partition);
        dl_json_object_end(&d->w);
    }
    dl_json_array_end(&d->w);
}

static void show_table(dump *d)
{
    const dl_delta_protocol *protocol = dl_delta_protocol_of(d->table);
    const dl_delta_metadata *metadata = dl_delta_metadata_of(d->table);
    dl_delta_totals totals = dl_delta_totals_of(d->table);
    dl_delta_app app = {0};
    dl_json_object_begin(&d->w);
    dl_json_key(&d->w, DL_STR("table"));
    dl_json_object_begin(&d->w);
    put_int(d, "version", dl_delta_version(d->table));
    put_int(d, "timestamp_ms", dl_delta_timestamp_ms(d->table));
    put_int(d, "min_reader", protocol->min_reader);
    put_int(d, "min_writer", protocol->min_writer);
    put_names(d, "reader_features", protocol->reader_features);
    put_names(d, "writer_features", protocol->writer_features);
    put_text(d, "id", metadata->id);
    put_text(d, "name", metadata->name);
    put_names(d, "partition_columns", metadata->partition_columns);
    put_pairs(d, "configuration", metadata->configuration);
    put_columns(d);
    put_int(d, "files", totals.file_count);
    put_int(d, "bytes", totals.size_bytes);
    put_int(d, "rows", totals.row_count);
    put_int(d, "deleted_rows", totals.deleted_rows);
    put_int(d, "dvs", totals.dv_count);
    dl_json_key(&d->w, DL_STR("apps"));
    dl_json_object_begin(&d->w);
    for (size_t i = 0; dl_delta_app_at(d->table, i, &app); i++) {
        dl_json_key(&d->w, app.app_id);
        dl_json_int(&d->w, app.version);
    }
    dl_json_object_end(&d->w);
    dl_json_object_end(&d->w);
    dl_json_object_end(&d->w);
    flush(d);
}

static void show_files(dump *d)
{
    const dl_delta_file *file = NULL;
    for (size_t cursor = 0; dl_delta_next_file(d->table, &cursor, &file);) {
        dl_json_object_begin(&d->w);
        dl_json_key(&d->w, DL_STR("file"));
        dl_json_object_begin(&d->w);
        put_text(d, "path", file->path);
        put_pairs(d, "partition_values", file->partition_values);
        put_int(d, "size", file->size_bytes);
        put_int(d, "rows", file->row_count);
        put_text(d, "stats", file->stats);
        put_text(d, "dv", file->dv.storage == '\0' ? DL_STR_NONE : (dl_str){&file->dv.storage, 1});
        put_int(d, "cardinality", file->dv.cardinality);
        put_int(d, "base_row_id", file->base_row_id);
        dl_json_object_end(&d->w);
        dl_json_object_end(&d->w);
        flush(d);
    }
}

static dl_status show_info(void *context, const dl_delta_info *info, dl_error *err)
{
    dump *d = context;
    (void)err;
    dl_json_object_begin(&d->w);
    dl_json_key(&d->w, DL_STR("info"));
    dl_json_object_begin(&d->w);
    put_int(d, "version", info->version);
    put_int(d, "timestamp_ms", info->timestamp_ms);
    put_text(d, "operation", info->operation);
    put_pairs(d, "parameters", info->parameters);
    put_pairs(d, "metrics", info->metrics);
    put_text(d, "user_metadata", info->user_metadata);
    put_text(d, "engine_info", info->engine_info);
    put_int(d, "read_version", info->read_version);
    put_int(d, "blind_append", info->blind_append);
    dl_json_object_end(&d->w);
    dl_json_object_end(&d->w);
    flush(d);
    return DL_OK;
}

static void show_finding(void *context, const char *finding)
{
    dump *d = context;
    dl_json_object_begin(&d->w);
    put_text(d, "finding", dl_str_of(finding));
    dl_json_object_end(&d->w);
    flush(d);
}

/* ---- rows: entries back to values; tests only, so recursion over our own schema is fine ---- */

static void put_decimal(dump *d, const dl_columnar_field *field, dl_columnar_value value)
{
    if (field->precision > 18) {
        dl_json_string(&d->w, value.s);
        return;
    }
    char text[64], digits[32];
    uint64_t positive = value.i < 0 ? 0 - (uint64_t)value.i : (uint64_t)value.i;
    int len = snprintf(digits, sizeof digits, "%0*" PRIu64, field->scale + 1, positive);
    (void)snprintf(text, sizeof text, "%s%.*s%s%s", value.i < 0 ? "-" : "", len - field->scale,
                   digits, field->scale > 0 ? "." : "", digits + len - field->scale);
    dl_json_string(&d->w, dl_str_of(text));
}

static void put_time(dump *d, const dl_columnar_field *field, int64_t us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(us, text);
    if (field->type == DL_COLUMNAR_DATE) {
        text[strcspn(text, "T")] = '\0';
    } else if (field->type == DL_COLUMNAR_TIMESTAMP_NTZ) {
        text[strcspn(text, "Z")] = '\0';
    }
    dl_json_string(&d->w, dl_str_of(text));
}

static void put_binary(dump *d, dl_str bytes)
{
    dl_buf hex = {0};
    dl_buf_init(&hex, OUT_LIMIT_BYTES);
    for (size_t i = 0; i < bytes.len; i++) {
        (void)!dl_buf_printf(&hex, NULL, "%02x", (unsigned char)bytes.ptr[i]);
    }
    dl_json_string(&d->w, dl_buf_str(&hex));
    dl_buf_clear(&hex);
}

static void put_value(dump *d, const dl_columnar_field *field, dl_columnar_value value)
{
    switch (field->type) {
    case DL_COLUMNAR_STRING:
        dl_json_string(&d->w, value.s);
        break;
    case DL_COLUMNAR_BINARY:
        put_binary(d, value.s);
        break;
    case DL_COLUMNAR_BOOL:
        dl_json_bool(&d->w, value.i != 0);
        break;
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
        if (isfinite(value.d)) {
            dl_json_double(&d->w, value.d);
        } else {
            dl_json_string(&d->w, isnan(value.d) ? DL_STR("NaN")
                                  : value.d > 0  ? DL_STR("Infinity")
                                                 : DL_STR("-Infinity"));
        }
        break;
    case DL_COLUMNAR_DECIMAL:
        put_decimal(d, field, value);
        break;
    case DL_COLUMNAR_DATE:
        put_time(d, field, value.i * 86400000000);
        break;
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        put_time(d, field, value.i);
        break;
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
        dl_json_int(&d->w, value.i);
        break;
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
    default:
        DL_ASSERT(false);
    }
}

static size_t count_leaves(const dl_columnar_field *field)
{
    size_t count = field->child_count == 0 ? 1 : 0;
    for (size_t i = 0; i < field->child_count; i++) {
        count += count_leaves(&field->children[i]);
    }
    return count;
}

static unsigned entry_def(const dump *d, const dl_delta_batch *b, size_t leaf)
{
    return b->leaves[leaf].def[d->at[leaf]];
}

/* Repetition of the entry after the current one; 0 at the end of the row. */
static unsigned next_rep(const dump *d, const dl_delta_batch *b, size_t leaf)
{
    const dl_columnar_entries *e = &b->leaves[leaf];
    return e->rep == NULL || d->at[leaf] >= e->count ? 0 : e->rep[d->at[leaf]];
}

static void skip(dump *d, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        d->at[i]++;
    }
}

/* Writes the value that begins at the current entries of leaves [first, ...), and moves past them.
 * `def`, `rep`: levels above this node. */
static void put_node(dump *d, const dl_delta_batch *b, const dl_columnar_field *field, size_t first,
                     unsigned def, unsigned rep)
{
    size_t count = count_leaves(field);
    unsigned own = def + (field->required ? 0 : 1);
    if (entry_def(d, b, first) < own) {
        dl_json_null(&d->w);
        skip(d, first, count);
        return;
    }
    if (field->child_count == 0) {
        put_value(d, field, b->leaves[first].values[d->at[first]]);
        skip(d, first, 1);
        return;
    }
    if (field->type == DL_COLUMNAR_STRUCT) {
        dl_json_object_begin(&d->w);
        for (size_t i = 0; i < field->child_count; i++) {
            dl_json_key(&d->w, field->children[i].name);
            put_node(d, b, &field->children[i], first, own, rep);
            first += count_leaves(&field->children[i]);
        }
        dl_json_object_end(&d->w);
        return;
    }
    dl_json_array_begin(&d->w); /* a map as pairs, so that order and repeated keys show */
    if (entry_def(d, b, first) == own) {
        skip(d, first, count);
    } else {
        do {
            size_t at = first;
            if (field->type == DL_COLUMNAR_MAP) {
                dl_json_array_begin(&d->w);
            }
            for (size_t i = 0; i < field->child_count; i++) {
                put_node(d, b, &field->children[i], at, own + 1, rep + 1);
                at += count_leaves(&field->children[i]);
            }
            if (field->type == DL_COLUMNAR_MAP) {
                dl_json_array_end(&d->w);
            }
        } while (next_rep(d, b, first) == rep + 1);
    }
    dl_json_array_end(&d->w);
}

static dl_status show_rows(void *context, const dl_delta_batch *b, dl_error *err)
{
    dump *d = context;
    (void)err;
    memset(d->at, 0, d->leaf_count * sizeof *d->at);
    for (size_t row = 0; row < b->row_count; row++) {
        size_t leaf = 0;
        dl_json_object_begin(&d->w);
        dl_json_key(&d->w, DL_STR("row"));
        dl_json_object_begin(&d->w);
        for (size_t i = 0; i < d->column_count; i++) {
            dl_json_key(&d->w, d->columns[i]->name);
            put_node(d, b, &d->columns[i]->field, leaf, 0, 0);
            leaf += count_leaves(&d->columns[i]->field);
        }
        dl_json_object_end(&d->w);
        dl_json_object_end(&d->w);
        if (b->live[row]) {
            flush(d);
        } else {
            dl_buf_reset(&d->out);
            dl_json_writer_init(&d->w, &d->out, NULL);
        }
    }
    return DL_OK;
}

static dl_status read_rows(dump *d, char **names, int name_count, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    size_t all = 0;
    const dl_delta_column *columns = dl_delta_columns(d->table, &all);
    size_t count = name_count > 0 ? (size_t)name_count : all;
    dl_str *wanted = dl_arena_alloc(arena, count + 1, sizeof *wanted);
    d->columns = dl_arena_alloc(arena, count + 1, sizeof *d->columns);
    for (size_t i = 0; i < count; i++) {
        wanted[i] = name_count > 0 ? dl_str_of(names[i]) : columns[i].name;
        for (size_t k = 0; k < all; k++) {
            if (dl_str_eq_nocase(columns[k].name, wanted[i])) {
                d->columns[i] = &columns[k];
            }
        }
    }
    dl_delta_scan scan = {.columns = wanted, .column_count = count};
    dl_columnar_leaf *leaves = NULL;
    DL_TRY(dl_delta_scan_leaves(d->table, &scan, arena, &leaves, &d->leaf_count, err));
    d->column_count = count;
    d->at = dl_arena_alloc(arena, d->leaf_count + 1, sizeof *d->at);
    return dl_delta_read(d->table, &scan, show_rows, d, err);
}

/* ---- main ---- */

typedef struct wishes {
    int64_t version, timestamp_us;
    bool rows, files, history, check;
} wishes;

static dl_status run(const wishes *want, const char *folder, char **names, int name_count,
                     dl_error *err)
{
    dump d = {0};
    dl_store *store = NULL;
    DL_AUTO(dl_columnar_engine) engine = NULL;
    dl_buf_init(&d.out, OUT_LIMIT_BYTES);
    dl_json_writer_init(&d.w, &d.out, NULL);
    dl_status status = dl_store_open_shared(folder, false, &store, err);
    if (status == DL_OK) {
        status = dl_columnar_engine_create(&(dl_columnar_engine_options){0}, &engine, err);
    }
    if (status == DL_OK) {
        dl_delta_open open = {.store = store,
                              .root = DL_STR(""),
                              .engine = engine,
                              .clock = dl_clock_system(),
                              .version = want->version,
                              .timestamp_us = want->timestamp_us};
        status = dl_delta_table_open(&open, &d.table, err);
    }
    if (status == DL_OK) {
        show_table(&d);
        if (want->files) {
            show_files(&d);
        }
        status = want->rows ? read_rows(&d, names, name_count, err) : DL_OK;
    }
    if (status == DL_OK && want->history) {
        status = dl_delta_history(d.table, 0, show_info, &d, err);
    }
    if (status == DL_OK && want->check) {
        status = dl_delta_check(d.table, NULL, show_finding, &d, err);
    }
    dl_delta_table_close(d.table);
    dl_buf_clear(&d.out);
    dl_store_close(store);
    return status;
}

static void show_error(dl_status status, const dl_error *err)
{
    dump d = {0};
    dl_buf_init(&d.out, OUT_LIMIT_BYTES);
    dl_json_writer_init(&d.w, &d.out, NULL);
    dl_json_object_begin(&d.w);
    dl_json_key(&d.w, DL_STR("error"));
    dl_json_object_begin(&d.w);
    put_text(&d, "status", dl_str_of(dl_status_name(status)));
    put_text(&d, "message", dl_str_of(err->message));
    put_text(&d, "hint", dl_str_of(err->hint));
    dl_json_object_end(&d.w);
    dl_json_object_end(&d.w);
    flush(&d);
    dl_buf_clear(&d.out);
}

int main(int argc, char **argv)
{
    wishes want = {.version = -1, .timestamp_us = INT64_MIN};
    dl_error err = {0};
    for (int c; (c = getopt(argc, argv, "v:t:rfhc")) != -1;) {
        if (c == '?' || (c == 'v' && !dl_str_to_i64(dl_str_of(optarg), &want.version)) ||
            (c == 't' && !dl_str_to_i64(dl_str_of(optarg), &want.timestamp_us))) {
            return 2;
        }
        want.rows = want.rows || c == 'r';
        want.files = want.files || c == 'f';
        want.history = want.history || c == 'h';
        want.check = want.check || c == 'c';
    }
    if (optind >= argc) {
        return 2;
    }
    dl_status status = run(&want, argv[optind], argv + optind + 1, argc - optind - 1, &err);
    if (status != DL_OK) {
        show_error(status, &err);
    }
    return status == DL_OK ? 0 : 1;
}
