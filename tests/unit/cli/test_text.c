/* What is printed: text, tables, progress, values; and the small parsers. */
#include "tap.h"

#include "base/width.h"
#include "cli/cli.h"
#include "cli/listen.h"
#include "cli/peer.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/value.h"

#include <stdlib.h>

TAP_CASE(harmful_characters_are_replaced)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"plain", "plain"},
        {"M\xc3\xbcller", "M\xc3\xbcller"},
        {"a\x1b[31mb", "a\xef\xbf\xbd[31mb"},
        {"line\nbreak", "line\xef\xbf\xbd"
                        "break"},
        {"\xff", "\xef\xbf\xbd"},
        {"\xe2\x80\xae"
         "abc",
         "\xef\xbf\xbd"
         "abc"}, /* right-to-left override */
        {"\xc2\x9b"
         "2J",
         "\xef\xbf\xbd"
         "2J"}, /* the one-byte form of ESC [ */
        {"", ""},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        DL_AUTO_BUF out = {0};
        dl_buf_init(&out, 100);
        TAP_OK(dl_cli_text_clean(dl_str_of(cases[i].in), &out, &err), err);
        TAP_EQ_STR(dl_buf_str(&out), cases[i].want);
    }
}

TAP_CASE(amounts_are_short)
{
    static const struct {
        uint64_t bytes;
        const char *want;
    } cases[] = {
        {0, "0 B"},         {999, "999 B"},           {1000, "1.0 kB"},        {999949, "999.9 kB"},
        {999950, "1.0 MB"}, {45600000000, "45.6 GB"}, {UINT64_MAX, "18.4 EB"},
    };
    char out[DL_CLI_AMOUNT_SIZE];
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_cli_text_bytes(cases[i].bytes, out);
        TAP_EQ_STR(dl_str_of(out), cases[i].want);
    }
    dl_cli_text_duration(7, out);
    TAP_EQ_STR(dl_str_of(out), "0:07");
    dl_cli_text_duration(754, out);
    TAP_EQ_STR(dl_str_of(out), "12:34");
    dl_cli_text_duration(3723, out);
    TAP_EQ_STR(dl_str_of(out), "1:02:03");
    dl_cli_text_duration(INT64_MAX, out);
    TAP_EQ_STR(dl_str_of(out), "2562047788015215:30:07");
}

/** What a table prints. */
static void print_table(const dl_cli_table *table, char **out_text)
{
    size_t size = 0;
    FILE *out = open_memstream(out_text, &size);
    dl_error err = {0};
    TAP_OK(dl_cli_table_print(table, out, &err), err);
    (void)fclose(out);
}

TAP_CASE(tables_are_aligned)
{
    static const dl_cli_column columns[] = {{"NAME", false, 6}, {"N", true, 0}, {"LAST", false, 0}};
    static const dl_str rows[][3] = {
        {{"ab", 2}, {"1", 1}, {"x", 1}},
        {{"\xe5\xb1\xb1\xe7\x94\xb0", 6}, {"100", 3}, {"", 0}},
        {{"longer than six", 15}, {"20", 2}, {"a\tb", 3}},
        {{"sixsix", 6}, {"", 0}, {NULL, 0}},
    };
    dl_error err = {0};
    DL_AUTO(dl_cli_table) table = NULL;
    char *text = NULL;
    TAP_OK(dl_cli_table_create(columns, 3, &table, &err), err);
    print_table(table, &text);
    TAP_EQ_STR(dl_str_of(text), ""); /* no titles over nothing */
    free(text);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_OK(dl_cli_table_add(table, rows[i], &err), err);
    }
    print_table(table, &text);
    TAP_EQ_STR(dl_str_of(text), "NAME      N  LAST\n"
                                "ab        1  x\n"
                                "\xe5\xb1\xb1\xe7\x94\xb0    100  \n"
                                "longe\xe2\x80\xa6   20  a\xef\xbf\xbd"
                                "b\n"
                                "sixsix       \n");
    free(text);
    static dl_cli_column many[DL_CLI_TABLE_COLUMN_LIMIT + 1];
    DL_AUTO(dl_cli_table) wide = NULL;
    TAP_STATUS(dl_cli_table_create(many, DL_CLI_TABLE_COLUMN_LIMIT + 1, &wide, &err), DL_E_LIMIT);
    TAP_TRUE(wide == NULL);
    TAP_OK(dl_cli_table_create(many, DL_CLI_TABLE_COLUMN_LIMIT, &wide, &err), err);
}

TAP_CASE(progress_fits_its_width)
{
    static const struct {
        const char *name;
        dl_cli_progress_facts facts;
        size_t width;
        const char *want;
    } cases[] = {
        {"nothing known",
         {.verb = "importing", .noun = "files", .seconds_left = -1},
         80,
         "importing  0 files"},
        {"by bytes, which are behind",
         {"importing", "files", 15, 20, 500, 1000, false, 12.4, 2500000, 61},
         81,
         "importing  [===========>           ]  50%  15/20 files  12/s  2.5 MB/s  1:01 left"},
        {"by items, which are behind",
         {"importing", "files", 5, 20, 500, 1000, false, 12.4, 2500000, 61},
         80,
         "importing  [=====>                 ]  25%  5/20 files  12/s  2.5 MB/s  1:01 left"},
        {"still counting",
         {"importing", "files", 5, 20, 500, 1000, true, 1.25, 0, -1},
         100,
         "importing  [=======>                      ]  25%  5/20+ files  1.2/s"},
        {"done",
         {"importing", "files", 20, 20, 1000, 1000, false, 0, 0, 0},
         60,
         "importing  [==================] 100%  20/20 files  0:00 left"},
        {"no room for a bar",
         {"importing", "files", 5, 20, 500, 1000, false, 12, 2500000, 61},
         50,
         "importing  5/20 files  12/s  2.5 MB/s  1:01 left"},
        {"cut",
         {"importing", "files", 5, 20, 500, 1000, false, 12, 2500000, 61},
         12,
         "importing  5"},
        {"by items",
         {"verifying", "files", 1, 3, 0, 0, false, 0, 0, -1},
         50,
         "verifying  [======>              ]  33%  1/3 files"},
        {"more than expected",
         {"verifying", "files", 9, 3, 0, 0, false, 0, 0, -1},
         45,
         "verifying  [================] 100%  9/3 files"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        DL_AUTO_BUF out = {0};
        dl_buf_init(&out, 400);
        TAP_OK(dl_cli_progress_format(&cases[i].facts, cases[i].width, &out, &err), err);
        TAP_EQ_STR(dl_buf_str(&out), cases[i].want);
        TAP_TRUE(dl_width_of(dl_buf_str(&out)) <= cases[i].width);
        TAP_ROW_END(cases[i].name);
    }
}

TAP_CASE(rates_forget)
{
    dl_cli_rate rate = {0};
    int64_t now = 1000000;
    dl_cli_rate_update(&rate, now, 0, 0);
    TAP_TRUE(rate.items_per_s == 0);
    dl_cli_rate_update(&rate, now, 5, 5); /* no time has passed */
    TAP_TRUE(rate.items_per_s == 0);
    dl_cli_rate_update(&rate, now + 1000000, 100, 1000);
    TAP_TRUE(rate.items_per_s > 99.9 && rate.items_per_s < 100.1);
    TAP_TRUE(rate.bytes_per_s > 999 && rate.bytes_per_s < 1001);
    for (int i = 2; i < 60; i++) { /* a minute at half the speed */
        dl_cli_rate_update(&rate, now + i * 1000000LL, 100 + 50 * (uint64_t)(i - 1), 1000);
    }
    TAP_TRUE(rate.items_per_s > 49 && rate.items_per_s < 52);
    TAP_TRUE(rate.bytes_per_s < 10);
}

TAP_CASE(progress_is_silent_without_a_terminal)
{
    dl_error err = {0};
    DL_AUTO(dl_cli_progress) progress = NULL;
    FILE *file = tmpfile();
    TAP_OK(dl_cli_progress_create(file, "importing", "files", &progress, &err), err);
    TAP_TRUE(!dl_cli_progress_watched(progress));
    dl_cli_progress_expect(progress, 10, 10);
    dl_cli_progress_add(progress, 1, 1);
    dl_cli_progress_clear(progress);
    TAP_EQ_INT(ftell(file), 0);
    TAP_TRUE(!dl_cli_progress_watched(NULL));
    dl_cli_progress_add(NULL, 1, 1);
    (void)fclose(file);
}

TAP_CASE(values_are_shown)
{
    static const dl_str set =
        DL_STR("{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Doe^J\\u00f6\"}]},"
               "\"00100011\":{\"vr\":\"PN\",\"Value\":[{\"Ideographic\":\"x\"}]},"
               "\"00080061\":{\"vr\":\"CS\",\"Value\":[\"CT\",\"MR\"]},"
               "\"00201208\":{\"vr\":\"IS\",\"Value\":[12]},"
               "\"00081110\":{\"vr\":\"SQ\",\"Value\":[{},{}]},"
               "\"00080050\":{\"vr\":\"SH\"},"
               "\"00080051\":{\"vr\":\"SH\",\"Value\":[null,\"b\"]}}");
    static const struct {
        const char *tag, *want;
    } cases[] = {
        {"00100010", "Doe^J\xc3\xb6"}, {"00100011", "x"},
        {"00080061", "CT\\MR"},        {"00201208", "12"},
        {"00081110", "(2 items)"},     {"00080050", ""},
        {"00080051", "\\b"},           {"00080052", ""},
    };
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        dl_str text = DL_STR_NONE;
        TAP_OK(dl_cli_value_show(set, cases[i].tag, arena, &text, &err), err);
        TAP_EQ_STR(text, cases[i].want);
    }
    int64_t number = -1;
    TAP_TRUE(dl_cli_value_number(set, "00201208", &number));
    TAP_EQ_INT(number, 12);
    TAP_TRUE(!dl_cli_value_number(set, "00080061", &number));
    TAP_EQ_INT(number, 12);
}

TAP_CASE(listen_addresses_are_parsed)
{
    static const struct {
        const char *text;
        dl_status want;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:8080", DL_OK, "127.0.0.1", 8080},
        {"localhost:0", DL_OK, "localhost", 0},
        {"[::1]:0", DL_OK, "::1", 0},
        {"[::1]:65535", DL_OK, "::1", 65535},
        {"127.0.0.1:65536", DL_E_INVALID, "", 0},
        {"127.0.0.1", DL_E_INVALID, "", 0},
        {":80", DL_E_INVALID, "", 0},
        {"::1:80", DL_E_INVALID, "", 0},
        {"[::1]", DL_E_INVALID, "", 0},
        {"[]:80", DL_E_INVALID, "", 0},
        {"[a]:80", DL_E_INVALID, "", 0},
        {"h:", DL_E_INVALID, "", 0},
        {"h:-1", DL_E_INVALID, "", 0},
        {"", DL_E_INVALID, "", 0},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        dl_cli_listen got = {.host = "as it was", .port = 7};
        TAP_STATUS(dl_cli_listen_parse(dl_str_of(cases[i].text), &got, &err), cases[i].want);
        bool ok = cases[i].want == DL_OK;
        TAP_EQ_STR(dl_str_of(got.host), ok ? cases[i].host : "as it was");
        TAP_EQ_INT(got.port, ok ? cases[i].port : 7);
        TAP_EQ_INT(err.message[0] == '\0', ok);
    }
}

TAP_CASE(bases_are_made_of_urls)
{
    static const struct {
        const char *url;
        dl_status want;
        const char *base;
    } cases[] = {
        {"http://127.0.0.1:8080", DL_OK, "http://127.0.0.1:8080/v2"},
        {"http://127.0.0.1:8080/", DL_OK, "http://127.0.0.1:8080/v2"},
        {"http://h/v1/", DL_OK, "http://h/v1"},
        {"https://h/dicom-web", DL_OK, "https://h/dicom-web"},
        {"HTTP://h", DL_OK, "HTTP://h/v2"},
        {"h:8080", DL_E_INVALID, ""},
        {"ftp://h", DL_E_INVALID, ""},
        {"http://", DL_E_INVALID, ""},
        {"http:///x", DL_E_INVALID, ""},
        {"http://:80", DL_E_INVALID, ""},
        {"http://u:secret@h", DL_E_INVALID, ""},
        {"http://h/?a=b", DL_E_INVALID, ""},
        {"http://h/#a", DL_E_INVALID, ""},
        {"http://h/a b", DL_E_INVALID, ""},
        {"http://h/a\r\nX: y", DL_E_INVALID, ""},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        DL_AUTO_BUF base = {0};
        dl_buf_init(&base, 100);
        TAP_STATUS(dl_cli_peer_base_of(dl_str_of(cases[i].url), &base, &err), cases[i].want);
        TAP_EQ_STR(dl_buf_str(&base), cases[i].base);
        TAP_TRUE(strstr(err.message, "secret") == NULL);
    }
    dl_error err = {0};
    DL_AUTO_BUF small = {0};
    dl_buf_init(&small, 10);
    TAP_STATUS(dl_cli_peer_base_of(DL_STR("http://abc"), &small, &err), DL_E_LIMIT);
}

TAP_CASE(paths_are_made_of_uids)
{
    char *good[] = {"1.2", "3.4", "5.6"};
    char *bad[] = {"1.2", "../x"};
    dl_error err = {0};
    DL_AUTO_BUF path = {0};
    dl_buf_init(&path, 200);
    TAP_OK(dl_cli_peer_path(&(dl_cli_args){good, 3}, &path, &err), err);
    TAP_EQ_STR(dl_buf_str(&path), "/studies/1.2/series/3.4/instances/5.6");
    dl_buf_reset(&path);
    TAP_STATUS(dl_cli_peer_path(&(dl_cli_args){bad, 2}, &path, &err), DL_E_INVALID);
}

TAP_CASE(every_status_has_an_exit_code)
{
    for (int status = DL_OK; status <= DL_E_NOMEM; status++) {
        dl_cli_exit want = status == DL_OK          ? DL_CLI_DONE
                           : status == DL_E_INVALID ? DL_CLI_USAGE
                                                    : DL_CLI_FAILED;
        TAP_EQ_INT(dl_cli_exit_of((dl_status)status), want);
    }
}

TAP_CASE(failures_are_one_clean_line)
{
    char *text = NULL;
    size_t size = 0;
    dl_cli cli = {.err = open_memstream(&text, &size)};
    dl_error err = {0};
    (void)dl_error_set(&err, DL_E_IO, "cannot open a\nb");
    TAP_EQ_INT(dl_cli_fail(&cli, &err), DL_CLI_FAILED);
    dl_error_hint(&err, "look there");
    TAP_EQ_INT(dl_cli_fail(&cli, &err), DL_CLI_FAILED);
    (void)fclose(cli.err);
    TAP_EQ_STR(dl_str_of(text), "dicomlake: cannot open a\xef\xbf\xbd"
                                "b\n"
                                "dicomlake: cannot open a\xef\xbf\xbd"
                                "b; look there\n");
    free(text);
}

TAP_CASE(refusals_of_peers_have_a_status)
{
    static const struct {
        unsigned status;
        dl_status want;
    } cases[] = {
        {400, DL_E_INVALID},     {401, DL_E_DENIED},      {403, DL_E_DENIED},
        {404, DL_E_NOT_FOUND},   {405, DL_E_UNSUPPORTED}, {409, DL_E_EXISTS},
        {413, DL_E_LIMIT},       {424, DL_E_CORRUPT},     {429, DL_E_LIMIT},
        {500, DL_E_UNAVAILABLE}, {503, DL_E_UNAVAILABLE}, {302, DL_E_UNSUPPORTED},
        {418, DL_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        TAP_STATUS(dl_cli_peer_refused("GET", cases[i].status, DL_STR("text/plain; charset=utf-8"),
                                       DL_STR("One sentence.\nAnother."), &err),
                   cases[i].want);
        char want[64];
        (void)snprintf(want, sizeof want, "GET answered %u: One sentence.", cases[i].status);
        TAP_EQ_STR(dl_str_of(err.message), want);
        TAP_EQ_INT(err.os_code, cases[i].status);
    }
    dl_error err = {0};
    TAP_STATUS(dl_cli_peer_refused("GET", 404, DL_STR("text/html"), DL_STR("<html>"), &err),
               DL_E_NOT_FOUND);
    TAP_EQ_STR(dl_str_of(err.message), "GET answered 404");
}

int main(void)
{
    TAP_RUN(harmful_characters_are_replaced);
    TAP_RUN(amounts_are_short);
    TAP_RUN(tables_are_aligned);
    progress_fits_its_width();
    TAP_RUN(rates_forget);
    TAP_RUN(progress_is_silent_without_a_terminal);
    TAP_RUN(values_are_shown);
    TAP_RUN(listen_addresses_are_parsed);
    TAP_RUN(bases_are_made_of_urls);
    TAP_RUN(paths_are_made_of_uids);
    TAP_RUN(every_status_has_an_exit_code);
    TAP_RUN(failures_are_one_clean_line);
    TAP_RUN(refusals_of_peers_have_a_status);
    return tap_done();
}
