/* Classic checkpoints: one Parquet file with a row for every action of the snapshot, streamed, so
 * that what is held beside the snapshot is one row group. Then `_last_checkpoint`. */
#include "delta/maintain.h"

#include "json/json.h"

#include <stdio.h>
#include <string.h>

enum {
    GROUP_ROWS = 32768,
    GROUP_LIMIT_BYTES = 16 * 1024 * 1024,
    KEYS_ARENA_BYTES = 64 * DL_STORE_KEY_LIMIT_BYTES,
    PATHS_ARENA_BYTES = 4 * 1024 * 1024, /* encoded paths, thrown away when half full */
};

/* ---- the columns, in Spark's order ---- */

#define FIELD(field_name, field_type)                                                              \
    {                                                                                              \
        .name = {(field_name), sizeof(field_name) - 1}, .type = (field_type)                       \
    }
#define NESTED(field_name, field_type, of)                                                         \
    {                                                                                              \
        .name = {(field_name), sizeof(field_name) - 1}, .type = (field_type), .children = (of),    \
        .child_count = DL_COUNT_OF(of)                                                             \
    }

static const dl_columnar_field text_map[] = {
    {.name = {"key", 3}, .type = DL_COLUMNAR_STRING, .required = true},
    FIELD("value", DL_COLUMNAR_STRING),
};
static const dl_columnar_field text_list[] = {FIELD("element", DL_COLUMNAR_STRING)};
static const dl_columnar_field dv_fields[] = {
    FIELD("storageType", DL_COLUMNAR_STRING), FIELD("pathOrInlineDv", DL_COLUMNAR_STRING),
    FIELD("offset", DL_COLUMNAR_INT32),       FIELD("sizeInBytes", DL_COLUMNAR_INT32),
    FIELD("cardinality", DL_COLUMNAR_INT64),
};
static const dl_columnar_field txn_fields[] = {
    FIELD("appId", DL_COLUMNAR_STRING),
    FIELD("version", DL_COLUMNAR_INT64),
    FIELD("lastUpdated", DL_COLUMNAR_INT64),
};
static const dl_columnar_field add_fields[] = {
    FIELD("path", DL_COLUMNAR_STRING),
    NESTED("partitionValues", DL_COLUMNAR_MAP, text_map),
    FIELD("size", DL_COLUMNAR_INT64),
    FIELD("modificationTime", DL_COLUMNAR_INT64),
    FIELD("dataChange", DL_COLUMNAR_BOOL),
    NESTED("tags", DL_COLUMNAR_MAP, text_map),
    NESTED("deletionVector", DL_COLUMNAR_STRUCT, dv_fields),
    FIELD("baseRowId", DL_COLUMNAR_INT64),
    FIELD("defaultRowCommitVersion", DL_COLUMNAR_INT64),
    FIELD("stats", DL_COLUMNAR_STRING),
};
static const dl_columnar_field remove_fields[] = {
    FIELD("path", DL_COLUMNAR_STRING),
    FIELD("deletionTimestamp", DL_COLUMNAR_INT64),
    FIELD("dataChange", DL_COLUMNAR_BOOL),
    FIELD("extendedFileMetadata", DL_COLUMNAR_BOOL),
    NESTED("partitionValues", DL_COLUMNAR_MAP, text_map),
    FIELD("size", DL_COLUMNAR_INT64),
    NESTED("deletionVector", DL_COLUMNAR_STRUCT, dv_fields),
};
static const dl_columnar_field format_fields[] = {
    FIELD("provider", DL_COLUMNAR_STRING),
    NESTED("options", DL_COLUMNAR_MAP, text_map),
};
static const dl_columnar_field metadata_fields[] = {
    FIELD("id", DL_COLUMNAR_STRING),
    FIELD("name", DL_COLUMNAR_STRING),
    FIELD("description", DL_COLUMNAR_STRING),
    NESTED("format", DL_COLUMNAR_STRUCT, format_fields),
    FIELD("schemaString", DL_COLUMNAR_STRING),
    NESTED("partitionColumns", DL_COLUMNAR_LIST, text_list),
    NESTED("configuration", DL_COLUMNAR_MAP, text_map),
    FIELD("createdTime", DL_COLUMNAR_INT64),
};
static const dl_columnar_field protocol_fields[] = {
    FIELD("minReaderVersion", DL_COLUMNAR_INT32),
    FIELD("minWriterVersion", DL_COLUMNAR_INT32),
    NESTED("readerFeatures", DL_COLUMNAR_LIST, text_list),
    NESTED("writerFeatures", DL_COLUMNAR_LIST, text_list),
};
static const dl_columnar_field domain_fields[] = {
    FIELD("domain", DL_COLUMNAR_STRING),
    FIELD("configuration", DL_COLUMNAR_STRING),
    FIELD("removed", DL_COLUMNAR_BOOL),
};
static const dl_columnar_field checkpoint_fields[] = {
    NESTED("txn", DL_COLUMNAR_STRUCT, txn_fields),
    NESTED("add", DL_COLUMNAR_STRUCT, add_fields),
    NESTED("remove", DL_COLUMNAR_STRUCT, remove_fields),
    NESTED("metaData", DL_COLUMNAR_STRUCT, metadata_fields),
    NESTED("protocol", DL_COLUMNAR_STRUCT, protocol_fields),
    NESTED("domainMetadata", DL_COLUMNAR_STRUCT, domain_fields),
};

/* Leaves, depth first; a map has two, key and value. */
enum {
    TXN_APP,
    TXN_VERSION,
    TXN_UPDATED,
    TXN_END,
    ADD_PATH = TXN_END,
    ADD_VALUES,
    ADD_SIZE = ADD_VALUES + 2,
    ADD_MODIFIED,
    ADD_DATA_CHANGE,
    ADD_TAGS,
    ADD_DV = ADD_TAGS + 2,
    ADD_BASE_ROW = ADD_DV + 5,
    ADD_ROW_VERSION,
    ADD_STATS,
    ADD_END,
    REMOVE_PATH = ADD_END,
    REMOVE_DELETED,
    REMOVE_DATA_CHANGE,
    REMOVE_EXTENDED,
    REMOVE_VALUES,
    REMOVE_SIZE = REMOVE_VALUES + 2,
    REMOVE_DV,
    REMOVE_END = REMOVE_DV + 5,
    META_ID = REMOVE_END,
    META_NAME,
    META_DESCRIPTION,
    META_PROVIDER,
    META_OPTIONS,
    META_SCHEMA = META_OPTIONS + 2,
    META_PARTITIONS,
    META_CONFIGURATION,
    META_CREATED = META_CONFIGURATION + 2,
    META_END,
    PROTOCOL_READER = META_END,
    PROTOCOL_WRITER,
    PROTOCOL_READER_FEATURES,
    PROTOCOL_WRITER_FEATURES,
    PROTOCOL_END,
    DOMAIN_NAME = PROTOCOL_END,
    DOMAIN_CONFIGURATION,
    DOMAIN_REMOVED,
    DOMAIN_END,
    LEAF_COUNT = DOMAIN_END,
};

typedef struct checkpoint {
    dl_delta_table *table;
    dl_store_spool *spool;
    dl_columnar_writer *writer;
    dl_arena *paths;
    int64_t add_count;
} checkpoint;

static void checkpoint_clear(checkpoint *c)
{
    dl_columnar_writer_destroy(c->writer);
    dl_store_spool_destroy(c->spool);
    dl_arena_destroy(c->paths);
}

/* ---- one row ---- */

/* Every leaf outside first .. end-1 is of an action that this row is not. */
static void row_begin(checkpoint *c, size_t first, size_t end)
{
    for (size_t leaf = 0; leaf < LEAF_COUNT; leaf++) {
        if (leaf < first || leaf >= end) {
            dl_columnar_put_null(c->writer, leaf, 0, 0);
        }
    }
}

/* `depth` is the definition level of the struct that the leaf is in. */
static void put_text(checkpoint *c, size_t leaf, unsigned depth, dl_str text)
{
    if (text.ptr == NULL) {
        dl_columnar_put_null(c->writer, leaf, 0, depth);
    } else {
        dl_columnar_put_str(c->writer, leaf, 0, text);
    }
}

static void put_number(checkpoint *c, size_t leaf, unsigned depth, int64_t value, bool there)
{
    if (there) {
        dl_columnar_put_int(c->writer, leaf, 0, value);
    } else {
        dl_columnar_put_null(c->writer, leaf, 0, depth);
    }
}

static void put_map(checkpoint *c, size_t leaf, unsigned depth, const dl_delta_pairs *pairs,
                    bool there)
{
    if (!there || pairs->count == 0) {
        dl_columnar_put_null(c->writer, leaf, 0, there ? depth + 1 : depth);
        dl_columnar_put_null(c->writer, leaf + 1, 0, there ? depth + 1 : depth);
        return;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        unsigned rep = i > 0 ? 1 : 0;
        dl_columnar_put_str(c->writer, leaf, rep, pairs->items[i].key);
        if (pairs->items[i].value.ptr == NULL) {
            dl_columnar_put_null(c->writer, leaf + 1, rep, depth + 2);
        } else {
            dl_columnar_put_str(c->writer, leaf + 1, rep, pairs->items[i].value);
        }
    }
}

static void put_list(checkpoint *c, size_t leaf, unsigned depth, const dl_delta_names *names,
                     bool there)
{
    if (!there || names->count == 0) {
        dl_columnar_put_null(c->writer, leaf, 0, there ? depth + 1 : depth);
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        dl_columnar_put_str(c->writer, leaf, i > 0 ? 1 : 0, names->items[i]);
    }
}

static void put_dv(checkpoint *c, size_t leaf, const dl_delta_dv *dv)
{
    if (dv->storage == 0) {
        for (size_t i = 0; i < DL_COUNT_OF(dv_fields); i++) {
            dl_columnar_put_null(c->writer, leaf + i, 0, 1);
        }
        return;
    }
    put_text(c, leaf, 2, (dl_str){&dv->storage, 1});
    put_text(c, leaf + 1, 2, dv->path_or_inline);
    put_number(c, leaf + 2, 2, dv->offset, dv->offset >= 0);
    put_number(c, leaf + 3, 2, dv->size_bytes, true);
    put_number(c, leaf + 4, 2, dv->cardinality, true);
}

static dl_status put_path(checkpoint *c, size_t leaf, dl_str path, dl_error *err)
{
    if (c->paths == NULL || dl_arena_used(c->paths) > PATHS_ARENA_BYTES / 2) {
        dl_arena_destroy(c->paths);
        c->paths = dl_arena_create(PATHS_ARENA_BYTES);
        if (c->paths == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "checkpoint: out of memory");
        }
    }
    dl_str encoded = DL_STR_NONE;
    DL_TRY(dl_delta_path_encode(path, c->paths, &encoded, err));
    put_text(c, leaf, 1, encoded);
    return DL_OK;
}

/* ---- actions ---- */

static dl_status put_protocol(checkpoint *c, dl_error *err)
{
    const dl_delta_protocol *p = dl_delta_protocol_of(c->table);
    row_begin(c, PROTOCOL_READER, PROTOCOL_END);
    put_number(c, PROTOCOL_READER, 1, p->min_reader, true);
    put_number(c, PROTOCOL_WRITER, 1, p->min_writer, true);
    put_list(c, PROTOCOL_READER_FEATURES, 1, &p->reader_features, p->min_reader >= 3);
    put_list(c, PROTOCOL_WRITER_FEATURES, 1, &p->writer_features, p->min_writer >= 7);
    return dl_columnar_row_end(c->writer, err);
}

static dl_status put_metadata(checkpoint *c, dl_error *err)
{
    const dl_delta_metadata *m = dl_delta_metadata_of(c->table);
    row_begin(c, META_ID, META_END);
    put_text(c, META_ID, 1, m->id);
    put_text(c, META_NAME, 1, m->name);
    put_text(c, META_DESCRIPTION, 1, m->description);
    put_text(c, META_PROVIDER, 2, DL_STR("parquet"));
    put_map(c, META_OPTIONS, 2, &(dl_delta_pairs){NULL, 0}, true);
    put_text(c, META_SCHEMA, 1, m->schema_json);
    put_list(c, META_PARTITIONS, 1, &m->partition_columns, true);
    put_map(c, META_CONFIGURATION, 1, &m->configuration, true);
    put_number(c, META_CREATED, 1, m->created_ms, m->created_ms >= 0);
    return dl_columnar_row_end(c->writer, err);
}

static dl_status put_apps_and_domains(checkpoint *c, dl_error *err)
{
    dl_delta_app app = {0};
    dl_delta_domain domain = {0};
    for (size_t cursor = 0; dl_delta_live_next_app(c->table->live, &cursor, &app);) {
        row_begin(c, TXN_APP, TXN_END);
        put_text(c, TXN_APP, 1, app.app_id);
        put_number(c, TXN_VERSION, 1, app.version, true);
        put_number(c, TXN_UPDATED, 1, app.updated_ms, app.updated_ms >= 0);
        DL_TRY(dl_columnar_row_end(c->writer, err));
    }
    for (size_t cursor = 0; dl_delta_live_next_domain(c->table->live, &cursor, &domain);) {
        if (domain.removed) {
            continue;
        }
        row_begin(c, DOMAIN_NAME, DOMAIN_END);
        put_text(c, DOMAIN_NAME, 1, domain.domain);
        put_text(c, DOMAIN_CONFIGURATION, 1, domain.configuration);
        put_number(c, DOMAIN_REMOVED, 1, 0, true);
        DL_TRY(dl_columnar_row_end(c->writer, err));
    }
    return DL_OK;
}

static dl_status put_add(checkpoint *c, const dl_delta_file *f, dl_error *err)
{
    row_begin(c, ADD_PATH, ADD_END);
    DL_TRY(put_path(c, ADD_PATH, f->path, err));
    put_map(c, ADD_VALUES, 1, &f->partition_values, true);
    put_number(c, ADD_SIZE, 1, f->size_bytes, true);
    put_number(c, ADD_MODIFIED, 1, f->modified_ms, true);
    put_number(c, ADD_DATA_CHANGE, 1, 0, true);
    put_map(c, ADD_TAGS, 1, &f->tags, f->tags.count > 0);
    put_dv(c, ADD_DV, &f->dv);
    put_number(c, ADD_BASE_ROW, 1, f->base_row_id, f->base_row_id >= 0);
    put_number(c, ADD_ROW_VERSION, 1, f->default_row_commit_version,
               f->default_row_commit_version >= 0);
    put_text(c, ADD_STATS, 1, f->stats);
    c->add_count++;
    return dl_columnar_row_end(c->writer, err);
}

static dl_status put_remove(checkpoint *c, const dl_delta_file *f, dl_error *err)
{
    bool extended = f->size_bytes > 0; /* else it was not in the remove */
    row_begin(c, REMOVE_PATH, REMOVE_END);
    DL_TRY(put_path(c, REMOVE_PATH, f->path, err));
    put_number(c, REMOVE_DELETED, 1, f->deletion_ms, true);
    put_number(c, REMOVE_DATA_CHANGE, 1, 0, true);
    put_number(c, REMOVE_EXTENDED, 1, extended, true);
    put_map(c, REMOVE_VALUES, 1, &f->partition_values, extended);
    put_number(c, REMOVE_SIZE, 1, f->size_bytes, extended);
    put_dv(c, REMOVE_DV, &f->dv);
    return dl_columnar_row_end(c->writer, err);
}

static dl_status put_files(checkpoint *c, dl_error *err)
{
    int64_t keep_ms = 0;
    DL_TRY(dl_delta_property_ms(c->table, "delta.deletedFileRetentionDuration",
                                (int64_t)DL_DELTA_RETENTION_FLOOR_HOURS * DL_DELTA_MS_OF_HOUR,
                                &keep_ms, err));
    int64_t oldest_ms = dl_delta_now_ms(c->table) - keep_ms;
    const dl_delta_file *file = NULL;
    for (size_t cursor = 0; dl_delta_live_next_file(c->table->live, &cursor, &file);) {
        DL_TRY(put_add(c, file, err));
    }
    for (size_t cursor = 0; dl_delta_live_next_tombstone(c->table->live, &cursor, &file);) {
        if (file->deletion_ms > oldest_ms) {
            DL_TRY(put_remove(c, file, err));
        }
    }
    return DL_OK;
}

/* ---- the file ---- */

static dl_status spool_piece(void *context, dl_bytes piece, dl_error *err)
{
    return dl_store_spool_write(context, piece, err);
}

static dl_status write_rows(checkpoint *c, int64_t *out_rows, dl_error *err)
{
    DL_TRY(dl_store_spool_create(c->table->open.store, &c->spool, err));
    dl_columnar_writer_options options = {.fields = checkpoint_fields,
                                          .field_count = DL_COUNT_OF(checkpoint_fields),
                                          .codec = DL_COLUMNAR_SNAPPY,
                                          .row_group_rows = GROUP_ROWS,
                                          .row_group_limit_bytes = GROUP_LIMIT_BYTES,
                                          .write = spool_piece,
                                          .context = c->spool};
    DL_TRY(dl_columnar_writer_create(&options, &c->writer, err));
    DL_TRY(put_protocol(c, err));
    DL_TRY(put_metadata(c, err));
    DL_TRY(put_apps_and_domains(c, err));
    DL_TRY(put_files(c, err));
    dl_columnar_summary summary = {0};
    DL_TRY(dl_columnar_writer_finish(c->writer, &summary, err));
    *out_rows = summary.row_count;
    return DL_OK;
}

/* Hadoop's checksum file of what is replaced: a stale one makes Spark refuse the new content. */
static dl_status remove_side_file(dl_delta_table *table, const char *name, dl_arena *arena,
                                  dl_error *err)
{
    dl_str relative = DL_STR_NONE;
    dl_str key = DL_STR_NONE;
    dl_store_stat stat = {0};
    DL_TRY(dl_arena_printf(arena, &relative, err, "_delta_log/.%s.crc", name));
    DL_TRY(dl_delta_key(table, relative, arena, &key, err));
    dl_status status = dl_store_stat_key(table->open.store, key, &stat, err);
    if (status == DL_E_NOT_FOUND) {
        dl_error_clear(err);
        return DL_OK;
    }
    return status != DL_OK ? status : dl_store_remove(table->open.store, key, err);
}

/* A checkpoint of the version that is there already: whether it is whole; then it stays, for
 * nothing that others may be reading is ever taken away. */
static bool is_whole(dl_delta_table *table, dl_str key, dl_arena *arena, int64_t *out_rows,
                     int64_t *out_bytes)
{
    dl_store_stat stat = {0};
    dl_str location = DL_STR_NONE;
    if (dl_store_stat_key(table->open.store, key, &stat, NULL) != DL_OK || stat.size_bytes == 0 ||
        dl_store_location(table->open.store, key, arena, &location, NULL) != DL_OK) {
        return false;
    }
    *out_bytes = (int64_t)stat.size_bytes;
    return dl_columnar_row_count(table->open.engine, location, out_rows, NULL) == DL_OK;
}

static dl_status publish(checkpoint *c, dl_str key, dl_error *err)
{
    dl_store_publish_item item = {.spool = c->spool, .key = key, .err = err};
    dl_store_publish(c->table->open.store, &item, 1);
    return item.status;
}

static dl_status publish_checkpoint(checkpoint *c, dl_arena *arena, int64_t *rows, int64_t *bytes,
                                    dl_error *err)
{
    dl_delta_table *table = c->table;
    dl_str key = DL_STR_NONE;
    char name[64];
    (void)snprintf(name, sizeof name, "%020lld.checkpoint.parquet", (long long)table->version);
    DL_TRY(dl_delta_log_key(table, table->version, ".checkpoint.parquet", arena, &key, err));
    *bytes = (int64_t)dl_store_spool_size(c->spool);
    DL_TRY(remove_side_file(table, name, arena, err));
    dl_status status = publish(c, key, err);
    if (status != DL_E_EXISTS) {
        return status;
    }
    dl_error_clear(err);
    if (is_whole(table, key, arena, rows, bytes)) {
        c->add_count = -1; /* theirs, not ours: not counted */
        return DL_OK;
    }
    DL_TRY(dl_store_remove(table->open.store, key, err)); /* damaged: no use to anybody */
    *bytes = (int64_t)dl_store_spool_size(c->spool);
    return publish(c, key, err);
}

/* ---- the pointer ---- */

typedef struct pointer {
    int64_t version, rows, bytes;
    int64_t adds;         /* -1: not known */
    const char *checksum; /* NULL: none yet */
} pointer;

static dl_status pointer_text(const pointer *p, dl_buf *out, dl_error *err)
{
    dl_json_writer w;
    dl_json_writer_init(&w, out, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("version"));
    dl_json_int(&w, p->version);
    dl_json_key(&w, DL_STR("size"));
    dl_json_int(&w, p->rows);
    dl_json_key(&w, DL_STR("sizeInBytes"));
    dl_json_int(&w, p->bytes);
    if (p->adds >= 0) {
        dl_json_key(&w, DL_STR("numOfAddFiles"));
        dl_json_int(&w, p->adds);
    }
    if (p->checksum != NULL) {
        dl_json_key(&w, DL_STR("checksum"));
        dl_json_string(&w, dl_str_of(p->checksum));
    }
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

/* Whether the pointer names a later checkpoint than ours already. */
static bool pointer_is_newer(dl_delta_table *table, dl_str key, int64_t version)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, DL_STORE_PUT_LIMIT_BYTES);
    dl_str value = DL_STR_NONE;
    int64_t theirs = -1;
    return dl_store_get(table->open.store, key, &text, NULL) == DL_OK &&
           dl_json_check(dl_buf_str(&text), NULL) == DL_OK &&
           dl_json_get(dl_buf_str(&text), DL_STR("version"), &value) &&
           dl_json_int_of(value, &theirs) && theirs > version;
}

static dl_status write_pointer(checkpoint *c, int64_t rows, int64_t bytes, dl_arena *arena,
                               dl_error *err)
{
    dl_delta_table *table = c->table;
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_delta_key(table, DL_STR("_delta_log/_last_checkpoint"), arena, &key, err));
    if (pointer_is_newer(table, key, table->version)) {
        return DL_OK;
    }
    DL_AUTO_BUF text;
    DL_AUTO_BUF canonical;
    dl_buf_init(&text, 4096);
    dl_buf_init(&canonical, 4096);
    char md5[DL_DELTA_MD5_SIZE];
    pointer p = {.version = table->version, .rows = rows, .bytes = bytes, .adds = c->add_count};
    DL_TRY(pointer_text(&p, &text, err));
    DL_TRY(dl_delta_checksum_text(dl_buf_str(&text), &canonical, err));
    DL_TRY(dl_delta_md5(dl_buf_str(&canonical), md5, err));
    dl_buf_reset(&text);
    p.checksum = md5;
    DL_TRY(pointer_text(&p, &text, err));
    DL_TRY(remove_side_file(table, "_last_checkpoint", arena, err));
    return dl_store_put(table->open.store, key, (dl_bytes){(const uint8_t *)text.ptr, text.len},
                        err);
}

dl_status dl_delta_checkpoint_write(dl_delta_table *table, int64_t *out_bytes, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(KEYS_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "checkpoint: out of memory");
    }
    DL_CLEANUP(checkpoint_clear) checkpoint c = {.table = table};
    int64_t rows = 0;
    int64_t bytes = 0;
    dl_status status = write_rows(&c, &rows, err);
    if (status == DL_OK) {
        status = publish_checkpoint(&c, arena, &rows, &bytes, err);
    }
    if (status == DL_OK) {
        status = write_pointer(&c, rows, bytes, arena, err);
    }
    if (status != DL_OK) {
        return dl_error_within(err, status, "writing the checkpoint of version %lld",
                               (long long)table->version);
    }
    if (table->checkpoint_version < table->version) {
        table->checkpoint_version = table->version;
    }
    *out_bytes = bytes;
    return DL_OK;
}
