/* Notebooks run: outputs, errors with their place, parameters, stopping. */
#include "notebook/notebook.h"
#include "tap.h"
#include "json/json.h"

enum { ARENA = 256 * 1024 * 1024 };

static dl_arena *arena;
static dl_query *query;
static dl_cancel cancel;
static dl_error err;
static dl_notebook notebook;
static dl_notebook_ran ran;

static void begin(const char *script)
{
    const dl_query_options options = {.clock = dl_clock_system(), .cancel = &cancel};
    arena = dl_arena_create(ARENA);
    err = (dl_error){0};
    ran = (dl_notebook_ran){.cells = 77};
    cancel = (dl_cancel){0};
    TAP_OK(dl_query_open(&options, &query, &err), err);
    TAP_OK(dl_notebook_from_script(dl_str_of(script), arena, &notebook, &err), err);
}

static void end(void)
{
    dl_query_close(query);
    dl_arena_destroy(arena);
}

static dl_status run(bool go_on, const dl_notebook_parameter *parameters, size_t count)
{
    const dl_notebook_run_options options = {.query = query,
                                             .parameters = parameters,
                                             .parameter_count = count,
                                             .go_on = go_on,
                                             .cancel = &cancel};
    return dl_notebook_run(&notebook, &options, arena, &ran, &err);
}

static bool holds(size_t cell, const char *words)
{
    return dl_str_find_str(notebook.cells[cell].outputs_json, dl_str_of(words)) >= 0;
}

static bool shows(size_t cell, const char *words)
{
    bool found = holds(cell, words);
    if (!found) {
        printf("# cell %zu: %.*s\n", cell, DL_STR_ARG(notebook.cells[cell].outputs_json));
    }
    return found;
}

/* The outputs are JSON, and the notebook can be written and read. */
static void check_whole(void)
{
    DL_AUTO_BUF text = {0};
    dl_notebook back;
    dl_buf_init(&text, ARENA);
    TAP_OK(dl_notebook_write(&notebook, &text, &err), err);
    TAP_OK(dl_notebook_read(dl_buf_str(&text), arena, &back, &err), err);
    TAP_EQ_INT(back.cell_count, notebook.cell_count);
}

TAP_CASE(rows_become_text_and_a_table)
{
    begin("-- %%\nSELECT 1 AS a, '<b>' AS t, NULL AS n\n\n-- %%\nSELECT 1 AS x; SELECT 2 AS y;\n\n"
          "-- %%\n-- nothing\n");
    TAP_OK(run(false, NULL, 0), err);
    TAP_EQ_INT(ran.cells, 3);
    TAP_EQ_INT(ran.failed, 0);
    TAP_TRUE(ran.first_failed == SIZE_MAX);
    TAP_TRUE(shows(0, "\"output_type\":\"execute_result\"") && shows(0, "\"execution_count\":1"));
    TAP_TRUE(shows(0, "<td style=\\\"text-align:right\\\">1</td><td>&lt;b&gt;</td><td "
                      "style=\\\"text-align:right\\\"><i>NULL</i>"));
    TAP_TRUE(shows(0, "\"text/plain\":[\"a  t       n\\n\""));
    TAP_TRUE(shows(0, "\"1  <b>  NULL\\n\",\"(1 row)\""));
    TAP_TRUE(shows(1, "\"output_type\":\"display_data\"") && shows(1, "\"execution_count\":2"));
    TAP_EQ_STR(notebook.cells[2].outputs_json, "[]");
    TAP_EQ_INT(notebook.cells[2].execution_count, 3);
    check_whole();
    end();
}

TAP_CASE(rows_up_to_the_limit_are_shown)
{
    begin("-- %%\nSELECT * FROM range(100)\n\n-- %%\nSELECT * FROM range(101)\n\n"
          "-- %%\nSELECT * FROM range(0)\n\n-- %%\nSELECT * FROM range(1000000000)\n");
    TAP_OK(run(false, NULL, 0), err);
    TAP_TRUE(shows(0, "(100 rows)"));
    TAP_TRUE(shows(1, "(the first 100 rows; there are more)") && !holds(1, "<td>100</td>"));
    TAP_TRUE(shows(2, "(0 rows)"));
    TAP_TRUE(shows(3, "(the first 100 rows; there are more)"));
    end();
}

TAP_CASE(long_and_hostile_values_are_shown_short_and_clean)
{
    begin("-- %%\nSELECT repeat('x', 1000) AS a, repeat('x', 1001) AS b\n\n"
          "-- %%\nSELECT 'a' || chr(10) || chr(27) || chr(8238) || 'b' AS c\n");
    TAP_OK(run(false, NULL, 0), err);
    TAP_EQ_INT(ran.failed, 0);
    TAP_TRUE(!holds(0, "xxxxx\xe2\x80\xa6</td><td>"));
    TAP_TRUE(shows(0, "xxxxx\xe2\x80\xa6</td></tr>"));
    TAP_TRUE(shows(1, "a\xe2\x90\x8a\xe2\x90\x9b\xef\xbf\xbd"
                      "b"));
    end();
}

TAP_CASE(an_error_has_its_place_and_stops)
{
    begin("-- %%\nSELECT 1;\nSELECT nothing\n  FROM range(3)\n\n-- %%\nSELECT 2\n");
    notebook.cells[1].outputs_json = DL_STR("[{\"output_type\":\"stream\"}]");
    notebook.cells[1].execution_count = 9;
    TAP_OK(run(false, NULL, 0), err);
    TAP_EQ_INT(ran.cells, 1);
    TAP_EQ_INT(ran.failed, 1);
    TAP_EQ_INT(ran.skipped, 1);
    TAP_EQ_INT(ran.first_failed, 0);
    TAP_EQ_INT(ran.why.status, DL_E_INVALID);
    TAP_TRUE(strncmp(ran.why.message, "line 2, column 8: ", 18) == 0);
    TAP_TRUE(shows(0, "\"output_type\":\"display_data\"") && shows(0, "\"ename\":\"invalid\""));
    TAP_TRUE(shows(0, "\"SELECT nothing\""));
    TAP_EQ_STR(notebook.cells[1].outputs_json, "[]");
    TAP_EQ_INT(notebook.cells[1].execution_count, 0);
    check_whole();
    end();
}

TAP_CASE(it_goes_on_when_asked)
{
    begin(
        "-- %%\nSELECT * FROM nowhere\n\n-- %%\nSELECT 2\n\n-- %%\nCOPY (SELECT 1) TO '/tmp/x'\n");
    TAP_OK(run(true, NULL, 0), err);
    TAP_EQ_INT(ran.cells, 3);
    TAP_EQ_INT(ran.failed, 2);
    TAP_EQ_INT(ran.skipped, 0);
    TAP_EQ_INT(ran.first_failed, 0);
    TAP_TRUE(shows(1, "execute_result"));
    TAP_TRUE(shows(2, "\"ename\":\"denied\""));
    end();
}

TAP_CASE(other_languages_are_kept)
{
    begin("-- %% [language \"python\"]\n-- print(1)\n\n-- %% [markdown]\n-- text\n\n-- %%\nSELECT "
          "1\n");
    notebook.cells[0].outputs_json = DL_STR("[1]");
    TAP_OK(run(false, NULL, 0), err);
    TAP_EQ_INT(ran.cells, 1);
    TAP_EQ_INT(ran.skipped, 1);
    TAP_EQ_STR(notebook.cells[0].outputs_json, "[1]");
    TAP_EQ_INT(notebook.cells[2].execution_count, 1);
    end();
}

/* ---- charts ---- */

TAP_CASE(a_chart_is_drawn)
{
    begin("-- %%\n-- %%chart bar title='Some numbers'\nSELECT 'a' AS k, 3 AS n UNION ALL SELECT "
          "'b', 4\n");
    TAP_OK(run(false, NULL, 0), err);
    TAP_EQ_INT(ran.failed, 0);
    TAP_TRUE(shows(0, "\"image/svg+xml\":[\"<") && shows(0, "bar chart: Some numbers"));
    TAP_TRUE(shows(0, "\"output_type\":\"display_data\""));
    check_whole();
    end();
}

static const struct {
    const char *name, *script, *message;
} bad_charts[] = {
    {"an unknown kind", "-- %%\n-- %%chart donut\nSELECT 1\n", "line 1, column 1: "},
    {"no statement", "-- %%\n-- %%chart bar\n\n", "needs a statement"},
    {"two statements", "-- %%\n-- %%chart bar\nSELECT 1 AS n; SELECT 2\n",
     "line 2, column 15: a chart"},
    {"no such column", "-- %%\n-- %%chart bar x=zz\nSELECT 1 AS n\n", "zz"},
};

static void bad_chart_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(bad_charts); i++) {
        TAP_ROW_BEGIN();
        begin(bad_charts[i].script);
        TAP_OK(run(false, NULL, 0), err);
        TAP_EQ_INT(ran.failed, 1);
        if (strstr(ran.why.message, bad_charts[i].message) == NULL) {
            TAP_FAIL("'%s' is not in '%s'", bad_charts[i].message, ran.why.message);
        }
        check_whole();
        end();
        TAP_ROW_END(bad_charts[i].name);
    }
}

/* ---- parameters ---- */

#define PARAMETERS "-- %% [parameters]\n-- m = 'CT'\n-- n = 3\n\n"

TAP_CASE(parameters_reach_the_statements)
{
    const dl_notebook_parameter given = {DL_STR("m"), DL_STR("' OR 1=1 --")};
    begin(PARAMETERS "-- %%\nSELECT {{m}} AS m, {{n}} + 1 AS n\n");
    TAP_OK(run(false, &given, 1), err);
    TAP_EQ_INT(ran.failed, 0);
    TAP_EQ_INT(ran.cells, 2);
    TAP_TRUE(shows(0, "\"m = ''' OR 1=1 --'\\n\",\"n = 3\\n\""));
    TAP_TRUE(shows(1, "<td>' OR 1=1 --</td><td style=\\\"text-align:right\\\">4</td>"));
    end();
}

/* Whatever a value is, the engine gives it back as text. */
TAP_CASE(no_value_becomes_sql)
{
    static const char *const hostile[] = {
        "'",
        "\\",
        "\\'",
        "'; SELECT 1; --",
        "*/ x /*",
        "$$",
        "$a$",
        "E'",
        "\"",
        "`",
        "{{n}}",
        "\n-- x",
        "%",
        "\\x27",
        "\xe2\x80\x99",
        "\xef\xbc\x87",
        "U&'\\0027'",
        "a' || 'b",
        "/*",
        "--",
        "'' OR ''=''",
        "\r\n",
        "version as of 3",
        "VERSION AS OF '3'",
        "`a` AS `b`",
    };
    for (size_t i = 0; i < DL_COUNT_OF(hostile); i++) {
        const dl_notebook_parameter given = {DL_STR("m"), dl_str_of(hostile[i])};
        char want[64];
        begin(PARAMETERS
              "-- %%\nSELECT 'rows', hex({{m}}) AS h, e{{m}}, {{m}}{{m}} FROM range(1)\n"
              "\n-- %%\nSELECT hex({{m}}) AS h, count(*) FROM range(2) t(x) WHERE {{m}} = "
              "{{m}}\n");
        TAP_OK(run(true, &given, 1), err);
        size_t len = 0;
        want[0] = '\0';
        for (const char *c = hostile[i]; *c != '\0'; c++) {
            len += (size_t)snprintf(want + len, sizeof want - len, "%02X", (unsigned char)*c);
        }
        TAP_TRUE(ran.first_failed == 1); /* e 'x' and 'x' 'x' are no values */
        TAP_TRUE(shows(2, want) && shows(2, ">2</td>"));
        end();
    }
}

TAP_CASE(a_wrong_parameter_costs_nothing)
{
    const dl_notebook_parameter given[] = {{DL_STR("m"), DL_STR("MR")}, {DL_STR("x"), DL_STR("1")}};
    begin(PARAMETERS "-- %%\nSELECT 1\n");
    TAP_STATUS(run(false, given, 2), DL_E_INVALID);
    TAP_EQ_INT(ran.cells, 77);
    TAP_EQ_STR(notebook.cells[1].outputs_json, "[]");
    TAP_EQ_STR(dl_str_of(err.hint), "it has: m, n");
    end();
}

TAP_CASE(places_lead_through_parameters)
{
    begin(PARAMETERS
          "-- %%\nSELECT {{m}}, {{n}},\n  nothing FROM range(1)\n\n-- %%\nSELECT '{{m}}'\n\n"
          "-- %%\nSELECT 1;\nSELECT {{x}}\n");
    TAP_OK(run(true, NULL, 0), err);
    TAP_EQ_INT(ran.failed, 3);
    TAP_TRUE(shows(1, "\"line 2, column 3: "));
    TAP_TRUE(shows(2, "\"line 1, column 9: {{m}} stands inside quotes"));
    TAP_TRUE(shows(3, "\"line 2, column 8: the notebook has no parameter x"));
    end();
}

/* ---- stopping ---- */

static void ask_before_the_second(void *context, size_t index, bool done)
{
    size_t *calls = context;
    (*calls)++;
    if (index == 0 && done) {
        dl_cancel_ask(&cancel);
    }
}

TAP_CASE(it_stops_when_asked)
{
    size_t calls = 0;
    begin("-- %%\nSELECT 1\n\n-- %%\nSELECT 2\n");
    const dl_notebook_run_options options = {
        .query = query, .cancel = &cancel, .on_cell = ask_before_the_second, .context = &calls};
    TAP_STATUS(dl_notebook_run(&notebook, &options, arena, &ran, &err), DL_E_CANCELED);
    TAP_EQ_INT(ran.cells, 77);
    TAP_EQ_INT(calls, 2);
    end();
}

static void ask_in_the_first(void *context, size_t index, bool done)
{
    (void)context;
    if (index == 0 && !done) {
        dl_cancel_ask(&cancel);
    }
}

TAP_CASE(a_statement_under_way_stops_too)
{
    begin("-- %%\nSELECT count(*) FROM range(1000000000) a, range(1000000000) b\n");
    const dl_notebook_run_options options = {
        .query = query, .cancel = &cancel, .on_cell = ask_in_the_first};
    TAP_STATUS(dl_notebook_run(&notebook, &options, arena, &ran, &err), DL_E_CANCELED);
    end();
}

int main(void)
{
    TAP_RUN(rows_become_text_and_a_table);
    TAP_RUN(rows_up_to_the_limit_are_shown);
    TAP_RUN(long_and_hostile_values_are_shown_short_and_clean);
    TAP_RUN(an_error_has_its_place_and_stops);
    TAP_RUN(it_goes_on_when_asked);
    TAP_RUN(other_languages_are_kept);
    TAP_RUN(a_chart_is_drawn);
    bad_chart_rows();
    TAP_RUN(parameters_reach_the_statements);
    TAP_RUN(no_value_becomes_sql);
    TAP_RUN(a_wrong_parameter_costs_nothing);
    TAP_RUN(places_lead_through_parameters);
    TAP_RUN(it_stops_when_asked);
    TAP_RUN(a_statement_under_way_stops_too);
    return tap_done();
}
