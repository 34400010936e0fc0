#include "dicom/internal.h"

#include <stdio.h>

enum { CORE_BYTES = 256 }; /* of a core value that is too long, enough to see that it is */

int dl_dicom_core_of(uint32_t tag)
{
    switch (tag) {
    case 0x00080016:
        return DL_DICOM_SOP_CLASS_UID;
    case 0x00080018:
        return DL_DICOM_SOP_INSTANCE_UID;
    case 0x0020000d:
        return DL_DICOM_STUDY_INSTANCE_UID;
    case 0x0020000e:
        return DL_DICOM_SERIES_INSTANCE_UID;
    case 0x00100020:
        return DL_DICOM_PATIENT_ID;
    default:
        return -1;
    }
}

/** The identifiers of the instance, which stay in the JSON even when they are invalid. */
static bool always_stays(const dl_dicom_reader *r, uint32_t tag)
{
    return r->depth == 1 && (tag == 0x00080018 || tag == 0x0020000d || tag == 0x0020000e);
}

dl_status dl_dicom_cut_off(dl_dicom_reader *r, uint32_t tag, dl_error *err)
{
    if (r->header->pixels.present) {
        r->header->truncated_pixels = true;
        r->cut = true;
        return DL_OK;
    }
    return dl_error_set(err, DL_E_INVALID, "the input ends inside the header, at element %08x",
                        tag);
}

dl_status dl_dicom_pass_over(dl_dicom_reader *r, uint32_t tag, uint64_t count, dl_error *err)
{
    uint64_t missing = 0;
    DL_TRY(dl_dicom_input_skip(&r->in, count, &missing, err));
    return missing > 0 ? dl_dicom_cut_off(r, tag, err) : DL_OK;
}

dl_status dl_dicom_value_into(dl_dicom_reader *r, uint32_t tag, size_t length, dl_buf *out,
                              dl_error *err)
{
    dl_buf_reset(out);
    while (out->len < length && !r->cut) {
        size_t want = length - out->len;
        want = want < WINDOW_BYTES ? want : WINDOW_BYTES;
        DL_TRY(dl_dicom_input_need(&r->in, want, err));
        if (dl_dicom_input_left(&r->in) < want) {
            dl_buf_reset(out);
            return dl_dicom_cut_off(r, tag, err);
        }
        DL_TRY(dl_buf_append(out, r->in.window + r->in.at, want, err));
        r->in.at += want;
    }
    return DL_OK;
}

dl_status dl_dicom_value_bytes(dl_dicom_reader *r, uint32_t tag, size_t length, dl_bytes *out_value,
                               dl_error *err)
{
    if (likely(length <= WINDOW_BYTES)) {
        DL_TRY(dl_dicom_input_need(&r->in, length, err));
        if (dl_dicom_input_left(&r->in) < length) {
            return dl_dicom_cut_off(r, tag, err);
        }
        *out_value = (dl_bytes){r->in.window + r->in.at, length};
        r->in.at += length;
        return DL_OK;
    }
    DL_TRY(dl_dicom_value_into(r, tag, length, &r->value, err));
    *out_value = (dl_bytes){(const uint8_t *)r->value.ptr, r->value.len};
    return DL_OK;
}

/* ---- findings ---- */

/** The beginning of a value, cut between characters. */
static dl_str quoted_part(dl_str value)
{
    if (value.len <= QUOTE_BYTES) {
        return value;
    }
    value.len = QUOTE_BYTES;
    while (value.len > 0 && ((unsigned char)value.ptr[value.len] & 0xc0) == 0x80) {
        value.len--;
    }
    return value;
}

/** `"value" is not a DA: why`; by hand, because a value may hold NUL. */
static dl_status quote(dl_arena *arena, dl_vr vr, dl_str value, const char *why, dl_str *out_reason,
                       dl_error *err)
{
    char after[160];
    dl_str part = quoted_part(value);
    int n = snprintf(after, sizeof after, "%s\" is not a %c%c: %s",
                     part.len < value.len ? "..." : "", vr >> 8, vr & 0xff, why);
    size_t after_len = (size_t)n < sizeof after ? (size_t)n : sizeof after - 1;
    char *text = dl_arena_alloc(arena, 1 + part.len + after_len, 1);
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    text[0] = '"';
    memcpy(text + 1, part.ptr, part.len);
    memcpy(text + 1 + part.len, after, after_len);
    *out_reason = (dl_str){text, 1 + part.len + after_len};
    return DL_OK;
}

/** Of the element at hand; 0: top level. */
static uint32_t item_depth(const dl_dicom_reader *r)
{
    return (uint32_t)(r->depth - 1) / 2;
}

/** The finding of `tag` so far; NULL when there is none. */
static dl_dicom_finding *known_finding(const dl_dicom_reader *r, uint32_t tag)
{
    size_t count = r->findings.len / sizeof(dl_dicom_finding);
    dl_dicom_finding *known = (dl_dicom_finding *)(void *)r->findings.ptr;
    for (size_t i = 0; i < count; i++) {
        if (known[i].tag == tag) {
            return &known[i];
        }
    }
    return NULL;
}

bool dl_dicom_was_invalid(const dl_dicom_reader *r, uint32_t tag)
{
    const dl_dicom_finding *known = r->depth == 1 ? known_finding(r, tag) : NULL;
    return known != NULL && known->depth == 0;
}

/** Whether `keeps` names the element at hand. */
static bool is_kept(const dl_dicom_reader *r, uint32_t tag)
{
    return item_depth(r) == 0 && r->options.keeps != NULL && r->options.keeps(tag);
}

static bool has_room(const dl_dicom_reader *r, const dl_dicom_finding *finding)
{
    size_t count = r->findings.len / sizeof *finding;
    size_t more = is_kept(r, finding->tag) ? DL_DICOM_KEPT_LIMIT : 0;
    return count < r->options.finding_limit + more;
}

/** One finding for each tag: the first, but one at the top level counts more than one in an item,
 * where an attribute of the same name means less. */
dl_status dl_dicom_add_finding(dl_dicom_reader *r, uint32_t tag, dl_vr vr, dl_str value,
                               const char *why, dl_error *err)
{
    dl_dicom_finding finding = {.tag = tag, .depth = item_depth(r)};
    dl_dicom_finding *known = known_finding(r, tag);
    if (known == NULL ? !has_room(r, &finding) : known->depth == 0 || finding.depth > 0) {
        return DL_OK;
    }
    dl_str *reason = &finding.reason.value;
    if (value.ptr != NULL) {
        DL_TRY(quote(r->arena, vr, value, why, reason, err));
    } else if (vr != 0) {
        DL_TRY(dl_arena_printf(r->arena, reason, err, "%c%c: %s", vr >> 8, vr & 0xff, why));
    } else {
        DL_TRY(dl_arena_copy(r->arena, dl_str_of(why), reason, err));
    }
    if (known != NULL) {
        *known = finding;
        return DL_OK;
    }
    return dl_buf_append(&r->findings, &finding, sizeof finding, err);
}

/* ---- facts of the header ---- */

static dl_status take_core(dl_dicom_reader *r, int core, const dl_dicom_vr_info *vr, dl_str text,
                           dl_error *err)
{
    dl_dicom_core_value value = {.present = true, .vr = vr->vr, .value_count = text.len > 0};
    dl_str first = text;
    if (vr->kind != KIND_PROSE) {
        for (size_t i = 0; i < text.len; i++) {
            if (text.ptr[i] == '\\') {
                first.len = value.value_count == 1 ? i : first.len;
                value.value_count++;
            }
        }
    }
    DL_TRY(dl_arena_copy(r->arena, dl_str_trim_padding(first), &value.first, err));
    r->header->core[core] = value;
    return DL_OK;
}

/** Whether the tag is that of a fact, and the first in its data set: that one the JSON keeps. */
static bool is_new_fact(dl_dicom_reader *r, uint32_t tag)
{
    static const uint32_t facts[] = {0x00080005, 0x00280002, 0x00280004, 0x00280008,
                                     0x00280010, 0x00280011, 0x00280100, 0x00280103};
    dl_dicom_level *top = dl_dicom_top_level(r);
    for (size_t i = 0; i < DL_COUNT_OF(facts); i++) {
        if (facts[i] == tag) {
            bool is_new = (top->facts >> i & 1) == 0;
            top->facts |= (uint8_t)(1u << i);
            return is_new;
        }
    }
    return false;
}

static void take_text_fact(dl_dicom_reader *r, uint32_t tag, dl_str text)
{
    if ((tag != 0x00080005 && tag >> 16 != 0x0028) || !is_new_fact(r, tag)) {
        return;
    }
    if (tag == 0x00080005 && text.len > 0) { /* type 1C: an empty one says nothing */
        dl_dicom_top_level(r)->set = dl_dicom_charset_of(text);
    } else if (r->depth == 1 && tag == 0x00280004) {
        r->header->pixels.half_chroma =
            dl_str_starts(text, DL_STR("YBR_")) && dl_str_ends(text, DL_STR("_422"));
    } else if (r->depth == 1 && tag == 0x00280008) {
        int64_t frames = 0; /* a sign may be there: PS3.5 6.2, IS */
        if (dl_str_to_i64(dl_str_trim(text), &frames) && frames >= 1 && frames <= INT32_MAX) {
            r->header->pixels.frame_count = (uint32_t)frames;
        }
    }
}

static void take_number_fact(dl_dicom_reader *r, uint32_t tag, const dl_dicom_vr_info *vr,
                             dl_bytes value)
{
    if (tag >> 16 != 0x0028 || !is_new_fact(r, tag) || vr->unit != 2 || value.len < 2) {
        return;
    }
    uint32_t number = r->header->big_endian ? dl_be16(value.ptr) : dl_le16(value.ptr);
    if (tag == 0x00280103) {
        dl_dicom_top_level(r)->signed_pixels = number == 1;
    }
    if (r->depth > 1) {
        return;
    }
    dl_dicom_pixels *pixels = &r->header->pixels;
    if (tag == 0x00280002) {
        pixels->samples = number;
    } else if (tag == 0x00280010) {
        pixels->rows = number;
    } else if (tag == 0x00280011) {
        pixels->columns = number;
    } else if (tag == 0x00280100) {
        pixels->bits_allocated = number;
    }
}

/* ---- values ---- */

/** Spaces and nothing else. */
static bool is_blank(dl_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] != ' ') {
            return false;
        }
    }
    return value.len > 0;
}

/** Of the finding that the element at hand has. */
static void mark_multiple(dl_dicom_reader *r, uint32_t tag, bool multiple)
{
    dl_dicom_finding *finding = known_finding(r, tag);
    if (finding != NULL && finding->depth == item_depth(r)) {
        finding->multiple = finding->multiple || multiple;
    }
}

static dl_status check_first(dl_dicom_reader *r, const dl_dicom_element *e, dl_str text,
                             unsigned found, dl_error *err)
{
    char detail[96];
    if (!is_kept(r, e->tag)) {
        return DL_OK;
    }
    if ((found & HAS_BACKSLASH) != 0 && e->vr->kind != KIND_PROSE) {
        text = dl_str_trim_padding(dl_str_slice(text, 0, (size_t)dl_str_find(text, '\\')));
        r->header->many_values =
            r->header->many_values || dl_dicom_validate_count(e->tag, 2, detail) != NULL;
    }
    const char *why = dl_dicom_validate_first(e->vr->vr, text, found);
    return why == NULL ? DL_OK : dl_dicom_add_finding(r, e->tag, e->vr->vr, text, why, err);
}

static dl_status take_text(dl_dicom_reader *r, const dl_dicom_element *e, dl_bytes value,
                           bool visible, dl_error *err)
{
    const dl_dicom_vr_info *vr = e->vr;
    dl_str text = dl_str_trim_padding((dl_str){(const char *)value.ptr, value.len});
    unsigned found = dl_dicom_scan_text((const uint8_t *)text.ptr, text.len);
    dl_dicom_charset set =
        vr->uses_charset ? dl_dicom_top_level(r)->set : (dl_dicom_charset){SET_ASCII, false};
    if (unlikely((found & HAS_HIGH) != 0 || ((found & HAS_ESCAPE) != 0 && set.escapes))) {
        dl_buf_reset(&r->text);
        dl_dicom_decoding how = {&r->decoder, set, vr->kind == KIND_NAME, vr->kind != KIND_PROSE};
        DL_TRY(dl_dicom_decode_text(&how, (dl_bytes){(const uint8_t *)text.ptr, text.len}, &r->text,
                                    err));
        text = dl_str_trim_padding(dl_buf_str(&r->text));
        found = dl_dicom_scan_text((const uint8_t *)text.ptr, text.len);
    }
    int core = r->depth == 1 ? dl_dicom_core_of(e->tag) : -1;
    if (core >= 0) {
        DL_TRY(take_core(r, core, vr, text, err));
    }
    take_text_fact(r, e->tag, text);
    if (r->options.first_values) {
        DL_TRY(check_first(r, e, text, found, err));
    } else if (r->options.validate) {
        char detail[96];
        dl_str wrong = DL_STR_NONE;
        if (text.len == 0 && vr->vr == DL_VR('A', 'E') && is_blank(value)) {
            text = (dl_str){(const char *)value.ptr, value.len}; /* the one VR that forbids it */
        }
        const char *why = dl_dicom_validate_text(e->tag, vr, text, found, detail, &wrong);
        if (why != NULL) {
            DL_TRY(dl_dicom_add_finding(r, e->tag, vr->vr, wrong, why, err));
            mark_multiple(r, e->tag, (found & HAS_BACKSLASH) != 0 && vr->kind != KIND_PROSE);
            visible = visible && always_stays(r, e->tag);
        }
    }
    return visible ? dl_dicom_emit_text(&r->out, e->tag, vr, text, found, err) : DL_OK;
}

static dl_status take_binary(dl_dicom_reader *r, const dl_dicom_element *e, dl_bytes value,
                             bool visible, dl_error *err)
{
    take_number_fact(r, e->tag, e->vr, value);
    if (r->options.validate && value.len > 0) {
        char detail[96];
        const char *why = value.len % e->vr->unit != 0
                              ? "the length is no multiple of the size of a value"
                              : dl_dicom_validate_count(e->tag, value.len / e->vr->unit, detail);
        if (why != NULL) {
            return dl_dicom_add_finding(r, e->tag, e->vr->vr, DL_STR_NONE, why, err);
        }
    }
    return visible ? dl_dicom_emit_binary(&r->out, e->tag, e->vr, value, r->header->big_endian, err)
                   : DL_OK;
}

static dl_status too_long(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    char why[96];
    (void)snprintf(why, sizeof why, "%u bytes, longer than the limit of %zu", e->length,
                   r->options.value_limit_bytes);
    DL_TRY(dl_dicom_add_finding(r, e->tag, e->vr->vr, DL_STR_NONE, why, err));
    int core = r->depth == 1 ? dl_dicom_core_of(e->tag) : -1;
    uint64_t rest = e->length;
    if (core >= 0) {
        size_t part = rest < CORE_BYTES ? (size_t)rest : CORE_BYTES;
        dl_bytes value = {NULL, 0};
        DL_TRY(dl_dicom_value_bytes(r, e->tag, part, &value, err));
        if (!r->cut) {
            dl_buf_reset(&r->text);
            dl_dicom_decoding how = {&r->decoder, dl_dicom_top_level(r)->set, false, true};
            DL_TRY(dl_dicom_decode_text(&how, value, &r->text, err));
            DL_TRY(take_core(r, core, e->vr, dl_buf_str(&r->text), err));
        }
        rest -= part;
    }
    return r->cut ? DL_OK : dl_dicom_pass_over(r, e->tag, rest, err);
}

dl_status dl_dicom_take_value(dl_dicom_reader *r, const dl_dicom_element *e, dl_error *err)
{
    bool listed = e->tag >> 16 > 2 && (e->tag & 0xffff) != 0; /* no meta, no group lengths */
    if (!listed || dl_dicom_top_level(r)->hidden) {
        return dl_dicom_pass_over(r, e->tag, e->length, err);
    }
    if (unlikely(e->length > r->options.value_limit_bytes)) {
        return too_long(r, e, err);
    }
    dl_bytes value = {NULL, 0};
    DL_TRY(dl_dicom_value_bytes(r, e->tag, e->length, &value, err));
    if (r->cut) {
        return DL_OK;
    }
    bool visible = dl_dicom_top_level(r)->visible;
    return e->vr->kind == KIND_BINARY ? take_binary(r, e, value, visible, err)
                                      : take_text(r, e, value, visible, err);
}
