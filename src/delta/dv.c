/* Deletion vectors: descriptors, the files that hold them, and the inline form.
 *
 * A file: byte 1, then per vector u32 big-endian size, the row set, u32 big-endian CRC-32 of it.
 * `offset` is where the size stands, the first at 1. (Delta protocol, "Deletion Vectors".) */
#include "delta/internal.h"

#include "base/cursor.h"
#include "base/mem.h"

#include <string.h>
#include <zlib.h>

enum {
    FILE_VERSION = 1,
    FRAME_BYTES = 4, /* the size before a vector; the checksum after it */
    Z85_BYTES = 4,   /* of which five characters come */
    Z85_CHARS = 5,
    UUID_CHARS = 20,
};
/* What a row set of DL_DELTA_BITMAP_CONTAINER_LIMIT full groups takes, and some. */
static const int32_t vector_limit_bytes = 320 * 1024 * 1024;

/* ---- Z85 ---- */

static const char z85_digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 ".-:+=^!/*?&<>()[]{}@%$#";

void dl_delta_z85_encode(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i += Z85_BYTES) {
        uint32_t value = dl_be32(bytes + i);
        for (int k = Z85_CHARS - 1; k >= 0; k--) {
            out[k] = z85_digits[value % 85];
            value /= 85;
        }
        out += Z85_CHARS;
    }
}

bool dl_delta_z85_decode(dl_str text, uint8_t *out)
{
    for (size_t i = 0; i + Z85_CHARS <= text.len; i += Z85_CHARS) {
        uint64_t value = 0;
        for (size_t k = 0; k < Z85_CHARS; k++) {
            char c = text.ptr[i + k];
            const char *digit = c == '\0' ? NULL : strchr(z85_digits, c);
            if (digit == NULL) {
                return false;
            }
            value = value * 85 + (uint64_t)(digit - z85_digits);
        }
        if (value > UINT32_MAX) {
            return false;
        }
        for (int k = 0; k < Z85_BYTES; k++) {
            *out++ = (uint8_t)(value >> (8 * (Z85_BYTES - 1 - k)));
        }
    }
    return text.len % Z85_CHARS == 0;
}

/* ---- where a vector is ---- */

static dl_status bad_descriptor(dl_error *err, const char *what)
{
    return dl_error_set(err, DL_E_CORRUPT, "deletion vector: %s", what);
}

/* "<prefix>/deletion_vector_<uuid>.bin"; the last 20 characters are the UUID. */
static dl_status relative_path(const dl_delta_dv *dv, dl_arena *arena, dl_str *out_path,
                               dl_error *err)
{
    dl_str text = dv->path_or_inline;
    uint8_t bytes[DL_DELTA_UUID_BYTES];
    char uuid[DL_DELTA_UUID_SIZE];
    if (text.len < UUID_CHARS) {
        return bad_descriptor(err, "its name is shorter than 20 characters");
    }
    dl_str prefix = dl_str_slice(text, 0, text.len - UUID_CHARS);
    if (!dl_delta_z85_decode(dl_str_slice(text, prefix.len, UUID_CHARS), bytes)) {
        return bad_descriptor(err, "its name is not Z85");
    }
    dl_delta_uuid_format(bytes, uuid);
    return dl_arena_printf(arena, out_path, err, "%.*s%sdeletion_vector_%s.bin", DL_STR_ARG(prefix),
                           prefix.len > 0 ? "/" : "", uuid);
}

dl_status dl_delta_dv_key(const dl_delta_table *table, const dl_delta_dv *dv, dl_arena *arena,
                          dl_str *out_key, dl_error *err)
{
    dl_str path = DL_STR_NONE;
    if (dv->storage == 'i') {
        *out_key = DL_STR_NONE;
        return DL_OK;
    }
    if (dv->storage == 'u') {
        DL_TRY(relative_path(dv, arena, &path, err));
    } else if (dv->storage == 'p') {
        DL_TRY(dl_delta_path_decode(dv->path_or_inline, arena, &path, err));
        if (!dl_delta_path_is_absolute(path)) {
            return bad_descriptor(err, "its absolute path is relative");
        }
    } else {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "deletion vector: storage type 0x%02x is not u, p or i",
                            (unsigned)(unsigned char)dv->storage);
    }
    return dl_delta_key(table, path, arena, out_key, err);
}

/* ---- reading ---- */

static dl_status read_inline(const dl_delta_dv *dv, dl_delta_bitmap *rows, dl_error *err)
{
    dl_str text = dv->path_or_inline;
    size_t len = text.len / Z85_CHARS * Z85_BYTES;
    if (len < (size_t)dv->size_bytes || len - (size_t)dv->size_bytes >= Z85_BYTES) {
        return bad_descriptor(err, "its inline text has not as many bytes as it says");
    }
    DL_AUTO_BUF bytes = {0};
    dl_buf_init(&bytes, len);
    DL_TRY(dl_buf_reserve(&bytes, len, err));
    if (!dl_delta_z85_decode(text, (uint8_t *)bytes.ptr)) {
        return bad_descriptor(err, "its inline text is not Z85");
    }
    return dl_delta_bitmap_read(
        rows, (dl_bytes){(const uint8_t *)bytes.ptr, (size_t)dv->size_bytes}, err);
}

/* The vector of `size` bytes with the size before and the checksum behind it. */
static dl_status check_frame(const uint8_t *frame, size_t size, dl_error *err)
{
    const uint8_t *data = frame + FRAME_BYTES;
    if (dl_be32(frame) != size) {
        return dl_error_set(err, DL_E_CORRUPT,
                            "deletion vector: its file says %u bytes, the log %zu", dl_be32(frame),
                            size);
    }
    if (dl_be32(data + size) != (uint32_t)crc32_z(0, data, size)) {
        return bad_descriptor(err, "its checksum is wrong");
    }
    return DL_OK;
}

static dl_status read_file(dl_store *store, dl_str key, const dl_delta_dv *dv,
                           dl_delta_bitmap *rows, dl_error *err)
{
    size_t size = (size_t)dv->size_bytes, want = size + 2 * (size_t)FRAME_BYTES;
    uint64_t offset = dv->offset < 0 ? 1 : (uint64_t)dv->offset;
    DL_AUTO_BUF bytes = {0};
    dl_buf_init(&bytes, want + 1);
    if (offset > 1) {
        DL_TRY(dl_store_get_range(store, key, 0, 1, &bytes, err));
    }
    DL_TRY(dl_store_get_range(store, key, offset > 1 ? offset : 0, offset > 1 ? want : want + 1,
                              &bytes, err));
    if (bytes.len != want + 1) {
        return bad_descriptor(err, "its file ends before it");
    }
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    if (p[0] != FILE_VERSION) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "deletion vector: its file has version %u, not 1", (unsigned)p[0]);
    }
    DL_TRY(check_frame(p + 1, size, err));
    return dl_delta_bitmap_read(rows, (dl_bytes){p + 1 + FRAME_BYTES, size}, err);
}

static dl_status read_vector(dl_delta_table *table, const dl_delta_dv *dv, dl_delta_bitmap *rows,
                             dl_error *err)
{
    if (dv->size_bytes <= 0 || dv->offset == 0) {
        return bad_descriptor(err, "its size or offset is not positive");
    }
    if (dv->size_bytes > vector_limit_bytes) {
        return dl_error_set(err, DL_E_LIMIT, "deletion vector: %d bytes, more than %d",
                            dv->size_bytes, vector_limit_bytes);
    }
    if (dv->storage == 'i') {
        return read_inline(dv, rows, err);
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(64 * (size_t)1024);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "deletion vector: out of memory");
    }
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_delta_dv_key(table, dv, arena, &key, err));
    dl_status status = read_file(table->open.store, key, dv, rows, err);
    return status == DL_OK
               ? DL_OK
               : dl_error_within(err, status, "reading the deletion vector %.*s at %lld",
                                 DL_STR_ARG(key), (long long)dv->offset);
}

dl_status dl_delta_dv_read(dl_delta_table *table, const dl_delta_dv *dv, dl_delta_bitmap *out_rows,
                           dl_error *err)
{
    if (dv->storage == '\0') {
        return DL_OK;
    }
    DL_AUTO(dl_delta_bitmap) rows = NULL;
    DL_TRY(dl_delta_bitmap_create(&rows, err));
    DL_TRY(read_vector(table, dv, rows, err));
    uint64_t count = dl_delta_bitmap_count(rows);
    if (dv->cardinality < 0 || count != (uint64_t)dv->cardinality) {
        return dl_error_set(err, DL_E_CORRUPT, "deletion vector: %llu rows, the log says %lld",
                            (unsigned long long)count, (long long)dv->cardinality);
    }
    return dl_delta_bitmap_merge(out_rows, rows, err);
}

/* ---- writing ---- */

struct dl_delta_dv_writer {
    dl_store_spool *spool;
    dl_buf frame; /* one vector at a time */
    uint8_t uuid[DL_DELTA_UUID_BYTES];
};

void dl_delta_dv_writer_destroy(dl_delta_dv_writer *writer)
{
    if (writer != NULL) {
        dl_store_spool_destroy(writer->spool);
        dl_buf_clear(&writer->frame);
        dl_mem_free(writer);
    }
}

dl_status dl_delta_dv_writer_create(dl_delta_table *table, dl_delta_dv_writer **out_writer,
                                    dl_error *err)
{
    DL_AUTO(dl_delta_dv_writer) writer = dl_mem_zalloc(1, sizeof *writer);
    if (writer == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "deletion vector: out of memory");
    }
    dl_buf_init(&writer->frame, (size_t)vector_limit_bytes);
    dl_delta_uuid_bytes(writer->uuid);
    DL_TRY(dl_store_spool_create(table->open.store, &writer->spool, err));
    static const uint8_t version = FILE_VERSION;
    DL_TRY(dl_store_spool_write(writer->spool, (dl_bytes){&version, 1}, err));
    *out_writer = DL_STEAL(writer);
    return DL_OK;
}

static void put_be32(char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (char)(unsigned char)(value >> (24 - 8 * i));
    }
}

dl_status dl_delta_dv_writer_put(dl_delta_dv_writer *writer, const dl_delta_bitmap *rows,
                                 dl_arena *arena, dl_delta_dv *out_dv, dl_error *err)
{
    dl_buf *frame = &writer->frame;
    uint64_t offset = dl_store_spool_size(writer->spool);
    dl_buf_reset(frame);
    DL_TRY(dl_buf_append(frame, "\0\0\0\0", FRAME_BYTES, err));
    DL_TRY(dl_delta_bitmap_write(rows, frame, err));
    size_t size = frame->len - FRAME_BYTES;
    DL_TRY(dl_buf_append(frame, "\0\0\0\0", FRAME_BYTES, err));
    put_be32(frame->ptr, (uint32_t)size);
    uint32_t sum = (uint32_t)crc32_z(0, (const uint8_t *)frame->ptr + FRAME_BYTES, size);
    put_be32(frame->ptr + FRAME_BYTES + size, sum);
    if (offset + frame->len > INT32_MAX) {
        return dl_error_set(err, DL_E_LIMIT, "deletion vectors: one commit's have more than 2 GiB");
    }
    char *name = dl_arena_alloc(arena, UUID_CHARS + 1, 1);
    if (name == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_delta_z85_encode(writer->uuid, sizeof writer->uuid, name);
    DL_TRY(dl_store_spool_write(writer->spool, (dl_bytes){(const uint8_t *)frame->ptr, frame->len},
                                err));
    *out_dv = (dl_delta_dv){
        .storage = 'u',
        .path_or_inline = {name, UUID_CHARS},
        .offset = (int64_t)offset,
        .size_bytes = (int32_t)size,
        .cardinality = (int64_t)dl_delta_bitmap_count(rows),
    };
    return DL_OK;
}

dl_store_spool *dl_delta_dv_writer_spool(const dl_delta_dv_writer *writer)
{
    return writer->spool;
}

dl_status dl_delta_dv_writer_key(const dl_delta_table *table, const dl_delta_dv_writer *writer,
                                 dl_arena *arena, dl_str *out_key, dl_error *err)
{
    char uuid[DL_DELTA_UUID_SIZE];
    dl_str path = DL_STR_NONE;
    dl_delta_uuid_format(writer->uuid, uuid);
    DL_TRY(dl_arena_printf(arena, &path, err, "deletion_vector_%s.bin", uuid));
    return dl_delta_key(table, path, arena, out_key, err);
}
