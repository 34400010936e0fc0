/**
 * Lake: where the three tables are, for the commands that work on them.
 *
 * The tables of one home lie in HOME/tables, those of others in --lake DIR. The state index of a
 * set of three tables is in HOME/state/lake/NAME, or DIR/.dicomlake/NAME; NAME is made of the
 * container and the table paths, so that two sets never share one.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_LAKE_H
#define DL_CLI_LAKE_H

#include "cli/cli.h"
#include "pipeline/pipeline.h"

/** What the user said. */
typedef struct dl_cli_lake_where {
    const char *home, *lake;
    const char *parameter[9]; /* in the template's order; NULL: not given */
    bool short_retention;
} dl_cli_lake_where;

/* clang-format off */
#define DL_CLI_LAKE_OPTIONS(type, member)                                                               \
    {"home", "DIR", "the archive's folder; its tables are in DIR/tables (default: $DICOMLAKE_HOME)",    \
     DL_CLI_TEXT, 0, offsetof(type, member.home), 0, 0},                                                \
    {"lake", "DIR", "a lake elsewhere: tables at DIR/{ContainerName}/{InstanceTablePath} and so on",    \
     DL_CLI_TEXT, 0, offsetof(type, member.lake), 0, 0},                                                \
    {"ContainerName", "NAME", "container of the tables (default dicom)", DL_CLI_TEXT, 0,                \
     offsetof(type, member.parameter[4]), 0, 0},                                                        \
    {"InstanceTablePath", "PATH", "folder of the instance table (default instance)", DL_CLI_TEXT, 0,    \
     offsetof(type, member.parameter[5]), 0, 0},                                                        \
    {"SeriesTablePath", "PATH", "folder of the series table (default series)", DL_CLI_TEXT, 0,          \
     offsetof(type, member.parameter[6]), 0, 0},                                                        \
    {"StudyTablePath", "PATH", "folder of the study table (default study)", DL_CLI_TEXT, 0,             \
     offsetof(type, member.parameter[7]), 0, 0},                                                        \
    {"RetentionHours", "N", "how long files that left a table are kept (default 720)", DL_CLI_TEXT, 0,  \
     offsetof(type, member.parameter[8]), 0, 0},                                                        \
    {"allow-short-retention", NULL, "allow RetentionHours below 168", DL_CLI_SWITCH, 0,                 \
     offsetof(type, member.short_retention), 0, 0}
/* clang-format on */

typedef struct dl_cli_lake {
    dl_store *store;
    char state_folder[4096];
    const char *home; /* NULL: a lake elsewhere */
    dl_pipeline_parameters parameters;
} dl_cli_lake;

/** `create`: make the folders when missing. Errors: DL_E_INVALID, DL_E_NOT_FOUND, DL_E_UNSUPPORTED
 * (a URL that we have no store for). */
DL_NODISCARD dl_status dl_cli_lake_open(const dl_cli *cli, const dl_cli_lake_where *where,
                                        bool create, dl_cli_lake *out_lake, dl_error *err);
void dl_cli_lake_close(dl_cli_lake *lake);

/** "{container}/{path}" of a table by its name (instance, series, study); false: none of them. */
bool dl_cli_lake_root(const dl_cli_lake *lake, const char *name, char *out, size_t size);

#endif
