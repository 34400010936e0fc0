#include "cli/store.h"

#include "base/mem.h"
#include "base/random.h"
#include "cli/peek.h"
#include "cli/peer.h"

#include <stdio.h>
#include <string.h>

enum {
    ANSWER_LIMIT_BYTES = 16 << 20,
    ARENA_LIMIT_BYTES = 64 << 20,
    BOUNDARY_BYTES = 16,
    FRAME_BYTES = 256, /* round one part: boundary and header */
    RETRY_MS = 250,
    RETRY_GROWTH = 4,
    CODE_BUSY = 0xb00f, /* the same instance is being stored just now */
};

struct dl_cli_store {
    dl_http_client *client;
    dl_cancel *cancel;
    unsigned retry_ms;
    const char *method;
    char url[2048];
    char content_type[128];
    char prefix[FRAME_BYTES]; /* before the first part's bytes */
    char suffix[FRAME_BYTES]; /* after the last part's bytes */
    dl_arena *arena;          /* of one exchange */
    dl_buf body, answer;
    bool understood;       /* an answer to a store was one: the address is right */
    unsigned bad_requests; /* files answered with 400 */
};

/** prefix, the stream, suffix: what the client reads of a large file. */
typedef struct outgoing {
    dl_cli_store *store;
    dl_cli_part *part;
    size_t prefix_at, suffix_at;
    bool ended;
    dl_error failure; /* of the stream: the file's own */
} outgoing;

/* ---- life ---- */

static void make_frame(dl_cli_store *store)
{
    char boundary[2 * BOUNDARY_BYTES + 1];
    dl_random_hex(boundary, BOUNDARY_BYTES);
    (void)snprintf(store->content_type, sizeof store->content_type,
                   "multipart/related; type=\"application/dicom\"; boundary=%s", boundary);
    (void)snprintf(store->prefix, sizeof store->prefix,
                   "--%s\r\nContent-Type: application/dicom\r\n\r\n", boundary);
    (void)snprintf(store->suffix, sizeof store->suffix, "\r\n--%s--\r\n", boundary);
}

dl_status dl_cli_store_create(const dl_cli_store_options *options, dl_cli_store **out_store,
                              dl_error *err)
{
    DL_AUTO(dl_cli_store) store = dl_mem_zalloc(1, sizeof *store);
    if (store == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "store: out of memory");
    }
    int n = snprintf(store->url, sizeof store->url, "%s/studies", options->base);
    if (n < 0 || (size_t)n >= sizeof store->url) {
        return dl_error_set(err, DL_E_INVALID, "the URL is too long");
    }
    store->cancel = options->cancel;
    store->retry_ms = options->retry_ms == 0 ? RETRY_MS : options->retry_ms;
    store->method = options->update ? "PUT" : "POST";
    make_frame(store);
    dl_buf_init(&store->body, DL_CLI_STORE_BATCH_LIMIT_BYTES +
                                  (size_t)FRAME_BYTES * (DL_CLI_STORE_PART_LIMIT + 1));
    dl_buf_init(&store->answer, ANSWER_LIMIT_BYTES);
    DL_TRY(dl_cli_peer_client(store->cancel, &store->client, err));
    *out_store = DL_STEAL(store);
    return DL_OK;
}

void dl_cli_store_destroy(dl_cli_store *store)
{
    if (store != NULL) {
        dl_http_client_destroy(store->client);
        dl_arena_destroy(store->arena);
        dl_buf_clear(&store->body);
        dl_buf_clear(&store->answer);
        dl_mem_free(store);
    }
}

/* ---- one exchange ---- */

/** What is left of `text` from `*at`, as far as there is room. */
static size_t copy_some(const char *text, size_t *at, char *out, size_t room)
{
    dl_str piece = dl_str_slice(dl_str_of(text), *at, room);
    if (piece.len > 0) {
        memcpy(out, piece.ptr, piece.len);
    }
    *at += piece.len;
    return piece.len;
}

static dl_status read_outgoing(void *context, void *out, size_t room, size_t *out_len,
                               dl_error *err)
{
    outgoing *o = context;
    size_t len = copy_some(o->store->prefix, &o->prefix_at, out, room);
    if (len == 0 && !o->ended) {
        dl_status status = o->part->read(o->part->context, out, room, &len, &o->failure);
        if (status != DL_OK) {
            return dl_error_set(err, status, "%s", o->failure.message);
        }
        o->ended = len == 0;
    }
    if (len == 0) {
        len = copy_some(o->store->suffix, &o->suffix_at, out, room);
    }
    *out_len = len;
    return DL_OK;
}

static bool means_later(unsigned status)
{
    return status == 429 || (status >= 502 && status <= 504);
}

/** Send `call` once; the answer's body is in store->answer, its words in store->arena. */
static dl_status exchange_once(dl_cli_store *store, const dl_http_call *call,
                               dl_http_answer *out_answer, dl_error *err)
{
    dl_arena_destroy(store->arena);
    store->arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (store->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "store: out of memory");
    }
    dl_buf_reset(&store->answer);
    return dl_http_client_do(store->client, call, store->arena, &store->answer, out_answer, err);
}

static dl_status start_again(outgoing *stream, dl_error *err)
{
    if (stream == NULL) {
        return DL_OK;
    }
    stream->prefix_at = 0;
    stream->suffix_at = 0;
    stream->ended = false;
    return stream->part->rewind(stream->part->context, err);
}

static dl_status exchange(dl_cli_store *store, dl_http_call *call, outgoing *stream,
                          dl_http_answer *out_answer, dl_error *err)
{
    bool repeatable = stream == NULL || stream->part->rewind != NULL;
    unsigned pause_ms = store->retry_ms;
    for (int attempt = 1;; attempt++) {
        dl_status status = exchange_once(store, call, out_answer, err);
        if (status == DL_OK && !means_later(out_answer->status)) {
            return DL_OK;
        }
        if (status != DL_OK && status != DL_E_UNAVAILABLE) {
            return status;
        }
        if (stream != NULL && stream->failure.status != DL_OK) {
            return status;
        }
        if (attempt == DL_CLI_STORE_TRIES || !repeatable) {
            return status != DL_OK ? status
                                   : dl_cli_peer_refused(store->method, out_answer->status,
                                                         DL_STR_NONE, DL_STR_NONE, err);
        }
        dl_error_clear(err);
        if (!dl_cli_sleep_ms(pause_ms, store->cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped while waiting for the service");
        }
        pause_ms *= RETRY_GROWTH;
        DL_TRY(start_again(stream, err));
    }
}

/** The request of the files in memory. */
static dl_status batch_body(dl_cli_store *store, const dl_cli_part *parts, size_t count,
                            dl_error *err)
{
    dl_buf_reset(&store->body);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            DL_TRY(dl_buf_append_str(&store->body, DL_STR("\r\n"), err));
        }
        DL_TRY(dl_buf_append_str(&store->body, dl_str_of(store->prefix), err));
        DL_TRY(dl_buf_append(&store->body, parts[i].bytes.ptr, parts[i].bytes.len, err));
    }
    return dl_buf_append_str(&store->body, dl_str_of(store->suffix), err);
}

/** A file in memory as a stream: for one that is larger than the body of a batch. */
typedef struct memory {
    dl_bytes bytes;
    size_t at;
} memory;

static dl_status read_memory(void *context, void *out, size_t room, size_t *out_len,
                             DL_UNUSED dl_error *err)
{
    memory *m = context;
    dl_str piece = dl_str_slice((dl_str){(const char *)m->bytes.ptr, m->bytes.len}, m->at, room);
    if (piece.len > 0) {
        memcpy(out, piece.ptr, piece.len);
    }
    m->at += piece.len;
    *out_len = piece.len;
    return DL_OK;
}

static dl_status rewind_memory(void *context, DL_UNUSED dl_error *err)
{
    memory *m = context;
    m->at = 0;
    return DL_OK;
}

static void call_of(const dl_cli_store *store, dl_http_field fields[2], dl_http_call *out_call)
{
    fields[0] = (dl_http_field){DL_STR("Content-Type"), dl_str_of(store->content_type)};
    fields[1] = (dl_http_field){DL_STR("Accept"), DL_STR("application/dicom+json")};
    *out_call = (dl_http_call){
        .method = store->method, .url = store->url, .fields = fields, .field_count = 2};
}

static dl_status exchange_batch(dl_cli_store *store, const dl_cli_part *parts, size_t count,
                                dl_http_answer *out_answer, dl_error *err)
{
    dl_http_field fields[2];
    dl_http_call call;
    DL_TRY(batch_body(store, parts, count, err));
    call_of(store, fields, &call);
    call.body = (dl_bytes){(const uint8_t *)store->body.ptr, store->body.len};
    return exchange(store, &call, NULL, out_answer, err);
}

/** One file alone; `out_own`: the file itself could not be read. */
static dl_status exchange_alone(dl_cli_store *store, dl_cli_part *part, dl_http_answer *out_answer,
                                dl_error *out_own, dl_error *err)
{
    memory held = {part->bytes, 0};
    dl_cli_part streamed = *part;
    if (part->read == NULL) {
        streamed = (dl_cli_part){.read = read_memory,
                                 .rewind = rewind_memory,
                                 .context = &held,
                                 .length_bytes = part->bytes.len};
    }
    outgoing stream = {.store = store, .part = &streamed};
    dl_http_field fields[2];
    dl_http_call call;
    call_of(store, fields, &call);
    uint64_t frame = dl_str_of(store->prefix).len + dl_str_of(store->suffix).len;
    call.read = read_outgoing;
    call.context = &stream;
    call.body_length_bytes =
        streamed.length_bytes == UINT64_MAX ? UINT64_MAX : streamed.length_bytes + frame;
    dl_status status = exchange(store, &call, &stream, out_answer, err);
    *out_own = stream.failure;
    return status;
}

/* ---- what the answer means ---- */

static bool is_store_answer(unsigned status)
{
    return status == 200 || status == 202 || status == 409;
}

/**
 * Statuses that every other file would get too end the import. 400 may be about one file (some
 * services give it for what is not DICOM) or about all (a partition that is not meant): the latter
 * when it comes again and again and nothing else does.
 */
static dl_status check_address(const dl_cli_store *store, unsigned status, dl_error *err)
{
    if (status == 400 && !store->understood && store->bad_requests >= DL_CLI_STORE_PATIENCE) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED, "%s is answered with 400 again and again",
                           store->method);
        dl_error_hint(err, "does the service use partitions, and is --partition right?");
        return DL_E_UNSUPPORTED;
    }
    bool fatal =
        status < 200 || (status >= 300 && status < 400) || (status >= 401 && status <= 406);
    return fatal ? dl_cli_peer_refused(store->method, status, DL_STR_NONE, DL_STR_NONE, err)
                 : DL_OK;
}

static dl_cli_verdict verdict_of_status(unsigned status)
{
    char text[DL_CLI_REASON_SIZE];
    if (status == 413) {
        return dl_cli_verdict_of(DL_CLI_REFUSED, "larger than the service takes (HTTP 413)");
    }
    if (status == 204) {
        return dl_cli_verdict_of(DL_CLI_REFUSED, "the service saw no file in the request");
    }
    (void)snprintf(text, sizeof text, "the service answered HTTP %u%s", status,
                   status == 400 ? " (is --partition right?)" : "");
    return dl_cli_verdict_of(DL_CLI_REFUSED, text);
}

static dl_status judge_alone(dl_cli_store *store, dl_cli_part *part, const dl_http_answer *answer,
                             dl_error *err)
{
    dl_cli_store_item *items = NULL;
    size_t count = 0;
    DL_TRY(check_address(store, answer->status, err));
    store->bad_requests += answer->status == 400;
    if (!is_store_answer(answer->status)) {
        part->verdict = verdict_of_status(answer->status);
        return DL_OK;
    }
    dl_error why = {0};
    dl_status status =
        dl_cli_store_answer(dl_buf_str(&store->answer), store->arena, &items, &count, &why);
    if (status != DL_OK || count == 0) {
        part->verdict = verdict_of_status(answer->status);
        return DL_OK;
    }
    store->understood = true;
    part->verdict = items[0].verdict;
    return DL_OK;
}

static dl_status send_alone(dl_cli_store *store, dl_cli_part *part, dl_error *err)
{
    bool repeatable = part->read == NULL || part->rewind != NULL;
    for (int attempt = 1;; attempt++) {
        dl_http_answer answer = {0};
        dl_error own = {0};
        dl_status status = exchange_alone(store, part, &answer, &own, err);
        if (status != DL_OK && own.status != DL_OK && own.status != DL_E_CANCELED) {
            dl_error_clear(err);
            part->verdict = dl_cli_verdict_of(DL_CLI_REFUSED, own.message);
            return DL_OK;
        }
        DL_TRY(status);
        DL_TRY(judge_alone(store, part, &answer, err));
        bool busy = part->verdict.outcome == DL_CLI_REFUSED && part->verdict.code == CODE_BUSY;
        if (!busy || !repeatable || attempt == DL_CLI_STORE_TRIES) {
            return DL_OK;
        }
        if (!dl_cli_sleep_ms(store->retry_ms, store->cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped while waiting for the service");
        }
        if (part->rewind != NULL) {
            DL_TRY(part->rewind(part->context, err));
        }
    }
}

/** Which parts of a batch have their verdict, which items are used up. */
typedef struct matching {
    bool part_done[DL_CLI_STORE_PART_LIMIT];
    bool item_used[DL_CLI_STORE_PART_LIMIT];
} matching;

/** Files and items with one UID. */
typedef struct namesakes {
    size_t parts[DL_CLI_STORE_PART_LIMIT], items[DL_CLI_STORE_PART_LIMIT];
    size_t part_count, item_count;
    bool mixed; /* some stored or there, some refused */
    bool busy;
} namesakes;

static namesakes find_namesakes(dl_str uid, const dl_str *part_uids, size_t count,
                                const dl_cli_store_item *items)
{
    namesakes n = {0};
    size_t refused = 0;
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq(part_uids[i], uid)) {
            n.parts[n.part_count++] = i;
        }
        if (dl_str_eq(items[i].sop_uid, uid)) {
            n.items[n.item_count++] = i;
            refused += items[i].verdict.outcome == DL_CLI_REFUSED;
            n.busy = n.busy || items[i].verdict.code == CODE_BUSY;
        }
    }
    n.mixed = refused > 0 && refused < n.item_count;
    return n;
}

/** Each in turn, where there are as many results as files and it does not matter which is which. */
static void match_by_uid(dl_cli_part *parts, size_t count, const dl_cli_store_item *items,
                         matching *m)
{
    dl_str uids[DL_CLI_STORE_PART_LIMIT];
    for (size_t p = 0; p < count; p++) {
        uids[p] = dl_cli_peek_at(parts[p].bytes).sop_uid;
    }
    for (size_t p = 0; p < count; p++) {
        if (m->part_done[p] || uids[p].len == 0) {
            continue;
        }
        namesakes n = find_namesakes(uids[p], uids, count, items);
        if (n.part_count != n.item_count || n.mixed || n.busy) {
            continue;
        }
        for (size_t i = 0; i < n.part_count; i++) {
            parts[n.parts[i]].verdict = items[n.items[i]].verdict;
            m->part_done[n.parts[i]] = true;
            m->item_used[n.items[i]] = true;
        }
    }
}

/** When all that is left was judged alike, it does not matter which is which. */
static void match_alike(dl_cli_part *parts, size_t count, const dl_cli_store_item *items,
                        matching *m)
{
    const dl_cli_store_item *one = NULL;
    for (size_t i = 0; i < count; i++) {
        if (m->item_used[i]) {
            continue;
        }
        if (one != NULL &&
            (one->verdict.outcome != items[i].verdict.outcome ||
             !dl_str_eq(dl_str_of(one->verdict.reason), dl_str_of(items[i].verdict.reason)))) {
            return;
        }
        one = &items[i];
    }
    if (one == NULL || one->verdict.code == CODE_BUSY) {
        return;
    }
    for (size_t p = 0; p < count; p++) {
        if (!m->part_done[p]) {
            parts[p].verdict = one->verdict;
            m->part_done[p] = true;
        }
    }
}

/** How many of the items left over said "stored": sent again their files are "already there". */
static size_t stored_left(const dl_cli_store_item *items, size_t count, const matching *m)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        left += !m->item_used[i] && (items[i].verdict.outcome == DL_CLI_STORED ||
                                     items[i].verdict.outcome == DL_CLI_WARNED);
    }
    return left;
}

static dl_status send_rest(dl_cli_store *store, dl_cli_part *parts, size_t count, const matching *m,
                           size_t credit, dl_error *err)
{
    for (size_t p = 0; p < count; p++) {
        if (m->part_done[p]) {
            continue;
        }
        DL_TRY(send_alone(store, &parts[p], err));
        if (parts[p].verdict.outcome == DL_CLI_THERE && credit > 0) {
            parts[p].verdict.outcome = DL_CLI_STORED;
            credit--;
        }
    }
    return DL_OK;
}

static dl_status send_batch(dl_cli_store *store, dl_cli_part *parts, size_t count, dl_error *err)
{
    dl_http_answer answer = {0};
    matching m = {0};
    size_t credit = 0;
    DL_TRY(exchange_batch(store, parts, count, &answer, err));
    DL_TRY(check_address(store, answer.status, err));
    if (is_store_answer(answer.status)) {
        dl_cli_store_item *items = NULL;
        size_t item_count = 0;
        dl_error why = {0}; /* no such answer: each file alone will tell */
        if (dl_cli_store_answer(dl_buf_str(&store->answer), store->arena, &items, &item_count,
                                &why) == DL_OK &&
            item_count == count) {
            store->understood = true;
            match_by_uid(parts, count, items, &m);
            match_alike(parts, count, items, &m);
            credit = stored_left(items, count, &m);
        }
    }
    return send_rest(store, parts, count, &m, credit, err);
}

dl_status dl_cli_store_send(dl_cli_store *store, dl_cli_part *parts, size_t count, dl_error *err)
{
    DL_ASSERT(count > 0 && count <= DL_CLI_STORE_PART_LIMIT);
    if (count == 1) {
        return send_alone(store, &parts[0], err);
    }
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        DL_ASSERT(parts[i].read == NULL);
        total += parts[i].bytes.len;
    }
    DL_ASSERT(total <= DL_CLI_STORE_BATCH_LIMIT_BYTES);
    return send_batch(store, parts, count, err);
}
