/**
 * What the files of the catalog share: drafts as they lie in their folder, and one transaction
 * round everything that changes something (which also keeps processes apart).
 *
 * Thread: confined.
 */
#ifndef DL_FACTORY_CATALOG_INTERNAL_H
#define DL_FACTORY_CATALOG_INTERNAL_H

#include "factory/catalog.h"

enum {
    DL_CATALOG_DRAFT_LIMIT = 10000, /* of a kind */
    DL_CATALOG_ARENA_LIMIT_BYTES = 256 * 1024 * 1024,
};

typedef struct dl_catalog_work {
    dl_factory *factory;
    dl_db *db; /* NULL: for drafts alone */
    dl_arena *arena;
    dl_error *err;
} dl_catalog_work;

/** A file NAME.json; `fault` says why it cannot be read (ptr NULL: it can). */
typedef struct dl_catalog_file {
    dl_str name, json, fault;
    int64_t changed_us;
} dl_catalog_file;

/** What a document says, as far as the catalog looks at it. One of them is there. */
typedef struct dl_catalog_parsed {
    dl_factory_connection *connection;
    dl_factory_pipeline *pipeline;
    dl_factory_trigger *trigger;
} dl_catalog_parsed;

/** A document of a kind, as a draft and as published; either may be missing. */
typedef struct dl_catalog_item {
    dl_str name; /* the draft's when there is one */
    const dl_catalog_file *draft;
    dl_str published; /* ptr NULL: not */
    dl_str published_name;
    int64_t published_us;
    bool started;
} dl_catalog_item;

/** linkedService, pipeline, trigger: folders, and words for messages. */
const char *dl_catalog_folder(dl_factory_kind kind);

/** All of a kind, by name. */
DL_NODISCARD dl_status dl_catalog_drafts(dl_catalog_work *c, dl_factory_kind kind,
                                         dl_catalog_file **out_drafts, size_t *out_count);
/** Without regard to case; NULL: none. */
const dl_catalog_file *dl_catalog_find_draft(const dl_catalog_file *drafts, size_t count,
                                             dl_str name);
/** Drafts and what is published together, by name; of connections the drafts alone. */
DL_NODISCARD dl_status dl_catalog_items(dl_catalog_work *c, dl_factory_kind kind,
                                        dl_catalog_item **out_items, size_t *out_count);
/** Reads a document and checks that it has the name. `where` names it in errors. */
DL_NODISCARD dl_status dl_catalog_parse(dl_catalog_work *c, dl_factory_kind kind, dl_str name,
                                        dl_str json, const char *where,
                                        dl_catalog_parsed *out_parsed);
/** The draft's text, checked. Errors: what is wrong with it, naming the file. */
DL_NODISCARD dl_status dl_catalog_read_draft(dl_catalog_work *c, dl_factory_kind kind,
                                             const dl_catalog_file *draft,
                                             dl_catalog_parsed *out_parsed);
DL_NODISCARD dl_status dl_catalog_write_draft(dl_catalog_work *c, dl_factory_kind kind, dl_str name,
                                              dl_str json);
DL_NODISCARD dl_status dl_catalog_unlink_draft(dl_catalog_work *c, dl_factory_kind kind,
                                               dl_str name);
/** The canonical text of a document that was read from `original`. */
DL_NODISCARD dl_status dl_catalog_text(dl_catalog_work *c, const dl_catalog_parsed *parsed,
                                       dl_str original, dl_str *out_json);
/** DL_E_NOT_FOUND with the names that there are as hint. */
dl_status dl_catalog_not_found(dl_catalog_work *c, dl_factory_kind kind, dl_str name,
                               const dl_catalog_file *drafts, size_t count);
DL_NODISCARD dl_status dl_catalog_bump(dl_catalog_work *c);

/** Runs `work` under the lock, in one transaction that ends with it unless drafts are all it needs.
 */
DL_NODISCARD dl_status dl_catalog_do(dl_factory *factory, dl_factory_need need,
                                     dl_status (*work)(dl_catalog_work *c, void *context),
                                     void *context, dl_error *err);

#endif
