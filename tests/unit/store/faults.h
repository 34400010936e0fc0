/**
 * Faults: the n-th system call of the store fails with a chosen errno, or ends the process there.
 *
 * The test binary is linked with --wrap for each call, so the store itself knows nothing of it.
 *
 * Thread: confined.
 */
#ifndef DL_TESTS_FAULTS_H
#define DL_TESTS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct faults {
    const char *only; /* the one call that is counted, e.g. "fsync"; NULL: each */
    int64_t fail_at;  /* 0 is the next; -1 never */
    int64_t keep_on;  /* how many in a row fail from there */
    int os_code;      /* what errno says */
    bool end_process; /* instead of failing: end as kill -9 does */
    int64_t seen;     /* out: calls counted */
} faults;

extern faults faults_now;

#endif
