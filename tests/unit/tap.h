/**
 * TAP: the few macros of the unit tests. One binary per module; each case is one `ok` line.
 *
 *     TAP_CASE(case_name) { TAP_EQ_INT(1, 1); }
 *     int main(void) { TAP_RUN(case_name); return tap_done(); }
 */
#ifndef DL_TESTS_TAP_H
#define DL_TESTS_TAP_H

#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* Weak: one of each in a program, so that what fails in a file beside the test fails its case. */
__attribute__((weak)) int tap_count, tap_failed, tap_case_failed;

#define TAP_CASE(name) static void name(void)
#define TAP_RUN(name) tap_run(#name, name)

static inline void tap_report(const char *name)
{
    tap_count++;
    if (tap_case_failed) {
        tap_failed++;
    }
    printf("%sok %d - %s\n", tap_case_failed ? "not " : "", tap_count, name);
    fflush(stdout);
}

static inline DL_UNUSED void tap_run(const char *name, void (*run)(void))
{
    tap_case_failed = 0;
    run();
    tap_report(name);
}

/** One row of a table as a case of its own. */
#define TAP_ROW_BEGIN() (tap_case_failed = 0)
#define TAP_ROW_END(name) tap_report(name)

static inline DL_UNUSED void tap_skip(const char *name, const char *why)
{
    tap_count++;
    printf("ok %d - %s # SKIP %s\n", tap_count, name, why);
}

static inline DL_UNUSED int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed != 0 || tap_case_failed != 0; /* also what failed after the last case */
}

#define TAP_FAIL(...)                                                                              \
    do {                                                                                           \
        tap_case_failed = 1;                                                                       \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                   \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
    } while (0)
#define TAP_TRUE(condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            TAP_FAIL("%s is false", #condition);                                                   \
        }                                                                                          \
    } while (0)
#define TAP_EQ_INT(got, want)                                                                      \
    do {                                                                                           \
        long long tap_got_ = (long long)(got), tap_want_ = (long long)(want);                      \
        if (tap_got_ != tap_want_) {                                                               \
            TAP_FAIL("%s is %lld, not %lld", #got, tap_got_, tap_want_);                           \
        }                                                                                          \
    } while (0)
#define TAP_EQ_STR(got, want)                                                                      \
    do {                                                                                           \
        dl_str tap_got_ = (got), tap_want_ = dl_str_of(want);                                      \
        if (!dl_str_eq(tap_got_, tap_want_)) {                                                     \
            TAP_FAIL("%s is '%.*s', not '%.*s'", #got, DL_STR_ARG(tap_got_),                       \
                     DL_STR_ARG(tap_want_));                                                       \
        }                                                                                          \
    } while (0)
#define TAP_OK(expr, err)                                                                          \
    do {                                                                                           \
        dl_status tap_status_ = (expr);                                                            \
        if (tap_status_ != DL_OK) {                                                                \
            TAP_FAIL("%s: %s: %s", #expr, dl_status_name(tap_status_), (err).message);             \
        }                                                                                          \
    } while (0)
#define TAP_STATUS(expr, want)                                                                     \
    do {                                                                                           \
        dl_status tap_status_ = (expr);                                                            \
        if (tap_status_ != (want)) {                                                               \
            TAP_FAIL("%s: %s, not %s", #expr, dl_status_name(tap_status_), dl_status_name(want));  \
        }                                                                                          \
    } while (0)

#endif
