/* Routes of statements: rows as they come, completion, what is under way. */
#include "lakehouse/routes_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/media.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- failures ---- */

static unsigned status_of(const dl_error *cause)
{
    if (cause->status == DL_E_LIMIT && cause->os_code == ETIMEDOUT) {
        return 504;
    }
    return cause->status == DL_E_CANCELED ? 409 : dl_api_status(cause->status);
}

/* Of our own failures the log gets the kind alone: the words may be the statement's. */
static void log_failure(const dl_api_request *r, const dl_error *cause)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "lakehouse", "statement");
    dl_log_str(&line, "request", dl_http_request_id(r->x));
    dl_log_str(&line, "status", dl_str_of(dl_status_name(cause->status)));
    dl_log_int(&line, "code", cause->os_code);
    dl_log_end(&line);
}

void dl_lake_refuse_statement(dl_api_request *r, const dl_error *cause, const dl_query_place *place)
{
    bool placed = place->at != SIZE_MAX;
    const dl_api_extra extras[] = {{"at", (int64_t)place->at},
                                   {"line", (int64_t)place->line},
                                   {"column", (int64_t)place->column}};
    dl_api_problem problem = {.status = status_of(cause),
                              .detail = cause->message,
                              .hint = cause->hint,
                              .extras = extras,
                              .extra_count = placed ? DL_COUNT_OF(extras) : 0};
    if (cause->status == DL_E_UNAVAILABLE) {
        dl_http_add_header(r->x, "Retry-After", DL_STR("1"));
    } else if (problem.status >= 500 && problem.status != 504) {
        log_failure(r, cause);
        problem.detail = "The statement could not be run to its end.";
        problem.hint = "the log of the service has the kind of its failure";
        problem.extra_count = 0;
    }
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_api_problem_send(r->x, &problem);
}

/* ---- streams ---- */

/* What has begun and fails ends without a proper end. The log is told the kind of it alone. */
static dl_status read_child(void *context, char *out, size_t room, size_t *out_len, dl_error *err)
{
    dl_error cause = {0};
    dl_status status = dl_child_read(context, out, room, out_len, &cause);
    return status == DL_OK ? DL_OK
                           : dl_error_set(err, status, "a statement failed after its first rows");
}

static void destroy_child(void *context)
{
    dl_child_destroy(context);
}

dl_status dl_lake_stream(dl_api_request *r, dl_child *take_child, unsigned status, const char *type,
                         DL_UNUSED dl_error *err)
{
    const dl_http_stream stream = {
        .read = read_child, .destroy = destroy_child, .context = take_child};
    dl_http_add_header(r->x, "Statement-Id", dl_str_of(dl_child_id(take_child)));
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_http_respond_stream(r->x, status, type, UINT64_MAX, &stream);
    return DL_OK;
}

static bool is_gone(void *context)
{
    return dl_http_gone(context);
}

/* A wish that cannot be fulfilled is refused, not cut. */
static dl_status take_time(const dl_api_request *r, uint32_t *out_ms, dl_error *err)
{
    int64_t most = dl_children_time_limit_ms(dl_lake_children(r)) / 1000;
    int64_t wish = r->numbers[DL_LAKE_VALUE_TIMEOUT];
    if (!dl_api_has(r, DL_LAKE_VALUE_TIMEOUT)) {
        *out_ms = DL_LAKE_TIMEOUT_SECONDS * 1000;
        return DL_OK;
    }
    if (wish > most) {
        (void)dl_error_set(err, DL_E_INVALID,
                           "\"timeoutSeconds\" takes a whole number from 1 to %" PRId64 ".", most);
        dl_error_hint(err, "the setting lakehouse.seconds of the service is the bound");
        return DL_E_INVALID;
    }
    *out_ms = (uint32_t)wish * 1000;
    return DL_OK;
}

dl_status dl_lake_start(dl_api_request *r, dl_child_options *options, dl_child **out_child,
                        dl_error *err)
{
    dl_lakehouse lake = {0};
    dl_error cause = {0};
    dl_query_place place = {.at = SIZE_MAX};
    DL_TRY(dl_lake_of(r, &lake, err));
    options->lakehouse = lake.name;
    options->gone = is_gone;
    options->context = r->x;
    DL_TRY(take_time(r, &options->limits.time_ms, err));
    options->limits.rows = (uint64_t)r->numbers[DL_LAKE_VALUE_ROWS];
    *out_child = NULL;
    if (dl_child_start(dl_lake_children(r), options, out_child, &place, &cause) != DL_OK) {
        dl_lake_refuse_statement(r, &cause, &place);
    }
    return DL_OK;
}

/* ---- formats ---- */

/* In the order in which they are offered to who takes anything. */
static const dl_query_format offered[] = {DL_QUERY_JSON,     DL_QUERY_CSV,   DL_QUERY_JSONL,
                                          DL_QUERY_MARKDOWN, DL_QUERY_TABLE, DL_QUERY_HTML,
                                          DL_QUERY_ARROW};

/* Without its parameters. */
static bool bare_type(dl_query_format format, char *out, size_t size)
{
    dl_str type = dl_str_of(dl_query_format_type(format));
    ptrdiff_t end = dl_str_find(type, ';');
    return dl_str_copy(end < 0 ? type : dl_str_slice(type, 0, (size_t)end), out, size);
}

static dl_status choose_format(dl_api_request *r, dl_query_format *out, bool *out_found,
                               dl_error *err)
{
    dl_str accept = dl_http_header(r->x, "Accept");
    dl_media *ranges = NULL;
    size_t count = 0;
    *out_found = true;
    *out = DL_QUERY_JSON;
    if (dl_api_has(r, DL_LAKE_VALUE_FORMAT)) {
        *out = (dl_query_format)r->numbers[DL_LAKE_VALUE_FORMAT];
        return DL_OK;
    }
    if (accept.ptr == NULL) {
        return DL_OK;
    }
    DL_TRY(dl_media_parse_accept(accept, r->arena, &ranges, &count, err));
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < DL_COUNT_OF(offered); k++) {
            char type[64];
            if (bare_type(offered[k], type, sizeof type) &&
                dl_media_range_covers(&ranges[i], type)) {
                *out = offered[k];
                return DL_OK;
            }
        }
    }
    *out_found = false;
    return DL_OK;
}

const char *const *dl_lake_row_types(void)
{
    static const char *const types[] = {"application/json",
                                        "text/csv",
                                        "application/x-ndjson",
                                        "text/markdown",
                                        "text/plain",
                                        "text/html",
                                        "application/vnd.apache.arrow.stream",
                                        NULL};
    return types;
}

/* ---- POST .../sql ---- */

dl_status dl_lake_sql(dl_api_request *r, dl_error *err)
{
    dl_child_options options = {.input = r->values[DL_LAKE_VALUE_STATEMENT]};
    dl_child *child = NULL;
    bool found = false;
    DL_TRY(choose_format(r, &options.format, &found, err));
    if (!found) {
        return dl_api_refuse(r->x, 406,
                             "Rows come as application/json, text/csv, application/x-ndjson, "
                             "text/markdown, text/plain, text/html or "
                             "application/vnd.apache.arrow.stream.");
    }
    DL_TRY(dl_lake_start(r, &options, &child, err));
    if (child == NULL) {
        return DL_OK;
    }
    if (options.format == DL_QUERY_HTML) { /* whatever a browser makes of it, it runs nothing */
        dl_http_add_header(r->x, "Content-Security-Policy",
                           DL_STR("sandbox; default-src 'none'; style-src 'unsafe-inline'"));
    }
    return dl_lake_stream(r, child, r->route->success, dl_query_format_type(options.format), err);
}

/* ---- POST .../complete ---- */

dl_status dl_lake_complete(dl_api_request *r, dl_error *err)
{
    dl_lakehouse lake = {0};
    dl_query_options options = {.clock = dl_clock_system()};
    DL_AUTO_QUERY query = NULL;
    DL_AUTO_ANSWER answer = {0};
    dl_str statement = r->values[DL_LAKE_VALUE_STATEMENT];
    dl_str *words = NULL;
    size_t count = 0;
    size_t from = 0;
    size_t at =
        dl_api_has(r, DL_LAKE_VALUE_AT) ? (size_t)r->numbers[DL_LAKE_VALUE_AT] : statement.len;
    DL_TRY(dl_lake_of(r, &lake, err));
    DL_TRY(dl_lakehouse_query_options(dl_lake_factory(r), &lake, r->arena, &options, err));
    DL_TRY(dl_query_open(&options, &query, err));
    DL_TRY(dl_query_complete(query, statement, at < statement.len ? at : statement.len, r->arena,
                             &words, &count, &from, err));
    dl_json_writer *w = dl_api_answer_begin(&answer, err);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("from"));
    dl_json_int(w, (int64_t)from);
    dl_json_key(w, DL_STR("words"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        dl_json_string(w, words[i]);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
    return dl_api_answer_send(r, &answer);
}

/* ---- what is under way ---- */

static const char *kind_word(dl_child_kind kind)
{
    switch (kind) {
    case DL_CHILD_COHORT:
        return "cohort";
    case DL_CHILD_NOTEBOOK:
        return "notebook";
    case DL_CHILD_STATEMENT:
        break;
    }
    return "statement";
}

dl_status dl_lake_statements(dl_api_request *r, dl_error *err)
{
    dl_child_fact facts[DL_CHILDREN_LIMIT];
    size_t count = dl_children_list(dl_lake_children(r), facts, DL_COUNT_OF(facts));
    DL_AUTO_ANSWER answer = {0};
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        dl_json_object_begin(w);
        dl_lake_put_text(w, "id", dl_str_of(facts[i].id));
        dl_lake_put_text(w, "lakehouse", dl_str_of(facts[i].lakehouse));
        dl_lake_put_text(w, "kind", dl_str_of(kind_word(facts[i].kind)));
        dl_lake_put_time(w, "started", facts[i].started_us);
        dl_json_object_end(w);
    }
    return dl_api_list_send(r, &answer, DL_STR_NONE);
}

dl_status dl_lake_cancel(dl_api_request *r, dl_error *err)
{
    DL_TRY(dl_children_cancel(dl_lake_children(r), r->name, err));
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}
