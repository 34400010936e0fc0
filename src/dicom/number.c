#include "dicom/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Integers of more digits, and numbers beyond these powers of ten, would change their value in a
 * reader that keeps numbers as doubles: they stay text (PS3.18 F.2.3, note on IS and DS). */
enum { INTEGER_DIGITS = 15, EXPONENT_LIMIT = 307, TEXT_BYTES = 256 };

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

/** A decimal number in its parts, all of them in the text it was read from. */
typedef struct decimal {
    bool minus, has_exponent;
    dl_str whole, part; /* digits before and after the point; whole without leading zeros */
    dl_str rest;        /* the exponent as written, or empty */
    int exponent;       /* capped, so that sums with lengths cannot overflow */
} decimal;

/** `e`, sign and digits; the whole text or nothing. */
static bool read_exponent(dl_str text, int *out_exponent)
{
    const char *p = text.ptr + 1;
    const char *end = text.ptr + text.len;
    bool minus = p < end && *p == '-';
    p += p < end && (*p == '+' || *p == '-');
    size_t count = count_digits(p, end);
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value > 9999 ? value : value * 10 + (p[i] - '0');
    }
    *out_exponent = minus ? -value : value;
    return count > 0 && p + count == end;
}

static bool read_decimal(dl_str text, decimal *d)
{
    const char *p = text.ptr;
    const char *end = p + text.len;
    d->minus = p < end && *p == '-';
    p += p < end && (*p == '+' || *p == '-');
    d->whole = (dl_str){p, count_digits(p, end)};
    p += d->whole.len;
    if (p < end && *p == '.') {
        d->part = (dl_str){p + 1, count_digits(p + 1, end)};
        p += 1 + d->part.len;
    }
    if (d->whole.len + d->part.len == 0) {
        return false;
    }
    while (d->whole.len > 1 && *d->whole.ptr == '0') { /* JSON has no leading zeros */
        d->whole.ptr++;
        d->whole.len--;
    }
    d->rest = (dl_str){p, (size_t)(end - p)};
    d->has_exponent = p < end && (*p == 'e' || *p == 'E');
    return p == end || (d->has_exponent && read_exponent(d->rest, &d->exponent));
}

/** Position of the first digit that is not 0, or the length. */
static size_t leading_zeros(dl_str digits)
{
    size_t n = 0;
    while (n < digits.len && digits.ptr[n] == '0') {
        n++;
    }
    return n;
}

/** Whether a double holds it without losing digits before the point or leaving its range. */
static bool is_safe(const decimal *d)
{
    if (!d->has_exponent && d->part.len == 0 && d->whole.len > INTEGER_DIGITS) {
        return false;
    }
    size_t zeros = leading_zeros(d->whole);
    int power = d->exponent + (int)(d->whole.len - zeros) - 1;
    if (zeros == d->whole.len) {
        zeros = leading_zeros(d->part);
        power = d->exponent - (int)zeros - 1;
        if (zeros == d->part.len) {
            return true; /* zero */
        }
    }
    return power <= EXPONENT_LIMIT && power >= -EXPONENT_LIMIT;
}

size_t dl_dicom_number_from_text(dl_str text, char *out)
{
    decimal d = {.exponent = 0};
    if (text.len == 0 || text.len > TEXT_BYTES || !read_decimal(text, &d) || !is_safe(&d)) {
        return 0;
    }
    char *o = out;
    *o = '-';
    o += d.minus;
    if (d.whole.len == 0) {
        *o++ = '0';
    }
    memcpy(o, d.whole.ptr, d.whole.len);
    o += d.whole.len;
    if (d.part.len > 0) {
        *o++ = '.';
        memcpy(o, d.part.ptr, d.part.len);
        o += d.part.len;
    }
    memcpy(o, d.rest.ptr, d.rest.len);
    return (size_t)(o - out) + d.rest.len;
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
