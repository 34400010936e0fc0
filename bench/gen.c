/**
 * gen: a seeded generator of synthetic archives for the benchmarks.
 *
 *     gen --out DIR [--profile small|ct] [--instances 1000] [--seed 1] [--per-series 10]
 *         [--series-per-study 2] [--big-series 0] [--files]
 *
 * `small` is the header a CT scanner writes (139 elements, three private blocks, sequences of known
 * and of unknown length) with a 16x16 image, about 5 KB; `ct` the same with 512x512x16, about
 * 528 KB. `--big-series N` makes the first study one series of N instances. The same arguments give
 * the same bytes on every machine.
 *
 * Writes DIR/pack.bin, all files one after the other, and DIR/manifest.tsv, one line an instance:
 *     offset length study series sop patient_id patient_name study_date modality accession
 * With --files also DIR/files/NNNNNN.dcm and DIR/files.txt with their paths.
 */
#include "base/buf.h"
#include "base/file.h"
#include "gen_header.h"
#include "gen_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    DEPTH_LIMIT = 4,
    NOISE_PERIOD = 8192,
    FLUSH_BYTES = 4 << 20,
    OUT_LIMIT_BYTES = 8 << 20,
    PATH_SIZE = 4096,
    INSTANCES_MAX = 100000000,
};

typedef struct options {
    const char *out;
    bool ct, files;
    uint64_t instances, seed, per_series, series_per_study, big_series;
} options;

/* ---- encoding ---- */

typedef struct writer {
    dl_buf *out;
    const options *o;
    const dl_bench_study *study;
    const dl_bench_series *series;
    const dl_bench_instance *instance;
    const uint8_t *noise;
    uint64_t number;
    const char *texts[SOURCE_COUNT];
    struct {
        size_t length_at;
        bool known;
    } open[DEPTH_LIMIT];
    unsigned depth;
} writer;

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value);
    put16(at + 2, value >> 16);
}

static bool is_long_vr(const char *vr)
{
    static const char *const LONG[] = {"OB", "OW", "SQ", "UN", "UT"};
    for (size_t i = 0; i < DL_COUNT_OF(LONG); i++) {
        if (memcmp(vr, LONG[i], 2) == 0) {
            return true;
        }
    }
    return false;
}

static dl_status element_head(dl_buf *out, uint32_t tag, const char *vr, uint32_t length,
                              dl_error *err)
{
    uint8_t head[12] = {0};
    put16(head, tag >> 16);
    put16(head + 2, tag);
    head[4] = (uint8_t)vr[0];
    head[5] = (uint8_t)vr[1];
    if (is_long_vr(vr)) {
        put32(head + 8, length);
        return dl_buf_append(out, head, 12, err);
    }
    put16(head + 6, length);
    return dl_buf_append(out, head, 8, err);
}

static dl_status element(dl_buf *out, uint32_t tag, const char *vr, const void *value, size_t len,
                         dl_error *err)
{
    DL_TRY(element_head(out, tag, vr, (uint32_t)(len + (len & 1)), err));
    DL_TRY(dl_buf_append(out, value, len, err));
    if ((len & 1) == 0) {
        return DL_OK;
    }
    bool nul = memcmp(vr, "UI", 2) == 0 || memcmp(vr, "OB", 2) == 0;
    return dl_buf_append_char(out, nul ? '\0' : ' ', err);
}

static dl_status numbers(dl_buf *out, const row *r, dl_error *err)
{
    uint8_t bytes[16];
    size_t len = 0;
    dl_str rest = dl_str_of(r->text);
    dl_str part;
    while (len < sizeof bytes && dl_str_next(&rest, '\\', &part)) {
        uint64_t value = 0;
        DL_ASSERT(dl_str_to_u64(part, &value));
        put16(bytes + len, (uint32_t)value);
        len += 2;
    }
    return element(out, r->tag, r->vr, bytes, len, err);
}

/* Sequences and items: an item tag or a sequence head whose length is known later, or never. */
static dl_status open_nested(writer *w, const row *r, dl_error *err)
{
    DL_ASSERT(w->depth < DEPTH_LIMIT);
    bool known = r->from == SEQUENCE_KNOWN || r->from == ITEM_KNOWN;
    if (r->from == SEQUENCE || r->from == SEQUENCE_KNOWN) {
        DL_TRY(element_head(w->out, r->tag, "SQ", 0xffffffffU, err));
    } else {
        static const uint8_t head[8] = {0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff};
        DL_TRY(dl_buf_append(w->out, head, sizeof head, err));
    }
    w->open[w->depth].length_at = w->out->len - 4;
    w->open[w->depth].known = known;
    w->depth++;
    return DL_OK;
}

static dl_status close_nested(writer *w, const row *r, dl_error *err)
{
    DL_ASSERT(w->depth > 0);
    w->depth--;
    size_t at = w->open[w->depth].length_at;
    if (w->open[w->depth].known) {
        uint8_t length[4];
        put32(length, (uint32_t)(w->out->len - at - 4));
        memcpy(w->out->ptr + at, length, 4);
        return DL_OK;
    }
    uint8_t end[8] = {0xfe, 0xff, r->from == END_ITEM ? 0x0d : 0xdd, 0xe0, 0, 0, 0, 0};
    return dl_buf_append(w->out, end, sizeof end, err);
}

static dl_status private_value(writer *w, uint32_t tag, unsigned i, dl_error *err)
{
    char text[32];
    if (i % 3 == 0) {
        (void)snprintf(text, sizeof text, "%.4f", 3.14159 * (double)(i + 1));
        return element(w->out, tag, "DS", text, strlen(text), err);
    }
    if (i % 3 == 1) {
        (void)snprintf(text, sizeof text, "private value %u", i);
        return element(w->out, tag, "LO", text, strlen(text), err);
    }
    uint8_t bytes[16];
    for (unsigned k = 0; k < 2; k++) {
        double value = (double)(i + k) / 7.0;
        uint64_t bits = 0;
        memcpy(&bits, &value, sizeof bits);
        put32(bytes + (size_t)8 * k, (uint32_t)bits);
        put32(bytes + (size_t)8 * k + 4, (uint32_t)(bits >> 32));
    }
    return element(w->out, tag, "FD", bytes, sizeof bytes, err);
}

static dl_status private_block(writer *w, const row *r, dl_error *err)
{
    uint32_t group = (uint32_t)BLOCK[r->tag].group << 16;
    DL_TRY(element(w->out, group | 0x0010, "LO", r->text, strlen(r->text), err));
    for (unsigned i = 0; i < BLOCK[r->tag].count; i++) {
        uint32_t tag = group | 0x1000 | i;
        if (!BLOCK[r->tag].binary) {
            DL_TRY(private_value(w, tag, i, err));
            continue;
        }
        uint8_t bytes[256];
        for (unsigned k = 0; k < sizeof bytes; k++) {
            bytes[k] = (uint8_t)(i * 37 + k * 11);
        }
        DL_TRY(element(w->out, tag, "OB", bytes, sizeof bytes, err));
    }
    return DL_OK;
}

static unsigned edge_of(const options *o)
{
    return o->ct ? 512 : 16;
}

static size_t pixel_bytes(const options *o)
{
    return (size_t)edge_of(o) * edge_of(o) * 2;
}

/* The texts that change, by where they come from. */
static void collect_texts(writer *w)
{
    const dl_bench_study *st = w->study;
    const char *const texts[SOURCE_COUNT] = {
        [SOP_CLASS] = w->series->sop_class,
        [SOP_UID] = w->instance->uid,
        [STUDY_UID] = st->uid,
        [SERIES_UID] = w->series->uid,
        [FRAME_UID] = st->frame_uid,
        [STUDY_DATE] = st->date,
        [STUDY_TIME] = st->time,
        [INSTANCE_TIME] = w->instance->time,
        [ACCESSION] = st->accession,
        [MODALITY_OF] = w->series->modality,
        [PHYSICIAN] = st->physician,
        [STUDY_DESCRIPTION] = st->description,
        [SERIES_DESCRIPTION] = w->series->description,
        [PATIENT_NAME] = st->who.name,
        [PATIENT_ID] = st->who.id,
        [BIRTH_DATE] = st->who.birth_date,
        [SEX] = st->who.sex,
        [AGE] = st->who.age,
        [STUDY_ID] = st->id,
        [SERIES_NUMBER] = w->series->number_text,
        [INSTANCE_NUMBER] = w->instance->number_text,
        [POSITION] = w->instance->position,
        [LOCATION] = w->instance->location,
    };
    memcpy(w->texts, texts, sizeof texts);
}

static dl_status write_pixels(const writer *w, const row *r, dl_error *err)
{
    size_t len = pixel_bytes(w->o);
    DL_TRY(element_head(w->out, r->tag, r->vr, (uint32_t)len, err));
    return dl_buf_append(w->out, w->noise + w->number * 74 % NOISE_PERIOD, len, err);
}

static dl_status write_row(writer *w, const row *r, dl_error *err)
{
    uint8_t edge[2];
    if (r->from == NUMBER) {
        return numbers(w->out, r, err);
    }
    if (r->from == PRIVATE) {
        return private_block(w, r, err);
    }
    if (r->from == PIXELS) {
        return write_pixels(w, r, err);
    }
    if (r->from == EDGE) {
        put16(edge, edge_of(w->o));
        return element(w->out, r->tag, r->vr, edge, 2, err);
    }
    if (r->from >= SEQUENCE && r->from <= ITEM_KNOWN) {
        return open_nested(w, r, err);
    }
    if (r->from == END_ITEM || r->from == END_SEQUENCE) {
        return close_nested(w, r, err);
    }
    const char *text = r->from == TEXT ? r->text : w->texts[r->from];
    return element(w->out, r->tag, r->vr, text, strlen(text), err);
}

static dl_status write_meta(const writer *w, dl_error *err)
{
    static const uint8_t start[132] = {[128] = 'D', 'I', 'C', 'M'};
    static const char syntax[] = "1.2.840.10008.1.2.1";
    static const char implementation[] = "2.25.80302813137786398554742050926734630921";
    dl_buf *out = w->out;
    DL_TRY(dl_buf_append(out, start, sizeof start, err));
    size_t at = out->len;
    DL_TRY(element(out, 0x00020000, "UL", "\0\0\0\0", 4, err));
    DL_TRY(element(out, 0x00020001, "OB", "\0\1", 2, err));
    DL_TRY(element(out, 0x00020002, "UI", w->series->sop_class, strlen(w->series->sop_class), err));
    DL_TRY(element(out, 0x00020003, "UI", w->instance->uid, strlen(w->instance->uid), err));
    DL_TRY(element(out, 0x00020010, "UI", syntax, strlen(syntax), err));
    DL_TRY(element(out, 0x00020012, "UI", implementation, strlen(implementation), err));
    DL_TRY(element(out, 0x00020013, "SH", "BENCH_GEN_1", 11, err));
    uint8_t length[4];
    put32(length, (uint32_t)(out->len - at - 12));
    memcpy(out->ptr + at + 8, length, 4);
    return DL_OK;
}

/* ---- the archive ---- */

typedef struct archive {
    const options *o;
    int pack_fd, manifest_fd, list_fd;
    dl_buf pack, manifest, list;
    uint8_t *noise;
    uint64_t written, offset;
} archive;

static dl_status flush(int fd, dl_buf *buf, size_t keep_below, dl_error *err)
{
    if (fd < 0 || buf->len <= keep_below) {
        return DL_OK;
    }
    DL_TRY(dl_file_write_all(fd, buf->ptr, buf->len, err));
    dl_buf_reset(buf);
    return DL_OK;
}

static dl_status write_file(archive *a, const char *bytes, size_t len, dl_error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/files/%06llu.dcm", a->o->out,
                   (unsigned long long)a->written);
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err));
    DL_TRY(dl_file_write_all(fd, bytes, len, err));
    return dl_buf_printf(&a->list, err, "%s\n", path);
}

static dl_status write_instance(archive *a, const dl_bench_study *st, const dl_bench_series *se,
                                uint64_t number, dl_error *err)
{
    dl_bench_instance in;
    dl_bench_instance_make(a->o->seed, st, se, number, &in);
    writer w = {.out = &a->pack,
                .o = a->o,
                .study = st,
                .series = se,
                .instance = &in,
                .noise = a->noise,
                .number = a->written};
    collect_texts(&w);
    size_t start = a->pack.len;
    DL_TRY(write_meta(&w, err));
    for (size_t i = 0; i < DL_COUNT_OF(HEADER); i++) {
        DL_TRY(write_row(&w, &HEADER[i], err));
    }
    size_t len = a->pack.len - start;
    DL_TRY(dl_buf_printf(&a->manifest, err, "%llu\t%zu\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
                         (unsigned long long)a->offset, len, st->uid, se->uid, in.uid, st->who.id,
                         st->who.name, st->date, se->modality, st->accession));
    if (a->o->files) {
        DL_TRY(write_file(a, a->pack.ptr + start, len, err));
    }
    a->written++;
    a->offset += len;
    DL_TRY(flush(a->list_fd, &a->list, FLUSH_BYTES / 2, err));
    DL_TRY(flush(a->manifest_fd, &a->manifest, FLUSH_BYTES / 2, err));
    return flush(a->pack_fd, &a->pack, FLUSH_BYTES, err);
}

static dl_status write_archive(archive *a, dl_error *err)
{
    const options *o = a->o;
    for (uint64_t number = 0; a->written < o->instances; number++) {
        dl_bench_study st;
        dl_bench_study_make(o->seed, number, &st);
        bool big = number == 0 && o->big_series > 0;
        uint64_t series_count = big ? 1 : o->series_per_study;
        for (uint64_t k = 0; k < series_count && a->written < o->instances; k++) {
            dl_bench_series se = {0};
            dl_bench_series_make(o->seed, &st, k, &se);
            uint64_t count = big ? o->big_series : o->per_series;
            for (uint64_t i = 0; i < count && a->written < o->instances; i++) {
                DL_TRY(write_instance(a, &st, &se, i, err));
            }
        }
    }
    DL_TRY(flush(a->list_fd, &a->list, 0, err));
    DL_TRY(flush(a->manifest_fd, &a->manifest, 0, err));
    return flush(a->pack_fd, &a->pack, 0, err);
}

static dl_status create_in(const char *folder, const char *name, int *out_fd, dl_error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return dl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, out_fd, err);
}

static dl_status run(const options *o, dl_error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s%s", o->out, o->files ? "/files" : "");
    DL_TRY(dl_file_make_dirs(path, err));
    DL_AUTO_FD pack_fd = -1;
    DL_AUTO_FD manifest_fd = -1;
    DL_AUTO_FD list_fd = -1;
    DL_TRY(create_in(o->out, "pack.bin", &pack_fd, err));
    DL_TRY(create_in(o->out, "manifest.tsv", &manifest_fd, err));
    if (o->files) {
        DL_TRY(create_in(o->out, "files.txt", &list_fd, err));
    }
    DL_AUTO_BUF noise = {0};
    dl_buf_init(&noise, OUT_LIMIT_BYTES);
    size_t noise_bytes = pixel_bytes(o) + NOISE_PERIOD;
    DL_TRY(dl_buf_reserve(&noise, noise_bytes, err));
    dl_bench_stream s = dl_bench_stream_of(o->seed, 0, 0, 0);
    for (size_t i = 0; i + 1 < noise_bytes; i += 2) {
        put16((uint8_t *)noise.ptr + i,
              1000 + (uint32_t)(i / 512 % 512) + dl_bench_stream_below(&s, 64));
    }
    archive a = {.o = o,
                 .pack_fd = pack_fd,
                 .manifest_fd = manifest_fd,
                 .list_fd = list_fd,
                 .noise = (uint8_t *)noise.ptr};
    dl_buf_init(&a.pack, OUT_LIMIT_BYTES);
    dl_buf_init(&a.manifest, OUT_LIMIT_BYTES);
    dl_buf_init(&a.list, OUT_LIMIT_BYTES);
    dl_status status = write_archive(&a, err);
    dl_buf_clear(&a.pack);
    dl_buf_clear(&a.manifest);
    dl_buf_clear(&a.list);
    if (status == DL_OK) {
        (void)printf("{\"instances\":%llu,\"bytes\":%llu}\n", (unsigned long long)a.written,
                     (unsigned long long)a.offset);
    }
    return status;
}

static dl_status parse_profile(dl_str value, options *o, dl_error *err)
{
    o->ct = dl_str_eq(value, DL_STR("ct"));
    if (!o->ct && !dl_str_eq(value, DL_STR("small"))) {
        return dl_error_set(err, DL_E_INVALID, "--profile: small or ct");
    }
    return DL_OK;
}

static dl_status parse(int argc, char **argv, options *o, dl_error *err)
{
    const struct {
        const char *name;
        uint64_t *value, min;
    } numbers[] = {{"--instances", &o->instances, 1},
                   {"--seed", &o->seed, 0},
                   {"--per-series", &o->per_series, 1},
                   {"--series-per-study", &o->series_per_study, 1},
                   {"--big-series", &o->big_series, 0}};
    for (int i = 1; i < argc; i++) {
        dl_str name = dl_str_of(argv[i]);
        if (dl_str_eq(name, DL_STR("--files"))) {
            o->files = true;
            continue;
        }
        if (i + 1 >= argc) {
            return dl_error_set(err, DL_E_INVALID, "%s: unknown, or no value", argv[i]);
        }
        const char *value = argv[++i];
        bool known = dl_str_eq(name, DL_STR("--out"));
        if (known) {
            o->out = value;
        } else if (dl_str_eq(name, DL_STR("--profile"))) {
            DL_TRY(parse_profile(dl_str_of(value), o, err));
            known = true;
        }
        for (size_t k = 0; k < DL_COUNT_OF(numbers) && !known; k++) {
            known = dl_str_eq(name, dl_str_of(numbers[k].name));
            if (known &&
                (!dl_str_to_u64(dl_str_of(value), numbers[k].value) ||
                 *numbers[k].value < numbers[k].min || *numbers[k].value > INSTANCES_MAX)) {
                return dl_error_set(err, DL_E_INVALID, "%s: %s is not a number from %llu to %d",
                                    numbers[k].name, value, (unsigned long long)numbers[k].min,
                                    INSTANCES_MAX);
            }
        }
        if (!known) {
            return dl_error_set(err, DL_E_INVALID, "%s: unknown", argv[i - 1]);
        }
    }
    return o->out != NULL && strlen(o->out) < PATH_SIZE - 64
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID, "--out DIR is missing or too long");
}

int main(int argc, char **argv)
{
    options o = {.instances = 1000, .seed = 1, .per_series = 10, .series_per_study = 2};
    dl_error err = {0};
    if (parse(argc, argv, &o, &err) != DL_OK) {
        (void)fprintf(stderr, "gen: %s\n", err.message);
        return 2;
    }
    if (run(&o, &err) != DL_OK) {
        (void)fprintf(stderr, "gen: %s\n", err.message);
        return 1;
    }
    return 0;
}
