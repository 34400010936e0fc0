#include "index/search.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    int64_t rows = 0, parents = 0;
    DL_TRY(dl_index_tally_total(s->conn, s->query->partition, s->query->level, &rows, err));
    DL_TRY(dl_index_tally_total(s->conn, s->query->partition, term->level, &parents, err));
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

static int newest_first(const void *a, const void *b)
{
    const dl_search_key *x = a, *y = b;
    return x->place < y->place ? 1 : x->place > y->place ? -1 : 0;
}

/** Sort what was gathered, drop what came twice, and keep the page. */
static void cut_page(dl_search *s)
{
    size_t count = 0;
    if (s->key_count > 1) {
        qsort(s->keys, s->key_count, sizeof *s->keys, newest_first);
    }
    for (size_t i = 0; i < s->key_count; i++) { /* places are unique at a level */
        if (count == 0 || s->keys[count - 1].place != s->keys[i].place) {
            s->keys[count++] = s->keys[i];
        }
    }
    size_t offset = s->query->offset < count ? s->query->offset : count;
    size_t left = count - offset;
    s->keys = s->keys != NULL ? s->keys + offset : NULL;
    s->key_count = left < s->query->limit ? left : s->query->limit;
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

typedef struct text_slot {
    int64_t id;
    dl_str uid, attributes, modalities;
    int64_t parent;
} text_slot;

enum { TEXT_SLOTS = 64 };

typedef struct texts {
    text_slot studies[TEXT_SLOTS], series[TEXT_SLOTS];
} texts;

static dl_status load_texts(dl_search *s, const char *sql, int64_t id, text_slot *slot,
                            dl_error *err)
{
    dl_db_stmt *q = NULL;
    text_slot read = {.id = id};
    DL_TRY(dl_db_query(s->conn->db, sql, &q, err));
    dl_db_bind_int(q, 1, id);
    dl_status status = DL_OK;
    bool found = dl_db_step(q);
    if (found) {
        status = dl_index_uid_copy(dl_db_bytes(q, 0), s->arena, &read.uid, err);
        if (status == DL_OK) {
            status = dl_arena_copy(s->arena, dl_db_str(q, 1), &read.attributes, err);
        }
        read.parent = dl_db_int(q, 2);
        if (status == DL_OK) {
            status = dl_arena_copy(s->arena, dl_db_str(q, 3), &read.modalities, err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    if (!found) {
        return dl_error_set(err, DL_E_CORRUPT, "index: the attributes of row %lld are missing",
                            (long long)id);
    }
    *slot = read;
    return DL_OK;
}

static dl_status study_texts(dl_search *s, texts *t, int64_t id, const text_slot **out_slot,
                             dl_error *err)
{
    text_slot *slot = &t->studies[(uint64_t)id % TEXT_SLOTS];
    if (slot->id != id) {
        DL_TRY(load_texts(s,
                          "SELECT s.uid, t.attributes, 0, t.modalities FROM study s"
                          " CROSS JOIN study_text t ON t.study=s.id WHERE s.id=?1",
                          id, slot, err));
    }
    *out_slot = slot;
    return DL_OK;
}

static dl_status series_texts(dl_search *s, texts *t, int64_t id, const text_slot **out_slot,
                              dl_error *err)
{
    text_slot *slot = &t->series[(uint64_t)id % TEXT_SLOTS];
    if (slot->id != id) {
        DL_TRY(load_texts(s,
                          "SELECT s.uid, t.attributes, s.study, '' FROM series s"
                          " CROSS JOIN series_text t ON t.series=s.id WHERE s.id=?1",
                          id, slot, err));
    }
    *out_slot = slot;
    return DL_OK;
}

static dl_status instance_uid(dl_search *s, int64_t id, dl_str *out_uid, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, "SELECT uid FROM instance WHERE id=?1", &q, err));
    dl_db_bind_int(q, 1, id);
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        status = dl_index_uid_copy(dl_db_bytes(q, 0), s->arena, out_uid, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status fill_hit(dl_search *s, texts *t, const dl_search_key *key, dl_index_hit *hit,
                          dl_error *err)
{
    const text_slot *slot = NULL;
    int64_t study = key->study;
    if (s->query->level != DL_INDEX_STUDY) {
        DL_TRY(series_texts(s, t, key->series, &slot, err));
        hit->series_id = key->series;
        hit->series_uid = slot->uid;
        hit->series_attributes = slot->attributes;
        study = slot->parent;
    }
    if (s->query->level == DL_INDEX_INSTANCE) {
        hit->watermark = key->place;
        DL_TRY(instance_uid(s, key->id, &hit->sop_uid, err));
    }
    DL_TRY(study_texts(s, t, study, &slot, err));
    hit->study_id = study;
    hit->study_uid = slot->uid;
    hit->study_attributes = slot->attributes;
    hit->study_modalities = slot->modalities;
    return DL_OK;
}

static dl_status fill_hits(dl_search *s, dl_index_hit **out_hits, size_t *out_count, dl_error *err)
{
    texts *t = dl_arena_alloc(s->arena, 1, sizeof *t);
    dl_index_hit *hits = dl_arena_alloc(s->arena, s->key_count, sizeof *hits);
    if (t == NULL || hits == NULL) {
        return dl_arena_full(s->arena, err);
    }
    for (size_t i = 0; i < s->key_count; i++) {
        DL_TRY(fill_hit(s, t, &s->keys[i], &hits[i], err));
    }
    *out_hits = hits;
    *out_count = s->key_count;
    return DL_OK;
}

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
    return fill_hits(s, out_hits, out_count, err);
}
