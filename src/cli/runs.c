/* dicomlake run ...: the monitor: what ran, how long, how it ended and why. */
#include "cli/factory.h"
#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

enum { ARGS_LIMIT = 64, FOLLOW_MS = 250, LIST_LIMIT = 10000, SHORT_ID = 8 };

typedef struct run_options {
    dl_cli_factory_where where;
    const char *from, *to, *status, *pipeline, *trigger;
    uint64_t last;
    bool follow, wait;
} run_options;

static const run_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(run_options, where),
    {"from", "TIME", "list: queued at this time or later", DL_CLI_TEXT, 0, offsetof(run_options, from), 0, 0},
    {"to", "TIME", "list: queued before this time", DL_CLI_TEXT, 0, offsetof(run_options, to), 0, 0},
    {"status", "STATUS", "list: queued, in-progress, succeeded, failed or cancelled", DL_CLI_TEXT, 0, offsetof(run_options, status), 0, 0},
    {"pipeline", "NAME", "list: of this pipeline", DL_CLI_TEXT, 0, offsetof(run_options, pipeline), 0, 0},
    {"trigger", "NAME", "list: of this trigger", DL_CLI_TEXT, 0, offsetof(run_options, trigger), 0, 0},
    {"last", "N", "list: the newest N (default 100)", DL_CLI_NUMBER, 'n', offsetof(run_options, last), 1, LIST_LIMIT},
    {"follow", NULL, "logs: go on until the run has ended", DL_CLI_SWITCH, 'f', offsetof(run_options, follow), 0, 0},
    {"wait", NULL, "rerun: follow the run to its end", DL_CLI_SWITCH, 0, offsetof(run_options, wait), 0, 0},
};
/* clang-format on */

/* ---- list ---- */

/** Data Factory's words, without regard to case and dashes. */
static dl_status read_status(const char *text, dl_run_filter *filter, dl_error *err)
{
    char word[32];
    size_t len = 0;
    for (const char *c = text; *c != '\0' && len + 1 < sizeof word; c++) {
        if (*c != '-' && *c != '_') {
            word[len++] = *c;
        }
    }
    word[len] = '\0';
    for (int i = DL_RUN_QUEUED; i <= DL_RUN_CANCELLED; i++) {
        if (dl_str_eq_nocase(dl_str_of(word), dl_str_of(dl_run_status_text((dl_run_status)i)))) {
            filter->by_status = true;
            filter->status = (dl_run_status)i;
            return DL_OK;
        }
    }
    return dl_error_set(err, DL_E_INVALID,
                        "--status %s: not queued, in-progress, succeeded, failed or cancelled",
                        text);
}

static dl_status read_filter(const run_options *o, dl_run_filter *filter, dl_error *err)
{
    *filter = (dl_run_filter){.pipeline = dl_str_of(o->pipeline),
                              .trigger = dl_str_of(o->trigger),
                              .limit = (size_t)o->last};
    if (o->from != NULL) {
        DL_TRY(dl_cli_parse_time("--from", dl_str_of(o->from), &filter->from_us, err));
    }
    if (o->to != NULL) {
        DL_TRY(dl_cli_parse_time("--to", dl_str_of(o->to), &filter->to_us, err));
    }
    return o->status == NULL ? DL_OK : read_status(o->status, filter, err);
}

static dl_status add_row(dl_cli_factory *f, dl_cli_table *table, const dl_run *run, dl_error *err)
{
    char window[DL_CLOCK_TEXT_SIZE] = "";
    char begun[DL_CLOCK_TEXT_SIZE];
    char took[DL_CLOCK_TEXT_SIZE];
    char changes[32] = "";
    if (run->has_window) {
        dl_cli_format_time(run->window_start_us, window);
    }
    dl_cli_format_time(run->started_us != 0 ? run->started_us : run->queued_us, begun);
    dl_cli_format_took(run, dl_factory_now_us(f->factory), took);
    if (run->counts.len > 0) {
        (void)snprintf(changes, sizeof changes, "%" PRId64, dl_cli_factory_count(run, "changes"));
    }
    const dl_str cells[] = {dl_str_slice(dl_str_of(run->id), 0, SHORT_ID),
                            run->pipeline,
                            run->trigger.len > 0 ? run->trigger : DL_STR("(by hand)"),
                            dl_str_of(window),
                            dl_str_of(begun),
                            dl_str_of(took),
                            dl_str_of(changes),
                            dl_str_of(dl_run_status_text(run->status))};
    return dl_cli_table_add(table, cells, err);
}

static dl_status list(dl_cli_factory *f, const void *given, DL_UNUSED const dl_cli_args *args,
                      dl_error *err)
{
    static const dl_cli_column titles[] = {{"RUN", false, 0},         {"PIPELINE", false, 0},
                                           {"TRIGGER", false, 0},     {"WINDOW (UTC)", false, 0},
                                           {"BEGUN (UTC)", false, 0}, {"TOOK", true, 0},
                                           {"CHANGES", true, 0},      {"STATUS", false, 0}};
    dl_run_filter filter;
    dl_run *runs = NULL;
    size_t count = 0;
    DL_TRY(read_filter(given, &filter, err));
    DL_TRY(dl_runs_list(f->factory, &filter, f->arena, &runs, &count, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        dl_fact_run(&f->w, &runs[i]);
        DL_TRY(add_row(f, table, &runs[i], err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

/* ---- show ---- */

static dl_status show(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    dl_run run;
    DL_TRY(dl_runs_get(f->factory, dl_str_of(args->items[0]), f->arena, &run, err));
    dl_fact_run(&f->w, &run);
    return f->json ? DL_OK : dl_cli_factory_show_run(f, &run, err);
}

/* ---- logs ---- */

static dl_status print_line(dl_cli_factory *f, const dl_run_line *line, dl_error *err)
{
    if (f->json) { /* one object a line, as the lines come */
        dl_fact_line(&f->w, line);
        return dl_cli_factory_print(f, err);
    }
    char time[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(line->time_us, time);
    dl_cli_factory_say(f, "%s  %-5.*s  %.*s", time, DL_STR_ARG(line->level),
                       DL_STR_ARG(line->text));
    return DL_OK;
}

/** What is new since `*after`; whether the run had ended before they were read. */
static dl_status print_lines(dl_cli_factory *f, dl_str id, int64_t *after, bool *out_ended,
                             dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)64 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    dl_run run;
    dl_run_line *lines = NULL;
    size_t count = 0;
    DL_TRY(dl_runs_get(f->factory, id, arena, &run, err));
    DL_TRY(dl_runs_lines(f->factory, dl_str_of(run.id), *after, arena, &lines, &count, after, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(print_line(f, &lines[i], err));
    }
    (void)fflush(f->cli->out);
    *out_ended = count == 0 && run.status != DL_RUN_QUEUED && run.status != DL_RUN_IN_PROGRESS;
    return DL_OK;
}

static dl_status logs(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    const run_options *o = given;
    int64_t after = 0;
    for (;;) {
        int64_t last = after;
        bool ended = false;
        DL_TRY(print_lines(f, dl_str_of(args->items[0]), &after, &ended, err));
        if (after != last) {
            continue; /* a page of lines: there may be more */
        }
        if (!o->follow || ended || !dl_cli_sleep_ms(FOLLOW_MS, f->cli->stop)) {
            return DL_OK;
        }
    }
}

/* ---- cancel, rerun ---- */

static dl_status cancel(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                        dl_error *err)
{
    dl_run run;
    DL_TRY(dl_runs_get(f->factory, dl_str_of(args->items[0]), f->arena, &run, err));
    DL_TRY(dl_runs_cancel(f->factory, dl_str_of(run.id), err));
    DL_TRY(dl_runs_get(f->factory, dl_str_of(run.id), f->arena, &run, err));
    dl_fact_run(&f->w, &run);
    dl_cli_factory_say(f,
                       run.status == DL_RUN_CANCELLED
                           ? "run %s is cancelled"
                           : "run %s stops at its next commit; what is committed stays",
                       run.id);
    return DL_OK;
}

static dl_status rerun(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    const run_options *o = given;
    dl_run run;
    dl_cli_queued queued = {.count = 1, .wait = o->wait};
    DL_TRY(dl_runs_get(f->factory, dl_str_of(args->items[0]), f->arena, &run, err));
    DL_TRY(dl_runs_rerun(f->factory, dl_str_of(run.id), queued.run_id, err));
    return dl_cli_factory_do(f, &queued, err);
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"show", "RUN", 1, 1, DL_CLI_HOME_THERE, show},
    {"logs", "RUN", 1, 1, DL_CLI_HOME_THERE, logs},
    {"cancel", "RUN", 1, 1, DL_CLI_HOME_THERE, cancel},
    {"rerun", "RUN", 1, 1, DL_CLI_HOME_THERE, rerun},
};

static dl_cli_exit run_command(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_runs, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_runs = {
    .name = "run",
    .synopsis = "ACTION [RUN]",
    .summary = "Look at runs of pipelines: when, how long, how they ended and why.",
    .details = "ACTION is list, show, logs, cancel or rerun. RUN is a run's id, or its first six "
               "digits or more.\n"
               "Exit codes: 0 done, 1 failed or the run did, 2 wrong usage.",
    .example = "dicomlake run list --status failed --last 20",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(run_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run_command,
};
