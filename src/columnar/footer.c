/* The end of a Parquet file. Field numbers are those of parquet.thrift. */
#include "columnar/internal.h"

#include "base/cursor.h"

enum {
    FILE_VERSION = 1, /* what it is with pages V1, whatever their encodings */
    /* ConvertedType */
    CONVERTED_UTF8 = 0,
    CONVERTED_MAP = 1,
    CONVERTED_LIST = 3,
    CONVERTED_DECIMAL = 5,
    CONVERTED_DATE = 6,
    CONVERTED_TIMESTAMP_MICROS = 10,
    CONVERTED_INT_8 = 15,
    CONVERTED_INT_16 = 16,
    /* members of the union LogicalType */
    LOGICAL_STRING = 1,
    LOGICAL_MAP = 2,
    LOGICAL_LIST = 3,
    LOGICAL_DECIMAL = 5,
    LOGICAL_DATE = 6,
    LOGICAL_TIMESTAMP = 8,
    LOGICAL_INTEGER = 10,
    UNIT_MICROS = 2,
    ORDER_TYPE = 1,
    /* Encoding */
    ENCODING_PLAIN = 0,
    ENCODING_RLE = 3,
    ENCODING_RLE_DICTIONARY = 8,
    /* CompressionCodec */
    CODEC_UNCOMPRESSED = 0,
    CODEC_SNAPPY = 1,
    CODEC_ZSTD = 6,
    /* PageType */
    PAGE_DATA = 0,
    PAGE_DICTIONARY = 2,
    /* the deepest path: each level of nesting gives at most two names */
    PATH_LIMIT = 2 * DL_COLUMNAR_DEPTH_LIMIT,
};

/* ---- schema ---- */

/* -1: none. What Parquet 1 knew; readers of old go by it. */
static int converted_type(const dl_columnar_field *field)
{
    switch (field->type) {
    case DL_COLUMNAR_STRING:
        return CONVERTED_UTF8;
    case DL_COLUMNAR_INT8:
        return CONVERTED_INT_8;
    case DL_COLUMNAR_INT16:
        return CONVERTED_INT_16;
    case DL_COLUMNAR_DECIMAL:
        return CONVERTED_DECIMAL;
    case DL_COLUMNAR_DATE:
        return CONVERTED_DATE;
    case DL_COLUMNAR_TIMESTAMP:
        return CONVERTED_TIMESTAMP_MICROS;
    case DL_COLUMNAR_LIST:
        return CONVERTED_LIST;
    case DL_COLUMNAR_MAP:
        return CONVERTED_MAP;
    case DL_COLUMNAR_BINARY:
    case DL_COLUMNAR_BOOL:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
    case DL_COLUMNAR_TIMESTAMP_NTZ: /* TIMESTAMP_MICROS would say UTC */
    case DL_COLUMNAR_STRUCT:
        break;
    }
    return -1;
}

static void put_timestamp(dl_columnar_thrift *t, bool utc)
{
    dl_columnar_thrift_struct(t, LOGICAL_TIMESTAMP);
    dl_columnar_thrift_bool(t, 1, utc);
    dl_columnar_thrift_struct(t, 2);
    dl_columnar_thrift_struct(t, UNIT_MICROS);
    dl_columnar_thrift_struct_end(t);
    dl_columnar_thrift_struct_end(t);
    dl_columnar_thrift_struct_end(t);
}

static void put_integer(dl_columnar_thrift *t, int8_t bits)
{
    dl_columnar_thrift_struct(t, LOGICAL_INTEGER);
    dl_columnar_thrift_i8(t, 1, bits);
    dl_columnar_thrift_bool(t, 2, true);
    dl_columnar_thrift_struct_end(t);
}

static void put_empty(dl_columnar_thrift *t, int member)
{
    dl_columnar_thrift_struct(t, member);
    dl_columnar_thrift_struct_end(t);
}

static void put_logical_type(dl_columnar_thrift *t, const dl_columnar_field *field)
{
    switch (field->type) {
    case DL_COLUMNAR_STRING:
        put_empty(t, LOGICAL_STRING);
        break;
    case DL_COLUMNAR_INT8:
        put_integer(t, 8);
        break;
    case DL_COLUMNAR_INT16:
        put_integer(t, 16);
        break;
    case DL_COLUMNAR_DECIMAL:
        dl_columnar_thrift_struct(t, LOGICAL_DECIMAL);
        dl_columnar_thrift_i32(t, 1, field->scale);
        dl_columnar_thrift_i32(t, 2, field->precision);
        dl_columnar_thrift_struct_end(t);
        break;
    case DL_COLUMNAR_DATE:
        put_empty(t, LOGICAL_DATE);
        break;
    case DL_COLUMNAR_TIMESTAMP:
        put_timestamp(t, true);
        break;
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        put_timestamp(t, false);
        break;
    case DL_COLUMNAR_LIST:
        put_empty(t, LOGICAL_LIST);
        break;
    case DL_COLUMNAR_MAP:
        put_empty(t, LOGICAL_MAP);
        break;
    case DL_COLUMNAR_BINARY:
    case DL_COLUMNAR_BOOL:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
    case DL_COLUMNAR_STRUCT:
        break;
    }
}

static bool has_logical_type(const dl_columnar_field *field)
{
    return converted_type(field) >= 0 || field->type == DL_COLUMNAR_TIMESTAMP_NTZ;
}

static void put_node(dl_columnar_thrift *t, const dl_columnar_node *node)
{
    const dl_columnar_field *field = node->field;
    dl_columnar_thrift_item_struct(t);
    if (node->child_count == 0) {
        dl_columnar_thrift_i32(t, 1, (int32_t)dl_columnar_kind_of(field));
    }
    dl_columnar_thrift_i32(t, 3, (int32_t)node->repetition);
    dl_columnar_thrift_text(t, 4, node->name);
    if (node->child_count > 0) {
        dl_columnar_thrift_i32(t, 5, (int32_t)node->child_count);
    }
    if (field != NULL) {
        if (converted_type(field) >= 0) {
            dl_columnar_thrift_i32(t, 6, converted_type(field));
        }
        if (field->type == DL_COLUMNAR_DECIMAL) {
            dl_columnar_thrift_i32(t, 7, field->scale);
            dl_columnar_thrift_i32(t, 8, field->precision);
        }
        if (field->field_id != 0) {
            dl_columnar_thrift_i32(t, 9, field->field_id);
        }
        if (has_logical_type(field)) {
            dl_columnar_thrift_struct(t, 10);
            put_logical_type(t, field);
            dl_columnar_thrift_struct_end(t);
        }
    }
    dl_columnar_thrift_struct_end(t);
}

static void put_schema(dl_columnar_thrift *t, const dl_columnar_footer *footer)
{
    dl_columnar_thrift_list(t, 2, DL_COLUMNAR_THRIFT_STRUCT, footer->node_count + 1);
    dl_columnar_thrift_item_struct(t);
    dl_columnar_thrift_text(t, 4, DL_STR("schema"));
    dl_columnar_thrift_i32(t, 5, (int32_t)footer->column_count);
    dl_columnar_thrift_struct_end(t);
    for (size_t i = 0; i < footer->node_count; i++) {
        put_node(t, &footer->nodes[i]);
    }
}

/* ---- statistics ---- */

/* The longest beginning of at most `limit` bytes that ends between characters. */
static size_t whole_characters(dl_str text, size_t limit)
{
    if (text.len <= limit) {
        return text.len;
    }
    while (limit > 0 && ((uint8_t)text.ptr[limit] & 0xc0) == 0x80) {
        limit--;
    }
    return limit;
}

/* A text of at most sizeof `out` bytes that is not less than any that begins like `bound`: its
 * last character that has a successor within ASCII is raised. 0: there is none. */
static size_t upper_bound(const dl_columnar_bound *bound, char out[DL_COLUMNAR_STAT_TEXT_BYTES])
{
    size_t len =
        bound->len < DL_COLUMNAR_STAT_TEXT_BYTES ? bound->len : DL_COLUMNAR_STAT_TEXT_BYTES;
    while (len > 0 && (uint8_t)bound->ptr[len - 1] >= 0x7f) {
        len--;
    }
    if (len > 0) {
        memcpy(out, bound->ptr, len);
        out[len - 1]++;
    }
    return len;
}

static void put_text_range(dl_columnar_thrift *t, const dl_columnar_range *range)
{
    const dl_columnar_bound *min = &range->min_text, *max = &range->max_text;
    char raised[DL_COLUMNAR_STAT_TEXT_BYTES];
    dl_str high = {max->ptr, max->len};
    bool high_exact = !max->cut && max->len <= DL_COLUMNAR_STAT_TEXT_BYTES;
    if (!high_exact) {
        high = (dl_str){raised, upper_bound(max, raised)};
        if (high.len == 0) {
            return;
        }
    }
    dl_str low = {min->ptr, min->len};
    bool low_exact = !min->cut && min->len <= DL_COLUMNAR_STAT_TEXT_BYTES;
    if (!low_exact) {
        /* A bound that was cut by the writer's own limit may end within a character. */
        size_t limit = min->len <= DL_COLUMNAR_STAT_TEXT_BYTES ? min->len - (min->len > 0)
                                                               : DL_COLUMNAR_STAT_TEXT_BYTES;
        low.len = whole_characters(low, limit);
    }
    dl_columnar_thrift_text(t, 5, high);
    dl_columnar_thrift_text(t, 6, low);
    dl_columnar_thrift_bool(t, 7, high_exact);
    dl_columnar_thrift_bool(t, 8, low_exact);
}

static void put_word(dl_columnar_thrift *t, int id, uint64_t bits, size_t size_bytes)
{
    uint8_t word[8];
    dl_put_le64(word, bits);
    dl_columnar_thrift_text(t, id, (dl_str){(const char *)word, size_bytes});
}

/* Zeros: the sign of one that is there is not known from the order. */
static uint64_t bits_of(double value, bool single, double zero)
{
    if (value == 0) {
        value = zero;
    }
    if (single) {
        float narrow = (float)value;
        uint32_t bits = 0;
        memcpy(&bits, &narrow, sizeof bits);
        return bits;
    }
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void put_range(dl_columnar_thrift *t, const dl_columnar_chunk *c)
{
    const dl_columnar_range *range = &c->range;
    bool single = c->kind == DL_COLUMNAR_KIND_FLOAT;
    switch (c->kind) {
    case DL_COLUMNAR_KIND_TEXT:
        put_text_range(t, range);
        break;
    case DL_COLUMNAR_KIND_INT32:
    case DL_COLUMNAR_KIND_INT64: {
        size_t size_bytes = c->kind == DL_COLUMNAR_KIND_INT32 ? 4 : 8;
        put_word(t, 5, (uint64_t)range->max.i, size_bytes);
        put_word(t, 6, (uint64_t)range->min.i, size_bytes);
        break;
    }
    case DL_COLUMNAR_KIND_FLOAT:
    case DL_COLUMNAR_KIND_DOUBLE:
        put_word(t, 5, bits_of(range->max.d, single, 0.0), single ? 4 : 8);
        put_word(t, 6, bits_of(range->min.d, single, -0.0), single ? 4 : 8);
        break;
    case DL_COLUMNAR_KIND_BOOL:
        break;
    }
}

/* ---- column chunks ---- */

static void put_encodings(dl_columnar_thrift *t, const dl_columnar_chunk *c)
{
    bool dictionary = c->dictionary_page_count > 0;
    bool plain = dictionary || c->plain_page_count > 0;
    dl_columnar_thrift_list(t, 2, DL_COLUMNAR_THRIFT_I32, (size_t)plain + 1 + dictionary);
    if (plain) {
        dl_columnar_thrift_item_i32(t, ENCODING_PLAIN);
    }
    dl_columnar_thrift_item_i32(t, ENCODING_RLE);
    if (dictionary) {
        dl_columnar_thrift_item_i32(t, ENCODING_RLE_DICTIONARY);
    }
}

static void put_path(dl_columnar_thrift *t, const dl_columnar_node *nodes,
                     const dl_columnar_node *leaf)
{
    dl_str names[PATH_LIMIT];
    size_t count = 0;
    for (const dl_columnar_node *node = leaf;; node = &nodes[node->parent]) {
        DL_ASSERT(count < PATH_LIMIT);
        names[count++] = node->name;
        if (node->parent == SIZE_MAX) {
            break;
        }
    }
    dl_columnar_thrift_list(t, 3, DL_COLUMNAR_THRIFT_TEXT, count);
    while (count > 0) {
        dl_columnar_thrift_item_text(t, names[--count]);
    }
}

static void put_page_count(dl_columnar_thrift *t, int type, int encoding, size_t count)
{
    dl_columnar_thrift_item_struct(t);
    dl_columnar_thrift_i32(t, 1, type);
    dl_columnar_thrift_i32(t, 2, encoding);
    dl_columnar_thrift_i32(t, 3, (int32_t)count);
    dl_columnar_thrift_struct_end(t);
}

/* How many pages of each kind: from it a reader knows whether the dictionary has all values. */
static void put_page_counts(dl_columnar_thrift *t, const dl_columnar_chunk *c)
{
    size_t dictionary = c->dictionary_page_count, plain = c->plain_page_count;
    dl_columnar_thrift_list(t, 13, DL_COLUMNAR_THRIFT_STRUCT,
                            (size_t)(dictionary > 0) * 2 + (plain > 0));
    if (dictionary > 0) {
        put_page_count(t, PAGE_DICTIONARY, ENCODING_PLAIN, 1);
        put_page_count(t, PAGE_DATA, ENCODING_RLE_DICTIONARY, dictionary);
    }
    if (plain > 0) {
        put_page_count(t, PAGE_DATA, ENCODING_PLAIN, plain);
    }
}

static int codec_of(const dl_columnar_chunk *c)
{
    switch (c->codec) {
    case DL_COLUMNAR_ZSTD:
        return CODEC_ZSTD;
    case DL_COLUMNAR_SNAPPY:
        return CODEC_SNAPPY;
    case DL_COLUMNAR_PLAIN:
        break;
    }
    return CODEC_UNCOMPRESSED;
}

dl_status dl_columnar_footer_column(dl_buf *buf, const dl_columnar_chunk *c,
                                    const dl_columnar_node *nodes, dl_columnar_place place,
                                    dl_error *err)
{
    dl_columnar_thrift t;
    dl_columnar_thrift_begin(&t, buf);
    dl_columnar_thrift_i64(&t, 2, (int64_t)place.offset); /* file_offset */
    dl_columnar_thrift_struct(&t, 3);
    dl_columnar_thrift_i32(&t, 1, (int32_t)c->kind);
    put_encodings(&t, c);
    put_path(&t, nodes, c->node);
    dl_columnar_thrift_i32(&t, 4, codec_of(c));
    dl_columnar_thrift_i64(&t, 5, c->entry_total);
    dl_columnar_thrift_i64(&t, 6, (int64_t)c->uncompressed_bytes);
    dl_columnar_thrift_i64(&t, 7, (int64_t)(place.dictionary_bytes + c->pages.len));
    dl_columnar_thrift_i64(&t, 9, (int64_t)(place.offset + place.dictionary_bytes));
    if (place.dictionary_bytes > 0) {
        dl_columnar_thrift_i64(&t, 11, (int64_t)place.offset);
    }
    dl_columnar_thrift_struct(&t, 12);
    dl_columnar_thrift_i64(&t, 3, c->null_count);
    /* Readers disagree on where NaN is in the order. */
    if (c->ranged && c->range.any && !c->range.has_nan) {
        put_range(&t, c);
    }
    dl_columnar_thrift_struct_end(&t);
    put_page_counts(&t, c);
    dl_columnar_thrift_struct_end(&t);
    return dl_columnar_thrift_end(&t, err);
}

dl_status dl_columnar_footer_group(dl_buf *groups, const dl_columnar_group *group, dl_error *err)
{
    dl_columnar_thrift t;
    dl_columnar_thrift_begin(&t, groups);
    dl_columnar_thrift_list(&t, 1, DL_COLUMNAR_THRIFT_STRUCT, group->leaf_count);
    dl_columnar_thrift_raw(&t, group->columns);
    dl_columnar_thrift_i64(&t, 2, (int64_t)group->uncompressed_bytes);
    dl_columnar_thrift_i64(&t, 3, group->row_count);
    dl_columnar_thrift_i64(&t, 5, (int64_t)group->offset);
    dl_columnar_thrift_i64(&t, 6, (int64_t)group->compressed_bytes);
    return dl_columnar_thrift_end(&t, err);
}

dl_status dl_columnar_footer_file(dl_buf *buf, const dl_columnar_footer *footer, dl_error *err)
{
    dl_columnar_thrift t;
    dl_columnar_thrift_begin(&t, buf);
    dl_columnar_thrift_i32(&t, 1, FILE_VERSION);
    put_schema(&t, footer);
    dl_columnar_thrift_i64(&t, 3, footer->row_count);
    dl_columnar_thrift_list(&t, 4, DL_COLUMNAR_THRIFT_STRUCT, footer->group_count);
    dl_columnar_thrift_raw(&t, footer->groups);
    dl_columnar_thrift_text(&t, 6, footer->created_by);
    dl_columnar_thrift_list(&t, 7, DL_COLUMNAR_THRIFT_STRUCT, footer->leaf_count);
    for (size_t i = 0; i < footer->leaf_count; i++) {
        dl_columnar_thrift_item_struct(&t);
        put_empty(&t, ORDER_TYPE);
        dl_columnar_thrift_struct_end(&t);
    }
    return dl_columnar_thrift_end(&t, err);
}
