#include "support/folder.h"

#include "tap.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_in(char out[FOLDER_SIZE], const char *place, const char *name)
{
    (void)snprintf(out, FOLDER_SIZE, "%s/dl-test-%s-XXXXXX", place, name);
    TAP_TRUE(mkdtemp(out) != NULL);
}

void folder_make(char out[FOLDER_SIZE], const char *name)
{
    make_in(out, "/tmp", name);
}

void folder_make_in_memory(char out[FOLDER_SIZE], const char *name)
{
    make_in(out, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", name);
}

static int remove_entry(const char *path, DL_UNUSED const struct stat *info, DL_UNUSED int kind,
                        DL_UNUSED struct FTW *walk)
{
    return remove(path);
}

void folder_remove(const char *path)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    TAP_EQ_INT(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}
