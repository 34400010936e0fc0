/*
 * Values of DICOM as values of SQL: parts of names (PN), dates (DA), times (TM, DT), ages (AS).
 * Each takes the text of the value, with or without padding; what the standard does not allow is
 * NULL. Standard: PS3.5 section 6.2.
 */
#include "query/functions/functions.h"

#include "base/mem.h"
#include "json/json.h"

enum {
    SCRATCH_LIMIT_BYTES = 256 * 1024 * 1024, /* of the unescaped names of one chunk of rows */
    PATH_ARENA_BYTES = 64 * 1024,
    OFFSET_MINUTES_LIMIT = 14 * 60,
};

#define DAY_US (INT64_C(86400) * 1000000)

/* ---- digits ---- */

/** Exactly `count` digits at the beginning, taken off. */
static bool take(dl_str *text, size_t count, int64_t *out)
{
    int64_t value = 0;
    if (text->len < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (text->ptr[i] < '0' || text->ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (text->ptr[i] - '0');
    }
    *out = value;
    text->ptr += count;
    text->len -= count;
    return true;
}

static bool take_char(dl_str *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c) {
        return false;
    }
    text->ptr++;
    text->len--;
    return true;
}

/** ".123456": one to six digits. */
static bool take_fraction(dl_str *text, int64_t *out_us)
{
    int64_t unit = 100000, digit = 0, us = 0;
    size_t before = text->len;
    for (; unit > 0 && take(text, 1, &digit); unit /= 10) {
        us += digit * unit;
    }
    *out_us = us;
    return text->len < before;
}

static bool parse_date(dl_str text, int64_t *out_days)
{
    int64_t year = 0, month = 0, day = 0;
    bool old = text.len == 10; /* yyyy.mm.dd, before 1993 */
    return take(&text, 4, &year) && (!old || take_char(&text, '.')) && take(&text, 2, &month) &&
           (!old || take_char(&text, '.')) && take(&text, 2, &day) && text.len == 0 && year >= 1 &&
           dl_clock_days(year, month, day, out_days);
}

/** Two digits more: there or not without colons, after a colon they must be. `*out_more`: they were
 * there. */
static bool take_more(dl_str *text, bool colons, int64_t most, int64_t *out, bool *out_more)
{
    bool colon = colons && take_char(text, ':');
    *out_more = (colon || !colons) && take(text, 2, out);
    return *out_more ? *out <= most : !colon;
}

/** hh[mm[ss[.ffffff]]] off the beginning, or with colons as before 1993. */
static bool take_time(dl_str *text, int64_t *out_us)
{
    int64_t hour = 0, minute = 0, second = 0, us = 0;
    bool more = false;
    if (!take(text, 2, &hour) || hour > 23) {
        return false;
    }
    bool colons = text->len > 0 && text->ptr[0] == ':';
    if (!take_more(text, colons, 59, &minute, &more) ||
        (more && !take_more(text, colons, 60, &second, &more)) || /* 60: a leap second */
        (more && take_char(text, '.') && !take_fraction(text, &us))) {
        return false;
    }
    *out_us = ((hour * 60 + minute) * 60 + second) * 1000000 + us;
    return true;
}

static bool parse_time(dl_str text, int64_t *out_us)
{
    if (!take_time(&text, out_us) || text.len > 0) {
        return false;
    }
    *out_us = *out_us < DAY_US ? *out_us : DAY_US - 1; /* 23:59:60 has no other place */
    return true;
}

/** "&ZZXX" behind the digits. */
static bool take_offset(dl_str *text, int64_t *out_minutes)
{
    int64_t hours = 0, minutes = 0;
    bool minus = take_char(text, '-');
    if ((!minus && !take_char(text, '+')) || !take(text, 2, &hours) || !take(text, 2, &minutes) ||
        minutes > 59 || hours * 60 + minutes > OFFSET_MINUTES_LIMIT) {
        return false;
    }
    *out_minutes = (minus ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

/** With at least its day; without an offset it is UTC, as in the tables. */
static bool parse_datetime(dl_str text, int64_t *out_us)
{
    int64_t days = 0, us = 0, offset = 0;
    if (text.len < 8 || !parse_date(dl_str_slice(text, 0, 8), &days)) {
        return false;
    }
    dl_str rest = dl_str_slice(text, 8, text.len);
    if (rest.len > 0 && rest.ptr[0] != '+' && rest.ptr[0] != '-' && !take_time(&rest, &us)) {
        return false;
    }
    if ((rest.len > 0 && !take_offset(&rest, &offset)) || rest.len > 0) {
        return false;
    }
    *out_us = days * DAY_US + us - offset * 60 * 1000000;
    return true;
}

/** "045Y": days, weeks, months, years. */
static bool parse_age(dl_str text, double *out_years)
{
    static const struct {
        char unit;
        double of_year;
    } units[] = {{'D', 365.25}, {'W', 365.25 / 7}, {'M', 12}, {'Y', 1}};
    int64_t count = 0;
    if (text.len < 2 || text.len > 4 || !take(&text, text.len - 1, &count)) {
        return false;
    }
    for (size_t i = 0; i < DL_COUNT_OF(units); i++) {
        if (text.ptr[0] == units[i].unit) {
            *out_years = (double)count / units[i].of_year;
            return true;
        }
    }
    return false;
}

/* ---- one text in, one number out ---- */

static dl_str unpadded(dl_str text)
{
    return dl_str_trim(dl_str_trim_padding(text));
}

typedef struct column {
    const dl_functions *f;
    dl_function_texts texts;
    size_t count;
    void *out;
} column;

static column open_column(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const dl_functions *f = dl_functions_of(info);
    return (column){f, dl_function_texts_of(f, f->api->data_chunk_get_vector(input, 0)),
                    f->api->data_chunk_get_size(input), f->api->vector_get_data(output)};
}

static void dicom_date(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    column c = open_column(info, input, output);
    duckdb_date *out = c.out;
    for (size_t row = 0; row < c.count; row++) {
        dl_str text = DL_STR_NONE;
        int64_t days = 0;
        if (dl_function_text_at(&c.texts, row, &text) && parse_date(unpadded(text), &days)) {
            out[row].days = (int32_t)days;
        } else {
            dl_function_put_null(c.f, output, row);
        }
    }
}

static void put_times(column *c, duckdb_vector output, bool (*parse)(dl_str, int64_t *))
{
    int64_t *out = c->out; /* of TIME and TIMESTAMP alike */
    for (size_t row = 0; row < c->count; row++) {
        dl_str text = DL_STR_NONE;
        int64_t us = 0;
        if (dl_function_text_at(&c->texts, row, &text) && parse(unpadded(text), &us)) {
            out[row] = us;
        } else {
            dl_function_put_null(c->f, output, row);
        }
    }
}

static void dicom_time(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    column c = open_column(info, input, output);
    put_times(&c, output, parse_time);
}

static void dicom_datetime(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    column c = open_column(info, input, output);
    put_times(&c, output, parse_datetime);
}

static void dicom_age_years(duckdb_function_info info, duckdb_data_chunk input,
                            duckdb_vector output)
{
    column c = open_column(info, input, output);
    double *out = c.out;
    for (size_t row = 0; row < c.count; row++) {
        dl_str text = DL_STR_NONE;
        double years = 0;
        if (dl_function_text_at(&c.texts, row, &text) && parse_age(unpadded(text), &years)) {
            out[row] = years;
        } else {
            dl_function_put_null(c.f, output, row);
        }
    }
}

/* ---- names ---- */

enum { PART_WHOLE = 5 };

typedef struct name_part {
    dl_name_group group;
    size_t part; /* 0: family ... 4: suffix; PART_WHOLE: the group itself */
} name_part;

static dl_status read_part(dl_str text, name_part *out_part, dl_error *err)
{
    static const char *const parts[PART_WHOLE] = {"family", "given", "middle", "prefix", "suffix"};
    name_part found = {.group = DL_NAME_ALPHABETIC, .part = PART_WHOLE};
    dl_str word = dl_str_trim(text);
    bool group = false;
    for (dl_name_group g = DL_NAME_ALPHABETIC; g <= DL_NAME_PHONETIC && !group; g++) {
        dl_str name = dl_name_group_word(g);
        group =
            dl_str_starts_nocase(word, name) && (word.len == name.len || word.ptr[name.len] == '.');
        if (group) {
            found.group = g;
            word = dl_str_slice(word, name.len + (word.len > name.len), word.len);
        }
    }
    for (size_t i = 0; i < PART_WHOLE; i++) {
        if (dl_str_eq_nocase(word, dl_str_of(parts[i]))) {
            found.part = i;
        }
    }
    if (found.part == PART_WHOLE && !(group && word.len == 0 && text.ptr[text.len - 1] != '.')) {
        (void)dl_error_set(err, DL_E_INVALID, "'%.*s' is no part of a name", DL_STR_ARG(text));
        dl_error_hint(err, "family, given, middle, prefix, suffix; alphabetic, ideographic, "
                           "phonetic; ideographic.family");
        return DL_E_INVALID;
    }
    *out_part = found;
    return DL_OK;
}

typedef struct bound_name {
    dl_function_bound head;
    bool constant, null;
    name_part part;
} bound_name;

static dl_status read_bound(const dl_functions *f, duckdb_bind_info info, bound_name *b,
                            dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(PATH_ARENA_BYTES);
    dl_str text = DL_STR_NONE;
    if (b == NULL || arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(dl_function_constant(f, info, 1, arena, &b->constant, &text, err));
    b->null = b->constant && text.ptr == NULL;
    return b->constant && !b->null ? read_part(text, &b->part, err) : DL_OK;
}

static void bind_name(duckdb_bind_info info)
{
    const dl_functions *f = dl_functions_of_bind(info);
    dl_error err = {0};
    bound_name *b = dl_mem_zalloc(1, sizeof *b);
    if (read_bound(f, info, b, &err) != DL_OK) {
        dl_mem_free(b);
        dl_function_refuse(f, info, "dicom_name", &err);
        return;
    }
    dl_function_bind(f, info, &b->head);
}

/** The group out of DICOM JSON: {"Alphabetic":"..."}. */
static bool group_of_json(dl_str object, dl_name_group group, dl_arena **scratch, dl_str *out_text)
{
    dl_str value = DL_STR_NONE;
    if (*scratch == NULL) {
        *scratch = dl_arena_create(SCRATCH_LIMIT_BYTES);
    }
    return *scratch != NULL && dl_json_get(object, dl_name_group_word(group), &value) &&
           dl_json_text(value, *scratch, out_text, NULL) == DL_OK;
}

static bool part_of_name(dl_str name, name_part part, dl_arena **scratch, dl_str *out_text)
{
    dl_str group = DL_STR_NONE, piece = DL_STR_NONE;
    bool json = name.len > 0 && name.ptr[0] == '{';
    if (json ? !group_of_json(name, part.group, scratch, &group)
             : !dl_name_group_of(name, part.group, &group)) {
        return false;
    }
    if (part.part == PART_WHOLE) {
        *out_text = unpadded(group);
        return out_text->len > 0;
    }
    for (size_t i = 0; dl_str_next(&group, '^', &piece); i++) {
        if (i == part.part) {
            *out_text = unpadded(piece);
            return out_text->len > 0;
        }
    }
    return false;
}

static void dicom_name(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    column c = open_column(info, input, output);
    const bound_name *b = c.f->api->scalar_function_get_bind_data(info);
    dl_function_texts words = dl_function_texts_of(c.f, c.f->api->data_chunk_get_vector(input, 1));
    dl_arena *scratch = NULL;
    for (size_t row = 0; row < c.count; row++) {
        dl_str name = DL_STR_NONE, word = DL_STR_NONE, text = DL_STR_NONE;
        name_part part = b->part;
        bool good = !b->null && dl_function_text_at(&c.texts, row, &name);
        if (good && !b->constant) {
            good = dl_function_text_at(&words, row, &word) && read_part(word, &part, NULL) == DL_OK;
        }
        if (good && part_of_name(name, part, &scratch, &text)) {
            dl_function_put_text(c.f, output, row, text);
        } else {
            dl_function_put_null(c.f, output, row);
        }
    }
    dl_arena_destroy(scratch);
}

/* ---- the table ---- */

const dl_function dl_function_dicom_name = {"dicom_name",
                                            {DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_VARCHAR},
                                            DL_FUNCTION_TEXT,
                                            bind_name,
                                            dicom_name};
const dl_function dl_function_dicom_date = {
    "dicom_date", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_DATE, NULL, dicom_date};
const dl_function dl_function_dicom_time = {
    "dicom_time", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_TIME, NULL, dicom_time};
const dl_function dl_function_dicom_datetime = {
    "dicom_datetime", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_TIMESTAMP, NULL, dicom_datetime};
const dl_function dl_function_dicom_age_years = {
    "dicom_age_years", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_DOUBLE, NULL, dicom_age_years};
