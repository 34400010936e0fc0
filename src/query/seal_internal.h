/**
 * What the parts of the seal share: seal.c (files, limits), seal_calls.c (system calls).
 *
 * Thread: confined.
 */
#ifndef DL_QUERY_SEAL_INTERNAL_H
#define DL_QUERY_SEAL_INTERNAL_H

#include "query/seal.h"

/** From now on the process makes no sockets (unless `network`), starts no program, maps no code,
 * looks into no other process. `out_applied` false: the kernel has no seccomp. Errors: DL_E_IO. */
DL_NODISCARD dl_status dl_seal_calls(bool network, bool *out_applied, dl_error *err);

#endif
