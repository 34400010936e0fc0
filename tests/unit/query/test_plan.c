/* What statements read: tables, functions, conditions; from trees of the engine's own parser. */
#include "query/plan_internal.h"
#include "tap.h"

enum { MEMORY_LIMIT_BYTES = 512 << 20, TEXT_LIMIT_BYTES = 256 << 20 };

static dl_engine engine;

/* The parser's tree of a statement. */
static dl_str parse(dl_str sql, dl_arena *arena)
{
    DL_AUTO_BUF ask = {0};
    dl_str tree = DL_STR_NONE;
    duckdb_result rows;
    dl_buf_init(&ask, TEXT_LIMIT_BYTES);
    TAP_TRUE(dl_buf_append_str(&ask, DL_STR("SELECT json_serialize_sql("), NULL) == DL_OK);
    TAP_TRUE(dl_engine_put_text(&ask, sql, NULL) == DL_OK);
    TAP_TRUE(dl_buf_append_str(&ask, DL_STR(")::VARCHAR"), NULL) == DL_OK);
    TAP_TRUE(dl_buf_terminate(&ask, NULL) == DL_OK);
    if (engine.api.query(engine.connection, ask.ptr, &rows) != DuckDBSuccess) {
        TAP_FAIL("%s", engine.api.result_error(&rows));
        return tree;
    }
    duckdb_data_chunk chunk = engine.api.fetch_chunk(rows);
    duckdb_vector column = engine.api.data_chunk_get_vector(chunk, 0);
    const duckdb_string_t *s = engine.api.vector_get_data(column);
    uint32_t len = s->value.inlined.length;
    dl_str text = {len <= 12 ? s->value.inlined.inlined : s->value.pointer.ptr, len};
    TAP_TRUE(dl_arena_copy(arena, text, &tree, NULL) == DL_OK);
    engine.api.destroy_data_chunk(&chunk);
    engine.api.destroy_result(&rows);
    return tree;
}

static void write_condition(dl_buf *out, const dl_plan_condition *c)
{
    static const char *const ops[] = {"=", "<", "<=", ">", ">=", "in"};
    static const char *const kinds[] = {"text", "number", "bool", "date", "ts", "tstz", "bytes"};
    dl_status status = dl_buf_printf(out, NULL, "%.*s %s %s", DL_STR_ARG(c->column), ops[c->op],
                                     kinds[c->constant]);
    for (size_t i = 0; status == DL_OK && i < c->value_count; i++) {
        status = dl_buf_printf(out, NULL, " %.*s", DL_STR_ARG(c->values[i]));
    }
    TAP_TRUE(status == DL_OK);
}

/* "schema.name(condition; condition) name ..." */
static void write_plan(dl_buf *out, const dl_plan *plan)
{
    for (size_t i = 0; i < plan->table_count; i++) {
        const dl_plan_table *t = &plan->tables[i];
        dl_status status =
            dl_buf_printf(out, NULL, "%s%.*s%s%.*s", i > 0 ? " " : "", DL_STR_ARG(t->schema),
                          t->schema.len > 0 ? "." : "", DL_STR_ARG(t->name));
        TAP_TRUE(status == DL_OK);
        for (size_t k = 0; k < t->condition_count; k++) {
            TAP_TRUE(dl_buf_append_str(out, k == 0 ? DL_STR("(") : DL_STR("; "), NULL) == DL_OK);
            write_condition(out, &t->conditions[k]);
        }
        if (t->condition_count > 0) {
            TAP_TRUE(dl_buf_append_char(out, ')', NULL) == DL_OK);
        }
    }
}

typedef struct row {
    const char *sql, *want;
} row;

static const row rows[] = {
    /* tables */
    {"SELECT 1", ""},
    {"FROM Instance", "Instance"},
    {"TABLE a.b", "a.b"},
    {"SELECT (SELECT max(x) FROM t), EXISTS (FROM u) FROM (SELECT * FROM v), LATERAL (FROM w)",
     "t u v w"},
    {"SELECT * FROM t UNION ALL SELECT * FROM u ORDER BY (SELECT 1 FROM v) LIMIT (SELECT 2 FROM w)",
     "v w t u"},
    {"SELECT * FROM t a, T b, x.t c", "t x.t"},
    {"SELECT * FROM t JOIN u ON t.a = (SELECT b FROM v)", "t u v"},
    {"SUMMARIZE t", "t"},
    {"DESCRIBE SELECT * FROM t", "t"},
    {"SELECT * FROM t PIVOT (sum(b) FOR a IN (1, 2))", "t"},
    {"SELECT * FROM t UNPIVOT (v FOR k IN (a, b))", "t"},
    {"SELECT * FROM t WHERE a IN (SELECT b FROM u WHERE c = 'x')", "t u(c = text x)"},
    {"FROM \"a.parquet\"", "a.parquet"},
    /* names of WITH */
    {"WITH t AS (SELECT 1) FROM t", ""},
    {"WITH t AS (SELECT * FROM t) FROM T", "t"},
    {"WITH t AS (SELECT 1) FROM a.t", "a.t"},
    {"WITH u AS (FROM v), v AS (FROM u) FROM v", "v"},
    {"WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r, t) FROM r", "t"},
    {"SELECT * FROM (WITH t AS (SELECT 1) FROM t), t", "t"},
    {"WITH t AS (SELECT 1) SELECT (WITH u AS (FROM t) SELECT 1 FROM u, v WHERE v.a = 1)",
     "v(a = number 1)"},
    {"WITH a AS (WITH b AS (SELECT 1) FROM b) FROM b", "b"},
    /* comparisons */
    {"FROM t WHERE a = 'x'", "t(a = text x)"},
    {"FROM t WHERE \"A b\" = 'x''y'", "t(A b = text x'y)"},
    {"FROM t WHERE a < 1 AND b <= -2 AND c > 1.50 AND d >= 1e3",
     "t(d >= number 1000.0; c > number 1.50; b <= number -2; a < number 1)"},
    {"FROM t WHERE 1 < a AND 2 <= b AND 3 > c AND 4 >= d AND 5 = e",
     "t(e = number 5; d <= number 4; c < number 3; b >= number 2; a > number 1)"},
    {"FROM t WHERE a = 0.05 AND b = -0.5 AND c = 5000000000",
     "t(c = number 5000000000; b = number -0.5; a = number 0.05)"},
    {"FROM t WHERE a = true AND b = DATE '2024-01-01' AND c < TIMESTAMP '2024-01-01 10:00:00'",
     "t(c < ts 2024-01-01 10:00:00; b = date 2024-01-01; a = bool t)"},
    {"FROM t WHERE a = CAST('2024-01-01' AS DATE) AND b >= '2024-01-01'::TIMESTAMPTZ",
     "t(b >= tstz 2024-01-01; a = date 2024-01-01)"},
    {"FROM t WHERE a IS NOT DISTINCT FROM 3", "t(a = number 3)"},
    {"FROM t WHERE a BETWEEN 1 AND 2.5", "t(a >= number 1; a <= number 2.5)"},
    {"FROM t WHERE a BETWEEN '1' AND 2", "t"},
    {"FROM t WHERE a IN ('x', 'y')", "t(a in text x y)"},
    {"FROM t WHERE a IN (1, 2.5)", "t(a in number 1 2.5)"},
    {"FROM t WHERE a IN ('x', 1)", "t"},
    {"FROM t WHERE a IN ('x', NULL)", "t"},
    {"FROM t WHERE a IN ('x', b)", "t"},
    {"FROM t WHERE 'x' IN (a, 'y')", "t"},
    {"FROM t WHERE a LIKE 'ab%'", "t(a >= bytes ab; a < bytes ac)"},
    {"FROM t WHERE a LIKE 'ab_d'", "t(a >= bytes ab; a < bytes ac)"},
    {"FROM t WHERE a LIKE 'ab'", "t(a >= bytes ab; a < bytes ac)"},
    {"FROM t WHERE a LIKE 'a\\%'", "t(a >= bytes a; a < bytes b)"},
    {"FROM t WHERE a LIKE '%b'", "t"},
    {"FROM t WHERE a LIKE 'a%' ESCAPE 'a'", "t"},
    {"FROM t WHERE a ILIKE 'a%'", "t"},
    {"FROM t WHERE a NOT LIKE 'a%'", "t"},
    {"FROM t WHERE starts_with(a, 'a%')", "t(a >= bytes a%; a < bytes a&)"},
    {"FROM t WHERE a ^@ 'x'", "t(a >= bytes x; a < bytes y)"},
    {"FROM t WHERE a = 'x' AND (b = 1 AND (c = 2))", "t(c = number 2; b = number 1; a = text x)"},
    /* not for every row, or not of the column itself */
    {"FROM t WHERE a = 1 OR b = 2", "t"},
    {"FROM t WHERE a = 1 OR a = 2", "t"},
    {"FROM t WHERE NOT (a = 1 AND b = 2)", "t"},
    {"FROM t WHERE (a = 1 OR b = 2) AND c = 3", "t(c = number 3)"},
    {"FROM t WHERE a <> 1 AND b NOT IN (1) AND c NOT BETWEEN 1 AND 2", "t"},
    {"FROM t WHERE a IS DISTINCT FROM 1 AND b IS NULL AND c = NULL", "t"},
    {"FROM t WHERE CASE WHEN a = 1 THEN true END", "t"},
    {"FROM t WHERE lower(a) = 'x' AND a + 1 = 2 AND CAST(a AS INT) = 1 AND a.b.c = 1", "t"},
    {"FROM t WHERE a COLLATE NOCASE = 'x'", "t"},
    {"FROM t WHERE a = 'x' COLLATE NOCASE", "t"},
    {"FROM t WHERE a = TRY_CAST('2024-01-01' AS DATE) AND b = CAST(1 AS VARCHAR)", "t"},
    {"FROM t WHERE a = 99999999999999999999 AND b = INTERVAL 1 DAY", "t"},
    {"FROM t WHERE a = b AND 1 = 1", "t"},
    {"FROM t WHERE (a, b) = (1, 2)", "t"},
    {"FROM t WHERE a = (SELECT 1)", "t"},
    {"SELECT a FROM t GROUP BY a HAVING a = 1", "t"},
    {"SELECT a FROM t QUALIFY a = 1", "t"},
    {"SELECT a, a = 1 FROM t ORDER BY a = 1", "t"},
    {"SELECT count(*) FILTER (a = 1) FROM t", "t"},
    /* whose column it is */
    {"FROM t WHERE t.a = 1", "t(a = number 1)"},
    {"FROM t WHERE T.a = 1", "t(a = number 1)"},
    {"FROM t x WHERE x.a = 1", "t(a = number 1)"},
    {"FROM t x WHERE t.a = 1", "t"},
    {"FROM t x WHERE y.a = 1", "t"},
    {"FROM s.t WHERE s.t.a = 1", "s.t"},
    {"FROM t x(b, a) WHERE a = 1 AND x.a = 2", "t"},
    {"FROM t, u WHERE a = 1", "t u"},
    {"FROM t, u WHERE t.a = 1 AND u.b = 2", "t(a = number 1) u(b = number 2)"},
    {"FROM t, range(3) r WHERE t.a = 1 AND range = 1", "t(a = number 1)"},
    {"FROM t, dicom_tags(t.f) d WHERE t.a = 1 AND d.b = 1", "t(a = number 1)"},
    {"FROM t x, u x WHERE x.a = 1", "t u"},
    {"FROM t, t u WHERE t.a = 1 AND u.a = 1", "t"},
    {"FROM t, s.t u WHERE t.a = 1 AND u.a = 1", "t s.t"},
    {"SELECT (SELECT b FROM t WHERE a = 1), (SELECT c FROM T)", "t"},
    {"SELECT * FROM (SELECT * FROM t) WHERE a = 1", "t"},
    {"SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE t.a = 1 AND u.b = t.b)", "t u"},
    {"SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u t WHERE t.a = 1)", "t u(a = number 1)"},
    {"FROM t WHERE a = 1 UNION FROM u WHERE a = 2", "t(a = number 1) u(a = number 2)"},
    {"WITH w AS (FROM t WHERE a = 1) FROM w WHERE b = 2", "t(a = number 1)"},
    /* joins */
    {"FROM t JOIN u ON t.a = 1 AND u.b = 2", "t(a = number 1) u(b = number 2)"},
    {"FROM t JOIN u USING (k) WHERE k = 1", "t u"},
    {"FROM t LEFT JOIN u ON t.a = 1 AND u.b = 2", "t u(b = number 2)"},
    {"FROM t RIGHT JOIN u ON t.a = 1 AND u.b = 2", "t(a = number 1) u"},
    {"FROM t FULL JOIN u ON t.a = 1 AND u.b = 2", "t u"},
    {"FROM t SEMI JOIN u ON t.a = 1 AND u.b = 2", "t u(b = number 2)"},
    {"FROM t ANTI JOIN u ON t.a = 1 AND u.b = 2", "t u(b = number 2)"},
    {"FROM t LEFT JOIN u ON t.k = u.k WHERE t.a = 1 AND u.b = 2",
     "t(a = number 1) u(b = number 2)"},
    {"FROM t FULL JOIN u ON t.k = u.k WHERE t.a = 1", "t(a = number 1) u"},
    {"FROM t JOIN (u LEFT JOIN v ON u.a = 1 AND v.b = 2) ON t.c = 3 AND v.d = 4",
     "t(c = number 3) u v(d = number 4; b = number 2)"},
    {"FROM t LEFT JOIN u ON u.a = 1 LEFT JOIN v ON u.b = 2 AND v.c = 3",
     "t u(a = number 1) v(c = number 3)"},
    {"FROM t LEFT JOIN (SELECT * FROM u JOIN v ON u.a = 1) w ON w.a = 2", "t u(a = number 1) v"},
    {"FROM t NATURAL JOIN u WHERE t.a = 1", "t(a = number 1) u"},
    {"FROM t ASOF JOIN u ON t.k = u.k AND t.x >= u.x WHERE u.a = 1 AND t.b = 2", "t u"},
    {"FROM t POSITIONAL JOIN u WHERE u.a = 1", "t u"},
    {"FROM t JOIN (u POSITIONAL JOIN v) ON t.a = 1", "t u v"},
    /* what looks at rows before WHERE does */
    {"FROM t TABLESAMPLE 10% WHERE a = 1", "t"},
    {"SELECT * FROM t WHERE a = 1 USING SAMPLE 3", "t"},
    {"FROM t PIVOT (sum(b) FOR c IN (1)) WHERE a = 1", "t"},
    {"SELECT row_number() OVER () FROM t WHERE a = 1 LIMIT 3", "t(a = number 1)"},
};

TAP_CASE(plans_say_what_is_read)
{
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        DL_AUTO_BUF got = {0};
        dl_error err = {0};
        dl_plan plan = {0};
        dl_buf_init(&got, 1 << 20);
        TAP_ROW_BEGIN();
        TAP_OK(dl_plan_read(parse(dl_str_of(rows[i].sql), arena), arena, &plan, NULL, &err), err);
        write_plan(&got, &plan);
        TAP_EQ_STR(dl_buf_str(&got), rows[i].want);
        TAP_ROW_END(rows[i].sql);
    }
}

static const struct {
    const char *sql;
    dl_status status;
    size_t at;
    const char *words;
} refusals[] = {
    {"FROM read_csv('/etc/passwd')", DL_E_DENIED, 5, "read_csv"},
    {"SELECT * FROM t, READ_PARQUET(['x'])", DL_E_DENIED, 17, "parquet"},
    {"SELECT * FROM \"read_text\"('/etc/passwd')", DL_E_DENIED, 14, "read_text"},
    {"FROM glob('/*')", DL_E_DENIED, 5, "glob"},
    {"FROM query('SELECT 1')", DL_E_DENIED, 5, "query"},
    {"FROM query_table('t')", DL_E_DENIED, 5, "query_table"},
    {"FROM duckdb_settings()", DL_E_DENIED, 5, "duckdb_settings"},
    {"FROM pragma_version()", DL_E_DENIED, 5, "pragma"},
    {"FROM sqlite_scan('x', 'y')", DL_E_DENIED, 5, "sqlite_scan"},
    {"FROM frobnicate(1)", DL_E_INVALID, 5, "unnest"},
    {"SELECT (SELECT 1 FROM read_blob('x'))", DL_E_DENIED, 22, "read_blob"},
    {"WITH a AS (FROM read_json('x')) SELECT 1", DL_E_DENIED, 16, "read_json"},
    {"SELECT getenv('HOME')", DL_E_DENIED, 7, "getenv"},
    {"SELECT error('x')", DL_E_DENIED, 7, "error"},
    {"SELECT current_setting('x')", DL_E_DENIED, 7, "current_setting"},
    {"SELECT main.getvariable('x')", DL_E_DENIED, 7, "getvariable"},
    {"SELECT a FROM t ORDER BY pg_sleep(1)", DL_E_DENIED, 25, "pg_sleep"},
    {"SELECT sum(a) OVER (ORDER BY nextval('s')) FROM t", DL_E_DENIED, 29, "nextval"},
    {"SELECT list_transform([1], x -> sleep_ms(x))", DL_E_DENIED, 32, "sleep_ms"},
    {"SELECT coutn(a) FROM t", DL_E_INVALID, 7, "count"},
    {"SELECT json_execute_serialized_sql('x')", DL_E_DENIED, 7, "json_execute"},
    {"SELECT zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz(1)", DL_E_INVALID, 7, "zzz"},
    {"SELECT collect_list(DISTINCT a) FROM t", DL_E_UNSUPPORTED, 7, "list(DISTINCT x)"},
    {"SELECT collect_set(a ORDER BY a) FROM t", DL_E_UNSUPPORTED, 7, "list(DISTINCT x)"},
    {"SELECT collect_list(a) FILTER (a > 1) FROM t", DL_E_UNSUPPORTED, 7, "collect_list"},
    {"SELECT percentile_approx(a, 0.5) OVER () FROM t", DL_E_UNSUPPORTED, 7, "OVER"},
    {"SELECT ?", DL_E_UNSUPPORTED, SIZE_MAX, "parameters"},
    {"SELECT $1", DL_E_UNSUPPORTED, SIZE_MAX, "parameters"},
    {"FROM (SHOW TABLES)", DL_E_DENIED, SIZE_MAX, "SHOW"},
    {"FROM t AT (VERSION => 3)", DL_E_UNSUPPORTED, 5, "VERSION AS OF"},
    {"FROM a.b.c", DL_E_NOT_FOUND, 5, "lakehouse.table"},
    {"SELECT 1; SELECT 2", DL_E_DENIED, SIZE_MAX, "one statement"},
    {"SELECT FROM WHERE", DL_E_INVALID, 12, "syntax"},
    {"WITH a AS (SELECT 1) INSERT INTO t FROM a", DL_E_DENIED, SIZE_MAX, "question"},
    {"PIVOT t ON a USING sum(b)", DL_E_DENIED, SIZE_MAX, "question"},
    {"COPY t TO 'x'", DL_E_DENIED, SIZE_MAX, "question"},
};

TAP_CASE(what_reaches_out_is_refused)
{
    for (size_t i = 0; i < DL_COUNT_OF(refusals); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        dl_error err = {0};
        dl_plan plan = {.table_count = 99};
        size_t at = 77;
        TAP_ROW_BEGIN();
        dl_str tree = parse(dl_str_of(refusals[i].sql), arena);
        TAP_STATUS(dl_plan_read(tree, arena, &plan, &at, &err), refusals[i].status);
        TAP_EQ_INT(at, refusals[i].at);
        if (strstr(err.message, refusals[i].words) == NULL &&
            strstr(err.hint, refusals[i].words) == NULL) {
            TAP_FAIL("'%s' is not in '%s', '%s'", refusals[i].words, err.message, err.hint);
        }
        TAP_EQ_INT(plan.table_count, 99);
        TAP_ROW_END(refusals[i].sql);
    }
}

/* A tree that no parser of ours made. */
TAP_CASE(broken_trees_are_refused)
{
    static const struct {
        const char *tree;
        dl_status status;
    } trees[] = {
        {"", DL_E_CORRUPT},
        {"7", DL_E_CORRUPT},
        {"{", DL_E_CORRUPT},
        {"{\"a\"", DL_E_CORRUPT},
        {"{\"a\":1", DL_E_CORRUPT},
        {"{\"a\":1]", DL_E_CORRUPT},
        {"{\"a\":[1 2]}", DL_E_CORRUPT},
        {"{\"a\":x}", DL_E_CORRUPT},
        {"{} {}", DL_E_CORRUPT},
        {"{}", DL_E_CORRUPT},
        {"{\"error\":false,\"statements\":[]}", DL_E_CORRUPT},
        {"{\"statements\":[{\"node\":{\"type\":\"INSERT_NODE\"}}]}", DL_E_DENIED},
        {"{\"statements\":[{\"node\":{\"class\":\"NEW_CLASS\"}}]}", DL_E_DENIED},
        {"{\"statements\":[{\"node\":{\"type\":\"NEW_REF\",\"class\":null}}]}", DL_E_DENIED},
        {"{\"statements\":[{\"node\":{\"type\":\"SELECT_NODE\",\"from_table\":null}}]}", DL_OK},
        {"{\"statements\":[{\"node\":{\"type\":\"SELECT_NODE\",\"from_table\":{\"type\":\"JOIN\"}}}"
         "]}",
         DL_OK},
    };
    for (size_t i = 0; i < DL_COUNT_OF(trees); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        dl_error err = {0};
        dl_plan plan = {0};
        dl_status status = dl_plan_read(dl_str_of(trees[i].tree), arena, &plan, NULL, &err);
        if (status != trees[i].status) {
            TAP_FAIL("%s: %s", trees[i].tree, dl_status_name(status));
        }
    }
}

/* `open` n times round `inside`. */
static dl_str nested(dl_arena *arena, const char *open, const char *inside, const char *close,
                     size_t n)
{
    DL_AUTO_BUF out = {0};
    dl_str text = DL_STR_NONE;
    dl_buf_init(&out, TEXT_LIMIT_BYTES);
    for (size_t i = 0; i < n; i++) {
        TAP_TRUE(dl_buf_append_str(&out, dl_str_of(open), NULL) == DL_OK);
    }
    TAP_TRUE(dl_buf_append_str(&out, dl_str_of(inside), NULL) == DL_OK);
    for (size_t i = 0; i < n; i++) {
        TAP_TRUE(dl_buf_append_str(&out, dl_str_of(close), NULL) == DL_OK);
    }
    TAP_TRUE(dl_arena_copy(arena, dl_buf_str(&out), &text, NULL) == DL_OK);
    return text;
}

TAP_CASE(depth_and_tables_have_bounds)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_error err = {0};
    dl_plan plan = {0};
    /* 20,000 open brackets, of which the root is one. */
    dl_str deep = nested(arena, "[", "", "]", 19999 - 1);
    dl_str tree = DL_STR_NONE;
    TAP_OK(dl_arena_printf(arena, &tree, &err, "{\"statements\":[%.*s]}", DL_STR_ARG(deep)), err);
    TAP_OK(dl_plan_read(tree, arena, &plan, NULL, &err), err);
    TAP_OK(dl_arena_printf(arena, &tree, &err, "{\"statements\":[[%.*s]]}", DL_STR_ARG(deep)), err);
    TAP_STATUS(dl_plan_read(tree, arena, &plan, NULL, &err), DL_E_LIMIT);
    /* 1,000 tables. */
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, TEXT_LIMIT_BYTES);
    TAP_TRUE(dl_buf_append_str(&sql, DL_STR("SELECT 1"), NULL) == DL_OK);
    for (int i = 0; i < 1000; i++) {
        TAP_TRUE(dl_buf_printf(&sql, NULL, ", (SELECT 1 FROM t%d)", i) == DL_OK);
    }
    TAP_OK(dl_plan_read(parse(dl_buf_str(&sql), arena), arena, &plan, NULL, &err), err);
    TAP_EQ_INT(plan.table_count, 1000);
    TAP_TRUE(dl_buf_append_str(&sql, DL_STR(", (SELECT 1 FROM u)"), NULL) == DL_OK);
    TAP_STATUS(dl_plan_read(parse(dl_buf_str(&sql), arena), arena, &plan, NULL, &err), DL_E_LIMIT);
}

/* More than is looked at leaves out fewer files, and nothing else. */
TAP_CASE(many_conditions_are_cut)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_error err = {0};
    dl_plan plan = {0};
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, TEXT_LIMIT_BYTES);
    TAP_TRUE(dl_buf_append_str(&sql, DL_STR("FROM t WHERE a = 0"), NULL) == DL_OK);
    for (int i = 1; i < 700; i++) {
        TAP_TRUE(dl_buf_printf(&sql, NULL, " AND a = %d", i) == DL_OK);
    }
    TAP_OK(dl_plan_read(parse(dl_buf_str(&sql), arena), arena, &plan, NULL, &err), err);
    TAP_TRUE(plan.table_count == 1 && plan.tables[0].condition_count > 200);
    dl_buf_reset(&sql);
    TAP_TRUE(dl_buf_append_str(&sql, DL_STR("FROM t0"), NULL) == DL_OK);
    for (int i = 1; i < 64; i++) {
        TAP_TRUE(dl_buf_printf(&sql, NULL, " JOIN t%d ON t%d.a = 1", i, i) == DL_OK);
    }
    TAP_OK(dl_plan_read(parse(dl_buf_str(&sql), arena), arena, &plan, NULL, &err), err);
    TAP_EQ_INT(plan.tables[63].condition_count, 1);
    TAP_TRUE(dl_buf_append_str(&sql, DL_STR(" JOIN u ON u.a = 1"), NULL) == DL_OK);
    TAP_OK(dl_plan_read(parse(dl_buf_str(&sql), arena), arena, &plan, NULL, &err), err);
    TAP_EQ_INT(plan.tables[63].condition_count, 0);
}

/* A newer libduckdb: each of its functions is looked at by somebody before it can be called. */
TAP_CASE(functions_that_are_allowed_exist)
{
    dl_error err = {0};
    DL_AUTO_BUF ask = {0};
    duckdb_result found;
    dl_buf_init(&ask, 1 << 20);
    TAP_TRUE(dl_buf_append_str(&ask, DL_STR("SELECT n FROM (VALUES ('')"), NULL) == DL_OK);
    for (size_t i = 0; dl_plan_function_name(i) != NULL; i++) {
        TAP_TRUE(dl_buf_append_str(&ask, DL_STR(", ("), NULL) == DL_OK);
        TAP_OK(dl_engine_put_text(&ask, dl_str_of(dl_plan_function_name(i)), &err), err);
        TAP_TRUE(dl_buf_append_char(&ask, ')', NULL) == DL_OK);
    }
    TAP_TRUE(
        dl_buf_append_str(&ask,
                          DL_STR(") v(n) WHERE n NOT IN (SELECT function_name FROM "
                                 "duckdb_functions()) AND n NOT IN ('', 'coalesce', 'grouping', "
                                 "'grouping_id', 'unnest')"),
                          NULL) == DL_OK);
    TAP_TRUE(dl_buf_terminate(&ask, NULL) == DL_OK);
    TAP_EQ_INT(engine.api.query(engine.connection, ask.ptr, &found), DuckDBSuccess);
    duckdb_data_chunk chunk = engine.api.fetch_chunk(found);
    if (chunk != NULL && engine.api.data_chunk_get_size(chunk) > 0) {
        const duckdb_string_t *s =
            engine.api.vector_get_data(engine.api.data_chunk_get_vector(chunk, 0));
        TAP_FAIL("%u functions are not there, the first of %u letters: %.12s",
                 (unsigned)engine.api.data_chunk_get_size(chunk), s->value.inlined.length,
                 s->value.inlined.inlined);
    }
    engine.api.destroy_data_chunk(&chunk);
    engine.api.destroy_result(&found);
}

int main(void)
{
    dl_error err = {0};
    dl_query_options options = {.limits = {.threads = 1}, .clock = dl_clock_system()};
    if (dl_engine_load(&engine, &err) != DL_OK ||
        dl_engine_start(&engine, &options, &err) != DL_OK) {
        printf("Bail out! %s\n", err.message);
        return 1;
    }
    plans_say_what_is_read();
    what_reaches_out_is_refused();
    TAP_RUN(broken_trees_are_refused);
    TAP_RUN(depth_and_tables_have_bounds);
    TAP_RUN(many_conditions_are_cut);
    TAP_RUN(functions_that_are_allowed_exist);
    dl_engine_stop(&engine);
    return tap_done();
}
