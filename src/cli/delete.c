#include "cli/cli.h"
#include "cli/peer.h"
#include "json/json.h"

#include <poll.h>
#include <unistd.h>

enum { URL_LIMIT_BYTES = 4096, LOOK_MS = 50 };

typedef struct delete_options {
    dl_cli_where where;
    bool yes, json;
} delete_options;

static const delete_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_WHERE_OPTIONS(delete_options, where),
    DL_CLI_PARTITION_OPTION(delete_options, where),
    {"yes", NULL, "do not ask; needed when no person is at the terminal", DL_CLI_SWITCH, 'y', offsetof(delete_options, yes), 0, 0},
    {"json", NULL, "print what was deleted as one JSON object", DL_CLI_SWITCH, 0, offsetof(delete_options, json), 0, 0},
};
/* clang-format on */

/** The person says yes, or --yes did. */
static dl_status confirm(const dl_cli *cli, const delete_options *o, const dl_cli_args *uids,
                         const char *base, dl_error *err)
{
    if (o->yes) {
        return DL_OK;
    }
    if (isatty(STDIN_FILENO) != 1 || isatty(fileno(cli->err)) != 1) {
        return dl_error_set(err, DL_E_INVALID, "delete needs --yes when no person can be asked");
    }
    const char *home = o->where.home != NULL ? o->where.home : cli->env_home;
    (void)fprintf(cli->err, "Delete %s %s and all below from %s? [y/N] ",
                  dl_cli_peer_level(uids->count), uids->items[uids->count - 1],
                  o->where.url != NULL || o->where.partition != NULL ? base : home);
    (void)fflush(cli->err);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!dl_cancel_asked(cli->stop) && poll(&input, 1, LOOK_MS) <= 0) {
        ; /* Ctrl-C must not have to wait for a line */
    }
    char line[16] = "";
    if (dl_cancel_asked(cli->stop) || fgets(line, sizeof line, stdin) == NULL) {
        line[0] = '\0';
    }
    dl_str said = dl_str_of(line);
    if (said.len > 0 && said.ptr[said.len - 1] == '\n') {
        said.len--;
    }
    if (dl_str_eq_nocase(said, DL_STR("y")) || dl_str_eq_nocase(said, DL_STR("yes"))) {
        return DL_OK;
    }
    return dl_error_set(err, DL_E_CANCELED, "nothing was deleted");
}

static dl_status print_done(const dl_cli *cli, bool json, const dl_cli_args *uids, dl_error *err)
{
    if (!json) {
        (void)fprintf(cli->out, "deleted %s %s\n", dl_cli_peer_level(uids->count),
                      uids->items[uids->count - 1]);
        return DL_OK;
    }
    static const char *const keys[] = {"studyInstanceUid", "seriesInstanceUid", "sopInstanceUid"};
    DL_ASSERT(uids->count <= DL_COUNT_OF(keys));
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, URL_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("deleted"));
    dl_json_string(&w, dl_str_of(dl_cli_peer_level(uids->count)));
    for (size_t i = 0; i < uids->count; i++) {
        dl_json_key(&w, dl_str_of(keys[i]));
        dl_json_string(&w, dl_str_of(uids->items[i]));
    }
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    (void)fprintf(cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
    return DL_OK;
}

static dl_status delete_it(dl_cli *cli, const delete_options *o, const dl_cli_args *uids,
                           dl_error *err)
{
    DL_CLI_AUTO_PEER peer = NULL;
    DL_AUTO(dl_http_client) client = NULL;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_BUF path = {0};
    DL_AUTO_BUF url = {0};
    DL_AUTO_BUF body = {0};
    dl_http_answer answer = {0};
    dl_buf_init(&path, URL_LIMIT_BYTES);
    dl_buf_init(&url, URL_LIMIT_BYTES);
    dl_buf_init(&body, 1 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delete: out of memory");
    }
    DL_TRY(dl_cli_peer_path(uids, &path, err));
    DL_TRY(dl_cli_peer_open(cli, &o->where, false, &peer, err));
    DL_TRY(confirm(cli, o, uids, dl_cli_peer_base(peer), err));
    DL_TRY(
        dl_buf_printf(&url, err, "%s%.*s", dl_cli_peer_base(peer), DL_STR_ARG(dl_buf_str(&path))));
    DL_TRY(dl_buf_terminate(&url, err));
    DL_TRY(dl_cli_peer_client(cli->stop, &client, err));
    const dl_cli_ask ask = {"DELETE", url.ptr, NULL, true};
    dl_status status = dl_cli_peer_ask(client, &ask, arena, &body, &answer, err);
    if (status == DL_E_NOT_FOUND) {
        (void)dl_error_set(err, status, "there is no %s %s", dl_cli_peer_level(uids->count),
                           uids->items[uids->count - 1]);
        dl_error_hint(err, "dicomlake search lists what there is");
        return status;
    }
    DL_TRY(status);
    return print_done(cli, o->json, uids, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    dl_error err = {0};
    dl_status status = delete_it(cli, given, args, &err);
    return dl_cli_flush(cli, status == DL_OK ? DL_CLI_DONE : dl_cli_fail(cli, &err));
}

const dl_cli_command dl_cli_delete = {
    .name = "delete",
    .synopsis = "STUDY [SERIES [INSTANCE]]",
    .summary = "Delete a study, a series or an instance, named by UIDs.",
    .details = "Exit codes: 0 done, 1 failed (nothing was deleted), 2 wrong usage.",
    .example = "dicomlake delete 1.2.826.0.1.3680043.2.1 --yes",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(delete_options),
    .args_min = 1,
    .args_max = 3,
    .run = run,
};
