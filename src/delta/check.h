/** What the parts of dl_delta_check share. */
#ifndef DL_DELTA_CHECK_H
#define DL_DELTA_CHECK_H

#include "delta/internal.h"

typedef struct dl_delta_checker {
    dl_delta_table *table;
    dl_cancel *cancel;
    void (*visit)(void *context, const char *finding);
    void *context;
} dl_delta_checker;

void dl_delta_find(const dl_delta_checker *c, const char *format, ...) DL_PRINTF(2, 3);
/** Read the file and hold its values against its statistics; `rows`: by its footer. */
DL_NODISCARD dl_status dl_delta_check_stats(const dl_delta_checker *c, const dl_delta_file *file,
                                            int64_t rows, dl_error *err);

#endif
