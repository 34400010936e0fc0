/**
 * Index: partitions, studies, series, instances with their metadata, and the change rows, in one
 * database.
 *
 * What is in it and what holds (service contract section 23):
 * - A *version* is one stored file of an instance, named by its watermark. An instance has at most
 * one current version. Versions that are deleted or replaced stay readable by watermark until their
 * file is removed (cleanup queue), but belong to no series any more.
 * - Every store, replacement and delete appends change rows in the same transaction. `sequence`
 * starts at 1 and has no gaps; timestamps never fall as sequence grows; nothing ever becomes
 * visible behind a reader.
 * - Study and series rows hold the latest non-empty value of each searchable attribute, by
 * watermark, and are computed anew when their newest instance goes. Rows without instances are
 * invisible and hold no patient data.
 * - UIDs of deleted instances stay, because the feed speaks of them for ever.
 * - UIDs are compared with trailing spaces and NULs removed; callers may pass them padded.
 *
 * Writing: one transaction at a time (dl_index_begin waits for its turn); many stores share one
 * transaction. Reading: a snapshot is one consistent state, cheap, taken from a small pool of
 * connections; hold it briefly.
 *
 * Thread: the index is locked; a transaction and a snapshot are confined to the thread that has
 * them.
 */
#ifndef DL_INDEX_INDEX_H
#define DL_INDEX_INDEX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"

typedef struct dl_index dl_index;
typedef struct dl_index_tx dl_index_tx;
typedef struct dl_index_snapshot dl_index_snapshot;

enum {
    DL_INDEX_HASH_BYTES = 16,
    DL_INDEX_UID_LIMIT = 64,
    DL_INDEX_PARTITION_LIMIT = 64,
    DL_INDEX_DEFAULT_PARTITION = 1
};

typedef struct dl_index_options {
    dl_clock clock;
    bool read_only;        /* for verify beside a running service */
    unsigned reader_limit; /* connections in the pool; 0: 8 */
} dl_index_options;

/** Opens or creates the database file; partition 1 `Microsoft.Default` always exists. */
DL_NODISCARD dl_status dl_index_open(const char *path, const dl_index_options *options,
                                     dl_index **out_index, dl_error *err);
void dl_index_close(dl_index *index);

/** A name/value the home keeps for good (workspace and service name, for example). out ptr NULL
 * when unset. */
DL_NODISCARD dl_status dl_index_setting_get(dl_index *index, dl_str name, dl_arena *arena,
                                            dl_str *out_value, dl_error *err);
DL_NODISCARD dl_status dl_index_setting_put(dl_index *index, dl_str name, dl_str value,
                                            dl_error *err);

/* ---- partitions ---- */

typedef struct dl_index_partition {
    int64_t key; /* 1 is Microsoft.Default */
    dl_str name;
    int64_t created_us;
} dl_index_partition;

/** From memory. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_index_partition_find(dl_index *index, dl_str name, int64_t *out_key,
                                               dl_error *err);
/** Get or create, durable. The caller has checked the name (contract 4.1). */
DL_NODISCARD dl_status dl_index_partition_ensure(dl_index *index, dl_str name, int64_t *out_key,
                                                 dl_error *err);
/** By key. */
DL_NODISCARD dl_status dl_index_partition_list(dl_index *index, dl_arena *arena,
                                               dl_index_partition **out_list, size_t *out_count,
                                               dl_error *err);

/* ---- writing ---- */

/** A number never given before, also not before a crash (blocks are reserved in the database). Take
 * it before dl_index_begin: the thread that holds the transaction cannot reserve a new block and
 * gets DL_E_LIMIT when the old one is used up. */
DL_NODISCARD dl_status dl_index_next_watermark(dl_index *index, int64_t *out_watermark,
                                               dl_error *err);

/**
 * The watermark of the newest store that a change row names, and the highest that has been given
 * out. Right after opening, files between the two belong to stores that a crash cut off: nothing
 * speaks of them.
 */
DL_NODISCARD dl_status dl_index_watermark_bounds(dl_index *index, int64_t *out_last,
                                                 int64_t *out_given, dl_error *err);

DL_NODISCARD dl_status dl_index_begin(dl_index *index, dl_index_tx **out_tx, dl_error *err);
/** Durable and visible when it returns DL_OK; else nothing happened. Ends the transaction either
 * way. */
DL_NODISCARD dl_status dl_index_commit(dl_index_tx *take_tx, dl_error *err);
/** Roll back. NULL is fine. */
void dl_index_rollback(dl_index_tx *tx);

typedef enum dl_index_outcome {
    DL_INDEX_STORED,
    DL_INDEX_REPLACED, /* put.replace and there was one: the older version went to the cleanup queue
                        */
    DL_INDEX_EXISTS,   /* not put.replace and there is one: nothing changed */
} dl_index_outcome;

typedef struct dl_index_put {
    int64_t partition;
    dl_str study_uid, series_uid, sop_uid;
    int64_t watermark;
    dl_str metadata; /* DICOM JSON object with ascending keys; the searchable attributes are taken
                        from it */
    dl_bytes frames; /* dl_dicom_pixels_encode's bytes, opaque here; may be empty */
    dl_str transfer_syntax; /* UID of the stored file */
    uint64_t size_bytes;
    int64_t tag; /* of the object in the store */
    uint8_t hash[DL_INDEX_HASH_BYTES];
    bool replace;
    int64_t expires_us;    /* 0: the study does not expire. The last store to a study decides
                              (contract 5.8) */
    int64_t not_before_us; /* when the file of a replaced version may be removed */
} dl_index_put;

/** One store. DL_E_INVALID and DL_E_LIMIT for what `put` holds leave the transaction usable and
 * this store undone; after any other failure dl_index_commit keeps nothing and returns that
 * failure. */
DL_NODISCARD dl_status dl_index_put_instance(dl_index_tx *tx, const dl_index_put *put,
                                             dl_index_outcome *out_outcome, dl_error *err);

/** What a path names: a study, a series of it, or an instance; empty strings below what is named.
 * An instance without its series names nothing. */
typedef struct dl_index_scope {
    int64_t partition;
    dl_str study_uid, series_uid, sop_uid;
    int64_t expired_us; /* 0, or: to be deleted only while the study is to expire by then */
} dl_index_scope;

/** Delete all current instances in the scope. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_index_delete(dl_index_tx *tx, const dl_index_scope *scope,
                                       int64_t not_before_us, int64_t *out_count, dl_error *err);

/** One row of the cleanup queue. */
typedef struct dl_index_garbage {
    int64_t watermark;
    int64_t partition;
    dl_str partition_name;
    unsigned tries;
} dl_index_garbage;

/** What is asked of a queue: entries that are due at `now_us`, at most `limit`. */
typedef struct dl_index_due {
    int64_t now_us;
    size_t limit;
} dl_index_due;

/** Files that may be removed now, those that wait the longest first. */
DL_NODISCARD dl_status dl_index_garbage_due(dl_index *index, const dl_index_due *due,
                                            dl_arena *arena, dl_index_garbage **out_list,
                                            size_t *out_count, dl_error *err);
/** The file is gone: forget the version. */
DL_NODISCARD dl_status dl_index_garbage_done(dl_index_tx *tx, int64_t watermark, dl_error *err);
/** It could not be removed: try again at `not_before_us`. */
DL_NODISCARD dl_status dl_index_garbage_retry(dl_index_tx *tx, int64_t watermark,
                                              int64_t not_before_us, dl_error *err);

/** Studies whose time has come (contract 5.8), as scopes with study_uid and expired_us set, for
 * dl_index_delete(): a store meanwhile may have called the expiry off. */
DL_NODISCARD dl_status dl_index_expired(dl_index *index, const dl_index_due *due, dl_arena *arena,
                                        dl_index_scope **out_list, size_t *out_count,
                                        dl_error *err);

/* ---- reading ---- */

/** Waits when all connections of the pool are in use. */
DL_NODISCARD dl_status dl_index_snapshot_begin(dl_index *index, dl_index_snapshot **out_snapshot,
                                               dl_error *err);
/** NULL is fine. */
void dl_index_snapshot_end(dl_index_snapshot *snapshot);
static inline DL_UNUSED void dl_index_snapshot_endp(dl_index_snapshot **s)
{
    dl_index_snapshot_end(*s);
}
#define DL_AUTO_SNAPSHOT DL_CLEANUP(dl_index_snapshot_endp) dl_index_snapshot *

typedef struct dl_index_version {
    int64_t watermark;
    dl_str study_uid, series_uid, sop_uid;
    dl_str transfer_syntax;
    uint64_t size_bytes;
    int64_t tag;
} dl_index_version;

/** The current versions in the scope: series in order of creation, instances by watermark. Count 0:
 * nothing there. */
DL_NODISCARD dl_status dl_index_versions(dl_index_snapshot *s, const dl_index_scope *scope,
                                         dl_arena *arena, dl_index_version **out_list,
                                         size_t *out_count, dl_error *err);
/** When the study of the scope expires; 0: never, or there is no such study. */
DL_NODISCARD dl_status dl_index_expiry(dl_index_snapshot *s, const dl_index_scope *scope,
                                       int64_t *out_expires_us, dl_error *err);
/** Largest watermark and number of current instances in the scope; count 0 when nothing is there.
 */
DL_NODISCARD dl_status dl_index_summary(dl_index_snapshot *s, const dl_index_scope *scope,
                                        int64_t *out_watermark, int64_t *out_count, dl_error *err);
/** Append the metadata JSON of a version, current or still in the cleanup queue. Errors:
 * DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_index_metadata(dl_index_snapshot *s, int64_t watermark, dl_buf *out,
                                         dl_error *err);
/** The frame index bytes of a version. */
DL_NODISCARD dl_status dl_index_frames(dl_index_snapshot *s, int64_t watermark, dl_arena *arena,
                                       dl_bytes *out_bytes, dl_error *err);

/* ---- search (contract section 7) ---- */

typedef enum dl_index_level { DL_INDEX_STUDY, DL_INDEX_SERIES, DL_INDEX_INSTANCE } dl_index_level;

/** A searchable attribute (contract 7.3). */
typedef struct dl_index_attribute {
    uint32_t tag;
    dl_index_level level;
    uint16_t vr; /* DL_VR of dict.h: decides the matching */
} dl_index_attribute;

/** NULL when the tag is not searchable. ModalitiesInStudy is one. */
const dl_index_attribute *dl_index_attribute_find(uint32_t tag);
size_t dl_index_attribute_count(void);
const dl_index_attribute *dl_index_attribute_at(size_t i);

typedef enum dl_index_match { DL_INDEX_EQUAL, DL_INDEX_RANGE, DL_INDEX_PHRASE } dl_index_match;

typedef struct dl_index_filter {
    const dl_index_attribute *attribute;
    dl_index_match match;
    dl_str value;    /* EQUAL, PHRASE: the words, UTF-8; RANGE: from yyyyMMdd, empty for open */
    dl_str value_to; /* RANGE: to, inclusive, empty for open */
} dl_index_filter;

typedef struct dl_index_query {
    dl_index_level level;
    int64_t partition;
    dl_str study_uid, series_uid; /* from the path; empty when not there */
    const dl_index_filter *filters;
    size_t filter_count;
    size_t limit, offset;
} dl_index_query;

typedef struct dl_index_hit {
    int64_t study_id, series_id; /* for the functions below; series_id 0 at study level */
    int64_t watermark;           /* of the instance; 0 above instance level */
    dl_str sop_uid;              /* empty above instance level */
    dl_str study_attributes;     /* DICOM JSON object of the indexed study attributes, the UID among
                                    them; ascending, without white space */
    dl_str series_attributes;    /* the same for the series; empty at study level */
    dl_str study_modalities;     /* for dl_index_modalities */
} dl_index_hit;

/** Newest first (contract 7.7). Cost follows the page, not the archive. */
DL_NODISCARD dl_status dl_index_search(dl_index_snapshot *s, const dl_index_query *query,
                                       dl_arena *arena, dl_index_hit **out_hits, size_t *out_count,
                                       dl_error *err);
/** UID of the hit at `level`: it lies in the hit. Empty below the level of the search. */
dl_str dl_index_hit_uid(const dl_index_hit *hit, dl_index_level level);
/** Watermark of the newest current instance of a series, or with series_id 0 of a study. */
DL_NODISCARD dl_status dl_index_newest(dl_index_snapshot *s, int64_t study_id, int64_t series_id,
                                       int64_t *out_watermark, dl_error *err);
/** Counts of a study, or with series_id not 0 of that series (then series count is 1). */
DL_NODISCARD dl_status dl_index_counts(dl_index_snapshot *s, int64_t study_id, int64_t series_id,
                                       int64_t *out_series, int64_t *out_instances, dl_error *err);
/** Distinct modalities of the hit's study, sorted. */
DL_NODISCARD dl_status dl_index_modalities(const dl_index_hit *hit, dl_arena *arena,
                                           dl_str **out_list, size_t *out_count, dl_error *err);

/* ---- change feed (contract section 9) ---- */

typedef enum dl_index_action {
    DL_INDEX_CREATE = 1,
    DL_INDEX_UPDATE = 2,
    DL_INDEX_REMOVE = 3
} dl_index_action;

typedef struct dl_index_change {
    int64_t sequence;
    int64_t timestamp_us;
    dl_index_action action;
    dl_str partition_name;
    dl_str study_uid, series_uid, sop_uid;
    int64_t watermark;         /* the version it speaks of */
    int64_t current_watermark; /* the version that is current now; 0: deleted */
    dl_str metadata;           /* of the current version; ptr NULL when not asked for or deleted */
} dl_index_change;

typedef struct dl_index_change_query {
    int64_t after_sequence;   /* rows with a greater sequence */
    int64_t last_sequence;    /* and at most this; 0: no bound */
    int64_t start_us, end_us; /* start <= timestamp < end; INT64_MIN and INT64_MAX: no bound */
    int64_t offset;           /* rows to skip; costs nothing */
    size_t limit;
    bool metadata;
    bool newest; /* the newest row only */
} dl_index_change_query;

/**
 * Rows in order of sequence, handed over one by one; strings live until the callback returns.
 *
 * A window that ends in the past (end_us not after now) is closed: every change that will ever have
 * a timestamp in it is in the answer. Where a commit with such a timestamp is under way, the call
 * waits for it and moves the snapshot forward to see it.
 */
DL_NODISCARD dl_status dl_index_changes(dl_index_snapshot *s, const dl_index_change_query *query,
                                        dl_status (*visit)(void *context,
                                                           const dl_index_change *change,
                                                           dl_error *err),
                                        void *context, dl_error *err);
/** Highest sequence, 0 when there is none. */
DL_NODISCARD dl_status dl_index_last_sequence(dl_index_snapshot *s, int64_t *out_sequence,
                                              dl_error *err);

/* ---- verify and health ---- */

typedef struct dl_index_stored_file {
    int64_t watermark;
    int64_t partition;
    dl_str partition_name;
    dl_str study_uid, series_uid, sop_uid; /* empty for versions in the cleanup queue */
    uint64_t size_bytes;
    int64_t tag;
    uint8_t hash[DL_INDEX_HASH_BYTES];
    bool current;
} dl_index_stored_file;

/** Every version that should have a file, by watermark, above `after`. */
DL_NODISCARD dl_status dl_index_each_file(dl_index_snapshot *s, int64_t after,
                                          dl_status (*visit)(void *context,
                                                             const dl_index_stored_file *file,
                                                             dl_error *err),
                                          void *context, dl_error *err);
/**
 * Check the index against itself: database integrity, every invariant of the head comment. `report`
 * gets one sentence for each breach (UIDs and numbers only, no patient data).
 */
DL_NODISCARD dl_status dl_index_check(dl_index_snapshot *s,
                                      dl_status (*report)(void *context, dl_str problem,
                                                          dl_error *err),
                                      void *context, dl_error *err);
/** Whether the database answers. */
DL_NODISCARD dl_status dl_index_probe(dl_index *index, dl_error *err);

#endif
