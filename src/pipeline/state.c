#include "pipeline/state_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    PATH_LIMIT_BYTES = 64 * 1024,
    LAST_KEY_BYTES = 3 * DL_STATE_KEY_LIMIT_BYTES,
    KEY_BLOB_BYTES = 4 * (DL_STATE_KEY_LIMIT_BYTES + 1), /* each text with its length */
};

#define APPLICATION_ID 1684829044 /* "dlst" */
#define FORMAT_VERSION 4
#define TEXT_OF(number) #number
#define NUMBER_TEXT(number) TEXT_OF(number)

/* A place with file 0 is a tombstone. `age` is timestamp less created: mostly 0, which takes no
 * room. */
static const char schema[] =
    "CREATE TABLE position(kind INTEGER PRIMARY KEY, table_id TEXT, version INTEGER);"
    "CREATE TABLE partition(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE source(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE file(id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,"
    " path TEXT NOT NULL, refs INTEGER NOT NULL DEFAULT 0, live INTEGER NOT NULL DEFAULT 0,"
    " dv TEXT NOT NULL DEFAULT '', UNIQUE(path, kind));"
    "CREATE INDEX file_idle ON file(id) WHERE refs = 0 AND live = 0;"
    "CREATE INDEX file_live ON file(kind) WHERE live = 1;"
    "CREATE TABLE forward(from_file INTEGER, first_row INTEGER, end_row INTEGER, to_file INTEGER,"
    " base INTEGER, dead BLOB, PRIMARY KEY(from_file, first_row)) WITHOUT ROWID;"
    "CREATE INDEX forward_to ON forward(to_file);"
    "CREATE TABLE study(id INTEGER PRIMARY KEY, partition_id INTEGER NOT NULL, uid BLOB NOT NULL,"
    " series_count INTEGER NOT NULL DEFAULT 0, instance_count INTEGER NOT NULL DEFAULT 0,"
    " file INTEGER NOT NULL DEFAULT 0, row INTEGER NOT NULL DEFAULT 0,"
    " hash INTEGER NOT NULL DEFAULT 0, dirty INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE(partition_id, uid));"
    "CREATE INDEX study_dirty ON study(partition_id) WHERE dirty = 1;"
    "CREATE TABLE series(id INTEGER PRIMARY KEY, partition_id INTEGER NOT NULL,"
    " study_id INTEGER NOT NULL, uid BLOB NOT NULL, instance_count INTEGER NOT NULL DEFAULT 0,"
    " tombstones INTEGER NOT NULL DEFAULT 0, timestamp INTEGER, shown INTEGER,"
    " file INTEGER NOT NULL DEFAULT 0, row INTEGER NOT NULL DEFAULT 0,"
    " hash INTEGER NOT NULL DEFAULT 0, dirty INTEGER NOT NULL DEFAULT 0, UNIQUE(study_id, uid));"
    "CREATE INDEX series_dirty ON series(partition_id) WHERE dirty = 1;"
    "CREATE TABLE instance(series_id INTEGER, sop BLOB, timestamp INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, source INTEGER NOT NULL, age INTEGER NOT NULL,"
    " file INTEGER NOT NULL, row INTEGER NOT NULL, shown INTEGER NOT NULL,"
    " PRIMARY KEY(series_id, sop)) WITHOUT ROWID;"
    "CREATE INDEX instance_gone ON instance(timestamp) WHERE file = 0;"
    "CREATE TABLE recent_study(id INTEGER PRIMARY KEY, partition_id INTEGER NOT NULL,"
    " series_count INTEGER NOT NULL, instance_count INTEGER NOT NULL, file INTEGER NOT NULL,"
    " row INTEGER NOT NULL, hash INTEGER NOT NULL, dirty INTEGER NOT NULL);"
    "CREATE INDEX recent_study_dirty ON recent_study(partition_id) WHERE dirty = 1;"
    "CREATE TABLE recent_series(id INTEGER PRIMARY KEY, partition_id INTEGER NOT NULL,"
    " instance_count INTEGER NOT NULL, tombstones INTEGER NOT NULL, timestamp INTEGER,"
    " shown INTEGER, file INTEGER NOT NULL, row INTEGER NOT NULL, hash INTEGER NOT NULL,"
    " dirty INTEGER NOT NULL);"
    "CREATE INDEX recent_series_dirty ON recent_series(partition_id) WHERE dirty = 1;"
    "CREATE TABLE recent_instance(series_id INTEGER, sop BLOB, timestamp INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, source INTEGER NOT NULL, age INTEGER NOT NULL,"
    " file INTEGER NOT NULL, row INTEGER NOT NULL, shown INTEGER NOT NULL,"
    " PRIMARY KEY(series_id, sop)) WITHOUT ROWID;"
    "CREATE TABLE shown(id INTEGER PRIMARY KEY, blob BLOB NOT NULL);"
    "CREATE TABLE number(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE extra(kind INTEGER, file INTEGER, row INTEGER, PRIMARY KEY(kind, file, row))"
    " WITHOUT ROWID;"
    "CREATE TABLE ahead(source INTEGER, key BLOB, sequence INTEGER, timestamp INTEGER NOT NULL,"
    " gone INTEGER NOT NULL, PRIMARY KEY(source, key, sequence)) WITHOUT ROWID;"
    "CREATE INDEX ahead_sequence ON ahead(source, sequence);"
    "CREATE TABLE window(source INTEGER, start_us INTEGER, end_us INTEGER, sequence INTEGER NOT "
    "NULL,"
    " PRIMARY KEY(source, start_us, end_us)) WITHOUT ROWID;"
    "PRAGMA application_id=" NUMBER_TEXT(APPLICATION_ID) "; PRAGMA user_version=" NUMBER_TEXT(
        FORMAT_VERSION) ";";

dl_status dl_state_query(dl_state *state, const char *sql, dl_db_stmt **out_stmt, dl_error *err)
{
    if (state->db == NULL) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "state index: not open: making it anew failed");
    }
    return dl_db_query(state->db, sql, out_stmt, err);
}

dl_status dl_state_end(dl_db_stmt *stmt, dl_status status, dl_error *err)
{
    if (status != DL_OK) {
        dl_status ignored = dl_db_finish(stmt, NULL);
        (void)ignored;
        return status;
    }
    return dl_db_finish(stmt, err);
}

static dl_status pragma(dl_db *db, const char *sql, int64_t *out_value, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, sql, &q, err));
    int64_t value = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_value = value;
    return DL_OK;
}

/** DL_E_CORRUPT: to be replaced. */
static dl_status check_format(dl_db *db, dl_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    DL_TRY(pragma(db, "PRAGMA application_id", &application, err));
    DL_TRY(pragma(db, "PRAGMA user_version", &version, err));
    DL_TRY(pragma(db, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (application == 0 && version == 0 && tables == 0) {
        DL_TRY(dl_db_begin(db, true, err));
        dl_status status = dl_db_exec(db, schema, err);
        if (status != DL_OK) {
            dl_db_rollback(db);
            return status;
        }
        return dl_db_commit(db, err);
    }
    if (application != APPLICATION_ID || version != FORMAT_VERSION) {
        return dl_error_set(err, DL_E_CORRUPT, "state index: not of this program's format");
    }
    return DL_OK;
}

static dl_status open_file(const char *path, dl_db **out_db, dl_error *err)
{
    DL_AUTO_DB db = NULL;
    dl_db_options options = {.relaxed = true, .cache_kib = DL_STATE_CACHE_KIB};
    DL_TRY(dl_db_open(path, &options, &db, err));
    DL_TRY(dl_db_exec(db, "PRAGMA cell_size_check=ON", err));
    /* Pages that several transactions change are copied from the log once. */
    DL_TRY(dl_db_exec(db, "PRAGMA wal_autocheckpoint=8000", err));
    DL_TRY(check_format(db, err));
    *out_db = DL_STEAL(db);
    return DL_OK;
}

static dl_status remove_files(const char *path, dl_error *err)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    DL_AUTO_BUF name;
    dl_buf_init(&name, PATH_LIMIT_BYTES);
    for (size_t i = 0; i < DL_COUNT_OF(ends); i++) {
        dl_buf_reset(&name);
        DL_TRY(dl_buf_printf(&name, err, "%s%s", path, ends[i]));
        DL_TRY(dl_buf_terminate(&name, err));
        if (unlink(name.ptr) != 0 && errno != ENOENT) {
            return dl_error_errno(err, errno, "state index: removing %s", name.ptr);
        }
    }
    return DL_OK;
}

static dl_status open_or_replace(const char *path, dl_db **out_db, dl_error *err)
{
    dl_status status = open_file(path, out_db, err);
    if (status == DL_E_CORRUPT) {
        dl_error_clear(err);
        DL_TRY(remove_files(path, err));
        status = open_file(path, out_db, err);
    }
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "opening the state index");
}

static dl_status make_caches(dl_state *state, const char *path, dl_error *err)
{
    size_t len = strlen(path);
    state->path = dl_mem_alloc(len + 1, 1);
    state->entities = dl_mem_zalloc(DL_STATE_ENTITY_SLOTS, sizeof(dl_state_entity *));
    state->file_deltas = dl_mem_zalloc(1, sizeof *state->file_deltas);
    state->shown_slots = dl_mem_zalloc(DL_STATE_SHOWN_SLOTS, sizeof *state->shown_slots);
    state->forwards = dl_mem_zalloc(DL_STATE_FORWARD_SLOTS, sizeof *state->forwards);
    if (state->path == NULL || state->entities == NULL || state->file_deltas == NULL ||
        state->shown_slots == NULL || state->forwards == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "state index: out of memory");
    }
    memcpy(state->path, path, len + 1);
    dl_buf_init(&state->last_key, LAST_KEY_BYTES);
    dl_buf_init(&state->last_partition_name, DL_STATE_KEY_LIMIT_BYTES);
    dl_buf_init(&state->last_file_path, DL_STATE_PATH_LIMIT_BYTES);
    dl_buf_init(&state->key_blob, KEY_BLOB_BYTES);
    dl_buf_init(&state->shown_blob, DL_STATE_SHOWN_LIMIT_BYTES);
    return DL_OK;
}

static void forget_caches(dl_state *state)
{
    dl_state_entities_clear(state);
    dl_state_forwards_clear(state);
    memset(state->file_deltas, 0, sizeof *state->file_deltas);
    for (size_t i = 0; i < DL_STATE_SHOWN_SLOTS; i++) {
        state->shown_slots[i].id = 0;
    }
    state->last_partition = 0;
    state->last_file = 0;
}

static void state_closep(dl_state **state)
{
    dl_state_close(*state);
}

dl_status dl_state_open(const char *path, dl_state **out_state, dl_error *err)
{
    DL_CLEANUP(state_closep) dl_state *state = dl_mem_zalloc(1, sizeof *state);
    if (state == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "state index: out of memory");
    }
    DL_TRY(make_caches(state, path, err));
    DL_TRY(open_or_replace(path, &state->db, err));
    DL_TRY(pragma(state->db, "PRAGMA data_version", &state->others, err));
    dl_status status = dl_state_recent_load(state, err);
    if (status == DL_E_CORRUPT) {
        dl_error_clear(err);
        status = dl_state_clear(state, err);
    }
    DL_TRY(status);
    *out_state = DL_STEAL(state);
    return DL_OK;
}

void dl_state_close(dl_state *state)
{
    if (state == NULL) {
        return;
    }
    if (state->entities != NULL) {
        dl_state_entities_clear(state);
    }
    if (state->forwards != NULL) {
        dl_state_forwards_clear(state);
    }
    dl_db_close(state->db);
    dl_buf_clear(&state->last_key);
    dl_buf_clear(&state->last_partition_name);
    dl_buf_clear(&state->last_file_path);
    dl_buf_clear(&state->key_blob);
    dl_buf_clear(&state->shown_blob);
    dl_mem_free(state->entities);
    dl_mem_free(state->file_deltas);
    dl_mem_free(state->shown_slots);
    dl_mem_free(state->forwards);
    dl_mem_free(state->path);
    dl_mem_free(state);
}

dl_status dl_state_clear(dl_state *state, dl_error *err)
{
    DL_ASSERT(!state->writing);
    forget_caches(state);
    dl_db_close(state->db);
    state->db = NULL;
    DL_TRY(remove_files(state->path, err));
    DL_TRY(open_or_replace(state->path, &state->db, err));
    state->recent_changes = 0;
    state->recent_before = 0;
    return pragma(state->db, "PRAGMA data_version", &state->others, err);
}

dl_status dl_state_refresh(dl_state *state, dl_error *err)
{
    DL_ASSERT(!state->writing);
    int64_t others = 0;
    if (state->db == NULL) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "state index: not open: making it anew failed");
    }
    DL_TRY(pragma(state->db, "PRAGMA data_version", &others, err));
    if (others == state->others) {
        return DL_OK;
    }
    forget_caches(state);
    state->others = others;
    return dl_state_recent_load(state, err);
}

dl_status dl_state_begin(dl_state *state, dl_error *err)
{
    DL_ASSERT(!state->writing);
    if (state->db == NULL) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "state index: not open: making it anew failed");
    }
    DL_TRY(dl_db_begin(state->db, true, err));
    state->writing = true;
    state->apart = false;
    state->recent_before = state->recent_changes;
    int64_t others = state->others;
    dl_status status = pragma(state->db, "PRAGMA data_version", &others, err);
    if (status == DL_OK && others != state->others) { /* what was read and kept may be wrong now */
        status = dl_error_set(err, DL_E_IO, "state index: another process writes to it");
        dl_error_hint(err, "the lock of the lake was removed, or does not hold on its file system: "
                           "let one sync run at a time");
    }
    if (status != DL_OK) {
        dl_state_rollback(state);
    }
    return status;
}

bool dl_state_writing(const dl_state *state)
{
    return state->writing;
}

dl_status dl_state_commit(dl_state *state, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_status status = dl_state_flush(state, err);
    status = status == DL_OK ? dl_state_recent_count(state, err) : status;
    if (status == DL_OK) {
        status = dl_db_commit(state->db, err);
    }
    if (status != DL_OK) {
        dl_state_rollback(state);
        return dl_error_within(err, status, "committing the state index");
    }
    state->writing = false;
    return DL_OK;
}

void dl_state_rollback(dl_state *state)
{
    if (!state->writing) {
        return;
    }
    state->writing = false;
    state->recent_changes = state->recent_before;
    forget_caches(state);
    dl_db_rollback(state->db);
}

dl_status dl_state_position_get(dl_state *state, dl_state_kind kind, dl_arena *arena,
                                dl_state_position *out_position, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_state_query(state, "SELECT table_id, version FROM position WHERE kind = ?1", &q, err));
    dl_db_bind_int(q, 1, kind);
    dl_state_position position = {.table_id = DL_STR(""), .version = -1};
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        position.version = dl_db_int(q, 1);
        status = dl_arena_copy(arena, dl_db_str(q, 0), &position.table_id, err);
    }
    DL_TRY(dl_state_end(q, status, err));
    *out_position = position;
    return DL_OK;
}

dl_status dl_state_position_set(dl_state *state, dl_state_kind kind, dl_str table_id,
                                int64_t version, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "INSERT OR REPLACE INTO position VALUES(?1, ?2, ?3)", &q, err));
    dl_db_bind_int(q, 1, kind);
    dl_db_bind_str(q, 2, table_id);
    dl_db_bind_int(q, 3, version);
    return dl_db_run(q, err);
}

dl_status dl_state_source(dl_state *state, dl_str id, int64_t *out_source, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "INSERT OR IGNORE INTO source(name) VALUES(?1)", &q, err));
    dl_db_bind_str(q, 1, id);
    DL_TRY(dl_db_run(q, err));
    DL_TRY(dl_state_query(state, "SELECT id FROM source WHERE name = ?1", &q, err));
    dl_db_bind_str(q, 1, id);
    int64_t source = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_source = source;
    return DL_OK;
}

dl_status dl_state_number_get(dl_state *state, const char *name, int64_t *out_number, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT value FROM number WHERE name = ?1", &q, err));
    dl_db_bind_str(q, 1, dl_str_of(name));
    int64_t number = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_number = number;
    return DL_OK;
}

dl_status dl_state_number_set(dl_state *state, const char *name, int64_t number, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "INSERT OR REPLACE INTO number VALUES(?1, ?2)", &q, err));
    dl_db_bind_str(q, 1, dl_str_of(name));
    dl_db_bind_int(q, 2, number);
    return dl_db_run(q, err);
}

dl_status dl_state_totals_get(dl_state *state, dl_state_totals *out_totals, dl_error *err)
{
    if (state->writing) {
        DL_TRY(dl_state_flush(state, err));
    }
    DL_TRY(dl_state_whole(state, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state,
                          "SELECT coalesce(sum(instance_count), 0), coalesce(sum(series_count), 0),"
                          " coalesce(sum(instance_count > 0), 0),"
                          " (SELECT count(*) FROM instance WHERE file = 0),"
                          " (SELECT count(*) FROM file) FROM study",
                          &q, err));
    dl_state_totals totals = {0};
    if (dl_db_step(q)) {
        totals = (dl_state_totals){.instances = dl_db_int(q, 0),
                                   .series = dl_db_int(q, 1),
                                   .studies = dl_db_int(q, 2),
                                   .tombstones = dl_db_int(q, 3),
                                   .files = dl_db_int(q, 4)};
    }
    DL_TRY(dl_db_finish(q, err));
    *out_totals = totals;
    return DL_OK;
}
