#include "factory/document_read.h"

#include "json/json.h"

enum {
    INTERVAL_LIMIT = 1000000,
    RETRY_LIMIT = 1000,
    RETRY_INTERVAL_LIMIT_S = 86400,
    RETRY_INTERVAL_S = 30,
    QUIET_US = 10 * 1000000,
};

static const char *const trigger_types[] = {"TumblingWindowTrigger", "ScheduleTrigger",
                                            "ManualTrigger", "ChangeTrigger", NULL};
/* In the order of dl_calendar_frequency. */
static const char *const frequencies[] = {"Minute", "Hour", "Day", "Week", "Month", NULL};
static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday",  "Wednesday",
                                       "Thursday", "Friday", "Saturday", NULL};

/* ---- what all have ---- */

static dl_status read_retry(dl_document_reader *r, const dl_document_node *typed,
                            dl_factory_trigger *t)
{
    static const char *const known[] = {"count", "intervalInSeconds", NULL};
    dl_document_node concurrency, policy, count, interval;
    int64_t most = t->type == DL_FACTORY_TUMBLING ? DL_FACTORY_CONCURRENCY_LIMIT : 1;
    int64_t retry_count = 0, interval_s = RETRY_INTERVAL_S;
    DL_TRY(dl_document_child(r, typed, "maxConcurrency", &concurrency));
    DL_TRY(dl_document_int(r, &concurrency, 1, DL_FACTORY_CONCURRENCY_LIMIT, &most));
    DL_TRY(dl_document_child(r, typed, "retryPolicy", &policy));
    DL_TRY(dl_document_object(r, &policy, known));
    DL_TRY(dl_document_child(r, &policy, "count", &count));
    DL_TRY(dl_document_int(r, &count, 0, RETRY_LIMIT, &retry_count));
    DL_TRY(dl_document_child(r, &policy, "intervalInSeconds", &interval));
    DL_TRY(dl_document_int(r, &interval, 1, RETRY_INTERVAL_LIMIT_S, &interval_s));
    t->max_concurrency = (unsigned)most;
    t->retry_count = (unsigned)retry_count;
    t->retry_interval_s = (unsigned)interval_s;
    return DL_OK;
}

/** frequency and interval; `week`: a week is among them. */
static dl_status read_step(dl_document_reader *r, const dl_document_node *node, bool week,
                           dl_calendar_frequency *out_frequency, uint32_t *out_interval)
{
    dl_document_node frequency, interval;
    size_t index = 0;
    int64_t number = 1;
    DL_TRY(dl_document_child(r, node, "frequency", &frequency));
    if (!dl_document_is(&frequency)) {
        return dl_document_missing(r, &frequency,
                                   week ? "Minute, Hour, Day, Week or Month"
                                        : "Minute, Hour, Day or Month");
    }
    DL_TRY(dl_document_word(r, &frequency, frequencies, &index));
    if (!week && index == DL_CALENDAR_WEEK) {
        return dl_document_wrong(r, &frequency, "Minute, Hour, Day or Month");
    }
    DL_TRY(dl_document_child(r, node, "interval", &interval));
    DL_TRY(dl_document_int(r, &interval, 1, INTERVAL_LIMIT, &number));
    *out_frequency = (dl_calendar_frequency)index;
    *out_interval = (uint32_t)number;
    return DL_OK;
}

static dl_status read_bounds(dl_document_reader *r, const dl_document_node *node,
                             const dl_calendar_zone *zone, int64_t *out_start_us,
                             int64_t *out_end_us)
{
    dl_document_node start, end;
    int64_t start_us = 0, end_us = INT64_MAX;
    DL_TRY(dl_document_child(r, node, "startTime", &start));
    if (!dl_document_is(&start)) {
        return dl_document_missing(r, &start, "a time, as in 2026-01-05T08:00:00Z");
    }
    DL_TRY(dl_document_time(r, &start, zone, &start_us));
    DL_TRY(dl_document_child(r, node, "endTime", &end));
    DL_TRY(dl_document_time(r, &end, zone, &end_us));
    if (end_us <= start_us) {
        return dl_document_wrong(r, &end, "later than startTime");
    }
    *out_start_us = start_us;
    *out_end_us = end_us;
    return DL_OK;
}

/* ---- tumbling windows ---- */

static dl_status read_dependency(dl_document_reader *r, const dl_document_node *node,
                                 const dl_factory_trigger *t, dl_factory_dependency *out)
{
    static const char *const known[] = {"type", "size", "offset", "referenceTrigger", NULL};
    static const char *const types[] = {"TumblingWindowTriggerDependencyReference",
                                        "SelfDependencyTumblingWindowTriggerReference", NULL};
    dl_factory_dependency d = {.trigger = t->name};
    dl_document_node type, size, offset, reference;
    DL_TRY(dl_document_object(r, node, known));
    DL_TRY(dl_document_child(r, node, "type", &type));
    if (!dl_document_is(&type)) {
        return dl_document_missing(r, &type, types[0]);
    }
    size_t kind = 0;
    DL_TRY(dl_document_word(r, &type, types, &kind));
    if (kind == 0) {
        DL_TRY(dl_document_child(r, node, "referenceTrigger", &reference));
        DL_TRY(dl_document_reference(r, &reference, "TriggerReference", &d.trigger));
    }
    DL_TRY(dl_document_child(r, node, "offset", &offset));
    DL_TRY(dl_document_span(r, &offset, &d.offset_us));
    if (dl_str_eq_nocase(d.trigger, t->name) && d.offset_us >= 0) {
        if (!dl_document_is(&offset)) {
            return dl_document_missing(r, &offset, "a negative time span, as in -01:00:00");
        }
        return dl_document_wrong(r, &offset, "negative, as it is where a trigger waits for itself");
    }
    DL_TRY(dl_document_child(r, node, "size", &size));
    DL_TRY(dl_document_span(r, &size, &d.size_us));
    if (dl_document_is(&size) && d.size_us <= 0) {
        return dl_document_wrong(r, &size, "a time span of more than 0");
    }
    *out = d;
    return DL_OK;
}

static dl_status read_dependencies(dl_document_reader *r, const dl_document_node *typed,
                                   dl_factory_trigger *t)
{
    dl_document_node list;
    size_t count = 0;
    DL_TRY(dl_document_child(r, typed, "dependsOn", &list));
    DL_TRY(dl_document_array(r, &list, DL_FACTORY_DEPENDENCY_LIMIT, &count));
    dl_json_iter iter = dl_json_iter_of(list.value);
    for (size_t i = 0; i < count; i++) {
        dl_str value = DL_STR_NONE;
        dl_document_node element;
        if (!dl_json_next_element(&iter, &value)) {
            break;
        }
        DL_TRY(dl_document_element(r, &list, value, i, &element));
        DL_TRY(read_dependency(r, &element, t, &t->dependencies[i]));
    }
    t->dependency_count = count;
    return DL_OK;
}

static dl_status read_tumbling(dl_document_reader *r, const dl_document_node *typed,
                               dl_factory_trigger *t)
{
    static const char *const known[] = {"frequency",   "interval",  "startTime",
                                        "endTime",     "delay",     "maxConcurrency",
                                        "retryPolicy", "dependsOn", NULL};
    dl_document_node delay;
    if (!dl_document_is(typed)) {
        return dl_document_missing(r, typed, "{\"frequency\", \"interval\", \"startTime\"}");
    }
    DL_TRY(dl_document_object(r, typed, known));
    DL_TRY(read_step(r, typed, false, &t->frequency, &t->interval));
    DL_TRY(read_bounds(r, typed, NULL, &t->start_us, &t->end_us));
    DL_TRY(dl_document_child(r, typed, "delay", &delay));
    DL_TRY(dl_document_span(r, &delay, &t->delay_us));
    if (t->delay_us < 0) {
        return dl_document_wrong(r, &delay, "a time span of 0 or more");
    }
    return read_dependencies(r, typed, t);
}

/* ---- schedules ---- */

static dl_status read_numbers(dl_document_reader *r, const dl_document_node *list,
                              const int64_t bounds[2], size_t limit, int8_t *out,
                              uint8_t *out_count)
{
    size_t count = 0;
    DL_TRY(dl_document_array(r, list, limit, &count));
    dl_json_iter iter = dl_json_iter_of(list->value);
    for (size_t i = 0; i < count; i++) {
        dl_str value = DL_STR_NONE;
        dl_document_node element;
        int64_t number = 0;
        if (!dl_json_next_element(&iter, &value)) {
            break;
        }
        DL_TRY(dl_document_element(r, list, value, i, &element));
        DL_TRY(dl_document_int(r, &element, bounds[0], bounds[1], &number));
        out[i] = (int8_t)number;
    }
    *out_count = (uint8_t)count;
    return DL_OK;
}

static dl_status read_weekdays(dl_document_reader *r, const dl_document_node *list,
                               dl_calendar_recurrence *c)
{
    size_t count = 0;
    DL_TRY(dl_document_array(r, list, DL_COUNT_OF(c->weekdays), &count));
    dl_json_iter iter = dl_json_iter_of(list->value);
    for (size_t i = 0; i < count; i++) {
        dl_str value = DL_STR_NONE;
        dl_document_node element;
        size_t day = 0;
        if (!dl_json_next_element(&iter, &value)) {
            break;
        }
        DL_TRY(dl_document_element(r, list, value, i, &element));
        DL_TRY(dl_document_word(r, &element, weekdays, &day));
        c->weekdays[i] = (int8_t)day;
    }
    c->weekday_count = (uint8_t)count;
    return DL_OK;
}

static dl_status read_monthly(dl_document_reader *r, const dl_document_node *list,
                              dl_calendar_recurrence *c)
{
    static const char *const known[] = {"day", "occurrence", NULL};
    size_t count = 0;
    DL_TRY(dl_document_array(r, list, DL_COUNT_OF(c->monthly), &count));
    dl_json_iter iter = dl_json_iter_of(list->value);
    for (size_t i = 0; i < count; i++) {
        dl_str value = DL_STR_NONE;
        dl_document_node element, day, occurrence;
        size_t weekday = 0;
        int64_t number = 0;
        if (!dl_json_next_element(&iter, &value)) {
            break;
        }
        DL_TRY(dl_document_element(r, list, value, i, &element));
        DL_TRY(dl_document_object(r, &element, known));
        DL_TRY(dl_document_child(r, &element, "day", &day));
        if (!dl_document_is(&day)) {
            return dl_document_missing(r, &day, "a day of the week");
        }
        DL_TRY(dl_document_word(r, &day, weekdays, &weekday));
        DL_TRY(dl_document_child(r, &element, "occurrence", &occurrence));
        DL_TRY(dl_document_int(r, &occurrence, -5, 5, &number));
        if (dl_document_is(&occurrence) && number == 0) {
            return dl_document_wrong(r, &occurrence, "1 to 5 or -1 to -5");
        }
        c->monthly[i] = (dl_calendar_monthly){(int)weekday, (int)number};
    }
    c->monthly_count = (uint8_t)count;
    return DL_OK;
}

static dl_status read_times(dl_document_reader *r, const dl_document_node *schedule,
                            dl_calendar_recurrence *c)
{
    static const char *const known[] = {
        "minutes", "hours", "weekDays", "monthDays", "monthlyOccurrences", NULL};
    static const int64_t minute_bounds[] = {0, 59}, hour_bounds[] = {0, 23},
                         day_bounds[] = {-31, 31};
    dl_document_node minutes, hours, days, month_days, monthly;
    DL_TRY(dl_document_object(r, schedule, known));
    DL_TRY(dl_document_child(r, schedule, "minutes", &minutes));
    DL_TRY(read_numbers(r, &minutes, minute_bounds, DL_COUNT_OF(c->minutes), c->minutes,
                        &c->minute_count));
    DL_TRY(dl_document_child(r, schedule, "hours", &hours));
    DL_TRY(read_numbers(r, &hours, hour_bounds, DL_COUNT_OF(c->hours), c->hours, &c->hour_count));
    DL_TRY(dl_document_child(r, schedule, "weekDays", &days));
    DL_TRY(read_weekdays(r, &days, c));
    DL_TRY(dl_document_child(r, schedule, "monthDays", &month_days));
    DL_TRY(read_numbers(r, &month_days, day_bounds, DL_COUNT_OF(c->month_days), c->month_days,
                        &c->month_day_count));
    for (size_t i = 0; i < c->month_day_count; i++) {
        if (c->month_days[i] == 0) {
            return dl_document_wrong(r, &month_days, "of days from 1 to 31 or -1 to -31");
        }
    }
    DL_TRY(dl_document_child(r, schedule, "monthlyOccurrences", &monthly));
    return read_monthly(r, &monthly, c);
}

static dl_status read_schedule(dl_document_reader *r, const dl_document_node *typed,
                               dl_factory_trigger *t)
{
    static const char *const typed_known[] = {"recurrence", "maxConcurrency", "retryPolicy", NULL};
    static const char *const known[] = {"frequency", "interval", "startTime", "endTime",
                                        "timeZone",  "schedule", NULL};
    dl_document_node recurrence, zone, schedule;
    dl_calendar_recurrence *c = &t->recurrence;
    DL_TRY(dl_document_object(r, typed, typed_known));
    DL_TRY(dl_document_child(r, typed, "recurrence", &recurrence));
    if (!dl_document_is(&recurrence)) {
        return dl_document_missing(r, &recurrence, "{\"frequency\", \"interval\", \"startTime\"}");
    }
    DL_TRY(dl_document_object(r, &recurrence, known));
    DL_TRY(read_step(r, &recurrence, true, &c->frequency, &c->interval));
    DL_TRY(dl_document_child(r, &recurrence, "timeZone", &zone));
    t->time_zone = DL_STR("UTC");
    DL_TRY(dl_document_text(r, &zone, &t->time_zone));
    dl_status status = dl_calendar_zone_find(t->time_zone, &c->zone, r->err);
    if (status != DL_OK) {
        return dl_error_within(r->err, status == DL_E_NOT_FOUND ? DL_E_INVALID : status,
                               "reading %.*s", DL_STR_ARG(zone.path));
    }
    DL_TRY(read_bounds(r, &recurrence, c->zone, &c->start_us, &c->end_us));
    DL_TRY(dl_document_child(r, &recurrence, "schedule", &schedule));
    DL_TRY(read_times(r, &schedule, c));
    status = dl_calendar_recurrence_check(c, r->err);
    t->frequency = c->frequency;
    t->interval = c->interval;
    t->start_us = c->start_us;
    t->end_us = c->end_us;
    return status == DL_OK
               ? DL_OK
               : dl_error_within(r->err, status, "reading %.*s", DL_STR_ARG(recurrence.path));
}

/* ---- on change, by hand ---- */

static dl_status read_change(dl_document_reader *r, const dl_document_node *typed,
                             dl_factory_trigger *t)
{
    static const char *const known[] = {"quietPeriod", "maxConcurrency", "retryPolicy", NULL};
    dl_document_node quiet;
    DL_TRY(dl_document_object(r, typed, known));
    DL_TRY(dl_document_child(r, typed, "quietPeriod", &quiet));
    t->quiet_us = QUIET_US;
    DL_TRY(dl_document_span(r, &quiet, &t->quiet_us));
    return t->quiet_us >= 0 ? DL_OK : dl_document_wrong(r, &quiet, "a time span of 0 or more");
}

static dl_status read_manual(dl_document_reader *r, const dl_document_node *typed,
                             dl_factory_trigger *t)
{
    static const char *const known[] = {"maxConcurrency", "retryPolicy", NULL};
    (void)t;
    return dl_document_object(r, typed, known);
}

static dl_status (*const readers[])(dl_document_reader *r, const dl_document_node *typed,
                                    dl_factory_trigger *t) = {
    [DL_FACTORY_TUMBLING] = read_tumbling,
    [DL_FACTORY_SCHEDULE] = read_schedule,
    [DL_FACTORY_MANUAL] = read_manual,
    [DL_FACTORY_ON_CHANGE] = read_change,
};

/* ---- the document ---- */

/** The one pipeline: "pipeline": {...}, or "pipelines": [{...}]. */
static dl_status find_pipeline(dl_document_reader *r, const dl_document_node *properties,
                               dl_document_node *out)
{
    dl_document_node one, list;
    size_t count = 0;
    DL_TRY(dl_document_child(r, properties, "pipeline", &one));
    DL_TRY(dl_document_child(r, properties, "pipelines", &list));
    DL_TRY(dl_document_array(r, &list, SIZE_MAX, &count));
    if (count + dl_document_is(&one) > 1) {
        dl_status status = dl_error_set(r->err, DL_E_INVALID, "%.*s: it names %zu pipelines",
                                        DL_STR_ARG(list.path), count + dl_document_is(&one));
        dl_error_hint(r->err, "a trigger starts one pipeline here: make a trigger for each");
        return status;
    }
    if (count == 1) {
        dl_str value = DL_STR_NONE;
        if (!dl_json_at(list.value, 0, &value)) {
            return dl_document_wrong(r, &list, "an array of references");
        }
        return dl_document_element(r, &list, value, 0, out);
    }
    if (!dl_document_is(&one)) {
        return dl_document_missing(r, &one, "{\"pipelineReference\": {\"referenceName\", ...}}");
    }
    *out = one;
    return DL_OK;
}

static dl_status read_pipeline(dl_document_reader *r, const dl_document_node *properties,
                               dl_factory_trigger *t)
{
    static const char *const known[] = {"pipelineReference", "parameters", NULL};
    dl_document_node pipeline, reference, parameters;
    DL_TRY(find_pipeline(r, properties, &pipeline));
    DL_TRY(dl_document_object(r, &pipeline, known));
    DL_TRY(dl_document_child(r, &pipeline, "pipelineReference", &reference));
    DL_TRY(dl_document_reference(r, &reference, "PipelineReference", &t->pipeline));
    DL_TRY(dl_document_child(r, &pipeline, "parameters", &parameters));
    return dl_document_parameters(r, &parameters, true, t->type == DL_FACTORY_TUMBLING,
                                  t->parameters, &t->parameter_count);
}

static dl_status read_head(dl_document_reader *r, const dl_document_node *root,
                           dl_factory_trigger *t, dl_document_node *out_properties)
{
    static const char *const root_known[] = {"name", "properties", "id",        "type",
                                             "etag", "apiVersion", "dependsOn", NULL};
    static const char *const known[] = {"type",           "description",     "annotations",
                                        "runtimeState",   "pipeline",        "pipelines",
                                        "typeProperties", "lastPublishTime", NULL};
    static const char *const states[] = {"Stopped", "Started", "Disabled", NULL};
    dl_document_node name, type, description, state;
    DL_TRY(dl_document_object(r, root, root_known));
    DL_TRY(dl_document_child(r, root, "name", &name));
    DL_TRY(dl_document_name(r, &name, &t->name));
    DL_TRY(dl_document_child(r, root, "properties", out_properties));
    DL_TRY(dl_document_object(r, out_properties, known));
    DL_TRY(dl_document_child(r, out_properties, "type", &type));
    if (!dl_document_is(&type)) {
        return dl_document_missing(r, &type, "TumblingWindowTrigger or another kind of trigger");
    }
    size_t index = 0;
    DL_TRY(dl_document_word(r, &type, trigger_types, &index));
    t->type = (dl_factory_trigger_type)index;
    DL_TRY(dl_document_child(r, out_properties, "description", &description));
    DL_TRY(dl_document_text(r, &description, &t->description));
    DL_TRY(dl_document_child(r, out_properties, "runtimeState", &state));
    index = 0;
    DL_TRY(dl_document_word(r, &state, states, &index));
    t->started = index == 1;
    return DL_OK;
}

dl_status dl_document_read_trigger(dl_document_reader *r, dl_str json, dl_factory_trigger *out)
{
    dl_factory_trigger t = {.end_us = INT64_MAX, .interval = 1};
    dl_document_node root, properties, typed;
    DL_TRY(dl_document_root(r, json, &root));
    DL_TRY(read_head(r, &root, &t, &properties));
    DL_TRY(dl_document_child(r, &properties, "typeProperties", &typed));
    DL_TRY(readers[t.type](r, &typed, &t));
    DL_TRY(read_retry(r, &typed, &t));
    DL_TRY(read_pipeline(r, &properties, &t));
    *out = t;
    return DL_OK;
}

dl_status dl_factory_read_trigger(dl_str json, dl_arena *arena, dl_factory_trigger *out,
                                  dl_factory_unknown *unknown, dl_error *err)
{
    dl_document_reader r = {.arena = arena, .unknown = unknown, .err = err};
    return dl_document_read_trigger(&r, json, out);
}
