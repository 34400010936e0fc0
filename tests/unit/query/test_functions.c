/* Functions of our own, asked through the engine as statements do. */
#include "query/functions/functions.h"

#include "base/file.h"

#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_LIMIT = 1024 * 1024 };

typedef struct bench {
    char folder[64], ahds[128], child[160], other[128];
    dl_query_root roots[3];
    dl_cancel cancel;
    dl_functions *functions;
    dl_engine engine;
    char text[TEXT_LIMIT];
} bench;

static bench b;

static void write_file(const char *path, const char *content)
{
    dl_error err = {0};
    TAP_OK(dl_file_replace(path, dl_str_of(content), &err), err);
}

static void make_folders(void)
{
    char path[256];
    dl_error err = {0};
    (void)snprintf(b.folder, sizeof b.folder, "/tmp/dl-functions-XXXXXX");
    if (mkdtemp(b.folder) == NULL) {
        TAP_FAIL("mkdtemp");
    }
    (void)snprintf(b.ahds, sizeof b.ahds, "%s/lake one/AHDS", b.folder);
    (void)snprintf(b.child, sizeof b.child, "%s/second/AHDS/ws/dicom", b.folder);
    (void)snprintf(b.other, sizeof b.other, "%s/plain", b.folder);
    (void)snprintf(path, sizeof path, "%s/ws/dicom/svc", b.ahds);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/svc", b.child);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/box", b.other);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/ws/dicom/svc/1.dcm", b.ahds);
    write_file(path, "x");
}

static void open_bench(void)
{
    dl_error err = {0};
    make_folders();
    b.roots[0] = (dl_query_root){DL_STR("one"), dl_str_of(b.ahds)};
    b.roots[1] = (dl_query_root){DL_STR("two"), dl_str_of(b.child)};
    b.roots[2] = (dl_query_root){DL_STR("plain"), dl_str_of(b.other)};
    dl_query_options options = {.roots = b.roots,
                                .root_count = 3,
                                .limits = {.threads = 2},
                                .clock = dl_clock_system(),
                                .cancel = &b.cancel};
    TAP_OK(dl_engine_load(&b.engine, &err), err);
    TAP_OK(dl_engine_start(&b.engine, &options, &err), err);
    TAP_OK(dl_functions_create(&options, &b.functions, &err), err);
    TAP_OK(dl_functions_register(b.functions, &b.engine, &err), err);
}

static void close_bench(void)
{
    char command[128];
    dl_engine_stop(&b.engine);
    dl_functions_destroy(b.functions);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", b.folder);
    TAP_EQ_INT(system(command), 0);
}

/** First column of all rows as text, one a line; "error: ..." when it fails. */
static dl_str ask(const char *sql)
{
    static char statement[TEXT_LIMIT];
    const dl_engine_api *api = &b.engine.api;
    duckdb_result result;
    size_t len = 0;
    (void)snprintf(
        statement, sizeof statement,
        "SELECT CASE WHEN x IS NULL THEN 'NULL' ELSE CAST(x AS VARCHAR) END FROM (%s) t(x)", sql);
    if (api->query(b.engine.connection, statement, &result) != DuckDBSuccess) {
        len = (size_t)snprintf(b.text, sizeof b.text, "error: %s", api->result_error(&result));
        api->destroy_result(&result);
        return (dl_str){b.text, len < sizeof b.text ? len : sizeof b.text - 1};
    }
    for (;;) {
        duckdb_data_chunk chunk = api->fetch_chunk(result);
        if (chunk == NULL) {
            break;
        }
        const duckdb_string_t *rows = api->vector_get_data(api->data_chunk_get_vector(chunk, 0));
        for (size_t i = 0; i < api->data_chunk_get_size(chunk); i++) {
            dl_str text = dl_function_text(&rows[i]);
            len += (size_t)snprintf(b.text + len, sizeof b.text - len, "%s%.*s",
                                    len == 0 ? "" : "\n", DL_STR_ARG(text));
        }
        api->destroy_data_chunk(&chunk);
    }
    api->destroy_result(&result);
    return (dl_str){b.text, len};
}

typedef struct ask_case {
    const char *sql, *want;
} ask_case;

static void ask_all(const ask_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        TAP_ROW_BEGIN();
        dl_str got = ask(cases[i].sql);
        if (dl_str_starts(dl_str_of(cases[i].want), DL_STR("error: ")) &&
            dl_str_find_str(got, dl_str_slice(dl_str_of(cases[i].want), 7, SIZE_MAX)) >= 0) {
            got = dl_str_of(cases[i].want);
        }
        TAP_EQ_STR(got, cases[i].want);
        TAP_ROW_END(cases[i].sql);
    }
}

#define ASK_ALL(cases) ask_all(cases, DL_COUNT_OF(cases))

/* ---- dicom_value ---- */

#define JSON_TEXT                                                                                  \
    "{\"00080008\":{\"vr\":\"CS\",\"Value\":[\"ORIGINAL\",\"PRIMARY\",\"AXIAL\"]},"                \
    "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"                                             \
    "\"00080090\":{\"vr\":\"PN\"},"                                                                \
    "\"00081030\":{\"vr\":\"LO\",\"Value\":[\"a \\\"b\\\" \\u00e9\\\\\"]},"                        \
    "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Doe^Jane\",\"Ideographic\":\"X^Y\"}" \
    ","                                                                                            \
    "{\"Phonetic\":\"p\"}]},"                                                                      \
    "\"00200013\":{\"vr\":\"IS\",\"Value\":[7]},"                                                  \
    "\"00280030\":{\"vr\":\"DS\",\"Value\":[1.50e2,null,-0.25]},"                                  \
    "\"00400275\":{\"vr\":\"SQ\",\"Value\":[{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"s1\"]}},"    \
    "{},{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"s3\",\"s4\"]},\"0040a730\":{\"vr\":\"SQ\","      \
    "\"Value\":[{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"In^Ner\"}]}}]}}]},"      \
    "\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"x\"},"                                          \
    "\"0040a160\":{\"vr\":\"UT\",\"Value\":[\"lower\"]},"                                          \
    "\"00104000\":{\"vr\":\"LT\",\"Value\":[]}}"

#define MAP_TEXT                                                                                   \
    "MAP {'00080008': {'vr': 'CS', 'Value': ['ORIGINAL', 'PRIMARY', 'AXIAL']}, "                   \
    "'00080060': {'vr': 'CS', 'Value': ['CT']}, "                                                  \
    "'00080090': {'vr': 'PN', 'Value': NULL}, "                                                    \
    "'00081030': {'vr': 'LO', 'Value': ['a \"b\" \u00e9\\']}, "                                    \
    "'00100010': {'vr': 'PN', 'Value': ['{\"Alphabetic\":\"Doe^Jane\",\"Ideographic\":\"X^Y\"}', " \
    "'{\"Phonetic\":\"p\"}']}, "                                                                   \
    "'00200013': {'vr': 'IS', 'Value': ['7']}, "                                                   \
    "'00280030': {'vr': 'DS', 'Value': ['1.50e2', NULL, '-0.25']}, "                               \
    "'00400275': {'vr': 'SQ', 'Value': "                                                           \
    "['{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"s1\"]}}', '{}', "                                 \
    "'{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"s3\",\"s4\"]},\"0040a730\":{\"vr\":\"SQ\","        \
    "\"Value\":[{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"In^Ner\"}]}}]}}']}, "    \
    "'00420011': {'vr': 'OB', 'Value': NULL}, "                                                    \
    "'0040a160': {'vr': 'UT', 'Value': ['lower']}, "                                               \
    "'00104000': {'vr': 'LT', 'Value': []}}"

/* Both forms of metadata, the path a constant and a column. */
static const struct {
    const char *path, *value, *values;
} paths[] = {
    {"00080060", "CT", "[CT]"},
    {"0008,0060", "CT", "[CT]"},
    {"(0008,0060)", "CT", "[CT]"},
    {"Modality", "CT", "[CT]"},
    {"mODALITY", "CT", "[CT]"},
    {" Modality ", "CT", "[CT]"},
    {"ImageType", "ORIGINAL", "[ORIGINAL, PRIMARY, AXIAL]"},
    {"ImageType[2]", "AXIAL", "[AXIAL]"},
    {"ImageType[3]", "NULL", "[]"},
    {"ImageType[100000000]", "NULL", "[]"},
    {"StudyDescription", "a \"b\" \u00e9\\", NULL},
    {"PatientName", "Doe^Jane", "[Doe^Jane, NULL]"},
    {"PatientName.Alphabetic", "Doe^Jane", "[Doe^Jane, NULL]"},
    {"PatientName.ideographic", "X^Y", "[X^Y, NULL]"},
    {"PatientName/Phonetic", "NULL", "[NULL, p]"},
    {"PatientName[1].Phonetic", "p", "[p]"},
    {"ReferringPhysicianName", "NULL", "NULL"},
    {"InstanceNumber", "7", "[7]"},
    {"PixelSpacing", "1.50e2", "[1.50e2, NULL, -0.25]"},
    {"PixelSpacing[1]", "NULL", "[NULL]"},
    {"PixelSpacing[2]", "-0.25", "[-0.25]"},
    {"EncapsulatedDocument", "NULL", "NULL"},
    {"PatientComments", "NULL", "[]"},
    {"PatientID", "NULL", "NULL"},
    {"0040A160", "lower", "[lower]"},
    {"TextValue", "lower", "[lower]"},
    {"00091001", "NULL", "NULL"},
    {"RequestAttributesSequence[0].ScheduledProcedureStepID", "s1", "[s1]"},
    {"requestattributessequence.scheduledprocedurestepid", "s1", "[s1, s3, s4]"},
    {"00400275/00400009", "s1", "[s1, s3, s4]"},
    {"00400275[1]/00400009", "NULL", "NULL"},
    {"00400275[2]/00400009", "s3", "[s3, s4]"},
    {"00400275[2]/00400009[1]", "s4", "[s4]"},
    {"00400275[2]/0040A730/PatientName", "In^Ner", "[In^Ner]"},
    {"00400275/0040A730/PatientName", "NULL", "[In^Ner]"},
    {"00400275[3]/00400009", "NULL", "NULL"},
    {"Modality.PatientName", "NULL", "NULL"},
    {"RequestAttributesSequence", "{\"00400009\":{\"vr\":\"SH\",\"Value\":[\"s1\"]}}", NULL},
};

static void check_path(const char *function, const char *metadata, const char *path, bool constant,
                       const char *want)
{
    char sql[8192], name[256];
    if (constant) {
        (void)snprintf(sql, sizeof sql, "SELECT %s(m, '%s') FROM (SELECT %s AS m)", function, path,
                       metadata);
    } else {
        (void)snprintf(sql, sizeof sql,
                       "SELECT %s(m, p) FROM (SELECT %s AS m), (VALUES ('%s')) v(p)", function,
                       metadata, path);
    }
    (void)snprintf(name, sizeof name, "%s %s %s of %s", function, constant ? "constant" : "column",
                   path, metadata[0] == 'M' ? "a map" : "JSON");
    TAP_ROW_BEGIN();
    TAP_EQ_STR(ask(sql), want);
    TAP_ROW_END(name);
}

static void check_paths(void)
{
    static const char *const forms[] = {MAP_TEXT, "'" JSON_TEXT "'"};
    for (size_t i = 0; i < DL_COUNT_OF(paths); i++) {
        for (size_t form = 0; form < DL_COUNT_OF(forms); form++) {
            for (int constant = 0; constant < 2; constant++) {
                check_path("dicom_value", forms[form], paths[i].path, constant, paths[i].value);
                if (paths[i].values != NULL) {
                    check_path("dicom_values", forms[form], paths[i].path, constant,
                               paths[i].values);
                }
            }
        }
    }
}

static const ask_case odd_metadata[] = {
    {"SELECT dicom_value(NULL, 'Modality')", "NULL"},
    {"SELECT dicom_values(NULL, 'Modality')", "NULL"},
    {"SELECT dicom_value('{}', NULL)", "NULL"},
    {"SELECT dicom_value(NULL::VARCHAR, 'Modality')", "NULL"},
    {"SELECT dicom_value('', 'Modality')", "NULL"},
    {"SELECT dicom_value('{\"00080060\":', 'Modality')", "NULL"},
    {"SELECT dicom_value('[1,2', 'Modality')", "NULL"},
    {"SELECT dicom_value('{\"00080060\":{\"Value\":\"CT\"}}', 'Modality')", "NULL"},
    {"SELECT dicom_value('{\"00080060\":{\"Value\":[\"CT', 'Modality')", "NULL"},
    {"SELECT dicom_value('{\"00080060\":[\"CT\"]}', 'Modality')", "NULL"},
    {"SELECT dicom_value('{\"00080060\":{\"Value\":[true]}}', 'Modality')", "true"},
    {"SELECT dicom_value('{\"00080060\":{\"Value\":[[1,2]]}}', 'Modality')", "[1,2]"},
    {"SELECT dicom_value('{\"00080060\":{\"Value\":[\"a\"]},\"00080060\":{\"Value\":[\"b\"]}}', "
     "'Modality')",
     "b"},
    {"SELECT dicom_value('{\"00100010\":{\"Value\":[\"A^B=C^D=E\"]}}', 'PatientName')", "A^B"},
    {"SELECT dicom_value('{\"00100010\":{\"Value\":[\"A^B=C^D=E\"]}}', 'PatientName.Phonetic')",
     "E"},
    {"SELECT dicom_value('{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":3}]}}', "
     "'PatientName')",
     "NULL"},
    {"SELECT dicom_value(MAP {'00080060': NULL::STRUCT(vr VARCHAR, \"Value\" VARCHAR[])}, "
     "'Modality')",
     "NULL"},
    {"SELECT dicom_value(MAP {}::MAP(VARCHAR, STRUCT(VR VARCHAR, \"value\" VARCHAR[])), "
     "'Modality')",
     "NULL"},
    {"SELECT dicom_value(m, p) FROM (VALUES ('{}', 'NoSuchThing'), ('{}', '')) t(m, p)",
     "NULL\nNULL"},
    {"SELECT dicom_value('{}', 'Modalty')", "error: did you mean Modality?"},
    {"SELECT dicom_value('{}', 'Modalty')", "error: dicom_value: 'Modalty' is no attribute"},
    {"SELECT dicom_values('{}', 'xyzzyxyzzyxyzzy')", "error: a keyword as PatientName, or a tag"},
    {"SELECT dicom_value('{}', '')", "error: '' is no attribute"},
    {"SELECT dicom_value('{}', 'Modality.')", "error: '' is no attribute"},
    {"SELECT dicom_value('{}', '[0]')", "error: '' is no attribute"},
    {"SELECT dicom_value('{}', 'Modality[x]')", "error: no number between [ and ]"},
    {"SELECT dicom_value('{}', 'Modality[')", "error: no number between [ and ]"},
    {"SELECT dicom_value('{}', 'Modality[100000001]')", "error: no number between [ and ]"},
    {"SELECT dicom_value('{}', '00080060/00080060/00080060/00080060/00080060/00080060/00080060/"
     "00080060')",
     "NULL"},
    {"SELECT dicom_value('{}', '00080060/00080060/00080060/00080060/00080060/00080060/00080060/"
     "00080060/00080060')",
     "error: more than 8 steps"},
    {"SELECT dicom_value(3, 'Modality')", "error: the first argument is no metadata"},
    {"SELECT dicom_value(MAP {'a': 'b'}, 'Modality')", "error: the first argument is no metadata"},
};

/* Many rows, NULLs between them, filters that leave some: more than one chunk of rows. */
static const ask_case many_rows[] = {
    {"SELECT count(*) || ' ' || count(v) || ' ' || sum(CAST(v AS BIGINT)) FROM (SELECT "
     "dicom_value(m, "
     "'InstanceNumber') AS v FROM (SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE MAP {'00080060': "
     "{'vr': 'CS', 'Value': ['CT']}, '00200013': {'vr': 'IS', 'Value': [i::VARCHAR, 'x']}} END AS "
     "m FROM "
     "range(10000) r(i)) WHERE i % 2 = 0)",
     "5000 3333 16663334"},
    {"SELECT count(v) || ' ' || sum(len(v)) || ' ' || max(v[2]) FROM (SELECT dicom_values(m, "
     "'InstanceNumber') AS v FROM (SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE MAP {'00080060': "
     "{'vr': 'CS', 'Value': ['CT']}, '00200013': {'vr': 'IS', 'Value': [i::VARCHAR, 'x']}} END AS "
     "m FROM "
     "range(10000) r(i)) WHERE i % 2 = 0)",
     "3333 6666 x"},
    {"SELECT string_agg(DISTINCT dicom_value(m, p), ',' ORDER BY dicom_value(m, p)) FROM (SELECT "
     "'" JSON_TEXT
     "' AS m, CASE WHEN i % 2 = 0 THEN 'Modality' ELSE 'InstanceNumber' END AS p FROM "
     "range(5000) r(i))",
     "7,CT"},
};

/* ---- names, dates, times, ages ---- */

static const ask_case value_cases[] = {
    {"SELECT dicom_name('Doe^Jane^M^Dr^PhD', 'family')", "Doe"},
    {"SELECT dicom_name('Doe^Jane^M^Dr^PhD', 'Given')", "Jane"},
    {"SELECT dicom_name('Doe^Jane^M^Dr^PhD', 'middle')", "M"},
    {"SELECT dicom_name('Doe^Jane^M^Dr^PhD', 'prefix')", "Dr"},
    {"SELECT dicom_name('Doe^Jane^M^Dr^PhD ', 'suffix')", "PhD"},
    {"SELECT dicom_name('Doe^Jane', 'suffix')", "NULL"},
    {"SELECT dicom_name('Doe^^M', 'given')", "NULL"},
    {"SELECT dicom_name('Doe^Jane=I^J=P^Q', 'alphabetic')", "Doe^Jane"},
    {"SELECT dicom_name('Doe^Jane=I^J=P^Q', 'ideographic')", "I^J"},
    {"SELECT dicom_name('Doe^Jane=I^J=P^Q', 'Ideographic.family')", "I"},
    {"SELECT dicom_name('Doe^Jane=I^J=P^Q', 'phonetic.given')", "Q"},
    {"SELECT dicom_name('=I^J', 'family')", "NULL"},
    {"SELECT dicom_name('=I^J', 'ideographic')", "I^J"},
    {"SELECT dicom_name('Doe', 'ideographic')", "NULL"},
    {"SELECT dicom_name('{\"Alphabetic\":\"D\\u00e9^J\",\"Phonetic\":\"p\"}', 'family')",
     "D\u00e9"},
    {"SELECT dicom_name('{\"Alphabetic\":\"D\",\"Phonetic\":\"p\"}', 'phonetic')", "p"},
    {"SELECT dicom_name('{\"Alphabetic\":3}', 'family')", "NULL"},
    {"SELECT dicom_name('{', 'family')", "NULL"},
    {"SELECT dicom_name('', 'family')", "NULL"},
    {"SELECT dicom_name(NULL, 'family')", "NULL"},
    {"SELECT dicom_name('A', NULL)", "NULL"},
    {"SELECT dicom_name(n, p) FROM (VALUES ('A^B', 'given'), ('A^B', 'x'), ('A^B', NULL)) t(n, p)",
     "B\nNULL\nNULL"},
    {"SELECT dicom_name('A', 'surname')", "error: dicom_name: 'surname' is no part of a name"},
    {"SELECT dicom_name('A', 'ideographic.')", "error: is no part of a name"},
    {"SELECT dicom_name('A', '')", "error: is no part of a name"},
    {"SELECT dicom_name('A', 'ideographicfamily')", "error: is no part of a name"},

    {"SELECT dicom_date('20260131')", "2026-01-31"},
    {"SELECT dicom_date('20260131  ')", "2026-01-31"},
    {"SELECT dicom_date('2026.01.31')", "2026-01-31"},
    {"SELECT dicom_date('00010101')", "0001-01-01"},
    {"SELECT dicom_date('00000101')", "NULL"},
    {"SELECT dicom_date('99991231')", "9999-12-31"},
    {"SELECT dicom_date('20240229')", "2024-02-29"},
    {"SELECT dicom_date('20230229')", "NULL"},
    {"SELECT dicom_date('2026013')", "NULL"},
    {"SELECT dicom_date('202601311')", "NULL"},
    {"SELECT dicom_date('2026-01-31')", "NULL"},
    {"SELECT dicom_date('')", "NULL"},
    {"SELECT dicom_date(NULL)", "NULL"},
    {"SELECT dicom_date('20260131') + 1", "2026-02-01"},

    {"SELECT dicom_time('10')", "10:00:00"},
    {"SELECT dicom_time('1015')", "10:15:00"},
    {"SELECT dicom_time('101530')", "10:15:30"},
    {"SELECT dicom_time('101530.25')", "10:15:30.25"},
    {"SELECT dicom_time('101530.000001 ')", "10:15:30.000001"},
    {"SELECT dicom_time('101530.0000001')", "NULL"},
    {"SELECT dicom_time('101530.')", "NULL"},
    {"SELECT dicom_time('10:15:30')", "10:15:30"},
    {"SELECT dicom_time('10:15:30.5')", "10:15:30.5"},
    {"SELECT dicom_time('10:15')", "10:15:00"},
    {"SELECT dicom_time('10:1530')", "NULL"},
    {"SELECT dicom_time('1015:30')", "NULL"},
    {"SELECT dicom_time('10:')", "NULL"},
    {"SELECT dicom_time('10:15:')", "NULL"},
    {"SELECT dicom_time('10:15:3')", "NULL"},
    {"SELECT dicom_time('235960')", "23:59:59.999999"},
    {"SELECT dicom_time('101560')", "10:16:00"},
    {"SELECT dicom_time('101561')", "NULL"},
    {"SELECT dicom_time('106000')", "NULL"},
    {"SELECT dicom_time('240000')", "NULL"},
    {"SELECT dicom_time('1')", "NULL"},
    {"SELECT dicom_time('101')", "NULL"},
    {"SELECT dicom_time('10153')", "NULL"},
    {"SELECT dicom_time('')", "NULL"},
    {"SELECT dicom_time(NULL)", "NULL"},

    {"SELECT dicom_datetime('20260131')", "2026-01-31 00:00:00+00"},
    {"SELECT dicom_datetime('20260131101530.5+0130')", "2026-01-31 08:45:30.5+00"},
    {"SELECT dicom_datetime('202601311015-0500')", "2026-01-31 15:15:00+00"},
    {"SELECT dicom_datetime('20260131+0100')", "2026-01-30 23:00:00+00"},
    {"SELECT dicom_datetime('20260131+1400')", "2026-01-30 10:00:00+00"},
    {"SELECT dicom_datetime('20260131+1401')", "NULL"},
    {"SELECT dicom_datetime('20260131235960')", "2026-02-01 00:00:00+00"},
    {"SELECT dicom_datetime('202601')", "NULL"},
    {"SELECT dicom_datetime('20260131 10')", "NULL"},
    {"SELECT dicom_datetime('20260131x')", "NULL"},
    {"SELECT dicom_datetime(NULL)", "NULL"},

    {"SELECT dicom_age_years('045Y')", "45.0"},
    {"SELECT dicom_age_years('045Y ')", "45.0"},
    {"SELECT dicom_age_years('006M')", "0.5"},
    {"SELECT round(dicom_age_years('010W'), 4)", "0.1916"},
    {"SELECT round(dicom_age_years('100D'), 4)", "0.2738"},
    {"SELECT dicom_age_years('9Y')", "9.0"},
    {"SELECT dicom_age_years('Y')", "NULL"},
    {"SELECT dicom_age_years('0045Y')", "NULL"},
    {"SELECT dicom_age_years('045')", "NULL"},
    {"SELECT dicom_age_years('045y')", "NULL"},
    {"SELECT dicom_age_years('04 Y')", "NULL"},
    {"SELECT dicom_age_years('')", "NULL"},
    {"SELECT dicom_age_years(NULL)", "NULL"},
    {"SELECT count(*) || ' ' || count(d) FROM (SELECT dicom_date(CASE WHEN i % 2 = 0 THEN NULL "
     "ELSE '20260101' END) AS d FROM range(9999) r(i))",
     "9999 4999"},
};

/* ---- file_url ---- */

static void check_url(const char *name, const char *file_path, const char *want)
{
    char sql[1024], url[1024], escaped[256];
    size_t len = 0;
    for (const char *p = b.folder; *p != '\0'; p++) {
        escaped[len++] = *p;
    }
    escaped[len] = '\0';
    (void)snprintf(sql, sizeof sql, "SELECT file_url('%s')", file_path);
    (void)snprintf(url, sizeof url, want[0] == '/' ? "file://%s%s" : "%.0s%s", escaped, want);
    TAP_ROW_BEGIN();
    TAP_EQ_STR(ask(sql), url);
    TAP_ROW_END(name);
}

static void check_urls(void)
{
    check_url("below AHDS", "AHDS/ws2/1.dcm", "/lake%20one/AHDS/ws2/1.dcm");
    check_url("the longer end wins", "AHDS/ws/dicom/svc/2.dcm", "/second/AHDS/ws/dicom/svc/2.dcm");
    check_url("a folder that holds the first one", "box/1.dcm", "/plain/box/1.dcm");
    check_url("a folder that is nowhere", "bax/1.dcm", "NULL");
    check_url("escaped", "AHDS/w s/%\u00e9.dcm", "/lake%20one/AHDS/w%20s/%25%C3%A9.dcm");
    check_url("half a name", "AHDSX/ws2/1.dcm", "NULL");
    check_url("the folder itself", "AHDS", "NULL");
    check_url("the folder with a slash", "AHDS/", "NULL");
    check_url("absolute", "/AHDS/ws2/1.dcm", "NULL");
    check_url("up", "AHDS/../1.dcm", "NULL");
    check_url("up at the end", "AHDS/ws/..", "NULL");
    check_url("here", "AHDS/./1.dcm", "NULL");
    check_url("nothing between slashes", "AHDS//1.dcm", "NULL");
    check_url("empty", "", "NULL");
}

static const ask_case url_cases[] = {
    {"SELECT file_url(NULL)", "NULL"},
    {"SELECT len(file_url('AHDS/' || repeat('a', 4090))) IS NULL", "false"},
    {"SELECT file_url('AHDS/' || repeat('a', 4091))", "NULL"},
    {"SELECT len(file_url('AHDS/' || repeat('\u00e9', 2045))) > 12000", "true"},
    {"SELECT file_url('AHDS/' || chr(0))", "NULL"},
};

/* ---- dicom_tags ---- */

/* A data set under way: explicit VR, little endian. */
static dl_buf dicom;

static void put_bytes(const void *bytes, size_t len)
{
    dl_error err = {0};
    TAP_OK(dl_buf_append(&dicom, bytes, len, &err), err);
}

static void put_number(uint32_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        const char byte = (char)(value >> (8 * i));
        put_bytes(&byte, 1);
    }
}

/** Tag, VR, length; `undefined`: of a sequence. */
static void put_begin(uint32_t tag, const char *vr, size_t len, bool undefined)
{
    bool is_long = strcmp(vr, "SQ") == 0 || strcmp(vr, "UT") == 0 || strcmp(vr, "OB") == 0;
    put_number(tag >> 16, 2);
    put_number(tag & 0xffff, 2);
    put_bytes(vr, 2);
    if (is_long) {
        put_number(0, 2);
    }
    put_number(undefined ? 0xffffffffu : (uint32_t)len, is_long ? 4 : 2);
}

static void put_element(uint32_t tag, const char *vr, const char *text)
{
    put_begin(tag, vr, strlen(text), false);
    put_bytes(text, strlen(text));
}

static void put_item(uint32_t tag)
{
    put_number(tag >> 16, 2);
    put_number(tag & 0xffff, 2);
    put_number(tag == 0xfffee000u ? 0xffffffffu : 0, 4);
}

static void begin_dicom(void)
{
    static const char zeros[128] = "";
    dl_buf_init(&dicom, (size_t)64 << 20);
    dl_buf_reset(&dicom);
    put_bytes(zeros, sizeof zeros);
    put_bytes("DICM", 4);
    put_begin(0x00020000, "UL", 4, false);
    put_number(28, 4);
    put_element(0x00020010, "UI", "1.2.840.10008.1.2.1\0");
    put_bytes("", 1);
    dicom.len--; /* 19 characters and a NUL */
}

static void end_dicom(const char *name)
{
    char path[256];
    dl_error err = {0};
    (void)snprintf(path, sizeof path, "%s/box/%s", b.other, name);
    TAP_OK(dl_file_replace(path, dl_buf_str(&dicom), &err), err);
}

static void make_dicom_files(void)
{
    begin_dicom();
    put_element(0x00080005, "CS", "ISO_IR 192");
    put_element(0x00080008, "CS", "ORIGINAL\\PRIMARY ");
    put_element(0x00080060, "CS", "CT");
    put_element(0x00091001, "LO", "own ");
    put_element(0x00100010, "PN", "A^B=C^D=E^");
    put_begin(0x00280010, "US", 2, false);
    put_number(512, 2);
    put_begin(0x00400275, "SQ", 0, true);
    put_item(0xfffee000u);
    put_element(0x00400009, "SH", "s1");
    put_item(0xfffee00du);
    put_item(0xfffee000u);
    put_begin(0x0040a730, "SQ", 0, true);
    put_item(0xfffee000u);
    put_element(0x00100020, "LO", "id");
    put_item(0xfffee00du);
    put_item(0xfffee0ddu);
    put_element(0x00400009, "SH", "s2");
    put_item(0xfffee00du);
    put_item(0xfffee0ddu);
    put_begin(0x7fe00010, "OB", 4, false);
    put_bytes("abcd", 4);
    end_dicom("whole.dcm");
    dicom.len = 300;
    end_dicom("cut.dcm");
    dicom.len = 0;
    put_bytes("no DICOM at all, but some text", 30);
    end_dicom("text.dcm");
    dicom.len = 0;
    end_dicom("empty.dcm");
    dl_buf_clear(&dicom);
}

static void make_odd_entries(void)
{
    char path[256];
    dl_error err = {0};
    (void)snprintf(path, sizeof path, "%s/box/folder", b.other);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/box/out", b.other);
    TAP_EQ_INT(symlink("/etc/passwd", path), 0);
    (void)snprintf(path, sizeof path, "%s/box/fifo", b.other);
    TAP_EQ_INT(mkfifo(path, 0600), 0);
}

static const ask_case tag_cases[] = {
    {"SELECT concat_ws(' ', path, keyword, vr, value) FROM dicom_tags('box/whole.dcm') ORDER BY "
     "path",
     "00020010 TransferSyntaxUID UI 1.2.840.10008.1.2.1\n"
     "00080005 SpecificCharacterSet CS ISO_IR 192\n"
     "00080008 ImageType CS ORIGINAL\\PRIMARY\n"
     "00080060 Modality CS CT\n"
     "00091001 LO own\n"
     "00100010 PatientName PN A^B=C^D=E^\n"
     "00280010 Rows US 512\n"
     "00400275 RequestAttributesSequence SQ\n"
     "00400275[0]/00400009 ScheduledProcedureStepID SH s1\n"
     "00400275[1]/00400009 ScheduledProcedureStepID SH s2\n"
     "00400275[1]/0040A730 ContentSequence SQ\n"
     "00400275[1]/0040A730[0]/00100020 PatientID LO id"},
    {"SELECT string_agg(DISTINCT tag) FROM dicom_tags('box/whole.dcm') WHERE path LIKE "
     "'%[0]/00100020'",
     "00100020"},
    {"SELECT count(*) FROM dicom_tags('box/none.dcm')", "0"},
    {"SELECT count(*) FROM dicom_tags('nowhere/none.dcm')", "0"},
    {"SELECT count(*) FROM dicom_tags('box/../box/whole.dcm')", "0"},
    {"SELECT count(*) FROM dicom_tags('/etc/passwd')", "0"},
    {"SELECT count(*) FROM dicom_tags(NULL)", "0"},
    {"SELECT count(*) || max(error IS NOT NULL) || coalesce(max(tag), '') FROM "
     "dicom_tags('box/text.dcm')",
     "1true"},
    {"SELECT count(*) || max(error IS NOT NULL) FROM dicom_tags('box/empty.dcm')", "1true"},
    {"SELECT count(*) || max(error IS NOT NULL) FROM dicom_tags('box/cut.dcm')", "1true"},
    {"SELECT error FROM dicom_tags('box/folder')", "a folder, not a file"},
    {"SELECT error FROM dicom_tags('box/out')", "leads out of its folder"},
    {"SELECT error FROM dicom_tags('box/fifo')", "neither a plain file nor a folder"},
    {"SELECT count(*) || ' ' || count(DISTINCT i) FROM (SELECT i, CASE i % 3 WHEN 0 THEN "
     "'box/whole.dcm' WHEN 1 THEN 'box/none.dcm' END AS p FROM range(3000) r(i)), dicom_tags(p) t",
     "12000 1000"},
    {"SELECT count(*) FROM range(700) r(i), dicom_tags('box/whole.dcm') t WHERE keyword = "
     "'Modality' "
     "AND value = 'CT'",
     "700"},
};

/* Of 60,000 bytes each: 16 MiB of header is the bound. */
static void make_large(const char *name, int values)
{
    static char text[60001];
    memset(text, 'x', 60000);
    begin_dicom();
    for (int i = 0; i < values; i++) {
        put_element(0x00091000u + (uint32_t)i, "UT", text);
    }
    end_dicom(name);
    dl_buf_clear(&dicom);
}

TAP_CASE(the_bound_of_headers)
{
    make_large("large.dcm", 279);
    TAP_EQ_STR(ask("SELECT count(*) || ' ' || count(error) || ' ' || sum(length(value)) FROM "
                   "dicom_tags('box/large.dcm')"),
               "280 0 16740019");
    make_large("larger.dcm", 280);
    TAP_EQ_STR(ask("SELECT count(*) || ' ' || count(error) || ' ' || count(tag) FROM "
                   "dicom_tags('box/larger.dcm')"),
               "1 1 0");
    /* Many of them: rounds are small then. */
    TAP_EQ_STR(
        ask("SELECT count(*) || ' ' || sum(length(value)) FROM range(20) r(i), (SELECT * FROM "
            "dicom_tags('box/large.dcm')) t"),
        "5600 334800380");
    TAP_EQ_STR(
        ask("SELECT count(*) FROM (SELECT CASE WHEN i >= 0 THEN 'box/large.dcm' END AS p FROM "
            "range(9) r(i)), dicom_tags(p) t"),
        "2520");
}

TAP_CASE(a_cancel_reads_nothing_more)
{
    dl_cancel_ask(&b.cancel);
    TAP_EQ_STR(ask("SELECT count(*) FROM dicom_tags('box/whole.dcm')"), "0");
    atomic_store(&b.cancel.asked, false);
    TAP_EQ_STR(ask("SELECT count(*) FROM dicom_tags('box/whole.dcm')"), "12");
}

TAP_CASE(resolve_gives_paths)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str path = DL_STR_NONE;
    char want[256];
    TAP_TRUE(dl_functions_resolve(b.functions, DL_STR("AHDS/x/1.dcm"), arena, &path));
    (void)snprintf(want, sizeof want, "%s/x/1.dcm", b.ahds);
    TAP_EQ_STR(path, want);
    dl_str before = path;
    TAP_TRUE(!dl_functions_resolve(b.functions, DL_STR("../x"), arena, &path));
    TAP_TRUE(path.ptr == before.ptr);
}

/* Two lakes with the same folders: the one that has the file. */
TAP_CASE(two_lakes_of_one_shape)
{
    char first[128], second[128], file[160], want[200];
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    (void)snprintf(first, sizeof first, "%s/la/AHDS", b.folder);
    (void)snprintf(second, sizeof second, "%s/lb/AHDS/", b.folder);
    TAP_OK(dl_file_make_dirs(first, &err), err);
    TAP_OK(dl_file_make_dirs(second, &err), err);
    (void)snprintf(file, sizeof file, "%sf.dcm", second);
    write_file(file, "x");
    dl_query_root roots[] = {{DL_STR("a"), dl_str_of(first)}, {DL_STR("b"), dl_str_of(second)}};
    dl_query_options options = {.roots = roots, .root_count = 2};
    DL_AUTO(dl_functions) f = NULL;
    dl_str path = DL_STR_NONE;
    TAP_OK(dl_functions_create(&options, &f, &err), err);
    TAP_TRUE(dl_functions_resolve(f, DL_STR("AHDS/f.dcm"), arena, &path));
    (void)snprintf(want, sizeof want, "%s/lb/AHDS/f.dcm", b.folder);
    TAP_EQ_STR(path, want);
    TAP_TRUE(dl_functions_resolve(f, DL_STR("AHDS/g.dcm"), arena, &path));
    (void)snprintf(want, sizeof want, "%s/la/AHDS/g.dcm", b.folder);
    TAP_EQ_STR(path, want);
    roots[1].folder = DL_STR("relative/AHDS");
    dl_functions *none = NULL;
    TAP_STATUS(dl_functions_create(&options, &none, &err), DL_E_INVALID);
    TAP_TRUE(none == NULL);
}

TAP_CASE(names_are_listed)
{
    bool value = false, url = false;
    size_t i = 0;
    for (; dl_functions_name(i) != NULL; i++) {
        value |= strcmp(dl_functions_name(i), "dicom_value") == 0;
        url |= strcmp(dl_functions_name(i), "file_url") == 0;
    }
    TAP_TRUE(value && url);
    TAP_TRUE(dl_functions_name(i + 1) == NULL);
}

int main(void)
{
    open_bench();
    check_paths();
    ASK_ALL(odd_metadata);
    ASK_ALL(many_rows);
    ASK_ALL(value_cases);
    check_urls();
    ASK_ALL(url_cases);
    make_dicom_files();
    make_odd_entries();
    ASK_ALL(tag_cases);
    TAP_RUN(the_bound_of_headers);
    TAP_RUN(a_cancel_reads_nothing_more);
    TAP_RUN(resolve_gives_paths);
    TAP_RUN(two_lakes_of_one_shape);
    TAP_RUN(names_are_listed);
    close_bench();
    return tap_done();
}
