#include "project_fixture.h"

#include "pipeline/project_internal.h"
#include "json/json.h"

#include <stdlib.h>

/* What the tables must be: spec of the template, profile r4. */
static const char *const r4[] = {
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
static const char *const r2[] = {
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
static const char *const series_table[] = {
    "partitionName string /",   "studyInstanceUid string",
    "seriesInstanceUid string", "lastModifiedTimestamp timestamp",
    "studyDate date",           "studyDescription string",
    "issuerOfPatientId string", "patientId string",
    "patientName string",       "modality string",
    "instanceCount long",
};
static const char *const study_table[] = {
    "partitionName string /", "studyInstanceUid string", "lastModifiedTimestamp timestamp",
    "studyDate date",         "studyDescription string", "issuerOfPatientId string",
    "patientId string",       "patientName string",      "seriesCount long",
    "instanceCount long",
};

typedef struct list {
    const char *const *texts;
    size_t count;
} list;
#define LIST(array) ((list){(array), DL_COUNT_OF(array)})

enum { COLUMNS = 350 };

/** A project, a table's columns, a binding and a writer. */
typedef struct rig {
    dl_arena *arena;
    dl_project *project;
    dl_project_binding *binding;
    dl_columnar_writer *writer;
    dl_delta_column columns[COLUMNS];
    size_t count;
    size_t leaves[COLUMNS];
} rig;

static void rig_columns(rig *r, list table)
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

static void rig_open(rig *r, dl_pipeline_profile profile, dl_state_kind kind, list table,
                     list configured)
{
    dl_error err = {0};
    *r = (rig){.arena = dl_arena_create((size_t)1 << 30), .writer = calloc(1, sizeof *r->writer)};
    TAP_TRUE(r->arena != NULL && r->writer != NULL);
    rig_columns(r, table);
    TAP_OK(dl_project_create(profile, configured.texts, configured.count, &r->project, &err), err);
    TAP_OK(dl_project_bind(r->project, kind, r->columns, r->count, &r->binding, &err), err);
}

static void rig_close(rig *r)
{
    record_clear(r->writer);
    free(r->writer);
    dl_project_binding_destroy(r->binding);
    dl_project_destroy(r->project);
    dl_arena_destroy(r->arena);
}

static dl_str rig_text(const rig *r, const char *column)
{
    for (size_t i = 0; i < r->count; i++) {
        if (dl_str_eq(r->columns[i].name, dl_str_of(column))) {
            return record_text(r->writer, r->leaves[i]);
        }
    }
    return DL_STR("no such column");
}

static const dl_feed_entry entry_a = {
    .sequence = 7,
    .timestamp_us = 1000001,
    .partition_name = {"p", 1},
    .study_uid = {"1.2", 3},
    .series_uid = {"1.2.3", 5},
    .sop_uid = {"1.2.3.4", 7},
    .file_path = {"AHDS/x.dcm", 10},
};

static dl_status rig_put(rig *r, const dl_feed_entry *entry, dl_str metadata, dl_error *err)
{
    dl_project_change change = {.entry = entry, .created_us = 999};
    if (metadata.ptr != NULL) {
        DL_TRY(dl_feed_attributes(metadata, r->arena, &change.attributes, &change.attribute_count,
                                  &change.compact, err));
    }
    return dl_project_put_instance(r->binding, r->writer, &change, r->arena, err);
}

/* ---- schemas ---- */

static void check_schema(dl_pipeline_profile profile, dl_state_kind kind, list want)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO(dl_project) project = NULL;
    TAP_OK(dl_project_create(profile, NULL, 0, &project, &err), err);
    dl_str json = DL_STR_NONE, fields = DL_STR_NONE, field = DL_STR_NONE, value = DL_STR_NONE;
    TAP_OK(dl_project_schema(project, kind, arena, &json, &err), err);
    TAP_OK(dl_json_check(json, &err), err);
    TAP_TRUE(dl_json_get(json, DL_STR("fields"), &fields));
    dl_json_iter iter = dl_json_iter_of(fields);
    size_t i = 0;
    for (; dl_json_next_element(&iter, &field); i++) {
        dl_delta_column column = column_of(i < want.count ? want.texts[i] : "none none");
        dl_str text = DL_STR_NONE;
        TAP_TRUE(dl_json_get(field, DL_STR("name"), &value));
        TAP_OK(dl_json_text(value, arena, &text, &err), err);
        TAP_TRUE(dl_str_eq(text, column.name));
        TAP_TRUE(dl_json_get(field, DL_STR("type"), &value));
        if (column.field.type == DL_COLUMNAR_MAP) {
            TAP_EQ_STR(value, "{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":{\"type\":"
                              "\"struct\",\"fields\":[{\"name\":\"vr\",\"type\":\"string\","
                              "\"nullable\":true,\"metadata\":{}},{\"name\":\"Value\",\"type\":{"
                              "\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":"
                              "true},\"nullable\":true,\"metadata\":{}}]},\"valueContainsNull\":"
                              "true}");
        } else {
            TAP_OK(dl_json_text(value, arena, &text, &err), err);
            TAP_TRUE(dl_str_eq(text, column.type_json));
        }
        TAP_TRUE(dl_json_get(field, DL_STR("nullable"), &value) &&
                 dl_str_eq(value, DL_STR("true")));
        TAP_TRUE(dl_json_get(field, DL_STR("metadata"), &value) &&
                 dl_json_get(value, DL_STR("comment"), &text) && text.len > 8);
    }
    TAP_EQ_INT(i, want.count);
}

TAP_CASE(the_tables_have_the_templates_columns)
{
    TAP_EQ_INT(DL_COUNT_OF(r4), 36);
    TAP_EQ_INT(DL_COUNT_OF(r2), 13);
    check_schema(DL_PIPELINE_AUTO, DL_STATE_INSTANCE, LIST(r4));
    check_schema(DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4));
    check_schema(DL_PIPELINE_TEMPLATE_R2, DL_STATE_INSTANCE, LIST(r2));
    check_schema(DL_PIPELINE_TEMPLATE_R4, DL_STATE_SERIES, LIST(series_table));
    check_schema(DL_PIPELINE_TEMPLATE_R2, DL_STATE_STUDY, LIST(study_table));
}

TAP_CASE(statistics_are_kept_for_columns_worth_them)
{
    static const char *const columns[] = {"a=StationName:string", "b=ImageType:array<string>"};
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO(dl_project) project = NULL;
    dl_str text = DL_STR_NONE;
    TAP_OK(dl_project_create(DL_PIPELINE_AUTO, columns, 2, &project, &err), err);
    TAP_OK(dl_project_stats_columns(project, DL_STATE_INSTANCE, arena, &text, &err), err);
    TAP_TRUE(dl_str_starts(text, DL_STR("studyinstanceuid,seriesinstanceuid,sopinstanceuid,last")));
    TAP_TRUE(dl_str_ends(text, DL_STR(",a")));
    TAP_TRUE(dl_str_find_str(text, DL_STR("metadata")) < 0);
    TAP_TRUE(dl_str_find_str(text, DL_STR("partitionName")) < 0);
    TAP_OK(dl_project_stats_columns(project, DL_STATE_STUDY, arena, &text, &err), err);
    TAP_EQ_STR(text, "studyInstanceUid,lastModifiedTimestamp,studyDate,issuerOfPatientId,patientId,"
                     "patientName,seriesCount,instanceCount");
}

/* ---- instance rows ---- */

#define ONE(tag, vr, values) "{\"" tag "\":{\"vr\":\"" vr "\",\"Value\":[" values "]}}"

static const struct {
    const char *name, *metadata, *column, *want;
} instance_cases[] = {
    {"study UID", "{}", "studyinstanceuid", "0=1.2"},
    {"series UID", "{}", "seriesinstanceuid", "0=1.2.3"},
    {"SOP UID", "{}", "sopinstanceuid", "0=1.2.3.4"},
    {"time", "{}", "lastModifiedTimestamp", "0=1000001"},
    {"created", "{}", "created_date", "0=999"},
    {"file path", "{}", "filepath", "0=AHDS/x.dcm"},
    {"study date as text", ONE("00080020", "DA", "\"20260105\""), "studydate", "0=20260105"},
    {"study date", ONE("00080020", "DA", "\"20260105\""), "studydate_formatted", "0=20458"},
    {"a date that is none", ONE("00080020", "DA", "\"20260230\""), "studydate_formatted", "0~0"},
    {"a date that is none, as text", ONE("00080020", "DA", "\"20260230\""), "studydate",
     "0=20260230"},
    {"a date with blanks", ONE("00080020", "DA", "\"20260105 \""), "studydate_formatted", "0~0"},
    {"an old form of date", ONE("00080020", "DA", "\"2026.01.05\""), "studydate_formatted", "0~0"},
    {"a date as a number", ONE("00080020", "DA", "20260105"), "studydate_formatted", "0=20458"},
    {"a date as an object", ONE("00080020", "DA", "{\"a\":1}"), "studydate_formatted", "0~0"},
    {"study description", ONE("00081030", "LO", "\"x\""), "studydescription", "0=x"},
    {"issuer", ONE("00100021", "LO", "\"x\""), "issuerofpatientid", "0=x"},
    {"patient id", ONE("00100020", "LO", "\"x\",\"y\""), "patientid", "0=x"},
    {"modality", ONE("00080060", "CS", "\"CT\""), "modality", "0=CT"},
    {"SOP class", ONE("00080016", "UI", "\"1.2.840\""), "sopclassuid", "0=1.2.840"},
    {"birth date", ONE("00100030", "DA", "\"19700101\""), "patientbirthdate", "0=19700101"},
    {"accession number", ONE("00080050", "SH", "\"A1\""), "accessionnumber", "0=A1"},
    {"modalities", ONE("00080061", "CS", "\"CT\",\"SR\""), "modalitiesinstudy", "0=CT"},
    {"procedure step date", ONE("00400244", "DA", "\"20200101\""),
     "performedprocedurestepstartdate", "0=20200101"},
    {"model", ONE("00081090", "LO", "\"M\""), "manufacturermodelname", "0=M"},
    {"study time", ONE("00080030", "TM", "\"101500\""), "studytime", "0=101500"},
    {"time zone", ONE("00080201", "SH", "\"+0100\""), "timezoneoffsetfromutc", "0=+0100"},
    {"related series", ONE("00201206", "IS", "3"), "numberofstudyrelatedseries", "0=3"},
    {"related instances", ONE("00201208", "IS", "30"), "numberofstudyrelatedinstances", "0=30"},
    {"series number", ONE("00200011", "IS", "4"), "seriesnumber", "0=4"},
    {"series description", ONE("0008103E", "LO", "\"s\""), "seriesdescription", "0=s"},
    {"lower-case tag", ONE("0008103e", "LO", "\"s\""), "seriesdescription", "0=s"},
    {"instances of the series", ONE("00201209", "IS", "5"), "numberofseriesrelatedinstances",
     "0=5"},
    {"body part", ONE("00180015", "CS", "\"HEAD\""), "bodypartexamined", "0=HEAD"},
    {"laterality", ONE("00200060", "CS", "\"L\""), "laterality", "0=L"},
    {"series date", ONE("00080021", "DA", "\"20260106\""), "seriesdate", "0=20260106"},
    {"series time", ONE("00080031", "TM", "\"10\""), "seriestime", "0=10"},
    {"a number keeps its text", ONE("00200013", "IS", "1.50e2"), "instancenumber", "0=1.50e2"},
    {"document title", ONE("00420010", "ST", "\"T\""), "documenttitle", "0=T"},
    {"name", ONE("00100010", "PN", "{\"Alphabetic\":\"A^B\"}"), "patientname", "0=A^B"},
    {"referring physician", ONE("00080090", "PN", "{\"Ideographic\":\"x\",\"Alphabetic\":\"D\"}"),
     "referringphysicianname", "0=D"},
    {"a name with escapes", ONE("00100010", "PN", "{\"Alphabetic\":\"\\\"\\\\\\u00e9\\n\"}"),
     "patientname", "0=\"\\\xc3\xa9\n"},
    {"a name with a surrogate pair", ONE("00100010", "PN", "{\"Alphabetic\":\"\\ud83d\\ude00\"}"),
     "patientname", "0=\xf0\x9f\x98\x80"},
    {"a name without Alphabetic", ONE("00100010", "PN", "{\"Ideographic\":\"x\"}"), "patientname",
     "0~0"},
    {"Alphabetic is a number", ONE("00100010", "PN", "{\"Alphabetic\":7}"), "patientname", "0~0"},
    {"Alphabetic is null", ONE("00100010", "PN", "{\"Alphabetic\":null}"), "patientname", "0~0"},
    {"an empty Alphabetic", ONE("00100010", "PN", "{\"Alphabetic\":\"\"}"), "patientname", "0="},
    {"a name that is text", ONE("00100010", "PN", "\"A^B\""), "patientname", "0~0"},
    {"a name that is an array", ONE("00100010", "PN", "[{\"Alphabetic\":\"x\"}]"), "patientname",
     "0~0"},
    {"a name that only looks like an object", ONE("00100010", "PN", "\"{\\\"Alphabetic\\\":\\\"\""),
     "patientname", "0~0"},
    {"no name", ONE("00100010", "PN", ""), "patientname", "0~0"},
    {"the first name is null", ONE("00100010", "PN", "null,{\"Alphabetic\":\"B\"}"), "patientname",
     "0~0"},
    {"null", ONE("00100020", "LO", "null"), "patientid", "0~0"},
    {"null first", ONE("00100020", "LO", "null,\"x\""), "patientid", "0~0"},
    {"an empty text", ONE("00100020", "LO", "\"\""), "patientid", "0="},
    {"no values", ONE("00100020", "LO", ""), "patientid", "0~0"},
    {"no Value", "{\"00100020\":{\"vr\":\"LO\"}}", "patientid", "0~0"},
    {"bulk data", "{\"00100020\":{\"vr\":\"LO\",\"BulkDataURI\":\"http://x\"}}", "patientid",
     "0~0"},
    {"a boolean", ONE("00100020", "LO", "true"), "patientid", "0=true"},
    {"an object", ONE("00100020", "LO", "{ \"a\" : [1, 2] }"), "patientid", "0={\"a\":[1,2]}"},
    {"the text of all", "{\"00100020\" : { \"vr\":\"LO\" } }", "metadata_string",
     "0={\"00100020\":{\"vr\":\"LO\"}}"},
    {"the text of nothing", "{}", "metadata_string", "0={}"},
    {"an attribute beside", ONE("00100022", "LO", "\"x\""), "patientid", "0~0"},
    {"out of order",
     "{\"00420010\":{\"vr\":\"ST\",\"Value\":[\"t\"]},\"00100020\":{\"vr\":\"LO\","
     "\"Value\":[\"x\"]},\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}}",
     "modality", "0=CT"},
    {"a key that is no tag",
     "{\"Note\":{\"vr\":\"LO\",\"Value\":[\"n\"]},\"00100020\":{\"vr\":"
     "\"LO\",\"Value\":[\"x\"]}}",
     "patientid", "0=x"},
};

static void test_instance_cases(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(instance_cases); i++) {
        TAP_ROW_BEGIN();
        rig r;
        dl_error err = {0};
        rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
        TAP_OK(rig_put(&r, &entry_a, dl_str_of(instance_cases[i].metadata), &err), err);
        TAP_EQ_INT(r.writer->rows, 1);
        TAP_EQ_STR(rig_text(&r, instance_cases[i].column), instance_cases[i].want);
        rig_close(&r);
        TAP_ROW_END(instance_cases[i].name);
    }
}

TAP_CASE(r2_has_the_date_typed_and_names_of_its_own)
{
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R2, DL_STATE_INSTANCE, LIST(r2), (list){NULL, 0});
    dl_feed_entry entry = entry_a;
    entry.file_path = DL_STR_NONE;
    TAP_OK(rig_put(&r, &entry, DL_STR(ONE("00080020", "DA", "\"20260105\"")), &err), err);
    TAP_EQ_STR(rig_text(&r, "studyDate"), "0=20458");
    TAP_EQ_STR(rig_text(&r, "sopInstanceUid"), "0=1.2.3.4");
    TAP_EQ_STR(rig_text(&r, "filePath"), "0~0");
    TAP_EQ_STR(rig_text(&r, "modality"), "0~0");
    rig_close(&r);
}

TAP_CASE(a_text_of_a_megabyte)
{
    rig r;
    dl_error err = {0};
    enum { LEN = 1 << 20 };
    DL_AUTO_BUF text;
    dl_buf_init(&text, 2 * LEN);
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
    TAP_OK(
        dl_buf_append_str(
            &text, DL_STR("{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"\\n"), &err),
        err);
    TAP_OK(dl_buf_reserve(&text, LEN, &err), err);
    memset(text.ptr + text.len, 'n', LEN);
    text.len += LEN;
    TAP_OK(dl_buf_append_str(&text, DL_STR("\"}]}}"), &err), err);
    TAP_OK(rig_put(&r, &entry_a, dl_buf_str(&text), &err), err);
    TAP_EQ_INT(rig_text(&r, "patientname").len, LEN + 3);
    rig_close(&r);
}

TAP_CASE(half_a_surrogate_in_a_name_becomes_the_replacement_character)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str text = DL_STR_NONE;
    TAP_OK(dl_project_component(DL_STR("{\"Alphabetic\":\"a\\ud83d\"}"), "Alphabetic", arena, &text,
                                &err),
           err);
    TAP_EQ_STR(text, "a\xef\xbf\xbd");
}

/* ---- the map ---- */

static const struct {
    const char *name, *metadata, *keys, *vrs, *elements;
} map_cases[] = {
    {"no metadata", NULL, "0~0", "0~0", "0~0"},
    {"an empty map", "{}", "0~1", "0~1", "0~1"},
    {"no Value", "{\"00100020\":{\"vr\":\"LO\"}}", "0=00100020", "0=LO", "0~3"},
    {"no vr", "{\"00100020\":{\"Value\":[\"x\"]}}", "0=00100020", "0~3", "0=x"},
    {"an empty Value", ONE("00100020", "LO", ""), "0=00100020", "0=LO", "0~4"},
    {"values", ONE("00080008", "CS", "\"A\",null,\"B\""), "0=00080008", "0=CS", "0=A 2~5 2=B"},
    {"null alone", ONE("00080008", "CS", "null"), "0=00080008", "0=CS", "0~5"},
    {"other kinds are JSON text", ONE("00080008", "XX", "1.5,true,{\"a\":[ ]},[\"\\n\"]"),
     "0=00080008", "0=XX", "0=1.5 2=true 2={\"a\":[]} 2=[\"\\n\"]"},
    {"two attributes",
     "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"u\",\"v\"]},\"00080060\":{\"vr\":\"CS\"}}",
     "0=00080005 1=00080060", "0=CS 1=CS", "0=u 2=v 1~3"},
};

static void test_map_cases(void)
{
    for (size_t i = 0; i < 2 * DL_COUNT_OF(map_cases); i++) {
        TAP_ROW_BEGIN();
        rig r;
        dl_error err = {0};
        size_t at = i / 2, swapped = i % 2;
        const char *columns[DL_COUNT_OF(r4)];
        memcpy((void *)columns, (const void *)r4, sizeof r4);
        columns[14] = swapped != 0 ? "METADATA swapped" : "metadata map";
        rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(columns), (list){NULL, 0});
        TAP_OK(rig_put(&r, &entry_a, dl_str_of(map_cases[at].metadata), &err), err);
        size_t leaf = r.leaves[14];
        TAP_EQ_STR(record_text(r.writer, leaf), map_cases[at].keys);
        TAP_EQ_STR(record_text(r.writer, leaf + (swapped != 0 ? 2 : 1)), map_cases[at].vrs);
        TAP_EQ_STR(record_text(r.writer, leaf + (swapped != 0 ? 1 : 2)), map_cases[at].elements);
        rig_close(&r);
        TAP_ROW_END(map_cases[at].name);
    }
}

TAP_CASE(of_a_key_twice_the_last_one_stays)
{
    static const dl_str x = {"x", 1}, y = {"y", 1}, z = {"z", 1};
    const dl_feed_attribute attributes[] = {
        {.tag = {"00100020", 8},
         .vr = {"LO", 2},
         .values = &x,
         .value_count = 1,
         .has_value = true},
        {.tag = {"00080060", 8},
         .vr = {"CS", 2},
         .values = &y,
         .value_count = 1,
         .has_value = true},
        {.tag = {"00100020", 8},
         .vr = {"SH", 2},
         .values = &z,
         .value_count = 1,
         .has_value = true},
        {.tag = {"", 0}},
        {.tag = {"", 0}, .vr = {"UN", 2}},
    };
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
    dl_project_change change = {&entry_a, attributes, DL_COUNT_OF(attributes), DL_STR("{}"), 1};
    TAP_OK(dl_project_put_instance(r.binding, r.writer, &change, r.arena, &err), err);
    size_t leaf = r.leaves[14];
    TAP_EQ_STR(record_text(r.writer, leaf), "0=00080060 1=00100020 1=");
    TAP_EQ_STR(record_text(r.writer, leaf + 1), "0=CS 1=SH 1=UN");
    TAP_EQ_STR(record_text(r.writer, leaf + 2), "0=y 1=z 1~3");
    TAP_EQ_STR(rig_text(&r, "patientid"), "0=z");
    TAP_EQ_STR(rig_text(&r, "modality"), "0=y");
    rig_close(&r);
}

/* ---- tables of others ---- */

TAP_CASE(columns_may_stand_in_any_order_and_case_with_others_between)
{
    static const char *const table[] = {
        "extra_map map",
        "MODALITY string",
        "partitionname string",
        "SopInstanceUid string",
        "note string",
        "StudyInstanceUID string !",
        "SERIESINSTANCEUID string",
        "LASTMODIFIEDTIMESTAMP timestamp !",
        "metadata map",
        "StudyDate string",
    };
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(table), (list){NULL, 0});
    TAP_OK(rig_put(&r, &entry_a, DL_STR(ONE("00080060", "CS", "\"CT\"")), &err), err);
    TAP_EQ_STR(rig_text(&r, "MODALITY"), "0=CT");
    TAP_EQ_STR(rig_text(&r, "partitionname"), "0=p"); /* no partition column here */
    TAP_EQ_STR(rig_text(&r, "note"), "0~0");
    TAP_EQ_STR(rig_text(&r, "StudyInstanceUID"), "0=1.2");
    TAP_EQ_STR(rig_text(&r, "metadata"), "0=00080060");
    for (size_t leaf = 0; leaf < 3; leaf++) {
        TAP_EQ_STR(record_text(r.writer, leaf), "0~0");
    }
    const dl_str *names = NULL;
    size_t count = 0;
    TAP_OK(dl_project_key_columns(r.binding, r.arena, &names, &count, &err), err);
    TAP_EQ_INT(count, 7);
    TAP_EQ_STR(names[0], "partitionname");
    TAP_EQ_STR(names[1], "StudyInstanceUID");
    TAP_EQ_STR(names[5], "StudyDate");
    TAP_EQ_STR(names[6], "MODALITY");
    rig_close(&r);
}

static const struct {
    const char *name;
    size_t column;
    const char *instead;
    const char *message;
} bind_cases[] = {
    {"a key column is missing", 3, "x string", "'sopinstanceuid'"},
    {"the time is missing", 4, "x string", "'lastModifiedTimestamp'"},
    {"the partition is missing", 0, "x string", "'partitionName'"},
    {"a key is of another type", 1, "studyinstanceuid long", "'studyinstanceuid'"},
    {"a date is text", 6, "studydate_formatted string", "is string, not date"},
    {"the time is a long", 4, "lastModifiedTimestamp long", "not timestamp"},
    {"the metadata is text", 14, "metadata string", "not map<string"},
    {"the metadata is a list", 14, "metadata list", "not map<string"},
    {"a text is a map", 9, "patientid map", "not string"},
    {"a column of ours is NOT NULL", 9, "patientid string !", "NOT NULL"},
    {"a column of others is NOT NULL", 35, "theirs string !", "'theirs'"},
};

static void test_bind_cases(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(bind_cases); i++) {
        TAP_ROW_BEGIN();
        rig r;
        dl_error err = {0};
        rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
        const char *columns[DL_COUNT_OF(r4)];
        memcpy((void *)columns, (const void *)r4, sizeof r4);
        columns[bind_cases[i].column] = bind_cases[i].instead;
        record_clear(r.writer);
        rig_columns(&r, LIST(columns));
        dl_project_binding *binding = NULL;
        TAP_STATUS(
            dl_project_bind(r.project, DL_STATE_INSTANCE, r.columns, r.count, &binding, &err),
            DL_E_INVALID);
        TAP_TRUE(binding == NULL && err.hint[0] != 0);
        if (strstr(err.message, bind_cases[i].message) == NULL) {
            TAP_FAIL("message: %s", err.message);
        }
        rig_close(&r);
        TAP_ROW_END(bind_cases[i].name);
    }
}

static bool recognise(list table, dl_pipeline_profile *out_profile)
{
    dl_delta_column columns[COLUMNS];
    for (size_t i = 0; i < table.count; i++) {
        columns[i] = column_of(table.texts[i]);
    }
    return dl_project_recognise(columns, table.count, out_profile);
}

TAP_CASE(profiles_are_recognised)
{
    static const char *const neither[] = {"a string", "b long"};
    static const char *const no_date[] = {"partitionName string", "studyInstanceUid string",
                                          "seriesInstanceUid string", "sopInstanceUid string",
                                          "lastModifiedTimestamp timestamp"};
    dl_pipeline_profile profile = DL_PIPELINE_AUTO;
    TAP_TRUE(recognise(LIST(r4), &profile));
    TAP_EQ_INT(profile, DL_PIPELINE_TEMPLATE_R4);
    TAP_TRUE(recognise(LIST(r2), &profile));
    TAP_EQ_INT(profile, DL_PIPELINE_TEMPLATE_R2);
    profile = DL_PIPELINE_AUTO;
    TAP_TRUE(!recognise(LIST(neither), &profile));
    TAP_TRUE(!recognise(LIST(no_date), &profile));
    TAP_TRUE(!recognise(LIST(study_table), &profile));
    TAP_EQ_INT(profile, DL_PIPELINE_AUTO);
}

/* ---- configured columns ---- */

static const struct {
    const char *text;
    const char *message; /* NULL: good */
} configured_cases[] = {
    {"a=StationName:string", NULL},
    {"a=00081010:string", NULL},
    {"_A9=0008103e:long", NULL},
    {"a=RequestAttributesSequence.ScheduledProcedureStepID:string", NULL},
    {"a=00400275.00400009:string", NULL},
    {"a=ImageType[3]:string", NULL},
    {"a=ImageType[65535]:string", NULL},
    {"a=OperatorsName.Ideographic[2]:string", NULL},
    {"a=00091001:double", NULL},
    {"a=00080020.00080020.00080020.00080020.00080020.00080020.00080020.00080020:date", NULL},
    {"a=00080020.00080020.00080020.00080020.00080020.00080020.00080020.00080020.00080020:date",
     "8 steps"},
    {"", "'=' and ':'"},
    {"a", "'=' and ':'"},
    {"a=StationName", "'=' and ':'"},
    {"a:string", "'=' and ':'"},
    {"=StationName:string", "the name"},
    {"9a=StationName:string", "the name"},
    {"a b=StationName:string", "the name"},
    {"a;b=StationName:string", "the name"},
    {"a=:string", "attribute is missing"},
    {"a=StationName.:string", "attribute is missing"},
    {"a=.StationName:string", "a step is neither"},
    {"a=stationname:string", "a step is neither"},
    {"a=0008101:string", "a step is neither"},
    {"a=NoSuchKeyword:string", "a step is neither"},
    {"a=StationName:varchar", "no such type"},
    {"a=StationName:", "no such type"},
    {"a=StationName:string ", "no such type"},
    {"a=ImageType[0]:string", "[n]"},
    {"a=ImageType[65536]:string", "[n]"},
    {"a=ImageType[]:string", "[n]"},
    {"a=ImageType[1:string", "[n]"},
    {"a=ImageType[x]:string", "[n]"},
    {"a=ImageType[1].StationName:string", "[n]"},
    {"a=ImageType[1]:array<string>", "all values"},
    {"a=PatientName.Alphabetic.StationName:string", "component"},
    {"a=Alphabetic:string", "a step is neither"},
    {"PatientID=StationName:string", "already a column 'patientid'"},
};

static void test_configured_cases(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(configured_cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_project *project = NULL;
        dl_status status =
            dl_project_create(DL_PIPELINE_AUTO, &configured_cases[i].text, 1, &project, &err);
        if (configured_cases[i].message == NULL) {
            TAP_OK(status, err);
        } else {
            TAP_STATUS(status, DL_E_INVALID);
            TAP_TRUE(project == NULL && err.hint[0] != 0);
            if (strstr(err.message, configured_cases[i].message) == NULL) {
                TAP_FAIL("message: %s", err.message);
            }
        }
        dl_project_destroy(project);
        TAP_ROW_END(configured_cases[i].text);
    }
}

TAP_CASE(configured_columns_are_bounded)
{
    dl_error err = {0};
    dl_project *project = NULL;
    static char texts[DL_PROJECT_COLUMN_LIMIT + 1][32];
    static const char *columns[DL_PROJECT_COLUMN_LIMIT + 1];
    for (int i = 0; i <= DL_PROJECT_COLUMN_LIMIT; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "c%d=%08x:string", i, 0x00090000 + (unsigned)i);
        columns[i] = texts[i];
    }
    TAP_STATUS(
        dl_project_create(DL_PIPELINE_AUTO, columns, DL_PROJECT_COLUMN_LIMIT + 1, &project, &err),
        DL_E_LIMIT);
    TAP_TRUE(project == NULL);
    static const char *table[DL_COUNT_OF(r4) + DL_PROJECT_COLUMN_LIMIT];
    static char names[DL_PROJECT_COLUMN_LIMIT][32];
    memcpy((void *)table, (const void *)r4, sizeof r4);
    for (int i = 0; i < DL_PROJECT_COLUMN_LIMIT; i++) {
        (void)snprintf(names[i], sizeof names[i], "c%d string", i);
        table[DL_COUNT_OF(r4) + (size_t)i] = names[i];
    }
    rig *r = calloc(1, sizeof *r);
    TAP_TRUE(r != NULL);
    if (r == NULL) {
        return;
    }
    rig_open(r, DL_PIPELINE_AUTO, DL_STATE_INSTANCE, LIST(table),
             (list){columns, DL_PROJECT_COLUMN_LIMIT});
    TAP_OK(rig_put(r, &entry_a, DL_STR(ONE("000900FF", "LO", "\"last\"")), &err), err);
    TAP_EQ_STR(rig_text(r, "c255"), "0=last");
    rig_close(r);
    free(r);
    static const char *const twice[] = {"a=StationName:string", "A=StationName:string"};
    TAP_STATUS(dl_project_create(DL_PIPELINE_AUTO, twice, 2, &project, &err), DL_E_INVALID);
    char longest[DL_PROJECT_NAME_LIMIT_BYTES + 32];
    const char *one = longest;
    for (int over = 0; over < 2; over++) {
        memset(longest, 'n', DL_PROJECT_NAME_LIMIT_BYTES + 1);
        (void)snprintf(longest + DL_PROJECT_NAME_LIMIT_BYTES + over, 30, "=StationName:string");
        TAP_STATUS(dl_project_create(DL_PIPELINE_AUTO, &one, 1, &project, &err),
                   over == 0 ? DL_OK : DL_E_INVALID);
    }
    dl_project_destroy(project);
}

#define NESTED                                                                                     \
    "{\"00400275\":{\"vr\":\"SQ\",\"Value\":[{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"S\\n1\"]}," \
    "\"0040A730\":{\"vr\":\"SQ\",\"Value\":[{\"00081070\":{\"vr\":\"PN\",\"Value\":[{"             \
    "\"Alphabetic\":\"A\",\"Phonetic\":\"Ph\"},null,{\"Alphabetic\":\"B\"}]}}]}},"                 \
    "{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"S2\"]}}]}}"
#define PRIVATE(values) ONE("00091001", "UN", values)

static const struct {
    const char *configured, *metadata, *want;
} value_cases[] = {
    {"c=RequestAttributesSequence.ScheduledProcedureStepID:string", NESTED, "0=S\n1"},
    {"c=00400275.0040A730.OperatorsName:string", NESTED, "0=A"},
    {"c=00400275.0040A730.OperatorsName.Phonetic:string", NESTED, "0=Ph"},
    {"c=00400275.0040A730.OperatorsName[2]:string", NESTED, "0~0"},
    {"c=00400275.0040A730.OperatorsName[3]:string", NESTED, "0=B"},
    {"c=00400275.0040A730.OperatorsName[4]:string", NESTED, "0~0"},
    {"c=00400275.0040A730.OperatorsName:array<string>", NESTED, "0=A 1~2 1=B"},
    {"c=00400275.00400009:array<string>", NESTED, "0=S\n1"},
    {"c=00400275.00400008:array<string>", NESTED, "0~0"},
    {"c=00400275.00400008:string", NESTED, "0~0"},
    {"c=00400009.00400008:string", NESTED, "0~0"},
    {"c=00400275.00400009:string", ONE("00400275", "SQ", "\"{broken\""), "0~0"},
    {"c=00400275.00400009:string", ONE("00400275", "SQ", "null"), "0~0"},
    {"c=00400275.00400009:string", ONE("00400275", "SQ", "{\"00400009\":7}"), "0~0"},
    {"c=00400275.00400009:string", ONE("00400275", "SQ", "{\"00400009\":{\"Value\":7}}"), "0~0"},
    {"c=00400275.00400009:string", ONE("00400275", "SQ", "{\"00400009\":{\"Value\":[7]}}"), "0=7"},
    {"c=00400275.00400009:array<string>", ONE("00400275", "SQ", "{\"00400009\":{\"Value\":[]}}"),
     "0~1"},
    {"c=00400275.00400009.00400009:string",
     ONE("00400275", "SQ", "{\"00400009\":{\"Value\":[\"x\"]}}"), "0~0"},
    {"c=00091001:array<string>", "{}", "0~0"},
    {"c=00091001:array<string>", "{\"00091001\":{\"vr\":\"UN\"}}", "0~0"},
    {"c=00091001:array<string>", PRIVATE(""), "0~1"},
    {"c=00091001:array<string>", PRIVATE("1,null,\"b\""), "0=1 1~2 1=b"},
    {"c=00091001[2]:string", PRIVATE("1,\"b\""), "0=b"},
    {"c=00091001[3]:string", PRIVATE("1,\"b\""), "0~0"},
    {"c=PatientName:string", ONE("00100010", "PN", "{\"Alphabetic\":\"A\"}"), "0=A"},
    {"c=00091001:long", PRIVATE("12"), "0=12"},
    {"c=00091001:long", PRIVATE("\" -12 \""), "0=-12"},
    {"c=00091001:long", PRIVATE("12.0"), "0=12"},
    {"c=00091001:long", PRIVATE("1e3"), "0=1000"},
    {"c=00091001:long", PRIVATE("12.5"), "0~0"},
    {"c=00091001:long", PRIVATE("9223372036854775807"), "0=9223372036854775807"},
    {"c=00091001:long", PRIVATE("9223372036854775808"), "0~0"},
    {"c=00091001:long", PRIVATE("1e300"), "0~0"},
    {"c=00091001:long", PRIVATE("\"\""), "0~0"},
    {"c=00091001:long", PRIVATE("\"0x10\""), "0~0"},
    {"c=00091001:double", PRIVATE("1.5"), "0=1.5"},
    {"c=00091001:double", PRIVATE("\"-.5E1 \""), "0=-5"},
    {"c=00091001:double", PRIVATE("\"nan\""), "0~0"},
    {"c=00091001:double", PRIVATE("\"infinity\""), "0~0"},
    {"c=00091001:double", PRIVATE("\"0x1p3\""), "0~0"},
    {"c=00091001:double", PRIVATE("1e999"), "0~0"},
    {"c=00091001:double", PRIVATE("\"1 2\""), "0~0"},
    {"c=00091001:double", PRIVATE("\"e\""), "0~0"},
    {"c=00091001:double", PRIVATE("{}"), "0~0"},
    {"c=00091001:date", PRIVATE("\"20240229\""), "0=19782"},
    {"c=00091001:date", PRIVATE("\"20230229\""), "0~0"},
    {"c=00091001:date", PRIVATE("\"00000101\""), "0~0"},
    {"c=00091001:date", PRIVATE("\"00010101\""), "0=-719162"},
    {"c=00091001:date", PRIVATE("\"99991231\""), "0=2932896"},
    {"c=00091001:date", PRIVATE("\"2024\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"19700101000001.5\""), "0=1500000"},
    {"c=00091001:timestamp", PRIVATE("\"19700101000001.1234567\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"19700101000001.123456\""), "0=1123456"},
    {"c=00091001:timestamp", PRIVATE("\"19700101010000+0100 \""), "0=0"},
    {"c=00091001:timestamp", PRIVATE("\"197001010000-0030\""), "0=1800000000"},
    {"c=00091001:timestamp", PRIVATE("\"19700101\""), "0=0"},
    {"c=00091001:timestamp", PRIVATE("\"19700101-0100\""), "0=3600000000"},
    {"c=00091001:timestamp", PRIVATE("\"1970010123\""), "0=82800000000"},
    {"c=00091001:timestamp", PRIVATE("\"1970010124\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"197001012360\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"19700101235960\""), "0=86400000000"},
    {"c=00091001:timestamp", PRIVATE("\"19700101000001.\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"1970010100.5\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"197001\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"1970-01-01T00:00:00Z\""), "0~0"},
    {"c=00091001:timestamp", PRIVATE("\"19700101+1500\""), "0~0"},
    {"c=00091001:boolean", PRIVATE("true"), "0=1"},
    {"c=00091001:boolean", PRIVATE("\"NO\""), "0=0"},
    {"c=00091001:boolean", PRIVATE("\"y\""), "0=1"},
    {"c=00091001:boolean", PRIVATE("0"), "0=0"},
    {"c=00091001:boolean", PRIVATE("2"), "0~0"},
    {"c=00091001:boolean", PRIVATE("null"), "0~0"},
};

static void test_value_cases(void)
{
    static const char *const types[][2] = {{":string", "c string"},       {":long", "c long"},
                                           {":double", "c double"},       {":date", "c date"},
                                           {":timestamp", "c timestamp"}, {":boolean", "c boolean"},
                                           {":array<string>", "c list"}};
    for (size_t i = 0; i < DL_COUNT_OF(value_cases); i++) {
        TAP_ROW_BEGIN();
        rig r;
        dl_error err = {0};
        const char *table[DL_COUNT_OF(r4) + 1];
        memcpy((void *)table, (const void *)r4, sizeof r4);
        for (size_t k = 0; k < DL_COUNT_OF(types); k++) {
            if (dl_str_ends(dl_str_of(value_cases[i].configured), dl_str_of(types[k][0]))) {
                table[DL_COUNT_OF(r4)] = types[k][1];
            }
        }
        rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_INSTANCE, LIST(table),
                 (list){&value_cases[i].configured, 1});
        TAP_OK(rig_put(&r, &entry_a, dl_str_of(value_cases[i].metadata), &err), err);
        TAP_EQ_STR(rig_text(&r, "c"), value_cases[i].want);
        rig_close(&r);
        char name[200];
        (void)snprintf(name, sizeof name, "%s of case %zu", value_cases[i].configured, i);
        TAP_ROW_END(name);
    }
}

TAP_CASE(every_day_is_written_as_it_is_read)
{
    int64_t days = 0;
    char text[8];
    for (int64_t day = -719162; day <= 2932896; day++) {
        if (!dl_project_format_date(day, text) ||
            !dl_project_parse_date((dl_str){text, 8}, &days) || days != day) {
            TAP_FAIL("day %lld", (long long)day);
            return;
        }
    }
    TAP_TRUE(!dl_project_format_date(-719163, text));
    TAP_TRUE(!dl_project_format_date(2932897, text));
    TAP_TRUE(!dl_project_format_date(INT64_MIN, text));
}

/* ---- series and study rows ---- */

static const dl_state_row row_a = {
    .partition_name = {"p", 1},
    .study_uid = {"1.2", 3},
    .series_uid = {"1.2.3", 5},
    .series_count = 2,
    .instance_count = 9,
    .timestamp_us = 77,
    .shown = {{"20260105", 8}, {"d", 1}, {NULL, 0}, {"", 0}, {"A^B", 3}, {"CT", 2}},
};

TAP_CASE(series_and_study_rows_are_put)
{
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_SERIES, LIST(series_table), (list){NULL, 0});
    TAP_OK(dl_project_put_row(r.binding, r.writer, &row_a, &err), err);
    static const char *const series_want[] = {"0=1.2", "0=1.2.3", "0=77",  "0=20458", "0=d",
                                              "0~0",   "0=",      "0=A^B", "0=CT",    "0=9"};
    for (size_t i = 0; i < DL_COUNT_OF(series_want); i++) {
        TAP_EQ_STR(record_text(r.writer, i), series_want[i]);
    }
    TAP_EQ_INT(r.writer->rows, 1);
    rig_close(&r);
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_STUDY, LIST(study_table), (list){NULL, 0});
    dl_state_row row = row_a;
    row.shown.study_date_text = DL_STR("2026010");
    TAP_OK(dl_project_put_row(r.binding, r.writer, &row, &err), err);
    static const char *const study_want[] = {"0=1.2", "0=77",  "0~0", "0=d", "0~0",
                                             "0=",    "0=A^B", "0=2", "0=9"};
    for (size_t i = 0; i < DL_COUNT_OF(study_want); i++) {
        TAP_EQ_STR(record_text(r.writer, i), study_want[i]);
    }
    rig_close(&r);
}

TAP_CASE(the_hash_speaks_of_every_column_and_of_nothing_else)
{
    static const dl_str other = {"other", 5}, none = {NULL, 0};
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        bool is_study = kind == DL_STATE_STUDY;
        uint64_t hash = dl_project_row_hash(kind, &row_a);
        TAP_TRUE(hash != 0 && hash == dl_project_row_hash(kind, &row_a));
        TAP_TRUE(hash != dl_project_row_hash(is_study ? DL_STATE_SERIES : DL_STATE_STUDY, &row_a));
        dl_state_row row = row_a;
        const struct {
            dl_str *text;
            bool counts;
        } texts[] = {{&row.partition_name, true},
                     {&row.study_uid, true},
                     {&row.series_uid, !is_study},
                     {&row.shown.study_description, true},
                     {&row.shown.issuer_of_patient_id, true},
                     {&row.shown.patient_id, true},
                     {&row.shown.patient_name, true},
                     {&row.shown.modality, !is_study}};
        for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
            row = row_a;
            *texts[i].text = other;
            TAP_TRUE((dl_project_row_hash(kind, &row) != hash) == texts[i].counts);
            *texts[i].text = none;
            uint64_t null_hash = dl_project_row_hash(kind, &row);
            *texts[i].text = DL_STR("");
            TAP_TRUE((dl_project_row_hash(kind, &row) != null_hash) == texts[i].counts);
        }
        row = row_a;
        row.timestamp_us++;
        TAP_TRUE(dl_project_row_hash(kind, &row) != hash);
        row = row_a;
        row.instance_count++;
        TAP_TRUE(dl_project_row_hash(kind, &row) != hash);
        row = row_a;
        row.series_count++;
        TAP_TRUE((dl_project_row_hash(kind, &row) != hash) == is_study);
        row = row_a;
        row.id = 5;
        row.written_hash = 5;
        row.place = (dl_state_place){5, 5};
        TAP_TRUE(dl_project_row_hash(kind, &row) == hash);
        /* Two texts that are no dates are one NULL; a date on 1970-01-01 is not. */
        row = row_a;
        row.shown.study_date_text = DL_STR("x");
        uint64_t no_date = dl_project_row_hash(kind, &row);
        row.shown.study_date_text = none;
        TAP_TRUE(no_date != hash && dl_project_row_hash(kind, &row) == no_date);
        row.shown.study_date_text = DL_STR("19700101");
        TAP_TRUE(dl_project_row_hash(kind, &row) != no_date);
    }
}

/* ---- shown values ---- */

TAP_CASE(shown_values_are_those_of_the_columns)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_state_shown shown = {0};
    TAP_OK(dl_feed_attributes(
               DL_STR("{\"00080020\":{\"vr\":\"DA\",\"Value\":[\"bad\"]},"
                      "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]},\"00081030\":{\"vr\":\"LO\","
                      "\"Value\":[null]},\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":"
                      "\"A\\u0042\"}]},\"00100020\":{\"vr\":\"LO\",\"Value\":[7]},"
                      "\"00100021\":{\"vr\":\"LO\",\"Value\":[\"\"]}}"),
               arena, &attributes, &count, NULL, &err),
           err);
    TAP_OK(dl_project_shown(attributes, count, arena, &shown, &err), err);
    TAP_EQ_STR(shown.study_date_text, "bad");
    TAP_EQ_STR(shown.modality, "MR");
    TAP_TRUE(shown.study_description.ptr == NULL);
    TAP_EQ_STR(shown.patient_name, "AB");
    TAP_EQ_STR(shown.patient_id, "7");
    TAP_TRUE(shown.issuer_of_patient_id.ptr != NULL && shown.issuer_of_patient_id.len == 0);
    TAP_OK(dl_project_shown(NULL, 0, arena, &shown, &err), err);
    TAP_TRUE(shown.study_date_text.ptr == NULL && shown.modality.ptr == NULL);
}

/* ---- reading back ---- */

typedef struct batch_rig {
    dl_columnar_value values[16];
    uint8_t defs[16];
    dl_columnar_entries leaves[16];
    dl_delta_file file;
    int64_t row_number;
    bool live;
    dl_delta_batch batch;
} batch_rig;

/** One row: texts for strings, numbers for others ("#5"), NULL. */
static void fill_batch(batch_rig *b, const char *const *values, size_t count)
{
    *b = (batch_rig){.file = {.path = {"f.parquet", 9}}, .row_number = 41, .live = true};
    for (size_t i = 0; i < count; i++) {
        b->defs[i] = values[i] != NULL;
        if (values[i] != NULL && values[i][0] == '#') {
            TAP_TRUE(dl_str_to_i64(dl_str_of(values[i] + 1), &b->values[i].i));
        } else {
            b->values[i].s = dl_str_of(values[i]);
        }
        b->leaves[i] =
            (dl_columnar_entries){.count = 1, .def = &b->defs[i], .values = &b->values[i]};
    }
    b->batch = (dl_delta_batch){.file = &b->file,
                                .row_count = 1,
                                .row_numbers = &b->row_number,
                                .live = &b->live,
                                .leaves = b->leaves,
                                .leaf_count = count};
}

static void check_names(rig *r, const char *want)
{
    dl_error err = {0};
    const dl_str *names = NULL;
    size_t count = 0;
    DL_AUTO_BUF text;
    dl_buf_init(&text, 4096);
    TAP_OK(dl_project_key_columns(r->binding, r->arena, &names, &count, &err), err);
    for (size_t i = 0; i < count; i++) {
        TAP_OK(dl_buf_printf(&text, &err, "%s%.*s", i == 0 ? "" : " ", DL_STR_ARG(names[i])), err);
    }
    TAP_EQ_STR(dl_buf_str(&text), want);
}

TAP_CASE(instances_are_read_back)
{
    rig r;
    batch_rig b;
    dl_error err = {0};
    dl_project_instance got = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
    check_names(&r, "partitionName studyinstanceuid seriesinstanceuid sopinstanceuid "
                    "lastModifiedTimestamp created_date studydate studydescription "
                    "issuerofpatientid patientid patientname modality");
    static const char *const row4[] = {"p",   "1.2", "1.3", "1.4", "#50", "#40",
                                       "bad", "d",   NULL,  "id",  "A^B", "CT"};
    fill_batch(&b, row4, DL_COUNT_OF(row4));
    TAP_OK(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err), err);
    TAP_EQ_STR(got.key.partition_name, "p");
    TAP_EQ_STR(got.key.study_uid, "1.2");
    TAP_EQ_STR(got.key.series_uid, "1.3");
    TAP_EQ_STR(got.key.sop_uid, "1.4");
    TAP_TRUE(got.instance.known && !got.instance.removed && got.instance.place.file == 0);
    TAP_EQ_INT(got.instance.timestamp_us, 50);
    TAP_EQ_INT(got.instance.created_us, 40);
    TAP_EQ_STR(got.shown.study_date_text, "bad");
    TAP_TRUE(got.shown.issuer_of_patient_id.ptr == NULL);
    TAP_EQ_STR(got.shown.patient_name, "A^B");
    TAP_EQ_STR(got.shown.modality, "CT");
    static const char *const nulls[] = {"p",  "1.2", "1.3", "1.4", "#50", NULL,
                                        NULL, NULL,  NULL,  NULL,  NULL,  NULL};
    fill_batch(&b, nulls, DL_COUNT_OF(nulls));
    TAP_OK(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err), err);
    TAP_EQ_INT(got.instance.created_us, 50);
    TAP_TRUE(got.shown.study_date_text.ptr == NULL && got.shown.modality.ptr == NULL);
    for (size_t i = 0; i < 5; i++) { /* a row without its key */
        const char *missing[DL_COUNT_OF(nulls)];
        memcpy((void *)missing, (const void *)nulls, sizeof nulls);
        missing[i] = NULL;
        fill_batch(&b, missing, DL_COUNT_OF(missing));
        got.key = (dl_state_key){.sop_uid = DL_STR("kept")};
        TAP_STATUS(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err),
                   DL_E_UNSUPPORTED);
        TAP_TRUE(strstr(err.message, "row 41 of f.parquet") != NULL && err.hint[0] != 0);
        TAP_EQ_STR(got.key.sop_uid, "kept");
    }
    rig_close(&r);
    rig_open(&r, DL_PIPELINE_TEMPLATE_R2, DL_STATE_INSTANCE, LIST(r2), (list){NULL, 0});
    check_names(&r, "partitionName studyInstanceUid seriesInstanceUid sopInstanceUid "
                    "lastModifiedTimestamp studyDate studyDescription issuerOfPatientId patientId "
                    "patientName modality");
    static const char *const row2[] = {"p", "1.2", "1.3", "1.4", "#50", "#20458",
                                       "d", NULL,  "id",  "A^B", "CT"};
    fill_batch(&b, row2, DL_COUNT_OF(row2));
    TAP_OK(dl_project_instance_of(r.binding, &b.batch, 0, r.arena, &got, &err), err);
    TAP_EQ_STR(got.shown.study_date_text, "20260105");
    TAP_EQ_INT(got.instance.created_us, 50);
    rig_close(&r);
}

TAP_CASE(series_and_study_rows_are_read_back_with_the_same_hash)
{
    rig r;
    batch_rig b;
    dl_error err = {0};
    dl_state_row row = {0};
    static const char *const series[] = {"p",  "1.2", "1.2.3", "#77", "#20458", "d",
                                         NULL, "",    "A^B",   "CT",  "#9"};
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_SERIES, LIST(series_table), (list){NULL, 0});
    fill_batch(&b, series, DL_COUNT_OF(series));
    TAP_OK(dl_project_row_of(r.binding, &b.batch, 0, r.arena, &row, &err), err);
    TAP_EQ_STR(row.series_uid, "1.2.3");
    TAP_TRUE(dl_project_row_hash(DL_STATE_SERIES, &row) ==
             dl_project_row_hash(DL_STATE_SERIES, &row_a));
    rig_close(&r);
    static const char *const study[] = {"p",  "1.2", "#77", "#20458", "d",
                                        NULL, "",    "A^B", "#2",     "#9"};
    rig_open(&r, DL_PIPELINE_AUTO, DL_STATE_STUDY, LIST(study_table), (list){NULL, 0});
    fill_batch(&b, study, DL_COUNT_OF(study));
    TAP_OK(dl_project_row_of(r.binding, &b.batch, 0, r.arena, &row, &err), err);
    TAP_TRUE(row.series_uid.ptr == NULL);
    TAP_TRUE(dl_project_row_hash(DL_STATE_STUDY, &row) ==
             dl_project_row_hash(DL_STATE_STUDY, &row_a));
    /* NULL counts are no count of ours. */
    static const char *const broken[] = {"p",  "1.2", "#77", "#20458", "d",
                                         NULL, "",    "A^B", NULL,     NULL};
    fill_batch(&b, broken, DL_COUNT_OF(broken));
    TAP_OK(dl_project_row_of(r.binding, &b.batch, 0, r.arena, &row, &err), err);
    TAP_EQ_INT(row.instance_count, -1);
    rig_close(&r);
}

/* ---- failures ---- */

static dl_status use_all(dl_columnar_writer *writer, dl_error *err)
{
    static const char *const configured[] = {"c=00400275.00400009:string"};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no arena");
    }
    DL_AUTO(dl_project) project = NULL;
    DL_AUTO(dl_project_binding) binding = NULL;
    dl_delta_column columns[DL_COUNT_OF(r4)];
    for (size_t i = 0; i < DL_COUNT_OF(r4); i++) {
        columns[i] = column_of(r4[i]);
    }
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_str text = DL_STR_NONE;
    dl_state_shown shown;
    const dl_str *names = NULL;
    DL_TRY(dl_project_create(DL_PIPELINE_AUTO, configured, 1, &project, err));
    DL_TRY(dl_project_schema(project, DL_STATE_INSTANCE, arena, &text, err));
    DL_TRY(dl_project_stats_columns(project, DL_STATE_INSTANCE, arena, &text, err));
    DL_TRY(dl_project_bind(project, DL_STATE_INSTANCE, columns, DL_COUNT_OF(r4), &binding, err));
    DL_TRY(dl_project_key_columns(binding, arena, &names, &count, err));
    DL_TRY(dl_feed_attributes(DL_STR(NESTED), arena, &attributes, &count, NULL, err));
    DL_TRY(dl_project_shown(attributes, count, arena, &shown, err));
    (void)writer;
    return DL_OK;
}

TAP_CASE(each_allocation_may_fail)
{
    dl_error err = {0};
    dl_mem_fail_after(1 << 20);
    TAP_OK(use_all(NULL, &err), err);
    int64_t all = dl_mem_asked();
    TAP_TRUE(all >= 8);
    for (int64_t n = 0; n < all; n++) {
        dl_mem_fail_after(n);
        err = (dl_error){0};
        dl_status status = use_all(NULL, &err);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_mem_fail_after(-1);
}

TAP_CASE(a_full_arena_is_told)
{
    rig r;
    dl_error err = {0};
    rig_open(&r, DL_PIPELINE_TEMPLATE_R4, DL_STATE_INSTANCE, LIST(r4), (list){NULL, 0});
    DL_AUTO(dl_arena) small = dl_arena_create(8);
    static const dl_feed_attribute twice[] = {{.tag = {"00100020", 8}}, {.tag = {"00100020", 8}}};
    dl_project_change change = {&entry_a, twice, 2, DL_STR("{}"), 1};
    TAP_STATUS(dl_project_put_instance(r.binding, r.writer, &change, small, &err), DL_E_LIMIT);
    static const dl_str name = DL_STR("{\"Alphabetic\":\"a long name with\\nan escape\"}");
    static const dl_feed_attribute named[] = {
        {.tag = {"00100010", 8}, .values = &name, .value_count = 1, .has_value = true}};
    dl_state_shown shown = {.modality = DL_STR("kept")};
    TAP_STATUS(dl_project_shown(named, 1, small, &shown, &err), DL_E_LIMIT);
    TAP_EQ_STR(shown.modality, "kept");
    rig_close(&r);
}

int main(void)
{
    TAP_RUN(the_tables_have_the_templates_columns);
    TAP_RUN(statistics_are_kept_for_columns_worth_them);
    test_instance_cases();
    TAP_RUN(r2_has_the_date_typed_and_names_of_its_own);
    TAP_RUN(a_text_of_a_megabyte);
    TAP_RUN(half_a_surrogate_in_a_name_becomes_the_replacement_character);
    test_map_cases();
    TAP_RUN(of_a_key_twice_the_last_one_stays);
    TAP_RUN(columns_may_stand_in_any_order_and_case_with_others_between);
    test_bind_cases();
    TAP_RUN(profiles_are_recognised);
    test_configured_cases();
    TAP_RUN(configured_columns_are_bounded);
    test_value_cases();
    TAP_RUN(every_day_is_written_as_it_is_read);
    TAP_RUN(series_and_study_rows_are_put);
    TAP_RUN(the_hash_speaks_of_every_column_and_of_nothing_else);
    TAP_RUN(shown_values_are_those_of_the_columns);
    TAP_RUN(instances_are_read_back);
    TAP_RUN(series_and_study_rows_are_read_back_with_the_same_hash);
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(a_full_arena_is_told);
    return tap_done();
}
