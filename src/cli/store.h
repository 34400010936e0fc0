/**
 * Store: one STOW-RS request with one or several files, and what became of each.
 *
 * Small files share a request; a large one goes alone, streamed. The answer's items are matched to
 * the files by SOP instance UID; files that cannot be told apart are sent again alone, which is
 * safe because a file that is there already is only said to be there.
 *
 * Connection failures and answers that mean "later" (429, 502 to 504) are tried again a few times,
 * as far as the bytes can be had again.
 *
 * Thread: confined (one store per worker).
 * Standard: PS3.18 section 10.5; docs/contract.md sections 5.1, 5.6 and 5.7.
 */
#ifndef DL_CLI_STORE_H
#define DL_CLI_STORE_H

#include "cli/report.h"
#include "http/client.h"

enum {
    DL_CLI_STORE_PART_LIMIT = 32,             /* files in one request */
    DL_CLI_STORE_BATCH_LIMIT_BYTES = 2 << 20, /* of small files in one request */
    DL_CLI_STORE_TRIES = 4,
    DL_CLI_STORE_PATIENCE = 8, /* files answered with 400 before any was answered as it should be */
};

/** A file: bytes in memory, or a stream when `read` is set. */
typedef struct dl_cli_part {
    dl_bytes bytes;
    dl_status (*read)(void *context, void *out, size_t room, size_t *out_len, dl_error *err);
    /** Start the stream anew; NULL: it can be read once. */
    dl_status (*rewind)(void *context, dl_error *err);
    void *context;
    uint64_t length_bytes;  /* of the stream; UINT64_MAX: not known */
    dl_cli_verdict verdict; /* out */
} dl_cli_part;

typedef struct dl_cli_store dl_cli_store;

typedef struct dl_cli_store_options {
    const char *base;  /* borrowed */
    bool update;       /* PUT: replace what is there */
    dl_cancel *cancel; /* cuts off what is under way; may be NULL */
    unsigned retry_ms; /* first pause; 0: 250; grows fourfold */
} dl_cli_store_options;

DL_NODISCARD dl_status dl_cli_store_create(const dl_cli_store_options *options,
                                           dl_cli_store **out_store, dl_error *err);
void dl_cli_store_destroy(dl_cli_store *store);
DL_DEFINE_AUTO(dl_cli_store)

/**
 * Send and fill in every verdict. A stream must be the only part.
 *
 * Errors are those that the next file would meet too: DL_E_UNAVAILABLE (the service is away),
 * DL_E_DENIED, DL_E_NOT_FOUND and DL_E_UNSUPPORTED (no such service), DL_E_CANCELED, DL_E_NOMEM.
 * Whatever concerns a file alone is its verdict.
 */
DL_NODISCARD dl_status dl_cli_store_send(dl_cli_store *store, dl_cli_part *parts, size_t count,
                                         dl_error *err);

/* ---- pure parts ---- */

typedef struct dl_cli_store_item {
    dl_str sop_uid; /* empty: not said */
    dl_cli_verdict verdict;
} dl_cli_store_item;

/** The items of a store's answer: first those stored, then those that failed, each in order.
 * Errors: DL_E_CORRUPT (not such an answer), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_cli_store_answer(dl_str json, dl_arena *arena,
                                           dl_cli_store_item **out_items, size_t *out_count,
                                           dl_error *err);

#endif
