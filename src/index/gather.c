#include "index/search.h"

#include <string.h>

/* ---- from an entity down to the level that is asked for ---- */

static dl_status gather_instances(dl_search *s, int64_t study, int64_t series, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT id, watermark FROM instance INDEXED BY instance_of_series"
                       " WHERE series=?1 AND watermark IS NOT NULL ORDER BY watermark DESC"
                       " LIMIT ?2",
                       &q, err));
    dl_db_bind_int(q, 1, series);
    dl_db_bind_int(q, 2, s->need > INT64_MAX ? INT64_MAX : (int64_t)s->need);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_search_key key = {
            .id = dl_db_int(q, 0), .place = dl_db_int(q, 1), .series = series, .study = study};
        status = dl_search_push(s, key, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

/** A series that is accepted, with its study. */
static dl_status gather_series(dl_search *s, int64_t study, int64_t series, int64_t created,
                               dl_error *err)
{
    if (s->query->level == DL_INDEX_INSTANCE) {
        return gather_instances(s, study, series, err);
    }
    dl_search_key key = {.place = created, .id = series, .series = series, .study = study};
    return dl_search_push(s, key, err);
}

static bool uid_matches(const dl_search *s, dl_index_level level, dl_bytes uid)
{
    const dl_index_uid *wanted = s->uids[level];
    return wanted == NULL ||
           (wanted->len == uid.len && memcmp(wanted->bytes, uid.ptr, uid.len) == 0);
}

/** A study that is accepted. */
static dl_status gather_study(dl_search *s, int64_t study, int64_t created, dl_error *err)
{
    if (s->query->level == DL_INDEX_STUDY) {
        dl_search_key key = {.place = created, .id = study, .study = study};
        return dl_search_push(s, key, err);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT id, created, uid, " DL_SEARCH_SERIES_COLUMNS
                       " FROM series INDEXED BY series_of_study WHERE study=?1"
                       " AND created IS NOT NULL",
                       &q, err));
    dl_db_bind_int(q, 1, study);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        if (uid_matches(s, DL_INDEX_SERIES, dl_db_bytes(q, 2)) &&
            dl_search_columns_match(s, DL_INDEX_SERIES, q, 3)) {
            status = gather_series(s, study, dl_db_int(q, 0), dl_db_int(q, 1), err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status try_study(dl_search *s, int64_t study, dl_error *err)
{
    const dl_search_verdict *v = NULL;
    DL_TRY(dl_search_accept_study(s, study, &v, err));
    return v->accepted ? gather_study(s, study, v->place, err) : DL_OK;
}

static dl_status try_series(dl_search *s, int64_t series, dl_error *err)
{
    const dl_search_verdict *v = NULL;
    DL_TRY(dl_search_accept_series(s, series, &v, err));
    return v->accepted ? gather_series(s, v->parent, series, v->place, err) : DL_OK;
}

static dl_status try_instance(dl_search *s, int64_t instance, int64_t series, int64_t watermark,
                              dl_error *err)
{
    const dl_search_verdict *v = NULL;
    DL_TRY(dl_search_accept_series(s, series, &v, err));
    if (!v->accepted || watermark == 0) {
        return DL_OK;
    }
    dl_search_key key = {.place = watermark, .id = instance, .series = series, .study = v->parent};
    return dl_search_push(s, key, err);
}

/* ---- by UID ---- */

dl_status dl_search_gather_uids(dl_search *s, dl_error *err)
{
    /* The deepest UID is the most selective; those above it are checked row by row. */
    static const char *const sql[] = {
        [DL_INDEX_STUDY] = "SELECT id, 0, 0 FROM study WHERE uid=?1 AND partition=?2",
        [DL_INDEX_SERIES] = "SELECT id, 0, 0 FROM series WHERE uid=?1 AND partition=?2",
        [DL_INDEX_INSTANCE] =
            ("SELECT id, series, watermark FROM instance WHERE uid=?1 AND partition=?2"),
    };
    int level = DL_INDEX_INSTANCE;
    while (s->uids[level] == NULL) {
        DL_ASSERT(level > DL_INDEX_STUDY); /* a UID is asked for */
        level--;
    }
    dl_db_stmt *q = NULL;
    if (level == DL_INDEX_SERIES && s->uids[DL_INDEX_STUDY] != NULL) {
        DL_TRY(dl_db_query(s->conn->db,
                           "SELECT id, 0, 0 FROM series WHERE uid=?1"
                           " AND study=(SELECT id FROM study WHERE uid=?3 AND partition=?2)",
                           &q, err));
        dl_db_bind_bytes(q, 3, dl_index_uid_bytes(s->uids[DL_INDEX_STUDY]));
    } else {
        DL_TRY(dl_db_query(s->conn->db, sql[level], &q, err));
    }
    dl_db_bind_bytes(q, 1, dl_index_uid_bytes(s->uids[level]));
    dl_db_bind_int(q, 2, s->query->partition);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = level == DL_INDEX_STUDY ? try_study(s, dl_db_int(q, 0), err)
                 : level == DL_INDEX_SERIES
                     ? try_series(s, dl_db_int(q, 0), err)
                     : try_instance(s, dl_db_int(q, 0), dl_db_int(q, 1), dl_db_int(q, 2), err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

/* ---- by a term ---- */

/** Every word that begins with `prefix` sorts below this: no UTF-8 text holds the byte. */
static dl_status after_prefix(dl_search *s, dl_str prefix, dl_str *out_bound, dl_error *err)
{
    return dl_arena_printf(s->arena, out_bound, err, "%.*s\xff", DL_STR_ARG(prefix));
}

static dl_status bind_term(dl_search *s, const dl_search_term *term, dl_str word, dl_db_stmt *q,
                           dl_error *err)
{
    dl_str bound = DL_STR_NONE;
    dl_db_bind_int(q, 1, s->query->partition);
    switch (term->kind) {
    case DL_SEARCH_DATE:
        dl_db_bind_int(q, 2, term->from);
        dl_db_bind_int(q, 3, term->to);
        return DL_OK;
    case DL_SEARCH_PHRASE:
        DL_TRY(after_prefix(s, word, &bound, err));
        dl_db_bind_str(q, 2, word);
        dl_db_bind_str(q, 3, bound);
        dl_db_bind_int(q, 5, term->column);
        return DL_OK;
    case DL_SEARCH_MODALITIES:
        if (term->dated) {
            dl_db_bind_int(q, 3, term->from);
            dl_db_bind_int(q, 5, term->to);
        }
        break;
    case DL_SEARCH_TEXT:
    case DL_SEARCH_UID:
        break;
    }
    dl_db_bind_str(q, 2, term->text);
    return DL_OK;
}

/* Whether being listed under the term says that it matches: of several words the index does not
 * tell whether they are adjacent and in order. */
static bool is_whole(const dl_search_term *term)
{
    dl_str rest = term->text, word = DL_STR_NONE;
    return term->kind != DL_SEARCH_PHRASE ||
           (dl_index_word_next(&rest, &word) && !dl_index_word_next(&rest, &word));
}

bool dl_search_is_exact(const dl_search *s, const dl_search_term *term)
{
    return s->term_count == 1 && term->level == s->query->level && is_whole(term);
}

bool dl_search_is_ordered_exact(const dl_search *s, const dl_search_term *term)
{
    return s->term_count == 1 && !term->dated; /* that index is by modality alone */
}

/* Whether all that is left to ask of a study is its modalities: they are found by its place alone,
 * without its row. */
static bool only_modalities_left(const dl_search *s, const dl_search_term *term)
{
    for (size_t i = 0; i < s->term_count; i++) {
        if (&s->terms[i] != term && s->terms[i].kind != DL_SEARCH_MODALITIES) {
            return false;
        }
    }
    return s->query->level == DL_INDEX_STUDY && term->level == DL_INDEX_STUDY && is_whole(term);
}

static dl_status push_listed(dl_search *s, const dl_search_term *term, int64_t id, int64_t place,
                             dl_error *err)
{
    dl_search_key key = {.place = place, .id = id};
    key.study = term->level == DL_INDEX_STUDY ? id : 0;
    key.series = term->level == DL_INDEX_SERIES ? id : 0;
    return dl_search_push(s, key, err);
}

static dl_status try_modalities(dl_search *s, const dl_search_term *term, int64_t id, int64_t place,
                                dl_error *err)
{
    bool match = false;
    DL_TRY(dl_search_modalities_match(s, place, &match, err));
    return match ? push_listed(s, term, id, place, err) : DL_OK;
}

dl_status dl_search_gather_term(dl_search *s, const dl_search_term *term, dl_str word,
                                dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, dl_search_sql_list(term), &q, err));
    dl_status status = bind_term(s, term, word, q, err);
    bool exact = dl_search_is_exact(s, term);
    bool modalities = only_modalities_left(s, term);
    int64_t left = s->budget > 0 ? s->budget : INT64_MAX;
    s->gave_up = false;
    while (status == DL_OK && dl_db_step(q)) {
        if (left-- == 0) {
            s->gave_up = true;
            s->key_count = 0;
            break;
        }
        int64_t id = dl_db_int(q, 0), place = dl_db_int(q, 1);
        if (exact) {
            status = push_listed(s, term, id, place, err);
        } else if (modalities) {
            status = try_modalities(s, term, id, place, err);
        } else {
            status = term->level == DL_INDEX_STUDY ? try_study(s, id, err) : try_series(s, id, err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

bool dl_search_is_start(const dl_search *s, dl_str *out_word)
{
    const dl_search_term *term = &s->terms[0];
    if (!s->conn->index->has_starts || s->term_count != 1 || term->kind != DL_SEARCH_PHRASE ||
        !dl_search_is_exact(s, term)) {
        return false;
    }
    dl_str rest = term->text;
    size_t characters = 0;
    (void)dl_index_word_next(&rest, out_word); /* its only one */
    for (size_t i = 0; i < out_word->len; i++) {
        characters += ((unsigned char)out_word->ptr[i] & 0xc0) != 0x80;
    }
    return characters >= DL_SEARCH_START_CHARACTERS;
}

static dl_status count_with(dl_search *s, const dl_search_term *term, dl_str word, int64_t cap,
                            int64_t *out_count, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, dl_search_sql_count(term), &q, err));
    dl_status status = bind_term(s, term, word, q, err);
    dl_db_bind_int(q, 4, cap);
    *out_count = status == DL_OK && dl_db_step(q) ? dl_db_int(q, 0) : 0;
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

dl_status dl_search_count_term(dl_search *s, const dl_search_term *term, int64_t cap,
                               int64_t *out_count, dl_str *out_word, dl_error *err)
{
    *out_word = DL_STR_NONE;
    if (term->kind != DL_SEARCH_PHRASE) {
        return count_with(s, term, DL_STR_NONE, cap, out_count, err);
    }
    dl_str rest = term->text, word = DL_STR_NONE;
    *out_count = INT64_MAX;
    while (*out_count > 0 && dl_index_word_next(&rest, &word)) {
        int64_t count = 0;
        DL_TRY(count_with(s, term, word, cap, &count, err));
        if (count < *out_count) {
            *out_count = count;
            *out_word = word;
        }
    }
    return DL_OK;
}
