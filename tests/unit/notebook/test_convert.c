/* Other forms: scripts that read back, Markdown, a page without anything that acts. */
#include "base/mem.h"
#include "notebook/internal.h"
#include "tap.h"

enum { ARENA = 256 * 1024 * 1024, TEXT = 64 * 1024 * 1024 };

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

static dl_notebook_cell cell_of(dl_notebook_cell_kind kind, const char *source)
{
    return (dl_notebook_cell){.kind = kind,
                              .id = DL_STR("a"),
                              .source = dl_str_of(source),
                              .metadata_json = DL_STR("{}"),
                              .outputs_json = DL_STR("[]")};
}

static dl_notebook notebook_of(dl_notebook_cell *cells, size_t count)
{
    dl_notebook notebook = {.metadata_json = DL_STR("{}"), .cells = cells, .cell_count = count};
    TAP_OK(dl_notebook_tell_languages(&notebook, arena, &err), err);
    return notebook;
}

static void convert(const dl_notebook *notebook, dl_notebook_form form)
{
    dl_buf_reset(&text);
    TAP_OK(dl_notebook_convert(notebook, form, &text, &err), err);
}

static bool has(const char *words)
{
    return dl_str_find_str(dl_buf_str(&text), dl_str_of(words)) >= 0;
}

/* ---- scripts ---- */

TAP_CASE(a_script)
{
    begin();
    dl_notebook_cell cells[] = {
        cell_of(DL_NOTEBOOK_MARKDOWN, "# Title\n\ntext"),
        cell_of(DL_NOTEBOOK_CODE, "m = 'CT'"),
        cell_of(DL_NOTEBOOK_CODE, "SELECT 1"),
        cell_of(DL_NOTEBOOK_CODE, "%%sql\nSELECT 2; -- done"),
        cell_of(DL_NOTEBOOK_CODE, "%%chart bar x=a\nSELECT 3 -- three"),
        cell_of(DL_NOTEBOOK_CODE, "%%python\nprint(1)\n"),
        cell_of(DL_NOTEBOOK_RAW, "raw"),
    };
    cells[1].metadata_json = DL_STR("{\"tags\": [\"parameters\"]}");
    dl_notebook notebook = notebook_of(cells, DL_COUNT_OF(cells));
    convert(&notebook, DL_NOTEBOOK_SQL_SCRIPT);
    TAP_EQ_STR(dl_buf_str(&text), "-- %% [markdown]\n-- # Title\n--\n-- text\n\n"
                                  "-- %% [parameters]\n-- m = 'CT'\n\n"
                                  "-- %%\nSELECT 1;\n\n"
                                  "-- %%\nSELECT 2; -- done\n\n"
                                  "-- %%\n-- %%chart bar x=a\nSELECT 3 -- three\n;\n\n"
                                  "-- %% [language \"python\"]\n-- %%python\n-- print(1)\n--\n\n"
                                  "-- %% [raw]\n-- raw\n");
    end();
}

static const char *const pieces[] = {
    "-- %%",     "-- %% [markdown]",
    "%%",        "%% x",
    "\\",        "-- \\%%",
    "--",        "-- ",
    "SELECT 1",  "'a\nb'",
    "%%chart",   "-- %%chart pie",
    "%%x",       ";",
    "\n",        "\n\n",
    " ",         "x",
    "--x",       "\\\\",
    "-- \\\\%%", "--  %%",
    "/*",        "*/",
    "'",         "\xc3\xa9",
    "# ",        "{{a}}",
};

/* Cells of random pieces: all but SQL come back as they were, SQL with a ';' at its end. */
static void random_round(uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
    dl_notebook_cell cells[6];
    char sources[6][200];
    size_t count = 1 + seed % 6;
    for (size_t i = 0; i < count; i++) {
        sources[i][0] = '\0';
        for (size_t k = 0; k < (state >> 8) % 7; k++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            const char *piece = pieces[(state >> 33) % DL_COUNT_OF(pieces)];
            (void)snprintf(sources[i] + strlen(sources[i]), sizeof sources[i] - strlen(sources[i]),
                           "%s%s", piece, (state >> 20) % 3 == 0 ? "\n" : "");
        }
        state = state * 6364136223846793005U + 1442695040888963407U;
        cells[i] = cell_of((dl_notebook_cell_kind)((state >> 40) % 3), sources[i]);
    }
    dl_notebook notebook = notebook_of(cells, count), back;
    convert(&notebook, DL_NOTEBOOK_SQL_SCRIPT);
    TAP_OK(dl_notebook_from_script(dl_buf_str(&text), arena, &back, &err), err);
    TAP_EQ_INT(back.cell_count, count);
    for (size_t i = 0; i < count && back.cell_count == count; i++) {
        TAP_EQ_INT(back.cells[i].kind, cells[i].kind);
        bool sql = cells[i].kind == DL_NOTEBOOK_CODE && cells[i].language != DL_NOTEBOOK_OTHER;
        bool same = dl_str_eq(back.cells[i].source, cells[i].source);
        if (sql ? !dl_str_starts(back.cells[i].source, cells[i].source) : !same) {
            bool magic = dl_str_find_str(cells[i].source, DL_STR("%%")) >= 0;
            if (!sql || !magic) { /* the line of a magic is written anew */
                TAP_FAIL("seed %llu cell %zu: '%.*s' came back as '%.*s'", (unsigned long long)seed,
                         i, DL_STR_ARG(cells[i].source), DL_STR_ARG(back.cells[i].source));
            }
        }
    }
    dl_buf once = text;
    text = (dl_buf){0};
    dl_buf_init(&text, TEXT);
    convert(&back, DL_NOTEBOOK_SQL_SCRIPT);
    TAP_EQ_STR(dl_buf_str(&text), dl_buf_terminate(&once, &err) == DL_OK ? once.ptr : "");
    dl_buf_clear(&once);
}

TAP_CASE(scripts_read_back)
{
    for (uint64_t seed = 1; seed <= 3000 && !tap_case_failed; seed++) {
        begin();
        random_round(seed);
        end();
    }
}

TAP_CASE(a_script_without_marks_is_cut_into_its_statements)
{
    begin();
    dl_notebook notebook;
    TAP_OK(dl_notebook_from_script(DL_STR("-- first\nSELECT ';';\n\nSELECT 2 ; \n-- the end\n"),
                                   arena, &notebook, &err),
           err);
    TAP_EQ_INT(notebook.cell_count, 3);
    TAP_EQ_STR(notebook.cells[0].source, "-- first\nSELECT ';';");
    TAP_EQ_STR(notebook.cells[1].source, "SELECT 2 ;");
    TAP_EQ_STR(notebook.cells[2].source, "-- the end");
    TAP_EQ_STR(notebook.cells[2].id, "cell-3");
    TAP_OK(dl_notebook_from_script(DL_STR(""), arena, &notebook, &err), err);
    TAP_EQ_INT(notebook.cell_count, 0);
    end();
}

TAP_CASE(bad_scripts_are_refused)
{
    begin();
    dl_notebook notebook = {.minor = 77};
    TAP_STATUS(dl_notebook_from_script(DL_STR("SELECT '\xff'"), arena, &notebook, &err),
               DL_E_INVALID);
    for (size_t i = 0; i < DL_NOTEBOOK_CELL_LIMIT; i++) {
        TAP_OK(dl_buf_append_str(&text, DL_STR("-- %%\n"), &err), err);
    }
    dl_notebook most;
    TAP_OK(dl_notebook_from_script(dl_buf_str(&text), arena, &most, &err), err);
    TAP_EQ_INT(most.cell_count, DL_NOTEBOOK_CELL_LIMIT);
    TAP_OK(dl_buf_append_str(&text, DL_STR("-- %%\n"), &err), err);
    TAP_STATUS(dl_notebook_from_script(dl_buf_str(&text), arena, &notebook, &err), DL_E_LIMIT);
    TAP_EQ_INT(notebook.minor, 77);
    end();
}

/* ---- outputs in other forms ---- */

#define DATA(data) "{\"output_type\":\"display_data\",\"metadata\":{},\"data\":{" data "}}"

TAP_CASE(markdown_keeps_fences_apart)
{
    begin();
    dl_notebook_cell cells[] = {
        cell_of(DL_NOTEBOOK_MARKDOWN, "# Title"),
        cell_of(DL_NOTEBOOK_CODE, "SELECT '````'"),
        cell_of(DL_NOTEBOOK_CODE, "%%py`thon\nx"),
    };
    cells[1].outputs_json =
        DL_STR("[" DATA("\"text/plain\":[\"a\\n\",\"b\"],\"text/html\":\"<b>\"") "," DATA(
            "\"image/svg+xml\":\"<svg/>\"") "," DATA("\"image/png\":\"QQ\\n==\"") "]");
    dl_notebook notebook = notebook_of(cells, DL_COUNT_OF(cells));
    convert(&notebook, DL_NOTEBOOK_MARKDOWN_TEXT);
    TAP_EQ_STR(dl_buf_str(&text),
               "# Title\n\n`````sql\nSELECT '````'\n`````\n\n```text\na\nb\n```\n"
               "\n![chart](data:image/svg+xml;base64,PHN2Zy8+)\n"
               "\n![chart](data:image/png;base64,QQ==)\n"
               "\n```py\n%%py`thon\nx\n```\n");
    end();
}

static const struct {
    const char *name, *output, *want, *never; /* NULL: nothing to look for */
} outputs[] = {
    /* clang-format off */
    {"a table is taken over", DATA("\"text/plain\":\"p\",\"text/html\":\"<table class=\\\"r\\\"><tr><td>a&lt;b</td></tr></table>\""), "<table class=\"r\"><tr><td>a&lt;b</td></tr></table>", "<pre>p"},
    {"a script is not", DATA("\"text/plain\":\"p\",\"text/html\":\"<table><script>x</script></table>\""), "<pre>p</pre>", "script>"},
    {"nor an event", DATA("\"text/plain\":\"p\",\"text/html\":\"<td onclick=\\\"x\\\">\""), "<pre>p</pre>", "onclick"},
    {"nor a style", DATA("\"text/plain\":\"p\",\"text/html\":\"<td style=\\\"x\\\">\""), "<pre>p</pre>", "<td"},
    {"nor a link", DATA("\"text/plain\":\"p\",\"text/html\":\"<a href=\\\"x\\\">y</a>\""), "<pre>p</pre>", "href"},
    {"nor a value without quotes", DATA("\"text/plain\":\"p\",\"text/html\":\"<td class=x onclick=y>\""), "<pre>p</pre>", "onclick"},
    {"nor a comment", DATA("\"text/plain\":\"p\",\"text/html\":\"<!-- x -->\""), "<pre>p</pre>", "<!--"},
    {"nor a tag that does not end", DATA("\"text/plain\":\"p\",\"text/html\":\"<td\""), "<pre>p</pre>", "<td"},
    {"nor a quote that does not end", DATA("\"text/plain\":\"p\",\"text/html\":\"<td class=\\\"x\""), "<pre>p</pre>", "<td"},
    {"nor two words for a tag", DATA("\"text/plain\":\"p\",\"text/html\":\"<td/script>\""), "<pre>p</pre>", "<td"},
    {"nor a tag of another beginning", DATA("\"text/plain\":\"p\",\"text/html\":\"<tdx>\""), "<pre>p</pre>", "<tdx"},
    {"text is escaped", DATA("\"text/plain\":\"<b>&\\\"\""), "<pre>&lt;b&gt;&amp;&quot;</pre>", "<b>"},
    {"SVG is a picture", DATA("\"text/plain\":\"a \\\"chart\\\"\",\"image/svg+xml\":[\"<svg>\",\"</svg>\"]"), "<img alt=\"a &quot;chart&quot;\" src=\"data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=\">", "<svg"},
    {"PNG is one too", DATA("\"image/png\":\"QUJD\\n\""), "src=\"data:image/png;base64,QUJD\"", NULL},
    {"what is no base64 is none", DATA("\"text/plain\":\"p\",\"image/png\":\"x\\\" onerror=\\\"y\""), "<pre>p</pre>", "onerror"},
    {"an error loses its colours", "{\"output_type\":\"error\",\"ename\":\"E\",\"evalue\":\"v\",\"traceback\":[\"\\u001b[1;31mline\\u001b[0m <1>\",\"\\u001b]0;t\\u0007two\"]}", "<div class=\"output error\">\n<pre>line &lt;1&gt;\ntwo\n</pre>", "\x1b"},
    {"an error without a traceback", "{\"output_type\":\"error\",\"ename\":\"E\",\"evalue\":\"v\"}", "E: v", NULL},
    {"a stream", "{\"output_type\":\"stream\",\"name\":\"stderr\",\"text\":\"<x>\"}", "<div class=\"output error\">\n<pre>&lt;x&gt;</pre>", "<x>"},
    {"Markdown of an output is rendered", DATA("\"text/markdown\":\"*a* <b>\",\"text/plain\":\"p\""), "<em>a</em>", "<b>"},
    {"what we do not know is left out", "{\"output_type\":\"future\",\"text\":\"zz\"}", NULL, "zz"},
    {"an output that is nothing", "{}", NULL, "output\">"},
    /* clang-format on */
};

static void output_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(outputs); i++) {
        TAP_ROW_BEGIN();
        begin();
        dl_str json;
        dl_notebook_cell cell = cell_of(DL_NOTEBOOK_CODE, "SELECT 1");
        TAP_OK(dl_arena_printf(arena, &json, &err, "[%s]", outputs[i].output), err);
        cell.outputs_json = json;
        dl_notebook notebook = notebook_of(&cell, 1);
        convert(&notebook, DL_NOTEBOOK_HTML_PAGE);
        TAP_TRUE(outputs[i].want == NULL || has(outputs[i].want));
        TAP_TRUE(outputs[i].never == NULL || !has(outputs[i].never));
        end();
        TAP_ROW_END(outputs[i].name);
    }
}

TAP_CASE(a_page_has_nothing_that_acts)
{
    begin();
    dl_notebook_cell cells[] = {
        cell_of(DL_NOTEBOOK_MARKDOWN,
                "# A <script>alert(1)</script> & *title*\n\n<script>alert(2)</script>\n\n"
                "[x](javascript:alert(3)) ![y](data:text/html;base64,QQ==) <img src=x onerror=z>\n"
                "[fine](https://example.org/)"),
        cell_of(DL_NOTEBOOK_CODE, "SELECT '</pre><script>'"),
        cell_of(DL_NOTEBOOK_RAW, "<script>"),
    };
    cells[1].execution_count = 4;
    dl_notebook notebook = notebook_of(cells, DL_COUNT_OF(cells));
    convert(&notebook, DL_NOTEBOOK_HTML_PAGE);
    TAP_TRUE(!has("<script") && !has("javascript:") && !has("onerror") && !has("data:text"));
    TAP_TRUE(has("<title>A &lt;script&gt;alert(1)&lt;/script&gt; &amp; *title*</title>"));
    TAP_TRUE(has("<a href=\"https://example.org/\">fine</a>"));
    TAP_TRUE(has("[4]") && has("default-src 'none'"));
    TAP_TRUE(has("<pre>SELECT '&lt;/pre&gt;&lt;script&gt;'</pre>"));
    end();
}

TAP_CASE(base64)
{
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob\xff", "Zm9vYv8="}};
    begin();
    for (size_t i = 0; i < DL_COUNT_OF(pairs); i++) {
        dl_buf_reset(&text);
        TAP_OK(dl_notebook_put_base64(dl_str_of(pairs[i][0]), &text, &err), err);
        TAP_EQ_STR(dl_buf_str(&text), pairs[i][1]);
    }
    end();
}

TAP_CASE(each_allocation_may_fail)
{
    static const dl_notebook_form forms[] = {DL_NOTEBOOK_IPYNB, DL_NOTEBOOK_SQL_SCRIPT,
                                             DL_NOTEBOOK_MARKDOWN_TEXT};
    begin();
    dl_notebook_cell cells[] = {cell_of(DL_NOTEBOOK_RAW, "# Title"),
                                cell_of(DL_NOTEBOOK_CODE, "SELECT 1")};
    cells[1].outputs_json = DL_STR("[" DATA("\"text/plain\":\"a\",\"image/svg+xml\":\"b\"") "]");
    dl_notebook notebook = notebook_of(cells, DL_COUNT_OF(cells));
    for (size_t f = 0; f < DL_COUNT_OF(forms); f++) {
        dl_status status = DL_E_NOMEM;
        for (int64_t n = 0; n < 500 && status != DL_OK; n++) {
            dl_buf_clear(&text);
            dl_mem_fail_after(n);
            status = dl_notebook_convert(&notebook, forms[f], &text, &err);
            dl_mem_fail_after(-1);
            TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
            TAP_TRUE(status == DL_OK || text.len == 0);
        }
        TAP_EQ_INT(status, DL_OK);
    }
    end();
}

int main(void)
{
    TAP_RUN(a_script);
    TAP_RUN(scripts_read_back);
    TAP_RUN(a_script_without_marks_is_cut_into_its_statements);
    TAP_RUN(bad_scripts_are_refused);
    TAP_RUN(markdown_keeps_fences_apart);
    output_rows();
    TAP_RUN(a_page_has_nothing_that_acts);
    TAP_RUN(base64);
    TAP_RUN(each_allocation_may_fail);
    return tap_done();
}
