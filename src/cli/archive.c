#include "cli/archive.h"

#include "base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = 256 * 1024, NAME_SIZE = 256 };

struct dl_cli_archive {
    struct archive *reader;
    size_t number; /* of the entry, from 1 */
    bool failed;   /* the reader gave up */
    char label[NAME_SIZE];
};

static const struct {
    size_t at;
    dl_str mark;
} marks[] = {
    {0, {"PK\003\004", 4}},
    {0, {"PK\005\006", 4}}, /* an empty zip */
    {0, {"\x1f\x8b", 2}},   /* gzip */
    {0, {"BZh", 3}},
    {0,
     {"\xfd"
      "7zXZ\0",
      6}},
    {0, {"\x28\xb5\x2f\xfd", 4}}, /* zstd */
    {0, {"7z\xbc\xaf\x27\x1c", 6}},
    {257, {"ustar", 5}},
    {0, {"070701", 6}}, /* cpio */
    {0, {"070702", 6}},
    {0, {"070707", 6}},
};

bool dl_cli_archive_sniff(dl_bytes head, dl_str path)
{
    for (size_t i = 0; i < DL_COUNT_OF(marks); i++) {
        dl_str mark = marks[i].mark;
        if (head.len >= marks[i].at + mark.len &&
            memcmp(head.ptr + marks[i].at, mark.ptr, mark.len) == 0) {
            return true;
        }
    }
    return path.len > 4 && dl_str_eq_nocase(dl_str_slice(path, path.len - 4, 4), DL_STR(".iso"));
}

static dl_status support(struct archive *reader, dl_error *err)
{
    int (*const kinds[])(struct archive *) = {
        archive_read_support_filter_gzip,    archive_read_support_filter_bzip2,
        archive_read_support_filter_xz,      archive_read_support_filter_zstd,
        archive_read_support_format_zip,     archive_read_support_format_tar,
        archive_read_support_format_7zip,    archive_read_support_format_cpio,
        archive_read_support_format_iso9660, archive_read_support_format_raw,
    };
    for (size_t i = 0; i < DL_COUNT_OF(kinds); i++) {
        /* ARCHIVE_WARN would mean that an outside program must do it: not wanted. */
        if (kinds[i](reader) != ARCHIVE_OK) {
            return dl_error_set(err, DL_E_UNSUPPORTED,
                                "this build of libarchive lacks a format or filter");
        }
    }
    return DL_OK;
}

dl_status dl_cli_archive_open(int fd, dl_cli_archive **out_archive, dl_error *err)
{
    DL_CLI_AUTO_ARCHIVE archive = dl_mem_zalloc(1, sizeof *archive);
    if (archive == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "archive: out of memory");
    }
    archive->reader = archive_read_new();
    if (archive->reader == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "archive: out of memory");
    }
    DL_TRY(support(archive->reader, err));
    if (archive_read_open_fd(archive->reader, fd, BLOCK_BYTES) != ARCHIVE_OK) {
        return dl_error_set(err, DL_E_INVALID, "not a readable archive");
    }
    *out_archive = DL_STEAL(archive);
    return DL_OK;
}

void dl_cli_archive_close(dl_cli_archive *archive)
{
    if (archive != NULL) {
        if (archive->reader != NULL) {
            (void)archive_read_free(archive->reader);
        }
        dl_mem_free(archive);
    }
}

/** The entry's name when it is text, else its number. */
static dl_str label_of(dl_cli_archive *archive, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    if (name == NULL) {
        name = archive_entry_pathname(entry);
    }
    if (name == NULL || name[0] == '\0') {
        (void)snprintf(archive->label, sizeof archive->label, "entry %zu", archive->number);
    } else {
        (void)snprintf(archive->label, sizeof archive->label, "%s", name);
    }
    return dl_str_of(archive->label);
}

dl_status dl_cli_archive_next(dl_cli_archive *archive, dl_cli_entry *out_entry, bool *out_more,
                              dl_error *err)
{
    for (;;) {
        struct archive_entry *entry = NULL;
        int code =
            archive->failed ? ARCHIVE_FATAL : archive_read_next_header(archive->reader, &entry);
        if (code == ARCHIVE_EOF) {
            *out_more = false;
            return DL_OK;
        }
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
            archive->failed = true;
            return dl_error_set(err, DL_E_INVALID, "the archive is damaged after %zu entries",
                                archive->number);
        }
        if (archive_format(archive->reader) == ARCHIVE_FORMAT_RAW &&
            archive_filter_code(archive->reader, 0) == ARCHIVE_FILTER_NONE) {
            archive->failed = true; /* "raw" takes anything: it is for compressed files only */
            return dl_error_set(err, DL_E_INVALID, "not a readable archive");
        }
        archive->number++;
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != NULL) {
            continue;
        }
        int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
        *out_entry = (dl_cli_entry){.name = label_of(archive, entry),
                                    .size_bytes = size < 0 ? UINT64_MAX : (uint64_t)size,
                                    .encrypted = archive_entry_is_encrypted(entry) != 0};
        *out_more = true;
        return DL_OK;
    }
}

dl_status dl_cli_archive_read(dl_cli_archive *archive, void *out, size_t room, size_t *out_len,
                              dl_error *err)
{
    for (;;) {
        la_ssize_t n = archive_read_data(archive->reader, out, room);
        if (n == ARCHIVE_RETRY) {
            continue;
        }
        if (n < 0) { /* libarchive's own words may name the entry: not repeated */
            archive->failed = n == ARCHIVE_FATAL;
            return dl_error_set(err, DL_E_INVALID, "the archive is damaged in entry %zu",
                                archive->number);
        }
        *out_len = (size_t)n;
        return DL_OK;
    }
}

uint64_t dl_cli_archive_position(dl_cli_archive *archive)
{
    la_int64_t at = archive_filter_bytes(archive->reader, -1);
    return at < 0 ? 0 : (uint64_t)at;
}
