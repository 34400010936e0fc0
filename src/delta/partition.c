/* Partition values: text in the log, typed in rows (protocol, "Partition Value Serialization"). */
#include "delta/internal.h"

#include "base/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DECIMAL_DIGITS = 18, FLOAT_TEXT_LIMIT = 64 };
static const int64_t day_us = 86400000000;

/* ---- text to value ---- */

static bool take_digits(dl_str *rest, size_t digits, int64_t *out)
{
    uint64_t value = 0;
    if (rest->len < digits || !dl_str_to_u64(dl_str_slice(*rest, 0, digits), &value)) {
        return false;
    }
    *out = (int64_t)value;
    *rest = dl_str_slice(*rest, digits, rest->len);
    return true;
}

static bool take_char(dl_str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c) {
        return false;
    }
    *rest = dl_str_slice(*rest, 1, rest->len);
    return true;
}

static bool take_date(dl_str *rest, int64_t *out_days)
{
    int64_t year = 0, month = 0, day = 0;
    return take_digits(rest, 4, &year) && take_char(rest, '-') && take_digits(rest, 2, &month) &&
           take_char(rest, '-') && take_digits(rest, 2, &day) &&
           dl_clock_days(year, month, day, out_days);
}

/* Microseconds after the point, further digits cut off; true also where there is no point. */
static bool take_fraction(dl_str *rest, int64_t *out_us)
{
    int64_t unit = 100000, us = 0;
    if (take_char(rest, '.')) {
        size_t digits = 0;
        while (rest->len > 0 && rest->ptr[0] >= '0' && rest->ptr[0] <= '9') {
            us += (rest->ptr[0] - '0') * unit;
            unit /= 10;
            digits++;
            *rest = dl_str_slice(*rest, 1, rest->len);
        }
        if (digits == 0) {
            return false;
        }
    }
    *out_us = us;
    return true;
}

/* "Z", "+hh:mm", or nothing, which is taken as UTC. */
static bool take_zone(dl_str *rest, int64_t *out_us)
{
    int64_t hours = 0, minutes = 0;
    *out_us = 0;
    if (rest->len == 0 || take_char(rest, 'Z') || take_char(rest, 'z')) {
        return true;
    }
    int64_t sign = take_char(rest, '+') ? 1 : take_char(rest, '-') ? -1 : 0;
    if (sign == 0 || !take_digits(rest, 2, &hours)) {
        return false;
    }
    (void)take_char(rest, ':');
    if (rest->len > 0 && !take_digits(rest, 2, &minutes)) {
        return false;
    }
    *out_us = sign * (hours * 60 + minutes) * 60 * 1000000;
    return hours <= 23 && minutes <= 59;
}

static bool read_timestamp(dl_str text, bool zoned, int64_t *out_us)
{
    int64_t days = 0, hour = 0, minute = 0, second = 0, fraction = 0, zone = 0;
    if (!take_date(&text, &days)) {
        return false;
    }
    if (text.len > 0) {
        if ((!take_char(&text, 'T') && !take_char(&text, ' ')) || !take_digits(&text, 2, &hour) ||
            !take_char(&text, ':') || !take_digits(&text, 2, &minute) || !take_char(&text, ':') ||
            !take_digits(&text, 2, &second) || !take_fraction(&text, &fraction) ||
            (zoned && !take_zone(&text, &zone))) {
            return false;
        }
    }
    *out_us = days * day_us + ((hour * 60 + minute) * 60 + second) * 1000000 + fraction - zone;
    return text.len == 0 && hour <= 23 && minute <= 59 && second <= 59;
}

static bool read_date(dl_str text, int64_t *out_days)
{
    return take_date(&text, out_days) && text.len == 0;
}

static bool read_float(dl_str text, bool single, double *out)
{
    char copy[FLOAT_TEXT_LIMIT];
    char *end = copy;
    if (text.len == 0 || !dl_str_copy(text, copy, sizeof copy)) {
        return false;
    }
    double value = strtod(copy, &end);
    *out = single ? (double)(float)value : value;
    return *end == '\0' && copy[0] != ' ';
}

/* "-12.3" with scale 2 is -1230. */
static bool read_decimal(dl_str text, unsigned scale, int64_t *out)
{
    int64_t value = 0;
    bool minus = take_char(&text, '-'), point = false, any = false;
    unsigned after = 0;
    if (!minus) {
        (void)take_char(&text, '+');
    }
    for (; text.len > 0; text = dl_str_slice(text, 1, text.len)) {
        char c = text.ptr[0];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        bool beyond = point && after == scale;
        if (c < '0' || c > '9' || (beyond && c != '0')) {
            return false;
        }
        any = true;
        if (!beyond) {
            after += point ? 1 : 0;
            if (__builtin_mul_overflow(value, 10, &value) ||
                __builtin_add_overflow(value, c - '0', &value)) {
                return false;
            }
        }
    }
    for (; after < scale; after++) {
        if (__builtin_mul_overflow(value, 10, &value)) {
            return false;
        }
    }
    *out = minus ? -value : value;
    return any;
}

static bool read_integer(dl_str text, int bits, int64_t *out)
{
    int64_t bound = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1;
    return dl_str_to_i64(text, out) && *out <= bound && *out >= -bound - 1;
}

static bool read_bool(dl_str text, int64_t *out)
{
    *out = dl_str_eq_nocase(text, DL_STR("true")) ? 1 : 0;
    return *out == 1 || dl_str_eq_nocase(text, DL_STR("false"));
}

bool dl_delta_value_parse(const dl_columnar_field *field, dl_str text, dl_columnar_value *out)
{
    switch (field->type) {
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
        out->s = text;
        return true;
    case DL_COLUMNAR_BOOL:
        return read_bool(text, &out->i);
    case DL_COLUMNAR_INT8:
        return read_integer(text, 8, &out->i);
    case DL_COLUMNAR_INT16:
        return read_integer(text, 16, &out->i);
    case DL_COLUMNAR_INT32:
        return read_integer(text, 32, &out->i);
    case DL_COLUMNAR_INT64:
        return read_integer(text, 64, &out->i);
    case DL_COLUMNAR_FLOAT:
        return read_float(text, true, &out->d);
    case DL_COLUMNAR_DOUBLE:
        return read_float(text, false, &out->d);
    case DL_COLUMNAR_DECIMAL:
        if (field->precision > DECIMAL_DIGITS) {
            out->s = text;
            return true;
        }
        return read_decimal(text, field->scale, &out->i);
    case DL_COLUMNAR_DATE:
        return read_date(text, &out->i);
    case DL_COLUMNAR_TIMESTAMP:
        return read_timestamp(text, true, &out->i);
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return read_timestamp(text, false, &out->i);
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
    default:
        return false;
    }
}

dl_status dl_delta_partition_value(const dl_delta_column *column, const dl_delta_file *file,
                                   bool *out_null, dl_columnar_value *out_value, dl_error *err)
{
    dl_str text = DL_STR_NONE;
    for (size_t i = 0; i < file->partition_values.count; i++) {
        if (dl_str_eq(file->partition_values.items[i].key, column->field.name)) {
            text = file->partition_values.items[i].value;
        }
    }
    *out_null = text.len == 0; /* the empty text is null too */
    if (*out_null || dl_delta_value_parse(&column->field, text, out_value)) {
        return DL_OK;
    }
    return dl_error_set(err, DL_E_CORRUPT,
                        "the file %.*s: its value of the partition column '%.*s' is none of that "
                        "type",
                        DL_STR_ARG(file->path), DL_STR_ARG(column->name));
}

/* ---- value to text ---- */

/* Into `out`, of `size` bytes: for what needs less than that. */
static void format_decimal(int64_t value, unsigned scale, char *out, size_t size)
{
    char digits[24];
    uint64_t positive = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    int len = snprintf(digits, sizeof digits, "%0*" PRIu64, (int)scale + 1, positive);
    (void)snprintf(out, size, "%s%.*s%s%s", value < 0 ? "-" : "", len - (int)scale, digits,
                   scale > 0 ? "." : "", digits + len - (int)scale);
}

static void format_float(const dl_columnar_field *field, double value, char *out)
{
    if (isnan(value)) {
        memcpy(out, "NaN", 4);
    } else if (isinf(value)) {
        memcpy(out, value > 0 ? "Infinity" : "-Infinity", value > 0 ? 9 : 10);
    } else {
        size_t len = field->type == DL_COLUMNAR_FLOAT ? dl_number_format_float((float)value, out)
                                                      : dl_number_format(value, out);
        out[len] = '\0';
    }
}

dl_status dl_delta_value_text(const dl_columnar_field *field, const dl_columnar_value *value,
                              dl_arena *arena, dl_str *out_text, dl_error *err)
{
    char text[DL_CLOCK_TEXT_SIZE] = "";
    switch (field->type) {
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
        return dl_arena_copy(arena, value->s, out_text, err);
    case DL_COLUMNAR_BOOL:
        return dl_arena_copy(arena, value->i != 0 ? DL_STR("true") : DL_STR("false"), out_text,
                             err);
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
        return dl_arena_printf(arena, out_text, err, "%" PRId64, value->i);
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
        format_float(field, value->d, text);
        break;
    case DL_COLUMNAR_DECIMAL:
        if (field->precision > DECIMAL_DIGITS) {
            return dl_arena_copy(arena, value->s, out_text, err);
        }
        format_decimal(value->i, field->scale, text, sizeof text);
        break;
    case DL_COLUMNAR_DATE:
        if (value->i > INT64_MAX / day_us || value->i < INT64_MIN / day_us) {
            return dl_error_set(err, DL_E_CORRUPT, "a date beyond the calendar");
        }
        dl_clock_format_utc(value->i * day_us, text);
        text[strcspn(text, "T")] = '\0';
        break;
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        dl_clock_format_utc(value->i, text);
        if (field->type == DL_COLUMNAR_TIMESTAMP_NTZ) {
            text[strcspn(text, "Z")] = '\0';
        }
        break;
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
    default:
        return dl_error_set(err, DL_E_INVALID, "a nested value has no text");
    }
    return dl_arena_copy(arena, dl_str_of(text), out_text, err);
}
