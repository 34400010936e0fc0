/* Routes of lakehouses, shortcuts and tables. */
#include "lakehouse/routes_internal.h"

/* ---- pages ---- */

/* Names are one without regard to case, and so is their order in lists. */
static bool comes_after(const dl_api_request *r, dl_str name)
{
    dl_str token = r->values[DL_LAKE_VALUE_TOKEN];
    return token.ptr == NULL || dl_api_name_after(name, token);
}

/* ---- lakehouses ---- */

static void put_lake(dl_json_writer *w, const dl_lakehouse *lake)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, lake->name);
    dl_json_key(w, DL_STR("implied"));
    dl_json_bool(w, lake->implied);
    dl_lake_put_text(w, "fault", lake->fault);
    dl_json_key(w, DL_STR("document"));
    if (lake->fault.len > 0) {
        dl_json_null(w);
    } else {
        dl_lakehouse_write(w, lake);
    }
    dl_json_object_end(w);
}

dl_status dl_lake_list(dl_api_request *r, dl_error *err)
{
    dl_lakehouse *lakes = NULL;
    size_t count = 0;
    size_t put = 0;
    dl_str last = DL_STR_NONE;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_lakehouse_list(dl_lake_factory(r), r->arena, &lakes, &count, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        if (!comes_after(r, lakes[i].name)) {
            continue;
        }
        if (put == dl_api_page_limit(r, DL_LAKE_VALUE_LIMIT)) {
            token = last;
            break;
        }
        put_lake(w, &lakes[i]);
        last = lakes[i].name;
        put++;
    }
    return dl_api_list_send(r, &answer, token);
}

static dl_status send_lake(dl_api_request *r, unsigned status, dl_error *err)
{
    dl_lakehouse lake = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_lake_of(r, &lake, err));
    put_lake(dl_api_answer_begin(&answer, err), &lake);
    return dl_api_answer_send_as(r, &answer, status);
}

dl_status dl_lake_get(dl_api_request *r, dl_error *err)
{
    return send_lake(r, r->route->success, err);
}

dl_status dl_lake_put(dl_api_request *r, dl_error *err)
{
    dl_lakehouse lake = {0};
    dl_lakehouse old = {0};
    dl_str json = DL_STR_NONE;
    DL_TRY(dl_api_named_body(r, r->name, &json, err));
    DL_TRY(dl_lakehouse_read(json, r->arena, &lake, err));
    dl_status there = dl_lakehouse_get(dl_lake_factory(r), r->name, r->arena, &old, NULL);
    dl_status status = dl_lakehouse_put(dl_lake_factory(r), &lake, !dl_api_only_new(r), err);
    if (status == DL_E_EXISTS && dl_api_only_new(r)) {
        return dl_api_refuse(r->x, 412, "There is a lakehouse of this name already.");
    }
    DL_TRY(status);
    return send_lake(r, there == DL_E_NOT_FOUND ? 201 : 200, err);
}

dl_status dl_lake_delete(dl_api_request *r, dl_error *err)
{
    DL_TRY(dl_lakehouse_remove(dl_lake_factory(r), r->name, err));
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}

/* ---- shortcuts ---- */

static dl_shortcut_kind kind_of(const dl_api_request *r)
{
    return dl_str_eq(dl_api_param_of(r, "kind"), DL_STR("Files")) ? DL_SHORTCUT_FILES
                                                                  : DL_SHORTCUT_TABLES;
}

/* In the order they were added: the token is a number. */
static dl_status list_shortcuts(dl_api_request *r, bool tables_alone, dl_error *err)
{
    dl_lakehouse lake = {0};
    uint64_t from = 0;
    size_t put = 0;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    if (dl_api_has(r, DL_LAKE_VALUE_TOKEN) &&
        !dl_str_to_u64(r->values[DL_LAKE_VALUE_TOKEN], &from)) {
        return dl_error_set(err, DL_E_INVALID,
                            "\"continuationToken\" is not what a page before gave.");
    }
    DL_TRY(dl_lake_of(r, &lake, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = (size_t)from; from < lake.shortcut_count && i < lake.shortcut_count; i++) {
        dl_shortcut_state state = {0};
        if (tables_alone && lake.shortcuts[i].kind != DL_SHORTCUT_TABLES) {
            continue;
        }
        if (put == dl_api_page_limit(r, DL_LAKE_VALUE_LIMIT)) {
            DL_TRY(dl_arena_printf(r->arena, &token, err, "%zu", i));
            break;
        }
        DL_TRY(dl_shortcut_resolve(dl_lake_factory(r), &lake.shortcuts[i], r->arena, &state, err));
        dl_shortcut_write_state(w, &state);
        put++;
    }
    return dl_api_list_send(r, &answer, token);
}

dl_status dl_lake_shortcuts(dl_api_request *r, dl_error *err)
{
    return list_shortcuts(r, false, err);
}

dl_status dl_lake_tables(dl_api_request *r, dl_error *err)
{
    return list_shortcuts(r, true, err);
}

static dl_status find_shortcut(dl_api_request *r, const dl_shortcut **out, dl_error *err)
{
    dl_lakehouse *lake = dl_arena_alloc(r->arena, 1, sizeof *lake);
    if (lake == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(dl_lake_of(r, lake, err));
    return dl_lakehouse_find(lake, kind_of(r), dl_api_param_of(r, "shortcut"), out, err);
}

static dl_status send_shortcut(dl_api_request *r, unsigned status, dl_error *err)
{
    const dl_shortcut *shortcut = NULL;
    dl_shortcut_state state = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(find_shortcut(r, &shortcut, err));
    DL_TRY(dl_shortcut_resolve(dl_lake_factory(r), shortcut, r->arena, &state, err));
    dl_shortcut_write_state(dl_api_answer_begin(&answer, err), &state);
    return dl_api_answer_send_as(r, &answer, status);
}

dl_status dl_lake_shortcut_get(dl_api_request *r, dl_error *err)
{
    return send_shortcut(r, r->route->success, err);
}

dl_status dl_lake_shortcut_put(dl_api_request *r, dl_error *err)
{
    dl_factory *factory = dl_lake_factory(r);
    const dl_shortcut shortcut = {.kind = kind_of(r),
                                  .name = dl_api_param_of(r, "shortcut"),
                                  .connection = r->values[DL_LAKE_VALUE_CONNECTION],
                                  .subpath = r->values[DL_LAKE_VALUE_SUBPATH]};
    dl_error cause = {0};
    dl_lakehouse lake = {0};
    bool is_new = true;
    DL_TRY(dl_lake_of(r, &lake, err)); /* that it is missing is 404, that a connection is 400 */
    dl_status status = dl_api_only_new(r)
                           ? dl_shortcut_add(factory, r->name, &shortcut, &cause)
                           : dl_shortcut_put(factory, r->name, &shortcut, &is_new, &cause);
    if (status == DL_E_EXISTS) {
        return dl_api_refuse(r->x, 412, "There is a shortcut of this name already.");
    }
    if (status != DL_OK) {
        cause.status = status == DL_E_NOT_FOUND ? DL_E_INVALID : status;
        if (err != NULL) {
            *err = cause;
        }
        return cause.status;
    }
    return send_shortcut(r, is_new ? 201 : 200, err);
}

dl_status dl_lake_shortcut_delete(dl_api_request *r, dl_error *err)
{
    DL_TRY(dl_shortcut_remove(dl_lake_factory(r), r->name, kind_of(r),
                              dl_api_param_of(r, "shortcut"), err));
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}

dl_status dl_lake_shortcut_test(dl_api_request *r, dl_error *err)
{
    const dl_shortcut *shortcut = NULL;
    dl_shortcut_state state = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(find_shortcut(r, &shortcut, err));
    DL_TRY(dl_shortcut_test(dl_lake_factory(r), shortcut, r->arena, &state, err));
    dl_shortcut_write_state(dl_api_answer_begin(&answer, err), &state);
    return dl_api_answer_send(r, &answer);
}

/* ---- tables ---- */

dl_status dl_lake_table_get(dl_api_request *r, dl_error *err)
{
    const dl_shortcut *shortcut = NULL;
    dl_lakehouse lake = {0};
    dl_lakehouse_table table = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_lake_of(r, &lake, err));
    DL_TRY(
        dl_lakehouse_find(&lake, DL_SHORTCUT_TABLES, dl_api_param_of(r, "table"), &shortcut, err));
    DL_TRY(dl_lakehouse_describe(dl_lake_factory(r), shortcut, r->arena, &table, err));
    dl_lakehouse_write_table(dl_api_answer_begin(&answer, err), &table);
    return dl_api_answer_send(r, &answer);
}
