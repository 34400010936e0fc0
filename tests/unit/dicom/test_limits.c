#include "build.h"

#include "base/mem.h"

/* Every bound at its value and one past it; every allocation failing once. */

static build deep(size_t depth, bool defined)
{
    build b = build_begin(UID_EXPLICIT);
    for (size_t i = 0; i < depth; i++) {
        uint32_t left = (uint32_t)((depth - 1 - i) * 20);
        put_head(&b, 0x00081115, "SQ", defined ? left + 8 : LENGTH_UNDEFINED);
        put_item(&b, 0xe000, defined ? left : LENGTH_UNDEFINED);
    }
    for (size_t i = 0; i < depth && !defined; i++) {
        put_item(&b, 0xe00d, 0);
        put_item(&b, 0xe0dd, 0);
    }
    return b;
}

TAP_CASE(depth)
{
    for (int defined = 0; defined < 2; defined++) {
        build b = deep(DL_DICOM_DEPTH_LIMIT, defined != 0);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        b = deep(DL_DICOM_DEPTH_LIMIT + 1, defined != 0);
        EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "element 00081115: sequences nested deeper than 64");
        b = deep(10000, defined != 0);
        EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "nested deeper");
        dl_dicom_options options = {.depth_limit = 10000};
        OUTCOME p = read_built(&b, &options);
        TAP_OK(p.status, p.err);
    }
}

TAP_CASE(value_length)
{
    static char text[DL_DICOM_VALUE_LIMIT_BYTES + 2];
    memset(text, 'x', sizeof text);
    build b = build_begin(UID_EXPLICIT);
    put_value(&b, 0x00104000, "UT", text, DL_DICOM_VALUE_LIMIT_BYTES);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_TRUE(o.json.len > DL_DICOM_VALUE_LIMIT_BYTES);
    TAP_EQ_INT(o.header.finding_count, 0);
    b = build_begin(UID_EXPLICIT);
    put_value(&b, 0x00104000, "UT", text, DL_DICOM_VALUE_LIMIT_BYTES + 1);
    PUT(&b, 0x0020000e, "UI", "1.2\0");
    OUTCOME p = read_built(&b, NULL);
    TAP_OK(p.status, p.err);
    TAP_EQ_STR(p.json, "{\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}");
    TAP_EQ_STR(list_findings(&p.header),
               "00104000 0 UT: 1048577 bytes, longer than the limit of 1048576\n");
}

TAP_CASE(a_core_value_beyond_the_limit_is_seen)
{
    static char text[1000];
    memset(text, '1', sizeof text);
    text[0] = (char)0xe9;
    build b = build_begin(UID_EXPLICIT);
    put_value(&b, 0x00080018, "UI", text, sizeof text);
    dl_dicom_options options = {.value_limit_bytes = 999};
    OUTCOME o = read_built(&b, &options);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(o.json, "{}");
    TAP_TRUE(o.header.core[DL_DICOM_SOP_INSTANCE_UID].present);
    TAP_TRUE(o.header.core[DL_DICOM_SOP_INSTANCE_UID].first.len > 64);
    TAP_TRUE(dl_str_is_utf8(o.header.core[DL_DICOM_SOP_INSTANCE_UID].first));
}

static build sample(void)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "\\ISO 2022 IR 87");
    PUT(&b, 0x00080020, "DA", "x");
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    PUT(&b, 0x00081155, "UI", "1.2\0");
    PUT(&b, 0x00081150, "UI", "1.02\\\"\t");
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe0dd, 0);
    PUT(&b, 0x00100010, "PN", "\x1b$B;3ED\x1b(B\\b\\\\=c");
    PUT(&b, 0x00100020, "LO", "ID");
    PUT(&b, 0x00101030, "DS", ".5\\+7\\x");
    PUT(&b, 0x00189313, "FD", "\0\0\0\0\0\0\xf0\x3f");
    PUT(&b, 0x00280008, "IS", "2 ");
    put_head(&b, 0x7fe00010, "OB", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, 0);
    for (int i = 0; i < 2; i++) {
        put_item(&b, 0xe000, 2);
        put_bytes(&b, "ab", 2);
    }
    put_item(&b, 0xe0dd, 0);
    return b;
}

/** At the exact length of the JSON it fits, by the option and by the buffer; one byte less not. */
TAP_CASE(json_length)
{
    build b = sample();
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    for (size_t limit = 1; limit <= o.json.len; limit++) {
        dl_dicom_options options = {.json_limit_bytes = limit};
        OUTCOME p = read_built(&b, &options);
        TAP_STATUS(p.status, limit == o.json.len ? DL_OK : DL_E_LIMIT);

        DL_AUTO_BUF tight = {0};
        dl_buf_init(&tight, limit);
        DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
        dl_dicom_memory memory = {.bytes = {(const uint8_t *)b.bytes, b.len}};
        dl_dicom_source source = dl_dicom_source_memory(&memory);
        dl_dicom_header header;
        dl_error err = {0};
        dl_status status = dl_dicom_read(reader, &source, arena, &tight, &header, &err);
        TAP_STATUS(status, limit == o.json.len ? DL_OK : DL_E_LIMIT);
        if (status == DL_OK) {
            TAP_TRUE(dl_str_eq(dl_buf_str(&tight), o.json));
        } else {
            TAP_EQ_INT(tight.len, 0);
        }
    }
}

TAP_CASE(findings)
{
    build b = build_begin(UID_EXPLICIT);
    for (uint32_t i = 0; i < DL_DICOM_FINDING_LIMIT + 5; i++) {
        PUT(&b, 0x00091000 + i, "DA", "x");
    }
    dl_dicom_options options = {.validate = true};
    OUTCOME o = read_built(&b, &options);
    TAP_OK(o.status, o.err);
    TAP_EQ_INT(o.header.finding_count, DL_DICOM_FINDING_LIMIT);
    TAP_EQ_STR(o.json, "{}");
    options.finding_limit = 3;
    OUTCOME p = read_built(&b, &options);
    TAP_EQ_INT(p.header.finding_count, 3);
    TAP_EQ_STR(p.json, "{}");
}

static bool keeps(uint32_t tag)
{
    return tag >= 0x00100000;
}

TAP_CASE(kept_findings)
{
    const size_t limit = 3, all = limit + DL_DICOM_KEPT_LIMIT;
    build b = build_begin(UID_EXPLICIT);
    for (uint32_t i = 0; i < 5; i++) {
        PUT(&b, 0x00091000 + i, "DA", "x");
    }
    for (uint32_t i = 0; i < DL_DICOM_KEPT_LIMIT + 2; i++) {
        PUT(&b, 0x00111000 + i, "DA", "x");
    }
    dl_dicom_options options = {.validate = true, .finding_limit = limit, .keeps = keeps};
    OUTCOME o = read_built(&b, &options);
    TAP_OK(o.status, o.err);
    TAP_EQ_INT(o.header.finding_count, all);
    TAP_EQ_INT(o.header.findings[limit - 1].tag, 0x00091002);
    TAP_EQ_INT(o.header.findings[limit].tag, 0x00111000);
    TAP_EQ_STR(o.json, "{}");
}

TAP_CASE(fragments)
{
    for (size_t limit = 1; limit <= 2; limit++) {
        build b = sample();
        dl_dicom_options options = {.fragment_limit = limit};
        OUTCOME o = read_built(&b, &options);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.pixels.present && o.header.pixels.encapsulated);
        TAP_EQ_INT(o.header.pixels.indexed, limit == 2);
        TAP_EQ_INT(o.header.pixels.fragment_count, limit == 2 ? 2 : 0);
    }
}

/** A short stream of very many bytes: as long as the limit it is fine, one byte longer not. */
TAP_CASE(inflating)
{
    static char zeros[3000000];
    build b = build_begin(UID_DEFLATED);
    size_t start = b.len;
    put_value(&b, 0x00091001, "OB", zeros, sizeof zeros);
    size_t length = b.len - start;
    build_deflate(&b, start);
    TAP_TRUE(b.len < 10000);
    dl_dicom_options options = {.inflate_limit_bytes = length};
    OUTCOME o = read_built(&b, &options);
    TAP_OK(o.status, o.err);
    options.inflate_limit_bytes = length - 1;
    EXPECT_FAILURE(&b, &options, DL_E_LIMIT, "inflates beyond 3000011 bytes");
}

/** Offset tables beyond the limit are not kept; the frames are then found in another way. */
TAP_CASE(offset_tables)
{
    static char table[8 * 3];
    build b = build_begin("1.2.840.10008.1.2.5");
    PUT(&b, 0x00280008, "IS", "2 ");
    put_value(&b, 0x7fe00001, "OV", table, sizeof table);
    put_head(&b, 0x7fe00010, "OB", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, 12);
    put_bytes(&b, table, 12);
    for (int i = 0; i < 2; i++) {
        put_item(&b, 0xe000, 2);
        put_bytes(&b, "ab", 2);
    }
    put_item(&b, 0xe0dd, 0);
    for (size_t limit = 2; limit <= 3; limit++) {
        dl_dicom_options options = {.fragment_limit = limit};
        OUTCOME o = read_built(&b, &options);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.pixels.indexed);
    }
}

/** Offset tables are no values that are emitted: their bound is that of the fragments alone. */
TAP_CASE(offset_tables_longer_than_a_value)
{
    enum { FRAMES = 20000 }; /* either table is longer than the window and the value limit */
    for (int extended = 0; extended < 2; extended++) {
        build b = build_begin(UID_RLE);
        PUT(&b, 0x00280008, "IS", "20000 ");
        if (extended != 0) {
            put_head(&b, 0x7fe00001, "OV", 8 * FRAMES);
            for (uint64_t i = 0; i < FRAMES; i++) {
                put_u64(&b, i * 10 + (i > 0 ? 10 : 0));
            }
        }
        put_head(&b, 0x7fe00010, "OB", LENGTH_UNDEFINED);
        put_item(&b, 0xe000, extended != 0 ? 0 : 4 * FRAMES);
        for (uint32_t i = 0; i < FRAMES && extended == 0; i++) {
            put_u32(&b, i * 10 + (i > 0 ? 10 : 0));
        }
        for (int i = 0; i <= FRAMES; i++) { /* the first frame has two */
            put_item(&b, 0xe000, 2);
            put_bytes(&b, "ab", 2);
        }
        put_item(&b, 0xe0dd, 0);
        dl_dicom_options options = {.value_limit_bytes = 8};
        OUTCOME o = read_built(&b, &options);
        TAP_OK(o.status, o.err);
        const uint32_t *starts = o.header.pixels.frame_starts;
        TAP_TRUE(o.header.pixels.indexed && starts[1] == 2 && starts[FRAMES] == FRAMES + 1);
    }
}

TAP_CASE(a_limit_beyond_any_value)
{
    dl_dicom_options options = {.value_limit_bytes = SIZE_MAX};
    build b = sample();
    OUTCOME o = read_built(&b, &options);
    TAP_OK(o.status, o.err);
    options = (dl_dicom_options){.depth_limit = SIZE_MAX};
    TAP_TRUE(dl_dicom_reader_create(&options) == NULL);
}

TAP_CASE(a_full_arena_is_an_error)
{
    build b = sample();
    dl_dicom_options options = {.validate = true};
    for (size_t limit = 0; limit < 4000; limit += 7) {
        DL_AUTO_BUF json = {0};
        dl_buf_init(&json, 1 << 20);
        DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(&options);
        DL_AUTO(dl_arena) arena = dl_arena_create(limit);
        dl_dicom_memory memory = {.bytes = {(const uint8_t *)b.bytes, b.len}};
        dl_dicom_source source = dl_dicom_source_memory(&memory);
        dl_dicom_header header;
        dl_error err = {0};
        dl_status status = dl_dicom_read(reader, &source, arena, &json, &header, &err);
        TAP_TRUE(status == DL_OK || status == DL_E_LIMIT);
        TAP_TRUE((status == DL_OK) == (json.len > 0));
    }
}

/** One whole life with the n-th allocation failing. */
static dl_status live(const build *b, int64_t fail_after)
{
    dl_dicom_options options = {.validate = true};
    dl_dicom_header header;
    dl_error err = {0};
    dl_mem_fail_after(fail_after);
    DL_AUTO_BUF json = {0};
    DL_AUTO_BUF bytes = {0};
    dl_buf_init(&json, 1 << 20);
    dl_buf_init(&bytes, 1 << 20);
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(&options);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    if (reader == NULL || arena == NULL) {
        return DL_E_NOMEM;
    }
    dl_dicom_memory memory = {.bytes = {(const uint8_t *)b->bytes, b->len}};
    dl_dicom_source source = dl_dicom_source_memory(&memory);
    dl_status status = dl_dicom_read(reader, &source, arena, &json, &header, &err);
    TAP_TRUE((status == DL_OK) == (err.message[0] == '\0'));
    TAP_TRUE(status == DL_OK || json.len == 0);
    if (status != DL_OK) {
        /* The reader still works. */
        dl_mem_fail_after(-1);
        DL_AUTO(dl_arena) again = dl_arena_create(1 << 20);
        memory.at = 0;
        TAP_STATUS(dl_dicom_read(reader, &source, again, &json, &header, &err), DL_OK);
        return status;
    }
    return dl_dicom_pixels_encode(&header, &bytes, &err);
}

static void torture(const build *b)
{
    int64_t n = 0;
    for (; n < 1000; n++) {
        dl_status status = live(b, n);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT);
    }
    TAP_TRUE(n > 5 && n < 1000);
}

TAP_CASE(memory_runs_out)
{
    build b = sample();
    torture(&b);
    b = build_begin(UID_DEFLATED);
    size_t start = b.len;
    static char text[100000];
    PUT(&b, 0x00100020, "LO", "ID");
    PUT(&b, 0x00080020, "DA", "20200101");
    put_value(&b, 0x00104000, "UT", text, sizeof text);
    build_deflate(&b, start);
    torture(&b);
}

int main(void)
{
    TAP_RUN(depth);
    TAP_RUN(value_length);
    TAP_RUN(a_core_value_beyond_the_limit_is_seen);
    TAP_RUN(json_length);
    TAP_RUN(findings);
    TAP_RUN(kept_findings);
    TAP_RUN(fragments);
    TAP_RUN(inflating);
    TAP_RUN(offset_tables);
    TAP_RUN(offset_tables_longer_than_a_value);
    TAP_RUN(a_limit_beyond_any_value);
    TAP_RUN(a_full_arena_is_an_error);
    TAP_RUN(memory_runs_out);
    return tap_done();
}
