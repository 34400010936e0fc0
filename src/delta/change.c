/* A change to actions: new files, deletion vectors grown, files gone; then all files durable, then
 * the commit. */
#include "delta/commit.h"

#include "base/mem.h"

#include <string.h>

enum { ARENA_LIMIT_BYTES = 1024 * 1024 * 1024 };

/* A change under way; text lives in the arena, the table or the caller. */
typedef struct assembly {
    dl_delta_table *table;
    const dl_delta_change *change;
    dl_arena *arena;
    dl_delta_dv_writer *dvs; /* NULL: no vector yet */
    dl_delta_file *adds, *removes;
    size_t add_count, remove_count;
    dl_str *paths; /* open addressing: paths of live files that the change takes hold of */
    size_t path_slots;
    dl_delta_tally tally;
    int64_t now_ms;
    bool published; /* the vectors' file */
    dl_str dv_key;
} assembly;

/* ---- each file once ---- */

static uint64_t hash_of(dl_str text)
{
    return dl_store_xxh64((dl_bytes){(const uint8_t *)text.ptr, text.len});
}

static dl_status claim_path(assembly *a, dl_str path, dl_error *err)
{
    size_t at = hash_of(path) & (a->path_slots - 1);
    while (a->paths[at].ptr != NULL) {
        if (dl_str_eq(a->paths[at], path)) {
            return dl_error_set(err, DL_E_INVALID, "the change names the file %.*s twice",
                                DL_STR_ARG(path));
        }
        at = (at + 1) & (a->path_slots - 1);
    }
    a->paths[at] = path;
    return DL_OK;
}

static dl_status make_room(assembly *a, dl_error *err)
{
    const dl_delta_change *c = a->change;
    size_t adds = c->writer_count + c->kill_count + c->restore_count;
    size_t removes = c->kill_count + c->remove_count;
    a->path_slots = 16;
    while (a->path_slots < 2 * removes) {
        a->path_slots *= 2;
    }
    a->adds = dl_arena_alloc(a->arena, adds + 1, sizeof *a->adds);
    a->removes = dl_arena_alloc(a->arena, removes + 1, sizeof *a->removes);
    a->paths = dl_arena_alloc(a->arena, a->path_slots, sizeof *a->paths);
    a->tally.sizes = dl_arena_alloc(a->arena, c->writer_count + 1, sizeof *a->tally.sizes);
    if (a->adds == NULL || a->removes == NULL || a->paths == NULL || a->tally.sizes == NULL) {
        return dl_arena_full(a->arena, err);
    }
    return DL_OK;
}

/* ---- files that go ---- */

static dl_status live_file(const assembly *a, dl_str path, const dl_delta_file **out_file,
                           dl_error *err)
{
    *out_file = dl_delta_file_by_path(a->table, path);
    if (*out_file == NULL) {
        return dl_error_set(err, DL_E_CONFLICT, "the file %.*s is not live at version %lld",
                            DL_STR_ARG(path), (long long)a->table->version);
    }
    return DL_OK;
}

/* Copies what the table owns: it moves when somebody else comes first. */
static dl_status copy_vector(assembly *a, dl_delta_dv *dv, dl_error *err)
{
    return dv->storage == '\0'
               ? DL_OK
               : dl_arena_copy(a->arena, dv->path_or_inline, &dv->path_or_inline, err);
}

static dl_status copy_pairs(assembly *a, dl_delta_pairs *pairs, dl_error *err)
{
    dl_delta_pair *items = dl_arena_alloc(a->arena, pairs->count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(a->arena, err);
    }
    for (size_t i = 0; i < pairs->count; i++) {
        DL_TRY(dl_arena_copy(a->arena, pairs->items[i].key, &items[i].key, err));
        if (pairs->items[i].value.ptr != NULL) {
            DL_TRY(dl_arena_copy(a->arena, pairs->items[i].value, &items[i].value, err));
        }
    }
    pairs->items = items;
    return DL_OK;
}

static dl_status copy_file(assembly *a, const dl_delta_file *from, dl_delta_file *out,
                           dl_error *err)
{
    dl_delta_file file = *from;
    DL_TRY(dl_arena_copy(a->arena, from->path, &file.path, err));
    DL_TRY(copy_pairs(a, &file.partition_values, err));
    DL_TRY(copy_pairs(a, &file.tags, err));
    DL_TRY(copy_vector(a, &file.dv, err));
    *out = file;
    return DL_OK;
}

/* The remove of a live file; without statistics, the log is long enough. */
static void put_remove(assembly *a, const dl_delta_file *file)
{
    dl_delta_file *gone = &a->removes[a->remove_count++];
    *gone = *file;
    gone->stats = DL_STR_NONE;
    gone->deletion_ms = a->now_ms;
    gone->data_change = a->change->data_change;
}

static void count_gone(assembly *a, const dl_delta_file *file)
{
    dl_delta_tally *t = &a->tally;
    t->files_removed++;
    t->bytes_removed += file->size_bytes;
    t->dvs_removed += file->dv.storage != '\0';
    if (file->row_count < 0 || t->rows_deleted < 0) {
        t->rows_deleted = -1;
    } else {
        t->rows_deleted += file->row_count - (file->dv.storage != '\0' ? file->dv.cardinality : 0);
    }
}

static dl_status take_remove(assembly *a, dl_str path, dl_error *err)
{
    const dl_delta_file *live = NULL;
    dl_delta_file file = {0};
    DL_TRY(live_file(a, path, &live, err));
    DL_TRY(claim_path(a, path, err));
    DL_TRY(copy_file(a, live, &file, err));
    put_remove(a, &file);
    count_gone(a, &file);
    return DL_OK;
}

/* ---- deletion vectors ---- */

static dl_status put_vector(assembly *a, const dl_delta_bitmap *rows, dl_delta_dv *out_dv,
                            dl_error *err)
{
    if (!dl_delta_makes_dvs(a->table)) {
        dl_error_set(err, DL_E_UNSUPPORTED, "the table %.*s takes no deletion vectors",
                     DL_STR_ARG(a->table->open.root));
        dl_error_hint(err, "rewrite the file, or set delta.enableDeletionVectors");
        return DL_E_UNSUPPORTED;
    }
    if (a->dvs == NULL) {
        DL_TRY(dl_delta_dv_writer_create(a->table, &a->dvs, err));
    }
    return dl_delta_dv_writer_put(a->dvs, rows, a->arena, out_dv, err);
}

/* numRecords, from the file itself where the log does not say. */
static dl_status physical_rows(const assembly *a, const dl_delta_file *file, int64_t *out_rows,
                               dl_error *err)
{
    dl_str key = DL_STR_NONE, location = DL_STR_NONE;
    if (file->row_count >= 0) {
        *out_rows = file->row_count;
        return DL_OK;
    }
    DL_TRY(dl_delta_key(a->table, file->path, a->arena, &key, err));
    DL_TRY(dl_store_location(a->table->open.store, key, a->arena, &location, err));
    return dl_columnar_row_count(a->table->open.engine, location, out_rows, err);
}

static dl_status check_rows(const dl_delta_bitmap *rows, int64_t row_count, dl_str path,
                            dl_error *err)
{
    uint64_t beyond = 0;
    if (dl_delta_bitmap_next(rows, (uint64_t)row_count, &beyond)) {
        return dl_error_set(err, DL_E_INVALID,
                            "the change deletes row %llu of the file %.*s, which "
                            "has %lld",
                            (unsigned long long)beyond, DL_STR_ARG(path), (long long)row_count);
    }
    return DL_OK;
}

/* The file with more rows dead than before. */
static dl_status put_grown(assembly *a, const dl_delta_file *file, int64_t row_count,
                           const dl_delta_bitmap *dead, dl_error *err)
{
    dl_delta_file grown = *file;
    DL_TRY(put_vector(a, dead, &grown.dv, err));
    DL_TRY(dl_delta_stats_with(file->stats, row_count, false, a->arena, &grown.stats, err));
    grown.row_count = row_count;
    grown.data_change = a->change->data_change;
    put_remove(a, file);
    a->adds[a->add_count++] = grown;
    bool had = file->dv.storage != '\0';
    a->tally.dvs_added += !had;
    a->tally.dvs_updated += had;
    return DL_OK;
}

static dl_status take_kill(assembly *a, const dl_delta_kill *kill, dl_error *err)
{
    const dl_delta_file *live = NULL;
    dl_delta_file file = {0};
    int64_t row_count = 0;
    DL_TRY(live_file(a, kill->path, &live, err));
    DL_TRY(claim_path(a, kill->path, err));
    DL_TRY(copy_file(a, live, &file, err));
    DL_TRY(physical_rows(a, &file, &row_count, err));
    DL_TRY(check_rows(kill->rows, row_count, kill->path, err));
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    DL_TRY(dl_delta_bitmap_create(&dead, err));
    DL_TRY(dl_delta_dv_read(a->table, &file.dv, dead, err));
    uint64_t before = dl_delta_bitmap_count(dead);
    DL_TRY(dl_delta_bitmap_merge(dead, kill->rows, err));
    uint64_t after = dl_delta_bitmap_count(dead);
    if (after == before && after < (uint64_t)row_count) {
        return DL_OK; /* all of them are dead already */
    }
    file.row_count = row_count;
    if (after == (uint64_t)row_count) {
        put_remove(a, &file);
        count_gone(a, &file);
        return DL_OK;
    }
    a->tally.rows_deleted += a->tally.rows_deleted < 0 ? 0 : (int64_t)(after - before);
    return put_grown(a, &file, row_count, dead, err);
}

/* ---- files that come ---- */

static dl_status take_writer(assembly *a, size_t index, dl_error *err)
{
    const dl_delta_change *c = a->change;
    const dl_delta_writer *writer = c->writers[index];
    const dl_delta_bitmap *dead = c->writer_dead == NULL ? NULL : c->writer_dead[index];
    uint64_t dead_count = dead == NULL ? 0 : dl_delta_bitmap_count(dead);
    dl_delta_file file = {0};
    DL_ASSERT(dl_delta_writer_finished(writer));
    dl_delta_writer_file(writer, &file);
    file.data_change = c->data_change;
    if (dead_count > 0) {
        DL_TRY(check_rows(dead, file.row_count, file.path, err));
    }
    if (dead_count == (uint64_t)file.row_count) {
        return DL_OK; /* nothing in it lives */
    }
    if (dead_count > 0) {
        DL_TRY(put_vector(a, dead, &file.dv, err));
        DL_TRY(dl_delta_stats_with(file.stats, file.row_count, false, a->arena, &file.stats, err));
        a->tally.dvs_added++;
    }
    a->adds[a->add_count++] = file;
    a->tally.files_added++;
    a->tally.bytes_added += file.size_bytes;
    a->tally.rows_added += file.row_count - (int64_t)dead_count;
    a->tally.sizes[a->tally.size_count++] = file.size_bytes;
    return DL_OK;
}

static dl_status take_all(assembly *a, dl_error *err)
{
    const dl_delta_change *c = a->change;
    for (size_t i = 0; i < c->remove_count; i++) {
        DL_TRY(take_remove(a, c->removes[i], err));
    }
    for (size_t i = 0; i < c->kill_count; i++) {
        DL_TRY(take_kill(a, &c->kills[i], err));
    }
    for (size_t i = 0; i < c->writer_count; i++) {
        DL_TRY(take_writer(a, i, err));
    }
    for (size_t i = 0; i < c->restore_count; i++) {
        a->adds[a->add_count] = c->restores[i];
        a->adds[a->add_count++].data_change = c->data_change;
        a->tally.files_restored++;
        a->tally.bytes_restored += c->restores[i].size_bytes;
    }
    return DL_OK;
}

/* ---- durable before visible ---- */

static dl_status name_all(assembly *a, dl_store_publish_item *items, dl_delta_writer **owners,
                          size_t *out_count, dl_error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < a->change->writer_count; i++) {
        dl_delta_writer *writer = a->change->writers[i];
        dl_store_spool *spool = dl_delta_writer_spool(writer);
        if (spool == NULL) {
            continue; /* an earlier try named it */
        }
        owners[count] = writer;
        items[count].spool = spool;
        DL_TRY(
            dl_delta_key(a->table, dl_delta_writer_path(writer), a->arena, &items[count].key, err));
        count++;
    }
    if (a->dvs != NULL) {
        items[count].spool = dl_delta_dv_writer_spool(a->dvs);
        DL_TRY(dl_delta_dv_writer_key(a->table, a->dvs, a->arena, &items[count].key, err));
        a->tally.dv_bytes = (int64_t)dl_store_spool_size(items[count].spool);
        a->dv_key = items[count].key;
        count++;
    }
    *out_count = count;
    return DL_OK;
}

static dl_status publish_all(assembly *a, dl_error *err)
{
    size_t count = 0, limit = a->change->writer_count + 1;
    dl_store_publish_item *items = dl_arena_alloc(a->arena, limit, sizeof *items);
    dl_delta_writer **owners = dl_arena_alloc(a->arena, limit, sizeof(void *));
    dl_error *causes = dl_arena_alloc(a->arena, limit, sizeof *causes);
    if (items == NULL || owners == NULL || causes == NULL) {
        return dl_arena_full(a->arena, err);
    }
    DL_TRY(name_all(a, items, owners, &count, err));
    for (size_t i = 0; i < count; i++) {
        items[i].err = &causes[i];
    }
    dl_store_publish(a->table->open.store, items, count);
    dl_status status = DL_OK;
    for (size_t i = 0; i < count; i++) {
        if (items[i].status == DL_OK && owners[i] != NULL) {
            dl_delta_writer_published(owners[i]);
        } else if (items[i].status == DL_OK) {
            a->published = true;
        } else if (status == DL_OK) {
            status = items[i].status;
            dl_error_set(err, status, "%s", causes[i].message);
            if (err != NULL) {
                err->os_code = causes[i].os_code;
            }
            dl_error_within(err, status, "naming the file %.*s", DL_STR_ARG(items[i].key));
        }
    }
    return status == DL_E_EXISTS ? DL_E_IO : status; /* a name of our own that is taken */
}

/* ---- the commit ---- */

static dl_status take_apps(assembly *a, const dl_delta_app **out_apps, dl_error *err)
{
    const dl_delta_change *c = a->change;
    dl_delta_app *apps = dl_arena_alloc(a->arena, c->app_count + 1, sizeof *apps);
    if (apps == NULL) {
        return dl_arena_full(a->arena, err);
    }
    for (size_t i = 0; i < c->app_count; i++) {
        apps[i] = c->apps[i];
        apps[i].updated_ms = a->now_ms;
        int64_t there = dl_delta_app_version(a->table, apps[i].app_id);
        if (there >= apps[i].version && !c->apps_go_back) {
            return dl_error_set(err, DL_E_EXISTS,
                                "the application %.*s is at %lld already, not below "
                                "%lld",
                                DL_STR_ARG(apps[i].app_id), (long long)there,
                                (long long)apps[i].version);
        }
    }
    *out_apps = apps;
    return DL_OK;
}

static dl_status assemble(assembly *a, dl_delta_commit *out_commit, dl_error *err)
{
    const dl_delta_change *c = a->change;
    dl_delta_commit commit = {.protocol = c->protocol, .metadata = c->metadata};
    DL_TRY(take_apps(a, &commit.apps, err));
    DL_TRY(make_room(a, err));
    DL_TRY(take_all(a, err));
    commit.app_count = c->app_count;
    commit.adds = a->adds;
    commit.add_count = a->add_count;
    commit.removes = a->removes;
    commit.remove_count = a->remove_count;
    commit.info.operation = dl_str_of(c->operation);
    commit.info.parameters = c->parameters;
    commit.info.user_metadata = c->user_metadata;
    commit.info.blind_append = !c->exclusive && a->remove_count == 0 && c->restore_count == 0 &&
                               c->metadata == NULL && c->protocol == NULL;
    DL_TRY(dl_delta_metrics(c, &a->tally, a->arena, &commit.info.metrics, err));
    *out_commit = commit;
    return DL_OK;
}

static void set_committed(const dl_delta_change *change, bool maybe)
{
    for (size_t i = 0; i < change->writer_count; i++) {
        dl_delta_writer_committed(change->writers[i], maybe);
    }
}

/* A vector belongs to one try: who tries again writes another. */
static void drop_vectors(const assembly *a)
{
    if (a->published) {
        (void)!dl_store_remove(a->table->open.store, a->dv_key, NULL); /* else the next vacuum's */
    }
}

static dl_status commit_assembled(assembly *a, dl_delta_result *out_result, dl_error *err)
{
    dl_delta_commit commit = {0};
    dl_delta_result result = {0};
    DL_TRY(assemble(a, &commit, err));
    dl_status status = publish_all(a, err);
    if (status != DL_OK) {
        drop_vectors(a);
        return status;
    }
    set_committed(a->change, true);
    status = dl_delta_commit_actions(a->table, &commit, a->change->exclusive, &result, err);
    if (status != DL_OK) {
        if (status != DL_E_UNAVAILABLE) { /* of that nobody knows */
            set_committed(a->change, false);
            drop_vectors(a);
        }
        return status;
    }
    result.files_added = a->tally.files_added;
    result.files_removed = a->tally.files_removed;
    result.bytes_added = a->tally.bytes_added;
    result.rows_added = a->tally.rows_added;
    result.dvs_written = a->tally.dvs_added + a->tally.dvs_updated;
    result.dv_bytes = a->tally.dv_bytes;
    *out_result = result;
    return DL_OK;
}

dl_status dl_delta_commit_change(dl_delta_table *table, const dl_delta_change *change,
                                 dl_delta_result *out_result, dl_error *err)
{
    const dl_delta_protocol *protocol =
        change->protocol != NULL ? change->protocol : dl_delta_protocol_of(table);
    const dl_delta_metadata *metadata =
        change->metadata != NULL ? change->metadata : dl_delta_metadata_of(table);
    DL_TRY(dl_delta_check_writable(dl_delta_protocol_of(table), dl_delta_metadata_of(table), change,
                                   err));
    if (change->protocol != NULL || change->metadata != NULL) { /* what it will be, too */
        DL_TRY(dl_delta_check_writable(protocol, metadata, change, err));
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "commit: out of memory");
    }
    assembly a = {
        .table = table,
        .change = change,
        .arena = arena,
        .now_ms = dl_clock_now_us(&table->open.clock) / 1000,
    };
    dl_status status = commit_assembled(&a, out_result, err);
    dl_delta_dv_writer_destroy(a.dvs);
    return status;
}
