/* One commit: put-if-absent of the next version, looking at who won, the rules, and again. */
#include "delta/commit.h"

#include "base/random.h"
#include "json/json.h"

#include <string.h>
#include <time.h>

enum {
    ARENA_LIMIT_BYTES = 256 * 1024 * 1024,
    WAIT_FIRST_MS = 4,
    WAIT_LAST_MS = 500,
    UNKNOWN_TRIES = 5,      /* puts of one version whose outcome nobody tells */
    HEAD_BYTES = 64 * 1024, /* of a commit: its first line mostly ends in there */
};

#ifndef DL_DELTA_VERSION
#error "the build names the version"
#endif

/* A commit under way. */
typedef struct attempt {
    dl_delta_table *table;
    dl_delta_commit *commit;
    bool exclusive;
    char txn_id[DL_DELTA_UUID_SIZE];
    int64_t log_bytes;
    /* what the winners said */
    dl_delta_conflict verdict;
    const char *reason;
    int64_t reason_version;
} attempt;

/* ---- waiting ---- */

/* Between half and all of a time that doubles, so that racers part. */
static void wait_a_little(int64_t tries)
{
    int64_t ms = WAIT_FIRST_MS;
    for (int64_t i = 1; i < tries && ms < WAIT_LAST_MS; i++) {
        ms *= 2;
    }
    uint32_t chance = 0;
    dl_random_bytes(&chance, sizeof chance);
    int64_t ns = (ms > WAIT_LAST_MS ? WAIT_LAST_MS : ms) * 500000;
    ns += ns * (int64_t)(chance % 1024) / 1024;
    struct timespec time = {.tv_nsec = (long)ns};
    (void)nanosleep(&time, NULL);
}

/* ---- what a commit's text says of who wrote it ---- */

static dl_str text_txn_id(dl_str text, dl_arena *arena)
{
    dl_str line = DL_STR_NONE, info = DL_STR_NONE, value = DL_STR_NONE, id = DL_STR_NONE;
    if (!dl_str_next(&text, '\n', &line) || !dl_json_get(line, DL_STR("commitInfo"), &info) ||
        !dl_json_get(info, DL_STR("txnId"), &value) ||
        dl_json_text(value, arena, &id, NULL) != DL_OK) {
        return DL_STR_NONE;
    }
    return id;
}

/* The txnId of a version in the log, ptr NULL when it has none. Errors: DL_E_NOT_FOUND, ... */
static dl_status read_txn_id(dl_delta_table *table, int64_t version, dl_arena *arena,
                             dl_str *out_id, dl_error *err)
{
    dl_str key = DL_STR_NONE;
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    DL_TRY(dl_delta_log_key(table, version, ".json", arena, &key, err));
    DL_TRY(dl_store_get_range(table->open.store, key, 0, HEAD_BYTES, &text, err));
    if (text.len == HEAD_BYTES && dl_str_find(dl_buf_str(&text), '\n') < 0) {
        dl_buf_reset(&text);
        DL_TRY(dl_store_get(table->open.store, key, &text, err));
    }
    *out_id = text_txn_id(dl_buf_str(&text), arena);
    return DL_OK;
}

/* Stores without a true put-if-absent let another writer replace our commit: better found late than
 * never. */
static dl_status check_last_own(dl_delta_table *table, dl_arena *arena, dl_error *err)
{
    if (table->own_txn_id[0] == '\0') {
        return DL_OK;
    }
    dl_str id = DL_STR_NONE;
    dl_status status = read_txn_id(table, table->own_version, arena, &id, err);
    if (status == DL_E_NOT_FOUND) { /* the log was cleaned */
        dl_error_clear(err);
        return DL_OK;
    }
    DL_TRY(status);
    if (!dl_str_eq(id, dl_str_of(table->own_txn_id))) {
        dl_error_set(err, DL_E_CORRUPT,
                     "version %lld of the table %.*s was ours and has been replaced",
                     (long long)table->own_version, DL_STR_ARG(table->open.root));
        dl_error_hint(err,
                      "another program writes to the table without exclusive commits: stop it, "
                      "then sync again");
        return DL_E_CORRUPT;
    }
    return DL_OK;
}

/* ---- what is renewed at each try ---- */

static bool is_on(const dl_delta_table *table, const char *key)
{
    return dl_str_eq_nocase(dl_delta_property(table, key), DL_STR("true"));
}

static void renew_info(attempt *a)
{
    dl_delta_info *info = &a->commit->info;
    info->version = a->table->version + 1;
    info->timestamp_ms = dl_clock_now_us(&a->table->open.clock) / 1000;
    info->in_commit = is_on(a->table, "delta.enableInCommitTimestamps");
    if (info->in_commit && info->timestamp_ms <= a->table->timestamp_ms) {
        info->timestamp_ms = a->table->timestamp_ms + 1;
    }
}

static int64_t high_water_mark(const dl_delta_table *table)
{
    size_t cursor = 0;
    dl_delta_domain domain;
    while (dl_delta_live_next_domain(table->live, &cursor, &domain)) {
        dl_str value = DL_STR_NONE;
        int64_t mark = -1;
        if (dl_str_eq(domain.domain, DL_STR("delta.rowTracking")) && !domain.removed &&
            dl_json_get(domain.configuration, DL_STR("rowIdHighWaterMark"), &value) &&
            dl_json_int_of(value, &mark)) {
            return mark;
        }
    }
    return -1;
}

/* Row tracking: ids above the mark for files that have none, and the new mark. */
static dl_status number_rows(attempt *a, dl_delta_commit *out, dl_arena *arena, dl_error *err)
{
    *out = *a->commit;
    if (out->add_count == 0 ||
        !dl_delta_has_feature(dl_delta_protocol_of(a->table), "rowTracking")) {
        return DL_OK;
    }
    dl_delta_file *adds = dl_arena_alloc(arena, out->add_count, sizeof *adds);
    dl_delta_domain *domains = dl_arena_alloc(arena, out->domain_count + 1, sizeof *domains);
    if (adds == NULL || domains == NULL) {
        return dl_arena_full(arena, err);
    }
    memcpy(adds, out->adds, out->add_count * sizeof *adds);
    if (out->domain_count > 0) {
        memcpy(domains, out->domains, out->domain_count * sizeof *domains);
    }
    int64_t before = high_water_mark(a->table), mark = before;
    for (size_t i = 0; i < out->add_count; i++) {
        if (adds[i].base_row_id >= 0) {
            continue;
        }
        if (adds[i].row_count < 0) {
            return dl_error_set(err, DL_E_UNSUPPORTED,
                                "row tracking needs numRecords of the file %.*s",
                                DL_STR_ARG(adds[i].path));
        }
        adds[i].base_row_id = mark + 1;
        adds[i].default_row_commit_version = out->info.version;
        mark += adds[i].row_count;
    }
    out->adds = adds;
    if (mark != before) {
        dl_delta_domain *domain = &domains[out->domain_count];
        *domain = (dl_delta_domain){.domain = DL_STR("delta.rowTracking")};
        DL_TRY(dl_arena_printf(arena, &domain->configuration, err, "{\"rowIdHighWaterMark\":%lld}",
                               (long long)mark));
        out->domains = domains;
        out->domain_count++;
    }
    return DL_OK;
}

/* ---- one put ---- */

/* After a failure nobody knows whether the put was made: the log tells. DL_OK: it is ours;
 * DL_E_EXISTS: somebody else's; DL_E_NOT_FOUND: nothing is there. */
static dl_status find_out(dl_delta_table *table, int64_t version, dl_str txn_id, dl_arena *arena)
{
    dl_str id = DL_STR_NONE;
    DL_TRY(read_txn_id(table, version, arena, &id, NULL));
    return dl_str_eq(id, txn_id) ? DL_OK : DL_E_EXISTS;
}

dl_status dl_delta_put_commit(dl_delta_table *table, int64_t version, dl_str txn_id, dl_bytes text,
                              dl_arena *arena, dl_error *err)
{
    dl_str key = DL_STR_NONE;
    DL_TRY(dl_delta_log_key(table, version, ".json", arena, &key, err));
    for (int tries = 1;; tries++) {
        dl_error cause = {0};
        dl_status put = dl_store_put_if_absent(table->open.store, key, text, &cause);
        if (put == DL_OK) {
            return DL_OK;
        }
        dl_status found = find_out(table, version, txn_id, arena);
        if (found == DL_OK) {
            return DL_OK;
        }
        if (found == DL_E_EXISTS) {
            return dl_error_set(err, DL_E_EXISTS, "version %lld was there first",
                                (long long)version);
        }
        /* A put that the store refused leaves nothing; one that got no answer may still arrive. */
        if (found == DL_E_NOT_FOUND && put != DL_E_UNAVAILABLE && put != DL_E_EXISTS) {
            if (err != NULL) {
                *err = cause;
            }
            return dl_error_within(err, put, "committing version %lld", (long long)version);
        }
        if (tries == UNKNOWN_TRIES) {
            dl_error_set(err, DL_E_UNAVAILABLE,
                         "whether version %lld was committed is not known: %.200s",
                         (long long)version, cause.message);
            dl_error_hint(err, "open the table anew: its newest version tells");
            return DL_E_UNAVAILABLE;
        }
        wait_a_little(tries);
    }
}

static dl_status try_once(attempt *a, dl_delta_commit *out_commit, dl_arena *arena, dl_error *err)
{
    renew_info(a);
    DL_TRY(number_rows(a, out_commit, arena, err));
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    dl_status status = dl_delta_actions_write(out_commit, &text, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "writing version %lld",
                               (long long)out_commit->info.version);
    }
    a->log_bytes = (int64_t)text.len;
    return dl_delta_put_commit(a->table, out_commit->info.version, dl_str_of(a->txn_id),
                               (dl_bytes){(const uint8_t *)text.ptr, text.len}, arena, err);
}

/* ---- who won ---- */

static dl_status meet_winner(void *context, const dl_delta_commit *winner, dl_error *err)
{
    attempt *a = context;
    /* After the first verdict no more: the winner may take away the very files whose text our
     * actions borrow. */
    if (a->verdict == DL_DELTA_GO_ON) {
        a->verdict = dl_delta_conflict_check(a->commit, a->exclusive, winner, &a->reason);
        a->reason_version = winner->info.version;
    }
    return dl_delta_table_apply(a->table, winner, err);
}

/* The newest version of the run of commits that begins at `first`. */
static dl_status newest_after(dl_delta_table *table, int64_t first, int64_t *out_last,
                              dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "commit: out of memory");
    }
    dl_delta_log_name *names = NULL;
    size_t count = 0;
    int64_t last = first; /* it is there: it took our place */
    DL_TRY(dl_delta_log_list(table, first, arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind == DL_DELTA_LOG_COMMIT && names[i].version == last + 1) {
            last++;
        }
    }
    *out_last = last;
    return DL_OK;
}

/* Reads all that came first; DL_OK: the same actions may follow. */
static dl_status look_at_winners(attempt *a, dl_error *err)
{
    int64_t first = a->table->version + 1, last = 0;
    a->verdict = DL_DELTA_GO_ON;
    DL_TRY(newest_after(a->table, first, &last, err));
    DL_TRY(dl_delta_log_read(a->table, first, last, meet_winner, a, err));
    if (a->verdict == DL_DELTA_GO_ON) {
        return DL_OK;
    }
    return dl_error_set(err, a->verdict == DL_DELTA_DONE ? DL_E_EXISTS : DL_E_CONFLICT,
                        "version %lld of the table %.*s came first: %s",
                        (long long)a->reason_version, DL_STR_ARG(a->table->open.root), a->reason);
}

/* ---- the loop ---- */

static dl_status made(attempt *a, dl_delta_commit *commit, int64_t tries,
                      dl_delta_result *out_result, dl_error *err)
{
    dl_delta_table *table = a->table;
    commit->ours = true;
    memcpy(table->own_txn_id, a->txn_id, sizeof table->own_txn_id);
    table->own_version = commit->info.version;
    dl_status status = dl_delta_table_apply(table, commit, err);
    if (status != DL_OK) {
        dl_error cause = err == NULL ? (dl_error){0} : *err;
        return dl_error_set(
            err, DL_E_UNAVAILABLE,
            "version %lld is committed but was not applied (open the table anew): %.200s",
            (long long)commit->info.version, cause.message);
    }
    out_result->version = commit->info.version;
    out_result->tries = tries;
    out_result->log_bytes = a->log_bytes + dl_delta_after_commit(table, commit);
    a->commit->info = commit->info;
    return DL_OK;
}

static dl_status run(attempt *a, dl_delta_result *out_result, dl_error *err)
{
    for (int64_t tries = 1; tries <= DL_DELTA_TRIES; tries++) {
        if (dl_cancel_asked(a->table->open.cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "commit: canceled");
        }
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
        if (arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "commit: out of memory");
        }
        dl_delta_commit commit = {0};
        dl_status status = try_once(a, &commit, arena, err);
        if (status == DL_OK) {
            return made(a, &commit, tries, out_result, err);
        }
        if (status != DL_E_EXISTS) {
            return status;
        }
        if (tries > 1) {
            wait_a_little(tries - 1);
        }
        DL_TRY(look_at_winners(a, err));
    }
    return dl_error_set(err, DL_E_CONFLICT, "commit: others came first %d times",
                        (int)DL_DELTA_TRIES);
}

dl_status dl_delta_commit_actions(dl_delta_table *table, dl_delta_commit *commit, bool exclusive,
                                  dl_delta_result *out_result, dl_error *err)
{
    attempt a = {.table = table, .commit = commit, .exclusive = exclusive};
    DL_AUTO(dl_arena) arena = dl_arena_create(1024 * (size_t)1024);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "commit: out of memory");
    }
    DL_TRY(check_last_own(table, arena, err));
    dl_delta_uuid(a.txn_id);
    commit->info.txn_id = dl_str_of(a.txn_id);
    commit->info.read_version = table->version;
    commit->info.isolation_level = DL_STR("Serializable");
    commit->info.engine_info = DL_STR("dicomlake/" DL_DELTA_VERSION);
    dl_delta_result result = *out_result;
    dl_status status = run(&a, &result, err);
    commit->info.txn_id = DL_STR_NONE; /* it lives here */
    if (status == DL_OK) {
        *out_result = result;
    }
    return status;
}
