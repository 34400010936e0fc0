/* Sidecars: where v2 checkpoints keep their files. Those that no checkpoint names go. */
#include "delta/maintain.h"

#include "json/json.h"

#include <stdlib.h>
#include <string.h>

enum { CHECKPOINT_TEXT_LIMIT_BYTES = 256 * 1024 * 1024 };

typedef struct sidecars {
    dl_delta_table *table;
    dl_arena *arena;
    dl_buf named; /* dl_str each: file names that a checkpoint has */
    dl_buf old;   /* dl_str each: keys that are old enough */
    int64_t before_us;
} sidecars;

static void sidecars_clear(sidecars *s)
{
    dl_buf_clear(&s->named);
    dl_buf_clear(&s->old);
    dl_arena_destroy(s->arena);
}

static dl_str name_of(dl_str key)
{
    size_t at = key.len;
    while (at > 0 && key.ptr[at - 1] != '/') {
        at--;
    }
    return dl_str_slice(key, at, key.len);
}

static dl_status look_at(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    sidecars *s = context;
    if (stat->modified_us >= s->before_us) {
        return DL_OK;
    }
    dl_str copy = DL_STR_NONE;
    DL_TRY(dl_arena_copy(s->arena, key, &copy, err));
    return dl_buf_append(&s->old, &copy, sizeof copy, err);
}

static dl_status add_name(sidecars *s, dl_str encoded, dl_error *err)
{
    dl_str path = DL_STR_NONE;
    DL_TRY(dl_delta_path_decode(encoded, s->arena, &path, err));
    path = name_of(path);
    return dl_buf_append(&s->named, &path, sizeof path, err);
}

static dl_status names_of_batch(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    sidecars *s = context;
    const dl_columnar_entries *e = &batch->leaves[0];
    for (size_t i = 0; i < e->count; i++) {
        if (e->def[i] == 2) {
            DL_TRY(add_name(s, e->values[i].s, err));
        }
    }
    return DL_OK;
}

static dl_status names_of_parquet(sidecars *s, dl_str key, dl_error *err)
{
    static const dl_columnar_field path = {.name = {"path", 4}, .type = DL_COLUMNAR_STRING};
    static const dl_columnar_field sidecar = {
        .name = {"sidecar", 7}, .type = DL_COLUMNAR_STRUCT, .children = &path, .child_count = 1};
    dl_columnar_scan scan = {.fields = &sidecar, .field_count = 1};
    DL_TRY(dl_store_location(s->table->open.store, key, s->arena, &scan.location, err));
    return dl_columnar_read(s->table->open.engine, &scan, names_of_batch, s, err);
}

static dl_status names_of_json(sidecars *s, dl_str key, int64_t version, dl_error *err)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, CHECKPOINT_TEXT_LIMIT_BYTES);
    DL_TRY(dl_store_get(s->table->open.store, key, &text, err));
    dl_delta_commit commit = {0};
    dl_delta_sidecars found = {0};
    DL_TRY(dl_delta_actions_parse_checkpoint(dl_buf_str(&text), version, s->arena, &commit, &found,
                                             err));
    for (size_t i = 0; i < found.count; i++) {
        dl_str name = DL_STR_NONE;
        DL_TRY(dl_arena_copy(s->arena, name_of(found.items[i].name), &name, err));
        DL_TRY(dl_buf_append(&s->named, &name, sizeof name, err));
    }
    return DL_OK;
}

/* One that cannot be read ends the cleaning: what it names is not known. */
static dl_status gather_named(sidecars *s, dl_error *err)
{
    dl_delta_log_name *names = NULL;
    size_t count = 0;
    DL_TRY(dl_delta_log_list(s->table, 0, s->arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool v2 = names[i].kind == DL_DELTA_LOG_CHECKPOINT_V2;
        if ((!v2 && names[i].kind != DL_DELTA_LOG_CHECKPOINT) || names[i].size_bytes == 0) {
            continue;
        }
        dl_str relative = DL_STR_NONE;
        dl_str key = DL_STR_NONE;
        DL_TRY(dl_arena_printf(s->arena, &relative, err, "_delta_log/%.*s",
                               DL_STR_ARG(names[i].name)));
        DL_TRY(dl_delta_key(s->table, relative, s->arena, &key, err));
        DL_TRY(dl_str_ends(names[i].name, DL_STR(".json"))
                   ? names_of_json(s, key, names[i].version, err)
                   : names_of_parquet(s, key, err));
    }
    return DL_OK;
}

static int by_text(const void *a, const void *b)
{
    return dl_str_compare(*(const dl_str *)a, *(const dl_str *)b);
}

static dl_status remove_unnamed(sidecars *s, int64_t limit, int64_t *out_deleted, dl_error *err)
{
    size_t named_count = s->named.len / sizeof(dl_str);
    size_t old_count = s->old.len / sizeof(dl_str);
    const dl_str *old = (const dl_str *)(const void *)s->old.ptr;
    int64_t deleted = 0;
    if (named_count > 1) {
        qsort(s->named.ptr, named_count, sizeof(dl_str), by_text);
    }
    for (size_t i = 0; i < old_count && deleted < limit; i++) {
        dl_str name = name_of(old[i]);
        if (named_count == 0 ||
            bsearch(&name, s->named.ptr, named_count, sizeof name, by_text) == NULL) {
            DL_TRY(dl_store_remove(s->table->open.store, old[i], err));
            deleted++;
        }
    }
    *out_deleted = deleted;
    return DL_OK;
}

dl_status dl_delta_clean_sidecars(dl_delta_table *table, int64_t limit, int64_t *out_deleted,
                                  dl_error *err)
{
    DL_CLEANUP(sidecars_clear)
    sidecars s = {.table = table, .arena = dl_arena_create(DL_DELTA_MAINTAIN_ARENA_BYTES)};
    if (s.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "cleaning sidecars: out of memory");
    }
    dl_buf_init(&s.named, DL_DELTA_MAINTAIN_ARENA_BYTES);
    dl_buf_init(&s.old, DL_DELTA_MAINTAIN_ARENA_BYTES);
    int64_t midnight_ms = dl_delta_now_ms(table) / DL_DELTA_MS_OF_DAY * DL_DELTA_MS_OF_DAY;
    s.before_us = (midnight_ms - DL_DELTA_MS_OF_DAY) * 1000;
    dl_str folder = DL_STR_NONE;
    DL_TRY(dl_delta_key(table, DL_STR("_delta_log/_sidecars"), s.arena, &folder, err));
    DL_TRY(dl_store_list_folder(table->open.store, folder, DL_STR(""), look_at, &s, err));
    if (s.old.len == 0) {
        *out_deleted = 0;
        return DL_OK;
    }
    DL_TRY(gather_named(&s, err));
    return remove_unnamed(&s, limit, out_deleted, err);
}
