/*
 * Pages of a column chunk. A chunk begins with a dictionary; where it does not pay by its first
 * check, the page goes over to plain values, and where it grows too large, the next pages do.
 */
#include "columnar/internal.h"

#include "base/cursor.h"
#include "base/mem.h"

#include <snappy-c.h>
#include <zstd.h>

enum {
    PAGE_DATA = 0, /* PageType */
    PAGE_DICTIONARY = 2,
    ENCODING_PLAIN = 0,
    ENCODING_RLE = 3,
    ENCODING_RLE_DICTIONARY = 8,
    FIRST_ENTRIES = 64,
    LENGTH_BYTES = 4,
    HEADER_BYTES = 64,         /* what a second page's header and the like cost */
    HOLD_RAW_BYTES = 16 << 20, /* of a page of indices: what they would be if they were plain */
};
/* A page is at most what a row brings beyond DL_COLUMNAR_PAGE_BYTES, or as much from a trial. */
static const size_t PAGE_LIMIT_BYTES =
    (size_t)2 * DL_COLUMNAR_ROW_LIMIT_BYTES + (size_t)2 * HOLD_RAW_BYTES;

dl_columnar_kind dl_columnar_kind_of(const dl_columnar_field *field)
{
    switch (field->type) {
    case DL_COLUMNAR_BOOL:
        return DL_COLUMNAR_KIND_BOOL;
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_DATE:
        return DL_COLUMNAR_KIND_INT32;
    case DL_COLUMNAR_INT64:
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return DL_COLUMNAR_KIND_INT64;
    case DL_COLUMNAR_DECIMAL:
        return field->precision <= 9 ? DL_COLUMNAR_KIND_INT32 : DL_COLUMNAR_KIND_INT64;
    case DL_COLUMNAR_FLOAT:
        return DL_COLUMNAR_KIND_FLOAT;
    case DL_COLUMNAR_DOUBLE:
        return DL_COLUMNAR_KIND_DOUBLE;
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
        break;
    }
    return DL_COLUMNAR_KIND_TEXT;
}

static size_t width_of(const dl_columnar_chunk *c)
{
    return c->kind == DL_COLUMNAR_KIND_INT32 || c->kind == DL_COLUMNAR_KIND_FLOAT ? 4 : 8;
}

dl_status dl_columnar_chunk_grow(dl_columnar_chunk *c, dl_error *err)
{
    size_t cap = c->entry_cap == 0 ? FIRST_ENTRIES : c->entry_cap * 2;
    uint8_t *reps = dl_mem_resize(c->reps, cap, sizeof *reps);
    if (reps != NULL) {
        c->reps = reps;
    }
    uint8_t *defs = dl_mem_resize(c->defs, cap, sizeof *defs);
    if (defs != NULL) {
        c->defs = defs;
    }
    uint32_t *indices = dl_mem_resize(c->indices, cap, sizeof *indices);
    if (indices != NULL) {
        c->indices = indices;
    }
    if (reps == NULL || defs == NULL || indices == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for %zu entries of a column", cap);
    }
    if (c->plain.cap == 0) {
        dl_buf_init(&c->plain, PAGE_LIMIT_BYTES);
        DL_TRY(dl_buf_reserve(&c->plain, DL_COLUMNAR_HEADROOM_BYTES, err));
        c->plain.len = DL_COLUMNAR_HEADROOM_BYTES;
    }
    c->entry_cap = cap;
    return DL_OK;
}

/* ---- compression ---- */

static dl_status pack_zstd(dl_columnar_press *press, dl_bytes body, dl_error *err)
{
    if (press->zstd == NULL) {
        press->zstd = ZSTD_createCCtx();
        if (press->zstd == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(
                                       press->zstd, ZSTD_c_compressionLevel, press->zstd_level))) {
            return dl_error_set(err, DL_E_NOMEM, "zstd: no memory for a context");
        }
    }
    DL_TRY(dl_buf_reserve(&press->packed, ZSTD_compressBound(body.len), err));
    size_t len =
        ZSTD_compress2(press->zstd, press->packed.ptr, press->packed.cap, body.ptr, body.len);
    if (ZSTD_isError(len)) {
        return dl_error_set(err, DL_E_NOMEM, "zstd: %s", ZSTD_getErrorName(len));
    }
    press->packed.len = len;
    return DL_OK;
}

static dl_status pack(dl_columnar_press *press, dl_columnar_codec codec, dl_bytes body,
                      dl_str *out_packed, dl_error *err)
{
    dl_buf_reset(&press->packed);
    switch (codec) {
    case DL_COLUMNAR_PLAIN:
        *out_packed = (dl_str){(const char *)body.ptr, body.len};
        return DL_OK;
    case DL_COLUMNAR_ZSTD:
        DL_TRY(pack_zstd(press, body, err));
        break;
    case DL_COLUMNAR_SNAPPY: {
        size_t len = snappy_max_compressed_length(body.len);
        DL_TRY(dl_buf_reserve(&press->packed, len, err));
        if (snappy_compress((const char *)body.ptr, body.len, press->packed.ptr, &len) !=
            SNAPPY_OK) {
            return dl_error_set(err, DL_E_NOMEM, "snappy: a page was refused");
        }
        press->packed.len = len;
        break;
    }
    }
    *out_packed = dl_buf_str(&press->packed);
    return DL_OK;
}

/* ---- pages ---- */

static dl_status emit(dl_columnar_chunk *c, dl_columnar_press *press, bool dictionary,
                      dl_bytes body, dl_buf *to, dl_error *err)
{
    dl_str packed = {0};
    DL_TRY(pack(press, c->codec, body, &packed, err));
    size_t before = to->len;
    dl_columnar_thrift t;
    dl_columnar_thrift_begin(&t, to);
    dl_columnar_thrift_i32(&t, 1, dictionary ? PAGE_DICTIONARY : PAGE_DATA);
    dl_columnar_thrift_i32(&t, 2, (int32_t)body.len);
    dl_columnar_thrift_i32(&t, 3, (int32_t)packed.len);
    if (dictionary) {
        dl_columnar_thrift_struct(&t, 7);
        dl_columnar_thrift_i32(&t, 1, (int32_t)(c->dictionary.count - 1));
        dl_columnar_thrift_i32(&t, 2, ENCODING_PLAIN);
    } else {
        dl_columnar_thrift_struct(&t, 5);
        dl_columnar_thrift_i32(&t, 1, (int32_t)c->entry_count);
        dl_columnar_thrift_i32(&t, 2, c->in_dictionary ? ENCODING_RLE_DICTIONARY : ENCODING_PLAIN);
        dl_columnar_thrift_i32(&t, 3, ENCODING_RLE);
        dl_columnar_thrift_i32(&t, 4, ENCODING_RLE);
    }
    dl_columnar_thrift_struct_end(&t);
    DL_TRY(dl_columnar_thrift_end(&t, err));
    c->uncompressed_bytes += to->len - before + body.len;
    return dl_buf_append_str(to, packed, err);
}

static unsigned index_bits(const dl_columnar_chunk *c)
{
    unsigned bits = dl_columnar_bit_width(c->dictionary.count < 2 ? 0 : c->dictionary.count - 2);
    return bits == 0 ? 1 : bits; /* not every reader takes a width of none */
}

/* Levels and values of the page, where they stand next to each other. */
static dl_status page_body(dl_columnar_chunk *c, dl_columnar_press *press, dl_bytes *out_body,
                           dl_error *err)
{
    dl_buf *page = &press->page;
    dl_buf_reset(page);
    if (c->max_rep > 0) {
        DL_TRY(dl_columnar_encode_levels(page, c->reps, c->entry_count,
                                         dl_columnar_bit_width(c->max_rep), err));
    }
    if (c->max_def > 0) {
        DL_TRY(dl_columnar_encode_levels(page, c->defs, c->entry_count,
                                         dl_columnar_bit_width(c->max_def), err));
    }
    char *values = c->plain.ptr + DL_COLUMNAR_HEADROOM_BYTES;
    size_t values_len = c->plain.len - DL_COLUMNAR_HEADROOM_BYTES;
    if (c->in_dictionary) {
        DL_TRY(dl_columnar_encode_indices(page, c->indices, c->value_count, index_bits(c), err));
    } else if (c->kind == DL_COLUMNAR_KIND_BOOL) {
        DL_TRY(dl_columnar_encode_bools(page, (const uint8_t *)values, values_len, err));
    } else if (page->len <= DL_COLUMNAR_HEADROOM_BYTES) {
        if (page->len > 0) {
            memcpy(values - page->len, page->ptr, page->len);
        }
        *out_body = (dl_bytes){(const uint8_t *)values - page->len, page->len + values_len};
        return DL_OK;
    } else {
        DL_TRY(dl_buf_append(page, values, values_len, err));
    }
    *out_body = (dl_bytes){(const uint8_t *)page->ptr, page->len};
    return DL_OK;
}

static void begin_page(dl_columnar_chunk *c)
{
    c->entry_count = c->value_count = 0;
    c->row_entry = 0;
    c->raw_bytes = c->row_raw_bytes = 0;
    c->plain.len = c->plain.cap == 0 ? 0 : DL_COLUMNAR_HEADROOM_BYTES;
}

/* `last`: nothing of this chunk comes after it. */
static dl_status finish_page(dl_columnar_chunk *c, dl_columnar_press *press, bool last,
                             dl_error *err)
{
    dl_bytes body = {0};
    DL_TRY(page_body(c, press, &body, err));
    if (c->pages.len == 0) {
        size_t len = body.len + (c->in_dictionary ? c->dictionary.bytes.len : 0);
        bool small = last && len < DL_COLUMNAR_SMALL_CHUNK_BYTES;
        c->codec = small ? DL_COLUMNAR_PLAIN : press->codec;
        c->pages.limit_bytes = DL_COLUMNAR_CHUNK_LIMIT_BYTES;
    }
    DL_TRY(emit(c, press, false, body, &c->pages, err));
    if (c->in_dictionary) {
        c->dictionary_page_count++;
    } else {
        c->plain_page_count++;
    }
    c->entry_total += (int64_t)c->entry_count;
    c->null_count += (int64_t)(c->entry_count - c->value_count);
    begin_page(c);
    return DL_OK;
}

/* ---- the dictionary's worth ---- */

static size_t raw_values_bytes(const dl_columnar_chunk *c)
{
    size_t nulls = c->entry_count - c->value_count;
    return c->raw_bytes - nulls * LENGTH_BYTES;
}

/* Of the chunk's first page. */
static bool dictionary_pays(const dl_columnar_chunk *c)
{
    size_t raw = raw_values_bytes(c);
    size_t coded = c->dictionary.bytes.len + c->value_count * index_bits(c) / 8 + HEADER_BYTES;
    return coded < raw - raw / 8;
}

/* The page's values are plain from here on, and so are those of the chunk. */
static dl_status leave_dictionary(dl_columnar_chunk *c, dl_error *err)
{
    const dl_columnar_dictionary *d = &c->dictionary;
    DL_TRY(dl_buf_reserve(&c->plain, raw_values_bytes(c), err));
    size_t width = width_of(c);
    for (size_t i = 0; i < c->value_count; i++) {
        const char *from = d->bytes.ptr + c->indices[i] * width;
        size_t len = width;
        if (c->kind == DL_COLUMNAR_KIND_TEXT) {
            const dl_columnar_word *word = &d->words[c->indices[i] + 1];
            from = d->bytes.ptr + word->offset - LENGTH_BYTES;
            len = word->len + LENGTH_BYTES;
        }
        memcpy(c->plain.ptr + c->plain.len, from, len);
        c->plain.len += len;
    }
    c->in_dictionary = false;
    return DL_OK;
}

static void set_checks(dl_columnar_chunk *c)
{
    c->check_entries = DL_COLUMNAR_PAGE_ENTRIES;
    c->check_raw_bytes = DL_COLUMNAR_PAGE_BYTES;
    if (c->in_dictionary) { /* not before the dictionary can be full */
        size_t len = c->dictionary.bytes.len;
        size_t left = len < DL_COLUMNAR_DICTIONARY_BYTES ? DL_COLUMNAR_DICTIONARY_BYTES - len : 0;
        left = left < DL_COLUMNAR_TRIAL_BYTES ? DL_COLUMNAR_TRIAL_BYTES : left;
        c->check_raw_bytes =
            c->raw_bytes + left < HOLD_RAW_BYTES ? c->raw_bytes + left : HOLD_RAW_BYTES;
    }
}

static bool on_trial(const dl_columnar_chunk *c)
{
    return c->in_dictionary && c->dictionary_page_count == 0;
}

dl_status dl_columnar_chunk_check(dl_columnar_chunk *c, dl_columnar_press *press, dl_error *err)
{
    if (on_trial(c) && !dictionary_pays(c)) {
        DL_TRY(leave_dictionary(c, err));
    }
    bool full = c->in_dictionary && c->dictionary.bytes.len >= DL_COLUMNAR_DICTIONARY_BYTES;
    size_t limit_bytes = c->in_dictionary ? (size_t)HOLD_RAW_BYTES : DL_COLUMNAR_PAGE_BYTES;
    if (full || c->entry_count >= DL_COLUMNAR_PAGE_ENTRIES || c->raw_bytes >= limit_bytes) {
        DL_TRY(finish_page(c, press, false, err));
    }
    if (full) {
        c->in_dictionary = false;
    }
    set_checks(c);
    return DL_OK;
}

dl_status dl_columnar_chunk_finish(dl_columnar_chunk *c, dl_columnar_press *press,
                                   dl_buf *dictionary_page, dl_error *err)
{
    if (c->entry_count > 0) {
        if (on_trial(c) && !dictionary_pays(c)) {
            DL_TRY(leave_dictionary(c, err));
        }
        DL_TRY(finish_page(c, press, true, err));
    }
    dl_buf_reset(dictionary_page);
    if (c->dictionary_page_count == 0) {
        return DL_OK;
    }
    dl_bytes words = {(const uint8_t *)c->dictionary.bytes.ptr, c->dictionary.bytes.len};
    return emit(c, press, true, words, dictionary_page, err);
}

void dl_columnar_chunk_reset(dl_columnar_chunk *c)
{
    begin_page(c);
    dl_buf_reset(&c->pages);
    dl_columnar_dictionary_reset(&c->dictionary);
    c->row_count = 0;
    c->dictionary_page_count = c->plain_page_count = 0;
    c->entry_total = c->null_count = 0;
    c->uncompressed_bytes = 0;
    c->range.any = c->range.has_nan = false;
    c->in_dictionary = c->kind != DL_COLUMNAR_KIND_BOOL;
    c->check_entries = DL_COLUMNAR_TRIAL_ENTRIES;
    c->check_raw_bytes = DL_COLUMNAR_TRIAL_BYTES;
    if (!c->in_dictionary) {
        set_checks(c);
    }
}

void dl_columnar_chunk_clear(dl_columnar_chunk *c)
{
    dl_mem_free(c->reps);
    dl_mem_free(c->defs);
    dl_mem_free(c->indices);
    dl_buf_clear(&c->plain);
    dl_buf_clear(&c->pages);
    dl_columnar_dictionary_clear(&c->dictionary);
}

void dl_columnar_press_clear(dl_columnar_press *press)
{
    (void)ZSTD_freeCCtx(press->zstd); /* fine on NULL */
    dl_buf_clear(&press->page);
    dl_buf_clear(&press->packed);
}
