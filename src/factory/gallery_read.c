#include "base/mem.h"
#include "factory/gallery_internal.h"
#include "json/json.h"

#include <stdio.h>

typedef struct import {
    dl_gallery_file *file;
    dl_str name, dicom, lake; /* as the caller gave them; may be empty */
    dl_str pipeline_name;     /* of the file, made fit: triggers speak of it */
    dl_gallery_import *out;
} import;

/** Before what was listed from `from` on: whose it is. */
static void say_whose(import *im, size_t from, const char *kind, dl_str name)
{
    dl_factory_unknown *unknown = im->file->reader.unknown;
    for (size_t i = from; i < unknown->count && i < DL_FACTORY_UNKNOWN_LIMIT; i++) {
        dl_str text = unknown->paths[i];
        if (dl_arena_printf(im->file->reader.arena, &text, NULL, "%s '%.*s': %.*s", kind,
                            DL_STR_ARG(dl_str_slice(name, 0, 100)),
                            DL_STR_ARG(unknown->paths[i])) == DL_OK) {
            unknown->paths[i] = text;
        }
    }
}

static void list_whole(import *im, const char *kind, dl_str name, const char *why)
{
    size_t from = im->out->unknown.count;
    dl_document_unknown(&im->file->reader, dl_str_of(why));
    say_whose(im, from, kind, name);
}

/** A document that cannot be taken is listed with its reason; when it is all that there is, that
 * is the error. */
static dl_status refuse(import *im, const char *kind, const dl_gallery_document *d,
                        dl_status status)
{
    dl_error *err = im->file->reader.err;
    dl_str why = DL_STR_NONE;
    if (im->file->count == 1 || status == DL_E_NOMEM || status == DL_E_LIMIT) {
        return dl_error_within(err, status, "reading %s '%.*s'", kind,
                               DL_STR_ARG(dl_str_slice(d->name, 0, 100)));
    }
    DL_TRY(dl_arena_copy(im->file->reader.arena, dl_str_of(err->message), &why, NULL));
    dl_error_clear(err);
    list_whole(im, kind, d->name, why.ptr);
    return DL_OK;
}

/* ---- pipelines ---- */

static dl_status copy_name(import *im, dl_str given, dl_str *out)
{
    return given.len == 0 ? DL_OK
                          : dl_arena_copy(im->file->reader.arena, given, out, im->file->reader.err);
}

static const dl_gallery_document *find_flow(const import *im)
{
    for (size_t i = 0; i < im->file->count; i++) {
        if (im->file->documents[i].kind == DL_GALLERY_DATAFLOW) {
            return &im->file->documents[i];
        }
    }
    return NULL;
}

/** Data Factory's own template. */
static dl_status from_template(import *im, const dl_gallery_document *d, dl_factory_pipeline *p,
                               bool *out_found)
{
    static const char dicom[] = "dicomWeb",
                      lake[] = "dicomLakeStorage"; /* as the template has it */
    const dl_gallery_document *flow = find_flow(im);
    size_t count = 0;
    DL_TRY(dl_gallery_make(dl_gallery_templates(&count), DL_STR("x"), DL_STR("x"), DL_STR("x"),
                           im->file->reader.arena, p, im->file->reader.err));
    p->name = p->dicom = p->lake = p->description = DL_STR("");
    DL_TRY(dl_gallery_convert(im->file, d->json, p, out_found));
    if (!*out_found) {
        return DL_OK;
    }
    DL_TRY(dl_gallery_revision(im->file, flow == NULL ? DL_STR_NONE : flow->json, p));
    p->dicom = p->dicom.len == 0 ? dl_str_of(dicom) : p->dicom;
    p->lake = p->lake.len == 0 ? dl_str_of(lake) : p->lake;
    return DL_OK;
}

static dl_status read_one(import *im, const dl_gallery_document *d, dl_factory_pipeline *p,
                          bool *out_found)
{
    if (dl_str_find_str(d->json, DL_STR("\"SyncDicomTables\"")) >= 0) {
        *out_found = true;
        return dl_document_read_pipeline(&im->file->reader, d->json, p);
    }
    return from_template(im, d, p, out_found);
}

static dl_status take_pipeline(import *im, const dl_gallery_document *d)
{
    dl_error *err = im->file->reader.err;
    dl_factory_pipeline p = {0};
    size_t from = im->out->unknown.count;
    bool found = false;
    dl_str fit = DL_STR_NONE;
    if (im->out->has_pipeline) {
        list_whole(im, "pipeline", d->name, "a second one; import it from a file of its own");
        return DL_OK;
    }
    dl_status status = read_one(im, d, &p, &found);
    if (status != DL_OK) {
        return refuse(im, "pipeline", d, status);
    }
    if (!found) {
        list_whole(im, "pipeline", d->name, "it does not copy DICOM metadata");
        return DL_OK;
    }
    say_whose(im, from, "pipeline", d->name);
    DL_TRY(dl_document_fit_name(d->name, im->file->reader.arena, &fit, err));
    p.name = fit;
    DL_TRY(copy_name(im, im->name, &p.name));
    DL_TRY(copy_name(im, im->dicom, &p.dicom));
    DL_TRY(copy_name(im, im->lake, &p.lake));
    DL_TRY(dl_factory_name_check(p.name, "pipeline", err));
    DL_TRY(dl_factory_name_check(p.dicom, "connection of type dicom", err));
    DL_TRY(dl_factory_name_check(p.lake, "connection of type lake", err));
    im->pipeline_name = fit;
    im->out->pipeline = p;
    im->out->has_pipeline = true;
    return DL_OK;
}

/* ---- triggers and linked services ---- */

static dl_status take_trigger(import *im, const dl_gallery_document *d)
{
    if (im->out->trigger_count == DL_COUNT_OF(im->out->triggers)) {
        list_whole(im, "trigger", d->name, "one too many; import it from a file of its own");
        return DL_OK;
    }
    dl_factory_trigger *t = &im->out->triggers[im->out->trigger_count];
    size_t from = im->out->unknown.count;
    dl_status status = dl_document_read_trigger(&im->file->reader, d->json, t);
    if (status != DL_OK) {
        return refuse(im, "trigger", d, status);
    }
    say_whose(im, from, "trigger", d->name);
    if (im->out->has_pipeline && dl_str_eq_nocase(t->pipeline, im->pipeline_name)) {
        t->pipeline = im->out->pipeline.name;
    } else if (!im->out->has_pipeline) {
        DL_TRY(copy_name(im, im->name, &t->pipeline));
    }
    im->out->trigger_count++;
    return DL_OK;
}

static dl_status take_connection(import *im, const dl_gallery_document *d)
{
    if (im->out->connection_count == DL_COUNT_OF(im->out->connections)) {
        list_whole(im, "linked service", d->name, "one too many; import it from a file of its own");
        return DL_OK;
    }
    dl_factory_connection *c = &im->out->connections[im->out->connection_count];
    size_t from = im->out->unknown.count;
    dl_status status = dl_document_read_connection(&im->file->reader, d->json, c);
    if (status != DL_OK) {
        return refuse(im, "linked service", d, status);
    }
    say_whose(im, from, "linked service", d->name);
    im->out->connection_count++;
    return DL_OK;
}

static dl_status take_all(import *im)
{
    static dl_status (*const takers[])(import * im, const dl_gallery_document *d) = {
        [DL_GALLERY_PIPELINE] = take_pipeline,
        [DL_GALLERY_TRIGGER] = take_trigger,
        [DL_GALLERY_CONNECTION] = take_connection,
    };
    for (size_t kind = 0; kind < DL_COUNT_OF(takers); kind++) { /* pipelines before triggers */
        for (size_t i = 0; i < im->file->count; i++) {
            if (im->file->documents[i].kind == (dl_gallery_kind)kind) {
                DL_TRY(takers[kind](im, &im->file->documents[i]));
            }
        }
    }
    return DL_OK;
}

/* ---- the whole ---- */

/** What it is instead, by what was listed. */
static dl_status say_nothing_in_it(import *im)
{
    dl_error *err = im->file->reader.err;
    const dl_factory_unknown *unknown = &im->out->unknown;
    (void)dl_error_set(err, DL_E_INVALID,
                       "no pipeline, trigger or linked service in it, but %zu JSON text%s",
                       im->file->text_count, im->file->text_count == 1 ? "" : "s");
    if (unknown->count > 0) {
        dl_error_hint(err, "found: %.*s", DL_STR_ARG(dl_str_slice(unknown->paths[0], 0, 140)));
    } else {
        dl_error_hint(err, "give the template's zip, its ARM JSON, or a document that Data Factory"
                           " exported");
    }
    return DL_E_INVALID;
}

static dl_status read_file(import *im, const char *path)
{
    DL_TRY(dl_gallery_load(im->file, path));
    DL_TRY(take_all(im));
    if (!im->out->has_pipeline && im->out->trigger_count == 0 && im->out->connection_count == 0) {
        return say_nothing_in_it(im);
    }
    return DL_OK;
}

static void free_import(dl_gallery_import **p)
{
    dl_mem_free(*p);
}

static void free_file(dl_gallery_file **p)
{
    if (*p != NULL) {
        dl_arena_destroy((*p)->scratch);
    }
    dl_mem_free(*p);
}

/* NOLINTNEXTLINE(readability-function-size): a file and the three names it gets */
dl_status dl_gallery_read(const char *path, dl_str name, dl_str dicom, dl_str lake, dl_arena *arena,
                          dl_gallery_import *out_import, dl_error *err)
{
    dl_error own = {0};
    DL_CLEANUP(free_import) dl_gallery_import *out = dl_mem_zalloc(1, sizeof *out);
    DL_CLEANUP(free_file) dl_gallery_file *file = dl_mem_zalloc(1, sizeof *file);
    if (out == NULL || file == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "import: out of memory");
    }
    file->scratch = dl_arena_create(DL_GALLERY_ARENA_LIMIT_BYTES);
    if (file->scratch == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "import: out of memory");
    }
    file->reader = (dl_document_reader){.arena = arena,
                                        .unknown = &out->unknown,
                                        .err = err == NULL ? &own : err,
                                        .fit_names = true};
import im = {.file = file, .name = name, .dicom = dicom, .lake = lake, .out = out };
    dl_status status = read_file(&im, path);
    if (status != DL_OK) {
        return dl_error_within(err, status, "importing %.200s", path);
    }
    *out_import = *out;
    return DL_OK;
}
