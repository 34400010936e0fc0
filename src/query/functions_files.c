/* From a row's filePath to a file: by the roots, beneath them only. */
#include "query/functions.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LIMIT_BYTES = 4096 };

/** Relative, and nothing in it that leads up. */
static bool is_below(dl_str path)
{
    dl_str rest = path, part = DL_STR_NONE;
    if (path.len == 0 || path.len >= PATH_LIMIT_BYTES || path.ptr[path.len - 1] == '/' ||
        memchr(path.ptr, '\0', path.len) != NULL) {
        return false;
    }
    while (dl_str_next(&rest, '/', &part)) {
        if (part.len == 0 || dl_str_eq(part, DL_STR(".")) || dl_str_eq(part, DL_STR(".."))) {
            return false;
        }
    }
    return true;
}

/** How many bytes of `path` are the end of the folder's own path, its longest one: a slash after
 * them included. 0: none. */
static size_t shared(dl_str folder, dl_str path)
{
    for (size_t i = 0; i < folder.len; i++) {
        size_t len = folder.len - i - 1;
        if (folder.ptr[i] == '/' && len > 0 && len + 1 < path.len && path.ptr[len] == '/' &&
            memcmp(folder.ptr + i + 1, path.ptr, len) == 0) {
            return len + 1;
        }
    }
    return 0;
}

static bool is_there(const dl_functions_root *root, dl_str below)
{
    char path[PATH_LIMIT_BYTES];
    return root->fd >= 0 && dl_str_copy(below, path, sizeof path) &&
           faccessat(root->fd, path, F_OK, 0) == 0;
}

/** Below a folder that is no part of the path: only when it has the path's first folder. */
static bool place_inside(const dl_functions *f, dl_str path, const dl_functions_root **out_root,
                         dl_str *out_below)
{
    ptrdiff_t slash = dl_str_find(path, '/');
    dl_str first = slash < 0 ? path : dl_str_slice(path, 0, (size_t)slash);
    for (size_t i = 0; i < f->root_count; i++) {
        if (is_there(&f->roots[i], first)) {
            *out_root = &f->roots[i];
            *out_below = path;
            return true;
        }
    }
    return false;
}

bool dl_functions_place(const dl_functions *functions, dl_str file_path,
                        const dl_functions_root **out_root, dl_str *out_below)
{
    const dl_functions_root *best = NULL;
    size_t most = 0;
    if (!is_below(file_path)) {
        return false;
    }
    for (size_t i = 0; i < functions->root_count; i++) {
        size_t len = shared(functions->roots[i].folder, file_path);
        if (len == 0 || len < most) {
            continue;
        }
        /* Of two lakes with the same folders the one that has the file. */
        if (len > most ||
            (!is_there(best, dl_str_slice(file_path, most, SIZE_MAX)) &&
             is_there(&functions->roots[i], dl_str_slice(file_path, len, SIZE_MAX)))) {
            best = &functions->roots[i];
            most = len;
        }
    }
    if (best == NULL) {
        return place_inside(functions, file_path, out_root, out_below);
    }
    *out_root = best;
    *out_below = dl_str_slice(file_path, most, file_path.len - most);
    return true;
}

bool dl_functions_resolve(const dl_functions *functions, dl_str file_path, dl_arena *arena,
                          dl_str *out_path)
{
    const dl_functions_root *root = NULL;
    dl_str below = DL_STR_NONE;
    return dl_functions_place(functions, file_path, &root, &below) &&
           dl_arena_printf(arena, out_path, NULL, "%.*s/%.*s", DL_STR_ARG(root->folder),
                           DL_STR_ARG(below)) == DL_OK;
}

/* ---- file_url ---- */

/* RFC 3986 section 2.3, and the slash. */
static bool stays(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~/", c) != NULL);
}

static size_t put_escaped(dl_str text, char *out, size_t at)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (stays(c)) {
            out[at++] = (char)c;
        } else {
            out[at++] = '%';
            out[at++] = hex[c >> 4];
            out[at++] = hex[c & 15];
        }
    }
    return at;
}

static void file_url(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const dl_functions *f = dl_functions_of(info);
    dl_function_texts paths = dl_function_texts_of(f, f->api->data_chunk_get_vector(input, 0));
    size_t count = f->api->data_chunk_get_size(input);
    /* Folder and path are shorter than PATH_LIMIT_BYTES each; a byte may take three. */
    char url[sizeof "file://" + 6 * PATH_LIMIT_BYTES];
    memcpy(url, "file://", 7);
    for (size_t row = 0; row < count; row++) {
        const dl_functions_root *root = NULL;
        dl_str path = DL_STR_NONE, below = DL_STR_NONE;
        if (!dl_function_text_at(&paths, row, &path) ||
            !dl_functions_place(f, path, &root, &below)) {
            dl_function_put_null(f, output, row);
            continue;
        }
        size_t len = put_escaped(root->folder, url, 7);
        url[len++] = '/';
        len = put_escaped(below, url, len);
        dl_function_put_text(f, output, row, (dl_str){url, len});
    }
}

const dl_function dl_function_file_url = {
    "file_url", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_TEXT, NULL, file_url};
