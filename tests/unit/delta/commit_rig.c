#include "commit_rig.h"

#include "tap.h"

tables t;
uint8_t counts[TABLES_ROWS];

dl_delta_table *new_table(const char *root, bool compat)
{
    dl_error err = {0};
    dl_delta_table *table = NULL;
    TAP_OK(tables_create(&t, root, compat, &table, &err), err);
    TAP_OK(tables_append(table, "p", 0, 100, &err), err);
    return table;
}

void expect_rows(dl_delta_table *table, int64_t want)
{
    dl_error err = {0};
    int64_t live = 0, twice = 0;
    TAP_OK(tables_count(table, counts, &err), err);
    for (int64_t i = 0; i < TABLES_ROWS; i++) {
        live += counts[i] > 0;
        twice += counts[i] > 1;
    }
    TAP_EQ_INT(live, want);
    TAP_EQ_INT(twice, 0);
    TAP_EQ_INT(dl_delta_totals_of(table).row_count, want);
}
