#include "tap.h"

void fail_elsewhere(void);

void fail_elsewhere(void)
{
    TAP_FAIL("a failure in a file beside the test's");
}
