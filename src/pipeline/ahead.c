/* When an instance came into being, where windows were run out of order.
 *
 * A run that goes on from the watermark sees all changes of a key in order, so the row itself says
 * enough. A window ahead of it does not: an older Create, or a Delete in between, may still come.
 * Its changes are therefore remembered by key (state: ahead), behind a marker of what was there
 * before, and everything that is known of the key is gone through again whenever more of it is
 * seen. */
#include "pipeline/internal.h"

#include <stdlib.h>

enum { EVENT_LIMIT = 100000 };

typedef struct event {
    dl_state_change change;
    bool fresh; /* not in the state yet */
} event;

typedef struct events {
    dl_arena *arena;
    event *items;
    size_t count, room;
} events;

static dl_status add(events *e, event one, dl_error *err)
{
    if (e->count == EVENT_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT,
                            "more than %d changes of one instance ahead of the "
                            "watermark",
                            EVENT_LIMIT);
    }
    if (e->count == e->room) {
        size_t room = e->room == 0 ? 16 : e->room * 2;
        event *grown = dl_arena_alloc(e->arena, room, sizeof *grown);
        if (grown == NULL) {
            return dl_arena_full(e->arena, err);
        }
        for (size_t i = 0; i < e->count; i++) {
            grown[i] = e->items[i];
        }
        e->items = grown;
        e->room = room;
    }
    e->items[e->count++] = one;
    return DL_OK;
}

static dl_status add_known(void *context, const dl_state_change *change, dl_error *err)
{
    return add(context, (event){*change, false}, err);
}

static int compare(const void *left, const void *right)
{
    const event *a = left;
    const event *b = right;
    if (a->change.sequence != b->change.sequence) {
        return a->change.sequence < b->change.sequence ? -1 : 1;
    }
    return a->fresh - b->fresh; /* what was noted first stays */
}

/* What was there before: whatever happened up to then is in it. */
static dl_status add_marker(events *e, const dl_state_instance *known, dl_error *err)
{
    if (!known->known) {
        return DL_OK;
    }
    bool alive = !known->removed;
    DL_TRY(add(e, (event){{known->sequence - alive, known->timestamp_us, true}, true}, err));
    return alive ? add(e, (event){{known->sequence, known->created_us, false}, true}, err) : DL_OK;
}

static void drop_repeated(events *e)
{
    qsort(e->items, e->count, sizeof *e->items, compare);
    size_t kept = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (kept == 0 || e->items[i].change.sequence != e->items[kept - 1].change.sequence) {
            e->items[kept++] = e->items[i];
        }
    }
    e->count = kept;
}

static int64_t created_of(const events *e)
{
    bool alive = false;
    int64_t created_us = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (e->items[i].change.is_delete) {
            alive = false;
        } else if (!alive) {
            alive = true;
            created_us = e->items[i].change.timestamp_us;
        }
    }
    return created_us;
}

static dl_status note(const events *e, const dl_fold_group *group, dl_arena *arena,
                      dl_ahead_list *list, dl_error *err)
{
    for (size_t i = 0; i < e->count; i++) {
        if (!e->items[i].fresh) {
            continue;
        }
        if (list->count == list->room) {
            size_t room = list->room == 0 ? 256 : list->room * 2;
            dl_ahead_change *grown = dl_arena_alloc(arena, room, sizeof *grown);
            if (grown == NULL) {
                return dl_arena_full(arena, err);
            }
            for (size_t k = 0; k < list->count; k++) {
                grown[k] = list->items[k];
            }
            list->items = grown;
            list->room = room;
        }
        list->items[list->count++] = (dl_ahead_change){group->entries[0], e->items[i].change};
    }
    return DL_OK;
}

dl_status dl_ahead_decide(dl_pipeline *p, const dl_fold_group *group,
                          const dl_state_instance *known, dl_ahead_list *list,
                          dl_fold_decision *decision, dl_error *err)
{
    const dl_fold_rules *rules = list->rules;
    bool ahead = p->window_app[0] != '\0';
    if (!ahead && !p->has_ahead) {
        return DL_OK;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(64 << 20);
    events e = {.arena = arena};
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for changes ahead of the watermark");
    }
    const dl_feed_entry *first = group->entries[0];
    dl_state_key key = {first->partition_name, first->study_uid, first->series_uid, first->sop_uid};
    DL_TRY(dl_state_ahead(p->state, &key, p->source, add_known, &e, err));
    if (e.count == 0) {
        if (!ahead) {
            return DL_OK;
        }
        DL_TRY(add_marker(&e, known, err));
    }
    for (size_t i = 0; i < group->count; i++) {
        const dl_feed_entry *change = group->entries[i];
        if (dl_fold_counts(change, rules)) {
            DL_TRY(add(
                &e,
                (event){{change->sequence, change->timestamp_us, change->action == DL_FEED_DELETE},
                        true},
                err));
        }
    }
    drop_repeated(&e);
    int64_t created_us = created_of(&e);
    if (decision->verdict == DL_FOLD_UPSERT) {
        decision->created_us = created_us;
    } else if (decision->verdict == DL_FOLD_STALE && !known->removed &&
               created_us != known->created_us) {
        /* The change that made the row: make it again. */
        for (size_t i = 0; i < group->count; i++) {
            if (group->entries[i]->sequence == known->sequence && known->source == rules->source &&
                dl_fold_counts(group->entries[i], rules)) {
                *decision = (dl_fold_decision){DL_FOLD_UPSERT, group->entries[i], created_us};
            }
        }
    }
    return note(&e, group, list->arena, list, err);
}

dl_status dl_ahead_record(dl_pipeline *p, const dl_ahead_list *list, dl_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const dl_ahead_change *c = &list->items[i];
        dl_state_key key = {c->key->partition_name, c->key->study_uid, c->key->series_uid,
                            c->key->sop_uid};
        DL_TRY(dl_state_ahead_add(p->state, &key, p->source, &c->change, err));
    }
    return DL_OK;
}
