#include "http/media.h"

#include <string.h>

/* Text still to be read; a read that fails leaves `at` where the trouble is. */
typedef struct reader {
    dl_str text;
    size_t at;
    dl_arena *arena;
    dl_error *err;
} reader;

static bool is_token_char(char c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
        return true;
    }
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* What a bare value may hold: a token, and what clients put there unquoted, such as the slash of
 * type=application/dicom. */
static bool is_value_char(char c)
{
    return is_token_char(c) || (c != '\0' && strchr("/:=?@()<>[]{}", c) != NULL);
}

static void skip_space(reader *r)
{
    while (r->at < r->text.len && (r->text.ptr[r->at] == ' ' || r->text.ptr[r->at] == '\t')) {
        r->at++;
    }
}

static bool skip_char(reader *r, char wanted)
{
    if (r->at < r->text.len && r->text.ptr[r->at] == wanted) {
        r->at++;
        return true;
    }
    return false;
}

static dl_str take_while(reader *r, bool (*accepted)(char c))
{
    size_t start = r->at;
    while (r->at < r->text.len && accepted(r->text.ptr[r->at])) {
        r->at++;
    }
    return dl_str_slice(r->text, start, r->at - start);
}

static dl_status refuse(const reader *r, const char *what)
{
    return dl_error_set(r->err, DL_E_INVALID, "media type: position %zu: %s", r->at, what);
}

/* After the opening quote (RFC 9110 section 5.6.4). */
static dl_status read_quoted(reader *r, dl_str *out_value)
{
    char *out = dl_arena_alloc(r->arena, r->text.len - r->at + 1, 1);
    if (out == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    size_t len = 0;
    while (r->at < r->text.len) {
        char c = r->text.ptr[r->at++];
        if (c == '"') {
            *out_value = (dl_str){out, len};
            return DL_OK;
        }
        if (c == '\\' && r->at < r->text.len) {
            c = r->text.ptr[r->at++];
        }
        if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f) {
            return refuse(r, "a control character");
        }
        out[len++] = c;
    }
    return refuse(r, "a quoted value without end");
}

/* "0", "1", with up to 15 digits of fraction; also ".5", which Java sends. */
static bool read_q(dl_str text, double *out_q)
{
    double value = 0, unit = 1;
    size_t at = 0;
    if (text.len > 0 && (text.ptr[0] == '0' || text.ptr[0] == '1')) {
        value = text.ptr[0] - '0';
        at = 1;
    }
    if (at < text.len && text.ptr[at] == '.') {
        at++;
        if (at == 1 && at == text.len) {
            return false;
        }
    } else if (at == 0) {
        return false;
    }
    for (; at < text.len; at++) {
        char c = text.ptr[at];
        if (c < '0' || c > '9' || at > 17) {
            return false;
        }
        unit /= 10;
        value += (c - '0') * unit;
    }
    if (text.len > 1 && text.ptr[0] != '.' && text.ptr[1] != '.') {
        return false;
    }
    *out_q = value;
    return value <= 1;
}

static dl_status read_param(reader *r, dl_media *media)
{
    dl_media_param param = {0};
    param.name = take_while(r, is_token_char);
    if (param.name.len == 0) {
        return refuse(r, "a parameter name was expected");
    }
    skip_space(r);
    if (!skip_char(r, '=')) {
        return refuse(r, "= was expected");
    }
    skip_space(r);
    if (skip_char(r, '"')) {
        DL_TRY(read_quoted(r, &param.value));
    } else {
        param.value = take_while(r, is_value_char);
        if (param.value.len == 0) {
            return refuse(r, "a parameter value was expected");
        }
    }
    if (dl_str_eq_nocase(param.name, DL_STR("q"))) {
        return read_q(param.value, &media->q) ? DL_OK : refuse(r, "q is not within 0 and 1");
    }
    if (media->param_count == DL_MEDIA_PARAM_LIMIT) {
        return dl_error_set(r->err, DL_E_LIMIT, "media type: more than %d parameters",
                            DL_MEDIA_PARAM_LIMIT);
    }
    media->params[media->param_count++] = param;
    return DL_OK;
}

/* One type with its parameters, up to a comma or the end. */
static dl_status read_media(reader *r, dl_media *media)
{
    media->q = 1;
    size_t start = r->at;
    dl_str type = take_while(r, is_token_char);
    if (type.len == 0) {
        return refuse(r, "a type was expected");
    }
    if (skip_char(r, '/')) {
        if (take_while(r, is_token_char).len == 0) {
            return refuse(r, "a subtype was expected");
        }
        media->type = dl_str_slice(r->text, start, r->at - start);
    } else if (dl_str_eq(type, DL_STR("*"))) {
        media->type = DL_STR("*/*"); /* a lone star, which Java sends */
    } else {
        return refuse(r, "/ was expected");
    }
    skip_space(r);
    while (skip_char(r, ';')) {
        skip_space(r);
        bool empty = r->at == r->text.len || r->text.ptr[r->at] == ';' || r->text.ptr[r->at] == ',';
        if (!empty) {
            DL_TRY(read_param(r, media));
            skip_space(r);
        }
    }
    return DL_OK;
}

dl_status dl_media_parse(dl_str text, dl_arena *arena, dl_media *out_media, dl_error *err)
{
    reader r = {.text = text, .arena = arena, .err = err};
    dl_media media = {0};
    skip_space(&r);
    DL_TRY(read_media(&r, &media));
    if (r.at != text.len) {
        return refuse(&r, "text after the end");
    }
    *out_media = media;
    return DL_OK;
}

static void sort_by_q(dl_media *ranges, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        size_t to = i;
        while (to > 0 && ranges[to - 1].q < ranges[i].q) {
            to--;
        }
        if (to < i) {
            dl_media moved = ranges[i];
            memmove(&ranges[to + 1], &ranges[to], (i - to) * sizeof *ranges);
            ranges[to] = moved;
        }
    }
}

/* One element of a list. What cannot be read is passed over, to the next comma: it is none of the
 * ranges that others follow. */
static dl_status read_element(reader *r, dl_media *out_media, bool *out_good)
{
    dl_media media = {0};
    dl_status status = read_media(r, &media);
    *out_good = status == DL_OK && (r->at == r->text.len || r->text.ptr[r->at] == ',');
    if (status != DL_OK && status != DL_E_INVALID) {
        return status;
    }
    if (*out_good) {
        *out_media = media;
        return DL_OK;
    }
    dl_error_clear(r->err);
    while (r->at < r->text.len && r->text.ptr[r->at] != ',') {
        r->at++;
    }
    return DL_OK;
}

dl_status dl_media_parse_accept(dl_str text, dl_arena *arena, dl_media **out_ranges,
                                size_t *out_count, dl_error *err)
{
    reader r = {.text = text, .arena = arena, .err = err};
    size_t room = 1, count = 0;
    for (size_t i = 0; i < text.len && room < DL_MEDIA_RANGE_LIMIT; i++) {
        room += text.ptr[i] == ',' ? 1 : 0;
    }
    dl_media *ranges = dl_arena_alloc(arena, room, sizeof *ranges);
    if (ranges == NULL) {
        return dl_arena_full(arena, err);
    }
    for (;;) {
        skip_space(&r);
        if (r.at == text.len) {
            break;
        }
        if (skip_char(&r, ',')) { /* empty elements are passed over (RFC 9110 section 5.6.1.2) */
            continue;
        }
        if (count == DL_MEDIA_RANGE_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "Accept: more than %d media ranges",
                                DL_MEDIA_RANGE_LIMIT);
        }
        bool good = false;
        DL_TRY(read_element(&r, &ranges[count], &good));
        count += good;
    }
    sort_by_q(ranges, count);
    *out_ranges = ranges;
    *out_count = count;
    return DL_OK;
}

dl_str dl_media_param_of(const dl_media *media, const char *name)
{
    for (size_t i = 0; i < media->param_count; i++) {
        if (dl_str_eq_nocase(media->params[i].name, dl_str_of(name))) {
            return media->params[i].value;
        }
    }
    return DL_STR_NONE;
}

bool dl_media_type_is(const dl_media *media, const char *type)
{
    return dl_str_eq_nocase(media->type, dl_str_of(type));
}

bool dl_media_range_covers(const dl_media *range, const char *type)
{
    if (!(range->q > 0)) {
        return false;
    }
    if (dl_media_type_is(range, "*/*") || dl_media_type_is(range, type)) {
        return true;
    }
    return dl_str_ends(range->type, DL_STR("/*")) &&
           dl_str_starts_nocase(dl_str_of(type), dl_str_slice(range->type, 0, range->type.len - 1));
}
