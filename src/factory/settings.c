#include "factory/settings.h"

#include "base/file.h"
#include "json/json.h"

#include <stdio.h>

enum { CONFIG_LIMIT_BYTES = 64 * 1024, PATH_SIZE = 4096 };

#define DAY_S ((int64_t)86400)
#define SECOND_US ((int64_t)1000000)

static dl_status wrong(const char *member, const char *takes, dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "setting \"%s\" is not %s", member, takes);
}

dl_status dl_factory_url_check(dl_str url, const char *what, dl_error *err)
{
    bool https = dl_str_starts_nocase(url, DL_STR("https://"));
    if (!https && !dl_str_starts_nocase(url, DL_STR("http://"))) {
        return wrong(what, "an address that begins with http:// or https://", err);
    }
    if (url.len > DL_FACTORY_URL_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "setting \"%s\": the address exceeds %d bytes", what,
                            (int)DL_FACTORY_URL_LIMIT);
    }
    for (size_t i = 0; i < url.len; i++) {
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~') {
            return dl_error_set(err, DL_E_INVALID,
                                "setting \"%s\": character %zu of the address is not allowed", what,
                                i + 1);
        }
    }
    dl_str rest = dl_str_slice(url, https ? 8 : 7, url.len);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' && rest.ptr[end] != '#') {
        end++;
    }
    rest.len = end;
    if (rest.len == 0) {
        return wrong(what, "an address with a host", err);
    }
    if (dl_str_find(rest, '@') >= 0) {
        (void)wrong(what, "an address without a user and password", err);
        dl_error_hint(err, "let it name a variable or file that holds the address");
        return DL_E_INVALID;
    }
    return DL_OK;
}

/* ---- [d.]hh:mm:ss ---- */

static bool take_two(dl_str *text, char separator, int64_t most, int64_t *out_value)
{
    uint64_t value = 0;
    dl_str digits = dl_str_slice(*text, 0, 2);
    if (digits.len != 2 || !dl_str_to_u64(digits, &value) || (int64_t)value > most) {
        return false;
    }
    *text = dl_str_slice(*text, 2, text->len);
    if (separator != '\0') {
        if (text->len == 0 || text->ptr[0] != separator) {
            return false;
        }
        *text = dl_str_slice(*text, 1, text->len);
    }
    *out_value = (int64_t)value;
    return true;
}

static bool read_span(dl_str text, int64_t *out_s)
{
    uint64_t days = 0;
    int64_t hours = 0;
    int64_t minutes = 0;
    int64_t seconds = 0;
    ptrdiff_t dot = dl_str_find(text, '.');
    if (dot >= 0) {
        if (!dl_str_to_u64(dl_str_slice(text, 0, (size_t)dot), &days) || days > 366) {
            return false;
        }
        text = dl_str_slice(text, (size_t)dot + 1, text.len);
    }
    if (!take_two(&text, ':', 23, &hours) || !take_two(&text, ':', 59, &minutes) ||
        !take_two(&text, '\0', 59, &seconds) || text.len > 0) {
        return false;
    }
    *out_s = (int64_t)days * DAY_S + hours * 3600 + minutes * 60 + seconds;
    return true;
}

/* ---- members ---- */

static dl_status read_late(dl_str value, dl_arena *arena, dl_factory_settings *out, dl_error *err)
{
    int64_t seconds = 0;
    dl_str text = DL_STR_NONE;
    bool good = dl_json_int_of(value, &seconds);
    if (dl_json_kind_of(value) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(value, arena, &text, err));
        good = read_span(text, &seconds);
    }
    if (!good || seconds < 1 || seconds > DL_FACTORY_LATE_LIMIT_S) {
        return wrong("lateAfter", "a span [d.]hh:mm:ss or seconds, from 1 second to 366 days", err);
    }
    out->late_after_us = seconds * SECOND_US;
    return DL_OK;
}

static dl_status read_history(dl_str value, dl_factory_settings *out, dl_error *err)
{
    int64_t days = 0;
    if (!dl_json_int_of(value, &days) || days < 1 || days > DL_FACTORY_HISTORY_LIMIT_DAYS) {
        return wrong("historyDays", "a whole number from 1 to 36500", err);
    }
    out->history_days = (unsigned)days;
    return DL_OK;
}

static dl_status read_url(dl_str value, dl_arena *arena, dl_factory_settings *out, dl_error *err)
{
    dl_str url = DL_STR_NONE;
    DL_TRY(dl_json_text(value, arena, &url, err));
    DL_TRY(dl_factory_url_check(url, "webhook", err));
    out->webhook = url;
    return DL_OK;
}

/* {"type": "Environment", "name": ...} or {"type": "File", "path": ...} */
static dl_status read_reference(dl_str value, dl_arena *arena, dl_factory_settings *out,
                                dl_error *err)
{
    static const char takes[] =
        "an address, {\"type\": \"Environment\", \"name\": ...} or {\"type\": \"File\", "
        "\"path\": ...}";
    dl_str type = DL_STR_NONE;
    dl_str member = DL_STR_NONE;
    dl_str text = DL_STR_NONE;
    if (!dl_json_get(value, DL_STR("type"), &type) || dl_json_kind_of(type) != DL_JSON_STRING) {
        return wrong("webhook", takes, err);
    }
    DL_TRY(dl_json_text(type, arena, &text, err));
    bool file = dl_str_eq_nocase(text, DL_STR("File"));
    if (!file && !dl_str_eq_nocase(text, DL_STR("Environment"))) {
        return wrong("webhook", takes, err);
    }
    if (!dl_json_get(value, file ? DL_STR("path") : DL_STR("name"), &member) ||
        dl_json_kind_of(member) != DL_JSON_STRING) {
        return wrong("webhook", takes, err);
    }
    DL_TRY(dl_json_text(member, arena, &text, err));
    if (text.len == 0 || text.len >= PATH_SIZE || dl_str_find(text, '\0') >= 0) {
        return wrong("webhook", takes, err);
    }
    out->secret_kind = file ? DL_FACTORY_SECRET_FILE : DL_FACTORY_SECRET_ENVIRONMENT;
    out->secret = text;
    return DL_OK;
}

static dl_status read_webhook(dl_str value, dl_arena *arena, dl_factory_settings *out,
                              dl_error *err)
{
    dl_str url = DL_STR_NONE;
    dl_json_kind kind = dl_json_kind_of(value);
    if (kind == DL_JSON_NULL) {
        return DL_OK;
    }
    if (kind == DL_JSON_STRING) {
        return read_url(value, arena, out, err);
    }
    if (dl_json_get(value, DL_STR("url"), &url) && dl_json_kind_of(url) == DL_JSON_STRING) {
        return read_url(url, arena, out, err);
    }
    return read_reference(value, arena, out, err);
}

static dl_status read_members(dl_str object, dl_arena *arena, dl_factory_settings *out,
                              dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        if (dl_str_eq(key, DL_STR("webhook"))) {
            DL_TRY(read_webhook(value, arena, out, err));
        } else if (dl_str_eq(key, DL_STR("lateAfter"))) {
            DL_TRY(read_late(value, arena, out, err));
        } else if (dl_str_eq(key, DL_STR("historyDays"))) {
            DL_TRY(read_history(value, out, err));
        } else {
            (void)dl_error_set(err, DL_E_INVALID, "there is no setting \"%.*s\"", DL_STR_ARG(key));
            dl_error_hint(err, "there are webhook, lateAfter and historyDays");
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}

static dl_status read_text(dl_str text, dl_arena *arena, dl_factory_settings *out, dl_error *err)
{
    dl_str plain = DL_STR_NONE;
    DL_TRY(dl_json_relax(text, arena, &plain, err));
    DL_TRY(dl_json_check(plain, err));
    if (dl_json_kind_of(plain) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_INVALID, "settings are not a JSON object");
    }
    return read_members(plain, arena, out, err);
}

dl_status dl_factory_settings_load(const char *home, dl_arena *arena, dl_factory_settings *out,
                                   dl_error *err)
{
    dl_factory_settings settings = {.webhook = DL_STR(""), .history_days = 45};
    char path[PATH_SIZE];
    int n = snprintf(path, sizeof path, "%s/config/factory/settings.json", home);
    if (n < 0 || (size_t)n >= sizeof path) {
        return dl_error_set(err, DL_E_INVALID, "the path of the home is too long");
    }
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, CONFIG_LIMIT_BYTES);
    dl_status status = dl_file_read_all(path, &buf, err);
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        *out = settings;
        return DL_OK;
    }
    DL_TRY(status);
    status = read_text(dl_buf_str(&buf), arena, &settings, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "reading %s", path);
    }
    *out = settings;
    return DL_OK;
}
