/* Documents of lakehouses: strict reading, canonical writing, names at their bounds, damaged files,
 * the home's own, changes by several at once. */
#include "fixture.h"

#include "base/mem.h"
#include "lakehouse/catalog_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

static void says(dl_status got, dl_status want, const char *message, const char *hint)
{
    TAP_EQ_INT(got, want);
    TAP_EQ_INT(err.status, want);
    if (strstr(err.message, message) == NULL) {
        TAP_FAIL("'%s' is not in: %s", message, err.message);
    }
    if (strstr(err.hint, hint) == NULL) {
        TAP_FAIL("'%s' is not in the hint: %s", hint, err.hint);
    }
    err = (dl_error){0};
}

static dl_str text_of(const dl_lakehouse *lakehouse)
{
    DL_AUTO_BUF text = {0};
    dl_str copy = DL_STR("");
    dl_buf_init(&text, (size_t)4 * DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    TAP_OK(dl_lakehouse_text(lakehouse, &text, &err), err);
    TAP_OK(dl_arena_copy(arena, dl_buf_str(&text), &copy, &err), err);
    return copy;
}

static size_t length_of(const dl_lakehouse *lakehouse)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)4 * DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    TAP_OK(dl_lakehouse_text(lakehouse, &text, &err), err);
    return text.len;
}

static dl_str file_text(const char *name)
{
    DL_AUTO_BUF text = {0};
    char path[256];
    dl_str copy = DL_STR("");
    (void)snprintf(path, sizeof path, "config/lakehouse/%s.json", name);
    dl_buf_init(&text, (size_t)4 * DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    TAP_OK(dl_file_read_all(at(path), &text, &err), err);
    TAP_OK(dl_arena_copy(arena, dl_buf_str(&text), &copy, &err), err);
    return copy;
}

static void make_document(const char *name, const char *text)
{
    char path[256];
    make_folder("config/lakehouse");
    (void)snprintf(path, sizeof path, "config/lakehouse/%s.json", name);
    make_file(path, text);
}

static void create(const char *name)
{
    const dl_lakehouse lakehouse = {.name = dl_str_of(name)};
    TAP_OK(dl_lakehouse_put(factory, &lakehouse, false, &err), err);
}

static dl_lakehouse get(const char *name)
{
    dl_lakehouse lakehouse = {0};
    TAP_OK(dl_lakehouse_get(factory, dl_str_of(name), arena, &lakehouse, &err), err);
    return lakehouse;
}

static dl_status put_one(const dl_shortcut *shortcut)
{
    dl_shortcut copy = *shortcut;
    const dl_lakehouse lakehouse = {.name = DL_STR("one"), .shortcuts = &copy, .shortcut_count = 1};
    return dl_lakehouse_put(factory, &lakehouse, true, &err);
}

/* ---- documents ---- */

static const char canonical[] = "{\n"
                                "    \"name\": \"research\",\n"
                                "    \"description\": \"for \\\"us\\\"\",\n"
                                "    \"shortcuts\": [\n"
                                "        {\n"
                                "            \"path\": \"Tables\",\n"
                                "            \"name\": \"instance\",\n"
                                "            \"target\": {\n"
                                "                \"connection\": \"lake\",\n"
                                "                \"subpath\": \"/dicom/instance\",\n"
                                "                \"region\": [\n"
                                "                    1,\n"
                                "                    null\n"
                                "                ]\n"
                                "            },\n"
                                "            \"colour\": \"red\"\n"
                                "        },\n"
                                "        {\n"
                                "            \"path\": \"Files\",\n"
                                "            \"name\": \"instance\",\n"
                                "            \"target\": {\n"
                                "                \"connection\": \"home:\",\n"
                                "                \"subpath\": \"/\"\n"
                                "            }\n"
                                "        }\n"
                                "    ],\n"
                                "    \"owner\": {\n"
                                "        \"name\": \"someone\"\n"
                                "    }\n"
                                "}\n";

TAP_CASE(reads_and_writes_the_same_bytes)
{
    begin();
    dl_lakehouse l = {0};
    /* Other order, other layout, other case of the kind, a byte order mark. */
    TAP_OK(dl_lakehouse_read(
               DL_STR("\xef\xbb\xbf{\"owner\":{ \"name\" : \"someone\"},\"shortcuts\":[{\"colour\":"
                      "\"red\",\"target\":{\"region\":[1, null],\"subpath\":\"/dicom/instance\","
                      "\"connection\":\"lake\"},\"name\":\"instance\",\"path\":\"tables\"},"
                      "{\"path\":\"Files\",\"name\":\"instance\",\"target\":{\"connection\":"
                      "\"home:\",\"subpath\":\"/\"}}],\"name\":\"research\",\"description\":"
                      "\"for \\u0022us\\u0022\"}"),
               arena, &l, &err),
           err);
    TAP_EQ_STR(text_of(&l), canonical);
    TAP_EQ_INT(l.shortcut_count, 2);
    TAP_EQ_INT(l.shortcuts[1].kind, DL_SHORTCUT_FILES);
    TAP_TRUE(!l.implied && l.fault.len == 0);
    dl_lakehouse again = {0};
    TAP_OK(dl_lakehouse_read(text_of(&l), arena, &again, &err), err);
    TAP_EQ_STR(text_of(&again), canonical);
}

TAP_CASE(absent_members)
{
    begin();
    dl_lakehouse l = {0};
    TAP_OK(dl_lakehouse_read(DL_STR("{\"name\":\"a\"}"), arena, &l, &err), err);
    TAP_EQ_STR(l.description, "");
    TAP_EQ_INT(l.shortcut_count, 0);
    TAP_EQ_STR(text_of(&l), "{\n    \"name\": \"a\",\n    \"description\": \"\",\n    "
                            "\"shortcuts\": []\n}\n");
}

#define ENTRY(member) "{\"name\":\"a\",\"shortcuts\":[" member "]}"
#define TARGET(member) ENTRY("{\"path\":\"Tables\",\"name\":\"t\",\"target\":" member "}")

static const struct {
    const char *name, *json, *message;
} wrong[] = {
    /* clang-format off */
    {"no JSON", "{", ""},
    {"text behind it", "{\"name\":\"a\"} x", ""},
    {"no object", "[]", "not a JSON object"},
    {"no name", "{}", "name: it is missing"},
    {"a number for a name", "{\"name\":1}", "name: 1 is not a text"},
    {"a bad name", "{\"name\":\"a b\"}", "name: character 2"},
    {"the home's name", "{\"name\":\"Home\"}", "'Home' is the lakehouse that every home has"},
    {"description", "{\"name\":\"a\",\"description\":[]}", "description: [] is not a text"},
    {"no list", "{\"name\":\"a\",\"shortcuts\":{}}", "shortcuts: {} is not a JSON array"},
    {"an entry", ENTRY("3"), "shortcuts[0]: 3 is not a JSON object"},
    {"no path", ENTRY("{\"name\":\"t\"}"), "shortcuts[0].path: it is missing"},
    {"a wrong path", ENTRY("{\"path\":\"Tables/x\"}"), "shortcuts[0].path: \"Tables/x\" is not"},
    {"no shortcut name", ENTRY("{\"path\":\"Tables\"}"), "shortcuts[0].name: it is missing"},
    {"no target", ENTRY("{\"path\":\"Tables\",\"name\":\"t\"}"), "shortcuts[0].target: it is missing"},
    {"a target of text", TARGET("\"x\""), "shortcuts[0].target: \"x\" is not a JSON object"},
    {"no connection", TARGET("{\"subpath\":\"/a\"}"), "shortcuts[0].target.connection: it is missing"},
    {"no sub path", TARGET("{\"connection\":\"c\"}"), "shortcuts[0].target.subpath: it is missing"},
    {"a connection's name", TARGET("{\"connection\":\"c:\",\"subpath\":\"/a\"}"), "shortcuts[0].target.connection: character 2"},
    {"above", TARGET("{\"connection\":\"c\",\"subpath\":\"/a/../../b\"}"), "shortcuts[0].target.subpath: '..' would leave"},
    {"NUL", TARGET("{\"connection\":\"c\",\"subpath\":\"/a\\u0000b\"}"), "shortcuts[0].target.subpath"},
    {"a secret", "{\"name\":\"a\",\"sasToken\":\"sv=1\"}", "sasToken: a secret stands in the document"},
    {"twice", ENTRY("{\"path\":\"Files\",\"name\":\"T\",\"target\":{\"connection\":\"c\",\"subpath\":\"/\"}},"
                    "{\"path\":\"Files\",\"name\":\"t\",\"target\":{\"connection\":\"c\",\"subpath\":\"/\"}}"),
     "shortcuts[1].name: there are two 't' under Files"},
    /* clang-format on */
};

static void refuses_documents(void)
{
    begin();
    for (size_t i = 0; i < DL_COUNT_OF(wrong); i++) {
        dl_lakehouse l = {.implied = true};
        TAP_ROW_BEGIN();
        err = (dl_error){0};
        TAP_STATUS(dl_lakehouse_read(dl_str_of(wrong[i].json), arena, &l, &err), DL_E_INVALID);
        if (strstr(err.message, wrong[i].message) == NULL) {
            TAP_FAIL("'%s' is not in: %s", wrong[i].message, err.message);
        }
        TAP_TRUE(l.implied && l.name.ptr == NULL);
        char name[128];
        (void)snprintf(name, sizeof name, "refuses: %s", wrong[i].name);
        TAP_ROW_END(name);
    }
}

/* ---- bounds ---- */

/** `count` times one character. */
static char *times(size_t count, char c)
{
    char *text = dl_arena_alloc(arena, count + 1, 1);
    memset(text, c, count);
    return text;
}

TAP_CASE(names_at_their_bounds)
{
    begin();
    dl_lakehouse l = {.name = dl_str_of(times(DL_LAKEHOUSE_NAME_LIMIT, 'a'))};
    TAP_OK(dl_lakehouse_put(factory, &l, false, &err), err);
    l.name = dl_str_of(times(DL_LAKEHOUSE_NAME_LIMIT + 1, 'a'));
    says(dl_lakehouse_put(factory, &l, false, &err), DL_E_INVALID, "141 characters", "1 to 140");
    l = (dl_lakehouse){.name = DL_STR("d"),
                       .description = dl_str_of(times(DL_LAKEHOUSE_DESCRIPTION_LIMIT, 'x'))};
    TAP_OK(dl_lakehouse_put(factory, &l, false, &err), err);
    l.description = dl_str_of(times(DL_LAKEHOUSE_DESCRIPTION_LIMIT + 1, 'x'));
    says(dl_lakehouse_put(factory, &l, true, &err), DL_E_INVALID, "description", "");
    TAP_EQ_INT(get("d").description.len, DL_LAKEHOUSE_DESCRIPTION_LIMIT);
}

TAP_CASE(shortcut_names)
{
    begin();
    static const char *const good[] = {"a", "with spaces", "\xc3\xa9tude", "100%", "...", "a'b\"c"};
    static const char *const bad[] = {"", ".", "..", "a/b", "a\nb", "\x7f", "\xff"};
    for (size_t i = 0; i < DL_COUNT_OF(good); i++) {
        dl_shortcut s = table_at(good[i], "lake", "/a");
        TAP_OK(put_one(&s), err);
        TAP_EQ_STR(get("one").shortcuts[0].name, good[i]);
    }
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        dl_shortcut s = table_at(bad[i], "lake", "/a");
        says(put_one(&s), DL_E_INVALID, "shortcuts[0].name: ", "1 to 200 bytes");
    }
    dl_shortcut s = table_at(times(DL_SHORTCUT_NAME_LIMIT, 'n'), "lake", "/a");
    TAP_OK(put_one(&s), err);
    s.name = dl_str_of(times(DL_SHORTCUT_NAME_LIMIT + 1, 'n'));
    says(put_one(&s), DL_E_INVALID, "shortcuts[0].name: it has 201 bytes", "");
}

TAP_CASE(sub_paths)
{
    begin();
    static const char *const good[] = {"/", "/a", "/a b/100%/%2e%2e", "/..a/b..", "/\xc3\xa9"};
    static const char *const bad[] = {"",     "a",     "//",    "/a/",   "/a//b", "/..",
                                      "/a/.", "/a/..", "/../b", "/a\\b", "/a\tb", "/\xc0\x80"};
    for (size_t i = 0; i < DL_COUNT_OF(good); i++) {
        dl_shortcut s = table_at("t", "lake", good[i]);
        TAP_OK(put_one(&s), err);
        TAP_EQ_STR(get("one").shortcuts[0].subpath, good[i]);
    }
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        dl_shortcut s = table_at("t", "lake", bad[i]);
        says(put_one(&s), DL_E_INVALID, "shortcuts[0].target.subpath: ", "");
    }
    char *longest = times(DL_LAKEHOUSE_SUBPATH_LIMIT + 1, 'p');
    longest[0] = '/';
    dl_shortcut s = table_at("t", "lake", longest);
    says(put_one(&s), DL_E_INVALID, "1025 bytes, more than 1024", "");
    s.subpath.len--;
    TAP_OK(put_one(&s), err);
}

static dl_shortcut *many(size_t count)
{
    dl_shortcut *all = dl_arena_alloc(arena, count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = files_at("", "home:", "/dicom/AHDS");
        TAP_OK(dl_arena_printf(arena, &all[i].name, &err, "s%zu", i), err);
    }
    return all;
}

TAP_CASE(count_of_shortcuts)
{
    begin();
    dl_lakehouse l = {.name = DL_STR("many"),
                      .shortcuts = many(DL_SHORTCUT_LIMIT + 1),
                      .shortcut_count = DL_SHORTCUT_LIMIT};
    TAP_OK(dl_lakehouse_put(factory, &l, false, &err), err);
    TAP_EQ_INT(get("many").shortcut_count, DL_SHORTCUT_LIMIT);
    l.shortcut_count++;
    says(dl_lakehouse_put(factory, &l, true, &err), DL_E_LIMIT, "1001 of them, more than 1000", "");
    says(dl_shortcut_add(factory, DL_STR("many"), &l.shortcuts[DL_SHORTCUT_LIMIT], &err),
         DL_E_LIMIT, "1001 of them", "");
    TAP_EQ_INT(get("many").shortcut_count, DL_SHORTCUT_LIMIT);
    /* Reading has the same bound. */
    dl_lakehouse read = {0};
    says(dl_lakehouse_read(text_of(&l), arena, &read, &err), DL_E_INVALID,
         "shortcuts: 1001 elements, more than 1000", "");
}

TAP_CASE(size_of_a_document)
{
    begin();
    dl_lakehouse l = {.name = DL_STR("big"),
                      .shortcuts = many(DL_SHORTCUT_LIMIT),
                      .shortcut_count = DL_SHORTCUT_LIMIT};
    for (size_t i = 0; i < l.shortcut_count; i++) {
        char *path = times(DL_LAKEHOUSE_SUBPATH_LIMIT, 'p');
        path[0] = '/';
        l.shortcuts[i].subpath = dl_str_of(path);
    }
    says(dl_lakehouse_put(factory, &l, false, &err), DL_E_LIMIT, "", "");
    TAP_TRUE(!is_there("config/lakehouse/big.json"));
    while (length_of(&l) > DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES) {
        l.shortcut_count--;
    }
    /* What is left goes into the description, up to the last byte. */
    size_t room = DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES - length_of(&l);
    TAP_TRUE(room < DL_LAKEHOUSE_DESCRIPTION_LIMIT);
    l.description = dl_str_of(times(room, 'd'));
    TAP_OK(dl_lakehouse_put(factory, &l, false, &err), err);
    TAP_EQ_INT(file_text("big").len, DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    TAP_EQ_INT(get("big").shortcut_count, l.shortcut_count);
    l.description = dl_str_of(times(room + 1, 'd'));
    says(dl_lakehouse_put(factory, &l, true, &err), DL_E_LIMIT, "", "");
    TAP_EQ_INT(get("big").description.len, room);
}

/* ---- the home's lakehouses ---- */

TAP_CASE(create_get_list_remove)
{
    begin();
    dl_lakehouse *all = NULL, l = {0};
    size_t count = 0;
    create("research");
    create("Audit");
    TAP_OK(dl_lakehouse_list(factory, arena, &all, &count, &err), err);
    TAP_EQ_INT(count, 2);
    TAP_EQ_STR(all[0].name, "Audit");
    TAP_EQ_STR(all[1].name, "research");
    TAP_EQ_STR(get("RESEARCH").name, "research");
    const dl_lakehouse same = {.name = DL_STR("rEsearch"), .description = DL_STR("x")};
    says(dl_lakehouse_put(factory, &same, false, &err), DL_E_EXISTS, "'research' already", "");
    TAP_OK(dl_lakehouse_put(factory, &same, true, &err), err);
    TAP_EQ_STR(get("research").description, "x");
    TAP_TRUE(!is_there("config/lakehouse/rEsearch.json")); /* the name stays as it was */
    says(dl_lakehouse_get(factory, DL_STR("reserch"), arena, &l, &err), DL_E_NOT_FOUND,
         "no lakehouse 'reserch'", "did you mean research?");
    says(dl_lakehouse_get(factory, DL_STR("zzzzzz"), arena, &l, &err), DL_E_NOT_FOUND, "'zzzzzz'",
         "there is Audit, research");
    says(dl_lakehouse_remove(factory, DL_STR("zzzzzz"), &err), DL_E_NOT_FOUND, "'zzzzzz'", "Audit");
    TAP_OK(dl_lakehouse_remove(factory, DL_STR("RESEARCH"), &err), err);
    says(dl_lakehouse_get(factory, DL_STR("research"), arena, &l, &err), DL_E_NOT_FOUND,
         "'research'", "");
    TAP_TRUE(l.name.ptr == NULL);
}

TAP_CASE(choosing)
{
    begin();
    dl_lakehouse l = {0};
    TAP_OK(dl_lakehouse_choose(factory, DL_STR(""), arena, &l, &err), err);
    TAP_TRUE(l.implied);
    TAP_EQ_STR(l.name, "home");
    TAP_EQ_INT(l.shortcut_count, 0); /* not even files: nothing was stored yet */
    create("only");
    TAP_OK(dl_lakehouse_choose(factory, DL_STR(""), arena, &l, &err), err);
    TAP_EQ_STR(l.name, "only");
    TAP_OK(dl_lakehouse_choose(factory, DL_STR("Home"), arena, &l, &err), err);
    TAP_TRUE(l.implied);
    create("second");
    says(dl_lakehouse_choose(factory, DL_STR(""), arena, &l, &err), DL_E_INVALID, "2 lakehouses",
         "only, second");
    TAP_OK(dl_lakehouse_choose(factory, DL_STR("SECOND"), arena, &l, &err), err);
    TAP_EQ_STR(l.name, "second");
}

TAP_CASE(the_homes_own)
{
    begin();
    make_folder("tables/dicom/instance/_delta_log");
    make_folder("tables/dicom/instance/partitionName=x/_delta_log"); /* inside a table */
    make_folder("tables/dicom/deep/er/table/_delta_log");
    make_folder("tables/other/instance/_delta_log");
    make_folder("tables/other/Extra/_delta_log");
    make_folder("tables/third/extra/_delta_log");
    make_folder("tables/.hidden/x/_delta_log");
    make_folder("tables/dicom/nothing");
    make_folder("files/AHDS");
    dl_lakehouse *all = NULL;
    size_t count = 0;
    TAP_OK(dl_lakehouse_list(factory, arena, &all, &count, &err), err);
    TAP_EQ_INT(count, 1);
    static const char *const want[][2] = {
        {"table", "/dicom/deep/er/table"}, {"instance", "/dicom/instance"},
        {"other_Extra", "/other/Extra"},   {"other_instance", "/other/instance"},
        {"third_extra", "/third/extra"},   {"AHDS", "/dicom/AHDS"}};
    TAP_EQ_INT(all[0].shortcut_count, DL_COUNT_OF(want));
    for (size_t i = 0; i < DL_COUNT_OF(want) && i < all[0].shortcut_count; i++) {
        TAP_EQ_STR(all[0].shortcuts[i].name, want[i][0]);
        TAP_EQ_STR(all[0].shortcuts[i].subpath, want[i][1]);
        TAP_EQ_STR(all[0].shortcuts[i].connection, "home:");
    }
    TAP_TRUE(!is_there("config/lakehouse"));
    dl_shortcut s = table_at("t", "home:", "/dicom/instance");
    says(dl_shortcut_add(factory, DL_STR("home"), &s, &err), DL_E_INVALID, "cannot be changed",
         "lakehouse create");
    says(dl_shortcut_remove(factory, DL_STR("HOME"), DL_SHORTCUT_FILES, DL_STR("AHDS"), &err),
         DL_E_INVALID, "cannot be changed", "lakehouse create");
    says(dl_lakehouse_remove(factory, DL_STR("home"), &err), DL_E_INVALID, "cannot be changed", "");
    TAP_TRUE(!is_there("config/lakehouse"));
}

TAP_CASE(damaged_documents)
{
    begin();
    dl_lakehouse *all = NULL, l = {0};
    size_t count = 0;
    create("good");
    make_document("bad", "{\"name\":\"bad\",\"shortcuts\":[{}]}");
    make_document("other", "{\"name\":\"another\"}");
    make_document("home", "{\"name\":\"home\"}");
    make_document("not a name", "{\"name\":\"not a name\"}");
    make_file("config/lakehouse/good.json.new", "{");
    make_file("config/lakehouse/notes.txt", "x");
    TAP_OK(dl_lakehouse_list(factory, arena, &all, &count, &err), err);
    TAP_EQ_INT(count, 3);
    TAP_EQ_STR(all[0].name, "bad");
    TAP_TRUE(dl_str_find_str(all[0].fault, DL_STR("shortcuts[0].path: it is missing")) == 0);
    TAP_EQ_INT(all[0].shortcut_count, 0);
    TAP_EQ_STR(all[1].name, "good");
    TAP_EQ_INT(all[1].fault.len, 0);
    TAP_TRUE(dl_str_find_str(all[2].fault, DL_STR("'another' is not that of the file")) > 0);
    says(dl_lakehouse_get(factory, DL_STR("bad"), arena, &l, &err), DL_E_INVALID,
         "while reading config/lakehouse/bad.json", "");
    dl_shortcut s = table_at("t", "home:", "/a");
    says(dl_shortcut_add(factory, DL_STR("bad"), &s, &err), DL_E_INVALID, "shortcuts[0].path", "");
    TAP_EQ_STR(file_text("bad"), "{\"name\":\"bad\",\"shortcuts\":[{}]}"); /* not touched */
    TAP_OK(dl_lakehouse_remove(factory, DL_STR("bad"), &err), err);
    const dl_lakehouse anew = {.name = DL_STR("other")};
    TAP_OK(dl_lakehouse_put(factory, &anew, true, &err), err);
    TAP_EQ_STR(get("other").name, "other");
    make_document("huge", times((size_t)DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES + 1, ' '));
    says(dl_lakehouse_get(factory, DL_STR("huge"), arena, &l, &err), DL_E_LIMIT, "longer than", "");
}

/* ---- shortcuts ---- */

TAP_CASE(adding_and_removing)
{
    begin();
    create("research");
    connect_lake("lake", "/nowhere/at/all");
    dl_shortcut s = table_at("instance", "lake", "/dicom/instance");
    TAP_OK(dl_shortcut_add(factory, DL_STR("research"), &s, &err), err);
    s.name = DL_STR("INSTANCE");
    says(dl_shortcut_add(factory, DL_STR("research"), &s, &err), DL_E_EXISTS,
         "there is a 'instance' under Tables already", "");
    s.kind = DL_SHORTCUT_FILES; /* another kind, another name space */
    TAP_OK(dl_shortcut_add(factory, DL_STR("Research"), &s, &err), err);
    s = table_at("x", "lak", "/a");
    says(dl_shortcut_add(factory, DL_STR("research"), &s, &err), DL_E_NOT_FOUND,
         "no connection 'lak'", "did you mean lake?");
    s.connection = DL_STR("LAKE");
    says(dl_shortcut_add(factory, DL_STR("reserch"), &s, &err), DL_E_NOT_FOUND,
         "no lakehouse 'reserch'", "did you mean research?");
    s.subpath = DL_STR("/a/../..");
    says(dl_shortcut_add(factory, DL_STR("research"), &s, &err), DL_E_INVALID, "'..'", "");
    TAP_EQ_INT(get("research").shortcut_count, 2);
    says(dl_shortcut_remove(factory, DL_STR("research"), DL_SHORTCUT_TABLES, DL_STR("instence"),
                            &err),
         DL_E_NOT_FOUND, "no 'instence' under Tables", "did you mean instance?");
    TAP_OK(dl_shortcut_remove(factory, DL_STR("research"), DL_SHORTCUT_TABLES, DL_STR("Instance"),
                              &err),
           err);
    says(dl_shortcut_remove(factory, DL_STR("research"), DL_SHORTCUT_TABLES, DL_STR("instance"),
                            &err),
         DL_E_NOT_FOUND, "", "there is one under Files");
    TAP_EQ_INT(get("research").shortcut_count, 1);
    TAP_EQ_INT(get("research").shortcuts[0].kind, DL_SHORTCUT_FILES);
}

TAP_CASE(what_connections_can_be)
{
    begin();
    create("l");
    connect_lake("cloud", "abfss://c@account.dfs.core.windows.net/x");
    connect_as(DL_FACTORY_DICOM, "service", "https://clinic.example.com");
    dl_shortcut s = table_at("t", "cloud", "/dicom/instance"); /* kept until there is a store */
    TAP_OK(dl_shortcut_add(factory, DL_STR("l"), &s, &err), err);
    s = table_at("u", "service", "/dicom/instance");
    says(dl_shortcut_add(factory, DL_STR("l"), &s, &err), DL_E_INVALID, "not a lake", "type lake");
    TAP_EQ_INT(get("l").shortcut_count, 1);
}

TAP_CASE(unknown_members_survive_changes)
{
    begin();
    make_document("research", canonical);
    dl_shortcut s = files_at("more", "home:", "/dicom/AHDS");
    TAP_OK(dl_shortcut_add(factory, DL_STR("research"), &s, &err), err);
    TAP_TRUE(dl_str_find_str(file_text("research"), DL_STR("\"region\"")) > 0);
    TAP_TRUE(dl_str_find_str(file_text("research"), DL_STR("\"colour\": \"red\"")) > 0);
    TAP_OK(dl_shortcut_remove(factory, DL_STR("research"), DL_SHORTCUT_FILES, DL_STR("more"), &err),
           err);
    TAP_EQ_STR(file_text("research"), canonical);
}

TAP_CASE(replacing_a_shortcut)
{
    begin();
    make_document("research", canonical);
    bool is_new = true;
    dl_shortcut s = table_at("INSTANCE", "home:", "/other/instance");
    TAP_OK(dl_shortcut_put(factory, DL_STR("research"), &s, &is_new, &err), err);
    TAP_TRUE(!is_new);
    dl_lakehouse l = get("research");
    TAP_EQ_INT(l.shortcut_count, 2);
    TAP_EQ_STR(l.shortcuts[0].name, "instance");
    TAP_EQ_STR(l.shortcuts[0].connection, "home:");
    TAP_EQ_STR(l.shortcuts[0].subpath, "/other/instance");
    TAP_EQ_STR(l.shortcuts[0].other_json, "{\"colour\":\"red\"}");
    TAP_EQ_STR(l.shortcuts[0].target_other_json, "{\"region\":[1,null]}");
    s.name = DL_STR("new");
    TAP_OK(dl_shortcut_put(factory, DL_STR("research"), &s, &is_new, &err), err);
    TAP_TRUE(is_new);
    s.connection = DL_STR("nobody");
    is_new = false;
    says(dl_shortcut_put(factory, DL_STR("research"), &s, &is_new, &err), DL_E_NOT_FOUND,
         "no connection 'nobody'", "");
    TAP_TRUE(!is_new);
    TAP_EQ_STR(get("research").shortcuts[2].connection, "home:");
}

/* ---- several at once ---- */

enum { WRITERS = 4, EACH = 25 };

static void add_some(int writer)
{
    dl_error why = {0};
    for (int i = 0; i < EACH; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "s-%d-%d", writer, i);
        dl_shortcut s = files_at(name, "home:", "/dicom/AHDS");
        if (dl_shortcut_add(factory, DL_STR("shared"), &s, &why) != DL_OK) {
            (void)fprintf(stderr, "# %s: %s\n", name, why.message);
            _exit(1);
        }
    }
}

TAP_CASE(processes_at_once_lose_nothing)
{
    begin();
    create("shared");
    pid_t children[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            add_some(i);
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        TAP_TRUE(waitpid(children[i], &status, 0) == children[i] && status == 0);
    }
    dl_lakehouse l = get("shared");
    TAP_EQ_INT(l.shortcut_count, WRITERS * EACH);
    for (int i = 0; i < WRITERS * EACH; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "s-%d-%d", i / EACH, i % EACH);
        TAP_TRUE(dl_shortcut_find(&l, DL_SHORTCUT_FILES, dl_str_of(name)) != NULL);
    }
}

static void *add_later(void *context)
{
    dl_shortcut s = files_at("waited", "home:", "/dicom/AHDS");
    *(dl_status *)context = dl_shortcut_add(factory, DL_STR("l"), &s, NULL);
    return NULL;
}

TAP_CASE(a_change_waits_for_the_lock)
{
    begin();
    create("l");
    pthread_t thread;
    dl_status status = DL_E_IO;
    int fd = open(at("config/lakehouse/.lock"), O_RDWR | O_CLOEXEC);
    TAP_TRUE(fd >= 0 && flock(fd, LOCK_EX) == 0);
    TAP_EQ_INT(pthread_create(&thread, NULL, add_later, &status), 0);
    (void)usleep(50 * 1000);
    TAP_EQ_INT(get("l").shortcut_count, 0);
    (void)close(fd);
    (void)pthread_join(thread, NULL);
    TAP_EQ_INT(status, DL_OK);
    TAP_EQ_INT(get("l").shortcut_count, 1);
}

/* ---- without memory ---- */

static dl_status everything(dl_arena *in)
{
    dl_lakehouse l;
    dl_lakehouse *all = NULL;
    size_t count = 0;
    dl_query_options options = {0};
    const dl_lakehouse made = {.name = DL_STR("made")};
    dl_shortcut s = table_at("t", "home:", "/dicom/instance");
    DL_TRY(dl_lakehouse_put(factory, &made, true, &err));
    DL_TRY(dl_shortcut_add(factory, DL_STR("made"), &s, &err));
    DL_TRY(dl_lakehouse_get(factory, DL_STR("made"), in, &l, &err));
    DL_TRY(dl_lakehouse_query_options(factory, &l, in, &options, &err));
    DL_TRY(dl_lakehouse_list(factory, in, &all, &count, &err));
    DL_TRY(dl_lakehouse_implied(factory, in, &l, &err));
    return dl_shortcut_remove(factory, DL_STR("made"), DL_SHORTCUT_TABLES, DL_STR("t"), &err);
}

TAP_CASE(each_allocation_fails_once)
{
    begin();
    make_folder("tables/dicom/instance/_delta_log");
    TAP_OK(everything(arena), err);
    bool done = false;
    for (int64_t n = 0; !done && n < 5000 && !tap_case_failed; n++) {
        dl_arena *in = dl_arena_create((size_t)16 << 20);
        err = (dl_error){0};
        dl_mem_fail_after(n);
        dl_status status = everything(in);
        done = dl_mem_asked() <= n;
        dl_mem_fail_after(-1);
        dl_arena_destroy(in);
        if (done ? status != DL_OK : status != DL_E_NOMEM && status != DL_E_LIMIT) {
            TAP_FAIL("allocation %lld: %s: %s", (long long)n, dl_status_name(status), err.message);
        }
        dl_lakehouse l = {0}; /* what is there stays whole */
        if (dl_lakehouse_get(factory, DL_STR("made"), arena, &l, &err) != DL_OK) {
            TAP_FAIL("after allocation %lld: %s", (long long)n, err.message);
        }
    }
    TAP_TRUE(done);
}

int main(void)
{
    TAP_RUN(reads_and_writes_the_same_bytes);
    TAP_RUN(absent_members);
    refuses_documents();
    TAP_RUN(names_at_their_bounds);
    TAP_RUN(shortcut_names);
    TAP_RUN(sub_paths);
    TAP_RUN(count_of_shortcuts);
    TAP_RUN(size_of_a_document);
    TAP_RUN(create_get_list_remove);
    TAP_RUN(choosing);
    TAP_RUN(the_homes_own);
    TAP_RUN(damaged_documents);
    TAP_RUN(adding_and_removing);
    TAP_RUN(what_connections_can_be);
    TAP_RUN(unknown_members_survive_changes);
    TAP_RUN(replacing_a_shortcut);
    TAP_RUN(processes_at_once_lose_nothing);
    TAP_RUN(a_change_waits_for_the_lock);
    TAP_RUN(each_allocation_fails_once);
    return done();
}
