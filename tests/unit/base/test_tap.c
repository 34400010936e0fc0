/* The macros of the tests themselves: a case must fail wherever in its program something fails. */
#include "tap.h"

#include <sys/wait.h>
#include <unistd.h>

void fail_elsewhere(void); /* tap_elsewhere.c */

TAP_CASE(what_fails_in_another_file_fails_the_case)
{
    printf("# the next line is meant to be:\n");
    fail_elsewhere();
    int seen = tap_case_failed;
    tap_case_failed = 0;
    TAP_EQ_INT(seen, 1);
}

TAP_CASE(what_fails_after_the_last_case_fails_the_program)
{
    pid_t child = fork();
    if (child == 0) { /* its output is never flushed */
        tap_failed = 0;
        tap_case_failed = 0;
        int well = tap_done();
        fail_elsewhere();
        _exit(well * 2 + tap_done());
    }
    int how = 0;
    TAP_TRUE(child > 0 && waitpid(child, &how, 0) == child);
    TAP_TRUE(WIFEXITED(how));
    TAP_EQ_INT(WEXITSTATUS(how), 1);
}

int main(void)
{
    TAP_RUN(what_fails_in_another_file_fails_the_case);
    TAP_RUN(what_fails_after_the_last_case_fails_the_program);
    return tap_done();
}
