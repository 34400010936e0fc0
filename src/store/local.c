/* The store on a local folder: opening, reading, removing, listing. */
#include "base/mem.h"
#include "store/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HASH_STEP_BYTES = 256 << 10 };

struct dl_store_object {
    int fd;
    uint64_t size_bytes;
};

void dl_store_stat_of(const struct stat *file, dl_store_stat *out_stat)
{
    out_stat->size_bytes = (uint64_t)file->st_size;
    out_stat->modified_us = (int64_t)file->st_mtim.tv_sec * 1000000 + file->st_mtim.tv_nsec / 1000;
    out_stat->tag = (int64_t)file->st_mtim.tv_sec * 1000000000 + file->st_mtim.tv_nsec;
    memset(out_stat->hash, 0, sizeof out_stat->hash);
}

void dl_store_hash_bytes(const XXH3_state_t *hash, dl_store_stat *stat)
{
    XXH128_canonical_t canonical;
    static_assert(sizeof canonical.digest == DL_STORE_HASH_BYTES, "XXH3-128");
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
    memcpy(stat->hash, canonical.digest, sizeof stat->hash);
}

/* ---- open and close ---- */

/* As mkdir -p; `mode` is cut by the umask. */
static dl_status make_root(const char *root, mode_t mode, dl_error *err)
{
    char part[PATH_MAX];
    if (!dl_str_copy(dl_str_of(root), part, sizeof part)) {
        return dl_error_set(err, DL_E_INVALID, "a store's path is longer than %zu bytes",
                            sizeof part - 1);
    }
    size_t len = strlen(part);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST) {
            return dl_error_errno(err, errno, "cannot make the folder %s", part);
        }
        part[i] = kept;
    }
    return DL_OK;
}

static dl_status open_root(const char *root, bool create, mode_t mode, int *out_fd, dl_error *err)
{
    dl_error cause = {0};
    dl_status status = dl_file_open(root, O_RDONLY | O_DIRECTORY, 0, out_fd, &cause);
    if (status != DL_E_NOT_FOUND || !create) {
        if (status != DL_OK && err != NULL) {
            *err = cause;
        }
        return status;
    }
    DL_TRY(make_root(root, mode, err));
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(root, O_RDONLY | O_DIRECTORY, 0, &fd, err));
    if (syncfs(fd) != 0) { /* once in a store's life: all the folders just made, up to any depth */
        return dl_error_errno(err, errno, "cannot sync the new folder %s", root);
    }
    *out_fd = fd;
    fd = -1;
    return DL_OK;
}

/* Who may see what the store makes. */
typedef struct rights {
    mode_t folder, file; /* before the umask */
} rights;

static dl_status open_store(const char *root, bool create, rights made, dl_store **out_store,
                            dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_TRY(open_root(root, create, made.folder, &fd, err));
    dl_store *store = dl_mem_zalloc(1, sizeof *store);
    if (store == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "store: out of memory");
    }
    store->root_fd = fd;
    fd = -1;
    store->life_fd = -1;
    store->folder_mode = made.folder;
    store->file_mode = made.file;
    (void)pthread_mutex_init(&store->lock, NULL);
    dl_status status = DL_OK;
    if (realpath(root, store->root) == NULL) {
        status = dl_error_errno(err, errno, "cannot resolve the path of a folder");
    }
    if (status == DL_OK) {
        status = dl_store_sweep(store, err);
    }
    if (status != DL_OK) {
        dl_store_close(store);
        return dl_error_within(err, status, "opening the store %s", root);
    }
    *out_store = store;
    return DL_OK;
}

dl_status dl_store_open_local(const char *root, dl_store **out_store, dl_error *err)
{
    return open_store(root, true, (rights){.folder = 0700, .file = 0600}, out_store, err);
}

dl_status dl_store_open_shared(const char *root, bool create, dl_store **out_store, dl_error *err)
{
    return open_store(root, create, (rights){.folder = 0777, .file = 0666}, out_store, err);
}

void dl_store_close(dl_store *store)
{
    if (store == NULL) {
        return;
    }
    if (store->life_fd >= 0) {
        char path[sizeof DL_STORE_SPOOL_FOLDER + DL_STORE_LIFE_NAME_SIZE];
        (void)snprintf(path, sizeof path, "%s/%s", DL_STORE_SPOOL_FOLDER, store->life);
        (void)unlinkat(store->root_fd, path, AT_REMOVEDIR); /* else the next sweep's */
    }
    dl_file_close(&store->life_fd);
    dl_file_close(&store->root_fd);
    (void)pthread_mutex_destroy(&store->lock);
    dl_mem_free(store);
}

/* ---- reading ---- */

static dl_status no_object(const char *path, dl_error *err)
{
    return dl_error_set(err, DL_E_NOT_FOUND, "there is no object %s", path);
}

/* Neither a folder nor a link nor a device is an object. */
static bool says_no_object(int os_code)
{
    return os_code == ENOENT || os_code == ENOTDIR || os_code == ELOOP;
}

dl_status dl_store_open_path(const dl_store *store, const char *path, int *out_fd,
                             dl_store_stat *out_stat, dl_error *err)
{
    struct stat file;
    DL_AUTO_FD fd =
        openat(store->root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) != 0) {
        return says_no_object(errno) ? no_object(path, err)
                                     : dl_error_errno(err, errno, "cannot open %s", path);
    }
    if (!S_ISREG(file.st_mode)) {
        return no_object(path, err);
    }
    dl_store_stat_of(&file, out_stat);
    *out_fd = fd;
    fd = -1;
    return DL_OK;
}

dl_status dl_store_stat_key(dl_store *store, dl_str key, dl_store_stat *out_stat, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    struct stat file;
    DL_TRY(dl_store_key_text(key, path, err));
    if (fstatat(store->root_fd, path, &file, AT_SYMLINK_NOFOLLOW) != 0) {
        return says_no_object(errno) ? no_object(path, err)
                                     : dl_error_errno(err, errno, "cannot look at %s", path);
    }
    if (!S_ISREG(file.st_mode)) {
        return no_object(path, err);
    }
    dl_store_stat_of(&file, out_stat);
    return DL_OK;
}

static dl_status check_expected(const char *path, const dl_store_stat *expect,
                                const dl_store_stat *found, dl_error *err)
{
    if (found->size_bytes != expect->size_bytes) {
        return dl_error_set(
            err, DL_E_CORRUPT, "the object %s was changed by somebody else: %llu bytes, not %llu",
            path, (unsigned long long)found->size_bytes, (unsigned long long)expect->size_bytes);
    }
    if (found->tag != expect->tag) {
        return dl_error_set(err, DL_E_CORRUPT,
                            "the object %s was changed by somebody else: its tag is %lld, not %lld",
                            path, (long long)found->tag, (long long)expect->tag);
    }
    return DL_OK;
}

dl_status dl_store_open_object(dl_store *store, dl_str key, const dl_store_stat *expect,
                               dl_store_object **out_object, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(key, path, err));
    DL_AUTO_FD fd = -1;
    dl_store_stat found = {0};
    dl_status status = dl_store_open_path(store, path, &fd, &found, err);
    if (status == DL_E_NOT_FOUND && expect != NULL) {
        return dl_error_set(err, DL_E_CORRUPT, "the object %s was removed by somebody else", path);
    }
    DL_TRY(status);
    if (expect != NULL) {
        DL_TRY(check_expected(path, expect, &found, err));
    }
    dl_store_object *object = dl_mem_zalloc(1, sizeof *object);
    if (object == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "object: out of memory");
    }
    object->fd = fd;
    fd = -1;
    object->size_bytes = found.size_bytes;
    *out_object = object;
    return DL_OK;
}

void dl_store_object_close(dl_store_object *object)
{
    if (object != NULL) {
        dl_file_close(&object->fd);
        dl_mem_free(object);
    }
}

uint64_t dl_store_object_size(const dl_store_object *object)
{
    return object->size_bytes;
}

dl_status dl_store_object_read(dl_store_object *object, uint64_t offset_bytes, void *out,
                               size_t len, dl_error *err)
{
    if (offset_bytes > object->size_bytes || len > object->size_bytes - offset_bytes) {
        return dl_error_set(err, DL_E_INVALID, "bytes %llu + %zu are past an object's end at %llu",
                            (unsigned long long)offset_bytes, len,
                            (unsigned long long)object->size_bytes);
    }
    return dl_file_read_at(object->fd, (int64_t)offset_bytes, out, len, err);
}

int dl_store_object_fd(const dl_store_object *object)
{
    return object->fd;
}

static dl_status hash_file(int fd, uint64_t size_bytes, uint8_t *room, XXH3_state_t *hash,
                           dl_error *err)
{
    for (uint64_t at = 0; at < size_bytes;) {
        uint64_t left = size_bytes - at;
        size_t step = left < HASH_STEP_BYTES ? (size_t)left : HASH_STEP_BYTES;
        DL_TRY(dl_file_read_at(fd, (int64_t)at, room, step, err));
        (void)XXH3_128bits_update(hash, room, step);
        at += step;
    }
    return DL_OK;
}

dl_status dl_store_hash(dl_store *store, dl_str key, dl_store_stat *out_stat, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(key, path, err));
    DL_AUTO_FD fd = -1;
    dl_store_stat stat = {0};
    DL_TRY(dl_store_open_path(store, path, &fd, &stat, err));
    uint8_t *room = dl_mem_alloc(1, HASH_STEP_BYTES);
    XXH3_state_t *hash = XXH3_createState();
    dl_status status = DL_OK;
    if (room == NULL || hash == NULL || XXH3_128bits_reset(hash) != XXH_OK) {
        status = dl_error_set(err, DL_E_NOMEM, "hash: out of memory");
    } else {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        status = hash_file(fd, stat.size_bytes, room, hash, err);
    }
    if (status == DL_OK) {
        dl_store_hash_bytes(hash, &stat);
        *out_stat = stat;
    } else {
        status = dl_error_within(err, status, "hashing %s", path);
    }
    (void)XXH3_freeState(hash);
    dl_mem_free(room);
    return status;
}

/* ---- removing, probing ---- */

dl_status dl_store_remove(dl_store *store, dl_str key, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(key, path, err));
    if (unlinkat(store->root_fd, path, 0) != 0) {
        if (errno == ENOTDIR || errno == EISDIR) {
            return DL_OK; /* what stands there is no object */
        }
        if (errno != ENOENT) {
            return dl_error_errno(err, errno, "cannot remove %s", path);
        }
    }
    /* Also when it was not there: whoever removed it may not have synced yet. */
    dl_status status = dl_store_folder_sync(store, dl_store_key_folder(key), err);
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        status = DL_OK;
    }
    return status;
}

dl_status dl_store_probe(dl_store *store, dl_error *err)
{
    DL_AUTO(dl_store_spool) spool = NULL;
    DL_TRY(dl_store_spool_create(store, &spool, err));
    DL_TRY(dl_store_spool_write(spool, (dl_bytes){(const uint8_t *)"probe", 5}, err));
    if (fsync(spool->fd) != 0) {
        return dl_error_errno(err, errno, "cannot sync a probe object");
    }
    return DL_OK;
}
