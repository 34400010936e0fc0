#include "cli/cli.h"

#include <getopt.h>
#include <string.h>

enum { LONG_BASE = 256, HELP_ID = 1000 };

static void *field(void *target, size_t offset)
{
    return (char *)target + offset;
}

static dl_status store_number(const dl_cli_option *option, const char *text, void *target,
                              dl_error *err)
{
    uint64_t value = 0;
    if (!dl_str_to_u64(dl_str_of(text), &value) || value < option->min || value > option->max) {
        return dl_error_set(err, DL_E_INVALID, "--%s %s: not a number from %llu to %llu",
                            option->name, text, (unsigned long long)option->min,
                            (unsigned long long)option->max);
    }
    memcpy(field(target, option->offset), &value, sizeof value);
    return DL_OK;
}

static dl_status store_list(const dl_cli_option *option, const char *text, void *target,
                            dl_error *err)
{
    dl_cli_list *list = field(target, option->offset);
    if (list->count == DL_CLI_LIST_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "--%s is given more than %d times", option->name,
                            DL_CLI_LIST_LIMIT);
    }
    list->items[list->count++] = text;
    return DL_OK;
}

static dl_status store_value(const dl_cli_option *option, const char *text, void *target,
                             dl_error *err)
{
    switch (option->kind) {
    case DL_CLI_SWITCH: {
        const bool on = true;
        memcpy(field(target, option->offset), &on, sizeof on);
        return DL_OK;
    }
    case DL_CLI_TEXT:
        if (text[0] == '\0') {
            return dl_error_set(err, DL_E_INVALID, "--%s has an empty value", option->name);
        }
        memcpy(field(target, option->offset), &text, sizeof text);
        return DL_OK;
    case DL_CLI_NUMBER:
        return store_number(option, text, target, err);
    case DL_CLI_LIST:
        return store_list(option, text, target, err);
    }
    return DL_OK;
}

/** What getopt_long wants, from our table: long options by LONG_BASE + index, letters by
 * themselves.
 */
static void make_getopt(const dl_cli_command *command, struct option *longs, char *letters)
{
    size_t at = 0;
    letters[at++] = ':'; /* a missing value is ':', an unknown option '?' */
    letters[at++] = 'h';
    for (size_t i = 0; i < command->option_count; i++) {
        const dl_cli_option *o = &command->options[i];
        bool takes_value = o->kind != DL_CLI_SWITCH;
        longs[i] = (struct option){o->name, takes_value ? required_argument : no_argument, NULL,
                                   LONG_BASE + (int)i};
        if (o->letter != 0) {
            letters[at++] = o->letter;
            if (takes_value) {
                letters[at++] = ':';
            }
        }
    }
    longs[command->option_count] = (struct option){"help", no_argument, NULL, HELP_ID};
    longs[command->option_count + 1] = (struct option){0};
    letters[at] = '\0';
}

static const dl_cli_option *option_of(const dl_cli_command *command, int id)
{
    if (id >= LONG_BASE && (size_t)(id - LONG_BASE) < command->option_count) {
        return &command->options[id - LONG_BASE];
    }
    for (size_t i = 0; i < command->option_count; i++) {
        if (command->options[i].letter != 0 && command->options[i].letter == id) {
            return &command->options[i];
        }
    }
    return NULL;
}

static dl_status bad_option(const dl_cli_command *command, int id, char **argv, dl_error *err)
{
    const char *word = argv[optind - 1];
    if (id == ':') {
        (void)dl_error_set(err, DL_E_INVALID, "%s: option %s needs a value", command->name, word);
    } else if (optopt > 0 && optopt < LONG_BASE) {
        (void)dl_error_set(err, DL_E_INVALID, "%s: no option -%c", command->name, optopt);
    } else {
        (void)dl_error_set(err, DL_E_INVALID, "%s: no option %s, or not in this form",
                           command->name, word);
    }
    dl_error_hint(err, "dicomlake %s --help lists them", command->name);
    return DL_E_INVALID;
}

static dl_status check_count(const dl_cli_command *command, size_t count, dl_error *err)
{
    if (count >= command->args_min && count <= command->args_max) {
        return DL_OK;
    }
    (void)dl_error_set(err, DL_E_INVALID, "%s: %s", command->name,
                       count < command->args_min ? "something is missing" : "too many words");
    dl_error_hint(err, "usage: dicomlake %s [options] %s", command->name, command->synopsis);
    return DL_E_INVALID;
}

dl_status dl_cli_parse(const dl_cli_command *command, int argc, char **argv, void *target,
                       dl_cli_words *out_words, dl_error *err)
{
    struct option longs[DL_CLI_OPTION_LIMIT + 2];
    char letters[2 * DL_CLI_OPTION_LIMIT + 3];
    DL_ASSERT(command->option_count <= DL_CLI_OPTION_LIMIT);
    make_getopt(command, longs, letters);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    for (;;) {
        int id = getopt_long(argc, argv, letters, longs, NULL); /* NOLINT(concurrency-mt-unsafe) */
        if (id == -1) {
            break;
        }
        if (id == HELP_ID || id == 'h') {
            *out_words = (dl_cli_words){.help = true};
            return DL_OK;
        }
        const dl_cli_option *option = option_of(command, id);
        if (option == NULL) {
            return bad_option(command, id, argv, err);
        }
        DL_TRY(store_value(option, optarg, target, err));
    }
    DL_TRY(check_count(command, (size_t)(argc - optind), err));
    *out_words = (dl_cli_words){.args = {argv + optind, (size_t)(argc - optind)}};
    return DL_OK;
}

/** Options without a text are for other programs. */
static void print_option(const dl_cli_option *o, FILE *out)
{
    if (o->text == NULL) {
        return;
    }
    char left[64];
    int n = 0;
    if (o->letter != 0) {
        n = snprintf(left, sizeof left, "-%c, --%s", o->letter, o->name);
    } else {
        n = snprintf(left, sizeof left, "    --%s", o->name);
    }
    if (o->value != NULL && n > 0 && (size_t)n < sizeof left) {
        (void)snprintf(left + n, sizeof left - (size_t)n, " %s", o->value);
    }
    (void)fprintf(out, "  %-28s  %s\n", left, o->text);
}

void dl_cli_print_help(const dl_cli_command *command, FILE *out)
{
    (void)fprintf(out, "usage: dicomlake %s [options]%s%s\n\n%s\n", command->name,
                  command->synopsis[0] == '\0' ? "" : " ", command->synopsis, command->summary);
    if (command->details != NULL) {
        (void)fprintf(out, "%s\n", command->details);
    }
    (void)fprintf(out, "\noptions:\n");
    for (size_t i = 0; i < command->option_count; i++) {
        print_option(&command->options[i], out);
    }
    static const dl_cli_option help = {.name = "help", .text = "print this", .letter = 'h'};
    print_option(&help, out);
    if (command->more_help != NULL) {
        command->more_help(out);
    }
    (void)fprintf(out, "\nexample:\n  %s\n", command->example);
}
