#include "tap.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/random.h"
#include "base/sanitize.h"
#include "base/width.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

TAP_CASE(error_keeps_the_cause_and_gains_clauses)
{
    dl_error err = {0};
    dl_status status = dl_error_set(&err, DL_E_LIMIT, "length %d exceeds %d", 70, 64);
    status = dl_error_within(&err, status, "reading %s", "a.dcm");
    TAP_EQ_INT(status, DL_E_LIMIT);
    TAP_EQ_STR(dl_str_of(err.message), "length 70 exceeds 64; while reading a.dcm");
    TAP_EQ_INT(dl_error_set(NULL, DL_E_IO, "x"), DL_E_IO);
    for (int i = 0; i < 100; i++) { /* never past the end of the message */
        (void)dl_error_within(&err, status, "layer %d", i);
    }
    TAP_TRUE(strlen(err.message) < sizeof err.message);
}

TAP_CASE(numbers_are_read_strictly)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"+7", true, 7},
        {"", false, 0},
        {"-", false, 0},
        {"1 ", false, 0},
        {"0x1", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        int64_t got = 99;
        TAP_EQ_INT(dl_str_to_i64(dl_str_of(cases[i].text), &got), cases[i].ok);
        TAP_EQ_INT(got, cases[i].ok ? cases[i].want : 99);
    }
}

TAP_CASE(utf8_is_checked)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"plain", true},
        {"M\xc3\xbcller", true},
        {"\xe6\x97\xa5", true},
        {"\xf0\x9f\x98\x80", true},
        {"\xc0\x80", false},
        {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xc3", false},
        {"\xe0\x80\x80", false},
        {"\xff", false},
        {"a\x80", false},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_EQ_INT(dl_str_is_utf8(dl_str_of(cases[i].text)), cases[i].ok);
    }
}

TAP_CASE(width_counts_columns)
{
    TAP_EQ_INT(dl_width_of(DL_STR("abc")), 3);
    TAP_EQ_INT(dl_width_of(DL_STR("\xe5\xb1\xb1\xe7\x94\xb0")), 4); /* two wide signs */
    TAP_EQ_INT(dl_width_of(DL_STR("e\xcc\x81")), 1);                /* combining accent */
    TAP_EQ_INT(dl_width_of(DL_STR("\xff\xfe")), 2);
    TAP_EQ_STR(dl_width_cut(DL_STR("\xe5\xb1\xb1\xe7\x94\xb0"), 3), "\xe5\xb1\xb1");
    TAP_EQ_STR(dl_width_cut(DL_STR("abc"), 3), "abc");
    TAP_EQ_STR(dl_width_cut(DL_STR("abc"), 2), "ab");
    TAP_EQ_STR(dl_width_cut(DL_STR("abc"), 0), "");
    TAP_EQ_STR(dl_width_cut(DL_STR("e\xcc\x81z"), 1), "e\xcc\x81"); /* what takes no room goes on */
    TAP_EQ_STR(dl_width_cut(DL_STR("\xe5\xb1z"), 2), "\xe5\xb1");
}

TAP_CASE(buffer_stops_at_its_limit)
{
    DL_AUTO_BUF buf = {0};
    dl_error err = {0};
    dl_buf_init(&buf, 1000);
    char bytes[1000] = {0};
    TAP_OK(dl_buf_append(&buf, bytes, 1000, &err), err);
    TAP_STATUS(dl_buf_append_char(&buf, 'x', &err), DL_E_LIMIT);
    TAP_EQ_INT(buf.len, 1000);
    DL_AUTO_BUF small = {0}; /* a limit below the first step of growth */
    dl_buf_init(&small, 3);
    TAP_OK(dl_buf_append(&small, bytes, 3, &err), err);
    TAP_STATUS(dl_buf_append_char(&small, 'x', &err), DL_E_LIMIT);
    TAP_EQ_INT(small.len, 3);
    dl_buf_clear(&buf);
    dl_mem_fail_after(0);
    TAP_STATUS(dl_buf_append_char(&buf, 'x', &err), DL_E_NOMEM);
    dl_mem_fail_after(-1);
}

#if defined(__GLIBC__) && !DL_SANITIZE_SHADOW /* which have allocators of their own */
TAP_CASE(big_blocks_are_given_back)
{
    dl_mem_give_back();
    dl_mem_free(
        dl_mem_alloc(16, DL_MEM_GIVEN_BACK_BYTES)); /* would raise the threshold by itself */
    struct mallinfo2 before = mallinfo2();
    void *below = dl_mem_alloc(1, DL_MEM_GIVEN_BACK_BYTES / 2);
    TAP_TRUE(below != NULL);
    TAP_EQ_INT(mallinfo2().hblks, before.hblks);
    void *at = dl_mem_alloc(1, DL_MEM_GIVEN_BACK_BYTES);
    TAP_TRUE(at != NULL);
    TAP_EQ_INT(mallinfo2().hblks, before.hblks + 1); /* mapped by itself */
    dl_mem_free(at);
    TAP_EQ_INT(mallinfo2().hblks, before.hblks);
    dl_mem_free(below);
}
#endif

TAP_CASE(arena_stops_at_its_limit)
{
    dl_arena *arena = dl_arena_create(100);
    dl_error err = {0};
    TAP_TRUE(dl_arena_alloc(arena, 10, 10) != NULL);
    TAP_TRUE(dl_arena_alloc(arena, 1, 1) == NULL);
    TAP_TRUE(dl_arena_alloc(arena, SIZE_MAX, 2) == NULL);
    dl_str copy = DL_STR("old");
    TAP_STATUS(dl_arena_copy(arena, DL_STR("new"), &copy, &err), DL_E_LIMIT);
    TAP_EQ_STR(copy, "old");
    dl_arena_destroy(arena);
    dl_arena_destroy(NULL);
}

TAP_CASE(an_arena_without_memory_is_not_at_its_limit)
{
    dl_arena *arena = dl_arena_create(1 << 20);
    dl_error err = {0};
    dl_str copy = DL_STR_NONE;
    TAP_TRUE(arena != NULL);
    dl_mem_fail_after(0);
    TAP_STATUS(dl_arena_copy(arena, DL_STR("new"), &copy, &err), DL_E_NOMEM);
    dl_mem_fail_after(-1);
    TAP_OK(dl_arena_copy(arena, DL_STR("new"), &copy, &err), err);
    TAP_TRUE(dl_arena_alloc(arena, 1 << 20, 1) == NULL);
    TAP_STATUS(dl_arena_full(arena, &err), DL_E_LIMIT);
    dl_arena_destroy(arena);
}

TAP_CASE(times_are_read_and_written)
{
    static const struct {
        const char *text;
        bool ok;
        const char *want;
    } cases[] = {
        {"2026-01-05T08:00:00Z", true, "2026-01-05T08:00:00.0000000+00:00"},
        {"2026-01-05T08:00:00.1234567+00:00", true, "2026-01-05T08:00:00.1234570+00:00"},
        {"2026-01-05T08:00:00.5+02:00", true, "2026-01-05T06:00:00.5000000+00:00"},
        {"0001-01-01T00:00:00Z", true, "0001-01-01T00:00:00.0000000+00:00"},
        {"9999-12-31T23:59:59Z", true, "9999-12-31T23:59:59.0000000+00:00"},
        {"2024-02-29T23:59Z", true, "2024-02-29T23:59:00.0000000+00:00"},
        {"1969-12-31T23:59:59.999999Z", true, "1969-12-31T23:59:59.9999990+00:00"},
        {"2026-01-05T08:00:00", false, NULL},
        {"2026-02-29T00:00:00Z", false, NULL},
        {"2026-01-05", false, NULL},
        {"2026-01-05T24:00:00Z", false, NULL},
        {"2026-01-05T08:00:00 02:00", false, NULL},
        {"2026-01-05T08:00:00.Z", false, NULL},
        {"2026-01-05T08:00:00Zx", false, NULL},
        {"", false, NULL},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        int64_t time_us = -7;
        char text[DL_CLOCK_TEXT_SIZE];
        TAP_EQ_INT(dl_clock_parse(dl_str_of(cases[i].text), &time_us), cases[i].ok);
        if (cases[i].ok) {
            dl_clock_format_feed(time_us, text);
            TAP_EQ_STR(dl_str_of(text), cases[i].want);
        } else {
            TAP_EQ_INT(time_us, -7);
        }
    }
}

TAP_CASE(files_are_replaced_whole)
{
    char folder[] = "/tmp/dl-base-XXXXXX";
    char path[128];
    dl_error err = {0};
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 5);
    TAP_TRUE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/a/b", folder);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/a/b/file", folder);
    TAP_OK(dl_file_replace(path, DL_STR("first"), &err), err);
    TAP_OK(dl_file_read_all(path, &buf, &err), err);
    TAP_EQ_STR(dl_buf_str(&buf), "first");
    TAP_OK(dl_file_replace(path, DL_STR("second"), &err), err);
    dl_buf_reset(&buf);
    TAP_STATUS(dl_file_read_all(path, &buf, &err), DL_E_LIMIT);
    (void)unlink(path);
    TAP_STATUS(dl_file_read_all(path, &buf, &err), DL_E_NOT_FOUND);
    (void)snprintf(path, sizeof path, "%s/a/b", folder);
    (void)rmdir(path);
    (void)snprintf(path, sizeof path, "%s/a", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

TAP_CASE(numbers_are_as_short_as_can_be)
{
    static const struct {
        double value;
        const char *want, *want_float;
    } cases[] = {
        {0, "0", "0"},
        {-0.0, "-0", "-0"},
        {0.1, "0.1", "0.1"},
        {-1.5, "-1.5", "-1.5"},
        {100000, "100000", "100000"},
        {1.0 / 3, "0.3333333333333333", "0.33333334"},
        {0.00001, "0.00001", "0.00001"},
        {0.000001, "1e-06", "1e-06"},
        {1e15, "1000000000000000", "999999986991104"},
        {1e16, "1e+16", "1e+16"},
        {-2.2250738585072014e-308, "-2.2250738585072014e-308", "-0"},
    };
    char text[DL_NUMBER_TEXT_SIZE];
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_EQ_STR(((dl_str){text, dl_number_format(cases[i].value, text)}), cases[i].want);
        TAP_EQ_STR(((dl_str){text, dl_number_format_float((float)cases[i].value, text)}),
                   cases[i].want_float);
    }
}

TAP_CASE(random_hex_is_hex)
{
    char a[33];
    char b[33];
    dl_random_hex(a, 16);
    dl_random_hex(b, 16);
    TAP_EQ_INT(strlen(a), 32);
    TAP_EQ_INT(strspn(a, "0123456789abcdef"), 32);
    TAP_TRUE(strcmp(a, b) != 0);
}

TAP_CASE(environment_variables_are_read)
{
    TAP_EQ_INT(setenv("DL_TEST_VARIABLE", "value", 1), 0);
    TAP_EQ_STR(dl_str_of(dl_env_get("DL_TEST_VARIABLE")), "value");
    TAP_EQ_INT(setenv("DL_TEST_VARIABLE", "", 1), 0);
    TAP_TRUE(dl_env_get("DL_TEST_VARIABLE") == NULL);
    TAP_EQ_INT(unsetenv("DL_TEST_VARIABLE"), 0);
    TAP_TRUE(dl_env_get("DL_TEST_VARIABLE") == NULL);
}

int main(void)
{
    TAP_RUN(error_keeps_the_cause_and_gains_clauses);
    TAP_RUN(numbers_are_read_strictly);
    TAP_RUN(utf8_is_checked);
    TAP_RUN(width_counts_columns);
    TAP_RUN(buffer_stops_at_its_limit);
#if defined(__GLIBC__) && !DL_SANITIZE_SHADOW
    TAP_RUN(big_blocks_are_given_back);
#endif
    TAP_RUN(arena_stops_at_its_limit);
    TAP_RUN(an_arena_without_memory_is_not_at_its_limit);
    TAP_RUN(times_are_read_and_written);
    TAP_RUN(files_are_replaced_whole);
    TAP_RUN(numbers_are_as_short_as_can_be);
    TAP_RUN(random_hex_is_hex);
    TAP_RUN(environment_variables_are_read);
    return tap_done();
}
