/* Landlock by its system calls: libc has no functions of theirs, and the headers of the machine
 * that compiles may be older than the kernel that runs. */
#include "query/seal.h"

#include "base/file.h"
#include "base/sanitize.h"
#include "query/seal_internal.h"
#include "query/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { /* the same on all machines */
       CALL_CREATE = 444,
       CALL_ADD_RULE = 445,
       CALL_RESTRICT = 446,
       CREATE_VERSION = 1,
       RULE_PATH_BENEATH = 1,
};

/* linux/landlock.h */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_ALL_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* from 2 */
    FS_TRUNCATE = 1 << 14,  /* from 3 */
    FS_IOCTL_DEV = 1 << 15, /* from 5 */
    FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
    NET_ALL_4 = 3,   /* bind and connect by TCP */
    SCOPE_ALL_6 = 3, /* abstract sockets, signals */
};

typedef struct ruleset_attributes {
    uint64_t fs, net, scoped;
} ruleset_attributes;

typedef struct __attribute__((packed)) path_attributes {
    uint64_t allowed;
    int32_t parent;
} path_attributes;

enum { BESIDES_BYTES = 512 << 20, STACK_BYTES = 8 << 20 };

/* What libc and libduckdb look at themselves: how many processors and how much memory there are,
 * the time zone, random bytes. What is not there is left out. */
static const char *const of_the_system[] = {
    "/proc/self/cgroup", "/proc/meminfo",
    "/proc/stat",        "/proc/sys/vm/overcommit_memory",
    "/sys/fs/cgroup",    "/sys/devices/system/cpu",
    "/etc/localtime",    "/usr/share/zoneinfo",
    "/dev/urandom",      "/dev/null",
};

typedef struct sealing {
    dl_query *query;
    const dl_query_seal_options *options;
    int version; /* of Landlock; 0: none */
    int ruleset;
    uint64_t handled;
} sealing;

/* ---- files ---- */

static uint64_t rights_of(int version)
{
    return FS_ALL_1 | (version >= 2 ? FS_REFER : 0U) | (version >= 3 ? FS_TRUNCATE : 0U) |
           (version >= 5 ? FS_IOCTL_DEV : 0U);
}

/* Absent paths: an error where somebody asked for them, nothing where they are ours. */
static dl_status allow(const sealing *s, const char *path, uint64_t rights, bool must_exist,
                       dl_error *err)
{
    DL_AUTO_FD fd = -1;
    dl_error why = {0};
    if (dl_file_open(path, O_PATH, 0, &fd, &why) != DL_OK) {
        return must_exist ? dl_error_errno(err, why.os_code, "seal: %s", path) : DL_OK;
    }
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return dl_error_errno(err, errno, "seal: %s", path);
    }
    path_attributes attributes = {.allowed = rights & s->handled, .parent = fd};
    if (!S_ISDIR(status.st_mode)) {
        attributes.allowed &= FS_OF_FILES;
    }
    if (syscall(CALL_ADD_RULE, s->ruleset, RULE_PATH_BENEATH, &attributes, 0) != 0) {
        return dl_error_errno(err, errno, "seal: %s", path);
    }
    return DL_OK;
}

static dl_status allow_all(const sealing *s, dl_error *err)
{
    static const uint64_t reading = FS_READ_FILE | FS_READ_DIR;
    static const uint64_t writing = ~(uint64_t)FS_EXECUTE;
    const dl_query_options *options = &s->query->options;
    for (size_t i = 0; i < DL_COUNT_OF(of_the_system); i++) {
        DL_TRY(allow(s, of_the_system[i], reading, false, err));
    }
    DL_TRY(allow(s, "/dev/null", writing, false, err));
    for (size_t i = 0; i < options->table_count; i++) { /* copies: NUL-terminated */
        DL_TRY(allow(s, options->tables[i].folder.ptr, reading, false, err));
    }
    for (size_t i = 0; i < options->root_count; i++) {
        DL_TRY(allow(s, options->roots[i].folder.ptr, reading, false, err));
    }
    if (options->temp_folder != NULL) {
        DL_TRY(allow(s, options->temp_folder, writing, false, err));
    }
    for (size_t i = 0; i < s->options->read_count; i++) {
        DL_TRY(allow(s, s->options->read[i], reading, true, err));
    }
    for (size_t i = 0; i < s->options->write_count; i++) {
        DL_TRY(allow(s, s->options->write[i], writing, true, err));
    }
    return DL_OK;
}

static dl_status seal_files(sealing *s, dl_error *err)
{
    s->handled = rights_of(s->version);
    ruleset_attributes attributes = {
        .fs = s->handled,
        .net = s->version >= 4 && !s->options->network ? NET_ALL_4 : 0,
        .scoped = s->version >= 6 ? SCOPE_ALL_6 : 0,
    };
    size_t size = s->version >= 6   ? sizeof(attributes)
                  : s->version >= 4 ? offsetof(ruleset_attributes, scoped)
                                    : offsetof(ruleset_attributes, net);
    DL_AUTO_FD ruleset = (int)syscall(CALL_CREATE, &attributes, size, 0);
    if (ruleset < 0) {
        return dl_error_errno(err, errno, "seal: no rules for files");
    }
    s->ruleset = ruleset;
    DL_TRY(allow_all(s, err));
    if (syscall(CALL_RESTRICT, ruleset, 0) != 0) {
        return dl_error_errno(err, errno, "seal: the rules for files are refused");
    }
    return DL_OK;
}

/* ---- limits ---- */

static dl_status limit(__rlimit_resource_t resource, uint64_t bytes, dl_error *err)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0) {
        return dl_error_errno(err, errno, "seal: limits of the process");
    }
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > bytes) {
        now.rlim_max = bytes;
    }
    now.rlim_cur = now.rlim_max;
    if (setrlimit(resource, &now) != 0) {
        return dl_error_errno(err, errno, "seal: limits of the process");
    }
    return DL_OK;
}

/* A sanitizer's own memory is many times the program's, and it ends what it cannot serve. */
static const bool bounds_memory = !DL_SANITIZE_SHADOW;

/* What the engine counts is kept by its own limit; above it come what the allocator keeps, the
 * threads' stacks, and texts. */
static uint64_t memory_of(const dl_query_limits *limits)
{
    uint64_t engine = limits->memory_bytes == 0 ? DL_ENGINE_MEMORY_BYTES : limits->memory_bytes;
    uint64_t threads =
        limits->threads == 0 ? (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) : limits->threads;
    return engine > UINT64_MAX / 4 ? engine
                                   : (2 * engine) + BESIDES_BYTES + (threads * STACK_BYTES);
}

static dl_status seal_limits(const sealing *s, dl_error *err)
{
    DL_TRY(limit(RLIMIT_CORE, 0, err));
    /* Of what is private and can be written; address space (RLIMIT_AS) would count the files that
     * are mapped and what the allocator reserves. */
    if (bounds_memory) {
        uint64_t memory = s->options->memory_bytes;
        DL_TRY(limit(RLIMIT_DATA, memory > 0 ? memory : memory_of(&s->query->options.limits), err));
    }
    /* A core may be piped to a program whatever its limit is; one that is not dumpable never. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return dl_error_errno(err, errno, "seal: rights of the process");
    }
    return DL_OK;
}

/* ---- the engine's own list ---- */

/* Folders that may be written are told to the engine too, as it will see them. */
static dl_status copy_folders(dl_query *query, const dl_query_seal_options *options, dl_error *err)
{
    dl_str *folders = dl_arena_alloc(query->arena, options->write_count + 1, sizeof(*folders));
    if (folders == NULL) {
        return dl_arena_full(query->arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < options->write_count; i++) {
        char path[PATH_MAX];
        struct stat status;
        if (realpath(options->write[i], path) == NULL || stat(path, &status) != 0) {
            return dl_error_errno(err, errno, "seal: %s", options->write[i]);
        }
        if (S_ISDIR(status.st_mode)) {
            DL_TRY(dl_arena_copy(query->arena, dl_str_of(path), &folders[count++], err));
        }
    }
    query->folders = folders;
    query->folder_count = count;
    return DL_OK;
}

dl_status dl_query_seal(dl_query *query, const dl_query_seal_options *options,
                        dl_query_sealed *out_sealed, dl_error *err)
{
    if (query->closed_off || query->busy) {
        return dl_error_set(err, DL_E_CONFLICT, "seal: the session has begun");
    }
    sealing s = {.query = query, .options = options, .ruleset = -1};
    dl_query_sealed sealed = {0};
    DL_TRY(copy_folders(query, options, err));
    DL_TRY(seal_limits(&s, err));
    long version = syscall(CALL_CREATE, NULL, 0, CREATE_VERSION);
    s.version = version < 0 ? 0 : (int)version; /* ENOSYS, EOPNOTSUPP: there is none */
    if (s.version > 0) {
        DL_TRY(seal_files(&s, err));
        sealed.files = true;
        sealed.landlock_version = s.version;
    }
    DL_TRY(dl_seal_calls(options->network, &sealed.calls, err));
    *out_sealed = sealed;
    return DL_OK;
}
