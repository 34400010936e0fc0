/**
 * Source: every regular file under the paths that were named, one after the other.
 *
 * Symbolic links are followed where a person named one, and not below: so no walk leaves its tree
 * or goes in circles. Folders are opened with O_NOFOLLOW, so that a folder that is replaced by a
 * link during the walk is not followed either. Nothing is opened but folders.
 *
 * Memory grows with the names of the folders still to visit, not with the files.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_SOURCE_H
#define DL_CLI_SOURCE_H

#include "base/cancel.h"
#include "base/str.h"

typedef struct dl_cli_found {
    const char *path; /* borrowed for the call */
    uint64_t size_bytes;
    bool named; /* the person named this very file */
} dl_cli_found;

/** A callback that fails ends the walk with its status. */
typedef struct dl_cli_source_events {
    dl_status (*file)(void *context, const dl_cli_found *found, dl_error *err);
    /** Not a file to import: a link, a device; `why` is a lasting text. May be NULL. */
    dl_status (*passed)(void *context, const char *path, const char *why, bool named,
                        dl_error *err);
    /** Could not be looked at. May be NULL. */
    dl_status (*failed)(void *context, const char *path, const dl_error *why, dl_error *err);
    void *context;
} dl_cli_source_events;

/** Errors: DL_E_CANCELED, DL_E_NOMEM, or what a callback returned. */
DL_NODISCARD dl_status dl_cli_source_walk(char *const *paths, size_t count,
                                          const dl_cli_source_events *events, dl_cancel *cancel,
                                          dl_error *err);

#endif
