/**
 * File: the few calls on the local file system that every layer needs, each close-on-exec.
 *
 * Paths are NUL-terminated. Every descriptor made here has O_CLOEXEC, so that children never
 * inherit one.
 *
 * Thread: locked (the kernel's own guarantees).
 */
#ifndef DL_BASE_FILE_H
#define DL_BASE_FILE_H

#include "base/buf.h"

#include <sys/types.h>

/** open(2) with O_CLOEXEC added. `out_fd` is the caller's to close with dl_file_close. */
DL_NODISCARD dl_status dl_file_open(const char *path, int flags, mode_t mode, int *out_fd,
                                    dl_error *err);
/** Close and set to -1; fine on -1. */
void dl_file_close(int *fd);
#define DL_AUTO_FD DL_CLEANUP(dl_file_close) int

/**
 * Take those of the descriptors 0 to 2 that the caller of the program closed, so that no file
 * opened later becomes standard output and gets what is printed. To read from or write to one taken
 * so fails. First of all, before there are threads.
 */
DL_NODISCARD dl_status dl_file_take_standard(dl_error *err);

/**
 * Open what stands below a folder for reading, and nothing outside of it: no absolute path, no
 * "..", no link that leads out, no device. `below` is relative, at most 4,095 bytes; empty: the
 * folder itself. Never waits (a FIFO is refused).
 *
 * Errors: DL_E_NOT_FOUND, DL_E_DENIED (leads out, or the system says no), DL_E_INVALID (neither
 * plain file nor folder), DL_E_IO.
 */
DL_NODISCARD dl_status dl_file_open_below(int folder_fd, dl_str below, int *out_fd,
                                          bool *out_folder, uint64_t *out_size_bytes,
                                          dl_error *err);

DL_NODISCARD dl_status dl_file_write_all(int fd, const void *bytes, size_t len, dl_error *err);
/** Exactly `len` bytes from `offset`; DL_E_CORRUPT when the file ends before. */
DL_NODISCARD dl_status dl_file_read_at(int fd, int64_t offset, void *out, size_t len,
                                       dl_error *err);
/** The whole file; DL_E_LIMIT when it is longer than the buffer's limit. */
DL_NODISCARD dl_status dl_file_read_all(const char *path, dl_buf *buf, dl_error *err);
/** mkdir -p with mode 0700 for what is missing; what is made survives power loss. */
DL_NODISCARD dl_status dl_file_make_dirs(const char *path, dl_error *err);
/** The same without that: for many folders of files that are not synced either. */
DL_NODISCARD dl_status dl_file_make_dirs_unsynced(const char *path, dl_error *err);
/** Replace the file at once: write beside it, sync, rename, sync the folder. */
DL_NODISCARD dl_status dl_file_replace(const char *path, dl_str content, dl_error *err);

enum { DL_FILE_PATH_SIZE = 4096 };

/**
 * A file that comes to be whole or not at all: open, write to `fd`, finish; clear gives up what was
 * not finished. Until then it has no name, so that a kill leaves nothing of it; on a file system
 * that cannot do that (NFS, FUSE) it is a hidden file beside its place, ".NAME.PID.tmp".
 */
typedef struct dl_file_draft {
    int fd; /* -1: none */
    bool named;
    char path[DL_FILE_PATH_SIZE], beside[DL_FILE_PATH_SIZE];
} dl_file_draft;
/** `mode` as for open(2). Errors: DL_E_INVALID (too long a path), DL_E_DENIED, DL_E_NOT_FOUND,
 * DL_E_IO. */
DL_NODISCARD dl_status dl_file_draft_open(dl_file_draft *draft, const char *path, mode_t mode,
                                          dl_error *err);
/** Synced, then in the place of what was there. */
DL_NODISCARD dl_status dl_file_draft_finish(dl_file_draft *draft, dl_error *err);
/** Fine after finish, and on one whose `fd` is -1. */
void dl_file_draft_clear(dl_file_draft *draft);

/** fsync a folder, so that names made in it last. */
DL_NODISCARD dl_status dl_file_sync_dir(const char *path, dl_error *err);

#endif
