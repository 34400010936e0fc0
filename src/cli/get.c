#include "base/clock.h"
#include "cli/cli.h"
#include "cli/peer.h"
#include "cli/receive.h"
#include "cli/text.h"
#include "cli/value.h"
#include "json/json.h"

enum { URL_LIMIT_BYTES = 4096, BODY_LIMIT_BYTES = 1 << 20 };

typedef struct get_options {
    dl_cli_where where;
    const char *to;
    bool json;
} get_options;

static const get_options defaults = {.to = "."};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_WHERE_OPTIONS(get_options, where),
    DL_CLI_PARTITION_OPTION(get_options, where),
    {"to", "DIR", "where the files go (default: here)", DL_CLI_TEXT, 0, offsetof(get_options, to), 0, 0},
    {"json", NULL, "print the summary as one JSON object", DL_CLI_SWITCH, 0, offsetof(get_options, json), 0, 0},
};
/* clang-format on */

static dl_status begin_answer(void *context, const dl_http_answer *answer, dl_error *err)
{
    return dl_cli_receive_begin(context, answer->content_type, err);
}

static dl_status take_piece(void *context, dl_bytes piece, dl_error *err)
{
    return dl_cli_receive_feed(context, piece, err);
}

/** How many instances a study has, for the bar; not knowing it is no failure. */
static void expect_count(dl_http_client *client, const char *base, const dl_cli_args *uids,
                         dl_cli_progress *progress)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(BODY_LIMIT_BYTES);
    DL_AUTO_BUF url = {0};
    DL_AUTO_BUF body = {0};
    dl_http_answer answer = {0};
    dl_str match = DL_STR_NONE;
    int64_t count = 0;
    dl_buf_init(&url, URL_LIMIT_BYTES);
    dl_buf_init(&body, BODY_LIMIT_BYTES);
    if (arena == NULL || uids->count != 1 ||
        dl_buf_printf(&url, NULL, "%s/studies?StudyInstanceUID=%s&includefield=00201208", base,
                      uids->items[0]) != DL_OK ||
        dl_buf_terminate(&url, NULL) != DL_OK) {
        return;
    }
    const dl_cli_ask ask = {"GET", url.ptr, "application/dicom+json", false};
    if (dl_cli_peer_ask(client, &ask, arena, &body, &answer, NULL) == DL_OK &&
        dl_json_check(dl_buf_str(&body), NULL) == DL_OK &&
        dl_json_at(dl_buf_str(&body), 0, &match) &&
        dl_cli_value_number(match, "00201208", &count) && count > 0) {
        dl_cli_progress_expect(progress, (uint64_t)count, 0);
    }
}

static dl_status fetch(dl_http_client *client, const char *url, const dl_cli_args *uids,
                       dl_cli_receive *receive, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(BODY_LIMIT_BYTES);
    DL_AUTO_BUF body = {0};
    dl_http_answer answer = {0};
    const dl_http_field fields[] = {
        DL_CLI_NO_CODING,
        {DL_STR("Accept"),
         DL_STR("multipart/related; type=\"application/dicom\"; transfer-syntax=*")}};
    dl_buf_init(&body, BODY_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "get: out of memory");
    }
    const dl_http_call call = {.method = "GET",
                               .url = url,
                               .fields = fields,
                               .field_count = DL_COUNT_OF(fields),
                               .begin = begin_answer,
                               .write = take_piece,
                               .context = receive};
    DL_TRY(dl_http_client_do(client, &call, arena, &body, &answer, err));
    if (answer.status == 404 || answer.status == 204) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no %s %s", dl_cli_peer_level(uids->count),
                           uids->items[uids->count - 1]);
        dl_error_hint(err, "dicomlake search lists what there is");
        return DL_E_NOT_FOUND;
    }
    if (answer.status == 206) { /* some of it cannot be had as it was asked for */
        DL_TRY(dl_cli_receive_finish(receive, err));
        return dl_error_set(err, DL_E_UNAVAILABLE,
                            "the service has more of the %s than it gives (206)",
                            dl_cli_peer_level(uids->count));
    }
    if (answer.status != 200) {
        return dl_cli_peer_refused("GET", answer.status, answer.content_type, dl_buf_str(&body),
                                   err);
    }
    return dl_cli_receive_finish(receive, err);
}

/** The summary, also of an answer that was cut off. */
static dl_status print_summary(const dl_cli *cli, const get_options *o,
                               const dl_cli_receive *receive, int64_t took_us, bool complete,
                               dl_error *err)
{
    double seconds = (double)took_us / 1e6;
    uint64_t files = dl_cli_receive_files(receive);
    uint64_t bytes = dl_cli_receive_bytes(receive);
    char amount[DL_CLI_AMOUNT_SIZE];
    if (!o->json) {
        dl_cli_text_bytes(bytes, amount);
        (void)fprintf(cli->out, "%llu file%s, %s in %.1f s%s\n", (unsigned long long)files,
                      files == 1 ? "" : "s", amount, seconds, complete ? "" : "; not complete");
        return DL_OK;
    }
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)64 << 10);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("files"));
    dl_json_int(&w, (int64_t)files);
    dl_json_key(&w, DL_STR("bytes"));
    dl_json_int(&w, (int64_t)bytes);
    dl_json_key(&w, DL_STR("seconds"));
    dl_json_double(&w, seconds);
    dl_json_key(&w, DL_STR("to"));
    dl_json_string(&w, dl_str_of(o->to));
    dl_json_key(&w, DL_STR("complete"));
    dl_json_bool(&w, complete);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    (void)fprintf(cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
    return DL_OK;
}

/** `out_files`: how many arrived whole, also when it fails. */
static dl_status get(dl_cli *cli, const get_options *o, const dl_cli_args *uids,
                     uint64_t *out_files, dl_error *err)
{
    DL_CLI_AUTO_PEER peer = NULL;
    DL_AUTO(dl_http_client) client = NULL;
    DL_AUTO(dl_cli_progress) progress = NULL;
    DL_AUTO(dl_cli_receive) receive = NULL;
    DL_AUTO_BUF path = {0};
    DL_AUTO_BUF url = {0};
    dl_buf_init(&path, URL_LIMIT_BYTES);
    dl_buf_init(&url, URL_LIMIT_BYTES);
    DL_TRY(dl_cli_peer_path(uids, &path, err));
    DL_TRY(dl_cli_peer_open(cli, &o->where, false, &peer, err));
    DL_TRY(dl_cli_peer_client(cli->stop, &client, err));
    DL_TRY(dl_cli_progress_create(cli->err, "receiving", "files", &progress, err));
    DL_TRY(
        dl_buf_printf(&url, err, "%s%.*s", dl_cli_peer_base(peer), DL_STR_ARG(dl_buf_str(&path))));
    DL_TRY(dl_buf_terminate(&url, err));
    DL_TRY(dl_cli_receive_create(o->to, progress, &receive, err));
    if (dl_cli_progress_watched(progress)) {
        expect_count(client, dl_cli_peer_base(peer), uids, progress);
    }
    int64_t start_us = dl_clock_monotonic_us();
    dl_status status = fetch(client, url.ptr, uids, receive, err);
    *out_files = dl_cli_receive_files(receive);
    dl_cli_progress_clear(progress);
    if (status == DL_OK || *out_files > 0) {
        dl_status printed = print_summary(cli, o, receive, dl_clock_monotonic_us() - start_us,
                                          status == DL_OK, status == DL_OK ? err : NULL);
        status = status == DL_OK ? printed : status;
    }
    return status;
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    dl_error err = {0};
    uint64_t files = 0;
    if (get(cli, given, args, &files, &err) == DL_OK) {
        return dl_cli_flush(cli, DL_CLI_DONE);
    }
    dl_cli_exit code = dl_cli_fail(cli, &err);
    return dl_cli_flush(cli, files > 0 ? DL_CLI_PARTLY : code);
}

const dl_cli_command dl_cli_get = {
    .name = "get",
    .synopsis = "STUDY [SERIES [INSTANCE]]",
    .summary = "Fetch the files of a study, a series or an instance, named by UIDs.",
    .details =
        "Files are named STUDY/SERIES/INSTANCE.dcm below the folder and have the bytes that were\n"
        "stored.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some files arrived before it failed.",
    .example = "dicomlake get 1.2.826.0.1.3680043.2.1 --to /tmp/study",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(get_options),
    .args_min = 1,
    .args_max = 3,
    .run = run,
};
