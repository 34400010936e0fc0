/* Which version a time means (protocol, "In-Commit Timestamps"): the commits' own times from where
 * they are kept, the times of their files before. */
#include "delta/internal.h"

enum { ARENA_LIMIT_BYTES = 1024 * 1024 * 1024 };

typedef struct travel {
    dl_delta_table *table; /* at its newest version */
    dl_delta_log_name *commits;
    size_t count;
    int64_t wanted_ms;
} travel;

/* The run of commits that ends at the table's version. */
static dl_status list_commits(travel *t, dl_arena *arena, dl_error *err)
{
    dl_delta_log_name *names = NULL;
    size_t count = 0;
    DL_TRY(dl_delta_log_list(t->table, 0, arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (names[i].kind != DL_DELTA_LOG_COMMIT || names[i].version > t->table->version) {
            continue;
        }
        if (t->count > 0 && names[i].version != t->commits[t->count - 1].version + 1) {
            t->count = 0;
        }
        if (t->count == 0) {
            t->commits = names; /* kept in place: never ahead of what is read */
        }
        t->commits[t->count++] = names[i];
    }
    return DL_OK;
}

/* From which version commits say their own time; INT64_MAX: none does. */
static int64_t first_in_commit(const dl_delta_table *table)
{
    int64_t version = 0;
    if (!dl_str_eq_nocase(dl_delta_property(table, "delta.enableInCommitTimestamps"),
                          DL_STR("true"))) {
        return INT64_MAX;
    }
    dl_str text = dl_delta_property(table, "delta.inCommitTimestampEnablementVersion");
    return text.ptr != NULL && dl_str_to_i64(text, &version) ? version : 0;
}

static dl_status in_commit_ms(const travel *t, size_t i, int64_t *out_ms, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_delta_info info = {0};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_delta_log_info(t->table, t->commits[i].version, arena, &info, err));
    if (!info.in_commit) {
        return dl_error_set(err, DL_E_CORRUPT,
                            "commit %lld has no inCommitTimestamp, which the table says it keeps",
                            (long long)t->commits[i].version);
    }
    *out_ms = info.timestamp_ms;
    return DL_OK;
}

/* The last of commits[begin..count) whose own time is not after the wanted one; they ascend.
 * SIZE_MAX: none. */
static dl_status search_in_commit(const travel *t, size_t begin, size_t *out_at, dl_error *err)
{
    size_t low = begin, high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int64_t ms = 0;
        DL_TRY(in_commit_ms(t, middle, &ms, err));
        if (ms <= t->wanted_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *out_at = low == begin ? SIZE_MAX : low - 1;
    return DL_OK;
}

/* The same by the files' times, each at least a millisecond after the one before. */
static size_t search_file_times(const travel *t, size_t end)
{
    size_t found = SIZE_MAX;
    int64_t last_ms = INT64_MIN;
    for (size_t i = 0; i < end; i++) {
        int64_t ms = t->commits[i].modified_us / 1000;
        if (i > 0 && ms <= last_ms) {
            ms = last_ms + 1;
        }
        last_ms = ms;
        if (ms <= t->wanted_ms) {
            found = i;
        }
    }
    return found;
}

dl_status dl_delta_log_version_at(dl_delta_table *table, int64_t timestamp_us, int64_t *out_version,
                                  dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    int64_t wanted_ms = timestamp_us / 1000 - (timestamp_us % 1000 < 0 ? 1 : 0);
    travel t = {.table = table, .wanted_ms = wanted_ms};
    size_t at = SIZE_MAX, switched = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(list_commits(&t, arena, err));
    int64_t first = first_in_commit(table);
    while (switched < t.count && t.commits[switched].version < first) {
        switched++;
    }
    if (switched < t.count) {
        DL_TRY(search_in_commit(&t, switched, &at, err));
    }
    if (at == SIZE_MAX) {
        at = search_file_times(&t, switched);
    }
    if (at == SIZE_MAX) {
        dl_status status =
            dl_error_set(err, DL_E_NOT_FOUND, "every version of the table is after that time");
        if (t.count > 0) {
            dl_error_hint(err, "its oldest commit is that of version %lld",
                          (long long)t.commits[0].version);
        }
        return status;
    }
    *out_version = t.commits[at].version;
    return DL_OK;
}
