/* Small objects, whole: written in one step, read in one step. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_TRIES = 8 }; /* a folder that dl_store_remove_empty takes away is made anew */

/* ---- writing ---- */

/* A spool with the bytes, on the disk. */
static dl_status spool_bytes(dl_store *store, dl_bytes bytes, dl_store_spool **out_spool,
                             dl_error *err)
{
    DL_AUTO(dl_store_spool) spool = NULL;
    DL_TRY(dl_store_spool_create(store, &spool, err));
    DL_TRY(dl_store_spool_write(spool, bytes, err));
    DL_TRY(dl_store_spool_sync(spool, err));
    *out_spool = DL_STEAL(spool);
    return DL_OK;
}

static bool links_are_missing(int os_code)
{
    return os_code == EPERM || os_code == EOPNOTSUPP || os_code == ENOSYS || os_code == EINVAL ||
           os_code == EMLINK;
}

/* A network file system may repeat a link whose answer was lost: two names mean that it was ours.
 */
static bool link_was_ours(const dl_store_spool *spool)
{
    struct stat file;
    return fstat(spool->fd, &file) == 0 && file.st_nlink > 1;
}

/* A second name for the spool; the first goes with the spool. */
static int link_spool(const dl_store *store, dl_store_spool *spool, const char *path)
{
    if (linkat(store->life_fd, spool->name, store->root_fd, path, 0) == 0) {
        return 0;
    }
    if (errno == EEXIST) {
        bool ours = link_was_ours(spool);
        errno = EEXIST;
        return ours ? 0 : -1;
    }
    if (!links_are_missing(errno)) {
        return -1;
    }
    if (renameat2(store->life_fd, spool->name, store->root_fd, path, RENAME_NOREPLACE) != 0) {
        return -1;
    }
    spool->state = DL_STORE_SPOOL_PUBLISHED;
    return 0;
}

static int rename_spool(const dl_store *store, dl_store_spool *spool, const char *path)
{
    if (renameat(store->life_fd, spool->name, store->root_fd, path) != 0) {
        return -1;
    }
    spool->state = DL_STORE_SPOOL_PUBLISHED;
    return 0;
}

typedef int naming(const dl_store *store, dl_store_spool *spool, const char *path);

/* Give the spool its key, with the folders that it needs. The name stays when the folder cannot be
 * synced: somebody may have read the object already and stand on it. */
static dl_status name_spool(dl_store *store, dl_store_spool *spool, dl_str key, naming *give,
                            dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(key, path, err));
    int given = give(store, spool, path);
    for (int i = 0; given != 0 && errno == ENOENT && i < NAME_TRIES; i++) {
        DL_TRY(dl_store_make_folders(store, key, err));
        given = give(store, spool, path);
    }
    if (given != 0 && errno == EEXIST) {
        return dl_error_set(err, DL_E_EXISTS, "the object %s exists", path);
    }
    if (given != 0 && (errno == EINVAL || errno == ENOSYS)) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the file system has neither links nor a rename that never overwrites, "
                            "so %s cannot be written safely",
                            path);
    }
    if (given != 0) {
        return dl_error_errno(err, errno, "cannot name the object %s", path);
    }
    dl_status status = dl_store_folder_sync(store, dl_store_key_folder(key), err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "writing %s, which is there but may not last", path);
    }
    return DL_OK;
}

static dl_status check_put(dl_str key, dl_bytes bytes, char path[DL_STORE_KEY_LIMIT_BYTES + 1],
                           dl_error *err)
{
    DL_TRY(dl_store_key_text(key, path, err));
    if (bytes.len > DL_STORE_PUT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "the object %s would have %zu bytes, more than %d",
                            path, bytes.len, (int)DL_STORE_PUT_LIMIT_BYTES);
    }
    return DL_OK;
}

dl_status dl_store_put_if_absent(dl_store *store, dl_str key, dl_bytes bytes, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(check_put(key, bytes, path, err));
    struct stat file;
    if (fstatat(store->root_fd, path, &file, AT_SYMLINK_NOFOLLOW) == 0) { /* lost already */
        return dl_error_set(err, DL_E_EXISTS, "the object %s exists", path);
    }
    DL_AUTO(dl_store_spool) spool = NULL;
    DL_TRY(spool_bytes(store, bytes, &spool, err));
    return name_spool(store, spool, key, link_spool, err);
}

dl_status dl_store_put(dl_store *store, dl_str key, dl_bytes bytes, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(check_put(key, bytes, path, err));
    DL_AUTO(dl_store_spool) spool = NULL;
    DL_TRY(spool_bytes(store, bytes, &spool, err));
    return name_spool(store, spool, key, rename_spool, err);
}

/* ---- reading ---- */

dl_status dl_store_get_range(dl_store *store, dl_str key, uint64_t offset_bytes, size_t len,
                             dl_buf *out, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(key, path, err));
    DL_AUTO_FD fd = -1;
    dl_store_stat stat = {0};
    DL_TRY(dl_store_open_path(store, path, &fd, &stat, err));
    uint64_t left = offset_bytes < stat.size_bytes ? stat.size_bytes - offset_bytes : 0;
    size_t take = left < len ? (size_t)left : len;
    if (take == 0) {
        return DL_OK;
    }
    dl_status status = dl_buf_reserve(out, take, err);
    if (status == DL_OK) {
        status = dl_file_read_at(fd, (int64_t)offset_bytes, out->ptr + out->len, take, err);
    }
    if (status != DL_OK) {
        return dl_error_within(err, status, "reading %s", path);
    }
    out->len += take;
    return DL_OK;
}

dl_status dl_store_get(dl_store *store, dl_str key, dl_buf *out, dl_error *err)
{
    return dl_store_get_range(store, key, 0, SIZE_MAX, out, err);
}

dl_status dl_store_location(const dl_store *store, dl_str key, dl_arena *arena,
                            dl_str *out_location, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(key, path, err));
    const char *root = store->root[1] == '\0' ? "" : store->root; /* "/" */
    return dl_arena_printf(arena, out_location, err, "%s/%s", root, path);
}
