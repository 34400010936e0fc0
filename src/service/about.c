/* What the service says of itself: health, partitions, the OpenAPI document, and what comes later.
 */
#include "service/internal.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

static const char json_type[] = "application/json; charset=utf-8";

dl_status dl_handle_later(dl_service_request *r, dl_error *err)
{
    (void)err;
    return dl_refuse(r, 501, "%s: not part of this service yet.", r->route->summary);
}

/* ---- health (contract section 17) ---- */

enum { HEALTH_KEPT_US = 5 * 1000000 };

static void log_unhealthy(const char *what, const dl_error *cause)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "service", "health");
    dl_log_str(&line, "part", dl_str_of(what));
    dl_log_error(&line, cause);
    dl_log_end(&line);
}

/* The probes run outside the lock: a slow disk must not queue up the callers. */
static void check_health(dl_service *service, bool *out_index, bool *out_store)
{
    pthread_mutex_lock(&service->health_lock);
    int64_t now_us = dl_clock_monotonic_us();
    bool fresh =
        service->health_checked_us != 0 && now_us - service->health_checked_us < HEALTH_KEPT_US;
    *out_index = service->index_healthy;
    *out_store = service->store_healthy;
    pthread_mutex_unlock(&service->health_lock);
    if (fresh) {
        return;
    }
    dl_error cause = {0};
    *out_index = dl_index_probe(service->index, &cause) == DL_OK;
    if (!*out_index) {
        log_unhealthy("index", &cause);
    }
    *out_store = dl_store_probe(service->store, &cause) == DL_OK;
    if (!*out_store) {
        log_unhealthy("store", &cause);
    }
    pthread_mutex_lock(&service->health_lock);
    service->health_checked_us = now_us;
    service->index_healthy = *out_index;
    service->store_healthy = *out_store;
    pthread_mutex_unlock(&service->health_lock);
}

static const char *word_of(bool healthy)
{
    return healthy ? "Healthy" : "Unhealthy";
}

static void put_check(dl_json_writer *w, const char *name, const char *status,
                      const char *description)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, dl_str_of(name));
    dl_json_key(w, DL_STR("status"));
    dl_json_string(w, dl_str_of(status));
    dl_json_key(w, DL_STR("description"));
    dl_json_string(w, dl_str_of(description));
    dl_json_object_end(w);
}

dl_status dl_handle_health(dl_service_request *r, dl_error *err)
{
    bool index = false;
    bool store = false;
    static const char degraded[] = "Degraded";
    const dl_service_check *check = &r->service->check;
    bool other = check->is_healthy == NULL || check->is_healthy(check->context);
    check_health(r->service, &index, &store);
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 4096);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &buf, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("overallStatus"));
    dl_json_string(&w, dl_str_of(index && store && !other ? degraded : word_of(index && store)));
    dl_json_key(&w, DL_STR("details"));
    dl_json_array_begin(&w);
    put_check(&w, "SqlServerHealthCheck", word_of(index), "whether the index database answers");
    put_check(&w, "DcmHealthCheck", word_of(store), "whether a file can be written and removed");
    put_check(&w, "MetadataHealthCheck", word_of(index),
              "whether metadata can be read, which is in the index database");
    put_check(&w, "FeedHealthCheck", word_of(index),
              "whether changes can be read, which are in the index database");
    put_check(&w, "CleanupHealthCheck", word_of(index && store),
              "whether deleted files can be removed");
    if (check->is_healthy != NULL) {
        put_check(&w, check->name, other ? word_of(true) : degraded, check->description);
    }
    dl_json_array_end(&w);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    dl_http_respond_buf(r->x, index && store ? 200 : 503, json_type, &buf);
    return DL_OK;
}

dl_status dl_handle_live(dl_service_request *r, dl_error *err)
{
    (void)err;
    dl_http_respond(r->x, 200, json_type, DL_STR("{\"status\":\"Live\"}"));
    return DL_OK;
}

/* ---- partitions (contract 4.4) ---- */

dl_status dl_handle_partitions(dl_service_request *r, dl_error *err)
{
    if (!r->service->settings.partitions) {
        return dl_refuse(r, 400, "Data partitions are off.");
    }
    dl_index_partition *list = NULL;
    size_t count = 0;
    DL_TRY(dl_index_partition_list(r->service->index, dl_http_arena(r->x), &list, &count, err));
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, (size_t)64 << 20);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &buf, err);
    dl_json_array_begin(&w);
    for (size_t i = 0; i < count; i++) {
        char created[DL_CLOCK_TEXT_SIZE];
        dl_clock_format_feed(list[i].created_us, created);
        dl_json_object_begin(&w);
        dl_json_key(&w, DL_STR("partitionKey"));
        dl_json_int(&w, list[i].key);
        dl_json_key(&w, DL_STR("partitionName"));
        dl_json_string(&w, list[i].name);
        dl_json_key(&w, DL_STR("createdDate"));
        dl_json_string(&w, dl_str_of(created));
        dl_json_object_end(&w);
    }
    dl_json_array_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    dl_http_respond_buf(r->x, 200, json_type, &buf);
    return DL_OK;
}

/* ---- OpenAPI: made from the route table; JSON is YAML too ---- */

static void put_parameters(dl_json_writer *w, dl_str path)
{
    dl_str rest = path;
    dl_str piece = DL_STR_NONE;
    dl_json_key(w, DL_STR("parameters"));
    dl_json_array_begin(w);
    while (dl_str_next(&rest, '/', &piece)) {
        if (piece.len > 2 && piece.ptr[0] == '{') {
            dl_json_object_begin(w);
            dl_json_key(w, DL_STR("in"));
            dl_json_string(w, DL_STR("path"));
            dl_json_key(w, DL_STR("required"));
            dl_json_bool(w, true);
            dl_json_key(w, DL_STR("schema"));
            dl_json_raw(w, DL_STR("{\"type\":\"string\"}"));
            dl_json_key(w, DL_STR("name"));
            dl_json_string(w, dl_str_slice(piece, 1, piece.len - 2));
            dl_json_object_end(w);
        }
    }
    dl_json_array_end(w);
}

static void put_operation(dl_json_writer *w, const dl_service_route *route, dl_str path)
{
    char method[8];
    size_t n = strlen(route->method);
    DL_ASSERT(n < sizeof method);
    for (size_t i = 0; i < n; i++) {
        method[i] = (char)(route->method[i] + ('a' - 'A'));
    }
    dl_json_key(w, (dl_str){method, n});
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("summary"));
    dl_json_string(w, dl_str_of(route->summary));
    put_parameters(w, path);
    dl_json_key(w, DL_STR("responses"));
    dl_json_raw(w, route->handle == dl_handle_later
                       ? DL_STR("{\"501\":{\"description\":\"not part of this service yet\"}}")
                       : DL_STR("{\"default\":{\"description\":\"see the contract\"}}"));
    dl_json_object_end(w);
}

static bool is_first_of_pattern(const dl_service_route *routes, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (strcmp(routes[k].pattern, routes[i].pattern) == 0) {
            return false;
        }
    }
    return true;
}

static void put_path(dl_json_writer *w, const dl_service_request *r, size_t i)
{
    size_t count = 0;
    const dl_service_route *routes = dl_service_routes(&count);
    char text[160];
    bool versioned = (routes[i].flags & DL_ROUTE_UNVERSIONED) == 0;
    bool below =
        r->service->settings.partitions != 0 && (routes[i].flags & DL_ROUTE_PARTITIONED) != 0;
    int n = versioned ? snprintf(text, sizeof text, "/v%u/%s%s", r->version,
                                 below ? "partitions/{partitionName}/" : "", routes[i].pattern)
                      : snprintf(text, sizeof text, "/%s", routes[i].pattern);
    dl_str path = {text, (size_t)n};
    dl_json_key(w, path);
    dl_json_object_begin(w);
    for (size_t k = i; k < count; k++) {
        if (strcmp(routes[k].pattern, routes[i].pattern) == 0) {
            put_operation(w, &routes[k], path);
        }
    }
    dl_json_object_end(w);
}

dl_status dl_handle_openapi(dl_service_request *r, dl_error *err)
{
    size_t count = 0;
    const dl_service_route *routes = dl_service_routes(&count);
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 1 << 20);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &buf, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("openapi"));
    dl_json_string(&w, DL_STR("3.0.3"));
    dl_json_key(&w, DL_STR("info"));
    dl_json_raw(&w, r->version < 2
                        ? DL_STR("{\"title\":\"dicomlake DICOM service\",\"version\":\"1\"}")
                        : DL_STR("{\"title\":\"dicomlake DICOM service\",\"version\":\"2\"}"));
    dl_json_key(&w, DL_STR("paths"));
    dl_json_object_begin(&w);
    for (size_t i = 0; i < count; i++) {
        if (is_first_of_pattern(routes, i) &&
            !((routes[i].flags & DL_ROUTE_V2_ONLY) != 0 && r->version < 2)) {
            put_path(&w, r, i);
        }
    }
    dl_json_object_end(&w);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    bool yaml = strcmp(r->route->pattern, "api.yaml") == 0;
    dl_http_respond_buf(r->x, 200, yaml ? "application/yaml; charset=utf-8" : json_type, &buf);
    return DL_OK;
}
