/**
 * Command line: what a person or a script calls; the only place that wires the concrete parts.
 *
 * One command is one `dl_cli_command` in a file of its own: its options stand in a table that both
 * the parser and --help read, so the two cannot differ. run.c holds the table of commands; main.c
 * fills the `dl_cli` (streams, the two wishes to stop, the environment) and calls dl_cli_run().
 *
 * A command prints facts on `out` (with --json: one JSON document, or one object a line for feeds)
 * and everything else on `err`: progress (only when a person watches), and for each failure one
 * line `dicomlake: what; hint`. It returns an exit code: dl_cli_fail() maps a status in one table
 * (exit.c).
 *
 * Thread: confined to the main thread, but for what says otherwise (report.h, progress.h).
 */
#ifndef DL_CLI_CLI_H
#define DL_CLI_CLI_H

#include "base/cancel.h"
#include "base/str.h"

#include <stdio.h>

/** Stable: scripts look at them. */
typedef enum dl_cli_exit {
    DL_CLI_DONE = 0,
    DL_CLI_FAILED = 1,
    DL_CLI_USAGE = 2,
    DL_CLI_PARTLY = 3,
} dl_cli_exit;

typedef struct dl_cli {
    FILE *out, *err;
    const char *env_home; /* DICOMLAKE_HOME; NULL: not set */
    dl_cancel *stop;      /* the first Ctrl-C or SIGTERM: begin nothing new */
    dl_cancel *abort;     /* the second: cut off what is under way */
} dl_cli;

/* ---- options ---- */

typedef enum dl_cli_kind {
    DL_CLI_SWITCH, /* bool */
    DL_CLI_TEXT,   /* const char * */
    DL_CLI_NUMBER, /* uint64_t within min..max */
    DL_CLI_LIST,   /* dl_cli_list: the option may come several times */
} dl_cli_kind;

enum { DL_CLI_LIST_LIMIT = 64 };

typedef struct dl_cli_list {
    const char *items[DL_CLI_LIST_LIMIT];
    size_t count;
} dl_cli_list;

typedef struct dl_cli_option {
    const char *name;  /* without dashes */
    const char *value; /* what people call its value; NULL for a switch */
    const char *text;  /* one line; NULL: --help does not show it */
    dl_cli_kind kind;
    char letter;   /* short form; 0: none */
    size_t offset; /* of the target in the command's options */
    uint64_t min, max;
} dl_cli_option;

typedef struct dl_cli_args {
    char **items;
    size_t count;
} dl_cli_args;

typedef struct dl_cli_words {
    dl_cli_args args; /* what is no option; borrows from argv */
    bool help;        /* --help: nothing else counts */
} dl_cli_words;

enum { DL_CLI_OPTION_LIMIT = 32, DL_CLI_OPTIONS_SIZE = 2048 };

typedef struct dl_cli_command {
    const char *name;
    const char *synopsis; /* "PATH..." */
    const char *summary;  /* one line */
    const char *details;  /* further lines, or NULL */
    const char *example;
    const dl_cli_option *options;
    size_t option_count;
    const void *defaults; /* the options before parsing */
    size_t options_size;  /* at most DL_CLI_OPTIONS_SIZE */
    size_t args_min, args_max;
    dl_cli_exit (*run)(dl_cli *cli, const void *options, const dl_cli_args *args);
    void (*more_help)(FILE *out); /* may be NULL */
} dl_cli_command;

/**
 * Read the words after the command's name into `target` (options_size bytes, which already hold the
 * defaults). Options may stand anywhere; `--` ends them.
 *
 * Errors: DL_E_INVALID in words for the user.
 */
DL_NODISCARD dl_status dl_cli_parse(const dl_cli_command *command, int argc, char **argv,
                                    void *target, dl_cli_words *out_words, dl_error *err);
void dl_cli_print_help(const dl_cli_command *command, FILE *out);

/** The commands in the order of `help`. */
extern const dl_cli_command dl_cli_serve, dl_cli_import, dl_cli_search, dl_cli_get, dl_cli_delete,
    dl_cli_feed, dl_cli_sync, dl_cli_lake_table, dl_cli_connection, dl_cli_pipeline, dl_cli_trigger,
    dl_cli_runs, dl_cli_lakehouse, dl_cli_shortcut, dl_cli_cohort, dl_cli_sql_command,
    dl_cli_notebook, dl_cli_verify, dl_cli_version;
size_t dl_cli_command_count(void);
const dl_cli_command *dl_cli_command_at(size_t index);

/** Everything but the process: choose the command, parse, run. */
dl_cli_exit dl_cli_run(dl_cli *cli, int argc, char **argv);

/* ---- failing ---- */

/** The one table from status to exit code. */
dl_cli_exit dl_cli_exit_of(dl_status status);
/** Print `dicomlake: what; hint` and give the exit code. */
dl_cli_exit dl_cli_fail(const dl_cli *cli, const dl_error *err);
/** The other end of a pipe is closed: whoever closed it knows (`dicomlake feed | head`). */
bool dl_cli_reader_left(FILE *out);
/** Whatever was printed has reached `out`; otherwise says so. */
dl_cli_exit dl_cli_flush(const dl_cli *cli, dl_cli_exit code);

/** Sleep, but no longer than until `cancel` is asked; false when it was. */
bool dl_cli_sleep_ms(unsigned ms, dl_cancel *cancel);

#endif
