#include "store_rig.h"

#include <dirent.h>

home home_make(void)
{
    home h = {.base = ""};
    folder_make(h.base, "store");
    (void)snprintf(h.root, sizeof h.root, "%s/a/files", h.base);
    return h;
}

void home_remove(const home *h)
{
    folder_remove(h->base);
}

void path_of(const home *h, const char *key, char out[PATH_SIZE * 4])
{
    (void)snprintf(out, (size_t)PATH_SIZE * 4, "%s/%s", h->root, key);
}

dl_bytes bytes_of(const char *text)
{
    return (dl_bytes){(const uint8_t *)text, strlen(text)};
}

dl_store *store_open(const home *h)
{
    dl_store *store = NULL;
    dl_error err = {0};
    TAP_OK(dl_store_open_local(h->root, &store, &err), err);
    return store;
}

dl_store_spool *spool_of(dl_store *store, const char *text)
{
    dl_store_spool *spool = NULL;
    dl_error err = {0};
    TAP_OK(dl_store_spool_create(store, &spool, &err), err);
    TAP_OK(dl_store_spool_write(spool, bytes_of(text), &err), err);
    return spool;
}

dl_status put(dl_store *store, const char *key, const char *text, dl_store_stat *out_stat,
              dl_error *err)
{
    DL_AUTO(dl_store_spool) spool = NULL;
    DL_TRY(dl_store_spool_create(store, &spool, err));
    DL_TRY(dl_store_spool_write(spool, bytes_of(text), err));
    dl_store_publish_item item = {.spool = spool, .key = dl_str_of(key), .err = err};
    dl_store_publish(store, &item, 1);
    if (item.status == DL_OK && out_stat != NULL) {
        *out_stat = item.stat;
    }
    return item.status;
}

bool holds(dl_store *store, const char *key, const dl_store_stat *expect, const char *text)
{
    dl_store_object *object = NULL;
    char got[256] = "";
    bool same = false;
    if (dl_store_open_object(store, dl_str_of(key), expect, &object, NULL) == DL_OK) {
        size_t size = dl_store_object_size(object);
        same = size == strlen(text) && size < sizeof got &&
               dl_store_object_read(object, 0, got, size, NULL) == DL_OK &&
               memcmp(got, text, size) == 0;
    }
    dl_store_object_close(object);
    return same;
}

dl_status count_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)key, (void)stat, (void)err;
    ++*(int64_t *)context;
    return DL_OK;
}

int64_t count_keys(dl_store *store, const char *prefix)
{
    int64_t count = 0;
    dl_error err = {0};
    TAP_OK(dl_store_list(store, dl_str_of(prefix), count_key, &count, &err), err);
    return count;
}

void count_spools(const home *h, int *out_folders, int *out_files)
{
    char path[PATH_SIZE * 4];
    *out_folders = *out_files = 0;
    path_of(h, ".spool", path);
    DIR *dir = opendir(path);
    for (struct dirent *e = NULL; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        ++*out_folders;
        char below[PATH_SIZE * 5];
        (void)snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        DIR *life = opendir(below);
        for (struct dirent *f = NULL; life != NULL && (f = readdir(life)) != NULL;) {
            *out_files += f->d_name[0] != '.';
        }
        if (life != NULL) {
            (void)closedir(life);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}
