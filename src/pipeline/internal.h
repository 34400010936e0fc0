/**
 * What the files of pipeline/ share.
 *
 *     pipeline.c    the lake: opening, lock, tables made or opened, counts
 *     parameters.c  the template's parameters
 *     project*.c    what rows look like (project.h)
 *     state*.c      where rows are (state.h)
 *     fold.c        a batch of changes to one decision per key (pure)
 *     ahead.c       when an instance came into being, where windows were run out of order
 *     apply.c       decisions to rows and a commit of the instance table; batch*.c (batch.h)
 *     settle.c      rows and commits of the series and study tables
 *     catchup.c     the state index after commits that it does not know
 *     sync.c        windows, cursor, watermark, follow
 *     maintain.c    compaction, vacuum
 *     verify.c      tables = fold(feed)
 */
#ifndef DL_PIPELINE_INTERNAL_H
#define DL_PIPELINE_INTERNAL_H

#include "pipeline/pipeline.h"
#include "pipeline/project.h"
#include "pipeline/state.h"

#include <pthread.h>

enum {
    DL_PIPELINE_DIRTY_LIMIT = 100000, /* series or study rows in one commit */
    DL_PIPELINE_REPLAN_LIMIT = 20,    /* a foreign writer that commits faster than we do */
    DL_PIPELINE_WRITER_THREADS = 2,
    DL_PIPELINE_PARTITION_LIMIT = 128, /* partitions in one commit: each holds a file open */
};

/** One of the three tables. */
typedef struct dl_pipeline_table {
    dl_state_kind kind;
    dl_str root;           /* "{container}/{path}" */
    dl_delta_table *table; /* NULL: not there */
    dl_project_binding *binding;
    bool foreign; /* a commit that is not ours was applied since the state was last right */
    bool rival;   /* one of another sync was, since the changes under way were read */
} dl_pipeline_table;

/** What tells a file from another one that was put in its place. */
typedef struct dl_pipeline_trace {
    uint64_t inode; /* 0: not known */
    int64_t born_ns;
} dl_pipeline_trace;

struct dl_pipeline {
    dl_pipeline_options options;
    dl_arena *arena;
    dl_columnar_engine *engine;
    dl_state *state;
    dl_project *project;
    int lock_fd;
    dl_pipeline_table tables[DL_PIPELINE_TABLES];
    /* The source of the sync under way. */
    dl_str source_id;
    int64_t source;       /* its number in the state */
    int64_t watermark;    /* sequence: everything up to it is in all tables; 0: nothing */
    int64_t watermark_us; /* everything before that time is; INT64_MIN: nothing */
    bool ordered;         /* the feed's sequences grow with its times (dl_feed_info.open_windows) */
    bool has_ahead;       /* windows ahead of the watermark are in the tables */
    bool astray;          /* the state contradicts itself: catching up makes it anew */
    bool under_way;       /* the watermark was read: changes are being applied */
    bool onward;          /* they begin at the watermark: none is older than it was */
    /* The last window was run ahead of the watermark, that stood at `ahead_after` and may stand
     * there still: then the window that follows it is ahead, too. INT64_MIN: it was not. */
    int64_t ahead_end_us, ahead_after;
    dl_pipeline_trace traces[DL_PIPELINE_TABLES], state_trace; /* while resting */
    char window_app[16 + 2 * DL_CLOCK_TEXT_SIZE]; /* of a window out of order: suffix of its
                                                     application's name; else empty */
    pthread_mutex_t lock;                         /* guards `counts` */
    dl_pipeline_counts counts;
};

/* ---- pipeline.c ---- */

/** Open the tables that are there; with `create` make those that are not. */
DL_NODISCARD dl_status dl_pipeline_tables_open(dl_pipeline *p, bool create, dl_error *err);
void dl_pipeline_tables_close(dl_pipeline *p);
/** Bind anew: after the metadata of a table changed. */
DL_NODISCARD dl_status dl_pipeline_bind(dl_pipeline *p, dl_pipeline_table *t, dl_error *err);
/** The state speaks of the table's version, unless somebody else's commit is among those that led
 * there. */
DL_NODISCARD dl_status dl_pipeline_position(dl_pipeline *p, const dl_pipeline_table *t,
                                            dl_error *err);
void dl_pipeline_note(const dl_pipeline *p, const char *format, ...) DL_PRINTF(2, 3);
/** Add to one of the times in the counts. */
void dl_pipeline_count(dl_pipeline *p, int64_t *counter, int64_t amount);
/** "dicomlake:<source>:<table><suffix>" */
DL_NODISCARD dl_status dl_pipeline_app(const dl_pipeline *p, dl_state_kind kind, const char *suffix,
                                       dl_arena *arena, dl_str *out_app, dl_error *err);
/** Of one table: how far it is by its own log. */
DL_NODISCARD dl_status dl_pipeline_table_watermark(dl_pipeline *p, const dl_pipeline_table *t,
                                                   int64_t *out_sequence, int64_t *out_time_us,
                                                   dl_error *err);

/* ---- fold.c ---- */

typedef struct dl_fold_change {
    const dl_feed_entry *entry;
} dl_fold_change;

/** All changes of one key in a batch, by sequence. */
typedef struct dl_fold_group {
    const dl_feed_entry *const *entries;
    size_t count;
} dl_fold_group;

typedef struct dl_fold {
    dl_arena *arena;
    dl_feed_page **pages; /* owned */
    size_t page_count, page_room;
    size_t entry_count, text_bytes;
    int64_t max_sequence, max_time_us;
    /* after dl_fold_sort */
    const dl_feed_entry **sorted;
    dl_fold_group *groups; /* by partition, study, series, instance */
    size_t group_count;
} dl_fold;

void dl_fold_clear(dl_fold *fold);
/** The fold owns the page then. */
DL_NODISCARD dl_status dl_fold_add(dl_fold *fold, dl_feed_page *take_page, dl_error *err);
DL_NODISCARD dl_status dl_fold_sort(dl_fold *fold, dl_error *err);

typedef enum dl_fold_verdict {
    DL_FOLD_NOTHING, /* only changes that do not count (Create, Update in state Deleted) */
    DL_FOLD_STALE,   /* nothing newer than what the table has */
    DL_FOLD_UPSERT,
    DL_FOLD_REMOVE,
} dl_fold_verdict;

typedef struct dl_fold_decision {
    dl_fold_verdict verdict;
    const dl_feed_entry *entry; /* that decides */
    int64_t created_us;
} dl_fold_decision;

typedef struct dl_fold_rules {
    int64_t source;     /* number of the feed: sequences of one feed compare */
    int64_t settled;    /* no change up to this sequence is new to the tables; 0: not known */
    int64_t settled_us; /* nor one before this time; 0: not known */
    bool require_file_path;
} dl_fold_rules;

/** Pure: template.md 3.1 to 3.3 and 3.6 for one key. */
dl_fold_decision dl_fold_decide(const dl_fold_group *group, const dl_state_instance *known,
                                const dl_fold_rules *rules);

/** Whether a change has any effect (a Create or Update of an instance that was deleted since has
 * none). */
bool dl_fold_counts(const dl_feed_entry *entry, const dl_fold_rules *rules);

/* ---- ahead.c ---- */

typedef struct dl_ahead_change {
    const dl_feed_entry *key; /* any entry of the key */
    dl_state_change change;
} dl_ahead_change;

typedef struct dl_ahead_list {
    dl_arena *arena;            /* borrowed */
    const dl_fold_rules *rules; /* borrowed */
    dl_ahead_change *items;
    size_t count, room;
} dl_ahead_list;

/** Correct a decision's created_us where windows went ahead of the watermark; what must be
 * remembered for it is appended to `list`, to be recorded with the rows. */
DL_NODISCARD dl_status dl_ahead_decide(dl_pipeline *p, const dl_fold_group *group,
                                       const dl_state_instance *known, dl_ahead_list *list,
                                       dl_fold_decision *decision, dl_error *err);
DL_NODISCARD dl_status dl_ahead_record(dl_pipeline *p, const dl_ahead_list *list, dl_error *err);

/* ---- apply.c ---- */

/** Fold a sorted batch into the three tables. */
DL_NODISCARD dl_status dl_pipeline_apply(dl_pipeline *p, dl_fold *fold, dl_error *err);
/** What is wrong without any change: rows that stand twice, series and studies that a crash left
 * behind. */
DL_NODISCARD dl_status dl_pipeline_heal(dl_pipeline *p, dl_error *err);
/** Bring all three tables to the watermark, where they are not (batch_commit.c). */
DL_NODISCARD dl_status dl_pipeline_mark(dl_pipeline *p, int64_t sequence, int64_t time_us,
                                        dl_error *err);

/* ---- catchup.c ---- */

/** Make the state speak of the tables' current versions. */
DL_NODISCARD dl_status dl_pipeline_catch_up(dl_pipeline *p, dl_error *err);

/* ---- maintain.c ---- */

/** Compact what is worth it. `budget_bytes` 0: no bound. */
DL_NODISCARD dl_status dl_pipeline_compact(dl_pipeline *p, int64_t budget_bytes, dl_error *err);
/** Vacuum, at most once a day. */
DL_NODISCARD dl_status dl_pipeline_vacuum_daily(dl_pipeline *p, dl_error *err);

#endif
