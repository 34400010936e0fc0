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
 *
 * Nothing here is a person: names are drawn from short lists.
 */
#include "base/buf.h"
#include "base/file.h"
#include "gen_header.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    UID_SIZE = 65,
    TEXT_SIZE = 128,
    DEPTH_LIMIT = 4,
    NOISE_PERIOD = 8192,
    FLUSH_BYTES = 4 << 20,
    OUT_LIMIT_BYTES = 8 << 20,
    PATH_SIZE = 4096,
    INSTANCES_MAX = 100000000,
};

/* ---- random numbers that depend on nothing but their key ---- */

typedef struct stream {
    uint64_t state;
} stream;

static uint64_t stream_next(stream *s)
{
    s->state += 0x9e3779b97f4a7c15U;
    uint64_t z = s->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static stream stream_of(uint64_t seed, uint64_t kind, uint64_t a, uint64_t b)
{
    stream s = {seed * 0x2545f4914f6cdd1dU + kind};
    s.state = stream_next(&s) ^ a;
    s.state = stream_next(&s) ^ b;
    (void)stream_next(&s);
    return s;
}

static unsigned stream_below(stream *s, unsigned bound)
{
    return (unsigned)((stream_next(s) >> 33) % bound);
}

/* ---- what the archive is about ---- */

typedef struct options {
    const char *out;
    bool ct, files;
    uint64_t instances, seed, per_series, series_per_study, big_series;
} options;

typedef struct patient {
    char id[16], name[TEXT_SIZE], birth_date[9], sex[2], age[5];
} patient;

typedef struct study {
    uint64_t number;
    patient who;
    char uid[UID_SIZE], date[9], time[7], accession[17], id[17], frame_uid[UID_SIZE];
    char physician[TEXT_SIZE];
    const char *description, *modality;
} study;

typedef struct series {
    uint64_t number;
    char uid[UID_SIZE], number_text[8];
    const char *description, *modality, *sop_class;
} series;

typedef struct instance {
    char uid[UID_SIZE], number_text[12], position[48], location[16], time[14];
} instance;

/* clang-format off */
static const char *const FAMILY[] = {
    "Smith",  "Müller",    "García",  "Nguyen",  "Kowalski", "Øster",        "Yamada", "Ivanova",
    "Rossi",  "Andersen",  "Dubois",  "Çelik",   "Novák",    "Papadopoulos", "Silva",  "Kim",
    "Okafor", "Lindqvist", "Haddad",  "O'Brien", "Szabó",    "Jönsson",      "Weiß",   "Peña",
    "Löwe",   "Bérénice",  "Ionescu", "Kaya",    "Patel",    "Hernández",    "Chen",   "Dvořák",
};
static const char *const GIVEN[] = {
    "Anna",  "John",  "María", "Wei",   "Jürgen", "Léa",   "Omar", "Ingrid",
    "Tomás", "Priya", "Sofia", "Peter", "Amélie", "Noah",  "Zoë",  "Håkon",
    "Mia",   "Elif",  "Björn", "Ruth",  "Chloé",  "Kwame", "Yuki", "Ewa",
};
static const char *const SYLLABLE[] = {"ba", "ka", "lo",  "mi",  "nu",  "re",  "sa",  "to",
                                       "vi", "ze", "dar", "fen", "gol", "hus", "jar", "pol"};
static const char *const STUDY_TEXT[] = {"CT CHEST W CONTRAST", "CT HEAD WO",       "MR BRAIN W/WO",
                                         "CT ABD PELVIS",       "XR CHEST 2 VIEWS", "US ABDOMEN"};
static const char *const SERIES_TEXT[] = {"AXIAL 1.0 B30f", "AXIAL 5.0", "COR MPR",
                                          "SAG T1",         "LOCALIZER", "T2 FLAIR AX"};
static const struct {
    const char *modality, *sop_class;
    unsigned share; /* in a hundred */
} MODALITY[] = {
    {"CT", "1.2.840.10008.5.1.4.1.1.2", 55},   {"MR", "1.2.840.10008.5.1.4.1.1.4", 20},
    {"US", "1.2.840.10008.5.1.4.1.1.6.1", 7},  {"PT", "1.2.840.10008.5.1.4.1.1.128", 6},
    {"CR", "1.2.840.10008.5.1.4.1.1.1", 5},    {"MG", "1.2.840.10008.5.1.4.1.1.1.2", 4},
    {"XA", "1.2.840.10008.5.1.4.1.1.12.1", 3},
};

/* clang-format on */

enum { KIND_STUDY = 1, KIND_SERIES, KIND_PATIENT, KIND_FRAME, KIND_INSTANCE, KIND_STUDY_UID };

/* 2.25.<39 digits>, 44 characters: PS3.5 section B.2. Starts with 1 or 2, so it is below 2^128. */
static void uid_root(stream s, char out[UID_SIZE])
{
    (void)snprintf(out, UID_SIZE, "2.25.%u%019llu%019llu", 1 + stream_below(&s, 2),
                   (unsigned long long)(stream_next(&s) % 10000000000000000000U),
                   (unsigned long long)(stream_next(&s) % 10000000000000000000U));
}

static unsigned modality_draw(stream *s)
{
    unsigned at = stream_below(s, 100);
    unsigned i = 0;
    while (i + 1 < DL_COUNT_OF(MODALITY) && at >= MODALITY[i].share) {
        at -= MODALITY[i].share;
        i++;
    }
    return i;
}

#define PICK(s, list) ((list)[stream_below((s), (unsigned)DL_COUNT_OF(list))])

static void patient_make(const options *o, uint64_t number, patient *out)
{
    stream s = stream_of(o->seed, KIND_PATIENT, number, 0);
    const char *family = PICK(&s, FAMILY);
    const char *given = PICK(&s, GIVEN);
    /* One name in two is a rare one, as in any register. */
    if (stream_below(&s, 2) == 0) {
        const char *a = PICK(&s, SYLLABLE);
        const char *b = PICK(&s, SYLLABLE);
        (void)snprintf(out->name, sizeof out->name, "%s%s%s^%s^%c", family, a, b, given,
                       'A' + (char)(number % 26));
    } else {
        (void)snprintf(out->name, sizeof out->name, "%s^%s^%c", family, given,
                       'A' + (char)(number % 26));
    }
    unsigned year = 1920 + stream_below(&s, 80);
    (void)snprintf(out->id, sizeof out->id, "P%09llu", (unsigned long long)number % 1000000000U);
    (void)snprintf(out->birth_date, sizeof out->birth_date, "%04u%02u%02u", year % 10000,
                   1 + stream_below(&s, 12), 1 + stream_below(&s, 28));
    (void)snprintf(out->sex, sizeof out->sex, "%c", "MFO"[stream_below(&s, 3)]);
    (void)snprintf(out->age, sizeof out->age, "%03uY", (2020 - year) % 1000);
}

static void study_make(const options *o, uint64_t number, study *out)
{
    stream s = stream_of(o->seed, KIND_STUDY, number, 0);
    out->number = number;
    /* Two studies in five belong to a patient who has others. */
    patient_make(o, stream_below(&s, 5) < 2 ? number / 2 : number, &out->who);
    uid_root(stream_of(o->seed, KIND_STUDY_UID, number, 0), out->uid);
    uid_root(stream_of(o->seed, KIND_FRAME, number, 0), out->frame_uid);
    (void)snprintf(out->date, sizeof out->date, "%04u%02u%02u", 2018 + stream_below(&s, 8),
                   1 + stream_below(&s, 12), 1 + stream_below(&s, 28));
    (void)snprintf(out->time, sizeof out->time, "%02u%02u%02u", stream_below(&s, 24),
                   stream_below(&s, 60), stream_below(&s, 60));
    (void)snprintf(out->accession, sizeof out->accession, "A%09llu",
                   (unsigned long long)number % 1000000000U);
    (void)snprintf(out->id, sizeof out->id, "S%llu", (unsigned long long)number % 1000000000U);
    const char *family = PICK(&s, FAMILY);
    (void)snprintf(out->physician, sizeof out->physician, "%s^%s", family, PICK(&s, GIVEN));
    out->description = PICK(&s, STUDY_TEXT);
    out->modality = MODALITY[modality_draw(&s)].modality;
}

static void series_make(const options *o, const study *in, uint64_t number, series *out)
{
    stream s = stream_of(o->seed, KIND_SERIES, in->number, number);
    char root[UID_SIZE];
    uid_root(s, root);
    (void)snprintf(out->uid, sizeof out->uid, "%.44s.%llu", root,
                   (unsigned long long)(number + 1) % 1000000U);
    (void)snprintf(out->number_text, sizeof out->number_text, "%llu",
                   (unsigned long long)(number + 1) % 1000000U);
    out->number = number;
    out->description = PICK(&s, SERIES_TEXT);
    out->modality = in->modality;
    /* One further series in seven is of another modality. */
    if (number > 0 && stream_below(&s, 7) == 0) {
        out->modality = MODALITY[modality_draw(&s)].modality;
    }
    for (size_t i = 0; i < DL_COUNT_OF(MODALITY); i++) {
        if (strcmp(MODALITY[i].modality, out->modality) == 0) {
            out->sop_class = MODALITY[i].sop_class;
        }
    }
}

static void instance_make(const options *o, const study *in, const series *of, uint64_t number,
                          instance *out)
{
    char root[UID_SIZE];
    uid_root(stream_of(o->seed, KIND_INSTANCE, in->number * 1000 + of->number, number), root);
    (void)snprintf(out->uid, sizeof out->uid, "%.44s.%s.%llu", root, in->date,
                   (unsigned long long)(number + 1) % 100000000U);
    (void)snprintf(out->number_text, sizeof out->number_text, "%llu",
                   (unsigned long long)(number + 1) % 100000000U);
    double z = -120.0 + 1.25 * (double)(number % 100000);
    (void)snprintf(out->position, sizeof out->position, "-170.5\\-170.5\\%.2f", z);
    (void)snprintf(out->location, sizeof out->location, "%.2f", z);
    (void)snprintf(out->time, sizeof out->time, "%s.%06llu", in->time,
                   (unsigned long long)(number * 7919) % 1000000U);
}

/* ---- encoding ---- */

typedef struct writer {
    dl_buf *out;
    const options *o;
    const study *study;
    const series *series;
    const instance *instance;
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
    const study *st = w->study;
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

static dl_status write_instance(archive *a, const study *st, const series *se, uint64_t number,
                                dl_error *err)
{
    instance in;
    instance_make(a->o, st, se, number, &in);
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
        study st;
        study_make(o, number, &st);
        bool big = number == 0 && o->big_series > 0;
        uint64_t series_count = big ? 1 : o->series_per_study;
        for (uint64_t k = 0; k < series_count && a->written < o->instances; k++) {
            series se = {0};
            series_make(o, &st, k, &se);
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
    stream s = stream_of(o->seed, 0, 0, 0);
    for (size_t i = 0; i + 1 < noise_bytes; i += 2) {
        put16((uint8_t *)noise.ptr + i, 1000 + (uint32_t)(i / 512 % 512) + stream_below(&s, 64));
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
