/**
 * A home of its own for each case: folders, documents, connections.
 */
#ifndef DL_TESTS_LAKEHOUSE_FIXTURE_H
#define DL_TESTS_LAKEHOUSE_FIXTURE_H

#include "base/file.h"
#include "base/log.h"
#include "lakehouse/lakehouse.h"

#include "support/folder.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static char root[PATH_SIZE], home[PATH_SIZE];
static int home_count;
static dl_factory *factory;
static dl_arena *arena;
static dl_error err;
static int64_t now_us = 1767600000000000; /* 2026-01-05 08:00 */

static int64_t test_clock(void *context)
{
    return *(int64_t *)context;
}

static void begin(void)
{
    if (home_count++ == 0) {
        char made[FOLDER_SIZE];
        folder_make(made, "lakehouse");
        TAP_TRUE(realpath(made, root) != NULL);
        dl_log_set_level(DL_LOG_ERROR);
    }
    (void)snprintf(home, sizeof home, "%.1000s/%d", root, home_count);
    dl_factory_close(factory);
    factory = NULL;
    dl_arena_destroy(arena);
    arena = dl_arena_create((size_t)64 * 1024 * 1024);
    err = (dl_error){0};
    dl_factory_options options = {.home = home, .clock = {test_clock, &now_us}};
    TAP_OK(dl_factory_open(&options, &factory, &err), err);
}

static int done(void)
{
    dl_factory_close(factory);
    dl_arena_destroy(arena);
    folder_remove(root);
    return tap_done();
}

/** A path below the home; of several in one expression each its own. */
static DL_UNUSED const char *at(const char *below)
{
    static char paths[8][PATH_SIZE + 1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", home, below);
    return path;
}

static DL_UNUSED void make_folder(const char *below)
{
    TAP_OK(dl_file_make_dirs(at(below), &err), err);
}

static DL_UNUSED void make_file(const char *below, const char *text)
{
    TAP_OK(dl_file_replace(at(below), dl_str_of(text), &err), err);
}

static DL_UNUSED bool is_there(const char *below)
{
    return access(at(below), F_OK) == 0;
}

static DL_UNUSED void connect_as(dl_factory_connection_type type, const char *name, const char *url)
{
    dl_factory_connection c = {.name = dl_str_of(name), .type = type, .url = dl_str_of(url)};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    TAP_OK(dl_factory_write_connection(&c, DL_STR_NONE, &text, &err), err);
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_CONNECTION, dl_buf_str(&text), true, &err), err);
}

static DL_UNUSED void connect_lake(const char *name, const char *url)
{
    connect_as(DL_FACTORY_LAKE, name, url);
}

static DL_UNUSED dl_shortcut table_at(const char *name, const char *connection, const char *subpath)
{
    return (dl_shortcut){.kind = DL_SHORTCUT_TABLES,
                         .name = dl_str_of(name),
                         .connection = dl_str_of(connection),
                         .subpath = dl_str_of(subpath)};
}

static DL_UNUSED dl_shortcut files_at(const char *name, const char *connection, const char *subpath)
{
    dl_shortcut s = table_at(name, connection, subpath);
    s.kind = DL_SHORTCUT_FILES;
    return s;
}

#endif
