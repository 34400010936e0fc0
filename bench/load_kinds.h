/**
 * load_kinds: the requests the load tool knows, and what their answers must hold.
 *
 * Request i of a run depends only on (seed, i), never on the thread that sends it, so two servers
 * with the same archive get the same requests and their counts and digests can be compared.
 *
 * Thread: confined, except the kinds themselves (immutable).
 */
#ifndef DL_BENCH_LOAD_KINDS_H
#define DL_BENCH_LOAD_KINDS_H

#include "load_archive.h"
#include "load_http.h"

typedef struct dl_bench_target {
    const dl_bench_archive *archive;
    const char *root; /* "/v2", "/dicom-web" */
    uint16_t port;
    bool azure;  /* else wildcards instead of fuzzymatching */
    bool verify; /* compare the files in the answers byte for byte */
    uint64_t seed;
    size_t per_store; /* instances of one store request */
    int page;         /* most items of a search's answer, where the kind does not say */
    const int64_t
        *pages; /* the same for each request by its index, above 0; NULL: `page` for all */
} dl_bench_target;

/** One request, made outside the timed part. */
typedef struct dl_bench_request {
    dl_buf path, head;
    const char *accept;
    struct iovec parts[DL_BENCH_IOV_LIMIT];
    size_t part_count;
    /* What a good answer holds. */
    const char *item_key;  /* search, metadata: one for each item; NULL: files */
    size_t first, count;   /* rows whose files are sent or asked for */
    uint64_t wanted_items; /* UINT64_MAX: the load tool cannot know */
    bool frame;            /* pixel data only */
    bool store;
} dl_bench_request;

typedef struct dl_bench_kind dl_bench_kind;

/** NULL when there is none of that name. */
const dl_bench_kind *dl_bench_kind_find(const char *name);
/** i-th name, NULL behind the last. */
const char *dl_bench_kind_name(size_t i);
/** Requests that make sense: those that store have one for every `per_store` rows, others no end.
 */
uint64_t dl_bench_kind_limit(const dl_bench_kind *kind, const dl_bench_target *target);

void dl_bench_request_init(dl_bench_request *request);
void dl_bench_request_clear(dl_bench_request *request);
/** Make request number `index`. */
DL_NODISCARD dl_status dl_bench_request_make(dl_bench_request *request, const dl_bench_kind *kind,
                                             const dl_bench_target *target, uint64_t index,
                                             dl_error *err);

/**
 * Judge an answer: how many items came, and a digest of their UIDs that does not depend on their
 * order. False: not what was asked for.
 */
bool dl_bench_answer_check(const dl_bench_request *request, const dl_bench_target *target,
                           unsigned status, const dl_bench_conn *answer, uint64_t *out_items,
                           uint64_t *out_digest);
/** Whether only the length of the answer is looked at, so that its bytes need not be kept. */
bool dl_bench_request_discards(const dl_bench_request *request, const dl_bench_target *target);

#endif
