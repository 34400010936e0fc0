/*
 * The DICOM reader on any bytes: with and without validation, without JSON, through small reads;
 * every frame; the frame index to bytes and back; ranges of deflated data.
 */
#include "base/mem.h"
#include "dicom/dicom.h"
#include "json/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 32 << 20, FRAMES_TRIED = 64 };

/** A source that gives a few bytes at a time and cannot skip. */
typedef struct trickle {
    dl_dicom_memory memory;
    dl_dicom_source inner;
} trickle;

static dl_status trickle_read(void *context, void *out, size_t want, size_t *out_got, dl_error *err)
{
    trickle *t = context;
    return t->inner.read(&t->memory, out, want, out_got, err);
}

static void check_frames(const dl_dicom_header *header, dl_arena *arena)
{
    const dl_dicom_pixels *p = &header->pixels;
    for (uint32_t number = 0; number <= p->frame_count && number <= FRAMES_TRIED; number++) {
        dl_dicom_fragment *pieces = NULL;
        size_t count = 0;
        if (dl_dicom_frame(p, number, arena, &pieces, &count, NULL) == DL_OK) {
            for (size_t i = 0; i < count; i++) {
                DL_ASSERT(pieces[i].offset_bytes <= UINT64_MAX - pieces[i].length_bytes);
            }
        }
    }
}

static void check_index(const dl_dicom_header *header, dl_arena *arena)
{
    DL_AUTO_BUF first = {0};
    DL_AUTO_BUF second = {0};
    dl_buf_init(&first, ARENA_BYTES);
    dl_buf_init(&second, ARENA_BYTES);
    dl_dicom_header back;
    dl_error err = {0};
    DL_ASSERT(dl_dicom_pixels_encode(header, &first, &err) == DL_OK);
    dl_bytes bytes = {(const uint8_t *)first.ptr, first.len};
    DL_ASSERT(dl_dicom_pixels_decode(bytes, arena, &back, &err) == DL_OK);
    DL_ASSERT(dl_dicom_pixels_encode(&back, &second, &err) == DL_OK);
    DL_ASSERT(dl_str_eq(dl_buf_str(&first), dl_buf_str(&second)));
}

static dl_status drop(void *context, dl_bytes part, dl_error *err)
{
    (void)err;
    *(size_t *)context += part.len;
    return DL_OK;
}

static dl_status read_once(const dl_dicom_options *options, const dl_dicom_source *source,
                           dl_buf *json, dl_arena *arena, dl_dicom_header *out_header)
{
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(options);
    dl_error err = {0};
    return dl_dicom_read(reader, source, arena, json, out_header, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dl_bytes bytes = {data, size};
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    DL_AUTO_BUF plain = {0};
    DL_AUTO_BUF slow = {0};
    dl_buf_init(&plain, 16 << 20);
    dl_buf_init(&slow, 16 << 20);
    dl_dicom_header header;

    dl_dicom_memory memory = {.bytes = bytes};
    dl_dicom_source source = dl_dicom_source_memory(&memory);
    /* Each sequence is three levels of JSON: within what dl_json_check takes. */
    dl_dicom_options options = {.fragment_limit = 1000};
    dl_status status = read_once(&options, &source, &plain, arena, &header);
    if (status == DL_OK) {
        check_frames(&header, arena);
        check_index(&header, arena);
        DL_ASSERT(plain.len >= 2 && plain.ptr[0] == '{' && plain.ptr[plain.len - 1] == '}');
        DL_ASSERT(dl_str_is_utf8(dl_buf_str(&plain)));
        dl_error err = {0};
        DL_ASSERT(dl_json_check(dl_buf_str(&plain), &err) == DL_OK);
    } else {
        DL_ASSERT(plain.len == 0);
    }

    /* The same bytes without skipping give the same JSON. */
    trickle t = {.memory = {.bytes = bytes}, .inner = source};
    dl_dicom_source trickling = {.read = trickle_read, .context = &t};
    dl_dicom_header again;
    DL_ASSERT(read_once(&options, &trickling, &slow, arena, &again) == status);
    DL_ASSERT(dl_str_eq(dl_buf_str(&plain), dl_buf_str(&slow)));

    /* Small limits, validation, and no JSON. */
    dl_dicom_options tight = {.validate = true,
                              .value_limit_bytes = 40,
                              .depth_limit = 3,
                              .finding_limit = 2,
                              .fragment_limit = 2,
                              .json_limit_bytes = 2000};
    memory.at = 0;
    dl_buf_reset(&slow);
    (void)read_once(&tight, &source, &slow, arena, &header);
    memory.at = 0;
    options.validate = true;
    dl_status silent = read_once(&options, &source, NULL, arena, &header);
    memory.at = 0;
    dl_buf_reset(&slow);
    DL_ASSERT(read_once(&options, &source, &slow, arena, &again) == silent ||
              silent == DL_E_LIMIT || slow.len == 0);

    memory.at = 0;
    size_t got = 0;
    dl_status any = dl_dicom_inflate_range(&source, 200, 100, drop, &got, NULL);
    any = dl_dicom_pixels_decode(bytes, arena, &header, NULL);
    (void)any; /* either may fail, neither may fall */
    return 0;
}
