#include "cli/import.h"

#include "base/clock.h"
#include "cli/peer.h"
#include "cli/source.h"

#include <string.h>

typedef struct import_options {
    dl_cli_where where;
    uint64_t jobs;
    bool update, verbose, json;
} import_options;

static const import_options defaults = {.jobs = DL_CLI_IMPORT_JOBS};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_WHERE_OPTIONS(import_options, where),
    DL_CLI_PARTITION_OPTION(import_options, where),
    {"jobs", "N", "connections at a time (default 8)", DL_CLI_NUMBER, 'j', offsetof(import_options, jobs), 1, DL_CLI_IMPORT_JOBS_LIMIT},
    {"update", NULL, "replace instances that are there already", DL_CLI_SWITCH, 0, offsetof(import_options, update), 0, 0},
    {"verbose", NULL, "name each refused file on standard error", DL_CLI_SWITCH, 'v', offsetof(import_options, verbose), 0, 0},
    {"json", NULL, "print the summary as one JSON object", DL_CLI_SWITCH, 0, offsetof(import_options, json), 0, 0},
};
/* clang-format on */

/* ---- the walk ---- */

static dl_status found_file(void *context, const dl_cli_found *found, dl_error *err)
{
    dl_cli_import_job *job = context;
    DL_AUTO(dl_cli_item) item = dl_cli_item_create(dl_str_of(found->path));
    if (item == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "import: out of memory");
    }
    item->size_bytes = found->size_bytes;
    item->named = found->named;
    if (!dl_cli_queue_push(job->queue, item)) {
        return dl_error_set(err, DL_E_CANCELED, "stopped");
    }
    item = NULL; /* the queue's now */
    return DL_OK;
}

static dl_status passed_file(void *context, const char *path, const char *why, bool named,
                             DL_UNUSED dl_error *err)
{
    dl_cli_import_job *job = context;
    dl_cli_verdict verdict = dl_cli_verdict_of(named ? DL_CLI_REFUSED : DL_CLI_SKIPPED, why);
    dl_cli_import_count(job, &verdict, dl_str_of(path), 0);
    return DL_OK;
}

static dl_status failed_path(void *context, const char *path, const dl_error *why,
                             DL_UNUSED dl_error *err)
{
    dl_cli_import_job *job = context;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's strerror is safe */
    const char *cause = why->os_code != 0 ? strerror(why->os_code) : why->message;
    dl_cli_verdict verdict = dl_cli_verdict_of(DL_CLI_REFUSED, cause);
    dl_cli_import_count(job, &verdict, dl_str_of(path), 0);
    return DL_OK;
}

/* ---- counting ahead, for the bar ---- */

typedef struct counter {
    const dl_cli_args *paths;
    dl_cli_import_job *job;
} counter;

static dl_status count_file(void *context, const dl_cli_found *found, DL_UNUSED dl_error *err)
{
    const counter *c = context;
    dl_cli_progress_expect(c->job->progress, 1, found->size_bytes);
    return DL_OK;
}

static void *count_ahead(void *context)
{
    counter *c = context;
    const dl_cli_source_events events = {.file = count_file, .context = c};
    if (dl_cli_source_walk(c->paths->items, c->paths->count, &events, c->job->cli->stop, NULL) !=
        DL_OK) {
        return NULL; /* the bar goes on saying that it does not know the end */
    }
    dl_cli_progress_counting(c->job->progress, false);
    return NULL;
}

/* ---- all together ---- */

/** The walk on this thread; afterwards the workers find the queue at its end. */
static void walk(dl_cli_import_job *job, const dl_cli_args *paths)
{
    const dl_cli_source_events events = {
        .file = found_file, .passed = passed_file, .failed = failed_path, .context = job};
    dl_error err = {0};
    if (dl_cli_source_walk(paths->items, paths->count, &events, job->cli->stop, &err) != DL_OK) {
        dl_cli_import_end(job, &err);
    }
    dl_cli_queue_end(job->queue);
}

static dl_status run_job(dl_cli_import_job *job, const dl_cli_args *paths, size_t jobs,
                         dl_error *err)
{
    pthread_t threads[DL_CLI_IMPORT_JOBS_LIMIT + 1];
    size_t started = 0;
    counter ahead = {paths, job};
    while (started < jobs &&
           pthread_create(&threads[started], NULL, dl_cli_import_work, job) == 0) {
        started++;
    }
    if (started == 0) {
        dl_cli_queue_end(job->queue);
        return dl_error_set(err, DL_E_NOMEM, "import: cannot start a thread");
    }
    if (dl_cli_progress_watched(job->progress)) {
        dl_cli_progress_counting(job->progress, true);
        if (pthread_create(&threads[started], NULL, count_ahead, &ahead) == 0) {
            started++;
        }
    }
    walk(job, paths);
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return DL_OK;
}

static dl_status print_report(const dl_cli *cli, const dl_cli_report *report, int64_t took_us,
                              bool complete, bool json, dl_error *err)
{
    if (!json) {
        return dl_cli_report_print(report, took_us, complete, cli->out, err);
    }
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)32 << 20);
    DL_TRY(dl_cli_report_json(report, took_us, complete, &text, err));
    (void)fprintf(cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
    return DL_OK;
}

static dl_cli_exit import_into(dl_cli *cli, const import_options *o, const dl_cli_args *paths,
                               dl_cli_import_job *job, dl_error *err)
{
    int64_t start_us = dl_clock_monotonic_us();
    if (run_job(job, paths, (size_t)o->jobs, err) != DL_OK) {
        return dl_cli_fail(cli, err);
    }
    dl_cli_progress_clear(job->progress);
    bool complete = !dl_cancel_asked(cli->stop);
    if (print_report(cli, job->report, dl_clock_monotonic_us() - start_us, complete, o->json,
                     err) != DL_OK) {
        return dl_cli_fail(cli, err);
    }
    if (job->fatal.status != DL_OK) {
        (void)dl_cli_fail(cli, &job->fatal);
        return dl_cli_flush(cli, DL_CLI_FAILED);
    }
    return dl_cli_flush(cli, complete ? dl_cli_report_exit(job->report) : DL_CLI_FAILED);
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    const import_options *o = given;
    dl_error err = {0};
    DL_CLI_AUTO_PEER peer = NULL;
    DL_AUTO(dl_cli_queue) queue = NULL;
    DL_AUTO(dl_cli_report) report = NULL;
    DL_AUTO(dl_cli_progress) progress = NULL;
    dl_cli_import_job job = {.cli = cli, .update = o->update, .verbose = o->verbose};
    (void)pthread_mutex_init(&job.lock, NULL);
    if (dl_cli_peer_open(cli, &o->where, true, &peer, &err) != DL_OK ||
        dl_cli_queue_create(cli->stop, &queue, &err) != DL_OK ||
        dl_cli_report_create(&report, &err) != DL_OK ||
        dl_cli_progress_create(cli->err, "importing", "files", &progress, &err) != DL_OK) {
        return dl_cli_fail(cli, &err);
    }
    job.base = dl_cli_peer_base(peer);
    job.queue = queue;
    job.report = report;
    job.progress = progress;
    dl_cli_exit code = import_into(cli, o, args, &job, &err);
    (void)pthread_mutex_destroy(&job.lock);
    return code;
}

const dl_cli_command dl_cli_import = {
    .name = "import",
    .synopsis = "PATH...",
    .summary = "Store DICOM files: files, folders with all below, zip and other archives.",
    .details =
        "Files that are in the archive already are counted and left as they are, so an import\n"
        "can be run again. Archives are zip, tar, 7z, cpio and iso files, also compressed; they\n"
        "are not unpacked to disk; one in another is not opened. Symbolic links below a\n"
        "folder are not followed.\n"
        "Exit codes: 0 done, 1 failed or all files were refused, 2 wrong usage, 3 some files\n"
        "were refused.",
    .example = "dicomlake import --home ~/archive /media/cdrom study.zip",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(import_options),
    .args_min = 1,
    .args_max = SIZE_MAX,
    .run = run,
};
