/**
 * gen_model: who and what the archives and feeds of the benchmarks are about.
 *
 * Everything depends on a seed and numbers only: study n, its series k, its instance i are the same
 * in every program that asks. Nothing here is a person: names are drawn from short lists.
 *
 * Thread: any (no state but the caller's).
 */
#ifndef DL_BENCH_GEN_MODEL_H
#define DL_BENCH_GEN_MODEL_H

#include "base/status.h"

#include <stdint.h>

enum { DL_BENCH_UID_SIZE = 65, DL_BENCH_TEXT_SIZE = 128 };

/** Random numbers that depend on nothing but their key. */
typedef struct dl_bench_stream {
    uint64_t state;
} dl_bench_stream;

dl_bench_stream dl_bench_stream_of(uint64_t seed, uint64_t kind, uint64_t a, uint64_t b);
uint64_t dl_bench_stream_next(dl_bench_stream *s);
unsigned dl_bench_stream_below(dl_bench_stream *s, unsigned bound);

typedef struct dl_bench_patient {
    char id[16], name[DL_BENCH_TEXT_SIZE], birth_date[9], sex[2], age[5];
} dl_bench_patient;

typedef struct dl_bench_study {
    uint64_t number;
    dl_bench_patient who;
    char uid[DL_BENCH_UID_SIZE], date[9], time[7], accession[17], id[17],
        frame_uid[DL_BENCH_UID_SIZE];
    char physician[DL_BENCH_TEXT_SIZE];
    const char *description, *modality;
} dl_bench_study;

typedef struct dl_bench_series {
    uint64_t number;
    char uid[DL_BENCH_UID_SIZE], number_text[8];
    const char *description, *modality, *sop_class;
} dl_bench_series;

typedef struct dl_bench_instance {
    char uid[DL_BENCH_UID_SIZE], number_text[12], position[48], location[16], time[14];
} dl_bench_instance;

void dl_bench_patient_make(uint64_t seed, uint64_t number, dl_bench_patient *out);
void dl_bench_study_make(uint64_t seed, uint64_t number, dl_bench_study *out);
void dl_bench_series_make(uint64_t seed, const dl_bench_study *in, uint64_t number,
                          dl_bench_series *out);
void dl_bench_instance_make(uint64_t seed, const dl_bench_study *in, const dl_bench_series *of,
                            uint64_t number, dl_bench_instance *out);

#endif
