/*
 * dicom_value, dicom_values: an attribute out of the metadata of a row, be it the map of the
 * instance table or DICOM JSON as text.
 *
 * This runs for every row: nothing is allocated for a value but where JSON has escapes, the path is
 * read once when it is a constant, and of a map only the tags' 8 bytes are looked at.
 */
#include "query/functions/functions.h"

#include "base/mem.h"
#include "json/json.h"

#include <string.h>

enum {
    SCRATCH_LIMIT_BYTES = 256 * 1024 * 1024, /* of the unescaped values of one chunk of rows */
    PATH_ARENA_BYTES = 1024 * 1024,
};

/* ---- what is known before the first row ---- */

typedef enum metadata_form {
    METADATA_NONE, /* NULL of no type */
    METADATA_JSON,
    METADATA_MAP, /* MAP(VARCHAR, STRUCT(vr VARCHAR, Value VARCHAR[])) */
} metadata_form;

typedef struct bound {
    dl_function_bound head;
    metadata_form form;
    size_t vr_at, value_at; /* members of the struct */
    bool constant, null;    /* of the path */
    dl_attribute_path path;
} bound;

static bool is_text(const dl_engine_api *api, duckdb_logical_type type)
{
    return api->get_type_id(type) == DUCKDB_TYPE_VARCHAR;
}

/** The members vr and Value of a struct, by name without case. */
static bool find_members(const dl_engine_api *api, duckdb_logical_type type, bound *b)
{
    bool vr = false, value = false;
    idx_t count = api->struct_type_child_count(type);
    for (idx_t i = 0; i < count; i++) {
        char *name = api->struct_type_child_name(type, i);
        duckdb_logical_type member = api->struct_type_child_type(type, i);
        if (dl_str_eq_nocase(dl_str_of(name), DL_STR("vr")) && is_text(api, member)) {
            vr = true;
            b->vr_at = i;
        } else if (dl_str_eq_nocase(dl_str_of(name), DL_STR("Value")) &&
                   api->get_type_id(member) == DUCKDB_TYPE_LIST) {
            duckdb_logical_type item = api->list_type_child_type(member);
            value = is_text(api, item);
            b->value_at = i;
            api->destroy_logical_type(&item);
        }
        api->destroy_logical_type(&member);
        api->free(name);
    }
    return vr && value;
}

static bool is_metadata_map(const dl_engine_api *api, duckdb_logical_type type, bound *b)
{
    duckdb_logical_type key = api->map_type_key_type(type);
    duckdb_logical_type value = api->map_type_value_type(type);
    bool good = is_text(api, key) && api->get_type_id(value) == DUCKDB_TYPE_STRUCT &&
                find_members(api, value, b);
    api->destroy_logical_type(&key);
    api->destroy_logical_type(&value);
    return good;
}

static dl_status bind_metadata(const dl_engine_api *api, duckdb_bind_info info, bound *b,
                               dl_error *err)
{
    duckdb_expression argument = api->scalar_function_bind_get_argument(info, 0);
    duckdb_logical_type type = api->expression_return_type(argument);
    duckdb_type id = api->get_type_id(type);
    bool good = true;
    if (id == DUCKDB_TYPE_VARCHAR) {
        b->form = METADATA_JSON;
    } else if (id == DUCKDB_TYPE_SQLNULL) {
        b->form = METADATA_NONE;
    } else {
        b->form = METADATA_MAP;
        good = id == DUCKDB_TYPE_MAP && is_metadata_map(api, type, b);
    }
    api->destroy_logical_type(&type);
    api->destroy_expression(&argument);
    if (!good) {
        (void)dl_error_set(err, DL_E_INVALID, "the first argument is no metadata");
        dl_error_hint(err, "the column metadata of the instance table, or DICOM JSON as text");
        return DL_E_INVALID;
    }
    return DL_OK;
}

static dl_status bind_path(const dl_functions *f, duckdb_bind_info info, bound *b, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(PATH_ARENA_BYTES);
    dl_str text = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(dl_function_constant(f, info, 1, arena, &b->constant, &text, err));
    b->null = b->constant && text.ptr == NULL;
    return b->constant && !b->null ? dl_attribute_path_read(text, &b->path, err) : DL_OK;
}

static void bind(duckdb_bind_info info, const char *name)
{
    const dl_functions *f = dl_functions_of_bind(info);
    dl_error err = {0};
    bound *b = dl_mem_zalloc(1, sizeof *b);
    dl_status status = b == NULL ? dl_error_set(&err, DL_E_NOMEM, "out of memory")
                                 : bind_metadata(f->api, info, b, &err);
    if (status == DL_OK) {
        status = bind_path(f, info, b, &err);
    }
    if (status != DL_OK) {
        dl_mem_free(b);
        dl_function_refuse(f, info, name, &err);
        return;
    }
    dl_function_bind(f, info, &b->head);
}

static void bind_value(duckdb_bind_info info)
{
    bind(info, "dicom_value");
}

static void bind_values(duckdb_bind_info info)
{
    bind(info, "dicom_values");
}

/* ---- a call: one chunk of rows ---- */

typedef struct call {
    const dl_functions *f;
    const bound *b;
    bool all; /* dicom_values */
    duckdb_vector output;
    size_t row;
    bool found;               /* of this row: the attribute has a Value */
    uint64_t items, capacity; /* of the list, over all rows */
    duckdb_vector child;
    dl_arena *scratch; /* made when a value needs it */
    /* the last path that a row gave */
    dl_str path_text;
    dl_attribute_path path;
    bool path_good;
    /* metadata */
    dl_function_texts json, keys, vrs, values;
    const duckdb_list_entry *maps, *lists;
    const uint64_t *maps_valid, *lists_valid, *attributes_valid;
} call;

/** One value of the row; `text` without ptr: NULL. True: no more are wanted. */
static bool put(call *c, dl_str text)
{
    const dl_engine_api *api = c->f->api;
    if (!c->all) {
        c->found = text.ptr != NULL;
        if (c->found) {
            dl_function_put_text(c->f, c->output, c->row, text);
        }
        return true;
    }
    if (c->items == c->capacity) {
        c->capacity = c->capacity == 0 ? 4096 : 2 * c->capacity;
        (void)api->list_vector_reserve(c->output, c->capacity);
    }
    if (text.ptr == NULL) {
        dl_function_put_null(c->f, c->child, c->items);
    } else {
        dl_function_put_text(c->f, c->child, c->items, text);
    }
    c->items++;
    return false;
}

/* ---- JSON ---- */

static dl_str unescape(call *c, dl_str value)
{
    dl_str text = DL_STR_NONE;
    if (memchr(value.ptr, '\\', value.len) == NULL) {
        return dl_str_slice(value, 1, value.len - 2);
    }
    if (c->scratch == NULL) {
        c->scratch = dl_arena_create(SCRATCH_LIMIT_BYTES);
    }
    return c->scratch != NULL && dl_json_text(value, c->scratch, &text, NULL) == DL_OK
               ? text
               : DL_STR_NONE;
}

static dl_str name_of_object(call *c, dl_str object, dl_name_group group)
{
    dl_str value = DL_STR_NONE;
    return dl_json_get(object, dl_name_group_word(group), &value) &&
                   dl_json_kind_of(value) == DL_JSON_STRING
               ? unescape(c, value)
               : DL_STR_NONE;
}

/** A name that is no object: as files have it. */
static dl_str name_of_text(dl_str text, dl_name_group group)
{
    dl_str part = DL_STR_NONE;
    if (memchr(text.ptr, '=', text.len) == NULL && group == DL_NAME_ALPHABETIC) {
        return text;
    }
    return dl_name_group_of(text, group, &part) ? part : DL_STR_NONE;
}

static dl_str text_of_json(call *c, const dl_attribute_path *path, bool is_name, dl_str value)
{
    switch (dl_json_kind_of(value)) {
    case DL_JSON_STRING: {
        dl_str text = unescape(c, value);
        return is_name && text.ptr != NULL ? name_of_text(text, path->group) : text;
    }
    case DL_JSON_OBJECT:
        return is_name ? name_of_object(c, value, path->group) : value;
    case DL_JSON_ARRAY:
    case DL_JSON_NUMBER:
    case DL_JSON_BOOL:
        return value;
    case DL_JSON_NULL:
    case DL_JSON_NONE:
        break;
    }
    return DL_STR_NONE;
}

static bool is_key(dl_str key, const dl_attribute_step *step)
{
    return key.len == 8 &&
           (memcmp(key.ptr, step->upper, 8) == 0 || memcmp(key.ptr, step->lower, 8) == 0);
}

/** Whether the tag's digits are in the text at all: most of a text need not be taken apart. */
static bool mentions(dl_str text, const dl_attribute_step *step)
{
    return text.len >= 8 && (memmem(text.ptr, text.len, step->upper, 8) != NULL ||
                             (memcmp(step->upper, step->lower, 8) != 0 &&
                              memmem(text.ptr, text.len, step->lower, 8) != NULL));
}

static bool find_attribute(dl_str object, const dl_attribute_step *step, dl_str *out_attribute)
{
    dl_json_iter members = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    bool found = false;
    if (!mentions(object, step)) {
        return false;
    }
    while (dl_json_next_member(&members, &key, &value)) {
        if (!is_key(key, step)) {
            continue;
        }
        *out_attribute = value;
        found = true;
        if (!mentions(members.rest, step)) { /* of several the last counts */
            break;
        }
    }
    return found;
}

typedef struct walk_frame {
    dl_json_iter items;
    int64_t at; /* of the next item */
} walk_frame;

/** The values of an attribute's step; false: it has none. */
static bool enter(dl_str object, const dl_attribute_path *path, size_t step, bool *out_name,
                  walk_frame *frame)
{
    dl_str attribute = DL_STR_NONE, vr = DL_STR_NONE, values = DL_STR_NONE;
    if (!find_attribute(object, &path->steps[step], &attribute) ||
        !dl_json_get(attribute, DL_STR("Value"), &values) ||
        dl_json_kind_of(values) != DL_JSON_ARRAY) {
        return false;
    }
    *out_name = dl_json_get(attribute, DL_STR("vr"), &vr) && dl_json_kind_of(vr) == DL_JSON_STRING
                    ? dl_str_eq(vr, DL_STR("\"PN\""))
                    : path->names;
    *frame = (walk_frame){.items = dl_json_iter_of(values)};
    return true;
}

/** Whether value number `at` is meant; `*out_last`: none behind it is. */
static bool is_meant(const call *c, const dl_attribute_step *step, int64_t at, bool *out_last)
{
    int64_t only = step->index != DL_ATTRIBUTE_ALL ? step->index : c->all ? -1 : 0;
    *out_last = only >= 0 && at >= only;
    return only < 0 || at == only;
}

/* From an object with step number `first` to its values: an explicit stack, one frame a step. */
static bool walk(call *c, const dl_attribute_path *path, dl_str object, size_t first)
{
    walk_frame frames[DL_ATTRIBUTE_STEP_LIMIT] = {0};
    bool is_name = false;
    size_t step = first;
    if (!enter(object, path, step, &is_name, &frames[step])) {
        return false;
    }
    for (;;) {
        walk_frame *frame = &frames[step];
        dl_str value = DL_STR_NONE;
        bool last = false, leaf = step + 1 == path->count;
        c->found = c->found || (leaf && c->all);
        if (!dl_json_next_element(&frame->items, &value)) {
            if (step == first) {
                return false;
            }
            step--;
            continue;
        }
        bool meant = is_meant(c, &path->steps[step], frame->at++, &last);
        if (last) {
            frame->items = dl_json_iter_of(DL_STR_NONE);
        }
        if (meant && leaf && put(c, text_of_json(c, path, is_name, value))) {
            return true;
        }
        if (meant && !leaf && enter(value, path, step + 1, &is_name, &frames[step + 1])) {
            step++;
        }
    }
}

static void run_json(call *c, const dl_attribute_path *path)
{
    dl_str text = DL_STR_NONE;
    if (dl_function_text_at(&c->json, c->row, &text)) {
        (void)walk(c, path, text, 0);
    }
}

/* ---- the map ---- */

/** The entry of a tag; of several the last, as the tables have it. */
static bool find_entry(const call *c, duckdb_list_entry map, const dl_attribute_step *step,
                       size_t *out_entry)
{
    for (uint64_t i = map.offset + map.length; i-- > map.offset;) {
        const duckdb_string_t *key = &c->keys.items[i];
        if (key->value.inlined.length == 8 &&
            (memcmp(key->value.inlined.inlined, step->upper, 8) == 0 ||
             memcmp(key->value.inlined.inlined, step->lower, 8) == 0) &&
            dl_function_valid(c->keys.validity, i)) {
            *out_entry = i;
            return true;
        }
    }
    return false;
}

/** A value of the map: text as it is, but numbers and objects are JSON. */
static dl_str text_of_map(call *c, const dl_attribute_path *path, bool is_name, size_t at)
{
    dl_str text = DL_STR_NONE;
    if (!dl_function_text_at(&c->values, at, &text) || !is_name) {
        return text;
    }
    return text.len > 0 && text.ptr[0] == '{' ? name_of_object(c, text, path->group)
                                              : name_of_text(text, path->group);
}

static void run_map(call *c, const dl_attribute_path *path)
{
    size_t entry = 0;
    if (!dl_function_valid(c->maps_valid, c->row) ||
        !find_entry(c, c->maps[c->row], &path->steps[0], &entry) ||
        !dl_function_valid(c->attributes_valid, entry) ||
        !dl_function_valid(c->lists_valid, entry)) {
        return;
    }
    dl_str vr = DL_STR_NONE;
    bool is_name =
        dl_function_text_at(&c->vrs, entry, &vr) ? dl_str_eq(vr, DL_STR("PN")) : path->names;
    bool leaf = path->count == 1, last = false, done = false;
    c->found = leaf && c->all;
    duckdb_list_entry list = c->lists[entry];
    for (uint64_t i = 0; i < list.length && !last && !done; i++) {
        size_t at = list.offset + i;
        dl_str item = DL_STR_NONE;
        if (!is_meant(c, &path->steps[0], (int64_t)i, &last)) {
            continue;
        }
        if (leaf) {
            done = put(c, text_of_map(c, path, is_name, at));
        } else if (dl_function_text_at(&c->values, at, &item)) {
            done = walk(c, path, item, 1);
        }
    }
}

/* ---- rows ---- */

static void open_map(call *c, duckdb_vector map)
{
    const dl_engine_api *api = c->f->api;
    c->maps = api->vector_get_data(map);
    c->maps_valid = api->vector_get_validity(map);
    duckdb_vector entries = api->list_vector_get_child(map);
    c->keys = dl_function_texts_of(c->f, api->struct_vector_get_child(entries, 0));
    duckdb_vector attributes = api->struct_vector_get_child(entries, 1);
    c->attributes_valid = api->vector_get_validity(attributes);
    c->vrs = dl_function_texts_of(c->f, api->struct_vector_get_child(attributes, c->b->vr_at));
    duckdb_vector lists = api->struct_vector_get_child(attributes, c->b->value_at);
    c->lists = api->vector_get_data(lists);
    c->lists_valid = api->vector_get_validity(lists);
    c->values = dl_function_texts_of(c->f, api->list_vector_get_child(lists));
}

/** The path of a row; NULL: it has none, or one that names nothing. */
static const dl_attribute_path *path_of(call *c, const dl_function_texts *paths, size_t row)
{
    dl_str text = DL_STR_NONE;
    if (c->b->constant) {
        return c->b->null ? NULL : &c->b->path;
    }
    if (!dl_function_text_at(paths, row, &text)) {
        return NULL;
    }
    if (c->path_text.ptr == NULL || !dl_str_eq(c->path_text, text)) {
        c->path_text = text;
        c->path_good = dl_attribute_path_read(text, &c->path, NULL) == DL_OK;
    }
    return c->path_good ? &c->path : NULL;
}

static void run_row(call *c, const dl_function_texts *paths)
{
    uint64_t before = c->items;
    const dl_attribute_path *path = path_of(c, paths, c->row);
    c->found = false;
    if (path != NULL && c->b->form == METADATA_MAP) {
        run_map(c, path);
    } else if (path != NULL && c->b->form == METADATA_JSON) {
        run_json(c, path);
    }
    if (c->all) {
        duckdb_list_entry *lists = c->f->api->vector_get_data(c->output);
        lists[c->row] = (duckdb_list_entry){before, c->items - before};
    }
    if (!c->found) {
        dl_function_put_null(c->f, c->output, c->row);
    }
}

static void run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output, bool all)
{
    const dl_functions *f = dl_functions_of(info);
    const dl_engine_api *api = f->api;
    call c = {.f = f, .all = all, .output = output, .b = api->scalar_function_get_bind_data(info)};
    duckdb_vector metadata = api->data_chunk_get_vector(input, 0);
    dl_function_texts paths = dl_function_texts_of(f, api->data_chunk_get_vector(input, 1));
    size_t count = api->data_chunk_get_size(input);
    if (c.b->form == METADATA_MAP) {
        open_map(&c, metadata);
    } else if (c.b->form == METADATA_JSON) {
        c.json = dl_function_texts_of(f, metadata);
    }
    c.child = all ? api->list_vector_get_child(output) : NULL;
    for (; c.row < count; c.row++) {
        run_row(&c, &paths);
    }
    if (all) {
        (void)api->list_vector_set_size(output, c.items);
    }
    dl_arena_destroy(c.scratch);
}

static void dicom_value(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    run(info, input, output, false);
}

static void dicom_values(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    run(info, input, output, true);
}

const dl_function dl_function_dicom_value = {"dicom_value",
                                             {DUCKDB_TYPE_ANY, DUCKDB_TYPE_VARCHAR},
                                             DL_FUNCTION_TEXT,
                                             bind_value,
                                             dicom_value};
const dl_function dl_function_dicom_values = {"dicom_values",
                                              {DUCKDB_TYPE_ANY, DUCKDB_TYPE_VARCHAR},
                                              DL_FUNCTION_TEXTS,
                                              bind_values,
                                              dicom_values};
