/* Spark's spelling to DuckDB's: what is copied, what is changed, what is refused, where. */
#include "query/internal.h"
#include "tap.h"

enum { MEMORY_LIMIT_BYTES = 64 << 20 };

typedef struct change {
    const char *given, *want;
} change;

static const change changes[] = {
    {"SELECT * FROM instance", "SELECT * FROM instance"},
    {"  select 1 ; ", "select 1 "},
    {";; select 1;;", "select 1"},
    {"SELECT `a b`, `x``y`, `q\"r` FROM `instance`",
     "SELECT \"a b\", \"x`y\", \"q\"\"r\" FROM \"instance\""},
    {"SELECT '`a`', \"`b`\" FROM t -- `c`", "SELECT '`a`', \"`b`\" FROM t -- `c`"},
    {"SELECT '`a' || E'\\'`' /* ` /* */ ` */ FROM t",
     "SELECT '`a' || E'\\'`' /* ` /* */ ` */ FROM t"},
    {"SELECT $$`a`$$, $x$ $$ ` $x$, `c`", "SELECT $$`a`$$, $x$ $$ ` $x$, \"c\""},
    {"SELECT a <=> b, a == b", "SELECT a  IS NOT DISTINCT FROM  b, a == b"},
    {"SELECT * FROM t VERSION AS OF 3", "SELECT * FROM \"dl_travel/1\" AS \"t\""},
    {"SELECT * FROM t FOR VERSION AS OF '3' WHERE a",
     "SELECT * FROM \"dl_travel/1\" AS \"t\" WHERE a"},
    {"SELECT * FROM t FOR SYSTEM_VERSION AS OF 3 x", "SELECT * FROM \"dl_travel/1\" x"},
    {"SELECT * FROM t version as of 3 AS x", "SELECT * FROM \"dl_travel/1\" AS x"},
    {"SELECT * FROM t TIMESTAMP AS OF '2026-01-31' JOIN u ON a",
     "SELECT * FROM \"dl_travel/1\" AS \"t\" JOIN u ON a"},
    {"FROM lake.`T t` TIMESTAMP AS OF DATE '2026-01-31', u@v2",
     "FROM \"dl_travel/1\" AS \"T t\", \"dl_travel/2\" AS \"u\""},
    {"FROM `lake`.t FOR SYSTEM_TIME AS OF CAST('2026-01-31' AS TIMESTAMP) \"x\"",
     "FROM \"dl_travel/1\" \"x\""},
    {"FROM t@v0 JOIN T@20260131120000500 USING (k)",
     "FROM \"dl_travel/1\" AS \"t\" JOIN \"dl_travel/2\" AS \"T\" USING (k)"},
    {"SELECT version AS of FROM t", "SELECT version AS of FROM t"},
    {"SELECT a, version FROM t", "SELECT a, version FROM t"},
    {"SELECT @a, a @ b FROM t", "SELECT @a, a @ b FROM t"},
    {"SELECT 'VERSION AS OF 3'", "SELECT 'VERSION AS OF 3'"},
    {"DESCRIBE SELECT `a`", "DESCRIBE SELECT \"a\""},
    {"DESC (SELECT 1)", "DESC (SELECT 1)"},
    {"SUMMARIZE t", "SUMMARIZE t"},
    {"(SELECT 1) UNION (SELECT 2)", "(SELECT 1) UNION (SELECT 2)"},
    {"VALUES (1)", "VALUES (1)"},
    {"SELECT a RLIKE 'x', a NOT RLIKE 'x', b.c REGEXP d, 'a' RLIKE ('b')",
     "SELECT a ~@@~ 'x', a !~@@~ 'x', b.c ~@@~ d, 'a' ~@@~ ('b')"},
    {"SELECT rlike(a, 'x'), regexp (a, b), NOT rlike(a, 'b') FROM t rlike",
     "SELECT rlike(a, 'x'), regexp (a, b), NOT rlike(a, 'b') FROM t rlike"},
    {"SELECT a DIV 2, (a) div b, a[1] DIV 3, CASE END DIV 4, t.end DIV 5, div FROM t",
     "SELECT a // 2, (a) // b, a[1] // 3, CASE END // 4, t.end // 5, div FROM t"},
    {"SELECT CAST(a AS BYTE), a::byte, a AS byte, CAST(a AS timestamp_ntz), byte FROM t",
     "SELECT CAST(a AS TINYINT), a::TINYINT, a AS byte, CAST(a AS TIMESTAMP), byte FROM t"},
    {"SELECT * EXCEPT (a) FROM t EXCEPT (SELECT 1)",
     "SELECT * EXCLUDE (a) FROM t EXCEPT (SELECT 1)"},
    {"FROM t MINUS SELECT 1 MINUS ALL (SELECT 2)", "FROM t EXCEPT SELECT 1 EXCEPT ALL (SELECT 2)"},
    {"FROM t@v1 MINUS SELECT 2", "FROM \"dl_travel/1\" AS \"t\" EXCEPT SELECT 2"},
    {"SELECT a::BYTE DIV 2", "SELECT a::TINYINT // 2"},
    {"SELECT 1 FROM t MINUS DISTINCT SELECT 2", "SELECT 1 FROM t EXCEPT DISTINCT SELECT 2"},
    {"FROM t LEFT SEMI JOIN u LEFT JOIN v left anti join w",
     "FROM t  SEMI JOIN u LEFT JOIN v  anti join w"},
    {"SELECT array(1, 2), array(), ARRAY(SELECT 1), ARRAY[1], transform(a, x -> x), transform",
     "SELECT list_value(1, 2), list_value(), ARRAY(SELECT 1), ARRAY[1], list_transform(a, x -> x), "
     "transform"},
    {"WITH cube AS (SELECT 1) FROM cube", "WITH cube AS (SELECT 1) FROM cube"},
    {"SELECT a < b, map < c, EXISTS (SELECT 1), MAP {'a': 1}, map(a, b)",
     "SELECT a < b, map < c, EXISTS (SELECT 1), MAP {'a': 1}, map(a, b)"},
    {"TABLE t", "TABLE t"},
    {"WITH a AS (SELECT 1) FROM a", "WITH a AS (SELECT 1) FROM a"},
};

TAP_CASE(text_is_changed)
{
    for (size_t i = 0; i < DL_COUNT_OF(changes); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        dl_error err = {0};
        dl_dialect got = {0};
        TAP_ROW_BEGIN();
        TAP_OK(dl_dialect_read(dl_str_of(changes[i].given), arena, &got, NULL, &err), err);
        TAP_EQ_INT(got.kind, DL_DIALECT_SELECT);
        TAP_EQ_STR(got.sql, changes[i].want);
        TAP_ROW_END(changes[i].given);
    }
}

typedef struct refused {
    const char *given;
    dl_status status;
    size_t at;
    const char *words; /* in the message or the hint */
} refused;

static const refused refusals[] = {
    {"COPY instance TO 'x'", DL_E_DENIED, 0, "COPY"},
    {" attach 'x'", DL_E_DENIED, 1, "ATTACH"},
    {"INSTALL httpfs", DL_E_DENIED, 0, "extensions"},
    {"LOAD httpfs", DL_E_DENIED, 0, "extensions"},
    {"SET memory_limit = '1TB'", DL_E_DENIED, 0, "SET"},
    {"PRAGMA database_list", DL_E_DENIED, 0, "PRAGMA"},
    {"CREATE TABLE t AS SELECT 1", DL_E_DENIED, 0, "WITH name AS"},
    {"INSERT INTO t VALUES (1)", DL_E_DENIED, 0, "INSERT"},
    {"/* x */ UPDATE t SET a = 1", DL_E_DENIED, 8, "UPDATE"},
    {"EXPLAIN DROP TABLE t", DL_E_DENIED, 8, "DROP"},
    {"EXPLAIN ANALYZE SELECT 1", DL_E_UNSUPPORTED, 8, "EXPLAIN SELECT"},
    {"CALL pragma_version()", DL_E_DENIED, 0, "CALL"},
    {"USE lake", DL_E_DENIED, 0, "USE"},
    {"VACUUM t", DL_E_DENIED, 0, "VACUUM"},
    {"REFRESH TABLE t", DL_E_DENIED, 0, "newest"},
    {"SELECT 1; SELECT 2", DL_E_DENIED, 10, "second"},
    {"SELECT 1; ; DROP TABLE t", DL_E_DENIED, 12, "second"},
    {"SELECT ';' ;COPY t TO 'x'", DL_E_DENIED, 12, "second"},
    {"SELEC 1", DL_E_INVALID, 0, "SELEC"},
    {"'x'", DL_E_INVALID, 0, "begin"},
    {"PIVOT t ON a USING sum(b)", DL_E_UNSUPPORTED, 0, "PIVOT"},
    {"SHOW FUNCTIONS", DL_E_UNSUPPORTED, 5, "SHOW TABLES"},
    {"SHOW TABLES x", DL_E_INVALID, 12, "x"},
    {"DESCRIBE", DL_E_INVALID, 8, "missing"},
    {"DESCRIBE HISTORY t", DL_E_UNSUPPORTED, 9, "HISTORY"},
    {"DESCRIBE DETAIL t", DL_E_UNSUPPORTED, 9, "DETAIL"},
    {"SELECT 'a", DL_E_INVALID, 7, "no end"},
    {"SELECT \"a", DL_E_INVALID, 7, "no end"},
    {"SELECT `a", DL_E_INVALID, 7, "no end"},
    {"SELECT 1 /* x", DL_E_INVALID, 9, "no end"},
    {"SELECT $$ x", DL_E_INVALID, 7, "no end"},
    {"SELECT E'a\\'", DL_E_INVALID, 7, "no end"},
    {"`a", DL_E_INVALID, 0, "no end"},
    {"SELECT `` FROM t", DL_E_INVALID, 7, "empty"},
    {"FROM t VERSION AS OF", DL_E_INVALID, 20, "VERSION"},
    {"FROM t VERSION AS OF x", DL_E_INVALID, 21, "VERSION"},
    {"FROM t VERSION AS OF -1", DL_E_INVALID, 21, "VERSION"},
    {"FROM t VERSION AS OF 1.5", DL_E_INVALID, 21, "VERSION"},
    {"FROM t VERSION AS OF 9223372036854775808", DL_E_INVALID, 21, "VERSION"},
    {"FROM t TIMESTAMP AS OF 3", DL_E_INVALID, 23, "TIMESTAMP"},
    {"FROM t TIMESTAMP AS OF 'soon'", DL_E_INVALID, 23, "no time"},
    {"FROM t TIMESTAMP AS OF '2026-02-30'", DL_E_INVALID, 23, "no time"},
    {"FROM t TIMESTAMP AS OF CAST('2026-02-01' AS TEXT)", DL_E_INVALID, 41, "TIMESTAMP"},
    {"FROM t@w3", DL_E_INVALID, 6, "@"},
    {"FROM t@v", DL_E_INVALID, 6, "@"},
    {"FROM t LATERAL VIEW explode(a) x AS y", DL_E_UNSUPPORTED, 7, "unnest"},
    {"FROM t SORT BY a", DL_E_UNSUPPORTED, 7, "ORDER BY"},
    {"SELECT CAST(a AS ARRAY<INT>) FROM t", DL_E_UNSUPPORTED, 17, "TEXT[]"},
    {"SELECT EXISTS(array(1), x -> x)", DL_E_UNSUPPORTED, 7, "list_contains"},
    {"SELECT map('a', 1)", DL_E_UNSUPPORTED, 7, "MAP {"},
    {"FROM t TABLESAMPLE (BUCKET 1 OUT OF 2)", DL_E_UNSUPPORTED, 7, "PERCENT"},
    {"SELECT a FROM t GROUP BY a WITH ROLLUP", DL_E_UNSUPPORTED, 27, "GROUP BY ROLLUP"},
    {"SELECT \xff", DL_E_INVALID, SIZE_MAX, "UTF-8"},
};

TAP_CASE(others_are_refused)
{
    for (size_t i = 0; i < DL_COUNT_OF(refusals); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        const refused *row = &refusals[i];
        dl_error err = {0};
        dl_dialect got = {.kind = DL_DIALECT_EMPTY};
        size_t at = 77;
        TAP_ROW_BEGIN();
        TAP_STATUS(dl_dialect_read(dl_str_of(row->given), arena, &got, &at, &err), row->status);
        TAP_EQ_INT(at, row->at);
        if (strstr(err.message, row->words) == NULL && strstr(err.hint, row->words) == NULL) {
            TAP_FAIL("'%s' is not in '%s', '%s'", row->words, err.message, err.hint);
        }
        TAP_EQ_INT(got.kind, DL_DIALECT_EMPTY);
        TAP_ROW_END(row->given);
    }
}

TAP_CASE(other_kinds_of_statements)
{
    static const struct {
        const char *given;
        dl_dialect_statement kind;
        const char *sql, *subject;
    } rows[] = {
        {"SHOW TABLES", DL_DIALECT_SHOW, "SELECT * FROM dl_tables", ""},
        {"show tables;", DL_DIALECT_SHOW, "SELECT * FROM dl_tables", ""},
        {"DESCRIBE t", DL_DIALECT_DESCRIBE, "", "t"},
        {"DESC TABLE EXTENDED `a b`.\"t\" ;", DL_DIALECT_DESCRIBE, "", "a b.t"},
        {"DESCRIBE history", DL_DIALECT_DESCRIBE, "", "history"},
        {"DESCRIBE TABLE", DL_DIALECT_DESCRIBE, "", "TABLE"},
        {"SHOW COLUMNS FROM t", DL_DIALECT_DESCRIBE, "", "t"},
        {"SHOW COLUMNS IN a.t", DL_DIALECT_DESCRIBE, "", "a.t"},
        {"EXPLAIN SELECT `a`", DL_DIALECT_EXPLAIN, "SELECT \"a\"", ""},
        {"", DL_DIALECT_EMPTY, "", ""},
        {" -- x\n /* y */ ; ", DL_DIALECT_EMPTY, "", ""},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        dl_error err = {0};
        dl_dialect got = {.kind = DL_DIALECT_SELECT};
        TAP_OK(dl_dialect_read(dl_str_of(rows[i].given), arena, &got, NULL, &err), err);
        TAP_EQ_INT(got.kind, rows[i].kind);
        TAP_EQ_STR(got.sql, rows[i].sql);
        TAP_EQ_STR(got.subject, rows[i].subject);
    }
}

TAP_CASE(travels_say_what_and_when)
{
    static const struct {
        const char *given, *schema, *table;
        int64_t version, timestamp_us;
        size_t at;
    } rows[] = {
        {"FROM lake.t VERSION AS OF 3", "lake", "t", 3, INT64_MIN, 5},
        {"FROM x, `La``ke`.`T` VERSION AS OF '0'", "La`ke", "T", 0, INT64_MIN, 8},
        {"FROM t@v9223372036854775807", "", "t", INT64_MAX, INT64_MIN, 5},
        {"FROM t TIMESTAMP AS OF '1970-01-02'", "", "t", -1, 86400000000, 5},
        {"FROM t TIMESTAMP AS OF '1970-01-01 00:00:01.5'", "", "t", -1, 1500000, 5},
        {"FROM t TIMESTAMP AS OF '1970-01-01T01:00:00+01:00'", "", "t", -1, 0, 5},
        {"FROM t TIMESTAMP AS OF '1970-01-01 01:00 -0130'", "", "t", -1, 9000000000, 5},
        {"FROM t TIMESTAMP AS OF '1970-01-01 00:00:00.0000019Z'", "", "t", -1, 1, 5},
        {"FROM t TIMESTAMP AS OF to_timestamp('1970-01-01')", "", "t", -1, 0, 5},
        {"FROM t@19700101000000001", "", "t", -1, 1000, 5},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        dl_error err = {0};
        dl_dialect got = {0};
        TAP_ROW_BEGIN();
        TAP_OK(dl_dialect_read(dl_str_of(rows[i].given), arena, &got, NULL, &err), err);
        TAP_EQ_INT(got.travel_count, 1);
        if (got.travel_count == 1) {
            TAP_EQ_STR(got.travels[0].schema, rows[i].schema);
            TAP_EQ_STR(got.travels[0].table, rows[i].table);
            TAP_EQ_INT(got.travels[0].version, rows[i].version);
            TAP_EQ_INT(got.travels[0].timestamp_us, rows[i].timestamp_us);
            TAP_EQ_INT(got.travels[0].at, rows[i].at);
        }
        TAP_ROW_END(rows[i].given);
    }
}

/* Every letter of what is run that was copied leads back to where it stood. */
TAP_CASE(places_lead_back)
{
    static const char *const rows[] = {
        "  /* */ SELECT `a`, `b``c`, d <=> e FROM lake.`t` VERSION AS OF 3 WHERE Q = Z",
        "EXPLAIN FROM t@v3 JOIN u FOR TIMESTAMP AS OF '2026-01-01' Y ON `x``y``z` = Q",
        "SELECT 1",
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        dl_error err = {0};
        dl_dialect got = {0};
        dl_str given = dl_str_of(rows[i]);
        size_t before = 0;
        TAP_OK(dl_dialect_read(given, arena, &got, NULL, &err), err);
        for (size_t to = 0; to < got.sql.len; to++) {
            size_t from = dl_dialect_source(&got, to);
            TAP_TRUE(from >= before && from < given.len);
            before = from;
            if (strchr("QZYd1", got.sql.ptr[to]) != NULL) {
                TAP_TRUE(got.sql.ptr[to] == given.ptr[from] || strchr("1d", got.sql.ptr[to]));
            }
        }
        TAP_EQ_INT(given.ptr[dl_dialect_source(&got, got.sql.len - 1)], given.ptr[given.len - 1]);
    }
    dl_dialect none = {0};
    TAP_EQ_INT(dl_dialect_source(&none, 5), 5);
}

TAP_CASE(scripts_are_cut_at_their_ends)
{
    dl_str rest =
        DL_STR(";; SELECT ';' -- ;\n; /* ; */ FROM t ; ;SELECT `;` , \";\", $$;$$;'open ;");
    static const char *const want[] = {" SELECT ';' -- ;\n", " /* ; */ FROM t ",
                                       "SELECT `;` , \";\", $$;$$", "'open ;"};
    dl_str statement = DL_STR_NONE;
    for (size_t i = 0; i < DL_COUNT_OF(want); i++) {
        TAP_TRUE(dl_dialect_next_statement(&rest, &statement));
        TAP_EQ_STR(statement, want[i]);
    }
    TAP_TRUE(!dl_dialect_next_statement(&rest, &statement));
    rest = DL_STR(" -- nothing");
    TAP_TRUE(!dl_dialect_next_statement(&rest, &statement));
}

TAP_CASE(the_prompt_waits_for_the_end)
{
    TAP_TRUE(!dl_dialect_is_open(DL_STR("")));
    TAP_TRUE(!dl_dialect_is_open(DL_STR("-- x")));
    TAP_TRUE(!dl_dialect_is_open(DL_STR("SELECT 1;")));
    TAP_TRUE(!dl_dialect_is_open(DL_STR("SELECT 1; -- x")));
    TAP_TRUE(dl_dialect_is_open(DL_STR("SELECT 1")));
    TAP_TRUE(dl_dialect_is_open(DL_STR("SELECT ';")));
    TAP_TRUE(dl_dialect_is_open(DL_STR("SELECT 1; /* x")));
    TAP_TRUE(dl_dialect_is_open(DL_STR("SELECT 1; SELECT")));
}

TAP_CASE(a_statement_has_a_greatest_length)
{
    static char text[DL_QUERY_STATEMENT_LIMIT_BYTES + 1];
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)4 * MEMORY_LIMIT_BYTES);
    dl_error err = {0};
    dl_dialect got = {0};
    memset(text, ' ', sizeof text);
    memcpy(text, "SELECT 1", 8);
    TAP_OK(dl_dialect_read((dl_str){text, sizeof text - 1}, arena, &got, NULL, &err), err);
    TAP_STATUS(dl_dialect_read((dl_str){text, sizeof text}, arena, &got, NULL, &err), DL_E_LIMIT);
    memset(text + 7, '`', sizeof text - 7); /* the most that a byte can become */
    TAP_OK(dl_dialect_read((dl_str){text, sizeof text - 2}, arena, &got, NULL, &err), err);
}

int main(void)
{
    text_is_changed();
    others_are_refused();
    TAP_RUN(other_kinds_of_statements);
    travels_say_what_and_when();
    TAP_RUN(places_lead_back);
    TAP_RUN(scripts_are_cut_at_their_ends);
    TAP_RUN(the_prompt_waits_for_the_end);
    TAP_RUN(a_statement_has_a_greatest_length);
    return tap_done();
}
