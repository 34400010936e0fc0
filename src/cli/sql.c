/* dicomlake sql ...: Delta tables asked in SQL. */
#include "cli/sql.h"

#include "base/ckd.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/factory.h"
#include "cli/worker.h"
#include "query/seal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ARENA_BYTES = 256 << 20, PATH_SIZE = 4096, READ_STEP = 64 * 1024 };

static const dl_cli_sql_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    {"home", "DIR", "the home folder, whose tables are asked (default: $DICOMLAKE_HOME)", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, home), 0, 0},
    {"lake", "DIR", "a lake elsewhere: its tables are DIR/{container}/{name}", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, lake), 0, 0},
    {"lakehouse", "NAME", "a lakehouse of the home (default: the only one, or the home's own)", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, lakehouse), 0, 0},
    {"file", "FILE", "read the statements from a file; - is standard input", DL_CLI_TEXT, 'f', offsetof(dl_cli_sql_options, file), 0, 0},
    {"output", "FILE", "write the rows to a new file, whole or not at all", DL_CLI_TEXT, 'o', offsetof(dl_cli_sql_options, output), 0, 0},
    {"format", "NAME", "table, csv, json, jsonl, markdown, html, arrow or parquet (default: the file's ending)", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, format), 0, 0},
    {"json", NULL, "the same as --format json", DL_CLI_SWITCH, 0, offsetof(dl_cli_sql_options, json), 0, 0},
    {"chart", "WORDS", "draw the rows as SVG: bar, line, scatter, histogram or pie, x=COLUMN y=COLUMN ...", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, chart), 0, 0},
    {"rows", "N", "rows shown of a table, Markdown or HTML (default 40)", DL_CLI_NUMBER, 0, offsetof(dl_cli_sql_options, rows), 1, SIZE_MAX},
    {"limit", "N", "fail when a result has more rows", DL_CLI_NUMBER, 0, offsetof(dl_cli_sql_options, limit), 0, INT64_MAX},
    {"timeout", "TIME", "fail when a statement takes longer: 30s, 5m", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, timeout), 0, 0},
    {"memory", "SIZE", "memory of the engine: 512MB, 4GB (default 1GB)", DL_CLI_TEXT, 0, offsetof(dl_cli_sql_options, memory), 0, 0},
    {"threads", "N", "threads of the engine (default: as there are processors)", DL_CLI_NUMBER, 0, offsetof(dl_cli_sql_options, threads), 1, 1024},
    {"stats", NULL, "tell on standard error what was read: versions, files, rows, time", DL_CLI_SWITCH, 0, offsetof(dl_cli_sql_options, stats), 0, 0},
    {"worker", NULL, NULL, DL_CLI_SWITCH, 0, offsetof(dl_cli_sql_options, worker), 0, 0},
};
/* clang-format on */

/* ---- what the words say ---- */

static dl_status read_size(const char *text, uint64_t *out_bytes, dl_error *err)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"K", UINT64_C(1) << 10},
                 {"M", UINT64_C(1) << 20},
                 {"G", UINT64_C(1) << 30},
                 {"KB", UINT64_C(1000)},
                 {"MB", UINT64_C(1000000)},
                 {"GB", UINT64_C(1000000000)},
                 {"KIB", UINT64_C(1) << 10},
                 {"MIB", UINT64_C(1) << 20},
                 {"GIB", UINT64_C(1) << 30}};
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    bool right = dl_str_to_u64(dl_str_slice(dl_str_of(text), 0, digits), &number) && number > 0;
    for (size_t i = 0; right && i < DL_COUNT_OF(units); i++) {
        if (dl_str_eq_nocase(dl_str_of(text + digits), dl_str_of(units[i].unit)) &&
            !ckd_mul(out_bytes, number, units[i].bytes)) {
            return DL_OK;
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "--memory %s: not a size", text);
    dl_error_hint(err, "a number with MB or GB, as in 512MB");
    return DL_E_INVALID;
}

static dl_status read_limits(const dl_cli_sql_options *o, dl_query_limits *out, dl_error *err)
{
    if (o->memory != NULL) {
        DL_TRY(read_size(o->memory, &out->memory_bytes, err));
    }
    if (o->timeout != NULL) {
        int64_t us = 0;
        DL_TRY(dl_cli_parse_duration("--timeout", dl_str_of(o->timeout), false, &us, err));
        if (us < 1000 || us / 1000 > UINT32_MAX) {
            return dl_error_set(err, DL_E_INVALID, "--timeout %s: from 1s to 7w", o->timeout);
        }
        out->time_ms = (uint32_t)(us / 1000);
    }
    out->rows = o->limit;
    out->threads = (uint32_t)o->threads;
    return DL_OK;
}

static bool format_by_ending(const char *path, dl_query_format *out_format)
{
    static const struct {
        const char *ending;
        dl_query_format format;
    } endings[] = {{".csv", DL_QUERY_CSV},         {".json", DL_QUERY_JSON},
                   {".jsonl", DL_QUERY_JSONL},     {".ndjson", DL_QUERY_JSONL},
                   {".md", DL_QUERY_MARKDOWN},     {".markdown", DL_QUERY_MARKDOWN},
                   {".html", DL_QUERY_HTML},       {".htm", DL_QUERY_HTML},
                   {".arrow", DL_QUERY_ARROW},     {".arrows", DL_QUERY_ARROW},
                   {".parquet", DL_QUERY_PARQUET}, {".txt", DL_QUERY_TABLE}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < DL_COUNT_OF(endings); i++) {
        if (dl_str_eq_nocase(dl_str_of(dot), dl_str_of(endings[i].ending))) {
            *out_format = endings[i].format;
            return true;
        }
    }
    return false;
}

static bool is_binary(dl_query_format format)
{
    return format == DL_QUERY_ARROW || format == DL_QUERY_PARQUET;
}

static dl_status choose_format(dl_cli_sql *sql, dl_error *err)
{
    const dl_cli_sql_options *o = sql->o;
    if ((o->json ? 1 : 0) + (o->format != NULL ? 1 : 0) + (o->chart != NULL ? 1 : 0) > 1) {
        return dl_error_set(err, DL_E_INVALID, "give one of --format, --json and --chart");
    }
    sql->format = o->json ? DL_QUERY_JSON : DL_QUERY_TABLE;
    if (o->format != NULL) {
        DL_TRY(dl_query_format_of(o->format, &sql->format, err));
    } else if (o->output != NULL && !o->json && o->chart == NULL &&
               !format_by_ending(o->output, &sql->format)) {
        (void)dl_error_set(err, DL_E_INVALID, "%s: no format has this ending", o->output);
        dl_error_hint(err, "give --format");
        return DL_E_INVALID;
    }
    if (is_binary(sql->format) && o->output == NULL && sql->terminal) {
        (void)dl_error_set(err, DL_E_INVALID, "%s is not written to a screen",
                           dl_query_format_name(sql->format));
        dl_error_hint(err, "give -o FILE, or send it on through a pipe");
        return DL_E_INVALID;
    }
    return DL_OK;
}

/* ---- the session ---- */

/** What the engine cannot reach is also shut for the process: it writes nowhere but where -o is. */
static dl_status seal(dl_cli_sql *sql, dl_error *err)
{
    char folder[PATH_SIZE] = ".";
    const char *write[1] = {NULL};
    dl_query_seal_options options_ = {.write = write};
    if (sql->o->output != NULL) {
        const char *slash = strrchr(sql->o->output, '/');
        if (slash != NULL &&
            (size_t)snprintf(folder, sizeof folder, "%.*s", (int)(slash - sql->o->output) + 1,
                             sql->o->output) >= sizeof folder) {
            return dl_error_set(err, DL_E_INVALID, "-o: the path is too long");
        }
        write[options_.write_count++] = folder;
    }
    dl_query_sealed sealed = {0};
    return dl_query_seal(sql->query, &options_, &sealed, err);
}

/* Another thread than the one that is stuck: nothing but the descriptor is safe to touch. */
static void end_stuck(void *context)
{
    static const char words[] =
        "dicomlake: sql: the statement does not stop by itself: the program ends\n";
    ssize_t written = write(STDERR_FILENO, words, sizeof words - 1);
    (void)written;
    (void)context;
    _exit(DL_CLI_FAILED);
}

static dl_status open_session(dl_cli_sql *sql, dl_error *err)
{
    dl_query_options query = {.limits = sql->limits,
                              .clock = dl_clock_system(),
                              .cancel = sql->cli->stop,
                              .stuck = end_stuck};
    DL_TRY(dl_cli_sql_where(sql, &query, err));
    DL_TRY(dl_query_open(&query, &sql->query, err));
    return seal(sql, err);
}

/* ---- statements ---- */

/** Wait for standard input, but not after Ctrl-C. */
static dl_status read_step(int fd, dl_cancel *stop, char *out, size_t room, size_t *out_len,
                           dl_error *err)
{
    for (;;) {
        struct pollfd look = {.fd = fd, .events = POLLIN};
        if (dl_cancel_asked(stop)) {
            return dl_error_set(err, DL_E_CANCELED, "cancelled");
        }
        if (poll(&look, 1, 1000) <= 0) { /* a signal ends it: the loop looks again */
            continue;
        }
        ssize_t n = read(fd, out, room);
        if (n >= 0) {
            *out_len = (size_t)n;
            return DL_OK;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return dl_error_errno(err, errno, "cannot read standard input");
        }
    }
}

static dl_status read_stdin(const dl_cli_sql *sql, dl_buf *script, dl_error *err)
{
    for (;;) {
        size_t n = 0;
        DL_TRY(dl_buf_reserve(script, READ_STEP, err));
        DL_TRY(
            read_step(STDIN_FILENO, sql->cli->stop, script->ptr + script->len, READ_STEP, &n, err));
        if (n == 0) {
            return DL_OK;
        }
        script->len += n;
    }
}

static dl_status read_script(const dl_cli_sql *sql, const dl_cli_args *args, dl_buf *script,
                             dl_error *err)
{
    const char *file = sql->o->file;
    if (args->count > 0) {
        return dl_buf_append_str(script, dl_str_of(args->items[0]), err);
    }
    return file == NULL || strcmp(file, "-") == 0 ? read_stdin(sql, script, err)
                                                  : dl_file_read_all(file, script, err);
}

/** Files hold one result; several tables or lines of JSON may follow each other. */
static dl_status check_count(const dl_cli_sql *sql, dl_str script, dl_error *err)
{
    size_t count = 0;
    dl_str rest = script;
    dl_str statement = DL_STR_NONE;
    while (dl_query_next_statement(&rest, &statement)) {
        count++;
    }
    if (count == 0) {
        return dl_error_set(err, DL_E_INVALID, "there is no statement");
    }
    bool one =
        sql->o->output != NULL || sql->o->chart != NULL || sql->o->worker || is_binary(sql->format);
    if (count > 1 && one) {
        return dl_error_set(err, DL_E_INVALID, "%zu statements; this output takes one", count);
    }
    return DL_OK;
}

static dl_cli_exit run_script(dl_cli_sql *sql, dl_str script)
{
    dl_error err = {0};
    dl_query_place place = {.at = SIZE_MAX};
    dl_status status = check_count(sql, script, &err);
    dl_str rest = script;
    dl_str statement = DL_STR_NONE;
    while (status == DL_OK && dl_query_next_statement(&rest, &statement)) {
        status = dl_cli_sql_statement(sql, script, statement, &place, &err);
    }
    if (sql->o->worker) {
        return dl_cli_worker_end(sql->cli, status, sql->rows_written, &place, &err);
    }
    return status == DL_OK ? DL_CLI_DONE : dl_cli_sql_fail(sql, script, &place, &err);
}

/* ---- the command ---- */

static void look_at_terminal(dl_cli_sql *sql)
{
    struct winsize size = {0};
    int fd = fileno(sql->cli->out);
    sql->terminal = isatty(fd) == 1;
    bool known = sql->terminal && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20;
    sql->width = known ? size.ws_col : 0;
}

/** Before there was a statement to point into. */
static dl_cli_exit fail_early(const dl_cli_sql *sql, const dl_error *err)
{
    const dl_query_place nowhere = {.at = SIZE_MAX};
    return sql->o->worker ? dl_cli_worker_end(sql->cli, err->status, 0, &nowhere, err)
                          : dl_cli_fail(sql->cli, err);
}

static dl_cli_exit run_words(dl_cli_sql *sql, const dl_cli_args *args)
{
    dl_error err = {0};
    DL_AUTO_BUF script = {0};
    dl_buf_init(&script, DL_QUERY_STATEMENT_LIMIT_BYTES + READ_STEP); /* read in steps */
    dl_status status = read_script(sql, args, &script, &err);
    if (status == DL_OK) {
        status = open_session(sql, &err);
    }
    if (status == DL_OK) {
        return run_script(sql, dl_buf_str(&script));
    }
    return fail_early(sql, &err);
}

static dl_cli_exit run_prompt(dl_cli_sql *sql)
{
    dl_error err = {0};
    DL_AUTO(dl_cli_sql_prompt) prompt = NULL;
    dl_status status = dl_cli_sql_prompt_open(sql, &prompt, &err);
    if (status == DL_OK) {
        status = open_session(sql, &err);
    }
    if (status != DL_OK) {
        return dl_cli_fail(sql->cli, &err);
    }
    dl_cli_sql_prompt_ask(prompt);
    return DL_CLI_DONE;
}

/** A person at both ends, and nothing to run yet. */
static bool wants_prompt(const dl_cli_sql *sql, const dl_cli_args *args)
{
    const dl_cli_sql_options *o = sql->o;
    return args->count == 0 && o->file == NULL && o->output == NULL && o->chart == NULL &&
           !o->worker && sql->terminal && isatty(STDIN_FILENO) == 1;
}

static dl_status prepare(dl_cli_sql *sql, const dl_cli_args *args, dl_error *err)
{
    if (args->count > 0 && (sql->o->file != NULL || sql->o->worker)) {
        return dl_error_set(err, DL_E_INVALID, "give a statement or --file, not both");
    }
    sql->arena = dl_arena_create(ARENA_BYTES);
    if (sql->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    look_at_terminal(sql);
    DL_TRY(read_limits(sql->o, &sql->limits, err));
    return choose_format(sql, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    const dl_cli_sql_options *o = given;
    dl_error err = {0};
    dl_cli_sql sql = {.cli = cli,
                      .o = o,
                      .home = o->home != NULL   ? o->home
                              : o->lake == NULL ? cli->env_home
                                                : NULL};
    dl_cli_exit code = DL_CLI_DONE;
    dl_status status = o->worker ? dl_cli_worker_begin(cli, &err) : DL_OK;
    if (status == DL_OK) {
        status = prepare(&sql, args, &err);
    }
    if (status != DL_OK) {
        code = fail_early(&sql, &err);
    } else {
        code = wants_prompt(&sql, args) ? run_prompt(&sql) : run_words(&sql, args);
    }
    dl_query_close(sql.query);
    dl_arena_destroy(sql.arena);
    return sql.reader_left ? DL_CLI_FAILED : dl_cli_flush(cli, code);
}

const dl_cli_command dl_cli_sql_command = {
    .name = "sql",
    .synopsis = "[STATEMENT]",
    .summary = "Ask the tables in SQL.",
    .details = "One statement as a word, or statements from a file or standard input; without "
               "either, on a\n"
               "terminal, a prompt. SQL only reads: VERSION AS OF and TIMESTAMP AS OF look back.\n"
               "Exit codes: 0 done, 1 failed or refused, 2 wrong usage or wrong SQL.",
    .example = "dicomlake sql --home ~/archive \"SELECT modality, count(*) FROM instance GROUP BY "
               "modality\"",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(dl_cli_sql_options),
    .args_max = 1,
    .run = run,
};
