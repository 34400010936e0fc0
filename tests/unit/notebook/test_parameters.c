/* Parameters: values become constants of SQL and nothing else. */
#include "notebook/internal.h"
#include "tap.h"

enum { ARENA = 64 * 1024 * 1024 };

static dl_arena *arena;
static dl_error err;
static dl_notebook_constants all;

static void begin(void)
{
    arena = dl_arena_create(ARENA);
    err = (dl_error){0};
    all = (dl_notebook_constants){0};
}

static void end(void)
{
    dl_arena_destroy(arena);
}

/* ---- values ---- */

static const struct {
    const char *value, *want;
    dl_notebook_value kind;
} values[] = {
    /* clang-format off */
    {"CT", "'CT'", DL_NOTEBOOK_VALUE_TEXT},
    {"'CT'", "'CT'", DL_NOTEBOOK_VALUE_TEXT},
    {"\"CT\"", "'CT'", DL_NOTEBOOK_VALUE_TEXT},
    {"''", "''", DL_NOTEBOOK_VALUE_TEXT},
    {"O'Hara", "'O''Hara'", DL_NOTEBOOK_VALUE_TEXT},
    {"'O''Hara'", "'O''Hara'", DL_NOTEBOOK_VALUE_TEXT},
    {"\"O'Hara\"", "'O''Hara'", DL_NOTEBOOK_VALUE_TEXT},
    {"'a' OR 1=1", "'''a'' OR 1=1'", DL_NOTEBOOK_VALUE_TEXT},
    {"'a' OR 'b'='b'", "'''a'' OR ''b''=''b'''", DL_NOTEBOOK_VALUE_TEXT},
    {"1; DROP TABLE x", "'1; DROP TABLE x'", DL_NOTEBOOK_VALUE_TEXT},
    {"a\\", "'a\\'", DL_NOTEBOOK_VALUE_TEXT},
    {"'a\\'", "'a\\'", DL_NOTEBOOK_VALUE_TEXT},
    {"'", "''''", DL_NOTEBOOK_VALUE_TEXT},
    {"'''", "''''''''", DL_NOTEBOOK_VALUE_TEXT},
    {"''''", "''''", DL_NOTEBOOK_VALUE_TEXT},
    {"12", "12", DL_NOTEBOOK_VALUE_NUMBER},
    {"0", "0", DL_NOTEBOOK_VALUE_NUMBER},
    {"-3", "(-3)", DL_NOTEBOOK_VALUE_NUMBER},
    {"0.5", "0.5", DL_NOTEBOOK_VALUE_NUMBER},
    {"-1.5e-3", "(-1.5e-3)", DL_NOTEBOOK_VALUE_NUMBER},
    {"1e6", "1e6", DL_NOTEBOOK_VALUE_NUMBER},
    {"1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890", DL_NOTEBOOK_VALUE_NUMBER},
    {"12345678901234567890123456789012345678901", "'12345678901234567890123456789012345678901'", DL_NOTEBOOK_VALUE_TEXT},
    {"007", "'007'", DL_NOTEBOOK_VALUE_TEXT},
    {"1.", "'1.'", DL_NOTEBOOK_VALUE_TEXT},
    {".5", "'.5'", DL_NOTEBOOK_VALUE_TEXT},
    {"1e", "'1e'", DL_NOTEBOOK_VALUE_TEXT},
    {"-", "'-'", DL_NOTEBOOK_VALUE_TEXT},
    {"+1", "'+1'", DL_NOTEBOOK_VALUE_TEXT},
    {"1-1", "'1-1'", DL_NOTEBOOK_VALUE_TEXT},
    {"1.2.840", "'1.2.840'", DL_NOTEBOOK_VALUE_TEXT},
    {"0x10", "'0x10'", DL_NOTEBOOK_VALUE_TEXT},
    {"null", "NULL", DL_NOTEBOOK_VALUE_NULL},
    {"'NULL'", "'NULL'", DL_NOTEBOOK_VALUE_TEXT},
    {"True", "TRUE", DL_NOTEBOOK_VALUE_BOOL},
    {"FALSE", "FALSE", DL_NOTEBOOK_VALUE_BOOL},
    {"2026-01-31", "DATE '2026-01-31'", DL_NOTEBOOK_VALUE_DATE},
    {"2024-02-29", "DATE '2024-02-29'", DL_NOTEBOOK_VALUE_DATE},
    {"2000-02-29", "DATE '2000-02-29'", DL_NOTEBOOK_VALUE_DATE},
    {"2026-02-29", "'2026-02-29'", DL_NOTEBOOK_VALUE_TEXT},
    {"1900-02-29", "'1900-02-29'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-13-01", "'2026-13-01'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-00-01", "'2026-00-01'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-04-31", "'2026-04-31'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-04-00", "'2026-04-00'", DL_NOTEBOOK_VALUE_TEXT},
    {"0000-01-01", "'0000-01-01'", DL_NOTEBOOK_VALUE_TEXT},
    {"'2026-01-31'", "'2026-01-31'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:59", "TIMESTAMP '2026-01-31 23:59'", DL_NOTEBOOK_VALUE_TIMESTAMP},
    {"2026-01-31T23:59:59.123456", "TIMESTAMP '2026-01-31T23:59:59.123456'", DL_NOTEBOOK_VALUE_TIMESTAMP},
    {"2026-01-31 24:00", "'2026-01-31 24:00'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:60", "'2026-01-31 23:60'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:59:60", "'2026-01-31 23:59:60'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:59.5", "'2026-01-31 23:59.5'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:59:59.", "'2026-01-31 23:59:59.'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:59:59.1234567", "'2026-01-31 23:59:59.1234567'", DL_NOTEBOOK_VALUE_TEXT},
    {"2026-01-31 23:59:59' OR", "'2026-01-31 23:59:59'' OR'", DL_NOTEBOOK_VALUE_TEXT},
    {"DATE '2026-01-01'", "'DATE ''2026-01-01'''", DL_NOTEBOOK_VALUE_TEXT},
    {"$$x$$", "'$$x$$'", DL_NOTEBOOK_VALUE_TEXT},
    {"{{a}}", "'{{a}}'", DL_NOTEBOOK_VALUE_TEXT},
    /* clang-format on */
};

/* The kind is the notebook's own; NULL takes what comes. */
static void value_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(values); i++) {
        TAP_ROW_BEGIN();
        begin();
        const dl_notebook_parameter given = {DL_STR("a"), dl_str_of(values[i].value)};
        TAP_OK(dl_notebook_constants_read(DL_STR("a = NULL"), arena, &all, &err), err);
        TAP_OK(dl_notebook_constants_set(&all, &given, arena, &err), err);
        TAP_EQ_STR(all.items[0].sql, values[i].want);
        TAP_EQ_INT(all.items[0].kind, values[i].kind);
        end();
        TAP_ROW_END(values[i].value);
    }
}

TAP_CASE(a_cell_is_read)
{
    begin();
    TAP_OK(dl_notebook_constants_read(DL_STR("-- which\n# or so\n\n  modality = 'CT' -- comment\r\n"
                                             "from_day=2026-01-01\n_n2 = -1.5 -- it's\n"
                                             "words = it is -- that\nq = 'a -- b'"),
                                      arena, &all, &err),
           err);
    static const char *const want[] = {"modality", "'CT'",    "from_day", "DATE '2026-01-01'",
                                       "_n2",      "(-1.5)",  "words",    "'it is'",
                                       "q",        "'a -- b'"};
    TAP_EQ_INT(all.count, 5);
    for (size_t i = 0; i < all.count && i < 5; i++) {
        TAP_EQ_STR(all.items[i].name, want[2 * i]);
        TAP_EQ_STR(all.items[i].sql, want[2 * i + 1]);
    }
    end();
}

static const struct {
    const char *name, *source, *message;
} bad_cells[] = {
    {"no name", "= 1", "line 1 is not"},
    {"no value", "a = 1\nb =", "line 2 is not"},
    {"a comment for a value", "a = -- 1", "line 1 is not"},
    {"no sign", "a", "line 1 is not"},
    {"a name with a digit first", "1a = 1", "line 1 is not"},
    {"a name with a sign", "a-b = 1", "line 1 is not"},
    {"twice", "a = 1\n\na = 2", "line 3: a is there twice"},
    {"a statement", "SELECT 1", "line 1 is not"},
    {"a name of 64", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1",
     "line 1 is not"},
    {"not UTF-8", "a = \xff", "a value must be UTF-8"},
};

static void bad_cell_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(bad_cells); i++) {
        TAP_ROW_BEGIN();
        begin();
        TAP_STATUS(dl_notebook_constants_read(dl_str_of(bad_cells[i].source), arena, &all, &err),
                   DL_E_INVALID);
        TAP_TRUE(strstr(err.message, bad_cells[i].message) != NULL);
        end();
        TAP_ROW_END(bad_cells[i].name);
    }
}

TAP_CASE(names_of_63_and_100_parameters)
{
    DL_AUTO_BUF source = {0};
    begin();
    dl_buf_init(&source, ARENA);
    for (size_t i = 0; i < DL_NOTEBOOK_PARAMETER_LIMIT; i++) {
        TAP_OK(dl_buf_printf(&source, &err, "p%062zu = %zu\n", i, i), err);
    }
    TAP_OK(dl_notebook_constants_read(dl_buf_str(&source), arena, &all, &err), err);
    TAP_EQ_INT(all.count, DL_NOTEBOOK_PARAMETER_LIMIT);
    TAP_STATUS(dl_notebook_constants_read(DL_STR("more = 1"), arena, &all, &err), DL_E_LIMIT);
    end();
}

/* ---- from outside ---- */

static const struct {
    const char *name, *own, *given, *want;
} sets[] = {
    /* clang-format off */
    {"text stays text", "a = 'x'", "007", "'007'"},
    {"a number for text", "a = 'x'", "12", "'12'"},
    {"a date for text", "a = 'x'", "2026-01-01", "'2026-01-01'"},
    {"nothing for text", "a = 'x'", "", "''"},
    {"quotes round text go", "a = 'x'", "'12'", "'12'"},
    {"NULL for text", "a = 'x'", "NULL", "NULL"},
    {"a number", "a = 1", "2.5", "2.5"},
    {"NULL for a number", "a = 1", "null", "NULL"},
    {"text for a number", "a = 1", "x", NULL},
    {"SQL for a number", "a = 1", "1 OR 1=1", NULL},
    {"a quoted number", "a = 1", "'2'", NULL},
    {"a date", "a = 2026-01-01", "2026-12-31", "DATE '2026-12-31'"},
    {"a time for a date", "a = 2026-01-01", "2026-12-31 08:00", "TIMESTAMP '2026-12-31 08:00'"},
    {"no date", "a = 2026-01-01", "2026-02-30", NULL},
    {"yes or no", "a = TRUE", "false", "FALSE"},
    {"a number for yes", "a = TRUE", "1", NULL},
    {"not UTF-8", "a = 'x'", "\xc3", NULL},
    /* clang-format on */
};

static void set_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(sets); i++) {
        TAP_ROW_BEGIN();
        begin();
        const dl_notebook_parameter given = {DL_STR("a"), dl_str_of(sets[i].given)};
        TAP_OK(dl_notebook_constants_read(dl_str_of(sets[i].own), arena, &all, &err), err);
        dl_str before = all.items[0].sql;
        dl_status status = dl_notebook_constants_set(&all, &given, arena, &err);
        TAP_EQ_INT(status, sets[i].want == NULL ? DL_E_INVALID : DL_OK);
        TAP_TRUE((err.message[0] != '\0') == (status != DL_OK));
        if (sets[i].want != NULL) {
            TAP_EQ_STR(all.items[0].sql, sets[i].want);
        } else {
            TAP_TRUE(dl_str_eq(all.items[0].sql, before));
        }
        end();
        TAP_ROW_END(sets[i].name);
    }
}

TAP_CASE(a_parameter_that_is_not_there_is_told_with_those_that_are)
{
    begin();
    const dl_notebook_parameter given = {DL_STR("c"), DL_STR("1")};
    TAP_STATUS(dl_notebook_constants_set(&all, &given, arena, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.hint, "tag \"parameters\"") != NULL);
    TAP_OK(dl_notebook_constants_read(DL_STR("a = 1\nb = 2"), arena, &all, &err), err);
    TAP_STATUS(dl_notebook_constants_set(&all, &given, arena, &err), DL_E_INVALID);
    TAP_EQ_STR(dl_str_of(err.hint), "it has: a, b");
    end();
}

/* ---- into SQL ---- */

#define OWN "m = 'O''H'\nn = -3\nd = 2026-01-31"

static const struct {
    const char *name, *sql, *want, *message; /* want NULL: refused */
    size_t at;
} fills[] = {
    /* clang-format off */
    {"nothing to fill", "SELECT 1", "SELECT 1", NULL, 0},
    {"each kind", "a={{m}},b={{ n }},c={{d}}", "a= 'O''H' ,b= (-3) ,c= DATE '2026-01-31' ", NULL, 0},
    {"one after another", "{{m}}{{m}}", " 'O''H'  'O''H' ", NULL, 0},
    {"behind a letter", "e{{m}}", "e 'O''H' ", NULL, 0},
    {"in comments they stay", "-- {{m}}\n/* {{m}} /* {{m}} */ {{x}} */{{n}}", "-- {{m}}\n/* {{m}} /* {{m}} */ {{x}} */ (-3) ", NULL, 0},
    {"others' braces stay", "'{{x}}' {{ {{1}} {{a b}} { {m}} {{m} }", "'{{x}}' {{ {{1}} {{a b}} { {m}} {{m} }", NULL, 0},
    {"not there", "SELECT {{x}}", NULL, "no parameter x", 7},
    {"inside quotes", "a = '{{m}}'", NULL, "inside quotes", 5},
    {"inside a doubled quote", "a = 'it''s {{m}}'", NULL, "inside quotes", 11},
    {"inside a name", "a = \"{{m}}\"", NULL, "inside quotes", 5},
    {"inside back quotes", "`{{m}}`", NULL, "inside quotes", 1},
    {"inside dollar quotes", "$t$ {{m}} $t$", NULL, "inside quotes", 4},
    {"inside E quotes", "e'\\' {{m}}'", NULL, "inside quotes", 5},
    {"inside an open quote", "'{{m}}", NULL, "inside quotes", 1},
    {"behind an open comment", "/* {{m}}", "/* {{m}}", NULL, 0},
    {"behind a closed quote", "'a' {{n}} 'b'", "'a'  (-3)  'b'", NULL, 0},
    {"a dollar of a parameter is no quote", "$1 {{n}} $1", "$1  (-3)  $1", NULL, 0},
    {"a backslash closes nothing", "'a\\' {{n}}", "'a\\'  (-3) ", NULL, 0},
    /* clang-format on */
};

static void fill_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(fills); i++) {
        TAP_ROW_BEGIN();
        begin();
        dl_notebook_filled filled = {0};
        size_t at = SIZE_MAX;
        TAP_OK(dl_notebook_constants_read(DL_STR(OWN), arena, &all, &err), err);
        dl_status status =
            dl_notebook_fill(dl_str_of(fills[i].sql), &all, arena, &filled, &at, &err);
        if (fills[i].want != NULL) {
            TAP_EQ_INT(status, DL_OK);
            TAP_EQ_STR(filled.sql, fills[i].want);
        } else {
            TAP_EQ_INT(status, DL_E_INVALID);
            TAP_EQ_INT(at, fills[i].at);
            TAP_TRUE(strstr(err.message, fills[i].message) != NULL);
            TAP_TRUE(filled.sql.ptr == NULL);
        }
        end();
        TAP_ROW_END(fills[i].name);
    }
}

TAP_CASE(places_lead_back)
{
    static const char sql[] = "ab {{m}} cd {{n}} 'e' fg";
    begin();
    dl_notebook_filled filled;
    size_t at = SIZE_MAX;
    TAP_OK(dl_notebook_constants_read(DL_STR(OWN), arena, &all, &err), err);
    TAP_OK(dl_notebook_fill(DL_STR(sql), &all, arena, &filled, &at, &err), err);
    static const char *const words[] = {"ab", "cd", "fg", "'e'"};
    for (size_t i = 0; i < DL_COUNT_OF(words); i++) {
        size_t to = (size_t)dl_str_find_str(filled.sql, dl_str_of(words[i]));
        TAP_EQ_INT(dl_notebook_filled_source(&filled, to), strstr(sql, words[i]) - sql);
    }
    size_t inside = (size_t)dl_str_find_str(filled.sql, DL_STR("O''H"));
    TAP_EQ_INT(dl_notebook_filled_source(&filled, inside), 3);
    TAP_EQ_INT(dl_notebook_filled_source(&filled, filled.sql.len), sizeof sql - 1);
    end();
}

int main(void)
{
    value_rows();
    TAP_RUN(a_cell_is_read);
    bad_cell_rows();
    TAP_RUN(names_of_63_and_100_parameters);
    set_rows();
    TAP_RUN(a_parameter_that_is_not_there_is_told_with_those_that_are);
    fill_rows();
    TAP_RUN(places_lead_back);
    return tap_done();
}
