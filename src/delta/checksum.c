/* The checksum that `_last_checkpoint` carries: MD5 over a canonical text of its JSON. */
#include "delta/maintain.h"

#include "json/json.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKSUM_LIMIT_BYTES = 16 * 1024 * 1024, MD5_BYTES = 16 };

typedef struct leaf_pair {
    dl_str path, value;
} leaf_pair;

typedef struct level {
    dl_json_iter iter;
    bool array;
    size_t index;      /* of the next element */
    size_t path_bytes; /* of the path so far, this level's own name not included */
} level;

typedef struct canon {
    level levels[DL_JSON_DEPTH_LIMIT + 1];
    size_t depth;
    dl_buf path;
    dl_buf pairs; /* leaf_pair each */
    dl_arena *arena;
} canon;

static void canon_clear(canon *c)
{
    dl_buf_clear(&c->path);
    dl_buf_clear(&c->pairs);
    dl_arena_destroy(c->arena);
}

static dl_status put_encoded(dl_buf *out, dl_str text, dl_error *err)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    DL_TRY(dl_buf_append_char(out, '"', err));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '\0' && strchr(plain, c) != NULL) {
            DL_TRY(dl_buf_append_char(out, c, err));
        } else {
            DL_TRY(dl_buf_printf(out, err, "%%%02X", (unsigned)(uint8_t)c));
        }
    }
    return dl_buf_append_char(out, '"', err);
}

/* `quoted` is a JSON string with its quotes. */
static dl_status put_string(canon *c, dl_buf *out, dl_str quoted, dl_error *err)
{
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_json_text(quoted, c->arena, &text, err));
    return put_encoded(out, text, err);
}

static dl_status add_leaf(canon *c, dl_str value, dl_error *err)
{
    leaf_pair pair = {0};
    DL_TRY(dl_arena_copy(c->arena, dl_buf_str(&c->path), &pair.path, err));
    if (dl_json_kind_of(value) != DL_JSON_STRING) {
        pair.value = value;
        return dl_buf_append(&c->pairs, &pair, sizeof pair, err);
    }
    DL_AUTO_BUF text;
    dl_buf_init(&text, CHECKSUM_LIMIT_BYTES);
    DL_TRY(put_string(c, &text, value, err));
    DL_TRY(dl_arena_copy(c->arena, dl_buf_str(&text), &pair.value, err));
    return dl_buf_append(&c->pairs, &pair, sizeof pair, err);
}

/* The next member or element of the innermost level; its name goes onto the path. */
static dl_status next_value(canon *c, dl_str *out_value, bool *out_more, dl_error *err)
{
    level *top = &c->levels[c->depth - 1];
    c->path.len = top->path_bytes;
    dl_str key = DL_STR_NONE;
    *out_more = top->array ? dl_json_next_element(&top->iter, out_value)
                           : dl_json_next_member(&top->iter, &key, out_value);
    if (!*out_more) {
        return DL_OK;
    }
    if (c->path.len > 0) {
        DL_TRY(dl_buf_append_char(&c->path, '+', err));
    }
    if (top->array) {
        return dl_buf_printf(&c->path, err, "%zu", top->index++);
    }
    return put_string(c, &c->path, (dl_str){key.ptr - 1, key.len + 2}, err);
}

static dl_status walk(canon *c, dl_str json, dl_error *err)
{
    c->levels[c->depth++] = (level){.iter = dl_json_iter_of(json)};
    while (c->depth > 0) {
        dl_str value = DL_STR_NONE;
        bool more = false;
        DL_TRY(next_value(c, &value, &more, err));
        if (!more) {
            c->depth--;
            continue;
        }
        if (c->depth == 1 && dl_str_eq(dl_buf_str(&c->path), DL_STR("\"checksum\""))) {
            continue;
        }
        dl_json_kind kind = dl_json_kind_of(value);
        if (kind != DL_JSON_OBJECT && kind != DL_JSON_ARRAY) {
            DL_TRY(add_leaf(c, value, err));
            continue;
        }
        if (c->depth > DL_JSON_DEPTH_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "JSON is nested deeper than %d levels",
                                DL_JSON_DEPTH_LIMIT);
        }
        c->levels[c->depth++] = (level){.iter = dl_json_iter_of(value),
                                        .array = kind == DL_JSON_ARRAY,
                                        .path_bytes = c->path.len};
    }
    return DL_OK;
}

static int by_path(const void *a, const void *b)
{
    return dl_str_compare(((const leaf_pair *)a)->path, ((const leaf_pair *)b)->path);
}

static dl_status put_pairs(canon *c, dl_buf *out, dl_error *err)
{
    leaf_pair *pairs = (leaf_pair *)(void *)c->pairs.ptr;
    size_t count = c->pairs.len / sizeof *pairs;
    if (count > 1) {
        qsort(pairs, count, sizeof *pairs, by_path);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && dl_str_eq(pairs[i].path, pairs[i - 1].path)) {
            return dl_error_set(err, DL_E_INVALID, "JSON has the name %.*s twice",
                                DL_STR_ARG(pairs[i].path));
        }
        DL_TRY(i > 0 ? dl_buf_append_char(out, ',', err) : DL_OK);
        DL_TRY(dl_buf_append_str(out, pairs[i].path, err));
        DL_TRY(dl_buf_append_char(out, '=', err));
        DL_TRY(dl_buf_append_str(out, pairs[i].value, err));
    }
    return DL_OK;
}

dl_status dl_delta_checksum_text(dl_str json, dl_buf *out, dl_error *err)
{
    DL_TRY(dl_json_check(json, err));
    if (dl_json_kind_of(json) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_INVALID, "JSON with a checksum must be an object");
    }
    DL_CLEANUP(canon_clear) canon c = {.arena = dl_arena_create(CHECKSUM_LIMIT_BYTES)};
    if (c.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "checksum: out of memory");
    }
    dl_buf_init(&c.path, CHECKSUM_LIMIT_BYTES);
    dl_buf_init(&c.pairs, CHECKSUM_LIMIT_BYTES);
    DL_TRY(walk(&c, json, err));
    return put_pairs(&c, out, err);
}

dl_status dl_delta_md5(dl_str text, char out[DL_DELTA_MD5_SIZE], dl_error *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(text.len == 0 ? "" : text.ptr, text.len, digest, &len, EVP_md5(), NULL) != 1 ||
        len != MD5_BYTES) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "OpenSSL has no MD5 here (FIPS mode)");
    }
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MD5_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[DL_DELTA_MD5_SIZE - 1] = '\0';
    return DL_OK;
}
