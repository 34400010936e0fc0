#include "factory/factory.h"

#include "base/file.h"
#include "base/mem.h"
#include "factory/schema.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

struct dl_factory {
    dl_factory_options options;
    char home[PATH_SIZE];
    size_t mutex_count;    /* how many of the two are there */
    pthread_mutex_t mutex; /* guards the three below */
    dl_db *db;             /* NULL: not opened yet */
    bool empty;            /* `db` stands for a file that is not there */
    bool read_only;
    pthread_mutex_t fault_mutex; /* guards `fault`; taken last */
    dl_error fault;
};

static void factory_closep(dl_factory **factory)
{
    dl_factory_close(*factory);
}

dl_status dl_factory_open(const dl_factory_options *options, dl_factory **out_factory,
                          dl_error *err)
{
    DL_CLEANUP(factory_closep) dl_factory *factory = dl_mem_zalloc(1, sizeof *factory);
    if (factory == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "factory: out of memory");
    }
    factory->options = *options;
    if (!dl_str_copy(dl_str_of(options->home), factory->home, sizeof factory->home) ||
        factory->home[0] == '\0') {
        return dl_error_set(err, DL_E_INVALID, "factory: the home's path is empty or too long");
    }
    factory->options.home = factory->home;
    pthread_mutex_t *const mutexes[] = {&factory->mutex, &factory->fault_mutex};
    for (; factory->mutex_count < DL_COUNT_OF(mutexes); factory->mutex_count++) {
        if (pthread_mutex_init(mutexes[factory->mutex_count], NULL) != 0) {
            return dl_error_set(err, DL_E_NOMEM, "factory: no mutex");
        }
    }
    *out_factory = DL_STEAL(factory);
    return DL_OK;
}

void dl_factory_close(dl_factory *factory)
{
    if (factory == NULL) {
        return;
    }
    dl_db_close(factory->db);
    if (factory->mutex_count > 0) {
        (void)pthread_mutex_destroy(&factory->mutex);
    }
    if (factory->mutex_count > 1) {
        (void)pthread_mutex_destroy(&factory->fault_mutex);
    }
    dl_mem_free(factory);
}

const char *dl_factory_home(const dl_factory *factory)
{
    return factory->home;
}

const dl_factory_options *dl_factory_options_of(const dl_factory *factory)
{
    return &factory->options;
}

int64_t dl_factory_now_us(const dl_factory *factory)
{
    return dl_clock_now_us(&factory->options.clock);
}

/* ---- what is wrong with the database ---- */

/** `cause` NULL: nothing is wrong. */
static void set_fault(dl_factory *factory, const dl_error *cause)
{
    dl_error fault = {0};
    if (cause != NULL) {
        bool damaged = cause->status == DL_E_CORRUPT;
        dl_str what = dl_str_of(cause->message); /* layers have added the file's whole path */
        ptrdiff_t end = dl_str_find_str(what, DL_STR("; while "));
        what.len = end < 0 ? what.len : (size_t)end;
        (void)dl_error_set(&fault, cause->status,
                           "state/factory.db of the home, which holds pipelines, triggers and "
                           "runs, %s: %.*s",
                           damaged ? "is damaged" : "cannot be used", DL_STR_ARG(what));
        fault.os_code = cause->os_code;
        dl_error_hint(&fault, "%s",
                      damaged ? "stop the service; restore the home from a backup, or move "
                                "state/factory.db, -wal and -shm aside, then publish again"
                              : cause->hint);
    }
    (void)pthread_mutex_lock(&factory->fault_mutex);
    factory->fault = fault;
    (void)pthread_mutex_unlock(&factory->fault_mutex);
}

dl_status dl_factory_fault(dl_factory *factory, dl_error *err)
{
    (void)pthread_mutex_lock(&factory->fault_mutex);
    dl_status status = factory->fault.status;
    if (status != DL_OK && err != NULL) {
        *err = factory->fault;
    }
    (void)pthread_mutex_unlock(&factory->fault_mutex);
    return status;
}

/* ---- the database ---- */

static bool is_there(const char *path, const char *suffix)
{
    char whole[PATH_SIZE + 64];
    (void)snprintf(whole, sizeof whole, "%s%s", path, suffix);
    return access(whole, F_OK) == 0;
}

static bool is_read_only(const char *path)
{
    return access(path, W_OK) != 0 && (errno == EROFS || errno == EACCES);
}

/** Stands for a database that is not there, or of a folder that cannot be written. A file without a
 * write-ahead log beside it has no writer. */
static dl_status open_to_read(dl_factory *factory, const char *path, dl_error *err)
{
    const dl_db_options options = {.read_only = true, .unchanging = !is_there(path, "-wal")};
    factory->empty = !is_there(path, "");
    factory->read_only = true;
    DL_TRY(dl_db_open(factory->empty ? ":memory:" : path, factory->empty ? NULL : &options,
                      &factory->db, err));
    return dl_db_migrate(factory->db, dl_factory_migrations, dl_factory_migration_count, err);
}

static dl_status open_to_write(dl_factory *factory, const char *folder, const char *path,
                               dl_error *err)
{
    factory->empty = factory->read_only = false;
    DL_TRY(dl_file_make_dirs(folder, err));
    if (is_read_only(folder)) { /* SQLite would say less */
        return dl_error_errno(err, errno, "its folder cannot be written");
    }
    DL_TRY(dl_db_open(path, NULL, &factory->db, err));
    return dl_db_migrate(factory->db, dl_factory_migrations, dl_factory_migration_count, err);
}

/** Under the lock. */
static dl_status open_database(dl_factory *factory, dl_factory_need need, dl_error *err)
{
    char folder[PATH_SIZE + 32], path[PATH_SIZE + 48];
    (void)snprintf(folder, sizeof folder, "%s/state", factory->home);
    (void)snprintf(path, sizeof path, "%s/factory.db", folder);
    bool write = need == DL_FACTORY_WRITE;
    /* Whoever may write it may begin to, beside one that only reads. */
    if (factory->db != NULL && factory->read_only &&
        (write || !factory->empty || is_there(path, ""))) {
        dl_db_close(factory->db);
        factory->db = NULL;
    }
    if (factory->db != NULL) {
        return DL_OK;
    }
    bool to_read = !write && (!is_there(path, "") || is_read_only(folder) || is_read_only(path));
    dl_error why = {0};
    dl_status status =
        to_read ? open_to_read(factory, path, &why) : open_to_write(factory, folder, path, &why);
    if (status == DL_OK) {
        set_fault(factory, NULL);
        return DL_OK;
    }
    dl_db_close(factory->db);
    factory->db = NULL;
    if (status != DL_E_UNAVAILABLE && status != DL_E_NOMEM) { /* those pass by themselves */
        set_fault(factory, &why);
        status = dl_factory_fault(factory, &why);
    }
    if (err != NULL) {
        *err = why;
    }
    return dl_error_within(err, status, "opening %s", path);
}

void dl_factory_lock_drafts(dl_factory *factory)
{
    DL_ASSERT(pthread_mutex_lock(&factory->mutex) == 0);
}

dl_status dl_factory_lock(dl_factory *factory, dl_factory_need need, dl_db **out_db, dl_error *err)
{
    dl_factory_lock_drafts(factory);
    dl_status status = DL_OK;
    if (need == DL_FACTORY_DRAFTS) {
        *out_db = NULL;
        return DL_OK;
    }
    if (factory->db != NULL && dl_db_is_damaged(factory->db)) {
        status = dl_factory_fault(factory, err);
    } else {
        status = open_database(factory, need, err);
    }
    if (status != DL_OK) {
        DL_ASSERT(pthread_mutex_unlock(&factory->mutex) == 0);
        return status;
    }
    *out_db = factory->db;
    return DL_OK;
}

void dl_factory_unlock(dl_factory *factory)
{
    if (factory->db != NULL && dl_db_is_damaged(factory->db) &&
        dl_factory_fault(factory, NULL) == DL_OK) {
        dl_error cause = {0};
        (void)dl_error_set(&cause, DL_E_CORRUPT, "what it holds breaks SQLite's own rules");
        set_fault(factory, &cause);
    }
    DL_ASSERT(pthread_mutex_unlock(&factory->mutex) == 0);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

dl_status dl_factory_name_check(dl_str name, const char *what, dl_error *err)
{
    static const char hint[] = "use letters, digits, '-' and '_', 1 to 140 of them";
    if (name.len == 0 || name.len > DL_FACTORY_NAME_LIMIT) {
        (void)dl_error_set(err, DL_E_INVALID, "%s: its name has %zu characters, not 1 to %d", what,
                           name.len, DL_FACTORY_NAME_LIMIT);
        dl_error_hint(err, hint);
        return DL_E_INVALID;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i])) {
            (void)dl_error_set(err, DL_E_INVALID, "%s: character %zu of its name is not allowed",
                               what, i + 1);
            dl_error_hint(err, hint);
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}
