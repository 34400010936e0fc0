/* dicomlake connection ...: where DICOM services and lakes are, and whether they can be used. */
#include "cli/factory.h"
#include "cli/table.h"

#include "factory/probe.h"

#include <string.h>

enum { ARGS_LIMIT = 64 };

typedef struct connection_options {
    dl_cli_factory_where where;
    const char *type, *url, *auth, *resource, *description, *token_env, *token_file;
    bool replace;
} connection_options;

static const connection_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(connection_options, where),
    {"type", "TYPE", "add: dicom, a DICOM service, or lake, a folder of tables", DL_CLI_TEXT, 0, offsetof(connection_options, type), 0, 0},
    {"url", "URL", "add: https://host of a service; the folder of a lake; home: for this home's own", DL_CLI_TEXT, 0, offsetof(connection_options, url), 0, 0},
    {"auth", "KIND", "add: anonymous, token or managed-identity (default: token when one is named)", DL_CLI_TEXT, 0, offsetof(connection_options, auth), 0, 0},
    {"resource", "URL", "add: what a token is for (default https://dicom.healthcareapis.azure.com)", DL_CLI_TEXT, 0, offsetof(connection_options, resource), 0, 0},
    {"description", "TEXT", "add: a sentence for people", DL_CLI_TEXT, 0, offsetof(connection_options, description), 0, 0},
    {"token-env", "NAME", "add: the environment variable that holds the token", DL_CLI_TEXT, 0, offsetof(connection_options, token_env), 0, 0},
    {"token-file", "FILE", "add: the file that holds the token", DL_CLI_TEXT, 0, offsetof(connection_options, token_file), 0, 0},
    {"replace", NULL, "add: a connection of that name may be there", DL_CLI_SWITCH, 0, offsetof(connection_options, replace), 0, 0},
};

static const struct {
    const char *name;
    dl_factory_auth auth;
} auths[] = {
    {"anonymous", DL_FACTORY_AUTH_ANONYMOUS}, {"token", DL_FACTORY_AUTH_TOKEN},
    {"managed-identity", DL_FACTORY_AUTH_MANAGED_IDENTITY},
};
/* clang-format on */

static const char *auth_word(dl_factory_auth auth)
{
    for (size_t i = 0; i < DL_COUNT_OF(auths); i++) {
        if (auths[i].auth == auth) {
            return auths[i].name;
        }
    }
    return "";
}

static const char *type_word(dl_factory_connection_type type)
{
    return type == DL_FACTORY_DICOM ? "dicom" : "lake";
}

/* ---- add ---- */

static dl_status read_auth(const connection_options *o, dl_factory_connection *c, dl_error *err)
{
    bool token = c->secret_kind != DL_FACTORY_SECRET_NONE;
    c->auth = token ? DL_FACTORY_AUTH_TOKEN : DL_FACTORY_AUTH_ANONYMOUS;
    bool found = o->auth == NULL;
    for (size_t i = 0; i < DL_COUNT_OF(auths) && !found; i++) {
        found = strcmp(o->auth, auths[i].name) == 0;
        c->auth = auths[i].auth;
    }
    if (!found) {
        return dl_error_set(err, DL_E_INVALID,
                            "--auth %s: not anonymous, token or managed-identity", o->auth);
    }
    if (token != (c->auth == DL_FACTORY_AUTH_TOKEN)) {
        (void)dl_error_set(err, DL_E_INVALID, "--auth %s %s a token", auth_word(c->auth),
                           token ? "takes no" : "needs");
        dl_error_hint(err, "--token-env NAME or --token-file FILE says where it is");
        return DL_E_INVALID;
    }
    return DL_OK;
}

static dl_status read_secret(dl_cli_factory *f, const connection_options *o,
                             dl_factory_connection *c, dl_error *err)
{
    if (o->token_env != NULL && o->token_file != NULL) {
        return dl_error_set(err, DL_E_INVALID, "--token-env and --token-file exclude each other");
    }
    if (o->token_env != NULL) {
        c->secret_kind = DL_FACTORY_SECRET_ENVIRONMENT;
        c->secret = dl_str_of(o->token_env);
    } else if (o->token_file != NULL) {
        c->secret_kind = DL_FACTORY_SECRET_FILE;
        DL_TRY(dl_cli_absolute(f->arena, o->token_file, &c->secret, err));
    }
    return read_auth(o, c, err);
}

static dl_status read_connection(dl_cli_factory *f, const connection_options *o, const char *name,
                                 dl_factory_connection *out, dl_error *err)
{
    dl_factory_connection c = {.name = dl_str_of(name),
                               .description = dl_str_of(o->description),
                               .url = dl_str_of(o->url),
                               .resource = dl_str_of(o->resource)};
    if (o->type == NULL || o->url == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "connection add: --type and --url are needed");
        dl_error_hint(err, "as in --type dicom --url home:, or --type lake --url ./lake");
        return DL_E_INVALID;
    }
    if (strcmp(o->type, "dicom") != 0 && strcmp(o->type, "lake") != 0) {
        return dl_error_set(err, DL_E_INVALID, "--type %s: not dicom or lake", o->type);
    }
    c.type = o->type[0] == 'd' ? DL_FACTORY_DICOM : DL_FACTORY_LAKE;
    if (c.type == DL_FACTORY_LAKE) {
        DL_TRY(dl_cli_absolute(f->arena, o->url, &c.url, err));
    }
    if (c.resource.len == 0 && c.type == DL_FACTORY_DICOM) {
        c.resource = DL_STR("https://dicom.healthcareapis.azure.com");
    }
    DL_TRY(read_secret(f, o, &c, err));
    *out = c;
    return DL_OK;
}

static dl_status add(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    const connection_options *o = given;
    dl_factory_connection c;
    DL_TRY(read_connection(f, o, args->items[0], &c, err));
    dl_str original = DL_STR_NONE;
    if (o->replace && dl_catalog_draft(f->factory, DL_FACTORY_CONNECTION, c.name, f->arena,
                                       &original, NULL) != DL_OK) {
        original = DL_STR_NONE;
    }
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_factory_write_connection(&c, original, &json, err));
    DL_TRY(dl_catalog_save(f->factory, DL_FACTORY_CONNECTION, dl_buf_str(&json), o->replace, err));
    return dl_cli_factory_saved(f, DL_FACTORY_CONNECTION, c.name, err);
}

/* ---- list, show ---- */

static dl_status list(dl_cli_factory *f, DL_UNUSED const void *given,
                      DL_UNUSED const dl_cli_args *args, dl_error *err)
{
    static const dl_cli_column titles[] = {{"NAME", false, 0},
                                           {"TYPE", false, 0},
                                           {"URL", false, 0},
                                           {"AUTH", false, 0},
                                           {"DESCRIPTION", false, 60}};
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(f->factory, DL_FACTORY_CONNECTION, f->arena, &entries, &count, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        dl_factory_connection c = {0};
        dl_error why = {0};
        dl_fact_entry(&f->w, &entries[i]);
        bool good = dl_factory_read_connection(entries[i].json, f->arena, &c, NULL, &why) == DL_OK;
        const dl_str cells[] = {entries[i].name, dl_str_of(good ? type_word(c.type) : "damaged"),
                                c.url, dl_str_of(good ? auth_word(c.auth) : ""),
                                good ? c.description : dl_str_of(why.message)};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

static dl_status show(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    dl_factory_entry entry;
    dl_factory_connection c = {0};
    DL_TRY(dl_cli_factory_entry(f, DL_FACTORY_CONNECTION, args->items[0], &entry, err));
    dl_fact_entry(&f->w, &entry);
    if (f->json) {
        return DL_OK;
    }
    DL_TRY(dl_factory_read_connection(entry.json, f->arena, &c, NULL, err));
    dl_cli_factory_fact(f, "name", c.name);
    dl_cli_factory_fact(f, "description", c.description);
    dl_cli_factory_fact(f, "type", dl_str_of(type_word(c.type)));
    dl_cli_factory_fact(f, "url", c.url);
    dl_cli_factory_fact(f, "auth", dl_str_of(auth_word(c.auth)));
    if (c.auth != DL_FACTORY_AUTH_ANONYMOUS) {
        dl_cli_factory_fact(f, "resource", c.resource);
    }
    dl_cli_factory_fact(
        f, c.secret_kind == DL_FACTORY_SECRET_FILE ? "token file" : "token variable", c.secret);
    return DL_OK;
}

static dl_status remove_some(dl_cli_factory *f, DL_UNUSED const void *given,
                             const dl_cli_args *args, dl_error *err)
{
    return dl_cli_factory_remove(f, DL_FACTORY_CONNECTION, args, err);
}

static dl_status rename_one(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                            dl_error *err)
{
    return dl_cli_factory_rename(f, DL_FACTORY_CONNECTION, args, err);
}

/* ---- test ---- */

static void put_text(dl_json_writer *w, const char *key, const char *text)
{
    dl_json_key(w, dl_str_of(key));
    if (text[0] == '\0') {
        dl_json_null(w);
    } else {
        dl_json_string(w, dl_str_of(text));
    }
}

static void put_probe(dl_json_writer *w, dl_str name, const dl_probe *probe)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, name);
    dl_json_key(w, DL_STR("passed"));
    dl_json_bool(w, probe->passed);
    dl_json_key(w, DL_STR("steps"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < probe->count; i++) {
        const dl_probe_step *s = &probe->steps[i];
        dl_json_object_begin(w);
        put_text(w, "name", s->name);
        dl_json_key(w, DL_STR("passed"));
        dl_json_bool(w, s->passed);
        put_text(w, "text", s->text);
        put_text(w, "hint", s->hint);
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}

static dl_status print_probe(dl_cli_factory *f, const dl_probe *probe, dl_error *err)
{
    static const dl_cli_column titles[] = {
        {"STEP", false, 0}, {"RESULT", false, 0}, {"WHAT WAS SEEN", false, 0}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    for (size_t i = 0; i < probe->count; i++) {
        const dl_probe_step *s = &probe->steps[i];
        const dl_str cells[] = {dl_str_of(s->name), dl_str_of(s->passed ? "ok" : "failed"),
                                dl_str_of(s->text)};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    return dl_cli_table_print(table, f->cli->out, err);
}

/** The first failure as every command says one. */
static void say_failure(dl_cli_factory *f, dl_str name, const dl_probe *probe)
{
    for (size_t i = 0; i < probe->count; i++) {
        const dl_probe_step *s = &probe->steps[i];
        if (!s->passed) {
            dl_error why = {0};
            (void)dl_error_set(&why, DL_E_UNAVAILABLE, "connection %.*s: %s: %s", DL_STR_ARG(name),
                               s->name, s->text);
            dl_error_hint(&why, "%s", s->hint);
            (void)fflush(f->cli->out);
            (void)dl_cli_fail(f->cli, &why);
            break;
        }
    }
    f->code = DL_CLI_FAILED;
}

static dl_status test(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    dl_factory_entry entry;
    dl_factory_connection c = {0};
    dl_probe probe = {0};
    DL_TRY(dl_cli_factory_entry(f, DL_FACTORY_CONNECTION, args->items[0], &entry, err));
    DL_TRY(dl_factory_read_connection(entry.json, f->arena, &c, NULL, err));
    DL_TRY(dl_probe_connection(f->factory, &c, f->cli->stop, &probe, err));
    put_probe(&f->w, c.name, &probe);
    if (!f->json) {
        DL_TRY(print_probe(f, &probe, err));
    }
    if (!probe.passed) {
        say_failure(f, c.name, &probe);
    }
    return DL_OK;
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"add", "NAME", 1, 1, DL_CLI_HOME_MADE, add},
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"show", "NAME", 1, 1, DL_CLI_HOME_THERE, show},
    {"remove", "NAME...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, remove_some},
    {"rename", "NAME NEW-NAME", 2, 2, DL_CLI_HOME_THERE, rename_one},
    {"test", "NAME", 1, 1, DL_CLI_HOME_THERE, test},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_connection, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_connection = {
    .name = "connection",
    .synopsis = "ACTION [NAME]...",
    .summary = "Say where DICOM services and lakes are, and test them (linked services).",
    .details = "ACTION is add, list, show, remove, rename or test.\n"
               "Secrets are named, never given: --token-env, --token-file.\n"
               "Exit codes: 0 done, 1 failed or the test did, 2 wrong usage.",
    .example = "dicomlake connection add clinic --type dicom --url https://clinic.example.com "
               "--token-file /run/token",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(connection_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
