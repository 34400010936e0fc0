#include "base/width.h"

#include <utf8proc.h>

size_t dl_width_point(dl_str text, size_t at, int32_t *out_point)
{
    if ((unsigned char)text.ptr[at] < 0x80) {
        *out_point = (unsigned char)text.ptr[at];
        return 1;
    }
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.ptr + at,
                                          (utf8proc_ssize_t)(text.len - at), out_point);
    if (n <= 0) {
        *out_point = -1;
        return 1;
    }
    return (size_t)n;
}

static size_t columns_of(int32_t point)
{
    return point < 0 ? 1 : (size_t)utf8proc_charwidth(point);
}

size_t dl_width_of(dl_str text)
{
    size_t at = 0;
    size_t used = 0;
    while (at < text.len) {
        int32_t point = -1;
        at += dl_width_point(text, at, &point);
        used += columns_of(point);
    }
    return used;
}

dl_str dl_width_cut(dl_str text, size_t width)
{
    size_t at = 0;
    size_t used = 0;
    while (at < text.len) {
        int32_t point = -1;
        size_t n = dl_width_point(text, at, &point);
        used += columns_of(point);
        if (used > width) {
            break;
        }
        at += n;
    }
    return dl_str_slice(text, 0, at);
}
