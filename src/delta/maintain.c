/* What goes on beside the commits: checksum files, the rhythm of checkpoints, cleaning the log. */
#include "delta/maintain.h"

#include "json/json.h"

#include <string.h>

enum {
    CRC_LIMIT_BYTES = 16 * 1024 * 1024,
    KEYS_ARENA_BYTES = 4 * DL_STORE_KEY_LIMIT_BYTES,
};

int64_t dl_delta_now_ms(const dl_delta_table *table)
{
    return dl_clock_now_us(&table->open.clock) / 1000;
}

dl_status dl_delta_property_ms(const dl_delta_table *table, const char *key, int64_t otherwise_ms,
                               int64_t *out_ms, dl_error *err)
{
    dl_str text = dl_delta_property(table, key);
    if (text.ptr == NULL) {
        *out_ms = otherwise_ms;
        return DL_OK;
    }
    int64_t ms = 0;
    if (!dl_delta_interval_ms(text, &ms) || ms < 0) {
        return dl_error_set(err, DL_E_INVALID, "the table's property %s is '%.*s'", key,
                            DL_STR_ARG(text));
    }
    *out_ms = ms;
    return DL_OK;
}

dl_status dl_delta_check_maintainable(const dl_delta_table *table, dl_error *err)
{
    const dl_delta_protocol *protocol = dl_delta_protocol_of(table);
    const dl_delta_metadata *metadata = dl_delta_metadata_of(table);
    dl_delta_change change = {.operation = "OPTIMIZE"};
    DL_TRY(dl_delta_check_readable(protocol, metadata, err));
    return dl_delta_check_writable(protocol, metadata, &change, err);
}

/* ---- cleaning the log ---- */

/* Whether the file at `i` is, or completes, a checkpoint that can be read. Empty files do not
 * count; a checkpoint in parts counts with its first part when all are there. */
static bool is_checkpoint(const dl_delta_log_name *names, size_t count, size_t i)
{
    const dl_delta_log_name *name = &names[i];
    if (name->size_bytes == 0) {
        return false;
    }
    if (name->kind == DL_DELTA_LOG_CHECKPOINT || name->kind == DL_DELTA_LOG_CHECKPOINT_V2) {
        return true;
    }
    if (name->kind != DL_DELTA_LOG_CHECKPOINT_PART || name->part != 1) {
        return false;
    }
    int found = 0;
    for (size_t k = i; k < count && names[k].version <= name->version; k++) {
        found += names[k].kind == DL_DELTA_LOG_CHECKPOINT_PART && names[k].size_bytes > 0 &&
                 names[k].version == name->version && names[k].parts == name->parts;
    }
    return found == name->parts;
}

int64_t dl_delta_log_cut(const dl_delta_log_name *names, size_t count, int64_t cutoff_us)
{
    int64_t commit = -1; /* the newest one not younger than the cutoff */
    int64_t before_us = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind != DL_DELTA_LOG_COMMIT) {
            continue;
        }
        /* times as time travel sees them: each later than the one before */
        int64_t time_us = names[i].modified_us;
        if (before_us != INT64_MIN && time_us < before_us + 1000) {
            time_us = before_us + 1000;
        }
        before_us = time_us;
        if (time_us <= cutoff_us && names[i].version > commit) {
            commit = names[i].version;
        }
    }
    int64_t cut = -1;
    for (size_t i = 0; i < count; i++) {
        if (names[i].version <= commit && names[i].version > cut &&
            is_checkpoint(names, count, i)) {
            cut = names[i].version;
        }
    }
    return cut;
}

/* "00000000000000000003.json" of ".00000000000000000003.json.crc" */
static bool side_file_of(dl_str name, dl_str *out_of)
{
    if (!dl_str_starts(name, DL_STR(".")) || !dl_str_ends(name, DL_STR(".crc")) || name.len < 6) {
        return false;
    }
    *out_of = dl_str_slice(name, 1, name.len - 5);
    return true;
}

bool dl_delta_log_goes(const dl_delta_log_name *name, int64_t cut)
{
    dl_delta_log_name of = *name;
    dl_str main_file = DL_STR_NONE;
    if (name->kind == DL_DELTA_LOG_OTHER && side_file_of(name->name, &main_file)) {
        of = dl_delta_log_name_parse(main_file);
    }
    switch (of.kind) {
    case DL_DELTA_LOG_COMMIT:
    case DL_DELTA_LOG_CRC:
    case DL_DELTA_LOG_CHECKPOINT:
    case DL_DELTA_LOG_CHECKPOINT_PART:
    case DL_DELTA_LOG_CHECKPOINT_V2:
        return of.version < cut;
    case DL_DELTA_LOG_COMPACTED:
        return of.version <= cut;
    case DL_DELTA_LOG_OTHER:
        break;
    }
    return false;
}

/* Whether the table's properties let the log be cleaned at all. */
static dl_status may_clean(const dl_delta_table *table, const dl_delta_log_name *names,
                           size_t count, int64_t cut, bool *out_may, dl_error *err)
{
    *out_may = cut > 0;
    dl_str text = dl_delta_property(table, "delta.requireCheckpointProtectionBeforeVersion");
    if (text.ptr == NULL ||
        !dl_delta_has_feature(dl_delta_protocol_of(table), "checkpointProtection")) {
        return DL_OK;
    }
    int64_t before = 0;
    if (!dl_str_to_i64(text, &before)) {
        return dl_error_set(err, DL_E_INVALID, "the table's property %s is '%.*s'",
                            "delta.requireCheckpointProtectionBeforeVersion", DL_STR_ARG(text));
    }
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind != DL_DELTA_LOG_OTHER && names[i].version < before) {
            *out_may = false; /* history that must stay as it is */
        }
    }
    return DL_OK;
}

static dl_status remove_log_file(dl_delta_table *table, dl_str name, dl_arena *arena, dl_error *err)
{
    dl_str relative = DL_STR_NONE;
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_arena_printf(arena, &relative, err, "_delta_log/%.*s", DL_STR_ARG(name)));
    DL_TRY(dl_delta_key(table, relative, arena, &key, err));
    return dl_store_remove(table->open.store, key, err);
}

static dl_status clean_log(dl_delta_table *table, int64_t limit, int64_t *out_deleted,
                           dl_error *err)
{
    int64_t deleted = 0;
    dl_str enabled = dl_delta_property(table, "delta.enableExpiredLogCleanup");
    if (enabled.ptr != NULL && dl_str_eq_nocase(enabled, DL_STR("false"))) {
        *out_deleted = 0;
        return DL_OK;
    }
    int64_t keep_ms = 0;
    DL_TRY(dl_delta_check_maintainable(table, err));
    DL_TRY(dl_delta_property_ms(table, "delta.logRetentionDuration",
                                DL_DELTA_LOG_RETENTION_DAYS * DL_DELTA_MS_OF_DAY, &keep_ms, err));
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_DELTA_MAINTAIN_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "cleaning the log: out of memory");
    }
    dl_delta_log_name *names = NULL;
    size_t count = 0;
    DL_TRY(dl_delta_log_list(table, 0, arena, &names, &count, err));
    int64_t cutoff_ms = dl_delta_now_ms(table) - keep_ms;
    cutoff_ms -= ((cutoff_ms % DL_DELTA_MS_OF_DAY) + DL_DELTA_MS_OF_DAY) % DL_DELTA_MS_OF_DAY;
    int64_t cut = dl_delta_log_cut(names, count, cutoff_ms * 1000);
    bool may = false;
    DL_TRY(may_clean(table, names, count, cut, &may, err));
    for (size_t i = 0; may && i < count && deleted < limit; i++) {
        if (dl_delta_log_goes(&names[i], cut)) {
            DL_TRY(remove_log_file(table, names[i].name, arena, err));
            deleted++;
        }
    }
    int64_t sidecars = 0;
    if (!may) {
        *out_deleted = 0;
        return DL_OK;
    }
    DL_TRY(dl_delta_clean_sidecars(table, limit - deleted, &sidecars, err));
    *out_deleted = deleted + sidecars;
    return DL_OK;
}

dl_status dl_delta_clean_log(dl_delta_table *table, int64_t *out_deleted, dl_error *err)
{
    return clean_log(table, INT64_MAX, out_deleted, err);
}

/* ---- checksum file (PROTOCOL.md, "Version Checksum File") ---- */

/* The value of the only member of a line as dl_delta_actions_write makes it. */
static bool action_of(dl_str line, dl_str *out_name, dl_str *out_value)
{
    dl_json_iter iter = dl_json_iter_of(line);
    return dl_json_next_member(&iter, out_name, out_value);
}

/* Lists of txn and domainMetadata, then metaData and protocol, out of the actions' own text. */
static dl_status put_actions(dl_json_writer *w, dl_str text, bool with_apps)
{
    static const struct {
        const char *action, *member;
        bool list;
    } members[] = {{"txn", "setTransactions", true},
                   {"domainMetadata", "domainMetadata", true},
                   {"metaData", "metadata", false},
                   {"protocol", "protocol", false}};
    for (size_t m = with_apps ? 0 : 1; m < DL_COUNT_OF(members); m++) {
        dl_json_key(w, dl_str_of(members[m].member));
        if (members[m].list) {
            dl_json_array_begin(w);
        }
        dl_str rest = text;
        dl_str line = DL_STR_NONE;
        while (dl_str_next(&rest, '\n', &line)) {
            dl_str name = DL_STR_NONE;
            dl_str value = DL_STR_NONE;
            if (action_of(line, &name, &value) && dl_str_eq(name, dl_str_of(members[m].action))) {
                dl_json_raw(w, value);
            }
        }
        if (members[m].list) {
            dl_json_array_end(w);
        }
    }
    return dl_json_writer_status(w);
}

/* The applications and domains of the snapshot, as a commit that would hold them. */
static dl_status snapshot_commit(const dl_delta_table *table, dl_arena *arena, dl_delta_commit *out,
                                 dl_error *err)
{
    dl_delta_app app = {0};
    dl_delta_domain domain = {0};
    size_t app_count = 0;
    size_t domain_count = 0;
    for (size_t c = 0; dl_delta_live_next_app(table->live, &c, &app);) {
        app_count++;
    }
    for (size_t c = 0; dl_delta_live_next_domain(table->live, &c, &domain);) {
        domain_count++;
    }
    dl_delta_app *apps = dl_arena_alloc(arena, app_count + 1, sizeof *apps);
    dl_delta_domain *domains = dl_arena_alloc(arena, domain_count + 1, sizeof *domains);
    if (apps == NULL || domains == NULL) {
        return dl_arena_full(arena, err);
    }
    app_count = 0;
    domain_count = 0;
    for (size_t c = 0; dl_delta_live_next_app(table->live, &c, &app);) {
        apps[app_count++] = app;
    }
    for (size_t c = 0; dl_delta_live_next_domain(table->live, &c, &domain);) {
        if (!domain.removed) {
            domains[domain_count++] = domain;
        }
    }
    *out = (dl_delta_commit){.info = {.version = table->version,
                                      .timestamp_ms = table->timestamp_ms,
                                      .read_version = -1,
                                      .blind_append = -1},
                             .protocol = dl_delta_protocol_of(table),
                             .metadata = dl_delta_metadata_of(table),
                             .apps = apps,
                             .app_count = app_count,
                             .domains = domains,
                             .domain_count = domain_count};
    return DL_OK;
}

static dl_status crc_text(const dl_delta_table *table, const dl_delta_commit *commit, dl_buf *out,
                          dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(CRC_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "checksum file: out of memory");
    }
    dl_delta_commit snapshot = {0};
    DL_TRY(snapshot_commit(table, arena, &snapshot, err));
    bool with_apps = snapshot.app_count <= DL_DELTA_CRC_APPS_LIMIT;
    if (!with_apps) {
        snapshot.app_count = 0;
    }
    DL_AUTO_BUF actions;
    dl_buf_init(&actions, CRC_LIMIT_BYTES);
    DL_TRY(dl_delta_actions_write(&snapshot, &actions, err));
    dl_delta_totals totals = dl_delta_totals_of(table);
    dl_json_writer w;
    dl_json_writer_init(&w, out, err);
    dl_json_object_begin(&w);
    if (commit->info.txn_id.ptr != NULL) {
        dl_json_key(&w, DL_STR("txnId"));
        dl_json_string(&w, commit->info.txn_id);
    }
    const struct {
        const char *key;
        int64_t value;
        bool there;
    } numbers[] = {
        {"tableSizeBytes", totals.size_bytes, true},
        {"numFiles", totals.file_count, true},
        {"numDeletedRecordsOpt", totals.deleted_rows, dl_delta_makes_dvs(table)},
        {"numDeletionVectorsOpt", totals.dv_count, dl_delta_makes_dvs(table)},
        {"numMetadata", 1, true},
        {"numProtocol", 1, true},
        {"inCommitTimestampOpt", table->timestamp_ms,
         dl_str_eq_nocase(dl_delta_property(table, "delta.enableInCommitTimestamps"),
                          DL_STR("true"))},
    };
    for (size_t i = 0; i < DL_COUNT_OF(numbers); i++) {
        if (numbers[i].there) {
            dl_json_key(&w, dl_str_of(numbers[i].key));
            dl_json_int(&w, numbers[i].value);
        }
    }
    DL_TRY(put_actions(&w, dl_buf_str(&actions), with_apps));
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

static dl_status write_crc(dl_delta_table *table, const dl_delta_commit *commit, int64_t *out_bytes,
                           dl_error *err)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, CRC_LIMIT_BYTES);
    DL_TRY(crc_text(table, commit, &text, err));
    DL_AUTO(dl_arena) arena = dl_arena_create(KEYS_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "checksum file: out of memory");
    }
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_delta_log_key(table, table->version, ".crc", arena, &key, err));
    dl_bytes bytes = {(const uint8_t *)text.ptr, text.len};
    dl_status status = dl_store_put_if_absent(table->open.store, key, bytes, err);
    if (status == DL_E_EXISTS) {
        dl_error_clear(err);
        return DL_OK;
    }
    *out_bytes = status == DL_OK ? (int64_t)text.len : 0;
    return status;
}

/* ---- after a commit ---- */

/* The commit that stands in the log must be the one that we made: some writers rename over it. */
static dl_status check_ours(dl_delta_table *table, const dl_delta_commit *commit, dl_error *err)
{
    if (commit->info.txn_id.ptr == NULL) {
        return DL_OK;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(KEYS_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "checkpoint: out of memory");
    }
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_delta_log_key(table, table->version, ".json", arena, &key, err));
    DL_AUTO_BUF text;
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    DL_TRY(dl_store_get(table->open.store, key, &text, err));
    if (dl_str_find_str(dl_buf_str(&text), commit->info.txn_id) < 0) {
        dl_error_set(err, DL_E_CORRUPT,
                     "version %lld of the table was overwritten by another writer",
                     (long long)table->version);
        dl_error_hint(err, "no other program may write to this table while sync runs");
        return DL_E_CORRUPT;
    }
    return DL_OK;
}

static int64_t checkpoint_interval(const dl_delta_table *table)
{
    int64_t interval = 0;
    dl_str text = dl_delta_property(table, "delta.checkpointInterval");
    if (text.ptr == NULL || !dl_str_to_i64(text, &interval) || interval < 1) {
        return DL_DELTA_CHECKPOINT_INTERVAL;
    }
    return interval;
}

static void count_failure(dl_delta_table *table, const dl_error *err)
{
    table->maintenance_failures++;
    table->maintenance_error = *err;
}

int64_t dl_delta_after_commit(dl_delta_table *table, const dl_delta_commit *commit)
{
    dl_error err = {0};
    int64_t bytes = 0;
    int64_t checkpoint_bytes = 0;
    int64_t deleted = 0;
    if (commit->info.version != table->version) { /* others went on: no checksum of ours is due */
        return 0;
    }
    if (write_crc(table, commit, &bytes, &err) != DL_OK) {
        count_failure(table, &err);
        bytes = 0;
    }
    if (table->version == 0 || table->version % checkpoint_interval(table) != 0) {
        return bytes;
    }
    dl_error_clear(&err);
    dl_status status = check_ours(table, commit, &err);
    if (status == DL_OK) {
        status = dl_delta_checkpoint_write(table, &checkpoint_bytes, &err);
    }
    if (status == DL_OK) {
        status = clean_log(table, DL_DELTA_CLEAN_LIMIT, &deleted, &err);
    }
    if (status != DL_OK) {
        count_failure(table, &err);
    }
    return bytes + checkpoint_bytes;
}

dl_status dl_delta_checkpoint(dl_delta_table *table, dl_error *err)
{
    int64_t bytes = 0;
    int64_t deleted = 0;
    DL_TRY(dl_delta_check_maintainable(table, err));
    DL_TRY(dl_delta_checkpoint_write(table, &bytes, err));
    return clean_log(table, INT64_MAX, &deleted, err);
}
