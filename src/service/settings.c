#include "service/service.h"

#include "base/file.h"
#include "json/json.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef enum setting_kind {
    SWITCH,
    HOME_SWITCH,
    WORD,
    TEXT,
    ADDRESS,
    ORIGINS,
    SECONDS,
    COUNT,
    BYTES
} setting_kind;

typedef struct setting {
    const char *name;
    setting_kind kind;
    size_t offset;
    size_t size_bytes; /* of a text field */
    int64_t least, most;
    const char *initial; /* as dl_service_settings_set takes it */
    const char *text;
} setting;

#define FIELD(member) offsetof(dl_service_settings, member)
#define ROOM(member) sizeof(((dl_service_settings *)NULL)->member)

/* clang-format off */
static const setting settings_table[] = {
    {"service.workspace",    WORD,    FIELD(workspace),        ROOM(workspace), 0, 0, "",
     "workspace in file paths, fixed at the first start of a home; none: local"},
    {"service.name",         WORD,    FIELD(name),             ROOM(name), 0, 0, "",
     "service in file paths, fixed at the first start of a home; none: dicomlake"},
    {"service.partitions",   HOME_SWITCH, FIELD(partitions),   0, 0, 0, "",
     "on: studies live in /v2/partitions/NAME/...; none: as the home was, at first off"},
    {"store.zero_preamble",  SWITCH,  FIELD(zero_preamble),    0, 0, 0, "on",
     "zero a 128-byte preamble that begins like a program or a TIFF"},
    {"store.put_dedup",      SWITCH,  FIELD(put_dedup),        0, 0, 0, "off",
     "a PUT of the bytes that are stored already makes no new version"},
    {"store.deletion_delay", SECONDS, FIELD(deletion_delay_s), 0, 0, 3650LL * 86400, "259200",
     "seconds until the file of a deleted instance is removed"},
    {"http.body_limit",      BYTES,   FIELD(body_limit_bytes), 0, 1024, INT64_MAX / 2, "4294967296",
     "largest request body and part in bytes; beyond: 413"},
    {"http.lenient_accept",  SWITCH,  FIELD(lenient_accept),   0, 0, 0, "off",
     "Accept: application/json also gets DICOM JSON"},
    {"http.quoted_etag",     SWITCH,  FIELD(quoted_etag),      0, 0, 0, "off",
     "send ETags in quotes, as RFC 9110 wants"},
    {"http.idle_timeout",    COUNT,   FIELD(idle_timeout_s),   0, 1, 86400, "60",
     "seconds without a byte until a connection is closed"},
    {"http.connections",     COUNT,   FIELD(connection_limit), 0, 1, 100000, "1024",
     "connections at a time"},
    {"http.public_url",      ADDRESS, FIELD(public_url),       ROOM(public_url), 0, 0, "",
     "how URLs in answers begin behind a proxy, such as https://x.example/dicom"},
    {"http.hosts",           TEXT,    FIELD(hosts),            ROOM(hosts), 0, 0, "",
     "names besides loopback ones that the service answers to, with commas, or *"},
    {"cors.origins",         ORIGINS, FIELD(cors_origins),     ROOM(cors_origins), 0, 0, "",
     "origins whose pages may call (https://viewer.example), with commas, or *"},
    {"cors.headers",         TEXT,    FIELD(cors_headers),     ROOM(cors_headers), 0, 0, "*",
     "request headers that such pages may send"},
    {"cors.methods",         TEXT,    FIELD(cors_methods),     ROOM(cors_methods), 0, 0, "GET, HEAD, POST, PUT, DELETE, OPTIONS",
     "methods that such pages may use"},
    {"cors.max_age",         COUNT,   FIELD(cors_max_age_s),   0, 0, 86400, "600",
     "seconds a browser may keep the answer to a preflight"},
    {"cors.credentials",     SWITCH,  FIELD(cors_credentials), 0, 0, 0, "off",
     "let such pages send credentials; not together with cors.origins=*"},
    {"factory.schedule",     SWITCH,  FIELD(factory_schedule), 0, 0, 0, "on",
     "triggers fire and queued runs are done here; off: by trigger daemon alone"},
    {"factory.workers",      COUNT,   FIELD(factory_workers),  0, 1, 64, "4",
     "runs at a time over all triggers"},
    {"lakehouse.statements", COUNT,   FIELD(lakehouse_statements), 0, 1, 64, "4",
     "SQL statements over HTTP at a time; further ones wait up to 5 seconds"},
    {"lakehouse.seconds",    COUNT,   FIELD(lakehouse_seconds), 0, 1, 86400, "600",
     "most seconds of such a statement, to its last row"},
    {"lakehouse.memory",     BYTES,   FIELD(lakehouse_memory_bytes), 0, 67108864, INT64_MAX / 2, "1073741824",
     "memory of such a statement, in bytes"},
    {"lakehouse.rows",       COUNT,   FIELD(lakehouse_rows), 0, 1, 2000000000, "100000000",
     "most rows of such a statement"},
};
/* clang-format on */

void dl_service_settings_init(dl_service_settings *settings)
{
    *settings = (dl_service_settings){0};
    for (size_t i = 0; i < DL_COUNT_OF(settings_table); i++) {
        const setting *s = &settings_table[i];
        dl_status status =
            dl_service_settings_set(settings, dl_str_of(s->name), dl_str_of(s->initial), NULL);
        DL_ASSERT(status == DL_OK);
    }
}

static bool is_word(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool ok =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        if (!ok) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_header_text(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

/* http or https, a host, perhaps a path; nothing that would not fit in front of "/v2/...". */
static bool is_address(dl_str text)
{
    static const char odd[] = " \"'<>\\^`{|}?#";
    ptrdiff_t scheme = dl_str_find_str(text, DL_STR("://"));
    if (scheme < 0 || dl_str_ends(text, DL_STR("/")) ||
        !(dl_str_starts(text, DL_STR("http://")) || dl_str_starts(text, DL_STR("https://")))) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (strchr(odd, text.ptr[i]) != NULL) {
            return false;
        }
    }
    return text.ptr[scheme + 3] != '/'; /* there is one: the text does not end in "/" */
}

/* Small letters, digits and `marks`. */
static bool is_small(dl_str text, const char *marks)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && strchr(marks, c) == NULL) {
            return false;
        }
    }
    return true;
}

/* ":8080", and not the scheme's own. */
static bool is_port(dl_str text, dl_str scheme)
{
    uint64_t port = 0;
    bool is_number = text.len > 1 && text.ptr[0] == ':' && text.ptr[1] > '0' &&
                     text.ptr[1] <= '9' && dl_str_to_u64(dl_str_slice(text, 1, text.len), &port) &&
                     port <= 65535;
    return is_number && !(port == 80 && dl_str_eq(scheme, DL_STR("http"))) &&
           !(port == 443 && dl_str_eq(scheme, DL_STR("https")));
}

/* What browsers send as Origin (Fetch standard): scheme://host[:port] in small letters, without the
 * scheme's own port, a path or a slash; or "null". Anything else would never match. */
static bool is_origin(dl_str text)
{
    ptrdiff_t colon = dl_str_find_str(text, DL_STR("://"));
    if (dl_str_eq(text, DL_STR("*")) || dl_str_eq(text, DL_STR("null"))) {
        return true;
    }
    if (colon <= 0) {
        return false;
    }
    dl_str scheme = dl_str_slice(text, 0, (size_t)colon);
    dl_str host = dl_str_slice(text, (size_t)colon + 3, text.len);
    ptrdiff_t bracket = dl_str_find(host, ']');
    ptrdiff_t end = bracket >= 0 ? bracket + 1 : dl_str_find(host, ':');
    dl_str port = end < 0 ? DL_STR("") : dl_str_slice(host, (size_t)end, host.len);
    return is_small(scheme, "+-.") && host.len > port.len && is_small(host, "-._:[]") &&
           (port.len == 0 || is_port(port, scheme));
}

static bool parse_switch(dl_str value, bool *out_on)
{
    static const char *const on[] = {"on", "true", "yes", "1"};
    static const char *const off[] = {"off", "false", "no", "0"};
    for (size_t i = 0; i < DL_COUNT_OF(on); i++) {
        if (dl_str_eq_nocase(value, dl_str_of(on[i]))) {
            *out_on = true;
            return true;
        }
        if (dl_str_eq_nocase(value, dl_str_of(off[i]))) {
            *out_on = false;
            return true;
        }
    }
    return false;
}

static dl_status refuse(const setting *s, dl_str value, const char *takes, dl_error *err)
{
    dl_error_set(err, DL_E_INVALID, "setting %s: '%.*s' is not %s", s->name, DL_STR_ARG(value),
                 takes);
    dl_error_hint(err, "see 'dicomlake serve --help' for all settings");
    return DL_E_INVALID;
}

static dl_status set_home_switch(const setting *s, char *field, dl_str value, dl_error *err)
{
    int mode = -1; /* as the home has it */
    bool on = false;
    if (value.len > 0) {
        if (!parse_switch(value, &on)) {
            return refuse(s, value, "on or off", err);
        }
        mode = on;
    }
    memcpy(field, &mode, sizeof mode);
    return DL_OK;
}

static dl_status set_number(const setting *s, char *field, dl_str value, dl_error *err)
{
    int64_t number = 0;
    if (!dl_str_to_i64(value, &number) || number < s->least || number > s->most) {
        char takes[80];
        (void)snprintf(takes, sizeof takes, "a whole number from %" PRId64 " to %" PRId64, s->least,
                       s->most);
        return refuse(s, value, takes, err);
    }
    if (s->kind == COUNT) {
        unsigned count = (unsigned)number;
        memcpy(field, &count, sizeof count);
    } else {
        memcpy(field, &number, sizeof number);
    }
    return DL_OK;
}

static dl_status check_origins(const setting *s, dl_str value, dl_error *err)
{
    dl_str rest = value;
    dl_str one = DL_STR_NONE;
    while (rest.len > 0 && dl_str_next(&rest, ',', &one)) {
        one = dl_str_trim(one);
        if (one.len > 0 && !is_origin(one)) {
            return refuse(s, one,
                          "an origin as browsers send it, such as https://viewer.example or "
                          "http://localhost:3000 (small letters, no path, no slash at the end, no "
                          "default port), or *",
                          err);
        }
    }
    return DL_OK;
}

static dl_status set_text(const setting *s, char *field, dl_str value, dl_error *err)
{
    bool fits = value.len < s->size_bytes;
    if (s->kind == WORD && value.len > 0 && (!is_word(value) || !fits)) {
        return refuse(s, value, "1 to 63 letters, digits and hyphens", err);
    }
    if (s->kind == ADDRESS && value.len > 0 && !is_address(value)) {
        return refuse(s, value, "an address such as https://images.example/dicom", err);
    }
    if (!is_header_text(value) || !fits) {
        return refuse(s, value, "printable text of the length allowed", err);
    }
    if (s->kind == ORIGINS) {
        DL_TRY(check_origins(s, value, err));
    }
    return dl_str_copy(value, field, s->size_bytes) ? DL_OK : refuse(s, value, "text", err);
}

dl_status dl_service_settings_set(dl_service_settings *settings, dl_str name, dl_str value,
                                  dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(settings_table); i++) {
        const setting *s = &settings_table[i];
        if (!dl_str_eq(name, dl_str_of(s->name))) {
            continue;
        }
        char *field = (char *)settings + s->offset;
        if (s->kind == HOME_SWITCH) {
            return set_home_switch(s, field, value, err);
        }
        if (s->kind == SWITCH) {
            bool on = false;
            if (!parse_switch(value, &on)) {
                return refuse(s, value, "on or off", err);
            }
            memcpy(field, &on, sizeof on);
            return DL_OK;
        }
        bool is_text =
            s->kind == WORD || s->kind == TEXT || s->kind == ADDRESS || s->kind == ORIGINS;
        return is_text ? set_text(s, field, value, err) : set_number(s, field, value, err);
    }
    dl_error_set(err, DL_E_INVALID, "there is no setting '%.*s'", DL_STR_ARG(name));
    dl_error_hint(err, "see 'dicomlake serve --help' for all settings");
    return DL_E_INVALID;
}

static dl_status load_members(dl_service_settings *settings, dl_str object, dl_arena *arena,
                              dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        dl_str text = value;
        if (dl_json_kind_of(value) == DL_JSON_STRING) {
            DL_TRY(dl_json_text(value, arena, &text, err));
        }
        DL_TRY(dl_service_settings_set(settings, key, text, err));
    }
    return DL_OK;
}

dl_status dl_service_settings_load(dl_service_settings *settings, const char *home, dl_error *err)
{
    enum { CONFIG_LIMIT_BYTES = 1 << 20 };
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/config/service.json", home);
    if (n < 0 || (size_t)n >= sizeof path) {
        return dl_error_set(err, DL_E_INVALID, "the path of the home is too long");
    }
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, CONFIG_LIMIT_BYTES);
    dl_status status = dl_file_read_all(path, &buf, err);
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        return DL_OK;
    }
    DL_TRY(status);
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)4 * CONFIG_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to read %s", path);
    }
    dl_str text = DL_STR_NONE;
    status = dl_json_relax(dl_buf_str(&buf), arena, &text, err);
    if (status == DL_OK) {
        status = dl_json_check(text, err);
    }
    if (status == DL_OK && dl_json_kind_of(text) != DL_JSON_OBJECT) {
        status = dl_error_set(err, DL_E_INVALID, "settings are not a JSON object");
    }
    if (status == DL_OK) {
        status = load_members(settings, text, arena, err);
    }
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "reading %s", path);
}

size_t dl_service_settings_count(void)
{
    return DL_COUNT_OF(settings_table);
}

void dl_service_settings_describe(size_t i, const char **out_name, const char **out_default,
                                  const char **out_text)
{
    DL_ASSERT(i < DL_COUNT_OF(settings_table));
    *out_name = settings_table[i].name;
    *out_default = settings_table[i].initial;
    *out_text = settings_table[i].text;
}
