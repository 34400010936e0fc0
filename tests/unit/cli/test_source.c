/* The walk over files and folders. */
#include "tap.h"

#include "base/file.h"
#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4600, LOG_LIMIT_BYTES = 1 << 20 };

/** What the walk said, one line each: "file a/b 3", "passed a/l link", "failed x". */
typedef struct said {
    char base[32];
    dl_buf lines;
    dl_cancel cancel;
    size_t stop_after; /* ask to stop after so many files; 0: never */
    size_t files;
} said;

static dl_str below(const said *s, const char *path)
{
    dl_str text = dl_str_of(path);
    dl_str base = dl_str_of(s->base);
    return dl_str_starts(text, base) ? dl_str_slice(text, base.len, text.len) : text;
}

static dl_status on_file(void *context, const dl_cli_found *found, dl_error *err)
{
    said *s = context;
    s->files++;
    if (s->files == s->stop_after) {
        dl_cancel_ask(&s->cancel);
    }
    return dl_buf_printf(&s->lines, err, "file %.*s %llu%s\n", DL_STR_ARG(below(s, found->path)),
                         (unsigned long long)found->size_bytes, found->named ? " named" : "");
}

static dl_status on_passed(void *context, const char *path, const char *why, bool named,
                           dl_error *err)
{
    said *s = context;
    return dl_buf_printf(&s->lines, err, "passed %.*s %s%s\n", DL_STR_ARG(below(s, path)), why,
                         named ? " named" : "");
}

static dl_status on_failed(void *context, const char *path, const dl_error *why, dl_error *err)
{
    said *s = context;
    return dl_buf_printf(&s->lines, err, "failed %.*s %d\n", DL_STR_ARG(below(s, path)),
                         why->os_code);
}

static int by_text(const void *a, const void *b)
{
    return dl_str_compare(*(const dl_str *)a, *(const dl_str *)b);
}

/** Folders have no order: compare sorted lines. */
static void check_lines(const said *s, const char *want)
{
    dl_str lines[64];
    size_t count = 0;
    dl_str rest = dl_buf_str(&s->lines);
    char sorted[8192];
    size_t at = 0;
    while (count < DL_COUNT_OF(lines) && dl_str_next(&rest, '\n', &lines[count])) {
        count += lines[count].len > 0;
    }
    qsort(lines, count, sizeof *lines, by_text);
    sorted[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(sorted + at, sizeof sorted - at, "%.*s\n", DL_STR_ARG(lines[i]));
    }
    TAP_EQ_STR(dl_str_of(sorted), want);
}

static dl_status walk(said *s, const char *const *names, size_t count)
{
    const dl_cli_source_events events = {on_file, on_passed, on_failed, s};
    char paths[4][PATH_SIZE];
    char *argv[4];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s%s", s->base, names[i]);
        argv[i] = paths[i];
    }
    dl_buf_reset(&s->lines);
    s->files = 0;
    dl_error err = {0};
    return dl_cli_source_walk(argv, count, &events, &s->cancel, &err);
}

static const char *at(const said *s, const char *name)
{
    static char path[2][PATH_SIZE];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s%s", s->base, name);
    return path[turn];
}

static void make_file(const said *s, const char *name, size_t size)
{
    DL_AUTO_FD fd = -1;
    dl_error err = {0};
    TAP_OK(dl_file_open(at(s, name), O_WRONLY | O_CREAT, 0600, &fd, &err), err);
    TAP_EQ_INT(ftruncate(fd, (off_t)size), 0);
}

static void make_tree(said *s)
{
    *s = (said){.base = "/tmp/test_source.XXXXXX"};
    dl_buf_init(&s->lines, LOG_LIMIT_BYTES);
    if (mkdtemp(s->base) == NULL) {
        perror("mkdtemp");
        exit(2);
    }
    dl_error err = {0};
    TAP_OK(dl_file_make_dirs(at(s, "/tree/a/b"), &err), err);
    TAP_OK(dl_file_make_dirs(at(s, "/outside"), &err), err);
    make_file(s, "/tree/1", 1);
    make_file(s, "/tree/a/2", 2);
    make_file(s, "/tree/a/b/3", 0);
    make_file(s, "/outside/secret", 9);
    TAP_EQ_INT(symlink("..", at(s, "/tree/a/loop")), 0);
    TAP_EQ_INT(symlink("../../outside", at(s, "/tree/a/out")), 0);
    TAP_EQ_INT(symlink("../outside/secret", at(s, "/tree/link")), 0);
    TAP_EQ_INT(symlink("nowhere", at(s, "/tree/dangling")), 0);
    TAP_EQ_INT(symlink("tree", at(s, "/way")), 0);
    TAP_EQ_INT(mkfifo(at(s, "/tree/pipe"), 0600), 0);
}

static void drop_tree(said *s)
{
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", s->base);
    TAP_EQ_INT(system(command), 0);
    dl_buf_clear(&s->lines);
}

#define WHOLE_TREE(in)                                                                             \
    "file " in "/1 1\nfile " in "/a/2 2\nfile " in "/a/b/3 0\n"                                    \
    "passed " in "/a/loop symbolic link, not followed\n"                                           \
    "passed " in "/a/out symbolic link, not followed\n"                                            \
    "passed " in "/dangling symbolic link, not followed\n"                                         \
    "passed " in "/link symbolic link, not followed\n"                                             \
    "passed " in "/pipe not a regular file\n"

TAP_CASE(links_below_a_folder_are_not_followed)
{
    said s;
    make_tree(&s);
    TAP_EQ_INT(walk(&s, (const char *[]){"/tree"}, 1), DL_OK);
    check_lines(&s, WHOLE_TREE("/tree"));
    TAP_EQ_INT(walk(&s, (const char *[]){"/tree/"}, 1), DL_OK);
    check_lines(&s, WHOLE_TREE("/tree"));
    drop_tree(&s);
}

TAP_CASE(named_links_are_followed)
{
    said s;
    make_tree(&s);
    TAP_EQ_INT(walk(&s, (const char *[]){"/way"}, 1), DL_OK);
    check_lines(&s, WHOLE_TREE("/way"));
    TAP_EQ_INT(walk(&s, (const char *[]){"/tree/link", "/tree/a/out"}, 2), DL_OK);
    check_lines(&s, "file /tree/a/out/secret 9\nfile /tree/link 9 named\n");
    drop_tree(&s);
}

TAP_CASE(named_paths_that_are_no_files_are_told)
{
    said s;
    make_tree(&s);
    TAP_EQ_INT(walk(&s, (const char *[]){"/tree/pipe", "/none", "/tree/dangling", "/tree/1"}, 4),
               DL_OK);
    char want[200];
    (void)snprintf(want, sizeof want,
                   "failed /none %d\nfailed /tree/dangling %d\nfile /tree/1 1 named\n"
                   "passed /tree/pipe not a regular file named\n",
                   ENOENT, ENOENT);
    check_lines(&s, want);
    drop_tree(&s);
}

TAP_CASE(a_walk_stops_when_asked)
{
    said s;
    make_tree(&s);
    for (int i = 0; i < 20; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "/tree/more%d", i);
        make_file(&s, name, 1);
    }
    s.stop_after = 5;
    TAP_EQ_INT(walk(&s, (const char *[]){"/tree"}, 1), DL_E_CANCELED);
    TAP_EQ_INT(s.files, 5);
    drop_tree(&s);
}

TAP_CASE(a_failing_callback_ends_the_walk)
{
    said s;
    make_tree(&s);
    dl_buf_clear(&s.lines);
    dl_buf_init(&s.lines, 3);
    TAP_EQ_INT(walk(&s, (const char *[]){"/tree"}, 1), DL_E_LIMIT);
    drop_tree(&s);
}

/** Deeper than a path can be written: told, not followed, and the rest goes on. */
TAP_CASE(paths_beyond_the_limit_are_told)
{
    enum { NAME = 200, DEPTH = 25 };
    said s;
    make_tree(&s);
    char name[NAME + 1];
    memset(name, 'd', NAME);
    name[NAME] = '\0';
    char back[PATH_SIZE];
    TAP_TRUE(getcwd(back, sizeof back) != NULL);
    TAP_EQ_INT(chdir(at(&s, "/outside")), 0);
    for (int i = 0; i < DEPTH; i++) {
        TAP_EQ_INT(mkdir(name, 0700), 0);
        TAP_EQ_INT(chdir(name), 0);
    }
    TAP_EQ_INT(chdir(back), 0);
    TAP_EQ_INT(walk(&s, (const char *[]){"/outside", "/tree/1"}, 2), DL_OK);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&s.lines), DL_STR("failed /outside/ddd")) >= 0);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&s.lines), DL_STR("file /outside/secret 9")) >= 0);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&s.lines), DL_STR("file /tree/1 1 named")) >= 0);
    drop_tree(&s);
}

int main(void)
{
    TAP_RUN(links_below_a_folder_are_not_followed);
    TAP_RUN(named_links_are_followed);
    TAP_RUN(named_paths_that_are_no_files_are_told);
    TAP_RUN(a_walk_stops_when_asked);
    TAP_RUN(a_failing_callback_ends_the_walk);
    TAP_RUN(paths_beyond_the_limit_are_told);
    return tap_done();
}
