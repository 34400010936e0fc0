#include "dicom/internal.h"

/*
 * The frame index as bytes. Version 1:
 *   byte 1; then varints (LEB128): flags, tag, frames, rows, columns, samples, bits;
 *   native: offset, length;
 *   encapsulated: fragments, then for each the gap since the end of the one before and its length;
 *   with FLAG_STARTS, for each frame its number of fragments.
 */
enum { VERSION = 1 };
enum {
    FLAG_ENCAPSULATED = 1,
    FLAG_INDEXED = 2,
    FLAG_STARTS = 4, /* not one fragment per frame */
    FLAG_DEFLATED = 8,
    FLAG_BIG_ENDIAN = 16,
    FLAG_HALF_CHROMA = 32,
    FLAGS_ALL = 63,
};

static dl_status put(dl_buf *out, uint64_t value, dl_error *err)
{
    char bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    return dl_buf_append(out, bytes, n, err);
}

static bool one_each(const dl_dicom_pixels *p)
{
    if (p->fragment_count != p->frame_count) {
        return false;
    }
    for (uint32_t i = 0; i <= p->frame_count; i++) {
        if (p->frame_starts[i] != i) {
            return false;
        }
    }
    return true;
}

static dl_status put_fragments(const dl_dicom_pixels *p, uint64_t flags, dl_buf *out, dl_error *err)
{
    uint64_t end = 0;
    DL_TRY(put(out, p->fragment_count, err));
    for (size_t i = 0; i < p->fragment_count; i++) {
        DL_TRY(put(out, p->fragments[i].offset_bytes - end, err));
        DL_TRY(put(out, p->fragments[i].length_bytes, err));
        end = p->fragments[i].offset_bytes + p->fragments[i].length_bytes;
    }
    for (uint32_t i = 0; (flags & FLAG_STARTS) != 0 && i < p->frame_count; i++) {
        DL_TRY(put(out, p->frame_starts[i + 1] - p->frame_starts[i], err));
    }
    return DL_OK;
}

static dl_status encode(const dl_dicom_header *header, dl_buf *out, dl_error *err)
{
    const dl_dicom_pixels *p = &header->pixels;
    bool starts = p->encapsulated && p->indexed && !one_each(p);
    uint64_t flags = (p->encapsulated ? FLAG_ENCAPSULATED : 0u) | (p->indexed ? FLAG_INDEXED : 0u) |
                     (starts ? FLAG_STARTS : 0u) | (header->deflated ? FLAG_DEFLATED : 0u) |
                     (header->big_endian ? FLAG_BIG_ENDIAN : 0u) |
                     (p->half_chroma ? FLAG_HALF_CHROMA : 0u);
    const uint64_t facts[] = {flags,      p->tag,     p->frame_count,   p->rows,
                              p->columns, p->samples, p->bits_allocated};
    DL_TRY(dl_buf_append_char(out, VERSION, err));
    for (size_t i = 0; i < DL_COUNT_OF(facts); i++) {
        DL_TRY(put(out, facts[i], err));
    }
    if (!p->encapsulated) {
        DL_TRY(put(out, p->offset_bytes, err));
        return put(out, p->length_bytes, err);
    }
    return put_fragments(p, flags, out, err);
}

dl_status dl_dicom_pixels_encode(const dl_dicom_header *header, dl_buf *out, dl_error *err)
{
    size_t before = out->len;
    dl_status status = header->pixels.present ? encode(header, out, err) : DL_OK;
    if (status != DL_OK) {
        out->len = before;
    }
    return status;
}

/* ---- decoding ---- */

static bool get(dl_cursor *c, uint64_t most, uint64_t *out_value)
{
    uint64_t value = 0;
    const uint8_t *byte = NULL;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!dl_cursor_take(c, 1, &byte) || (shift == 63 && *byte > 1)) {
            return false;
        }
        value |= (uint64_t)(*byte & 0x7f) << shift;
        if ((*byte & 0x80) == 0) {
            *out_value = value;
            return value <= most && (*byte != 0 || shift == 0);
        }
    }
    return false;
}

static bool get_u32(dl_cursor *c, uint32_t *out_value)
{
    uint64_t value = 0;
    bool fine = get(c, UINT32_MAX, &value);
    *out_value = (uint32_t)value;
    return fine;
}

static bool get_starts(dl_cursor *c, dl_dicom_pixels *p, bool coded)
{
    if (!coded && p->fragment_count != p->frame_count) {
        return false;
    }
    p->frame_starts[0] = 0;
    for (uint32_t i = 0; i < p->frame_count; i++) {
        uint64_t count = 1;
        if (coded && !get(c, p->fragment_count - p->frame_starts[i], &count)) {
            return false;
        }
        p->frame_starts[i + 1] = p->frame_starts[i] + (uint32_t)count;
    }
    return p->frame_starts[p->frame_count] == p->fragment_count;
}

static bool get_fragments(dl_cursor *c, dl_dicom_pixels *p)
{
    uint64_t end = 0;
    for (size_t i = 0; i < p->fragment_count; i++) {
        dl_dicom_fragment *f = &p->fragments[i];
        uint64_t gap = 0;
        if (!get(c, UINT64_MAX - end, &gap) || !get(c, UINT64_MAX - end - gap, &f->length_bytes)) {
            return false;
        }
        f->offset_bytes = end + gap;
        end = f->offset_bytes + f->length_bytes;
    }
    return true;
}

static dl_status not_ours(dl_error *err)
{
    return dl_error_set(err, DL_E_CORRUPT, "the stored frame index does not decode");
}

static dl_status decode_fragments(dl_cursor *c, uint64_t flags, dl_arena *arena, dl_dicom_pixels *p,
                                  dl_error *err)
{
    uint64_t count = 0;
    bool coded = (flags & FLAG_STARTS) != 0;
    /* Each fragment takes two bytes or more, each coded start one: counts cannot lie. */
    if (!get(c, dl_cursor_left(c) / 2, &count) ||
        (p->indexed && p->frame_count > (coded ? dl_cursor_left(c) : count))) {
        return not_ours(err);
    }
    p->fragment_count = (size_t)count;
    p->fragments = dl_arena_alloc(arena, p->fragment_count, sizeof *p->fragments);
    if (p->fragments == NULL) {
        return dl_arena_full(arena, err);
    }
    if (!get_fragments(c, p)) {
        return not_ours(err);
    }
    if (!p->indexed) {
        return coded ? not_ours(err) : DL_OK;
    }
    p->frame_starts = dl_arena_alloc(arena, (size_t)p->frame_count + 1, sizeof *p->frame_starts);
    if (p->frame_starts == NULL) {
        return dl_arena_full(arena, err);
    }
    return get_starts(c, p, coded) ? DL_OK : not_ours(err);
}

dl_status dl_dicom_pixels_decode(dl_bytes bytes, dl_arena *arena, dl_dicom_header *out_header,
                                 dl_error *err)
{
    dl_dicom_header header = {.pixels.frame_count = 1};
    dl_dicom_pixels *p = &header.pixels;
    if (bytes.len == 0) {
        *out_header = header;
        return DL_OK;
    }
    dl_cursor c = {bytes.ptr, bytes.ptr + bytes.len};
    const uint8_t *version = NULL;
    uint64_t flags = 0;
    if (!dl_cursor_take(&c, 1, &version) || *version != VERSION || !get(&c, FLAGS_ALL, &flags) ||
        !get_u32(&c, &p->tag) || !get_u32(&c, &p->frame_count) || p->frame_count == 0 ||
        !get_u32(&c, &p->rows) || !get_u32(&c, &p->columns) || !get_u32(&c, &p->samples) ||
        !get_u32(&c, &p->bits_allocated)) {
        return not_ours(err);
    }
    p->present = true;
    p->encapsulated = (flags & FLAG_ENCAPSULATED) != 0;
    p->indexed = (flags & FLAG_INDEXED) != 0;
    p->half_chroma = (flags & FLAG_HALF_CHROMA) != 0;
    header.deflated = (flags & FLAG_DEFLATED) != 0;
    header.big_endian = (flags & FLAG_BIG_ENDIAN) != 0;
    if (p->encapsulated) {
        DL_TRY(decode_fragments(&c, flags, arena, p, err));
    } else if (!get(&c, UINT64_MAX, &p->offset_bytes) ||
               !get(&c, UINT64_MAX - p->offset_bytes, &p->length_bytes)) {
        return not_ours(err);
    }
    if (dl_cursor_left(&c) != 0) {
        return not_ours(err);
    }
    *out_header = header;
    return DL_OK;
}
