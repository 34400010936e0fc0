/* Routes of triggers' windows and of runs. */
#include "factory/expression.h"
#include "factory/routes_internal.h"

#include <inttypes.h>

/* ---- parameters of a run ---- */

static dl_status read_parameter(dl_factory_request *r, dl_str key, dl_str value,
                                dl_factory_parameter *out, dl_error *err)
{
    dl_str quoted = {key.ptr - 1, key.len + 2}; /* the raw key stands between its quotes */
    *out = (dl_factory_parameter){.type = DL_STR("")};
    DL_TRY(dl_json_text(quoted, r->arena, &out->name, err));
    switch (dl_json_kind_of(value)) {
    case DL_JSON_STRING:
        return dl_json_text(value, r->arena, &out->value, err);
    case DL_JSON_NULL:
    case DL_JSON_NONE:
        return DL_OK;
    case DL_JSON_OBJECT:
    case DL_JSON_ARRAY:
    case DL_JSON_NUMBER:
    case DL_JSON_BOOL:
        break;
    }
    return dl_arena_copy(r->arena, value, &out->value, err);
}

dl_status dl_request_parameters(dl_factory_request *r, dl_factory_parameter **out_parameters,
                                size_t *out_count, dl_error *err)
{
    dl_factory_parameter *list = dl_arena_alloc(r->arena, DL_FACTORY_PARAMETER_LIMIT, sizeof *list);
    dl_json_iter members = dl_json_iter_of(r->values[DL_VALUE_PARAMETERS]);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    size_t count = 0;
    if (list == NULL) {
        return dl_arena_full(r->arena, err);
    }
    while (dl_json_next_member(&members, &key, &value)) {
        if (count == DL_FACTORY_PARAMETER_LIMIT) {
            return dl_error_set(err, DL_E_INVALID, "There are more than %d parameters.",
                                (int)DL_FACTORY_PARAMETER_LIMIT);
        }
        DL_TRY(read_parameter(r, key, value, &list[count], err));
        count++;
    }
    *out_parameters = list;
    *out_count = count;
    return DL_OK;
}

/* ---- queueing ---- */

static dl_status send_queued(dl_factory_request *r, const char *id, dl_error *err)
{
    DL_AUTO_ANSWER answer = {0};
    dl_str place = DL_STR_NONE;
    dl_request_wake(r);
    DL_TRY(dl_arena_printf(r->arena, &place, err, "/factory/runs/%s", id));
    dl_http_add_header(r->x, "Location", place);
    dl_json_writer *w = dl_api_answer_begin(&answer, err);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("runId"));
    dl_json_string(w, dl_str_of(id));
    dl_json_object_end(w);
    return dl_api_answer_send(r, &answer);
}

/* Now, not in the run: what an expression gives is known only there. */
static dl_status check_parameters(const dl_factory_parameter *parameters, size_t count,
                                  dl_error *err)
{
    dl_pipeline_parameters scratch = dl_pipeline_parameters_default();
    for (size_t i = 0; i < count; i++) {
        if (parameters[i].value.ptr == NULL || dl_expression_is(parameters[i].value)) {
            continue;
        }
        dl_status status = dl_factory_parameters(&parameters[i], 1, &scratch, err);
        if (status == DL_E_NOT_FOUND) {
            err->status = DL_E_INVALID; /* the path is right: 400 */
        }
        if (status != DL_OK) {
            return err->status;
        }
    }
    return DL_OK;
}

dl_status dl_route_run(dl_factory_request *r, dl_error *err)
{
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_factory_parameter *parameters = NULL;
    size_t count = 0;
    DL_TRY(dl_request_parameters(r, &parameters, &count, err));
    DL_TRY(check_parameters(parameters, count, err));
    DL_TRY(dl_pipeline_run_now(dl_request_factory(r), r->name, parameters, count, id, err));
    return send_queued(r, id, err);
}

dl_status dl_route_run_now(dl_factory_request *r, dl_error *err)
{
    char id[DL_FACTORY_RUN_ID_SIZE];
    DL_TRY(dl_trigger_run_now(dl_request_factory(r), r->name, id, err));
    return send_queued(r, id, err);
}

dl_status dl_route_rerun_window(dl_factory_request *r, dl_error *err)
{
    char id[DL_FACTORY_RUN_ID_SIZE];
    DL_TRY(dl_trigger_rerun(dl_request_factory(r), r->name, r->numbers[DL_VALUE_WINDOW_START], id,
                            err));
    return send_queued(r, id, err);
}

dl_status dl_route_rerun(dl_factory_request *r, dl_error *err)
{
    char id[DL_FACTORY_RUN_ID_SIZE];
    DL_TRY(dl_runs_rerun(dl_request_factory(r), r->name, id, err));
    return send_queued(r, id, err);
}

dl_status dl_route_backfill(dl_factory_request *r, dl_error *err)
{
    size_t count = 0;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_trigger_backfill(dl_request_factory(r), r->name, r->numbers[DL_VALUE_FROM],
                               r->numbers[DL_VALUE_TO], &count, err));
    dl_request_wake(r);
    dl_json_writer *w = dl_api_answer_begin(&answer, err);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("queued"));
    dl_json_int(w, (int64_t)count);
    dl_json_object_end(w);
    return dl_api_answer_send(r, &answer);
}

/* ---- triggers ---- */

static dl_status send_trigger(dl_factory_request *r, dl_error *err)
{
    dl_factory_entry entry = {0};
    DL_AUTO_ANSWER answer = {0};
    dl_request_wake(r);
    DL_TRY(dl_request_entry(r, &entry, err));
    DL_TRY(dl_request_put_entry(r, dl_api_answer_begin(&answer, err), &entry, err));
    return dl_api_answer_send(r, &answer);
}

dl_status dl_route_start(dl_factory_request *r, dl_error *err)
{
    DL_TRY(dl_trigger_start(dl_request_factory(r), r->name, err));
    return send_trigger(r, err);
}

dl_status dl_route_stop(dl_factory_request *r, dl_error *err)
{
    DL_TRY(dl_trigger_stop(dl_request_factory(r), r->name, err));
    return send_trigger(r, err);
}

/* A token is where the next page begins: a time, or the number of a line. */
static dl_status number_token(const dl_factory_request *r, int64_t initial, int64_t *out_value,
                              dl_error *err)
{
    int64_t value = initial;
    if (dl_api_has(r, DL_VALUE_TOKEN) &&
        (!dl_str_to_i64(r->values[DL_VALUE_TOKEN], &value) || value < 0)) {
        return dl_error_set(err, DL_E_INVALID,
                            "\"continuationToken\" is not what a page before gave.");
    }
    *out_value = value;
    return DL_OK;
}

dl_status dl_route_windows(dl_factory_request *r, dl_error *err)
{
    dl_factory_entry entry = {0};
    dl_run_window *windows = NULL;
    size_t count = 0;
    size_t limit = dl_api_page_limit(r, DL_VALUE_LIMIT);
    int64_t from_us = 0;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_request_entry(r, &entry, err));
    DL_TRY(number_token(r, r->numbers[DL_VALUE_FROM], &from_us, err));
    DL_TRY(dl_runs_windows(dl_request_factory(r), entry.name, from_us, r->numbers[DL_VALUE_TO],
                           limit + 1, r->arena, &windows, &count, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count && i < limit; i++) {
        dl_fact_window(w, &windows[i]);
    }
    if (count > limit) {
        DL_TRY(dl_arena_printf(r->arena, &token, err, "%" PRId64, windows[limit].start_us));
    }
    return dl_api_list_send(r, &answer, token);
}

/* ---- runs ---- */

static dl_str said(const dl_factory_request *r, unsigned value)
{
    return dl_api_has(r, value) ? r->values[value] : DL_STR("");
}

dl_status dl_route_runs(dl_factory_request *r, dl_error *err)
{
    size_t limit = dl_api_page_limit(r, DL_VALUE_LIMIT);
    const dl_run_filter filter = {.from_us = r->numbers[DL_VALUE_FROM],
                                  .to_us = r->numbers[DL_VALUE_TO],
                                  .by_status = dl_api_has(r, DL_VALUE_STATUS),
                                  .status = (dl_run_status)r->numbers[DL_VALUE_STATUS],
                                  .pipeline = said(r, DL_VALUE_PIPELINE),
                                  .trigger = said(r, DL_VALUE_TRIGGER),
                                  .group_id = said(r, DL_VALUE_GROUP),
                                  .limit = limit + 1,
                                  .after = said(r, DL_VALUE_TOKEN)};
    dl_run *runs = NULL;
    size_t count = 0;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_runs_list(dl_request_factory(r), &filter, r->arena, &runs, &count, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count && i < limit; i++) {
        dl_fact_run(w, &runs[i]);
    }
    return dl_api_list_send(r, &answer,
                            count > limit ? dl_str_of(runs[limit - 1].id) : DL_STR_NONE);
}

static dl_status send_run(dl_factory_request *r, dl_error *err)
{
    dl_run run = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_runs_get(dl_request_factory(r), r->name, r->arena, &run, err));
    dl_fact_run(dl_api_answer_begin(&answer, err), &run);
    return dl_api_answer_send(r, &answer);
}

dl_status dl_route_run_get(dl_factory_request *r, dl_error *err)
{
    return send_run(r, err);
}

dl_status dl_route_cancel(dl_factory_request *r, dl_error *err)
{
    DL_TRY(dl_runs_cancel(dl_request_factory(r), r->name, err));
    dl_request_wake(r);
    return send_run(r, err);
}

dl_status dl_route_logs(dl_factory_request *r, dl_error *err)
{
    dl_run_line *lines = NULL;
    size_t count = 0;
    int64_t after = 0;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(number_token(r, 0, &after, err));
    DL_TRY(dl_runs_lines(dl_request_factory(r), r->name, after, r->arena, &lines, &count, &after,
                         err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        dl_fact_line(w, &lines[i]);
    }
    DL_TRY(dl_arena_printf(r->arena, &token, err, "%" PRId64, after));
    return dl_api_list_send(r, &answer, token);
}
