/**
 * Roots: from the filePath of a row to its file, beneath the folders of a lakehouse and nowhere
 * else.
 *
 * A filePath ("AHDS/ws/dicom/svc/Microsoft.Default/182_45.dcm") is relative to a container that is
 * not part of it. A root is that folder "AHDS" somewhere, or a child of it: where the end of a
 * root's own path equals the beginning of the filePath, they are one. The longest such end decides;
 * of several roots with the same end the one that has the file. A root whose end is no beginning
 * of the path has the file when the path's first folder is in it.
 *
 * Thread: immutable.
 */
#ifndef DL_QUERY_ROOTS_H
#define DL_QUERY_ROOTS_H

#include "query/query.h"

enum { DL_ROOTS_PATH_LIMIT = 4095 }; /* bytes of a folder, and of a filePath */

typedef struct dl_roots dl_roots;

/** Everything is copied; a folder that is not there has no files. Errors: DL_E_INVALID (not an
 * absolute path). */
DL_NODISCARD dl_status dl_roots_create(const dl_query_root *roots, size_t count,
                                       dl_roots **out_roots, dl_error *err);
void dl_roots_destroy(dl_roots *roots);
DL_DEFINE_AUTO(dl_roots)

/** Which root has the file by its path (the file itself need not be there), and what the path is
 * below it. False: none, or a path that is absolute or leads up. `out_below` is a part of
 * `file_path`. */
bool dl_roots_place(const dl_roots *roots, dl_str file_path, size_t *out_root, dl_str *out_below);
dl_str dl_roots_folder(const dl_roots *roots, size_t i);
/** The file, open for reading. Errors: DL_E_NOT_FOUND (no root has it, or it is not there), those
 * of dl_file_open_below, DL_E_INVALID (a folder). */
DL_NODISCARD dl_status dl_roots_open(const dl_roots *roots, dl_str file_path, int *out_fd,
                                     uint64_t *out_size_bytes, dl_error *err);

#endif
