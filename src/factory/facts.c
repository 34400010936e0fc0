/* Facts as JSON: one form of a run, a window, a document and a log line for REST and --json. Names
 * are Data Factory's where it has one; a time that has not come is null, so that each object has
 * the same members always. */
#include "factory/routes.h"

#include <assert.h>

static void put_key(dl_json_writer *w, const char *key)
{
    dl_json_key(w, dl_str_of(key));
}

static void put_text(dl_json_writer *w, const char *key, dl_str text)
{
    put_key(w, key);
    if (text.len == 0) {
        dl_json_null(w);
    } else {
        dl_json_string(w, text);
    }
}

static void put_id(dl_json_writer *w, const char *key, const char *id)
{
    put_text(w, key, dl_str_of(id));
}

static void put_number(dl_json_writer *w, const char *key, int64_t value)
{
    put_key(w, key);
    dl_json_int(w, value);
}

/* `there` says whether the time means anything. */
static void put_time(dl_json_writer *w, const char *key, bool there, int64_t time_us)
{
    put_key(w, key);
    if (!there) {
        dl_json_null(w);
        return;
    }
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(time_us, text);
    dl_json_string(w, dl_str_of(text));
}

static void put_status(dl_json_writer *w, dl_run_status status, bool waiting)
{
    put_key(w, "status");
    dl_json_string(w, waiting ? DL_STR("Waiting") : dl_str_of(dl_run_status_text(status)));
}

/* Text that somebody's editor may have written: JSON where it is, else null. */
static void put_json(dl_json_writer *w, const char *key, dl_str json)
{
    put_key(w, key);
    if (json.len == 0 || dl_json_check(json, NULL) != DL_OK) {
        dl_json_null(w);
    } else {
        dl_json_raw(w, json);
    }
}

/* ---- runs and windows ---- */

static dl_str invoker(const dl_run *run)
{
    if (run->trigger.len == 0) {
        return DL_STR("Manual");
    }
    switch (run->trigger_type) {
    case DL_FACTORY_TUMBLING:
        return DL_STR("TumblingWindowTrigger");
    case DL_FACTORY_SCHEDULE:
        return DL_STR("ScheduleTrigger");
    case DL_FACTORY_ON_CHANGE:
        return DL_STR("ChangeTrigger");
    case DL_FACTORY_MANUAL:
        break;
    }
    return DL_STR("ManualTrigger");
}

static void put_times(dl_json_writer *w, const dl_run *run)
{
    put_time(w, "windowStart", run->has_window, run->window_start_us);
    put_time(w, "windowEnd", run->has_window, run->window_end_us);
    put_time(w, "scheduledTime", run->scheduled_us != 0, run->scheduled_us);
    put_time(w, "queued", run->queued_us != 0, run->queued_us);
    put_time(w, "notBefore", run->not_before_us != 0, run->not_before_us);
    put_time(w, "runStart", run->started_us != 0, run->started_us);
    put_time(w, "runEnd", run->ended_us != 0, run->ended_us);
    put_key(w, "durationInMs");
    if (run->started_us != 0 && run->ended_us >= run->started_us) {
        dl_json_int(w, (run->ended_us - run->started_us) / 1000);
    } else {
        dl_json_null(w);
    }
}

void dl_fact_run(dl_json_writer *w, const dl_run *run)
{
    dl_json_object_begin(w);
    put_id(w, "runId", run->id);
    put_id(w, "runGroupId", run->group_id);
    put_number(w, "attempt", (int64_t)run->attempt);
    put_text(w, "pipelineName", run->pipeline);
    put_key(w, "invokedBy");
    dl_json_object_begin(w);
    put_text(w, "name", run->trigger.len > 0 ? run->trigger : DL_STR("Manual"));
    put_key(w, "invokedByType");
    dl_json_string(w, invoker(run));
    dl_json_object_end(w);
    put_status(w, run->status, false);
    put_times(w, run);
    put_json(w, "parameters", run->parameters);
    put_json(w, "counts", run->counts);
    put_text(w, "cause", run->cause);
    put_text(w, "hint", run->hint);
    put_key(w, "cancelRequested");
    dl_json_bool(w, run->cancel_asked);
    dl_json_object_end(w);
}

void dl_fact_window(dl_json_writer *w, const dl_run_window *window)
{
    dl_json_object_begin(w);
    put_text(w, "triggerName", window->trigger);
    put_time(w, "windowStart", true, window->start_us);
    put_time(w, "windowEnd", true, window->end_us);
    put_status(w, window->status, window->waiting);
    put_text(w, "waitsFor", window->waiting ? window->waits_for : DL_STR_NONE);
    put_number(w, "attempts", (int64_t)window->attempts);
    put_id(w, "runId", window->run_id);
    dl_json_object_end(w);
}

/* ---- documents ---- */

static dl_str kind_text(dl_factory_kind kind)
{
    static const char *const texts[] = {[DL_FACTORY_CONNECTION] = "linkedService",
                                        [DL_FACTORY_PIPELINE] = "pipeline",
                                        [DL_FACTORY_TRIGGER] = "trigger"};
    static_assert(DL_COUNT_OF(texts) == DL_FACTORY_KINDS, "a text for each kind");
    return dl_str_of(texts[kind]);
}

static dl_str state_text(dl_factory_state state)
{
    static const char *const texts[] = {[DL_FACTORY_DRAFT] = "Draft",
                                        [DL_FACTORY_CHANGED] = "Changed",
                                        [DL_FACTORY_PUBLISHED] = "Published",
                                        [DL_FACTORY_REMOVED] = "Removed"};
    return dl_str_of(texts[state]);
}

static void put_entry(dl_json_writer *w, const dl_factory_entry *entry)
{
    put_key(w, "kind");
    dl_json_string(w, kind_text(entry->kind));
    put_text(w, "name", entry->name);
    put_key(w, "state");
    dl_json_string(w, state_text(entry->state));
    put_time(w, "changed", entry->changed_us != 0, entry->changed_us);
    put_text(w, "fault", entry->fault);
}

void dl_fact_entry(dl_json_writer *w, const dl_factory_entry *entry)
{
    dl_json_object_begin(w);
    put_entry(w, entry);
    put_json(w, "document", entry->json);
    dl_json_object_end(w);
}

void dl_fact_trigger(dl_json_writer *w, const dl_factory_entry *entry,
                     const dl_trigger_facts *facts)
{
    dl_json_object_begin(w);
    put_entry(w, entry);
    put_key(w, "runtimeState");
    dl_json_string(w, facts->started ? DL_STR("Started") : DL_STR("Stopped"));
    put_time(w, "next", facts->next_us != INT64_MAX, facts->next_us);
    put_number(w, "waiting", facts->waiting);
    put_number(w, "running", facts->running);
    put_number(w, "failed", facts->failed);
    put_json(w, "document", entry->json);
    dl_json_object_end(w);
}

void dl_fact_line(dl_json_writer *w, const dl_run_line *line)
{
    dl_json_object_begin(w);
    put_time(w, "time", true, line->time_us);
    put_text(w, "level", line->level);
    put_key(w, "text");
    dl_json_string(w, line->text);
    dl_json_object_end(w);
}
