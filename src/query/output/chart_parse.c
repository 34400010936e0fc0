#include "query/output/chart_internal.h"

static const char *const kinds[] = {"bar", "line", "scatter", "histogram", "pie"};

static const char usage[] = "bar, line, scatter, histogram or pie, then x=, y=, title=, width=, "
                            "height=, bins=, sort";

static dl_status wrong(dl_error *err, const char *what, dl_str word)
{
    (void)dl_error_set(err, DL_E_INVALID, "chart: %s '%.*s'", what,
                       DL_STR_ARG(dl_str_slice(word, 0, 60)));
    dl_error_hint(err, "%s", usage);
    return DL_E_INVALID;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_spaces(dl_str *rest)
{
    while (rest->len > 0 && is_space(rest->ptr[0])) {
        *rest = dl_str_slice(*rest, 1, rest->len);
    }
}

/** A word up to a space, a comma or `=`. */
static dl_str take_word(dl_str *rest)
{
    size_t n = 0;
    while (n < rest->len && !is_space(rest->ptr[n]) && rest->ptr[n] != '=' && rest->ptr[n] != ',') {
        n++;
    }
    dl_str word = dl_str_slice(*rest, 0, n);
    *rest = dl_str_slice(*rest, n, rest->len);
    return word;
}

/** 'text', "text", `text`: the quote doubled stands for itself. */
static dl_status take_quoted(dl_str *rest, dl_arena *arena, dl_str *out, dl_error *err)
{
    char mark = rest->ptr[0];
    char *text = dl_arena_alloc(arena, rest->len, 1);
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t len = 0;
    for (size_t i = 1; i < rest->len; i++) {
        if (rest->ptr[i] == mark) {
            if (i + 1 == rest->len || rest->ptr[i + 1] != mark) {
                *out = (dl_str){text, len};
                *rest = dl_str_slice(*rest, i + 1, rest->len);
                return DL_OK;
            }
            i++;
        }
        text[len++] = rest->ptr[i];
    }
    return wrong(err, "a quote is open in", *rest);
}

static dl_status take_value(dl_str *rest, dl_arena *arena, dl_str *out, dl_error *err)
{
    if (rest->len > 0 && (rest->ptr[0] == '\'' || rest->ptr[0] == '"' || rest->ptr[0] == '`')) {
        return take_quoted(rest, arena, out, err);
    }
    return dl_arena_copy(arena, take_word(rest), out, err);
}

static dl_status take_columns(dl_str *rest, dl_arena *arena, dl_query_chart *chart, dl_error *err)
{
    for (;;) {
        if (chart->y_count == DL_CHART_SERIES_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "chart: more than %d columns for y",
                                DL_CHART_SERIES_LIMIT);
        }
        dl_str *y = &chart->y[chart->y_count];
        DL_TRY(take_value(rest, arena, y, err));
        if (y->len == 0) {
            return wrong(err, "y needs a column before", *rest);
        }
        chart->y_count++;
        if (rest->len == 0 || rest->ptr[0] != ',') {
            return DL_OK;
        }
        *rest = dl_str_slice(*rest, 1, rest->len);
    }
}

static dl_status take_number(dl_str *rest, uint32_t low, uint32_t high, dl_str name, uint32_t *out,
                             dl_error *err)
{
    uint64_t value = 0;
    if (!dl_str_to_u64(take_word(rest), &value) || value < low || value > high) {
        (void)dl_error_set(err, DL_E_INVALID, "chart: %.*s is a number from %u to %u",
                           DL_STR_ARG(name), low, high);
        return DL_E_INVALID;
    }
    *out = (uint32_t)value;
    return DL_OK;
}

static dl_status take_setting(dl_str name, dl_str *rest, dl_arena *arena, dl_query_chart *chart,
                              dl_error *err)
{
    if (dl_str_eq_nocase(name, DL_STR("x"))) {
        return take_value(rest, arena, &chart->x, err);
    }
    if (dl_str_eq_nocase(name, DL_STR("y"))) {
        return take_columns(rest, arena, chart, err);
    }
    if (dl_str_eq_nocase(name, DL_STR("title"))) {
        return take_value(rest, arena, &chart->title, err);
    }
    if (dl_str_eq_nocase(name, DL_STR("width"))) {
        return take_number(rest, 200, 4000, name, &chart->width, err);
    }
    if (dl_str_eq_nocase(name, DL_STR("height"))) {
        return take_number(rest, 150, 4000, name, &chart->height, err);
    }
    if (dl_str_eq_nocase(name, DL_STR("bins"))) {
        return take_number(rest, 1, 200, name, &chart->bins, err);
    }
    return wrong(err, "there is no", name);
}

static dl_status take_kind(dl_str *rest, dl_query_chart *chart, dl_error *err)
{
    skip_spaces(rest);
    dl_str word = take_word(rest);
    for (size_t i = 0; i < DL_COUNT_OF(kinds); i++) {
        if (dl_str_eq_nocase(word, dl_str_of(kinds[i]))) {
            chart->kind = (dl_query_chart_kind)i;
            return DL_OK;
        }
    }
    return wrong(err, "there is no kind", word);
}

dl_status dl_query_chart_parse(dl_str words, dl_arena *arena, dl_query_chart *out, dl_error *err)
{
    dl_query_chart chart = {0};
    dl_str rest = words;
    DL_TRY(take_kind(&rest, &chart, err));
    for (;;) {
        skip_spaces(&rest);
        if (rest.len == 0) {
            *out = chart;
            return DL_OK;
        }
        dl_str word = take_word(&rest);
        if (rest.len > 0 && rest.ptr[0] == '=' && word.len > 0) {
            rest = dl_str_slice(rest, 1, rest.len);
            DL_TRY(take_setting(word, &rest, arena, &chart, err));
        } else if (dl_str_eq_nocase(word, DL_STR("sort"))) {
            chart.sort = true;
        } else {
            return wrong(err, "cannot read", word.len > 0 ? word : rest);
        }
        if (rest.len > 0 && !is_space(rest.ptr[0])) {
            return wrong(err, "cannot read", rest);
        }
    }
}
