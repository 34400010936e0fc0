#include "index/search.h"

typedef struct progress {
    size_t passed; /* rows that match and lie before the page */
    size_t offset; /* of the page in what this scan reads */
} progress;

/** Columns of every scan: id, place, parent, and the folded ones from here on. */
enum { FIRST_COLUMN = 3 };

static dl_status ask_study(dl_search *s, int64_t study, bool *out_match, dl_error *err)
{
    const dl_search_verdict *v = NULL;
    DL_TRY(dl_search_accept_study(s, study, &v, err));
    *out_match = v->accepted;
    return DL_OK;
}

static dl_status ask_series(dl_search *s, int64_t series, int64_t *out_study, bool *out_match,
                            dl_error *err)
{
    const dl_search_verdict *v = NULL;
    DL_TRY(dl_search_accept_series(s, series, &v, err));
    *out_study = v->parent;
    *out_match = v->accepted;
    return DL_OK;
}

static dl_status judge(dl_search *s, const dl_db_stmt *row, dl_search_key *key, bool *out_match,
                       dl_error *err)
{
    int64_t parent = dl_db_int(row, 2);
    *key = (dl_search_key){.id = dl_db_int(row, 0), .place = dl_db_int(row, 1)};
    *out_match = true;
    switch (s->query->level) {
    case DL_INDEX_STUDY:
        key->study = key->id;
        if (!dl_search_columns_match(s, DL_INDEX_STUDY, row, FIRST_COLUMN)) {
            *out_match = false;
            return DL_OK;
        }
        return dl_search_modalities_match(s, key->place, out_match, err);
    case DL_INDEX_SERIES:
        key->series = key->id;
        key->study = parent;
        if (!dl_search_columns_match(s, DL_INDEX_SERIES, row, FIRST_COLUMN)) {
            *out_match = false;
            return DL_OK;
        }
        return dl_search_has_terms(s, DL_INDEX_STUDY) ? ask_study(s, parent, out_match, err)
                                                      : DL_OK;
    case DL_INDEX_INSTANCE:
        key->series = parent;
        return s->term_count > 0 ? ask_series(s, parent, &key->study, out_match, err) : DL_OK;
    }
    return DL_OK;
}

static dl_status read_page(dl_search *s, dl_db_stmt *q, progress *p, dl_error *err)
{
    int64_t left = s->budget > 0 ? s->budget : INT64_MAX;
    s->gave_up = false;
    while (s->key_count < s->query->limit && dl_db_step(q)) {
        if (left-- == 0) {
            s->gave_up = true;
            s->key_count = 0;
            return DL_OK;
        }
        dl_search_key key;
        bool match = false;
        DL_TRY(judge(s, q, &key, &match, err));
        if (match && p->passed < p->offset) {
            p->passed++;
        } else if (match) {
            DL_TRY(dl_search_push(s, key, err));
        }
    }
    return DL_OK;
}

/* Rows that all match: nothing but their keys is read, and those from an index alone. */
static dl_status list_page(dl_search *s, dl_db_stmt *q, dl_error *err)
{
    while (s->key_count < s->query->limit && dl_db_step(q)) {
        dl_search_key key = {.id = dl_db_int(q, 0), .place = dl_db_int(q, 1)};
        switch (s->query->level) {
        case DL_INDEX_STUDY:
            key.study = key.id;
            break;
        case DL_INDEX_SERIES:
            key.series = key.id;
            break;
        case DL_INDEX_INSTANCE:
            key.series = dl_db_int(q, 2);
            break;
        }
        DL_TRY(dl_search_push(s, key, err));
    }
    return DL_OK;
}

static const char *newest_sql(dl_index_level level)
{
    switch (level) {
    case DL_INDEX_STUDY:
        return "SELECT id, created, 0, " DL_SEARCH_STUDY_COLUMNS
               " FROM study INDEXED BY study_newest WHERE partition=?1 AND created IS NOT NULL"
               " ORDER BY created DESC";
    case DL_INDEX_SERIES:
        return "SELECT id, created, study, " DL_SEARCH_SERIES_COLUMNS
               " FROM series INDEXED BY series_newest WHERE partition=?1 AND created IS NOT NULL"
               " ORDER BY created DESC";
    case DL_INDEX_INSTANCE:
        break;
    }
    return "SELECT id, watermark, series FROM instance INDEXED BY instance_newest"
           " WHERE partition=?1 AND watermark IS NOT NULL ORDER BY watermark DESC";
}

static const char *newest_page_sql(dl_index_level level)
{
    switch (level) {
    case DL_INDEX_STUDY:
        return "SELECT id, created FROM study INDEXED BY study_newest"
               " WHERE partition=?1 AND created IS NOT NULL AND created<=?2"
               " ORDER BY created DESC LIMIT -1 OFFSET ?3";
    case DL_INDEX_SERIES:
        return "SELECT id, created FROM series INDEXED BY series_newest"
               " WHERE partition=?1 AND created IS NOT NULL AND created<=?2"
               " ORDER BY created DESC LIMIT -1 OFFSET ?3";
    case DL_INDEX_INSTANCE:
        break;
    }
    return "SELECT id, watermark, series FROM instance INDEXED BY instance_newest"
           " WHERE partition=?1 AND watermark IS NOT NULL AND watermark<=?2"
           " ORDER BY watermark DESC LIMIT -1 OFFSET ?3";
}

static int64_t offset_of(const dl_search *s)
{
    return s->query->offset > INT64_MAX ? INT64_MAX : (int64_t)s->query->offset;
}

/** Every row counts: go straight to the page. */
static dl_status list_newest(dl_search *s, dl_error *err)
{
    dl_index_seat start = {.found = true, .place = INT64_MAX};
    if (s->query->offset > 0) {
        DL_TRY(dl_index_tally_seek(s->conn, s->query->partition, s->query->level, offset_of(s),
                                   &start, err));
    }
    if (!start.found) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, newest_page_sql(s->query->level), &q, err));
    dl_db_bind_int(q, 1, s->query->partition);
    dl_db_bind_int(q, 2, start.place);
    dl_db_bind_int(q, 3, start.skip);
    dl_status status = list_page(s, q, err);
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status scan_newest(dl_search *s, dl_error *err)
{
    progress p = {.offset = s->query->offset};
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, newest_sql(s->query->level), &q, err));
    dl_db_bind_int(q, 1, s->query->partition);
    dl_status status = read_page(s, q, &p, err);
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status scan_term(dl_search *s, const dl_search_term *term, dl_error *err)
{
    bool exact = dl_search_is_ordered_exact(s, term); /* every row of the index counts */
    progress p = {.offset = exact ? 0 : s->query->offset};
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       exact ? dl_search_sql_listed(term) : dl_search_sql_ordered(term), &q, err));
    dl_db_bind_int(q, 1, s->query->partition);
    if (term->kind == DL_SEARCH_DATE) {
        dl_db_bind_int(q, 2, term->from);
    } else {
        dl_db_bind_str(q, 2, term->text);
    }
    dl_status status = DL_OK;
    if (exact) {
        dl_db_bind_int(q, 3, offset_of(s));
        status = list_page(s, q, err);
    } else {
        status = read_page(s, q, &p, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status list_start(dl_search *s, dl_db_stmt *q, dl_str word, dl_error *err)
{
    int64_t left = s->budget > 0 ? s->budget : INT64_MAX, last = 0;
    size_t passed = 0;
    s->gave_up = false;
    while (s->key_count < s->query->limit && dl_db_step(q)) {
        dl_search_key key = {.id = dl_db_int(q, 0), .place = dl_db_int(q, 1)};
        key.study = key.id;
        if (left-- == 0) {
            s->gave_up = true;
            s->key_count = 0;
            return DL_OK;
        }
        if (key.place == last || !dl_str_starts(dl_db_str(q, 2), word)) {
            continue; /* another word of the same name, or another end */
        }
        last = key.place;
        if (passed < s->query->offset) {
            passed++;
        } else {
            DL_TRY(dl_search_push(s, key, err));
        }
    }
    return DL_OK;
}

dl_status dl_search_scan_start(dl_search *s, dl_str word, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT study, created, word FROM study_word INDEXED BY study_word_start"
                       " WHERE partition=?1 AND attribute=?2 AND substr(word,1,2)=substr(?3,1,2)"
                       " ORDER BY created DESC",
                       &q, err));
    dl_db_bind_int(q, 1, s->query->partition);
    dl_db_bind_int(q, 2, s->terms[0].column);
    dl_db_bind_str(q, 3, word);
    dl_status status = list_start(s, q, word, err);
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

dl_status dl_search_scan(dl_search *s, const dl_search_term *term, dl_error *err)
{
    if (term != NULL) {
        return scan_term(s, term, err);
    }
    return s->term_count == 0 ? list_newest(s, err) : scan_newest(s, err);
}
