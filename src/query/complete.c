/* What could stand at a place of a statement under way. */
#include "query/dialect_internal.h"
#include "query/plan_internal.h"
#include "query/session.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_LIMIT = 500, TABLES_LIMIT = 16 };

static const char *const keywords[] = {"SELECT",
                                       "FROM",
                                       "WHERE",
                                       "GROUP BY",
                                       "ORDER BY",
                                       "HAVING",
                                       "LIMIT",
                                       "OFFSET",
                                       "JOIN",
                                       "LEFT JOIN",
                                       "ON",
                                       "USING",
                                       "AND",
                                       "OR",
                                       "NOT",
                                       "IN",
                                       "BETWEEN",
                                       "LIKE",
                                       "IS NULL",
                                       "IS NOT NULL",
                                       "AS",
                                       "DISTINCT",
                                       "CASE",
                                       "WHEN",
                                       "THEN",
                                       "ELSE",
                                       "END",
                                       "WITH",
                                       "UNION ALL",
                                       "VALUES",
                                       "CAST",
                                       "DESC",
                                       "ASC",
                                       "NULLS LAST",
                                       "OVER",
                                       "PARTITION BY",
                                       "FILTER",
                                       "QUALIFY",
                                       "EXISTS",
                                       "DATE",
                                       "TIMESTAMP",
                                       "INTERVAL",
                                       "VERSION AS OF",
                                       "TIMESTAMP AS OF",
                                       "DESCRIBE",
                                       "SHOW TABLES",
                                       "SUMMARIZE",
                                       "EXPLAIN",
                                       "TRUE",
                                       "FALSE",
                                       "NULL"};

/* A table that the statement names, and what it calls it. */
typedef struct named_table {
    const dl_query_table *table;
    dl_str alias; /* empty: by its name */
} named_table;

typedef struct completion {
    dl_query *query;
    dl_arena *arena;
    dl_error *err;
    dl_str prefix; /* of the word, unquoted */
    char quote;    /* the word began with it; 0: with none */
    bool small;    /* the word is in small letters: so are keywords */
    dl_str words[WORD_LIMIT];
    size_t count;
    named_table tables[TABLES_LIMIT];
    size_t table_count;
} completion;

/* ---- words ---- */

static bool is_plain(dl_str name)
{
    dl_lexer lexer = {name, 0};
    dl_word word = dl_lexer_next(&lexer);
    return word.kind == DL_WORD_NAME && word.end == name.len && !dl_word_is_reserved(name);
}

static dl_status put(completion *c, dl_str word)
{
    for (size_t i = 0; i < c->count; i++) {
        if (dl_str_eq(c->words[i], word)) {
            return DL_OK;
        }
    }
    if (c->count < WORD_LIMIT) {
        c->words[c->count++] = word;
    }
    return DL_OK;
}

/* A name, in quotes where it needs them or has them already. */
static dl_status put_name(completion *c, dl_str name)
{
    if (!dl_str_starts_nocase(name, c->prefix)) {
        return DL_OK;
    }
    if (c->quote == 0 && is_plain(name)) {
        return put(c, name);
    }
    char quote = c->quote == 0 ? '"' : c->quote;
    char *text = dl_arena_alloc(c->arena, name.len * 2 + 2, 1);
    size_t len = 0;
    if (text == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    text[len++] = quote;
    for (size_t i = 0; i < name.len; i++) {
        text[len++] = name.ptr[i];
        if (name.ptr[i] == quote) {
            text[len++] = quote;
        }
    }
    text[len++] = quote;
    return put(c, (dl_str){text, len});
}

static dl_status put_keyword(completion *c, const char *keyword)
{
    dl_str word = dl_str_of(keyword);
    if (c->quote != 0 || !dl_str_starts_nocase(word, c->prefix)) {
        return DL_OK;
    }
    if (c->small) {
        char *text = dl_arena_alloc(c->arena, word.len, 1);
        if (text == NULL) {
            return dl_arena_full(c->arena, c->err);
        }
        for (size_t i = 0; i < word.len; i++) {
            bool capital = keyword[i] >= 'A' && keyword[i] <= 'Z';
            text[i] = capital ? (char)(keyword[i] + ('a' - 'A')) : keyword[i];
        }
        word.ptr = text;
    }
    return put(c, word);
}

static dl_status put_function(completion *c, const char *name)
{
    bool letter = (name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z');
    dl_str word = DL_STR_NONE;
    if (c->quote != 0 || !letter || !dl_str_starts_nocase(dl_str_of(name), c->prefix)) {
        return DL_OK;
    }
    DL_TRY(dl_arena_printf(c->arena, &word, c->err, "%s(", name));
    return put(c, word);
}

static dl_status put_functions(completion *c)
{
    if (c->prefix.len == 0) {
        return DL_OK; /* some 600: no help */
    }
    for (size_t i = 0; dl_functions_name(i) != NULL; i++) {
        DL_TRY(put_function(c, dl_functions_name(i)));
    }
    for (size_t i = 0; dl_functions_spark_name(i) != NULL; i++) {
        DL_TRY(put_function(c, dl_functions_spark_name(i)));
    }
    for (size_t i = 0; dl_plan_function_name(i) != NULL; i++) {
        DL_TRY(put_function(c, dl_plan_function_name(i)));
    }
    return DL_OK;
}

static dl_status put_tables(completion *c, dl_str schema)
{
    const dl_query_options *options = &c->query->options;
    for (size_t i = 0; i < options->table_count; i++) {
        const dl_query_table *table = &options->tables[i];
        if (schema.len == 0 || dl_str_eq_nocase(schema, table->schema)) {
            DL_TRY(put_name(c, table->name));
        }
    }
    return DL_OK;
}

/* A table that cannot be opened has no columns to offer. */
static dl_status put_columns(completion *c, const dl_query_table *table)
{
    dl_query_field *fields = NULL;
    size_t count = 0;
    if (dl_query_fields(c->query, table->name, c->arena, &fields, &count, NULL) != DL_OK) {
        return DL_OK;
    }
    for (size_t i = 0; i < count; i++) {
        DL_TRY(put_name(c, fields[i].name));
    }
    return DL_OK;
}

/* ---- where the word stands ---- */

static const dl_query_table *table_named(const completion *c, dl_str name)
{
    return dl_session_table(c->query, DL_STR_NONE, name);
}

/* All words that are names of tables, wherever they stand, with the alias behind them. */
static dl_status find_tables(completion *c, dl_str statement)
{
    dl_lexer lexer = {statement, 0};
    for (dl_word word = dl_lexer_next(&lexer);
         word.kind != DL_WORD_END && c->table_count < TABLES_LIMIT; word = dl_lexer_next(&lexer)) {
        dl_str name = DL_STR_NONE;
        if (!dl_word_is_name(word)) {
            continue;
        }
        DL_TRY(dl_word_unquote(&lexer, word, c->arena, &name, c->err));
        named_table *found = &c->tables[c->table_count];
        *found = (named_table){.table = table_named(c, name)};
        if (found->table == NULL) {
            continue;
        }
        c->table_count++;
        dl_lexer ahead = lexer;
        dl_word alias = dl_lexer_next(&ahead);
        if (dl_word_is(&ahead, alias, "AS")) {
            alias = dl_lexer_next(&ahead);
        }
        if (dl_word_is_name(alias) && !dl_word_is_reserved(dl_word_text(&ahead, alias))) {
            DL_TRY(dl_word_unquote(&ahead, alias, c->arena, &found->alias, c->err));
        }
    }
    return DL_OK;
}

/* What stands before the word: the word before it, and the name before a dot. */
typedef struct context {
    dl_str before; /* in the text; empty at the beginning */
    dl_str qualifier;
    bool dotted, in_text;
    size_t from;
} context;

/* Whether blank text ends inside a comment of one line. */
static bool is_in_comment(dl_str blank)
{
    ptrdiff_t dashes = dl_str_find_str(blank, DL_STR("--"));
    while (dashes >= 0) {
        blank = dl_str_slice(blank, (size_t)dashes, SIZE_MAX);
        ptrdiff_t end = dl_str_find(blank, '\n');
        if (end < 0) {
            return true;
        }
        blank = dl_str_slice(blank, (size_t)end, SIZE_MAX);
        dashes = dl_str_find_str(blank, DL_STR("--"));
    }
    return false;
}

static dl_status find_context(completion *c, dl_str text, context *out)
{
    dl_lexer lexer = {text, 0};
    dl_word before = {DL_WORD_END, 0, 0}, last = before, word = dl_lexer_next(&lexer);
    dl_word beyond = before;
    while (word.kind != DL_WORD_END) {
        beyond = before;
        before = last;
        last = word;
        word = dl_lexer_next(&lexer);
    }
    char first = last.kind == DL_WORD_OPEN ? text.ptr[last.at] : '\0';
    *out = (context){.from = text.len};
    if ((last.kind == DL_WORD_OPEN && first != '"' && first != '`') ||
        is_in_comment(dl_str_slice(text, last.end, SIZE_MAX))) {
        out->in_text = true;
        return DL_OK;
    }
    if (last.end == text.len && (last.kind == DL_WORD_NAME || last.kind == DL_WORD_OPEN)) {
        out->from = last.at;
        c->quote = first;
        c->prefix = dl_str_slice(text, last.at + (first != '\0'), SIZE_MAX);
        last = before;
        before = beyond;
    }
    out->dotted = dl_word_is_symbol(&lexer, last, ".") && last.end == out->from;
    if (out->dotted && dl_word_is_name(before)) {
        DL_TRY(dl_word_unquote(&lexer, before, c->arena, &out->qualifier, c->err));
    } else if (last.kind != DL_WORD_END) {
        out->before = dl_word_text(&lexer, last);
    }
    return DL_OK;
}

static bool wants_table(dl_str before)
{
    static const char *const words[] = {"FROM", "JOIN", "TABLE", "DESCRIBE", "DESC", "SUMMARIZE"};
    for (size_t i = 0; i < DL_COUNT_OF(words); i++) {
        if (dl_str_eq_nocase(before, dl_str_of(words[i]))) {
            return true;
        }
    }
    return false;
}

/* Behind "name.": columns of a table or alias, else tables of a lakehouse. */
static dl_status complete_dotted(completion *c, const context *at)
{
    size_t before = c->count;
    for (size_t i = 0; i < c->table_count; i++) {
        dl_str name = c->tables[i].alias.len > 0 ? c->tables[i].alias : c->tables[i].table->name;
        if (dl_str_eq_nocase(name, at->qualifier)) {
            DL_TRY(put_columns(c, c->tables[i].table));
            break;
        }
    }
    if (c->count == before && at->qualifier.len > 0) {
        DL_TRY(put_tables(c, at->qualifier));
    }
    return DL_OK;
}

static dl_status complete_free(completion *c, const context *at)
{
    for (size_t i = 0; i < c->table_count; i++) {
        if (c->tables[i].alias.len > 0) {
            DL_TRY(put_name(c, c->tables[i].alias));
        }
        DL_TRY(put_columns(c, c->tables[i].table));
    }
    if (at->before.len > 0) { /* nothing but a keyword begins a statement */
        DL_TRY(put_functions(c));
    }
    for (size_t i = 0; i < DL_COUNT_OF(keywords); i++) {
        DL_TRY(put_keyword(c, keywords[i]));
    }
    return c->prefix.len > 0 ? put_tables(c, DL_STR_NONE) : DL_OK;
}

/* The statement of a script that byte `at` lies in. */
static dl_str statement_at(dl_str text, size_t at, size_t *out_start)
{
    dl_lexer lexer = {text, 0};
    size_t start = 0;
    for (dl_word word = dl_lexer_next(&lexer); word.kind != DL_WORD_END;
         word = dl_lexer_next(&lexer)) {
        if (!dl_word_is_symbol(&lexer, word, ";")) {
            continue;
        }
        if (word.at >= at) {
            *out_start = start;
            return dl_str_slice(text, start, word.at - start);
        }
        start = word.end;
    }
    *out_start = start;
    return dl_str_slice(text, start, SIZE_MAX);
}

static dl_status complete(completion *c, dl_str statement, size_t at, size_t *out_from)
{
    size_t start = 0;
    context where;
    dl_str whole = statement_at(statement, at, &start);
    DL_TRY(find_context(c, dl_str_slice(whole, 0, at - start), &where));
    *out_from = start + where.from;
    if (where.in_text) {
        return DL_OK;
    }
    c->small = c->prefix.len > 0 && c->prefix.ptr[0] >= 'a' && c->prefix.ptr[0] <= 'z';
    DL_TRY(find_tables(c, dl_str_slice(whole, 0, where.from)));
    DL_TRY(find_tables(c, dl_str_slice(whole, at - start, SIZE_MAX)));
    if (where.dotted) {
        return complete_dotted(c, &where);
    }
    return wants_table(where.before) ? put_tables(c, DL_STR_NONE) : complete_free(c, &where);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_query_complete(dl_query *query, dl_str statement, size_t at, dl_arena *arena,
                            dl_str **out_words, size_t *out_count, size_t *out_from, dl_error *err)
{
    completion *c = dl_arena_alloc(arena, 1, sizeof *c);
    size_t from = at;
    if (at > statement.len || statement.len > DL_QUERY_STATEMENT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_INVALID, "sql: no place of the statement: %zu", at);
    }
    if (c == NULL) {
        return dl_arena_full(arena, err);
    }
    c->query = query;
    c->arena = arena;
    c->err = err;
    DL_TRY(complete(c, statement, at, &from));
    *out_words = c->words;
    *out_count = c->count;
    *out_from = from;
    return DL_OK;
}
