#include "cli/text.h"

#include "base/width.h"

#include <utf8proc.h>

#define REPLACEMENT "\xef\xbf\xbd"

static bool is_harmful(int32_t point)
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
        int32_t point = -1;
        size_t n = dl_width_point(text, at, &point);
        if (is_harmful(point)) {
            DL_TRY(dl_buf_append_str(out, DL_STR(REPLACEMENT), err));
        } else {
            DL_TRY(dl_buf_append(out, text.ptr + at, n, err));
        }
        at += n;
    }
    return DL_OK;
}

void dl_cli_text_json(dl_str json, FILE *out)
{
    size_t printed = 0;
    for (size_t at = 0, n = 1; at < json.len; at += n) {
        int32_t point = (unsigned char)json.ptr[at];
        n = point < 0x7f ? 1 : dl_width_point(json, at, &point);
        if (point >= 0x7f && is_harmful(point)) {
            (void)fprintf(out, "%.*s\\u%04x", (int)(at - printed), json.ptr + printed,
                          (unsigned)point);
            printed = at + n;
        }
    }
    (void)fwrite(json.ptr + printed, 1, json.len - printed, out);
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
