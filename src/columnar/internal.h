/**
 * Columnar, private: what the files of the Parquet writer share.
 *
 * leaves.c      the schema as nodes: the tree of the file, with its "list" and "key_value" groups
 * thrift.c      Thrift's compact protocol, writing
 * encode.c      RLE/bit-packed hybrid
 * dictionary.c  distinct values of a column chunk
 * range.c       least and greatest value
 * page.c        entries of a leaf to pages of a column chunk
 * footer.c      the end of the file
 * writer.c      the public functions
 */
#ifndef DL_COLUMNAR_INTERNAL_H
#define DL_COLUMNAR_INTERNAL_H

#include "columnar/columnar.h"

#include <string.h>

/* ---- limits ---- */

enum {
    DL_COLUMNAR_PAGE_BYTES = 1 << 20,         /* a page ends with the row that reaches this */
    DL_COLUMNAR_PAGE_ENTRIES = 1 << 17,       /* or this */
    DL_COLUMNAR_DICTIONARY_BYTES = 1 << 19,   /* a larger dictionary takes no more pages */
    DL_COLUMNAR_TRIAL_ENTRIES = 1024,         /* a dictionary has to pay by then */
    DL_COLUMNAR_TRIAL_BYTES = 1 << 16,        /* or then */
    DL_COLUMNAR_SMALL_CHUNK_BYTES = 128,      /* less than that is not worth compressing */
    DL_COLUMNAR_STAT_TEXT_BYTES = 64,         /* of a text in the statistics of a column chunk */
    DL_COLUMNAR_HEADROOM_BYTES = 256,         /* before plain values: the levels of most pages */
    DL_COLUMNAR_OUT_BYTES = 1 << 16,          /* pieces of a file are gathered up to this */
    DL_COLUMNAR_FOOTER_LIMIT_BYTES = 1 << 26, /* of what it says of row groups */
};
static const size_t DL_COLUMNAR_CHUNK_LIMIT_BYTES = (size_t)1 << 34;

/* ---- schema ---- */

/** Numbers as in the file. */
typedef enum dl_columnar_repetition {
    DL_COLUMNAR_REQUIRED,
    DL_COLUMNAR_OPTIONAL,
    DL_COLUMNAR_REPEATED,
} dl_columnar_repetition;

/** An element of the file's schema, depth first. */
typedef struct dl_columnar_node {
    dl_str name;
    const dl_columnar_field *field; /* NULL: the repeated group of a list or map */
    size_t parent;                  /* its index; SIZE_MAX at the top */
    size_t column;
    size_t child_count; /* 0: a leaf */
    dl_columnar_repetition repetition;
    uint8_t max_rep, max_def;
} dl_columnar_node;

DL_NODISCARD dl_status dl_columnar_nodes(const dl_columnar_field *fields, size_t field_count,
                                         dl_arena *arena, dl_columnar_node **out_nodes,
                                         size_t *out_count, dl_error *err);

/* ---- Thrift ---- */

enum { DL_COLUMNAR_THRIFT_DEPTH = 8 };

typedef enum dl_columnar_thrift_type {
    DL_COLUMNAR_THRIFT_I32 = 5,
    DL_COLUMNAR_THRIFT_TEXT = 8,
    DL_COLUMNAR_THRIFT_STRUCT = 12,
} dl_columnar_thrift_type;

/** Writes one struct; a failure is kept and comes out of dl_columnar_thrift_end. */
typedef struct dl_columnar_thrift {
    dl_buf *buf;
    size_t depth;
    int last[DL_COLUMNAR_THRIFT_DEPTH]; /* field numbers are written as differences */
    dl_error failure;
} dl_columnar_thrift;

void dl_columnar_thrift_begin(dl_columnar_thrift *t, dl_buf *buf);
DL_NODISCARD dl_status dl_columnar_thrift_end(dl_columnar_thrift *t, dl_error *err);
void dl_columnar_thrift_bool(dl_columnar_thrift *t, int id, bool value);
void dl_columnar_thrift_i8(dl_columnar_thrift *t, int id, int8_t value);
void dl_columnar_thrift_i32(dl_columnar_thrift *t, int id, int32_t value);
void dl_columnar_thrift_i64(dl_columnar_thrift *t, int id, int64_t value);
void dl_columnar_thrift_text(dl_columnar_thrift *t, int id, dl_str value);
void dl_columnar_thrift_list(dl_columnar_thrift *t, int id, dl_columnar_thrift_type type,
                             size_t count);
/** A field that is a struct; dl_columnar_thrift_struct_end ends it. */
void dl_columnar_thrift_struct(dl_columnar_thrift *t, int id);
void dl_columnar_thrift_struct_end(dl_columnar_thrift *t);
/** Elements of a list. */
void dl_columnar_thrift_item_struct(dl_columnar_thrift *t);
void dl_columnar_thrift_item_i32(dl_columnar_thrift *t, int32_t value);
void dl_columnar_thrift_item_text(dl_columnar_thrift *t, dl_str value);
/** Elements that were written before. */
void dl_columnar_thrift_raw(dl_columnar_thrift *t, dl_str bytes);

/* ---- encodings ---- */

/** Bits that hold 0..max. */
unsigned dl_columnar_bit_width(uint32_t max);
/** Append levels in the RLE/bit-packed hybrid behind their length of four bytes. */
DL_NODISCARD dl_status dl_columnar_encode_levels(dl_buf *buf, const uint8_t *levels, size_t count,
                                                 unsigned bits, dl_error *err);
/** Append indices behind one byte with their width. */
DL_NODISCARD dl_status dl_columnar_encode_indices(dl_buf *buf, const uint32_t *indices,
                                                  size_t count, unsigned bits, dl_error *err);
/** Append truth values (0, 1), eight a byte. */
DL_NODISCARD dl_status dl_columnar_encode_bools(dl_buf *buf, const uint8_t *values, size_t count,
                                                dl_error *err);

/* ---- dictionary ---- */

typedef struct dl_columnar_word {
    union {
        uint64_t bits; /* numbers */
        struct {
            uint32_t offset, len; /* texts, in `bytes` */
        };
    };
    uint32_t next; /* the word that followed this one last time: mostly it does again */
    uint32_t hash;
} dl_columnar_word;

/** Words have ids from 1; word 0 stands before the first and equals nothing. */
typedef struct dl_columnar_dictionary {
    dl_columnar_word *words;
    uint32_t count, cap; /* with word 0 */
    uint32_t last;       /* the word put last */
    uint64_t *slots;     /* hash << 32 | id; 0: free */
    uint32_t slot_count; /* a power of two, or 0 */
    dl_buf bytes;        /* the words in PLAIN encoding, in order of their ids */
} dl_columnar_dictionary;

/** The word's id; 0: no memory. */
uint32_t dl_columnar_dictionary_text(dl_columnar_dictionary *d, dl_str text);
/** `size_bytes`: 4 or 8, what of `bits` goes into the file. */
uint32_t dl_columnar_dictionary_bits(dl_columnar_dictionary *d, uint64_t bits, size_t size_bytes);
void dl_columnar_dictionary_reset(dl_columnar_dictionary *d);
void dl_columnar_dictionary_clear(dl_columnar_dictionary *d);

/** Short texts by words: a call of memcmp costs more than the comparison. */
static inline bool dl_columnar_same(const char *a, const char *b, size_t len)
{
    if (len > 16) {
        return memcmp(a, b, len) == 0;
    }
    if (len >= 8) {
        uint64_t x[4];
        memcpy(&x[0], a, 8);
        memcpy(&x[1], b, 8);
        memcpy(&x[2], a + len - 8, 8);
        memcpy(&x[3], b + len - 8, 8);
        return ((x[0] ^ x[1]) | (x[2] ^ x[3])) == 0;
    }
    if (len >= 4) {
        uint32_t x[4];
        memcpy(&x[0], a, 4);
        memcpy(&x[1], b, 4);
        memcpy(&x[2], a + len - 4, 4);
        memcpy(&x[3], b + len - 4, 4);
        return ((x[0] ^ x[1]) | (x[2] ^ x[3])) == 0;
    }
    return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

/* ---- ranges ---- */

/** The beginning of a text, with room for the writer's string_stat_limit_bytes. */
typedef struct dl_columnar_bound {
    char *ptr;
    size_t len;
    bool cut; /* the text went on */
} dl_columnar_bound;

typedef struct dl_columnar_range {
    bool any, has_nan;
    union {
        int64_t i;
        double d;
    } min, max;
    dl_columnar_bound min_text, max_text;
} dl_columnar_range;

void dl_columnar_range_text(dl_columnar_range *r, dl_str text, size_t limit_bytes);
/** Whether the first byte alone tells that `text` is neither the least nor the greatest. */
static inline bool dl_columnar_range_holds(const dl_columnar_range *r, dl_str text)
{
    return r->any && text.len > 0 && r->min_text.len > 0 &&
           (uint8_t)text.ptr[0] > (uint8_t)r->min_text.ptr[0] &&
           (uint8_t)text.ptr[0] < (uint8_t)r->max_text.ptr[0];
}
void dl_columnar_range_merge_text(dl_columnar_range *r, const dl_columnar_range *other);

static inline void dl_columnar_range_int(dl_columnar_range *r, int64_t value)
{
    if (!r->any || value < r->min.i) {
        r->min.i = value;
    }
    if (!r->any || value > r->max.i) {
        r->max.i = value;
    }
    r->any = true;
}

static inline void dl_columnar_range_double(dl_columnar_range *r, double value)
{
    if (value != value) {
        r->has_nan = true;
        return;
    }
    if (!r->any || value < r->min.d) {
        r->min.d = value;
    }
    if (!r->any || value > r->max.d) {
        r->max.d = value;
    }
    r->any = true;
}

/* ---- column chunks ---- */

/** Numbers as in the file. */
typedef enum dl_columnar_kind {
    DL_COLUMNAR_KIND_BOOL = 0,
    DL_COLUMNAR_KIND_INT32 = 1,
    DL_COLUMNAR_KIND_INT64 = 2,
    DL_COLUMNAR_KIND_FLOAT = 4,
    DL_COLUMNAR_KIND_DOUBLE = 5,
    DL_COLUMNAR_KIND_TEXT = 6,
} dl_columnar_kind;

dl_columnar_kind dl_columnar_kind_of(const dl_columnar_field *field);

/** A leaf while its file is written. */
typedef struct dl_columnar_chunk {
    /* The page that is filled. */
    uint8_t *reps, *defs;
    uint32_t *indices; /* of the values, while in_dictionary */
    size_t entry_count, entry_cap, value_count;
    dl_buf plain;     /* values from DL_COLUMNAR_HEADROOM_BYTES on; truth values as bytes */
    size_t raw_bytes; /* of the page's entries, at least 4 each */
    size_t row_raw_bytes, row_entry; /* raw_bytes and entry_count where the row began */
    int64_t row_count;               /* of the group, with the row that is being put */
    bool in_dictionary, ranged;
    dl_columnar_kind kind;
    uint8_t max_rep, max_def;
    int64_t low, high;                     /* integers that the type can hold */
    size_t check_entries, check_raw_bytes; /* where the end of a row has to look closer */
    dl_columnar_dictionary dictionary;

    /* What is finished of the group. */
    dl_buf pages;
    size_t dictionary_page_count, plain_page_count;
    int64_t entry_total, null_count;
    uint64_t raw_total_bytes; /* of values in the group */
    uint64_t uncompressed_bytes;
    dl_columnar_codec codec;
    dl_columnar_range range;

    /* Of the file. */
    const dl_columnar_node *node;
    int64_t file_null_count;
    dl_columnar_range file_range;
} dl_columnar_chunk;

/** What the leaves share: room to encode and compress. */
typedef struct dl_columnar_press {
    dl_columnar_codec codec;
    int zstd_level;
    size_t string_stat_limit_bytes;
    struct ZSTD_CCtx_s *zstd; /* made when it is needed */
    dl_buf page, packed;
} dl_columnar_press;

/** Room for more entries. */
DL_NODISCARD dl_status dl_columnar_chunk_grow(dl_columnar_chunk *c, dl_error *err);
/** The end of a row that reached a check. */
DL_NODISCARD dl_status dl_columnar_chunk_check(dl_columnar_chunk *c, dl_columnar_press *press,
                                               dl_error *err);
/** The last page; `dictionary_page` gets the page that goes before c->pages, or nothing. */
DL_NODISCARD dl_status dl_columnar_chunk_finish(dl_columnar_chunk *c, dl_columnar_press *press,
                                                dl_buf *dictionary_page, dl_error *err);
/** Ready for the next group; keeps the buffers. */
void dl_columnar_chunk_reset(dl_columnar_chunk *c);
void dl_columnar_chunk_clear(dl_columnar_chunk *c);
void dl_columnar_press_clear(dl_columnar_press *press);

/* ---- footer ---- */

/** One ColumnMetaData's place in the file. */
typedef struct dl_columnar_place {
    uint64_t offset, dictionary_bytes; /* dictionary_bytes 0: no dictionary page */
} dl_columnar_place;

/** The element of a row group's list of columns. */
DL_NODISCARD dl_status dl_columnar_footer_column(dl_buf *buf, const dl_columnar_chunk *c,
                                                 const dl_columnar_node *nodes,
                                                 dl_columnar_place place, dl_error *err);

typedef struct dl_columnar_group {
    dl_str columns; /* what dl_columnar_footer_column wrote */
    size_t leaf_count;
    int64_t row_count;
    uint64_t offset, uncompressed_bytes, compressed_bytes;
} dl_columnar_group;

/** The element of the file's list of row groups. */
DL_NODISCARD dl_status dl_columnar_footer_group(dl_buf *groups, const dl_columnar_group *group,
                                                dl_error *err);

typedef struct dl_columnar_footer {
    const dl_columnar_node *nodes;
    size_t node_count, column_count, leaf_count;
    int64_t row_count;
    size_t group_count;
    dl_str groups; /* the elements of the list of row groups */
    dl_str created_by;
} dl_columnar_footer;

DL_NODISCARD dl_status dl_columnar_footer_file(dl_buf *buf, const dl_columnar_footer *footer,
                                               dl_error *err);

#endif
