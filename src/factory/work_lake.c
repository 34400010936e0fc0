/* What a run works on: the source and the lake of its pipeline, opened, kept, closed. */
#include "factory/probe.h"
#include "factory/work_internal.h"

#include <string.h>

enum { KEPT_ARENA_BYTES = 256 * 1024 };

/* ---- what is told meanwhile ---- */

static void on_retry(void *context, unsigned pause_ms, const char *cause)
{
    dl_work_kept *kept = context;
    if (kept->now != NULL) {
        dl_work_log(kept->now, "warn", "%s; trying again in %.1f s", cause, pause_ms / 1e3);
    }
}

static void on_note(void *context, const char *note)
{
    dl_work_kept *kept = context;
    if (kept->now != NULL) {
        dl_work_log(kept->now, "warn", "%s", note);
    }
}

/* ---- closing ---- */

static void show(dl_work_running *r, dl_pipeline *pipeline)
{
    if (r != NULL) {
        (void)pthread_mutex_lock(&r->lock);
        r->pipeline = pipeline;
        (void)pthread_mutex_unlock(&r->lock);
    }
}

void dl_work_kept_close(dl_work_kept *kept, bool all)
{
    show(kept->now, NULL);
    dl_pipeline_close(kept->pipeline);
    dl_store_close(kept->store);
    kept->pipeline = NULL;
    kept->store = NULL;
    dl_arena_destroy(kept->arena);
    kept->arena = NULL;
    if (all) {
        dl_feed_source_close(kept->source);
        kept->source = NULL;
    }
}

void dl_work_kept_rest(dl_work_kept *kept)
{
    show(kept->now, NULL);
    if (kept->pipeline != NULL) {
        dl_pipeline_rest(kept->pipeline);
    }
}

/* ---- opening ---- */

static dl_status open_source(dl_work_running *r, dl_error *err)
{
    dl_work_kept *kept = r->kept;
    if (kept->source != NULL) {
        return DL_OK;
    }
    dl_feed_http_options options = {.api_version = r->plan->parameters.api_version,
                                    .try_limit = r->work->try_limit,
                                    .backoff_ms = r->work->backoff_ms,
                                    .on_retry = on_retry,
                                    .context = kept,
                                    .cancel = &kept->cancel};
    dl_status status =
        dl_connection_feed(r->work->factory, &r->plan->dicom, &options, &kept->source, err);
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status, "opening connection %.*s",
                                             DL_STR_ARG(r->plan->dicom.name));
}

static dl_status copy_columns(dl_work_kept *kept, const dl_factory_pipeline *pipeline,
                              const char ***out_columns, dl_error *err)
{
    const char **columns =
        dl_arena_alloc(kept->arena, pipeline->column_count + 1, sizeof(const char *));
    if (columns == NULL) {
        return dl_arena_full(kept->arena, err);
    }
    for (size_t i = 0; i < pipeline->column_count; i++) {
        dl_str text;
        DL_TRY(dl_arena_copy(kept->arena, pipeline->columns[i], &text, err));
        columns[i] = text.ptr;
    }
    *out_columns = columns;
    return DL_OK;
}

static dl_status open_parts(dl_work_running *r, dl_error *err)
{
    dl_work_kept *kept = r->kept;
    const dl_factory_pipeline *pipeline = &r->plan->pipeline;
    const char **columns = NULL;
    dl_str state_folder;
    DL_TRY(copy_columns(kept, pipeline, &columns, err));
    DL_TRY(dl_connection_lake(r->work->factory, &r->plan->lake, &r->plan->parameters, true,
                              kept->arena, &kept->store, &state_folder, err));
    dl_pipeline_options options = {.lake = kept->store,
                                   .state_folder = state_folder.ptr,
                                   .parameters = r->plan->parameters,
                                   .profile = pipeline->profile,
                                   .compat = pipeline->compat,
                                   .columns = columns,
                                   .column_count = pipeline->column_count,
                                   .require_file_path = pipeline->require_file_path,
                                   .lock_wait_s = DL_WORK_LOCK_WAIT_S,
                                   .clock = dl_factory_options_of(r->work->factory)->clock,
                                   .cancel = &kept->cancel,
                                   .on_note = on_note,
                                   .context = kept};
    return dl_pipeline_open(&options, &kept->pipeline, err);
}

static dl_status open_lake(dl_work_running *r, dl_error *err)
{
    dl_work_kept *kept = r->kept;
    kept->arena = dl_arena_create(KEPT_ARENA_BYTES);
    dl_status status = kept->arena == NULL
                           ? dl_error_set(err, DL_E_NOMEM, "no memory to open a lake")
                           : open_parts(r, err);
    if (status != DL_OK) {
        dl_work_kept_close(kept, false);
        return dl_error_within(err, status, "opening connection %.*s",
                               DL_STR_ARG(r->plan->lake.name));
    }
    dl_pipeline_state_name(&r->plan->parameters, kept->state_name);
    return DL_OK;
}

dl_status dl_work_kept_open(dl_work_running *r, dl_error *err)
{
    dl_work_kept *kept = r->kept;
    char name[DL_PIPELINE_STATE_NAME_SIZE];
    dl_pipeline_state_name(&r->plan->parameters, name);
    if (kept->fingerprint != r->plan->fingerprint) {
        dl_work_kept_close(kept, true);
        kept->fingerprint = r->plan->fingerprint;
    }
    if (kept->pipeline != NULL && strcmp(kept->state_name, name) != 0) {
        dl_work_kept_close(kept, false);
    }
    DL_TRY(open_source(r, err));
    if (kept->pipeline == NULL) {
        DL_TRY(open_lake(r, err));
    } else {
        DL_TRY(dl_pipeline_wake(kept->pipeline, err));
        DL_TRY(dl_pipeline_use(kept->pipeline, &r->plan->parameters, err));
    }
    show(r, kept->pipeline);
    return DL_OK;
}
