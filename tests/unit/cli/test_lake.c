/* Where a lake is, and what its parameters are called on the command line. */
#include "tap.h"

#include "base/file.h"
#include "cli/lake.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/dl-test-lake-XXXXXX";

/* ---- the parameters ---- */

typedef struct options {
    dl_cli_lake_where where;
} options;

static const dl_cli_option table[] = {DL_CLI_LAKE_OPTIONS(options, where)};

/** The place of a parameter in `parameter` is that of its name in the template's order. */
static void check_places(const dl_cli_option *o, size_t count, size_t base, size_t *out_found)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; dl_pipeline_parameter_name(k) != NULL; k++) {
            if (strcmp(o[i].name, dl_pipeline_parameter_name(k)) == 0) {
                TAP_EQ_INT(o[i].offset, base + k * sizeof(char *));
                TAP_EQ_INT(o[i].kind, DL_CLI_TEXT); /* read by the pipeline, which knows them */
                (*out_found)++;
            }
        }
    }
}

TAP_CASE(parameters_have_the_names_of_the_template)
{
    size_t names = 0;
    while (dl_pipeline_parameter_name(names) != NULL) {
        names++;
    }
    TAP_EQ_INT(names, DL_COUNT_OF(((dl_cli_lake_where *)NULL)->parameter));
    size_t found = 0;
    size_t base = offsetof(options, where.parameter);
    check_places(table, DL_COUNT_OF(table), base, &found);
    TAP_EQ_INT(found, 5); /* where the tables are, and how long files are kept */

    static const struct {
        const dl_cli_command *command;
        size_t count;
    } commands[] = {{&dl_cli_sync, 9}, {&dl_cli_lake_table, 5}, {&dl_cli_verify, 4}};
    for (size_t i = 0; i < DL_COUNT_OF(commands); i++) {
        const dl_cli_command *c = commands[i].command;
        size_t at = SIZE_MAX; /* of --home, the first of the group in each command */
        for (size_t o = 0; o < c->option_count; o++) {
            at = strcmp(c->options[o].name, "home") == 0 ? c->options[o].offset : at;
        }
        TAP_TRUE(at != SIZE_MAX);
        base = at - offsetof(dl_cli_lake_where, home) + offsetof(dl_cli_lake_where, parameter);
        found = 0;
        check_places(c->options, c->option_count, base, &found);
        TAP_EQ_INT(found, commands[i].count);
    }
}

/* ---- opening ---- */

/** "folder/name" */
static const char *in(const char *name, char out[256])
{
    (void)snprintf(out, 256, "%s/%s", folder, name);
    return out;
}

static dl_status open_lake(const char *env_home, const dl_cli_lake_where *where, bool create,
                           dl_cli_lake *out, dl_error *err)
{
    const dl_cli cli = {.env_home = env_home};
    return dl_cli_lake_open(&cli, where, create, out, err);
}

TAP_CASE(tables_and_state_have_their_places)
{
    char home[256], lake[256], url[300], want[300];
    dl_error err = {0};
    TAP_OK(dl_file_make_dirs(in("home", home), &err), err);
    (void)in("lake", lake);
    (void)snprintf(url, sizeof url, "file://%s", lake);
    const struct {
        const char *env_home;
        dl_cli_lake_where where;
        const char *tables, *state;
        bool home_known;
    } cases[] = {
        {NULL, {.home = home}, "home/tables", "home/state/lake/", true},
        {home, {0}, "home/tables", "home/state/lake/", true},
        {"/nonexistent", {.home = home}, "home/tables", "home/state/lake/", true},
        {NULL, {.lake = lake}, "lake", "lake/.dicomlake/", false},
        {home, {.lake = lake}, "lake", "lake/.dicomlake/", true},
        {NULL, {.home = home, .lake = lake}, "lake", "lake/.dicomlake/", true},
        {NULL, {.lake = url}, "lake", "lake/.dicomlake/", false},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_cli_lake got = {0};
        TAP_OK(open_lake(cases[i].env_home, &cases[i].where, true, &got, &err), err);
        TAP_EQ_INT(access(in(cases[i].tables, want), F_OK), 0);
        (void)in(cases[i].state, want);
        TAP_TRUE(strncmp(got.state_folder, want, strlen(want)) == 0);
        TAP_EQ_INT(strlen(got.state_folder), strlen(want) + 8);
        TAP_EQ_INT(got.home != NULL, cases[i].home_known);
        dl_cli_lake_close(&got);
    }
}

TAP_CASE(each_set_of_tables_has_a_state_of_its_own)
{
    char lake[256];
    (void)in("sets", lake);
    const dl_cli_lake_where sets[] = {
        {.lake = lake},
        {.lake = lake, .parameter = {[4] = "other"}},
        {.lake = lake, .parameter = {[5] = "a/instance"}},
        {.lake = lake, .parameter = {[6] = "b"}},
        {.lake = lake, .parameter = {[7] = "c"}},
        {.lake = lake, .parameter = {[5] = "study", [7] = "instance"}},
    };
    static char states[DL_COUNT_OF(sets)][4096];
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(sets); i++) {
        dl_cli_lake got = {0};
        TAP_OK(open_lake(NULL, &sets[i], true, &got, &err), err);
        (void)snprintf(states[i], sizeof states[i], "%s", got.state_folder);
        dl_cli_lake_close(&got);
        for (size_t k = 0; k < i; k++) {
            TAP_TRUE(strcmp(states[i], states[k]) != 0);
        }
    }
    dl_cli_lake again = {0};
    TAP_OK(open_lake(NULL, &sets[1], false, &again, &err), err);
    TAP_EQ_STR(dl_str_of(again.state_folder), states[1]);
    char root[64];
    TAP_TRUE(dl_cli_lake_root(&again, "series", root, sizeof root));
    TAP_EQ_STR(dl_str_of(root), "other/series");
    TAP_TRUE(!dl_cli_lake_root(&again, "visits", root, sizeof root));
    TAP_TRUE(!dl_cli_lake_root(&again, "series", root, strlen("other/series")));
    TAP_TRUE(dl_cli_lake_root(&again, "series", root, strlen("other/series") + 1));
    dl_cli_lake_close(&again);
}

TAP_CASE(bad_lakes_are_refused)
{
    char missing[256], home[256];
    (void)in("missing", missing);
    (void)in("home", home);
    static char deep[4096];
    memset(deep, 'x', sizeof deep - 1);
    const struct {
        dl_cli_lake_where where;
        dl_status want;
        const char *part;
    } cases[] = {
        {{0}, DL_E_INVALID, "no archive and no lake named"},
        {{.home = missing}, DL_E_NOT_FOUND, "no archive in"},
        {{.lake = missing}, DL_E_NOT_FOUND, missing},
        {{.lake = deep}, DL_E_INVALID, "too long"},
        {{.lake = "s3://bucket/x"}, DL_E_UNSUPPORTED, "only folders are lakes"},
        {{.lake = "abfss://a@b/x"}, DL_E_UNSUPPORTED, "only folders are lakes"},
        {{.home = home, .parameter = {[0] = "0"}}, DL_E_INVALID, "parameter BatchSize"},
        {{.home = home, .parameter = {[0] = "100001"}}, DL_E_INVALID, "parameter BatchSize"},
        {{.home = home, .parameter = {[1] = "1"}}, DL_E_INVALID, "parameter ApiVersion"},
        {{.home = home, .parameter = {[2] = "2026"}}, DL_E_INVALID, "parameter StartTime"},
        {{.home = home, .parameter = {[3] = "x"}}, DL_E_INVALID, "parameter EndTime"},
        {{.home = home, .parameter = {[4] = ".."}}, DL_E_INVALID, "parameter ContainerName"},
        {{.home = home, .parameter = {[5] = "/x"}}, DL_E_INVALID, "parameter InstanceTablePath"},
        {{.home = home, .parameter = {[6] = "instance"}}, DL_E_INVALID, "is inside"},
        {{.home = home, .parameter = {[7] = "_x"}}, DL_E_INVALID, "parameter StudyTablePath"},
        {{.home = home, .parameter = {[8] = "167"}}, DL_E_INVALID, "RetentionHours 167 is below"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        dl_cli_lake got = {0};
        TAP_STATUS(open_lake(NULL, &cases[i].where, false, &got, &err), cases[i].want);
        if (strstr(err.message, cases[i].part) == NULL) {
            TAP_FAIL("case %zu: said '%s', not '%s'", i, err.message, cases[i].part);
        }
        TAP_TRUE(got.store == NULL);
    }
    TAP_EQ_INT(access(missing, F_OK), -1);
    dl_error err = {0};
    dl_cli_lake got = {0};
    dl_cli_lake_where at_bound = {.home = home, .parameter = {[0] = "100000", [8] = "168"}};
    TAP_OK(open_lake(NULL, &at_bound, true, &got, &err), err);
    dl_cli_lake_close(&got);
    dl_cli_lake_where insists = {.home = home, .parameter = {[8] = "0"}, .short_retention = true};
    TAP_OK(open_lake(NULL, &insists, true, &got, &err), err);
    TAP_EQ_INT(got.parameters.retention_hours, 0);
    dl_cli_lake_close(&got);
}

static int remove_one(const char *path, DL_UNUSED const struct stat *info, DL_UNUSED int kind,
                      DL_UNUSED struct FTW *where)
{
    return remove(path);
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    TAP_RUN(parameters_have_the_names_of_the_template);
    TAP_RUN(tables_and_state_have_their_places);
    TAP_RUN(each_set_of_tables_has_a_state_of_its_own);
    TAP_RUN(bad_lakes_are_refused);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}
