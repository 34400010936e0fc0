/* seccomp: system calls that a session never makes are refused, as EPERM. What is not listed is
 * let through: files are Landlock's, and a list of what libc and libduckdb may call would break
 * with each of their versions. */
#include "query/seal_internal.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
enum { X32_BEGIN = 0x40000000 }; /* the same calls under other numbers */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
enum { X32_BEGIN = 0x7fffffff };
#endif

enum { PROGRAM_LIMIT = 512 };

static const int denied_network[] = {
    SYS_socket,  SYS_socketpair, SYS_connect, SYS_bind,     SYS_listen,  SYS_accept,
    SYS_accept4, SYS_sendto,     SYS_sendmsg, SYS_sendmmsg, SYS_recvmsg, SYS_recvmmsg,
};

static const int denied[] = {
    /* other programs */
    SYS_execve,
    SYS_execveat,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
    /* other processes */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_process_madvise,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_migrate_pages,
    SYS_move_pages,
    /* memory and messages shared with others */
    SYS_shmget,
    SYS_shmat,
    SYS_shmctl,
    SYS_msgget,
    SYS_msgctl,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_semget,
    SYS_semctl,
    SYS_semop,
    SYS_mq_open,
    SYS_mq_unlink,
    SYS_memfd_create,
    SYS_userfaultfd,
    /* the machine */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_acct,
    SYS_quotactl,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_syslog,
    SYS_vhangup,
    SYS_nfsservctl,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_mount_setattr
    SYS_mount_setattr,
#endif
#ifdef SYS_quotactl_fd
    SYS_quotactl_fd,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
    /* the kernel's own languages and keys */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_setup,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    SYS_personality,
    /* who one is */
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setgroups,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_capset,
    /* what Landlock leaves alone: rights, owners, attributes of files */
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
#ifdef SYS_chmod
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
#endif
#ifdef SYS_fchmodat2
    SYS_fchmodat2,
#endif
};

/* ---- the filter ---- */

typedef struct program {
    struct sock_filter code[PROGRAM_LIMIT];
    unsigned short count;
} program;

static void put(program *p, struct sock_filter line)
{
    DL_ASSERT(p->count < PROGRAM_LIMIT);
    p->code[p->count++] = line;
}

static void put_load(program *p, size_t offset)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void put_return(program *p, uint32_t what)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

/* The next line is skipped unless what was loaded is `value`. */
static void put_if_equal(program *p, uint32_t value)
{
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
}

static void put_if_any_bit(program *p, uint32_t bits)
{
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
}

static const uint32_t refused = SECCOMP_RET_ERRNO | EPERM;

static void put_denied(program *p, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_if_equal(p, (uint32_t)calls[i]);
        put_return(p, refused);
    }
}

/* Lines of one call alone: what begin_call leaves open, end_call closes. */
static unsigned short begin_call(program *p, int call)
{
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 0));
    return (unsigned short)(p->count - 1);
}

static void end_call(program *p, unsigned short begin, uint32_t otherwise)
{
    put_return(p, otherwise);
    p->code[begin].jf = (unsigned char)(p->count - begin - 1);
}

static size_t argument(size_t i)
{
    return offsetof(struct seccomp_data, args) + (i * sizeof(uint64_t)); /* its lower half */
}

/* A call that is let through when an argument is this process, or 0 where that means the same. */
static void put_own_process(program *p, int call, bool zero_too)
{
    unsigned short begin = begin_call(p, call);
    put_load(p, argument(0));
    put_if_equal(p, (uint32_t)getpid());
    put_return(p, SECCOMP_RET_ALLOW);
    if (zero_too) {
        put_if_equal(p, 0);
        put_return(p, SECCOMP_RET_ALLOW);
    }
    end_call(p, begin, refused);
}

static void put_arguments(program *p)
{
    /* Threads, and no processes. clone3's argument is out of sight: without it libc takes clone. */
    unsigned short begin = begin_call(p, SYS_clone);
    put_load(p, argument(0));
    put_if_any_bit(p, CLONE_THREAD);
    put_return(p, SECCOMP_RET_ALLOW);
    end_call(p, begin, refused);
    begin = begin_call(p, SYS_clone3);
    end_call(p, begin, SECCOMP_RET_ERRNO | ENOSYS);
    /* No input for the terminal's next program. */
    begin = begin_call(p, SYS_ioctl);
    put_load(p, argument(1));
    put_if_equal(p, TIOCSTI);
    put_return(p, refused);
    put_if_equal(p, TIOCLINUX);
    put_return(p, refused);
    end_call(p, begin, SECCOMP_RET_ALLOW);
    /* No new code: neither a library nor what was written into memory. */
    static const int mapping[] = {SYS_mmap, SYS_mprotect, SYS_pkey_mprotect};
    for (size_t i = 0; i < DL_COUNT_OF(mapping); i++) {
        begin = begin_call(p, mapping[i]);
        put_load(p, argument(2));
        put_if_any_bit(p, PROT_EXEC);
        put_return(p, refused);
        end_call(p, begin, SECCOMP_RET_ALLOW);
    }
    put_own_process(p, SYS_kill, false);
    put_own_process(p, SYS_tgkill, false);
    put_own_process(p, SYS_prlimit64, true);
}

static void make_program(program *p, bool network)
{
    put_load(p, offsetof(struct seccomp_data, arch));
    put_if_equal(p, ARCH);
    put(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1));
    put_return(p, SECCOMP_RET_KILL_PROCESS);
    put_load(p, offsetof(struct seccomp_data, nr));
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BEGIN, 0, 1));
    put_return(p, refused);
    put_denied(p, denied, DL_COUNT_OF(denied));
    if (!network) {
        put_denied(p, denied_network, DL_COUNT_OF(denied_network));
    }
    put_arguments(p);
    put_return(p, SECCOMP_RET_ALLOW);
}

dl_status dl_seal_calls(bool network, bool *out_applied, dl_error *err)
{
    program p = {.count = 0};
    make_program(&p, network);
    struct sock_fprog filter = {.len = p.count, .filter = p.code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0) {
        *out_applied = true;
        return DL_OK;
    }
    if (errno == ENOSYS || errno == EINVAL) {
        *out_applied = false;
        return DL_OK;
    }
    return dl_error_errno(err, errno, "seal: system calls cannot be denied");
}
