/* Time zones out of the system's zone database: TZif files (RFC 8536), versions 2 and later, whose
 * last line is a rule for all times to come. Zones that were asked for stay in memory. */
#include "base/file.h"
#include "base/mem.h"
#include "factory/calendar_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    NAME_SIZE = 64,
    FILE_LIMIT_BYTES = 64 * 1024,
    TRANSITION_LIMIT = 4096,
    TYPE_LIMIT = 256,
    OFFSET_LIMIT_S = 26 * 3600, /* RFC 8536 section 3.2: from -25 to 26 hours */
    NEAR_S = 60 * 3600,         /* further from a change nothing of it is seen */
};

static const char zone_folder[] = "/usr/share/zoneinfo";

/** "Mm.w.d/time", "Jn/time" or "n/time" of a rule. */
typedef struct rule_day {
    char kind; /* 'M', 'J' or '0' */
    int month, week, day;
    int time_s;
} rule_day;

typedef struct rule {
    bool there, has_dst;
    int std_s, dst_s; /* east of UTC */
    rule_day start, end;
} rule;

typedef struct change {
    int64_t at_s;
    int offset_s; /* from then on */
} change;

struct dl_calendar_zone {
    dl_calendar_zone *next;
    char name[NAME_SIZE];
    int first_offset_s;
    rule rule;
    size_t count;
    change changes[];
};

static const dl_calendar_zone utc = {.name = "UTC"};

/* ---- the rule behind the last change ---- */

static int64_t rule_day_s(const rule_day *d, int64_t year)
{
    int64_t first = dl_calendar_days(year, 1, 1);
    int64_t days = first + d->day;
    if (d->kind == 'J') { /* 1 to 365; February 29 is never counted */
        bool leap = dl_calendar_month_length(year, 2) == 29;
        days = first + d->day - 1 + (leap && d->day >= 60);
    } else if (d->kind == 'M') {
        int64_t month = dl_calendar_days(year, d->month, 1);
        int to_first = (d->day - dl_calendar_weekday(month) + 7) % 7;
        days = month + to_first + INT64_C(7) * (d->week - 1);
        if (days >= month + dl_calendar_month_length(year, d->month)) {
            days -= 7; /* week 5 is the last one */
        }
    }
    return days * 86400 + d->time_s;
}

/** The two changes of a year, in order. */
static void rule_changes(const rule *r, int64_t year, change out[2])
{
    change start = {rule_day_s(&r->start, year) - r->std_s, r->dst_s};
    change end = {rule_day_s(&r->end, year) - r->dst_s, r->std_s};
    bool start_first = start.at_s < end.at_s;
    out[0] = start_first ? start : end;
    out[1] = start_first ? end : start;
}

static int64_t year_of(int64_t time_s)
{
    int64_t year = 0;
    int month = 0, day = 0;
    dl_calendar_civil(dl_calendar_floor(time_s, 86400), &year, &month, &day);
    return year;
}

static int rule_offset(const rule *r, int64_t time_s)
{
    if (!r->has_dst) {
        return r->std_s;
    }
    change of_year[2];
    rule_changes(r, year_of(time_s + r->std_s), of_year);
    return time_s < of_year[0].at_s   ? of_year[1].offset_s
           : time_s < of_year[1].at_s ? of_year[0].offset_s
                                      : of_year[1].offset_s;
}

/* ---- asking a zone ---- */

/** How many changes have come at time_s. */
static size_t changes_until(const dl_calendar_zone *zone, int64_t time_s)
{
    size_t low = 0, high = zone->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s <= time_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int dl_calendar_zone_offset(const dl_calendar_zone *zone, int64_t time_s)
{
    if (zone == NULL) {
        return 0;
    }
    size_t come = changes_until(zone, time_s);
    if (come == zone->count && zone->rule.there) {
        return rule_offset(&zone->rule, time_s);
    }
    return come == 0 ? zone->first_offset_s : zone->changes[come - 1].offset_s;
}

enum { NEAR_LIMIT = 16 };

static size_t add_near(change *near, size_t count, change c, int64_t around_s)
{
    if (count < NEAR_LIMIT && c.at_s > around_s - NEAR_S && c.at_s < around_s + NEAR_S) {
        near[count++] = c;
    }
    return count;
}

/** The changes near a time, in order. */
static size_t changes_near(const dl_calendar_zone *zone, int64_t around_s, change near[NEAR_LIMIT])
{
    size_t count = 0;
    for (size_t i = changes_until(zone, around_s - NEAR_S);
         i < zone->count && zone->changes[i].at_s < around_s + NEAR_S; i++) {
        count = add_near(near, count, zone->changes[i], around_s);
    }
    if (!zone->rule.there || !zone->rule.has_dst) {
        return count;
    }
    for (int64_t year = year_of(around_s) - 1; year <= year_of(around_s) + 1; year++) {
        change of_year[2];
        rule_changes(&zone->rule, year, of_year);
        for (size_t i = 0; i < 2; i++) {
            if (zone->count == 0 || of_year[i].at_s > zone->changes[zone->count - 1].at_s) {
                count = add_near(near, count, of_year[i], around_s);
            }
        }
    }
    return count;
}

int64_t dl_calendar_zone_time(const dl_calendar_zone *zone, int64_t local_s, int64_t *fraction)
{
    if (zone == NULL) {
        return local_s;
    }
    change near[NEAR_LIMIT];
    size_t count = changes_near(zone, local_s, near);
    int offset_s = dl_calendar_zone_offset(zone, local_s - NEAR_S);
    for (size_t i = 0; i < count; i++) {
        if (local_s - offset_s < near[i].at_s) {
            break; /* before this change: the first time, if it comes twice */
        }
        offset_s = near[i].offset_s;
        if (local_s - offset_s < near[i].at_s) {
            *fraction = 0;
            return near[i].at_s; /* left out: the first moment after */
        }
    }
    return local_s - offset_s;
}

/* ---- reading a file ---- */

typedef struct header {
    char version;
    uint32_t isut, isstd, leap, time, type, letters;
} header;

static uint64_t take_be(const uint8_t **at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value = value << 8 | (*at)[i];
    }
    *at += width;
    return value;
}

static bool read_header(dl_bytes *rest, header *out)
{
    if (rest->len < 44 || memcmp(rest->ptr, "TZif", 4) != 0) {
        return false;
    }
    const uint8_t *at = rest->ptr + 20;
    out->version = (char)rest->ptr[4];
    out->isut = (uint32_t)take_be(&at, 4);
    out->isstd = (uint32_t)take_be(&at, 4);
    out->leap = (uint32_t)take_be(&at, 4);
    out->time = (uint32_t)take_be(&at, 4);
    out->type = (uint32_t)take_be(&at, 4);
    out->letters = (uint32_t)take_be(&at, 4);
    *rest = (dl_bytes){rest->ptr + 44, rest->len - 44};
    return true;
}

/** Size of a block with times of `width` bytes. The counts have 32 bits: no product overflows. */
static uint64_t block_size(const header *h, uint64_t width)
{
    return h->time * (width + 1) + h->type * 6ULL + h->letters + h->leap * (width + 4) +
           (uint64_t)h->isstd + h->isut;
}

static bool skip_block(dl_bytes *rest, uint64_t size)
{
    if (rest->len < size) {
        return false;
    }
    *rest = (dl_bytes){rest->ptr + size, rest->len - (size_t)size};
    return true;
}

static bool read_changes(const header *h, const uint8_t *block, dl_calendar_zone *zone)
{
    const uint8_t *at = block, *index = block + (size_t)h->time * 8;
    const uint8_t *types = index + h->time;
    int offsets_s[TYPE_LIMIT];
    for (size_t i = 0; i < h->type; i++) {
        const uint8_t *type = types + i * 6;
        offsets_s[i] = (int32_t)(uint32_t)take_be(&type, 4);
        if (offsets_s[i] < -OFFSET_LIMIT_S || offsets_s[i] > OFFSET_LIMIT_S) {
            return false;
        }
    }
    zone->first_offset_s = offsets_s[0];
    for (size_t i = 0; i < h->time; i++) {
        if (index[i] >= h->type) {
            return false;
        }
        zone->changes[i] = (change){(int64_t)take_be(&at, 8), offsets_s[index[i]]};
        if (i > 0 && zone->changes[i].at_s <= zone->changes[i - 1].at_s) {
            return false;
        }
    }
    zone->count = h->time;
    return true;
}

/* ---- the rule's text: POSIX TZ, as RFC 8536 section 3.3 extends it ---- */

static char peek(dl_str text)
{
    return text.len > 0 ? text.ptr[0] : '\0';
}

static bool take_char(dl_str *text, char c)
{
    if (peek(*text) != c) {
        return false;
    }
    *text = dl_str_slice(*text, 1, text->len);
    return true;
}

static bool take_number(dl_str *text, int most, int *out)
{
    size_t digits = 0;
    int value = 0;
    while (digits < text->len && digits < 3 && text->ptr[digits] >= '0' &&
           text->ptr[digits] <= '9') {
        value = value * 10 + (text->ptr[digits++] - '0');
    }
    if (digits == 0 || value > most) {
        return false;
    }
    *text = dl_str_slice(*text, digits, text->len);
    *out = value;
    return true;
}

/** [+-]hh[:mm[:ss]] */
static bool take_span(dl_str *text, int most_hours, int *out_s)
{
    int sign = take_char(text, '-') ? -1 : 1;
    if (sign == 1) {
        (void)take_char(text, '+');
    }
    int hours = 0, minutes = 0, seconds = 0;
    if (!take_number(text, most_hours, &hours) ||
        (take_char(text, ':') && (!take_number(text, 59, &minutes) ||
                                  (take_char(text, ':') && !take_number(text, 59, &seconds))))) {
        return false;
    }
    *out_s = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

/** "CET" or "<+03>" */
static bool take_name(dl_str *text)
{
    size_t length = 0;
    bool quoted = take_char(text, '<');
    while (length < text->len) {
        char c = text->ptr[length];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!letter && !(quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-'))) {
            break;
        }
        length++;
    }
    *text = dl_str_slice(*text, length, text->len);
    return length >= 3 && (!quoted || take_char(text, '>'));
}

static bool take_rule_day(dl_str *text, rule_day *out)
{
    rule_day d = {.kind = '0', .time_s = 2 * 3600};
    if (take_char(text, 'M')) {
        d.kind = 'M';
        if (!take_number(text, 12, &d.month) || !take_char(text, '.') ||
            !take_number(text, 5, &d.week) || !take_char(text, '.') ||
            !take_number(text, 6, &d.day) || d.month < 1 || d.week < 1) {
            return false;
        }
    } else {
        d.kind = take_char(text, 'J') ? 'J' : '0';
        if (!take_number(text, 365, &d.day) || (d.kind == 'J' && d.day < 1)) {
            return false;
        }
    }
    if (take_char(text, '/') && !take_span(text, 167, &d.time_s)) {
        return false;
    }
    *out = d;
    return true;
}

static bool parse_rule(dl_str text, rule *out)
{
    rule r = {.there = text.len > 0};
    int west_s = 0;
    if (!r.there) {
        *out = r;
        return true;
    }
    if (!take_name(&text) || !take_span(&text, 25, &west_s)) {
        return false;
    }
    r.std_s = -west_s;
    if (text.len > 0) {
        r.has_dst = true;
        r.dst_s = r.std_s + 3600;
        if (!take_name(&text)) {
            return false;
        }
        if (peek(text) != ',') {
            if (!take_span(&text, 25, &west_s)) {
                return false;
            }
            r.dst_s = -west_s;
        }
        if (!take_char(&text, ',') || !take_rule_day(&text, &r.start) || !take_char(&text, ',') ||
            !take_rule_day(&text, &r.end) || text.len > 0) {
            return false;
        }
    }
    *out = r;
    return true;
}

static bool parse_footer(dl_bytes rest, rule *out)
{
    dl_str text = {(const char *)rest.ptr, rest.len};
    if (text.len < 2 || text.ptr[0] != '\n' || text.ptr[text.len - 1] != '\n') {
        return false;
    }
    return parse_rule(dl_str_slice(text, 1, text.len - 2), out);
}

static bool counts_good(const header *h)
{
    return h->type > 0 && h->type <= TYPE_LIMIT && h->time <= TRANSITION_LIMIT;
}

static dl_status damaged(dl_str name, dl_error *err)
{
    return dl_error_set(err, DL_E_CORRUPT, "time zone '%.*s': its file in %s is damaged",
                        DL_STR_ARG(name), zone_folder);
}

dl_status dl_calendar_zone_parse(dl_str name, dl_bytes file, dl_calendar_zone **out_zone,
                                 dl_error *err)
{
    header first = {0}, second = {0};
    if (!read_header(&file, &first)) {
        return damaged(name, err);
    }
    if (first.version < '2') {
        return dl_error_set(
            err, DL_E_UNSUPPORTED,
            "time zone '%.*s': its file has version 1, without rules for the future",
            DL_STR_ARG(name));
    }
    if (!skip_block(&file, block_size(&first, 4)) || !read_header(&file, &second) ||
        !counts_good(&second)) {
        return damaged(name, err);
    }
    if (second.leap > 0) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "time zone '%.*s': its file counts leap seconds",
                            DL_STR_ARG(name));
    }
    const uint8_t *block = file.ptr;
    if (!skip_block(&file, block_size(&second, 8))) {
        return damaged(name, err);
    }
    dl_calendar_zone *zone = dl_mem_zalloc(1, sizeof *zone + second.time * sizeof zone->changes[0]);
    if (zone == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "time zone '%.*s': out of memory", DL_STR_ARG(name));
    }
    if (!dl_str_copy(name, zone->name, sizeof zone->name) || !read_changes(&second, block, zone) ||
        !parse_footer(file, &zone->rule)) {
        dl_mem_free(zone);
        return damaged(name, err);
    }
    *out_zone = zone;
    return DL_OK;
}

/* ---- finding a zone ---- */

/** Whether it may be a path below the zone folder. */
static bool is_zone_name(dl_str name)
{
    char before = '/';
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if ((before == '/' && !letter) || (!letter && (c == '\0' || strchr("/_+-", c) == NULL))) {
            return false;
        }
        before = c;
    }
    return name.len > 0 && name.len < NAME_SIZE && before != '/' &&
           !dl_str_starts(name, DL_STR("right/"));
}

static dl_status unknown_zone(dl_str name, dl_error *err)
{
    (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no time zone '%.*s'",
                       (int)(name.len < NAME_SIZE ? name.len : NAME_SIZE),
                       name.ptr == NULL ? "" : name.ptr);
    struct stat about;
    if (stat(zone_folder, &about) != 0) {
        dl_error_hint(err, "%s is not there: install the package tzdata", zone_folder);
    } else {
        dl_calendar_zone_hint(name, err);
    }
    return DL_E_NOT_FOUND;
}

static dl_status load_zone(dl_str name, dl_calendar_zone **out_zone, dl_error *err)
{
    char path[sizeof zone_folder + NAME_SIZE + 1];
    DL_AUTO_BUF file = {0};
    dl_error why = {0};
    (void)snprintf(path, sizeof path, "%s/%.*s", zone_folder, DL_STR_ARG(name));
    dl_buf_init(&file, FILE_LIMIT_BYTES);
    dl_status status = dl_file_read_all(path, &file, &why);
    if (status == DL_E_NOMEM) {
        return dl_error_set(err, DL_E_NOMEM, "time zone '%.*s': out of memory", DL_STR_ARG(name));
    }
    /* A folder, a list of names and whatever else lies there is no zone. */
    if (status != DL_OK || !dl_str_starts(dl_buf_str(&file), DL_STR("TZif"))) {
        return DL_E_NOT_FOUND;
    }
    return dl_calendar_zone_parse(name, (dl_bytes){(const uint8_t *)file.ptr, file.len}, out_zone,
                                  err);
}

/* The zones asked for so far: the zone database is one a machine, and so are these. */
static struct {
    pthread_mutex_t mutex;
    dl_calendar_zone *first;
} known = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const dl_calendar_zone *find_known(dl_str name)
{
    const dl_calendar_zone *zone = known.first;
    while (zone != NULL && !dl_str_eq(name, dl_str_of(zone->name))) {
        zone = zone->next;
    }
    return zone;
}

static const dl_calendar_zone *keep(dl_calendar_zone *take_zone)
{
    pthread_mutex_lock(&known.mutex);
    const dl_calendar_zone *zone = find_known(dl_str_of(take_zone->name));
    if (zone == NULL) {
        take_zone->next = known.first;
        known.first = take_zone;
        zone = take_zone;
        take_zone = NULL;
    }
    pthread_mutex_unlock(&known.mutex);
    dl_mem_free(take_zone); /* another thread was first */
    return zone;
}

dl_status dl_calendar_zone_find(dl_str name, const dl_calendar_zone **out_zone, dl_error *err)
{
    if (name.len == 0 || dl_str_eq_nocase(name, DL_STR("UTC"))) {
        *out_zone = &utc;
        return DL_OK;
    }
    const char *windows = dl_calendar_windows_zone(name);
    dl_str wanted = windows == NULL ? name : dl_str_of(windows);
    if (!is_zone_name(wanted)) {
        return unknown_zone(name, err);
    }
    pthread_mutex_lock(&known.mutex);
    const dl_calendar_zone *zone = find_known(wanted);
    pthread_mutex_unlock(&known.mutex);
    if (zone == NULL) {
        dl_calendar_zone *loaded = NULL;
        dl_status status = load_zone(wanted, &loaded, err);
        if (status == DL_E_NOT_FOUND) {
            return unknown_zone(name, err);
        }
        DL_TRY(status);
        zone = keep(loaded);
    }
    *out_zone = zone;
    return DL_OK;
}
