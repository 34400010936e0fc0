/* From deletion vectors to copy-on-write and back.
 *
 * To `dv`: one commit with the protocol (3, 7) and the property. To `compat`: every file with a
 * deletion vector is copied without its dead rows, then the property goes off in a commit that
 * fails when rows changed meanwhile. The protocol stays (3, 7): a table may drop the feature only
 * when its log holds no deletion vector any more (docs/delta-maintenance.md).
 */
#include "delta/maintain.h"

#include "json/json.h"

#include <string.h>

static const char dv_property[] = "delta.enableDeletionVectors";

enum { MODE_TRIES = 20, MODE_ARENA_BYTES = 64 * 1024 * 1024 };

/* The metadata with the property set as told. */
static dl_status with_property(const dl_delta_metadata *metadata, bool on, dl_arena *arena,
                               dl_delta_metadata *out, dl_error *err)
{
    size_t count = metadata->configuration.count;
    dl_delta_pair *pairs = dl_arena_alloc(arena, count + 1, sizeof *pairs);
    if (pairs == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t at = count;
    for (size_t i = 0; i < count; i++) {
        pairs[i] = metadata->configuration.items[i];
        if (dl_str_eq(pairs[i].key, dl_str_of(dv_property))) {
            at = i;
        }
    }
    pairs[at] = (dl_delta_pair){dl_str_of(dv_property), on ? DL_STR("true") : DL_STR("false")};
    *out = *metadata;
    out->configuration = (dl_delta_pairs){pairs, at == count ? count + 1 : count};
    return DL_OK;
}

static void add_name(dl_delta_names *names, dl_str *room, const char *name)
{
    dl_str text = dl_str_of(name);
    for (size_t i = 0; i < names->count; i++) {
        if (dl_str_eq(names->items[i], text)) {
            return;
        }
    }
    room[names->count] = text;
    names->count++;
}

/* Upgraded to table features, with all that its numbers stood for (protocol, "Table Features"). */
static dl_status with_dvs(const dl_delta_protocol *protocol, dl_arena *arena,
                          dl_delta_protocol *out, dl_error *err)
{
    static const char *const implied[] = {"appendOnly",     "invariants",       "checkConstraints",
                                          "changeDataFeed", "generatedColumns", "columnMapping",
                                          "identityColumns"};
    size_t room = protocol->reader_features.count + protocol->writer_features.count +
                  DL_COUNT_OF(implied) + 4;
    dl_str *readers = dl_arena_alloc(arena, room, sizeof *readers);
    dl_str *writers = dl_arena_alloc(arena, room, sizeof *writers);
    if (readers == NULL || writers == NULL) {
        return dl_arena_full(arena, err);
    }
    *out = (dl_delta_protocol){.min_reader = 3,
                               .min_writer = 7,
                               .reader_features = {readers, 0},
                               .writer_features = {writers, 0}};
    for (size_t i = 0; protocol->min_reader >= 3 && i < protocol->reader_features.count; i++) {
        readers[out->reader_features.count++] = protocol->reader_features.items[i];
    }
    for (size_t i = 0; protocol->min_writer >= 7 && i < protocol->writer_features.count; i++) {
        writers[out->writer_features.count++] = protocol->writer_features.items[i];
    }
    for (size_t i = 0; i < DL_COUNT_OF(implied); i++) {
        if (protocol->min_writer < 7 && dl_delta_has_feature(protocol, implied[i])) {
            add_name(&out->writer_features, writers, implied[i]);
        }
    }
    if (protocol->min_writer < 7) { /* what every table of ours lists */
        add_name(&out->writer_features, writers, "appendOnly");
        add_name(&out->writer_features, writers, "invariants");
    }
    if (protocol->min_reader == 2) {
        add_name(&out->reader_features, readers, "columnMapping");
        add_name(&out->writer_features, writers, "columnMapping");
    }
    add_name(&out->reader_features, readers, "deletionVectors");
    add_name(&out->writer_features, writers, "deletionVectors");
    return DL_OK;
}

static dl_status commit_mode(dl_delta_table *table, bool dvs, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MODE_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "mode: out of memory");
    }
    dl_delta_metadata metadata = {0};
    dl_delta_protocol protocol = {0};
    DL_TRY(with_property(dl_delta_metadata_of(table), dvs, arena, &metadata, err));
    DL_TRY(with_dvs(dl_delta_protocol_of(table), arena, &protocol, err));
    bool upgrade = dvs && (dl_delta_protocol_of(table)->min_reader < 3 ||
                           dl_delta_protocol_of(table)->min_writer < 7 ||
                           !dl_delta_has_feature(dl_delta_protocol_of(table), "deletionVectors"));
    const dl_delta_pair parameters[] = {
        {DL_STR("properties"), dvs ? DL_STR("{\"delta.enableDeletionVectors\":\"true\"}")
                                   : DL_STR("{\"delta.enableDeletionVectors\":\"false\"}")}};
    dl_delta_change change = {.operation = "SET TBLPROPERTIES",
                              .parameters = {parameters, DL_COUNT_OF(parameters)},
                              .protocol = upgrade ? &protocol : NULL,
                              .metadata = &metadata,
                              .exclusive = true};
    dl_delta_result result = {0};
    return dl_delta_commit_change(table, &change, &result, err);
}

/* Copy all files that have a deletion vector. */
static dl_status purge(dl_delta_table *table, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_DELTA_MAINTAIN_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "purge: out of memory");
    }
    dl_delta_job *jobs = NULL;
    size_t count = 0;
    DL_TRY(dl_delta_purge_plan(table, arena, &jobs, &count, err));
    const dl_delta_pair parameters[] = {{DL_STR("predicate"), DL_STR("[]")},
                                        {DL_STR("applyPurge"), DL_STR("true")}};
    for (size_t i = 0; i < count; i++) {
        DL_AUTO(dl_delta_rewrite) rewrite = NULL;
        dl_delta_rewrite_options options = {.paths = jobs[i].paths,
                                            .path_count = jobs[i].path_count,
                                            .file_limit_bytes = DL_DELTA_TARGET_BYTES,
                                            .cancel = table->open.cancel};
        dl_delta_result result = {0};
        DL_TRY(dl_delta_rewrite_create(table, &options, &rewrite, err));
        DL_TRY(dl_delta_rewrite_commit(
            table, rewrite, (dl_delta_pairs){parameters, DL_COUNT_OF(parameters)}, &result, err));
    }
    return DL_OK;
}

static bool has_dvs(const dl_delta_table *table)
{
    return dl_delta_totals_of(table).dv_count > 0;
}

static dl_status try_mode(dl_delta_table *table, bool compat, dl_error *err)
{
    bool done = compat ? !dl_delta_makes_dvs(table) && !has_dvs(table) : dl_delta_makes_dvs(table);
    if (done) {
        return DL_OK;
    }
    if (compat) {
        DL_TRY(purge(table, err));
    }
    if (compat && !dl_delta_makes_dvs(table)) {
        return DL_OK; /* the property was off, only the vectors were left */
    }
    return commit_mode(table, !compat, err);
}

dl_status dl_delta_set_compat(dl_delta_table *table, bool compat, dl_error *err)
{
    DL_TRY(dl_delta_update(table, err));
    DL_TRY(dl_delta_check_maintainable(table, err));
    for (int tries = 1;; tries++) {
        dl_status status = try_mode(table, compat, err);
        bool again = status == DL_OK && compat && has_dvs(table); /* made between plan and commit */
        if ((status != DL_E_CONFLICT && !again) || tries == MODE_TRIES) {
            return status == DL_OK ? DL_OK
                                   : dl_error_within(err, status, "changing the table's mode");
        }
        dl_error_clear(err);
        DL_TRY(dl_delta_update(table, err));
    }
}
