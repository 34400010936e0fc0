/* Routes of cohorts: lists of instances that a statement gave. */
#include "lakehouse/routes_internal.h"

#include "base/file.h"
#include "base/mem.h"
#include "lakehouse/files_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum { LINE_LIMIT_BYTES = 6 * DL_COHORT_LINE_LIMIT_BYTES };

static void put_cohort(dl_json_writer *w, const dl_cohort *cohort)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, cohort->name);
    dl_json_key(w, DL_STR("version"));
    dl_json_int(w, cohort->version);
    dl_cohort_put_facts(w, cohort);
    dl_json_key(w, DL_STR("instances"));
    if (cohort->instance_count < 0) { /* a damaged one in a list */
        dl_json_null(w);
    } else {
        dl_json_int(w, cohort->instance_count);
    }
    dl_json_object_end(w);
}

/* ---- cohorts ---- */

dl_status dl_lake_cohorts(dl_api_request *r, dl_error *err)
{
    dl_lakehouse lake = {0};
    dl_cohort *cohorts = NULL;
    size_t count = 0;
    size_t put = 0;
    dl_str last = DL_STR_NONE;
    dl_str token = DL_STR_NONE;
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(dl_lake_of(r, &lake, err));
    DL_TRY(dl_cohort_list(dl_lake_factory(r), &lake, r->arena, &cohorts, &count, err));
    dl_json_writer *w = dl_api_list_begin(&answer, err);
    for (size_t i = 0; i < count; i++) {
        if (dl_api_has(r, DL_LAKE_VALUE_TOKEN) &&
            dl_str_compare(cohorts[i].name, r->values[DL_LAKE_VALUE_TOKEN]) <= 0) {
            continue;
        }
        if (put == dl_api_page_limit(r, DL_LAKE_VALUE_LIMIT)) {
            token = last;
            break;
        }
        put_cohort(w, &cohorts[i]);
        last = cohorts[i].name;
        put++;
    }
    return dl_api_list_send(r, &answer, token);
}

static dl_status find_cohort(dl_api_request *r, dl_cohort *out, dl_error *err)
{
    dl_lakehouse lake = {0};
    int64_t version = dl_api_has(r, DL_LAKE_VALUE_VERSION) ? r->numbers[DL_LAKE_VALUE_VERSION] : -1;
    DL_TRY(dl_lake_of(r, &lake, err));
    return dl_cohort_get(dl_lake_factory(r), &lake, dl_api_param_of(r, "cohort"), version, r->arena,
                         out, err);
}

static dl_status send_cohort(dl_api_request *r, dl_error *err)
{
    dl_cohort cohort = {0};
    DL_AUTO_ANSWER answer = {0};
    DL_TRY(find_cohort(r, &cohort, err));
    put_cohort(dl_api_answer_begin(&answer, err), &cohort);
    return dl_api_answer_send(r, &answer);
}

dl_status dl_lake_cohort_get(dl_api_request *r, dl_error *err)
{
    return send_cohort(r, err);
}

/* The child writes the version; what it says of it is what GET says. */
static dl_status drain(dl_child *child, dl_error *err)
{
    char dropped[4096];
    for (size_t len = 1; len > 0;) {
        DL_TRY(dl_child_read(child, dropped, sizeof dropped, &len, err));
    }
    return DL_OK;
}

dl_status dl_lake_cohort_put(dl_api_request *r, dl_error *err)
{
    dl_child_options options = {.kind = DL_CHILD_COHORT,
                                .name = dl_api_param_of(r, "cohort"),
                                .input = r->values[DL_LAKE_VALUE_STATEMENT]};
    DL_AUTO(dl_child) child = NULL;
    dl_error cause = {0};
    const dl_query_place nowhere = {.at = SIZE_MAX};
    DL_TRY(dl_lake_start(r, &options, &child, err));
    if (child == NULL) {
        return DL_OK;
    }
    if (drain(child, &cause) != DL_OK) {
        dl_lake_refuse_statement(r, &cause, &nowhere);
        return DL_OK;
    }
    return send_cohort(r, err);
}

dl_status dl_lake_cohort_delete(dl_api_request *r, dl_error *err)
{
    dl_lakehouse lake = {0};
    DL_TRY(dl_lake_of(r, &lake, err));
    DL_TRY(dl_cohort_remove(dl_lake_factory(r), &lake, dl_api_param_of(r, "cohort"), err));
    dl_http_respond(r->x, 204, NULL, DL_STR(""));
    return DL_OK;
}

/* ---- instances: read by a thread, so that a list of any length is sent as it is read ---- */

typedef struct listing {
    dl_factory *factory;
    dl_arena *arena; /* of the cohort */
    dl_cohort cohort;
    pthread_t thread;
    bool started;
    int in, out;  /* a pipe; `in` is the thread's once it runs */
    dl_buf line;  /* the thread's */
    dl_error end; /* the thread's; read when it has ended */
    dl_status status;
} listing;

static dl_status write_instance(void *context, const dl_cohort_instance *instance, dl_error *err)
{
    listing *l = context;
    dl_json_writer w = {0};
    dl_buf_reset(&l->line);
    dl_json_writer_init(&w, &l->line, err);
    dl_json_object_begin(&w);
    dl_lake_put_text(&w, "studyInstanceUid", instance->study);
    dl_lake_put_text(&w, "seriesInstanceUid", instance->series);
    dl_lake_put_text(&w, "sopInstanceUid", instance->sop);
    dl_lake_put_text(&w, "filePath", instance->file_path);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    DL_TRY(dl_buf_append_char(&l->line, '\n', err));
    return dl_file_write_all(l->in, l->line.ptr, l->line.len, err); /* EPIPE: nobody reads */
}

static void *write_instances(void *context)
{
    listing *l = context;
    l->status = dl_cohort_each(l->factory, &l->cohort, write_instance, l, &l->end);
    dl_file_close(&l->in);
    return NULL;
}

static void join(listing *l)
{
    if (l->started) {
        l->started = false;
        (void)pthread_join(l->thread, NULL);
    }
}

static dl_status read_listing(void *context, char *out, size_t room, size_t *out_len, dl_error *err)
{
    listing *l = context;
    ssize_t n = -1;
    do {
        n = read(l->out, out, room);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return dl_error_errno(err, errno, "a list of instances cannot be read");
    }
    *out_len = (size_t)n;
    if (n == 0) {
        join(l);
        if (l->status != DL_OK && err != NULL) {
            *err = l->end;
        }
        return l->status;
    }
    return DL_OK;
}

static void listing_destroy(void *context)
{
    listing *l = context;
    dl_file_close(&l->out);
    join(l);
    dl_file_close(&l->in);
    dl_buf_clear(&l->line);
    dl_arena_destroy(l->arena);
    dl_mem_free(l);
}

static void listing_destroyp(listing **l)
{
    if (*l != NULL) {
        listing_destroy(*l);
    }
}

static dl_status begin_listing(dl_api_request *r, listing *l, dl_error *err)
{
    int ends[2] = {-1, -1};
    l->factory = dl_lake_factory(r);
    dl_buf_init(&l->line, LINE_LIMIT_BYTES);
    dl_arena *of_request = r->arena;
    r->arena = l->arena; /* the cohort outlives the handler */
    dl_status status = find_cohort(r, &l->cohort, err);
    r->arena = of_request;
    DL_TRY(status);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return dl_error_errno(err, errno, "a list of instances cannot be read");
    }
    l->out = ends[0];
    l->in = ends[1];
    int failed = pthread_create(&l->thread, NULL, write_instances, l);
    if (failed != 0) {
        return dl_error_errno(err, failed, "a list of instances cannot be read");
    }
    l->started = true;
    return DL_OK;
}

dl_status dl_lake_cohort_instances(dl_api_request *r, dl_error *err)
{
    DL_CLEANUP(listing_destroyp) listing *l = dl_mem_zalloc(1, sizeof *l);
    if (l == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for an answer");
    }
    l->in = -1;
    l->out = -1;
    l->arena = dl_arena_create(DL_API_ARENA_LIMIT_BYTES);
    if (l->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for an answer");
    }
    DL_TRY(begin_listing(r, l, err));
    const dl_http_stream stream = {
        .read = read_listing, .destroy = listing_destroy, .context = DL_STEAL(l)};
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_http_respond_stream(r->x, r->route->success, "application/x-ndjson", UINT64_MAX, &stream);
    return DL_OK;
}
