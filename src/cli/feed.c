#include "cli/cli.h"
#include "cli/peer.h"
#include "cli/text.h"
#include "cli/value.h"
#include "json/json.h"

enum {
    FOREIGN_PAGE = 200, /* the most that Azure gives (contract 9.2) */
    OWN_PAGE = 2000,    /* with afterSequence */
    OWN_PAGE_METADATA = 500,
    FOLLOW_MS = 500,
    FOLLOW_HOME_MS = 2000, /* each look opens the home anew */
    URL_LIMIT_BYTES = 4096,
};
#define ANSWER_LIMIT_BYTES ((size_t)512 << 20)

typedef struct feed_options {
    dl_cli_where where;
    uint64_t after, limit;
    bool follow, metadata, json;
} feed_options;

static const feed_options defaults = {.limit = INT64_MAX};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_WHERE_OPTIONS(feed_options, where),
    {"after", "SEQ", "only changes after this sequence number", DL_CLI_NUMBER, 0, offsetof(feed_options, after), 0, INT64_MAX},
    {"limit", "N", "at most so many", DL_CLI_NUMBER, 0, offsetof(feed_options, limit), 1, INT64_MAX},
    {"follow", NULL, "go on with new changes until Ctrl-C", DL_CLI_SWITCH, 'f', offsetof(feed_options, follow), 0, 0},
    {"metadata", NULL, "with the metadata of each instance (needs --json)", DL_CLI_SWITCH, 0, offsetof(feed_options, metadata), 0, 0},
    {"json", NULL, "print each change as one JSON object a line", DL_CLI_SWITCH, 0, offsetof(feed_options, json), 0, 0},
};
/* clang-format on */

/** How a service is paged: found out by the first page. */
typedef enum paging { PAGING_UNKNOWN, PAGING_CURSOR, PAGING_OFFSET } paging;

typedef struct reader {
    dl_cli *cli;
    const feed_options *options;
    dl_cli_peer *peer;
    dl_http_client *client;
    paging paging;
    uint64_t after;  /* cursor */
    uint64_t offset; /* rows read, when paged by offset */
    uint64_t printed;
    bool down; /* the service that answered does not any more; it was told */
} reader;

static dl_status print_row(const reader *r, dl_str row, dl_error *err)
{
    if (r->options->json) {
        dl_cli_text_json(row, r->cli->out);
        (void)fputc('\n', r->cli->out);
        return DL_OK;
    }
    static const dl_str keys[] = {{"sequence", 8},
                                  {"timestamp", 9},
                                  {"action", 6},
                                  {"state", 5},
                                  {"partitionName", 13},
                                  {"studyInstanceUid", 16},
                                  {"seriesInstanceUid", 17},
                                  {"sopInstanceUid", 14}};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_BUF line = {0};
    dl_buf_init(&line, 4 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "feed: out of memory");
    }
    for (size_t i = 0; i < DL_COUNT_OF(keys); i++) {
        dl_str value = DL_STR("-");
        if (dl_json_get_nocase(row, keys[i], &value) && dl_json_kind_of(value) == DL_JSON_STRING) {
            DL_TRY(dl_json_text(value, arena, &value, err));
        }
        DL_TRY(dl_cli_text_clean(value, &line, err)); /* also tabs: there are as many as columns */
        DL_TRY(dl_buf_append_char(&line, i + 1 == DL_COUNT_OF(keys) ? '\n' : '\t', err));
    }
    (void)fwrite(line.ptr, 1, line.len, r->cli->out);
    return DL_OK;
}

/** A number that a row must have. */
static dl_status sequence_of(dl_str row, uint64_t *out_sequence, dl_error *err)
{
    dl_str value = DL_STR_NONE;
    if (!dl_json_get_nocase(row, DL_STR("sequence"), &value) ||
        !dl_str_to_u64(value, out_sequence)) {
        return dl_error_set(err, DL_E_CORRUPT, "a row of the feed has no sequence");
    }
    return DL_OK;
}

static dl_status take_rows(reader *r, dl_str page, uint64_t *out_count, dl_error *err)
{
    uint64_t count = 0;
    dl_str row = DL_STR_NONE;
    uint64_t last = r->after;
    dl_json_iter rows = dl_json_iter_of(page);
    while (r->printed < r->options->limit && dl_json_next_element(&rows, &row)) {
        uint64_t sequence = 0;
        DL_TRY(sequence_of(row, &sequence, err));
        count++;
        if (sequence > r->options->after) { /* paged by offset it begins at the beginning */
            DL_TRY(print_row(r, row, err));
            r->printed++;
        }
        last = sequence > last ? sequence : last;
    }
    if (r->paging == PAGING_CURSOR && count > 0 && last == r->after) {
        return dl_error_set(err, DL_E_CORRUPT, "the feed does not go on after %llu",
                            (unsigned long long)last);
    }
    r->after = last;
    r->offset += count;
    *out_count = count;
    return DL_OK;
}

static uint64_t page_size(const reader *r)
{
    uint64_t most = r->paging != PAGING_CURSOR ? FOREIGN_PAGE
                    : r->options->metadata     ? OWN_PAGE_METADATA
                                               : OWN_PAGE;
    uint64_t left = r->options->limit - r->printed;
    return r->paging != PAGING_OFFSET && left < most ? left : most;
}

static dl_status request_page(reader *r, uint64_t size, dl_arena *arena, dl_buf *body,
                              dl_http_answer *out_answer, dl_error *err)
{
    DL_AUTO_BUF url = {0};
    dl_buf_init(&url, URL_LIMIT_BYTES);
    bool by_offset = r->paging == PAGING_OFFSET;
    DL_TRY(dl_buf_printf(&url, err, "%s/changefeed?includeMetadata=%s&limit=%llu&%s=%llu",
                         dl_cli_peer_root(r->peer), r->options->metadata ? "true" : "false",
                         (unsigned long long)size, by_offset ? "offset" : "afterSequence",
                         (unsigned long long)(by_offset ? r->offset : r->after)));
    DL_TRY(dl_buf_terminate(&url, err));
    dl_buf_reset(body);
    const dl_cli_ask ask = {"GET", url.ptr, "application/json", true};
    return dl_cli_peer_ask(r->client, &ask, arena, body, out_answer, err);
}

/** One page; the first shows whether the service knows the cursor. */
static dl_status read_page(reader *r, bool *out_more, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_BUF body = {0};
    dl_http_answer answer = {0};
    dl_buf_init(&body, ANSWER_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "feed: out of memory");
    }
    uint64_t size = page_size(r);
    dl_status status = request_page(r, size, arena, &body, &answer, err);
    bool refused = status == DL_E_INVALID && answer.status == 400;
    if (r->paging == PAGING_UNKNOWN && (status == DL_OK || refused)) {
        bool cursor = !refused && dl_http_answer_header(&answer, "dl-next-sequence").ptr != NULL;
        r->paging = cursor ? PAGING_CURSOR : PAGING_OFFSET;
        if (!cursor) { /* ask again, from the beginning */
            dl_error_clear(err);
            size = page_size(r);
            status = request_page(r, size, arena, &body, &answer, err);
        }
    }
    DL_TRY(status);
    if (dl_json_check(dl_buf_str(&body), NULL) != DL_OK ||
        dl_json_kind_of(dl_buf_str(&body)) != DL_JSON_ARRAY) {
        return dl_error_set(err, DL_E_CORRUPT, "the answer is not a page of a change feed");
    }
    uint64_t count = 0;
    DL_TRY(take_rows(r, dl_buf_str(&body), &count, err));
    *out_more = count >= size;
    return DL_OK;
}

/** A home that nobody serves is given back for the time between two looks: the changes to wait for
 * come from other commands, which need it. One whose service went away is looked at anew: the next
 * may listen elsewhere, or be a command's own. */
static dl_status wait_for_more(reader *r, dl_error *err)
{
    bool own = dl_cli_peer_service(r->peer) != NULL;
    if (own || (r->down && r->options->where.url == NULL)) {
        return dl_cli_peer_again(r->cli, &r->options->where, FOLLOW_HOME_MS, &r->peer, err);
    }
    return dl_cli_sleep_ms(FOLLOW_MS, r->cli->stop) ? DL_OK
                                                    : dl_error_set(err, DL_E_CANCELED, "stopped");
}

/** One page; a service that has answered before may be away for a while: nothing is lost meanwhile.
 */
static dl_status follow_page(reader *r, bool *out_more, dl_error *err)
{
    bool answered = r->paging != PAGING_UNKNOWN && dl_cli_peer_service(r->peer) == NULL;
    dl_status status = read_page(r, out_more, err);
    if (status != DL_E_UNAVAILABLE || !answered || !r->options->follow) {
        r->down = false;
        return status;
    }
    if (!r->down) {
        (void)fprintf(r->cli->err, "dicomlake: %s; asking again until it answers\n", err->message);
    }
    r->down = true;
    dl_error_clear(err);
    return DL_OK;
}

static dl_status read_feed(reader *r, dl_error *err)
{
    while (r->printed < r->options->limit && !dl_cancel_asked(r->cli->stop)) {
        bool more = false;
        DL_TRY(follow_page(r, &more, err));
        if (fflush(r->cli->out) != 0 || ferror(r->cli->out) || dl_cli_reader_left(r->cli->out)) {
            return DL_OK; /* nobody reads any more; dl_cli_flush says what was lost */
        }
        if (!more && !r->options->follow) {
            return DL_OK;
        }
        if (!more) {
            DL_TRY(wait_for_more(r, err));
        }
    }
    return DL_OK;
}

static dl_status open_and_read(dl_cli *cli, const feed_options *o, dl_error *err)
{
    DL_AUTO(dl_http_client) client = NULL;
    if (o->metadata && !o->json) {
        return dl_error_set(err, DL_E_INVALID, "--metadata needs --json");
    }
    DL_TRY(dl_cli_peer_client(cli->stop, &client, err));
    reader r = {.cli = cli, .options = o, .client = client, .after = o->after};
    dl_status status = dl_cli_peer_open(cli, &o->where, false, &r.peer, err);
    if (status == DL_OK) {
        status = read_feed(&r, err);
    }
    dl_cli_peer_close(r.peer);
    if (status == DL_E_CANCELED && o->follow) { /* Ctrl-C is how following ends */
        dl_error_clear(err);
        return DL_OK;
    }
    return status;
}

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    dl_error err = {0};
    dl_status status = open_and_read(cli, given, &err);
    return dl_cli_flush(cli, status == DL_OK ? DL_CLI_DONE : dl_cli_fail(cli, &err));
}

const dl_cli_command dl_cli_feed = {
    .name = "feed",
    .synopsis = "",
    .summary =
        "Print the changes of the archive in their order: what was created, updated, deleted.",
    .details = "One change a line, separated by tabs: sequence, time, action, state, partition,\n"
               "and the UIDs of study, series and instance.\n"
               "Exit codes: 0 done, 1 failed, 2 wrong usage.",
    .example = "dicomlake feed --after 1200 --follow --json",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(feed_options),
    .run = run,
};
