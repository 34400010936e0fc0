/* What a batch of changes of one key comes to, and how batches are put together. */
#include "pipeline/internal.h"

#include "base/mem.h"
#include "tap.h"

#include <stdlib.h>

enum { ENTRIES = 4 };

static dl_feed_entry entry_of(int64_t sequence, int64_t timestamp_us, dl_feed_action action)
{
    return (dl_feed_entry){
        .sequence = sequence,
        .timestamp_us = timestamp_us,
        .action = action,
        .state = action == DL_FEED_DELETE ? DL_FEED_DELETED : DL_FEED_CURRENT,
        .partition_name = DL_STR("p"),
        .study_uid = DL_STR("1"),
        .series_uid = DL_STR("2"),
        .sop_uid = DL_STR("3"),
        .file_path = action == DL_FEED_DELETE ? DL_STR_NONE : DL_STR("f.dcm"),
    };
}

/* ---- one change ---- */

/* What the state knows: nothing, a row or a tombstone, made by sequence 50 at time 500 of feed 1;
 * of another feed or of none, time alone decides. */
typedef enum known_kind { UNKNOWN, ROW, TOMBSTONE, KNOWN_KINDS } known_kind;
typedef enum origin { SAME_FEED, OTHER_FEED, NO_SEQUENCE, ORIGINS } origin;

static dl_state_instance known_of(known_kind kind, origin from)
{
    if (kind == UNKNOWN) {
        return (dl_state_instance){0};
    }
    return (dl_state_instance){.known = true,
                               .removed = kind == TOMBSTONE,
                               .timestamp_us = 500,
                               .sequence = from == NO_SEQUENCE ? 0 : 50,
                               .source = from == SAME_FEED    ? 1
                                         : from == OTHER_FEED ? 2
                                                              : 0,
                               .created_us = 400,
                               .place = {kind == ROW ? 9 : 0, 7}};
}

/* Age of the change against sequence 50 and time 500; where the two say different things, which of
 * them decides is seen. */
typedef struct age {
    const char *name;
    int64_t sequence, timestamp_us;
    bool newer_by_sequence, newer_by_time;
} age;

static const age ages[] = {
    {"both newer", 51, 501, true, true},
    {"both the same", 50, 500, false, true}, /* the same time is new enough, a sequence is not */
    {"both older", 49, 499, false, false},
    {"newer sequence, older time", 51, 499, true, false},
    {"newer sequence, same time", 51, 500, true, true},
    {"older sequence, newer time", 49, 501, false, true},
    {"same sequence, older time", 50, 499, false, false},
};

typedef struct kind_of_change {
    const char *name;
    dl_feed_action action;
    dl_feed_state state;
    bool counts; /* has any effect, when it is new */
} kind_of_change;

static const kind_of_change kinds[] = {
    {"create, current", DL_FEED_CREATE, DL_FEED_CURRENT, true},
    {"create, replaced", DL_FEED_CREATE, DL_FEED_REPLACED, true},
    {"create, deleted since", DL_FEED_CREATE, DL_FEED_DELETED, false},
    {"update, current", DL_FEED_UPDATE, DL_FEED_CURRENT, true},
    {"update, replaced", DL_FEED_UPDATE, DL_FEED_REPLACED, true},
    {"update, deleted since", DL_FEED_UPDATE, DL_FEED_DELETED, false},
    {"delete, current", DL_FEED_DELETE, DL_FEED_CURRENT, true},
    {"delete, replaced", DL_FEED_DELETE, DL_FEED_REPLACED, true},
    {"delete, deleted", DL_FEED_DELETE, DL_FEED_DELETED, true},
};

static const char *const known_names[] = {"unknown", "row", "tombstone"};
static const char *const origin_names[] = {"same feed", "other feed", "no sequence"};

static void check_one(const kind_of_change *k, const age *a, known_kind kind, origin from)
{
    dl_feed_entry entry = entry_of(a->sequence, a->timestamp_us, k->action);
    entry.state = k->state;
    const dl_feed_entry *entries[] = {&entry};
    dl_fold_group group = {entries, 1};
    dl_state_instance known = known_of(kind, from);
    dl_fold_rules rules = {.source = 1};
    bool newer = kind == UNKNOWN || (from == SAME_FEED ? a->newer_by_sequence : a->newer_by_time);
    dl_fold_verdict want = !k->counts                    ? DL_FOLD_NOTHING
                           : !newer                      ? DL_FOLD_STALE
                           : k->action == DL_FEED_DELETE ? DL_FOLD_REMOVE
                                                         : DL_FOLD_UPSERT;
    dl_fold_decision got = dl_fold_decide(&group, &known, &rules);
    TAP_EQ_INT(got.verdict, want);
    bool decides = want == DL_FOLD_UPSERT || want == DL_FOLD_REMOVE;
    TAP_TRUE(got.entry == (decides ? &entry : NULL));
    if (want == DL_FOLD_UPSERT) { /* a row keeps its date, a new one begins now */
        TAP_EQ_INT(got.created_us, kind == ROW ? 400 : a->timestamp_us);
    }
    if (tap_case_failed) {
        printf("# %s, %s, %s, %s\n", k->name, a->name, known_names[kind], origin_names[from]);
    }
}

static void each_change(void)
{
    for (size_t k = 0; k < DL_COUNT_OF(kinds); k++) {
        for (known_kind kind = UNKNOWN; kind < KNOWN_KINDS; kind++) {
            TAP_ROW_BEGIN();
            for (size_t a = 0; a < DL_COUNT_OF(ages); a++) {
                for (origin from = SAME_FEED; from < ORIGINS; from++) {
                    check_one(&kinds[k], &ages[a], kind, from);
                }
            }
            char name[64];
            (void)snprintf(name, sizeof name, "%s: %s", kinds[k].name, known_names[kind]);
            TAP_ROW_END(name);
        }
    }
}

/* ---- rules ---- */

static dl_fold_verdict verdict_of(dl_feed_entry entry, known_kind kind, dl_fold_rules rules)
{
    const dl_feed_entry *entries[] = {&entry};
    dl_fold_group group = {entries, 1};
    dl_state_instance known = known_of(kind, SAME_FEED);
    return dl_fold_decide(&group, &known, &rules).verdict;
}

TAP_CASE(without_a_file_path_a_change_may_not_count)
{
    dl_fold_rules strict = {.source = 1, .require_file_path = true};
    dl_fold_rules lax = {.source = 1};
    static const dl_feed_action actions[] = {DL_FEED_CREATE, DL_FEED_UPDATE};
    for (size_t i = 0; i < DL_COUNT_OF(actions); i++) {
        dl_feed_entry entry = entry_of(60, 600, actions[i]);
        TAP_TRUE(dl_fold_counts(&entry, &strict));
        TAP_EQ_INT(verdict_of(entry, UNKNOWN, strict), DL_FOLD_UPSERT);
        entry.file_path = DL_STR(""); /* there, if empty */
        TAP_EQ_INT(verdict_of(entry, UNKNOWN, strict), DL_FOLD_UPSERT);
        entry.file_path = DL_STR_NONE;
        TAP_TRUE(!dl_fold_counts(&entry, &strict) && dl_fold_counts(&entry, &lax));
        TAP_EQ_INT(verdict_of(entry, UNKNOWN, strict), DL_FOLD_NOTHING);
        TAP_EQ_INT(verdict_of(entry, ROW, strict), DL_FOLD_NOTHING);
        TAP_EQ_INT(verdict_of(entry, UNKNOWN, lax), DL_FOLD_UPSERT);
    }
    dl_feed_entry gone = entry_of(60, 600, DL_FEED_DELETE);
    TAP_EQ_INT(verdict_of(gone, ROW, strict), DL_FOLD_REMOVE);
}

TAP_CASE(what_is_older_than_what_is_settled_is_stale)
{
    dl_feed_entry before = {
        .action = DL_FEED_CREATE, .state = DL_FEED_REPLACED, .sequence = 70, .timestamp_us = 999};
    dl_feed_entry at = {
        .action = DL_FEED_CREATE, .state = DL_FEED_REPLACED, .sequence = 71, .timestamp_us = 1000};
    dl_state_instance none = {0};
    dl_fold_rules rules = {.source = 1, .settled_us = 1000};
    const dl_feed_entry *entries[] = {&before, &at};
    dl_fold_group one = {.entries = entries, .count = 1}, both = {.entries = entries, .count = 2};
    TAP_TRUE(dl_fold_decide(&one, &none, &rules).verdict == DL_FOLD_STALE);
    dl_fold_decision d = dl_fold_decide(&both, &none, &rules);
    TAP_TRUE(d.verdict == DL_FOLD_UPSERT && d.entry == &at && d.created_us == 1000);
    rules.settled_us = 0;
    TAP_TRUE(dl_fold_decide(&one, &none, &rules).verdict == DL_FOLD_UPSERT);
}

TAP_CASE(what_is_settled_is_stale)
{
    for (known_kind kind = UNKNOWN; kind < KNOWN_KINDS; kind++) {
        dl_fold_rules rules = {.source = 1, .settled = 60};
        TAP_EQ_INT(verdict_of(entry_of(60, 600, DL_FEED_CREATE), kind, rules), DL_FOLD_STALE);
        TAP_EQ_INT(verdict_of(entry_of(60, 600, DL_FEED_DELETE), kind, rules), DL_FOLD_STALE);
        TAP_EQ_INT(verdict_of(entry_of(61, 600, DL_FEED_CREATE), kind, rules), DL_FOLD_UPSERT);
        TAP_EQ_INT(verdict_of(entry_of(61, 600, DL_FEED_DELETE), kind, rules), DL_FOLD_REMOVE);
    }
}

/* ---- several changes of one key ---- */

typedef struct history {
    const char *name;
    const char
        *actions; /* c, u, d; upper case: the change does not count. From 1010 on, each 10 later */
    known_kind known;
    dl_fold_verdict verdict;
    int decides; /* index; -1: none */
    int64_t created_us;
} history;

/* Known: sequence 50 at time 500, in being since 400; the changes come after it. */
static const history histories[] = {
    {"create", "c", UNKNOWN, DL_FOLD_UPSERT, 0, 1010},
    {"create and updates", "cuu", UNKNOWN, DL_FOLD_UPSERT, 2, 1010},
    {"updates of a row", "uu", ROW, DL_FOLD_UPSERT, 1, 400},
    {"create over a row keeps its date", "c", ROW, DL_FOLD_UPSERT, 0, 400},
    {"delete and create again", "dc", ROW, DL_FOLD_UPSERT, 1, 1020},
    {"delete, create, update", "dcu", ROW, DL_FOLD_UPSERT, 2, 1020},
    {"create, delete, create, update", "cdcu", UNKNOWN, DL_FOLD_UPSERT, 3, 1030},
    {"create and delete", "cd", UNKNOWN, DL_FOLD_REMOVE, 1, 1010},
    {"delete of what was never there", "d", UNKNOWN, DL_FOLD_REMOVE, 0, 0},
    {"twice deleted", "dd", ROW, DL_FOLD_REMOVE, 1, 400},
    {"again after a tombstone", "cu", TOMBSTONE, DL_FOLD_UPSERT, 1, 1010},
    {"deleted again", "d", TOMBSTONE, DL_FOLD_REMOVE, 0, 0},
    {"create that does not count, then delete", "Cd", UNKNOWN, DL_FOLD_REMOVE, 1, 0},
    {"update that does not count at the end", "cU", UNKNOWN, DL_FOLD_UPSERT, 0, 1010},
    {"nothing counts", "CUU", ROW, DL_FOLD_NOTHING, -1, 400},
    {"delete, then a create that does not count", "dC", ROW, DL_FOLD_REMOVE, 0, 400},
};

static void check_history(const history *h)
{
    dl_feed_entry items[ENTRIES];
    const dl_feed_entry *entries[ENTRIES];
    size_t count = strlen(h->actions);
    for (size_t i = 0; i < count; i++) {
        char what = h->actions[i];
        dl_feed_action action = what == 'd'                  ? DL_FEED_DELETE
                                : what == 'c' || what == 'C' ? DL_FEED_CREATE
                                                             : DL_FEED_UPDATE;
        items[i] = entry_of(101 + (int64_t)i, 1010 + 10 * (int64_t)i, action);
        if (what == 'C' || what == 'U') {
            items[i].state = DL_FEED_DELETED;
        }
        entries[i] = &items[i];
    }
    dl_fold_group group = {entries, count};
    dl_state_instance known = known_of(h->known, SAME_FEED);
    dl_fold_rules rules = {.source = 1, .settled = 100};
    dl_fold_decision got = dl_fold_decide(&group, &known, &rules);
    TAP_EQ_INT(got.verdict, h->verdict);
    TAP_TRUE(got.entry == (h->decides < 0 ? NULL : &items[h->decides]));
    TAP_EQ_INT(got.created_us, h->created_us);
}

static void each_history(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(histories); i++) {
        TAP_ROW_BEGIN();
        check_history(&histories[i]);
        TAP_ROW_END(histories[i].name);
    }
}

/* Some of a window that is read again are known already: the rest goes on from there. */
TAP_CASE(stale_changes_before_a_new_one_do_nothing)
{
    dl_feed_entry items[] = {entry_of(40, 400, DL_FEED_CREATE), entry_of(50, 500, DL_FEED_UPDATE),
                             entry_of(60, 600, DL_FEED_UPDATE)};
    const dl_feed_entry *entries[] = {&items[0], &items[1], &items[2]};
    dl_state_instance known = known_of(ROW, SAME_FEED);
    dl_fold_rules rules = {.source = 1};
    dl_fold_group group = {entries, 3};
    dl_fold_decision got = dl_fold_decide(&group, &known, &rules);
    TAP_TRUE(got.verdict == DL_FOLD_UPSERT && got.entry == &items[2] && got.created_us == 400);
    group.count = 2;
    got = dl_fold_decide(&group, &known, &rules);
    TAP_TRUE(got.verdict == DL_FOLD_STALE && got.entry == NULL);
    /* A change that does not count hides none that is stale. */
    items[1].state = DL_FEED_DELETED;
    got = dl_fold_decide(&group, &known, &rules);
    TAP_EQ_INT(got.verdict, DL_FOLD_STALE);
}

/* ---- batches ---- */

static dl_status page_of(const dl_feed_entry *entries, size_t count, dl_feed_page **out_page,
                         dl_error *err)
{
    DL_AUTO(dl_feed_page) page = dl_mem_zalloc(1, sizeof *page);
    if (page == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a page");
    }
    dl_buf_init(&page->text, 1);
    page->arena = dl_arena_create(1 << 20);
    if (page->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a page");
    }
    page->entries = dl_arena_alloc(page->arena, count + 1, sizeof *page->entries);
    if (page->entries == NULL) {
        return dl_arena_full(page->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        page->entries[i] = entries[i];
    }
    page->entry_count = count;
    page->text_bytes = 100 * count;
    *out_page = DL_STEAL(page);
    return DL_OK;
}

static dl_status add(dl_fold *fold, const dl_feed_entry *entries, size_t count, dl_error *err)
{
    dl_feed_page *page = NULL;
    DL_TRY(page_of(entries, count, &page, err));
    return dl_fold_add(fold, page, err);
}

TAP_CASE(pages_become_groups_in_order_of_key_and_sequence)
{
    dl_error err = {0};
    DL_CLEANUP(dl_fold_clear) dl_fold fold = {0};
    dl_feed_entry first[] = {entry_of(5, -50, DL_FEED_UPDATE), entry_of(2, -60, DL_FEED_CREATE)};
    dl_feed_entry second[] = {entry_of(9, -90, DL_FEED_CREATE), entry_of(3, -55, DL_FEED_CREATE),
                              entry_of(4, -70, DL_FEED_CREATE), entry_of(6, -80, DL_FEED_CREATE)};
    second[0].partition_name = DL_STR("o"); /* each text of the key tells keys apart */
    second[1].study_uid = DL_STR("10");
    second[2].series_uid = DL_STR("1");
    second[3].sop_uid = DL_STR("31");
    dl_feed_entry third[] = {entry_of(7, -51, DL_FEED_DELETE)};
    TAP_OK(add(&fold, first, 2, &err), err);
    TAP_EQ_INT(fold.max_time_us, -50); /* before 1970 too */
    TAP_OK(add(&fold, second, 4, &err), err);
    TAP_OK(add(&fold, third, 1, &err), err);
    TAP_EQ_INT(fold.entry_count, 7);
    TAP_EQ_INT(fold.text_bytes, 700);
    TAP_EQ_INT(fold.max_sequence, 9);
    TAP_EQ_INT(fold.max_time_us, -50);
    for (int again = 0; again < 2; again++) { /* sorting twice is no different */
        TAP_OK(dl_fold_sort(&fold, &err), err);
        TAP_EQ_INT(fold.group_count, 5);
        static const int64_t want[] = {9, 4, 2, 6, 3};
        for (size_t g = 0; g < DL_COUNT_OF(want) && g < fold.group_count; g++) {
            TAP_EQ_INT(fold.groups[g].entries[0]->sequence, want[g]);
            TAP_EQ_INT(fold.groups[g].count, g == 2 ? 3 : 1);
        }
        TAP_EQ_INT(fold.groups[2].entries[1]->sequence, 5);
        TAP_EQ_INT(fold.groups[2].entries[2]->sequence, 7);
    }
    dl_fold_clear(&fold);
    TAP_TRUE(fold.pages == NULL && fold.arena == NULL && fold.entry_count == 0);
}

TAP_CASE(many_pages)
{
    enum { PAGES = 200, KEYS = 7 }; /* more than the list of pages begins with */
    static const char *const uids[KEYS] = {"1", "2", "3", "4", "5", "6", "7"};
    dl_error err = {0};
    DL_CLEANUP(dl_fold_clear) dl_fold fold = {0};
    for (int64_t i = 0; i < PAGES; i++) {
        dl_feed_entry entry = entry_of(PAGES - i, i, DL_FEED_UPDATE);
        entry.sop_uid = dl_str_of(uids[i % KEYS]);
        TAP_OK(add(&fold, &entry, 1, &err), err);
    }
    TAP_EQ_INT(fold.page_count, PAGES);
    TAP_OK(dl_fold_sort(&fold, &err), err);
    TAP_EQ_INT(fold.group_count, KEYS);
    size_t seen = 0;
    for (size_t g = 0; g < fold.group_count; g++) {
        seen += fold.groups[g].count;
        for (size_t i = 1; i < fold.groups[g].count; i++) {
            TAP_TRUE(fold.groups[g].entries[i - 1]->sequence < fold.groups[g].entries[i]->sequence);
        }
    }
    TAP_EQ_INT(seen, PAGES);
}

TAP_CASE(an_empty_batch_has_no_groups)
{
    dl_error err = {0};
    DL_CLEANUP(dl_fold_clear) dl_fold fold = {0};
    TAP_OK(dl_fold_sort(&fold, &err), err);
    TAP_EQ_INT(fold.group_count, 0);
    TAP_OK(add(&fold, NULL, 0, &err), err);
    TAP_OK(dl_fold_sort(&fold, &err), err);
    TAP_EQ_INT(fold.group_count, 0);
}

static dl_status use_all(dl_error *err)
{
    DL_CLEANUP(dl_fold_clear) dl_fold fold = {0};
    dl_feed_entry entries[] = {entry_of(2, 20, DL_FEED_UPDATE), entry_of(1, 10, DL_FEED_CREATE)};
    for (int i = 0; i < 65; i++) { /* the list of pages grows */
        DL_TRY(add(&fold, entries, 2, err));
    }
    return dl_fold_sort(&fold, err);
}

TAP_CASE(each_allocation_may_fail)
{
    dl_error err = {0};
    dl_mem_fail_after(1 << 20);
    TAP_OK(use_all(&err), err);
    int64_t all = dl_mem_asked();
    TAP_TRUE(all >= 65 * 3 + 4);
    for (int64_t n = 0; n < all; n++) {
        dl_mem_fail_after(n);
        err = (dl_error){0};
        dl_status status = use_all(&err);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_mem_fail_after(-1);
}

int main(void)
{
    each_change();
    TAP_RUN(without_a_file_path_a_change_may_not_count);
    TAP_RUN(what_is_older_than_what_is_settled_is_stale);
    TAP_RUN(what_is_settled_is_stale);
    each_history();
    TAP_RUN(stale_changes_before_a_new_one_do_nothing);
    TAP_RUN(pages_become_groups_in_order_of_key_and_sequence);
    TAP_RUN(many_pages);
    TAP_RUN(an_empty_batch_has_no_groups);
    TAP_RUN(each_allocation_may_fail);
    return tap_done();
}
