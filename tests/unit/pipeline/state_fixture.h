/**
 * A state index in a folder of its own.
 */
#ifndef DL_TESTS_PIPELINE_STATE_FIXTURE_H
#define DL_TESTS_PIPELINE_STATE_FIXTURE_H

#include "tap.h"

#include "base/mem.h"
#include "pipeline/state.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct fixture {
    char folder[64], path[96];
    dl_state *state;
} fixture;

static inline void fixture_folder(fixture *f)
{
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(f->folder, sizeof f->folder, "%s/dl-test-state-XXXXXX", tmp);
    TAP_TRUE(mkdtemp(f->folder) != NULL);
    (void)snprintf(f->path, sizeof f->path, "%s/lake.db", f->folder);
    f->state = NULL;
}

static inline DL_UNUSED void fixture_open(fixture *f)
{
    dl_error err = {0};
    fixture_folder(f);
    TAP_OK(dl_state_open(f->path, &f->state, &err), err);
}

static inline DL_UNUSED void fixture_reopen(fixture *f)
{
    dl_error err = {0};
    dl_state_close(f->state);
    f->state = NULL;
    TAP_OK(dl_state_open(f->path, &f->state, &err), err);
}

static inline DL_UNUSED void fixture_close(fixture *f)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[128];
    dl_state_close(f->state);
    for (size_t i = 0; i < DL_COUNT_OF(ends); i++) {
        (void)snprintf(name, sizeof name, "%s%s", f->path, ends[i]);
        (void)unlink(name);
    }
    TAP_EQ_INT(rmdir(f->folder), 0);
}

#endif
