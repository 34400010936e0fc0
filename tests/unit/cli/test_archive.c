/* Reading archives that are made here. */
#include "tap.h"

#include "base/buf.h"
#include "base/file.h"
#include "cli/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARCHIVE_LIMIT_BYTES = 1 << 20 };

typedef struct content {
    const char *name, *text; /* text NULL: a folder; "-> x": a symbolic link; "=> x": a hard link */
} content;

static void write_entry(struct archive *a, const content *c)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, c->name);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, 0);
    if (c->text == NULL) {
        archive_entry_set_filetype(e, AE_IFDIR);
    } else if (strncmp(c->text, "-> ", 3) == 0) {
        archive_entry_set_filetype(e, AE_IFLNK);
        archive_entry_set_symlink(e, c->text + 3);
    } else if (strncmp(c->text, "=> ", 3) == 0) {
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_hardlink(e, c->text + 3);
    } else {
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_size(e, (la_int64_t)strlen(c->text));
    }
    TAP_EQ_INT(archive_write_header(a, e), ARCHIVE_OK);
    if (archive_entry_filetype(e) == AE_IFREG && archive_entry_hardlink(e) == NULL) {
        TAP_EQ_INT(archive_write_data(a, c->text, strlen(c->text)), strlen(c->text));
    }
    archive_entry_free(e);
}

/** An archive in a file without a name. */
static int make_archive(const char *format, const char *filter, const content *contents,
                        size_t count)
{
    char name[] = "/tmp/test_archive.XXXXXX";
    int fd = mkstemp(name);
    (void)unlink(name);
    struct archive *a = archive_write_new();
    TAP_EQ_INT(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
    if (filter != NULL) {
        TAP_EQ_INT(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
    }
    TAP_EQ_INT(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        write_entry(a, &contents[i]);
    }
    TAP_EQ_INT(archive_write_free(a), ARCHIVE_OK);
    TAP_EQ_INT(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/** "name=content;" of every entry, or the error that ended it. */
static void read_all(int fd, dl_buf *out, dl_error *err)
{
    DL_CLI_AUTO_ARCHIVE archive = NULL;
    if (dl_cli_archive_open(fd, &archive, err) != DL_OK) {
        return;
    }
    for (;;) {
        dl_cli_entry entry;
        bool more = false;
        if (dl_cli_archive_next(archive, &entry, &more, err) != DL_OK || !more) {
            return;
        }
        TAP_OK(dl_buf_printf(out, err, "%.*s=", DL_STR_ARG(entry.name)), *err);
        size_t got = 0;
        do {
            char bytes[3]; /* small, to see that pieces join */
            if (dl_cli_archive_read(archive, bytes, sizeof bytes, &got, err) != DL_OK) {
                return;
            }
            TAP_OK(dl_buf_append(out, bytes, got, err), *err);
        } while (got > 0);
        TAP_OK(dl_buf_append_char(out, ';', err), *err);
    }
}

static const content tree[] = {
    {"folder/", NULL},     {"folder/a.dcm", "first"},         {"../../escape", "second"},
    {"/etc/absolute", ""}, {"folder/link", "-> /etc/passwd"}, {"last", "third, longer"},
};
#define TREE "folder/a.dcm=first;../../escape=second;/etc/absolute=;last=third, longer;"
/* 7zip keeps empty files at the end */
#define TREE_7ZIP "folder/a.dcm=first;../../escape=second;last=third, longer;/etc/absolute=;"

TAP_CASE(entries_are_read_and_links_passed_over)
{
    static const struct {
        const char *format, *filter;
        const char *want;
    } cases[] = {
        {"zip", NULL, TREE},    {"ustar", NULL, TREE},     {"pax", "gzip", TREE},
        {"gnutar", "xz", TREE}, {"pax", "bzip2", TREE},    {"pax", "zstd", TREE},
        {"newc", NULL, TREE},   {"7zip", NULL, TREE_7ZIP},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        DL_AUTO_FD fd = make_archive(cases[i].format, cases[i].filter, tree, DL_COUNT_OF(tree));
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 4096);
        uint8_t head[DL_CLI_ARCHIVE_HEAD_BYTES];
        ssize_t n = pread(fd, head, sizeof head, 0);
        TAP_TRUE(n > 0 && dl_cli_archive_sniff((dl_bytes){head, (size_t)n}, DL_STR("x")));
        read_all(fd, &got, &err);
        TAP_EQ_STR(dl_str_of(err.message), "");
        TAP_EQ_STR(dl_buf_str(&got), cases[i].want);
        TAP_ROW_END(cases[i].format);
    }
}

TAP_CASE(hard_links_in_tar_are_passed_over)
{
    static const content linked[] = {{"a", "x"}, {"b", "=> a"}, {"c", "=> /etc/passwd"}};
    dl_error err = {0};
    DL_AUTO_FD fd = make_archive("ustar", NULL, linked, DL_COUNT_OF(linked));
    DL_AUTO_BUF got = {0};
    dl_buf_init(&got, 4096);
    read_all(fd, &got, &err);
    TAP_EQ_STR(dl_buf_str(&got), "a=x;");
}

TAP_CASE(an_empty_zip_has_no_entries)
{
    dl_error err = {0};
    DL_AUTO_FD fd = make_archive("zip", NULL, NULL, 0);
    DL_AUTO_BUF got = {0};
    dl_buf_init(&got, 4096);
    read_all(fd, &got, &err);
    TAP_EQ_STR(dl_str_of(err.message), "");
    TAP_EQ_STR(dl_buf_str(&got), "");
}

TAP_CASE(a_compressed_file_is_one_entry)
{
    static const content one[] = {{"x", "the file itself"}};
    dl_error err = {0};
    DL_AUTO_FD fd = make_archive("raw", "gzip", one, 1);
    DL_AUTO_BUF got = {0};
    dl_buf_init(&got, 4096);
    read_all(fd, &got, &err);
    TAP_EQ_STR(dl_str_of(err.message), "");
    TAP_EQ_STR(dl_buf_str(&got), "data=the file itself;");
}

static int make_plain(const char *text, size_t len)
{
    char name[] = "/tmp/test_archive.XXXXXX";
    int fd = mkstemp(name);
    (void)unlink(name);
    dl_error err = {0};
    TAP_OK(dl_file_write_all(fd, text, len, &err), err);
    TAP_EQ_INT(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

TAP_CASE(what_is_no_archive_is_refused)
{
    /* mtree would read files of the machine by name. */
    static const char mtree[] = "#mtree\n./x type=file contents=/etc/passwd size=100\n";
    static const char text[] = "just some words";
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {{mtree, sizeof mtree - 1}, {text, sizeof text - 1}, {"", 0}};
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        DL_AUTO_FD fd = make_plain(cases[i].bytes, cases[i].len);
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 4096);
        TAP_TRUE(!dl_cli_archive_sniff((dl_bytes){(const uint8_t *)cases[i].bytes, cases[i].len},
                                       DL_STR("a.tar")));
        read_all(fd, &got, &err);
        TAP_EQ_STR(dl_buf_str(&got), "");
        TAP_TRUE(err.status == DL_E_INVALID || cases[i].len == 0);
    }
    TAP_TRUE(dl_cli_archive_sniff((dl_bytes){NULL, 0}, DL_STR("disc.ISO")));
}

/** Cut anywhere and changed anywhere, an archive ends in an error or an end, never in a crash. */
TAP_CASE(damaged_archives_end)
{
    static const char *const formats[][2] = {{"zip", NULL}, {"pax", "gzip"}, {"7zip", NULL}};
    for (size_t f = 0; f < DL_COUNT_OF(formats); f++) {
        DL_AUTO_FD whole = make_archive(formats[f][0], formats[f][1], tree, DL_COUNT_OF(tree));
        struct stat info;
        TAP_EQ_INT(fstat(whole, &info), 0);
        size_t size = (size_t)info.st_size;
        char *bytes = malloc(size);
        TAP_EQ_INT(pread(whole, bytes, size, 0), size);
        for (size_t cut = 0; cut < size; cut += 7) {
            dl_error err = {0};
            DL_AUTO_FD fd = make_plain(bytes, cut);
            DL_AUTO_BUF got = {0};
            dl_buf_init(&got, ARCHIVE_LIMIT_BYTES);
            read_all(fd, &got, &err);
            TAP_TRUE(!dl_str_eq(dl_buf_str(&got), DL_STR(TREE)) || cut + 2048 > size);
        }
        for (size_t at = 0; at < size; at += 5) {
            dl_error err = {0};
            bytes[at] = (char)(bytes[at] ^ 0x5a);
            DL_AUTO_FD fd = make_plain(bytes, size);
            DL_AUTO_BUF got = {0};
            dl_buf_init(&got, ARCHIVE_LIMIT_BYTES);
            read_all(fd, &got, &err);
            bytes[at] = (char)(bytes[at] ^ 0x5a);
        }
        free(bytes);
    }
}

int main(void)
{
    entries_are_read_and_links_passed_over(); /* a case for each row */
    TAP_RUN(hard_links_in_tar_are_passed_over);
    TAP_RUN(an_empty_zip_has_no_entries);
    TAP_RUN(a_compressed_file_is_one_entry);
    TAP_RUN(what_is_no_archive_is_refused);
    TAP_RUN(damaged_archives_end);
    return tap_done();
}
