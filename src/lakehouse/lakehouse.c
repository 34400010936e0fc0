/* The lakehouses of a home: HOME/config/lakehouse/NAME.json, changed under one lock. */
#include "lakehouse/lakehouse.h"

#include "base/file.h"
#include "factory/nearest.h"
#include "lakehouse/catalog_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 30 * 1000, LOCK_STEP_MS = 5, ARENA_LIMIT_BYTES = 64 * 1024 * 1024 };

/* ---- where they are ---- */

static dl_status folder_of(const dl_factory *factory, dl_arena *arena, dl_str *out, dl_error *err)
{
    return dl_arena_printf(arena, out, err, "%s/config/lakehouse", dl_factory_home(factory));
}

static dl_status path_of(const dl_factory *factory, dl_str name, dl_arena *arena, dl_str *out,
                         dl_error *err)
{
    return dl_arena_printf(arena, out, err, "%s/config/lakehouse/%.*s.json",
                           dl_factory_home(factory), DL_STR_ARG(name));
}

static bool is_home_name(dl_str name)
{
    return dl_str_eq_nocase(name, DL_STR(DL_LAKEHOUSE_HOME));
}

/* ---- names that there are ---- */

typedef struct names {
    dl_str *items;
    size_t count, room;
} names;

/** NAME of "NAME.json"; false for what is no document of ours, editors' files among them. */
static bool stem_of(const char *file, dl_str *out_name)
{
    dl_str name = dl_str_of(file);
    if (!dl_str_ends(name, DL_STR(".json"))) {
        return false;
    }
    name = dl_str_slice(name, 0, name.len - (sizeof ".json" - 1));
    *out_name = name;
    return dl_factory_name_check(name, "file", NULL) == DL_OK && !is_home_name(name);
}

static dl_status add_name(names *n, dl_str name, dl_arena *arena, dl_error *err)
{
    if (n->count == DL_LAKEHOUSE_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "more than %d lakehouses", DL_LAKEHOUSE_LIMIT);
    }
    if (n->count == n->room) {
        size_t room = n->room == 0 ? 16 : n->room * 2;
        dl_str *items = dl_arena_alloc(arena, room, sizeof *items);
        if (items == NULL) {
            return dl_arena_full(arena, err);
        }
        if (n->count > 0) {
            memcpy(items, n->items, n->count * sizeof *items);
        }
        n->items = items;
        n->room = room;
    }
    DL_TRY(dl_arena_copy(arena, name, &n->items[n->count], err));
    n->count++;
    return DL_OK;
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static int by_name(const void *a, const void *b)
{
    const dl_str x = *(const dl_str *)a, y = *(const dl_str *)b;
    int order = strcasecmp(x.ptr, y.ptr);
    return order != 0 ? order : dl_str_compare(x, y);
}

static dl_status list_names(const dl_factory *factory, dl_arena *arena, names *out, dl_error *err)
{
    dl_str path = DL_STR_NONE;
    DL_TRY(folder_of(factory, arena, &path, err));
    DL_CLEANUP(close_folder) DIR *folder = opendir(path.ptr);
    if (folder == NULL) {
        return errno == ENOENT ? DL_OK : dl_error_errno(err, errno, "folder %s", path.ptr);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL && errno != 0) {
            return dl_error_errno(err, errno, "folder %s", path.ptr);
        }
        if (entry == NULL) {
            break;
        }
        dl_str name = DL_STR_NONE;
        if (stem_of(entry->d_name, &name)) {
            DL_TRY(add_name(out, name, arena, err));
        }
    }
    if (out->count > 1) {
        qsort(out->items, out->count, sizeof *out->items, by_name);
    }
    return DL_OK;
}

/** The name as its file has it; empty: there is none. */
static dl_str find_name(const names *n, dl_str name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (dl_str_eq_nocase(n->items[i], name)) {
            return n->items[i];
        }
    }
    return DL_STR_NONE;
}

/** "a, b, c, ..." as far as a hint has room. */
static void list_text(const names *n, char out[128])
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n->count; i++) {
        if (len + n->items[i].len + sizeof ", , ..." > 128) {
            (void)snprintf(out + len, 128 - len, "%s...", i == 0 ? "" : ", ");
            return;
        }
        int more =
            snprintf(out + len, 128 - len, "%s%.*s", i == 0 ? "" : ", ", DL_STR_ARG(n->items[i]));
        len += more > 0 ? (size_t)more : 0;
    }
}

static dl_status no_lakehouse(const names *n, dl_str name, dl_error *err)
{
    char text[128], all[192] = "dicomlake lakehouse create makes one";
    dl_nearest nearest;
    dl_nearest_init(&nearest, name);
    for (size_t i = 0; i < n->count; i++) {
        dl_nearest_consider(&nearest, n->items[i]);
    }
    if (n->count > 0) {
        list_text(n, text);
        (void)snprintf(all, sizeof all, "there is %s", text);
    }
    (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no lakehouse '%.*s'",
                       DL_STR_ARG(dl_str_slice(name, 0, DL_LAKEHOUSE_NAME_LIMIT)));
    dl_nearest_hint(&nearest, all, err);
    return DL_E_NOT_FOUND;
}

/* ---- one document ---- */

static dl_status load(const dl_factory *factory, dl_str name, dl_arena *arena, dl_lakehouse *out,
                      dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_str path = DL_STR_NONE, json = DL_STR_NONE;
    dl_lakehouse read;
    DL_TRY(path_of(factory, name, arena, &path, err));
    dl_buf_init(&text, DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_file_read_all(path.ptr, &text, err));
    DL_TRY(dl_arena_copy(arena, dl_buf_str(&text), &json, err));
    dl_status status = dl_lakehouse_read(json, arena, &read, err);
    if (status == DL_OK && !dl_str_eq(read.name, name)) {
        (void)dl_error_set(err, DL_E_INVALID, "name: '%.*s' is not that of the file",
                           DL_STR_ARG(read.name));
        dl_error_hint(err, "give both the same name");
        status = DL_E_INVALID;
    }
    if (status != DL_OK) {
        return dl_error_within(err, status, "reading config/lakehouse/%.*s.json", DL_STR_ARG(name));
    }
    *out = read;
    return DL_OK;
}

static dl_status get_from(dl_factory *factory, const names *n, dl_str name, dl_arena *arena,
                          dl_lakehouse *out, dl_error *err)
{
    if (is_home_name(name)) {
        return dl_lakehouse_implied(factory, arena, out, err);
    }
    dl_str found = find_name(n, name);
    return found.ptr == NULL ? no_lakehouse(n, name, err) : load(factory, found, arena, out, err);
}

dl_status dl_lakehouse_get(dl_factory *factory, dl_str name, dl_arena *arena, dl_lakehouse *out,
                           dl_error *err)
{
    names n = {0};
    DL_TRY(list_names(factory, arena, &n, err));
    return get_from(factory, &n, name, arena, out, err);
}

dl_status dl_lakehouse_choose(dl_factory *factory, dl_str name, dl_arena *arena, dl_lakehouse *out,
                              dl_error *err)
{
    names n = {0};
    DL_TRY(list_names(factory, arena, &n, err));
    if (name.len > 0) {
        return get_from(factory, &n, name, arena, out, err);
    }
    if (n.count > 1) {
        char text[128];
        list_text(&n, text);
        (void)dl_error_set(err, DL_E_INVALID, "this home has %zu lakehouses: which one?", n.count);
        dl_error_hint(err, "name it with --lakehouse: %s", text);
        return DL_E_INVALID;
    }
    return get_from(factory, &n, n.count == 1 ? n.items[0] : DL_STR(DL_LAKEHOUSE_HOME), arena, out,
                    err);
}

dl_status dl_lakehouse_list(dl_factory *factory, dl_arena *arena, dl_lakehouse **out_items,
                            size_t *out_count, dl_error *err)
{
    names n = {0};
    DL_TRY(list_names(factory, arena, &n, err));
    dl_lakehouse *items = dl_arena_alloc(arena, n.count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < n.count; i++) {
        dl_error why = {0};
        dl_status status = load(factory, n.items[i], arena, &items[i], &why);
        if (status == DL_E_NOMEM) {
            return dl_error_set(err, status, "%s", why.message);
        }
        if (status != DL_OK) {
            items[i] = (dl_lakehouse){.name = n.items[i], .description = DL_STR("")};
            DL_TRY(dl_arena_copy(arena, dl_str_of(why.message), &items[i].fault, err));
        }
    }
    if (n.count == 0) {
        DL_TRY(dl_lakehouse_implied(factory, arena, &items[0], err));
    }
    *out_items = items;
    *out_count = n.count == 0 ? 1 : n.count;
    return DL_OK;
}

/* ---- changing: one process at a time ---- */

/** Held until the descriptor is closed, by the kernel: a process that dies holds nothing. */
static dl_status lock_folder(const dl_factory *factory, dl_arena *arena, int *out_fd, dl_error *err)
{
    dl_str folder = DL_STR_NONE, path = DL_STR_NONE;
    DL_AUTO_FD fd = -1;
    DL_TRY(folder_of(factory, arena, &folder, err));
    DL_TRY(dl_file_make_dirs(folder.ptr, err));
    DL_TRY(dl_arena_printf(arena, &path, err, "%s/.lock", folder.ptr));
    DL_TRY(dl_file_open(path.ptr, O_RDWR | O_CREAT, 0600, &fd, err));
    const struct timespec step = {.tv_nsec = (long)LOCK_STEP_MS * 1000 * 1000};
    for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return dl_error_errno(err, errno, "cannot lock %s", path.ptr);
        }
        if (waited_ms >= LOCK_WAIT_MS) {
            (void)dl_error_set(err, DL_E_UNAVAILABLE,
                               "another process has been changing lakehouses for %d seconds",
                               LOCK_WAIT_MS / 1000);
            dl_error_hint(err, "try again when it is done");
            return DL_E_UNAVAILABLE;
        }
        (void)nanosleep(&step, NULL);
    }
    *out_fd = fd;
    fd = -1;
    return DL_OK;
}

static dl_status store(const dl_factory *factory, const dl_lakehouse *lakehouse, dl_arena *arena,
                       dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_str path = DL_STR_NONE;
    DL_TRY(dl_lakehouse_check(lakehouse, err));
    DL_TRY(path_of(factory, lakehouse->name, arena, &path, err));
    dl_buf_init(&text, DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_lakehouse_text(lakehouse, &text, err));
    return dl_file_replace(path.ptr, dl_buf_str(&text), err);
}

/** What is done under the lock. */
typedef struct change {
    dl_factory *factory;
    dl_arena *arena;
    dl_str name;
    const dl_lakehouse *lakehouse;
    bool replace, added;
    const dl_shortcut *shortcut; /* NULL: remove the one of `kind` and `shortcut_name` */
    dl_shortcut_kind kind;
    dl_str shortcut_name;
    dl_error *err;
} change;

static dl_status locked(change *c, dl_status (*work)(change *c, const names *n))
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    DL_AUTO_FD lock = -1;
    names n = {0};
    if (arena == NULL) {
        return dl_error_set(c->err, DL_E_NOMEM, "lakehouse: out of memory");
    }
    c->arena = arena;
    DL_TRY(lock_folder(c->factory, arena, &lock, c->err));
    DL_TRY(list_names(c->factory, arena, &n, c->err));
    return work(c, &n);
}

static dl_status put(change *c, const names *n)
{
    dl_lakehouse written = *c->lakehouse;
    dl_str found = find_name(n, c->lakehouse->name);
    if (found.ptr != NULL && !c->replace) {
        (void)dl_error_set(c->err, DL_E_EXISTS, "there is a lakehouse '%.*s' already",
                           DL_STR_ARG(found));
        dl_error_hint(c->err, "choose another name, or replace it");
        return DL_E_EXISTS;
    }
    if (found.ptr == NULL && n->count == DL_LAKEHOUSE_LIMIT) {
        return dl_error_set(c->err, DL_E_LIMIT, "there are %d lakehouses: no room for more",
                            DL_LAKEHOUSE_LIMIT);
    }
    if (found.ptr != NULL) {
        written.name = found;
    }
    return store(c->factory, &written, c->arena, c->err);
}

dl_status dl_lakehouse_put(dl_factory *factory, const dl_lakehouse *lakehouse, bool replace,
                           dl_error *err)
{
    change c = {.factory = factory, .lakehouse = lakehouse, .replace = replace, .err = err};
    DL_TRY(dl_lakehouse_check(lakehouse, err)); /* before anything is made */
    return locked(&c, put);
}

static dl_status refuse_home(dl_str name, dl_error *err)
{
    if (!is_home_name(name)) {
        return DL_OK;
    }
    (void)dl_error_set(err, DL_E_INVALID, "the home's own lakehouse cannot be changed");
    dl_error_hint(err, "make one of your own: dicomlake lakehouse create NAME");
    return DL_E_INVALID;
}

static dl_status take_away(change *c, const names *n)
{
    dl_str found = find_name(n, c->name), path = DL_STR_NONE, folder = DL_STR_NONE;
    if (found.ptr == NULL) {
        return no_lakehouse(n, c->name, c->err);
    }
    DL_TRY(path_of(c->factory, found, c->arena, &path, c->err));
    DL_TRY(folder_of(c->factory, c->arena, &folder, c->err));
    if (unlink(path.ptr) != 0) {
        return dl_error_errno(c->err, errno, "cannot remove %s", path.ptr);
    }
    return dl_file_sync_dir(folder.ptr, c->err);
}

dl_status dl_lakehouse_remove(dl_factory *factory, dl_str name, dl_error *err)
{
    change c = {.factory = factory, .name = name, .err = err};
    DL_TRY(refuse_home(name, err));
    return locked(&c, take_away);
}

/* ---- shortcuts ---- */

static dl_status no_shortcut(const dl_lakehouse *lakehouse, dl_shortcut_kind kind, dl_str name,
                             dl_error *err)
{
    dl_nearest nearest;
    dl_nearest_init(&nearest, name);
    dl_shortcut_kind other = kind == DL_SHORTCUT_TABLES ? DL_SHORTCUT_FILES : DL_SHORTCUT_TABLES;
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        if (lakehouse->shortcuts[i].kind == kind) {
            dl_nearest_consider(&nearest, lakehouse->shortcuts[i].name);
        }
    }
    (void)dl_error_set(
        err, DL_E_NOT_FOUND, "lakehouse %.*s has no '%.*s' under %s", DL_STR_ARG(lakehouse->name),
        DL_STR_ARG(dl_str_slice(name, 0, DL_SHORTCUT_NAME_LIMIT)), dl_shortcut_kind_name(kind));
    dl_nearest_hint(&nearest,
                    dl_shortcut_find(lakehouse, other, name) == NULL
                        ? "dicomlake shortcut list shows what there is"
                    : other == DL_SHORTCUT_TABLES ? "there is one under Tables"
                                                  : "there is one under Files",
                    err);
    return DL_E_NOT_FOUND;
}

dl_status dl_lakehouse_find(const dl_lakehouse *lakehouse, dl_shortcut_kind kind, dl_str name,
                            const dl_shortcut **out_shortcut, dl_error *err)
{
    const dl_shortcut *found = dl_shortcut_find(lakehouse, kind, name);
    if (found == NULL) {
        return no_shortcut(lakehouse, kind, name, err);
    }
    *out_shortcut = found;
    return DL_OK;
}

/** Another target; what is not ours stays with it. */
static void replace_target(dl_shortcut *there, const dl_shortcut *by)
{
    there->connection = by->connection;
    there->subpath = by->subpath;
    if (by->other_json.len > 0) {
        there->other_json = by->other_json;
    }
    if (by->target_other_json.len > 0) {
        there->target_other_json = by->target_other_json;
    }
}

static dl_status add_one(change *c, const names *n)
{
    dl_lakehouse lakehouse = {0};
    DL_TRY(get_from(c->factory, n, c->name, c->arena, &lakehouse, c->err));
    const dl_shortcut *there = dl_shortcut_find(&lakehouse, c->shortcut->kind, c->shortcut->name);
    if (there != NULL && !c->replace) {
        (void)dl_error_set(c->err, DL_E_EXISTS, "there is a '%.*s' under %s already",
                           DL_STR_ARG(there->name), dl_shortcut_kind_name(there->kind));
        dl_error_hint(c->err, "choose another name, or remove that one first");
        return DL_E_EXISTS;
    }
    if (there != NULL) {
        replace_target(&lakehouse.shortcuts[there - lakehouse.shortcuts], c->shortcut);
        return store(c->factory, &lakehouse, c->arena, c->err);
    }
    dl_shortcut *all = dl_arena_alloc(c->arena, lakehouse.shortcut_count + 1, sizeof *all);
    if (all == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    if (lakehouse.shortcut_count > 0) {
        memcpy(all, lakehouse.shortcuts, lakehouse.shortcut_count * sizeof *all);
    }
    all[lakehouse.shortcut_count++] = *c->shortcut;
    lakehouse.shortcuts = all;
    DL_TRY(store(c->factory, &lakehouse, c->arena, c->err));
    c->added = true;
    return DL_OK;
}

static dl_status add_checked(change *c)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_str base = DL_STR_NONE, below = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(c->err, DL_E_NOMEM, "lakehouse: out of memory");
    }
    DL_TRY(refuse_home(c->name, c->err));
    DL_TRY(dl_shortcut_check(c->shortcut, "", c->err));
    dl_status status = dl_shortcut_base(c->factory, c->shortcut, arena, &base, &below, c->err);
    if (status == DL_E_UNSUPPORTED) { /* may be kept until there is a store for it */
        dl_error_clear(c->err);
    } else if (status != DL_OK) {
        return status;
    }
    return locked(c, add_one);
}

dl_status dl_shortcut_add(dl_factory *factory, dl_str lakehouse, const dl_shortcut *shortcut,
                          dl_error *err)
{
    change c = {.factory = factory, .name = lakehouse, .shortcut = shortcut, .err = err};
    return add_checked(&c);
}

dl_status dl_shortcut_put(dl_factory *factory, dl_str lakehouse, const dl_shortcut *shortcut,
                          bool *out_new, dl_error *err)
{
    change c = {
        .factory = factory, .name = lakehouse, .shortcut = shortcut, .replace = true, .err = err};
    DL_TRY(add_checked(&c));
    if (out_new != NULL) {
        *out_new = c.added;
    }
    return DL_OK;
}

static dl_status remove_one(change *c, const names *n)
{
    dl_lakehouse lakehouse = {0};
    DL_TRY(get_from(c->factory, n, c->name, c->arena, &lakehouse, c->err));
    const dl_shortcut *found = NULL;
    DL_TRY(dl_lakehouse_find(&lakehouse, c->kind, c->shortcut_name, &found, c->err));
    for (size_t i = (size_t)(found - lakehouse.shortcuts) + 1; i < lakehouse.shortcut_count; i++) {
        lakehouse.shortcuts[i - 1] = lakehouse.shortcuts[i];
    }
    lakehouse.shortcut_count--;
    return store(c->factory, &lakehouse, c->arena, c->err);
}

dl_status dl_shortcut_remove(dl_factory *factory, dl_str lakehouse, dl_shortcut_kind kind,
                             dl_str name, dl_error *err)
{
    change c = {
        .factory = factory, .name = lakehouse, .kind = kind, .shortcut_name = name, .err = err};
    DL_TRY(refuse_home(lakehouse, err));
    return locked(&c, remove_one);
}
