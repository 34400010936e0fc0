#include "build.h"

#include <stdlib.h>
#include <unistd.h>

/* Where the frames are (PS3.5 8 and A.4, PS3.3 C.7.6.3), and the index as bytes. */

static void put_image(build *b, const char *frames, uint32_t rows, uint32_t columns, uint32_t bits)
{
    put_us(b, 0x00280002, 1);
    if (frames != NULL) {
        put_value(b, 0x00280008, "IS", frames, strlen(frames));
    }
    put_us(b, 0x00280010, rows);
    put_us(b, 0x00280011, columns);
    put_us(b, 0x00280100, bits);
}

/** Frame i as "offset+length offset+length" with offsets from `base`, or the status' name. */
static const char *frame_text(const dl_dicom_pixels *p, uint32_t number, uint64_t base,
                              dl_arena *arena)
{
    static char text[256];
    dl_dicom_fragment *pieces = NULL;
    size_t count = 0;
    dl_error err = {0};
    dl_status status = dl_dicom_frame(p, number, arena, &pieces, &count, &err);
    if (status != DL_OK) {
        TAP_TRUE(err.message[0] != '\0');
        return dl_status_name(status);
    }
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%llu+%llu", i > 0 ? " " : "",
                                (unsigned long long)(pieces[i].offset_bytes - base),
                                (unsigned long long)pieces[i].length_bytes);
    }
    return text;
}

/** The index to bytes and back must give the same frames. */
static void check_round_trip(const outcome *o, uint64_t base)
{
    DL_AUTO_BUF bytes = {0};
    dl_buf_init(&bytes, 1 << 16);
    dl_error err = {0};
    dl_dicom_header back = {0};
    TAP_OK(dl_dicom_pixels_encode(&o->header, &bytes, &err), err);
    TAP_TRUE(bytes.len > 0 && bytes.len < 80);
    dl_bytes all = {(const uint8_t *)bytes.ptr, bytes.len};
    TAP_OK(dl_dicom_pixels_decode(all, o->arena, &back, &err), err);
    TAP_EQ_INT(back.deflated, o->header.deflated);
    TAP_EQ_INT(back.big_endian, o->header.big_endian);
    TAP_EQ_INT(back.pixels.present, o->header.pixels.present);
    TAP_EQ_INT(back.pixels.encapsulated, o->header.pixels.encapsulated);
    TAP_EQ_INT(back.pixels.indexed, o->header.pixels.indexed);
    TAP_EQ_INT(back.pixels.tag, o->header.pixels.tag);
    TAP_EQ_INT(back.pixels.rows, o->header.pixels.rows);
    TAP_EQ_INT(back.pixels.frame_count, o->header.pixels.frame_count);
    TAP_EQ_INT(back.pixels.half_chroma, o->header.pixels.half_chroma);
    for (uint32_t n = 0; n <= back.pixels.frame_count + 1; n++) {
        char want[256];
        (void)snprintf(want, sizeof want, "%s", frame_text(&o->header.pixels, n, base, o->arena));
        TAP_EQ_STR(dl_str_of(frame_text(&back.pixels, n, base, o->arena)), want);
    }
    /* Each shorter text, and one byte more, is not ours. */
    for (size_t len = 1; len < all.len; len++) {
        dl_bytes cut = {all.ptr, len};
        dl_dicom_header other = {.pixels.frame_count = UNTOUCHED};
        TAP_STATUS(dl_dicom_pixels_decode(cut, o->arena, &other, &err), DL_E_CORRUPT);
        TAP_EQ_INT(other.pixels.frame_count, UNTOUCHED);
    }
    TAP_STATUS(dl_buf_append_char(&bytes, 0, &err), DL_OK);
    dl_bytes more = {(const uint8_t *)bytes.ptr, bytes.len};
    TAP_STATUS(dl_dicom_pixels_decode(more, o->arena, &back, &err), DL_E_CORRUPT);
}

static void test_native(void)
{
    static const struct {
        const char *name, *frames;
        uint32_t rows, columns, bits, length;
        const char *first, *second, *third;
    } rows[] = {
        /* clang-format off */
        {"one frame",            NULL, 2, 3, 16, 12, "0+12", "not_found", "not_found"},
        {"three frames",         "3",  2, 3, 8,  18, "0+6",  "6+6",       "12+6"},
        {"odd, padded",          "3 ", 1, 3, 8,  10, "0+3",  "3+3",       "6+3"},
        {"a plus sign",          " +3", 1, 2, 8, 6, "0+2",  "2+2",       "4+2"},
        {"too short",            "3",  2, 3, 8,  12, "0+6",  "6+6",       "invalid"},
        {"one bit, not aligned", "3",  3, 3, 1,  4,  "0+2",  "1+2",       "2+2"},
        {"one bit, aligned",     "2",  8, 3, 1,  6,  "0+3",  "3+3",       "not_found"},
        {"nonsense frames",      "-5", 1, 2, 8,  2,  "0+2",  "not_found", "not_found"},
        {"no rows",              "2",  0, 2, 8,  2,  "unsupported", "unsupported", "not_found"},
        {"huge frames",          "2",  65535, 65535, 65535, 2, "invalid", "invalid", "not_found"},
        /* clang-format on */
    };
    static const char bytes[64];
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        build b = build_begin(UID_EXPLICIT);
        put_image(&b, rows[i].frames, rows[i].rows, rows[i].columns, rows[i].bits);
        put_head(&b, 0x7fe00010, "OW", rows[i].length);
        size_t base = b.len;
        put_bytes(&b, bytes, rows[i].length);
        PUT(&b, 0xfffcfffc, "OB", "\0\0");
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        const dl_dicom_pixels *p = &o.header.pixels;
        TAP_TRUE(p->present && !p->encapsulated && !o.header.truncated_pixels);
        TAP_EQ_INT(p->offset_bytes, base);
        TAP_EQ_INT(p->length_bytes, rows[i].length);
        TAP_EQ_STR(dl_str_of(frame_text(p, 1, base, o.arena)), rows[i].first);
        TAP_EQ_STR(dl_str_of(frame_text(p, 2, base, o.arena)), rows[i].second);
        TAP_EQ_STR(dl_str_of(frame_text(p, 3, base, o.arena)), rows[i].third);
        TAP_EQ_STR(dl_str_of(frame_text(p, 0, base, o.arena)), "not_found");
        check_round_trip(&o, base);
        TAP_ROW_END(rows[i].name);
    }
}

TAP_CASE(half_chroma)
{
    build b = build_begin(UID_EXPLICIT);
    put_us(&b, 0x00280002, 3);
    PUT(&b, 0x00280004, "CS", "YBR_FULL_422");
    PUT(&b, 0x00280008, "IS", "2 ");
    put_us(&b, 0x00280010, 2);
    put_us(&b, 0x00280011, 4);
    put_us(&b, 0x00280100, 8);
    put_head(&b, 0x7fe00010, "OW", 32);
    size_t base = b.len;
    put_bytes(&b, "0123456789abcdef0123456789abcdef", 32);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(dl_str_of(frame_text(&o.header.pixels, 2, base, o.arena)), "16+16");
    check_round_trip(&o, base);
}

TAP_CASE(float_and_double_pixels)
{
    for (uint32_t tag = 0x7fe00008; tag <= 0x7fe00009; tag++) {
        build b = build_begin(UID_EXPLICIT);
        put_image(&b, NULL, 1, 1, tag == 0x7fe00008 ? 32 : 64);
        put_value(&b, tag, tag == 0x7fe00008 ? "OF" : "OD", "01234567", 8);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.pixels.present && o.header.pixels.indexed);
        TAP_EQ_INT(o.header.pixels.tag, tag);
    }
}

TAP_CASE(no_pixels)
{
    build b = build_begin(UID_EXPLICIT);
    put_image(&b, "2 ", 1, 1, 8);
    PUT(&b, 0x7fe00010, "OB", "");
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_TRUE(!o.header.pixels.present);
    TAP_EQ_STR(dl_str_of(frame_text(&o.header.pixels, 1, 0, o.arena)), "not_found");
    DL_AUTO_BUF bytes = {0};
    dl_dicom_header back = {0};
    TAP_STATUS(dl_dicom_pixels_encode(&o.header, &bytes, NULL), DL_OK);
    TAP_EQ_INT(bytes.len, 0);
    TAP_STATUS(dl_dicom_pixels_decode((dl_bytes){NULL, 0}, o.arena, &back, NULL), DL_OK);
    TAP_TRUE(!back.pixels.present);
}

/* Fragments; an offset table of up to three offsets, 8 bytes each when extended. */
typedef struct encapsulated {
    const char *name, *uid, *frames;
    const char *fragments[5];
    int table[3]; /* -1: no more */
    bool extended;
    const char *want[4]; /* of frames 1, 2, … */
} encapsulated;

#define END "\xff\xd9"
static const encapsulated rows[] = {
    /* clang-format off */
    {"one frame of all fragments", UID_JPEG, NULL, {"abcd", "efgh"}, {-1}, false, {"8+4 20+4", "not_found"}},
    {"one fragment each",   UID_RLE,  "3", {"abcd", "ef", "ghijkl"}, {-1}, false, {"8+4", "20+2", "30+6", "not_found"}},
    {"basic offset table",  UID_RLE,  "2", {"abcd", "ef", "ghijkl"}, {0, 22, -1}, false, {"8+4 20+2", "30+6", "not_found"}},
    {"table of all fragments", UID_JPEG, "3", {"abcd", "ef", "gh"}, {0, 12, 22}, false, {"8+4", "20+2", "30+2"}},
    {"extended table",      UID_JPEG, "2", {"abcd", "ef", "ghijkl"}, {0, 12, -1}, true, {"8+4", "20+2 30+6", "not_found"}},
    {"table that lies, one each", UID_JPEG, "2", {"abcd", "ef"}, {0, 13, -1}, false, {"8+4", "20+2", "not_found"}},
    {"table that falls",    UID_JPEG, "3", {"abcd", "ef"}, {0, 12, 0}, false, {"unsupported", "unsupported", "unsupported"}},
    {"end markers",         UID_JPEG, "2", {"ab", "cd" END, "ef" END "0"}, {-1}, false, {"8+2 18+4", "30+5", "not_found"}},
    {"end markers, table of zeros", UID_JPEG, "2", {"ab", "cd" END, "ef" END}, {0, 0, -1}, false, {"8+2 18+4", "30+4", "not_found"}},
    {"end markers, table of one", UID_JPEG, "2", {"ab", "cd" END, "ef" END}, {0, -1}, false, {"8+2 18+4", "30+4", "not_found"}},
    {"end markers, extended table that lies", UID_JPEG, "2", {"ab", "cd" END, "ef" END}, {0, 7, -1}, true, {"8+2 18+4", "30+4", "not_found"}},
    {"end markers, table right", UID_JPEG, "2", {"a" END, "cd" END, "ef" END}, {0, 11, -1}, false, {"8+3", "19+4 31+4", "not_found"}},
    {"end markers, the last frame without", UID_JPEG, "2", {"ab", "cd" END, "ef", "gh"}, {-1}, false, {"8+2 18+4", "30+2 40+2", "not_found"}},
    {"end markers, none", UID_JPEG, "2", {"ab", "cd", "ef"}, {-1}, false, {"unsupported", "unsupported", "not_found"}},
    {"end markers, too many", UID_JPEG, "2", {"a" END, "c" END, "ef", "g" END}, {-1}, false, {"unsupported", "unsupported", "not_found"}},
    {"end markers, last without", UID_JPEG, "2", {"a" END, "c" END, "ef"}, {-1}, false, {"unsupported", "unsupported", "not_found"}},
    {"markers mean nothing in RLE", UID_RLE, "2", {"ab", "cd" END, "ef" END}, {-1}, false, {"unsupported", "unsupported", "not_found"}},
    {"video",               UID_MPEG4, "2", {"ab", "cd"}, {-1}, false, {"unsupported", "unsupported", "not_found"}},
    {"no fragments",        UID_JPEG, NULL, {NULL}, {-1}, false, {"unsupported", "not_found"}},
    {"short fragments",     UID_JPEG, "2", {"", "d", END}, {-1}, false, {"unsupported", "unsupported", "not_found"}},
    /* clang-format on */
};

static size_t put_encapsulated(build *b, const encapsulated *row)
{
    uint32_t count = 0;
    while (count < 3 && row->table[count] >= 0) {
        count++;
    }
    if (row->extended) {
        put_head(b, 0x7fe00001, "OV", count * 8);
        for (uint32_t i = 0; i < count; i++) {
            put_u64(b, (uint64_t)row->table[i]);
        }
    }
    put_head(b, 0x7fe00010, "OB", LENGTH_UNDEFINED);
    put_item(b, 0xe000, row->extended ? 0 : count * 4);
    for (uint32_t i = 0; i < count && !row->extended; i++) {
        put_u32(b, (uint32_t)row->table[i]);
    }
    size_t base = b->len;
    for (size_t i = 0; i < DL_COUNT_OF(row->fragments) && row->fragments[i] != NULL; i++) {
        size_t len = strlen(row->fragments[i]);
        put_item(b, 0xe000, (uint32_t)len);
        put_bytes(b, row->fragments[i], len);
    }
    put_item(b, 0xe0dd, 0);
    return base;
}

static void test_encapsulated(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        build b = build_begin(rows[i].uid);
        put_image(&b, rows[i].frames, 2, 2, 8);
        size_t base = put_encapsulated(&b, &rows[i]);
        PUT(&b, 0xfffafffa, "SQ", "");
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.pixels.present && o.header.pixels.encapsulated);
        TAP_TRUE(dl_str_ends(o.json, DL_STR(",\"FFFAFFFA\":{\"vr\":\"SQ\"}}")));
        for (uint32_t n = 0; n < 4 && rows[i].want[n] != NULL; n++) {
            TAP_EQ_STR(dl_str_of(frame_text(&o.header.pixels, n + 1, base, o.arena)),
                       rows[i].want[n]);
        }
        check_round_trip(&o, base);
        TAP_ROW_END(rows[i].name);
    }
}

/** From the first byte of the pixel data on, a cut file keeps its header. */
TAP_CASE(cut_in_the_pixels)
{
    build b = build_begin(UID_JPEG);
    put_image(&b, "2", 2, 2, 8);
    size_t head = b.len;
    (void)put_encapsulated(&b, &rows[1]);
    PUT(&b, 0xfffcfffc, "OB", "\0\0");
    for (size_t len = head + 12; len < b.len; len++) {
        build cut = b;
        cut.len = len;
        OUTCOME o = read_built(&cut, NULL);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.truncated_pixels == (len != b.len - 14));
        TAP_TRUE(o.header.pixels.present);
        TAP_EQ_INT(o.header.pixels.rows, 2);
        for (size_t i = 0; i < o.header.pixels.fragment_count; i++) {
            const dl_dicom_fragment *f = &o.header.pixels.fragments[i];
            TAP_TRUE(f->offset_bytes + f->length_bytes <= len);
        }
    }
    b = build_begin(UID_EXPLICIT);
    put_image(&b, "2", 2, 2, 8);
    put_head(&b, 0x7fe00010, "OW", 8);
    put_bytes(&b, "abcdef", 6);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_TRUE(o.header.truncated_pixels);
    TAP_EQ_INT(o.header.pixels.length_bytes, 6);
    TAP_EQ_STR(dl_str_of(frame_text(&o.header.pixels, 2, 0, o.arena)), "invalid");
}

/** A file on disk: read and skipped with pread, the pixel data never touched. */
/** What a cut file has of its last frame is not a frame whose end marker was left out. */
TAP_CASE(cut_in_a_frame_without_end_marker)
{
    static const encapsulated row = {.fragments = {"ab", "cd" END, "ef", "gh"}, .table = {-1}};
    build b = build_begin(UID_JPEG);
    put_image(&b, "2", 2, 2, 8);
    (void)put_encapsulated(&b, &row);
    for (size_t missing = 0; missing < 12; missing += 4) {
        build cut = b;
        cut.len -= missing;
        OUTCOME o = read_built(&cut, NULL);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.pixels.indexed == (missing == 0));
    }
}

TAP_CASE(a_file_is_skipped_not_read)
{
    build b = build_begin(UID_EXPLICIT);
    put_image(&b, NULL, 1000, 1000, 8);
    put_head(&b, 0x7fe00010, "OW", 1000000);
    char path[] = "/tmp/dl-test-XXXXXX";
    int fd = mkstemp(path);
    TAP_TRUE(fd >= 0);
    (void)unlink(path);
    TAP_TRUE(pwrite(fd, b.bytes, b.len, 0) == (ssize_t)b.len);
    TAP_TRUE(ftruncate(fd, (off_t)b.len + 1000000) == 0);
    for (uint64_t missing = 0; missing < 2; missing++) {
        dl_dicom_file file = {.fd = fd, .size = b.len + 1000000 - missing};
        dl_dicom_source source = dl_dicom_source_file(&file);
        DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
        dl_dicom_header header;
        dl_error err = {0};
        TAP_OK(dl_dicom_read(reader, &source, arena, NULL, &header, &err), err);
        TAP_EQ_INT(header.truncated_pixels, missing);
        TAP_EQ_INT(header.pixels.offset_bytes, b.len);
        TAP_EQ_INT(header.pixels.length_bytes, 1000000 - missing);
    }
    (void)close(fd);
}

typedef struct sink {
    char bytes[64];
    size_t len;
} sink;

static dl_status take(void *context, dl_bytes part, dl_error *err)
{
    sink *s = context;
    if (part.len > sizeof s->bytes - s->len) {
        return dl_error_set(err, DL_E_LIMIT, "too much");
    }
    memcpy(s->bytes + s->len, part.ptr, part.len);
    s->len += part.len;
    return DL_OK;
}

TAP_CASE(ranges_of_deflated_files)
{
    build b = build_begin(UID_DEFLATED);
    size_t start = b.len;
    put_image(&b, "2", 2, 2, 8);
    PUT(&b, 0x7fe00010, "OB", "abcdefgh");
    build_deflate(&b, start);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    dl_dicom_fragment *pieces = NULL;
    size_t count = 0;
    TAP_OK(dl_dicom_frame(&o.header.pixels, 2, o.arena, &pieces, &count, &o.err), o.err);
    dl_dicom_memory memory = {.bytes = {(const uint8_t *)b.bytes, b.len}};
    dl_dicom_source source = dl_dicom_source_memory(&memory);
    sink s = {.len = 0};
    TAP_OK(dl_dicom_inflate_range(&source, pieces[0].offset_bytes, pieces[0].length_bytes, take, &s,
                                  &o.err),
           o.err);
    TAP_EQ_STR(((dl_str){s.bytes, s.len}), "efgh");
    check_round_trip(&o, o.header.pixels.offset_bytes);
    /* Past the end; before the data set; a sink that refuses. */
    memory.at = 0;
    TAP_STATUS(dl_dicom_inflate_range(&source, pieces[0].offset_bytes, 5, take, &s, &o.err),
               DL_E_INVALID);
    memory.at = 0;
    TAP_STATUS(dl_dicom_inflate_range(&source, 100, 5, take, &s, &o.err), DL_E_INVALID);
    memory.at = 0;
    s.len = sizeof s.bytes;
    TAP_STATUS(dl_dicom_inflate_range(&source, start, 5, take, &s, &o.err), DL_E_LIMIT);
    b = build_begin(UID_EXPLICIT);
    memory = (dl_dicom_memory){.bytes = {(const uint8_t *)b.bytes, b.len}};
    TAP_STATUS(dl_dicom_inflate_range(&source, start, 5, take, &s, &o.err), DL_E_INVALID);
}

int main(void)
{
    test_native();
    TAP_RUN(half_chroma);
    TAP_RUN(float_and_double_pixels);
    TAP_RUN(no_pixels);
    test_encapsulated();
    TAP_RUN(cut_in_the_pixels);
    TAP_RUN(cut_in_a_frame_without_end_marker);
    TAP_RUN(a_file_is_skipped_not_read);
    TAP_RUN(ranges_of_deflated_files);
    return tap_done();
}
