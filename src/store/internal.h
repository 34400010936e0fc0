/**
 * What the parts of the local store share: the store itself, spools, and the check of keys.
 *
 * On disk: objects under their keys below the root, and `.spool/<life>/<n>` for what is being
 * written. A life is one opened store that writes; it holds a flock on its folder, so a sweep can
 * tell the spools of the dead from those of the living, also across processes.
 */
#ifndef DL_STORE_INTERNAL_H
#define DL_STORE_INTERNAL_H

#include "base/file.h"
#include "store/store.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <xxhash.h>

#define DL_STORE_SPOOL_FOLDER ".spool"

enum {
    DL_STORE_LIFE_NAME_SIZE = 33,         /* 32 hex digits and NUL */
    DL_STORE_SPOOL_NAME_SIZE = 24,        /* the digits of a uint64_t and NUL */
    DL_STORE_FOLDERS_KNOWN = 4096,        /* folders remembered as durable themselves: 64 KiB */
    DL_STORE_WRITE_OUT_BYTES = 8 << 20,   /* a long spool starts its write-out in steps of this */
    DL_STORE_LIST_LIMIT_BYTES = 64 << 20, /* names of folders still to be visited in a listing */
};

typedef struct dl_store_folder_id {
    uint64_t low, high;
} dl_store_folder_id;

struct dl_store {
    int root_fd;
    char root[PATH_MAX];                /* absolute, without links */
    mode_t folder_mode, file_mode;      /* of what is made, before the umask */
    atomic_uint_fast64_t next_spool;    /* relaxed: only the number must be its own */
    pthread_mutex_t lock;               /* guards everything below; no I/O but making the life */
    int life_fd;                        /* -1 until the first spool; holds the flock */
    char life[DL_STORE_LIFE_NAME_SIZE]; /* name of the folder below .spool/ */
    uint64_t known_round;               /* counts dl_store_folder_forget */
    dl_store_folder_id known[DL_STORE_FOLDERS_KNOWN]; /* by hash; a newer one takes the place */
};

typedef enum dl_store_spool_state {
    DL_STORE_SPOOL_OPEN,      /* takes writes */
    DL_STORE_SPOOL_BROKEN,    /* a write failed: never published */
    DL_STORE_SPOOL_PUBLISHED, /* has its key; its spool name is gone */
} dl_store_spool_state;

struct dl_store_spool {
    dl_store *store;
    int fd;
    char name[DL_STORE_SPOOL_NAME_SIZE];
    dl_store_spool_state state;
    bool folder_waits; /* inside dl_store_publish: linked, its folder not yet synced */
    uint64_t size_bytes;
    uint64_t write_out_bytes; /* handed to the disk so far */
    bool synced;              /* all of it lasts; `stat` says what it is */
    dl_store_stat stat;
    XXH3_state_t *hash;
};

/** A key as a C string. Errors: DL_E_INVALID; the message names the rule, not the key. */
DL_NODISCARD dl_status dl_store_key_text(dl_str key, char out[DL_STORE_KEY_LIMIT_BYTES + 1],
                                         dl_error *err);

/** The folder of a key: what stands before its last '/', empty for the root. */
dl_str dl_store_key_folder(dl_str key);

/** Names made or removed in the folder last from here on, and so do the folders above it. */
DL_NODISCARD dl_status dl_store_folder_sync(dl_store *store, dl_str folder, dl_error *err);

/** Make every folder above the key that is missing. */
DL_NODISCARD dl_status dl_store_make_folders(dl_store *store, dl_str key, dl_error *err);

/** The folder is not known to last any more: it was or will be made anew. */
void dl_store_folder_forget(dl_store *store, dl_str folder);

/** Open an object by its checked key. Errors: DL_E_NOT_FOUND, also for what is no file. */
DL_NODISCARD dl_status dl_store_open_path(const dl_store *store, const char *path, int *out_fd,
                                          dl_store_stat *out_stat, dl_error *err);

/** The folder that holds the living spools; makes it at the first call. */
DL_NODISCARD dl_status dl_store_life_open(dl_store *store, dl_error *err);

/** Remove the spools that no living store holds. */
DL_NODISCARD dl_status dl_store_sweep(dl_store *store, dl_error *err);

/** Size and tag of an open or named file. */
void dl_store_stat_of(const struct stat *file, dl_store_stat *out_stat);

/** A second sync might wrongly say that all is well: the spool is broken from here on. */
dl_status dl_store_sync_failed(dl_store_spool *spool, int os_code, dl_error *err);

/** The hash's canonical bytes into `stat`. */
void dl_store_hash_bytes(const XXH3_state_t *hash, dl_store_stat *stat);

#endif
