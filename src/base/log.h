/**
 * Log: one logfmt line per finished request, run or commit, on standard error.
 *
 *     dl_log_line line;
 *     dl_log_begin(&line, DL_LOG_INFO, "http", "GET");
 *     dl_log_int(&line, "status", 200);
 *     dl_log_end(&line);
 *
 * gives `time=2026-01-05T08:00:00.123456Z level=info module=http op=GET status=200`.
 * Values with spaces, quotes or control characters are quoted and escaped, so a line is always one
 * line. Nothing that may identify a patient may be logged: dl_phi is a type of its own so that it
 * does not compile. Library modules return errors and do not log; edges (requests, commands,
 * workers) log.
 *
 * Thread: locked (a line is written with one write call).
 */
#ifndef DL_BASE_LOG_H
#define DL_BASE_LOG_H

#include "base/str.h"

typedef enum dl_log_level {
    DL_LOG_DEBUG,
    DL_LOG_INFO,
    DL_LOG_WARN,
    DL_LOG_ERROR,
    DL_LOG_OFF
} dl_log_level;

typedef struct dl_log_line {
    size_t len;
    bool wanted;
    char text[4096]; /* what does not fit is cut off */
} dl_log_line;

/** Set once before threads start: what is written at all. Default DL_LOG_INFO. */
void dl_log_set_level(dl_log_level level);

/** `module` and `op` are short fixed words. */
void dl_log_begin(dl_log_line *line, dl_log_level level, const char *module, const char *op);
void dl_log_str(dl_log_line *line, const char *key, dl_str value);
void dl_log_int(dl_log_line *line, const char *key, int64_t value);
/** The words of an error under `error`, its hint under `hint`. */
void dl_log_error(dl_log_line *line, const dl_error *err);
void dl_log_end(dl_log_line *line);

#endif
