#include "base/log.h"
#include "cli/cli.h"
#include "cli/listen.h"
#include "service/service.h"

#include <string.h>

typedef struct serve_options {
    const char *home, *listen, *log_level;
    dl_cli_list set;
} serve_options;

static const serve_options defaults = {.listen = "127.0.0.1:8080", .log_level = "info"};

/* clang-format off */
static const dl_cli_option options[] = {
    {"home", "DIR", "the archive's folder, made when missing (default: $DICOMLAKE_HOME)", DL_CLI_TEXT, 0, offsetof(serve_options, home), 0, 0},
    {"listen", "HOST:PORT", "where to listen (default 127.0.0.1:8080); port 0: a free one", DL_CLI_TEXT, 0, offsetof(serve_options, listen), 0, 0},
    {"set", "NAME=VALUE", "change a setting; may be repeated", DL_CLI_LIST, 0, offsetof(serve_options, set), 0, 0},
    {"log-level", "LEVEL", "debug, info (default), warn, error or off", DL_CLI_TEXT, 0, offsetof(serve_options, log_level), 0, 0},
};
static const struct {
    const char *name;
    dl_log_level level;
} log_levels[] = {
    {"debug", DL_LOG_DEBUG}, {"info", DL_LOG_INFO}, {"warn", DL_LOG_WARN},
    {"error", DL_LOG_ERROR}, {"off", DL_LOG_OFF},
};
/* clang-format on */

static dl_status set_log_level(const char *name, dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(log_levels); i++) {
        if (strcmp(name, log_levels[i].name) == 0) {
            dl_log_set_level(log_levels[i].level);
            return DL_OK;
        }
    }
    return dl_error_set(err, DL_E_INVALID, "--log-level %s: not debug, info, warn, error or off",
                        name);
}

/** The file's settings, and over them those of the command line. */
static dl_status read_settings(const serve_options *o, const char *home,
                               dl_service_settings *settings, dl_error *err)
{
    dl_service_settings_init(settings);
    DL_TRY(dl_service_settings_load(settings, home, err));
    for (size_t i = 0; i < o->set.count; i++) {
        dl_str word = dl_str_of(o->set.items[i]);
        ptrdiff_t at = dl_str_find(word, '=');
        if (at <= 0) {
            return dl_error_set(err, DL_E_INVALID, "--set %s: not of the form NAME=VALUE",
                                o->set.items[i]);
        }
        DL_TRY(dl_service_settings_set(settings, dl_str_slice(word, 0, (size_t)at),
                                       dl_str_slice(word, (size_t)at + 1, word.len), err));
    }
    return DL_OK;
}

static dl_status start(dl_cli *cli, const serve_options *o, dl_service **out_service,
                       dl_cli_listen *out_listen, dl_error *err)
{
    const char *home = o->home != NULL ? o->home : cli->env_home;
    if (home == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "no archive named");
        dl_error_hint(err, "give --home DIR, or set DICOMLAKE_HOME");
        return DL_E_INVALID;
    }
    DL_TRY(set_log_level(o->log_level, err));
    DL_TRY(dl_cli_listen_parse(dl_str_of(o->listen), out_listen, err));
    dl_service_options start_options = {.home = home,
                                        .host = out_listen->host,
                                        .port = out_listen->port,
                                        .clock = dl_clock_system(),
                                        .announce = true};
    DL_TRY(read_settings(o, home, &start_options.settings, err));
    return dl_service_start(&start_options, out_service, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    dl_error err = {0};
    dl_service *service = NULL;
    dl_cli_listen where;
    if (start(cli, given, &service, &where, &err) != DL_OK) {
        return dl_cli_fail(cli, &err);
    }
    bool bare = strchr(where.host, ':') == NULL;
    (void)fprintf(cli->out, bare ? "listening on http://%s:%u\n" : "listening on http://[%s]:%u\n",
                  where.host, (unsigned)dl_service_port(service));
    dl_cli_exit code = dl_cli_flush(cli, DL_CLI_DONE);
    while (!dl_cancel_asked(cli->stop)) {
        (void)dl_cli_sleep_ms(60 * 1000, cli->stop);
    }
    dl_service_stop(service);
    return code;
}

static void list_settings(FILE *out)
{
    (void)fprintf(out, "\nsettings (--set, or in config/service.json of the home):\n");
    for (size_t i = 0; i < dl_service_settings_count(); i++) {
        const char *name = NULL;
        const char *value = NULL;
        const char *text = NULL;
        dl_service_settings_describe(i, &name, &value, &text);
        (void)fprintf(out, "  %-26s  %s (default: %s)\n", name, text,
                      value[0] == '\0' ? "none" : value);
    }
}

const dl_cli_command dl_cli_serve = {
    .name = "serve",
    .synopsis = "",
    .summary = "Serve an archive over HTTP (DICOMweb and the change feed) until stopped.",
    .details = "The first line on standard output is the address; the log goes to standard error.\n"
               "SIGTERM or Ctrl-C finish what is under way and end with exit code 0.",
    .example = "dicomlake serve --home ~/archive --listen 127.0.0.1:8080",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(serve_options),
    .run = run,
    .more_help = list_settings,
};
