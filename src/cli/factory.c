/* What connection, pipeline, trigger and run share: opening, choosing an action, documents. */
#include "cli/factory.h"

#include "base/log.h"
#include "cli/text.h"
#include "factory/settings.h"

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_LIMIT_BYTES ((size_t)64 << 20)
#define ARENA_LIMIT_BYTES ((size_t)64 << 20)
enum {
    HOME_WAIT_MS = 5000, /* another short command may hold the home */
    HOME_POLL_MS = 50,
    FACT_WIDTH = 19,
    SAY_SIZE = 4096,
};
#define SETTINGS_LIMIT_BYTES ((size_t)4 << 20)
#define DAY_US ((int64_t)86400 * 1000000)

/* ---- the feed behind "home:" ---- */

void dl_cli_home_feed_init(dl_cli_home_feed *feed, const char *home, dl_cancel *stop)
{
    *feed = (dl_cli_home_feed){.home = home, .stop = stop};
    (void)pthread_mutex_init(&feed->lock, NULL);
}

void dl_cli_home_feed_clear(dl_cli_home_feed *feed)
{
    if (feed->home == NULL) {
        return;
    }
    if (feed->own) {
        dl_service_stop(feed->service);
    }
    (void)pthread_mutex_destroy(&feed->lock);
    feed->home = NULL;
}

/** Under the lock. */
static dl_status start_service(dl_cli_home_feed *feed, dl_error *err)
{
    dl_service_options options = {.home = feed->home,
                                  .host = "127.0.0.1",
                                  .clock = dl_clock_system(),
                                  .announce = feed->announce};
    dl_service_settings_init(&options.settings);
    DL_TRY(dl_service_settings_load(&options.settings, feed->home, err));
    DL_TRY(dl_service_start(&options, &feed->service, err));
    feed->own = true;
    return DL_OK;
}

/** Under the lock: the service in this process, the one that runs, or one that is started.
 * DL_E_CONFLICT: another command has the home just now. */
static dl_status try_home_feed(dl_cli_home_feed *feed, dl_feed_source **out_source, dl_error *err)
{
    if (feed->service == NULL) {
        DL_AUTO(dl_arena) arena = dl_arena_create(64 << 10);
        if (arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "out of memory");
        }
        dl_str url = DL_STR_NONE;
        dl_status status = dl_service_find(feed->home, arena, &url, err);
        if (status == DL_OK) {
            DL_TRY(dl_arena_copy(arena, url, &url, err)); /* ended by a NUL */
            dl_feed_http_options http = {.base_url = url.ptr, .cancel = feed->stop};
            return dl_feed_http_open(&http, out_source, err);
        }
        if (status != DL_E_NOT_FOUND) {
            return status;
        }
        dl_error_clear(err);
        DL_TRY(start_service(feed, err));
    }
    return dl_service_feed_open(feed->service, out_source, err);
}

dl_status dl_cli_home_feed_open(void *context, dl_feed_source **out_source, dl_error *err)
{
    dl_cli_home_feed *feed = context;
    for (unsigned waited_ms = 0;; waited_ms += HOME_POLL_MS) {
        (void)pthread_mutex_lock(&feed->lock);
        dl_status status = try_home_feed(feed, out_source, err);
        (void)pthread_mutex_unlock(&feed->lock);
        if (status != DL_E_CONFLICT || waited_ms >= HOME_WAIT_MS) {
            return status;
        }
        dl_error_clear(err);
        if (!dl_cli_sleep_ms(HOME_POLL_MS, feed->stop)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped while waiting for %s", feed->home);
        }
    }
}

/* ---- the one that schedules ---- */

/* The work and the webhook have a context each; the scheduler knows one. */

static void engine_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
{
    const dl_cli_engine *engine = context;
    engine->ops.run(engine->ops.context, run, arena, cancel);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
static dl_status engine_newest(void *context, dl_str pipeline, int64_t after, unsigned timeout_ms,
                               dl_cancel *cancel, int64_t *out_sequence, dl_error *err)
{
    const dl_cli_engine *engine = context;
    return engine->ops.newest(engine->ops.context, pipeline, after, timeout_ms, cancel,
                              out_sequence, err);
}

static void engine_told(void *context, const dl_run *run, const char *event)
{
    const dl_cli_engine *engine = context;
    dl_webhook_told(engine->webhook, run, event);
}

dl_status dl_cli_engine_open(dl_cli_engine *engine, dl_factory *factory, dl_error *err)
{
    *engine = (dl_cli_engine){0};
    dl_status status = dl_work_create(factory, &engine->work, err);
    if (status == DL_OK) {
        engine->ops = dl_work_ops(engine->work);
        status = dl_webhook_create(factory, &engine->webhook, err);
    }
    if (status != DL_OK) {
        dl_cli_engine_close(engine);
    }
    return status;
}

dl_status dl_cli_engine_start(dl_cli_engine *engine, dl_factory *factory,
                              const dl_service_settings *settings, dl_error *err)
{
    dl_factory_settings more;
    DL_AUTO(dl_arena) arena = dl_arena_create(SETTINGS_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(dl_factory_settings_load(dl_factory_home(factory), arena, &more, err));
    const dl_scheduler_options options = {
        .factory = factory,
        .work = {.run = engine_run,
                 .newest = engine->ops.newest == NULL ? NULL : engine_newest,
                 .told = engine_told,
                 .context = engine},
        .workers = settings->factory_workers,
        .history_us = more.history_days * DAY_US};
    DL_TRY(dl_scheduler_open(&options, &engine->scheduler, err));
    dl_status status = dl_scheduler_start(engine->scheduler, err);
    if (status != DL_OK) {
        dl_cli_engine_stop(engine);
        return status;
    }
    dl_scheduler_wake(engine->scheduler); /* what is queued already begins now */
    return DL_OK;
}

void dl_cli_engine_stop(dl_cli_engine *engine)
{
    dl_scheduler_close(engine->scheduler);
    engine->scheduler = NULL;
}

void dl_cli_engine_close(dl_cli_engine *engine)
{
    dl_cli_engine_stop(engine);
    if (engine->webhook != NULL) {
        dl_webhook_destroy(engine->webhook);
    }
    dl_work_destroy(engine->work);
    *engine = (dl_cli_engine){0};
}

/* ---- printing ---- */

dl_status dl_cli_factory_print(dl_cli_factory *f, dl_error *err)
{
    DL_TRY(dl_json_writer_status(&f->w));
    (void)fprintf(f->cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&f->text)));
    dl_buf_reset(&f->text);
    dl_json_writer_init(&f->w, &f->text, err);
    return DL_OK;
}

void dl_cli_factory_fact(dl_cli_factory *f, const char *name, dl_str value)
{
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, TEXT_LIMIT_BYTES);
    if (value.len > 0 && dl_cli_text_clean(value, &clean, NULL) == DL_OK) {
        (void)fprintf(f->cli->out, "%-*s  %.*s\n", FACT_WIDTH, name,
                      DL_STR_ARG(dl_buf_str(&clean)));
    }
}

void dl_cli_factory_say(dl_cli_factory *f, const char *format, ...)
{
    if (f->json) {
        return;
    }
    char text[SAY_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, (size_t)4 * SAY_SIZE);
    if (dl_cli_text_clean(dl_str_of(text), &clean, NULL) == DL_OK) {
        (void)fprintf(f->cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&clean)));
    }
}

/* ---- documents ---- */

static const char *const kind_words[] = {[DL_FACTORY_CONNECTION] = "connection",
                                         [DL_FACTORY_PIPELINE] = "pipeline",
                                         [DL_FACTORY_TRIGGER] = "trigger"};

const char *dl_cli_factory_state(dl_factory_state state)
{
    static const char *const words[] = {[DL_FACTORY_DRAFT] = "draft",
                                        [DL_FACTORY_CHANGED] = "changed",
                                        [DL_FACTORY_PUBLISHED] = "published",
                                        [DL_FACTORY_REMOVED] = "removed"};
    return words[state];
}

dl_status dl_cli_factory_entry(dl_cli_factory *f, dl_factory_kind kind, const char *name,
                               dl_factory_entry *out_entry, dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(f->factory, kind, f->arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(entries[i].name, dl_str_of(name))) {
            *out_entry = entries[i];
            return DL_OK;
        }
    }
    dl_str json = DL_STR_NONE; /* the catalogue knows how to say that it is not there */
    DL_TRY(dl_catalog_draft(f->factory, kind, dl_str_of(name), f->arena, &json, err));
    *out_entry = (dl_factory_entry){.kind = kind, .name = dl_str_of(name), .json = json};
    return DL_OK;
}

dl_status dl_cli_factory_remove(dl_cli_factory *f, dl_factory_kind kind, const dl_cli_args *args,
                                dl_error *err)
{
    for (size_t i = 0; i < args->count; i++) {
        DL_TRY(dl_catalog_remove(f->factory, kind, dl_str_of(args->items[i]), err));
        dl_cli_factory_say(f, "%s %s removed%s", kind_words[kind], args->items[i],
                           kind == DL_FACTORY_CONNECTION ? "" : "; publish to make it so");
    }
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("removed"));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < args->count; i++) {
        dl_json_string(&f->w, dl_str_of(args->items[i]));
    }
    dl_json_array_end(&f->w);
    dl_json_object_end(&f->w);
    return DL_OK;
}

dl_status dl_cli_factory_rename(dl_cli_factory *f, dl_factory_kind kind, const dl_cli_args *args,
                                dl_error *err)
{
    DL_TRY(dl_catalog_rename(f->factory, kind, dl_str_of(args->items[0]), dl_str_of(args->items[1]),
                             err));
    dl_cli_factory_say(f, "%s %s is called %s now", kind_words[kind], args->items[0],
                       args->items[1]);
    dl_factory_entry entry;
    DL_TRY(dl_cli_factory_entry(f, kind, args->items[1], &entry, err));
    dl_fact_entry(&f->w, &entry);
    return DL_OK;
}

dl_status dl_cli_factory_saved(dl_cli_factory *f, dl_factory_kind kind, dl_str name, dl_error *err)
{
    dl_factory_entry entry;
    DL_TRY(dl_cli_factory_entry(f, kind, name.ptr, &entry, err));
    dl_fact_entry(&f->w, &entry);
    bool waits = entry.state == DL_FACTORY_DRAFT || entry.state == DL_FACTORY_CHANGED;
    dl_cli_factory_say(f, "%s %.*s saved%s", kind_words[kind], DL_STR_ARG(name),
                       kind != DL_FACTORY_CONNECTION && waits
                           ? " as a draft; dicomlake pipeline publish makes it work"
                           : "");
    return DL_OK;
}

dl_status dl_cli_factory_set(const char *word, dl_factory_parameter *parameters, size_t *count,
                             dl_error *err)
{
    dl_str text = dl_str_of(word);
    ptrdiff_t at = dl_str_find(text, '=');
    if (at <= 0) {
        return dl_error_set(err, DL_E_INVALID, "%s: not of the form Name=Value", word);
    }
    dl_str name = dl_str_slice(text, 0, (size_t)at);
    dl_str value = dl_str_slice(text, (size_t)at + 1, text.len);
    for (size_t i = 0; i < *count; i++) {
        if (dl_str_eq_nocase(parameters[i].name, name)) {
            parameters[i].value = value;
            return DL_OK;
        }
    }
    if (*count == DL_FACTORY_PARAMETER_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "more than %d parameters", DL_FACTORY_PARAMETER_LIMIT);
    }
    parameters[(*count)++] = (dl_factory_parameter){.name = name, .value = value};
    return DL_OK;
}

void dl_cli_factory_show_parameters(dl_cli_factory *f, const dl_factory_parameter *parameters,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[DL_FACTORY_NAME_LIMIT + 1];
        (void)snprintf(name, sizeof name, "  %.*s", DL_STR_ARG(parameters[i].name));
        dl_cli_factory_fact(
            f, name, parameters[i].value.ptr == NULL ? DL_STR("(none)") : parameters[i].value);
    }
}

/* ---- a call ---- */

static void factory_close(dl_cli_factory *f)
{
    dl_factory_close(f->factory);
    dl_cli_home_feed_clear(&f->feed);
    dl_buf_clear(&f->text);
    dl_arena_destroy(f->arena);
}

static dl_status find_home(dl_cli_factory *f, const dl_cli_factory_where *where, dl_cli_home need,
                           dl_error *err)
{
    struct stat info;
    f->home = where->home != NULL ? where->home : f->cli->env_home;
    if (f->home == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "no home named");
        dl_error_hint(err, "give --home DIR, or set DICOMLAKE_HOME");
        return DL_E_INVALID;
    }
    if (need == DL_CLI_HOME_THERE && (stat(f->home, &info) != 0 || !S_ISDIR(info.st_mode))) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "no home in %s", f->home);
        dl_error_hint(err, "dicomlake connection add, import or serve makes one");
        return DL_E_NOT_FOUND;
    }
    return DL_OK;
}

static dl_status factory_open(dl_cli_factory *f, const dl_cli_factory_where *where,
                              dl_cli_home need, dl_error *err)
{
    if (need != DL_CLI_HOME_NONE) {
        DL_TRY(find_home(f, where, need, err));
    }
    f->json = where->json;
    f->arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (f->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    dl_buf_init(&f->text, TEXT_LIMIT_BYTES);
    dl_json_writer_init(&f->w, &f->text, err);
    dl_cli_home_feed_init(&f->feed, f->home, f->cli->stop);
    dl_service_settings_init(&f->settings);
    if (need == DL_CLI_HOME_NONE) {
        return DL_OK;
    }
    DL_TRY(dl_service_settings_load(&f->settings, f->home, err));
    dl_factory_options options = {.home = f->home,
                                  .clock = dl_clock_system(),
                                  .open_home_feed = dl_cli_home_feed_open,
                                  .context = &f->feed};
    return dl_factory_open(&options, &f->factory, err);
}

/* ---- choosing ---- */

static const dl_cli_action *find_action(const dl_cli_actions *actions, const char *name,
                                        dl_error *err)
{
    for (size_t i = 0; i < actions->count; i++) {
        if (strcmp(actions->items[i].name, name) == 0) {
            return &actions->items[i];
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "%s has no action %s", actions->command->name, name);
    dl_error_hint(err, "dicomlake %s --help lists them", actions->command->name);
    return NULL;
}

static bool is_action(const dl_cli_actions *actions, dl_str name)
{
    for (size_t i = 0; i < actions->count; i++) {
        if (dl_str_eq(name, dl_str_of(actions->items[i].name))) {
            return true;
        }
    }
    return false;
}

/** Whether the option's text begins with a list of actions, and `action` is none of them. */
static bool is_foreign(const dl_cli_actions *actions, const dl_cli_option *option,
                       const char *action)
{
    dl_str text = dl_str_of(option->text);
    ptrdiff_t colon = dl_str_find(text, ':');
    dl_str names = dl_str_slice(text, 0, colon < 0 ? 0 : (size_t)colon);
    dl_str name = DL_STR_NONE;
    bool foreign = false;
    while (dl_str_next(&names, ',', &name)) {
        name = dl_str_trim(name);
        if (!is_action(actions, name) || dl_str_eq(name, dl_str_of(action))) {
            return false;
        }
        foreign = true;
    }
    return foreign;
}

static bool is_given(const dl_cli_option *option, const void *options)
{
    const char *at = (const char *)options + option->offset;
    switch (option->kind) {
    case DL_CLI_SWITCH:
        return *(const bool *)(const void *)at;
    case DL_CLI_TEXT:
        return *(const char *const *)(const void *)at != NULL;
    case DL_CLI_NUMBER:
        return *(const uint64_t *)(const void *)at != 0;
    case DL_CLI_LIST:
        return ((const dl_cli_list *)(const void *)at)->count > 0;
    }
    return false;
}

static dl_status check_words(const dl_cli_actions *actions, const dl_cli_action *action,
                             const void *options, size_t count, dl_error *err)
{
    const dl_cli_command *command = actions->command;
    for (size_t i = 0; i < command->option_count; i++) {
        const dl_cli_option *option = &command->options[i];
        if (is_given(option, options) && is_foreign(actions, option, action->name)) {
            (void)dl_error_set(err, DL_E_INVALID, "%s %s takes no --%s", command->name,
                               action->name, option->name);
            dl_error_hint(err, "dicomlake %s --help lists them", command->name);
            return DL_E_INVALID;
        }
    }
    if (count < action->args_min || count > action->args_max) {
        (void)dl_error_set(err, DL_E_INVALID, "%s %s: %s", command->name, action->name,
                           count < action->args_min ? "something is missing" : "too many words");
        dl_error_hint(err, "usage: dicomlake %s %s%s%s [options]", command->name, action->name,
                      action->words[0] == '\0' ? "" : " ", action->words);
        return DL_E_INVALID;
    }
    return DL_OK;
}

static dl_status run_action(dl_cli_factory *f, const dl_cli_actions *actions, const void *options,
                            const dl_cli_args *args, dl_error *err)
{
    const dl_cli_action *action = find_action(actions, args->items[0], err);
    if (action == NULL) {
        return DL_E_INVALID;
    }
    const dl_cli_args rest = {args->items + 1, args->count - 1};
    DL_TRY(check_words(actions, action, options, rest.count, err));
    DL_TRY(factory_open(f, options, action->home, err));
    DL_TRY(action->run(f, options, &rest, err));
    if (f->json && f->text.len > 0) {
        DL_TRY(dl_cli_factory_print(f, err));
    }
    return dl_json_writer_status(&f->w);
}

dl_cli_exit dl_cli_factory_run(dl_cli *cli, const dl_cli_actions *actions, const void *options,
                               const dl_cli_args *args)
{
    dl_error err = {0};
    DL_CLEANUP(factory_close) dl_cli_factory f = {.cli = cli};
    dl_log_set_level(DL_LOG_ERROR); /* a command is not a server: no access lines */
    if (run_action(&f, actions, options, args, &err) != DL_OK) {
        return dl_cli_flush(cli, dl_cli_fail(cli, &err));
    }
    return dl_cli_flush(cli, f.code);
}
