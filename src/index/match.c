#include "index/search.h"

#include <string.h>

/* ---- compiling ---- */

static dl_status compile_date(dl_search_term *term, const dl_index_filter *filter, dl_error *err)
{
    bool range = filter->match == DL_INDEX_RANGE;
    term->kind = DL_SEARCH_DATE;
    term->from = 0;
    term->to = INT64_MAX;
    if (!range || filter->value.len > 0) {
        if (!dl_index_date_parse(filter->value, &term->from)) {
            return dl_error_set(err, DL_E_INVALID, "search: not a date of the form yyyyMMdd");
        }
    }
    dl_str to = range ? filter->value_to : filter->value;
    if (to.len > 0 && !dl_index_date_parse(to, &term->to)) {
        return dl_error_set(err, DL_E_INVALID, "search: not a date of the form yyyyMMdd");
    }
    return DL_OK;
}

static void compile_uid(dl_search *s, dl_search_term *term, dl_str text)
{
    term->kind = DL_SEARCH_UID;
    if (!dl_index_uid_pack(text, &term->uid)) {
        s->nothing = true; /* nothing that is stored has such a UID */
        return;
    }
    const dl_index_uid *other = s->uids[term->level];
    if (other != NULL &&
        (other->len != term->uid.len || memcmp(other->bytes, term->uid.bytes, other->len) != 0)) {
        s->nothing = true;
    }
    s->uids[term->level] = &term->uid;
}

static dl_status compile_filter(dl_search *s, const dl_index_filter *filter, dl_error *err)
{
    const dl_index_attribute *a = filter->attribute;
    dl_search_term *term = &s->terms[s->term_count++];
    *term = (dl_search_term){.level = a->level, .column = dl_index_attribute_column(a)};
    if (a->level > s->query->level) {
        return dl_error_set(err, DL_E_INVALID, "search: %08x is not an attribute of this level",
                            (unsigned)a->tag);
    }
    if (a->vr == DL_VR('U', 'I')) {
        compile_uid(s, term, filter->value);
        return DL_OK;
    }
    if (a->vr == DL_VR('D', 'A')) {
        return compile_date(term, filter, err);
    }
    if (filter->match == DL_INDEX_RANGE ||
        (filter->match == DL_INDEX_PHRASE && a->vr != DL_VR('P', 'N'))) {
        return dl_error_set(err, DL_E_INVALID, "search: %08x cannot be matched that way",
                            (unsigned)a->tag);
    }
    term->kind = term->column < 0                   ? DL_SEARCH_MODALITIES
                 : filter->match == DL_INDEX_PHRASE ? DL_SEARCH_PHRASE
                                                    : DL_SEARCH_TEXT;
    DL_TRY(dl_index_fold(filter->value, a->vr == DL_VR('P', 'N'), s->arena, &term->text, err));
    dl_str rest = term->text, word = DL_STR_NONE;
    if (term->kind == DL_SEARCH_PHRASE && !dl_index_word_next(&rest, &word)) {
        s->nothing = true;
    }
    return DL_OK;
}

static dl_search_term *find_term(dl_search *s, dl_search_kind kind, int column)
{
    for (size_t i = 0; i < s->term_count; i++) {
        dl_search_term *term = &s->terms[i];
        if (term->kind == kind && term->level == DL_INDEX_STUDY && term->column == column) {
            return term;
        }
    }
    return NULL;
}

/* A modality and a study date are one term: an index lists studies by both. */
static void join_terms(dl_search *s)
{
    dl_search_term *modality = find_term(s, DL_SEARCH_MODALITIES, -1);
    dl_search_term *date = find_term(s, DL_SEARCH_DATE, DL_INDEX_STUDY_DATE);
    if (modality != NULL && date != NULL) {
        modality->dated = true;
        modality->from = date->from;
        modality->to = date->to;
        size_t last = --s->term_count;
        *date = s->terms[last];
        for (size_t i = 0; i < DL_COUNT_OF(s->uids); i++) { /* they point at their terms */
            if (s->uids[i] == &s->terms[last].uid) {
                s->uids[i] = &date->uid;
            }
        }
    }
}

dl_status dl_search_compile(dl_search *s, dl_error *err)
{
    const dl_index_query *query = s->query;
    if (query->filter_count > DL_SEARCH_TERM_LIMIT - 2) {
        return dl_error_set(err, DL_E_LIMIT, "search: %zu filters exceed %d", query->filter_count,
                            DL_SEARCH_TERM_LIMIT - 2);
    }
    const dl_str path[] = {query->study_uid, query->series_uid};
    for (size_t i = 0; i < DL_COUNT_OF(path); i++) {
        if (path[i].len > 0) {
            dl_search_term *term = &s->terms[s->term_count++];
            *term =
                (dl_search_term){.level = i == 0 ? DL_INDEX_STUDY : DL_INDEX_SERIES, .column = -1};
            compile_uid(s, term, path[i]);
        }
    }
    for (size_t i = 0; i < query->filter_count; i++) {
        DL_TRY(compile_filter(s, &query->filters[i], err));
    }
    join_terms(s);
    return DL_OK;
}

bool dl_search_has_terms(const dl_search *s, dl_index_level level)
{
    for (size_t i = 0; i < s->term_count; i++) {
        if (s->terms[i].level == level) {
            return true;
        }
    }
    return false;
}

/* ---- matching ---- */

static bool date_matches(const dl_search_term *term, const dl_db_stmt *row, int column)
{
    return !dl_db_is_null(row, column) && term->from <= dl_db_int(row, column) &&
           dl_db_int(row, column) <= term->to;
}

static bool column_matches(const dl_search_term *term, const dl_db_stmt *row, int column)
{
    if (dl_db_is_null(row, column)) {
        return false;
    }
    if (term->kind == DL_SEARCH_TEXT) {
        return dl_str_eq(dl_db_str(row, column), term->text);
    }
    if (term->kind == DL_SEARCH_PHRASE) {
        return dl_index_phrase_matches(dl_db_str(row, column), term->text);
    }
    return date_matches(term, row, column);
}

bool dl_search_columns_match(const dl_search *s, dl_index_level level, const dl_db_stmt *row,
                             int first)
{
    for (size_t i = 0; i < s->term_count; i++) {
        const dl_search_term *term = &s->terms[i];
        if (term->level != level) {
            continue;
        }
        if ((term->column >= 0 && !column_matches(term, row, first + term->column)) ||
            (term->dated && !date_matches(term, row, first + DL_INDEX_STUDY_DATE))) {
            return false;
        }
    }
    return true;
}

dl_status dl_search_modalities_match(dl_search *s, int64_t created, bool *out_match, dl_error *err)
{
    bool match = true;
    for (size_t i = 0; match && i < s->term_count; i++) {
        const dl_search_term *term = &s->terms[i];
        if (term->kind != DL_SEARCH_MODALITIES) {
            continue;
        }
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(s->conn->db,
                           "SELECT 1 FROM study_modality WHERE partition=?1 AND modality=?2"
                           " AND created=?3 AND (?4=0 OR date BETWEEN ?5 AND ?6)",
                           &q, err));
        dl_db_bind_int(q, 1, s->query->partition);
        dl_db_bind_str(q, 2, term->text);
        dl_db_bind_int(q, 3, created);
        dl_db_bind_int(q, 4, term->dated ? 1 : 0);
        dl_db_bind_int(q, 5, term->from);
        dl_db_bind_int(q, 6, term->to);
        match = dl_db_step(q);
        DL_TRY(dl_db_finish(q, err));
    }
    *out_match = match;
    return DL_OK;
}

static bool uid_matches(const dl_search *s, dl_index_level level, dl_bytes uid)
{
    const dl_index_uid *wanted = s->uids[level];
    return wanted == NULL ||
           (wanted->len == uid.len && memcmp(wanted->bytes, uid.ptr, uid.len) == 0);
}

/* The slots are made when the first parent is judged: most searches judge none. */
static dl_status slot_of(const dl_search *s, dl_search_verdict **slots, int64_t id,
                         dl_search_verdict **out_slot, dl_error *err)
{
    if (*slots == NULL) {
        *slots = dl_arena_alloc(s->arena, DL_SEARCH_CACHE_SLOTS, sizeof **slots);
        if (*slots == NULL) {
            return dl_arena_full(s->arena, err);
        }
    }
    *out_slot = &(*slots)[(uint64_t)id & (DL_SEARCH_CACHE_SLOTS - 1)];
    return DL_OK;
}

static dl_status judge_study(dl_search *s, int64_t study, dl_search_verdict *v, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT created, partition, uid, " DL_SEARCH_STUDY_COLUMNS
                       " FROM study WHERE id=?1",
                       &q, err));
    dl_db_bind_int(q, 1, study);
    v->accepted = dl_db_step(q) && !dl_db_is_null(q, 0) && dl_db_int(q, 1) == s->query->partition &&
                  uid_matches(s, DL_INDEX_STUDY, dl_db_bytes(q, 2)) &&
                  dl_search_columns_match(s, DL_INDEX_STUDY, q, 3);
    v->place = v->accepted ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    return v->accepted ? dl_search_modalities_match(s, v->place, &v->accepted, err) : DL_OK;
}

dl_status dl_search_accept_study(dl_search *s, int64_t study, const dl_search_verdict **out_verdict,
                                 dl_error *err)
{
    dl_search_verdict *slot = NULL;
    DL_TRY(slot_of(s, &s->studies, study, &slot, err));
    if (slot->id != study) {
        dl_search_verdict v = {.id = study};
        DL_TRY(judge_study(s, study, &v, err));
        *slot = v;
    }
    *out_verdict = slot;
    return DL_OK;
}

static dl_status judge_series(dl_search *s, int64_t series, dl_search_verdict *v, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT created, partition, uid, study, " DL_SEARCH_SERIES_COLUMNS
                       " FROM series WHERE id=?1",
                       &q, err));
    dl_db_bind_int(q, 1, series);
    v->accepted = dl_db_step(q) && !dl_db_is_null(q, 0) && dl_db_int(q, 1) == s->query->partition &&
                  uid_matches(s, DL_INDEX_SERIES, dl_db_bytes(q, 2)) &&
                  dl_search_columns_match(s, DL_INDEX_SERIES, q, 4);
    v->place = v->accepted ? dl_db_int(q, 0) : 0;
    v->parent = v->accepted ? dl_db_int(q, 3) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (v->accepted && dl_search_has_terms(s, DL_INDEX_STUDY)) {
        const dl_search_verdict *study = NULL;
        DL_TRY(dl_search_accept_study(s, v->parent, &study, err));
        v->accepted = study->accepted;
    }
    return DL_OK;
}

dl_status dl_search_accept_series(dl_search *s, int64_t series,
                                  const dl_search_verdict **out_verdict, dl_error *err)
{
    dl_search_verdict *slot = NULL;
    DL_TRY(slot_of(s, &s->series, series, &slot, err));
    if (slot->id != series) {
        dl_search_verdict v = {.id = series};
        DL_TRY(judge_series(s, series, &v, err));
        *slot = v;
    }
    *out_verdict = slot;
    return DL_OK;
}

/* ---- what was found ---- */

dl_status dl_search_push(dl_search *s, dl_search_key key, dl_error *err)
{
    if (s->key_count == s->key_cap) {
        size_t cap = s->key_cap == 0 ? 256 : 2 * s->key_cap;
        dl_search_key *grown = dl_arena_alloc(s->arena, cap, sizeof *grown);
        if (grown == NULL) {
            return dl_arena_full(s->arena, err);
        }
        if (s->key_count > 0) {
            memcpy(grown, s->keys, s->key_count * sizeof *grown);
        }
        s->keys = grown;
        s->key_cap = cap;
    }
    s->keys[s->key_count++] = key;
    return DL_OK;
}
