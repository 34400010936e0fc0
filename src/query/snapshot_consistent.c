/* Versions of a set's tables that agree. */
#include "query/snapshot.h"

/* "dicomlake:<source>:<table>": how far the table is; others say more of the same (docs/sync.md).
 */
static bool is_mark(dl_str app_id)
{
    static const char *const tables[] = {":instance", ":series", ":study"};
    for (size_t i = 0; i < DL_COUNT_OF(tables); i++) {
        if (dl_str_ends(app_id, dl_str_of(tables[i]))) {
            return dl_str_starts(app_id, DL_STR("dicomlake:"));
        }
    }
    return false;
}

int64_t dl_snapshot_watermark(const dl_delta_table *table)
{
    int64_t highest = 0;
    dl_delta_app app = {0};
    for (size_t i = 0; dl_delta_app_at(table, i, &app); i++) {
        if (is_mark(app.app_id) && app.version > highest) {
            highest = app.version;
        }
    }
    return highest;
}
