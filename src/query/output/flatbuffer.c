#include "query/output/flatbuffer.h"

static void put(dl_flatbuffer *f, const void *bytes, size_t len)
{
    if (f->status == DL_OK) {
        f->status = dl_buf_append(&f->buf, bytes, len, f->err);
    }
}

/** The lowest `size` bytes, little-endian. */
static void put_number(dl_flatbuffer *f, int64_t value, unsigned size)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (unsigned char)((uint64_t)value >> (8 * i));
    }
    put(f, bytes, size);
}

static void set_number(dl_flatbuffer *f, size_t place, uint32_t value)
{
    for (unsigned i = 0; i < 4 && f->status == DL_OK; i++) {
        f->buf.ptr[place + i] = (char)(unsigned char)(value >> (8 * i));
    }
}

/** Fill up, so that what comes after `ahead` more bytes is aligned. */
static void align(dl_flatbuffer *f, size_t ahead, size_t alignment)
{
    while (f->status == DL_OK && (f->buf.len + ahead) % alignment != 0) {
        put_number(f, 0, 1);
    }
}

void dl_flatbuffer_begin(dl_flatbuffer *f)
{
    dl_buf_reset(&f->buf);
    put_number(f, 0, 4);
}

/** The place points to what comes next. */
static void point(dl_flatbuffer *f, size_t place)
{
    set_number(f, place, (uint32_t)(f->buf.len - place));
}

/* The vtable (its size, the table's, where each member stands), then the table: the way back to the
 * vtable, and the members, the widest first, so that each is aligned. */
void dl_flatbuffer_table(dl_flatbuffer *f, size_t place, const dl_flatbuffer_field *fields,
                         size_t count, size_t *out_places)
{
    DL_ASSERT(count <= DL_FLATBUFFER_FIELD_LIMIT);
    size_t at[DL_FLATBUFFER_FIELD_LIMIT] = {0};
    size_t size = 4;
    bool wide = false;
    for (size_t i = 0; i < count; i++) {
        wide = wide || fields[i].size == 8;
    }
    size += wide ? 4 : 0; /* eight bytes begin at eight */
    for (unsigned width = 8; width > 0; width /= 2) {
        for (size_t i = 0; i < count; i++) {
            if (fields[i].size == width) {
                at[i] = size;
                size += width;
            }
        }
    }
    size_t vtable_size = 4 + 2 * count;
    align(f, vtable_size, 8);
    put_number(f, (int64_t)vtable_size, 2);
    put_number(f, (int64_t)size, 2);
    for (size_t i = 0; i < count; i++) {
        put_number(f, (int64_t)at[i], 2);
    }
    size_t table = f->buf.len;
    point(f, place);
    put_number(f, (int64_t)vtable_size, 4);
    put_number(f, 0, wide ? 4 : 0);
    for (unsigned width = 8; width > 0; width /= 2) {
        for (size_t i = 0; i < count; i++) {
            put_number(f, fields[i].value, fields[i].size == width ? width : 0);
        }
    }
    for (size_t i = 0; i < count && out_places != NULL; i++) {
        out_places[i] = table + at[i];
    }
}

void dl_flatbuffer_text(dl_flatbuffer *f, size_t place, dl_str text)
{
    align(f, 0, 4);
    point(f, place);
    put_number(f, (int64_t)text.len, 4);
    put(f, text.ptr, text.len);
    put_number(f, 0, 1);
}

size_t dl_flatbuffer_vector(dl_flatbuffer *f, size_t place, const void *items, size_t count,
                            size_t item_size)
{
    align(f, 4, item_size % 8 == 0 ? 8 : 4);
    point(f, place);
    put_number(f, (int64_t)count, 4);
    size_t first = f->buf.len;
    if (items != NULL) {
        put(f, items, count * item_size);
    }
    for (size_t i = 0; i < count && items == NULL; i++) {
        put_number(f, 0, 4);
    }
    return first;
}
