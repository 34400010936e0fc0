#include "dicom/internal.h"

/* Tags of PS3.5 section 7.5. */
#define ITEM 0xfffee000u
#define ITEM_END 0xfffee00du
#define SEQUENCE_END 0xfffee0ddu
#define PIXEL_DATA 0x7fe00010u

static uint32_t tag_at(const dl_dicom_level *top, const uint8_t *p)
{
    return top->big_endian ? (uint32_t)dl_be16(p) << 16 | dl_be16(p + 2)
                           : (uint32_t)dl_le16(p) << 16 | dl_le16(p + 2);
}

static uint32_t length_at(const dl_dicom_level *top, const uint8_t *p)
{
    return top->big_endian ? dl_be32(p) : dl_le32(p);
}

static dl_status bad_length(uint32_t tag, uint32_t length, dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "element %08x: length %u passes the end of its item",
                        tag, length);
}

/* ---- levels ---- */

static dl_status push(dl_dicom_reader *r, const dl_dicom_level *next, uint32_t tag, dl_error *err)
{
    if (r->depth == r->level_limit) {
        return dl_error_set(err, DL_E_INVALID, "element %08x: sequences nested deeper than %zu",
                            tag, r->options.depth_limit);
    }
    r->levels[r->depth++] = *next;
    return DL_OK;
}

static dl_status open_sequence(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    const dl_dicom_level *parent = dl_dicom_top_level(r);
    bool is_un = e->vr->kind != KIND_SEQUENCE; /* PS3.5 6.2.2, note on UN of undefined length */
    uint64_t end =
        e->length == UNDEFINED_LENGTH ? NO_END : dl_dicom_input_position(&r->in) + e->length;
    dl_dicom_level next = {
        .end = end,
        .implicit_vr = parent->implicit_vr || is_un,
        .big_endian = parent->big_endian && !is_un,
        .hidden = parent->hidden || is_un || e->tag >> 16 <= 2,
        .signed_pixels = parent->signed_pixels,
        .set = parent->set,
    };
    next.visible = parent->visible && !next.hidden;
    DL_TRY(push(r, &next, e->tag, err));
    return next.visible ? dl_dicom_emit_head(&r->out, e->tag, e->vr->vr, err) : DL_OK;
}

static dl_status open_item(dl_dicom_reader *r, uint32_t length, dl_error *err)
{
    dl_dicom_level *sequence = dl_dicom_top_level(r);
    dl_dicom_level next = *sequence;
    next.is_item = true;
    next.last_tag = 0;
    next.facts = 0;
    next.end = NO_END;
    if (length != UNDEFINED_LENGTH) {
        next.end = dl_dicom_input_position(&r->in) + length;
        if (next.end > sequence->end) {
            return bad_length(ITEM, length, err);
        }
    }
    if (sequence->visible) {
        DL_TRY(sequence->has_items ? dl_dicom_emit_bytes(&r->out, ",{", 2, err)
                                   : dl_dicom_emit_bytes(&r->out, ",\"Value\":[{", 11, err));
        DL_TRY(dl_dicom_emit_commit(&r->out, err));
        next.json_start = r->out.json->len - 1;
        r->out.comma = false;
    }
    sequence->has_items = true;
    return push(r, &next, ITEM, err);
}

static dl_status on_dropped(void *context, uint32_t tag, dl_error *err)
{
    return dl_dicom_add_finding(context, tag, 0, DL_STR_NONE, "the tag is there a second time",
                                err);
}

static dl_status close_item(dl_dicom_reader *r, const dl_dicom_level *closing, dl_error *err)
{
    if (closing->out_of_order) {
        DL_TRY(dl_dicom_emit_sort(&r->out, closing->json_start, &r->scratch, on_dropped, r, err));
    }
    DL_TRY(dl_dicom_emit_bytes(&r->out, "}", 1, err));
    return dl_dicom_emit_commit(&r->out, err);
}

static dl_status close_sequence(dl_dicom_reader *r, const dl_dicom_level *closing, dl_error *err)
{
    DL_TRY(closing->has_items ? dl_dicom_emit_bytes(&r->out, "]}", 2, err)
                              : dl_dicom_emit_bytes(&r->out, "}", 1, err));
    r->out.comma = true;
    return dl_dicom_emit_commit(&r->out, err);
}

static dl_status close_level(dl_dicom_reader *r, dl_error *err)
{
    const dl_dicom_level *closing = dl_dicom_top_level(r);
    if (closing->visible) {
        DL_TRY(closing->is_item ? close_item(r, closing, err) : close_sequence(r, closing, err));
    }
    r->depth--;
    return DL_OK;
}

/* ---- element headers ---- */

/** Implicit VR: from the dictionary, private elements UN, creators LO (PS3.5 6.2.2 and 7.8.1). */
static const dl_dicom_vr_info *implicit_vr(uint32_t tag, bool signed_pixels)
{
    uint32_t number = tag & 0xffff;
    if (number == 0) {
        return dl_dicom_vr_of(DL_VR('U', 'L'));
    }
    if ((tag >> 16 & 1) != 0) {
        return dl_dicom_vr_of(number >= 0x10 && number <= 0xff ? DL_VR('L', 'O') : DL_VR('U', 'N'));
    }
    const dl_dict_entry *entry = dl_dict_find(tag);
    if (entry == NULL) {
        return dl_dicom_vr_of(DL_VR('U', 'N'));
    }
    if (entry->other_vrs[0] == 0) {
        return dl_dicom_vr_of(entry->vr);
    }
    /* PS3.5 annex A.1: OW for pixels, overlays and tables; else US or SS as the pixels are. */
    if (entry->other_vrs[0] == DL_VR('S', 'S') && entry->other_vrs[1] == 0) {
        return dl_dicom_vr_of(signed_pixels ? DL_VR('S', 'S') : DL_VR('U', 'S'));
    }
    return dl_dicom_vr_of(DL_VR('O', 'W'));
}

/** An element's header at the window's unread bytes, at least 8 of them; passed over. */
static dl_status take_header(dl_dicom_reader *r, dl_dicom_element *out_element, dl_error *err)
{
    const dl_dicom_level *top = dl_dicom_top_level(r);
    const uint8_t *p = r->in.window + r->in.at;
    dl_dicom_element e = {.tag = tag_at(top, p)};
    size_t head = 8;
    if (!top->implicit_vr) {
        e.vr = dl_dicom_vr_find(p[4], p[5]);
        bool capitals = p[4] >= 'A' && p[4] <= 'Z' && p[5] >= 'A' && p[5] <= 'Z';
        if (unlikely(p[4] == ' ' && p[5] == ' ')) { /* left blank, seen with the short form */
            e.vr = implicit_vr(e.tag, top->signed_pixels);
            e.length = top->big_endian ? dl_be16(p + 6) : dl_le16(p + 6);
            r->in.at += head;
            *out_element = e;
            return DL_OK;
        }
        if (likely(e.vr->kind != KIND_UNKNOWN || capitals)) {
            /* VRs that are not known yet have the long form (PS3.5 6.2). */
            if (!e.vr->long_length) {
                e.length = top->big_endian ? dl_be16(p + 6) : dl_le16(p + 6);
            } else {
                DL_TRY(dl_dicom_input_need(&r->in, 12, err));
                if (dl_dicom_input_left(&r->in) < 12) {
                    return dl_dicom_cut_off(r, e.tag, err);
                }
                p = r->in.window + r->in.at;
                e.length = length_at(top, p + 8);
                head = 12;
            }
            if (unlikely(e.vr->kind == KIND_UNKNOWN)) {
                e.vr = dl_dicom_vr_of(DL_VR('U', 'N'));
            }
            r->in.at += head;
            *out_element = e;
            return DL_OK;
        }
        /* No VR at all: some writers leave it out for single elements. */
    }
    e.vr = implicit_vr(e.tag, top->signed_pixels);
    e.length = length_at(top, p + 4);
    r->in.at += head;
    *out_element = e;
    return DL_OK;
}

/* ---- elements ---- */

static dl_status undefined_length(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    bool at_top = r->depth == 1;
    if (e->tag == PIXEL_DATA && (at_top || e->vr->kind == KIND_BULK)) {
        return dl_dicom_pixels_fragments(r, e->tag, at_top, err);
    }
    if (e->vr->kind == KIND_SEQUENCE || e->vr->vr == DL_VR('U', 'N')) {
        return open_sequence(r, e, err);
    }
    if (e->vr->kind == KIND_BULK) {
        return dl_dicom_pixels_fragments(r, e->tag, false, err);
    }
    return dl_error_set(err, DL_E_INVALID, "element %08x: undefined length with VR %c%c", e->tag,
                        e->vr->vr >> 8, e->vr->vr & 0xff);
}

static bool is_pixels(uint32_t tag)
{
    return tag == PIXEL_DATA || tag == 0x7fe00008u || tag == 0x7fe00009u;
}

static dl_status offset_table(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    if (e->length / 8 > r->options.fragment_limit) {
        return dl_dicom_pass_over(r, e->tag, e->length, err);
    }
    return dl_dicom_value_into(r, e->tag, e->length, &r->extended_table, err);
}

/** In implicit VR only the dictionary calls an element a sequence: whether its value has items. */
static dl_status has_items(dl_dicom_reader *r, const dl_dicom_element *e, bool *out_has,
                           dl_error *err)
{
    const dl_dicom_level *top = dl_dicom_top_level(r);
    *out_has = true;
    if (!top->implicit_vr || e->length == 0) {
        return DL_OK;
    }
    DL_TRY(dl_dicom_input_need(&r->in, 4, err));
    uint32_t tag = dl_dicom_input_left(&r->in) < 4 ? ITEM : tag_at(top, r->in.window + r->in.at);
    *out_has = e->length >= 8 && (tag == ITEM || (tag == SEQUENCE_END && e->length == 8));
    return DL_OK;
}

static dl_status take_sequence(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    bool is_sequence = false;
    DL_TRY(has_items(r, e, &is_sequence, err));
    if (is_sequence) {
        return open_sequence(r, e, err);
    }
    if (!dl_dicom_top_level(r)->hidden) {
        DL_TRY(
            dl_dicom_add_finding(r, e->tag, e->vr->vr, DL_STR_NONE, "the value has no items", err));
    }
    return dl_dicom_pass_over(r, e->tag, e->length, err);
}

static dl_status take_element(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    if (e->length == UNDEFINED_LENGTH) {
        return undefined_length(r, e, err);
    }
    if (dl_dicom_input_position(&r->in) + e->length > dl_dicom_top_level(r)->end) {
        return bad_length(e->tag, e->length, err);
    }
    if (e->vr->kind == KIND_SEQUENCE) {
        return take_sequence(r, e, err);
    }
    if (e->vr->kind != KIND_BULK) {
        return dl_dicom_take_value(r, e, err);
    }
    if (r->depth == 1) {
        if (is_pixels(e->tag)) {
            return dl_dicom_pixels_native(r, e, err);
        }
        if (e->tag == 0x7fe00001u) {
            return offset_table(r, e, err);
        }
        int core = dl_dicom_core_of(e->tag);
        if (core >= 0 && !r->header->core[core].present) {
            r->header->core[core] = (dl_dicom_core_value){.present = true, .vr = e->vr->vr};
        }
    }
    return dl_dicom_pass_over(r, e->tag, e->length, err);
}

/** Tags ascend and are unique (PS3.5 7.1); others are sorted in, and of equals the first stays. */
static dl_status check_order(dl_dicom_reader *r, const dl_dicom_element *e, bool *out_drop,
                             dl_error *err)
{
    dl_dicom_level *top = dl_dicom_top_level(r);
    *out_drop = false;
    if (likely(e->tag > top->last_tag)) {
        top->last_tag = e->tag;
        return DL_OK;
    }
    int core = r->depth == 1 ? dl_dicom_core_of(e->tag) : -1;
    bool again = e->tag == top->last_tag || (core >= 0 && r->header->core[core].present) ||
                 dl_dicom_was_invalid(r, e->tag);
    top->out_of_order = true;
    if (again && e->length != UNDEFINED_LENGTH && e->vr->kind != KIND_SEQUENCE) {
        *out_drop = true;
        return dl_dicom_add_finding(r, e->tag, 0, DL_STR_NONE, "the tag is there a second time",
                                    err);
    }
    return DL_OK;
}

/** Zeros after the last element: padding that PS3.10 does not know, but files have. Fewer than a
 * header's are that only after the pixel data: before it they may be the start of an element. */
static bool is_padding(const dl_dicom_reader *r, const uint8_t *p, size_t len)
{
    static const uint8_t zeros[8];
    bool whole = len >= sizeof zeros || r->header->pixels.present;
    return r->depth == 1 && r->levels[0].last_tag > 0 && whole &&
           memcmp(p, zeros, len < sizeof zeros ? len : sizeof zeros) == 0;
}

/** Whether the delimiter at hand may be that of the top level: a length of its own needs none, but
 * files have one as the last thing that the length counts. */
static bool may_close(dl_dicom_reader *r)
{
    uint64_t end = dl_dicom_top_level(r)->end;
    return end == NO_END || dl_dicom_input_position(&r->in) + 8 == end;
}

/** Whether the rest of the input is an item's delimiter: the data set was one of a sequence. */
static dl_status is_last_delimiter(dl_dicom_reader *r, bool *out_is, dl_error *err)
{
    DL_TRY(dl_dicom_input_need(&r->in, 9, err));
    const dl_dicom_level *top = dl_dicom_top_level(r);
    const uint8_t *p = r->in.window + r->in.at;
    *out_is = r->depth == 1 && dl_dicom_input_left(&r->in) == 8 && top->last_tag > 0 &&
              tag_at(top, p) == ITEM_END && length_at(top, p + 4) == 0 &&
              !dl_dicom_input_lacks_end(&r->in);
    return DL_OK;
}

static dl_status step_data_set(dl_dicom_reader *r, bool *out_done, dl_error *err)
{
    DL_TRY(dl_dicom_input_need(&r->in, 8, err));
    size_t left = dl_dicom_input_left(&r->in);
    const uint8_t *p = r->in.window + r->in.at;
    if (unlikely(left < 8)) {
        if (r->depth == 1 && (left == 0 || is_padding(r, p, left)) &&
            !dl_dicom_input_lacks_end(&r->in)) {
            *out_done = true;
            return DL_OK;
        }
        return dl_dicom_cut_off(r, dl_dicom_top_level(r)->last_tag, err);
    }
    uint32_t tag = tag_at(dl_dicom_top_level(r), p);
    if (unlikely(r->depth == 1 && tag >> 16 >= 0xfffe && r->header->pixels.present)) {
        return dl_dicom_cut_off(r, tag, err); /* not of a data set: a delimiter too many, garbage */
    }
    if (unlikely(tag >> 16 == 0xfffe)) {
        DL_TRY(is_last_delimiter(r, out_done, err));
        if (*out_done) {
            return DL_OK;
        }
        if (tag != ITEM_END || r->depth == 1 || !may_close(r)) {
            return dl_error_set(err, DL_E_INVALID,
                                "item tag %08x where an element should be, after %08x", tag,
                                dl_dicom_top_level(r)->last_tag);
        }
        r->in.at += 8;
        return close_level(r, err);
    }
    if (unlikely(tag == 0 && is_padding(r, p, left))) {
        *out_done = true;
        return DL_OK;
    }
    dl_dicom_element e = {0};
    DL_TRY(take_header(r, &e, err));
    if (r->cut || e.vr == NULL) {
        return DL_OK;
    }
    bool drop = false;
    DL_TRY(check_order(r, &e, &drop, err));
    return drop ? dl_dicom_pass_over(r, e.tag, e.length, err) : take_element(r, &e, err);
}

static dl_status step_sequence(dl_dicom_reader *r, dl_error *err)
{
    DL_TRY(dl_dicom_input_need(&r->in, 8, err));
    if (dl_dicom_input_left(&r->in) < 8) {
        return dl_dicom_cut_off(r, ITEM, err);
    }
    const uint8_t *p = r->in.window + r->in.at;
    uint32_t tag = tag_at(dl_dicom_top_level(r), p);
    uint32_t length = length_at(dl_dicom_top_level(r), p + 4);
    bool closes = tag == SEQUENCE_END && may_close(r);
    r->in.at += 8;
    if (tag == ITEM) {
        return open_item(r, length, err);
    }
    if (closes) {
        return close_level(r, err);
    }
    return dl_error_set(err, DL_E_INVALID, "tag %08x where an item of a sequence should be", tag);
}

dl_status dl_dicom_walk(dl_dicom_reader *r, dl_error *err)
{
    bool done = false;
    dl_dicom_level root = {
        .end = NO_END,
        .is_item = true,
        .implicit_vr = r->header->implicit_vr,
        .big_endian = r->header->big_endian,
        .visible = r->out.json != NULL,
    };
    r->levels[0] = root;
    r->depth = 1;
    if (root.visible) {
        DL_TRY(dl_dicom_emit_bytes(&r->out, "{", 1, err));
        DL_TRY(dl_dicom_emit_commit(&r->out, err));
        r->levels[0].json_start = r->out.json->len - 1;
    }
    while (!done && !r->cut) {
        const dl_dicom_level *top = dl_dicom_top_level(r);
        if (unlikely(dl_dicom_input_position(&r->in) >= top->end)) {
            if (dl_dicom_input_position(&r->in) > top->end) {
                return bad_length(top->last_tag, 0, err);
            }
            DL_TRY(close_level(r, err));
        } else if (top->is_item) {
            DL_TRY(step_data_set(r, &done, err));
        } else {
            DL_TRY(step_sequence(r, err));
        }
    }
    while (r->depth > 0) {
        DL_TRY(close_level(r, err));
    }
    return DL_OK;
}
