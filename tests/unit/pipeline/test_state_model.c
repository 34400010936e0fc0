/**
 * The state index against a plain model of it: random puts, removals, compactions with splits, row
 * writes, prunes, rollbacks and reopenings; then everything is asked of both. A failing seed is
 * printed.
 */
#include "state_fixture.h"

#include <stdlib.h>

enum {
    PARTITIONS = 2,
    STUDIES = 2, /* in a partition */
    SERIES = 3,  /* in a study */
    SOPS = 4,    /* in a series */
    ALL_STUDIES = PARTITIONS * STUDIES,
    ALL_SERIES = ALL_STUDIES * SERIES,
    ALL_SOPS = ALL_SERIES * SOPS,
    SHOWN = 5,
    FILES = 400, /* of one kind */
    SEEDS = 500,
    STEPS = 60,
};

/* Not in order, of several lengths, and not only digits. */
static const char *const partitions[PARTITIONS] = {"b-part", "Microsoft.Default"};
static const char *const study_uids[STUDIES] = {"1.2.9", "1.2.10"};
static const char *const series_uids[SERIES] = {"1.3", "1.3.0", "1.29x~"};
static const char *const sop_uids[SOPS] = {"1.4.1", "1.4", "1.4-1", "1.4.1.7777777777777777"};
static const dl_state_shown shown_values[SHOWN] = {
    {{"20260101", 8}, {"a", 1}, {NULL, 0}, {"P1", 2}, {"A^B", 3}, {"CT", 2}},
    {{"20260101", 8}, {"a", 1}, {"", 0}, {"P1", 2}, {"A^B", 3}, {"CT", 2}},
    {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}},
    {{"", 0}, {"M\xc3\xbcller", 7}, {NULL, 0}, {"P2", 2}, {NULL, 0}, {"MR", 2}},
    {{"x", 1}, {"y", 1}, {"z", 1}, {"u", 1}, {"v", 1}, {"w", 1}},
};

typedef struct cell {
    bool known, removed;
    int64_t timestamp_us, sequence, created_us;
    int shown;
    dl_state_place place;
} cell;

typedef struct row {
    bool dirty;
    dl_state_place place;
    uint64_t hash;
} row;

typedef struct content {
    cell cells[ALL_SOPS];
    row series[ALL_SERIES], studies[ALL_STUDIES];
    int64_t files[DL_STATE_KINDS]; /* where new rows go; 0: none yet */
    int64_t rows[DL_STATE_KINDS];  /* in it */
    int file_names;
} content;

typedef struct model {
    fixture f;
    uint64_t random;
    int64_t sequence;
    content now, before; /* before: at begin */
} model;

static unsigned pick(model *m, unsigned limit)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(m->random >> 33) % limit;
}

static dl_state_key key_of(int sop)
{
    int series = sop / SOPS, study = series / SERIES;
    return (dl_state_key){dl_str_of(partitions[study / STUDIES]),
                          dl_str_of(study_uids[study % STUDIES]),
                          dl_str_of(series_uids[series % SERIES]), dl_str_of(sop_uids[sop % SOPS])};
}

/* ---- what must be ---- */

static int live_count(const model *m, int series)
{
    int count = 0;
    for (int i = series * SOPS; i < (series + 1) * SOPS; i++) {
        count += m->now.cells[i].known && !m->now.cells[i].removed;
    }
    return count;
}

/* The instance that shows; -1: none. */
static int last_of_series(const model *m, int series)
{
    int best = -1;
    for (int i = series * SOPS; i < (series + 1) * SOPS; i++) {
        const cell *c = &m->now.cells[i];
        if (!c->known || c->removed) {
            continue;
        }
        int64_t than = best < 0 ? INT64_MIN : m->now.cells[best].timestamp_us;
        if (c->timestamp_us > than ||
            (c->timestamp_us == than && strcmp(sop_uids[i % SOPS], sop_uids[best % SOPS]) > 0)) {
            best = i;
        }
    }
    return best;
}

static int last_of_study(const model *m, int study)
{
    int best = -1;
    for (int s = study * SERIES; s < (study + 1) * SERIES; s++) {
        int own = last_of_series(m, s);
        if (own < 0) {
            continue;
        }
        int64_t than = best < 0 ? INT64_MIN : m->now.cells[best].timestamp_us;
        int64_t mine = m->now.cells[own].timestamp_us;
        if (mine > than || (mine == than && strcmp(series_uids[s % SERIES],
                                                   series_uids[best / SOPS % SERIES]) > 0)) {
            best = own;
        }
    }
    return best;
}

static bool same_text(dl_str a, dl_str b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && dl_str_eq(a, b);
}

static bool same_shown(const dl_state_shown *a, const dl_state_shown *b)
{
    return same_text(a->study_date_text, b->study_date_text) &&
           same_text(a->study_description, b->study_description) &&
           same_text(a->issuer_of_patient_id, b->issuer_of_patient_id) &&
           same_text(a->patient_id, b->patient_id) && same_text(a->patient_name, b->patient_name) &&
           same_text(a->modality, b->modality);
}

static bool same_place(dl_state_place a, dl_state_place b)
{
    return a.file == b.file && (a.file == 0 || a.row == b.row);
}

/* ---- steps ---- */

static dl_state_place new_place(model *m, dl_state_kind kind)
{
    dl_error err = {0};
    if (m->now.files[kind] == 0 || pick(m, 6) == 0) {
        char path[32];
        TAP_TRUE(m->now.file_names < FILES);
        (void)snprintf(path, sizeof path, "f%d-%d", (int)kind, m->now.file_names++);
        TAP_OK(dl_state_file(m->f.state, kind, dl_str_of(path), &m->now.files[kind], &err), err);
        TAP_OK(dl_state_file_mark(m->f.state, m->now.files[kind], true, DL_STR(""), &err), err);
        m->now.rows[kind] = (int64_t)pick(m, 3) * 70000;
    }
    return (dl_state_place){m->now.files[kind], m->now.rows[kind]++};
}

static void touch(model *m, int sop)
{
    m->now.series[sop / SOPS].dirty = true;
    m->now.studies[sop / SOPS / SERIES].dirty = true;
}

static void step_put(model *m)
{
    dl_error err = {0};
    int sop = (int)pick(m, ALL_SOPS);
    cell *c = &m->now.cells[sop];
    int64_t time = (int64_t)pick(m, 6) - 2;
    *c = (cell){.known = true,
                .timestamp_us = time,
                .created_us = time - (int64_t)pick(m, 3),
                .sequence = ++m->sequence,
                .shown = (int)pick(m, SHOWN),
                .place = new_place(m, DL_STATE_INSTANCE)};
    dl_state_key key = key_of(sop);
    dl_state_instance instance = {.timestamp_us = c->timestamp_us,
                                  .created_us = c->created_us,
                                  .sequence = c->sequence,
                                  .source = 3,
                                  .place = c->place};
    TAP_OK(dl_state_put(m->f.state, &key, &instance, &shown_values[c->shown], &err), err);
    touch(m, sop);
}

static void step_remove(model *m)
{
    dl_error err = {0};
    int sop = (int)pick(m, ALL_SOPS);
    cell *c = &m->now.cells[sop];
    if (c->known && !c->removed) {
        touch(m, sop);
    }
    *c = (cell){.known = true,
                .removed = true,
                .timestamp_us = (int64_t)pick(m, 6),
                .sequence = ++m->sequence};
    c->created_us = c->timestamp_us;
    dl_state_key key = key_of(sop);
    TAP_OK(dl_state_remove(m->f.state, &key, c->timestamp_us, c->sequence, 3, &err), err);
}

/* Every place that lives, one after the other. */
static dl_state_place *place_at(model *m, dl_state_kind kind, int i)
{
    if (kind == DL_STATE_INSTANCE) {
        return i < ALL_SOPS ? &m->now.cells[i].place : NULL;
    }
    int count = kind == DL_STATE_SERIES ? ALL_SERIES : ALL_STUDIES;
    return i >= count                ? NULL
           : kind == DL_STATE_SERIES ? &m->now.series[i].place
                                     : &m->now.studies[i].place;
}

/* Compaction: the live rows of the current file go to one or two new ones; the others were dead. */
static void step_forward(model *m)
{
    dl_error err = {0};
    dl_state_kind kind = (dl_state_kind)pick(m, DL_STATE_KINDS);
    int64_t from = m->now.files[kind], end = m->now.rows[kind];
    if (from == 0) {
        return;
    }
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    TAP_OK(dl_delta_bitmap_create(&dead, &err), err);
    bool *alive = calloc((size_t)end + 1, sizeof *alive);
    TAP_TRUE(alive != NULL);
    for (int i = 0; place_at(m, kind, i) != NULL; i++) {
        dl_state_place p = *place_at(m, kind, i);
        if (p.file == from) {
            alive[p.row] = true;
        }
    }
    for (int64_t r = 0; r < end; r++) {
        if (!alive[r] && r % 70000 < 50) {
            TAP_OK(dl_delta_bitmap_add(dead, (uint64_t)r, NULL, &err), err);
        }
    }
    free(alive);
    int64_t cut = pick(m, 2) == 0 ? end : (int64_t)pick(m, (unsigned)end + 1);
    int64_t to[2] = {0}, base[2] = {5, 0};
    base[1] = 7 - (cut - (int64_t)dl_delta_bitmap_rank(dead, (uint64_t)cut));
    for (int half = 0; half < 2; half++) {
        char path[32];
        (void)snprintf(path, sizeof path, "f%d-%d", (int)kind, m->now.file_names++);
        TAP_OK(dl_state_file(m->f.state, kind, dl_str_of(path), &to[half], &err), err);
        int64_t first = half == 0 ? 0 : cut, last = half == 0 ? cut : end;
        if (first < last) {
            TAP_OK(dl_state_forward(m->f.state,
                                    &(dl_state_move){from, to[half], first, last, base[half], dead},
                                    &err),
                   err);
            TAP_OK(dl_state_file_mark(m->f.state, to[half], true, DL_STR("u-x"), &err), err);
        }
    }
    TAP_OK(dl_state_file_mark(m->f.state, from, false, DL_STR(""), &err), err);
    for (int i = 0; place_at(m, kind, i) != NULL; i++) {
        dl_state_place *p = place_at(m, kind, i);
        if (p->file == from) {
            int half = p->row >= cut;
            int64_t rank = (int64_t)dl_delta_bitmap_rank(dead, (uint64_t)p->row);
            *p = (dl_state_place){to[half], base[half] + p->row - rank};
        }
    }
    m->now.files[kind] = pick(m, 2) == 0 || cut == 0 ? 0 : to[0];
    m->now.rows[kind] = base[0] + cut - (int64_t)dl_delta_bitmap_rank(dead, (uint64_t)cut);
}

/* ---- the dirty ones ---- */

typedef struct seen {
    model *m;
    dl_state_kind kind;
    int count;
    const char *last_partition;
    int64_t ids[ALL_SERIES];
    int places[ALL_SERIES];
} seen;

static int find_row(const model *m, dl_state_kind kind, const dl_state_row *r)
{
    (void)m;
    int count = kind == DL_STATE_SERIES ? ALL_SERIES : ALL_STUDIES;
    for (int i = 0; i < count; i++) {
        dl_state_key key = key_of(i * (kind == DL_STATE_SERIES ? SOPS : SOPS * SERIES));
        if (dl_str_eq(key.partition_name, r->partition_name) &&
            dl_str_eq(key.study_uid, r->study_uid) &&
            (kind == DL_STATE_STUDY ? r->series_uid.ptr == NULL
                                    : dl_str_eq(key.series_uid, r->series_uid))) {
            return i;
        }
    }
    return -1;
}

static dl_status see(void *context, const dl_state_row *r, dl_error *err)
{
    (void)err;
    seen *s = context;
    model *m = s->m;
    int i = find_row(m, s->kind, r);
    TAP_TRUE(i >= 0);
    if (i < 0) {
        return DL_OK;
    }
    const row *want = s->kind == DL_STATE_SERIES ? &m->now.series[i] : &m->now.studies[i];
    int last = s->kind == DL_STATE_SERIES ? last_of_series(m, i) : last_of_study(m, i);
    int instances = 0, series = 0;
    for (int k = 0; k < (s->kind == DL_STATE_SERIES ? 1 : SERIES); k++) {
        int own = live_count(m, s->kind == DL_STATE_SERIES ? i : i * SERIES + k);
        instances += own;
        series += own > 0;
    }
    TAP_TRUE(want->dirty);
    TAP_EQ_INT(r->instance_count, instances);
    TAP_EQ_INT(r->series_count, s->kind == DL_STATE_STUDY ? series : 0);
    TAP_TRUE(same_place(r->place, want->place));
    TAP_TRUE(r->written_hash == want->hash);
    if (last >= 0) {
        TAP_EQ_INT(r->timestamp_us, m->now.cells[last].timestamp_us);
        TAP_TRUE(same_shown(&r->shown, &shown_values[m->now.cells[last].shown]));
    }
    const char *name = partitions[i / (s->kind == DL_STATE_SERIES ? STUDIES * SERIES : STUDIES)];
    TAP_TRUE(s->last_partition == NULL || strcmp(s->last_partition, name) <= 0);
    s->last_partition = name;
    s->ids[s->count] = r->id;
    s->places[s->count++] = i;
    return DL_OK;
}

static void look_dirty(model *m, dl_state_kind kind, size_t limit, seen *s)
{
    dl_error err = {0};
    *s = (seen){.m = m, .kind = kind};
    TAP_OK(dl_state_dirty(m->f.state, kind, limit, see, s, &err), err);
    int want = 0;
    for (int i = 0; i < (kind == DL_STATE_SERIES ? ALL_SERIES : ALL_STUDIES); i++) {
        want += kind == DL_STATE_SERIES ? m->now.series[i].dirty : m->now.studies[i].dirty;
    }
    TAP_EQ_INT(s->count, (size_t)want < limit ? want : (int)limit);
}

static void step_write(model *m)
{
    dl_error err = {0};
    seen s;
    dl_state_kind kind = pick(m, 2) == 0 ? DL_STATE_SERIES : DL_STATE_STUDY;
    look_dirty(m, kind, 1 + pick(m, 8), &s);
    for (int i = 0; i < s.count; i++) {
        int at = s.places[i];
        row *r = kind == DL_STATE_SERIES ? &m->now.series[at] : &m->now.studies[at];
        int last = kind == DL_STATE_SERIES ? last_of_series(m, at) : last_of_study(m, at);
        *r = (row){0};
        if (last >= 0) {
            r->place = new_place(m, kind);
            r->hash = m->random | 1;
        }
        TAP_OK(dl_state_written(m->f.state, kind, s.ids[i], r->place, r->hash, &err), err);
    }
}

static void step_prune(model *m)
{
    dl_error err = {0};
    int64_t before = (int64_t)pick(m, 7);
    TAP_OK(dl_state_prune(m->f.state, before, &err), err);
    for (int i = 0; i < ALL_SOPS; i++) {
        cell *c = &m->now.cells[i];
        if (c->removed && c->timestamp_us < before) {
            *c = (cell){0};
        }
    }
    /* Numbers of files that nothing is in are gone. */
    memset(m->now.files, 0, sizeof m->now.files);
}

/* ---- everything ---- */

static void compare(model *m)
{
    dl_error err = {0};
    int64_t live = 0, gone = 0;
    for (int i = 0; i < ALL_SOPS; i++) {
        const cell *c = &m->now.cells[i];
        dl_state_key key = key_of(i);
        dl_state_instance got = {0};
        TAP_OK(dl_state_get(m->f.state, &key, &got, &err), err);
        TAP_EQ_INT(got.known, c->known);
        TAP_EQ_INT(got.removed, c->removed);
        TAP_EQ_INT(got.timestamp_us, c->timestamp_us);
        TAP_EQ_INT(got.created_us, c->created_us);
        TAP_EQ_INT(got.sequence, c->sequence);
        TAP_EQ_INT(got.source, c->known ? 3 : 0);
        TAP_TRUE(same_place(got.place, c->place));
        live += c->known && !c->removed;
        gone += c->removed;
    }
    seen s;
    look_dirty(m, DL_STATE_SERIES, SIZE_MAX, &s);
    look_dirty(m, DL_STATE_STUDY, SIZE_MAX, &s);
    dl_state_totals totals = {0};
    TAP_OK(dl_state_totals_get(m->f.state, &totals, &err), err);
    TAP_EQ_INT(totals.instances, live);
    TAP_EQ_INT(totals.tombstones, gone);
    int64_t series = 0, studies = 0;
    for (int i = 0; i < ALL_SERIES; i++) {
        series += live_count(m, i) > 0;
    }
    for (int i = 0; i < ALL_STUDIES; i++) {
        studies += last_of_study(m, i) >= 0;
    }
    TAP_EQ_INT(totals.series, series);
    TAP_EQ_INT(totals.studies, studies);
}

static void begin(model *m)
{
    dl_error err = {0};
    TAP_OK(dl_state_begin(m->f.state, &err), err);
    if (pick(m, 3) != 0) {
        TAP_OK(dl_state_expect(m->f.state, pick(m, 2) == 0 ? 1 : SIZE_MAX, &err), err);
    }
    m->before = m->now;
}

static void end(model *m)
{
    dl_error err = {0};
    if (pick(m, 4) == 0) {
        dl_state_rollback(m->f.state);
        m->now = m->before;
    } else {
        TAP_OK(dl_state_commit(m->f.state, &err), err);
    }
    if (pick(m, 3) == 0) {
        fixture_reopen(&m->f);
    }
}

static void run_seed(uint64_t seed)
{
    model m = {.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    fixture_open(&m.f);
    begin(&m);
    for (int i = 0; i < STEPS && !tap_case_failed; i++) {
        switch (pick(&m, 12)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
            step_put(&m);
            break;
        case 5:
        case 6:
            step_remove(&m);
            break;
        case 7:
            step_forward(&m);
            break;
        case 8:
        case 9:
            step_write(&m);
            break;
        case 10:
            step_prune(&m);
            break;
        default:
            end(&m);
            compare(&m);
            begin(&m);
            break;
        }
    }
    compare(&m);
    dl_state_rollback(m.f.state);
    fixture_close(&m.f);
    if (tap_case_failed) {
        printf("# seed %llu\n", (unsigned long long)seed);
    }
}

TAP_CASE(random_sequences_equal_the_model)
{
    for (uint64_t seed = 1; seed <= SEEDS && !tap_case_failed; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    TAP_RUN(random_sequences_equal_the_model);
    return tap_done();
}
