/**
 * Cursor: bytes still to be read. A read that fails leaves the cursor where it was.
 *
 * Integers are decoded byte by byte, so neither alignment nor the machine's byte order matters.
 *
 * Thread: confined.
 */
#ifndef DL_BASE_CURSOR_H
#define DL_BASE_CURSOR_H

#include "base/str.h"

typedef struct dl_cursor {
    const uint8_t *pos, *end; /* borrowed; pos <= end always */
} dl_cursor;

static inline size_t dl_cursor_left(const dl_cursor *c)
{
    return (size_t)(c->end - c->pos);
}

static inline bool dl_cursor_take(dl_cursor *c, size_t n, const uint8_t **out_bytes)
{
    if (dl_cursor_left(c) < n) { /* compare what is left; never pos + n > end */
        return false;
    }
    *out_bytes = c->pos;
    c->pos += n;
    return true;
}

static inline uint16_t dl_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t dl_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t dl_le64(const uint8_t *p)
{
    return (uint64_t)dl_le32(p) | (uint64_t)dl_le32(p + 4) << 32;
}
static inline uint16_t dl_be16(const uint8_t *p)
{
    return (uint16_t)(p[1] | p[0] << 8);
}
static inline uint32_t dl_be32(const uint8_t *p)
{
    return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}
static inline uint64_t dl_be64(const uint8_t *p)
{
    return (uint64_t)dl_be32(p + 4) | (uint64_t)dl_be32(p) << 32;
}
static inline void dl_put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline void dl_put_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

#endif
