#include "base/env.h"

#include <stdlib.h>

const char *dl_env_get(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets variables */
    return value == NULL || value[0] == '\0' ? NULL : value;
}
