/* Answers of an API: JSON, pages, problems. */
#include "base/log.h"
#include "http/api.h"

enum { PROBLEM_LIMIT_BYTES = 16 * 1024 };

/* ---- refusals (RFC 9457) ---- */

static const char *title_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {{400, "Bad Request"},
                  {403, "Forbidden"},
                  {404, "Not Found"},
                  {405, "Method Not Allowed"},
                  {406, "Not Acceptable"},
                  {409, "Conflict"},
                  {412, "Precondition Failed"},
                  {413, "Content Too Large"},
                  {415, "Unsupported Media Type"},
                  {416, "Range Not Satisfiable"},
                  {422, "Unprocessable Content"},
                  {503, "Service Unavailable"},
                  {504, "Gateway Timeout"}};
    for (size_t i = 0; i < DL_COUNT_OF(titles); i++) {
        if (titles[i].status == status) {
            return titles[i].title;
        }
    }
    return "Internal Server Error";
}

static void put_text(dl_json_writer *w, const char *key, const char *text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, dl_str_of(text));
}

void dl_api_problem_send(dl_http_exchange *x, const dl_api_problem *problem)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, PROBLEM_LIMIT_BYTES);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &buf, NULL);
    dl_json_object_begin(&w);
    put_text(&w, "type", "about:blank");
    put_text(&w, "title", title_of(problem->status));
    dl_json_key(&w, DL_STR("status"));
    dl_json_int(&w, (int64_t)problem->status);
    put_text(&w, "detail", problem->detail);
    if (problem->hint != NULL && problem->hint[0] != '\0') {
        put_text(&w, "hint", problem->hint);
    }
    for (size_t i = 0; i < problem->extra_count; i++) {
        dl_json_key(&w, dl_str_of(problem->extras[i].name));
        dl_json_int(&w, problem->extras[i].number);
    }
    dl_json_object_end(&w);
    bool whole = dl_json_writer_status(&w) == DL_OK;
    dl_http_respond(x, problem->status, "application/problem+json",
                    whole ? dl_buf_str(&buf) : DL_STR("{}"));
}

dl_status dl_api_refuse(dl_http_exchange *x, unsigned status, const char *detail)
{
    const dl_api_problem problem = {.status = status, .detail = detail};
    dl_api_problem_send(x, &problem);
    return DL_OK;
}

unsigned dl_api_status(dl_status status)
{
    static const unsigned table[] = {
        [DL_OK] = 500,         [DL_E_INVALID] = 400,
        [DL_E_DENIED] = 403,   [DL_E_NOT_FOUND] = 404,
        [DL_E_EXISTS] = 409,   [DL_E_CONFLICT] = 409,
        [DL_E_LIMIT] = 413,    [DL_E_UNSUPPORTED] = 422,
        [DL_E_CORRUPT] = 500,  [DL_E_UNAVAILABLE] = 503,
        [DL_E_CANCELED] = 503, [DL_E_IO] = 503,
        [DL_E_NOMEM] = 503,
    };
    size_t at = (size_t)status;
    return at < DL_COUNT_OF(table) ? table[at] : 500;
}

static void log_failure(const dl_api *api, dl_http_exchange *x, const dl_error *err)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, api->name, "request");
    dl_log_str(&line, "request", dl_http_request_id(x));
    dl_log_error(&line, err);
    dl_log_end(&line);
}

void dl_api_fail_known(const dl_api *api, dl_http_exchange *x, const dl_error *err,
                       const dl_error *known)
{
    log_failure(api, x, err);
    const dl_api_problem problem = {.status = 503, .detail = known->message, .hint = known->hint};
    dl_api_problem_send(x, &problem);
}

void dl_api_fail(const dl_api *api, dl_http_exchange *x, const dl_error *err)
{
    unsigned status = dl_api_status(err->status);
    if (status < 500) {
        const dl_api_problem problem = {
            .status = status, .detail = err->message, .hint = err->hint};
        dl_api_problem_send(x, &problem);
        return;
    }
    /* Of a failure on our side the client learns that it happened; the cause goes to the log. */
    log_failure(api, x, err);
    const dl_api_problem problem = {
        .status = status,
        .detail = status == 503 ? "This cannot be done at the moment; try again later."
                                : "An unforeseen condition was met.",
        .hint = "the log of the service has the cause"};
    dl_api_problem_send(x, &problem);
}

/* ---- answers ---- */

void dl_api_answer_clear(dl_api_answer *answer)
{
    dl_buf_clear(&answer->buf);
}

dl_json_writer *dl_api_answer_begin(dl_api_answer *answer, dl_error *err)
{
    dl_buf_init(&answer->buf, DL_API_ANSWER_LIMIT_BYTES);
    dl_json_writer_init(&answer->w, &answer->buf, err);
    return &answer->w;
}

dl_status dl_api_answer_send_as(dl_api_request *r, dl_api_answer *answer, unsigned status)
{
    DL_TRY(dl_json_writer_status(&answer->w));
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_http_respond_buf(r->x, status, "application/json", &answer->buf);
    return DL_OK;
}

dl_status dl_api_answer_send(dl_api_request *r, dl_api_answer *answer)
{
    return dl_api_answer_send_as(r, answer, r->route->success);
}

dl_json_writer *dl_api_list_begin(dl_api_answer *answer, dl_error *err)
{
    dl_json_writer *w = dl_api_answer_begin(answer, err);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("value"));
    dl_json_array_begin(w);
    return w;
}

dl_status dl_api_list_send(dl_api_request *r, dl_api_answer *answer, dl_str token)
{
    dl_json_writer *w = &answer->w;
    dl_json_array_end(w);
    dl_json_key(w, DL_STR("continuationToken"));
    if (token.len > 0) {
        dl_json_string(w, token);
    } else {
        dl_json_null(w);
    }
    dl_json_object_end(w);
    return dl_api_answer_send(r, answer);
}
