/* A file to import, zip or JSON: what comes of it is exported, and that is taken back whole. */
#include "base/file.h"
#include "factory/gallery.h"

#include <stdio.h>
#include <sys/mman.h>

enum { MEMORY_LIMIT_BYTES = 256 << 20, PATH_SIZE = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static dl_gallery_import in;

static bool take(dl_str content, dl_arena *arena)
{
    char path[PATH_SIZE];
    DL_AUTO_FD fd = memfd_create("import", MFD_CLOEXEC);
    dl_error err = {0};
    DL_ASSERT(fd >= 0 && dl_file_write_all(fd, content.ptr, content.len, NULL) == DL_OK);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    dl_status status =
        dl_gallery_read(path, DL_STR_NONE, DL_STR_NONE, DL_STR_NONE, arena, &in, &err);
    DL_ASSERT((status == DL_OK) == (err.message[0] == '\0'));
    return status == DL_OK;
}

static dl_status give(dl_buf *out)
{
    return dl_gallery_write(&in.pipeline, in.triggers, in.trigger_count, in.connections,
                            in.connection_count, out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    DL_AUTO_BUF first = {0}, second = {0};
    dl_buf_init(&first, MEMORY_LIMIT_BYTES);
    dl_buf_init(&second, MEMORY_LIMIT_BYTES);
    if (!take((dl_str){(const char *)bytes, size}, arena) || !in.has_pipeline) {
        return 0;
    }
    DL_ASSERT(give(&first) == DL_OK);
    DL_ASSERT(take(dl_buf_str(&first), arena));
    DL_ASSERT(give(&second) == DL_OK);
    DL_ASSERT(dl_str_eq(dl_buf_str(&first), dl_buf_str(&second)));
    return 0;
}
