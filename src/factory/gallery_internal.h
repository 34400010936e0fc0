/**
 * What the files of the import share: the documents that a file holds, cut out of whatever they
 * came in (a zip, an ARM template, one by one), before anybody looks into them.
 *
 * Thread: confined.
 */
#ifndef DL_FACTORY_GALLERY_INTERNAL_H
#define DL_FACTORY_GALLERY_INTERNAL_H

#include "factory/document_read.h"
#include "factory/gallery.h"

enum {
    DL_GALLERY_ENTRY_LIMIT = 64,
    DL_GALLERY_LIMIT_BYTES = 16 * 1024 * 1024,
    DL_GALLERY_DOCUMENT_LIMIT = 256,
    DL_GALLERY_ARENA_LIMIT_BYTES = 96 * 1024 * 1024,
};

typedef enum dl_gallery_kind {
    DL_GALLERY_PIPELINE,
    DL_GALLERY_TRIGGER,
    DL_GALLERY_CONNECTION,
    DL_GALLERY_DATAFLOW,
} dl_gallery_kind;

/** {"name", "properties"}, without secrets and with ARM's own expressions evaluated. */
typedef struct dl_gallery_document {
    dl_gallery_kind kind;
    dl_str name; /* as the file has it */
    dl_str json;
} dl_gallery_document;

typedef struct dl_gallery_file {
    dl_arena *scratch;         /* of the documents */
    dl_document_reader reader; /* of the results: the caller's arena, the list of unknowns */
    dl_gallery_document documents[DL_GALLERY_DOCUMENT_LIMIT];
    size_t count;
    size_t text_count; /* JSON texts that were looked at */
} dl_gallery_file;

/** Reads a JSON text; `label` says where it stood. */
DL_NODISCARD dl_status dl_gallery_take(dl_gallery_file *file, dl_str label, dl_str text);
/** Reads the file, a zip or JSON. */
DL_NODISCARD dl_status dl_gallery_load(dl_gallery_file *file, const char *path);

/** A data flow's script, looked through: which revision, which profile, what is not the template's.
 * `json` ptr NULL: there is none, and the newest is taken. */
DL_NODISCARD dl_status dl_gallery_revision(dl_gallery_file *file, dl_str json,
                                           dl_factory_pipeline *pipeline);
/** A pipeline of Data Factory's own activities made ours. *out_found false: it is another one. */
DL_NODISCARD dl_status dl_gallery_convert(dl_gallery_file *file, dl_str json,
                                          dl_factory_pipeline *pipeline, bool *out_found);

#endif
