#include "notebook/internal.h"

#include <string.h>

enum { NAME_LIMIT = 63, NUMBER_LIMIT = 40 };

/* ---- names ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Length of the name that the text begins with. */
static size_t name_length(dl_str text)
{
    size_t i = 0;
    while (i < text.len && (is_name_start(text.ptr[i]) || (i > 0 && is_digit(text.ptr[i])))) {
        i++;
    }
    return i;
}

static bool is_name(dl_str text)
{
    return text.len >= 1 && text.len <= NAME_LIMIT && name_length(text) == text.len;
}

static dl_notebook_constant *find(dl_notebook_constants *constants, dl_str name)
{
    for (size_t i = 0; i < constants->count; i++) {
        if (dl_str_eq(constants->items[i].name, name)) {
            return &constants->items[i];
        }
    }
    return NULL;
}

static const dl_notebook_constant *find_const(const dl_notebook_constants *constants, dl_str name)
{
    for (size_t i = 0; i < constants->count; i++) {
        if (dl_str_eq(constants->items[i].name, name)) {
            return &constants->items[i];
        }
    }
    return NULL;
}

/* ---- what a value is ---- */

/* The digits at `*at` are passed; false: there are none. */
static bool take_digits(dl_str text, size_t *at)
{
    size_t start = *at;
    while (*at < text.len && is_digit(text.ptr[*at])) {
        ++*at;
    }
    return *at > start;
}

/* One of two characters at `*at` is passed. */
static bool take_one(dl_str text, size_t *at, char a, char b)
{
    bool found = *at < text.len && (text.ptr[*at] == a || text.ptr[*at] == b);
    *at += found;
    return found;
}

/* A JSON number, or nearly: -12, 0.5, 1e6. Not 007: that is an identifier with its zeros. */
static bool is_number(dl_str text)
{
    size_t i = 0;
    (void)take_one(text, &i, '-', '-');
    size_t start = i;
    if (!take_digits(text, &i) || (i > start + 1 && text.ptr[start] == '0') ||
        text.len > NUMBER_LIMIT) {
        return false;
    }
    if (take_one(text, &i, '.', '.') && !take_digits(text, &i)) {
        return false;
    }
    if (take_one(text, &i, 'e', 'E')) {
        (void)take_one(text, &i, '+', '-');
        if (!take_digits(text, &i)) {
            return false;
        }
    }
    return i == text.len;
}

/* Whether the text has the form: '9' stands for a digit, 'T' for a T or a space, all else for
 * itself. */
static bool has_form(dl_str text, const char *form)
{
    if (text.len != strlen(form)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], f = form[i];
        bool fine = f == '9' ? is_digit(c) : f == 'T' ? c == 'T' || c == ' ' : c == f;
        if (!fine) {
            return false;
        }
    }
    return true;
}

static unsigned digits(dl_str text, size_t at, size_t count)
{
    unsigned value = 0;
    for (size_t i = at; i < at + count; i++) {
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return value;
}

static bool is_date(dl_str text)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!has_form(text, "9999-99-99")) {
        return false;
    }
    unsigned year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return year >= 1 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

static bool is_timestamp(dl_str text)
{
    dl_str whole = text;
    ptrdiff_t point = dl_str_find(text, '.');
    if (point >= 0) {
        size_t fraction = text.len - (size_t)point - 1;
        whole = dl_str_slice(text, 0, (size_t)point);
        for (size_t i = whole.len + 1; i < text.len; i++) {
            if (!is_digit(text.ptr[i])) {
                return false;
            }
        }
        if (fraction < 1 || fraction > 6) {
            return false;
        }
    }
    bool seconds = has_form(whole, "9999-99-99T99:99:99");
    if (!seconds && (point >= 0 || !has_form(whole, "9999-99-99T99:99"))) {
        return false;
    }
    return is_date(dl_str_slice(text, 0, 10)) && digits(text, 11, 2) < 24 &&
           digits(text, 14, 2) < 60 && (!seconds || digits(text, 17, 2) < 60);
}

static dl_notebook_value kind_of(dl_str text)
{
    if (dl_str_eq_nocase(text, DL_STR("NULL"))) {
        return DL_NOTEBOOK_VALUE_NULL;
    }
    if (dl_str_eq_nocase(text, DL_STR("TRUE")) || dl_str_eq_nocase(text, DL_STR("FALSE"))) {
        return DL_NOTEBOOK_VALUE_BOOL;
    }
    if (is_number(text)) {
        return DL_NOTEBOOK_VALUE_NUMBER;
    }
    if (is_date(text)) {
        return DL_NOTEBOOK_VALUE_DATE;
    }
    return is_timestamp(text) ? DL_NOTEBOOK_VALUE_TIMESTAMP : DL_NOTEBOOK_VALUE_TEXT;
}

/* 'text' or "text": what is between, with doubled quotes single. */
static dl_status unquote(dl_str text, dl_arena *arena, bool *out_quoted, dl_str *out_inner,
                         dl_error *err)
{
    *out_quoted = false;
    if (text.len < 2 || (text.ptr[0] != '\'' && text.ptr[0] != '"') ||
        text.ptr[text.len - 1] != text.ptr[0]) {
        return DL_OK;
    }
    char quote = text.ptr[0];
    char *inner = dl_arena_alloc(arena, text.len, 1);
    size_t len = 0;
    if (inner == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 1; i < text.len - 1; i++) {
        if (text.ptr[i] == quote) {
            i++;
            if (i == text.len - 1 || text.ptr[i] != quote) {
                return DL_OK; /* a lone quote inside: not a quoted text */
            }
        }
        inner[len++] = text.ptr[i];
    }
    *out_quoted = true;
    *out_inner = (dl_str){inner, len};
    return DL_OK;
}

/* ---- constants ---- */

static dl_status text_constant(dl_str text, dl_arena *arena, dl_str *out_sql, dl_error *err)
{
    if (!dl_str_is_utf8(text) || (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)) {
        return dl_error_set(err, DL_E_INVALID, "a value must be UTF-8 without NUL");
    }
    char *sql = dl_arena_alloc(arena, 2 * text.len + 2, 1);
    size_t len = 0;
    if (sql == NULL) {
        return dl_arena_full(arena, err);
    }
    sql[len++] = '\'';
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'') {
            sql[len++] = '\'';
        }
        sql[len++] = text.ptr[i];
    }
    sql[len++] = '\'';
    *out_sql = (dl_str){sql, len};
    return DL_OK;
}

/* Only what kind_of recognised gets here unquoted: digits, signs and points, two words. */
static dl_status write_constant(dl_notebook_value kind, dl_str text, dl_arena *arena,
                                dl_str *out_sql, dl_error *err)
{
    switch (kind) {
    case DL_NOTEBOOK_VALUE_NULL:
        *out_sql = DL_STR("NULL");
        return DL_OK;
    case DL_NOTEBOOK_VALUE_BOOL:
        *out_sql = dl_str_eq_nocase(text, DL_STR("TRUE")) ? DL_STR("TRUE") : DL_STR("FALSE");
        return DL_OK;
    case DL_NOTEBOOK_VALUE_NUMBER:
        if (text.ptr[0] == '-') { /* so that 5-{{n}} and {{n}}::INTEGER mean what they say */
            return dl_arena_printf(arena, out_sql, err, "(%.*s)", DL_STR_ARG(text));
        }
        return dl_arena_copy(arena, text, out_sql, err);
    case DL_NOTEBOOK_VALUE_DATE:
        return dl_arena_printf(arena, out_sql, err, "DATE '%.*s'", DL_STR_ARG(text));
    case DL_NOTEBOOK_VALUE_TIMESTAMP:
        return dl_arena_printf(arena, out_sql, err, "TIMESTAMP '%.*s'", DL_STR_ARG(text));
    case DL_NOTEBOOK_VALUE_TEXT:
        break;
    }
    return text_constant(text, arena, out_sql, err);
}

/* `wanted` TEXT: everything but NULL is text. */
static dl_status read_value(dl_str text, bool as_text, dl_arena *arena, dl_notebook_constant *c,
                            dl_error *err)
{
    bool quoted = false;
    dl_str inner = text;
    DL_TRY(unquote(text, arena, &quoted, &inner, err));
    dl_notebook_value kind = quoted ? DL_NOTEBOOK_VALUE_TEXT : kind_of(text);
    if (as_text && kind != DL_NOTEBOOK_VALUE_NULL) {
        kind = DL_NOTEBOOK_VALUE_TEXT;
    }
    DL_TRY(write_constant(kind, quoted ? inner : text, arena, &c->sql, err));
    c->kind = kind;
    return DL_OK;
}

/* ---- the cell ---- */

/* The value without a comment behind it. */
static dl_str value_part(dl_str text)
{
    size_t at = 0;
    dl_notebook_token token = DL_NOTEBOOK_PLAIN;
    dl_str piece;
    while (dl_notebook_lex(text, &at, &token, &piece)) {
        if (token == DL_NOTEBOOK_COMMENT) {
            return dl_str_trim(dl_str_slice(text, 0, at - piece.len));
        }
    }
    return dl_str_trim(text);
}

static dl_status read_line(dl_str line, size_t number, dl_arena *arena,
                           dl_notebook_constants *constants, dl_error *err)
{
    dl_notebook_constant c = {0};
    size_t name_len = name_length(line);
    dl_str name = dl_str_slice(line, 0, name_len);
    dl_str rest = dl_str_trim(dl_str_slice(line, name_len, line.len));
    dl_str value = rest.len == 0 ? rest : value_part(dl_str_slice(rest, 1, rest.len));
    if (!is_name(name) || rest.len == 0 || rest.ptr[0] != '=' || value.len == 0) {
        (void)dl_error_set(err, DL_E_INVALID,
                           "parameters: line %zu is not of the form name = value", number);
        dl_error_hint(err, "values: 'text', 12, 2026-01-31, TRUE, NULL; -- begins a comment");
        return DL_E_INVALID;
    }
    if (find(constants, name) != NULL) {
        return dl_error_set(err, DL_E_INVALID, "parameters: line %zu: %.*s is there twice", number,
                            DL_STR_ARG(name));
    }
    if (constants->count == DL_NOTEBOOK_PARAMETER_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "parameters: line %zu: more than %d", number,
                            DL_NOTEBOOK_PARAMETER_LIMIT);
    }
    DL_TRY(dl_arena_copy(arena, name, &c.name, err));
    if (read_value(value, false, arena, &c, err) != DL_OK) {
        return dl_error_within(err, DL_E_INVALID, "reading parameter %.*s", DL_STR_ARG(name));
    }
    constants->items[constants->count++] = c;
    return DL_OK;
}

dl_status dl_notebook_constants_read(dl_str source, dl_arena *arena,
                                     dl_notebook_constants *constants, dl_error *err)
{
    dl_str line;
    for (size_t number = 1; source.len > 0; number++) {
        ptrdiff_t end = dl_str_find(source, '\n');
        size_t len = end < 0 ? source.len : (size_t)end;
        line = dl_str_trim(dl_str_slice(source, 0, len));
        source = dl_str_slice(source, end < 0 ? len : len + 1, source.len);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line = dl_str_trim(dl_str_slice(line, 0, line.len - 1));
        }
        if (line.len > 0 && line.ptr[0] != '#' && !dl_str_starts(line, DL_STR("--"))) {
            DL_TRY(read_line(line, number, arena, constants, err));
        }
    }
    return DL_OK;
}

/* ---- from outside ---- */

static dl_status no_such(const dl_notebook_constants *constants, dl_str name, dl_error *err)
{
    char names[120] = "";
    size_t len = 0;
    for (size_t i = 0; i < constants->count; i++) {
        dl_str one = constants->items[i].name;
        if (len + one.len + 3 > sizeof names) {
            break;
        }
        memcpy(names + len, i == 0 ? "" : ", ", i == 0 ? 0 : 2);
        len += i == 0 ? 0 : 2;
        memcpy(names + len, one.ptr, one.len);
        len += one.len;
        names[len] = '\0';
    }
    (void)dl_error_set(err, DL_E_INVALID, "the notebook has no parameter %.*s",
                       DL_STR_ARG(dl_str_slice(name, 0, NAME_LIMIT)));
    if (constants->count == 0) {
        dl_error_hint(err, "a cell with the tag \"parameters\" says: name = value");
    } else {
        dl_error_hint(err, "it has: %s", names);
    }
    return DL_E_INVALID;
}

static const char *kind_word(dl_notebook_value kind)
{
    static const char *const words[] = {"NULL",
                                        "TRUE or FALSE",
                                        "a number",
                                        "a date as 2026-01-31",
                                        "a time as 2026-01-31 08:00:00",
                                        "text"};
    return words[kind];
}

/* A date may become a time and the other way round; NULL anything. */
static bool is_kind(dl_notebook_value wanted, dl_notebook_value given)
{
    bool both_times = (wanted == DL_NOTEBOOK_VALUE_DATE || wanted == DL_NOTEBOOK_VALUE_TIMESTAMP) &&
                      (given == DL_NOTEBOOK_VALUE_DATE || given == DL_NOTEBOOK_VALUE_TIMESTAMP);
    return wanted == given || both_times || wanted == DL_NOTEBOOK_VALUE_NULL ||
           given == DL_NOTEBOOK_VALUE_NULL;
}

dl_status dl_notebook_constants_set(dl_notebook_constants *constants,
                                    const dl_notebook_parameter *parameter, dl_arena *arena,
                                    dl_error *err)
{
    dl_notebook_constant c = {0}, *old = find(constants, parameter->name);
    if (old == NULL) {
        return no_such(constants, parameter->name, err);
    }
    if (read_value(parameter->value, old->kind == DL_NOTEBOOK_VALUE_TEXT, arena, &c, err) !=
        DL_OK) {
        return dl_error_within(err, DL_E_INVALID, "reading parameter %.*s", DL_STR_ARG(old->name));
    }
    if (!is_kind(old->kind, c.kind)) {
        return dl_error_set(err, DL_E_INVALID, "parameter %.*s must be %s", DL_STR_ARG(old->name),
                            kind_word(old->kind));
    }
    if (old->kind != DL_NOTEBOOK_VALUE_NULL && c.kind == DL_NOTEBOOK_VALUE_NULL) {
        c.kind = old->kind;
    }
    old->kind = c.kind;
    old->sql = c.sql;
    return DL_OK;
}

/* ---- into SQL ---- */

typedef struct filling {
    const dl_notebook_constants *constants;
    dl_str sql;
    dl_buf out;
    dl_notebook_piece *pieces;
    size_t piece_count, piece_limit;
    size_t at; /* of the trouble */
    dl_error *err;
} filling;

/* "{{ name }}" at `i`: its length, 0 when there is none. */
static size_t placeholder(dl_str sql, size_t i, dl_str *out_name)
{
    if (sql.len - i < 5 || sql.ptr[i] != '{' || sql.ptr[i + 1] != '{') {
        return 0;
    }
    size_t k = i + 2;
    while (k < sql.len && sql.ptr[k] == ' ') {
        k++;
    }
    dl_str name = dl_str_slice(sql, k, NAME_LIMIT + 1);
    name.len = name_length(name);
    k += name.len;
    while (k < sql.len && sql.ptr[k] == ' ') {
        k++;
    }
    bool closed = sql.len - k >= 2 && sql.ptr[k] == '}' && sql.ptr[k + 1] == '}';
    if (!closed || !is_name(name)) {
        return 0;
    }
    *out_name = name;
    return k + 2 - i;
}

static size_t count_braces(dl_str sql)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < sql.len; i++) {
        count += sql.ptr[i] == '{' && sql.ptr[i + 1] == '{';
    }
    return count;
}

static void add_piece(filling *f, size_t from, bool inserted)
{
    DL_ASSERT(f->piece_count < f->piece_limit);
    f->pieces[f->piece_count++] = (dl_notebook_piece){from, f->out.len, inserted};
}

/* A constant in the place of `len` bytes from `i`; a space before it, so that e{{name}} is no
 * E'...', one behind it, so that two of them are no doubled quote. */
static dl_status put_constant(filling *f, size_t i, size_t len, dl_str name)
{
    const dl_notebook_constant *c = find_const(f->constants, name);
    if (c == NULL) {
        f->at = i;
        return no_such(f->constants, name, f->err);
    }
    add_piece(f, i, true);
    DL_TRY(dl_buf_append_char(&f->out, ' ', f->err));
    DL_TRY(dl_buf_append_str(&f->out, c->sql, f->err));
    DL_TRY(dl_buf_append_char(&f->out, ' ', f->err));
    add_piece(f, i + len, false);
    return DL_OK;
}

/* Plain text of the statement from `from` to `end`. */
static dl_status fill_plain(filling *f, size_t from, size_t end)
{
    size_t done = from;
    dl_str name;
    for (size_t i = from; i < end;) {
        size_t len = placeholder(dl_str_slice(f->sql, 0, end), i, &name);
        if (len == 0) {
            i++;
            continue;
        }
        DL_TRY(dl_buf_append(&f->out, f->sql.ptr + done, i - done, f->err));
        DL_TRY(put_constant(f, i, len, name));
        i += len;
        done = i;
    }
    return dl_buf_append(&f->out, f->sql.ptr + done, end - done, f->err);
}

static dl_status check_quoted(filling *f, size_t from, dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        dl_str name;
        if (placeholder(text, i, &name) > 0 && find_const(f->constants, name) != NULL) {
            f->at = from + i;
            (void)dl_error_set(f->err, DL_E_INVALID, "{{%.*s}} stands inside quotes",
                               DL_STR_ARG(name));
            dl_error_hint(f->err,
                          "write {{%.*s}} without quotes round it: the value brings its own",
                          DL_STR_ARG(name));
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}

static dl_status fill(filling *f)
{
    size_t at = 0;
    dl_notebook_token token = DL_NOTEBOOK_PLAIN;
    dl_str text;
    while (dl_notebook_lex(f->sql, &at, &token, &text)) {
        size_t from = at - text.len;
        if (token == DL_NOTEBOOK_PLAIN) {
            DL_TRY(fill_plain(f, from, at));
            continue;
        }
        if (token == DL_NOTEBOOK_QUOTED) {
            DL_TRY(check_quoted(f, from, text));
        }
        DL_TRY(dl_buf_append_str(&f->out, text, f->err));
    }
    return DL_OK;
}

dl_status dl_notebook_fill(dl_str sql, const dl_notebook_constants *constants, dl_arena *arena,
                           dl_notebook_filled *out, size_t *out_at, dl_error *err)
{
    size_t braces = count_braces(sql);
    filling f = {.constants = constants, .sql = sql, .at = SIZE_MAX, .err = err};
    if (braces == 0) {
        *out = (dl_notebook_filled){.sql = sql};
        return DL_OK;
    }
    f.piece_limit = 2 * braces + 1;
    f.pieces = dl_arena_alloc(arena, f.piece_limit, sizeof *f.pieces);
    if (f.pieces == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_buf_init(&f.out, DL_QUERY_STATEMENT_LIMIT_BYTES);
    add_piece(&f, 0, false);
    dl_notebook_filled filled = {0};
    dl_status status = fill(&f);
    if (status == DL_OK) {
        status = dl_notebook_keep(&f.out, arena, &filled.sql, err);
    }
    dl_buf_clear(&f.out);
    if (status != DL_OK) {
        *out_at = f.at;
        return status;
    }
    filled.pieces = f.pieces;
    filled.piece_count = f.piece_count;
    *out = filled;
    return DL_OK;
}

size_t dl_notebook_filled_source(const dl_notebook_filled *filled, size_t to)
{
    size_t i = filled->piece_count;
    while (i > 0 && filled->pieces[i - 1].to > to) {
        i--;
    }
    if (i == 0) {
        return to;
    }
    const dl_notebook_piece *piece = &filled->pieces[i - 1];
    return piece->inserted ? piece->from : piece->from + (to - piece->to);
}
