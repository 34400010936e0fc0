/**
 * What files and cohorts share.
 *
 *     files.c             paths, lists, descriptors
 *     cohort.c            versions: saved, removed
 *     cohort_read.c       versions: found, read
 *     cohort_manifest.c   what a folder that files are fetched into has already
 *     cohort_fetch.c      files into a folder
 */
#ifndef DL_LAKEHOUSE_FILES_INTERNAL_H
#define DL_LAKEHOUSE_FILES_INTERNAL_H

#include "base/file.h"
#include "lakehouse/files.h"
#include "query/roots.h"

#include <dirent.h>

/** The folders of all Files shortcuts that are not broken. */
DL_NODISCARD dl_status dl_lake_roots(dl_factory *factory, const dl_lakehouse *lakehouse,
                                     dl_roots **out_roots, dl_error *err);

/* ---- cohorts ---- */

enum {
    DL_COHORT_PATH_SIZE = 4096,
    DL_COHORT_UID_LIMIT = 64,
    DL_COHORT_LINE_LIMIT_BYTES = 64 * 1024, /* of an instance; a filePath has at most 4,095 bytes */
    /* Of the first line: a statement, escaped at worst six times as long, and what it read. */
    DL_COHORT_HEAD_LIMIT_BYTES = 6 * DL_QUERY_STATEMENT_LIMIT_BYTES + 4 * 1024 * 1024,
    DL_COHORT_NUMBER_WIDTH = 20, /* numbers that are known last, right in their place */
};

/** As dl_cohort_save, with a bound of its own. */
DL_NODISCARD dl_status dl_cohort_save_bounded(dl_factory *factory, const dl_lakehouse *lakehouse,
                                              dl_str name, dl_str statement, dl_query *query,
                                              int64_t limit, dl_arena *arena, dl_cohort *out,
                                              dl_query_place *out_place, dl_error *err);

/** 1 to DL_COHORT_UID_LIMIT digits and dots: PS3.5 section 9.1, but for zeros in front, which
 * services take. */
bool dl_cohort_is_uid(dl_str text);

/** HOME/lakehouse/NAME/cohorts, or a cohort's folder below it. Errors: DL_E_INVALID (a name). */
DL_NODISCARD dl_status dl_cohort_folder(dl_factory *factory, dl_str lakehouse, dl_str name,
                                        char out[DL_COHORT_PATH_SIZE], dl_error *err);
/** DL_E_NOT_FOUND, naming the cohorts that there are. */
dl_status dl_cohort_none(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str name,
                         dl_error *err);
/** The highest number of a version in a folder; 0: none, or no folder. */
DL_NODISCARD dl_status dl_cohort_newest(const char *folder, int64_t *out_version, dl_error *err);
/** "12.json": 12. */
bool dl_cohort_version_of(const char *file_name, int64_t *out_version);
/** "name": ..., "reads": [...]: the members that a cohort and a manifest share. */
void dl_cohort_put_facts(dl_json_writer *w, const dl_cohort *cohort);

/* ---- a folder of fetched files ---- */

enum {
    DL_MANIFEST_PATH_LIMIT = 3 * DL_COHORT_UID_LIMIT + 16,
    DL_MANIFEST_SHA_DIGITS = 64,
};

/** What a folder has of an instance. */
typedef struct dl_manifest_file {
    char path[DL_MANIFEST_PATH_LIMIT]; /* STUDY/SERIES/SOP.dcm */
    char file_path[DL_ROOTS_PATH_LIMIT + 1];
    char sha256[DL_MANIFEST_SHA_DIGITS + 1];
    uint64_t size_bytes;
} dl_manifest_file;

typedef struct dl_manifest dl_manifest;

/** What the folder's manifest.json and an earlier fetch that did not end say about its files. The
 * folder is ours alone until dl_manifest_destroy. Errors: DL_E_CONFLICT (another process fetches
 * into it), DL_E_EXISTS (its files are another cohort's). Thread: locked. */
DL_NODISCARD dl_status dl_manifest_open(const char *folder, const dl_cohort *cohort,
                                        dl_manifest **out_manifest, dl_error *err);
void dl_manifest_destroy(dl_manifest *manifest);
DL_DEFINE_AUTO(dl_manifest)
/** False: nothing is known of the path. */
bool dl_manifest_find(dl_manifest *manifest, const char *path, dl_manifest_file *out);
/** Kept at once, so that whoever is killed does not copy it again. */
DL_NODISCARD dl_status dl_manifest_add(dl_manifest *manifest, const dl_manifest_file *file,
                                       dl_error *err);
/** The file is not there any more. */
void dl_manifest_forget(dl_manifest *manifest, const char *path);
/** Everything is on the disk: manifest.json, in the cohort's order. */
DL_NODISCARD dl_status dl_manifest_finish(dl_manifest *manifest, dl_factory *factory,
                                          const dl_cohort *cohort, dl_error *err);
/** The path of an instance in the folder; '_' where a UID is not known. Errors: DL_E_CORRUPT (not
 * UIDs). */
DL_NODISCARD dl_status dl_manifest_path(const dl_cohort_instance *instance,
                                        char out[DL_MANIFEST_PATH_LIMIT], dl_error *err);

static inline void dl_cohort_close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

#endif
