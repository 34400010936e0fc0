/* Every route in one table, and what their values and bodies are; http/api.h does the rest. */
#include "lakehouse/routes_internal.h"

#include "base/mem.h"
#include "notebook/notebook.h"

#include <string.h>

#define READ "lakehouse/read"
#define WRITE "lakehouse/write"
#define QUERY "lakehouse/query"
#define V(name) (1U << DL_LAKE_VALUE_##name)
#define PAGE (V(LIMIT) | V(TOKEN))
#define LAKES "/lakehouse/lakehouses"
#define LAKE LAKES "/{name}"
#define CUT LAKE "/shortcuts/{kind}/{shortcut}"
#define NONE DL_LAKE_BODY_NONE

/* clang-format off */
static const dl_api_route routes_table[] = {
    {"GET",    LAKES,                   "listLakehouses",   dl_lake_list,            READ,  0, NONE, PAGE, 0, 0, 200, "LakehousePage", "List lakehouses"},
    {"GET",    LAKE,                    "getLakehouse",     dl_lake_get,             READ,  0, NONE, 0, 0, 0, 200, "Lakehouse", "A lakehouse: names of tables and files"},
    {"PUT",    LAKE,                    "saveLakehouse",    dl_lake_put,             WRITE, 0, DL_LAKE_BODY_DOCUMENT, 0, 0, 0, 200, "Lakehouse", "Save a lakehouse whole; 201 when it is new; If-None-Match: * refuses to replace"},
    {"DELETE", LAKE,                    "deleteLakehouse",  dl_lake_delete,          WRITE, 0, NONE, 0, 0, 0, 204, NULL, "Remove a lakehouse; what its names lead to stays"},
    {"GET",    LAKE "/shortcuts",       "listShortcuts",    dl_lake_shortcuts,       READ,  0, NONE, PAGE, 0, 0, 200, "ShortcutPage", "List shortcuts, broken ones with the cause"},
    {"GET",    CUT,                     "getShortcut",      dl_lake_shortcut_get,    READ,  0, NONE, 0, 0, 0, 200, "Shortcut", "A shortcut, and what is broken about it"},
    {"PUT",    CUT,                     "saveShortcut",     dl_lake_shortcut_put,    WRITE, 0, DL_LAKE_BODY_SHORTCUT, 0, V(CONNECTION) | V(SUBPATH), V(CONNECTION) | V(SUBPATH), 200, "Shortcut", "Save a shortcut; 201 when it is new; If-None-Match: * refuses to replace"},
    {"DELETE", CUT,                     "deleteShortcut",   dl_lake_shortcut_delete, WRITE, 0, NONE, 0, 0, 0, 204, NULL, "Remove a shortcut; what it leads to stays"},
    {"POST",   CUT "/test",             "testShortcut",     dl_lake_shortcut_test,   QUERY, 0, NONE, 0, 0, 0, 200, "Shortcut", "Open what a shortcut leads to"},
    {"GET",    LAKE "/tables",          "listTables",       dl_lake_tables,          READ,  0, NONE, PAGE, 0, 0, 200, "ShortcutPage", "List tables, broken ones with the cause"},
    {"GET",    LAKE "/tables/{table}",  "getTable",         dl_lake_table_get,       READ,  0, NONE, 0, 0, 0, 200, "Table", "A table: columns with types and DICOM attributes, rows, size, version, watermark"},
    {"POST",   LAKE "/sql",             "runStatement",     dl_lake_sql,             QUERY, 0, DL_LAKE_BODY_STATEMENT, 0, V(STATEMENT) | V(FORMAT) | V(TIMEOUT) | V(ROWS), V(STATEMENT), 200, "Rows", "Run a statement; rows are streamed in the format of the body or of Accept; the header Statement-Id names it"},
    {"POST",   LAKE "/complete",        "completeStatement", dl_lake_complete,       QUERY, 0, DL_LAKE_BODY_STATEMENT, 0, V(STATEMENT) | V(AT), V(STATEMENT), 200, "Completion", "What could stand at a byte of a statement"},
    {"GET",    LAKE "/files",           "listFiles",        dl_lake_files_get,           READ,  0, NONE, PAGE, 0, 0, 200, "FilePage", "List the shortcuts to folders"},
    {"GET",    LAKE "/files/{path}",    "getFile",          dl_lake_file_get,            READ,  0, NONE, PAGE, 0, 0, 200, "FileOrPage", "A folder's list, or a file; files take Range and If-None-Match"},
    {"GET",    LAKE "/cohorts",         "listCohorts",      dl_lake_cohorts,         READ,  0, NONE, PAGE, 0, 0, 200, "CohortPage", "List cohorts: the newest version of each"},
    {"GET",    LAKE "/cohorts/{cohort}", "getCohort",       dl_lake_cohort_get,      READ,  0, NONE, V(VERSION), 0, 0, 200, "Cohort", "A cohort: its statement, what it read, how many instances"},
    {"PUT",    LAKE "/cohorts/{cohort}", "saveCohort",      dl_lake_cohort_put,      QUERY, 0, DL_LAKE_BODY_STATEMENT, 0, V(STATEMENT) | V(TIMEOUT), V(STATEMENT), 201, "Cohort", "Run a statement and keep its instances as the next version"},
    {"DELETE", LAKE "/cohorts/{cohort}", "deleteCohort",    dl_lake_cohort_delete,   WRITE, 0, NONE, 0, 0, 0, 204, NULL, "Remove a cohort with all its versions"},
    {"GET",    LAKE "/cohorts/{cohort}/instances", "listCohortInstances", dl_lake_cohort_instances, READ, 0, NONE, V(VERSION), 0, 0, 200, "Instances", "Its instances as JSON lines, streamed"},
    {"GET",    LAKE "/notebooks",       "listNotebooks",    dl_lake_notebooks,       READ,  0, NONE, PAGE, 0, 0, 200, "NotebookPage", "List notebooks"},
    {"GET",    LAKE "/notebooks/{notebook}", "getNotebook", dl_lake_notebook_get,    READ,  0, NONE, 0, 0, 0, 200, "Notebook", "A notebook as it is kept: nbformat 4.5"},
    {"PUT",    LAKE "/notebooks/{notebook}", "saveNotebook", dl_lake_notebook_put,   WRITE, 0, DL_LAKE_BODY_NOTEBOOK, 0, 0, 0, 200, "Notebook", "Save a notebook; 201 when it is new; If-None-Match: * refuses to replace"},
    {"DELETE", LAKE "/notebooks/{notebook}", "deleteNotebook", dl_lake_notebook_delete, WRITE, 0, NONE, 0, 0, 0, 204, NULL, "Remove a notebook"},
    {"POST",   LAKE "/notebooks/{notebook}/run", "runNotebook", dl_lake_notebook_run, QUERY, 0, DL_LAKE_BODY_VALUES, 0, V(PARAMETERS) | V(TIMEOUT), 0, 200, "Notebook", "Run a notebook; it is answered with its results, and kept as it was"},
    {"GET",    "/lakehouse/statements", "listStatements",   dl_lake_statements,      READ,  0, NONE, 0, 0, 0, 200, "StatementPage", "Statements under way; what they say is not told"},
    {"DELETE", "/lakehouse/statements/{id}", "cancelStatement", dl_lake_cancel,      QUERY, 0, NONE, 0, 0, 0, 204, NULL, "Cancel a statement"},
    {"GET",    "/lakehouse/openapi.json", "getLakehouseOpenApi", dl_api_openapi,     READ,  0, NONE, 0, 0, 0, 200, "OpenApi", "This document"},
};
/* clang-format on */

const dl_api_route *dl_lake_route_table(size_t *out_count)
{
    *out_count = DL_COUNT_OF(routes_table);
    return routes_table;
}

/* ---- values ---- */

/* At most so many characters, none of them a control character. */
static bool is_shown_text(dl_str text, size_t limit)
{
    size_t count = 0;
    bool good = text.len > 0;
    for (size_t i = 0; good && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        count += (c & 0xc0) != 0x80 ? 1 : 0; /* one begins */
        good = c >= ' ' && c != 0x7f && count <= limit;
    }
    return good && dl_str_is_utf8(text);
}

static dl_status check_shown(const dl_api_value *value, dl_str text, DL_UNUSED int64_t *out_number,
                             dl_error *err)
{
    return is_shown_text(text, DL_LAKE_TEXT_LIMIT)
               ? DL_OK
               : dl_api_bad_value(value, "1 to 1000 characters, none of them a control character",
                                  err);
}

static dl_status check_statement(const dl_api_value *value, dl_str text,
                                 DL_UNUSED int64_t *out_number, dl_error *err)
{
    if (text.len > DL_QUERY_STATEMENT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "A statement of %zu bytes exceeds %d.", text.len,
                            (int)DL_QUERY_STATEMENT_LIMIT_BYTES);
    }
    return text.len > 0 ? DL_OK : dl_api_bad_value(value, "a statement", err);
}

/* Parquet needs a file that can be gone back in. */
static dl_status check_format(const dl_api_value *value, dl_str text, int64_t *out_number,
                              dl_error *err)
{
    for (int i = 0; i < DL_QUERY_FORMATS; i++) {
        if (dl_str_eq(text, dl_str_of(dl_query_format_name((dl_query_format)i)))) {
            *out_number = i;
            if (i == DL_QUERY_PARQUET) {
                (void)dl_error_set(err, DL_E_UNSUPPORTED, "Parquet cannot be streamed.");
                dl_error_hint(err, "ask for arrow, or use: dicomlake sql -o FILE.parquet");
                return DL_E_UNSUPPORTED;
            }
            return DL_OK;
        }
    }
    return dl_api_bad_value(value, "table, csv, json, jsonl, markdown, html or arrow", err);
}

static dl_status check_seconds(const dl_api_value *value, dl_str text, int64_t *out_number,
                               dl_error *err)
{
    if (!dl_json_int_of(text, out_number) || *out_number < 1 ||
        *out_number > DL_LAKE_TIMEOUT_LIMIT_SECONDS) {
        return dl_api_bad_value(value, "a whole number from 1 to 86400", err);
    }
    return DL_OK;
}

static dl_status check_rows(const dl_api_value *value, dl_str text, int64_t *out_number,
                            dl_error *err)
{
    return dl_json_int_of(text, out_number) && *out_number >= 1
               ? DL_OK
               : dl_api_bad_value(value, "a whole number from 1", err);
}

static dl_status check_at(const dl_api_value *value, dl_str text, int64_t *out_number,
                          dl_error *err)
{
    return dl_json_int_of(text, out_number) && *out_number >= 0
               ? DL_OK
               : dl_api_bad_value(value, "a whole number from 0", err);
}

static dl_status check_version(const dl_api_value *value, dl_str text, int64_t *out_number,
                               dl_error *err)
{
    return dl_str_to_i64(text, out_number) && *out_number >= 1
               ? DL_OK
               : dl_api_bad_value(value, "a whole number from 1", err);
}

#define SHOWN "{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000}"
static const dl_api_type type_shown = {DL_JSON_STRING, check_shown, SHOWN};
static const dl_api_type type_statement = {
    DL_JSON_STRING, check_statement, "{\"type\":\"string\",\"minLength\":1,\"maxLength\":1048576}"};
static const dl_api_type type_format = {
    DL_JSON_STRING, check_format,
    "{\"type\":\"string\",\"enum\":[\"table\",\"csv\",\"json\",\"jsonl\",\"markdown\",\"html\","
    "\"arrow\"]}"};
static const dl_api_type type_seconds = {DL_JSON_NUMBER, check_seconds,
                                         "{\"type\":\"integer\",\"minimum\":1,\"maximum\":86400}"};
static const dl_api_type type_rows = {
    DL_JSON_NUMBER, check_rows,
    "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9007199254740991}"};
static const dl_api_type type_at = {DL_JSON_NUMBER, check_at,
                                    "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1048576}"};
static const dl_api_type type_version = {
    DL_JSON_STRING, check_version,
    "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9007199254740991}"};

static const dl_api_value values_table[DL_LAKE_VALUES] = {
    [DL_LAKE_VALUE_LIMIT] = {"limit", &dl_api_type_page, "most items of a page"},
    [DL_LAKE_VALUE_TOKEN] = {"continuationToken", &type_shown, "as the page before gave it"},
    [DL_LAKE_VALUE_CONNECTION] = {"connection", &type_shown, "name of a lake, or home:"},
    [DL_LAKE_VALUE_SUBPATH] = {"subpath", &type_shown, "container and folder, /dicom/instance"},
    [DL_LAKE_VALUE_STATEMENT] = {"statement", &type_statement, "one statement in SQL"},
    [DL_LAKE_VALUE_FORMAT] = {"format", &type_format, "of the rows"},
    [DL_LAKE_VALUE_TIMEOUT] = {"timeoutSeconds", &type_seconds,
                               "to the last row; at most the setting lakehouse.seconds"},
    [DL_LAKE_VALUE_ROWS] = {"rowLimit", &type_rows, "one more is a failure"},
    [DL_LAKE_VALUE_AT] = {"at", &type_at, "byte of the statement"},
    [DL_LAKE_VALUE_VERSION] = {"version", &type_version, "of a cohort; the newest without"},
    [DL_LAKE_VALUE_PARAMETERS] = {"parameters", &dl_api_type_object, "values by their names"},
};

/* ---- what stands in a path ---- */

#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-]{1,140}$\"}"

static dl_status check_name(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    return dl_factory_name_check(value, "lakehouse", err);
}

static dl_status check_cohort(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    return dl_factory_name_check(value, "cohort", err);
}

static dl_status check_notebook(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    return dl_factory_name_check(value, "notebook", err);
}

static dl_status check_kind(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    if (dl_str_eq(value, DL_STR("Tables")) || dl_str_eq(value, DL_STR("Files"))) {
        return DL_OK;
    }
    return dl_error_set(err, DL_E_INVALID, "Shortcuts stand under Tables or Files.");
}

static dl_status check_shortcut(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    return value.len <= DL_SHORTCUT_NAME_LIMIT && is_shown_text(value, DL_SHORTCUT_NAME_LIMIT)
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID,
                              "A shortcut's name is 1 to %d bytes of text without control "
                              "characters.",
                              (int)DL_SHORTCUT_NAME_LIMIT);
}

static dl_status check_path(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    return is_shown_text(value, DL_LAKE_TEXT_LIMIT)
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID,
                              "A path is 1 to 1000 characters, none of them a control character.");
}

static dl_status check_id(DL_UNUSED const dl_api_request *r, dl_str value, dl_error *err)
{
    bool good = value.len == DL_CHILD_ID_SIZE - 1;
    for (size_t i = 0; good && i < value.len; i++) {
        char c = value.ptr[i];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return good
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID, "The id of a statement is 32 digits 0-9 and a-f.");
}

static const dl_api_param params_table[] = {
    {"name", false, check_name, NAME, "name of a lakehouse; home: the home's own"},
    {"kind", false, check_kind, "{\"type\":\"string\",\"enum\":[\"Tables\",\"Files\"]}",
     "where a shortcut stands"},
    {"shortcut", false, check_shortcut, SHOWN, "name of a shortcut"},
    {"table", false, check_shortcut, SHOWN, "name of a table"},
    {"cohort", false, check_cohort, NAME, "name of a cohort"},
    {"notebook", false, check_notebook, NAME, "name of a notebook, without .ipynb"},
    {"path", true, check_path, SHOWN, "shortcut and path below it, or a filePath of a row"},
    {"id", false, check_id, "{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{32}$\"}",
     "id of a statement under way"},
};

/* ---- bodies ---- */

#define JSON_BODY "application/json"
#define ANY_OBJECT "{\"type\":\"object\"}"
#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"
static const dl_api_body bodies_table[DL_LAKE_BODIES] = {
    [DL_LAKE_BODY_VALUES] = {.form = DL_API_VALUES,
                             .limit_bytes = DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES,
                             .types = {{JSON_BODY, ANY_OBJECT}}},
    [DL_LAKE_BODY_STATEMENT] = {.form = DL_API_VALUES,
                                .limit_bytes = DL_LAKE_STATEMENT_BODY_BYTES,
                                .types = {{JSON_BODY, ANY_OBJECT}}},
    [DL_LAKE_BODY_SHORTCUT] = {.form = DL_API_VALUES,
                               .limit_bytes = DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES,
                               .types = {{JSON_BODY, ANY_OBJECT}},
                               .only_new = true},
    [DL_LAKE_BODY_DOCUMENT] = {.form = DL_API_OBJECT,
                               .limit_bytes = DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES,
                               .types = {{JSON_BODY, REF("Document")}},
                               .only_new = true},
    [DL_LAKE_BODY_NOTEBOOK] = {.form = DL_API_OBJECT,
                               .limit_bytes = DL_NOTEBOOK_LIMIT_BYTES,
                               .types = {{JSON_BODY, REF("Notebook")},
                                         {"application/x-ipynb+json", REF("Notebook")}},
                               .only_new = true},
};

/* ---- one request ---- */

dl_status dl_lake_of(dl_api_request *r, dl_lakehouse *out, dl_error *err)
{
    return dl_lakehouse_get(dl_lake_factory(r), dl_api_param_of(r, "name"), r->arena, out, err);
}

void dl_lake_put_text(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    if (text.len > 0) {
        dl_json_string(w, text);
    } else {
        dl_json_null(w);
    }
}

void dl_lake_put_time(dl_json_writer *w, const char *key, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(time_us, text);
    dl_lake_put_text(w, key, time_us == 0 ? DL_STR("") : dl_str_of(text));
}

/* ---- the app ---- */

static const char *const *types_of(const char *answer)
{
    static const char *const file[] = {"application/json", "application/dicom", "text/plain",
                                       "application/octet-stream", NULL};
    static const char *const lines[] = {"application/x-ndjson", NULL};
    if (strcmp(answer, "Rows") == 0) {
        return dl_lake_row_types();
    }
    if (strcmp(answer, "Instances") == 0) {
        return lines;
    }
    return strcmp(answer, "FileOrPage") == 0 ? file : NULL;
}

static dl_api make_api(void)
{
    size_t schema_count = 0;
    const dl_api_schema *schemas = dl_lake_schemas(&schema_count);
    return (dl_api){.name = "lakehouse",
                    .title = "dicomlake: lakehouses, SQL, files, cohorts and notebooks",
                    .routes = routes_table,
                    .route_count = DL_COUNT_OF(routes_table),
                    .values = values_table,
                    .value_count = DL_COUNT_OF(values_table),
                    .params = params_table,
                    .param_count = DL_COUNT_OF(params_table),
                    .bodies = bodies_table,
                    .schemas = schemas,
                    .schema_count = schema_count,
                    .types_of = types_of};
}

bool dl_lakehouse_routes_has(dl_str path)
{
    return dl_str_starts(path, DL_STR("/lakehouse/"));
}

dl_http_app dl_lakehouse_routes_app(dl_lakehouse_routes *routes)
{
    return dl_api_app(&routes->mount);
}

dl_status dl_lakehouse_routes_create(const dl_lakehouse_routes_options *options,
                                     dl_lakehouse_routes **out_routes, dl_error *err)
{
    dl_lakehouse_routes *routes = dl_mem_zalloc(1, sizeof *routes);
    if (routes == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for routes");
    }
    routes->options = *options;
    routes->api = make_api();
    routes->mount = (dl_api_mount){.api = &routes->api, .context = routes};
    *out_routes = routes;
    return DL_OK;
}

void dl_lakehouse_routes_destroy(dl_lakehouse_routes *routes)
{
    dl_mem_free(routes);
}
