/* Files that no row of the index speaks of: a crash cut their store off, or an older index was put
 * back. Nothing says which, so they are not removed but moved aside. */
#include "service/internal.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096 + 2 * DL_SERVICE_KEY_SIZE, NAMES_LIMIT = 1000 };

typedef dl_status folder_action(const char *folder, dl_error *err);

static dl_status with_folder_of(const char *path, folder_action *act, dl_error *err)
{
    char folder[PATH_SIZE];
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    return act(folder, err);
}

/* Below the files themselves, so that it is the same file system. */
dl_status dl_service_set_aside(const dl_service *service, const char *key, dl_error *err)
{
    char from[PATH_SIZE];
    char to[PATH_SIZE];
    (void)snprintf(from, sizeof from, "%s/files/%s", service->home, key);
    (void)snprintf(to, sizeof to, "%s/files/" DL_SERVICE_ASIDE_FOLDER "/%s", service->home, key);
    DL_TRY(with_folder_of(to, dl_file_make_dirs, err));
    size_t len = strlen(to);
    for (int i = 2; renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0; i++) {
        if (errno == ENOENT) {
            return DL_OK; /* somebody was faster */
        }
        if (errno != EEXIST || i > NAMES_LIMIT) {
            return dl_error_errno(err, errno, "cannot move file %s aside", key);
        }
        (void)snprintf(to + len, sizeof to - len, ".%d", i); /* its number was given before */
    }
    /* Once its number is below that of a new instance, nobody would look for it in its old place.
     */
    DL_TRY(with_folder_of(to, dl_file_sync_dir, err));
    DL_TRY(with_folder_of(from, dl_file_sync_dir, err));
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_WARN, "service", "set-aside");
    dl_log_str(&line, "file", dl_str_of(key));
    dl_log_str(&line, "folder", DL_STR("files/" DL_SERVICE_ASIDE_FOLDER));
    dl_log_end(&line);
    return DL_OK;
}

static dl_status look_at(const dl_service *service, const dl_index_partition *partition,
                         int64_t watermark, dl_error *err)
{
    char key[DL_SERVICE_KEY_SIZE];
    dl_store_stat stat = {0};
    dl_service_key(&service->settings, partition->name, watermark, key);
    dl_status status = dl_store_stat_key(service->store, dl_str_of(key), &stat, err);
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        return DL_OK;
    }
    DL_TRY(status);
    return dl_service_set_aside(service, key, err);
}

dl_status dl_service_recover(const dl_service *service, dl_error *err)
{
    int64_t last = 0;
    int64_t given = 0;
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)64 << 20);
    dl_index_partition *list = NULL;
    size_t count = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for recovery");
    }
    DL_TRY(dl_index_watermark_bounds(service->index, &last, &given, err));
    DL_TRY(dl_index_partition_list(service->index, arena, &list, &count, err));
    for (int64_t watermark = last + 1; watermark <= given; watermark++) {
        for (size_t i = 0; i < count; i++) {
            DL_TRY(look_at(service, &list[i], watermark, err));
        }
    }
    return DL_OK;
}
