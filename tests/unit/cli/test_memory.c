/* Every allocation fails once: an error comes back, nothing leaks (the sanitizers look). */
#include "tap.h"

#include "base/mem.h"
#include "cli/peer.h"
#include "cli/queue.h"
#include "cli/receive.h"
#include "cli/report.h"
#include "cli/source.h"
#include "cli/store.h"
#include "cli/table.h"
#include "cli/value.h"

#include <stdlib.h>

static char folder[] = "/tmp/test_memory.XXXXXX";

static dl_status make_table(dl_error *err)
{
    static const dl_cli_column columns[] = {{"A", false, 3}, {"B", true, 0}};
    static const dl_str cells[] = {{"long enough", 11}, {"1", 1}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(columns, 2, &table, err));
    DL_TRY(dl_cli_table_add(table, cells, err));
    return dl_cli_table_add(table, cells, err);
}

static dl_status count_file(void *context, DL_UNUSED const dl_cli_found *found,
                            DL_UNUSED dl_error *err)
{
    ++*(int *)context;
    return DL_OK;
}

static dl_status walk_a_folder(dl_error *err)
{
    char *paths[] = {folder};
    int count = 0;
    const dl_cli_source_events events = {.file = count_file, .context = &count};
    return dl_cli_source_walk(paths, 1, &events, NULL, err);
}

static dl_status read_an_answer(dl_error *err)
{
    static const dl_str json = DL_STR(
        "{\"00081199\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1."
        "2\"]},\"00081196\":{\"vr\":\"US\",\"Value\":[1]}}]}}");
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "arena");
    }
    dl_cli_store_item *items = NULL;
    size_t count = 0;
    return dl_cli_store_answer(json, arena, &items, &count, err);
}

static dl_status show_a_value(dl_error *err)
{
    static const dl_str set =
        DL_STR("{\"00080061\":{\"vr\":\"CS\",\"Value\":[\"CT\",\"M\\u0052\"]}}");
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "arena");
    }
    dl_str text = DL_STR_NONE;
    return dl_cli_value_show(set, "00080061", arena, &text, err);
}

static dl_status receive_a_file(dl_error *err)
{
    static const dl_str body =
        DL_STR("--b\r\nContent-Location: /studies/1/series/2/instances/3\r\n\r\nx\r\n--b--\r\n");
    DL_AUTO(dl_cli_receive) r = NULL;
    DL_TRY(dl_cli_receive_create(folder, NULL, &r, err));
    DL_TRY(dl_cli_receive_begin(r, DL_STR("multipart/related; boundary=b"), err));
    DL_TRY(dl_cli_receive_feed(r, (dl_bytes){(const uint8_t *)body.ptr, body.len}, err));
    return dl_cli_receive_finish(r, err);
}

static dl_status sum_up(dl_error *err)
{
    DL_AUTO(dl_cli_report) report = NULL;
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 10000);
    DL_TRY(dl_cli_report_create(&report, err));
    return dl_cli_report_json(report, 1, true, &text, err);
}

static dl_status queue_up(dl_error *err)
{
    dl_cancel stop = {0};
    DL_AUTO(dl_cli_queue) queue = NULL;
    DL_TRY(dl_cli_queue_create(&stop, &queue, err));
    dl_cli_item *item = dl_cli_item_create(DL_STR("x"));
    if (item == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "item");
    }
    return dl_cli_queue_push(queue, item) ? DL_OK : dl_error_set(err, DL_E_LIMIT, "queue");
}

static dl_status ready_to_store(dl_error *err)
{
    const dl_cli_store_options options = {.base = "http://127.0.0.1:9/v2"};
    DL_AUTO(dl_cli_store) store = NULL;
    return dl_cli_store_create(&options, &store, err);
}

static const struct {
    const char *name;
    dl_status (*run)(dl_error *err);
} cases[] = {
    {"a table", make_table},
    {"a walk", walk_a_folder},
    {"an answer to a store", read_an_answer},
    {"a value", show_a_value},
    {"a file received", receive_a_file},
    {"a report", sum_up},
    {"a queue", queue_up},
    {"a store", ready_to_store},
};

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        perror("mkdtemp");
        return 2;
    }
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_mem_fail_after(INT64_MAX); /* counts, and never fails */
        TAP_OK(cases[i].run(&err), err);
        int64_t asked = dl_mem_asked();
        TAP_TRUE(asked > 0);
        for (int64_t n = 0; n < asked; n++) {
            dl_error_clear(&err);
            dl_mem_fail_after(n);
            dl_status status = cases[i].run(&err);
            if (status == DL_OK || err.message[0] == '\0') {
                TAP_FAIL("allocation %lld of %lld failed, and nothing was said", (long long)n,
                         (long long)asked);
            }
        }
        dl_mem_fail_after(-1);
        TAP_ROW_END(cases[i].name);
    }
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 || tap_done();
}
