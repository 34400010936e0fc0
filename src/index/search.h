/**
 * What the files of the search share: the query in a form that can be compared with rows, and the
 * rows found so far.
 *
 * A search either *gathers* (few rows can match: they are listed through the most selective index,
 * checked, and the newest of them taken) or *scans* (many can: rows are read in the order of the
 * answer, checked, and the reading stops when the page is full). search.c decides by capped counts:
 * gathering is cheaper up to about sqrt(page * rows) matches.
 */
#ifndef DL_INDEX_SEARCH_H
#define DL_INDEX_SEARCH_H

#include "index/internal.h"

enum {
    DL_SEARCH_TERM_LIMIT = 32,
    DL_SEARCH_START_CHARACTERS = 2, /* of the index study_word_start */
    DL_SEARCH_CACHE_SLOTS = 512,    /* verdicts on parents that are kept; a power of two */
};

typedef enum dl_search_kind {
    DL_SEARCH_UID,        /* of the attribute's level */
    DL_SEARCH_TEXT,       /* a column equals */
    DL_SEARCH_DATE,       /* a column lies between */
    DL_SEARCH_PHRASE,     /* a name holds the words */
    DL_SEARCH_MODALITIES, /* a series of the study has it; dated: and the study's date lies between
                           */
} dl_search_kind;

typedef struct dl_search_term {
    dl_search_kind kind;
    dl_index_level level;
    int column;
    dl_str text; /* folded */
    int64_t from, to;
    bool dated;
    dl_index_uid uid;
} dl_search_term;

typedef struct dl_search_key {
    int64_t place; /* created or watermark */
    int64_t id, series;
    int64_t study; /* 0: not known yet */
} dl_search_key;

typedef struct dl_search_verdict {
    int64_t id;
    int64_t parent; /* study of a series */
    int64_t place;
    bool accepted;
} dl_search_verdict;

typedef struct dl_search {
    dl_index_conn *conn;
    const dl_index_query *query;
    dl_arena *arena;
    size_t need; /* offset + limit */
    dl_search_term terms[DL_SEARCH_TERM_LIMIT];
    size_t term_count;
    const dl_index_uid *uids[3]; /* asked for, by level; NULL: any */
    bool nothing;                /* the terms contradict each other or the rules */
    int64_t budget;              /* rows that may be read; 0: any number */
    bool gave_up;                /* as many were read and the page is not full */
    dl_search_key *keys;
    size_t key_count, key_cap;
    /* DL_SEARCH_CACHE_SLOTS each; NULL until a parent is judged */
    dl_search_verdict *studies, *series;
} dl_search;

/** Columns in the order of the enumerations of internal.h. */
#define DL_SEARCH_STUDY_COLUMNS                                                                    \
    "study_date, accession, referring, description, patient_name, patient_id, birth_date"
#define DL_SEARCH_SERIES_COLUMNS "modality, model, start_date"

/* match.c: rows against terms */
DL_NODISCARD dl_status dl_search_compile(dl_search *s, dl_error *err);
bool dl_search_has_terms(const dl_search *s, dl_index_level level);
/** Whether the row's columns from `first` on match the terms of the level that have a column. */
bool dl_search_columns_match(const dl_search *s, dl_index_level level, const dl_db_stmt *row,
                             int first);
DL_NODISCARD dl_status dl_search_modalities_match(dl_search *s, int64_t created, bool *out_match,
                                                  dl_error *err);
/** Whether a live study, or series with its study, of the partition matches all terms. */
DL_NODISCARD dl_status dl_search_accept_study(dl_search *s, int64_t study,
                                              const dl_search_verdict **out_verdict, dl_error *err);
DL_NODISCARD dl_status dl_search_accept_series(dl_search *s, int64_t series,
                                               const dl_search_verdict **out_verdict,
                                               dl_error *err);
DL_NODISCARD dl_status dl_search_push(dl_search *s, dl_search_key key, dl_error *err);

/* gather.c */
DL_NODISCARD dl_status dl_search_gather_uids(dl_search *s, dl_error *err);
/** Whether the rows of the term's index are the answer, so that none has to be looked at. */
bool dl_search_is_exact(const dl_search *s, const dl_search_term *term);
/** Whether the term's index in order is the answer. */
bool dl_search_is_ordered_exact(const dl_search *s, const dl_search_term *term);
/** List what matches one term, `word` of it for a phrase; gives up as a scan does. */
DL_NODISCARD dl_status dl_search_gather_term(dl_search *s, const dl_search_term *term, dl_str word,
                                             dl_error *err);
/** Whether the query asks for names by the beginning of a word alone, and by so many characters of
 * it that an index lists such words in order. */
bool dl_search_is_start(const dl_search *s, dl_str *out_word);
/** How many rows match the term, at most `cap`; for a phrase through its rarest word. */
DL_NODISCARD dl_status dl_search_count_term(dl_search *s, const dl_search_term *term, int64_t cap,
                                            int64_t *out_count, dl_str *out_word, dl_error *err);

/* hit.c */
/** What the keys stand for, in the search's arena. */
DL_NODISCARD dl_status dl_search_fill(dl_search *s, dl_index_hit **out_hits, size_t *out_count,
                                      dl_error *err);

/* scan.c */
/** In order through `term`'s index, or with NULL through all; keys come out cut to the page. When
 * s->budget is spent before the page is full, s->gave_up is set and there are no keys. */
DL_NODISCARD dl_status dl_search_scan(dl_search *s, const dl_search_term *term, dl_error *err);

/** In order through all names that share the first characters of `word` (dl_search_is_start). */
DL_NODISCARD dl_status dl_search_scan_start(dl_search *s, dl_str word, dl_error *err);

/* statements.c: one literal for each column */
const char *dl_search_sql_count(const dl_search_term *term);
const char *dl_search_sql_list(const dl_search_term *term);
/** NULL when no index gives rows of this term in order. */
const char *dl_search_sql_ordered(const dl_search_term *term);
/** The same rows, but id and place only: for a term that needs no row looked at. */
const char *dl_search_sql_listed(const dl_search_term *term);

#endif
