/**
 * SQL: what the files of the command `sql` share: where the tables are, a statement and its rows,
 * the prompt.
 *
 * A call reads its statements from its words, a file, standard input or a person, opens one session
 * over the tables it finds, seals the process (query/seal.h) and runs one statement after another.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_SQL_H
#define DL_CLI_SQL_H

#include "cli/cli.h"
#include "query/output.h"
#include "query/query.h"

typedef struct dl_cli_sql_options {
    const char *home, *lake, *lakehouse;
    const char *file, *output, *format, *chart;
    const char *timeout, *memory;
    uint64_t limit, rows, threads;
    bool json, stats, worker;
} dl_cli_sql_options;

typedef struct dl_cli_sql {
    dl_cli *cli;
    const dl_cli_sql_options *o;
    const char *home; /* NULL: none; absolute */
    dl_arena *arena;
    dl_query *query;
    dl_query_limits limits;
    dl_query_format format;
    bool terminal;        /* rows go to a person's screen, */
    size_t width;         /* which has so many columns */
    bool timing;          /* the prompt's \timing */
    bool reader_left;     /* the other end of a pipe is closed */
    size_t statements;    /* run so far */
    int64_t rows_written; /* by the last one */
} dl_cli_sql;

/** The tables and roots of --lake, --lakehouse or the home, into the arena; nothing is opened. */
DL_NODISCARD dl_status dl_cli_sql_where(dl_cli_sql *sql, dl_query_options *out_options,
                                        dl_error *err);

/** Run one statement, which stands in `script`, and write its rows. On failure `out_place` is in
 * `script`. */
DL_NODISCARD dl_status dl_cli_sql_statement(dl_cli_sql *sql, dl_str script, dl_str statement,
                                            dl_query_place *out_place, dl_error *err);
/** Line and column of `place->at`. */
void dl_cli_sql_locate(dl_str script, dl_query_place *place);
/** `dicomlake: line 2, column 8: what; hint`, the line and a caret. */
dl_cli_exit dl_cli_sql_fail(const dl_cli_sql *sql, dl_str script, const dl_query_place *place,
                            const dl_error *err);

/* ---- the prompt ---- */

typedef struct dl_cli_sql_prompt dl_cli_sql_prompt;
/** Before the process is sealed: reads the history, HOME/state/sql_history. */
DL_NODISCARD dl_status dl_cli_sql_prompt_open(dl_cli_sql *sql, dl_cli_sql_prompt **out_prompt,
                                              dl_error *err);
/** The terminal is as it was. NULL is fine. */
void dl_cli_sql_prompt_destroy(dl_cli_sql_prompt *prompt);
DL_DEFINE_AUTO(dl_cli_sql_prompt)
/** Ask a person for statements until the end. */
void dl_cli_sql_prompt_ask(dl_cli_sql_prompt *prompt);

#endif
