/* Expressions of run parameters from anywhere, checked and evaluated; names of time zones; formats.
 */
#include "factory/expression_internal.h"

#include <string.h>

enum { MEMORY_LIMIT_BYTES = 64 << 20, FORMAT_LIMIT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const dl_expression_pair parameters[] = {{DL_STR("X"), DL_STR("7")},
                                                {DL_STR("When"), DL_STR("2026-03-29")},
                                                {DL_STR("None"), {NULL, 0}}};

static dl_expression_scope make_scope(bool has_window)
{
    return (dl_expression_scope){.has_window = has_window,
                                 .window_start_us = 1767600000000000,
                                 .window_end_us = 1767603600000000,
                                 .now_us = 1767604501000000,
                                 .trigger_name = DL_STR("T"),
                                 .parameters = parameters,
                                 .parameter_count = DL_COUNT_OF(parameters),
                                 .guid = "c2ecc88d-88c8-4096-912c-d6f2e2b138ce"};
}

/* An error has a message, and a caret unless it is about the whole text. */
static void look_at(const dl_error *err, dl_status status, dl_str text)
{
    size_t length = strlen(err->message);
    DL_ASSERT(err->status == status && length > 0 && length < sizeof err->message - 1);
    DL_ASSERT(status == DL_E_INVALID || status == DL_E_LIMIT);
    DL_ASSERT(err->message[length - 1] == '^' || text.len > DL_EXPRESSION_LIMIT_BYTES ||
              !dl_str_is_utf8(text));
    DL_ASSERT(!dl_str_is_utf8(text) || dl_str_is_utf8(dl_str_of(err->message)));
}

/* What fails when checked fails when it runs; a value does not depend on how often it is asked. */
static void run(dl_str text, bool has_window)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_expression_scope scope = make_scope(has_window);
    dl_error checked_err = {0}, err = {0};
    dl_str value = DL_STR_NONE, again = DL_STR_NONE;
    dl_status checked = dl_expression_check(text, &scope, &checked_err);
    dl_status status = dl_expression_eval(text, &scope, arena, &value, &err);
    if (checked != DL_OK) {
        look_at(&checked_err, checked, text);
        DL_ASSERT(status != DL_OK || checked == DL_E_LIMIT);
    }
    if (status != DL_OK) {
        look_at(&err, status, text);
        DL_ASSERT(value.ptr == NULL);
        return;
    }
    DL_ASSERT(value.len <= DL_EXPRESSION_VALUE_LIMIT_BYTES);
    DL_ASSERT(dl_expression_is(text) || dl_str_eq(text, value));
    if (dl_expression_eval(text, &scope, arena, &again, NULL) == DL_OK) {
        DL_ASSERT(dl_str_eq(value, again));
    }
}

static void format(dl_str text)
{
    DL_AUTO_BUF out = {0};
    dl_buf_init(&out, FORMAT_LIMIT_BYTES);
    dl_expression_time time = {1767604501123456, false}, back;
    if (dl_expression_time_format(time, text, &out, NULL) == DL_OK &&
        dl_expression_time_parse(text, &back)) {
        dl_buf_reset(&out);
        DL_ASSERT(dl_expression_time_format(back, DL_STR("o"), &out, NULL) == DL_OK);
        DL_ASSERT(dl_expression_time_parse(dl_buf_str(&out), &time));
        DL_ASSERT(time.us == back.us && time.is_utc == back.is_utc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    dl_str text = {size == 0 ? "" : (const char *)bytes, size};
    run(text, true);
    run(text, false);
    format(text);
    return 0;
}
