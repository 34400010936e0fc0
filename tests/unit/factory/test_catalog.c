/* Drafts and what is published: names, references, cycles, renames, damaged files, one transaction.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "factory/catalog.h"
#include "factory/runs.h"

#include "support/folder.h"
#include "tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, TEXT_SIZE = 4096 };

static char home[PATH_SIZE];
static int home_count;
static dl_factory *factory;
static dl_arena *arena;
static dl_error err;
static int64_t now_us = 1000000;

static int64_t test_clock(void *context)
{
    return *(int64_t *)context;
}

static void open_again(void)
{
    dl_factory_close(factory);
    factory = NULL;
    dl_factory_options options = {.home = home, .clock = {test_clock, &now_us}};
    TAP_OK(dl_factory_open(&options, &factory, &err), err);
}

static char root[FOLDER_SIZE];

/** A home of its own for each case. */
static void begin(void)
{
    if (home_count++ == 0) {
        folder_make(root, "catalog");
    }
    (void)snprintf(home, sizeof home, "%s/%d", root, home_count);
    dl_arena_destroy(arena);
    arena = dl_arena_create((size_t)64 * 1024 * 1024);
    err = (dl_error){0};
    open_again();
}

static void write_file(const char *kind, const char *name, const char *text)
{
    char path[PATH_SIZE + 256];
    (void)snprintf(path, sizeof path, "%s/config/factory/%s", home, kind);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/config/factory/%s/%s.json", home, kind, name);
    TAP_OK(dl_file_replace(path, dl_str_of(text), &err), err);
}

static bool file_is_there(const char *kind, const char *name)
{
    char path[PATH_SIZE + 256];
    (void)snprintf(path, sizeof path, "%s/config/factory/%s/%s.json", home, kind, name);
    return access(path, F_OK) == 0;
}

static void remove_file(const char *kind, const char *name)
{
    char path[PATH_SIZE + 256];
    (void)snprintf(path, sizeof path, "%s/config/factory/%s/%s.json", home, kind, name);
    TAP_EQ_INT(unlink(path), 0);
}

static const char *connection(const char *name, const char *type, const char *member)
{
    static char text[TEXT_SIZE];
    (void)snprintf(text, sizeof text,
                   "{\"name\":\"%s\",\"properties\":{\"type\":\"%s\",\"typeProperties\":{%s}}}",
                   name, type, member);
    return text;
}

static const char *pipeline(const char *name, const char *dicom, const char *lake,
                            const char *parameters)
{
    static char text[TEXT_SIZE];
    (void)snprintf(text, sizeof text,
                   "{\"name\":\"%s\",\"properties\":{\"activities\":[{\"name\":\"a\",\"type\":"
                   "\"SyncDicomTables\",\"typeProperties\":{\"source\":{\"referenceName\":\"%s\","
                   "\"type\":\"LinkedServiceReference\"},\"lake\":{\"referenceName\":\"%s\","
                   "\"type\":\"LinkedServiceReference\"}}}],\"parameters\":{%s}}}",
                   name, dicom, lake, parameters);
    return text;
}

static const char *trigger_with(const char *name, const char *of, const char *state,
                                const char *parameters, const char *depends)
{
    static char text[TEXT_SIZE];
    (void)snprintf(text, sizeof text,
                   "{\"name\":\"%s\",\"properties\":{\"type\":\"TumblingWindowTrigger\","
                   "\"runtimeState\":\"%s\",\"pipeline\":{\"pipelineReference\":{"
                   "\"referenceName\":\"%s\",\"type\":\"PipelineReference\"},\"parameters\":{%s}},"
                   "\"typeProperties\":{\"frequency\":\"Hour\",\"interval\":1,\"startTime\":"
                   "\"2026-01-01T00:00:00Z\",\"dependsOn\":[%s]}}}",
                   name, state, of, parameters, depends);
    return text;
}

static const char *trigger(const char *name, const char *of)
{
    return trigger_with(name, of, "Stopped", "", "");
}

static const char *depends_on(const char *name)
{
    static char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"type\":\"TumblingWindowTriggerDependencyReference\",\"referenceTrigger\":{"
                   "\"referenceName\":\"%s\",\"type\":\"TriggerReference\"}}",
                   name);
    return text;
}

static dl_status save(dl_factory_kind kind, const char *json)
{
    return dl_catalog_save(factory, kind, dl_str_of(json), false, &err);
}

/** Connections D and L, pipeline P, trigger T. */
static void save_all(void)
{
    TAP_OK(save(DL_FACTORY_CONNECTION, connection("D", "RestService", "\"url\":\"home:\"")), err);
    TAP_OK(save(DL_FACTORY_CONNECTION, connection("L", "FileServer", "\"host\":\"/lake\"")), err);
    TAP_OK(save(DL_FACTORY_PIPELINE, pipeline("P", "D", "L", "")), err);
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger("T", "P")), err);
}

static size_t publish(const char *only)
{
    size_t count = 99;
    TAP_OK(dl_catalog_publish(factory, dl_str_of(only), &count, &err), err);
    return count;
}

static void refuse_publish(dl_status want, const char *message)
{
    size_t count = 99;
    int64_t before = 0, after = 0;
    err = (dl_error){0};
    TAP_OK(dl_catalog_revision(factory, &before, &err), err);
    TAP_STATUS(dl_catalog_publish(factory, DL_STR(""), &count, &err), want);
    if (strstr(err.message, message) == NULL) {
        TAP_FAIL("'%s' lacks '%s'", err.message, message);
    }
    TAP_EQ_INT(count, 99);
    TAP_OK(dl_catalog_revision(factory, &after, &err), err);
    TAP_EQ_INT(before, after);
}

static dl_factory_entry entry_of(dl_factory_kind kind, const char *name)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    TAP_OK(dl_catalog_list(factory, kind, arena, &entries, &count, &err), err);
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq(entries[i].name, dl_str_of(name))) {
            return entries[i];
        }
    }
    TAP_FAIL("no '%s' in the list", name);
    return (dl_factory_entry){.name = DL_STR_NONE};
}

static int started_in_database(const char *name)
{
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(factory, DL_FACTORY_READ, &db, &err), err);
    dl_db_stmt *q = NULL;
    int started = -1;
    TAP_OK(dl_db_query(db, "SELECT started FROM published WHERE kind = 2 AND name = ?1", &q, &err),
           err);
    dl_db_bind_str(q, 1, dl_str_of(name));
    if (dl_db_step(q)) {
        started = (int)dl_db_int(q, 0);
    }
    TAP_OK(dl_db_finish(q, &err), err);
    dl_factory_unlock(factory);
    return started;
}

static void execute(const char *sql)
{
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(factory, DL_FACTORY_WRITE, &db, &err), err);
    TAP_OK(dl_db_exec(db, sql, &err), err);
    dl_factory_unlock(factory);
}

static int64_t number(const char *sql)
{
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(factory, DL_FACTORY_READ, &db, &err), err);
    dl_db_stmt *q = NULL;
    int64_t value = -1;
    TAP_OK(dl_db_query_text(db, dl_str_of(sql), &q, &err), err);
    if (dl_db_step(q)) {
        value = dl_db_int(q, 0);
    }
    TAP_OK(dl_db_finish(q, &err), err);
    dl_factory_unlock(factory);
    return value;
}

static bool holds(dl_str text, const char *needle)
{
    return dl_str_find_str(text, dl_str_of(needle)) >= 0;
}

/* ---- the home ---- */

TAP_CASE(a_newer_database_is_refused)
{
    begin();
    execute("PRAGMA user_version = 9999");
    dl_factory_close(factory);
    factory = NULL;
    open_again();
    dl_db *db = NULL;
    TAP_STATUS(dl_factory_lock(factory, DL_FACTORY_READ, &db, &err), DL_E_UNSUPPORTED);
    TAP_TRUE(db == NULL && strstr(err.message, "factory.db") != NULL);
    TAP_TRUE(strstr(err.message, home) != NULL && strstr(err.hint, "newer") != NULL);
    dl_error fault = {0}; /* what clients may read: without the folder */
    TAP_STATUS(dl_factory_fault(factory, &fault), DL_E_UNSUPPORTED);
    TAP_TRUE(strstr(fault.message, "factory.db") != NULL && strstr(fault.message, home) == NULL);
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    TAP_STATUS(dl_catalog_list(factory, DL_FACTORY_PIPELINE, arena, &entries, &count, &err),
               DL_E_UNSUPPORTED);
    TAP_OK(dl_catalog_list(factory, DL_FACTORY_CONNECTION, arena, &entries, &count, &err), err);
}

static void database_path(char out[PATH_SIZE + 64], const char *suffix)
{
    (void)snprintf(out, PATH_SIZE + 64, "%s/state/factory.db%s", home, suffix);
}

TAP_CASE(reading_makes_nothing)
{
    begin();
    dl_db *db = NULL;
    dl_factory_entry *entries = NULL;
    size_t count = 1;
    TAP_OK(dl_catalog_list(factory, DL_FACTORY_PIPELINE, arena, &entries, &count, &err), err);
    TAP_EQ_INT(count, 0);
    TAP_TRUE(access(home, F_OK) != 0);
    dl_factory *reader = factory; /* what another one writes meanwhile is seen */
    factory = NULL;
    open_again();
    save_all();
    (void)publish("");
    TAP_OK(dl_catalog_list(reader, DL_FACTORY_PIPELINE, arena, &entries, &count, &err), err);
    TAP_TRUE(count > 0 && entries[0].state == DL_FACTORY_PUBLISHED);
    TAP_OK(dl_factory_lock(reader, DL_FACTORY_WRITE, &db, &err), err);
    dl_factory_unlock(reader);
    dl_factory_close(reader);
}

TAP_CASE(damage_stops_writing_until_the_file_is_another_one)
{
    char path[PATH_SIZE + 64];
    begin();
    save_all();
    (void)publish("");
    dl_factory_close(factory);
    factory = NULL;
    database_path(path, "");
    TAP_OK(
        dl_file_replace(path, DL_STR("no database at all, and long enough to be looked at"), &err),
        err);
    open_again();
    dl_db *db = NULL;
    for (int i = 0; i < 2; i++) {
        TAP_STATUS(dl_factory_lock(factory, DL_FACTORY_WRITE, &db, &err), DL_E_CORRUPT);
        TAP_TRUE(strstr(err.message, "damaged") != NULL && strstr(err.hint, "aside") != NULL);
        TAP_STATUS(dl_factory_fault(factory, NULL), DL_E_CORRUPT);
    }
    TAP_EQ_INT(unlink(path), 0);
    TAP_OK(dl_factory_lock(factory, DL_FACTORY_WRITE, &db, &err), err);
    dl_factory_unlock(factory);
    TAP_OK(dl_factory_fault(factory, NULL), err);
}

/** All but the first page is something else. */
static void spoil_pages(const char *path)
{
    static const char noise[4096] = {[0] = 0x55};
    struct stat facts;
    DL_AUTO_FD fd = -1;
    TAP_OK(dl_file_open(path, O_RDWR, 0, &fd, &err), err);
    TAP_EQ_INT(fstat(fd, &facts), 0);
    for (off_t at = 4096; at < facts.st_size; at += 4096) {
        TAP_EQ_INT(pwrite(fd, noise, sizeof noise, at), sizeof noise);
    }
}

TAP_CASE(damage_that_is_met_later_stays_known)
{
    char path[PATH_SIZE + 64];
    begin();
    save_all();
    (void)publish("");
    dl_factory_close(factory);
    factory = NULL;
    open_again();
    dl_db *db = NULL;
    int64_t revision = 0;
    TAP_OK(dl_factory_lock(factory, DL_FACTORY_WRITE, &db, &err), err);
    dl_factory_unlock(factory);
    database_path(path, "");
    spoil_pages(path);
    TAP_OK(dl_factory_fault(factory, NULL), err);
    TAP_STATUS(dl_catalog_revision(factory, &revision, &err), DL_E_CORRUPT);
    TAP_STATUS(dl_factory_fault(factory, NULL), DL_E_CORRUPT);
    TAP_STATUS(dl_factory_lock(factory, DL_FACTORY_READ, &db, &err), DL_E_CORRUPT);
    TAP_TRUE(strstr(err.message, "factory.db") != NULL);
}

TAP_CASE(a_home_without_a_path_is_refused)
{
    dl_factory *other = NULL;
    dl_factory_options options = {.home = "", .clock = {test_clock, &now_us}};
    TAP_STATUS(dl_factory_open(&options, &other, &err), DL_E_INVALID);
    options.home = "/proc/nothing/here";
    dl_db *db = NULL;
    TAP_OK(dl_factory_open(&options, &other, &err), err);
    TAP_TRUE(dl_factory_lock(other, DL_FACTORY_WRITE, &db, &err) != DL_OK && db == NULL);
    dl_factory_close(other);
}

/* ---- saving ---- */

TAP_CASE(names_are_unique_without_case)
{
    begin();
    save_all();
    TAP_STATUS(save(DL_FACTORY_PIPELINE, pipeline("p", "D", "L", "")), DL_E_EXISTS);
    TAP_TRUE(strstr(err.message, "'P'") != NULL);
    TAP_STATUS(save(DL_FACTORY_PIPELINE, pipeline("P", "D", "L", "")), DL_E_EXISTS);
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_PIPELINE, dl_str_of(pipeline("P", "D", "L", "")),
                           true, &err),
           err);
    TAP_STATUS(dl_catalog_save(factory, DL_FACTORY_PIPELINE, dl_str_of(pipeline("p", "D", "L", "")),
                               true, &err),
               DL_E_EXISTS);
    /* Kinds have names of their own. */
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger("P", "P")), err);
}

TAP_CASE(a_wrong_document_is_not_saved)
{
    begin();
    TAP_STATUS(save(DL_FACTORY_TRIGGER, "{\"name\":\"x\"}"), DL_E_INVALID);
    TAP_STATUS(save(DL_FACTORY_TRIGGER, trigger("a/b", "P")), DL_E_INVALID);
    TAP_STATUS(
        save(DL_FACTORY_CONNECTION,
             connection("x", "RestService", "\"url\":\"https://x\",\"password\":\"hunter2\"")),
        DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "hunter2") == NULL);
    TAP_TRUE(!file_is_there("trigger", "x") && !file_is_there("linkedService", "x"));
}

TAP_CASE(what_is_not_understood_stays_in_the_draft)
{
    begin();
    TAP_OK(save(DL_FACTORY_CONNECTION,
                connection("c", "FileServer", "\"host\":\"/x\",\"userId\":\"me\"")),
           err);
    dl_str json = DL_STR_NONE;
    TAP_OK(dl_catalog_draft(factory, DL_FACTORY_CONNECTION, DL_STR("C"), arena, &json, &err), err);
    TAP_TRUE(holds(json, "\"userId\": \"me\""));
}

/* ---- draft and published ---- */

TAP_CASE(states)
{
    begin();
    save_all();
    dl_str json = DL_STR_NONE;
    TAP_EQ_INT(entry_of(DL_FACTORY_CONNECTION, "D").state, DL_FACTORY_PUBLISHED);
    TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "P").state, DL_FACTORY_DRAFT);
    TAP_STATUS(dl_catalog_published(factory, DL_FACTORY_PIPELINE, DL_STR("P"), arena, &json, &err),
               DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.hint, "publish") != NULL && json.ptr == NULL);
    TAP_EQ_INT(publish(""), 2);
    TAP_EQ_INT(publish(""), 0);
    TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "P").state, DL_FACTORY_PUBLISHED);
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_PIPELINE,
                           dl_str_of(pipeline("P", "D", "L",
                                              "\"BatchSize\":{\"type\":\"int\",\"defaultValue\":"
                                              "7}")),
                           true, &err),
           err);
    TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "P").state, DL_FACTORY_CHANGED);
    TAP_OK(dl_catalog_published(factory, DL_FACTORY_PIPELINE, DL_STR("p"), arena, &json, &err),
           err);
    TAP_TRUE(!holds(json, "BatchSize")); /* edits do nothing until publish */
    TAP_EQ_INT(publish(""), 1);
    TAP_OK(dl_catalog_published(factory, DL_FACTORY_PIPELINE, DL_STR("P"), arena, &json, &err),
           err);
    TAP_TRUE(holds(json, "BatchSize"));
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_TRIGGER, DL_STR("t"), &err), err);
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "T").state, DL_FACTORY_REMOVED);
    TAP_STATUS(dl_catalog_remove(factory, DL_FACTORY_TRIGGER, DL_STR("T"), &err), DL_E_NOT_FOUND);
    TAP_OK(dl_catalog_published(factory, DL_FACTORY_TRIGGER, DL_STR("T"), arena, &json, &err), err);
    TAP_EQ_INT(publish(""), 1);
    TAP_STATUS(dl_catalog_published(factory, DL_FACTORY_TRIGGER, DL_STR("T"), arena, &json, &err),
               DL_E_NOT_FOUND);
}

TAP_CASE(what_is_published_survives_a_restart)
{
    begin();
    save_all();
    TAP_EQ_INT(publish(""), 2);
    open_again();
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "T").state, DL_FACTORY_PUBLISHED);
}

TAP_CASE(one_pipeline_with_its_triggers)
{
    begin();
    save_all();
    TAP_OK(save(DL_FACTORY_PIPELINE, pipeline("Q", "D", "L", "")), err);
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger("U", "Q")), err);
    TAP_EQ_INT(publish("q"), 2);
    TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "P").state, DL_FACTORY_DRAFT);
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "U").state, DL_FACTORY_PUBLISHED);
    /* A damaged draft of another pipeline is not in its way. */
    write_file("pipeline", "broken", "{");
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_TRIGGER, DL_STR("U"), &err), err);
    TAP_EQ_INT(publish("Q"), 1);
    size_t count = 0;
    TAP_STATUS(dl_catalog_publish(factory, DL_STR("R"), &count, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.hint, "P") != NULL && strstr(err.hint, "Q") != NULL);
}

TAP_CASE(the_revision_grows_with_what_is_published)
{
    begin();
    int64_t before = 0, after = 0;
    TAP_OK(dl_catalog_revision(factory, &before, &err), err);
    TAP_OK(save(DL_FACTORY_CONNECTION, connection("D", "RestService", "\"url\":\"home:\"")), err);
    TAP_OK(dl_catalog_revision(factory, &after, &err), err);
    TAP_EQ_INT(after, before + 1);
    TAP_OK(save(DL_FACTORY_CONNECTION, connection("L", "FileServer", "\"host\":\"/lake\"")), err);
    TAP_OK(dl_catalog_revision(factory, &before, &err), err);
    TAP_OK(save(DL_FACTORY_PIPELINE, pipeline("P", "D", "L", "")), err);
    TAP_OK(dl_catalog_revision(factory, &after, &err), err);
    TAP_EQ_INT(after, before); /* a draft is nobody's business */
    TAP_EQ_INT(publish(""), 1);
    TAP_OK(dl_catalog_revision(factory, &after, &err), err);
    TAP_EQ_INT(after, before + 1);
}

TAP_CASE(publishing_starts_as_the_document_says)
{
    begin();
    save_all();
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("S", "P", "Started", "", "")), err);
    TAP_EQ_INT(publish(""), 3);
    TAP_EQ_INT(started_in_database("T"), 0);
    TAP_EQ_INT(started_in_database("S"), 1);
    execute("UPDATE published SET started = 0 WHERE name = 'S'"); /* somebody stopped it */
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_TRIGGER,
                           dl_str_of(trigger_with("S", "P", "Started", "\"BatchSize\":5", "")),
                           true, &err),
           err);
    TAP_EQ_INT(publish(""), 1);
    TAP_EQ_INT(started_in_database("S"), 0); /* an edit of something else leaves it so */
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_TRIGGER,
                           dl_str_of(trigger_with("T", "P", "Started", "", "")), true, &err),
           err);
    TAP_EQ_INT(publish(""), 1);
    TAP_EQ_INT(started_in_database("T"), 1);
}

/* ---- what publishing refuses ---- */

TAP_CASE(references_that_lead_nowhere)
{
    begin();
    TAP_OK(save(DL_FACTORY_PIPELINE, pipeline("P", "D", "L", "")), err);
    refuse_publish(DL_E_INVALID, "pipeline 'P': there is no connection 'D'");
    TAP_OK(save(DL_FACTORY_CONNECTION, connection("D", "RestService", "\"url\":\"home:\"")), err);
    refuse_publish(DL_E_INVALID, "'L'");
    TAP_OK(save(DL_FACTORY_CONNECTION, connection("L", "RestService", "\"url\":\"home:\"")), err);
    refuse_publish(DL_E_INVALID, "another kind of connection");
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_CONNECTION,
                           dl_str_of(connection("L", "FileServer", "\"host\":\"/l\"")), true, &err),
           err);
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger("T", "nobody")), err);
    refuse_publish(DL_E_INVALID, "'nobody'");
    remove_file("trigger", "T");
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("T", "P", "Started", "", depends_on("X"))), err);
    refuse_publish(DL_E_INVALID, "'X'");
    TAP_OK(
        save(DL_FACTORY_TRIGGER,
             "{\"name\":\"X\",\"properties\":{\"type\":\"ManualTrigger\",\"pipeline\":{"
             "\"pipelineReference\":{\"referenceName\":\"P\",\"type\":\"PipelineReference\"}}}}"),
        err);
    refuse_publish(DL_E_INVALID, "tumbling");
    TAP_EQ_INT(number("SELECT count(*) FROM published"), 0);
}

TAP_CASE(cycles)
{
    begin();
    save_all();
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("A", "P", "Started", "", depends_on("B"))), err);
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("B", "P", "Started", "", depends_on("C"))), err);
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("C", "P", "Started", "", depends_on("a"))), err);
    refuse_publish(DL_E_INVALID, "A -> B -> C -> A");
    TAP_OK(dl_catalog_save(factory, DL_FACTORY_TRIGGER,
                           dl_str_of(trigger_with("C", "P", "Started", "", depends_on("T"))), true,
                           &err),
           err);
    TAP_EQ_INT(publish(""), 5);
    /* With itself at an earlier window it is none. */
    TAP_OK(dl_catalog_save(
               factory, DL_FACTORY_TRIGGER,
               dl_str_of(trigger_with("T", "P", "Stopped", "",
                                      "{\"type\":\"SelfDependencyTumblingWindowTriggerReference\","
                                      "\"offset\":\"-01:00:00\"}")),
               true, &err),
           err);
    TAP_EQ_INT(publish(""), 1);
}

TAP_CASE(values_that_do_not_fit_together)
{
    begin();
    save_all();
    TAP_OK(dl_catalog_save(
               factory, DL_FACTORY_TRIGGER,
               dl_str_of(trigger_with("T", "P", "Started", "\"SeriesTablePath\":\"instance\"", "")),
               true, &err),
           err);
    refuse_publish(DL_E_INVALID, "trigger 'T'");
}

TAP_CASE(nothing_of_it_when_one_is_wrong)
{
    begin();
    save_all();
    TAP_EQ_INT(publish(""), 2);
    TAP_OK(save(DL_FACTORY_PIPELINE, pipeline("Q", "D", "L", "")), err);
    write_file("trigger", "bad", "{\"name\":\"bad\"");
    refuse_publish(DL_E_INVALID, "trigger/bad.json");
    TAP_EQ_INT(number("SELECT count(*) FROM published"), 2);
}

/* ---- files of others' editors ---- */

TAP_CASE(an_edited_draft_is_read_again)
{
    begin();
    save_all();
    TAP_EQ_INT(publish(""), 2);
    write_file("trigger", "T", trigger_with("T", "P", "Started", "", ""));
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "T").state, DL_FACTORY_CHANGED);
    TAP_EQ_INT(publish(""), 1);
    TAP_EQ_INT(started_in_database("T"), 1);
    remove_file("trigger", "T");
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "T").state, DL_FACTORY_REMOVED);
}

static const struct {
    const char *name, *text, *message;
} damages[] = {
    {"cut off", "{\"name\":\"T\",\"prop", "byte"},
    {"empty", "", ""},
    {"another name",
     "{\"name\":\"Z\",\"properties\":{\"type\":\"ManualTrigger\",\"pipeline\":{"
     "\"pipelineReference\":{\"referenceName\":\"P\",\"type\":\"PipelineReference\""
     "}}}}",
     "'Z' is not that of the file"},
    {"a secret",
     "{\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\",\"password\":"
     "\"hunter2\",\"pipeline\":{\"pipelineReference\":{\"referenceName\":\"P\","
     "\"type\":\"PipelineReference\"}}}}",
     "secret"},
};

static void each_damage(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(damages); i++) {
        TAP_ROW_BEGIN();
        begin();
        save_all();
        write_file("trigger", "T", damages[i].text);
        dl_str json = DL_STR_NONE;
        TAP_STATUS(dl_catalog_draft(factory, DL_FACTORY_TRIGGER, DL_STR("T"), arena, &json, &err),
                   DL_E_INVALID);
        TAP_TRUE(json.ptr == NULL && strstr(err.message, damages[i].message) != NULL);
        TAP_TRUE(strstr(err.message, "trigger/T.json") != NULL);
        TAP_TRUE(strstr(err.message, "hunter2") == NULL);
        refuse_publish(DL_E_INVALID, "trigger/T.json");
        dl_factory_entry entry = entry_of(DL_FACTORY_TRIGGER, "T"); /* listed, not hidden */
        TAP_TRUE(!holds(entry.json, "hunter2"));
        TAP_TRUE(entry.fault.ptr != NULL && holds(entry.fault, "trigger/T.json"));
        TAP_TRUE(entry_of(DL_FACTORY_PIPELINE, "P").fault.ptr == NULL);
        TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "P").state, DL_FACTORY_DRAFT);
        TAP_ROW_END(damages[i].name);
    }
}

TAP_CASE(files_of_editors_are_no_documents)
{
    begin();
    save_all();
    write_file("trigger", ".T.swp", "x");
    write_file("trigger", "T.json~", "x"); /* T.json~.json: its name is refused, not hidden */
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    TAP_OK(dl_catalog_list(factory, DL_FACTORY_TRIGGER, arena, &entries, &count, &err), err);
    TAP_EQ_INT(count, 2);
    refuse_publish(DL_E_INVALID, "name");
}

TAP_CASE(a_draft_past_the_size_is_refused_not_read)
{
    begin();
    save_all();
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)2 * DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    while (text.len <= DL_FACTORY_DOCUMENT_LIMIT_BYTES) {
        TAP_OK(dl_buf_append_char(&text, ' ', &err), err);
    }
    TAP_OK(dl_buf_terminate(&text, &err), err);
    write_file("trigger", "T", text.ptr);
    refuse_publish(DL_E_INVALID, "trigger/T.json");
}

TAP_CASE(two_files_of_one_name)
{
    begin();
    save_all();
    write_file("pipeline", "p", pipeline("p", "D", "L", ""));
    refuse_publish(DL_E_INVALID, "case");
}

/* ---- remove ---- */

TAP_CASE(what_is_referred_to_stays)
{
    begin();
    save_all();
    TAP_STATUS(dl_catalog_remove(factory, DL_FACTORY_CONNECTION, DL_STR("d"), &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "pipeline P") != NULL && file_is_there("linkedService", "D"));
    TAP_STATUS(dl_catalog_remove(factory, DL_FACTORY_PIPELINE, DL_STR("P"), &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "trigger T") != NULL);
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("U", "P", "Started", "", depends_on("T"))), err);
    TAP_STATUS(dl_catalog_remove(factory, DL_FACTORY_TRIGGER, DL_STR("T"), &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "trigger U") != NULL);
    TAP_EQ_INT(publish(""), 3);
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_TRIGGER, DL_STR("U"), &err), err);
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_TRIGGER, DL_STR("T"), &err), err);
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_PIPELINE, DL_STR("P"), &err), err);
    /* Published until it is published that it is gone: the connection is still in use. */
    TAP_STATUS(dl_catalog_remove(factory, DL_FACTORY_CONNECTION, DL_STR("D"), &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "P (published)") != NULL);
    TAP_EQ_INT(publish(""), 3);
    TAP_OK(dl_catalog_remove(factory, DL_FACTORY_CONNECTION, DL_STR("D"), &err), err);
    TAP_STATUS(dl_catalog_remove(factory, DL_FACTORY_CONNECTION, DL_STR("D"), &err),
               DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.hint, "L") != NULL);
}

/* ---- rename ---- */

TAP_CASE(references_follow_a_new_name)
{
    begin();
    save_all();
    TAP_OK(save(DL_FACTORY_TRIGGER, trigger_with("U", "P", "Started", "", depends_on("T"))), err);
    TAP_EQ_INT(publish(""), 3);
    dl_str json = DL_STR_NONE;
    TAP_OK(dl_catalog_rename(factory, DL_FACTORY_CONNECTION, DL_STR("d"), DL_STR("clinic"), &err),
           err);
    TAP_OK(dl_catalog_rename(factory, DL_FACTORY_PIPELINE, DL_STR("P"), DL_STR("copy"), &err), err);
    TAP_OK(dl_catalog_rename(factory, DL_FACTORY_TRIGGER, DL_STR("T"), DL_STR("hourly"), &err),
           err);
    TAP_TRUE(!file_is_there("linkedService", "D") && file_is_there("linkedService", "clinic"));
    TAP_TRUE(!file_is_there("pipeline", "P") && !file_is_there("trigger", "T"));
    TAP_OK(dl_catalog_published(factory, DL_FACTORY_PIPELINE, DL_STR("copy"), arena, &json, &err),
           err);
    TAP_TRUE(holds(json, "\"name\": \"copy\"") && holds(json, "\"referenceName\": \"clinic\""));
    TAP_OK(dl_catalog_published(factory, DL_FACTORY_TRIGGER, DL_STR("U"), arena, &json, &err), err);
    TAP_TRUE(holds(json, "\"referenceName\": \"copy\"") &&
             holds(json, "\"referenceName\": \"hourly\""));
    TAP_OK(dl_catalog_published(factory, DL_FACTORY_TRIGGER, DL_STR("hourly"), arena, &json, &err),
           err);
    TAP_EQ_INT(started_in_database("U"), 1);
    /* A new name is no change of what is published. */
    TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "copy").state, DL_FACTORY_PUBLISHED);
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "hourly").state, DL_FACTORY_PUBLISHED);
    TAP_EQ_INT(publish(""), 0);
}

TAP_CASE(history_follows_a_new_name)
{
    begin();
    save_all();
    TAP_EQ_INT(publish(""), 2);
    dl_run run = {.pipeline = DL_STR("P"), .trigger = DL_STR("T")}, back;
    TAP_OK(dl_runs_queue(factory, &run, &err), err);
    execute("INSERT INTO run_window(trigger, start_us, end_us, state) VALUES('T', 1, 2, 0)");
    TAP_OK(dl_catalog_rename(factory, DL_FACTORY_PIPELINE, DL_STR("p"), DL_STR("copy"), &err), err);
    TAP_OK(dl_catalog_rename(factory, DL_FACTORY_TRIGGER, DL_STR("T"), DL_STR("hourly"), &err),
           err);
    TAP_OK(dl_runs_get(factory, dl_str_of(run.id), arena, &back, &err), err);
    TAP_EQ_STR(back.pipeline, "copy");
    TAP_EQ_STR(back.trigger, "hourly");
    TAP_EQ_INT(number("SELECT count(*) FROM run_window WHERE trigger = 'hourly'"), 1);
}

TAP_CASE(a_new_name_in_another_case)
{
    begin();
    save_all();
    TAP_EQ_INT(publish(""), 2);
    TAP_OK(dl_catalog_rename(factory, DL_FACTORY_PIPELINE, DL_STR("P"), DL_STR("p"), &err), err);
    TAP_TRUE(file_is_there("pipeline", "p") && !file_is_there("pipeline", "P"));
    TAP_EQ_INT(entry_of(DL_FACTORY_PIPELINE, "p").state, DL_FACTORY_PUBLISHED);
    TAP_EQ_INT(publish(""), 0);
}

TAP_CASE(names_that_a_rename_refuses)
{
    begin();
    save_all();
    TAP_OK(save(DL_FACTORY_PIPELINE, pipeline("Q", "D", "L", "")), err);
    TAP_STATUS(dl_catalog_rename(factory, DL_FACTORY_PIPELINE, DL_STR("Q"), DL_STR("p"), &err),
               DL_E_EXISTS);
    TAP_STATUS(dl_catalog_rename(factory, DL_FACTORY_PIPELINE, DL_STR("Q"), DL_STR("a b"), &err),
               DL_E_INVALID);
    TAP_STATUS(dl_catalog_rename(factory, DL_FACTORY_PIPELINE, DL_STR("R"), DL_STR("S"), &err),
               DL_E_NOT_FOUND);
    TAP_TRUE(file_is_there("pipeline", "Q"));
}

/* ---- two processes, no memory ---- */

TAP_CASE(two_processes_on_one_home)
{
    begin();
    save_all();
    dl_factory *other = NULL;
    dl_factory_options options = {.home = home, .clock = {test_clock, &now_us}};
    TAP_OK(dl_factory_open(&options, &other, &err), err);
    int64_t before = 0, after = 0;
    TAP_OK(dl_catalog_revision(factory, &before, &err), err);
    size_t count = 0;
    TAP_OK(dl_catalog_publish(other, DL_STR(""), &count, &err), err);
    TAP_EQ_INT(count, 2);
    TAP_OK(dl_catalog_revision(factory, &after, &err), err);
    TAP_TRUE(after > before);
    TAP_EQ_INT(entry_of(DL_FACTORY_TRIGGER, "T").state, DL_FACTORY_PUBLISHED);
    dl_factory_close(other);
}

TAP_CASE(each_allocation_that_fails)
{
    begin();
    save_all();
    bool done = false;
    for (int64_t n = 0; !done && n < 2000; n++) {
        size_t count = 99;
        dl_mem_fail_after(n);
        dl_status status = dl_catalog_publish(factory, DL_STR(""), &count, &err);
        done = dl_mem_asked() <= n;
        dl_mem_fail_after(-1);
        if (!done) {
            TAP_TRUE(status != DL_OK && count == 99);
            TAP_EQ_INT(number("SELECT count(*) FROM published"), 0);
        } else {
            TAP_OK(status, err);
        }
    }
    TAP_TRUE(done);
    TAP_EQ_INT(number("SELECT count(*) FROM published"), 2);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(a_newer_database_is_refused);
    TAP_RUN(reading_makes_nothing);
    TAP_RUN(damage_stops_writing_until_the_file_is_another_one);
    TAP_RUN(damage_that_is_met_later_stays_known);
    TAP_RUN(a_home_without_a_path_is_refused);
    TAP_RUN(names_are_unique_without_case);
    TAP_RUN(a_wrong_document_is_not_saved);
    TAP_RUN(what_is_not_understood_stays_in_the_draft);
    TAP_RUN(states);
    TAP_RUN(what_is_published_survives_a_restart);
    TAP_RUN(one_pipeline_with_its_triggers);
    TAP_RUN(the_revision_grows_with_what_is_published);
    TAP_RUN(publishing_starts_as_the_document_says);
    TAP_RUN(references_that_lead_nowhere);
    TAP_RUN(cycles);
    TAP_RUN(values_that_do_not_fit_together);
    TAP_RUN(nothing_of_it_when_one_is_wrong);
    TAP_RUN(an_edited_draft_is_read_again);
    each_damage();
    TAP_RUN(files_of_editors_are_no_documents);
    TAP_RUN(a_draft_past_the_size_is_refused_not_read);
    TAP_RUN(two_files_of_one_name);
    TAP_RUN(what_is_referred_to_stays);
    TAP_RUN(references_follow_a_new_name);
    TAP_RUN(history_follows_a_new_name);
    TAP_RUN(a_new_name_in_another_case);
    TAP_RUN(names_that_a_rename_refuses);
    TAP_RUN(two_processes_on_one_home);
    TAP_RUN(each_allocation_that_fails);
    dl_factory_close(factory);
    dl_arena_destroy(arena);
    folder_remove(root);
    return tap_done();
}
