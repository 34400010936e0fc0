/* dicomlake trigger ...: when pipelines run; windows of the past; the scheduler without a service.
 */
#include "cli/factory.h"
#include "cli/table.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

#define SECOND_US ((int64_t)1000000)
#define MINUTE_US (60 * SECOND_US)
enum {
    ARGS_LIMIT = 64,
    WINDOWS_SHOWN = 100,
    WINDOWS_LIMIT = 10000,
    IDLE_MS = 60 * 1000,
    RETRY_INTERVAL_S = 30,
    RETRY_INTERVAL_LIMIT_S = 86400,
    QUIET_S = 10
};

typedef struct trigger_options {
    dl_cli_factory_where where;
    const char *pipeline, *type, *description, *every, *start, *end, *delay, *retry_interval;
    const char *at, *weekdays, *month_days, *time_zone, *quiet, *from, *to;
    uint64_t max_concurrency, retry, limit;
    dl_cli_list set, depends_on;
    bool stopped, replace, wait;
} trigger_options;

static const trigger_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(trigger_options, where),
    {"pipeline", "NAME", "create: the pipeline that it runs", DL_CLI_TEXT, 0, offsetof(trigger_options, pipeline), 0, 0},
    {"type", "TYPE", "create: tumbling-window (default), schedule, manual or on-change", DL_CLI_TEXT, 0, offsetof(trigger_options, type), 0, 0},
    {"description", "TEXT", "create: a sentence for people", DL_CLI_TEXT, 0, offsetof(trigger_options, description), 0, 0},
    {"every", "N", "create: how often, as in 15m, 1h, 1d, 1w, 1month (default 1h; schedule: 1d)", DL_CLI_TEXT, 0, offsetof(trigger_options, every), 0, 0},
    {"start", "TIME", "create: of the first window, or from when on (default: now, to the minute)", DL_CLI_TEXT, 0, offsetof(trigger_options, start), 0, 0},
    {"end", "TIME", "create: until when (default: none)", DL_CLI_TEXT, 0, offsetof(trigger_options, end), 0, 0},
    {"delay", "N", "create: how long a window waits after its end, as in 15m (default 0)", DL_CLI_TEXT, 0, offsetof(trigger_options, delay), 0, 0},
    {"max-concurrency", "N", "create: runs at a time, 1 to 50 (default 1)", DL_CLI_NUMBER, 0, offsetof(trigger_options, max_concurrency), 1, DL_FACTORY_CONCURRENCY_LIMIT},
    {"retry", "N", "create: how often a failed run is tried again (default 0)", DL_CLI_NUMBER, 0, offsetof(trigger_options, retry), 0, 1000},
    {"retry-interval", "N", "create: the pause before it, as in 30s (the default)", DL_CLI_TEXT, 0, offsetof(trigger_options, retry_interval), 0, 0},
    {"depends-on", "TRIGGER:OFFSET:SIZE", "create: windows that come first, as in other or itself:-1h; repeatable", DL_CLI_LIST, 0, offsetof(trigger_options, depends_on), 0, 0},
    {"set", "NAME=VALUE", "create: a run parameter, text or an expression; may be repeated", DL_CLI_LIST, 0, offsetof(trigger_options, set), 0, 0},
    {"at", "TIMES", "create: schedule: times of day, as in 02:30 or 08:00,20:00", DL_CLI_TEXT, 0, offsetof(trigger_options, at), 0, 0},
    {"weekdays", "DAYS", "create: schedule: as in mon,fri; with 1month also 1mon (first), -1fri (last)", DL_CLI_TEXT, 0, offsetof(trigger_options, weekdays), 0, 0},
    {"month-days", "DAYS", "create: schedule: as in 1,15,-1; -1 is the last day", DL_CLI_TEXT, 0, offsetof(trigger_options, month_days), 0, 0},
    {"time-zone", "NAME", "create: schedule: as in Europe/Berlin (default UTC)", DL_CLI_TEXT, 0, offsetof(trigger_options, time_zone), 0, 0},
    {"quiet", "N", "create: on-change: the least time between two runs, as in 10s (the default)", DL_CLI_TEXT, 0, offsetof(trigger_options, quiet), 0, 0},
    {"stopped", NULL, "create: publishing does not start it", DL_CLI_SWITCH, 0, offsetof(trigger_options, stopped), 0, 0},
    {"replace", NULL, "create: a trigger of that name may be there", DL_CLI_SWITCH, 0, offsetof(trigger_options, replace), 0, 0},
    {"from", "TIME", "backfill, windows: from this time on", DL_CLI_TEXT, 0, offsetof(trigger_options, from), 0, 0},
    {"to", "TIME", "backfill, windows: and before this one", DL_CLI_TEXT, 0, offsetof(trigger_options, to), 0, 0},
    {"limit", "N", "windows: at most so many (default 100)", DL_CLI_NUMBER, 0, offsetof(trigger_options, limit), 1, WINDOWS_LIMIT},
    {"wait", NULL, "run-now, backfill, rerun: follow the runs to their end", DL_CLI_SWITCH, 0, offsetof(trigger_options, wait), 0, 0},
};

static const struct {
    const char *name;
    dl_factory_trigger_type type;
} types[] = {
    {"tumbling-window", DL_FACTORY_TUMBLING}, {"schedule", DL_FACTORY_SCHEDULE},
    {"manual", DL_FACTORY_MANUAL}, {"on-change", DL_FACTORY_ON_CHANGE},
};

static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
/* clang-format on */

static const char *type_word(dl_factory_trigger_type type)
{
    for (size_t i = 0; i < DL_COUNT_OF(types); i++) {
        if (types[i].type == type) {
            return types[i].name;
        }
    }
    return "";
}

/* ---- create: times of day and days ---- */

/** Keep each value once, in the order given. */
static bool add_number(int8_t *list, uint8_t *count, size_t limit, int64_t value)
{
    for (size_t i = 0; i < *count; i++) {
        if (list[i] == value) {
            return true;
        }
    }
    if (*count == limit) {
        return false;
    }
    list[(*count)++] = (int8_t)value;
    return true;
}

static bool read_clock(dl_str text, int64_t *out_hour, int64_t *out_minute)
{
    ptrdiff_t colon = dl_str_find(text, ':');
    uint64_t hour = 0;
    uint64_t minute = 0;
    if (colon < 1 || !dl_str_to_u64(dl_str_slice(text, 0, (size_t)colon), &hour) ||
        !dl_str_to_u64(dl_str_slice(text, (size_t)colon + 1, text.len), &minute) || hour > 23 ||
        minute > 59) {
        return false;
    }
    *out_hour = (int64_t)hour;
    *out_minute = (int64_t)minute;
    return true;
}

/** A schedule is hours times minutes, as Data Factory's is: other sets of times cannot be said. */
static dl_status read_at(const char *text, dl_calendar_recurrence *r, dl_error *err)
{
    dl_str rest = dl_str_of(text);
    dl_str word = DL_STR_NONE;
    bool given[24][60] = {{false}};
    size_t different = 0;
    while (dl_str_next(&rest, ',', &word)) {
        int64_t hour = 0;
        int64_t minute = 0;
        if (!read_clock(dl_str_trim(word), &hour, &minute)) {
            return dl_error_set(err, DL_E_INVALID, "--at %s: not times of day such as 02:30,14:30",
                                text);
        }
        different += given[hour][minute] ? 0 : 1;
        given[hour][minute] = true;
        (void)add_number(r->hours, &r->hour_count, DL_COUNT_OF(r->hours), hour);
        (void)add_number(r->minutes, &r->minute_count, DL_COUNT_OF(r->minutes), minute);
    }
    if (different == 0 || different != (size_t)r->hour_count * r->minute_count) {
        (void)dl_error_set(err, DL_E_INVALID, "--at %s: each hour needs the same minutes", text);
        dl_error_hint(err, "a schedule is hours times minutes: make one trigger for each minute");
        return DL_E_INVALID;
    }
    return DL_OK;
}

static bool read_weekday(dl_str word, int *out_weekday)
{
    for (size_t i = 0; i < DL_COUNT_OF(weekday_names); i++) {
        if (word.len >= 3 &&
            dl_str_eq_nocase(dl_str_slice(word, 0, 3), dl_str_of(weekday_names[i]))) {
            *out_weekday = (int)i;
            return true;
        }
    }
    return false;
}

/** "mon", or with an occurrence "1mon", "-1fri". */
static bool read_occurrence(dl_str word, dl_calendar_monthly *out)
{
    size_t digits = 0;
    while (digits < word.len && (word.ptr[digits] < 'A')) { /* digits and signs */
        digits++;
    }
    int64_t number = 0;
    if (digits > 0 && (!dl_str_to_i64(dl_str_slice(word, 0, digits), &number) || number == 0 ||
                       number < -5 || number > 5)) {
        return false;
    }
    out->occurrence = (int)number;
    return read_weekday(dl_str_slice(word, digits, word.len), &out->weekday);
}

static dl_status read_weekdays(const char *text, dl_calendar_recurrence *r, dl_error *err)
{
    dl_str rest = dl_str_of(text);
    dl_str word = DL_STR_NONE;
    if (r->frequency == DL_CALENDAR_DAY && r->interval == 1) {
        r->frequency = DL_CALENDAR_WEEK; /* every day that is one of these */
    }
    while (dl_str_next(&rest, ',', &word)) {
        dl_calendar_monthly day = {0};
        bool good = read_occurrence(dl_str_trim(word), &day) &&
                    (day.occurrence == 0 || r->frequency == DL_CALENDAR_MONTH);
        if (good && r->frequency == DL_CALENDAR_MONTH) {
            good = r->monthly_count < DL_COUNT_OF(r->monthly);
            if (good) {
                r->monthly[r->monthly_count++] = day;
            }
        } else if (good) {
            good =
                add_number(r->weekdays, &r->weekday_count, DL_COUNT_OF(r->weekdays), day.weekday);
        }
        if (!good) {
            (void)dl_error_set(err, DL_E_INVALID, "--weekdays %s: not weekdays", text);
            dl_error_hint(err, "as in mon,fri; with --every 1month also 1mon,-1fri");
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}

static dl_status read_month_days(const char *text, dl_calendar_recurrence *r, dl_error *err)
{
    dl_str rest = dl_str_of(text);
    dl_str word = DL_STR_NONE;
    if (r->frequency == DL_CALENDAR_DAY && r->interval == 1) {
        r->frequency = DL_CALENDAR_MONTH;
    }
    while (dl_str_next(&rest, ',', &word)) {
        int64_t day = 0;
        if (!dl_str_to_i64(dl_str_trim(word), &day) || day == 0 || day < -31 || day > 31 ||
            !add_number(r->month_days, &r->month_day_count, DL_COUNT_OF(r->month_days), day)) {
            return dl_error_set(err, DL_E_INVALID,
                                "--month-days %s: not days from 1 to 31 or -1 to -31", text);
        }
    }
    return DL_OK;
}

static dl_status read_schedule(const trigger_options *o, dl_factory_trigger *t, dl_error *err)
{
    dl_calendar_recurrence *r = &t->recurrence;
    *r = (dl_calendar_recurrence){.frequency = t->frequency,
                                  .interval = t->interval,
                                  .start_us = t->start_us,
                                  .end_us = t->end_us};
    t->time_zone = o->time_zone == NULL ? DL_STR("UTC") : dl_str_of(o->time_zone);
    DL_TRY(dl_calendar_zone_find(t->time_zone, &r->zone, err));
    if (o->at != NULL) {
        DL_TRY(read_at(o->at, r, err));
    }
    if (o->weekdays != NULL) {
        DL_TRY(read_weekdays(o->weekdays, r, err));
    }
    if (o->month_days != NULL) {
        DL_TRY(read_month_days(o->month_days, r, err));
    }
    return dl_calendar_recurrence_check(r, err);
}

/* ---- create: windows ---- */

/** "OTHER", "OTHER:-1h", "OTHER:-1h:2h". */
static dl_status read_dependency(const char *word, dl_factory_dependency *out, dl_error *err)
{
    dl_str rest = dl_str_of(word);
    dl_str part = DL_STR_NONE;
    dl_factory_dependency d = {0};
    if (dl_str_next(&rest, ':', &d.trigger)) {
        DL_TRY(dl_factory_name_check(d.trigger, "--depends-on", err));
    }
    if (dl_str_next(&rest, ':', &part) && part.len > 0) {
        DL_TRY(dl_cli_parse_duration("--depends-on, offset", part, true, &d.offset_us, err));
    }
    if (dl_str_next(&rest, ':', &part) && part.len > 0) {
        DL_TRY(dl_cli_parse_duration("--depends-on, size", part, false, &d.size_us, err));
    }
    if (rest.len > 0) {
        return dl_error_set(err, DL_E_INVALID, "--depends-on %s: not TRIGGER[:OFFSET[:SIZE]]",
                            word);
    }
    *out = d;
    return DL_OK;
}

/** The window as the run's StartTime and EndTime, unless the user set them. */
static dl_status pass_window(dl_factory_trigger *t, dl_error *err)
{
    static const struct {
        const char *name, *word;
    } both[] = {
        {"StartTime", "StartTime=@formatDateTime(trigger().outputs.windowStartTime)"},
        {"EndTime", "EndTime=@formatDateTime(trigger().outputs.windowEndTime)"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(both); i++) {
        bool given = false;
        for (size_t k = 0; k < t->parameter_count; k++) {
            given = given || dl_str_eq_nocase(t->parameters[k].name, dl_str_of(both[i].name));
        }
        if (!given) {
            DL_TRY(dl_cli_factory_set(both[i].word, t->parameters, &t->parameter_count, err));
        }
    }
    return DL_OK;
}

/** What every type has. */
static dl_status read_policy(const trigger_options *o, dl_factory_trigger *t, dl_error *err)
{
    int64_t pause_us = RETRY_INTERVAL_S * SECOND_US;
    if (o->retry_interval != NULL) {
        DL_TRY(dl_cli_parse_duration("--retry-interval", dl_str_of(o->retry_interval), false,
                                     &pause_us, err));
    }
    if (pause_us < SECOND_US || pause_us > RETRY_INTERVAL_LIMIT_S * SECOND_US) {
        return dl_error_set(err, DL_E_INVALID, "--retry-interval %s: not 1s to 1d",
                            o->retry_interval);
    }
    t->max_concurrency = o->max_concurrency == 0 ? 1 : (unsigned)o->max_concurrency;
    t->retry_count = (unsigned)o->retry;
    t->retry_interval_s = (unsigned)(pause_us / SECOND_US);
    return DL_OK;
}

static dl_status read_windows(const trigger_options *o, dl_factory_trigger *t, dl_error *err)
{
    if (o->delay != NULL) {
        DL_TRY(dl_cli_parse_duration("--delay", dl_str_of(o->delay), false, &t->delay_us, err));
    }
    if (o->depends_on.count > DL_FACTORY_DEPENDENCY_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "--depends-on is given more than %d times",
                            DL_FACTORY_DEPENDENCY_LIMIT);
    }
    for (size_t i = 0; i < o->depends_on.count; i++) {
        DL_TRY(
            read_dependency(o->depends_on.items[i], &t->dependencies[t->dependency_count++], err));
    }
    return pass_window(t, err);
}

/* ---- create ---- */

/** Options that only one type has: given for another they would do nothing. */
static dl_status check_type(const trigger_options *o, dl_factory_trigger_type type, dl_error *err)
{
    bool tumbling = o->delay != NULL || o->depends_on.count > 0;
    bool schedule =
        o->at != NULL || o->weekdays != NULL || o->month_days != NULL || o->time_zone != NULL;
    bool timed = o->every != NULL || o->start != NULL || o->end != NULL;
    const char *wrong = NULL;
    if (tumbling && type != DL_FACTORY_TUMBLING) {
        wrong = "--delay and --depends-on are of tumbling windows";
    } else if (schedule && type != DL_FACTORY_SCHEDULE) {
        wrong = "--at, --weekdays, --month-days and --time-zone are of schedules";
    } else if (o->quiet != NULL && type != DL_FACTORY_ON_CHANGE) {
        wrong = "--quiet is of triggers on change";
    } else if (timed && (type == DL_FACTORY_MANUAL || type == DL_FACTORY_ON_CHANGE)) {
        wrong = "--every, --start and --end are of tumbling windows and schedules";
    }
    return wrong == NULL ? DL_OK : dl_error_set(err, DL_E_INVALID, "%s", wrong);
}

static dl_status read_type(const trigger_options *o, dl_factory_trigger_type *out_type,
                           dl_error *err)
{
    *out_type = DL_FACTORY_TUMBLING;
    bool found = o->type == NULL;
    for (size_t i = 0; i < DL_COUNT_OF(types) && !found; i++) {
        found = strcmp(o->type, types[i].name) == 0;
        *out_type = types[i].type;
    }
    if (!found) {
        return dl_error_set(err, DL_E_INVALID,
                            "--type %s: not tumbling-window, schedule, manual or on-change",
                            o->type);
    }
    return check_type(o, *out_type, err);
}

static dl_status read_times(dl_cli_factory *f, const trigger_options *o, dl_factory_trigger *t,
                            dl_error *err)
{
    const char *every = o->every != NULL ? o->every : t->type == DL_FACTORY_SCHEDULE ? "1d" : "1h";
    DL_TRY(dl_cli_parse_every(every, &t->frequency, &t->interval, err));
    int64_t now_us = dl_factory_now_us(f->factory);
    t->start_us = now_us - now_us % MINUTE_US;
    t->end_us = INT64_MAX;
    if (o->start != NULL) {
        DL_TRY(dl_cli_parse_time("--start", dl_str_of(o->start), &t->start_us, err));
    }
    if (o->end != NULL) {
        DL_TRY(dl_cli_parse_time("--end", dl_str_of(o->end), &t->end_us, err));
    }
    return DL_OK;
}

static dl_status read_trigger(dl_cli_factory *f, const trigger_options *o, const char *name,
                              dl_factory_trigger *t, dl_error *err)
{
    t->name = dl_str_of(name);
    t->description = dl_str_of(o->description);
    t->pipeline = dl_str_of(o->pipeline);
    t->started = !o->stopped;
    DL_TRY(read_type(o, &t->type, err));
    DL_TRY(read_times(f, o, t, err));
    DL_TRY(read_policy(o, t, err));
    for (size_t i = 0; i < o->set.count; i++) {
        DL_TRY(dl_cli_factory_set(o->set.items[i], t->parameters, &t->parameter_count, err));
    }
    if (t->type == DL_FACTORY_TUMBLING) {
        return read_windows(o, t, err);
    }
    t->quiet_us = QUIET_S * SECOND_US;
    if (o->quiet != NULL) {
        DL_TRY(dl_cli_parse_duration("--quiet", dl_str_of(o->quiet), false, &t->quiet_us, err));
    }
    return t->type == DL_FACTORY_SCHEDULE ? read_schedule(o, t, err) : DL_OK;
}

static dl_status create(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                        dl_error *err)
{
    const trigger_options *o = given;
    dl_factory_trigger t = {0};
    dl_str json = DL_STR_NONE;
    if (o->pipeline == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "trigger create: --pipeline is needed");
        dl_error_hint(err, "dicomlake pipeline list names the pipelines");
        return DL_E_INVALID;
    }
    DL_TRY(read_trigger(f, o, args->items[0], &t, err));
    DL_TRY(dl_catalog_draft(f->factory, DL_FACTORY_PIPELINE, t.pipeline, f->arena, &json, err));
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_factory_write_trigger(&t, DL_STR_NONE, &text, err));
    DL_TRY(dl_catalog_save(f->factory, DL_FACTORY_TRIGGER, dl_buf_str(&text), o->replace, err));
    return dl_cli_factory_saved(f, DL_FACTORY_TRIGGER, t.name, err);
}

/* ---- list, show, windows ---- */

/** Facts of one that was never published are those of one that is stopped. */
static dl_status facts_of(dl_cli_factory *f, const dl_factory_entry *entry, dl_trigger_facts *out,
                          dl_error *err)
{
    *out = (dl_trigger_facts){.next_us = INT64_MAX};
    dl_status status = dl_trigger_facts_of(f->factory, entry->name, out, err);
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        return DL_OK;
    }
    return status;
}

static dl_status add_row(dl_cli_factory *f, dl_cli_table *table, const dl_factory_entry *entry,
                         const dl_trigger_facts *facts, dl_error *err)
{
    dl_factory_trigger t = {0};
    dl_error why = {0};
    bool good = dl_factory_read_trigger(entry->json, f->arena, &t, NULL, &why) == DL_OK;
    char next[DL_CLOCK_TEXT_SIZE];
    char counts[3][32];
    dl_cli_format_time(facts->next_us == INT64_MAX ? 0 : facts->next_us, next);
    (void)snprintf(counts[0], sizeof counts[0], "%" PRId64, facts->waiting);
    (void)snprintf(counts[1], sizeof counts[1], "%" PRId64, facts->running);
    (void)snprintf(counts[2], sizeof counts[2], "%" PRId64, facts->failed);
    const dl_str cells[] = {entry->name,
                            dl_str_of(good ? type_word(t.type) : "damaged"),
                            good ? t.pipeline : dl_str_of(why.message),
                            dl_str_of(dl_cli_factory_state(entry->state)),
                            dl_str_of(facts->started ? "started" : "stopped"),
                            dl_str_of(next),
                            dl_str_of(counts[0]),
                            dl_str_of(counts[1]),
                            dl_str_of(counts[2])};
    return dl_cli_table_add(table, cells, err);
}

static dl_status list(dl_cli_factory *f, DL_UNUSED const void *given,
                      DL_UNUSED const dl_cli_args *args, dl_error *err)
{
    static const dl_cli_column titles[] = {
        {"NAME", false, 0},   {"TYPE", false, 0},    {"PIPELINE", false, 0},
        {"STATE", false, 0},  {"RUNTIME", false, 0}, {"NEXT (UTC)", false, 0},
        {"WAITING", true, 0}, {"RUNNING", true, 0},  {"FAILED", true, 0}};
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(f->factory, DL_FACTORY_TRIGGER, f->arena, &entries, &count, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        dl_trigger_facts facts;
        DL_TRY(facts_of(f, &entries[i], &facts, err));
        dl_fact_trigger(&f->w, &entries[i], &facts);
        DL_TRY(add_row(f, table, &entries[i], &facts, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

static void fact_amount(dl_cli_factory *f, const char *name, int64_t value, const char *unit)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%" PRId64 "%s", value, unit);
    dl_cli_factory_fact(f, name, dl_str_of(text));
}

static void show_times(dl_cli_factory *f, const dl_factory_trigger *t)
{
    static const char *const frequencies[] = {"minutes", "hours", "days", "weeks", "months"};
    const dl_calendar_recurrence *r = &t->recurrence;
    bool schedule = t->type == DL_FACTORY_SCHEDULE;
    int64_t start_us = schedule ? r->start_us : t->start_us;
    int64_t end_us = schedule ? r->end_us : t->end_us;
    char text[DL_CLOCK_TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%" PRIu32 " %s", schedule ? r->interval : t->interval,
                   frequencies[schedule ? r->frequency : t->frequency]);
    dl_cli_factory_fact(f, "every", dl_str_of(text));
    dl_cli_format_time(start_us, text);
    dl_cli_factory_fact(f, "start", dl_str_of(text));
    dl_cli_format_time(end_us == INT64_MAX ? 0 : end_us, text);
    dl_cli_factory_fact(f, "end", dl_str_of(text));
    dl_cli_factory_fact(f, "time zone", t->time_zone);
}

static void show_windows(dl_cli_factory *f, const dl_factory_trigger *t)
{
    fact_amount(f, "delay", t->delay_us / SECOND_US, " s");
    fact_amount(f, "concurrency", t->max_concurrency, "");
    if (t->retry_count > 0) {
        fact_amount(f, "retries", t->retry_count, "");
        fact_amount(f, "retry interval", t->retry_interval_s, " s");
    }
    for (size_t i = 0; i < t->dependency_count; i++) {
        const dl_factory_dependency *d = &t->dependencies[i];
        char text[DL_FACTORY_NAME_LIMIT + 64];
        (void)snprintf(text, sizeof text, "%.*s, offset %" PRId64 " s", DL_STR_ARG(d->trigger),
                       d->offset_us / SECOND_US);
        dl_cli_factory_fact(f, "depends on", dl_str_of(text));
    }
}

static dl_status show(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    dl_factory_entry entry;
    dl_trigger_facts facts;
    dl_factory_trigger t = {0};
    DL_TRY(dl_cli_factory_entry(f, DL_FACTORY_TRIGGER, args->items[0], &entry, err));
    DL_TRY(facts_of(f, &entry, &facts, err));
    dl_fact_trigger(&f->w, &entry, &facts);
    if (f->json) {
        return DL_OK;
    }
    DL_TRY(dl_factory_read_trigger(entry.json, f->arena, &t, NULL, err));
    char next[DL_CLOCK_TEXT_SIZE];
    dl_cli_format_time(facts.next_us == INT64_MAX ? 0 : facts.next_us, next);
    dl_cli_factory_fact(f, "name", t.name);
    dl_cli_factory_fact(f, "description", t.description);
    dl_cli_factory_fact(f, "type", dl_str_of(type_word(t.type)));
    dl_cli_factory_fact(f, "pipeline", t.pipeline);
    dl_cli_factory_fact(f, "state", dl_str_of(dl_cli_factory_state(entry.state)));
    dl_cli_factory_fact(f, "runtime", dl_str_of(facts.started ? "started" : "stopped"));
    if (t.type == DL_FACTORY_TUMBLING || t.type == DL_FACTORY_SCHEDULE) {
        show_times(f, &t);
        dl_cli_factory_fact(f, "next", dl_str_of(next));
    }
    if (t.type == DL_FACTORY_TUMBLING) {
        show_windows(f, &t);
    }
    fact_amount(f, "waiting", facts.waiting, "");
    fact_amount(f, "running", facts.running, "");
    fact_amount(f, "failed", facts.failed, "");
    dl_cli_factory_say(f, "parameters");
    dl_cli_factory_show_parameters(f, t.parameters, t.parameter_count);
    return DL_OK;
}

static dl_status add_window(dl_cli_table *table, const dl_run_window *w, dl_error *err)
{
    char start[DL_CLOCK_TEXT_SIZE];
    char end[DL_CLOCK_TEXT_SIZE];
    char attempts[32];
    dl_cli_format_time(w->start_us, start);
    dl_cli_format_time(w->end_us, end);
    (void)snprintf(attempts, sizeof attempts, "%u", w->attempts);
    const dl_str cells[] = {dl_str_of(start),
                            dl_str_of(end),
                            w->waiting ? DL_STR("Waiting")
                                       : dl_str_of(dl_run_status_text(w->status)),
                            dl_str_of(attempts),
                            dl_str_slice(dl_str_of(w->run_id), 0, 8),
                            w->waiting ? w->waits_for : DL_STR("")};
    return dl_cli_table_add(table, cells, err);
}

static dl_status read_range(const trigger_options *o, int64_t *from_us, int64_t *to_us,
                            dl_error *err)
{
    if (o->from != NULL) {
        DL_TRY(dl_cli_parse_time("--from", dl_str_of(o->from), from_us, err));
    }
    return o->to == NULL ? DL_OK : dl_cli_parse_time("--to", dl_str_of(o->to), to_us, err);
}

static dl_status windows(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                         dl_error *err)
{
    static const dl_cli_column titles[] = {{"START (UTC)", false, 0}, {"END (UTC)", false, 0},
                                           {"STATUS", false, 0},      {"ATTEMPTS", true, 0},
                                           {"RUN", false, 0},         {"WAITS FOR", false, 0}};
    const trigger_options *o = given;
    dl_factory_entry entry;
    int64_t from_us = INT64_MIN;
    int64_t to_us = INT64_MAX;
    dl_run_window *found = NULL;
    size_t count = 0;
    DL_TRY(dl_cli_factory_entry(f, DL_FACTORY_TRIGGER, args->items[0], &entry, err));
    DL_TRY(read_range(o, &from_us, &to_us, err));
    DL_TRY(dl_runs_windows(f->factory, entry.name, from_us, to_us,
                           o->limit == 0 ? WINDOWS_SHOWN : (size_t)o->limit, f->arena, &found,
                           &count, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        dl_fact_window(&f->w, &found[i]);
        DL_TRY(add_window(table, &found[i], err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

/* ---- start, stop ---- */

static dl_status say_state(dl_cli_factory *f, const char *name, dl_error *err)
{
    dl_factory_entry entry;
    dl_trigger_facts facts;
    DL_TRY(dl_cli_factory_entry(f, DL_FACTORY_TRIGGER, name, &entry, err));
    DL_TRY(facts_of(f, &entry, &facts, err));
    dl_fact_trigger(&f->w, &entry, &facts);
    dl_cli_factory_say(f, "trigger %s is %s", name, facts.started ? "started" : "stopped");
    return DL_OK;
}

static dl_status start(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                       dl_error *err)
{
    DL_TRY(dl_trigger_start(f->factory, dl_str_of(args->items[0]), err));
    return say_state(f, args->items[0], err);
}

static dl_status stop(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    DL_TRY(dl_trigger_stop(f->factory, dl_str_of(args->items[0]), err));
    return say_state(f, args->items[0], err);
}

/* ---- runs ---- */

static dl_status run_now(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                         dl_error *err)
{
    const trigger_options *o = given;
    dl_cli_queued queued = {.count = 1, .wait = o->wait};
    DL_TRY(dl_trigger_run_now(f->factory, dl_str_of(args->items[0]), queued.run_id, err));
    return dl_cli_factory_do(f, &queued, err);
}

static dl_status backfill(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                          dl_error *err)
{
    const trigger_options *o = given;
    dl_cli_queued queued = {.trigger = dl_str_of(args->items[0]), .wait = o->wait};
    if (o->from == NULL || o->to == NULL) {
        return dl_error_set(err, DL_E_INVALID, "trigger backfill: --from and --to are needed");
    }
    DL_TRY(read_range(o, &queued.from_us, &queued.to_us, err));
    DL_TRY(dl_trigger_backfill(f->factory, queued.trigger, queued.from_us, queued.to_us,
                               &queued.count, err));
    return dl_cli_factory_do(f, &queued, err);
}

static dl_status rerun(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    const trigger_options *o = given;
    int64_t start_us = 0;
    dl_cli_queued queued = {.count = 1, .wait = o->wait};
    DL_TRY(dl_cli_parse_time("the window's start", dl_str_of(args->items[1]), &start_us, err));
    DL_TRY(dl_trigger_rerun(f->factory, dl_str_of(args->items[0]), start_us, queued.run_id, err));
    return dl_cli_factory_do(f, &queued, err);
}

/* ---- documents ---- */

static dl_status remove_some(dl_cli_factory *f, DL_UNUSED const void *given,
                             const dl_cli_args *args, dl_error *err)
{
    return dl_cli_factory_remove(f, DL_FACTORY_TRIGGER, args, err);
}

static dl_status rename_one(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                            dl_error *err)
{
    return dl_cli_factory_rename(f, DL_FACTORY_TRIGGER, args, err);
}

/* ---- daemon ---- */

static dl_status daemon_(dl_cli_factory *f, DL_UNUSED const void *given,
                         DL_UNUSED const dl_cli_args *args, dl_error *err)
{
    DL_CLEANUP(dl_cli_engine_close) dl_cli_engine engine = {0};
    dl_log_set_level(DL_LOG_INFO);
    f->feed.announce = true; /* others find the service that "home:" needs, as that of serve */
    DL_TRY(dl_cli_engine_open(&engine, f->factory, err));
    DL_TRY(dl_cli_engine_start(&engine, f->factory, &f->settings, err));
    (void)fprintf(f->cli->out, "scheduling on %s\n", f->home);
    (void)dl_cli_flush(f->cli, DL_CLI_DONE);
    while (!dl_cancel_asked(f->cli->stop)) {
        (void)dl_cli_sleep_ms(IDLE_MS, f->cli->stop);
    }
    return DL_OK;
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"create", "NAME", 1, 1, DL_CLI_HOME_MADE, create},
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"show", "NAME", 1, 1, DL_CLI_HOME_THERE, show},
    {"windows", "NAME", 1, 1, DL_CLI_HOME_THERE, windows},
    {"start", "NAME", 1, 1, DL_CLI_HOME_THERE, start},
    {"stop", "NAME", 1, 1, DL_CLI_HOME_THERE, stop},
    {"run-now", "NAME", 1, 1, DL_CLI_HOME_THERE, run_now},
    {"backfill", "NAME --from TIME --to TIME", 1, 1, DL_CLI_HOME_THERE, backfill},
    {"rerun", "NAME WINDOW-START", 2, 2, DL_CLI_HOME_THERE, rerun},
    {"remove", "NAME...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, remove_some},
    {"rename", "NAME NEW-NAME", 2, 2, DL_CLI_HOME_THERE, rename_one},
    {"daemon", "", 0, 0, DL_CLI_HOME_MADE, daemon_},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_trigger, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_trigger = {
    .name = "trigger",
    .synopsis = "ACTION [WORD]...",
    .summary = "Say when pipelines run; run them now, or over windows of the past.",
    .details =
        "ACTION is create, list, show, windows, start, stop, run-now, backfill, rerun, remove, "
        "rename or\n"
        "daemon, which schedules on a home that no serve runs on.\n"
        "A tumbling window is passed on as StartTime and EndTime unless --set says otherwise.\n"
        "Exit codes: 0 done, 1 failed or the run did, 2 wrong usage, 3 some windows failed.",
    .example = "dicomlake trigger create hourly --pipeline copy --every 1h --delay 15m "
               "--start 2026-01-05T00:00:00Z",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(trigger_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
