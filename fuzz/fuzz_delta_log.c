/* A commit's text from anywhere: what reads is applied, written, read again and is the same set of
 * files; what does not harms nobody. */
#include "delta/internal.h"

enum { MEMORY_LIMIT_BYTES = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static dl_delta_totals apply(dl_delta_live *live, const dl_delta_commit *commit)
{
    DL_ASSERT(dl_delta_live_apply(live, commit, NULL) == DL_OK);
    return dl_delta_live_totals(live);
}

/* The set of a commit that was written and read again. */
static void write_and_compare(const dl_delta_commit *commit)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    DL_AUTO_BUF text = {0};
    dl_delta_commit again = {0};
    dl_delta_live *first = NULL, *second = NULL;
    dl_buf_init(&text, MEMORY_LIMIT_BYTES);
    DL_ASSERT(dl_delta_actions_write(commit, &text, NULL) == DL_OK);
    DL_ASSERT(dl_delta_actions_parse(dl_buf_str(&text), 1, arena, &again, NULL) == DL_OK);
    DL_ASSERT(again.add_count == commit->add_count && again.remove_count == commit->remove_count);
    DL_ASSERT(again.app_count == commit->app_count && again.domain_count == commit->domain_count);
    DL_ASSERT((again.protocol != NULL) == (commit->protocol != NULL));
    DL_ASSERT((again.metadata != NULL) == (commit->metadata != NULL));
    DL_ASSERT(dl_delta_live_create(&first, NULL) == DL_OK);
    DL_ASSERT(dl_delta_live_create(&second, NULL) == DL_OK);
    dl_delta_totals a = apply(first, commit), b = apply(second, &again);
    DL_ASSERT(a.file_count == b.file_count && a.size_bytes == b.size_bytes);
    DL_ASSERT(a.row_count == b.row_count && a.deleted_rows == b.deleted_rows);
    const dl_delta_file *file = NULL;
    for (size_t cursor = 0; dl_delta_live_next_file(first, &cursor, &file);) {
        DL_ASSERT(dl_delta_live_find(second, file->path) != NULL);
    }
    dl_delta_live_destroy(first);
    dl_delta_live_destroy(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_str text = {(const char *)bytes, size};
    dl_delta_commit commit = {0};
    dl_error err = {0};
    dl_status status = dl_delta_actions_parse(text, 1, arena, &commit, &err);
    DL_ASSERT((status == DL_OK) == (err.message[0] == '\0'));
    if (status == DL_OK) {
        write_and_compare(&commit);
    }
    return 0;
}
