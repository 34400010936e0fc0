/**
 * Worker: what commands do that another process of ours started for somebody else
 * (lakehouse/child.h): end with it, and say in one line how they ended.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_WORKER_H
#define DL_CLI_WORKER_H

#include "cli/cli.h"
#include "query/query.h"

/** From now on this process is killed when the one that started it ends. Before anything else.
 * Errors: DL_E_CANCELED (it has ended already). */
DL_NODISCARD dl_status dl_cli_worker_begin(dl_cli *cli, dl_error *err);
/** The line on standard error: {"rows": N}, or what went wrong and where. */
dl_cli_exit dl_cli_worker_end(dl_cli *cli, dl_status status, int64_t rows,
                              const dl_query_place *place, const dl_error *err);

/** `dicomlake worker cohort|notebook` (worker_run.c); `sql --worker` is the third. */
extern const dl_cli_command dl_cli_worker;

#endif
