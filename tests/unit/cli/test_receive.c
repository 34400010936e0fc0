/* A retrieve answer on its way into a folder. */
#include "tap.h"

#include "base/file.h"
#include "cli/receive.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_SIZE = 512 };

/** A file with the four UIDs that name it, Explicit VR Little Endian. */
static dl_str tiny_file(const char *study, const char *series, const char *instance)
{
    static char bytes[1024];
    static const struct {
        uint16_t group, element;
    } tags[] = {{8, 0x16}, {8, 0x18}, {0x20, 0xd}, {0x20, 0xe}};
    const char *const values[] = {"1.2.840.10008.5.1.4.1.1.7", instance, study, series};
    static const char meta[] = "\2\0\20\0UI\24\0001.2.840.10008.1.2.1\0";
    memset(bytes, 0, 128);
    memcpy(bytes + 128, "DICM", 4);
    memcpy(bytes + 132, meta, sizeof meta - 1);
    size_t at = 132 + sizeof meta - 1;
    for (size_t i = 0; i < DL_COUNT_OF(tags); i++) {
        size_t len = strlen(values[i]);
        size_t even = len + len % 2;
        const char head[] = {(char)tags[i].group, 0, (char)tags[i].element, 0, 'U', 'I',
                             (char)even,          0};
        memcpy(bytes + at, head, sizeof head);
        memset(bytes + at + sizeof head, 0, even);
        memcpy(bytes + at + sizeof head, values[i], len);
        at += sizeof head + even;
    }
    return (dl_str){bytes, at};
}

typedef struct place {
    char folder[64];
} place;

static place make_place(void)
{
    place p = {"/tmp/test_receive.XXXXXX"};
    if (mkdtemp(p.folder) == NULL) {
        perror("mkdtemp");
        exit(2);
    }
    return p;
}

static void drop_place(const place *p)
{
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", p->folder);
    TAP_EQ_INT(system(command), 0);
}

static bool has(const place *p, const char *name, const char *content)
{
    char path[PATH_SIZE];
    DL_AUTO_BUF bytes = {0};
    dl_buf_init(&bytes, 4096);
    (void)snprintf(path, sizeof path, "%s/%s", p->folder, name);
    return dl_file_read_all(path, &bytes, NULL) == DL_OK &&
           (content == NULL || dl_str_eq(dl_buf_str(&bytes), dl_str_of(content)));
}

/** Entries of the folder itself, with the hidden ones. */
static size_t entries_of(const place *p)
{
    size_t count = 0;
    DIR *dir = opendir(p->folder);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count - 2;
}

/** Feed `body` in pieces of `step` bytes and finish. */
static dl_status receive(const place *p, const char *type, dl_str body, size_t step,
                         uint64_t *out_files, dl_error *err)
{
    DL_AUTO(dl_cli_receive) r = NULL;
    DL_TRY(dl_cli_receive_create(p->folder, NULL, &r, err));
    DL_TRY(dl_cli_receive_begin(r, dl_str_of(type), err));
    dl_status status = DL_OK;
    for (size_t at = 0; status == DL_OK && at < body.len; at += step) {
        dl_str piece = dl_str_slice(body, at, step);
        status = dl_cli_receive_feed(r, (dl_bytes){(const uint8_t *)piece.ptr, piece.len}, err);
    }
    if (status == DL_OK) {
        status = dl_cli_receive_finish(r, err);
    }
    *out_files = dl_cli_receive_files(r);
    return status;
}

static const char multipart[] = "multipart/related; boundary=\"b\"; type=\"application/dicom\"";
static const char two_parts[] = "--b\r\n"
                                "Content-Type: application/dicom\r\n"
                                "Content-Location: http://h/v2/studies/1.2/series/3/instances/4\r\n"
                                "\r\n"
                                "first\r\n"
                                "--b\r\n"
                                "Content-Location: /x/studies/1.2/series/3/instances/5/frames/1\r\n"
                                "\r\n"
                                "second\r\n"
                                "--b--\r\n";

TAP_CASE(parts_become_files)
{
    static const size_t steps[] = {1, 7, 10000};
    for (size_t i = 0; i < DL_COUNT_OF(steps); i++) {
        place p = make_place();
        uint64_t files = 0;
        dl_error err = {0};
        TAP_OK(receive(&p, multipart, dl_str_of(two_parts), steps[i], &files, &err), err);
        TAP_EQ_INT(files, 2);
        TAP_TRUE(has(&p, "1.2/3/4.dcm", "first"));
        TAP_TRUE(has(&p, "1.2/3/5.dcm", "second"));
        TAP_EQ_INT(entries_of(&p), 1);
        drop_place(&p);
    }
}

/** Cut off anywhere: an error, whole files stay, nothing half is left. */
TAP_CASE(a_cut_answer_is_an_error)
{
    size_t whole = strlen(two_parts) - 2; /* the last line's end does not matter */
    for (size_t len = 0; len < whole; len++) {
        place p = make_place();
        uint64_t files = 0;
        dl_error err = {0};
        dl_status status =
            receive(&p, multipart, dl_str_slice(dl_str_of(two_parts), 0, len), 50, &files, &err);
        if (status != DL_E_UNAVAILABLE || err.status != DL_E_UNAVAILABLE) {
            TAP_FAIL("cut at %zu: %s", len, dl_status_name(status));
        }
        TAP_EQ_INT(files, has(&p, "1.2/3/4.dcm", "first") + has(&p, "1.2/3/5.dcm", "second"));
        TAP_EQ_INT(entries_of(&p), files > 0);
        drop_place(&p);
    }
}

TAP_CASE(names_come_from_the_file_when_the_peer_gives_none)
{
    place p = make_place();
    uint64_t files = 0;
    dl_error err = {0};
    DL_AUTO_BUF body = {0};
    dl_buf_init(&body, 4096);
    dl_str file = tiny_file("9.1", "9.2", "9.3");
    TAP_OK(dl_buf_append_str(&body, DL_STR("--b\r\nContent-Type: application/dicom\r\n\r\n"), &err),
           err);
    TAP_OK(dl_buf_append_str(&body, file, &err), err);
    TAP_OK(dl_buf_append_str(&body, DL_STR("\r\n--b--\r\n"), &err), err);
    TAP_OK(receive(&p, multipart, dl_buf_str(&body), 100, &files, &err), err);
    TAP_EQ_INT(files, 1);
    TAP_TRUE(has(&p, "9.1/9.2/9.3.dcm", NULL));
    TAP_OK(receive(&p, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
                   tiny_file("8.1", "8.2", "8.3"), 100, &files, &err),
           err);
    TAP_TRUE(has(&p, "8.1/8.2/8.3.dcm", NULL));
    TAP_EQ_INT(entries_of(&p), 2);
    drop_place(&p);
}

TAP_CASE(names_never_leave_the_folder)
{
    static const char *const studies[] = {"../../1", "..", "", "a", "1.2%2F..", "1/2"};
    for (size_t i = 0; i < DL_COUNT_OF(studies); i++) {
        place p = make_place();
        uint64_t files = 0;
        dl_error err = {0};
        dl_str file = tiny_file(studies[i], "9.2", "9.3");
        TAP_STATUS(receive(&p, "application/dicom", file, 100, &files, &err), DL_E_CORRUPT);
        TAP_EQ_INT(files, 0);
        TAP_EQ_INT(entries_of(&p), 0);
        drop_place(&p);
    }
}

TAP_CASE(locations_are_taken_apart)
{
    static const struct {
        const char *location, *want; /* NULL: no */
    } cases[] = {
        {"http://h/v2/studies/1.2/series/3.4/instances/5.6", "1.2/3.4/5.6.dcm"},
        {"/studies/1.2/series/3.4/instances/5.6/frames/1", "1.2/3.4/5.6.dcm"},
        {"studies/1/Series/2/Instances/3", "1/2/3.dcm"},
        {"http://h/v2/partitions/studies/studies/1/series/2/instances/3", NULL},
        {"/studies/1.2/series/3.4", NULL},
        {"/studies/1.2/series/3.4/instances/", NULL},
        {"/studies/../series/3.4/instances/5", NULL},
        {"/studies/1.2/series/%2e%2e/instances/5", NULL},
        {"/studies/1.2./series/3/instances/5", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        char out[220] = "x";
        bool made = dl_cli_receive_path_of(dl_str_of(cases[i].location), out, sizeof out);
        TAP_EQ_INT(made, cases[i].want != NULL);
        if (cases[i].want != NULL) {
            TAP_EQ_STR(dl_str_of(out), cases[i].want);
        }
    }
    char small[16] = "";
    TAP_TRUE(dl_cli_receive_path_of(DL_STR("studies/1/series/2/instances/3456"), small, 13));
    TAP_TRUE(!dl_cli_receive_path_of(DL_STR("studies/1/series/2/instances/3456"), small, 12));
    TAP_EQ_STR(dl_str_of(small), "");
}

TAP_CASE(answers_of_other_types_are_refused)
{
    static const char *const types[] = {"application/json", "text/html", "", "multipart/mixed",
                                        "multipart/related"};
    for (size_t i = 0; i < DL_COUNT_OF(types); i++) {
        place p = make_place();
        uint64_t files = 0;
        dl_error err = {0};
        TAP_TRUE(receive(&p, types[i], DL_STR("x"), 1, &files, &err) != DL_OK);
        TAP_EQ_INT(entries_of(&p), 0);
        drop_place(&p);
    }
}

int main(void)
{
    TAP_RUN(parts_become_files);
    TAP_RUN(a_cut_answer_is_an_error);
    TAP_RUN(names_come_from_the_file_when_the_peer_gives_none);
    TAP_RUN(names_never_leave_the_folder);
    TAP_RUN(locations_are_taken_apart);
    TAP_RUN(answers_of_other_types_are_refused);
    return tap_done();
}
