/**
 * What the readers of documents share: a value with its JSON path, and the checks that end in an
 * error with that path.
 *
 * A member that is not there, or null, is a node without a value: the readers of values leave their
 * output as it is then. All texts are copied into the arena.
 *
 * Thread: confined.
 */
#ifndef DL_FACTORY_DOCUMENT_READ_H
#define DL_FACTORY_DOCUMENT_READ_H

#include "factory/document.h"

typedef struct dl_document_reader {
    dl_arena *arena;
    dl_factory_unknown *unknown; /* may be NULL */
    dl_error *err;
    bool fit_names; /* names from outside: what is not allowed in them becomes '-' */
} dl_document_reader;

typedef struct dl_document_node {
    dl_str value; /* ptr NULL: not there */
    dl_str path;
} dl_document_node;

/** The document as a whole: its size, its JSON, inline secrets; an object. A byte order mark is
 * passed over. */
DL_NODISCARD dl_status dl_document_root(dl_document_reader *r, dl_str json,
                                        dl_document_node *out_node);
DL_NODISCARD dl_status dl_document_child(dl_document_reader *r, const dl_document_node *node,
                                         const char *key, dl_document_node *out_child);
/** The next element of an array; `index` counts from 0 and is moved on. */
DL_NODISCARD dl_status dl_document_element(dl_document_reader *r, const dl_document_node *array,
                                           dl_str value, size_t index, dl_document_node *out_child);
static inline bool dl_document_is(const dl_document_node *node)
{
    return node->value.ptr != NULL;
}

/** Lists members that are not among `known` (ended by NULL). Errors: not an object. A node without
 * a value has no members. */
DL_NODISCARD dl_status dl_document_object(dl_document_reader *r, const dl_document_node *node,
                                          const char *const *known);
DL_NODISCARD dl_status dl_document_array(dl_document_reader *r, const dl_document_node *node,
                                         size_t limit, size_t *out_count);
void dl_document_unknown(dl_document_reader *r, dl_str path);
/** As dl_document_unknown with words in brackets behind the path. */
void dl_document_note(dl_document_reader *r, dl_str path, const char *note);

DL_NODISCARD dl_status dl_document_text(dl_document_reader *r, const dl_document_node *node,
                                        dl_str *out);
DL_NODISCARD dl_status dl_document_name(dl_document_reader *r, const dl_document_node *node,
                                        dl_str *out);
/** {"referenceName": ..., "type": type} */
DL_NODISCARD dl_status dl_document_reference(dl_document_reader *r, const dl_document_node *node,
                                             const char *type, dl_str *out);
/** A number, or a text that is one. */
DL_NODISCARD dl_status dl_document_int(dl_document_reader *r, const dl_document_node *node,
                                       int64_t least, int64_t most, int64_t *out);
DL_NODISCARD dl_status dl_document_bool(dl_document_reader *r, const dl_document_node *node,
                                        bool *out);
/** [-][d.]hh:mm:ss */
DL_NODISCARD dl_status dl_document_span(dl_document_reader *r, const dl_document_node *node,
                                        int64_t *out_us);
/** ISO 8601; without a zone it is local time in `zone` (NULL: UTC). */
DL_NODISCARD dl_status dl_document_time(dl_document_reader *r, const dl_document_node *node,
                                        const dl_calendar_zone *zone, int64_t *out_us);
/** The index of the text among `words` (ended by NULL), without regard to case. */
DL_NODISCARD dl_status dl_document_word(dl_document_reader *r, const dl_document_node *node,
                                        const char *const *words, size_t *out_index);

/** "path: 'value' is not WHAT". */
dl_status dl_document_wrong(dl_document_reader *r, const dl_document_node *node, const char *what);
/** "path: it is missing; WHAT is expected". */
dl_status dl_document_missing(dl_document_reader *r, const dl_document_node *node,
                              const char *what);

/** Parameters of a pipeline ({"X": {"type", "defaultValue"}}) or a trigger ({"X": value}): names,
 * literal values and expressions are checked. */
DL_NODISCARD dl_status dl_document_parameters(dl_document_reader *r, const dl_document_node *node,
                                              bool of_trigger, bool has_window,
                                              dl_factory_parameter *out, size_t *out_count);

/** The policy of an activity: timeout, retry and its interval. */
DL_NODISCARD dl_status dl_document_policy(dl_document_reader *r, const dl_document_node *policy,
                                          dl_factory_pipeline *p);
/** Whether the defaults fit together. */
DL_NODISCARD dl_status dl_document_check_defaults(dl_document_reader *r,
                                                  const dl_factory_pipeline *p);
/** The template's own writing of a parameter's name; NULL: there is no such parameter. */
const char *dl_document_parameter_name(dl_str name);

DL_NODISCARD dl_status dl_document_read_connection(dl_document_reader *r, dl_str json,
                                                   dl_factory_connection *out);
DL_NODISCARD dl_status dl_document_read_pipeline(dl_document_reader *r, dl_str json,
                                                 dl_factory_pipeline *out);
DL_NODISCARD dl_status dl_document_read_trigger(dl_document_reader *r, dl_str json,
                                                dl_factory_trigger *out);

/** A name from outside made fit: each character that is not allowed becomes '-'. */
DL_NODISCARD dl_status dl_document_fit_name(dl_str name, dl_arena *arena, dl_str *out,
                                            dl_error *err);

#endif
