/**
 * Arena: many small allocations with one end, and a byte limit.
 *
 * One arena per request, per feed page, per commit. Long-lived objects never point into one.
 * In sanitizer builds every allocation is a block of its own, so that overruns are seen.
 *
 * Thread: confined.
 */
#ifndef DL_BASE_ARENA_H
#define DL_BASE_ARENA_H

#include "base/str.h"

typedef struct dl_arena dl_arena;

/** NULL when there is no memory. */
dl_arena *dl_arena_create(size_t limit_bytes);
void dl_arena_destroy(dl_arena *arena);
DL_DEFINE_AUTO(dl_arena)

/** Room for `count` * `size` bytes, zeroed, aligned for any type; NULL at the limit or without
 * memory. */
void *dl_arena_alloc(dl_arena *arena, size_t count, size_t size) DL_NODISCARD;

/** A NUL-terminated copy that lives as long as the arena. Errors: as dl_arena_full. */
DL_NODISCARD dl_status dl_arena_copy(dl_arena *arena, dl_str text, dl_str *out_copy, dl_error *err);

/** Formatted text that lives as long as the arena, NUL-terminated. Errors: as
 * dl_arena_full. */
DL_NODISCARD dl_status dl_arena_printf(dl_arena *arena, dl_str *out_text, dl_error *err,
                                       const char *format, ...) DL_PRINTF(4, 5);

/** Bytes handed out so far. */
size_t dl_arena_used(const dl_arena *arena);

/** The error for the allocation that was refused last: DL_E_LIMIT, or DL_E_NOMEM when it was not
 * the limit. */
dl_status dl_arena_full(const dl_arena *arena, dl_error *err);
#ifdef __clang_analyzer__ /* see dl_error_set */
#define dl_arena_full(arena, err) ((void)dl_arena_full(arena, err), DL_E_LIMIT)
#endif

#endif
