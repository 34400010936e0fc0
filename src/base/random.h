/**
 * Random: bytes that nobody can guess, for request ids and boundaries.
 *
 * Thread: locked.
 */
#ifndef DL_BASE_RANDOM_H
#define DL_BASE_RANDOM_H

#include "base/str.h"

/** Fill `out` from the kernel's generator. */
void dl_random_bytes(void *out, size_t len);

/** `count` random bytes as lower-case hex digits, NUL-terminated: out holds 2 * count + 1. */
void dl_random_hex(char *out, size_t count);

#endif
