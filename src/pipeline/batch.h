/**
 * What a batch goes through on its way into a table, shared by apply.c (instances) and settle.c
 * (series and studies):
 *
 *     batch_plan.c    decisions and the rows that die; rows written to new files
 *     batch_commit.c  new files and dead rows to one commit; the state index hears of it
 */
#ifndef DL_PIPELINE_BATCH_H
#define DL_PIPELINE_BATCH_H

#include "pipeline/internal.h"

#define DL_BATCH_ARENA_BYTES ((size_t)256 << 20)

/* ---- batch_plan.c ---- */

/** Where a row dies. */
typedef struct dl_batch_death {
    int64_t file, row;
} dl_batch_death;

/** One new data file: the rows of groups first <= g < end. */
typedef struct dl_batch_output {
    dl_pipeline *pipeline;
    const dl_pipeline_table *table;
    const struct dl_batch_plan *plan;
    dl_delta_writer *writer;
    size_t first, end;
    dl_arena *keep;        /* what the state needs of the rows */
    dl_state_shown *shown; /* one a group of the range; in keep */
    dl_status status;
    dl_error err;
    pthread_t thread;
    bool threaded;
} dl_batch_output;

typedef struct dl_batch_plan {
    dl_arena *arena;
    const dl_fold *fold;
    dl_fold_rules rules;
    dl_fold_decision *decisions; /* one a group */
    dl_state_instance *known;
    int64_t *rows; /* an upsert's row in its output */
    dl_batch_output *outputs;
    size_t output_count;
    dl_batch_death *deaths;
    size_t death_count, death_room;
    dl_ahead_list ahead;
    int64_t upserts, inserts, updates, removes, skipped, stale;
} dl_batch_plan;

/** `fold` NULL: deaths only. */
DL_NODISCARD dl_status dl_batch_plan_init(dl_batch_plan *plan, const dl_fold *fold, dl_error *err);
void dl_batch_plan_clear(dl_batch_plan *plan);
DL_NODISCARD dl_status dl_batch_add_death(dl_batch_plan *plan, dl_state_place place, dl_error *err);
/** The same as a visitor of dl_state_extras; `context`: the plan. */
DL_NODISCARD dl_status dl_batch_add_extra(void *context, dl_state_place place, dl_error *err);
dl_state_key dl_batch_key(const dl_feed_entry *entry);

/** What becomes of each group of the fold. */
DL_NODISCARD dl_status dl_batch_decide(dl_pipeline *p, dl_batch_plan *plan, dl_error *err);
/** Cut the groups into files: one a partition, two where it is large. */
DL_NODISCARD dl_status dl_batch_cut(dl_pipeline *p, dl_batch_plan *plan, const dl_pipeline_table *t,
                                    dl_error *err);
/** Write them, two at a time: this thread and one more. */
DL_NODISCARD dl_status dl_batch_write(dl_batch_plan *plan, dl_error *err);

/* ---- batch_commit.c ---- */

/** What a commit to one table consists of, whichever table. */
typedef struct dl_batch_commit {
    dl_arena *arena;
    int64_t sequence, time_us; /* the watermark to record */
    dl_delta_writer **writers;
    size_t writer_count;
    dl_delta_kill *kills;
    int64_t *kill_files;
    size_t kill_count;
    dl_delta_bitmap **bitmaps;
    dl_str *removes;
    size_t remove_count;
    dl_delta_rewrite *rewrite; /* copy-on-write */
    int64_t source_rows, inserted, updated, deleted;
} dl_batch_commit;

void dl_batch_commit_clear(dl_batch_commit *c);
/** The plan's deaths by file. */
DL_NODISCARD dl_status dl_batch_kills(dl_pipeline *p, const dl_pipeline_table *t,
                                      dl_batch_commit *c, dl_batch_plan *plan, dl_error *err);
DL_NODISCARD dl_status dl_batch_commit_table(dl_pipeline *p, dl_pipeline_table *t,
                                             dl_batch_commit *c, dl_error *err);
/** What the commit did to the files, for the state index; within its transaction. */
DL_NODISCARD dl_status dl_batch_record_files(dl_pipeline *p, const dl_pipeline_table *t,
                                             dl_batch_commit *c, dl_error *err);

/* ---- apply.c ---- */

/** A batch is one transaction of the state, from its look-ups to the last of the three tables. */
DL_NODISCARD dl_status dl_batch_begin(dl_pipeline *p, size_t changes, dl_error *err);
/** `status` of the batch goes first. What the tables have is kept, also when something failed after
 * it; who fails to write to the state has rolled it back. */
DL_NODISCARD dl_status dl_batch_end(dl_pipeline *p, dl_status status, dl_error *err);
/** After a failure: when somebody else committed, look at what they did, and DL_OK: plan anew. */
DL_NODISCARD dl_status dl_batch_again(dl_pipeline *p, dl_status status, int tries, dl_error *err);

/* ---- settle.c ---- */

/** Series and study rows of everything that is dirty. `sequence`, `time_us`: the watermark to
 * record. */
DL_NODISCARD dl_status dl_batch_settle(dl_pipeline *p, int64_t sequence, int64_t time_us,
                                       dl_error *err);

#endif
