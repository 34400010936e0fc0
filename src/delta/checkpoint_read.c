/* Checkpoints: the actions of a snapshot as rows of Parquet, one column an action (protocol,
 * "Checkpoints"): in one file, in parts, or (v2) with files in sidecars, and then also as JSON.
 * First what is small (protocol, metadata, applications, domains, sidecars), then the files: their
 * struct statistics need the schema, and are read only where the JSON text is missing. */
#include "delta/checkpoint.h"

#include <string.h>

enum {
    ARENA_LIMIT_BYTES = 1024 * 1024 * 1024,
    SIDECAR_LIMIT = 1000000,
};

/* clang-format off */
#define TEXT_FIELD(n) {.name = {n, sizeof(n) - 1}, .type = DL_COLUMNAR_STRING}
#define LONG_FIELD(n) {.name = {n, sizeof(n) - 1}, .type = DL_COLUMNAR_INT64}
#define BOOL_FIELD(n) {.name = {n, sizeof(n) - 1}, .type = DL_COLUMNAR_BOOL}
#define NEST_FIELD(n, kind, of) \
    {.name = {n, sizeof(n) - 1}, .type = (kind), .children = (of), .child_count = DL_COUNT_OF(of)}

static const dl_columnar_field text_pair[] = {
    {.name = {"key", 3}, .type = DL_COLUMNAR_STRING, .required = true}, TEXT_FIELD("value")};
static const dl_columnar_field text_element[] = {TEXT_FIELD("element")};
static const dl_columnar_field vector_fields[] = {
    TEXT_FIELD("storageType"), TEXT_FIELD("pathOrInlineDv"), LONG_FIELD("offset"),
    LONG_FIELD("sizeInBytes"), LONG_FIELD("cardinality")};

static const dl_columnar_field protocol_fields[] = {
    LONG_FIELD("minReaderVersion"), LONG_FIELD("minWriterVersion"),
    NEST_FIELD("readerFeatures", DL_COLUMNAR_LIST, text_element),
    NEST_FIELD("writerFeatures", DL_COLUMNAR_LIST, text_element)};
static const dl_columnar_field format_fields[] = {TEXT_FIELD("provider")};
static const dl_columnar_field metadata_fields[] = {
    TEXT_FIELD("id"), TEXT_FIELD("name"), TEXT_FIELD("description"), TEXT_FIELD("schemaString"),
    LONG_FIELD("createdTime"), NEST_FIELD("format", DL_COLUMNAR_STRUCT, format_fields),
    NEST_FIELD("partitionColumns", DL_COLUMNAR_LIST, text_element),
    NEST_FIELD("configuration", DL_COLUMNAR_MAP, text_pair)};
static const dl_columnar_field app_fields[] = {
    TEXT_FIELD("appId"), LONG_FIELD("version"), LONG_FIELD("lastUpdated")};
static const dl_columnar_field domain_fields[] = {
    TEXT_FIELD("domain"), TEXT_FIELD("configuration"), BOOL_FIELD("removed")};
static const dl_columnar_field sidecar_fields[] = {TEXT_FIELD("path"), LONG_FIELD("sizeInBytes")};
static const dl_columnar_field head_fields[] = {
    NEST_FIELD("protocol", DL_COLUMNAR_STRUCT, protocol_fields),
    NEST_FIELD("metaData", DL_COLUMNAR_STRUCT, metadata_fields),
    NEST_FIELD("txn", DL_COLUMNAR_STRUCT, app_fields),
    NEST_FIELD("domainMetadata", DL_COLUMNAR_STRUCT, domain_fields),
    NEST_FIELD("sidecar", DL_COLUMNAR_STRUCT, sidecar_fields)};
/* The leaves of head_fields. */
enum {
    P_READER, P_WRITER, P_READER_FEATURES, P_WRITER_FEATURES,
    M_ID, M_NAME, M_DESCRIPTION, M_SCHEMA, M_CREATED, M_PROVIDER, M_PARTITION_COLUMNS,
    M_CONFIG_KEY, M_CONFIG_VALUE,
    T_APP, T_VERSION, T_UPDATED,
    D_DOMAIN, D_CONFIGURATION, D_REMOVED,
    S_PATH, S_SIZE,
    HEAD_LEAVES,
};

static const dl_columnar_field remove_fields[] = {
    TEXT_FIELD("path"), LONG_FIELD("size"), BOOL_FIELD("dataChange"),
    NEST_FIELD("partitionValues", DL_COLUMNAR_MAP, text_pair),
    NEST_FIELD("deletionVector", DL_COLUMNAR_STRUCT, vector_fields),
    LONG_FIELD("deletionTimestamp")};
static const dl_columnar_field add_fields[] = {
    TEXT_FIELD("path"), LONG_FIELD("size"), BOOL_FIELD("dataChange"),
    NEST_FIELD("partitionValues", DL_COLUMNAR_MAP, text_pair),
    NEST_FIELD("deletionVector", DL_COLUMNAR_STRUCT, vector_fields),
    LONG_FIELD("modificationTime"), NEST_FIELD("tags", DL_COLUMNAR_MAP, text_pair),
    LONG_FIELD("baseRowId"), LONG_FIELD("defaultRowCommitVersion"), TEXT_FIELD("stats")};
/* The leaves of a file, from its first one on; what stands in the log's both actions comes first. */
enum {
    F_PATH, F_SIZE, F_CHANGE, F_PART_KEY, F_PART_VALUE,
    F_DV_TYPE, F_DV_PATH, F_DV_OFFSET, F_DV_SIZE, F_DV_CARDINALITY,
    R_DELETED, REMOVE_LEAVES,
    A_MODIFIED = R_DELETED, A_TAG_KEY, A_TAG_VALUE, A_BASE_ROW, A_ROW_COMMIT, A_STATS, ADD_LEAVES,
};
/* clang-format on */

typedef struct reader {
    dl_delta_table *table;
    int64_t version;
    dl_arena *arena; /* lives as long as the reader */
    dl_columnar_leaf *leaves;
    size_t leaf_count;
    size_t *begins, *ends;   /* of the row's entries, one a leaf */
    dl_delta_parsed *parsed; /* struct statistics are read too; NULL: not yet */
    size_t lacking;          /* files without what `parsed` would give */
    dl_delta_sidecar *sidecars;
    size_t sidecar_count, sidecar_room;
} reader;

/* ---- entries of a row ---- */

static void next_row(reader *r, const dl_columnar_batch *batch)
{
    for (size_t i = 0; i < r->leaf_count; i++) {
        const dl_columnar_entries *e = &batch->leaves[i];
        size_t end = r->ends[i] + 1;
        while (e->rep != NULL && end < e->count && e->rep[end] > 0) {
            end++;
        }
        r->begins[i] = r->ends[i];
        r->ends[i] = end;
    }
}

static bool has(const reader *r, const dl_columnar_batch *batch, size_t leaf)
{
    return batch->leaves[leaf].def[r->begins[leaf]] == r->leaves[leaf].max_def;
}

static dl_str text_of(const reader *r, const dl_columnar_batch *batch, size_t leaf)
{
    return has(r, batch, leaf) ? batch->leaves[leaf].values[r->begins[leaf]].s : DL_STR_NONE;
}

static int64_t int_of(const reader *r, const dl_columnar_batch *batch, size_t leaf,
                      int64_t otherwise)
{
    return has(r, batch, leaf) ? batch->leaves[leaf].values[r->begins[leaf]].i : otherwise;
}

/* How many entries of the list or map are there: an empty one has a row's entry, but not its own.
 */
static size_t count_of(const reader *r, const dl_columnar_batch *batch, size_t leaf,
                       unsigned element_def)
{
    const dl_columnar_entries *e = &batch->leaves[leaf];
    return e->def[r->begins[leaf]] >= element_def ? r->ends[leaf] - r->begins[leaf] : 0;
}

static dl_status names_of(const reader *r, const dl_columnar_batch *batch, size_t leaf,
                          dl_arena *arena, dl_delta_names *out, dl_error *err)
{
    const dl_columnar_entries *e = &batch->leaves[leaf];
    size_t count = count_of(r, batch, leaf, r->leaves[leaf].max_def - 1U);
    dl_str *items = dl_arena_alloc(arena, count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t kept = 0;
    for (size_t i = r->begins[leaf]; i < r->begins[leaf] + count; i++) {
        if (e->def[i] == r->leaves[leaf].max_def) {
            items[kept++] = e->values[i].s;
        }
    }
    *out = (dl_delta_names){items, kept};
    return DL_OK;
}

static dl_status pairs_of(const reader *r, const dl_columnar_batch *batch, size_t key_leaf,
                          dl_arena *arena, dl_delta_pairs *out, dl_error *err)
{
    const dl_columnar_entries *keys = &batch->leaves[key_leaf];
    const dl_columnar_entries *values = &batch->leaves[key_leaf + 1];
    size_t count = count_of(r, batch, key_leaf, r->leaves[key_leaf].max_def);
    size_t first_key = r->begins[key_leaf], first_value = r->begins[key_leaf + 1];
    if (count > r->ends[key_leaf + 1] - first_value) {
        return dl_error_set(err, DL_E_CORRUPT, "a map with more keys than values");
    }
    if (count == 0) {
        *out = (dl_delta_pairs){0};
        return DL_OK;
    }
    dl_delta_pair *items = dl_arena_alloc(arena, count, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        bool there = values->def[first_value + i] == r->leaves[key_leaf + 1].max_def;
        items[i].key = keys->values[first_key + i].s;
        items[i].value = there ? values->values[first_value + i].s : DL_STR_NONE;
    }
    *out = (dl_delta_pairs){items, count};
    return DL_OK;
}

/* ---- protocol, metadata, applications, domains, sidecars ---- */

typedef struct heads {
    dl_arena *arena;
    dl_delta_commit commit;
    dl_delta_protocol protocol;
    dl_delta_metadata metadata;
    dl_delta_app *apps;
    dl_delta_domain *domains;
} heads;

static dl_status take_protocol(const reader *r, const dl_columnar_batch *b, heads *h, dl_error *err)
{
    int64_t reading = int_of(r, b, P_READER, -1), writing = int_of(r, b, P_WRITER, -1);
    if (reading < 0 && writing < 0) {
        return DL_OK;
    }
    if (reading < 0 || reading > INT32_MAX || writing < 0 || writing > INT32_MAX) {
        return dl_error_set(err, DL_E_CORRUPT, "a protocol without its versions");
    }
    h->protocol.min_reader = (int)reading;
    h->protocol.min_writer = (int)writing;
    DL_TRY(names_of(r, b, P_READER_FEATURES, h->arena, &h->protocol.reader_features, err));
    DL_TRY(names_of(r, b, P_WRITER_FEATURES, h->arena, &h->protocol.writer_features, err));
    h->commit.protocol = &h->protocol;
    return DL_OK;
}

static dl_status take_metadata(const reader *r, const dl_columnar_batch *b, heads *h, dl_error *err)
{
    if (!has(r, b, M_SCHEMA)) {
        return DL_OK;
    }
    dl_str provider = text_of(r, b, M_PROVIDER);
    if (provider.ptr != NULL && !dl_str_eq_nocase(provider, DL_STR("parquet"))) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the files of this table are '%.*s', not parquet",
                            DL_STR_ARG(provider));
    }
    h->metadata = (dl_delta_metadata){.id = text_of(r, b, M_ID),
                                      .name = text_of(r, b, M_NAME),
                                      .description = text_of(r, b, M_DESCRIPTION),
                                      .schema_json = text_of(r, b, M_SCHEMA),
                                      .created_ms = int_of(r, b, M_CREATED, 0)};
    DL_TRY(names_of(r, b, M_PARTITION_COLUMNS, h->arena, &h->metadata.partition_columns, err));
    DL_TRY(pairs_of(r, b, M_CONFIG_KEY, h->arena, &h->metadata.configuration, err));
    h->commit.metadata = &h->metadata;
    return DL_OK;
}

static dl_status add_sidecar(reader *r, dl_str path, int64_t size_bytes, dl_error *err)
{
    dl_str name = DL_STR_NONE;
    if (r->sidecar_count == SIDECAR_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "a checkpoint with more than %d sidecars",
                            SIDECAR_LIMIT);
    }
    if (r->sidecar_count == r->sidecar_room) {
        size_t room = r->sidecar_room == 0 ? 16 : 2 * r->sidecar_room;
        dl_delta_sidecar *grown = dl_arena_alloc(r->arena, room, sizeof *grown);
        if (grown == NULL) {
            return dl_arena_full(r->arena, err);
        }
        if (r->sidecar_count > 0) {
            memcpy(grown, r->sidecars, r->sidecar_count * sizeof *grown);
        }
        r->sidecars = grown;
        r->sidecar_room = room;
    }
    DL_TRY(dl_arena_copy(r->arena, path, &name, err));
    r->sidecars[r->sidecar_count++] = (dl_delta_sidecar){name, size_bytes};
    return DL_OK;
}

static dl_status take_sidecar(reader *r, const dl_columnar_batch *b, dl_arena *arena, dl_error *err)
{
    dl_str path = text_of(r, b, S_PATH);
    if (path.ptr == NULL) {
        return DL_OK;
    }
    DL_TRY(dl_delta_path_decode(path, arena, &path, err));
    return add_sidecar(r, path, int_of(r, b, S_SIZE, -1), err);
}

static dl_status take_head_row(reader *r, const dl_columnar_batch *b, heads *h, dl_error *err)
{
    DL_TRY(take_protocol(r, b, h, err));
    DL_TRY(take_metadata(r, b, h, err));
    if (has(r, b, T_APP)) {
        h->apps[h->commit.app_count++] = (dl_delta_app){
            text_of(r, b, T_APP), int_of(r, b, T_VERSION, -1), int_of(r, b, T_UPDATED, -1)};
    }
    if (has(r, b, D_DOMAIN)) {
        h->domains[h->commit.domain_count++] =
            (dl_delta_domain){text_of(r, b, D_DOMAIN), text_of(r, b, D_CONFIGURATION),
                              int_of(r, b, D_REMOVED, 0) != 0};
    }
    return take_sidecar(r, b, h->arena, err);
}

static dl_status take_heads(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    reader *r = context;
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    heads h = {.arena = arena};
    h.apps = dl_arena_alloc(arena, batch->row_count + 1, sizeof *h.apps);
    h.domains = dl_arena_alloc(arena, batch->row_count + 1, sizeof *h.domains);
    if (h.apps == NULL || h.domains == NULL) {
        return dl_arena_full(arena, err);
    }
    memset(r->ends, 0, r->leaf_count * sizeof *r->ends);
    for (size_t i = 0; i < batch->row_count; i++) {
        next_row(r, batch);
        DL_TRY(take_head_row(r, batch, &h, err));
    }
    h.commit.info.version = r->version;
    h.commit.apps = h.apps;
    h.commit.domains = h.domains;
    return dl_delta_live_apply(r->table->live, &h.commit, err);
}

/* ---- files ---- */

static dl_status take_vector(const reader *r, const dl_columnar_batch *b, size_t first,
                             dl_delta_dv *out, dl_error *err)
{
    dl_str type = text_of(r, b, first + F_DV_TYPE);
    if (type.ptr == NULL) {
        return DL_OK;
    }
    if (type.len != 1 || memchr("upi", type.ptr[0], 3) == NULL) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "deletion vectors of storage type '%.*s' are not known",
                            DL_STR_ARG(type));
    }
    int64_t size = int_of(r, b, first + F_DV_SIZE, -1);
    out->storage = type.ptr[0];
    out->path_or_inline = text_of(r, b, first + F_DV_PATH);
    out->offset = int_of(r, b, first + F_DV_OFFSET, -1);
    out->cardinality = int_of(r, b, first + F_DV_CARDINALITY, -1);
    out->size_bytes = (int32_t)size;
    if (out->path_or_inline.ptr == NULL || size < 0 || size > INT32_MAX || out->offset < -1 ||
        out->cardinality < 0) {
        return dl_error_set(err, DL_E_CORRUPT, "a deletion vector without its place or size");
    }
    return DL_OK;
}

/* What add and remove have in common. */
static dl_status take_file(const reader *r, const dl_columnar_batch *b, size_t first,
                           dl_arena *arena, dl_delta_file *out, dl_error *err)
{
    *out = (dl_delta_file){
        .row_count = -1, .base_row_id = -1, .default_row_commit_version = -1, .deletion_ms = -1};
    DL_TRY(dl_delta_path_decode(text_of(r, b, first + F_PATH), arena, &out->path, err));
    out->size_bytes = int_of(r, b, first + F_SIZE, 0);
    out->data_change = int_of(r, b, first + F_CHANGE, 0) != 0;
    if (out->path.len == 0 || !dl_str_is_utf8(out->path) || out->size_bytes < 0) {
        return dl_error_set(err, DL_E_CORRUPT, "a file with no path or a negative size");
    }
    DL_TRY(pairs_of(r, b, first + F_PART_KEY, arena, &out->partition_values, err));
    return take_vector(r, b, first, &out->dv, err);
}

static dl_status take_add(reader *r, const dl_columnar_batch *b, dl_arena *arena,
                          dl_delta_file *out, dl_error *err)
{
    DL_TRY(take_file(r, b, 0, arena, out, err));
    out->modified_ms = int_of(r, b, A_MODIFIED, 0);
    DL_TRY(pairs_of(r, b, A_TAG_KEY, arena, &out->tags, err));
    out->base_row_id = int_of(r, b, A_BASE_ROW, -1);
    out->default_row_commit_version = int_of(r, b, A_ROW_COMMIT, -1);
    out->stats = text_of(r, b, A_STATS);
    bool no_values = b->leaves[F_PART_KEY].def[r->begins[F_PART_KEY]] + 1U <
                     r->leaves[F_PART_KEY].max_def; /* the map itself is NULL */
    if (r->parsed != NULL) {
        dl_delta_parsed_row row = {b->leaves + ADD_LEAVES, r->begins + ADD_LEAVES};
        if (out->stats.ptr == NULL) {
            DL_TRY(dl_delta_parsed_stats(r->parsed, &row, arena, &out->stats, err));
        }
        if (no_values) {
            DL_TRY(dl_delta_parsed_values(r->parsed, &row, arena, &out->partition_values, err));
        }
    } else if (out->stats.ptr == NULL || no_values) {
        r->lacking++;
    }
    if (out->stats.ptr != NULL) {
        out->row_count = dl_delta_stats_rows(out->stats);
    }
    return DL_OK;
}

/* The files of a batch. */
typedef struct files {
    dl_arena *arena;
    dl_delta_commit commit;
    dl_delta_file *adds, *removes;
} files;

static dl_status take_file_row(reader *r, const dl_columnar_batch *b, files *f, dl_error *err)
{
    size_t remove_first = r->leaf_count - REMOVE_LEAVES;
    if (has(r, b, F_PATH)) {
        return take_add(r, b, f->arena, &f->adds[f->commit.add_count++], err);
    }
    if (has(r, b, remove_first + F_PATH)) {
        dl_delta_file *file = &f->removes[f->commit.remove_count++];
        DL_TRY(take_file(r, b, remove_first, f->arena, file, err));
        file->deletion_ms = int_of(r, b, remove_first + R_DELETED, -1);
    }
    return DL_OK;
}

static dl_status take_files(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    reader *r = context;
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    files f = {.arena = arena, .commit.info.version = r->version};
    f.adds = dl_arena_alloc(arena, batch->row_count + 1, sizeof *f.adds);
    f.removes = dl_arena_alloc(arena, batch->row_count + 1, sizeof *f.removes);
    if (f.adds == NULL || f.removes == NULL) {
        return dl_arena_full(arena, err);
    }
    memset(r->ends, 0, r->leaf_count * sizeof *r->ends);
    for (size_t i = 0; i < batch->row_count; i++) {
        next_row(r, batch);
        DL_TRY(take_file_row(r, batch, &f, err));
    }
    f.commit.adds = f.adds;
    f.commit.removes = f.removes;
    DL_TRY(dl_delta_relative_paths(r->table, &f.commit, arena, err));
    return dl_delta_live_apply(r->table->live, &f.commit, err);
}

/* ---- passes over a file ---- */

static dl_status scan(reader *r, dl_str relative, const dl_columnar_field *fields, size_t count,
                      dl_status (*visit)(void *context, const dl_columnar_batch *batch,
                                         dl_error *err),
                      dl_error *err)
{
    dl_str key = DL_STR_NONE, location = DL_STR_NONE;
    DL_TRY(dl_columnar_leaves(fields, count, r->arena, &r->leaves, &r->leaf_count, err));
    r->begins = dl_arena_alloc(r->arena, r->leaf_count, sizeof *r->begins);
    r->ends = dl_arena_alloc(r->arena, r->leaf_count, sizeof *r->ends);
    if (r->begins == NULL || r->ends == NULL) {
        return dl_arena_full(r->arena, err);
    }
    DL_TRY(dl_delta_key(r->table, relative, r->arena, &key, err));
    DL_TRY(dl_store_location(r->table->open.store, key, r->arena, &location, err));
    dl_columnar_scan wanted = {.location = location,
                               .fields = fields,
                               .field_count = count,
                               .cancel = r->table->open.cancel};
    dl_status status = dl_columnar_read(r->table->open.engine, &wanted, visit, r, err);
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status, "reading %.*s", DL_STR_ARG(relative));
}

static dl_status scan_heads(reader *r, dl_str relative, dl_error *err)
{
    DL_TRY(scan(r, relative, head_fields, DL_COUNT_OF(head_fields), take_heads, err));
    DL_ASSERT(r->leaf_count == HEAD_LEAVES);
    return DL_OK;
}

static dl_status scan_files(reader *r, dl_str relative, dl_error *err)
{
    const dl_columnar_field plain[] = {NEST_FIELD("add", DL_COLUMNAR_STRUCT, add_fields),
                                       NEST_FIELD("remove", DL_COLUMNAR_STRUCT, remove_fields)};
    r->parsed = NULL;
    r->lacking = 0;
    DL_TRY(scan(r, relative, plain, DL_COUNT_OF(plain), take_files, err));
    DL_ASSERT(r->leaf_count == (size_t)ADD_LEAVES + REMOVE_LEAVES);
    const dl_delta_metadata *metadata = dl_delta_live_metadata(r->table->live);
    if (r->lacking == 0 || metadata == NULL) {
        return DL_OK;
    }
    /* Once more, with the structs: what is applied twice is the same. */
    dl_columnar_field more[2] = {plain[0], plain[1]};
    DL_TRY(dl_delta_parsed_create(metadata, r->arena, &r->parsed, err));
    dl_columnar_field *fields =
        dl_arena_alloc(r->arena, DL_COUNT_OF(add_fields) + 2, sizeof *fields);
    if (fields == NULL) {
        return dl_arena_full(r->arena, err);
    }
    memcpy(fields, add_fields, sizeof add_fields);
    more[0].children = fields;
    more[0].child_count = DL_COUNT_OF(add_fields) +
                          dl_delta_parsed_fields(r->parsed, fields + DL_COUNT_OF(add_fields));
    dl_status status = scan(r, relative, more, DL_COUNT_OF(more), take_files, err);
    r->parsed = NULL;
    return status;
}

static dl_status read_json(reader *r, dl_str relative, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_str key = DL_STR_NONE;
    dl_delta_commit commit = {0};
    dl_delta_sidecars sidecars = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    DL_TRY(dl_delta_key(r->table, relative, r->arena, &key, err));
    DL_TRY(dl_store_get(r->table->open.store, key, &text, err));
    DL_TRY(dl_delta_actions_parse_checkpoint(dl_buf_str(&text), r->version, r->arena, &commit,
                                             &sidecars, err));
    for (size_t i = 0; i < sidecars.count; i++) {
        DL_TRY(add_sidecar(r, sidecars.items[i].name, sidecars.items[i].size_bytes, err));
    }
    DL_TRY(dl_delta_relative_paths(r->table, &commit, r->arena, err));
    return dl_delta_live_apply(r->table->live, &commit, err);
}

static dl_status read_sidecars(reader *r, dl_error *err)
{
    for (size_t i = 0; i < r->sidecar_count; i++) {
        dl_str relative = DL_STR_NONE, name = r->sidecars[i].name;
        if (dl_str_find(name, '/') >= 0) {
            return dl_error_set(err, DL_E_UNSUPPORTED,
                                "the sidecar %.*s is not in _delta_log/_sidecars",
                                DL_STR_ARG(name));
        }
        DL_TRY(dl_arena_printf(r->arena, &relative, err, "_delta_log/_sidecars/%.*s",
                               DL_STR_ARG(name)));
        DL_TRY(scan_files(r, relative, err));
    }
    return DL_OK;
}

dl_status dl_delta_checkpoint_read(dl_delta_table *table, const dl_delta_log_name *names,
                                   size_t count, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_str *relative = NULL;
    if (arena == NULL || (relative = dl_arena_alloc(arena, count, sizeof *relative)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    reader r = {.table = table, .version = names[0].version, .arena = arena};
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_arena_printf(arena, &relative[i], err, "_delta_log/%.*s",
                               DL_STR_ARG(names[i].name)));
    }
    if (dl_str_ends(names[0].name, DL_STR(".json"))) {
        DL_TRY(read_json(&r, relative[0], err));
        return read_sidecars(&r, err);
    }
    for (size_t i = 0; i < count; i++) {
        DL_TRY(scan_heads(&r, relative[i], err));
    }
    for (size_t i = 0; i < count; i++) {
        DL_TRY(scan_files(&r, relative[i], err));
    }
    return read_sidecars(&r, err);
}
