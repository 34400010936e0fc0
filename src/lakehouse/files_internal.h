/**
 * What files and cohorts share.
 */
#ifndef DL_LAKEHOUSE_FILES_INTERNAL_H
#define DL_LAKEHOUSE_FILES_INTERNAL_H

#include "lakehouse/files.h"
#include "query/roots.h"

/** The folders of all Files shortcuts that are not broken. */
DL_NODISCARD dl_status dl_lake_roots(dl_factory *factory, const dl_lakehouse *lakehouse,
                                     dl_roots **out_roots, dl_error *err);

#endif
