/**
 * Memory: the only place that calls the allocator.
 *
 * Allocation takes (count, size), so a product can never wrap. Tests make the n-th allocation fail
 * with dl_mem_fail_after(): it is how "out of memory" is a tested answer everywhere.
 *
 * Thread: locked.
 */
#ifndef DL_BASE_MEM_H
#define DL_BASE_MEM_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/** `count` * `size` bytes, not initialised; NULL when there is no memory or the product overflows.
 */
void *dl_mem_alloc(size_t count, size_t size) DL_NODISCARD;

/** As dl_mem_alloc, all zero. */
void *dl_mem_zalloc(size_t count, size_t size) DL_NODISCARD;

/** Grow or shrink; on failure NULL, and `old` stays as it was. */
void *dl_mem_resize(void *old, size_t count, size_t size) DL_NODISCARD;

void dl_mem_free(void *p);

enum { DL_MEM_GIVEN_BACK_BYTES = 2 << 20 };

/** From now on, in the whole process, blocks of DL_MEM_GIVEN_BACK_BYTES and more are the system's
 * again as soon as they are freed; main calls it, before there are threads
 * (docs/decisions/0019-big-blocks.md). */
void dl_mem_give_back(void);

/** For tests: let `count` more allocations succeed and fail those after; -1 never fails. */
void dl_mem_fail_after(int64_t count);

/** For tests: allocations asked for since the last dl_mem_fail_after. */
int64_t dl_mem_asked(void);

#endif
