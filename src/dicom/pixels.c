#include "base/ckd.h"
#include "dicom/internal.h"

/* PS3.5 annex A.4 and section 8; PS3.3 C.7.6.3.1.8 (extended offset table). */
#define ITEM 0xfffee000u
#define SEQUENCE_END 0xfffee0ddu

enum { ITEM_HEAD_BYTES = 8, MARK_BYTES = 3 };

dl_status dl_dicom_pixels_native(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    dl_dicom_pixels *pixels = &r->header->pixels;
    if (pixels->present || e->length == 0) {
        return dl_dicom_pass_over(r, e->tag, e->length, err);
    }
    pixels->present = true;
    pixels->tag = e->tag;
    pixels->offset_bytes = dl_dicom_input_position(&r->in);
    pixels->length_bytes = e->length;
    uint64_t missing = 0;
    DL_TRY(dl_dicom_input_skip(&r->in, e->length, &missing, err));
    pixels->length_bytes -= missing;
    return missing > 0 ? dl_dicom_cut_off(r, e->tag, err) : DL_OK;
}

/* ---- fragments ---- */

static dl_status too_short(dl_dicom_reader *r, uint32_t tag, bool *out_end, dl_error *err)
{
    *out_end = true;
    return dl_dicom_cut_off(r, tag, err);
}

static dl_status item_header(dl_dicom_reader *r, uint32_t tag, bool *out_end, uint32_t *out_length,
                             dl_error *err)
{
    DL_TRY(dl_dicom_input_need(&r->in, ITEM_HEAD_BYTES, err));
    if (dl_dicom_input_left(&r->in) < ITEM_HEAD_BYTES) {
        return too_short(r, tag, out_end, err);
    }
    const uint8_t *p = r->in.window + r->in.at;
    bool big = dl_dicom_top_level(r)->big_endian;
    uint32_t item = big ? (uint32_t)dl_be16(p) << 16 | dl_be16(p + 2)
                        : (uint32_t)dl_le16(p) << 16 | dl_le16(p + 2);
    uint32_t length = big ? dl_be32(p + 4) : dl_le32(p + 4);
    if (item == SEQUENCE_END) {
        r->in.at += ITEM_HEAD_BYTES;
        *out_end = true;
        return DL_OK;
    }
    if (item != ITEM || length == UNDEFINED_LENGTH) {
        return dl_error_set(err, DL_E_INVALID,
                            "element %08x: %08x of length %u where a fragment should be", tag, item,
                            length);
    }
    r->in.at += ITEM_HEAD_BYTES;
    *out_length = length;
    return DL_OK;
}

static dl_status basic_offset_table(dl_dicom_reader *r, uint32_t tag, uint32_t length,
                                    dl_error *err)
{
    if (length / 4 > r->options.fragment_limit) {
        return dl_dicom_pass_over(r, tag, length, err);
    }
    return dl_dicom_value_into(r, tag, length, &r->offset_table, err);
}

/** Whether a JPEG, JPEG-LS or JPEG 2000 code stream ends here: FF D9 and perhaps one pad byte. */
static bool ends_stream(const uint8_t *tail, size_t len)
{
    return (len >= 2 && tail[len - 2] == 0xff && tail[len - 1] == 0xd9) ||
           (len >= 3 && tail[len - 3] == 0xff && tail[len - 2] == 0xd9);
}

static dl_status take_fragment(dl_dicom_reader *r, uint32_t tag, uint32_t length, bool want_mark,
                               dl_error *err)
{
    dl_dicom_fragment fragment = {dl_dicom_input_position(&r->in), length};
    size_t tail = want_mark ? (length < MARK_BYTES ? length : MARK_BYTES) : 0;
    uint64_t missing = 0;
    bool mark = false;
    DL_TRY(dl_dicom_input_skip(&r->in, length - tail, &missing, err));
    if (missing > 0) {
        missing += tail;
    } else if (tail > 0) {
        DL_TRY(dl_dicom_input_need(&r->in, tail, err));
        size_t left = dl_dicom_input_left(&r->in);
        left = left < tail ? left : tail;
        mark = ends_stream(r->in.window + r->in.at, left);
        r->in.at += left;
        missing = tail - left;
    }
    fragment.length_bytes -= missing;
    if (r->fragments.len / sizeof fragment >= r->options.fragment_limit) {
        r->too_many_fragments = true;
    } else {
        DL_TRY(dl_buf_append(&r->fragments, &fragment, sizeof fragment, err));
        if (want_mark) {
            DL_TRY(dl_buf_append(&r->last_marks, &mark, sizeof mark, err));
        }
    }
    return missing > 0 ? dl_dicom_cut_off(r, tag, err) : DL_OK;
}

dl_status dl_dicom_pixels_fragments(dl_dicom_reader *r, uint32_t tag, bool is_pixel_data,
                                    dl_error *err)
{
    dl_dicom_pixels *pixels = &r->header->pixels;
    bool keep = is_pixel_data && !pixels->present;
    if (keep) {
        pixels->present = true;
        pixels->encapsulated = true;
        pixels->tag = tag;
    }
    bool want_mark = false;
    bool end = false;
    for (size_t item = 0; !r->cut; item++) {
        uint32_t length = 0;
        DL_TRY(item_header(r, tag, &end, &length, err));
        if (end) {
            break;
        }
        if (!keep) {
            DL_TRY(dl_dicom_pass_over(r, tag, length, err));
        } else if (item == 0) {
            DL_TRY(basic_offset_table(r, tag, length, err));
            r->fragment_base = dl_dicom_input_position(&r->in);
            want_mark = pixels->frame_count > 1; /* tables may lie */
        } else {
            DL_TRY(take_fragment(r, tag, length, want_mark, err));
        }
    }
    return DL_OK;
}

/* ---- fragments to frames ---- */

typedef struct frame_map {
    const dl_dicom_fragment *fragments;
    size_t fragment_count;
    uint32_t frame_count;
    uint32_t *starts; /* frame_count + 1 */
} frame_map;

static bool one_each(frame_map *m)
{
    if (m->fragment_count != m->frame_count) {
        return false;
    }
    for (uint32_t i = 0; i <= m->frame_count; i++) {
        m->starts[i] = i;
    }
    return true;
}

/** By a table of `unit`-byte offsets of the frames' first items; all must be there and ascend. */
static bool by_offsets(frame_map *m, const dl_buf *table, size_t unit, uint64_t base,
                       bool big_endian)
{
    if (table->len / unit != m->frame_count) {
        return false;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < m->frame_count; i++) {
        const uint8_t *p = (const uint8_t *)table->ptr + i * unit;
        uint64_t offset = unit == 8 ? (big_endian ? dl_be64(p) : dl_le64(p))
                                    : (big_endian ? dl_be32(p) : dl_le32(p));
        while (at < m->fragment_count &&
               m->fragments[at].offset_bytes - ITEM_HEAD_BYTES - base < offset) {
            at++;
        }
        bool found = at < m->fragment_count &&
                     m->fragments[at].offset_bytes - ITEM_HEAD_BYTES - base == offset &&
                     (i == 0 ? at == 0 : at > m->starts[i - 1]);
        if (!found) {
            return false;
        }
        m->starts[i] = (uint32_t)at;
    }
    m->starts[m->frame_count] = (uint32_t)m->fragment_count;
    return true;
}

/** The last frame may lack its mark, when the others have theirs and the file is not cut off. */
static bool by_marks(frame_map *m, const dl_buf *marks, bool cut)
{
    const bool *ends = (const bool *)(const void *)marks->ptr;
    if (marks->len != m->fragment_count || m->fragment_count == 0 ||
        (cut && !ends[m->fragment_count - 1])) {
        return false;
    }
    uint32_t frame = 0;
    m->starts[0] = 0;
    for (size_t i = 0; i < m->fragment_count; i++) {
        if (!ends[i] && i + 1 < m->fragment_count) {
            continue;
        }
        if (frame == m->frame_count) {
            return false;
        }
        m->starts[++frame] = (uint32_t)i + 1;
    }
    return frame == m->frame_count;
}

/** The syntaxes whose frames end with FF D9. */
static bool ends_with_marker(dl_str uid)
{
    static const char prefix[] = "1.2.840.10008.1.2.4.";
    uint64_t number = 0;
    if (!dl_str_starts(uid, dl_str_of(prefix)) ||
        !dl_str_to_u64(dl_str_slice(uid, sizeof prefix - 1, uid.len), &number)) {
        return false;
    }
    return (number >= 50 && number <= 93) || (number >= 201 && number <= 203);
}

/** Video: the frames of a stream cannot be told apart by fragments. */
static bool is_video(dl_str uid)
{
    static const char prefix[] = "1.2.840.10008.1.2.4.10";
    return dl_str_starts(uid, dl_str_of(prefix)) && uid.len >= sizeof prefix;
}

static bool map_frames(const dl_dicom_reader *r, frame_map *m)
{
    dl_str uid = r->header->transfer_syntax_uid;
    bool big_endian = r->header->big_endian;
    if (m->frame_count == 1) {
        m->starts[0] = 0;
        m->starts[1] = (uint32_t)m->fragment_count;
        return true;
    }
    if (is_video(uid)) {
        return false;
    }
    return (r->extended_table.len > 0 &&
            by_offsets(m, &r->extended_table, 8, r->fragment_base, big_endian)) ||
           (r->offset_table.len > 0 &&
            by_offsets(m, &r->offset_table, 4, r->fragment_base, big_endian)) ||
           one_each(m) || (ends_with_marker(uid) && by_marks(m, &r->last_marks, r->cut));
}

/** Bits of one native frame; 0 when the header does not say or the product is too large. */
static uint64_t frame_bits(const dl_dicom_pixels *p)
{
    uint64_t bits = 0;
    uint64_t samples = p->half_chroma && p->samples == 3 ? 2 : p->samples;
    if (ckd_mul(&bits, (uint64_t)p->rows * p->columns, samples * p->bits_allocated)) {
        return 0;
    }
    return bits;
}

dl_status dl_dicom_pixels_finish(dl_dicom_reader *r, dl_error *err)
{
    dl_dicom_pixels *pixels = &r->header->pixels;
    if (!pixels->present) {
        return DL_OK;
    }
    if (!pixels->encapsulated) {
        pixels->indexed = frame_bits(pixels) > 0;
        return DL_OK;
    }
    if (r->too_many_fragments || pixels->frame_count > r->options.fragment_limit) {
        return DL_OK;
    }
    size_t count = r->fragments.len / sizeof(dl_dicom_fragment);
    bool enough = count >= pixels->frame_count; /* each frame has a fragment of its own at least */
    pixels->fragments = dl_arena_alloc(r->arena, count, sizeof *pixels->fragments);
    if (pixels->fragments == NULL) {
        return dl_arena_full(r->arena, err);
    }
    if (count > 0) {
        memcpy(pixels->fragments, r->fragments.ptr, r->fragments.len);
    }
    pixels->fragment_count = count;
    if (!enough) {
        return DL_OK;
    }
    pixels->frame_starts =
        dl_arena_alloc(r->arena, (size_t)pixels->frame_count + 1, sizeof *pixels->frame_starts);
    if (pixels->frame_starts == NULL) {
        return dl_arena_full(r->arena, err);
    }
    frame_map map = {pixels->fragments, count, pixels->frame_count, pixels->frame_starts};
    pixels->indexed = map_frames(r, &map);
    return DL_OK;
}

dl_status dl_dicom_frame(const dl_dicom_pixels *pixels, uint32_t number, dl_arena *arena,
                         dl_dicom_fragment **out_pieces, size_t *out_count, dl_error *err)
{
    if (!pixels->present || number < 1 || number > pixels->frame_count) {
        return dl_error_set(err, DL_E_NOT_FOUND, "there is no frame %u", number);
    }
    if (!pixels->indexed) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "where frame %u begins is not known", number);
    }
    uint32_t frame = number - 1;
    size_t first = pixels->encapsulated ? pixels->frame_starts[frame] : 0;
    size_t count = pixels->encapsulated ? pixels->frame_starts[frame + 1] - first : 1;
    dl_dicom_fragment *pieces = dl_arena_alloc(arena, count, sizeof *pieces);
    if (pieces == NULL) {
        return dl_arena_full(arena, err);
    }
    if (pixels->encapsulated) {
        if (count > 0) {
            memcpy(pieces, pixels->fragments + first, count * sizeof *pieces);
        }
    } else {
        uint64_t bits = frame_bits(pixels);
        uint64_t start = 0;
        uint64_t end = 0;
        bool beyond = ckd_mul(&start, bits, frame) || ckd_add(&end, start, bits) ||
                      end > UINT64_MAX - 7 || (end + 7) / 8 > pixels->length_bytes;
        if (beyond) {
            return dl_error_set(err, DL_E_INVALID, "the pixel data ends before frame %u does",
                                number);
        }
        *pieces = (dl_dicom_fragment){pixels->offset_bytes + start / 8, (end + 7) / 8 - start / 8};
    }
    *out_pieces = pieces;
    *out_count = count;
    return DL_OK;
}
