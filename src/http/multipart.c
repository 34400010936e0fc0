/*
 * What the grammar of RFC 2046 leaves to us, and what we do:
 * - A line that begins with the boundary but goes on with anything but "--" or white space is data,
 *   so that the boundary "b1" does not end at "--b12".
 * - The line break before a boundary always belongs to the boundary, also when it is the blank line
 *   that ends the headers: such a part is empty.
 * - Lines end in CRLF. A lone LF in the headers of a part is refused; before a boundary it is data.
 * - After the closing boundary everything is epilogue.
 */
#include "http/multipart.h"

#include "base/mem.h"

#include <string.h>

enum {
    DELIMITER_LIMIT = 4 + DL_MULTIPART_BOUNDARY_LIMIT, /* CRLF, two dashes, boundary */
    PADDING_LIMIT = 64,                                /* transport padding after a boundary */
};

typedef enum stage { IN_PREAMBLE, IN_HEADERS, IN_DATA, IN_EPILOGUE, IS_BROKEN } stage;

struct dl_multipart {
    dl_multipart_events events;
    stage stage;
    char delimiter[DELIMITER_LIMIT];
    size_t delimiter_len;
    /* Bytes that may turn out to be a delimiter: its first `matched` bytes, then `tail`. */
    size_t matched;
    size_t unsaid; /* how many of them are not data in any case: a line break of the headers */
    char tail[PADDING_LIMIT + 1];
    size_t tail_len;
    dl_buf headers;
    dl_error failure; /* why it is broken */
};

dl_status dl_multipart_create(dl_str boundary, const dl_multipart_events *events,
                              dl_multipart **out_reader, dl_error *err)
{
    if (boundary.len == 0 || boundary.len > DL_MULTIPART_BOUNDARY_LIMIT) {
        return dl_error_set(err, DL_E_INVALID,
                            "multipart: a boundary has 1 to %d characters, not %zu",
                            DL_MULTIPART_BOUNDARY_LIMIT, boundary.len);
    }
    for (size_t i = 0; i < boundary.len; i++) {
        if (boundary.ptr[i] < ' ' || boundary.ptr[i] > '~') {
            return dl_error_set(err, DL_E_INVALID, "multipart: a boundary is printable ASCII");
        }
    }
    if (boundary.ptr[boundary.len - 1] == ' ') {
        return dl_error_set(err, DL_E_INVALID, "multipart: a boundary does not end in a space");
    }
    dl_multipart *reader = dl_mem_zalloc(1, sizeof *reader);
    if (reader == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "multipart: out of memory");
    }
    reader->events = *events;
    memcpy(reader->delimiter, "\r\n--", 4);
    memcpy(reader->delimiter + 4, boundary.ptr, boundary.len);
    reader->delimiter_len = 4 + boundary.len;
    reader->matched = 2; /* at the very start no line break is needed */
    reader->unsaid = 2;
    dl_buf_init(&reader->headers, DL_MULTIPART_HEADER_LIMIT_BYTES + 4);
    *out_reader = reader;
    return DL_OK;
}

void dl_multipart_destroy(dl_multipart *reader)
{
    if (reader != NULL) {
        dl_buf_clear(&reader->headers);
        dl_mem_free(reader);
    }
}

static dl_status say_data(dl_multipart *r, const char *bytes, size_t len, dl_error *err)
{
    if (r->stage != IN_DATA || len == 0) {
        return DL_OK; /* the preamble is dropped */
    }
    return r->events.part_data(r->events.context, (dl_bytes){(const uint8_t *)bytes, len}, err);
}

/* What was held back is no delimiter: it is data. */
static dl_status release_held(dl_multipart *r, dl_error *err)
{
    size_t matched = r->matched, unsaid = r->unsaid, tail_len = r->tail_len;
    r->matched = 0;
    r->unsaid = 0;
    r->tail_len = 0;
    DL_TRY(say_data(r, r->delimiter + unsaid, matched - unsaid, err));
    return say_data(r, r->tail, tail_len, err);
}

static dl_status end_part(dl_multipart *r, stage next, dl_error *err)
{
    bool in_part = r->stage == IN_DATA;
    r->stage = next;
    r->matched = 0;
    r->unsaid = 0;
    r->tail_len = 0;
    return in_part ? r->events.part_end(r->events.context, err) : DL_OK;
}

/* One byte after a whole delimiter. `*out_used` says whether it belongs to the line of the
 * delimiter. */
static dl_status step_tail(dl_multipart *r, char c, bool *out_used, dl_error *err)
{
    char last = r->tail_len == 0 ? '\0' : r->tail[r->tail_len - 1];
    *out_used = true;
    if (last == '-') {
        if (c == '-') {
            return end_part(r, IN_EPILOGUE, err);
        }
    } else if (last == '\r') {
        if (c == '\n') {
            dl_buf_reset(&r->headers);
            return end_part(r, IN_HEADERS, err);
        }
    } else if (c == '\r' || (c == '-' && r->tail_len == 0) ||
               ((c == ' ' || c == '\t') && r->tail_len < PADDING_LIMIT)) {
        r->tail[r->tail_len++] = c;
        return DL_OK;
    }
    *out_used = false;
    return release_held(r, err);
}

/* Go on with a delimiter that began in an earlier chunk, or whose line is not over. */
static dl_status match_on(dl_multipart *r, dl_bytes *rest, dl_error *err)
{
    stage start = r->stage;
    while (rest->len > 0 && r->matched > 0 && r->stage == start) {
        char c = (char)rest->ptr[0];
        bool used = true;
        if (r->matched == r->delimiter_len) {
            DL_TRY(step_tail(r, c, &used, err));
        } else if (c == r->delimiter[r->matched]) {
            r->matched++;
        } else {
            used = false; /* the byte may begin a delimiter of its own */
            DL_TRY(release_held(r, err));
        }
        rest->ptr += used ? 1 : 0;
        rest->len -= used ? 1 : 0;
    }
    return DL_OK;
}

/* How many bytes at the end of `text` are the beginning of a delimiter. It has one CR, its first
 * byte, so only the last CR can begin it. */
static size_t held_at_end(const dl_multipart *r, const char *text, size_t len)
{
    size_t window = len < r->delimiter_len - 1 ? len : r->delimiter_len - 1;
    const char *cr = memrchr(text + len - window, '\r', window);
    size_t left = cr == NULL ? 0 : (size_t)(text + len - cr);
    return left > 0 && memcmp(cr, r->delimiter, left) == 0 ? left : 0;
}

/* Data (or preamble) up to the next delimiter. */
static dl_status scan_data(dl_multipart *r, dl_bytes *rest, dl_error *err)
{
    if (r->matched > 0) {
        stage start = r->stage;
        DL_TRY(match_on(r, rest, err));
        if (rest->len == 0 || r->stage != start) {
            return DL_OK;
        }
    }
    const char *text = (const char *)rest->ptr;
    size_t len = rest->len;
    const char *found = memmem(text, len, r->delimiter, r->delimiter_len);
    size_t held = found != NULL ? r->delimiter_len : held_at_end(r, text, len);
    size_t data_len = found != NULL ? (size_t)(found - text) : len - held;
    rest->ptr += data_len + held;
    rest->len -= data_len + held;
    r->matched = held;
    return say_data(r, text, data_len, err);
}

/* Lines of "name: value"; what goes on with white space in the next line (RFC 822 folding) becomes
 * one. */
static dl_status check_headers(char *text, size_t len, dl_error *err)
{
    dl_str rest = {text, len}, line = DL_STR_NONE;
    while (rest.len > 0 && dl_str_next(&rest, '\n', &line)) {
        size_t start = (size_t)(line.ptr - text);
        if (start > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) {
            memcpy(text + start - 2, "  ", 2);
        } else if (dl_str_find(line, ':') < 1) {
            return dl_error_set(err, DL_E_INVALID, "multipart: a part header without a colon");
        }
    }
    return DL_OK;
}

/* The line just added ends in LF. */
static dl_status end_header_line(dl_multipart *r, dl_error *err)
{
    char *text = r->headers.ptr;
    size_t len = r->headers.len;
    if (len < 2 || text[len - 2] != '\r') {
        return dl_error_set(err, DL_E_INVALID,
                            "multipart: a line of the part headers does not end in CRLF");
    }
    if (len > 2 && (len < 4 || memcmp(text + len - 4, "\r\n", 2) != 0)) {
        return DL_OK; /* not the blank line yet */
    }
    dl_str headers = {text, len > 2 ? len - 4 : 0};
    if (headers.len > 0) {
        DL_TRY(check_headers(text, headers.len, err));
    }
    r->stage = IN_DATA;
    r->matched = 2; /* the blank line may be the line break of a delimiter */
    r->unsaid = 2;
    return r->events.part_begin(r->events.context, headers, err);
}

static dl_status scan_headers(dl_multipart *r, dl_bytes *rest, dl_error *err)
{
    while (rest->len > 0 && r->stage == IN_HEADERS) {
        const uint8_t *eol = memchr(rest->ptr, '\n', rest->len);
        size_t take = eol == NULL ? rest->len : (size_t)(eol - rest->ptr) + 1;
        if (take > r->headers.limit_bytes - r->headers.len) {
            return dl_error_set(err, DL_E_INVALID, "multipart: part headers exceed %d bytes",
                                DL_MULTIPART_HEADER_LIMIT_BYTES);
        }
        if (memchr(rest->ptr, '\0', take) != NULL) {
            return dl_error_set(err, DL_E_INVALID, "multipart: a NUL character in part headers");
        }
        DL_TRY(dl_buf_append(&r->headers, rest->ptr, take, err));
        rest->ptr += take;
        rest->len -= take;
        if (eol != NULL) {
            DL_TRY(end_header_line(r, err));
        }
    }
    return DL_OK;
}

dl_status dl_multipart_feed(dl_multipart *reader, dl_bytes chunk, dl_error *err)
{
    dl_status status = reader->stage == IS_BROKEN ? reader->failure.status : DL_OK;
    dl_bytes rest = chunk;
    if (status == DL_OK) {
        dl_error_clear(&reader->failure);
    }
    while (status == DL_OK && rest.len > 0 && reader->stage != IN_EPILOGUE) {
        status = reader->stage == IN_HEADERS ? scan_headers(reader, &rest, &reader->failure)
                                             : scan_data(reader, &rest, &reader->failure);
    }
    if (status != DL_OK) {
        reader->stage = IS_BROKEN;
        reader->failure.status = status; /* a callback may have left the words out */
        if (err != NULL) {
            *err = reader->failure;
        }
    }
    return status;
}

dl_status dl_multipart_finish(dl_multipart *reader, dl_error *err)
{
    if (reader->stage == IS_BROKEN) {
        if (err != NULL) {
            *err = reader->failure;
        }
        return reader->failure.status;
    }
    if (reader->stage != IN_EPILOGUE) {
        return dl_error_set(err, DL_E_INVALID,
                            "multipart: the body ends before its closing boundary");
    }
    return DL_OK;
}

bool dl_multipart_header(dl_str headers, const char *name, dl_str *out_value)
{
    dl_str wanted = dl_str_of(name), rest = headers, line = DL_STR_NONE;
    while (rest.len > 0 && dl_str_next(&rest, '\n', &line)) {
        if (dl_str_ends(line, DL_STR("\r"))) {
            line.len--;
        }
        ptrdiff_t colon = dl_str_find(line, ':');
        if (colon > 0 &&
            dl_str_eq_nocase(dl_str_trim(dl_str_slice(line, 0, (size_t)colon)), wanted)) {
            *out_value = dl_str_trim(dl_str_slice(line, (size_t)colon + 1, line.len));
            return true;
        }
    }
    return false;
}
