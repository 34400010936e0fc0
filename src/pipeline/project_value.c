/* Values: text to typed ones, and the way from an attribute to one of its values. */
#include "pipeline/project_internal.h"

#include "json/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_LIMIT_BYTES = 63 };

static bool digits(dl_str text, size_t start, size_t count, int64_t *out)
{
    int64_t value = 0;
    if (text.len < start + count) {
        return false;
    }
    for (size_t i = start; i < start + count; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

bool dl_project_parse_date(dl_str text, int64_t *out_days)
{
    int64_t year = 0, month = 0, day = 0;
    return text.len == 8 && digits(text, 0, 4, &year) && digits(text, 4, 2, &month) &&
           digits(text, 6, 2, &day) && year >= 1 && dl_clock_days(year, month, day, out_days);
}

/* Civil date from days, by eras of 400 years that begin in March. */
bool dl_project_format_date(int64_t days, char out[8])
{
    static const int64_t first = -719162, last = 2932896; /* 0001-01-01, 9999-12-31 */
    if (days < first || days > last) {
        return false;
    }
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = shifted / 146097, in_era = shifted % 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t shifted_month = (5 * in_year + 2) / 153;
    int64_t day = in_year - (153 * shifted_month + 2) / 5 + 1;
    int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    int64_t all = (year + era * 400 + (month <= 2)) * 10000 + month * 100 + day;
    for (int i = 7; i >= 0; i--) {
        out[i] = (char)('0' + all % 10);
        all /= 10;
    }
    return true;
}

/** "&HHMM" behind a sign, in minutes. */
static bool parse_offset(dl_str text, int64_t *out_minutes)
{
    int64_t hours = 0, minutes = 0;
    if (text.len != 5 || (text.ptr[0] != '+' && text.ptr[0] != '-') ||
        !digits(text, 1, 2, &hours) || !digits(text, 3, 2, &minutes) || hours > 14 ||
        minutes > 59) {
        return false;
    }
    *out_minutes = (text.ptr[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

bool dl_project_parse_time(dl_str text, int64_t *out_time_us)
{
    text = dl_str_trim_padding(text);
    int64_t days = 0, offset = 0, parts[3] = {0}, micro = 0;
    static const int64_t most[3] = {23, 59, 60}; /* 60: a leap second */
    if (!dl_project_parse_date(dl_str_slice(text, 0, 8), &days)) {
        return false;
    }
    size_t at = 8;
    for (size_t i = 0; i < 3 && digits(text, at, 2, &parts[i]); i++, at += 2) {
        if (parts[i] > most[i]) {
            return false;
        }
    }
    if (at == 14 && at < text.len && text.ptr[at] == '.') {
        at++;
        int64_t unit = 100000, digit = 0;
        for (; unit > 0 && digits(text, at, 1, &digit); at++, unit /= 10) {
            micro += digit * unit;
        }
        if (unit == 100000) {
            return false;
        }
    }
    if (at < text.len && !parse_offset(dl_str_slice(text, at, text.len - at), &offset)) {
        return false;
    }
    int64_t seconds = (parts[0] * 60 + parts[1] - offset) * 60 + parts[2];
    *out_time_us = (days * 86400 + seconds) * 1000000 + micro;
    return true;
}

/* The grammar of DS and JSON numbers, so that strtod sees no "inf", "nan" or hexadecimal. */
bool dl_project_parse_double(dl_str text, double *out_value)
{
    char copy[NUMBER_LIMIT_BYTES + 1];
    text = dl_str_trim(dl_str_trim_padding(text));
    bool any_digit = false;
    for (size_t i = 0; i < text.len; i++) {
        any_digit |= text.ptr[i] >= '0' && text.ptr[i] <= '9';
        if (text.ptr[i] == '\0' || strchr("0123456789+-.eE", text.ptr[i]) == NULL) {
            return false;
        }
    }
    if (!any_digit || !dl_str_copy(text, copy, sizeof copy)) {
        return false;
    }
    char *end = NULL;
    double value = strtod(copy, &end);
    if (*end != '\0' || !isfinite(value)) {
        return false;
    }
    *out_value = value;
    return true;
}

bool dl_project_parse_long(dl_str text, int64_t *out_value)
{
    static const double exact =
        9007199254740992.0; /* 2^53: beyond it a double may be another number */
    double value = 0;
    text = dl_str_trim(dl_str_trim_padding(text));
    if (dl_str_to_i64(text, out_value)) {
        return true;
    }
    if (!dl_project_parse_double(text, &value) || value != trunc(value) || fabs(value) > exact) {
        return false;
    }
    *out_value = (int64_t)value;
    return true;
}

bool dl_project_parse_bool(dl_str text, bool *out_value)
{
    static const char *const words[][4] = {{"false", "no", "n", "0"}, {"true", "yes", "y", "1"}};
    text = dl_str_trim(dl_str_trim_padding(text));
    for (size_t truth = 0; truth < 2; truth++) {
        for (size_t i = 0; i < DL_COUNT_OF(words[0]); i++) {
            if (dl_str_eq_nocase(text, dl_str_of(words[truth][i]))) {
                *out_value = truth == 1;
                return true;
            }
        }
    }
    return false;
}

/* Twice for each attribute of each row, so without a branch for each digit. */
bool dl_project_parse_tag(dl_str text, uint32_t *out_tag)
{
    uint32_t tag = 0;
    bool good = true;
    if (text.len != 8) {
        return false;
    }
    for (size_t i = 0; i < 8; i++) {
        unsigned c = (unsigned char)text.ptr[i];
        good &= (c - '0' <= 9) | ((c | 32) - 'a' <= 5);
        tag = tag << 4 | ((c & 15) + 9 * (c >> 6 & 1));
    }
    if (good) {
        *out_tag = tag;
    }
    return good;
}

/* ---- from an attribute to a value ---- */

/** The text of a JSON string; none where it only looks like one. */
static dl_status unescape(dl_str json, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    if (json.len >= 2 && memchr(json.ptr, '\\', json.len) == NULL) {
        *out_text = dl_str_slice(json, 1, json.len - 2);
        return DL_OK;
    }
    dl_status status = dl_json_text(json, arena, out_text, err);
    if (status == DL_E_INVALID) {
        dl_error_clear(err);
        *out_text = DL_STR_NONE;
        return DL_OK;
    }
    return status;
}

/** The text of a JSON value: a string unescaped, null none, anything else as it stands. */
static dl_status text_of(dl_str json, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    dl_json_kind kind = dl_json_kind_of(json);
    if (kind == DL_JSON_STRING) {
        return unescape(json, arena, out_text, err);
    }
    *out_text = kind == DL_JSON_NULL || kind == DL_JSON_NONE ? DL_STR_NONE : json;
    return DL_OK;
}

dl_status dl_project_component(dl_str object, const char *component, dl_arena *arena,
                               dl_str *out_text, dl_error *err)
{
    dl_str value = DL_STR_NONE;
    if (object.len == 0 || object.ptr[0] != '{' ||
        !dl_json_get(object, dl_str_of(component), &value) ||
        dl_json_kind_of(value) != DL_JSON_STRING) {
        *out_text = DL_STR_NONE;
        return DL_OK;
    }
    return text_of(value, arena, out_text, err);
}

/** Value of the attribute `tag` of an item. */
static bool item_value(dl_str item, uint32_t tag, dl_str *out_array)
{
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    uint32_t found = 0;
    bool has = false;
    dl_json_iter members = dl_json_iter_of(item);
    while (dl_json_next_member(&members, &key, &value)) {
        if (dl_project_parse_tag(key, &found) && found == tag) {
            has = dl_json_get(value, DL_STR("Value"), out_array) &&
                  dl_json_kind_of(*out_array) == DL_JSON_ARRAY;
        }
    }
    return has;
}

/** The array of values at the end of a path of several steps. */
static bool nested_values(const dl_project_path *path, const dl_feed_attribute *attribute,
                          dl_str *out_array)
{
    if (attribute == NULL || attribute->value_count == 0) {
        return false;
    }
    dl_str item = attribute->values[0];
    for (size_t step = 1; step < path->count; step++) {
        if (item.len == 0 || item.ptr[0] != '{' || !item_value(item, path->tags[step], out_array)) {
            return false;
        }
        if (step + 1 < path->count && !dl_json_at(*out_array, 0, &item)) {
            return false;
        }
    }
    return true;
}

dl_project_values dl_project_follow_all(const dl_project_path *path,
                                        const dl_feed_attribute *attribute)
{
    dl_project_values values = {.path = path, .attribute = attribute};
    dl_str array = DL_STR_NONE;
    if (path->count == 1) {
        values.there = attribute != NULL && attribute->has_value;
    } else if (nested_values(path, attribute, &array)) {
        values.there = true;
        values.nested = dl_json_iter_of(array);
    }
    return values;
}

dl_status dl_project_values_next(dl_project_values *values, dl_arena *arena, bool *out_more,
                                 dl_str *out_text, dl_error *err)
{
    const dl_project_path *path = values->path;
    dl_str element = DL_STR_NONE;
    bool more = false;
    if (values->there && path->count == 1) {
        more = values->at < values->attribute->value_count;
        element = more ? values->attribute->values[values->at++] : DL_STR_NONE;
    } else if (values->there) {
        more = dl_json_next_element(&values->nested, &element);
    }
    if (!more) {
        *out_more = false;
        return DL_OK;
    }
    if (path->component != NULL) {
        DL_TRY(dl_project_component(element, path->component, arena, out_text, err));
    } else if (path->count == 1) {
        *out_text = element;
    } else {
        DL_TRY(text_of(element, arena, out_text, err));
    }
    *out_more = true;
    return DL_OK;
}

dl_status dl_project_follow(const dl_project_path *path, const dl_feed_attribute *attribute,
                            dl_arena *arena, dl_str *out_text, dl_error *err)
{
    dl_project_values values = dl_project_follow_all(path, attribute);
    if (path->count == 1) {
        values.at = path->index;
    }
    for (size_t i = 0; path->count > 1 && i < path->index; i++) {
        dl_str skipped = DL_STR_NONE;
        if (!dl_json_next_element(&values.nested, &skipped)) {
            break;
        }
    }
    bool more = false;
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_project_values_next(&values, arena, &more, &text, err));
    *out_text = more ? text : DL_STR_NONE;
    return DL_OK;
}
