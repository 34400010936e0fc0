#include "cli/text.h"

#include <stdio.h>
#include <utf8proc.h>

#define REPLACEMENT "\xef\xbf\xbd"

/** One code point; ill-formed: one byte and -1. Returns the bytes taken. */
static size_t next_point(dl_str text, utf8proc_int32_t *out_point)
{
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text.ptr, (utf8proc_ssize_t)text.len, out_point);
    if (n <= 0) {
        *out_point = -1;
        return 1;
    }
    return (size_t)n;
}

static bool is_harmful(utf8proc_int32_t point)
{
    if (point < 0 || (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) ||
        point == 0x2028 || point == 0x2029) {
        return true;
    }
    return utf8proc_category(point) == UTF8PROC_CATEGORY_CC;
}

dl_status dl_cli_text_clean(dl_str text, dl_buf *out, dl_error *err)
{
    size_t at = 0;
    while (at < text.len) {
        utf8proc_int32_t point = -1;
        dl_str rest = dl_str_slice(text, at, text.len);
        size_t n = next_point(rest, &point);
        if (is_harmful(point)) {
            DL_TRY(dl_buf_append_str(out, DL_STR(REPLACEMENT), err));
        } else {
            DL_TRY(dl_buf_append(out, rest.ptr, n, err));
        }
        at += n;
    }
    return DL_OK;
}

dl_str dl_cli_text_cut(dl_str text, size_t width)
{
    size_t at = 0;
    size_t used = 0;
    while (at < text.len) {
        utf8proc_int32_t point = -1;
        size_t n = next_point(dl_str_slice(text, at, text.len), &point);
        size_t columns = point < 0 ? 1 : (size_t)utf8proc_charwidth(point);
        if (used + columns > width) {
            break;
        }
        used += columns;
        at += n;
    }
    return dl_str_slice(text, 0, at);
}

size_t dl_cli_text_width(dl_str text)
{
    size_t at = 0;
    size_t used = 0;
    while (at < text.len) {
        utf8proc_int32_t point = -1;
        at += next_point(dl_str_slice(text, at, text.len), &point);
        used += point < 0 ? 1 : (size_t)utf8proc_charwidth(point);
    }
    return used;
}

void dl_cli_text_bytes(uint64_t bytes, char out[DL_CLI_AMOUNT_SIZE])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < DL_COUNT_OF(units)) {
        value /= 1000;
        unit++;
    }
    if (unit == 0) {
        (void)snprintf(out, DL_CLI_AMOUNT_SIZE, "%llu B", (unsigned long long)bytes);
    } else {
        (void)snprintf(out, DL_CLI_AMOUNT_SIZE, "%.1f %s", value, units[unit]);
    }
}

void dl_cli_text_duration(int64_t seconds, char out[DL_CLI_AMOUNT_SIZE])
{
    long long hours = (long long)(seconds / 3600);
    int minutes = (int)(seconds / 60 % 60);
    int rest = (int)(seconds % 60);
    if (hours > 0) {
        (void)snprintf(out, DL_CLI_AMOUNT_SIZE, "%lld:%02d:%02d", hours, minutes, rest);
    } else {
        (void)snprintf(out, DL_CLI_AMOUNT_SIZE, "%d:%02d", minutes, rest);
    }
}
