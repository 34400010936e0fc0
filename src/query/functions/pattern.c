/* Java's letters of times: reading a pattern, writing by it. */
#include "query/functions/pattern.h"

#include "base/clock.h"

#include <string.h>

enum { TEXT_LIMIT_BYTES = 255 };

static const char letters[] = "GyuQqMLdDEaHkKhmsSVzOXxZ";

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* How often a letter may stand in a row. */
static size_t most_of(char letter)
{
    switch (letter) {
    case 'y':
    case 'u':
        return 6;
    case 'a':
        return 1;
    case 'd':
    case 'H':
    case 'k':
    case 'K':
    case 'h':
    case 'm':
    case 's':
    case 'V':
        return 2;
    case 'D':
        return 3;
    case 'S':
        return 9;
    case 'X':
    case 'x':
    case 'Z':
        return 5;
    default:
        return 4;
    }
}

static bool is_number(const dl_pattern_item *item)
{
    if (strchr("MLQq", item->letter) != NULL && item->letter != '\0') {
        return item->count <= 2;
    }
    return item->letter != '\0' && strchr("yudDHkKhmsS", item->letter) != NULL;
}

static dl_status no_letter(dl_str run, dl_error *err)
{
    dl_status status = dl_error_set(err, DL_E_INVALID, "the pattern has %.*s", DL_STR_ARG(run));
    dl_error_hint(err,
                  "known are yyyy MM MMM dd D E EEEE HH hh mm ss SSS a Q G XXX Z z and 'text'");
    return status;
}

static dl_pattern_item *add(dl_pattern *p, char letter, size_t count, size_t at, size_t to)
{
    dl_pattern_item *item = &p->items[p->count++];
    *item = (dl_pattern_item){letter, (uint8_t)count, false, (uint8_t)at, (uint8_t)to};
    return item;
}

/* '...': text; '' in it and outside is a quote. */
static dl_status take_quoted(dl_pattern *p, dl_str text, size_t *inout_at, dl_error *err)
{
    size_t i = *inout_at + 1;
    if (i < text.len && text.ptr[i] == '\'') {
        (void)add(p, '\0', 0, i, i + 1);
        *inout_at = i + 1;
        return DL_OK;
    }
    while (i < text.len && p->count + 2 < DL_PATTERN_LIMIT) {
        size_t start = i;
        while (i < text.len && text.ptr[i] != '\'') {
            i++;
        }
        bool twice = i + 1 < text.len && text.ptr[i + 1] == '\'';
        (void)add(p, '\0', 0, start, i + twice);
        if (i < text.len && !twice) {
            *inout_at = i + 1;
            return DL_OK;
        }
        i += 2;
    }
    return dl_error_set(err, DL_E_INVALID, "the pattern has a quote without an end");
}

static dl_status take_item(dl_pattern *p, dl_str text, size_t *inout_at, int *inout_open,
                           dl_error *err)
{
    size_t at = *inout_at, end = at + 1;
    char c = text.ptr[at];
    if (c == '\'') {
        return take_quoted(p, text, inout_at, err);
    }
    *inout_open += (c == '[') - (c == ']');
    if (c == '#' || c == '{' || c == '}' || *inout_open < 0 || *inout_open > 1) {
        return no_letter(dl_str_slice(text, at, 1), err);
    }
    if (!is_letter(c)) {
        bool bracket = c == '[' || c == ']';
        (void)add(p, bracket ? c : '\0', 0, at, end);
        *inout_at = end;
        return DL_OK;
    }
    while (end < text.len && text.ptr[end] == c) {
        end++;
    }
    bool odd = (c == 'V' && end - at != 2) || (c == 'O' && end - at != 1 && end - at != 4);
    if (strchr(letters, c) == NULL || end - at > most_of(c) || odd) {
        return no_letter(dl_str_slice(text, at, end - at), err);
    }
    (void)add(p, c, end - at, at, end);
    *inout_at = end;
    return DL_OK;
}

dl_status dl_pattern_read(dl_str text, dl_pattern *out_pattern, dl_error *err)
{
    dl_pattern p = {.count = 0};
    size_t at = 0;
    int open = 0;
    if (text.len > TEXT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "the pattern has more than %d bytes",
                            TEXT_LIMIT_BYTES);
    }
    while (at < text.len) {
        if (p.count + 2 >= DL_PATTERN_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "the pattern has too many parts");
        }
        DL_TRY(take_item(&p, text, &at, &open, err));
    }
    if (open != 0) {
        return dl_error_set(err, DL_E_INVALID, "the pattern has [ without ]");
    }
    for (size_t i = 0; i + 1 < p.count; i++) {
        p.items[i].adjacent = is_number(&p.items[i]) && is_number(&p.items[i + 1]);
    }
    if (text.len > 0) {
        memcpy(p.text, text.ptr, text.len);
    }
    *out_pattern = p;
    return DL_OK;
}

/* ---- writing ---- */

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Thursday", "Friday",  "Saturday", "Sunday",
                                   "Monday",   "Tuesday", "Wednesday"}; /* 1970-01-01 first */
static const char *const quarters[] = {"1st quarter", "2nd quarter", "3rd quarter", "4th quarter"};

typedef struct parts {
    int64_t day; /* since 1970 */
    int64_t year, month, day_of_month, day_of_year;
    int64_t hour, minute, second, us;
} parts;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970 as year, month, day: years begin in March, as in "chrono-compatible low-level
 * date algorithms" (Howard Hinnant). */
static void split_day(parts *p)
{
    int64_t z = p->day + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    p->day_of_month = doy - (153 * mp + 2) / 5 + 1;
    p->month = mp < 10 ? mp + 3 : mp - 9;
    p->year = yoe + era * 400 + (p->month <= 2);
    bool leap = p->year % 4 == 0 && (p->year % 100 != 0 || p->year % 400 == 0);
    p->day_of_year = p->month > 2 ? doy + 59 + leap + 1 : doy - 306 + 1;
}

static parts split(int64_t time_us)
{
    const int64_t day_us = INT64_C(86400000000);
    parts p = {.day = floor_div(time_us, day_us)};
    int64_t rest = time_us - p.day * day_us;
    p.us = rest % 1000000;
    p.second = rest / 1000000 % 60;
    p.minute = rest / 60000000 % 60;
    p.hour = rest / 3600000000;
    split_day(&p);
    return p;
}

static dl_status put_number(dl_buf *out, int64_t value, size_t width, dl_error *err)
{
    return dl_buf_printf(out, err, "%0*lld", (int)width + (value < 0), (long long)value);
}

static dl_status put_name(dl_buf *out, const char *name, bool whole, dl_error *err)
{
    return dl_buf_append(out, name, whole ? strlen(name) : 3, err);
}

static dl_status put_year(dl_buf *out, const dl_pattern_item *item, int64_t year, dl_error *err)
{
    if (item->letter == 'y' && year < 1) {
        year = 1 - year; /* of the era */
    }
    if (item->count == 2) {
        return put_number(out, (year % 100 + 100) % 100, 2, err);
    }
    if (year > 9999 && item->count >= 4 && item->count < 5) {
        DL_TRY(dl_buf_append_char(out, '+', err));
    }
    return put_number(out, year, item->count, err);
}

static dl_status put_fraction(dl_buf *out, size_t digits, int64_t us, dl_error *err)
{
    char text[16] = "000000000";
    for (size_t i = 6; i-- > 0; us /= 10) {
        text[i] = (char)('0' + us % 10);
    }
    return dl_buf_append(out, text, digits, err);
}

static const char *zone_text(const dl_pattern_item *item)
{
    static const char *const offsets[] = {"+00", "+0000", "+00:00", "+0000", "+00:00"};
    switch (item->letter) {
    case 'X':
        return "Z";
    case 'x':
        return offsets[item->count - 1];
    case 'Z':
        return item->count < 4 ? "+0000" : item->count == 4 ? "GMT" : "Z";
    case 'O':
        return "GMT";
    case 'z':
        return item->count == 4 ? "Coordinated Universal Time" : "UTC";
    default:
        return "UTC";
    }
}

static dl_status put_quarter(dl_buf *out, size_t count, int64_t quarter, dl_error *err)
{
    if (count <= 2) {
        return put_number(out, quarter, count, err);
    }
    return count == 3 ? dl_buf_printf(out, err, "Q%lld", (long long)quarter)
                      : put_name(out, quarters[quarter - 1], true, err);
}

static dl_status put_clock(dl_buf *out, const dl_pattern_item *item, const parts *p, dl_error *err)
{
    switch (item->letter) {
    case 'H':
        return put_number(out, p->hour, item->count, err);
    case 'k':
        return put_number(out, p->hour == 0 ? 24 : p->hour, item->count, err);
    case 'K':
        return put_number(out, p->hour % 12, item->count, err);
    case 'h':
        return put_number(out, p->hour % 12 == 0 ? 12 : p->hour % 12, item->count, err);
    case 'm':
        return put_number(out, p->minute, item->count, err);
    case 's':
        return put_number(out, p->second, item->count, err);
    case 'S':
        return put_fraction(out, item->count, p->us, err);
    case 'a':
        return dl_buf_append_str(out, p->hour < 12 ? DL_STR("AM") : DL_STR("PM"), err);
    default:
        return dl_buf_append_str(out, dl_str_of(zone_text(item)), err);
    }
}

static dl_status put_item(dl_buf *out, const dl_pattern_item *item, const parts *p, dl_error *err)
{
    switch (item->letter) {
    case 'G':
        return dl_buf_append_str(
            out,
            item->count == 4 ? (p->year > 0 ? DL_STR("Anno Domini") : DL_STR("Before Christ"))
                             : (p->year > 0 ? DL_STR("AD") : DL_STR("BC")),
            err);
    case 'y':
    case 'u':
        return put_year(out, item, p->year, err);
    case 'Q':
    case 'q':
        return put_quarter(out, item->count, (p->month + 2) / 3, err);
    case 'M':
    case 'L':
        return item->count <= 2 ? put_number(out, p->month, item->count, err)
                                : put_name(out, months[p->month - 1], item->count == 4, err);
    case 'd':
        return put_number(out, p->day_of_month, item->count, err);
    case 'D':
        return put_number(out, p->day_of_year, item->count, err);
    case 'E':
        return put_name(out, days[((p->day % 7) + 7) % 7], item->count == 4, err);
    default:
        return put_clock(out, item, p, err);
    }
}

dl_status dl_pattern_format(const dl_pattern *pattern, int64_t time_us, dl_buf *out, dl_error *err)
{
    parts p = split(time_us);
    for (size_t i = 0; i < pattern->count; i++) {
        const dl_pattern_item *item = &pattern->items[i];
        if (item->letter == '\0') {
            DL_TRY(
                dl_buf_append(out, pattern->text + item->at, (size_t)(item->to - item->at), err));
        } else if (item->letter != '[' && item->letter != ']') {
            DL_TRY(put_item(out, item, &p, err));
        }
    }
    return DL_OK;
}

/* ---- reading ---- */

typedef struct reading {
    dl_str rest;
    int64_t year, month, day, day_of_year, hour, half, minute, second, us, zone_us;
    bool before_christ, twelve, by_day_of_year;
} reading;

static bool take_digits(dl_str *text, size_t least, size_t most, int64_t *out)
{
    size_t count = 0;
    int64_t value = 0;
    while (count < text->len && count < most && text->ptr[count] >= '0' &&
           text->ptr[count] <= '9') {
        value = value * 10 + (text->ptr[count++] - '0');
    }
    *text = dl_str_slice(*text, count, SIZE_MAX);
    *out = value;
    return count >= least;
}

static bool take_word(dl_str *text, const char *word)
{
    if (!dl_str_starts_nocase(*text, dl_str_of(word))) {
        return false;
    }
    *text = dl_str_slice(*text, strlen(word), SIZE_MAX);
    return true;
}

static bool take_name(dl_str *text, const char *const *names, size_t count, bool whole,
                      int64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        char name[16] = {0};
        memcpy(name, names[i], whole ? strlen(names[i]) : 3);
        if (take_word(text, name)) {
            *out = (int64_t)i + 1;
            return true;
        }
    }
    return false;
}

/* Z, UTC, GMT, or an offset with or without a colon. */
static bool take_zone(dl_str *text, int64_t *out_us)
{
    int64_t hours = 0, minutes = 0, sign = 1;
    *out_us = 0;
    if (take_word(text, "UTC") || take_word(text, "GMT") || take_word(text, "Z")) {
        return true;
    }
    if (text->len == 0 || (text->ptr[0] != '+' && text->ptr[0] != '-')) {
        return false;
    }
    sign = text->ptr[0] == '-' ? -1 : 1;
    *text = dl_str_slice(*text, 1, SIZE_MAX);
    if (!take_digits(text, 2, 2, &hours)) {
        return false;
    }
    bool colon = take_word(text, ":");
    bool more = text->len > 0 && text->ptr[0] >= '0' && text->ptr[0] <= '9';
    if ((colon || more) && !take_digits(text, 2, 2, &minutes)) {
        return false;
    }
    *out_us = sign * (hours * 60 + minutes) * 60000000;
    return hours <= 18 && minutes < 60;
}

static bool take_year(reading *r, const dl_pattern_item *item)
{
    size_t width = item->count;
    if (width == 2) {
        return take_digits(&r->rest, 2, 2, &r->year) && (r->year += 2000, true);
    }
    bool plus = width >= 4 && take_word(&r->rest, "+");
    return take_digits(&r->rest, width,
                       item->adjacent        ? width
                       : (plus || width < 4) ? 6
                                             : 4,
                       &r->year);
}

static bool take_fraction(reading *r, const dl_pattern_item *item)
{
    int64_t unit = 100000, digit = 0;
    size_t count = 0;
    r->us = 0;
    while (count < item->count && r->rest.len > 0 && r->rest.ptr[0] >= '0' &&
           r->rest.ptr[0] <= '9') {
        (void)take_digits(&r->rest, 1, 1, &digit);
        r->us += digit * unit;
        unit /= 10;
        count++;
    }
    return count > 0;
}

/* One or two digits for one letter; as many as letters for more, or before other digits. */
static bool take_field(reading *r, const dl_pattern_item *item, int64_t low, int64_t high,
                       int64_t *out)
{
    size_t most = item->letter == 'D' ? 3 : 2;
    bool exact = item->adjacent || item->count > 1;
    return take_digits(&r->rest, item->count, exact ? item->count : most, out) && *out >= low &&
           *out <= high;
}

static bool take_clock(reading *r, const dl_pattern_item *item)
{
    int64_t half = 0;
    switch (item->letter) {
    case 'H':
        return take_field(r, item, 0, 23, &r->hour);
    case 'k':
        return take_field(r, item, 1, 24, &r->hour) && (r->hour %= 24, true);
    case 'K':
        r->twelve = true;
        return take_field(r, item, 0, 11, &r->hour);
    case 'h':
        r->twelve = true;
        return take_field(r, item, 1, 12, &r->hour) && (r->hour %= 12, true);
    case 'm':
        return take_field(r, item, 0, 59, &r->minute);
    case 's':
        return take_field(r, item, 0, 59, &r->second);
    case 'S':
        return take_fraction(r, item);
    case 'a':
        half = take_word(&r->rest, "AM") ? 1 : take_word(&r->rest, "PM") ? 2 : 0;
        r->half = half == 2 ? 12 : 0;
        return half != 0;
    default:
        return take_zone(&r->rest, &r->zone_us);
    }
}

static bool take_item_text(reading *r, const dl_pattern *p, const dl_pattern_item *item)
{
    int64_t ignored = 0;
    switch (item->letter) {
    case '\0': {
        dl_str text = {p->text + item->at, (size_t)(item->to - item->at)};
        bool same = dl_str_starts(r->rest, text);
        r->rest = dl_str_slice(r->rest, same ? text.len : 0, SIZE_MAX);
        return same;
    }
    case 'G':
        r->before_christ = take_word(&r->rest, "BC");
        return r->before_christ || take_word(&r->rest, "AD");
    case 'y':
    case 'u':
        return take_year(r, item);
    case 'M':
    case 'L':
        return item->count <= 2 ? take_field(r, item, 1, 12, &r->month)
                                : take_name(&r->rest, months, 12, item->count == 4, &r->month);
    case 'd':
        return take_field(r, item, 1, 31, &r->day);
    case 'D':
        r->by_day_of_year = true;
        return take_field(r, item, 1, 366, &r->day_of_year);
    case 'E':
        return take_name(&r->rest, days, 7, item->count == 4, &ignored);
    case 'Q':
    case 'q':
        return false; /* says no day */
    default:
        return take_clock(r, item);
    }
}

static bool finish(const reading *r, int64_t *out_time_us)
{
    int64_t year = r->before_christ ? 1 - r->year : r->year, first = 0, days_since = 0;
    if (r->by_day_of_year) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (!dl_clock_days(year, 1, 1, &first) || r->day_of_year > 365 + leap) {
            return false;
        }
        days_since = first + r->day_of_year - 1;
    } else if (!dl_clock_days(year, r->month, r->day, &days_since)) {
        return false;
    }
    int64_t hour = r->hour + (r->twelve ? r->half : 0);
    *out_time_us = ((days_since * 24 + hour) * 60 + r->minute) * 60000000 + r->second * 1000000 +
                   r->us - r->zone_us;
    return true;
}

/* Past the ']' that ends the part at `i`. */
static size_t skip_optional(const dl_pattern *p, size_t i)
{
    while (i < p->count && p->items[i].letter != ']') {
        i++;
    }
    return i;
}

bool dl_pattern_parse(const dl_pattern *pattern, dl_str text, int64_t *out_time_us)
{
    reading r = {.rest = text, .year = 1970, .month = 1, .day = 1}, before = r;
    bool optional = false;
    for (size_t i = 0; i < pattern->count; i++) {
        const dl_pattern_item *item = &pattern->items[i];
        if (item->letter == '[') {
            before = r;
            optional = true;
        } else if (item->letter == ']') {
            optional = false;
        } else if (!take_item_text(&r, pattern, item)) {
            if (!optional) {
                return false;
            }
            r = before;
            i = skip_optional(pattern, i);
            optional = false;
        }
    }
    return r.rest.len == 0 && finish(&r, out_time_us);
}
