/* Group commit: what becomes of a group one of whose members cannot be kept. */
#include "tap.h"

#include "base/log.h"
#include "service/internal.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

static const char good[] = "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}";
/* Not the text that a reader makes: it fails when the columns of the study are written, at the end
 * of the transaction. */
static const char bad[] = "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\q\"]}}";

typedef struct group {
    dl_service *service;
    dl_store_spool *spools[4];
    dl_commit_item items[4];
    char uids[4][24];
    size_t count;
} group;

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void start(group *g, char *home)
{
    dl_error err = {0};
    dl_service_options options = {.home = home, .host = "127.0.0.1"};
    dl_service_settings_init(&options.settings);
    *g = (group){0};
    TAP_TRUE(mkdtemp(home) != NULL);
    TAP_OK(dl_service_start(&options, &g->service, &err), err);
}

static void stop(group *g, const char *home)
{
    for (size_t i = 0; i < g->count; i++) {
        dl_store_spool_destroy(g->spools[i]);
    }
    dl_service_stop(g->service);
    TAP_EQ_INT(nftw(home, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void add(group *g, const char *metadata)
{
    dl_error err = {0};
    int64_t partition = 0;
    size_t i = g->count++;
    dl_str name = DL_STR("Microsoft.Default");
    (void)snprintf(g->uids[i], sizeof g->uids[i], "1.2.%zu", i + 1);
    TAP_OK(dl_index_partition_ensure(g->service->index, name, &partition, &err), err);
    TAP_OK(dl_store_spool_create(g->service->store, &g->spools[i], &err), err);
    TAP_OK(dl_store_spool_write(g->spools[i], (dl_bytes){(const uint8_t *)"file", 4}, &err), err);
    TAP_OK(dl_store_spool_sync(g->spools[i], &err), err);
    dl_str uid = dl_str_of(g->uids[i]);
    g->items[i] = (dl_commit_item){.spool = g->spools[i], .partition_name = name};
    g->items[i].put = (dl_index_put){.partition = partition,
                                     .study_uid = uid,
                                     .series_uid = uid,
                                     .sop_uid = uid,
                                     .metadata = dl_str_of(metadata),
                                     .transfer_syntax = DL_STR("1.2.840.10008.1.2.1")};
}

static bool has_file(const group *g, size_t i)
{
    dl_store_stat stat;
    return dl_store_stat_key(g->service->store, dl_str_of(g->items[i].key), &stat, NULL) == DL_OK;
}

static size_t count_changes(const group *g)
{
    dl_error err = {0};
    dl_index_snapshot *snapshot = NULL;
    int64_t last = 0;
    TAP_OK(dl_index_snapshot_begin(g->service->index, &snapshot, &err), err);
    TAP_OK(dl_index_last_sequence(snapshot, &last, &err), err);
    dl_index_snapshot_end(snapshot);
    return (size_t)last;
}

TAP_CASE(one_that_cannot_be_kept_takes_none_with_it)
{
    static const struct {
        const char *metadata[4];
        size_t kept;
    } rows[] = {{{good, good, good, good}, 4},
                {{good, bad, good, good}, 3},
                {{bad, good, bad, good}, 2},
                {{bad, bad, bad, bad}, 0}};
    dl_log_set_level(DL_LOG_OFF);
    for (size_t row = 0; row < DL_COUNT_OF(rows); row++) {
        char home[] = "/tmp/dl-commit-XXXXXX";
        group g;
        start(&g, home);
        for (size_t i = 0; i < DL_COUNT_OF(rows[row].metadata); i++) {
            add(&g, rows[row].metadata[i]);
        }
        dl_committer_run(g.service->committer, g.items, g.count);
        for (size_t i = 0; i < g.count; i++) {
            bool is_good = rows[row].metadata[i] == good;
            TAP_EQ_INT(g.items[i].status, is_good ? DL_OK : DL_E_INVALID);
            TAP_EQ_INT(has_file(&g, i), is_good);
        }
        TAP_EQ_INT(count_changes(&g), rows[row].kept);
        stop(&g, home);
    }
}

int main(void)
{
    TAP_RUN(one_that_cannot_be_kept_takes_none_with_it);
    return tap_done();
}
