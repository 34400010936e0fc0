#include "notebook/internal.h"

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Past the quote that closes the one at `i`; a doubled one does not, nor one behind a backslash
 * in E'...'. */
static size_t quoted_end(dl_str sql, size_t i)
{
    char quote = sql.ptr[i];
    bool escapes = quote == '\'' && i > 0 && (sql.ptr[i - 1] == 'e' || sql.ptr[i - 1] == 'E') &&
                   (i == 1 || !is_name_char(sql.ptr[i - 2]));
    for (i++; i < sql.len; i++) {
        if (escapes && sql.ptr[i] == '\\') {
            i++;
        } else if (sql.ptr[i] == quote) {
            if (i + 1 == sql.len || sql.ptr[i + 1] != quote) {
                return i + 1;
            }
            i++;
        }
    }
    return sql.len;
}

/* Past $tag$ ... $tag$ that begins at `i`; `i` when none does. */
static size_t dollar_end(dl_str sql, size_t i)
{
    size_t tag_end = i + 1;
    if (i > 0 && (is_name_char(sql.ptr[i - 1]) || sql.ptr[i - 1] == '$')) {
        return i; /* inside a name: a$b */
    }
    while (tag_end < sql.len && is_name_char(sql.ptr[tag_end])) {
        tag_end++;
    }
    bool is_tag = tag_end < sql.len && sql.ptr[tag_end] == '$' &&
                  (tag_end == i + 1 || sql.ptr[i + 1] < '0' || sql.ptr[i + 1] > '9');
    if (!is_tag) {
        return i;
    }
    dl_str tag = dl_str_slice(sql, i, tag_end + 1 - i);
    ptrdiff_t close = dl_str_find_str(dl_str_slice(sql, tag_end + 1, sql.len), tag);
    return close < 0 ? sql.len : tag_end + 1 + (size_t)close + tag.len;
}

static size_t comment_end(dl_str sql, size_t i)
{
    if (sql.ptr[i] == '-') {
        while (i < sql.len && sql.ptr[i] != '\n' && sql.ptr[i] != '\r') {
            i++;
        }
        return i;
    }
    size_t depth = 0;
    while (i + 1 < sql.len) {
        bool open = sql.ptr[i] == '/' && sql.ptr[i + 1] == '*';
        bool close = sql.ptr[i] == '*' && sql.ptr[i + 1] == '/';
        depth += open ? 1 : 0;
        depth -= close ? 1 : 0;
        i += open || close ? 2 : 1;
        if (close && depth == 0) {
            return i;
        }
    }
    return sql.len;
}

/* What begins at `i`, and where it ends; `i` itself for plain text. */
static size_t special_end(dl_str sql, size_t i, dl_notebook_token *out_token)
{
    char c = sql.ptr[i], next = i + 1 < sql.len ? sql.ptr[i + 1] : '\0';
    if (c == '\'' || c == '"' || c == '`') {
        *out_token = DL_NOTEBOOK_QUOTED;
        return quoted_end(sql, i);
    }
    if (c == '$') {
        *out_token = DL_NOTEBOOK_QUOTED;
        return dollar_end(sql, i);
    }
    if ((c == '-' && next == '-') || (c == '/' && next == '*')) {
        *out_token = DL_NOTEBOOK_COMMENT;
        return comment_end(sql, i);
    }
    *out_token = DL_NOTEBOOK_SEMICOLON;
    return c == ';' ? i + 1 : i;
}

bool dl_notebook_lex(dl_str sql, size_t *at, dl_notebook_token *out_token, dl_str *out_text)
{
    size_t start = *at, i = start;
    if (start >= sql.len) {
        return false;
    }
    size_t end = special_end(sql, i, out_token);
    if (end == i) {
        dl_notebook_token token = DL_NOTEBOOK_PLAIN;
        do {
            i++;
        } while (i < sql.len && special_end(sql, i, &token) == i);
        *out_token = DL_NOTEBOOK_PLAIN;
        end = i;
    }
    *out_text = dl_str_slice(sql, start, end - start);
    *at = end;
    return true;
}
