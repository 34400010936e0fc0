/* VACUUM: files that no version within the retention needs. A file goes only when it is old,
 * visible and named by nothing; what is named is kept as hashes, where a collision keeps a file too
 * many and never deletes one. Files under way are young, and so are safe. */
#include "delta/maintain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT_SIZE = 24 };

typedef struct candidate {
    dl_str key;
    int64_t size_bytes;
} candidate;

typedef struct vacuum {
    dl_delta_table *table;
    const dl_delta_vacuum_options *options;
    int64_t cutoff_ms;    /* younger files, and what was removed later, stay */
    int64_t retention_ms; /* as asked for */
    int64_t default_ms;   /* the table's own */
    dl_arena *arena;
    dl_buf named;      /* uint64_t each: hashes of keys, ascending */
    dl_buf candidates; /* candidate each */
    int64_t version;   /* at which `named` was made */
} vacuum;

static void vacuum_clear(vacuum *v)
{
    dl_buf_clear(&v->named);
    dl_buf_clear(&v->candidates);
    dl_arena_destroy(v->arena);
}

/* ---- which files ---- */

bool dl_delta_vacuum_sees(dl_str relative)
{
    dl_str segment = DL_STR_NONE;
    while (dl_str_next(&relative, '/', &segment)) {
        bool folder = relative.len > 0;
        bool hidden = dl_str_starts(segment, DL_STR("_")) || dl_str_starts(segment, DL_STR("."));
        bool known =
            folder && (dl_str_find(segment, '=') > 0 || dl_str_eq(segment, DL_STR("_change_data")));
        if (hidden && !known) {
            return false;
        }
    }
    return true;
}

static dl_status name_key(vacuum *v, dl_str key, dl_error *err)
{
    uint64_t hash = dl_store_xxh64((dl_bytes){(const uint8_t *)key.ptr, key.len});
    return dl_buf_append(&v->named, &hash, sizeof hash, err);
}

/* The file and its deletion vector. One that is absolute and outside of the store could be a file
 * of ours by another name: then nothing is deleted (DL_E_UNSUPPORTED). */
static dl_status name_file(vacuum *v, const dl_delta_file *file, dl_arena *arena, dl_error *err)
{
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_delta_key(v->table, file->path, arena, &key, err));
    DL_TRY(name_key(v, key, err));
    if (file->dv.storage == 0 || file->dv.storage == 'i') {
        return DL_OK;
    }
    DL_TRY(dl_delta_dv_key(v->table, &file->dv, arena, &key, err));
    return name_key(v, key, err);
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One file after the other: live ones, then those that were removed within the retention. */
static bool next_named(const vacuum *v, bool *tombstones, size_t *cursor,
                       const dl_delta_file **out_file)
{
    if (!*tombstones && dl_delta_live_next_file(v->table->live, cursor, out_file)) {
        return true;
    }
    if (!*tombstones) {
        *tombstones = true;
        *cursor = 0;
    }
    while (dl_delta_live_next_tombstone(v->table->live, cursor, out_file)) {
        if ((*out_file)->deletion_ms >= v->cutoff_ms) {
            return true;
        }
    }
    return false;
}

static dl_status gather_named(vacuum *v, dl_error *err)
{
    enum { BATCH_BYTES = 4 * 1024 * 1024 };
    const dl_delta_file *file = NULL;
    bool tombstones = false;
    size_t cursor = 0;
    bool more = true;
    dl_buf_reset(&v->named);
    while (more) { /* keys are only hashed: their text goes after every batch */
        DL_AUTO(dl_arena) arena = dl_arena_create(BATCH_BYTES);
        if (arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "vacuum: out of memory");
        }
        while (dl_arena_used(arena) < BATCH_BYTES / 2 &&
               (more = next_named(v, &tombstones, &cursor, &file))) {
            DL_TRY(name_file(v, file, arena, err));
        }
    }
    if (v->named.len > sizeof(uint64_t)) {
        qsort(v->named.ptr, v->named.len / sizeof(uint64_t), sizeof(uint64_t), by_hash);
    }
    v->version = v->table->version;
    return DL_OK;
}

static bool is_named(const vacuum *v, dl_str key)
{
    uint64_t hash = dl_store_xxh64((dl_bytes){(const uint8_t *)key.ptr, key.len});
    return v->named.len > 0 &&
           bsearch(&hash, v->named.ptr, v->named.len / sizeof hash, sizeof hash, by_hash) != NULL;
}

static dl_str relative_of(const vacuum *v, dl_str key)
{
    size_t root = v->table->open.root.len;
    return root == 0 ? key : dl_str_slice(key, root + 1, key.len);
}

static dl_status look_at(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    vacuum *v = context;
    if (dl_cancel_asked(v->options->cancel)) {
        return dl_error_set(err, DL_E_CANCELED, "vacuum was canceled");
    }
    if (stat->modified_us / 1000 >= v->cutoff_ms || !dl_delta_vacuum_sees(relative_of(v, key)) ||
        is_named(v, key)) {
        return DL_OK;
    }
    candidate found = {.size_bytes = (int64_t)stat->size_bytes};
    DL_TRY(dl_arena_copy(v->arena, key, &found.key, err));
    return dl_buf_append(&v->candidates, &found, sizeof found, err);
}

static candidate *candidates_of(const vacuum *v, size_t *out_count)
{
    *out_count = v->candidates.len / sizeof(candidate);
    return (candidate *)(void *)v->candidates.ptr;
}

/* Somebody committed since the files were looked at: what they named (a restore) stays. */
static dl_status drop_newly_named(vacuum *v, int64_t own_commits, dl_error *err)
{
    if (v->table->version == v->version + own_commits) {
        return DL_OK;
    }
    DL_TRY(gather_named(v, err));
    size_t count = 0;
    size_t kept = 0;
    candidate *c = candidates_of(v, &count);
    for (size_t i = 0; i < count; i++) {
        if (!is_named(v, c[i].key)) {
            c[kept++] = c[i];
        }
    }
    v->candidates.len = kept * sizeof *c;
    return DL_OK;
}

/* ---- its commits ---- */

static dl_str number_text(char out[NUMBER_TEXT_SIZE], int64_t value)
{
    int n = snprintf(out, NUMBER_TEXT_SIZE, "%lld", (long long)value);
    return (dl_str){out, (size_t)n};
}

static dl_status commit_start(vacuum *v, const dl_delta_vacuum_result *plan, dl_error *err)
{
    char text[4][NUMBER_TEXT_SIZE];
    const dl_delta_pair parameters[] = {
        {DL_STR("retentionCheckEnabled"), v->options->force ? DL_STR("false") : DL_STR("true")},
        {DL_STR("defaultRetentionMillis"), number_text(text[0], v->default_ms)},
        {DL_STR("specifiedRetentionMillis"), number_text(text[1], v->retention_ms)}};
    const dl_delta_pair metrics[] = {
        {DL_STR("numFilesToDelete"), number_text(text[2], plan->files)},
        {DL_STR("sizeOfDataToDelete"), number_text(text[3], plan->bytes)}};
    size_t parameter_count = v->options->retention_hours < 0 ? 2 : 3;
    dl_delta_change change = {.operation = "VACUUM START",
                              .parameters = {parameters, parameter_count},
                              .metrics = {metrics, DL_COUNT_OF(metrics)}};
    dl_delta_result result = {0};
    return dl_delta_commit_change(v->table, &change, &result, err);
}

static dl_status commit_end(vacuum *v, const dl_delta_vacuum_result *done, dl_error *err)
{
    char text[2][NUMBER_TEXT_SIZE];
    const dl_delta_pair parameters[] = {{DL_STR("status"), DL_STR("COMPLETED")}};
    const dl_delta_pair metrics[] = {
        {DL_STR("numDeletedFiles"), number_text(text[0], done->files)},
        {DL_STR("numVacuumedDirectories"), number_text(text[1], done->folders)}};
    dl_delta_change change = {.operation = "VACUUM END",
                              .parameters = {parameters, DL_COUNT_OF(parameters)},
                              .metrics = {metrics, DL_COUNT_OF(metrics)}};
    dl_delta_result result = {0};
    return dl_delta_commit_change(v->table, &change, &result, err);
}

/* ---- deleting ---- */

static int by_key(const void *a, const void *b)
{
    return dl_str_compare(((const candidate *)a)->key, ((const candidate *)b)->key);
}

/* The first folder of a file below the root; ptr NULL: it lies in the root itself. */
static dl_str top_folder(const vacuum *v, dl_str key)
{
    dl_str relative = relative_of(v, key);
    ptrdiff_t slash = dl_str_find(relative, '/');
    return slash < 0 ? DL_STR_NONE : (dl_str){key.ptr, key.len - relative.len + (size_t)slash};
}

static dl_status delete_files(vacuum *v, dl_delta_vacuum_result *done, dl_error *err)
{
    size_t count = 0;
    candidate *c = candidates_of(v, &count);
    dl_str folder = DL_STR_NONE;
    for (size_t i = 0; i < count; i++) {
        if (dl_cancel_asked(v->options->cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "vacuum was canceled after %lld files",
                                (long long)done->files);
        }
        DL_TRY(dl_store_remove(v->table->open.store, c[i].key, err));
        done->files++;
        done->bytes += c[i].size_bytes;
        if (v->options->on_file != NULL) {
            v->options->on_file(v->options->context, relative_of(v, c[i].key), c[i].size_bytes);
        }
        folder = top_folder(v, c[i].key);
        dl_str next = i + 1 < count ? top_folder(v, c[i + 1].key) : DL_STR_NONE;
        if (folder.ptr != NULL && (next.ptr == NULL || !dl_str_eq(folder, next))) {
            int64_t removed = 0;
            DL_TRY(dl_store_remove_empty(v->table->open.store, folder, &removed, err));
            done->folders += removed;
        }
    }
    return DL_OK;
}

static void list_candidates(vacuum *v, bool report, dl_delta_vacuum_result *out)
{
    size_t count = 0;
    candidate *c = candidates_of(v, &count);
    *out = (dl_delta_vacuum_result){.files = (int64_t)count};
    for (size_t i = 0; i < count; i++) {
        out->bytes += c[i].size_bytes;
        if (report && v->options->on_file != NULL) {
            v->options->on_file(v->options->context, relative_of(v, c[i].key), c[i].size_bytes);
        }
    }
}

/* ---- the rules before anything is looked at ---- */

static dl_status check_retention(vacuum *v, dl_error *err)
{
    static const char property[] = "delta.deletedFileRetentionDuration";
    const int64_t floor_ms = (int64_t)DL_DELTA_RETENTION_FLOOR_HOURS * DL_DELTA_MS_OF_HOUR;
    int64_t hours = v->options->retention_hours;
    DL_TRY(dl_delta_property_ms(v->table, property, floor_ms, &v->default_ms, err));
    if (hours < -1 || hours > INT64_MAX / DL_DELTA_MS_OF_HOUR) {
        return dl_error_set(err, DL_E_INVALID, "a retention of %lld hours is not possible",
                            (long long)hours);
    }
    v->retention_ms = hours < 0 ? v->default_ms : hours * DL_DELTA_MS_OF_HOUR;
    int64_t least_ms = v->default_ms > floor_ms ? v->default_ms : floor_ms;
    if (v->retention_ms < least_ms && !v->options->force) {
        dl_error_set(err, DL_E_INVALID,
                     "a retention of %lld hours is below the %lld hours that the table keeps",
                     (long long)(v->retention_ms / DL_DELTA_MS_OF_HOUR),
                     (long long)(least_ms / DL_DELTA_MS_OF_HOUR));
        dl_error_hint(err, "readers and writers that started earlier lose their files; force it "
                           "only when there are none");
        return DL_E_INVALID;
    }
    int64_t now_ms = dl_delta_now_ms(v->table);
    v->cutoff_ms = v->retention_ms > now_ms ? 0 : now_ms - v->retention_ms;
    return DL_OK;
}

static dl_status run(vacuum *v, dl_delta_vacuum_result *out, dl_error *err)
{
    DL_TRY(dl_delta_update(v->table, err));
    DL_TRY(dl_delta_check_maintainable(v->table, err));
    DL_TRY(check_retention(v, err));
    DL_TRY(gather_named(v, err));
    DL_TRY(dl_store_list(v->table->open.store, v->table->open.root, look_at, v, err));
    if (v->options->dry_run) {
        list_candidates(v, true, out);
        return DL_OK;
    }
    DL_TRY(dl_delta_update(v->table, err));
    DL_TRY(drop_newly_named(v, 0, err));
    dl_delta_vacuum_result plan = {0};
    list_candidates(v, false, &plan);
    DL_TRY(commit_start(v, &plan, err));
    DL_TRY(drop_newly_named(v, 1, err));
    size_t count = 0;
    candidate *c = candidates_of(v, &count);
    if (count > 1) {
        qsort(c, count, sizeof *c, by_key);
    }
    dl_delta_vacuum_result done = {0};
    DL_TRY(delete_files(v, &done, err));
    DL_TRY(commit_end(v, &done, err));
    *out = done;
    return DL_OK;
}

dl_status dl_delta_vacuum(dl_delta_table *table, const dl_delta_vacuum_options *options,
                          dl_delta_vacuum_result *out_result, dl_error *err)
{
    DL_CLEANUP(vacuum_clear) vacuum v = {.table = table, .options = options};
    dl_buf_init(&v.named, DL_DELTA_MAINTAIN_ARENA_BYTES);
    dl_buf_init(&v.candidates, DL_DELTA_MAINTAIN_ARENA_BYTES);
    v.arena = dl_arena_create(DL_DELTA_MAINTAIN_ARENA_BYTES);
    if (v.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "vacuum: out of memory");
    }
    dl_status status = run(&v, out_result, err);
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "vacuuming the table");
}
