#include "dicom/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Integers of more digits, and numbers beyond these powers of ten, would change their value in a
 * reader that keeps numbers as doubles: they stay text (PS3.18 F.2.3, note on IS and DS). */
enum { INTEGER_DIGITS = 15, EXPONENT_LIMIT = 307 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *at, const char *end)
{
    const char *p = at;
    while (p < end && is_digit(*p)) {
        p++;
    }
    return (size_t)(p - at);
}

/** The value of an exponent's digits, capped. */
static int exponent_value(const char *digits, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value > 9999 ? value : value * 10 + (digits[i] - '0');
    }
    return value;
}

/** Whether [0-9]*.[0-9]* times ten to `exponent` is within a double's range. */
static bool in_range(const char *whole, size_t whole_count, const char *part, size_t part_count,
                     int exponent)
{
    for (size_t i = 0; i < whole_count; i++) {
        if (whole[i] != '0') {
            int power = (int)(whole_count - i) - 1 + exponent;
            return power <= EXPONENT_LIMIT && power >= -EXPONENT_LIMIT;
        }
    }
    for (size_t i = 0; i < part_count; i++) {
        if (part[i] != '0') {
            int power = exponent - (int)i - 1;
            return power <= EXPONENT_LIMIT && power >= -EXPONENT_LIMIT;
        }
    }
    return true; /* zero */
}

size_t dl_dicom_number_from_text(dl_str text, char *out)
{
    const char *p = text.ptr;
    const char *end = p + text.len;
    char *o = out;
    if (text.len == 0 || text.len > 256) {
        return 0;
    }
    if (*p == '+' || *p == '-') {
        if (*p == '-') {
            *o++ = '-';
        }
        p++;
    }
    const char *whole = p;
    size_t whole_count = count_digits(p, end);
    p += whole_count;
    const char *part = p;
    size_t part_count = 0;
    bool has_point = p < end && *p == '.';
    if (has_point) {
        part = ++p;
        part_count = count_digits(p, end);
        p += part_count;
    }
    if (whole_count + part_count == 0) {
        return 0;
    }
    const char *rest = p; /* the exponent as written */
    int exponent = 0;
    bool has_exponent = p < end && (*p == 'e' || *p == 'E');
    if (has_exponent) {
        p++;
        bool minus = p < end && *p == '-';
        p += p < end && (*p == '+' || *p == '-');
        size_t count = count_digits(p, end);
        if (count == 0) {
            return 0;
        }
        exponent = exponent_value(p, count);
        exponent = minus ? -exponent : exponent;
        p += count;
    }
    if (p != end) {
        return 0;
    }
    while (whole_count > 1 && *whole == '0') { /* JSON has no leading zeros */
        whole++;
        whole_count--;
    }
    bool plain = !has_exponent && part_count == 0;
    if ((plain && whole_count > INTEGER_DIGITS) ||
        !in_range(whole, whole_count, part, part_count, exponent)) {
        return 0;
    }
    if (whole_count == 0) {
        *o++ = '0';
    }
    memcpy(o, whole, whole_count);
    o += whole_count;
    if (part_count > 0) {
        *o++ = '.';
        memcpy(o, part, part_count);
        o += part_count;
    }
    memcpy(o, rest, (size_t)(end - rest));
    o += end - rest;
    return (size_t)(o - out);
}

size_t dl_dicom_number_from_u64(uint64_t value, char out[NUMBER_BYTES])
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = digits[n - 1 - i];
    }
    return n;
}

/** `scaled` / 10^places in decimal, places > 0. */
static size_t put_decimal(uint64_t scaled, unsigned places, char *out)
{
    char digits[NUMBER_BYTES];
    size_t n = dl_dicom_number_from_u64(scaled, digits);
    size_t o = 0;
    if (n <= places) {
        out[o++] = '0';
        out[o++] = '.';
        for (size_t i = n; i < places; i++) {
            out[o++] = '0';
        }
        memcpy(out + o, digits, n);
        return o + n;
    }
    memcpy(out, digits, n - places);
    o = n - places;
    out[o++] = '.';
    memcpy(out + o, digits + n - places, places);
    return o + places;
}

/** The numbers with few decimals, which are nearly all: a quotient of two integers that doubles
 * hold exactly is correctly rounded, so it can be compared. */
static size_t short_decimal(double magnitude, bool is_float, char *out)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10};
    for (unsigned places = 0; places < DL_COUNT_OF(powers); places++) {
        double scaled = nearbyint(magnitude * powers[places]);
        if (!(scaled < 9007199254740992.0)) {
            return 0;
        }
        double back = scaled / powers[places];
        bool same = is_float ? (float)back == (float)magnitude : back == magnitude;
        if (same) {
            uint64_t integer = (uint64_t)scaled;
            return places == 0 ? dl_dicom_number_from_u64(integer, out)
                               : put_decimal(integer, places, out);
        }
    }
    return 0;
}

size_t dl_dicom_number_from_double(double value, bool is_float, char out[NUMBER_BYTES])
{
    size_t sign = 0;
    if (signbit(value)) {
        out[sign++] = '-';
        value = -value;
    }
    if (value == 0.0) {
        memcpy(out + sign, "0.0", 3); /* keeps the sign of -0.0 */
        if (sign == 0) {
            out[0] = '0';
            return 1;
        }
        return sign + 3;
    }
    if (value >= 1e-6 && value < 1e15) {
        size_t n = short_decimal(value, is_float, out + sign);
        if (n > 0) {
            return sign + n;
        }
    }
    int first = is_float ? 6 : 15;
    int last = is_float ? 9 : 17;
    int n = 0;
    for (int precision = first; precision <= last; precision++) {
        n = snprintf(out + sign, NUMBER_BYTES - sign, "%.*g", precision, value);
        double back = strtod(out + sign, NULL);
        if (is_float ? (float)back == (float)value : back == value) {
            break;
        }
    }
    return sign + (size_t)n;
}
