/**
 * Measures the Parquet writer with rows like those of the instance table: 36 flat columns, the
 * attributes as map<string, struct<vr, Value>>, and the same as JSON text of about 5 KB.
 *
 *     bench-columnar [ROWS [LEVEL [FILE_ROWS [OUT]]]]
 *
 * Values repeat as in an archive: some always, some for a series of 40, some never. Only the CPU
 * time of the writer's calls counts. FILE_ROWS other than 0 makes files of so many rows. OUT gets
 * the last file. Prints one line a measure.
 */
#include "columnar/columnar.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    FLAT_COLUMNS = 36,
    TAGS = 120,
    VRS = 27,
    ROW_TAGS = 96,
    SERIES_ROWS = 40,
    BATCH_ROWS = 256, /* made ready before the clock runs */
    VALUE_SIZE = 72,
    JSON_SIZE = 12288,
    DEFAULT_ROWS = 100000,
    CONTENT_LIMIT_BYTES = 1 << 30,
    JSON_LEAF = FLAT_COLUMNS,
    KEY_LEAF,
    VR_LEAF,
    VALUE_LEAF,
};

typedef struct attribute {
    char key[9];
    char vr[3];
    char value[VALUE_SIZE];
    size_t value_len; /* 0: without a value */
} attribute;

typedef struct row {
    char texts[FLAT_COLUMNS][VALUE_SIZE];
    size_t lens[FLAT_COLUMNS];
    int64_t numbers[FLAT_COLUMNS];
    attribute attributes[ROW_TAGS];
    char json[JSON_SIZE];
    size_t json_len;
} row;

typedef struct sink {
    uint64_t bytes;
    dl_buf *keep; /* NULL: only counted */
} sink;

static const char vrs[VRS][3] = {"UI", "DA", "TM", "CS", "SH", "LO", "PN", "DS", "IS",
                                 "US", "AE", "AS", "AT", "DT", "FD", "FL", "LT", "OB",
                                 "OW", "SL", "SQ", "SS", "ST", "UC", "UL", "UR", "UT"};

static void must(dl_status status, const dl_error *err)
{
    if (status != DL_OK) {
        (void)fprintf(stderr, "bench: %s: %s\n", dl_status_name(status), err->message);
        exit(1);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a + 1) * UINT64_C(0x9e3779b97f4a7c15) + b * UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 31;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 29;
}

/* ---- rows ---- */

static size_t make_value(char out[VALUE_SIZE], unsigned tag, uint64_t n)
{
    uint64_t series = n / SERIES_ROWS;
    int len = 0;
    switch (tag % 12) {
    case 0:
        len = snprintf(out, VALUE_SIZE, "1.2.826.0.1.3680043.10.%u.%" PRIu64, tag,
                       mix(tag == 0 ? n : series, tag));
        break;
    case 1:
    case 2:
        len = snprintf(out, VALUE_SIZE, "%.4f", (double)(int64_t)(mix(n, tag) % 400000) / 1000.0);
        break;
    case 3:
    case 4:
        len = snprintf(out, VALUE_SIZE, "WORD%u", (unsigned)(mix(series, tag) % 6));
        break;
    case 5:
        break;
    case 6:
        len = snprintf(out, VALUE_SIZE, "%u", (unsigned)(n % SERIES_ROWS));
        break;
    default:
        len = snprintf(out, VALUE_SIZE, "VALUE %u OF %" PRIx64, tag, mix(series, tag) & 0xffffff);
        break;
    }
    return (size_t)len;
}

static void make_row(row *r, uint64_t n)
{
    for (unsigned i = 0; i < FLAT_COLUMNS; i++) {
        r->lens[i] = make_value(r->texts[i], i, n);
        r->numbers[i] = (int64_t)(n / (i + 1));
    }
    size_t len = 0;
    for (unsigned i = 0; i < ROW_TAGS; i++) {
        unsigned tag =
            i + (i >= ROW_TAGS / 2 ? (unsigned)(n / SERIES_ROWS % (TAGS - ROW_TAGS)) : 0);
        attribute *a = &r->attributes[i];
        (void)snprintf(a->key, sizeof a->key, "%08X", 0x00080000u + tag * 0x11u);
        memcpy(a->vr, vrs[tag % VRS], sizeof a->vr);
        a->value_len = make_value(a->value, tag, n);
        int more = snprintf(r->json + len, JSON_SIZE - len,
                            a->value_len > 0 ? "%c\"%s\":{\"vr\":\"%s\",\"Value\":[\"%s\"]}"
                                             : "%c\"%s\":{\"vr\":\"%s\"}",
                            i == 0 ? '{' : ',', a->key, a->vr, a->value);
        len += (size_t)more;
    }
    r->json[len++] = '}';
    r->json_len = len;
}

static void put_row(dl_columnar_writer *w, const row *r)
{
    for (size_t i = 0; i < FLAT_COLUMNS; i++) {
        if (i % 6 == 4) {
            dl_columnar_put_int(w, i, 0, r->numbers[i]);
        } else if (r->lens[i] == 0) {
            dl_columnar_put_null(w, i, 0, 0);
        } else {
            dl_columnar_put_str(w, i, 0, (dl_str){r->texts[i], r->lens[i]});
        }
    }
    dl_columnar_put_str(w, JSON_LEAF, 0, (dl_str){r->json, r->json_len});
    for (unsigned i = 0; i < ROW_TAGS; i++) {
        const attribute *a = &r->attributes[i];
        unsigned rep = i > 0;
        dl_columnar_put_str(w, KEY_LEAF, rep, (dl_str){a->key, sizeof a->key - 1});
        dl_columnar_put_str(w, VR_LEAF, rep, (dl_str){a->vr, sizeof a->vr - 1});
        if (a->value_len == 0) {
            dl_columnar_put_null(w, VALUE_LEAF, rep, 3);
        } else {
            dl_columnar_put_str(w, VALUE_LEAF, rep, (dl_str){a->value, a->value_len});
        }
    }
}

/* ---- files ---- */

static const dl_columnar_field element[] = {{.name = {"element", 7}}};
static const dl_columnar_field attribute_fields[] = {
    {.name = {"vr", 2}},
    {.name = {"Value", 5}, .type = DL_COLUMNAR_LIST, .children = element, .child_count = 1},
};
static const dl_columnar_field entry[] = {
    {.name = {"key", 3}, .required = true},
    {.name = {"value", 5},
     .type = DL_COLUMNAR_STRUCT,
     .children = attribute_fields,
     .child_count = DL_COUNT_OF(attribute_fields)},
};

static dl_status take(void *context, dl_bytes piece, dl_error *err)
{
    sink *s = context;
    s->bytes += piece.len;
    return s->keep == NULL ? DL_OK : dl_buf_append(s->keep, piece.ptr, piece.len, err);
}

static dl_columnar_writer *new_file(int level, sink *out)
{
    static char names[FLAT_COLUMNS][8];
    static dl_columnar_field fields[FLAT_COLUMNS + 2];
    for (unsigned i = 0; i < FLAT_COLUMNS; i++) {
        (void)snprintf(names[i], sizeof names[i], "flat%02u", i);
        fields[i].name = dl_str_of(names[i]);
        fields[i].type = i % 6 == 4 ? DL_COLUMNAR_INT64 : DL_COLUMNAR_STRING;
    }
    fields[FLAT_COLUMNS].name = DL_STR("metadata_string");
    fields[FLAT_COLUMNS + 1] = (dl_columnar_field){.name = DL_STR("metadata"),
                                                   .type = DL_COLUMNAR_MAP,
                                                   .children = entry,
                                                   .child_count = DL_COUNT_OF(entry)};
    dl_columnar_writer_options options = {.fields = fields,
                                          .field_count = DL_COUNT_OF(fields),
                                          .zstd_level = level,
                                          .write = take,
                                          .context = out};
    dl_error err = {0};
    dl_columnar_writer *w = NULL;
    must(dl_columnar_writer_create(&options, &w, &err), &err);
    return w;
}

static void end_file(dl_columnar_writer *w)
{
    dl_error err = {0};
    dl_columnar_summary summary = {0};
    must(dl_columnar_writer_finish(w, &summary, &err), &err);
    dl_columnar_writer_destroy(w);
}

static uint64_t argument(int argc, char **argv, int i, uint64_t otherwise)
{
    uint64_t value = otherwise;
    if (argc > i && !dl_str_to_u64(dl_str_of(argv[i]), &value)) {
        (void)fprintf(stderr, "usage: %s [ROWS [LEVEL [FILE_ROWS [OUT]]]]\n", argv[0]);
        exit(2);
    }
    return value;
}

static void keep_file(const char *path, const dl_buf *content)
{
    dl_error err = {0};
    DL_AUTO_FD fd = -1;
    must(dl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, &err), &err);
    must(dl_file_write_all(fd, content->ptr, content->len, &err), &err);
}

/** What is measured. */
typedef struct run {
    uint64_t rows, file_rows;
    int level;
    sink out;
    row *batch;
    dl_columnar_writer *writer;
    uint64_t in_file, files, json_bytes;
    double seconds;
} run;

static void write_batch(run *r, uint64_t count)
{
    dl_error err = {0};
    double start = cpu_seconds();
    for (uint64_t i = 0; i < count; i++) {
        if (r->writer == NULL) {
            r->writer = new_file(r->level, &r->out);
        }
        put_row(r->writer, &r->batch[i]);
        must(dl_columnar_row_end(r->writer, &err), &err);
        if (++r->in_file == r->file_rows) {
            end_file(r->writer);
            r->writer = NULL;
            r->in_file = 0;
            r->files++;
        }
    }
    r->seconds += cpu_seconds() - start;
}

static void write_last(run *r)
{
    if (r->writer != NULL) {
        double start = cpu_seconds();
        end_file(r->writer);
        r->seconds += cpu_seconds() - start;
        r->files++;
    }
}

static long peak_kib(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(int argc, char **argv)
{
    run r = {.rows = argument(argc, argv, 1, DEFAULT_ROWS),
             .level = (int)argument(argc, argv, 2, 1),
             .file_rows = argument(argc, argv, 3, 0)};
    DL_AUTO_BUF content = {0};
    dl_buf_init(&content, CONTENT_LIMIT_BYTES);
    r.out.keep = argc > 4 ? &content : NULL;
    r.batch = dl_mem_zalloc(BATCH_ROWS, sizeof *r.batch);
    if (r.batch == NULL) {
        return 1;
    }
    long before_kib = 0;
    for (uint64_t n = 0; n < r.rows; n += BATCH_ROWS) {
        uint64_t count = r.rows - n < BATCH_ROWS ? r.rows - n : BATCH_ROWS;
        for (uint64_t i = 0; i < count; i++) {
            make_row(&r.batch[i], n + i);
            r.json_bytes += r.batch[i].json_len;
        }
        before_kib = n == 0 ? peak_kib() : before_kib;
        write_batch(&r, count);
    }
    write_last(&r);
    printf("rows %" PRIu64 " files %" PRIu64 " level %d\n", r.rows, r.files, r.level);
    printf("JSON bytes a row %.0f\n", (double)r.json_bytes / (double)r.rows);
    printf("rows a CPU second %.0f\n", (double)r.rows / r.seconds);
    printf("CPU microseconds a file %.1f\n", r.seconds * 1e6 / (double)r.files);
    printf("bytes a row %.1f\n", (double)r.out.bytes / (double)r.rows);
    printf("peak memory of the writer KiB %ld\n", peak_kib() - before_kib);
    if (argc > 4) {
        keep_file(argv[4], &content);
    }
    dl_mem_free(r.batch);
    return 0;
}
