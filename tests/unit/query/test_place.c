#include "query/session.h"

#include "tap.h"

/* clang-format off */
static const struct {
    const char *name, *statement;
    size_t at;
    size_t want_at;
    uint32_t line, column; /* 0: nowhere */
    const char *shown;
} rows[] = {
    {"nowhere", "SELECT 1", SIZE_MAX, SIZE_MAX, 0, 0, ""},
    {"the first byte", "SELECT", 0, 0, 1, 1, "SELECT\n^"},
    {"the end", "SELECT", 6, 6, 1, 7, "SELECT\n      ^"},
    {"past the end", "SELECT", 7, SIZE_MAX, 0, 0, ""},
    {"an empty statement", "", 0, 0, 1, 1, "\n^"},
    {"the second line", "SELECT a\n  , b\nFROM t", 13, 13, 2, 5, "  , b\n    ^"},
    {"the end of a line", "a\nb", 1, 1, 1, 2, "a\n ^"},
    {"the beginning of the next", "a\nb", 2, 2, 2, 1, "b\n^"},
    {"behind letters of two bytes", "\xc3\xa9\xc3\xa9 x", 5, 5, 1, 4, "\xc3\xa9\xc3\xa9 x\n   ^"},
    {"inside of a letter", "\xe2\x82\xac", 2, 0, 1, 1, "\xe2\x82\xac\n^"},
    {"tabs are one column", "\t\tx", 2, 2, 1, 3, "  x\n  ^"},
    {"control characters are not shown", "\x1b[2Jx", 4, 4, 1, 5, " [2Jx\n    ^"},
    {"line ends of DOS", "a\r\nb", 3, 3, 2, 1, "b\n^"},
    {"60 letters before", "123456789.123456789.123456789.123456789.123456789.123456789.x", 60, 60, 1, 61,
     "123456789.123456789.123456789.123456789.123456789.123456789.x\n                                                            ^"},
    {"61 letters before", "_123456789.123456789.123456789.123456789.123456789.123456789.x", 61, 61, 1, 62,
     "...123456789.123456789.123456789.123456789.123456789.123456789.x\n                                                               ^"},
    {"20 letters behind", "x123456789.123456789.", 0, 0, 1, 1, "x123456789.123456789.\n^"},
    {"21 letters behind", "x123456789.123456789._", 0, 0, 1, 1, "x123456789.123456789....\n^"},
    {"a break behind them", "x123456789.123456789.\n_", 0, 0, 1, 1, "x123456789.123456789.\n^"},
};
/* clang-format on */

TAP_CASE(a_buffer_that_is_full_is_left_as_it_was)
{
    const dl_query_place place = {.at = 3, .line = 1, .column = 4};
    for (size_t limit = 0; limit < 16; limit++) {
        DL_AUTO_BUF out;
        dl_error err = {0};
        dl_buf_init(&out, limit + 1);
        TAP_OK(dl_buf_append_char(&out, '#', &err), err);
        dl_status status = dl_query_show_place(DL_STR("SELECT x"), &place, &out, &err);
        TAP_STATUS(status, limit < 14 ? DL_E_LIMIT : DL_OK); /* "SELECT x\n   ^" and an end */
        TAP_EQ_INT(out.len, status == DL_OK ? 14 : 1);
    }
}

int main(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_query_place place = {0};
        dl_error err = {0};
        DL_AUTO_BUF shown;
        dl_buf_init(&shown, 1000);
        dl_str statement = dl_str_of(rows[i].statement);
        dl_session_place(statement, rows[i].at, &place);
        TAP_TRUE(place.at == rows[i].want_at);
        TAP_EQ_INT(place.line, rows[i].line);
        TAP_EQ_INT(place.column, rows[i].column);
        TAP_OK(dl_query_show_place(statement, &place, &shown, &err), err);
        TAP_EQ_STR(dl_buf_str(&shown), rows[i].shown);
        TAP_ROW_END(rows[i].name);
    }
    TAP_RUN(a_buffer_that_is_full_is_left_as_it_was);
    return tap_done();
}
