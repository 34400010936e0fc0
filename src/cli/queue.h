/**
 * Queue: files on their way from those who find them to those who send them.
 *
 * Bounded in number and in bytes held. Finders register as producers; the queue is at its end when
 * it is empty and no producer is left. Someone who both takes and produces (a worker that unpacks
 * an archive) must not wait for room: it offers, and sends itself what is not taken.
 *
 * Thread: locked.
 */
#ifndef DL_CLI_QUEUE_H
#define DL_CLI_QUEUE_H

#include "base/buf.h"
#include "base/cancel.h"

enum { DL_CLI_QUEUE_LIMIT = 4096 };
#define DL_CLI_QUEUE_LIMIT_BYTES ((size_t)64 << 20)

typedef struct dl_cli_item {
    struct dl_cli_item *next; /* the queue's */
    uint64_t size_bytes;      /* of the file; of `bytes` once they are in memory */
    bool in_memory;
    bool named;   /* a person named this very file */
    dl_buf bytes; /* when in memory */
    char name[];  /* its path; in memory: a label only */
} dl_cli_item;

/** NULL without memory. The buffer's limit is 0. */
dl_cli_item *dl_cli_item_create(dl_str name);
void dl_cli_item_destroy(dl_cli_item *item);
DL_DEFINE_AUTO(dl_cli_item)

typedef struct dl_cli_queue dl_cli_queue;

/** With one producer registered. `stop` is looked at while waiting. Errors: DL_E_NOMEM. */
DL_NODISCARD dl_status dl_cli_queue_create(dl_cancel *stop, dl_cli_queue **out_queue,
                                           dl_error *err);
/** With whatever is still in it. */
void dl_cli_queue_destroy(dl_cli_queue *queue);
DL_DEFINE_AUTO(dl_cli_queue)

/** Waits for room. False when stopped: the item is still the caller's. */
bool dl_cli_queue_push(dl_cli_queue *queue, dl_cli_item *take_item) DL_NODISCARD;
/** False when there is no room just now or all is stopped: the item is still the caller's. */
bool dl_cli_queue_offer(dl_cli_queue *queue, dl_cli_item *take_item) DL_NODISCARD;
/**
 * The next item, waiting for one; and those after it that are there already, as long as all
 * together stay within limit_bytes. 0: the end, or stopped.
 */
size_t dl_cli_queue_take(dl_cli_queue *queue, dl_cli_item **out_items, size_t limit,
                         uint64_t limit_bytes);
void dl_cli_queue_begin(dl_cli_queue *queue);
void dl_cli_queue_end(dl_cli_queue *queue);

#endif
