/**
 * A folder of a test's own.
 */
#ifndef DL_TESTS_SUPPORT_FOLDER_H
#define DL_TESTS_SUPPORT_FOLDER_H

enum { FOLDER_SIZE = 64 };

/** A new one, on a disk. */
void folder_make(char out[FOLDER_SIZE], const char *name);
/** A new one, in memory where there is /dev/shm: what a sync to disk costs is the benchmarks'
 * affair. */
void folder_make_in_memory(char out[FOLDER_SIZE], const char *name);
/** Remove it with all that it holds, or fail. */
void folder_remove(const char *path);

#endif
