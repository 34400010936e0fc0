/* Names: of files in the log, of partition folders, of data files; keys of the store. */
#include "delta/internal.h"

#include "base/random.h"

#include <stdio.h>
#include <string.h>

enum {
    VERSION_DIGITS = 20, /* %020d of a version */
    PART_DIGITS = 10,    /* %010d of a checkpoint's part */
};

/* ---- the names of _delta_log ---- */

/* Exactly `digits` of them at the front of `*rest`. */
static bool take_number(dl_str *rest, size_t digits, int64_t *out)
{
    uint64_t value = 0;
    dl_str text = dl_str_slice(*rest, 0, digits);
    if (text.len != digits || !dl_str_to_u64(text, &value) || value > INT64_MAX) {
        return false;
    }
    *rest = dl_str_slice(*rest, digits, rest->len);
    *out = (int64_t)value;
    return true;
}

static bool take_text(dl_str *rest, dl_str text)
{
    if (!dl_str_starts(*rest, text)) {
        return false;
    }
    *rest = dl_str_slice(*rest, text.len, rest->len);
    return true;
}

/* "<part>.<parts>.parquet" */
static bool parse_part(dl_str rest, dl_delta_log_name *out)
{
    int64_t part = 0, parts = 0;
    if (!take_number(&rest, PART_DIGITS, &part) || !take_text(&rest, DL_STR(".")) ||
        !take_number(&rest, PART_DIGITS, &parts) || !dl_str_eq(rest, DL_STR(".parquet")) ||
        part < 1 || part > parts || parts > INT32_MAX) {
        return false;
    }
    out->part = (int)part;
    out->parts = (int)parts;
    return true;
}

/* "<uuid>.parquet", "<uuid>.json": any one word will do for the UUID */
static bool is_unique_name(dl_str rest)
{
    dl_str word = DL_STR_NONE;
    return dl_str_next(&rest, '.', &word) && word.len > 0 &&
           (dl_str_eq(rest, DL_STR("parquet")) || dl_str_eq(rest, DL_STR("json")));
}

static dl_delta_log_kind parse_rest(dl_str rest, dl_delta_log_name *name)
{
    if (dl_str_eq(rest, DL_STR("json"))) {
        return DL_DELTA_LOG_COMMIT;
    }
    if (dl_str_eq(rest, DL_STR("crc"))) {
        return DL_DELTA_LOG_CRC;
    }
    if (dl_str_eq(rest, DL_STR("checkpoint.parquet"))) {
        return DL_DELTA_LOG_CHECKPOINT;
    }
    if (take_text(&rest, DL_STR("checkpoint."))) {
        if (parse_part(rest, name)) {
            return DL_DELTA_LOG_CHECKPOINT_PART;
        }
        return is_unique_name(rest) ? DL_DELTA_LOG_CHECKPOINT_V2 : DL_DELTA_LOG_OTHER;
    }
    if (take_number(&rest, VERSION_DIGITS, &name->end_version) &&
        dl_str_eq(rest, DL_STR(".compacted.json")) && name->end_version > name->version) {
        return DL_DELTA_LOG_COMPACTED;
    }
    return DL_DELTA_LOG_OTHER;
}

dl_delta_log_name dl_delta_log_name_parse(dl_str name)
{
    dl_delta_log_name parsed = {.kind = DL_DELTA_LOG_OTHER, .name = name};
    dl_str rest = name;
    if (take_number(&rest, VERSION_DIGITS, &parsed.version) && take_text(&rest, DL_STR("."))) {
        parsed.kind = parse_rest(rest, &parsed);
    }
    if (parsed.kind == DL_DELTA_LOG_OTHER) {
        parsed = (dl_delta_log_name){.kind = DL_DELTA_LOG_OTHER, .name = name};
    } else if (parsed.kind != DL_DELTA_LOG_COMPACTED) {
        parsed.end_version = parsed.version;
    }
    return parsed;
}

dl_status dl_delta_log_key(const dl_delta_table *table, int64_t version, const char *suffix,
                           dl_arena *arena, dl_str *out_key, dl_error *err)
{
    dl_str root = table->open.root;
    return dl_arena_printf(arena, out_key, err, "%.*s%s_delta_log/%020lld%s", DL_STR_ARG(root),
                           root.len > 0 ? "/" : "", (long long)version, suffix);
}

/* ---- keys ---- */

/* "file:", "s3:", "abfss:" in front of a '/'; 0: the path is relative. */
static size_t scheme_length(dl_str path)
{
    size_t i = 0;
    while (i < path.len) {
        char c = path.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = (c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-';
        if (!letter && (i == 0 || !later)) {
            break;
        }
        i++;
    }
    bool scheme = i > 0 && i + 1 < path.len && path.ptr[i] == ':' && path.ptr[i + 1] == '/';
    return scheme ? i + 1 : 0;
}

bool dl_delta_path_is_absolute(dl_str path)
{
    return scheme_length(path) > 0 || dl_str_starts(path, DL_STR("/"));
}

/* The path on this machine of "file:/a", "file:///a", "/a"; ptr NULL: it is elsewhere. */
static dl_str local_path(dl_str path)
{
    size_t scheme = scheme_length(path);
    if (scheme > 0 && !dl_str_eq_nocase(dl_str_slice(path, 0, scheme), DL_STR("file:"))) {
        return DL_STR_NONE;
    }
    path = dl_str_slice(path, scheme, path.len);
    return dl_str_starts(path, DL_STR("///")) ? dl_str_slice(path, 2, path.len) : path;
}

/* Where the store's own root is, without a '/' at the end. */
static dl_status store_root(const dl_delta_table *table, dl_arena *arena, dl_str *out_root,
                            dl_error *err)
{
    DL_TRY(dl_store_location(table->open.store, DL_STR("x"), arena, out_root, err));
    DL_ASSERT(out_root->len >= 2);
    out_root->len -= 2;
    return DL_OK;
}

static dl_status absolute_key(const dl_delta_table *table, dl_str path, dl_arena *arena,
                              dl_str *out_key, dl_error *err)
{
    dl_str root = DL_STR_NONE, here = local_path(path);
    DL_TRY(store_root(table, arena, &root, err));
    if (here.ptr == NULL || !dl_str_starts(here, root) || here.len <= root.len + 1 ||
        here.ptr[root.len] != '/') {
        dl_error_set(err, DL_E_UNSUPPORTED, "the file %.*s is not in the table's store",
                     DL_STR_ARG(path));
        dl_error_hint(err, "a shallow clone is read where the store holds its source too");
        return DL_E_UNSUPPORTED;
    }
    *out_key = dl_str_slice(here, root.len + 1, here.len);
    return DL_OK;
}

dl_status dl_delta_key(const dl_delta_table *table, dl_str relative, dl_arena *arena,
                       dl_str *out_key, dl_error *err)
{
    if (dl_delta_path_is_absolute(relative)) {
        return absolute_key(table, relative, arena, out_key, err);
    }
    dl_str root = table->open.root;
    return dl_arena_printf(arena, out_key, err, "%.*s%s%.*s", DL_STR_ARG(root),
                           root.len > 0 ? "/" : "", DL_STR_ARG(relative));
}

dl_status dl_delta_path_relative(const dl_delta_table *table, dl_str path, dl_arena *arena,
                                 dl_str *out_path, dl_error *err)
{
    dl_str key = DL_STR_NONE, root = table->open.root;
    *out_path = path;
    if (!dl_delta_path_is_absolute(path)) {
        return DL_OK;
    }
    dl_status status = absolute_key(table, path, arena, &key, err);
    if (status == DL_E_UNSUPPORTED) { /* elsewhere: the path stays absolute */
        dl_error_clear(err);
        return DL_OK;
    }
    DL_TRY(status);
    if (root.len == 0) {
        *out_path = key;
    } else if (dl_str_starts(key, root) && key.len > root.len + 1 && key.ptr[root.len] == '/') {
        *out_path = dl_str_slice(key, root.len + 1, key.len);
    }
    return DL_OK;
}

/* ---- encoding ---- */

static const char hex_digits[] = "0123456789ABCDEF";

static char *put_escaped(char *p, char c)
{
    *p++ = '%';
    *p++ = hex_digits[(unsigned char)c >> 4];
    *p++ = hex_digits[(unsigned char)c & 15];
    return p;
}

/* What a path of a URI may not hold; bytes beyond ASCII stay (as in IRIs). */
static bool uri_escapes(char c, bool in_scheme)
{
    unsigned char u = (unsigned char)c;
    return u <= 0x20 || u == 0x7f || (c == ':' && !in_scheme) || strchr("\"#%<>?[\\]^`{|}", c);
}

dl_status dl_delta_path_encode(dl_str path, dl_arena *arena, dl_str *out_encoded, dl_error *err)
{
    char *text = dl_arena_alloc(arena, path.len + 1, 3);
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t scheme = scheme_length(path);
    char *p = text;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (uri_escapes(c, i < scheme)) {
            p = put_escaped(p, c);
        } else {
            *p++ = c;
        }
    }
    *out_encoded = (dl_str){text, (size_t)(p - text)};
    return DL_OK;
}

dl_status dl_delta_path_decode(dl_str encoded, dl_arena *arena, dl_str *out_path, dl_error *err)
{
    char *text = dl_arena_alloc(arena, encoded.len + 1, 1);
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t len = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        uint64_t byte = (unsigned char)encoded.ptr[i];
        if (byte == '%') {
            dl_str digits = dl_str_slice(encoded, i + 1, 2);
            if (digits.len != 2 || !dl_str_hex_to_u64(digits, &byte)) {
                return dl_error_set(err, DL_E_CORRUPT,
                                    "the path %.*s has a '%%' without two hex "
                                    "digits",
                                    DL_STR_ARG(encoded));
            }
            i += 2;
        }
        if (byte == 0) {
            return dl_error_set(err, DL_E_CORRUPT, "a path holds a NUL byte");
        }
        text[len++] = (char)(unsigned char)byte;
    }
    *out_path = (dl_str){text, len};
    return DL_OK;
}

/* ---- partition folders ---- */

static bool hive_escapes(char c)
{
    unsigned char u = (unsigned char)c;
    return u < 0x20 || u == 0x7f || strchr("\"#%'*/:=?\\{[]^", c) != NULL;
}

static dl_status append_hive(dl_buf *out, dl_str text, dl_error *err)
{
    DL_TRY(dl_buf_reserve(out, text.len * 3, err));
    char *p = out->ptr + out->len;
    for (size_t i = 0; i < text.len; i++) {
        if (hive_escapes(text.ptr[i])) {
            p = put_escaped(p, text.ptr[i]);
        } else {
            *p++ = text.ptr[i];
        }
    }
    out->len = (size_t)(p - out->ptr);
    return DL_OK;
}

static dl_status append_level(dl_buf *out, const dl_delta_pair *pair, dl_error *err)
{
    if (out->len > 0) {
        DL_TRY(dl_buf_append_char(out, '/', err));
    }
    DL_TRY(append_hive(out, pair->key, err));
    DL_TRY(dl_buf_append_char(out, '=', err));
    if (pair->value.len == 0) {
        return dl_buf_append_str(out, DL_STR("__HIVE_DEFAULT_PARTITION__"), err);
    }
    return append_hive(out, pair->value, err);
}

dl_status dl_delta_partition_folder(const dl_delta_pairs *values, dl_arena *arena,
                                    dl_str *out_folder, dl_error *err)
{
    DL_AUTO_BUF folder = {0};
    dl_buf_init(&folder, (size_t)DL_STORE_KEY_LIMIT_BYTES * 3);
    for (size_t i = 0; i < values->count; i++) {
        DL_TRY(append_level(&folder, &values->items[i], err));
    }
    return dl_arena_copy(arena, dl_buf_str(&folder), out_folder, err);
}

/* ---- UUIDs ---- */

void dl_delta_uuid_format(const uint8_t bytes[DL_DELTA_UUID_BYTES], char out[DL_DELTA_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < DL_DELTA_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }
        *p++ = digits[bytes[i] >> 4];
        *p++ = digits[bytes[i] & 15];
    }
    *p = '\0';
}

void dl_delta_uuid_bytes(uint8_t out[DL_DELTA_UUID_BYTES])
{
    dl_random_bytes(out, DL_DELTA_UUID_BYTES);
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x40); /* version 4 */
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80); /* RFC 9562 */
}

void dl_delta_uuid(char out[DL_DELTA_UUID_SIZE])
{
    uint8_t bytes[DL_DELTA_UUID_BYTES];
    dl_delta_uuid_bytes(bytes);
    dl_delta_uuid_format(bytes, out);
}
