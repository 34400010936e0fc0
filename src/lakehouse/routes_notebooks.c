/* Routes of notebooks: kept as HOME/lakehouse/NAME/notebooks/NOTEBOOK.ipynb, run in a child. */
#include "lakehouse/routes_internal.h"

#include "base/file.h"
#include "notebook/notebook.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4200, NOTEBOOK_LIMIT = 10000 };

static const char ending[] = ".ipynb";

/* ---- where they are ---- */

static dl_status folder_of(dl_api_request *r, char out[PATH_SIZE], dl_error *err)
{
    dl_lakehouse lake = {0};
    DL_TRY(dl_lake_of(r, &lake, err));
    int n = snprintf(out, PATH_SIZE, "%s/lakehouse/%.*s/notebooks",
                     dl_factory_home(dl_lake_factory(r)), DL_STR_ARG(lake.name));
    return n > 0 && n < PATH_SIZE ? DL_OK
                                  : dl_error_set(err, DL_E_INVALID, "the home's path is too long");
}

static dl_status path_of(dl_api_request *r, char out[PATH_SIZE], dl_error *err)
{
    char folder[PATH_SIZE];
    dl_str name = dl_api_param_of(r, "notebook");
    DL_TRY(folder_of(r, folder, err));
    int n = snprintf(out, PATH_SIZE, "%s/%.*s%s", folder, DL_STR_ARG(name), ending);
    return n > 0 && n < PATH_SIZE ? DL_OK
                                  : dl_error_set(err, DL_E_INVALID, "the home's path is too long");
}

static dl_status no_notebook(const dl_api_request *r, dl_error *err)
{
    return dl_error_set(err, DL_E_NOT_FOUND, "there is no notebook \"%.*s\"",
                        DL_STR_ARG(dl_api_param_of(r, "notebook")));
}

static dl_status read_file(dl_api_request *r, dl_buf *out, dl_error *err)
{
    char path[PATH_SIZE];
    dl_buf_init(out, DL_NOTEBOOK_LIMIT_BYTES);
    DL_TRY(path_of(r, path, err));
    dl_status status = dl_file_read_all(path, out, err);
    return status == DL_E_NOT_FOUND ? no_notebook(r, err) : status;
}

/* ---- lists ---- */

typedef struct found {
    dl_str name;
    uint64_t size_bytes;
    int64_t modified_us;
} found;

static int by_name(const void *a, const void *b)
{
    return dl_str_compare(((const found *)a)->name, ((const found *)b)->name);
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static dl_status take_entry(dl_api_request *r, int folder, const char *file, found *out,
                            bool *out_taken, dl_error *err)
{
    struct stat about;
    dl_str name = dl_str_of(file);
    *out_taken = false;
    if (!dl_str_ends(name, DL_STR(".ipynb")) ||
        fstatat(folder, file, &about, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(about.st_mode)) {
        return DL_OK;
    }
    name.len -= sizeof ending - 1;
    if (dl_factory_name_check(name, "notebook", NULL) != DL_OK) {
        return DL_OK; /* no path of ours leads to it */
    }
    *out_taken = true;
    out->size_bytes = (uint64_t)about.st_size;
    out->modified_us =
        (int64_t)about.st_mtim.tv_sec * 1000000 + (int64_t)about.st_mtim.tv_nsec / 1000;
    return dl_arena_copy(r->arena, name, &out->name, err);
}

static dl_status list(dl_api_request *r, found **out, size_t *out_count, dl_error *err)
{
    char path[PATH_SIZE];
    size_t count = 0;
    DL_TRY(folder_of(r, path, err));
    found *all = dl_arena_alloc(r->arena, NOTEBOOK_LIMIT, sizeof *all);
    if (all == NULL) {
        return dl_arena_full(r->arena, err);
    }
    *out = all;
    *out_count = 0;
    DL_CLEANUP(close_folder) DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno == ENOENT
                   ? DL_OK
                   : dl_error_errno(err, errno, "the folder of notebooks cannot be read");
    }
    const struct dirent *entry = NULL;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
    while ((entry = readdir(folder)) != NULL && count < NOTEBOOK_LIMIT) {
        bool taken = false;
        DL_TRY(take_entry(r, dirfd(folder), entry->d_name, &all[count], &taken, err));
        count += taken ? 1 : 0;
    }
    qsort(all, count, sizeof *all, by_name);
    *out_count = count;
    return DL_OK;
}

dl_status dl_lake_notebooks(dl_api_request *r, dl_error *err)
{
    found *all = NULL;
    size_t count = 0;
    size_t put = 0;
    dl_str last = DL_STR_NONE;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(list(r, &all, &count, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        if (dl_api_has(r, DL_LAKE_VALUE_TOKEN) &&
            dl_str_compare(all[i].name, r->values[DL_LAKE_VALUE_TOKEN]) <= 0) {
            continue;
        }
        if (put == dl_api_page_limit(r, DL_LAKE_VALUE_LIMIT)) {
            token = last;
            break;
        }
        dl_json_object_begin(w);
        dl_lake_put_text(w, "name", all[i].name);
        dl_json_key(w, DL_STR("sizeBytes"));
        dl_json_int(w, (int64_t)all[i].size_bytes);
        dl_lake_put_time(w, "modified", all[i].modified_us);
        dl_json_object_end(w);
        last = all[i].name;
        put++;
    }
    return dl_api_list_send(r, &answer, token);
}

/* ---- one ---- */

static dl_status send_notebook(dl_api_request *r, unsigned status, dl_error *err)
{
    DL_AUTO_BUF json = {0};
    DL_TRY(read_file(r, &json, err));
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_http_respond_buf(r->x, status, "application/json", &json);
    return DL_OK;
}

dl_status dl_lake_notebook_get(dl_api_request *r, dl_error *err)
{
    return send_notebook(r, r->route->success, err);
}

dl_status dl_lake_notebook_put(dl_api_request *r, dl_error *err)
{
    char path[PATH_SIZE];
    char folder[PATH_SIZE];
    dl_notebook *notebook = NULL;
    DL_AUTO_BUF json = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)16 * DL_NOTEBOOK_LIMIT_BYTES);
    dl_buf_init(&json, (size_t)2 * DL_NOTEBOOK_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a notebook");
    }
    notebook = dl_arena_alloc(arena, 1, sizeof *notebook);
    if (notebook == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(path_of(r, path, err));
    DL_TRY(folder_of(r, folder, err));
    DL_TRY(dl_notebook_read(r->body, arena, notebook, err));
    DL_TRY(dl_notebook_write(notebook, &json, err));
    bool is_new = access(path, F_OK) != 0;
    if (!is_new && dl_api_only_new(r)) {
        return dl_api_refuse(r->x, 412, "There is a notebook of this name already.");
    }
    DL_TRY(dl_file_make_dirs(folder, err));
    DL_TRY(dl_file_replace(path, dl_buf_str(&json), err));
    return send_notebook(r, is_new ? 201 : 200, err);
}

dl_status dl_lake_notebook_delete(dl_api_request *r, dl_error *err)
{
    char path[PATH_SIZE], folder[PATH_SIZE];
    DL_TRY(path_of(r, path, err));
    DL_TRY(folder_of(r, folder, err));
    if (unlink(path) != 0) {
        return errno == ENOENT ? no_notebook(r, err)
                               : dl_error_errno(err, errno, "a notebook cannot be removed");
    }
    DL_TRY(dl_file_sync_dir(folder, err));
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}

/* ---- running ---- */

dl_status dl_lake_notebook_run(dl_api_request *r, dl_error *err)
{
    DL_AUTO_BUF kept = {0};
    DL_AUTO_BUF input = {0};
    dl_child *child = NULL;
    bool said = dl_api_has(r, DL_LAKE_VALUE_PARAMETERS);
    dl_str parameters = said ? r->values[DL_LAKE_VALUE_PARAMETERS] : DL_STR("{}");
    DL_TRY(read_file(r, &kept, err));
    DL_TRY(dl_json_check(dl_buf_str(&kept), err));
    dl_buf_init(&input, DL_CHILD_INPUT_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&input, DL_STR("{\"parameters\":"), err));
    DL_TRY(dl_buf_append_str(&input, parameters, err));
    DL_TRY(dl_buf_append_str(&input, DL_STR(",\"notebook\":"), err));
    DL_TRY(dl_buf_append_str(&input, dl_buf_str(&kept), err));
    DL_TRY(dl_buf_append_str(&input, DL_STR("}"), err));
    dl_child_options options = {.kind = DL_CHILD_NOTEBOOK, .input = dl_buf_str(&input)};
    DL_TRY(dl_lake_start(r, &options, &child, err));
    return child == NULL ? DL_OK
                         : dl_lake_stream(r, child, r->route->success, "application/json", err);
}
