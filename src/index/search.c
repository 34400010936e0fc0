#include "index/search.h"

#include <math.h>

/* ---- the plan ---- */

typedef struct choice {
    const dl_search_term *term;
    dl_str word;
    int64_t count;
} choice;

/**
 * Up to how many rows of `level` gathering is cheaper than scanning, and how many rows a scan may
 * read before it is plain that what matches lies far from the newest. A scan that looks for one
 * page passes page * rows / matches rows; a gathering reads all matches.
 */
static dl_status weigh(dl_search *s, const dl_search_term *term, int64_t *out_limit, dl_error *err)
{
    enum { EXACT_GAIN = 4, RANDOM_COST = 2, SCAN_PATIENCE = 4 };
    int64_t rows = 0;
    DL_TRY(dl_index_tally_total(s->conn, s->query->partition, s->query->level, &rows, err));
    int64_t parents = rows;
    if (term->level != s->query->level) {
        DL_TRY(dl_index_tally_total(s->conn, s->query->partition, term->level, &parents, err));
    }
    double fan_out = parents > 0 ? (double)rows / (double)parents : 1.0;
    double balance = sqrt((double)s->need * (double)rows);
    double limit = balance / (fan_out < 1.0 ? 1.0 : fan_out);
    /* Rows that are gathered lie all over the table, those that are scanned side by side. */
    limit = dl_search_is_exact(s, term) ? limit * EXACT_GAIN : limit / RANDOM_COST;
    int64_t bounded = limit > 1e9 ? 1000000000 : (int64_t)limit;
    int64_t always = s->conn->index->gather_always;
    *out_limit = bounded < always ? always : bounded;
    s->budget = balance > 1e9 ? INT64_MAX : 1 + SCAN_PATIENCE * (int64_t)balance;
    return DL_OK;
}

/** The term with the fewest matches, and whether they are few enough to gather. */
static dl_status choose(dl_search *s, choice *out_best, bool *out_gather, dl_error *err)
{
    choice best = {.count = INT64_MAX};
    *out_gather = false;
    for (size_t i = 0; i < s->term_count; i++) {
        choice c = {.term = &s->terms[i]};
        int64_t limit = 0;
        DL_TRY(weigh(s, c.term, &limit, err));
        DL_TRY(dl_search_count_term(s, c.term, limit + 1, &c.count, &c.word, err));
        bool few = c.count <= limit;
        if ((few && !*out_gather) || (few == *out_gather && c.count < best.count)) {
            best = c;
            *out_gather = few;
        }
    }
    *out_best = best;
    return DL_OK;
}

/** Of the terms that an index at the level asked for gives in order, the first. */
static const dl_search_term *ordered_term(const dl_search *s)
{
    for (size_t i = 0; i < s->term_count; i++) {
        if (s->terms[i].level == s->query->level && dl_search_sql_ordered(&s->terms[i]) != NULL) {
            return &s->terms[i];
        }
    }
    return NULL;
}

/* The newest of what was gathered is wanted, not all in order: a heap with the newest on top. */
static void sift_down(dl_search_key *keys, size_t count, size_t at)
{
    dl_search_key key = keys[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && keys[child + 1].place > keys[child].place;
        if (keys[child].place <= key.place) {
            break;
        }
        keys[at] = keys[child];
        at = child;
    }
    keys[at] = key;
}

static dl_search_key pop_newest(dl_search_key *keys, size_t *count)
{
    dl_search_key newest = keys[0];
    keys[0] = keys[--*count];
    if (*count > 0) {
        sift_down(keys, *count, 0);
    }
    return newest;
}

/** The page of what was gathered, newest first; what came twice counts once. */
static void cut_page(dl_search *s)
{
    size_t all = s->key_count, left = all, passed = 0, kept = 0;
    int64_t last = INT64_MIN; /* places are unique at a level */
    for (size_t i = all / 2; i-- > 0;) {
        sift_down(s->keys, all, i);
    }
    while (left > 0 && kept < s->query->limit) {
        dl_search_key key = pop_newest(s->keys, &left);
        if (key.place == last) {
            continue;
        }
        last = key.place;
        if (passed < s->query->offset) {
            passed++;
        } else {
            s->keys[all - ++kept] = key; /* the heap has left this slot */
        }
    }
    for (size_t i = 0; i < kept / 2; i++) {
        dl_search_key key = s->keys[all - kept + i];
        s->keys[all - kept + i] = s->keys[all - 1 - i];
        s->keys[all - 1 - i] = key;
    }
    s->keys = s->keys != NULL ? s->keys + (all - kept) : NULL;
    s->key_count = kept;
}

static dl_status gather(dl_search *s, const choice *by, int64_t budget, dl_error *err)
{
    s->budget = budget;
    DL_TRY(dl_search_gather_term(s, by->term, by->word, err));
    cut_page(s);
    return DL_OK;
}

static dl_status find_by_weight(dl_search *s, const dl_search_term *ordered, dl_error *err)
{
    choice best;
    bool few = false;
    DL_TRY(choose(s, &best, &few, err));
    if (!few) {
        DL_TRY(dl_search_scan(s, ordered, err));
        if (!s->gave_up) {
            return DL_OK;
        }
    }
    return gather(s, &best, 0, err);
}

/** Names by the beginning of a word: an index has those that share its first characters in order,
 * and a page is found soon unless most of them go on otherwise. */
static dl_status try_start(dl_search *s, bool *out_found, dl_error *err)
{
    enum { PASSED_FOR_ONE = 4, PASSED_ALWAYS = 64, PAGE_LIMIT = 1 << 20 };
    dl_str word = DL_STR_NONE;
    *out_found = false;
    if (dl_search_is_start(s, &word) && s->need <= PAGE_LIMIT) {
        s->budget = PASSED_FOR_ONE * (int64_t)s->need + PASSED_ALWAYS;
        DL_TRY(dl_search_scan_start(s, word, err));
        *out_found = !s->gave_up;
    }
    return DL_OK;
}

/** Matches that are so few that nothing has to be weighed. */
static dl_status try_few(dl_search *s, bool *out_found, dl_error *err)
{
    enum { EXACT_GAIN = 4 }; /* to list costs no more than to count */
    int64_t few = s->conn->index->gather_always;
    choice best = {.count = few + 1};
    if (dl_search_is_exact(s, &s->terms[0])) {
        best.term = &s->terms[0];
        dl_str rest = best.term->text;
        (void)dl_index_word_next(&rest, &best.word); /* of a phrase */
        DL_TRY(gather(s, &best, EXACT_GAIN * few + 1, err));
        *out_found = !s->gave_up;
        return DL_OK;
    }
    for (size_t i = 0; i < s->term_count; i++) {
        choice c = {.term = &s->terms[i]};
        DL_TRY(dl_search_count_term(s, c.term, best.count, &c.count, &c.word, err));
        best = c.count < best.count ? c : best;
    }
    *out_found = best.term != NULL;
    return *out_found ? gather(s, &best, 0, err) : DL_OK;
}

static dl_status find_keys(dl_search *s, dl_error *err)
{
    if (s->nothing || s->query->limit == 0) {
        return DL_OK;
    }
    if (s->uids[0] != NULL || s->uids[1] != NULL || s->uids[2] != NULL) {
        DL_TRY(dl_search_gather_uids(s, err));
        cut_page(s);
        return DL_OK;
    }
    if (s->term_count == 0) {
        return dl_search_scan(s, NULL, err);
    }
    const dl_search_term *ordered = ordered_term(s);
    if (ordered != NULL && dl_search_is_ordered_exact(s, ordered)) {
        return dl_search_scan(s, ordered, err); /* the index holds the answer in order */
    }
    bool found = false;
    DL_TRY(try_start(s, &found, err));
    DL_TRY(found ? DL_OK : try_few(s, &found, err));
    return found ? DL_OK : find_by_weight(s, ordered, err);
}

/* ---- the answer ---- */

dl_status dl_index_search(dl_index_snapshot *snapshot, const dl_index_query *query, dl_arena *arena,
                          dl_index_hit **out_hits, size_t *out_count, dl_error *err)
{
    dl_search *s = dl_arena_alloc(arena, 1, sizeof *s);
    if (s == NULL) {
        return dl_arena_full(arena, err);
    }
    s->conn = snapshot->conn;
    s->query = query;
    s->arena = arena;
    if (__builtin_add_overflow(query->offset, query->limit, &s->need)) {
        s->need = SIZE_MAX;
    }
    DL_TRY(dl_search_compile(s, err));
    DL_TRY(find_keys(s, err));
    return dl_search_fill(s, out_hits, out_count, err);
}
