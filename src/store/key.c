#include "store/internal.h"

#include <string.h>

enum { SEGMENT_LIMIT_BYTES = 255 }; /* NAME_MAX of the usual file systems */

/* Nothing that ends or leaves a name, here or on another system, and nothing that breaks a line. */
static bool byte_is_allowed(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 0x20 && byte != 0x7f && byte != '\\';
}

static dl_status check_segment(dl_str segment, dl_error *err)
{
    if (segment.len == 0) {
        return dl_error_set(err, DL_E_INVALID, "a key has an empty segment");
    }
    if (segment.len > SEGMENT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_INVALID, "a key's segment has %zu bytes, more than %d",
                            segment.len, SEGMENT_LIMIT_BYTES);
    }
    if (dl_str_eq(segment, DL_STR(".")) || dl_str_eq(segment, DL_STR(".."))) {
        return dl_error_set(err, DL_E_INVALID, "a key has the segment \"%.*s\"",
                            DL_STR_ARG(segment));
    }
    for (size_t i = 0; i < segment.len; i++) {
        if (!byte_is_allowed(segment.ptr[i])) {
            return dl_error_set(err, DL_E_INVALID, "a key holds byte 0x%02x",
                                (unsigned)(unsigned char)segment.ptr[i]);
        }
    }
    return DL_OK;
}

dl_status dl_store_key_text(dl_str key, char out[DL_STORE_KEY_LIMIT_BYTES + 1], dl_error *err)
{
    if (key.len == 0 || key.len > DL_STORE_KEY_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_INVALID, "a key has %zu bytes, not 1 to %d", key.len,
                            (int)DL_STORE_KEY_LIMIT_BYTES);
    }
    if (!dl_str_is_utf8(key)) {
        return dl_error_set(err, DL_E_INVALID, "a key is not well-formed UTF-8");
    }
    size_t begin = 0;
    for (size_t i = 0; i <= key.len; i++) {
        if (i < key.len && key.ptr[i] != '/') {
            continue;
        }
        dl_str segment = dl_str_slice(key, begin, i - begin);
        DL_TRY(check_segment(segment, err));
        if (begin == 0 && dl_str_eq(segment, DL_STR(DL_STORE_SPOOL_FOLDER))) {
            return dl_error_set(err, DL_E_INVALID, "a key begins with the reserved segment %s",
                                DL_STORE_SPOOL_FOLDER);
        }
        begin = i + 1;
    }
    memcpy(out, key.ptr, key.len);
    out[key.len] = '\0';
    return DL_OK;
}

dl_str dl_store_key_folder(dl_str key)
{
    size_t len = key.len;
    while (len > 0 && key.ptr[len - 1] != '/') {
        len--;
    }
    return dl_str_slice(key, 0, len == 0 ? 0 : len - 1);
}

uint64_t dl_store_xxh64(dl_bytes bytes)
{
    return XXH64(bytes.ptr, bytes.len, 0);
}
