/* The template's parameters: one table says their names, and who reads them. */
#include "pipeline/pipeline.h"

#include <stdio.h>
#include <string.h>

enum {
    API_VERSION_LEAST = 2,
    API_VERSION_LIMIT = 99,
    RETENTION_SHORT_HOURS = 168, /* what Delta asks for without an override */
};

static const char first_time[] = "0001-01-01T00:00:00Z";
static const char last_time[] = "9999-12-31T23:59:59Z";

static int64_t time_of(const char *text)
{
    int64_t time_us = 0;
    bool good = dl_clock_parse(dl_str_of(text), &time_us);
    DL_ASSERT(good);
    return time_us;
}

dl_pipeline_parameters dl_pipeline_parameters_default(void)
{
    return (dl_pipeline_parameters){.batch_size = 200,
                                    .api_version = API_VERSION_LEAST,
                                    .start_us = time_of(first_time),
                                    .end_us = time_of(last_time),
                                    .container = "dicom",
                                    .path = {"instance", "series", "study"},
                                    .retention_hours = 720};
}

/* ---- one parameter ---- */

typedef struct setting {
    const char *name;
    dl_str value;
} setting;

static dl_status set_number(const setting *s, int64_t least, int64_t most, int64_t *out,
                            dl_error *err)
{
    int64_t number = 0;
    if (!dl_str_to_i64(s->value, &number) || number < least || number > most) {
        (void)dl_error_set(err, DL_E_INVALID,
                           "parameter %s: '%.*s' is not a number from %lld to %lld", s->name,
                           (int)(s->value.len < 64 ? s->value.len : 64), s->value.ptr,
                           (long long)least, (long long)most);
        return DL_E_INVALID;
    }
    *out = number;
    return DL_OK;
}

static dl_status set_batch_size(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    int64_t number = 0;
    DL_TRY(set_number(s, 1, DL_PIPELINE_BATCH_LIMIT_ROWS, &number, err));
    p->batch_size = (uint64_t)number;
    return DL_OK;
}

static dl_status set_api_version(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    int64_t number = 0;
    DL_TRY(set_number(s, API_VERSION_LEAST, API_VERSION_LIMIT, &number, err));
    p->api_version = (unsigned)number;
    return DL_OK;
}

static dl_status set_retention(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_number(s, 0, DL_PIPELINE_RETENTION_LIMIT_HOURS, &p->retention_hours, err);
}

/* To 100 ns: no more than seven digits behind the point. */
static bool has_seven_digits(dl_str text)
{
    ptrdiff_t point = dl_str_find(text, '.');
    size_t digits = 0;
    for (size_t i = (size_t)(point + 1); point >= 0 && i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            break;
        }
        digits++;
    }
    return digits <= 7;
}

static dl_status set_time(const setting *s, int64_t *out, dl_error *err)
{
    int64_t time_us = 0;
    if (!has_seven_digits(s->value) || !dl_clock_parse(s->value, &time_us)) {
        (void)dl_error_set(err, DL_E_INVALID, "parameter %s: '%.*s' is no time", s->name,
                           (int)(s->value.len < 64 ? s->value.len : 64), s->value.ptr);
        dl_error_hint(err,
                      "give it with its zone: 2026-01-05T08:00:00Z, or ...T08:00:00.1234567+01:00");
        return DL_E_INVALID;
    }
    *out = time_us;
    return DL_OK;
}

static dl_status set_start(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_time(s, &p->start_us, err);
}

static dl_status set_end(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_time(s, &p->end_us, err);
}

/** What is wrong with one step of a path; NULL: nothing. */
static const char *segment_fault(dl_str segment)
{
    if (segment.len == 0) {
        return "it has an empty step";
    }
    if (segment.ptr[0] == '.' || segment.ptr[0] == '_') {
        return "a step that begins with '.' or '_' is hidden from readers of tables";
    }
    for (size_t i = 0; i < segment.len; i++) {
        unsigned char c = (unsigned char)segment.ptr[i];
        if (c < ' ' || c == 127 || c == '\\' || c == '=') {
            return "it holds a control character, '\\' or '='";
        }
    }
    return NULL;
}

static dl_status set_path(const setting *s, bool steps, char *out, size_t size, dl_error *err)
{
    const char *fault = s->value.len == 0                           ? "it is empty"
                        : s->value.len >= size                      ? "it is too long"
                        : !dl_str_is_utf8(s->value)                 ? "it is not UTF-8"
                        : !steps && dl_str_find(s->value, '/') >= 0 ? "a container is one step"
                                                                    : NULL;
    /* dl_str_next gives no empty last step. */
    if (fault == NULL && s->value.ptr[s->value.len - 1] == '/') {
        fault = "it ends with '/'";
    }
    dl_str rest = s->value, step;
    while (fault == NULL && dl_str_next(&rest, '/', &step)) {
        fault = segment_fault(step);
    }
    if (fault != NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "parameter %s: '%.*s': %s", s->name,
                           (int)(s->value.len < 64 ? s->value.len : 64), s->value.ptr, fault);
        dl_error_hint(err, steps ? "give a folder inside the container, as in lake/instance"
                                 : "give the container's name, as in dicom");
        return DL_E_INVALID;
    }
    (void)dl_str_copy(s->value, out, size);
    return DL_OK;
}

static dl_status set_container(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_path(s, false, p->container, sizeof p->container, err);
}

static dl_status set_instance_path(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_path(s, true, p->path[0], sizeof p->path[0], err);
}

static dl_status set_series_path(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_path(s, true, p->path[1], sizeof p->path[1], err);
}

static dl_status set_study_path(dl_pipeline_parameters *p, const setting *s, dl_error *err)
{
    return set_path(s, true, p->path[2], sizeof p->path[2], err);
}

static const struct {
    const char *name;
    dl_status (*set)(dl_pipeline_parameters *p, const setting *s, dl_error *err);
} parameters_known[] = {
    {"BatchSize", set_batch_size},
    {"ApiVersion", set_api_version},
    {"StartTime", set_start},
    {"EndTime", set_end},
    {"ContainerName", set_container},
    {"InstanceTablePath", set_instance_path},
    {"SeriesTablePath", set_series_path},
    {"StudyTablePath", set_study_path},
    {"RetentionHours", set_retention},
};

const char *dl_pipeline_parameter_name(size_t i)
{
    return i < DL_COUNT_OF(parameters_known) ? parameters_known[i].name : NULL;
}

dl_status dl_pipeline_parameter_set(dl_pipeline_parameters *parameters, const char *name,
                                    const char *value, dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(parameters_known); i++) {
        if (dl_str_eq_nocase(dl_str_of(name), dl_str_of(parameters_known[i].name))) {
            setting s = {parameters_known[i].name, dl_str_of(value)};
            return parameters_known[i].set(parameters, &s, err);
        }
    }
    (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no parameter '%.64s'", name);
    dl_error_hint(err,
                  "BatchSize, ApiVersion, StartTime, EndTime, ContainerName, InstanceTablePath,"
                  " SeriesTablePath, StudyTablePath, RetentionHours");
    return DL_E_NOT_FOUND;
}

/* ---- the state index of the tables ---- */

void dl_pipeline_state_name(const dl_pipeline_parameters *parameters,
                            char out[DL_PIPELINE_STATE_NAME_SIZE])
{
    char text[4096];
    (void)snprintf(text, sizeof text, "%s|%s|%s|%s", parameters->container, parameters->path[0],
                   parameters->path[1], parameters->path[2]);
    uint64_t hash = dl_store_xxh64((dl_bytes){(const uint8_t *)text, strlen(text)});
    (void)snprintf(out, DL_PIPELINE_STATE_NAME_SIZE, "%08llx", (unsigned long long)(hash >> 32));
}

/* ---- between them ---- */

/** Whether `inner` is `outer` or a folder in it. */
static bool is_within(dl_str inner, dl_str outer)
{
    return dl_str_starts(inner, outer) && (inner.len == outer.len || inner.ptr[outer.len] == '/');
}

static dl_status check_paths(const dl_pipeline_parameters *p, dl_error *err)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        for (size_t k = 0; k < DL_PIPELINE_TABLES; k++) {
            if (i != k && is_within(dl_str_of(p->path[i]), dl_str_of(p->path[k]))) {
                (void)dl_error_set(err, DL_E_INVALID, "parameters: %s '%.64s' is inside %s '%.64s'",
                                   parameters_known[5 + i].name, p->path[i],
                                   parameters_known[5 + k].name, p->path[k]);
                dl_error_hint(err, "give each table a folder of its own");
                return DL_E_INVALID;
            }
        }
    }
    return DL_OK;
}

dl_status dl_pipeline_parameters_check(const dl_pipeline_parameters *parameters,
                                       bool allow_short_retention, dl_error *err)
{
    if (parameters->end_us <= parameters->start_us) {
        (void)dl_error_set(err, DL_E_INVALID, "parameters: EndTime is not later than StartTime");
        dl_error_hint(err, "EndTime is exclusive: give a later one");
        return DL_E_INVALID;
    }
    DL_TRY(check_paths(parameters, err));
    if (parameters->retention_hours < RETENTION_SHORT_HOURS && !allow_short_retention) {
        (void)dl_error_set(err, DL_E_INVALID, "parameters: RetentionHours %lld is below %d",
                           (long long)parameters->retention_hours, RETENTION_SHORT_HOURS);
        dl_error_hint(err, "readers of older versions would fail; --allow-short-retention insists");
        return DL_E_INVALID;
    }
    return DL_OK;
}
