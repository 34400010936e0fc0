/* Rows of the series and study tables: of everything that is dirty, from the state index alone. */
#include "pipeline/batch.h"

#include "base/mem.h"

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
    dl_batch_plan plan; /* deaths, arena */
    dl_batch_commit commit;
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
    dl_batch_commit_clear(&s->commit);
    dl_batch_plan_clear(&s->plan);
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
    if (s->rows == NULL) { /* not before there is one: most runs are quiet */
        s->rows = dl_arena_alloc(s->plan.arena, DL_PIPELINE_DIRTY_LIMIT, sizeof *s->rows);
        if (s->rows == NULL) {
            return dl_arena_full(s->plan.arena, err);
        }
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
    return has_row ? dl_batch_add_death(&s->plan, row->place, err) : DL_OK;
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
    dl_status status = record_settled(p, s, err);
    if (status == DL_OK && committed) {
        status = dl_batch_record_files(p, s->table, &s->commit, err);
    }
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    dl_pipeline_count(p, &p->counts.state_us, dl_clock_monotonic_us() - begin);
    return status;
}

static dl_status settle_plan(dl_pipeline *p, settling *s, dl_error *err)
{
    DL_TRY(dl_batch_plan_init(&s->plan, NULL, err));
    s->commit.arena = dl_arena_create(DL_BATCH_ARENA_BYTES);
    if (s->commit.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch");
    }
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_state_dirty(p->state, s->table->kind, DL_PIPELINE_DIRTY_LIMIT, settle_row, s, err));
    DL_TRY(dl_state_extras(p->state, s->table->kind, dl_batch_add_extra, &s->plan, err));
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
    /* The watermark is true with the last of them only. */
    s->commit.sequence = *out_more ? p->watermark : sequence;
    s->commit.time_us = *out_more ? p->watermark_us : time_us;
    if (status == DL_OK && commits) {
        s->commit.source_rows = (int64_t)s->row_count;
        status = dl_batch_kills(p, t, &s->commit, &s->plan, err);
        s->commit.writers = s->writers;
        s->commit.writer_count = s->writer_count;
        if (status == DL_OK) {
            status = dl_batch_commit_table(p, t, &s->commit, err);
        }
    }
    if (status == DL_OK && (commits || s->row_count > 0)) {
        status = record_settling(p, s, commits, err);
    }
    settling_clear(s);
    dl_mem_free(s);
    return status;
}

dl_status dl_batch_settle(dl_pipeline *p, int64_t sequence, int64_t time_us, dl_error *err)
{
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        bool more = true;
        for (int tries = 0; more;) {
            dl_status status = settle_once(p, &p->tables[kind], sequence, time_us, &more, err);
            if (status != DL_OK) {
                DL_TRY(dl_batch_again(p, status, tries++, err));
                more = true;
            }
        }
    }
    return DL_OK;
}
