/* The map of all attributes, tables that others made, columns that a user configured. */
#include "project_rig.h"

#include <stdlib.h>

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

int main(void)
{
    test_map_cases();
    TAP_RUN(of_a_key_twice_the_last_one_stays);
    TAP_RUN(columns_may_stand_in_any_order_and_case_with_others_between);
    test_bind_cases();
    TAP_RUN(profiles_are_recognised);
    test_configured_cases();
    TAP_RUN(configured_columns_are_bounded);
    test_value_cases();
    TAP_RUN(every_day_is_written_as_it_is_read);
    return tap_done();
}
