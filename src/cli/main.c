#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"

#include <signal.h>

/* Only main has state: a signal handler has no other way to reach it. */
static dl_cancel stop, abort_all;

/** The first asks to stop, the second to cut off. Both stores are lock-free atomics. */
static void on_signal(DL_UNUSED int number)
{
    if (dl_cancel_asked(&stop)) {
        dl_cancel_ask(&abort_all);
    }
    dl_cancel_ask(&stop);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a reader that went away is an error of the write, not our end */
    (void)sigaction(SIGPIPE, &action, NULL);
}

int main(int argc, char **argv)
{
    dl_cli cli = {.out = stdout,
                  .err = stderr,
                  .env_home = dl_env_get("DICOMLAKE_HOME"),
                  .stop = &stop,
                  .abort = &abort_all};
    dl_error err = {0};
    dl_mem_give_back();
    catch_signals();
    if (dl_file_take_standard(&err) != DL_OK) {
        return (int)dl_cli_fail(&cli, &err);
    }
    return (int)dl_cli_run(&cli, argc, argv);
}
