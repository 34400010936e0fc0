/**
 * A state index and short words for what tests do with it.
 */
#ifndef DL_TESTS_PIPELINE_STATE_RIG_H
#define DL_TESTS_PIPELINE_STATE_RIG_H

#include "state_fixture.h"

#include "pipeline/state_internal.h"

extern const dl_state_key key_a;
extern const dl_state_shown shown_a;

int64_t file_of(dl_state *state, dl_state_kind kind, const char *path);
void put_at(dl_state *state, const dl_state_key *key, int64_t time_us, int64_t file, int64_t row);
dl_state_instance get(dl_state *state, const dl_state_key *key);
void begin(dl_state *state);
void commit(dl_state *state);

/** How many there were, and the last of them. */
typedef struct spots {
    int count;
    dl_state_place last;
    int64_t id;
    uint64_t hash;
} spots;

spots dirty(dl_state *state, dl_state_kind kind);
spots extras(dl_state *state, dl_state_kind kind);

#endif
