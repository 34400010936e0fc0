/* What a commit says to its text. */
#include "delta/internal.h"
#include "json/json.h"

#include <stdio.h>

static void put_text(dl_json_writer *w, dl_str key, dl_str text)
{
    if (text.ptr != NULL) {
        dl_json_key(w, key);
        dl_json_string(w, text);
    }
}

static void put_int(dl_json_writer *w, dl_str key, int64_t value)
{
    dl_json_key(w, key);
    dl_json_int(w, value);
}

static void put_known(dl_json_writer *w, dl_str key, int64_t value)
{
    if (value >= 0) {
        put_int(w, key, value);
    }
}

static void put_bool(dl_json_writer *w, dl_str key, bool value)
{
    dl_json_key(w, key);
    dl_json_bool(w, value);
}

static void put_pairs(dl_json_writer *w, dl_str key, dl_delta_pairs pairs)
{
    dl_json_key(w, key);
    dl_json_object_begin(w);
    for (size_t i = 0; i < pairs.count; i++) {
        dl_json_key(w, pairs.items[i].key);
        if (pairs.items[i].value.ptr == NULL) {
            dl_json_null(w);
        } else {
            dl_json_string(w, pairs.items[i].value);
        }
    }
    dl_json_object_end(w);
}

static void put_names(dl_json_writer *w, dl_str key, dl_delta_names names)
{
    dl_json_key(w, key);
    dl_json_array_begin(w);
    for (size_t i = 0; i < names.count; i++) {
        dl_json_string(w, names.items[i]);
    }
    dl_json_array_end(w);
}

static void put_info(dl_json_writer *w, const dl_delta_info *info)
{
    if (info->in_commit) {
        put_int(w, DL_STR("inCommitTimestamp"), info->timestamp_ms);
    }
    put_known(w, DL_STR("timestamp"), info->timestamp_ms);
    put_text(w, DL_STR("operation"), info->operation);
    put_pairs(w, DL_STR("operationParameters"), info->parameters);
    put_known(w, DL_STR("readVersion"), info->read_version);
    put_text(w, DL_STR("isolationLevel"), info->isolation_level);
    if (info->blind_append >= 0) {
        put_bool(w, DL_STR("isBlindAppend"), info->blind_append != 0);
    }
    put_pairs(w, DL_STR("operationMetrics"), info->metrics);
    put_text(w, DL_STR("engineInfo"), info->engine_info);
    put_text(w, DL_STR("txnId"), info->txn_id);
    put_text(w, DL_STR("userMetadata"), info->user_metadata);
}

static void put_protocol(dl_json_writer *w, const dl_delta_protocol *protocol)
{
    put_int(w, DL_STR("minReaderVersion"), protocol->min_reader);
    put_int(w, DL_STR("minWriterVersion"), protocol->min_writer);
    if (protocol->min_reader >= 3) {
        put_names(w, DL_STR("readerFeatures"), protocol->reader_features);
    }
    if (protocol->min_writer >= 7) {
        put_names(w, DL_STR("writerFeatures"), protocol->writer_features);
    }
}

static void put_metadata(dl_json_writer *w, const dl_delta_metadata *metadata)
{
    put_text(w, DL_STR("id"), metadata->id);
    put_text(w, DL_STR("name"), metadata->name);
    put_text(w, DL_STR("description"), metadata->description);
    dl_json_key(w, DL_STR("format"));
    dl_json_raw(w, DL_STR("{\"provider\":\"parquet\",\"options\":{}}"));
    put_text(w, DL_STR("schemaString"), metadata->schema_json);
    put_names(w, DL_STR("partitionColumns"), metadata->partition_columns);
    put_pairs(w, DL_STR("configuration"), metadata->configuration);
    put_int(w, DL_STR("createdTime"), metadata->created_ms);
}

static void put_vector(dl_json_writer *w, const dl_delta_dv *dv)
{
    if (dv->storage == '\0') {
        return;
    }
    dl_json_key(w, DL_STR("deletionVector"));
    dl_json_object_begin(w);
    put_text(w, DL_STR("storageType"), (dl_str){&dv->storage, 1});
    put_text(w, DL_STR("pathOrInlineDv"), dv->path_or_inline);
    put_known(w, DL_STR("offset"), dv->offset);
    put_int(w, DL_STR("sizeInBytes"), dv->size_bytes);
    put_int(w, DL_STR("cardinality"), dv->cardinality);
    dl_json_object_end(w);
}

static void put_file(dl_json_writer *w, const dl_delta_file *file, bool add)
{
    if (!add) {
        put_known(w, DL_STR("deletionTimestamp"), file->deletion_ms);
    }
    put_bool(w, DL_STR("dataChange"), file->data_change);
    if (!add) {
        put_bool(w, DL_STR("extendedFileMetadata"), true);
    }
    put_pairs(w, DL_STR("partitionValues"), file->partition_values);
    put_int(w, DL_STR("size"), file->size_bytes);
    if (add) {
        put_int(w, DL_STR("modificationTime"), file->modified_ms);
    }
    put_text(w, DL_STR("stats"), file->stats);
    if (file->tags.count > 0) {
        put_pairs(w, DL_STR("tags"), file->tags);
    }
    put_vector(w, &file->dv);
    put_known(w, DL_STR("baseRowId"), file->base_row_id);
    put_known(w, DL_STR("defaultRowCommitVersion"), file->default_row_commit_version);
}

static void line_begin(dl_json_writer *w, dl_str action)
{
    dl_json_object_begin(w);
    dl_json_key(w, action);
    dl_json_object_begin(w);
}

static dl_status line_end(dl_json_writer *w, dl_buf *out, dl_error *err)
{
    dl_json_object_end(w);
    dl_json_object_end(w);
    DL_TRY(dl_json_writer_status(w));
    DL_TRY(dl_buf_append_char(out, '\n', err));
    dl_json_writer_init(w, out, err);
    return DL_OK;
}

static dl_status write_file(dl_json_writer *w, const dl_delta_file *file, bool add, dl_buf *out,
                            dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_DELTA_COMMIT_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    dl_str path = DL_STR_NONE;
    DL_TRY(dl_delta_path_encode(file->path, arena, &path, err));
    line_begin(w, add ? DL_STR("add") : DL_STR("remove"));
    put_text(w, DL_STR("path"), path);
    put_file(w, file, add);
    return line_end(w, out, err);
}

dl_status dl_delta_actions_write(const dl_delta_commit *commit, dl_buf *out, dl_error *err)
{
    dl_json_writer w = {0};
    dl_json_writer_init(&w, out, err);
    line_begin(&w, DL_STR("commitInfo"));
    put_info(&w, &commit->info);
    DL_TRY(line_end(&w, out, err));
    if (commit->protocol != NULL) {
        line_begin(&w, DL_STR("protocol"));
        put_protocol(&w, commit->protocol);
        DL_TRY(line_end(&w, out, err));
    }
    if (commit->metadata != NULL) {
        line_begin(&w, DL_STR("metaData"));
        put_metadata(&w, commit->metadata);
        DL_TRY(line_end(&w, out, err));
    }
    for (size_t i = 0; i < commit->app_count; i++) {
        line_begin(&w, DL_STR("txn"));
        put_text(&w, DL_STR("appId"), commit->apps[i].app_id);
        put_int(&w, DL_STR("version"), commit->apps[i].version);
        put_known(&w, DL_STR("lastUpdated"), commit->apps[i].updated_ms);
        DL_TRY(line_end(&w, out, err));
    }
    for (size_t i = 0; i < commit->domain_count; i++) {
        line_begin(&w, DL_STR("domainMetadata"));
        put_text(&w, DL_STR("domain"), commit->domains[i].domain);
        put_text(&w, DL_STR("configuration"),
                 commit->domains[i].configuration.ptr == NULL ? DL_STR("")
                                                              : commit->domains[i].configuration);
        put_bool(&w, DL_STR("removed"), commit->domains[i].removed);
        DL_TRY(line_end(&w, out, err));
    }
    for (size_t i = 0; i < commit->remove_count; i++) {
        DL_TRY(write_file(&w, &commit->removes[i], false, out, err));
    }
    for (size_t i = 0; i < commit->add_count; i++) {
        DL_TRY(write_file(&w, &commit->adds[i], true, out, err));
    }
    return DL_OK;
}
