#include "cli/peek.h"

#include "base/cursor.h"

#include <string.h>

enum { MARK_AT = 128, META_AT = 132 };

typedef struct element {
    uint32_t tag;
    char vr[2]; /* as the file says; zeros in Implicit VR */
    dl_str value;
} element;

static bool has_long_length(const char vr[2])
{
    static const char longs[][3] = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                    "SV", "UC", "UN", "UR", "UT", "UV"};
    for (size_t i = 0; i < DL_COUNT_OF(longs); i++) {
        if (memcmp(vr, longs[i], 2) == 0) {
            return true;
        }
    }
    return false;
}

/** The cursor stands behind the tag and, in Explicit VR, behind the VR. */
static bool read_length(dl_cursor *c, bool explicit_vr, const char vr[2], uint32_t *out_length)
{
    const uint8_t *p = NULL;
    if (explicit_vr && !has_long_length(vr)) {
        if (!dl_cursor_take(c, 2, &p)) {
            return false;
        }
        *out_length = dl_le16(p);
        return true;
    }
    if ((explicit_vr && !dl_cursor_take(c, 2, &p)) || !dl_cursor_take(c, 4, &p)) {
        return false;
    }
    *out_length = dl_le32(p);
    return true;
}

/** False at the end, and at anything that only a real reader can pass. */
static bool next_element(dl_cursor *c, bool explicit_vr, element *out)
{
    dl_cursor at = *c;
    const uint8_t *p = NULL;
    const uint8_t *value = NULL;
    uint32_t length = 0;
    element made = {0};
    if (!dl_cursor_take(&at, 4, &p)) {
        return false;
    }
    made.tag = (uint32_t)dl_le16(p) << 16 | dl_le16(p + 2);
    if (explicit_vr) {
        if (!dl_cursor_take(&at, 2, &p) || p[0] < 'A' || p[0] > 'Z' || p[1] < 'A' || p[1] > 'Z') {
            return false;
        }
        memcpy(made.vr, p, 2);
    }
    if (!read_length(&at, explicit_vr, made.vr, &length) ||
        !dl_cursor_take(&at, length, &value)) { /* an undefined length is longer than any head */
        return false;
    }
    made.value = (dl_str){(const char *)value, length};
    *c = at;
    *out = made;
    return true;
}

/** Explicit VR but for one syntax; two others are not read at all. */
static bool can_read(dl_str syntax, bool *out_explicit)
{
    *out_explicit = !dl_str_eq(syntax, DL_STR("1.2.840.10008.1.2"));
    return syntax.len > 0 && !dl_str_eq(syntax, DL_STR("1.2.840.10008.1.2.2")) &&
           !dl_str_eq(syntax, DL_STR("1.2.840.10008.1.2.1.99"));
}

static dl_str find_sop_uid(dl_cursor c, bool explicit_vr)
{
    element e;
    while (next_element(&c, explicit_vr, &e) && e.tag <= 0x00080018) {
        if (e.tag == 0x00080018) {
            bool typed = !explicit_vr || memcmp(e.vr, "UI", 2) == 0;
            return typed ? dl_str_trim_padding(e.value) : DL_STR_NONE;
        }
    }
    return DL_STR_NONE;
}

/** Whether a value of one of the first attributes of groups 0002 and 0008 stands here, whose
 * length would be strange otherwise. */
static bool is_first_element(const uint8_t *p, bool big_endian)
{
    enum { LAST_ELEMENT = 0x18, LENGTH_LIMIT_BYTES = 256 };
    static const char vrs[][3] = {"UL", "CS", "UI", "OB", "DA", "TM"};
    unsigned group = big_endian ? (unsigned)p[0] << 8 | p[1] : dl_le16(p);
    unsigned number = big_endian ? (unsigned)p[2] << 8 | p[3] : dl_le16(p + 2);
    if ((group != 0x0002 && group != 0x0008) || number > LAST_ELEMENT) {
        return false;
    }
    for (size_t i = 0; i < DL_COUNT_OF(vrs); i++) {
        if (memcmp(p + 4, vrs[i], 2) == 0) {
            return true;
        }
    }
    return !big_endian && dl_le32(p + 4) <= LENGTH_LIMIT_BYTES && p[4] % 2 == 0;
}

static bool begins_as_data_set(dl_bytes head)
{
    enum { LEAST_BYTES = 8 };
    return head.len >= LEAST_BYTES &&
           (memcmp(head.ptr, "DICM", 4) == 0 || is_first_element(head.ptr, false) ||
            is_first_element(head.ptr, true));
}

dl_cli_peek dl_cli_peek_at(dl_bytes head)
{
    dl_cli_peek peek = {0};
    element e;
    bool explicit_vr = true;
    if (head.len < META_AT || memcmp(head.ptr + MARK_AT, "DICM", META_AT - MARK_AT) != 0) {
        peek.bare = begins_as_data_set(head);
        return peek;
    }
    peek.dicom = true;
    dl_cursor c = {head.ptr + META_AT, head.ptr + head.len};
    for (dl_cursor ahead = c; next_element(&ahead, true, &e) && e.tag >> 16 == 2; c = ahead) {
        if (e.tag == 0x00020002) {
            peek.media_class = dl_str_trim_padding(e.value);
        } else if (e.tag == 0x00020010) {
            peek.syntax = dl_str_trim_padding(e.value);
        }
    }
    if (can_read(peek.syntax, &explicit_vr)) {
        peek.sop_uid = find_sop_uid(c, explicit_vr);
    }
    return peek;
}

bool dl_cli_peek_is_dicomdir(const dl_cli_peek *peek)
{
    return dl_str_eq(peek->media_class, DL_STR("1.2.840.10008.1.3.10"));
}
