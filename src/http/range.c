#include "http/range.h"

static bool is_weak(dl_str tag)
{
    return dl_str_starts(dl_str_trim(tag), DL_STR("W/"));
}

static dl_str bare_etag(dl_str tag)
{
    tag = dl_str_trim(tag);
    if (is_weak(tag)) {
        tag = dl_str_slice(tag, 2, tag.len);
    }
    if (tag.len >= 2 && tag.ptr[0] == '"' && tag.ptr[tag.len - 1] == '"') {
        tag = dl_str_slice(tag, 1, tag.len - 2);
    }
    return tag;
}

static bool is_listed(dl_str header, dl_str etag, bool weakly)
{
    dl_str rest = header;
    dl_str one = DL_STR_NONE;
    while (dl_str_next(&rest, ',', &one)) {
        if (is_weak(one) && !weakly) {
            continue;
        }
        if (dl_str_eq(dl_str_trim(one), DL_STR("*")) ||
            dl_str_eq_nocase(bare_etag(one), bare_etag(etag))) {
            return true;
        }
    }
    return false;
}

bool dl_http_etag_matches(dl_str header, dl_str etag)
{
    return header.ptr != NULL && is_listed(header, etag, true);
}

bool dl_http_if_match(dl_str header, dl_str etag)
{
    return header.ptr == NULL || is_listed(header, etag, false);
}

bool dl_http_if_range(dl_str header, dl_str etag)
{
    return header.ptr == NULL ||
           (!is_weak(header) && dl_str_eq(bare_etag(header), bare_etag(etag)));
}

dl_http_range dl_http_range_parse(dl_str header, uint64_t size, uint64_t *out_first,
                                  uint64_t *out_last)
{
    dl_str rest = header;
    if (header.ptr == NULL || !dl_str_starts_nocase(header, DL_STR("bytes=")) ||
        dl_str_find(header, ',') >= 0) {
        return DL_HTTP_RANGE_NONE; /* several ranges: the whole is a fine answer */
    }
    rest = dl_str_trim(dl_str_slice(rest, 6, rest.len));
    ptrdiff_t dash = dl_str_find(rest, '-');
    if (dash < 0) {
        return DL_HTTP_RANGE_NONE;
    }
    dl_str from = dl_str_slice(rest, 0, (size_t)dash);
    dl_str to = dl_str_slice(rest, (size_t)dash + 1, rest.len);
    uint64_t first = 0;
    uint64_t last = size == 0 ? 0 : size - 1;
    uint64_t number = 0;
    if (from.len == 0) { /* the last n bytes */
        if (!dl_str_to_u64(to, &number)) {
            return DL_HTTP_RANGE_NONE;
        }
        if (number == 0 || size == 0) {
            return DL_HTTP_RANGE_OUTSIDE;
        }
        first = number >= size ? 0 : size - number;
    } else {
        if (!dl_str_to_u64(from, &first) || (to.len > 0 && !dl_str_to_u64(to, &number)) ||
            (to.len > 0 && number < first)) {
            return DL_HTTP_RANGE_NONE;
        }
        if (first >= size) {
            return DL_HTTP_RANGE_OUTSIDE;
        }
        if (to.len > 0 && number < last) {
            last = number;
        }
    }
    *out_first = first;
    *out_last = last;
    return DL_HTTP_RANGE_OK;
}
