/* Values of the engine's vectors as text. */
#include "base/clock.h"
#include "base/number.h"
#include "query/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    HUGE_TEXT_SIZE = 48,
    DAY_SECONDS = 86400,
    MICRO = 1000000,
    NANO = 1000000000,
};

static const void *data_at(const dl_engine_api *api, const dl_value *value, size_t size)
{
    const char *data = api->vector_get_data(value->vector);
    return data + (value->row * size);
}

/* vector data is aligned to its type; the copy tells the compiler nothing it has to believe */
#define TAKE(type, value)                                                                          \
    __extension__({                                                                                \
        type taken_;                                                                               \
        memcpy(&taken_, data_at(api, value, sizeof(taken_)), sizeof(taken_));                      \
        taken_;                                                                                    \
    })

bool dl_value_is_null(const dl_engine_api *api, const dl_value *value)
{
    if (value->type->id == DUCKDB_TYPE_SQLNULL) {
        return true;
    }
    const uint64_t *validity = api->vector_get_validity(value->vector);
    return validity != NULL && (validity[value->row / 64] >> (value->row % 64) & 1) == 0;
}

/* ---- integers ---- */

typedef unsigned __int128 wide;

/* Digits, with a point before the last `scale` of them. A DECIMAL that has no digits before the
 * point has none there either: ".05". */
static dl_status put_wide(dl_buf *out, wide size, bool negative, unsigned scale, bool bare,
                          dl_error *err)
{
    char text[HUGE_TEXT_SIZE];
    size_t at = sizeof(text);
    unsigned digits = 0;
    do {
        if (digits == scale && scale > 0) {
            text[--at] = '.';
        }
        text[--at] = (char)('0' + (int)(size % 10));
        size /= 10;
        digits++;
    } while (size > 0 || digits < scale + (bare ? 0 : 1));
    if (bare && scale > 0) {
        text[--at] = '.';
    }
    if (negative) {
        text[--at] = '-';
    }
    return dl_buf_append(out, text + at, sizeof(text) - at, err);
}

static dl_status put_signed(dl_buf *out, __int128 number, unsigned scale, bool bare, dl_error *err)
{
    return put_wide(out, number < 0 ? -(wide)number : (wide)number, number < 0, scale, bare, err);
}

static __int128 huge_of(duckdb_hugeint number)
{
    return (__int128)(((wide)(uint64_t)number.upper << 64) | number.lower);
}

/* Any integer that fits into 128 bits with its sign; false: the value is none. */
static bool integer_of(const dl_engine_api *api, const dl_value *value, duckdb_type type,
                       __int128 *out)
{
    switch ((int)type) {
    case DUCKDB_TYPE_TINYINT:
        *out = (int)TAKE(int8_t, value);
        return true;
    case DUCKDB_TYPE_SMALLINT:
        *out = TAKE(int16_t, value);
        return true;
    case DUCKDB_TYPE_INTEGER:
        *out = TAKE(int32_t, value);
        return true;
    case DUCKDB_TYPE_BIGINT:
        *out = TAKE(int64_t, value);
        return true;
    case DUCKDB_TYPE_UTINYINT:
        *out = TAKE(uint8_t, value);
        return true;
    case DUCKDB_TYPE_USMALLINT:
        *out = TAKE(uint16_t, value);
        return true;
    case DUCKDB_TYPE_UINTEGER:
        *out = TAKE(uint32_t, value);
        return true;
    case DUCKDB_TYPE_UBIGINT:
        *out = TAKE(uint64_t, value);
        return true;
    case DUCKDB_TYPE_HUGEINT:
        *out = huge_of(TAKE(duckdb_hugeint, value));
        return true;
    default:
        return false;
    }
}

static wide unsigned_huge(const dl_engine_api *api, const dl_value *value)
{
    duckdb_uhugeint number = TAKE(duckdb_uhugeint, value);
    return ((wide)number.upper << 64) | number.lower;
}

/* ---- floating point ---- */

/* 0.0000x, which dl_number_format leaves plain: DuckDB's plain notation ends at 1e-4. */
static dl_status put_small(dl_buf *out, bool negative, dl_str digits, dl_error *err)
{
    digits = dl_str_slice(digits, sizeof("0.0000") - 1, digits.len);
    return dl_buf_printf(out, err, "%s%c%s%.*se-05", negative ? "-" : "", digits.ptr[0],
                         digits.len > 1 ? "." : "",
                         DL_STR_ARG(dl_str_slice(digits, 1, digits.len)));
}

/* DuckDB's spelling of what dl_number_format has: "1.0" for "1". Of a FLOAT from 1e7 on all digits
 * are given, where DuckDB puts zeros for some. */
static dl_status put_real(dl_buf *out, double number, bool is_float, dl_error *err)
{
    if (isnan(number)) {
        return dl_buf_append_str(out, DL_STR("nan"), err);
    }
    if (isinf(number)) {
        return dl_buf_append_str(out, number < 0 ? DL_STR("-inf") : DL_STR("inf"), err);
    }
    char text[DL_NUMBER_TEXT_SIZE];
    size_t len =
        is_float ? dl_number_format_float((float)number, text) : dl_number_format(number, text);
    dl_str digits = {text, len};
    dl_str unsigned_digits = number < 0 ? dl_str_slice(digits, 1, len) : digits;
    if (dl_str_starts(unsigned_digits, DL_STR("0.0000"))) {
        return put_small(out, number < 0, unsigned_digits, err);
    }
    DL_TRY(dl_buf_append_str(out, digits, err));
    if (dl_str_find(digits, '.') < 0 && dl_str_find(digits, 'e') < 0) {
        return dl_buf_append_str(out, DL_STR(".0"), err);
    }
    return DL_OK;
}

/* ---- dates and times ---- */

/* Howard Hinnant's days to a date of the proleptic Gregorian calendar. */
static void date_of(int64_t days, int64_t *out_year, int *out_month, int *out_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - (era * 146097);
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = ((5 * day_of_year) + 2) / 153;
    *out_day = (int)(day_of_year - ((153 * month + 2) / 5) + 1);
    *out_month = (int)(month < 10 ? month + 3 : month - 9);
    *out_year = year_of_era + (era * 400) + (*out_month <= 2);
}

/* The year before 1 is "0001 (BC)". */
static dl_status put_days(dl_buf *out, int64_t days, dl_error *err)
{
    int64_t year = 0;
    int month = 0, day = 0;
    date_of(days, &year, &month, &day);
    return dl_buf_printf(out, err, "%04lld-%02d-%02d%s", (long long)(year <= 0 ? 1 - year : year),
                         month, day, year <= 0 ? " (BC)" : "");
}

/* Zeros at the end of the fraction are left out, and the point when there is nothing behind it. */
static dl_status put_clock(dl_buf *out, int64_t units, int64_t per_second, dl_error *err)
{
    int64_t seconds = units / per_second, fraction = units % per_second;
    DL_TRY(dl_buf_printf(out, err, "%02lld:%02lld:%02lld", (long long)(seconds / 3600),
                         (long long)(seconds / 60 % 60), (long long)(seconds % 60)));
    if (fraction == 0) {
        return DL_OK;
    }
    char text[16];
    int len = snprintf(text, sizeof(text), ".%0*lld",
                       per_second == NANO    ? 9
                       : per_second == MICRO ? 6
                                             : 3,
                       (long long)fraction);
    while (text[len - 1] == '0') {
        len--;
    }
    return dl_buf_append(out, text, (size_t)len, err);
}

static dl_status put_date(dl_buf *out, int32_t days, dl_error *err)
{
    if (days == INT32_MAX || days == -INT32_MAX) {
        return dl_buf_append_str(out, days < 0 ? DL_STR("-infinity") : DL_STR("infinity"), err);
    }
    return put_days(out, days, err);
}

static int64_t units_of(duckdb_type type)
{
    switch ((int)type) {
    case DUCKDB_TYPE_TIMESTAMP_S:
        return 1;
    case DUCKDB_TYPE_TIMESTAMP_MS:
        return 1000;
    case DUCKDB_TYPE_TIMESTAMP_NS:
        return NANO;
    default:
        return MICRO;
    }
}

static bool is_endless(int64_t units)
{
    return units == INT64_MAX || units == -INT64_MAX;
}

static dl_status put_timestamp(dl_buf *out, int64_t units, duckdb_type type, dl_error *err)
{
    if (is_endless(units)) {
        return dl_buf_append_str(out, units < 0 ? DL_STR("-infinity") : DL_STR("infinity"), err);
    }
    int64_t per_second = units_of(type), per_day = per_second * DAY_SECONDS;
    int64_t days = units / per_day, rest = units % per_day;
    if (rest < 0) {
        days--;
        rest += per_day;
    }
    DL_TRY(put_days(out, days, err));
    DL_TRY(dl_buf_append_char(out, ' ', err));
    DL_TRY(put_clock(out, rest, per_second, err));
    if (type == DUCKDB_TYPE_TIMESTAMP_TZ) {
        return dl_buf_append_str(out, DL_STR("+00"), err); /* the engine's zone is UTC */
    }
    return DL_OK;
}

/* ---- texts and the like ---- */

static dl_str text_of(const dl_engine_api *api, const dl_value *value)
{
    const duckdb_string_t *text = data_at(api, value, sizeof(*text));
    uint32_t len = text->value.inlined.length;
    return (dl_str){len <= sizeof(text->value.inlined.inlined) ? text->value.inlined.inlined
                                                               : text->value.pointer.ptr,
                    len};
}

static dl_status put_hex(dl_buf *out, dl_str bytes, dl_error *err)
{
    static const char digits[] = "0123456789abcdef";
    DL_TRY(dl_buf_reserve(out, 2 * bytes.len, err));
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];
        out->ptr[out->len++] = digits[byte >> 4];
        out->ptr[out->len++] = digits[byte & 15];
    }
    return DL_OK;
}

/* The first byte says how many bits of the second are padding. */
static dl_status put_bits(dl_buf *out, dl_str bytes, dl_error *err)
{
    for (size_t i = 8 + (bytes.len > 0 ? (size_t)bytes.ptr[0] : 0); i < 8 * bytes.len; i++) {
        int bit = (unsigned char)bytes.ptr[i / 8] >> (7 - i % 8) & 1;
        DL_TRY(dl_buf_append_char(out, bit ? '1' : '0', err));
    }
    return DL_OK;
}

static dl_status put_uuid(dl_buf *out, duckdb_hugeint number, dl_error *err)
{
    uint64_t high = (uint64_t)number.upper ^ (UINT64_C(1) << 63), low = number.lower;
    return dl_buf_printf(
        out, err, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(high >> 32),
        (unsigned long long)(high >> 16 & 0xffff), (unsigned long long)(high & 0xffff),
        (unsigned long long)(low >> 48), (unsigned long long)(low & 0xffffffffffff));
}

/* What is rare is cast by the engine. */
static dl_status put_cast(const dl_engine_api *api, duckdb_value value, dl_buf *out, dl_error *err)
{
    char *text = api->get_varchar(value);
    dl_status status = text == NULL ? dl_error_set(err, DL_E_NOMEM, "sql: out of memory")
                                    : dl_buf_append_str(out, dl_str_of(text), err);
    api->free(text);
    api->destroy_value(&value);
    return status;
}

static dl_str label_of(const dl_engine_api *api, const dl_value *value)
{
    __int128 index = 0;
    if (integer_of(api, value, value->type->internal, &index) && index >= 0 &&
        (uint64_t)index < value->type->array_size) {
        return value->type->names[(size_t)index];
    }
    return DL_STR_NONE;
}

static dl_status put_decimal(const dl_engine_api *api, const dl_value *value, dl_buf *out,
                             dl_error *err)
{
    __int128 number = 0;
    if (!integer_of(api, value, value->type->internal, &number)) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "sql: a decimal of an unknown width");
    }
    return put_signed(out, number, value->type->scale,
                      value->type->array_size == value->type->scale, err);
}

static dl_status put_time(const dl_engine_api *api, const dl_value *value, dl_buf *out,
                          dl_error *err)
{
    switch ((int)value->type->id) {
    case DUCKDB_TYPE_DATE:
        return put_date(out, TAKE(int32_t, value), err);
    case DUCKDB_TYPE_TIME:
        return put_clock(out, TAKE(int64_t, value), MICRO, err);
    case DUCKDB_TYPE_TIME_NS:
        return put_clock(out, TAKE(int64_t, value), NANO, err);
    case DUCKDB_TYPE_TIME_TZ:
        return put_cast(api, api->create_time_tz_value(TAKE(duckdb_time_tz, value)), out, err);
    case DUCKDB_TYPE_INTERVAL:
        return put_cast(api, api->create_interval(TAKE(duckdb_interval, value)), out, err);
    default:
        return put_timestamp(out, TAKE(int64_t, value), value->type->id, err);
    }
}

dl_status dl_value_put_plain(const dl_engine_api *api, const dl_value *value, dl_buf *out,
                             dl_error *err)
{
    __int128 number = 0;
    if (integer_of(api, value, value->type->id, &number)) {
        return put_signed(out, number, 0, false, err);
    }
    switch ((int)value->type->id) {
    case DUCKDB_TYPE_BOOLEAN:
        return dl_buf_append_str(out, TAKE(uint8_t, value) ? DL_STR("true") : DL_STR("false"), err);
    case DUCKDB_TYPE_UHUGEINT:
        return put_wide(out, unsigned_huge(api, value), false, 0, false, err);
    case DUCKDB_TYPE_FLOAT:
        return put_real(out, (double)TAKE(float, value), true, err);
    case DUCKDB_TYPE_DOUBLE:
        return put_real(out, TAKE(double, value), false, err);
    case DUCKDB_TYPE_DECIMAL:
        return put_decimal(api, value, out, err);
    case DUCKDB_TYPE_VARCHAR:
        return dl_buf_append_str(out, text_of(api, value), err);
    case DUCKDB_TYPE_BLOB:
        return put_hex(out, text_of(api, value), err);
    case DUCKDB_TYPE_BIT:
        return put_bits(out, text_of(api, value), err);
    case DUCKDB_TYPE_UUID:
        return put_uuid(out, TAKE(duckdb_hugeint, value), err);
    case DUCKDB_TYPE_ENUM:
        return dl_buf_append_str(out, label_of(api, value), err);
    default:
        return put_time(api, value, out, err);
    }
}

/* ---- numbers ---- */

bool dl_value_number(const dl_engine_api *api, const dl_value *value, double *out_number)
{
    __int128 number = 0;
    if (dl_value_is_null(api, value)) {
        return false;
    }
    if (integer_of(api, value, value->type->id, &number)) {
        *out_number = (double)number;
        return true;
    }
    switch ((int)value->type->id) {
    case DUCKDB_TYPE_UHUGEINT:
        *out_number = (double)unsigned_huge(api, value);
        return true;
    case DUCKDB_TYPE_FLOAT:
        *out_number = (double)TAKE(float, value);
        return !isnan(*out_number);
    case DUCKDB_TYPE_DOUBLE:
        *out_number = TAKE(double, value);
        return !isnan(*out_number);
    case DUCKDB_TYPE_DECIMAL:
        if (!integer_of(api, value, value->type->internal, &number)) {
            return false;
        }
        *out_number = (double)((long double)number / powl(10, value->type->scale));
        return true;
    case DUCKDB_TYPE_DATE:
        *out_number = (double)TAKE(int32_t, value) * DAY_SECONDS;
        return TAKE(int32_t, value) != INT32_MAX && TAKE(int32_t, value) != -INT32_MAX;
    case DUCKDB_TYPE_TIME:
        *out_number = (double)TAKE(int64_t, value) / MICRO;
        return true;
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        *out_number = (double)TAKE(int64_t, value) / (double)units_of(value->type->id);
        return !is_endless(TAKE(int64_t, value));
    default:
        return false;
    }
}
