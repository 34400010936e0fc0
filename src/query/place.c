/* Where a statement is wrong, as a line and a column, and shown. */
#include "query/session.h"

enum { SHOWN_BEFORE = 60, SHOWN_AFTER = 20 }; /* code points of the line round the place */

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t line_begin(dl_str statement, size_t at)
{
    while (at > 0 && statement.ptr[at - 1] != '\n') {
        at--;
    }
    return at;
}

void dl_session_place(dl_str statement, size_t at, dl_query_place *out)
{
    *out = (dl_query_place){.at = SIZE_MAX};
    if (at > statement.len) { /* SIZE_MAX too */
        return;
    }
    while (at > 0 && at < statement.len && is_continuation(statement.ptr[at])) {
        at--;
    }
    out->at = at;
    out->line = out->column = 1;
    size_t begin = line_begin(statement, at);
    for (size_t i = 0; i < begin; i++) {
        out->line += statement.ptr[i] == '\n';
    }
    for (size_t i = begin; i < at; i++) {
        out->column += !is_continuation(statement.ptr[i]);
    }
}

/* Code points back and forth, within one line. */
static size_t step_back(dl_str statement, size_t at, size_t begin, int count)
{
    while (at > begin && count > 0) {
        at--;
        count -= !is_continuation(statement.ptr[at]);
    }
    return at;
}

static size_t step_on(dl_str statement, size_t at, int count)
{
    while (at < statement.len && statement.ptr[at] != '\n' && count >= 0) {
        at++;
        if (at < statement.len && !is_continuation(statement.ptr[at])) {
            count--;
        }
    }
    return at;
}

/* Control characters would move the caret, or worse, the terminal. */
static dl_status put_shown(dl_buf *out, dl_str text, dl_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        DL_TRY(dl_buf_append_char(out, c < 0x20 || c == 0x7f ? ' ' : text.ptr[i], err));
    }
    return DL_OK;
}

dl_status dl_query_show_place(dl_str statement, const dl_query_place *place, dl_buf *out,
                              dl_error *err)
{
    if (place->at > statement.len) {
        return DL_OK;
    }
    size_t line = line_begin(statement, place->at);
    size_t from = step_back(statement, place->at, line, SHOWN_BEFORE);
    size_t to = step_on(statement, place->at, SHOWN_AFTER);
    size_t columns = from > line ? sizeof("...") - 1 : 0;
    for (size_t i = from; i < place->at; i++) {
        columns += !is_continuation(statement.ptr[i]);
    }
    size_t len = out->len;
    dl_status status = dl_buf_append_str(out, from > line ? DL_STR("...") : DL_STR(""), err);
    if (status == DL_OK) {
        status = put_shown(out, dl_str_slice(statement, from, to - from), err);
    }
    bool cut = to < statement.len && statement.ptr[to] != '\n' && statement.ptr[to] != '\r';
    if (status == DL_OK) {
        status = dl_buf_printf(out, err, "%s\n%*s^", cut ? "..." : "", (int)columns, "");
    }
    if (status != DL_OK) {
        out->len = len;
    }
    return status;
}
