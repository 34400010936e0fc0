/* Spark's functions that an expression of DuckDB's says: macros, made when a statement names one
 * (making all of them would take longer than most statements).
 *
 * Where both have a function of a name for the same arguments, DuckDB's stays: docs/sql.md lists
 * those whose answers differ. What rows hold is never an error: it gives NULL. */
#include "query/internal.h"

#include <string.h>

typedef struct macro {
    const char *name;
    const char *definition; /* behind the name; NULL: a scalar function, spark.c */
} macro;

#define SHIFTED(d, sign)                                                                           \
    "(d VARCHAR, n BIGINT) AS CAST(TRY_CAST(d AS DATE) " sign " CAST(n AS INTEGER) AS DATE), "     \
    "(d DATE, n BIGINT) AS CAST(d " sign " CAST(n AS INTEGER) AS DATE), "                          \
    "(d TIMESTAMP, n BIGINT) AS CAST(CAST(d AS DATE) " sign " CAST(n AS INTEGER) AS DATE), "       \
    "(d TIMESTAMPTZ, n BIGINT) AS CAST(CAST(d AS DATE) " sign " CAST(n AS INTEGER) AS DATE), "     \
    "(d DATE, n INTERVAL) AS d " sign " n, (d TIMESTAMP, n INTERVAL) AS d " sign " n, "            \
    "(d TIMESTAMPTZ, n INTERVAL) AS d " sign " n"

static const macro macros[] = {
    /* clang-format off */
    {"nvl", "(a, b) AS coalesce(a, b)"},
    {"nvl2", "(a, b, c) AS CASE WHEN a IS NOT NULL THEN b ELSE c END"},
    {"isnull", "(a) AS (a IS NULL)"},
    {"isnotnull", "(a) AS (a IS NOT NULL)"},
    {"!", "(a) AS (NOT a)"},
    /* text */
    {"~@@~", "(a, p) AS regexp_matches(a, p)"}, /* RLIKE, REGEXP: the dialect writes it */
    {"!~@@~", "(a, p) AS (NOT regexp_matches(a, p))"},
    {"rlike", "(a, p) AS regexp_matches(a, p)"},
    {"regexp", "(a, p) AS regexp_matches(a, p)"},
    {"regexp_like", "(a, p) AS regexp_matches(a, p)"},
    {"startswith", "(a, b) AS starts_with(a, b)"},
    {"endswith", "(a, b) AS ends_with(a, b)"},
    {"locate", "(a, b) AS instr(b, a), "
               "(a, b, n) AS CASE WHEN n < 1 OR instr(substr(b, n), a) = 0 THEN 0 "
               "ELSE instr(substr(b, n), a) + n - 1 END"},
    {"substring_index", "(a, d, n) AS CASE WHEN n > 0 THEN "
                        "array_to_string(string_split(a, d)[1:n], d) WHEN n < 0 THEN "
                        "array_to_string(string_split(a, d)[n:], d) WHEN a IS NOT NULL THEN '' END"},
    {"initcap", "(a) AS array_to_string(list_transform(string_split(lower(a), ' '), "
                "lambda w: upper(w[1:1]) || w[2:]), ' ')"},
    {"sha", "(a) AS sha1(a)"},
    {"sha2", "(a, n) AS CASE WHEN n IN (0, 256) THEN sha256(a) END"},
    {"get_json_object", "(a, p) AS CASE WHEN json_valid(a) THEN json_extract_string(a, p) END"},
    /* numbers */
    {"rand", "() AS random()"},
    {"pmod", "(a, b) AS ((a % b) + b) % b"},
    /* lists and maps */
    {"size", NULL},
    {"array_size", NULL},
    {"explode", "(a) AS unnest(a)"},
    {"element_at", "(a, k) AS a[k]"},
    {"try_element_at", "(a, k) AS a[k]"},
    {"array_join", "(a, s) AS coalesce(array_to_string(list_filter(a, lambda x: x IS NOT NULL), s), "
                   "CASE WHEN a IS NOT NULL THEN '' END), "
                   "(a, s, r) AS array_to_string(list_transform(a, lambda x: "
                   "coalesce(CAST(x AS VARCHAR), r)), s)"},
    {"sort_array", "(a) AS list_sort(a, 'ASC', 'NULLS FIRST'), "
                   "(a, up) AS CASE WHEN up THEN list_sort(a, 'ASC', 'NULLS FIRST') "
                   "ELSE list_sort(a, 'DESC', 'NULLS LAST') END"},
    {"array_max", "(a) AS list_max(a)"},
    {"array_min", "(a) AS list_min(a)"},
    {"array_remove", "(a, x) AS list_filter(a, lambda y: y IS DISTINCT FROM x)"},
    {"slice", "(a, n, c) AS CASE WHEN n > 0 THEN a[n:n + c - 1] "
              "ELSE a[len(a) + n + 1:len(a) + n + c] END"},
    {"sequence", "(a, b) AS generate_series(a, b), (a, b, s) AS generate_series(a, b, s)"},
    {"map_contains_key", "(m, k) AS map_contains(m, k)"},
    /* aggregates */
    {"collect_list", "(a) AS coalesce(list(a) FILTER (a IS NOT NULL), [])"},
    {"collect_set", "(a) AS coalesce(list(DISTINCT a) FILTER (a IS NOT NULL), [])"},
    {"percentile", "(a, p) AS quantile_cont(a, p)"},
    {"percentile_approx", "(a, p) AS approx_quantile(a, p), (a, p, n) AS approx_quantile(a, p)"},
    {"approx_percentile", "(a, p) AS approx_quantile(a, p), (a, p, n) AS approx_quantile(a, p)"},
    {"every", "(a) AS bool_and(a)"},
    /* dates and times */
    {"to_date", "(a VARCHAR) AS TRY_CAST(a AS DATE), (a DATE) AS a, "
                "(a TIMESTAMP) AS CAST(a AS DATE), (a TIMESTAMPTZ) AS CAST(a AS DATE), "
                "(a VARCHAR, p VARCHAR) AS CAST(dl_parse_time(a, p) AS DATE), "
                "(a DATE, p VARCHAR) AS a, (a TIMESTAMP, p VARCHAR) AS CAST(a AS DATE), "
                "(a TIMESTAMPTZ, p VARCHAR) AS CAST(a AS DATE)"},
    {"to_timestamp", "(a VARCHAR) AS TRY_CAST(a AS TIMESTAMPTZ), "
                     "(a DOUBLE) AS system.main.to_timestamp(a), "
                     "(a DATE) AS CAST(a AS TIMESTAMPTZ), (a TIMESTAMP) AS CAST(a AS TIMESTAMPTZ), "
                     "(a TIMESTAMPTZ) AS a, "
                     "(a VARCHAR, p VARCHAR) AS CAST(dl_parse_time(a, p) AS TIMESTAMPTZ), "
                     "(a DATE, p VARCHAR) AS CAST(a AS TIMESTAMPTZ), "
                     "(a TIMESTAMP, p VARCHAR) AS CAST(a AS TIMESTAMPTZ), "
                     "(a TIMESTAMPTZ, p VARCHAR) AS a"},
    {"unix_timestamp", "() AS CAST(floor(epoch(now())) AS BIGINT), "
                       "(a) AS CAST(floor(epoch(TRY_CAST(a AS TIMESTAMP))) AS BIGINT), "
                       "(a VARCHAR, p VARCHAR) AS CAST(floor(epoch(dl_parse_time(a, p))) AS BIGINT)"},
    {"from_unixtime", "(n) AS dl_format_time(make_timestamp(CAST(n AS BIGINT) * 1000000), "
                      "'yyyy-MM-dd HH:mm:ss'), "
                      "(n, p) AS dl_format_time(make_timestamp(CAST(n AS BIGINT) * 1000000), p)"},
    {"date_format", "(a, p) AS dl_format_time(TRY_CAST(a AS TIMESTAMP), p)"},
    {"current_timestamp", "() AS now()"},
    {"date_add", SHIFTED("d", "+")},
    {"dateadd", SHIFTED("d", "+")},
    {"date_sub", SHIFTED("d", "-") ", (p VARCHAR, a TIMESTAMP, b TIMESTAMP) AS datesub(p, a, b)"},
    {"datediff", "(a, b) AS date_diff('day', TRY_CAST(b AS DATE), TRY_CAST(a AS DATE)), "
                 "(p, a, b) AS date_diff(p, a, b)"},
    {"add_months", "(d, n) AS CAST(TRY_CAST(d AS DATE) + to_months(n) AS DATE)"},
    {"months_between",
     "(a, b) AS (SELECT round(CASE WHEN day(x) = day(y) OR (CAST(x AS DATE) = last_day(x) AND "
     "CAST(y AS DATE) = last_day(y)) THEN m ELSE m + (day(x) - day(y) + "
     "(epoch(x - date_trunc('day', x)) - epoch(y - date_trunc('day', y))) / 86400.0) / 31 END, 8) "
     "FROM (SELECT x, y, (year(x) - year(y)) * 12.0 + month(x) - month(y) AS m FROM "
     "(SELECT TRY_CAST(a AS TIMESTAMP) AS x, TRY_CAST(b AS TIMESTAMP) AS y)))"},
    /* clang-format on */
};

static const macro *find(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(macros); i++) {
        if (dl_str_eq_nocase(name, dl_str_of(macros[i].name))) {
            return &macros[i];
        }
    }
    return NULL;
}

const char *dl_functions_spark_name(size_t i)
{
    return i < DL_COUNT_OF(macros) ? macros[i].name : NULL;
}

bool dl_functions_is_spark(dl_str name)
{
    return find(name) != NULL;
}

dl_status dl_functions_define_spark(dl_engine *engine, const dl_plan *plan, dl_error *err)
{
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, DL_QUERY_STATEMENT_LIMIT_BYTES);
    for (size_t i = 0; i < plan->spark_count; i++) {
        const macro *m = find(plan->spark[i]);
        if (m != NULL && m->definition != NULL) {
            DL_TRY(dl_buf_append_str(&sql, DL_STR("CREATE MACRO IF NOT EXISTS main."), err));
            DL_TRY(dl_engine_put_name(&sql, dl_str_of(m->name), err));
            DL_TRY(dl_buf_append_str(&sql, dl_str_of(m->definition), err));
            DL_TRY(dl_buf_append_str(&sql, DL_STR(";\n"), err));
        }
    }
    return sql.len > 0 ? dl_engine_exec(engine, dl_buf_str(&sql), err) : DL_OK;
}
