/**
 * A store in a folder of the test's own, and short words for what tests do with it.
 */
#ifndef DL_TESTS_STORE_RIG_H
#define DL_TESTS_STORE_RIG_H

#include "store/store.h"

#include "faults.h"
#include "support/folder.h"
#include "tap.h"

enum { PATH_SIZE = 512 };

typedef struct home {
    char base[FOLDER_SIZE]; /* a folder of the test's own */
    char root[PATH_SIZE];   /* the store in it, not made yet */
} home;

home home_make(void);
void home_remove(const home *h);
void path_of(const home *h, const char *key, char out[PATH_SIZE * 4]);

dl_bytes bytes_of(const char *text);
dl_store *store_open(const home *h);
dl_store_spool *spool_of(dl_store *store, const char *text);
/** Spooled and published. */
dl_status put(dl_store *store, const char *key, const char *text, dl_store_stat *out_stat,
              dl_error *err);
bool holds(dl_store *store, const char *key, const dl_store_stat *expect, const char *text);

/** Visits of a listing; `context` is an int64_t. */
dl_status count_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err);
int64_t count_keys(dl_store *store, const char *prefix);
/** Files anywhere below .spool/, and its folders. */
void count_spools(const home *h, int *out_folders, int *out_files);

#endif
