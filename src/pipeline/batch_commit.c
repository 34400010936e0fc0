/* New files and replaced rows to one commit of a table, and what the state index hears of it. */
#include "pipeline/batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void dl_batch_commit_clear(dl_batch_commit *c)
{
    for (size_t i = 0; i < c->kill_count; i++) {
        dl_delta_bitmap_destroy(c->bitmaps[i]);
    }
    dl_delta_rewrite_destroy(c->rewrite);
    dl_arena_destroy(c->arena);
    *c = (dl_batch_commit){0};
}

static int compare_deaths(const void *left, const void *right)
{
    const dl_batch_death *a = left;
    const dl_batch_death *b = right;
    if (a->file != b->file) {
        return a->file < b->file ? -1 : 1;
    }
    return (a->row > b->row) - (a->row < b->row);
}

dl_status dl_batch_kills(dl_pipeline *p, const dl_pipeline_table *t, dl_batch_commit *c,
                         dl_batch_plan *plan, dl_error *err)
{
    dl_batch_death *deaths = plan->deaths;
    size_t count = plan->death_count;
    bool live = false;
    if (count == 0) {
        return DL_OK;
    }
    qsort(deaths, count, sizeof *deaths, compare_deaths);
    size_t files = 1;
    for (size_t i = 1; i < count; i++) {
        files += deaths[i].file != deaths[i - 1].file;
    }
    c->kills = dl_arena_alloc(c->arena, files, sizeof *c->kills);
    c->kill_files = dl_arena_alloc(c->arena, files, sizeof *c->kill_files);
    c->bitmaps = dl_arena_alloc(c->arena, files, sizeof(dl_delta_bitmap *));
    if (c->kills == NULL || c->kill_files == NULL || c->bitmaps == NULL) {
        return dl_arena_full(c->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || deaths[i].file != deaths[i - 1].file) {
            dl_str path;
            DL_TRY(dl_state_file_path(p->state, deaths[i].file, c->arena, &path, err));
            live = dl_delta_file_by_path(t->table, path) != NULL;
            if (live) {
                DL_TRY(dl_delta_bitmap_create(&c->bitmaps[c->kill_count], err));
                c->kill_files[c->kill_count] = deaths[i].file;
                c->kills[c->kill_count] = (dl_delta_kill){path, c->bitmaps[c->kill_count]};
                c->kill_count++;
            }
        }
        if (!live) {
            continue; /* an extra that went with its file */
        }
        DL_TRY(
            dl_delta_bitmap_add(c->bitmaps[c->kill_count - 1], (uint64_t)deaths[i].row, NULL, err));
    }
    return DL_OK;
}

/* Without deletion vectors the files that lose rows are copied without them. */
static dl_status copy_on_write(dl_pipeline *p, const dl_pipeline_table *t, dl_batch_commit *c,
                               dl_error *err)
{
    if (c->kill_count == 0 || dl_delta_makes_dvs(t->table)) {
        return DL_OK;
    }
    c->removes = dl_arena_alloc(c->arena, c->kill_count, sizeof *c->removes);
    if (c->removes == NULL) {
        return dl_arena_full(c->arena, err);
    }
    for (size_t i = 0; i < c->kill_count; i++) {
        c->removes[i] = c->kills[i].path;
    }
    c->remove_count = c->kill_count;
    dl_delta_rewrite_options options = {.paths = c->removes,
                                        .path_count = c->remove_count,
                                        .kills = c->kills,
                                        .kill_count = c->kill_count,
                                        .per_file = true,
                                        .cancel = p->options.cancel};
    DL_TRY(dl_delta_rewrite_create(t->table, &options, &c->rewrite, err));
    size_t count = 0;
    dl_delta_writer *const *copies = dl_delta_rewrite_writers(c->rewrite, &count);
    dl_delta_writer **all =
        dl_arena_alloc(c->arena, c->writer_count + count + 1, sizeof(dl_delta_writer *));
    if (all == NULL) {
        return dl_arena_full(c->arena, err);
    }
    if (c->writer_count > 0) {
        memcpy((void *)all, (const void *)c->writers, c->writer_count * sizeof(dl_delta_writer *));
    }
    for (size_t i = 0; i < count; i++) {
        all[c->writer_count + i] = copies[i];
    }
    c->writers = all;
    c->writer_count += count;
    return DL_OK;
}

static dl_status number_pair(dl_arena *arena, dl_delta_pair *pair, dl_str key, int64_t value,
                             dl_error *err)
{
    pair->key = key;
    return dl_arena_printf(arena, &pair->value, err, "%" PRId64, value);
}

static dl_status describe(dl_batch_commit *c, dl_delta_change *change, dl_error *err)
{
    static const dl_delta_pair parameters[] = {
        {{"predicate", 9}, {"[\"the keys of the change feed\"]", 31}},
        {{"matchedPredicates", 17},
         {"[{\"actionType\":\"update\"},{\"actionType\":\"delete\"}]", 49}},
        {{"notMatchedPredicates", 20}, {"[{\"actionType\":\"insert\"}]", 25}},
        {{"notMatchedBySourcePredicates", 28}, {"[]", 2}},
    };
    dl_delta_pair *metrics = dl_arena_alloc(c->arena, 6, sizeof *metrics);
    if (metrics == NULL) {
        return dl_arena_full(c->arena, err);
    }
    DL_TRY(number_pair(c->arena, &metrics[0], DL_STR("numSourceRows"), c->source_rows, err));
    DL_TRY(number_pair(c->arena, &metrics[1], DL_STR("numTargetRowsInserted"), c->inserted, err));
    DL_TRY(number_pair(c->arena, &metrics[2], DL_STR("numTargetRowsUpdated"), c->updated, err));
    DL_TRY(number_pair(c->arena, &metrics[3], DL_STR("numTargetRowsDeleted"), c->deleted, err));
    DL_TRY(
        number_pair(c->arena, &metrics[4], DL_STR("numTargetRowsMatchedUpdated"), c->updated, err));
    DL_TRY(
        number_pair(c->arena, &metrics[5], DL_STR("numTargetRowsMatchedDeleted"), c->deleted, err));
    change->operation = "MERGE";
    change->parameters = (dl_delta_pairs){parameters, DL_COUNT_OF(parameters)};
    change->metrics = (dl_delta_pairs){metrics, 6};
    return DL_OK;
}

/* The transaction identifiers that say how far the table is (docs/delta.md). */
static dl_status watermark_apps(dl_pipeline *p, const dl_pipeline_table *t, dl_batch_commit *c,
                                dl_delta_change *change, dl_error *err)
{
    dl_delta_app *apps = dl_arena_alloc(c->arena, 2, sizeof *apps);
    if (apps == NULL) {
        return dl_arena_full(c->arena, err);
    }
    size_t count = 0;
    int64_t now_ms = dl_clock_now_us(&p->options.clock) / 1000;
    DL_TRY(dl_pipeline_app(p, t->kind, p->window_app, c->arena, &apps[count].app_id, err));
    if (c->sequence > dl_delta_app_version(t->table, apps[count].app_id)) {
        apps[count].version = c->sequence;
        apps[count++].updated_ms = now_ms;
    }
    if (p->window_app[0] == '\0') {
        DL_TRY(dl_pipeline_app(p, t->kind, ":time", c->arena, &apps[count].app_id, err));
        if (c->time_us > dl_delta_app_version(t->table, apps[count].app_id)) {
            apps[count].version = c->time_us;
            apps[count++].updated_ms = now_ms;
        }
    }
    change->apps = apps;
    change->app_count = count;
    int64_t shown = p->window_app[0] == '\0' ? c->sequence : p->watermark;
    return dl_arena_printf(c->arena, &change->user_metadata, err,
                           "{\"seq\":%" PRId64 ",\"source\":\"%.*s\"}", shown,
                           DL_STR_ARG(p->source_id));
}

static void count_commit(dl_pipeline *p, const dl_pipeline_table *t, const dl_batch_commit *c,
                         const dl_delta_result *r)
{
    dl_delta_totals totals = dl_delta_totals_of(t->table);
    (void)pthread_mutex_lock(&p->lock);
    dl_pipeline_table_counts *n = &p->counts.tables[t->kind];
    n->rows_in += c->inserted + c->updated;
    n->rows_out += c->deleted + c->updated;
    n->row_count = totals.row_count;
    n->version = r->version;
    n->commits++;
    n->files_added += r->files_added;
    n->files_removed += r->files_removed;
    n->data_bytes += r->bytes_added;
    n->dv_bytes += r->dv_bytes;
    n->log_bytes += r->log_bytes;
    (void)pthread_mutex_unlock(&p->lock);
}

dl_status dl_batch_commit_table(dl_pipeline *p, dl_pipeline_table *t, dl_batch_commit *c,
                                dl_error *err)
{
    dl_delta_change change = {.data_change = true, .exclusive = true};
    DL_TRY(copy_on_write(p, t, c, err));
    DL_TRY(describe(c, &change, err));
    DL_TRY(watermark_apps(p, t, c, &change, err));
    change.writers = c->writers;
    change.writer_count = c->writer_count;
    if (c->rewrite == NULL) {
        change.kills = c->kills;
        change.kill_count = c->kill_count;
    } else {
        change.removes = c->removes;
        change.remove_count = c->remove_count;
    }
    int64_t begin = dl_clock_monotonic_us();
    dl_delta_result result = {0};
    dl_status status = dl_delta_commit_change(t->table, &change, &result, err);
    dl_pipeline_count(p, &p->counts.commit_us, dl_clock_monotonic_us() - begin);
    DL_TRY(status);
    count_commit(p, t, c, &result);
    return DL_OK;
}

static dl_status dv_word(const dl_delta_file *file, dl_arena *arena, dl_str *out, dl_error *err)
{
    if (file == NULL || file->dv.storage == 0) {
        *out = DL_STR("");
        return DL_OK;
    }
    return dl_arena_printf(arena, out, err, "%c%.*s@%" PRId64, file->dv.storage,
                           DL_STR_ARG(file->dv.path_or_inline), file->dv.offset);
}

dl_status dl_batch_record_files(dl_pipeline *p, const dl_pipeline_table *t, dl_batch_commit *c,
                                dl_error *err)
{
    for (size_t i = 0; i < c->kill_count; i++) {
        const dl_delta_file *file = dl_delta_file_by_path(t->table, c->kills[i].path);
        dl_str word = DL_STR("");
        DL_TRY(dv_word(file, c->arena, &word, err));
        DL_TRY(dl_state_file_mark(p->state, c->kill_files[i], file != NULL, word, err));
    }
    for (size_t i = 0; i < c->writer_count; i++) {
        int64_t file = 0;
        DL_TRY(dl_state_file(p->state, t->kind, dl_delta_writer_path(c->writers[i]), &file, err));
        DL_TRY(dl_state_file_mark(p->state, file, true, DL_STR(""), err));
    }
    size_t count = 0;
    const dl_delta_move *moves =
        c->rewrite == NULL ? NULL : dl_delta_rewrite_moves(c->rewrite, &count);
    for (size_t i = 0; i < count; i++) {
        dl_state_move move = {.first_row = moves[i].first_row,
                              .end_row = moves[i].end_row,
                              .base = moves[i].base,
                              .dead = moves[i].dead};
        DL_TRY(dl_state_file(p->state, t->kind, moves[i].old_path, &move.from, err));
        DL_TRY(dl_state_file(p->state, t->kind, moves[i].new_path, &move.to, err));
        DL_TRY(dl_state_forward(p->state, &move, err));
    }
    DL_TRY(dl_state_extras_clear(p->state, t->kind, err));
    return dl_pipeline_position(p, t, err);
}

dl_status dl_pipeline_mark(dl_pipeline *p, int64_t sequence, int64_t time_us, dl_error *err)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        dl_pipeline_table *t = &p->tables[i];
        DL_CLEANUP(dl_batch_commit_clear)
        dl_batch_commit c = {.arena = dl_arena_create(DL_BATCH_ARENA_BYTES),
                             .sequence = sequence,
                             .time_us = time_us};
        if (c.arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a commit");
        }
        dl_str app;
        DL_TRY(dl_pipeline_app(p, t->kind, p->window_app, c.arena, &app, err));
        if (sequence <= dl_delta_app_version(t->table, app)) {
            continue;
        }
        DL_TRY(dl_batch_commit_table(p, t, &c, err));
        DL_TRY(dl_state_begin(p->state, err));
        dl_status status = dl_batch_record_files(p, t, &c, err);
        status = status == DL_OK ? dl_state_commit(p->state, err) : status;
        if (status != DL_OK) {
            dl_state_rollback(p->state);
            return status;
        }
    }
    return DL_OK;
}
