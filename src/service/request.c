/* What handlers ask of a request: its parameters, its UIDs, its URL. */
#include "service/internal.h"

#include <stdio.h>

const dl_url_param *dl_request_param(const dl_service_request *r, const char *name)
{
    for (size_t i = 0; i < r->param_count; i++) {
        if (dl_str_eq_nocase(r->params[i].name, dl_str_of(name))) {
            return &r->params[i];
        }
    }
    return NULL;
}

static dl_status bad_param(const char *name, const char *reason, dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "The query parameter '%s' is invalid. %s", name, reason);
}

dl_status dl_request_int(const dl_service_request *r, dl_int_param param, int64_t *out_value,
                         dl_error *err)
{
    const dl_url_param *p = dl_request_param(r, param.name);
    int64_t value = param.initial;
    if (p != NULL &&
        (!dl_str_to_i64(p->value, &value) || value < param.least || value > param.most)) {
        char reason[96];
        (void)snprintf(reason, sizeof reason, "It takes a whole number from %lld to %lld.",
                       (long long)param.least, (long long)param.most);
        return bad_param(param.name, reason, err);
    }
    *out_value = value;
    return DL_OK;
}

dl_status dl_request_bool(const dl_service_request *r, const char *name, bool initial,
                          bool *out_value, dl_error *err)
{
    const dl_url_param *p = dl_request_param(r, name);
    bool value = initial;
    if (p != NULL) {
        value = dl_str_eq_nocase(p->value, DL_STR("true"));
        if (!value && !dl_str_eq_nocase(p->value, DL_STR("false"))) {
            return bad_param(name, "It takes true or false.", err);
        }
    }
    *out_value = value;
    return DL_OK;
}

dl_status dl_request_check_uids(dl_service_request *r, dl_error *err)
{
    dl_str *uids[] = {&r->study, &r->series, &r->sop};
    static const char *const names[] = {"study", "series", "SOP instance"};
    for (size_t i = 0; i < DL_COUNT_OF(uids); i++) {
        if (uids[i]->len == 0) {
            break;
        }
        while (uids[i]->len > 0 && uids[i]->ptr[uids[i]->len - 1] == ' ') {
            uids[i]->len--;
        }
        if (!dl_dicom_uid_is_valid(*uids[i])) {
            return dl_error_set(err, DL_E_INVALID,
                                "The %s UID of the path is not 1 to 64 digits and dots.", names[i]);
        }
    }
    return DL_OK;
}

dl_str dl_request_root_url(const dl_service_request *r)
{
    dl_str set = dl_str_of(r->service->settings.public_url);
    return set.len > 0 ? set : dl_http_base_url(r->x);
}

dl_status dl_request_base_url(const dl_service_request *r, dl_arena *arena, dl_str *out_url,
                              dl_error *err)
{
    dl_str host = dl_request_root_url(r);
    if (!r->service->settings.partitions) {
        return dl_arena_printf(arena, out_url, err, "%.*s/v%u", DL_STR_ARG(host), r->version);
    }
    return dl_arena_printf(arena, out_url, err, "%.*s/v%u/partitions/%.*s", DL_STR_ARG(host),
                           r->version, DL_STR_ARG(r->partition_name));
}

dl_index_scope dl_request_scope(const dl_service_request *r)
{
    return (dl_index_scope){.partition = r->partition,
                            .study_uid = r->study,
                            .series_uid = r->series,
                            .sop_uid = r->sop};
}
