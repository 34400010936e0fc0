/**
 * Lakehouse: what the commands lakehouse and shortcut share, and the part of the first that reads
 * files.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_LAKEHOUSE_H
#define DL_CLI_LAKEHOUSE_H

#include "cli/factory.h"
#include "lakehouse/lakehouse.h"

typedef struct dl_cli_lakehouse_options {
    dl_cli_factory_where where;
    const char *description; /* create */
    const char *lakehouse;   /* files: of which one; NULL: the only one, or the home's own */
    const char *to;          /* files get */
    const char *after;       /* files ls */
    uint64_t limit;          /* files ls; 0: no bound given */
} dl_cli_lakehouse_options;

/** `lakehouse files ls|cat|get ...`: `args` begin with that word; at least that one is there
 * (lakehouse_files.c). */
DL_NODISCARD dl_status dl_cli_lakehouse_files(dl_cli_factory *f, const void *options,
                                              const dl_cli_args *args, dl_error *err);

/** A line `dicomlake: WHAT NAME: cause; hint` on standard error, behind what was printed. */
void dl_cli_lakehouse_complain(dl_cli_factory *f, const dl_shortcut_state *state);
/** "home: /dicom/instance": where a shortcut leads. */
DL_NODISCARD dl_status dl_cli_lakehouse_target(dl_cli_factory *f, const dl_shortcut *shortcut,
                                               dl_str *out_text, dl_error *err);

#endif
