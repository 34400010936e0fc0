/* A lake: its three tables, the lock, the state index; opened and made. */
#include "pipeline/internal.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ARENA_BYTES = 16 * 1024 * 1024, LOCK_POLL_MS = 100, PATH_SIZE = 4096 };

void dl_pipeline_note(const dl_pipeline *p, const char *format, ...)
{
    if (p->options.on_note == NULL) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->options.on_note(p->options.context, text);
}

void dl_pipeline_count(dl_pipeline *p, int64_t *counter, int64_t amount)
{
    (void)pthread_mutex_lock(&p->lock);
    *counter += amount;
    (void)pthread_mutex_unlock(&p->lock);
}

void dl_pipeline_counts_now(dl_pipeline *p, dl_pipeline_counts *out_counts)
{
    (void)pthread_mutex_lock(&p->lock);
    *out_counts = p->counts;
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- the lock ---- */

static dl_status take_lock(dl_pipeline *p, dl_error *err)
{
    char path[PATH_SIZE];
    const char *work = p->options.reading ? "verify" : "lake";
    if (snprintf(path, sizeof path, "%s/%s.lock", p->options.state_folder, work) >=
        (int)sizeof path) {
        return dl_error_set(err, DL_E_INVALID, "the path of the state folder is too long");
    }
    DL_TRY(dl_file_make_dirs(p->options.state_folder, err));
    DL_TRY(dl_file_open(path, O_RDWR | O_CREAT, 0600, &p->lock_fd, err));
    int64_t until = dl_clock_monotonic_us() + (int64_t)p->options.lock_wait_s * 1000000;
    while (flock(p->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return dl_error_errno(err, errno, "cannot lock the lake");
        }
        if (dl_cancel_asked(p->options.cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "canceled while waiting for another sync");
        }
        if (dl_clock_monotonic_us() >= until) {
            (void)dl_error_set(err, DL_E_UNAVAILABLE, "another %s works on this lake",
                               p->options.reading ? "verify" : "sync");
            dl_error_hint(err, p->options.reading ? "wait for it"
                                                  : "wait for it, or give --wait SECONDS");
            return DL_E_UNAVAILABLE;
        }
        struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    return DL_OK;
}

/* ---- open ---- */

static dl_status copy_options(dl_pipeline *p, const dl_pipeline_options *o, dl_error *err)
{
    p->options = *o;
    dl_str folder;
    DL_TRY(dl_arena_copy(p->arena, dl_str_of(o->state_folder), &folder, err));
    p->options.state_folder = folder.ptr;
    if (p->options.batch_bytes == 0) {
        p->options.batch_bytes = (size_t)96 << 20;
    }
    if (p->options.batch_changes == 0) {
        p->options.batch_changes = 50000;
    }
    const char **columns = dl_arena_alloc(p->arena, o->column_count + 1, sizeof *columns);
    if (columns == NULL) {
        return dl_arena_full(p->arena, err);
    }
    for (size_t i = 0; i < o->column_count; i++) {
        dl_str text;
        DL_TRY(dl_arena_copy(p->arena, dl_str_of(o->columns[i]), &text, err));
        columns[i] = text.ptr;
    }
    p->options.columns = columns;
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        p->tables[i].kind = (dl_state_kind)i;
        DL_TRY(dl_arena_printf(p->arena, &p->tables[i].root, err, "%s/%s", o->parameters.container,
                               o->parameters.path[i]));
    }
    return DL_OK;
}

static dl_status open_parts(dl_pipeline *p, const dl_pipeline_options *options, dl_error *err)
{
    DL_TRY(dl_pipeline_parameters_check(&options->parameters, options->allow_short_retention, err));
    DL_TRY(copy_options(p, options, err));
    DL_TRY(take_lock(p, err));
    dl_columnar_engine_options engine = {0};
    DL_TRY(dl_columnar_engine_create(&engine, &p->engine, err));
    if (p->options.reading) { /* the tables alone: the state index is the sync's */
        return DL_OK;
    }
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/lake.db", p->options.state_folder);
    return dl_state_open(path, &p->state, err);
}

dl_status dl_pipeline_open(const dl_pipeline_options *options, dl_pipeline **out_pipeline,
                           dl_error *err)
{
    dl_pipeline *p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a pipeline");
    }
    p->lock_fd = -1;
    p->ahead_end_us = INT64_MIN;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->arena = dl_arena_create(ARENA_BYTES);
    dl_status status = p->arena == NULL ? dl_error_set(err, DL_E_NOMEM, "no memory for a pipeline")
                                        : open_parts(p, options, err);
    if (status != DL_OK) {
        dl_pipeline_close(p);
        return status;
    }
    *out_pipeline = p;
    return DL_OK;
}

void dl_pipeline_tables_close(dl_pipeline *p)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        dl_project_binding_destroy(p->tables[i].binding);
        dl_delta_table_close(p->tables[i].table);
        p->tables[i].binding = NULL;
        p->tables[i].table = NULL;
    }
}

void dl_pipeline_close(dl_pipeline *p)
{
    if (p == NULL) {
        return;
    }
    dl_pipeline_tables_close(p);
    dl_project_destroy(p->project);
    dl_state_close(p->state);
    dl_columnar_engine_destroy(p->engine);
    dl_file_close(&p->lock_fd);
    dl_arena_destroy(p->arena);
    (void)pthread_mutex_destroy(&p->lock);
    dl_mem_free(p);
}

/* ---- between two syncs ---- */

dl_status dl_pipeline_use(dl_pipeline *p, const dl_pipeline_parameters *parameters, dl_error *err)
{
    DL_TRY(dl_pipeline_parameters_check(parameters, p->options.allow_short_retention, err));
    char ours[DL_PIPELINE_STATE_NAME_SIZE];
    char theirs[DL_PIPELINE_STATE_NAME_SIZE];
    dl_pipeline_state_name(&p->options.parameters, ours);
    dl_pipeline_state_name(parameters, theirs);
    if (strcmp(ours, theirs) != 0) {
        return dl_error_set(err, DL_E_INVALID, "the lake was opened with other tables");
    }
    p->options.parameters = *parameters;
    return DL_OK;
}

static dl_pipeline_trace trace_of(const char *path)
{
    struct statx info;
    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &info) != 0) {
        return (dl_pipeline_trace){0};
    }
    bool born = (info.stx_mask & STATX_BTIME) != 0;
    return (dl_pipeline_trace){
        info.stx_ino, born ? info.stx_btime.tv_sec * 1000000000 + info.stx_btime.tv_nsec : 0};
}

static bool is_trace(dl_pipeline_trace was, dl_pipeline_trace is)
{
    return was.inode == 0 || (was.inode == is.inode && was.born_ns == is.born_ns);
}

static dl_pipeline_trace trace_table(const dl_pipeline *p, const dl_pipeline_table *t)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)PATH_SIZE * 4);
    dl_str key;
    dl_str path;
    if (arena == NULL || t->table == NULL ||
        dl_arena_printf(arena, &key, NULL, "%.*s/_delta_log", DL_STR_ARG(t->root)) != DL_OK ||
        dl_store_location(p->options.lake, key, arena, &path, NULL) != DL_OK) {
        return (dl_pipeline_trace){0};
    }
    return trace_of(path.ptr);
}

static dl_pipeline_trace trace_state(const dl_pipeline *p)
{
    char path[PATH_SIZE];
    int len = snprintf(path, sizeof path, "%s/lake.db", p->options.state_folder);
    return len < (int)sizeof path ? trace_of(path) : (dl_pipeline_trace){0};
}

void dl_pipeline_rest(dl_pipeline *p)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        p->traces[i] = trace_table(p, &p->tables[i]);
    }
    p->state_trace = trace_state(p);
    dl_file_close(&p->lock_fd);
}

dl_status dl_pipeline_wake(dl_pipeline *p, dl_error *err)
{
    if (p->lock_fd < 0) {
        DL_TRY(take_lock(p, err));
    }
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        if (!is_trace(p->traces[i], trace_table(p, &p->tables[i]))) {
            return dl_error_set(err, DL_E_NOT_FOUND, "table %s was taken away or replaced",
                                dl_pipeline_table_name(i));
        }
    }
    if (!is_trace(p->state_trace, trace_state(p))) {
        return dl_error_set(err, DL_E_NOT_FOUND,
                            "the state index of the lake was taken away or replaced");
    }
    return dl_state_refresh(p->state, err);
}

/* ---- tables ---- */

static void see_commit(void *context, const dl_delta_commit *commit)
{
    dl_pipeline_table *t = context;
    t->foreign |= !commit->ours;
    t->rival |= !commit->ours && dl_str_starts(commit->info.user_metadata, DL_STR("{\"seq\":"));
}

static dl_delta_open open_options(dl_pipeline *p, dl_pipeline_table *t)
{
    return (dl_delta_open){.store = p->options.lake,
                           .root = t->root,
                           .engine = p->engine,
                           .clock = p->options.clock,
                           .version = -1,
                           .timestamp_us = INT64_MIN,
                           .prefer_commits = true,
                           .cancel = p->options.cancel,
                           .on_commit = see_commit,
                           .context = t};
}

dl_status dl_pipeline_position(dl_pipeline *p, const dl_pipeline_table *t, dl_error *err)
{
    if (t->foreign) { /* stays behind, so that catching up looks at everything */
        return DL_OK;
    }
    return dl_state_position_set(p->state, t->kind, dl_delta_metadata_of(t->table)->id,
                                 dl_delta_version(t->table), err);
}

static dl_status check_partitions(const dl_pipeline_table *t, dl_error *err)
{
    const dl_delta_metadata *metadata = dl_delta_metadata_of(t->table);
    if (metadata->partition_columns.count != 1 ||
        !dl_str_eq_nocase(metadata->partition_columns.items[0], DL_STR("partitionName"))) {
        (void)dl_error_set(err, DL_E_UNSUPPORTED,
                           "table %s is not partitioned by partitionName alone",
                           dl_pipeline_table_name(t->kind));
        dl_error_hint(err, "sync into another container or table path");
        return DL_E_UNSUPPORTED;
    }
    return DL_OK;
}

dl_status dl_pipeline_bind(dl_pipeline *p, dl_pipeline_table *t, dl_error *err)
{
    DL_TRY(check_partitions(t, err));
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(t->table, &count);
    dl_project_binding *binding = NULL;
    dl_status status = dl_project_bind(p->project, t->kind, columns, count, &binding, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "opening table %s", dl_pipeline_table_name(t->kind));
    }
    dl_project_binding_destroy(t->binding);
    t->binding = binding;
    return DL_OK;
}

/* The profile is that of the instance table where there is one. */
static dl_status make_project(dl_pipeline *p, dl_error *err)
{
    if (p->project != NULL) {
        return DL_OK;
    }
    dl_pipeline_profile profile = p->options.profile;
    const dl_pipeline_table *instance = &p->tables[DL_STATE_INSTANCE];
    if (profile == DL_PIPELINE_AUTO) {
        profile = DL_PIPELINE_TEMPLATE_R4;
        if (instance->table != NULL) {
            size_t count = 0;
            const dl_delta_column *columns = dl_delta_columns(instance->table, &count);
            (void)dl_project_recognise(columns, count, &profile);
        }
    }
    return dl_project_create(profile, p->options.columns, p->options.column_count, &p->project,
                             err);
}

static dl_status create_table(dl_pipeline *p, dl_pipeline_table *t, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to make table %s",
                            dl_pipeline_table_name(t->kind));
    }
    static const dl_str partition_column = {"partitionName", 13};
    dl_delta_pair configuration[] = {
        {DL_STR("delta.deletedFileRetentionDuration"), DL_STR_NONE},
        {DL_STR("delta.autoOptimize.autoCompact"), DL_STR("true")},
        {DL_STR("delta.dataSkippingStatsColumns"), DL_STR_NONE},
    };
    dl_delta_create create = {.open = open_options(p, t),
                              .name = DL_STR_NONE,
                              .description = DL_STR_NONE,
                              .partition_columns = {&partition_column, 1},
                              .configuration = {configuration, DL_COUNT_OF(configuration)},
                              .compat = p->options.compat};
    DL_TRY(dl_arena_printf(arena, &configuration[0].value, err, "interval %" PRId64 " hours",
                           p->options.parameters.retention_hours));
    DL_TRY(dl_project_stats_columns(p->project, t->kind, arena, &configuration[2].value, err));
    DL_TRY(dl_project_schema(p->project, t->kind, arena, &create.schema_json, err));
    return dl_delta_table_create(&create, &t->table, err);
}

/* Columns that the project has and the table lacks come in with a metaData of their own: no file is
 * rewritten. */
static dl_status evolve(dl_pipeline *p, dl_pipeline_table *t, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to open table %s",
                            dl_pipeline_table_name(t->kind));
    }
    const dl_delta_metadata *metadata = dl_delta_metadata_of(t->table);
    dl_str wanted;
    dl_str merged;
    DL_TRY(dl_project_schema(p->project, t->kind, arena, &wanted, err));
    dl_status status = dl_delta_schema_merge(metadata->schema_json, wanted, arena, &merged, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "opening table %s", dl_pipeline_table_name(t->kind));
    }
    if (dl_str_eq(merged, metadata->schema_json)) {
        return DL_OK;
    }
    dl_delta_metadata next = *metadata;
    next.schema_json = merged;
    dl_delta_change change = {.operation = "ADD COLUMNS",
                              .metadata = &next,
                              .user_metadata = DL_STR_NONE,
                              .exclusive = true};
    dl_delta_result result = {0};
    DL_TRY(dl_delta_commit_change(t->table, &change, &result, err));
    dl_pipeline_note(p, "table %s has new columns since version %" PRId64,
                     dl_pipeline_table_name(t->kind), result.version);
    return DL_OK;
}

dl_status dl_pipeline_tables_open(dl_pipeline *p, bool create, dl_error *err)
{
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        dl_pipeline_table *t = &p->tables[i];
        if (t->table != NULL) {
            continue;
        }
        dl_delta_open options = open_options(p, t);
        dl_error local = {0};
        dl_status status = dl_delta_table_open(&options, &t->table, &local);
        if (status != DL_OK && status != DL_E_NOT_FOUND) {
            if (err != NULL) {
                *err = local;
            }
            return dl_error_within(err, status, "opening table %s", dl_pipeline_table_name(i));
        }
    }
    DL_TRY(make_project(p, err));
    for (size_t i = 0; i < DL_PIPELINE_TABLES;
         i++) { /* nothing is touched before all of them fit */
        if (p->tables[i].table != NULL) {
            DL_TRY(dl_pipeline_bind(p, &p->tables[i], err));
        }
    }
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        dl_pipeline_table *t = &p->tables[i];
        if (t->table == NULL) {
            if (!create) {
                continue;
            }
            DL_TRY(create_table(p, t, err));
        } else if (create) {
            DL_TRY(evolve(p, t, err));
        }
        DL_TRY(dl_pipeline_bind(p, t, err));
        (void)pthread_mutex_lock(&p->lock);
        p->counts.tables[i].version = dl_delta_version(t->table);
        p->counts.tables[i].row_count = dl_delta_totals_of(t->table).row_count;
        (void)pthread_mutex_unlock(&p->lock);
    }
    return DL_OK;
}

/* ---- the watermark ---- */

dl_status dl_pipeline_app(const dl_pipeline *p, dl_state_kind kind, const char *suffix,
                          dl_arena *arena, dl_str *out_app, dl_error *err)
{
    return dl_arena_printf(arena, out_app, err, "dicomlake:%.*s:%s%s", DL_STR_ARG(p->source_id),
                           dl_pipeline_table_name(kind), suffix);
}

dl_status dl_pipeline_table_watermark(dl_pipeline *p, const dl_pipeline_table *t,
                                      int64_t *out_sequence, int64_t *out_time_us, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str app;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for the watermark");
    }
    DL_TRY(dl_pipeline_app(p, t->kind, "", arena, &app, err));
    *out_sequence = dl_delta_app_version(t->table, app);
    DL_TRY(dl_pipeline_app(p, t->kind, ":time", arena, &app, err));
    *out_time_us = dl_delta_app_version(t->table, app);
    return DL_OK;
}
