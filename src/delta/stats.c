/* Statistics of a data file as add.stats has them (Delta protocol, "Per-file Statistics"). Bounds
 * are written so that every reader that prunes by them is right: strings are cut below for the
 * minimum and above for the maximum, timestamps go down and up to the millisecond. */
#include "delta/internal.h"

#include "base/number.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { INDEXED_DEFAULT = 32, PREFIX_DEFAULT = 32, PREFIX_LIMIT = 4096 };

/* A column that statistics are kept for: a leaf, or a whole list or map. */
typedef struct indexed {
    const dl_columnar_field *const *path; /* from the top; the last is the column itself */
    size_t depth;
    const dl_columnar_stat *stat; /* NULL: list or map of which some entries are not there */
    bool nested;                  /* list or map */
} indexed;

typedef struct stats_job {
    const dl_columnar_summary *summary;
    dl_arena *arena;
    size_t prefix_units;
    int64_t left;  /* columns still to be indexed; negative: no bound */
    dl_str wanted; /* delta.dataSkippingStatsColumns; ptr NULL: not set */
    indexed *items;
    size_t count;
} stats_job;

/* ---- which columns ---- */

/* The next name of the list, at its dots; `name` of a step may be in backticks. */
static bool next_step(dl_str *rest, dl_str *out_step)
{
    if (rest->len == 0) {
        return false;
    }
    if (rest->ptr[0] == '`') {
        dl_str inner = dl_str_slice(*rest, 1, rest->len);
        ptrdiff_t end = dl_str_find(inner, '`');
        if (end >= 0) {
            *out_step = dl_str_slice(inner, 0, (size_t)end);
            *rest = dl_str_slice(inner, (size_t)end + 1, inner.len);
            if (rest->len > 0 && rest->ptr[0] == '.') {
                *rest = dl_str_slice(*rest, 1, rest->len);
            }
            return true;
        }
    }
    return dl_str_next(rest, '.', out_step);
}

/* Whether `listed` is the path of logical names or a struct above it. */
static bool covers(dl_str listed, const dl_str *names, size_t depth)
{
    dl_str step = DL_STR_NONE;
    size_t i = 0;
    while (next_step(&listed, &step)) {
        if (i == depth || !dl_str_eq_nocase(step, names[i])) {
            return false;
        }
        i++;
    }
    return i > 0;
}

/* One name of the list up to a comma that is not in backticks. */
static bool next_listed(dl_str *rest, dl_str *out)
{
    if (rest->len == 0) {
        return false;
    }
    bool quoted = false;
    size_t i = 0;
    while (i < rest->len && (quoted || rest->ptr[i] != ',')) {
        quoted ^= rest->ptr[i] == '`';
        i++;
    }
    *out = dl_str_trim(dl_str_slice(*rest, 0, i));
    *rest = dl_str_slice(*rest, i + 1, rest->len);
    return true;
}

static bool is_wanted(stats_job *job, const dl_str *names, size_t depth)
{
    if (job->wanted.ptr == NULL) {
        if (job->left == 0) {
            return false;
        }
        job->left -= job->left > 0;
        return true;
    }
    dl_str rest = job->wanted, listed = DL_STR_NONE;
    while (next_listed(&rest, &listed)) {
        if (covers(listed, names, depth)) {
            return true;
        }
    }
    return false;
}

/* ---- walking the schema ---- */

typedef struct frame {
    const dl_columnar_field *field;
    dl_json_iter types; /* of its children, as the schema has them */
    size_t next;
} frame;

typedef struct walk {
    frame frames[DL_COLUMNAR_DEPTH_LIMIT + 1];
    dl_str names[DL_COLUMNAR_DEPTH_LIMIT + 1]; /* logical */
    size_t depth;
    size_t leaf; /* the next of the summary */
} walk;

/* Leaves at and below a field, which is no deeper than the schema may be. */
static size_t count_leaves(const dl_columnar_field *field)
{
    const dl_columnar_field *stack[DL_COLUMNAR_DEPTH_LIMIT + 1];
    size_t next[DL_COLUMNAR_DEPTH_LIMIT + 1], depth = 0, count = 0;
    stack[0] = field;
    next[0] = 0;
    for (;;) {
        const dl_columnar_field *top = stack[depth];
        if (top->child_count == 0) {
            count++;
        } else if (next[depth] < top->child_count) {
            DL_ASSERT(depth < DL_COLUMNAR_DEPTH_LIMIT);
            stack[depth + 1] = &top->children[next[depth]++];
            next[++depth] = 0;
            continue;
        }
        if (depth-- == 0) {
            return count;
        }
    }
}

/* The null count of a list or map is known when none of its entries is missing. */
static const dl_columnar_stat *nested_stat(const stats_job *job, size_t first, size_t count)
{
    for (size_t i = first; i < first + count && i < job->summary->leaf_count; i++) {
        if (job->summary->stats[i].null_count == 0) {
            return &job->summary->stats[i];
        }
    }
    return NULL;
}

static dl_status add_indexed(stats_job *job, walk *w, const dl_columnar_field *field, dl_error *err)
{
    bool nested = field->type == DL_COLUMNAR_LIST || field->type == DL_COLUMNAR_MAP;
    size_t leaves = nested ? count_leaves(field) : 1, first = w->leaf;
    w->leaf += leaves;
    if (!is_wanted(job, w->names, w->depth + 1)) {
        return DL_OK;
    }
    const dl_columnar_field **path = dl_arena_alloc(job->arena, w->depth + 1, sizeof(void *));
    if (path == NULL) {
        return dl_arena_full(job->arena, err);
    }
    for (size_t i = 0; i < w->depth; i++) {
        path[i] = w->frames[i].field;
    }
    path[w->depth] = field;
    DL_ASSERT(first + leaves <= job->summary->leaf_count);
    job->items[job->count++] = (indexed){
        .path = path,
        .depth = w->depth + 1,
        .stat = nested ? nested_stat(job, first, leaves) : &job->summary->stats[first],
        .nested = nested,
    };
    return DL_OK;
}

/* The logical name of the next child and its type's text, in step with the physical fields. */
static dl_str child_name(frame *top, const dl_columnar_field *child, dl_arena *arena,
                         dl_str *out_type)
{
    dl_str element = DL_STR_NONE, value = DL_STR_NONE, name = DL_STR_NONE;
    if (!dl_json_next_element(&top->types, &element) ||
        !dl_json_get(element, DL_STR("name"), &value) ||
        dl_json_text(value, arena, &name, NULL) != DL_OK) {
        name = child->name;
    }
    if (!dl_json_get(element, DL_STR("type"), out_type)) {
        *out_type = DL_STR_NONE;
    }
    return name;
}

static void push(walk *w, const dl_columnar_field *field, dl_str type)
{
    dl_str fields = DL_STR_NONE;
    (void)!dl_json_get(type, DL_STR("fields"), &fields);
    DL_ASSERT(w->depth < DL_COLUMNAR_DEPTH_LIMIT);
    w->frames[w->depth++] = (frame){.field = field, .types = dl_json_iter_of(fields)};
}

static dl_status walk_column(stats_job *job, walk *w, const dl_delta_column *column, dl_error *err)
{
    w->depth = 0;
    w->names[0] = column->name;
    if (column->field.type != DL_COLUMNAR_STRUCT) {
        return add_indexed(job, w, &column->field, err);
    }
    push(w, &column->field, column->type_json);
    while (w->depth > 0) {
        frame *top = &w->frames[w->depth - 1];
        if (top->next == top->field->child_count) {
            w->depth--;
            continue;
        }
        const dl_columnar_field *child = &top->field->children[top->next++];
        dl_str type = DL_STR_NONE;
        w->names[w->depth] = child_name(top, child, job->arena, &type);
        if (child->type == DL_COLUMNAR_STRUCT) {
            push(w, child, type);
        } else {
            DL_TRY(add_indexed(job, w, child, err));
        }
    }
    return DL_OK;
}

/* ---- strings ---- */

/* One character of well-formed UTF-8; its length in UTF-16 is 2 for four bytes, else 1. */
static size_t char_bytes(char c)
{
    unsigned char u = (unsigned char)c;
    return u < 0x80 ? 1 : u < 0xe0 ? 2 : u < 0xf0 ? 3 : 4;
}

/* Bytes of the longest prefix of at most `units`; with `whole_pair` a pair across the end is kept.
 */
static size_t prefix_bytes(dl_str text, size_t units, bool whole_pair)
{
    size_t at = 0, used = 0;
    while (at < text.len && used < units) {
        size_t bytes = char_bytes(text.ptr[at]), wide = bytes == 4 ? 2 : 1;
        if (used + wide > units && !whole_pair) {
            break;
        }
        if (bytes > text.len - at) {
            break; /* cut in the middle of a character */
        }
        used += wide;
        at += bytes;
    }
    return at;
}

/* Without a character whose end was cut off. */
static dl_str whole_chars(dl_str text)
{
    return dl_str_slice(text, 0, prefix_bytes(text, SIZE_MAX, true));
}

dl_str dl_delta_stats_min_prefix(dl_str text, size_t units)
{
    return dl_str_slice(text, 0, prefix_bytes(text, units, false));
}

bool dl_delta_stats_max_prefix(dl_str text, bool cut, size_t units, dl_buf *out)
{
    static const char last_char[] = "\xf4\x8f\xbf\xbf"; /* U+10FFFF */
    size_t limit = prefix_bytes(text, units * 2, false);
    size_t end = prefix_bytes(text, units, true);
    out->len = 0;
    while (end < text.len) {
        dl_str dropped = dl_str_slice(text, end, char_bytes(text.ptr[end]));
        if (end > limit || dropped.len < char_bytes(text.ptr[end])) {
            return false;
        }
        if (dl_str_eq(dropped, dl_str_of(last_char))) {
            end += dropped.len;
            continue;
        }
        bool low = (unsigned char)dropped.ptr[0] < 0x7f;
        return dl_buf_append(out, text.ptr, end, NULL) == DL_OK &&
               dl_buf_append_str(out, low ? DL_STR("\x7f") : dl_str_of(last_char), NULL) == DL_OK;
    }
    return !cut && dl_buf_append_str(out, text, NULL) == DL_OK;
}

static bool write_string(const stats_job *job, const dl_columnar_stat *stat, bool max, dl_buf *out)
{
    dl_str text = max ? stat->max.s : stat->min.s;
    bool cut = max ? stat->max_cut : stat->min_cut;
    text = cut ? whole_chars(text) : text;
    if (!dl_str_is_utf8(text)) {
        return false;
    }
    DL_AUTO_BUF bound = {0};
    dl_buf_init(&bound, (size_t)PREFIX_LIMIT * 8 + 8);
    if (!max) {
        text = dl_delta_stats_min_prefix(text, job->prefix_units);
    } else if (dl_delta_stats_max_prefix(text, cut, job->prefix_units, &bound)) {
        text = dl_buf_str(&bound);
    } else {
        return false;
    }
    return dl_json_quote(out, text, NULL) == DL_OK;
}

/* ---- other values ---- */

/* 0001-01-01 and 9999-12-31T23:59:59.999 */
static const int64_t first_ms = -62135596800000, last_ms = 253402300799999;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool write_timestamp(int64_t time_us, bool utc, bool max, dl_buf *out)
{
    int64_t ms = max ? -floor_div(-time_us, 1000) : floor_div(time_us, 1000);
    if (time_us == INT64_MIN || ms < first_ms || ms > last_ms) {
        return false;
    }
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(ms * 1000, text);
    static const size_t to_ms = sizeof "2020-09-13T12:26:41.123" - 1;
    return dl_buf_printf(out, NULL, "\"%.*s%s\"", (int)to_ms, text, utc ? "Z" : "") == DL_OK;
}

static bool write_date(int64_t days, dl_buf *out)
{
    static const int64_t day_ms = 86400000;
    if (days < first_ms / day_ms || days > last_ms / day_ms) {
        return false;
    }
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(days * day_ms * 1000, text);
    return dl_buf_printf(out, NULL, "\"%.10s\"", text) == DL_OK;
}

static bool write_decimal(int64_t unscaled, unsigned scale, dl_buf *out)
{
    uint64_t digits = unscaled < 0 ? 0 - (uint64_t)unscaled : (uint64_t)unscaled, unit = 1;
    if (scale > 18) {
        return false;
    }
    for (unsigned i = 0; i < scale; i++) {
        unit *= 10;
    }
    const char *sign = unscaled < 0 ? "-" : "";
    if (scale == 0) {
        return dl_buf_printf(out, NULL, "%s%llu", sign, (unsigned long long)digits) == DL_OK;
    }
    return dl_buf_printf(out, NULL, "%s%llu.%0*llu", sign, (unsigned long long)(digits / unit),
                         (int)scale, (unsigned long long)(digits % unit)) == DL_OK;
}

static bool write_number(double value, bool single, dl_buf *out)
{
    char text[DL_NUMBER_TEXT_SIZE];
    if (!isfinite(value)) {
        return false;
    }
    size_t len =
        single ? dl_number_format_float((float)value, text) : dl_number_format(value, text);
    return dl_buf_append(out, text, len, NULL) == DL_OK;
}

/* NaN is above all numbers. */
static bool write_floating(const dl_columnar_stat *stat, bool single, bool max, dl_buf *out)
{
    if (stat->has_nan && (max || !stat->has_range)) {
        return dl_buf_append_str(out, DL_STR("\"NaN\""), NULL) == DL_OK;
    }
    return stat->has_range && write_number(max ? stat->max.d : stat->min.d, single, out);
}

/* The bound's text; false: it has none. */
static bool write_bound(const stats_job *job, const indexed *item, bool max, dl_buf *out)
{
    const dl_columnar_stat *stat = item->stat;
    const dl_columnar_field *field = item->path[item->depth - 1];
    if (item->nested || (!stat->has_range && !stat->has_nan)) {
        return false;
    }
    int64_t i = max ? stat->max.i : stat->min.i;
    switch (field->type) {
    case DL_COLUMNAR_STRING:
        return write_string(job, stat, max, out);
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
        return dl_buf_printf(out, NULL, "%lld", (long long)i) == DL_OK;
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
        return write_floating(stat, field->type == DL_COLUMNAR_FLOAT, max, out);
    case DL_COLUMNAR_DECIMAL:
        return field->precision <= 18 && write_decimal(i, field->scale, out);
    case DL_COLUMNAR_DATE:
        return write_date(i, out);
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return write_timestamp(i, field->type == DL_COLUMNAR_TIMESTAMP, max, out);
    case DL_COLUMNAR_BINARY:
    case DL_COLUMNAR_BOOL:
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
    default:
        return false;
    }
}

/* ---- the text ---- */

typedef enum section { SECTION_MIN, SECTION_MAX, SECTION_NULLS } section;

static bool write_value(const stats_job *job, const indexed *item, section which, dl_buf *out)
{
    out->len = 0;
    if (which != SECTION_NULLS) {
        return write_bound(job, item, which == SECTION_MAX, out);
    }
    return item->stat != NULL &&
           dl_buf_printf(out, NULL, "%lld", (long long)item->stat->null_count) == DL_OK;
}

/* Objects within objects: close those that the item is not in, open those that it is in. */
static void move_to(dl_json_writer *w, const indexed *from, const indexed *to)
{
    size_t shared = 0, open = from == NULL ? 0 : from->depth - 1;
    while (from != NULL && shared < open && shared + 1 < to->depth &&
           from->path[shared] == to->path[shared]) {
        shared++;
    }
    for (size_t i = open; i > shared; i--) {
        dl_json_object_end(w);
    }
    for (size_t i = shared; i + 1 < to->depth; i++) {
        dl_json_key(w, to->path[i]->name);
        dl_json_object_begin(w);
    }
}

static void write_section(const stats_job *job, section which, dl_buf *value, dl_json_writer *w)
{
    const indexed *last = NULL;
    dl_json_object_begin(w);
    for (size_t i = 0; i < job->count; i++) {
        const indexed *item = &job->items[i];
        if (write_value(job, item, which, value)) {
            move_to(w, last, item);
            dl_json_key(w, item->path[item->depth - 1]->name);
            dl_json_raw(w, dl_buf_str(value));
            last = item;
        }
    }
    for (size_t i = last == NULL ? 0 : last->depth - 1; i > 0; i--) {
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

static dl_status write_text(const stats_job *job, const bool *tight, dl_buf *out, dl_error *err)
{
    DL_AUTO_BUF value = {0};
    dl_buf_init(&value, 256 * (size_t)1024);
    DL_TRY(dl_buf_reserve(&value, 4096, err));
    dl_json_writer w;
    dl_json_writer_init(&w, out, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("numRecords"));
    dl_json_int(&w, job->summary->row_count);
    static const struct {
        section which;
        const char *name;
    } sections[] = {
        {SECTION_MIN, "minValues"}, {SECTION_MAX, "maxValues"}, {SECTION_NULLS, "nullCount"}};
    for (size_t i = 0; i < DL_COUNT_OF(sections); i++) {
        dl_json_key(&w, dl_str_of(sections[i].name));
        write_section(job, sections[i].which, &value, &w);
    }
    if (tight != NULL) {
        dl_json_key(&w, DL_STR("tightBounds"));
        dl_json_bool(&w, *tight);
    }
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

size_t dl_delta_stats_prefix(const dl_delta_metadata *metadata)
{
    uint64_t units = PREFIX_DEFAULT;
    dl_str text = dl_delta_configuration(metadata, "delta.dataSkippingStringPrefixLength");
    if (text.ptr == NULL || !dl_str_to_u64(text, &units) || units == 0) {
        return PREFIX_DEFAULT;
    }
    return units > PREFIX_LIMIT ? PREFIX_LIMIT : (size_t)units;
}

/* How many columns are indexed where no list names them; negative: all. */
static int64_t indexed_count(const dl_delta_metadata *metadata)
{
    int64_t count = INDEXED_DEFAULT;
    dl_str text = dl_delta_configuration(metadata, "delta.dataSkippingNumIndexedCols");
    return text.ptr != NULL && dl_str_to_i64(text, &count) ? count : INDEXED_DEFAULT;
}

dl_status dl_delta_stats_write(const dl_delta_stats_input *input, bool tight, dl_arena *arena,
                               dl_str *out_stats, dl_error *err)
{
    const dl_columnar_summary *summary = input->summary;
    stats_job job = {
        .summary = summary,
        .arena = arena,
        .prefix_units = dl_delta_stats_prefix(input->metadata),
        .left = indexed_count(input->metadata),
        .wanted = dl_delta_configuration(input->metadata, "delta.dataSkippingStatsColumns"),
        .items = dl_arena_alloc(arena, summary->leaf_count + 1, sizeof *job.items),
    };
    if (job.items == NULL) {
        return dl_arena_full(arena, err);
    }
    walk w = {0};
    for (size_t i = 0; i < input->column_count; i++) {
        if (!input->columns[i].partition) {
            DL_TRY(walk_column(&job, &w, &input->columns[i], err));
        }
    }
    DL_ASSERT(w.leaf == summary->leaf_count);
    dl_str vectors = dl_delta_configuration(input->metadata, "delta.enableDeletionVectors");
    bool says = !tight || dl_str_eq_nocase(vectors, DL_STR("true"));
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_STATS_LIMIT_BYTES);
    DL_TRY(write_text(&job, says ? &tight : NULL, &text, err));
    return dl_arena_copy(arena, dl_buf_str(&text), out_stats, err);
}

/* ---- statistics that are there ---- */

/* Writers put it first: what follows is not walked, for each of the files of a log. */
int64_t dl_delta_stats_rows(dl_str stats)
{
    dl_json_iter members = dl_json_iter_of(stats);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        if (dl_str_eq(key, DL_STR("numRecords"))) {
            int64_t rows = -1;
            return dl_json_int_of(value, &rows) && rows >= 0 ? rows : -1;
        }
    }
    return -1;
}

dl_status dl_delta_stats_with(dl_str stats, int64_t row_count, bool tight, dl_arena *arena,
                              dl_str *out_stats, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_STATS_LIMIT_BYTES);
    DL_TRY(dl_buf_reserve(&text, stats.len + 64, err));
    DL_TRY(dl_buf_printf(&text, err, "{\"numRecords\":%lld", (long long)row_count));
    dl_json_iter members = dl_json_iter_of(stats);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        if (!dl_str_eq(key, DL_STR("numRecords")) && !dl_str_eq(key, DL_STR("tightBounds"))) {
            DL_TRY(dl_buf_printf(&text, err, ",\"%.*s\":%.*s", DL_STR_ARG(key), DL_STR_ARG(value)));
        }
    }
    DL_TRY(dl_buf_printf(&text, err, ",\"tightBounds\":%s}", tight ? "true" : "false"));
    return dl_arena_copy(arena, dl_buf_str(&text), out_stats, err);
}
