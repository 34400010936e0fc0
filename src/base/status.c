#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(char *text, size_t size, const char *prefix, const char *format, va_list args)
    DL_PRINTF(4, 0);

static void append(char *text, size_t size, const char *prefix, const char *format, va_list args)
{
    size_t used = strlen(text);
    int n = snprintf(text + used, size - used, "%s", prefix);
    if (n < 0 || (size_t)n >= size - used) {
        return;
    }
    used += (size_t)n;
    (void)vsnprintf(text + used, size - used, format, args);
}

dl_status(dl_error_set)(dl_error *err, dl_status status, const char *format, ...)
{
    if (err != NULL) {
        dl_error_clear(err);
        err->status = status;
        va_list args;
        va_start(args, format);
        append(err->message, sizeof err->message, "", format, args);
        va_end(args);
    }
    return status;
}

static dl_status status_of_errno(int os_code)
{
    switch (os_code) {
    case ENOENT:
        return DL_E_NOT_FOUND;
    default:
        return DL_E_IO;
    }
}

dl_status dl_error_errno(dl_error *err, int os_code, const char *format, ...)
{
    dl_status status = status_of_errno(os_code);
    if (err != NULL) {
        dl_error_clear(err);
        err->status = status;
        err->os_code = os_code;
        va_list args;
        va_start(args, format);
        append(err->message, sizeof err->message, "", format, args);
        va_end(args);
        char reason[96] = "";
        const char *text = strerror_r(os_code, reason, sizeof reason);
        size_t used = strlen(err->message);
        (void)snprintf(err->message + used, sizeof err->message - used, ": %s", text);
    }
    return status;
}

dl_status(dl_error_within)(dl_error *err, dl_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        append(err->message, sizeof err->message, "; while ", format, args);
        va_end(args);
    }
    return status;
}

void dl_error_hint(dl_error *err, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(err->hint, sizeof err->hint, format, args);
        va_end(args);
    }
}

void dl_error_clear(dl_error *err)
{
    if (err != NULL) {
        err->status = DL_OK;
        err->os_code = 0;
        err->message[0] = '\0';
        err->hint[0] = '\0';
    }
}

const char *dl_status_name(dl_status status)
{
    static const char *const names[] = {
        [DL_OK] = "ok",
        [DL_E_INVALID] = "invalid",
        [DL_E_DENIED] = "denied",
        [DL_E_NOT_FOUND] = "not_found",
        [DL_E_EXISTS] = "exists",
        [DL_E_CONFLICT] = "conflict",
        [DL_E_LIMIT] = "limit",
        [DL_E_UNSUPPORTED] = "unsupported",
        [DL_E_CORRUPT] = "corrupt",
        [DL_E_UNAVAILABLE] = "unavailable",
        [DL_E_CANCELED] = "canceled",
        [DL_E_IO] = "io",
        [DL_E_NOMEM] = "no_memory",
    };
    size_t at = (size_t)status;
    return at < DL_COUNT_OF(names) ? names[at] : "unknown";
}

void dl_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "dicomlake: invariant broken: %s (%s:%d)\n", condition, file, line);
    abort();
}
