/* Reading what our own writer wrote; limits, ranges, cancelling, running out of memory. What other
 * writers write: tests/conformance/test_parquet_read.py. */
#include "base/file.h"
#include "base/mem.h"
#include "columnar/columnar.h"
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

enum { FIELDS = 64, ENTRIES = 200000, TEXT_BYTES = 4 << 20, ROWS = 700, SEEDS = 200 };

/* ---- a file ---- */

static char folder[] = "/tmp/test_read.XXXXXX";
static char path[64];
static dl_columnar_engine *engine;

static dl_status keep(void *context, dl_bytes piece, dl_error *err)
{
    return dl_buf_append(context, piece.ptr, piece.len, err);
}

/* ---- expected entries ---- */

typedef struct entry {
    uint8_t rep, def;
    dl_columnar_value value;
} entry;

typedef struct leaf_log {
    entry *entries;
    size_t count, seen;
} leaf_log;

typedef struct world {
    uint64_t random;
    dl_columnar_field fields[FIELDS];
    size_t field_count;
    dl_columnar_leaf *leaves;
    size_t leaf_count, next_leaf;
    leaf_log *logs;
    dl_columnar_writer *writer;
    char *text;
    size_t text_used;
    int64_t rows_seen, first_row;
    size_t portions;
    dl_arena *arena;
} world;

static uint32_t draw(world *w, uint32_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->random >> 33) % below;
}

static const dl_columnar_field *make_fields(world *w, size_t count, unsigned depth);

static void make_field(world *w, dl_columnar_field *field, unsigned depth)
{
    static const dl_columnar_type leaves[] = {
        DL_COLUMNAR_STRING,        DL_COLUMNAR_BINARY, DL_COLUMNAR_BOOL,    DL_COLUMNAR_INT8,
        DL_COLUMNAR_INT16,         DL_COLUMNAR_INT32,  DL_COLUMNAR_INT64,   DL_COLUMNAR_FLOAT,
        DL_COLUMNAR_DOUBLE,        DL_COLUMNAR_DATE,   DL_COLUMNAR_DECIMAL, DL_COLUMNAR_TIMESTAMP,
        DL_COLUMNAR_TIMESTAMP_NTZ,
    };
    field->type = leaves[draw(w, DL_COUNT_OF(leaves))];
    field->required = draw(w, 6) == 0;
    if (field->type == DL_COLUMNAR_DECIMAL) {
        field->precision = (uint8_t)(1 + draw(w, 18));
        field->scale = (uint8_t)draw(w, field->precision + 1U);
    }
    if (depth == 0 || draw(w, 2) == 0) {
        return;
    }
    field->type = (dl_columnar_type)(DL_COLUMNAR_STRUCT + draw(w, 3));
    field->child_count = field->type == DL_COLUMNAR_STRUCT ? 1 + draw(w, 3)
                         : field->type == DL_COLUMNAR_LIST ? 1
                                                           : 2;
    field->children = make_fields(w, field->child_count, depth - 1);
    if (field->type == DL_COLUMNAR_MAP) { /* keys are plain */
        *(dl_columnar_field *)(uintptr_t)field->children = (dl_columnar_field){
            .name = DL_STR("key"), .type = DL_COLUMNAR_STRING, .required = true};
    }
}

static const dl_columnar_field *make_fields(world *w, size_t count, unsigned depth)
{
    static const char names[] = "abcdefghij";
    dl_columnar_field *fields = dl_arena_alloc(w->arena, count, sizeof(*fields));
    for (size_t i = 0; i < count; i++) {
        fields[i].name = (dl_str){names + i, 1};
        make_field(w, &fields[i], depth);
    }
    return fields;
}

/* ---- writing entries, and keeping them ---- */

static void log_entry(world *w, size_t leaf, entry e)
{
    leaf_log *log = &w->logs[leaf];
    if (log->count == ENTRIES) {
        TAP_FAIL("too many entries");
        return;
    }
    log->entries[log->count++] = e;
}

static void put_null(world *w, const dl_columnar_field *field, unsigned rep, unsigned def)
{
    if (field->child_count == 0) {
        dl_columnar_put_null(w->writer, w->next_leaf, rep, def);
        log_entry(w, w->next_leaf++, (entry){(uint8_t)rep, (uint8_t)def, {0}});
    }
    for (size_t i = 0; i < field->child_count; i++) {
        put_null(w, &field->children[i], rep, def);
    }
}

static int64_t integer(world *w, const dl_columnar_field *field)
{
    int64_t x = (int64_t)((uint64_t)draw(w, UINT32_MAX) << 32 | draw(w, UINT32_MAX));
    switch ((int)field->type) {
    case DL_COLUMNAR_BOOL:
        return x & 1;
    case DL_COLUMNAR_INT8:
        return (int8_t)x;
    case DL_COLUMNAR_INT16:
        return (int16_t)x;
    case DL_COLUMNAR_INT32:
        return (int32_t)x;
    case DL_COLUMNAR_DATE:
        return x % 2000000;
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return x % INT64_C(100000000000000000);
    case DL_COLUMNAR_DECIMAL: {
        int64_t bound = 1;
        for (unsigned i = 0; i < field->precision; i++) {
            bound *= 10;
        }
        return x % bound;
    }
    default:
        return draw(w, 3) == 0 ? (int64_t)draw(w, 5) : x;
    }
}

static void put_leaf(world *w, const dl_columnar_field *field, unsigned rep, unsigned def)
{
    entry e = {(uint8_t)rep, (uint8_t)def, {0}};
    size_t leaf = w->next_leaf++;
    if (field->type == DL_COLUMNAR_STRING || field->type == DL_COLUMNAR_BINARY) {
        size_t len = draw(w, 2) == 0 ? draw(w, 4) : draw(w, 40);
        if (w->text_used + len > TEXT_BYTES) {
            len = 0;
        }
        e.value.s = (dl_str){w->text + w->text_used, len};
        for (size_t i = 0; i < len; i++) {
            w->text[w->text_used++] =
                (char)(field->type == DL_COLUMNAR_STRING ? 'a' + draw(w, 3) : draw(w, 256));
        }
        dl_columnar_put_str(w->writer, leaf, rep, e.value.s);
    } else if (field->type == DL_COLUMNAR_FLOAT || field->type == DL_COLUMNAR_DOUBLE) {
        e.value.d = (double)(int32_t)draw(w, 1 << 20) / 64;
        dl_columnar_put_double(w->writer, leaf, rep, e.value.d);
    } else {
        e.value.i = integer(w, field);
        dl_columnar_put_int(w->writer, leaf, rep, e.value.i);
    }
    log_entry(w, leaf, e);
}

/* `level`: how many lists and maps there are above. */
static void put_value(world *w, const dl_columnar_field *field, unsigned rep, unsigned def,
                      unsigned level)
{
    if (!field->required && draw(w, 5) == 0) {
        put_null(w, field, rep, def);
        return;
    }
    def += field->required ? 0 : 1;
    if (field->child_count == 0) {
        put_leaf(w, field, rep, def);
        return;
    }
    if (field->type == DL_COLUMNAR_STRUCT) {
        for (size_t i = 0; i < field->child_count; i++) {
            put_value(w, &field->children[i], rep, def, level);
        }
        return;
    }
    size_t count = draw(w, 4), first_leaf = w->next_leaf;
    if (count == 0) {
        for (size_t i = 0; i < field->child_count; i++) {
            put_null(w, &field->children[i], rep, def);
        }
    }
    for (size_t n = 0; n < count; n++) {
        w->next_leaf = first_leaf;
        for (size_t i = 0; i < field->child_count; i++) {
            put_value(w, &field->children[i], n == 0 ? rep : level + 1, def + 1, level + 1);
        }
    }
}

static dl_status write_file(world *w, size_t rows, dl_error *err)
{
    DL_AUTO_BUF file = {0};
    dl_buf_init(&file, 1 << 30);
    dl_columnar_writer_options options = {
        .fields = w->fields,
        .field_count = w->field_count,
        .codec = (dl_columnar_codec)draw(w, 3),
        .row_group_rows = 1 + draw(w, 2 * ROWS),
        .write = keep,
        .context = &file,
    };
    DL_AUTO(dl_columnar_writer) writer = NULL;
    DL_TRY(dl_columnar_writer_create(&options, &writer, err));
    w->writer = writer;
    for (size_t row = 0; row < rows; row++) {
        w->next_leaf = 0;
        for (size_t i = 0; i < w->field_count; i++) {
            put_value(w, &w->fields[i], 0, 0, 0);
        }
        DL_TRY(dl_columnar_row_end(writer, err));
    }
    dl_columnar_summary summary;
    DL_TRY(dl_columnar_writer_finish(writer, &summary, err));
    return dl_file_replace(path, dl_buf_str(&file), err);
}

static void world_clear(world *w)
{
    for (size_t i = 0; w->logs != NULL && i < w->leaf_count; i++) {
        dl_mem_free(w->logs[i].entries);
    }
    dl_mem_free(w->logs);
    dl_mem_free(w->text);
    dl_arena_destroy(w->arena);
}

static void world_make(world *w, uint64_t seed, const dl_columnar_field *fields, size_t count,
                       size_t rows)
{
    dl_error err = {0};
    *w = (world){.random = seed * 7919 + 1, .arena = dl_arena_create(1 << 22)};
    w->text = dl_mem_alloc(TEXT_BYTES, 1);
    if (fields == NULL) {
        count = 1 + draw(w, 5);
        fields = make_fields(w, count, 4);
    }
    memcpy(w->fields, fields, count * sizeof(*fields));
    w->field_count = count;
    TAP_OK(dl_columnar_leaves(w->fields, count, w->arena, &w->leaves, &w->leaf_count, &err), err);
    w->logs = dl_mem_zalloc(w->leaf_count, sizeof(*w->logs));
    for (size_t i = 0; i < w->leaf_count; i++) {
        w->logs[i].entries = dl_mem_alloc(ENTRIES, sizeof(entry));
    }
    TAP_OK(write_file(w, rows, &err), err);
}

/* ---- reading and comparing ---- */

static bool same(const dl_columnar_field *field, dl_columnar_value a, dl_columnar_value b)
{
    if (field->type == DL_COLUMNAR_STRING || field->type == DL_COLUMNAR_BINARY) {
        return dl_str_eq(a.s, b.s);
    }
    if (field->type == DL_COLUMNAR_FLOAT || field->type == DL_COLUMNAR_DOUBLE) {
        return a.d >= b.d && a.d <= b.d;
    }
    return a.i == b.i;
}

static dl_status compare(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    world *w = context;
    w->portions++;
    if (batch->leaf_count != w->leaf_count) {
        return dl_error_set(err, DL_E_INVALID, "%zu leaves", batch->leaf_count);
    }
    for (size_t i = 0; i < batch->row_count; i++) {
        if (batch->row_numbers[i] != w->first_row + w->rows_seen++) {
            return dl_error_set(err, DL_E_INVALID, "row number %lld",
                                (long long)batch->row_numbers[i]);
        }
    }
    for (size_t leaf = 0; leaf < batch->leaf_count; leaf++) {
        const dl_columnar_entries *e = &batch->leaves[leaf];
        leaf_log *log = &w->logs[leaf];
        if ((e->rep == NULL) != (w->leaves[leaf].max_rep == 0) ||
            (e->rep == NULL && e->count != batch->row_count)) {
            return dl_error_set(err, DL_E_INVALID, "leaf %zu: repetition levels", leaf);
        }
        for (size_t i = 0; i < e->count; i++) {
            const entry *want = &log->entries[log->seen];
            if (log->seen++ == log->count || e->def[i] != want->def ||
                (e->rep == NULL ? 0 : e->rep[i]) != want->rep ||
                (want->def == w->leaves[leaf].max_def &&
                 !same(w->leaves[leaf].field, e->values[i], want->value))) {
                return dl_error_set(err, DL_E_INVALID, "leaf %zu: entry %zu", leaf, log->seen);
            }
        }
    }
    return DL_OK;
}

static dl_columnar_scan scan_of(const world *w)
{
    return (dl_columnar_scan){
        .location = dl_str_of(path), .fields = w->fields, .field_count = w->field_count};
}

TAP_CASE(what_was_written_is_read)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        world w;
        dl_error err = {0};
        world_make(&w, seed, NULL, 0, seed % 10 == 0 ? ROWS * 4 : seed % ROWS);
        dl_columnar_scan scan = scan_of(&w);
        TAP_OK(dl_columnar_read(engine, &scan, compare, &w, &err), err);
        for (size_t i = 0; i < w.leaf_count; i++) {
            TAP_EQ_INT(w.logs[i].seen, w.logs[i].count);
        }
        int64_t rows = -1;
        TAP_OK(dl_columnar_row_count(engine, scan.location, &rows, &err), err);
        TAP_EQ_INT(rows, w.rows_seen);
        world_clear(&w);
        if (tap_case_failed) {
            printf("# seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
}

/* ---- bounds ---- */

static const dl_columnar_field number = {.name = {"n", 1}, .type = DL_COLUMNAR_INT64};
static const dl_columnar_field numbers = {
    .name = {"l", 1}, .type = DL_COLUMNAR_LIST, .children = &number, .child_count = 1};

/* One row, or several, whose lists have so many elements. */
static dl_status write_lists(size_t rows, size_t elements, dl_error *err)
{
    DL_AUTO_BUF file = {0};
    dl_buf_init(&file, 1 << 30);
    dl_columnar_writer_options options = {
        .fields = &numbers, .field_count = 1, .write = keep, .context = &file};
    DL_AUTO(dl_columnar_writer) writer = NULL;
    DL_TRY(dl_columnar_writer_create(&options, &writer, err));
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < elements; i++) {
            dl_columnar_put_int(writer, 0, i == 0 ? 0 : 1, 7);
        }
        DL_TRY(dl_columnar_row_end(writer, err));
    }
    dl_columnar_summary summary;
    DL_TRY(dl_columnar_writer_finish(writer, &summary, err));
    return dl_file_replace(path, dl_buf_str(&file), err);
}

typedef struct tally {
    size_t rows, entries, most;
    dl_cancel *cancel;
    dl_status answer;
} tally;

static dl_status count_up(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    tally *t = context;
    t->rows += batch->row_count;
    for (size_t i = 0; i < batch->leaf_count; i++) {
        t->entries += batch->leaves[i].count;
        t->most = batch->leaves[i].count > t->most ? batch->leaves[i].count : t->most;
    }
    if (t->cancel != NULL) {
        dl_cancel_ask(t->cancel);
    }
    return t->answer == DL_OK ? DL_OK : dl_error_set(err, t->answer, "visit says no");
}

TAP_CASE(entries_of_a_row_are_bounded)
{
    static const size_t limit = (size_t)1 << 22; /* DL_READ_ENTRY_LIMIT */
    dl_error err = {0};
    tally t = {0};
    dl_columnar_scan scan = {.location = dl_str_of(path), .fields = &numbers, .field_count = 1};
    TAP_OK(write_lists(1, limit, &err), err);
    TAP_OK(dl_columnar_read(engine, &scan, count_up, &t, &err), err);
    TAP_EQ_INT(t.entries, limit);
    TAP_OK(write_lists(1, limit + 1, &err), err);
    t = (tally){0};
    TAP_STATUS(dl_columnar_read(engine, &scan, count_up, &t, &err), DL_E_LIMIT);
    TAP_EQ_INT(t.rows, 0);
    /* Rows that are too much together come one by one. */
    dl_error_clear(&err);
    TAP_OK(write_lists(5, limit / 4 + 1, &err), err);
    t = (tally){0};
    TAP_OK(dl_columnar_read(engine, &scan, count_up, &t, &err), err);
    TAP_EQ_INT(t.rows, 5);
    TAP_EQ_INT(t.entries, 5 * (limit / 4 + 1));
    TAP_EQ_INT(t.most, limit / 4 + 1);
}

static const dl_columnar_field *nested(dl_columnar_field *fields, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        fields[i] = (dl_columnar_field){.name = DL_STR("s"), .type = DL_COLUMNAR_STRUCT};
        fields[i].children = &fields[i + 1];
        fields[i].child_count = 1;
    }
    fields[depth] = (dl_columnar_field){.name = DL_STR("n"), .type = DL_COLUMNAR_INT64};
    return fields;
}

TAP_CASE(depth_is_bounded)
{
    dl_columnar_field fields[DL_COLUMNAR_DEPTH_LIMIT + 1];
    dl_error err = {0};
    world w;
    world_make(&w, 1, nested(fields, DL_COLUMNAR_DEPTH_LIMIT - 1), 1, 10);
    dl_columnar_scan scan = scan_of(&w);
    TAP_OK(dl_columnar_read(engine, &scan, compare, &w, &err), err);
    TAP_EQ_INT(w.rows_seen, 10);
    scan.fields = nested(fields, DL_COLUMNAR_DEPTH_LIMIT);
    TAP_STATUS(dl_columnar_read(engine, &scan, compare, &w, &err), DL_E_LIMIT);
    world_clear(&w);
}

/* ---- stopping ---- */

TAP_CASE(canceling_stops_at_the_next_batch)
{
    dl_error err = {0};
    dl_cancel cancel = {0};
    tally t = {.cancel = &cancel};
    dl_columnar_scan scan = {
        .location = dl_str_of(path), .fields = &numbers, .field_count = 1, .cancel = &cancel};
    TAP_OK(write_lists(5000, 2, &err), err);
    TAP_STATUS(dl_columnar_read(engine, &scan, count_up, &t, &err), DL_E_CANCELED);
    TAP_EQ_INT(t.rows, 128);
    t.rows = 0;
    TAP_STATUS(dl_columnar_read(engine, &scan, count_up, &t, &err), DL_E_CANCELED);
    TAP_EQ_INT(t.rows, 0);
}

TAP_CASE(what_visit_says_comes_back)
{
    dl_error err = {0};
    tally t = {.answer = DL_E_CONFLICT};
    dl_columnar_scan scan = {.location = dl_str_of(path), .fields = &numbers, .field_count = 1};
    TAP_OK(write_lists(5000, 2, &err), err);
    TAP_STATUS(dl_columnar_read(engine, &scan, count_up, &t, &err), DL_E_CONFLICT);
    TAP_EQ_INT(t.rows, 128);
    TAP_EQ_STR(dl_str_of(err.message), "visit says no");
}

/* ---- the engine ---- */

TAP_CASE(version_of_the_library)
{
    dl_str version = dl_str_of(dl_columnar_engine_version());
    TAP_TRUE(dl_str_starts(version, DL_STR("v" DUCKDB_VERSION)));
    TAP_TRUE(DUCKDB_VERSION[0] == '\0' || version.len == sizeof(DUCKDB_VERSION));
}

TAP_CASE(failures_leave_outputs)
{
    dl_error err = {0};
    int64_t rows = 77;
    char long_folder[5000];
    memset(long_folder, 'x', sizeof(long_folder) - 1);
    long_folder[sizeof(long_folder) - 1] = '\0';
    dl_columnar_engine *other = NULL;
    dl_columnar_engine_options options = {.temp_folder = long_folder};
    TAP_STATUS(dl_columnar_engine_create(&options, &other, &err), DL_E_INVALID);
    TAP_TRUE(other == NULL && err.message[0] != '\0');
    TAP_STATUS(dl_columnar_row_count(engine, DL_STR("/nowhere/x.parquet"), &rows, &err),
               DL_E_NOT_FOUND);
    TAP_STATUS(dl_columnar_row_count(engine, DL_STR("/etc/passwd"), &rows, &err), DL_E_CORRUPT);
    TAP_STATUS(dl_columnar_row_count(engine, DL_STR("x.parquet"), &rows, &err), DL_E_UNSUPPORTED);
    TAP_STATUS(dl_columnar_row_count(engine, (dl_str){"/x\0y", 4}, &rows, &err), DL_E_UNSUPPORTED);
    TAP_EQ_INT(rows, 77);
    dl_columnar_engine_destroy(NULL);
}

TAP_CASE(without_memory)
{
    world w;
    dl_error err = {0};
    world_make(&w, 3, NULL, 0, 300);
    dl_columnar_scan scan = scan_of(&w);
    dl_status status = DL_E_NOMEM;
    int64_t fail_after = 0;
    /* An arena without memory says that it is full. */
    for (; (status == DL_E_NOMEM || status == DL_E_LIMIT) && fail_after < 10000; fail_after++) {
        for (size_t i = 0; i < w.leaf_count; i++) {
            w.logs[i].seen = 0;
        }
        w.rows_seen = 0;
        dl_error_clear(&err);
        dl_mem_fail_after(fail_after);
        dl_columnar_engine *other = NULL;
        status = dl_columnar_engine_create(&(dl_columnar_engine_options){0}, &other, &err);
        if (status == DL_OK) {
            status = dl_columnar_read(other, &scan, compare, &w, &err);
        }
        dl_columnar_engine_destroy(other);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK || err.message[0] != '\0');
    }
    TAP_OK(status, err);
    TAP_TRUE(fail_after > 10);
    world_clear(&w);
}

int main(void)
{
    dl_error err = {0};
    dl_columnar_engine_options options = {0};
    if (mkdtemp(folder) == NULL || dl_columnar_engine_create(&options, &engine, &err) != DL_OK) {
        return 2;
    }
    snprintf(path, sizeof(path), "%s/file.parquet", folder);
    TAP_RUN(version_of_the_library);
    TAP_RUN(what_was_written_is_read);
    TAP_RUN(entries_of_a_row_are_bounded);
    TAP_RUN(depth_is_bounded);
    TAP_RUN(canceling_stops_at_the_next_batch);
    TAP_RUN(what_visit_says_comes_back);
    TAP_RUN(failures_leave_outputs);
    TAP_RUN(without_memory);
    dl_columnar_engine_destroy(engine);
    unlink(path);
    rmdir(folder);
    return tap_done();
}
