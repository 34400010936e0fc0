#include "cli/cli.h"
#include "dict/dict.h"

typedef struct version_options {
    bool json;
} version_options;

static const version_options defaults = {0};

static const dl_cli_option options[] = {
    {"json", NULL, "print it as one JSON object", DL_CLI_SWITCH, 0, offsetof(version_options, json),
     0, 0},
};

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    const version_options *o = given;
    (void)fprintf(cli->out,
                  o->json ? "{\"name\":\"dicomlake\",\"version\":\"%s\",\"dicomEdition\":\"%s\"}\n"
                          : "dicomlake %s (DICOM %s)\n",
                  DL_VERSION, dl_dict_edition());
    return dl_cli_flush(cli, DL_CLI_DONE);
}

const dl_cli_command dl_cli_version = {
    .name = "version",
    .synopsis = "",
    .summary = "Print the version of the program and the edition of its DICOM dictionary.",
    .example = "dicomlake version --json",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(version_options),
    .run = run,
};
