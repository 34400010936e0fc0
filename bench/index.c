/**
 * Measures the index alone: stores invented CT instances in groups, then asks each kind of query
 * many times.
 *
 *     bench_index FOLDER INSTANCES [GROUP]
 *
 * Studies have 20 instances in 2 series, one has a tenth of all (at most 10,000). Prints one line a
 * measure.
 */
#include "index/index.h"
#include "base/mem.h"

#include "../tests/unit/index/sample.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { SERIES_INSTANCES = 10, STUDY_INSTANCES = 20, ROUNDS = 300, RANDOM_SEED = 42 };

static uint64_t random_state = RANDOM_SEED;

static unsigned pick(unsigned limit)
{
    random_state = sample_mix(random_state);
    return limit == 0 ? 0 : (unsigned)(random_state % limit);
}

static void must(dl_status status, const dl_error *err)
{
    if (status != DL_OK) {
        (void)fprintf(stderr, "bench: %s: %s\n", dl_status_name(status), err->message);
        exit(1);
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

typedef struct home {
    dl_index *index;
    unsigned instances, big; /* of them in the big study */
    unsigned studies;        /* the big one is study 0 */
} home;

/** Instance `n` of all: the big study first, then the others in order. */
static void make_nth(const home *h, sample *s, unsigned n)
{
    if (n < h->big) {
        sample_make(s, 0, n % 2, n / 2);
        return;
    }
    n -= h->big;
    sample_make(s, 1 + n / STUDY_INSTANCES, n % STUDY_INSTANCES / SERIES_INSTANCES,
                n % SERIES_INSTANCES);
}

static void fill(home *h, unsigned group)
{
    sample s = {0};
    dl_error err = {0};
    dl_buf_init(&s.json, 1 << 20);
    double generating = 0, wall = 0;
    double cpu = cpu_seconds();
    int64_t began = dl_clock_monotonic_us();
    size_t bytes = 0;
    for (unsigned n = 0; n < h->instances;) {
        dl_index_tx *tx = NULL;
        int64_t watermarks[1024];
        for (unsigned i = 0; i < group; i++) {
            must(dl_index_next_watermark(h->index, &watermarks[i], &err), &err);
        }
        must(dl_index_begin(h->index, &tx, &err), &err);
        for (unsigned i = 0; i < group && n < h->instances; i++, n++) {
            double before = cpu_seconds();
            make_nth(h, &s, n);
            generating += cpu_seconds() - before;
            dl_index_put put = sample_put(&s, watermarks[i]);
            dl_index_outcome outcome;
            bytes += s.json.len;
            must(dl_index_put_instance(tx, &put, &outcome, &err), &err);
        }
        must(dl_index_commit(tx, &err), &err);
    }
    cpu = cpu_seconds() - cpu - generating;
    wall = (double)(dl_clock_monotonic_us() - began) / 1e6;
    (void)printf("stored %u in groups of %u: %.1f us CPU each, %.0f a second (generator included), "
                 "metadata %.0f B\n",
                 h->instances, group, cpu * 1e6 / h->instances, h->instances / wall,
                 (double)bytes / h->instances);
    dl_buf_clear(&s.json);
}

typedef void prepare_fn(const home *h, dl_index_query *query, dl_index_filter *filters,
                        char text[][80]);

static void equal(dl_index_filter *f, uint32_t tag, const char *text)
{
    *f = (dl_index_filter){dl_index_attribute_find(tag), DL_INDEX_EQUAL, dl_str_of(text),
                           DL_STR_NONE};
}
static void all_studies(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)h, (void)f, (void)text;
    q->limit = 100;
}
static void page_of_studies(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)f, (void)text;
    q->limit = 50;
    q->offset = pick(h->studies);
}
static void patient_id(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)snprintf(text[0], 80, "pid%06u", pick(h->studies) / 2);
    equal(f, 0x00100020, text[0]);
    q->filter_count = 1;
}
static void accession(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)snprintf(text[0], 80, "ACC%07u", pick(h->studies));
    equal(f, 0x00080050, text[0]);
    q->filter_count = 1;
}
static void dates(const home *h, dl_index_filter *f, char text[][80], unsigned days)
{
    unsigned first = pick(h->studies < 3600 ? h->studies : 3600);
    (void)snprintf(text[0], 80, "%u", sample_date(first));
    (void)snprintf(text[1], 80, "%u", sample_date(first + days));
    *f = (dl_index_filter){dl_index_attribute_find(0x00080020), DL_INDEX_RANGE, dl_str_of(text[0]),
                           dl_str_of(text[1])};
}
static void week(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    dates(h, f, text, 7);
    q->filter_count = 1;
}
static void year(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    dates(h, f, text, 336);
    q->filter_count = 1;
}
static void modalities(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)h, (void)text;
    equal(f, 0x00080061, sample_modalities[pick(4)]);
    q->filter_count = 1;
}
static void modalities_and_quarter(const home *h, dl_index_query *q, dl_index_filter *f,
                                   char text[][80])
{
    dates(h, f, text, 84);
    equal(f + 1, 0x00080061, sample_modalities[pick(4)]);
    q->filter_count = 2;
}
static void patient_name(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    uint64_t r = sample_mix(pick(h->studies));
    (void)snprintf(text[0], 80, "%s%u^%s", sample_families[r / 11 % 20], (unsigned)(r / 400 % 500),
                   sample_given[r / 3 % 9]);
    equal(f, 0x00100010, text[0]);
    q->filter_count = 1;
}
static void fuzzy(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)h;
    (void)snprintf(text[0], 80, "%.*s", 3, sample_families[1 + pick(19)]);
    equal(f, 0x00100010, text[0]);
    f->match = DL_INDEX_PHRASE;
    q->filter_count = 1;
}
static void study_uid(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    sample s;
    sample_uids(&s, pick(h->studies), 0, 0);
    memcpy(text[0], s.study_uid, sizeof s.study_uid);
    equal(f, 0x0020000d, text[0]);
    q->filter_count = 1;
}
static void series_of_study(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    study_uid(h, q, f, text);
    q->filter_count = 0;
    q->level = DL_INDEX_SERIES;
    q->study_uid = dl_str_of(text[0]);
}
static void series_by_modality(const home *h, dl_index_query *q, dl_index_filter *f,
                               char text[][80])
{
    (void)h, (void)text;
    equal(f, 0x00080060, "MR");
    q->filter_count = 1;
    q->level = DL_INDEX_SERIES;
    q->offset = pick(10);
}
static void instances_of_series(const home *h, dl_index_query *q, dl_index_filter *f,
                                char text[][80])
{
    sample s;
    (void)h, (void)f;
    sample_uids(&s, 0, pick(2), 0);
    memcpy(text[0], s.study_uid, sizeof s.study_uid);
    memcpy(text[1], s.series_uid, sizeof s.series_uid);
    q->level = DL_INDEX_INSTANCE;
    q->study_uid = dl_str_of(text[0]);
    q->series_uid = dl_str_of(text[1]);
    q->limit = 500;
}
static void instances_of_study(const home *h, dl_index_query *q, dl_index_filter *f,
                               char text[][80])
{
    instances_of_series(h, q, f, text);
    q->series_uid = DL_STR_NONE;
    q->limit = 200;
}
static void all_instances(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    (void)f, (void)text;
    q->level = DL_INDEX_INSTANCE;
    q->offset = pick(h->instances);
}
static void instances_by_patient(const home *h, dl_index_query *q, dl_index_filter *f,
                                 char text[][80])
{
    patient_id(h, q, f, text);
    q->level = DL_INDEX_INSTANCE;
}
static void instances_by_modality(const home *h, dl_index_query *q, dl_index_filter *f,
                                  char text[][80])
{
    (void)h, (void)text;
    equal(f, 0x00080060, "MR");
    q->filter_count = 1;
    q->level = DL_INDEX_INSTANCE;
    q->offset = pick(10);
}
static void sop_uid(const home *h, dl_index_query *q, dl_index_filter *f, char text[][80])
{
    sample s;
    unsigned study = 1 + pick(h->studies - 1);
    sample_uids(&s, study, pick(2), pick(10));
    memcpy(text[0], s.sop_uid, sizeof s.sop_uid);
    equal(f, 0x00080018, text[0]);
    q->filter_count = 1;
    q->level = DL_INDEX_INSTANCE;
}

static const struct {
    const char *name;
    prepare_fn *prepare;
} queries[] = {
    {"all studies, limit 100", all_studies},
    {"page of 50 studies", page_of_studies},
    {"PatientID", patient_id},
    {"AccessionNumber", accession},
    {"StudyDate, a week", week},
    {"StudyDate, a year", year},
    {"ModalitiesInStudy", modalities},
    {"ModalitiesInStudy, 3 months", modalities_and_quarter},
    {"PatientName", patient_name},
    {"PatientName fuzzy, 3 letters", fuzzy},
    {"StudyInstanceUID", study_uid},
    {"series of a study", series_of_study},
    {"series by Modality", series_by_modality},
    {"instances of a series, 500", instances_of_series},
    {"instances of a study, 200", instances_of_study},
    {"all instances, any offset", all_instances},
    {"instances by PatientID", instances_by_patient},
    {"instances by Modality", instances_by_modality},
    {"SOPInstanceUID", sop_uid},
};

static int compare_times(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void ask(const home *h, size_t which)
{
    static int64_t times[ROUNDS];
    dl_error err = {0};
    size_t hits = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char text[4][80] = {{0}};
        dl_index_filter filters[4];
        dl_index_query query = {.partition = 1, .filters = filters, .limit = 100};
        dl_index_hit *list = NULL;
        size_t count = 0;
        queries[which].prepare(h, &query, filters, text);
        dl_arena *arena = dl_arena_create(64 * 1024 * 1024);
        struct timespec a, b;
        (void)clock_gettime(CLOCK_MONOTONIC, &a);
        dl_index_snapshot *s = NULL;
        must(dl_index_snapshot_begin(h->index, &s, &err), &err);
        must(dl_index_search(s, &query, arena, &list, &count, &err), &err);
        dl_index_snapshot_end(s);
        (void)clock_gettime(CLOCK_MONOTONIC, &b);
        times[i] = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
        hits += count;
        dl_arena_destroy(arena);
    }
    qsort(times, ROUNDS, sizeof times[0], compare_times);
    (void)printf("%-30s p50 %8.1f us  p95 %8.1f us  max %8.1f us  %6.1f hits\n",
                 queries[which].name, (double)times[ROUNDS / 2] / 1e3,
                 (double)times[ROUNDS * 95 / 100] / 1e3, (double)times[ROUNDS - 1] / 1e3,
                 (double)hits / ROUNDS);
}

static dl_status count_bytes(void *context, const dl_index_change *change, dl_error *err)
{
    (void)err;
    *(size_t *)context += change->metadata.len;
    return DL_OK;
}

static void read_feed(const home *h)
{
    dl_error err = {0};
    size_t bytes = 0;
    int64_t began = dl_clock_monotonic_us();
    for (int64_t after = 0; after < h->instances; after += 200) {
        dl_index_snapshot *s = NULL;
        dl_index_change_query query = {.after_sequence = after,
                                       .start_us = INT64_MIN,
                                       .end_us = INT64_MAX,
                                       .limit = 200,
                                       .metadata = true};
        must(dl_index_snapshot_begin(h->index, &s, &err), &err);
        must(dl_index_changes(s, &query, count_bytes, &bytes, &err), &err);
        dl_index_snapshot_end(s);
    }
    double seconds = (double)(dl_clock_monotonic_us() - began) / 1e6;
    (void)printf("feed with metadata: %.0f rows a second, %.0f MB/s\n", h->instances / seconds,
                 (double)bytes / seconds / 1e6);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: bench_index FOLDER INSTANCES [GROUP]\n");
        return 2;
    }
    char path[512];
    dl_error err = {0};
    uint64_t count = 0, group = 64;
    (void)snprintf(path, sizeof path, "%s/index.db", argv[1]);
    if (!dl_str_to_u64(dl_str_of(argv[2]), &count) ||
        (argc > 3 && !dl_str_to_u64(dl_str_of(argv[3]), &group)) || count < 100 || group < 1 ||
        group > 1024) {
        return 2;
    }
    home h = {.instances = (unsigned)count};
    h.big = h.instances / 10 < 10000 ? h.instances / 10 : 10000;
    h.studies = 1 + (h.instances - h.big) / STUDY_INSTANCES;
    must(dl_index_open(path, NULL, &h.index, &err), &err);
    fill(&h, (unsigned)group);
    dl_index_close(h.index);
    struct stat st;
    if (stat(path, &st) == 0) {
        (void)printf("database %lld bytes, %.0f an instance\n", (long long)st.st_size,
                     (double)st.st_size / h.instances);
    }
    must(dl_index_open(path, NULL, &h.index, &err), &err);
    for (size_t i = 0; i < DL_COUNT_OF(queries); i++) {
        ask(&h, i);
    }
    read_feed(&h);
    dl_index_close(h.index);
    return 0;
}
