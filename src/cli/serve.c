#include "base/log.h"
#include "cli/cli.h"
#include "cli/factory.h"
#include "cli/listen.h"
#include "lakehouse/routes.h"
#include "service/service.h"

#include <string.h>
#include <unistd.h>

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

/* ---- what runs beside each other on a home ---- */

typedef struct serving {
    dl_service_options options;
    dl_service *service;
    dl_cli_home_feed feed;
    dl_factory *factory;
    dl_status fault; /* of the factory's database, as the log was told */
    dl_cli_engine engine;
    dl_factory_routes *routes;
    dl_children *children;
    dl_lakehouse_routes *lakehouse;
} serving;

/** Runs end before the service whose feed they read; requests end before what they ask. */
static void serving_close(serving *s)
{
    dl_cli_engine_stop(&s->engine);
    if (s->children != NULL) { /* nobody has to wait for the rest of their rows */
        dl_children_stop(s->children);
    }
    if (s->service != NULL) {
        dl_service_stop(s->service);
    }
    dl_lakehouse_routes_destroy(s->lakehouse);
    dl_children_destroy(s->children);
    if (s->routes != NULL) {
        dl_factory_routes_destroy(s->routes);
    }
    dl_cli_engine_close(&s->engine);
    dl_factory_close(s->factory);
    dl_cli_home_feed_clear(&s->feed);
}

static dl_status put_statement_metrics(void *context, dl_buf *out, dl_error *err)
{
    const serving *s = context;
    return dl_children_put_metrics(s->children, out, err);
}

/* ---- the database of pipelines and runs: the archive serves without it ---- */

static bool has_pipelines(void *context)
{
    const serving *s = context;
    return dl_factory_fault(s->factory, NULL) == DL_OK;
}

static void log_fault(serving *s)
{
    dl_error err = {0};
    dl_status fault = dl_factory_fault(s->factory, &err);
    if (fault == s->fault) {
        return;
    }
    s->fault = fault;
    dl_log_line line;
    dl_log_begin(&line, fault == DL_OK ? DL_LOG_INFO : DL_LOG_ERROR, "factory", "database");
    dl_log_str(&line, "home", dl_str_of(s->options.home));
    dl_log_str(&line, "status", fault == DL_OK ? DL_STR("usable") : DL_STR("unusable"));
    if (fault != DL_OK) {
        dl_log_error(&line, &err);
    }
    dl_log_end(&line);
}

/** At the start, and after a fault, which may have been put right. */
static void look_at_factory(serving *s)
{
    dl_db *db = NULL;
    if (dl_factory_lock(s->factory, DL_FACTORY_WRITE, &db, NULL) == DL_OK) {
        dl_factory_unlock(s->factory);
    }
    log_fault(s);
}

static dl_status open_factory(dl_cli *cli, serving *s, dl_error *err)
{
    dl_cli_home_feed_init(&s->feed, s->options.home, cli->stop);
    const dl_factory_options factory = {.home = s->options.home,
                                        .clock = s->options.clock,
                                        .open_home_feed = dl_cli_home_feed_open,
                                        .context = &s->feed};
    DL_TRY(dl_factory_open(&factory, &s->factory, err));
    look_at_factory(s);
    DL_TRY(dl_cli_engine_open(&s->engine, s->factory, err));
    /* Without the scheduler: it may come later, and goes before the routes; it looks each second.
     */
    const dl_factory_routes_options routes = {.factory = s->factory,
                                              .work = s->engine.work,
                                              .put_metrics = put_statement_metrics,
                                              .metrics_context = s};
    return dl_factory_routes_create(&routes, &s->routes, err);
}

/** This program, also after another one was put into its place. */
static const char *own_program(char *out, size_t size)
{
    static const char self[] = "/proc/self/exe";
    ssize_t n = readlink(self, out, size - 1);
    if (n <= 0 || (size_t)n >= size - 1) {
        return self;
    }
    out[n] = '\0';
    return access(out, X_OK) == 0 ? out : self;
}

static dl_status open_lakehouse(serving *s, dl_error *err)
{
    char program[4096];
    const dl_service_settings *settings = &s->options.settings;
    const dl_children_options children = {
        .program = own_program(program, sizeof program),
        .home = s->options.home,
        .at_once = settings->lakehouse_statements,
        .limits = {.memory_bytes = settings->lakehouse_memory_bytes,
                   .rows = settings->lakehouse_rows,
                   .time_ms = settings->lakehouse_seconds * 1000}};
    DL_TRY(dl_children_create(&children, &s->children, err));
    const dl_lakehouse_routes_options routes = {.factory = s->factory, .children = s->children};
    return dl_lakehouse_routes_create(&routes, &s->lakehouse, err);
}

/** Whether what holds the home is a short command, which will soon be over. */
static bool is_held_for_now(const serving *s, const dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(64 << 10);
    dl_str url = DL_STR_NONE;
    return err->status == DL_E_CONFLICT && arena != NULL &&
           dl_service_find(s->options.home, arena, &url, NULL) != DL_OK;
}

static dl_status start_when_free(const dl_cli *cli, const serving *s,
                                 const dl_service_options *wanted, dl_service **out_service,
                                 dl_error *err)
{
    enum { WAIT_MS = 5000, POLL_MS = 50 };
    for (unsigned waited_ms = 0;; waited_ms += POLL_MS) {
        dl_status status = dl_service_start(wanted, out_service, err);
        if (status == DL_OK || waited_ms >= WAIT_MS || !is_held_for_now(s, err) ||
            !dl_cli_sleep_ms(POLL_MS, cli->stop)) {
            return status;
        }
        dl_error_clear(err);
    }
}

static dl_status start_service(const dl_cli *cli, serving *s, dl_error *err)
{
    const dl_http_app app = dl_factory_routes_app(s->routes);
    const dl_service_mount mounts[] = {{"/factory/", app},
                                       {"/metrics", app},
                                       {"/lakehouse/", dl_lakehouse_routes_app(s->lakehouse)}};
    dl_service_options mounted = s->options;
    mounted.mounts = mounts;
    mounted.mount_count = DL_COUNT_OF(mounts);
    mounted.check =
        (dl_service_check){.name = "PipelinesHealthCheck",
                           .description = "whether the database of pipelines and runs can be used",
                           .is_healthy = has_pipelines,
                           .context = s};
    DL_TRY(start_when_free(cli, s, &mounted, &s->service, err));
    (void)pthread_mutex_lock(&s->feed.lock);
    s->feed.service = s->service;
    (void)pthread_mutex_unlock(&s->feed.lock);
    return DL_OK;
}

/** Another process may schedule now: then this one does when that has ended. */
static void try_schedule(serving *s, bool *told)
{
    dl_error err = {0};
    if (s->fault != DL_OK) {
        look_at_factory(s);
    } else {
        log_fault(s); /* of what others met meanwhile */
    }
    if (s->fault != DL_OK) {
        dl_cli_engine_stop(&s->engine); /* nothing is due that anybody could know of */
        return;
    }
    if (!s->options.settings.factory_schedule || s->engine.scheduler != NULL) {
        return;
    }
    dl_status status = dl_cli_engine_start(&s->engine, s->factory, &s->options.settings, &err);
    if (status != DL_OK && !*told) {
        dl_log_line line;
        dl_log_begin(&line, DL_LOG_WARN, "factory", "schedule");
        dl_log_error(&line, &err);
        dl_log_end(&line);
        *told = true;
    }
}

static dl_status start(dl_cli *cli, const serve_options *o, serving *s, dl_cli_listen *out_listen,
                       dl_error *err)
{
    const char *home = o->home != NULL ? o->home : cli->env_home;
    if (home == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "no archive named");
        dl_error_hint(err, "give --home DIR, or set DICOMLAKE_HOME");
        return DL_E_INVALID;
    }
    DL_TRY(set_log_level(o->log_level, err));
    DL_TRY(dl_cli_listen_parse(dl_str_of(o->listen), out_listen, err));
    s->options = (dl_service_options){.home = home,
                                      .host = out_listen->host,
                                      .port = out_listen->port,
                                      .clock = dl_clock_system(),
                                      .announce = true};
    DL_TRY(read_settings(o, home, &s->options.settings, err));
    DL_TRY(open_factory(cli, s, err));
    DL_TRY(open_lakehouse(s, err));
    return start_service(cli, s, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    enum { LOOK_MS = 1000 };
    dl_error err = {0};
    DL_CLEANUP(serving_close) serving s = {0};
    dl_cli_listen where;
    bool told = false;
    if (start(cli, given, &s, &where, &err) != DL_OK) {
        return dl_cli_fail(cli, &err);
    }
    try_schedule(&s, &told);
    bool bare = strchr(where.host, ':') == NULL;
    (void)fprintf(cli->out, bare ? "listening on http://%s:%u\n" : "listening on http://[%s]:%u\n",
                  where.host, (unsigned)dl_service_port(s.service));
    dl_cli_exit code = dl_cli_flush(cli, DL_CLI_DONE);
    while (dl_cli_sleep_ms(LOOK_MS, cli->stop)) {
        try_schedule(&s, &told);
    }
    return code;
}

static void list_settings(FILE *out)
{
    (void)fprintf(
        out,
        "\nsettings (--set NAME=VALUE, or members of the object in HOME/config/service.json):\n");
    for (size_t i = 0; i < dl_service_settings_count(); i++) {
        const char *name = NULL;
        const char *value = NULL;
        const char *text = NULL;
        dl_service_settings_describe(i, &name, &value, &text);
        (void)fprintf(out, "  %-20s  %s (default: %s)\n", name, text,
                      value[0] == '\0' ? "none" : value);
    }
}

const dl_cli_command dl_cli_serve = {
    .name = "serve",
    .synopsis = "",
    .summary = "Serve an archive over HTTP (DICOMweb and the change feed) until stopped.",
    .details = "The first line on standard output is the address; the log goes to standard error.\n"
               "SIGTERM or Ctrl-C finish what is under way and end with exit code 0.\n"
               "Exit codes: 0 stopped, 1 failed (somebody serves the home, the port is taken), 2 "
               "wrong usage.",
    .example = "dicomlake serve --home ~/archive --listen 127.0.0.1:8080",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(serve_options),
    .run = run,
    .more_help = list_settings,
};
