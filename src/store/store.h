/**
 * Store: objects under slash-separated keys; today on a local folder (store/local.c).
 *
 * Objects are written once and never changed. Writing goes through a spool: bytes stream in and are
 * hashed on the way, the spool can be read while nothing else sees it, and dl_store_publish() gives
 * a whole group of spools their keys with one round of syncs: when it returns, each published
 * object survives power loss under its key. An object that is overwritten, touched or cut by
 * somebody else is recognised by its tag.
 *
 * What every object store can promise is also here for small objects (Delta logs stand on it):
 * dl_store_put_if_absent() either creates the key or says DL_E_EXISTS, never both, also when two
 * processes race.
 *
 * Keys: 1..1024 bytes of well-formed UTF-8, segments of 1..255 bytes without ASCII control
 * characters and backslashes, no leading '/', no "." or ".." segment, the first not ".spool";
 * anything else is DL_E_INVALID, so no key leaves the root.
 *
 * Thread: locked (any thread may call); a spool and an open object are confined.
 */
#ifndef DL_STORE_STORE_H
#define DL_STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

typedef struct dl_store dl_store;
typedef struct dl_store_spool dl_store_spool;
typedef struct dl_store_object dl_store_object; /* open for reading */

enum { DL_STORE_KEY_LIMIT_BYTES = 1024, DL_STORE_HASH_BYTES = 16 };

/** What identifies the bytes of an object. */
typedef struct dl_store_stat {
    uint64_t size_bytes;
    int64_t modified_us; /* when it was written, by the store's clock */
    int64_t tag;         /* changes when anybody writes to the object (local: mtime in ns) */
    uint8_t hash[DL_STORE_HASH_BYTES]; /* XXH3-128 of the content, canonical order; zero from
                                          dl_store_stat_key */
} dl_store_stat;

/**
 * Open a folder as a store; makes it (0700) when missing. Spools that a process left behind when it
 * fell are swept; those of stores that are open, here or in another process, stay. Nothing else is
 * written before the first spool.
 */
DL_NODISCARD dl_status dl_store_open_local(const char *root, dl_store **out_store, dl_error *err);
/** As dl_store_open_local for a folder that other programs read too: what is made there has the
 * rights that the process's umask leaves. `create` false: DL_E_NOT_FOUND when there is no folder.
 */
DL_NODISCARD dl_status dl_store_open_shared(const char *root, bool create, dl_store **out_store,
                                            dl_error *err);
void dl_store_close(dl_store *store);

/* ---- small objects, whole ---- */

enum { DL_STORE_PUT_LIMIT_BYTES = 256 * 1024 * 1024 };

/**
 * Write `bytes` under `key` unless the key exists. Durable and whole when it returns; nobody ever
 * sees a part. Errors: DL_E_EXISTS (lost the race), DL_E_LIMIT, DL_E_UNSUPPORTED (the place cannot
 * promise it), DL_E_IO: nothing is there, except when the message says "is there but may not last"
 * (the folder could not be synced; others may have read it, so it stays).
 */
DL_NODISCARD dl_status dl_store_put_if_absent(dl_store *store, dl_str key, dl_bytes bytes,
                                              dl_error *err);
/** Write `bytes` under `key`, in place of what was there, in one step. */
DL_NODISCARD dl_status dl_store_put(dl_store *store, dl_str key, dl_bytes bytes, dl_error *err);
/** Append the whole object to `out` (bounded by its limit). Errors: DL_E_NOT_FOUND, DL_E_LIMIT. */
DL_NODISCARD dl_status dl_store_get(dl_store *store, dl_str key, dl_buf *out, dl_error *err);
/** Append at most `len` bytes from `offset_bytes` on; less at the end of the object. */
DL_NODISCARD dl_status dl_store_get_range(dl_store *store, dl_str key, uint64_t offset_bytes,
                                          size_t len, dl_buf *out, dl_error *err);
/** What DuckDB opens the object by (local: its absolute path). */
DL_NODISCARD dl_status dl_store_location(const dl_store *store, dl_str key, dl_arena *arena,
                                         dl_str *out_location, dl_error *err);

/* ---- writing ---- */

DL_NODISCARD dl_status dl_store_spool_create(dl_store *store, dl_store_spool **out_spool,
                                             dl_error *err);
/** Without a publish before, the spool is gone. NULL is fine. */
void dl_store_spool_destroy(dl_store_spool *spool);
DL_DEFINE_AUTO(dl_store_spool)
/** Append. Errors: DL_E_IO (full disk and the like). */
DL_NODISCARD dl_status dl_store_spool_write(dl_store_spool *spool, dl_bytes bytes, dl_error *err);
uint64_t dl_store_spool_size(const dl_store_spool *spool);
/**
 * Make what was written durable, in the caller's thread: a later publish of the spool then only
 * names it. Threads that sync at the same time share the journal's commits. Errors: DL_E_IO; the
 * spool is then of no use.
 */
DL_NODISCARD dl_status dl_store_spool_sync(dl_store_spool *spool, dl_error *err);
/** For reading what was written, with pread; owned by the spool. */
int dl_store_spool_fd(const dl_store_spool *spool);

/** One member of a group. */
typedef struct dl_store_publish_item {
    dl_store_spool *spool; /* stays the caller's to destroy */
    dl_str key;
    dl_status status;   /* out: DL_OK, DL_E_EXISTS (never overwrites: the spool can be published
                           under another key), DL_E_INVALID (key), DL_E_IO, ... */
    dl_store_stat stat; /* out, when DL_OK */
    dl_error *err;      /* out, may be NULL */
} dl_store_publish_item;

/**
 * Make the group durable under their keys: sync the data of all, link all, sync each folder once.
 * Items fail alone, and one that fails leaves nothing under its key. The wall time is that of a few
 * syncs, not of one per item (docs/decisions/0001-group-sync.md).
 */
void dl_store_publish(dl_store *store, dl_store_publish_item *items, size_t count);

/* ---- reading ---- */

/** Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_store_stat_key(dl_store *store, dl_str key, dl_store_stat *out_stat,
                                         dl_error *err);
/**
 * Open for reading. With `expect` (size and tag) an object that somebody changed or removed is
 * DL_E_CORRUPT with a message that says so (contract: 424).
 */
DL_NODISCARD dl_status dl_store_open_object(dl_store *store, dl_str key,
                                            const dl_store_stat *expect,
                                            dl_store_object **out_object, dl_error *err);
void dl_store_object_close(dl_store_object *object);
uint64_t dl_store_object_size(const dl_store_object *object);
DL_NODISCARD dl_status dl_store_object_read(dl_store_object *object, uint64_t offset_bytes,
                                            void *out, size_t len, dl_error *err);
/** A descriptor for sendfile when the store has one, else -1; the object's to close. */
int dl_store_object_fd(const dl_store_object *object);
/** Read it all and hash it. */
DL_NODISCARD dl_status dl_store_hash(dl_store *store, dl_str key, dl_store_stat *out_stat,
                                     dl_error *err);

/** Gone, also when it was not there. Durable when it returns. */
DL_NODISCARD dl_status dl_store_remove(dl_store *store, dl_str key, dl_error *err);
/** Every key below the prefix (a folder, without trailing '/'; empty: all), in no order; spools are
 * not keys. A callback that fails ends the walk. */
DL_NODISCARD dl_status dl_store_list(dl_store *store, dl_str prefix,
                                     dl_status (*visit)(void *context, dl_str key,
                                                        const dl_store_stat *stat, dl_error *err),
                                     void *context, dl_error *err);
/**
 * The objects directly in a folder (no deeper ones) whose names are greater than `after` (by bytes;
 * empty: all), in ascending order. A folder that is not there has none.
 */
DL_NODISCARD dl_status dl_store_list_folder(dl_store *store, dl_str folder, dl_str after,
                                            dl_status (*visit)(void *context, dl_str key,
                                                               const dl_store_stat *stat,
                                                               dl_error *err),
                                            void *context, dl_error *err);
/** Remove folders below `folder` (and itself) that hold nothing; a store without folders has none.
 */
DL_NODISCARD dl_status dl_store_remove_empty(dl_store *store, dl_str folder, int64_t *out_removed,
                                             dl_error *err);
/** Write and remove a probe object: whether the store takes writes. */
DL_NODISCARD dl_status dl_store_probe(dl_store *store, dl_error *err);

/** XXH64, seed 0: the contract's file names begin with three digits of it (section 11.1). */
uint64_t dl_store_xxh64(dl_bytes bytes);

#endif
