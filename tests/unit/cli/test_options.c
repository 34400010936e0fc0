/* The option parser and the tables of all commands. */
#include "tap.h"

#include "cli/cli.h"

#include <stdlib.h>

typedef struct options {
    const char *text;
    uint64_t number;
    dl_cli_list list;
    bool on;
} options;

static const options defaults = {.text = "default", .number = 5};

static const dl_cli_option table[] = {
    {"text", "T", "a text", DL_CLI_TEXT, 0, offsetof(options, text), 0, 0},
    {"number", "N", "a number", DL_CLI_NUMBER, 'n', offsetof(options, number), 2, 10},
    {"list", "L", "a list", DL_CLI_LIST, 0, offsetof(options, list), 0, 0},
    {"on", NULL, "a switch", DL_CLI_SWITCH, 'o', offsetof(options, on), 0, 0},
};

static const dl_cli_command command = {
    .name = "try",
    .synopsis = "WORD...",
    .summary = "Try it.",
    .example = "dicomlake try it",
    .options = table,
    .option_count = DL_COUNT_OF(table),
    .defaults = &defaults,
    .options_size = sizeof(options),
    .args_min = 1,
    .args_max = 2,
};

enum { WORDS = 8 };

/** getopt moves the words of argv about: each case has its own copy. */
static dl_status parse(const char *const *words, options *out, dl_cli_words *got, dl_error *err)
{
    static char copies[WORDS][32];
    static char *argv[WORDS + 1];
    int argc = 0;
    for (; argc < WORDS && words[argc] != NULL; argc++) {
        (void)snprintf(copies[argc], sizeof copies[argc], "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    *out = defaults;
    return dl_cli_parse(&command, argc, argv, out, got, err);
}

TAP_CASE(good_words_are_read)
{
    static const struct {
        const char *words[WORDS];
        const char *text;
        uint64_t number;
        size_t list_count;
        bool on, help;
        const char *first;
        size_t count;
    } cases[] = {
        {{"try", "a"}, "default", 5, 0, false, false, "a", 1},
        {{"try", "--text", "x", "a"}, "x", 5, 0, false, false, "a", 1},
        {{"try", "a", "--text=x", "b"}, "x", 5, 0, false, false, "a", 2},
        {{"try", "-n", "2", "-o", "a"}, "default", 2, 0, true, false, "a", 1},
        {{"try", "-on10", "a"}, "default", 10, 0, true, false, "a", 1},
        {{"try", "--list", "1", "--list", "2", "a"}, "default", 5, 2, false, false, "a", 1},
        {{"try", "--num", "3", "a"}, "default", 3, 0, false, false, "a", 1},
        {{"try", "--", "--on", "-n"}, "default", 5, 0, false, false, "--on", 2},
        {{"try", "--help"}, "default", 5, 0, false, true, NULL, 0},
        {{"try", "-h", "a", "b", "c"}, "default", 5, 0, false, true, NULL, 0},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        options got;
        dl_cli_words rest = {0};
        TAP_OK(parse(cases[i].words, &got, &rest, &err), err);
        TAP_EQ_STR(dl_str_of(got.text), cases[i].text);
        TAP_EQ_INT(got.number, cases[i].number);
        TAP_EQ_INT(got.list.count, cases[i].list_count);
        TAP_EQ_INT(got.on, cases[i].on);
        TAP_EQ_INT(rest.help, cases[i].help);
        TAP_EQ_INT(rest.args.count, cases[i].count);
        if (cases[i].first != NULL && rest.args.count > 0) {
            TAP_EQ_STR(dl_str_of(rest.args.items[0]), cases[i].first);
        }
    }
}

TAP_CASE(bad_words_are_named)
{
    static const struct {
        const char *words[WORDS];
        const char *said;
    } cases[] = {
        {{"try"}, "try: something is missing"},
        {{"try", "a", "b", "c"}, "try: too many words"},
        {{"try", "--nothing", "a"}, "try: no option --nothing, or not in this form"},
        {{"try", "-x", "a"}, "try: no option -x"},
        {{"try", "a", "--text"}, "try: option --text needs a value"},
        {{"try", "a", "-n"}, "try: option -n needs a value"},
        {{"try", "a", "--text", ""}, "--text has an empty value"},
        {{"try", "a", "--on=1"}, "try: no option --on=1, or not in this form"},
        {{"try", "a", "-n", "1"}, "--number 1: not a number from 2 to 10"},
        {{"try", "a", "-n", "11"}, "--number 11: not a number from 2 to 10"},
        {{"try", "a", "-n", "-3"}, "--number -3: not a number from 2 to 10"},
        {{"try", "a", "-n", "3x"}, "--number 3x: not a number from 2 to 10"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        options got;
        dl_cli_words rest = {0};
        TAP_STATUS(parse(cases[i].words, &got, &rest, &err), DL_E_INVALID);
        TAP_EQ_STR(dl_str_of(err.message), cases[i].said);
        TAP_EQ_INT(rest.args.count, 0);
    }
}

TAP_CASE(lists_end_at_their_limit)
{
    for (int extra = 0; extra <= 1; extra++) {
        char *argv[DL_CLI_LIST_LIMIT + 4] = {"try", "a"};
        int argc = 2;
        for (int i = 0; i < DL_CLI_LIST_LIMIT + extra; i++) {
            argv[argc++] = "--list=1";
        }
        dl_error err = {0};
        options got = defaults;
        dl_cli_words rest = {0};
        TAP_STATUS(dl_cli_parse(&command, argc, argv, &got, &rest, &err),
                   extra == 0 ? DL_OK : DL_E_INVALID);
        TAP_EQ_INT(got.list.count, DL_CLI_LIST_LIMIT);
    }
}

static void check_option(const dl_cli_command *c, const dl_cli_option *o, const char *help)
{
    char name[64];
    (void)snprintf(name, sizeof name, "--%s%s%s", o->name, o->value == NULL ? "" : " ",
                   o->value == NULL ? "" : o->value);
    if (o->text == NULL) { /* for other programs */
        TAP_TRUE(strstr(help, name) == NULL);
    } else if (strstr(help, name) == NULL || strstr(help, o->text) == NULL) {
        TAP_FAIL("%s --help does not say %s", c->name, name);
    }
    size_t size = o->kind == DL_CLI_SWITCH ? sizeof(bool)
                  : o->kind == DL_CLI_TEXT ? sizeof(char *)
                  : o->kind == DL_CLI_LIST ? sizeof(dl_cli_list)
                                           : sizeof(uint64_t);
    TAP_TRUE(o->offset + size <= c->options_size);
    TAP_EQ_INT(o->value == NULL, o->kind == DL_CLI_SWITCH);
    TAP_EQ_INT(o->kind == DL_CLI_NUMBER, o->max > 0);
}

TAP_CASE(every_command_is_described)
{
    TAP_EQ_INT(dl_cli_command_count(), 19);
    for (size_t i = 0; i < dl_cli_command_count(); i++) {
        const dl_cli_command *c = dl_cli_command_at(i);
        char *help = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&help, &size);
        dl_cli_print_help(c, out);
        (void)fclose(out);
        TAP_TRUE(c->options_size <= DL_CLI_OPTIONS_SIZE);
        TAP_TRUE(c->option_count <= DL_CLI_OPTION_LIMIT);
        TAP_TRUE(strstr(help, c->example) != NULL && strstr(help, "usage: dicomlake ") == help);
        for (size_t o = 0; o < c->option_count; o++) {
            check_option(c, &c->options[o], help);
            for (size_t other = 0; other < o; other++) {
                TAP_TRUE(strcmp(c->options[o].name, c->options[other].name) != 0);
                TAP_TRUE(c->options[o].letter == 0 ||
                         c->options[o].letter != c->options[other].letter);
            }
        }
        free(help);
    }
}

/** Run without any service; what is printed on both streams together. */
static dl_cli_exit run(const char *const *words, char **out_text)
{
    char *argv[WORDS + 1];
    int argc = 0;
    for (; words[argc] != NULL; argc++) {
        argv[argc] = strdup(words[argc]);
    }
    argv[argc] = NULL;
    size_t size = 0;
    dl_cancel stop = {0};
    FILE *both = open_memstream(out_text, &size);
    dl_cli cli = {.out = both, .err = both, .stop = &stop, .abort = &stop};
    char *order[WORDS + 1]; /* getopt reorders argv */
    memcpy(order, argv, sizeof order);
    dl_cli_exit code = dl_cli_run(&cli, argc, argv);
    (void)fclose(both);
    for (int i = 0; i < argc; i++) {
        free(order[i]);
    }
    return code;
}

TAP_CASE(wrong_usage_exits_with_two)
{
    static const struct {
        const char *words[WORDS];
        dl_cli_exit want;
        const char *part;
    } cases[] = {
        {{"dicomlake"}, DL_CLI_USAGE, "usage: dicomlake COMMAND"},
        {{"dicomlake", "help"}, DL_CLI_DONE, "usage: dicomlake COMMAND"},
        {{"dicomlake", "--help"}, DL_CLI_DONE, "usage: dicomlake COMMAND"},
        {{"dicomlake", "help", "feed"}, DL_CLI_DONE, "usage: dicomlake feed"},
        {{"dicomlake", "help", "me"}, DL_CLI_USAGE, "dicomlake: no command me; "},
        {{"dicomlake", "fetch"}, DL_CLI_USAGE, "dicomlake: no command fetch; "},
        {{"dicomlake", "--version"}, DL_CLI_DONE, "dicomlake "},
        {{"dicomlake", "version", "--json"}, DL_CLI_DONE, "{\"name\":\"dicomlake\",\"version\":"},
        {{"dicomlake", "version", "x"}, DL_CLI_USAGE, "too many words"},
        {{"dicomlake", "search"}, DL_CLI_USAGE, "no archive named; give --home"},
        {{"dicomlake", "verify"}, DL_CLI_USAGE, "no archive named; give --home"},
        {{"dicomlake", "serve"}, DL_CLI_USAGE, "no archive named; give --home"},
        {{"dicomlake", "search", "--home", "x", "--url", "http://h"},
         DL_CLI_USAGE,
         "--url and --home exclude each other"},
        {{"dicomlake", "search", "patients"}, DL_CLI_USAGE, "search: no level patients"},
        {{"dicomlake", "search", "Patient ID=1"}, DL_CLI_USAGE, "KEYWORD=VALUE"},
        {{"dicomlake", "search", "PatientID="}, DL_CLI_USAGE, "KEYWORD=VALUE"},
        {{"dicomlake", "search", "a=b", "c"}, DL_CLI_USAGE, "KEYWORD=VALUE"},
        {{"dicomlake", "search", "--include", "a,b"}, DL_CLI_USAGE, "neither a keyword nor a tag"},
        {{"dicomlake", "get", "x"}, DL_CLI_USAGE, "x: not a UID"},
        {{"dicomlake", "get"}, DL_CLI_USAGE, "get: something is missing"},
        {{"dicomlake", "delete", "1", "2", "3", "4"}, DL_CLI_USAGE, "delete: too many words"},
        {{"dicomlake", "feed", "--metadata", "--url", "http://h"}, DL_CLI_USAGE, "needs --json"},
        {{"dicomlake", "sync"}, DL_CLI_USAGE, "no archive and no lake named; give --home DIR"},
        {{"dicomlake", "sync", "x"}, DL_CLI_USAGE, "sync: too many words"},
        {{"dicomlake", "sync", "--home", "/nonexistent"}, DL_CLI_FAILED, "no archive in"},
        {{"dicomlake", "sync", "--batchsize", "1"}, DL_CLI_USAGE, "sync: no option --batchsize"},
        {{"dicomlake", "sync", "--batch-changes", "0"}, DL_CLI_USAGE, "from 1 to 10000000"},
        {{"dicomlake", "sync", "--wait", "86401"}, DL_CLI_USAGE, "from 0 to 86400"},
        {{"dicomlake", "table"}, DL_CLI_USAGE, "table: something is missing"},
        {{"dicomlake", "table", "show", "a", "b"}, DL_CLI_USAGE, "table: too many words"},
        {{"dicomlake", "table", "dance"}, DL_CLI_USAGE, "table has no action dance; list, show"},
        {{"dicomlake", "table", "list"}, DL_CLI_USAGE, "no archive and no lake named"},
        {{"dicomlake", "table", "list", "--lake", "/nonexistent"}, DL_CLI_FAILED, "/nonexistent"},
        {{"dicomlake", "table", "show", "/nonexistent/t"}, DL_CLI_FAILED, "/nonexistent/t"},
        {{"dicomlake", "import"}, DL_CLI_USAGE, "import: something is missing"},
        {{"dicomlake", "import", "-j", "65", "x"}, DL_CLI_USAGE, "from 1 to 64"},
        {{"dicomlake", "serve", "--home", "/nonexistent", "--listen", "x"},
         DL_CLI_USAGE,
         "not HOST:PORT"},
        {{"dicomlake", "serve", "--home", "/nonexistent", "--log-level", "loud"},
         DL_CLI_USAGE,
         "--log-level loud"},
        {{"dicomlake", "search", "--home", "/nonexistent"},
         DL_CLI_FAILED,
         "no archive in /nonexistent; dicomlake import or serve makes one"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        char *text = NULL;
        dl_cli_exit code = run(cases[i].words, &text);
        if (code != cases[i].want || strstr(text, cases[i].part) == NULL) {
            TAP_FAIL("case %zu: exit %d, said '%s', not '%s'", i, (int)code, text, cases[i].part);
        }
        free(text);
    }
}

int main(void)
{
    TAP_RUN(good_words_are_read);
    TAP_RUN(bad_words_are_named);
    TAP_RUN(lists_end_at_their_limit);
    TAP_RUN(every_command_is_described);
    TAP_RUN(wrong_usage_exits_with_two);
    return tap_done();
}
