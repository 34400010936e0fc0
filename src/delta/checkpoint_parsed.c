/* Struct statistics of checkpoints to the text and the values that they stand for. */
#include "delta/checkpoint.h"
#include "json/json.h"

#include <math.h>
#include <string.h>

enum {
    MINIMA,
    MAXIMA,
    NULLS,
    STATS_LIMIT_BYTES = 16 * 1024 * 1024,
    FRAMES = DL_COLUMNAR_DEPTH_LIMIT + 4,
};

/* About ten thousand years. */
static const int64_t time_limit_us = 316000000000000000;

struct dl_delta_parsed {
    dl_columnar_field stats, values;
    dl_columnar_leaf *stats_leaves, *value_leaves; /* max_def as members of `add` have it */
    size_t stats_count, value_count;
};

/* ---- the fields ---- */

static bool has_range(dl_columnar_type type)
{
    return type != DL_COLUMNAR_BOOL && type != DL_COLUMNAR_BINARY && type != DL_COLUMNAR_LIST &&
           type != DL_COLUMNAR_MAP && type != DL_COLUMNAR_STRUCT;
}

/* A struct under way: its children are copied where they have statistics. */
typedef struct frame {
    const dl_columnar_field *from;
    size_t next, made;
    dl_columnar_field *children;
} frame;

static bool leaf_field(const dl_columnar_field *from, int kind, dl_columnar_field *out)
{
    if (kind != NULLS && !has_range(from->type)) {
        return false;
    }
    *out = *from;
    out->required = false;
    out->field_id = 0; /* checkpoints have none: by name */
    if (kind == NULLS) {
        *out = (dl_columnar_field){.name = from->name, .type = DL_COLUMNAR_INT64};
    }
    return true;
}

/* The struct of minima, maxima or null counts that goes with `from`; false when it would be empty.
 */
static dl_status stat_struct(const dl_columnar_field *from, int kind, dl_arena *arena,
                             dl_columnar_field *out, dl_error *err)
{
    frame frames[FRAMES] = {{.from = from}};
    size_t depth = 1;
    while (depth > 0) {
        frame *f = &frames[depth - 1];
        if (f->children == NULL) {
            f->children = dl_arena_alloc(arena, f->from->child_count + 1, sizeof *f->children);
            if (f->children == NULL) {
                return dl_arena_full(arena, err);
            }
        }
        if (f->next < f->from->child_count) {
            const dl_columnar_field *child = &f->from->children[f->next++];
            if (child->type != DL_COLUMNAR_STRUCT) {
                f->made += leaf_field(child, kind, &f->children[f->made]) ? 1 : 0;
            } else {
                DL_ASSERT(depth < FRAMES);
                frames[depth++] = (frame){.from = child};
            }
            continue;
        }
        dl_columnar_field done = {.name = f->from->name,
                                  .type = DL_COLUMNAR_STRUCT,
                                  .children = f->children,
                                  .child_count = f->made};
        depth--;
        if (depth == 0) {
            *out = done;
        } else if (done.child_count > 0) {
            frames[depth - 1].children[frames[depth - 1].made++] = done;
        }
    }
    return DL_OK;
}

static dl_status make_stats(dl_delta_parsed *p, const dl_columnar_field *data, dl_arena *arena,
                            dl_error *err)
{
    static const dl_str names[] = {{"minValues", 9}, {"maxValues", 9}, {"nullCount", 9}};
    dl_columnar_field *members = dl_arena_alloc(arena, 5, sizeof *members);
    if (members == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t count = 0;
    members[count++] = (dl_columnar_field){.name = DL_STR("numRecords"), .type = DL_COLUMNAR_INT64};
    members[count++] = (dl_columnar_field){.name = DL_STR("tightBounds"), .type = DL_COLUMNAR_BOOL};
    for (int kind = MINIMA; kind <= NULLS; kind++) {
        DL_TRY(stat_struct(data, kind, arena, &members[count], err));
        members[count].name = names[kind];
        count += members[count].child_count > 0 ? 1 : 0;
    }
    p->stats = (dl_columnar_field){.name = DL_STR("stats_parsed"),
                                   .type = DL_COLUMNAR_STRUCT,
                                   .children = members,
                                   .child_count = count};
    return DL_OK;
}

/* The leaves of one member of the optional struct `add`. */
static dl_status make_leaves(const dl_columnar_field *member, dl_arena *arena,
                             dl_columnar_leaf **out_leaves, size_t *out_count, dl_error *err)
{
    dl_columnar_field *add = dl_arena_alloc(arena, 1, sizeof *add);
    if (add == NULL) {
        return dl_arena_full(arena, err);
    }
    *add = (dl_columnar_field){
        .name = DL_STR("add"), .type = DL_COLUMNAR_STRUCT, .children = member, .child_count = 1};
    return dl_columnar_leaves(add, 1, arena, out_leaves, out_count, err);
}

dl_status dl_delta_parsed_create(const dl_delta_metadata *metadata, dl_arena *arena,
                                 dl_delta_parsed **out_parsed, dl_error *err)
{
    dl_delta_column *columns = NULL;
    size_t count = 0, data_count = 0, value_count = 0;
    DL_TRY(dl_delta_schema_columns(metadata, arena, &columns, &count, err));
    dl_delta_parsed *p = dl_arena_alloc(arena, 1, sizeof *p);
    dl_columnar_field *data = dl_arena_alloc(arena, count + 1, sizeof *data);
    dl_columnar_field *values = dl_arena_alloc(arena, count + 1, sizeof *values);
    if (p == NULL || data == NULL || values == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        dl_columnar_field *to = columns[i].partition ? &values[value_count++] : &data[data_count++];
        *to = columns[i].field;
        to->field_id = 0;
    }
    dl_columnar_field table = {
        .type = DL_COLUMNAR_STRUCT, .children = data, .child_count = data_count};
    DL_TRY(make_stats(p, &table, arena, err));
    p->values = (dl_columnar_field){.name = DL_STR("partitionValues_parsed"),
                                    .type = DL_COLUMNAR_STRUCT,
                                    .children = values,
                                    .child_count = value_count};
    DL_TRY(make_leaves(&p->stats, arena, &p->stats_leaves, &p->stats_count, err));
    if (value_count > 0) {
        DL_TRY(make_leaves(&p->values, arena, &p->value_leaves, &p->value_count, err));
    }
    *out_parsed = p;
    return DL_OK;
}

size_t dl_delta_parsed_fields(const dl_delta_parsed *parsed, dl_columnar_field out_fields[2])
{
    out_fields[0] = parsed->stats;
    if (parsed->value_count == 0) {
        return 1;
    }
    out_fields[1] = parsed->values;
    return 2;
}

/* ---- values ---- */

static int64_t floor_ms(int64_t us)
{
    return us / 1000 - (us % 1000 < 0 ? 1 : 0);
}

/* Bounds are whole milliseconds: down for a minimum, up for a maximum. */
static int64_t bound_us(int64_t us, bool maximum)
{
    int64_t ms = floor_ms(us);
    return (maximum && ms * 1000 != us ? ms + 1 : ms) * 1000;
}

static dl_status put_time(dl_json_writer *w, const dl_columnar_field *field, int64_t us,
                          bool maximum)
{
    char text[DL_CLOCK_TEXT_SIZE];
    if (us > time_limit_us || us < -time_limit_us) {
        return DL_E_CORRUPT;
    }
    dl_clock_format_utc(bound_us(us, maximum), text); /* "...:41.123000Z" */
    size_t len = strlen(text);
    if (len < 5) {
        return DL_E_CORRUPT;
    }
    text[len - 4] = field->type == DL_COLUMNAR_TIMESTAMP ? 'Z' : '\0';
    text[len - 3] = '\0';
    dl_json_string(w, dl_str_of(text));
    return DL_OK;
}

static dl_status put_value(dl_json_writer *w, const dl_columnar_field *field,
                           const dl_columnar_value *value, bool maximum, dl_arena *arena,
                           dl_error *err)
{
    dl_str text = DL_STR_NONE;
    switch (field->type) {
    case DL_COLUMNAR_BOOL:
        dl_json_bool(w, value->i != 0);
        return DL_OK;
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
        dl_json_int(w, value->i);
        return DL_OK;
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return put_time(w, field, value->i, maximum) == DL_OK
                   ? DL_OK
                   : dl_error_set(err, DL_E_CORRUPT, "a time beyond the calendar");
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
    case DL_COLUMNAR_DECIMAL:
        DL_TRY(dl_delta_value_text(field, value, arena, &text, err));
        if (field->type != DL_COLUMNAR_DECIMAL && !isfinite(value->d)) {
            dl_json_string(w, text);
        } else {
            dl_json_raw(w, text);
        }
        return DL_OK;
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
    case DL_COLUMNAR_DATE:
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
    default:
        DL_TRY(dl_delta_value_text(field, value, arena, &text, err));
        dl_json_string(w, text);
        return DL_OK;
    }
}

/* A walk over the struct; objects are opened when they turn out to hold something. */
typedef struct walk {
    frame frames[FRAMES];
    size_t depth, opened;
    size_t leaf;
    dl_json_writer *w;
} walk;

static void open_frames(walk *k)
{
    for (; k->opened < k->depth; k->opened++) {
        if (k->opened > 0) {
            dl_json_key(k->w, k->frames[k->opened].from->name);
        }
        dl_json_object_begin(k->w);
    }
}

static dl_status walk_leaf(const dl_delta_parsed *parsed, walk *k, const dl_columnar_field *field,
                           const dl_delta_parsed_row *row, dl_arena *arena, dl_error *err)
{
    size_t leaf = k->leaf++;
    const dl_columnar_entries *e = &row->leaves[leaf];
    size_t at = row->begins[leaf];
    if (e->def[at] != parsed->stats_leaves[leaf].max_def) {
        return DL_OK;
    }
    bool maximum = k->depth > 1 && dl_str_eq(k->frames[1].from->name, DL_STR("maxValues"));
    open_frames(k);
    dl_json_key(k->w, field->name);
    return put_value(k->w, field, &e->values[at], maximum, arena, err);
}

dl_status dl_delta_parsed_stats(const dl_delta_parsed *parsed, const dl_delta_parsed_row *row,
                                dl_arena *arena, dl_str *out_stats, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_json_writer w = {0};
    dl_buf_init(&text, STATS_LIMIT_BYTES);
    dl_json_writer_init(&w, &text, err);
    walk k = {.frames = {{.from = &parsed->stats}}, .depth = 1, .w = &w};
    while (k.depth > 0) {
        frame *f = &k.frames[k.depth - 1];
        if (f->next < f->from->child_count) {
            const dl_columnar_field *child = &f->from->children[f->next++];
            if (child->type == DL_COLUMNAR_STRUCT) {
                k.frames[k.depth++] = (frame){.from = child};
            } else {
                DL_TRY(walk_leaf(parsed, &k, child, row, arena, err));
            }
            continue;
        }
        if (k.opened == k.depth) {
            dl_json_object_end(&w);
            k.opened--;
        }
        k.depth--;
    }
    DL_TRY(dl_json_writer_status(&w));
    if (text.len == 0) {
        return DL_OK;
    }
    return dl_arena_copy(arena, dl_buf_str(&text), out_stats, err);
}

dl_status dl_delta_parsed_values(const dl_delta_parsed *parsed, const dl_delta_parsed_row *row,
                                 dl_arena *arena, dl_delta_pairs *out_values, dl_error *err)
{
    dl_delta_pair *pairs = dl_arena_alloc(arena, parsed->value_count + 1, sizeof *pairs);
    if (pairs == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < parsed->value_count; i++) {
        const dl_columnar_field *field = parsed->value_leaves[i].field;
        const dl_columnar_entries *e = &row->leaves[parsed->stats_count + i];
        size_t at = row->begins[parsed->stats_count + i];
        pairs[i] = (dl_delta_pair){field->name, DL_STR_NONE};
        if (e->def[at] == parsed->value_leaves[i].max_def) {
            DL_TRY(dl_delta_value_text(field, &e->values[at], arena, &pairs[i].value, err));
        }
    }
    *out_values = (dl_delta_pairs){pairs, parsed->value_count};
    return DL_OK;
}
