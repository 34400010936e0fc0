/* Compaction and vacuum of the three tables, as a part of a run. */
#include "pipeline/internal.h"

#include <inttypes.h>
#include <pthread.h>

#define PLAN_BYTES ((size_t)64 << 20)
enum {
    SPLIT_BYTES = 8 * 1024 * 1024, /* a compaction from here on is shared by two threads */
    HEAVY_BYTES = 1024 * 1024, /* a smaller file with many dead rows is not worth a compaction */
    REST_FILES = 12, /* small files that a compaction leaves: the next runs have room for theirs */
};
#define DAY_US ((int64_t)86400 * 1000000)

static dl_status record_moves(dl_pipeline *p, const dl_pipeline_table *t,
                              const dl_delta_rewrite *rewrite, dl_error *err)
{
    size_t count = 0;
    const dl_delta_move *moves = dl_delta_rewrite_moves(rewrite, &count);
    if (t->foreign) { /* what was dead when it was copied may be so by others: catching up tells */
        return DL_OK;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(PLAN_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a compaction");
    }
    for (size_t i = 0; i < count; i++) {
        dl_state_move move = {.first_row = moves[i].first_row,
                              .end_row = moves[i].end_row,
                              .base = moves[i].base,
                              .dead = moves[i].dead};
        DL_TRY(dl_state_file(p->state, t->kind, moves[i].old_path, &move.from, err));
        DL_TRY(dl_state_file(p->state, t->kind, moves[i].new_path, &move.to, err));
        DL_TRY(dl_state_forward(p->state, &move, err));
        DL_TRY(dl_state_file_mark(p->state, move.from, false, DL_STR(""), err));
        const dl_delta_file *file = dl_delta_file_by_path(t->table, moves[i].new_path);
        dl_str word = DL_STR("");
        if (file != NULL && file->dv.storage != 0) {
            DL_TRY(dl_arena_printf(arena, &word, err, "%c%.*s@%" PRId64, file->dv.storage,
                                   DL_STR_ARG(file->dv.path_or_inline), file->dv.offset));
        }
        DL_TRY(dl_state_file_mark(p->state, move.to, file != NULL, word, err));
    }
    return dl_pipeline_position(p, t, err);
}

static dl_status commit_copy(dl_pipeline *p, dl_pipeline_table *t, dl_delta_rewrite *rewrite,
                             dl_error *err)
{
    static const dl_delta_pair parameters[] = {
        {{"predicate", 9}, {"[]", 2}}, {{"zOrderBy", 8}, {"[]", 2}}, {{"auto", 4}, {"true", 4}}};
    dl_delta_result result = {0};
    DL_TRY(dl_delta_rewrite_commit(
        t->table, rewrite, (dl_delta_pairs){parameters, DL_COUNT_OF(parameters)}, &result, err));
    (void)pthread_mutex_lock(&p->lock);
    dl_pipeline_table_counts *n = &p->counts.tables[t->kind];
    p->counts.compactions++;
    n->version = result.version;
    n->commits++;
    n->files_added += result.files_added;
    n->files_removed += result.files_removed;
    n->data_bytes += result.bytes_added;
    n->dv_bytes += result.dv_bytes;
    n->log_bytes += result.log_bytes;
    (void)pthread_mutex_unlock(&p->lock);
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = record_moves(p, t, rewrite, err);
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    return status;
}

/* A copy of some files, maybe made by a thread of its own. */
typedef struct copying {
    dl_delta_table *table;
    dl_delta_rewrite_options options;
    dl_delta_rewrite *rewrite;
    dl_status status;
    dl_error err;
} copying;

static void *copy_thread(void *context)
{
    copying *c = context;
    c->status = dl_delta_rewrite_create(c->table, &c->options, &c->rewrite, &c->err);
    return NULL;
}

/* How many of the first files have half of the bytes; all of them when the job is not worth two
 * threads. */
static size_t first_half(const dl_pipeline_table *t, const dl_delta_job *job)
{
    int64_t sum = 0;
    for (size_t i = 0; job->size_bytes >= SPLIT_BYTES && i + 1 < job->path_count; i++) {
        const dl_delta_file *file = dl_delta_file_by_path(t->table, job->paths[i]);
        sum += file == NULL ? 0 : file->size_bytes;
        if (sum >= job->size_bytes / 2) {
            return i + 1;
        }
    }
    return job->path_count;
}

/* A large job becomes two files, copied side by side: that only reads the table. */
static dl_status compact(dl_pipeline *p, dl_pipeline_table *t, const dl_delta_job *job,
                         dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str mark = DL_STR_NONE;
    int64_t sequence = 0;
    int64_t time_us = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a compaction");
    }
    DL_TRY(dl_pipeline_table_watermark(p, t, &sequence, &time_us, err));
    DL_TRY(dl_arena_printf(arena, &mark, err, "{\"seq\":%" PRId64 ",\"source\":\"%.*s\"}",
                           sequence < 0 ? 0 : sequence, DL_STR_ARG(p->source_id)));
    size_t half = first_half(t, job);
    size_t count = half < job->path_count ? 2 : 1;
    copying copies[2] = {0};
    pthread_t thread = 0;
    bool threaded = false;
    for (size_t i = 0; i < count; i++) {
        copies[i].table = t->table;
        copies[i].options =
            (dl_delta_rewrite_options){.paths = i == 0 ? job->paths : job->paths + half,
                                       .path_count = i == 0 ? half : job->path_count - half,
                                       .user_metadata = mark,
                                       .cancel = p->options.cancel};
    }
    if (count == 2) {
        threaded = pthread_create(&thread, NULL, copy_thread, &copies[1]) == 0;
    }
    (void)copy_thread(&copies[0]);
    if (threaded) {
        (void)pthread_join(thread, NULL);
    } else if (count == 2) {
        (void)copy_thread(&copies[1]);
    }
    dl_status status = DL_OK;
    for (size_t i = 0; i < count; i++) {
        if (status == DL_OK && copies[i].status != DL_OK) {
            *err = copies[i].err;
            status = copies[i].status;
        }
        status = status == DL_OK ? commit_copy(p, t, copies[i].rewrite, err) : status;
    }
    dl_delta_rewrite_destroy(copies[0].rewrite);
    dl_delta_rewrite_destroy(copies[1].rewrite);
    return status;
}

static dl_status compact_table(dl_pipeline *p, dl_pipeline_table *t, int64_t budget_bytes,
                               dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(PLAN_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a compaction");
    }
    dl_delta_optimize_options options = {
        .budget_bytes = budget_bytes, .rest_limit = REST_FILES, .heavy_limit_bytes = HEAVY_BYTES};
    dl_delta_job *jobs = NULL;
    size_t count = 0;
    DL_TRY(dl_delta_optimize_plan(t->table, &options, arena, &jobs, &count, err));
    for (size_t i = 0; i < count; i++) {
        dl_error local = {0};
        dl_status status = compact(p, t, &jobs[i], &local);
        if (status == DL_E_CONFLICT || status == DL_E_NOT_FOUND) { /* somebody else moved them */
            dl_pipeline_note(p, "table %s: compaction gave way: %s",
                             dl_pipeline_table_name(t->kind), local.message);
            return dl_pipeline_catch_up(p, err);
        }
        if (status != DL_OK) {
            if (err != NULL) {
                *err = local;
            }
            return dl_error_within(err, status, "compacting table %s",
                                   dl_pipeline_table_name(t->kind));
        }
    }
    return DL_OK;
}

dl_status dl_pipeline_compact(dl_pipeline *p, int64_t budget_bytes, dl_error *err)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        DL_TRY(compact_table(p, &p->tables[i], budget_bytes, err));
    }
    return DL_OK;
}

dl_status dl_pipeline_vacuum_daily(dl_pipeline *p, dl_error *err)
{
    int64_t now = dl_clock_now_us(&p->options.clock);
    int64_t last = 0;
    DL_TRY(dl_state_number_get(p->state, "vacuumed_us", &last, err));
    if (now - last < DAY_US) {
        return DL_OK;
    }
    for (size_t i = 0; last > 0 && i < DL_PIPELINE_TABLES; i++) {
        dl_delta_vacuum_options options = {.retention_hours = p->options.parameters.retention_hours,
                                           .force = p->options.allow_short_retention,
                                           .cancel = p->options.cancel};
        dl_delta_vacuum_result result = {0};
        DL_TRY(dl_delta_vacuum(p->tables[i].table, &options, &result, err));
        dl_pipeline_count(p, &p->counts.vacuumed_files, result.files);
    }
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = dl_state_number_set(p->state, "vacuumed_us", now, err);
    /* By the feed's own time: taking in an old feed must not forget what it has just removed. */
    int64_t before = p->watermark_us < now ? p->watermark_us : now;
    int64_t kept_us = p->options.parameters.retention_hours * 3600 * 1000000;
    if (status == DL_OK && before > INT64_MIN + kept_us) {
        status = dl_state_prune(p->state, before - kept_us, err);
    }
    for (size_t i = 0; status == DL_OK && last > 0 && i < DL_PIPELINE_TABLES; i++) {
        status = dl_pipeline_position(p, &p->tables[i], err);
    }
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    return status;
}
