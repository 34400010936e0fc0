/* The Delta tables of a session: opened when they are first named, moved on before each statement,
 * and shown to the engine as views. */
#include "query/snapshot.h"

#include "base/mem.h"
#include "base/sanitize.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SESSION_LIMIT_BYTES = 64 * 1024 * 1024, PATH_ROOM = 4096 };

/* ---- the session ---- */

dl_status dl_snapshots_create(const dl_query_options *options, dl_snapshots **out_snapshots,
                              dl_error *err)
{
    DL_AUTO(dl_snapshots) s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL || (s->arena = dl_arena_create(SESSION_LIMIT_BYTES)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "query: out of memory");
    }
    s->clock = options->clock.now_us == NULL ? dl_clock_system() : options->clock;
    s->cancel = options->cancel;
    s->table_room = options->table_count;
    s->tables = dl_arena_alloc(s->arena, options->table_count + 1, sizeof *s->tables);
    if (s->tables == NULL) {
        return dl_arena_full(s->arena, err);
    }
    dl_buf_init(&s->views, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    DL_TRY(dl_columnar_engine_create(&(dl_columnar_engine_options){0}, &s->columnar, err));
    *out_snapshots = DL_STEAL(s);
    return DL_OK;
}

static void clear_bound(dl_snapshot_bound *bound)
{
    for (size_t i = 0; i < bound->bitmap_count; i++) {
        dl_delta_bitmap_destroy(bound->bitmaps[i]);
    }
    dl_mem_free(bound->bitmaps);
    dl_arena_destroy(bound->arena);
    *bound = (dl_snapshot_bound){0};
}

static void close_table(dl_snapshot_table *t)
{
    dl_delta_table_close(t->table);
    dl_store_close(t->store);
    t->table = NULL;
    t->store = NULL;
}

void dl_snapshots_destroy(dl_snapshots *snapshots)
{
    if (snapshots == NULL) {
        return;
    }
    clear_bound(&snapshots->bound);
    for (size_t i = 0; i < snapshots->table_count; i++) {
        close_table(&snapshots->tables[i]);
    }
    dl_columnar_engine_destroy(snapshots->columnar);
    dl_buf_clear(&snapshots->views);
    dl_arena_destroy(snapshots->arena);
    dl_mem_free(snapshots);
}

/* ---- tables ---- */

static dl_delta_open open_options(const dl_snapshots *s, dl_store *store)
{
    return (dl_delta_open){.store = store,
                           .engine = s->columnar,
                           .clock = s->clock,
                           .version = -1,
                           .timestamp_us = INT64_MIN,
                           .prefer_commits = true,
                           .cancel = s->cancel};
}

/* The tag of the newest commit that the table knows; 0: it is not there any more. */
static int64_t commit_tag(const dl_snapshot_table *t)
{
    char key[64];
    dl_store_stat stat = {0};
    (void)snprintf(key, sizeof key, "_delta_log/%020lld.json",
                   (long long)dl_delta_version(t->table));
    return dl_store_stat_key(t->store, dl_str_of(key), &stat, NULL) == DL_OK ? stat.tag : 0;
}

/* Which folder stands under the path now; false: none. The arena's text ends with a NUL. */
static bool look_at_folder(const dl_snapshot_table *t, uint64_t *out_device, uint64_t *out_inode)
{
    struct stat folder = {0};
    bool there = stat(t->folder.ptr, &folder) == 0;
    *out_device = there ? folder.st_dev : 0;
    *out_inode = there ? folder.st_ino : 0;
    return there;
}

static dl_status open_table(const dl_snapshots *s, dl_snapshot_table *t, dl_error *err)
{
    char path[PATH_ROOM];
    (void)look_at_folder(t, &t->device, &t->inode); /* before: a change meanwhile is then seen */
    if (!dl_str_copy(t->folder, path, sizeof path)) {
        return dl_error_set(err, DL_E_LIMIT, "a folder's path is longer than %d bytes",
                            PATH_ROOM - 1);
    }
    dl_error cause = {0};
    dl_status opened = dl_store_open_shared(path, false, &t->store, &cause);
    if (opened == DL_E_NOT_FOUND) {
        dl_error_set(err, opened, "there is no folder %s", path);
        dl_error_hint(err, "the table was moved or deleted: look at the shortcut it is named by");
        return opened;
    }
    if (opened != DL_OK) {
        return dl_error_set(err, opened, "%s", cause.message);
    }
    dl_delta_open options = open_options(s, t->store);
    dl_status status = dl_delta_table_open(&options, &t->table, err);
    if (status != DL_OK) {
        close_table(t);
        return status;
    }
    t->commit_tag = commit_tag(t);
    return DL_OK;
}

/* A table that was opened before: still the same one, and at its newest version now. */
static dl_status move_on(dl_snapshot_table *t, dl_error *err)
{
    uint64_t device = 0, inode = 0;
    if (!look_at_folder(t, &device, &inode) || device != t->device || inode != t->inode ||
        t->commit_tag == 0 || commit_tag(t) != t->commit_tag) {
        return dl_error_set(err, DL_E_CONFLICT, "the table is another one now");
    }
    int64_t version = dl_delta_version(t->table);
    DL_TRY(dl_delta_update(t->table, err));
    if (dl_delta_version(t->table) != version) {
        t->commit_tag = commit_tag(t);
    }
    return DL_OK;
}

static dl_status find_table(dl_snapshots *s, dl_str folder, dl_snapshot_table **out_table,
                            dl_error *err)
{
    for (size_t i = 0; i < s->table_count; i++) {
        if (dl_str_eq(s->tables[i].folder, folder)) {
            *out_table = &s->tables[i];
            return DL_OK;
        }
    }
    if (s->table_count == s->table_room) {
        return dl_error_set(err, DL_E_LIMIT, "more tables than the session was opened with");
    }
    dl_snapshot_table *t = &s->tables[s->table_count];
    *t = (dl_snapshot_table){0};
    DL_TRY(dl_arena_copy(s->arena, folder, &t->folder, err));
    s->table_count++;
    *out_table = t;
    return DL_OK;
}

dl_status dl_snapshots_table(dl_snapshots *snapshots, const dl_query_table *table,
                             dl_snapshot_table **out_table, dl_error *err)
{
    dl_snapshot_table *t = NULL;
    if (table->broken.len > 0) {
        return dl_error_set(err, DL_E_NOT_FOUND, "table '%.*s' cannot be read: %.*s",
                            DL_STR_ARG(table->name), DL_STR_ARG(table->broken));
    }
    DL_TRY(find_table(snapshots, table->folder, &t, err));
    if (t->table != NULL && move_on(t, NULL) != DL_OK) {
        close_table(t); /* its log was cleaned meanwhile, or it was made anew: from the start */
    }
    if (t->table == NULL) {
        dl_status status = open_table(snapshots, t, err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "opening table '%.*s'", DL_STR_ARG(table->name));
        }
    }
    *out_table = t;
    return DL_OK;
}

dl_status dl_snapshots_open_at(const dl_snapshots *snapshots, const dl_snapshot_table *table,
                               int64_t version, int64_t timestamp_us, dl_delta_table **out_table,
                               dl_error *err)
{
    dl_delta_open options = open_options(snapshots, table->store);
    options.version = version;
    options.timestamp_us = timestamp_us;
    return dl_delta_table_open(&options, out_table, err);
}

/* ---- binding ---- */

typedef struct binding {
    dl_snapshots *snapshots;
    dl_engine *engine;
    const dl_snapshot_want *wants;
    size_t count;
    dl_snapshot_table **tables; /* one a want */
    int64_t *versions;          /* of those that do not travel */
    int64_t *watermarks;        /* that they agree on; -1: each says for itself */
    dl_error *err;
} binding;

static dl_status begin(binding *b)
{
    dl_snapshots *s = b->snapshots;
    DL_SANITIZE_TAKE_OVER(&s->views); /* the statement before is over, and its callbacks with it */
    clear_bound(&s->bound);
    s->bound.arena = dl_arena_create(DL_SNAPSHOT_ARENA_BYTES);
    if (s->bound.arena == NULL) {
        return dl_error_set(b->err, DL_E_NOMEM, "query: out of memory");
    }
    s->bound.group_count = b->count * 2;
    s->bound.groups = dl_arena_alloc(s->bound.arena, b->count * 2 + 1, sizeof *s->bound.groups);
    b->tables = dl_arena_alloc(s->bound.arena, b->count + 1, sizeof(dl_snapshot_table *));
    b->versions = dl_arena_alloc(s->bound.arena, b->count + 1, sizeof *b->versions);
    b->watermarks = dl_arena_alloc(s->bound.arena, b->count + 1, sizeof *b->watermarks);
    if (s->bound.groups == NULL || b->tables == NULL || b->versions == NULL ||
        b->watermarks == NULL) {
        return dl_arena_full(s->bound.arena, b->err);
    }
    if (s->views.len > 0) {
        dl_str drop = dl_buf_str(&s->views);
        dl_buf_reset(&s->views);
        DL_TRY(dl_engine_exec(b->engine, drop, b->err));
    }
    return dl_snapshot_register(s, b->engine, b->err);
}

static dl_status note_view(dl_snapshots *s, dl_str view, dl_error *err)
{
    DL_TRY(dl_buf_append_str(&s->views, DL_STR("DROP VIEW IF EXISTS temp."), err));
    DL_TRY(dl_engine_put_name(&s->views, view, err));
    return dl_buf_append_str(&s->views, DL_STR("; "), err);
}

/* One want: its table at its version, as a view. */
static dl_status bind_one(binding *b, size_t i, dl_query_read *out_read)
{
    const dl_snapshot_want *want = &b->wants[i];
    dl_snapshot_table *table = b->tables[i];
    DL_AUTO_TABLE other = NULL;
    dl_delta_table *shown = table->table;
    if (want->travels) {
        DL_TRY(dl_snapshots_open_at(b->snapshots, table, want->version, want->timestamp_us, &other,
                                    b->err));
        shown = other;
    } else if (b->versions[i] != dl_delta_version(table->table)) {
        DL_TRY(
            dl_snapshots_open_at(b->snapshots, table, b->versions[i], INT64_MIN, &other, b->err));
        shown = other;
    }
    DL_TRY(note_view(b->snapshots, want->view, b->err));
    DL_TRY(dl_snapshot_view(b->snapshots, b->engine, want, i * 2, shown, out_read, b->err));
    if (b->watermarks[i] >= 0) {
        out_read->watermark = b->watermarks[i];
    }
    return DL_OK;
}

/* Whether want `i` is the first of its set's that reads its table. */
static bool is_pick(const binding *b, size_t i, dl_str set)
{
    if (b->wants[i].travels || !dl_str_eq(b->wants[i].table->set, set)) {
        return false;
    }
    for (size_t k = 0; k < i; k++) {
        if (b->tables[k] == b->tables[i] && !b->wants[k].travels) {
            return false;
        }
    }
    return true;
}

/* One version each for the tables of the set that want `first` is of. */
static dl_status agree(binding *b, size_t first, size_t *out_want)
{
    dl_arena *arena = b->snapshots->bound.arena;
    dl_str set = b->wants[first].table->set;
    dl_snapshot_pick *picks = dl_arena_alloc(arena, b->count, sizeof *picks);
    size_t *wants = dl_arena_alloc(arena, b->count, sizeof *wants);
    size_t count = 0, at = 0;
    if (picks == NULL || wants == NULL) {
        return dl_arena_full(arena, b->err);
    }
    for (size_t i = 0; i < b->count; i++) {
        if (is_pick(b, i, set)) {
            wants[count] = i;
            picks[count++] = (dl_snapshot_pick){b->tables[i]->table, b->tables[i]->folder, 0, -1};
        }
    }
    dl_status status = dl_snapshot_agree(picks, count, &at, b->err);
    if (status != DL_OK) {
        *out_want = wants[at];
        return dl_error_within(b->err, status, "reading table '%.*s'",
                               DL_STR_ARG(b->wants[wants[at]].table->name));
    }
    for (size_t i = 0; i < b->count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (!b->wants[i].travels && b->tables[i]->table == picks[k].table) {
                b->versions[i] = picks[k].version;
                b->watermarks[i] = picks[k].watermark;
            }
        }
    }
    return DL_OK;
}

static dl_status agree_all(binding *b, size_t *out_want)
{
    for (size_t i = 0; i < b->count; i++) {
        b->versions[i] = dl_delta_version(b->tables[i]->table);
        b->watermarks[i] = -1;
    }
    for (size_t i = 0; i < b->count; i++) {
        dl_str set = b->wants[i].table->set;
        bool first = set.len > 0 && !b->wants[i].travels;
        for (size_t k = 0; k < i && first; k++) {
            first = b->wants[k].travels || !dl_str_eq(b->wants[k].table->set, set);
        }
        if (first) {
            DL_TRY(agree(b, i, out_want));
        }
    }
    return DL_OK;
}

static dl_status bind_all(binding *b, dl_query_read *reads, size_t *out_want)
{
    for (size_t i = 0; i < b->count; i++) {
        *out_want = i;
        DL_TRY(dl_snapshots_table(b->snapshots, b->wants[i].table, &b->tables[i], b->err));
    }
    DL_TRY(agree_all(b, out_want));
    for (size_t i = 0; i < b->count; i++) {
        *out_want = i;
        dl_status status = bind_one(b, i, &reads[i]);
        if (status != DL_OK) {
            return dl_error_within(b->err, status, "reading table '%.*s'",
                                   DL_STR_ARG(b->wants[i].table->name));
        }
    }
    return DL_OK;
}

static dl_status copy_reads(const dl_query_read *reads, size_t count, dl_arena *arena,
                            dl_query_read *out, dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        dl_str name = DL_STR_NONE;
        DL_TRY(dl_arena_copy(arena, reads[i].table, &name, err));
        out[i] = reads[i];
        out[i].table = name;
    }
    return DL_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_snapshots_bind(dl_snapshots *snapshots, dl_engine *engine,
                            const dl_snapshot_want *wants, size_t want_count, dl_arena *arena,
                            dl_query_read *out_reads, size_t *out_want, dl_error *err)
{
    size_t at = 0;
    binding b = {
        .snapshots = snapshots, .engine = engine, .wants = wants, .count = want_count, .err = err};
    dl_status status = begin(&b);
    dl_query_read *reads = NULL;
    if (status == DL_OK) {
        reads = dl_arena_alloc(snapshots->bound.arena, want_count + 1, sizeof *reads);
        status =
            reads == NULL ? dl_arena_full(snapshots->bound.arena, err) : bind_all(&b, reads, &at);
    }
    if (status == DL_OK) {
        status = copy_reads(reads, want_count, arena, out_reads, err);
    }
    if (status != DL_OK && out_want != NULL) {
        *out_want = at;
    }
    DL_SANITIZE_HAND_OVER(&snapshots->bound);
    return status;
}
