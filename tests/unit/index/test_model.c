/**
 * The index against a plain model of it: random stores, replacements, deletes and clean-ups in
 * several partitions, then every kind of question asked of both. A failing seed is printed.
 */
#include "fixture.h"

enum {
    STUDIES = 24,
    SERIES = 3,
    INSTANCES = 4,
    PARTITIONS = 2,
    PLACES = PARTITIONS * STUDIES * SERIES * INSTANCES,
    STEPS = 900,
    VALUES = 6
};

/* Attribute values that an instance may have; "" leaves the element empty, NULL out. */
static const char *const names[VALUES] = {
    "Müller^José", "MULLER^JOSE", "Smith^John", "Smith^Johnny Bob", "", NULL};
static const char *const ids[VALUES] = {"P1", "p1", "P2", "P3 ", "", NULL};
static const char *const dates[VALUES] = {"20200101", "20200229", "20210315", "20200230", "", NULL};
static const char *const modality_values[VALUES] = {"CT", "MR", "ct", "US", "", NULL};
static const char *const models[VALUES] = {"A 1", "a 1", "B", "C", "", NULL};

typedef struct values {
    const char *name, *id, *date, *modality, *model;
} values;

typedef struct cell {
    int64_t watermark; /* 0: not stored */
    values v;
} cell;

typedef struct model {
    fixture f;
    uint64_t random;
    cell cells[PLACES];
    int64_t study_created[PARTITIONS * STUDIES], series_created[PARTITIONS * STUDIES * SERIES];
    int64_t changes;
} model;

static unsigned pick(model *m, unsigned limit)
{
    m->random = sample_mix(m->random);
    return (unsigned)(m->random % limit);
}

static void place_uids(unsigned place, char study[32], char series[32], char sop[32])
{
    unsigned n = place % (STUDIES * SERIES * INSTANCES);
    (void)snprintf(study, 32, "1.2.%u", n / (SERIES * INSTANCES));
    /* the same series UIDs occur in all studies, the same SOP UIDs in all series */
    (void)snprintf(series, 32, "1.3.%u", n / INSTANCES % SERIES);
    (void)snprintf(sop, 32, "1.4.%u", n % INSTANCES);
}

static void element(dl_buf *b, const char *tag, const char *vr, const char *text)
{
    dl_error err;
    if (text == NULL) {
        return;
    }
    const char *comma = b->len > 1 ? "," : "";
    if (text[0] == 0) {
        (void)!dl_buf_printf(b, &err, "%s\"%s\":{\"vr\":\"%s\"}", comma, tag, vr);
    } else if (strcmp(vr, "PN") == 0) {
        (void)!dl_buf_printf(b, &err,
                             "%s\"%s\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"%s\"}]}", comma,
                             tag, text);
    } else {
        (void)!dl_buf_printf(b, &err, "%s\"%s\":{\"vr\":\"%s\",\"Value\":[\"%s\"]}", comma, tag, vr,
                             text);
    }
}

static void render(dl_buf *b, const values *v)
{
    dl_buf_reset(b);
    (void)!dl_buf_append_char(b, '{', NULL);
    element(b, "00080020", "DA", v->date);
    element(b, "00080060", "CS", v->modality);
    element(b, "00081090", "LO", v->model);
    element(b, "00100010", "PN", v->name);
    element(b, "00100020", "LO", v->id);
    (void)!dl_buf_append_char(b, '}', NULL);
}

/* ---- steps ---- */

static void step_put(model *m, dl_index_tx *tx, int64_t watermark)
{
    fixture *f = &m->f;
    unsigned place = pick(m, PLACES);
    char study[32], series[32], sop[32];
    values v = {names[pick(m, VALUES)], ids[pick(m, VALUES)], dates[pick(m, VALUES)],
                modality_values[pick(m, VALUES)], models[pick(m, VALUES)]};
    dl_index_outcome outcome = DL_INDEX_STORED, want = DL_INDEX_STORED;
    place_uids(place, study, series, sop);
    render(&f->text, &v);
    dl_index_put put = {
        .partition = 1 + place / (STUDIES * SERIES * INSTANCES),
        .study_uid = dl_str_of(study),
        .series_uid = dl_str_of(series),
        .sop_uid = dl_str_of(sop),
        .watermark = watermark,
        .metadata = dl_buf_str(&f->text),
        .transfer_syntax = DL_STR("1.2.3"),
        .replace = pick(m, 3) == 0,
    };
    cell *c = &m->cells[place];
    if (c->watermark != 0) {
        want = put.replace ? DL_INDEX_REPLACED : DL_INDEX_EXISTS;
    }
    TAP_OK(dl_index_put_instance(tx, &put, &outcome, &f->err), f->err);
    TAP_EQ_INT(outcome, want);
    if (want == DL_INDEX_EXISTS) {
        return;
    }
    *c = (cell){watermark, v};
    m->changes++;
    int64_t *created = &m->study_created[place / (SERIES * INSTANCES)];
    *created = *created == 0 ? watermark : *created;
    created = &m->series_created[place / INSTANCES];
    *created = *created == 0 ? watermark : *created;
}

static int64_t count_in(const model *m, unsigned first, unsigned count)
{
    int64_t n = 0;
    for (unsigned i = first; i < first + count; i++) {
        n += m->cells[i].watermark != 0;
    }
    return n;
}

static void step_delete(model *m, dl_index_tx *tx)
{
    fixture *f = &m->f;
    unsigned place = pick(m, PLACES), level = pick(m, 5) == 0 ? 0 : 1 + pick(m, 2);
    unsigned size = level == 0 ? SERIES * INSTANCES : level == 1 ? INSTANCES : 1;
    unsigned first = place / size * size;
    char study[32], series[32], sop[32];
    place_uids(first, study, series, sop);
    dl_index_scope scope = {1 + place / (STUDIES * SERIES * INSTANCES), dl_str_of(study),
                            DL_STR_NONE, DL_STR_NONE, 0};
    if (level > 0) {
        scope.series_uid = dl_str_of(series);
    }
    if (level > 1) {
        scope.sop_uid = dl_str_of(sop);
    }
    int64_t want = count_in(m, first, size), got = 0;
    dl_status status = dl_index_delete(tx, &scope, 10, &got, &f->err);
    TAP_EQ_INT(status, want > 0 ? DL_OK : DL_E_NOT_FOUND);
    TAP_EQ_INT(got, want);
    for (unsigned i = first; i < first + size; i++) {
        m->cells[i].watermark = 0;
    }
    m->changes += want;
    for (unsigned i = 0; i < PARTITIONS * STUDIES; i++) {
        if (count_in(m, i * SERIES * INSTANCES, SERIES * INSTANCES) == 0) {
            m->study_created[i] = 0;
        }
    }
    for (unsigned i = 0; i < PARTITIONS * STUDIES * SERIES; i++) {
        if (count_in(m, i * INSTANCES, INSTANCES) == 0) {
            m->series_created[i] = 0;
        }
    }
}

static void step_clean(model *m)
{
    fixture *f = &m->f;
    dl_index_garbage *list = NULL;
    size_t count = 0;
    dl_index_tx *tx = NULL;
    TAP_OK(dl_index_garbage_due(f->index, &(dl_index_due){100, 1 + pick(m, 20)}, f->arena, &list,
                                &count, &f->err),
           f->err);
    TAP_OK(dl_index_begin(f->index, &tx, &f->err), f->err);
    for (size_t i = 0; i < count; i++) {
        TAP_OK(dl_index_garbage_done(tx, list[i].watermark, &f->err), f->err);
    }
    TAP_OK(dl_index_commit(tx, &f->err), f->err);
}

/** A few changes in one transaction; some are rolled back, and then the model forgets them too. */
static void step(model *m)
{
    static cell cells[PLACES];
    static int64_t studies[PARTITIONS * STUDIES], series[PARTITIONS * STUDIES * SERIES];
    fixture *f = &m->f;
    dl_index_tx *tx = NULL;
    unsigned puts = 1 + pick(m, 8);
    int64_t watermarks[8], changes = m->changes;
    for (unsigned i = 0; i < puts; i++) {
        watermarks[i] = fixture_watermark(f);
    }
    memcpy(cells, m->cells, sizeof cells);
    memcpy(studies, m->study_created, sizeof studies);
    memcpy(series, m->series_created, sizeof series);
    TAP_OK(dl_index_begin(f->index, &tx, &f->err), f->err);
    for (unsigned i = 0; i < puts; i++) { /* watermarks do not come in order */
        step_put(m, tx, watermarks[puts - 1 - i]);
        if (pick(m, 6) == 0) {
            step_delete(m, tx);
        }
    }
    if (pick(m, 10) == 0) {
        dl_index_rollback(tx);
        memcpy(m->cells, cells, sizeof cells);
        memcpy(m->study_created, studies, sizeof studies);
        memcpy(m->series_created, series, sizeof series);
        m->changes = changes;
        return;
    }
    TAP_OK(dl_index_commit(tx, &f->err), f->err);
}

/* ---- questions ---- */

typedef struct question {
    dl_index_query query;
    dl_index_filter filters[5];
    char study[32], series[32], texts[4][32];
} question;

static void add_filter(question *q, uint32_t tag, dl_index_match match, const char *value,
                       const char *to)
{
    q->filters[q->query.filter_count++] =
        (dl_index_filter){dl_index_attribute_find(tag), match, dl_str_of(value), dl_str_of(to)};
}

static void make_question(model *m, question *q)
{
    static const char *const words[] = {"mul", "smith jo", "jos", "john",    "ohn",
                                        "bob", "MÜL jo",   "s",   "johnny b"};
    static const char *const days[] = {"20200101", "20200229", "20200301", "20210315", "20301231"};
    *q = (question){.query = {.partition = 1 + pick(m, PARTITIONS), .limit = 1 + pick(m, 40)}};
    q->query.filters = q->filters;
    q->query.level = (dl_index_level)pick(m, 3);
    q->query.offset = pick(m, 3) == 0 ? pick(m, 60) : 0;
    if (q->query.level > 0 && pick(m, 3) == 0) {
        (void)snprintf(q->study, sizeof q->study, "1.2.%u", pick(m, STUDIES));
        q->query.study_uid = dl_str_of(q->study);
        if (q->query.level > 1 && pick(m, 2) == 0) {
            (void)snprintf(q->series, sizeof q->series, "1.3.%u", pick(m, SERIES));
            q->query.series_uid = dl_str_of(q->series);
        }
    }
    for (unsigned i = pick(m, 3); i > 0; i--) {
        char *text = q->texts[i];
        unsigned kind = pick(m, 11);
        dl_index_level level = q->query.level;
        if (kind == 0) {
            add_filter(q, 0x00100010, DL_INDEX_EQUAL, names[pick(m, 4)], "");
        } else if (kind == 1) {
            add_filter(q, 0x00100010, DL_INDEX_PHRASE, words[pick(m, DL_COUNT_OF(words))], "");
        } else if (kind == 2) {
            add_filter(q, 0x00100020, DL_INDEX_EQUAL, ids[pick(m, 4)], "");
        } else if (kind == 3) {
            add_filter(q, 0x00080020, DL_INDEX_RANGE, pick(m, 3) ? days[pick(m, 4)] : "",
                       pick(m, 3) ? days[1 + pick(m, 4)] : "");
        } else if (kind == 4) {
            add_filter(q, 0x00080020, DL_INDEX_EQUAL, days[pick(m, 4)], "");
        } else if (kind == 5) {
            add_filter(q, 0x00080061, DL_INDEX_EQUAL, modality_values[pick(m, 4)], "");
        } else if (kind == 6 && level > 0) {
            add_filter(q, 0x00080060, DL_INDEX_EQUAL, modality_values[pick(m, 4)], "");
        } else if (kind == 7 && level > 0) {
            add_filter(q, 0x00081090, DL_INDEX_EQUAL, models[pick(m, 4)], "");
        } else if (kind == 8 && level > 1) {
            (void)snprintf(text, sizeof q->texts[0], "1.4.%u", pick(m, INSTANCES));
            add_filter(q, 0x00080018, DL_INDEX_EQUAL, text, "");
        } else if (kind == 10) { /* one index lists by both */
            add_filter(q, 0x00080020, DL_INDEX_RANGE, pick(m, 3) ? days[pick(m, 4)] : "",
                       pick(m, 3) ? days[1 + pick(m, 4)] : "");
            add_filter(q, 0x00080061, DL_INDEX_EQUAL, modality_values[pick(m, 4)], "");
        } else if (kind == 9) {
            (void)snprintf(text, sizeof q->texts[0], "1.2.%u", pick(m, STUDIES));
            add_filter(q, 0x0020000d, DL_INDEX_EQUAL, text, "");
        }
    }
}

/** Latest value that is not empty among the instances of a range; NULL when there is none. */
static const char *latest(const model *m, unsigned first, unsigned count, size_t member)
{
    const char *best = NULL;
    int64_t at = 0;
    for (unsigned i = first; i < first + count; i++) {
        const cell *c = &m->cells[i];
        const char *text = *(const char *const *)(const void *)((const char *)&c->v + member);
        bool none = text == NULL || text[0] == 0 || strcmp(text, "20200230") == 0; /* no such day */
        if (c->watermark > at && !none) {
            best = text;
            at = c->watermark;
        }
    }
    return best;
}

static bool folded_equal(model *m, const char *stored, dl_str asked, bool name)
{
    dl_str a = DL_STR_NONE, b = DL_STR_NONE;
    if (stored == NULL) {
        return false;
    }
    TAP_OK(dl_index_fold(dl_str_of(stored), name, m->f.arena, &a, &m->f.err), m->f.err);
    TAP_OK(dl_index_fold(asked, name, m->f.arena, &b, &m->f.err), m->f.err);
    return dl_str_eq(a, b);
}

static bool phrase_in(model *m, const char *stored, dl_str asked)
{
    dl_str a = DL_STR_NONE, b = DL_STR_NONE;
    if (stored == NULL) {
        return false;
    }
    TAP_OK(dl_index_fold(dl_str_of(stored), true, m->f.arena, &a, &m->f.err), m->f.err);
    TAP_OK(dl_index_fold(asked, true, m->f.arena, &b, &m->f.err), m->f.err);
    return dl_index_phrase_matches(a, b);
}

static bool date_in(const char *stored, const dl_index_filter *f)
{
    if (stored == NULL) {
        return false;
    }
    dl_str text = dl_str_of(stored), to = f->match == DL_INDEX_RANGE ? f->value_to : f->value;
    return (f->value.len == 0 || dl_str_compare(f->value, text) <= 0) &&
           (to.len == 0 || dl_str_compare(text, to) <= 0);
}

static bool filter_matches(model *m, const dl_index_filter *f, unsigned place)
{
    const unsigned study = place / (SERIES * INSTANCES) * (SERIES * INSTANCES),
                   in_study = SERIES * INSTANCES;
    const unsigned series = place / INSTANCES * INSTANCES;
    char uids[3][32];
    place_uids(place, uids[0], uids[1], uids[2]);
    switch (f->attribute->tag) {
    case 0x00100010: {
        const char *name = latest(m, study, in_study, offsetof(values, name));
        return f->match == DL_INDEX_PHRASE ? phrase_in(m, name, f->value)
                                           : folded_equal(m, name, f->value, true);
    }
    case 0x00100020:
        return folded_equal(m, latest(m, study, in_study, offsetof(values, id)), f->value, false);
    case 0x00080020:
        return date_in(latest(m, study, in_study, offsetof(values, date)), f);
    case 0x00080061:
        for (unsigned i = 0; i < SERIES; i++) {
            if (folded_equal(
                    m, latest(m, study + i * INSTANCES, INSTANCES, offsetof(values, modality)),
                    f->value, false)) {
                return true;
            }
        }
        return false;
    case 0x00080060:
        return folded_equal(m, latest(m, series, INSTANCES, offsetof(values, modality)), f->value,
                            false);
    case 0x00081090:
        return folded_equal(m, latest(m, series, INSTANCES, offsetof(values, model)), f->value,
                            false);
    case 0x00080018:
        return dl_str_eq(f->value, dl_str_of(uids[2]));
    default:
        return dl_str_eq(f->value, dl_str_of(uids[0]));
    }
}

typedef struct expected {
    int64_t place;
    unsigned cell;
} expected;

static int by_place(const void *a, const void *b)
{
    const expected *x = a, *y = b;
    return x->place < y->place ? 1 : x->place > y->place ? -1 : 0;
}

static size_t expect(model *m, const question *q, expected *out)
{
    static const unsigned sizes[] = {SERIES * INSTANCES, INSTANCES, 1};
    unsigned size = sizes[q->query.level], all = STUDIES * SERIES * INSTANCES;
    unsigned first = (unsigned)(q->query.partition - 1) * all;
    size_t count = 0;
    for (unsigned i = first; i < first + all; i += size) {
        int64_t place = q->query.level == DL_INDEX_STUDY    ? m->study_created[i / size]
                        : q->query.level == DL_INDEX_SERIES ? m->series_created[i / size]
                                                            : m->cells[i].watermark;
        char uids[3][32];
        place_uids(i, uids[0], uids[1], uids[2]);
        bool match =
            place != 0 &&
            (q->query.study_uid.len == 0 || dl_str_eq(q->query.study_uid, dl_str_of(uids[0]))) &&
            (q->query.series_uid.len == 0 || dl_str_eq(q->query.series_uid, dl_str_of(uids[1])));
        for (size_t j = 0; match && j < q->query.filter_count; j++) {
            match = filter_matches(m, &q->filters[j], i);
        }
        if (match) {
            out[count++] = (expected){place, i};
        }
    }
    qsort(out, count, sizeof *out, by_place);
    return count;
}

static void ask(model *m, dl_index_snapshot *s)
{
    static expected want[PLACES];
    fixture *f = &m->f;
    question q;
    make_question(m, &q);
    size_t all = expect(m, &q, want);
    size_t offset = q.query.offset < all ? q.query.offset : all;
    size_t count = all - offset < q.query.limit ? all - offset : q.query.limit;
    dl_index_hit *hits = NULL;
    size_t got = 0;
    TAP_OK(dl_index_search(s, &q.query, f->arena, &hits, &got, &f->err), f->err);
    if (got != count) {
        TAP_FAIL("level %d, %zu filters: %zu hits, not %zu", q.query.level, q.query.filter_count,
                 got, count);
        for (size_t i = 0; i < q.query.filter_count; i++) {
            printf("# filter %08x %d '%.*s' '%.*s'\n", (unsigned)q.filters[i].attribute->tag,
                   (int)q.filters[i].match, DL_STR_ARG(q.filters[i].value),
                   DL_STR_ARG(q.filters[i].value_to));
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char study[32], series[32], sop[32];
        place_uids(want[offset + i].cell, study, series, sop);
        TAP_EQ_STR(dl_index_hit_uid(&hits[i], DL_INDEX_STUDY), study);
        TAP_EQ_STR(dl_index_hit_uid(&hits[i], DL_INDEX_SERIES), q.query.level > 0 ? series : "");
        TAP_EQ_STR(hits[i].sop_uid, q.query.level > 1 ? sop : "");
        TAP_EQ_INT(hits[i].watermark, q.query.level > 1 ? want[offset + i].place : 0);
    }
}

static void ask_tree(model *m, dl_index_snapshot *s)
{
    fixture *f = &m->f;
    unsigned place = pick(m, PLACES), first = place / (SERIES * INSTANCES) * SERIES * INSTANCES;
    char study[32], series[32], sop[32];
    place_uids(place, study, series, sop);
    dl_index_scope scope = {1 + place / (STUDIES * SERIES * INSTANCES), dl_str_of(study),
                            DL_STR_NONE, DL_STR_NONE, 0};
    dl_index_version *list = NULL;
    size_t count = 0;
    int64_t newest = 0, number = 0, largest = 0;
    TAP_OK(dl_index_versions(s, &scope, f->arena, &list, &count, &f->err), f->err);
    TAP_EQ_INT(count, count_in(m, first, SERIES * INSTANCES));
    for (unsigned i = first; i < first + SERIES * INSTANCES; i++) {
        largest = m->cells[i].watermark > largest ? m->cells[i].watermark : largest;
    }
    TAP_OK(dl_index_summary(s, &scope, &newest, &number, &f->err), f->err);
    TAP_EQ_INT(newest, largest);
    TAP_EQ_INT(number, (int64_t)count);
    scope.series_uid = dl_str_of(series);
    scope.sop_uid = dl_str_of(sop);
    TAP_OK(dl_index_versions(s, &scope, f->arena, &list, &count, &f->err), f->err);
    TAP_EQ_INT(count, m->cells[place].watermark != 0);
    if (count == 1) {
        TAP_EQ_INT(list[0].watermark, m->cells[place].watermark);
        DL_AUTO_BUF want = {0};
        dl_buf_init(&want, 1 << 20);
        render(&want, &m->cells[place].v);
        dl_buf_reset(&f->text);
        TAP_OK(dl_index_metadata(s, list[0].watermark, &f->text, &f->err), f->err);
        TAP_TRUE(dl_str_eq(dl_buf_str(&want), dl_buf_str(&f->text)));
    }
}

static void compare(model *m, unsigned questions)
{
    fixture *f = &m->f;
    dl_index_snapshot *s = NULL;
    int64_t last = 0;
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(dl_index_last_sequence(s, &last, &f->err), f->err);
    TAP_EQ_INT(last, m->changes);
    for (unsigned i = 0; i < questions; i++) {
        ask(m, s);
        ask_tree(m, s);
    }
    dl_index_snapshot_end(s);
    dl_arena_destroy(f->arena);
    f->arena = dl_arena_create((size_t)1 << 30);
}

static void run_seed(uint64_t seed)
{
    static model m;
    m = (model){.random = seed};
    fixture_begin(&m.f);
    int64_t key = 0;
    TAP_OK(dl_index_partition_ensure(m.f.index, DL_STR("second"), &key, &m.f.err), m.f.err);
    for (unsigned i = 0; i < STEPS && !tap_case_failed; i++) {
        m.f.index->gather_always = seed % 2 == 0 ? 0 : DL_INDEX_GATHER_ALWAYS; /* both plans */
        step(&m);
        if (i % 7 == 0) {
            step_clean(&m);
        }
        if (i % 30 == 0) {
            compare(&m, 20);
        }
        if (i % 300 == 299) {
            TAP_EQ_INT(fixture_check(&m.f), 0);
            fixture_reopen(&m.f);
        }
    }
    compare(&m, 300);
    TAP_EQ_INT(fixture_check(&m.f), 0);
    fixture_end(&m.f);
}

/* ---- plans ---- */

/** Where a statement may read a whole table or sort: tables that stay tiny, and lists of one study.
 */
static bool plan_line_is_fine(const char *sql, dl_str line)
{
    if (dl_str_starts(line, DL_STR("SCAN "))) {
        return dl_str_starts(line, DL_STR("SCAN CONSTANT ROW")) ||
               dl_str_starts(line, DL_STR("SCAN sqlite_schema")) ||
               dl_str_starts(line, DL_STR("SCAN partition")) ||
               dl_str_starts(line, DL_STR("SCAN (subquery")) || /* of a capped count */
               strstr(sql, "FROM change ORDER BY sequence DESC LIMIT 1") != NULL ||
               strstr(sql, "FROM metadata_base LIMIT 300") != NULL;
    }
    if (dl_str_starts(line, DL_STR("USE TEMP B-TREE"))) {
        return strstr(sql, "WHERE s.study=?1") != NULL || strstr(sql, "WHERE study=?1") != NULL;
    }
    return true;
}

static unsigned check_plans(dl_db *db)
{
    unsigned lines = 0;
    dl_error err = {0};
    const char *texts[400];
    size_t count = 0;
    while (count < DL_COUNT_OF(texts) && (texts[count] = dl_db_statement_sql(db, count)) != NULL) {
        count++;
    }
    TAP_TRUE(count < DL_COUNT_OF(texts));
    for (size_t i = 0; i < count; i++) {
        if (dl_str_starts(dl_str_of(texts[i]), DL_STR("EXPLAIN"))) {
            continue;
        }
        char sql[2000];
        int len = snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", texts[i]);
        dl_db_stmt *q = NULL;
        TAP_OK(dl_db_query_text(db, (dl_str){sql, (size_t)len}, &q, &err), err);
        while (dl_db_step(q)) {
            lines++;
            if (!plan_line_is_fine(texts[i], dl_db_str(q, 3))) {
                TAP_FAIL("%s: %.*s", texts[i], DL_STR_ARG(dl_db_str(q, 3)));
            }
        }
        TAP_OK(dl_db_finish(q, &err), err);
    }
    return lines;
}

TAP_CASE(every_statement_uses_an_index)
{
    static model m;
    m = (model){.random = 99};
    fixture_begin(&m.f);
    int64_t key = 0;
    TAP_OK(dl_index_partition_ensure(m.f.index, DL_STR("second"), &key, &m.f.err), m.f.err);
    for (unsigned i = 0; i < 200; i++) {
        m.f.index->gather_always = i % 2 == 0 ? 0 : DL_INDEX_GATHER_ALWAYS;
        step(&m);
        step_clean(&m);
    }
    for (unsigned i = 0; i < 10; i++) {
        m.f.index->gather_always = i % 2 == 0 ? 0 : DL_INDEX_GATHER_ALWAYS;
        compare(&m, 200);
    }
    unsigned lines = check_plans(m.f.index->writer->db);
    lines += check_plans(m.f.index->free_conns->db);
    printf("# %u lines of plans\n", lines);
    TAP_TRUE(lines > 80);
    fixture_end(&m.f);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = 4;
    if (argc == 3 && (!dl_str_to_u64(dl_str_of(argv[1]), &first) ||
                      !dl_str_to_u64(dl_str_of(argv[2]), &count))) {
        return 2;
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        char name[64];
        TAP_ROW_BEGIN();
        run_seed(seed);
        (void)snprintf(name, sizeof name, "random changes, seed %llu", (unsigned long long)seed);
        TAP_ROW_END(name);
    }
    TAP_RUN(every_statement_uses_an_index);
    return tap_done();
}
