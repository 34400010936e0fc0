/* Parquet's RLE/bit-packed hybrid. Standard: Apache Parquet format, Encodings, section RLE. */
#include "base/cursor.h"
#include "columnar/internal.h"

enum {
    GROUP = 8, /* values are packed by eight; a run is worth it from eight on */
    LENGTH_BYTES = 4,
    RUN_OVERHEAD_BYTES = 10,
};

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Levels are bytes, indices words; every function below is compiled for both. */
typedef struct source {
    const void *values;
    bool wide;
} source;

static ALWAYS_INLINE uint32_t value_at(source s, size_t i)
{
    return s.wide ? ((const uint32_t *)s.values)[i] : ((const uint8_t *)s.values)[i];
}

unsigned dl_columnar_bit_width(uint32_t max)
{
    unsigned bits = 0;
    while (bits < 32 && max >> bits != 0) {
        bits++;
    }
    return bits;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* How many values from `i` on are equal. */
static ALWAYS_INLINE size_t run_length(source s, size_t i, size_t count)
{
    uint32_t first = value_at(s, i);
    size_t end = i + 1;
    if (!s.wide) {
        uint64_t pattern = first * UINT64_C(0x0101010101010101), next = 0;
        while (count - end >= sizeof next) {
            memcpy(&next, (const uint8_t *)s.values + end, sizeof next);
            if (next != pattern) {
                break;
            }
            end += sizeof next;
        }
    }
    while (end < count && value_at(s, end) == first) {
        end++;
    }
    return end - i;
}

/* Up to eight values from `i` on; what is missing is zero. */
static ALWAYS_INLINE uint8_t *pack_group(uint8_t *to, source s, size_t i, size_t count,
                                         unsigned bits)
{
    size_t n = count - i < GROUP ? count - i : GROUP;
    uint64_t held = 0;
    unsigned held_bits = 0;
    unsigned total = bits; /* bytes still to be written */
    for (size_t k = 0; k < n; k++) {
        held |= (uint64_t)value_at(s, i + k) << held_bits;
        held_bits += bits;
        if (held_bits >= 32) {
            dl_put_le32(to, (uint32_t)held);
            to += 4;
            total -= 4;
            held >>= 32;
            held_bits -= 32;
        }
    }
    for (; total > 0; total--) {
        *to++ = (uint8_t)held;
        held >>= 8;
    }
    return to;
}

static ALWAYS_INLINE uint8_t *put_packed(uint8_t *to, source s, size_t from, size_t end,
                                         unsigned bits)
{
    if (from == end) {
        return to;
    }
    to = put_varint(to, (uint64_t)((end - from + GROUP - 1) / GROUP) << 1 | 1);
    for (size_t i = from; i < end; i += GROUP) {
        to = pack_group(to, s, i, end, bits);
    }
    return to;
}

static ALWAYS_INLINE uint8_t *put_hybrid(uint8_t *to, source s, size_t count, unsigned bits)
{
    size_t packed_from = 0, i = 0;
    while (i < count) {
        size_t run = run_length(s, i, count);
        if (run < GROUP) {
            i = count - i < GROUP ? count : i + GROUP;
            continue;
        }
        to = put_packed(to, s, packed_from, i, bits);
        to = put_varint(to, (uint64_t)run << 1);
        uint32_t value = value_at(s, i);
        for (unsigned b = 0; b < bits; b += 8) {
            *to++ = (uint8_t)(value >> b);
        }
        i += run;
        packed_from = i;
    }
    return put_packed(to, s, packed_from, count, bits);
}

/* No more than this for `count` values. */
static size_t hybrid_bound(size_t count, unsigned bits)
{
    return (count / GROUP + 2) * (bits + 2 + LENGTH_BYTES) + RUN_OVERHEAD_BYTES;
}

dl_status dl_columnar_encode_levels(dl_buf *buf, const uint8_t *levels, size_t count, unsigned bits,
                                    dl_error *err)
{
    DL_TRY(dl_buf_reserve(buf, LENGTH_BYTES + hybrid_bound(count, bits), err));
    uint8_t *start = (uint8_t *)buf->ptr + buf->len;
    uint8_t *body = start + LENGTH_BYTES;
    uint8_t *end = put_hybrid(body, (source){levels, false}, count, bits);
    dl_put_le32(start, (uint32_t)(end - body));
    buf->len += (size_t)(end - start);
    return DL_OK;
}

dl_status dl_columnar_encode_indices(dl_buf *buf, const uint32_t *indices, size_t count,
                                     unsigned bits, dl_error *err)
{
    DL_TRY(dl_buf_reserve(buf, 1 + hybrid_bound(count, bits), err));
    uint8_t *start = (uint8_t *)buf->ptr + buf->len;
    start[0] = (uint8_t)bits;
    uint8_t *end = put_hybrid(start + 1, (source){indices, true}, count, bits);
    buf->len += (size_t)(end - start);
    return DL_OK;
}

dl_status dl_columnar_encode_bools(dl_buf *buf, const uint8_t *values, size_t count, dl_error *err)
{
    DL_TRY(dl_buf_reserve(buf, count / GROUP + 1, err));
    uint8_t *to = (uint8_t *)buf->ptr + buf->len;
    uint8_t *end = to;
    for (size_t i = 0; i < count; i += GROUP) {
        end = pack_group(end, (source){values, false}, i, count, 1);
    }
    buf->len += (size_t)(end - to);
    return DL_OK;
}
