/* Notebooks read and written: what Jupyter writes comes back byte for byte, all else is refused
 * with its place. */
#include "base/file.h"
#include "base/mem.h"
#include "notebook/notebook.h"
#include "tap.h"
#include "json/json.h"

enum { ARENA = 1024 * 1024 * 1024, TEXT = 256 * 1024 * 1024 };

static const char *jupyter, *future; /* paths */

static dl_arena *arena;
static dl_buf text;
static dl_error err;

static void begin(void)
{
    arena = dl_arena_create(ARENA);
    dl_buf_init(&text, TEXT);
    err = (dl_error){0};
}

static void end(void)
{
    dl_arena_destroy(arena);
    dl_buf_clear(&text);
}

/* Reads and writes again into `text`. */
static void again(dl_str json, dl_notebook *out)
{
    *out = (dl_notebook){0};
    dl_buf_reset(&text);
    TAP_OK(dl_notebook_read(json, arena, out, &err), err);
    TAP_OK(dl_notebook_write(out, &text, &err), err);
}

static void same_file(const char *path)
{
    DL_AUTO_BUF file = {0};
    dl_notebook notebook;
    dl_buf_init(&file, TEXT);
    TAP_OK(dl_file_read_all(path, &file, &err), err);
    again(dl_buf_str(&file), &notebook);
    TAP_TRUE(dl_str_eq(dl_buf_str(&text), dl_buf_str(&file)));
}

TAP_CASE(a_notebook_of_jupyter_comes_back_byte_for_byte)
{
    begin();
    same_file(jupyter);
    end();
}

/* Its cells have no ids: given once, they stay. */
TAP_CASE(what_a_later_format_brings_is_kept)
{
    DL_AUTO_BUF file = {0}, once = {0};
    dl_notebook notebook;
    begin();
    dl_buf_init(&file, TEXT);
    dl_buf_init(&once, TEXT);
    TAP_OK(dl_file_read_all(future, &file, &err), err);
    again(dl_buf_str(&file), &notebook);
    TAP_EQ_INT(notebook.minor, 99);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("\"output_type\": \"future output\"")) > 0);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("\"nbformat_minor\": 99")) > 0);
    TAP_OK(dl_buf_append_str(&once, dl_buf_str(&text), &err), err);
    again(dl_buf_str(&once), &notebook);
    TAP_TRUE(dl_str_eq(dl_buf_str(&text), dl_buf_str(&once)));
    end();
}

/* A notebook of one cell; `cell` are its members. */
#define ONE(cell) "{\"cells\":[{" cell "}],\"metadata\":{},\"nbformat\":4,\"nbformat_minor\":5}"

static const struct {
    const char *name, *json, *want;
} layouts[] = {
    {"an empty notebook", "{\"nbformat\":4,\"cells\":[],\"nbformat_minor\":5,\"metadata\":{}}",
     "{\n \"cells\": [],\n \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"},
    {"unknown members stay, in order of names",
     "{\"zebra\":[1,2.50,-0,1E3],\"about\":null,\"cells\":[],\"nbformat\":4,\"nbformat_minor\":5,"
     "\"metadata\":{\"b\":{},\"a\":[[]]}}",
     "{\n \"about\": null,\n \"cells\": [],\n \"metadata\": {\n  \"a\": [\n   []\n  ],\n  \"b\": "
     "{}\n },\n \"nbformat\": 4,\n \"nbformat_minor\": 5,\n \"zebra\": [\n  1,\n  2.50,\n  -0,\n  "
     "1E3\n ]\n}\n"},
    {"escapes that need not be are written as what they are; of equal names the last",
     "{\"nbformat\":4,\"cells\":[],\"nbformat_minor\":5,\"metadata\":{\"\\u0061\":\"\\/"
     "\\u00e9\\u0001\\ud83d\\ude00\",\"k\":1,\"k\":2}}",
     "{\n \"cells\": [],\n \"metadata\": {\n  \"a\": \"/\xc3\xa9\\u0001\xf0\x9f\x98\x80\",\n  "
     "\"k\": 2\n },\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"},
    {"a source in one text becomes lines, cut where Python cuts",
     ONE("\"cell_type\":\"markdown\",\"id\":\"a\",\"metadata\":{},"
         "\"source\":\"1\\n2\\r\\n3\\r4\\u000b5\\u001c6\\u00857\\u20288\\u001f9\""),
     "{\n \"cells\": [\n  {\n   \"cell_type\": \"markdown\",\n   \"id\": \"a\",\n   \"metadata\": "
     "{},\n   \"source\": [\n    \"1\\n\",\n    \"2\\r\\n\",\n    \"3\\r\",\n    \"4\\u000b\",\n   "
     " "
     "\"5\\u001c\",\n    \"6\xc2\x85\",\n    \"7\xe2\x80\xa8\",\n    \"8\\u001f9\"\n   ]\n  }\n "
     "],\n "
     "\"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"},
    {"outputs in one text or in many become lines, base64 and JSON do not",
     ONE("\"cell_type\":\"code\",\"id\":\"a\",\"metadata\":{},\"source\":[],\"execution_count\":3,"
         "\"outputs\":[{\"output_type\":\"display_data\",\"metadata\":{},\"data\":{"
         "\"text/plain\":\"x\\ny\",\"image/png\":[\"QQ\",\"==\"],"
         "\"application/json\":[\"a\",\"b\"]}}"
         ",{\"output_type\":\"stream\",\"name\":\"stdout\",\"text\":[\"a\",\"b\\nc\"]}]"),
     "{\n \"cells\": [\n  {\n   \"cell_type\": \"code\",\n   \"execution_count\": 3,\n   \"id\": "
     "\"a\",\n   \"metadata\": {},\n   \"outputs\": [\n    {\n     \"data\": {\n      "
     "\"application/json\": [\n       \"a\",\n       \"b\"\n      ],\n      \"image/png\": "
     "\"QQ==\",\n      \"text/plain\": [\n       \"x\\n\",\n       \"y\"\n      ]\n     },\n     "
     "\"metadata\": {},\n     \"output_type\": \"display_data\"\n    },\n    {\n     \"name\": "
     "\"stdout\",\n     \"output_type\": \"stream\",\n     \"text\": [\n      \"ab\\n\",\n      "
     "\"c\"\n     ]\n    }\n   ],\n   \"source\": []\n  }\n ],\n \"metadata\": {},\n \"nbformat\": "
     "4,\n \"nbformat_minor\": 5\n}\n"},
    {"attachments of a cell, and outputs where none belong, are kept",
     ONE("\"cell_type\":\"raw\",\"id\":\"a\",\"metadata\":{},\"source\":\"\",\"outputs\":[1],"
         "\"attachments\":{\"p\":{\"text/plain\":\"a\\nb\"}}"),
     "{\n \"cells\": [\n  {\n   \"attachments\": {\n    \"p\": {\n     \"text/plain\": [\n      "
     "\"a\\n\",\n      \"b\"\n     ]\n    }\n   },\n   \"cell_type\": \"raw\",\n   \"id\": "
     "\"a\",\n "
     "  \"metadata\": {},\n   \"outputs\": [\n    1\n   ],\n   \"source\": []\n  }\n ],\n "
     "\"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"},
};

static void layout_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(layouts); i++) {
        TAP_ROW_BEGIN();
        dl_notebook notebook;
        begin();
        again(dl_str_of(layouts[i].json), &notebook);
        TAP_EQ_STR(dl_buf_str(&text), layouts[i].want);
        end();
        TAP_ROW_END(layouts[i].name);
    }
}

static const struct {
    const char *name, *json;
    dl_status want;
    const char *message;
} bad[] = {
    {"nothing", "", DL_E_INVALID, "byte 0"},
    {"no JSON", "{\"cells\":[}", DL_E_INVALID, "byte 10"},
    {"a list", "[]", DL_E_INVALID, "$: must be an object"},
    {"another document", "{\"a\":1}", DL_E_INVALID, "$.nbformat"},
    {"format 3", "{\"nbformat\":3,\"worksheets\":[],\"metadata\":{}}", DL_E_UNSUPPORTED,
     "nbformat 3"},
    {"format 5", "{\"nbformat\":5,\"cells\":[],\"metadata\":{}}", DL_E_UNSUPPORTED, "nbformat 5"},
    {"a minor format below 0", "{\"nbformat\":4,\"nbformat_minor\":-1,\"cells\":[]}", DL_E_INVALID,
     "$.nbformat_minor"},
    {"no cells", "{\"nbformat\":4,\"metadata\":{}}", DL_E_INVALID, "$.cells: is missing"},
    {"cells as an object", "{\"nbformat\":4,\"cells\":{}}", DL_E_INVALID, "$.cells"},
    {"metadata as a list", "{\"nbformat\":4,\"cells\":[],\"metadata\":[]}", DL_E_INVALID,
     "$.metadata"},
    {"a cell that is none",
     "{\"nbformat\":4,\"cells\":[{\"cell_type\":\"raw\",\"source\":\"\"},7]}", DL_E_INVALID,
     "$.cells[1]"},
    {"a cell without a type", ONE("\"source\":\"\""), DL_E_INVALID, "$.cells[0].cell_type"},
    {"a cell of no type", ONE("\"cell_type\":\"heading\",\"source\":\"\""), DL_E_INVALID,
     "$.cells[0].cell_type"},
    {"a type that is no text", ONE("\"cell_type\":1,\"source\":\"\""), DL_E_INVALID,
     "$.cells[0].cell_type"},
    {"no source", ONE("\"cell_type\":\"code\""), DL_E_INVALID, "$.cells[0].source"},
    {"a source of numbers", ONE("\"cell_type\":\"code\",\"source\":[1]"), DL_E_INVALID,
     "$.cells[0].source"},
    {"metadata as text", ONE("\"cell_type\":\"code\",\"source\":\"\",\"metadata\":\"\""),
     DL_E_INVALID, "$.cells[0].metadata"},
    {"outputs as an object", ONE("\"cell_type\":\"code\",\"source\":\"\",\"outputs\":{}"),
     DL_E_INVALID, "$.cells[0].outputs"},
    {"an output that is none", ONE("\"cell_type\":\"code\",\"source\":\"\",\"outputs\":[1]"),
     DL_E_INVALID, "$.cells[0].outputs"},
    {"a count as text", ONE("\"cell_type\":\"code\",\"source\":\"\",\"execution_count\":\"1\""),
     DL_E_INVALID, "$.cells[0].execution_count"},
    {"an id with a space", ONE("\"cell_type\":\"code\",\"source\":\"\",\"id\":\"a b\""),
     DL_E_INVALID, "$.cells[0].id"},
    {"an empty id", ONE("\"cell_type\":\"code\",\"source\":\"\",\"id\":\"\""), DL_E_INVALID,
     "$.cells[0].id"},
    {"an id that is no text", ONE("\"cell_type\":\"code\",\"source\":\"\",\"id\":7"), DL_E_INVALID,
     "$.cells[0].id"},
    {"half a surrogate", ONE("\"cell_type\":\"code\",\"source\":\"\\ud800\""), DL_E_INVALID,
     "surrogate"},
};

static void bad_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        TAP_ROW_BEGIN();
        dl_notebook notebook = {.minor = 77};
        begin();
        TAP_STATUS(dl_notebook_read(dl_str_of(bad[i].json), arena, &notebook, &err), bad[i].want);
        TAP_EQ_INT(notebook.minor, 77);
        if (strstr(err.message, bad[i].message) == NULL) {
            TAP_FAIL("'%s' is not in '%s'", bad[i].message, err.message);
        }
        end();
        TAP_ROW_END(bad[i].name);
    }
}

TAP_CASE(ids_are_given_where_they_lack)
{
    static const char json[] = "{\"nbformat\":4,\"nbformat_minor\":2,\"cells\":["
                               "{\"cell_type\":\"raw\",\"source\":\"\"},"
                               "{\"cell_type\":\"raw\",\"source\":\"\",\"id\":\"cell-1\"},"
                               "{\"cell_type\":\"raw\",\"source\":\"\",\"id\":\"x\"},"
                               "{\"cell_type\":\"raw\",\"source\":\"\",\"id\":\"x\"}]}";
    static const char *const want[] = {"cell-1-2", "cell-1", "x", "cell-4"};
    dl_notebook notebook;
    begin();
    again(DL_STR(json), &notebook);
    TAP_EQ_INT(notebook.cell_count, 4);
    for (size_t i = 0; i < notebook.cell_count; i++) {
        TAP_EQ_STR(notebook.cells[i].id, want[i]);
    }
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("\"nbformat_minor\": 5")) > 0);
    end();
}

/* ---- limits ---- */

static void put_id_notebook(size_t length)
{
    dl_buf_reset(&text);
    TAP_OK(dl_buf_append_str(&text,
                             DL_STR("{\"nbformat\":4,\"cells\":[{\"cell_type\":\"raw\","
                                    "\"source\":\"\",\"id\":\""),
                             &err),
           err);
    for (size_t i = 0; i < length; i++) {
        TAP_OK(dl_buf_append_char(&text, 'a', &err), err);
    }
    TAP_OK(dl_buf_append_str(&text, DL_STR("\"}]}"), &err), err);
}

TAP_CASE(an_id_has_64_characters)
{
    dl_notebook notebook;
    begin();
    put_id_notebook(64);
    TAP_OK(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), err);
    put_id_notebook(65);
    TAP_STATUS(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), DL_E_INVALID);
    end();
}

static void put_cells(size_t count)
{
    dl_buf_reset(&text);
    TAP_OK(dl_buf_append_str(&text, DL_STR("{\"nbformat\":4,\"cells\":["), &err), err);
    for (size_t i = 0; i < count; i++) {
        TAP_OK(dl_buf_append_str(&text, i == 0 ? DL_STR("") : DL_STR(","), &err), err);
        TAP_OK(dl_buf_append_str(&text, DL_STR("{\"cell_type\":\"raw\",\"source\":\"\"}"), &err),
               err);
    }
    TAP_OK(dl_buf_append_str(&text, DL_STR("]}"), &err), err);
}

TAP_CASE(cells_up_to_the_limit)
{
    dl_notebook notebook;
    begin();
    put_cells(DL_NOTEBOOK_CELL_LIMIT);
    TAP_OK(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), err);
    TAP_EQ_INT(notebook.cell_count, DL_NOTEBOOK_CELL_LIMIT);
    TAP_EQ_STR(notebook.cells[DL_NOTEBOOK_CELL_LIMIT - 1].id, "cell-10000");
    put_cells(DL_NOTEBOOK_CELL_LIMIT + 1);
    TAP_STATUS(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), DL_E_LIMIT);
    end();
}

/* A notebook of exactly so many bytes, filled with spaces. */
static void put_bytes(size_t count)
{
    put_cells(1);
    size_t more = count - text.len;
    TAP_OK(dl_buf_reserve(&text, more, &err), err);
    memset(text.ptr + text.len, ' ', more);
    text.len += more;
}

TAP_CASE(bytes_up_to_the_limit)
{
    dl_notebook notebook;
    begin();
    put_bytes(DL_NOTEBOOK_LIMIT_BYTES);
    TAP_OK(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), err);
    put_bytes((size_t)DL_NOTEBOOK_LIMIT_BYTES + 1);
    TAP_STATUS(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), DL_E_LIMIT);
    end();
}

static void put_depth(size_t depth)
{
    dl_buf_reset(&text);
    TAP_OK(dl_buf_append_str(&text, DL_STR("{\"nbformat\":4,\"cells\":[],\"deep\":"), &err), err);
    for (size_t i = 0; i < depth; i++) {
        TAP_OK(dl_buf_append_str(&text, i % 2 == 0 ? DL_STR("[") : DL_STR("{\"a\":"), &err), err);
    }
    TAP_OK(dl_buf_append_str(&text, DL_STR("0"), &err), err);
    for (size_t i = depth; i > 0; i--) {
        TAP_OK(dl_buf_append_char(&text, i % 2 == 1 ? ']' : '}', &err), err);
    }
    TAP_OK(dl_buf_append_char(&text, '}', &err), err);
}

TAP_CASE(depth_up_to_the_limit)
{
    dl_notebook notebook;
    DL_AUTO_BUF deep = {0};
    begin();
    dl_buf_init(&deep, TEXT);
    put_depth(DL_JSON_DEPTH_LIMIT - 1);
    TAP_OK(dl_buf_append_str(&deep, dl_buf_str(&text), &err), err);
    again(dl_buf_str(&deep), &notebook);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("0\n")) > 0);
    put_depth(DL_JSON_DEPTH_LIMIT);
    TAP_STATUS(dl_notebook_read(dl_buf_str(&text), arena, &notebook, &err), DL_E_INVALID);
    end();
}

/* ---- languages ---- */

#define CODE(source) "\"cell_type\":\"code\",\"metadata\":{},\"source\":\"" source "\""
#define TAGGED                                                                                     \
    "\"cell_type\":\"code\",\"source\":\"a = 1\",\"metadata\":{\"tags\":[\"x\",\"parameters\"]}"
#define IN(metadata, cell)                                                                         \
    "{\"cells\":[{" cell "}],\"metadata\":{" metadata "},\"nbformat\":4,\"nbformat_minor\":5}"
#define PYTHON "\"language_info\":{\"name\":\"python\"}"

static const struct {
    const char *name, *json;
    dl_notebook_language want;
} languages[] = {
    {"nothing said", IN("", CODE("SELECT 1")), DL_NOTEBOOK_SQL},
    {"a notebook of Python", IN(PYTHON, CODE("x = 1")), DL_NOTEBOOK_OTHER},
    {"its kernel alone", IN("\"kernelspec\":{\"language\":\"python\"}", CODE("x = 1")),
     DL_NOTEBOOK_OTHER},
    {"our word goes before Jupyter's",
     IN(PYTHON ",\"dicomlake\":{\"language\":\"sql\"}", CODE("SELECT 1")), DL_NOTEBOOK_SQL},
    {"%%sql in a notebook of Python", IN(PYTHON, CODE("%%sql\\nSELECT 1")), DL_NOTEBOOK_SQL},
    {"%%SparkSQL behind empty lines", IN(PYTHON, CODE("\\n \\r\\n%%SparkSQL\\r\\nSELECT 1")),
     DL_NOTEBOOK_SQL},
    {"%%chart", IN("", CODE("%%chart bar\\nSELECT 1")), DL_NOTEBOOK_CHART},
    {"%%pyspark", IN("", CODE("%%pyspark\\nx")), DL_NOTEBOOK_OTHER},
    {"%% alone is no word", IN("", CODE("%% sql")), DL_NOTEBOOK_SQL},
    {"the cell's metadata",
     IN("", "\"cell_type\":\"code\",\"source\":\"x\",\"metadata\":{\"vscode\":{\"languageId\":"
            "\"python\"}}"),
     DL_NOTEBOOK_OTHER},
    {"Fabric's metadata",
     IN(PYTHON, "\"cell_type\":\"code\",\"source\":\"x\",\"metadata\":{\"microsoft\":{\"language\":"
                "\"sparksql\"}}"),
     DL_NOTEBOOK_SQL},
    {"parameters", IN("", TAGGED), DL_NOTEBOOK_PARAMETERS},
    {"parameters in Python", IN(PYTHON, TAGGED), DL_NOTEBOOK_OTHER},
    {"strange metadata", IN("\"language_info\":[1],\"kernelspec\":7", CODE("x")), DL_NOTEBOOK_SQL},
};

static void language_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(languages); i++) {
        TAP_ROW_BEGIN();
        dl_notebook notebook = {0};
        begin();
        TAP_OK(dl_notebook_read(dl_str_of(languages[i].json), arena, &notebook, &err), err);
        TAP_TRUE(notebook.cell_count == 1 && notebook.cells[0].language == languages[i].want);
        end();
        TAP_ROW_END(languages[i].name);
    }
}

/* ---- a new one ---- */

TAP_CASE(a_new_notebook_begins_over_a_table)
{
    const dl_query_table tables[] = {
        {.name = DL_STR("aaa"), .broken = DL_STR("gone")},
        {.name = DL_STR("my \"odd\" *table*")},
        {.name = DL_STR("Instance")},
    };
    dl_notebook notebook, back;
    begin();
    TAP_OK(dl_notebook_make(DL_STR("A <b>title</b>"), tables, 3, arena, &notebook, &err), err);
    TAP_EQ_INT(notebook.cell_count, 2);
    TAP_EQ_STR(notebook.cells[0].source,
               "# A \\<b\\>title\\</b\\>\n\nTables:\n\n- aaa (cannot be read now)\n"
               "- my \\\"odd\\\" \\*table\\*\n- Instance");
    TAP_EQ_STR(notebook.cells[1].source, "SELECT * FROM Instance LIMIT 10");
    TAP_OK(dl_notebook_write(&notebook, &text, &err), err);
    TAP_OK(dl_notebook_read(dl_buf_str(&text), arena, &back, &err), err);
    TAP_TRUE(back.cells[1].language == DL_NOTEBOOK_SQL);
    TAP_OK(dl_notebook_make(DL_STR("t"), tables, 2, arena, &notebook, &err), err);
    TAP_EQ_STR(notebook.cells[1].source, "SELECT * FROM \"my \"\"odd\"\" *table*\" LIMIT 10");
    TAP_OK(dl_notebook_make(DL_STR("t"), NULL, 0, arena, &notebook, &err), err);
    TAP_EQ_STR(notebook.cells[1].source, "SHOW TABLES");
    end();
}

/* ---- trouble ---- */

TAP_CASE(each_allocation_may_fail)
{
    DL_AUTO_BUF file = {0};
    begin();
    dl_buf_init(&file, TEXT);
    TAP_OK(dl_file_read_all(jupyter, &file, &err), err);
    end();
    dl_mem_fail_after(-1);
    bool done = false;
    for (int64_t n = 0; n < 2000 && !done; n++) {
        dl_mem_fail_after(n);
        dl_arena *a = dl_arena_create(ARENA);
        dl_buf out = {0};
        dl_buf_init(&out, TEXT);
        dl_notebook notebook = {.minor = 77};
        dl_error why = {0};
        dl_status status =
            a == NULL ? DL_E_NOMEM : dl_notebook_read(dl_buf_str(&file), a, &notebook, &why);
        if (status != DL_OK) {
            TAP_EQ_INT(notebook.minor, 77);
        } else {
            status = dl_notebook_write(&notebook, &out, &why);
            TAP_TRUE(status == DL_OK || out.len == 0);
        }
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
        done = status == DL_OK;
        dl_buf_clear(&out);
        dl_arena_destroy(a);
    }
    TAP_TRUE(done);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    jupyter = argv[1];
    future = argv[2];
    TAP_RUN(a_notebook_of_jupyter_comes_back_byte_for_byte);
    TAP_RUN(what_a_later_format_brings_is_kept);
    layout_rows();
    bad_rows();
    TAP_RUN(ids_are_given_where_they_lack);
    TAP_RUN(an_id_has_64_characters);
    TAP_RUN(cells_up_to_the_limit);
    TAP_RUN(bytes_up_to_the_limit);
    TAP_RUN(depth_up_to_the_limit);
    language_rows();
    TAP_RUN(a_new_notebook_begins_over_a_table);
    TAP_RUN(each_allocation_may_fail);
    return tap_done();
}
