/* Cohorts: versions found and read, an instance at a time. */
#include "base/mem.h"
#include "lakehouse/files_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 * 1024,
    COHORT_LIMIT = 10000, /* of a lakehouse */
    HINT_NAMES = 5,
    SCRATCH_BYTES = 64 * 1024 * 1024,
};

/* ---- where ---- */

dl_status dl_cohort_folder(dl_factory *factory, dl_str lakehouse, dl_str name,
                           char out[DL_COHORT_PATH_SIZE], dl_error *err)
{
    DL_TRY(dl_factory_name_check(lakehouse, "lakehouse", err));
    if (name.ptr != NULL) {
        DL_TRY(dl_factory_name_check(name, "cohort", err));
    }
    int n = snprintf(out, DL_COHORT_PATH_SIZE, "%s/lakehouse/%.*s/cohorts%s%.*s",
                     dl_factory_home(factory), DL_STR_ARG(lakehouse), name.ptr == NULL ? "" : "/",
                     DL_STR_ARG(name));
    return n > 0 && n < DL_COHORT_PATH_SIZE
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID, "the home's path is too long");
}

bool dl_cohort_version_of(const char *file_name, int64_t *out_version)
{
    dl_str text = dl_str_of(file_name);
    uint64_t number = 0;
    if (!dl_str_ends(text, DL_STR(".json")) || text.ptr[0] == '0' ||
        !dl_str_to_u64(dl_str_slice(text, 0, text.len - 5), &number) || number > INT64_MAX / 2) {
        return false;
    }
    *out_version = (int64_t)number;
    return true;
}

dl_status dl_cohort_newest(const char *folder, int64_t *out_version, dl_error *err)
{
    DL_CLEANUP(dl_cohort_close_folder) DIR *dir = opendir(folder);
    int64_t newest = 0, version = 0;
    if (dir == NULL && errno != ENOENT && errno != ENOTDIR) {
        return dl_error_errno(err, errno, "cannot read %s", folder);
    }
    while (dir != NULL) {
        const struct dirent *entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            break;
        }
        if (dl_cohort_version_of(entry->d_name, &version) && version > newest) {
            newest = version;
        }
    }
    *out_version = newest;
    return DL_OK;
}

/* ---- the head ---- */

typedef struct reading {
    int fd;
    char *bytes; /* READ_BYTES */
    size_t at, end;
    dl_buf line;
} reading;

static void reading_clear(reading *r)
{
    dl_file_close(&r->fd);
    dl_mem_free(r->bytes);
    dl_buf_clear(&r->line);
}

static dl_status reading_open(reading *r, const char *path, dl_error *err)
{
    r->bytes = dl_mem_alloc(READ_BYTES, 1);
    if (r->bytes == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "cohort: out of memory");
    }
    dl_buf_init(&r->line, DL_COHORT_HEAD_LIMIT_BYTES);
    return dl_file_open(path, O_RDONLY, 0, &r->fd, err);
}

static dl_status fill(reading *r, dl_error *err)
{
    ssize_t n = -1;
    do {
        n = read(r->fd, r->bytes, READ_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return dl_error_errno(err, errno, "cohort: cannot read");
    }
    r->at = 0;
    r->end = (size_t)n;
    return DL_OK;
}

/** The next line without its end; DL_E_CORRUPT when there is none. */
static dl_status next_line(reading *r, dl_str *out_line, dl_error *err)
{
    dl_buf_reset(&r->line);
    for (;;) {
        if (r->at == r->end) {
            DL_TRY(fill(r, err));
        }
        if (r->at == r->end) {
            return dl_error_set(err, DL_E_CORRUPT, "cohort: its file ends early");
        }
        const char *from = r->bytes + r->at;
        const char *eol = memchr(from, '\n', r->end - r->at);
        size_t len = eol == NULL ? r->end - r->at : (size_t)(eol - from);
        DL_TRY(dl_buf_append(&r->line, from, len, err));
        r->at += len + (eol != NULL);
        if (eol != NULL) {
            *out_line = dl_buf_str(&r->line);
            return DL_OK;
        }
    }
}

static bool get_int(dl_str object, const char *key, int64_t *out)
{
    dl_str value = DL_STR_NONE;
    return dl_json_get(object, dl_str_of(key), &value) && dl_json_int_of(value, out);
}

static dl_status get_text(dl_str object, const char *key, dl_arena *arena, dl_str *out,
                          dl_error *err)
{
    dl_str value = DL_STR_NONE;
    return dl_json_get(object, dl_str_of(key), &value)
               ? dl_json_text(value, arena, out, err)
               : dl_error_set(err, DL_E_CORRUPT, "cohort: no %s", key);
}

static dl_status get_reads(dl_str object, dl_arena *arena, dl_cohort *out, dl_error *err)
{
    dl_str array = DL_STR_NONE, item = DL_STR_NONE;
    size_t count = 0;
    (void)dl_json_get(object, DL_STR("reads"), &array);
    dl_json_iter items = dl_json_iter_of(array);
    while (dl_json_next_element(&items, &item)) {
        count++;
    }
    dl_query_read *reads = dl_arena_alloc(arena, count + 1, sizeof *reads);
    if (reads == NULL) {
        return dl_arena_full(arena, err);
    }
    items = dl_json_iter_of(array);
    for (size_t i = 0; i < count && dl_json_next_element(&items, &item); i++) {
        DL_TRY(get_text(item, "table", arena, &reads[i].table, err));
        if (!get_int(item, "version", &reads[i].version) ||
            !get_int(item, "watermark", &reads[i].watermark) ||
            !get_int(item, "fileCount", &reads[i].file_count) ||
            !get_int(item, "filesSkipped", &reads[i].files_skipped) ||
            !get_int(item, "rowCount", &reads[i].row_count)) {
            return dl_error_set(err, DL_E_CORRUPT, "cohort: what it read is damaged");
        }
    }
    out->reads = reads;
    out->read_count = count;
    return DL_OK;
}

static dl_status read_facts(dl_str head, dl_arena *arena, dl_cohort *out, dl_error *err)
{
    dl_cohort c = {0};
    dl_str created = DL_STR_NONE;
    /* The head is a document whose list has not begun. */
    dl_str whole = DL_STR_NONE;
    DL_TRY(dl_arena_printf(arena, &whole, err, "%.*s]}", DL_STR_ARG(head)));
    if (dl_json_check(whole, NULL) != DL_OK || !get_int(whole, "version", &c.version) ||
        !get_int(whole, "instanceCount", &c.instance_count)) {
        return dl_error_set(err, DL_E_CORRUPT, "cohort: its first line is damaged");
    }
    DL_TRY(get_text(whole, "cohort", arena, &c.name, err));
    DL_TRY(get_text(whole, "lakehouse", arena, &c.lakehouse, err));
    DL_TRY(get_text(whole, "statement", arena, &c.statement, err));
    DL_TRY(get_text(whole, "createdAt", arena, &created, err));
    if (!dl_clock_parse(created, &c.created_us)) {
        return dl_error_set(err, DL_E_CORRUPT, "cohort: createdAt is no time");
    }
    DL_TRY(get_reads(whole, arena, &c, err));
    *out = c;
    return DL_OK;
}

/** One version of a cohort. */
typedef struct which {
    dl_str lakehouse, name;
    int64_t version;
} which;

static dl_status open_version(dl_factory *factory, which w, reading *r, dl_str *out_head,
                              dl_error *err)
{
    char folder[DL_COHORT_PATH_SIZE], path[DL_COHORT_PATH_SIZE + 32];
    DL_TRY(dl_cohort_folder(factory, w.lakehouse, w.name, folder, err));
    (void)snprintf(path, sizeof path, "%s/%" PRId64 ".json", folder, w.version);
    DL_TRY(reading_open(r, path, err));
    dl_status status = next_line(r, out_head, err);
    return status == DL_E_LIMIT
               ? dl_error_set(err, DL_E_CORRUPT, "cohort: its first line is too long")
               : status;
}

static dl_status read_version(dl_factory *factory, which w, dl_arena *arena, dl_cohort *out,
                              dl_error *err)
{
    DL_CLEANUP(reading_clear) reading r = {.fd = -1};
    dl_str head = DL_STR_NONE;
    dl_cohort c = {0};
    dl_status status = open_version(factory, w, &r, &head, err);
    if (status == DL_OK) {
        status = read_facts(head, arena, &c, err);
    }
    if (status == DL_OK && (c.version != w.version || !dl_str_eq(c.name, w.name) ||
                            !dl_str_eq(c.lakehouse, w.lakehouse))) {
        status = dl_error_set(err, DL_E_CORRUPT, "cohort: its file says that it is another one");
    }
    if (status != DL_OK) {
        return dl_error_within(err, status, "reading version %" PRId64 " of cohort %.*s", w.version,
                               DL_STR_ARG(w.name));
    }
    *out = c;
    return DL_OK;
}

/* ---- names ---- */

static int by_text(const void *a, const void *b)
{
    return dl_str_compare(*(const dl_str *)a, *(const dl_str *)b);
}

/** Names of the cohorts that have a version, in order. */
static dl_status list_names(dl_factory *factory, dl_str lakehouse, dl_arena *arena,
                            dl_str **out_names, size_t *out_count, dl_error *err)
{
    char folder[DL_COHORT_PATH_SIZE], path[DL_COHORT_PATH_SIZE];
    DL_TRY(dl_cohort_folder(factory, lakehouse, DL_STR_NONE, folder, err));
    dl_str *names = dl_arena_alloc(arena, COHORT_LIMIT, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_CLEANUP(dl_cohort_close_folder) DIR *dir = opendir(folder);
    size_t count = 0;
    while (dir != NULL) {
        const struct dirent *entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): own DIR */
        int64_t newest = 0;
        if (entry == NULL) {
            break;
        }
        dl_str name = dl_str_of(entry->d_name);
        if (dl_cohort_folder(factory, lakehouse, name, path, NULL) != DL_OK ||
            dl_cohort_newest(path, &newest, NULL) != DL_OK || newest == 0) {
            continue;
        }
        if (count == COHORT_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "lakehouse %.*s: more than %d cohorts",
                                DL_STR_ARG(lakehouse), COHORT_LIMIT);
        }
        DL_TRY(dl_arena_copy(arena, name, &names[count++], err));
    }
    qsort(names, count, sizeof *names, by_text);
    *out_names = names;
    *out_count = count;
    return DL_OK;
}

dl_status dl_cohort_none(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str name,
                         dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(SCRATCH_BYTES);
    DL_AUTO_BUF text = {0};
    dl_str *names = NULL;
    size_t count = 0;
    dl_buf_init(&text, SCRATCH_BYTES);
    (void)dl_error_set(err, DL_E_NOT_FOUND, "lakehouse %.*s has no cohort '%.*s'",
                       DL_STR_ARG(lakehouse->name), DL_STR_ARG(name));
    if (arena != NULL &&
        list_names(factory, lakehouse->name, arena, &names, &count, NULL) == DL_OK) {
        for (size_t i = 0; i < count && i < HINT_NAMES; i++) {
            if (dl_buf_printf(&text, NULL, "%s%.*s", i == 0 ? "" : ", ", DL_STR_ARG(names[i])) !=
                DL_OK) {
                break;
            }
        }
        dl_error_hint(err, "%s%.*s", count == 0 ? "it has none yet" : "it has ", (int)text.len,
                      text.ptr == NULL ? "" : text.ptr);
    }
    return DL_E_NOT_FOUND;
}

/* ---- the calls ---- */

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_cohort_get(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str name,
                        int64_t version, dl_arena *arena, dl_cohort *out, dl_error *err)
{
    char folder[DL_COHORT_PATH_SIZE], path[DL_COHORT_PATH_SIZE + 32];
    int64_t newest = 0;
    DL_TRY(dl_cohort_folder(factory, lakehouse->name, name, folder, err));
    DL_TRY(dl_cohort_newest(folder, &newest, err));
    if (newest == 0) {
        return dl_cohort_none(factory, lakehouse, name, err);
    }
    version = version < 0 ? newest : version;
    (void)snprintf(path, sizeof path, "%s/%" PRId64 ".json", folder, version);
    if (access(path, F_OK) != 0) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "cohort %.*s has no version %" PRId64,
                           DL_STR_ARG(name), version);
        dl_error_hint(err, "its newest is %" PRId64, newest);
        return DL_E_NOT_FOUND;
    }
    return read_version(factory, (which){lakehouse->name, name, version}, arena, out, err);
}

/** The newest version, or what can be told of a damaged one. */
static dl_status list_one(dl_factory *factory, dl_str lakehouse, dl_str name, dl_arena *arena,
                          dl_cohort *out, dl_error *err)
{
    char folder[DL_COHORT_PATH_SIZE];
    int64_t newest = 0;
    dl_error why = {0};
    DL_TRY(dl_cohort_folder(factory, lakehouse, name, folder, err));
    DL_TRY(dl_cohort_newest(folder, &newest, err));
    dl_status status = read_version(factory, (which){lakehouse, name, newest}, arena, out, &why);
    if (status == DL_E_CORRUPT || status == DL_E_INVALID || status == DL_E_NOT_FOUND) {
        *out = (dl_cohort){.name = name, .version = newest, .instance_count = -1};
        return dl_arena_copy(arena, lakehouse, &out->lakehouse, err);
    }
    if (status != DL_OK && err != NULL) {
        *err = why;
    }
    return status;
}

dl_status dl_cohort_list(dl_factory *factory, const dl_lakehouse *lakehouse, dl_arena *arena,
                         dl_cohort **out_items, size_t *out_count, dl_error *err)
{
    dl_str *names = NULL;
    size_t count = 0;
    DL_TRY(list_names(factory, lakehouse->name, arena, &names, &count, err));
    dl_cohort *items = dl_arena_alloc(arena, count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        DL_TRY(list_one(factory, lakehouse->name, names[i], arena, &items[i], err));
    }
    *out_items = items;
    *out_count = count;
    return DL_OK;
}

/* ---- instances ---- */

/** A text of an instance; most have no escapes and stay where they are. */
static dl_status get_cell(dl_str object, const char *key, dl_arena *scratch, dl_str *out,
                          dl_error *err)
{
    dl_str value = DL_STR_NONE;
    *out = DL_STR("");
    if (!dl_json_get(object, dl_str_of(key), &value)) {
        return DL_OK;
    }
    if (value.len >= 2 && value.ptr[0] == '"' && memchr(value.ptr, '\\', value.len) == NULL) {
        *out = dl_str_slice(value, 1, value.len - 2);
        return DL_OK;
    }
    return dl_json_text(value, scratch, out, err);
}

static dl_status read_instance(dl_str line, dl_arena *scratch, dl_cohort_instance *out,
                               dl_error *err)
{
    if (line.len > 0 && line.ptr[line.len - 1] == ',') {
        line.len--;
    }
    if (line.len > DL_COHORT_LINE_LIMIT_BYTES || dl_json_check(line, NULL) != DL_OK ||
        dl_json_kind_of(line) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_CORRUPT, "it is damaged");
    }
    DL_TRY(get_cell(line, "studyInstanceUid", scratch, &out->study, err));
    DL_TRY(get_cell(line, "seriesInstanceUid", scratch, &out->series, err));
    DL_TRY(get_cell(line, "sopInstanceUid", scratch, &out->sop, err));
    return get_cell(line, "filePath", scratch, &out->file_path, err);
}

static dl_status visit_line(dl_str line, int64_t number,
                            dl_status (*visit)(void *, const dl_cohort_instance *, dl_error *),
                            void *context, dl_error *err)
{
    DL_AUTO(dl_arena) scratch = dl_arena_create((size_t)2 * DL_COHORT_LINE_LIMIT_BYTES);
    dl_cohort_instance instance = {0};
    if (scratch == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "cohort: out of memory");
    }
    dl_status status = read_instance(line, scratch, &instance, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "reading instance %" PRId64 " of a cohort", number);
    }
    return visit(context, &instance, err);
}

dl_status dl_cohort_each(dl_factory *factory, const dl_cohort *cohort,
                         dl_status (*visit)(void *context, const dl_cohort_instance *instance,
                                            dl_error *err),
                         void *context, dl_error *err)
{
    DL_CLEANUP(reading_clear) reading r = {.fd = -1};
    dl_str line = DL_STR_NONE;
    DL_TRY(open_version(factory, (which){cohort->lakehouse, cohort->name, cohort->version}, &r,
                        &line, err));
    for (int64_t i = 1; i <= cohort->instance_count; i++) {
        DL_TRY(next_line(&r, &line, err));
        DL_TRY(visit_line(line, i, visit, context, err));
    }
    DL_TRY(next_line(&r, &line, err));
    return dl_str_eq(line, DL_STR("]}"))
               ? DL_OK
               : dl_error_set(err, DL_E_CORRUPT, "cohort: more instances than it says");
}
