/* Imports a file as the program does and prints what came of it as JSON:
 * gallery_dump FILE [NAME [DICOM [LAKE]]]. Ends with 1 and {"error", "hint"} when it was refused.
 */
#include "factory/gallery.h"
#include "json/json.h"

#include <stdio.h>

enum { OUT_LIMIT_BYTES = 64 * 1024 * 1024 };

static dl_gallery_import import;

static dl_status put_document(dl_json_writer *w, dl_buf *text, dl_status status)
{
    if (status == DL_OK) {
        dl_json_raw(w, dl_buf_str(text));
    }
    dl_buf_clear(text);
    return status;
}

static dl_status put_documents(dl_json_writer *w, dl_error *err)
{
    dl_buf text = {0};
    dl_buf_init(&text, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    dl_json_key(w, DL_STR("pipeline"));
    if (import.has_pipeline) {
        DL_TRY(put_document(w, &text,
                            dl_factory_write_pipeline(&import.pipeline, DL_STR_NONE, &text, err)));
    } else {
        dl_json_null(w);
    }
    dl_json_key(w, DL_STR("triggers"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < import.trigger_count; i++) {
        DL_TRY(put_document(
            w, &text, dl_factory_write_trigger(&import.triggers[i], DL_STR_NONE, &text, err)));
    }
    dl_json_array_end(w);
    dl_json_key(w, DL_STR("connections"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < import.connection_count; i++) {
        DL_TRY(put_document(
            w, &text,
            dl_factory_write_connection(&import.connections[i], DL_STR_NONE, &text, err)));
    }
    dl_json_array_end(w);
    return DL_OK;
}

static dl_status put_export(dl_json_writer *w, dl_error *err)
{
    dl_buf text = {0};
    dl_buf_init(&text, OUT_LIMIT_BYTES);
    dl_json_key(w, DL_STR("export"));
    if (!import.has_pipeline) {
        dl_json_null(w);
        return DL_OK;
    }
    return put_document(w, &text,
                        dl_gallery_write(&import.pipeline, import.triggers, import.trigger_count,
                                         import.connections, import.connection_count, &text, err));
}

static dl_status put_all(dl_json_writer *w, dl_error *err)
{
    dl_json_object_begin(w);
    DL_TRY(put_documents(w, err));
    dl_json_key(w, DL_STR("unknown"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < import.unknown.count && i < DL_FACTORY_UNKNOWN_LIMIT; i++) {
        dl_json_string(w, import.unknown.paths[i]);
    }
    dl_json_array_end(w);
    dl_json_key(w, DL_STR("unknownCount"));
    dl_json_int(w, (int64_t)import.unknown.count);
    DL_TRY(put_export(w, err));
    dl_json_object_end(w);
    return dl_json_writer_status(w);
}

int main(int argc, char **argv)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)OUT_LIMIT_BYTES);
    DL_AUTO_BUF out = {0};
    dl_json_writer w;
    dl_error err = {0};
    dl_buf_init(&out, OUT_LIMIT_BYTES);
    dl_json_writer_init(&w, &out, NULL);
    if (argc < 2 || arena == NULL) {
        return 2;
    }
    dl_status status = dl_gallery_read(argv[1], dl_str_of(argc > 2 ? argv[2] : NULL),
                                       dl_str_of(argc > 3 ? argv[3] : NULL),
                                       dl_str_of(argc > 4 ? argv[4] : NULL), arena, &import, &err);
    status = status == DL_OK ? put_all(&w, &err) : status;
    if (status != DL_OK) {
        dl_buf_reset(&out);
        dl_json_writer_init(&w, &out, NULL);
        dl_json_object_begin(&w);
        dl_json_key(&w, DL_STR("status"));
        dl_json_string(&w, dl_str_of(dl_status_name(status)));
        dl_json_key(&w, DL_STR("error"));
        dl_json_string(&w, dl_str_of(err.message));
        dl_json_key(&w, DL_STR("hint"));
        dl_json_string(&w, dl_str_of(err.hint));
        dl_json_object_end(&w);
    }
    (void)printf("%.*s\n", DL_STR_ARG(dl_buf_str(&out)));
    return status == DL_OK ? 0 : 1;
}
