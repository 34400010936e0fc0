#include "columnar/internal.h"

#include "base/cursor.h"
#include "base/mem.h"

#include "tap.h"

#include <float.h>
#include <math.h>

#define NAME(text) .name = {(text), sizeof(text) - 1}
#define CHILDREN(array) .children = (array), .child_count = DL_COUNT_OF(array)

enum { LONG_BYTES = 100000, FILE_LIMIT_BYTES = 1 << 30 };

/* ---- the hybrid encoding, read back ---- */

static uint64_t take_varint(dl_cursor *c)
{
    uint64_t value = 0;
    const uint8_t *byte = NULL;
    for (unsigned shift = 0; shift < 64 && dl_cursor_take(c, 1, &byte); shift += 7) {
        value |= (uint64_t)(*byte & 0x7f) << shift;
        if (*byte < 0x80) {
            break;
        }
    }
    return value;
}

static uint32_t bits_at(const uint8_t *from, size_t first, size_t bits)
{
    uint32_t value = 0;
    for (size_t b = 0; b < bits; b++) {
        value |= (uint32_t)(from[(first + b) / 8] >> ((first + b) % 8) & 1) << b;
    }
    return value;
}

/* `count` values; false when the bytes do not hold just them. */
static bool decode(dl_bytes bytes, size_t bits, size_t count, uint32_t *out)
{
    dl_cursor c = {bytes.ptr, bytes.ptr + bytes.len};
    size_t n = 0, width = (bits + 7) / 8;
    while (n < count && dl_cursor_left(&c) > 0) {
        uint64_t header = take_varint(&c);
        const uint8_t *from = NULL;
        bool packed = (header & 1) != 0;
        size_t run = packed ? (size_t)(header >> 1) * 8 : (size_t)(header >> 1);
        if (!dl_cursor_take(&c, packed ? run / 8 * bits : width, &from) ||
            (!packed && run > count - n)) {
            return false;
        }
        for (size_t i = 0; i < run && n < count; i++) {
            out[n++] = packed ? bits_at(from, i * bits, bits) : bits_at(from, 0, width * 8);
        }
    }
    return n == count && dl_cursor_left(&c) == 0;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

enum { HYBRID_LIMIT = 3000 };

/* Runs and single values by chance. */
static size_t fill(uint32_t *values, unsigned bits, uint32_t *state)
{
    size_t count = next_random(state) % HYBRID_LIMIT, n = 0;
    while (n < count) {
        size_t run = next_random(state) % 3 == 0 ? next_random(state) % 40 : 1;
        uint32_t value = next_random(state) & (bits == 32 ? UINT32_MAX : (1u << bits) - 1);
        for (size_t i = 0; i < run && n < count; i++) {
            values[n++] = value;
        }
    }
    return count;
}

TAP_CASE(indices_come_back)
{
    static uint32_t values[HYBRID_LIMIT], got[HYBRID_LIMIT];
    uint32_t state = 7;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned bits = 1; bits <= 24; bits++) {
            size_t count = fill(values, bits, &state);
            DL_AUTO_BUF buf = {0};
            dl_buf_init(&buf, FILE_LIMIT_BYTES);
            TAP_STATUS(dl_columnar_encode_indices(&buf, values, count, bits, NULL), DL_OK);
            TAP_EQ_INT(buf.ptr[0], bits);
            dl_bytes body = {(const uint8_t *)buf.ptr + 1, buf.len - 1};
            TAP_TRUE(decode(body, bits, count, got));
            TAP_TRUE(memcmp(values, got, count * sizeof *got) == 0);
        }
    }
}

TAP_CASE(levels_come_back)
{
    static uint32_t values[HYBRID_LIMIT], got[HYBRID_LIMIT];
    static uint8_t levels[HYBRID_LIMIT];
    uint32_t state = 11;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned bits = 1; bits <= 7; bits++) {
            size_t count = fill(values, bits, &state);
            for (size_t i = 0; i < count; i++) {
                levels[i] = (uint8_t)values[i];
            }
            DL_AUTO_BUF buf = {0};
            dl_buf_init(&buf, FILE_LIMIT_BYTES);
            TAP_STATUS(dl_columnar_encode_levels(&buf, levels, count, bits, NULL), DL_OK);
            const uint8_t *start = (const uint8_t *)buf.ptr;
            TAP_EQ_INT(dl_le32(start), buf.len - 4);
            TAP_TRUE(decode((dl_bytes){start + 4, buf.len - 4}, bits, count, got));
            TAP_TRUE(memcmp(values, got, count * sizeof *got) == 0);
        }
    }
}

TAP_CASE(bit_widths)
{
    TAP_EQ_INT(dl_columnar_bit_width(0), 0);
    TAP_EQ_INT(dl_columnar_bit_width(1), 1);
    TAP_EQ_INT(dl_columnar_bit_width(2), 2);
    TAP_EQ_INT(dl_columnar_bit_width(255), 8);
    TAP_EQ_INT(dl_columnar_bit_width(256), 9);
    TAP_EQ_INT(dl_columnar_bit_width(UINT32_MAX), 32);
}

TAP_CASE(texts_are_compared_whole)
{
    char a[40], b[40];
    for (size_t len = 0; len <= 33; len++) {
        memset(a, 'x', sizeof a);
        memset(b, 'x', sizeof b);
        b[len] = 'y'; /* beyond */
        TAP_TRUE(dl_columnar_same(a, b, len));
        for (size_t at = 0; at < len; at++) {
            b[at] = 'z';
            TAP_TRUE(!dl_columnar_same(a, b, len));
            b[at] = 'x';
        }
    }
}

TAP_CASE(words_of_a_dictionary)
{
    enum { WORDS = 300000 }; /* so many that some have the same hash of 32 bits */
    dl_columnar_dictionary d = {0};
    char text[16];
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t n = 0; n < WORDS; n++) {
            int len = snprintf(text, sizeof text, "%u", n);
            TAP_EQ_INT(dl_columnar_dictionary_text(&d, (dl_str){text, (size_t)len}), n + 1);
        }
    }
    TAP_EQ_INT(d.count, WORDS + 1);
    dl_columnar_dictionary_reset(&d);
    TAP_EQ_INT(d.bytes.len, 0);
    TAP_EQ_INT(dl_columnar_dictionary_text(&d, DL_STR("")), 1);
    TAP_EQ_INT(dl_columnar_dictionary_text(&d, DL_STR("4999")), 2);
    TAP_EQ_INT(dl_columnar_dictionary_text(&d, DL_STR("")), 1);
    dl_columnar_dictionary_reset(&d);
    for (uint64_t n = 0; n < 3000; n++) {
        TAP_EQ_INT(dl_columnar_dictionary_bits(&d, n << 40, 8), n + 1);
        TAP_EQ_INT(dl_columnar_dictionary_bits(&d, 0, 8), 1);
    }
    TAP_EQ_INT(d.bytes.len, 3000 * 8);
    dl_columnar_dictionary_clear(&d);
}

/* ---- the writer ---- */

typedef struct sink {
    dl_buf file;
    int calls, fail_at; /* 0: never */
} sink;

static dl_status keep(void *context, dl_bytes piece, dl_error *err)
{
    sink *s = context;
    s->calls++;
    if (s->calls == s->fail_at) {
        return dl_error_set(err, DL_E_IO, "the disk is full");
    }
    TAP_TRUE(s->fail_at == 0 || s->calls < s->fail_at); /* nothing after a failure */
    TAP_TRUE(piece.len > 0);
    return dl_buf_append(&s->file, piece.ptr, piece.len, err);
}

static dl_columnar_writer_options options_for(const dl_columnar_field *fields, size_t count,
                                              sink *out)
{
    dl_buf_clear(&out->file);
    *out = (sink){0};
    dl_buf_init(&out->file, FILE_LIMIT_BYTES);
    return (dl_columnar_writer_options){
        .fields = fields, .field_count = count, .write = keep, .context = out};
}

static const dl_columnar_field element[] = {{NAME("element")}};
static const dl_columnar_field attribute[] = {
    {NAME("vr")},
    {NAME("Value"), .type = DL_COLUMNAR_LIST, CHILDREN(element)},
};
static const dl_columnar_field entry[] = {
    {NAME("key"), .required = true},
    {NAME("value"), .type = DL_COLUMNAR_STRUCT, CHILDREN(attribute)},
};
static const dl_columnar_field table[] = {
    {NAME("id")},
    {NAME("number"), .type = DL_COLUMNAR_INT64},
    {NAME("weight"), .type = DL_COLUMNAR_DOUBLE},
    {NAME("yes"), .type = DL_COLUMNAR_BOOL},
    {NAME("metadata"), .type = DL_COLUMNAR_MAP, CHILDREN(entry)},
};

static void put_row(dl_columnar_writer *w, unsigned n)
{
    static char text[LONG_BYTES];
    uint32_t state = n;
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(' ' + next_random(&state) % 90);
    }
    dl_columnar_put_str(w, 0, 0, (dl_str){text, n % 4 == 3 ? sizeof text : n % 40});
    dl_columnar_put_int(w, 1, 0, n);
    dl_columnar_put_double(w, 2, 0, n / 3.0);
    dl_columnar_put_int(w, 3, 0, n % 2);
    for (unsigned i = 0; i < 90; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "%04u", i);
        dl_columnar_put_str(w, 4, i > 0, (dl_str){key, (size_t)len});
        dl_columnar_put_str(w, 5, i > 0, DL_STR("UI"));
        dl_columnar_put_null(w, 6, i > 0, 3);
    }
}

static dl_status write_table(const dl_columnar_writer_options *options, unsigned rows,
                             dl_columnar_summary *out_summary, dl_error *err)
{
    DL_AUTO(dl_columnar_writer) w = NULL;
    DL_TRY(dl_columnar_writer_create(options, &w, err));
    for (unsigned n = 0; n < rows; n++) {
        put_row(w, n);
        dl_status status = dl_columnar_row_end(w, err);
        if (status != DL_OK) {
            /* It stays so, whatever comes. */
            put_row(w, n);
            TAP_STATUS(dl_columnar_row_end(w, NULL), status);
            TAP_STATUS(dl_columnar_writer_finish(w, out_summary, NULL), status);
            return status;
        }
        TAP_EQ_INT(dl_columnar_writer_rows(w), n + 1);
    }
    dl_status status = dl_columnar_writer_finish(w, out_summary, err);
    if (status == DL_OK) {
        out_summary->stats = NULL; /* the writer's */
    }
    return status;
}

TAP_CASE(a_file_has_a_beginning_and_an_end)
{
    sink out = {0};
    dl_columnar_writer_options options = options_for(table, DL_COUNT_OF(table), &out);
    dl_columnar_summary summary = {0};
    dl_error err = {0};
    TAP_OK(write_table(&options, 50, &summary, &err), err);
    TAP_EQ_INT(summary.row_count, 50);
    TAP_EQ_INT(summary.size_bytes, out.file.len);
    TAP_EQ_INT(summary.leaf_count, 7);
    TAP_TRUE(memcmp(out.file.ptr, "PAR1", 4) == 0);
    TAP_TRUE(memcmp(out.file.ptr + out.file.len - 4, "PAR1", 4) == 0);
    dl_buf_clear(&out.file);
}

TAP_CASE(each_allocation_fails_once)
{
    static const dl_columnar_codec codecs[] = {DL_COLUMNAR_ZSTD, DL_COLUMNAR_SNAPPY,
                                               DL_COLUMNAR_PLAIN};
    sink out = {0};
    for (size_t i = 0; i < DL_COUNT_OF(codecs); i++) {
        dl_status status = DL_E_NOMEM;
        int64_t n = 0;
        for (; status != DL_OK && n < 2000; n++) {
            dl_columnar_writer_options options = options_for(table, DL_COUNT_OF(table), &out);
            options.codec = codecs[i];
            options.row_group_rows = 20;
            dl_columnar_summary summary = {.row_count = -5};
            dl_error err = {0};
            dl_mem_fail_after(n);
            status = write_table(&options, 30, &summary, &err);
            dl_mem_fail_after(-1);
            TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
            TAP_TRUE((status == DL_OK) == (err.message[0] == '\0'));
            TAP_EQ_INT(summary.row_count, status == DL_OK ? 30 : -5);
        }
        TAP_TRUE(status == DL_OK && n > 50);
    }
    dl_buf_clear(&out.file);
}

TAP_CASE(each_write_fails_once)
{
    sink out = {0};
    dl_columnar_writer_options options = options_for(table, DL_COUNT_OF(table), &out);
    options.codec = DL_COLUMNAR_PLAIN;
    options.row_group_rows = 7;
    dl_columnar_summary summary = {0};
    dl_error err = {0};
    TAP_OK(write_table(&options, 30, &summary, &err), err);
    int calls = out.calls;
    TAP_TRUE(calls > 5);
    for (int n = 1; n <= calls; n++) {
        (void)options_for(table, DL_COUNT_OF(table), &out);
        out.fail_at = n;
        summary = (dl_columnar_summary){.row_count = -5};
        TAP_STATUS(write_table(&options, 30, &summary, &err), DL_E_IO);
        TAP_EQ_STR(dl_str_of(err.message), "the disk is full");
        TAP_EQ_INT(summary.row_count, -5);
        TAP_EQ_INT(out.calls, n);
    }
    dl_buf_clear(&out.file);
}

static const struct {
    const char *name;
    dl_columnar_field field;
    int64_t low, high;
    bool low_beyond, high_beyond; /* there is something beyond */
} integers[] = {
    /* clang-format off */
    {"bool",          {NAME("f"), .type = DL_COLUMNAR_BOOL},  0, 1, true, true},
    {"int8",          {NAME("f"), .type = DL_COLUMNAR_INT8},  INT8_MIN, INT8_MAX, true, true},
    {"int16",         {NAME("f"), .type = DL_COLUMNAR_INT16}, INT16_MIN, INT16_MAX, true, true},
    {"int32",         {NAME("f"), .type = DL_COLUMNAR_INT32}, INT32_MIN, INT32_MAX, true, true},
    {"date",          {NAME("f"), .type = DL_COLUMNAR_DATE},  INT32_MIN, INT32_MAX, true, true},
    {"int64",         {NAME("f"), .type = DL_COLUMNAR_INT64}, INT64_MIN, INT64_MAX, false, false},
    {"timestamp",     {NAME("f"), .type = DL_COLUMNAR_TIMESTAMP}, INT64_MIN, INT64_MAX, false, false},
    {"decimal(1,0)",  {NAME("f"), .type = DL_COLUMNAR_DECIMAL, .precision = 1}, -9, 9, true, true},
    {"decimal(9,2)",  {NAME("f"), .type = DL_COLUMNAR_DECIMAL, .precision = 9, .scale = 2},
     -999999999, 999999999, true, true},
    {"decimal(18,0)", {NAME("f"), .type = DL_COLUMNAR_DECIMAL, .precision = 18},
     -INT64_C(999999999999999999), INT64_C(999999999999999999), true, true},
    /* clang-format on */
};

static dl_status write_ints(const dl_columnar_field *field, int64_t a, int64_t b,
                            dl_columnar_stat *out_stat, dl_error *err)
{
    sink out = {0};
    dl_columnar_writer_options options = options_for(field, 1, &out);
    DL_AUTO(dl_columnar_writer) w = NULL;
    dl_status status = dl_columnar_writer_create(&options, &w, err);
    int64_t values[] = {a, b};
    for (size_t i = 0; status == DL_OK && i < DL_COUNT_OF(values); i++) {
        dl_columnar_put_int(w, 0, 0, values[i]);
        status = dl_columnar_row_end(w, err);
    }
    dl_columnar_summary summary = {0};
    if (status == DL_OK) {
        status = dl_columnar_writer_finish(w, &summary, err);
    }
    if (status == DL_OK) {
        *out_stat = summary.stats[0];
    }
    dl_buf_clear(&out.file);
    return status;
}

static void integers_within_their_types(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(integers); i++) {
        TAP_ROW_BEGIN();
        dl_columnar_stat stat = {0};
        dl_error err = {0};
        int64_t low = integers[i].low, high = integers[i].high;
        TAP_OK(write_ints(&integers[i].field, high, low, &stat, &err), err);
        TAP_EQ_INT(stat.has_range, integers[i].field.type != DL_COLUMNAR_BOOL);
        if (stat.has_range) {
            TAP_TRUE(stat.min.i == low && stat.max.i == high);
        }
        if (integers[i].low_beyond) {
            TAP_STATUS(write_ints(&integers[i].field, high, low - 1, &stat, &err), DL_E_INVALID);
            TAP_EQ_STR(dl_str_of(err.message),
                       "columnar: row 1: a value of f is out of its type's range");
        }
        if (integers[i].high_beyond) {
            TAP_STATUS(write_ints(&integers[i].field, high + 1, low, &stat, &err), DL_E_INVALID);
        }
        TAP_ROW_END(integers[i].name);
    }
}

static dl_status write_list(size_t texts, dl_str text, bool one_more, dl_error *err)
{
    static const dl_columnar_field list[] = {
        {NAME("values"), .type = DL_COLUMNAR_LIST, CHILDREN(element)}};
    sink out = {0};
    dl_columnar_writer_options options = options_for(list, 1, &out);
    options.codec = DL_COLUMNAR_SNAPPY;
    DL_AUTO(dl_columnar_writer) w = NULL;
    DL_TRY(dl_columnar_writer_create(&options, &w, err));
    dl_status status = DL_OK;
    for (unsigned rows = 0; rows < 2 && status == DL_OK; rows++) { /* the limit is each row's */
        for (size_t i = 0; i < texts; i++) {
            dl_columnar_put_str(w, 0, i > 0, text);
        }
        if (one_more) {
            dl_columnar_put_null(w, 0, 1, 2);
        }
        status = dl_columnar_row_end(w, err);
    }
    dl_columnar_summary summary = {0};
    if (status == DL_OK) {
        status = dl_columnar_writer_finish(w, &summary, err);
        TAP_EQ_INT(summary.row_count, 2);
    }
    dl_buf_clear(&out.file);
    return status;
}

TAP_CASE(a_row_at_its_limit_and_beyond)
{
    enum { TEXTS = 64, TEXT_BYTES = DL_COLUMNAR_ROW_LIMIT_BYTES / TEXTS };
    char *text = dl_mem_zalloc(DL_COLUMNAR_ROW_LIMIT_BYTES, 1);
    memset(text, 'x', DL_COLUMNAR_ROW_LIMIT_BYTES);
    dl_error err = {0};
    dl_str one = {text, TEXT_BYTES - 4};
    TAP_OK(write_list(TEXTS, one, false, &err), err);
    TAP_STATUS(write_list(TEXTS, one, true, &err), DL_E_LIMIT);
    TAP_EQ_STR(dl_str_of(err.message), "columnar: row 0 has more than 134217728 bytes in values");
    TAP_OK(write_list(1, (dl_str){text, DL_COLUMNAR_ROW_LIMIT_BYTES - 4}, false, &err), err);
    TAP_STATUS(write_list(1, (dl_str){text, DL_COLUMNAR_ROW_LIMIT_BYTES - 3}, false, &err),
               DL_E_LIMIT);
    /* Never read: refused by its length. */
    TAP_STATUS(write_list(1, (dl_str){text, SIZE_MAX}, false, &err), DL_E_LIMIT);
    dl_mem_free(text);
}

TAP_CASE(options_at_their_limits_and_beyond)
{
    sink out = {0};
    dl_columnar_writer_options options = options_for(table, DL_COUNT_OF(table), &out);
    dl_columnar_writer *w = NULL;
    dl_error err = {0};
    options.row_group_limit_bytes = DL_COLUMNAR_ROW_GROUP_LIMIT_BYTES;
    options.string_stat_limit_bytes = DL_COLUMNAR_STRING_STAT_LIMIT_BYTES;
    TAP_OK(dl_columnar_writer_create(&options, &w, &err), err);
    dl_columnar_writer_destroy(w);
    w = NULL;
    options.row_group_limit_bytes++;
    TAP_STATUS(dl_columnar_writer_create(&options, &w, &err), DL_E_INVALID);
    TAP_EQ_STR(dl_str_of(err.message),
               "columnar: row_group_limit_bytes is above its limit of 1073741824");
    options.row_group_limit_bytes--;
    options.string_stat_limit_bytes++;
    TAP_STATUS(dl_columnar_writer_create(&options, &w, &err), DL_E_INVALID);
    options.string_stat_limit_bytes--;
    options.field_count = 0;
    TAP_STATUS(dl_columnar_writer_create(&options, &w, &err), DL_E_INVALID);
    static const dl_columnar_field wide = {NAME("f"), .type = DL_COLUMNAR_DECIMAL, .precision = 19};
    options = options_for(&wide, 1, &out);
    TAP_STATUS(dl_columnar_writer_create(&options, &w, &err), DL_E_UNSUPPORTED);
    TAP_TRUE(w == NULL);
    TAP_EQ_INT(out.calls, 0);
    dl_columnar_writer_destroy(NULL);
}

TAP_CASE(a_file_that_is_given_up)
{
    sink out = {0};
    dl_columnar_writer_options options = options_for(table, DL_COUNT_OF(table), &out);
    options.row_group_rows = 4;
    dl_columnar_writer *w = NULL;
    dl_error err = {0};
    TAP_OK(dl_columnar_writer_create(&options, &w, &err), err);
    for (unsigned n = 0; n < 10; n++) {
        put_row(w, n);
        TAP_OK(dl_columnar_row_end(w, &err), err);
    }
    put_row(w, 10); /* and no end */
    dl_columnar_writer_destroy(w);
    dl_buf_clear(&out.file);
}

TAP_CASE(statistics_of_doubles)
{
    static const dl_columnar_field fields[] = {{NAME("d"), .type = DL_COLUMNAR_DOUBLE},
                                               {NAME("f"), .type = DL_COLUMNAR_FLOAT}};
    sink out = {0};
    dl_columnar_writer_options options = options_for(fields, 2, &out);
    options.row_group_rows = 2;
    DL_AUTO(dl_columnar_writer) w = NULL;
    dl_error err = {0};
    TAP_OK(dl_columnar_writer_create(&options, &w, &err), err);
    static const double values[] = {(double)NAN, (double)NAN, 2.5, -DBL_MAX, 7, (double)INFINITY};
    for (size_t i = 0; i < DL_COUNT_OF(values); i++) {
        dl_columnar_put_double(w, 0, 0, values[i]);
        dl_columnar_put_null(w, 1, 0, 0);
        TAP_OK(dl_columnar_row_end(w, &err), err);
    }
    dl_columnar_summary summary = {0};
    TAP_OK(dl_columnar_writer_finish(w, &summary, &err), err);
    const dl_columnar_stat *d = &summary.stats[0], *f = &summary.stats[1];
    TAP_TRUE(d->has_range && d->has_nan && d->null_count == 0);
    TAP_TRUE(d->min.d == -DBL_MAX && d->max.d == (double)INFINITY);
    TAP_TRUE(!f->has_range && !f->has_nan && f->null_count == 6);
    dl_buf_clear(&out.file);
}

static dl_status drop(void *context, dl_bytes piece, dl_error *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return DL_OK;
}

/* Groups of one row until it fails or has `limit`; how many went in. */
static dl_status write_groups(size_t limit, size_t *out_groups, dl_error *err)
{
    static dl_columnar_field fields[DL_COLUMNAR_LEAF_LIMIT];
    for (size_t i = 0; i < DL_COUNT_OF(fields); i++) {
        fields[i] = (dl_columnar_field){NAME("f"), .type = DL_COLUMNAR_BOOL};
    }
    dl_columnar_writer_options options = {
        .fields = fields, .field_count = DL_COUNT_OF(fields), .row_group_rows = 1, .write = drop};
    DL_AUTO(dl_columnar_writer) w = NULL;
    DL_TRY(dl_columnar_writer_create(&options, &w, err));
    for (*out_groups = 0; *out_groups < limit; (*out_groups)++) {
        for (size_t i = 0; i < DL_COUNT_OF(fields); i++) {
            dl_columnar_put_int(w, i, 0, 1);
        }
        DL_TRY(dl_columnar_row_end(w, err));
    }
    dl_columnar_summary summary = {0};
    return dl_columnar_writer_finish(w, &summary, err);
}

TAP_CASE(a_footer_at_its_limit_and_beyond)
{
    size_t fit = 0, again = 0;
    dl_error err = {0};
    TAP_STATUS(write_groups(10000, &fit, &err), DL_E_LIMIT);
    TAP_TRUE(dl_str_find_str(dl_str_of(err.message), DL_STR("larger row groups")) >= 0);
    TAP_TRUE(fit > 100 && fit < 1000);
    TAP_OK(write_groups(fit, &again, &err), err);
    TAP_EQ_INT(again, fit);
}

int main(void)
{
    TAP_RUN(indices_come_back);
    TAP_RUN(levels_come_back);
    TAP_RUN(bit_widths);
    TAP_RUN(texts_are_compared_whole);
    TAP_RUN(words_of_a_dictionary);
    TAP_RUN(a_file_has_a_beginning_and_an_end);
    TAP_RUN(each_allocation_fails_once);
    TAP_RUN(each_write_fails_once);
    integers_within_their_types();
    TAP_RUN(a_row_at_its_limit_and_beyond);
    TAP_RUN(options_at_their_limits_and_beyond);
    TAP_RUN(a_footer_at_its_limit_and_beyond);
    TAP_RUN(a_file_that_is_given_up);
    TAP_RUN(statistics_of_doubles);
    return tap_done();
}
