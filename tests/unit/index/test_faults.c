/**
 * What goes wrong: no memory, no disk, a killed process; and many threads at once.
 */
#include "fixture.h"

#include "base/mem.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* ---- SQLite's allocations, which the test can refuse ---- */

static sqlite3_mem_methods real_memory;
static atomic_long sqlite_left = -1; /* allocations until they fail; -1 never */
static atomic_long sqlite_asked;

static bool sqlite_may(void)
{
    (void)atomic_fetch_add(&sqlite_asked, 1);
    long left = atomic_load(&sqlite_left);
    return left < 0 || atomic_fetch_sub(&sqlite_left, 1) > 0 ||
           (atomic_store(&sqlite_left, 0), false);
}

static void *failing_malloc(int size)
{
    return sqlite_may() ? real_memory.xMalloc(size) : NULL;
}

static void *failing_realloc(void *p, int size)
{
    return sqlite_may() ? real_memory.xRealloc(p, size) : NULL;
}

static void take_over_memory(void)
{
    TAP_EQ_INT(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
    static sqlite3_mem_methods methods;
    methods = real_memory;
    methods.xMalloc = failing_malloc;
    methods.xRealloc = failing_realloc;
    TAP_EQ_INT(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    TAP_EQ_INT(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK); /* so that each is seen */
}

/* ---- one pass through the whole module ---- */

static dl_status visit_nothing(void *context, const dl_index_change *change, dl_error *err)
{
    (void)change;
    (void)err;
    ++*(int *)context;
    return DL_OK;
}

static dl_status write_some(fixture *f, dl_index *index, dl_index_tx *tx, unsigned round,
                            dl_error *err)
{
    for (unsigned i = 0; i < 3; i++) {
        int64_t watermark = 0;
        dl_index_outcome outcome;
        DL_TRY(dl_index_next_watermark(index, &watermark, err));
        sample_make(&f->s, 0, i % 2, i);
        dl_index_put put = sample_put(&f->s, watermark);
        put.replace = true;
        DL_TRY(dl_index_put_instance(tx, &put, &outcome, err));
        if (put.watermark != watermark || (round > 0 && outcome == DL_INDEX_EXISTS)) {
            return dl_error_set(err, DL_E_CORRUPT, "outcome %d", outcome);
        }
    }
    dl_index_scope scope = {1, dl_str_of(f->s.study_uid), dl_str_of(f->s.series_uid), DL_STR_NONE,
                            0};
    int64_t count = 0;
    return dl_index_delete(tx, &scope, 5, &count, err);
}

static dl_status read_some(fixture *f, dl_index_snapshot *s, dl_error *err)
{
    dl_index_filter filters[] = {
        {dl_index_attribute_find(0x00100010), DL_INDEX_PHRASE, DL_STR("m"), DL_STR_NONE},
        {dl_index_attribute_find(0x00080020), DL_INDEX_RANGE, DL_STR("20000101"), DL_STR_NONE},
    };
    dl_index_query query = {.partition = 1, .filters = filters, .filter_count = 2, .limit = 10};
    dl_index_hit *hits = NULL;
    size_t count = 0;
    int rows = 0;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no arena");
    }
    DL_TRY(dl_index_search(s, &query, arena, &hits, &count, err));
    query = (dl_index_query){.level = DL_INDEX_INSTANCE, .partition = 1, .limit = 10};
    DL_TRY(dl_index_search(s, &query, arena, &hits, &count, err));
    dl_index_change_query changes = {
        .start_us = INT64_MIN, .end_us = f->now_us, .limit = 3, .metadata = true};
    return dl_index_changes(s, &changes, visit_nothing, &rows, err);
}

static dl_status use(fixture *f, unsigned round, dl_error *err)
{
    dl_index *index = NULL;
    dl_index_tx *tx = NULL;
    dl_index_snapshot *s = NULL;
    dl_index_options options = {.clock = {fixture_now, f}};
    dl_status status = dl_index_open(f->path, &options, &index, err);
    int64_t watermark = 0;
    if (status == DL_OK) {
        status = dl_index_next_watermark(index, &watermark, err); /* reserves a block */
    }
    if (status == DL_OK) {
        status = dl_index_begin(index, &tx, err);
    }
    if (status == DL_OK) {
        status = write_some(f, index, tx, round, err);
        if (status == DL_OK) {
            status = dl_index_commit(tx, err);
        } else {
            dl_index_rollback(tx);
        }
    }
    if (status == DL_OK) {
        status = dl_index_snapshot_begin(index, &s, err);
    }
    if (status == DL_OK) {
        status = read_some(f, s, err);
    }
    dl_index_snapshot_end(s);
    dl_index_close(index);
    return status;
}

static void all_fail(fixture *f, bool sqlite)
{
    dl_error err = {0};
    int64_t all = 0;
    TAP_OK(use(f, 0, &err), err);
    if (sqlite) {
        atomic_store(&sqlite_asked, 0);
    } else {
        dl_mem_fail_after(INT64_C(1) << 40);
    }
    TAP_OK(use(f, 1, &err), err);
    all = sqlite ? atomic_load(&sqlite_asked) : dl_mem_asked();
    TAP_TRUE(all > 20);
    int64_t stride = sqlite ? 1 + all / 400 : 1, failed = 0; /* SQLite asks thousands of times */
    for (int64_t n = 0; n < all && !tap_case_failed; n += stride) {
        if (sqlite) {
            atomic_store(&sqlite_left, (long)n);
        } else {
            dl_mem_fail_after(n);
        }
        err = (dl_error){0};
        dl_status status = use(f, 1, &err);
        dl_mem_fail_after(-1);
        atomic_store(&sqlite_left, -1);
        if (status != DL_OK) {
            failed++;
            TAP_TRUE(err.message[0] != 0);
            TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT || (sqlite && status == DL_E_IO));
        }
        if (n % 10 == 0 || sqlite) {
            fixture_open(f);
            TAP_EQ_INT(fixture_check(f), 0);
            dl_index_close(f->index);
            f->index = NULL;
        }
    }
    printf("# %lld of %lld allocations failed with an error\n", (long long)failed,
           (long long)((all + stride - 1) / stride));
    TAP_TRUE(failed > (sqlite ? all / stride / 2 : all * 3 / 4)); /* some are only caches */
}

TAP_CASE(each_allocation_may_fail)
{
    fixture f;
    fixture_begin(&f);
    dl_index_close(f.index);
    f.index = NULL;
    all_fail(&f, false);
    fixture_end(&f);
}

TAP_CASE(each_allocation_of_the_database_may_fail)
{
    fixture f;
    fixture_begin(&f);
    dl_index_close(f.index);
    f.index = NULL;
    all_fail(&f, true);
    fixture_end(&f);
}

/* ---- memory that was short and comes back, under one and the same index ---- */

static dl_status write_and_read(fixture *f, dl_error *err)
{
    dl_index_tx *tx = NULL;
    dl_index_snapshot *s = NULL;
    int64_t watermark = 0;
    DL_TRY(dl_index_next_watermark(f->index, &watermark, err)); /* reserves a block */
    DL_TRY(dl_index_begin(f->index, &tx, err));
    dl_status status = write_some(f, f->index, tx, 0, err);
    if (status == DL_OK) {
        DL_TRY(dl_index_commit(tx, err));
    } else {
        dl_index_rollback(tx);
        return status;
    }
    DL_TRY(dl_index_snapshot_begin(f->index, &s, err));
    status = read_some(f, s, err);
    dl_index_snapshot_end(s);
    return status;
}

/* The counter in the file covers what was given out, also when what came before was undone. */
static void watermarks_are_reserved(fixture *f)
{
    int64_t given = fixture_watermark(f), reserved = 0;
    dl_index_snapshot *s = NULL;
    dl_db_stmt *q = NULL;
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(
        dl_db_query(s->conn->db, "SELECT value FROM counter WHERE name='watermark'", &q, &f->err),
        f->err);
    reserved = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    TAP_OK(dl_db_finish(q, &f->err), f->err);
    dl_index_snapshot_end(s);
    TAP_TRUE(given <= reserved);
}

TAP_CASE(after_a_shortage_of_memory_the_index_works_again)
{
    fixture f;
    fixture_begin(&f);
    for (int i = 0; i < 3; i++) { /* statements are prepared: what is left to fail is rarer */
        TAP_OK(write_and_read(&f, &f.err), f.err);
    }
    atomic_store(&sqlite_asked, 0);
    TAP_OK(write_and_read(&f, &f.err), f.err);
    long all = atomic_load(&sqlite_asked), failed = 0;
    long stride = 1 + all / 400;
    for (long n = 0; n < all && !tap_case_failed; n += stride) {
        dl_error err = {0};
        atomic_store(&sqlite_left, n);
        failed += write_and_read(&f, &err) != DL_OK;
        atomic_store(&sqlite_left, -1);
        watermarks_are_reserved(&f);
        TAP_OK(write_and_read(&f, &f.err), f.err);
    }
    printf("# %ld shortages of %ld ended a transaction or a snapshot\n", failed,
           (all + stride - 1) / stride);
    TAP_TRUE(failed > 20);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

/* ---- no disk ---- */

static dl_status store_group(fixture *f, unsigned first, unsigned count, dl_error *err)
{
    int64_t watermarks[64];
    dl_index_tx *tx = NULL;
    for (unsigned i = 0; i < count; i++) {
        DL_TRY(dl_index_next_watermark(f->index, &watermarks[i], err));
    }
    DL_TRY(dl_index_begin(f->index, &tx, err));
    for (unsigned i = 0; i < count; i++) {
        dl_index_outcome outcome;
        unsigned n = first + i;
        sample_make(&f->s, n / 20, n / 10 % 2, n % 10);
        dl_index_put put = sample_put(&f->s, watermarks[i]);
        dl_status status = dl_index_put_instance(tx, &put, &outcome, err);
        if (status != DL_OK) {
            TAP_STATUS(dl_index_commit(tx, NULL), status); /* what failed once is not committed */
            return status;
        }
    }
    return dl_index_commit(tx, err);
}

static int64_t last_sequence(fixture *f)
{
    int64_t last = -1;
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(dl_index_last_sequence(s, &last, &f->err), f->err);
    dl_index_snapshot_end(s);
    return last;
}

TAP_CASE(a_full_disk_keeps_what_was_acknowledged)
{
    fixture f;
    fixture_begin(&f);
    TAP_OK(dl_db_exec(f.index->writer->db, "PRAGMA max_page_count=150", &f.err), f.err);
    unsigned stored = 0;
    dl_status status = DL_OK;
    while (stored < 5000 && (status = store_group(&f, stored, 20, &f.err)) == DL_OK) {
        stored += 20;
    }
    TAP_EQ_INT(status, DL_E_IO);
    TAP_TRUE(stored > 0);
    TAP_TRUE(f.err.hint[0] != 0);
    TAP_EQ_INT(last_sequence(&f), stored);
    TAP_EQ_INT(fixture_check(&f), 0);
    TAP_STATUS(store_group(&f, stored, 20, &f.err), DL_E_IO); /* still full, still in order */
    TAP_OK(dl_db_exec(f.index->writer->db, "PRAGMA max_page_count=1000000", &f.err), f.err);
    TAP_OK(store_group(&f, stored, 20, &f.err), f.err);
    TAP_EQ_INT(last_sequence(&f), stored + 20);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

/* ---- a killed process ---- */

static void child(fixture *f, int pipe_fd, unsigned first)
{
    dl_error err = {0};
    uint64_t random = first;
    dl_index_options options = {.clock = dl_clock_system()};
    if (dl_index_open(f->path, &options, &f->index, &err) != DL_OK) {
        _exit(3);
    }
    for (uint32_t n = first;;) {
        random = sample_mix(random);
        unsigned count = 1 + (unsigned)(random % 30);
        if (store_group(f, n, count, &err) != DL_OK) {
            _exit(4);
        }
        n += count;
        if (write(pipe_fd, &n, sizeof n) != (ssize_t)sizeof n) {
            _exit(5);
        }
    }
}

TAP_CASE(what_was_acknowledged_survives_a_kill)
{
    enum { KILLS = 15, GROUP_LIMIT = 30 };
    fixture f;
    fixture_begin(&f);
    unsigned total = 0;
    uint64_t random = 7;
    for (int i = 0; i < KILLS && !tap_case_failed; i++) {
        int fds[2];
        dl_index_close(f.index);
        f.index = NULL;
        TAP_EQ_INT(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(fds[0]);
            child(&f, fds[1], total);
        }
        (void)close(fds[1]);
        random = sample_mix(random);
        if (i % 4 != 0) { /* from its first group on, and not only on the way to it */
            struct pollfd first = {.fd = fds[0], .events = POLLIN};
            (void)poll(&first, 1, 60000);
        }
        usleep((useconds_t)(20000 + random % 150000));
        TAP_EQ_INT(kill(pid, SIGKILL), 0);
        uint32_t acknowledged = total, n = 0;
        while (read(fds[0], &n, sizeof n) == (ssize_t)sizeof n) {
            acknowledged = n;
        }
        int state = 0;
        (void)close(fds[0]);
        TAP_EQ_INT(waitpid(pid, &state, 0), pid);
        TAP_TRUE(WIFSIGNALED(state));
        dl_index_options read_only = {.read_only = true}; /* as verify does, before any recovery */
        TAP_OK(dl_index_open(f.path, &read_only, &f.index, &f.err), f.err);
        TAP_TRUE(last_sequence(&f) >= acknowledged);
        TAP_EQ_INT(fixture_check(&f), 0);
        dl_index_close(f.index);
        fixture_open(&f);
        int64_t last = last_sequence(&f);
        TAP_TRUE(last >= acknowledged && last <= acknowledged + GROUP_LIMIT);
        TAP_EQ_INT(fixture_check(&f), 0);
        total = (unsigned)last;
    }
    printf("# %u instances over %d kills\n", total, KILLS);
    TAP_TRUE(total > KILLS);
    fixture_end(&f);
}

/* ---- threads ---- */

enum { WRITERS = 4, GROUPS = 60, GROUP = 5, TOTAL = WRITERS * GROUPS * GROUP };

typedef struct worker {
    dl_index *index;
    unsigned number;
    atomic_int *writing; /* writers still at work */
    int failed;
    int64_t seen;
} worker;

static void *write_thread(void *context)
{
    worker *w = context;
    fixture f = {.index = w->index};
    dl_buf_init(&f.s.json, 1 << 20);
    for (unsigned i = 0; i < GROUPS; i++) {
        /* each writer has studies of its own, so that every store is a new instance */
        if (store_group(&f, (w->number * 100 + i) * 20, GROUP, &f.err) != DL_OK) {
            w->failed++;
        }
    }
    dl_buf_clear(&f.s.json);
    (void)atomic_fetch_sub(w->writing, 1);
    return NULL;
}

typedef struct page {
    int64_t last, count;
    int64_t gaps;
} page;

static dl_status visit_change(void *context, const dl_index_change *change, dl_error *err)
{
    page *p = context;
    (void)err;
    p->gaps += change->sequence != p->last + 1;
    p->last = change->sequence;
    p->count++;
    return DL_OK;
}

/** Windows up to this very moment, page by page, each page on a snapshot of its own. */
static void *feed_thread(void *context)
{
    enum { LIMIT = 7 };
    worker *w = context;
    dl_clock clock = dl_clock_system();
    page p = {0};
    int64_t start_us = INT64_MIN;
    for (bool again = true; again;) {
        again = atomic_load(w->writing) > 0;
        int64_t end_us = dl_clock_now_us(&clock), before = 0;
        int64_t offset = 0;
        do {
            dl_index_snapshot *s = NULL;
            dl_index_change_query query = {
                .start_us = start_us, .end_us = end_us, .offset = offset, .limit = LIMIT};
            before = p.count;
            if (dl_index_snapshot_begin(w->index, &s, NULL) != DL_OK ||
                dl_index_changes(s, &query, visit_change, &p, NULL) != DL_OK) {
                w->failed++;
            }
            dl_index_snapshot_end(s);
            offset += LIMIT;
        } while (p.count - before == LIMIT);
        start_us = end_us;
        if (!again) { /* writers ended before the clock was read: allow for a clock that jumped */
            dl_index_snapshot *s = NULL;
            dl_index_change_query query = {
                .start_us = start_us, .end_us = INT64_MAX, .limit = TOTAL};
            if (dl_index_snapshot_begin(w->index, &s, NULL) == DL_OK) {
                w->failed += dl_index_changes(s, &query, visit_change, &p, NULL) != DL_OK;
            }
            dl_index_snapshot_end(s);
        }
    }
    w->failed += p.gaps != 0;
    w->seen = p.count;
    return NULL;
}

static void *search_thread(void *context)
{
    worker *w = context;
    while (atomic_load(w->writing) > 0) {
        dl_index_snapshot *s = NULL;
        dl_index_hit *hits = NULL;
        size_t count = 0;
        dl_buf text;
        dl_arena *arena = dl_arena_create(16 << 20);
        dl_index_query query = {.level = DL_INDEX_INSTANCE, .partition = 1, .limit = 50};
        dl_buf_init(&text, 1 << 20);
        if (dl_index_snapshot_begin(w->index, &s, NULL) != DL_OK ||
            dl_index_search(s, &query, arena, &hits, &count, NULL) != DL_OK) {
            w->failed++;
        }
        for (size_t i = 0; i < count; i++) { /* one state: what is found can be read */
            dl_buf_reset(&text);
            w->failed += dl_index_metadata(s, hits[i].watermark, &text, NULL) != DL_OK;
            w->failed += dl_str_find_str(dl_buf_str(&text), hits[i].sop_uid) < 0;
        }
        w->seen += (int64_t)count;
        dl_index_snapshot_end(s);
        dl_buf_clear(&text);
        dl_arena_destroy(arena);
    }
    return NULL;
}

static void *partition_thread(void *context)
{
    worker *w = context;
    for (int i = 0; i < 20; i++) {
        char name[16];
        int64_t key = 0;
        (void)snprintf(name, sizeof name, "p%d", i / 2);
        w->failed += dl_index_partition_ensure(w->index, dl_str_of(name), &key, NULL) != DL_OK;
        w->failed += key < 2 || key > 11;
    }
    return NULL;
}

TAP_CASE(readers_of_the_feed_miss_nothing_while_others_write)
{
    enum { THREADS = WRITERS + 6 };
    static void *(*const others[])(void *) = {feed_thread,   feed_thread,      search_thread,
                                              search_thread, partition_thread, partition_thread};
    fixture f;
    pthread_t threads[THREADS];
    worker workers[THREADS];
    atomic_int writing = WRITERS;
    fixture_begin(&f);
    dl_index_close(f.index);
    dl_index_options options = {.clock = dl_clock_system(), .reader_limit = 3}; /* some must wait */
    TAP_OK(dl_index_open(f.path, &options, &f.index, &f.err), f.err);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.index = f.index, .number = i, .writing = &writing};
        TAP_EQ_INT(pthread_create(&threads[i], NULL,
                                  i < WRITERS ? write_thread : others[i - WRITERS], &workers[i]),
                   0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        TAP_EQ_INT(pthread_join(threads[i], NULL), 0);
        TAP_EQ_INT(workers[i].failed, 0);
    }
    TAP_EQ_INT(workers[WRITERS].seen, TOTAL);
    TAP_EQ_INT(workers[WRITERS + 1].seen, TOTAL);
    TAP_TRUE(workers[WRITERS + 2].seen > 0);
    size_t count = 0;
    dl_index_partition *list = NULL;
    TAP_OK(dl_index_partition_list(f.index, f.arena, &list, &count, &f.err), f.err);
    TAP_EQ_INT(count, 11);
    TAP_EQ_INT(last_sequence(&f), TOTAL);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

TAP_CASE(the_log_does_not_grow_without_bound)
{
    enum { LOG_LIMIT_BYTES = 32 << 20 };
    fixture f;
    char name[160];
    fixture_begin(&f);
    long largest = 0;
    for (unsigned i = 0; i < 600; i++) {
        TAP_OK(store_group(&f, i * 20, 20, &f.err), f.err);
        (void)snprintf(name, sizeof name, "%s-wal", f.path);
        FILE *file = fopen(name, "re");
        if (file != NULL) {
            (void)fseek(file, 0, SEEK_END);
            largest = ftell(file) > largest ? ftell(file) : largest;
            (void)fclose(file);
        }
    }
    printf("# largest log %ld bytes\n", largest);
    TAP_TRUE(largest > 0 && largest < LOG_LIMIT_BYTES);
    fixture_end(&f);
}

int main(void)
{
    take_over_memory();
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(each_allocation_of_the_database_may_fail);
    TAP_RUN(after_a_shortage_of_memory_the_index_works_again);
    TAP_RUN(a_full_disk_keeps_what_was_acknowledged);
    TAP_RUN(what_was_acknowledged_survives_a_kill);
    TAP_RUN(readers_of_the_feed_miss_nothing_while_others_write);
    TAP_RUN(the_log_does_not_grow_without_bound);
    return tap_done();
}
