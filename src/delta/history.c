/* What was done to the table: its commits, newest first. */
#include "delta/internal.h"

enum {
    NAMES_LIMIT_BYTES = 1024 * 1024 * 1024,
    COMMIT_LIMIT_BYTES = 512 * 1024 * 1024,
};

static dl_status show_one(dl_delta_table *table, const dl_delta_log_name *name,
                          dl_status (*visit)(void *context, const dl_delta_info *info,
                                             dl_error *err),
                          void *context, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(COMMIT_LIMIT_BYTES);
    dl_delta_info info = {0};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(dl_delta_log_info(table, name->version, arena, &info, err));
    return visit(context, &info, err);
}

dl_status dl_delta_history(dl_delta_table *table, size_t limit,
                           dl_status (*visit)(void *context, const dl_delta_info *info,
                                              dl_error *err),
                           void *context, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(NAMES_LIMIT_BYTES);
    dl_delta_log_name *names = NULL;
    size_t count = 0, shown = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    int64_t from = 0;
    if (limit > 0 && limit <= (size_t)table->version) {
        from = table->version - (int64_t)limit + 1;
    }
    DL_TRY(dl_delta_log_list(table, from, arena, &names, &count, err));
    for (size_t i = count; i > 0 && (limit == 0 || shown < limit); i--) {
        if (names[i - 1].kind != DL_DELTA_LOG_COMMIT || names[i - 1].version > table->version) {
            continue;
        }
        if (dl_cancel_asked(table->open.cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "canceled");
        }
        DL_TRY(show_one(table, &names[i - 1], visit, context, err));
        shown++;
    }
    return DL_OK;
}

/* ---- whole commits, backwards ---- */

typedef struct backwards {
    dl_status (*visit)(void *context, const dl_delta_commit *commit, bool *out_stop, dl_error *err);
    void *context;
    bool stop;
} backwards;

static dl_status visit_one(void *context, const dl_delta_commit *commit, dl_error *err)
{
    backwards *b = context;
    return b->visit(b->context, commit, &b->stop, err);
}

static bool has_commit(dl_delta_table *table, int64_t version)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(COMMIT_LIMIT_BYTES);
    dl_str key = DL_STR_NONE;
    dl_store_stat stat = {0};
    return arena != NULL && dl_delta_log_key(table, version, ".json", arena, &key, NULL) == DL_OK &&
           dl_store_stat_key(table->open.store, key, &stat, NULL) == DL_OK;
}

dl_status dl_delta_commits_back(dl_delta_table *table,
                                dl_status (*visit)(void *context, const dl_delta_commit *commit,
                                                   bool *out_stop, dl_error *err),
                                void *context, dl_error *err)
{
    backwards b = {.visit = visit, .context = context};
    for (int64_t version = table->version; version >= 0 && !b.stop; version--) {
        if (!has_commit(table, version)) {
            return dl_error_set(err, DL_E_NOT_FOUND,
                                "the table's log was cleaned: commit %lld is not there any more",
                                (long long)version);
        }
        DL_TRY(dl_delta_log_read(table, version, version, visit_one, &b, err));
    }
    return DL_OK;
}
