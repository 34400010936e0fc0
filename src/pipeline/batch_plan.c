/* A folded batch to decisions, and those to rows of new files. */
#include "pipeline/batch.h"

#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>

#define ROW_ARENA_BYTES ((size_t)512 << 20)
enum {
    ROW_ARENA_KEEP_BYTES = 1024 * 1024, /* a row's arena is used on up to here */
    SPLIT_ROWS = 4096,                  /* a partition with more rows is written by two threads */
    OUTPUT_LIMIT = 2 * DL_PIPELINE_PARTITION_LIMIT,
};

void dl_batch_plan_clear(dl_batch_plan *plan)
{
    for (size_t i = 0; i < plan->output_count; i++) {
        dl_delta_writer_destroy(plan->outputs[i].writer);
        dl_arena_destroy(plan->outputs[i].keep);
    }
    dl_mem_free(plan->deaths);
    dl_arena_destroy(plan->arena);
    *plan = (dl_batch_plan){0};
}

dl_status dl_batch_plan_init(dl_batch_plan *plan, const dl_fold *fold, dl_error *err)
{
    size_t count = fold == NULL ? 0 : fold->group_count;
    *plan = (dl_batch_plan){.fold = fold, .arena = dl_arena_create(DL_BATCH_ARENA_BYTES)};
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

dl_status dl_batch_add_death(dl_batch_plan *plan, dl_state_place place, dl_error *err)
{
    if (plan->death_count == plan->death_room) {
        size_t room = plan->death_room == 0 ? 256 : plan->death_room * 2;
        dl_batch_death *grown = dl_mem_resize(plan->deaths, room, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for %zu replaced rows", room);
        }
        plan->deaths = grown;
        plan->death_room = room;
    }
    plan->deaths[plan->death_count++] = (dl_batch_death){place.file, place.row};
    return DL_OK;
}

dl_status dl_batch_add_extra(void *context, dl_state_place place, dl_error *err)
{
    return dl_batch_add_death(context, place, err);
}

dl_state_key dl_batch_key(const dl_feed_entry *e)
{
    return (dl_state_key){e->partition_name, e->study_uid, e->series_uid, e->sop_uid};
}

/* ---- deciding ---- */

dl_status dl_batch_decide(dl_pipeline *p, dl_batch_plan *plan, dl_error *err)
{
    /* Where sequences grow with time everything up to the watermark is in the tables, as a row or
     * as none; else everything before its time, which is only of use where the run goes on from it:
     * an old window is run again for what came late. That of the instance table as it is now, since
     * another run may be ahead of us. */
    int64_t settled = 0;
    int64_t time_us = 0;
    DL_TRY(dl_pipeline_table_watermark(p, &p->tables[DL_STATE_INSTANCE], &settled, &time_us, err));
    plan->rules =
        (dl_fold_rules){.source = p->source,
                        .settled = p->ordered ? settled : 0,
                        .settled_us = p->onward && !p->ordered && time_us > 0 ? time_us : 0,
                        .require_file_path = p->options.require_file_path};
    plan->ahead.rules = &plan->rules;
    for (size_t g = 0; g < plan->fold->group_count; g++) {
        const dl_fold_group *group = &plan->fold->groups[g];
        dl_state_key key = dl_batch_key(group->entries[0]);
        dl_state_instance *known = &plan->known[g];
        DL_TRY(dl_state_get(p->state, &key, known, err));
        dl_fold_decision *d = &plan->decisions[g];
        *d = dl_fold_decide(group, known, &plan->rules);
        DL_TRY(dl_ahead_decide(p, group, known, &plan->ahead, d, err));
        bool has_row = known->known && !known->removed;
        if (has_row && known->place.file == 0) {
            p->astray = true;
            return dl_error_set(err, DL_E_CONFLICT, "the state index has lost a row");
        }
        plan->skipped += d->verdict == DL_FOLD_NOTHING;
        plan->stale += d->verdict == DL_FOLD_STALE;
        if (d->verdict == DL_FOLD_UPSERT) {
            plan->upserts++;
            plan->inserts += !has_row;
            plan->updates += has_row;
        }
        plan->removes += d->verdict == DL_FOLD_REMOVE && has_row;
        if (has_row && (d->verdict == DL_FOLD_UPSERT || d->verdict == DL_FOLD_REMOVE)) {
            DL_TRY(dl_batch_add_death(plan, known->place, err));
        }
    }
    return dl_state_extras(p->state, DL_STATE_INSTANCE, dl_batch_add_extra, plan, err);
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

static dl_status write_row(dl_batch_output *o, size_t g, dl_arena **arena, dl_error *err)
{
    const dl_fold_decision *d = &o->plan->decisions[g];
    if (dl_arena_used(*arena) > ROW_ARENA_KEEP_BYTES) {
        dl_arena_destroy(*arena);
        *arena = dl_arena_create(ROW_ARENA_BYTES);
        if (*arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a row");
        }
    }
    dl_project_change change = {.entry = d->entry, .created_us = d->created_us};
    if (d->entry->metadata.ptr != NULL) {
        dl_status status = dl_feed_attributes(d->entry->metadata, *arena, &change.attributes,
                                              &change.attribute_count, &change.compact, err);
        if (status != DL_OK) {
            status = status == DL_E_INVALID ? DL_E_CORRUPT : status; /* the source's fault */
            err->status = status;
            dl_error_hint(err, "mend or delete that instance in the source, then run again");
            return dl_error_within(err, status, "reading the metadata of change %" PRId64,
                                   d->entry->sequence);
        }
    }
    dl_state_shown shown = {0};
    DL_TRY(dl_project_shown(change.attributes, change.attribute_count, *arena, &shown, err));
    DL_TRY(keep_shown(&shown, o->keep, &o->shown[g - o->first], err));
    return dl_project_put_instance(o->table->binding, dl_delta_writer_columns(o->writer), &change,
                                   *arena, err);
}

static dl_status write_rows(dl_batch_output *o, dl_error *err)
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
    dl_batch_output *o = context;
    o->status = write_rows(o, &o->err);
    return NULL;
}

static dl_status add_output(dl_pipeline *p, dl_batch_plan *plan, const dl_pipeline_table *t,
                            size_t first, size_t end, dl_error *err)
{
    dl_batch_output *o = &plan->outputs[plan->output_count];
    *o = (dl_batch_output){.pipeline = p, .table = t, .plan = plan, .first = first, .end = end};
    plan->output_count++;
    o->keep = dl_arena_create(DL_BATCH_ARENA_BYTES);
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

dl_status dl_batch_cut(dl_pipeline *p, dl_batch_plan *plan, const dl_pipeline_table *t,
                       dl_error *err)
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

dl_status dl_batch_write(dl_batch_plan *plan, dl_error *err)
{
    for (size_t i = 0; i < plan->output_count; i += DL_PIPELINE_WRITER_THREADS) {
        dl_batch_output *pair = &plan->outputs[i];
        bool two = i + 1 < plan->output_count;
        if (two) {
            pair[1].threaded = pthread_create(&pair[1].thread, NULL, write_thread, &pair[1]) == 0;
        }
        (void)write_thread(&pair[0]);
        if (two && pair[1].threaded) {
            (void)pthread_join(pair[1].thread, NULL);
        } else if (two) {
            (void)write_thread(&pair[1]);
        }
        for (size_t k = 0; k < (two ? 2 : 1); k++) {
            if (pair[k].status != DL_OK) {
                *err = pair[k].err;
                return pair[k].status;
            }
        }
    }
    return DL_OK;
}
