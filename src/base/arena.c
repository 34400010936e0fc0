#include "base/arena.h"

#include "base/ckd.h"
#include "base/mem.h"
#include "base/sanitize.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = DL_SANITIZE_ADDRESS ? 0 : 16 * 1024 };

typedef struct block {
    struct block *next;
    size_t used;
    size_t cap;
    alignas(max_align_t) char bytes[];
} block;

struct dl_arena {
    block *first;
    size_t used_bytes;
    size_t limit_bytes;
    bool starved; /* the last refusal was for want of memory, not at the limit */
};

dl_arena *dl_arena_create(size_t limit_bytes)
{
    dl_arena *arena = dl_mem_zalloc(1, sizeof *arena);
    if (arena != NULL) {
        arena->limit_bytes = limit_bytes;
    }
    return arena;
}

void dl_arena_destroy(dl_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    for (block *b = arena->first; b != NULL;) {
        block *next = b->next;
        dl_mem_free(b);
        b = next;
    }
    dl_mem_free(arena);
}

static block *add_block(dl_arena *arena, size_t need)
{
    size_t cap = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    size_t bytes = 0;
    if (ckd_add(&bytes, cap, sizeof(block))) {
        return NULL;
    }
    block *b = dl_mem_alloc(1, bytes);
    if (b == NULL) {
        arena->starved = true;
        return NULL;
    }
    *b = (block){.next = arena->first, .cap = cap};
    arena->first = b;
    return b;
}

static void *take(dl_arena *arena, size_t count, size_t size)
{
    size_t bytes = 0;
    if (ckd_mul(&bytes, count, size) || bytes > arena->limit_bytes - arena->used_bytes) {
        arena->starved = false;
        return NULL;
    }
    size_t rounded = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    block *b = arena->first;
    if (b == NULL || b->cap - b->used < rounded) {
        b = add_block(arena, rounded);
        if (b == NULL) {
            return NULL;
        }
    }
    void *p = b->bytes + b->used;
    b->used += rounded;
    arena->used_bytes += bytes;
    return p;
}

void *dl_arena_alloc(dl_arena *arena, size_t count, size_t size)
{
    void *p = take(arena, count, size);
    return p == NULL ? NULL : memset(p, 0, count * size);
}

dl_status(dl_arena_full)(const dl_arena *arena, dl_error *err)
{
    if (arena->starved) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a piece of work");
    }
    return dl_error_set(err, DL_E_LIMIT, "the memory of one piece of work (%zu bytes) is used up",
                        arena->limit_bytes);
}

dl_status dl_arena_copy(dl_arena *arena, dl_str text, dl_str *out_copy, dl_error *err)
{
    char *copy = text.len == SIZE_MAX ? NULL : take(arena, text.len + 1, 1);
    if (copy == NULL) {
        return dl_arena_full(arena, err);
    }
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = '\0';
    *out_copy = (dl_str){copy, text.len};
    return DL_OK;
}

dl_status dl_arena_printf(dl_arena *arena, dl_str *out_text, dl_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : take(arena, (size_t)n + 1, 1);
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    va_start(args, format);
    (void)vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    *out_text = (dl_str){text, (size_t)n};
    return DL_OK;
}

size_t dl_arena_used(const dl_arena *arena)
{
    return arena->used_bytes;
}
