/**
 * What the files of the catalog share: rules of names, the home's own lakehouse, and paths.
 *
 * Thread: pure but for the I/O.
 */
#ifndef DL_LAKEHOUSE_CATALOG_INTERNAL_H
#define DL_LAKEHOUSE_CATALOG_INTERNAL_H

#include "lakehouse/lakehouse.h"

enum {
    DL_LAKEHOUSE_DESCRIPTION_LIMIT = 4096, /* bytes */
    DL_LAKEHOUSE_LIMIT = 10000,            /* of a home */
    DL_LAKEHOUSE_SUBPATH_LIMIT = 1024,     /* bytes */
    DL_LAKEHOUSE_PATH_SIZE = 4096,
};

/** The connection that leads to this home without being written down. */
#define DL_LAKEHOUSE_HOME_CONNECTION "home:"

/** "Tables", "Files". */
const char *dl_shortcut_kind_name(dl_shortcut_kind kind);
/** NULL: none of that kind has the name. */
const dl_shortcut *dl_shortcut_find(const dl_lakehouse *lakehouse, dl_shortcut_kind kind,
                                    dl_str name);

/** All rules that a document has to keep, `where` before each message. Errors: DL_E_INVALID,
 * DL_E_LIMIT. */
DL_NODISCARD dl_status dl_lakehouse_check(const dl_lakehouse *lakehouse, dl_error *err);
DL_NODISCARD dl_status dl_shortcut_check(const dl_shortcut *shortcut, const char *where,
                                         dl_error *err);
/** The document in lines, as it lies in its folder. */
DL_NODISCARD dl_status dl_lakehouse_text(const dl_lakehouse *lakehouse, dl_buf *out, dl_error *err);

/** What every home has: its tables and its DICOM files (implied.c). */
DL_NODISCARD dl_status dl_lakehouse_implied(dl_factory *factory, dl_arena *arena, dl_lakehouse *out,
                                            dl_error *err);

/** The folder of a lake connection (or "home:") that a sub path begins in, and what of the sub path
 * is below it. Errors: DL_E_NOT_FOUND (no such connection, with names alike), DL_E_INVALID,
 * DL_E_UNSUPPORTED. */
DL_NODISCARD dl_status dl_shortcut_base(dl_factory *factory, const dl_shortcut *shortcut,
                                        dl_arena *arena, dl_str *out_base, dl_str *out_below,
                                        dl_error *err);

#endif
