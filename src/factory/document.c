/* Linked services and pipelines: what we read of them. Triggers are in document_trigger.c. */
#include "factory/document_read.h"

#include "json/json.h"

#include <string.h>

enum {
    TIMEOUT_DEFAULT_S = 12 * 3600,
    TIMEOUT_LIMIT_S = 7 * 24 * 3600, /* Data Factory's own bound of an activity */
    RETRY_LIMIT = 1000,
    RETRY_INTERVAL_LIMIT_S = 86400,
    COLUMN_LIMIT = 64,
};

static const char *const document_members[] = {"name", "properties", "id",        "type",
                                               "etag", "apiVersion", "dependsOn", NULL};

/* ---- connections ---- */

static const char *const connection_types[] = {"RestService", "AzureBlobFS", "FileServer",
                                               "AmazonS3", NULL};
enum { REST_SERVICE, BLOB_FS, FILE_SERVER, AMAZON_S3 };

static const char *const auth_words[] = {
    "Anonymous", "Bearer", "ManagedServiceIdentity", "SystemAssignedManagedIdentity", "MSI", NULL};

static dl_status read_secret(dl_document_reader *r, const dl_document_node *node,
                             dl_factory_connection *c)
{
    static const char *const known[] = {"type", "name", "path", NULL};
    static const char *const kinds[] = {"Environment", "File", NULL};
    dl_document_node type, where;
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    DL_TRY(dl_document_object(r, node, known));
    DL_TRY(dl_document_child(r, node, "type", &type));
    if (!dl_document_is(&type)) {
        return dl_document_missing(r, &type, "Environment or File");
    }
    size_t kind = 0;
    DL_TRY(dl_document_word(r, &type, kinds, &kind));
    DL_TRY(dl_document_child(r, node, kind == 0 ? "name" : "path", &where));
    DL_TRY(dl_document_text(r, &where, &c->secret));
    if (c->secret.len == 0) {
        return dl_document_missing(
            r, &where, kind == 0 ? "the name of an environment variable" : "the path of a file");
    }
    c->secret_kind = kind == 0 ? DL_FACTORY_SECRET_ENVIRONMENT : DL_FACTORY_SECRET_FILE;
    return DL_OK;
}

static bool has_control(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127) {
            return true;
        }
    }
    return false;
}

static dl_status check_url(dl_document_reader *r, const dl_document_node *node,
                           const dl_factory_connection *c)
{
    static const char *const dicom[] = {"http://", "https://", "home:"};
    bool good = c->type == DL_FACTORY_LAKE;
    for (size_t i = 0; !good && i < DL_COUNT_OF(dicom); i++) {
        good = dl_str_starts_nocase(c->url, dl_str_of(dicom[i]));
    }
    if (!good || has_control(c->url)) {
        dl_status status = dl_document_wrong(
            r, node,
            c->type == DL_FACTORY_DICOM ? "a service's address" : "a folder or an address");
        dl_error_hint(r->err, c->type == DL_FACTORY_DICOM
                                  ? "https://..., http://... or home: for the service of this home"
                                  : "a folder's path, or home: for the tables of this home");
        return status;
    }
    return DL_OK;
}

static dl_status read_address(dl_document_reader *r, const dl_document_node *typed, size_t type,
                              dl_factory_connection *c)
{
    static const char *const keys[] = {"url", "url", "host", "url"};
    dl_document_node url;
    DL_TRY(dl_document_child(r, typed, keys[type], &url));
    if (!dl_document_is(&url)) {
        return dl_document_missing(r, &url, type == FILE_SERVER ? "a folder" : "an address");
    }
    DL_TRY(dl_document_text(r, &url, &c->url));
    c->url = dl_str_trim(c->url);
    if (c->url.len == 0) {
        return dl_document_wrong(r, &url, "an address");
    }
    return check_url(r, &url, c);
}

static dl_status read_auth(dl_document_reader *r, const dl_document_node *typed, size_t type,
                           dl_factory_connection *c)
{
    dl_document_node word, token;
    DL_TRY(dl_document_child(r, typed, "authenticationType", &word));
    DL_TRY(dl_document_child(r, typed, "token", &token));
    /* Data Factory's lakes say nothing when the identity of the factory is meant. */
    size_t auth = type == BLOB_FS ? 2 : 0;
    DL_TRY(dl_document_word(r, &word, auth_words, &auth));
    c->auth = auth == 0   ? DL_FACTORY_AUTH_ANONYMOUS
              : auth == 1 ? DL_FACTORY_AUTH_TOKEN
                          : DL_FACTORY_AUTH_MANAGED_IDENTITY;
    DL_TRY(read_secret(r, &token, c));
    if (c->auth == DL_FACTORY_AUTH_TOKEN && c->secret_kind == DL_FACTORY_SECRET_NONE) {
        return dl_document_missing(r, &token, "where the token is: {\"type\": \"File\", \"path\"}");
    }
    return DL_OK;
}

dl_status dl_document_read_connection(dl_document_reader *r, dl_str json,
                                      dl_factory_connection *out)
{
    static const char *const members[] = {"type",       "description", "annotations",
                                          "parameters", "connectVia",  "typeProperties",
                                          "version",    NULL};
    static const char *const typed_members[] = {
        "url",   "host", "authenticationType", "enableServerCertificateValidation", "aadResourceId",
        "token", NULL};
    dl_factory_connection c = {.resource = DL_STR("https://dicom.healthcareapis.azure.com")};
    dl_document_node root, name, properties, type, description, typed, resource;
    DL_TRY(dl_document_root(r, json, &root));
    DL_TRY(dl_document_object(r, &root, document_members));
    DL_TRY(dl_document_child(r, &root, "name", &name));
    DL_TRY(dl_document_name(r, &name, &c.name));
    DL_TRY(dl_document_child(r, &root, "properties", &properties));
    DL_TRY(dl_document_object(r, &properties, members));
    DL_TRY(dl_document_child(r, &properties, "type", &type));
    if (!dl_document_is(&type)) {
        return dl_document_missing(r, &type, "RestService, FileServer or AzureBlobFS");
    }
    size_t kind = 0;
    DL_TRY(dl_document_word(r, &type, connection_types, &kind));
    c.type = kind == REST_SERVICE ? DL_FACTORY_DICOM : DL_FACTORY_LAKE;
    DL_TRY(dl_document_child(r, &properties, "description", &description));
    DL_TRY(dl_document_text(r, &description, &c.description));
    DL_TRY(dl_document_child(r, &properties, "typeProperties", &typed));
    DL_TRY(dl_document_object(r, &typed, typed_members));
    DL_TRY(read_address(r, &typed, kind, &c));
    DL_TRY(read_auth(r, &typed, kind, &c));
    DL_TRY(dl_document_child(r, &typed, "aadResourceId", &resource));
    DL_TRY(dl_document_text(r, &resource, &c.resource));
    *out = c;
    return DL_OK;
}

dl_status dl_factory_read_connection(dl_str json, dl_arena *arena, dl_factory_connection *out,
                                     dl_factory_unknown *unknown, dl_error *err)
{
    dl_document_reader r = {.arena = arena, .unknown = unknown, .err = err};
    return dl_document_read_connection(&r, json, out);
}

/* ---- pipelines ---- */

dl_status dl_document_policy(dl_document_reader *r, const dl_document_node *policy,
                             dl_factory_pipeline *p)
{
    static const char *const known[] = {"timeout",      "retry",       "retryIntervalInSeconds",
                                        "secureOutput", "secureInput", NULL};
    dl_document_node timeout, retry, interval;
    DL_TRY(dl_document_object(r, policy, known));
    DL_TRY(dl_document_child(r, policy, "timeout", &timeout));
    int64_t timeout_us = (int64_t)TIMEOUT_DEFAULT_S * 1000000;
    DL_TRY(dl_document_span(r, &timeout, &timeout_us));
    if (timeout_us <= 0 || timeout_us > (int64_t)TIMEOUT_LIMIT_S * 1000000) {
        return dl_document_wrong(r, &timeout, "a time of more than 0 and at most 7 days");
    }
    int64_t count = 0, interval_s = 30;
    DL_TRY(dl_document_child(r, policy, "retry", &retry));
    DL_TRY(dl_document_int(r, &retry, 0, RETRY_LIMIT, &count));
    DL_TRY(dl_document_child(r, policy, "retryIntervalInSeconds", &interval));
    DL_TRY(dl_document_int(r, &interval, 1, RETRY_INTERVAL_LIMIT_S, &interval_s));
    p->timeout_s =
        timeout_us == (int64_t)TIMEOUT_DEFAULT_S * 1000000 ? 0 : (unsigned)(timeout_us / 1000000);
    p->retry_count = (unsigned)count;
    p->retry_interval_s = (unsigned)interval_s;
    return DL_OK;
}

static dl_status read_columns(dl_document_reader *r, const dl_document_node *columns,
                              dl_factory_pipeline *p)
{
    size_t count = 0;
    DL_TRY(dl_document_array(r, columns, COLUMN_LIMIT, &count));
    dl_json_iter iter = dl_json_iter_of(columns->value);
    for (size_t i = 0; i < count; i++) {
        dl_str value = DL_STR_NONE;
        dl_document_node column;
        if (!dl_json_next_element(&iter, &value)) {
            break;
        }
        DL_TRY(dl_document_element(r, columns, value, i, &column));
        DL_TRY(dl_document_text(r, &column, &p->columns[i]));
        if (dl_str_find(p->columns[i], '=') <= 0) {
            return dl_document_wrong(r, &column, "a column: name=Attribute:type");
        }
    }
    p->column_count = count;
    return DL_OK;
}

static dl_status read_sync(dl_document_reader *r, const dl_document_node *typed,
                           dl_factory_pipeline *p)
{
    static const char *const known[] = {"source",          "lake",    "profile", "compat",
                                        "requireFilePath", "columns", NULL};
    static const char *const profiles[] = {"auto", "template-r4", "template-r2", NULL};
    dl_document_node source, lake, profile, compat, require, columns;
    if (!dl_document_is(typed)) {
        return dl_document_missing(r, typed, "{\"source\", \"lake\", ...}");
    }
    DL_TRY(dl_document_object(r, typed, known));
    DL_TRY(dl_document_child(r, typed, "source", &source));
    DL_TRY(dl_document_reference(r, &source, "LinkedServiceReference", &p->dicom));
    DL_TRY(dl_document_child(r, typed, "lake", &lake));
    DL_TRY(dl_document_reference(r, &lake, "LinkedServiceReference", &p->lake));
    DL_TRY(dl_document_child(r, typed, "profile", &profile));
    size_t index = DL_PIPELINE_AUTO;
    DL_TRY(dl_document_word(r, &profile, profiles, &index));
    p->profile = (dl_pipeline_profile)index;
    DL_TRY(dl_document_child(r, typed, "compat", &compat));
    DL_TRY(dl_document_bool(r, &compat, &p->compat));
    DL_TRY(dl_document_child(r, typed, "requireFilePath", &require));
    DL_TRY(dl_document_bool(r, &require, &p->require_file_path));
    DL_TRY(dl_document_child(r, typed, "columns", &columns));
    return read_columns(r, &columns, p);
}

static dl_status read_activity(dl_document_reader *r, const dl_document_node *activity,
                               dl_factory_pipeline *p, bool *found)
{
    static const char *const known[] = {"name",   "type",           "description",    "dependsOn",
                                        "policy", "userProperties", "typeProperties", NULL};
    dl_document_node type, policy, typed;
    if (dl_json_kind_of(activity->value) != DL_JSON_OBJECT) {
        return dl_document_wrong(r, activity, "a JSON object");
    }
    DL_TRY(dl_document_child(r, activity, "type", &type));
    dl_str word = DL_STR("");
    DL_TRY(dl_document_text(r, &type, &word));
    if (!dl_str_eq(word, DL_STR("SyncDicomTables"))) {
        dl_document_unknown(r, activity->path);
        return DL_OK;
    }
    if (*found) {
        return dl_error_set(r->err, DL_E_INVALID, "%.*s: a second activity of type SyncDicomTables",
                            DL_STR_ARG(activity->path));
    }
    *found = true;
    DL_TRY(dl_document_object(r, activity, known));
    DL_TRY(dl_document_child(r, activity, "policy", &policy));
    DL_TRY(dl_document_policy(r, &policy, p));
    DL_TRY(dl_document_child(r, activity, "typeProperties", &typed));
    return read_sync(r, &typed, p);
}

static dl_status read_activities(dl_document_reader *r, const dl_document_node *properties,
                                 dl_factory_pipeline *p)
{
    enum { ACTIVITY_LIMIT = 120 }; /* Data Factory's own bound */
    dl_document_node activities;
    DL_TRY(dl_document_child(r, properties, "activities", &activities));
    size_t count = 0;
    bool found = false;
    DL_TRY(dl_document_array(r, &activities, ACTIVITY_LIMIT, &count));
    dl_json_iter iter = dl_json_iter_of(activities.value);
    for (size_t i = 0; i < count; i++) {
        dl_str value = DL_STR_NONE;
        dl_document_node activity;
        if (!dl_json_next_element(&iter, &value)) {
            break;
        }
        DL_TRY(dl_document_element(r, &activities, value, i, &activity));
        DL_TRY(read_activity(r, &activity, p, &found));
    }
    if (!found) {
        dl_status status =
            dl_error_set(r->err, DL_E_INVALID, "%.*s: there is no activity of type SyncDicomTables",
                         DL_STR_ARG(activities.path));
        dl_error_hint(r->err, "Data Factory's own template comes in by: pipeline import FILE");
        return status;
    }
    return DL_OK;
}

dl_status dl_document_check_defaults(dl_document_reader *r, const dl_factory_pipeline *p)
{
    dl_factory_parameter literal[DL_FACTORY_PARAMETER_LIMIT];
    size_t count = 0;
    for (size_t i = 0; i < p->parameter_count; i++) {
        if (p->parameters[i].value.len > 0 && p->parameters[i].value.ptr[0] != '@') {
            literal[count++] = p->parameters[i];
        }
    }
    dl_pipeline_parameters all;
    dl_status status = dl_factory_parameters(literal, count, &all, r->err);
    return status == DL_OK ? DL_OK
                           : dl_error_within(r->err, DL_E_INVALID, "reading properties.parameters");
}

static dl_status read_template(dl_document_reader *r, const dl_document_node *properties,
                               dl_factory_pipeline *p)
{
    static const char *const known[] = {"id", "revision", NULL};
    dl_document_node template_, id, revision;
    DL_TRY(dl_document_child(r, properties, "template", &template_));
    DL_TRY(dl_document_object(r, &template_, known));
    DL_TRY(dl_document_child(r, &template_, "id", &id));
    DL_TRY(dl_document_text(r, &id, &p->template_id));
    DL_TRY(dl_document_child(r, &template_, "revision", &revision));
    return dl_document_text(r, &revision, &p->revision);
}

dl_status dl_document_read_pipeline(dl_document_reader *r, dl_str json, dl_factory_pipeline *out)
{
    static const char *const members[] = {"description",     "activities", "parameters",
                                          "annotations",     "template",   "folder",
                                          "lastPublishTime", "policy",     NULL};
    dl_factory_pipeline p = {.retry_interval_s = 30};
    dl_document_node root, name, properties, description, parameters;
    DL_TRY(dl_document_root(r, json, &root));
    DL_TRY(dl_document_object(r, &root, document_members));
    DL_TRY(dl_document_child(r, &root, "name", &name));
    DL_TRY(dl_document_name(r, &name, &p.name));
    DL_TRY(dl_document_child(r, &root, "properties", &properties));
    DL_TRY(dl_document_object(r, &properties, members));
    DL_TRY(dl_document_child(r, &properties, "description", &description));
    DL_TRY(dl_document_text(r, &description, &p.description));
    DL_TRY(read_template(r, &properties, &p));
    DL_TRY(read_activities(r, &properties, &p));
    DL_TRY(dl_document_child(r, &properties, "parameters", &parameters));
    DL_TRY(dl_document_parameters(r, &parameters, false, false, p.parameters, &p.parameter_count));
    DL_TRY(dl_document_check_defaults(r, &p));
    *out = p;
    return DL_OK;
}

dl_status dl_factory_read_pipeline(dl_str json, dl_arena *arena, dl_factory_pipeline *out,
                                   dl_factory_unknown *unknown, dl_error *err)
{
    dl_document_reader r = {.arena = arena, .unknown = unknown, .err = err};
    return dl_document_read_pipeline(&r, json, out);
}
