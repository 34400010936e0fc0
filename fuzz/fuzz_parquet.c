/* Parquet files from anywhere, by name and by field id. libduckdb judges the file; what we make of
 * its vectors has to keep to the levels of the schema, and the engine has to live on. */
#include "columnar/columnar.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROW_LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const dl_columnar_field text = {.name = {"element", 7}, .type = DL_COLUMNAR_STRING};
static const dl_columnar_field value_members[] = {
    {.name = {"vr", 2}, .type = DL_COLUMNAR_STRING},
    {.name = {"Value", 5}, .type = DL_COLUMNAR_LIST, .children = &text, .child_count = 1},
};
static const dl_columnar_field entry_members[] = {
    {.name = {"key", 3}, .type = DL_COLUMNAR_STRING},
    {.name = {"value", 5},
     .type = DL_COLUMNAR_STRUCT,
     .children = value_members,
     .child_count = DL_COUNT_OF(value_members)},
};
static const dl_columnar_field struct_members[] = {
    {.name = {"d", 1}, .type = DL_COLUMNAR_DECIMAL, .precision = 38, .scale = 4, .field_id = 7},
    {.name = {"j", 1}, .type = DL_COLUMNAR_STRING, .as_json = true},
};
static const dl_columnar_field fields[] = {
    {.name = {"n", 1}, .type = DL_COLUMNAR_INT64, .field_id = 1},
    {.name = {"s", 1}, .type = DL_COLUMNAR_STRING, .field_id = 2},
    {.name = {"t", 1}, .type = DL_COLUMNAR_TIMESTAMP, .field_id = 3},
    {.name = {"x", 1}, .type = DL_COLUMNAR_DOUBLE, .field_id = 4},
    {.name = {"m", 1},
     .type = DL_COLUMNAR_MAP,
     .field_id = 5,
     .children = entry_members,
     .child_count = DL_COUNT_OF(entry_members)},
    {.name = {"st", 2},
     .type = DL_COLUMNAR_STRUCT,
     .field_id = 6,
     .children = struct_members,
     .child_count = DL_COUNT_OF(struct_members)},
};

typedef struct seen {
    const dl_columnar_leaf *leaves;
    size_t leaf_count;
    int64_t row_count, last_row;
    size_t sum; /* of all bytes of all strings, so that they are touched */
} seen;

static size_t check_leaf(const dl_columnar_leaf *leaf, const dl_columnar_entries *e)
{
    size_t rows = 0, sum = 0;
    for (size_t i = 0; i < e->count; i++) {
        unsigned rep = e->rep == NULL ? 0 : e->rep[i];
        rows += rep == 0;
        DL_ASSERT(rep <= leaf->max_rep && e->def[i] <= leaf->max_def);
        DL_ASSERT(i > 0 || rep == 0);
        bool is_text = leaf->field->type == DL_COLUMNAR_STRING;
        if (e->def[i] == leaf->max_def && (is_text || leaf->field->type == DL_COLUMNAR_DECIMAL)) {
            DL_ASSERT(dl_str_is_utf8(e->values[i].s));
            sum += e->values[i].s.len;
        }
    }
    DL_ASSERT(sum < SIZE_MAX);
    return rows;
}

static dl_status look(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    seen *s = context;
    DL_ASSERT(batch->leaf_count == s->leaf_count);
    for (size_t i = 0; i < batch->row_count; i++) {
        DL_ASSERT(batch->row_numbers[i] > s->last_row);
        s->last_row = batch->row_numbers[i];
    }
    for (size_t i = 0; i < batch->leaf_count; i++) {
        DL_ASSERT(check_leaf(&s->leaves[i], &batch->leaves[i]) == batch->row_count);
    }
    s->row_count += (int64_t)batch->row_count;
    return s->row_count <= ROW_LIMIT ? DL_OK : dl_error_set(err, DL_E_LIMIT, "rows enough");
}

static void read_file(dl_columnar_engine *engine, dl_str location, bool by_field_id)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_columnar_leaf *leaves = NULL;
    dl_error err = {0};
    seen s = {.last_row = -1};
    DL_ASSERT(dl_columnar_leaves(fields, DL_COUNT_OF(fields), arena, &leaves, &s.leaf_count,
                                 NULL) == DL_OK);
    s.leaves = leaves;
    dl_columnar_scan scan = {.location = location,
                             .fields = fields,
                             .field_count = DL_COUNT_OF(fields),
                             .by_field_id = by_field_id};
    dl_status status = dl_columnar_read(engine, &scan, look, &s, &err);
    DL_ASSERT((status == DL_OK) == (err.message[0] == '\0'));
    DL_ASSERT(status != DL_E_UNAVAILABLE && status != DL_E_NOMEM && status != DL_E_IO);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static dl_columnar_engine *engine; /* for all inputs: what one breaks, the next one meets */
    if (engine == NULL) {
        dl_columnar_engine_options options = {.memory_limit_bytes = 64 << 20};
        DL_ASSERT(dl_columnar_engine_create(&options, &engine, NULL) == DL_OK);
    }
    int fd = memfd_create("parquet", MFD_CLOEXEC);
    char path[64];
    DL_ASSERT(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    read_file(engine, dl_str_of(path), false);
    read_file(engine, dl_str_of(path), true);
    int64_t rows = -1;
    dl_status status = dl_columnar_row_count(engine, dl_str_of(path), &rows, NULL);
    DL_ASSERT((status == DL_OK) == (rows >= 0));
    close(fd);
    return 0;
}
