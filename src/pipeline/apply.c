/* A folded batch into the instance table; what it touched of the others follows (settle.c). */
#include "pipeline/batch.h"

#include <inttypes.h>

dl_status dl_batch_begin(dl_pipeline *p, size_t changes, dl_error *err)
{
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = dl_state_expect(p->state, changes, err);
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    dl_pipeline_count(p, &p->counts.state_us, dl_clock_monotonic_us() - begin);
    return status;
}

dl_status dl_batch_end(dl_pipeline *p, dl_status status, dl_error *err)
{
    int64_t begin = dl_clock_monotonic_us();
    if (p->astray) {
        dl_state_rollback(p->state);
    }
    if (dl_state_writing(p->state)) {
        dl_status ended = dl_state_commit(p->state, status == DL_OK ? err : NULL);
        status = status == DL_OK ? ended : status;
    }
    dl_pipeline_count(p, &p->counts.state_us, dl_clock_monotonic_us() - begin);
    return status;
}

/** Look at what others committed, in the midst of a batch. */
static dl_status follow_others(dl_pipeline *p, dl_error *err)
{
    DL_TRY(dl_batch_end(p, DL_OK, err));
    DL_TRY(dl_pipeline_catch_up(p, err));
    return dl_batch_begin(p, SIZE_MAX, err);
}

dl_status dl_batch_again(dl_pipeline *p, dl_status status, int tries, dl_error *err)
{
    bool overtaken = status == DL_E_CONFLICT || status == DL_E_EXISTS; /* by rows; by a watermark */
    if (!overtaken || tries >= DL_PIPELINE_REPLAN_LIMIT) {
        return status;
    }
    dl_pipeline_note(p, "another writer committed: %s; planning the batch anew",
                     err == NULL ? "" : err->message);
    dl_error_clear(err);
    dl_pipeline_count(p, &p->counts.replans, 1);
    return follow_others(p, err);
}

static dl_status record_group(dl_pipeline *p, const dl_batch_plan *plan, const dl_batch_output *o,
                              int64_t file, size_t g, dl_error *err)
{
    const dl_fold_decision *d = &plan->decisions[g];
    if (d->verdict != DL_FOLD_UPSERT && d->verdict != DL_FOLD_REMOVE) {
        return DL_OK;
    }
    dl_state_key key = dl_batch_key(d->entry);
    if (d->verdict == DL_FOLD_REMOVE) {
        return dl_state_remove(p->state, &key, d->entry->timestamp_us, d->entry->sequence,
                               p->source, err);
    }
    DL_ASSERT(o != NULL); /* each row that is put has its output */
    dl_state_instance instance = {.timestamp_us = d->entry->timestamp_us,
                                  .sequence = d->entry->sequence,
                                  .source = p->source,
                                  .created_us = d->created_us,
                                  .place = {file, plan->rows[g]}};
    return dl_state_put(p->state, &key, &instance, &o->shown[g - o->first], err);
}

static dl_status record_rows(dl_pipeline *p, const dl_batch_plan *plan, dl_error *err)
{
    size_t next = 0;
    int64_t file = 0;
    for (size_t g = 0; g < plan->fold->group_count; g++) {
        while (next < plan->output_count && g >= plan->outputs[next].end) {
            next++;
            file = 0;
        }
        const dl_batch_output *o = next < plan->output_count && g >= plan->outputs[next].first
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

static dl_status record(dl_pipeline *p, const dl_batch_plan *plan, dl_batch_commit *c,
                        bool committed, dl_error *err)
{
    int64_t begin = dl_clock_monotonic_us();
    dl_status status = record_rows(p, plan, err);
    status = status == DL_OK ? dl_ahead_record(p, &plan->ahead, err) : status;
    if (status == DL_OK && committed) {
        status = dl_batch_record_files(p, &p->tables[DL_STATE_INSTANCE], c, err);
    }
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    dl_pipeline_count(p, &p->counts.state_us, dl_clock_monotonic_us() - begin);
    return status;
}

static dl_status commit_instances(dl_pipeline *p, dl_batch_plan *plan, dl_error *err)
{
    dl_pipeline_table *t = &p->tables[DL_STATE_INSTANCE];
    DL_CLEANUP(dl_batch_commit_clear)
    dl_batch_commit c = {.arena = dl_arena_create(DL_BATCH_ARENA_BYTES),
                         .sequence = plan->fold->max_sequence,
                         .time_us = plan->fold->max_time_us,
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
    DL_TRY(dl_batch_kills(p, t, &c, plan, err));
    if (plan->output_count == 0 && c.kill_count == 0) {
        return record(p, plan, &c, true, err); /* what was to die is gone with its file */
    }
    c.writers = dl_arena_alloc(c.arena, plan->output_count + 1, sizeof(dl_delta_writer *));
    if (c.writers == NULL) {
        return dl_arena_full(c.arena, err);
    }
    for (size_t i = 0; i < plan->output_count; i++) {
        c.writers[c.writer_count++] = plan->outputs[i].writer;
    }
    DL_TRY(dl_batch_commit_table(p, t, &c, err));
    return record(p, plan, &c, true, err);
}

static void count_plan(dl_pipeline *p, const dl_batch_plan *plan)
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

/* A change that was read before another sync committed may be one that it has undone: of a row that
 * it took away the log keeps no sequence to compare with. Read once more, the feed says so itself
 * (the state of its older entries). Where sequences grow with time the watermark tells. */
static dl_status check_rival(const dl_pipeline *p, const dl_fold *fold, dl_error *err)
{
    if (p->ordered || !p->tables[DL_STATE_INSTANCE].rival || fold->group_count == 0) {
        return DL_OK;
    }
    dl_error_set(err, DL_E_CONFLICT, "another sync works on the same tables");
    dl_error_hint(err, "nothing is lost: let one of them go on alone, or run this one again");
    return DL_E_CONFLICT;
}

static dl_status apply_once(dl_pipeline *p, dl_fold *fold, dl_error *err)
{
    DL_CLEANUP(dl_batch_plan_clear) dl_batch_plan plan = {0};
    if (p->tables[DL_STATE_INSTANCE].foreign || p->tables[DL_STATE_SERIES].foreign ||
        p->tables[DL_STATE_STUDY].foreign) {
        DL_TRY(follow_others(p, err));
    }
    DL_TRY(check_rival(p, fold, err));
    DL_TRY(dl_batch_plan_init(&plan, fold, err));
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_batch_decide(p, &plan, err));
    DL_TRY(dl_batch_cut(p, &plan, &p->tables[DL_STATE_INSTANCE], err));
    dl_pipeline_count(p, &p->counts.fold_us, dl_clock_monotonic_us() - begin);
    begin = dl_clock_monotonic_us();
    DL_TRY(dl_batch_write(&plan, err));
    dl_pipeline_count(p, &p->counts.write_us, dl_clock_monotonic_us() - begin);
    DL_TRY(commit_instances(p, &plan, err));
    count_plan(p, &plan);
    return DL_OK;
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

static dl_status apply_part(dl_pipeline *p, dl_fold *part, dl_error *err)
{
    dl_status status = apply_once(p, part, err);
    for (int tries = 0; status != DL_OK; tries++) {
        DL_TRY(dl_batch_again(p, status, tries, err));
        DL_TRY(check_rival(p, part, err));
        status = apply_once(p, part, err);
    }
    return DL_OK;
}

static dl_status see_extra(void *context, dl_state_place place, dl_error *err)
{
    (void)place;
    (void)err;
    *(bool *)context = true;
    return DL_OK;
}

static dl_status heal(dl_pipeline *p, dl_error *err)
{
    bool extras = false;
    DL_TRY(dl_state_extras(p->state, DL_STATE_INSTANCE, see_extra, &extras, err));
    if (extras) {
        dl_fold nothing = {.max_sequence = p->watermark, .max_time_us = p->watermark_us};
        DL_TRY(apply_part(p, &nothing, err));
    }
    return dl_batch_settle(p, p->watermark, p->watermark_us, err);
}

dl_status dl_pipeline_heal(dl_pipeline *p, dl_error *err)
{
    dl_error local;
    err = err == NULL ? &local : err;
    DL_TRY(dl_batch_begin(p, 0, err));
    return dl_batch_end(p, heal(p, err), err);
}

static dl_status apply(dl_pipeline *p, dl_fold *fold, dl_error *err)
{
    for (size_t first = 0; first < fold->group_count;) {
        dl_fold part = part_of(fold, first);
        first += part.group_count;
        if (first < fold->group_count) { /* the watermark is true with the last of them only */
            part.max_sequence = p->watermark;
            part.max_time_us = p->watermark_us;
        }
        DL_TRY(apply_part(p, &part, err));
    }
    return dl_batch_settle(p, fold->max_sequence, fold->max_time_us, err);
}

dl_status dl_pipeline_apply(dl_pipeline *p, dl_fold *fold, dl_error *err)
{
    dl_error local;
    err = err == NULL ? &local : err;
    DL_TRY(dl_batch_begin(p, fold->group_count, err));
    return dl_batch_end(p, apply(p, fold, err), err);
}
