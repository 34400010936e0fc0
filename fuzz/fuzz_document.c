/* A document of any kind: what a reader takes is written, and that reads back and is written the
 * same; a secret never comes through. */
#include "factory/document.h"
#include "factory/document_copy.h"

#include <string.h>

enum { MEMORY_LIMIT_BYTES = 64 << 20, TEXT_LIMIT_BYTES = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/** Reads and writes; false: it was refused. */
static bool pass(dl_factory_kind kind, dl_str json, dl_arena *arena, dl_buf *out)
{
    static dl_factory_connection connection;
    static dl_factory_pipeline pipeline;
    static dl_factory_trigger trigger;
    dl_factory_unknown unknown = {0};
    dl_error err = {0};
    dl_status status = DL_E_INVALID, written = DL_OK;
    switch (kind) {
    case DL_FACTORY_CONNECTION:
        status = dl_factory_read_connection(json, arena, &connection, &unknown, &err);
        if (status == DL_OK) {
            written = dl_factory_write_connection(&connection, json, out, &err);
        }
        break;
    case DL_FACTORY_PIPELINE:
        status = dl_factory_read_pipeline(json, arena, &pipeline, &unknown, &err);
        if (status == DL_OK) {
            written = dl_factory_write_pipeline(&pipeline, json, out, &err);
        }
        break;
    case DL_FACTORY_TRIGGER:
        status = dl_factory_read_trigger(json, arena, &trigger, &unknown, &err);
        if (status == DL_OK) {
            written = dl_factory_write_trigger(&trigger, json, out, &err);
        }
        break;
    }
    DL_ASSERT((status == DL_OK) == (err.message[0] == '\0'));
    DL_ASSERT(written == DL_OK);
    return status == DL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    dl_str json = {(const char *)bytes, size};
    if (dl_str_starts(json, DL_STR("\xef\xbb\xbf"))) {
        return 0; /* the catalog takes it away before it keeps what others wrote */
    }
    for (int kind = 0; kind < DL_FACTORY_KINDS; kind++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
        DL_AUTO_BUF first = {0}, second = {0};
        bool found = true;
        dl_str path = DL_STR_NONE;
        dl_buf_init(&first, TEXT_LIMIT_BYTES);
        dl_buf_init(&second, TEXT_LIMIT_BYTES);
        if (!pass((dl_factory_kind)kind, json, arena, &first)) {
            continue;
        }
        DL_ASSERT(dl_document_find_secret(dl_buf_str(&first), arena, &found, &path, NULL) == DL_OK);
        DL_ASSERT(!found);
        DL_ASSERT(pass((dl_factory_kind)kind, dl_buf_str(&first), arena, &second));
        DL_ASSERT(dl_str_eq(dl_buf_str(&first), dl_buf_str(&second)));
    }
    return 0;
}
