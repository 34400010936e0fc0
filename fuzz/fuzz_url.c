/* Query strings, media types and Accept headers from anywhere. */
#include "http/media.h"
#include "http/url.h"

#include <string.h>

enum { MEMORY_LIMIT_BYTES = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What decodes, encodes and decodes to the same. */
static void code_and_back(dl_str text, dl_arena *arena)
{
    DL_AUTO_BUF encoded = {0};
    dl_str plain = DL_STR_NONE, back = DL_STR_NONE;
    dl_buf_init(&encoded, MEMORY_LIMIT_BYTES);
    for (int plus = 0; plus < 2; plus++) {
        if (dl_url_decode(text, plus == 1, arena, &plain, NULL) != DL_OK) {
            continue;
        }
        DL_ASSERT(dl_str_is_utf8(plain) && plain.len <= text.len);
        dl_buf_reset(&encoded);
        DL_ASSERT(dl_url_encode(plain, &encoded, NULL) == DL_OK);
        DL_ASSERT(dl_url_decode(dl_buf_str(&encoded), plus == 1, arena, &back, NULL) == DL_OK);
        DL_ASSERT(dl_str_eq(plain, back));
    }
}

static void read_query(dl_str text, dl_arena *arena)
{
    dl_url_param *params = NULL;
    size_t count = 0;
    if (dl_url_query_parse(text, arena, &params, &count, NULL) != DL_OK) {
        return;
    }
    DL_ASSERT(count <= DL_URL_PARAM_LIMIT);
    for (size_t i = 0; i < count; i++) {
        DL_ASSERT(params[i].has_value || params[i].value.len == 0);
        DL_ASSERT(dl_str_is_utf8(params[i].name) && dl_str_is_utf8(params[i].value));
        DL_ASSERT(memchr(params[i].name.ptr, '\0', params[i].name.len) == NULL);
    }
}

static void look_at(const dl_media *media)
{
    char type[300];
    DL_ASSERT(media->q >= 0 && media->q <= 1);
    DL_ASSERT(media->param_count <= DL_MEDIA_PARAM_LIMIT);
    DL_ASSERT(dl_str_find(media->type, '/') > 0);
    if (dl_str_copy(media->type, type, sizeof type)) {
        DL_ASSERT(dl_media_type_is(media, type));
        DL_ASSERT(dl_media_range_covers(media, type) == (media->q > 0));
    }
    for (size_t i = 0; i < media->param_count; i++) {
        char name[100];
        DL_ASSERT(media->params[i].name.len > 0 && media->params[i].value.ptr != NULL);
        if (dl_str_copy(media->params[i].name, name, sizeof name)) {
            DL_ASSERT(dl_media_param_of(media, name).ptr != NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_str text = {(const char *)bytes, size};
    dl_media media = {0}, *ranges = NULL;
    size_t count = 0;
    code_and_back(text, arena);
    read_query(text, arena);
    bool one = dl_media_parse(text, arena, &media, NULL) == DL_OK;
    if (one) {
        look_at(&media);
    }
    if (dl_media_parse_accept(text, arena, &ranges, &count, NULL) == DL_OK) {
        DL_ASSERT(count <= DL_MEDIA_RANGE_LIMIT);
        for (size_t i = 0; i < count; i++) {
            look_at(&ranges[i]);
            DL_ASSERT(i == 0 || ranges[i - 1].q >= ranges[i].q);
        }
        DL_ASSERT(!one || count == 1);
    } else {
        DL_ASSERT(!one);
    }
    return 0;
}
