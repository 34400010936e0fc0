/**
 * Gunzip: what a gzip file holds, with the check that libarchive leaves out.
 *
 * A gzip file ends with the CRC and the length of what it holds. libarchive's own filter passes
 * over both, so that most damage would come through as other pixels, or as another name.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_GUNZIP_H
#define DL_CLI_GUNZIP_H

#include "base/str.h"

typedef struct dl_cli_gunzip dl_cli_gunzip;

/** `fd` is borrowed, and read from its start. Errors: DL_E_NOMEM. */
DL_NODISCARD dl_status dl_cli_gunzip_open(int fd, dl_cli_gunzip **out_gunzip, dl_error *err);
void dl_cli_gunzip_close(dl_cli_gunzip *gunzip);
static inline DL_UNUSED void dl_cli_gunzip_closep(dl_cli_gunzip **gunzip)
{
    dl_cli_gunzip_close(*gunzip);
}
#define DL_CLI_AUTO_GUNZIP DL_CLEANUP(dl_cli_gunzip_closep) dl_cli_gunzip *

/**
 * The next bytes, borrowed until the next call; none at the end. Members that follow each other are
 * one file; what else follows is passed over, as gzip does.
 *
 * Errors: DL_E_INVALID (cut off, or not what its check says), DL_E_IO, DL_E_NOMEM.
 * Standard: RFC 1952 section 2.3.1.
 */
DL_NODISCARD dl_status dl_cli_gunzip_read(dl_cli_gunzip *gunzip, dl_bytes *out, dl_error *err);
/** Bytes of the file read so far. */
uint64_t dl_cli_gunzip_position(const dl_cli_gunzip *gunzip);

#endif
