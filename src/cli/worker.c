#include "cli/worker.h"

#include "base/buf.h"
#include "json/json.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LINE_LIMIT_BYTES = 64 * 1024 };

dl_status dl_cli_worker_begin(dl_cli *cli, dl_error *err)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* of the thread that waits for us, too */
    /* It may have ended before that. Its end of our pipe is closed first, so this finds it out. */
    struct pollfd reader = {.fd = fileno(cli->out)};
    if (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR) != 0) {
        return dl_error_set(err, DL_E_CANCELED, "worker: nobody waits for it");
    }
    return DL_OK;
}

static void put_number(dl_json_writer *w, const char *key, int64_t value)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_int(w, value);
}

static void put_failure(dl_json_writer *w, const dl_query_place *place, const dl_error *err)
{
    dl_json_key(w, DL_STR("status"));
    dl_json_string(w, dl_str_of(dl_status_name(err->status)));
    dl_json_key(w, DL_STR("message"));
    dl_json_string(w, dl_str_of(err->message));
    if (err->hint[0] != '\0') {
        dl_json_key(w, DL_STR("hint"));
        dl_json_string(w, dl_str_of(err->hint));
    }
    if (place->at != SIZE_MAX) {
        put_number(w, "line", place->line);
        put_number(w, "column", place->column);
        put_number(w, "at", (int64_t)place->at);
    }
}

dl_cli_exit dl_cli_worker_end(dl_cli *cli, dl_status status, int64_t rows,
                              const dl_query_place *place, const dl_error *err)
{
    DL_AUTO_BUF line = {0};
    dl_json_writer w = {0};
    dl_buf_init(&line, LINE_LIMIT_BYTES);
    dl_json_writer_init(&w, &line, NULL);
    dl_json_object_begin(&w);
    if (status == DL_OK) {
        put_number(&w, "rows", rows);
    } else {
        put_failure(&w, place, err);
    }
    dl_json_object_end(&w);
    (void)fflush(cli->out); /* the line comes after the last row */
    if (dl_json_writer_status(&w) == DL_OK) {
        (void)fprintf(cli->err, "%.*s\n", DL_STR_ARG(dl_buf_str(&line)));
    }
    (void)fflush(cli->err);
    /* That was all: who waits for us need not wait until everything is taken down. */
    (void)close(fileno(cli->out));
    (void)close(fileno(cli->err));
    return dl_cli_exit_of(status);
}
