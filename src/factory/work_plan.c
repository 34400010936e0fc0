/* What a run is to do: the published documents, and the parameters with their expressions
 * evaluated. */
#include "factory/work_internal.h"

#include "base/random.h"
#include "factory/catalog.h"
#include "factory/expression.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

enum { GUID_SIZE = 37, PARAMETERS_LIMIT_BYTES = 256 * 1024 };

static uint64_t mix(uint64_t hash, dl_str text)
{
    return hash * 31 + dl_store_xxh64((dl_bytes){(const uint8_t *)text.ptr, text.len});
}

static dl_status read_connection(dl_factory *factory, dl_str name, dl_arena *arena, uint64_t *hash,
                                 dl_factory_connection *out, dl_error *err)
{
    dl_str json;
    DL_TRY(dl_catalog_published(factory, DL_FACTORY_CONNECTION, name, arena, &json, err));
    *hash = mix(*hash, json);
    return dl_factory_read_connection(json, arena, out, NULL, err);
}

dl_status dl_work_plan_read(dl_factory *factory, dl_str pipeline, dl_arena *arena,
                            dl_work_plan *out_plan, dl_error *err)
{
    dl_work_plan *p = out_plan;
    dl_str json;
    DL_TRY(dl_catalog_published(factory, DL_FACTORY_PIPELINE, pipeline, arena, &json, err));
    p->fingerprint = mix(0, json);
    DL_TRY(dl_factory_read_pipeline(json, arena, &p->pipeline, NULL, err));
    dl_status status =
        read_connection(factory, p->pipeline.dicom, arena, &p->fingerprint, &p->dicom, err);
    if (status == DL_OK) {
        status = read_connection(factory, p->pipeline.lake, arena, &p->fingerprint, &p->lake, err);
    }
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status,
                                             "opening the connections of pipeline "
                                             "%.*s",
                                             DL_STR_ARG(pipeline));
}

/* ---- parameters ---- */

static const dl_str hidden = {"**********", 10}; /* what stands for a secret in a run's record */

static dl_factory_parameter *find_value(dl_work_plan *p, dl_str name)
{
    for (size_t i = 0; i < p->value_count; i++) {
        if (dl_str_eq_nocase(p->values[i].name, name)) {
            return &p->values[i];
        }
    }
    return NULL;
}

static dl_status set_value(dl_work_plan *p, dl_str name, dl_str value, dl_error *err)
{
    dl_factory_parameter *known = find_value(p, name);
    if (known == NULL && p->value_count == DL_FACTORY_PARAMETER_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "a run has more than %d parameters",
                            DL_FACTORY_PARAMETER_LIMIT);
    }
    if (known == NULL) {
        known = &p->values[p->value_count++];
        *known = (dl_factory_parameter){.name = name, .type = DL_STR("string")};
    }
    known->value = value;
    return DL_OK;
}

static void make_guid(char out[GUID_SIZE])
{
    uint8_t b[16];
    dl_random_bytes(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    (void)snprintf(out, GUID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
}

static const dl_str trigger_types[] = {
    [DL_FACTORY_TUMBLING] = {"TumblingWindowTrigger", 21},
    [DL_FACTORY_SCHEDULE] = {"ScheduleTrigger", 15},
    [DL_FACTORY_MANUAL] = {"Manual", 6},
    [DL_FACTORY_ON_CHANGE] = {"ChangeTrigger", 13},
};

/* The trigger's run parameters over the pipeline's defaults. */
static dl_status evaluate(dl_factory *factory, const dl_run *run, dl_arena *arena, dl_work_plan *p,
                          dl_error *err)
{
    char guid[GUID_SIZE];
    dl_expression_pair pairs[DL_FACTORY_PARAMETER_LIMIT];
    size_t count = p->value_count;
    for (size_t i = 0; i < count; i++) {
        pairs[i] = (dl_expression_pair){p->values[i].name, p->values[i].value};
    }
    make_guid(guid);
    int64_t now_us = dl_factory_now_us(factory);
    dl_expression_scope scope = {.has_window = run->has_window,
                                 .window_start_us = run->window_start_us,
                                 .window_end_us = run->window_end_us,
                                 .scheduled_us = run->scheduled_us,
                                 .started_us = run->started_us != 0 ? run->started_us : now_us,
                                 .now_us = now_us,
                                 .trigger_name = run->trigger,
                                 .trigger_type = trigger_types[run->trigger_type],
                                 .pipeline_name = run->pipeline,
                                 .run_id = dl_str_of(run->id),
                                 .parameters = pairs,
                                 .parameter_count = count,
                                 .guid = guid};
    for (size_t i = 0; i < p->trigger.parameter_count; i++) {
        const dl_factory_parameter *given = &p->trigger.parameters[i];
        dl_str value;
        dl_status status = dl_expression_eval(given->value, &scope, arena, &value, err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "evaluating parameter %.*s of trigger %.*s",
                                   DL_STR_ARG(given->name), DL_STR_ARG(run->trigger));
        }
        DL_TRY(set_value(p, given->name, value, err));
    }
    return DL_OK;
}

/* Those that the run came with: given by hand, or taken by the attempt before. */
static dl_status take_given(const dl_run *run, dl_arena *arena, dl_work_plan *p, dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(run->parameters);
    dl_str key;
    dl_str value;
    while (dl_json_next_member(&members, &key, &value)) {
        dl_str text = value;
        if (dl_json_kind_of(value) == DL_JSON_STRING) {
            DL_TRY(dl_json_text(value, arena, &text, err));
        }
        const dl_factory_parameter *known = find_value(p, key);
        if (known != NULL && dl_str_eq_nocase(known->type, DL_STR("secureString")) &&
            dl_str_eq(text, hidden)) {
            continue; /* not kept: the pipeline's default */
        }
        DL_TRY(set_value(p, key, text, err));
    }
    return DL_OK;
}

static dl_status write_values(const dl_work_plan *p, dl_arena *arena, dl_str *out_json,
                              dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, PARAMETERS_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < p->value_count; i++) {
        bool secret = dl_str_eq_nocase(p->values[i].type, DL_STR("secureString"));
        dl_json_key(&w, p->values[i].name);
        dl_json_string(&w, secret ? hidden : p->values[i].value);
    }
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&text), out_json, err);
}

dl_status dl_work_plan_make(dl_factory *factory, dl_run *run, dl_arena *arena,
                            dl_work_plan *out_plan, dl_error *err)
{
    dl_work_plan *p = out_plan;
    DL_TRY(dl_work_plan_read(factory, run->pipeline, arena, p, err));
    for (size_t i = 0; i < p->pipeline.parameter_count; i++) {
        if (p->pipeline.parameters[i].value.ptr != NULL) {
            p->values[p->value_count++] = p->pipeline.parameters[i];
        }
    }
    if (run->parameters.len > 0) {
        DL_TRY(take_given(run, arena, p, err));
    } else if (run->trigger.len > 0) {
        dl_str json;
        DL_TRY(dl_catalog_published(factory, DL_FACTORY_TRIGGER, run->trigger, arena, &json, err));
        DL_TRY(dl_factory_read_trigger(json, arena, &p->trigger, NULL, err));
        DL_TRY(evaluate(factory, run, arena, p, err));
    }
    p->parameters = dl_pipeline_parameters_default();
    DL_TRY(dl_factory_parameters(p->values, p->value_count, &p->parameters, err));
    p->fingerprint = p->fingerprint * 31 + p->parameters.api_version;
    /* Only those that can be taken: a rerun takes them again. */
    return write_values(p, arena, &run->parameters, err);
}
