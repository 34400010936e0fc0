/**
 * A new index in a folder of its own, a clock that the test sets, and short forms of the calls.
 */
#ifndef DL_TESTS_INDEX_FIXTURE_H
#define DL_TESTS_INDEX_FIXTURE_H

#include "tap.h"

#include "index/index.h"
#include "index/internal.h"

#include "sample.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct fixture {
    char folder[64], path[128];
    int64_t now_us; /* every look at the clock moves it by one */
    dl_index *index;
    dl_arena *arena;
    dl_buf text;
    sample s;
    dl_error err;
} fixture;

static inline int64_t fixture_now(void *context)
{
    fixture *f = context;
    return __atomic_add_fetch(&f->now_us, 1, __ATOMIC_RELAXED);
}

static inline void fixture_open(fixture *f)
{
    dl_index_options options = {.clock = {fixture_now, f}};
    TAP_OK(dl_index_open(f->path, &options, &f->index, &f->err), f->err);
}

static inline void fixture_begin(fixture *f)
{
    *f = (fixture){.now_us = 1000000};
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/dl-test-index-XXXXXX");
    TAP_TRUE(mkdtemp(f->folder) != NULL);
    (void)snprintf(f->path, sizeof f->path, "%s/index.db", f->folder);
    f->arena = dl_arena_create((size_t)1 << 30);
    dl_buf_init(&f->text, 64 << 20);
    dl_buf_init(&f->s.json, 64 << 20);
    fixture_open(f);
}

static inline DL_UNUSED void fixture_reopen(fixture *f)
{
    dl_index_close(f->index);
    f->index = NULL;
    fixture_open(f);
}

static inline void fixture_end(fixture *f)
{
    static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
    char name[160];
    dl_index_close(f->index);
    dl_arena_destroy(f->arena);
    dl_buf_clear(&f->text);
    dl_buf_clear(&f->s.json);
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        (void)snprintf(name, sizeof name, "%s/%s", f->folder, names[i]);
        (void)unlink(name);
    }
    TAP_EQ_INT(rmdir(f->folder), 0);
}

static inline int64_t fixture_watermark(fixture *f)
{
    int64_t watermark = 0;
    TAP_OK(dl_index_next_watermark(f->index, &watermark, &f->err), f->err);
    return watermark;
}

/** One put in a transaction of its own. */
static inline DL_UNUSED dl_index_outcome fixture_store(fixture *f, dl_index_put put)
{
    dl_index_tx *tx = NULL;
    dl_index_outcome outcome = DL_INDEX_EXISTS;
    TAP_OK(dl_index_begin(f->index, &tx, &f->err), f->err);
    TAP_OK(dl_index_put_instance(tx, &put, &outcome, &f->err), f->err);
    TAP_OK(dl_index_commit(tx, &f->err), f->err);
    return outcome;
}

/** A put with the given JSON members (without the braces). */
static inline DL_UNUSED dl_index_put fixture_put(fixture *f, const char *study, const char *series,
                                                 const char *sop, const char *members)
{
    dl_str json = DL_STR_NONE;
    TAP_OK(dl_arena_printf(f->arena, &json, &f->err, "{%s}", members), f->err);
    return (dl_index_put){
        .partition = DL_INDEX_DEFAULT_PARTITION,
        .study_uid = dl_str_of(study),
        .series_uid = dl_str_of(series),
        .sop_uid = dl_str_of(sop),
        .watermark = fixture_watermark(f),
        .metadata = json,
        .transfer_syntax = DL_STR("1.2.840.10008.1.2.1"),
        .size_bytes = 100,
        .tag = 5,
    };
}

static inline DL_UNUSED dl_status fixture_delete(fixture *f, const char *study, const char *series,
                                                 const char *sop, int64_t not_before_us,
                                                 int64_t *out_count)
{
    dl_index_tx *tx = NULL;
    dl_index_scope scope = {1, dl_str_of(study), dl_str_of(series), dl_str_of(sop), 0};
    TAP_OK(dl_index_begin(f->index, &tx, &f->err), f->err);
    dl_status status = dl_index_delete(tx, &scope, not_before_us, out_count, &f->err);
    TAP_OK(dl_index_commit(tx, &f->err), f->err);
    return status;
}

static inline dl_status fixture_problem(void *context, dl_str problem, dl_error *err)
{
    (void)err;
    printf("# check: %.*s\n", DL_STR_ARG(problem));
    ++*(int *)context;
    return DL_OK;
}

/** The index agrees with itself. */
static inline DL_UNUSED int fixture_check(fixture *f)
{
    int problems = 0;
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(dl_index_check(s, fixture_problem, &problems, &f->err), f->err);
    dl_index_snapshot_end(s);
    return problems;
}

#endif
