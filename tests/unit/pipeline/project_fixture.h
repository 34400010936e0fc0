/**
 * A writer that remembers its entries as text, and tables' columns out of short words.
 *
 * An entry is "rep=value" or "rep~def" for NULL; those of a leaf stand in one text, with blanks.
 */
#ifndef DL_TESTS_PIPELINE_PROJECT_FIXTURE_H
#define DL_TESTS_PIPELINE_PROJECT_FIXTURE_H

#include "tap.h"

#include "base/mem.h"
#include "pipeline/project.h"

#include <inttypes.h>

enum { RECORD_LEAVES = 400, RECORD_LIMIT_BYTES = 8 * 1024 * 1024 };

struct dl_columnar_writer {
    dl_buf leaves[RECORD_LEAVES];
    int64_t rows;
    size_t leaf_count; /* that must have entries when a row ends */
};

static dl_buf *record_leaf(dl_columnar_writer *w, size_t leaf)
{
    TAP_TRUE(leaf < RECORD_LEAVES);
    return &w->leaves[leaf < RECORD_LEAVES ? leaf : 0];
}

void dl_columnar_put_null(dl_columnar_writer *w, size_t leaf, unsigned rep, unsigned def)
{
    TAP_STATUS(dl_buf_printf(record_leaf(w, leaf), NULL, "%u~%u ", rep, def), DL_OK);
}

void dl_columnar_put_int(dl_columnar_writer *w, size_t leaf, unsigned rep, int64_t value)
{
    TAP_STATUS(dl_buf_printf(record_leaf(w, leaf), NULL, "%u=%" PRId64 " ", rep, value), DL_OK);
}

void dl_columnar_put_double(dl_columnar_writer *w, size_t leaf, unsigned rep, double value)
{
    TAP_STATUS(dl_buf_printf(record_leaf(w, leaf), NULL, "%u=%g ", rep, value), DL_OK);
}

void dl_columnar_put_str(dl_columnar_writer *w, size_t leaf, unsigned rep, dl_str value)
{
    dl_buf *b = record_leaf(w, leaf);
    TAP_STATUS(dl_buf_printf(b, NULL, "%u=", rep), DL_OK);
    TAP_STATUS(dl_buf_append_str(b, value, NULL), DL_OK);
    TAP_STATUS(dl_buf_append_char(b, ' ', NULL), DL_OK);
}

dl_status dl_columnar_row_end(dl_columnar_writer *w, dl_error *err)
{
    for (size_t i = 0; i < w->leaf_count; i++) {
        if (w->leaves[i].len == 0) {
            return dl_error_set(err, DL_E_INVALID, "leaf %zu got no entry", i);
        }
    }
    w->rows++;
    return DL_OK;
}

static inline DL_UNUSED void record_init(dl_columnar_writer *w, size_t leaf_count)
{
    *w = (dl_columnar_writer){.leaf_count = leaf_count};
    for (size_t i = 0; i < RECORD_LEAVES; i++) {
        dl_buf_init(&w->leaves[i], RECORD_LIMIT_BYTES);
    }
}

static inline DL_UNUSED void record_clear(dl_columnar_writer *w)
{
    for (size_t i = 0; i < RECORD_LEAVES; i++) {
        dl_buf_clear(&w->leaves[i]);
    }
}

static inline DL_UNUSED dl_str record_text(const dl_columnar_writer *w, size_t leaf)
{
    dl_str text = dl_buf_str(&w->leaves[leaf]);
    return text.len > 0 ? dl_str_slice(text, 0, text.len - 1) : DL_STR("");
}

/* ---- columns ---- */

static const dl_columnar_field string_element[] = {
    {.name = {"element", 7}, .type = DL_COLUMNAR_STRING}};
static const dl_columnar_field entry_value[] = {
    {.name = {"vr", 2}, .type = DL_COLUMNAR_STRING},
    {.name = {"Value", 5}, .type = DL_COLUMNAR_LIST, .children = string_element, .child_count = 1}};
static const dl_columnar_field entry_value_swapped[] = {
    {.name = {"value", 5}, .type = DL_COLUMNAR_LIST, .children = string_element, .child_count = 1},
    {.name = {"VR", 2}, .type = DL_COLUMNAR_STRING}};
static const dl_columnar_field map_entry[] = {
    {.name = {"key", 3}, .type = DL_COLUMNAR_STRING, .required = true},
    {.name = {"value", 5}, .type = DL_COLUMNAR_STRUCT, .children = entry_value, .child_count = 2}};
static const dl_columnar_field map_entry_swapped[] = {
    {.name = {"key", 3}, .type = DL_COLUMNAR_STRING, .required = true},
    {.name = {"value", 5},
     .type = DL_COLUMNAR_STRUCT,
     .children = entry_value_swapped,
     .child_count = 2}};

/** "name type" with type string, long, int, double, date, timestamp, boolean, list, map, swapped;
 * behind it "!" for NOT NULL, "/" for a partition column. */
static inline DL_UNUSED dl_delta_column column_of(const char *text)
{
    dl_str rest = dl_str_of(text), name = DL_STR_NONE, type = DL_STR_NONE, mark = DL_STR_NONE;
    (void)dl_str_next(&rest, ' ', &name);
    (void)dl_str_next(&rest, ' ', &type);
    bool marked = dl_str_next(&rest, ' ', &mark);
    static const struct {
        const char *word;
        dl_columnar_field field;
    } types[] = {
        {"string", {.type = DL_COLUMNAR_STRING}},
        {"long", {.type = DL_COLUMNAR_INT64}},
        {"int", {.type = DL_COLUMNAR_INT32}},
        {"double", {.type = DL_COLUMNAR_DOUBLE}},
        {"date", {.type = DL_COLUMNAR_DATE}},
        {"timestamp", {.type = DL_COLUMNAR_TIMESTAMP}},
        {"boolean", {.type = DL_COLUMNAR_BOOL}},
        {"list", {.type = DL_COLUMNAR_LIST, .children = string_element, .child_count = 1}},
        {"map", {.type = DL_COLUMNAR_MAP, .children = map_entry, .child_count = 2}},
        {"swapped", {.type = DL_COLUMNAR_MAP, .children = map_entry_swapped, .child_count = 2}},
    };
    dl_delta_column column = {.name = name,
                              .nullable = !(marked && mark.ptr[0] == '!'),
                              .partition = marked && mark.ptr[0] == '/',
                              .type_json = type};
    for (size_t i = 0; i < DL_COUNT_OF(types); i++) {
        if (dl_str_eq(type, dl_str_of(types[i].word))) {
            column.field = types[i].field;
        }
    }
    column.field.name = name;
    return column;
}

static inline DL_UNUSED size_t leaves_of_column(const dl_delta_column *column)
{
    return column->partition ? 0 : column->field.type == DL_COLUMNAR_MAP ? 3 : 1;
}

#endif
