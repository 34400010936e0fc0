/* Where an object or array ends, 64 bytes at a time: which bytes are inside strings comes from a
 * running exclusive or over the quotes, so that only brackets outside strings are looked at. */
#include "feed/internal.h"

#include <string.h>

enum { BLOCK = 64 };

/* One bit a byte of a block. */
typedef struct marks {
    uint64_t quote, slash, open, close;
} marks;

#if defined(__SSE2__)
static inline uint64_t bits_of(__m128i v, unsigned part)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(v) << (16 * part);
}

static inline marks mark(const char *p)
{
    marks m = {0};
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i fold = _mm_set1_epi8(0x20); /* '[' and '{', ']' and '}' differ by this bit only */
    const __m128i open = _mm_set1_epi8('{'), close = _mm_set1_epi8('}');
    for (unsigned i = 0; i < BLOCK / 16; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + (size_t)16 * i));
        __m128i folded = _mm_or_si128(v, fold);
        m.quote |= bits_of(_mm_cmpeq_epi8(v, quote), i);
        m.slash |= bits_of(_mm_cmpeq_epi8(v, slash), i);
        m.open |= bits_of(_mm_cmpeq_epi8(folded, open), i);
        m.close |= bits_of(_mm_cmpeq_epi8(folded, close), i);
    }
    return m;
}
#else
static marks mark(const char *p)
{
    marks m = {0};
    for (unsigned i = 0; i < BLOCK; i++) {
        uint64_t bit = (uint64_t)1 << i;
        char c = p[i];
        m.quote |= c == '"' ? bit : 0;
        m.slash |= c == '\\' ? bit : 0;
        m.open |= c == '{' || c == '[' ? bit : 0;
        m.close |= c == '}' || c == ']' ? bit : 0;
    }
    return m;
}
#endif

typedef struct counter {
    uint64_t in_string; /* all ones when the block before ended in a string, else 0 */
    bool escaped;       /* the block before ended in a backslash that escapes */
    size_t depth;
} counter;

/* The characters that a backslash takes its meaning from. */
static uint64_t escaped_bits(counter *s, uint64_t slash)
{
    uint64_t escaped = s->escaped ? 1 : 0;
    slash &= ~escaped;
    s->escaped = false;
    while (slash != 0) {
        unsigned at = (unsigned)__builtin_ctzll(slash);
        if (at == BLOCK - 1) {
            s->escaped = true;
            break;
        }
        uint64_t next = (uint64_t)2 << at;
        escaped |= next;
        slash &= ~(next | next >> 1);
    }
    return escaped;
}

/* Bit n of the result: an odd number of bits up to and with n. */
static inline uint64_t running_xor(uint64_t bits)
{
    for (unsigned shift = 1; shift < BLOCK; shift *= 2) {
        bits ^= bits << shift;
    }
    return bits;
}

/* Position after the last closing bracket when it is in this block, else BLOCK + 1. */
static inline unsigned count_block(counter *s, const char *p)
{
    marks m = mark(p);
    if (m.slash != 0 || s->escaped) {
        m.quote &= ~escaped_bits(s, m.slash);
    }
    uint64_t inside = running_xor(m.quote) ^ s->in_string;
    s->in_string = (inside >> (BLOCK - 1)) != 0 ? UINT64_MAX : 0;
    m.open &= ~inside;
    m.close &= ~inside;
    for (uint64_t both = m.open | m.close; both != 0; both &= both - 1) {
        uint64_t bit = both & (~both + 1);
        if ((m.open & bit) != 0) {
            s->depth++;
        } else if (--s->depth == 0) {
            return (unsigned)__builtin_ctzll(bit) + 1;
        }
    }
    return BLOCK + 1;
}

const char *dl_feed_container_end(const char *p, const char *end)
{
    counter s = {0}; /* the first bracket opens, so the depth is never counted below 0 */
    for (; end - p >= BLOCK; p += BLOCK) {
        unsigned at = count_block(&s, p);
        if (at <= BLOCK) {
            return p + at;
        }
    }
    char last[BLOCK];
    size_t left = (size_t)(end - p);
    memset(last, ' ', sizeof last);
    memcpy(last, p, left);
    unsigned at = count_block(&s, last);
    return at <= BLOCK ? p + at : NULL;
}
