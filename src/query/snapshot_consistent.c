/* Versions of a set's tables that agree.
 *
 * A sync commits a batch to instance, then to series, then to study, and Delta has no transaction
 * over tables: for a moment, or since a crash, instance is ahead. Each commit says how far its
 * table is by a transaction identifier, "dicomlake:<source>:<table>" (docs/sync.md), so the
 * smallest of the three is what all of them hold; tables that are further step back to their
 * newest version of before.
 *
 * A table may also hold a part of the next batch under the old mark: settling many rows takes
 * several commits, and the mark comes with the last. Such a commit is known by a change of data
 * that says a sequence in its userMetadata and sets no mark.
 *
 * Windows that went ahead of the watermark are not beneath any mark: their rows show as they come.
 */
#include "query/snapshot.h"

static const char *const kinds[] = {"instance", "series", "study"};

/* ---- marks ---- */

typedef struct mark {
    dl_str source;
    size_t kind; /* of kinds */
} mark;

/* "dicomlake:<source>:<table>"; a source may hold ':' itself. */
static bool read_mark(dl_str app_id, mark *out)
{
    static const dl_str prefix = {"dicomlake:", 10};
    if (!dl_str_starts(app_id, prefix)) {
        return false;
    }
    dl_str rest = dl_str_slice(app_id, prefix.len, app_id.len);
    for (size_t i = 0; i < DL_COUNT_OF(kinds); i++) {
        dl_str kind = dl_str_of(kinds[i]);
        size_t begin = rest.len - kind.len;
        if (dl_str_ends(rest, kind) && rest.len > kind.len && rest.ptr[begin - 1] == ':') {
            *out = (mark){dl_str_slice(rest, 0, begin - 1), i};
            return true;
        }
    }
    return false;
}

/* The i-th mark of a table from `*at` on. */
static bool next_mark(const dl_delta_table *table, size_t *at, mark *out, dl_delta_app *out_app)
{
    while (dl_delta_app_at(table, *at, out_app)) {
        (*at)++;
        if (read_mark(out_app->app_id, out)) {
            return true;
        }
    }
    return false;
}

int64_t dl_snapshot_watermark(const dl_delta_table *table)
{
    int64_t highest = 0;
    dl_delta_app app = {0};
    mark m = {0};
    for (size_t at = 0; next_mark(table, &at, &m, &app);) {
        highest = app.version > highest ? app.version : highest;
    }
    return highest;
}

/* The table's mark of a source; false: it has none. */
static bool find_mark(const dl_delta_table *table, dl_str source, mark *out, dl_delta_app *out_app)
{
    for (size_t at = 0; next_mark(table, &at, out, out_app);) {
        if (dl_str_eq(out->source, source)) {
            return true;
        }
    }
    return false;
}

/* ---- stepping back ---- */

typedef struct walk {
    dl_str app_id;
    int64_t limit;   /* of the mark */
    int64_t version; /* newest that may do */
    bool ahead;      /* no mark was met yet, and the newest is beyond the limit */
} walk;

/* A part of a batch whose mark is still to come. */
static bool is_part(const dl_delta_commit *commit)
{
    bool changes = false;
    for (size_t i = 0; i < commit->add_count && !changes; i++) {
        changes = commit->adds[i].data_change;
    }
    for (size_t i = 0; i < commit->remove_count && !changes; i++) {
        changes = commit->removes[i].data_change;
    }
    return changes && dl_str_starts(commit->info.user_metadata, DL_STR("{\"seq\":"));
}

static dl_status step(void *context, const dl_delta_commit *commit, bool *out_stop, dl_error *err)
{
    walk *w = context;
    (void)err;
    for (size_t i = 0; i < commit->app_count; i++) {
        if (!dl_str_eq(commit->apps[i].app_id, w->app_id)) {
            continue;
        }
        if (commit->apps[i].version <= w->limit) {
            *out_stop = true;
            return DL_OK;
        }
        w->version = commit->info.version - 1; /* another mark beyond the limit may come yet */
        w->ahead = false;
        return DL_OK;
    }
    if (!w->ahead && is_part(commit)) {
        w->version = commit->info.version - 1;
    }
    return DL_OK;
}

/* The newest version of a table whose mark of the source is at most `limit`. */
static dl_status step_back(dl_snapshot_pick *pick, dl_str app_id, int64_t current, int64_t limit,
                           dl_error *err)
{
    walk w = {.app_id = app_id,
              .limit = limit,
              .version = dl_delta_version(pick->table),
              .ahead = current > limit};
    dl_error cause = {0};
    dl_status status = dl_delta_commits_back(pick->table, step, &w, &cause);
    if (status == DL_E_NOT_FOUND && current <= limit) {
        status = DL_OK; /* its mark is older than the log */
    }
    if (status == DL_OK && w.version < 0) {
        status = dl_error_set(&cause, DL_E_NOT_FOUND, "it has no version");
    }
    if (status != DL_OK) {
        if (err != NULL) {
            *err = cause;
        }
        dl_error_hint(err, "a sync makes the tables agree; VERSION AS OF reads each for itself");
        return dl_error_within(err, status, "looking for the version of watermark %lld",
                               (long long)(limit < 0 ? 0 : limit));
    }
    pick->version = w.version < pick->version ? w.version : pick->version;
    return DL_OK;
}

/* ---- a source ---- */

static dl_str folder_name(dl_str folder)
{
    size_t begin = folder.len;
    while (begin > 0 && folder.ptr[begin - 1] != '/') {
        begin--;
    }
    return dl_str_slice(folder, begin, folder.len);
}

/* Whether a table without a mark is one that the source's sync is still to commit to: by the name
 * of its folder, when no other table is that one. */
static bool is_awaited(const dl_snapshot_pick *pick, const bool *have)
{
    for (size_t i = 0; i < DL_COUNT_OF(kinds); i++) {
        if (!have[i] && dl_str_eq_nocase(folder_name(pick->folder), dl_str_of(kinds[i]))) {
            return true;
        }
    }
    return false;
}

static dl_status agree_on(dl_snapshot_pick *picks, size_t count, dl_str source, size_t *out_at,
                          dl_error *err)
{
    bool have[DL_COUNT_OF(kinds)] = {false};
    int64_t low = INT64_MAX, high = INT64_MIN;
    dl_delta_app app = {0};
    mark m = {0};
    for (size_t i = 0; i < count; i++) {
        if (find_mark(picks[i].table, source, &m, &app)) {
            have[m.kind] = true;
            low = app.version < low ? app.version : low;
            high = app.version > high ? app.version : high;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!find_mark(picks[i].table, source, &m, &app) && is_awaited(&picks[i], have)) {
            low = -1;
        }
    }
    for (size_t i = 0; i < count && low < high; i++) {
        *out_at = i;
        if (find_mark(picks[i].table, source, &m, &app)) {
            DL_TRY(step_back(&picks[i], app.app_id, app.version, low, err));
            picks[i].watermark = low < 0 ? 0 : low;
        }
    }
    return DL_OK;
}

dl_status dl_snapshot_agree(dl_snapshot_pick *picks, size_t count, size_t *out_at, dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        picks[i].version = dl_delta_version(picks[i].table);
        picks[i].watermark = -1;
    }
    for (size_t i = 0; i < count && count > 1; i++) {
        dl_delta_app app = {0}, other_app = {0};
        mark m = {0}, other = {0};
        for (size_t at = 0; next_mark(picks[i].table, &at, &m, &app);) {
            bool seen = false; /* at an earlier table */
            for (size_t k = 0; k < i && !seen; k++) {
                seen = find_mark(picks[k].table, m.source, &other, &other_app);
            }
            if (!seen) {
                DL_TRY(agree_on(picks, count, m.source, out_at, err));
            }
        }
    }
    return DL_OK;
}
