#include "factory/scheduler_internal.h"

#include "json/json.h"

/* What people ask for, each in one transaction that any process may make. */

typedef struct ask {
    dl_factory *factory;
    dl_book book;
    dl_db *db;
    int64_t now_us;
} ask;

static dl_status begin(ask *a, dl_factory *factory, dl_error *err)
{
    *a = (ask){.factory = factory, .now_us = dl_factory_now_us(factory)};
    DL_TRY(dl_runs_begin(factory, &a->db, err));
    dl_status status = dl_book_read(a->db, &a->book, err);
    return status == DL_OK ? DL_OK : dl_runs_finish(factory, a->db, status, err);
}

static dl_status finish(ask *a, dl_status status, dl_error *err)
{
    status = dl_runs_finish(a->factory, a->db, status, err);
    dl_book_clear(&a->book);
    return status;
}

static dl_status give_id(const dl_run *run, dl_status status, char out_id[DL_FACTORY_RUN_ID_SIZE])
{
    if (status == DL_OK) {
        (void)dl_str_copy(dl_str_of(run->id), out_id, DL_FACTORY_RUN_ID_SIZE);
    }
    return status;
}

/* ---- start and stop ---- */

static dl_status set_started(ask *a, dl_str name, bool started, dl_error *err)
{
    dl_scheduled *s = NULL;
    DL_TRY(dl_book_get(&a->book, name, &s, err));
    if (s->started == started) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(a->db, "UPDATE published SET started = ?2 WHERE kind = 2 AND name = ?1", &q,
                       err));
    dl_db_bind_str(q, 1, s->trigger.name);
    dl_db_bind_int(q, 2, started);
    DL_TRY(dl_db_run(q, err));
    DL_TRY(dl_db_query(a->db, "UPDATE revision SET value = value + 1", &q, err));
    DL_TRY(dl_db_run(q, err));
    /* no step may have seen the stop that this start ends */
    DL_TRY(dl_db_query(a->db, "UPDATE trigger_place SET started = 0 WHERE trigger = ?1", &q, err));
    dl_db_bind_str(q, 1, s->trigger.name);
    return dl_db_run(q, err);
}

dl_status dl_trigger_start(dl_factory *factory, dl_str name, dl_error *err)
{
    ask a;
    DL_TRY(begin(&a, factory, err));
    return finish(&a, set_started(&a, name, true, err), err);
}

dl_status dl_trigger_stop(dl_factory *factory, dl_str name, dl_error *err)
{
    ask a;
    DL_TRY(begin(&a, factory, err));
    return finish(&a, set_started(&a, name, false, err), err);
}

/* ---- one window ---- */

static dl_status under_way(const dl_factory_trigger *trigger, dl_error *err)
{
    (void)dl_error_set(err, DL_E_CONFLICT,
                       "trigger %.*s: that window has a run queued or in progress",
                       DL_STR_ARG(trigger->name));
    dl_error_hint(err, "wait for its end, or cancel it first; run list --trigger shows it");
    return DL_E_CONFLICT;
}

static dl_status run_last_window(ask *a, const dl_factory_trigger *trigger, dl_run *out_run,
                                 dl_error *err)
{
    dl_plan_range window = dl_plan_last(trigger, a->now_us);
    dl_window_at found;
    DL_TRY(dl_window_find(a->db, trigger->name, window.start_us, &found, err));
    if (found.state == DL_WINDOW_RUNS) {
        return under_way(trigger, err);
    }
    if (found.state >= 0) {
        window = found.cover; /* of an older grid perhaps */
    } else {
        window.end_us = found.next_us < window.end_us ? found.next_us : window.end_us;
    }
    return dl_window_queue(a->db, trigger, (dl_window_wish){window, true}, a->now_us, out_run, err);
}

static dl_status run_now(ask *a, dl_str name, dl_run *out_run, dl_error *err)
{
    dl_scheduled *s = NULL;
    DL_TRY(dl_book_get(&a->book, name, &s, err));
    if (s->trigger.type == DL_FACTORY_TUMBLING) {
        return run_last_window(a, &s->trigger, out_run, err);
    }
    dl_run run = {.pipeline = s->trigger.pipeline,
                  .trigger = s->trigger.name,
                  .trigger_type = s->trigger.type};
    dl_run_more more = {.asked = true};
    DL_TRY(dl_runs_insert(a->db, a->now_us, &more, &run, err));
    *out_run = run;
    return DL_OK;
}

dl_status dl_trigger_run_now(dl_factory *factory, dl_str name, char out_id[DL_FACTORY_RUN_ID_SIZE],
                             dl_error *err)
{
    ask a;
    dl_run run = {0};
    DL_TRY(begin(&a, factory, err));
    return give_id(&run, finish(&a, run_now(&a, name, &run, err), err), out_id);
}

static dl_status get_tumbling(ask *a, dl_str name, dl_scheduled **out, dl_error *err)
{
    dl_scheduled *s = NULL;
    DL_TRY(dl_book_get(&a->book, name, &s, err));
    if (s->trigger.type != DL_FACTORY_TUMBLING) {
        (void)dl_error_set(err, DL_E_INVALID, "trigger %.*s has no windows",
                           DL_STR_ARG(s->trigger.name));
        dl_error_hint(err, "only tumbling window triggers have; trigger run-now runs this one");
        return DL_E_INVALID;
    }
    *out = s;
    return DL_OK;
}

static dl_status rerun_window(ask *a, dl_str name, int64_t start_us, dl_run *out_run, dl_error *err)
{
    dl_scheduled *s = NULL;
    dl_window_at found;
    DL_TRY(get_tumbling(a, name, &s, err));
    DL_TRY(dl_window_find(a->db, s->trigger.name, start_us, &found, err));
    if (found.state < 0 || found.cover.start_us != start_us) {
        char text[DL_CLOCK_TEXT_SIZE];
        dl_clock_format_utc(start_us, text);
        (void)dl_error_set(err, DL_E_NOT_FOUND, "trigger %.*s has no window that starts at %s",
                           DL_STR_ARG(s->trigger.name), text);
        dl_error_hint(err, "trigger show lists its windows; trigger backfill makes past ones");
        return DL_E_NOT_FOUND;
    }
    if (found.state == DL_WINDOW_RUNS) {
        return under_way(&s->trigger, err);
    }
    if (found.state == DL_WINDOW_WAITS) {
        (void)dl_error_set(err, DL_E_CONFLICT, "trigger %.*s: that window still waits for its run",
                           DL_STR_ARG(s->trigger.name));
        dl_error_hint(err, "trigger show says what it waits for");
        return DL_E_CONFLICT;
    }
    return dl_window_queue(a->db, &s->trigger, (dl_window_wish){found.cover, true}, a->now_us,
                           out_run, err);
}

dl_status dl_trigger_rerun(dl_factory *factory, dl_str name, int64_t start_us,
                           char out_id[DL_FACTORY_RUN_ID_SIZE], dl_error *err)
{
    ask a;
    dl_run run = {0};
    DL_TRY(begin(&a, factory, err));
    return give_id(&run, finish(&a, rerun_window(&a, name, start_us, &run, err), err), out_id);
}

/* ---- backfill ---- */

static dl_status ask_again(ask *a, dl_str trigger, const dl_window_at *found, size_t *count,
                           dl_error *err)
{
    if (found->state == DL_WINDOW_RUNS || found->state == DL_WINDOW_SUCCEEDED) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(a->db,
                       "UPDATE run_window SET state = 0, asked = 1 WHERE trigger = ?1 AND"
                       " start_us = ?2",
                       &q, err));
    dl_db_bind_str(q, 1, trigger);
    dl_db_bind_int(q, 2, found->cover.start_us);
    ++*count;
    return dl_db_run(q, err);
}

static dl_status too_many(size_t count, dl_error *err)
{
    if (count < DL_BACKFILL_LIMIT) {
        return DL_OK;
    }
    (void)dl_error_set(err, DL_E_LIMIT, "the range has more than %d windows", DL_BACKFILL_LIMIT);
    dl_error_hint(err, "give a shorter range; several may follow each other");
    return DL_E_LIMIT;
}

/* Windows that have not ended are the trigger's own affair. */
static dl_status fill_range(ask *a, const dl_factory_trigger *trigger, dl_plan_range range,
                            size_t *out_count, dl_error *err)
{
    size_t count = 0;
    int64_t at_us = dl_plan_floor(trigger, range.start_us);
    for (size_t looked = 0; at_us < range.end_us; looked++) {
        dl_window_at found;
        dl_plan_range window;
        DL_TRY(too_many(looked, err));
        DL_TRY(dl_window_find(a->db, trigger->name, at_us, &found, err));
        if (found.state >= 0) {
            if (found.cover.end_us > range.start_us) {
                DL_TRY(ask_again(a, trigger->name, &found, &count, err));
            }
            at_us = found.cover.end_us;
            continue;
        }
        if (!dl_plan_window(trigger, at_us, found.next_us, &window) || window.end_us > a->now_us) {
            break;
        }
        if (window.end_us > range.start_us) {
            DL_TRY(dl_window_add(a->db, trigger->name, window, true, err));
            count++;
        }
        at_us = window.end_us;
    }
    *out_count = count;
    return DL_OK;
}

static dl_status backfill(ask *a, dl_str name, dl_plan_range range, size_t *out_count,
                          dl_error *err)
{
    dl_scheduled *s = NULL;
    DL_TRY(get_tumbling(a, name, &s, err));
    if (range.start_us >= range.end_us) {
        return dl_error_set(err, DL_E_INVALID, "the range ends before it begins");
    }
    if (range.start_us >= a->now_us) {
        (void)dl_error_set(err, DL_E_INVALID, "the range has not begun yet");
        dl_error_hint(err, "a backfill is of the past; the trigger makes what comes");
        return DL_E_INVALID;
    }
    DL_TRY(fill_range(a, &s->trigger, range, out_count, err));
    return dl_window_activate(a->db, &a->book, s, a->now_us, err);
}

dl_status dl_trigger_backfill(dl_factory *factory, dl_str name, int64_t from_us, int64_t to_us,
                              size_t *out_count, dl_error *err)
{
    ask a;
    size_t count = 0;
    DL_TRY(begin(&a, factory, err));
    DL_TRY(finish(&a, backfill(&a, name, (dl_plan_range){from_us, to_us}, &count, err), err));
    *out_count = count;
    return DL_OK;
}

/* ---- pipelines ---- */

static dl_status write_parameters(const dl_factory_parameter *parameters, size_t count, dl_buf *buf,
                                  dl_error *err)
{
    if (count == 0) {
        return DL_OK;
    }
    dl_json_writer w;
    dl_json_writer_init(&w, buf, err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < count; i++) {
        dl_json_key(&w, parameters[i].name);
        dl_json_string(&w, parameters[i].value);
    }
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

static dl_status queue_pipeline(dl_db *db, dl_str pipeline, int64_t now_us, dl_run *run,
                                dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT name FROM published WHERE kind = 1 AND name = ?1", &q, err));
    dl_db_bind_str(q, 1, pipeline);
    char name[DL_FACTORY_NAME_LIMIT + 1] = "";
    bool found = dl_db_step(q) && dl_str_copy(dl_db_str(q, 0), name, sizeof name);
    DL_TRY(dl_db_finish(q, err));
    if (!found) {
        (void)dl_error_set(
            err, DL_E_NOT_FOUND, "there is no published pipeline %.*s",
            (int)(pipeline.len > DL_FACTORY_NAME_LIMIT ? DL_FACTORY_NAME_LIMIT : pipeline.len),
            pipeline.ptr == NULL ? "" : pipeline.ptr);
        dl_error_hint(err, "publish it first; pipeline list shows which there are");
        return DL_E_NOT_FOUND;
    }
    dl_run_more more = {.asked = true};
    run->pipeline = dl_str_of(name);
    return dl_runs_insert(db, now_us, &more, run, err);
}

dl_status dl_pipeline_run_now(dl_factory *factory, dl_str pipeline,
                              const dl_factory_parameter *parameters, size_t count,
                              char out_id[DL_FACTORY_RUN_ID_SIZE], dl_error *err)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, DL_RUN_TEXT_LIMIT_BYTES);
    DL_TRY(write_parameters(parameters, count, &buf, err));
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(factory, &db, err));
    dl_run run = {.trigger_type = DL_FACTORY_MANUAL, .parameters = dl_buf_str(&buf)};
    dl_status status = queue_pipeline(db, pipeline, dl_factory_now_us(factory), &run, err);
    return give_id(&run, dl_runs_finish(factory, db, status, err), out_id);
}
