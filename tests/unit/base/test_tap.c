/* The macros of the tests themselves: a case must fail wherever in its program something fails. */
#include "tap.h"

void fail_elsewhere(void); /* tap_elsewhere.c */

TAP_CASE(what_fails_in_another_file_fails_the_case)
{
    printf("# the next line is meant to be:\n");
    fail_elsewhere();
    int seen = tap_case_failed;
    tap_case_failed = 0;
    TAP_EQ_INT(seen, 1);
}

int main(void)
{
    TAP_RUN(what_fails_in_another_file_fails_the_case);
    return tap_done();
}
