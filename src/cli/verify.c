#include "base/buf.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "service/service.h"
#include "json/json.h"

enum { PROBLEM_LIMIT_BYTES = 64 << 20 };

typedef struct verify_options {
    const char *home;
    bool hash, json;
} verify_options;

static const verify_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    {"home", "DIR", "the archive's folder (default: $DICOMLAKE_HOME)", DL_CLI_TEXT, 0, offsetof(verify_options, home), 0, 0},
    {"hash", NULL, "read every file and compare its hash", DL_CLI_SWITCH, 0, offsetof(verify_options, hash), 0, 0},
    {"json", NULL, "print the outcome as one JSON object", DL_CLI_SWITCH, 0, offsetof(verify_options, json), 0, 0},
};
/* clang-format on */

typedef struct watcher {
    dl_cli *cli;
    dl_cli_progress *progress;
    bool json;
    dl_json_writer problems, notices; /* arrays */
    int64_t done, total;
} watcher;

static void tell(const watcher *w, dl_json_writer *list, const char *kind, dl_str text)
{
    if (w->json) {
        dl_json_string(list, text);
        return;
    }
    dl_cli_progress_clear(w->progress);
    (void)fprintf(w->cli->out, "%s: %.*s\n", kind, DL_STR_ARG(text));
}

static void tell_problem(void *context, dl_str text)
{
    watcher *w = context;
    tell(w, &w->problems, "problem", text);
}

static void tell_notice(void *context, dl_str text)
{
    watcher *w = context;
    tell(w, &w->notices, "notice", text);
}

static void tell_progress(void *context, int64_t done, int64_t total)
{
    watcher *w = context;
    if (total > w->total) {
        dl_cli_progress_expect(w->progress, (uint64_t)(total - w->total), 0);
        w->total = total;
    }
    if (done > w->done) {
        dl_cli_progress_add(w->progress, (uint64_t)(done - w->done), 0);
        w->done = done;
    }
}

static void print_text(const dl_cli *cli, const dl_service_verify_result *r)
{
    (void)fprintf(cli->out,
                  "%lld instances, %lld files, %lld bytes, %lld changes, %lld files waiting for "
                  "removal, %lld moved aside: %lld problem%s\n",
                  (long long)r->instances, (long long)r->files, (long long)r->bytes,
                  (long long)r->changes, (long long)r->waiting, (long long)r->unreferenced,
                  (long long)r->problems, r->problems == 1 ? "" : "s");
}

static dl_status print_json(const dl_cli *cli, const dl_service_verify_result *r,
                            const dl_buf *problems, const dl_buf *notices, dl_error *err)
{
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {{"instances", r->instances},  {"files", r->files},
                  {"bytes", r->bytes},          {"changes", r->changes},
                  {"waiting", r->waiting},      {"unreferenced", r->unreferenced},
                  {"problemCount", r->problems}};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 2 * PROBLEM_LIMIT_BYTES + 4096);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < DL_COUNT_OF(counts); i++) {
        dl_json_key(&w, dl_str_of(counts[i].key));
        dl_json_int(&w, counts[i].value);
    }
    dl_json_key(&w, DL_STR("problems"));
    dl_json_raw(&w, dl_buf_str(problems));
    dl_json_key(&w, DL_STR("notices"));
    dl_json_raw(&w, dl_buf_str(notices));
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    (void)fprintf(cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
    return DL_OK;
}

static dl_status verify(dl_cli *cli, const verify_options *o, const char *home,
                        dl_service_verify_result *out_result, dl_error *err)
{
    DL_AUTO(dl_cli_progress) progress = NULL;
    DL_AUTO_BUF problems = {0};
    DL_AUTO_BUF notices = {0};
    dl_buf_init(&problems, PROBLEM_LIMIT_BYTES);
    dl_buf_init(&notices, PROBLEM_LIMIT_BYTES);
    DL_TRY(dl_cli_progress_create(cli->err, "verifying", "files", &progress, err));
    watcher w = {.cli = cli, .progress = progress, .json = o->json};
    dl_json_writer_init(&w.problems, &problems, err);
    dl_json_writer_init(&w.notices, &notices, err);
    dl_json_array_begin(&w.problems);
    dl_json_array_begin(&w.notices);
    const dl_service_verify_options options_ = {.home = home,
                                                .hash = o->hash,
                                                .cancel = cli->stop,
                                                .problem = tell_problem,
                                                .notice = tell_notice,
                                                .progress = tell_progress,
                                                .context = &w};
    DL_TRY(dl_service_verify(&options_, out_result, err));
    dl_json_array_end(&w.problems);
    dl_json_array_end(&w.notices);
    dl_cli_progress_clear(progress);
    if (!o->json) {
        print_text(cli, out_result);
        return DL_OK;
    }
    DL_TRY(dl_json_writer_status(&w.problems));
    DL_TRY(dl_json_writer_status(&w.notices));
    return print_json(cli, out_result, &problems, &notices, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    const verify_options *o = given;
    dl_error err = {0};
    dl_service_verify_result result = {0};
    const char *home = o->home != NULL ? o->home : cli->env_home;
    if (home == NULL) {
        (void)dl_error_set(&err, DL_E_INVALID, "no archive named");
        dl_error_hint(&err, "give --home DIR, or set DICOMLAKE_HOME");
        return dl_cli_fail(cli, &err);
    }
    if (verify(cli, o, home, &result, &err) != DL_OK) {
        return dl_cli_flush(cli, dl_cli_fail(cli, &err));
    }
    return dl_cli_flush(cli, result.problems == 0 ? DL_CLI_DONE : DL_CLI_FAILED);
}

const dl_cli_command dl_cli_verify = {
    .name = "verify",
    .synopsis = "",
    .summary =
        "Check that index, files and change feed of an archive agree; also while it is served.",
    .details = "Exit codes: 0 all is well, 1 problems were found, 2 wrong usage.",
    .example = "dicomlake verify --home ~/archive --hash",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(verify_options),
    .run = run,
};
