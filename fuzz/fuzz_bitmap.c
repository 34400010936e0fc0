/* Row sets of deletion vectors from anywhere: what is read holds together, writes, and reads back
 * as itself; what is refused leaves the set as it was. */
#include "delta/bitmap.h"

#include <string.h>

enum { WALK_LIMIT = 100000, MEMORY_LIMIT_BYTES = 512 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Members ascend, are members, and have their place as rank. */
static void walk(const dl_delta_bitmap *rows)
{
    uint64_t row = 0, seen = 0, from = 0;
    while (seen < WALK_LIMIT && dl_delta_bitmap_next(rows, from, &row)) {
        DL_ASSERT(row >= from && row <= INT64_MAX);
        DL_ASSERT(dl_delta_bitmap_has(rows, row));
        DL_ASSERT(seen % 64 != 0 || dl_delta_bitmap_rank(rows, row) == seen);
        seen++;
        from = row + 1;
    }
    DL_ASSERT(seen == WALK_LIMIT || seen == dl_delta_bitmap_count(rows));
}

static void write_back(const dl_delta_bitmap *rows)
{
    DL_AUTO_BUF first = {0};
    DL_AUTO_BUF second = {0};
    DL_AUTO(dl_delta_bitmap) back = NULL;
    dl_buf_init(&first, MEMORY_LIMIT_BYTES);
    dl_buf_init(&second, MEMORY_LIMIT_BYTES);
    DL_ASSERT(dl_delta_bitmap_create(&back, NULL) == DL_OK);
    DL_ASSERT(dl_delta_bitmap_write(rows, &first, NULL) == DL_OK);
    dl_bytes text = {(const uint8_t *)first.ptr, first.len};
    DL_ASSERT(dl_delta_bitmap_read(back, text, NULL) == DL_OK);
    DL_ASSERT(dl_delta_bitmap_count(back) == dl_delta_bitmap_count(rows));
    DL_ASSERT(dl_delta_bitmap_write(back, &second, NULL) == DL_OK);
    DL_ASSERT(dl_str_eq(dl_buf_str(&first), dl_buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_delta_bitmap) rows = NULL;
    DL_AUTO(dl_delta_bitmap) more = NULL;
    DL_ASSERT(dl_delta_bitmap_create(&rows, NULL) == DL_OK);
    DL_ASSERT(dl_delta_bitmap_create(&more, NULL) == DL_OK);
    DL_ASSERT(dl_delta_bitmap_add(more, 65540, NULL, NULL) == DL_OK);
    if (dl_delta_bitmap_read(rows, (dl_bytes){bytes, size}, NULL) != DL_OK) {
        DL_ASSERT(dl_delta_bitmap_count(rows) == 0);
        return 0;
    }
    walk(rows);
    write_back(rows);
    uint64_t count = dl_delta_bitmap_count(rows), had = dl_delta_bitmap_has(rows, 65540);
    if (dl_delta_bitmap_read(more, (dl_bytes){bytes, size}, NULL) == DL_OK) {
        DL_ASSERT(dl_delta_bitmap_count(more) == count + 1 - had);
        walk(more);
    }
    return 0;
}
