/* Routes of files below a shortcut: folders as pages, files with ranges. */
#include "lakehouse/routes_internal.h"

#include "base/file.h"
#include "http/range.h"
#include "lakehouse/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum { TAG_SIZE = 80, RANGE_SIZE = 96 };

/* ---- folders ---- */

static void put_file(dl_json_writer *w, const dl_lake_file *file)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, file->name);
    dl_json_key(w, DL_STR("folder"));
    dl_json_bool(w, file->folder);
    dl_json_key(w, DL_STR("sizeBytes"));
    dl_json_int(w, (int64_t)file->size_bytes);
    dl_lake_put_time(w, "modified", file->modified_us);
    dl_json_object_end(w);
}

static dl_status send_folder(dl_api_request *r, const dl_lakehouse *lake, dl_str path,
                             dl_error *err)
{
    dl_lake_file *files = NULL;
    size_t count = 0;
    size_t limit = dl_api_page_limit(r, DL_LAKE_VALUE_LIMIT);
    dl_str after = dl_api_has(r, DL_LAKE_VALUE_TOKEN) ? r->values[DL_LAKE_VALUE_TOKEN] : DL_STR("");
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_lake_files_list(dl_lake_factory(r), lake, path, after, limit + 1, r->arena, &files,
                              &count, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count && i < limit; i++) {
        put_file(w, &files[i]);
    }
    return dl_api_list_send(r, &answer, count > limit ? files[limit - 1].name : DL_STR_NONE);
}

dl_status dl_lake_files_get(dl_api_request *r, dl_error *err)
{
    dl_lakehouse lake = {0};
    DL_TRY(dl_lake_of(r, &lake, err));
    return send_folder(r, &lake, DL_STR(""), err);
}

/* ---- files ---- */

/* Nothing that a browser would run on our own origin. */
static const char *type_of(dl_str path)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".dcm", "application/dicom"},
                 {".json", "application/json"},
                 {".txt", "text/plain; charset=utf-8"},
                 {".csv", "text/plain; charset=utf-8"}};
    for (size_t i = 0; i < DL_COUNT_OF(types); i++) {
        if (dl_str_ends(path, dl_str_of(types[i].ending))) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* A file is replaced whole, if ever: its size, time and number tell it from what was there. */
static dl_status make_tag(int fd, char tag[TAG_SIZE], dl_error *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return dl_error_set(err, DL_E_IO, "a file cannot be looked at");
    }
    (void)snprintf(tag, TAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx\"",
                   (uint64_t)about.st_ino, (uint64_t)about.st_size, (uint64_t)about.st_mtim.tv_sec,
                   (unsigned long)about.st_mtim.tv_nsec);
    return DL_OK;
}

static dl_status send_outside(dl_api_request *r, uint64_t size)
{
    char text[RANGE_SIZE];
    (void)snprintf(text, sizeof text, "bytes */%" PRIu64, size);
    dl_http_add_header(r->x, "Content-Range", dl_str_of(text));
    (void)snprintf(text, sizeof text, "The file has %" PRIu64 " bytes.", size);
    return dl_api_refuse(r->x, 416, text);
}

static dl_status send_file(dl_api_request *r, dl_str path, int *fd, uint64_t size, dl_error *err)
{
    char tag[TAG_SIZE];
    char text[RANGE_SIZE];
    uint64_t first = 0;
    uint64_t last = 0;
    DL_TRY(make_tag(*fd, tag, err));
    dl_str range = dl_http_header(r->x, "Range");
    dl_http_add_header(r->x, "ETag", dl_str_of(tag));
    dl_http_add_header(r->x, "Accept-Ranges", DL_STR("bytes"));
    dl_http_add_header(r->x, "Cache-Control", DL_STR("private, no-cache"));
    if (dl_http_etag_matches(dl_http_header(r->x, "If-None-Match"), dl_str_of(tag))) {
        dl_http_respond(r->x, 304, NULL, DL_STR(""));
        return DL_OK;
    }
    if (dl_http_is_head(r->x) ||
        !dl_http_if_range(dl_http_header(r->x, "If-Range"), dl_str_of(tag))) {
        range = DL_STR_NONE;
    }
    dl_http_range kind = dl_http_range_parse(range, size, &first, &last);
    if (kind == DL_HTTP_RANGE_OUTSIDE) {
        return send_outside(r, size);
    }
    uint64_t length = size;
    if (kind == DL_HTTP_RANGE_OK) {
        length = last - first + 1;
        (void)snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last,
                       size);
        dl_http_add_header(r->x, "Content-Range", dl_str_of(text));
    }
    int given = *fd;
    *fd = -1;
    dl_http_respond_file(r->x, kind == DL_HTTP_RANGE_OK ? 206 : 200, type_of(path), given, first,
                         length);
    return DL_OK;
}

dl_status dl_lake_file_get(dl_api_request *r, dl_error *err)
{
    dl_lakehouse lake = {0};
    DL_AUTO_FD fd = -1;
    uint64_t size = 0;
    dl_error cause = {0};
    dl_str path = dl_api_param_of(r, "path");
    DL_TRY(dl_lake_of(r, &lake, err));
    dl_status status = dl_lake_file_open(dl_lake_factory(r), &lake, path, &fd, &size, &cause);
    if (status == DL_OK) {
        return send_file(r, path, &fd, size, err);
    }
    if (status == DL_E_INVALID && send_folder(r, &lake, path, NULL) == DL_OK) {
        return DL_OK; /* a folder */
    }
    if (err != NULL) {
        *err = cause;
    }
    return cause.status;
}
