#include "base/ckd.h"
#include "dicom/internal.h"

#include <stdlib.h>

/* Class of each byte; control characters are those of C0 and DEL. */
/* clang-format off */
#define C HAS_CONTROL
#define H HAS_HIGH
#define H16 H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H
static const uint8_t classes[256] = {
    C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    C, C, C, C, C, C, C, C, C, C, C, HAS_ESCAPE, C, C, C, C,
    ['"'] = HAS_QUOTE, ['='] = HAS_EQUALS, ['\\'] = HAS_BACKSLASH, [0x7f] = C,
    [0x80] = H16, H16, H16, H16, H16, H16, H16, H16,
};
#undef H16
#undef H
#undef C
/* clang-format on */

static const char hex_digits[] = "0123456789ABCDEF";

/* clang-format off */
#define ROW(h) h "0", h "1", h "2", h "3", h "4", h "5", h "6", h "7", \
               h "8", h "9", h "A", h "B", h "C", h "D", h "E", h "F"
static const char hex_pairs[256][3] = {
    ROW("0"), ROW("1"), ROW("2"), ROW("3"), ROW("4"), ROW("5"), ROW("6"), ROW("7"),
    ROW("8"), ROW("9"), ROW("A"), ROW("B"), ROW("C"), ROW("D"), ROW("E"), ROW("F"),
};
#undef ROW
/* clang-format on */

unsigned dl_dicom_scan_text(const uint8_t *bytes, size_t len)
{
    unsigned found = 0;
    for (size_t i = 0; i < len; i++) {
        found |= classes[bytes[i]];
    }
    return found;
}

/* ---- room ---- */

/** The bytes of the element so far, wherever they are. */
static size_t written(const dl_dicom_emitter *e)
{
    const dl_buf *b = e->spilling ? &e->spill : e->json;
    return b->ptr == NULL ? 0 : (size_t)(e->p - (b->ptr + b->len));
}

static void point_at(dl_dicom_emitter *e, dl_buf *b, size_t done)
{
    e->p = b->ptr + b->len + done;
    e->end = b->ptr + b->cap;
}

dl_status dl_dicom_emit_room_slow(dl_dicom_emitter *e, size_t need, dl_error *err)
{
    size_t done = written(e);
    size_t all = 0;
    if (ckd_add(&all, done, need)) {
        return dl_error_set(err, DL_E_LIMIT, "the JSON of one element is too long");
    }
    if (!e->spilling) {
        dl_error why = {0};
        dl_status status = dl_buf_reserve(e->json, all, &why);
        if (status == DL_OK) {
            point_at(e, e->json, done);
            return DL_OK;
        }
        if (status != DL_E_LIMIT) {
            return dl_error_set(err, status, "%s", why.message);
        }
        /* The upper bound does not fit, the element itself may. */
        dl_buf_reset(&e->spill);
        DL_TRY(dl_buf_reserve(&e->spill, all, err));
        if (done > 0) {
            memcpy(e->spill.ptr, e->json->ptr + e->json->len, done);
        }
        e->spilling = true;
    }
    DL_TRY(dl_buf_reserve(&e->spill, all, err));
    point_at(e, &e->spill, done);
    return DL_OK;
}

dl_status dl_dicom_emit_start(dl_dicom_emitter *e, dl_buf *json, size_t limit_bytes, dl_error *err)
{
    e->json = json;
    e->spilling = false;
    e->comma = false;
    e->limit_bytes = limit_bytes;
    e->p = e->end = NULL;
    if (json == NULL) {
        return DL_OK;
    }
    e->start = json->len;
    DL_TRY(dl_buf_reserve(json, 2, err)); /* the shortest object */
    point_at(e, json, 0);
    return DL_OK;
}

dl_status dl_dicom_emit_commit(dl_dicom_emitter *e, dl_error *err)
{
    size_t done = written(e);
    if (unlikely(e->json->len - e->start + done > e->limit_bytes)) {
        return dl_error_set(err, DL_E_LIMIT, "the JSON of the data set passes %zu bytes",
                            e->limit_bytes);
    }
    if (unlikely(e->spilling)) {
        e->spilling = false;
        DL_TRY(dl_buf_append(e->json, e->spill.ptr, done, err));
        point_at(e, e->json, 0);
        return DL_OK;
    }
    e->json->len += done;
    return DL_OK;
}

dl_status dl_dicom_emit_bytes(dl_dicom_emitter *e, const char *bytes, size_t len, dl_error *err)
{
    DL_TRY(dl_dicom_emit_room(e, len, err));
    memcpy(e->p, bytes, len);
    e->p += len;
    return DL_OK;
}

static char *put_tag(char *p, uint32_t tag)
{
    memcpy(p, hex_pairs[tag >> 24], 2);
    memcpy(p + 2, hex_pairs[tag >> 16 & 255], 2);
    memcpy(p + 4, hex_pairs[tag >> 8 & 255], 2);
    memcpy(p + 6, hex_pairs[tag & 255], 2);
    return p + 8;
}

/** HEAD_BYTES of room are there. */
static char *put_head(dl_dicom_emitter *e, uint32_t tag, dl_vr vr)
{
    char *p = e->p;
    *p = ',';
    p += e->comma;
    e->comma = true;
    *p++ = '"';
    p = put_tag(p, tag);
    memcpy(p, "\":{\"vr\":\"", 9);
    p += 9;
    *p++ = (char)(vr >> 8);
    *p++ = (char)(vr & 0xff);
    *p++ = '"';
    return p;
}

dl_status dl_dicom_emit_head(dl_dicom_emitter *e, uint32_t tag, dl_vr vr, dl_error *err)
{
    DL_TRY(dl_dicom_emit_room(e, HEAD_BYTES, err));
    e->p = put_head(e, tag, vr);
    return DL_OK;
}

/* ---- text ---- */

/** A string's inside; 6 * len bytes of room are there. */
static char *put_escaped(char *p, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (likely(c >= 0x20 && c != '"' && c != '\\')) {
            *p++ = (char)c;
            continue;
        }
        *p++ = '\\';
        switch (c) {
        case '"':
        case '\\':
            *p++ = (char)c;
            break;
        case '\n':
            *p++ = 'n';
            break;
        case '\r':
            *p++ = 'r';
            break;
        case '\t':
            *p++ = 't';
            break;
        default:
            memcpy(p, "u00", 3);
            p[3] = hex_digits[c >> 4];
            p[4] = hex_digits[c & 15];
            p += 5;
        }
    }
    return p;
}

enum { STRETCH_BYTES = 4096 };

static dl_status emit_string(dl_dicom_emitter *e, dl_str text, dl_error *err)
{
    DL_TRY(dl_dicom_emit_bytes(e, "\"", 1, err));
    while (text.len > 0) {
        size_t n = text.len < STRETCH_BYTES ? text.len : STRETCH_BYTES;
        DL_TRY(dl_dicom_emit_room(e, 6 * n + 1, err));
        e->p = put_escaped(e->p, text.ptr, n);
        text = dl_str_slice(text, n, text.len);
    }
    return dl_dicom_emit_bytes(e, "\"", 1, err);
}

static dl_str trim_spaces(dl_str text)
{
    while (text.len > 0 && text.ptr[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

/** PN: {"Alphabetic":…,"Ideographic":…,"Phonetic":…}, groups without text left out. */
static dl_status emit_name(dl_dicom_emitter *e, dl_str name, dl_error *err)
{
    static const char *const keys[] = {"\"Alphabetic\":", "\"Ideographic\":", "\"Phonetic\":"};
    bool any = false;
    for (size_t group = 0; group < DL_COUNT_OF(keys); group++) {
        dl_str part = name;
        ptrdiff_t at = dl_str_find(name, '=');
        /* A fourth group is no group of PS3.5 6.2.1: it stays where it is. */
        if (at >= 0 && group + 1 < DL_COUNT_OF(keys)) {
            part = dl_str_slice(name, 0, (size_t)at);
            name = dl_str_slice(name, (size_t)at + 1, name.len);
        } else {
            name.len = 0;
        }
        part = trim_spaces(part);
        if (part.len == 0) {
            continue;
        }
        DL_TRY(dl_dicom_emit_bytes(e, any ? "," : "{", 1, err));
        DL_TRY(dl_dicom_emit_bytes(e, keys[group], strlen(keys[group]), err));
        DL_TRY(emit_string(e, part, err));
        any = true;
    }
    return any ? dl_dicom_emit_bytes(e, "}", 1, err) : dl_dicom_emit_bytes(e, "null", 4, err);
}

static dl_str trim_both(dl_str text)
{
    text = trim_spaces(text);
    while (text.len > 0 && text.ptr[0] == ' ') {
        text.ptr++;
        text.len--;
    }
    return text;
}

static dl_status emit_one(dl_dicom_emitter *e, const dl_dicom_vr_info *vr, dl_str value,
                          dl_error *err)
{
    value = trim_spaces(value);
    if (value.len == 0) {
        return dl_dicom_emit_bytes(e, "null", 4, err);
    }
    if (vr->kind == KIND_NAME) {
        return emit_name(e, value, err);
    }
    if (vr->kind == KIND_NUMBER) {
        dl_str digits = trim_both(value);
        DL_TRY(dl_dicom_emit_room(e, digits.len + 4, err));
        size_t n = dl_dicom_number_from_text(digits, e->p);
        if (n > 0) {
            e->p += n;
            return DL_OK;
        }
        return emit_string(e, digits, err);
    }
    return emit_string(e, value, err);
}

static dl_status emit_values(dl_dicom_emitter *e, const dl_dicom_vr_info *vr, dl_str text,
                             dl_error *err)
{
    if (vr->kind == KIND_PROSE) {
        return emit_string(e, text, err);
    }
    for (;;) {
        ptrdiff_t at = dl_str_find(text, '\\');
        dl_str value = at < 0 ? text : dl_str_slice(text, 0, (size_t)at);
        DL_TRY(emit_one(e, vr, value, err));
        if (at < 0) {
            return DL_OK;
        }
        DL_TRY(dl_dicom_emit_bytes(e, ",", 1, err));
        text = dl_str_slice(text, (size_t)at + 1, text.len);
    }
}

dl_status dl_dicom_emit_text(dl_dicom_emitter *e, uint32_t tag, const dl_dicom_vr_info *vr,
                             dl_str text, unsigned found, dl_error *err)
{
    DL_TRY(dl_dicom_emit_room(e, HEAD_BYTES + STRETCH_BYTES, err));
    char *p = put_head(e, tag, vr->vr);
    if (text.len == 0) {
        *p++ = '}';
        e->p = p;
        return dl_dicom_emit_commit(e, err);
    }
    memcpy(p, ",\"Value\":[", 10);
    p += 10;
    bool plain = (found & (HAS_CONTROL | HAS_ESCAPE | HAS_BACKSLASH | HAS_QUOTE)) == 0;
    if (likely(plain && text.len <= STRETCH_BYTES - 64 &&
               (vr->kind == KIND_TEXT || vr->kind == KIND_PROSE))) {
        *p++ = '"';
        memcpy(p, text.ptr, text.len);
        p += text.len;
        memcpy(p, "\"]}", 3);
        e->p = p + 3;
        return dl_dicom_emit_commit(e, err);
    }
    e->p = p;
    DL_TRY(emit_values(e, vr, text, err));
    DL_TRY(dl_dicom_emit_bytes(e, "]}", 2, err));
    return dl_dicom_emit_commit(e, err);
}

/* ---- binary values ---- */

static uint64_t integer_of(const uint8_t *at, unsigned unit, bool big_endian)
{
    switch (unit) {
    case 2:
        return big_endian ? dl_be16(at) : dl_le16(at);
    case 4:
        return big_endian ? dl_be32(at) : dl_le32(at);
    default:
        return big_endian ? dl_be64(at) : dl_le64(at);
    }
}

static char *put_integer(char *p, int64_t value)
{
    if (value < 0) {
        *p++ = '-';
        return p + dl_dicom_number_from_u64(0 - (uint64_t)value, p);
    }
    return p + dl_dicom_number_from_u64((uint64_t)value, p);
}

/** 64-bit integers beyond 2^53 are strings (PS3.18 F.2.3). */
static char *put_wide(char *p, uint64_t magnitude, bool minus)
{
    bool quoted = magnitude > (uint64_t)1 << 53;
    *p = '"';
    p += quoted;
    *p = '-';
    p += minus;
    p += dl_dicom_number_from_u64(magnitude, p);
    *p = '"';
    return p + quoted;
}

static char *put_real(char *p, double value, bool is_float)
{
    /* JSON has no such numbers; the names are those of XML's double and of DCMTK. */
    if (value != value) {
        memcpy(p, "\"NaN\"", 5);
        return p + 5;
    }
    if (value - value != 0) {
        size_t n = value < 0 ? 6 : 5;
        memcpy(p, value < 0 ? "\"-inf\"" : "\"inf\"", n);
        return p + n;
    }
    return p + dl_dicom_number_from_double(value, is_float, p);
}

static char *put_binary(char *p, const dl_dicom_vr_info *vr, const uint8_t *at, bool big_endian)
{
    uint64_t bits = integer_of(at, vr->unit, big_endian);
    switch (vr->vr) {
    case DL_VR('S', 'S'):
        return put_integer(p, (int16_t)bits);
    case DL_VR('S', 'L'):
        return put_integer(p, (int32_t)bits);
    case DL_VR('S', 'V'):
        return put_wide(p, (int64_t)bits < 0 ? 0 - bits : bits, (int64_t)bits < 0);
    case DL_VR('U', 'V'):
        return put_wide(p, bits, false);
    case DL_VR('F', 'L'): {
        uint32_t word = (uint32_t)bits;
        float value = 0;
        memcpy(&value, &word, sizeof value);
        return put_real(p, (double)value, true);
    }
    case DL_VR('F', 'D'): {
        double value = 0;
        memcpy(&value, &bits, sizeof value);
        return put_real(p, value, false);
    }
    default: /* US, UL */
        return p + dl_dicom_number_from_u64(bits, p);
    }
}

/** AT: group and element, each in the file's byte order. */
static char *put_attribute(char *p, const uint8_t *at, bool big_endian)
{
    uint32_t group = big_endian ? dl_be16(at) : dl_le16(at);
    uint32_t number = big_endian ? dl_be16(at + 2) : dl_le16(at + 2);
    *p++ = '"';
    p = put_tag(p, group << 16 | number);
    *p++ = '"';
    return p;
}

dl_status dl_dicom_emit_binary(dl_dicom_emitter *e, uint32_t tag, const dl_dicom_vr_info *vr,
                               dl_bytes value, bool big_endian, dl_error *err)
{
    size_t count = value.len / vr->unit;
    DL_TRY(dl_dicom_emit_room(e, HEAD_BYTES + 16, err));
    char *p = put_head(e, tag, vr->vr);
    if (count > 0) {
        memcpy(p, ",\"Value\":[", 10);
        p += 10;
    }
    e->p = p;
    const uint8_t *at = value.ptr;
    for (size_t i = 0; i < count; i++, at += vr->unit) {
        DL_TRY(dl_dicom_emit_room(e, NUMBER_BYTES + 4, err));
        *e->p = ',';
        e->p += i > 0;
        e->p = vr->vr == DL_VR('A', 'T') ? put_attribute(e->p, at, big_endian)
                                         : put_binary(e->p, vr, at, big_endian);
    }
    DL_TRY(dl_dicom_emit_room(e, 2, err));
    *e->p = ']';
    e->p += count > 0;
    *e->p++ = '}';
    return dl_dicom_emit_commit(e, err);
}

/* ---- order ---- */

typedef struct member {
    char key[8];
    uint32_t order;
    size_t at, len; /* of `"key":value` */
} member;

static int compare_members(const void *a, const void *b)
{
    const member *x = a;
    const member *y = b;
    int by_key = memcmp(x->key, y->key, sizeof x->key);
    return by_key != 0 ? by_key : (x->order > y->order) - (x->order < y->order);
}

/** End of the member at `at` of our own JSON: its comma, or `end`. */
static size_t member_end(const char *json, size_t at, size_t end)
{
    size_t depth = 0;
    bool in_string = false;
    for (; at < end; at++) {
        char c = json[at];
        if (in_string) {
            at += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' && depth == 0) {
            return at;
        }
    }
    return end;
}

dl_status dl_dicom_emit_sort(dl_dicom_emitter *e, size_t start, dl_buf *scratch,
                             dl_status (*dropped)(void *context, uint32_t tag, dl_error *err),
                             void *context, dl_error *err)
{
    char *json = e->json->ptr;
    size_t end = e->json->len;
    dl_buf_reset(scratch);
    uint32_t count = 0;
    for (size_t at = start + 1; at < end; count++) {
        size_t stop = member_end(json, at, end);
        member m = {.order = count, .at = at, .len = stop - at};
        memcpy(m.key, json + at + 1, sizeof m.key);
        DL_TRY(dl_buf_append(scratch, &m, sizeof m, err));
        at = stop + 1;
    }
    size_t table_bytes = scratch->len;
    DL_TRY(dl_buf_reserve(scratch, end - start, err));
    member *members = (member *)(void *)scratch->ptr;
    qsort(members, count, sizeof *members, compare_members);
    char *copy = scratch->ptr + table_bytes;
    memcpy(copy, json + start, end - start);
    char *p = json + start + 1;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && memcmp(members[i].key, members[i - 1].key, sizeof members[i].key) == 0) {
            uint64_t tag = 0; /* the first of its tag stays */
            (void)dl_str_hex_to_u64((dl_str){members[i].key, sizeof members[i].key}, &tag);
            DL_TRY(dropped(context, (uint32_t)tag, err));
            continue;
        }
        *p = ',';
        p += i > 0;
        memcpy(p, copy + (members[i].at - start), members[i].len);
        p += members[i].len;
    }
    e->json->len = (size_t)(p - json);
    point_at(e, e->json, 0);
    return DL_OK;
}
