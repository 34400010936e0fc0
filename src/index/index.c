#include "index/internal.h"

#include "base/mem.h"

#include <string.h>

enum {
    DEFAULT_READER_LIMIT = 8,
    WRITER_CACHE_KIB = 32 * 1024,
    READER_CACHE_KIB = 16 * 1024,
    BACKGROUND_BUSY_MS = 200,
    SETTING_LIMIT_BYTES = 64 * 1024,
};

/* ---- connections ---- */

dl_status dl_index_conn_open(dl_index *index, dl_index_conn_kind kind, dl_index_conn **out_conn,
                             dl_error *err)
{
    bool writer = kind != DL_INDEX_READER;
    dl_index_conn *conn = dl_mem_zalloc(1, sizeof *conn);
    if (conn == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    conn->index = index;
    for (size_t i = 0; i < DL_INDEX_BASE_SLOTS; i++) {
        dl_buf_init(&conn->bases[i].text, DL_INDEX_METADATA_LIMIT_BYTES);
    }
    dl_db_options options = {
        .read_only = !writer,
        .cache_kib = kind == DL_INDEX_WRITER ? WRITER_CACHE_KIB : READER_CACHE_KIB,
        .busy_timeout_ms = kind == DL_INDEX_BACKGROUND ? BACKGROUND_BUSY_MS : 0,
        .no_auto_checkpoint = true,
    };
    dl_status status = dl_db_open(index->path, &options, &conn->db, err);
    if (status == DL_OK) {
        conn->decompressor = ZSTD_createDCtx();
        conn->compressor = writer ? ZSTD_createCCtx() : NULL;
        if (conn->decompressor == NULL || (writer && conn->compressor == NULL)) {
            status = dl_error_set(err, DL_E_NOMEM, "index: out of memory");
        }
    }
    if (status != DL_OK) {
        dl_index_conn_close(conn);
        return status;
    }
    *out_conn = conn;
    return DL_OK;
}

void dl_index_conn_close(dl_index_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    dl_db_close(conn->db);
    (void)ZSTD_freeCCtx(conn->compressor);
    (void)ZSTD_freeDCtx(conn->decompressor);
    for (size_t i = 0; i < DL_INDEX_BASE_SLOTS; i++) {
        dl_buf_clear(&conn->bases[i].text);
    }
    dl_mem_free(conn);
}

static dl_status read_number(dl_db *db, const char *sql, int64_t *out_value, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, sql, &q, err));
    int64_t value = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_value = value;
    return DL_OK;
}

/** Whether this thread may wait for its turn to write; said before it would wait for itself. */
static dl_status may_write(dl_index *index, dl_error *err)
{
    if (index->options.read_only) {
        return dl_error_set(err, DL_E_DENIED, "index: opened for reading only");
    }
    (void)pthread_mutex_lock(&index->lock);
    bool ours = index->writing && pthread_equal(index->writing_thread, pthread_self()) != 0;
    (void)pthread_mutex_unlock(&index->lock);
    return ours ? dl_error_set(err, DL_E_LIMIT, "index: not possible inside a transaction") : DL_OK;
}

/* ---- partitions ---- */

static dl_status remember_partition(dl_index *index, int64_t key, dl_str name, int64_t created_us,
                                    dl_error *err)
{
    char *copy = dl_mem_alloc(name.len + 1, 1);
    dl_index_known_partition *list =
        dl_mem_resize(index->partitions, index->partition_count + 1, sizeof *list);
    if (list != NULL) {
        index->partitions = list;
    }
    if (list == NULL || copy == NULL) {
        dl_mem_free(copy);
        return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = 0;
    list[index->partition_count++] = (dl_index_known_partition){
        .given = {.key = key, .name = {copy, name.len}, .created_us = created_us}, .name = copy};
    return DL_OK;
}

static dl_status load_partitions(dl_index *index, dl_db *db, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT key, name, created_us FROM partition ORDER BY key", &q, err));
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = remember_partition(index, dl_db_int(q, 0), dl_db_str(q, 1), dl_db_int(q, 2), err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static const dl_index_partition *find_partition(const dl_index *index, dl_str name)
{
    for (size_t i = 0; i < index->partition_count; i++) {
        if (dl_str_eq(index->partitions[i].given.name, name)) {
            return &index->partitions[i].given;
        }
    }
    return NULL;
}

static bool lookup_partition(dl_index *index, dl_str name, int64_t *out_key)
{
    (void)pthread_mutex_lock(&index->lock);
    const dl_index_partition *p = find_partition(index, name);
    bool found = p != NULL;
    if (found) {
        *out_key = p->key;
    }
    (void)pthread_mutex_unlock(&index->lock);
    return found;
}

dl_status dl_index_partition_find(dl_index *index, dl_str name, int64_t *out_key, dl_error *err)
{
    return lookup_partition(index, name, out_key)
               ? DL_OK
               : dl_error_set(err, DL_E_NOT_FOUND, "partition %.*s does not exist",
                              DL_STR_ARG(name));
}

static dl_status insert_partition(dl_index *index, dl_str name, int64_t *out_key, dl_error *err)
{
    dl_db *db = index->writer->db;
    int64_t now_us = dl_clock_now_us(&index->options.clock);
    DL_TRY(dl_db_begin(db, true, err));
    dl_db_stmt *q = NULL;
    dl_status status =
        dl_db_query(db, "INSERT INTO partition(name, created_us) VALUES(?1, ?2)", &q, err);
    if (status == DL_OK) {
        dl_db_bind_str(q, 1, name);
        dl_db_bind_int(q, 2, now_us);
        status = dl_db_run(q, err);
    }
    int64_t key = dl_db_last_id(db);
    (void)pthread_mutex_lock(&index->lock); /* first in memory: that can fail, and be undone */
    if (status == DL_OK) {
        status = remember_partition(index, key, name, now_us, err);
        if (status == DL_OK) {
            index->partition_count--; /* not to be seen yet */
        }
    }
    (void)pthread_mutex_unlock(&index->lock);
    if (status != DL_OK) {
        dl_db_rollback(db);
        return status;
    }
    status = dl_db_commit(db, err);
    (void)pthread_mutex_lock(&index->lock);
    if (status == DL_OK) {
        index->partition_count++;
        *out_key = key;
    } else {
        dl_mem_free(index->partitions[index->partition_count].name);
    }
    (void)pthread_mutex_unlock(&index->lock);
    return status;
}

dl_status dl_index_partition_ensure(dl_index *index, dl_str name, int64_t *out_key, dl_error *err)
{
    if (lookup_partition(index, name, out_key)) {
        return DL_OK;
    }
    if (name.len == 0 || name.len > DL_INDEX_PARTITION_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "partition name of %zu bytes exceeds %d", name.len,
                            DL_INDEX_PARTITION_LIMIT);
    }
    DL_TRY(may_write(index, err));
    (void)pthread_mutex_lock(&index->turn);
    dl_status status = DL_OK;
    if (!lookup_partition(index, name, out_key)) { /* nobody made it while we waited */
        status = insert_partition(index, name, out_key, err);
    }
    (void)pthread_mutex_unlock(&index->turn);
    return status;
}

dl_status dl_index_partition_list(dl_index *index, dl_arena *arena, dl_index_partition **out_list,
                                  size_t *out_count, dl_error *err)
{
    (void)pthread_mutex_lock(&index->lock);
    size_t count = index->partition_count;
    dl_index_partition *list = dl_arena_alloc(arena, count, sizeof *list);
    for (size_t i = 0; list != NULL && i < count; i++) {
        list[i] = index->partitions[i].given; /* no name is freed while the index is open */
    }
    (void)pthread_mutex_unlock(&index->lock);
    if (list == NULL) {
        return dl_arena_full(arena, err);
    }
    *out_list = list;
    *out_count = count;
    return DL_OK;
}

dl_str dl_index_partition_name(dl_index *index, int64_t key)
{
    dl_str name = {"", 0};
    (void)pthread_mutex_lock(&index->lock);
    for (size_t i = 0; i < index->partition_count; i++) {
        if (index->partitions[i].given.key == key) {
            name = index->partitions[i].given.name;
            break;
        }
    }
    (void)pthread_mutex_unlock(&index->lock);
    return name;
}

/* ---- the background thread: the write-ahead log, and dictionaries ---- */

/**
 * Move the log into the file. A log that is never idle is never begun anew by itself: once it is
 * long, the writers are held up for the moment that takes. Where a reader stays so long that it
 * cannot be done, it is tried again only after the log has grown by as much again.
 */
static void checkpoint(dl_index *index, dl_index_conn *conn, int log_pages, int *limit)
{
    dl_index_ignore(dl_db_checkpoint(conn->db, NULL)); /* tried again after the next commits */
    if (log_pages < *limit) {
        return;
    }
    (void)pthread_mutex_lock(&index->turn);
    bool done = dl_db_checkpoint_restart(conn->db, NULL) == DL_OK;
    (void)pthread_mutex_unlock(&index->turn);
    *limit = done ? DL_INDEX_LOG_PAGES_LIMIT : log_pages + DL_INDEX_LOG_PAGES_LIMIT;
}

static void *background(void *context)
{
    dl_index *index = context;
    dl_index_conn *conn = NULL;
    int limit = DL_INDEX_LOG_PAGES_LIMIT;
    (void)pthread_mutex_lock(&index->lock);
    while (!index->stopping) {
        if (index->log_pages < DL_INDEX_LOG_PAGES_WANTED && !index->train_wanted) {
            (void)pthread_cond_wait(&index->wake, &index->lock);
            continue;
        }
        bool train = index->train_wanted;
        int log_pages = index->log_pages;
        index->train_wanted = false;
        index->log_pages = 0;
        (void)pthread_mutex_unlock(&index->lock);
        if (conn != NULL || dl_index_conn_open(index, DL_INDEX_BACKGROUND, &conn, NULL) == DL_OK) {
            if (log_pages >= DL_INDEX_LOG_PAGES_WANTED) {
                checkpoint(index, conn, log_pages, &limit);
            }
            if (train) {
                dl_index_ignore(dl_index_train(conn, NULL)); /* wanted again after the next bases */
            }
        }
        (void)pthread_mutex_lock(&index->lock);
    }
    (void)pthread_mutex_unlock(&index->lock);
    dl_index_conn_close(conn);
    return NULL;
}

/* ---- life ---- */

static dl_status load_state(dl_index *index, dl_db *db, dl_error *err)
{
    DL_TRY(load_partitions(index, db, err));
    int64_t watermark = 0;
    DL_TRY(read_number(db, "SELECT value FROM counter WHERE name='watermark'", &watermark, err));
    index->next_watermark = index->reserved_watermark = watermark;
    DL_TRY(read_number(db, "SELECT max(sequence) FROM change", &index->last_sequence, err));
    DL_TRY(read_number(db, "SELECT timestamp_us FROM change ORDER BY sequence DESC LIMIT 1",
                       &index->last_timestamp_us, err));
    DL_TRY(read_number(db, "SELECT max(id) FROM dictionary", &index->dictionary, err));
    return read_number(db, "SELECT count(*) FROM (SELECT 1 FROM metadata_base LIMIT 300)",
                       &index->base_count, err);
}

static dl_status prepare_home(dl_index *index, dl_error *err)
{
    dl_db *db = index->writer->db;
    DL_TRY(dl_db_migrate(db, dl_index_schema, dl_index_schema_count, err));
    index->has_starts = true;
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "INSERT OR IGNORE INTO partition VALUES(1, 'Microsoft.Default', ?1)", &q,
                       err));
    dl_db_bind_int(q, 1, dl_clock_now_us(&index->options.clock));
    return dl_db_run(q, err);
}

/** To read, an older home is good as it is: version 2 has an index more. */
static dl_status look_at_home(dl_index *index, dl_db *db, dl_error *err)
{
    enum { READABLE_VERSION = 1, STARTS_VERSION = 2 };
    int64_t version = 0;
    DL_TRY(read_number(db, "PRAGMA user_version", &version, err));
    index->has_starts = version >= STARTS_VERSION;
    return version >= READABLE_VERSION && version <= (int64_t)dl_index_schema_count
               ? DL_OK
               : dl_db_migrate(db, dl_index_schema, dl_index_schema_count, err); /* says why not */
}

static dl_status start(dl_index *index, dl_error *err)
{
    if (!index->options.read_only) {
        DL_TRY(dl_index_conn_open(index, DL_INDEX_WRITER, &index->writer, err));
        DL_TRY(prepare_home(index, err));
        DL_TRY(load_state(index, index->writer->db, err));
        if (pthread_create(&index->thread, NULL, background, index) != 0) {
            return dl_error_set(err, DL_E_NOMEM, "index: no thread to be had");
        }
        index->thread_started = true;
        return DL_OK;
    }
    dl_index_conn *conn = NULL;
    DL_TRY(dl_index_conn_open(index, DL_INDEX_READER, &conn, err));
    dl_status status = look_at_home(index, conn->db, err);
    if (status == DL_OK) {
        status = load_state(index, conn->db, err);
    }
    dl_index_conn_close(conn);
    return status;
}

dl_status dl_index_open(const char *path, const dl_index_options *options, dl_index **out_index,
                        dl_error *err)
{
    dl_index *index = dl_mem_zalloc(1, sizeof *index);
    if (index == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    (void)pthread_mutex_init(&index->turn, NULL);
    (void)pthread_mutex_init(&index->lock, NULL);
    (void)pthread_cond_init(&index->conn_free, NULL);
    (void)pthread_cond_init(&index->commit_over, NULL);
    (void)pthread_cond_init(&index->wake, NULL);
    index->options = options != NULL ? *options : (dl_index_options){0};
    if (index->options.clock.now_us == NULL) {
        index->options.clock = dl_clock_system();
    }
    if (index->options.reader_limit == 0) {
        index->options.reader_limit = DEFAULT_READER_LIMIT;
    }
    index->committing_us = INT64_MAX;
    index->gather_always = DL_INDEX_GATHER_ALWAYS;
    size_t size = strlen(path) + 1;
    index->path = dl_mem_alloc(size, 1);
    dl_status status = DL_OK;
    if (index->path == NULL) {
        status = dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    } else {
        memcpy(index->path, path, size);
        status = start(index, err);
    }
    if (status != DL_OK) {
        dl_index_close(index);
        return dl_error_within(err, status, "opening the index");
    }
    *out_index = index;
    return DL_OK;
}

/** Numbers that were reserved and not given are not lost when the program ends in order. */
static void give_back_watermarks(dl_index *index)
{
    dl_db_stmt *q = NULL;
    if (index->next_watermark == index->reserved_watermark ||
        dl_db_query(index->writer->db, "UPDATE counter SET value=?1 WHERE name='watermark'", &q,
                    NULL) != DL_OK) {
        return;
    }
    dl_db_bind_int(q, 1, index->next_watermark);
    dl_index_ignore(dl_db_run(q, NULL)); /* else there is a gap, which is allowed */
}

void dl_index_close(dl_index *index)
{
    if (index == NULL) {
        return;
    }
    if (index->thread_started) {
        (void)pthread_mutex_lock(&index->lock);
        index->stopping = true;
        (void)pthread_cond_broadcast(&index->wake);
        (void)pthread_mutex_unlock(&index->lock);
        (void)pthread_join(index->thread, NULL);
        give_back_watermarks(index);
    }
    while (index->free_conns != NULL) {
        dl_index_conn *conn = index->free_conns;
        index->free_conns = conn->next_free;
        index->conn_count--;
        dl_index_conn_close(conn);
    }
    DL_ASSERT(index->conn_count == 0);  /* every snapshot has ended */
    dl_index_conn_close(index->writer); /* the last connection moves the log into the file */
    for (size_t i = 0; i < index->partition_count; i++) {
        dl_mem_free(index->partitions[i].name);
    }
    dl_mem_free(index->partitions);
    for (size_t i = 0; i < DL_INDEX_DICTIONARY_LIMIT; i++) {
        (void)ZSTD_freeCDict(index->dictionaries[i].compress);
        (void)ZSTD_freeDDict(index->dictionaries[i].decompress);
    }
    (void)pthread_mutex_destroy(&index->turn);
    (void)pthread_mutex_destroy(&index->lock);
    (void)pthread_cond_destroy(&index->conn_free);
    (void)pthread_cond_destroy(&index->commit_over);
    (void)pthread_cond_destroy(&index->wake);
    dl_mem_free(index->path);
    dl_mem_free(index);
}

/* ---- settings ---- */

dl_status dl_index_setting_get(dl_index *index, dl_str name, dl_arena *arena, dl_str *out_value,
                               dl_error *err)
{
    DL_AUTO_SNAPSHOT s = NULL;
    DL_TRY(dl_index_snapshot_begin(index, &s, err));
    DL_ASSERT(s != NULL);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, "SELECT value FROM setting WHERE name=?1", &q, err));
    dl_db_bind_str(q, 1, name);
    dl_str value = DL_STR_NONE;
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        status = dl_arena_copy(arena, dl_db_str(q, 0), &value, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    *out_value = value;
    return DL_OK;
}

dl_status dl_index_setting_put(dl_index *index, dl_str name, dl_str value, dl_error *err)
{
    if (name.len == 0 || name.len > SETTING_LIMIT_BYTES || value.len > SETTING_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "setting: %zu and %zu bytes, 1 to %d allowed",
                            name.len, value.len, SETTING_LIMIT_BYTES);
    }
    DL_TRY(may_write(index, err));
    (void)pthread_mutex_lock(&index->turn);
    dl_db_stmt *q = NULL;
    dl_status status =
        dl_db_query(index->writer->db, "REPLACE INTO setting VALUES(?1, ?2)", &q, err);
    if (status == DL_OK) {
        dl_db_bind_str(q, 1, name);
        dl_db_bind_str(q, 2, value.ptr == NULL ? (dl_str){"", 0} : value);
        status = dl_db_run(q, err);
    }
    (void)pthread_mutex_unlock(&index->turn);
    return status;
}

/* ---- watermarks ---- */

static bool give_watermark(dl_index *index, int64_t *out_watermark)
{
    (void)pthread_mutex_lock(&index->lock);
    bool there = index->next_watermark < index->reserved_watermark;
    if (there) {
        *out_watermark = index->next_watermark++;
    }
    (void)pthread_mutex_unlock(&index->lock);
    return there;
}

static dl_status reserve_watermarks(dl_index *index, dl_error *err)
{
    (void)pthread_mutex_lock(&index->lock);
    int64_t reserved = index->reserved_watermark + DL_INDEX_WATERMARK_BLOCK;
    (void)pthread_mutex_unlock(&index->lock);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(index->writer->db, "UPDATE counter SET value=?1 WHERE name='watermark'", &q,
                       err));
    dl_db_bind_int(q, 1, reserved);
    DL_TRY(dl_db_run(q, err));
    (void)pthread_mutex_lock(&index->lock);
    index->reserved_watermark = reserved;
    (void)pthread_mutex_unlock(&index->lock);
    return DL_OK;
}

dl_status dl_index_next_watermark(dl_index *index, int64_t *out_watermark, dl_error *err)
{
    if (give_watermark(index, out_watermark)) {
        return DL_OK;
    }
    DL_TRY(may_write(index, err)); /* a reservation inside a transaction could be rolled back */
    (void)pthread_mutex_lock(&index->turn);
    dl_status status = DL_OK;
    while (status == DL_OK && !give_watermark(index, out_watermark)) {
        status = reserve_watermarks(index, err);
    }
    (void)pthread_mutex_unlock(&index->turn);
    return status;
}

/* ---- snapshots ---- */

static dl_status take_conn(dl_index *index, dl_index_conn **out_conn, dl_error *err)
{
    (void)pthread_mutex_lock(&index->lock);
    while (index->free_conns == NULL && index->conn_count >= index->options.reader_limit) {
        (void)pthread_cond_wait(&index->conn_free, &index->lock);
    }
    dl_index_conn *conn = index->free_conns;
    if (conn != NULL) {
        index->free_conns = conn->next_free;
    } else {
        index->conn_count++;
    }
    (void)pthread_mutex_unlock(&index->lock);
    if (conn != NULL) {
        *out_conn = conn;
        return DL_OK;
    }
    dl_status status = dl_index_conn_open(index, DL_INDEX_READER, out_conn, err);
    if (status != DL_OK) {
        (void)pthread_mutex_lock(&index->lock);
        index->conn_count--;
        (void)pthread_cond_signal(&index->conn_free);
        (void)pthread_mutex_unlock(&index->lock);
    }
    return status;
}

static void give_conn(dl_index *index, dl_index_conn *conn)
{
    (void)pthread_mutex_lock(&index->lock);
    conn->next_free = index->free_conns;
    index->free_conns = conn;
    (void)pthread_cond_signal(&index->conn_free);
    (void)pthread_mutex_unlock(&index->lock);
}

/**
 * Every change before the horizon is committed when it is taken, and no later one gets a time
 * before it: a snapshot begun afterwards sees them all.
 */
static int64_t take_horizon(dl_index *index)
{
    int64_t horizon_us = dl_clock_now_us(&index->options.clock);
    (void)pthread_mutex_lock(&index->lock);
    if (index->committing_us < horizon_us) {
        horizon_us = index->committing_us;
    }
    if (index->floor_us < horizon_us) {
        index->floor_us = horizon_us;
    }
    (void)pthread_mutex_unlock(&index->lock);
    return horizon_us;
}

dl_status dl_index_snapshot_begin(dl_index *index, dl_index_snapshot **out_snapshot, dl_error *err)
{
    dl_index_snapshot *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    s->index = index;
    dl_status status = take_conn(index, &s->conn, err);
    if (status == DL_OK) {
        s->horizon_us = take_horizon(index);
        status = dl_db_begin(s->conn->db, false, err);
    }
    if (status != DL_OK) {
        dl_index_snapshot_end(s);
        return status;
    }
    *out_snapshot = s;
    return DL_OK;
}

void dl_index_snapshot_end(dl_index_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    if (snapshot->conn != NULL) {
        dl_db_rollback(snapshot->conn->db);
        give_conn(snapshot->index, snapshot->conn);
    }
    dl_mem_free(snapshot);
}

dl_status dl_index_snapshot_settle(dl_index_snapshot *s, int64_t time_us, dl_error *err)
{
    dl_index *index = s->index;
    if (s->horizon_us >= time_us) {
        return DL_OK;
    }
    (void)pthread_mutex_lock(&index->lock);
    if (index->floor_us < time_us) {
        index->floor_us = time_us;
    }
    while (index->committing_us < time_us) {
        (void)pthread_cond_wait(&index->commit_over, &index->lock);
    }
    (void)pthread_mutex_unlock(&index->lock);
    dl_db_rollback(s->conn->db);
    DL_TRY(dl_db_begin(s->conn->db, false, err));
    s->horizon_us = time_us;
    return DL_OK;
}

dl_status dl_index_probe(dl_index *index, dl_error *err)
{
    DL_AUTO_SNAPSHOT s = NULL;
    DL_TRY(dl_index_snapshot_begin(index, &s, err));
    DL_ASSERT(s != NULL);
    int64_t partitions = 0;
    DL_TRY(read_number(s->conn->db, "SELECT count(*) FROM partition", &partitions, err));
    return partitions > 0 ? DL_OK
                          : dl_error_set(err, DL_E_CORRUPT, "index: no partition in the database");
}
