/**
 * Peek: the few attributes at the beginning of a file that decide how it is imported.
 *
 * Not a reader: only Explicit and Implicit VR Little Endian, and only what stands before the first
 * thing that would need one. Whatever it does not see is empty, and is then found out in another
 * way.
 *
 * Thread: pure functions.
 * Standard: PS3.10 section 7.1 (file meta information), PS3.5 section 7.1 (data elements).
 */
#ifndef DL_CLI_PEEK_H
#define DL_CLI_PEEK_H

#include "base/str.h"

typedef struct dl_cli_peek {
    bool dicom;         /* "DICM" at byte 128 */
    bool bare;          /* not that, but it begins as a data set does: DICOM of no Part 10 file */
    dl_str media_class; /* MediaStorageSOPClassUID */
    dl_str syntax;      /* TransferSyntaxUID */
    dl_str sop_uid;     /* SOPInstanceUID of the data set, when it has VR UI */
} dl_cli_peek;

/** `head`: the beginning of a file, or all of it; what is returned points into it. */
dl_cli_peek dl_cli_peek_at(dl_bytes head);

/** A DICOMDIR: the table of contents of a CD, not an instance (PS3.10 section 8.6). */
bool dl_cli_peek_is_dicomdir(const dl_cli_peek *peek);

#endif
