/* A commit's text to what it says. One table per action says which field goes where; what the
 * tables do not name is ignored, as the protocol wants it. */
#include "delta/internal.h"
#include "json/json.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static_assert(sizeof(int) == sizeof(int32_t), "INT fields are read as int32_t");

typedef enum kind {
    TEXT,
    LOOSE,    /* text, or the JSON text of whatever else is there */
    LONG,     /* int64_t */
    INT,      /* int32_t */
    FLAG,     /* bool */
    TRISTATE, /* int: 1, 0 */
    PAIRS,
    NAMES,
} kind;

typedef struct field {
    const char *name;
    kind kind;
    bool required;
    size_t offset;
} field;

/* clang-format off */
static const field add_fields[] = {
    {"path",                    TEXT,   true,  offsetof(dl_delta_file, path)},
    {"partitionValues",         PAIRS,  false, offsetof(dl_delta_file, partition_values)},
    {"size",                    LONG,   true,  offsetof(dl_delta_file, size_bytes)},
    {"modificationTime",        LONG,   false, offsetof(dl_delta_file, modified_ms)},
    {"dataChange",              FLAG,   false, offsetof(dl_delta_file, data_change)},
    {"stats",                   TEXT,   false, offsetof(dl_delta_file, stats)},
    {"tags",                    PAIRS,  false, offsetof(dl_delta_file, tags)},
    {"baseRowId",               LONG,   false, offsetof(dl_delta_file, base_row_id)},
    {"defaultRowCommitVersion", LONG,   false, offsetof(dl_delta_file, default_row_commit_version)},
};
static const field remove_fields[] = {
    {"path",                    TEXT,   true,  offsetof(dl_delta_file, path)},
    {"deletionTimestamp",       LONG,   false, offsetof(dl_delta_file, deletion_ms)},
    {"partitionValues",         PAIRS,  false, offsetof(dl_delta_file, partition_values)},
    {"size",                    LONG,   false, offsetof(dl_delta_file, size_bytes)},
    {"dataChange",              FLAG,   false, offsetof(dl_delta_file, data_change)},
    {"stats",                   TEXT,   false, offsetof(dl_delta_file, stats)},
    {"tags",                    PAIRS,  false, offsetof(dl_delta_file, tags)},
    {"baseRowId",               LONG,   false, offsetof(dl_delta_file, base_row_id)},
    {"defaultRowCommitVersion", LONG,   false, offsetof(dl_delta_file, default_row_commit_version)},
};
typedef struct storage {
    dl_delta_dv dv;
    dl_str type;
} storage;
static const field vector_fields[] = {
    {"storageType",    TEXT, true,  offsetof(storage, type)},
    {"pathOrInlineDv", TEXT, true,  offsetof(storage, dv.path_or_inline)},
    {"offset",         LONG, false, offsetof(storage, dv.offset)},
    {"sizeInBytes",    INT,  true,  offsetof(storage, dv.size_bytes)},
    {"cardinality",    LONG, true,  offsetof(storage, dv.cardinality)},
};
static const field protocol_fields[] = {
    {"minReaderVersion", INT,   true,  offsetof(dl_delta_protocol, min_reader)},
    {"minWriterVersion", INT,   true,  offsetof(dl_delta_protocol, min_writer)},
    {"readerFeatures",   NAMES, false, offsetof(dl_delta_protocol, reader_features)},
    {"writerFeatures",   NAMES, false, offsetof(dl_delta_protocol, writer_features)},
};
static const field metadata_fields[] = {
    {"id",               TEXT,  true,  offsetof(dl_delta_metadata, id)},
    {"name",             TEXT,  false, offsetof(dl_delta_metadata, name)},
    {"description",      TEXT,  false, offsetof(dl_delta_metadata, description)},
    {"schemaString",     TEXT,  true,  offsetof(dl_delta_metadata, schema_json)},
    {"partitionColumns", NAMES, false, offsetof(dl_delta_metadata, partition_columns)},
    {"configuration",    PAIRS, false, offsetof(dl_delta_metadata, configuration)},
    {"createdTime",      LONG,  false, offsetof(dl_delta_metadata, created_ms)},
};
static const field app_fields[] = {
    {"appId",       TEXT, true,  offsetof(dl_delta_app, app_id)},
    {"version",     LONG, true,  offsetof(dl_delta_app, version)},
    {"lastUpdated", LONG, false, offsetof(dl_delta_app, updated_ms)},
};
static const field domain_fields[] = {
    {"domain",        TEXT, true,  offsetof(dl_delta_domain, domain)},
    {"configuration", TEXT, false, offsetof(dl_delta_domain, configuration)},
    {"removed",       FLAG, false, offsetof(dl_delta_domain, removed)},
};
typedef struct info {
    dl_delta_info info;
    int64_t in_commit_ms;
} info;
static const field info_fields[] = {
    {"timestamp",           LONG,     false, offsetof(info, info.timestamp_ms)},
    {"inCommitTimestamp",   LONG,     false, offsetof(info, in_commit_ms)},
    {"operation",           LOOSE,    false, offsetof(info, info.operation)},
    {"operationParameters", PAIRS,    false, offsetof(info, info.parameters)},
    {"operationMetrics",    PAIRS,    false, offsetof(info, info.metrics)},
    {"userMetadata",        LOOSE,    false, offsetof(info, info.user_metadata)},
    {"engineInfo",          LOOSE,    false, offsetof(info, info.engine_info)},
    {"txnId",               LOOSE,    false, offsetof(info, info.txn_id)},
    {"isolationLevel",      LOOSE,    false, offsetof(info, info.isolation_level)},
    {"readVersion",         LONG,     false, offsetof(info, info.read_version)},
    {"isBlindAppend",       TRISTATE, false, offsetof(info, info.blind_append)},
};
static const field sidecar_fields[] = {
    {"path",        TEXT, true,  offsetof(dl_delta_sidecar, name)},
    {"sizeInBytes", LONG, false, offsetof(dl_delta_sidecar, size_bytes)},
};
/* clang-format on */

typedef enum action {
    ADD,
    REMOVE,
    PROTOCOL,
    METADATA,
    APP,
    DOMAIN,
    INFO,
    SIDECAR,
    ACTION_COUNT,
} action;

static const char *const action_names[ACTION_COUNT] = {
    [ADD] = "add", [REMOVE] = "remove",         [PROTOCOL] = "protocol", [METADATA] = "metaData",
    [APP] = "txn", [DOMAIN] = "domainMetadata", [INFO] = "commitInfo",   [SIDECAR] = "sidecar",
};

typedef struct item {
    action action;
    size_t line;
    dl_str body;
    struct item *next;
} item;

typedef struct parser {
    dl_arena *arena;
    dl_error *err;
    int64_t version;
    const item *item; /* being read */
    item *first, **last;
    size_t counts[ACTION_COUNT];
} parser;

static dl_status corrupt(parser *p, size_t line, const char *what)
{
    return dl_error_set(p->err, DL_E_CORRUPT, "commit %lld, line %zu: %s", (long long)p->version,
                        line, what);
}

static dl_status corrupt_field(parser *p, const char *name, const char *what)
{
    return dl_error_set(p->err, DL_E_CORRUPT, "commit %lld, line %zu: %s.%s %s",
                        (long long)p->version, p->item->line, action_names[p->item->action], name,
                        what);
}

/* ---- values ---- */

/* Where no escape stands in it, the text is the input's own. */
static dl_status read_text(parser *p, dl_str value, dl_str *out)
{
    if (value.len >= 2 && memchr(value.ptr, '\\', value.len) == NULL) {
        *out = (dl_str){value.ptr + 1, value.len - 2};
        return DL_OK;
    }
    return dl_json_text(value, p->arena, out, p->err);
}

static dl_status read_loose(parser *p, dl_str value, dl_str *out)
{
    switch (dl_json_kind_of(value)) {
    case DL_JSON_STRING:
        return read_text(p, value, out);
    case DL_JSON_NULL:
        *out = DL_STR_NONE;
        return DL_OK;
    case DL_JSON_NONE:
    case DL_JSON_OBJECT:
    case DL_JSON_ARRAY:
    case DL_JSON_NUMBER:
    case DL_JSON_BOOL:
    default:
        *out = value;
        return DL_OK;
    }
}

static dl_status read_pairs(parser *p, dl_str value, dl_delta_pairs *out)
{
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str key = DL_STR_NONE, member = DL_STR_NONE;
    size_t count = 0;
    while (dl_json_next_member(&iter, &key, &member)) {
        count++;
    }
    if (count == 0) {
        return DL_OK;
    }
    dl_delta_pair *pairs = dl_arena_alloc(p->arena, count, sizeof *pairs);
    if (pairs == NULL) {
        return dl_arena_full(p->arena, p->err);
    }
    iter = dl_json_iter_of(value);
    for (size_t i = 0; i < count && dl_json_next_member(&iter, &key, &member); i++) {
        DL_TRY(read_text(p, (dl_str){key.ptr - 1, key.len + 2}, &pairs[i].key));
        DL_TRY(read_loose(p, member, &pairs[i].value));
    }
    *out = (dl_delta_pairs){pairs, count};
    return DL_OK;
}

static dl_status read_names(parser *p, const char *name, dl_str value, dl_delta_names *out)
{
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str element = DL_STR_NONE;
    size_t count = 0;
    while (dl_json_next_element(&iter, &element)) {
        count++;
    }
    if (count == 0) {
        return DL_OK;
    }
    dl_str *names = dl_arena_alloc(p->arena, count, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(p->arena, p->err);
    }
    iter = dl_json_iter_of(value);
    for (size_t i = 0; i < count && dl_json_next_element(&iter, &element); i++) {
        if (dl_json_kind_of(element) != DL_JSON_STRING) {
            return corrupt_field(p, name, "holds something that is no text");
        }
        DL_TRY(read_text(p, element, &names[i]));
    }
    *out = (dl_delta_names){names, count};
    return DL_OK;
}

static dl_status read_number(parser *p, const field *f, dl_str value, void *out)
{
    int64_t number = 0;
    if (!dl_json_int_of(value, &number)) {
        return corrupt_field(p, f->name, "is no integer");
    }
    if (f->kind == LONG) {
        memcpy(out, &number, sizeof number);
        return DL_OK;
    }
    if (number < INT32_MIN || number > INT32_MAX) {
        return corrupt_field(p, f->name, "is beyond 32 bits");
    }
    int32_t small = (int32_t)number;
    memcpy(out, &small, sizeof small);
    return DL_OK;
}

static dl_status read_flag(parser *p, const field *f, dl_str value, void *out)
{
    bool flag = false;
    if (!dl_json_bool_of(value, &flag)) {
        return corrupt_field(p, f->name, "is neither true nor false");
    }
    if (f->kind == FLAG) {
        memcpy(out, &flag, sizeof flag);
    } else {
        int three = flag ? 1 : 0;
        memcpy(out, &three, sizeof three);
    }
    return DL_OK;
}

static dl_status read_value(parser *p, const field *f, dl_str value, void *out)
{
    static const dl_json_kind kinds[] = {
        [TEXT] = DL_JSON_STRING, [PAIRS] = DL_JSON_OBJECT, [NAMES] = DL_JSON_ARRAY};
    if ((f->kind == TEXT || f->kind == PAIRS || f->kind == NAMES) &&
        dl_json_kind_of(value) != kinds[f->kind]) {
        return corrupt_field(p, f->name,
                             f->kind == TEXT    ? "is no text"
                             : f->kind == PAIRS ? "is no object"
                                                : "is no array");
    }
    switch (f->kind) {
    case TEXT:
        return read_text(p, value, out);
    case LOOSE:
        return read_loose(p, value, out);
    case LONG:
    case INT:
        return read_number(p, f, value, out);
    case FLAG:
    case TRISTATE:
        return read_flag(p, f, value, out);
    case PAIRS:
        return read_pairs(p, value, out);
    case NAMES:
        return read_names(p, f->name, value, out);
    default:
        return corrupt_field(p, f->name, "cannot stand here");
    }
}

static dl_status read_fields(parser *p, dl_str object, const field *fields, size_t count,
                             void *target)
{
    uint32_t seen = 0;
    dl_json_iter iter = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&iter, &key, &value)) {
        if (dl_json_kind_of(value) == DL_JSON_NULL) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (dl_str_eq(key, dl_str_of(fields[i].name))) {
                void *out = (char *)target + fields[i].offset;
                DL_TRY(read_value(p, &fields[i], value, out));
                seen |= 1U << i;
                break;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (fields[i].required && (seen & 1U << i) == 0) {
            return corrupt_field(p, fields[i].name, "is missing");
        }
    }
    return DL_OK;
}

static dl_status read_vector(parser *p, dl_delta_dv *out)
{
    static const char name[] = "deletionVector";
    dl_str value = DL_STR_NONE;
    storage s = {.dv = {.offset = -1}};
    if (!dl_json_get(p->item->body, dl_str_of(name), &value) ||
        dl_json_kind_of(value) == DL_JSON_NULL) {
        return DL_OK;
    }
    if (dl_json_kind_of(value) != DL_JSON_OBJECT) {
        return corrupt_field(p, name, "is no object");
    }
    DL_TRY(read_fields(p, value, vector_fields, DL_COUNT_OF(vector_fields), &s));
    if (s.type.len != 1 || memchr("upi", s.type.ptr[0], 3) == NULL) {
        return dl_error_set(p->err, DL_E_UNSUPPORTED,
                            "commit %lld, line %zu: deletion vectors of storage type '%.*s' are "
                            "not known",
                            (long long)p->version, p->item->line, DL_STR_ARG(s.type));
    }
    if (s.dv.size_bytes < 0 || s.dv.cardinality < 0 || s.dv.offset < -1) {
        return corrupt_field(p, name, "has a negative size");
    }
    s.dv.storage = s.type.ptr[0];
    *out = s.dv;
    return DL_OK;
}

/* ---- actions ---- */

static dl_status read_file(parser *p, dl_delta_file *out)
{
    bool add = p->item->action == ADD;
    dl_delta_file file = {.data_change = true,
                          .row_count = -1,
                          .base_row_id = -1,
                          .default_row_commit_version = -1,
                          .deletion_ms = -1};
    DL_TRY(add ? read_fields(p, p->item->body, add_fields, DL_COUNT_OF(add_fields), &file)
               : read_fields(p, p->item->body, remove_fields, DL_COUNT_OF(remove_fields), &file));
    DL_TRY(read_vector(p, &file.dv));
    if (file.path.len == 0) {
        return corrupt_field(p, "path", "is empty");
    }
    if (file.size_bytes < 0) {
        return corrupt_field(p, "size", "is negative");
    }
    dl_status status = dl_delta_path_decode(file.path, p->arena, &file.path, p->err);
    if (status != DL_OK) {
        return dl_error_within(p->err, status, "reading commit %lld, line %zu",
                               (long long)p->version, p->item->line);
    }
    if (!dl_str_is_utf8(file.path)) { /* no store has such a key, no log could say it again */
        return corrupt_field(p, "path", "is not UTF-8");
    }
    if (file.stats.ptr != NULL) {
        file.row_count = dl_delta_stats_rows(file.stats);
    }
    *out = file;
    return DL_OK;
}

static dl_status read_metadata(parser *p, dl_delta_metadata *out)
{
    dl_str format = DL_STR_NONE, provider = DL_STR_NONE, name = DL_STR_NONE;
    DL_TRY(read_fields(p, p->item->body, metadata_fields, DL_COUNT_OF(metadata_fields), out));
    if (dl_json_get(p->item->body, DL_STR("format"), &format) &&
        dl_json_get(format, DL_STR("provider"), &provider) &&
        dl_json_kind_of(provider) == DL_JSON_STRING) {
        DL_TRY(read_text(p, provider, &name));
        if (!dl_str_eq_nocase(name, DL_STR("parquet"))) {
            return dl_error_set(p->err, DL_E_UNSUPPORTED,
                                "commit %lld: the files of this table are '%.*s', not parquet",
                                (long long)p->version, DL_STR_ARG(name));
        }
    }
    return DL_OK;
}

static dl_status read_info(parser *p, dl_delta_info *out)
{
    info got = {.info = *out, .in_commit_ms = -1};
    DL_TRY(read_fields(p, p->item->body, info_fields, DL_COUNT_OF(info_fields), &got));
    if (got.in_commit_ms >= 0) {
        got.info.timestamp_ms = got.in_commit_ms;
        got.info.in_commit = true;
    }
    *out = got.info;
    return DL_OK;
}

static dl_status read_sidecar(parser *p, dl_delta_sidecar *out)
{
    DL_TRY(read_fields(p, p->item->body, sidecar_fields, DL_COUNT_OF(sidecar_fields), out));
    return dl_delta_path_decode(out->name, p->arena, &out->name, p->err);
}

/* ---- lines ---- */

/* Length of the object at text[0]; 0 when it does not end. Lines within it are counted. */
static size_t object_length(dl_str text, size_t *out_lines)
{
    size_t depth = 0, lines = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n') {
            lines++;
        }
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
            if (depth == 0) {
                *out_lines = lines;
                return i + 1;
            }
        }
    }
    return 0;
}

/* Every action that we know of one object; the protocol says that there is one. */
static dl_status note_actions(parser *p, dl_str object, size_t line)
{
    dl_json_iter iter = dl_json_iter_of(object);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&iter, &key, &value)) {
        action which = ADD;
        while (which < ACTION_COUNT && !dl_str_eq(key, dl_str_of(action_names[which]))) {
            which++;
        }
        if (which == ACTION_COUNT || dl_json_kind_of(value) == DL_JSON_NULL) {
            continue;
        }
        if (dl_json_kind_of(value) != DL_JSON_OBJECT) {
            return dl_error_set(p->err, DL_E_CORRUPT, "commit %lld, line %zu: %s is no object",
                                (long long)p->version, line, action_names[which]);
        }
        item *it = dl_arena_alloc(p->arena, 1, sizeof *it);
        if (it == NULL) {
            return dl_arena_full(p->arena, p->err);
        }
        *it = (item){which, line, value, NULL};
        *p->last = it;
        p->last = &it->next;
        p->counts[which]++;
    }
    return DL_OK;
}

static dl_status split(parser *p, dl_str text)
{
    size_t line = 1;
    for (size_t at = 0; at < text.len;) {
        char c = text.ptr[at];
        if (c == '\n' || c == '\r' || c == ' ' || c == '\t') {
            line += c == '\n' ? 1 : 0;
            at++;
            continue;
        }
        if (c != '{') {
            return corrupt(p, line, "this is no JSON object");
        }
        size_t lines = 0;
        size_t len = object_length(dl_str_slice(text, at, SIZE_MAX), &lines);
        if (len == 0) {
            return corrupt(p, line, "torn: the JSON object does not end");
        }
        dl_str object = {text.ptr + at, len};
        dl_error cause = {0};
        if (dl_json_check(object, &cause) != DL_OK) {
            return corrupt(p, line, cause.message);
        }
        DL_TRY(note_actions(p, object, line));
        line += lines;
        at += len;
    }
    return DL_OK;
}

/* ---- a commit ---- */

typedef struct lists {
    dl_delta_protocol *protocol;
    dl_delta_metadata *metadata;
    dl_delta_file *adds, *removes;
    dl_delta_app *apps;
    dl_delta_domain *domains;
    dl_delta_sidecar *sidecars;
    size_t filled[ACTION_COUNT];
} lists;

static bool make(parser *p, action which, size_t size, void *out)
{
    void *room = NULL;
    if (p->counts[which] > 0) {
        room = dl_arena_alloc(p->arena, p->counts[which], size);
        if (room == NULL) {
            return false;
        }
    }
    memcpy(out, &room, sizeof room);
    return true;
}

static dl_status make_lists(parser *p, lists *l)
{
    if (!make(p, ADD, sizeof *l->adds, &l->adds) ||
        !make(p, REMOVE, sizeof *l->removes, &l->removes) ||
        !make(p, PROTOCOL, sizeof *l->protocol, &l->protocol) ||
        !make(p, METADATA, sizeof *l->metadata, &l->metadata) ||
        !make(p, APP, sizeof *l->apps, &l->apps) ||
        !make(p, DOMAIN, sizeof *l->domains, &l->domains) ||
        !make(p, SIDECAR, sizeof *l->sidecars, &l->sidecars)) {
        return dl_arena_full(p->arena, p->err);
    }
    return DL_OK;
}

static dl_status read_item(parser *p, lists *l, dl_delta_info *out_info)
{
    dl_str body = p->item->body;
    size_t at = l->filled[p->item->action]++;
    switch (p->item->action) {
    case ADD:
        return read_file(p, &l->adds[at]);
    case REMOVE:
        return read_file(p, &l->removes[at]);
    case PROTOCOL:
        if (at > 0) {
            return corrupt(p, p->item->line, "a second protocol");
        }
        return read_fields(p, body, protocol_fields, DL_COUNT_OF(protocol_fields), l->protocol);
    case METADATA:
        if (at > 0) {
            return corrupt(p, p->item->line, "a second metaData");
        }
        return read_metadata(p, l->metadata);
    case APP:
        l->apps[at].updated_ms = -1;
        return read_fields(p, body, app_fields, DL_COUNT_OF(app_fields), &l->apps[at]);
    case DOMAIN:
        return read_fields(p, body, domain_fields, DL_COUNT_OF(domain_fields), &l->domains[at]);
    case INFO:
        return at > 0 ? DL_OK : read_info(p, out_info);
    case SIDECAR:
        return read_sidecar(p, &l->sidecars[at]);
    case ACTION_COUNT:
    default:
        return DL_OK;
    }
}

dl_status dl_delta_actions_parse_checkpoint(dl_str text, int64_t version, dl_arena *arena,
                                            dl_delta_commit *out_commit,
                                            dl_delta_sidecars *out_sidecars, dl_error *err)
{
    parser p = {.arena = arena, .err = err, .version = version};
    p.last = &p.first;
    DL_TRY(split(&p, text));
    lists l = {0};
    DL_TRY(make_lists(&p, &l));
    dl_delta_info parsed = {
        .version = version, .timestamp_ms = -1, .read_version = -1, .blind_append = -1};
    for (p.item = p.first; p.item != NULL; p.item = p.item->next) {
        DL_TRY(read_item(&p, &l, &parsed));
    }
    *out_commit = (dl_delta_commit){
        .info = parsed,
        .protocol = l.protocol,
        .metadata = l.metadata,
        .apps = l.apps,
        .app_count = p.counts[APP],
        .domains = l.domains,
        .domain_count = p.counts[DOMAIN],
        .adds = l.adds,
        .add_count = p.counts[ADD],
        .removes = l.removes,
        .remove_count = p.counts[REMOVE],
    };
    *out_sidecars = (dl_delta_sidecars){l.sidecars, p.counts[SIDECAR]};
    return DL_OK;
}

dl_status dl_delta_actions_parse(dl_str text, int64_t version, dl_arena *arena,
                                 dl_delta_commit *out_commit, dl_error *err)
{
    dl_delta_sidecars sidecars = {0};
    return dl_delta_actions_parse_checkpoint(text, version, arena, out_commit, &sidecars, err);
}
