/* Runs that a command queued: done here or by whoever schedules, followed, and told about. */
#include "cli/factory.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

enum {
    POLL_MS = 100,
    POLL_WINDOWS_MS = 250,
    WINDOWS_LIMIT = 10000,
    STUCK_POLLS = 40,       /* of windows that only wait: 10 s */
    RETRY_GRACE_POLLS = 20, /* until a failed run's retry is there: 2 s */
};

/* ---- one run for people ---- */

int64_t dl_cli_factory_count(const dl_run *run, const char *name)
{
    dl_str value = DL_STR_NONE;
    int64_t number = 0;
    return dl_json_get(run->counts, dl_str_of(name), &value) && dl_json_int_of(value, &number)
               ? number
               : 0;
}

static void show_time(dl_cli_factory *f, const char *name, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_cli_format_time(time_us, text);
    dl_cli_factory_fact(f, name, dl_str_of(text));
}

static dl_status scalar_text(dl_str value, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    *out_text = value;
    return dl_json_kind_of(value) == DL_JSON_STRING ? dl_json_text(value, arena, out_text, err)
                                                    : DL_OK;
}

/** The members of an object that are no object or list themselves, indented. */
static dl_status show_members(dl_cli_factory *f, const char *title, dl_str object, dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    bool first = true;
    while (dl_json_next_member(&members, &key, &value)) {
        dl_json_kind kind = dl_json_kind_of(value);
        if (kind == DL_JSON_OBJECT || kind == DL_JSON_ARRAY || kind == DL_JSON_NULL) {
            continue;
        }
        if (first) {
            dl_cli_factory_say(f, "%s", title);
            first = false;
        }
        char name[DL_FACTORY_NAME_LIMIT];
        dl_str text = DL_STR_NONE;
        (void)snprintf(name, sizeof name, "  %.*s", DL_STR_ARG(key));
        DL_TRY(scalar_text(value, f->arena, &text, err));
        dl_cli_factory_fact(f, name, text);
    }
    return DL_OK;
}

/* Objects and lists of objects inside the counts (tables, stages) are tables: a row for each, its
 * columns are the members of the first. */

enum { COLUMNS = 16 };

typedef struct nested {
    dl_cli_column columns[COLUMNS];
    dl_str keys[COLUMNS]; /* [0]: the row's own name */
    size_t count;
    dl_cli_table *table;
} nested;

static void nested_clear(nested *n)
{
    dl_cli_table_destroy(n->table);
}

/** The members of the first row that are numbers name the columns. */
static dl_status begin_nested(nested *n, dl_str title, dl_str row, dl_arena *arena, dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(row);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    dl_str name = DL_STR_NONE;
    DL_TRY(dl_arena_copy(arena, title, &name, err));
    n->columns[n->count++] = (dl_cli_column){.title = name.ptr};
    while (n->count < COLUMNS && dl_json_next_member(&members, &key, &value)) {
        if (dl_json_kind_of(value) == DL_JSON_NUMBER) {
            DL_TRY(dl_arena_copy(arena, key, &name, err));
            n->keys[n->count] = name;
            n->columns[n->count++] = (dl_cli_column){.title = name.ptr, .right = true};
        }
    }
    return dl_cli_table_create(n->columns, n->count, &n->table, err);
}

static dl_status add_nested(nested *n, dl_str name, dl_str row, dl_arena *arena, dl_error *err)
{
    dl_str cells[COLUMNS] = {name};
    dl_str value = DL_STR_NONE;
    if (name.len == 0 && dl_json_get(row, DL_STR("name"), &value) &&
        dl_json_kind_of(value) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(value, arena, &cells[0], err));
    }
    for (size_t i = 1; i < n->count; i++) {
        cells[i] = dl_json_get(row, n->keys[i], &value) ? value : DL_STR("");
    }
    return dl_cli_table_add(n->table, cells, err);
}

static dl_status show_one_nested(dl_cli_factory *f, dl_str title, dl_str list, dl_error *err)
{
    DL_CLEANUP(nested_clear) nested n = {0};
    bool named = dl_json_kind_of(list) == DL_JSON_OBJECT;
    dl_json_iter rows = dl_json_iter_of(list);
    dl_str name = DL_STR_NONE;
    dl_str row = DL_STR_NONE;
    while (named ? dl_json_next_member(&rows, &name, &row) : dl_json_next_element(&rows, &row)) {
        if (dl_json_kind_of(row) != DL_JSON_OBJECT) {
            return DL_OK;
        }
        if (n.table == NULL) {
            DL_TRY(begin_nested(&n, title, row, f->arena, err));
        }
        DL_TRY(add_nested(&n, name, row, f->arena, err));
    }
    if (n.table == NULL) {
        return DL_OK;
    }
    (void)fputc('\n', f->cli->out);
    return dl_cli_table_print(n.table, f->cli->out, err);
}

static dl_status show_nested(dl_cli_factory *f, dl_str counts, dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(counts);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        dl_json_kind kind = dl_json_kind_of(value);
        if (kind == DL_JSON_OBJECT || kind == DL_JSON_ARRAY) {
            DL_TRY(show_one_nested(f, key, value, err));
        }
    }
    return DL_OK;
}

dl_status dl_cli_factory_show_run(dl_cli_factory *f, const dl_run *run, dl_error *err)
{
    char took[DL_CLOCK_TEXT_SIZE];
    char attempt[32];
    (void)snprintf(attempt, sizeof attempt, "%u", run->attempt);
    dl_cli_format_took(run, dl_factory_now_us(f->factory), took);
    dl_cli_factory_fact(f, "run", dl_str_of(run->id));
    dl_cli_factory_fact(f, "status", dl_str_of(dl_run_status_text(run->status)));
    dl_cli_factory_fact(f, "pipeline", run->pipeline);
    dl_cli_factory_fact(f, "trigger", run->trigger.len > 0 ? run->trigger : DL_STR("(by hand)"));
    if (run->has_window) {
        show_time(f, "window start", run->window_start_us);
        show_time(f, "window end", run->window_end_us);
    }
    show_time(f, "queued", run->queued_us);
    show_time(f, "begun", run->started_us);
    show_time(f, "ended", run->ended_us);
    dl_cli_factory_fact(f, "took", dl_str_of(took));
    dl_cli_factory_fact(f, "attempt", dl_str_of(attempt));
    dl_cli_factory_fact(f, "cause", run->cause);
    dl_cli_factory_fact(f, "hint", run->hint);
    DL_TRY(show_members(f, "parameters", run->parameters, err));
    DL_TRY(show_members(f, "counts", run->counts, err));
    return show_nested(f, run->counts, err);
}

/* ---- following ---- */

typedef struct follower {
    dl_cli_factory *f;
    const dl_cli_queued *queued;
    dl_cli_engine engine; /* open: the work is done here */
    bool here;
    dl_cli_progress *progress;
    uint64_t shown, expected;
    unsigned waited; /* polls in which nothing happened */
    /* how windows stand */
    size_t succeeded, failed, cancelled, pending, waiting;
} follower;

static void follower_close(follower *w)
{
    dl_cli_progress_destroy(w->progress);
    w->progress = NULL;
    if (w->here) {
        dl_cli_engine_close(&w->engine);
        w->here = false;
    }
}

static bool has_ended(dl_run_status status)
{
    return status != DL_RUN_QUEUED && status != DL_RUN_IN_PROGRESS;
}

static void show_progress(follower *w, uint64_t done, uint64_t total)
{
    if (total > w->expected) {
        dl_cli_progress_expect(w->progress, total - w->expected, 0);
        w->expected = total;
    }
    uint64_t step = done > w->shown ? done - w->shown : 0;
    dl_cli_progress_add(w->progress, step, 0);
    w->shown += step;
}

static dl_arena *poll_arena(dl_error *err)
{
    dl_arena *arena = dl_arena_create((size_t)64 << 20);
    if (arena == NULL) {
        (void)dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    return arena;
}

static dl_status stopped(const follower *w, dl_error *err)
{
    (void)dl_error_set(err, DL_E_CANCELED,
                       w->here ? "stopped; what has not ended stays in the queue"
                               : "no longer followed; whoever schedules goes on with it");
    dl_error_hint(err, "dicomlake run list shows it");
    return DL_E_CANCELED;
}

/** The newest attempt of the run's group: a retry takes the place of what failed. */
static dl_status newest_attempt(follower *w, const dl_run *run, dl_arena *arena, dl_run *out_run,
                                dl_error *err)
{
    const dl_run_filter filter = {.group_id = dl_str_of(run->group_id), .limit = 1};
    dl_run *runs = NULL;
    size_t count = 0;
    DL_TRY(dl_runs_list(w->f->factory, &filter, arena, &runs, &count, err));
    *out_run = count > 0 && runs[0].attempt > run->attempt ? runs[0] : *run;
    return DL_OK;
}

/** Whether the trigger tries a failed window again after this attempt. */
static bool retry_expected(follower *w, const dl_run *run, dl_arena *arena)
{
    dl_str json = DL_STR_NONE;
    dl_factory_trigger t;
    return run->status == DL_RUN_FAILED && run->has_window && w->waited < RETRY_GRACE_POLLS &&
           dl_catalog_published(w->f->factory, DL_FACTORY_TRIGGER, run->trigger, arena, &json,
                                NULL) == DL_OK &&
           dl_factory_read_trigger(json, arena, &t, NULL, NULL) == DL_OK &&
           run->attempt <= t.retry_count;
}

static dl_status poll_run(follower *w, bool *out_ended, dl_error *err)
{
    DL_AUTO(dl_arena) arena = poll_arena(err);
    if (arena == NULL) {
        return DL_E_NOMEM;
    }
    dl_run run;
    DL_TRY(dl_runs_get(w->f->factory, dl_str_of(w->queued->run_id), arena, &run, err));
    DL_TRY(newest_attempt(w, &run, arena, &run, err));
    int64_t changes = dl_cli_factory_count(&run, "changes");
    int64_t total =
        dl_cli_factory_count(&run, "newest") - dl_cli_factory_count(&run, "watermark") + changes;
    show_progress(w, (uint64_t)(changes < 0 ? 0 : changes),
                  dl_cli_factory_count(&run, "newest") > 0 && total > 0 ? (uint64_t)total : 0);
    w->waited = has_ended(run.status) ? w->waited + 1 : 0;
    *out_ended = has_ended(run.status) && !retry_expected(w, &run, arena);
    return DL_OK;
}

static void count_window(follower *w, const dl_run_window *window)
{
    w->waiting += window->waiting;
    w->pending += window->waiting || !has_ended(window->status);
    if (!window->waiting) {
        w->succeeded += window->status == DL_RUN_SUCCEEDED;
        w->failed += window->status == DL_RUN_FAILED;
        w->cancelled += window->status == DL_RUN_CANCELLED;
    }
}

/** How all windows of the range stand now. */
static dl_status poll_windows(follower *w, bool *out_ended, dl_error *err)
{
    int64_t from_us = w->queued->from_us;
    size_t before = w->succeeded + w->failed + w->cancelled;
    w->succeeded = w->failed = w->cancelled = w->pending = w->waiting = 0;
    for (size_t count = WINDOWS_LIMIT; count == WINDOWS_LIMIT;) {
        DL_AUTO(dl_arena) arena = poll_arena(err);
        if (arena == NULL) {
            return DL_E_NOMEM;
        }
        dl_run_window *windows = NULL;
        DL_TRY(dl_runs_windows(w->f->factory, w->queued->trigger, from_us, w->queued->to_us,
                               WINDOWS_LIMIT, arena, &windows, &count, err));
        for (size_t i = 0; i < count; i++) {
            count_window(w, &windows[i]);
            from_us = windows[i].start_us >= from_us ? windows[i].start_us + 1 : from_us;
        }
    }
    size_t done = w->succeeded + w->failed + w->cancelled;
    show_progress(w, done, done + w->pending);
    bool still = done == before && w->waiting == w->pending;
    w->waited = still ? w->waited + 1 : 0;
    *out_ended = w->pending == 0 || (w->here && w->waited > STUCK_POLLS);
    return DL_OK;
}

static dl_status follow(follower *w, dl_error *err)
{
    bool windows = w->queued->run_id[0] == '\0';
    for (bool ended = false;;) {
        DL_TRY(windows ? poll_windows(w, &ended, err) : poll_run(w, &ended, err));
        if (ended) {
            return DL_OK;
        }
        if (!dl_cli_sleep_ms(windows ? POLL_WINDOWS_MS : POLL_MS, w->f->cli->stop)) {
            return stopped(w, err);
        }
    }
}

/* ---- the end ---- */

static dl_status tell_run(follower *w, bool waited, dl_error *err)
{
    dl_cli_factory *f = w->f;
    dl_run run;
    DL_TRY(dl_runs_get(f->factory, dl_str_of(w->queued->run_id), f->arena, &run, err));
    DL_TRY(newest_attempt(w, &run, f->arena, &run, err));
    dl_fact_run(&f->w, &run);
    if (!waited) {
        dl_cli_factory_say(f, "run %s is queued", run.id);
        return DL_OK;
    }
    char took[DL_CLOCK_TEXT_SIZE];
    dl_cli_format_took(&run, dl_factory_now_us(f->factory), took);
    dl_cli_factory_say(f, "run %s: %s in %s, %" PRId64 " changes", run.id,
                       dl_run_status_text(run.status), took[0] == '\0' ? "no time" : took,
                       dl_cli_factory_count(&run, "changes"));
    if (run.status != DL_RUN_SUCCEEDED) {
        dl_error why = {0};
        (void)dl_error_set(
            &why, DL_E_UNAVAILABLE, "run %s: %.*s", run.id,
            DL_STR_ARG(run.cause.len > 0 ? run.cause : dl_str_of(dl_run_status_text(run.status))));
        dl_error_hint(&why, "%.*s", DL_STR_ARG(run.hint));
        (void)fflush(f->cli->out);
        f->code = dl_cli_fail(f->cli, &why);
    }
    return DL_OK;
}

static void put_time(dl_json_writer *w, const char *key, int64_t time_us)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(time_us, text);
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, dl_str_of(text));
}

static void put_number(dl_json_writer *w, const char *key, size_t value)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_int(w, (int64_t)value);
}

static dl_status tell_windows(follower *w, bool waited)
{
    dl_cli_factory *f = w->f;
    const dl_cli_queued *q = w->queued;
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("triggerName"));
    dl_json_string(&f->w, q->trigger);
    put_time(&f->w, "from", q->from_us);
    put_time(&f->w, "to", q->to_us);
    put_number(&f->w, "queued", q->count);
    if (waited) {
        put_number(&f->w, "succeeded", w->succeeded);
        put_number(&f->w, "failed", w->failed);
        put_number(&f->w, "cancelled", w->cancelled);
        put_number(&f->w, "waiting", w->pending);
        bool all = w->failed + w->cancelled + w->pending == 0;
        f->code = all ? DL_CLI_DONE : w->succeeded > 0 ? DL_CLI_PARTLY : DL_CLI_FAILED;
    }
    dl_json_object_end(&f->w);
    dl_cli_factory_say(f, "%zu windows queued", q->count);
    if (waited) {
        dl_cli_factory_say(f, "%zu succeeded, %zu failed, %zu cancelled, %zu still wait",
                           w->succeeded, w->failed, w->cancelled, w->pending);
    }
    return DL_OK;
}

/* ---- doing ---- */

/** Becomes the one that schedules on the home, when there is none. */
static dl_status take_over(follower *w, dl_error *err)
{
    dl_cli_factory *f = w->f;
    if (dl_scheduler_is_running(f->factory)) {
        return DL_OK;
    }
    DL_TRY(dl_cli_engine_open(&w->engine, f->factory, err));
    dl_status status = dl_cli_engine_start(&w->engine, f->factory, &f->settings, err);
    if (status != DL_OK) {
        dl_cli_engine_close(&w->engine);
    }
    if (status == DL_E_CONFLICT) { /* somebody came first */
        dl_error_clear(err);
        return DL_OK;
    }
    DL_TRY(status);
    w->here = true;
    (void)fprintf(f->cli->err, "dicomlake: nobody schedules on %s: the work is done here\n",
                  f->home);
    return DL_OK;
}

dl_status dl_cli_factory_do(dl_cli_factory *f, const dl_cli_queued *queued, dl_error *err)
{
    DL_CLEANUP(follower_close) follower w = {.f = f, .queued = queued};
    bool windows = queued->run_id[0] == '\0';
    DL_TRY(take_over(&w, err));
    bool waited = w.here || queued->wait;
    if (waited) {
        DL_TRY(dl_cli_progress_create(f->cli->err, "running", windows ? "windows" : "changes",
                                      &w.progress, err));
        DL_TRY(follow(&w, err));
    }
    follower_close(&w);
    return windows ? tell_windows(&w, waited) : tell_run(&w, waited, err);
}
