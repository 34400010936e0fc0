/**
 * Invented instances for the tests and the measurements of the index: metadata of the size and
 * shape of a CT slice (about 5.5 KB), different from one instance to the next where real ones
 * differ.
 */
#ifndef DL_TESTS_INDEX_SAMPLE_H
#define DL_TESTS_INDEX_SAMPLE_H

#include "base/buf.h"
#include "index/index.h"

#include <stdio.h>
#include <string.h>

typedef struct sample {
    char study_uid[80], series_uid[80], sop_uid[80];
    dl_buf json;
} sample;

static const char *const sample_families[] = {"Müller", "Smith",  "Garcia",  "Nguyen", "Kowalski",
                                              "Rossi",  "Silva",  "Ivanova", "Tanaka", "Jones",
                                              "Murphy", "Keller", "Dubois",  "Hansen", "Novak",
                                              "Costa",  "Weber",  "Lindt",   "Okafor", "Zhang"};
static const char *const sample_given[] = {"Anna", "John", "Maria", "Peter", "José",
                                           "Yuki", "Olga", "Liam",  "Noor"};
static const char *const sample_modalities[] = {"CT", "MR", "US", "CR"};

static inline DL_UNUSED uint64_t sample_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/** Day `n` after 2015-01-01, by months of 28 days, as yyyymmdd. */
static inline DL_UNUSED unsigned sample_date(unsigned n)
{
    return (2015 + n / 336) * 10000 + (n / 28 % 12 + 1) * 100 + n % 28 + 1;
}

static inline DL_UNUSED void sample_uids(sample *s, unsigned study, unsigned series,
                                         unsigned instance)
{
    unsigned long long a = sample_mix(study) % 100000000000000ULL,
                       b = sample_mix(study * 131 + series + 7);
    (void)snprintf(s->study_uid, sizeof s->study_uid, "1.2.840.113619.2.55.3.%014llu.%u", a, study);
    (void)snprintf(s->series_uid, sizeof s->series_uid, "1.2.840.113619.2.55.3.%014llu.%u.%u",
                   b % 100000000000000ULL, study, series);
    (void)snprintf(s->sop_uid, sizeof s->sop_uid, "1.2.840.113619.2.55.3.%014llu.%u.%u.%u.%05llu",
                   b % 100000000000000ULL, study, series, instance,
                   (unsigned long long)(sample_mix(b + instance) % 100000));
}

static inline DL_UNUSED const char *sample_modality(unsigned study, unsigned series)
{
    return sample_modalities[(sample_mix(study) + (series == 0 ? 0 : sample_mix(study) / 16 % 2)) %
                             4];
}

static inline DL_UNUSED void sample_text(sample *s, const char *key, const char *vr,
                                         const char *text)
{
    (void)!dl_buf_printf(&s->json, NULL, "%s\"%s\":{\"vr\":\"%s\",\"Value\":[%s]}",
                         s->json.len > 1 ? "," : "", key, vr, text);
}

#define SAMPLE_PUT(s, key, vr, ...)                                                                \
    do {                                                                                           \
        char sample_value_[512];                                                                   \
        (void)snprintf(sample_value_, sizeof sample_value_, __VA_ARGS__);                          \
        sample_text((s), (key), (vr), sample_value_);                                              \
    } while (0)

/** What every scanner writes the same way. */
static inline DL_UNUSED void sample_constants(sample *s)
{
    static const char *const rows[][3] = {
        {"00180015", "CS", "\"CHEST\""},
        {"00180022", "CS", "\"HELICAL MODE\""},
        {"00180050", "DS", "1.25"},
        {"00180060", "DS", "120"},
        {"00180090", "DS", "500"},
        {"00181020", "LO", "\"revo_ct_21b.34_5\""},
        {"00181030", "LO", "\"5.1 Routine Chest Helical 1.25mm\""},
        {"00181100", "DS", "360"},
        {"00181110", "DS", "1085.6"},
        {"00181111", "DS", "595"},
        {"00181120", "DS", "0"},
        {"00181130", "DS", "152.3"},
        {"00181140", "CS", "\"CW\""},
        {"00181150", "IS", "1200"},
        {"00181160", "SH", "\"BODY FILTER\""},
        {"00181170", "IS", "42"},
        {"00181190", "DS", "0.7"},
        {"00181210", "SH", "\"STANDARD\""},
        {"00185100", "CS", "\"FFS\""},
        {"00189305", "FD", "0.5"},
        {"00189306", "FD", "0.625"},
        {"00189307", "FD", "40"},
        {"00189309", "FD", "39.375"},
        {"00189310", "FD", "78.75"},
        {"00189311", "FD", "0.984375"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        sample_text(s, rows[i][0], rows[i][1], rows[i][2]);
    }
}

static inline DL_UNUSED void sample_pixels(sample *s, unsigned instance)
{
    static const char *const rows[][3] = {
        {"00280002", "US", "1"},
        {"00280004", "CS", "\"MONOCHROME2\""},
        {"00280010", "US", "512"},
        {"00280011", "US", "512"},
        {"00280030", "DS", "0.703125,0.703125"},
        {"00280100", "US", "16"},
        {"00280101", "US", "16"},
        {"00280102", "US", "15"},
        {"00280103", "US", "1"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        sample_text(s, rows[i][0], rows[i][1], rows[i][2]);
    }
    SAMPLE_PUT(s, "00280106", "SS", "%d", -2000 - (int)(instance % 31));
    SAMPLE_PUT(s, "00280107", "SS", "%u", 1200 + (unsigned)(sample_mix(instance) % 900));
    sample_text(s, "00281050", "DS", "40");
    sample_text(s, "00281051", "DS", "400");
    sample_text(s, "00281052", "DS", "-1024");
    sample_text(s, "00281053", "DS", "1");
    sample_text(s, "00281054", "LO", "\"HU\"");
}

static inline DL_UNUSED void sample_private(sample *s, unsigned series, unsigned instance)
{
    SAMPLE_PUT(s, "00400244", "DA", "\"%u\"", sample_date(series % 3000));
    sample_text(s, "00400254", "LO", "\"CT chest with contrast\"");
    sample_text(s, "00400275", "SQ",
                "{\"00321060\":{\"vr\":\"LO\",\"Value\":[\"CT CHEST W "
                "CONTRAST\"]},\"00400007\":{\"vr\":\"LO\",\"Value\":["
                "\"CT CHEST W "
                "CONTRAST\"]},\"00400008\":{\"vr\":\"SQ\",\"Value\":[{\"00080100\":{\"vr\":\"SH\","
                "\"Value\":["
                "\"IMG1243\"]},\"00080102\":{\"vr\":\"SH\",\"Value\":[\"EAP\"]}}]},\"00400009\":{"
                "\"vr\":\"SH\",\"Value\":["
                "\"5311\"]}}");
    for (unsigned i = 0; i < 24; i++) {
        char key[9];
        (void)snprintf(key, sizeof key, "0045%04X", 0x1001 + i * 2);
        if (i % 6 == 0) {
            SAMPLE_PUT(s, key, "FL", "%u.%03u", instance % 400,
                       (unsigned)(sample_mix(instance * 7 + i) % 1000));
        } else {
            SAMPLE_PUT(s, key, "DS", "%u.%u", 10 + i, (unsigned)(sample_mix(series + i) % 100));
        }
    }
}

/** Metadata of an instance; `note` not empty adds it as the study's description. */
static inline DL_UNUSED void sample_make(sample *s, unsigned study, unsigned series,
                                         unsigned instance)
{
    uint64_t r = sample_mix(study);
    sample_uids(s, study, series, instance);
    dl_buf_reset(&s->json);
    (void)!dl_buf_append_char(&s->json, '{', NULL);
    unsigned date = sample_date(study % 3600), second = instance * 3 % 3600;
    sample_text(s, "00080005", "CS", "\"ISO_IR 100\"");
    sample_text(s, "00080008", "CS", "\"ORIGINAL\",\"PRIMARY\",\"AXIAL\"");
    sample_text(s, "00080016", "UI", "\"1.2.840.10008.5.1.4.1.1.2\"");
    SAMPLE_PUT(s, "00080018", "UI", "\"%s\"", s->sop_uid);
    SAMPLE_PUT(s, "00080020", "DA", "\"%u\"", date);
    SAMPLE_PUT(s, "00080021", "DA", "\"%u\"", date);
    SAMPLE_PUT(s, "00080022", "DA", "\"%u\"", date);
    SAMPLE_PUT(s, "00080030", "TM", "\"%02u3015\"", (unsigned)(r % 12) + 7);
    SAMPLE_PUT(s, "00080031", "TM", "\"%02u35%02u\"", (unsigned)(r % 12) + 7, series % 60);
    SAMPLE_PUT(s, "00080032", "TM", "\"10%02u%02u.%03u\"", second / 60, second % 60,
               (unsigned)(sample_mix(instance) % 1000));
    SAMPLE_PUT(s, "00080033", "TM", "\"10%02u%02u\"", second / 60, second % 60);
    SAMPLE_PUT(s, "00080050", "SH", "\"ACC%07u\"", study);
    SAMPLE_PUT(s, "00080060", "CS", "\"%s\"", sample_modality(study, series));
    sample_text(s, "00080070", "LO", "\"GE MEDICAL SYSTEMS\"");
    sample_text(s, "00080080", "LO", "\"General Hospital\"");
    SAMPLE_PUT(s, "00080090", "PN", "{\"Alphabetic\":\"Ref%u^%s\"}", (unsigned)(r % 300),
               sample_given[r / 7 % 9]);
    SAMPLE_PUT(s, "00081030", "LO", "\"CT Chest protocol %u\"", (unsigned)(r % 40));
    SAMPLE_PUT(s, "0008103E", "LO", "\"Axial 1.25mm series %u\"", series);
    SAMPLE_PUT(s, "00081090", "LO", "\"Revolution %u\"", (unsigned)(r % 12));
    SAMPLE_PUT(s, "00081140", "SQ",
               "{\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2.840.10008.5.1.4.1.1.2\"]},"
               "\"00081155\":{\"vr\":\"UI\","
               "\"Value\":[\"1.2.840.113619.2.55.3.%014llu.%u.0.1\"]}}",
               (unsigned long long)(r % 100000000000000ULL), study);
    SAMPLE_PUT(s, "00100010", "PN", "{\"Alphabetic\":\"%s%u^%s\"}", sample_families[r / 11 % 20],
               (unsigned)(r / 400 % 500), sample_given[r / 3 % 9]);
    SAMPLE_PUT(s, "00100020", "LO", "\"PID%06u\"", study / 2);
    SAMPLE_PUT(s, "00100030", "DA", "\"19%02u%02u%02u\"", (unsigned)(r % 90) + 10,
               (unsigned)(r / 90 % 12) + 1, (unsigned)(r / 900 % 28) + 1);
    SAMPLE_PUT(s, "00100040", "CS", "\"%s\"", r % 2 ? "F" : "M");
    SAMPLE_PUT(s, "00101010", "AS", "\"0%02uY\"", (unsigned)(r % 90));
    sample_constants(s);
    SAMPLE_PUT(s, "0020000D", "UI", "\"%s\"", s->study_uid);
    SAMPLE_PUT(s, "0020000E", "UI", "\"%s\"", s->series_uid);
    SAMPLE_PUT(s, "00200010", "SH", "\"%u\"", study);
    SAMPLE_PUT(s, "00200011", "IS", "%u", series + 1);
    sample_text(s, "00200012", "IS", "1");
    SAMPLE_PUT(s, "00200013", "IS", "%u", instance + 1);
    SAMPLE_PUT(s, "00200032", "DS", "-180,-172.3,%d.%02u", 120 - (int)(instance * 5 / 4),
               instance * 25 % 100);
    sample_text(s, "00200037", "DS", "1,0,0,0,1,0");
    SAMPLE_PUT(s, "00200052", "UI", "\"1.2.840.113619.2.55.3.%014llu.%u\"",
               (unsigned long long)(sample_mix(r) % 100000000000000ULL), study);
    sample_text(s, "00201040", "LO", "\"SN\"");
    SAMPLE_PUT(s, "00201041", "DS", "%d.%02u", 120 - (int)(instance * 5 / 4), instance * 25 % 100);
    sample_pixels(s, instance);
    sample_private(s, study * 4 + series, instance);
    (void)!dl_buf_append_char(&s->json, '}', NULL);
}

static inline DL_UNUSED dl_index_put sample_put(const sample *s, int64_t watermark)
{
    dl_index_put put = {
        .partition = DL_INDEX_DEFAULT_PARTITION,
        .study_uid = dl_str_of(s->study_uid),
        .series_uid = dl_str_of(s->series_uid),
        .sop_uid = dl_str_of(s->sop_uid),
        .watermark = watermark,
        .metadata = dl_buf_str(&s->json),
        .transfer_syntax = DL_STR("1.2.840.10008.1.2.1"),
        .size_bytes = 528000,
        .tag = watermark % 997,
    };
    for (size_t i = 0; i < sizeof put.hash; i++) {
        put.hash[i] = (uint8_t)(sample_mix((uint64_t)watermark) >> (i % 8 * 8));
    }
    return put;
}

#endif
