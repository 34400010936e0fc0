#include "dicom/internal.h"

#include "base/clock.h"

#include <stdio.h>

/* The rules of contract 5.5, each returning what is wrong, or NULL. */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/** Two digits at `p` as a number; -1 if they are none. */
static int two_digits(const char *p)
{
    return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

static size_t leading_digits(dl_str text)
{
    size_t n = 0;
    while (n < text.len && is_digit(text.ptr[n])) {
        n++;
    }
    return n;
}

static dl_str trim_end(dl_str text)
{
    while (text.len > 0 && text.ptr[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

static dl_str trim_both(dl_str text)
{
    text = trim_end(text);
    while (text.len > 0 && text.ptr[0] == ' ') {
        text = dl_str_slice(text, 1, text.len);
    }
    return text;
}

/** Characters of well-formed UTF-8. */
static size_t count_characters(dl_str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    }
    return n;
}

/** C0 (ESC only if it is not allowed), DEL and C1. */
static bool has_control(dl_str text, bool escape_allowed)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && !(escape_allowed && c == 0x1b)) || c == 0x7f) {
            return true;
        }
        if (c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0) {
            return true;
        }
    }
    return false;
}

static const char *check_ae(dl_str v)
{
    if (v.len > 16) {
        return "longer than 16 characters";
    }
    if (v.len > 0 && trim_end(v).len == 0) {
        return "only spaces";
    }
    return has_control(v, false) ? "a control character" : NULL;
}

static const char *check_as(dl_str v)
{
    bool fine = v.len == 4 && leading_digits(v) == 3 && strchr("DWMY", v.ptr[3]) != NULL &&
                v.ptr[3] != '\0';
    return fine ? NULL : "not three digits and one of D W M Y";
}

static const char *check_cs(dl_str v)
{
    if (v.len > 16) {
        return "longer than 16 characters";
    }
    for (size_t i = 0; i < v.len; i++) {
        char c = v.ptr[i];
        bool fine = (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == ' ';
        if (!fine) {
            return "a character other than A-Z, 0-9, space and _";
        }
    }
    return NULL;
}

/** Splits at a single '-'; false when there are more. */
static bool split_range(dl_str v, dl_str *out_from, dl_str *out_to)
{
    ptrdiff_t at = dl_str_find(v, '-');
    *out_from = at < 0 ? v : dl_str_slice(v, 0, (size_t)at);
    *out_to = at < 0 ? DL_STR_NONE : dl_str_slice(v, (size_t)at + 1, v.len);
    return dl_str_find(*out_to, '-') < 0;
}

static const char *check_date(dl_str v)
{
    v = trim_end(v);
    if (v.len == 0) {
        return NULL;
    }
    if (v.len != 8 || leading_digits(v) != 8) {
        return "not eight digits YYYYMMDD";
    }
    if (two_digits(v.ptr + 4) > 12) {
        return "a month beyond 12";
    }
    return two_digits(v.ptr + 6) > 31 ? "a day beyond 31" : NULL;
}

static const char *check_da(dl_str v)
{
    dl_str from = DL_STR_NONE;
    dl_str to = DL_STR_NONE;
    if (!split_range(v, &from, &to)) {
        return "more than one -";
    }
    const char *why = check_date(from);
    return why != NULL ? why : check_date(to);
}

static const char *check_clock(const char *p, size_t digits)
{
    if (two_digits(p) > 23) {
        return "an hour beyond 23";
    }
    if (digits >= 4 && two_digits(p + 2) > 59) {
        return "a minute beyond 59";
    }
    return digits >= 6 && two_digits(p + 4) > 60 ? "a second beyond 60" : NULL;
}

/** Length of ".F" with one to six digits at the start; 0 if there is none. */
static size_t fraction_length(dl_str v)
{
    if (v.len < 2 || v.ptr[0] != '.') {
        return 0;
    }
    size_t n = leading_digits(dl_str_slice(v, 1, v.len));
    return n >= 1 && n <= 6 ? n + 1 : 0;
}

static const char *check_time(dl_str v)
{
    v = trim_end(v);
    if (v.len == 0) {
        return NULL;
    }
    size_t n = leading_digits(v);
    dl_str rest = dl_str_slice(v, n, v.len);
    bool fine = (n == 2 || n == 4 || n == 6) &&
                (rest.len == 0 || (n == 6 && fraction_length(rest) == rest.len));
    return fine ? check_clock(v.ptr, n) : "not HH, HHMM, HHMMSS or HHMMSS.F";
}

static const char *check_tm(dl_str v)
{
    dl_str from = DL_STR_NONE;
    dl_str to = DL_STR_NONE;
    if (!split_range(v, &from, &to)) {
        return "more than one -";
    }
    const char *why = check_time(from);
    return why != NULL ? why : check_time(to);
}

/** Digits and fraction of a date-time at the start of *v, passed over. */
static const char *take_date_time(dl_str *v)
{
    const char *p = v->ptr;
    size_t n = leading_digits(*v);
    if (n < 4 || n > 14 || n % 2 != 0) {
        return "not YYYYMMDDHHMMSS.F or a beginning of it";
    }
    if (n >= 6 && (two_digits(p + 4) < 1 || two_digits(p + 4) > 12)) {
        return "a month outside 1 to 12";
    }
    if (n >= 8 && (two_digits(p + 6) < 1 || two_digits(p + 6) > 31)) {
        return "a day outside 1 to 31";
    }
    if (n >= 10) {
        const char *why = check_clock(p + 8, n - 8);
        if (why != NULL) {
            return why;
        }
    }
    *v = dl_str_slice(*v, n, v->len);
    if (v->len > 0 && v->ptr[0] == '.') {
        size_t fraction = n == 14 ? fraction_length(*v) : 0;
        if (fraction == 0) {
            return "a fraction that is not one to six digits after the seconds";
        }
        *v = dl_str_slice(*v, fraction, v->len);
    }
    return NULL;
}

/** An offset +ZZXX or -ZZXX at the start of *v, passed over; four digits after a - may as well
 * begin the second date of a range. */
static const char *take_offset(dl_str *v)
{
    if (v->len < 5 || (v->ptr[0] != '+' && v->ptr[0] != '-')) {
        return v->len > 0 && v->ptr[0] == '+' ? "an offset that is not +ZZXX" : NULL;
    }
    dl_str digits = dl_str_slice(*v, 1, v->len);
    bool ends = digits.len == 4 || digits.ptr[4] == '-';
    if (leading_digits(digits) != 4 || !ends) {
        return v->ptr[0] == '+' ? "an offset that is not +ZZXX" : NULL;
    }
    int hours = two_digits(digits.ptr);
    int minutes = two_digits(digits.ptr + 2);
    if (v->ptr[0] == '-' && hours == 0 && minutes == 0) {
        return "an offset of -0000";
    }
    if (hours <= (v->ptr[0] == '+' ? 14 : 12) && minutes <= 59) {
        *v = dl_str_slice(*v, 5, v->len);
        return NULL;
    }
    return v->ptr[0] == '+' ? "an offset beyond +1400" : NULL;
}

static const char *check_dt(dl_str v)
{
    v = trim_end(v);
    if (v.len > 0 && v.ptr[0] != '-') {
        const char *why = take_date_time(&v);
        why = why != NULL ? why : take_offset(&v);
        if (why != NULL || v.len == 0) {
            return why;
        }
    }
    if (v.len == 0) {
        return NULL;
    }
    if (v.ptr[0] != '-') {
        return "not YYYYMMDDHHMMSS.F&ZZXX or a range of two";
    }
    v = dl_str_slice(v, 1, v.len);
    if (v.len == 0) {
        return NULL;
    }
    const char *why = take_date_time(&v);
    why = why != NULL ? why : take_offset(&v);
    return why != NULL || v.len == 0 ? why : "not YYYYMMDDHHMMSS.F&ZZXX or a range of two";
}

static const char *check_ds(dl_str v)
{
    v = trim_both(v);
    if (v.len == 0) {
        return NULL;
    }
    if (v.len > 16) {
        return "longer than 16 characters";
    }
    if (v.ptr[0] == '+' || v.ptr[0] == '-') {
        v = dl_str_slice(v, 1, v.len);
    }
    size_t whole = leading_digits(v);
    v = dl_str_slice(v, whole, v.len);
    size_t part = 0;
    if (v.len > 0 && v.ptr[0] == '.') {
        v = dl_str_slice(v, 1, v.len);
        part = leading_digits(v);
        v = dl_str_slice(v, part, v.len);
    }
    if (whole + part == 0) {
        return "not a decimal number";
    }
    if (v.len > 0 && (v.ptr[0] == 'e' || v.ptr[0] == 'E')) {
        v = dl_str_slice(v, 1, v.len);
        if (v.len > 0 && (v.ptr[0] == '+' || v.ptr[0] == '-')) {
            v = dl_str_slice(v, 1, v.len);
        }
        size_t exponent = leading_digits(v);
        return exponent > 0 && exponent == v.len ? NULL : "not a decimal number";
    }
    return v.len == 0 ? NULL : "not a decimal number";
}

static const char *check_is(dl_str v)
{
    int64_t value = 0;
    v = trim_both(v);
    if (v.len == 0) {
        return NULL;
    }
    bool has_sign = v.ptr[0] == '+' || v.ptr[0] == '-';
    dl_str digits = dl_str_slice(v, has_sign, v.len);
    if (digits.len == 0 || leading_digits(digits) != digits.len) {
        return "not a whole number";
    }
    bool fits = dl_str_to_i64(v, &value) && value >= INT32_MIN && value <= INT32_MAX;
    return fits ? NULL : "outside 32 bits";
}

static const char *check_length(dl_str v, size_t most, const char *why)
{
    return v.len > most && count_characters(v) > most ? why : NULL;
}

static const char *check_label(dl_str v, unsigned found, size_t most, const char *too_long)
{
    const char *why = check_length(v, most, too_long);
    if (why == NULL && (found & (HAS_CONTROL | HAS_HIGH)) != 0 && has_control(v, true)) {
        why = "a control character";
    }
    return why;
}

static const char *check_pn(dl_str v, unsigned found)
{
    for (size_t group = 1;; group++) {
        ptrdiff_t at = dl_str_find(v, '=');
        dl_str part = at < 0 ? v : dl_str_slice(v, 0, (size_t)at);
        if (group > 3) {
            return "more than three component groups";
        }
        const char *why =
            check_label(part, found, 64, "a component group longer than 64 characters");
        if (why != NULL) {
            return why;
        }
        size_t carets = 0;
        for (size_t i = 0; i < part.len; i++) {
            carets += part.ptr[i] == '^';
        }
        if (carets > 4) {
            return "more than five components";
        }
        if (at < 0) {
            return NULL;
        }
        v = dl_str_slice(v, (size_t)at + 1, v.len);
    }
}

static const char *check_ui(dl_str v)
{
    v = trim_end(v);
    if (v.len == 0) {
        return NULL;
    }
    if (v.len > 64) {
        return "longer than 64 characters";
    }
    if (v.ptr[0] == '0') {
        return "a leading zero";
    }
    size_t start = 0; /* of the component */
    for (size_t i = 0; i <= v.len; i++) {
        if (i < v.len && v.ptr[i] != '.') {
            if (!is_digit(v.ptr[i])) {
                return "a character other than 0-9 and the dot";
            }
            continue;
        }
        if (i == start) {
            return "an empty component";
        }
        if (v.ptr[start] == '0' && i - start > 1) {
            return "a component with a leading zero";
        }
        start = i + 1;
    }
    return NULL;
}

static const char *check_value(dl_vr vr, dl_str v, unsigned found)
{
    if (v.len == 0) {
        return NULL;
    }
    switch (vr) {
    case DL_VR('A', 'E'):
        return check_ae(v);
    case DL_VR('A', 'S'):
        return check_as(v);
    case DL_VR('C', 'S'):
        return check_cs(v);
    case DL_VR('D', 'A'):
        return check_da(v);
    case DL_VR('D', 'S'):
        return check_ds(v);
    case DL_VR('D', 'T'):
        return check_dt(v);
    case DL_VR('I', 'S'):
        return check_is(v);
    case DL_VR('L', 'O'):
        return check_label(v, found, 64, "longer than 64 characters");
    case DL_VR('S', 'H'):
        return check_label(v, found, 16, "longer than 16 characters");
    case DL_VR('L', 'T'):
        return check_length(v, 10240, "longer than 10240 characters");
    case DL_VR('S', 'T'):
        return check_length(v, 1024, "longer than 1024 characters");
    case DL_VR('P', 'N'):
        return check_pn(v, found);
    case DL_VR('T', 'M'):
        return check_tm(v);
    case DL_VR('U', 'I'):
        return check_ui(v);
    default:
        return NULL;
    }
}

/** VM of standard elements (contract 5.5, last paragraph). */
static const char *check_count(uint32_t tag, size_t count, char detail[96])
{
    const dl_dict_entry *entry = (tag >> 16 & 1) != 0 ? NULL : dl_dict_find(tag);
    if (entry == NULL || (count >= entry->vm_min &&
                          (count <= entry->vm_max || entry->vm_max == DL_DICT_VM_UNBOUNDED))) {
        return NULL;
    }
    const char *bound = count < entry->vm_min ? "at least" : "at most";
    (void)snprintf(detail, 96, "%zu value%s where %.40s takes %s %u", count, count == 1 ? "" : "s",
                   entry->keyword, bound,
                   (unsigned)(count < entry->vm_min ? entry->vm_min : entry->vm_max));
    return detail;
}

const char *dl_dicom_validate_text(uint32_t tag, const dl_dicom_vr_info *vr, dl_str text,
                                   unsigned found, char detail[96], dl_str *out_value)
{
    *out_value = text;
    if (text.len == 0) {
        return NULL;
    }
    size_t count = 1;
    if (vr->kind == KIND_PROSE || (found & HAS_BACKSLASH) == 0) {
        const char *why = check_value(vr->vr, text, found);
        if (why != NULL) {
            return why;
        }
    } else {
        count = 0;
        for (dl_str rest = text;; count++) {
            ptrdiff_t at = dl_str_find(rest, '\\');
            dl_str value = at < 0 ? rest : dl_str_slice(rest, 0, (size_t)at);
            bool blank_title = vr->vr == DL_VR('A', 'E') && value.len > 0; /* spaces are an error */
            dl_str trimmed = trim_end(value);
            value = blank_title && trimmed.len == 0 ? value : trimmed;
            const char *why = check_value(vr->vr, value, found);
            if (why != NULL) {
                *out_value = value;
                return why;
            }
            if (at < 0) {
                count++;
                break;
            }
            rest = dl_str_slice(rest, (size_t)at + 1, rest.len);
        }
    }
    if ((found & HAS_CONTROL) != 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        return "a NUL before its end"; /* also where the VR has no rule of its own */
    }
    return check_count(tag, count, detail);
}

static const char *check_day(dl_str v)
{
    int64_t day = 0;
    bool fine = v.len == 8 && leading_digits(v) == 8;
    int year = fine ? two_digits(v.ptr) * 100 + two_digits(v.ptr + 2) : 0;
    fine = year >= 1 && dl_clock_days(year, two_digits(v.ptr + 4), two_digits(v.ptr + 6), &day);
    return fine ? NULL : "not a day YYYYMMDD of the calendar";
}

/* Milder than those of every value, except for dates. */
const char *dl_dicom_validate_first(dl_vr vr, dl_str value, unsigned found)
{
    if (value.len == 0) {
        return NULL;
    }
    switch (vr) {
    case DL_VR('A', 'E'):
    case DL_VR('C', 'S'):
    case DL_VR('S', 'H'):
        return check_length(value, 16, "longer than 16 characters");
    case DL_VR('D', 'A'):
        return check_day(value);
    case DL_VR('U', 'I'):
        return dl_dicom_uid_is_valid(value) ? NULL : "not 1 to 64 digits and dots";
    default:
        return check_value(vr, value, found);
    }
}

const char *dl_dicom_validate_count(uint32_t tag, size_t count, char detail[96])
{
    return check_count(tag, count, detail);
}

bool dl_dicom_uid_is_valid(dl_str uid)
{
    if (uid.len < 1 || uid.len > 64 || !is_digit(uid.ptr[uid.len - 1])) {
        return false;
    }
    for (size_t i = 0; i < uid.len; i++) {
        if (!is_digit(uid.ptr[i]) && uid.ptr[i] != '.') {
            return false;
        }
    }
    return true;
}
