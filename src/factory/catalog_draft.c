#include "factory/catalog_internal.h"

#include "base/file.h"
#include "factory/document_copy.h"
#include "json/json.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 + 512 };

const char *dl_catalog_folder(dl_factory_kind kind)
{
    static const char *const folders[DL_FACTORY_KINDS] = {"linkedService", "pipeline", "trigger"};
    return folders[kind];
}

static void path_of(const dl_catalog_work *c, dl_factory_kind kind, dl_str name,
                    char out[PATH_SIZE])
{
    int n = snprintf(out, PATH_SIZE, "%s/config/factory/%s", dl_factory_home(c->factory),
                     dl_catalog_folder(kind));
    DL_ASSERT(n > 0 && n < PATH_SIZE);
    if (name.ptr != NULL) {
        int more = snprintf(out + n, PATH_SIZE - (size_t)n, "/%.*s.json", DL_STR_ARG(name));
        DL_ASSERT(more > 0 && n + more < PATH_SIZE);
    }
}

/* ---- reading the folder ---- */

/** Why the file cannot be taken goes into the draft: the others are read all the same. */
static dl_status read_file(dl_catalog_work *c, const char *path, dl_catalog_file *draft)
{
    DL_AUTO_BUF text = {0};
    dl_error why = {0};
    struct stat facts;
    if (stat(path, &facts) == 0) {
        draft->changed_us = (int64_t)facts.st_mtim.tv_sec * 1000000 + facts.st_mtim.tv_nsec / 1000;
    }
    dl_buf_init(&text, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    dl_status status = dl_factory_name_check(draft->name, "file", &why);
    if (status == DL_OK) {
        status = dl_file_read_all(path, &text, &why);
    }
    if (status != DL_OK) {
        return dl_arena_copy(c->arena, dl_str_of(why.message), &draft->fault, c->err);
    }
    dl_str json = dl_buf_str(&text);
    return dl_arena_copy(c->arena, json.ptr == NULL ? DL_STR("") : json, &draft->json, c->err);
}

static int by_name(const void *a, const void *b)
{
    const dl_str x = ((const dl_catalog_file *)a)->name, y = ((const dl_catalog_file *)b)->name;
    size_t least = x.len < y.len ? x.len : y.len;
    int order = strncasecmp(x.ptr, y.ptr, least);
    return order != 0 ? order : x.len != y.len ? (x.len < y.len ? -1 : 1) : dl_str_compare(x, y);
}

/** NAME of "NAME.json"; false for what is no document, editors' files among them. */
static bool stem_of(const char *file, dl_str *out_name)
{
    dl_str name = dl_str_of(file);
    if (name.len <= 5 || name.ptr[0] == '.' || !dl_str_ends(name, DL_STR(".json"))) {
        return false;
    }
    *out_name = dl_str_slice(name, 0, name.len - 5);
    return true;
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

typedef struct names {
    dl_str *items;
    size_t count, room;
} names;

static dl_status add_name(dl_catalog_work *c, names *n, dl_str name)
{
    if (n->count == DL_CATALOG_DRAFT_LIMIT) {
        return dl_error_set(c->err, DL_E_LIMIT, "more than %d documents in a folder",
                            DL_CATALOG_DRAFT_LIMIT);
    }
    if (n->count == n->room) {
        size_t room = n->room == 0 ? 16 : n->room * 2;
        dl_str *items = dl_arena_alloc(c->arena, room, sizeof *items);
        if (items == NULL) {
            return dl_arena_full(c->arena, c->err);
        }
        if (n->count > 0) {
            memcpy(items, n->items, n->count * sizeof *items);
        }
        n->items = items;
        n->room = room;
    }
    DL_TRY(dl_arena_copy(c->arena, name, &n->items[n->count], c->err));
    n->count++;
    return DL_OK;
}

static dl_status list_folder(dl_catalog_work *c, const char *path, names *out)
{
    DL_CLEANUP(close_folder) DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno == ENOENT ? DL_OK : dl_error_errno(c->err, errno, "folder %s", path);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            return errno == 0 ? DL_OK : dl_error_errno(c->err, errno, "folder %s", path);
        }
        dl_str name = DL_STR_NONE;
        if (stem_of(entry->d_name, &name)) {
            DL_TRY(add_name(c, out, name));
        }
    }
}

dl_status dl_catalog_drafts(dl_catalog_work *c, dl_factory_kind kind, dl_catalog_file **out_drafts,
                            size_t *out_count)
{
    char path[PATH_SIZE];
    names found = {0};
    path_of(c, kind, DL_STR_NONE, path);
    DL_TRY(list_folder(c, path, &found));
    dl_catalog_file *drafts = dl_arena_alloc(c->arena, found.count + 1, sizeof *drafts);
    if (drafts == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    for (size_t i = 0; i < found.count; i++) {
        drafts[i].name = found.items[i];
        path_of(c, kind, found.items[i], path);
        DL_TRY(read_file(c, path, &drafts[i]));
    }
    qsort(drafts, found.count, sizeof *drafts, by_name);
    *out_drafts = drafts;
    *out_count = found.count;
    return DL_OK;
}

const dl_catalog_file *dl_catalog_find_draft(const dl_catalog_file *drafts, size_t count,
                                             dl_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq_nocase(drafts[i].name, name)) {
            return &drafts[i];
        }
    }
    return NULL;
}

dl_status dl_catalog_not_found(dl_catalog_work *c, dl_factory_kind kind, dl_str name,
                               const dl_catalog_file *drafts, size_t count)
{
    char all[140];
    size_t len = 0;
    for (size_t i = 0; i < count && len + drafts[i].name.len + 8 < sizeof all; i++) {
        int n = snprintf(all + len, sizeof all - len, "%s%.*s", i == 0 ? "" : ", ",
                         DL_STR_ARG(drafts[i].name));
        len += n > 0 ? (size_t)n : 0;
        if (i + 1 < count && len + drafts[i + 1].name.len + 8 >= sizeof all) {
            (void)snprintf(all + len, sizeof all - len, ", ...");
        }
    }
    (void)dl_error_set(c->err, DL_E_NOT_FOUND, "there is no %s '%.*s'", dl_catalog_folder(kind),
                       DL_STR_ARG(dl_str_slice(name, 0, DL_FACTORY_NAME_LIMIT)));
    if (len > 0) {
        dl_error_hint(c->err, "there is %s", all);
    } else {
        dl_error_hint(c->err, "there is none yet");
    }
    return DL_E_NOT_FOUND;
}

/* ---- what a document says ---- */

static dl_status parse_into(dl_catalog_work *c, dl_factory_kind kind, dl_str json,
                            dl_catalog_parsed *out, dl_str *out_name)
{
    static const size_t sizes[DL_FACTORY_KINDS] = {
        sizeof(dl_factory_connection), sizeof(dl_factory_pipeline), sizeof(dl_factory_trigger)};
    void *room = dl_arena_alloc(c->arena, 1, sizes[kind]);
    if (room == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    *out = (dl_catalog_parsed){NULL, NULL, NULL};
    switch (kind) {
    case DL_FACTORY_CONNECTION:
        out->connection = room;
        DL_TRY(dl_factory_read_connection(json, c->arena, out->connection, NULL, c->err));
        *out_name = out->connection->name;
        break;
    case DL_FACTORY_PIPELINE:
        out->pipeline = room;
        DL_TRY(dl_factory_read_pipeline(json, c->arena, out->pipeline, NULL, c->err));
        *out_name = out->pipeline->name;
        break;
    case DL_FACTORY_TRIGGER:
        out->trigger = room;
        DL_TRY(dl_factory_read_trigger(json, c->arena, out->trigger, NULL, c->err));
        *out_name = out->trigger->name;
        break;
    }
    return DL_OK;
}

dl_status dl_catalog_parse(dl_catalog_work *c, dl_factory_kind kind, dl_str name, dl_str json,
                           const char *where, dl_catalog_parsed *out_parsed)
{
    dl_str inside = DL_STR_NONE;
    dl_status status = parse_into(c, kind, json, out_parsed, &inside);
    if (status == DL_OK && name.ptr != NULL && !dl_str_eq(inside, name)) {
        (void)dl_error_set(c->err, DL_E_INVALID, "name: '%.*s' is not that of the file",
                           DL_STR_ARG(inside));
        dl_error_hint(c->err, "give both the same name, or let dicomlake rename it");
        status = DL_E_INVALID;
    }
    if (status != DL_OK && where != NULL) {
        return dl_error_within(c->err, status, "reading %s %s/%.*s.json", where,
                               dl_catalog_folder(kind), DL_STR_ARG(name));
    }
    return status;
}

dl_status dl_catalog_read_draft(dl_catalog_work *c, dl_factory_kind kind,
                                const dl_catalog_file *draft, dl_catalog_parsed *out_parsed)
{
    if (draft->fault.ptr != NULL) {
        return dl_error_set(c->err, DL_E_INVALID, "%.*s; while reading the draft %s/%.*s.json",
                            DL_STR_ARG(draft->fault), dl_catalog_folder(kind),
                            DL_STR_ARG(dl_str_slice(draft->name, 0, DL_FACTORY_NAME_LIMIT)));
    }
    return dl_catalog_parse(c, kind, draft->name, draft->json, "the draft", out_parsed);
}

dl_status dl_catalog_text(dl_catalog_work *c, const dl_catalog_parsed *parsed, dl_str original,
                          dl_str *out_json)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    if (dl_str_starts(original, DL_STR("\xef\xbb\xbf"))) {
        original = dl_str_slice(original, 3, original.len);
    }
    if (parsed->connection != NULL) {
        DL_TRY(dl_factory_write_connection(parsed->connection, original, &text, c->err));
    } else if (parsed->pipeline != NULL) {
        DL_TRY(dl_factory_write_pipeline(parsed->pipeline, original, &text, c->err));
    } else {
        DL_TRY(dl_factory_write_trigger(parsed->trigger, original, &text, c->err));
    }
    return dl_arena_copy(c->arena, dl_buf_str(&text), out_json, c->err);
}

/* ---- writing ---- */

dl_status dl_catalog_write_draft(dl_catalog_work *c, dl_factory_kind kind, dl_str name, dl_str json)
{
    char path[PATH_SIZE];
    path_of(c, kind, DL_STR_NONE, path);
    DL_TRY(dl_file_make_dirs(path, c->err));
    path_of(c, kind, name, path);
    return dl_file_replace(path, json, c->err);
}

dl_status dl_catalog_unlink_draft(dl_catalog_work *c, dl_factory_kind kind, dl_str name)
{
    char path[PATH_SIZE];
    path_of(c, kind, name, path);
    if (unlink(path) != 0 && errno != ENOENT) {
        return dl_error_errno(c->err, errno, "removing %s", path);
    }
    path_of(c, kind, DL_STR_NONE, path);
    return dl_file_sync_dir(path, c->err);
}
