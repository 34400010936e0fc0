/**
 * Catalog: the documents of a home. Drafts are files, HOME/config/factory/{linkedService,pipeline,
 * trigger}/NAME.json, replaced whole and readable by anybody's editor; what is published stands in
 * the database and is what triggers and runs see. Connections count as published as soon as they
 * are saved: they say where things are, not what happens.
 *
 * Publishing checks everything together (references, cycles of dependencies, parameters,
 * expressions) and takes effect in one transaction, or not at all.
 *
 * Thread: locked.
 */
#ifndef DL_FACTORY_CATALOG_H
#define DL_FACTORY_CATALOG_H

#include "factory/document.h"

typedef enum dl_factory_state {
    DL_FACTORY_DRAFT,     /* never published */
    DL_FACTORY_CHANGED,   /* the draft differs from what is published */
    DL_FACTORY_PUBLISHED, /* the same */
    DL_FACTORY_REMOVED,   /* the draft is gone; publishing takes it away */
} dl_factory_state;

typedef struct dl_factory_entry {
    dl_factory_kind kind;
    dl_str name, json; /* the draft; when removed, what is published */
    dl_str fault; /* what is wrong with the draft; ptr NULL: nothing. One that is no JSON has no
                     text here, and a secret in it is masked */
    dl_factory_state state;
    int64_t changed_us;
} dl_factory_entry;

/** Checks the document by itself, and that a new name is free. `replace`: it may exist.
 * Errors: DL_E_EXISTS, DL_E_INVALID. The name is that inside the document. */
DL_NODISCARD dl_status dl_catalog_save(dl_factory *factory, dl_factory_kind kind, dl_str json,
                                       bool replace, dl_error *err);
/** Errors: DL_E_NOT_FOUND (hint: names alike), DL_E_CONFLICT (somebody refers to it; says who). */
DL_NODISCARD dl_status dl_catalog_remove(dl_factory *factory, dl_factory_kind kind, dl_str name,
                                         dl_error *err);
/** Draft and published, references in others, and the history of windows and runs follow. */
DL_NODISCARD dl_status dl_catalog_rename(dl_factory *factory, dl_factory_kind kind, dl_str from,
                                         dl_str to, dl_error *err);
/** The draft's text. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_catalog_draft(dl_factory *factory, dl_factory_kind kind, dl_str name,
                                        dl_arena *arena, dl_str *out_json, dl_error *err);
/** What is published. Errors: DL_E_NOT_FOUND (hint: publish first, when there is a draft). */
DL_NODISCARD dl_status dl_catalog_published(dl_factory *factory, dl_factory_kind kind, dl_str name,
                                            dl_arena *arena, dl_str *out_json, dl_error *err);
/** All of a kind, by name; a damaged draft is listed with its fault, and in the log, not hidden. */
DL_NODISCARD dl_status dl_catalog_list(dl_factory *factory, dl_factory_kind kind, dl_arena *arena,
                                       dl_factory_entry **out_entries, size_t *out_count,
                                       dl_error *err);
/** Everything that is changed, or (`pipeline` not empty) one pipeline with its triggers. Triggers
 * whose document says so are started. `out_count`: documents that took effect. */
DL_NODISCARD dl_status dl_catalog_publish(dl_factory *factory, dl_str pipeline, size_t *out_count,
                                          dl_error *err);
/** Grows with every change of what is published: the scheduler looks at it. */
DL_NODISCARD dl_status dl_catalog_revision(dl_factory *factory, int64_t *out_revision,
                                           dl_error *err);

#endif
