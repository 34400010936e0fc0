/* Each case seals a process of its own: there is no way back. */
#include "query/seal.h"

#include "base/file.h"
#include "base/sanitize.h"
#include "delta/tables.h"
#include "query/session.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 320 };

/* A folder with a table "a", one to write to, one for temporary files, and one besides. */
static struct {
    tables tables;
    dl_query_table table;
    char folder[PATH_SIZE], write[PATH_SIZE], temp[PATH_SIZE], other[PATH_SIZE];
    dl_query_options options;
    dl_query *query;
    dl_query_sealed sealed;
    bool landlock; /* this kernel has it */
} f;

static void make_folder(const char *name, char out[PATH_SIZE])
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", f.tables.folder, name);
    DL_ASSERT(mkdir(out, 0700) == 0);
}

static const char *in(const char *folder, const char *name)
{
    static char path[2 * PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void begin(void)
{
    dl_error err = {0};
    tables_init(&f.tables, NULL);
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&f.tables, "a", false, &table, &err), err);
    TAP_OK(tables_append(table, "p", 0, 5000, &err), err);
    (void)snprintf(f.folder, sizeof f.folder, "%s/a", f.tables.folder);
    make_folder("write", f.write);
    make_folder("temp", f.temp);
    make_folder("other", f.other);
    TAP_OK(dl_file_replace(in(f.other, "file"), DL_STR("x"), &err), err);
    f.table = (dl_query_table){.name = DL_STR("a"), .folder = dl_str_of(f.folder)};
    f.options = (dl_query_options){
        .tables = &f.table,
        .table_count = 1,
        .limits = {.threads = 2, .memory_bytes = 64 << 20, .temp_bytes = 1 << 30},
        .temp_folder = f.temp,
        .clock = dl_clock_system(),
    };
    f.landlock = syscall(444, NULL, 0, 1) > 0;
}

static void seal(const dl_query_seal_options *options)
{
    dl_error err = {0};
    TAP_OK(dl_query_open(&f.options, &f.query, &err), err);
    TAP_OK(dl_query_seal(f.query, options, &f.sealed, &err), err);
}

static void seal_to_write(void)
{
    const char *write[] = {f.write};
    seal(&(dl_query_seal_options){.write = write, .write_count = 1});
}

/* In a child, whose failures are the case's. */
static void apart(void (*run)(void))
{
    (void)fflush(stdout);
    pid_t child = fork();
    DL_ASSERT(child >= 0);
    if (child == 0) {
        run();
        (void)fflush(stdout);
        _exit(tap_case_failed);
    }
    int status = 0;
    DL_ASSERT(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        TAP_FAIL("the sealed process: status %d", status);
    }
}

static int64_t number_of(const char *sql, dl_status want)
{
    dl_error err = {0};
    dl_query_result *result = NULL;
    dl_status status = dl_query_run(f.query, dl_str_of(sql), &result, NULL, &err);
    size_t rows = 0;
    double number = -1;
    if (status == DL_OK) {
        status = dl_query_next(result, &rows, &err);
    }
    if (status != want) {
        TAP_FAIL("%s: %s: %s", sql, dl_status_name(status), err.message);
    } else if (status == DL_OK && rows > 0) {
        (void)dl_query_number(result, 0, 0, &number);
    }
    dl_query_result_destroy(result);
    return (int64_t)number;
}

/* ---- it still answers ---- */

static void answers(void)
{
    seal_to_write();
    TAP_EQ_INT(number_of("SELECT count(*) FROM a", DL_OK), 5000);
    TAP_EQ_INT(number_of("SELECT count(*) FROM a WHERE id > 4000", DL_OK), 999);
    TAP_TRUE(number_of("SELECT count(*) FROM (DESCRIBE a)", DL_OK) > 1);
    TAP_TRUE(number_of("SELECT year(now())", DL_OK) > 2000);
    TAP_EQ_INT(number_of("SELECT hour(TIMESTAMPTZ '2026-01-05 08:00:00 Europe/Berlin')", DL_OK), 7);
    /* several threads, and more than the memory: temporary files */
    TAP_EQ_INT(
        number_of("SELECT max(x) FROM (SELECT i::VARCHAR || repeat('x', 90) AS t, i AS x FROM "
                  "range(2000000) r(i) ORDER BY t OFFSET 1)",
                  DL_OK),
        1999999);
    TAP_EQ_INT(number_of("SELECT 1 FROM nothing", DL_E_INVALID), -1);
    TAP_EQ_INT(number_of("SELECT * FROM read_text('/etc/passwd')", DL_E_DENIED), -1);
    dl_query_close(f.query);
}

TAP_CASE(a_sealed_session_answers)
{
    apart(answers);
}

/* ---- files ---- */

static void expect_open(const char *path, int flags, int want)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
    int got = fd < 0 ? errno : 0;
    if (got != want) {
        TAP_FAIL("open %s: %d, not %d", path, got, want);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void reach(void)
{
    seal_to_write();
    TAP_TRUE(f.sealed.files);
    TAP_TRUE(f.sealed.landlock_version >= 1);
    expect_open("/etc/passwd", O_RDONLY, EACCES);
    expect_open("/", O_RDONLY | O_DIRECTORY, EACCES);
    expect_open("/proc/self/environ", O_RDONLY, EACCES);
    expect_open("/proc/self/mem", O_RDWR, EACCES);
    expect_open(in(f.other, "file"), O_RDONLY, EACCES);
    expect_open(in(f.other, "new"), O_WRONLY | O_CREAT, EACCES);
    expect_open(in(f.folder, "_delta_log/00000000000000000000.json"), O_RDONLY, 0);
    expect_open(in(f.folder, "_delta_log/00000000000000000000.json"), O_WRONLY, EACCES);
    expect_open(in(f.folder, "new"), O_WRONLY | O_CREAT, EACCES);
    expect_open(in(f.folder, "../other/file"), O_RDONLY, EACCES);
    expect_open(in(f.write, "new"), O_WRONLY | O_CREAT, 0);
    expect_open(in(f.temp, "new"), O_WRONLY | O_CREAT, 0);
    expect_open("/dev/null", O_WRONLY, 0);
    expect_open("/dev/urandom", O_RDONLY, 0);
    TAP_TRUE(unlink(in(f.folder, "_delta_log/00000000000000000000.json")) != 0);
    TAP_EQ_INT(errno, EACCES);
    TAP_TRUE(symlink("/etc", in(f.folder, "link")) != 0);
    /* a link that is made where one may write leads nowhere */
    TAP_TRUE(symlink("/etc/passwd", in(f.write, "link")) == 0);
    expect_open(in(f.write, "link"), O_RDONLY, EACCES);
    dl_query_close(f.query);
}

static void reach_more(void)
{
    const char *read[] = {f.other};
    char file[2 * PATH_SIZE];
    (void)snprintf(file, sizeof file, "%s", in(f.write, "new"));
    const char *write[] = {file};
    seal(&(dl_query_seal_options){.read = read, .read_count = 1, .write = write, .write_count = 1});
    expect_open(in(f.other, "file"), O_RDONLY, 0);
    expect_open(in(f.other, "file"), O_WRONLY, EACCES);
    expect_open(file, O_RDWR, 0);
    expect_open(in(f.write, "newer"), O_WRONLY | O_CREAT, EACCES);
    dl_query_close(f.query);
}

TAP_CASE(files_beyond_those_that_are_named_are_out_of_reach)
{
    apart(reach);
    apart(reach_more);
}

/* ---- system calls ---- */

#define REFUSED(call)                                                                              \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(call);                                                                  \
        if (got_ != -1 || errno != EPERM) {                                                        \
            TAP_FAIL("%s: %ld, errno %d", #call, got_, errno);                                     \
        }                                                                                          \
    } while (0)

static void *nothing(void *context)
{
    return context;
}

static void calls(void)
{
    seal_to_write();
    TAP_TRUE(f.sealed.calls);
    static const int others[] = {
        SYS_execve,
        SYS_execveat,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_pidfd_open,
        SYS_mount,
        SYS_umount2,
        SYS_chroot,
        SYS_pivot_root,
        SYS_setns,
        SYS_unshare,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_io_uring_setup,
        SYS_keyctl,
        SYS_add_key,
        SYS_userfaultfd,
        SYS_memfd_create,
        SYS_shmget,
        SYS_mq_open,
        SYS_init_module,
        SYS_reboot,
        SYS_personality,
        SYS_setuid,
        SYS_setgroups,
        SYS_fchmod,
        SYS_fchownat,
        SYS_fsetxattr,
        SYS_open_by_handle_at,
        SYS_kexec_load,
        SYS_settimeofday,
        SYS_syslog,
#ifdef SYS_fork
        SYS_fork,
        SYS_vfork,
        SYS_chmod,
        SYS_iopl,
#endif
    };
    for (size_t i = 0; i < DL_COUNT_OF(others); i++) {
        errno = 0;
        if (syscall(others[i], -1L, 0L, 0L, 0L, 0L) != -1 || errno != EPERM) {
            TAP_FAIL("call %d: errno %d", others[i], errno);
        }
    }
    REFUSED(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REFUSED(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REFUSED(fork());
    REFUSED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    REFUSED(kill(1, 0));
    REFUSED(kill(-1, 0));
    REFUSED(syscall(SYS_tgkill, 1, 1, 0));
    REFUSED(prlimit(1, RLIMIT_CORE, NULL, NULL));
    REFUSED(ioctl(0, TIOCSTI, ""));
    REFUSED((intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TAP_TRUE(page != MAP_FAILED);
    REFUSED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    /* what is needed goes on */
    struct rlimit limit;
    pthread_t thread;
    TAP_EQ_INT(getrlimit(RLIMIT_CORE, &limit), 0);
    TAP_EQ_INT(kill(getpid(), 0), 0);
    TAP_EQ_INT(pthread_create(&thread, NULL, nothing, NULL), 0);
    TAP_EQ_INT(pthread_join(thread, NULL), 0);
    dl_query_close(f.query);
}

static void calls_with_network(void)
{
    seal(&(dl_query_seal_options){.network = true});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TAP_TRUE(fd >= 0);
    (void)close(fd);
    REFUSED(fork());
    dl_query_close(f.query);
}

TAP_CASE(system_calls_that_lead_out_are_refused)
{
    apart(calls);
    apart(calls_with_network);
}

/* ---- limits ---- */

static void limits(void)
{
    seal(&(dl_query_seal_options){.memory_bytes = 512 << 20});
    struct rlimit limit;
    TAP_EQ_INT(getrlimit(RLIMIT_CORE, &limit), 0);
    TAP_EQ_INT(limit.rlim_max, 0);
    TAP_EQ_INT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    TAP_EQ_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
#if !DL_SANITIZE_SHADOW /* whose own memory would not fit */
    TAP_EQ_INT(getrlimit(RLIMIT_DATA, &limit), 0);
    TAP_EQ_INT(limit.rlim_max, 512 << 20);
    TAP_TRUE(mmap(NULL, 600 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
             MAP_FAILED);
    TAP_EQ_INT(number_of("SELECT count(*) FROM a", DL_OK), 5000);
    /* texts that the engine's own count does not see */
    (void)number_of("SELECT length(repeat('x', 900000000)) + length(repeat('y', 900000000))",
                    DL_E_LIMIT);
    TAP_EQ_INT(number_of("SELECT count(*) FROM a", DL_OK), 5000);
#endif
    dl_query_close(f.query);
}

TAP_CASE(memory_has_a_bound_and_there_are_no_core_dumps)
{
    apart(limits);
}

/* ---- past every check before it ---- */

static void refused_by_the_seal(dl_engine *engine, const char *sql)
{
    dl_error err = {0};
    if (dl_engine_exec(engine, dl_str_of(sql), &err) == DL_OK) {
        TAP_FAIL("%s", sql);
    }
}

static void slips(void)
{
    seal_to_write();
    dl_engine engine = {0}; /* that may do what it likes: it is not closed off */
    dl_error err = {0};
    dl_query_options options = {.limits = {.threads = 2}};
    TAP_OK(dl_engine_start(&engine, &options, &err), err);
    refused_by_the_seal(&engine, "SELECT * FROM read_text('/etc/passwd')");
    refused_by_the_seal(&engine, "SELECT * FROM read_csv('/etc/passwd', header = false)");
    TAP_OK(dl_engine_exec(&engine, DL_STR("SELECT error(file) FROM glob('/*')"), &err), err);
    refused_by_the_seal(&engine, "COPY (SELECT 1) TO '/tmp/dicomlake-seal.csv'");
    refused_by_the_seal(&engine, "ATTACH '/tmp/dicomlake-seal.duckdb' AS x");
    refused_by_the_seal(&engine, "EXPORT DATABASE '/tmp/dicomlake-seal'");
    refused_by_the_seal(&engine, "INSTALL httpfs");
    refused_by_the_seal(&engine, "LOAD '/lib/x86_64-linux-gnu/libm.so.6'");
    refused_by_the_seal(&engine, "SELECT * FROM read_text('/proc/self/environ')");
    char sql[3 * PATH_SIZE];
    (void)snprintf(sql, sizeof sql, "COPY (SELECT 1) TO '%s'", in(f.folder, "new.csv"));
    refused_by_the_seal(&engine, sql);
    (void)snprintf(sql, sizeof sql, "COPY (SELECT 1) TO '%s'", in(f.write, "new.csv"));
    TAP_OK(dl_engine_exec(&engine, dl_str_of(sql), &err), err);
    dl_engine_stop(&engine);
    dl_query_close(f.query);
}

TAP_CASE(what_slips_through_plan_and_engine_is_refused_by_the_kernel)
{
    apart(slips);
    TAP_TRUE(access("/tmp/dicomlake-seal.csv", F_OK) != 0);
}

/* ---- how it is called ---- */

static void wrong(void)
{
    dl_error err = {0};
    const char *nowhere[] = {"/nowhere/at/all"};
    dl_query_sealed sealed = {.landlock_version = 99};
    TAP_OK(dl_query_open(&f.options, &f.query, &err), err);
    TAP_STATUS(dl_query_seal(f.query, &(dl_query_seal_options){.write = nowhere, .write_count = 1},
                             &sealed, &err),
               DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.message, "/nowhere/at/all") != NULL);
    TAP_EQ_INT(sealed.landlock_version, 99);
    if (f.landlock) {
        TAP_STATUS(dl_query_seal(f.query,
                                 &(dl_query_seal_options){.read = nowhere, .read_count = 1},
                                 &sealed, &err),
                   DL_E_NOT_FOUND);
    }
    TAP_EQ_INT(number_of("SELECT 1", DL_OK), 1);
    TAP_STATUS(dl_query_seal(f.query, &(dl_query_seal_options){0}, &sealed, &err), DL_E_CONFLICT);
    dl_query_close(f.query);
}

TAP_CASE(wrong_paths_and_late_seals_are_told)
{
    apart(wrong);
}

int main(void)
{
    begin();
    TAP_RUN(a_sealed_session_answers);
    if (f.landlock) {
        TAP_RUN(files_beyond_those_that_are_named_are_out_of_reach);
        TAP_RUN(what_slips_through_plan_and_engine_is_refused_by_the_kernel);
    } else {
        tap_skip("files_beyond_those_that_are_named_are_out_of_reach",
                 "no Landlock in this kernel");
        tap_skip("what_slips_through_plan_and_engine_is_refused_by_the_kernel",
                 "no Landlock in this kernel");
    }
    TAP_RUN(system_calls_that_lead_out_are_refused);
    TAP_RUN(memory_has_a_bound_and_there_are_no_core_dumps);
    TAP_RUN(wrong_paths_and_late_seals_are_told);
    tables_clear(&f.tables);
    return tap_done();
}
