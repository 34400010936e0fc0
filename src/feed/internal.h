/**
 * What the files of this module share: reading a page, and scanning JSON text fast.
 *
 * Most bytes of a feed are metadata that is looked at twice: once to find where it ends
 * (dl_feed_container_end, 64 bytes at a time), once to take it apart (dl_feed_attributes). Strings
 * are most of it, so their end is looked for 16 bytes at a time where the machine can.
 */
#ifndef DL_FEED_INTERNAL_H
#define DL_FEED_INTERNAL_H

#include "feed/feed.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/** What a string holds besides plain ASCII; either means that it must be checked. */
enum {
    DL_FEED_STRING_ODD = 1,     /* control characters, or bytes above 0x7f */
    DL_FEED_STRING_ESCAPED = 2, /* backslashes */
};

/** The closing quote of a string whose content begins at `p`; NULL when there is none. `out_kind`:
 * DL_FEED_STRING_*. */
static inline const char *dl_feed_string_end(const char *p, const char *end, unsigned *out_kind)
{
    unsigned kind = 0;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, control), v);
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
        unsigned odd = (unsigned)_mm_movemask_epi8(_mm_or_si128(v, low));
        unsigned stop = (unsigned)_mm_movemask_epi8(ends);
        if (stop == 0) {
            kind |= odd != 0 ? DL_FEED_STRING_ODD : 0;
            p += 16;
            continue;
        }
        unsigned n = (unsigned)__builtin_ctz(stop);
        kind |= (odd & ((1U << n) - 1)) != 0 ? DL_FEED_STRING_ODD : 0;
        p += n;
        if (*p == '"') {
            *out_kind = kind;
            return p;
        }
        kind |= DL_FEED_STRING_ESCAPED;
        p += 2; /* the next character belongs to the escape; 16 bytes were there */
        if (p > end) {
            return NULL;
        }
    }
#endif
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (c == '"') {
            *out_kind = kind;
            return p;
        }
        if (c == '\\') {
            kind |= DL_FEED_STRING_ESCAPED;
            if (end - p < 2) {
                return NULL;
            }
            p++;
        } else if (c < 0x20 || c > 0x7f) {
            kind |= DL_FEED_STRING_ODD;
        }
        p++;
    }
    return NULL;
}

static inline bool dl_feed_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/** One past the bracket that closes the one at `p`; NULL when none does. Brackets are only counted,
 * outside strings; which closes which is for a check to say. */
const char *dl_feed_container_end(const char *p, const char *end);

typedef struct dl_feed_page_form {
    bool single;    /* one row, not an array of rows */
    bool *not_json; /* out, may be NULL: it failed because the text is no JSON (cut, or not from the
                       service) */
} dl_feed_page_form;

/** dl_feed_page_parse, with what the HTTP source needs besides. */
DL_NODISCARD dl_status dl_feed_page_read(dl_buf *take_text, dl_feed_page_form form,
                                         dl_feed_page **out_page, dl_error *err);

#endif
