/* The test of a connection to a lake, step by step; nothing of it stays behind. */
#include "factory/probe.h"

#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static const char probe_folder[] = "dicomlake-connection-test";

/* A lake that is being tried. */
typedef struct trying {
    dl_probe *probe;
    dl_arena *arena;
    dl_store *store;
    dl_str folder;
    size_t kept_len; /* of `folder`: what was there before */
    bool had_spool;
    dl_str key, other_key;
    size_t seen; /* objects in the probe's folder */
} trying;

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool fits(dl_str folder, const char *name, char out[PATH_SIZE])
{
    int len = snprintf(out, PATH_SIZE, "%.*s%s", DL_STR_ARG(folder), name);
    return len > 0 && len < PATH_SIZE;
}

/* What of the path is there already. */
static size_t length_there(dl_str folder)
{
    char path[PATH_SIZE];
    size_t len = folder.len;
    while (len > 0) {
        dl_str part = {folder.ptr, len};
        if (fits(part, "", path) && is_folder(path)) {
            return len;
        }
        while (len > 0 && folder.ptr[len - 1] != '/') {
            len--;
        }
        while (len > 0 && folder.ptr[len - 1] == '/') {
            len--;
        }
    }
    return len;
}

/* As it was: only what is empty goes, so nothing that somebody else made meanwhile. */
static void leave(trying *t)
{
    char path[PATH_SIZE];
    if (t->store != NULL) {
        dl_error ignored = {0};
        int64_t removed = 0;
        (void)(dl_store_remove(t->store, t->key, &ignored) == DL_OK);
        (void)(dl_store_remove(t->store, t->other_key, &ignored) == DL_OK);
        (void)(dl_store_remove_empty(t->store, dl_str_of(probe_folder), &removed, &ignored) ==
               DL_OK);
        dl_store_close(t->store);
    }
    if (t->folder.len > 0 && !t->had_spool && fits(t->folder, "/.spool", path)) {
        (void)rmdir(path);
    }
    for (dl_str left = t->folder; left.len > t->kept_len;) {
        if (!fits(left, "", path) || rmdir(path) != 0) {
            break;
        }
        while (left.len > 0 && left.ptr[left.len - 1] != '/') {
            left.len--;
        }
        while (left.len > 0 && left.ptr[left.len - 1] == '/') {
            left.len--;
        }
    }
    dl_arena_destroy(t->arena);
}

static const char *hint_of(const dl_error *err)
{
    switch (err->os_code) {
    case EACCES:
    case EPERM:
        return "give the account that runs dicomlake the right to write there";
    case EROFS:
        return "the file system is mounted read-only: mount it for writing, or choose another "
               "folder";
    case ENOSPC:
    case EDQUOT:
        return "the disk or the quota is full: make room";
    case ENOTDIR:
        return "a part of the path is a file: correct the folder";
    case ENOENT:
        return "is the disk mounted? correct the folder";
    default:
        return err->hint[0] != '\0' ? err->hint : "see that the folder's disk is in order";
    }
}

/* ---- steps ---- */

static bool try_folder(trying *t, dl_factory *factory, const dl_factory_connection *connection)
{
    dl_error err = {0};
    char path[PATH_SIZE];
    dl_status status = dl_connection_folder(factory, connection, t->arena, &t->folder, &err);
    if (status == DL_OK) {
        t->kept_len = length_there(t->folder);
        t->had_spool = fits(t->folder, "/.spool", path) && is_folder(path);
        status = dl_store_open_shared(t->folder.ptr, true, &t->store, &err);
    }
    bool made = t->kept_len < t->folder.len;
    return dl_probe_add(t->probe, "folder", status == DL_OK, hint_of(&err), "%s",
                        status != DL_OK ? err.message
                        : made          ? "it can be made"
                                        : "it is there");
}

static dl_bytes bytes_of(dl_str text)
{
    return (dl_bytes){(const uint8_t *)text.ptr, text.len};
}

static bool try_write(trying *t)
{
    dl_error err = {0};
    dl_status status = dl_store_put(t->store, t->key, bytes_of(t->key), &err);
    return dl_probe_add(t->probe, "write", status == DL_OK, hint_of(&err), "%s",
                        status == DL_OK ? "an object was written" : err.message);
}

static bool try_read(trying *t)
{
    DL_AUTO_BUF text = {0};
    dl_error err = {0};
    dl_buf_init(&text, PATH_SIZE);
    dl_status status = dl_store_get(t->store, t->key, &text, &err);
    bool same = status == DL_OK && dl_str_eq(dl_buf_str(&text), t->key);
    return dl_probe_add(t->probe, "read", same,
                        status != DL_OK ? hint_of(&err) : "another disk would be better", "%s",
                        status != DL_OK ? err.message
                        : same          ? "it reads the same"
                                        : "it does not read as it was written");
}

/* What a Delta log stands on: of two writers of one version one must lose. */
static bool try_put_if_absent(trying *t)
{
    static const char hint[] =
        "the file system cannot make a name only if it is free, which a Delta log needs: choose a "
        "local disk or NFS 4";
    dl_error err = {0};
    dl_status first = dl_store_put_if_absent(t->store, t->other_key, bytes_of(t->key), &err);
    if (first != DL_OK) { /* an object can be written: that step came before */
        bool full = err.os_code == ENOSPC || err.os_code == EDQUOT;
        return dl_probe_add(t->probe, "put if absent", false, full ? hint_of(&err) : hint, "%s",
                            err.message);
    }
    dl_status second = dl_store_put_if_absent(t->store, t->other_key, bytes_of(t->folder), &err);
    return dl_probe_add(t->probe, "put if absent", second == DL_E_EXISTS, hint, "%s",
                        second == DL_E_EXISTS ? "the second of two writers is told so"
                        : second == DL_OK     ? "two writers of one name both succeed"
                                              : err.message);
}

static dl_status count_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    trying *t = context;
    (void)stat;
    (void)err;
    t->seen += dl_str_eq(key, t->key) || dl_str_eq(key, t->other_key);
    return DL_OK;
}

static bool try_list(trying *t)
{
    dl_error err = {0};
    dl_status status =
        dl_store_list_folder(t->store, dl_str_of(probe_folder), DL_STR(""), count_key, t, &err);
    return dl_probe_add(t->probe, "list", status == DL_OK && t->seen == 2, hint_of(&err), "%s",
                        status != DL_OK ? err.message
                        : t->seen == 2  ? "what was written is listed"
                                        : "what was written is not listed");
}

static bool try_delete(trying *t)
{
    dl_error err = {0};
    dl_store_stat stat = {0};
    dl_status status = dl_store_remove(t->store, t->key, &err);
    status = status == DL_OK ? dl_store_remove(t->store, t->other_key, &err) : status;
    bool gone = status == DL_OK && dl_store_stat_key(t->store, t->key, &stat, NULL) != DL_OK;
    return dl_probe_add(t->probe, "delete", gone, hint_of(&err), "%s",
                        status != DL_OK ? err.message
                        : gone          ? "nothing stays behind"
                                        : "what was deleted is still there");
}

dl_status dl_probe_lake(dl_factory *factory, const dl_factory_connection *connection,
                        dl_probe *probe, dl_error *err)
{
    DL_CLEANUP(leave) trying t = {.probe = probe, .arena = dl_arena_create((size_t)PATH_SIZE * 16)};
    if (t.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "connection test: out of memory");
    }
    uint64_t dice = 0; /* two tests at once do not meet */
    dl_random_bytes(&dice, sizeof dice);
    DL_TRY(dl_arena_printf(t.arena, &t.key, err, "%s/%016llx-a", probe_folder,
                           (unsigned long long)dice));
    DL_TRY(dl_arena_printf(t.arena, &t.other_key, err, "%s/%016llx-b", probe_folder,
                           (unsigned long long)dice));
    (void)(try_folder(&t, factory, connection) && try_write(&t) && try_read(&t) &&
           try_put_if_absent(&t) && try_list(&t) && try_delete(&t));
    return DL_OK;
}
