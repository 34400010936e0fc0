#include "cli/receive.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "dicom/dicom.h"
#include "http/media.h"
#include "http/multipart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_SIZE = 4096,
    UID_SIZE = 65,
    NAME_SIZE = 3 * UID_SIZE + 8, /* STUDY/SERIES/INSTANCE.dcm */
    TEMP_RANDOM_BYTES = 8,
    FILE_MODE = 0600, /* patient data */
    HEADER_ARENA_BYTES = 16 << 20,
};

struct dl_cli_receive {
    const char *folder;
    dl_cli_progress *progress;
    dl_multipart *parts; /* NULL: the body is one file */
    int fd;              /* of the part under way; -1: none */
    bool open;
    char temp[PATH_SIZE];
    char name[NAME_SIZE]; /* from Content-Location; empty: read the file */
    uint64_t files, bytes, part_bytes;
};

/* ---- names ---- */

static bool append_uid(dl_str uid, const char *after, char *out, size_t size, size_t *at)
{
    if (!dl_dicom_uid_is_valid(uid) || uid.len >= UID_SIZE) {
        return false;
    }
    int n = snprintf(out + *at, size - *at, "%.*s%s", DL_STR_ARG(uid), after);
    if (n < 0 || (size_t)n >= size - *at) {
        return false;
    }
    *at += (size_t)n;
    return true;
}

static bool make_name(dl_str study, dl_str series, dl_str instance, char *out, size_t size)
{
    size_t at = 0;
    bool made = append_uid(study, "/", out, size, &at) && append_uid(series, "/", out, size, &at) &&
                append_uid(instance, ".dcm", out, size, &at);
    if (!made) {
        out[0] = '\0';
    }
    return made;
}

bool dl_cli_receive_path_of(dl_str location, char *out, size_t out_size_bytes)
{
    static const dl_str levels[] = {{"studies", 7}, {"series", 6}, {"instances", 9}};
    dl_str uids[DL_COUNT_OF(levels)] = {0};
    dl_str segment = DL_STR_NONE;
    size_t found = 0;
    while (found < DL_COUNT_OF(levels) && dl_str_next(&location, '/', &segment)) {
        if (dl_str_eq_nocase(segment, levels[found]) && dl_str_next(&location, '/', &uids[found])) {
            found++;
        }
    }
    if (found < DL_COUNT_OF(levels)) {
        return false;
    }
    return make_name(uids[0], uids[1], uids[2], out, out_size_bytes);
}

/** The peer did not say which instance it is: the file does. */
static dl_status read_name(const char *path, char out[NAME_SIZE], dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_AUTO(dl_arena) arena = dl_arena_create(HEADER_ARENA_BYTES);
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
    struct stat info;
    if (arena == NULL || reader == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "get: out of memory");
    }
    DL_TRY(dl_file_open(path, O_RDONLY, 0, &fd, err));
    if (fstat(fd, &info) != 0) {
        return dl_error_errno(err, errno, "cannot look at a received file");
    }
    dl_dicom_file file = {.fd = fd, .size = (uint64_t)info.st_size};
    dl_dicom_source source = dl_dicom_source_file(&file);
    dl_dicom_header header = {0};
    dl_error why = {0};
    if (dl_dicom_read(reader, &source, arena, NULL, &header, &why) != DL_OK ||
        !make_name(header.core[DL_DICOM_STUDY_INSTANCE_UID].first,
                   header.core[DL_DICOM_SERIES_INSTANCE_UID].first,
                   header.core[DL_DICOM_SOP_INSTANCE_UID].first, out, NAME_SIZE)) {
        return dl_error_set(err, DL_E_CORRUPT, "a received file is not DICOM with valid UIDs");
    }
    return DL_OK;
}

/* ---- life ---- */

dl_status dl_cli_receive_create(const char *folder, dl_cli_progress *progress,
                                dl_cli_receive **out_receive, dl_error *err)
{
    dl_cli_receive *receive = dl_mem_zalloc(1, sizeof *receive);
    if (receive == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "get: out of memory");
    }
    receive->folder = folder;
    receive->progress = progress;
    receive->fd = -1;
    *out_receive = receive;
    return DL_OK;
}

static void drop_part(dl_cli_receive *receive)
{
    if (receive->open) {
        dl_file_close(&receive->fd);
        (void)unlink(receive->temp);
        receive->open = false;
    }
}

void dl_cli_receive_destroy(dl_cli_receive *receive)
{
    if (receive != NULL) {
        drop_part(receive);
        dl_multipart_destroy(receive->parts);
        dl_mem_free(receive);
    }
}

/* ---- one part ---- */

static dl_status begin_file(dl_cli_receive *receive, dl_error *err)
{
    char random[2 * TEMP_RANDOM_BYTES + 1];
    dl_random_hex(random, TEMP_RANDOM_BYTES);
    int n =
        snprintf(receive->temp, sizeof receive->temp, "%s/.receiving-%s", receive->folder, random);
    if (n < 0 || (size_t)n >= sizeof receive->temp) {
        return dl_error_set(err, DL_E_INVALID, "the path of --to is too long");
    }
    DL_TRY(dl_file_open(receive->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE,
                        &receive->fd, err));
    receive->open = true;
    receive->part_bytes = 0;
    return DL_OK;
}

static dl_status part_begin(void *context, dl_str headers, dl_error *err)
{
    dl_cli_receive *receive = context;
    dl_str location = DL_STR_NONE;
    receive->name[0] = '\0';
    if (dl_multipart_header(headers, "Content-Location", &location)) {
        (void)dl_cli_receive_path_of(location, receive->name, sizeof receive->name);
    }
    return begin_file(receive, err);
}

static dl_status part_data(void *context, dl_bytes bytes, dl_error *err)
{
    dl_cli_receive *receive = context;
    dl_status status = dl_file_write_all(receive->fd, bytes.ptr, bytes.len, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "receiving a file into %s", receive->folder);
    }
    receive->part_bytes += bytes.len;
    dl_cli_progress_add(receive->progress, 0, bytes.len);
    return DL_OK;
}

static dl_status make_folder(const dl_cli_receive *receive, char *path, dl_error *err)
{
    char *slash = strrchr(path, '/');
    DL_ASSERT(slash != NULL && (size_t)(slash - path) >= strlen(receive->folder));
    *slash = '\0';
    dl_status status = dl_file_make_dirs_unsynced(path, err);
    *slash = '/';
    return status;
}

static dl_status part_end(void *context, dl_error *err)
{
    dl_cli_receive *receive = context;
    char path[PATH_SIZE + NAME_SIZE];
    dl_file_close(&receive->fd);
    if (receive->name[0] == '\0') {
        DL_TRY(read_name(receive->temp, receive->name, err));
    }
    (void)snprintf(path, sizeof path, "%s/%s", receive->folder, receive->name);
    DL_TRY(make_folder(receive, path, err));
    if (rename(receive->temp, path) != 0) {
        return dl_error_errno(err, errno, "cannot name %s", path);
    }
    receive->open = false;
    receive->files++;
    receive->bytes += receive->part_bytes;
    dl_cli_progress_add(receive->progress, 1, 0);
    return DL_OK;
}

/* ---- the answer ---- */

/** Invalid input is the user's fault elsewhere; here a peer made it. */
static dl_status blame_peer(dl_error *err, dl_status status, const char *text)
{
    dl_error_clear(err);
    return dl_error_set(err, status, "%s", text);
}

dl_status dl_cli_receive_begin(dl_cli_receive *receive, dl_str content_type, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(64 << 10);
    dl_media media;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "get: out of memory");
    }
    if (dl_media_parse(content_type, arena, &media, NULL) != DL_OK) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "the answer has no content type");
    }
    bool one = dl_media_type_is(&media, "application/dicom");
    if (!one && !dl_media_type_is(&media, "multipart/related")) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "the answer is %.*s, not DICOM files",
                            DL_STR_ARG(media.type));
    }
    DL_TRY(dl_file_make_dirs_unsynced(receive->folder, err)); /* not for what is not there */
    if (one) {
        receive->name[0] = '\0';
        return begin_file(receive, err);
    }
    const dl_multipart_events events = {part_begin, part_data, part_end, receive};
    dl_status status =
        dl_multipart_create(dl_media_param_of(&media, "boundary"), &events, &receive->parts, err);
    return status == DL_E_INVALID
               ? blame_peer(err, DL_E_CORRUPT, "the answer is multipart without a boundary")
               : status;
}

dl_status dl_cli_receive_feed(dl_cli_receive *receive, dl_bytes piece, dl_error *err)
{
    if (receive->parts == NULL) {
        return part_data(receive, piece, err);
    }
    dl_status status = dl_multipart_feed(receive->parts, piece, err);
    return status == DL_E_INVALID ? blame_peer(err, DL_E_CORRUPT, "the answer is broken") : status;
}

dl_status dl_cli_receive_finish(dl_cli_receive *receive, dl_error *err)
{
    dl_status status = receive->parts != NULL ? dl_multipart_finish(receive->parts, err)
                       : receive->open        ? part_end(receive, err)
                                              : DL_OK;
    if (receive->parts != NULL && status == DL_E_INVALID) {
        return blame_peer(err, DL_E_UNAVAILABLE, "the answer was cut off");
    }
    DL_TRY(status);
    return receive->files > 0 ? DL_OK
                              : dl_error_set(err, DL_E_CORRUPT, "the answer holds no files");
}

uint64_t dl_cli_receive_files(const dl_cli_receive *receive)
{
    return receive->files;
}

uint64_t dl_cli_receive_bytes(const dl_cli_receive *receive)
{
    return receive->bytes;
}
