/* Row sets against a plain model, their bytes, and bytes that are wrong. */
#include "delta/bitmap.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "tap.h"

enum { SPACE = 3 * 65536 };
static const uint64_t bases[] = {0, 5ULL << 16, 7ULL << 32, (uint64_t)INT64_MAX - SPACE + 1};

/* A plain model: one flag a row of each of four stretches. */
typedef struct model {
    uint8_t rows[DL_COUNT_OF(bases)][SPACE];
    uint64_t count;
} model;

static uint64_t state = 88172645463325252ULL;
static uint32_t chance(uint32_t below)
{
    state ^= state << 13; /* xorshift: the same rows in every run */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

static void put(dl_delta_bitmap *b, model *m, size_t base, uint32_t at)
{
    dl_error err = {0};
    bool is_new = false;
    TAP_OK(dl_delta_bitmap_add(b, bases[base] + at, &is_new, &err), err);
    TAP_EQ_INT(is_new, m->rows[base][at] == 0);
    m->count += m->rows[base][at] == 0;
    m->rows[base][at] = 1;
}

/* Rows alone, in runs, and in crowds, so that both kinds of containers come up and change. */
static void fill(dl_delta_bitmap *b, model *m)
{
    for (int i = 0; i < 300; i++) {
        put(b, m, chance(DL_COUNT_OF(bases)), chance(SPACE));
    }
    for (int i = 0; i < 3; i++) {
        size_t base = chance(DL_COUNT_OF(bases));
        uint32_t from = chance(SPACE), len = chance(9000);
        for (uint32_t at = from; at < from + len && at < SPACE; at++) {
            put(b, m, base, at);
        }
    }
}

static void compare(const dl_delta_bitmap *b, const model *m)
{
    uint64_t rank = 0, next = 0;
    TAP_EQ_INT(dl_delta_bitmap_count(b), m->count);
    for (size_t base = 0; base < DL_COUNT_OF(bases); base++) {
        for (uint32_t at = 0; at < SPACE; at++) {
            uint64_t row = bases[base] + at;
            if (dl_delta_bitmap_has(b, row) != (m->rows[base][at] != 0) ||
                (at % 97 == 0 && dl_delta_bitmap_rank(b, row) != rank)) {
                TAP_FAIL("row %llu: has or rank", (unsigned long long)row);
                return;
            }
            if (m->rows[base][at] != 0) {
                uint64_t found = 0;
                if (!dl_delta_bitmap_next(b, next, &found) || found != row) {
                    TAP_FAIL("row %llu is not the next", (unsigned long long)row);
                    return;
                }
                next = row + 1;
                rank++;
            }
        }
    }
    TAP_TRUE(!dl_delta_bitmap_next(b, next, &next));
}

static model model_a, model_b;

static void round_trip(const dl_delta_bitmap *b, const model *m)
{
    dl_error err = {0};
    DL_AUTO_BUF text = {0};
    DL_AUTO_BUF again = {0};
    dl_buf_init(&text, 1 << 20);
    dl_buf_init(&again, 1 << 20);
    DL_AUTO(dl_delta_bitmap) back = NULL;
    TAP_OK(dl_delta_bitmap_create(&back, &err), err);
    TAP_OK(dl_delta_bitmap_write(b, &text, &err), err);
    dl_bytes bytes = {(const uint8_t *)text.ptr, text.len};
    TAP_OK(dl_delta_bitmap_read(back, bytes, &err), err);
    compare(back, m);
    TAP_OK(dl_delta_bitmap_write(back, &again, &err), err);
    TAP_TRUE(dl_str_eq(dl_buf_str(&text), dl_buf_str(&again)));
    for (size_t cut = 0; cut < text.len; cut += 1 + cut / 16) { /* cut anywhere it is refused */
        DL_AUTO(dl_delta_bitmap) part = NULL;
        TAP_OK(dl_delta_bitmap_create(&part, &err), err);
        TAP_STATUS(dl_delta_bitmap_read(part, (dl_bytes){bytes.ptr, cut}, NULL), DL_E_CORRUPT);
        TAP_EQ_INT(dl_delta_bitmap_count(part), 0);
    }
}

TAP_CASE(like_a_plain_set)
{
    for (int round = 0; round < 8; round++) {
        dl_error err = {0};
        DL_AUTO(dl_delta_bitmap) a = NULL;
        DL_AUTO(dl_delta_bitmap) b = NULL;
        TAP_OK(dl_delta_bitmap_create(&a, &err), err);
        TAP_OK(dl_delta_bitmap_create(&b, &err), err);
        memset(&model_a, 0, sizeof model_a);
        memset(&model_b, 0, sizeof model_b);
        fill(a, &model_a);
        fill(b, &model_b);
        compare(a, &model_a);
        round_trip(a, &model_a);
        TAP_OK(dl_delta_bitmap_merge(a, b, &err), err);
        model_a.count = 0;
        for (size_t i = 0; i < sizeof model_a.rows; i++) {
            model_a.rows[i / SPACE][i % SPACE] |= model_b.rows[i / SPACE][i % SPACE];
            model_a.count += model_a.rows[i / SPACE][i % SPACE];
        }
        compare(a, &model_a);
        compare(b, &model_b);
        round_trip(a, &model_a);
    }
}

/* ---- bytes ---- */

#define MAGIC 0xd1, 0xd3, 0x39, 0x64
#define OLD_MAGIC 0xd0, 0xd3, 0x39, 0x64
#define ONE 1, 0, 0, 0, 0, 0, 0, 0 /* bucket */
#define ZERO4 0, 0, 0, 0
/* clang-format off */
static const struct {
    const char *name;
    uint8_t bytes[64];
    size_t size_bytes;
    dl_status want;
    uint64_t want_count, want_last; /* last: a member, when there are any */
} cases[] = {
    {"no rows", {MAGIC, ZERO4, ZERO4}, 12, DL_OK, 0, 0},
    {"an array", {MAGIC, ONE, ZERO4, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 3, 0, 9, 0}, 36, DL_OK, 2, 9},
    {"a high word", {MAGIC, ONE, 2, 0, 0, 0, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 5, 0}, 34, DL_OK, 1, 0x200010005},
    {"a run", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 4, 0, 1, 0, 10, 0, 4, 0}, 31, DL_OK, 5, 14},
    {"a run to the end", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0xfe, 0xff, 1, 0}, 31, DL_OK, 2, 65535},
    {"all rows in one run", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff}, 31, DL_OK, 65536, 65535},
    {"an array in the form with runs", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 0, 0, 0, 0, 0, 7, 0}, 27, DL_OK, 1, 7},
    {"the older form", {OLD_MAGIC, 1, 0, 0, 0, 18, 0, 0, 0, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0}, 30, DL_OK, 1, 8},
    {"the older form, two words", {OLD_MAGIC, 2, 0, 0, 0, 8, 0, 0, 0, 0x3a, 0x30, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0}, 42, DL_OK, 1, 0x100000008},
    {"the older form, too long", {OLD_MAGIC, 1, 0, 0, 0, 19, 0, 0, 0, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0, 0}, 31, DL_E_CORRUPT, 0, 0},
    {"the older form, too many", {OLD_MAGIC, 0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0, 0x3a, 0x30, 0, 0, 0, 0, 0, 0}, 20, DL_E_CORRUPT, 0, 0},
    {"nothing", {0}, 0, DL_E_CORRUPT, 0, 0},
    {"another magic", {0xd2, 0xd3, 0x39, 0x64, ZERO4, ZERO4}, 12, DL_E_CORRUPT, 0, 0},
    {"big-endian magic", {0x64, 0x39, 0xd3, 0xd1, ZERO4, ZERO4}, 12, DL_E_CORRUPT, 0, 0},
    {"another cookie", {MAGIC, ONE, ZERO4, 0x39, 0x30, 0, 0, 0, 0, 0, 0}, 24, DL_E_CORRUPT, 0, 0},
    {"bytes after the end", {MAGIC, ZERO4, ZERO4, 0}, 13, DL_E_CORRUPT, 0, 0},
    {"more buckets than there are", {MAGIC, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 12, DL_E_CORRUPT, 0, 0},
    {"a high word with its top bit", {MAGIC, ONE, 0, 0, 0, 0x80, 0x3a, 0x30, 0, 0, 0, 0, 0, 0}, 24, DL_E_CORRUPT, 0, 0},
    {"high words that stay", {MAGIC, 2, 0, 0, 0, ZERO4, ZERO4, 0x3a, 0x30, 0, 0, ZERO4, ZERO4, 0x3a, 0x30, 0, 0, ZERO4}, 36, DL_E_CORRUPT, 0, 0},
    {"65537 containers", {MAGIC, ONE, ZERO4, 0x3a, 0x30, 0, 0, 1, 0, 1, 0}, 24, DL_E_CORRUPT, 0, 0},
    {"an array that stays", {MAGIC, ONE, ZERO4, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 9, 0, 9, 0}, 36, DL_E_CORRUPT, 0, 0},
    {"keys that stay", {MAGIC, ONE, ZERO4, 0x3a, 0x30, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 24, 0, 0, 0, 26, 0, 0, 0, 1, 0, 1, 0}, 44, DL_E_CORRUPT, 0, 0},
    {"an offset elsewhere", {MAGIC, ONE, ZERO4, 0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 17, 0, 0, 0, 3, 0, 9, 0}, 36, DL_E_CORRUPT, 0, 0},
    {"a run past the end", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 2, 0, 1, 0, 0xfe, 0xff, 2, 0}, 31, DL_E_CORRUPT, 0, 0},
    {"runs that overlap", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 3, 0, 2, 0, 0, 0, 1, 0, 1, 0, 1, 0}, 35, DL_E_CORRUPT, 0, 0},
    {"runs with another count", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 5, 0, 1, 0, 10, 0, 4, 0}, 31, DL_E_CORRUPT, 0, 0},
    {"no runs at all", {MAGIC, ONE, ZERO4, 0x3b, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 27, DL_E_CORRUPT, 0, 0},
};
/* clang-format on */

static void run_case(size_t i)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) b = NULL;
    TAP_OK(dl_delta_bitmap_create(&b, &err), err);
    TAP_OK(dl_delta_bitmap_add(b, 1ULL << 40, NULL, &err), err);
    dl_status status =
        dl_delta_bitmap_read(b, (dl_bytes){cases[i].bytes, cases[i].size_bytes}, &err);
    TAP_EQ_INT(status, cases[i].want);
    TAP_EQ_INT(err.message[0] != '\0', status != DL_OK);
    TAP_EQ_INT(dl_delta_bitmap_count(b), cases[i].want_count + 1);
    if (cases[i].want_count > 0) {
        TAP_TRUE(dl_delta_bitmap_has(b, cases[i].want_last));
    }
}

/* What Roaring's specification and Spark have: an array of 4096, bits of 4097. */
TAP_CASE(containers_change_at_4096)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) b = NULL;
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 1 << 20);
    TAP_OK(dl_delta_bitmap_create(&b, &err), err);
    for (uint64_t row = 0; row < 4097; row++) {
        TAP_OK(dl_delta_bitmap_add(b, row * 2, NULL, &err), err);
        if (row == 4095) {
            TAP_OK(dl_delta_bitmap_write(b, &text, &err), err);
            TAP_EQ_INT(text.len, 12 + 4 + 16 + 8192);
            dl_buf_reset(&text);
        }
    }
    TAP_OK(dl_delta_bitmap_write(b, &text, &err), err);
    TAP_EQ_INT(text.len, 12 + 4 + 16 + 8192);
    TAP_EQ_INT((unsigned char)text.ptr[12 + 4 + 16], 0x55);
    TAP_EQ_INT(dl_le16((const uint8_t *)text.ptr + 12 + 4 + 10), 4096);
}

TAP_CASE(bounds)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) b = NULL;
    TAP_OK(dl_delta_bitmap_create(&b, &err), err);
    TAP_OK(dl_delta_bitmap_add(b, INT64_MAX, NULL, &err), err);
    TAP_STATUS(dl_delta_bitmap_add(b, (uint64_t)INT64_MAX + 1, NULL, &err), DL_E_INVALID);
    for (uint64_t i = 1; i < DL_DELTA_BITMAP_CONTAINER_LIMIT; i++) {
        TAP_OK(dl_delta_bitmap_add(b, i << 16, NULL, &err), err);
    }
    TAP_EQ_INT(dl_delta_bitmap_count(b), DL_DELTA_BITMAP_CONTAINER_LIMIT);
    TAP_STATUS(dl_delta_bitmap_add(b, 0, NULL, &err), DL_E_LIMIT);
    TAP_OK(dl_delta_bitmap_add(b, 65537, NULL, &err), err);
    TAP_EQ_INT(dl_delta_bitmap_count(b), DL_DELTA_BITMAP_CONTAINER_LIMIT + 1);
    DL_AUTO_BUF small = {0};
    dl_buf_init(&small, 100);
    TAP_STATUS(dl_delta_bitmap_write(b, &small, &err), DL_E_LIMIT);
    TAP_EQ_INT(small.len, 0);
}

/* Bytes changed at random: refused, or a set that writes and reads as itself. */
TAP_CASE(changed_bytes)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) b = NULL;
    DL_AUTO_BUF text = {0};
    DL_AUTO_BUF again = {0};
    dl_buf_init(&text, 1 << 20);
    dl_buf_init(&again, 1 << 24);
    TAP_OK(dl_delta_bitmap_create(&b, &err), err);
    for (uint64_t i = 0; i < 60; i++) {
        TAP_OK(dl_delta_bitmap_add(b, i * i * 4000, NULL, &err), err);
    }
    TAP_OK(dl_delta_bitmap_write(b, &text, &err), err);
    int refused = 0;
    for (int i = 0; i < 20000; i++) {
        uint32_t at = chance((uint32_t)text.len), bit = chance(8);
        text.ptr[at] = (char)(text.ptr[at] ^ (1 << bit));
        DL_AUTO(dl_delta_bitmap) c = NULL;
        DL_AUTO(dl_delta_bitmap) d = NULL;
        TAP_OK(dl_delta_bitmap_create(&c, &err), err);
        TAP_OK(dl_delta_bitmap_create(&d, &err), err);
        if (dl_delta_bitmap_read(c, (dl_bytes){(const uint8_t *)text.ptr, text.len}, NULL) !=
            DL_OK) {
            refused++;
        } else {
            dl_buf_reset(&again);
            TAP_OK(dl_delta_bitmap_write(c, &again, &err), err);
            TAP_OK(dl_delta_bitmap_read(d, (dl_bytes){(const uint8_t *)again.ptr, again.len}, &err),
                   err);
            TAP_EQ_INT(dl_delta_bitmap_count(c), dl_delta_bitmap_count(d));
        }
        text.ptr[at] = (char)(text.ptr[at] ^ (1 << bit));
    }
    TAP_TRUE(refused > 1000 && refused < 20000);
}

TAP_CASE(without_memory)
{
    DL_AUTO(dl_delta_bitmap) a = NULL;
    DL_AUTO(dl_delta_bitmap) b = NULL;
    TAP_EQ_INT(dl_delta_bitmap_create(&a, NULL), DL_OK);
    TAP_EQ_INT(dl_delta_bitmap_create(&b, NULL), DL_OK);
    for (uint64_t i = 0; i < 5000; i++) {
        TAP_EQ_INT(dl_delta_bitmap_add(a, i * 3, NULL, NULL), DL_OK);
        TAP_EQ_INT(dl_delta_bitmap_add(b, i * 20, NULL, NULL), DL_OK);
    }
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 1 << 20);
    TAP_EQ_INT(dl_delta_bitmap_write(a, &text, NULL), DL_OK);
    int failures = 0;
    for (int64_t n = 0;; n++) {
        DL_AUTO(dl_delta_bitmap) c = NULL;
        dl_error err = {0};
        dl_mem_fail_after(n);
        dl_status status = dl_delta_bitmap_create(&c, &err);
        if (status == DL_OK) {
            status = dl_delta_bitmap_read(c, (dl_bytes){(const uint8_t *)text.ptr, text.len}, &err);
        }
        if (status == DL_OK) {
            status = dl_delta_bitmap_merge(c, b, &err);
        }
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        TAP_EQ_INT(status, DL_E_NOMEM);
        TAP_EQ_INT(err.status, DL_E_NOMEM);
    }
    TAP_TRUE(failures > 3);
}

int main(void)
{
    TAP_RUN(like_a_plain_set);
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        run_case(i);
        TAP_ROW_END(cases[i].name);
    }
    TAP_RUN(containers_change_at_4096);
    TAP_RUN(bounds);
    TAP_RUN(changed_bytes);
    TAP_RUN(without_memory);
    return tap_done();
}
