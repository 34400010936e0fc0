/* What a connection leads to: its secret, its feed, its lake. */
#include "factory/probe.h"

#include "base/env.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SECRET_LIMIT_BYTES = 64 * 1024, PATH_SIZE = 4096 };

static const char home_url[] = "home:";

static bool is_home(const dl_factory_connection *connection)
{
    return dl_str_eq(connection->url, dl_str_of(home_url));
}

/* ---- the secret ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* As it goes into a header: one line of visible characters. */
static dl_status check_secret(dl_str text, const char *what, dl_str name, dl_str *out_secret,
                              dl_error *err)
{
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text = dl_str_slice(text, 1, text.len);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f) {
            return dl_error_set(err, DL_E_INVALID, "the %s %.*s holds no token: it has blanks",
                                what, DL_STR_ARG(name));
        }
    }
    *out_secret = text;
    return text.len > 0
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID, "the %s %.*s is empty", what, DL_STR_ARG(name));
}

static dl_status read_variable(dl_str name, dl_arena *arena, dl_str *out_secret, dl_error *err)
{
    dl_str copy;
    dl_str secret;
    DL_TRY(dl_arena_copy(arena, name, &copy, err));
    const char *value = dl_env_get(copy.ptr);
    if (value == NULL) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "the environment variable %.*s is not set",
                           DL_STR_ARG(name));
        dl_error_hint(err, "set it where dicomlake is started, and start it anew");
        return DL_E_NOT_FOUND;
    }
    DL_TRY(check_secret(dl_str_of(value), "environment variable", name, &secret, err));
    return dl_arena_copy(arena, secret, out_secret, err);
}

static dl_status read_file(dl_str path, dl_arena *arena, dl_str *out_secret, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, SECRET_LIMIT_BYTES);
    dl_str copy;
    dl_str secret;
    DL_TRY(dl_arena_copy(arena, path, &copy, err));
    dl_error cause = {0};
    dl_status status = dl_file_read_all(copy.ptr, &text, &cause);
    if (status != DL_OK) {
        (void)dl_error_set(err, status == DL_E_IO ? DL_E_NOT_FOUND : status,
                           "the secret's file cannot be read: %s", cause.message);
        dl_error_hint(err, "make the file, readable for the account that runs dicomlake");
        return status == DL_E_IO ? DL_E_NOT_FOUND : status;
    }
    DL_TRY(check_secret(dl_buf_str(&text), "file", path, &secret, err));
    return dl_arena_copy(arena, secret, out_secret, err);
}

dl_status dl_connection_secret(const dl_factory_connection *connection, dl_arena *arena,
                               dl_str *out_secret, dl_error *err)
{
    if (connection->auth == DL_FACTORY_AUTH_MANAGED_IDENTITY) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED,
                           "signing in with a managed identity is not possible yet");
        dl_error_hint(err, "use a token: authenticationType Bearer with a secret from a file");
        return DL_E_UNSUPPORTED;
    }
    if (connection->auth == DL_FACTORY_AUTH_ANONYMOUS) {
        *out_secret = DL_STR("");
        return DL_OK;
    }
    switch (connection->secret_kind) {
    case DL_FACTORY_SECRET_ENVIRONMENT:
        return read_variable(connection->secret, arena, out_secret, err);
    case DL_FACTORY_SECRET_FILE:
        return read_file(connection->secret, arena, out_secret, err);
    case DL_FACTORY_SECRET_NONE:
    default:
        (void)dl_error_set(err, DL_E_NOT_FOUND, "connection %.*s names no secret",
                           DL_STR_ARG(connection->name));
        dl_error_hint(err, "name an environment variable or a file that holds the token");
        return DL_E_NOT_FOUND;
    }
}

/* ---- the feed ---- */

static dl_status open_home_feed(dl_factory *factory, dl_feed_source **out_source, dl_error *err)
{
    const dl_factory_options *options = dl_factory_options_of(factory);
    if (options->open_home_feed == NULL) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED,
                           "this process does not run the service of the home");
        dl_error_hint(err, "have dicomlake serve do the runs, or give the service's URL");
        return DL_E_UNSUPPORTED;
    }
    return options->open_home_feed(options->context, out_source, err);
}

dl_status dl_connection_feed(dl_factory *factory, const dl_factory_connection *connection,
                             const dl_feed_http_options *more, dl_feed_source **out_source,
                             dl_error *err)
{
    if (connection->type != DL_FACTORY_DICOM) {
        return dl_error_set(err, DL_E_INVALID, "connection %.*s is a lake, not a DICOM service",
                            DL_STR_ARG(connection->name));
    }
    if (is_home(connection)) {
        return open_home_feed(factory, out_source, err);
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(2 * SECRET_LIMIT_BYTES + PATH_SIZE * 4);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "connection: out of memory");
    }
    dl_feed_http_options options = {0};
    if (more != NULL) {
        options = *more;
    }
    dl_str url;
    dl_str secret;
    DL_TRY(dl_arena_copy(arena, connection->url, &url, err));
    DL_TRY(dl_connection_secret(connection, arena, &secret, err)); /* said now, not on the way */
    options.base_url = url.ptr;
    if (connection->auth == DL_FACTORY_AUTH_TOKEN) {
        dl_str path;
        DL_TRY(dl_arena_copy(arena, connection->secret, &path, err));
        bool file = connection->secret_kind == DL_FACTORY_SECRET_FILE; /* read anew for each try */
        options.token_file = file ? path.ptr : NULL;
        options.token = file ? NULL : secret.ptr;
    }
    return dl_feed_http_open(&options, out_source, err); /* copies the texts */
}

/* ---- the lake ---- */

dl_status dl_connection_folder(const dl_factory *factory, const dl_factory_connection *connection,
                               dl_arena *arena, dl_str *out_folder, dl_error *err)
{
    dl_str url = connection->url;
    if (connection->type != DL_FACTORY_LAKE) {
        return dl_error_set(err, DL_E_INVALID, "connection %.*s is a DICOM service, not a lake",
                            DL_STR_ARG(connection->name));
    }
    if (is_home(connection)) {
        return dl_arena_printf(arena, out_folder, err, "%s/tables", dl_factory_home(factory));
    }
    if (dl_str_starts(url, DL_STR("file://"))) {
        url = dl_str_slice(url, sizeof "file://" - 1, url.len);
    } else if (dl_str_find_str(url, DL_STR("://")) > 0) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED,
                           "%.*s: only folders are lakes; there is no store for this URL",
                           DL_STR_ARG(url));
        dl_error_hint(err, "give a folder, or file:///path");
        return DL_E_UNSUPPORTED;
    }
    if (url.len == 0 || url.ptr[0] != '/') {
        (void)dl_error_set(err, DL_E_INVALID, "connection %.*s: the folder '%.*s' is relative",
                           DL_STR_ARG(connection->name), DL_STR_ARG(url));
        dl_error_hint(err, "give its whole path, from / on");
        return DL_E_INVALID;
    }
    while (url.len > 1 && url.ptr[url.len - 1] == '/') {
        url.len--;
    }
    if (url.len >= PATH_SIZE - 64) {
        return dl_error_set(err, DL_E_INVALID, "the path of the lake is too long");
    }
    return dl_arena_copy(arena, url, out_folder, err);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_connection_lake(dl_factory *factory, const dl_factory_connection *connection,
                             const dl_pipeline_parameters *parameters, bool create, dl_arena *arena,
                             dl_store **out_store, dl_str *out_state_folder, dl_error *err)
{
    dl_str folder;
    dl_str state;
    char name[DL_PIPELINE_STATE_NAME_SIZE];
    DL_TRY(dl_connection_folder(factory, connection, arena, &folder, err));
    dl_pipeline_state_name(parameters, name);
    if (is_home(connection)) {
        DL_TRY(dl_arena_printf(arena, &state, err, "%s/state/lake/%s", dl_factory_home(factory),
                               name));
    } else {
        DL_TRY(dl_arena_printf(arena, &state, err, "%s/.dicomlake/%s", folder.ptr, name));
    }
    DL_TRY(dl_store_open_shared(folder.ptr, create, out_store, err));
    *out_state_folder = state;
    return DL_OK;
}
