/* Whether a feed has something new: for triggers on change. Sources of their own, so that asking
 * never waits for a run. */
#include "base/mem.h"
#include "factory/probe.h"
#include "factory/work_internal.h"

#include <string.h>
#include <time.h>

enum {
    POLL_MS = 1000,
    STEP_MS = 50,
    NEWS_ARENA_BYTES = 4 * 1024 * 1024,
    CONNECT_S = 5,
    IDLE_S = 30
};

/* The feed of a pipeline. */
typedef struct dl_work_news {
    struct dl_work_news *next;
    char pipeline_name[DL_FACTORY_NAME_LIMIT + 1];
    uint64_t fingerprint;
    dl_feed_source *source;
} dl_work_news;

/* Out of the list: whoever asks has it for itself. NULL: none is there. */
static dl_work_news *take(dl_work *work, dl_str pipeline)
{
    dl_work_news *found = NULL;
    (void)pthread_mutex_lock(&work->lock);
    for (dl_work_news **at = &work->news; *at != NULL && found == NULL; at = &(*at)->next) {
        if (dl_str_eq(dl_str_of((*at)->pipeline_name), pipeline)) {
            found = *at;
            *at = found->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&work->lock);
    return found;
}

static void destroy(dl_work_news *news)
{
    if (news != NULL) {
        dl_feed_source_close(news->source);
        dl_mem_free(news);
    }
}

static void put_back(dl_work *work, dl_work_news *news)
{
    (void)pthread_mutex_lock(&work->lock);
    news->next = work->news;
    work->news = news;
    (void)pthread_mutex_unlock(&work->lock);
}

void dl_work_news_close(dl_work *work)
{
    while (work->news != NULL) {
        dl_work_news *news = work->news;
        work->news = news->next;
        destroy(news);
    }
}

static dl_status make(dl_work *work, const dl_work_plan *plan, dl_str pipeline,
                      dl_work_news **out_news, dl_error *err)
{
    dl_work_news *news = dl_mem_zalloc(1, sizeof *news);
    if (news == NULL || !dl_str_copy(pipeline, news->pipeline_name, sizeof news->pipeline_name)) {
        dl_mem_free(news);
        return dl_error_set(err, DL_E_NOMEM, "no memory to ask for changes");
    }
    news->fingerprint = plan->fingerprint;
    dl_feed_http_options options = {
        .try_limit = 1, .connect_timeout_s = CONNECT_S, .idle_timeout_s = IDLE_S};
    dl_status status =
        dl_connection_feed(work->factory, &plan->dicom, &options, &news->source, err);
    if (status != DL_OK) {
        dl_mem_free(news);
        return status;
    }
    *out_news = news;
    return DL_OK;
}

static dl_status find(dl_work *work, dl_str pipeline, dl_work_news **out_news, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(NEWS_ARENA_BYTES);
    dl_work_plan *plan = arena == NULL ? NULL : dl_arena_alloc(arena, 1, sizeof *plan);
    if (plan == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to ask for changes");
    }
    DL_TRY(dl_work_plan_read(work->factory, pipeline, arena, plan, err));
    dl_work_news *news = take(work, pipeline);
    if (news != NULL && news->fingerprint != plan->fingerprint) {
        destroy(news);
        news = NULL;
    }
    if (news == NULL) {
        DL_TRY(make(work, plan, pipeline, &news, err));
    }
    *out_news = news;
    return DL_OK;
}

static void pause_ms(unsigned ms, dl_cancel *cancel)
{
    for (unsigned done = 0; done < ms && !dl_cancel_asked(cancel); done += STEP_MS) {
        unsigned step_ms = ms - done < STEP_MS ? ms - done : STEP_MS;
        struct timespec step = {.tv_nsec = (long)step_ms * 1000000L};
        (void)nanosleep(&step, NULL);
    }
}

static dl_status ask(dl_feed_source *source, int64_t *out_sequence, dl_cancel *cancel,
                     dl_error *err)
{
    int64_t sequence = 0, time_us = 0;
    dl_error local = {0};
    dl_status status = source->ops->latest(source, &sequence, &time_us, cancel, &local);
    if (status == DL_E_NOT_FOUND) { /* an empty feed */
        sequence = 0;
    } else if (status != DL_OK) {
        if (err != NULL) {
            *err = local;
        }
        return status;
    }
    *out_sequence = sequence;
    return DL_OK;
}

/* Until there is something after `after`, or the time is up. */
static dl_status await(dl_feed_source *source, int64_t after, unsigned timeout_ms,
                       dl_cancel *cancel, int64_t *out_sequence, dl_error *err)
{
    int64_t until_us = dl_clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        DL_TRY(ask(source, out_sequence, cancel, err));
        int64_t left_ms = (until_us - dl_clock_monotonic_us()) / 1000;
        if (*out_sequence > after || left_ms <= 0 || dl_cancel_asked(cancel)) {
            return DL_OK;
        }
        unsigned wait_ms = (unsigned)(left_ms < POLL_MS ? left_ms : POLL_MS);
        if (source->ops->wait != NULL) {
            source->ops->wait(source, after, wait_ms, cancel);
        } else {
            pause_ms(wait_ms, cancel);
        }
    }
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_work_newest(dl_work *work, dl_str pipeline, int64_t after, unsigned timeout_ms,
                         dl_cancel *cancel, int64_t *out_sequence, dl_error *err)
{
    dl_work_news *news = NULL;
    int64_t sequence = 0;
    DL_TRY(find(work, pipeline, &news, err));
    dl_status status = await(news->source, after, timeout_ms, cancel, &sequence, err);
    if (status != DL_OK) {
        destroy(news);
        return status;
    }
    put_back(work, news);
    *out_sequence = sequence;
    return DL_OK;
}
