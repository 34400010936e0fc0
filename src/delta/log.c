/* The log: what is in its folder, its commits, and the way to a snapshot (protocol, "Reader
 * Requirements"): newest complete checkpoint, then compactions and commits without a gap. */
#include "delta/internal.h"
#include "json/json.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    HINT_LIMIT_BYTES = 16 * 1024 * 1024, /* _last_checkpoint may hold a v2 checkpoint */
    SHORT_LOG_LIMIT_VERSIONS = 1000,     /* read at 3 us a kilobyte: quicker than a checkpoint */
    SHORT_LOG_LIMIT_BYTES = 4 * 1024 * 1024,
    ARENA_LIMIT_BYTES = 1024 * 1024 * 1024,      /* of one commit's actions */
    KEEP_BYTES = 1024 * 1024,                    /* a buffer that grew beyond it is given back */
    HEAD_BYTES = 64 * 1024,                      /* where a commit's commitInfo is looked for */
    NAMES_LIMIT_BYTES = 1024 * 1024 * 1024 - 16, /* of one listing */
};

/* ---- listing ---- */

typedef struct listing {
    dl_arena *arena;
    dl_buf names; /* of dl_delta_log_name */
} listing;

static dl_status list_one(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    listing *l = context;
    size_t start = key.len;
    while (start > 0 && key.ptr[start - 1] != '/') {
        start--;
    }
    dl_str name = DL_STR_NONE;
    DL_TRY(dl_arena_copy(l->arena, dl_str_slice(key, start, key.len), &name, err));
    dl_delta_log_name entry = dl_delta_log_name_parse(name);
    entry.size_bytes = stat->size_bytes;
    entry.modified_us = stat->modified_us;
    return dl_buf_append(&l->names, &entry, sizeof entry, err);
}

static dl_status log_folder(const dl_delta_table *table, dl_arena *arena, dl_str *out,
                            dl_error *err)
{
    return dl_delta_key(table, DL_STR("_delta_log"), arena, out, err);
}

dl_status dl_delta_log_list(dl_delta_table *table, int64_t from_version, dl_arena *arena,
                            dl_delta_log_name **out_names, size_t *out_count, dl_error *err)
{
    DL_AUTO_BUF names = {0};
    dl_str folder = DL_STR_NONE, after = DL_STR_NONE;
    dl_buf_init(&names, NAMES_LIMIT_BYTES);
    listing l = {arena, names};
    DL_TRY(log_folder(table, arena, &folder, err));
    if (from_version > 0) {
        DL_TRY(dl_arena_printf(arena, &after, err, "%020lld", (long long)from_version));
    }
    dl_status status = dl_store_list_folder(table->open.store, folder, after, list_one, &l, err);
    names = l.names; /* its owner frees it */
    DL_TRY(status);
    size_t count = names.len / sizeof(dl_delta_log_name);
    dl_delta_log_name *out = dl_arena_alloc(arena, count == 0 ? 1 : count, sizeof *out);
    if (out == NULL) {
        return dl_arena_full(arena, err);
    }
    if (count > 0) {
        memcpy(out, names.ptr, names.len);
    }
    *out_names = out;
    *out_count = count;
    return DL_OK;
}

/* ---- commits ---- */

/* Paths below the table's own root become relative ones: a file has one name. */
static dl_status relative_files(const dl_delta_table *table, const dl_delta_file **files,
                                size_t count, dl_arena *arena, dl_error *err)
{
    size_t first = 0;
    while (first < count && !dl_delta_path_is_absolute((*files)[first].path)) {
        first++;
    }
    if (first == count) {
        return DL_OK;
    }
    dl_delta_file *copy = dl_arena_alloc(arena, count, sizeof *copy);
    if (copy == NULL) {
        return dl_arena_full(arena, err);
    }
    memcpy(copy, *files, count * sizeof *copy);
    for (size_t i = first; i < count; i++) {
        DL_TRY(dl_delta_path_relative(table, copy[i].path, arena, &copy[i].path, err));
    }
    *files = copy;
    return DL_OK;
}

dl_status dl_delta_relative_paths(const dl_delta_table *table, dl_delta_commit *commit,
                                  dl_arena *arena, dl_error *err)
{
    DL_TRY(relative_files(table, &commit->adds, commit->add_count, arena, err));
    return relative_files(table, &commit->removes, commit->remove_count, arena, err);
}

static dl_status parse_commit(const dl_delta_table *table, dl_str text, int64_t version,
                              dl_arena *arena, dl_delta_commit *out_commit, dl_error *err)
{
    dl_delta_commit commit = {0};
    DL_TRY(dl_delta_actions_parse(text, version, arena, &commit, err));
    DL_TRY(dl_delta_relative_paths(table, &commit, arena, err));
    *out_commit = commit;
    return DL_OK;
}

static dl_status missing_commit(int64_t version, dl_error *err)
{
    dl_error_clear(err);
    dl_status status = dl_error_set(
        err, DL_E_CORRUPT, "the table's log has a gap: commit %lld is missing", (long long)version);
    dl_error_hint(err, "if the log was cleaned while the table was open, open it anew");
    return status;
}

/* The text of a commit into `text`; DL_E_CORRUPT when it is not there. */
static dl_status get_commit(const dl_delta_table *table, int64_t version, dl_arena *arena,
                            dl_buf *text, dl_error *err)
{
    dl_str key = DL_STR_NONE;
    if (text->cap > KEEP_BYTES) {
        dl_buf_clear(text);
    }
    dl_buf_reset(text);
    DL_TRY(dl_delta_log_key(table, version, ".json", arena, &key, err));
    dl_status status = dl_store_get(table->open.store, key, text, err);
    if (status == DL_E_NOT_FOUND) {
        return missing_commit(version, err);
    }
    return status == DL_OK
               ? DL_OK
               : dl_error_within(err, status, "reading commit %lld", (long long)version);
}

static int64_t file_time_ms(const dl_delta_table *table, int64_t version, dl_arena *arena)
{
    dl_str key = DL_STR_NONE;
    dl_store_stat stat = {0};
    if (dl_delta_log_key(table, version, ".json", arena, &key, NULL) != DL_OK ||
        dl_store_stat_key(table->open.store, key, &stat, NULL) != DL_OK) {
        return -1;
    }
    return stat.modified_us / 1000;
}

static dl_status read_one(const dl_delta_table *table, int64_t version, dl_buf *text,
                          dl_status (*visit)(void *context, const dl_delta_commit *commit,
                                             dl_error *err),
                          void *context, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_delta_commit commit = {0};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(get_commit(table, version, arena, text, err));
    DL_TRY(parse_commit(table, dl_buf_str(text), version, arena, &commit, err));
    if (commit.info.timestamp_ms < 0) {
        commit.info.timestamp_ms = file_time_ms(table, version, arena);
    }
    return visit(context, &commit, err);
}

dl_status dl_delta_log_read(dl_delta_table *table, int64_t first, int64_t last,
                            dl_status (*visit)(void *context, const dl_delta_commit *commit,
                                               dl_error *err),
                            void *context, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    for (int64_t version = first; version <= last; version++) {
        if (dl_cancel_asked(table->open.cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "canceled");
        }
        DL_TRY(read_one(table, version, &text, visit, context, err));
    }
    return DL_OK;
}

/* Length of the first line when it is whole. */
static size_t first_line(dl_str text)
{
    ptrdiff_t end = dl_str_find(text, '\n');
    return end < 0 ? 0 : (size_t)end;
}

dl_status dl_delta_log_info(dl_delta_table *table, int64_t version, dl_arena *arena,
                            dl_delta_info *out_info, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_str key = DL_STR_NONE, copy = DL_STR_NONE, inner = DL_STR_NONE;
    dl_delta_commit commit = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    DL_TRY(dl_delta_log_key(table, version, ".json", arena, &key, err));
    dl_status status = dl_store_get_range(table->open.store, key, 0, HEAD_BYTES, &text, err);
    if (status == DL_E_NOT_FOUND) {
        return missing_commit(version, err);
    }
    DL_TRY(status);
    size_t head = first_line(dl_buf_str(&text));
    dl_str line = {text.ptr, head};
    if (head == 0 || dl_json_check(line, NULL) != DL_OK ||
        !dl_json_get(line, DL_STR("commitInfo"), &inner)) {
        DL_TRY(get_commit(table, version, arena, &text, err));
        line = dl_buf_str(&text);
    }
    DL_TRY(dl_arena_copy(arena, line, &copy, err));
    DL_TRY(dl_delta_actions_parse(copy, version, arena, &commit, err));
    if (commit.info.timestamp_ms < 0) {
        commit.info.timestamp_ms = file_time_ms(table, version, arena);
    }
    *out_info = commit.info;
    return DL_OK;
}

/* ---- finding a checkpoint ---- */

/* The version that _last_checkpoint names; 0 when it says nothing of use: it is a hint only. */
static int64_t read_hint(const dl_delta_table *table, dl_arena *arena)
{
    DL_AUTO_BUF text = {0};
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    int64_t version = 0;
    dl_buf_init(&text, HINT_LIMIT_BYTES);
    if (dl_delta_key(table, DL_STR("_delta_log/_last_checkpoint"), arena, &key, NULL) != DL_OK ||
        dl_store_get(table->open.store, key, &text, NULL) != DL_OK ||
        dl_json_check(dl_buf_str(&text), NULL) != DL_OK ||
        !dl_json_get(dl_buf_str(&text), DL_STR("version"), &value) ||
        !dl_json_int_of(value, &version) || version < 0) {
        return 0;
    }
    return version;
}

/* Of the names of one version: the files of a complete checkpoint, classic before v2 before parts.
 */
static void complete_checkpoint(const dl_delta_log_name *names, size_t count, dl_arena *arena,
                                const dl_delta_log_name **out_files, size_t *out_count)
{
    static const dl_delta_log_kind single[] = {DL_DELTA_LOG_CHECKPOINT, DL_DELTA_LOG_CHECKPOINT_V2};
    *out_count = 0;
    for (size_t k = 0; k < DL_COUNT_OF(single); k++) {
        for (size_t i = 0; i < count; i++) {
            if (names[i].kind == single[k] && names[i].size_bytes > 0) {
                *out_files = &names[i];
                *out_count = 1;
                return;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind != DL_DELTA_LOG_CHECKPOINT_PART || names[i].part != 1) {
            continue;
        }
        int parts = names[i].parts, next = 1;
        dl_delta_log_name *files =
            (size_t)parts > count ? NULL : dl_arena_alloc(arena, (size_t)parts, sizeof *files);
        if (files == NULL) {
            continue; /* more parts than names: not complete */
        }
        for (size_t k = i; k < count && next <= parts; k++) {
            if (names[k].kind == DL_DELTA_LOG_CHECKPOINT_PART && names[k].parts == parts &&
                names[k].part == next && names[k].size_bytes > 0) {
                files[next++ - 1] = names[k];
            }
        }
        if (next == parts + 1) {
            *out_files = files;
            *out_count = (size_t)parts;
            return;
        }
    }
}

/* ---- a snapshot ---- */

typedef struct loader {
    dl_delta_table *table; /* holds the new live set while it is loaded */
    dl_arena *arena;
    dl_delta_log_name *names; /* without those that are no part of the log */
    size_t count;
    int64_t target; /* -1: the newest */
    int64_t limit;  /* of checkpoints */
    const dl_delta_log_name *checkpoint;
    size_t checkpoint_count;
    int64_t base;    /* version of the checkpoint; -1: none */
    int64_t version; /* to be reached */
    int64_t timestamp_ms;
    bool in_commit;
} loader;

/* The newest complete checkpoint at or below `limit`; count 0: none. */
static void find_checkpoint(loader *l, int64_t limit)
{
    l->checkpoint_count = 0;
    for (size_t end = l->count; end > 0 && l->checkpoint_count == 0;) {
        size_t begin = end - 1;
        while (begin > 0 && l->names[begin - 1].version == l->names[end - 1].version) {
            begin--;
        }
        if (l->names[begin].version <= limit) {
            complete_checkpoint(l->names + begin, end - begin, l->arena, &l->checkpoint,
                                &l->checkpoint_count);
        }
        end = begin;
    }
}

static dl_status list_log(loader *l, int64_t from, dl_error *err)
{
    DL_TRY(dl_delta_log_list(l->table, from, l->arena, &l->names, &l->count, err));
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (l->names[i].kind != DL_DELTA_LOG_OTHER) {
            l->names[kept++] = l->names[i];
        }
    }
    l->count = kept;
    return DL_OK;
}

static dl_status not_there(const loader *l, int64_t oldest, int64_t newest, dl_error *err)
{
    dl_status status = dl_error_set(err, DL_E_NOT_FOUND, "version %lld of the table is not there",
                                    (long long)l->target);
    if (l->target > newest) {
        dl_error_hint(err, "its newest version is %lld", (long long)newest);
    } else {
        dl_error_hint(err, "its log was cleaned: versions %lld to %lld can be read",
                      (long long)oldest, (long long)newest);
    }
    return status;
}

/* The oldest version that can be read: that of the first complete checkpoint, or 0. */
static int64_t oldest_version(const loader *l)
{
    for (size_t begin = 0; begin < l->count;) {
        size_t end = begin, files = 0;
        const dl_delta_log_name *found = NULL;
        while (end < l->count && l->names[end].version == l->names[begin].version) {
            end++;
        }
        for (size_t i = begin; i < end; i++) {
            if (l->names[i].kind == DL_DELTA_LOG_COMMIT && l->names[i].version == 0) {
                return 0;
            }
        }
        complete_checkpoint(l->names + begin, end - begin, l->arena, &found, &files);
        if (files > 0) {
            return l->names[begin].version;
        }
        begin = end;
    }
    return 0;
}

/* When the version of the checkpoint was made: by its commit, else by the checkpoint itself. */
static int64_t base_time_ms(const loader *l)
{
    int64_t time_ms = INT64_MIN;
    for (size_t i = 0; i < l->count && l->names[i].version <= l->base; i++) {
        bool commit = l->names[i].kind == DL_DELTA_LOG_COMMIT;
        if (l->names[i].version == l->base && (commit || time_ms == INT64_MIN)) {
            time_ms = l->names[i].modified_us / 1000;
        }
    }
    return time_ms;
}

/* What there is does not reach the target, or nothing begins. */
static dl_status cannot_reach(const loader *l, int64_t at, dl_error *err)
{
    int64_t oldest = oldest_version(l), newest = at;
    for (size_t i = 0; i < l->count; i++) {
        newest = l->names[i].version > newest ? l->names[i].version : newest;
    }
    if (l->target >= 0 && (l->target < oldest || l->target > newest)) {
        return not_there(l, oldest, newest, err);
    }
    return missing_commit(at + 1, err);
}

/* How far the commits after the checkpoint go without a gap, and when the last one was made. */
static dl_status find_version(loader *l, dl_error *err)
{
    int64_t at = l->base, time_ms = base_time_ms(l);
    for (size_t i = 0; i < l->count && (l->target < 0 || at < l->target); i++) {
        const dl_delta_log_name *name = &l->names[i];
        if (name->kind != DL_DELTA_LOG_COMMIT || name->version <= at) {
            continue;
        }
        if (name->version != at + 1) {
            return cannot_reach(l, at, err);
        }
        at = name->version;
        int64_t file_ms = name->modified_us / 1000;
        time_ms = time_ms != INT64_MIN && file_ms <= time_ms ? time_ms + 1 : file_ms;
    }
    if (at < 0 || at < l->target) {
        return cannot_reach(l, at, err);
    }
    l->version = at;
    l->timestamp_ms = time_ms;
    return DL_OK;
}

/* The compaction that begins with `first` and reaches farthest within the run. */
static const dl_delta_log_name *find_compaction(const loader *l, int64_t first)
{
    const dl_delta_log_name *best = NULL;
    for (size_t i = 0; i < l->count && l->names[i].version <= first; i++) {
        const dl_delta_log_name *name = &l->names[i];
        if (name->kind == DL_DELTA_LOG_COMPACTED && name->version == first &&
            name->end_version <= l->version && name->size_bytes > 0 &&
            (best == NULL || name->end_version > best->end_version)) {
            best = name;
        }
    }
    return best;
}

static dl_status apply_compaction(const loader *l, const dl_delta_log_name *name, dl_buf *text,
                                  dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_delta_commit commit = {0};
    dl_str path = DL_STR_NONE, key = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_arena_printf(arena, &path, err, "_delta_log/%.*s", DL_STR_ARG(name->name)));
    DL_TRY(dl_delta_key(l->table, path, arena, &key, err));
    dl_buf_reset(text);
    dl_status status = dl_store_get(l->table->open.store, key, text, err);
    if (status == DL_OK) {
        status = parse_commit(l->table, dl_buf_str(text), name->end_version, arena, &commit, err);
    }
    if (status == DL_OK) {
        status = dl_delta_live_apply(l->table->live, &commit, err);
    }
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status, "reading %.*s", DL_STR_ARG(name->name));
}

static dl_status apply_loaded(void *context, const dl_delta_commit *commit, dl_error *err)
{
    loader *l = context;
    if (commit->info.version == l->version && commit->info.in_commit) {
        l->in_commit = true;
        l->timestamp_ms = commit->info.timestamp_ms;
    }
    return dl_delta_live_apply(l->table->live, commit, err);
}

static bool has_compactions(const loader *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->names[i].kind == DL_DELTA_LOG_COMPACTED) {
            return true;
        }
    }
    return false;
}

static dl_status apply_commits(loader *l, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    if (!has_compactions(l)) {
        return dl_delta_log_read(l->table, l->base + 1, l->version, apply_loaded, l, err);
    }
    for (int64_t at = l->base + 1; at <= l->version;) {
        const dl_delta_log_name *compacted = find_compaction(l, at);
        if (compacted != NULL) {
            DL_TRY(apply_compaction(l, compacted, &text, err));
            at = compacted->end_version + 1;
        } else {
            DL_TRY(dl_delta_log_read(l->table, at, at, apply_loaded, l, err));
            at++;
        }
    }
    return DL_OK;
}

/* The last commit's own time where no reading of it gave it. */
static void read_timestamp(loader *l)
{
    dl_delta_info info = {0};
    const dl_delta_metadata *metadata = dl_delta_live_metadata(l->table->live);
    if (!l->in_commit &&
        dl_str_eq_nocase(dl_delta_configuration(metadata, "delta.enableInCommitTimestamps"),
                         DL_STR("true")) &&
        dl_delta_log_info(l->table, l->version, l->arena, &info, NULL) == DL_OK && info.in_commit) {
        l->timestamp_ms = info.timestamp_ms;
    }
}

/* Fills an empty live set by one way. `out_checkpoint_bad`: it was the checkpoint that failed. */
static dl_status load_from(loader *l, bool *out_checkpoint_bad, dl_error *err)
{
    *out_checkpoint_bad = false;
    l->base = l->checkpoint_count > 0 ? l->checkpoint[0].version : -1;
    l->in_commit = false;
    DL_TRY(find_version(l, err));
    dl_delta_live_destroy(l->table->live);
    l->table->live = NULL;
    DL_TRY(dl_delta_live_create(&l->table->live, err));
    if (l->base >= 0) {
        dl_status status =
            dl_delta_checkpoint_read(l->table, l->checkpoint, l->checkpoint_count, err);
        if (status != DL_OK) {
            *out_checkpoint_bad = status == DL_E_CORRUPT || status == DL_E_NOT_FOUND;
            return dl_error_within(err, status, "reading the checkpoint of version %lld",
                                   (long long)l->base);
        }
    }
    DL_TRY(apply_commits(l, err));
    if (dl_delta_live_protocol(l->table->live) == NULL ||
        dl_delta_live_metadata(l->table->live) == NULL) {
        *out_checkpoint_bad = l->base >= 0;
        return dl_error_set(err, DL_E_CORRUPT, "the table's log has no %s up to version %lld",
                            dl_delta_live_protocol(l->table->live) == NULL ? "protocol"
                                                                           : "metaData",
                            (long long)l->version);
    }
    read_timestamp(l);
    return DL_OK;
}

/* Whether all commits from 0 up to the hint are there, and short enough to be read rather than a
 * checkpoint. */
static bool has_short_log(const loader *l, int64_t hint)
{
    int64_t next = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (l->names[i].kind == DL_DELTA_LOG_COMMIT && l->names[i].version == next) {
            next++;
            bytes += l->names[i].size_bytes;
        }
    }
    return next > hint && bytes <= SHORT_LOG_LIMIT_BYTES;
}

/* The table from its commits alone; false: it has to be from a checkpoint. */
static bool load_short_log(loader *l, int64_t hint)
{
    bool bad = false;
    if (!l->table->open.prefer_commits || hint == 0 || hint > SHORT_LOG_LIMIT_VERSIONS ||
        list_log(l, 0, NULL) != DL_OK || !has_short_log(l, hint)) {
        return false;
    }
    l->checkpoint_count = 0;
    if (load_from(l, &bad, NULL) != DL_OK) {
        return false;
    }
    find_checkpoint(l, l->version);
    l->base = l->checkpoint_count > 0 ? l->checkpoint[0].version : -1; /* the newest known */
    return true;
}

/* Tries the newest checkpoint, then older ones where that one is damaged, then none. */
static dl_status load(loader *l, dl_error *err)
{
    int64_t limit = l->target >= 0 && l->target < l->limit ? l->target : l->limit;
    int64_t hint = read_hint(l->table, l->arena);
    int64_t from = hint <= limit ? hint : 0;
    dl_error first = {0};
    if (load_short_log(l, hint)) {
        return DL_OK;
    }
    DL_TRY(list_log(l, from, err));
    for (;;) {
        bool bad = false;
        find_checkpoint(l, limit);
        if (l->checkpoint_count == 0 && from > 0) {
            from = 0;
            DL_TRY(list_log(l, 0, err));
            continue;
        }
        if (l->count == 0) {
            return dl_error_set(err, DL_E_NOT_FOUND, "there is no Delta table in '%.*s'",
                                DL_STR_ARG(l->table->open.root));
        }
        dl_error cause = {0};
        dl_status status = load_from(l, &bad, &cause);
        if (status == DL_OK) {
            return DL_OK;
        }
        if (first.status == DL_OK) {
            first = cause;
        }
        if (!bad || l->base <= 0) {
            if (err != NULL) {
                *err = first;
            }
            return first.status;
        }
        limit = l->base - 1;
    }
}

dl_status dl_delta_log_load(dl_delta_table *table, int64_t target, int64_t limit, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    loader l = {.table = table, .arena = arena, .target = target, .limit = limit};
    DL_TRY(load(&l, err));
    table->version = l.version;
    table->timestamp_ms = l.timestamp_ms;
    table->checkpoint_version = l.base;
    return DL_OK;
}
