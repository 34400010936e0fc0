#include "factory/runs_internal.h"

#include "base/ckd.h"
#include "base/random.h"
#include "json/json.h"

#include <stdio.h>

enum {
    PREFIX_MIN = 6,
    PREFIX_SIZE = 64,
    UUID_BYTES = 16,
    STATUS_COUNT = 5,
};

/* ---- words ---- */

static const char *const status_words[STATUS_COUNT] = {"Queued", "InProgress", "Succeeded",
                                                       "Failed", "Cancelled"};

const char *dl_run_status_text(dl_run_status status)
{
    return (unsigned)status < STATUS_COUNT ? status_words[status] : "Unknown";
}

bool dl_run_status_of(dl_str text, dl_run_status *out_status)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        if (dl_str_eq_nocase(text, dl_str_of(status_words[i]))) {
            *out_status = (dl_run_status)i;
            return true;
        }
    }
    return false;
}

/* RFC 9562 section 5.4, version 4. */
static void make_id(char out[DL_FACTORY_RUN_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[UUID_BYTES];
    dl_random_bytes(bytes, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    char *to = out;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *to++ = '-';
        }
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 0x0f];
    }
    *to = '\0';
}

/* ---- transactions ---- */

dl_status dl_runs_begin(dl_factory *factory, dl_db **out_db, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_WRITE, &db, err));
    dl_status status = dl_db_begin(db, true, err);
    if (status != DL_OK) {
        dl_factory_unlock(factory);
        return status;
    }
    *out_db = db;
    return DL_OK;
}

dl_status dl_runs_finish(dl_factory *factory, dl_db *db, dl_status status, dl_error *err)
{
    if (status == DL_OK) {
        status = dl_db_commit(db, err);
    }
    if (status != DL_OK) {
        dl_db_rollback(db);
    }
    dl_factory_unlock(factory);
    return status;
}

dl_status dl_runs_begin_relaxed(dl_factory *factory, dl_db **out_db, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_WRITE, &db, err));
    dl_status status = dl_db_exec(db, "PRAGMA synchronous=NORMAL", err);
    if (status == DL_OK) {
        status = dl_db_begin(db, true, err);
    }
    if (status == DL_OK) {
        *out_db = db;
        return DL_OK;
    }
    if (dl_db_exec(db, "PRAGMA synchronous=FULL", NULL) != DL_OK) {
        status = DL_E_IO;
    }
    dl_factory_unlock(factory);
    return status;
}

dl_status dl_runs_finish_relaxed(dl_factory *factory, dl_db *db, dl_status status, dl_error *err)
{
    if (status == DL_OK) {
        status = dl_db_commit(db, err);
    }
    if (status != DL_OK) {
        dl_db_rollback(db);
    }
    dl_status strict = dl_db_exec(db, "PRAGMA synchronous=FULL", status == DL_OK ? err : NULL);
    dl_factory_unlock(factory);
    return status == DL_OK ? strict : status;
}

/* ---- reading ---- */

dl_status dl_run_read(const dl_db_stmt *q, dl_arena *arena, dl_run *out_run, dl_run_more *out_more,
                      dl_error *err)
{
    dl_run run = {.has_window = !dl_db_is_null(q, 6),
                  .trigger_type = (dl_factory_trigger_type)dl_db_int(q, 5),
                  .window_start_us = dl_db_int(q, 6),
                  .window_end_us = dl_db_int(q, 7),
                  .scheduled_us = dl_db_int(q, 8),
                  .queued_us = dl_db_int(q, 9),
                  .started_us = dl_db_int(q, 10),
                  .ended_us = dl_db_int(q, 11),
                  .not_before_us = dl_db_int(q, 12),
                  .status = (dl_run_status)dl_db_int(q, 13),
                  .attempt = (unsigned)dl_db_int(q, 14),
                  .cancel_asked = dl_db_int(q, 17) != 0};
    if (!dl_str_copy(dl_db_str(q, 1), run.id, sizeof run.id) ||
        !dl_str_copy(dl_db_str(q, 2), run.group_id, sizeof run.group_id)) {
        return dl_error_set(err, DL_E_CORRUPT, "runs: run %lld has an id that is none",
                            (long long)dl_db_int(q, 0));
    }
    dl_str *texts[] = {&run.pipeline, &run.trigger, &run.parameters,
                       &run.cause,    &run.hint,    &run.counts};
    static const int columns[] = {3, 4, 18, 19, 20, 21};
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        DL_TRY(dl_arena_copy(arena, dl_db_str(q, columns[i]), texts[i], err));
    }
    if (out_more != NULL) {
        *out_more = (dl_run_more){.seq = dl_db_int(q, 0),
                                  .retry = (unsigned)dl_db_int(q, 15),
                                  .asked = dl_db_int(q, 16) != 0};
    }
    *out_run = run;
    return DL_OK;
}

static bool is_id_text(dl_str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
              c == '-')) {
            return false;
        }
    }
    return id.len >= PREFIX_MIN && id.len < DL_FACTORY_RUN_ID_SIZE;
}

static dl_status no_run(dl_str id, dl_error *err)
{
    (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no run %.*s",
                       (int)(id.len > PREFIX_SIZE ? PREFIX_SIZE : id.len),
                       id.ptr == NULL ? "" : id.ptr);
    dl_error_hint(err, "run list shows them; the first %d digits of an id are enough", PREFIX_MIN);
    return DL_E_NOT_FOUND;
}

dl_status dl_runs_find(dl_db *db, dl_str id, dl_arena *arena, dl_run *out_run,
                       dl_run_more *out_more, dl_error *err)
{
    if (!is_id_text(id)) {
        return no_run(id, err);
    }
    char from[DL_FACTORY_RUN_ID_SIZE + 1];
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        from[i] = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    }
    from[id.len] = 'g'; /* after every id that begins so */
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db, "SELECT " DL_RUN_COLUMNS " FROM run WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2", &q,
        err));
    dl_db_bind_str(q, 1, (dl_str){from, id.len});
    dl_db_bind_str(q, 2, (dl_str){from, id.len + 1});
    dl_run run = {0};
    dl_run_more more = {0};
    unsigned count = 0;
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        count++;
        status = dl_run_read(q, arena, &run, &more, err);
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status != DL_OK ? status : finish);
    if (count == 0) {
        return no_run(id, err);
    }
    if (count > 1) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "more than one run begins with %.*s",
                           DL_STR_ARG(id));
        dl_error_hint(err, "give more digits of the id");
        return DL_E_NOT_FOUND;
    }
    *out_run = run;
    if (out_more != NULL) {
        *out_more = more;
    }
    return DL_OK;
}

/* ---- queueing ---- */

/* The window's row follows its newest run; the group and the attempt follow the window. */
static dl_status follow_window(dl_db *db, dl_run *run, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT w.attempts, r.group_id, w.run FROM run_window w LEFT JOIN run r ON"
                       " r.seq = w.run WHERE w.trigger = ?1 AND w.start_us = ?2",
                       &q, err));
    dl_db_bind_str(q, 1, run->trigger);
    dl_db_bind_int(q, 2, run->window_start_us);
    int64_t attempts = 0, older = 0;
    if (dl_db_step(q)) {
        attempts = dl_db_int(q, 0);
        older = dl_db_int(q, 2);
        if (run->group_id[0] == '\0') {
            (void)dl_str_copy(dl_db_str(q, 1), run->group_id, sizeof run->group_id);
        }
    }
    DL_TRY(dl_db_finish(q, err));
    run->attempt = (unsigned)attempts + 1;
    if (older == 0) {
        return DL_OK;
    }
    DL_TRY(dl_db_query(db, "UPDATE run SET newest = 0 WHERE seq = ?1", &q, err));
    dl_db_bind_int(q, 1, older);
    return dl_db_run(q, err);
}

static dl_status put_window(dl_db *db, const dl_run *run, int64_t seq, bool asked, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db,
        "INSERT INTO run_window(trigger, start_us, end_us, state, asked, attempts, run, run_id)"
        " VALUES(?1, ?2, ?3, 1, ?4, 1, ?5, ?6) ON CONFLICT(trigger, start_us) DO UPDATE SET"
        " state = 1, asked = max(asked, ?4), attempts = attempts + 1, run = ?5, run_id = ?6",
        &q, err));
    dl_db_bind_str(q, 1, run->trigger);
    dl_db_bind_int(q, 2, run->window_start_us);
    dl_db_bind_int(q, 3, run->window_end_us);
    dl_db_bind_int(q, 4, asked);
    dl_db_bind_int(q, 5, seq);
    dl_db_bind_str(q, 6, dl_str_of(run->id));
    return dl_db_run(q, err);
}

static dl_status count_group(dl_db *db, dl_run *run, dl_error *err)
{
    if (run->group_id[0] == '\0') {
        run->attempt = 1;
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT max(attempt) FROM run WHERE group_id = ?1", &q, err));
    dl_db_bind_str(q, 1, dl_str_of(run->group_id));
    run->attempt = dl_db_step(q) ? (unsigned)dl_db_int(q, 0) + 1 : 1;
    return dl_db_finish(q, err);
}

static dl_str text_or_empty(dl_str text)
{
    return text.ptr == NULL ? DL_STR("") : text;
}

static dl_status insert_row(dl_db *db, const dl_run *run, const dl_run_more *more, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db,
        "INSERT INTO run(id, group_id, pipeline, trigger, type, window_start_us, window_end_us,"
        " scheduled_us, queued_us, not_before_us, status, attempt, retry, asked, newest,"
        " parameters) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13, ?14, ?15)",
        &q, err));
    dl_db_bind_str(q, 1, dl_str_of(run->id));
    dl_db_bind_str(q, 2, dl_str_of(run->group_id));
    dl_db_bind_str(q, 3, text_or_empty(run->pipeline));
    dl_db_bind_str(q, 4, text_or_empty(run->trigger));
    dl_db_bind_int(q, 5, run->trigger_type);
    if (run->has_window) {
        dl_db_bind_int(q, 6, run->window_start_us);
        dl_db_bind_int(q, 7, run->window_end_us);
    } else {
        dl_db_bind_null(q, 6);
        dl_db_bind_null(q, 7);
    }
    dl_db_bind_int(q, 8, run->scheduled_us);
    dl_db_bind_int(q, 9, run->queued_us);
    dl_db_bind_int(q, 10, run->not_before_us);
    dl_db_bind_int(q, 11, run->attempt);
    dl_db_bind_int(q, 12, more->retry);
    dl_db_bind_int(q, 13, more->asked);
    dl_db_bind_int(q, 14, run->has_window);
    dl_db_bind_str(q, 15, text_or_empty(run->parameters));
    return dl_db_run(q, err);
}

static dl_status check_texts(const dl_run *run, dl_error *err)
{
    if (run->parameters.len > DL_RUN_TEXT_LIMIT_BYTES ||
        run->counts.len > DL_RUN_TEXT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "run: its parameters or counts exceed %d bytes",
                            DL_RUN_TEXT_LIMIT_BYTES);
    }
    return DL_OK;
}

dl_status dl_runs_insert(dl_db *db, int64_t now_us, const dl_run_more *more, dl_run *run,
                         dl_error *err)
{
    dl_run made = *run;
    make_id(made.id);
    made.queued_us = now_us;
    made.status = DL_RUN_QUEUED;
    made.started_us = made.ended_us = 0;
    made.cancel_asked = false;
    if (made.scheduled_us == 0) {
        made.scheduled_us = now_us;
    }
    DL_TRY(check_texts(&made, err));
    bool window = made.has_window && made.trigger.len > 0;
    DL_TRY(window ? follow_window(db, &made, err) : count_group(db, &made, err));
    if (made.group_id[0] == '\0') {
        (void)dl_str_copy(dl_str_of(made.id), made.group_id, sizeof made.group_id);
    }
    made.has_window = window;
    DL_TRY(insert_row(db, &made, more, err));
    if (window) {
        DL_TRY(put_window(db, &made, dl_db_last_id(db), more->asked, err));
    }
    *run = made;
    return DL_OK;
}

dl_status dl_runs_queue(dl_factory *factory, dl_run *run, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(factory, &db, err));
    dl_run made = *run;
    dl_run_more more = {.asked = true};
    dl_status status = dl_runs_insert(db, dl_factory_now_us(factory), &more, &made, err);
    DL_TRY(dl_runs_finish(factory, db, status, err));
    *run = made;
    return DL_OK;
}

/* ---- claiming ---- */

dl_status dl_runs_working(dl_db *db, dl_str trigger, dl_str pipeline, int64_t *out_count,
                          dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT count(*) FROM run INDEXED BY run_works WHERE status = 1 AND"
                       " trigger = ?1 AND (?1 <> '' OR pipeline = ?2)",
                       &q, err));
    dl_db_bind_str(q, 1, text_or_empty(trigger));
    dl_db_bind_str(q, 2, text_or_empty(pipeline));
    int64_t count = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_count = count;
    return DL_OK;
}

static dl_status find_due(dl_db *db, const dl_run_taking *how, dl_arena *arena, dl_run_claim *claim,
                          dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db, "SELECT " DL_RUN_COLUMNS " FROM run INDEXED BY run_waits WHERE status = 0 ORDER BY seq",
        &q, err));
    dl_status status = DL_OK;
    while (status == DL_OK && !claim->found && dl_db_step(q)) {
        int64_t not_before_us = dl_db_int(q, 12);
        if (not_before_us > how->now_us &&
            how->now_us >= dl_db_int(q, 9)) { /* the clock may go back */
            claim->next_us = not_before_us < claim->next_us ? not_before_us : claim->next_us;
            continue;
        }
        /* what the question needs, borrowed: thousands may wait that have no room */
        dl_run asked = {.trigger = dl_db_str(q, 4),
                        .pipeline = dl_db_str(q, 3),
                        .has_window = !dl_db_is_null(q, 6),
                        .trigger_type = (dl_factory_trigger_type)dl_db_int(q, 5),
                        .window_start_us = dl_db_int(q, 6),
                        .window_end_us = dl_db_int(q, 7)};
        dl_run_more more = {.seq = dl_db_int(q, 0), .asked = dl_db_int(q, 16) != 0};
        if (how->room == NULL || how->room(how->context, &asked, &more)) {
            status = dl_run_read(q, arena, &claim->run, &claim->more, err);
            claim->found = true;
        }
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

dl_status dl_runs_take(dl_db *db, const dl_run_taking *how, dl_arena *arena,
                       dl_run_claim *out_claim, dl_error *err)
{
    dl_run_claim claim = {.next_us = INT64_MAX};
    DL_TRY(find_due(db, how, arena, &claim, err));
    if (claim.found) {
        dl_db_stmt *q = NULL;
        DL_TRY(
            dl_db_query(db, "UPDATE run SET status = 1, started_us = ?2 WHERE seq = ?1", &q, err));
        dl_db_bind_int(q, 1, claim.more.seq);
        dl_db_bind_int(q, 2, how->now_us);
        DL_TRY(dl_db_run(q, err));
        claim.run.status = DL_RUN_IN_PROGRESS;
        claim.run.started_us = how->now_us;
    }
    *out_claim = claim;
    return DL_OK;
}

typedef struct plain_room {
    bool (*room)(void *context, const dl_run *run);
    void *context;
} plain_room;

static bool ask_plain(void *context, const dl_run *run, const dl_run_more *more)
{
    const plain_room *plain = context;
    (void)more;
    return plain->room == NULL || plain->room(plain->context, run);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_runs_claim(dl_factory *factory, dl_arena *arena,
                        bool (*room)(void *context, const dl_run *run), void *context,
                        dl_run *out_run, bool *out_found, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(factory, &db, err));
    plain_room plain = {room, context};
    dl_run_claim claim = {0};
    dl_run_taking how = {dl_factory_now_us(factory), ask_plain, &plain};
    dl_status status = dl_runs_take(db, &how, arena, &claim, err);
    DL_TRY(dl_runs_finish(factory, db, status, err));
    *out_found = claim.found;
    if (claim.found) {
        *out_run = claim.run;
    }
    return DL_OK;
}

/* ---- progress and end ---- */

static dl_status ended_already(const char *id, dl_error *err)
{
    return dl_error_set(err, DL_E_CONFLICT, "run %s is not in progress", id);
}

static dl_status write_progress(dl_db *db, const dl_run *run, dl_error *err)
{
    DL_TRY(check_texts(run, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db, "UPDATE run SET parameters = ?2, counts = ?3 WHERE id = ?1 AND status = 1", &q, err));
    dl_db_bind_str(q, 1, dl_str_of(run->id));
    dl_db_bind_str(q, 2, text_or_empty(run->parameters));
    dl_db_bind_str(q, 3, text_or_empty(run->counts));
    DL_TRY(dl_db_run(q, err));
    return dl_db_changes(db) == 1 ? DL_OK : ended_already(run->id, err);
}

dl_status dl_runs_progress(dl_factory *factory, const dl_run *run, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin_relaxed(factory, &db, err));
    return dl_runs_finish_relaxed(factory, db, write_progress(db, run, err), err);
}

static int64_t number_in(dl_str counts, const char *name)
{
    dl_str value;
    int64_t number = 0;
    return dl_json_get(counts, dl_str_of(name), &value) && dl_json_int_of(value, &number) &&
                   number > 0
               ? number
               : 0;
}

static dl_status add_total(dl_db *db, const dl_run *run, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db,
        "INSERT INTO run_total VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        " ON CONFLICT(pipeline) DO UPDATE SET succeeded = succeeded + ?2, failed = failed + ?3,"
        " cancelled = cancelled + ?4, worked_us = worked_us + ?5, changes = changes + ?6,"
        " rows_in = rows_in + ?7, rows_out = rows_out + ?8, bytes = bytes + ?9,"
        " last_success_us = max(last_success_us, ?10)",
        &q, err));
    int64_t worked_us = 0;
    if (run->started_us == 0 || ckd_sub(&worked_us, run->ended_us, run->started_us) ||
        worked_us < 0) {
        worked_us = 0; /* never started, or the clock went back */
    }
    dl_db_bind_str(q, 1, text_or_empty(run->pipeline));
    dl_db_bind_int(q, 2, run->status == DL_RUN_SUCCEEDED);
    dl_db_bind_int(q, 3, run->status == DL_RUN_FAILED);
    dl_db_bind_int(q, 4, run->status == DL_RUN_CANCELLED);
    dl_db_bind_int(q, 5, worked_us);
    dl_db_bind_int(q, 6, number_in(run->counts, "changes"));
    dl_db_bind_int(q, 7, number_in(run->counts, "rowsIn"));
    dl_db_bind_int(q, 8, number_in(run->counts, "rowsOut"));
    dl_db_bind_int(q, 9, number_in(run->counts, "bytes"));
    dl_db_bind_int(q, 10, run->status == DL_RUN_SUCCEEDED ? run->ended_us : 0);
    return dl_db_run(q, err);
}

static dl_status end_window(dl_db *db, const dl_run *run, dl_error *err)
{
    if (!run->has_window) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "UPDATE run_window SET state = ?4 WHERE trigger = ?1 AND start_us = ?2 AND"
                       " run_id = ?3",
                       &q, err));
    dl_db_bind_str(q, 1, text_or_empty(run->trigger));
    dl_db_bind_int(q, 2, run->window_start_us);
    dl_db_bind_str(q, 3, dl_str_of(run->id));
    dl_db_bind_int(q, 4, run->status);
    return dl_db_run(q, err);
}

/* From `from` to the end that the run says. */
static dl_status end_row(dl_db *db, const dl_run *run, dl_run_status from, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "UPDATE run SET status = ?3, ended_us = ?4, parameters = ?5, cause = ?6,"
                       " hint = ?7, counts = ?8 WHERE id = ?1 AND status = ?2",
                       &q, err));
    dl_db_bind_str(q, 1, dl_str_of(run->id));
    dl_db_bind_int(q, 2, from);
    dl_db_bind_int(q, 3, run->status);
    dl_db_bind_int(q, 4, run->ended_us);
    dl_db_bind_str(q, 5, text_or_empty(run->parameters));
    dl_db_bind_str(q, 6, text_or_empty(run->cause));
    dl_db_bind_str(q, 7, text_or_empty(run->hint));
    dl_db_bind_str(q, 8, text_or_empty(run->counts));
    DL_TRY(dl_db_run(q, err));
    if (dl_db_changes(db) != 1) {
        return ended_already(run->id, err);
    }
    DL_TRY(end_window(db, run, err));
    return add_total(db, run, err);
}

dl_status dl_runs_close(dl_db *db, int64_t now_us, dl_run *run, dl_error *err)
{
    dl_run ended = *run;
    if (ended.status == DL_RUN_QUEUED || ended.status == DL_RUN_IN_PROGRESS) {
        return dl_error_set(err, DL_E_INVALID, "run %s: it cannot end as %s", run->id,
                            dl_run_status_text(run->status));
    }
    DL_TRY(check_texts(&ended, err));
    ended.ended_us = ended.ended_us == 0 ? now_us : ended.ended_us;
    DL_TRY(end_row(db, &ended, DL_RUN_IN_PROGRESS, err));
    *run = ended;
    return DL_OK;
}

dl_status dl_runs_end(dl_factory *factory, const dl_run *run, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(factory, &db, err));
    dl_run ended = *run;
    dl_status status = dl_runs_close(db, dl_factory_now_us(factory), &ended, err);
    return dl_runs_finish(factory, db, status, err);
}

/* ---- cancel and rerun ---- */

dl_status dl_runs_drop(dl_db *db, int64_t now_us, dl_run *run, const char *cause, dl_error *err)
{
    run->status = DL_RUN_CANCELLED;
    run->cause = dl_str_of(cause);
    run->ended_us = now_us;
    return end_row(db, run, DL_RUN_QUEUED, err);
}

static dl_status cancel_in(dl_db *db, int64_t now_us, dl_str id, dl_arena *arena, dl_error *err)
{
    dl_run run = {0};
    dl_run_more more = {0};
    DL_TRY(dl_runs_find(db, id, arena, &run, &more, err));
    if (run.status == DL_RUN_QUEUED) {
        return dl_runs_drop(db, now_us, &run, "cancelled before it started", err);
    }
    if (run.status != DL_RUN_IN_PROGRESS) {
        return dl_error_set(err, DL_E_CONFLICT, "run %s has ended: %s", run.id,
                            dl_run_status_text(run.status));
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "UPDATE run SET cancel_asked = 1 WHERE seq = ?1", &q, err));
    dl_db_bind_int(q, 1, more.seq);
    return dl_db_run(q, err);
}

enum { ONE_RUN_ARENA_BYTES = 1024 * 1024 };

static dl_status no_memory(dl_error *err)
{
    return dl_error_set(err, DL_E_NOMEM, "runs: out of memory");
}

dl_status dl_runs_cancel(dl_factory *factory, dl_str id, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ONE_RUN_ARENA_BYTES);
    if (arena == NULL) {
        return no_memory(err);
    }
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(factory, &db, err));
    dl_status status = cancel_in(db, dl_factory_now_us(factory), id, arena, err);
    return dl_runs_finish(factory, db, status, err);
}

/* Two attempts of one window never stand in the queue at once. */
static dl_status check_window_free(dl_db *db, const dl_run *run, dl_error *err)
{
    if (!run->has_window) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT run_id FROM run_window WHERE trigger = ?1 AND start_us = ?2 AND"
                       " state = 1",
                       &q, err));
    dl_db_bind_str(q, 1, run->trigger);
    dl_db_bind_int(q, 2, run->window_start_us);
    char id[DL_FACTORY_RUN_ID_SIZE] = "";
    if (dl_db_step(q)) {
        (void)dl_str_copy(dl_db_str(q, 0), id, sizeof id);
    }
    DL_TRY(dl_db_finish(q, err));
    return id[0] == '\0'
               ? DL_OK
               : dl_error_set(err, DL_E_CONFLICT,
                              "the window of run %s is already under way in run %s", run->id, id);
}

static dl_status rerun_in(dl_db *db, int64_t now_us, dl_str id, dl_arena *arena, dl_run *out_run,
                          dl_error *err)
{
    dl_run run = {0};
    DL_TRY(dl_runs_find(db, id, arena, &run, NULL, err));
    if (run.status == DL_RUN_QUEUED || run.status == DL_RUN_IN_PROGRESS) {
        (void)dl_error_set(err, DL_E_CONFLICT, "run %s has not ended: %s", run.id,
                           dl_run_status_text(run.status));
        dl_error_hint(err, "cancel it first, or wait for its end");
        return DL_E_CONFLICT;
    }
    DL_TRY(check_window_free(db, &run, err));
    dl_run_more more = {.asked = true};
    run.not_before_us = 0;
    DL_TRY(dl_runs_insert(db, now_us, &more, &run, err));
    *out_run = run;
    return DL_OK;
}

dl_status dl_runs_rerun(dl_factory *factory, dl_str id, char out_id[DL_FACTORY_RUN_ID_SIZE],
                        dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ONE_RUN_ARENA_BYTES);
    if (arena == NULL) {
        return no_memory(err);
    }
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(factory, &db, err));
    dl_run run = {0};
    dl_status status = rerun_in(db, dl_factory_now_us(factory), id, arena, &run, err);
    DL_TRY(dl_runs_finish(factory, db, status, err));
    (void)dl_str_copy(dl_str_of(run.id), out_id, DL_FACTORY_RUN_ID_SIZE);
    return DL_OK;
}

/* ---- log ---- */

/* Cut where a character begins. */
static dl_str cut_line(dl_str text)
{
    if (text.len <= DL_RUN_LINE_LIMIT_BYTES) {
        return text;
    }
    size_t len = DL_RUN_LINE_LIMIT_BYTES;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    return (dl_str){text.ptr, len};
}

static dl_status find_log(dl_db *db, dl_str id, int64_t *out_seq, int64_t *out_last, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT seq, (SELECT max(line) FROM run_line WHERE run = seq) FROM run"
                       " WHERE id = ?1",
                       &q, err));
    dl_db_bind_str(q, 1, id);
    bool found = dl_db_step(q);
    int64_t seq = found ? dl_db_int(q, 0) : 0, last = found ? dl_db_int(q, 1) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (!found) {
        return no_run(id, err);
    }
    *out_seq = seq;
    *out_last = last;
    return DL_OK;
}

static dl_status add_line(dl_db *db, int64_t now_us, dl_str id, dl_run_line line, dl_error *err)
{
    int64_t seq = 0, last = 0;
    DL_TRY(find_log(db, id, &seq, &last, err));
    if (last >= DL_RUN_LINE_LIMIT) {
        return DL_OK;
    }
    if (last == DL_RUN_LINE_LIMIT - 1) {
        line.text = DL_STR("there were more lines, which are left out");
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "INSERT INTO run_line VALUES(?1, ?2, ?3, ?4, ?5)", &q, err));
    dl_db_bind_int(q, 1, seq);
    dl_db_bind_int(q, 2, last + 1);
    dl_db_bind_int(q, 3, now_us);
    dl_db_bind_str(q, 4, line.level);
    dl_db_bind_str(q, 5, text_or_empty(cut_line(line.text)));
    return dl_db_run(q, err);
}

dl_status dl_runs_log(dl_factory *factory, dl_str id, const char *level, dl_str text, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin_relaxed(factory, &db, err));
    dl_run_line line = {.level = dl_str_of(level), .text = text};
    return dl_runs_finish_relaxed(factory, db,
                                  add_line(db, dl_factory_now_us(factory), id, line, err), err);
}
