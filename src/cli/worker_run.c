/* dicomlake worker cohort|notebook: what the service starts for somebody else (lakehouse/child.h);
 * not for people, so no help lists it. */
#include "base/file.h"
#include "cli/factory.h"
#include "cli/worker.h"
#include "lakehouse/child.h"
#include "lakehouse/files.h"
#include "notebook/notebook.h"
#include "query/seal.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, ARENA_BYTES = 1 << 30, READ_STEP = 64 * 1024 };

typedef struct worker_options {
    const char *home, *lakehouse, *name, *timeout;
    uint64_t memory, limit;
} worker_options;

static const worker_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    {"home", "DIR", "the home folder", DL_CLI_TEXT, 0, offsetof(worker_options, home), 0, 0},
    {"lakehouse", "NAME", "a lakehouse of it", DL_CLI_TEXT, 0, offsetof(worker_options, lakehouse), 0, 0},
    {"name", "NAME", "of the cohort", DL_CLI_TEXT, 0, offsetof(worker_options, name), 0, 0},
    {"memory", "BYTES", "of the engine", DL_CLI_NUMBER, 0, offsetof(worker_options, memory), 1, INT64_MAX},
    {"limit", "N", "rows", DL_CLI_NUMBER, 0, offsetof(worker_options, limit), 1, INT64_MAX},
    {"timeout", "TIME", "of a statement", DL_CLI_TEXT, 0, offsetof(worker_options, timeout), 0, 0},
};
/* clang-format on */

typedef struct worker {
    dl_cli *cli;
    const worker_options *o;
    dl_factory *factory;
    dl_arena *arena;
    dl_query *query;
    dl_lakehouse lakehouse;
    dl_buf input;
    int64_t rows;
    dl_query_place place;
} worker;

static dl_status read_input(worker *w, dl_error *err)
{
    for (;;) {
        DL_TRY(dl_buf_reserve(&w->input, READ_STEP, err));
        ssize_t n = read(STDIN_FILENO, w->input.ptr + w->input.len, READ_STEP);
        if (n < 0) {
            return dl_error_set(err, DL_E_IO, "cannot read standard input");
        }
        if (n == 0) {
            return DL_OK;
        }
        w->input.len += (size_t)n;
    }
}

static dl_status open_query(worker *w, dl_error *err)
{
    dl_query_options query = {.clock = dl_clock_system(),
                              .cancel = w->cli->stop,
                              .limits = {.memory_bytes = w->o->memory, .rows = w->o->limit}};
    const dl_factory_options factory = {.home = w->o->home, .clock = dl_clock_system()};
    if (w->o->timeout != NULL) {
        int64_t us = 0;
        DL_TRY(dl_cli_parse_duration("--timeout", dl_str_of(w->o->timeout), false, &us, err));
        query.limits.time_ms = us / 1000 < UINT32_MAX ? (uint32_t)(us / 1000) : UINT32_MAX;
    }
    DL_TRY(dl_factory_open(&factory, &w->factory, err));
    DL_TRY(dl_lakehouse_get(w->factory, dl_str_of(w->o->lakehouse), w->arena, &w->lakehouse, err));
    DL_TRY(dl_lakehouse_query_options(w->factory, &w->lakehouse, w->arena, &query, err));
    return dl_query_open(&query, &w->query, err);
}

static dl_status seal(worker *w, const char *const *write, size_t count, dl_error *err)
{
    dl_query_sealed sealed = {0};
    const dl_query_seal_options how = {.write = write, .write_count = count};
    return dl_query_seal(w->query, &how, &sealed, err);
}

/* ---- cohorts ---- */

static dl_status folder_of(const worker *w, const char *below, char out[PATH_SIZE], dl_error *err)
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", dl_factory_home(w->factory), below);
    if (n < 0 || n >= PATH_SIZE) {
        return dl_error_set(err, DL_E_INVALID, "the home's path is too long");
    }
    return dl_file_make_dirs(out, err);
}

static dl_status save_cohort(worker *w, dl_error *err)
{
    char below[PATH_SIZE];
    char cohorts[PATH_SIZE];
    const char *const write[] = {cohorts};
    dl_cohort cohort = {0};
    DL_TRY(open_query(w, err));
    (void)snprintf(below, sizeof below, "lakehouse/%.*s/cohorts", DL_STR_ARG(w->lakehouse.name));
    DL_TRY(folder_of(w, below, cohorts, err));
    DL_TRY(seal(w, write, DL_COUNT_OF(write), err));
    DL_TRY(dl_cohort_save(w->factory, &w->lakehouse, dl_str_of(w->o->name), dl_buf_str(&w->input),
                          w->query, w->arena, &cohort, &w->place, err));
    w->rows = cohort.instance_count;
    return DL_OK;
}

/* ---- notebooks ---- */

typedef struct parameters {
    dl_notebook_parameter items[DL_NOTEBOOK_PARAMETER_LIMIT];
    size_t count;
} parameters;

static dl_status take_parameter(worker *w, dl_str key, dl_str value, parameters *out, dl_error *err)
{
    dl_str quoted = {key.ptr - 1, key.len + 2}; /* the raw key stands between its quotes */
    if (out->count == DL_NOTEBOOK_PARAMETER_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "there are more than %d parameters",
                            (int)DL_NOTEBOOK_PARAMETER_LIMIT);
    }
    dl_notebook_parameter *p = &out->items[out->count++];
    DL_TRY(dl_json_text(quoted, w->arena, &p->name, err));
    switch (dl_json_kind_of(value)) {
    case DL_JSON_STRING:
        return dl_json_text(value, w->arena, &p->value, err);
    case DL_JSON_NUMBER:
    case DL_JSON_BOOL:
        p->value = value;
        return DL_OK;
    case DL_JSON_OBJECT:
    case DL_JSON_ARRAY:
    case DL_JSON_NULL:
    case DL_JSON_NONE:
        break;
    }
    return dl_error_set(err, DL_E_INVALID, "parameter \"%.*s\" takes text, a number, true or false",
                        DL_STR_ARG(dl_str_slice(p->name, 0, 80)));
}

static dl_status read_request(worker *w, dl_notebook *notebook, parameters *given, dl_error *err)
{
    dl_str all = dl_buf_str(&w->input);
    dl_str json = DL_STR_NONE;
    dl_str object = DL_STR_NONE;
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    DL_TRY(dl_json_check(all, err));
    if (!dl_json_get(all, DL_STR("notebook"), &json) ||
        !dl_json_get(all, DL_STR("parameters"), &object)) {
        return dl_error_set(err, DL_E_INVALID, "the request has no notebook or no parameters");
    }
    dl_json_iter members = dl_json_iter_of(object);
    while (dl_json_next_member(&members, &key, &value)) {
        DL_TRY(take_parameter(w, key, value, given, err));
    }
    return dl_notebook_read(json, w->arena, notebook, err);
}

static dl_status run_notebook(worker *w, dl_error *err)
{
    dl_notebook notebook = {0};
    dl_notebook_ran ran = {0};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_NOTEBOOK_LIMIT_BYTES);
    parameters *given = dl_arena_alloc(w->arena, 1, sizeof *given);
    if (given == NULL) {
        return dl_arena_full(w->arena, err);
    }
    DL_TRY(open_query(w, err));
    dl_factory_close(w->factory); /* nothing of it is open when the process is sealed */
    w->factory = NULL;
    DL_TRY(seal(w, NULL, 0, err));
    DL_TRY(read_request(w, &notebook, given, err));
    const dl_notebook_run_options how = {.query = w->query,
                                         .parameters = given->items,
                                         .parameter_count = given->count,
                                         .cancel = w->cli->stop};
    DL_TRY(dl_notebook_run(&notebook, &how, w->arena, &ran, err));
    DL_TRY(dl_notebook_write(&notebook, &text, err));
    if (fwrite(text.ptr, 1, text.len, w->cli->out) != text.len) {
        return dl_error_set(err, DL_E_IO, "cannot write to standard output");
    }
    w->rows = (int64_t)ran.cells;
    return DL_OK;
}

/* ---- the command ---- */

static dl_status work(worker *w, const char *what, dl_error *err)
{
    bool notebook = strcmp(what, "notebook") == 0;
    if (w->o->home == NULL || w->o->lakehouse == NULL ||
        (!notebook && (strcmp(what, "cohort") != 0 || w->o->name == NULL))) {
        return dl_error_set(err, DL_E_INVALID, "worker: its words are not what the service says");
    }
    w->arena = dl_arena_create(ARENA_BYTES);
    if (w->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "worker: out of memory");
    }
    dl_buf_init(&w->input, (notebook ? (size_t)DL_CHILD_INPUT_LIMIT_BYTES
                                     : (size_t)DL_QUERY_STATEMENT_LIMIT_BYTES) +
                               READ_STEP);
    DL_TRY(read_input(w, err));
    return notebook ? run_notebook(w, err) : save_cohort(w, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    dl_error err = {0};
    worker w = {.cli = cli, .o = given, .place = {.at = SIZE_MAX}};
    dl_status status = dl_cli_worker_begin(cli, &err);
    if (status == DL_OK) {
        status = work(&w, args->items[0], &err);
    }
    dl_cli_exit code = dl_cli_worker_end(cli, status, w.rows, &w.place, &err);
    dl_query_close(w.query);
    dl_factory_close(w.factory);
    dl_buf_clear(&w.input);
    dl_arena_destroy(w.arena);
    return code;
}

const dl_cli_command dl_cli_worker = {
    .name = "worker",
    .synopsis = "cohort|notebook",
    .summary = "What the service starts for somebody else.",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(worker_options),
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
