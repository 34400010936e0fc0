/* Children: rows through a pipe, failures, limits, cancelling, and that nothing stays behind. The
 * program that they run is this one, which then does what the statement says (act). */
#include "tap.h"

#include "base/clock.h"
#include "base/mem.h"
#include "lakehouse/child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    FLOOD_BLOCK_BYTES = 64 * 1024,
    TIME_MS = 3000, /* a child is there by then, and rows come, also on a busy machine */
};

static void nap(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* ---- the program that is run ---- */

static size_t read_input(char *out, size_t room)
{
    size_t len = 0;
    for (ssize_t n = 1; n > 0 && len<room; len += n> 0 ? (size_t)n : 0) {
        n = read(STDIN_FILENO, out + len, room - len);
    }
    return len;
}

static void print_open_files(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            printf("%d ", fd);
        }
    }
}

static void flood(long blocks)
{
    static char block[FLOOD_BLOCK_BYTES];
    memset(block, 'x', sizeof block);
    for (long i = 0; blocks < 0 || i < blocks; i++) {
        if (write(STDOUT_FILENO, block, sizeof block) < 0) {
            _exit(9);
        }
    }
}

static int done(void)
{
    fflush(stdout);
    fputs("{\"rows\":1}\n", stderr);
    return 0;
}

static int act(int argc, char **argv)
{
    static char input[2 * 1024 * 1024];
    size_t len = read_input(input, sizeof input - 1);
    if (strcmp(input, "words") == 0) {
        for (int i = 1; i < argc; i++) {
            printf("%s ", argv[i]);
        }
    } else if (strcmp(input, "files") == 0) {
        print_open_files();
    } else if (strcmp(input, "environment") == 0) {
        printf("%s|%s", getenv("TZ"), getenv("DL_TEST_SECRET") == NULL ? "none" : "some");
    } else if (strcmp(input, "group") == 0) {
        printf("%d", getpgrp() == getpid());
    } else if (strcmp(input, "signals") == 0) {
        struct sigaction action;
        sigset_t blocked;
        (void)sigaction(SIGPIPE, NULL, &action);
        (void)sigprocmask(SIG_BLOCK, NULL, &blocked);
        printf("%d%d", action.sa_handler == SIG_DFL, sigismember(&blocked, SIGUSR1));
    } else if (strcmp(input, "nothing") == 0) {
        return done();
    } else if (strcmp(input, "wrong") == 0) {
        fputs("{\"status\":\"invalid\",\"message\":\"no table \\\"x\\\"\",\"hint\":\"say y\","
              "\"line\":2,\"column\":3,\"at\":17}\n",
              stderr);
        return 1;
    } else if (strcmp(input, "nowhere") == 0) {
        fputs("{\"status\":\"denied\",\"message\":\"no\"}\n", stderr);
        return 1;
    } else if (strcmp(input, "wrong after rows") == 0) {
        fputs("some rows", stdout);
        fflush(stdout);
        fputs("{\"status\":\"not_found\",\"message\":\"a file is gone\"}\n", stderr);
        return 1;
    } else if (strcmp(input, "wrong later") == 0) {
        flood(16);
        fputs("{\"status\":\"not_found\",\"message\":\"a file is gone\"}\n", stderr);
        return 1;
    } else if (strcmp(input, "noise") == 0) {
        for (int i = 0; i < 20000; i++) {
            fprintf(stderr, "a line %d of a library\n", i);
        }
        fputs("rows", stdout);
    } else if (strcmp(input, "no word") == 0) {
        return 7;
    } else if (strcmp(input, "bad word") == 0) {
        fputs("not JSON\n", stderr);
        return 1;
    } else if (strcmp(input, "odd word") == 0) {
        fputs("{\"status\":\"fine\",\"message\":3}\n", stderr);
        return 1;
    } else if (strcmp(input, "killed") == 0) {
        (void)raise(SIGKILL);
    } else if (strcmp(input, "system call") == 0) {
        (void)raise(SIGSYS);
    } else if (strcmp(input, "processor time") == 0) {
        (void)raise(SIGXCPU);
    } else if (strcmp(input, "hang") == 0) {
        nap(600 * 1000);
    } else if (strcmp(input, "hang with pid") == 0) {
        printf("%d\n", getpid());
        fflush(stdout);
        nap(600 * 1000);
    } else if (strcmp(input, "closed and hang") == 0) {
        (void)close(STDOUT_FILENO);
        nap(600 * 1000);
    } else if (strcmp(input, "flood") == 0) {
        flood(-1);
    } else if (strncmp(input, "blocks ", 7) == 0) {
        flood(atol(input + 7));
    } else {
        printf("%zu", len);
    }
    return done();
}

/* ---- helpers ---- */

static char program[4096];

static dl_children *pool_of(unsigned at_once, unsigned wait_ms, uint32_t time_ms)
{
    dl_children *pool = NULL;
    dl_error err = {0};
    const dl_children_options options = {.program = program,
                                         .home = "/some/home",
                                         .at_once = at_once,
                                         .wait_ms = wait_ms,
                                         .limits = {.time_ms = time_ms}};
    TAP_OK(dl_children_create(&options, &pool, &err), err);
    return pool;
}

static dl_status start(dl_children *pool, const char *statement, dl_child **out,
                       dl_query_place *place, dl_error *err)
{
    const dl_child_options options = {
        .lakehouse = DL_STR("research"), .input = dl_str_of(statement), .format = DL_QUERY_CSV};
    return dl_child_start(pool, &options, out, place, err);
}

static dl_status read_all(dl_child *child, char *out, size_t room, size_t *out_total, dl_error *err)
{
    static char block[FLOOD_BLOCK_BYTES];
    size_t total = 0;
    for (size_t len = 1; len > 0;) {
        DL_TRY(dl_child_read(child, block, sizeof block, &len, err));
        for (size_t i = 0; i < len && out != NULL && total + i + 1 < room; i++) {
            out[total + i] = block[i];
            out[total + i + 1] = '\0';
        }
        total += len;
        *out_total = total;
    }
    return DL_OK;
}

/** Started and read to its end: the first failure of both. */
static dl_status run(dl_children *pool, const char *statement, char *out, size_t room,
                     dl_error *err)
{
    dl_child *child = NULL;
    size_t len = 0;
    dl_status status = start(pool, statement, &child, NULL, err);
    if (status == DL_OK) {
        status = read_all(child, out, room, &len, err);
    }
    dl_child_destroy(child);
    return status;
}

static void expect(dl_children *pool, const char *statement, const char *want)
{
    char got[4096] = "";
    dl_error err = {0};
    TAP_OK(run(pool, statement, got, sizeof got, &err), err);
    TAP_EQ_STR(dl_str_of(got), want);
}

/** The words that a process of this pool and these options is started with. */
static void words_of(const dl_children_options *all, const dl_child_options *one, char *out,
                     size_t room)
{
    size_t len = 0;
    dl_error err = {0};
    dl_child *child = NULL;
    dl_children *pool = NULL;
    TAP_OK(dl_children_create(all, &pool, &err), err);
    TAP_OK(dl_child_start(pool, one, &child, NULL, &err), err);
    TAP_OK(read_all(child, out, room, &len, &err), err);
    dl_child_destroy(child);
    dl_children_destroy(pool);
}

static bool is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* ---- what a child gets and gives ---- */

TAP_CASE(rows_come_and_end)
{
    dl_children *pool = pool_of(0, 0, 0);
    expect(pool, "nothing", "");
    expect(pool, "SELECT 1", "8");
    expect(pool, "noise", "rows");
    expect(pool, "words",
           "sql --worker --format csv --home /some/home --lakehouse research --memory 1073741824 "
           "--limit 100000000 --timeout 600s ");
    dl_children_destroy(pool);
}

TAP_CASE(nothing_else_is_inherited)
{
    dl_children *pool = pool_of(0, 0, 0);
    int left_open = fcntl(STDERR_FILENO, F_DUPFD, 100); /* not close-on-exec */
    (void)setenv("TZ", "Europe/Vienna", 1);
    (void)setenv("DL_TEST_SECRET", "x", 1);
    (void)signal(SIGPIPE, SIG_IGN);
    sigset_t usr1;
    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    expect(pool, "files", "0 1 2 ");
    expect(pool, "environment", "Europe/Vienna|none");
    expect(pool, "group", "1");
    expect(pool, "signals", "10");
    (void)close(left_open);
    dl_children_destroy(pool);
}

TAP_CASE(limits_are_the_smaller_ones)
{
    char got[4096] = "";
    const dl_children_options all = {
        .program = program,
        .home = "h",
        .limits = {.memory_bytes = 1000, .rows = 100, .time_ms = 60000}};
    const dl_child_options one = {.lakehouse = DL_STR("l"),
                                  .input = DL_STR("words"),
                                  .format = DL_QUERY_JSON,
                                  .limits = {.memory_bytes = 999, .rows = 101, .time_ms = 60000}};
    words_of(&all, &one, got, sizeof got);
    TAP_EQ_STR(dl_str_of(got), "sql --worker --format json --home h --lakehouse l --memory 999 "
                               "--limit 100 --timeout 60s ");
}

TAP_CASE(other_kinds_have_other_words)
{
    static const struct {
        dl_child_kind kind;
        const char *want;
    } cases[] = {{DL_CHILD_COHORT, "worker cohort --name lungs --home h "},
                 {DL_CHILD_NOTEBOOK, "worker notebook --home h "}};
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        char got[4096] = "";
        const dl_children_options all = {.program = program, .home = "h"};
        const dl_child_options one = {.kind = cases[i].kind,
                                      .lakehouse = DL_STR("l"),
                                      .name = DL_STR("lungs"),
                                      .input = DL_STR("words")};
        (void)signal(SIGPIPE, SIG_IGN);
        words_of(&all, &one, got, sizeof got);
        TAP_TRUE(strncmp(got, cases[i].want, strlen(cases[i].want)) == 0);
    }
}

TAP_CASE(a_statement_has_a_size)
{
    static char text[DL_QUERY_STATEMENT_LIMIT_BYTES + 2];
    dl_children *pool = pool_of(0, 0, 0);
    dl_child *child = NULL;
    dl_error err = {0};
    memset(text, ' ', sizeof text - 2);
    expect(pool, text, "1048576");
    text[sizeof text - 2] = ' ';
    TAP_STATUS(start(pool, text, &child, NULL, &err), DL_E_LIMIT);
    TAP_TRUE(child == NULL && err.os_code == 0);
    dl_children_destroy(pool);
}

TAP_CASE(much_comes_whole)
{
    dl_children *pool = pool_of(0, 0, 0);
    dl_child *child = NULL;
    dl_error err = {0};
    size_t len = 0;
    TAP_OK(start(pool, "blocks 1600", &child, NULL, &err), err);
    TAP_OK(read_all(child, NULL, 0, &len, &err), err);
    TAP_EQ_INT(len, 1600 * FLOOD_BLOCK_BYTES);
    dl_child_destroy(child);
    dl_children_destroy(pool);
}

/* ---- failures ---- */

static const struct {
    const char *statement;
    dl_status want;
    int os_code;
    size_t at;
    const char *message, *hint;
} failures[] = {
    /* clang-format off */
    {"wrong", DL_E_INVALID, 0, 17, "no table \"x\"", "say y"},
    {"nowhere", DL_E_DENIED, 0, SIZE_MAX, "no", ""},
    {"no word", DL_E_IO, 0, SIZE_MAX, "the statement's process ended with code 7 and no word", ""},
    {"bad word", DL_E_IO, 0, SIZE_MAX, "the statement's process ended with code 1 and no word", ""},
    {"odd word", DL_E_IO, 0, SIZE_MAX, "the statement's process ended with code 1 and no word", ""},
    {"killed", DL_E_LIMIT, ENOMEM, SIZE_MAX, "the statement's process was ended, most likely for want of memory", "narrow it down: fewer rows, columns or groups at once"},
    {"system call", DL_E_DENIED, 0, SIZE_MAX, "the statement needs what no statement may do", ""},
    {"processor time", DL_E_LIMIT, ETIMEDOUT, SIZE_MAX, "the statement took longer than 600000 ms", "narrow it down; the setting lakehouse.seconds allows no more time"},
    /* clang-format on */
};

static void failures_are_told(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(failures); i++) {
        TAP_ROW_BEGIN();
        dl_children *pool = pool_of(1, 1, 0);
        dl_child *child = NULL;
        dl_error err = {0};
        dl_query_place place = {.at = 99};
        TAP_STATUS(start(pool, failures[i].statement, &child, &place, &err), failures[i].want);
        TAP_TRUE(child == NULL);
        TAP_EQ_STR(dl_str_of(err.message), failures[i].message);
        TAP_EQ_STR(dl_str_of(err.hint), failures[i].hint);
        TAP_EQ_INT(err.os_code, failures[i].os_code);
        TAP_TRUE(place.at == failures[i].at);
        TAP_TRUE(place.at == SIZE_MAX || (place.line == 2 && place.column == 3));
        expect(pool, "nothing", ""); /* its room is free again */
        dl_children_destroy(pool);
        TAP_ROW_END(failures[i].statement);
    }
}

/* Soon after the first rows: before the answer begins, or on a busy machine by reading. */
TAP_CASE(a_failure_soon_after_rows_is_told)
{
    dl_children *pool = pool_of(0, 0, 0);
    dl_error err = {0};
    TAP_STATUS(run(pool, "wrong after rows", NULL, 0, &err), DL_E_NOT_FOUND);
    TAP_EQ_STR(dl_str_of(err.message), "a file is gone");
    dl_children_destroy(pool);
}

TAP_CASE(a_failure_after_rows_is_told_by_reading)
{
    dl_children *pool = pool_of(0, 0, 0);
    dl_child *child = NULL;
    dl_error err = {0};
    size_t len = 0;
    TAP_OK(start(pool, "wrong later", &child, NULL, &err), err);
    TAP_STATUS(read_all(child, NULL, 0, &len, &err), DL_E_NOT_FOUND);
    TAP_EQ_STR(dl_str_of(err.message), "a file is gone");
    TAP_EQ_INT(len, 16 * FLOOD_BLOCK_BYTES);
    TAP_STATUS(read_all(child, NULL, 0, &len, &err), DL_E_NOT_FOUND); /* and stays */
    dl_child_destroy(child);
    dl_children_destroy(pool);
}

TAP_CASE(there_is_no_such_program)
{
    dl_children *pool = NULL;
    dl_child *child = NULL;
    dl_error err = {0};
    const dl_children_options options = {.program = "/nonexistent/x", .home = "h", .at_once = 1};
    TAP_OK(dl_children_create(&options, &pool, &err), err);
    TAP_STATUS(start(pool, "words", &child, NULL, &err), DL_E_UNAVAILABLE);
    TAP_EQ_INT(err.os_code, ENOENT);
    TAP_STATUS(start(pool, "words", &child, NULL, &err), DL_E_UNAVAILABLE);
    TAP_EQ_INT(err.os_code, ENOENT); /* not: no room */
    dl_children_destroy(pool);
}

/* ---- time, room, cancelling ---- */

static void time_ends_it(const char *statement)
{
    dl_children *pool = pool_of(1, 1, 300);
    dl_error err = {0};
    TAP_STATUS(run(pool, statement, NULL, 0, &err), DL_E_LIMIT);
    TAP_EQ_INT(err.os_code, ETIMEDOUT);
    dl_children_destroy(pool);
}

TAP_CASE(time_ends_what_hangs)
{
    time_ends_it("hang");
    time_ends_it("hang with pid");
    time_ends_it("closed and hang");
    time_ends_it("flood");
}

static pid_t started_pid(dl_child *child)
{
    char text[64] = "";
    size_t len = 0;
    dl_error err = {0};
    TAP_OK(dl_child_read(child, text, sizeof text - 1, &len, &err), err);
    return (pid_t)atol(text);
}

TAP_CASE(time_ends_what_nobody_reads)
{
    dl_children *pool = pool_of(1, 1, TIME_MS);
    dl_child *child = NULL;
    dl_error err = {0};
    size_t len = 0;
    dl_children_figures figures;
    TAP_OK(start(pool, "hang with pid", &child, NULL, &err), err);
    pid_t pid = started_pid(child);
    for (int i = 0; i < 6000 && !is_gone(pid); i++) { /* a zombie until it is read */
        char path[64];
        char state[256] = "";
        (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, state, sizeof state - 1);
        if (fd >= 0) {
            (void)close(fd);
        }
        if (n > 0 && strstr(state, ") Z ") != NULL) {
            break;
        }
        nap(10);
        TAP_TRUE(i < 5999);
    }
    TAP_STATUS(read_all(child, NULL, 0, &len, &err), DL_E_LIMIT);
    TAP_TRUE(is_gone(pid));
    dl_child_destroy(child);
    dl_children_count(pool, &figures);
    TAP_EQ_INT(figures.ended[DL_CHILD_LIMITED], 1);
    dl_children_destroy(pool);
}

TAP_CASE(cancelling_leaves_nothing)
{
    dl_children *pool = pool_of(0, 0, 0);
    dl_child *child = NULL;
    dl_error err = {0};
    size_t len = 0;
    dl_child_fact facts[4];
    TAP_OK(start(pool, "hang with pid", &child, NULL, &err), err);
    pid_t pid = started_pid(child);
    TAP_EQ_INT(dl_children_list(pool, facts, 4), 1);
    TAP_EQ_STR(dl_str_of(facts[0].id), dl_child_id(child));
    TAP_EQ_STR(dl_str_of(facts[0].lakehouse), "research");
    TAP_EQ_INT(strlen(facts[0].id), 32);
    TAP_STATUS(dl_children_cancel(pool, DL_STR("00000000000000000000000000000000"), &err),
               DL_E_NOT_FOUND);
    TAP_TRUE(!is_gone(pid));
    TAP_OK(dl_children_cancel(pool, dl_str_of(facts[0].id), &err), err);
    TAP_STATUS(read_all(child, NULL, 0, &len, &err), DL_E_CANCELED);
    TAP_TRUE(is_gone(pid));
    TAP_EQ_INT(dl_children_list(pool, facts, 4), 0);
    TAP_STATUS(dl_children_cancel(pool, dl_str_of(dl_child_id(child)), &err), DL_E_NOT_FOUND);
    dl_child_destroy(child);
    dl_children_destroy(pool);
}

TAP_CASE(destroying_leaves_nothing)
{
    dl_children *pool = pool_of(0, 0, 0);
    dl_child *child = NULL;
    dl_error err = {0};
    TAP_OK(start(pool, "hang with pid", &child, NULL, &err), err);
    pid_t pid = started_pid(child);
    TAP_TRUE(!is_gone(pid));
    dl_child_destroy(child);
    TAP_TRUE(is_gone(pid));
    dl_children_destroy(pool);
}

static bool gone_after_some(void *context)
{
    int *left = context;
    return (*left)-- <= 0;
}

TAP_CASE(nobody_waits_any_more)
{
    dl_children *pool = pool_of(1, 60000, 0);
    dl_child *child = NULL;
    dl_child *second = NULL;
    dl_error err = {0};
    size_t len = 0;
    int left = 3;
    dl_child_options options = {.lakehouse = DL_STR("l"),
                                .input = DL_STR("hang"),
                                .gone = gone_after_some,
                                .context = &left};
    TAP_STATUS(dl_child_start(pool, &options, &child, NULL, &err), DL_E_CANCELED);
    left = 3;
    options.input = DL_STR("hang with pid");
    TAP_OK(dl_child_start(pool, &options, &child, NULL, &err), err);
    int for_room = 2;
    dl_child_options waits = options;
    waits.context = &for_room;
    TAP_STATUS(dl_child_start(pool, &waits, &second, NULL, &err), DL_E_CANCELED);
    pid_t pid = started_pid(child);
    TAP_STATUS(read_all(child, NULL, 0, &len, &err), DL_E_CANCELED);
    dl_child_destroy(child);
    TAP_TRUE(is_gone(pid));
    dl_children_destroy(pool);
}

TAP_CASE(so_many_and_no_more)
{
    dl_children *pool = pool_of(2, 50, 0);
    dl_child *children[3] = {0};
    dl_error err = {0};
    dl_children_figures figures;
    TAP_OK(start(pool, "hang with pid", &children[0], NULL, &err), err);
    TAP_OK(start(pool, "hang with pid", &children[1], NULL, &err), err);
    TAP_STATUS(start(pool, "nothing", &children[2], NULL, &err), DL_E_UNAVAILABLE);
    TAP_EQ_STR(dl_str_of(err.message), "2 statements run already, as many as may");
    dl_child_destroy(children[0]);
    expect(pool, "nothing", "");
    dl_child_destroy(children[1]);
    dl_children_count(pool, &figures);
    TAP_EQ_INT(figures.ended[DL_CHILD_REFUSED], 1);
    TAP_EQ_INT(figures.ended[DL_CHILD_CANCELLED], 2);
    TAP_EQ_INT(figures.ended[DL_CHILD_DONE], 1);
    TAP_EQ_INT(figures.running, 0);
    dl_children_destroy(pool);
}

TAP_CASE(a_reader_that_does_not_read_keeps_no_room)
{
    dl_children *pool = pool_of(1, 120000, TIME_MS);
    dl_child *slow = NULL;
    dl_error err = {0};
    size_t len = 0;
    dl_children_figures figures;
    TAP_OK(start(pool, "flood", &slow, NULL, &err), err);
    expect(pool, "nothing", ""); /* waits until the time of the first is up */
    dl_children_count(pool, &figures);
    TAP_EQ_INT(figures.ended[DL_CHILD_LIMITED], 1);
    TAP_STATUS(read_all(slow, NULL, 0, &len, &err), DL_E_LIMIT);
    dl_child_destroy(slow);
    dl_children_count(pool, &figures);
    TAP_EQ_INT(figures.ended[DL_CHILD_LIMITED], 1); /* counted once */
    dl_children_destroy(pool);
}

TAP_CASE(pools_have_a_size)
{
    dl_children *pool = NULL;
    dl_error err = {0};
    dl_children_options options = {
        .program = program, .home = "h", .at_once = DL_CHILDREN_LIMIT + 1};
    TAP_STATUS(dl_children_create(&options, &pool, &err), DL_E_INVALID);
    options.at_once = DL_CHILDREN_LIMIT;
    TAP_OK(dl_children_create(&options, &pool, &err), err);
    dl_children_destroy(pool);
    dl_children_destroy(NULL);
    dl_child_destroy(NULL);
}

typedef struct reader {
    dl_children *pool;
    dl_status status;
} reader;

static void *read_on(void *context)
{
    reader *r = context;
    dl_error err = {0};
    r->status = run(r->pool, "hang", NULL, 0, &err);
    return NULL;
}

TAP_CASE(stopping_ends_all)
{
    enum { READERS = 6 };
    pthread_t threads[READERS];
    reader readers[READERS];
    dl_children *pool = pool_of(3, 60000, 0);
    dl_children_figures figures = {0};
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){pool, DL_OK};
        TAP_EQ_INT(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    while (figures.running < 3) {
        nap(5);
        dl_children_count(pool, &figures);
    }
    dl_children_stop(pool);
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(threads[i], NULL);
        TAP_EQ_INT(readers[i].status, DL_E_UNAVAILABLE);
    }
    dl_children_destroy(pool);
}

/* ---- no memory ---- */

TAP_CASE(each_allocation_fails_once)
{
    dl_status status = DL_E_NOMEM;
    for (int64_t n = 0; status != DL_OK && n < 1000; n++) {
        dl_children *pool = NULL;
        dl_error err = {0};
        const dl_children_options options = {.program = program, .home = "h"};
        dl_mem_fail_after(n);
        status = dl_children_create(&options, &pool, &err);
        if (status == DL_OK) {
            status = run(pool, "SELECT 1", NULL, 0, &err);
        }
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK || err.message[0] != '\0');
        dl_children_destroy(pool);
        TAP_TRUE(n < 999);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return act(argc, argv);
    }
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    (void)signal(SIGPIPE, SIG_IGN);
    TAP_RUN(rows_come_and_end);
    TAP_RUN(nothing_else_is_inherited);
    TAP_RUN(limits_are_the_smaller_ones);
    TAP_RUN(other_kinds_have_other_words);
    TAP_RUN(a_statement_has_a_size);
    TAP_RUN(much_comes_whole);
    failures_are_told();
    TAP_RUN(a_failure_soon_after_rows_is_told);
    TAP_RUN(a_failure_after_rows_is_told_by_reading);
    TAP_RUN(there_is_no_such_program);
    TAP_RUN(time_ends_what_hangs);
    TAP_RUN(time_ends_what_nobody_reads);
    TAP_RUN(cancelling_leaves_nothing);
    TAP_RUN(destroying_leaves_nothing);
    TAP_RUN(nobody_waits_any_more);
    TAP_RUN(so_many_and_no_more);
    TAP_RUN(a_reader_that_does_not_read_keeps_no_room);
    TAP_RUN(pools_have_a_size);
    TAP_RUN(stopping_ends_all);
    TAP_RUN(each_allocation_fails_once);
    return tap_done();
}
