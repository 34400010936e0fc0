/**
 * What the state index of the tables costs: puts grouped by series, puts of known keys, lookups.
 *
 *     bench-state [INSTANCES [FOLDER]]
 *
 * CPU time of this process; keys are made before the clock runs.
 */
#include "pipeline/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 50000,
    IN_SERIES = 60,
    IN_STUDY = 240,
    LOOKUPS = 2000,
    UID_SIZE = 64,
    DEFAULT_COUNT = 1000000,
};

static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(dl_status status, const dl_error *err)
{
    if (status != DL_OK) {
        (void)fprintf(stderr, "bench-state: %s\n", err->message);
        exit(1);
    }
}

typedef struct uids {
    char study[UID_SIZE], series[UID_SIZE], sop[UID_SIZE];
} uids;

/* Scattered as real ones are: the tail looks random. */
static unsigned long long scatter(unsigned long long n)
{
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9ULL;
    n = (n ^ n >> 27) * 0x94d049bb133111ebULL;
    return n ^ n >> 31;
}

static dl_state_key key_of(long n, uids *u)
{
    static const char root[] = "1.2.826.0.1.3680043.8.498";
    (void)snprintf(u->study, UID_SIZE, "%s.1%020llu", root,
                   scatter((unsigned long long)(n / IN_STUDY)));
    (void)snprintf(u->series, UID_SIZE, "%s.2%020llu", root,
                   scatter((unsigned long long)(n / IN_SERIES) + (1ULL << 40)));
    (void)snprintf(u->sop, UID_SIZE, "%s.3%020llu", root,
                   scatter((unsigned long long)n + (1ULL << 50)));
    return (dl_state_key){DL_STR("Microsoft.Default"), dl_str_of(u->study), dl_str_of(u->series),
                          dl_str_of(u->sop)};
}

static void put_all(dl_state *state, long first, long count, int64_t time_us)
{
    dl_error err = {0};
    char name[32], path[64];
    int64_t file = 0;
    need(dl_state_begin(state, &err), &err);
    (void)snprintf(path, sizeof path, "p/part-%ld-%lld.parquet", first, (long long)time_us);
    need(dl_state_file(state, DL_STATE_INSTANCE, dl_str_of(path), &file, &err), &err);
    for (long i = 0; i < count; i++) {
        uids u;
        dl_state_key key = key_of(first + i, &u);
        (void)snprintf(name, sizeof name, "Name^Of %ld", (first + i) / IN_STUDY);
        dl_state_shown shown = {DL_STR("20260105"), DL_STR("CT thorax"), DL_STR_NONE,
                                dl_str_of(name),    dl_str_of(name),     DL_STR("CT")};
        dl_state_instance instance = {.timestamp_us = time_us + i,
                                      .created_us = time_us + i,
                                      .sequence = first + i + 1,
                                      .source = 1,
                                      .place = {file, i}};
        need(dl_state_put(state, &key, &instance, &shown, &err), &err);
    }
    need(dl_state_commit(state, &err), &err);
}

static double key_cost(long count)
{
    double start = cpu_s();
    unsigned long sum = 0;
    char name[32];
    for (long i = 0; i < count; i++) {
        uids u;
        sum += key_of(i, &u).sop_uid.len;
        sum += (unsigned long)snprintf(name, sizeof name, "Name^Of %ld", i / IN_STUDY);
    }
    return sum == 0 ? 0 : cpu_s() - start;
}

static dl_status count_row(void *context, const dl_state_row *row, dl_error *err)
{
    (void)err;
    *(long *)context += row->instance_count > 0;
    return DL_OK;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : DEFAULT_COUNT;
    const char *folder = argc > 2 ? argv[2] : "/tmp";
    char path[512];
    (void)snprintf(path, sizeof path, "%s/bench-state-%ld.db", folder, (long)getpid());
    dl_error err = {0};
    dl_state *state = NULL;
    need(dl_state_open(path, &state, &err), &err);

    double keys = key_cost(count), start = cpu_s(), worst = 0;
    for (long i = 0; i < count; i += BATCH) {
        double before = cpu_s();
        put_all(state, i, count - i < BATCH ? count - i : BATCH, 1000000 + i);
        double used = cpu_s() - before;
        worst = used > worst ? used : worst;
    }
    double used = cpu_s() - start - keys;
    struct stat st = {0};
    (void)stat(path, &st);
    printf("puts, new: %.0f a CPU-second (slowest batch %.0f)\n", (double)count / used,
           BATCH / worst);
    printf("size: %.1f bytes an instance\n", (double)st.st_size / (double)count);

    long again = count < BATCH ? count : BATCH;
    start = cpu_s();
    put_all(state, 0, again, 2000000000);
    printf("puts, known: %.0f a CPU-second\n", (double)again / (cpu_s() - start));

    start = cpu_s();
    unsigned long long at = 1;
    long found = 0;
    for (int i = 0; i < LOOKUPS; i++) {
        uids u;
        at = scatter(at + 1);
        dl_state_key key = key_of((long)(at % (unsigned long long)count), &u);
        dl_state_instance instance;
        need(dl_state_get(state, &key, &instance, &err), &err);
        found += instance.known;
    }
    printf("lookups: %d random keys in %.1f ms, %ld found\n", LOOKUPS, (cpu_s() - start) * 1e3,
           found);

    start = cpu_s();
    long rows = 0;
    need(dl_state_begin(state, &err), &err);
    need(dl_state_dirty(state, DL_STATE_SERIES, SIZE_MAX, count_row, &rows, &err), &err);
    need(dl_state_dirty(state, DL_STATE_STUDY, SIZE_MAX, count_row, &rows, &err), &err);
    dl_state_rollback(state);
    printf("dirty rows: %.0f a CPU-second\n", (double)rows / (cpu_s() - start));
    dl_state_close(state);

    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("memory: %.1f MB at most\n", (double)usage.ru_maxrss / 1024);
    (void)unlink(path);
    return 0;
}
