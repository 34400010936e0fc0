/**
 * Gallery: templates to make pipelines from; the public template's files in, documents out.
 *
 * One template ships: copy-dicom-metadata-changes, "Copy DICOM Metadata Changes to ADLS Gen2 in
 * Delta Format". Import takes the public template as it is published (a zip with a template.json
 * and manifest.json, or the ARM template JSON, or a bare pipeline JSON, or an exported trigger),
 * knows its revisions r1 to r4 by what they contain, and makes our pipeline of it: parameters with
 * their defaults, the profile of the tables, the two linked services by the names that the caller
 * gives. What is not understood is listed.
 *
 * Thread: pure, but for reading the file. Zips are read and written by libarchive: at most 64
 * entries of 16 MiB in all.
 */
#ifndef DL_FACTORY_GALLERY_H
#define DL_FACTORY_GALLERY_H

#include "factory/document.h"

typedef struct dl_gallery_template {
    const char *id, *title, *summary;
} dl_gallery_template;
const dl_gallery_template *dl_gallery_templates(size_t *out_count);
/** By id or by title, without case. NULL: none. */
const dl_gallery_template *dl_gallery_find(dl_str words);

/** A pipeline of that template with its parameters' defaults (docs/tables.md, profile template-r4).
 */
DL_NODISCARD dl_status dl_gallery_make(const dl_gallery_template *template_, dl_str name,
                                       dl_str dicom, dl_str lake, dl_arena *arena,
                                       dl_factory_pipeline *out_pipeline, dl_error *err);

typedef struct dl_gallery_import {
    dl_factory_pipeline pipeline;
    bool has_pipeline;
    dl_factory_trigger triggers[16];
    size_t trigger_count;
    dl_factory_connection connections[8]; /* linked services in the file, if any */
    size_t connection_count;
    dl_factory_unknown unknown;
} dl_gallery_import;
/** `name`, `dicom`, `lake` may be empty: those of the file. Errors: DL_E_INVALID (no such thing in
 * it; what it is instead), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_gallery_read(const char *path, dl_str name, dl_str dicom, dl_str lake,
                                       dl_arena *arena, dl_gallery_import *out_import,
                                       dl_error *err);
/** A pipeline with its triggers and connections as an ARM template JSON that dl_gallery_read takes
 * back, and that Data Factory reads as far as the activities are its own. */
DL_NODISCARD dl_status dl_gallery_write(const dl_factory_pipeline *pipeline,
                                        const dl_factory_trigger *triggers, size_t trigger_count,
                                        const dl_factory_connection *connections,
                                        size_t connection_count, dl_buf *out, dl_error *err);

#endif
