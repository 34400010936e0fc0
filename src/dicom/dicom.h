/**
 * DICOM reader: Part 10 files and bare data sets to DICOM JSON, one pass, pixel data skipped.
 *
 * Input comes through a forward-only `dl_dicom_source`; the reader keeps one window of some 64 KiB
 * and the text of one value (at most value_limit_bytes), so memory does not grow with the file.
 * Sequences are walked with an explicit stack of depth_limit; nothing recurses on input.
 *
 * Out come: the DICOM JSON of the data set (PS3.18 annex F; without group 0002, group lengths and
 * bulk VRs OB OD OF OL OV OW UN) in the caller's buffer; the core attributes as they stand in the
 * file; the validation findings; and where the pixel data is, frame by frame, so that frames are
 * read by seeking.
 *
 * The rules of the JSON are those of the service contract: upper-case keys in ascending order,
 * empty element `{"vr":"XX"}`, empty value `null`, numbers as numbers when they parse, text as
 * UTF-8. What they and the standard leave open is decided in docs/dicom-json.md.
 *
 * Thread: confined (one reader per thread; a reader may be used again and again).
 * Standard: PS3.5 (encoding), PS3.10 (file format), PS3.18 annex F (JSON), PS3.3 C.7.6.3 (pixels).
 */
#ifndef DL_DICOM_DICOM_H
#define DL_DICOM_DICOM_H

#include "base/arena.h"
#include "base/buf.h"
#include "dict/dict.h"

/** Forward-only bytes. */
typedef struct dl_dicom_source {
    /** Up to `want` bytes; fewer only at the end, 0 at the end. */
    dl_status (*read)(void *context, void *out, size_t want, size_t *out_got, dl_error *err);
    /** Pass over `count` bytes; DL_E_INVALID when the input ends before, and then none is passed.
     * NULL: the reader reads and drops. */
    dl_status (*skip)(void *context, uint64_t count, dl_error *err);
    void *context;
} dl_dicom_source;

/** A source over memory. */
typedef struct dl_dicom_memory {
    dl_bytes bytes;
    size_t at;
} dl_dicom_memory;
dl_dicom_source dl_dicom_source_memory(dl_dicom_memory *memory);

/** A source over a file, from `at` to `size` (set by the caller, for example with fstat). */
typedef struct dl_dicom_file {
    int fd;
    uint64_t at, size;
} dl_dicom_file;
dl_dicom_source dl_dicom_source_file(dl_dicom_file *file);

typedef struct dl_dicom_options {
    size_t json_limit_bytes;  /* 0: DL_DICOM_JSON_LIMIT_BYTES; beyond: DL_E_LIMIT */
    size_t value_limit_bytes; /* 0: DL_DICOM_VALUE_LIMIT_BYTES; a longer value is left out, with a
                                 finding */
    size_t depth_limit;       /* 0: DL_DICOM_DEPTH_LIMIT; deeper: DL_E_INVALID */
    size_t finding_limit; /* 0: DL_DICOM_FINDING_LIMIT; more are dropped, but their elements too */
    size_t
        fragment_limit; /* 0: DL_DICOM_FRAGMENT_LIMIT; more: no frame index, pixels.indexed false */
    uint64_t inflate_limit_bytes; /* 0: DL_DICOM_INFLATE_LIMIT_BYTES; a deflated data set that is
                                     longer: DL_E_LIMIT */
    bool validate; /* check every value (contract 5.5); invalid elements are left out of the JSON */
    bool first_values; /* instead: check the first values of what `keeps` names at the top level, by
                          the index rules (contract 5.5); nothing is left out */
    bool (*keeps)(uint32_t tag); /* whose findings at the top level do not count towards
                                    finding_limit: at most DL_DICOM_KEPT_LIMIT tags; NULL: none */
} dl_dicom_options;

#define DL_DICOM_JSON_LIMIT_BYTES ((size_t)64 << 20)
#define DL_DICOM_VALUE_LIMIT_BYTES ((size_t)1 << 20)
#define DL_DICOM_INFLATE_LIMIT_BYTES ((uint64_t)4 << 30)
enum {
    DL_DICOM_DEPTH_LIMIT = 64,
    DL_DICOM_FINDING_LIMIT = 200,
    DL_DICOM_KEPT_LIMIT = 32,
    DL_DICOM_FRAGMENT_LIMIT = 1 << 20
};

/** One thing that is wrong with one element. */
typedef struct dl_dicom_finding {
    uint32_t tag;
    uint32_t depth; /* 0: top level */
    bool multiple;  /* the element has more than one value */
    dl_phi
        reason; /* `"2020.01.02" is not a DA: ...`; quotes the value, so it never reaches a log */
} dl_dicom_finding;

/** The attributes that decide whether an instance can be stored (contract 5.4 steps 2 to 4). */
typedef enum dl_dicom_core {
    DL_DICOM_SOP_CLASS_UID,
    DL_DICOM_SOP_INSTANCE_UID,
    DL_DICOM_STUDY_INSTANCE_UID,
    DL_DICOM_SERIES_INSTANCE_UID,
    DL_DICOM_PATIENT_ID,
    DL_DICOM_CORE_COUNT
} dl_dicom_core;

typedef struct dl_dicom_core_value {
    bool present;
    dl_vr vr;           /* as in the file; the dictionary's for implicit VR */
    size_t value_count; /* values between backslashes; 0 when empty or only padding */
    dl_str first; /* first value, UTF-8, trailing spaces and NULs cut; patient data for PatientID */
} dl_dicom_core_value;

typedef struct dl_dicom_fragment {
    uint64_t offset_bytes; /* of the first byte of the fragment's value, in the file */
    uint64_t length_bytes;
} dl_dicom_fragment;

/** Where the pixel data is. Offsets are from the start of the file; of a deflated one, as if its
 * data set stood there inflated. */
typedef struct dl_dicom_pixels {
    bool present;      /* (7FE0,0010), (7FE0,0008) or (7FE0,0009) with a value */
    bool encapsulated; /* fragments; else native */
    bool indexed;      /* the frames below are known */
    uint32_t tag;
    uint32_t frame_count;                            /* NumberOfFrames, 1 when absent; at least 1 */
    uint32_t rows, columns, samples, bits_allocated; /* 0 when absent */
    bool
        half_chroma; /* native YBR_FULL_422 or YBR_PARTIAL_422: two samples a pixel (C.7.6.3.1.2) */
    uint64_t offset_bytes, length_bytes; /* native: of the value */
    dl_dicom_fragment *fragments;        /* encapsulated: without the basic offset table item */
    size_t fragment_count;
    uint32_t *frame_starts; /* encapsulated and indexed: frame i (from 0) is fragments [starts[i],
                               starts[i+1]) */
} dl_dicom_pixels;

typedef struct dl_dicom_header {
    bool has_preamble, has_meta; /* DICM at byte 128; group 0002 */
    bool implicit_vr, big_endian, deflated;
    dl_str transfer_syntax_uid; /* from the meta header; 1.2.840.10008.1.2 or what was guessed
                                   without one */
    dl_dicom_core_value core[DL_DICOM_CORE_COUNT];
    dl_dicom_finding *findings; /* in order of the file */
    size_t finding_count;
    dl_dicom_pixels pixels;
    bool many_values; /* first_values: one of these has more values than the dictionary allows */
    bool truncated_pixels; /* the input ended inside the pixel data or after it; the header is whole
                            */
} dl_dicom_header;

typedef struct dl_dicom_reader dl_dicom_reader;

/** NULL when there is no memory. `options` may be NULL and is copied. */
dl_dicom_reader *dl_dicom_reader_create(const dl_dicom_options *options);
void dl_dicom_reader_destroy(dl_dicom_reader *reader);
DL_DEFINE_AUTO(dl_dicom_reader)

/**
 * Read one instance from where the source stands.
 *
 * @param arena      owns all that out_header points to.
 * @param json       the data set's JSON object is appended here; NULL when not wanted. On failure
 * its length is what it was. Errors: DL_E_INVALID (not DICOM, cut off in the header, lengths that
 * cannot be, too deep), DL_E_LIMIT (JSON or arena full), DL_E_UNSUPPORTED (no such transfer syntax
 * can be parsed), DL_E_IO (source).
 */
DL_NODISCARD dl_status dl_dicom_read(dl_dicom_reader *reader, const dl_dicom_source *source,
                                     dl_arena *arena, dl_buf *json, dl_dicom_header *out_header,
                                     dl_error *err);

/**
 * The frame index as bytes for the index database: small (varint deltas), versioned, empty when
 * there is no pixel data.
 */
DL_NODISCARD dl_status dl_dicom_pixels_encode(const dl_dicom_header *header, dl_buf *out,
                                              dl_error *err);
/** The reverse; DL_E_CORRUPT when the bytes are not ours. Only `pixels`, `deflated` and byte order
 * are filled; frame_count is 1 when there is no pixel data. */
DL_NODISCARD dl_status dl_dicom_pixels_decode(dl_bytes bytes, dl_arena *arena,
                                              dl_dicom_header *out_header, dl_error *err);

/**
 * The pieces of frame `number` (from 1): ranges of the file, in order. Frames of one-bit pixels are
 * the bytes that hold any of their bits (PS3.5 section 8.1.1: no gaps between frames).
 * Errors: DL_E_NOT_FOUND (no such frame or no pixel data), DL_E_UNSUPPORTED (not indexed),
 *         DL_E_INVALID (the element is shorter than the frame's end).
 */
DL_NODISCARD dl_status dl_dicom_frame(const dl_dicom_pixels *pixels, uint32_t number,
                                      dl_arena *arena, dl_dicom_fragment **out_pieces,
                                      size_t *out_count, dl_error *err);

/**
 * Bytes of a deflated data set: inflate the file behind `source` (from its start, Part 10) and hand
 * [offset, offset + length) of the inflated file to `write`. For frames of deflated files.
 */
DL_NODISCARD dl_status dl_dicom_inflate_range(
    const dl_dicom_source *source, uint64_t offset_bytes, uint64_t length_bytes,
    dl_status (*write)(void *context, dl_bytes part, dl_error *err), void *context, dl_error *err);

/** Whether the text is a UID by the contract's rule 1.6: 1..64 of [0-9.], the last a digit. */
bool dl_dicom_uid_is_valid(dl_str uid);

#endif
