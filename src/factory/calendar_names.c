/* Names of time zones: Windows' own, and which are alike. */
#include "base/file.h"
#include "factory/calendar_internal.h"
#include "factory/nearest.h"
#include "zone_tables.h"

enum { LIST_LIMIT_BYTES = 1024 * 1024 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static int compare_nocase(dl_str a, dl_str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int difference = lower(a.ptr[i]) - lower(b.ptr[i]);
        if (difference != 0) {
            return difference;
        }
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

const char *dl_calendar_windows_zone(dl_str name)
{
    size_t low = 0, high = DL_COUNT_OF(windows_zones);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_nocase(name, dl_str_of(windows_zones[middle].windows));
        if (order == 0) {
            return windows_zones[middle].iana;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* ---- the nearest names ---- */

/** tzdata.zi: "Z name ..." is a zone, "L zone name" another name of one. */
static void consider_line(dl_nearest *n, dl_str line)
{
    dl_str word;
    bool other = dl_str_starts(line, DL_STR("L ")), zone = dl_str_starts(line, DL_STR("Z "));
    if ((zone || other) && dl_str_next(&line, ' ', &word) && dl_str_next(&line, ' ', &word) &&
        (zone || dl_str_next(&line, ' ', &word))) {
        dl_nearest_consider(n, word);
    }
}

void dl_calendar_zone_hint(dl_str name, dl_error *err)
{
    dl_nearest n;
    DL_AUTO_BUF list = {0};
    dl_str line;
    dl_nearest_init(&n, name);
    for (size_t i = 0; i < DL_COUNT_OF(windows_zones); i++) {
        dl_nearest_consider(&n, dl_str_of(windows_zones[i].windows));
        dl_nearest_consider(&n, dl_str_of(windows_zones[i].iana));
    }
    dl_buf_init(&list, LIST_LIMIT_BYTES);
    if (dl_file_read_all("/usr/share/zoneinfo/tzdata.zi", &list, NULL) == DL_OK) {
        for (dl_str rest = dl_buf_str(&list); dl_str_next(&rest, '\n', &line);) {
            consider_line(&n, line);
        }
    }
    dl_nearest_hint(&n, "names are as Europe/Berlin or W. Europe Standard Time, or UTC", err);
}
