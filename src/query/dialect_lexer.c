/* Words of SQL as DuckDB's lexer cuts them, and Spark's back quotes. */
#include "query/dialect_internal.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool begins_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_in_name(char c)
{
    return begins_name(c) || is_digit(c) || c == '$';
}

static char peek(const dl_lexer *lexer, size_t ahead)
{
    size_t left = lexer->text.len - lexer->pos;
    return ahead < left ? lexer->text.ptr[lexer->pos + ahead] : '\0';
}

/* Comments nest. False: it has no end. */
static bool skip_block(dl_lexer *lexer)
{
    size_t depth = 0, i = lexer->pos;
    const dl_str text = lexer->text;
    while (i + 1 < text.len) {
        if (text.ptr[i] == '/' && text.ptr[i + 1] == '*') {
            depth++;
            i += 2;
        } else if (text.ptr[i] == '*' && text.ptr[i + 1] == '/') {
            i += 2;
            if (--depth == 0) {
                lexer->pos = i;
                return true;
            }
        } else {
            i++;
        }
    }
    return false;
}

/* False: a comment has no end; the lexer stands at it. */
static bool skip_blank(dl_lexer *lexer)
{
    while (lexer->pos < lexer->text.len) {
        if (is_space(peek(lexer, 0))) {
            lexer->pos++;
        } else if (peek(lexer, 0) == '-' && peek(lexer, 1) == '-') {
            while (lexer->pos < lexer->text.len && peek(lexer, 0) != '\n' &&
                   peek(lexer, 0) != '\r') {
                lexer->pos++;
            }
        } else if (peek(lexer, 0) == '/' && peek(lexer, 1) == '*') {
            if (!skip_block(lexer)) {
                return false;
            }
        } else {
            break;
        }
    }
    return true;
}

/* Behind the closing quote; a doubled one is no end. False: there is none. */
static bool skip_quoted(dl_lexer *lexer, char quote, bool backslash)
{
    const dl_str text = lexer->text;
    for (size_t i = lexer->pos + 1; i < text.len; i++) {
        if (backslash && text.ptr[i] == '\\') {
            i++;
        } else if (text.ptr[i] == quote) {
            if (i + 1 < text.len && text.ptr[i + 1] == quote) {
                i++;
                continue;
            }
            lexer->pos = i + 1;
            return true;
        }
    }
    return false;
}

/* $$...$$ and $tag$...$tag$. False: it is no such text; `*out_open`: it has no end. */
static bool skip_dollar(dl_lexer *lexer, bool *out_open)
{
    dl_str rest = dl_str_slice(lexer->text, lexer->pos, SIZE_MAX);
    size_t tag = 1;
    while (tag < rest.len && rest.ptr[tag] != '$' && is_in_name(rest.ptr[tag])) {
        tag++;
    }
    if (tag >= rest.len || rest.ptr[tag] != '$' || (tag > 1 && is_digit(rest.ptr[1]))) {
        return false;
    }
    ptrdiff_t end =
        dl_str_find_str(dl_str_slice(rest, tag + 1, SIZE_MAX), dl_str_slice(rest, 0, tag + 1));
    *out_open = end < 0;
    lexer->pos = end < 0 ? lexer->text.len : lexer->pos + 2 * (tag + 1) + (size_t)end;
    return true;
}

static void skip_number(dl_lexer *lexer)
{
    while (is_digit(peek(lexer, 0)) || peek(lexer, 0) == '_') {
        lexer->pos++;
    }
    if (peek(lexer, 0) == '.') {
        lexer->pos++;
        while (is_digit(peek(lexer, 0)) || peek(lexer, 0) == '_') {
            lexer->pos++;
        }
    }
    size_t sign = peek(lexer, 1) == '+' || peek(lexer, 1) == '-';
    if ((peek(lexer, 0) == 'e' || peek(lexer, 0) == 'E') && is_digit(peek(lexer, 1 + sign))) {
        lexer->pos += 1 + sign;
        while (is_digit(peek(lexer, 0))) {
            lexer->pos++;
        }
    }
}

static size_t symbol_length(const dl_lexer *lexer)
{
    static const char *const symbols[] = {"<=>", "!~~", "->>", "||", "::", "==", "<>", "!=", "<=",
                                          ">=",  "->",  "=>",  ":=", "//", "**", "~~", "!~"};
    dl_str rest = dl_str_slice(lexer->text, lexer->pos, SIZE_MAX);
    for (size_t i = 0; i < DL_COUNT_OF(symbols); i++) {
        if (dl_str_starts(rest, dl_str_of(symbols[i]))) {
            return strlen(symbols[i]);
        }
    }
    return 1;
}

static dl_word quoted(dl_lexer *lexer, dl_word_kind kind, char quote, bool backslash)
{
    size_t at = lexer->pos;
    lexer->pos += quote == '\'' && backslash; /* E'...' */
    if (!skip_quoted(lexer, quote, backslash)) {
        lexer->pos = lexer->text.len;
        kind = DL_WORD_OPEN;
    }
    return (dl_word){kind, at, lexer->pos};
}

static dl_word named(dl_lexer *lexer)
{
    size_t at = lexer->pos;
    while (lexer->pos < lexer->text.len && is_in_name(peek(lexer, 0))) {
        lexer->pos++;
    }
    return (dl_word){DL_WORD_NAME, at, lexer->pos};
}

dl_word dl_lexer_next(dl_lexer *lexer)
{
    if (!skip_blank(lexer)) {
        size_t open_at = lexer->pos;
        lexer->pos = lexer->text.len;
        return (dl_word){DL_WORD_OPEN, open_at, lexer->pos};
    }
    size_t at = lexer->pos;
    bool open = false;
    if (at >= lexer->text.len) {
        return (dl_word){DL_WORD_END, at, at};
    }
    char c = peek(lexer, 0);
    if (c == '\'') {
        return quoted(lexer, DL_WORD_TEXT, '\'', false);
    }
    if ((c == 'e' || c == 'E') && peek(lexer, 1) == '\'') {
        return quoted(lexer, DL_WORD_TEXT, '\'', true);
    }
    if (c == '"' || c == '`') {
        return quoted(lexer, c == '"' ? DL_WORD_QUOTED : DL_WORD_BACK, c, false);
    }
    if (begins_name(c)) {
        return named(lexer);
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) {
        skip_number(lexer);
        return (dl_word){DL_WORD_NUMBER, at, lexer->pos};
    }
    if (c == '$' && skip_dollar(lexer, &open)) {
        return (dl_word){open ? DL_WORD_OPEN : DL_WORD_TEXT, at, lexer->pos};
    }
    lexer->pos += symbol_length(lexer);
    return (dl_word){DL_WORD_SYMBOL, at, lexer->pos};
}

bool dl_word_is(const dl_lexer *lexer, dl_word word, const char *keyword)
{
    return word.kind == DL_WORD_NAME &&
           dl_str_eq_nocase(dl_word_text(lexer, word), dl_str_of(keyword));
}

bool dl_word_is_symbol(const dl_lexer *lexer, dl_word word, const char *symbol)
{
    return word.kind == DL_WORD_SYMBOL && dl_str_eq(dl_word_text(lexer, word), dl_str_of(symbol));
}

/* What may follow a table without being its alias; DuckDB's reserved words and Spark's joins. */
bool dl_word_is_reserved(dl_str word)
{
    static const char *const words[] = {
        "ALL",     "AND",     "ANTI",   "AS",        "ASC",   "ASOF",        "AT",
        "BETWEEN", "BY",      "CASE",   "CROSS",     "DESC",  "DISTINCT",    "ELSE",
        "END",     "EXCEPT",  "FETCH",  "FOR",       "FROM",  "FULL",        "GROUP",
        "HAVING",  "IN",      "INNER",  "INTERSECT", "INTO",  "IS",          "JOIN",
        "LATERAL", "LEFT",    "LIKE",   "LIMIT",     "MINUS", "NATURAL",     "NOT",
        "OFFSET",  "ON",      "OR",     "ORDER",     "OUTER", "PIVOT",       "POSITIONAL",
        "QUALIFY", "RIGHT",   "SELECT", "SEMI",      "TABLE", "TABLESAMPLE", "THEN",
        "UNION",   "UNPIVOT", "USING",  "VALUES",    "WHEN",  "WHERE",       "WINDOW",
        "WITH"};
    for (size_t i = 0; i < DL_COUNT_OF(words); i++) {
        if (dl_str_eq_nocase(word, dl_str_of(words[i]))) {
            return true;
        }
    }
    return false;
}

dl_status dl_word_unquote(const dl_lexer *lexer, dl_word word, dl_arena *arena, dl_str *out_text,
                          dl_error *err)
{
    dl_str raw = dl_word_text(lexer, word);
    if (word.kind == DL_WORD_NAME) {
        *out_text = raw;
        return DL_OK;
    }
    char quote = raw.ptr[0];
    if (quote != '\'' && quote != '"' && quote != '`') {
        return dl_error_set(err, DL_E_INVALID, "a plain '...' is expected here");
    }
    char *copy = dl_arena_alloc(arena, raw.len, 1);
    if (copy == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t len = 0;
    for (size_t i = 1; i + 1 < raw.len; i++) {
        copy[len++] = raw.ptr[i];
        i += raw.ptr[i] == quote;
    }
    *out_text = (dl_str){copy, len};
    return DL_OK;
}

bool dl_dialect_next_statement(dl_str *rest, dl_str *out_statement)
{
    while (rest->len > 0) {
        dl_lexer lexer = {*rest, 0};
        dl_word first = dl_lexer_next(&lexer), word = first;
        while (word.kind != DL_WORD_END && !dl_word_is_symbol(&lexer, word, ";")) {
            word = dl_lexer_next(&lexer);
        }
        dl_str statement = dl_str_slice(*rest, 0, word.at);
        *rest = dl_str_slice(*rest, lexer.pos, SIZE_MAX);
        if (first.at != word.at) {
            *out_statement = statement;
            return true;
        }
    }
    return false;
}

bool dl_dialect_is_open(dl_str text)
{
    dl_lexer lexer = {text, 0};
    bool ended = true;
    for (dl_word word = dl_lexer_next(&lexer); word.kind != DL_WORD_END;
         word = dl_lexer_next(&lexer)) {
        if (word.kind == DL_WORD_OPEN) {
            return true;
        }
        ended = dl_word_is_symbol(&lexer, word, ";");
    }
    return !ended;
}
