#include "build.h"

#include <zlib.h>

enum { BYTES_MAX = 8 << 20, LONG_VRS = 13 };

static char storage[BYTES_MAX];
static char inflated[BYTES_MAX];

void put_bytes(build *b, const void *bytes, size_t len)
{
    DL_ASSERT(len <= BYTES_MAX - b->len);
    if (len > 0) {
        memcpy(b->bytes + b->len, bytes, len);
    }
    b->len += len;
}

static void put_number(build *b, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[b->big ? size - 1 - i : i] = (uint8_t)(value >> (8 * i));
    }
    put_bytes(b, bytes, size);
}

void put_u16(build *b, uint32_t value)
{
    put_number(b, value, 2);
}

void put_u32(build *b, uint32_t value)
{
    put_number(b, value, 4);
}

void put_u64(build *b, uint64_t value)
{
    put_number(b, value, 8);
}

static bool is_long(const char *vr)
{
    static const char *const names[LONG_VRS] = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                                "SV", "UC", "UN", "UR", "UT", "UV"};
    for (size_t i = 0; i < LONG_VRS; i++) {
        if (strcmp(names[i], vr) == 0) {
            return true;
        }
    }
    return vr[0] == 'Z'; /* a VR of the future */
}

void put_head(build *b, uint32_t tag, const char *vr, uint32_t length)
{
    put_u16(b, tag >> 16);
    put_u16(b, tag & 0xffff);
    if (b->implicit) {
        put_u32(b, length);
        return;
    }
    put_bytes(b, vr, 2);
    if (is_long(vr)) {
        put_bytes(b, "\0", 2);
        put_u32(b, length);
    } else {
        put_u16(b, length);
    }
}

void put_value(build *b, uint32_t tag, const char *vr, const void *bytes, size_t len)
{
    put_head(b, tag, vr, (uint32_t)len);
    put_bytes(b, bytes, len);
}

void put_us(build *b, uint32_t tag, uint32_t value)
{
    put_head(b, tag, "US", 2);
    put_u16(b, value);
}

void put_item(build *b, uint32_t number, uint32_t length)
{
    put_u16(b, 0xfffe);
    put_u16(b, number);
    put_u32(b, length);
}

build build_bare(bool implicit, bool big)
{
    return (build){.bytes = storage, .implicit = implicit, .big = big};
}

build build_begin(const char *syntax)
{
    build b = build_bare(false, false);
    memset(storage, 0, 128);
    b.len = 128;
    put_bytes(&b, "DICM", 4);
    put_value(&b, 0x00020010, "UI", syntax, strlen(syntax));
    b.implicit = strcmp(syntax, UID_IMPLICIT) == 0;
    b.big = strcmp(syntax, UID_BIG) == 0;
    return b;
}

void build_deflate(build *b, size_t start)
{
    z_stream z = {0};
    DL_ASSERT(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    memcpy(inflated, b->bytes + start, b->len - start);
    z.next_in = (Bytef *)inflated;
    z.avail_in = (uInt)(b->len - start);
    z.next_out = (Bytef *)b->bytes + start;
    z.avail_out = (uInt)(BYTES_MAX - start);
    DL_ASSERT(deflate(&z, Z_FINISH) == Z_STREAM_END);
    b->len = start + z.total_out;
    (void)deflateEnd(&z);
}

void outcome_clear(outcome *o)
{
    dl_buf_clear(&o->buf);
    dl_arena_destroy(o->arena);
}

outcome read_built(const build *b, const dl_dicom_options *options)
{
    outcome o = {.arena = dl_arena_create(64 << 20), .header.pixels.frame_count = UNTOUCHED};
    dl_buf_init(&o.buf, 64 << 20);
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(options);
    dl_dicom_memory memory = {.bytes = {(const uint8_t *)b->bytes, b->len}};
    dl_dicom_source source = dl_dicom_source_memory(&memory);
    o.status = dl_dicom_read(reader, &source, o.arena, &o.buf, &o.header, &o.err);
    o.json = dl_buf_str(&o.buf);
    return o;
}

dl_str list_findings(const dl_dicom_header *header)
{
    static char text[16384];
    size_t len = 0;
    for (size_t i = 0; i < header->finding_count && len < sizeof text - 1; i++) {
        const dl_dicom_finding *f = &header->findings[i];
        int n = snprintf(text + len, sizeof text - len, "%08X %u %.*s\n", f->tag, f->depth,
                         DL_STR_ARG(f->reason.value));
        len += (size_t)n;
    }
    return (dl_str){text, len < sizeof text ? len : sizeof text - 1};
}
