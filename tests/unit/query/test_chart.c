#include "query/output/chart_internal.h"

#include "base/mem.h"

#include "tap.h"

#include <math.h>

#define SVG_LIMIT_BYTES ((size_t)16 << 20)

/* ---- the words ---- */

static const struct {
    const char *words, *want; /* want: "kind x y,y title width height bins sort"; or the status */
    dl_status status;
} words[] = {
    /* clang-format off */
    {"bar", "0 [] [] [] 0 0 0 0", DL_OK},
    {"  LINE  ", "1 [] [] [] 0 0 0 0", DL_OK},
    {"bar x=modality y=n title='Instances a modality'", "0 [modality] [n] [Instances a modality] 0 0 0 0", DL_OK},
    {"scatter y=a,b x=c", "2 [c] [a,b] [] 0 0 0 0", DL_OK},
    {"line y=a y=b", "1 [] [a,b] [] 0 0 0 0", DL_OK},
    {"pie x=\"a,b\" y=`c d` title='it''s'", "4 [a,b] [c d] [it's] 0 0 0 0", DL_OK},
    {"histogram x=v bins=200 width=200 height=4000", "3 [v] [] [] 200 4000 200 0", DL_OK},
    {"bar sort", "0 [] [] [] 0 0 0 1", DL_OK},
    {"bar y=a,b,c,d,e,f,g,h", "0 [] [a,b,c,d,e,f,g,h] [] 0 0 0 0", DL_OK},
    {"bar y=a,b,c,d,e,f,g,h,i", NULL, DL_E_LIMIT},
    {"", NULL, DL_E_INVALID},
    {"area", NULL, DL_E_INVALID},
    {"bar colour=red", NULL, DL_E_INVALID},
    {"bar title='open", NULL, DL_E_INVALID},
    {"bar title='a'b", NULL, DL_E_INVALID},
    {"bar y=", NULL, DL_E_INVALID},
    {"bar y=a,", NULL, DL_E_INVALID},
    {"bar =a", NULL, DL_E_INVALID},
    {"bar ,", NULL, DL_E_INVALID},
    {"bar width=199", NULL, DL_E_INVALID},
    {"bar width=4001", NULL, DL_E_INVALID},
    {"bar height=149", NULL, DL_E_INVALID},
    {"bar bins=0", NULL, DL_E_INVALID},
    {"bar bins=201", NULL, DL_E_INVALID},
    {"bar bins=-1", NULL, DL_E_INVALID},
    {"bar bins=99999999999999999999", NULL, DL_E_INVALID},
    {"bar modality", NULL, DL_E_INVALID},
    /* clang-format on */
};

static dl_status describe(const dl_query_chart *c, dl_buf *out, dl_error *err)
{
    DL_TRY(dl_buf_printf(out, err, "%d [%.*s] [", (int)c->kind, DL_STR_ARG(c->x)));
    for (size_t i = 0; i < c->y_count; i++) {
        DL_TRY(dl_buf_printf(out, err, "%s%.*s", i == 0 ? "" : ",", DL_STR_ARG(c->y[i])));
    }
    return dl_buf_printf(out, err, "] [%.*s] %u %u %u %d", DL_STR_ARG(c->title), c->width,
                         c->height, c->bins, c->sort);
}

static void run_words(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(words); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 4096);
        dl_error err = {0};
        dl_query_chart chart = {.bins = 77};
        TAP_STATUS(dl_query_chart_parse(dl_str_of(words[i].words), arena, &chart, &err),
                   words[i].status);
        if (words[i].status == DL_OK) {
            TAP_OK(describe(&chart, &got, &err), err);
            TAP_EQ_STR(dl_buf_str(&got), words[i].want);
        } else {
            TAP_TRUE(err.message[0] != '\0');
            TAP_EQ_INT(chart.bins, 77);
        }
        TAP_ROW_END(words[i].words);
    }
}

/* ---- axes ---- */

static const struct {
    const char *name;
    double low, high;
    size_t want;
    bool whole, time;
    const char *ticks; /* texts with a blank between, then the ends */
} axes[] = {
    /* clang-format off */
    {"to ten", 0, 10, 5, true, false, "0|2|4|6|8|10"},
    {"thousands", 0, 23456, 5, true, false, "0|5,000|10,000|15,000|20,000|25,000"},
    {"fractions", 0.1, 0.43, 4, false, false, "0.1|0.2|0.3|0.4|0.5"},
    {"both sides of zero", -3, 7, 5, true, false, "-4|-2|0|2|4|6|8"},
    {"one whole number", 5, 5, 5, true, false, "5|6"},
    {"one number", 0.5, 0.5, 4, false, false, "0.45|0.50|0.55"},
    {"zero alone", 0, 0, 4, false, false, "-1.0|-0.5|0.0|0.5|1.0"},
    {"whole numbers have none between", 0, 2, 10, true, false, "0|1|2"},
    {"millions", 0, 3.2e6, 4, true, false, "0|1 M|2 M|3 M|4 M"},
    {"half millions", 0, 1.2e6, 3, true, false, "0|0.5 M|1.0 M|1.5 M"},
    {"huge", 0, 1e20, 2, false, false, "0|5e+19|1e+20"},
    {"tiny", 0, 1e-8, 2, false, false, "0|5e-09|1e-08"},
    {"years", 0, 315532800, 6, false, true, "1970|1972|1974|1976|1978|1980"},
    {"before 1970", -315619200, 0, 6, false, true, "1960|1962|1964|1966|1968|1970"},
    {"months", 1767225600, 1782864000, 7, false, true, "2026-01|2026-02|2026-03|2026-04|2026-05|2026-06|2026-07"},
    {"days", 1767225600, 1767571200, 5, false, true, "2026-01-01|2026-01-02|2026-01-03|2026-01-04|2026-01-05"},
    {"minutes of a day", 1767225600, 1767232800, 4, false, true, "00:00|00:30|01:00|01:30|02:00"},
    {"minutes over midnight", 1767221000, 1767228300, 3, false, true, "12-31 23:00|01-01 00:00"},
    {"seconds", 1767225600, 1767225604, 4, false, true, "00:00:00|00:00:01|00:00:02|00:00:03|00:00:04"},
    {"a time beyond the calendar is a number", 0, 1e13, 2, false, true, "0|5 T|10 T"},
    /* clang-format on */
};

static void run_axes(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(axes); i++) {
        TAP_ROW_BEGIN();
        dl_chart_axis axis;
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 4096);
        dl_error err = {0};
        if (axes[i].time) {
            dl_chart_axis_times(axes[i].low, axes[i].high, axes[i].want, &axis);
        } else {
            dl_chart_axis_numbers(axes[i].low, axes[i].high, axes[i].want, axes[i].whole, &axis);
        }
        for (size_t k = 0; k < axis.count; k++) {
            TAP_OK(dl_buf_printf(&got, &err, "%s%s", k == 0 ? "" : "|", axis.text[k]), err);
            TAP_TRUE(axis.at[k] >= axis.low - fabs(axis.low) * 1e-9 - 1e-12);
            TAP_TRUE(axis.at[k] <= axis.high + fabs(axis.high) * 1e-9 + 1e-12);
        }
        TAP_EQ_STR(dl_buf_str(&got), axes[i].ticks);
        TAP_TRUE(axis.low <= axes[i].low && axis.high >= axes[i].high && axis.low < axis.high);
        TAP_ROW_END(axes[i].name);
    }
}

TAP_CASE(no_range_makes_too_many_ticks)
{
    static const double ends[] = {-INFINITY, -1e308, -1e300, -1e15,   -3.7, -1e-300,
                                  0,         1e-300, 0.1,    1,       1e9,  1e15,
                                  1e15 + 1,  1e300,  1e308,  INFINITY};
    for (size_t i = 0; i < DL_COUNT_OF(ends); i++) {
        for (size_t k = i; k < DL_COUNT_OF(ends); k++) {
            dl_chart_axis axis;
            dl_chart_axis_numbers(ends[i], ends[k], 20, false, &axis);
            TAP_TRUE(axis.count <= DL_CHART_TICK_LIMIT && axis.low < axis.high);
            dl_chart_axis_times(ends[i], ends[k], 20, &axis);
            TAP_TRUE(axis.count <= DL_CHART_TICK_LIMIT && axis.low < axis.high);
        }
    }
}

/* ---- pictures ---- */

static dl_status draw(const char *statement, const char *text, dl_buf *svg, dl_error *err)
{
    const dl_query_options options = {.limits = {.threads = 1}, .clock = dl_clock_system()};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_QUERY query = NULL;
    DL_AUTO(dl_query_result) result = NULL;
    dl_query_chart chart = {0};
    DL_TRY(dl_query_open(&options, &query, err));
    DL_TRY(dl_query_run(query, dl_str_of(statement), &result, NULL, err));
    DL_TRY(dl_query_chart_parse(dl_str_of(text), arena, &chart, err));
    return dl_query_chart_draw(result, &chart, svg, err);
}

static size_t count_of(dl_str text, const char *needle)
{
    size_t count = 0;
    ptrdiff_t at = 0;
    while ((at = dl_str_find_str(text, dl_str_of(needle))) >= 0) {
        count++;
        text = dl_str_slice(text, (size_t)at + 1, text.len);
    }
    return count;
}

#define ROWS "SELECT 'row ' || range AS label, range AS n, range * 2 AS m FROM range("

static const struct {
    const char *name, *statement, *words, *holds, *lacks;
} pictures[] = {
    /* clang-format off */
    {"bars and their hints", ROWS "3)", "bar", "<title>row 2, n: 2</title>", "picture"},
    {"a legend for several", ROWS "3)", "bar", ">m</text>", NULL},
    {"none for one", ROWS "3)", "bar y=n", ">label</text>", ">n</text>"},
    {"60 bars", ROWS "60)", "bar y=n", "<title>row 59, n: 59</title>", "not in the picture"},
    {"61 bars", ROWS "61)", "bar y=n", "1 of 61 rows are not in the picture", "row 60"},
    {"sorted before they are cut", ROWS "61)", "bar y=n sort", "<title>row 60, n: 60</title>", "row 0,"},
    {"5000 points", ROWS "5000)", "scatter x=n y=m", "fill-opacity", "not in the picture"},
    {"5001 points", ROWS "5001)", "scatter x=n y=m", "1 of 5001 rows are not in the picture", NULL},
    {"names without case", ROWS "3)", "bar x=LABEL y=N", "row 2, n: 2", NULL},
    {"markup is text", "SELECT '<script>\"&' AS a, 1 AS n", "bar title='</svg>'", "&lt;script&gt;&quot;&amp;", "<script"},
    {"control characters are symbols", "SELECT chr(1) || chr(27) AS a, 1 AS n", "bar", "\xe2\x90\x81\xe2\x90\x9b", "\x1b"},
    {"NULL is a label and no bar", "SELECT * FROM (VALUES (NULL, 1), ('b', NULL), ('c', 'nan'::DOUBLE), ('d', 'inf'::DOUBLE)) t(a, n)", "bar", "NULL, n: 1", "d, n:"},
    {"bars below zero", "SELECT 'a' AS a, -5 AS n", "bar", ">-5</text>", NULL},
    {"no rows: bars", ROWS "0)", "bar", "</svg>", "nan"},
    {"no rows: line", ROWS "0)", "line x=n y=m", "</svg>", "nan"},
    {"no rows: histogram", ROWS "0)", "histogram x=n", "</svg>", "nan"},
    {"no rows: pie", ROWS "0)", "pie", "no rows", "nan"},
    {"a line over dates", "SELECT DATE '2026-01-01' + range::INT AS d, range AS n FROM range(5)", "line", ">2026-01-03</text>", NULL},
    {"a line over texts", ROWS "3)", "line y=n", ">row 1</text>", NULL},
    {"a gap in a line", "SELECT range AS i, CASE WHEN range <> 2 THEN range END AS n FROM range(5)", "line", "M", "nan"},
    {"a histogram counts", "SELECT range % 4 AS v FROM range(400)", "histogram", "<title>from 3: 100</title>", NULL},
    {"a histogram of what it is told", "SELECT range / 10.0 AS v FROM range(100)", "histogram bins=2", "<title>from 4.95: 50</title>", NULL},
    {"a histogram of one value", "SELECT 5 AS v FROM range(7)", "histogram", ": 7</title>", NULL},
    {"a histogram says what has no number", "SELECT CASE WHEN range > 0 THEN range END AS v FROM range(7)", "histogram", "1 of 7 rows are not", NULL},
    {"a pie tells parts", "SELECT * FROM (VALUES ('a', 1), ('b', 3)) t(a, n)", "pie", ">3 (75.0 %)</text>", "others"},
    {"nine slices", ROWS "10) WHERE range > 0", "pie", ">row 1</text>", "others"},
    {"ten slices", ROWS "11) WHERE range > 0", "pie", ">1 others</text>", ">row 1</text>"},
    {"one slice is a circle", "SELECT 'a' AS a, 1 AS n", "pie", "<circle", "<path"},
    {"sizes", ROWS "3)", "bar width=1000 height=500", "viewBox=\"0 0 1000 500\"", NULL},
    {"huge numbers", "SELECT 'a' AS a, 1e308 AS n UNION ALL SELECT 'b', -1e308", "bar", "</svg>", "nan"},
    /* clang-format on */
};

static void run_pictures(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(pictures); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO_BUF svg = {0};
        DL_AUTO_BUF again = {0};
        dl_error err = {0};
        dl_buf_init(&svg, SVG_LIMIT_BYTES);
        dl_buf_init(&again, SVG_LIMIT_BYTES);
        TAP_OK(draw(pictures[i].statement, pictures[i].words, &svg, &err), err);
        TAP_OK(draw(pictures[i].statement, pictures[i].words, &again, &err), err);
        dl_str text = dl_buf_str(&svg);
        TAP_TRUE(dl_str_eq(text, dl_buf_str(&again)));
        TAP_TRUE(dl_str_starts(text, DL_STR("<svg ")) && dl_str_ends(text, DL_STR("</svg>\n")));
        TAP_TRUE(dl_str_is_utf8(text));
        TAP_TRUE(count_of(text, "<text") == count_of(text, "</text>"));
        if (count_of(text, pictures[i].holds) == 0) {
            TAP_FAIL("no '%s' in %.*s", pictures[i].holds, DL_STR_ARG(text));
        }
        if (pictures[i].lacks != NULL && count_of(text, pictures[i].lacks) != 0) {
            TAP_FAIL("'%s' in %.*s", pictures[i].lacks, DL_STR_ARG(text));
        }
        TAP_ROW_END(pictures[i].name);
    }
}

static const struct {
    const char *name, *statement, *words, *message;
} failures[] = {
    /* clang-format off */
    {"no such x", ROWS "1)", "bar x=nothing", "no column 'nothing'"},
    {"no such y", ROWS "1)", "bar y=nothing", "no column 'nothing'"},
    {"y without numbers", ROWS "1)", "bar y=label", "no numbers in column label"},
    {"no numbers at all", "SELECT 'a' AS a, 'b' AS b", "bar", "no column of numbers"},
    {"scatter over text", ROWS "1)", "scatter x=label y=n", "no numbers in column label"},
    {"histogram of text", ROWS "1)", "histogram x=label", "no numbers in column label"},
    {"parts below zero", "SELECT 'a' AS a, -1 AS n", "pie", "below zero"},
    {"a statement that fails on its way", "SELECT range AS a, CASE WHEN range = 9000 THEN 'x' ELSE '1' END::INT AS n FROM range(10000)", "line", ""},
    /* clang-format on */
};

static void run_failures(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(failures); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO_BUF svg = {0};
        dl_error err = {0};
        dl_buf_init(&svg, SVG_LIMIT_BYTES);
        TAP_STATUS(draw(failures[i].statement, failures[i].words, &svg, &err), DL_E_INVALID);
        TAP_EQ_INT(svg.len, 0);
        if (strstr(err.message, failures[i].message) == NULL) {
            TAP_FAIL("message is %s", err.message);
        }
        TAP_ROW_END(failures[i].name);
    }
}

TAP_CASE(a_picture_that_is_too_large_leaves_nothing)
{
    DL_AUTO_BUF svg = {0};
    dl_error err = {0};
    dl_buf_init(&svg, 600);
    TAP_OK(dl_buf_append_str(&svg, DL_STR("before"), &err), err);
    TAP_STATUS(draw(ROWS "3)", "bar", &svg, &err), DL_E_LIMIT);
    TAP_EQ_STR(dl_buf_str(&svg), "before");
}

int main(void)
{
    run_words();
    run_axes();
    run_pictures();
    run_failures();
    TAP_RUN(no_range_makes_too_many_ticks);
    TAP_RUN(a_picture_that_is_too_large_leaves_nothing);
    return tap_done();
}
