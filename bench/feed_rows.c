#include "feed_rows.h"

#include "base/clock.h"
#include "base/mem.h"
#include "gen_header.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    BLOCK_ROWS = 20,    /* of the rows behind the base, and in it: */
    BLOCK_NEW = 6,      /* new instances, */
    BLOCK_UPDATES = 8,  /* updates, */
    BLOCK_REPLACED = 2, /* updates of two rows each, */
    BLOCK_KEYS = 12,    /* and deletes: instances of the base that are touched */
    SEGMENT_LIMIT = 256,
    TEXT_LIMIT_BYTES = 64 * 1024,
    ROW_ROOM_BYTES = 16 * 1024,
    STEP_US = 1000,
    FEISTEL_ROUNDS = 4,
    DEPTH_LIMIT = 4,
};
/* 2024-01-05T08:00:00Z: of sequence 0. */
#define START_US INT64_C(1704441600000000)

static_assert(BLOCK_NEW + BLOCK_KEYS + BLOCK_REPLACED == BLOCK_ROWS, "a block is full");

/* Text as it stands, then a value that changes (source SOURCE_COUNT: none). */
typedef struct segment {
    dl_str text;
    source from;
} segment;

struct dl_feed_rows {
    dl_feed_rows_options options;
    unsigned half_bits; /* of the numbers that are permuted */
    segment segments[SEGMENT_LIMIT];
    size_t segment_count;
    dl_buf text;
};

/* ---- the metadata's text, but for what changes ---- */

typedef struct builder {
    dl_feed_rows *rows;
    size_t starts[SEGMENT_LIMIT]; /* of each segment's text */
    size_t begin;
    bool first[DEPTH_LIMIT + 1]; /* nothing stands yet at that depth */
    bool items;                  /* the next item is the first of its sequence */
    unsigned depth;
    dl_error *err;
} builder;

static dl_status put(builder *b, const char *text)
{
    return dl_buf_append_str(&b->rows->text, dl_str_of(text), b->err);
}

static dl_status cut(builder *b, source from)
{
    dl_feed_rows *rows = b->rows;
    if (rows->segment_count == SEGMENT_LIMIT) {
        return dl_error_set(b->err, DL_E_LIMIT, "the header has too many values that change");
    }
    b->starts[rows->segment_count] = b->begin;
    rows->segments[rows->segment_count++] =
        (segment){.text = {NULL, rows->text.len - b->begin}, .from = from};
    b->begin = rows->text.len;
    return DL_OK;
}

static bool is_vr(const row *r, const char *vr)
{
    return memcmp(r->vr, vr, 2) == 0;
}

/* Numbers stand without quotes (PS3.18 F.2.3 leaves it open; our service does so). */
static bool is_number(const row *r)
{
    return is_vr(r, "DS") || is_vr(r, "IS") || is_vr(r, "US");
}

static dl_status put_value(builder *b, const row *r)
{
    const char *quote = is_number(r) ? "" : "\"";
    DL_TRY(put(b, is_vr(r, "PN") ? ",\"Value\":[{\"Alphabetic\":" : ",\"Value\":["));
    if (r->from == TEXT || r->from == NUMBER || r->from == EDGE) {
        dl_str rest = dl_str_of(r->from == EDGE ? "512" : r->text);
        dl_str part = DL_STR_NONE;
        for (bool first = true; dl_str_next(&rest, '\\', &part); first = false) {
            DL_TRY(dl_buf_printf(&b->rows->text, b->err, "%s%s%.*s%s", first ? "" : ",", quote,
                                 DL_STR_ARG(part), quote));
        }
    } else {
        DL_TRY(put(b, quote));
        DL_TRY(cut(b, r->from));
        DL_TRY(put(b, quote));
    }
    return put(b, is_vr(r, "PN") ? "}]" : "]");
}

static dl_status put_head(builder *b, const row *r)
{
    DL_TRY(put(b, b->first[b->depth] ? "" : ","));
    b->first[b->depth] = false;
    return dl_buf_printf(&b->rows->text, b->err, "\"%08X\":{\"vr\":\"%.2s\"", r->tag,
                         r->from == SEQUENCE || r->from == SEQUENCE_KNOWN ? "SQ" : r->vr);
}

static dl_status put_row(builder *b, const row *r)
{
    switch ((int)r->from) {
    case PRIVATE: /* left out: with them an entry would have a quarter more than is usual */
    case PIXELS:
        return DL_OK;
    case SEQUENCE:
    case SEQUENCE_KNOWN:
        b->items = true;
        DL_TRY(put_head(b, r));
        return put(b, ",\"Value\":[");
    case ITEM:
    case ITEM_KNOWN:
        DL_ASSERT(b->depth < DEPTH_LIMIT);
        b->first[++b->depth] = true;
        DL_TRY(put(b, b->items ? "{" : ",{"));
        b->items = false;
        return DL_OK;
    case END_ITEM:
        b->depth--;
        return put(b, "}");
    case END_SEQUENCE:
        return put(b, "]}");
    default:
        DL_TRY(put_head(b, r));
        if (r->from != TEXT || r->text[0] != '\0') {
            DL_TRY(put_value(b, r));
        }
        return put(b, "}");
    }
}

static dl_status build(dl_feed_rows *rows, dl_error *err)
{
    builder b = {.rows = rows, .first = {true}, .err = err};
    DL_TRY(put(&b, "{"));
    for (size_t i = 0; i < DL_COUNT_OF(HEADER); i++) {
        DL_TRY(put_row(&b, &HEADER[i]));
    }
    DL_TRY(put(&b, "}"));
    DL_TRY(cut(&b, SOURCE_COUNT));
    for (size_t i = 0; i < rows->segment_count; i++) {
        rows->segments[i].text.ptr = rows->text.ptr + b.starts[i];
    }
    return DL_OK;
}

dl_status dl_feed_rows_create(const dl_feed_rows_options *options, dl_feed_rows **out_rows,
                              dl_error *err)
{
    dl_feed_rows *rows = dl_mem_zalloc(1, sizeof *rows);
    if (rows == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "feed: out of memory");
    }
    rows->options = *options;
    for (rows->half_bits = 1; UINT64_C(1) << 2 * rows->half_bits < options->base;) {
        rows->half_bits++;
    }
    dl_buf_init(&rows->text, TEXT_LIMIT_BYTES);
    dl_status status = build(rows, err);
    if (status != DL_OK) {
        dl_feed_rows_destroy(rows);
        return status;
    }
    *out_rows = rows;
    return DL_OK;
}

void dl_feed_rows_destroy(dl_feed_rows *rows)
{
    if (rows != NULL) {
        dl_buf_clear(&rows->text);
        dl_mem_free(rows);
    }
}

/* ---- what a row is about ---- */

typedef struct change {
    uint64_t instance, version;
    const char *action, *state;
    bool has_metadata;
} change;

/* Number `i` of a random order of 0 .. base - 1: a Feistel cipher, walked until it is in range. */
static uint64_t permute(const dl_feed_rows *rows, uint64_t i)
{
    uint64_t mask = (UINT64_C(1) << rows->half_bits) - 1;
    do {
        uint64_t left = i >> rows->half_bits;
        uint64_t right = i & mask;
        for (unsigned round = 0; round < FEISTEL_ROUNDS; round++) {
            dl_bench_stream s = dl_bench_stream_of(rows->options.seed, 1000 + round, right, 0);
            uint64_t next = left ^ (dl_bench_stream_next(&s) & mask);
            left = right;
            right = next;
        }
        i = left << rows->half_bits | right;
    } while (i >= rows->options.base);
    return i;
}

static change change_of(const dl_feed_rows *rows, uint64_t sequence)
{
    uint64_t base = rows->options.base;
    change c = {
        .instance = sequence - 1, .action = "Create", .state = "Current", .has_metadata = true};
    if (sequence <= base) {
        return c;
    }
    uint64_t block = (sequence - base - 1) / BLOCK_ROWS;
    unsigned at = (unsigned)((sequence - base - 1) % BLOCK_ROWS);
    if (at < BLOCK_NEW) {
        c.instance = base + block * BLOCK_NEW + at;
        return c;
    }
    unsigned key = at - BLOCK_NEW;
    c.action = "Update";
    c.version = 1;
    if (key >= BLOCK_UPDATES && key < BLOCK_UPDATES + 2 * BLOCK_REPLACED) {
        bool second = key % 2 == 1;
        key = BLOCK_UPDATES + (key - BLOCK_UPDATES) / 2;
        c.state = second ? "Current" : "Replaced"; /* both show what is known last */
    } else if (key >= BLOCK_UPDATES) {
        key -= BLOCK_REPLACED;
        c.action = "Delete";
        c.state = "Deleted";
        c.has_metadata = false;
    }
    c.instance = permute(rows, (block * BLOCK_KEYS + key) % base);
    return c;
}

static void locate(const dl_feed_rows *rows, dl_feed_cursor *at, const change *c)
{
    const dl_feed_rows_options *o = &rows->options;
    uint64_t series = c->instance / o->per_series;
    uint64_t study = series / o->series_per_study;
    bool same = at->any && at->study_number == study && at->version == c->version;
    if (!same) {
        dl_bench_study_make(o->seed, study, &at->study);
        if (c->version > 0) { /* the patient was mistaken for another */
            dl_bench_patient_make(o->seed, study + 500000000, &at->study.who);
        }
    }
    if (!same || at->series_number != series) {
        dl_bench_series_make(o->seed, &at->study, series % o->series_per_study, &at->series);
    }
    at->any = true;
    at->study_number = study;
    at->series_number = series;
    at->version = c->version;
}

/* ---- a row's text ---- */

/* Decimals in JSON: a list has commas. */
static void commas(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)(*text == '\\' ? ',' : *text);
    }
}

static void append(dl_buf *out, const char *text, size_t len)
{
    memcpy(out->ptr + out->len, text, len);
    out->len += len;
}

/* Room for all of it is there. */
static void put_metadata(const dl_feed_rows *rows, const dl_feed_cursor *at, dl_bench_instance *in,
                         dl_buf *out)
{
    const dl_bench_study *st = &at->study;
    commas(in->position);
    const char *const texts[SOURCE_COUNT] = {
        [SOP_CLASS] = at->series.sop_class,
        [SOP_UID] = in->uid,
        [STUDY_UID] = st->uid,
        [SERIES_UID] = at->series.uid,
        [FRAME_UID] = st->frame_uid,
        [STUDY_DATE] = st->date,
        [STUDY_TIME] = st->time,
        [INSTANCE_TIME] = in->time,
        [ACCESSION] = st->accession,
        [MODALITY_OF] = at->series.modality,
        [PHYSICIAN] = st->physician,
        [STUDY_DESCRIPTION] = st->description,
        [SERIES_DESCRIPTION] = at->series.description,
        [PATIENT_NAME] = st->who.name,
        [PATIENT_ID] = st->who.id,
        [BIRTH_DATE] = st->who.birth_date,
        [SEX] = st->who.sex,
        [AGE] = st->who.age,
        [STUDY_ID] = st->id,
        [SERIES_NUMBER] = at->series.number_text,
        [INSTANCE_NUMBER] = in->number_text,
        [POSITION] = in->position,
        [LOCATION] = in->location,
    };
    for (size_t i = 0; i < rows->segment_count; i++) {
        const segment *s = &rows->segments[i];
        append(out, s->text.ptr, s->text.len);
        if (s->from != SOURCE_COUNT) {
            append(out, texts[s->from], strlen(texts[s->from]));
        }
    }
}

int64_t dl_feed_rows_time_us(uint64_t sequence)
{
    return START_US + (int64_t)sequence * STEP_US;
}

uint64_t dl_feed_rows_at(int64_t time_us)
{
    int64_t behind_us = time_us - START_US;
    if (behind_us <= STEP_US) {
        return 1;
    }
    return (uint64_t)((behind_us + STEP_US - 1) / STEP_US);
}

dl_status dl_feed_rows_put(const dl_feed_rows *rows, dl_feed_cursor *cursor, uint64_t sequence,
                           bool metadata, dl_buf *out, dl_error *err)
{
    change c = change_of(rows, sequence);
    dl_bench_instance in;
    char time[DL_CLOCK_TEXT_SIZE];
    locate(rows, cursor, &c);
    dl_bench_instance_make(rows->options.seed, &cursor->study, &cursor->series,
                           c.instance % rows->options.per_series, &in);
    dl_clock_format_feed(dl_feed_rows_time_us(sequence), time);
    DL_TRY(dl_buf_reserve(out, ROW_ROOM_BYTES, err));
    DL_TRY(dl_buf_printf(
        out, err,
        "{\"sequence\":%llu,\"partitionName\":\"Microsoft.Default\",\"studyInstanceUid\":\"%s\","
        "\"seriesInstanceUid\":\"%s\",\"sopInstanceUid\":\"%s\",\"action\":\"%s\","
        "\"timestamp\":\"%s\",\"state\":\"%s\"",
        (unsigned long long)sequence, cursor->study.uid, cursor->series.uid, in.uid, c.action, time,
        c.state));
    if (c.has_metadata) {
        DL_TRY(dl_buf_printf(out, err,
                             ",\"filePath\":\"AHDS/bench/dicom/feed/Microsoft.Default/"
                             "%03llu_%llu.dcm\"",
                             (unsigned long long)(sequence * 7919 % 1000),
                             (unsigned long long)sequence));
    }
    if (c.has_metadata && metadata) {
        append(out, ",\"metadata\":", strlen(",\"metadata\":"));
        put_metadata(rows, cursor, &in, out);
    }
    append(out, "}", 1);
    return DL_OK;
}
