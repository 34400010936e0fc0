/**
 * Searches for the beginning of a word of a name, against a list of all names: words that many
 * studies have, words that few have, names that hold several words with one beginning.
 */
#include "fixture.h"

#include <string.h>

enum { STUDIES = 1500, QUESTIONS = 3000, NAME_SIZE = 160, WORDS = 8, MANY = 6 };

typedef struct model {
    fixture f;
    uint64_t random;
    char names[STUDIES][NAME_SIZE]; /* by age; empty: deleted */
} model;

static unsigned pick(model *m, unsigned bound)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((m->random >> 33) % bound);
}

static void add_word(model *m, char *name)
{
    static const char *const words[] = {"An",   "Ann",   "Anna", "Annemarie", "Anton",
                                        "Bert", "Berta", "Bo",   "C",         "Cäcilie"};
    size_t len = strlen(name);
    const char *word = words[pick(m, pick(m, 4) == 0 ? DL_COUNT_OF(words) : 5)];
    bool numbered = pick(m, 8) == 0; /* one that hardly any other study has */
    if (numbered) {
        (void)snprintf(name + len, NAME_SIZE - len, "%s%s%03u", len > 0 ? "^" : "", word,
                       pick(m, 1000));
    } else {
        (void)snprintf(name + len, NAME_SIZE - len, "%s%s", len > 0 ? "^" : "", word);
    }
}

static void fill(model *m)
{
    fixture *f = &m->f;
    dl_index_tx *tx = NULL;
    dl_index_outcome outcome = DL_INDEX_EXISTS;
    int64_t removed = 0;
    for (unsigned i = 0; i < STUDIES; i++) {
        char members[NAME_SIZE + 80], study[32], series[32], sop[32];
        for (unsigned k = 1 + pick(m, WORDS); k > 0 && i < STUDIES - MANY; k--) {
            add_word(m, m->names[i]);
        }
        if (i >= STUDIES - MANY) { /* the newest come many times before any other study does */
            (void)snprintf(m->names[i], NAME_SIZE, "anz1 anz2 anz3 anz4 anz5 anz6 anz7 anz8 anz9");
        } else if (i % 50 == 0) {
            (void)snprintf(m->names[i], NAME_SIZE, "anz0");
        }
        (void)snprintf(members, sizeof members,
                       "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"%s\"}]}",
                       m->names[i]);
        (void)snprintf(study, sizeof study, "1.%u", i + 1);
        (void)snprintf(series, sizeof series, "2.%u", i + 1);
        (void)snprintf(sop, sizeof sop, "3.%u", i + 1);
        dl_index_put put = fixture_put(f, study, series, sop, members);
        TAP_OK(dl_index_begin(f->index, &tx, &f->err), f->err);
        TAP_OK(dl_index_put_instance(tx, &put, &outcome, &f->err), f->err);
        TAP_OK(dl_index_commit(tx, &f->err), f->err);
        if (pick(m, 20) == 0) {
            TAP_OK(fixture_delete(f, study, "", "", 1, &removed), f->err);
            m->names[i][0] = '\0';
        }
    }
}

/* Whether a word of the name begins with `prefix`, both folded. */
static bool has_word(model *m, const char *name, dl_str prefix)
{
    dl_str folded = DL_STR_NONE, word = DL_STR_NONE;
    TAP_OK(dl_index_fold(dl_str_of(name), true, m->f.arena, &folded, &m->f.err), m->f.err);
    while (dl_index_word_next(&folded, &word)) {
        if (dl_str_starts(word, prefix)) {
            return true;
        }
    }
    return false;
}

static void ask(model *m, dl_index_snapshot *s)
{
    static const char *const prefixes[] = {"a",     "an",   "ann",  "anna",  "annem", "anton",
                                           "ANN0",  "b",    "bert", "berta", "bo",    "c",
                                           "cacil", "ber5", "x",    " an ",  "an9",   "anz"};
    fixture *f = &m->f;
    const char *prefix = prefixes[pick(m, DL_COUNT_OF(prefixes))];
    dl_str folded = DL_STR_NONE, word = DL_STR_NONE;
    TAP_OK(dl_index_fold(dl_str_of(prefix), true, f->arena, &folded, &f->err), f->err);
    (void)dl_index_word_next(&folded, &word);
    dl_index_filter filter = {.attribute = dl_index_attribute_find(0x00100010),
                              .match = DL_INDEX_PHRASE,
                              .value = dl_str_of(prefix)};
    dl_index_query query = {.partition = 1,
                            .filters = &filter,
                            .filter_count = 1,
                            .limit = 1 + pick(m, pick(m, 2) == 0 ? 5 : 150),
                            .offset = pick(m, 3) == 0 ? pick(m, 200) : 0};
    dl_index_hit *hits = NULL;
    size_t count = 0, skipped = 0, at = 0;
    TAP_OK(dl_index_search(s, &query, f->arena, &hits, &count, &f->err), f->err);
    for (unsigned i = STUDIES; i-- > 0 && at < query.limit;) {
        char uid[32];
        if (!has_word(m, m->names[i], word) || skipped++ < query.offset) {
            continue;
        }
        (void)snprintf(uid, sizeof uid, "1.%u", i + 1);
        TAP_TRUE(at < count);
        TAP_EQ_STR(at < count ? dl_index_hit_uid(&hits[at], DL_INDEX_STUDY) : DL_STR_NONE, uid);
        at++;
    }
    TAP_EQ_INT(count, at);
}

static void ask_all(model *m)
{
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(m->f.index, &s, &m->f.err), m->f.err);
    for (unsigned i = 0; i < QUESTIONS && !tap_case_failed; i++) {
        m->f.index->gather_always = i % 2 == 0 ? 0 : DL_INDEX_GATHER_ALWAYS;
        ask(m, s);
        if (i % 100 == 0) {
            dl_arena_destroy(m->f.arena);
            m->f.arena = dl_arena_create((size_t)1 << 30);
        }
    }
    dl_index_snapshot_end(s);
    TAP_EQ_INT(fixture_check(&m->f), 0);
}

/* A home of the version before this index: who only reads finds all there as it is. */
static void forget_start(model *m)
{
    fixture *f = &m->f;
    dl_db *db = NULL;
    const dl_index_options reading = {.clock = {fixture_now, f}, .read_only = true};
    dl_index_close(f->index);
    f->index = NULL;
    TAP_OK(dl_db_open(f->path, NULL, &db, &f->err), f->err);
    TAP_OK(dl_db_exec(db, "DROP INDEX study_word_start; PRAGMA user_version=1", &f->err), f->err);
    dl_db_close(db);
    TAP_OK(dl_index_open(f->path, &reading, &f->index, &f->err), f->err);
    ask_all(m);
    dl_index_close(f->index);
    f->index = NULL;
    fixture_open(f);
}

static void run_seed(uint64_t seed)
{
    static model m;
    m = (model){.random = seed};
    fixture_begin(&m.f);
    fill(&m);
    if (seed == 2) {
        forget_start(&m);
    }
    ask_all(&m);
    fixture_end(&m.f);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        char name[64];
        TAP_ROW_BEGIN();
        run_seed(seed);
        (void)snprintf(name, sizeof name, "beginnings of words, seed %llu",
                       (unsigned long long)seed);
        TAP_ROW_END(name);
    }
    return tap_done();
}
