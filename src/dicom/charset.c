#include "dicom/internal.h"

#include <errno.h>

/* PS3.3 C.12.1.1.2 (defined terms), PS3.5 6.1.2.4 and 6.1.2.5 (code extension). */

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* What iconv calls each set; the 94x94 sets are reached through their EUC forms. */
static const char *const iconv_names[SET_COUNT] = {
    [SET_8859_2] = "ISO-8859-2", [SET_8859_3] = "ISO-8859-3", [SET_8859_4] = "ISO-8859-4",
    [SET_8859_5] = "ISO-8859-5", [SET_8859_6] = "ISO-8859-6", [SET_8859_7] = "ISO-8859-7",
    [SET_8859_8] = "ISO-8859-8", [SET_8859_9] = "ISO-8859-9", [SET_8859_15] = "ISO-8859-15",
    [SET_THAI] = "TIS-620",      [SET_GB18030] = "GB18030",   [SET_GBK] = "GBK",
    [SET_JISX0208] = "EUC-JP",   [SET_JISX0212] = "EUC-JP",   [SET_KSX1001] = "EUC-KR",
    [SET_GB2312] = "GB2312",
};

/* Registration numbers of the defined terms ("ISO_IR 100", "ISO 2022 IR 100"). */
static const struct {
    uint16_t number;
    uint8_t set;
} registrations[] = {
    {6, SET_ASCII},    {13, SET_JISX0201}, {58, SET_GB2312},    {87, SET_JISX0208},
    {100, SET_LATIN1}, {101, SET_8859_2},  {109, SET_8859_3},   {110, SET_8859_4},
    {126, SET_8859_7}, {127, SET_8859_6},  {138, SET_8859_8},   {144, SET_8859_5},
    {148, SET_8859_9}, {149, SET_KSX1001}, {159, SET_JISX0212}, {166, SET_THAI},
    {192, SET_UTF8},   {203, SET_8859_15},
};

/** The set of one term; ASCII for an unknown one. What files write besides passes too: other
 * separators than the standard's, small letters, UTF-8 by its name. */
static dl_dicom_code_set set_of_term(dl_str text, bool *out_escapes)
{
    char capitals[64];
    *out_escapes = false;
    if (!dl_str_copy(text, capitals, sizeof capitals)) {
        return SET_ASCII;
    }
    for (char *c = capitals; *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    }
    dl_str term = dl_str_of(capitals);
    *out_escapes = dl_str_starts(term, DL_STR("ISO 2022"));
    if (dl_str_eq(term, DL_STR("GB18030"))) {
        return SET_GB18030;
    }
    if (dl_str_eq(term, DL_STR("GBK"))) {
        return SET_GBK;
    }
    if (dl_str_eq(term, DL_STR("UTF-8")) || dl_str_eq(term, DL_STR("UTF8"))) {
        return SET_UTF8;
    }
    ptrdiff_t at = dl_str_find_str(term, DL_STR("IR"));
    if (!dl_str_starts(term, DL_STR("ISO")) || at < 0) {
        return SET_ASCII;
    }
    dl_str digits = dl_str_slice(term, (size_t)at + 2, term.len);
    while (digits.len > 0 && (digits.ptr[0] == ' ' || digits.ptr[0] == '_')) {
        digits = dl_str_slice(digits, 1, digits.len);
    }
    uint64_t number = 0;
    if (!dl_str_to_u64(digits, &number)) {
        return SET_ASCII;
    }
    for (size_t i = 0; i < DL_COUNT_OF(registrations); i++) {
        if (registrations[i].number == number) {
            return (dl_dicom_code_set)registrations[i].set;
        }
    }
    return SET_ASCII;
}

dl_dicom_charset dl_dicom_charset_of(dl_str terms)
{
    ptrdiff_t at = dl_str_find(terms, '\\');
    dl_str first = dl_str_trim_padding(at < 0 ? terms : dl_str_slice(terms, 0, (size_t)at));
    bool escapes = false;
    dl_dicom_code_set set = set_of_term(dl_str_trim(first), &escapes);
    if (set == SET_UTF8 || set == SET_GB18030 || set == SET_GBK) {
        return (dl_dicom_charset){(uint8_t)set, false}; /* no code extension: PS3.5 6.1.2.5.4 d */
    }
    return (dl_dicom_charset){(uint8_t)set, escapes || at >= 0};
}

void dl_dicom_decoder_clear(dl_dicom_decoder *d)
{
    for (size_t i = 0; i < SET_COUNT; i++) {
        if (d->open[i] != NULL) {
            (void)iconv_close(d->open[i]);
            d->open[i] = NULL;
        }
    }
}

static dl_status open_set(dl_dicom_decoder *d, dl_dicom_code_set set, iconv_t *out_cd,
                          dl_error *err)
{
    if (d->open[set] == NULL) {
        iconv_t cd = iconv_open("UTF-8", iconv_names[set]);
        if ((intptr_t)cd == -1) {
            return errno == ENOMEM
                       ? dl_error_set(err, DL_E_NOMEM, "no memory to convert text")
                       : dl_error_set(err, DL_E_UNSUPPORTED,
                                      "iconv on this machine does not know %s", iconv_names[set]);
        }
        d->open[set] = cd;
    }
    *out_cd = d->open[set];
    return DL_OK;
}

/** Convert; each `unit` bytes that cannot be decoded give one U+FFFD. */
static dl_status convert(dl_dicom_decoder *d, dl_dicom_code_set set, dl_bytes bytes, size_t unit,
                         dl_buf *out, dl_error *err)
{
    iconv_t cd = NULL;
    DL_TRY(open_set(d, set, &cd, err));
    DL_TRY(dl_buf_reserve(out, 4 * bytes.len + 8, err));
    (void)iconv(cd, NULL, NULL, NULL, NULL);
    union {
        const uint8_t *ours;
        char *theirs; /* iconv does not write to it */
    } input = {bytes.ptr};
    char *in = input.theirs;
    size_t in_left = bytes.len;
    while (in_left > 0) {
        char *to = out->ptr + out->len;
        size_t room = out->cap - out->len;
        size_t result = iconv(cd, &in, &in_left, &to, &room);
        out->len = (size_t)(to - out->ptr);
        if (result == (size_t)-1 && errno == E2BIG) {
            DL_TRY(dl_buf_reserve(out, 4 * in_left + 16, err));
            continue;
        }
        if (result == (size_t)-1) {
            DL_TRY(dl_buf_append(out, replacement, 3, err));
            size_t step = unit < in_left ? unit : in_left;
            in += step;
            in_left -= step;
        }
    }
    return DL_OK;
}

static dl_status put_code(dl_buf *out, unsigned code, dl_error *err)
{
    char utf8[3];
    size_t n = 0;
    if (code < 0x80) {
        utf8[n++] = (char)code;
    } else if (code < 0x800) {
        utf8[n++] = (char)(0xc0 | code >> 6);
        utf8[n++] = (char)(0x80 | (code & 63));
    } else {
        utf8[n++] = (char)(0xe0 | code >> 12);
        utf8[n++] = (char)(0x80 | (code >> 6 & 63));
        utf8[n++] = (char)(0x80 | (code & 63));
    }
    return dl_buf_append(out, utf8, n, err);
}

/* ---- UTF-8 ---- */

/** Bytes of the well-formed sequence at `p` (RFC 3629), 0 when there is none. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80) {
        return 1;
    }
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : p[0] >= 0xe0 && p[0] <= 0xef ? 3 : 4;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) {
        return 0;
    }
    uint8_t least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < least || p[1] > most) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }
    return n;
}

static dl_status decode_utf8(dl_bytes bytes, dl_buf *out, dl_error *err)
{
    if (dl_str_is_utf8((dl_str){(const char *)bytes.ptr, bytes.len})) {
        return dl_buf_append(out, bytes.ptr, bytes.len, err);
    }
    for (size_t i = 0; i < bytes.len;) {
        size_t n = utf8_length(bytes.ptr + i, bytes.len - i);
        if (n == 0) {
            DL_TRY(dl_buf_append(out, replacement, 3, err));
            n = 1;
        } else {
            DL_TRY(dl_buf_append(out, bytes.ptr + i, n, err));
        }
        i += n;
    }
    return DL_OK;
}

/* ---- ISO 2022 ---- */

typedef struct designated {
    dl_dicom_code_set g0, g1; /* g1: SET_ASCII when nothing is there */
} designated;

static const struct {
    char sequence[4]; /* after ESC */
    uint8_t length;
    bool right; /* G1 */
    uint8_t set;
} designators[] = {
    /* clang-format off */
    {"(B",  2, false, SET_ASCII},    {"(J",  2, false, SET_JISX0201}, {")I",  2, true, SET_JISX0201},
    {"-A",  2, true,  SET_LATIN1},   {"-B",  2, true,  SET_8859_2},   {"-C",  2, true, SET_8859_3},
    {"-D",  2, true,  SET_8859_4},   {"-F",  2, true,  SET_8859_7},   {"-G",  2, true, SET_8859_6},
    {"-H",  2, true,  SET_8859_8},   {"-L",  2, true,  SET_8859_5},   {"-M",  2, true, SET_8859_9},
    {"-T",  2, true,  SET_THAI},     {"-b",  2, true,  SET_8859_15},
    {"$B",  2, false, SET_JISX0208}, {"$(D", 3, false, SET_JISX0212},
    {"$)C", 3, true,  SET_KSX1001},  {"$)A", 3, true,  SET_GB2312},
    /* clang-format on */
};

static designated initial(dl_dicom_charset set)
{
    if (set.first == SET_JISX0201) {
        return (designated){SET_JISX0201, SET_JISX0201};
    }
    if (set.first == SET_JISX0208 || set.first == SET_JISX0212) {
        /* Not allowed as value 1; they need their escape sequence anyway. */
        return (designated){SET_ASCII, SET_ASCII};
    }
    return (designated){SET_ASCII, (dl_dicom_code_set)set.first};
}

/** Length of a known designator after the ESC at `p`, 0 if it is none. */
static size_t designate(designated *now, const uint8_t *p, size_t left)
{
    for (size_t i = 0; i < DL_COUNT_OF(designators); i++) {
        size_t n = designators[i].length;
        if (left > n && memcmp(p + 1, designators[i].sequence, n) == 0) {
            *(designators[i].right ? &now->g1 : &now->g0) = (dl_dicom_code_set)designators[i].set;
            return n + 1;
        }
    }
    return 0;
}

static bool is_pairs(dl_dicom_code_set set)
{
    return set == SET_JISX0208 || set == SET_JISX0212 || set == SET_KSX1001 || set == SET_GB2312;
}

/** How many of the bytes belong to the run that begins at p: graphic bytes of one half. */
static size_t run_length(const uint8_t *p, size_t left, bool right)
{
    size_t n = 0;
    while (n < left && (right ? p[n] >= 0x80 : p[n] > 0x20 && p[n] < 0x7f)) {
        n++;
    }
    return n;
}

/** A run of two-byte characters through its EUC form (bit 8 set; 8F before each of JIS X 0212). */
static dl_status decode_pairs(dl_dicom_decoder *d, dl_dicom_code_set set, const uint8_t *p,
                              size_t len, dl_buf *out, dl_error *err)
{
    uint8_t euc[384];
    size_t unit = set == SET_JISX0212 ? 3 : 2;
    size_t n = 0;
    for (size_t i = 0; i + 1 < len; i += 2) {
        if (n + unit > sizeof euc) {
            DL_TRY(convert(d, set, (dl_bytes){euc, n}, unit, out, err));
            n = 0;
        }
        if (unit == 3) {
            euc[n++] = 0x8f;
        }
        euc[n++] = p[i] | 0x80;
        euc[n++] = p[i + 1] | 0x80;
    }
    DL_TRY(convert(d, set, (dl_bytes){euc, n}, unit, out, err));
    return len % 2 == 0 ? DL_OK : dl_buf_append(out, replacement, 3, err); /* half a character */
}

static dl_status decode_right(dl_dicom_decoder *d, dl_dicom_code_set set, const uint8_t *p,
                              size_t len, dl_buf *out, dl_error *err)
{
    if (is_pairs(set)) {
        return decode_pairs(d, set, p, len, out, err);
    }
    if (set != SET_ASCII && set != SET_LATIN1 && set != SET_JISX0201) {
        return convert(d, set, (dl_bytes){p, len}, 1, out, err);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned code = 0xfffd;
        if (set == SET_LATIN1) {
            code = p[i];
        } else if (set == SET_JISX0201 && p[i] >= 0xa1 && p[i] <= 0xdf) {
            code = 0xff61 + (unsigned)(p[i] - 0xa1);
        }
        DL_TRY(put_code(out, code, err));
    }
    return DL_OK;
}

static bool ends_extension(uint8_t c, bool name, bool multi)
{
    return c == '\r' || c == '\n' || c == '\f' || c == '\t' || (multi && c == '\\') ||
           (name && (c == '^' || c == '='));
}

static dl_status decode_extended(const dl_dicom_decoding *how, dl_bytes bytes, dl_buf *out,
                                 dl_error *err)
{
    designated now = initial(how->set);
    for (size_t i = 0; i < bytes.len;) {
        const uint8_t *p = bytes.ptr + i;
        size_t left = bytes.len - i;
        if (*p == 0x1b && how->set.escapes) {
            size_t n = designate(&now, p, left);
            if (n > 0) {
                i += n;
                continue;
            }
        }
        bool right = *p >= 0x80;
        if (right || (is_pairs(now.g0) && *p > 0x20 && *p < 0x7f)) {
            size_t n = run_length(p, left, right);
            DL_TRY(right ? decode_right(how->decoder, now.g1, p, n, out, err)
                         : decode_pairs(how->decoder, now.g0, p, n, out, err));
            i += n;
            continue;
        }
        if (ends_extension(*p, how->is_name, how->is_multi)) {
            now = initial(how->set);
        }
        DL_TRY(dl_buf_append_char(out, (char)*p, err));
        i++;
    }
    return DL_OK;
}

dl_status dl_dicom_decode_text(const dl_dicom_decoding *how, dl_bytes bytes, dl_buf *out,
                               dl_error *err)
{
    dl_dicom_code_set first = (dl_dicom_code_set)how->set.first;
    if (first == SET_UTF8) {
        return decode_utf8(bytes, out, err);
    }
    if (first == SET_GB18030 || first == SET_GBK) {
        return convert(how->decoder, first, bytes, 1, out, err);
    }
    return decode_extended(how, bytes, out, err);
}
