#include "index/internal.h"

#include <stdio.h>
#include <string.h>

typedef dl_status report_fn(void *context, dl_str problem, dl_error *err);

enum { PROBLEMS_OF_A_KIND = 20, PROBLEM_SIZE = 256 };

typedef struct checker {
    dl_index_conn *conn;
    dl_arena *arena; /* of one study */
    report_fn *report;
    void *context;
} checker;

DL_PRINTF(3, 4)
static dl_status problem(const checker *c, dl_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char words[PROBLEM_SIZE];
    int len = vsnprintf(words, sizeof words, format, args);
    va_end(args);
    size_t used = len < 0 ? 0 : (size_t)len < sizeof words ? (size_t)len : sizeof words - 1;
    return c->report(c->context, (dl_str){words, used}, err);
}

/* ---- what SQL can see: each statement gives the numbers of rows that break the sentence ---- */

typedef struct rule {
    const char *sentence; /* %lld is the number */
    const char *sql;
} rule;

static const rule rules[] = {
    /* clang-format off */
    {"change row %lld: the one after it is missing",
     "SELECT sequence FROM change a WHERE sequence<(SELECT max(sequence) FROM change)"
     " AND NOT EXISTS(SELECT 1 FROM change b WHERE b.sequence=a.sequence+1)"},
    {"change row %lld: the first row is not number 1",
     "SELECT min(sequence) FROM change HAVING min(sequence)<>1"},
    {"change row %lld: the one after it is older",
     "SELECT a.sequence FROM change a CROSS JOIN change b ON b.sequence=a.sequence+1"
     " WHERE b.timestamp_us<a.timestamp_us"},
    {"change row %lld: its instance is missing",
     "SELECT sequence FROM change c WHERE NOT EXISTS(SELECT 1 FROM instance WHERE id=c.instance)"},
    {"change row %lld: its action is unknown",
     "SELECT sequence FROM change WHERE action NOT IN(1, 2, 3)"},
    {"change row %lld: what it changes was not there",
     "SELECT sequence FROM (SELECT sequence, action, coalesce(lag(action)"
     " OVER(PARTITION BY instance ORDER BY sequence), 3) AS before FROM change)"
     " WHERE action<>1 AND before=3"},
    {"instance %lld: not exactly one change row speaks of its current version",
     "SELECT i.id FROM instance i LEFT JOIN (SELECT c.instance AS instance, count(*) AS n"
     " FROM change c CROSS JOIN instance x ON x.id=c.instance AND x.watermark=c.watermark"
     " WHERE c.action<>3 GROUP BY c.instance) g ON g.instance=i.id"
     " WHERE i.watermark IS NOT NULL AND g.n IS NOT 1"},
    {"instance %lld: its last change row contradicts its state",
     "SELECT i.id FROM instance i JOIN (SELECT instance, max(sequence) AS last FROM change"
     " GROUP BY instance) g ON g.instance=i.id CROSS JOIN change c ON c.sequence=g.last"
     " WHERE (c.action=3)<>(i.watermark IS NULL)"},
    {"instance %lld: its current version is missing or belongs to another",
     "SELECT i.id FROM instance i LEFT JOIN version v ON v.watermark=i.watermark"
     " WHERE i.watermark IS NOT NULL"
     " AND (v.instance IS NOT i.id OR v.partition IS NOT i.partition)"},
    {"version %lld: it is not the current one of its instance",
     "SELECT v.watermark FROM version v LEFT JOIN instance i ON i.id=v.instance"
     " WHERE v.instance IS NOT NULL AND i.watermark IS NOT v.watermark"},
    {"version %lld: neither current nor in the cleanup queue, or both",
     "SELECT watermark FROM version WHERE (instance IS NULL)<>(not_before_us IS NOT NULL)"},
    {"version %lld: its transfer syntax is missing",
     "SELECT watermark FROM version v WHERE NOT EXISTS(SELECT 1 FROM syntax WHERE id=v.syntax)"},
    {"version %lld: its watermark is beyond the numbers given",
     "SELECT watermark FROM version WHERE watermark>=coalesce((SELECT value FROM counter"
     " WHERE name='watermark'), 0)"},
    {"change row %lld: its watermark is beyond the numbers given",
     "SELECT sequence FROM change WHERE watermark>=coalesce((SELECT value FROM counter"
     " WHERE name='watermark'), 0)"},
    {"instance %lld: its series is missing or in another partition",
     "SELECT i.id FROM instance i LEFT JOIN series s ON s.id=i.series"
     " WHERE s.partition IS NOT i.partition"},
    {"series %lld: its study is missing or in another partition",
     "SELECT s.id FROM series s LEFT JOIN study t ON t.id=s.study"
     " WHERE t.partition IS NOT s.partition"},
    {"study %lld: its partition is missing",
     "SELECT id FROM study t WHERE NOT EXISTS(SELECT 1 FROM partition WHERE key=t.partition)"},
    {"series %lld: its count of instances is wrong",
     "SELECT s.id FROM series s WHERE s.instance_count<>(SELECT count(*) FROM instance i"
     " WHERE i.series=s.id AND i.watermark IS NOT NULL)"},
    {"study %lld: its count of series is wrong",
     "SELECT t.id FROM study t WHERE t.series_count<>(SELECT count(*) FROM series s"
     " WHERE s.study=t.id AND s.created IS NOT NULL)"},
    {"series %lld: visible without instances, or the other way round",
     "SELECT id FROM series WHERE (instance_count>0)<>(created IS NOT NULL)"},
    {"study %lld: visible without series, or the other way round",
     "SELECT id FROM study WHERE (series_count>0)<>(created IS NOT NULL)"},
    /* Not the lowest: numbers are given before the commits, which may come in another order. */
    {"series %lld: it begins with what was never stored in it",
     "SELECT id FROM series WHERE created IS NOT NULL EXCEPT SELECT s.id FROM change c"
     " CROSS JOIN instance i ON i.id=c.instance"
     " CROSS JOIN series s ON s.id=i.series AND s.created=c.watermark WHERE c.action<>3"},
    {"study %lld: it begins with what was never stored in it",
     "SELECT id FROM study WHERE created IS NOT NULL EXCEPT SELECT t.id FROM change c"
     " CROSS JOIN instance i ON i.id=c.instance CROSS JOIN series s ON s.id=i.series"
     " CROSS JOIN study t ON t.id=s.study AND t.created=c.watermark WHERE c.action<>3"},
    {"study %lld: attributes without instances, or the other way round",
     "SELECT t.id FROM study t WHERE (t.created IS NOT NULL)"
     "<>EXISTS(SELECT 1 FROM study_text x WHERE x.study=t.id)"},
    {"series %lld: attributes without instances, or the other way round",
     "SELECT s.id FROM series s WHERE (s.created IS NOT NULL)"
     "<>EXISTS(SELECT 1 FROM series_text x WHERE x.series=s.id)"},
    {"study %lld: attributes of a study that is not there",
     "SELECT study FROM study_text WHERE study NOT IN(SELECT id FROM study)"},
    {"series %lld: attributes of a series that is not there",
     "SELECT series FROM series_text WHERE series NOT IN(SELECT id FROM series)"},
    {"study %lld: patient data without instances",
     "SELECT id FROM study WHERE created IS NULL AND coalesce(study_date, accession, referring,"
     " description, patient_name, patient_id, birth_date, expires_us) IS NOT NULL"},
    {"series %lld: attributes without instances",
     "SELECT id FROM series WHERE created IS NULL"
     " AND coalesce(modality, model, start_date, base) IS NOT NULL"},
    {"study %lld: words of names that are not its own",
     "SELECT w.study FROM study_word w LEFT JOIN study t ON t.id=w.study"
     " WHERE t.created IS NOT w.created OR t.partition<>w.partition"},
    {"study %lld: a modality is listed that no series has",
     "SELECT m.study FROM study_modality m LEFT JOIN study t ON t.id=m.study"
     " WHERE t.created IS NOT m.created OR t.partition IS NOT m.partition OR NOT EXISTS("
     "SELECT 1 FROM series s WHERE s.study=m.study AND s.created IS NOT NULL"
     " AND s.modality=m.modality)"},
    {"study %lld: a modality is listed under another date",
     "SELECT m.study FROM study_modality m CROSS JOIN study t ON t.id=m.study"
     " WHERE m.date IS NOT t.study_date"},
    {"series %lld: its modality is not listed for its study",
     "SELECT s.id FROM series s CROSS JOIN study t ON t.id=s.study WHERE s.modality IS NOT NULL"
     " AND instr(s.modality, '\\')=0 AND NOT EXISTS(SELECT 1 FROM study_modality m"
     " WHERE m.partition=s.partition AND m.modality=s.modality AND m.created=t.created)"},
    {"study %lld: its list of modalities is wrong",
     "SELECT x.study FROM study_text x WHERE x.modalities<>coalesce((SELECT"
     " group_concat(modality||'\\', '') FROM (SELECT DISTINCT modality FROM series"
     " WHERE study=x.study AND created IS NOT NULL AND instr(modality, '\\')=0 ORDER BY 1)), '')"},
    {"metadata base %lld: its count of users is wrong",
     "SELECT b.id FROM metadata_base b LEFT JOIN (SELECT base, count(*) AS n FROM version"
     " GROUP BY base) v ON v.base=b.id WHERE b.users IS NOT v.n"},
    {"version %lld: its metadata base is missing",
     "SELECT watermark FROM version WHERE base>0 AND base NOT IN(SELECT id FROM metadata_base)"},
    {"series %lld: its metadata base is missing",
     "SELECT id FROM series WHERE base IS NOT NULL AND base NOT IN(SELECT id FROM metadata_base)"},
    {"block %lld: the tally of studies is wrong",
     "SELECT block FROM (SELECT partition, kind, block, count FROM tally WHERE kind IN(0, 1)"
     " UNION ALL SELECT partition, 0, created>>8, -1 FROM study WHERE created IS NOT NULL"
     " UNION ALL SELECT partition, 1, created>>16, -1 FROM study WHERE created IS NOT NULL)"
     " GROUP BY partition, kind, block HAVING sum(count)<>0"},
    {"block %lld: the tally of series is wrong",
     "SELECT block FROM (SELECT partition, kind, block, count FROM tally WHERE kind IN(2, 3)"
     " UNION ALL SELECT partition, 2, created>>8, -1 FROM series WHERE created IS NOT NULL"
     " UNION ALL SELECT partition, 3, created>>16, -1 FROM series WHERE created IS NOT NULL)"
     " GROUP BY partition, kind, block HAVING sum(count)<>0"},
    {"block %lld: the tally of instances is wrong",
     "SELECT block FROM (SELECT partition, kind, block, count FROM tally WHERE kind IN(4, 5)"
     " UNION ALL SELECT partition, 4, watermark>>8, -1 FROM instance WHERE watermark IS NOT NULL"
     " UNION ALL SELECT partition, 5, watermark>>16, -1 FROM instance WHERE watermark IS NOT NULL)"
     " GROUP BY partition, kind, block HAVING sum(count)<>0"},
    /* clang-format on */
};

static dl_status apply_rule(const checker *c, const rule *r, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db, r->sql, &q, err));
    dl_status status = DL_OK;
    for (int i = 0; status == DL_OK && i < PROBLEMS_OF_A_KIND && dl_db_step(q); i++) {
        const char *mark = strstr(r->sentence, "%lld");
        DL_ASSERT(mark != NULL);
        status = problem(c, err, "%.*s%lld%s", (int)(mark - r->sentence), r->sentence,
                         (long long)dl_db_int(q, 0), mark + 4);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status check_database(const checker *c, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db, "PRAGMA integrity_check(20)", &q, err));
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_str line = dl_db_str(q, 0);
        if (!dl_str_eq(line, DL_STR("ok"))) {
            status = problem(c, err, "database: %.*s", DL_STR_ARG(line));
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

/* ---- what only the metadata can tell: attributes, and the columns made of them ---- */

typedef struct best {
    dl_str element;
    int64_t origin;
} best;

static dl_status take_better(checker *c, best *list, int count, const dl_str *elements,
                             int64_t watermark, dl_error *err)
{
    for (int i = 0; i < count; i++) {
        if (elements[i].ptr == NULL || watermark < list[i].origin) {
            continue;
        }
        list[i].origin = watermark;
        if (!dl_str_eq(list[i].element, elements[i])) {
            DL_TRY(dl_arena_copy(c->arena, elements[i], &list[i].element, err));
        }
    }
    return DL_OK;
}

/** A study or series, and what its row has to hold. */
typedef struct entity {
    dl_index_level level;
    int64_t id;
    const best *wanted; /* by column */
} entity;

/** In `row` the attributes are at `first`, the columns follow. */
static dl_status compare_columns(checker *c, const entity *e, const dl_db_stmt *row, int first,
                                 dl_error *err)
{
    const char *noun = e->level == DL_INDEX_STUDY ? "study" : "series";
    dl_index_elements_found found;
    dl_index_elements(dl_db_str(row, first), &found);
    const dl_str *stored = e->level == DL_INDEX_STUDY ? found.study : found.series;
    for (int i = 0; i < dl_index_column_count(e->level); i++) {
        const dl_index_attribute *a = dl_index_column_attribute(e->level, i);
        const best *wanted = &e->wanted[i];
        int column = first + 1 + i;
        dl_str text = {"", 0}, folded = {"", 0};
        int64_t date = 0;
        bool there = wanted->element.ptr != NULL;
        if (there != (stored[i].ptr != NULL) || !dl_str_eq(stored[i], wanted->element)) {
            DL_TRY(problem(c, err, "%s %lld: attribute %08x is not the latest", noun,
                           (long long)e->id, (unsigned)a->tag));
            continue;
        }
        if (there) {
            DL_TRY(dl_index_element_text(wanted->element, c->arena, &text, err));
            DL_TRY(dl_index_fold(text, a->vr == DL_VR('P', 'N'), c->arena, &folded, err));
        }
        bool is_date = a->vr == DL_VR('D', 'A');
        bool indexed = there && (!is_date || dl_index_date_parse(folded, &date));
        bool same = indexed != dl_db_is_null(row, column) &&
                    (!indexed || (is_date ? dl_db_int(row, column) == date
                                          : dl_str_eq(dl_db_str(row, column), folded)));
        if (!same) {
            DL_TRY(problem(c, err, "%s %lld: column of attribute %08x is wrong", noun,
                           (long long)e->id, (unsigned)a->tag));
        }
    }
    return DL_OK;
}

static dl_status check_series_values(checker *c, int64_t series, best *study_best, dl_error *err)
{
    best series_best[DL_INDEX_SERIES_COLUMNS] = {0};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_INDEX_METADATA_LIMIT_BYTES);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db,
                       "SELECT i.watermark, v.base, v.metadata FROM instance i"
                       " CROSS JOIN version v ON v.watermark=i.watermark"
                       " WHERE i.series=?1 AND i.watermark IS NOT NULL ORDER BY i.watermark",
                       &q, err));
    dl_db_bind_int(q, 1, series);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        int64_t watermark = dl_db_int(q, 0);
        dl_buf_reset(&text);
        if (dl_index_unpack(c->conn, dl_db_bytes(q, 2), dl_db_int(q, 1), &text, NULL) != DL_OK) {
            status =
                problem(c, err, "version %lld: its metadata cannot be read", (long long)watermark);
            continue;
        }
        dl_index_elements_found found;
        dl_index_elements(dl_buf_str(&text), &found);
        status = take_better(c, study_best, DL_INDEX_STUDY_COLUMNS, found.study, watermark, err);
        if (status == DL_OK) {
            status =
                take_better(c, series_best, DL_INDEX_SERIES_COLUMNS, found.series, watermark, err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    DL_TRY(dl_db_query(c->conn->db,
                       "SELECT t.attributes, s.modality, s.model, s.start_date FROM series s"
                       " CROSS JOIN series_text t ON t.series=s.id WHERE s.id=?1",
                       &q, err));
    dl_db_bind_int(q, 1, series);
    if (dl_db_step(q)) {
        const entity e = {DL_INDEX_SERIES, series, series_best};
        status = compare_columns(c, &e, q, 0, err);
    }
    finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status has_word(checker *c, const int64_t key[3], dl_str word, bool *out_there,
                          dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db,
                       "SELECT 1 FROM study_word w CROSS JOIN study t ON t.id=w.study"
                       " AND t.created=w.created WHERE w.partition=?1 AND w.attribute=?2"
                       " AND w.word=?3 AND t.id=?4",
                       &q, err));
    dl_db_bind_int(q, 1, key[0]);
    dl_db_bind_int(q, 2, key[1]);
    dl_db_bind_str(q, 3, word);
    dl_db_bind_int(q, 4, key[2]);
    *out_there = dl_db_step(q);
    return dl_db_finish(q, err);
}

static dl_status check_words(checker *c, int64_t partition, int64_t study, int column, dl_str name,
                             dl_error *err)
{
    const int64_t key[3] = {partition, column, study};
    dl_str word = DL_STR_NONE;
    while (dl_index_word_next(&name, &word)) {
        bool there = false;
        DL_TRY(has_word(c, key, word, &there, err));
        if (!there) {
            DL_TRY(problem(c, err, "study %lld: a word of name %d is not listed", (long long)study,
                           column));
        }
    }
    return DL_OK;
}

static dl_status check_study_row(checker *c, int64_t study, const best *wanted, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db,
                       "SELECT s.partition, t.attributes, s.study_date, s.accession, s.referring,"
                       " s.description, s.patient_name, s.patient_id, s.birth_date FROM study s"
                       " CROSS JOIN study_text t ON t.study=s.id WHERE s.id=?1",
                       &q, err));
    dl_db_bind_int(q, 1, study);
    dl_status status = DL_OK;
    if (dl_db_step(q)) {
        const entity e = {DL_INDEX_STUDY, study, wanted};
        status = compare_columns(c, &e, q, 1, err);
        static const int names[] = {DL_INDEX_PATIENT_NAME, DL_INDEX_REFERRING};
        for (size_t i = 0; status == DL_OK && i < DL_COUNT_OF(names); i++) {
            status =
                check_words(c, dl_db_int(q, 0), study, names[i], dl_db_str(q, 2 + names[i]), err);
        }
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

static dl_status check_study_values(checker *c, int64_t study, dl_error *err)
{
    best study_best[DL_INDEX_STUDY_COLUMNS] = {0};
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db, "SELECT id FROM series WHERE study=?1 AND created IS NOT NULL",
                       &q, err));
    dl_db_bind_int(q, 1, study);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = check_series_values(c, dl_db_int(q, 0), study_best, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    return check_study_row(c, study, study_best, err);
}

static dl_status check_values(checker *c, dl_error *err)
{
    enum { STUDY_ARENA_BYTES = 256 * 1024 * 1024 };
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(c->conn->db, "SELECT id FROM study WHERE created IS NOT NULL", &q, err));
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        DL_AUTO(dl_arena) arena = dl_arena_create(STUDY_ARENA_BYTES);
        c->arena = arena;
        status = arena != NULL ? check_study_values(c, dl_db_int(q, 0), err)
                               : dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}

dl_status dl_index_check(dl_index_snapshot *s,
                         dl_status (*report)(void *context, dl_str problem, dl_error *err),
                         void *context, dl_error *err)
{
    checker c = {.conn = s->conn, .report = report, .context = context};
    DL_TRY(check_database(&c, err));
    for (size_t i = 0; i < DL_COUNT_OF(rules); i++) {
        DL_TRY(apply_rule(&c, &rules[i], err));
    }
    return check_values(&c, err);
}

/* ---- files ---- */

static dl_str uid_text(const dl_db_stmt *q, int column, char out[DL_INDEX_UID_LIMIT + 1])
{
    return (dl_str){out, dl_index_uid_text(dl_db_bytes(q, column), out)};
}

dl_status dl_index_each_file(dl_index_snapshot *s, int64_t after,
                             dl_status (*visit)(void *context, const dl_index_stored_file *file,
                                                dl_error *err),
                             void *context, dl_error *err)
{
    char study[DL_INDEX_UID_LIMIT + 1], series[DL_INDEX_UID_LIMIT + 1], sop[DL_INDEX_UID_LIMIT + 1];
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT v.watermark, v.partition, v.size_bytes, v.tag, v.hash,"
                       " v.instance IS NOT NULL, t.uid, e.uid, i.uid, p.name FROM version v"
                       " LEFT JOIN partition p ON p.key=v.partition"
                       " LEFT JOIN instance i ON i.id=v.instance"
                       " LEFT JOIN series e ON e.id=i.series LEFT JOIN study t ON t.id=e.study"
                       " WHERE v.watermark>?1 ORDER BY v.watermark",
                       &q, err));
    dl_db_bind_int(q, 1, after);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_index_stored_file file = {
            .watermark = dl_db_int(q, 0),
            .partition = dl_db_int(q, 1),
            .partition_name = dl_db_str(q, 9), /* perhaps newer than a reader's list of them */
            .size_bytes = (uint64_t)dl_db_int(q, 2),
            .tag = dl_db_int(q, 3),
            .current = dl_db_int(q, 5) != 0,
            .study_uid = uid_text(q, 6, study),
            .series_uid = uid_text(q, 7, series),
            .sop_uid = uid_text(q, 8, sop),
        };
        dl_bytes hash = dl_db_bytes(q, 4);
        if (hash.len == DL_INDEX_HASH_BYTES) {
            memcpy(file.hash, hash.ptr, hash.len);
        }
        status = visit(context, &file, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}
