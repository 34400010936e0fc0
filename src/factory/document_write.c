/* Documents in canonical form: our members in one order, then what the original had beside them. */
#include "factory/document_copy.h"
#include "factory/document_read.h"
#include "json/json.h"

#include <stdio.h>

typedef struct writer {
    dl_json_writer w;
    dl_buf compact;
    dl_error *err;
} writer;

static void writer_clear(writer *w)
{
    dl_buf_clear(&w->compact);
}

static void begin(writer *w, dl_error *err)
{
    w->err = err;
    dl_buf_init(&w->compact, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    dl_json_writer_init(&w->w, &w->compact, err);
}

static dl_status finish(writer *w, dl_buf *out)
{
    DL_TRY(dl_json_writer_status(&w->w));
    return dl_document_pretty(dl_buf_str(&w->compact), out, w->err);
}

static void key(writer *w, const char *name)
{
    dl_json_key(&w->w, dl_str_of(name));
}

static void put_text(writer *w, const char *name, dl_str text)
{
    key(w, name);
    dl_json_string(&w->w, text);
}

static void put_word(writer *w, const char *name, const char *word)
{
    put_text(w, name, dl_str_of(word));
}

static void put_int(writer *w, const char *name, int64_t number)
{
    key(w, name);
    dl_json_int(&w->w, number);
}

static void put_bool(writer *w, const char *name, bool value)
{
    key(w, name);
    dl_json_bool(&w->w, value);
}

static void open_object(writer *w, const char *name)
{
    key(w, name);
    dl_json_object_begin(&w->w);
}

static void open_array(writer *w, const char *name)
{
    key(w, name);
    dl_json_array_begin(&w->w);
}

static dl_str get(dl_str object, const char *name)
{
    dl_str value = DL_STR_NONE;
    return dl_json_get(object, dl_str_of(name), &value) ? value : DL_STR_NONE;
}

/** The members of `original` that are not among `ours`, which ends with NULL; ends the object. */
static void close_object(writer *w, dl_str original, const char *const *ours)
{
    dl_json_iter iter = dl_json_iter_of(original);
    dl_str name = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&iter, &name, &value)) {
        bool mine = false;
        for (const char *const *p = ours; *p != NULL && !mine; p++) {
            mine = dl_str_eq(name, dl_str_of(*p));
        }
        if (!mine) {
            dl_status status = dl_document_put_key(&w->w, name, w->err);
            if (w->w.status == DL_OK) {
                w->w.status = status;
            }
            dl_json_raw(&w->w, value);
        }
    }
    dl_json_object_end(&w->w);
}

static const char *const root_ours[] = {"name", "properties", NULL};

static void put_annotations(writer *w, dl_str properties)
{
    dl_str annotations = get(properties, "annotations");
    key(w, "annotations");
    if (dl_json_kind_of(annotations) == DL_JSON_ARRAY) {
        dl_json_raw(&w->w, annotations);
    } else {
        dl_json_array_begin(&w->w);
        dl_json_array_end(&w->w);
    }
}

static void put_reference(writer *w, const char *name, const char *type, dl_str to)
{
    open_object(w, name);
    put_text(w, "referenceName", to);
    put_word(w, "type", type);
    dl_json_object_end(&w->w);
}

static void put_span(writer *w, const char *name, int64_t span_us)
{
    char text[64];
    int64_t seconds = (span_us < 0 ? -span_us : span_us) / 1000000, days = seconds / 86400;
    int n = snprintf(text, sizeof text, "%s", span_us < 0 ? "-" : "");
    if (days > 0) {
        n += snprintf(text + n, sizeof text - (size_t)n, "%lld.", (long long)days);
    }
    (void)snprintf(text + n, sizeof text - (size_t)n, "%02d:%02d:%02d",
                   (int)(seconds % 86400 / 3600), (int)(seconds % 3600 / 60), (int)(seconds % 60));
    put_word(w, name, text);
}

/** Whole seconds without a fraction, as Data Factory writes them. */
static void format_time(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE])
{
    dl_clock_format_utc(time_us, out);
    if (time_us % 1000000 == 0) {
        (void)snprintf(out + 19, DL_CLOCK_TEXT_SIZE - 19, "Z");
    }
}

static void put_time(writer *w, const char *name, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    format_time(time_us, text);
    put_word(w, name, text);
}

/** In local time, as Data Factory wants it beside a time zone, where that says the same moment. */
static dl_status put_local(writer *w, const char *name, int64_t time_us, dl_str zone_name)
{
    const dl_calendar_zone *zone = NULL, *utc = NULL;
    DL_TRY(dl_calendar_zone_find(zone_name, &zone, w->err));
    DL_TRY(dl_calendar_zone_find(DL_STR(""), &utc, w->err));
    dl_calendar_parts parts;
    dl_calendar_local(zone, time_us, &parts);
    if (zone == utc || dl_str_eq_nocase(zone_name, DL_STR("UTC")) ||
        dl_calendar_time(zone, &parts) != time_us) {
        put_time(w, name, time_us);
        return DL_OK;
    }
    char text[DL_CLOCK_TEXT_SIZE];
    format_time(dl_calendar_time(utc, &parts), text);
    put_text(w, name, dl_str_slice(dl_str_of(text), 0, dl_str_of(text).len - 1));
    return DL_OK;
}

/* ---- connections ---- */

static const char *linked_type(const dl_factory_connection *c)
{
    return c->type == DL_FACTORY_DICOM                     ? "RestService"
           : dl_str_starts_nocase(c->url, DL_STR("s3://")) ? "AmazonS3"
           : dl_str_starts_nocase(c->url, DL_STR("abfss://")) ||
                   dl_str_starts_nocase(c->url, DL_STR("https://")) ||
                   dl_str_starts_nocase(c->url, DL_STR("http://"))
               ? "AzureBlobFS"
               : "FileServer";
}

static void put_typed_connection(writer *w, const dl_factory_connection *c, const char *type,
                                 dl_str original)
{
    static const char *const ours[] = {"url",           "host",  "authenticationType",
                                       "aadResourceId", "token", NULL};
    static const char *const auth[] = {"Anonymous", "Bearer", "ManagedServiceIdentity"};
    open_object(w, "typeProperties");
    put_text(w, dl_str_eq(dl_str_of(type), DL_STR("FileServer")) ? "host" : "url", c->url);
    put_word(w, "authenticationType", auth[c->auth]);
    if (c->type == DL_FACTORY_DICOM || c->auth == DL_FACTORY_AUTH_MANAGED_IDENTITY) {
        put_text(w, "aadResourceId", c->resource);
    }
    if (c->secret_kind != DL_FACTORY_SECRET_NONE) {
        bool environment = c->secret_kind == DL_FACTORY_SECRET_ENVIRONMENT;
        open_object(w, "token");
        put_word(w, "type", environment ? "Environment" : "File");
        put_text(w, environment ? "name" : "path", c->secret);
        dl_json_object_end(&w->w);
    }
    close_object(w, original, ours);
}

dl_status dl_factory_write_connection(const dl_factory_connection *connection, dl_str original,
                                      dl_buf *out, dl_error *err)
{
    static const char *const ours[] = {"type", "description", "annotations", "typeProperties",
                                       NULL};
    DL_CLEANUP(writer_clear) writer w;
    begin(&w, err);
    dl_str properties = get(original, "properties");
    const char *type = linked_type(connection);
    dl_json_object_begin(&w.w);
    put_text(&w, "name", connection->name);
    open_object(&w, "properties");
    put_word(&w, "type", type);
    put_text(&w, "description", connection->description);
    put_annotations(&w, properties);
    put_typed_connection(&w, connection, type, get(properties, "typeProperties"));
    close_object(&w, properties, ours);
    close_object(&w, original, root_ours);
    return finish(&w, out);
}

/* ---- parameters ---- */

static void put_value(writer *w, dl_str type, dl_str value)
{
    int64_t number = 0;
    bool plain = (dl_str_eq(type, DL_STR("int")) && dl_str_to_i64(value, &number)) ||
                 (dl_str_eq(type, DL_STR("bool")) &&
                  (dl_str_eq(value, DL_STR("true")) || dl_str_eq(value, DL_STR("false"))));
    if (plain && dl_str_eq(type, DL_STR("int"))) {
        dl_json_int(&w->w, number);
    } else if (plain) {
        dl_json_raw(&w->w, value);
    } else {
        dl_json_string(&w->w, value);
    }
}

static void put_defaults(writer *w, const dl_factory_pipeline *p)
{
    open_object(w, "parameters");
    for (size_t i = 0; i < p->parameter_count; i++) {
        const dl_factory_parameter *parameter = &p->parameters[i];
        dl_str type = parameter->type.len == 0 ? DL_STR("string") : parameter->type;
        dl_json_key(&w->w, parameter->name);
        dl_json_object_begin(&w->w);
        put_text(w, "type", type);
        if (parameter->value.ptr != NULL) {
            key(w, "defaultValue");
            put_value(w, type, parameter->value);
        }
        dl_json_object_end(&w->w);
    }
    dl_json_object_end(&w->w);
}

/* ---- pipelines ---- */

/** The first activity of our type in a document; the others are kept as they are. */
static dl_str find_activity(dl_str activities)
{
    dl_json_iter iter = dl_json_iter_of(activities);
    dl_str value = DL_STR_NONE;
    while (dl_json_next_element(&iter, &value)) {
        if (dl_str_eq(get(value, "type"), DL_STR("\"SyncDicomTables\""))) {
            return value;
        }
    }
    return DL_STR_NONE;
}

static void put_policy(writer *w, const dl_factory_pipeline *p, dl_str original)
{
    static const char *const ours[] = {"timeout", "retry", "retryIntervalInSeconds", NULL};
    open_object(w, "policy");
    if (p->timeout_s == 0) { /* as Data Factory writes its default */
        put_word(w, "timeout", "0.12:00:00");
    } else {
        put_span(w, "timeout", (int64_t)p->timeout_s * 1000000);
    }
    put_int(w, "retry", p->retry_count);
    put_int(w, "retryIntervalInSeconds", p->retry_interval_s == 0 ? 30 : p->retry_interval_s);
    close_object(w, original, ours);
}

static void put_sync(writer *w, const dl_factory_pipeline *p, dl_str original)
{
    static const char *const ours[] = {"source",          "lake",    "profile", "compat",
                                       "requireFilePath", "columns", NULL};
    static const char *const profiles[] = {"auto", "template-r4", "template-r2"};
    open_object(w, "typeProperties");
    put_reference(w, "source", "LinkedServiceReference", p->dicom);
    put_reference(w, "lake", "LinkedServiceReference", p->lake);
    put_word(w, "profile", profiles[p->profile]);
    put_bool(w, "compat", p->compat);
    put_bool(w, "requireFilePath", p->require_file_path);
    open_array(w, "columns");
    for (size_t i = 0; i < p->column_count; i++) {
        dl_json_string(&w->w, p->columns[i]);
    }
    dl_json_array_end(&w->w);
    close_object(w, original, ours);
}

static void put_activity(writer *w, const dl_factory_pipeline *p, dl_str original)
{
    static const char *const ours[] = {"name",   "type",           "dependsOn",
                                       "policy", "typeProperties", NULL};
    dl_str name = get(original, "name"), depends = get(original, "dependsOn");
    dl_json_object_begin(&w->w);
    key(w, "name");
    dl_json_raw(&w->w, name.ptr != NULL ? name : DL_STR("\"Update Delta Tables\""));
    put_word(w, "type", "SyncDicomTables");
    key(w, "dependsOn");
    dl_json_raw(&w->w, depends.ptr != NULL ? depends : DL_STR("[]"));
    put_policy(w, p, get(original, "policy"));
    put_sync(w, p, get(original, "typeProperties"));
    close_object(w, original, ours);
}

static void put_activities(writer *w, const dl_factory_pipeline *p, dl_str original)
{
    dl_str mine = find_activity(original), value = DL_STR_NONE;
    dl_json_iter iter = dl_json_iter_of(original);
    open_array(w, "activities");
    if (mine.ptr == NULL) {
        put_activity(w, p, DL_STR_NONE);
    }
    while (dl_json_next_element(&iter, &value)) {
        if (value.ptr == mine.ptr) {
            put_activity(w, p, mine);
        } else {
            dl_json_raw(&w->w, value);
        }
    }
    dl_json_array_end(&w->w);
}

dl_status dl_factory_write_pipeline(const dl_factory_pipeline *pipeline, dl_str original,
                                    dl_buf *out, dl_error *err)
{
    static const char *const ours[] = {"description", "activities", "parameters",
                                       "annotations", "template",   NULL};
    static const char *const template_ours[] = {"id", "revision", NULL};
    DL_CLEANUP(writer_clear) writer w;
    begin(&w, err);
    dl_str properties = get(original, "properties");
    dl_json_object_begin(&w.w);
    put_text(&w, "name", pipeline->name);
    open_object(&w, "properties");
    put_text(&w, "description", pipeline->description);
    put_activities(&w, pipeline, get(properties, "activities"));
    put_defaults(&w, pipeline);
    put_annotations(&w, properties);
    open_object(&w, "template");
    put_text(&w, "id", pipeline->template_id);
    put_text(&w, "revision", pipeline->revision);
    close_object(&w, get(properties, "template"), template_ours);
    close_object(&w, properties, ours);
    close_object(&w, original, root_ours);
    return finish(&w, out);
}

/* ---- triggers ---- */

static const char *const frequency_words[] = {"Minute", "Hour", "Day", "Week", "Month"};
static const char *const weekday_words[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};

static void put_retry(writer *w, const dl_factory_trigger *t, dl_str original)
{
    static const char *const ours[] = {"count", "intervalInSeconds", NULL};
    put_int(w, "maxConcurrency",
            t->max_concurrency != 0          ? t->max_concurrency
            : t->type == DL_FACTORY_TUMBLING ? DL_FACTORY_CONCURRENCY_LIMIT
                                             : 1);
    open_object(w, "retryPolicy");
    put_int(w, "count", t->retry_count);
    put_int(w, "intervalInSeconds", t->retry_interval_s == 0 ? 30 : t->retry_interval_s);
    close_object(w, get(original, "retryPolicy"), ours);
}

static void put_dependency(writer *w, const dl_factory_trigger *t, const dl_factory_dependency *d)
{
    bool self = dl_str_eq_nocase(d->trigger, t->name);
    dl_json_object_begin(&w->w);
    put_word(w, "type",
             self ? "SelfDependencyTumblingWindowTriggerReference"
                  : "TumblingWindowTriggerDependencyReference");
    if (d->size_us != 0) {
        put_span(w, "size", d->size_us);
    }
    if (d->offset_us != 0) {
        put_span(w, "offset", d->offset_us);
    }
    if (!self) {
        put_reference(w, "referenceTrigger", "TriggerReference", d->trigger);
    }
    dl_json_object_end(&w->w);
}

static void put_tumbling(writer *w, const dl_factory_trigger *t, dl_str original)
{
    static const char *const ours[] = {"frequency",   "interval",  "startTime",
                                       "endTime",     "delay",     "maxConcurrency",
                                       "retryPolicy", "dependsOn", NULL};
    put_word(w, "frequency", frequency_words[t->frequency]);
    put_int(w, "interval", t->interval);
    put_time(w, "startTime", t->start_us);
    if (t->end_us != INT64_MAX) {
        put_time(w, "endTime", t->end_us);
    }
    put_span(w, "delay", t->delay_us);
    put_retry(w, t, original);
    open_array(w, "dependsOn");
    for (size_t i = 0; i < t->dependency_count; i++) {
        put_dependency(w, t, &t->dependencies[i]);
    }
    dl_json_array_end(&w->w);
    close_object(w, original, ours);
}

static void put_numbers(writer *w, const char *name, const int8_t *numbers, size_t count)
{
    if (count == 0) {
        return;
    }
    open_array(w, name);
    for (size_t i = 0; i < count; i++) {
        dl_json_int(&w->w, numbers[i]);
    }
    dl_json_array_end(&w->w);
}

static void put_times(writer *w, const dl_calendar_recurrence *c, dl_str original)
{
    static const char *const ours[] = {
        "minutes", "hours", "weekDays", "monthDays", "monthlyOccurrences", NULL};
    open_object(w, "schedule");
    put_numbers(w, "minutes", c->minutes, c->minute_count);
    put_numbers(w, "hours", c->hours, c->hour_count);
    if (c->weekday_count > 0) {
        open_array(w, "weekDays");
        for (size_t i = 0; i < c->weekday_count; i++) {
            dl_json_string(&w->w, dl_str_of(weekday_words[c->weekdays[i]]));
        }
        dl_json_array_end(&w->w);
    }
    put_numbers(w, "monthDays", c->month_days, c->month_day_count);
    if (c->monthly_count > 0) {
        open_array(w, "monthlyOccurrences");
        for (size_t i = 0; i < c->monthly_count; i++) {
            dl_json_object_begin(&w->w);
            put_word(w, "day", weekday_words[c->monthly[i].weekday]);
            if (c->monthly[i].occurrence != 0) {
                put_int(w, "occurrence", c->monthly[i].occurrence);
            }
            dl_json_object_end(&w->w);
        }
        dl_json_array_end(&w->w);
    }
    close_object(w, original, ours);
}

static dl_status put_schedule(writer *w, const dl_factory_trigger *t, dl_str original)
{
    static const char *const ours[] = {"recurrence", "maxConcurrency", "retryPolicy", NULL};
    static const char *const recurrence_ours[] = {"frequency", "interval", "startTime", "endTime",
                                                  "timeZone",  "schedule", NULL};
    const dl_calendar_recurrence *c = &t->recurrence;
    dl_str recurrence = get(original, "recurrence");
    dl_str zone = t->time_zone.len == 0 ? DL_STR("UTC") : t->time_zone;
    open_object(w, "recurrence");
    put_word(w, "frequency", frequency_words[c->frequency]);
    put_int(w, "interval", c->interval);
    DL_TRY(put_local(w, "startTime", c->start_us, zone));
    if (c->end_us != INT64_MAX) {
        DL_TRY(put_local(w, "endTime", c->end_us, zone));
    }
    put_text(w, "timeZone", zone);
    if (c->minute_count + c->hour_count + c->weekday_count + c->month_day_count + c->monthly_count >
        0) {
        put_times(w, c, get(recurrence, "schedule"));
    }
    close_object(w, recurrence, recurrence_ours);
    put_retry(w, t, original);
    close_object(w, original, ours);
    return DL_OK;
}

static dl_status put_typed_trigger(writer *w, const dl_factory_trigger *t, dl_str original)
{
    static const char *const ours[] = {"quietPeriod", "maxConcurrency", "retryPolicy", NULL};
    open_object(w, "typeProperties");
    switch (t->type) {
    case DL_FACTORY_TUMBLING:
        put_tumbling(w, t, original);
        return DL_OK;
    case DL_FACTORY_SCHEDULE:
        return put_schedule(w, t, original);
    case DL_FACTORY_ON_CHANGE:
        put_span(w, "quietPeriod", t->quiet_us);
        break;
    case DL_FACTORY_MANUAL:
        break;
    }
    put_retry(w, t, original);
    close_object(w, original, ours);
    return DL_OK;
}

static void put_pipeline(writer *w, const dl_factory_trigger *t)
{
    bool list = t->type == DL_FACTORY_SCHEDULE; /* as Data Factory has it */
    key(w, list ? "pipelines" : "pipeline");
    if (list) {
        dl_json_array_begin(&w->w);
    }
    dl_json_object_begin(&w->w);
    put_reference(w, "pipelineReference", "PipelineReference", t->pipeline);
    open_object(w, "parameters");
    for (size_t i = 0; i < t->parameter_count; i++) {
        if (t->parameters[i].value.ptr != NULL) {
            dl_json_key(&w->w, t->parameters[i].name);
            dl_json_string(&w->w, t->parameters[i].value);
        }
    }
    dl_json_object_end(&w->w);
    dl_json_object_end(&w->w);
    if (list) {
        dl_json_array_end(&w->w);
    }
}

dl_status dl_factory_write_trigger(const dl_factory_trigger *trigger, dl_str original, dl_buf *out,
                                   dl_error *err)
{
    static const char *const types[] = {"TumblingWindowTrigger", "ScheduleTrigger", "ManualTrigger",
                                        "ChangeTrigger"};
    static const char *const ours[] = {"description", "annotations", "runtimeState",   "pipeline",
                                       "pipelines",   "type",        "typeProperties", NULL};
    DL_CLEANUP(writer_clear) writer w;
    begin(&w, err);
    dl_str properties = get(original, "properties");
    dl_json_object_begin(&w.w);
    put_text(&w, "name", trigger->name);
    open_object(&w, "properties");
    put_text(&w, "description", trigger->description);
    put_annotations(&w, properties);
    put_word(&w, "runtimeState", trigger->started ? "Started" : "Stopped");
    put_pipeline(&w, trigger);
    put_word(&w, "type", types[trigger->type]);
    DL_TRY(put_typed_trigger(&w, trigger, get(properties, "typeProperties")));
    close_object(&w, properties, ours);
    close_object(&w, original, root_ours);
    return finish(&w, out);
}
