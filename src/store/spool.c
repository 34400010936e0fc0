/* Spools: what is being written, before it has a key. */
#include "base/mem.h"
#include "base/random.h"
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LIFE_TRIES = 8 };

/* A life's folder is made, opened and locked in three steps; a sweep elsewhere may take it between
 * them for a dead one. Then it is gone or locked, and the next name is tried. */
static dl_status try_life(dl_store *store, char name[DL_STORE_LIFE_NAME_SIZE], int *out_fd,
                          dl_error *err)
{
    char path[sizeof DL_STORE_SPOOL_FOLDER + DL_STORE_LIFE_NAME_SIZE];
    dl_random_hex(name, (DL_STORE_LIFE_NAME_SIZE - 1) / 2);
    (void)snprintf(path, sizeof path, "%s/%s", DL_STORE_SPOOL_FOLDER, name);
    if (mkdirat(store->root_fd, DL_STORE_SPOOL_FOLDER, store->folder_mode) != 0 &&
        errno != EEXIST) {
        return dl_error_errno(err, errno, "cannot make the spool folder");
    }
    if (mkdirat(store->root_fd, path, store->folder_mode) != 0) {
        return dl_error_errno(err, errno, "cannot make a spool folder of our own");
    }
    DL_AUTO_FD fd = openat(store->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat folder;
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &folder) != 0) {
        return dl_error_errno(err, errno, "cannot lock a spool folder of our own");
    }
    if (folder.st_nlink == 0) {
        return dl_error_errno(err, ENOENT, "cannot keep a spool folder of our own");
    }
    *out_fd = fd;
    fd = -1;
    return DL_OK;
}

dl_status dl_store_life_open(dl_store *store, dl_error *err)
{
    dl_status status = DL_OK;
    (void)pthread_mutex_lock(&store->lock);
    for (int i = 0; store->life_fd < 0 && i < LIFE_TRIES; i++) {
        status = try_life(store, store->life, &store->life_fd, err);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

/* What we may not remove (another user's, a read-only place) is not ours to sweep. */
static bool is_not_ours(int os_code)
{
    return os_code == EROFS || os_code == EACCES || os_code == EPERM;
}

/* The folder is empty afterwards, or says why not. */
static dl_status empty_life(int fd, dl_error *err)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* closedir closes it; `fd` keeps the lock */
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (dir == NULL) {
        dl_status status = dl_error_errno(err, errno, "cannot read a spool folder");
        dl_file_close(&own);
        return status;
    }
    dl_status status = DL_OK;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): a stream of our own
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(fd, entry->d_name, 0) != 0 && errno != ENOENT && !is_not_ours(errno)) {
            status = dl_error_errno(err, errno, "cannot remove an old spool");
        }
    }
    (void)closedir(dir);
    return status;
}

static dl_status sweep_life(int spools_fd, const char *name, dl_error *err)
{
    DL_AUTO_FD fd = openat(spools_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return DL_OK; /* gone, somebody else's, or alive */
    }
    DL_TRY(empty_life(fd, err));
    if (unlinkat(spools_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT && errno != ENOTEMPTY &&
        !is_not_ours(errno)) {
        return dl_error_errno(err, errno, "cannot remove an old spool folder");
    }
    return DL_OK;
}

dl_status dl_store_sweep(dl_store *store, dl_error *err)
{
    int fd = openat(store->root_fd, DL_STORE_SPOOL_FOLDER,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || is_not_ours(errno))) {
        return DL_OK;
    }
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        dl_status status = dl_error_errno(err, errno, "cannot read the spool folder");
        dl_file_close(&fd);
        return status;
    }
    dl_status status = DL_OK;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): a stream of our own
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            dl_status swept = sweep_life(fd, entry->d_name, err);
            status = swept != DL_OK ? swept : status;
        }
    }
    (void)closedir(dir);
    return status;
}

dl_status dl_store_spool_create(dl_store *store, dl_store_spool **out_spool, dl_error *err)
{
    DL_TRY(dl_store_life_open(store, err));
    DL_AUTO(dl_store_spool) spool = dl_mem_zalloc(1, sizeof *spool);
    if (spool == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "spool: out of memory");
    }
    spool->store = store;
    spool->fd = -1;
    spool->hash = XXH3_createState();
    if (spool->hash == NULL || XXH3_128bits_reset(spool->hash) != XXH_OK) {
        return dl_error_set(err, DL_E_NOMEM, "spool: out of memory");
    }
    uint64_t number = atomic_fetch_add_explicit(&store->next_spool, 1, memory_order_relaxed);
    (void)snprintf(spool->name, sizeof spool->name, "%" PRIu64, number);
    spool->fd = openat(store->life_fd, spool->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                       store->file_mode);
    if (spool->fd < 0) {
        return dl_error_errno(err, errno, "cannot make a spool");
    }
    *out_spool = DL_STEAL(spool);
    return DL_OK;
}

void dl_store_spool_destroy(dl_store_spool *spool)
{
    if (spool == NULL) {
        return;
    }
    if (spool->fd >= 0 && spool->state != DL_STORE_SPOOL_PUBLISHED) {
        (void)unlinkat(spool->store->life_fd, spool->name, 0); /* else the next sweep's */
    }
    dl_file_close(&spool->fd);
    (void)XXH3_freeState(spool->hash);
    dl_mem_free(spool);
}

/* Let the disk work while the rest still arrives: the sync at the end then waits for little. */
static void start_write_out(dl_store_spool *spool)
{
    uint64_t waiting = spool->size_bytes - spool->write_out_bytes;
    if (waiting >= DL_STORE_WRITE_OUT_BYTES) {
        (void)sync_file_range(spool->fd, (off_t)spool->write_out_bytes, (off_t)waiting,
                              SYNC_FILE_RANGE_WRITE); /* only a wish */
        spool->write_out_bytes = spool->size_bytes;
    }
}

dl_status dl_store_spool_write(dl_store_spool *spool, dl_bytes bytes, dl_error *err)
{
    if (spool->state != DL_STORE_SPOOL_OPEN) {
        return dl_error_set(err, DL_E_INVALID, "a spool takes no writes after %s",
                            spool->state == DL_STORE_SPOOL_BROKEN ? "a write that failed"
                                                                  : "its publishing");
    }
    if (bytes.len == 0) {
        return DL_OK;
    }
    dl_status status = dl_file_write_all(spool->fd, bytes.ptr, bytes.len, err);
    if (status != DL_OK) {
        spool->state = DL_STORE_SPOOL_BROKEN;
        return dl_error_within(err, status, "writing a spool at byte %" PRIu64, spool->size_bytes);
    }
    (void)XXH3_128bits_update(spool->hash, bytes.ptr, bytes.len);
    spool->size_bytes += bytes.len;
    spool->synced = false;
    start_write_out(spool);
    return DL_OK;
}

dl_status dl_store_sync_failed(dl_store_spool *spool, int os_code, dl_error *err)
{
    spool->state = DL_STORE_SPOOL_BROKEN;
    return dl_error_errno(err, os_code, "cannot sync an object of %llu bytes",
                          (unsigned long long)spool->size_bytes);
}

/* fsync, not fdatasync: the tag is the file's mtime, so the mtime must last as well. */
dl_status dl_store_spool_sync(dl_store_spool *spool, dl_error *err)
{
    struct stat file;
    if (spool->synced) {
        return DL_OK;
    }
    if (spool->state != DL_STORE_SPOOL_OPEN) {
        return dl_error_set(err, DL_E_INVALID, "a spool that takes no writes cannot be synced");
    }
    if (fsync(spool->fd) != 0 || fstat(spool->fd, &file) != 0) {
        return dl_store_sync_failed(spool, errno, err);
    }
    dl_store_stat stat = {0};
    dl_store_stat_of(&file, &stat);
    dl_store_hash_bytes(spool->hash, &stat);
    if (stat.size_bytes != spool->size_bytes) {
        spool->state = DL_STORE_SPOOL_BROKEN;
        return dl_error_set(err, DL_E_CORRUPT, "a spool has %llu bytes after writing %llu",
                            (unsigned long long)stat.size_bytes,
                            (unsigned long long)spool->size_bytes);
    }
    spool->stat = stat;
    spool->synced = true;
    return DL_OK;
}

uint64_t dl_store_spool_size(const dl_store_spool *spool)
{
    return spool->size_bytes;
}

int dl_store_spool_fd(const dl_store_spool *spool)
{
    return spool->fd;
}
