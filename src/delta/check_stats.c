/* A file's values against its statistics: minima, maxima, counts of NULL. */
#include "delta/check.h"
#include "json/json.h"

#include <string.h>

enum { ARENA_LIMIT_BYTES = 1024 * 1024 * 1024 };

/* One leaf that is no part of a list or map. */
typedef struct leaf {
    const dl_columnar_field *field;
    uint8_t max_def;
    bool flat;
    bool has_min, has_max;
    dl_columnar_value min, max;
    int64_t null_count; /* as the statistics say; -1: they do not */
    int64_t nulls;      /* as counted */
    bool outside;       /* some value is beyond min or max */
} leaf;

typedef struct stats {
    const dl_delta_checker *checker;
    const dl_delta_file *file;
    dl_arena *arena;
    dl_str text;
    leaf *leaves;
    size_t leaf_count;
    size_t next; /* while leaves are looked up */
} stats;

/* ---- what the statistics say ---- */

static bool read_bound(stats *s, dl_str value, const dl_columnar_field *field,
                       dl_columnar_value *out)
{
    dl_str text = value;
    dl_json_kind kind = dl_json_kind_of(value);
    if (kind == DL_JSON_STRING) {
        if (dl_json_text(value, s->arena, &text, NULL) != DL_OK) {
            return false;
        }
    } else if (kind != DL_JSON_NUMBER) {
        return false;
    }
    bool comparable = field->type != DL_COLUMNAR_BOOL && field->type != DL_COLUMNAR_BINARY &&
                      !(field->type == DL_COLUMNAR_DECIMAL && field->precision > 18);
    return comparable && dl_delta_value_parse(field, text, out);
}

/* The members of each statistic that go with one level of the schema. */
typedef struct level {
    const dl_columnar_field *field; /* a struct */
    size_t next;
    dl_str min, max, nulls; /* objects */
    bool flat;
} level;

static dl_str member(dl_str object, dl_str name)
{
    dl_str value = DL_STR_NONE;
    return dl_json_get(object, name, &value) ? value : DL_STR_NONE;
}

static void look_up(stats *s, const level *l, const dl_columnar_field *field)
{
    leaf *to = &s->leaves[s->next++];
    int64_t count = -1;
    to->field = field;
    to->flat = l->flat;
    to->null_count = -1;
    if (!l->flat) {
        return;
    }
    to->has_min = read_bound(s, member(l->min, field->name), field, &to->min);
    to->has_max = read_bound(s, member(l->max, field->name), field, &to->max);
    if (dl_json_int_of(member(l->nulls, field->name), &count)) {
        to->null_count = count;
    }
}

static void look_up_column(stats *s, const dl_columnar_field *column)
{
    dl_columnar_field root = {.type = DL_COLUMNAR_STRUCT, .children = column, .child_count = 1};
    level levels[DL_COLUMNAR_DEPTH_LIMIT + 2] = {{.field = &root,
                                                  .min = member(s->text, DL_STR("minValues")),
                                                  .max = member(s->text, DL_STR("maxValues")),
                                                  .nulls = member(s->text, DL_STR("nullCount")),
                                                  .flat = true}};
    size_t depth = 1;
    while (depth > 0) {
        level *l = &levels[depth - 1];
        if (l->next == l->field->child_count) {
            depth--;
            continue;
        }
        const dl_columnar_field *child = &l->field->children[l->next++];
        if (child->child_count == 0) {
            look_up(s, l, child);
            continue;
        }
        DL_ASSERT(depth < DL_COUNT_OF(levels));
        levels[depth++] = (level){.field = child,
                                  .min = member(l->min, child->name),
                                  .max = member(l->max, child->name),
                                  .nulls = member(l->nulls, child->name),
                                  .flat = l->flat && child->type == DL_COLUMNAR_STRUCT};
    }
}

/* ---- what the file says ---- */

static int compare(const dl_columnar_field *field, const dl_columnar_value *a,
                   const dl_columnar_value *b)
{
    if (field->type == DL_COLUMNAR_STRING) {
        return dl_str_compare(a->s, b->s);
    }
    if (field->type == DL_COLUMNAR_FLOAT) {
        float x = (float)a->d, y = (float)b->d;
        return (x > y) - (x < y);
    }
    if (field->type == DL_COLUMNAR_DOUBLE) {
        return (a->d > b->d) - (a->d < b->d);
    }
    return (a->i > b->i) - (a->i < b->i);
}

/* Others cut the maximum of a time down to its millisecond; every reader allows for it. */
static dl_columnar_value upper(const leaf *l)
{
    dl_columnar_value max = l->max;
    if (l->field->type == DL_COLUMNAR_TIMESTAMP || l->field->type == DL_COLUMNAR_TIMESTAMP_NTZ) {
        max.i += 999;
    }
    return max;
}

static void take_entries(leaf *l, const dl_columnar_entries *e)
{
    dl_columnar_value max = upper(l);
    for (size_t i = 0; i < e->count; i++) {
        if (e->def[i] < l->max_def) {
            l->nulls++;
        } else if ((l->has_min && compare(l->field, &e->values[i], &l->min) < 0) ||
                   (l->has_max && compare(l->field, &e->values[i], &max) > 0)) {
            l->outside = true;
        }
    }
}

static dl_status take_batch(void *context, const dl_delta_batch *batch, dl_error *err)
{
    stats *s = context;
    (void)err;
    for (size_t i = 0; i < batch->leaf_count; i++) {
        if (s->leaves[i].flat) {
            take_entries(&s->leaves[i], &batch->leaves[i]);
        }
    }
    return DL_OK;
}

/* ---- both ---- */

/* With wide bounds a count of NULL means something only where it is all or none. */
static bool wrong_nulls(const leaf *l, bool tight, int64_t rows)
{
    if (l->null_count < 0) {
        return false;
    }
    return tight || l->null_count == 0 || l->null_count == rows ? l->null_count != l->nulls : false;
}

static void tell(const stats *s, int64_t rows)
{
    bool tight = true;
    (void)dl_json_bool_of(member(s->text, DL_STR("tightBounds")), &tight);
    for (size_t i = 0; i < s->leaf_count; i++) {
        const leaf *l = &s->leaves[i];
        if (l->outside) {
            dl_delta_find(s->checker, "file %.*s: column %.*s has values beyond its statistics",
                          DL_STR_ARG(s->file->path), DL_STR_ARG(l->field->name));
        }
        if (l->flat && wrong_nulls(l, tight, rows)) {
            dl_delta_find(s->checker,
                          "file %.*s: column %.*s is NULL %lld times, its statistics say %lld",
                          DL_STR_ARG(s->file->path), DL_STR_ARG(l->field->name),
                          (long long)l->nulls, (long long)l->null_count);
        }
    }
}

static dl_status find_leaves(stats *s, const dl_delta_scan *scan, const dl_delta_column **columns,
                             dl_error *err)
{
    dl_columnar_leaf *leaves = NULL;
    DL_TRY(dl_delta_scan_leaves(s->checker->table, scan, s->arena, &leaves, &s->leaf_count, err));
    s->leaves = dl_arena_alloc(s->arena, s->leaf_count + 1, sizeof *s->leaves);
    if (s->leaves == NULL) {
        return dl_arena_full(s->arena, err);
    }
    for (size_t i = 0; i < scan->column_count; i++) {
        look_up_column(s, &columns[i]->field);
    }
    DL_ASSERT(s->next == s->leaf_count);
    for (size_t i = 0; i < s->leaf_count; i++) {
        s->leaves[i].max_def = leaves[i].max_def;
    }
    return DL_OK;
}

dl_status dl_delta_check_stats(const dl_delta_checker *c, const dl_delta_file *file, int64_t rows,
                               dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    stats s = {.checker = c, .file = file, .arena = arena, .text = file->stats};
    size_t all = 0;
    const dl_delta_column *columns = dl_delta_columns(c->table, &all);
    dl_delta_scan scan = {.file = file, .cancel = c->cancel};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    if (file->stats.ptr != NULL && dl_json_check(file->stats, NULL) != DL_OK) {
        dl_delta_find(c, "file %.*s: its statistics are no JSON", DL_STR_ARG(file->path));
        s.text = DL_STR_NONE;
    }
    dl_str *names = dl_arena_alloc(arena, all + 1, sizeof *names);
    const dl_delta_column **wanted = dl_arena_alloc(arena, all + 1, sizeof(dl_delta_column *));
    if (names == NULL || wanted == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < all; i++) {
        if (!columns[i].partition) {
            wanted[scan.column_count] = &columns[i];
            names[scan.column_count++] = columns[i].name;
        }
    }
    scan.columns = names;
    DL_TRY(find_leaves(&s, &scan, wanted, err));
    DL_TRY(dl_delta_read(c->table, &scan, take_batch, &s, err));
    tell(&s, rows);
    return DL_OK;
}
