/* Files of a lakehouse: names in pages, bytes, and nothing outside of a shortcut's folder. */
#include "lakehouse/files.h"

#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static dl_lakehouse house;

static void write_at(const char *below, const char *content)
{
    TAP_OK(dl_file_replace(at(below), dl_str_of(content), &err), err);
}

/** HOME/files/AHDS with a few files: the home's own lakehouse has it as AHDS. */
static void begin_files(void)
{
    begin();
    make_folder("files/AHDS/ws/dicom/svc");
    make_folder("files/outside");
    write_at("files/AHDS/ws/dicom/svc/10_1.dcm", "one");
    write_at("files/AHDS/ws/dicom/svc/2_2.dcm", "two!");
    write_at("files/AHDS/top.txt", "top");
    write_at("files/outside/secret", "secret");
    TAP_OK(dl_lakehouse_choose(factory, DL_STR("home"), arena, &house, &err), err);
}

/** "name/ name:size ..." of a page. */
static dl_str list(const char *path, const char *after, size_t limit)
{
    dl_lake_file *files = NULL;
    size_t count = 0;
    dl_str text = DL_STR("");
    dl_status status = dl_lake_files_list(factory, &house, dl_str_of(path), dl_str_of(after), limit,
                                          arena, &files, &count, &err);
    if (status != DL_OK) {
        TAP_TRUE(err.message[0] != '\0');
        return dl_str_of(dl_status_name(status));
    }
    for (size_t i = 0; i < count; i++) {
        char size[32] = "/";
        if (!files[i].folder) {
            (void)snprintf(size, sizeof size, ":%d", (int)files[i].size_bytes);
        }
        TAP_OK(dl_arena_printf(arena, &text, &err, "%.*s%s%.*s%s", DL_STR_ARG(text),
                               i == 0 ? "" : " ", DL_STR_ARG(files[i].name), size),
               err);
    }
    return text;
}

static dl_str content(const char *path)
{
    int fd = -1;
    uint64_t size = 0;
    dl_status status = dl_lake_file_open(factory, &house, dl_str_of(path), &fd, &size, &err);
    if (status != DL_OK) {
        TAP_EQ_INT(fd, -1);
        TAP_EQ_INT(size, 0);
        TAP_TRUE(err.message[0] != '\0');
        return dl_str_of(dl_status_name(status));
    }
    char *bytes = dl_arena_alloc(arena, size + 1, 1);
    TAP_TRUE((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    TAP_OK(dl_file_read_at(fd, 0, bytes, size, &err), err);
    dl_file_close(&fd);
    return (dl_str){bytes, size};
}

TAP_CASE(shortcuts_and_folders_are_listed)
{
    begin_files();
    TAP_EQ_STR(list("", "", 10), "AHDS/");
    TAP_EQ_STR(list("", "AHDS", 10), "");
    TAP_EQ_STR(list("AHDS", "", 10), "top.txt:3 ws/");
    TAP_EQ_STR(list("ahds/", "", 10), "top.txt:3 ws/");
    TAP_EQ_STR(list("AHDS/ws/dicom/svc", "", 10), "10_1.dcm:3 2_2.dcm:4");
    TAP_EQ_STR(list("AHDS/ws/dicom/svc/", "10_1.dcm", 10), "2_2.dcm:4");
    TAP_EQ_STR(list("AHDS/ws/dicom/svc", "", 1), "10_1.dcm:3");
    TAP_EQ_STR(list("AHDS/ws/dicom/svc", "2_2.dcm", 1), "");
    TAP_EQ_STR(list("AHDS/top.txt", "", 1), "invalid");
    TAP_EQ_STR(list("AHDS/none", "", 1), "not_found");
    TAP_EQ_STR(list("AHDX", "", 1), "not_found");
    TAP_EQ_STR(list("AHDS", "", 0), "invalid");
    TAP_EQ_STR(list("AHDS", "", DL_LAKE_FILES_LIMIT), "top.txt:3 ws/");
    TAP_EQ_STR(list("AHDS", "", DL_LAKE_FILES_LIMIT + 1), "invalid");
}

TAP_CASE(files_are_opened)
{
    begin_files();
    TAP_EQ_STR(content("AHDS/ws/dicom/svc/2_2.dcm"), "two!");
    TAP_EQ_STR(content("AHDS/top.txt"), "top");
    TAP_EQ_STR(content("AHDS"), "invalid");
    TAP_EQ_STR(content("AHDS/ws"), "invalid");
    TAP_EQ_STR(content("AHDS/top.txt/x"), "not_found");
    TAP_EQ_STR(content("AHDS/ws/none.dcm"), "not_found");
    TAP_EQ_STR(content(""), "not_found");
}

/* The name of the shortcut need not be that of the folder: a filePath of a row works all the same.
 */
TAP_CASE(a_path_of_a_row_is_one_too)
{
    begin_files();
    dl_shortcut shortcut = {.kind = DL_SHORTCUT_FILES,
                            .name = DL_STR("images"),
                            .connection = DL_STR("home:"),
                            .subpath = DL_STR("/dicom/AHDS/ws")};
    dl_lakehouse made = {.name = DL_STR("research"), .shortcuts = &shortcut, .shortcut_count = 1};
    TAP_OK(dl_lakehouse_put(factory, &made, false, &err), err);
    TAP_OK(dl_lakehouse_get(factory, DL_STR("research"), arena, &house, &err), err);
    TAP_EQ_STR(content("images/dicom/svc/2_2.dcm"), "two!");
    TAP_EQ_STR(content("AHDS/ws/dicom/svc/2_2.dcm"), "two!");
    TAP_EQ_STR(list("AHDS/ws/dicom", "", 9), "svc/");
    TAP_EQ_STR(content("AHDS/top.txt"), "not_found");
    TAP_EQ_STR(list("AHDS", "", 9), "not_found");
}

TAP_CASE(nothing_outside_is_reached)
{
    begin_files();
    TAP_TRUE(symlink(at("files/outside/secret"), at("files/AHDS/absolute")) == 0);
    TAP_TRUE(symlink("../outside", at("files/AHDS/relative")) == 0);
    TAP_TRUE(symlink("/proc/self/root", at("files/AHDS/magic")) == 0);
    TAP_TRUE(symlink("top.txt", at("files/AHDS/inside")) == 0);
    TAP_TRUE(symlink("loop", at("files/AHDS/loop")) == 0);
    TAP_TRUE(mkfifo(at("files/AHDS/fifo"), 0600) == 0);
    TAP_EQ_STR(list("AHDS", "", 99), "inside:3 top.txt:3 ws/");
    TAP_EQ_STR(content("AHDS/inside"), "top");
    static const char *const bad[] = {
        "AHDS/absolute", "AHDS/relative/secret",   "AHDS/magic/etc/passwd",
        "AHDS/loop",     "AHDS/../outside/secret", "AHDS/./top.txt",
        "AHDS//top.txt", "AHDS/ws/../top.txt",     "AHDS/..",
    };
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        TAP_EQ_STR(content(bad[i]), "denied");
        TAP_EQ_STR(list(bad[i], "", 9), "denied");
    }
    TAP_EQ_STR(content("AHDS/fifo"), "invalid");
    TAP_EQ_STR(content("../outside/secret"), "not_found");
    TAP_EQ_STR(content("/etc/passwd"), "not_found");
    char nul[] = "AHDS/top.txt\0x";
    int fd = -1;
    uint64_t size = 0;
    TAP_STATUS(dl_lake_file_open(factory, &house, (dl_str){nul, sizeof nul - 1}, &fd, &size, &err),
               DL_E_DENIED);
}

/* Every name once and in order, whatever the size of the pages. */
TAP_CASE(pages_of_a_large_folder)
{
    enum { FILES = 2500 };
    static const size_t limits[] = {1, 7, 1249, 1250, 2499, 2500, 2501};
    begin_files();
    make_folder("files/AHDS/many");
    for (int i = 0; i < FILES; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "files/AHDS/many/%d", (i * 7919) % FILES);
        int fd = -1;
        TAP_OK(dl_file_open(at(name), O_CREAT | O_WRONLY, 0600, &fd, &err), err);
        dl_file_close(&fd);
    }
    for (size_t i = 0; i < DL_COUNT_OF(limits); i++) {
        size_t seen = 0, count = 0;
        char last[64] = "";
        bool ordered = true;
        do {
            DL_AUTO(dl_arena) page = dl_arena_create(1 << 22);
            dl_lake_file *files = NULL;
            TAP_OK(dl_lake_files_list(factory, &house, DL_STR("AHDS/many"), dl_str_of(last),
                                      limits[i], page, &files, &count, &err),
                   err);
            for (size_t k = 0; k < count; k++) {
                ordered = ordered && strcmp(files[k].name.ptr, last) > 0;
                (void)snprintf(last, sizeof last, "%s", files[k].name.ptr);
            }
            seen += count;
        } while (count == limits[i] && (limits[i] > 1 || seen < 20));
        TAP_TRUE(ordered);
        TAP_EQ_INT(seen, limits[i] > 1 ? FILES : 20);
    }
}

TAP_CASE(a_broken_shortcut_is_listed_and_says_why)
{
    begin_files();
    dl_shortcut shortcut = {.kind = DL_SHORTCUT_FILES,
                            .name = DL_STR("gone"),
                            .connection = DL_STR("home:"),
                            .subpath = DL_STR("/dicom/AHDS/nowhere")};
    house = (dl_lakehouse){.name = DL_STR("x"), .shortcuts = &shortcut, .shortcut_count = 1};
    TAP_EQ_STR(list("", "", 9), "gone/");
    TAP_EQ_STR(list("gone", "", 9), "not_found");
    TAP_TRUE(strstr(err.message, "shortcut 'gone' is broken") != NULL);
    TAP_EQ_STR(content("gone/x"), "not_found");
}

int main(void)
{
    TAP_RUN(shortcuts_and_folders_are_listed);
    TAP_RUN(files_are_opened);
    TAP_RUN(a_path_of_a_row_is_one_too);
    TAP_RUN(nothing_outside_is_reached);
    TAP_RUN(pages_of_a_large_folder);
    TAP_RUN(a_broken_shortcut_is_listed_and_says_why);
    return done();
}
