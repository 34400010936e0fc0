/**
 * What the files of the module share.
 *
 * A `dl_index_conn` is one database connection with what goes with it: compression contexts and the
 * last few metadata bases it has unpacked. The writer has one, each snapshot borrows one.
 *
 * A transaction keeps the studies and series it touches in memory (`dl_index_study`,
 * `dl_index_series`), changes them there, and writes each back once, at commit. Rows of instances
 * and versions are written at once.
 *
 * Metadata: the first instance of a series leaves its JSON as a *base*, compressed with a
 * dictionary; every version of the series is compressed with the base as its prefix, so that only
 * what differs from instance to instance is stored. A base counts its users and goes with the last.
 */
#ifndef DL_INDEX_INTERNAL_H
#define DL_INDEX_INTERNAL_H

#include "index/index.h"

#include "db/db.h"
#include "dict/dict.h"

#include <pthread.h>
#include <zstd.h>

/** A failure that changes nothing: another one is reported already, or it will be tried again. */
static inline void dl_index_ignore(dl_status status)
{
    (void)status;
}

/* ---- UIDs: two characters in a byte; the order of the bytes is the order of the text ---- */

enum { DL_INDEX_UID_PACKED_LIMIT = DL_INDEX_UID_LIMIT / 2 };

typedef struct dl_index_uid {
    uint8_t bytes[DL_INDEX_UID_PACKED_LIMIT];
    uint8_t len;
} dl_index_uid;

/** Padding is removed; false unless 1 to 64 digits and dots. */
bool dl_index_uid_pack(dl_str text, dl_index_uid *out_uid);
bool dl_index_uid_of(dl_bytes packed, dl_index_uid *out_uid);
/** NUL-terminated; returns the length. */
size_t dl_index_uid_text(dl_bytes packed, char out[DL_INDEX_UID_LIMIT + 1]);
static inline dl_bytes dl_index_uid_bytes(const dl_index_uid *uid)
{
    return (dl_bytes){uid->bytes, uid->len};
}

/* ---- folding: text made equal for matching ---- */

/** Case folded, padding removed; `name` also loses its accents. */
DL_NODISCARD dl_status dl_index_fold(dl_str text, bool name, dl_arena *arena, dl_str *out_folded,
                                     dl_error *err);
/** Cut the next word (at space, ^ and =) off `rest`. */
bool dl_index_word_next(dl_str *rest, dl_str *out_word);
/** Whether each word of `phrase` begins a word of `name`, adjacent and in order; both folded. */
bool dl_index_phrase_matches(dl_str name, dl_str phrase);
/** yyyymmdd of a real day as a number. */
bool dl_index_date_parse(dl_str text, int64_t *out_date);

/* ---- attributes ---- */

/** The folded columns of `study` and `series`, in the order in which every statement names them. */
enum {
    DL_INDEX_STUDY_DATE,
    DL_INDEX_ACCESSION,
    DL_INDEX_REFERRING,
    DL_INDEX_DESCRIPTION,
    DL_INDEX_PATIENT_NAME,
    DL_INDEX_PATIENT_ID,
    DL_INDEX_BIRTH_DATE,
    DL_INDEX_STUDY_COLUMNS,
};
enum {
    DL_INDEX_MODALITY,
    DL_INDEX_MODEL,
    DL_INDEX_START_DATE,
    DL_INDEX_SERIES_COLUMNS,
};

/** Column of an attribute at its level; -1: a UID or ModalitiesInStudy, which have none. */
int dl_index_attribute_column(const dl_index_attribute *attribute);
const dl_index_attribute *dl_index_column_attribute(dl_index_level level, int column);
int dl_index_column_count(dl_index_level level);

/** The elements that are not empty, by column; ptr NULL where there is none. */
typedef struct dl_index_elements_found {
    dl_str study[DL_INDEX_STUDY_COLUMNS];
    dl_str series[DL_INDEX_SERIES_COLUMNS];
} dl_index_elements_found;

/** From a DICOM JSON object with ascending keys; the texts lie in `object`. */
void dl_index_elements(dl_str object, dl_index_elements_found *out_found);
/** First value of an element as text (a name: its groups joined with '='); empty when it has none.
 */
DL_NODISCARD dl_status dl_index_element_text(dl_str element, dl_arena *arena, dl_str *out_text,
                                             dl_error *err);

/* ---- connections ---- */

enum {
    DL_INDEX_BASE_SLOTS = 8,               /* unpacked bases that a connection keeps */
    DL_INDEX_BASE_LIMIT_BYTES = 64 * 1024, /* longer metadata never becomes a base */
    DL_INDEX_DICTIONARY_LIMIT = 64,        /* dictionaries that one home can have */
    DL_INDEX_METADATA_LIMIT_BYTES = 256 * 1024 * 1024,
};

typedef struct dl_index_base {
    int64_t id; /* 0: the slot is free */
    dl_buf text;
} dl_index_base;

typedef struct dl_index_conn {
    struct dl_index *index;
    dl_db *db;
    ZSTD_CCtx *compressor; /* the writer only */
    ZSTD_DCtx *decompressor;
    dl_index_base bases[DL_INDEX_BASE_SLOTS];
    struct dl_index_conn *next_free;
} dl_index_conn;

typedef enum dl_index_conn_kind {
    DL_INDEX_READER,
    DL_INDEX_WRITER,
    DL_INDEX_BACKGROUND, /* as the writer, but gives up soon where it has to wait */
} dl_index_conn_kind;

DL_NODISCARD dl_status dl_index_conn_open(dl_index *index, dl_index_conn_kind kind,
                                          dl_index_conn **out_conn, dl_error *err);
void dl_index_conn_close(dl_index_conn *conn);

/** Append the metadata in `packed` to `out`. `base` is the column: > 0 a base, else - dictionary.
 */
DL_NODISCARD dl_status dl_index_unpack(dl_index_conn *conn, dl_bytes packed, int64_t base,
                                       dl_buf *out, dl_error *err);
/** Compress with a dictionary into `out`, which is emptied first. */
DL_NODISCARD dl_status dl_index_pack(dl_index_conn *conn, dl_str text, int64_t dictionary,
                                     dl_buf *out, dl_error *err);
/** Compress with a base into `out`, which is emptied first. */
DL_NODISCARD dl_status dl_index_pack_after(dl_index_conn *conn, dl_str text, int64_t base,
                                           dl_buf *out, dl_error *err);
/** Put a base in its slot, for bases that are not in the database yet. */
DL_NODISCARD dl_status dl_index_base_keep(dl_index_conn *conn, int64_t base, dl_str text,
                                          dl_error *err);
/** Forget all bases (after a rollback: one of them may never have been). */
void dl_index_bases_forget(dl_index_conn *conn);

/** Append the metadata of a version. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_index_conn_metadata(dl_index_conn *conn, int64_t watermark, dl_buf *out,
                                              dl_error *err);

/* ---- dictionaries (immutable once made, shared by all connections) ---- */

typedef struct dl_index_dictionary {
    ZSTD_CDict *compress;
    ZSTD_DDict *decompress;
} dl_index_dictionary;

/** The dictionary that comes with the program: number 0. */
dl_bytes dl_index_dictionary_builtin(void);
/** Number `id`, read from the database when it is not in memory yet. */
DL_NODISCARD dl_status dl_index_dictionary_get(dl_index_conn *conn, int64_t id,
                                               const dl_index_dictionary **out_dictionary,
                                               dl_error *err);
/** Train a dictionary when it is time; called by the background thread, outside of transactions. */
DL_NODISCARD dl_status dl_index_train(dl_index_conn *conn, dl_error *err);

/* ---- the index ---- */

enum {
    DL_INDEX_WATERMARK_BLOCK = 1024,  /* numbers reserved at a time */
    DL_INDEX_GATHER_ALWAYS = 64,      /* so few rows are gathered whatever the sums say */
    DL_INDEX_TRAIN_BASES = 300,       /* bases before a dictionary is trained */
    DL_INDEX_LOG_PAGES_WANTED = 1000, /* moved into the file in the background from here on */
    DL_INDEX_LOG_PAGES_LIMIT = 4096,  /* writers wait while the log starts anew: each 16 MiB */
};

typedef struct dl_index_known_partition {
    dl_index_partition given; /* its name lies in `name` */
    char *name;
} dl_index_known_partition;

struct dl_index {
    char *path;
    dl_index_options options;

    pthread_mutex_t turn; /* held from begin to commit; guards `writer` */
    dl_index_conn *writer;
    pthread_t writing_thread; /* valid while `writing` */

    pthread_mutex_t lock; /* guards all that follows; taken after `turn`, never before */
    pthread_cond_t conn_free, commit_over, wake;
    bool writing;
    dl_index_conn *free_conns;
    unsigned conn_count;
    dl_index_known_partition *partitions; /* by key */
    size_t partition_count;
    int64_t next_watermark, reserved_watermark; /* next <= given < reserved */
    int64_t last_sequence, last_timestamp_us;
    int64_t floor_us;      /* no later change gets a smaller timestamp */
    int64_t committing_us; /* timestamp of the commit on its way; INT64_MAX: none */
    dl_index_dictionary dictionaries[DL_INDEX_DICTIONARY_LIMIT];
    int64_t dictionary; /* the one that new bases use */
    int64_t base_count; /* bases made with dictionary 0 since the home began */
    int log_pages;
    bool has_starts;       /* study_word_start is there; set once, at the start */
    int64_t gather_always; /* up to so many matches a search gathers; tests lower it */
    bool stopping, train_wanted, thread_started;
    pthread_t thread;
};

struct dl_index_snapshot {
    dl_index *index;
    dl_index_conn *conn;
    int64_t horizon_us; /* every change before this time is in the snapshot */
};

/** Name of a partition, for ever valid; empty when there is none. */
dl_str dl_index_partition_name(dl_index *index, int64_t key);
/** Copy packed bytes as UID text into an arena. */
DL_NODISCARD dl_status dl_index_uid_copy(dl_bytes packed, dl_arena *arena, dl_str *out_text,
                                         dl_error *err);
/** Make the snapshot see all changes before `time_us`, which is not in the future. */
DL_NODISCARD dl_status dl_index_snapshot_settle(dl_index_snapshot *s, int64_t time_us,
                                                dl_error *err);
extern const char *const dl_index_schema[];
extern const size_t dl_index_schema_count;

/* ---- a transaction ---- */

typedef struct dl_index_value {
    dl_str element; /* {"vr":..,"Value":[..]}; ptr NULL: no instance has it */
    int64_t origin; /* watermark of the instance it comes from */
    bool lost;      /* that instance went: look for the next at commit */
} dl_index_value;

typedef struct dl_index_study {
    int64_t id, partition;
    dl_index_uid uid;
    int64_t created; /* 0: no instance */
    int64_t series_count;
    int64_t expires_us; /* 0: never */
    dl_index_value values[DL_INDEX_STUDY_COLUMNS];
    dl_str stored_names[2];   /* folded, as their words are stored; see name_columns */
    dl_str stored_modalities; /* folded, each followed by a backslash */
    int64_t stored_created;
    int64_t date, stored_date; /* 0: none, or not in the calendar */
    bool dirty, text_dirty, modalities_dirty;
    struct dl_index_study *next, *next_in_bucket;
} dl_index_study;

typedef struct dl_index_series {
    int64_t id;
    dl_index_study *study;
    dl_index_uid uid;
    int64_t created;
    int64_t instance_count;
    int64_t base; /* 0: none */
    dl_index_value values[DL_INDEX_SERIES_COLUMNS];
    bool dirty, text_dirty;
    struct dl_index_series *next, *next_in_bucket;
} dl_index_series;

typedef struct dl_index_delta {
    int64_t key[3];
    int64_t change;
    struct dl_index_delta *next, *next_in_bucket;
} dl_index_delta;

typedef struct dl_index_pending {
    int64_t instance, watermark;
    dl_index_action action;
} dl_index_pending;

enum {
    DL_INDEX_TX_BUCKETS = 256,
    DL_INDEX_TX_ARENA_BYTES = 1024 * 1024 * 1024,
    DL_INDEX_TX_CHANGES_LIMIT = 16 * 1024 * 1024, /* change rows of one transaction */
};

typedef struct dl_index_deltas {
    dl_index_delta *buckets[DL_INDEX_TX_BUCKETS];
    dl_index_delta *all;
} dl_index_deltas;

struct dl_index_tx {
    dl_index *index;
    dl_index_conn *conn;
    dl_arena *arena;
    dl_status failed; /* not DL_OK: the database refused; the transaction cannot be committed */
    dl_index_study *study_buckets[DL_INDEX_TX_BUCKETS], *studies;
    dl_index_series *series_buckets[DL_INDEX_TX_BUCKETS], *series;
    dl_index_deltas tally, base_users;
    dl_index_pending *changes;
    size_t change_count, change_cap;
    dl_buf packed, json;
    int64_t bases_made;
};

/* entity.c: studies and series of a transaction */
DL_NODISCARD dl_status dl_index_study_find(dl_index_tx *tx, int64_t partition,
                                           const dl_index_uid *uid, bool create,
                                           dl_index_study **out_study, dl_error *err);
DL_NODISCARD dl_status dl_index_series_find(dl_index_tx *tx, dl_index_study *study,
                                            const dl_index_uid *uid, bool create,
                                            dl_index_series **out_series, dl_error *err);
/** An instance of the series came with this version, which has these elements. */
DL_NODISCARD dl_status dl_index_entity_add(dl_index_tx *tx, dl_index_series *series,
                                           int64_t watermark, const dl_index_elements_found *found,
                                           dl_error *err);
/** An instance went, with what it gave. */
DL_NODISCARD dl_status dl_index_entity_remove(dl_index_tx *tx, dl_index_series *series,
                                              int64_t watermark, dl_error *err);
/** Write all that changed. */
DL_NODISCARD dl_status dl_index_entity_flush(dl_index_tx *tx, dl_error *err);

/** Users of a metadata base that come (1) or go (-1). */
DL_NODISCARD dl_status dl_index_base_count(dl_index_tx *tx, int64_t base, int64_t change,
                                           dl_error *err);
/** Count an entity of `level` in or out under its place in the order (created or watermark). */
DL_NODISCARD dl_status dl_index_tally_add(dl_index_tx *tx, int64_t partition, dl_index_level level,
                                          int64_t place, int64_t change, dl_error *err);
DL_NODISCARD dl_status dl_index_tally_flush(dl_index_tx *tx, dl_error *err);
/** Where a row lies: `skip` rows on from the first place that is <= `place`. */
typedef struct dl_index_seat {
    bool found; /* else there are not so many rows */
    int64_t place, skip;
} dl_index_seat;

/** The row `offset` from the newest. */
DL_NODISCARD dl_status dl_index_tally_seek(dl_index_conn *conn, int64_t partition,
                                           dl_index_level level, int64_t offset,
                                           dl_index_seat *out_seat, dl_error *err);
/** All entities of a level. */
DL_NODISCARD dl_status dl_index_tally_total(dl_index_conn *conn, int64_t partition,
                                            dl_index_level level, int64_t *out_total,
                                            dl_error *err);

DL_NODISCARD dl_status dl_index_change_add(dl_index_tx *tx, int64_t instance, int64_t watermark,
                                           dl_index_action action, dl_error *err);
/** Take the version out of use: its file may go at `not_before_us`. */
DL_NODISCARD dl_status dl_index_version_retire(dl_index_tx *tx, int64_t watermark,
                                               int64_t not_before_us, dl_error *err);
/** Note that the database refused; returns `status`. */
dl_status dl_index_tx_fail(dl_index_tx *tx, dl_status status);

#endif
