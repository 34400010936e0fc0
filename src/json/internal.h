/**
 * What the files of this module share: UTF-8 steps.
 */
#ifndef DL_JSON_INTERNAL_H
#define DL_JSON_INTERNAL_H

#include "base/str.h"

/**
 * Length of the well-formed UTF-8 sequence at `p` (1..4), or 0; then `*out_skip` is how many bytes
 * one replacement character stands for (the longest ill-formed beginning, at least 1).
 */
static inline size_t dl_json_utf8_step(const unsigned char *p, size_t left, size_t *out_skip)
{
    unsigned char c = p[0];
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte (RFC 3629 section 4) */
    size_t need = 0;
    *out_skip = 1;
    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        need = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        need = 3;
        low = c == 0xe0 ? 0xa0 : 0x80;
        high = c == 0xed ? 0x9f : 0xbf;
    } else if (c >= 0xf0 && c <= 0xf4) {
        need = 4;
        low = c == 0xf0 ? 0x90 : 0x80;
        high = c == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    for (size_t i = 1; i < need; i++) {
        if (i >= left || p[i] < low || p[i] > high) {
            *out_skip = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return need;
}

/** Whether any of eight bytes is a control character, a quote, a backslash or not ASCII. */
static inline bool dl_json_eight_special(const char *p)
{
    const uint64_t ones = 0x0101010101010101U, tops = 0x8080808080808080U;
    uint64_t v = 0;
    __builtin_memcpy(&v, p, sizeof v);
    uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
    uint64_t hit = v | (v - ones * 0x20) | (quote - ones) | (slash - ones);
    return (hit & tops) != 0;
}

static inline bool dl_json_is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/** Position of the first byte from `i` on that is not plain text of a string, or `len`. */
static inline size_t dl_json_plain_run(const char *p, size_t i, size_t len)
{
    while (len - i >= 8 && !dl_json_eight_special(p + i)) {
        i += 8;
    }
    while (i < len && dl_json_is_plain((unsigned char)p[i])) {
        i++;
    }
    return i;
}

static inline int dl_json_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static inline bool dl_json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/** The four hex digits of a \u escape at `p`; false when there are not four. */
static inline bool dl_json_hex4(const char *p, size_t left, uint32_t *out_unit)
{
    uint32_t unit = 0;
    if (left < 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        int digit = dl_json_hex(p[i]);
        if (digit < 0) {
            return false;
        }
        unit = unit << 4 | (uint32_t)digit;
    }
    *out_unit = unit;
    return true;
}

#endif
