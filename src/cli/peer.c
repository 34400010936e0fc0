#include "cli/peer.h"

#include "base/log.h"
#include "base/mem.h"
#include "dicom/dicom.h"
#include "http/url.h"
#include "service/service.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
    URL_LIMIT_BYTES = 2048,
    HOME_WAIT_MS = 5000, /* another short command may hold the home */
    HOME_POLL_MS = 50,
    QUOTE_LIMIT_BYTES = 200,
    CONNECT_TIMEOUT_S = 10,
    IDLE_TIMEOUT_S = 300, /* a store of gigabytes is answered after it was checked */
};

struct dl_cli_peer {
    dl_service *service; /* NULL: not ours */
    char root[URL_LIMIT_BYTES];
    char base[URL_LIMIT_BYTES];
};

dl_service *dl_cli_peer_service(const dl_cli_peer *peer)
{
    return peer->service;
}

/* ---- addresses ---- */

static dl_status check_scheme(dl_str url, dl_str *out_rest, dl_error *err)
{
    static const dl_str schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < DL_COUNT_OF(schemes); i++) {
        if (dl_str_starts_nocase(url, schemes[i]) && url.len > schemes[i].len) {
            *out_rest = dl_str_slice(url, schemes[i].len, url.len);
            return DL_OK;
        }
    }
    return dl_error_set(err, DL_E_INVALID, "%.*s: not a URL that begins with http:// or https://",
                        DL_STR_ARG(url));
}

dl_status dl_cli_peer_base_of(dl_str url, dl_buf *out_base, dl_error *err)
{
    dl_str rest = DL_STR_NONE;
    DL_TRY(check_scheme(url, &rest, err));
    if (dl_str_find(rest, '@') >= 0) { /* not repeated in the message: it may be a password */
        return dl_error_set(err, DL_E_INVALID, "a user name in the URL is not supported");
    }
    if (dl_str_find(rest, '?') >= 0 || dl_str_find(rest, '#') >= 0) {
        return dl_error_set(err, DL_E_INVALID, "%.*s: the URL of a service has no query",
                            DL_STR_ARG(url));
    }
    for (size_t i = 0; i < url.len; i++) {
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f) {
            return dl_error_set(err, DL_E_INVALID, "the URL holds a space or control character");
        }
    }
    if (rest.len == 0 || rest.ptr[0] == '/' || rest.ptr[0] == ':') {
        return dl_error_set(err, DL_E_INVALID, "%.*s: no host in the URL", DL_STR_ARG(url));
    }
    while (dl_str_ends(url, DL_STR("/"))) {
        url.len--;
        rest.len--;
    }
    DL_TRY(dl_buf_append_str(out_base, url, err));
    if (dl_str_find(rest, '/') < 0) {
        DL_TRY(dl_buf_append_str(out_base, DL_STR("/v2"), err));
    }
    return DL_OK;
}

static dl_status set_base(dl_cli_peer *peer, dl_str url, const char *partition, dl_error *err)
{
    DL_AUTO_BUF base = {0};
    dl_buf_init(&base, sizeof peer->root - 1);
    DL_TRY(dl_cli_peer_base_of(url, &base, err));
    (void)dl_str_copy(dl_buf_str(&base), peer->root, sizeof peer->root);
    if (partition != NULL) {
        DL_TRY(dl_buf_append_str(&base, DL_STR("/partitions/"), err));
        DL_TRY(dl_url_encode(dl_str_of(partition), &base, err));
    }
    (void)dl_str_copy(dl_buf_str(&base), peer->base, sizeof peer->base);
    return DL_OK;
}

/* ---- the home ---- */

dl_status dl_cli_peer_check_home(const char *home, dl_error *err)
{
    DL_AUTO_BUF path = {0};
    dl_buf_init(&path, 8192);
    DL_TRY(dl_buf_printf(&path, err, "%s/state", home));
    DL_TRY(dl_buf_terminate(&path, err));
    struct stat info;
    if (stat(path.ptr, &info) == 0) {
        if (S_ISDIR(info.st_mode)) {
            return DL_OK;
        }
    } else if (errno != ENOENT && errno != ENOTDIR) { /* perhaps there is one */
        return dl_error_errno(err, errno, "cannot look into %s", home);
    }
    (void)dl_error_set(err, DL_E_NOT_FOUND, "no archive in %s", home);
    dl_error_hint(err, "dicomlake import or serve makes one");
    return DL_E_NOT_FOUND;
}

/** One try: the service that runs on the home, else our own. DL_E_CONFLICT: neither, just now. */
static dl_status find_or_start(dl_cli_peer *peer, const dl_cli_where *where, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(64 << 10);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    dl_str url = DL_STR_NONE;
    dl_status status = dl_service_find(where->home, arena, &url, err);
    if (status == DL_OK) {
        return set_base(peer, url, where->partition, err);
    }
    if (status != DL_E_NOT_FOUND) {
        return status;
    }
    dl_error_clear(err);
    dl_service_options options = {
        .home = where->home, .host = "127.0.0.1", .clock = dl_clock_system()};
    dl_service_settings_init(&options.settings);
    DL_TRY(dl_service_settings_load(&options.settings, where->home, err));
    DL_TRY(dl_service_start(&options, &peer->service, err));
    char own[64];
    (void)snprintf(own, sizeof own, "http://127.0.0.1:%u",
                   (unsigned)dl_service_port(peer->service));
    return set_base(peer, dl_str_of(own), where->partition, err);
}

static dl_status open_home(const dl_cli *cli, dl_cli_peer *peer, const dl_cli_where *where,
                           bool create, dl_error *err)
{
    if (!create) {
        DL_TRY(dl_cli_peer_check_home(where->home, err));
    }
    dl_log_set_level(DL_LOG_ERROR); /* a command is not a server: no access lines */
    for (unsigned waited_ms = 0;; waited_ms += HOME_POLL_MS) {
        dl_status status = find_or_start(peer, where, err);
        if (status != DL_E_CONFLICT || waited_ms >= HOME_WAIT_MS) {
            return status;
        }
        dl_error_clear(err);
        if (!dl_cli_sleep_ms(HOME_POLL_MS, cli->stop)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped while waiting for %s", where->home);
        }
    }
}

dl_status dl_cli_peer_open(const dl_cli *cli, const dl_cli_where *where, bool create,
                           dl_cli_peer **out_peer, dl_error *err)
{
    dl_cli_where chosen = *where;
    if (chosen.url != NULL && chosen.home != NULL) {
        return dl_error_set(err, DL_E_INVALID, "--url and --home exclude each other");
    }
    if (chosen.url == NULL && chosen.home == NULL) {
        chosen.home = cli->env_home;
    }
    if (chosen.url == NULL && chosen.home == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "no archive named");
        dl_error_hint(err, "give --home DIR or --url URL, or set DICOMLAKE_HOME");
        return DL_E_INVALID;
    }
    DL_CLI_AUTO_PEER peer = dl_mem_zalloc(1, sizeof *peer);
    if (peer == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    if (chosen.url != NULL) {
        DL_TRY(set_base(peer, dl_str_of(chosen.url), chosen.partition, err));
    } else {
        DL_TRY(open_home(cli, peer, &chosen, create, err));
    }
    *out_peer = DL_STEAL(peer);
    return DL_OK;
}

void dl_cli_peer_close(dl_cli_peer *peer)
{
    if (peer != NULL) {
        if (peer->service != NULL) {
            dl_service_stop(peer->service);
        }
        dl_mem_free(peer);
    }
}

dl_status dl_cli_peer_again(const dl_cli *cli, const dl_cli_where *where, unsigned pause_ms,
                            dl_cli_peer **peer, dl_error *err)
{
    dl_status status = DL_OK;
    dl_cli_peer_close(DL_STEAL(*peer));
    do {
        dl_error_clear(err);
        if (!dl_cli_sleep_ms(pause_ms, cli->stop)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped");
        }
        status = dl_cli_peer_open(cli, where, false, peer, err);
    } while (status == DL_E_CONFLICT);
    return status;
}

const char *dl_cli_peer_base(const dl_cli_peer *peer)
{
    return peer->base;
}

const char *dl_cli_peer_root(const dl_cli_peer *peer)
{
    return peer->root;
}

/* ---- requests ---- */

dl_status dl_cli_peer_client(dl_cancel *cancel, dl_http_client **out_client, dl_error *err)
{
    const dl_http_client_options options = {
        .connect_timeout_s = CONNECT_TIMEOUT_S, .idle_timeout_s = IDLE_TIMEOUT_S, .cancel = cancel};
    return dl_http_client_create(&options, out_client, err);
}

static const struct {
    unsigned first, last;
    dl_status status;
    const char *hint;
} refusals[] = {
    {400, 400, DL_E_INVALID, ""},
    {401, 401, DL_E_DENIED, "the service wants a sign-in, which this command cannot give yet"},
    {403, 403, DL_E_DENIED, ""},
    {404, 404, DL_E_NOT_FOUND, ""},
    {405, 405, DL_E_UNSUPPORTED, "the service does not offer this, or the URL is not its base"},
    {406, 406, DL_E_UNSUPPORTED, "is the URL the base of a DICOMweb service?"},
    {409, 409, DL_E_EXISTS, ""},
    {412, 412, DL_E_CONFLICT, ""},
    {413, 414, DL_E_LIMIT, ""},
    {415, 415, DL_E_UNSUPPORTED, ""},
    {424, 424, DL_E_CORRUPT, "dicomlake verify names what is wrong with the files"},
    {429, 429, DL_E_LIMIT, "the service asks for fewer requests"},
    {501, 501, DL_E_UNSUPPORTED, ""},
    {502, 504, DL_E_UNAVAILABLE, "try again later"},
    {500, 599, DL_E_UNAVAILABLE, "the log of the service says why"},
    {300, 399, DL_E_UNSUPPORTED, "redirects are not followed: name the final URL"},
    {0, 999, DL_E_UNSUPPORTED, "is the URL the base of a DICOMweb service?"},
};

dl_status dl_cli_peer_refused(const char *method, unsigned status, dl_str content_type, dl_str body,
                              dl_error *err)
{
    size_t i = 0;
    while (status < refusals[i].first || status > refusals[i].last) {
        i++;
    }
    bool quote = body.len > 0 && dl_str_starts_nocase(content_type, DL_STR("text/plain"));
    dl_str line = DL_STR_NONE;
    if (quote) {
        (void)dl_str_next(&body, '\n', &line);
        line = dl_str_slice(line, 0, QUOTE_LIMIT_BYTES);
    }
    dl_status made = dl_error_set(err, refusals[i].status, "%s answered %u%s%.*s", method, status,
                                  line.len > 0 ? ": " : "", DL_STR_ARG(line));
    if (err != NULL) {
        err->os_code = (int)status;
    }
    if (refusals[i].hint[0] != '\0') {
        dl_error_hint(err, "%s", refusals[i].hint);
    }
    return made;
}

dl_status dl_cli_peer_ask(dl_http_client *client, const dl_cli_ask *ask, dl_arena *arena,
                          dl_buf *body, dl_http_answer *out_answer, dl_error *err)
{
    const dl_http_field fields[] = {DL_CLI_NO_CODING, {DL_STR("Accept"), dl_str_of(ask->accept)}};
    dl_http_call call = {.method = ask->method,
                         .url = ask->url,
                         .fields = fields,
                         .field_count = ask->accept == NULL ? 1 : 2};
    DL_TRY(dl_http_client_do(client, &call, arena, body, out_answer, err));
    if (out_answer->status == 200 || out_answer->status == 204) {
        return DL_OK;
    }
    dl_str said = ask->quote ? dl_buf_str(body) : DL_STR_NONE;
    return dl_cli_peer_refused(ask->method, out_answer->status, out_answer->content_type, said,
                               err);
}

const char *dl_cli_peer_level(size_t uid_count)
{
    static const char *const names[] = {"study", "series", "instance"};
    DL_ASSERT(uid_count >= 1 && uid_count <= DL_COUNT_OF(names));
    return names[uid_count - 1];
}

dl_status dl_cli_peer_path(const dl_cli_args *uids, dl_buf *out, dl_error *err)
{
    static const char *const levels[] = {"studies", "series", "instances"};
    DL_ASSERT(uids->count <= DL_COUNT_OF(levels));
    for (size_t i = 0; i < uids->count; i++) {
        if (!dl_dicom_uid_is_valid(dl_str_of(uids->items[i]))) {
            (void)dl_error_set(err, DL_E_INVALID, "%s: not a UID", uids->items[i]);
            dl_error_hint(err, "digits and dots, as dicomlake search shows them");
            return DL_E_INVALID;
        }
        DL_TRY(dl_buf_printf(out, err, "/%s/%s", levels[i], uids->items[i]));
    }
    return DL_OK;
}
