/**
 * reader: the header of each file to DICOM JSON on one thread, with our reader.
 *
 *     reader LIST ROUNDS [PRINT]
 *
 * LIST names one file a line. Every file is opened from disk each time and read up to Pixel Data,
 * as the peers in bench/peers do it. With PRINT the JSON of that file (from 0) is printed instead,
 * so that the answers can be compared.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "dicom/dicom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { LIST_LIMIT_BYTES = 64 << 20, JSON_LIMIT_BYTES = 16 << 20, ARENA_LIMIT_BYTES = 16 << 20 };

typedef struct run {
    dl_dicom_reader *reader;
    dl_buf list, json;
    dl_arena *paths_arena;
    dl_str *paths;
    size_t path_count;
    uint64_t json_bytes;
} run;

static dl_status read_header(run *r, dl_str path, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    DL_AUTO_FD fd = -1;
    struct stat stat;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(dl_file_open(path.ptr, O_RDONLY, 0, &fd, err));
    if (fstat(fd, &stat) != 0) {
        return dl_error_errno(err, errno, "stat");
    }
    dl_dicom_file file = {.fd = fd, .size = (uint64_t)stat.st_size};
    dl_dicom_source source = dl_dicom_source_file(&file);
    dl_dicom_header header = {0};
    dl_buf_reset(&r->json);
    DL_TRY(dl_dicom_read(r->reader, &source, arena, &r->json, &header, err));
    r->json_bytes += r->json.len;
    return DL_OK;
}

static dl_status list_paths(run *r, const char *list, dl_error *err)
{
    DL_TRY(dl_file_read_all(list, &r->list, err));
    dl_str rest = dl_buf_str(&r->list);
    dl_str line;
    size_t count = 0;
    while (dl_str_next(&rest, '\n', &line)) {
        count++;
    }
    r->paths = dl_arena_alloc(r->paths_arena, count, sizeof *r->paths);
    if (r->paths == NULL) {
        return dl_arena_full(r->paths_arena, err);
    }
    rest = dl_buf_str(&r->list);
    while (dl_str_next(&rest, '\n', &line)) {
        if (line.len > 0) {
            DL_TRY(dl_arena_copy(r->paths_arena, line, &r->paths[r->path_count++], err));
        }
    }
    return DL_OK;
}

static dl_status measure(run *r, uint64_t rounds, dl_error *err)
{
    int64_t start_us = dl_clock_monotonic_us();
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < r->path_count; i++) {
            DL_TRY(read_header(r, r->paths[i], err));
        }
    }
    double seconds = (double)(dl_clock_monotonic_us() - start_us) / 1e6;
    double files = (double)rounds * (double)r->path_count;
    (void)printf("{\"reader\":\"dicomlake\",\"files\":%.0f,\"seconds\":%.6f,\"files_per_s\":%.1f,"
                 "\"json_bytes\":%llu}\n",
                 files, seconds, files / seconds, (unsigned long long)r->json_bytes);
    return DL_OK;
}

static dl_status work(run *r, int argc, char **argv, dl_error *err)
{
    uint64_t number = 0;
    if (argc < 3 || argc > 4 || !dl_str_to_u64(dl_str_of(argv[argc - 1]), &number)) {
        return dl_error_set(err, DL_E_INVALID, "usage: reader LIST ROUNDS [PRINT]");
    }
    r->reader = dl_dicom_reader_create(NULL);
    r->paths_arena = dl_arena_create(LIST_LIMIT_BYTES);
    if (r->reader == NULL || r->paths_arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(list_paths(r, argv[1], err));
    if (argc == 3) {
        return measure(r, number, err);
    }
    if (number >= r->path_count) {
        return dl_error_set(err, DL_E_INVALID, "the list has %zu files", r->path_count);
    }
    DL_TRY(read_header(r, r->paths[number], err));
    (void)printf("%.*s\n", DL_STR_ARG(dl_buf_str(&r->json)));
    return DL_OK;
}

int main(int argc, char **argv)
{
    run r = {0};
    dl_error err = {0};
    dl_buf_init(&r.list, LIST_LIMIT_BYTES);
    dl_buf_init(&r.json, JSON_LIMIT_BYTES);
    dl_status status = work(&r, argc, argv, &err);
    if (status != DL_OK) {
        (void)fprintf(stderr, "reader: %s\n", err.message);
    }
    dl_dicom_reader_destroy(r.reader);
    dl_arena_destroy(r.paths_arena);
    dl_buf_clear(&r.list);
    dl_buf_clear(&r.json);
    return status == DL_OK ? 0 : status == DL_E_INVALID ? 2 : 1;
}
