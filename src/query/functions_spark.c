/* Spark's words as macros and scalar functions of the session. */
#include "query/internal.h"

static const char *const names[] = {NULL};

const char *dl_functions_spark_name(size_t i)
{
    return i < DL_COUNT_OF(names) ? names[i] : NULL;
}
