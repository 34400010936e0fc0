#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Relaxed: the counters are test instruments, no data is published through them. */
static atomic_int_fast64_t asked;
static atomic_int_fast64_t fail_after = -1;

static bool may_allocate(void)
{
    int_fast64_t limit = atomic_load_explicit(&fail_after, memory_order_relaxed);
    if (limit < 0) {
        return true;
    }
    return atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) < limit;
}

void *dl_mem_alloc(size_t count, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes) || !may_allocate()) {
        return NULL;
    }
    return malloc(bytes == 0 ? 1 : bytes);
}

void *dl_mem_zalloc(size_t count, size_t size)
{
    return may_allocate() ? calloc(count == 0 ? 1 : count, size == 0 ? 1 : size) : NULL;
}

void *dl_mem_resize(void *old, size_t count, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes) || !may_allocate()) {
        return NULL;
    }
    return realloc(old, bytes == 0 ? 1 : bytes);
}

void dl_mem_free(void *p)
{
    free(p);
}

void dl_mem_give_back(void)
{
#if defined(__GLIBC__) /* others have no moving threshold that would have to be held */
    /* before there are threads. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    (void)mallopt(M_MMAP_THRESHOLD, DL_MEM_GIVEN_BACK_BYTES);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
    (void)mallopt(M_TRIM_THRESHOLD, 2 * DL_MEM_GIVEN_BACK_BYTES);
#endif
}

void dl_mem_fail_after(int64_t count)
{
    atomic_store_explicit(&asked, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_after, count, memory_order_relaxed);
}

int64_t dl_mem_asked(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed);
}
