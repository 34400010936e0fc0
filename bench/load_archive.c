#include "load_archive.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { COLUMNS = 10, PATH_SIZE = 4096 };
#define MANIFEST_LIMIT_BYTES ((size_t)4 << 30)
#define ARENA_LIMIT_BYTES ((size_t)4 << 30)

static dl_status map_pack(const char *folder, dl_bench_archive *a, dl_error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/pack.bin", folder);
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(path, O_RDONLY, 0, &fd, err));
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return dl_error_errno(err, errno, "%s", path);
    }
    a->pack_bytes = (size_t)stat.st_size;
    void *at = mmap(NULL, a->pack_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return dl_error_errno(err, errno, "%s: map", path);
    }
    a->map = at;
    a->pack = at;
    return DL_OK;
}

static bool parse_row(dl_str line, size_t pack_bytes, dl_bench_row *out)
{
    dl_str column[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!dl_str_next(&line, '\t', &column[i])) {
            return false;
        }
    }
    if (!dl_str_to_u64(column[0], &out->offset_bytes) ||
        !dl_str_to_u64(column[1], &out->length_bytes) || out->length_bytes > pack_bytes ||
        out->offset_bytes > pack_bytes - out->length_bytes) {
        return false;
    }
    out->study = column[2];
    out->series = column[3];
    out->sop = column[4];
    out->patient_id = column[5];
    out->patient_name = column[6];
    out->study_date = column[7];
    out->modality = column[8];
    out->accession = column[9];
    return true;
}

static dl_status read_rows(dl_bench_archive *a, uint64_t from, uint64_t count, dl_error *err)
{
    size_t lines = 0;
    for (size_t i = 0; i < a->manifest.len; i++) {
        lines += a->manifest.ptr[i] == '\n';
    }
    if (from >= lines || (count != 0 && count > lines - from)) {
        return dl_error_set(err, DL_E_INVALID, "the manifest has %zu rows", lines);
    }
    a->row_count = count == 0 ? lines - from : count;
    a->rows = dl_arena_alloc(a->arena, a->row_count, sizeof *a->rows);
    if (a->rows == NULL) {
        return dl_arena_full(a->arena, err);
    }
    dl_str rest = dl_buf_str(&a->manifest);
    dl_str line;
    for (uint64_t i = 0; i < from + a->row_count && dl_str_next(&rest, '\n', &line); i++) {
        if (i >= from && !parse_row(line, a->pack_bytes, &a->rows[i - from])) {
            return dl_error_set(err, DL_E_INVALID, "manifest line %llu does not fit the pack",
                                (unsigned long long)i + 1);
        }
    }
    return DL_OK;
}

static dl_status group_rows(dl_bench_archive *a, bool by_series, dl_bench_group **out_groups,
                            size_t *out_count, dl_error *err)
{
    dl_bench_group *groups = dl_arena_alloc(a->arena, a->row_count, sizeof *groups);
    if (groups == NULL) {
        return dl_arena_full(a->arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < a->row_count; i++) {
        const dl_bench_row *row = &a->rows[i];
        const dl_bench_row *before = i == 0 ? NULL : row - 1;
        if (before == NULL || !dl_str_eq(by_series ? row->series : row->study,
                                         by_series ? before->series : before->study)) {
            groups[count++].first = i;
        }
        groups[count - 1].count++;
        groups[count - 1].bytes += row->length_bytes;
    }
    *out_groups = groups;
    *out_count = count;
    return DL_OK;
}

dl_status dl_bench_archive_open(const char *folder, uint64_t from, uint64_t count,
                                dl_bench_archive *out, dl_error *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/manifest.tsv", folder);
    DL_TRY(map_pack(folder, out, err));
    dl_buf_init(&out->manifest, MANIFEST_LIMIT_BYTES);
    DL_TRY(dl_file_read_all(path, &out->manifest, err));
    out->arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (out->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "archive: out of memory");
    }
    DL_TRY(read_rows(out, from, count, err));
    DL_TRY(group_rows(out, false, &out->studies, &out->study_count, err));
    return group_rows(out, true, &out->series, &out->series_count, err);
}

void dl_bench_archive_close(dl_bench_archive *archive)
{
    dl_arena_destroy(archive->arena);
    dl_buf_clear(&archive->manifest);
    if (archive->map != NULL) {
        (void)munmap(archive->map, archive->pack_bytes);
    }
    *archive = (dl_bench_archive){0};
}
