/**
 * State index: where each row of the three tables is, and what the series and study rows must be.
 *
 * A cache in SQLite beside the lake: it says the table versions that it speaks of and can be made
 * anew from the tables alone. It is never more right than the tables. One transaction takes it from
 * one set of versions to the next, so it is whole after a crash, maybe behind.
 *
 * For each instance: time and sequence of the change that made its row, when it came into being,
 * file and row, and a reference to the values that its series and study show. Removed keys stay as
 * tombstones for a while, so that an old window run again cannot bring them back. Counts of series
 * and studies are kept as instances come and go. Which instance (series) shows, the last by (time,
 * UID), is kept with its series; only where it went or has an equal are all of the series looked
 * at. Series and studies that changed are `dirty` until their row is written.
 *
 * Small batches (dl_state_expect) write to tables of recent rows, so that they change few pages of
 * a large index; nobody outside can tell (docs/decisions/0012-state-recent-rows.md).
 *
 * Where a row is: (file, row). When files are compacted the old file is forwarded to the new one
 * (dl_delta_move): rows find their way there by rank, and nothing is written for each row.
 *
 * Thread: confined.
 */
#ifndef DL_PIPELINE_STATE_H
#define DL_PIPELINE_STATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "delta/bitmap.h"

typedef enum dl_state_kind {
    DL_STATE_INSTANCE,
    DL_STATE_SERIES,
    DL_STATE_STUDY,
} dl_state_kind;
enum {
    DL_STATE_KINDS = 3,
    DL_STATE_KEY_LIMIT_BYTES = 255, /* each text of a key, from 1 */
    DL_STATE_PATH_LIMIT_BYTES = 8 * 1024,
    DL_STATE_SHOWN_LIMIT_BYTES = 64 * 1024 * 1024, /* the texts of one dl_state_shown together */
};

typedef struct dl_state dl_state;

/** Opens or makes the file. A file that is damaged, of another format version or not ours is
 * replaced by an empty one. Damage that shows later is DL_E_CORRUPT from any call: dl_state_clear
 * cures it. */
DL_NODISCARD dl_status dl_state_open(const char *path, dl_state **out_state, dl_error *err);
void dl_state_close(dl_state *state);
/** Forget everything: an empty file. Not between begin and commit. When it fails, every call fails
 * until a clear succeeds. */
DL_NODISCARD dl_status dl_state_clear(dl_state *state, dl_error *err);

/** Others may have written while the lake's lock was not held: what is kept in memory is forgotten
 * if they have. */
DL_NODISCARD dl_status dl_state_refresh(dl_state *state, dl_error *err);
/** Everything below that writes stands between begin and commit; rollback forgets it. After a call
 * that writes has failed, only rollback is left. */
DL_NODISCARD dl_status dl_state_begin(dl_state *state, dl_error *err);
DL_NODISCARD dl_status dl_state_commit(dl_state *state, dl_error *err);
/** After begin: about so many puts and removals follow. Few of them are written to a layer of
 * recent rows, many, or those of a transaction that expects nothing, to the index itself. */
DL_NODISCARD dl_status dl_state_expect(dl_state *state, size_t changes, dl_error *err);
/** Fine when nothing was begun. */
void dl_state_rollback(dl_state *state);
/** Between begin and the end; a failure of dl_state_dirty may have rolled back. */
bool dl_state_writing(const dl_state *state);

/** Table id and version that the state speaks of; version -1: nothing known. */
typedef struct dl_state_position {
    dl_str table_id; /* in the arena */
    int64_t version;
} dl_state_position;
DL_NODISCARD dl_status dl_state_position_get(dl_state *state, dl_state_kind kind, dl_arena *arena,
                                             dl_state_position *out_position, dl_error *err);
DL_NODISCARD dl_status dl_state_position_set(dl_state *state, dl_state_kind kind, dl_str table_id,
                                             int64_t version, dl_error *err);

/* ---- files ---- */

/** The number of a file, given one when it is new. */
DL_NODISCARD dl_status dl_state_file(dl_state *state, dl_state_kind kind, dl_str path,
                                     int64_t *out_file, dl_error *err);
/** Its path. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_state_file_path(dl_state *state, int64_t file, dl_arena *arena,
                                          dl_str *out_path, dl_error *err);
/** What is known of a file: whether it is in the table, and its deletion vector (storage type, text
 * and offset in one word; empty: none). Part of catching up: what differs from the log is read
 * again. */
DL_NODISCARD dl_status dl_state_file_mark(dl_state *state, int64_t file, bool live, dl_str dv,
                                          dl_error *err);
/** Every live file of a table. `visit` may not write. */
DL_NODISCARD dl_status dl_state_files(dl_state *state, dl_state_kind kind,
                                      dl_status (*visit)(void *context, int64_t file, dl_str path,
                                                         dl_str dv, dl_error *err),
                                      void *context, dl_error *err);
/** Rows first <= p < end of `from` are now in `to`, at base + p - rank of `dead` at p. */
typedef struct dl_state_move {
    int64_t from, to; /* files */
    int64_t first_row, end_row;
    int64_t base;
    const dl_delta_bitmap *dead; /* NULL: none */
} dl_state_move;
DL_NODISCARD dl_status dl_state_forward(dl_state *state, const dl_state_move *move, dl_error *err);

typedef struct dl_state_place {
    int64_t file; /* 0: nowhere */
    int64_t row;
} dl_state_place;
/** Follow the forwarding to where the row is now; a row that was dead when it was copied is
 * nowhere. */
DL_NODISCARD dl_status dl_state_resolve(dl_state *state, dl_state_place *place, dl_error *err);

/* ---- instances ---- */

typedef struct dl_state_key {
    dl_str partition_name, study_uid, series_uid, sop_uid;
} dl_state_key;

/** Values that series and study rows show. ptr NULL: NULL. */
typedef struct dl_state_shown {
    dl_str study_date_text; /* as it came; typed by the projection */
    dl_str study_description, issuer_of_patient_id, patient_id, patient_name, modality;
} dl_state_shown;

typedef struct dl_state_instance {
    bool known;                     /* there is a row or a tombstone */
    bool removed;                   /* tombstone: timestamp and sequence are those of the removal */
    int64_t timestamp_us, sequence; /* sequence 0: not known */
    int64_t source; /* number of the source (dl_state_source) that sequence belongs to; 0: none */
    int64_t created_us;
    dl_state_place place; /* resolved */
} dl_state_instance;

DL_NODISCARD dl_status dl_state_get(dl_state *state, const dl_state_key *key,
                                    dl_state_instance *out_instance, dl_error *err);
/** A row is (now) there; its series and study become dirty. `instance->known`, `removed` are
 * ignored. */
DL_NODISCARD dl_status dl_state_put(dl_state *state, const dl_state_key *key,
                                    const dl_state_instance *instance, const dl_state_shown *shown,
                                    dl_error *err);
/** The row is gone; leaves a tombstone. */
DL_NODISCARD dl_status dl_state_remove(dl_state *state, const dl_state_key *key,
                                       int64_t timestamp_us, int64_t sequence, int64_t source,
                                       dl_error *err);
/** Tombstones of removals before `before_us` go, values that nobody shows, and files that no place
 * leads to: ask dl_state_file anew for numbers after it. */
DL_NODISCARD dl_status dl_state_prune(dl_state *state, int64_t before_us, dl_error *err);

/** Every row of a table whose file is no longer live (after forwarding). The key's series_uid,
 * sop_uid are ptr NULL where the kind has none. `visit` may not write; looks at the whole index. */
DL_NODISCARD dl_status dl_state_orphans(dl_state *state, dl_state_kind kind,
                                        dl_status (*visit)(void *context, const dl_state_key *key,
                                                           dl_state_place place, dl_error *err),
                                        void *context, dl_error *err);
/** A row that must die at the next commit: a key that has two rows (a foreign append). */
DL_NODISCARD dl_status dl_state_extra_add(dl_state *state, dl_state_kind kind, dl_state_place place,
                                          dl_error *err);
DL_NODISCARD dl_status dl_state_extras(dl_state *state, dl_state_kind kind,
                                       dl_status (*visit)(void *context, dl_state_place place,
                                                          dl_error *err),
                                       void *context, dl_error *err);
DL_NODISCARD dl_status dl_state_extras_clear(dl_state *state, dl_state_kind kind, dl_error *err);

/** The number of a source by its id. */
DL_NODISCARD dl_status dl_state_source(dl_state *state, dl_str id, int64_t *out_source,
                                       dl_error *err);

/* ---- series and study rows ---- */

/** What a row of the series (study) table must be, and where the one that is there is. */
typedef struct dl_state_row {
    int64_t id;
    dl_str partition_name, study_uid, series_uid; /* series_uid ptr NULL for a study */
    int64_t series_count, instance_count;         /* 0 instances: no row */
    int64_t timestamp_us;
    dl_state_shown shown;
    dl_state_place place;  /* of the row that is there; file 0: none; resolved */
    uint64_t written_hash; /* of the row that is there; 0: not known */
} dl_state_row;

/** The dirty ones, ordered by partition name, at most `limit`. The row lives until visit returns;
 * visit may not write. */
DL_NODISCARD dl_status dl_state_dirty(dl_state *state, dl_state_kind kind, size_t limit,
                                      dl_status (*visit)(void *context, const dl_state_row *row,
                                                         dl_error *err),
                                      void *context, dl_error *err);
/** The row was written (place, hash) or removed (file 0); no longer dirty. A series or study
 * without instances is forgotten when no tombstone needs it. */
DL_NODISCARD dl_status dl_state_written(dl_state *state, dl_state_kind kind, int64_t id,
                                        dl_state_place place, uint64_t hash, dl_error *err);
/** A row that stands in the series (study) table, found when catching up; dirty when `hash` differs
 * from what was known. The key's series_uid ptr NULL for a study. A second row for the key becomes
 * an extra. */
DL_NODISCARD dl_status dl_state_found(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                                      dl_state_place place, uint64_t hash, dl_error *err);
/** Where the row of that key stands, as it is known; file 0: nowhere. */
DL_NODISCARD dl_status dl_state_row_place(dl_state *state, dl_state_kind kind,
                                          const dl_state_key *key, dl_state_place *out_place,
                                          dl_error *err);
/** The row of that key was moved by others (their compaction): its place is forgotten, not what was
 * written; dl_state_found follows with the new place. */
DL_NODISCARD dl_status dl_state_row_unplace(dl_state *state, dl_state_kind kind,
                                            const dl_state_key *key, dl_error *err);
/** The row of that key is no longer there (a foreign delete): dirty again. */
DL_NODISCARD dl_status dl_state_lost(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                                     dl_state_place place, dl_error *err);
/** Everything is dirty: after the state was made anew. */
DL_NODISCARD dl_status dl_state_all_dirty(dl_state *state, dl_error *err);

/* ---- changes ahead of the watermark ---- */

/** A change that a window out of order has applied: needed to know when an instance came into
 * being. */
typedef struct dl_state_change {
    int64_t sequence, timestamp_us;
    bool is_delete;
} dl_state_change;
DL_NODISCARD dl_status dl_state_ahead_add(dl_state *state, const dl_state_key *key, int64_t source,
                                          const dl_state_change *change, dl_error *err);
/** In order of sequence. */
DL_NODISCARD dl_status dl_state_ahead(dl_state *state, const dl_state_key *key, int64_t source,
                                      dl_status (*visit)(void *context,
                                                         const dl_state_change *change,
                                                         dl_error *err),
                                      void *context, dl_error *err);
/** Those up to `sequence` are behind the watermark now: forgotten for keys that have none beyond
 * it. */
DL_NODISCARD dl_status dl_state_ahead_prune(dl_state *state, int64_t source, int64_t sequence,
                                            dl_error *err);
/** Windows done ahead of the watermark: start, end (us), greatest sequence. */
DL_NODISCARD dl_status dl_state_window_add(dl_state *state, int64_t source, int64_t start_us,
                                           int64_t end_us, int64_t sequence, dl_error *err);
/** Widen [.., *end_us) and *sequence by windows that begin at or before *end_us; those go. */
DL_NODISCARD dl_status dl_state_window_absorb(dl_state *state, int64_t source, int64_t *end_us,
                                              int64_t *sequence, dl_error *err);

/** A number under a name (when the lake was last vacuumed and the like); 0 when never set. */
DL_NODISCARD dl_status dl_state_number_get(dl_state *state, const char *name, int64_t *out_number,
                                           dl_error *err);
DL_NODISCARD dl_status dl_state_number_set(dl_state *state, const char *name, int64_t number,
                                           dl_error *err);

/* ---- for verify and show ---- */

typedef struct dl_state_totals {
    int64_t instances, series, studies, tombstones, files;
} dl_state_totals;
DL_NODISCARD dl_status dl_state_totals_get(dl_state *state, dl_state_totals *out_totals,
                                           dl_error *err);

#endif
