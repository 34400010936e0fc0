/**
 * Status and error: what every fallible function returns, and the words that go with it.
 *
 * A function that can fail returns a `dl_status` and takes a caller-owned `dl_error *err` last;
 * `err` may be NULL. The error never allocates, so running out of memory can be reported too. The
 * place that knows the cause calls dl_error_set(); each layer that adds meaning appends one clause
 * with dl_error_within(); nobody overwrites. Whoever swallows an error clears it.
 *
 * Messages name the object and both values ("element 0020000d: length 70 exceeds 64"); hints name a
 * setting or a command. Neither ever holds patient data.
 *
 * Outputs of a function that fails keep their old value.
 *
 * Thread: confined (an error belongs to one caller).
 */
#ifndef DL_BASE_STATUS_H
#define DL_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#define DL_NODISCARD __attribute__((warn_unused_result))
#define DL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define DL_CLEANUP(fn) __attribute__((cleanup(fn)))
#define DL_UNUSED __attribute__((unused))

/** `DL_AUTO(dl_x) x = ...;` destroys x when the scope ends; see DL_DEFINE_AUTO. */
#define DL_AUTO(type) DL_CLEANUP(type##_destroyp) type *
#define DL_DEFINE_AUTO(type)                                                                       \
    static inline DL_UNUSED void type##_destroyp(type **p)                                         \
    {                                                                                              \
        type##_destroy(*p);                                                                        \
    }
#define DL_STEAL(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) dl_tmp_ = (p);                                                               \
        (p) = NULL;                                                                                \
        dl_tmp_;                                                                                   \
    })

#define DL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef enum dl_status {
    DL_OK = 0,
    DL_E_INVALID,     /* the input is wrong; retrying cannot help        -> HTTP 400 */
    DL_E_DENIED,      /* who you are, or what you may                    -> 401, 403 */
    DL_E_NOT_FOUND,   /*                                                 -> 404 */
    DL_E_EXISTS,      /*                                                 -> 409 */
    DL_E_CONFLICT,    /* lost a race: reload, then retry                 -> 409, 412 */
    DL_E_LIMIT,       /* a configured bound                              -> 413, 429 */
    DL_E_UNSUPPORTED, /* valid, but we do not do it                      -> 406, 415, 501 */
    DL_E_CORRUPT,     /* stored data broke its own rules; stop writing   -> 424, 500 */
    DL_E_UNAVAILABLE, /* a dependency is down: retry with backoff        -> 503 */
    DL_E_CANCELED,    /* somebody asked us to stop */
    DL_E_IO,          /* the operating system refused; os_code says why */
    DL_E_NOMEM,
} dl_status;

typedef struct dl_error {
    dl_status status;
    int os_code;       /* errno, HTTP status or SQL code of the cause; 0 if none */
    char message[384]; /* what failed, innermost first, then "; while ..." per layer */
    char hint[160];    /* what the user can do; empty if nothing */
} dl_error;

#define DL_TRY(expr)                                                                               \
    do {                                                                                           \
        dl_status dl_try_status_ = (expr);                                                         \
        if (dl_try_status_ != DL_OK) {                                                             \
            return dl_try_status_;                                                                 \
        }                                                                                          \
    } while (0)

/** Record the cause and return `status`, so that `return dl_error_set(...)` reads well. */
dl_status dl_error_set(dl_error *err, dl_status status, const char *format, ...) DL_PRINTF(3, 4);

/** As dl_error_set, with `errno` kept in os_code and its text appended. */
dl_status dl_error_errno(dl_error *err, int os_code, const char *format, ...) DL_PRINTF(3, 4);

/** Append "; while <clause>" and return the error's status. */
dl_status dl_error_within(dl_error *err, dl_status status, const char *format, ...) DL_PRINTF(3, 4);

#ifdef __clang_analyzer__ /* it looks into one file at a time: that these return no DL_OK */
#define dl_error_set(err, status, ...) ((void)dl_error_set(err, status, __VA_ARGS__), (status))
#define dl_error_within(err, status, ...)                                                          \
    ((void)dl_error_within(err, status, __VA_ARGS__), (status))
#endif

/** Say what the user can do about it. */
void dl_error_hint(dl_error *err, const char *format, ...) DL_PRINTF(2, 3);

void dl_error_clear(dl_error *err);

/** A stable lower-case word for a status: "ok", "invalid", "not_found", ... */
const char *dl_status_name(dl_status status);

/** Our own invariants only, never input; on in release builds too. */
#define DL_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : dl_assert_failed(#condition, __FILE__, __LINE__))
_Noreturn void dl_assert_failed(const char *condition, const char *file, int line);

#endif
