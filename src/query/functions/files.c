/* file_url: where the file of a row is, for programs that open URLs. */
#include "query/functions/functions.h"

#include <string.h>

bool dl_functions_resolve(const dl_functions *functions, dl_str file_path, dl_arena *arena,
                          dl_str *out_path)
{
    size_t root = 0;
    dl_str below = DL_STR_NONE;
    return dl_roots_place(functions->roots, file_path, &root, &below) &&
           dl_arena_printf(arena, out_path, NULL, "%.*s/%.*s",
                           DL_STR_ARG(dl_roots_folder(functions->roots, root)),
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
    /* Folder and path are at most DL_ROOTS_PATH_LIMIT bytes each; a byte may take three. */
    char url[sizeof "file://" + (size_t)6 * DL_ROOTS_PATH_LIMIT];
    memcpy(url, "file://", 7);
    for (size_t row = 0; row < count; row++) {
        size_t root = 0;
        dl_str path = DL_STR_NONE, below = DL_STR_NONE;
        if (!dl_function_text_at(&paths, row, &path) ||
            !dl_roots_place(f->roots, path, &root, &below)) {
            dl_function_put_null(f, output, row);
            continue;
        }
        size_t len = put_escaped(dl_roots_folder(f->roots, root), url, 7);
        url[len++] = '/';
        len = put_escaped(below, url, len);
        dl_function_put_text(f, output, row, (dl_str){url, len});
    }
}

const dl_function dl_function_file_url = {
    "file_url", {DUCKDB_TYPE_VARCHAR}, DL_FUNCTION_TEXT, NULL, file_url};
