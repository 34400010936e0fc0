/**
 * Factory: what the commands connection, pipeline, trigger and run share.
 *
 * Each of them is one command with actions (`trigger create`, `trigger list`). An action's options
 * stand in the command's one table; the text of an option that only some actions take begins with
 * their names ("create, set: ..."), and both --help and the check that nothing was given in vain
 * read it there.
 *
 * The parts that a session needs are opened once: the home's factory, an arena, the JSON that
 * --json prints, and, when a connection's URL is "home:", the feed of the home's own service: of
 * the service in this process, of the one that runs on the home, or of one that is started here.
 *
 * Runs are done by whoever schedules on the home. When nobody does, the command itself does, for as
 * long as what it queued lasts (dl_cli_factory_do).
 *
 * Thread: confined, but for dl_cli_home_feed (locked).
 */
#ifndef DL_CLI_FACTORY_H
#define DL_CLI_FACTORY_H

#include "base/buf.h"
#include "cli/cli.h"
#include "factory/catalog.h"
#include "factory/routes.h"
#include "service/service.h"
#include "json/json.h"

#include <pthread.h>

/* ---- the feed behind "home:" ---- */

typedef struct dl_cli_home_feed {
    const char *home;
    dl_cancel *stop;
    bool announce;        /* a service that is started here says where it is: daemons do */
    pthread_mutex_t lock; /* guards what follows */
    dl_service *service;
    bool own; /* started here */
} dl_cli_home_feed;

void dl_cli_home_feed_init(dl_cli_home_feed *feed, const char *home, dl_cancel *stop);
/** Stops the service when it was started here. */
void dl_cli_home_feed_clear(dl_cli_home_feed *feed);
/** For dl_factory_options.open_home_feed; the context is a dl_cli_home_feed. */
DL_NODISCARD dl_status dl_cli_home_feed_open(void *context, dl_feed_source **out_source,
                                             dl_error *err);

/* ---- the one that schedules, in this process ---- */

/** Stays where it is while it is open: its threads know its address. {0} is closed. */
typedef struct dl_cli_engine {
    dl_work *work;
    dl_scheduler_work ops; /* of `work` */
    dl_webhook *webhook;
    dl_scheduler *scheduler; /* NULL: not scheduling */
} dl_cli_engine;

/** What runs need; schedules nothing yet. */
DL_NODISCARD dl_status dl_cli_engine_open(dl_cli_engine *engine, dl_factory *factory,
                                          dl_error *err);
/** Take the home's lock and begin. Errors: DL_E_CONFLICT (another process schedules). */
DL_NODISCARD dl_status dl_cli_engine_start(dl_cli_engine *engine, dl_factory *factory,
                                           const dl_service_settings *settings, dl_error *err);
/** Runs stop at their next commit; the lock is given back. */
void dl_cli_engine_stop(dl_cli_engine *engine);
/** Stops too; {0} is fine. */
void dl_cli_engine_close(dl_cli_engine *engine);

/* ---- a call of a command ---- */

/** The first member of the options of each of the four commands. */
typedef struct dl_cli_factory_where {
    const char *home;
    bool json;
} dl_cli_factory_where;

/* clang-format off */
#define DL_CLI_FACTORY_OPTIONS(type, member)                                                            \
    {"home", "DIR", "the home folder (default: $DICOMLAKE_HOME)", DL_CLI_TEXT, 0,                       \
     offsetof(type, member.home), 0, 0},                                                                \
    {"json", NULL, "print facts as JSON", DL_CLI_SWITCH, 0, offsetof(type, member.json), 0, 0}
/* clang-format on */

typedef struct dl_cli_factory {
    dl_cli *cli;
    const char *home;
    bool json;
    dl_factory *factory;
    dl_service_settings settings;
    dl_arena *arena;
    dl_buf text;
    dl_json_writer w; /* into `text`; printed at the end with --json */
    dl_cli_home_feed feed;
    dl_cli_exit code; /* of an action that did what it could */
} dl_cli_factory;

/** What an action wants of the home. */
typedef enum dl_cli_home {
    DL_CLI_HOME_THERE, /* it must exist */
    DL_CLI_HOME_MADE,  /* made when missing */
    DL_CLI_HOME_NONE,  /* none is asked for: `factory` is NULL */
} dl_cli_home;

typedef struct dl_cli_action {
    const char *name;
    const char *words; /* "NAME FROM" */
    size_t args_min, args_max;
    dl_cli_home home;
    dl_status (*run)(dl_cli_factory *f, const void *options, const dl_cli_args *args,
                     dl_error *err);
} dl_cli_action;

typedef struct dl_cli_actions {
    const dl_cli_command *command;
    const dl_cli_action *items;
    size_t count;
} dl_cli_actions;

/** Choose the action, check words and options, open the home, run, print. `options` begins with a
 * dl_cli_factory_where. */
dl_cli_exit dl_cli_factory_run(dl_cli *cli, const dl_cli_actions *actions, const void *options,
                               const dl_cli_args *args);

/** Print the JSON collected so far as one line, and begin anew. */
DL_NODISCARD dl_status dl_cli_factory_print(dl_cli_factory *f, dl_error *err);
/** "NAME      VALUE" for people; the value is cleaned. Nothing for an empty one. */
void dl_cli_factory_fact(dl_cli_factory *f, const char *name, dl_str value);
/** A sentence for people on standard output; nothing with --json. */
void dl_cli_factory_say(dl_cli_factory *f, const char *format, ...) DL_PRINTF(2, 3);

/* ---- documents ---- */

/** The draft, or what is published of a document whose draft is gone. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_cli_factory_entry(dl_cli_factory *f, dl_factory_kind kind,
                                            const char *name, dl_factory_entry *out_entry,
                                            dl_error *err);
const char *dl_cli_factory_state(dl_factory_state state);
DL_NODISCARD dl_status dl_cli_factory_remove(dl_cli_factory *f, dl_factory_kind kind,
                                             const dl_cli_args *args, dl_error *err);
DL_NODISCARD dl_status dl_cli_factory_rename(dl_cli_factory *f, dl_factory_kind kind,
                                             const dl_cli_args *args, dl_error *err);
/** Say what was saved: a sentence, or the entry as JSON. */
DL_NODISCARD dl_status dl_cli_factory_saved(dl_cli_factory *f, dl_factory_kind kind, dl_str name,
                                            dl_error *err);
/** "Name=Value" into a list of parameters: the value of the one that is there, else a new one.
 * Errors: DL_E_INVALID (not of the form), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_cli_factory_set(const char *word, dl_factory_parameter *parameters,
                                          size_t *count, dl_error *err);
void dl_cli_factory_show_parameters(dl_cli_factory *f, const dl_factory_parameter *parameters,
                                    size_t count);

/* ---- words of people ---- */

/** "90s", "15m", "1h", "2d", "1w"; with a sign when `allow_negative`. */
DL_NODISCARD dl_status dl_cli_parse_duration(const char *option, dl_str text, bool allow_negative,
                                             int64_t *out_us, dl_error *err);
/** "15m", "1h", "1d", "1w", "1month": how often. */
DL_NODISCARD dl_status dl_cli_parse_every(const char *text, dl_calendar_frequency *out_frequency,
                                          uint32_t *out_interval, dl_error *err);
/** A time with its zone, or without one for UTC, or a date alone. */
DL_NODISCARD dl_status dl_cli_parse_time(const char *option, dl_str text, int64_t *out_us,
                                         dl_error *err);
/** "2026-01-05 08:00:00" in UTC; empty for 0. */
void dl_cli_format_time(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE]);
/** "0.2 s", "12:34"; empty when it has not begun. */
void dl_cli_format_took(const dl_run *run, int64_t now_us, char out[DL_CLOCK_TEXT_SIZE]);
/** A path as it is from anywhere; URLs ("x://...", "home:") as they are. */
DL_NODISCARD dl_status dl_cli_absolute(dl_arena *arena, const char *path, dl_str *out_path,
                                       dl_error *err);

/* ---- runs ---- */

/** What was queued: one run, or the windows of a trigger. */
typedef struct dl_cli_queued {
    char run_id[DL_FACTORY_RUN_ID_SIZE]; /* empty: windows */
    dl_str trigger;
    int64_t from_us, to_us;
    size_t count;
    bool wait;
} dl_cli_queued;

/** Have it done and say how it ended: here when nobody schedules on the home, else by whoever does;
 * then only followed with `wait`. f->code says how the runs ended. */
DL_NODISCARD dl_status dl_cli_factory_do(dl_cli_factory *f, const dl_cli_queued *queued,
                                         dl_error *err);
/** One run for people. */
DL_NODISCARD dl_status dl_cli_factory_show_run(dl_cli_factory *f, const dl_run *run, dl_error *err);
/** A member of a run's counts; 0 when it has none. */
int64_t dl_cli_factory_count(const dl_run *run, const char *name);

#endif
