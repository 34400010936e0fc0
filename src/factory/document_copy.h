/**
 * Copying JSON with changes: members left out or replaced on the way, inline secrets found, and the
 * layout that people edit. No recursion; the text was checked (dl_json_check).
 *
 * Thread: confined.
 */
#ifndef DL_FACTORY_DOCUMENT_COPY_H
#define DL_FACTORY_DOCUMENT_COPY_H

#include "base/arena.h"
#include "base/buf.h"
#include "json/json.h"

typedef enum dl_document_action {
    DL_DOCUMENT_KEEP,
    DL_DOCUMENT_DROP,
    DL_DOCUMENT_REPLACE, /* by `*out_value`, one JSON value */
    DL_DOCUMENT_STOP,    /* the copy ends here, without an error: for looking something up */
} dl_document_action;

/** `path` is that of the value, `key` its raw key (ptr NULL: an element of an array). */
typedef dl_document_action dl_document_visit(void *context, dl_str path, dl_str key, dl_str value,
                                             dl_str *out_value);

/** Compact copy of one JSON value; what stands in place of a replaced value is not visited. */
DL_NODISCARD dl_status dl_document_copy(dl_str json, dl_document_visit *visit, void *context,
                                        dl_buf *out, dl_error *err);

/** A key as it stands between its quotes in some text, escapes and all. */
DL_NODISCARD dl_status dl_document_put_key(dl_json_writer *w, dl_str raw_key, dl_error *err);

/** The same in lines, four spaces a level. */
DL_NODISCARD dl_status dl_document_pretty(dl_str json, dl_buf *out, dl_error *err);

/** Whether the member is a secret that stands there itself (not a reference, not a mask). */
bool dl_document_is_secret(dl_str key, dl_str value);
/** The path of the first inline secret; *out_found false: none. */
DL_NODISCARD dl_status dl_document_find_secret(dl_str json, dl_arena *arena, bool *out_found,
                                               dl_str *out_path, dl_error *err);
/** A copy with "**********" for each inline secret. */
DL_NODISCARD dl_status dl_document_mask(dl_str json, dl_buf *out, dl_error *err);

#endif
