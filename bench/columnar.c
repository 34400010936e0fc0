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

int main(int argc, char **argv)
{
    uint64_t rows = argument(argc, argv, 1, 100000);
    int level = (int)argument(argc, argv, 2, 1);
    uint64_t file_rows = argument(argc, argv, 3, 0);
    DL_AUTO_BUF content = {0};
    dl_buf_init(&content, (size_t)1 << 31);
    sink out = {.keep = argc > 4 ? &content : NULL};
    row *batch = dl_mem_zalloc(BATCH_ROWS, sizeof *batch);
    if (batch == NULL) {
        return 1;
    }
    struct rusage before, after;
    (void)getrusage(RUSAGE_SELF, &before);
    double seconds = 0;
    uint64_t files = 0, in_file = 0, json_bytes = 0;
    dl_columnar_writer *w = NULL;
    dl_error err = {0};
    for (uint64_t n = 0; n < rows; n += BATCH_ROWS) {
        for (uint64_t i = 0; i < BATCH_ROWS; i++) {
            make_row(&batch[i], n + i);
            json_bytes += batch[i].json_len;
        }
        if (n == 0) {
            (void)getrusage(RUSAGE_SELF, &before);
        }
        double start = cpu_seconds();
        for (uint64_t i = 0; i < BATCH_ROWS && n + i < rows; i++) {
            if (w == NULL) {
                w = new_file(level, &out);
            }
            put_row(w, &batch[i]);
            must(dl_columnar_row_end(w, &err), &err);
            if (++in_file == file_rows) {
                end_file(w);
                w = NULL;
                in_file = 0;
                files++;
            }
        }
        seconds += cpu_seconds() - start;
    }
    if (w != NULL) {
        double start = cpu_seconds();
        end_file(w);
        seconds += cpu_seconds() - start;
        files++;
    }
    (void)getrusage(RUSAGE_SELF, &after);
    printf("rows %" PRIu64 " files %" PRIu64 " level %d\n", rows, files, level);
    printf("json bytes a row %.0f\n", (double)json_bytes / (double)(rows + BATCH_ROWS - 1));
    printf("rows a CPU second %.0f\n", (double)rows / seconds);
    printf("CPU microseconds a file %.1f\n", seconds * 1e6 / (double)files);
    printf("bytes a row %.1f\n", (double)out.bytes / (double)rows);
    printf("peak memory of the writer KiB %ld\n", after.ru_maxrss - before.ru_maxrss);
    if (argc > 4) {
        keep_file(argv[4], &content);
    }
    dl_mem_free(batch);
    return 0;
}
