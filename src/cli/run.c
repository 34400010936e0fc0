#include "cli/cli.h"
#include "cli/worker.h"

#include <stddef.h>
#include <string.h>

static const dl_cli_command *const commands[] = {
    &dl_cli_serve,       &dl_cli_import,   &dl_cli_search,     &dl_cli_get,        &dl_cli_delete,
    &dl_cli_feed,        &dl_cli_sync,     &dl_cli_lake_table, &dl_cli_connection, &dl_cli_pipeline,
    &dl_cli_trigger,     &dl_cli_runs,     &dl_cli_lakehouse,  &dl_cli_shortcut,   &dl_cli_cohort,
    &dl_cli_sql_command, &dl_cli_notebook, &dl_cli_verify,     &dl_cli_version,
};

size_t dl_cli_command_count(void)
{
    return DL_COUNT_OF(commands);
}

const dl_cli_command *dl_cli_command_at(size_t index)
{
    return commands[index];
}

static const dl_cli_command *command_of(const char *name)
{
    for (size_t i = 0; i < DL_COUNT_OF(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    /* No list has it: it is not for people. */
    return strcmp(dl_cli_worker.name, name) == 0 ? &dl_cli_worker : NULL;
}

static void print_overview(FILE *out)
{
    (void)fprintf(out, "usage: dicomlake COMMAND [options] [words]\n\n"
                       "dicomlake keeps DICOM files in a folder, serves them over DICOMweb, and "
                       "makes Delta tables of\n"
                       "them that SQL and others read.\n\n"
                       "commands:\n");
    for (size_t i = 0; i < DL_COUNT_OF(commands); i++) {
        (void)fprintf(out, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)fprintf(out, "  %-10s  %s\n", "help", "Print this, or the help of a command.");
    (void)fprintf(out,
                  "\n`dicomlake COMMAND --help` lists the options of a command.\n"
                  "The archive's folder is --home DIR, or $DICOMLAKE_HOME. Commands work beside a "
                  "running serve\n"
                  "and without one. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partly done.\n\n"
                  "example:\n  dicomlake import --home ~/archive /media/cdrom\n");
}

static dl_cli_exit no_command(const dl_cli *cli, const char *name)
{
    dl_error err = {0};
    (void)dl_error_set(&err, DL_E_INVALID, "no command %s", name);
    dl_error_hint(&err, "dicomlake help lists them");
    return dl_cli_fail(cli, &err);
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static dl_cli_exit help(const dl_cli *cli, int argc, char **argv)
{
    if (argc < 2 || is_help(argv[1])) {
        print_overview(cli->out);
        return dl_cli_flush(cli, DL_CLI_DONE);
    }
    const dl_cli_command *command = command_of(argv[1]);
    if (command == NULL) {
        return no_command(cli, argv[1]);
    }
    if (argc > 2) {
        dl_error err = {0};
        (void)dl_error_set(&err, DL_E_INVALID, "help: too many words");
        dl_error_hint(&err, "usage: dicomlake help [COMMAND]");
        return dl_cli_fail(cli, &err);
    }
    dl_cli_print_help(command, cli->out);
    return dl_cli_flush(cli, DL_CLI_DONE);
}

static dl_cli_exit run_command(dl_cli *cli, const dl_cli_command *command, int argc, char **argv)
{
    union {
        max_align_t aligned;
        char bytes[DL_CLI_OPTIONS_SIZE];
    } options;
    dl_cli_words words = {0};
    dl_error err = {0};
    DL_ASSERT(command->options_size <= sizeof options);
    memcpy(options.bytes, command->defaults, command->options_size);
    if (dl_cli_parse(command, argc, argv, options.bytes, &words, &err) != DL_OK) {
        return dl_cli_fail(cli, &err);
    }
    if (words.help) {
        dl_cli_print_help(command, cli->out);
        return dl_cli_flush(cli, DL_CLI_DONE);
    }
    return command->run(cli, options.bytes, &words.args);
}

dl_cli_exit dl_cli_run(dl_cli *cli, int argc, char **argv)
{
    const char *name = argc < 2 ? NULL : argv[1];
    if (name == NULL) {
        print_overview(cli->err);
        return DL_CLI_USAGE;
    }
    if (is_help(name)) {
        return help(cli, argc - 1, argv + 1);
    }
    const dl_cli_command *command = command_of(strcmp(name, "--version") == 0 ? "version" : name);
    if (command == NULL) {
        return no_command(cli, name);
    }
    return run_command(cli, command, argc - 1, argv + 1);
}
