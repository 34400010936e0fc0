/* Where shortcuts lead: folders of connections, of the home, links, what is broken and why. */
#include "fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static dl_shortcut_state resolve(dl_shortcut s)
{
    static dl_shortcut kept;
    dl_shortcut_state state = {0};
    kept = s;
    TAP_OK(dl_shortcut_resolve(factory, &kept, arena, &state, &err), err);
    TAP_TRUE(state.shortcut == &kept);
    TAP_EQ_INT(state.broken, state.why.status != DL_OK);
    return state;
}

static void leads_to(dl_shortcut s, const char *folder)
{
    dl_shortcut_state state = resolve(s);
    if (state.broken) {
        TAP_FAIL("broken: %s", state.why.message);
    }
    TAP_EQ_STR(state.folder, folder);
}

static void is_broken(dl_shortcut s, dl_status status, const char *message, const char *hint)
{
    dl_shortcut_state state = resolve(s);
    TAP_EQ_INT(state.why.status, status);
    if (strstr(state.why.message, message) == NULL) {
        TAP_FAIL("'%s' is not in: %s", message, state.why.message);
    }
    if (strstr(state.why.hint, hint) == NULL) {
        TAP_FAIL("'%s' is not in the hint: %s", hint, state.why.hint);
    }
}

TAP_CASE(a_table_of_a_folder)
{
    begin();
    make_folder("lake/dicom/instance/_delta_log");
    connect_lake("lake", at("lake"));
    leads_to(table_at("instance", "lake", "/dicom/instance"), at("lake/dicom/instance"));
    leads_to(table_at("instance", "LAKE", "/dicom/instance"), at("lake/dicom/instance"));
    connect_lake("table", at("lake/dicom/instance"));
    leads_to(table_at("instance", "table", "/"), at("lake/dicom/instance"));
}

TAP_CASE(the_home)
{
    begin();
    make_folder("tables/dicom/instance/_delta_log");
    make_folder("files/AHDS/default");
    connect_lake("own", "home:");
    static const char *const names[] = {"home:", "own"};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        leads_to(table_at("t", names[i], "/dicom/instance"), at("tables/dicom/instance"));
        leads_to(files_at("f", names[i], "/dicom/AHDS"), at("files/AHDS"));
        leads_to(files_at("f", names[i], "/any/AHDS/default"), at("files/AHDS/default"));
        leads_to(files_at("f", names[i], "/"), at("tables"));
        is_broken(files_at("f", names[i], "/dicom/AHDS/defualt"), DL_E_NOT_FOUND,
                  "files/AHDS/defualt", "did you mean default?");
        is_broken(files_at("f", names[i], "/dicom/AHDSx"), DL_E_NOT_FOUND, "tables/dicom/AHDSx",
                  "there is instance");
    }
}

TAP_CASE(spaces_and_percent)
{
    begin();
    make_folder("lake/my lake/100%/%2e%2e/_delta_log");
    connect_lake("lake", at("lake"));
    leads_to(table_at("t", "lake", "/my lake/100%/%2e%2e"), at("lake/my lake/100%/%2e%2e"));
    is_broken(table_at("t", "lake", "/my%20lake/100%"), DL_E_NOT_FOUND, "lake/my%20lake",
              "did you mean my lake?");
}

TAP_CASE(a_relative_home)
{
    begin();
    make_folder("tables/dicom/instance/_delta_log");
    char here[PATH_SIZE];
    TAP_TRUE(getcwd(here, sizeof here) != NULL && chdir(root) == 0);
    char name[32];
    (void)snprintf(name, sizeof name, "%d", home_count);
    dl_factory *other = NULL;
    dl_factory_options options = {.home = name, .clock = {test_clock, &now_us}};
    TAP_OK(dl_factory_open(&options, &other, &err), err);
    dl_shortcut s = table_at("t", "home:", "/dicom/instance");
    dl_shortcut_state state = {0};
    TAP_OK(dl_shortcut_resolve(other, &s, arena, &state, &err), err);
    TAP_EQ_STR(state.folder, at("tables/dicom/instance"));
    s.subpath = DL_STR("/dicom/x");
    TAP_OK(dl_shortcut_resolve(other, &s, arena, &state, &err), err);
    TAP_TRUE(state.broken);
    TAP_EQ_STR(state.folder, at("tables/dicom/x"));
    dl_factory_close(other);
    TAP_EQ_INT(chdir(here), 0);
}

/* ---- what is broken ---- */

TAP_CASE(connections)
{
    begin();
    connect_lake("lake", at("lake"));
    make_folder("lake/dicom/instance/_delta_log");
    leads_to(table_at("t", "lake", "/dicom/instance"), at("lake/dicom/instance"));
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_CONNECTION, DL_STR("lake"), &err), err);
    dl_shortcut_state state = resolve(table_at("t", "lake", "/dicom/instance"));
    TAP_EQ_STR(state.folder, "");
    is_broken(table_at("t", "lake", "/dicom/instance"), DL_E_NOT_FOUND,
              "there is no connection 'lake'", "dicomlake connection add");
    connect_lake("lake2", at("lake"));
    is_broken(table_at("t", "lake", "/dicom/instance"), DL_E_NOT_FOUND,
              "there is no connection 'lake'", "did you mean lake2?");
    connect_as(DL_FACTORY_DICOM, "clinic", "https://clinic.example.com");
    is_broken(table_at("t", "clinic", "/dicom/instance"), DL_E_INVALID,
              "connection clinic is a DICOM service", "type lake");
    connect_lake("cloud", "abfss://c@account.dfs.core.windows.net/x");
    is_broken(table_at("t", "cloud", "/dicom/instance"), DL_E_UNSUPPORTED,
              "abfss://c@account.dfs.core.windows.net/x: only folders", "give a folder");
    make_file("config/factory/linkedService/hurt.json", "{\"name\":");
    is_broken(table_at("t", "hurt", "/dicom/instance"), DL_E_INVALID, "", "");
}

TAP_CASE(folders)
{
    begin();
    make_folder("lake/dicom/instance/_delta_log");
    make_folder("lake/dicom/study/_delta_log");
    make_folder("lake/dicom/empty");
    make_file("lake/dicom/file", "x");
    connect_lake("lake", at("lake"));
    connect_lake("gone", at("gone"));
    is_broken(files_at("t", "home:", "/dicom/AHDS"), DL_E_NOT_FOUND, "files/AHDS",
              "import or serve files");
    is_broken(table_at("t", "gone", "/dicom/instance"), DL_E_NOT_FOUND, "there is no folder",
              "dicomlake connection show gone");
    is_broken(table_at("t", "lake", "/dicom/instence"), DL_E_NOT_FOUND, "lake/dicom/instence",
              "did you mean instance?");
    is_broken(table_at("t", "lake", "/dcm/instance"), DL_E_NOT_FOUND, "lake/dcm",
              "did you mean dicom?");
    is_broken(table_at("t", "lake", "/dicom/zzzzzzzz"), DL_E_NOT_FOUND, "lake/dicom/zzzzzzzz",
              "there is empty");
    is_broken(table_at("t", "lake", "/dicom/file"), DL_E_INVALID, "is a file, not a folder", "");
    is_broken(files_at("t", "lake", "/dicom/file/x"), DL_E_NOT_FOUND, "lake/dicom/file", "");
    is_broken(table_at("t", "lake", "/dicom/empty"), DL_E_INVALID, "it has no _delta_log",
              "a pipeline or sync makes tables");
    is_broken(table_at("t", "lake", "/dicom"), DL_E_INVALID, "it has no _delta_log",
              "name one, as in /dicom/instance");
    make_file("lake/dicom/empty/_delta_log", "x");
    is_broken(table_at("t", "lake", "/dicom/empty"), DL_E_INVALID, "it has no _delta_log", "");
    make_folder("files/AHDS");
    is_broken(table_at("t", "home:", "/dicom/AHDS"), DL_E_INVALID, "it has no _delta_log",
              "--to files");
    leads_to(files_at("t", "lake", "/dicom/empty"), at("lake/dicom/empty"));
}

TAP_CASE(a_deep_path)
{
    begin();
    make_folder("lake");
    connect_lake("lake", at("lake"));
    char path[1025] = "";
    for (size_t i = 0; i < 1024; i++) {
        path[i] = i % 2 == 0 ? '/' : 'a';
    }
    is_broken(files_at("t", "lake", path), DL_E_NOT_FOUND, "lake/a", "");
    for (size_t i = 1; i < 1024; i++) {
        path[i] = 'a'; /* one name, longer than any file system has */
    }
    dl_shortcut_state state = resolve(files_at("t", "lake", path));
    TAP_TRUE(state.broken && state.why.message[0] != '\0');
}

TAP_CASE(links)
{
    begin();
    make_folder("lake/dicom/instance/_delta_log");
    make_folder("elsewhere/table/_delta_log");
    connect_lake("lake", at("lake"));
    connect_lake("linked", at("link-to-lake"));
    TAP_EQ_INT(symlink(at("lake"), at("link-to-lake")), 0);
    TAP_EQ_INT(symlink("instance", at("lake/dicom/inside")), 0);
    TAP_EQ_INT(symlink(at("elsewhere"), at("lake/outside")), 0);
    TAP_EQ_INT(symlink("../../elsewhere/table", at("lake/dicom/relative")), 0);
    TAP_EQ_INT(symlink("circle", at("lake/circle")), 0);
    TAP_EQ_INT(symlink("nowhere", at("lake/dangling")), 0);
    /* A connection may be one itself, and links within it are fine. */
    leads_to(table_at("t", "linked", "/dicom/instance"), at("lake/dicom/instance"));
    leads_to(table_at("t", "lake", "/dicom/inside"), at("lake/dicom/inside"));
    is_broken(table_at("t", "lake", "/outside/table"), DL_E_DENIED, "/outside/table leads out",
              "make a connection");
    is_broken(files_at("t", "lake", "/outside"), DL_E_DENIED, "/outside leads out", "");
    is_broken(files_at("t", "lake", "/outside/tabel"), DL_E_DENIED, "/outside/tabel leads out",
              "a link is on the way"); /* and not what is called like it there */
    is_broken(table_at("t", "lake", "/dicom/relative"), DL_E_DENIED, "leads out", "");
    is_broken(table_at("t", "lake", "/circle"), DL_E_IO, "circle", "");
    is_broken(table_at("t", "lake", "/dangling"), DL_E_NOT_FOUND, "dangling", "");
    /* A name that begins like the folder is beside it, not in it. */
    make_folder("lake2/t/_delta_log");
    TAP_EQ_INT(symlink(at("lake2/t"), at("lake/beside")), 0);
    is_broken(table_at("t", "lake", "/beside"), DL_E_DENIED, "leads out", "");
}

static int as_nobody(void (*work)(void))
{
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        tap_case_failed = 0;
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) {
            _exit(2);
        }
        work();
        (void)fflush(stdout);
        _exit(tap_case_failed);
    }
    int status = -1;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void see_denied(void)
{
    is_broken(table_at("t", "home:", "/dicom/closed"), DL_E_DENIED, "closed cannot be read",
              "give the account");
    is_broken(table_at("t", "home:", "/dicom/closed/below"), DL_E_DENIED, "cannot be read", "");
    is_broken(table_at("t", "home:", "/dicom/log"), DL_E_DENIED, "_delta_log cannot be read", "");
    is_broken(files_at("t", "home:", "/dicom/closed"), DL_E_DENIED, "closed cannot be read", "");
}

TAP_CASE(without_the_right_to_read)
{
    begin();
    make_folder("tables/dicom/closed/below/_delta_log");
    make_folder("tables/dicom/log/_delta_log");
    static const char *const open_ones[] = {"..", ".", "tables", "tables/dicom",
                                            "tables/dicom/log"};
    for (size_t i = 0; i < DL_COUNT_OF(open_ones); i++) {
        TAP_EQ_INT(chmod(at(open_ones[i]), 0755), 0);
    }
    TAP_EQ_INT(chmod(at("tables/dicom/closed"), 0), 0);
    TAP_EQ_INT(chmod(at("tables/dicom/log/_delta_log"), 0), 0);
    TAP_EQ_INT(as_nobody(see_denied), 0);
    TAP_EQ_INT(chmod(at("tables/dicom/closed"), 0700), 0); /* for cleaning up */
    TAP_EQ_INT(chmod(at("tables/dicom/log/_delta_log"), 0700), 0);
}

/* ---- sessions ---- */

TAP_CASE(options_of_a_session)
{
    begin();
    make_folder("tables/dicom/instance/_delta_log");
    make_folder("tables/dicom/deep/study/_delta_log");
    make_folder("tables/other/series/_delta_log");
    make_folder("tables/alone/_delta_log");
    make_folder("files/AHDS/ws");
    connect_lake("own", "home:");
    connect_lake("direct", at("tables/dicom"));
    dl_shortcut all[] = {
        table_at("a", "home:", "/dicom/instance"), files_at("f", "own", "/dicom/AHDS"),
        table_at("b", "own", "/dicom/deep/study"), table_at("c", "direct", "/instance"),
        table_at("d", "home:", "/other/series"),   table_at("e", "home:", "/alone"),
        table_at("x", "nobody", "/dicom/study"),   files_at("g", "own", "/nothing"),
        files_at("ws", "own", "/any/AHDS/ws"),
    };
    const dl_lakehouse lakehouse = {
        .name = DL_STR("research"), .shortcuts = all, .shortcut_count = DL_COUNT_OF(all)};
    dl_query_options options = {.limits.rows = 7};
    TAP_OK(dl_lakehouse_query_options(factory, &lakehouse, arena, &options, &err), err);
    TAP_EQ_INT(options.limits.rows, 7); /* what the caller set stays */
    static const char *const names[] = {"a", "b", "c", "d", "e", "x"};
    TAP_EQ_INT(options.table_count, DL_COUNT_OF(names));
    for (size_t i = 0; i < options.table_count && i < DL_COUNT_OF(names); i++) {
        TAP_EQ_STR(options.tables[i].name, names[i]);
        TAP_EQ_STR(options.tables[i].schema, "research");
        TAP_EQ_INT(options.tables[i].broken.len > 0, i == 5);
    }
    /* One container is one set, whatever its connection is called. */
    TAP_TRUE(options.tables[0].set.len > 0);
    TAP_TRUE(dl_str_eq(options.tables[0].set, options.tables[1].set));
    TAP_TRUE(dl_str_eq(options.tables[0].set, options.tables[2].set));
    TAP_TRUE(!dl_str_eq(options.tables[0].set, options.tables[3].set));
    TAP_TRUE(!dl_str_eq(options.tables[0].set, options.tables[4].set));
    TAP_EQ_STR(options.tables[2].folder, at("tables/dicom/instance"));
    TAP_TRUE(dl_str_starts(options.tables[5].broken, DL_STR("there is no connection 'nobody'; ")));
    TAP_EQ_INT(options.root_count, 2); /* the broken one leads nowhere */
    TAP_EQ_STR(options.roots[0].name, "f");
    TAP_EQ_STR(options.roots[0].folder, at("files/AHDS"));
    TAP_EQ_STR(options.roots[1].folder, at("files/AHDS/ws"));
}

/* ---- tables looked at ---- */

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
#define METADATA                                                                                   \
    "{\"metaData\":{\"id\":\"1\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["                             \
    "{\\\"name\\\":\\\"sopInstanceUid\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":false,"     \
    "\\\"metadata\\\":{}},"                                                                        \
    "{\\\"name\\\":\\\"n\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"                     \
    "\\\"metadata\\\":{}},"                                                                        \
    "{\\\"name\\\":\\\"p\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"                   \
    "\\\"metadata\\\":{}}]}\",\"partitionColumns\":[\"p\"],\"configuration\":{},"                  \
    "\"createdTime\":1}}\n"
#define ADD(path, rows)                                                                            \
    "{\"add\":{\"path\":\"" path "\",\"partitionValues\":{\"p\":\"x\"},\"size\":1000,"             \
    "\"modificationTime\":1,\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":" rows "}\"}}\n"
#define TXN(app, version) "{\"txn\":{\"appId\":\"" app "\",\"version\":" version "}}\n"

/** When a commit's file was written is its time for those who travel. */
static void written_at(const char *file, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    TAP_EQ_INT(utimensat(AT_FDCWD, at(file), times, 0), 0);
}

static dl_lakehouse_table describe(dl_shortcut s)
{
    static dl_shortcut kept;
    dl_lakehouse_table table = {0};
    kept = s;
    TAP_OK(dl_lakehouse_describe(factory, &kept, arena, &table, &err), err);
    return table;
}

TAP_CASE(a_table_described)
{
    begin();
    make_folder("tables/dicom/t/_delta_log");
    make_file("tables/dicom/t/_delta_log/00000000000000000000.json",
              "{\"commitInfo\":{\"timestamp\":1767600000000,\"operation\":\"CREATE\"}}\n" PROTOCOL
                  METADATA ADD("a.parquet", "10"));
    make_file("tables/dicom/t/_delta_log/00000000000000000001.json",
              "{\"commitInfo\":{\"timestamp\":1767600060000,\"operation\":\"WRITE\"}}\n" ADD(
                  "b.parquet", "32") TXN("dicomlake:host:8080/x:instance", "41")
                  TXN("dicomlake:host:8080/x:instance:time", "1767600000000001")
                      TXN("dicomlake:host:8080/x:instance:window:1/2", "99") TXN("other", "77"));
    written_at("tables/dicom/t/_delta_log/00000000000000000000.json", 1767600000);
    written_at("tables/dicom/t/_delta_log/00000000000000000001.json", 1767600060);
    dl_lakehouse_table t = describe(table_at("t", "home:", "/dicom/t"));
    TAP_TRUE(!t.state.broken);
    TAP_EQ_INT(t.version, 1);
    TAP_EQ_INT(t.row_count, 42);
    TAP_EQ_INT(t.size_bytes, 2000);
    TAP_EQ_INT(t.file_count, 2);
    TAP_EQ_INT(t.watermark, 41);
    TAP_EQ_INT(t.watermark_us, 1767600000000001);
    TAP_EQ_INT(t.changed_us, 1767600060000000);
    TAP_EQ_INT(t.field_count, 3);
    TAP_EQ_STR(t.fields[0].name, "sopInstanceUid");
    TAP_EQ_STR(t.fields[0].type, "VARCHAR");
    TAP_EQ_STR(t.fields[0].attribute, "SOPInstanceUID");
    TAP_EQ_STR(t.fields[0].tag, "00080018");
    TAP_TRUE(!t.fields[0].nullable && t.fields[1].nullable && t.fields[2].partition);
    TAP_EQ_STR(t.fields[1].type, "BIGINT");
    TAP_EQ_STR(t.fields[1].attribute, "");
}

static const struct {
    const char *name, *log; /* of version 0; NULL: the folder alone */
    dl_status status;
    const char *message;
} unreadable[] = {
    /* clang-format off */
    {"an empty log", NULL, DL_E_NOT_FOUND, "while opening"},
    {"a feature", "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[\"telepathy\"],"
                  "\"writerFeatures\":[\"telepathy\"]}}\n" METADATA, DL_E_UNSUPPORTED, "telepathy"},
    {"a damaged line", PROTOCOL "{\"metaData\":\n", DL_E_CORRUPT, "while opening"},
    /* clang-format on */
};

static void tables_that_cannot_be_read(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(unreadable); i++) {
        TAP_ROW_BEGIN();
        begin();
        make_folder("tables/dicom/t/_delta_log");
        if (unreadable[i].log != NULL) {
            make_file("tables/dicom/t/_delta_log/00000000000000000000.json", unreadable[i].log);
        }
        dl_shortcut s = table_at("t", "home:", "/dicom/t");
        leads_to(s, at("tables/dicom/t")); /* it looks like one */
        dl_lakehouse_table t = describe(s);
        TAP_TRUE(t.state.broken);
        TAP_EQ_INT(t.state.why.status, unreadable[i].status);
        TAP_TRUE(strstr(t.state.why.message, unreadable[i].message) != NULL);
        TAP_TRUE(t.state.why.hint[0] != '\0');
        TAP_EQ_INT(t.version, -1);
        TAP_EQ_INT(t.row_count, -1);
        dl_shortcut_state state = {0};
        TAP_OK(dl_shortcut_test(factory, &s, arena, &state, &err), err);
        TAP_EQ_INT(state.why.status, unreadable[i].status);
        TAP_ROW_END(unreadable[i].name);
    }
}

TAP_CASE(the_test_of_a_folder)
{
    begin();
    make_folder("files/AHDS");
    dl_shortcut s = files_at("f", "home:", "/dicom/AHDS");
    dl_shortcut_state state = {0};
    TAP_OK(dl_shortcut_test(factory, &s, arena, &state, &err), err);
    TAP_TRUE(!state.broken);
    TAP_EQ_STR(state.folder, at("files/AHDS"));
    s.subpath = DL_STR("/dicom/AHDS/x");
    TAP_OK(dl_shortcut_test(factory, &s, arena, &state, &err), err);
    TAP_TRUE(state.broken);
    dl_lakehouse_table t = describe(s);
    TAP_EQ_INT(t.version, -1);
    TAP_EQ_INT(t.field_count, 0);
}

TAP_CASE(as_json)
{
    begin();
    make_folder("tables/dicom/t/_delta_log");
    make_file("tables/dicom/t/_delta_log/00000000000000000000.json",
              "{\"commitInfo\":{\"timestamp\":1767600000000}}\n" PROTOCOL METADATA);
    written_at("tables/dicom/t/_delta_log/00000000000000000000.json", 1767600000);
    DL_AUTO_BUF text = {0};
    dl_json_writer w;
    dl_buf_init(&text, 65536);
    dl_json_writer_init(&w, &text, &err);
    dl_lakehouse_table t = describe(table_at("t", "home:", "/dicom/t"));
    dl_lakehouse_write_table(&w, &t);
    TAP_OK(dl_json_writer_status(&w), err);
    dl_str value = DL_STR_NONE;
    dl_str json = dl_buf_str(&text);
    TAP_OK(dl_json_check(json, &err), err);
    TAP_TRUE(dl_json_get(json, DL_STR("broken"), &value) && dl_str_eq(value, DL_STR("null")));
    TAP_TRUE(dl_json_get(json, DL_STR("rows"), &value) && dl_str_eq(value, DL_STR("0")));
    TAP_TRUE(dl_json_get(json, DL_STR("watermark"), &value) && dl_str_eq(value, DL_STR("null")));
    TAP_TRUE(dl_json_get(json, DL_STR("changed"), &value) &&
             dl_str_eq(value, DL_STR("\"2026-01-05T08:00:00.000000Z\"")));
    dl_buf_reset(&text);
    dl_json_writer_init(&w, &text, &err);
    dl_shortcut_state state = resolve(table_at("t", "home:", "/dicom/x"));
    dl_shortcut_write_state(&w, &state);
    TAP_TRUE(dl_json_get(dl_buf_str(&text), DL_STR("broken"), &value));
    TAP_TRUE(dl_json_get(value, DL_STR("status"), &value) &&
             dl_str_eq(value, DL_STR("\"not_found\"")));
}

int main(void)
{
    TAP_RUN(a_table_of_a_folder);
    TAP_RUN(the_home);
    TAP_RUN(spaces_and_percent);
    TAP_RUN(a_relative_home);
    TAP_RUN(connections);
    TAP_RUN(folders);
    TAP_RUN(a_deep_path);
    TAP_RUN(links);
    TAP_RUN(without_the_right_to_read);
    TAP_RUN(options_of_a_session);
    TAP_RUN(a_table_described);
    tables_that_cannot_be_read();
    TAP_RUN(the_test_of_a_folder);
    TAP_RUN(as_json);
    return done();
}
