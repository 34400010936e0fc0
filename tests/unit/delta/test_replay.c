#include "delta/internal.h"
#include "tap.h"

#include "base/mem.h"

#include <stdio.h>

static dl_delta_file file_of(const char *path, const char *dv, int64_t rows)
{
    dl_delta_file file = {.path = dl_str_of(path),
                          .size_bytes = 100,
                          .row_count = rows,
                          .deletion_ms = 1000,
                          .base_row_id = -1,
                          .default_row_commit_version = -1};
    if (dv != NULL) {
        file.dv = (dl_delta_dv){'u', dl_str_of(dv), 1, 10, 3};
    }
    return file;
}

static dl_status apply(dl_delta_live *live, const dl_delta_file *removes, size_t remove_count,
                       const dl_delta_file *adds, size_t add_count, dl_error *err)
{
    dl_delta_commit commit = {
        .removes = removes, .remove_count = remove_count, .adds = adds, .add_count = add_count};
    return dl_delta_live_apply(live, &commit, err);
}

static size_t count_files(const dl_delta_live *live)
{
    const dl_delta_file *file = NULL;
    size_t count = 0;
    for (size_t cursor = 0; dl_delta_live_next_file(live, &cursor, &file);) {
        count++;
    }
    return count;
}

static dl_delta_live *live_make(void)
{
    dl_delta_live *live = NULL;
    dl_error err = {0};
    TAP_OK(dl_delta_live_create(&live, &err), err);
    return live;
}

/* One step a row on one live set: removes, then adds, in one commit. `-`: none; "a/x" is the path a
 * with the vector x. */
TAP_CASE(logical_files)
{
    static const struct {
        const char *name, *remove, *remove_dv, *add, *add_dv;
        const char *live_dv; /* of "a"; "": no vector; NULL: not live */
        size_t tombstones;
    } steps[] = {
        {"add", NULL, NULL, "a", NULL, "", 0},
        {"a vector for it, in one commit", "a", NULL, "a", "x", "x", 1},
        {"a remove of the form before changes nothing", "a", NULL, NULL, NULL, "x", 1},
        {"a remove of another vector changes nothing", "a", "y", NULL, NULL, "x", 2},
        {"the next vector", "a", "x", "a", "z", "z", 3},
        {"gone", "a", "z", NULL, NULL, NULL, 4},
        {"back as it was first (restore): its tombstone goes", NULL, NULL, "a", NULL, "", 3},
        {"the same file again, rewritten statistics", NULL, NULL, "a", NULL, "", 3},
        {"removed and added in one commit", "a", NULL, "a", NULL, "", 3},
        {"a remove of what never was", "b", NULL, NULL, NULL, "", 4},
    };
    dl_delta_live *live = live_make();
    for (size_t i = 0; i < DL_COUNT_OF(steps); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_delta_file remove = {0}, add = {0};
        if (steps[i].remove != NULL) {
            remove = file_of(steps[i].remove, steps[i].remove_dv, 10);
        }
        if (steps[i].add != NULL) {
            add = file_of(steps[i].add, steps[i].add_dv, 10);
        }
        TAP_OK(apply(live, &remove, steps[i].remove != NULL ? 1 : 0, &add,
                     steps[i].add != NULL ? 1 : 0, &err),
               err);
        const dl_delta_file *found = dl_delta_live_find(live, DL_STR("a"));
        TAP_TRUE((found != NULL) == (steps[i].live_dv != NULL));
        if (found != NULL && steps[i].live_dv != NULL) {
            TAP_EQ_STR(found->dv.path_or_inline, steps[i].live_dv);
        }
        dl_delta_totals totals = dl_delta_live_totals(live);
        TAP_EQ_INT(totals.file_count, steps[i].live_dv != NULL ? 1 : 0);
        TAP_EQ_INT(totals.size_bytes, steps[i].live_dv != NULL ? 100 : 0);
        bool dv = steps[i].live_dv != NULL && steps[i].live_dv[0] != '\0';
        TAP_EQ_INT(totals.row_count, steps[i].live_dv == NULL ? 0 : dv ? 7 : 10);
        TAP_EQ_INT(totals.deleted_rows, dv ? 3 : 0);
        TAP_EQ_INT(totals.dv_count, dv ? 1 : 0);
        TAP_EQ_INT(dl_delta_live_tombstone_count(live), steps[i].tombstones);
        TAP_EQ_INT(count_files(live), totals.file_count);
        TAP_ROW_END(steps[i].name);
    }
    tap_case_failed = 0;
    dl_delta_live_destroy(live);
}

TAP_CASE(rows_are_unknown_while_a_file_does_not_say)
{
    dl_delta_live *live = live_make();
    dl_error err = {0};
    dl_delta_file files[2] = {file_of("a", NULL, 5), file_of("b", NULL, -1)};
    TAP_OK(apply(live, NULL, 0, files, 2, &err), err);
    TAP_EQ_INT(dl_delta_live_totals(live).row_count, -1);
    TAP_OK(apply(live, &files[1], 1, NULL, 0, &err), err);
    TAP_EQ_INT(dl_delta_live_totals(live).row_count, 5);
    dl_delta_live_destroy(live);
}

TAP_CASE(the_set_owns_its_text)
{
    dl_delta_live *live = live_make();
    dl_error err = {0};
    char path[] = "path", key[] = "key", stats[] = "{\"numRecords\":1}", app[] = "app";
    dl_delta_pair pair = {{key, 3}, {key, 3}}, null = {{key, 3}, DL_STR_NONE};
    dl_delta_pair pairs[2] = {pair, null};
    dl_delta_file file = file_of(path, NULL, 1);
    file.partition_values = (dl_delta_pairs){pairs, 2};
    file.tags = (dl_delta_pairs){pairs, 1};
    file.stats = dl_str_of(stats);
    dl_str names[] = {{app, 3}};
    dl_delta_protocol protocol = {3, 7, {names, 1}, {names, 1}};
    dl_delta_metadata metadata = {.id = {app, 3},
                                  .name = DL_STR_NONE,
                                  .schema_json = {stats, 3},
                                  .partition_columns = {names, 1},
                                  .configuration = {pairs, 1}};
    dl_delta_app apps[] = {{{app, 3}, 12, -1}};
    dl_delta_domain domains[] = {{{app, 3}, {key, 3}, false}};
    dl_delta_commit commit = {.protocol = &protocol,
                              .metadata = &metadata,
                              .apps = apps,
                              .app_count = 1,
                              .domains = domains,
                              .domain_count = 1,
                              .adds = &file,
                              .add_count = 1};
    TAP_OK(dl_delta_live_apply(live, &commit, &err), err);
    memset(path, 'X', 4);
    memset(key, 'X', 3);
    memset(stats, 'X', 5);
    memset(app, 'X', 3);
    const dl_delta_file *got = dl_delta_live_find(live, DL_STR("path"));
    TAP_TRUE(got != NULL);
    if (got != NULL) {
        TAP_EQ_STR(got->partition_values.items[0].key, "key");
        TAP_TRUE(got->partition_values.items[1].value.ptr == NULL);
        TAP_EQ_STR(got->tags.items[0].value, "key");
        TAP_EQ_STR(got->stats, "{\"numRecords\":1}");
    }
    TAP_EQ_STR(dl_delta_live_protocol(live)->writer_features.items[0], "app");
    TAP_EQ_STR(dl_delta_live_metadata(live)->partition_columns.items[0], "app");
    TAP_EQ_STR(dl_delta_live_metadata(live)->configuration.items[0].key, "key");
    TAP_TRUE(dl_delta_live_metadata(live)->name.ptr == NULL);
    TAP_EQ_INT(dl_delta_live_app_version(live, DL_STR("app")), 12);
    TAP_EQ_INT(dl_delta_live_app_version(live, DL_STR("other")), -1);
    dl_delta_domain domain = {0};
    size_t cursor = 0;
    TAP_TRUE(dl_delta_live_next_domain(live, &cursor, &domain));
    TAP_EQ_STR(domain.configuration, "key");
    domains[0] = (dl_delta_domain){DL_STR("app"), DL_STR(""), true};
    commit = (dl_delta_commit){.domains = domains, .domain_count = 1};
    TAP_OK(dl_delta_live_apply(live, &commit, &err), err);
    cursor = 0;
    TAP_TRUE(!dl_delta_live_next_domain(live, &cursor, &domain));
    dl_delta_live_destroy(live);
}

/* Many files come and go: the set is what a plain array says, whatever the order in its tables. */
TAP_CASE(against_a_model)
{
    enum { PATHS = 700, STEPS = 30000 };
    static bool there[PATHS];
    dl_delta_live *live = live_make();
    dl_error err = {0};
    uint64_t seed = 12345;
    memset(there, 0, sizeof there);
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        size_t at = (size_t)(seed >> 33) % PATHS;
        char path[32];
        (void)snprintf(path, sizeof path, "part-%zu", at);
        dl_delta_file file = file_of(path, NULL, (int64_t)at);
        TAP_OK(apply(live, &file, there[at] ? 1 : 0, &file, there[at] ? 0 : 1, &err), err);
        there[at] = !there[at];
        if (step % 1000 == 999) {
            dl_delta_live_expire(live, 1001);
            TAP_EQ_INT(dl_delta_live_tombstone_count(live), 0);
        }
    }
    int64_t rows = 0;
    size_t count = 0;
    for (size_t i = 0; i < PATHS; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "part-%zu", i);
        const dl_delta_file *found = dl_delta_live_find(live, dl_str_of(path));
        TAP_TRUE((found != NULL) == there[i]);
        count += there[i] ? 1 : 0;
        rows += there[i] ? (int64_t)i : 0;
    }
    TAP_EQ_INT(count_files(live), count);
    TAP_EQ_INT(dl_delta_live_totals(live).row_count, rows);
    dl_delta_live_destroy(live);
}

TAP_CASE(tombstones_expire)
{
    enum { COUNT = 1000 };
    dl_delta_live *live = live_make();
    dl_error err = {0};
    for (int i = 0; i < COUNT; i++) {
        char dv[16];
        (void)snprintf(dv, sizeof dv, "dv%d", i);
        dl_delta_file file = file_of("the same path", dv, 1); /* a file that is updated often */
        file.deletion_ms = i;
        TAP_OK(apply(live, &file, 1, NULL, 0, &err), err);
    }
    TAP_EQ_INT(dl_delta_live_tombstone_count(live), COUNT);
    dl_delta_live_expire(live, 600);
    TAP_EQ_INT(dl_delta_live_tombstone_count(live), COUNT - 600);
    const dl_delta_file *file = NULL;
    for (size_t cursor = 0; dl_delta_live_next_tombstone(live, &cursor, &file);) {
        TAP_TRUE(file->deletion_ms >= 600);
    }
    dl_delta_live_expire(live, INT64_MAX);
    TAP_EQ_INT(dl_delta_live_tombstone_count(live), 0);
    dl_delta_live_destroy(live);
}

/* A commit is applied whole or not at all. */
TAP_CASE(without_memory_nothing_changes)
{
    dl_delta_file adds[40], old = file_of("old", NULL, 1);
    char paths[40][8];
    for (size_t i = 0; i < DL_COUNT_OF(adds); i++) {
        (void)snprintf(paths[i], sizeof paths[i], "p%zu", i);
        adds[i] = file_of(paths[i], NULL, 1);
    }
    dl_delta_protocol protocol = {.min_reader = 2, .min_writer = 5};
    dl_delta_commit commit = {.protocol = &protocol,
                              .removes = &old,
                              .remove_count = 1,
                              .adds = adds,
                              .add_count = DL_COUNT_OF(adds)};
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    for (; n < 1000 && status != DL_OK; n++) {
        dl_delta_live *live = live_make();
        dl_error err = {0};
        TAP_OK(apply(live, NULL, 0, &old, 1, &err), err);
        dl_mem_fail_after(n);
        status = dl_delta_live_apply(live, &commit, &err);
        dl_mem_fail_after(-1);
        TAP_EQ_INT(count_files(live), status == DL_OK ? DL_COUNT_OF(adds) : 1);
        TAP_EQ_INT(dl_delta_live_tombstone_count(live), status == DL_OK ? 1 : 0);
        TAP_TRUE((dl_delta_live_protocol(live) != NULL) == (status == DL_OK));
        TAP_TRUE((err.status == DL_E_NOMEM) == (status != DL_OK));
        dl_delta_live_destroy(live);
    }
    TAP_TRUE(status == DL_OK && n > 40);
}

int main(void)
{
    logical_files();
    TAP_RUN(rows_are_unknown_while_a_file_does_not_say);
    TAP_RUN(the_set_owns_its_text);
    TAP_RUN(against_a_model);
    TAP_RUN(tombstones_expire);
    TAP_RUN(without_memory_nothing_changes);
    return tap_done();
}
