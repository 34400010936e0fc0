/*
 * Cohorts: versions written and removed.
 *
 * A version is written beside the others under a name that nobody looks at, and gets its number by
 * a link that fails where the number is taken: whoever is killed leaves nothing half done, and two
 * that save at once get two numbers. The file is JSON with an instance a line, so that it is
 * written and read without ever being whole in memory; the numbers that are known last (version,
 * count) are put into places that were kept for them.
 */
#include "base/mem.h"
#include "base/random.h"
#include "lakehouse/files_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLUSH_BYTES = 256 * 1024, TRIES = 1000, FIRST_SLOTS = 4096 };

#define NEW_PREFIX ".new-"
#define GONE_PREFIX ".gone-"

/* ---- instances that are in already ---- */

/* By 128 bits of SHA-256: two instances that are not the same never share them. */
typedef struct seen {
    uint64_t (*slots)[2];
    size_t size, count; /* size: a power of two */
} seen;

static uint64_t (*find_slot(const seen *s, const uint64_t key[2]))[2]
{
    for (size_t i = key[0] & (s->size - 1);; i = (i + 1) & (s->size - 1)) {
        uint64_t(*slot)[2] = &s->slots[i];
        if (((*slot)[0] == 0 && (*slot)[1] == 0) ||
            ((*slot)[0] == key[0] && (*slot)[1] == key[1])) {
            return slot;
        }
    }
}

static dl_status grow(seen *s, dl_error *err)
{
    seen larger = {.size = s->size == 0 ? FIRST_SLOTS : 2 * s->size, .count = s->count};
    larger.slots = dl_mem_zalloc(larger.size, sizeof *larger.slots);
    if (larger.slots == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "cohort: out of memory");
    }
    for (size_t i = 0; i < s->size; i++) {
        if (s->slots[i][0] != 0 || s->slots[i][1] != 0) {
            memcpy(find_slot(&larger, s->slots[i]), s->slots[i], sizeof *s->slots);
        }
    }
    dl_mem_free(s->slots);
    *s = larger;
    return DL_OK;
}

static dl_status see(seen *s, dl_str key, bool *out_new, dl_error *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint64_t bits[2];
    if (2 * s->count >= s->size) {
        DL_TRY(grow(s, err));
    }
    if (EVP_Digest(key.ptr, key.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return dl_error_set(err, DL_E_NOMEM, "cohort: libcrypto gives no SHA-256");
    }
    memcpy(bits, digest, sizeof bits);
    bits[1] |= 1; /* never the empty slot */
    uint64_t(*slot)[2] = find_slot(s, bits);
    *out_new = (*slot)[1] == 0;
    if (*out_new) {
        memcpy(slot, bits, sizeof bits);
        s->count++;
    }
    return DL_OK;
}

/* ---- a version under way ---- */

enum { STUDY, SERIES, SOP, FILE_PATH, COLUMNS };

static const char *const columns[COLUMNS] = {"studyInstanceUid", "seriesInstanceUid",
                                             "sopInstanceUid", "filePath"};

typedef struct saving {
    char folder[DL_COHORT_PATH_SIZE];
    char name[64]; /* of the file under way */
    int folder_fd, fd;
    dl_buf text;
    size_t version_at, count_at; /* of the numbers' places */
    int64_t limit, count;
    size_t at[COLUMNS]; /* SIZE_MAX: the statement does not have it */
    dl_buf cells[COLUMNS], key;
    seen seen;
} saving;

static void saving_clear(saving *s)
{
    if (s->name[0] != '\0') {
        (void)unlinkat(s->folder_fd, s->name, 0);
    }
    dl_file_close(&s->fd);
    dl_file_close(&s->folder_fd);
    for (size_t i = 0; i < COLUMNS; i++) {
        dl_buf_clear(&s->cells[i]);
    }
    dl_buf_clear(&s->key);
    dl_buf_clear(&s->text);
    dl_mem_free(s->seen.slots);
}

/** What somebody who was killed has left: nobody holds its lock. */
static void sweep(int folder_fd)
{
    int again = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DL_CLEANUP(dl_cohort_close_folder) DIR *folder = again < 0 ? NULL : fdopendir(again);
    while (folder != NULL) {
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            break;
        }
        if (strncmp(entry->d_name, NEW_PREFIX, strlen(NEW_PREFIX)) != 0) {
            continue;
        }
        DL_AUTO_FD fd = openat(folder_fd, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            (void)unlinkat(folder_fd, entry->d_name, 0);
        }
    }
}

static void random_name(const char *prefix, char out[64])
{
    char digits[17] = "";
    dl_random_hex(digits, 8);
    (void)snprintf(out, 64, "%s%.16s", prefix, digits);
}

static dl_status begin_file(saving *s, dl_error *err)
{
    DL_TRY(dl_file_make_dirs(s->folder, err));
    DL_TRY(dl_file_open(s->folder, O_RDONLY | O_DIRECTORY, 0, &s->folder_fd, err));
    sweep(s->folder_fd);
    for (int i = 0; i < TRIES; i++) {
        struct stat facts;
        random_name(NEW_PREFIX, s->name);
        s->fd = openat(s->folder_fd, s->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (s->fd < 0) {
            int code = errno;
            s->name[0] = '\0';
            return dl_error_errno(err, code, "cohort: cannot write into %s", s->folder);
        }
        /* Somebody's sweep may have come before the lock. */
        if (flock(s->fd, LOCK_EX) == 0 && fstat(s->fd, &facts) == 0 && facts.st_nlink == 1) {
            return DL_OK;
        }
        dl_file_close(&s->fd);
    }
    return dl_error_set(err, DL_E_IO, "cohort: no file can be kept in %s", s->folder);
}

static dl_status flush(saving *s, dl_error *err)
{
    dl_status status = dl_file_write_all(s->fd, s->text.ptr, s->text.len, err);
    dl_buf_reset(&s->text);
    if (status != DL_OK) {
        (void)dl_error_within(err, status, "writing a cohort");
        dl_error_hint(err, "nothing was saved; make room and save it again");
    }
    return status;
}

void dl_cohort_put_facts(dl_json_writer *w, const dl_cohort *cohort)
{
    char text[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(cohort->created_us, text);
    dl_json_key(w, DL_STR("createdAt"));
    dl_json_string(w, dl_str_of(text));
    dl_json_key(w, DL_STR("statement"));
    dl_json_string(w, cohort->statement);
    dl_json_key(w, DL_STR("reads"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < cohort->read_count; i++) {
        const dl_query_read *r = &cohort->reads[i];
        dl_json_object_begin(w);
        dl_json_key(w, DL_STR("table"));
        dl_json_string(w, r->table);
        const struct {
            const char *name;
            int64_t value;
        } numbers[] = {{"version", r->version},
                       {"watermark", r->watermark},
                       {"fileCount", r->file_count},
                       {"filesSkipped", r->files_skipped},
                       {"rowCount", r->row_count}};
        for (size_t k = 0; k < DL_COUNT_OF(numbers); k++) {
            dl_json_key(w, dl_str_of(numbers[k].name));
            dl_json_int(w, numbers[k].value);
        }
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
}

/** Room for a number; the place of it. */
static size_t put_place(dl_json_writer *w, const char *key)
{
    char room[DL_COHORT_NUMBER_WIDTH + 1];
    (void)snprintf(room, sizeof room, "%*d", DL_COHORT_NUMBER_WIDTH, 0);
    dl_json_key(w, dl_str_of(key));
    dl_json_raw(w, (dl_str){room, DL_COHORT_NUMBER_WIDTH});
    return w->buf->len - DL_COHORT_NUMBER_WIDTH;
}

static dl_status put_head(saving *s, const dl_cohort *cohort, dl_error *err)
{
    dl_json_writer w;
    dl_json_writer_init(&w, &s->text, err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("cohort"));
    dl_json_string(&w, cohort->name);
    dl_json_key(&w, DL_STR("lakehouse"));
    dl_json_string(&w, cohort->lakehouse);
    s->version_at = put_place(&w, "version");
    s->count_at = put_place(&w, "instanceCount");
    dl_cohort_put_facts(&w, cohort);
    dl_json_key(&w, DL_STR("instances"));
    dl_json_array_begin(&w);
    DL_TRY(dl_json_writer_status(&w));
    DL_TRY(dl_buf_append_char(&s->text, '\n', err));
    return flush(s, err);
}

/* ---- rows ---- */

static dl_status find_columns(saving *s, const dl_query_result *result, dl_error *err)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        s->at[i] = SIZE_MAX;
        for (size_t c = dl_query_column_count(result); c-- > 0;) {
            if (dl_str_eq_nocase(dl_query_column_at(result, c)->name, dl_str_of(columns[i]))) {
                s->at[i] = c;
            }
        }
    }
    if (s->at[SOP] == SIZE_MAX) {
        (void)dl_error_set(err, DL_E_INVALID,
                           "cohort: the statement gives no column sopInstanceUid");
        dl_error_hint(err, "SELECT studyInstanceUid, seriesInstanceUid, sopInstanceUid, filePath "
                           "FROM instance WHERE ...");
        return DL_E_INVALID;
    }
    return DL_OK;
}

bool dl_cohort_is_uid(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((text.ptr[i] < '0' || text.ptr[i] > '9') && text.ptr[i] != '.') {
            return false;
        }
    }
    return text.len > 0 && text.len <= DL_COHORT_UID_LIMIT && text.ptr[0] != '.';
}

static dl_status check_row(const saving *s, int64_t row, dl_error *err)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        dl_str cell = dl_buf_str(&s->cells[i]);
        bool may_lack = i != SOP;
        bool good = i == FILE_PATH ? cell.len <= DL_ROOTS_PATH_LIMIT : dl_cohort_is_uid(cell);
        if (!good && !(may_lack && cell.len == 0)) {
            (void)dl_error_set(err, DL_E_INVALID, "cohort: row %" PRId64 ": %s %s", row, columns[i],
                               cell.len == 0    ? "is NULL"
                               : i == FILE_PATH ? "is too long for a path"
                                                : "is no UID");
            dl_error_hint(err, "leave such rows out, as in WHERE %s IS NOT NULL", columns[i]);
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}

static dl_status read_row(saving *s, const dl_query_result *result, size_t row, dl_error *err)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        dl_buf_reset(&s->cells[i]);
        if (s->at[i] != SIZE_MAX && !dl_query_is_null(result, s->at[i], row)) {
            DL_TRY(dl_query_put_text(result, s->at[i], row, &s->cells[i], err));
        }
    }
    return DL_OK;
}

static dl_status put_row(saving *s, dl_error *err)
{
    bool is_new = false;
    dl_buf_reset(&s->key);
    for (size_t i = STUDY; i <= SOP; i++) {
        DL_TRY(dl_buf_append_str(&s->key, dl_buf_str(&s->cells[i]), err));
        DL_TRY(dl_buf_append_char(&s->key, '/', err));
    }
    DL_TRY(see(&s->seen, dl_buf_str(&s->key), &is_new, err));
    if (!is_new) {
        return DL_OK;
    }
    if (s->count == s->limit) {
        (void)dl_error_set(err, DL_E_LIMIT, "cohort: more than %" PRId64 " instances", s->limit);
        dl_error_hint(err, "split it, for example by WHERE modality = ...");
        return DL_E_LIMIT;
    }
    dl_json_writer w;
    DL_TRY(dl_buf_append_str(&s->text, s->count == 0 ? DL_STR("") : DL_STR(",\n"), err));
    dl_json_writer_init(&w, &s->text, err);
    dl_json_object_begin(&w);
    for (size_t i = 0; i < COLUMNS; i++) {
        if (s->cells[i].len > 0) {
            dl_json_key(&w, dl_str_of(columns[i]));
            dl_json_string(&w, dl_buf_str(&s->cells[i]));
        }
    }
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    s->count++;
    return s->text.len >= FLUSH_BYTES ? flush(s, err) : DL_OK;
}

static dl_status put_rows(saving *s, dl_query_result *result, dl_error *err)
{
    int64_t row = 0;
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(result, &rows, err));
        if (rows == 0) {
            break;
        }
        for (size_t i = 0; i < rows; i++) {
            row++;
            DL_TRY(read_row(s, result, i, err));
            DL_TRY(check_row(s, row, err));
            DL_TRY(put_row(s, err));
        }
    }
    DL_TRY(dl_buf_append_str(&s->text, s->count == 0 ? DL_STR("]}\n") : DL_STR("\n]}\n"), err));
    return flush(s, err);
}

/* ---- the number ---- */

static dl_status put_number(const saving *s, size_t at, int64_t number, dl_error *err)
{
    char text[DL_COHORT_NUMBER_WIDTH + 1];
    (void)snprintf(text, sizeof text, "%*" PRId64, DL_COHORT_NUMBER_WIDTH, number);
    if (pwrite(s->fd, text, DL_COHORT_NUMBER_WIDTH, (off_t)at) != DL_COHORT_NUMBER_WIDTH) {
        return dl_error_errno(err, errno, "cohort: cannot write");
    }
    return DL_OK;
}

static dl_status publish(saving *s, int64_t *out_version, dl_error *err)
{
    int64_t version = 0;
    DL_TRY(put_number(s, s->count_at, s->count, err));
    for (int i = 0; i < TRIES; i++) {
        char name[64];
        int64_t newest = 0;
        DL_TRY(dl_cohort_newest(s->folder, &newest, err));
        version = newest >= version ? newest + 1 : version + 1;
        DL_TRY(put_number(s, s->version_at, version, err));
        if (fsync(s->fd) != 0) {
            return dl_error_errno(err, errno, "cohort: cannot write");
        }
        (void)snprintf(name, sizeof name, "%" PRId64 ".json", version);
        if (linkat(s->folder_fd, s->name, s->folder_fd, name, 0) == 0) {
            *out_version = version;
            (void)unlinkat(s->folder_fd, s->name, 0);
            s->name[0] = '\0';
            return fsync(s->folder_fd) == 0 ? DL_OK
                                            : dl_error_errno(err, errno, "cohort: cannot write");
        }
        if (errno != EEXIST) {
            return dl_error_errno(err, errno, "cohort: no version can be made in %s", s->folder);
        }
    }
    return dl_error_set(err, DL_E_CONFLICT, "cohort: others save versions all the time");
}

static dl_status copy_reads(const dl_query_result *result, dl_arena *arena, dl_cohort *cohort,
                            dl_error *err)
{
    size_t count = dl_query_read_count(result);
    dl_query_read *reads = dl_arena_alloc(arena, count + 1, sizeof *reads);
    if (reads == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        reads[i] = *dl_query_read_at(result, i);
        DL_TRY(dl_arena_copy(arena, reads[i].table, &reads[i].table, err));
    }
    cohort->reads = reads;
    cohort->read_count = count;
    return DL_OK;
}

static dl_status save(saving *s, dl_query_result *result, dl_cohort *cohort, dl_error *err)
{
    dl_buf_init(&s->text, DL_COHORT_HEAD_LIMIT_BYTES);
    dl_buf_init(&s->key, DL_COHORT_LINE_LIMIT_BYTES);
    for (size_t i = 0; i < COLUMNS; i++) {
        /* Whatever a column holds is read; what may not be in a cohort is refused then. */
        dl_buf_init(&s->cells[i], (size_t)1 << 30);
    }
    DL_TRY(find_columns(s, result, err));
    DL_TRY(begin_file(s, err));
    DL_TRY(put_head(s, cohort, err));
    DL_TRY(put_rows(s, result, err));
    DL_TRY(publish(s, &cohort->version, err));
    cohort->instance_count = s->count;
    return DL_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_cohort_save_bounded(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str name,
                                 dl_str statement, dl_query *query, int64_t limit, dl_arena *arena,
                                 dl_cohort *out, dl_query_place *out_place, dl_error *err)
{
    DL_CLEANUP(saving_clear) saving s = {.folder_fd = -1, .fd = -1, .limit = limit};
    DL_AUTO(dl_query_result) result = NULL;
    dl_cohort cohort = {.created_us = dl_factory_now_us(factory)};
    DL_TRY(dl_cohort_folder(factory, lakehouse->name, name, s.folder, err));
    DL_TRY(dl_arena_copy(arena, name, &cohort.name, err));
    DL_TRY(dl_arena_copy(arena, lakehouse->name, &cohort.lakehouse, err));
    DL_TRY(dl_arena_copy(arena, statement, &cohort.statement, err));
    DL_TRY(dl_query_run(query, statement, &result, out_place, err));
    DL_TRY(copy_reads(result, arena, &cohort, err));
    if (out_place != NULL) {
        *out_place = (dl_query_place){.at = SIZE_MAX};
    }
    DL_TRY(save(&s, result, &cohort, err));
    *out = cohort;
    return DL_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_cohort_save(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str name,
                         dl_str statement, dl_query *query, dl_arena *arena, dl_cohort *out,
                         dl_query_place *out_place, dl_error *err)
{
    return dl_cohort_save_bounded(factory, lakehouse, name, statement, query,
                                  DL_COHORT_INSTANCE_LIMIT, arena, out, out_place, err);
}

/* ---- remove ---- */

static void empty_folder(int parent_fd, const char *name)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DL_CLEANUP(dl_cohort_close_folder) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    while (folder != NULL) {
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            break;
        }
        (void)unlinkat(fd, entry->d_name, 0);
    }
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

dl_status dl_cohort_remove(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str name,
                           dl_error *err)
{
    char parent[DL_COHORT_PATH_SIZE], folder[DL_COHORT_PATH_SIZE], gone[64];
    int64_t newest = 0;
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_cohort_folder(factory, lakehouse->name, DL_STR_NONE, parent, err));
    DL_TRY(dl_cohort_folder(factory, lakehouse->name, name, folder, err));
    DL_TRY(dl_cohort_newest(folder, &newest, err));
    if (newest == 0) {
        return dl_cohort_none(factory, lakehouse, name, err);
    }
    DL_TRY(dl_file_open(parent, O_RDONLY | O_DIRECTORY, 0, &fd, err));
    random_name(GONE_PREFIX, gone);
    if (renameat(fd, folder + strlen(parent) + 1, fd, gone) != 0 || fsync(fd) != 0) {
        return dl_error_errno(err, errno, "cohort: cannot remove %s", folder);
    }
    empty_folder(fd, gone); /* gone already: what stays after a crash is seen by nobody */
    return DL_OK;
}
