/* Data Factory's own pipeline made ours: which revision of the public template it is, by the script
 * of its data flow, and what in it is not the template's. */
#include "factory/gallery_internal.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

enum { SCRIPT_LIMIT_BYTES = 1024 * 1024, LINE_LIMIT = 20000 };

/* ---- the script ---- */

static dl_status add_line(dl_gallery_file *file, dl_str value, dl_buf *out)
{
    dl_str line = DL_STR_NONE;
    if (dl_json_kind_of(value) != DL_JSON_STRING) {
        return DL_OK;
    }
    DL_TRY(dl_json_text(value, file->scratch, &line, file->reader.err));
    DL_TRY(dl_buf_append_str(out, line, file->reader.err));
    return dl_buf_append_char(out, '\n', file->reader.err);
}

static dl_status read_script(dl_gallery_file *file, dl_str typed, dl_buf *out)
{
    dl_str value = DL_STR_NONE, line = DL_STR_NONE;
    if (dl_json_get(typed, DL_STR("script"), &value)) {
        return add_line(file, value, out);
    }
    if (dl_json_get(typed, DL_STR("scriptLines"), &value)) {
        dl_json_iter iter = dl_json_iter_of(value);
        for (size_t i = 0; i < LINE_LIMIT && dl_json_next_element(&iter, &line); i++) {
            DL_TRY(add_line(file, line, out));
        }
    }
    return DL_OK;
}

/** The part of the script that says the columns of the sink of instances; empty: there is none. */
static dl_str instance_columns(dl_str script)
{
    ptrdiff_t end = dl_str_find_str(script, DL_STR("~> instanceTable"));
    dl_str before = dl_str_slice(script, 0, end < 0 ? 0 : (size_t)end), rest = before;
    dl_str columns = DL_STR_NONE;
    ptrdiff_t at = 0;
    while ((at = dl_str_find_str(rest, DL_STR("mapColumn("))) >= 0) {
        rest = dl_str_slice(rest, (size_t)at + sizeof "mapColumn(" - 1, rest.len);
        columns = rest;
    }
    ptrdiff_t close = dl_str_find(columns, ')');
    return close < 0 ? DL_STR("") : dl_str_slice(columns, 0, (size_t)close);
}

static dl_str trim_all(dl_str text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL) {
        text = dl_str_slice(text, 1, text.len);
    }
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL) {
        text.len--;
    }
    return text;
}

/* Columns of the instance table in any revision; case counts not, as for readers of the tables. */
static const char *const template_columns[] = {
    "partitionName",
    "studyinstanceuid",
    "seriesinstanceuid",
    "sopinstanceuid",
    "lastModifiedTimestamp",
    "studydate",
    "studydate_formatted",
    "studydescription",
    "issuerofpatientid",
    "patientid",
    "patientname",
    "modality",
    "sopclassuid",
    "filepath",
    "metadata",
    "metadata_string",
    "created_date",
    "patientbirthdate",
    "accessionnumber",
    "referringphysicianname",
    "modalitiesinstudy",
    "performedprocedurestepstartdate",
    "manufacturermodelname",
    "studytime",
    "timezoneoffsetfromutc",
    "numberofstudyrelatedseries",
    "numberofstudyrelatedinstances",
    "seriesnumber",
    "seriesdescription",
    "numberofseriesrelatedinstances",
    "bodypartexamined",
    "laterality",
    "seriesdate",
    "seriestime",
    "instancenumber",
    "documenttitle",
};

static bool is_template_column(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(template_columns); i++) {
        if (dl_str_eq_nocase(name, dl_str_of(template_columns[i]))) {
            return true;
        }
    }
    return false;
}

static dl_status list_columns(dl_gallery_file *file, dl_str columns)
{
    dl_str rest = columns, part = DL_STR_NONE, path = DL_STR_NONE;
    while (dl_str_next(&rest, ',', &part)) {
        ptrdiff_t equals = dl_str_find(part, '=');
        dl_str name = trim_all(equals < 0 ? part : dl_str_slice(part, 0, (size_t)equals));
        if (name.len > 0 && !is_template_column(name)) {
            DL_TRY(dl_arena_printf(file->reader.arena, &path, file->reader.err,
                                   "data flow: column %.*s",
                                   DL_STR_ARG(dl_str_slice(name, 0, 100))));
            dl_document_note(&file->reader, path, "give it to the pipeline as name=Attribute:type");
        }
    }
    return DL_OK;
}

static bool has(dl_str text, const char *needle)
{
    return dl_str_find_str(text, dl_str_of(needle)) >= 0;
}

/** "referenceName" of the first of a list whose stream is called `name`, or of the first at all. */
static dl_str linked_service(dl_str list, const char *name)
{
    dl_json_iter iter = dl_json_iter_of(list);
    dl_str stream = DL_STR_NONE, called = DL_STR_NONE, linked = DL_STR_NONE, to = DL_STR_NONE;
    while (dl_json_next_element(&iter, &stream)) {
        bool right = name == NULL || (dl_json_get(stream, DL_STR("name"), &called) &&
                                      called.len == strlen(name) + 2 && has(called, name));
        if (right && dl_json_get(stream, DL_STR("linkedService"), &linked) &&
            dl_json_get(linked, DL_STR("referenceName"), &to) &&
            dl_json_kind_of(to) == DL_JSON_STRING) {
            return to;
        }
    }
    return DL_STR_NONE;
}

static dl_status take_linked(dl_gallery_file *file, dl_str reference, dl_str *out)
{
    dl_str name = DL_STR_NONE;
    if (out->len > 0 || reference.ptr == NULL) {
        return DL_OK;
    }
    DL_TRY(dl_json_text(reference, file->scratch, &name, file->reader.err));
    return dl_document_fit_name(name, file->reader.arena, out, file->reader.err);
}

static dl_status judge(dl_gallery_file *file, dl_str script, dl_factory_pipeline *p)
{
    dl_str columns = instance_columns(script);
    dl_str seen = columns.len > 0 ? columns : script;
    bool map = has(seen, "metadata_string"), path = has(seen, "filePath");
    p->revision = map && has(script, "regexExtract") ? DL_STR("r4")
                  : map                              ? DL_STR("r3")
                  : path                             ? DL_STR("r2")
                                                     : DL_STR("r1");
    p->profile = map ? DL_PIPELINE_TEMPLATE_R4 : DL_PIPELINE_TEMPLATE_R2;
    if (columns.len == 0) {
        dl_document_note(&file->reader, DL_STR("data flow"), "no sink called instanceTable");
    } else if (!map && !path) {
        dl_document_note(&file->reader, DL_STR("data flow: column metadata"),
                         "as text, in revision r1; the tables have filePath in its place");
    }
    return list_columns(file, columns);
}

dl_status dl_gallery_revision(dl_gallery_file *file, dl_str json, dl_factory_pipeline *pipeline)
{
    DL_AUTO_BUF script = {0};
    dl_str properties = DL_STR_NONE, typed = DL_STR_NONE, list = DL_STR_NONE;
    pipeline->revision = DL_STR("r4");
    pipeline->profile = DL_PIPELINE_TEMPLATE_R4;
    if (json.ptr == NULL || !dl_json_get(json, DL_STR("properties"), &properties) ||
        !dl_json_get(properties, DL_STR("typeProperties"), &typed)) {
        dl_document_note(&file->reader, DL_STR("data flow"),
                         "not in the file: taken for that of revision r4");
        return DL_OK;
    }
    dl_buf_init(&script, SCRIPT_LIMIT_BYTES);
    DL_TRY(read_script(file, typed, &script));
    DL_TRY(judge(file, script.len == 0 ? DL_STR("") : dl_buf_str(&script), pipeline));
    if (dl_json_get(typed, DL_STR("sources"), &list)) {
        DL_TRY(take_linked(file, linked_service(list, "changeFeed"), &pipeline->dicom));
    }
    if (dl_json_get(typed, DL_STR("sinks"), &list)) {
        DL_TRY(take_linked(file, linked_service(list, "instanceTable"), &pipeline->lake));
        DL_TRY(take_linked(file, linked_service(list, NULL), &pipeline->lake));
    }
    return DL_OK;
}

/* ---- the activities ---- */

static dl_str member_text(dl_str object, const char *key)
{
    dl_str value = DL_STR_NONE;
    if (!dl_json_get(object, dl_str_of(key), &value) || dl_json_kind_of(value) != DL_JSON_STRING) {
        return DL_STR("");
    }
    return dl_str_slice(value, 1, value.len - 2);
}

static dl_str path_in(dl_str object, const char *first, const char *second)
{
    dl_str inner = DL_STR_NONE, value = DL_STR_NONE;
    if (!dl_json_get(object, dl_str_of(first), &inner) ||
        !dl_json_get(inner, dl_str_of(second), &value)) {
        return DL_STR_NONE;
    }
    return value;
}

static dl_status list_activity(dl_gallery_file *file, dl_str path, size_t index, dl_str activity)
{
    dl_str text = DL_STR_NONE;
    char note[200];
    (void)snprintf(note, sizeof note, "%.*s '%.*s'",
                   DL_STR_ARG(dl_str_slice(member_text(activity, "type"), 0, 60)),
                   DL_STR_ARG(dl_str_slice(member_text(activity, "name"), 0, 100)));
    DL_TRY(dl_arena_printf(file->reader.arena, &text, file->reader.err, "%.*s[%zu]",
                           DL_STR_ARG(path), index));
    dl_document_note(&file->reader, text, note);
    return DL_OK;
}

/** Whether the activity is one that the template has at that place. */
static bool is_templates(dl_str activity)
{
    static const char *const names[] = {"Determine Continuation", "Cancel Processing",
                                        "Complete Processing",    "Check Rows",
                                        "Add Limit to Offset",    "Update Offset"};
    dl_str name = member_text(activity, "name"), type = member_text(activity, "type");
    if (dl_str_eq(type, DL_STR("ExecuteDataFlow"))) {
        return true;
    }
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        if (dl_str_eq(name, dl_str_of(names[i]))) {
            return dl_str_eq(type, DL_STR("SetVariable")) || dl_str_eq(type, DL_STR("IfCondition"));
        }
    }
    return false;
}

/** Lists what the template has not in an array of activities; *flow is its data flow. */
static dl_status look_at(dl_gallery_file *file, dl_str list, dl_str path, dl_str *flow)
{
    dl_json_iter iter = dl_json_iter_of(list);
    dl_str activity = DL_STR_NONE;
    for (size_t i = 0; dl_json_next_element(&iter, &activity); i++) {
        bool runs = dl_str_eq(member_text(activity, "type"), DL_STR("ExecuteDataFlow"));
        if (!is_templates(activity) || (runs && flow->ptr != NULL)) {
            DL_TRY(list_activity(file, path, i, activity));
        } else if (runs) {
            *flow = activity;
        }
        static const char *const branches[] = {"ifTrueActivities", "ifFalseActivities"};
        for (size_t k = 0; k < DL_COUNT_OF(branches); k++) {
            dl_json_iter inner = dl_json_iter_of(path_in(activity, "typeProperties", branches[k]));
            dl_str step = DL_STR_NONE;
            for (size_t n = 0; dl_json_next_element(&inner, &step); n++) {
                if (!is_templates(step)) {
                    DL_TRY(list_activity(file, path, i, step));
                }
            }
        }
    }
    return DL_OK;
}

/** The activities of the loop; the loop itself and its neighbours are looked at on the way. */
static dl_status find_flow(dl_gallery_file *file, dl_str activities, dl_str *flow, bool *loop)
{
    dl_json_iter iter = dl_json_iter_of(activities);
    dl_str activity = DL_STR_NONE;
    for (size_t i = 0; dl_json_next_element(&iter, &activity); i++) {
        dl_str type = member_text(activity, "type");
        if (dl_str_eq(type, DL_STR("Until")) && !*loop) {
            dl_str path = DL_STR_NONE;
            *loop = true;
            DL_TRY(dl_arena_printf(file->reader.arena, &path, file->reader.err,
                                   "properties.activities[%zu].typeProperties.activities", i));
            DL_TRY(look_at(file, path_in(activity, "typeProperties", "activities"), path, flow));
        } else if (dl_str_eq(type, DL_STR("ExecuteDataFlow")) && flow->ptr == NULL) {
            *flow = activity;
        } else {
            DL_TRY(list_activity(file, DL_STR("properties.activities"), i, activity));
        }
    }
    return DL_OK;
}

static bool speaks_of_a_flow(dl_str activities)
{
    dl_json_iter iter = dl_json_iter_of(activities);
    dl_str activity = DL_STR_NONE, inner = DL_STR_NONE;
    while (dl_json_next_element(&iter, &activity)) {
        dl_json_iter loop = dl_json_iter_of(path_in(activity, "typeProperties", "activities"));
        bool found = dl_str_eq(member_text(activity, "type"), DL_STR("ExecuteDataFlow"));
        while (!found && dl_json_next_element(&loop, &inner)) {
            found = dl_str_eq(member_text(inner, "type"), DL_STR("ExecuteDataFlow"));
        }
        if (found) {
            return true;
        }
    }
    return false;
}

/* ---- parameters ---- */

/** Those of the template, with the file's defaults over them; others are listed. */
static dl_status take_parameters(dl_gallery_file *file, const dl_document_node *node,
                                 dl_factory_pipeline *p)
{
    DL_AUTO_BUF kept = {0};
    dl_error *err = file->reader.err;
    dl_json_iter iter = dl_json_iter_of(node->value);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE, path = DL_STR_NONE;
    dl_buf_init(&kept, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_buf_append_char(&kept, '{', err));
    while (dl_json_next_member(&iter, &key, &value)) {
        if (dl_document_parameter_name(key) != NULL) {
            DL_TRY(dl_buf_printf(&kept, err, "%s\"%.*s\":%.*s", kept.len > 1 ? "," : "",
                                 DL_STR_ARG(key), DL_STR_ARG(value)));
            continue;
        }
        DL_TRY(dl_arena_printf(file->reader.arena, &path, err, "properties.parameters.%.*s",
                               DL_STR_ARG(dl_str_slice(key, 0, 100))));
        dl_document_note(&file->reader, path, "no parameter of the template");
    }
    DL_TRY(dl_buf_append_char(&kept, '}', err));
    dl_factory_parameter given[DL_FACTORY_PARAMETER_LIMIT];
    size_t count = 0;
    dl_document_node all = {dl_buf_str(&kept), node->path};
    DL_TRY(dl_document_parameters(&file->reader, &all, false, false, given, &count));
    for (size_t i = 0; i < p->parameter_count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (dl_str_eq(given[k].name, p->parameters[i].name)) {
                p->parameters[i] = given[k];
            }
        }
    }
    return DL_OK;
}

static dl_status list_members(dl_gallery_file *file, const dl_document_node *properties)
{
    static const char *const known[] = {"description", "activities",  "parameters",
                                        "variables",   "annotations", "lastPublishTime",
                                        "policy",      "folder",      NULL};
    static const char *const variables_known[] = {"CurrentOffset", "Temp", "Continue", NULL};
    dl_document_node variables;
    DL_TRY(dl_document_object(&file->reader, properties, known));
    DL_TRY(dl_document_child(&file->reader, properties, "variables", &variables));
    return dl_document_object(&file->reader, &variables, variables_known);
}

dl_status dl_gallery_convert(dl_gallery_file *file, dl_str json, dl_factory_pipeline *pipeline,
                             bool *out_found)
{
    dl_document_reader *r = &file->reader;
    dl_document_node root, properties, description, activities, parameters, policy;
    dl_str flow = DL_STR_NONE;
    bool loop = false;
    DL_TRY(dl_document_root(r, json, &root));
    DL_TRY(dl_document_child(r, &root, "properties", &properties));
    DL_TRY(dl_document_child(r, &properties, "activities", &activities));
    if (!speaks_of_a_flow(activities.value)) {
        *out_found = false;
        return DL_OK;
    }
    DL_TRY(list_members(file, &properties));
    DL_TRY(find_flow(file, activities.value, &flow, &loop));
    DL_TRY(dl_document_child(r, &properties, "description", &description));
    DL_TRY(dl_document_text(r, &description, &pipeline->description));
    dl_document_node activity = {flow, DL_STR("properties.activities[0]")};
    DL_TRY(dl_document_child(r, &activity, "policy", &policy));
    DL_TRY(dl_document_policy(r, &policy, pipeline));
    DL_TRY(dl_document_child(r, &properties, "parameters", &parameters));
    DL_TRY(take_parameters(file, &parameters, pipeline));
    DL_TRY(dl_document_check_defaults(r, pipeline));
    *out_found = true;
    return DL_OK;
}
