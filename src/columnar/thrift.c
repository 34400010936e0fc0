/* Thrift compact protocol, as far as a Parquet footer and page headers need it. */
#include "columnar/internal.h"

enum {
    TYPE_TRUE = 1,
    TYPE_FALSE = 2,
    TYPE_I8 = 3,
    TYPE_I64 = 6,
    TYPE_LIST = 9,
    VARINT_BYTES = 10,
    SHORT_DELTA = 15,
    SHORT_LIST = 14,
};

static bool reserve(dl_columnar_thrift *t, size_t len)
{
    return t->failure.status == DL_OK && dl_buf_reserve(t->buf, len, &t->failure) == DL_OK;
}

static void put_byte(dl_columnar_thrift *t, unsigned byte)
{
    if (reserve(t, 1)) {
        t->buf->ptr[t->buf->len++] = (char)(uint8_t)byte;
    }
}

static void put_varint(dl_columnar_thrift *t, uint64_t value)
{
    if (!reserve(t, VARINT_BYTES)) {
        return;
    }
    while (value >= 0x80) {
        t->buf->ptr[t->buf->len++] = (char)(uint8_t)(value | 0x80);
        value >>= 7;
    }
    t->buf->ptr[t->buf->len++] = (char)(uint8_t)value;
}

static void put_zigzag(dl_columnar_thrift *t, int64_t value)
{
    put_varint(t, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static void put_field(dl_columnar_thrift *t, int id, unsigned type)
{
    int delta = id - t->last[t->depth];
    DL_ASSERT(delta > 0 && delta <= SHORT_DELTA); /* fields in order; no struct has gaps beyond */
    put_byte(t, (unsigned)delta << 4 | type);
    t->last[t->depth] = id;
}

static void enter(dl_columnar_thrift *t)
{
    t->depth++;
    DL_ASSERT(t->depth < DL_COLUMNAR_THRIFT_DEPTH);
    t->last[t->depth] = 0;
}

void dl_columnar_thrift_begin(dl_columnar_thrift *t, dl_buf *buf)
{
    t->buf = buf;
    t->depth = 0;
    t->last[0] = 0;
    t->failure.status = DL_OK;
}

dl_status dl_columnar_thrift_end(dl_columnar_thrift *t, dl_error *err)
{
    put_byte(t, 0);
    DL_ASSERT(t->depth == 0);
    if (t->failure.status != DL_OK && err != NULL) {
        *err = t->failure;
    }
    return t->failure.status;
}

void dl_columnar_thrift_bool(dl_columnar_thrift *t, int id, bool value)
{
    put_field(t, id, value ? TYPE_TRUE : TYPE_FALSE);
}

void dl_columnar_thrift_i8(dl_columnar_thrift *t, int id, int8_t value)
{
    put_field(t, id, TYPE_I8);
    put_byte(t, (uint8_t)value);
}

void dl_columnar_thrift_i32(dl_columnar_thrift *t, int id, int32_t value)
{
    put_field(t, id, DL_COLUMNAR_THRIFT_I32);
    put_zigzag(t, value);
}

void dl_columnar_thrift_i64(dl_columnar_thrift *t, int id, int64_t value)
{
    put_field(t, id, TYPE_I64);
    put_zigzag(t, value);
}

void dl_columnar_thrift_text(dl_columnar_thrift *t, int id, dl_str value)
{
    put_field(t, id, DL_COLUMNAR_THRIFT_TEXT);
    dl_columnar_thrift_item_text(t, value);
}

void dl_columnar_thrift_list(dl_columnar_thrift *t, int id, dl_columnar_thrift_type type,
                             size_t count)
{
    put_field(t, id, TYPE_LIST);
    if (count <= SHORT_LIST) {
        put_byte(t, (unsigned)count << 4 | type);
    } else {
        put_byte(t, 0xf0 | type);
        put_varint(t, count);
    }
}

void dl_columnar_thrift_struct(dl_columnar_thrift *t, int id)
{
    put_field(t, id, DL_COLUMNAR_THRIFT_STRUCT);
    enter(t);
}

void dl_columnar_thrift_struct_end(dl_columnar_thrift *t)
{
    DL_ASSERT(t->depth > 0);
    put_byte(t, 0);
    t->depth--;
}

void dl_columnar_thrift_item_struct(dl_columnar_thrift *t)
{
    enter(t);
}

void dl_columnar_thrift_item_i32(dl_columnar_thrift *t, int32_t value)
{
    put_zigzag(t, value);
}

void dl_columnar_thrift_item_text(dl_columnar_thrift *t, dl_str value)
{
    put_varint(t, value.len);
    dl_columnar_thrift_raw(t, value);
}

void dl_columnar_thrift_raw(dl_columnar_thrift *t, dl_str bytes)
{
    if (bytes.len > 0 && reserve(t, bytes.len)) {
        memcpy(t->buf->ptr + t->buf->len, bytes.ptr, bytes.len);
        t->buf->len += bytes.len;
    }
}
