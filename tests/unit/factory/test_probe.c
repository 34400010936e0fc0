/* The test of a connection: each failure named at its step, with what to do. */
#include "base/file.h"
#include "base/log.h"
#include "factory/probe.h"
#include "http/server.h"

#include "support/folder.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- a place for everything ---- */

static char folder[FOLDER_SIZE];
static dl_factory *factory;
static dl_arena *arena;
static dl_error err;
static int64_t clock_shift_us;

static int64_t now_us(void *context)
{
    (void)context;
    dl_clock clock = dl_clock_system();
    return dl_clock_now_us(&clock) + clock_shift_us;
}

/* ---- a service that is as it is told ---- */

typedef struct service {
    unsigned status; /* of everything under /v2/changefeed */
    const char *type, *body, *feed_body;
    bool older; /* has /v1 alone */
    const char *token;
    _Atomic int requests;
} service;

static void answer(service *s, dl_http_exchange *x)
{
    static const char row[] =
        "{\"sequence\":7,\"studyInstanceUid\":\"1\",\"seriesInstanceUid\":\"2\","
        "\"sopInstanceUid\":\"3\",\"action\":\"Create\",\"state\":\"Current\","
        "\"timestamp\":\"2026-01-01T00:00:00.0000000+00:00\"}";
    char page[sizeof row + 2];
    dl_str path = dl_http_path(x);
    bool v2 = dl_str_starts(path, DL_STR("/v2/changefeed"));
    bool v1 = s->older && dl_str_starts(path, DL_STR("/v1/changefeed"));
    dl_str token = dl_http_header(x, "Authorization");
    atomic_fetch_add(&s->requests, 1);
    if (s->token != NULL && !dl_str_eq(token, dl_str_of(s->token))) {
        dl_http_respond(x, 401, "text/plain", DL_STR("no"));
    } else if ((v2 && s->older) || (!v2 && !v1)) {
        dl_http_respond(x, 404, "text/plain", DL_STR("nothing here"));
    } else if (s->status != 200) {
        dl_http_respond(x, s->status, s->status == 204 ? NULL : "text/plain", DL_STR(""));
    } else if (dl_str_ends(path, DL_STR("/latest"))) {
        dl_http_respond(x, 200, s->type, dl_str_of(s->body == NULL ? row : s->body));
    } else {
        (void)snprintf(page, sizeof page, "[%s]", row);
        dl_http_respond(x, 200, "application/json",
                        dl_str_of(s->feed_body == NULL ? page : s->feed_body));
    }
}

static dl_status begin(void *context, dl_http_exchange *x, void **out_state, dl_error *error)
{
    (void)out_state;
    (void)error;
    answer(context, x);
    return DL_OK;
}

static dl_http_server *serve(service *s, char url[64])
{
    dl_http_server_options options = {.host = "127.0.0.1", .body_limit_bytes = 1000};
    dl_http_app app = {.begin = begin, .context = s};
    dl_http_server *server = NULL;
    TAP_OK(dl_http_server_start(&options, &app, &server, &err), err);
    (void)snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)dl_http_server_port(server));
    return server;
}

/* ---- asking ---- */

static dl_factory_connection dicom_at(const char *url)
{
    return (dl_factory_connection){
        .name = DL_STR("hospital"), .type = DL_FACTORY_DICOM, .url = dl_str_of(url)};
}

static dl_factory_connection lake_at(const char *path)
{
    return (dl_factory_connection){
        .name = DL_STR("lake"), .type = DL_FACTORY_LAKE, .url = dl_str_of(path)};
}

static const dl_probe_step *last_of(const dl_probe *p)
{
    return &p->steps[p->count - 1];
}

/* All steps passed but the last, which is `name`, says `text` and hints at `hint`. */
static void expect_failure(const dl_factory_connection *c, const char *name, const char *text,
                           const char *hint)
{
    dl_probe p = {0};
    TAP_OK(dl_probe_connection(factory, c, NULL, &p, &err), err);
    TAP_TRUE(!p.passed);
    TAP_TRUE(p.count > 0);
    if (p.count == 0) {
        return;
    }
    for (size_t i = 0; i + 1 < p.count; i++) {
        if (!p.steps[i].passed || p.steps[i].hint[0] != '\0') {
            TAP_FAIL("step %s failed: %s", p.steps[i].name, p.steps[i].text);
        }
    }
    const dl_probe_step *s = last_of(&p);
    TAP_TRUE(!s->passed);
    TAP_EQ_STR(dl_str_of(s->name), name);
    if (strstr(s->text, text) == NULL) {
        TAP_FAIL("%s says '%s', not '%s'", s->name, s->text, text);
    }
    if (strstr(s->hint, hint) == NULL) {
        TAP_FAIL("%s hints at '%s', not '%s'", s->name, s->hint, hint);
    }
}

static void expect_steps(const dl_factory_connection *c, const char *const *names, size_t count,
                         dl_probe *out_probe)
{
    dl_probe p = {0};
    TAP_OK(dl_probe_connection(factory, c, NULL, &p, &err), err);
    TAP_EQ_INT(p.count, count);
    for (size_t i = 0; i < p.count; i++) {
        if (!p.steps[i].passed) {
            TAP_FAIL("%s: %s", p.steps[i].name, p.steps[i].text);
        }
        TAP_EQ_STR(dl_str_of(p.steps[i].name), i < count ? names[i] : "");
        TAP_EQ_INT(p.steps[i].hint[0], 0);
    }
    TAP_TRUE(p.passed);
    *out_probe = p;
}

/* ---- a DICOM service ---- */

TAP_CASE(a_service_that_works)
{
    static const char *const steps[] = {"address", "connect", "answer", "access",
                                        "path",    "version", "feed",   "clock"};
    service s = {.status = 200, .type = "application/json"};
    char url[64];
    char with_version[80];
    dl_probe p;
    dl_http_server *server = serve(&s, url);
    dl_factory_connection c = dicom_at(url);
    expect_steps(&c, steps, DL_COUNT_OF(steps), &p);
    TAP_EQ_STR(dl_str_of(p.steps[7].text), "the same as ours");
    TAP_EQ_INT(s.requests, 2);
    (void)snprintf(with_version, sizeof with_version, "%s/v2/", url);
    c = dicom_at(with_version);
    expect_steps(&c, steps, DL_COUNT_OF(steps), &p);
    s.status = 204; /* an empty feed */
    expect_steps(&c, steps, DL_COUNT_OF(steps), &p);
    TAP_EQ_STR(dl_str_of(p.steps[6].text), "no changes yet");
    dl_http_server_stop(server, 1000);
}

TAP_CASE(answers_that_are_failures)
{
    static const struct {
        const char *name;
        service service;
        const char *step, *text, *hint;
    } rows[] = {
        {"500", {.status = 500}, "answer", "HTTP 500", "its log"},
        {"503", {.status = 503}, "answer", "HTTP 503", "its log"},
        {"429", {.status = 429}, "answer", "HTTP 429", "fewer requests"},
        {"401", {.status = 401}, "access", "HTTP 401: no token", "name a secret"},
        {"403", {.status = 403}, "access", "HTTP 403", "DICOM Data Reader"},
        {"302", {.status = 302}, "path", "redirected", "redirects are not followed"},
        {"404", {.status = 404}, "path", "HTTP 404", "without /v2"},
        {"400", {.status = 400}, "path", "HTTP 400", "without /v2"},
        {"a web page",
         {.status = 200, .type = "text/html", .body = "<html>"},
         "path",
         "text/html",
         "without /v2"},
        {"a JSON array",
         {.status = 200, .type = "application/json", .body = "[]"},
         "path",
         "no change feed",
         "without /v2"},
        {"v1 alone",
         {.status = 200, .type = "application/json", .older = true},
         "version",
         "under /v1, none under /v2",
         "API version 2"},
        {"a feed of garbage",
         {.status = 200, .type = "application/json", .feed_body = "[{\"sequence\":0}]"},
         "feed",
         "sequence",
         "change feed's form"},
        {"a feed without end",
         {.status = 200, .type = "application/json", .feed_body = "[{]"},
         "feed",
         "a page of it",
         "change feed's form"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        char url[64];
        service s = {.status = rows[i].service.status,
                     .type = rows[i].service.type,
                     .body = rows[i].service.body,
                     .feed_body = rows[i].service.feed_body,
                     .older = rows[i].service.older};
        dl_http_server *server = serve(&s, url);
        dl_factory_connection c = dicom_at(url);
        expect_failure(&c, rows[i].step, rows[i].text, rows[i].hint);
        dl_http_server_stop(server, 1000);
        TAP_ROW_END(rows[i].name);
    }
}

TAP_CASE(a_host_without_address)
{
    dl_factory_connection c = dicom_at("https://hospital.invalid/base");
    expect_failure(&c, "address", "hospital.invalid", "the host's name");
}

static int listen_on(unsigned *out_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    TAP_EQ_INT(bind(fd, (struct sockaddr *)&at, size), 0);
    TAP_EQ_INT(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

TAP_CASE(nobody_listens)
{
    unsigned port = 0;
    char url[64];
    int fd = listen_on(&port); /* bound, so that nobody else listens there */
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    dl_factory_connection c = dicom_at(url);
    expect_failure(&c, "connect", "127.0.0.1", "start the service");
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u", port);
    c = dicom_at(url);
    expect_failure(&c, "connect", "127.0.0.1", "start the service");
    (void)close(fd);
}

/* Says `words` to whoever connects, and hangs up. */
typedef struct talker {
    int fd;
    const char *words;
    int calls;
} talker;

static void *talk(void *context)
{
    talker *t = context;
    for (int i = 0; i < t->calls; i++) {
        int peer = accept(t->fd, NULL, NULL);
        char heard[4096];
        ssize_t got = recv(peer, heard, sizeof heard, 0);
        if (got > 0 && t->words[0] != '\0') {
            (void)!send(peer, t->words, strlen(t->words), MSG_NOSIGNAL);
        }
        (void)close(peer);
    }
    return NULL;
}

static void expect_talk(const char *scheme, const char *words, const char *step, const char *hint)
{
    talker t = {.words = words, .calls = 1};
    pthread_t thread = 0;
    unsigned port = 0;
    char url[64];
    t.fd = listen_on(&port);
    TAP_EQ_INT(listen(t.fd, 4), 0);
    TAP_EQ_INT(pthread_create(&thread, NULL, talk, &t), 0);
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u", scheme, port);
    dl_factory_connection c = dicom_at(url);
    expect_failure(&c, step, "HTTP: ", hint);
    (void)shutdown(t.fd, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(t.fd);
}

TAP_CASE(https_where_there_is_none)
{
    expect_talk("https", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "tls",
                "is it http, not https");
}

TAP_CASE(no_http_at_all)
{
    expect_talk("http", "220 mail.example ESMTP\r\n", "answer", "wants https");
    expect_talk("http", "", "answer", "wants https");
}

TAP_CASE(urls_that_are_none)
{
    static const char *const urls[] = {
        "ftp://host/",      "hospital",           "http://", "http://u:p@host/x",
        "http://host/?a=b", "http://host/a path", ""};
    for (size_t i = 0; i < DL_COUNT_OF(urls); i++) {
        TAP_ROW_BEGIN();
        dl_factory_connection c = dicom_at(urls[i]);
        expect_failure(&c, "address", "address of the DICOM service", "https://host/path");
        TAP_ROW_END(urls[i]);
    }
}

TAP_CASE(clocks_that_are_apart)
{
    service s = {.status = 200, .type = "application/json"};
    char url[64];
    dl_http_server *server = serve(&s, url);
    dl_factory_connection c = dicom_at(url);
    dl_probe p = {0};
    clock_shift_us = 290LL * 1000000;
    TAP_OK(dl_probe_connection(factory, &c, NULL, &p, &err), err);
    TAP_TRUE(p.passed);
    clock_shift_us = 310LL * 1000000;
    expect_failure(&c, "clock", "behind ours", "NTP");
    clock_shift_us = -310LL * 1000000;
    expect_failure(&c, "clock", "ahead of ours", "NTP");
    clock_shift_us = 0;
    dl_http_server_stop(server, 1000);
}

TAP_CASE(a_cancelled_test)
{
    service s = {.status = 200, .type = "application/json"};
    char url[64];
    dl_http_server *server = serve(&s, url);
    dl_factory_connection c = dicom_at(url);
    dl_probe p = {.count = 99};
    dl_cancel cancel = {0};
    dl_cancel_ask(&cancel);
    dl_error local = {0};
    TAP_STATUS(dl_probe_connection(factory, &c, &cancel, &p, &local), DL_E_CANCELED);
    TAP_TRUE(local.message[0] != '\0');
    TAP_EQ_INT(p.count, 99);
    dl_http_server_stop(server, 1000);
}

TAP_CASE(the_home_without_service)
{
    dl_factory_connection c = dicom_at("home:");
    expect_failure(&c, "feed", "does not run the service", "dicomlake serve");
}

/* ---- secrets ---- */

TAP_CASE(secrets)
{
    service s = {.status = 200, .type = "application/json", .token = "Bearer s3cret-token"};
    char url[64];
    char path[128];
    dl_http_server *server = serve(&s, url);
    dl_factory_connection c = dicom_at(url);
    c.auth = DL_FACTORY_AUTH_TOKEN;
    expect_failure(&c, "access", "names no secret", "environment variable or a file");
    c.secret_kind = DL_FACTORY_SECRET_ENVIRONMENT;
    c.secret = DL_STR("DICOMLAKE_TEST_NO_SUCH_TOKEN");
    expect_failure(&c, "access", "DICOMLAKE_TEST_NO_SUCH_TOKEN is not set", "start it anew");
    (void)setenv("DICOMLAKE_TEST_TOKEN", "s3cret-token", 1); /* NOLINT: one thread */
    c.secret = DL_STR("DICOMLAKE_TEST_TOKEN");
    dl_probe p = {0};
    TAP_OK(dl_probe_connection(factory, &c, NULL, &p, &err), err);
    TAP_TRUE(p.passed);
    (void)setenv("DICOMLAKE_TEST_TOKEN", "other-token", 1); /* NOLINT: one thread */
    expect_failure(&c, "access", "the token is refused", "has expired");
    TAP_OK(dl_probe_connection(factory, &c, NULL, &p, &err), err);
    for (size_t i = 0; i < p.count; i++) { /* never said */
        TAP_TRUE(strstr(p.steps[i].text, "other-token") == NULL);
        TAP_TRUE(strstr(p.steps[i].hint, "other-token") == NULL);
    }
    (void)snprintf(path, sizeof path, "%s/token", folder);
    c.secret_kind = DL_FACTORY_SECRET_FILE;
    c.secret = dl_str_of(path);
    expect_failure(&c, "access", "cannot be read", "make the file");
    TAP_OK(dl_file_replace(path, DL_STR("  s3cret-token\r\n"), &err), err);
    TAP_OK(dl_probe_connection(factory, &c, NULL, &p, &err), err);
    TAP_TRUE(p.passed);
    TAP_OK(dl_file_replace(path, DL_STR(" \n"), &err), err);
    expect_failure(&c, "access", "is empty", "");
    TAP_OK(dl_file_replace(path, DL_STR("two words"), &err), err);
    expect_failure(&c, "access", "holds no token", "");
    c.auth = DL_FACTORY_AUTH_MANAGED_IDENTITY;
    expect_failure(&c, "access", "managed identity", "use a token");
    dl_http_server_stop(server, 1000);
}

TAP_CASE(a_secret_is_read_now)
{
    dl_factory_connection c = dicom_at("http://127.0.0.1:1");
    dl_str secret = DL_STR("before");
    TAP_OK(dl_connection_secret(&c, arena, &secret, &err), err);
    TAP_EQ_INT(secret.len, 0);
    (void)setenv("DICOMLAKE_TEST_TOKEN", "abc", 1); /* NOLINT: one thread */
    c.auth = DL_FACTORY_AUTH_TOKEN;
    c.secret_kind = DL_FACTORY_SECRET_ENVIRONMENT;
    c.secret = DL_STR("DICOMLAKE_TEST_TOKEN");
    TAP_OK(dl_connection_secret(&c, arena, &secret, &err), err);
    TAP_EQ_STR(secret, "abc");
    (void)unsetenv("DICOMLAKE_TEST_TOKEN"); /* NOLINT: one thread */
    TAP_STATUS(dl_connection_secret(&c, arena, &secret, &err), DL_E_NOT_FOUND);
    TAP_EQ_STR(secret, "abc");
}

/* ---- a lake ---- */

static size_t entries; /* that nftw came by */

static int count_path(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)path;
    (void)info;
    (void)kind;
    (void)walk;
    entries++;
    return 0;
}

static size_t count_entries(const char *path)
{
    entries = 0;
    (void)nftw(path, count_path, 16, FTW_PHYS); /* NOLINT: one thread */
    return entries;
}

TAP_CASE(a_lake_that_works)
{
    static const char *const steps[] = {"folder",        "write", "read",
                                        "put if absent", "list",  "delete"};
    char path[128];
    dl_probe p;
    (void)snprintf(path, sizeof path, "%s/new/deep/lake", folder);
    dl_factory_connection c = lake_at(path);
    expect_steps(&c, steps, DL_COUNT_OF(steps), &p);
    TAP_EQ_STR(dl_str_of(p.steps[0].text), "it can be made");
    (void)snprintf(path, sizeof path, "%s/new", folder);
    TAP_TRUE(access(path, F_OK) != 0); /* nothing stays behind */
    (void)snprintf(path, sizeof path, "%s/there", folder);
    TAP_EQ_INT(mkdir(path, 0700), 0);
    expect_steps(&(dl_factory_connection){.name = DL_STR("lake"),
                                          .type = DL_FACTORY_LAKE,
                                          .url = dl_str_of(path)},
                 steps, DL_COUNT_OF(steps), &p);
    TAP_EQ_STR(dl_str_of(p.steps[0].text), "it is there");
    TAP_EQ_INT(count_entries(path), 1);
    c = lake_at("home:");
    expect_steps(&c, steps, DL_COUNT_OF(steps), &p);
}

TAP_CASE(what_was_there_stays)
{
    char path[128];
    char file[160];
    dl_probe p = {0};
    (void)snprintf(path, sizeof path, "%s/used", folder);
    TAP_EQ_INT(mkdir(path, 0700), 0);
    (void)snprintf(file, sizeof file, "%s/mine", path);
    TAP_OK(dl_file_replace(file, DL_STR("text"), &err), err);
    size_t before = count_entries(path);
    dl_factory_connection c = lake_at(path);
    TAP_OK(dl_probe_connection(factory, &c, NULL, &p, &err), err);
    TAP_TRUE(p.passed);
    TAP_EQ_INT(count_entries(path), before);
    TAP_EQ_INT(access(file, F_OK), 0);
}

TAP_CASE(lakes_that_cannot_be)
{
    char file[128];
    char below[160];
    (void)snprintf(file, sizeof file, "%s/file", folder);
    TAP_OK(dl_file_replace(file, DL_STR("text"), &err), err);
    (void)snprintf(below, sizeof below, "%s/lake", file);
    const struct {
        const char *name, *url, *text, *hint;
    } rows[] = {
        {"a relative folder", "tables", "is relative", "whole path"},
        {"no folder", "", "is relative", "whole path"},
        {"a URL", "abfss://lake@account.dfs.core.windows.net/x", "only folders", "give a folder"},
        {"below a file", below, "Not a directory", "is a file"},
        {"a file", file, "", ""},
        {"not writable", "/proc/dicomlake-test", "cannot make the folder", "folder"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_factory_connection c = lake_at(rows[i].url);
        expect_failure(&c, "folder", rows[i].text, rows[i].hint);
        TAP_ROW_END(rows[i].name);
    }
}

/* What the system says in the place of one call; linked with --wrap. */
static int fail_link, fail_open;
/* NOLINTBEGIN: the linker's names */
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);

static bool fails(int code)
{
    if (code != 0) {
        errno = code;
    }
    return code != 0;
}

int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(fail_link) ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return flags != 0 && fails(fail_link) ? -1
                                          : __real_renameat2(from_dir, from, to_dir, to, flags);
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
    bool writes = (flags & (O_WRONLY | O_RDWR)) != 0;
    return writes && fails(fail_open) ? -1 : __real_openat64(dir, path, flags, 0600);
}
/* NOLINTEND */

TAP_CASE(places_that_refuse)
{
    static const struct {
        const char *name;
        int link, open;
        const char *step, *hint;
    } rows[] = {
        {"no atomic put", EOPNOTSUPP, 0, "put if absent", "a local disk or NFS 4"},
        {"no hard links", EPERM, 0, "put if absent", "a local disk or NFS 4"},
        {"read-only", 0, EROFS, "write", "mounted read-only"},
        {"no right to write", 0, EACCES, "write", "the right to write"},
        {"full", 0, ENOSPC, "write", "make room"},
        {"over the quota", 0, EDQUOT, "write", "make room"},
    };
    char path[128];
    (void)snprintf(path, sizeof path, "%s/refusing", folder);
    TAP_EQ_INT(mkdir(path, 0700), 0);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        fail_link = rows[i].link;
        fail_open = rows[i].open;
        dl_factory_connection c = lake_at(path);
        expect_failure(&c, rows[i].step, "", rows[i].hint);
        fail_link = fail_open = 0;
        TAP_EQ_INT(count_entries(path), 1);
        TAP_ROW_END(rows[i].name);
    }
}

/* ---- where things are ---- */

TAP_CASE(where_the_state_is)
{
    dl_pipeline_parameters parameters = dl_pipeline_parameters_default();
    dl_factory_connection c = lake_at("home:");
    dl_store *store = NULL;
    dl_str state;
    char want[160];
    char path[128];
    TAP_OK(dl_connection_lake(factory, &c, &parameters, true, arena, &store, &state, &err), err);
    dl_store_close(store);
    (void)snprintf(want, sizeof want, "%s/state/lake/e6c753ba", folder); /* as sync names it */
    TAP_EQ_STR(state, want);
    (void)snprintf(path, sizeof path, "file://%s/elsewhere//", folder);
    c = lake_at(path);
    store = NULL;
    TAP_STATUS(dl_connection_lake(factory, &c, &parameters, false, arena, &store, &state, &err),
               DL_E_NOT_FOUND);
    TAP_TRUE(store == NULL);
    TAP_OK(dl_connection_lake(factory, &c, &parameters, true, arena, &store, &state, &err), err);
    dl_store_close(store);
    (void)snprintf(want, sizeof want, "%s/elsewhere/.dicomlake/e6c753ba", folder);
    TAP_EQ_STR(state, want);
    (void)snprintf(parameters.container, sizeof parameters.container, "other");
    TAP_OK(dl_connection_lake(factory, &c, &parameters, true, arena, &store, &state, &err), err);
    dl_store_close(store);
    TAP_TRUE(!dl_str_eq(state, dl_str_of(want)));
    dl_feed_source *source = NULL;
    TAP_STATUS(dl_connection_feed(factory, &c, NULL, &source, &err), DL_E_INVALID);
    c = dicom_at("http://127.0.0.1:1");
    TAP_STATUS(dl_connection_lake(factory, &c, &parameters, true, arena, &store, &state, &err),
               DL_E_INVALID);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    folder_make(folder, "probe");
    dl_factory_options options = {.home = folder, .clock = {now_us, NULL}};
    TAP_OK(dl_factory_open(&options, &factory, &err), err);
    arena = dl_arena_create(1 << 20);
    TAP_RUN(a_service_that_works);
    answers_that_are_failures();
    TAP_RUN(a_host_without_address);
    TAP_RUN(nobody_listens);
    TAP_RUN(https_where_there_is_none);
    TAP_RUN(no_http_at_all);
    urls_that_are_none();
    TAP_RUN(clocks_that_are_apart);
    TAP_RUN(a_cancelled_test);
    TAP_RUN(the_home_without_service);
    TAP_RUN(secrets);
    TAP_RUN(a_secret_is_read_now);
    TAP_RUN(a_lake_that_works);
    TAP_RUN(what_was_there_stays);
    lakes_that_cannot_be();
    places_that_refuse();
    TAP_RUN(where_the_state_is);
    dl_arena_destroy(arena);
    dl_factory_close(factory);
    folder_remove(folder);
    return tap_done();
}
