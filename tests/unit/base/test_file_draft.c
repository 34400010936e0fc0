/* Files that come to be whole or not at all: with a name from the end only, and with one beside. */
#include "base/file.h"

#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool only_named; /* the file system knows no files without a name */
static dl_error err;
static char folder[] = "/tmp/dl-draft-XXXXXX";
static char path[256];

int __real_open(const char *name, int flags, mode_t mode);
int __real_open64(const char *name, int flags, mode_t mode);
int __wrap_open(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);

static mode_t mode_of(int flags, va_list args)
{
    bool has = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return has ? va_arg(args, mode_t) : 0;
}

static bool refuse(int flags)
{
    errno = EOPNOTSUPP;
    return only_named && (flags & O_TMPFILE) == O_TMPFILE;
}

int __wrap_open(const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return refuse(flags) ? -1 : __real_open(name, flags, mode);
}

int __wrap_open64(const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return refuse(flags) ? -1 : __real_open64(name, flags, mode);
}

/** How many names there are in the folder. */
static int count_names(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry = NULL; dir != NULL && (entry = readdir(dir)) != NULL;) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    (void)closedir(dir);
    return count;
}

static void expect(const char *content)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 100);
    TAP_OK(dl_file_read_all(path, &buf, &err), err);
    TAP_TRUE(dl_str_eq(dl_buf_str(&buf), dl_str_of(content)));
}

static void write_whole(const char *content, mode_t mode, int while_open)
{
    dl_file_draft draft = {.fd = -1};
    TAP_OK(dl_file_draft_open(&draft, path, mode, &err), err);
    TAP_OK(dl_file_write_all(draft.fd, content, strlen(content), &err), err);
    TAP_EQ_INT(count_names(), while_open);
    TAP_OK(dl_file_draft_finish(&draft, &err), err);
    dl_file_draft_clear(&draft);
    expect(content);
    TAP_EQ_INT(count_names(), 1);
}

static void write_both_ways(bool named)
{
    only_named = named;
    (void)unlink(path);
    mode_t before = umask(022);
    write_whole("first", 0640, named ? 1 : 0);
    struct stat facts = {0};
    TAP_TRUE(stat(path, &facts) == 0 && (facts.st_mode & 0777) == 0640);
    write_whole("second", 0666, named ? 2 : 1);
    TAP_TRUE(stat(path, &facts) == 0 && (facts.st_mode & 0777) == 0644);
    (void)umask(before);
    only_named = false;
}

TAP_CASE(without_a_name_until_the_end)
{
    write_both_ways(false);
}

TAP_CASE(with_a_name_beside_where_there_must_be_one)
{
    write_both_ways(true);
}

static void give_up(void)
{
    dl_file_draft draft = {.fd = -1};
    dl_file_draft_clear(&draft);
    TAP_OK(dl_file_draft_open(&draft, path, 0600, &err), err);
    TAP_OK(dl_file_write_all(draft.fd, "half", 4, &err), err);
    dl_file_draft_clear(&draft);
    TAP_EQ_INT(draft.fd, -1);
    expect("kept");
    TAP_EQ_INT(count_names(), 1);
}

TAP_CASE(what_is_given_up_leaves_nothing)
{
    TAP_OK(dl_file_replace(path, DL_STR("kept"), &err), err);
    give_up();
    only_named = true;
    give_up();
    only_named = false;
}

/** A folder stands where the file should come to be. */
static void fail_to_finish(const char *place)
{
    dl_file_draft draft = {.fd = -1};
    TAP_OK(dl_file_draft_open(&draft, place, 0600, &err), err);
    TAP_TRUE(dl_file_draft_finish(&draft, &err) != DL_OK);
    TAP_TRUE(strstr(err.message, place) != NULL);
    dl_file_draft_clear(&draft);
    TAP_EQ_INT(count_names(), 2);
}

TAP_CASE(what_cannot_be_put_there_leaves_nothing)
{
    char place[300];
    (void)snprintf(place, sizeof place, "%s/taken", folder);
    TAP_EQ_INT(mkdir(place, 0700), 0);
    fail_to_finish(place);
    only_named = true;
    fail_to_finish(place);
    only_named = false;
    TAP_EQ_INT(rmdir(place), 0);
}

TAP_CASE(a_path_has_a_limit)
{
    char longest[DL_FILE_PATH_SIZE + 1];
    dl_file_draft draft = {.fd = -1};
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    TAP_STATUS(dl_file_draft_open(&draft, longest, 0600, &err), DL_E_INVALID);
    TAP_STATUS(dl_file_draft_open(&draft, "/nonexistent/x", 0600, &err), DL_E_NOT_FOUND);
    TAP_EQ_INT(draft.fd, -1);
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/file", folder);
    TAP_RUN(without_a_name_until_the_end);
    TAP_RUN(with_a_name_beside_where_there_must_be_one);
    TAP_RUN(what_is_given_up_leaves_nothing);
    TAP_RUN(what_cannot_be_put_there_leaves_nothing);
    TAP_RUN(a_path_has_a_limit);
    (void)unlink(path);
    (void)rmdir(folder);
    return tap_done();
}
