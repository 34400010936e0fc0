#include "project_rig.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

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

void record_init(dl_columnar_writer *w, size_t leaf_count)
{
    *w = (dl_columnar_writer){.leaf_count = leaf_count};
    for (size_t i = 0; i < RECORD_LEAVES; i++) {
        dl_buf_init(&w->leaves[i], RECORD_LIMIT_BYTES);
    }
}

void record_clear(dl_columnar_writer *w)
{
    for (size_t i = 0; i < RECORD_LEAVES; i++) {
        dl_buf_clear(&w->leaves[i]);
    }
}

dl_str record_text(const dl_columnar_writer *w, size_t leaf)
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

dl_delta_column column_of(const char *text)
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

static size_t leaves_of_column(const dl_delta_column *column)
{
    return column->partition ? 0 : column->field.type == DL_COLUMNAR_MAP ? 3 : 1;
}

const char *const r4[] = {
    "partitionName string /",
    "studyinstanceuid string",
    "seriesinstanceuid string",
    "sopinstanceuid string",
    "lastModifiedTimestamp timestamp",
    "studydate string",
    "studydate_formatted date",
    "studydescription string",
    "issuerofpatientid string",
    "patientid string",
    "patientname string",
    "modality string",
    "sopclassuid string",
    "filepath string",
    "metadata map",
    "metadata_string string",
    "created_date timestamp",
    "patientbirthdate string",
    "accessionnumber string",
    "referringphysicianname string",
    "modalitiesinstudy string",
    "performedprocedurestepstartdate string",
    "manufacturermodelname string",
    "studytime string",
    "timezoneoffsetfromutc string",
    "numberofstudyrelatedseries string",
    "numberofstudyrelatedinstances string",
    "seriesnumber string",
    "seriesdescription string",
    "numberofseriesrelatedinstances string",
    "bodypartexamined string",
    "laterality string",
    "seriesdate string",
    "seriestime string",
    "instancenumber string",
    "documenttitle string",
};
const char *const r2[] = {
    "partitionName string /",
    "studyInstanceUid string",
    "seriesInstanceUid string",
    "sopInstanceUid string",
    "lastModifiedTimestamp timestamp",
    "studyDate date",
    "studyDescription string",
    "issuerOfPatientId string",
    "patientId string",
    "patientName string",
    "modality string",
    "sopClassUid string",
    "filePath string",
};
const char *const series_table[] = {
    "partitionName string /",   "studyInstanceUid string",
    "seriesInstanceUid string", "lastModifiedTimestamp timestamp",
    "studyDate date",           "studyDescription string",
    "issuerOfPatientId string", "patientId string",
    "patientName string",       "modality string",
    "instanceCount long",
};
const char *const study_table[] = {
    "partitionName string /", "studyInstanceUid string", "lastModifiedTimestamp timestamp",
    "studyDate date",         "studyDescription string", "issuerOfPatientId string",
    "patientId string",       "patientName string",      "seriesCount long",
    "instanceCount long",
};

/* ---- rows ---- */

void rig_columns(rig *r, list table)
{
    size_t leaf = 0;
    r->count = table.count;
    for (size_t i = 0; i < table.count; i++) {
        r->columns[i] = column_of(table.texts[i]);
        r->leaves[i] = leaf;
        leaf += leaves_of_column(&r->columns[i]);
    }
    record_init(r->writer, leaf);
}

void rig_open(rig *r, dl_pipeline_profile profile, dl_state_kind kind, list table, list configured)
{
    dl_error err = {0};
    *r = (rig){.arena = dl_arena_create((size_t)1 << 30), .writer = calloc(1, sizeof *r->writer)};
    TAP_TRUE(r->arena != NULL && r->writer != NULL);
    rig_columns(r, table);
    TAP_OK(dl_project_create(profile, configured.texts, configured.count, &r->project, &err), err);
    TAP_OK(dl_project_bind(r->project, kind, r->columns, r->count, &r->binding, &err), err);
}

void rig_close(rig *r)
{
    record_clear(r->writer);
    free(r->writer);
    dl_project_binding_destroy(r->binding);
    dl_project_destroy(r->project);
    dl_arena_destroy(r->arena);
}

dl_str rig_text(const rig *r, const char *column)
{
    for (size_t i = 0; i < r->count; i++) {
        if (dl_str_eq(r->columns[i].name, dl_str_of(column))) {
            return record_text(r->writer, r->leaves[i]);
        }
    }
    return DL_STR("no such column");
}

const dl_feed_entry entry_a = {
    .sequence = 7,
    .timestamp_us = 1000001,
    .partition_name = {"p", 1},
    .study_uid = {"1.2", 3},
    .series_uid = {"1.2.3", 5},
    .sop_uid = {"1.2.3.4", 7},
    .file_path = {"AHDS/x.dcm", 10},
};

dl_status rig_put(rig *r, const dl_feed_entry *entry, dl_str metadata, dl_error *err)
{
    dl_project_change change = {.entry = entry, .created_us = 999};
    if (metadata.ptr != NULL) {
        DL_TRY(dl_feed_attributes(metadata, r->arena, &change.attributes, &change.attribute_count,
                                  &change.compact, err));
    }
    return dl_project_put_instance(r->binding, r->writer, &change, r->arena, err);
}
