#include "cli/value.h"

#include "base/buf.h"
#include "json/json.h"

enum { SHOWN_LIMIT_BYTES = 4096 };

static bool values_of(dl_str data_set, const char *tag, dl_str *out_element, dl_str *out_values)
{
    return dl_json_get_nocase(data_set, dl_str_of(tag), out_element) &&
           dl_json_get(*out_element, DL_STR("Value"), out_values);
}

bool dl_cli_value_first(dl_str data_set, const char *tag, dl_str *out_value)
{
    dl_str element = DL_STR_NONE;
    dl_str values = DL_STR_NONE;
    return values_of(data_set, tag, &element, &values) && dl_json_at(values, 0, out_value);
}

dl_status dl_cli_value_text(dl_str data_set, const char *tag, dl_arena *arena, dl_str *out_text,
                            dl_error *err)
{
    dl_str raw = DL_STR_NONE;
    if (!dl_cli_value_first(data_set, tag, &raw) || dl_json_kind_of(raw) != DL_JSON_STRING) {
        *out_text = DL_STR_NONE;
        return DL_OK;
    }
    return dl_json_text(raw, arena, out_text, err);
}

bool dl_cli_value_number(dl_str data_set, const char *tag, int64_t *out_number)
{
    dl_str raw = DL_STR_NONE;
    return dl_cli_value_first(data_set, tag, &raw) && dl_json_int_of(raw, out_number);
}

/** A name is an object of up to three spellings: the first that is there. */
static bool name_of(dl_str value, dl_str *out_raw)
{
    static const dl_str spellings[] = {{"Alphabetic", 10}, {"Ideographic", 11}, {"Phonetic", 8}};
    for (size_t i = 0; i < DL_COUNT_OF(spellings); i++) {
        if (dl_json_get(value, spellings[i], out_raw)) {
            return true;
        }
    }
    return false;
}

static dl_status show_one(dl_str value, dl_arena *arena, dl_buf *out, dl_error *err)
{
    dl_str raw = value;
    dl_str text = DL_STR_NONE;
    if (dl_json_kind_of(value) == DL_JSON_OBJECT && !name_of(value, &raw)) {
        return DL_OK;
    }
    if (dl_json_kind_of(raw) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(raw, arena, &text, err));
    } else if (dl_json_kind_of(raw) != DL_JSON_NULL) {
        text = raw;
    }
    size_t room = out->limit_bytes - out->len;
    return dl_buf_append_str(out, dl_str_slice(text, 0, room), err);
}

static dl_status show_count(dl_str values, dl_buf *out, dl_error *err)
{
    size_t count = 0;
    dl_str value = DL_STR_NONE;
    dl_json_iter items = dl_json_iter_of(values);
    while (dl_json_next_element(&items, &value)) {
        count++;
    }
    return dl_buf_printf(out, err, "(%zu %s)", count, count == 1 ? "item" : "items");
}

dl_status dl_cli_value_show(dl_str data_set, const char *tag, dl_arena *arena, dl_str *out_text,
                            dl_error *err)
{
    dl_str element = DL_STR_NONE;
    dl_str values = DL_STR_NONE;
    dl_str vr = DL_STR_NONE;
    DL_AUTO_BUF shown = {0};
    dl_buf_init(&shown, SHOWN_LIMIT_BYTES);
    if (!values_of(data_set, tag, &element, &values)) {
        *out_text = DL_STR("");
        return DL_OK;
    }
    if (dl_json_get(element, DL_STR("vr"), &vr) && dl_str_eq(vr, DL_STR("\"SQ\""))) {
        DL_TRY(show_count(values, &shown, err));
        return dl_arena_copy(arena, dl_buf_str(&shown), out_text, err);
    }
    dl_str value = DL_STR_NONE;
    dl_json_iter items = dl_json_iter_of(values);
    for (bool first = true; dl_json_next_element(&items, &value); first = false) {
        if (!first && shown.len < shown.limit_bytes) {
            DL_TRY(dl_buf_append_char(&shown, '\\', err));
        }
        DL_TRY(show_one(value, arena, &shown, err));
    }
    return dl_arena_copy(arena, dl_buf_str(&shown), out_text, err);
}
