/* A folded batch becomes rows and commits: instance first, then the series and studies that it
 * touched. */
#include "pipeline/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_ARENA_BYTES ((size_t)256 << 20)
#define ROW_ARENA_BYTES ((size_t)512 << 20)
enum {
    ROW_ARENA_KEEP_BYTES = 1024 * 1024, /* a row's arena is used on up to here */
    SPLIT_ROWS = 4096,                  /* a partition with more rows is written by two threads */
    OUTPUT_LIMIT = 2 * DL_PIPELINE_PARTITION_LIMIT,
};

/* Where a row dies. */
typedef struct death {
    int64_t file, row;
} death;

/* One new data file: the rows of groups first <= g < end. */
typedef struct output {
    dl_pipeline *pipeline;
    const dl_pipeline_table *table;
    const struct batch_plan *plan;
    dl_delta_writer *writer;
    size_t first, end;
    dl_arena *keep;        /* what the state needs of the rows */
    dl_state_shown *shown; /* one a group of the range; in keep */
    dl_status status;
    dl_error err;
    pthread_t thread;
    bool threaded;
} output;

typedef struct batch_plan {
    dl_arena *arena;
    const dl_fold *fold;
    dl_fold_decision *decisions; /* one a group */
    dl_state_instance *known;
    int64_t *rows; /* an upsert's row in its output */
    output *outputs;
    size_t output_count;
    death *deaths;
    size_t death_count, death_room;
    dl_ahead_list ahead;
    int64_t upserts, inserts, updates, removes, skipped, stale;
} batch_plan;

static void plan_clear(batch_plan *plan)
{
    for (size_t i = 0; i < plan->output_count; i++) {
        dl_delta_writer_destroy(plan->outputs[i].writer);
        dl_arena_destroy(plan->outputs[i].keep);
    }
    dl_mem_free(plan->deaths);
    dl_arena_destroy(plan->arena);
    *plan = (struct batch_plan){0};
}

static dl_status plan_init(batch_plan *plan, const dl_fold *fold, dl_error *err)
{
    size_t count = fold == NULL ? 0 : fold->group_count;
    *plan = (struct batch_plan){.fold = fold, .arena = dl_arena_create(PLAN_ARENA_BYTES)};
    if (plan->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch");
    }
    plan->decisions = dl_arena_alloc(plan->arena, count + 1, sizeof *plan->decisions);
    plan->known = dl_arena_alloc(plan->arena, count + 1, sizeof *plan->known);
    plan->rows = dl_arena_alloc(plan->arena, count + 1, sizeof *plan->rows);
    plan->outputs = dl_arena_alloc(plan->arena, OUTPUT_LIMIT, sizeof *plan->outputs);
    plan->ahead.arena = plan->arena;
    if (plan->decisions == NULL || plan->known == NULL || plan->rows == NULL ||
        plan->outputs == NULL) {
        return dl_arena_full(plan->arena, err);
    }
    return DL_OK;
}

static dl_status add_death(batch_plan *plan, dl_state_place place, dl_error *err)
{
    if (plan->death_count == plan->death_room) {
        size_t room = plan->death_room == 0 ? 256 : plan->death_room * 2;
        death *grown = dl_mem_resize(plan->deaths, room, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for %zu replaced rows", room);
        }
        plan->deaths = grown;
        plan->death_room = room;
    }
    plan->deaths[plan->death_count++] = (death){place.file, place.row};
    return DL_OK;
}

static dl_status add_extra(void *context, dl_state_place place, dl_error *err)
{
    return add_death(context, place, err);
}

static dl_state_key key_of(const dl_feed_entry *e)
{
    return (dl_state_key){e->partition_name, e->study_uid, e->series_uid, e->sop_uid};
}

/* ---- deciding ---- */

static dl_status decide(dl_pipeline *p, batch_plan *plan, dl_error *err)
{
    /* Where sequences grow with time everything up to the watermark is in the tables, as a row or
     * as none. */
    dl_fold_rules rules = {.source = p->source,
                           .settled = p->ordered ? p->watermark : 0,
                           .require_file_path = p->options.require_file_path};
    for (size_t g = 0; g < plan->fold->group_count; g++) {
        const dl_fold_group *group = &plan->fold->groups[g];
        dl_state_key key = key_of(group->entries[0]);
        dl_state_instance *known = &plan->known[g];
        DL_TRY(dl_state_get(p->state, &key, known, err));
        dl_fold_decision *d = &plan->decisions[g];
        *d = dl_fold_decide(group, known, &rules);
        DL_TRY(dl_ahead_decide(p, group, known, &rules, &plan->ahead, d, err));
        bool has_row = known->known && !known->removed;
        plan->skipped += d->verdict == DL_FOLD_NOTHING;
        plan->stale += d->verdict == DL_FOLD_STALE;
        if (d->verdict == DL_FOLD_UPSERT) {
            plan->upserts++;
            plan->inserts += !has_row;
            plan->updates += has_row;
        }
        plan->removes += d->verdict == DL_FOLD_REMOVE && has_row;
        if (has_row && (d->verdict == DL_FOLD_UPSERT || d->verdict == DL_FOLD_REMOVE)) {
            DL_TRY(add_death(plan, known->place, err));
        }
    }
    return dl_state_extras(p->state, DL_STATE_INSTANCE, add_extra, plan, err);
}

/* ---- writing rows ---- */

static dl_status keep_text(dl_str text, dl_arena *arena, dl_str *out, dl_error *err)
{
    *out = DL_STR_NONE;
    return text.ptr == NULL ? DL_OK : dl_arena_copy(arena, text, out, err);
}

static dl_status keep_shown(const dl_state_shown *shown, dl_arena *arena, dl_state_shown *out,
                            dl_error *err)
{
    DL_TRY(keep_text(shown->study_date_text, arena, &out->study_date_text, err));
    DL_TRY(keep_text(shown->study_description, arena, &out->study_description, err));
    DL_TRY(keep_text(shown->issuer_of_patient_id, arena, &out->issuer_of_patient_id, err));
    DL_TRY(keep_text(shown->patient_id, arena, &out->patient_id, err));
    DL_TRY(keep_text(shown->patient_name, arena, &out->patient_name, err));
    return keep_text(shown->modality, arena, &out->modality, err);
}

static dl_status write_row(output *o, size_t g, dl_arena **arena, dl_error *err)
{
    const dl_fold_decision *d = &o->plan->decisions[g];
    if (dl_arena_used(*arena) > ROW_ARENA_KEEP_BYTES) {
        dl_arena_destroy(*arena);
        *arena = dl_arena_create(ROW_ARENA_BYTES);
        if (*arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a row");
        }
    }
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_str compact = DL_STR_NONE;
    if (d->entry->metadata.ptr != NULL) {
        dl_status status =
            dl_feed_attributes(d->entry->metadata, *arena, &attributes, &count, &compact, err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "reading the metadata of change %" PRId64,
                                   d->entry->sequence);
        }
    }
    dl_state_shown shown = {0};
    DL_TRY(dl_project_shown(attributes, count, *arena, &shown, err));
    DL_TRY(keep_shown(&shown, o->keep, &o->shown[g - o->first], err));
    return dl_project_put_instance(o->table->binding, dl_delta_writer_columns(o->writer), d->entry,
                                   attributes, count, compact, d->created_us, *arena, err);
}

static dl_status write_rows(output *o, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ROW_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a row");
    }
    int64_t row = 0;
    for (size_t g = o->first; g < o->end; g++) {
        if (o->plan->decisions[g].verdict != DL_FOLD_UPSERT) {
            continue;
        }
        if (dl_cancel_asked(o->pipeline->options.cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "canceled; nothing of this batch is visible");
        }
        DL_TRY(write_row(o, g, &arena, err));
        o->plan->rows[g] = row++;
    }
    return dl_delta_writer_finish(o->writer, err);
}

static void *write_thread(void *context)
{
    output *o = context;
    o->status = write_rows(o, &o->err);
    return NULL;
}

static dl_status add_output(dl_pipeline *p, batch_plan *plan, const dl_pipeline_table *t,
                            size_t first, size_t end, dl_error *err)
{
    output *o = &plan->outputs[plan->output_count];
    *o = (output){.pipeline = p, .table = t, .plan = plan, .first = first, .end = end};
    plan->output_count++;
    o->keep = dl_arena_create(PLAN_ARENA_BYTES);
    if (o->keep == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch");
    }
    o->shown = dl_arena_alloc(o->keep, end - first + 1, sizeof *o->shown);
    if (o->shown == NULL) {
        return dl_arena_full(o->keep, err);
    }
    dl_delta_pair value = {DL_STR("partitionName"),
                           plan->fold->groups[first].entries[0]->partition_name};
    dl_delta_writer_options options = {.partition_values = {&value, 1}};
    return dl_delta_writer_create(t->table, &options, &o->writer, err);
}

/* Cut the groups into files: one a partition, two where it is large. */
static dl_status cut(dl_pipeline *p, batch_plan *plan, const dl_pipeline_table *t, dl_error *err)
{
    size_t count = plan->fold->group_count;
    for (size_t first = 0; first < count;) {
        dl_str partition = plan->fold->groups[first].entries[0]->partition_name;
        size_t end = first;
        size_t upserts = 0;
        while (end < count &&
               dl_str_eq(plan->fold->groups[end].entries[0]->partition_name, partition)) {
            upserts += plan->decisions[end].verdict == DL_FOLD_UPSERT;
            end++;
        }
        if (upserts > SPLIT_ROWS) {
            size_t half = first;
            for (size_t seen = 0; seen < upserts / 2; half++) {
                seen += plan->decisions[half].verdict == DL_FOLD_UPSERT;
            }
            DL_TRY(add_output(p, plan, t, first, half, err));
            DL_TRY(add_output(p, plan, t, half, end, err));
        } else if (upserts > 0) {
            DL_TRY(add_output(p, plan, t, first, end, err));
        }
        first = end;
    }
    return DL_OK;
}

/* Two at a time: this thread and one more. */
static dl_status write_outputs(batch_plan *plan, dl_error *err)
{
    for (size_t i = 0; i < plan->output_count; i += DL_PIPELINE_WRITER_THREADS) {
        output *own = &plan->outputs[i];
        output *other = i + 1 < plan->output_count ? own + 1 : NULL;
        if (other != NULL) {
            other->threaded = pthread_create(&other->thread, NULL, write_thread, other) == 0;
        }
        (void)write_thread(own);
        if (other != NULL && other->threaded) {
            (void)pthread_join(other->thread, NULL);
        } else if (other != NULL) {
            (void)write_thread(other);
        }
        for (output *o = own; o != NULL; o = o == own ? other : NULL) {
            if (o->status != DL_OK) {
                *err = o->err;
                return o->status;
            }
        }
    }
    return DL_OK;
}

/* ---- committing ---- */

/* What a commit to one table consists of, whichever table. */
typedef struct commit {
    dl_arena *arena;
    dl_delta_writer **writers;
    size_t writer_count, writer_room;
    dl_delta_kill *kills;
    int64_t *kill_files;
    size_t kill_count;
    dl_delta_bitmap **bitmaps;
    dl_str *removes;
    size_t remove_count;
    dl_delta_rewrite *rewrite; /* copy-on-write */
    int64_t source_rows, inserted, updated, deleted;
} commit;

static void commit_clear(commit *c)
{
    for (size_t i = 0; i < c->kill_count; i++) {
        dl_delta_bitmap_destroy(c->bitmaps[i]);
    }
    dl_delta_rewrite_destroy(c->rewrite);
    dl_arena_destroy(c->arena);
    *c = (commit){0};
}

static int compare_deaths(const void *left, const void *right)
{
    const death *a = left;
    const death *b = right;
    if (a->file != b->file) {
        return a->file < b->file ? -1 : 1;
    }
    return (a->row > b->row) - (a->row < b->row);
}

static dl_status commit_kills(dl_pipeline *p, const dl_pipeline_table *t, commit *c,
                              batch_plan *plan, dl_error *err)
{
    death *deaths = plan->deaths;
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
static dl_status copy_on_write(dl_pipeline *p, const dl_pipeline_table *t, commit *c, dl_error *err)
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

static dl_status describe(commit *c, dl_delta_change *change, dl_error *err)
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
static dl_status watermark_apps(dl_pipeline *p, const dl_pipeline_table *t, commit *c,
                                int64_t sequence, int64_t time_us, dl_delta_change *change,
                                dl_error *err)
{
    dl_delta_app *apps = dl_arena_alloc(c->arena, 2, sizeof *apps);
    if (apps == NULL) {
        return dl_arena_full(c->arena, err);
    }
    size_t count = 0;
    int64_t now_ms = dl_clock_now_us(&p->options.clock) / 1000;
    DL_TRY(dl_pipeline_app(p, t->kind, p->window_app, c->arena, &apps[count].app_id, err));
    if (sequence > dl_delta_app_version(t->table, apps[count].app_id)) {
        apps[count].version = sequence;
        apps[count++].updated_ms = now_ms;
    }
    if (p->window_app[0] == '\0') {
        DL_TRY(dl_pipeline_app(p, t->kind, ":time", c->arena, &apps[count].app_id, err));
        if (time_us > dl_delta_app_version(t->table, apps[count].app_id)) {
            apps[count].version = time_us;
            apps[count++].updated_ms = now_ms;
        }
    }
    change->apps = apps;
    change->app_count = count;
    int64_t shown = p->window_app[0] == '\0' ? sequence : p->watermark;
    return dl_arena_printf(c->arena, &change->user_metadata, err,
                           "{\"seq\":%" PRId64 ",\"source\":\"%.*s\"}", shown,
                           DL_STR_ARG(p->source_id));
}

static void count_commit(dl_pipeline *p, const dl_pipeline_table *t, const commit *c,
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

static dl_status commit_table(dl_pipeline *p, dl_pipeline_table *t, commit *c, int64_t sequence,
                              int64_t time_us, dl_error *err)
{
    dl_delta_change change = {.data_change = true, .exclusive = true};
    DL_TRY(copy_on_write(p, t, c, err));
    DL_TRY(describe(c, &change, err));
    DL_TRY(watermark_apps(p, t, c, sequence, time_us, &change, err));
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

/* What the commit did to the files, for the state index. */
static dl_status record_files(dl_pipeline *p, const dl_pipeline_table *t, commit *c, dl_error *err)
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
        int64_t from = 0;
        int64_t to = 0;
        DL_TRY(dl_state_file(p->state, t->kind, moves[i].old_path, &from, err));
        DL_TRY(dl_state_file(p->state, t->kind, moves[i].new_path, &to, err));
        DL_TRY(dl_state_forward(p->state, from, moves[i].first_row, moves[i].end_row, to,
                                moves[i].base, moves[i].dead, err));
    }
    DL_TRY(dl_state_extras_clear(p->state, t->kind, err));
    return dl_pipeline_position(p, t, err);
}

/* ---- instance ---- */

static dl_status record_group(dl_pipeline *p, const batch_plan *plan, const output *o, int64_t file,
                              size_t g, dl_error *err)
{
    const dl_fold_decision *d = &plan->decisions[g];
    if (d->verdict != DL_FOLD_UPSERT && d->verdict != DL_FOLD_REMOVE) {
        return DL_OK;
    }
    dl_state_key key = key_of(d->entry);
    if (d->verdict == DL_FOLD_REMOVE) {
        return dl_state_remove(p->state, &key, d->entry->timestamp_us, d->entry->sequence,
                               p->source, err);
    }
    dl_state_instance instance = {.timestamp_us = d->entry->timestamp_us,
                                  .sequence = d->entry->sequence,
                                  .source = p->source,
                                  .created_us = d->created_us,
                                  .place = {file, plan->rows[g]}};
    return dl_state_put(p->state, &key, &instance, &o->shown[g - o->first], err);
}

static dl_status record_rows(dl_pipeline *p, const batch_plan *plan, dl_error *err)
{
    size_t next = 0;
    int64_t file = 0;
    for (size_t g = 0; g < plan->fold->group_count; g++) {
        while (next < plan->output_count && g >= plan->outputs[next].end) {
            next++;
            file = 0;
        }
        const output *o = next < plan->output_count && g >= plan->outputs[next].first
                              ? &plan->outputs[next]
                              : NULL;
        if (o != NULL && file == 0) {
            DL_TRY(dl_state_file(p->state, DL_STATE_INSTANCE, dl_delta_writer_path(o->writer),
                                 &file, err));
        }
        DL_TRY(record_group(p, plan, o, file, g, err));
    }
    return DL_OK;
}

static dl_status record(dl_pipeline *p, const batch_plan *plan, commit *c, bool committed,
                        dl_error *err)
{
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = record_rows(p, plan, err);
    status = status == DL_OK ? dl_ahead_record(p, &plan->ahead, err) : status;
    if (status == DL_OK && committed) {
        status = record_files(p, &p->tables[DL_STATE_INSTANCE], c, err);
    }
    if (status == DL_OK) {
        status = dl_state_commit(p->state, err);
    }
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    dl_pipeline_count(p, &p->counts.state_us, dl_clock_monotonic_us() - begin);
    return status;
}

static dl_status commit_instances(dl_pipeline *p, batch_plan *plan, dl_error *err)
{
    dl_pipeline_table *t = &p->tables[DL_STATE_INSTANCE];
    DL_CLEANUP(commit_clear)
    commit c = {.arena = dl_arena_create(PLAN_ARENA_BYTES),
                .source_rows = (int64_t)plan->fold->group_count,
                .inserted = plan->inserts,
                .updated = plan->updates,
                .deleted = plan->removes};
    if (c.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a commit");
    }
    if (plan->output_count == 0 && plan->death_count == 0) {
        return record(p, plan, &c, false, err); /* tombstones only */
    }
    DL_TRY(commit_kills(p, t, &c, plan, err));
    c.writers = dl_arena_alloc(c.arena, plan->output_count + 1, sizeof(dl_delta_writer *));
    if (c.writers == NULL) {
        return dl_arena_full(c.arena, err);
    }
    for (size_t i = 0; i < plan->output_count; i++) {
        c.writers[c.writer_count++] = plan->outputs[i].writer;
    }
    DL_TRY(commit_table(p, t, &c, plan->fold->max_sequence, plan->fold->max_time_us, err));
    return record(p, plan, &c, true, err);
}

static void count_plan(dl_pipeline *p, const batch_plan *plan)
{
    (void)pthread_mutex_lock(&p->lock);
    p->counts.creates += plan->inserts;
    p->counts.updates += plan->updates;
    p->counts.deletes += plan->removes;
    p->counts.skipped += plan->skipped;
    p->counts.stale += plan->stale;
    p->counts.batches++;
    (void)pthread_mutex_unlock(&p->lock);
}

static dl_status apply_once(dl_pipeline *p, dl_fold *fold, dl_error *err)
{
    DL_CLEANUP(plan_clear) batch_plan plan = {0};
    if (p->tables[DL_STATE_INSTANCE].foreign || p->tables[DL_STATE_SERIES].foreign ||
        p->tables[DL_STATE_STUDY].foreign) {
        DL_TRY(dl_pipeline_catch_up(p, err));
    }
    DL_TRY(plan_init(&plan, fold, err));
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(decide(p, &plan, err));
    DL_TRY(cut(p, &plan, &p->tables[DL_STATE_INSTANCE], err));
    dl_pipeline_count(p, &p->counts.fold_us, dl_clock_monotonic_us() - begin);
    begin = dl_clock_monotonic_us();
    DL_TRY(write_outputs(&plan, err));
    dl_pipeline_count(p, &p->counts.write_us, dl_clock_monotonic_us() - begin);
    DL_TRY(commit_instances(p, &plan, err));
    count_plan(p, &plan);
    return DL_OK;
}

/* Somebody else committed: look at what they did, and plan anew. */
static dl_status again(dl_pipeline *p, dl_status status, int tries, dl_error *err)
{
    if (status != DL_E_CONFLICT || tries >= DL_PIPELINE_REPLAN_LIMIT) {
        return status;
    }
    dl_pipeline_note(p, "another writer committed: %s; planning the batch anew",
                     err == NULL ? "" : err->message);
    dl_error_clear(err);
    dl_pipeline_count(p, &p->counts.replans, 1);
    return dl_pipeline_catch_up(p, err);
}

/* The groups from `first` on that belong to so many partitions as one commit may touch. */
static dl_fold part_of(const dl_fold *fold, size_t first)
{
    dl_fold part = *fold;
    size_t end = first;
    size_t partitions = 0;
    dl_str partition = DL_STR_NONE;
    for (; end < fold->group_count; end++) {
        dl_str next = fold->groups[end].entries[0]->partition_name;
        if (!dl_str_eq(next, partition)) {
            if (partitions == DL_PIPELINE_PARTITION_LIMIT) {
                break;
            }
            partitions++;
            partition = next;
        }
    }
    part.groups = fold->groups + first;
    part.group_count = end - first;
    return part;
}

dl_status dl_pipeline_apply(dl_pipeline *p, dl_fold *fold, dl_error *err)
{
    dl_error local;
    err = err == NULL ? &local : err;
    for (size_t first = 0; first < fold->group_count;) {
        dl_fold part = part_of(fold, first);
        first += part.group_count;
        if (first < fold->group_count) { /* the watermark is true with the last of them only */
            part.max_sequence = p->watermark;
            part.max_time_us = p->watermark_us;
        }
        dl_status status = apply_once(p, &part, err);
        for (int tries = 0; status != DL_OK; tries++) {
            DL_TRY(again(p, status, tries, err));
            status = apply_once(p, &part, err);
        }
    }
    return dl_pipeline_settle(p, fold->max_sequence, fold->max_time_us, err);
}

/* ---- series and study ---- */

typedef struct settled {
    int64_t id;
    uint64_t hash;
    int64_t row; /* in the writer; -1: no row any more; -2: as it was */
    size_t writer;
    dl_state_place place;
} settled;

typedef struct settling {
    dl_pipeline *pipeline;
    dl_pipeline_table *table;
    batch_plan plan; /* deaths, arena */
    commit commit;
    dl_delta_writer *writers[DL_PIPELINE_PARTITION_LIMIT];
    size_t writer_count;
    dl_str partition; /* of the last writer */
    settled *rows;
    size_t row_count;
    bool more; /* dirty rows are left */
} settling;

static void settling_clear(settling *s)
{
    for (size_t i = 0; i < s->writer_count; i++) {
        dl_delta_writer_destroy(s->writers[i]);
    }
    commit_clear(&s->commit);
    plan_clear(&s->plan);
}

static dl_status partition_writer(settling *s, dl_str partition, dl_error *err)
{
    if (s->writer_count > 0 && dl_str_eq(s->partition, partition)) {
        return DL_OK;
    }
    if (s->writer_count > 0) {
        DL_TRY(dl_delta_writer_finish(s->writers[s->writer_count - 1], err));
    }
    DL_TRY(dl_arena_copy(s->plan.arena, partition, &s->partition, err));
    dl_delta_pair value = {DL_STR("partitionName"), s->partition};
    dl_delta_writer_options options = {.partition_values = {&value, 1}};
    DL_TRY(dl_delta_writer_create(s->table->table, &options, &s->writers[s->writer_count], err));
    s->writer_count++;
    return DL_OK;
}

static dl_status settle_row(void *context, const dl_state_row *row, dl_error *err)
{
    settling *s = context;
    s->more |= s->writer_count == DL_PIPELINE_PARTITION_LIMIT &&
               !dl_str_eq(s->partition, row->partition_name);
    if (s->more) {
        return DL_OK; /* rows come by partition: the others are for the next commit */
    }
    settled *one = &s->rows[s->row_count++];
    *one = (settled){.id = row->id, .row = -1, .place = row->place};
    bool has_row = row->place.file != 0;
    if (row->instance_count > 0) {
        one->hash = dl_project_row_hash(s->table->kind, row);
        if (has_row && one->hash == row->written_hash) {
            one->row = -2;
            return DL_OK;
        }
        DL_TRY(partition_writer(s, row->partition_name, err));
        one->writer = s->writer_count - 1;
        dl_columnar_writer *columns = dl_delta_writer_columns(s->writers[one->writer]);
        one->row = dl_columnar_writer_rows(columns);
        DL_TRY(dl_project_put_row(s->table->binding, columns, row, err));
        s->commit.inserted += !has_row;
        s->commit.updated += has_row;
    } else {
        s->commit.deleted += has_row;
    }
    return has_row ? add_death(&s->plan, row->place, err) : DL_OK;
}

static dl_status record_settled(dl_pipeline *p, settling *s, dl_error *err)
{
    int64_t file = 0;
    size_t of = SIZE_MAX;
    for (size_t i = 0; i < s->row_count; i++) {
        const settled *one = &s->rows[i];
        dl_state_place place = {0};
        if (one->row == -2) {
            place = one->place;
        } else if (one->row >= 0) {
            if (of != one->writer) {
                of = one->writer;
                DL_TRY(dl_state_file(p->state, s->table->kind, dl_delta_writer_path(s->writers[of]),
                                     &file, err));
            }
            place = (dl_state_place){file, one->row};
        }
        DL_TRY(dl_state_written(p->state, s->table->kind, one->id, place, one->hash, err));
    }
    return DL_OK;
}

static dl_status record_settling(dl_pipeline *p, settling *s, bool committed, dl_error *err)
{
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = record_settled(p, s, err);
    if (status == DL_OK && committed) {
        status = record_files(p, s->table, &s->commit, err);
    }
    if (status == DL_OK) {
        status = dl_state_commit(p->state, err);
    }
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    dl_pipeline_count(p, &p->counts.state_us, dl_clock_monotonic_us() - begin);
    return status;
}

static dl_status settle_plan(dl_pipeline *p, settling *s, dl_error *err)
{
    DL_TRY(plan_init(&s->plan, NULL, err));
    s->rows = dl_arena_alloc(s->plan.arena, DL_PIPELINE_DIRTY_LIMIT, sizeof *s->rows);
    s->commit.arena = dl_arena_create(PLAN_ARENA_BYTES);
    if (s->rows == NULL || s->commit.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch");
    }
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_state_dirty(p->state, s->table->kind, DL_PIPELINE_DIRTY_LIMIT, settle_row, s, err));
    DL_TRY(dl_state_extras(p->state, s->table->kind, add_extra, &s->plan, err));
    if (s->writer_count > 0) {
        DL_TRY(dl_delta_writer_finish(s->writers[s->writer_count - 1], err));
    }
    dl_pipeline_count(p, &p->counts.write_us, dl_clock_monotonic_us() - begin);
    return DL_OK;
}

static dl_status settle_once(dl_pipeline *p, dl_pipeline_table *t, int64_t sequence,
                             int64_t time_us, bool *out_more, dl_error *err)
{
    settling *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch");
    }
    s->pipeline = p;
    s->table = t;
    dl_status status = settle_plan(p, s, err);
    bool commits = s->writer_count > 0 || s->plan.death_count > 0;
    *out_more = s->more || s->row_count == DL_PIPELINE_DIRTY_LIMIT;
    if (*out_more) { /* the watermark is true with the last of them only */
        sequence = p->watermark;
        time_us = p->watermark_us;
    }
    if (status == DL_OK && commits) {
        s->commit.source_rows = (int64_t)s->row_count;
        status = commit_kills(p, t, &s->commit, &s->plan, err);
        s->commit.writers = s->writers;
        s->commit.writer_count = s->writer_count;
        if (status == DL_OK) {
            status = commit_table(p, t, &s->commit, sequence, time_us, err);
        }
    }
    if (status == DL_OK && (commits || s->row_count > 0)) {
        status = record_settling(p, s, commits, err);
    }
    settling_clear(s);
    dl_mem_free(s);
    return status;
}

dl_status dl_pipeline_settle(dl_pipeline *p, int64_t sequence, int64_t time_us, dl_error *err)
{
    dl_error local;
    err = err == NULL ? &local : err;
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        bool more = true;
        for (int tries = 0; more;) {
            dl_status status = settle_once(p, &p->tables[kind], sequence, time_us, &more, err);
            if (status != DL_OK) {
                DL_TRY(again(p, status, tries++, err));
                more = true;
            }
        }
    }
    return DL_OK;
}

dl_status dl_pipeline_mark(dl_pipeline *p, int64_t sequence, int64_t time_us, dl_error *err)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        dl_pipeline_table *t = &p->tables[i];
        DL_CLEANUP(commit_clear) commit c = {.arena = dl_arena_create(PLAN_ARENA_BYTES)};
        if (c.arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a commit");
        }
        dl_str app;
        DL_TRY(dl_pipeline_app(p, t->kind, p->window_app, c.arena, &app, err));
        if (sequence <= dl_delta_app_version(t->table, app)) {
            continue;
        }
        DL_TRY(commit_table(p, t, &c, sequence, time_us, err));
        DL_TRY(dl_state_begin(p->state, err));
        dl_status status = record_files(p, t, &c, err);
        status = status == DL_OK ? dl_state_commit(p->state, err) : status;
        if (status != DL_OK) {
            dl_state_rollback(p->state);
            return status;
        }
    }
    return DL_OK;
}
