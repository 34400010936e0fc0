#include "cli/cli.h"
#include "cli/peer.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/value.h"
#include "dict/dict.h"
#include "http/url.h"
#include "index/index.h"
#include "json/json.h"

#include <string.h>
#include <unistd.h>

enum {
    PAGE = 200, /* the most that a service gives at a time (contract 7.2) */
    URL_LIMIT_BYTES = 16 * 1024,
    CELL_WIDTH = 40, /* on a terminal */
    COLUMN_LIMIT = 12,
};
#define ANSWER_LIMIT_BYTES ((size_t)256 << 20)

typedef struct search_options {
    dl_cli_where where;
    dl_cli_list include;
    uint64_t limit, offset;
    bool all, fuzzy, json;
} search_options;

static const search_options defaults = {.limit = 100};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_WHERE_OPTIONS(search_options, where),
    DL_CLI_PARTITION_OPTION(search_options, where),
    {"limit", "N", "at most so many (default 100)", DL_CLI_NUMBER, 0, offsetof(search_options, limit), 1, PAGE},
    {"offset", "N", "pass over so many first", DL_CLI_NUMBER, 0, offsetof(search_options, offset), 0, INT64_MAX},
    {"all", NULL, "every match, page by page", DL_CLI_SWITCH, 0, offsetof(search_options, all), 0, 0},
    {"include", "FIELD", "a further attribute, by keyword or tag; may be repeated", DL_CLI_LIST, 0, offsetof(search_options, include), 0, 0},
    {"fuzzy", NULL, "match the beginnings of the words of names", DL_CLI_SWITCH, 0, offsetof(search_options, fuzzy), 0, 0},
    {"json", NULL, "print the matches as one DICOM JSON array", DL_CLI_SWITCH, 0, offsetof(search_options, json), 0, 0},
};

/* What a table shows; `ask`: not among what a service returns unasked. */
typedef struct shown {
    const char *title, *tag;
    bool ask, right, whole; /* whole: never cut */
} shown;
static const shown study_columns[] = {
    {"DATE", "00080020", false, false, true},      {"PATIENT ID", "00100020", false, false, false},
    {"PATIENT", "00100010", false, false, false},  {"MODALITIES", "00080061", true, false, false},
    {"DESCRIPTION", "00081030", false, false, false}, {"INSTANCES", "00201208", true, true, true},
    {"STUDY", "0020000D", false, false, true},
};
static const shown series_columns[] = {
    {"DATE", "00080020", false, false, true},      {"PATIENT ID", "00100020", false, false, false},
    {"MODALITY", "00080060", false, false, true},  {"NUMBER", "00200011", true, true, true},
    {"DESCRIPTION", "0008103E", true, false, false}, {"INSTANCES", "00201209", true, true, true},
    {"STUDY", "0020000D", false, false, true},     {"SERIES", "0020000E", false, false, true},
};
static const shown instance_columns[] = {
    {"PATIENT ID", "00100020", false, false, false}, {"MODALITY", "00080060", false, false, true},
    {"NUMBER", "00200013", true, true, true},      {"STUDY", "0020000D", false, false, true},
    {"SERIES", "0020000E", false, false, true},    {"INSTANCE", "00080018", false, false, true},
};
static const struct level {
    const char *name;
    const shown *columns;
    size_t count;
} levels[] = {
    {"studies", study_columns, DL_COUNT_OF(study_columns)},
    {"series", series_columns, DL_COUNT_OF(series_columns)},
    {"instances", instance_columns, DL_COUNT_OF(instance_columns)},
};
/* clang-format on */

/** One search and where its results go. */
typedef struct search {
    dl_cli *cli;
    const search_options *options;
    const struct level *level;
    dl_cli_table *table; /* NULL: JSON */
    dl_buf query;        /* all but limit and offset */
    uint64_t count;      /* of matches so far */
    char first[72]; /* the UID that began the last page: a service that does not page repeats it */
} search;

/* ---- the question ---- */

static bool is_keyword(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.')) {
            return false;
        }
    }
    return text.len > 0;
}

static dl_status add_param(dl_buf *query, dl_str name, dl_str value, dl_error *err)
{
    DL_TRY(dl_buf_append_char(query, query->len == 0 ? '?' : '&', err));
    DL_TRY(dl_buf_append_str(query, name, err));
    DL_TRY(dl_buf_append_char(query, '=', err));
    return dl_url_encode(value, query, err);
}

static dl_status add_match(dl_buf *query, const char *word, dl_error *err)
{
    dl_str text = dl_str_of(word);
    ptrdiff_t at = dl_str_find(text, '=');
    dl_str name = dl_str_slice(text, 0, at < 0 ? 0 : (size_t)at);
    dl_str value = dl_str_slice(text, (size_t)at + 1, text.len);
    if (at <= 0 || !is_keyword(name) || value.len == 0) {
        (void)dl_error_set(err, DL_E_INVALID, "a condition is not of the form KEYWORD=VALUE");
        dl_error_hint(err, "for example PatientID=ID1 or 0020000D=1.2.3");
        return DL_E_INVALID;
    }
    return add_param(query, name, value, err);
}

/** Fields that are asked for: those of the person, and those of the table. */
static dl_status add_fields(search *s, dl_error *err)
{
    const dl_cli_list *include = &s->options->include;
    bool all = false;
    for (size_t i = 0; i < include->count; i++) {
        dl_str field = dl_str_of(include->items[i]);
        if (!is_keyword(field)) {
            return dl_error_set(err, DL_E_INVALID, "--include %s: neither a keyword nor a tag",
                                include->items[i]);
        }
        all = all || dl_str_eq_nocase(field, DL_STR("all"));
        DL_TRY(add_param(&s->query, DL_STR("includefield"), field, err));
    }
    for (size_t i = 0; s->table != NULL && !all && i < s->level->count; i++) {
        if (s->level->columns[i].ask) {
            DL_TRY(add_param(&s->query, DL_STR("includefield"), dl_str_of(s->level->columns[i].tag),
                             err));
        }
    }
    return DL_OK;
}

static dl_status make_query(search *s, const dl_cli_args *args, size_t first, dl_error *err)
{
    for (size_t i = first; i < args->count; i++) {
        DL_TRY(add_match(&s->query, args->items[i], err));
    }
    if (s->options->fuzzy) {
        DL_TRY(add_param(&s->query, DL_STR("fuzzymatching"), DL_STR("true"), err));
    }
    return add_fields(s, err);
}

static const struct level *level_of(dl_str word)
{
    for (size_t i = 0; i < DL_COUNT_OF(levels); i++) {
        if (dl_str_eq(word, dl_str_of(levels[i].name))) {
            return &levels[i];
        }
    }
    return NULL;
}

/* ---- the answer ---- */

static bool include_tag(const char *field, char out[12])
{
    uint32_t tag = 0;
    if (!dl_dict_parse_tag(dl_str_of(field), &tag)) {
        return false;
    }
    (void)snprintf(out, 12, "%08X", (unsigned)tag);
    return true;
}

static dl_status make_table(search *s, dl_error *err)
{
    dl_cli_column columns[COLUMN_LIMIT + DL_CLI_LIST_LIMIT];
    bool terminal = isatty(fileno(s->cli->out)) == 1;
    size_t count = 0;
    for (size_t i = 0; i < s->level->count; i++) {
        const shown *c = &s->level->columns[i];
        columns[count++] =
            (dl_cli_column){c->title, c->right, terminal && !c->whole ? CELL_WIDTH : 0};
    }
    for (size_t i = 0; i < s->options->include.count; i++) {
        char tag[12];
        if (include_tag(s->options->include.items[i], tag)) {
            columns[count++] =
                (dl_cli_column){s->options->include.items[i], false, terminal ? CELL_WIDTH : 0};
        }
    }
    return dl_cli_table_create(columns, count, &s->table, err);
}

static dl_status add_row(search *s, dl_str match, dl_arena *arena, dl_error *err)
{
    dl_str cells[COLUMN_LIMIT + DL_CLI_LIST_LIMIT];
    size_t count = 0;
    for (size_t i = 0; i < s->level->count; i++) {
        DL_TRY(dl_cli_value_show(match, s->level->columns[i].tag, arena, &cells[count++], err));
    }
    for (size_t i = 0; i < s->options->include.count; i++) {
        char tag[12];
        if (include_tag(s->options->include.items[i], tag)) {
            DL_TRY(dl_cli_value_show(match, tag, arena, &cells[count++], err));
        }
    }
    return dl_cli_table_add(s->table, cells, err);
}

static dl_status check_progress(search *s, dl_str match, dl_arena *arena, dl_error *err)
{
    static const char *const keys[] = {"0020000D", "0020000E", "00080018"};
    const char *key = keys[s->level - levels];
    dl_str uid = DL_STR_NONE;
    DL_TRY(dl_cli_value_text(match, key, arena, &uid, err));
    if (uid.len > 0 && dl_str_eq(uid, dl_str_of(s->first))) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the service gives the same page again: it cannot be read with --all");
    }
    (void)dl_str_copy(uid, s->first, sizeof s->first);
    return DL_OK;
}

/** The matches of one page go to the table or to the output. */
static dl_status take_page(search *s, dl_str page, size_t *out_count, dl_error *err)
{
    size_t count = 0;
    dl_str match = DL_STR_NONE;
    dl_json_iter matches = dl_json_iter_of(page);
    while (dl_json_next_element(&matches, &match)) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ANSWER_LIMIT_BYTES);
        if (arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "search: out of memory");
        }
        if (dl_json_kind_of(match) != DL_JSON_OBJECT) {
            return dl_error_set(err, DL_E_CORRUPT, "a match of the answer is not a DICOM data set");
        }
        if (count == 0) {
            DL_TRY(check_progress(s, match, arena, err));
        }
        if (s->table != NULL) {
            DL_TRY(add_row(s, match, arena, err));
        } else {
            (void)fputs(s->count + count == 0 ? "" : ",\n", s->cli->out);
            dl_cli_text_json(match, s->cli->out);
        }
        count++;
    }
    s->count += count;
    *out_count = count;
    return DL_OK;
}

static dl_status ask_page(search *s, dl_http_client *client, const char *base, uint64_t limit,
                          size_t *out_count, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_BUF url = {0};
    DL_AUTO_BUF body = {0};
    dl_http_answer answer = {0};
    dl_buf_init(&url, URL_LIMIT_BYTES);
    dl_buf_init(&body, ANSWER_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "search: out of memory");
    }
    DL_TRY(dl_buf_printf(&url, err, "%s/%s%.*s%climit=%llu&offset=%llu", base, s->level->name,
                         DL_STR_ARG(dl_buf_str(&s->query)), s->query.len == 0 ? '?' : '&',
                         (unsigned long long)limit,
                         (unsigned long long)(s->options->offset + s->count)));
    DL_TRY(dl_buf_terminate(&url, err));
    const dl_cli_ask ask = {"GET", url.ptr, "application/dicom+json", true};
    dl_status status = dl_cli_peer_ask(client, &ask, arena, &body, &answer, err);
    if (status == DL_E_INVALID && answer.status == 400) {
        dl_error_hint(err, "dicomlake search --help lists the attributes and how they match");
    } else if (status == DL_E_NOT_FOUND) {
        dl_error_hint(err, "is the URL the base of a DICOMweb service?");
    }
    DL_TRY(status);
    if (answer.status == 204) {
        *out_count = 0;
        return DL_OK;
    }
    if (dl_json_check(dl_buf_str(&body), NULL) != DL_OK ||
        dl_json_kind_of(dl_buf_str(&body)) != DL_JSON_ARRAY) {
        (void)dl_error_set(err, DL_E_CORRUPT, "the answer to the search is not a DICOM JSON array");
        dl_error_hint(err, "is the URL the base of a DICOMweb service?");
        return DL_E_CORRUPT;
    }
    return take_page(s, dl_buf_str(&body), out_count, err);
}

static dl_status ask_pages(search *s, dl_http_client *client, const char *base, dl_error *err)
{
    size_t got = 0;
    uint64_t limit = s->options->all ? PAGE : s->options->limit;
    do { /* to an empty page: some services give fewer than asked for */
        if (dl_cancel_asked(s->cli->stop)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped");
        }
        DL_TRY(ask_page(s, client, base, limit, &got, err));
    } while (s->options->all && got > 0);
    return DL_OK;
}

/** A wildcard is the first thing that people try; our service takes it for what it is
 * (contract 7.4). */
static void say_nothing_found(const dl_cli *cli, const dl_cli_args *args, size_t first)
{
    bool wildcard = false;
    for (size_t i = first; i < args->count; i++) {
        wildcard = wildcard || strpbrk(args->items[i], "*?") != NULL;
    }
    (void)fprintf(cli->err, "nothing found%s\n",
                  wildcard ? "; * and ? stand for themselves: --fuzzy matches beginnings of names"
                           : "");
}

static dl_status run_search(search *s, const dl_cli_args *args, size_t first, dl_error *err)
{
    DL_CLI_AUTO_PEER peer = NULL;
    DL_AUTO(dl_http_client) client = NULL;
    if (!s->options->json) {
        DL_TRY(make_table(s, err));
    }
    dl_status made = make_query(s, args, first, err);
    if (made == DL_E_LIMIT) { /* of the buffer, which nobody knows */
        dl_error_clear(err);
        return dl_error_set(err, DL_E_INVALID, "search: the conditions are longer than %d bytes",
                            URL_LIMIT_BYTES);
    }
    DL_TRY(made);
    DL_TRY(dl_cli_peer_open(s->cli, &s->options->where, false, &peer, err));
    DL_TRY(dl_cli_peer_client(s->cli->stop, &client, err));
    if (s->table == NULL) {
        (void)fputc('[', s->cli->out);
    }
    DL_TRY(ask_pages(s, client, dl_cli_peer_base(peer), err));
    if (s->table == NULL) {
        (void)fputs("]\n", s->cli->out);
        return DL_OK;
    }
    DL_TRY(dl_cli_table_print(s->table, s->cli->out, err));
    if (s->count == 0) {
        say_nothing_found(s->cli, args, first);
    }
    if (!s->options->all && s->count == s->options->limit) {
        (void)fprintf(s->cli->err, "there may be more: --all, or --offset %llu\n",
                      (unsigned long long)(s->options->offset + s->count));
    }
    return DL_OK;
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    dl_error err = {0};
    search s = {.cli = cli, .options = given, .level = &levels[0]};
    size_t first = 0;
    if (args->count > 0 && strchr(args->items[0], '=') == NULL) {
        s.level = level_of(dl_str_of(args->items[0]));
        first = 1;
    }
    if (s.level == NULL) {
        (void)dl_error_set(&err, DL_E_INVALID, "search: no level %s", args->items[0]);
        dl_error_hint(&err, "studies, series or instances, and conditions as KEYWORD=VALUE");
        return dl_cli_fail(cli, &err);
    }
    dl_buf_init(&s.query, URL_LIMIT_BYTES);
    dl_status status = run_search(&s, args, first, &err);
    dl_cli_table_destroy(s.table);
    dl_buf_clear(&s.query);
    return dl_cli_flush(cli, status == DL_OK ? DL_CLI_DONE : dl_cli_fail(cli, &err));
}

/** The keywords of one level, in lines of LINE characters. */
static void list_level(FILE *out, const char *name, dl_index_level level)
{
    enum { LINE = 100, INDENT = 12 };
    size_t column = INDENT;
    (void)fprintf(out, "  %-9s", name);
    for (size_t i = 0; i < dl_index_attribute_count(); i++) {
        const dl_index_attribute *a = dl_index_attribute_at(i);
        const dl_dict_entry *entry = a->level == level ? dl_dict_find(a->tag) : NULL;
        if (entry == NULL) {
            continue;
        }
        size_t length = strlen(entry->keyword);
        if (column + length > LINE) {
            (void)fprintf(out, "\n%*s", INDENT - 1, "");
            column = INDENT;
        }
        (void)fprintf(out, " %s", entry->keyword);
        column += length + 1;
    }
    (void)fputc('\n', out);
}

static void list_attributes(FILE *out)
{
    (void)fprintf(out, "\nattributes that dicomlake searches, at their level and below it:\n");
    list_level(out, "studies", DL_INDEX_STUDY);
    list_level(out, "series", DL_INDEX_SERIES);
    list_level(out, "instances", DL_INDEX_INSTANCE);
}

const dl_cli_command dl_cli_search = {
    .name = "search",
    .synopsis = "[studies|series|instances] [KEYWORD=VALUE]...",
    .summary = "Find studies (the default), series or instances whose attributes match.",
    .details = "Values are matched whole, in any case; * and ? stand for themselves.\n"
               "A date may be a range, also open at one end: StudyDate=20260101-20260131.\n"
               "Exit codes: 0 done, also when nothing was found, 1 failed, 2 wrong usage.",
    .example = "dicomlake search studies PatientName='doe jo' --fuzzy",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(search_options),
    .args_max = 200,
    .run = run,
    .more_help = list_attributes,
};
