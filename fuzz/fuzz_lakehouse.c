/* A lakehouse's document: what the reader takes is written, and that reads back and is written the
 * same; no sub path that it takes leads above its connection. */
#include "lakehouse/lakehouse.h"

enum { MEMORY_LIMIT_BYTES = 64 << 20, TEXT_LIMIT_BYTES = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void write_text(const dl_lakehouse *lakehouse, dl_buf *out)
{
    dl_json_writer w;
    dl_error err = {0};
    dl_json_writer_init(&w, out, &err);
    dl_lakehouse_write(&w, lakehouse);
    DL_ASSERT(dl_json_writer_status(&w) == DL_OK);
}

static void check_subpath(dl_str subpath)
{
    dl_str rest = subpath, part = DL_STR_NONE;
    DL_ASSERT(subpath.len > 0 && subpath.ptr[0] == '/');
    while (dl_str_next(&rest, '/', &part)) {
        DL_ASSERT(!dl_str_eq(part, DL_STR("..")) && !dl_str_eq(part, DL_STR(".")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    DL_AUTO_BUF first = {0}, second = {0};
    dl_lakehouse lakehouse = {0}, again = {0};
    dl_error err = {0};
    dl_buf_init(&first, TEXT_LIMIT_BYTES);
    dl_buf_init(&second, TEXT_LIMIT_BYTES);
    dl_status status =
        dl_lakehouse_read((dl_str){(const char *)bytes, size}, arena, &lakehouse, &err);
    DL_ASSERT((status == DL_OK) == (err.message[0] == '\0'));
    if (status != DL_OK) {
        return 0;
    }
    for (size_t i = 0; i < lakehouse.shortcut_count; i++) {
        check_subpath(lakehouse.shortcuts[i].subpath);
    }
    write_text(&lakehouse, &first);
    DL_ASSERT(dl_lakehouse_read(dl_buf_str(&first), arena, &again, &err) == DL_OK);
    write_text(&again, &second);
    DL_ASSERT(dl_str_eq(dl_buf_str(&first), dl_buf_str(&second)));
    return 0;
}
