/**
 * Nearest: of many names the few that are most like one that is not there, for "did you mean".
 *
 * Thread: confined.
 */
#ifndef DL_FACTORY_NEAREST_H
#define DL_FACTORY_NEAREST_H

#include "base/str.h"

enum {
    DL_NEAREST_COUNT = 3,
    DL_NEAREST_NAME_SIZE = 64, /* longer names are never alike */
};

typedef struct dl_nearest {
    dl_str wanted; /* borrowed */
    char names[DL_NEAREST_COUNT][DL_NEAREST_NAME_SIZE];
    unsigned scores[DL_NEAREST_COUNT];
    size_t count;
} dl_nearest;

void dl_nearest_init(dl_nearest *nearest, dl_str wanted);
void dl_nearest_consider(dl_nearest *nearest, dl_str name);
/** "did you mean A, B?", or `otherwise` when nothing is alike. */
void dl_nearest_hint(const dl_nearest *nearest, const char *otherwise, dl_error *err);

#endif
