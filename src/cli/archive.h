/**
 * Archive: the entries of a zip, tar, 7z, cpio or ISO 9660 file, read one after the other.
 *
 * Nothing is written to disk, and the names of entries are never used as paths: they serve as
 * labels only. Readers that would open other files by name (mtree) or start programs are left out.
 * A file that is only compressed (image.dcm.gz) is an archive of one entry.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_ARCHIVE_H
#define DL_CLI_ARCHIVE_H

#include "base/str.h"

typedef struct dl_cli_archive dl_cli_archive;

/** Bytes of the beginning that dl_cli_archive_sniff wants to see (a CD's mark is at 32 KiB: asked
 * for by name only). */
enum { DL_CLI_ARCHIVE_HEAD_BYTES = 512 };

/** Whether the beginning of a file is that of an archive; `path` only for its suffix (.iso). */
bool dl_cli_archive_sniff(dl_bytes head, dl_str path);

/** `fd` is borrowed and stands at the start. Errors: DL_E_INVALID (not an archive), DL_E_NOMEM. */
DL_NODISCARD dl_status dl_cli_archive_open(int fd, dl_cli_archive **out_archive, dl_error *err);
void dl_cli_archive_close(dl_cli_archive *archive);
static inline DL_UNUSED void dl_cli_archive_closep(dl_cli_archive **archive)
{
    dl_cli_archive_close(*archive);
}
#define DL_CLI_AUTO_ARCHIVE DL_CLEANUP(dl_cli_archive_closep) dl_cli_archive *

typedef struct dl_cli_entry {
    dl_str name;         /* a label; borrowed until the next call */
    uint64_t size_bytes; /* UINT64_MAX: not said */
    bool encrypted;
} dl_cli_entry;

/**
 * The next regular file; folders and links are passed over. False in `out_more` at the end.
 * Errors: DL_E_INVALID (damaged: nothing more can be read).
 */
DL_NODISCARD dl_status dl_cli_archive_next(dl_cli_archive *archive, dl_cli_entry *out_entry,
                                           bool *out_more, dl_error *err);
/** Up to `room` bytes of the entry; 0 at its end. Errors: DL_E_INVALID (damaged). */
DL_NODISCARD dl_status dl_cli_archive_read(dl_cli_archive *archive, void *out, size_t room,
                                           size_t *out_len, dl_error *err);
/** Bytes of the archive file read so far. */
uint64_t dl_cli_archive_position(dl_cli_archive *archive);

#endif
