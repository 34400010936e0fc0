/* Verify: index, files and feed agree, or each disagreement is named. */
#include "service/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct known_file {
    int64_t watermark;
    uint64_t key_hash; /* of the whole key */
} known_file;

typedef struct verify {
    const dl_service_verify_options *options;
    dl_service_verify_result *result;
    dl_service_settings settings; /* only the names that paths hold */
    dl_index *index;
    dl_store *store;
    int64_t last_watermark;  /* at the start; what is above is under way */
    int64_t given_watermark; /* nothing that is above it can be under way */
    int64_t total;
    known_file *known; /* what has a row, by watermark */
    size_t known_count, known_room;
    int64_t *suspects; /* watermarks to look at again */
    size_t suspect_count, suspect_room;
    int64_t looking_at; /* the suspect under a second look */
    int64_t last_seen;  /* watermark of the file checked last */
    size_t batch_left;  /* files until the snapshot is given back */
} verify;

static void problem(verify *v, const char *format, ...) DL_PRINTF(2, 3);

static void problem(verify *v, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->result->problems++;
    v->options->problem(v->options->context, dl_str_of(text));
}

static void notice(const verify *v, const char *format, ...) DL_PRINTF(2, 3);

static void notice(const verify *v, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (v->options->notice != NULL) {
        v->options->notice(v->options->context, dl_str_of(text));
    }
}

/* Room for one more in a growing list. */
static dl_status grow(void **list, size_t count, size_t *room, size_t size, dl_error *err)
{
    if (count < *room) {
        return DL_OK;
    }
    size_t more = *room == 0 ? 1024 : *room * 2;
    void *grown = dl_mem_resize(*list, more, size);
    if (grown == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to verify %zu files", more);
    }
    *list = grown;
    *room = more;
    return DL_OK;
}

static uint64_t hash_of(dl_str key)
{
    return dl_store_xxh64((dl_bytes){(const uint8_t *)key.ptr, key.len});
}

static dl_status remember(verify *v, int64_t watermark, const char *key, dl_error *err)
{
    void *list = v->known;
    DL_TRY(grow(&list, v->known_count, &v->known_room, sizeof *v->known, err));
    v->known = list;
    v->known[v->known_count++] = (known_file){watermark, hash_of(dl_str_of(key))};
    return DL_OK;
}

static dl_status suspect(verify *v, int64_t watermark, dl_error *err)
{
    void *list = v->suspects;
    DL_TRY(grow(&list, v->suspect_count, &v->suspect_room, sizeof *v->suspects, err));
    v->suspects = list;
    v->suspects[v->suspect_count++] = watermark;
    return DL_OK;
}

/* What is wrong with a file, in words; NULL when nothing is. */
static const char *judge(verify *v, const dl_index_stored_file *file, const char *key)
{
    dl_store_stat stat = {0};
    dl_error cause = {0};
    dl_status status = dl_store_stat_key(v->store, dl_str_of(key), &stat, &cause);
    if (status == DL_E_NOT_FOUND) {
        return "is missing";
    }
    if (status != DL_OK) {
        return "cannot be looked at";
    }
    if (stat.size_bytes != file->size_bytes) {
        return "has another size";
    }
    if (v->options->hash) {
        if (dl_store_hash(v->store, dl_str_of(key), &stat, &cause) != DL_OK) {
            return "cannot be read";
        }
        if (memcmp(stat.hash, file->hash, sizeof stat.hash) != 0) {
            return "has other bytes than were stored";
        }
    }
    return stat.tag == file->tag ? NULL : "was touched since it was stored";
}

static dl_status check_file(void *context, const dl_index_stored_file *file, dl_error *err)
{
    verify *v = context;
    if (dl_cancel_asked(v->options->cancel)) {
        return dl_error_set(err, DL_E_CANCELED, "stopped");
    }
    if (v->batch_left == 0) {
        return dl_error_set(err, DL_E_LIMIT, "the batch is full");
    }
    v->batch_left--;
    v->last_seen = file->watermark;
    char key[DL_SERVICE_KEY_SIZE];
    dl_service_key(&v->settings, file->partition_name, file->watermark, key);
    DL_TRY(remember(v, file->watermark, key, err));
    v->result->files++;
    v->result->bytes += (int64_t)file->size_bytes;
    if (v->options->progress != NULL && v->result->files % 256 == 0) {
        v->options->progress(v->options->context, v->result->files, v->total);
    }
    if (!file->current) {
        v->result->waiting++; /* the worker may remove it at any moment */
        return DL_OK;
    }
    v->result->instances++;
    if (judge(v, file, key) != NULL) {
        return suspect(v, file->watermark, err);
    }
    return DL_OK;
}

/* A file that looked wrong may have been deleted meanwhile: only what is still current counts. */
static dl_status look_again(void *context, const dl_index_stored_file *file, dl_error *err)
{
    verify *v = context;
    if (file->current && file->watermark == v->looking_at) {
        char key[DL_SERVICE_KEY_SIZE];
        dl_service_key(&v->settings, file->partition_name, file->watermark, key);
        const char *words = judge(v, file, key);
        if (words != NULL) {
            problem(v, "instance %.*s: file %s %s", DL_STR_ARG(file->sop_uid), key, words);
        }
    }
    return dl_error_set(err, DL_E_CANCELED, "one is enough");
}

static dl_status with_snapshot(verify *v, int64_t after,
                               dl_status (*visit)(void *, const dl_index_stored_file *, dl_error *),
                               dl_error *err)
{
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(v->index, &snapshot, err));
    dl_status status = dl_index_each_file(snapshot, after, visit, v, err);
    dl_index_snapshot_end(snapshot);
    return status;
}

/* In batches, each in a snapshot of its own: a long walk must not keep the database's log from
 * being begun anew. */
static dl_status check_files(verify *v, dl_error *err)
{
    enum { BATCH_FILES = 1000 };
    dl_status status = DL_E_LIMIT;
    while (status == DL_E_LIMIT) {
        v->batch_left = BATCH_FILES;
        status = with_snapshot(v, v->last_seen, check_file, err);
        if (status == DL_E_LIMIT && v->batch_left > 0) {
            return status; /* not ours */
        }
    }
    if (status == DL_OK) {
        dl_error_clear(err);
    }
    return status;
}

static dl_status check_suspects(verify *v, dl_error *err)
{
    for (size_t i = 0; i < v->suspect_count; i++) {
        v->looking_at = v->suspects[i];
        dl_status status = with_snapshot(v, v->looking_at - 1, look_again, err);
        if (status != DL_OK && status != DL_E_CANCELED) {
            return status;
        }
        dl_error_clear(err);
    }
    return DL_OK;
}

static int compare(const void *a, const void *b)
{
    int64_t x = ((const known_file *)a)->watermark;
    int64_t y = ((const known_file *)b)->watermark;
    return (x > y) - (x < y);
}

/* Whether a row says that the file is to be there, under this very key. */
static bool is_known(const verify *v, int64_t watermark, dl_str key)
{
    known_file wanted = {.watermark = watermark};
    const known_file *found =
        v->known_count == 0 ? NULL
                            : bsearch(&wanted, v->known, v->known_count, sizeof wanted, compare);
    return found != NULL && found->key_hash == hash_of(key);
}

/* The service may have been given more numbers since the start. */
static dl_status is_beyond(verify *v, int64_t watermark, bool *out_beyond, dl_error *err)
{
    int64_t last = 0;
    if (watermark > v->given_watermark) {
        DL_TRY(dl_index_watermark_bounds(v->index, &last, &v->given_watermark, err));
    }
    *out_beyond = watermark > v->given_watermark;
    return DL_OK;
}

static dl_status check_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    verify *v = context;
    (void)stat;
    if (dl_cancel_asked(v->options->cancel)) {
        return dl_error_set(err, DL_E_CANCELED, "stopped");
    }
    if (dl_str_starts(key, DL_STR(DL_SERVICE_ASIDE_FOLDER "/"))) {
        v->result->unreferenced++;
        notice(v, "file %.*s was moved aside: no instance has it", DL_STR_ARG(key));
        return DL_OK;
    }
    dl_str name = key;
    dl_str part = DL_STR_NONE;
    for (dl_str rest = key; dl_str_next(&rest, '/', &part);) {
        name = part;
    }
    ptrdiff_t bar = dl_str_find(name, '_');
    int64_t watermark = 0;
    bool ours =
        bar > 0 && dl_str_ends(name, DL_STR(".dcm")) &&
        dl_str_to_i64(dl_str_slice(name, (size_t)bar + 1, name.len - (size_t)bar - 5), &watermark);
    bool beyond = false;
    DL_TRY(is_beyond(v, watermark, &beyond, err));
    if (!ours) {
        problem(v, "file %.*s is not ours", DL_STR_ARG(key));
    } else if (beyond) {
        problem(v, "file %.*s is newer than the index", DL_STR_ARG(key));
    } else if (watermark <= v->last_watermark && !is_known(v, watermark, key)) {
        problem(v, "file %.*s belongs to no instance", DL_STR_ARG(key));
    }
    return DL_OK;
}

static dl_status report_breach(void *context, dl_str text, dl_error *err)
{
    verify *v = context;
    (void)err;
    problem(v, "index: %.*s", DL_STR_ARG(text));
    return DL_OK;
}

static dl_status check_index(verify *v, dl_error *err)
{
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(v->index, &snapshot, err));
    dl_status status = dl_index_check(snapshot, report_breach, v, err);
    if (status == DL_OK) {
        status = dl_index_last_sequence(snapshot, &v->result->changes, err);
    }
    dl_index_snapshot_end(snapshot);
    return status;
}

static dl_status load_names(verify *v, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(8192);
    dl_str workspace = DL_STR_NONE;
    dl_str name = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to verify");
    }
    DL_TRY(dl_index_setting_get(v->index, DL_STR("service.workspace"), arena, &workspace, err));
    DL_TRY(dl_index_setting_get(v->index, DL_STR("service.name"), arena, &name, err));
    if (workspace.ptr == NULL || name.ptr == NULL ||
        !dl_str_copy(workspace, v->settings.workspace, sizeof v->settings.workspace) ||
        !dl_str_copy(name, v->settings.name, sizeof v->settings.name)) {
        return dl_error_set(err, DL_E_CORRUPT, "the home has no workspace and service name");
    }
    return DL_OK;
}

static dl_status run(verify *v, dl_error *err)
{
    char path[4200];
    dl_index_options options = {.clock = dl_clock_system(), .read_only = true};
    (void)snprintf(path, sizeof path, "%s/state/index.db", v->options->home);
    DL_TRY(dl_index_open(path, &options, &v->index, err));
    (void)snprintf(path, sizeof path, "%s/files", v->options->home);
    DL_TRY(dl_store_open_local(path, &v->store, err));
    DL_TRY(load_names(v, err));
    DL_TRY(dl_index_watermark_bounds(v->index, &v->last_watermark, &v->given_watermark, err));
    DL_TRY(check_index(v, err));
    DL_TRY(check_files(v, err));
    DL_TRY(check_suspects(v, err));
    if (v->known_count > 0) {
        qsort(v->known, v->known_count, sizeof v->known[0], compare);
    }
    return dl_store_list(v->store, DL_STR(""), check_key, v, err);
}

dl_status dl_service_verify(const dl_service_verify_options *options,
                            dl_service_verify_result *out_result, dl_error *err)
{
    dl_service_verify_result result = {0};
    verify v = {.options = options, .result = &result};
    dl_status status = run(&v, err);
    dl_store_close(v.store);
    dl_index_close(v.index);
    dl_mem_free(v.known);
    dl_mem_free(v.suspects);
    if (status == DL_OK) {
        *out_result = result;
    }
    return status;
}
