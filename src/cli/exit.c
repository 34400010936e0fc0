#include "cli/cli.h"

#include "base/buf.h"
#include "base/clock.h"
#include "cli/text.h"

#include <poll.h>
#include <time.h>

static const struct {
    dl_status status;
    dl_cli_exit code;
} codes[] = {
    {DL_OK, DL_CLI_DONE},
    {DL_E_INVALID, DL_CLI_USAGE}, /* the words or settings given are wrong */
    {DL_E_DENIED, DL_CLI_FAILED},
    {DL_E_NOT_FOUND, DL_CLI_FAILED},
    {DL_E_EXISTS, DL_CLI_FAILED},
    {DL_E_CONFLICT, DL_CLI_FAILED},
    {DL_E_LIMIT, DL_CLI_FAILED},
    {DL_E_UNSUPPORTED, DL_CLI_FAILED},
    {DL_E_CORRUPT, DL_CLI_FAILED},
    {DL_E_UNAVAILABLE, DL_CLI_FAILED},
    {DL_E_CANCELED, DL_CLI_FAILED},
    {DL_E_IO, DL_CLI_FAILED},
    {DL_E_NOMEM, DL_CLI_FAILED},
};

dl_cli_exit dl_cli_exit_of(dl_status status)
{
    for (size_t i = 0; i < DL_COUNT_OF(codes); i++) {
        if (codes[i].status == status) {
            return codes[i].code;
        }
    }
    return DL_CLI_FAILED;
}

dl_cli_exit dl_cli_fail(const dl_cli *cli, const dl_error *err)
{
    DL_AUTO_BUF line = {0}; /* a path in it may hold anything */
    dl_buf_init(&line, 4 * sizeof *err);
    bool whole =
        dl_cli_text_clean(dl_str_of(err->message), &line, NULL) == DL_OK &&
        (err->hint[0] == '\0' || (dl_buf_append_str(&line, DL_STR("; "), NULL) == DL_OK &&
                                  dl_cli_text_clean(dl_str_of(err->hint), &line, NULL) == DL_OK));
    (void)fprintf(cli->err, "dicomlake: %.*s\n",
                  DL_STR_ARG(whole ? dl_buf_str(&line) : dl_str_of(dl_status_name(err->status))));
    (void)fflush(cli->err);
    return dl_cli_exit_of(err->status);
}

/** The other end of a pipe is closed: whoever closed it knows (`dicomlake feed | head`). */
static bool reader_left(FILE *out)
{
    struct pollfd look = {.fd = fileno(out), .events = POLLOUT};
    return look.fd >= 0 && poll(&look, 1, 0) > 0 && (look.revents & POLLERR) != 0;
}

dl_cli_exit dl_cli_flush(const dl_cli *cli, dl_cli_exit code)
{
    bool written = fflush(cli->out) == 0 && !ferror(cli->out);
    if (written || reader_left(cli->out)) {
        return written ? code : DL_CLI_FAILED;
    }
    dl_error err = {0};
    (void)dl_error_set(&err, DL_E_IO, "cannot write to standard output");
    return dl_cli_fail(cli, &err);
}

bool dl_cli_sleep_ms(unsigned ms, dl_cancel *cancel)
{
    enum { STEP_US = 20 * 1000 };
    int64_t end_us = dl_clock_monotonic_us() + (int64_t)ms * 1000;
    while (!dl_cancel_asked(cancel)) {
        int64_t left_us = end_us - dl_clock_monotonic_us();
        if (left_us <= 0) {
            return true;
        }
        int64_t step_us = left_us < STEP_US ? left_us : STEP_US;
        struct timespec pause = {.tv_nsec = (long)(step_us * 1000)};
        (void)nanosleep(&pause, NULL); /* a signal ends it early: the loop looks again */
    }
    return false;
}
