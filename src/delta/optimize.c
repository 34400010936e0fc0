/* What is worth compacting (pure). Two reasons:
 *
 * - A file has more than `dead_limit` of its rows deleted.
 * - A partition has more than `small_limit` files below half the target. Then the smallest ones
 *   become one: of all runs s1 <= s2 <= ... <= sj that start with the smallest, the one whose sum
 * is the largest multiple of its largest member. So every copy of a row takes it into a file
 * several times as large as the one it was in: equal files are merged all at once (factor 19 at the
 *   default limit), and no mix of 19 files between 8 KiB and 64 MiB allows less than a factor
 * of 2.5: without a file that the rest outweighs, each must be 1.65 times the next smaller one. A
 * row is copied at most log(target / first size) / log(factor) times; test_optimize.c plays it.
 *
 * A merge whose result would be merged again in the same plan is one job.
 */
#include "delta/maintain.h"

#include <stdlib.h>
#include <string.h>

typedef struct item {
    const dl_delta_file *file;
    dl_str group;       /* partition values as one text */
    int64_t live_bytes; /* size less the share of deleted rows */
    bool heavy;         /* too many deleted rows */
    struct item *next;  /* in the same node */
} item;

/* Files that are, or shall become, one. */
typedef struct node {
    int64_t live_bytes;
    item *items;
    size_t count;
    bool job; /* they are to be copied */
} node;

enum { GROUPS_AT_HAND = 16 };

typedef struct plan {
    dl_arena *arena;
    struct {
        dl_delta_pairs values;
        dl_str group;
    } groups[GROUPS_AT_HAND]; /* of late: most files are of few partitions */
    size_t next_group;
    int64_t target_bytes;
    size_t small_limit, rest_limit;
    double dead_limit;
    int64_t heavy_limit_bytes;
    bool full;
    bool every_dv; /* any deletion vector is too much */
    dl_buf jobs;   /* dl_delta_job each */
} plan;

#define SIZE_LIMIT_BYTES (INT64_C(1) << 40) /* sizes in a log are anybody's: sums must fit */

static int64_t sane_size(int64_t bytes)
{
    return bytes < 1 ? 1 : bytes > SIZE_LIMIT_BYTES ? SIZE_LIMIT_BYTES : bytes;
}

static int by_key(const void *a, const void *b)
{
    return dl_str_compare(((const dl_delta_pair *)a)->key, ((const dl_delta_pair *)b)->key);
}

static bool same_pairs(const dl_delta_pairs *a, const dl_delta_pairs *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = dl_str_eq(a->items[i].key, b->items[i].key) &&
               (a->items[i].value.ptr == NULL) == (b->items[i].value.ptr == NULL) &&
               dl_str_eq(a->items[i].value, b->items[i].value);
    }
    return same;
}

/* "key=value" of every partition column, by name, lengths in front so that nothing is confused. */
static dl_status make_group(plan *p, const dl_delta_pairs *values, dl_str *out_group, dl_error *err)
{
    dl_delta_pair *sorted = dl_arena_alloc(p->arena, values->count, sizeof *sorted);
    if (sorted == NULL) {
        return dl_arena_full(p->arena, err);
    }
    memcpy(sorted, values->items, values->count * sizeof *sorted);
    qsort(sorted, values->count, sizeof *sorted, by_key);
    DL_AUTO_BUF text;
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    for (size_t i = 0; i < values->count; i++) {
        const dl_delta_pair *v = &sorted[i];
        DL_TRY(dl_buf_printf(&text, err, "%zu:", v->key.len));
        DL_TRY(dl_buf_append_str(&text, v->key, err));
        if (v->value.ptr == NULL) {
            DL_TRY(dl_buf_append_char(&text, '-', err));
        } else {
            DL_TRY(dl_buf_printf(&text, err, "%zu:", v->value.len));
            DL_TRY(dl_buf_append_str(&text, v->value, err));
        }
    }
    return dl_arena_copy(p->arena, dl_buf_str(&text), out_group, err);
}

static dl_status group_of(plan *p, const dl_delta_pairs *values, dl_str *out_group, dl_error *err)
{
    if (values->count == 0) {
        *out_group = DL_STR("");
        return DL_OK;
    }
    for (size_t i = 0; i < GROUPS_AT_HAND; i++) {
        if (p->groups[i].group.ptr != NULL && same_pairs(&p->groups[i].values, values)) {
            *out_group = p->groups[i].group;
            return DL_OK;
        }
    }
    DL_TRY(make_group(p, values, out_group, err));
    size_t at = p->next_group++ % GROUPS_AT_HAND;
    p->groups[at].values = *values;
    p->groups[at].group = *out_group;
    return DL_OK;
}

static dl_status item_of(plan *p, const dl_delta_file *file, item *out, dl_error *err)
{
    *out = (item){.file = file, .live_bytes = sane_size(file->size_bytes)};
    if (file->dv.storage != 0 && file->row_count > 0) {
        double dead = (double)file->dv.cardinality / (double)file->row_count;
        dead = dead < 0 ? 0 : dead > 1 ? 1 : dead;
        out->heavy = dead > p->dead_limit && file->size_bytes >= p->heavy_limit_bytes;
        out->live_bytes = (int64_t)((double)out->live_bytes * (1 - dead));
        out->live_bytes = sane_size(out->live_bytes);
    }
    out->heavy = out->heavy || (p->every_dv && file->dv.storage != 0);
    return group_of(p, &file->partition_values, &out->group, err);
}

static int by_group_and_size(const void *a, const void *b)
{
    const item *x = a;
    const item *y = b;
    int order = x->group.ptr == y->group.ptr ? 0 : dl_str_compare(x->group, y->group);
    if (order == 0) {
        order = (x->live_bytes > y->live_bytes) - (x->live_bytes < y->live_bytes);
    }
    return order != 0 ? order : dl_str_compare(x->file->path, y->file->path);
}

static int by_size(const void *a, const void *b)
{
    const node *x = a;
    const node *y = b;
    return (x->live_bytes > y->live_bytes) - (x->live_bytes < y->live_bytes);
}

static int by_age(const void *a, const void *b)
{
    const dl_delta_file *x = *(const dl_delta_file *const *)a;
    const dl_delta_file *y = *(const dl_delta_file *const *)b;
    int order = (x->modified_ms > y->modified_ms) - (x->modified_ms < y->modified_ms);
    return order != 0 ? order : dl_str_compare(x->path, y->path);
}

/* A node becomes a job: its files oldest first, so that rows keep the order in which they came. */
static dl_status add_job(plan *p, const node *n, dl_error *err)
{
    const dl_delta_file **files = dl_arena_alloc(p->arena, n->count, sizeof(void *));
    dl_str *paths = dl_arena_alloc(p->arena, n->count, sizeof *paths);
    if (files == NULL || paths == NULL) {
        return dl_arena_full(p->arena, err);
    }
    size_t count = 0;
    for (const item *i = n->items; i != NULL; i = i->next) {
        files[count++] = i->file;
    }
    DL_ASSERT(count == n->count);
    qsort((void *)files, count, sizeof(void *), by_age);
    dl_delta_job job = {.paths = paths, .path_count = count};
    for (size_t i = 0; i < count; i++) {
        DL_TRY(
            dl_arena_copy(p->arena, files[i]->path, &paths[i], err)); /* commits move the table */
        job.size_bytes += sane_size(files[i]->size_bytes);
    }
    return dl_buf_append(&p->jobs, &job, sizeof job, err);
}

static void node_add(node *to, node from)
{
    item **end = &from.items;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = to->items;
    to->items = from.items;
    to->count += from.count;
    to->live_bytes += from.live_bytes;
}

static node node_of(item *i)
{
    i->next = NULL;
    return (node){.live_bytes = i->live_bytes, .items = i, .count = 1};
}

/* The length of the run of smallest files that is best merged: 0 when no two fit the target. */
static size_t best_run(const plan *p, const node *nodes, size_t count)
{
    size_t best = 0;
    double best_factor = 0;
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += nodes[i].live_bytes;
        if (sum > p->target_bytes) {
            break;
        }
        double factor = (double)sum / (double)nodes[i].live_bytes;
        if (i > 0 && factor >= best_factor) {
            best = i + 1;
            best_factor = factor;
        }
    }
    return best;
}

/* Small files of one partition, ascending, until no more than the limit is left. */
static dl_status merge_small(plan *p, node *nodes, size_t count, dl_error *err)
{
    size_t first = 0;
    bool over = count > p->small_limit;
    while (over && count - first > p->rest_limit) {
        size_t run = best_run(p, nodes + first, count - first);
        if (run == 0) {
            break;
        }
        node merged = nodes[first];
        for (size_t i = 1; i < run; i++) {
            node_add(&merged, nodes[first + i]);
        }
        merged.job = true;
        first += run;
        if (merged.live_bytes >= p->target_bytes / 2) {
            DL_TRY(add_job(p, &merged, err));
            continue;
        }
        size_t at = --first;
        while (at + 1 < count && nodes[at + 1].live_bytes < merged.live_bytes) {
            nodes[at] = nodes[at + 1];
            at++;
        }
        nodes[at] = merged;
    }
    for (size_t i = first; i < count; i++) {
        DL_TRY(nodes[i].job ? add_job(p, &nodes[i], err) : DL_OK);
    }
    return DL_OK;
}

/* Files with many deleted rows, together up to the target; what stays small goes on to `nodes`. */
static dl_status merge_heavy(plan *p, item *items, size_t count, node *nodes, size_t *node_count,
                             dl_error *err)
{
    node bin = {0};
    for (size_t i = 0; i <= count; i++) {
        bool end = i == count;
        if (!end && !items[i].heavy) {
            continue;
        }
        if (bin.count > 0 && (end || bin.live_bytes + items[i].live_bytes > p->target_bytes)) {
            bin.job = true;
            if (bin.live_bytes < p->target_bytes / 2) {
                nodes[(*node_count)++] = bin;
            } else {
                DL_TRY(add_job(p, &bin, err));
            }
            bin = (node){0};
        }
        if (!end) {
            node_add(&bin, node_of(&items[i]));
        }
    }
    return DL_OK;
}

static dl_status plan_group(plan *p, item *items, size_t count, dl_error *err)
{
    node *nodes = dl_arena_alloc(p->arena, count + 1, sizeof *nodes);
    if (nodes == NULL) {
        return dl_arena_full(p->arena, err);
    }
    size_t node_count = 0;
    DL_TRY(merge_heavy(p, items, count, nodes, &node_count, err));
    for (size_t i = 0; i < count; i++) {
        if (!items[i].heavy && items[i].live_bytes < p->target_bytes / 2) {
            nodes[node_count++] = node_of(&items[i]);
        }
    }
    qsort(nodes, node_count, sizeof *nodes, by_size);
    return merge_small(p, nodes, node_count, err);
}

static int item_by_age(const void *a, const void *b)
{
    return by_age(&((const item *)a)->file, &((const item *)b)->file);
}

/* Everything below the target or heavy, oldest first, in bins of the target's size. */
static dl_status plan_group_full(plan *p, item *items, size_t count, dl_error *err)
{
    qsort(items, count, sizeof *items, item_by_age);
    node bin = {0};
    for (size_t i = 0; i <= count; i++) {
        bool end = i == count;
        if (!end && items[i].live_bytes >= p->target_bytes && !items[i].heavy) {
            continue;
        }
        if (bin.count > 0 && (end || bin.live_bytes + items[i].live_bytes > p->target_bytes)) {
            if (bin.count > 1 ||
                bin.items->file->dv.storage != 0) { /* else it would stay as it is */
                DL_TRY(add_job(p, &bin, err));
            }
            bin = (node){0};
        }
        if (!end) {
            node_add(&bin, node_of(&items[i]));
        }
    }
    return DL_OK;
}

static int by_job_size(const void *a, const void *b)
{
    const dl_delta_job *x = a;
    const dl_delta_job *y = b;
    int order = (x->size_bytes > y->size_bytes) - (x->size_bytes < y->size_bytes);
    return order != 0 ? order : dl_str_compare(x->paths[0], y->paths[0]);
}

/* Smallest first; what the budget has no room for waits for the next plan. The first job is always
 * taken, or a file larger than the budget would stay as it is for ever. */
static dl_status take_jobs(plan *p, int64_t budget_bytes, dl_delta_job **out_jobs,
                           size_t *out_count, dl_error *err)
{
    size_t count = p->jobs.len / sizeof(dl_delta_job);
    dl_delta_job *jobs = dl_arena_alloc(p->arena, count + 1, sizeof *jobs);
    if (jobs == NULL) {
        return dl_arena_full(p->arena, err);
    }
    if (count > 0) {
        memcpy(jobs, p->jobs.ptr, count * sizeof *jobs);
        qsort(jobs, count, sizeof *jobs, by_job_size);
    }
    int64_t sum = 0;
    size_t taken = 0;
    for (; taken < count; taken++) {
        sum += jobs[taken].size_bytes;
        if (budget_bytes > 0 && sum > budget_bytes && taken > 0) {
            break;
        }
    }
    *out_jobs = jobs;
    *out_count = taken;
    return DL_OK;
}

static dl_status plan_items(plan *p, item *items, size_t count, dl_error *err)
{
    if (count > 0) {
        qsort(items, count, sizeof *items, by_group_and_size);
    }
    for (size_t first = 0; first < count;) {
        size_t end = first + 1;
        while (end < count && dl_str_eq(items[end].group, items[first].group)) {
            end++;
        }
        DL_TRY(p->full ? plan_group_full(p, items + first, end - first, err)
                       : plan_group(p, items + first, end - first, err));
        first = end;
    }
    return DL_OK;
}

static void plan_clear(plan *p)
{
    dl_buf_clear(&p->jobs);
}

static dl_status run_plan(plan *p, dl_delta_file_list files,
                          const dl_delta_optimize_options *options, dl_delta_job **out_jobs,
                          size_t *out_count, dl_error *err)
{
    p->target_bytes = options->target_bytes > 0 ? options->target_bytes : DL_DELTA_TARGET_BYTES;
    p->target_bytes = sane_size(p->target_bytes);
    p->small_limit = options->small_limit > 0 ? options->small_limit : DL_DELTA_SMALL_LIMIT;
    p->rest_limit = options->rest_limit > 0 && options->rest_limit < p->small_limit
                        ? options->rest_limit
                        : p->small_limit;
    p->heavy_limit_bytes = options->heavy_limit_bytes;
    p->dead_limit = options->dead_limit > 0 ? options->dead_limit : DL_DELTA_DEAD_LIMIT;
    p->full = options->full;
    dl_buf_init(&p->jobs, DL_DELTA_MAINTAIN_ARENA_BYTES);
    item *items = dl_arena_alloc(p->arena, files.count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(p->arena, err);
    }
    for (size_t i = 0; i < files.count; i++) {
        DL_TRY(item_of(p, files.items[i], &items[i], err));
    }
    DL_TRY(plan_items(p, items, files.count, err));
    return take_jobs(p, options->budget_bytes, out_jobs, out_count, err);
}

dl_status dl_delta_plan(dl_delta_file_list files, const dl_delta_optimize_options *options,
                        dl_arena *arena, dl_delta_job **out_jobs, size_t *out_count, dl_error *err)
{
    DL_CLEANUP(plan_clear) plan p = {.arena = arena};
    return run_plan(&p, files, options, out_jobs, out_count, err);
}

/* Live files, or those with a deletion vector. */
static dl_status collect(const dl_delta_table *table, bool only_dvs, dl_arena *arena,
                         dl_delta_file_list *out_files, dl_error *err)
{
    const dl_delta_file **files =
        dl_arena_alloc(arena, dl_delta_file_count(table) + 1, sizeof(void *));
    if (files == NULL) {
        return dl_arena_full(arena, err);
    }
    const dl_delta_file *file = NULL;
    size_t cursor = 0;
    size_t count = 0;
    while (dl_delta_next_file(table, &cursor, &file)) {
        if (!only_dvs || file->dv.storage != 0) {
            files[count++] = file;
        }
    }
    *out_files = (dl_delta_file_list){files, count};
    return DL_OK;
}

dl_status dl_delta_optimize_plan(const dl_delta_table *table,
                                 const dl_delta_optimize_options *options, dl_arena *arena,
                                 dl_delta_job **out_jobs, size_t *out_count, dl_error *err)
{
    dl_delta_file_list files = {0};
    DL_TRY(collect(table, false, arena, &files, err));
    return dl_delta_plan(files, options, arena, out_jobs, out_count, err);
}

dl_status dl_delta_purge_plan(const dl_delta_table *table, dl_arena *arena, dl_delta_job **out_jobs,
                              size_t *out_count, dl_error *err)
{
    dl_delta_file_list files = {0};
    DL_TRY(collect(table, true, arena, &files, err));
    DL_CLEANUP(plan_clear) plan p = {.arena = arena, .every_dv = true};
    dl_delta_optimize_options options = {.full = true};
    return run_plan(&p, files, &options, out_jobs, out_count, err);
}
