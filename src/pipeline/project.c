/* The columns of the three tables. docs/tables.md says the same in words. */
#include "pipeline/project_internal.h"

#include "base/mem.h"
#include "dict/dict.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_LIMIT_BYTES = 4 * 1024 * 1024, SCHEMA_LIMIT_BYTES = 1024 * 1024 };

#define S DL_COLUMNAR_STRING
#define D DL_COLUMNAR_DATE
#define T DL_COLUMNAR_TIMESTAMP
#define L DL_COLUMNAR_INT64

/* clang-format off */
static const dl_project_column instance_r4[] = {
    {"partitionName",                   S, DL_PROJECT_PARTITION, 0, false, NULL},
    {"studyinstanceuid",                S, DL_PROJECT_STUDY_UID, 0, true, NULL},
    {"seriesinstanceuid",               S, DL_PROJECT_SERIES_UID, 0, true, NULL},
    {"sopinstanceuid",                  S, DL_PROJECT_SOP_UID, 0, true, NULL},
    {"lastModifiedTimestamp",           T, DL_PROJECT_TIME, 0, true, NULL},
    {"studydate",                       S, DL_PROJECT_FIRST, 0x00080020, true, NULL},
    {"studydate_formatted",             D, DL_PROJECT_FIRST, 0x00080020, true, NULL},
    {"studydescription",                S, DL_PROJECT_FIRST, 0x00081030, false, NULL},
    {"issuerofpatientid",               S, DL_PROJECT_FIRST, 0x00100021, true, NULL},
    {"patientid",                       S, DL_PROJECT_FIRST, 0x00100020, true, NULL},
    {"patientname",                     S, DL_PROJECT_NAME, 0x00100010, true, NULL},
    {"modality",                        S, DL_PROJECT_FIRST, 0x00080060, true, NULL},
    {"sopclassuid",                     S, DL_PROJECT_FIRST, 0x00080016, true, NULL},
    {"filepath",                        S, DL_PROJECT_FILE_PATH, 0, false, NULL},
    {"metadata",                        DL_COLUMNAR_MAP, DL_PROJECT_METADATA, 0, false, NULL},
    {"metadata_string",                 S, DL_PROJECT_METADATA_TEXT, 0, false, NULL},
    {"created_date",                    T, DL_PROJECT_CREATED, 0, true, NULL},
    {"patientbirthdate",                S, DL_PROJECT_FIRST, 0x00100030, true, NULL},
    {"accessionnumber",                 S, DL_PROJECT_FIRST, 0x00080050, true, NULL},
    {"referringphysicianname",          S, DL_PROJECT_NAME, 0x00080090, false, NULL},
    {"modalitiesinstudy",               S, DL_PROJECT_FIRST, 0x00080061, false, NULL},
    {"performedprocedurestepstartdate", S, DL_PROJECT_FIRST, 0x00400244, true, NULL},
    {"manufacturermodelname",           S, DL_PROJECT_FIRST, 0x00081090, true, NULL},
    {"studytime",                       S, DL_PROJECT_FIRST, 0x00080030, false, NULL},
    {"timezoneoffsetfromutc",           S, DL_PROJECT_FIRST, 0x00080201, false, NULL},
    {"numberofstudyrelatedseries",      S, DL_PROJECT_FIRST, 0x00201206, false, NULL},
    {"numberofstudyrelatedinstances",   S, DL_PROJECT_FIRST, 0x00201208, false, NULL},
    {"seriesnumber",                    S, DL_PROJECT_FIRST, 0x00200011, false, NULL},
    {"seriesdescription",               S, DL_PROJECT_FIRST, 0x0008103e, false, NULL},
    {"numberofseriesrelatedinstances",  S, DL_PROJECT_FIRST, 0x00201209, false, NULL},
    {"bodypartexamined",                S, DL_PROJECT_FIRST, 0x00180015, true, NULL},
    {"laterality",                      S, DL_PROJECT_FIRST, 0x00200060, false, NULL},
    {"seriesdate",                      S, DL_PROJECT_FIRST, 0x00080021, true, NULL},
    {"seriestime",                      S, DL_PROJECT_FIRST, 0x00080031, false, NULL},
    {"instancenumber",                  S, DL_PROJECT_FIRST, 0x00200013, false, NULL},
    {"documenttitle",                   S, DL_PROJECT_FIRST, 0x00420010, false, NULL},
};

static const dl_project_column instance_r2[] = {
    {"partitionName",         S, DL_PROJECT_PARTITION, 0, false, NULL},
    {"studyInstanceUid",      S, DL_PROJECT_STUDY_UID, 0, true, NULL},
    {"seriesInstanceUid",     S, DL_PROJECT_SERIES_UID, 0, true, NULL},
    {"sopInstanceUid",        S, DL_PROJECT_SOP_UID, 0, true, NULL},
    {"lastModifiedTimestamp", T, DL_PROJECT_TIME, 0, true, NULL},
    {"studyDate",             D, DL_PROJECT_FIRST, 0x00080020, true, NULL},
    {"studyDescription",      S, DL_PROJECT_FIRST, 0x00081030, false, NULL},
    {"issuerOfPatientId",     S, DL_PROJECT_FIRST, 0x00100021, true, NULL},
    {"patientId",             S, DL_PROJECT_FIRST, 0x00100020, true, NULL},
    {"patientName",           S, DL_PROJECT_NAME, 0x00100010, true, NULL},
    {"modality",              S, DL_PROJECT_FIRST, 0x00080060, true, NULL},
    {"sopClassUid",           S, DL_PROJECT_FIRST, 0x00080016, true, NULL},
    {"filePath",              S, DL_PROJECT_FILE_PATH, 0, false, NULL},
};

static const dl_project_column series_columns[] = {
    {"partitionName",         S, DL_PROJECT_PARTITION, 0, false, NULL},
    {"studyInstanceUid",      S, DL_PROJECT_STUDY_UID, 0, true, NULL},
    {"seriesInstanceUid",     S, DL_PROJECT_SERIES_UID, 0, true, NULL},
    {"lastModifiedTimestamp", T, DL_PROJECT_TIME, 0, true, NULL},
    {"studyDate",             D, DL_PROJECT_SHOWN, 0x00080020, true, NULL},
    {"studyDescription",      S, DL_PROJECT_SHOWN, 0x00081030, false, NULL},
    {"issuerOfPatientId",     S, DL_PROJECT_SHOWN, 0x00100021, true, NULL},
    {"patientId",             S, DL_PROJECT_SHOWN, 0x00100020, true, NULL},
    {"patientName",           S, DL_PROJECT_SHOWN, 0x00100010, true, NULL},
    {"modality",              S, DL_PROJECT_SHOWN, 0x00080060, true, NULL},
    {"instanceCount",         L, DL_PROJECT_INSTANCE_COUNT, 0, true, NULL},
};

static const dl_project_column study_columns[] = {
    {"partitionName",         S, DL_PROJECT_PARTITION, 0, false, NULL},
    {"studyInstanceUid",      S, DL_PROJECT_STUDY_UID, 0, true, NULL},
    {"lastModifiedTimestamp", T, DL_PROJECT_TIME, 0, true, NULL},
    {"studyDate",             D, DL_PROJECT_SHOWN, 0x00080020, true, NULL},
    {"studyDescription",      S, DL_PROJECT_SHOWN, 0x00081030, false, NULL},
    {"issuerOfPatientId",     S, DL_PROJECT_SHOWN, 0x00100021, true, NULL},
    {"patientId",             S, DL_PROJECT_SHOWN, 0x00100020, true, NULL},
    {"patientName",           S, DL_PROJECT_SHOWN, 0x00100010, true, NULL},
    {"seriesCount",           L, DL_PROJECT_SERIES_COUNT, 0, true, NULL},
    {"instanceCount",         L, DL_PROJECT_INSTANCE_COUNT, 0, true, NULL},
};
/* clang-format on */
#undef S
#undef D
#undef T
#undef L

dl_project_columns dl_project_profile(dl_pipeline_profile profile, dl_state_kind kind)
{
    switch (kind) {
    case DL_STATE_SERIES:
        return (dl_project_columns){series_columns, DL_COUNT_OF(series_columns)};
    case DL_STATE_STUDY:
        return (dl_project_columns){study_columns, DL_COUNT_OF(study_columns)};
    case DL_STATE_INSTANCE:
    default:
        return profile == DL_PIPELINE_TEMPLATE_R2
                   ? (dl_project_columns){instance_r2, DL_COUNT_OF(instance_r2)}
                   : (dl_project_columns){instance_r4, DL_COUNT_OF(instance_r4)};
    }
}

/* ---- creation ---- */

static dl_status check_new_name(const dl_project_column *columns, size_t count, const char *name,
                                dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(dl_str_of(columns[i].name), dl_str_of(name))) {
            (void)dl_error_set(err, DL_E_INVALID, "column '%s': there is already a column '%s'",
                               name, columns[i].name);
            dl_error_hint(err, "give it another name (names differ in more than case)");
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}

static dl_status add_configured(dl_project *project, const char *const *columns, size_t count,
                                dl_error *err)
{
    if (count > DL_PROJECT_COLUMN_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "%zu configured columns exceed %d", count,
                            DL_PROJECT_COLUMN_LIMIT);
    }
    dl_project_columns base = project->tables[DL_STATE_INSTANCE];
    dl_project_column *all = dl_arena_alloc(project->arena, base.count + count, sizeof *all);
    if (all == NULL) {
        return dl_arena_full(project->arena, err);
    }
    memcpy(all, base.items, base.count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        dl_project_column column = {0};
        DL_TRY(dl_project_configured(project->arena, columns[i], &column, err));
        DL_TRY(check_new_name(all, base.count + i, column.name, err));
        all[base.count + i] = column;
    }
    project->tables[DL_STATE_INSTANCE] = (dl_project_columns){all, base.count + count};
    return DL_OK;
}

dl_status dl_project_create(dl_pipeline_profile profile, const char *const *columns,
                            size_t column_count, dl_project **out_project, dl_error *err)
{
    DL_AUTO(dl_project) project = dl_mem_zalloc(1, sizeof *project);
    if (project != NULL) {
        project->arena = dl_arena_create(ARENA_LIMIT_BYTES);
    }
    if (project == NULL || project->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "projection: out of memory");
    }
    project->profile =
        profile == DL_PIPELINE_TEMPLATE_R2 ? DL_PIPELINE_TEMPLATE_R2 : DL_PIPELINE_TEMPLATE_R4;
    for (dl_state_kind kind = DL_STATE_INSTANCE; kind <= DL_STATE_STUDY; kind++) {
        project->tables[kind] = dl_project_profile(project->profile, kind);
    }
    DL_TRY(add_configured(project, columns, column_count, err));
    *out_project = DL_STEAL(project);
    return DL_OK;
}

void dl_project_destroy(dl_project *project)
{
    if (project != NULL) {
        dl_arena_destroy(project->arena);
        dl_mem_free(project);
    }
}

/* ---- schema ---- */

static void tag_text(uint32_t tag, char out[96])
{
    const dl_dict_entry *entry = dl_dict_find(tag);
    (void)snprintf(out, 96, "(%04X,%04X)%s%s", (unsigned)(tag >> 16), (unsigned)(tag & 0xffff),
                   entry == NULL ? "" : " ", entry == NULL ? "" : entry->keyword);
}

static dl_status path_comment(const dl_project_path *path, dl_columnar_type type, dl_buf *out,
                              dl_error *err)
{
    char text[96];
    for (size_t i = 0; i < path->count; i++) {
        tag_text(path->tags[i], text);
        DL_TRY(dl_buf_printf(out, err, "%s%s", i == 0 ? "" : ", first item: ", text));
    }
    if (type == DL_COLUMNAR_LIST) {
        DL_TRY(dl_buf_printf(out, err, ", all values"));
    } else {
        DL_TRY(dl_buf_printf(out, err, ", value %zu", path->index + 1));
    }
    return path->component == NULL ? DL_OK : dl_buf_printf(out, err, ", %s", path->component);
}

/** Where a column comes from, in words. */
static dl_status comment(const dl_project_column *column, dl_state_kind kind, dl_buf *out,
                         dl_error *err)
{
    char text[96];
    tag_text(column->tag, text);
    const char *last = kind == DL_STATE_STUDY ? "series" : "instance";
    switch (column->from) {
    case DL_PROJECT_PARTITION:
        return dl_buf_printf(out, err, "partition of the DICOM service");
    case DL_PROJECT_STUDY_UID:
        return dl_buf_printf(out, err, "(0020,000D) StudyInstanceUID");
    case DL_PROJECT_SERIES_UID:
        return dl_buf_printf(out, err, "(0020,000E) SeriesInstanceUID");
    case DL_PROJECT_SOP_UID:
        return dl_buf_printf(out, err, "(0008,0018) SOPInstanceUID");
    case DL_PROJECT_TIME:
        return kind == DL_STATE_INSTANCE
                   ? dl_buf_printf(out, err, "time of the change that made the row, UTC")
                   : dl_buf_printf(out, err, "that of the %s last modified, UTC", last);
    case DL_PROJECT_CREATED:
        return dl_buf_printf(out, err, "time of the change that first made the instance, UTC");
    case DL_PROJECT_FILE_PATH:
        return dl_buf_printf(out, err, "file path that the change feed gave");
    case DL_PROJECT_METADATA:
        return dl_buf_printf(out, err, "all attributes by tag");
    case DL_PROJECT_METADATA_TEXT:
        return dl_buf_printf(out, err, "all attributes as DICOM JSON");
    case DL_PROJECT_FIRST:
        return dl_buf_printf(out, err, column->type == DL_COLUMNAR_DATE ? "%s, as a date" : "%s",
                             text);
    case DL_PROJECT_NAME:
        return dl_buf_printf(out, err, "%s, Alphabetic", text);
    case DL_PROJECT_CONFIGURED:
        return path_comment(column->path, column->type, out, err);
    case DL_PROJECT_SHOWN:
        return dl_buf_printf(out, err, "%s of the %s last modified", text, last);
    case DL_PROJECT_SERIES_COUNT:
        return dl_buf_printf(out, err, "series in the study");
    case DL_PROJECT_INSTANCE_COUNT:
        return dl_buf_printf(out, err, "instances in the %s",
                             kind == DL_STATE_STUDY ? "study" : "series");
    default:
        return DL_OK;
    }
}

static const char *type_json(dl_columnar_type type)
{
    switch ((int)type) {
    case DL_COLUMNAR_INT64:
        return "\"long\"";
    case DL_COLUMNAR_DOUBLE:
        return "\"double\"";
    case DL_COLUMNAR_DATE:
        return "\"date\"";
    case DL_COLUMNAR_TIMESTAMP:
        return "\"timestamp\"";
    case DL_COLUMNAR_BOOL:
        return "\"boolean\"";
    case DL_COLUMNAR_LIST:
        return "{\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":true}";
    case DL_COLUMNAR_MAP:
        return "{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":{\"type\":\"struct\","
               "\"fields\":[{\"name\":\"vr\",\"type\":\"string\",\"nullable\":true,"
               "\"metadata\":{}},{\"name\":\"Value\",\"type\":{\"type\":\"array\","
               "\"elementType\":\"string\",\"containsNull\":true},\"nullable\":true,"
               "\"metadata\":{}}]},\"valueContainsNull\":true}";
    default:
        return "\"string\"";
    }
}

static void write_column(dl_json_writer *w, const dl_project_column *column, dl_str words)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, dl_str_of(column->name));
    dl_json_key(w, DL_STR("type"));
    dl_json_raw(w, dl_str_of(type_json(column->type)));
    dl_json_key(w, DL_STR("nullable"));
    dl_json_bool(w, true);
    dl_json_key(w, DL_STR("metadata"));
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("comment"));
    dl_json_string(w, words);
    dl_json_object_end(w);
    dl_json_object_end(w);
}

dl_status dl_project_schema(const dl_project *project, dl_state_kind kind, dl_arena *arena,
                            dl_str *out_json, dl_error *err)
{
    DL_AUTO_BUF json;
    DL_AUTO_BUF words;
    dl_buf_init(&json, SCHEMA_LIMIT_BYTES);
    dl_buf_init(&words, SCHEMA_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &json, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("type"));
    dl_json_string(&w, DL_STR("struct"));
    dl_json_key(&w, DL_STR("fields"));
    dl_json_array_begin(&w);
    dl_project_columns columns = project->tables[kind];
    for (size_t i = 0; i < columns.count; i++) {
        dl_buf_reset(&words);
        DL_TRY(comment(&columns.items[i], kind, &words, err));
        write_column(&w, &columns.items[i], dl_buf_str(&words));
    }
    dl_json_array_end(&w);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&json), out_json, err);
}

dl_status dl_project_stats_columns(const dl_project *project, dl_state_kind kind, dl_arena *arena,
                                   dl_str *out_text, dl_error *err)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, SCHEMA_LIMIT_BYTES);
    dl_project_columns columns = project->tables[kind];
    for (size_t i = 0; i < columns.count; i++) {
        if (columns.items[i].stats) {
            DL_TRY(
                dl_buf_printf(&text, err, "%s%s", text.len == 0 ? "" : ",", columns.items[i].name));
        }
    }
    return dl_arena_copy(arena, dl_buf_str(&text), out_text, err);
}

/* ---- recognising ---- */

static const dl_delta_column *column_called(const dl_delta_column *columns, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(columns[i].name, dl_str_of(name))) {
            return &columns[i];
        }
    }
    return NULL;
}

bool dl_project_recognise(const dl_delta_column *columns, size_t count,
                          dl_pipeline_profile *out_profile)
{
    for (size_t i = 0; i < DL_COUNT_OF(instance_r2); i++) {
        if (instance_r2[i].from <= DL_PROJECT_TIME &&
            column_called(columns, count, instance_r2[i].name) == NULL) {
            return false;
        }
    }
    const dl_delta_column *date = column_called(columns, count, "studydate");
    if (date == NULL ||
        (date->field.type != DL_COLUMNAR_STRING && date->field.type != DL_COLUMNAR_DATE)) {
        return false;
    }
    *out_profile =
        date->field.type == DL_COLUMNAR_DATE ? DL_PIPELINE_TEMPLATE_R2 : DL_PIPELINE_TEMPLATE_R4;
    return true;
}
