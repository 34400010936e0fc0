#include "index/internal.h"

#include "json/json.h"

#include <string.h>

enum { NO_COLUMN = -1, KEY_LEN = 8 };

typedef struct row {
    dl_index_attribute attribute;
    int column;
    char key[KEY_LEN + 1];
} row;

/* By tag. */
static const row rows[] = {
    /* clang-format off */
    {{0x00080018, DL_INDEX_INSTANCE, DL_VR('U', 'I')}, NO_COLUMN,             "00080018"},
    {{0x00080020, DL_INDEX_STUDY,    DL_VR('D', 'A')}, DL_INDEX_STUDY_DATE,   "00080020"},
    {{0x00080050, DL_INDEX_STUDY,    DL_VR('S', 'H')}, DL_INDEX_ACCESSION,    "00080050"},
    {{0x00080060, DL_INDEX_SERIES,   DL_VR('C', 'S')}, DL_INDEX_MODALITY,     "00080060"},
    {{0x00080061, DL_INDEX_STUDY,    DL_VR('C', 'S')}, NO_COLUMN,             "00080061"},
    {{0x00080090, DL_INDEX_STUDY,    DL_VR('P', 'N')}, DL_INDEX_REFERRING,    "00080090"},
    {{0x00081030, DL_INDEX_STUDY,    DL_VR('L', 'O')}, DL_INDEX_DESCRIPTION,  "00081030"},
    {{0x00081090, DL_INDEX_SERIES,   DL_VR('L', 'O')}, DL_INDEX_MODEL,        "00081090"},
    {{0x00100010, DL_INDEX_STUDY,    DL_VR('P', 'N')}, DL_INDEX_PATIENT_NAME, "00100010"},
    {{0x00100020, DL_INDEX_STUDY,    DL_VR('L', 'O')}, DL_INDEX_PATIENT_ID,   "00100020"},
    {{0x00100030, DL_INDEX_STUDY,    DL_VR('D', 'A')}, DL_INDEX_BIRTH_DATE,   "00100030"},
    {{0x0020000d, DL_INDEX_STUDY,    DL_VR('U', 'I')}, NO_COLUMN,             "0020000D"},
    {{0x0020000e, DL_INDEX_SERIES,   DL_VR('U', 'I')}, NO_COLUMN,             "0020000E"},
    {{0x00400244, DL_INDEX_SERIES,   DL_VR('D', 'A')}, DL_INDEX_START_DATE,   "00400244"},
    /* clang-format on */
};

const dl_index_attribute *dl_index_attribute_find(uint32_t tag)
{
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        if (rows[i].attribute.tag == tag) {
            return &rows[i].attribute;
        }
    }
    return NULL;
}

size_t dl_index_attribute_count(void)
{
    return DL_COUNT_OF(rows);
}

const dl_index_attribute *dl_index_attribute_at(size_t i)
{
    DL_ASSERT(i < DL_COUNT_OF(rows));
    return &rows[i].attribute;
}

int dl_index_attribute_column(const dl_index_attribute *attribute)
{
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        if (rows[i].attribute.tag == attribute->tag) {
            return rows[i].column;
        }
    }
    return NO_COLUMN;
}

const dl_index_attribute *dl_index_column_attribute(dl_index_level level, int column)
{
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        if (rows[i].attribute.level == level && rows[i].column == column) {
            return &rows[i].attribute;
        }
    }
    return NULL;
}

int dl_index_column_count(dl_index_level level)
{
    return level == DL_INDEX_STUDY    ? DL_INDEX_STUDY_COLUMNS
           : level == DL_INDEX_SERIES ? DL_INDEX_SERIES_COLUMNS
                                      : 0;
}

static bool first_value(dl_str element, dl_str *out_value)
{
    dl_str values = DL_STR_NONE;
    return dl_json_get(element, DL_STR("Value"), &values) && dl_json_at(values, 0, out_value);
}

static bool is_blank(dl_str json_string)
{
    for (size_t i = 1; i + 1 < json_string.len; i++) {
        if (json_string.ptr[i] != ' ') {
            return false;
        }
    }
    return true;
}

static bool has_value(dl_str element)
{
    dl_str value = DL_STR_NONE, key = DL_STR_NONE, part = DL_STR_NONE;
    if (!first_value(element, &value)) {
        return false;
    }
    dl_json_kind kind = dl_json_kind_of(value);
    if (kind == DL_JSON_OBJECT) { /* a name */
        dl_json_iter it = dl_json_iter_of(value);
        while (dl_json_next_member(&it, &key, &part)) {
            if (dl_json_kind_of(part) == DL_JSON_STRING && !is_blank(part)) {
                return true;
            }
        }
        return false;
    }
    return kind == DL_JSON_NUMBER || (kind == DL_JSON_STRING && !is_blank(value));
}

/** A range, or a day that no calendar has, is not indexed: it leaves an older date in its place. */
static bool is_indexable(const dl_index_attribute *attribute, dl_str element)
{
    dl_str value = DL_STR_NONE;
    int64_t date = 0;
    if (attribute->vr != DL_VR('D', 'A')) {
        return true;
    }
    return first_value(element, &value) && dl_json_kind_of(value) == DL_JSON_STRING &&
           dl_index_date_parse(dl_str_slice(value, 1, value.len - 2), &date);
}

void dl_index_elements(dl_str object, dl_index_elements_found *out_found)
{
    *out_found = (dl_index_elements_found){0};
    dl_json_iter it = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE, element = DL_STR_NONE;
    size_t at = 0;
    while (at < DL_COUNT_OF(rows) && dl_json_next_member(&it, &key, &element)) {
        if (key.len != KEY_LEN) {
            continue;
        }
        int order = -1;
        while (at < DL_COUNT_OF(rows) && (order = memcmp(rows[at].key, key.ptr, KEY_LEN)) < 0) {
            at++;
        }
        if (at == DL_COUNT_OF(rows) || order != 0 || rows[at].column == NO_COLUMN ||
            !has_value(element) || !is_indexable(&rows[at].attribute, element)) {
            continue;
        }
        if (rows[at].attribute.level == DL_INDEX_STUDY) {
            out_found->study[rows[at].column] = element;
        } else {
            out_found->series[rows[at].column] = element;
        }
    }
}

static dl_status name_text(dl_str value, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    dl_str texts[DL_COUNT_OF(groups)] = {{"", 0}, {"", 0}, {"", 0}};
    size_t used = 0;
    for (size_t i = 0; i < DL_COUNT_OF(groups); i++) {
        dl_str part = DL_STR_NONE;
        if (dl_json_get(value, dl_str_of(groups[i]), &part) &&
            dl_json_kind_of(part) == DL_JSON_STRING) {
            DL_TRY(dl_json_text(part, arena, &texts[i], err));
            used = texts[i].len > 0 ? i + 1 : used;
        }
    }
    if (used < 2) {
        *out_text = texts[0];
        return DL_OK;
    }
    return dl_arena_printf(arena, out_text, err, "%.*s=%.*s%s%.*s", DL_STR_ARG(texts[0]),
                           DL_STR_ARG(texts[1]), used == 3 ? "=" : "", DL_STR_ARG(texts[2]));
}

dl_status dl_index_element_text(dl_str element, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    dl_str value = DL_STR_NONE;
    dl_json_kind kind = first_value(element, &value) ? dl_json_kind_of(value) : DL_JSON_NONE;
    if (kind == DL_JSON_STRING) {
        return dl_json_text(value, arena, out_text, err);
    }
    if (kind == DL_JSON_OBJECT) {
        return name_text(value, arena, out_text, err);
    }
    *out_text = kind == DL_JSON_NUMBER ? value : (dl_str){"", 0};
    return DL_OK;
}
