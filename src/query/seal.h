/**
 * Seal: from now on this process reads only what it is told, writes only where it is told, and
 * reaches no network and no other program, whatever SQL or a fault in a library makes it try.
 *
 * Landlock (Linux 5.13) for files, seccomp for sockets, exec, ptrace and the like, a limit
 * for the process's memory, no core dumps. What the kernel does not have is left out and
 * told: the engine's own refusals (query.h) stand before it in any case. There is no way back.
 *
 * libduckdb must be loaded before (dl_query_open does that) and its threads must not run yet:
 * dl_query_seal comes after dl_query_open, which starts none before the first statement.
 *
 * Thread: confined, before other threads are started.
 */
#ifndef DL_QUERY_SEAL_H
#define DL_QUERY_SEAL_H

#include "query/query.h"

typedef struct dl_query_seal_options {
    const char *const *read; /* files and folders, with all below; besides those of the session */
    size_t read_count;
    const char *const *write; /* folders and files that exist; reading too */
    size_t write_count;
    /* Of the process; 0: some more than twice what the engine may take. The engine does not count
     * all: texts that functions make are bounded by this alone. */
    uint64_t memory_bytes;
    bool network; /* leave sockets alone */
} dl_query_seal_options;

typedef struct dl_query_sealed {
    bool files, calls; /* landlock, seccomp are in force */
    int landlock_version;
} dl_query_sealed;

/** Adds the session's tables, roots and temp folder by itself. Errors: DL_E_NOT_FOUND (a path),
 * DL_E_IO. Not DL_OK is to be taken as not sealed at all. */
DL_NODISCARD dl_status dl_query_seal(dl_query *query, const dl_query_seal_options *options,
                                     dl_query_sealed *out_sealed, dl_error *err);

#endif
