/**
 * Builds data sets for the tests of the reader, and reads them: everything lives in the arena of a
 * `bench` until the next case.
 */
#ifndef DL_TESTS_DICOM_BUILD_H
#define DL_TESTS_DICOM_BUILD_H

#include "dicom/dicom.h"

#include "tap.h"

#define LENGTH_UNDEFINED 0xffffffffu
#define UID_IMPLICIT "1.2.840.10008.1.2"
#define UID_EXPLICIT "1.2.840.10008.1.2.1"
#define UID_BIG "1.2.840.10008.1.2.2"
#define UID_DEFLATED "1.2.840.10008.1.2.1.99"
#define UID_JPEG "1.2.840.10008.1.2.4.50"
#define UID_RLE "1.2.840.10008.1.2.5"
#define UID_MPEG4 "1.2.840.10008.1.2.4.102"

typedef struct build {
    char *bytes; /* static storage, cleared by build_begin */
    size_t len;
    bool implicit, big;
} build;

/** Preamble, meta information and nothing yet. */
build build_begin(const char *syntax);
/** No preamble, no meta information. */
build build_bare(bool implicit, bool big);
void put_bytes(build *b, const void *bytes, size_t len);
void put_u16(build *b, uint32_t value);
void put_u32(build *b, uint32_t value);
void put_u64(build *b, uint64_t value);
void put_head(build *b, uint32_t tag, const char *vr, uint32_t length);
/** The value as it is; no padding is added. */
void put_value(build *b, uint32_t tag, const char *vr, const void *bytes, size_t len);
#define PUT(b, tag, vr, literal) put_value(b, tag, vr, literal, sizeof(literal) - 1)
void put_us(build *b, uint32_t tag, uint32_t value);
/** FFFE,E000 and the delimiters. */
void put_item(build *b, uint32_t number, uint32_t length);
/** Everything from `start` on is replaced by its raw deflate stream. */
void build_deflate(build *b, size_t start);

enum { UNTOUCHED = 77 };

typedef struct outcome {
    dl_status status;
    dl_error err;
    dl_dicom_header header;
    dl_str json; /* "" on failure */
    dl_arena *arena;
    dl_buf buf;
} outcome;

void outcome_clear(outcome *o);
#define OUTCOME DL_CLEANUP(outcome_clear) outcome
/** Read what was built; options may be NULL. */
outcome read_built(const build *b, const dl_dicom_options *options);
/** The findings as "TAG reason" lines, in static storage. */
dl_str list_findings(const dl_dicom_header *header);

/** The data set's JSON must be `want`. */
#define EXPECT_JSON(b, want)                                                                       \
    do {                                                                                           \
        OUTCOME outcome_ = read_built(b, NULL);                                                    \
        TAP_OK(outcome_.status, outcome_.err);                                                     \
        TAP_EQ_STR(outcome_.json, want);                                                           \
    } while (0)
/** With validation: the findings, and the JSON that is left. */
#define EXPECT_FINDINGS(b, want, want_json)                                                        \
    do {                                                                                           \
        dl_dicom_options options_ = {.validate = true};                                            \
        OUTCOME outcome_ = read_built(b, &options_);                                               \
        TAP_OK(outcome_.status, outcome_.err);                                                     \
        TAP_EQ_STR(list_findings(&outcome_.header), want);                                         \
        TAP_EQ_STR(outcome_.json, want_json);                                                      \
    } while (0)
/** Reading fails with `want`, these words are in the message, and no output is touched. */
#define EXPECT_FAILURE(b, options, want, words)                                                    \
    do {                                                                                           \
        OUTCOME outcome_ = read_built(b, options);                                                 \
        TAP_STATUS(outcome_.status, want);                                                         \
        TAP_TRUE(strstr(outcome_.err.message, words) != NULL);                                     \
        TAP_EQ_INT(outcome_.json.len, 0);                                                          \
        TAP_EQ_INT(outcome_.header.pixels.frame_count, UNTOUCHED);                                 \
    } while (0)

#endif
