/* dicomlake pipeline ...: pipelines from templates; drafts and what is published; runs by hand. */
#include "cli/factory.h"
#include "cli/table.h"

#include "base/file.h"
#include "factory/expression.h"
#include "factory/gallery.h"

#include <string.h>

enum { ARGS_LIMIT = 64, EXPORT_TRIGGERS = 16, EXPORT_CONNECTIONS = 2 };

typedef struct pipeline_options {
    dl_cli_factory_where where;
    const char *template_, *dicom, *lake, *description, *profile, *mode, *name, *to;
    dl_cli_list set, columns;
    bool require_file_path, replace, wait;
} pipeline_options;

static const pipeline_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(pipeline_options, where),
    {"template", "NAME", "create: id or title of a template (default: the one there is)", DL_CLI_TEXT, 0, offsetof(pipeline_options, template_), 0, 0},
    {"dicom", "NAME", "create, import, set: the connection whose change feed is read", DL_CLI_TEXT, 0, offsetof(pipeline_options, dicom), 0, 0},
    {"lake", "NAME", "create, import, set: the connection where the tables are", DL_CLI_TEXT, 0, offsetof(pipeline_options, lake), 0, 0},
    {"set", "NAME=VALUE", "create, set, run: a parameter by the template's name; may be repeated", DL_CLI_LIST, 0, offsetof(pipeline_options, set), 0, 0},
    {"description", "TEXT", "create, set: a sentence for people", DL_CLI_TEXT, 0, offsetof(pipeline_options, description), 0, 0},
    {"profile", "NAME", "create, set: columns of new tables: template-r4 (default) or template-r2", DL_CLI_TEXT, 0, offsetof(pipeline_options, profile), 0, 0},
    {"mode", "NAME", "create, set: new tables: dv (deletion vectors, default) or compat", DL_CLI_TEXT, 0, offsetof(pipeline_options, mode), 0, 0},
    {"column", "NAME=ATTR:TYPE", "create, set: a further column of the instance table; may be repeated", DL_CLI_LIST, 0, offsetof(pipeline_options, columns), 0, 0},
    {"require-file-path", NULL, "create, set: leave out changes without filePath, as the template does", DL_CLI_SWITCH, 0, offsetof(pipeline_options, require_file_path), 0, 0},
    {"name", "NAME", "import: the pipeline's name here (default: that in the file)", DL_CLI_TEXT, 0, offsetof(pipeline_options, name), 0, 0},
    {"replace", NULL, "create, import: what has that name may be there", DL_CLI_SWITCH, 0, offsetof(pipeline_options, replace), 0, 0},
    {"to", "FILE", "export: write there (default: standard output)", DL_CLI_TEXT, 0, offsetof(pipeline_options, to), 0, 0},
    {"wait", NULL, "run: follow the run to its end", DL_CLI_SWITCH, 0, offsetof(pipeline_options, wait), 0, 0},
};

static const struct {
    const char *name;
    dl_pipeline_profile profile;
} profiles[] = {{"template-r4", DL_PIPELINE_TEMPLATE_R4}, {"template-r2", DL_PIPELINE_TEMPLATE_R2}};
/* clang-format on */

/* ---- templates ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/** Whether `text` holds `word`, without regard to case. */
static bool holds(const char *text, const char *word)
{
    dl_str rest = dl_str_of(text);
    dl_str want = dl_str_of(word);
    for (; rest.len >= want.len; rest = dl_str_slice(rest, 1, rest.len)) {
        size_t i = 0;
        while (i < want.len && lower(rest.ptr[i]) == lower(want.ptr[i])) {
            i++;
        }
        if (i == want.len) {
            return true;
        }
    }
    return false;
}

static bool matches(const dl_gallery_template *t, const dl_cli_args *words)
{
    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->items[i];
        if (!holds(t->id, word) && !holds(t->title, word) && !holds(t->summary, word)) {
            return false;
        }
    }
    return true;
}

static dl_status templates(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                           dl_error *err)
{
    static const dl_cli_column titles[] = {{"TEMPLATE", false, 0}, {"TITLE", false, 0}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    size_t count = 0;
    const dl_gallery_template *all = dl_gallery_templates(&count);
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        if (!matches(&all[i], args)) {
            continue;
        }
        const struct {
            const char *key, *text;
        } members[] = {{"id", all[i].id}, {"title", all[i].title}, {"summary", all[i].summary}};
        dl_json_object_begin(&f->w);
        for (size_t k = 0; k < DL_COUNT_OF(members); k++) {
            dl_json_key(&f->w, dl_str_of(members[k].key));
            dl_json_string(&f->w, dl_str_of(members[k].text));
        }
        dl_json_object_end(&f->w);
        const dl_str cells[] = {dl_str_of(all[i].id), dl_str_of(all[i].title)};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

/* ---- create, set ---- */

/** A connection that a pipeline names must be there, and of the kind wanted: better told now than
 * at publishing. */
static dl_status check_connection(dl_cli_factory *f, dl_str name, dl_factory_connection_type type,
                                  dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_factory_connection c;
    DL_TRY(dl_catalog_draft(f->factory, DL_FACTORY_CONNECTION, name, f->arena, &json, err));
    DL_TRY(dl_factory_read_connection(json, f->arena, &c, NULL, err));
    if (c.type != type) {
        return dl_error_set(err, DL_E_INVALID, "connection %.*s is of type %s, not %s",
                            DL_STR_ARG(name), c.type == DL_FACTORY_DICOM ? "dicom" : "lake",
                            type == DL_FACTORY_DICOM ? "dicom" : "lake");
    }
    return DL_OK;
}

static dl_status apply_profile(const pipeline_options *o, dl_factory_pipeline *p, dl_error *err)
{
    bool found = o->profile == NULL;
    for (size_t i = 0; i < DL_COUNT_OF(profiles) && !found; i++) {
        found = strcmp(o->profile, profiles[i].name) == 0;
        p->profile = found ? profiles[i].profile : p->profile;
    }
    if (!found) {
        return dl_error_set(err, DL_E_INVALID, "no profile %s: template-r4 or template-r2",
                            o->profile);
    }
    if (o->mode != NULL && strcmp(o->mode, "dv") != 0 && strcmp(o->mode, "compat") != 0) {
        return dl_error_set(err, DL_E_INVALID, "no mode %s: dv or compat", o->mode);
    }
    p->compat = o->mode != NULL ? strcmp(o->mode, "compat") == 0 : p->compat;
    return DL_OK;
}

/** Parameters of a pipeline are those of its template: an unknown one is an error that lists them.
 */
static dl_status set_parameter(const char *word, dl_factory_pipeline *p, dl_error *err)
{
    size_t count = p->parameter_count;
    DL_TRY(dl_cli_factory_set(word, p->parameters, &count, err));
    dl_pipeline_parameters checked;
    DL_TRY(dl_factory_parameters(p->parameters, count, &checked, err));
    if (count > p->parameter_count) {
        p->parameters[count - 1].type = DL_STR("string");
    }
    p->parameter_count = count;
    return DL_OK;
}

static dl_status apply(dl_cli_factory *f, const pipeline_options *o, const dl_cli_args *words,
                       dl_factory_pipeline *p, dl_error *err)
{
    DL_TRY(apply_profile(o, p, err));
    p->dicom = o->dicom != NULL ? dl_str_of(o->dicom) : p->dicom;
    p->lake = o->lake != NULL ? dl_str_of(o->lake) : p->lake;
    p->description = o->description != NULL ? dl_str_of(o->description) : p->description;
    p->require_file_path = p->require_file_path || o->require_file_path;
    for (size_t i = 0; i < o->columns.count; i++) {
        if (p->column_count == DL_COUNT_OF(p->columns)) {
            return dl_error_set(err, DL_E_LIMIT, "more than %zu columns", DL_COUNT_OF(p->columns));
        }
        p->columns[p->column_count++] = dl_str_of(o->columns.items[i]);
    }
    for (size_t i = 0; i < o->set.count; i++) {
        DL_TRY(set_parameter(o->set.items[i], p, err));
    }
    for (size_t i = 0; i < words->count; i++) {
        DL_TRY(set_parameter(words->items[i], p, err));
    }
    DL_TRY(check_connection(f, p->dicom, DL_FACTORY_DICOM, err));
    return check_connection(f, p->lake, DL_FACTORY_LAKE, err);
}

static dl_status save(dl_cli_factory *f, const dl_factory_pipeline *p, dl_str original,
                      bool replace, dl_error *err)
{
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_factory_write_pipeline(p, original, &json, err));
    return dl_catalog_save(f->factory, DL_FACTORY_PIPELINE, dl_buf_str(&json), replace, err);
}

static dl_status find_template(const pipeline_options *o, const dl_gallery_template **out_template,
                               dl_error *err)
{
    size_t count = 0;
    const dl_gallery_template *all = dl_gallery_templates(&count);
    const dl_gallery_template *found =
        o->template_ == NULL ? &all[0] : dl_gallery_find(dl_str_of(o->template_));
    if (found == NULL) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "no template %s", o->template_);
        dl_error_hint(err, "dicomlake pipeline templates lists them");
        return DL_E_NOT_FOUND;
    }
    *out_template = found;
    return DL_OK;
}

static dl_status create(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                        dl_error *err)
{
    const pipeline_options *o = given;
    const dl_gallery_template *from = NULL;
    if (o->dicom == NULL || o->lake == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "pipeline create: --dicom and --lake are needed");
        dl_error_hint(err, "dicomlake connection list names the connections");
        return DL_E_INVALID;
    }
    DL_TRY(find_template(o, &from, err));
    dl_factory_pipeline p;
    DL_TRY(dl_gallery_make(from, dl_str_of(args->items[0]), dl_str_of(o->dicom), dl_str_of(o->lake),
                           f->arena, &p, err));
    const dl_cli_args none = {0};
    DL_TRY(apply(f, o, &none, &p, err));
    DL_TRY(save(f, &p, DL_STR_NONE, o->replace, err));
    return dl_cli_factory_saved(f, DL_FACTORY_PIPELINE, p.name, err);
}

static dl_status set(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_factory_pipeline p;
    const dl_cli_args words = {args->items + 1, args->count - 1};
    DL_TRY(dl_catalog_draft(f->factory, DL_FACTORY_PIPELINE, dl_str_of(args->items[0]), f->arena,
                            &json, err));
    DL_TRY(dl_factory_read_pipeline(json, f->arena, &p, NULL, err));
    DL_TRY(apply(f, given, &words, &p, err));
    DL_TRY(save(f, &p, json, true, err));
    return dl_cli_factory_saved(f, DL_FACTORY_PIPELINE, p.name, err);
}

/* ---- list, show ---- */

static dl_status list(dl_cli_factory *f, DL_UNUSED const void *given,
                      DL_UNUSED const dl_cli_args *args, dl_error *err)
{
    static const dl_cli_column titles[] = {{"NAME", false, 0},     {"STATE", false, 0},
                                           {"TEMPLATE", false, 0}, {"DICOM", false, 0},
                                           {"LAKE", false, 0},     {"DESCRIPTION", false, 60}};
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(f->factory, DL_FACTORY_PIPELINE, f->arena, &entries, &count, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        dl_factory_pipeline p = {0};
        dl_error why = {0};
        dl_fact_entry(&f->w, &entries[i]);
        bool good = dl_factory_read_pipeline(entries[i].json, f->arena, &p, NULL, &why) == DL_OK;
        const dl_str cells[] = {
            entries[i].name, dl_str_of(good ? dl_cli_factory_state(entries[i].state) : "damaged"),
            p.template_id,   p.dicom,
            p.lake,          good ? p.description : dl_str_of(why.message)};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

static dl_status show(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    dl_factory_entry entry;
    dl_factory_pipeline p = {0};
    dl_factory_unknown unknown = {0};
    DL_TRY(dl_cli_factory_entry(f, DL_FACTORY_PIPELINE, args->items[0], &entry, err));
    dl_fact_entry(&f->w, &entry);
    if (f->json) {
        return DL_OK;
    }
    DL_TRY(dl_factory_read_pipeline(entry.json, f->arena, &p, &unknown, err));
    dl_cli_factory_fact(f, "name", p.name);
    dl_cli_factory_fact(f, "state", dl_str_of(dl_cli_factory_state(entry.state)));
    dl_cli_factory_fact(f, "description", p.description);
    dl_cli_factory_fact(f, "template", p.template_id);
    dl_cli_factory_fact(f, "revision", p.revision);
    dl_cli_factory_fact(f, "dicom", p.dicom);
    dl_cli_factory_fact(f, "lake", p.lake);
    for (size_t i = 0; i < p.column_count; i++) {
        dl_cli_factory_fact(f, "column", p.columns[i]);
    }
    dl_cli_factory_say(f, "parameters");
    dl_cli_factory_show_parameters(f, p.parameters, p.parameter_count);
    for (size_t i = 0; i < unknown.count && i < DL_FACTORY_UNKNOWN_LIMIT; i++) {
        dl_cli_factory_fact(f, "not understood", unknown.paths[i]);
    }
    return DL_OK;
}

/* ---- import, export ---- */

static dl_status save_connection(dl_cli_factory *f, const dl_factory_connection *c, bool *out_new,
                                 dl_error *err)
{
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_factory_write_connection(c, DL_STR_NONE, &json, err));
    dl_status status =
        dl_catalog_save(f->factory, DL_FACTORY_CONNECTION, dl_buf_str(&json), false, err);
    *out_new = status == DL_OK;
    if (status == DL_E_EXISTS) { /* the one that is here says where things are here */
        dl_error_clear(err);
        return DL_OK;
    }
    return status;
}

static dl_status save_trigger(dl_cli_factory *f, const dl_factory_trigger *t, bool replace,
                              dl_error *err)
{
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_factory_write_trigger(t, DL_STR_NONE, &json, err));
    return dl_catalog_save(f->factory, DL_FACTORY_TRIGGER, dl_buf_str(&json), replace, err);
}

typedef struct name_list {
    const char *key;
    dl_str names[DL_FACTORY_UNKNOWN_LIMIT];
    size_t count;
} name_list;

static void put_names(dl_json_writer *w, const name_list *list)
{
    dl_json_key(w, dl_str_of(list->key));
    dl_json_array_begin(w);
    for (size_t i = 0; i < list->count && i < DL_COUNT_OF(list->names); i++) {
        dl_json_string(w, list->names[i]);
    }
    dl_json_array_end(w);
}

static const char *profile_word(dl_pipeline_profile profile)
{
    for (size_t i = 0; i < DL_COUNT_OF(profiles); i++) {
        if (profiles[i].profile == profile) {
            return profiles[i].name;
        }
    }
    return "template-r4";
}

/** What came in, and what did not. */
static void tell_import(dl_cli_factory *f, const dl_gallery_import *in, const name_list lists[3])
{
    dl_json_writer *w = &f->w;
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("pipeline"));
    if (in->has_pipeline) {
        dl_json_string(w, in->pipeline.name);
        dl_cli_factory_say(f, "pipeline %.*s: %s revision %.*s, tables as %s",
                           DL_STR_ARG(in->pipeline.name), in->pipeline.template_id.ptr,
                           DL_STR_ARG(in->pipeline.revision), profile_word(in->pipeline.profile));
        dl_json_key(w, DL_STR("revision"));
        dl_json_string(w, in->pipeline.revision);
        dl_json_key(w, DL_STR("profile"));
        dl_json_string(w, dl_str_of(profile_word(in->pipeline.profile)));
    } else {
        dl_json_null(w);
    }
    for (size_t i = 0; i < 3; i++) {
        put_names(w, &lists[i]);
        for (size_t k = 0; k < lists[i].count && k < DL_COUNT_OF(lists[i].names); k++) {
            dl_cli_factory_say(f, "%s: %.*s", lists[i].key, DL_STR_ARG(lists[i].names[k]));
        }
    }
    dl_json_object_end(w);
    if (in->unknown.count > 0) {
        f->code = DL_CLI_PARTLY;
    }
}

/** The connections of the file that are not here yet, then the pipeline, then its triggers. */
static dl_status save_import(dl_cli_factory *f, const dl_gallery_import *in, bool replace,
                             name_list lists[3], dl_error *err)
{
    for (size_t i = 0; i < in->connection_count; i++) {
        bool added = false;
        DL_TRY(save_connection(f, &in->connections[i], &added, err));
        if (added) {
            lists[0].names[lists[0].count++] = in->connections[i].name;
        }
    }
    if (in->has_pipeline) {
        DL_TRY(check_connection(f, in->pipeline.dicom, DL_FACTORY_DICOM, err));
        DL_TRY(check_connection(f, in->pipeline.lake, DL_FACTORY_LAKE, err));
        DL_TRY(save(f, &in->pipeline, DL_STR_NONE, replace, err));
    }
    for (size_t i = 0; i < in->trigger_count; i++) {
        DL_TRY(save_trigger(f, &in->triggers[i], replace, err));
        lists[1].names[lists[1].count++] = in->triggers[i].name;
    }
    return DL_OK;
}

static dl_status import(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                        dl_error *err)
{
    const pipeline_options *o = given;
    dl_gallery_import *in = dl_arena_alloc(f->arena, 1, sizeof *in);
    name_list *lists = dl_arena_alloc(f->arena, 3, sizeof *lists);
    if (in == NULL || lists == NULL) {
        return dl_arena_full(f->arena, err);
    }
    DL_TRY(dl_gallery_read(args->items[0], dl_str_of(o->name), dl_str_of(o->dicom),
                           dl_str_of(o->lake), f->arena, in, err));
    lists[0].key = "connections";
    lists[1].key = "triggers";
    lists[2] = (name_list){.key = "notUnderstood", .count = in->unknown.count};
    memcpy(lists[2].names, in->unknown.paths, sizeof lists[2].names);
    DL_TRY(save_import(f, in, o->replace, lists, err));
    tell_import(f, in, lists);
    return DL_OK;
}

typedef struct exported {
    dl_factory_pipeline pipeline;
    dl_factory_trigger triggers[EXPORT_TRIGGERS];
    size_t trigger_count;
    dl_factory_connection connections[EXPORT_CONNECTIONS];
    size_t connection_count;
} exported;

static dl_status collect_triggers(dl_cli_factory *f, exported *e, dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(f->factory, DL_FACTORY_TRIGGER, f->arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        dl_factory_trigger t;
        if (entries[i].state == DL_FACTORY_REMOVED ||
            dl_factory_read_trigger(entries[i].json, f->arena, &t, NULL, NULL) != DL_OK ||
            !dl_str_eq(t.pipeline, e->pipeline.name)) {
            continue;
        }
        if (e->trigger_count == EXPORT_TRIGGERS) {
            return dl_error_set(err, DL_E_LIMIT, "pipeline %.*s has more than %d triggers",
                                DL_STR_ARG(e->pipeline.name), EXPORT_TRIGGERS);
        }
        e->triggers[e->trigger_count++] = t;
    }
    return DL_OK;
}

static dl_status collect(dl_cli_factory *f, const char *name, exported *e, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    DL_TRY(
        dl_catalog_draft(f->factory, DL_FACTORY_PIPELINE, dl_str_of(name), f->arena, &json, err));
    DL_TRY(dl_factory_read_pipeline(json, f->arena, &e->pipeline, NULL, err));
    const dl_str names[EXPORT_CONNECTIONS] = {e->pipeline.dicom, e->pipeline.lake};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        DL_TRY(dl_catalog_draft(f->factory, DL_FACTORY_CONNECTION, names[i], f->arena, &json, err));
        DL_TRY(dl_factory_read_connection(json, f->arena, &e->connections[e->connection_count++],
                                          NULL, err));
    }
    return collect_triggers(f, e, err);
}

static dl_status export_one(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                            dl_error *err)
{
    const pipeline_options *o = given;
    exported *e = dl_arena_alloc(f->arena, 1, sizeof *e);
    if (e == NULL) {
        return dl_arena_full(f->arena, err);
    }
    DL_TRY(collect(f, args->items[0], e, err));
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)16 * DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_gallery_write(&e->pipeline, e->triggers, e->trigger_count, e->connections,
                            e->connection_count, &text, err));
    if (o->to == NULL) {
        (void)fprintf(f->cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
        return DL_OK;
    }
    DL_TRY(dl_file_replace(o->to, dl_buf_str(&text), err));
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("file"));
    dl_json_string(&f->w, dl_str_of(o->to));
    dl_json_object_end(&f->w);
    dl_cli_factory_say(f, "pipeline %s with %zu triggers is in %s", args->items[0],
                       e->trigger_count, o->to);
    return DL_OK;
}

/* ---- publish, run ---- */

static dl_status publish(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                         dl_error *err)
{
    size_t count = 0;
    DL_TRY(dl_catalog_publish(
        f->factory, args->count == 0 ? DL_STR_NONE : dl_str_of(args->items[0]), &count, err));
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("published"));
    dl_json_int(&f->w, (int64_t)count);
    dl_json_object_end(&f->w);
    dl_cli_factory_say(f, "%zu %s published", count, count == 1 ? "document" : "documents");
    if (count > 0 && !dl_scheduler_is_running(f->factory)) {
        dl_cli_factory_say(f, "nobody schedules on this home now: dicomlake serve or trigger "
                              "daemon does");
    }
    return DL_OK;
}

/** What can be said before the run: unknown names, and values that are no expressions. */
static dl_status check_values(dl_cli_factory *f, const char *name, const dl_cli_list *set_,
                              dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_factory_pipeline p;
    DL_TRY(dl_catalog_published(f->factory, DL_FACTORY_PIPELINE, dl_str_of(name), f->arena, &json,
                                err));
    DL_TRY(dl_factory_read_pipeline(json, f->arena, &p, NULL, err));
    for (size_t i = 0; i < set_->count; i++) {
        const char *value = strchr(set_->items[i], '=');
        if (value == NULL || !dl_expression_is(dl_str_of(value + 1))) {
            DL_TRY(set_parameter(set_->items[i], &p, err));
        }
    }
    return DL_OK;
}

static dl_status run_one(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                         dl_error *err)
{
    const pipeline_options *o = given;
    dl_factory_parameter parameters[DL_FACTORY_PARAMETER_LIMIT];
    size_t count = 0;
    DL_TRY(check_values(f, args->items[0], &o->set, err));
    for (size_t i = 0; i < o->set.count; i++) {
        DL_TRY(dl_cli_factory_set(o->set.items[i], parameters, &count, err));
    }
    dl_cli_queued queued = {.count = 1, .wait = o->wait};
    DL_TRY(dl_pipeline_run_now(f->factory, dl_str_of(args->items[0]), parameters, count,
                               queued.run_id, err));
    return dl_cli_factory_do(f, &queued, err);
}

static dl_status remove_some(dl_cli_factory *f, DL_UNUSED const void *given,
                             const dl_cli_args *args, dl_error *err)
{
    return dl_cli_factory_remove(f, DL_FACTORY_PIPELINE, args, err);
}

static dl_status rename_one(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                            dl_error *err)
{
    return dl_cli_factory_rename(f, DL_FACTORY_PIPELINE, args, err);
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"templates", "[WORD]...", 0, ARGS_LIMIT, DL_CLI_HOME_NONE, templates},
    {"create", "NAME", 1, 1, DL_CLI_HOME_MADE, create},
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"show", "NAME", 1, 1, DL_CLI_HOME_THERE, show},
    {"set", "NAME [PARAMETER=VALUE]...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, set},
    {"import", "FILE", 1, 1, DL_CLI_HOME_MADE, import},
    {"export", "NAME", 1, 1, DL_CLI_HOME_THERE, export_one},
    {"publish", "[NAME]", 0, 1, DL_CLI_HOME_THERE, publish},
    {"run", "NAME", 1, 1, DL_CLI_HOME_THERE, run_one},
    {"remove", "NAME...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, remove_some},
    {"rename", "NAME NEW-NAME", 2, 2, DL_CLI_HOME_THERE, rename_one},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_pipeline, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_pipeline = {
    .name = "pipeline",
    .synopsis = "ACTION [WORD]...",
    .summary = "Make pipelines from templates, publish and run them.",
    .details =
        "ACTION is templates, create, list, show, set, import, export, publish, run, remove or "
        "rename.\n"
        "What create, set, import, remove and rename do is a draft until publish.\n"
        "Exit codes: 0 done, 1 failed or the run did, 2 wrong usage, 3 imported but for what is "
        "listed.",
    .example = "dicomlake pipeline create copy --template copy-dicom-metadata-changes --dicom "
               "clinic --lake lake",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(pipeline_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
