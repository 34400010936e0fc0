/**
 * What the files of this module share: the input window, the JSON emitter, character sets, the
 * walk's stack, and the reader that holds them.
 */
#ifndef DL_DICOM_INTERNAL_H
#define DL_DICOM_INTERNAL_H

#include "base/cursor.h"
#include "dicom/dicom.h"

#include <iconv.h>
#include <string.h>
#include <zlib.h>

#define UNDEFINED_LENGTH 0xffffffffu
#define NO_END UINT64_MAX

enum {
    WINDOW_BYTES = 64 * 1024,
    FIRST_READ_BYTES = 8 * 1024, /* most headers end within it */
    HOP_READ_BYTES = 512,        /* after a jump: an item header and little more */
    DEFLATED_BYTES = 16 * 1024,
    QUOTE_BYTES = 1024, /* of an offending value in a finding */
};

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---- value representations (vr.c) ---- */

typedef enum dl_dicom_vr_kind {
    KIND_UNKNOWN, /* not two letters that PS3.5 knows */
    KIND_TEXT,    /* values between backslashes */
    KIND_NAME,    /* PN */
    KIND_NUMBER,  /* IS, DS */
    KIND_PROSE,   /* ST, LT, UT, UR: one value, a backslash is a backslash */
    KIND_BINARY,  /* US SS UL SL UV SV FL FD AT */
    KIND_SEQUENCE,
    KIND_BULK, /* OB OD OF OL OV OW UN */
} dl_dicom_vr_kind;

typedef struct dl_dicom_vr_info {
    dl_vr vr;
    uint8_t kind;      /* dl_dicom_vr_kind */
    uint8_t unit;      /* bytes of one binary value */
    bool long_length;  /* explicit VR: two reserved bytes and a length of 32 bits */
    bool uses_charset; /* affected by (0008,0005), PS3.5 6.1.2.3 */
} dl_dicom_vr_info;

/** The unknown kind for letters that are no VR. */
const dl_dicom_vr_info *dl_dicom_vr_find(unsigned char a, unsigned char b);
const dl_dicom_vr_info *dl_dicom_vr_of(dl_vr vr);

/* ---- input (input.c) ---- */

typedef struct dl_dicom_input {
    dl_dicom_source source;
    uint8_t *window;   /* WINDOW_BYTES */
    size_t at, end;    /* unread: window[at..end) */
    uint64_t base;     /* position of window[0] in the file (inflated) */
    size_t read_bytes; /* what the next read asks for */
    bool ended;
    bool inflating, stream_made, stream_ended;
    z_stream stream;
    uint8_t *deflated; /* made when first needed; the window's bytes fit in, too */
    uint64_t inflated_bytes, inflate_limit_bytes;
} dl_dicom_input;

void dl_dicom_input_start(dl_dicom_input *in, const dl_dicom_source *source);
/** From here on the bytes are a raw deflate stream. */
DL_NODISCARD dl_status dl_dicom_input_inflate(dl_dicom_input *in, dl_error *err);
void dl_dicom_input_clear(dl_dicom_input *in);
/** Try to have `want` (<= WINDOW_BYTES) bytes at in->window + in->at; see input_left for success.
 */
DL_NODISCARD dl_status dl_dicom_input_fill(dl_dicom_input *in, size_t want, dl_error *err);
/** Pass over `count` bytes; *out_missing is how many of them the input lacks. */
DL_NODISCARD dl_status dl_dicom_input_skip(dl_dicom_input *in, uint64_t count,
                                           uint64_t *out_missing, dl_error *err);

static inline size_t dl_dicom_input_left(const dl_dicom_input *in)
{
    return in->end - in->at;
}
static inline uint64_t dl_dicom_input_position(const dl_dicom_input *in)
{
    return in->base + in->at;
}
/** Whether a deflate stream lacks its end, once the input has ended (RFC 1951 3.2.3: it says where
 * that is, so a data set that stops at the end of an element can be told from one cut off there).
 */
static inline bool dl_dicom_input_lacks_end(const dl_dicom_input *in)
{
    return in->inflating && !in->stream_ended;
}
static inline dl_status dl_dicom_input_need(dl_dicom_input *in, size_t want, dl_error *err)
{
    return likely(in->end - in->at >= want) ? DL_OK : dl_dicom_input_fill(in, want, err);
}

/* ---- the JSON emitter (emit.c) ---- */

/**
 * Writes into the caller's buffer, element by element. Room is asked for by its upper bound; when
 * the buffer's limit forbids that much, the element goes to a spill buffer and is appended exactly.
 */
typedef struct dl_dicom_emitter {
    dl_buf *json; /* NULL: nothing is emitted */
    dl_buf spill;
    size_t start, limit_bytes; /* json->len at the start, and how much may be added to it */
    char *p, *end;             /* room of the element under way */
    bool spilling;
    bool comma; /* the next member of the object under way needs one */
} dl_dicom_emitter;

DL_NODISCARD dl_status dl_dicom_emit_room_slow(dl_dicom_emitter *e, size_t need, dl_error *err);
/** Room for `need` more bytes at e->p. */
static inline dl_status dl_dicom_emit_room(dl_dicom_emitter *e, size_t need, dl_error *err)
{
    return likely((size_t)(e->end - e->p) >= need) ? DL_OK : dl_dicom_emit_room_slow(e, need, err);
}
/** The element is complete: take it over. */
DL_NODISCARD dl_status dl_dicom_emit_commit(dl_dicom_emitter *e, dl_error *err);
DL_NODISCARD dl_status dl_dicom_emit_bytes(dl_dicom_emitter *e, const char *bytes, size_t len,
                                           dl_error *err);
/** `,"00100010":{"vr":"PN"` */
DL_NODISCARD dl_status dl_dicom_emit_head(dl_dicom_emitter *e, uint32_t tag, dl_vr vr,
                                          dl_error *err);
enum { HEAD_BYTES = 32 };

/** What a scan of a value's bytes found. */
enum {
    HAS_HIGH = 1,      /* a byte above 7E */
    HAS_ESCAPE = 2,    /* ESC */
    HAS_CONTROL = 4,   /* a control character other than ESC */
    HAS_BACKSLASH = 8, /* \ */
    HAS_QUOTE = 16,    /* " */
    HAS_EQUALS = 32,   /* = */
};
unsigned dl_dicom_scan_text(const uint8_t *bytes, size_t len);

/** One element with its values: text is UTF-8 without padding at its end. */
DL_NODISCARD dl_status dl_dicom_emit_text(dl_dicom_emitter *e, uint32_t tag,
                                          const dl_dicom_vr_info *vr, dl_str text, unsigned found,
                                          dl_error *err);
DL_NODISCARD dl_status dl_dicom_emit_binary(dl_dicom_emitter *e, uint32_t tag,
                                            const dl_dicom_vr_info *vr, dl_bytes value,
                                            bool big_endian, dl_error *err);
/** Ready for a data set. */
DL_NODISCARD dl_status dl_dicom_emit_start(dl_dicom_emitter *e, dl_buf *json, size_t limit_bytes,
                                           dl_error *err);
/** Members of the object at `start` sorted by tag; later ones of the same tag are dropped and
 * reported. */
DL_NODISCARD dl_status dl_dicom_emit_sort(dl_dicom_emitter *e, size_t start, dl_buf *scratch,
                                          dl_status (*dropped)(void *context, uint32_t tag,
                                                               dl_error *err),
                                          void *context, dl_error *err);

/* ---- numbers (number.c) ---- */

enum { NUMBER_BYTES = 32 };
/** JSON for the text of an IS or DS value without spaces; 0 when it must stay a string. `out` has
 * room for len + 4. */
size_t dl_dicom_number_from_text(dl_str text, char *out);
size_t dl_dicom_number_from_u64(uint64_t value, char out[NUMBER_BYTES]);
size_t dl_dicom_number_from_double(double value, bool is_float, char out[NUMBER_BYTES]);

/* ---- character sets (charset.c) ---- */

typedef enum dl_dicom_code_set {
    SET_ASCII,
    SET_LATIN1,
    SET_8859_2,
    SET_8859_3,
    SET_8859_4,
    SET_8859_5,
    SET_8859_6,
    SET_8859_7,
    SET_8859_8,
    SET_8859_9,
    SET_8859_15,
    SET_THAI,
    SET_JISX0201,
    SET_UTF8,
    SET_GB18030,
    SET_GBK,
    SET_JISX0208, /* only by escape sequence, as the rest */
    SET_JISX0212,
    SET_KSX1001,
    SET_GB2312,
    SET_COUNT
} dl_dicom_code_set;

/** What (0008,0005) says. */
typedef struct dl_dicom_charset {
    uint8_t first; /* dl_dicom_code_set of value 1 */
    bool escapes;  /* code extension by ISO 2022 */
} dl_dicom_charset;

typedef struct dl_dicom_decoder {
    iconv_t open[SET_COUNT]; /* 0: not yet; opened when first needed */
} dl_dicom_decoder;

void dl_dicom_decoder_clear(dl_dicom_decoder *d);
/** Of the value of (0008,0005); unknown terms stand for the default repertoire. */
dl_dicom_charset dl_dicom_charset_of(dl_str terms);
/** How the text of one value is to be decoded. */
typedef struct dl_dicom_decoding {
    dl_dicom_decoder *decoder;
    dl_dicom_charset set;
    bool is_name;  /* PN: = and ^ end what was designated, too */
    bool is_multi; /* values between backslashes: each backslash ends it */
} dl_dicom_decoding;

/** Append `bytes` as UTF-8; U+FFFD for what cannot be decoded. */
DL_NODISCARD dl_status dl_dicom_decode_text(const dl_dicom_decoding *how, dl_bytes bytes,
                                            dl_buf *out, dl_error *err);

/* ---- rules of the values (validate.c) ---- */

/** Whether the dictionary allows `count` values. */
const char *dl_dicom_validate_count(uint32_t tag, size_t count, char detail[96]);
/** What is wrong with the element (its first error), or NULL. out_value: what to quote. */
const char *dl_dicom_validate_text(uint32_t tag, const dl_dicom_vr_info *vr, dl_str text,
                                   unsigned found, char detail[96], dl_str *out_value);
/** What is wrong with a first value by the index rules, or NULL. */
const char *dl_dicom_validate_first(dl_vr vr, dl_str value, unsigned found);

/* ---- the walk (walk.c) ---- */

typedef struct dl_dicom_level {
    uint64_t end; /* NO_END for undefined length */
    uint32_t last_tag;
    bool is_item;     /* else a sequence */
    bool implicit_vr; /* items of an UN of undefined length are, and little endian */
    bool big_endian;
    bool hidden;       /* inside an UN of undefined length: only parsed over */
    bool visible;      /* goes into the JSON */
    bool has_items;    /* sequence: one item was emitted */
    bool out_of_order; /* item: sort the members at its end */
    bool signed_pixels;
    uint8_t facts; /* which of values.c were there */
    dl_dicom_charset set;
    size_t json_start; /* item: where its { stands */
} dl_dicom_level;

struct dl_dicom_reader {
    dl_dicom_options options;
    dl_dicom_input in;
    dl_dicom_emitter out;
    dl_dicom_decoder decoder;
    dl_dicom_level *levels;
    size_t depth; /* levels in use */
    size_t level_limit;
    dl_buf value;                        /* a value longer than the window */
    dl_buf text;                         /* a value in UTF-8 */
    dl_buf scratch;                      /* sorting */
    dl_buf findings;                     /* dl_dicom_finding[] */
    dl_buf fragments;                    /* dl_dicom_fragment[] */
    dl_buf last_marks;                   /* bool per fragment: ends with a JPEG end marker */
    dl_buf offset_table, extended_table; /* as they stand in the file */
    bool too_many_fragments;
    bool cut; /* the input ended, but not before the pixel data: what is there is kept */
    uint64_t fragment_base; /* position of the first fragment's item header */
    dl_arena *arena;
    dl_dicom_header *header;
};

/** From the first element of the data set to the end of the input. */
DL_NODISCARD dl_status dl_dicom_walk(dl_dicom_reader *r, dl_error *err);

typedef struct dl_dicom_element {
    uint32_t tag;
    uint32_t length;
    const dl_dicom_vr_info *vr;
} dl_dicom_element;

static inline dl_dicom_level *dl_dicom_top_level(dl_dicom_reader *r)
{
    return &r->levels[r->depth - 1];
}

/* ---- values (values.c) ---- */

/** The value of an element of text or binary numbers: facts, rules, JSON. */
DL_NODISCARD dl_status dl_dicom_take_value(dl_dicom_reader *r, const dl_dicom_element *e,
                                           dl_error *err);
/** `why` becomes a finding, unless the tag has one or there are too many. The value is quoted
 * unless its ptr is NULL, the VR named unless it is 0. */
DL_NODISCARD dl_status dl_dicom_add_finding(dl_dicom_reader *r, uint32_t tag, dl_vr vr,
                                            dl_str value, const char *why, dl_error *err);
/** Whether the top level is at hand and had an element of this tag that was left out. */
bool dl_dicom_was_invalid(const dl_dicom_reader *r, uint32_t tag);
/** Pass over the bytes of a value. */
DL_NODISCARD dl_status dl_dicom_pass_over(dl_dicom_reader *r, uint32_t tag, uint64_t count,
                                          dl_error *err);
/** The bytes of a value, in the window or in r->value; passed over. Look at r->cut after it. */
DL_NODISCARD dl_status dl_dicom_value_bytes(dl_dicom_reader *r, uint32_t tag, size_t length,
                                            dl_bytes *out_value, dl_error *err);
/** The same into `out`, which is bounded by its own limit; empty after a cut. */
DL_NODISCARD dl_status dl_dicom_value_into(dl_dicom_reader *r, uint32_t tag, size_t length,
                                           dl_buf *out, dl_error *err);
/** The input ends here: DL_E_INVALID, or r->cut when the pixel data has begun. */
DL_NODISCARD dl_status dl_dicom_cut_off(dl_dicom_reader *r, uint32_t tag, dl_error *err);
/** Whether (0020,000D) and the like: which one, or -1. */
int dl_dicom_core_of(uint32_t tag);

/* ---- pixels (pixels.c) ---- */

/** Native pixel data. */
DL_NODISCARD dl_status dl_dicom_pixels_native(dl_dicom_reader *r, const dl_dicom_element *e,
                                              dl_error *err);
/** Fragments up to their delimiter; at top level the pixel data itself, else just passed over. */
DL_NODISCARD dl_status dl_dicom_pixels_fragments(dl_dicom_reader *r, uint32_t tag,
                                                 bool is_pixel_data, dl_error *err);
/** The frame index, into the arena. */
DL_NODISCARD dl_status dl_dicom_pixels_finish(dl_dicom_reader *r, dl_error *err);

/* ---- the beginning of a file (meta.c) ---- */

typedef struct dl_dicom_meta {
    bool has_preamble, has_meta;
    bool implicit_vr, big_endian, deflated;
    char uid[65]; /* transfer syntax, as in the file or guessed */
} dl_dicom_meta;

/** Preamble and group 0002; the input is then at the data set (deflated: inflating). */
DL_NODISCARD dl_status dl_dicom_meta_read(dl_dicom_input *in, dl_dicom_meta *out_meta,
                                          dl_error *err);

#endif
