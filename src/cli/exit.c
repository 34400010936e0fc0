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

/** An error of an expression: what is wrong, then its text and a caret under the place. Layers may
 * have added their clauses behind the caret. */
typedef struct marked {
    dl_str what, clauses, text, caret;
} marked;

static bool read_marked(dl_str message, marked *out)
{
    ptrdiff_t first = dl_str_find(message, '\n');
    if (first < 0) {
        return false;
    }
    dl_str rest = dl_str_slice(message, (size_t)first + 1, message.len);
    ptrdiff_t second = dl_str_find(rest, '\n');
    if (second < 0) {
        return false;
    }
    dl_str last = dl_str_slice(rest, (size_t)second + 1, rest.len);
    size_t at = 0;
    while (at < last.len && last.ptr[at] == ' ') {
        at++;
    }
    *out = (marked){.what = dl_str_slice(message, 0, (size_t)first),
                    .clauses = dl_str_slice(last, at + 1, last.len),
                    .text = dl_str_slice(rest, 0, (size_t)second),
                    .caret = dl_str_slice(last, 0, at + 1)};
    return at < last.len && last.ptr[at] == '^' &&
           (out->clauses.len == 0 || out->clauses.ptr[0] == ';');
}

/** Parts one after another, cleaned: a path in them may hold anything. */
static dl_status append_clean(dl_buf *line, const dl_str *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_cli_text_clean(parts[i], line, NULL));
    }
    return DL_OK;
}

static dl_status append_error(dl_buf *line, const dl_error *err)
{
    marked m = {.what = dl_str_of(err->message)};
    bool is_marked = read_marked(m.what, &m);
    if (!is_marked) {
        m = (marked){.what = dl_str_of(err->message)};
    }
    const dl_str parts[] = {m.what, m.clauses, err->hint[0] == '\0' ? DL_STR("") : DL_STR("; "),
                            dl_str_of(err->hint)};
    DL_TRY(append_clean(line, parts, DL_COUNT_OF(parts)));
    if (is_marked) {
        DL_TRY(dl_buf_append_str(line, DL_STR("\n    "), NULL));
        DL_TRY(append_clean(line, &m.text, 1));
        DL_TRY(dl_buf_append_str(line, DL_STR("\n    "), NULL));
        DL_TRY(append_clean(line, &m.caret, 1));
    }
    return DL_OK;
}

dl_cli_exit dl_cli_fail(const dl_cli *cli, const dl_error *err)
{
    DL_AUTO_BUF line = {0};
    dl_buf_init(&line, 4 * sizeof *err);
    bool whole = append_error(&line, err) == DL_OK;
    (void)fprintf(cli->err, "dicomlake: %.*s\n",
                  DL_STR_ARG(whole ? dl_buf_str(&line) : dl_str_of(dl_status_name(err->status))));
    (void)fflush(cli->err);
    return dl_cli_exit_of(err->status);
}

bool dl_cli_reader_left(FILE *out)
{
    struct pollfd look = {.fd = fileno(out), .events = POLLOUT};
    return look.fd >= 0 && poll(&look, 1, 0) > 0 && (look.revents & POLLERR) != 0;
}

dl_cli_exit dl_cli_flush(const dl_cli *cli, dl_cli_exit code)
{
    bool written = fflush(cli->out) == 0 && !ferror(cli->out);
    if (written || dl_cli_reader_left(cli->out)) {
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
