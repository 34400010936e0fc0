/* operationMetrics: the names that tools know each operation's counts by (docs/delta.md). */
#include "delta/commit.h"

#include <stddef.h>
#include <stdlib.h>

typedef struct metric {
    const char *operation, *name;
    size_t offset; /* in dl_delta_tally */
} metric;

#define COUNT(field) offsetof(dl_delta_tally, field)
#define COUNT_COPIED SIZE_MAX
/* clang-format off */
static const metric metrics[] = {
    {"MERGE", "numOutputRows",                     COUNT(rows_added)},
    {"MERGE", "numTargetRowsCopied",               COUNT_COPIED},
    {"MERGE", "numTargetFilesAdded",               COUNT(files_added)},
    {"MERGE", "numTargetFilesRemoved",             COUNT(files_removed)},
    {"MERGE", "numTargetBytesAdded",               COUNT(bytes_added)},
    {"MERGE", "numTargetBytesRemoved",             COUNT(bytes_removed)},
    {"MERGE", "numTargetDeletionVectorsAdded",     COUNT(dvs_added)},
    {"MERGE", "numTargetDeletionVectorsUpdated",   COUNT(dvs_updated)},
    {"MERGE", "numTargetDeletionVectorsRemoved",   COUNT(dvs_removed)},
    {"WRITE", "numFiles",                          COUNT(files_added)},
    {"WRITE", "numOutputRows",                     COUNT(rows_added)},
    {"WRITE", "numOutputBytes",                    COUNT(bytes_added)},
    {"DELETE", "numDeletedRows",                   COUNT(rows_deleted)},
    {"DELETE", "numCopiedRows",                    COUNT(rows_added)},
    {"DELETE", "numAddedFiles",                    COUNT(files_added)},
    {"DELETE", "numAddedBytes",                    COUNT(bytes_added)},
    {"DELETE", "numRemovedFiles",                  COUNT(files_removed)},
    {"DELETE", "numRemovedBytes",                  COUNT(bytes_removed)},
    {"DELETE", "numDeletionVectorsAdded",          COUNT(dvs_added)},
    {"DELETE", "numDeletionVectorsUpdated",        COUNT(dvs_updated)},
    {"DELETE", "numDeletionVectorsRemoved",        COUNT(dvs_removed)},
    {"OPTIMIZE", "numAddedFiles",                  COUNT(files_added)},
    {"OPTIMIZE", "numAddedBytes",                  COUNT(bytes_added)},
    {"OPTIMIZE", "numRemovedFiles",                COUNT(files_removed)},
    {"OPTIMIZE", "numRemovedBytes",                COUNT(bytes_removed)},
    {"OPTIMIZE", "numDeletionVectorsRemoved",      COUNT(dvs_removed)},
};
static const struct {
    const char *name;
    unsigned quarter; /* of the sorted sizes */
} size_metrics[] = {
    {"minFileSize", 0}, {"p25FileSize", 1}, {"p50FileSize", 2}, {"p75FileSize", 3}, {"maxFileSize", 4},
};
/* clang-format on */

static bool is_given(const dl_delta_change *change, const char *name)
{
    for (size_t i = 0; i < change->metrics.count; i++) {
        if (dl_str_eq(change->metrics.items[i].key, dl_str_of(name))) {
            return true;
        }
    }
    return false;
}

typedef struct metric_list {
    const dl_delta_change *change;
    dl_arena *arena;
    dl_delta_pair *items;
    size_t count;
} metric_list;

static dl_status put(metric_list *list, const char *name, int64_t value, dl_error *err)
{
    if (is_given(list->change, name)) { /* who made the change knows better */
        return DL_OK;
    }
    dl_delta_pair *pair = &list->items[list->count];
    pair->key = dl_str_of(name);
    DL_TRY(dl_arena_printf(list->arena, &pair->value, err, "%lld", (long long)value));
    list->count++;
    return DL_OK;
}

/* What the change itself says of a metric; 0 when it says nothing. */
static int64_t given_number(const dl_delta_change *change, const char *name)
{
    int64_t value = 0;
    for (size_t i = 0; i < change->metrics.count; i++) {
        if (dl_str_eq(change->metrics.items[i].key, dl_str_of(name)) &&
            !dl_str_to_i64(change->metrics.items[i].value, &value)) {
            return 0;
        }
    }
    return value;
}

/* Rows that were only moved: of the rows written those that the merge did not make. */
static int64_t count_copied(const dl_delta_change *change, const dl_delta_tally *tally)
{
    if (!is_given(change, "numTargetRowsInserted") || tally->rows_added < 0) {
        return 0;
    }
    int64_t made = given_number(change, "numTargetRowsInserted") +
                   given_number(change, "numTargetRowsUpdated");
    return tally->rows_added > made ? tally->rows_added - made : 0;
}

static int64_t tally_at(const dl_delta_change *change, const dl_delta_tally *tally, size_t offset)
{
    if (offset == COUNT_COPIED) {
        return count_copied(change, tally);
    }
    return *(const int64_t *)(const void *)((const char *)tally + offset);
}

static int compare_sizes(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

dl_status dl_delta_metrics(const dl_delta_change *change, dl_delta_tally *tally, dl_arena *arena,
                           dl_delta_pairs *out_metrics, dl_error *err)
{
    size_t given = change->metrics.count;
    size_t limit = given + DL_COUNT_OF(metrics) + DL_COUNT_OF(size_metrics);
    metric_list list = {change, arena, dl_arena_alloc(arena, limit, sizeof *list.items), given};
    if (list.items == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < given; i++) {
        list.items[i] = change->metrics.items[i];
    }
    dl_str operation = dl_str_of(change->operation);
    for (size_t i = 0; i < DL_COUNT_OF(metrics); i++) {
        int64_t value = tally_at(change, tally, metrics[i].offset);
        if (dl_str_eq(operation, dl_str_of(metrics[i].operation)) && value >= 0) {
            DL_TRY(put(&list, metrics[i].name, value, err));
        }
    }
    if (dl_str_eq(operation, DL_STR("OPTIMIZE")) && tally->size_count > 0) {
        qsort(tally->sizes, tally->size_count, sizeof *tally->sizes, compare_sizes);
        for (size_t i = 0; i < DL_COUNT_OF(size_metrics); i++) {
            size_t at = (tally->size_count - 1) * size_metrics[i].quarter / 4;
            DL_TRY(put(&list, size_metrics[i].name, tally->sizes[at], err));
        }
    }
    *out_metrics = (dl_delta_pairs){list.items, list.count};
    return DL_OK;
}
