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

/** The term with the fewest matches, if they are so few that gathering needs no sums. */
static dl_status choose_few(dl_search *s, choice *out_best, bool *out_gather, dl_error *err)
{
    choice best = {.count = s->conn->index->gather_always + 1};
    for (size_t i = 0; i < s->term_count; i++) {
        choice c = {.term = &s->terms[i]};
        DL_TRY(dl_search_count_term(s, c.term, best.count, &c.count, &c.word, err));
        best = c.count < best.count ? c : best;
    }
    *out_best = best;
    *out_gather = best.term != NULL;
    return DL_OK;
}

/** The term with the fewest matches, and whether they are few enough to gather. */
static dl_status choose(dl_search *s, choice *out_best, bool *out_gather, dl_error *err)
{
    DL_TRY(choose_few(s, out_best, out_gather, err));
    if (*out_gather) {
        return DL_OK;
    }
    choice best = {.count = INT64_MAX};
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

/** Sort what was gathered, and keep the page. */
static void cut_page(dl_search *s)
{
    dl_search_cut(s, s->query->offset, s->query->limit);
}

/** A word or its beginning: its matches, unless they are so many that the newest rows of all have a
 * page of them sooner. */
static dl_status find_word(dl_search *s, dl_error *err)
{
    int64_t limit = 0;
    DL_TRY(weigh(s, &s->terms[0], &limit, err));
    int64_t patience = s->budget;
    s->budget = limit + 1;
    DL_TRY(dl_search_gather_word(s, err));
    if (s->gave_up) {
        s->budget = patience;
        DL_TRY(dl_search_scan(s, NULL, err));
        if (!s->gave_up) {
            return DL_OK;
        }
        s->budget = 0;
        DL_TRY(dl_search_gather_word(s, err));
    }
    cut_page(s);
    return DL_OK;
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
    if (dl_search_is_word(s)) {
        return find_word(s, err);
    }
    choice best;
    bool gather = false;
    DL_TRY(choose(s, &best, &gather, err));
    if (!gather) {
        DL_TRY(dl_search_scan(s, ordered, err));
        if (!s->gave_up) {
            return DL_OK;
        }
    }
    DL_TRY(dl_search_gather_term(s, best.term, best.word, err));
    cut_page(s);
    return DL_OK;
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
