/* The schemas of the tables, and rows of instances. */
#include "project_rig.h"

#include "json/json.h"

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
    TAP_TRUE(r4[DL_COUNT_OF(r4) - 1] != NULL && r2[DL_COUNT_OF(r2) - 1] != NULL); /* all there */
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

int main(void)
{
    TAP_RUN(the_tables_have_the_templates_columns);
    TAP_RUN(statistics_are_kept_for_columns_worth_them);
    test_instance_cases();
    TAP_RUN(r2_has_the_date_typed_and_names_of_its_own);
    TAP_RUN(a_text_of_a_megabyte);
    TAP_RUN(half_a_surrogate_in_a_name_becomes_the_replacement_character);
    return tap_done();
}
