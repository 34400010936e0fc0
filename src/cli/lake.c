#include "cli/lake.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

static dl_status read_parameters(const dl_cli_lake_where *where, dl_pipeline_parameters *out,
                                 dl_error *err)
{
    *out = dl_pipeline_parameters_default();
    for (size_t i = 0; i < DL_COUNT_OF(where->parameter); i++) {
        if (where->parameter[i] != NULL) {
            DL_TRY(dl_pipeline_parameter_set(out, dl_pipeline_parameter_name(i),
                                             where->parameter[i], err));
        }
    }
    return dl_pipeline_parameters_check(out, where->short_retention, err);
}

static dl_status folder_of(const char *lake, const char **out_folder, dl_error *err)
{
    dl_str url = dl_str_of(lake);
    *out_folder = lake;
    if (dl_str_starts(url, DL_STR("file://"))) {
        *out_folder = lake + sizeof "file://" - 1;
        return DL_OK;
    }
    if (dl_str_find_str(url, DL_STR("://")) > 0) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED,
                           "%s: only folders are lakes; there is no store for this URL", lake);
        dl_error_hint(err, "give a folder, or file:///path");
        return DL_E_UNSUPPORTED;
    }
    return DL_OK;
}

static dl_status name_state(dl_cli_lake *lake, const char *base, const char *folder, dl_error *err)
{
    char name[DL_PIPELINE_STATE_NAME_SIZE];
    dl_pipeline_state_name(&lake->parameters, name);
    int len =
        snprintf(lake->state_folder, sizeof lake->state_folder, "%s/%s/%s", base, folder, name);
    return len > 0 && (size_t)len < sizeof lake->state_folder - 16
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID, "the path of the lake is too long");
}

static dl_status open_home(const char *home, bool create, dl_cli_lake *lake, dl_error *err)
{
    char path[PATH_SIZE];
    struct stat info;
    if (stat(home, &info) != 0 || !S_ISDIR(info.st_mode)) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "no archive in %s", home);
        dl_error_hint(err, "dicomlake import or serve makes one");
        return DL_E_NOT_FOUND;
    }
    if ((size_t)snprintf(path, sizeof path, "%s/tables", home) >= sizeof path) {
        return dl_error_set(err, DL_E_INVALID, "the path of the home is too long");
    }
    lake->home = home;
    DL_TRY(name_state(lake, home, "state/lake", err));
    return dl_store_open_shared(path, create, &lake->store, err);
}

dl_status dl_cli_lake_open(const dl_cli *cli, const dl_cli_lake_where *where, bool create,
                           dl_cli_lake *out_lake, dl_error *err)
{
    dl_cli_lake lake = {0};
    DL_TRY(read_parameters(where, &lake.parameters, err));
    const char *home = where->home != NULL   ? where->home
                       : where->lake == NULL ? cli->env_home
                                             : NULL;
    if (home == NULL && where->lake == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "no archive and no lake named");
        dl_error_hint(err, "give --home DIR or --lake DIR, or set DICOMLAKE_HOME");
        return DL_E_INVALID;
    }
    if (where->lake == NULL) {
        DL_TRY(open_home(home, create, &lake, err));
    } else {
        const char *folder = NULL;
        DL_TRY(folder_of(where->lake, &folder, err));
        DL_TRY(name_state(&lake, folder, ".dicomlake", err));
        DL_TRY(dl_store_open_shared(folder, create, &lake.store, err));
        lake.home = where->home != NULL ? where->home : cli->env_home; /* whose feed goes there */
    }
    *out_lake = lake;
    return DL_OK;
}

void dl_cli_lake_close(dl_cli_lake *lake)
{
    dl_store_close(lake->store);
    lake->store = NULL;
}

bool dl_cli_lake_root(const dl_cli_lake *lake, const char *name, char *out, size_t size)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        if (strcmp(name, dl_pipeline_table_name(i)) == 0) {
            return (size_t)snprintf(out, size, "%s/%s", lake->parameters.container,
                                    lake->parameters.path[i]) < size;
        }
    }
    return false;
}
