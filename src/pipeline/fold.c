/* A batch of changes, brought to one decision per instance. Pure but for memory. */
#include "pipeline/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 64 * 1024 * 1024 };

void dl_fold_clear(dl_fold *fold)
{
    for (size_t i = 0; i < fold->page_count; i++) {
        dl_feed_page_destroy(fold->pages[i]);
    }
    dl_mem_free((void *)fold->pages);
    dl_arena_destroy(fold->arena);
    *fold = (dl_fold){0};
}

dl_status dl_fold_add(dl_fold *fold, dl_feed_page *take_page, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = take_page;
    if (fold->page_count == fold->page_room) {
        size_t room = fold->page_room == 0 ? 64 : fold->page_room * 2;
        dl_feed_page **grown = dl_mem_resize((void *)fold->pages, room, sizeof(dl_feed_page *));
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a batch of %zu pages", room);
        }
        fold->pages = grown;
        fold->page_room = room;
    }
    for (size_t i = 0; i < page->entry_count; i++) {
        const dl_feed_entry *e = &page->entries[i];
        if (e->sequence > fold->max_sequence) {
            fold->max_sequence = e->sequence;
        }
        if ((fold->entry_count == 0 && i == 0) || e->timestamp_us > fold->max_time_us) {
            fold->max_time_us = e->timestamp_us;
        }
    }
    fold->entry_count += page->entry_count;
    fold->text_bytes += page->text_bytes;
    fold->pages[fold->page_count++] = DL_STEAL(page);
    return DL_OK;
}

static int compare_keys(const dl_feed_entry *a, const dl_feed_entry *b)
{
    int order = dl_str_compare(a->partition_name, b->partition_name);
    if (order == 0) {
        order = dl_str_compare(a->study_uid, b->study_uid);
    }
    if (order == 0) {
        order = dl_str_compare(a->series_uid, b->series_uid);
    }
    if (order == 0) {
        order = dl_str_compare(a->sop_uid, b->sop_uid);
    }
    return order;
}

static int compare_changes(const void *left, const void *right)
{
    const dl_feed_entry *a = *(const dl_feed_entry *const *)left;
    const dl_feed_entry *b = *(const dl_feed_entry *const *)right;
    int order = compare_keys(a, b);
    return order != 0 ? order : (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

dl_status dl_fold_sort(dl_fold *fold, dl_error *err)
{
    dl_arena_destroy(fold->arena);
    fold->arena = dl_arena_create(ARENA_BYTES);
    if (fold->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch of changes");
    }
    size_t count = 0;
    fold->sorted = dl_arena_alloc(fold->arena, fold->entry_count + 1, sizeof(dl_feed_entry *));
    fold->groups = dl_arena_alloc(fold->arena, fold->entry_count + 1, sizeof *fold->groups);
    if (fold->sorted == NULL || fold->groups == NULL) {
        return dl_arena_full(fold->arena, err);
    }
    for (size_t i = 0; i < fold->page_count; i++) {
        for (size_t k = 0; k < fold->pages[i]->entry_count; k++) {
            fold->sorted[count++] = &fold->pages[i]->entries[k];
        }
    }
    qsort((void *)fold->sorted, count, sizeof(dl_feed_entry *), compare_changes);
    fold->group_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_keys(fold->sorted[i - 1], fold->sorted[i]) == 0) {
            fold->groups[fold->group_count - 1].count++;
        } else {
            fold->groups[fold->group_count++] =
                (dl_fold_group){.entries = &fold->sorted[i], .count = 1};
        }
    }
    return DL_OK;
}

bool dl_fold_counts(const dl_feed_entry *e, const dl_fold_rules *rules)
{
    if (e->action == DL_FEED_DELETE) {
        return true;
    }
    return e->state != DL_FEED_DELETED && (!rules->require_file_path || e->file_path.ptr != NULL);
}

/* Is the change newer than what made the row (or removed it)? By sequence where both have one of
 * the same feed: a total order. Else time decides, and the same time is new enough (a run of an old
 * window again gives the same row). */
static bool is_newer(const dl_feed_entry *e, const dl_state_instance *known,
                     const dl_fold_rules *rules)
{
    if (e->sequence <= rules->settled ||
        (rules->settled_us != 0 && e->timestamp_us < rules->settled_us)) {
        return false;
    }
    if (!known->known) {
        return true;
    }
    if (known->source == rules->source && known->sequence > 0) {
        return e->sequence > known->sequence;
    }
    return e->timestamp_us >= known->timestamp_us;
}

dl_fold_decision dl_fold_decide(const dl_fold_group *group, const dl_state_instance *known,
                                const dl_fold_rules *rules)
{
    dl_fold_decision d = {.verdict = DL_FOLD_NOTHING};
    bool alive = known->known && !known->removed;
    int64_t created_us = alive ? known->created_us : 0;
    for (size_t i = 0; i < group->count; i++) {
        const dl_feed_entry *e = group->entries[i];
        if (!dl_fold_counts(e, rules)) {
            continue;
        }
        if (!is_newer(e, known, rules)) {
            if (d.verdict == DL_FOLD_NOTHING) {
                d.verdict = DL_FOLD_STALE;
            }
            continue;
        }
        d.entry = e;
        if (e->action == DL_FEED_DELETE) {
            alive = false;
            d.verdict = DL_FOLD_REMOVE;
        } else {
            created_us = alive ? created_us : e->timestamp_us;
            alive = true;
            d.verdict = DL_FOLD_UPSERT;
        }
    }
    d.created_us = created_us;
    return d;
}
