/* tables = fold(feed): the whole feed is folded once more into a lake beside the real one, and the
 * rows of both are compared. Rows that have changes after the watermark are left out. */
#include "pipeline/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define KEYS_ARENA_BYTES ((size_t)1 << 30)
#define BATCH_ARENA_BYTES ((size_t)256 << 20)
enum { PATH_SIZE = 4096, FINDING_SIZE = 512 };

/* ---- emptying, for a rebuild ---- */

static dl_status empty_table(dl_pipeline *p, dl_pipeline_table *t, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(KEYS_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to empty table %s",
                            dl_pipeline_table_name(t->kind));
    }
    size_t files = dl_delta_file_count(t->table);
    size_t apps = 0;
    dl_delta_app app;
    while (dl_delta_app_at(t->table, apps, &app)) {
        apps++;
    }
    dl_str *removes = dl_arena_alloc(arena, files + 1, sizeof *removes);
    dl_delta_app *reset = dl_arena_alloc(arena, apps + 1, sizeof *reset);
    if (removes == NULL || reset == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t cursor = 0;
    size_t count = 0;
    const dl_delta_file *file = NULL;
    while (dl_delta_next_file(t->table, &cursor, &file)) {
        removes[count++] = file->path;
    }
    size_t reset_count = 0;
    for (size_t i = 0; i < apps; i++) {
        if (dl_delta_app_at(t->table, i, &app) && dl_str_starts(app.app_id, DL_STR("dicomlake:"))) {
            reset[reset_count] = app;
            reset[reset_count].version = 0;
            reset[reset_count++].updated_ms = dl_clock_now_us(&p->options.clock) / 1000;
        }
    }
    static const dl_delta_pair predicate = {{"predicate", 9}, {"[\"true\"]", 8}};
    dl_delta_change change = {.operation = "DELETE",
                              .parameters = {&predicate, 1},
                              .user_metadata = DL_STR("{\"seq\":0}"),
                              .data_change = true,
                              .exclusive = true,
                              .apps = reset,
                              .app_count = reset_count,
                              .apps_go_back = true,
                              .removes = removes,
                              .remove_count = count};
    dl_delta_result result = {0};
    return dl_delta_commit_change(t->table, &change, &result, err);
}

dl_status dl_pipeline_empty(dl_pipeline *p, dl_error *err)
{
    DL_TRY(dl_pipeline_tables_open(p, true, err));
    for (size_t i = DL_PIPELINE_TABLES;
         i-- > 0;) { /* study first: instance decides what is redone */
        DL_TRY(dl_delta_update(p->tables[i].table, err));
        DL_TRY(empty_table(p, &p->tables[i], err));
        DL_TRY(dl_pipeline_bind(p, &p->tables[i], err));
    }
    return dl_state_clear(p->state, err);
}

/* ---- a source that notes which keys change after the watermark ---- */

typedef struct noting {
    dl_feed_source source; /* first */
    dl_feed_source *inner;
    int64_t watermark;
    pthread_mutex_t lock; /* guards the rest */
    uint64_t *keys;       /* of instances, series and studies */
    size_t count, room;
    bool full;
} noting;

static uint64_t key_hash(dl_str partition, dl_str study, dl_str series, dl_str sop)
{
    const dl_str parts[] = {partition, study, series, sop};
    uint64_t hash = 0;
    for (size_t i = 0; i < DL_COUNT_OF(parts); i++) {
        hash = XXH3_64bits_withSeed(&parts[i].len, sizeof parts[i].len, hash);
        if (parts[i].len > 0) {
            hash = XXH3_64bits_withSeed(parts[i].ptr, parts[i].len, hash);
        }
    }
    return hash;
}

static void note_key(noting *n, uint64_t key)
{
    if (n->count == n->room) {
        size_t room = n->room == 0 ? 1024 : n->room * 2;
        uint64_t *grown = dl_mem_resize(n->keys, room, sizeof *grown);
        if (grown == NULL) {
            n->full = true;
            return;
        }
        n->keys = grown;
        n->room = room;
    }
    n->keys[n->count++] = key;
}

static void note_page(noting *n, const dl_feed_page *page)
{
    const dl_str none = DL_STR_NONE;
    (void)pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < page->entry_count; i++) {
        const dl_feed_entry *e = &page->entries[i];
        if (e->sequence > n->watermark) {
            note_key(n, key_hash(e->partition_name, e->study_uid, e->series_uid, e->sop_uid));
            note_key(n, key_hash(e->partition_name, e->study_uid, e->series_uid, none));
            note_key(n, key_hash(e->partition_name, e->study_uid, none, none));
        }
    }
    (void)pthread_mutex_unlock(&n->lock);
}

static dl_status noting_info(dl_feed_source *source, dl_feed_info *out_info, dl_error *err)
{
    noting *n = (noting *)source;
    return n->inner->ops->info(n->inner, out_info, err);
}

static dl_status noting_latest(dl_feed_source *source, int64_t *out_sequence,
                               int64_t *out_timestamp_us, dl_cancel *cancel, dl_error *err)
{
    noting *n = (noting *)source;
    return n->inner->ops->latest(n->inner, out_sequence, out_timestamp_us, cancel, err);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
static dl_status noting_window(dl_feed_source *source, int64_t start_us, int64_t end_us,
                               int64_t offset, size_t limit, dl_cancel *cancel,
                               dl_feed_page **out_page, dl_error *err)
{
    noting *n = (noting *)source;
    DL_TRY(n->inner->ops->window(n->inner, start_us, end_us, offset, limit, cancel, out_page, err));
    note_page(n, *out_page);
    return DL_OK;
}

static dl_status noting_after(dl_feed_source *source, int64_t sequence, size_t limit,
                              dl_cancel *cancel, dl_feed_page **out_page, dl_error *err)
{
    noting *n = (noting *)source;
    DL_TRY(n->inner->ops->after(n->inner, sequence, limit, cancel, out_page, err));
    note_page(n, *out_page);
    return DL_OK;
}

static const dl_feed_source_ops noting_ops = {
    .info = noting_info, .latest = noting_latest, .window = noting_window, .after = noting_after};

static int compare_hashes(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static bool is_noted(const noting *n, uint64_t key)
{
    return n->count > 0 && bsearch(&key, n->keys, n->count, sizeof key, compare_hashes) != NULL;
}

/* ---- rows and their digests ---- */

typedef struct digest {
    uint64_t key, row;
    bool seen;
} digest;

typedef struct comparing {
    dl_pipeline *p;
    const noting *noted;
    const dl_pipeline_table *table; /* whose rows are being read */
    dl_columnar_leaf *leaves;
    size_t leaf_count;
    size_t key_leaves[4];
    size_t key_count;
    digest *rows; /* of the fold */
    size_t count, room;
    enum {
        COLLECT,      /* the fold's rows */
        COMPARE,      /* those of the lake with them */
        NAME_MISSING, /* once more the fold's: which ones the lake does not have */
    } step;
    int64_t compared;
    void (*visit)(void *context, const char *finding);
    void *context;
} comparing;

static uint64_t mix(uint64_t seed, const dl_columnar_leaf *leaf, const dl_columnar_entries *e,
                    size_t i)
{
    uint8_t levels[2] = {e->rep == NULL ? 0 : e->rep[i], e->def[i]};
    seed = XXH3_64bits_withSeed(levels, sizeof levels, seed);
    if (e->def[i] < leaf->max_def) {
        return seed;
    }
    if (leaf->field->type == DL_COLUMNAR_STRING || leaf->field->type == DL_COLUMNAR_BINARY) {
        return XXH3_64bits_withSeed(e->values[i].s.ptr, e->values[i].s.len, seed);
    }
    int64_t number = e->values[i].i;
    return XXH3_64bits_withSeed(&number, sizeof number, seed);
}

static dl_str text_at(const comparing *c, const dl_delta_batch *batch, size_t leaf, size_t row)
{
    const dl_columnar_entries *e = &batch->leaves[leaf];
    return e->def[row] == c->leaves[leaf].max_def ? e->values[row].s : DL_STR_NONE;
}

static uint64_t key_at(const comparing *c, const dl_delta_batch *batch, size_t row, dl_str out[4])
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = i < c->key_count ? text_at(c, batch, c->key_leaves[i], row) : DL_STR_NONE;
    }
    return key_hash(out[0], out[1], out[2], out[3]);
}

static dl_status keep_digest(comparing *c, digest one, dl_error *err)
{
    if (c->count == c->room) {
        size_t room = c->room == 0 ? 4096 : c->room * 2;
        digest *grown = dl_mem_resize(c->rows, room, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory to compare %zu rows", room);
        }
        c->rows = grown;
        c->room = room;
    }
    c->rows[c->count++] = one;
    return DL_OK;
}

static void tell(const comparing *c, const dl_str key[4], const char *what)
{
    char text[FINDING_SIZE];
    int len = snprintf(text, sizeof text, "table %s,", dl_pipeline_table_name(c->table->kind));
    for (size_t i = 0; i < c->key_count && len > 0 && (size_t)len < sizeof text; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, " %.*s", DL_STR_ARG(key[i]));
    }
    if (len > 0 && (size_t)len < sizeof text) {
        (void)snprintf(text + len, sizeof text - (size_t)len, ": %s", what);
    }
    c->visit(c->context, text);
}

static int compare_digests(const void *left, const void *right)
{
    return compare_hashes(&((const digest *)left)->key, &((const digest *)right)->key);
}

static dl_status take_row(comparing *c, const dl_delta_batch *batch, size_t row, uint64_t hash,
                          dl_error *err)
{
    dl_str key[4];
    digest one = {.key = key_at(c, batch, row, key), .row = hash};
    if (is_noted(c->noted, one.key)) {
        return DL_OK;
    }
    if (c->step == COLLECT) {
        return keep_digest(c, one, err);
    }
    digest *hit =
        c->count == 0 ? NULL : bsearch(&one, c->rows, c->count, sizeof one, compare_digests);
    if (c->step == NAME_MISSING) {
        if (hit != NULL && !hit->seen) {
            tell(c, key, "the row is missing");
        }
        return DL_OK;
    }
    c->compared++;
    if (hit == NULL) {
        tell(c, key, "the row is not in the feed");
    } else if (hit->seen) {
        tell(c, key, "two rows");
    } else if (hit->row != hash) {
        tell(c, key, "the row differs from the feed");
    }
    if (hit != NULL) {
        hit->seen = true;
    }
    return DL_OK;
}

static dl_status take_batch(void *context, const dl_delta_batch *batch, dl_error *err)
{
    comparing *c = context;
    DL_AUTO(dl_arena) arena = dl_arena_create(BATCH_ARENA_BYTES);
    uint64_t *hashes = arena == NULL ? NULL : dl_arena_alloc(arena, batch->row_count + 1, 8);
    if (hashes == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to compare rows");
    }
    for (size_t leaf = 0; leaf < c->leaf_count; leaf++) {
        const dl_columnar_entries *e = &batch->leaves[leaf];
        size_t row = SIZE_MAX;
        for (size_t i = 0; i < e->count; i++) {
            row += e->rep == NULL || e->rep[i] == 0;
            hashes[row] = mix(hashes[row], &c->leaves[leaf], e, i);
        }
    }
    for (size_t row = 0; row < batch->row_count; row++) {
        if (batch->live[row]) {
            DL_TRY(take_row(c, batch, row, hashes[row], err));
        }
    }
    return DL_OK;
}

/* ---- a table of the lake against that of the fold ---- */

static dl_status read_rows(comparing *c, const dl_pipeline_table *t, const dl_str *columns,
                           size_t column_count, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(BATCH_ARENA_BYTES);
    static const char *const keys[] = {"partitionName", "studyInstanceUid", "seriesInstanceUid",
                                       "sopInstanceUid"};
    static const size_t key_counts[DL_PIPELINE_TABLES] = {4, 3, 2};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to compare rows");
    }
    dl_delta_scan scan = {
        .columns = columns, .column_count = column_count, .cancel = c->p->options.cancel};
    DL_TRY(dl_delta_scan_leaves(t->table, &scan, arena, &c->leaves, &c->leaf_count, err));
    c->table = t;
    c->key_count = key_counts[t->kind];
    for (size_t k = 0; k < c->key_count; k++) {
        for (size_t i = 0; i < c->leaf_count; i++) {
            if (dl_str_eq_nocase(columns[c->leaves[i].column], dl_str_of(keys[k]))) {
                c->key_leaves[k] = i;
            }
        }
    }
    dl_status status = dl_delta_read(t->table, &scan, take_batch, c, err);
    c->leaves = NULL;
    return status;
}

static dl_status compare_table(comparing *c, const dl_pipeline_table *ours,
                               const dl_pipeline_table *fold, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(BATCH_ARENA_BYTES);
    size_t count = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to compare rows");
    }
    const dl_delta_column *columns = dl_delta_columns(fold->table, &count);
    dl_str *names = dl_arena_alloc(arena, count + 1, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = columns[i].name;
    }
    c->count = 0;
    c->step = COLLECT;
    DL_TRY(read_rows(c, fold, names, count, err));
    if (c->count > 0) {
        qsort(c->rows, c->count, sizeof *c->rows, compare_digests);
    }
    c->step = COMPARE;
    DL_TRY(read_rows(c, ours, names, count, err));
    size_t missing = 0;
    for (size_t i = 0; i < c->count; i++) {
        missing += !c->rows[i].seen;
    }
    if (missing > 0) {
        c->step = NAME_MISSING;
        DL_TRY(read_rows(c, fold, names, count, err));
    }
    return DL_OK;
}

static dl_status remove_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    return dl_store_remove(context, key, err);
}

static dl_status compare_all(comparing *c, dl_pipeline *fold, dl_feed_source *source, dl_error *err)
{
    dl_pipeline_counts counts = {0};
    noting *n = (noting *)source;
    DL_TRY(dl_pipeline_sync(fold, source, &counts, err));
    if (n->full) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for the changes since the watermark");
    }
    if (n->count > 0) {
        qsort(n->keys, n->count, sizeof *n->keys, compare_hashes);
    }
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        DL_TRY(compare_table(c, &c->p->tables[i], &fold->tables[i], err));
    }
    return DL_OK;
}

static dl_status verify_with(dl_pipeline *p, dl_store *lake, const char *folder,
                             dl_feed_source *source, comparing *c, dl_error *err)
{
    dl_pipeline_options options = p->options;
    dl_pipeline_parameters initial = dl_pipeline_parameters_default();
    options.lake = lake;
    options.state_folder = folder;
    options.parameters.start_us = initial.start_us;
    options.parameters.end_us = initial.end_us;
    options.no_maintenance = true;
    options.reading = false;
    options.on_note = NULL;
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(p->tables[0].table, &count);
    (void)dl_project_recognise(columns, count, &options.profile);
    dl_pipeline *fold = NULL;
    DL_TRY(dl_store_list(lake, DL_STR(""), remove_key, lake, err)); /* what a crash left */
    DL_TRY(dl_pipeline_open(&options, &fold, err));
    dl_status status = dl_state_clear(fold->state, err);
    if (status == DL_OK) {
        status = compare_all(c, fold, source, err);
    }
    dl_pipeline_close(fold);
    dl_error local = {0};
    dl_status swept = dl_store_list(lake, DL_STR(""), remove_key, lake, &local);
    return status != DL_OK ? status : swept;
}

dl_status dl_pipeline_verify(dl_pipeline *p, dl_feed_source *source,
                             void (*visit)(void *context, const char *finding), void *context,
                             int64_t *out_rows, dl_error *err)
{
    char folder[PATH_SIZE];
    if ((size_t)snprintf(folder, sizeof folder, "%s/verify", p->options.state_folder) >=
        sizeof folder) {
        return dl_error_set(err, DL_E_INVALID, "the path of the state folder is too long");
    }
    DL_TRY(dl_pipeline_tables_open(p, false, err));
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        if (p->tables[i].table == NULL) {
            return dl_error_set(err, DL_E_NOT_FOUND, "there is no table %s",
                                dl_pipeline_table_name(i));
        }
    }
    noting n = {.source = {.ops = &noting_ops}, .inner = source};
    comparing c = {.p = p, .noted = &n, .visit = visit, .context = context};
    dl_feed_info info = {0};
    DL_TRY(source->ops->info(source, &info, err));
    DL_TRY(dl_arena_copy(p->arena, info.id, &p->source_id, err));
    int64_t time_us = 0;
    n.watermark = INT64_MAX;
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        int64_t sequence = 0;
        DL_TRY(dl_pipeline_table_watermark(p, &p->tables[i], &sequence, &time_us, err));
        n.watermark = sequence < n.watermark ? sequence : n.watermark;
    }
    int64_t rows = dl_delta_totals_of(p->tables[DL_STATE_INSTANCE].table).row_count;
    if (n.watermark < 0 && rows != 0) { /* all changes are after it: nothing would be compared */
        (void)dl_error_set(err, DL_E_CONFLICT, "the tables have rows, but none of this feed");
        dl_error_hint(err, "name the lake that is synced from it, or sync it first");
        return DL_E_CONFLICT;
    }
    (void)pthread_mutex_init(&n.lock, NULL);
    dl_store *lake = NULL;
    dl_status status = dl_store_open_local(folder, &lake, err);
    if (status == DL_OK) {
        status = verify_with(p, lake, folder, &n.source, &c, err);
    }
    dl_store_close(lake);
    dl_mem_free(n.keys);
    dl_mem_free(c.rows);
    (void)pthread_mutex_destroy(&n.lock);
    if (status == DL_OK) {
        *out_rows = c.compared;
    }
    return status;
}
