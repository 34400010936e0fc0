#include "dicom/internal.h"

/* PS3.10 section 7: preamble, DICM, group 0002 in explicit VR little endian. */

enum { PREAMBLE_BYTES = 128, META_VALUE_BYTES = 64 * 1024 - 64 };

static const char implicit_little[] = "1.2.840.10008.1.2";
static const char explicit_little[] = "1.2.840.10008.1.2.1";
static const char explicit_big[] = "1.2.840.10008.1.2.2";

/* Syntaxes that are not explicit VR little endian (PS3.5 annex A). */
static const struct {
    const char *uid;
    bool implicit_vr, big_endian, deflated, refused;
} syntaxes[] = {
    {implicit_little, true, false, false, false},
    {explicit_big, false, true, false, false},
    {"1.2.840.10008.1.2.1.99", false, false, true, false},
    {"1.2.840.10008.1.2.4.95", false, false, true, false},  /* JPIP Referenced Deflate */
    {"1.2.840.10008.1.2.4.205", false, false, true, false}, /* JPIP HTJ2K Referenced Deflate */
    {"1.2.840.113619.5.2", true, false, false, true},       /* GE: pixels in another byte order */
};

static dl_status not_dicom(dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "neither a DICOM file nor a bare data set");
}

static bool letters(const uint8_t *p)
{
    return dl_dicom_vr_find(p[4], p[5])->kind != KIND_UNKNOWN;
}

/** The encoding that the first element of a data set shows. */
static dl_status guess(const uint8_t *p, dl_dicom_meta *m, dl_error *err)
{
    uint16_t little = dl_le16(p);
    uint16_t big = dl_be16(p);
    m->big_endian = big < little;
    uint16_t group = m->big_endian ? big : little;
    m->implicit_vr = !letters(p);
    bool usual = group != 0 && group <= 0x0010 && group % 2 == 0;
    if ((!usual && !m->has_meta) || (m->big_endian && m->implicit_vr)) {
        return not_dicom(err);
    }
    const char *uid = m->implicit_vr  ? implicit_little
                      : m->big_endian ? explicit_big
                                      : explicit_little;
    (void)dl_str_copy(dl_str_of(uid), m->uid, sizeof m->uid);
    return DL_OK;
}

/** What the transfer syntax says; files that say explicit and are not (or the reverse) exist. */
static dl_status apply_syntax(dl_dicom_input *in, dl_dicom_meta *m, dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(syntaxes); i++) {
        if (strcmp(m->uid, syntaxes[i].uid) == 0) {
            if (syntaxes[i].refused) {
                return dl_error_set(err, DL_E_UNSUPPORTED, "transfer syntax %s", m->uid);
            }
            m->implicit_vr = syntaxes[i].implicit_vr;
            m->big_endian = syntaxes[i].big_endian;
            m->deflated = syntaxes[i].deflated;
        }
    }
    if (m->deflated) {
        return dl_dicom_input_inflate(in, err);
    }
    DL_TRY(dl_dicom_input_need(in, 8, err));
    if (dl_dicom_input_left(in) < 8) {
        return DL_OK; /* an empty data set, or cut off: the walk says which */
    }
    const uint8_t *p = in->window + in->at;
    bool shows_vr = letters(p);
    if (m->implicit_vr && shows_vr && dl_le16(p) == 0x0008) {
        m->implicit_vr = false;
    } else if (!m->implicit_vr && !m->big_endian && !shows_vr && dl_le16(p) == 0x0008 &&
               dl_le32(p + 4) <= WINDOW_BYTES) {
        m->implicit_vr = true;
    }
    return DL_OK;
}

static dl_status meta_cut_off(dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "the input ends inside the file meta information");
}

/** It is repeated in headers of answers, so nothing but a UID will do; empty is as absent. */
static dl_status take_syntax(dl_str value, dl_dicom_meta *m, dl_error *err)
{
    dl_str uid = dl_str_trim(dl_str_trim_padding(value));
    if ((uid.len > 0 && !dl_dicom_uid_is_valid(uid)) || !dl_str_copy(uid, m->uid, sizeof m->uid)) {
        return dl_error_set(err, DL_E_INVALID,
                            "element 00020010: length %zu exceeds 64, or it is no UID", value.len);
    }
    return DL_OK;
}

/** One element of group 0002; its header is in the window. */
static dl_status take_meta(dl_dicom_input *in, uint64_t *group_end, dl_dicom_meta *m, dl_error *err)
{
    const uint8_t *p = in->window + in->at;
    uint32_t number = dl_le16(p + 2);
    const dl_dicom_vr_info *vr = dl_dicom_vr_find(p[4], p[5]);
    size_t head = 8;
    uint32_t length = dl_le32(p + 4); /* implicit VR is wrong here, but seen */
    if (vr->kind != KIND_UNKNOWN) {
        length = dl_le16(p + 6);
        if (vr->long_length) {
            DL_TRY(dl_dicom_input_need(in, 12, err));
            if (dl_dicom_input_left(in) < 12) {
                return meta_cut_off(err);
            }
            length = dl_le32(in->window + in->at + 8);
            head = 12;
        }
    }
    in->at += head;
    if (number == 0x0000 || number == 0x0010) {
        if (length > META_VALUE_BYTES) {
            return dl_error_set(err, DL_E_INVALID, "element 0002%04x: length %u", number, length);
        }
        DL_TRY(dl_dicom_input_need(in, length, err));
        if (dl_dicom_input_left(in) < length) {
            return meta_cut_off(err);
        }
        p = in->window + in->at;
        in->at += length;
        if (number == 0 && length == 4) {
            *group_end = dl_dicom_input_position(in) + dl_le32(p);
        } else if (number == 0x0010) {
            return take_syntax((dl_str){(const char *)p, length}, m, err);
        }
        return DL_OK;
    }
    uint64_t missing = 0;
    DL_TRY(dl_dicom_input_skip(in, length, &missing, err));
    return missing > 0 ? meta_cut_off(err) : DL_OK;
}

static dl_status read_group(dl_dicom_input *in, dl_dicom_meta *m, dl_error *err)
{
    uint64_t group_end = NO_END;
    for (;;) {
        DL_TRY(dl_dicom_input_need(in, 8, err));
        if (dl_dicom_input_left(in) < 8 || dl_le16(in->window + in->at) != 0x0002 ||
            dl_dicom_input_position(in) == group_end) {
            return DL_OK;
        }
        m->has_meta = true;
        DL_TRY(take_meta(in, &group_end, m, err));
    }
}

dl_status dl_dicom_meta_read(dl_dicom_input *in, dl_dicom_meta *out_meta, dl_error *err)
{
    dl_dicom_meta m = {0};
    DL_TRY(dl_dicom_input_need(in, PREAMBLE_BYTES + 4, err));
    const uint8_t *p = in->window;
    if (dl_dicom_input_left(in) >= PREAMBLE_BYTES + 4 &&
        memcmp(p + PREAMBLE_BYTES, "DICM", 4) == 0) {
        m.has_preamble = true;
        in->at = PREAMBLE_BYTES + 4;
    } else if (dl_dicom_input_left(in) >= 4 && memcmp(p, "DICM", 4) == 0) {
        in->at = 4;
    }
    DL_TRY(read_group(in, &m, err));
    if (m.uid[0] == '\0') {
        DL_TRY(dl_dicom_input_need(in, 8, err));
        if (dl_dicom_input_left(in) < 8) {
            return not_dicom(err);
        }
        DL_TRY(guess(in->window + in->at, &m, err));
    } else {
        DL_TRY(apply_syntax(in, &m, err));
    }
    *out_meta = m;
    return DL_OK;
}
