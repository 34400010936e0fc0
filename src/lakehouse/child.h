/**
 * Child: a statement of somebody else in a process of its own: this program once more, sealed
 * (query/seal.h), with its limits, its rows coming through a pipe.
 *
 * The child is `dicomlake sql --home HOME --lakehouse NAME --format F --worker` with the statement
 * on its standard input; rows on its standard output, the end (counts, or the error as JSON with
 * status, message, hint, place) as one line on its standard error. When the reader goes away, time
 * is up or somebody cancels, the child is killed: nothing of it matters to anyone else.
 *
 * Thread: locked (start, cancel, list); a stream is confined.
 */
#ifndef DL_LAKEHOUSE_CHILD_H
#define DL_LAKEHOUSE_CHILD_H

#include "lakehouse/lakehouse.h"
#include "query/output.h"

typedef struct dl_children dl_children;

typedef struct dl_children_options {
    const char *program; /* absolute; /proc/self/exe's target */
    const char *home;
    unsigned at_once;       /* 0: 4; further ones wait up to wait_ms, then DL_E_LIMIT */
    unsigned wait_ms;       /* 0: 5000 */
    dl_query_limits limits; /* no statement gets more; 0: 1 GiB, 60 s, 10 M rows */
} dl_children_options;
DL_NODISCARD dl_status dl_children_create(const dl_children_options *options,
                                          dl_children **out_children, dl_error *err);
/** Kills what runs. */
void dl_children_destroy(dl_children *children);

typedef struct dl_child dl_child;
typedef struct dl_child_options {
    dl_str lakehouse, statement;
    dl_query_format format;
    dl_query_limits limits; /* of this one; beyond the children's: those */
} dl_child_options;

enum { DL_CHILD_ID_SIZE = 33 };

/** Returns when the first rows are there, or the statement failed: then with its error and place.
 */
DL_NODISCARD dl_status dl_child_start(dl_children *children, const dl_child_options *options,
                                      dl_child **out_child, dl_query_place *out_place,
                                      dl_error *err);
/** 0 bytes: the end. A child that fails in the middle: its error. */
DL_NODISCARD dl_status dl_child_read(dl_child *child, char *out, size_t room, size_t *out_len,
                                     dl_error *err);
/** Kills it when it still runs. */
void dl_child_destroy(dl_child *child);

typedef struct dl_child_fact {
    char id[DL_CHILD_ID_SIZE];
    char lakehouse[DL_LAKEHOUSE_NAME_LIMIT + 1];
    int64_t started_us;
} dl_child_fact;
/** What runs now; the statements themselves are not told. */
size_t dl_children_list(dl_children *children, dl_child_fact *out, size_t room);
/** Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_children_cancel(dl_children *children, dl_str id, dl_error *err);
const char *dl_child_id(const dl_child *child);

#endif
