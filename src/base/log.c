#include "base/log.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int least_level = DL_LOG_INFO; /* set once before threads start */

void dl_log_set_level(dl_log_level level)
{
    atomic_store(&least_level, (int)level);
}

static void put(dl_log_line *line, const char *text, size_t len)
{
    size_t room = sizeof line->text - 1 - line->len; /* one byte is kept for the newline */
    if (len > room) {
        len = room;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static bool is_plain(dl_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f) {
            return false;
        }
    }
    return value.len > 0;
}

static void put_quoted(dl_log_line *line, dl_str value)
{
    put(line, "\"", 1);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c == '"' || c == '\\') {
            put(line, "\\", 1);
        }
        if (c < ' ' || c == 0x7f) {
            char escape[8];
            int n = snprintf(escape, sizeof escape, "\\x%02x", c);
            put(line, escape, (size_t)n);
        } else {
            put(line, &value.ptr[i], 1);
        }
    }
    put(line, "\"", 1);
}

void dl_log_begin(dl_log_line *line, dl_log_level level, const char *module, const char *op)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    line->len = 0;
    line->wanted = level < DL_LOG_OFF && (int)level >= atomic_load(&least_level);
    if (!line->wanted) {
        return;
    }
    char time[DL_CLOCK_TEXT_SIZE];
    dl_clock clock = dl_clock_system();
    dl_clock_format_utc(dl_clock_now_us(&clock), time);
    put(line, "time=", 5);
    put(line, time, strlen(time));
    dl_log_str(line, "level", dl_str_of(names[level]));
    dl_log_str(line, "module", dl_str_of(module));
    dl_log_str(line, "op", dl_str_of(op));
}

void dl_log_str(dl_log_line *line, const char *key, dl_str value)
{
    if (!line->wanted) {
        return;
    }
    put(line, " ", 1);
    put(line, key, strlen(key));
    put(line, "=", 1);
    if (is_plain(value)) {
        put(line, value.ptr, value.len);
    } else {
        put_quoted(line, value);
    }
}

void dl_log_int(dl_log_line *line, const char *key, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    dl_log_str(line, key, (dl_str){text, (size_t)n});
}

void dl_log_error(dl_log_line *line, const dl_error *err)
{
    dl_log_str(line, "error", dl_str_of(err->message));
    if (err->hint[0] != '\0') {
        dl_log_str(line, "hint", dl_str_of(err->hint));
    }
}

void dl_log_end(dl_log_line *line)
{
    if (!line->wanted) {
        return;
    }
    line->text[line->len++] = '\n';
    ssize_t n = write(STDERR_FILENO, line->text, line->len);
    (void)n; /* there is nowhere left to say that the log cannot be written */
}
