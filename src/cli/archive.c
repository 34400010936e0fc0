#include "cli/archive.h"

#include "base/mem.h"
#include "cli/gunzip.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 256 * 1024, NAME_SIZE = 256, REST_LIMIT_BYTES = 1 << 30 };

struct dl_cli_archive {
    struct archive *reader;
    /* What takes the file apart before the reader, so that it can be read to its end, where its
     * check stands; at most one of them. */
    dl_cli_gunzip *gunzip;
    struct archive *outer;
    size_t number; /* of the entry, from 1 */
    bool failed;   /* the reader gave up */
    bool packed;   /* the file is compressed as a whole */
    char label[NAME_SIZE];
    uint8_t block[BLOCK_BYTES]; /* from `outer` */
};

/** How a file is compressed as a whole. */
typedef enum packing { PACKING_NONE, PACKING_GZIP, PACKING_OTHER } packing;

static const struct {
    size_t at;
    dl_str mark;
    packing packing;
} marks[] = {
    {0, {"PK\003\004", 4}, PACKING_NONE},
    {0, {"PK\005\006", 4}, PACKING_NONE}, /* an empty zip */
    {0, {"\x1f\x8b", 2}, PACKING_GZIP},
    {0, {"BZh", 3}, PACKING_OTHER},
    {0,
     {"\xfd"
      "7zXZ\0",
      6},
     PACKING_OTHER},
    {0, {"\x28\xb5\x2f\xfd", 4}, PACKING_OTHER}, /* zstd */
    {0, {"7z\xbc\xaf\x27\x1c", 6}, PACKING_NONE},
    {257, {"ustar", 5}, PACKING_NONE},
    {0, {"070701", 6}, PACKING_NONE}, /* cpio */
    {0, {"070702", 6}, PACKING_NONE},
    {0, {"070707", 6}, PACKING_NONE},
};

static bool has_mark(dl_bytes head, packing *out_packing)
{
    for (size_t i = 0; i < DL_COUNT_OF(marks); i++) {
        dl_str mark = marks[i].mark;
        if (head.len >= marks[i].at + mark.len &&
            memcmp(head.ptr + marks[i].at, mark.ptr, mark.len) == 0) {
            *out_packing = marks[i].packing;
            return true;
        }
    }
    return false;
}

bool dl_cli_archive_sniff(dl_bytes head, dl_str path)
{
    packing kind = PACKING_NONE;
    return has_mark(head, &kind) ||
           (path.len > 4 && dl_str_eq_nocase(dl_str_slice(path, path.len - 4, 4), DL_STR(".iso")));
}

typedef int (*support)(struct archive *);

static dl_status make_reader(const support *kinds, size_t count, struct archive **out_reader,
                             dl_error *err)
{
    struct archive *reader = archive_read_new();
    if (reader == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "archive: out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        /* ARCHIVE_WARN would mean that an outside program must do it: not wanted. */
        if (kinds[i](reader) != ARCHIVE_OK) {
            (void)archive_read_free(reader);
            return dl_error_set(err, DL_E_UNSUPPORTED,
                                "this build of libarchive lacks a format or filter");
        }
    }
    *out_reader = reader;
    return DL_OK;
}

static const support formats[] = {
    archive_read_support_filter_gzip,    archive_read_support_filter_bzip2,
    archive_read_support_filter_xz,      archive_read_support_filter_zstd,
    archive_read_support_format_zip,     archive_read_support_format_tar,
    archive_read_support_format_7zip,    archive_read_support_format_cpio,
    archive_read_support_format_iso9660, archive_read_support_format_raw,
};
static const support packings[] = {
    archive_read_support_filter_bzip2,
    archive_read_support_filter_xz,
    archive_read_support_filter_zstd,
    archive_read_support_format_raw,
};

/* ---- a file that is compressed as a whole ---- */

/** The next bytes of what is inside; none at the end. Errors: DL_E_INVALID (damaged). */
static dl_status read_packed(dl_cli_archive *archive, dl_bytes *out)
{
    if (archive->gunzip != NULL) {
        return dl_cli_gunzip_read(archive->gunzip, out, NULL);
    }
    la_ssize_t n = archive_read_data(archive->outer, archive->block, sizeof archive->block);
    *out = (dl_bytes){archive->block, n < 0 ? 0 : (size_t)n};
    return n < 0 ? DL_E_INVALID : DL_OK;
}

static la_ssize_t on_read(struct archive *reader, void *context, const void **out)
{
    dl_bytes piece = {0};
    if (read_packed(context, &piece) != DL_OK) {
        archive_set_error(reader, EIO, "damaged");
        return -1;
    }
    *out = piece.ptr;
    return (la_ssize_t)piece.len;
}

static bool opened_outer(struct archive *outer, int fd)
{
    struct archive_entry *entry = NULL;
    return archive_read_open_fd(outer, fd, BLOCK_BYTES) == ARCHIVE_OK &&
           archive_read_next_header(outer, &entry) == ARCHIVE_OK;
}

static dl_status open_file(dl_cli_archive *archive, int fd, dl_error *err)
{
    uint8_t head[DL_CLI_ARCHIVE_HEAD_BYTES];
    ssize_t n = pread(fd, head, sizeof head, 0);
    packing kind = PACKING_NONE;
    (void)has_mark((dl_bytes){head, n < 0 ? 0 : (size_t)n}, &kind);
    bool opened = true;
    if (kind == PACKING_GZIP) {
        DL_TRY(dl_cli_gunzip_open(fd, &archive->gunzip, err));
        archive->packed = true;
    } else if (kind == PACKING_OTHER) {
        DL_TRY(make_reader(packings, DL_COUNT_OF(packings), &archive->outer, err));
        opened = opened_outer(archive->outer, fd);
        archive->packed = archive_filter_code(archive->outer, 0) != ARCHIVE_FILTER_NONE;
    }
    if (opened) {
        opened = (kind == PACKING_NONE ? archive_read_open_fd(archive->reader, fd, BLOCK_BYTES)
                                       : archive_read_open(archive->reader, archive, NULL, on_read,
                                                           NULL)) == ARCHIVE_OK;
    }
    return opened ? DL_OK : dl_error_set(err, DL_E_INVALID, "not a readable archive");
}

dl_status dl_cli_archive_open(int fd, dl_cli_archive **out_archive, dl_error *err)
{
    DL_CLI_AUTO_ARCHIVE archive = dl_mem_zalloc(1, sizeof *archive);
    if (archive == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "archive: out of memory");
    }
    DL_TRY(make_reader(formats, DL_COUNT_OF(formats), &archive->reader, err));
    DL_TRY(open_file(archive, fd, err));
    *out_archive = DL_STEAL(archive);
    return DL_OK;
}

void dl_cli_archive_close(dl_cli_archive *archive)
{
    if (archive != NULL) {
        if (archive->reader != NULL) {
            (void)archive_read_free(archive->reader);
        }
        if (archive->outer != NULL) {
            (void)archive_read_free(archive->outer);
        }
        dl_cli_gunzip_close(archive->gunzip);
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

/** The check of a file that is compressed as a whole speaks of all that it gave. */
static dl_status damaged(dl_cli_archive *archive, dl_error *err)
{
    archive->failed = true;
    return archive->packed
               ? dl_error_set(err, DL_E_INVALID,
                              "the archive is damaged; files that were stored from it may be, too")
               : dl_error_set(err, DL_E_INVALID, "the archive is damaged after %zu entries",
                              archive->number);
}

/** The check of a compressed file stands at its end, behind what a tar reader reads. What is no
 * tar's padding any more is left unread. */
static dl_status check_rest(dl_cli_archive *archive, dl_error *err)
{
    dl_bytes piece = {.len = archive->gunzip != NULL || archive->outer != NULL};
    for (uint64_t seen = 0; piece.len > 0 && seen < REST_LIMIT_BYTES; seen += piece.len) {
        if (read_packed(archive, &piece) != DL_OK) {
            return damaged(archive, err);
        }
    }
    return DL_OK;
}

dl_status dl_cli_archive_next(dl_cli_archive *archive, dl_cli_entry *out_entry, bool *out_more,
                              dl_error *err)
{
    for (;;) {
        struct archive_entry *entry = NULL;
        int code =
            archive->failed ? ARCHIVE_FATAL : archive_read_next_header(archive->reader, &entry);
        if (code == ARCHIVE_EOF) {
            DL_TRY(check_rest(archive, err));
            *out_more = false;
            return DL_OK;
        }
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
            return damaged(archive, err);
        }
        if (!archive->packed && archive_format(archive->reader) == ARCHIVE_FORMAT_RAW &&
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
    if (archive->gunzip != NULL) {
        return dl_cli_gunzip_position(archive->gunzip);
    }
    struct archive *reader = archive->outer != NULL ? archive->outer : archive->reader;
    la_int64_t at = archive_filter_bytes(reader, -1);
    return at < 0 ? 0 : (uint64_t)at;
}
