#include "factory/scheduler_internal.h"

#include "base/log.h"
#include "base/mem.h"

enum { BOOK_ARENA_BYTES = 256 * 1024 * 1024 };

void dl_book_clear(dl_book *book)
{
    dl_arena_destroy(book->arena);
    *book = (dl_book){0};
}

static dl_status read_revision(dl_db *db, int64_t *out_revision, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT value FROM revision", &q, err));
    int64_t revision = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_revision = revision;
    return DL_OK;
}

static void log_unread(dl_str name, const dl_error *err)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "factory", "trigger");
    dl_log_str(&line, "trigger", name);
    dl_log_error(&line, err);
    dl_log_end(&line);
}

static dl_status read_trigger(const dl_db_stmt *q, dl_book *book, dl_error *err)
{
    dl_str name, json;
    DL_TRY(dl_arena_copy(book->arena, dl_db_str(q, 0), &name, err));
    DL_TRY(dl_arena_copy(book->arena, dl_db_str(q, 1), &json, err));
    dl_scheduled *s = &book->triggers[book->count];
    dl_error cause = {0};
    if (dl_factory_read_trigger(json, book->arena, &s->trigger, NULL, &cause) != DL_OK) {
        log_unread(name, &cause); /* its windows wait, the other triggers go on */
        return DL_OK;
    }
    s->trigger.name = name;
    s->started = dl_db_int(q, 2) != 0;
    s->newest = -1;
    book->count++;
    return DL_OK;
}

static dl_status read_triggers(dl_db *db, dl_book *book, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT name, json, started FROM published WHERE kind = 2 ORDER BY name",
                       &q, err));
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = book->count < DL_SCHEDULER_TRIGGER_LIMIT
                     ? read_trigger(q, book, err)
                     : dl_error_set(err, DL_E_LIMIT, "scheduler: more than %d triggers",
                                    DL_SCHEDULER_TRIGGER_LIMIT);
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

static dl_status count_triggers(dl_db *db, size_t *out_count, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT count(*) FROM published WHERE kind = 2", &q, err));
    size_t count = dl_db_step(q) ? (size_t)dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_count = count;
    return DL_OK;
}

dl_status dl_book_read(dl_db *db, dl_book *book, dl_error *err)
{
    int64_t revision = 0;
    DL_TRY(read_revision(db, &revision, err));
    if (book->arena != NULL && revision == book->revision) {
        return DL_OK;
    }
    DL_CLEANUP(dl_book_clear) dl_book fresh = {.revision = revision};
    fresh.arena = dl_arena_create(BOOK_ARENA_BYTES);
    size_t count = 0;
    DL_TRY(count_triggers(db, &count, err));
    if (fresh.arena != NULL) {
        fresh.triggers = dl_arena_alloc(fresh.arena, count + 1, sizeof *fresh.triggers);
    }
    if (fresh.triggers == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
    }
    DL_TRY(read_triggers(db, &fresh, err));
    for (size_t i = 0; i < fresh.count; i++) { /* what the feed said last is still true */
        const dl_scheduled *old = dl_book_find(book, fresh.triggers[i].trigger.name);
        if (old != NULL &&
            dl_str_eq_nocase(old->trigger.pipeline, fresh.triggers[i].trigger.pipeline)) {
            fresh.triggers[i].newest = old->newest;
        }
    }
    dl_book old = *book;
    *book = fresh;
    fresh = old;
    return DL_OK;
}

dl_scheduled *dl_book_find(const dl_book *book, dl_str name)
{
    for (size_t i = 0; i < book->count; i++) {
        if (dl_str_eq_nocase(book->triggers[i].trigger.name, name)) {
            return &book->triggers[i];
        }
    }
    return NULL;
}

dl_status dl_book_get(const dl_book *book, dl_str name, dl_scheduled **out, dl_error *err)
{
    dl_scheduled *s = dl_book_find(book, name);
    if (s == NULL) {
        (void)dl_error_set(
            err, DL_E_NOT_FOUND, "there is no published trigger %.*s",
            (int)(name.len > DL_FACTORY_NAME_LIMIT ? DL_FACTORY_NAME_LIMIT : name.len),
            name.ptr == NULL ? "" : name.ptr);
        dl_error_hint(err, "publish it first; trigger list shows which there are");
        return DL_E_NOT_FOUND;
    }
    *out = s;
    return DL_OK;
}
