/* Files of the zone database: whatever they hold, times go to local ones and back. */
#include "base/mem.h"
#include "factory/calendar_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void there_and_back(const dl_calendar_zone *zone, int64_t time_us)
{
    dl_calendar_parts local, again;
    dl_calendar_local(zone, time_us, &local);
    int64_t back_us = dl_calendar_time(zone, &local);
    /* The same moment, or an earlier one that has the same local time; damaged rules may have
     * changes so near to each other that it is neither. */
    DL_ASSERT(back_us - time_us < 4 * INT64_C(86400000000));
    DL_ASSERT(time_us - back_us < 4 * INT64_C(86400000000));
    dl_calendar_local(zone, back_us, &again);
    DL_ASSERT(again.month >= 1 && again.month <= 12 && again.day >= 1 && again.day <= 31);
    DL_ASSERT(again.hour >= 0 && again.hour < 24 && again.weekday >= 0 && again.weekday < 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    dl_calendar_zone *zone = NULL;
    if (dl_calendar_zone_parse(DL_STR("Fuzz"), (dl_bytes){bytes, size}, &zone, NULL) != DL_OK) {
        DL_ASSERT(zone == NULL);
        return 0;
    }
    static const int64_t times_us[] = {
        DL_CALENDAR_FIRST_US, -2208988800000000,  -1, 0, 1774746000000000, 1793062800000001,
        4102444800000000,     DL_CALENDAR_LAST_US};
    for (size_t i = 0; i < DL_COUNT_OF(times_us); i++) {
        there_and_back(zone, times_us[i]);
    }
    dl_calendar_recurrence daily = {.frequency = DL_CALENDAR_DAY,
                                    .interval = 1,
                                    .start_us = 1774746000000000,
                                    .end_us = INT64_MAX,
                                    .zone = zone};
    int64_t time_us = daily.start_us - 1;
    for (int i = 0; i < 20 && time_us != INT64_MAX; i++) {
        int64_t next_us = dl_calendar_next(&daily, time_us);
        DL_ASSERT(next_us > time_us);
        time_us = next_us;
    }
    dl_mem_free(zone);
    return 0;
}
