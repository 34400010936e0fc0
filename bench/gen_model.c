/* Patients, studies, series and instances, drawn from short lists by their numbers. */
#include "gen_model.h"

#include <stdio.h>
#include <string.h>

/* ---- random numbers that depend on nothing but their key ---- */

uint64_t dl_bench_stream_next(dl_bench_stream *s)
{
    s->state += 0x9e3779b97f4a7c15U;
    uint64_t z = s->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

dl_bench_stream dl_bench_stream_of(uint64_t seed, uint64_t kind, uint64_t a, uint64_t b)
{
    dl_bench_stream s = {seed * 0x2545f4914f6cdd1dU + kind};
    s.state = dl_bench_stream_next(&s) ^ a;
    s.state = dl_bench_stream_next(&s) ^ b;
    (void)dl_bench_stream_next(&s);
    return s;
}

unsigned dl_bench_stream_below(dl_bench_stream *s, unsigned bound)
{
    return (unsigned)((dl_bench_stream_next(s) >> 33) % bound);
}

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
static void uid_root(dl_bench_stream s, char out[DL_BENCH_UID_SIZE])
{
    (void)snprintf(out, DL_BENCH_UID_SIZE, "2.25.%u%019llu%019llu",
                   1 + dl_bench_stream_below(&s, 2),
                   (unsigned long long)(dl_bench_stream_next(&s) % 10000000000000000000U),
                   (unsigned long long)(dl_bench_stream_next(&s) % 10000000000000000000U));
}

static unsigned modality_draw(dl_bench_stream *s)
{
    unsigned at = dl_bench_stream_below(s, 100);
    unsigned i = 0;
    while (i + 1 < DL_COUNT_OF(MODALITY) && at >= MODALITY[i].share) {
        at -= MODALITY[i].share;
        i++;
    }
    return i;
}

#define PICK(s, list) ((list)[dl_bench_stream_below((s), (unsigned)DL_COUNT_OF(list))])

void dl_bench_patient_make(uint64_t seed, uint64_t number, dl_bench_patient *out)
{
    dl_bench_stream s = dl_bench_stream_of(seed, KIND_PATIENT, number, 0);
    const char *family = PICK(&s, FAMILY);
    const char *given = PICK(&s, GIVEN);
    /* One name in two is a rare one, as in any register. */
    if (dl_bench_stream_below(&s, 2) == 0) {
        const char *a = PICK(&s, SYLLABLE);
        const char *b = PICK(&s, SYLLABLE);
        (void)snprintf(out->name, sizeof out->name, "%s%s%s^%s^%c", family, a, b, given,
                       'A' + (char)(number % 26));
    } else {
        (void)snprintf(out->name, sizeof out->name, "%s^%s^%c", family, given,
                       'A' + (char)(number % 26));
    }
    unsigned year = 1920 + dl_bench_stream_below(&s, 80);
    (void)snprintf(out->id, sizeof out->id, "P%09llu", (unsigned long long)number % 1000000000U);
    (void)snprintf(out->birth_date, sizeof out->birth_date, "%04u%02u%02u", year % 10000,
                   1 + dl_bench_stream_below(&s, 12), 1 + dl_bench_stream_below(&s, 28));
    (void)snprintf(out->sex, sizeof out->sex, "%c", "MFO"[dl_bench_stream_below(&s, 3)]);
    (void)snprintf(out->age, sizeof out->age, "%03uY", (2020 - year) % 1000);
}

void dl_bench_study_make(uint64_t seed, uint64_t number, dl_bench_study *out)
{
    dl_bench_stream s = dl_bench_stream_of(seed, KIND_STUDY, number, 0);
    out->number = number;
    /* Two studies in five belong to a patient who has others. */
    dl_bench_patient_make(seed, dl_bench_stream_below(&s, 5) < 2 ? number / 2 : number, &out->who);
    uid_root(dl_bench_stream_of(seed, KIND_STUDY_UID, number, 0), out->uid);
    uid_root(dl_bench_stream_of(seed, KIND_FRAME, number, 0), out->frame_uid);
    (void)snprintf(out->date, sizeof out->date, "%04u%02u%02u", 2018 + dl_bench_stream_below(&s, 8),
                   1 + dl_bench_stream_below(&s, 12), 1 + dl_bench_stream_below(&s, 28));
    (void)snprintf(out->time, sizeof out->time, "%02u%02u%02u", dl_bench_stream_below(&s, 24),
                   dl_bench_stream_below(&s, 60), dl_bench_stream_below(&s, 60));
    (void)snprintf(out->accession, sizeof out->accession, "A%09llu",
                   (unsigned long long)number % 1000000000U);
    (void)snprintf(out->id, sizeof out->id, "S%llu", (unsigned long long)number % 1000000000U);
    const char *family = PICK(&s, FAMILY);
    (void)snprintf(out->physician, sizeof out->physician, "%s^%s", family, PICK(&s, GIVEN));
    out->description = PICK(&s, STUDY_TEXT);
    out->modality = MODALITY[modality_draw(&s)].modality;
}

void dl_bench_series_make(uint64_t seed, const dl_bench_study *in, uint64_t number,
                          dl_bench_series *out)
{
    dl_bench_stream s = dl_bench_stream_of(seed, KIND_SERIES, in->number, number);
    char root[DL_BENCH_UID_SIZE];
    uid_root(s, root);
    (void)snprintf(out->uid, sizeof out->uid, "%.44s.%llu", root,
                   (unsigned long long)(number + 1) % 1000000U);
    (void)snprintf(out->number_text, sizeof out->number_text, "%llu",
                   (unsigned long long)(number + 1) % 1000000U);
    out->number = number;
    out->description = PICK(&s, SERIES_TEXT);
    out->modality = in->modality;
    /* One further series in seven is of another modality. */
    if (number > 0 && dl_bench_stream_below(&s, 7) == 0) {
        out->modality = MODALITY[modality_draw(&s)].modality;
    }
    for (size_t i = 0; i < DL_COUNT_OF(MODALITY); i++) {
        if (strcmp(MODALITY[i].modality, out->modality) == 0) {
            out->sop_class = MODALITY[i].sop_class;
        }
    }
}

void dl_bench_instance_make(uint64_t seed, const dl_bench_study *in, const dl_bench_series *of,
                            uint64_t number, dl_bench_instance *out)
{
    char root[DL_BENCH_UID_SIZE];
    uid_root(dl_bench_stream_of(seed, KIND_INSTANCE, in->number * 1000 + of->number, number), root);
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
