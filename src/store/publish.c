/* Publishing: a group of spools gets its keys with one round of syncs.
 *
 * The order is: data of all to the disk, then the names, then the folders. So nothing incomplete
 * ever stands under a key, also after power loss; docs/decisions/0001-group-sync.md has the figures
 * of the other orders. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- folders whose own names are durable ---- */

static dl_store_folder_id folder_id(dl_str folder)
{
    XXH128_hash_t hash = XXH3_128bits(folder.ptr, folder.len);
    return (dl_store_folder_id){hash.low64, hash.high64};
}

static dl_store_folder_id *folder_slot(dl_store *store, dl_store_folder_id id)
{
    return &store->known[id.low % DL_STORE_FOLDERS_KNOWN];
}

/* Whether the folder and all above it are durable; `out_round` goes to folder_remember. */
static bool folder_is_known(dl_store *store, dl_str folder, uint64_t *out_round)
{
    if (folder.len == 0) {
        return true;
    }
    dl_store_folder_id id = folder_id(folder);
    (void)pthread_mutex_lock(&store->lock);
    const dl_store_folder_id *slot = folder_slot(store, id);
    bool known = slot->low == id.low && slot->high == id.high;
    *out_round = store->known_round;
    (void)pthread_mutex_unlock(&store->lock);
    return known;
}

/* Not when a folder was made since `round`: what was synced may be another folder of that name. */
static void folder_remember(dl_store *store, dl_str folder, uint64_t round)
{
    dl_store_folder_id id = folder_id(folder);
    (void)pthread_mutex_lock(&store->lock);
    if (store->known_round == round) {
        *folder_slot(store, id) = id;
    }
    (void)pthread_mutex_unlock(&store->lock);
}

/* Called before a folder is made: whoever finds it made then finds it forgotten as well. */
void dl_store_folder_forget(dl_store *store, dl_str folder)
{
    dl_store_folder_id id = folder_id(folder);
    (void)pthread_mutex_lock(&store->lock);
    *folder_slot(store, id) = (dl_store_folder_id){0};
    store->known_round++;
    (void)pthread_mutex_unlock(&store->lock);
}

/* Every folder above the key that is missing. */
dl_status dl_store_make_folders(dl_store *store, dl_str key, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] != '/') {
            continue;
        }
        memcpy(path, key.ptr, i);
        path[i] = '\0';
        dl_store_folder_forget(store, (dl_str){path, i});
        if (mkdirat(store->root_fd, path, store->folder_mode) != 0 && errno != EEXIST) {
            return dl_error_errno(err, errno, "cannot make the folder %s", path);
        }
    }
    return DL_OK;
}

static dl_status sync_one_folder(dl_store *store, dl_str folder, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1] = ".";
    if (folder.len > 0) {
        memcpy(path, folder.ptr, folder.len);
        path[folder.len] = '\0';
    }
    DL_AUTO_FD fd = openat(store->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        return dl_error_errno(err, errno, "cannot sync the folder %s", path);
    }
    return DL_OK;
}

dl_status dl_store_folder_sync(dl_store *store, dl_str folder, dl_error *err)
{
    uint64_t round = 0;
    bool known = folder_is_known(store, folder, &round);
    DL_TRY(sync_one_folder(store, folder, err));
    if (known) {
        return DL_OK;
    }
    dl_str above = folder;
    do { /* somebody has just made it, or an earlier life did and fell */
        above = dl_store_key_folder(above);
        DL_TRY(sync_one_folder(store, above, err));
    } while (above.len > 0);
    folder_remember(store, folder, round);
    return DL_OK;
}

/* ---- one item ---- */

static dl_status check_item(dl_store *store, const dl_store_publish_item *item, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    DL_TRY(dl_store_key_text(item->key, path, err));
    DL_ASSERT(item->spool->store == store);
    if (item->spool->state == DL_STORE_SPOOL_BROKEN) {
        return dl_error_set(err, DL_E_INVALID, "a spool with a failed write cannot be published");
    }
    if (item->spool->state == DL_STORE_SPOOL_PUBLISHED) {
        return dl_error_set(err, DL_E_INVALID, "a spool is published only once");
    }
    return DL_OK;
}

/* All data first, then the syncs: so the new sizes of all share one commit of the journal, which
 * the first sync writes and the others find done. */
static void write_out_group(dl_store_publish_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].status == DL_OK && !items[i].spool->synced) {
            (void)sync_file_range(items[i].spool->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        }
    }
    for (size_t i = 0; i < count; i++) { /* the wait reports a failed write, and only once */
        if (items[i].status == DL_OK && !items[i].spool->synced &&
            sync_file_range(items[i].spool->fd, 0, 0, SYNC_FILE_RANGE_WAIT_AFTER) != 0) {
            items[i].status = dl_store_sync_failed(items[i].spool, errno, items[i].err);
        }
    }
}

/* rename without overwriting; for file systems that have none: a second name, then the first off */
static int move_spool(const dl_store *store, const dl_store_spool *spool, const char *path)
{
    if (renameat2(store->life_fd, spool->name, store->root_fd, path, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (linkat(store->life_fd, spool->name, store->root_fd, path, 0) != 0) {
        return -1;
    }
    (void)unlinkat(store->life_fd, spool->name, 0); /* else the next sweep's */
    return 0;
}

static dl_status link_item(dl_store *store, const dl_store_publish_item *item, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    if (item->spool->state != DL_STORE_SPOOL_OPEN) { /* twice in one group */
        return check_item(store, item, err);
    }
    DL_TRY(dl_store_key_text(item->key, path, err));
    int moved = move_spool(store, item->spool, path);
    if (moved != 0 && errno == ENOENT) {
        DL_TRY(dl_store_make_folders(store, item->key, err));
        moved = move_spool(store, item->spool, path);
    }
    if (moved != 0 && errno == EEXIST) {
        return dl_error_set(err, DL_E_EXISTS, "the object %s exists", path);
    }
    if (moved != 0) {
        return dl_error_errno(err, errno, "cannot name the object %s", path);
    }
    item->spool->state = DL_STORE_SPOOL_PUBLISHED;
    item->spool->folder_waits = true;
    return DL_OK;
}

/* The name may not last, so it must not stay: a caller told of a failure may use the key again. */
static void withdraw_item(dl_store *store, dl_store_publish_item *item, const dl_error *cause)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    if (dl_store_key_text(item->key, path, NULL) == DL_OK) {
        (void)unlinkat(store->root_fd, path, 0);
    }
    item->status = cause->status;
    if (item->err != NULL) {
        *item->err = *cause;
    }
}

static void sync_folder_of(dl_store *store, dl_store_publish_item *items, size_t count)
{
    dl_str folder = dl_store_key_folder(items[0].key);
    dl_error cause = {0};
    dl_status synced = dl_store_folder_sync(store, folder, &cause);
    for (size_t i = 0; i < count; i++) {
        if (items[i].status != DL_OK || !items[i].spool->folder_waits ||
            !dl_str_eq(dl_store_key_folder(items[i].key), folder)) {
            continue;
        }
        items[i].spool->folder_waits = false;
        if (synced != DL_OK) {
            withdraw_item(store, &items[i], &cause);
        }
    }
}

void dl_store_publish(dl_store *store, dl_store_publish_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].status = check_item(store, &items[i], items[i].err);
    }
    if (count > 1) { /* one alone gains nothing from it */
        write_out_group(items, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].status == DL_OK) {
            items[i].status = dl_store_spool_sync(items[i].spool, items[i].err);
            items[i].stat = items[i].spool->stat;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].status == DL_OK) {
            items[i].status = link_item(store, &items[i], items[i].err);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].status == DL_OK && items[i].spool->folder_waits) {
            sync_folder_of(store, items + i, count - i);
        }
    }
}
