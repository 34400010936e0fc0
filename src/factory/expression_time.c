/* Times as text: what .NET's DateTime reads and writes, culture en-US as in Data Factory. */
#include "factory/calendar_internal.h"
#include "factory/expression_internal.h"

#include <string.h>

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

/* ---- reading ---- */

static bool take_char(dl_str *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c) {
        return false;
    }
    *text = dl_str_slice(*text, 1, text->len);
    return true;
}

static bool take_digits(dl_str *text, size_t least, size_t most, int *out)
{
    size_t digits = 0;
    int value = 0;
    while (digits < text->len && digits < most && text->ptr[digits] >= '0' &&
           text->ptr[digits] <= '9') {
        value = value * 10 + (text->ptr[digits++] - '0');
    }
    if (digits < least) {
        return false;
    }
    *text = dl_str_slice(*text, digits, text->len);
    *out = value;
    return true;
}

/** Beyond microseconds rounded up, as dl_clock_parse does: two ends of a window move alike. */
static bool take_fraction(dl_str *text, int *out_us)
{
    int value = 0, scale = 100000, digit = 0;
    bool some = false, more = false;
    while (take_digits(text, 1, 1, &digit)) {
        value += digit * scale;
        more = more || (scale == 0 && digit > 0);
        scale /= 10;
        some = true;
    }
    *out_us = value + more;
    return some;
}

static bool take_clock(dl_str *text, dl_calendar_parts *p)
{
    if (!take_digits(text, 1, 2, &p->hour) || !take_char(text, ':') ||
        !take_digits(text, 2, 2, &p->minute)) {
        return false;
    }
    if (take_char(text, ':') && !take_digits(text, 2, 2, &p->second)) {
        return false;
    }
    return !take_char(text, '.') || take_fraction(text, &p->microsecond);
}

/** " AM" */
static bool take_half(dl_str *text, dl_calendar_parts *p)
{
    bool am = dl_str_eq_nocase(*text, DL_STR(" AM")), pm = dl_str_eq_nocase(*text, DL_STR(" PM"));
    if (am || pm) {
        if (p->hour < 1 || p->hour > 12) {
            return false;
        }
        p->hour = p->hour % 12 + (pm ? 12 : 0);
        *text = DL_STR_NONE;
    }
    return true;
}

static bool take_zone(dl_str *text, bool *out_is_utc, int *out_offset_minutes)
{
    if (text->len == 0) {
        return true;
    }
    *out_is_utc = true;
    if (take_char(text, 'Z') || take_char(text, 'z')) {
        return true;
    }
    int sign = take_char(text, '-') ? -1 : take_char(text, '+') ? 1 : 0, hours = 0, minutes = 0;
    if (sign == 0 || !take_digits(text, 2, 2, &hours) || !take_char(text, ':') ||
        !take_digits(text, 2, 2, &minutes) || minutes > 59 || hours * 60 + minutes > 14 * 60) {
        return false;
    }
    *out_offset_minutes = sign * (hours * 60 + minutes);
    return true;
}

/** 2026-01-31, or 1/31/2026 */
static bool take_date(dl_str *text, dl_calendar_parts *p)
{
    dl_str rest = *text;
    if (take_digits(&rest, 4, 4, &p->year) && take_char(&rest, '-')) {
        *text = rest;
        return take_digits(text, 2, 2, &p->month) && take_char(text, '-') &&
               take_digits(text, 2, 2, &p->day);
    }
    return take_digits(text, 1, 2, &p->month) && take_char(text, '/') &&
           take_digits(text, 1, 2, &p->day) && take_char(text, '/') &&
           take_digits(text, 4, 4, &p->year);
}

bool dl_expression_time_parse(dl_str text, dl_expression_time *out)
{
    dl_calendar_parts p = {0};
    dl_expression_time time = {0};
    int offset_minutes = 0;
    if (!take_date(&text, &p) || p.year < 1 || p.month < 1 || p.month > 12 || p.day < 1 ||
        p.day > dl_calendar_month_length(p.year, p.month)) {
        return false;
    }
    if ((take_char(&text, 'T') || take_char(&text, 't') || take_char(&text, ' ')) &&
        (!take_clock(&text, &p) || !take_half(&text, &p))) {
        return false;
    }
    if (!take_zone(&text, &time.is_utc, &offset_minutes) || text.len > 0 || p.hour > 23 ||
        p.minute > 59 || p.second > 59) {
        return false;
    }
    p.minute -= offset_minutes;
    time.us = dl_calendar_time(NULL, &p);
    if (time.us < DL_CALENDAR_FIRST_US || time.us > DL_CALENDAR_LAST_US) {
        return false;
    }
    *out = time;
    return true;
}

/* ---- writing ---- */

/** The custom format of a standard one; NULL: there is none. */
static const char *standard_format(char letter)
{
    static const struct {
        const char *letters, *format;
    } standard[] = {
        {"oO", "yyyy'-'MM'-'dd'T'HH':'mm':'ss'.'fffffffK"},
        {"s", "yyyy'-'MM'-'dd'T'HH':'mm':'ss"},
        {"u", "yyyy'-'MM'-'dd HH':'mm':'ss'Z'"},
        {"d", "M/d/yyyy"},
        {"D", "dddd, MMMM d, yyyy"},
        {"f", "dddd, MMMM d, yyyy h:mm tt"},
        {"FU", "dddd, MMMM d, yyyy h:mm:ss tt"},
        {"g", "M/d/yyyy h:mm tt"},
        {"G", "M/d/yyyy h:mm:ss tt"},
        {"mM", "MMMM d"},
        {"rR", "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'"},
        {"t", "h:mm tt"},
        {"T", "h:mm:ss tt"},
        {"yY", "MMMM yyyy"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(standard); i++) {
        if (strchr(standard[i].letters, letter) != NULL) {
            return standard[i].format;
        }
    }
    return NULL;
}

typedef struct writer {
    dl_calendar_parts parts;
    bool is_utc;
    dl_buf *out;
} writer;

static dl_status write_number(const writer *w, int value, size_t width, dl_error *err)
{
    return dl_buf_printf(w->out, err, "%0*d", (int)width, value);
}

static dl_status write_name(const writer *w, const char *name, bool whole, dl_error *err)
{
    return dl_buf_append(w->out, name, whole ? strlen(name) : 3, err);
}

/** f: all digits; F: without zeros at the end, and without the point if none is left. */
static dl_status write_fraction(const writer *w, bool drop, size_t count, dl_error *err)
{
    char digits[8] = "0000000";
    if (count > 7) {
        return dl_error_set(err, DL_E_INVALID, "a fraction has at most 7 digits");
    }
    for (int i = 5, rest = w->parts.microsecond; i >= 0; i--, rest /= 10) {
        digits[i] = (char)('0' + rest % 10);
    }
    while (drop && count > 0 && digits[count - 1] == '0') {
        count--;
    }
    if (drop && count == 0 && w->out->len > 0 && w->out->ptr[w->out->len - 1] == '.') {
        w->out->len--;
    }
    return dl_buf_append(w->out, digits, count, err);
}

/** "+2", "+02", "+02:00": times here are UTC, or count as such. */
static dl_status write_offset(const writer *w, size_t count, dl_error *err)
{
    return dl_buf_append_str(w->out,
                             count == 1   ? DL_STR("+0")
                             : count == 2 ? DL_STR("+00")
                                          : DL_STR("+00:00"),
                             err);
}

static dl_status write_date(const writer *w, char letter, size_t count, dl_error *err)
{
    const dl_calendar_parts *p = &w->parts;
    switch (letter) {
    case 'd':
        return count > 2 ? write_name(w, day_names[p->weekday], count > 3, err)
                         : write_number(w, p->day, count, err);
    case 'M':
        return count > 2 ? write_name(w, month_names[p->month - 1], count > 3, err)
                         : write_number(w, p->month, count, err);
    case 'y':
        return write_number(w, count > 2 ? p->year : p->year % 100, count, err);
    default:
        return dl_buf_append_str(w->out, DL_STR("A.D."), err);
    }
}

static dl_status write_field(const writer *w, char letter, size_t count, dl_error *err)
{
    const dl_calendar_parts *p = &w->parts;
    size_t width = count > 1 ? 2 : 1;
    switch (letter) {
    case 'h':
        return write_number(w, p->hour % 12 == 0 ? 12 : p->hour % 12, width, err);
    case 'H':
        return write_number(w, p->hour, width, err);
    case 'm':
        return write_number(w, p->minute, width, err);
    case 's':
        return write_number(w, p->second, width, err);
    case 't':
        return dl_buf_append(w->out, p->hour < 12 ? "AM" : "PM", width, err);
    case 'f':
    case 'F':
        return write_fraction(w, letter == 'F', count, err);
    case 'z':
        return write_offset(w, count, err);
    case 'K': /* each by itself */
        for (size_t i = 0; w->is_utc && i < count; i++) {
            DL_TRY(dl_buf_append_char(w->out, 'Z', err));
        }
        return DL_OK;
    default:
        return write_date(w, letter, count, err);
    }
}

/** Text in quotes, at the quote; a backslash takes what follows as it is. */
static dl_status write_quoted(const writer *w, dl_str *format, dl_error *err)
{
    char quote = format->ptr[0];
    size_t i = 1;
    for (; i < format->len && format->ptr[i] != quote; i++) {
        i += format->ptr[i] == '\\';
        if (i < format->len) {
            DL_TRY(dl_buf_append_char(w->out, format->ptr[i], err));
        }
    }
    if (i >= format->len) {
        return dl_error_set(err, DL_E_INVALID, "a quote %c in the format is not closed", quote);
    }
    *format = dl_str_slice(*format, i + 1, format->len);
    return DL_OK;
}

static size_t run_length(dl_str format)
{
    size_t count = 1;
    while (count < format.len && format.ptr[count] == format.ptr[0]) {
        count++;
    }
    return count;
}

static bool is_field(char c)
{
    return c != '\0' && strchr("dMyghHmstfFzK", c) != NULL;
}

/** Takes one piece of the format. */
static dl_status write_piece(const writer *w, dl_str *format, dl_error *err)
{
    char c = format->ptr[0];
    if (c == '\'' || c == '"') {
        return write_quoted(w, format, err);
    }
    if (c == '\\' || c == '%') { /* the next one as it is, or as a field by itself */
        char next = format->len < 2 ? '\0' : format->ptr[1];
        if (next == '\0' || (c == '%' && !is_field(next))) {
            return dl_error_set(err, DL_E_INVALID, "no %s follows '%c' in the format",
                                c == '%' ? "field" : "character", c);
        }
        *format = dl_str_slice(*format, 2, format->len);
        return c == '%' ? write_field(w, next, 1, err) : dl_buf_append_char(w->out, next, err);
    }
    if (!is_field(c)) {
        *format = dl_str_slice(*format, 1, format->len);
        return dl_buf_append_char(w->out, c, err);
    }
    size_t count = run_length(*format);
    *format = dl_str_slice(*format, count, format->len);
    return write_field(w, c, count, err);
}

dl_status dl_expression_time_format(dl_expression_time time, dl_str format, dl_buf *out,
                                    dl_error *err)
{
    writer w = {.is_utc = time.is_utc, .out = out};
    size_t before = out->len;
    dl_calendar_local(NULL, time.us, &w.parts);
    if (format.len < 2) {
        const char *standard = standard_format(format.len == 0 ? 'o' : format.ptr[0]);
        if (standard == NULL || (format.len == 1 && format.ptr[0] == '\0')) {
            return dl_error_set(err, DL_E_INVALID, "there is no standard format of one letter '%c'",
                                format.ptr[0] >= ' ' && format.ptr[0] < 127 ? format.ptr[0] : '?');
        }
        format = dl_str_of(standard);
    }
    while (format.len > 0) {
        dl_status status = write_piece(&w, &format, err);
        if (status != DL_OK) {
            out->len = before;
            return status;
        }
    }
    return DL_OK;
}
