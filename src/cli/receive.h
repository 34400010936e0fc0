/**
 * Receive: a retrieve answer as it streams in, file by file into a folder.
 *
 * Each part goes to a hidden file beside the folder's content and is renamed to
 * STUDY/SERIES/INSTANCE.dcm when it is complete, so what has a name is whole. The names are UIDs,
 * checked: from the part's Content-Location, or read from the file when the peer sends none. A name
 * that somebody else chose is never used.
 *
 * Thread: confined.
 * Standard: PS3.18 section 10.4; docs/contract.md section 6.4.
 */
#ifndef DL_CLI_RECEIVE_H
#define DL_CLI_RECEIVE_H

#include "base/buf.h"
#include "cli/progress.h"

typedef struct dl_cli_receive dl_cli_receive;

/** `folder` is borrowed and made when missing; `progress` may be NULL. */
DL_NODISCARD dl_status dl_cli_receive_create(const char *folder, dl_cli_progress *progress,
                                             dl_cli_receive **out_receive, dl_error *err);
/** Removes a file that is not complete. */
void dl_cli_receive_destroy(dl_cli_receive *receive);
DL_DEFINE_AUTO(dl_cli_receive)

/**
 * The answer's Content-Type: multipart/related, or application/dicom for one file.
 * Errors: DL_E_UNSUPPORTED (something else).
 */
DL_NODISCARD dl_status dl_cli_receive_begin(dl_cli_receive *receive, dl_str content_type,
                                            dl_error *err);
/** Errors: DL_E_CORRUPT (not multipart, a part without usable UIDs), DL_E_IO. */
DL_NODISCARD dl_status dl_cli_receive_feed(dl_cli_receive *receive, dl_bytes piece, dl_error *err);
/** Errors: DL_E_UNAVAILABLE (the answer was cut off). */
DL_NODISCARD dl_status dl_cli_receive_finish(dl_cli_receive *receive, dl_error *err);

uint64_t dl_cli_receive_files(const dl_cli_receive *receive);
uint64_t dl_cli_receive_bytes(const dl_cli_receive *receive);

/** "STUDY/SERIES/INSTANCE.dcm" of ".../studies/S/series/E/instances/I[/...]"; false when a UID is
 * missing or malformed. Pure. */
bool dl_cli_receive_path_of(dl_str location, char *out, size_t out_size_bytes);

#endif
