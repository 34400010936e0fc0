/**
 * What the files of the state index share: the open state, its caches, the packed form of UIDs.
 *
 * Writes to series and study rows are kept back in `entities` and go to the database together
 * (dl_state_flush), since a batch touches a series many times. Everything that reads or writes
 * those rows flushes first. All caches are bounded, and empty after a rollback.
 *
 * A UID is kept packed: half a byte for each of its digits and dots, in an order that compares like
 * the text itself; any other byte is escaped, so that every text can be kept.
 */
#ifndef DL_PIPELINE_STATE_INTERNAL_H
#define DL_PIPELINE_STATE_INTERNAL_H

#include "db/db.h"
#include "pipeline/state.h"

enum {
    DL_STATE_PACKED_SIZE = (3 * DL_STATE_KEY_LIMIT_BYTES + 1) / 2,
    DL_STATE_ENTITY_LIMIT = 4096,    /* studies and series kept in memory */
    DL_STATE_ENTITY_SLOTS = 16384,   /* of their hash table; a power of two */
    DL_STATE_DELTA_LIMIT = 512,      /* counts of references kept back */
    DL_STATE_DELTA_SLOTS = 1024,     /* a power of two */
    DL_STATE_SHOWN_SLOTS = 256,      /* interned values kept in memory; a power of two */
    DL_STATE_SHOWN_KEPT_BYTES = 256, /* of one; longer ones are asked for each time */
    DL_STATE_FORWARD_SLOTS = 1024,   /* files whose forwarding is kept; a power of two */
    DL_STATE_FORWARD_KEPT_BYTES = 16 * 1024 * 1024,
    DL_STATE_FORWARD_STEP_LIMIT = 100000, /* a chain that is longer is a circle */
    DL_STATE_CACHE_KIB = 32 * 1024,       /* pages of the database in memory */
};

/** A packed UID in somebody's buffer. */
typedef struct dl_state_packed {
    uint8_t bytes[DL_STATE_PACKED_SIZE];
    size_t len;
} dl_state_packed;

/** `what` names the text in the error. Errors: DL_E_INVALID (empty), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_state_pack(dl_str text, const char *what, dl_state_packed *out_packed,
                                     dl_error *err);
/** The text into `out` (DL_STATE_KEY_LIMIT_BYTES). Errors: DL_E_CORRUPT. */
DL_NODISCARD dl_status dl_state_unpack(dl_bytes packed, char *out, dl_str *out_text, dl_error *err);

/** A study or series in memory. */
typedef struct dl_state_entity {
    struct dl_state_entity *study; /* of a series; NULL for a study */
    struct dl_state_entity *next_touched;
    int64_t id;
    int64_t parent; /* partition of a study, study of a series */
    int64_t partition;
    uint64_t hash;
    int64_t instance_count;  /* series: now; study: not used */
    int64_t tombstone_count; /* series */
    int64_t count_before;    /* series: instance_count as the database has it */
    /* Series: the instance that shows. No live instance is later than last_us. */
    int64_t last_us, last_shown;
    bool last_known;                      /* else it has to be looked for */
    int64_t series_delta, instance_delta; /* study: what the database does not know yet */
    bool touched, dirty;
    size_t key_len;
    uint8_t key[]; /* packed UID */
} dl_state_entity;

/** Changes of a count by id, kept back. */
typedef struct dl_state_deltas {
    struct {
        int64_t id; /* 0: free */
        int64_t delta;
    } slots[DL_STATE_DELTA_SLOTS];
    size_t used;
} dl_state_deltas;

typedef struct dl_state_shown_slot {
    int64_t id; /* 0: free */
    uint64_t hash;
    size_t len;
    uint8_t bytes[DL_STATE_SHOWN_KEPT_BYTES];
} dl_state_shown_slot;

typedef struct dl_state_segment {
    int64_t first_row, end_row, to_file, base;
    dl_delta_bitmap *dead; /* NULL: none */
} dl_state_segment;

typedef struct dl_state_forwards {
    int64_t file;               /* 0: free */
    dl_state_segment *segments; /* ascending */
    size_t count;
    size_t bytes;
} dl_state_forwards;

struct dl_state {
    dl_db *db; /* NULL after a clear that failed */
    char *path;
    bool writing;
    bool apart;                            /* this transaction writes to the recent rows */
    int64_t recent_changes, recent_before; /* that are in recent rows; 0: those are empty */
    int64_t others; /* SQLite's data_version: changes when another connection commits */

    dl_state_entity **entities; /* DL_STATE_ENTITY_SLOTS */
    size_t entity_count;
    dl_state_entity *touched_series, *touched_studies;
    /* The last key, as it came: most keys of a batch follow their like. */
    dl_state_entity *last_series;
    dl_buf last_key; /* partition name, study UID, series UID */
    size_t last_lens[3];
    int64_t last_partition;
    dl_buf last_partition_name;

    dl_state_deltas *file_deltas;
    dl_state_shown_slot *shown_slots;
    dl_buf shown_blob; /* the one being put */
    dl_state_forwards *forwards;
    size_t forward_bytes;
    dl_buf key_blob;

    int64_t last_file; /* of dl_state_file */
    dl_state_kind last_file_kind;
    dl_buf last_file_path;
};

/** dl_db_query on the state's database. */
DL_NODISCARD dl_status dl_state_query(dl_state *state, const char *sql, dl_db_stmt **out_stmt,
                                      dl_error *err);
/** Finish `stmt`; `status` of what was done with its rows goes first. */
DL_NODISCARD dl_status dl_state_end(dl_db_stmt *stmt, dl_status status, dl_error *err);

/* entities */
/** The series of a key (the study where series_uid.ptr is NULL); made when missing and `make`, else
 * NULL in `out_entity`. */
DL_NODISCARD dl_status dl_state_entity_of(dl_state *state, const dl_state_key *key, bool make,
                                          dl_state_entity **out_entity, dl_error *err);
/** To be flushed; `dirty`: its row changes. */
void dl_state_touch(dl_state *state, dl_state_entity *entity, bool dirty);
/** Studies and series; a failure rolls back. */
DL_NODISCARD dl_status dl_state_entities_flush(dl_state *state, dl_error *err);
/** And the counts of references. */
DL_NODISCARD dl_status dl_state_flush(dl_state *state, dl_error *err);
void dl_state_entities_clear(dl_state *state);
/** Let go of a series (study) that has nothing left. */
DL_NODISCARD dl_status dl_state_forget_series(dl_state *state, int64_t id, dl_error *err);
DL_NODISCARD dl_status dl_state_forget_study(dl_state *state, int64_t id, dl_error *err);

/* recent rows: each stands for the one with its key in the large table. While there are some no row
 * of the large tables is dirty. */
DL_NODISCARD dl_status dl_state_recent_load(dl_state *state, dl_error *err);
/** Keep their count; before a commit. */
DL_NODISCARD dl_status dl_state_recent_count(dl_state *state, dl_error *err);
/** They go to the large tables; so does what follows. */
DL_NODISCARD dl_status dl_state_merge(dl_state *state, dl_error *err);
/** Before a row is written: to `apart`, else nothing is recent any more. */
DL_NODISCARD dl_status dl_state_target(dl_state *state, dl_error *err);
/** The same for the row of a series (study) that is there; it is in the recent ones when `apart`.
 */
DL_NODISCARD dl_status dl_state_lift(dl_state *state, dl_state_kind kind, int64_t id,
                                     dl_error *err);
/** For what looks at everything: nothing is recent, in a transaction of its own where none is. */
DL_NODISCARD dl_status dl_state_whole(dl_state *state, dl_error *err);

/* references */
DL_NODISCARD dl_status dl_state_file_count(dl_state *state, int64_t file, int64_t delta,
                                           dl_error *err);
DL_NODISCARD dl_status dl_state_deltas_flush(dl_state *state, dl_error *err);
DL_NODISCARD dl_status dl_state_prune_files(dl_state *state, dl_error *err);

/* shown values */
/** Values like those of a put shortly before are kept once with them: keys come sorted, and most of
 * a series' instances show the same. No index finds older ones: it would be written at random. */
DL_NODISCARD dl_status dl_state_shown_intern(dl_state *state, const dl_state_shown *shown,
                                             int64_t *out_id, dl_error *err);
/** Values that no instance has go. */
DL_NODISCARD dl_status dl_state_shown_sweep(dl_state *state, dl_error *err);
/** Borrows from `blob`. Errors: DL_E_CORRUPT. */
DL_NODISCARD dl_status dl_state_shown_of(dl_bytes blob, dl_state_shown *out_shown, dl_error *err);

void dl_state_forwards_clear(dl_state *state);
/** Take an extra row off the list; `out_found` says whether it stood there. */
DL_NODISCARD dl_status dl_state_extra_remove(dl_state *state, dl_state_kind kind,
                                             dl_state_place place, bool *out_found, dl_error *err);

#endif
