/*
 * The manifest of a folder of fetched files.
 *
 * While files are copied, a line for each is put behind the others in .manifest.part; when all are
 * there, manifest.json is written from these lines in the cohort's order and takes its name at
 * once, and the part goes away. Who is killed in between leaves the part, and the next fetch knows
 * from it what is there. Lines are found by the hash of their path: 16 bytes of memory a file.
 */
#include "base/mem.h"
#include "lakehouse/files_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 64 * 1024, READ_BYTES = 256 * 1024, FLUSH_BYTES = 256 * 1024, SLOTS = 4096 };

#define DONE "manifest.json"
#define PART ".manifest.part"
#define NEW ".manifest.new"
#define GONE UINT64_MAX
#define IN_PART ((uint64_t)1 << 63)

typedef struct slot {
    uint64_t hash;  /* 0: empty */
    uint64_t place; /* of the line; IN_PART; GONE */
} slot;

struct dl_manifest {
    pthread_mutex_t lock; /* guards what follows */
    int folder_fd, done_fd, part_fd;
    bool ours; /* the part: nobody else has its lock */
    uint64_t part_size;
    slot *slots;
    size_t size, count;
    char *line; /* LINE_BYTES */
};

void dl_manifest_destroy(dl_manifest *m)
{
    if (m == NULL) {
        return;
    }
    if (m->ours && m->part_size == 0) {
        (void)unlinkat(m->folder_fd, PART, 0); /* nothing was copied */
    }
    dl_file_close(&m->part_fd);
    dl_file_close(&m->done_fd);
    dl_file_close(&m->folder_fd);
    dl_mem_free(m->slots);
    dl_mem_free(m->line);
    pthread_mutex_destroy(&m->lock);
    dl_mem_free(m);
}

/* ---- the index ---- */

static uint64_t hash_of(dl_str path)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < path.len; i++) {
        h = (h ^ (uint8_t)path.ptr[i]) * UINT64_C(1099511628211);
    }
    return (h ^ h >> 29) | 1;
}

/** The slot after `from` that has the hash, or the first empty one. */
static slot *probe(const dl_manifest *m, uint64_t hash, size_t *from)
{
    for (;; (*from)++) {
        slot *s = &m->slots[*from & (m->size - 1)];
        if (s->hash == 0 || s->hash == hash) {
            return s;
        }
    }
}

static dl_status grow(dl_manifest *m, dl_error *err)
{
    dl_manifest larger = {.size = m->size == 0 ? SLOTS : 2 * m->size};
    larger.slots = dl_mem_zalloc(larger.size, sizeof(slot));
    if (larger.slots == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "manifest: out of memory");
    }
    for (size_t i = 0; i < m->size; i++) {
        size_t at = (size_t)m->slots[i].hash;
        if (m->slots[i].hash != 0) {
            slot *s = probe(&larger, m->slots[i].hash, &at);
            while (s->hash != 0) { /* another path with this hash */
                at++;
                s = probe(&larger, m->slots[i].hash, &at);
            }
            *s = m->slots[i];
        }
    }
    dl_mem_free(m->slots);
    m->slots = larger.slots;
    m->size = larger.size;
    return DL_OK;
}

/* ---- lines ---- */

static bool copy_text(dl_str object, const char *key, char *out, size_t room, dl_arena *arena)
{
    dl_str value = DL_STR_NONE, text = DL_STR_NONE;
    return dl_json_get(object, dl_str_of(key), &value) &&
           dl_json_text(value, arena, &text, NULL) == DL_OK && dl_str_copy(text, out, room);
}

static bool read_line(dl_str line, dl_manifest_file *out)
{
    DL_AUTO(dl_arena) arena = dl_arena_create((size_t)2 * LINE_BYTES);
    dl_str size = DL_STR_NONE;
    int64_t bytes = 0;
    if (line.len > 0 && line.ptr[line.len - 1] == ',') {
        line.len--;
    }
    bool good = arena != NULL && dl_json_check(line, NULL) == DL_OK &&
                copy_text(line, "path", out->path, sizeof out->path, arena) &&
                copy_text(line, "filePath", out->file_path, sizeof out->file_path, arena) &&
                copy_text(line, "sha256", out->sha256, sizeof out->sha256, arena) &&
                strlen(out->sha256) == DL_MANIFEST_SHA_DIGITS &&
                dl_json_get(line, DL_STR("size"), &size) && dl_json_int_of(size, &bytes) &&
                bytes >= 0;
    out->size_bytes = (uint64_t)bytes;
    return good;
}

/** The line at a place. */
static bool load(dl_manifest *m, uint64_t place, dl_manifest_file *out)
{
    int fd = (place & IN_PART) != 0 ? m->part_fd : m->done_fd;
    ssize_t n = pread(fd, m->line, LINE_BYTES, (off_t)(place & ~IN_PART));
    const char *eol = n <= 0 ? NULL : memchr(m->line, '\n', (size_t)n);
    return eol != NULL && read_line((dl_str){m->line, (size_t)(eol - m->line)}, out);
}

/** The slot of a path, its line in `file`; or an empty slot. */
static slot *find(dl_manifest *m, const char *path, dl_manifest_file *file)
{
    uint64_t hash = hash_of(dl_str_of(path));
    size_t at = (size_t)hash;
    for (;; at++) {
        slot *s = probe(m, hash, &at);
        if (s->hash == 0 ||
            (s->place != GONE && load(m, s->place, file) && strcmp(file->path, path) == 0)) {
            return s;
        }
    }
}

static dl_status index_line(dl_manifest *m, dl_str line, uint64_t place, dl_error *err)
{
    dl_manifest_file file, known;
    if (!dl_str_starts(line, DL_STR("{\"path\":")) || !read_line(line, &file)) {
        return DL_OK; /* the head, the end, or half a line */
    }
    if (2 * m->count >= m->size) {
        DL_TRY(grow(m, err));
    }
    slot *s = find(m, file.path, &known);
    m->count += s->hash == 0;
    *s = (slot){hash_of(dl_str_of(file.path)), place};
    return DL_OK;
}

static dl_status index_file(dl_manifest *m, int fd, uint64_t mark, uint64_t *out_size,
                            dl_error *err)
{
    DL_AUTO_BUF line = {0};
    uint64_t begin = 0, at = 0;
    char *bytes = dl_mem_alloc(READ_BYTES, 1);
    dl_status status =
        bytes == NULL ? dl_error_set(err, DL_E_NOMEM, "manifest: out of memory") : DL_OK;
    dl_buf_init(&line, DL_COHORT_HEAD_LIMIT_BYTES);
    while (status == DL_OK) {
        ssize_t n = pread(fd, bytes, READ_BYTES, (off_t)at);
        if (n <= 0) {
            status = n < 0 ? dl_error_errno(err, errno, "manifest: cannot read") : DL_OK;
            break;
        }
        dl_str rest = {bytes, (size_t)n};
        while (rest.len > 0 && status == DL_OK) {
            ptrdiff_t eol = dl_str_find(rest, '\n');
            size_t len = eol < 0 ? rest.len : (size_t)eol;
            status = dl_buf_append(&line, rest.ptr, len, err);
            at += len;
            if (eol >= 0 && status == DL_OK) {
                status = index_line(m, dl_buf_str(&line), begin | mark, err);
                dl_buf_reset(&line);
                begin = ++at;
                len++;
            }
            rest = (dl_str){rest.ptr + len, rest.len - len};
        }
    }
    dl_mem_free(bytes);
    *out_size = at;
    return status;
}

/* ---- opening ---- */

/** Whose files are in the folder: the first line of manifest.json. */
static dl_status check_owner(const dl_manifest *m, const char *folder, const dl_cohort *cohort,
                             dl_error *err)
{
    char *line = m->line;
    ssize_t n = pread(m->done_fd, line, LINE_BYTES, 0);
    dl_str head = {line, n < 0 ? 0 : (size_t)n}, key = DL_STR_NONE, value = DL_STR_NONE;
    /* The two come first. What was read may end before the object does, so dl_json_iter_of would
     * take it for none. */
    dl_json_iter members = {dl_str_starts(head, DL_STR("{")) ? dl_str_slice(head, 1, head.len)
                                                             : DL_STR_NONE};
    bool cohorts = false, lakehouses = false;
    for (int i = 0; i < 2 && dl_json_next_member(&members, &key, &value); i++) {
        dl_str text = dl_str_slice(value, 1, value.len < 2 ? 0 : value.len - 2);
        cohorts |= dl_str_eq(key, DL_STR("cohort")) && dl_str_eq(text, cohort->name);
        lakehouses |= dl_str_eq(key, DL_STR("lakehouse")) && dl_str_eq(text, cohort->lakehouse);
    }
    if (!cohorts || !lakehouses) {
        (void)dl_error_set(err, DL_E_EXISTS, "%s has a " DONE " that is not of cohort %.*s", folder,
                           DL_STR_ARG(cohort->name));
        dl_error_hint(err, "choose another folder");
        return DL_E_EXISTS;
    }
    return DL_OK;
}

static dl_status open_files(dl_manifest *m, const char *folder, const dl_cohort *cohort,
                            dl_error *err)
{
    uint64_t size = 0;
    DL_TRY(dl_file_make_dirs(folder, err));
    DL_TRY(dl_file_open(folder, O_RDONLY | O_DIRECTORY, 0, &m->folder_fd, err));
    m->part_fd =
        openat(m->folder_fd, PART, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (m->part_fd < 0) {
        return dl_error_errno(err, errno, "cannot write into %s", folder);
    }
    struct stat facts;
    m->ours = flock(m->part_fd, LOCK_EX | LOCK_NB) == 0 && fstat(m->part_fd, &facts) == 0 &&
              facts.st_nlink == 1; /* else it went away while we waited */
    if (!m->ours) {
        return dl_error_set(err, DL_E_CONFLICT, "another process fetches files into %s", folder);
    }
    m->part_size = (uint64_t)facts.st_size;
    m->done_fd = openat(m->folder_fd, DONE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (m->done_fd >= 0) {
        DL_TRY(check_owner(m, folder, cohort, err));
        DL_TRY(index_file(m, m->done_fd, 0, &size, err));
    }
    return index_file(m, m->part_fd, IN_PART, &m->part_size, err); /* last: it is newer */
}

/** A line cut off by a kill is no part of the next one. */
static dl_status end_last_line(dl_manifest *m, dl_error *err)
{
    char last = '\n';
    if (m->part_size > 0) {
        DL_TRY(dl_file_read_at(m->part_fd, (int64_t)m->part_size - 1, &last, 1, err));
    }
    if (last != '\n') {
        DL_TRY(dl_file_write_all(m->part_fd, "\n", 1, err));
        m->part_size++;
    }
    return DL_OK;
}

dl_status dl_manifest_open(const char *folder, const dl_cohort *cohort, dl_manifest **out_manifest,
                           dl_error *err)
{
    dl_manifest *made = dl_mem_zalloc(1, sizeof *made);
    if (made == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "manifest: out of memory");
    }
    made->folder_fd = made->done_fd = made->part_fd = -1;
    pthread_mutex_init(&made->lock, NULL);
    DL_AUTO(dl_manifest) m = made;
    m->line = dl_mem_alloc(LINE_BYTES, 1);
    if (m->line == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "manifest: out of memory");
    }
    DL_TRY(grow(m, err));
    DL_TRY(open_files(m, folder, cohort, err));
    DL_TRY(end_last_line(m, err));
    *out_manifest = DL_STEAL(m);
    return DL_OK;
}

/* ---- files ---- */

bool dl_manifest_find(dl_manifest *manifest, const char *path, dl_manifest_file *out)
{
    pthread_mutex_lock(&manifest->lock);
    bool found = find(manifest, path, out)->hash != 0;
    pthread_mutex_unlock(&manifest->lock);
    return found;
}

void dl_manifest_forget(dl_manifest *manifest, const char *path)
{
    dl_manifest_file file;
    pthread_mutex_lock(&manifest->lock);
    slot *s = find(manifest, path, &file);
    if (s->hash != 0) {
        s->place = GONE;
    }
    pthread_mutex_unlock(&manifest->lock);
}

static void put_text(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, text);
}

static dl_status put_file(dl_buf *out, const dl_manifest_file *file, dl_error *err)
{
    dl_json_writer w;
    dl_json_writer_init(&w, out, err);
    dl_json_object_begin(&w);
    put_text(&w, "path", dl_str_of(file->path));
    put_text(&w, "filePath", dl_str_of(file->file_path));
    dl_json_key(&w, DL_STR("size"));
    dl_json_int(&w, (int64_t)file->size_bytes);
    put_text(&w, "sha256", dl_str_of(file->sha256));
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

static dl_status add(dl_manifest *m, dl_str line, const dl_manifest_file *file, dl_error *err)
{
    dl_manifest_file known;
    if (2 * m->count >= m->size) {
        DL_TRY(grow(m, err));
    }
    DL_TRY(dl_file_write_all(m->part_fd, line.ptr, line.len, err));
    slot *s = find(m, file->path, &known);
    m->count += s->hash == 0;
    *s = (slot){hash_of(dl_str_of(file->path)), m->part_size | IN_PART};
    m->part_size += line.len;
    return DL_OK;
}

dl_status dl_manifest_add(dl_manifest *manifest, const dl_manifest_file *file, dl_error *err)
{
    DL_AUTO_BUF line = {0};
    dl_buf_init(&line, LINE_BYTES);
    DL_TRY(put_file(&line, file, err));
    DL_TRY(dl_buf_append_char(&line, '\n', err));
    pthread_mutex_lock(&manifest->lock);
    dl_status status = add(manifest, dl_buf_str(&line), file, err);
    pthread_mutex_unlock(&manifest->lock);
    return status;
}

/* ---- the end ---- */

dl_status dl_manifest_path(const dl_cohort_instance *i, char out[DL_MANIFEST_PATH_LIMIT],
                           dl_error *err)
{
    const dl_str uids[] = {i->study, i->series, i->sop};
    for (size_t k = 0; k < DL_COUNT_OF(uids); k++) {
        if (!dl_cohort_is_uid(uids[k]) && (k == 2 || uids[k].len > 0)) {
            return dl_error_set(err, DL_E_CORRUPT, "cohort: an instance without a UID");
        }
    }
    (void)snprintf(out, DL_MANIFEST_PATH_LIMIT, "%.*s/%.*s/%.*s.dcm",
                   DL_STR_ARG(i->study.len == 0 ? DL_STR("_") : i->study),
                   DL_STR_ARG(i->series.len == 0 ? DL_STR("_") : i->series), DL_STR_ARG(i->sop));
    return DL_OK;
}

typedef struct finishing {
    dl_manifest *m;
    int fd;
    dl_buf text;
    int64_t files, missing;
    uint64_t bytes;
} finishing;

static void finishing_clear(finishing *f)
{
    dl_file_close(&f->fd);
    dl_buf_clear(&f->text);
}

static dl_status flush(finishing *f, dl_error *err)
{
    dl_status status = dl_file_write_all(f->fd, f->text.ptr, f->text.len, err);
    dl_buf_reset(&f->text);
    return status;
}

/** The line of an instance with its UIDs, or what is missing. */
static dl_status put_line(finishing *f, const dl_cohort_instance *i, const char *path,
                          const dl_manifest_file *file, dl_error *err)
{
    dl_json_writer w;
    bool first = f->files + f->missing == 0;
    DL_TRY(dl_buf_append_str(&f->text, first ? DL_STR("") : DL_STR(",\n"), err));
    dl_json_writer_init(&w, &f->text, err);
    dl_json_object_begin(&w);
    if (file != NULL) {
        put_text(&w, "path", dl_str_of(path));
    }
    put_text(&w, "filePath", i->file_path);
    if (file != NULL) {
        dl_json_key(&w, DL_STR("size"));
        dl_json_int(&w, (int64_t)file->size_bytes);
        put_text(&w, "sha256", dl_str_of(file->sha256));
    } else {
        put_text(&w, "missing",
                 i->file_path.len == 0 ? DL_STR("the cohort has no filePath for it")
                                       : DL_STR("no Files shortcut has the file"));
    }
    put_text(&w, "studyInstanceUid", i->study);
    put_text(&w, "seriesInstanceUid", i->series);
    put_text(&w, "sopInstanceUid", i->sop);
    dl_json_object_end(&w);
    return dl_json_writer_status(&w);
}

static dl_status finish_one(void *context, const dl_cohort_instance *i, dl_error *err)
{
    finishing *f = context;
    char path[DL_MANIFEST_PATH_LIMIT];
    dl_manifest_file file;
    DL_TRY(dl_manifest_path(i, path, err));
    bool found = dl_manifest_find(f->m, path, &file);
    DL_TRY(put_line(f, i, path, found ? &file : NULL, err));
    f->files += found;
    f->missing += !found;
    f->bytes += found ? file.size_bytes : 0;
    return f->text.len >= FLUSH_BYTES ? flush(f, err) : DL_OK;
}

static dl_status put_head(finishing *f, dl_factory *factory, const dl_cohort *cohort, dl_error *err)
{
    char now[DL_CLOCK_TEXT_SIZE];
    dl_json_writer w;
    dl_clock_format_utc(dl_factory_now_us(factory), now);
    dl_json_writer_init(&w, &f->text, err);
    dl_json_object_begin(&w);
    put_text(&w, "cohort", cohort->name);
    put_text(&w, "lakehouse", cohort->lakehouse);
    dl_json_key(&w, DL_STR("version"));
    dl_json_int(&w, cohort->version);
    dl_cohort_put_facts(&w, cohort);
    put_text(&w, "fetchedAt", dl_str_of(now));
    dl_json_key(&w, DL_STR("files"));
    dl_json_array_begin(&w);
    DL_TRY(dl_json_writer_status(&w));
    return dl_buf_append_char(&f->text, '\n', err);
}

static dl_status write_all(finishing *f, dl_factory *factory, const dl_cohort *cohort,
                           dl_error *err)
{
    DL_TRY(put_head(f, factory, cohort, err));
    DL_TRY(dl_cohort_each(factory, cohort, finish_one, f, err));
    DL_TRY(dl_buf_printf(&f->text, err,
                         "\n],\"fileCount\":%" PRId64 ",\"bytes\":%" PRIu64
                         ",\"missingCount\":%" PRId64 "}\n",
                         f->files, f->bytes, f->missing));
    return flush(f, err);
}

dl_status dl_manifest_finish(dl_manifest *manifest, dl_factory *factory, const dl_cohort *cohort,
                             dl_error *err)
{
    DL_CLEANUP(finishing_clear) finishing f = {.m = manifest, .fd = -1};
    dl_buf_init(&f.text, DL_COHORT_HEAD_LIMIT_BYTES);
    /* The files first: a manifest that outlives a power cut says the truth about them. */
    if (syncfs(manifest->folder_fd) != 0) {
        return dl_error_errno(err, errno, "manifest: files cannot be made to last");
    }
    f.fd = openat(manifest->folder_fd, NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0644);
    if (f.fd < 0) {
        return dl_error_errno(err, errno, "manifest: cannot write");
    }
    dl_status status = write_all(&f, factory, cohort, err);
    if (status == DL_OK &&
        (fsync(f.fd) != 0 || renameat(manifest->folder_fd, NEW, manifest->folder_fd, DONE) != 0)) {
        status = dl_error_errno(err, errno, "manifest: cannot write");
    }
    if (status != DL_OK) {
        (void)unlinkat(manifest->folder_fd, NEW, 0);
        return status;
    }
    (void)unlinkat(manifest->folder_fd, PART, 0);
    manifest->ours = false;
    return fsync(manifest->folder_fd) == 0 ? DL_OK
                                           : dl_error_errno(err, errno, "manifest: cannot write");
}
