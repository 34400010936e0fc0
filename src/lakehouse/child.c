/* One statement: its process, its pipes, and how it ended. */
#include "lakehouse/child.h"

#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "lakehouse/child_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOK_MS = 100, /* whether somebody who waits is still there */
    SAID_LIMIT_BYTES = 16 * 1024,
    SAID_BLOCK_BYTES = 4 * 1024,
    ARGUMENT_LIMIT = 24,
    TEXT_SIZE = 32,
    VARIABLE_SIZE = 4096,
    FIRST_OWN_FD = 3,
};

/* ---- pipes ---- */

/* Above the standard ones: they may be closed, and a number of theirs would be in its own way. */
static dl_status lift(int *fd, dl_error *err)
{
    if (*fd < FIRST_OWN_FD) {
        int higher = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
        if (higher < 0) {
            return dl_error_errno(err, errno, "a pipe cannot be made");
        }
        (void)close(*fd);
        *fd = higher;
    }
    return DL_OK;
}

static dl_status make_pipe(int ends[2], dl_error *err)
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = -1;
        ends[1] = -1;
        return dl_error_errno(err, errno, "a pipe cannot be made");
    }
    DL_TRY(lift(&ends[0], err));
    return lift(&ends[1], err);
}

typedef struct pipes {
    int in[2], out[2], says[2];
} pipes;

static void pipes_close(pipes *p)
{
    int *const all[] = {&p->in[0], &p->in[1], &p->out[0], &p->out[1], &p->says[0], &p->says[1]};
    for (size_t i = 0; i < DL_COUNT_OF(all); i++) {
        dl_file_close(all[i]);
    }
}

static dl_status never_blocks(int fd, dl_error *err)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        return dl_error_errno(err, errno, "a pipe cannot be made");
    }
    return DL_OK;
}

/* ---- the process ---- */

typedef struct command {
    const char *words[ARGUMENT_LIMIT];
    size_t count;
    char lakehouse[DL_LAKEHOUSE_NAME_LIMIT + 1], name[DL_LAKEHOUSE_NAME_LIMIT + 1];
    char memory[TEXT_SIZE], rows[TEXT_SIZE], time[TEXT_SIZE];
} command;

static void add(command *c, const char *word)
{
    DL_ASSERT(c->count + 1 < DL_COUNT_OF(c->words)); /* NULL ends them */
    c->words[c->count++] = word;
}

static void add_option(command *c, const char *option, const char *value)
{
    add(c, option);
    add(c, value);
}

static void add_kind(command *c, const dl_child_options *options)
{
    switch (options->kind) {
    case DL_CHILD_STATEMENT:
        add(c, "sql");
        add(c, "--worker");
        add_option(c, "--format", dl_query_format_name(options->format));
        break;
    case DL_CHILD_COHORT:
        add(c, "worker");
        add(c, "cohort");
        add_option(c, "--name", c->name);
        break;
    case DL_CHILD_NOTEBOOK:
        add(c, "worker");
        add(c, "notebook");
        break;
    }
}

static dl_status compose(const dl_child *child, const dl_child_options *options, command *c,
                         dl_error *err)
{
    if (!dl_str_copy(options->lakehouse, c->lakehouse, sizeof c->lakehouse) ||
        !dl_str_copy(options->name, c->name, sizeof c->name)) {
        return dl_error_set(err, DL_E_INVALID, "a name has more than %d characters",
                            (int)DL_LAKEHOUSE_NAME_LIMIT);
    }
    (void)snprintf(c->memory, sizeof c->memory, "%" PRIu64, child->limits.memory_bytes);
    (void)snprintf(c->rows, sizeof c->rows, "%" PRIu64, child->limits.rows);
    (void)snprintf(c->time, sizeof c->time, "%" PRIu32 "s", /* we look at the clock ourselves */
                   child->limits.time_ms / 1000 + (child->limits.time_ms % 1000 != 0));
    add(c, child->pool->program);
    add_kind(c, options);
    add_option(c, "--home", child->pool->home);
    add_option(c, "--lakehouse", c->lakehouse);
    add_option(c, "--memory", c->memory);
    add_option(c, "--limit", c->rows);
    add_option(c, "--timeout", c->time);
    return DL_OK;
}

/* What it gets of our environment: where libraries are, what sanitizers do, the time zone. */
static const char *const inherited[] = {"LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                        "TSAN_OPTIONS",    "TZ",           "LANG"};

typedef struct environment {
    char texts[DL_COUNT_OF(inherited)][VARIABLE_SIZE];
    const char *words[DL_COUNT_OF(inherited) + 1];
} environment;

static void inherit(environment *e)
{
    size_t count = 0;
    for (size_t i = 0; i < DL_COUNT_OF(inherited); i++) {
        const char *value = dl_env_get(inherited[i]);
        size_t name = strlen(inherited[i]);
        if (value == NULL || name + 1 + strlen(value) >= VARIABLE_SIZE) {
            continue;
        }
        memcpy(e->texts[count], inherited[i], name);
        e->texts[count][name] = '=';
        memcpy(e->texts[count] + name + 1, value, strlen(value) + 1);
        e->words[count] = e->texts[count];
        count++;
    }
    e->words[count] = NULL;
}

/* Its own group, no signal blocked or ignored. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int failed = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    failed = failed != 0 ? failed : posix_spawnattr_setpgroup(attributes, 0);
    failed = failed != 0 ? failed : posix_spawnattr_setsigmask(attributes, &none);
    return failed != 0 ? failed : posix_spawnattr_setsigdefault(attributes, &all);
}

/* Three pipes and nothing else: also of what was opened without close-on-exec. */
static int set_files(posix_spawn_file_actions_t *files, const pipes *p)
{
    int failed = posix_spawn_file_actions_adddup2(files, p->in[0], STDIN_FILENO);
    failed =
        failed != 0 ? failed : posix_spawn_file_actions_adddup2(files, p->out[1], STDOUT_FILENO);
    failed =
        failed != 0 ? failed : posix_spawn_file_actions_adddup2(files, p->says[1], STDERR_FILENO);
    return failed != 0 ? failed : posix_spawn_file_actions_addclosefrom_np(files, FIRST_OWN_FD);
}

static int spawn(const command *c, const pipes *p, pid_t *out_pid)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    environment *e = dl_mem_zalloc(1, sizeof *e);
    if (e == NULL) {
        return ENOMEM;
    }
    inherit(e);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawn_file_actions_init(&files);
    int failed = set_attributes(&attributes);
    failed = failed != 0 ? failed : set_files(&files, p);
    if (failed == 0) {
        union { /* POSIX: the words are not changed */
            const char *const *given;
            char *const *wanted;
        } words = {c->words}, variables = {e->words};
        failed =
            posix_spawn(out_pid, c->words[0], &files, &attributes, words.wanted, variables.wanted);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    dl_mem_free(e);
    return failed;
}

static dl_status run(dl_child *child, const dl_child_options *options, dl_error *err)
{
    command c = {.count = 0};
    pid_t pid = 0;
    DL_CLEANUP(pipes_close) pipes p = {{-1, -1}, {-1, -1}, {-1, -1}};
    DL_TRY(compose(child, options, &c, err));
    DL_TRY(make_pipe(p.in, err));
    DL_TRY(make_pipe(p.out, err));
    DL_TRY(make_pipe(p.says, err));
    DL_TRY(never_blocks(p.in[1], err));
    DL_TRY(never_blocks(p.out[0], err));
    DL_TRY(never_blocks(p.says[0], err));
    child->begun_us = dl_clock_monotonic_us();
    int failed = spawn(&c, &p, &pid);
    if (failed != 0) {
        (void)dl_error_errno(err, failed, "a process for the statement cannot be started");
        if (err != NULL) { /* ENOENT is not that something asked for is missing */
            err->status = DL_E_UNAVAILABLE;
        }
        return DL_E_UNAVAILABLE;
    }
    dl_child_runs(child, pid);
    child->in = p.in[1];
    child->out = p.out[0];
    child->says = p.says[0];
    p.in[1] = -1;
    p.out[0] = -1;
    p.says[0] = -1;
    return DL_OK;
}

/* ---- what goes through the pipes ---- */

static void give(dl_child *child)
{
    /* A child that has ended does not read: EPIPE, not a signal (serve ignores SIGPIPE). */
    ssize_t n = write(child->in, child->input.ptr, child->input.len);
    if (n > 0) {
        child->input = dl_str_slice(child->input, (size_t)n, child->input.len);
    }
    if (child->input.len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        dl_file_close(&child->in);
    }
}

/* Only the end of it matters: the last line. */
static void keep_said(dl_child *child, const char *bytes, size_t len)
{
    dl_buf *said = &child->said;
    if (said->len + len > SAID_LIMIT_BYTES) {
        size_t drop = said->len + len - SAID_LIMIT_BYTES / 2;
        drop = drop < said->len ? drop : said->len;
        memmove(said->ptr, said->ptr + drop, said->len - drop);
        said->len -= drop;
    }
    if (dl_buf_append(said, bytes, len, NULL) != DL_OK) {
        dl_buf_reset(said); /* no memory: as if it had said nothing */
    }
}

static void hear(dl_child *child)
{
    char block[SAID_BLOCK_BYTES];
    ssize_t n = read(child->says, block, sizeof block);
    if (n > 0) {
        keep_said(child, block, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        dl_file_close(&child->says);
    }
}

/* Wait for anything to do, and do it but for reading rows: whether there are some, or their end. */
static bool pump(dl_child *child, int timeout_ms)
{
    struct pollfd p[] = {{.fd = child->out, .events = POLLIN},
                         {.fd = child->says, .events = POLLIN},
                         {.fd = child->in, .events = POLLOUT}};
    if (poll(p, DL_COUNT_OF(p), timeout_ms) <= 0) {
        return false;
    }
    if (p[1].revents != 0) {
        hear(child);
    }
    if (p[2].revents != 0) {
        give(child);
    }
    return p[0].revents != 0;
}

/* Rows that are there: false when there were none after all. */
static bool take_rows(dl_child *child, char *out, size_t room, size_t *out_len)
{
    ssize_t n = read(child->out, out, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    *out_len = n > 0 ? (size_t)n : 0;
    if (n <= 0) {
        dl_file_close(&child->out);
    }
    return true;
}

static dl_status look(dl_child *child, dl_error *err)
{
    if (child->gone != NULL && child->gone(child->context)) {
        dl_child_kill(child, DL_CHILD_GONE);
        return dl_error_set(err, DL_E_CANCELED, "nobody waits for the statement any more");
    }
    return DL_OK;
}

/* ---- its end ---- */

static bool status_of(dl_str name, dl_status *out)
{
    for (dl_status s = DL_E_INVALID; s <= DL_E_NOMEM; s++) {
        if (dl_str_eq(name, dl_str_of(dl_status_name(s)))) {
            *out = s;
            return true;
        }
    }
    return false;
}

static dl_str text_of(dl_str object, const char *key, dl_arena *arena)
{
    dl_str value = DL_STR_NONE;
    dl_str text = DL_STR("");
    if (dl_json_get(object, dl_str_of(key), &value) && dl_json_kind_of(value) == DL_JSON_STRING &&
        dl_json_text(value, arena, &text, NULL) != DL_OK) {
        text = DL_STR("");
    }
    return text;
}

static int64_t number_of(dl_str object, const char *key, int64_t otherwise)
{
    dl_str value = DL_STR_NONE;
    int64_t number = otherwise;
    if (dl_json_get(object, dl_str_of(key), &value) && !dl_json_int_of(value, &number)) {
        number = otherwise;
    }
    return number;
}

static void read_place(dl_child *child, dl_str line)
{
    int64_t at = number_of(line, "at", -1);
    int64_t row = number_of(line, "line", 0);
    int64_t column = number_of(line, "column", 0);
    if (at >= 0 && row > 0 && row <= UINT32_MAX && column > 0 && column <= UINT32_MAX) {
        child->place = (dl_query_place){(size_t)at, (uint32_t)row, (uint32_t)column};
    }
}

static dl_str last_line(const dl_child *child)
{
    dl_str said = dl_buf_str(&child->said);
    while (said.len > 0 && said.ptr[said.len - 1] == '\n') {
        said.len--;
    }
    size_t from = said.len;
    while (from > 0 && said.ptr[from - 1] != '\n') {
        from--;
    }
    return dl_str_slice(said, from, said.len);
}

/* Whether its last line says how it ended: then that is its end. */
static bool read_end(dl_child *child)
{
    enum { ARENA_BYTES = 256 * 1024 };
    dl_str line = last_line(child);
    dl_str rows = DL_STR_NONE;
    dl_status status = DL_OK;
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    if (arena == NULL || dl_json_check(line, NULL) != DL_OK ||
        dl_json_kind_of(line) != DL_JSON_OBJECT) {
        return false;
    }
    if (dl_json_get(line, DL_STR("rows"), &rows)) {
        return true;
    }
    if (!status_of(text_of(line, "status", arena), &status)) {
        return false;
    }
    dl_str hint = text_of(line, "hint", arena);
    (void)dl_error_set(&child->end, status, "%.*s", DL_STR_ARG(text_of(line, "message", arena)));
    if (hint.len > 0) {
        dl_error_hint(&child->end, "%.*s", DL_STR_ARG(hint));
    }
    read_place(child, line);
    return true;
}

static dl_status time_is_up(const dl_child *child, dl_error *err)
{
    (void)dl_error_set(err, DL_E_LIMIT, "the statement took longer than %" PRIu32 " ms",
                       child->limits.time_ms);
    dl_error_hint(err, child->limits.time_ms < child->pool->limits.time_ms
                           ? "narrow it down, or allow it more time"
                           : "narrow it down; the setting lakehouse.seconds allows no more time");
    if (err != NULL) {
        err->os_code = ETIMEDOUT;
    }
    return DL_E_LIMIT;
}

static dl_status ended_by(const dl_child *child, int signal, dl_error *err)
{
    switch (signal) {
    case SIGXCPU:
        return time_is_up(child, err);
    case SIGSYS:
        return dl_error_set(err, DL_E_DENIED, "the statement needs what no statement may do");
    case SIGKILL: /* the kernel, of the largest; who else kills it is not known */
    case SIGABRT: /* no memory where a library cannot go on without */
        (void)dl_error_set(err, DL_E_LIMIT,
                           "the statement's process was ended, most likely for want of memory");
        dl_error_hint(err, "narrow it down: fewer rows, columns or groups at once");
        if (err != NULL) {
            err->os_code = ENOMEM;
        }
        return DL_E_LIMIT;
    default:
        return dl_error_set(err, DL_E_IO, "the statement's process was ended by signal %d", signal);
    }
}

static dl_status ended_badly(const dl_child *child, int status, dl_error *err)
{
    if (status != -1 && WIFSIGNALED(status)) {
        return ended_by(child, WTERMSIG(status), err);
    }
    if (status != -1 && WIFEXITED(status)) {
        return dl_error_set(err, DL_E_IO, "the statement's process ended with code %d and no word",
                            WEXITSTATUS(status));
    }
    return dl_error_set(err, DL_E_IO, "the statement's process ended without a word");
}

static void judge(dl_child *child, int status, dl_child_why why)
{
    switch (why) {
    case DL_CHILD_TIME:
        (void)time_is_up(child, &child->end);
        return;
    case DL_CHILD_CANCEL:
        (void)dl_error_set(&child->end, DL_E_CANCELED, "the statement was cancelled");
        return;
    case DL_CHILD_GONE:
        (void)dl_error_set(&child->end, DL_E_CANCELED, "nobody waited for the statement");
        return;
    case DL_CHILD_STOP:
        (void)dl_error_set(&child->end, DL_E_UNAVAILABLE, "the service stops");
        return;
    case DL_CHILD_OF_ITSELF:
        break;
    }
    if (!read_end(child)) {
        (void)ended_badly(child, status, &child->end);
    }
    int64_t ran_us = dl_clock_monotonic_us() - child->begun_us;
    if (child->end.status == DL_E_LIMIT && ran_us >= (int64_t)child->limits.time_ms * 1000) {
        (void)time_is_up(child, &child->end); /* it looked at the clock before we did */
    }
}

static dl_child_outcome outcome_of(const dl_child *child, dl_child_why why)
{
    if (why == DL_CHILD_CANCEL || why == DL_CHILD_GONE || why == DL_CHILD_STOP || !child->ended) {
        return DL_CHILD_CANCELLED;
    }
    if (child->end.status == DL_E_LIMIT) {
        return DL_CHILD_LIMITED;
    }
    return child->end.status == DL_OK ? DL_CHILD_DONE : DL_CHILD_FAILED;
}

/* Its output is over: hear what it says of it, wait for its process, give its room back. */
static void finish(dl_child *child)
{
    dl_child_why why = DL_CHILD_OF_ITSELF;
    while (child->says >= 0) {
        (void)pump(child, LOOK_MS);
        if (child->says >= 0 && look(child, NULL) != DL_OK) {
            break;
        }
    }
    int status = dl_child_reap(child, &why);
    child->ended = true;
    judge(child, status, why);
    dl_child_leave(child, outcome_of(child, why));
    dl_file_close(&child->in);
    dl_file_close(&child->says);
}

static dl_status tell(const dl_child *child, dl_query_place *out_place, dl_error *err)
{
    if (child->end.status == DL_OK) {
        return DL_OK;
    }
    if (out_place != NULL) {
        *out_place = child->place;
    }
    if (err != NULL) {
        *err = child->end;
    }
    return child->end.status;
}

/* ---- reading ---- */

/* Until rows come, or their end (0 bytes), or until_us (0: for ever) has passed (0 bytes too). */
static dl_status wait_rows(dl_child *child, char *out, size_t room, int64_t until_us,
                           size_t *out_len, dl_error *err)
{
    *out_len = 0;
    for (;;) {
        int64_t left_us = until_us == 0 ? INT64_MAX : until_us - dl_clock_monotonic_us();
        if (left_us <= 0) {
            return DL_OK;
        }
        int timeout_ms = left_us < (int64_t)LOOK_MS * 1000 ? (int)(left_us / 1000) + 1 : LOOK_MS;
        if (pump(child, timeout_ms) && take_rows(child, out, room, out_len)) {
            if (child->out < 0) {
                finish(child);
            }
            return DL_OK;
        }
        DL_TRY(look(child, err));
    }
}

/* Hold the first rows back until there are enough, or some time has passed, or that was all. */
static dl_status gather(dl_child *child, dl_error *err)
{
    int64_t until_us = 0;
    size_t len = 0;
    dl_buf_init(&child->first, DL_CHILD_FIRST_BYTES);
    DL_TRY(dl_buf_reserve(&child->first, DL_CHILD_FIRST_BYTES, err));
    do {
        dl_buf *first = &child->first;
        DL_TRY(wait_rows(child, first->ptr + first->len, DL_CHILD_FIRST_BYTES - first->len,
                         until_us, &len, err));
        first->len += len;
        until_us =
            until_us != 0 ? until_us : dl_clock_monotonic_us() + (int64_t)DL_CHILD_FIRST_MS * 1000;
    } while (len > 0 && child->first.len < DL_CHILD_FIRST_BYTES);
    return DL_OK;
}

dl_status dl_child_read(dl_child *child, char *out, size_t room, size_t *out_len, dl_error *err)
{
    size_t held = child->first.len - child->first_taken;
    size_t len = 0;
    if (held > 0) {
        len = held < room ? held : room;
        memcpy(out, child->first.ptr + child->first_taken, len);
        child->first_taken += len;
        *out_len = len;
        return DL_OK;
    }
    if (!child->ended) {
        dl_buf_clear(&child->first);
        child->first_taken = 0;
        DL_TRY(wait_rows(child, out, room, 0, &len, err));
    }
    if (len == 0) {
        DL_TRY(tell(child, NULL, err));
    }
    *out_len = len;
    return DL_OK;
}

/* ---- life ---- */

void dl_child_destroy(dl_child *child)
{
    if (child == NULL) {
        return;
    }
    if (!child->ended) {
        dl_child_why why = DL_CHILD_OF_ITSELF;
        dl_child_kill(child, DL_CHILD_GONE);
        (void)dl_child_reap(child, &why);
        dl_child_leave(child, outcome_of(child, why));
    }
    dl_file_close(&child->in);
    dl_file_close(&child->out);
    dl_file_close(&child->says);
    dl_buf_clear(&child->first);
    dl_buf_clear(&child->said);
    dl_mem_free(child);
}

static uint64_t least(uint64_t asked, uint64_t most)
{
    return asked == 0 || asked > most ? most : asked;
}

static dl_child *make(dl_children *pool, const dl_child_options *options)
{
    dl_child *child = dl_mem_zalloc(1, sizeof *child);
    if (child == NULL) {
        return NULL;
    }
    child->pool = pool;
    child->limits = (dl_query_limits){
        .memory_bytes = least(options->limits.memory_bytes, pool->limits.memory_bytes),
        .rows = least(options->limits.rows, pool->limits.rows),
        .time_ms = (uint32_t)least(options->limits.time_ms, pool->limits.time_ms)};
    child->in = -1;
    child->out = -1;
    child->says = -1;
    child->input = options->input;
    dl_buf_init(&child->said, SAID_LIMIT_BYTES);
    child->place = (dl_query_place){.at = SIZE_MAX};
    child->gone = options->gone;
    child->context = options->context;
    child->fact.kind = options->kind;
    dl_random_hex(child->fact.id, (DL_CHILD_ID_SIZE - 1) / 2);
    (void)dl_str_copy(options->lakehouse, child->fact.lakehouse, sizeof child->fact.lakehouse);
    dl_clock clock = dl_clock_system();
    child->fact.started_us = dl_clock_now_us(&clock);
    return child;
}

static dl_status check_input(const dl_child_options *options, dl_error *err)
{
    bool notebook = options->kind == DL_CHILD_NOTEBOOK;
    size_t limit =
        notebook ? (size_t)DL_CHILD_INPUT_LIMIT_BYTES : (size_t)DL_QUERY_STATEMENT_LIMIT_BYTES;
    if (options->input.len > limit) {
        return dl_error_set(err, DL_E_LIMIT, "%s of %zu bytes exceeds %zu",
                            notebook ? "a notebook" : "a statement", options->input.len, limit);
    }
    return DL_OK;
}

dl_status dl_child_start(dl_children *children, const dl_child_options *options,
                         dl_child **out_child, dl_query_place *out_place, dl_error *err)
{
    DL_TRY(check_input(options, err));
    DL_AUTO(dl_child) child = make(children, options);
    if (child == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a statement");
    }
    DL_TRY(dl_child_enter(child, err));
    DL_TRY(run(child, options, err));
    DL_TRY(gather(child, err));
    if (child->ended) {
        DL_TRY(tell(child, out_place, err));
    }
    dl_file_close(&child->in); /* what answers has read its statement; the text is not ours */
    *out_child = DL_STEAL(child);
    return DL_OK;
}

const char *dl_child_id(const dl_child *child)
{
    return child->fact.id;
}
