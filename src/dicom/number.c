#include "dicom/internal.h"

#include "base/number.h"

#include <assert.h>

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

size_t dl_dicom_number_from_double(double value, bool is_float, char out[NUMBER_BYTES])
{
    static_assert((int)NUMBER_BYTES >= (int)DL_NUMBER_TEXT_SIZE, "room for any number");
    size_t n = is_float ? dl_number_format_float((float)value, out) : dl_number_format(value, out);
    if (value == 0.0 && n == 2) {
        memcpy(out + n, ".0", 2); /* -0.0: as an integer it would lose its sign */
        n += 2;
    }
    return n;
}
