#include "factory/gallery.h"

#include "factory/document_copy.h"
#include "json/json.h"

#include <stdio.h>

/* ---- the templates ---- */

static const dl_gallery_template templates[] = {
    {"copy-dicom-metadata-changes", "Copy DICOM Metadata Changes to ADLS Gen2 in Delta Format",
     "Keeps three Delta tables (instance, series, study) equal to what a DICOM service stores, by "
     "its"
     " change feed."},
};

const dl_gallery_template *dl_gallery_templates(size_t *out_count)
{
    *out_count = DL_COUNT_OF(templates);
    return templates;
}

const dl_gallery_template *dl_gallery_find(dl_str words)
{
    for (size_t i = 0; i < DL_COUNT_OF(templates); i++) {
        if (dl_str_eq_nocase(words, dl_str_of(templates[i].id)) ||
            dl_str_eq_nocase(words, dl_str_of(templates[i].title))) {
            return &templates[i];
        }
    }
    return NULL;
}

static const struct {
    const char *name, *type, *value;
} defaults[] = {
    {"BatchSize", "int", "200"},
    {"ApiVersion", "int", "2"},
    {"StartTime", "string", "0001-01-01T00:00:00Z"},
    {"EndTime", "string", "9999-12-31T23:59:59Z"},
    {"ContainerName", "string", "dicom"},
    {"InstanceTablePath", "string", "instance"},
    {"SeriesTablePath", "string", "series"},
    {"StudyTablePath", "string", "study"},
    {"RetentionHours", "int", "720"},
};

/* NOLINTNEXTLINE(readability-function-size): what a pipeline is made of */
dl_status dl_gallery_make(const dl_gallery_template *template_, dl_str name, dl_str dicom,
                          dl_str lake, dl_arena *arena, dl_factory_pipeline *out_pipeline,
                          dl_error *err)
{
    dl_factory_pipeline p = {.template_id = dl_str_of(template_->id),
                             .revision = DL_STR("r4"),
                             .profile = DL_PIPELINE_TEMPLATE_R4,
                             .retry_interval_s = 30};
    DL_TRY(dl_factory_name_check(name, "pipeline", err));
    DL_TRY(dl_factory_name_check(dicom, "connection of type dicom", err));
    DL_TRY(dl_factory_name_check(lake, "connection of type lake", err));
    DL_TRY(dl_arena_copy(arena, name, &p.name, err));
    DL_TRY(dl_arena_copy(arena, dicom, &p.dicom, err));
    DL_TRY(dl_arena_copy(arena, lake, &p.lake, err));
    p.description = dl_str_of(template_->summary);
    for (size_t i = 0; i < DL_COUNT_OF(defaults); i++) {
        p.parameters[p.parameter_count++] = (dl_factory_parameter){
            dl_str_of(defaults[i].name), dl_str_of(defaults[i].type), dl_str_of(defaults[i].value)};
    }
    *out_pipeline = p;
    return DL_OK;
}

/* ---- export ---- */

enum { EXPORT_LIMIT_BYTES = 16 * 1024 * 1024 };

typedef struct export
{
    dl_json_writer w;
    dl_buf compact, document;
    dl_arena *arena;
    dl_error *err;
}
export;

static void export_clear(export *e)
{
    dl_buf_clear(&e->compact);
    dl_buf_clear(&e->document);
    dl_arena_destroy(e->arena);
}

/** In an ARM template a text between '[' and ']' is an expression, unless it begins with "[[". */
static dl_document_action escape(void *context, dl_str path, dl_str key, dl_str value,
                                 dl_str *out_value)
{
    dl_arena *arena = context;
    (void)path;
    (void)key;
    if (dl_json_kind_of(value) == DL_JSON_STRING && value.len > 3 && value.ptr[1] == '[' &&
        value.ptr[value.len - 2] == ']' &&
        dl_arena_printf(arena, out_value, NULL, "\"[%.*s",
                        DL_STR_ARG(dl_str_slice(value, 1, value.len))) == DL_OK) {
        return DL_DOCUMENT_REPLACE;
    }
    return DL_DOCUMENT_KEEP;
}

static void put(export *e, const char *key, const char *text)
{
    dl_json_key(&e->w, dl_str_of(key));
    dl_json_string(&e->w, dl_str_of(text));
}

/** The document in e->document as a resource; `after` is what it depends on, may be empty. */
static dl_status put_resource(export *e, const char *kind, dl_str name, dl_str after)
{
    DL_AUTO_BUF properties = {0};
    dl_str value = DL_STR_NONE, text = DL_STR_NONE;
    dl_buf_init(&properties, EXPORT_LIMIT_BYTES);
    if (!dl_json_get(dl_buf_str(&e->document), DL_STR("properties"), &value)) {
        return dl_error_set(e->err, DL_E_CORRUPT, "export: a document without properties");
    }
    DL_TRY(dl_document_copy(value, escape, e->arena, &properties, e->err));
    dl_json_object_begin(&e->w);
    DL_TRY(dl_arena_printf(e->arena, &text, e->err, "[concat(parameters('factoryName'), '/%.*s')]",
                           DL_STR_ARG(name)));
    put(e, "name", text.ptr);
    DL_TRY(dl_arena_printf(e->arena, &text, e->err, "Microsoft.DataFactory/factories/%s", kind));
    put(e, "type", text.ptr);
    put(e, "apiVersion", "2018-06-01");
    dl_json_key(&e->w, DL_STR("properties"));
    dl_json_raw(&e->w, dl_buf_str(&properties));
    dl_json_key(&e->w, DL_STR("dependsOn"));
    dl_json_array_begin(&e->w);
    if (after.len > 0) {
        DL_TRY(dl_arena_printf(e->arena, &text, e->err, "[concat(variables('factoryId'), '/%.*s')]",
                               DL_STR_ARG(after)));
        dl_json_string(&e->w, text);
    }
    dl_json_array_end(&e->w);
    dl_json_object_end(&e->w);
    dl_buf_reset(&e->document);
    return dl_json_writer_status(&e->w);
}

static void put_head(export *e)
{
    dl_json_object_begin(&e->w);
    put(e, "$schema",
        "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#");
    put(e, "contentVersion", "1.0.0.0");
    dl_json_key(&e->w, DL_STR("parameters"));
    dl_json_raw(&e->w, DL_STR("{\"factoryName\":{\"type\":\"string\"}}"));
    dl_json_key(&e->w, DL_STR("variables"));
    dl_json_raw(&e->w, DL_STR("{\"factoryId\":\"[concat('Microsoft.DataFactory/factories/', "
                              "parameters('factoryName'))]\"}"));
    dl_json_key(&e->w, DL_STR("resources"));
    dl_json_array_begin(&e->w);
}

/* NOLINTNEXTLINE(readability-function-size): two lists with their lengths */
dl_status dl_gallery_write(const dl_factory_pipeline *pipeline, const dl_factory_trigger *triggers,
                           size_t trigger_count, const dl_factory_connection *connections,
                           size_t connection_count, dl_buf *out, dl_error *err)
{
    DL_CLEANUP(export_clear) export e = {.err = err};
    e.arena = dl_arena_create(EXPORT_LIMIT_BYTES);
    if (e.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "export: out of memory");
    }
    dl_buf_init(&e.compact, EXPORT_LIMIT_BYTES);
    dl_buf_init(&e.document, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    dl_json_writer_init(&e.w, &e.compact, err);
    put_head(&e);
    for (size_t i = 0; i < connection_count; i++) {
        DL_TRY(dl_factory_write_connection(&connections[i], DL_STR_NONE, &e.document, err));
        DL_TRY(put_resource(&e, "linkedServices", connections[i].name, DL_STR("")));
    }
    DL_TRY(dl_factory_write_pipeline(pipeline, DL_STR_NONE, &e.document, err));
    DL_TRY(put_resource(&e, "pipelines", pipeline->name, DL_STR("")));
    dl_str after = DL_STR_NONE;
    DL_TRY(dl_arena_printf(e.arena, &after, err, "pipelines/%.*s", DL_STR_ARG(pipeline->name)));
    for (size_t i = 0; i < trigger_count; i++) {
        DL_TRY(dl_factory_write_trigger(&triggers[i], DL_STR_NONE, &e.document, err));
        DL_TRY(put_resource(&e, "triggers", triggers[i].name, after));
    }
    dl_json_array_end(&e.w);
    dl_json_object_end(&e.w);
    DL_TRY(dl_json_writer_status(&e.w));
    return dl_document_pretty(dl_buf_str(&e.compact), out, err);
}
