/* A page of the feed: an array of rows, read in one pass over its text. */
#include "base/mem.h"
#include "feed/internal.h"
#include "json/json.h"

#include <string.h>

/* Of one page: rows, and text that had to be unescaped. */
#define PAGE_ARENA_BYTES ((size_t)DL_FEED_PAGE_LIMIT_BYTES * 2)
enum { ENTRY_ROOM = 256, TIME_LIMIT_BYTES = 64 };

typedef enum property {
    SEQUENCE,
    PARTITION,
    PATH,
    STUDY,
    SERIES,
    SOP,
    ACTION,
    TIMESTAMP,
    STATE,
    METADATA,
    PROPERTY_COUNT
} property;

static const dl_str names[PROPERTY_COUNT] = {
    [SEQUENCE] = {"sequence", 8},
    [PARTITION] = {"partitionName", 13},
    [PATH] = {"filePath", 8},
    [STUDY] = {"studyInstanceUid", 16},
    [SERIES] = {"seriesInstanceUid", 17},
    [SOP] = {"sopInstanceUid", 14},
    [ACTION] = {"action", 6},
    [TIMESTAMP] = {"timestamp", 9},
    [STATE] = {"state", 5},
    [METADATA] = {"metadata", 8},
};

typedef struct parser {
    const char *begin, *at, *end;
    dl_feed_page *page;
    size_t room; /* entries that fit */
    bool not_json;
    dl_error *err;
} parser;

/* ---- JSON ---- */

static dl_status refuse(parser *c, const char *what)
{
    c->not_json = true;
    return dl_error_set(c->err, DL_E_INVALID, "feed page: byte %zu of %zu: %s",
                        (size_t)(c->at - c->begin), (size_t)(c->end - c->begin), what);
}

static void skip_space(parser *c)
{
    while (c->at < c->end && dl_feed_is_space(*c->at)) {
        c->at++;
    }
}

static bool take(parser *c, char wanted)
{
    skip_space(c);
    if (c->at < c->end && *c->at == wanted) {
        c->at++;
        return true;
    }
    return false;
}

static dl_status check_value(parser *c, dl_str value)
{
    dl_error cause = {0};
    if (dl_json_check(value, &cause) == DL_OK) {
        return DL_OK;
    }
    c->at = value.ptr;
    return refuse(c, cause.message);
}

/* A string with its quotes. */
static dl_status read_string(parser *c, dl_str *out_value)
{
    unsigned kind = 0;
    const char *end = dl_feed_string_end(c->at + 1, c->end, &kind);
    if (end == NULL) {
        return refuse(c, "a string without end");
    }
    dl_str value = {c->at, (size_t)(end + 1 - c->at)};
    if (kind != 0) {
        DL_TRY(check_value(c, value));
    }
    c->at = end + 1;
    *out_value = value;
    return DL_OK;
}

static dl_status read_scalar(parser *c, dl_str *out_value)
{
    const char *p = c->at;
    while (p < c->end && *p != ',' && *p != '}' && *p != ']' && !dl_feed_is_space(*p)) {
        p++;
    }
    dl_str value = {c->at, (size_t)(p - c->at)};
    DL_TRY(check_value(c, value));
    c->at = p;
    *out_value = value;
    return DL_OK;
}

/* Any value. What is in an object or array is not looked at. */
static dl_status read_value(parser *c, dl_str *out_value)
{
    skip_space(c);
    if (c->at == c->end) {
        return refuse(c, "the text ends where a value was expected");
    }
    if (*c->at == '"') {
        return read_string(c, out_value);
    }
    if (*c->at != '{' && *c->at != '[') {
        return read_scalar(c, out_value);
    }
    const char *end = dl_feed_container_end(c->at, c->end);
    if (end == NULL) {
        return refuse(c, "an object or array without end");
    }
    *out_value = (dl_str){c->at, (size_t)(end - c->at)};
    c->at = end;
    return DL_OK;
}

/* ---- the properties of a row ---- */

static bool is_null(dl_str value)
{
    return value.ptr == NULL || dl_str_eq(value, DL_STR("null"));
}

static dl_status refuse_row(parser *c, int64_t sequence, property which, const char *what)
{
    return dl_error_set(c->err, DL_E_INVALID, "feed page: sequence %lld: %.*s %s",
                        (long long)sequence, DL_STR_ARG(names[which]), what);
}

/* A string of 1..`limit` bytes, unescaped; nothing that breaks a line. */
static dl_status text_of(parser *c, const dl_str *values, property which, size_t limit,
                         dl_feed_entry *entry, dl_str *out_text)
{
    dl_str value = values[which];
    if (is_null(value)) {
        return refuse_row(c, entry->sequence, which, "is missing");
    }
    if (value.ptr[0] != '"') {
        return refuse_row(c, entry->sequence, which, "is no string");
    }
    dl_str text = {value.ptr + 1, value.len - 2};
    if (memchr(text.ptr, '\\', text.len) != NULL) {
        DL_TRY(dl_json_text(value, c->page->arena, &text, c->err));
    }
    if (text.len == 0 || text.len > limit) {
        return refuse_row(c, entry->sequence, which,
                          text.len == 0 ? "is empty" : "is longer than it may be");
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return refuse_row(c, entry->sequence, which, "holds a control character");
        }
    }
    *out_text = text;
    return DL_OK;
}

/* Microseconds, and what the seventh digit of the fraction adds. */
static bool read_time(dl_str text, dl_feed_entry *entry)
{
    char cut[TIME_LIMIT_BYTES];
    size_t len = 0, digits = 0;
    bool in_fraction = false;
    uint8_t tenths = 0;
    if (text.len > sizeof cut) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool digit = c >= '0' && c <= '9';
        in_fraction = c == '.' || (in_fraction && digit);
        if (in_fraction && digit && ++digits > 6) {
            tenths = digits == 7 ? (uint8_t)(c - '0') : tenths;
            continue;
        }
        cut[len++] = c;
    }
    entry->timestamp_tenths = tenths;
    return dl_clock_parse((dl_str){cut, len}, &entry->timestamp_us);
}

static dl_status read_words(parser *c, const dl_str *values, dl_feed_entry *entry)
{
    static const dl_str actions[] = {{"Create", 6}, {"Update", 6}, {"Delete", 6}};
    static const dl_str states[] = {{"Current", 7}, {"Replaced", 8}, {"Deleted", 7}};
    dl_str action = DL_STR_NONE, state = DL_STR_NONE, time = DL_STR_NONE;
    DL_TRY(text_of(c, values, ACTION, DL_FEED_NAME_LIMIT_BYTES, entry, &action));
    DL_TRY(text_of(c, values, STATE, DL_FEED_NAME_LIMIT_BYTES, entry, &state));
    DL_TRY(text_of(c, values, TIMESTAMP, TIME_LIMIT_BYTES, entry, &time));
    size_t a = 0, s = 0;
    while (a < DL_COUNT_OF(actions) && !dl_str_eq_nocase(action, actions[a])) {
        a++;
    }
    while (s < DL_COUNT_OF(states) && !dl_str_eq_nocase(state, states[s])) {
        s++;
    }
    if (a == DL_COUNT_OF(actions)) {
        return refuse_row(c, entry->sequence, ACTION, "is none of Create, Update, Delete");
    }
    if (s == DL_COUNT_OF(states)) {
        return refuse_row(c, entry->sequence, STATE, "is none of Current, Replaced, Deleted");
    }
    if (!read_time(time, entry)) {
        return refuse_row(c, entry->sequence, TIMESTAMP,
                          "is no ISO 8601 date and time with a zone");
    }
    entry->action = (dl_feed_action)a;
    entry->state = (dl_feed_state)s;
    return DL_OK;
}

static dl_status read_entry(parser *c, const dl_str *values, dl_feed_entry *entry)
{
    if (!dl_json_int_of(values[SEQUENCE], &entry->sequence) || entry->sequence < 1) {
        return dl_error_set(c->err, DL_E_INVALID,
                            "feed page: row %zu: sequence is %s whole number above 0",
                            c->page->entry_count + 1,
                            values[SEQUENCE].ptr == NULL ? "missing, and must be a" : "no");
    }
    const size_t name = DL_FEED_NAME_LIMIT_BYTES;
    DL_TRY(read_words(c, values, entry));
    DL_TRY(text_of(c, values, STUDY, name, entry, &entry->study_uid));
    DL_TRY(text_of(c, values, SERIES, name, entry, &entry->series_uid));
    DL_TRY(text_of(c, values, SOP, name, entry, &entry->sop_uid));
    entry->partition_name = DL_STR("Microsoft.Default");
    if (!is_null(values[PARTITION])) {
        DL_TRY(text_of(c, values, PARTITION, name, entry, &entry->partition_name));
    }
    if (!is_null(values[PATH])) {
        DL_TRY(text_of(c, values, PATH, DL_FEED_PATH_LIMIT_BYTES, entry, &entry->file_path));
    }
    if (!is_null(values[METADATA])) {
        if (values[METADATA].ptr[0] != '{') {
            return refuse_row(c, entry->sequence, METADATA, "is no object");
        }
        entry->metadata = values[METADATA];
    }
    return DL_OK;
}

/* ---- rows ---- */

static dl_status note_property(parser *c, dl_str key, dl_str value, dl_str *values)
{
    for (size_t i = 0; i < PROPERTY_COUNT; i++) {
        if (!dl_str_eq(key, names[i])) {
            continue;
        }
        if (values[i].ptr != NULL) {
            return dl_error_set(c->err, DL_E_INVALID, "feed page: row %zu: %.*s comes twice",
                                c->page->entry_count + 1, DL_STR_ARG(key));
        }
        values[i] = value;
        return DL_OK;
    }
    bool container = value.ptr[0] == '{' || value.ptr[0] == '['; /* a newer service's, maybe */
    return container ? check_value(c, value) : DL_OK;
}

static dl_status read_row(parser *c, dl_feed_entry *entry)
{
    dl_str values[PROPERTY_COUNT] = {{0}};
    if (!take(c, '{')) {
        return refuse(c, "a row was expected, an object");
    }
    bool more = !take(c, '}');
    while (more) {
        dl_str key = DL_STR_NONE, value = DL_STR_NONE;
        skip_space(c);
        if (c->at == c->end || *c->at != '"') {
            return refuse(c, "a property name in quotes was expected");
        }
        DL_TRY(read_string(c, &key));
        if (!take(c, ':')) {
            return refuse(c, "a colon was expected");
        }
        DL_TRY(read_value(c, &value));
        DL_TRY(note_property(c, dl_str_slice(key, 1, key.len - 2), value, values));
        more = take(c, ',');
        if (!more && !take(c, '}')) {
            return refuse(c, "a comma or } was expected");
        }
    }
    return read_entry(c, values, entry);
}

static dl_status add_room(parser *c)
{
    size_t room = c->room == 0 ? ENTRY_ROOM : c->room * 2;
    dl_feed_entry *grown = dl_arena_alloc(c->page->arena, room, sizeof *grown);
    if (grown == NULL) {
        return dl_arena_full(c->page->arena, c->err);
    }
    if (c->page->entry_count > 0) {
        memcpy(grown, c->page->entries, c->page->entry_count * sizeof *grown);
    }
    c->page->entries = grown;
    c->room = room;
    return DL_OK;
}

static dl_status add_row(parser *c)
{
    dl_feed_page *page = c->page;
    if (page->entry_count == c->room) {
        DL_TRY(add_room(c));
    }
    dl_feed_entry *entry = &page->entries[page->entry_count];
    *entry = (dl_feed_entry){0};
    DL_TRY(read_row(c, entry));
    if (page->entry_count > 0 && dl_feed_entry_order(entry - 1, entry) >= 0) {
        return dl_error_set(c->err, DL_E_INVALID,
                            "feed page: sequence %lld comes after sequence %lld, which is not the "
                            "order of time and sequence",
                            (long long)entry->sequence, (long long)entry[-1].sequence);
    }
    page->entry_count++;
    return DL_OK;
}

static dl_status read_rows(parser *c)
{
    if (!take(c, '[')) {
        return refuse(c, "an array of rows was expected");
    }
    bool more = !take(c, ']');
    while (more) {
        DL_TRY(add_row(c));
        more = take(c, ',');
        if (!more && !take(c, ']')) {
            return refuse(c, "a comma or ] was expected");
        }
    }
    return DL_OK;
}

static dl_status read_all(parser *c, bool single)
{
    DL_TRY(single ? add_row(c) : read_rows(c));
    skip_space(c);
    return c->at == c->end ? DL_OK : refuse(c, "text after the end of the rows");
}

int dl_feed_entry_order(const dl_feed_entry *a, const dl_feed_entry *b)
{
    if (a->timestamp_us != b->timestamp_us) {
        return a->timestamp_us < b->timestamp_us ? -1 : 1;
    }
    if (a->timestamp_tenths != b->timestamp_tenths) {
        return a->timestamp_tenths < b->timestamp_tenths ? -1 : 1;
    }
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

dl_status dl_feed_page_read(dl_buf *take_text, dl_feed_page_form form, dl_feed_page **out_page,
                            dl_error *err)
{
    DL_AUTO_BUF text = *take_text;
    *take_text = (dl_buf){.limit_bytes = text.limit_bytes};
    if (text.len > DL_FEED_PAGE_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "feed page: %zu bytes, more than %d", text.len,
                            (int)DL_FEED_PAGE_LIMIT_BYTES);
    }
    DL_AUTO(dl_feed_page) page = dl_mem_zalloc(1, sizeof *page);
    if (page == NULL || (page->arena = dl_arena_create(PAGE_ARENA_BYTES)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "feed page: out of memory");
    }
    page->text_bytes = text.len;
    page->text = text;
    text = (dl_buf){0};
    const char *begin = page->text.ptr == NULL ? "" : page->text.ptr;
    parser c = {
        .begin = begin, .at = begin, .end = begin + page->text_bytes, .page = page, .err = err};
    dl_status status = read_all(&c, form.single);
    if (form.not_json != NULL) {
        *form.not_json = c.not_json;
    }
    DL_TRY(status);
    *out_page = DL_STEAL(page);
    return DL_OK;
}

dl_status dl_feed_page_parse(dl_buf *take_text, dl_feed_page **out_page, dl_error *err)
{
    return dl_feed_page_read(take_text, (dl_feed_page_form){0}, out_page, err);
}

void dl_feed_page_destroy(dl_feed_page *page)
{
    if (page != NULL) {
        dl_buf_clear(&page->text);
        dl_arena_destroy(page->arena);
        dl_mem_free(page);
    }
}
