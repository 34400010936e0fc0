/**
 * Files and cohorts of a lakehouse.
 *
 * A path is "SHORTCUT/below/it", as `lakehouse files ls` prints it, or a filePath of a row (which
 * the Files shortcuts lead to as file_url does). Nothing above a shortcut's folder is reached:
 * "..", links that lead out and devices are refused.
 *
 * A cohort is a list of instances that a statement gave, kept with the statement, the versions that
 * it read, and when: HOME/lakehouse/NAME/cohorts/COHORT/{1,2,...}.json, each version whole and
 * never changed. The statement must give sopInstanceUid, and filePath where files are wanted.
 *
 * Thread: pure but for the I/O.
 */
#ifndef DL_LAKEHOUSE_FILES_H
#define DL_LAKEHOUSE_FILES_H

#include "lakehouse/lakehouse.h"

typedef struct dl_lake_file {
    dl_str name;
    bool folder;
    uint64_t size_bytes;
    int64_t modified_us;
} dl_lake_file;

enum { DL_LAKE_FILES_LIMIT = 100 * 1000 }; /* names of one call */

/** In order of names (byte by byte), after `after` (empty: from the first), at most `limit` (1 to
 * DL_LAKE_FILES_LIMIT); fewer only at the end. An empty path: the Files shortcuts themselves,
 * broken ones too. Memory does not grow with the folder. What is neither a file nor a folder, and
 * links that lead out, are left out. Errors: DL_E_NOT_FOUND, DL_E_DENIED, DL_E_INVALID (no folder).
 */
DL_NODISCARD dl_status dl_lake_files_list(dl_factory *factory, const dl_lakehouse *lakehouse,
                                          dl_str path, dl_str after, size_t limit, dl_arena *arena,
                                          dl_lake_file **out_files, size_t *out_count,
                                          dl_error *err);
/** A descriptor for reading; the caller closes it. Errors: DL_E_NOT_FOUND (also: its shortcut is
 * broken), DL_E_DENIED (leads out of the shortcut), DL_E_INVALID (no plain file). */
DL_NODISCARD dl_status dl_lake_file_open(dl_factory *factory, const dl_lakehouse *lakehouse,
                                         dl_str path, int *out_fd, uint64_t *out_size_bytes,
                                         dl_error *err);

/* ---- cohorts ---- */

typedef struct dl_cohort {
    dl_str name, lakehouse, statement;
    int64_t version, created_us, instance_count;
    const dl_query_read *reads; /* what the statement read */
    size_t read_count;
} dl_cohort;

enum { DL_COHORT_INSTANCE_LIMIT = 10 * 1000 * 1000 };

/** Runs the statement and writes the next version. `out` gets it. Errors: those of the statement,
 * DL_E_INVALID (no sopInstanceUid among its columns), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_cohort_save(dl_factory *factory, const dl_lakehouse *lakehouse,
                                      dl_str name, dl_str statement, dl_query *query,
                                      dl_arena *arena, dl_cohort *out, dl_query_place *out_place,
                                      dl_error *err);
/** version -1: the newest. */
DL_NODISCARD dl_status dl_cohort_get(dl_factory *factory, const dl_lakehouse *lakehouse,
                                     dl_str name, int64_t version, dl_arena *arena, dl_cohort *out,
                                     dl_error *err);
DL_NODISCARD dl_status dl_cohort_list(dl_factory *factory, const dl_lakehouse *lakehouse,
                                      dl_arena *arena, dl_cohort **out_items, size_t *out_count,
                                      dl_error *err);
DL_NODISCARD dl_status dl_cohort_remove(dl_factory *factory, const dl_lakehouse *lakehouse,
                                        dl_str name, dl_error *err);

typedef struct dl_cohort_instance {
    dl_str study, series, sop, file_path; /* empty: the statement had none */
} dl_cohort_instance;
/** In the order of the statement, one at a time. */
DL_NODISCARD dl_status dl_cohort_each(dl_factory *factory, const dl_cohort *cohort,
                                      dl_status (*visit)(void *context,
                                                         const dl_cohort_instance *instance,
                                                         dl_error *err),
                                      void *context, dl_error *err);

typedef struct dl_cohort_fetch {
    const char *folder; /* made; files at STUDY/SERIES/SOP.dcm, and manifest.json */
    dl_cancel *cancel;
    /* For a bar: instances that are done, and bytes copied, so far. From any thread, one at a time;
     * may be NULL. */
    void (*on_file)(void *context, int64_t files, int64_t bytes);
    void *context;
} dl_cohort_fetch;
typedef struct dl_cohort_fetched {
    int64_t files, bytes, already_there, missing;
} dl_cohort_fetched;
/** Copies the files; those that are there with the right hash stay. manifest.json is written last:
 * cohort, version, statement, and for each file its path, size, sha256 and UIDs; an instance
 * without a file is in it as missing, and counted. Ended in the middle, the same call goes on.
 * Errors: DL_E_CONFLICT (another process fetches into the folder), DL_E_EXISTS (its files are
 * another cohort's), DL_E_CANCELED, DL_E_IO (no room: what is there stays). */
DL_NODISCARD dl_status dl_cohort_fetch_files(dl_factory *factory, const dl_lakehouse *lakehouse,
                                             const dl_cohort *cohort,
                                             const dl_cohort_fetch *options, dl_cohort_fetched *out,
                                             dl_error *err);

#endif
