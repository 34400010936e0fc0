/* Routes of linked services, pipelines, triggers and the gallery. */
#include "factory/routes_internal.h"

#include "base/file.h"
#include "base/random.h"
#include "factory/gallery.h"
#include "factory/probe.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_SIZE = 4200 };

static void put_text(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, text);
}

void dl_request_wake(dl_factory_request *r)
{
    if (dl_request_routes(r)->options.scheduler != NULL) {
        dl_scheduler_wake(dl_request_routes(r)->options.scheduler);
    }
}

/* ---- one document ---- */

dl_status dl_request_entry(dl_factory_request *r, dl_factory_entry *out_entry, dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(dl_request_factory(r), dl_request_kind(r), r->arena, &entries, &count,
                           err));
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(entries[i].name, r->name)) {
            *out_entry = entries[i];
            return DL_OK;
        }
    }
    dl_str json = DL_STR_NONE; /* says what there is instead */
    DL_TRY(
        dl_catalog_draft(dl_request_factory(r), dl_request_kind(r), r->name, r->arena, &json, err));
    return dl_error_set(err, DL_E_NOT_FOUND, "%.*s was removed just now", DL_STR_ARG(r->name));
}

dl_status dl_request_put_entry(dl_factory_request *r, dl_json_writer *w,
                               const dl_factory_entry *entry, dl_error *err)
{
    if (entry->kind != DL_FACTORY_TRIGGER) {
        dl_fact_entry(w, entry);
        return DL_OK;
    }
    dl_trigger_facts facts = {.next_us = INT64_MAX};
    dl_error cause = {0};
    dl_status status = dl_trigger_facts_of(dl_request_factory(r), entry->name, &facts, &cause);
    if (status != DL_OK && status != DL_E_NOT_FOUND) { /* not found: a draft alone */
        return dl_error_set(err, status, "%s", cause.message);
    }
    dl_fact_trigger(w, entry, &facts);
    return DL_OK;
}

static dl_status send_entry(dl_factory_request *r, unsigned status, dl_error *err)
{
    dl_factory_entry entry = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_request_entry(r, &entry, err));
    DL_TRY(dl_request_put_entry(r, dl_api_answer_begin(&answer, err), &entry, err));
    return dl_api_answer_send_as(r, &answer, status);
}

dl_status dl_route_get(dl_factory_request *r, dl_error *err)
{
    return send_entry(r, r->route->success, err);
}

/* ---- lists ---- */

dl_status dl_route_list(dl_factory_request *r, dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    size_t put = 0;
    dl_str last = DL_STR_NONE;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_catalog_list(dl_request_factory(r), dl_request_kind(r), r->arena, &entries, &count,
                           err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        if (dl_api_has(r, DL_VALUE_TOKEN) &&
            !dl_api_name_after(entries[i].name, r->values[DL_VALUE_TOKEN])) {
            continue;
        }
        if (put == dl_api_page_limit(r, DL_VALUE_LIMIT)) {
            token = last;
            break;
        }
        DL_TRY(dl_request_put_entry(r, w, &entries[i], err));
        last = entries[i].name;
        put++;
    }
    return dl_api_list_send(r, &answer, token);
}

dl_status dl_route_templates(dl_factory_request *r, dl_error *err)
{
    size_t count = 0;
    const dl_gallery_template *templates = dl_gallery_templates(&count);
    DL_AUTO_ANSWER answer = {0};
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        dl_json_object_begin(w);
        put_text(w, "id", dl_str_of(templates[i].id));
        put_text(w, "title", dl_str_of(templates[i].title));
        put_text(w, "summary", dl_str_of(templates[i].summary));
        dl_json_object_end(w);
    }
    return dl_api_list_send(r, &answer, DL_STR_NONE);
}

/* ---- saving, removing, renaming ---- */

dl_status dl_route_put(dl_factory_request *r, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_str old = DL_STR_NONE;
    DL_TRY(dl_api_named_body(r, r->name, &json, err));
    bool only_new = dl_api_only_new(r);
    bool is_new = dl_catalog_draft(dl_request_factory(r), dl_request_kind(r), r->name, r->arena,
                                   &old, NULL) != DL_OK;
    dl_status status =
        dl_catalog_save(dl_request_factory(r), dl_request_kind(r), json, !only_new, err);
    if (status == DL_E_EXISTS && only_new) {
        return dl_api_refuse(r->x, 412, "There is a document of this name already.");
    }
    DL_TRY(status);
    dl_request_wake(r);
    return send_entry(r, is_new ? 201 : 200, err);
}

dl_status dl_route_delete(dl_factory_request *r, dl_error *err)
{
    DL_TRY(dl_catalog_remove(dl_request_factory(r), dl_request_kind(r), r->name, err));
    dl_request_wake(r);
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}

dl_status dl_route_rename(dl_factory_request *r, dl_error *err)
{
    dl_str name = r->values[DL_VALUE_NEW_NAME];
    DL_TRY(dl_catalog_rename(dl_request_factory(r), dl_request_kind(r), r->name, name, err));
    dl_request_wake(r);
    r->name = name;
    return send_entry(r, r->route->success, err);
}

dl_status dl_route_publish(dl_factory_request *r, dl_error *err)
{
    size_t count = 0;
    DL_AUTO_ANSWER answer = {0};
    dl_str pipeline = dl_api_has(r, DL_VALUE_PIPELINE) ? r->values[DL_VALUE_PIPELINE] : DL_STR("");
    DL_TRY(dl_catalog_publish(dl_request_factory(r), pipeline, &count, err));
    dl_request_wake(r);
    dl_json_writer *w = dl_api_answer_begin(&answer, err);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("published"));
    dl_json_int(w, (int64_t)count);
    dl_json_object_end(w);
    return dl_api_answer_send(r, &answer);
}

/* ---- the test of a connection ---- */

static void put_probe(dl_json_writer *w, const dl_probe *probe)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("passed"));
    dl_json_bool(w, probe->passed);
    dl_json_key(w, DL_STR("steps"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < probe->count; i++) {
        dl_json_object_begin(w);
        put_text(w, "name", dl_str_of(probe->steps[i].name));
        dl_json_key(w, DL_STR("passed"));
        dl_json_bool(w, probe->steps[i].passed);
        put_text(w, "text", dl_str_of(probe->steps[i].text));
        put_text(w, "hint", dl_str_of(probe->steps[i].hint));
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}

dl_status dl_route_test(dl_factory_request *r, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_factory_connection connection = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_catalog_draft(dl_request_factory(r), DL_FACTORY_CONNECTION, r->name, r->arena, &json,
                            err));
    DL_TRY(dl_factory_read_connection(json, r->arena, &connection, NULL, err));
    dl_probe *probe = dl_arena_alloc(r->arena, 1, sizeof *probe);
    if (probe == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(dl_probe_connection(dl_request_factory(r), &connection, NULL, probe, err));
    put_probe(dl_api_answer_begin(&answer, err), probe);
    return dl_api_answer_send(r, &answer);
}

/* ---- the gallery ---- */

static dl_status set_parameter(dl_factory_pipeline *pipeline, const dl_factory_parameter *given,
                               dl_error *err)
{
    for (size_t i = 0; i < pipeline->parameter_count; i++) {
        if (dl_str_eq_nocase(pipeline->parameters[i].name, given->name)) {
            pipeline->parameters[i].value = given->value;
            return DL_OK;
        }
    }
    return dl_error_set(err, DL_E_INVALID, "The template has no parameter \"%.*s\".",
                        DL_STR_ARG(dl_str_slice(given->name, 0, 80)));
}

dl_status dl_route_create(dl_factory_request *r, dl_error *err)
{
    const dl_gallery_template *template_ = dl_gallery_find(r->values[DL_VALUE_TEMPLATE]);
    if (template_ == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "There is no such template.");
        dl_error_hint(err, "GET /factory/templates lists them");
        return DL_E_INVALID;
    }
    dl_factory_pipeline *pipeline = dl_arena_alloc(r->arena, 1, sizeof *pipeline);
    if (pipeline == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(dl_gallery_make(template_, r->values[DL_VALUE_NAME], r->values[DL_VALUE_DICOM],
                           r->values[DL_VALUE_LAKE], r->arena, pipeline, err));
    dl_factory_parameter *given = NULL;
    size_t count = 0;
    DL_TRY(dl_request_parameters(r, &given, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(set_parameter(pipeline, &given[i], err));
    }
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_factory_write_pipeline(pipeline, DL_STR(""), &json, err));
    DL_TRY(
        dl_catalog_save(dl_request_factory(r), DL_FACTORY_PIPELINE, dl_buf_str(&json), false, err));
    r->name = r->values[DL_VALUE_NAME];
    return send_entry(r, r->route->success, err);
}

/* ---- import ---- */

static dl_status read_import(dl_factory_request *r, dl_gallery_import *out, dl_error *err)
{
    char path[PATH_SIZE];
    char word[33];
    dl_str none = DL_STR("");
    dl_random_hex(word, (sizeof word - 1) / 2);
    (void)snprintf(path, sizeof path, "%s/state/import-%s", dl_factory_home(dl_request_factory(r)),
                   word);
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, err));
    dl_status status = dl_file_write_all(fd, r->body.ptr, r->body.len, err);
    if (status == DL_OK) {
        const dl_str *v = r->values;
        status = dl_gallery_read(path, dl_api_has(r, DL_VALUE_NAME) ? v[DL_VALUE_NAME] : none,
                                 dl_api_has(r, DL_VALUE_DICOM) ? v[DL_VALUE_DICOM] : none,
                                 dl_api_has(r, DL_VALUE_LAKE) ? v[DL_VALUE_LAKE] : none, r->arena,
                                 out, err);
    }
    (void)unlink(path);
    return status;
}

typedef struct import_item {
    dl_factory_kind kind;
    dl_str name, json;
} import_item;
typedef struct import_plan {
    import_item items[1 + 16 + 8];
    size_t count;
} import_plan;

static dl_status plan_item(dl_factory_request *r, import_plan *plan, dl_factory_kind kind,
                           const void *document, dl_error *err)
{
    import_item *item = &plan->items[plan->count];
    dl_status status = DL_OK;
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    item->kind = kind;
    switch (kind) {
    case DL_FACTORY_CONNECTION:
        item->name = ((const dl_factory_connection *)document)->name;
        status = dl_factory_write_connection(document, DL_STR(""), &json, err);
        break;
    case DL_FACTORY_PIPELINE:
        item->name = ((const dl_factory_pipeline *)document)->name;
        status = dl_factory_write_pipeline(document, DL_STR(""), &json, err);
        break;
    case DL_FACTORY_TRIGGER:
        item->name = ((const dl_factory_trigger *)document)->name;
        status = dl_factory_write_trigger(document, DL_STR(""), &json, err);
        break;
    }
    DL_TRY(status);
    DL_TRY(dl_arena_copy(r->arena, dl_buf_str(&json), &item->json, err));
    plan->count++;
    return DL_OK;
}

/* A connection that is there already is the one meant: an import says what to do, not where. */
static dl_status plan_connection(dl_factory_request *r, import_plan *plan,
                                 const dl_factory_connection *connection, dl_error *err)
{
    dl_str old = DL_STR_NONE;
    if (dl_catalog_draft(dl_request_factory(r), DL_FACTORY_CONNECTION, connection->name, r->arena,
                         &old, NULL) == DL_OK) {
        return DL_OK;
    }
    return plan_item(r, plan, DL_FACTORY_CONNECTION, connection, err);
}

static dl_status plan_import(dl_factory_request *r, const dl_gallery_import *in, import_plan *plan,
                             dl_error *err)
{
    static_assert(DL_COUNT_OF(plan->items) >=
                      1 + DL_COUNT_OF(in->triggers) + DL_COUNT_OF(in->connections),
                  "room for all of an import");
    for (size_t i = 0; i < in->connection_count; i++) {
        DL_TRY(plan_connection(r, plan, &in->connections[i], err));
    }
    if (in->has_pipeline) {
        DL_TRY(plan_item(r, plan, DL_FACTORY_PIPELINE, &in->pipeline, err));
    }
    for (size_t i = 0; i < in->trigger_count; i++) {
        DL_TRY(plan_item(r, plan, DL_FACTORY_TRIGGER, &in->triggers[i], err));
    }
    return DL_OK;
}

/* None is saved when one exists already. */
static dl_status check_import(dl_factory_request *r, const import_plan *plan, dl_error *err)
{
    dl_str old = DL_STR_NONE;
    if (r->numbers[DL_VALUE_REPLACE] != 0) {
        return DL_OK;
    }
    for (size_t i = 0; i < plan->count; i++) {
        const import_item *item = &plan->items[i];
        if (dl_catalog_draft(dl_request_factory(r), item->kind, item->name, r->arena, &old, NULL) ==
            DL_OK) {
            (void)dl_error_set(err, DL_E_EXISTS, "%.*s exists already.", DL_STR_ARG(item->name));
            dl_error_hint(err, "say replace=true, or another name");
            return DL_E_EXISTS;
        }
    }
    return DL_OK;
}

static void put_names(dl_json_writer *w, const char *key, const import_plan *plan,
                      dl_factory_kind kind)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_array_begin(w);
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->items[i].kind == kind) {
            dl_json_string(w, plan->items[i].name);
        }
    }
    dl_json_array_end(w);
}

static void put_import(dl_json_writer *w, const import_plan *plan, const dl_gallery_import *in)
{
    dl_json_object_begin(w);
    put_names(w, "linkedServices", plan, DL_FACTORY_CONNECTION);
    put_names(w, "pipelines", plan, DL_FACTORY_PIPELINE);
    put_names(w, "triggers", plan, DL_FACTORY_TRIGGER);
    dl_json_key(w, DL_STR("notUnderstoodCount"));
    dl_json_int(w, (int64_t)in->unknown.count);
    dl_json_key(w, DL_STR("notUnderstood"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < in->unknown.count && i < DL_FACTORY_UNKNOWN_LIMIT; i++) {
        dl_json_string(w, in->unknown.paths[i]);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}

dl_status dl_route_import(dl_factory_request *r, dl_error *err)
{
    DL_AUTO_ANSWER answer = {0};
    dl_gallery_import *in = dl_arena_alloc(r->arena, 1, sizeof *in);
    import_plan *plan = dl_arena_alloc(r->arena, 1, sizeof *plan);
    if (in == NULL || plan == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(read_import(r, in, err));
    DL_TRY(plan_import(r, in, plan, err));
    DL_TRY(check_import(r, plan, err));
    for (size_t i = 0; i < plan->count; i++) {
        DL_TRY(dl_catalog_save(dl_request_factory(r), plan->items[i].kind, plan->items[i].json,
                               r->numbers[DL_VALUE_REPLACE] != 0, err));
    }
    put_import(dl_api_answer_begin(&answer, err), plan, in);
    return dl_api_answer_send(r, &answer);
}

/* ---- export ---- */

static dl_status export_triggers(dl_factory_request *r, dl_factory_trigger **out_triggers,
                                 size_t *out_count, dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    size_t found = 0;
    DL_TRY(dl_catalog_list(dl_request_factory(r), DL_FACTORY_TRIGGER, r->arena, &entries, &count,
                           err));
    dl_factory_trigger *triggers = dl_arena_alloc(r->arena, count + 1, sizeof *triggers);
    if (triggers == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        if (entries[i].state == DL_FACTORY_REMOVED ||
            dl_factory_read_trigger(entries[i].json, r->arena, &triggers[found], NULL, NULL) !=
                DL_OK) {
            continue; /* a damaged draft is told by the list */
        }
        found += dl_str_eq_nocase(triggers[found].pipeline, r->name) ? 1 : 0;
    }
    *out_triggers = triggers;
    *out_count = found;
    return DL_OK;
}

static dl_status export_connections(dl_factory_request *r, const dl_factory_pipeline *pipeline,
                                    dl_factory_connection out[2], size_t *out_count, dl_error *err)
{
    const dl_str names[] = {pipeline->dicom, pipeline->lake};
    size_t count = 0;
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        dl_str json = DL_STR_NONE;
        if (names[i].len == 0 || dl_catalog_draft(dl_request_factory(r), DL_FACTORY_CONNECTION,
                                                  names[i], r->arena, &json, NULL) != DL_OK) {
            continue; /* not there yet: the pipeline names it all the same */
        }
        DL_TRY(dl_factory_read_connection(json, r->arena, &out[count], NULL, err));
        count++;
    }
    *out_count = count;
    return DL_OK;
}

dl_status dl_route_export(dl_factory_request *r, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_factory_trigger *triggers = NULL;
    dl_factory_connection connections[2] = {0};
    size_t trigger_count = 0;
    size_t connection_count = 0;
    dl_factory_pipeline *pipeline = dl_arena_alloc(r->arena, 1, sizeof *pipeline);
    if (pipeline == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(dl_catalog_draft(dl_request_factory(r), DL_FACTORY_PIPELINE, r->name, r->arena, &json,
                            err));
    DL_TRY(dl_factory_read_pipeline(json, r->arena, pipeline, NULL, err));
    DL_TRY(export_triggers(r, &triggers, &trigger_count, err));
    DL_TRY(export_connections(r, pipeline, connections, &connection_count, err));
    DL_AUTO_BUF out = {0};
    dl_buf_init(&out, DL_ROUTES_FILE_LIMIT_BYTES);
    DL_TRY(dl_gallery_write(pipeline, triggers, trigger_count, connections, connection_count, &out,
                            err));
    dl_str name = DL_STR_NONE;
    DL_TRY(dl_arena_printf(r->arena, &name, err, "attachment; filename=\"%.*s.json\"",
                           DL_STR_ARG(r->name)));
    dl_http_add_header(r->x, "Content-Disposition", name);
    dl_http_respond_buf(r->x, r->route->success, "application/json", &out);
    return DL_OK;
}
