/* Version 0 of a table. */
#include "delta/commit.h"

#include "json/json.h"

#include <string.h>

enum { ARENA_LIMIT_BYTES = 64 * 1024 * 1024 };

typedef struct creation {
    const dl_delta_create *options;
    dl_arena *arena;
    dl_delta_table place; /* only its `open` counts: keys come from it */
    dl_delta_metadata metadata;
    dl_delta_protocol protocol;
    bool ntz; /* a column is timestamp_ntz */
    dl_delta_commit commit;
} creation;

/* ---- is there a table already? ---- */

static dl_status meet_name(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    (void)err;
    bool *found = context;
    size_t begin = key.len;
    while (begin > 0 && key.ptr[begin - 1] != '/') {
        begin--;
    }
    dl_delta_log_name name = dl_delta_log_name_parse(dl_str_slice(key, begin, key.len));
    *found |= name.kind != DL_DELTA_LOG_OTHER;
    return DL_OK;
}

static dl_status exists(dl_str root, dl_error *err)
{
    dl_error_set(err, DL_E_EXISTS, "there is a table at %.*s already", DL_STR_ARG(root));
    return DL_E_EXISTS;
}

static dl_status check_absent(const creation *c, dl_error *err)
{
    dl_str folder = DL_STR_NONE, root = c->options->open.root;
    bool found = false;
    DL_TRY(dl_arena_printf(c->arena, &folder, err, "%.*s%s_delta_log", DL_STR_ARG(root),
                           root.len > 0 ? "/" : ""));
    DL_TRY(
        dl_store_list_folder(c->options->open.store, folder, DL_STR(""), meet_name, &found, err));
    return found ? exists(root, err) : DL_OK;
}

/* ---- what it is made of ---- */

static dl_status check_name(dl_str name, dl_error *err)
{
    for (size_t i = 0; i < name.len; i++) {
        if (strchr(" ,;{}()\n\t=", name.ptr[i]) != NULL) {
            return dl_error_set(
                err, DL_E_INVALID,
                "the column name '%.*s' holds one of the characters ' ,;{}()=', a tab "
                "or a line end",
                DL_STR_ARG(name));
        }
    }
    return name.len > 0 ? DL_OK : dl_error_set(err, DL_E_INVALID, "a column has no name");
}

/* Names of this column and all below it, and whether the type is one of a feature. */
static dl_status check_column(creation *c, const dl_columnar_field *column, dl_error *err)
{
    const dl_columnar_field *stack[DL_COLUMNAR_DEPTH_LIMIT + 1];
    size_t next[DL_COLUMNAR_DEPTH_LIMIT + 1], depth = 0;
    stack[0] = column;
    next[0] = 0;
    for (;;) {
        const dl_columnar_field *top = stack[depth];
        if (next[depth] == 0) {
            DL_TRY(check_name(top->name, err));
            c->ntz |= top->type == DL_COLUMNAR_TIMESTAMP_NTZ;
        }
        if (next[depth] < top->child_count) {
            DL_ASSERT(depth < DL_COLUMNAR_DEPTH_LIMIT);
            stack[depth + 1] = &top->children[next[depth]++];
            next[++depth] = 0;
        } else if (depth-- == 0) {
            return DL_OK;
        }
    }
}

static dl_status check_schema(creation *c, dl_error *err)
{
    dl_delta_column *columns = NULL;
    size_t count = 0, partitions = 0;
    DL_TRY(dl_delta_schema_columns(&c->metadata, c->arena, &columns, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(check_column(c, &columns[i].field, err));
        partitions += columns[i].partition;
        for (size_t k = 0; k < i; k++) {
            if (dl_str_eq_nocase(columns[k].name, columns[i].name)) {
                return dl_error_set(err, DL_E_INVALID, "the column %.*s stands twice in the schema",
                                    DL_STR_ARG(columns[i].name));
            }
        }
    }
    if (partitions != c->metadata.partition_columns.count || partitions == count) {
        return dl_error_set(err, DL_E_INVALID,
                            "of %zu partition columns %zu stand in the schema of "
                            "%zu columns",
                            c->metadata.partition_columns.count, partitions, count);
    }
    return DL_OK;
}

static void add_property(dl_delta_pair *items, size_t *count, dl_delta_pair pair)
{
    for (size_t i = 0; i < *count; i++) {
        if (dl_str_eq(items[i].key, pair.key)) {
            items[i].value = pair.value;
            return;
        }
    }
    items[(*count)++] = pair;
}

/* Properties that only a feature gives a meaning to, which our tables do not have. */
static dl_status check_property(dl_str key, dl_error *err)
{
    static const char *const refused[] = {
        "delta.columnMapping.",
        "delta.constraints.",
        "delta.enableChangeDataFeed",
        "delta.enableRowTracking",
        "delta.enableTypeWidening",
        "delta.enableInCommitTimestamps",
        "delta.checkpointPolicy",
        "delta.minReaderVersion",
        "delta.minWriterVersion",
        "delta.feature.",
        "delta.setTransactionRetentionDuration",
    };
    for (size_t i = 0; i < DL_COUNT_OF(refused); i++) {
        if (dl_str_starts_nocase(key, dl_str_of(refused[i]))) {
            return dl_error_set(err, DL_E_UNSUPPORTED,
                                "a new table does not take the property %.*s", DL_STR_ARG(key));
        }
    }
    return DL_OK;
}

static dl_status make_configuration(creation *c, dl_error *err)
{
    const dl_delta_pairs *given = &c->options->configuration;
    dl_delta_pair *items = dl_arena_alloc(c->arena, given->count + 2, sizeof *items);
    size_t count = 0;
    if (items == NULL) {
        return dl_arena_full(c->arena, err);
    }
    items[count++] =
        (dl_delta_pair){DL_STR("delta.deletedFileRetentionDuration"), DL_STR("interval 720 hours")};
    if (!c->options->compat) {
        items[count++] = (dl_delta_pair){DL_STR("delta.enableDeletionVectors"), DL_STR("true")};
    }
    for (size_t i = 0; i < given->count; i++) {
        DL_TRY(check_property(given->items[i].key, err));
        if (c->options->compat &&
            dl_str_eq(given->items[i].key, DL_STR("delta.enableDeletionVectors"))) {
            return dl_error_set(err, DL_E_INVALID,
                                "a table of mode compat has no delta.enableDeletionVectors");
        }
        add_property(items, &count, given->items[i]);
    }
    c->metadata.configuration = (dl_delta_pairs){items, count};
    return DL_OK;
}

static dl_status make_protocol(creation *c, dl_error *err)
{
    static const dl_str readers[] = {
        {"deletionVectors", 15},
        {"timestampNtz", 12},
    };
    static const dl_str writers[] = {
        {"appendOnly", 10},
        {"deletionVectors", 15},
        {"invariants", 10},
        {"timestampNtz", 12},
    };
    if (c->options->compat) {
        if (c->ntz) {
            return dl_error_set(err, DL_E_UNSUPPORTED,
                                "a table of mode compat has no columns of type timestamp_ntz");
        }
        c->protocol = (dl_delta_protocol){.min_reader = 1, .min_writer = 2};
        return DL_OK;
    }
    c->protocol = (dl_delta_protocol){
        .min_reader = 3,
        .min_writer = 7,
        .reader_features = {readers, c->ntz ? 2 : 1},
        .writer_features = {writers, c->ntz ? 4 : 3},
    };
    return DL_OK;
}

static dl_status make_metadata(creation *c, int64_t now_ms, dl_error *err)
{
    char uuid[DL_DELTA_UUID_SIZE];
    dl_delta_uuid(uuid);
    c->metadata = (dl_delta_metadata){
        .name = c->options->name,
        .description = c->options->description,
        .schema_json = c->options->schema_json,
        .partition_columns = c->options->partition_columns,
        .created_ms = now_ms,
    };
    DL_TRY(dl_arena_copy(c->arena, dl_str_of(uuid), &c->metadata.id, err));
    DL_TRY(make_configuration(c, err));
    DL_TRY(check_schema(c, err));
    return make_protocol(c, err);
}

/* ---- commitInfo ---- */

static dl_status names_json(dl_delta_names names, dl_arena *arena, dl_str *out, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, ARENA_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_array_begin(&w);
    for (size_t i = 0; i < names.count; i++) {
        dl_json_string(&w, names.items[i]);
    }
    dl_json_array_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&text), out, err);
}

static dl_status pairs_json(dl_delta_pairs pairs, dl_arena *arena, dl_str *out, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, ARENA_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < pairs.count; i++) {
        dl_json_key(&w, pairs.items[i].key);
        dl_json_string(&w, pairs.items[i].value);
    }
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&text), out, err);
}

static dl_status make_info(const creation *c, int64_t now_ms, dl_delta_info *out, dl_error *err)
{
    char uuid[DL_DELTA_UUID_SIZE];
    dl_delta_uuid(uuid);
    dl_delta_pair *items = dl_arena_alloc(c->arena, 4, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(c->arena, err);
    }
    items[0] = (dl_delta_pair){DL_STR("isManaged"), DL_STR("false")};
    items[1] = (dl_delta_pair){DL_STR("description"), c->options->description};
    items[2].key = DL_STR("partitionBy");
    items[3].key = DL_STR("properties");
    DL_TRY(names_json(c->metadata.partition_columns, c->arena, &items[2].value, err));
    DL_TRY(pairs_json(c->metadata.configuration, c->arena, &items[3].value, err));
    *out = (dl_delta_info){
        .timestamp_ms = now_ms,
        .operation = DL_STR("CREATE TABLE"),
        .parameters = {items, 4},
        .engine_info = DL_STR("dicomlake/" DL_DELTA_VERSION),
        .isolation_level = DL_STR("Serializable"),
        .read_version = -1,
        .blind_append = 1,
    };
    return dl_arena_copy(c->arena, dl_str_of(uuid), &out->txn_id, err);
}

static dl_status put_first(creation *c, int64_t now_ms, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    DL_TRY(make_metadata(c, now_ms, err));
    DL_TRY(check_absent(c, err));
    c->commit.protocol = &c->protocol;
    c->commit.metadata = &c->metadata;
    DL_TRY(make_info(c, now_ms, &c->commit.info, err));
    DL_TRY(dl_delta_actions_write(&c->commit, &text, err));
    return dl_delta_put_commit(&c->place, 0, c->commit.info.txn_id,
                               (dl_bytes){(const uint8_t *)text.ptr, text.len}, c->arena, err);
}

dl_status dl_delta_table_create(const dl_delta_create *options, dl_delta_table **out_table,
                                dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "creating a table: out of memory");
    }
    dl_clock clock = dl_clock_system();
    if (options->open.clock.now_us != NULL) {
        clock = options->open.clock;
    }
    creation c = {.options = options, .arena = arena, .place = {.open = options->open}};
    c.place.open.clock = clock;
    dl_status status = put_first(&c, dl_clock_now_us(&clock) / 1000, err);
    if (status == DL_E_EXISTS) {
        return exists(options->open.root, err);
    }
    if (status != DL_OK) {
        return dl_error_within(err, status, "creating the table %.*s",
                               DL_STR_ARG(options->open.root));
    }
    dl_delta_open open = options->open;
    open.version = -1;
    open.timestamp_us = INT64_MIN;
    DL_TRY(dl_delta_table_open(&open, out_table, err));
    (void)dl_delta_after_commit(*out_table, &c.commit);
    return DL_OK;
}
