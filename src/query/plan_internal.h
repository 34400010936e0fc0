/**
 * What the files of the plan share: the parser's tree as an array of nodes in the order of the
 * text, so that walking it is a loop and needs no stack.
 */
#ifndef DL_QUERY_PLAN_INTERNAL_H
#define DL_QUERY_PLAN_INTERNAL_H

#include "query/internal.h"
#include "json/json.h"

enum { DL_PLAN_NODE_NONE = 0 }; /* the root: nobody's child */

typedef struct dl_plan_node {
    dl_str key;   /* of an object's member, raw */
    dl_str value; /* of what is neither object nor array, raw */
    dl_json_kind kind;
    uint32_t parent, first, last, next; /* DL_PLAN_NODE_NONE: there is none */
} dl_plan_node;

typedef struct dl_plan_tree {
    dl_plan_node *nodes;
    uint32_t count;
    dl_arena *arena;
    size_t at; /* where it is wrong, SIZE_MAX when that is not known */
    dl_error *err;
} dl_plan_tree;

/** Errors: DL_E_CORRUPT (not JSON), DL_E_LIMIT (more nodes or deeper than we read). */
DL_NODISCARD dl_status dl_plan_tree_read(dl_plan_tree *tree, dl_str json);
/** The member called `key`, or DL_PLAN_NODE_NONE; that of DL_PLAN_NODE_NONE too. */
uint32_t dl_plan_get(const dl_plan_tree *tree, uint32_t object, const char *key);
/** Whether a member is the text `text` (of ours: nothing to unescape). */
bool dl_plan_member_is(const dl_plan_tree *tree, uint32_t object, const char *key,
                       const char *text);
/** A member's text; empty when there is none. */
DL_NODISCARD dl_status dl_plan_member_text(const dl_plan_tree *tree, uint32_t object,
                                           const char *key, dl_str *out_text);
/** A member that is missing, null, false or empty. */
bool dl_plan_member_is_empty(const dl_plan_tree *tree, uint32_t object, const char *key);
/** query_location; SIZE_MAX when the parser has none. */
size_t dl_plan_location(const dl_plan_tree *tree, uint32_t object);

/** Whether a function may be called: DL_E_DENIED, DL_E_INVALID with a name that is like it. */
DL_NODISCARD dl_status dl_plan_allow_function(dl_str name, dl_error *err);
DL_NODISCARD dl_status dl_plan_allow_table_function(dl_str name, dl_error *err);
/** Names of DuckDB's functions that may be called, for completion; NULL past the last. */
const char *dl_plan_function_name(size_t i);

/** Conditions of a SELECT_NODE on the tables of its FROM; `refs` are the nodes of the plan's
 * tables. */
DL_NODISCARD dl_status dl_plan_conditions_read(const dl_plan_tree *tree, dl_plan_table *tables,
                                               const uint32_t *refs, size_t table_count);

#endif
