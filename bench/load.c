/**
 * load: a DICOMweb load generator: store, search, retrieve, with exact latencies.
 *
 *     load KIND --url http://127.0.0.1:PORT --root /v2|/dicom-web --data DIR
 *          [--dialect azure|orthanc] [-c 8] [-k 1] [-n 1000] [-s 60] [--from I] [--count I]
 *          [--seed S] [--verify] [--label TEXT] [--rate N] [--times FILE] [--page N]
 *          [--items FILE] [--pages FILE]
 *     load --kinds
 *
 * -c connections, one thread each; -k instances in a store request; -n requests and -s seconds,
 * whichever ends first; --rate: so many requests a second at most, evenly. Requests are made
 * outside the timed part; a latency is from the first byte sent to the last byte received. --times
 * writes a line a request: its number and when its answer was there, in microseconds since 1970.
 * --page: most items of a search's answer. --items writes a line a request, its number and how many
 * items came; --pages reads such a file, and each request asks for so many at most, or is not sent
 * when none came: the same requests with answers of equal length, whatever the archive holds.
 * Prints one JSON line. Exit code 1 when an answer was not what was asked for. Only loopback is
 * ever called.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "load_kinds.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    CONNECTIONS_MAX = 256,
    PER_STORE_MAX = 80,
    STATUS_MAX = 600,
    REQUESTS_MAX = 50000000,
    LINES_LIMIT_BYTES = 1 << 30 /* of --times, --items, --pages */
};

typedef struct options {
    const char *kind, *root, *data, *label;
    const char *times, *items, *pages;
    uint64_t port, connections, per_store, requests, seconds, from, count, seed, rate, page;
    bool azure, verify;
} options;

/* What all threads share: read only, except the two counters. */
typedef struct load {
    const dl_bench_kind *kind;
    dl_bench_target target;
    uint64_t requests;
    int64_t start_ns, deadline_ns;
    int64_t pause_ns;     /* from one request to the next; 0: none */
    int64_t *done_us;     /* wall clock, one slot a request; NULL: not wanted */
    int64_t *latency_ns;  /* one slot a request */
    int64_t *item_counts; /* of its answer */
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t started;
} load;

typedef struct worker {
    load *load;
    pthread_t thread;
    uint64_t ok, bad, items, digest, sent_bytes, received_bytes, connects;
    uint32_t statuses[STATUS_MAX]; /* [0]: no answer */
    dl_error first_error;
} worker;

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void one_request(worker *w, dl_bench_conn *conn, dl_bench_request *request, uint64_t i)
{
    load *l = w->load;
    dl_error err = {0};
    unsigned status = 0;
    uint64_t items = 0;
    uint64_t digest = 0;
    if (dl_bench_request_make(request, l->kind, &l->target, i, &err) != DL_OK) {
        w->first_error = err;
        w->bad++;
        return;
    }
    conn->discard = dl_bench_request_discards(request, &l->target);
    int64_t before = now_ns();
    dl_status answered =
        dl_bench_exchange(conn, request->parts, request->part_count, &status, &err);
    l->latency_ns[i] = now_ns() - before;
    if (l->done_us != NULL) {
        dl_clock clock = dl_clock_system();
        l->done_us[i] = dl_clock_now_us(&clock);
    }
    w->statuses[answered == DL_OK && status < STATUS_MAX ? status : 0]++;
    if (answered != DL_OK) {
        if (w->first_error.status == DL_OK) {
            w->first_error = err;
        }
        w->bad++;
        return;
    }
    bool good = dl_bench_answer_check(request, &l->target, status, conn, &items, &digest);
    w->ok += good;
    w->bad += !good;
    if (!good && w->first_error.status == DL_OK) {
        (void)dl_error_set(&w->first_error, DL_E_INVALID, "request %llu: status %u, %zu bytes",
                           (unsigned long long)i, status, (size_t)conn->body_bytes);
    }
    l->item_counts[i] = (int64_t)items;
    w->items += items;
    w->digest += digest;
}

/* Request `i` is not due before its time. */
static void await_turn(const load *l, uint64_t i)
{
    int64_t due_ns = l->start_ns + (int64_t)i * l->pause_ns;
    struct timespec due = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
    if (l->pause_ns > 0) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
}

static void *work(void *context)
{
    worker *w = context;
    dl_bench_conn conn;
    dl_bench_request request;
    dl_bench_conn_init(&conn, w->load->target.port);
    dl_bench_request_init(&request);
    for (;;) {
        uint64_t i = atomic_fetch_add(&w->load->next, 1);
        if (i >= w->load->requests || now_ns() > w->load->deadline_ns) {
            break;
        }
        if (w->load->target.pages != NULL && w->load->target.pages[i] == 0) {
            continue;
        }
        await_turn(w->load, i);
        one_request(w, &conn, &request, i);
        (void)atomic_fetch_add(&w->load->started, 1);
    }
    w->sent_bytes = conn.sent_bytes;
    w->received_bytes = conn.received_bytes;
    w->connects = conn.connects;
    dl_bench_request_clear(&request);
    dl_bench_conn_clear(&conn);
    return NULL;
}

/* ---- the report ---- */

static int compare_numbers(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

typedef struct sorted_numbers {
    const int64_t *first;
    size_t count;
} sorted_numbers;

/* Slots of requests that were never sent, or not answered, are -1 and sort to the front. */
static sorted_numbers sort_numbers(int64_t *slots, size_t count)
{
    size_t missing = 0;
    qsort(slots, count, sizeof *slots, compare_numbers);
    while (missing < count && slots[missing] < 0) {
        missing++;
    }
    return (sorted_numbers){slots + missing, count - missing};
}

static double quantile(sorted_numbers n, double q)
{
    if (n.count == 0) {
        return 0;
    }
    size_t at = (size_t)(q * (double)n.count);
    return (double)n.first[at < n.count ? at : n.count - 1];
}

static void print_statuses(const worker *sum)
{
    bool first = true;
    (void)printf(",\"statuses\":{");
    for (unsigned i = 0; i < STATUS_MAX; i++) {
        if (sum->statuses[i] > 0) {
            (void)printf("%s\"%u\":%u", first ? "" : ",", i, sum->statuses[i]);
            first = false;
        }
    }
    (void)printf("}");
}

static void print_report(const options *o, load *l, const worker *sum, double seconds)
{
    sorted_numbers ns = sort_numbers(l->latency_ns, l->requests);
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    (void)printf("{\"kind\":\"%s\",\"label\":\"%s\",\"connections\":%llu,\"requests\":%zu,"
                 "\"bad\":%llu,\"items\":%llu,\"digest\":\"%016llx\",\"seconds\":%.3f,"
                 "\"requests_per_s\":%.1f,\"items_per_s\":%.1f,\"sent_mb_per_s\":%.1f,"
                 "\"received_mb_per_s\":%.1f",
                 o->kind, o->label, (unsigned long long)o->connections, ns.count,
                 (unsigned long long)sum->bad, (unsigned long long)sum->items,
                 (unsigned long long)sum->digest, seconds, (double)sum->ok / seconds,
                 (double)sum->items / seconds, (double)sum->sent_bytes / 1e6 / seconds,
                 (double)sum->received_bytes / 1e6 / seconds);
    (void)printf(",\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
                 "\"connects\":%llu,\"client_cpu_s\":%.3f",
                 quantile(ns, 0.5) / 1e6, quantile(ns, 0.95) / 1e6, quantile(ns, 0.99) / 1e6,
                 quantile(ns, 1.0) / 1e6, (unsigned long long)sum->connects, cpu_s);
    print_statuses(sum);
    (void)printf("}\n");
}

static void add_up(worker *sum, const worker *w)
{
    sum->ok += w->ok;
    sum->bad += w->bad;
    sum->items += w->items;
    sum->digest += w->digest;
    sum->sent_bytes += w->sent_bytes;
    sum->received_bytes += w->received_bytes;
    sum->connects += w->connects;
    for (size_t i = 0; i < STATUS_MAX; i++) {
        sum->statuses[i] += w->statuses[i];
    }
    if (sum->first_error.status == DL_OK) {
        sum->first_error = w->first_error;
    }
}

static int run_threads(const options *o, load *l, worker *workers)
{
    l->start_ns = now_ns();
    l->deadline_ns = l->start_ns + (int64_t)o->seconds * 1000000000;
    size_t running = 0;
    while (running < o->connections) {
        workers[running].load = l;
        if (pthread_create(&workers[running].thread, NULL, work, &workers[running]) != 0) {
            break;
        }
        running++;
    }
    worker sum = {0};
    for (size_t i = 0; i < running; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        add_up(&sum, &workers[i]);
    }
    double seconds = (double)(now_ns() - l->start_ns) / 1e9;
    print_report(o, l, &sum, seconds);
    if (sum.bad > 0) {
        (void)fprintf(stderr, "load: %s: %llu bad answers, the first: %s\n", o->kind,
                      (unsigned long long)sum.bad, sum.first_error.message);
    }
    return sum.bad > 0 || running < o->connections ? 1 : 0;
}

/* A line a request: its number and its value, 0 when it was not sent. */
static dl_status write_lines(const char *path, const int64_t *values, size_t count, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_AUTO_BUF text;
    dl_buf_init(&text, LINES_LIMIT_BYTES);
    DL_TRY(dl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_buf_printf(&text, err, "%zu\t%lld\n", i,
                             (long long)(values[i] < 0 ? 0 : values[i])));
    }
    return dl_file_write_all(fd, text.ptr, text.len, err);
}

/* What write_lines wrote; requests without a line stay 0. */
static dl_status read_lines(const char *path, int64_t *values, size_t count, dl_error *err)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, LINES_LIMIT_BYTES);
    DL_TRY(dl_file_read_all(path, &text, err));
    dl_str rest = dl_buf_str(&text), line = DL_STR_NONE, number = DL_STR_NONE;
    for (size_t i = 0; i < count && dl_str_next(&rest, '\n', &line) && line.len > 0; i++) {
        uint64_t index = 0, value = 0;
        if (!dl_str_next(&line, '\t', &number) || !dl_str_to_u64(number, &index) || index != i ||
            !dl_str_to_u64(line, &value) || value > INT64_MAX) {
            return dl_error_set(err, DL_E_INVALID, "%s: line %zu is not of --items", path, i + 1);
        }
        values[i] = (int64_t)value;
    }
    return DL_OK;
}

static int run_with_files(const options *o, load *l, int64_t *pages, worker *workers)
{
    dl_error err = {0};
    dl_status status = o->pages == NULL ? DL_OK : read_lines(o->pages, pages, l->requests, &err);
    l->target.pages = pages;
    int code = status == DL_OK ? run_threads(o, l, workers) : 1;
    if (status == DL_OK && o->times != NULL) {
        status = write_lines(o->times, l->done_us, l->requests, &err);
    }
    if (status == DL_OK && o->items != NULL) {
        status = write_lines(o->items, l->item_counts, l->requests, &err);
    }
    if (status != DL_OK) {
        (void)fprintf(stderr, "load: %s\n", err.message);
    }
    return status == DL_OK ? code : 1;
}

static int run(const options *o, const dl_bench_archive *archive)
{
    load l = {.kind = dl_bench_kind_find(o->kind),
              .target = {.archive = archive,
                         .root = o->root,
                         .port = (uint16_t)o->port,
                         .azure = o->azure,
                         .verify = o->verify,
                         .seed = o->seed,
                         .per_store = o->per_store,
                         .page = (int)o->page}};
    uint64_t limit = dl_bench_kind_limit(l.kind, &l.target);
    l.requests = o->requests < limit ? o->requests : limit;
    l.pause_ns = o->rate == 0 ? 0 : 1000000000 / (int64_t)o->rate;
    l.done_us = o->times == NULL ? NULL : dl_mem_zalloc(l.requests, sizeof *l.done_us);
    l.latency_ns = dl_mem_alloc(l.requests, sizeof *l.latency_ns);
    l.item_counts = dl_mem_alloc(l.requests, sizeof *l.item_counts);
    int64_t *pages = o->pages == NULL ? NULL : dl_mem_zalloc(l.requests, sizeof *pages);
    worker *workers = dl_mem_zalloc(o->connections, sizeof *workers);
    int code = 1;
    if (l.latency_ns != NULL && l.item_counts != NULL && workers != NULL &&
        (l.done_us != NULL || o->times == NULL) && (pages != NULL || o->pages == NULL)) {
        memset(l.latency_ns, 0xff, l.requests * sizeof *l.latency_ns);
        memset(l.item_counts, 0xff, l.requests * sizeof *l.item_counts);
        code = run_with_files(o, &l, pages, workers);
    }
    dl_mem_free(l.done_us);
    dl_mem_free(workers);
    dl_mem_free(pages);
    dl_mem_free(l.item_counts);
    dl_mem_free(l.latency_ns);
    return code;
}

/* ---- the command line ---- */

static dl_status parse_url(dl_str url, options *o, dl_error *err)
{
    dl_str prefix = DL_STR("http://127.0.0.1:");
    if (!dl_str_starts(url, prefix) ||
        !dl_str_to_u64(dl_str_slice(url, prefix.len, url.len), &o->port) || o->port == 0 ||
        o->port > 65535) {
        return dl_error_set(err, DL_E_INVALID, "--url: http://127.0.0.1:PORT, nothing else");
    }
    return DL_OK;
}

static dl_status parse_number(const char *name, const char *value, options *o, bool *out_known,
                              dl_error *err)
{
    const struct {
        const char *name;
        uint64_t *value, min, max;
    } numbers[] = {{"-c", &o->connections, 1, CONNECTIONS_MAX},
                   {"-k", &o->per_store, 1, PER_STORE_MAX},
                   {"-n", &o->requests, 1, REQUESTS_MAX},
                   {"-s", &o->seconds, 1, 3600},
                   {"--from", &o->from, 0, REQUESTS_MAX},
                   {"--count", &o->count, 1, REQUESTS_MAX},
                   {"--seed", &o->seed, 0, UINT64_MAX},
                   {"--rate", &o->rate, 1, 1000000},
                   {"--page", &o->page, 1, 200}};
    for (size_t i = 0; i < DL_COUNT_OF(numbers); i++) {
        if (strcmp(name, numbers[i].name) != 0) {
            continue;
        }
        *out_known = true;
        if (!dl_str_to_u64(dl_str_of(value), numbers[i].value) ||
            *numbers[i].value < numbers[i].min || *numbers[i].value > numbers[i].max) {
            return dl_error_set(err, DL_E_INVALID, "%s: a number from %llu to %llu", name,
                                (unsigned long long)numbers[i].min,
                                (unsigned long long)numbers[i].max);
        }
    }
    return DL_OK;
}

static dl_status parse_option(const char *name, const char *value, options *o, dl_error *err)
{
    bool known = false;
    if (strcmp(name, "--url") == 0) {
        return parse_url(dl_str_of(value), o, err);
    }
    if (strcmp(name, "--dialect") == 0) {
        o->azure = strcmp(value, "azure") == 0;
        return o->azure || strcmp(value, "orthanc") == 0
                   ? DL_OK
                   : dl_error_set(err, DL_E_INVALID, "--dialect: azure or orthanc");
    }
    const struct {
        const char *name, **value;
    } texts[] = {{"--root", &o->root},   {"--data", &o->data},   {"--label", &o->label},
                 {"--times", &o->times}, {"--items", &o->items}, {"--pages", &o->pages}};
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].value = value;
            return DL_OK;
        }
    }
    DL_TRY(parse_number(name, value, o, &known, err));
    return known ? DL_OK : dl_error_set(err, DL_E_INVALID, "%s: unknown", name);
}

static dl_status parse(int argc, char **argv, options *o, dl_error *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verify") == 0) {
            o->verify = true;
        } else if (i == 1 && argv[i][0] != '-') {
            o->kind = argv[i];
        } else if (i + 1 < argc) {
            DL_TRY(parse_option(argv[i], argv[i + 1], o, err));
            i++;
        } else {
            return dl_error_set(err, DL_E_INVALID, "%s: unknown, or no value", argv[i]);
        }
    }
    if (o->kind == NULL || dl_bench_kind_find(o->kind) == NULL) {
        return dl_error_set(err, DL_E_INVALID, "no such kind of request; --kinds lists them");
    }
    if (o->port == 0 || o->data == NULL) {
        return dl_error_set(err, DL_E_INVALID, "--url and --data are needed");
    }
    return DL_OK;
}

static int print_kinds(void)
{
    for (size_t i = 0; dl_bench_kind_name(i) != NULL; i++) {
        (void)printf("%s\n", dl_bench_kind_name(i));
    }
    return 0;
}

int main(int argc, char **argv)
{
    options o = {.root = "/v2",
                 .label = "",
                 .connections = 8,
                 .per_store = 1,
                 .requests = 1000,
                 .seconds = 60,
                 .seed = 1,
                 .page = 100,
                 .azure = true};
    dl_error err = {0};
    if (argc == 2 && strcmp(argv[1], "--kinds") == 0) {
        return print_kinds();
    }
    if (parse(argc, argv, &o, &err) != DL_OK) {
        (void)fprintf(stderr, "load: %s\n", err.message);
        return 2;
    }
    dl_bench_archive archive = {0};
    int code = 2;
    if (dl_bench_archive_open(o.data, o.from, o.count, &archive, &err) != DL_OK) {
        (void)fprintf(stderr, "load: %s\n", err.message);
    } else {
        code = run(&o, &archive);
    }
    dl_bench_archive_close(&archive);
    return code;
}
