/* First words: what a statement is, and why it may not be. Words of Spark without an equal. */
#include "query/dialect_internal.h"

typedef struct refusal {
    const char *word;
    dl_status status;
    const char *hint;
} refusal;

/* clang-format off */
static const refusal refusals[] = {
    {"ALTER",      DL_E_DENIED, "columns of the tables come with dicomlake sync"},
    {"ANALYZE",    DL_E_DENIED, "statistics are kept in the tables' logs"},
    {"ATTACH",     DL_E_DENIED, "a table comes in by dicomlake shortcut add"},
    {"BEGIN",      DL_E_DENIED, "every statement reads one version of its tables by itself"},
    {"CACHE",      DL_E_DENIED, "a table needs no cache: leave the statement out"},
    {"CALL",       DL_E_DENIED, NULL},
    {"CHECKPOINT", DL_E_DENIED, NULL},
    {"CLEAR",      DL_E_DENIED, "there is no cache to clear: leave the statement out"},
    {"COMMENT",    DL_E_DENIED, NULL},
    {"COMMIT",     DL_E_DENIED, "every statement reads one version of its tables by itself"},
    {"CONVERT",    DL_E_DENIED, NULL},
    {"COPY",       DL_E_DENIED, "an answer goes into a file by dicomlake sql --output"},
    {"CREATE",     DL_E_DENIED, "write WITH name AS (SELECT ...) SELECT ... FROM name"},
    {"DEALLOCATE", DL_E_DENIED, NULL},
    {"DELETE",     DL_E_DENIED, "the tables follow the service: delete there, then dicomlake sync"},
    {"DETACH",     DL_E_DENIED, NULL},
    {"DROP",       DL_E_DENIED, "a table leaves by dicomlake shortcut remove"},
    {"EXECUTE",    DL_E_DENIED, "write the statement out"},
    {"EXPORT",     DL_E_DENIED, "an answer goes into a file by dicomlake sql --output"},
    {"FORCE",      DL_E_DENIED, NULL},
    {"IMPORT",     DL_E_DENIED, NULL},
    {"INSERT",     DL_E_DENIED, "the tables are written by dicomlake sync alone"},
    {"INSTALL",    DL_E_DENIED, "extensions are never loaded"},
    {"LOAD",       DL_E_DENIED, "extensions are never loaded"},
    {"MERGE",      DL_E_DENIED, "the tables are written by dicomlake sync alone"},
    {"MSCK",       DL_E_DENIED, NULL},
    {"OPTIMIZE",   DL_E_DENIED, "the tables are kept by dicomlake table optimize"},
    {"PRAGMA",     DL_E_DENIED, "write DESCRIBE table or SHOW TABLES"},
    {"PREPARE",    DL_E_DENIED, "write the statement out"},
    {"REFRESH",    DL_E_DENIED, "every statement sees the newest version: leave it out"},
    {"REPLACE",    DL_E_DENIED, "the tables are written by dicomlake sync alone"},
    {"RESET",      DL_E_DENIED, "settings are locked"},
    {"RESTORE",    DL_E_DENIED, "read an older version by FROM table VERSION AS OF n"},
    {"ROLLBACK",   DL_E_DENIED, NULL},
    {"SET",        DL_E_DENIED, "settings are locked"},
    {"START",      DL_E_DENIED, NULL},
    {"TRUNCATE",   DL_E_DENIED, "the tables are written by dicomlake sync alone"},
    {"UNCACHE",    DL_E_DENIED, "there is no cache: leave the statement out"},
    {"UPDATE",     DL_E_DENIED, "the tables follow the service: change there, then dicomlake sync"},
    {"USE",        DL_E_DENIED, "write lakehouse.table, or choose the lakehouse of the command"},
    {"VACUUM",     DL_E_DENIED, "the tables are kept by dicomlake table vacuum"},
};
/* clang-format on */

static const char *const questions[] = {"SELECT", "WITH",      "FROM",   "VALUES",
                                        "TABLE",  "SUMMARIZE", "UNPIVOT"};

static dl_status deny(const dl_lexer *lexer, dl_word word, dl_error *err)
{
    dl_str text = dl_word_text(lexer, word);
    for (size_t i = 0; word.kind == DL_WORD_NAME && i < DL_COUNT_OF(refusals); i++) {
        if (dl_str_eq_nocase(text, dl_str_of(refusals[i].word))) {
            dl_status status =
                dl_error_set(err, refusals[i].status,
                             "%s is not possible: SQL reads, it changes nothing", refusals[i].word);
            if (refusals[i].hint != NULL) {
                dl_error_hint(err, "%s", refusals[i].hint);
            }
            return status;
        }
    }
    dl_status status = dl_error_set(err, DL_E_INVALID, "a statement cannot begin with %.*s",
                                    DL_STR_ARG(dl_str_slice(text, 0, 40)));
    dl_error_hint(err, "it begins with SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW TABLES, "
                       "SUMMARIZE or EXPLAIN");
    return status;
}

static dl_word look(dl_lexer lexer)
{
    return dl_lexer_next(&lexer);
}

/* A name of one to three parts; what is no name is left. */
static dl_status take_subject(dl_lexer *lexer, dl_arena *arena, dl_str *out_subject, dl_error *err)
{
    dl_str subject = DL_STR_NONE;
    for (int parts = 0; parts < 3; parts++) {
        dl_word word = dl_lexer_next(lexer);
        dl_str part = DL_STR_NONE;
        if (!dl_word_is_name(word)) {
            dl_status status = dl_error_set(err, DL_E_INVALID, "the name of a table is missing");
            dl_error_hint(err, "write DESCRIBE table");
            return status;
        }
        DL_TRY(dl_word_unquote(lexer, word, arena, &part, err));
        DL_TRY(dl_arena_printf(arena, &subject, err, "%.*s%s%.*s", DL_STR_ARG(subject),
                               parts > 0 ? "." : "", DL_STR_ARG(part)));
        if (!dl_word_is_symbol(lexer, look(*lexer), ".")) {
            break;
        }
        (void)dl_lexer_next(lexer);
    }
    *out_subject = subject;
    return DL_OK;
}

/* Nothing but ';' may follow. */
static dl_status take_end(dl_lexer *lexer, dl_error *err)
{
    for (dl_word word = look(*lexer); word.kind != DL_WORD_END; word = look(*lexer)) {
        if (!dl_word_is_symbol(lexer, word, ";")) {
            return dl_error_set(err, DL_E_INVALID, "%.*s is not expected here",
                                DL_STR_ARG(dl_str_slice(dl_word_text(lexer, word), 0, 40)));
        }
        (void)dl_lexer_next(lexer);
    }
    return DL_OK;
}

static bool begins_question(const dl_lexer *lexer, dl_word word)
{
    for (size_t i = 0; i < DL_COUNT_OF(questions); i++) {
        if (dl_word_is(lexer, word, questions[i])) {
            return true;
        }
    }
    return dl_word_is_symbol(lexer, word, "(");
}

static dl_status open_describe(dl_lexer *lexer, dl_arena *arena, dl_dialect *out, dl_error *err)
{
    dl_word word = look(*lexer);
    if (begins_question(lexer, word) && !dl_word_is(lexer, word, "TABLE")) {
        out->kind = DL_DIALECT_SELECT; /* of a question: DuckDB describes it */
        return DL_OK;
    }
    dl_lexer after = *lexer;
    (void)dl_lexer_next(&after);
    bool named = dl_word_is_name(look(after)); /* else the word is the table's name */
    if (named && (dl_word_is(lexer, word, "HISTORY") || dl_word_is(lexer, word, "DETAIL"))) {
        dl_status status = dl_error_set(err, DL_E_UNSUPPORTED, "DESCRIBE %.*s is not known",
                                        DL_STR_ARG(dl_word_text(lexer, word)));
        dl_error_hint(err, "dicomlake table shows a table's history and files");
        return status;
    }
    while (named && (dl_word_is(lexer, word, "TABLE") || dl_word_is(lexer, word, "EXTENDED") ||
                     dl_word_is(lexer, word, "FORMATTED"))) {
        (void)dl_lexer_next(lexer);
        word = look(*lexer);
        after = *lexer;
        (void)dl_lexer_next(&after);
        named = dl_word_is_name(look(after));
    }
    out->kind = DL_DIALECT_DESCRIBE;
    DL_TRY(take_subject(lexer, arena, &out->subject, err));
    return take_end(lexer, err);
}

static dl_status open_show(dl_lexer *lexer, dl_arena *arena, dl_dialect *out, dl_error *err)
{
    dl_word what = look(*lexer);
    if (dl_word_is(lexer, what, "COLUMNS")) {
        (void)dl_lexer_next(lexer);
        dl_word from = look(*lexer);
        if (dl_word_is(lexer, from, "FROM") || dl_word_is(lexer, from, "IN")) {
            (void)dl_lexer_next(lexer);
        }
        out->kind = DL_DIALECT_DESCRIBE;
        DL_TRY(take_subject(lexer, arena, &out->subject, err));
        return take_end(lexer, err);
    }
    if (!dl_word_is(lexer, what, "TABLES")) {
        dl_status status = dl_error_set(err, DL_E_UNSUPPORTED, "SHOW %.*s is not known",
                                        DL_STR_ARG(dl_str_slice(dl_word_text(lexer, what), 0, 40)));
        dl_error_hint(err, "there are SHOW TABLES, SHOW COLUMNS FROM table and DESCRIBE table");
        return status;
    }
    (void)dl_lexer_next(lexer);
    out->kind = DL_DIALECT_SHOW;
    out->sql = DL_STR("SELECT * FROM dl_tables");
    return take_end(lexer, err);
}

static dl_status open_explain(dl_lexer *lexer, dl_dialect *out, dl_error *err)
{
    static const char *const ways[] = {"ANALYZE", "CODEGEN", "COST", "EXTENDED", "FORMATTED"};
    dl_word word = look(*lexer);
    for (size_t i = 0; i < DL_COUNT_OF(ways); i++) {
        if (dl_word_is(lexer, word, ways[i])) {
            dl_status status =
                dl_error_set(err, DL_E_UNSUPPORTED, "EXPLAIN %s is not known", ways[i]);
            dl_error_hint(err, "write EXPLAIN SELECT ...");
            return status;
        }
    }
    if (!begins_question(lexer, word)) {
        return deny(lexer, word, err);
    }
    out->kind = DL_DIALECT_EXPLAIN;
    return DL_OK;
}

dl_status dl_dialect_open(dl_lexer *lexer, dl_arena *arena, dl_dialect *out, size_t *out_at,
                          dl_error *err)
{
    dl_word first = look(*lexer);
    dl_status status = DL_OK;
    *out_at = first.at;
    while (dl_word_is_symbol(lexer, first, ";")) {
        (void)dl_lexer_next(lexer);
        first = look(*lexer);
    }
    if (first.kind == DL_WORD_END) {
        out->kind = DL_DIALECT_EMPTY;
        return DL_OK;
    }
    *out_at = first.at;
    if (first.kind == DL_WORD_OPEN || begins_question(lexer, first)) {
        out->kind = DL_DIALECT_SELECT;
        return DL_OK; /* what is open is said where the words are read */
    }
    if (dl_word_is(lexer, first, "PIVOT")) {
        status = dl_error_set(err, DL_E_UNSUPPORTED, "PIVOT cannot begin a statement");
        dl_error_hint(err, "write SELECT * FROM table PIVOT (sum(x) FOR column IN ('a', 'b'))");
        return status;
    }
    bool explains = dl_word_is(lexer, first, "EXPLAIN");
    bool describes = dl_word_is(lexer, first, "DESCRIBE") || dl_word_is(lexer, first, "DESC");
    if (!explains && !describes && !dl_word_is(lexer, first, "SHOW")) {
        return deny(lexer, first, err);
    }
    dl_lexer after = *lexer;
    (void)dl_lexer_next(&after);
    dl_lexer begin = *lexer;
    *lexer = after;
    *out_at = look(after).at;
    if (explains) {
        return open_explain(lexer, out, err);
    }
    status = describes ? open_describe(lexer, arena, out, err) : open_show(lexer, arena, out, err);
    if (status == DL_OK && out->kind == DL_DIALECT_SELECT) {
        *lexer = begin; /* DESCRIBE SELECT: the word stays */
    }
    if (status != DL_OK) {
        *out_at = look(*lexer).at;
    }
    return status;
}

static dl_status no_equal(const char *what, const char *hint, dl_error *err)
{
    dl_status status =
        dl_error_set(err, DL_E_UNSUPPORTED, "%s is Spark's and not known here", what);
    dl_error_hint(err, "%s", hint);
    return status;
}

/* What stands in brackets behind a word. */
static dl_status refuse_call(const dl_lexer *lexer, dl_word word, dl_error *err)
{
    dl_lexer ahead = *lexer;
    if (!dl_word_is_symbol(lexer, dl_lexer_next(&ahead), "(")) {
        return DL_OK;
    }
    dl_word item = dl_lexer_next(&ahead);
    if (dl_word_is(lexer, word, "EXISTS") && !begins_question(lexer, item)) {
        return no_equal("EXISTS over a list",
                        "write list_contains(list, x), or len(list_filter(list, x -> ...)) > 0",
                        err);
    }
    if (dl_word_is(lexer, word, "MAP") &&
        (item.kind == DL_WORD_TEXT || item.kind == DL_WORD_NUMBER)) {
        return no_equal("map(key, value, ...)", "write MAP {'key': value}", err);
    }
    if (dl_word_is(lexer, word, "TABLESAMPLE") && dl_word_is(lexer, item, "BUCKET")) {
        return no_equal("BUCKET", "write TABLESAMPLE (10 PERCENT) or TABLESAMPLE (5 ROWS)", err);
    }
    return DL_OK;
}

static dl_status refuse_type(const dl_lexer *lexer, dl_word word, dl_error *err)
{
    dl_lexer ahead = *lexer;
    bool nested = dl_word_is(lexer, word, "STRUCT") || dl_word_is(lexer, word, "ARRAY") ||
                  dl_word_is(lexer, word, "MAP");
    if (nested && dl_word_is_symbol(lexer, dl_lexer_next(&ahead), "<") &&
        dl_lexer_next(&ahead).kind == DL_WORD_NAME) {
        return no_equal("a type in angle brackets",
                        "write TEXT[], MAP(TEXT, INTEGER), STRUCT(a INTEGER)", err);
    }
    return DL_OK;
}

dl_status dl_dialect_refuse(const dl_lexer *lexer, dl_word word, dl_before before, dl_error *err)
{
    static const struct {
        const char *first, *second, *what, *hint;
    } pairs[] = {
        {"LATERAL", "VIEW", "LATERAL VIEW",
         "write SELECT explode(list) FROM t, or FROM t, (SELECT unnest(t.list) AS item)"},
        {"DISTRIBUTE", "BY", "DISTRIBUTE BY", "write ORDER BY"},
        {"CLUSTER", "BY", "CLUSTER BY", "write ORDER BY"},
        {"SORT", "BY", "SORT BY", "write ORDER BY"},
        {"TRANSFORM", "USING", "TRANSFORM USING", "programs are never run by SQL"},
        {"WITH", "ROLLUP", "WITH ROLLUP", "write GROUP BY ROLLUP (a, b)"},
        {"WITH", "CUBE", "WITH CUBE", "write GROUP BY CUBE (a, b)"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(pairs); i++) {
        dl_lexer ahead = *lexer;
        if (dl_word_is(lexer, word, pairs[i].first) &&
            dl_word_is(lexer, dl_lexer_next(&ahead), pairs[i].second) &&
            /* WITH cube AS (...) names a query */
            !dl_word_is(lexer, dl_lexer_next(&ahead), "AS")) {
            return no_equal(pairs[i].what, pairs[i].hint, err);
        }
    }
    if (before == DL_BEFORE_AS || before == DL_BEFORE_TYPE) {
        DL_TRY(refuse_type(lexer, word, err));
    }
    return refuse_call(lexer, word, err);
}

/* ---- other spellings ---- */

typedef struct spelling {
    const char *word, *text;
} spelling;

static bool spell(const spelling *list, size_t count, dl_str word, dl_str *out_text)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(word, dl_str_of(list[i].word))) {
            *out_text = dl_str_of(list[i].text);
            return true;
        }
    }
    return false;
}

/* Between operands. An operator's name is a function's: functions/macros.c has it. */
static const spelling operators[] = {{"RLIKE", "~@@~"}, {"REGEXP", "~@@~"}, {"DIV", "//"}};
static const spelling types[] = {
    {"BYTE", "TINYINT"}, {"TIMESTAMP_NTZ", "TIMESTAMP"}, {"TIMESTAMP_LTZ", "TIMESTAMPTZ"}};

/* "array(" of items, not of a question. */
static bool begins_items(const dl_lexer *lexer)
{
    dl_lexer ahead = *lexer;
    if (!dl_word_is_symbol(lexer, dl_lexer_next(&ahead), "(")) {
        return false;
    }
    return !begins_question(lexer, dl_lexer_next(&ahead));
}

bool dl_dialect_rename(const dl_lexer *lexer, dl_word word, dl_before before, dl_str *out_text,
                       size_t *out_end)
{
    dl_str name = dl_word_text(lexer, word);
    dl_lexer ahead = *lexer;
    dl_word next = dl_lexer_next(&ahead);
    bool type = before == DL_BEFORE_AS || before == DL_BEFORE_TYPE, as = before == DL_BEFORE_AS;
    bool operand = before == DL_BEFORE_OPERATOR;
    *out_end = word.end;
    if (type) { /* CAST(x AS BYTE); "x AS byte" names a column */
        return (!as || dl_word_is_symbol(lexer, next, ")")) &&
               spell(types, DL_COUNT_OF(types), name, out_text);
    }
    if (operand && dl_word_is(lexer, word, "NOT") &&
        (dl_word_is(lexer, next, "RLIKE") || dl_word_is(lexer, next, "REGEXP"))) {
        *out_text = DL_STR("!~@@~");
        *out_end = next.end;
        return true;
    }
    bool follows_operand = next.kind == DL_WORD_NAME
                               ? !dl_word_is_reserved(dl_word_text(lexer, next))
                               : next.kind != DL_WORD_END && next.kind != DL_WORD_SYMBOL;
    follows_operand = follows_operand || dl_word_is_symbol(lexer, next, "(");
    if (operand && follows_operand) {
        return spell(operators, DL_COUNT_OF(operators), name, out_text);
    }
    if (before == DL_BEFORE_STAR && dl_word_is(lexer, word, "EXCEPT") &&
        dl_word_is_symbol(lexer, next, "(")) {
        *out_text = DL_STR("EXCLUDE");
        return true;
    }
    if (operand && dl_word_is(lexer, word, "MINUS") &&
        (dl_word_is(lexer, next, "SELECT") || dl_word_is(lexer, next, "ALL") ||
         dl_word_is(lexer, next, "DISTINCT"))) {
        *out_text = DL_STR("EXCEPT");
        return true;
    }
    if (dl_word_is(lexer, word, "LEFT") &&
        (dl_word_is(lexer, next, "SEMI") || dl_word_is(lexer, next, "ANTI"))) {
        *out_text = DL_STR("");
        return true;
    }
    if (dl_word_is(lexer, word, "TRANSFORM") && dl_word_is_symbol(lexer, next, "(")) {
        *out_text = DL_STR("list_transform");
        return true;
    }
    if (dl_word_is(lexer, word, "ARRAY") && begins_items(lexer)) {
        *out_text = DL_STR("list_value");
        return true;
    }
    return false;
}
