#include "factory/factory.h"

#include "base/file.h"
#include "base/mem.h"
#include "factory/schema.h"

#include <pthread.h>
#include <stdio.h>

enum { PATH_SIZE = 4096 };

struct dl_factory {
    dl_factory_options options;
    char home[PATH_SIZE];
    bool has_mutex;
    pthread_mutex_t mutex; /* guards `db` */
    dl_db *db;
};

static void factory_closep(dl_factory **factory)
{
    dl_factory_close(*factory);
}

static dl_status open_database(dl_factory *factory, dl_error *err)
{
    char path[PATH_SIZE + 32];
    (void)snprintf(path, sizeof path, "%s/state", factory->home);
    DL_TRY(dl_file_make_dirs(path, err));
    (void)snprintf(path, sizeof path, "%s/state/factory.db", factory->home);
    DL_TRY(dl_db_open(path, NULL, &factory->db, err));
    dl_status status =
        dl_db_migrate(factory->db, dl_factory_migrations, dl_factory_migration_count, err);
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "opening %s", path);
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
    if (pthread_mutex_init(&factory->mutex, NULL) != 0) {
        return dl_error_set(err, DL_E_NOMEM, "factory: no mutex");
    }
    factory->has_mutex = true;
    DL_TRY(open_database(factory, err));
    *out_factory = DL_STEAL(factory);
    return DL_OK;
}

void dl_factory_close(dl_factory *factory)
{
    if (factory == NULL) {
        return;
    }
    dl_db_close(factory->db);
    if (factory->has_mutex) {
        (void)pthread_mutex_destroy(&factory->mutex);
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

dl_db *dl_factory_lock(dl_factory *factory)
{
    DL_ASSERT(pthread_mutex_lock(&factory->mutex) == 0);
    return factory->db;
}

void dl_factory_unlock(dl_factory *factory)
{
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
