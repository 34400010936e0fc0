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

static inline void dl_cohort_close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

#endif
