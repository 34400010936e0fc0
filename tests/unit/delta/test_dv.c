/* Deletion vectors in files and inline; what Delta and its readers were seen to write. */
#include "delta/internal.h"

#include "base/cursor.h"
#include "tables.h"
#include "tap.h"

#include <zlib.h>

/* ---- Z85 (ZeroMQ RFC 32 and Delta's own example) ---- */

TAP_CASE(z85)
{
    static const uint8_t hello[] = {0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b};
    char text[10];
    uint8_t bytes[16];
    dl_delta_z85_encode(hello, sizeof hello, text);
    TAP_EQ_STR(((dl_str){text, 10}), "HelloWorld");
    TAP_TRUE(dl_delta_z85_decode(DL_STR("HelloWorld"), bytes));
    TAP_TRUE(memcmp(bytes, hello, sizeof hello) == 0);
    TAP_TRUE(dl_delta_z85_decode(DL_STR("%nSc0"), bytes)); /* 0xffffffff */
    TAP_EQ_INT(dl_be32(bytes), 0xffffffff);
    TAP_TRUE(!dl_delta_z85_decode(DL_STR("%nSc1"), bytes)); /* one more */
    TAP_TRUE(!dl_delta_z85_decode(DL_STR("#####"), bytes));
    TAP_TRUE(!dl_delta_z85_decode(DL_STR("Hell"), bytes));
    TAP_TRUE(!dl_delta_z85_decode(DL_STR("Hel\"o"), bytes));
    TAP_TRUE(!dl_delta_z85_decode(((dl_str){"Hel\0o", 5}), bytes));
}

/* ---- where a vector is ---- */

static dl_delta_table place; /* only what keys need */

static const struct {
    const char *name, *text, *key; /* key NULL: `want` */
    dl_status want;
    char storage;
} keys[] = {
    /* clang-format off */
    {"PROTOCOL.md's example",  "ab^-aqEH.-t@S}K{vb[*k^", "t/ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin", DL_OK, 'u'},
    {"without a prefix",       "^-aqEH.-t@S}K{vb[*k^",   "t/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin", DL_OK, 'u'},
    {"inline",                 "abcde",                  NULL, DL_OK, 'i'},
    {"nineteen characters",    "-aqEH.-t@S}K{vb[*k^",    NULL, DL_E_CORRUPT, 'u'},
    {"not Z85",                "^-aqEH.-t@S}K{vb[*k\"",  NULL, DL_E_CORRUPT, 'u'},
    {"a path that is relative", "a/b.bin",               NULL, DL_E_CORRUPT, 'p'},
    {"a path elsewhere",       "s3://bucket/b.bin",      NULL, DL_E_UNSUPPORTED, 'p'},
    {"a path elsewhere here",  "file:/nowhere/b.bin",    NULL, DL_E_UNSUPPORTED, 'p'},
    {"another storage",        "a",                      NULL, DL_E_UNSUPPORTED, 'r'},
    /* clang-format on */
};

static void run_key(size_t i)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_delta_dv dv = {.storage = keys[i].storage, .path_or_inline = dl_str_of(keys[i].text)};
    dl_str key = DL_STR_NONE;
    dl_status status = dl_delta_dv_key(&place, &dv, arena, &key, &err);
    TAP_EQ_INT(status, keys[i].want);
    TAP_EQ_INT(err.message[0] != '\0', status != DL_OK);
    if (keys[i].key == NULL) {
        TAP_TRUE(key.ptr == NULL);
    } else {
        TAP_EQ_STR(key, keys[i].key);
    }
}

/* ---- writing and reading ---- */

static const int64_t first_rows[] = {0, 3, 65536, 70000}, second_rows[] = {7};

static void publish(dl_delta_dv_writer *writer, dl_arena *arena, dl_str *out_key)
{
    dl_error err = {0};
    TAP_OK(dl_delta_dv_writer_key(&place, writer, arena, out_key, &err), err);
    dl_store_publish_item item = {dl_delta_dv_writer_spool(writer), *out_key, DL_OK, {0}, &err};
    dl_store_publish(place.open.store, &item, 1);
    TAP_OK(item.status, err);
}

static void write_two(dl_arena *arena, dl_delta_dv dvs[2], dl_str *out_key)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_dv_writer) writer = NULL;
    DL_AUTO(dl_delta_bitmap) a = tables_rows(first_rows, DL_COUNT_OF(first_rows));
    DL_AUTO(dl_delta_bitmap) b = tables_rows(second_rows, DL_COUNT_OF(second_rows));
    TAP_OK(dl_delta_dv_writer_create(&place, &writer, &err), err);
    TAP_OK(dl_delta_dv_writer_put(writer, a, arena, &dvs[0], &err), err);
    TAP_OK(dl_delta_dv_writer_put(writer, b, arena, &dvs[1], &err), err);
    publish(writer, arena, out_key);
}

TAP_CASE(one_file_holds_two)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_delta_dv dvs[2];
    dl_str key = DL_STR_NONE, again = DL_STR_NONE;
    write_two(arena, dvs, &key);
    /* 12 head, 4 high word, 8 cookie and count, per container 8 head and 2 a row */
    TAP_EQ_INT(dvs[0].offset, 1);
    TAP_EQ_INT(dvs[0].size_bytes, 12 + 4 + 8 + 2 * 8 + 4 * 2);
    TAP_EQ_INT(dvs[0].cardinality, 4);
    TAP_EQ_INT(dvs[1].offset, 1 + 8 + dvs[0].size_bytes);
    TAP_EQ_INT(dvs[1].cardinality, 1);
    TAP_EQ_INT(dvs[0].path_or_inline.len, 20);
    TAP_OK(dl_delta_dv_key(&place, &dvs[1], arena, &again, &err), err);
    TAP_TRUE(dl_str_eq(key, again));

    DL_AUTO_BUF file = {0};
    dl_buf_init(&file, 1 << 16);
    TAP_OK(dl_store_get(place.open.store, key, &file, &err), err);
    const uint8_t *p = (const uint8_t *)file.ptr;
    TAP_EQ_INT(file.len, 1 + 8 + dvs[0].size_bytes + 8 + dvs[1].size_bytes);
    TAP_EQ_INT(p[0], 1);
    TAP_EQ_INT(dl_be32(p + 1), dvs[0].size_bytes);
    TAP_TRUE(memcmp(p + 5, "\xd1\xd3\x39\x64", 4) == 0);
    TAP_EQ_INT(dl_be32(p + 5 + dvs[0].size_bytes), crc32_z(0, p + 5, (size_t)dvs[0].size_bytes));

    for (int i = 0; i < 2; i++) {
        DL_AUTO(dl_delta_bitmap) rows = NULL;
        TAP_OK(dl_delta_bitmap_create(&rows, &err), err);
        TAP_OK(dl_delta_dv_read(&place, &dvs[i], rows, &err), err);
        TAP_EQ_INT(dl_delta_bitmap_count(rows), dvs[i].cardinality);
        TAP_TRUE(dl_delta_bitmap_has(rows, i == 0 ? 70000 : 7));
    }
}

/* ---- what is wrong with it ---- */

typedef struct flaw {
    const char *name;
    int64_t offset, size, cardinality; /* added to the true ones */
    int64_t byte;                      /* of the file that is changed; -1: none */
    dl_status want;
} flaw;
static const flaw flaws[] = {
    /* clang-format off */
    {"as it is",                 0,    0, 0,  -1, DL_OK},
    {"another size",             0,    1, 0,  -1, DL_E_CORRUPT},
    {"another offset",           4,    0, 0,  -1, DL_E_CORRUPT},
    {"an offset of 0",          -1,    0, 0,  -1, DL_E_CORRUPT},
    {"beyond the file",       1000,    0, 0,  -1, DL_E_CORRUPT},
    {"longer than the file",     0, 4000, 0,  -1, DL_E_CORRUPT},
    {"without a size",           0, -48,  0,  -1, DL_E_CORRUPT},
    {"below no size",            0, -49,  0,  -1, DL_E_CORRUPT},
    {"beyond any size",          0, 320 * 1024 * 1024 - 47, 0, -1, DL_E_LIMIT},
    {"more rows",                0,    0, 1,  -1, DL_E_CORRUPT},
    {"fewer rows",               0,    0, -1, -1, DL_E_CORRUPT},
    {"fewer than no rows",       0,    0, -5, -1, DL_E_CORRUPT},
    {"another version",          0,    0, 0,   0, DL_E_UNSUPPORTED},
    {"another length inside",    0,    0, 0,   4, DL_E_CORRUPT},
    {"a changed bit",            0,    0, 0,  30, DL_E_CORRUPT},
    {"a changed sum",            0,    0, 0,  55, DL_E_CORRUPT},
    /* clang-format on */
};

static void run_flaw(const flaw *f)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_delta_dv dvs[2];
    dl_str key = DL_STR_NONE;
    write_two(arena, dvs, &key);
    if (f->byte >= 0) {
        DL_AUTO_BUF file = {0};
        dl_buf_init(&file, 1 << 16);
        TAP_OK(dl_store_get(place.open.store, key, &file, &err), err);
        file.ptr[f->byte] = (char)(file.ptr[f->byte] ^ 2);
        TAP_OK(dl_store_put(place.open.store, key, (dl_bytes){(const uint8_t *)file.ptr, file.len},
                            &err),
               err);
    }
    TAP_EQ_INT(dvs[0].size_bytes, 48);
    dvs[0].offset += f->offset;
    dvs[0].size_bytes += (int32_t)f->size;
    dvs[0].cardinality += f->cardinality;
    DL_AUTO(dl_delta_bitmap) rows = tables_rows(second_rows, 1);
    dl_status status = dl_delta_dv_read(&place, &dvs[0], rows, &err);
    TAP_EQ_INT(status, f->want);
    TAP_EQ_INT(err.message[0] != '\0', f->want != DL_OK);
    TAP_EQ_INT(dl_delta_bitmap_count(rows), f->want == DL_OK ? 5 : 1);
}

TAP_CASE(a_file_that_is_gone)
{
    dl_error err = {0};
    dl_delta_dv dv = {'u', DL_STR("^-aqEH.-t@S}K{vb[*k^"), 1, 40, 1};
    DL_AUTO(dl_delta_bitmap) rows = tables_rows(second_rows, 1);
    TAP_STATUS(dl_delta_dv_read(&place, &dv, rows, &err), DL_E_NOT_FOUND);
    TAP_EQ_INT(dl_delta_bitmap_count(rows), 1);
}

/* An absolute URI below the store's own root, percent-encoded. */
TAP_CASE(an_absolute_path)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_delta_dv dvs[2];
    dl_str key = DL_STR_NONE, location = DL_STR_NONE;
    write_two(arena, dvs, &key);
    TAP_OK(dl_store_location(place.open.store, key, arena, &location, &err), err);
    dvs[0].storage = 'p';
    TAP_OK(dl_arena_printf(arena, &dvs[0].path_or_inline, &err, "file://%.*s%%6e",
                           DL_STR_ARG(dl_str_slice(location, 0, location.len - 1))),
           err);
    DL_AUTO(dl_delta_bitmap) rows = NULL;
    TAP_OK(dl_delta_bitmap_create(&rows, &err), err);
    TAP_OK(dl_delta_dv_read(&place, &dvs[0], rows, &err), err);
    TAP_EQ_INT(dl_delta_bitmap_count(rows), 4);
}

TAP_CASE(inline_vectors)
{
    dl_error err = {0};
    DL_AUTO_BUF bytes = {0};
    dl_buf_init(&bytes, 1 << 16);
    DL_AUTO(dl_delta_bitmap) a = tables_rows(second_rows, 1);
    TAP_OK(dl_delta_bitmap_write(a, &bytes, &err), err);
    TAP_EQ_INT(bytes.len, 34);
    TAP_OK(dl_buf_append(&bytes, "\0\0", 2, &err), err); /* padded to 4 */
    char text[64];
    dl_delta_z85_encode((const uint8_t *)bytes.ptr, 36, text);
    static const struct {
        size_t chars;
        int32_t size;
        dl_status want;
    } rows[] = {{45, 34, DL_OK},        {45, 33, DL_E_CORRUPT}, {45, 36, DL_E_CORRUPT},
                {45, 37, DL_E_CORRUPT}, {45, 32, DL_E_CORRUPT}, {40, 34, DL_E_CORRUPT},
                {44, 34, DL_E_CORRUPT}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_delta_dv dv = {'i', {text, rows[i].chars}, -1, rows[i].size, 1};
        DL_AUTO(dl_delta_bitmap) back = NULL;
        TAP_OK(dl_delta_bitmap_create(&back, &err), err);
        TAP_STATUS(dl_delta_dv_read(&place, &dv, back, &err), rows[i].want);
        TAP_EQ_INT(dl_delta_bitmap_has(back, 7), rows[i].want == DL_OK);
    }
}

int main(void)
{
    tables t;
    tables_init(&t, NULL);
    place.open = tables_open_options(&t, "t");
    TAP_RUN(z85);
    for (size_t i = 0; i < DL_COUNT_OF(keys); i++) {
        TAP_ROW_BEGIN();
        run_key(i);
        TAP_ROW_END(keys[i].name);
    }
    TAP_RUN(one_file_holds_two);
    for (size_t i = 0; i < DL_COUNT_OF(flaws); i++) {
        TAP_ROW_BEGIN();
        run_flaw(&flaws[i]);
        TAP_ROW_END(flaws[i].name);
    }
    TAP_RUN(a_file_that_is_gone);
    TAP_RUN(an_absolute_path);
    TAP_RUN(inline_vectors);
    tables_clear(&t);
    return tap_done();
}
