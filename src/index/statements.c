#include "index/search.h"

typedef struct column_sql {
    const char *count_equal, *list_equal, *listed_equal, *ordered_equal, *count_range, *list_range;
} column_sql;

#define COUNT(table, column, test)                                                                 \
    "SELECT count(*) FROM (SELECT 1 FROM " table " INDEXED BY " table "_by_" column                \
    " WHERE partition=?1 AND " column " " test " LIMIT ?4)"
#define LIST(table, column, test)                                                                  \
    "SELECT id, created FROM " table " INDEXED BY " table "_by_" column                            \
    " WHERE partition=?1 AND " column " " test
/* Of the index alone: no row of the table is read. */
#define LISTED(table, column)                                                                      \
    "SELECT id, created FROM " table " INDEXED BY " table "_by_" column                            \
    " WHERE partition=?1 AND " column "=?2 ORDER BY created DESC LIMIT -1 OFFSET ?3"
#define ORDERED(table, column, parent, columns)                                                    \
    "SELECT id, created, " parent ", " columns " FROM " table " INDEXED BY " table "_by_" column   \
    " WHERE partition=?1 AND " column "=?2 ORDER BY created DESC"
#define SQL(table, column, parent, columns)                                                        \
    {                                                                                              \
        COUNT(table, column, "=?2"), LIST(table, column, "=?2"), LISTED(table, column),            \
            ORDERED(table, column, parent, columns), COUNT(table, column, "BETWEEN ?2 AND ?3"),    \
            LIST(table, column, "BETWEEN ?2 AND ?3")                                               \
    }
#define STUDY(column) SQL("study", column, "0", DL_SEARCH_STUDY_COLUMNS)
#define SERIES(column) SQL("series", column, "study", DL_SEARCH_SERIES_COLUMNS)

static const column_sql study_sql[DL_INDEX_STUDY_COLUMNS] = {
    [DL_INDEX_STUDY_DATE] = STUDY("study_date"),     [DL_INDEX_ACCESSION] = STUDY("accession"),
    [DL_INDEX_REFERRING] = STUDY("referring"),       [DL_INDEX_DESCRIPTION] = STUDY("description"),
    [DL_INDEX_PATIENT_NAME] = STUDY("patient_name"), [DL_INDEX_PATIENT_ID] = STUDY("patient_id"),
    [DL_INDEX_BIRTH_DATE] = STUDY("birth_date"),
};
static const column_sql series_sql[DL_INDEX_SERIES_COLUMNS] = {
    [DL_INDEX_MODALITY] = SERIES("modality"),
    [DL_INDEX_MODEL] = SERIES("model"),
    [DL_INDEX_START_DATE] = SERIES("start_date"),
};

static const char modality_count[] =
    "SELECT count(*) FROM (SELECT 1 FROM study_modality WHERE partition=?1 AND modality=?2"
    " LIMIT ?4)";
static const char modality_list[] =
    "SELECT study, created FROM study_modality WHERE partition=?1 AND modality=?2";
static const char modality_listed[] =
    "SELECT study, created FROM study_modality WHERE partition=?1 AND modality=?2"
    " ORDER BY created DESC LIMIT -1 OFFSET ?3";
static const char modality_ordered[] =
    "SELECT s.id, s.created, 0, " DL_SEARCH_STUDY_COLUMNS
    " FROM study_modality m CROSS JOIN study s ON s.id=m.study"
    " WHERE m.partition=?1 AND m.modality=?2 ORDER BY m.created DESC";
static const char dated_count[] =
    "SELECT count(*) FROM (SELECT 1 FROM study_modality INDEXED BY study_modality_by_date"
    " WHERE partition=?1 AND modality=?2 AND date BETWEEN ?3 AND ?5 LIMIT ?4)";
static const char dated_list[] =
    "SELECT study, created FROM study_modality INDEXED BY study_modality_by_date"
    " WHERE partition=?1 AND modality=?2 AND date BETWEEN ?3 AND ?5";
static const char phrase_count[] =
    "SELECT count(*) FROM (SELECT 1 FROM study_word WHERE partition=?1 AND attribute=?5"
    " AND word>=?2 AND word<?3 LIMIT ?4)";
static const char phrase_list[] = "SELECT study, created FROM study_word WHERE partition=?1 AND "
                                  "attribute=?5 AND word>=?2 AND word<?3";

static const column_sql *sql_of(const dl_search_term *term)
{
    return term->level == DL_INDEX_STUDY ? &study_sql[term->column] : &series_sql[term->column];
}

const char *dl_search_sql_count(const dl_search_term *term)
{
    switch (term->kind) {
    case DL_SEARCH_TEXT:
        return sql_of(term)->count_equal;
    case DL_SEARCH_DATE:
        return sql_of(term)->count_range;
    case DL_SEARCH_PHRASE:
        return phrase_count;
    case DL_SEARCH_MODALITIES:
        return term->dated ? dated_count : modality_count;
    case DL_SEARCH_UID:
        break;
    }
    return NULL;
}

const char *dl_search_sql_list(const dl_search_term *term)
{
    switch (term->kind) {
    case DL_SEARCH_TEXT:
        return sql_of(term)->list_equal;
    case DL_SEARCH_DATE:
        return sql_of(term)->list_range;
    case DL_SEARCH_PHRASE:
        return phrase_list;
    case DL_SEARCH_MODALITIES:
        return term->dated ? dated_list : modality_list;
    case DL_SEARCH_UID:
        break;
    }
    return NULL;
}

static bool is_one_value(const dl_search_term *term)
{
    return term->kind == DL_SEARCH_TEXT || (term->kind == DL_SEARCH_DATE && term->from == term->to);
}

const char *dl_search_sql_ordered(const dl_search_term *term)
{
    if (term->kind == DL_SEARCH_MODALITIES) {
        return modality_ordered;
    }
    return is_one_value(term) ? sql_of(term)->ordered_equal : NULL;
}

const char *dl_search_sql_listed(const dl_search_term *term)
{
    if (term->kind == DL_SEARCH_MODALITIES) {
        return modality_listed;
    }
    return is_one_value(term) ? sql_of(term)->listed_equal : NULL;
}
