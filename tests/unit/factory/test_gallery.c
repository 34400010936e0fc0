/* The gallery: its template, what is made of it, files in and out. tests/conformance/factory has
 * the public template's own shapes and hostile files. */
#include "base/file.h"
#include "base/mem.h"
#include "factory/gallery.h"

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_LIMIT_BYTES = 4 * 1024 * 1024 };

static dl_error err;
static dl_arena *arena;
static char path[] = "/tmp/dl-gallery-XXXXXX";
static dl_gallery_import in; /* too big for a stack */

static void begin(void)
{
    dl_arena_destroy(arena);
    arena = dl_arena_create((size_t)16 * 1024 * 1024);
    err = (dl_error){0};
}

static void write_file(dl_str text)
{
    TAP_OK(dl_file_replace(path, text, &err), err);
}

static dl_status read_file(void)
{
    return dl_gallery_read(path, DL_STR(""), DL_STR(""), DL_STR(""), arena, &in, &err);
}

TAP_CASE(the_template_is_found_by_id_and_title)
{
    size_t count = 0;
    const dl_gallery_template *all = dl_gallery_templates(&count);
    TAP_EQ_INT(count, 1);
    TAP_TRUE(dl_gallery_find(DL_STR("COPY-dicom-metadata-changes")) == all);
    TAP_TRUE(dl_gallery_find(DL_STR("copy DICOM Metadata Changes to ADLS Gen2 in Delta Format")) ==
             all);
    TAP_TRUE(dl_gallery_find(DL_STR("copy")) == NULL && dl_gallery_find(DL_STR("")) == NULL);
}

TAP_CASE(what_is_made_of_it_has_the_engines_defaults)
{
    begin();
    size_t count = 0;
    dl_factory_pipeline p;
    dl_pipeline_parameters out, want = dl_pipeline_parameters_default();
    TAP_OK(dl_gallery_make(dl_gallery_templates(&count), DL_STR("copy"), DL_STR("d"), DL_STR("l"),
                           arena, &p, &err),
           err);
    TAP_EQ_INT(p.parameter_count, 9);
    TAP_TRUE(p.profile == DL_PIPELINE_TEMPLATE_R4);
    for (size_t i = 0; i < p.parameter_count; i++) {
        TAP_EQ_STR(p.parameters[i].name, dl_pipeline_parameter_name(i));
    }
    TAP_TRUE(dl_pipeline_parameter_name(p.parameter_count) == NULL);
    TAP_OK(dl_factory_parameters(p.parameters, p.parameter_count, &out, &err), err);
    TAP_EQ_INT(out.batch_size, want.batch_size);
    TAP_EQ_INT(out.retention_hours, want.retention_hours);
    TAP_EQ_INT(out.start_us, want.start_us);
    TAP_EQ_INT(out.end_us, want.end_us);
    TAP_TRUE(strcmp(out.container, want.container) == 0 && strcmp(out.path[2], want.path[2]) == 0);
    p.name = DL_STR("untouched");
    TAP_STATUS(dl_gallery_make(dl_gallery_templates(&count), DL_STR("a b"), DL_STR("d"),
                               DL_STR("l"), arena, &p, &err),
               DL_E_INVALID);
    TAP_STATUS(dl_gallery_make(dl_gallery_templates(&count), DL_STR("a"), DL_STR(""), DL_STR("l"),
                               arena, &p, &err),
               DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "dicom") != NULL);
    TAP_EQ_STR(p.name, "untouched");
}

/** Pipeline, two triggers and two connections with everything that a document can say. */
static void write_all(dl_buf *out)
{
    size_t count = 0;
    dl_factory_pipeline p;
    TAP_OK(dl_gallery_make(dl_gallery_templates(&count), DL_STR("copy"), DL_STR("d"), DL_STR("l"),
                           arena, &p, &err),
           err);
    p.columns[p.column_count++] = DL_STR("station=StationName:string");
    p.timeout_s = 60;
    p.retry_count = 2;
    p.compat = p.require_file_path = true;
    const dl_factory_connection connections[] = {
        {.name = DL_STR("d"),
         .type = DL_FACTORY_DICOM,
         .url = DL_STR("https://x"),
         .auth = DL_FACTORY_AUTH_TOKEN,
         .resource = DL_STR("r"),
         .secret_kind = DL_FACTORY_SECRET_ENVIRONMENT,
         .secret = DL_STR("TOKEN")},
        {.name = DL_STR("l"), .type = DL_FACTORY_LAKE, .url = DL_STR("[lake]")}};
    const dl_factory_trigger triggers[] = {
        {.name = DL_STR("hourly"),
         .pipeline = DL_STR("copy"),
         .type = DL_FACTORY_TUMBLING,
         .started = true,
         .frequency = DL_CALENDAR_HOUR,
         .interval = 1,
         .end_us = INT64_MAX,
         .delay_us = (int64_t)900 * 1000000,
         .max_concurrency = 1,
         .parameters = {{DL_STR("EndTime"), DL_STR("string"),
                         DL_STR("@trigger().outputs.windowEndTime")}},
         .parameter_count = 1},
        {.name = DL_STR("soon"),
         .pipeline = DL_STR("copy"),
         .type = DL_FACTORY_ON_CHANGE,
         .quiet_us = (int64_t)5 * 1000000,
         .max_concurrency = 1}};
    TAP_OK(dl_gallery_write(&p, triggers, DL_COUNT_OF(triggers), connections,
                            DL_COUNT_OF(connections), out, &err),
           err);
}

TAP_CASE(an_export_is_taken_back_whole)
{
    begin();
    DL_AUTO_BUF first = {0}, second = {0};
    dl_buf_init(&first, OUT_LIMIT_BYTES);
    dl_buf_init(&second, OUT_LIMIT_BYTES);
    write_all(&first);
    write_file(dl_buf_str(&first));
    TAP_OK(read_file(), err);
    TAP_EQ_INT(in.unknown.count, 0);
    TAP_EQ_INT(in.trigger_count, 2);
    TAP_EQ_INT(in.connection_count, 2);
    TAP_EQ_STR(in.connections[1].url, "[lake]");
    TAP_EQ_INT(in.pipeline.timeout_s, 60);
    TAP_TRUE(in.pipeline.compat && in.pipeline.require_file_path);
    TAP_OK(dl_gallery_write(&in.pipeline, in.triggers, in.trigger_count, in.connections,
                            in.connection_count, &second, &err),
           err);
    TAP_TRUE(dl_str_eq(dl_buf_str(&first), dl_buf_str(&second)));
}

TAP_CASE(nothing_is_written_when_it_is_refused)
{
    begin();
    write_file(DL_STR("{\"resources\":[]}"));
    memset(&in, 0x5a, sizeof in);
    static dl_gallery_import before;
    before = in;
    TAP_STATUS(read_file(), DL_E_INVALID);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c): each byte */
    TAP_TRUE(memcmp(&before, &in, sizeof in) == 0);
    TAP_TRUE(strstr(err.message, path) != NULL);
}

TAP_CASE(more_triggers_than_there_is_room_for_are_listed)
{
    begin();
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, OUT_LIMIT_BYTES);
    TAP_OK(dl_buf_printf(&text, &err, "{\"resources\":["), err);
    for (size_t i = 0; i <= DL_COUNT_OF(in.triggers); i++) {
        TAP_OK(dl_buf_printf(&text, &err,
                             "%s{\"name\":\"t%zu\",\"type\":\"x/triggers\",\"properties\":{"
                             "\"type\":\"ManualTrigger\",\"pipeline\":{\"pipelineReference\":{"
                             "\"referenceName\":\"p\",\"type\":\"PipelineReference\"}}}}",
                             i == 0 ? "" : ",", i),
               err);
    }
    TAP_OK(dl_buf_printf(&text, &err, "]}"), err);
    write_file(dl_buf_str(&text));
    TAP_OK(read_file(), err);
    TAP_EQ_INT(in.trigger_count, DL_COUNT_OF(in.triggers));
    TAP_EQ_INT(in.unknown.count, 1);
    TAP_TRUE(dl_str_find_str(in.unknown.paths[0], DL_STR("'t16'")) >= 0);
}

TAP_CASE(each_allocation_that_fails)
{
    begin();
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, OUT_LIMIT_BYTES);
    write_all(&text);
    write_file(dl_buf_str(&text));
    bool done = false;
    int64_t n = 0;
    for (; !done && n < 5000; n++) {
        dl_mem_fail_after(n);
        dl_status status = read_file();
        done = dl_mem_asked() <= n;
        dl_mem_fail_after(-1);
        TAP_TRUE(done || status != DL_OK);
        TAP_TRUE(!done || status == DL_OK);
    }
    TAP_TRUE(done && n > 5);
}

int main(void)
{
    int fd = mkstemp(path); /* NOLINT */
    if (fd < 0) {
        return 1;
    }
    (void)close(fd);
    TAP_RUN(the_template_is_found_by_id_and_title);
    TAP_RUN(what_is_made_of_it_has_the_engines_defaults);
    TAP_RUN(an_export_is_taken_back_whole);
    TAP_RUN(nothing_is_written_when_it_is_refused);
    TAP_RUN(more_triggers_than_there_is_room_for_are_listed);
    TAP_RUN(each_allocation_that_fails);
    dl_arena_destroy(arena);
    (void)unlink(path);
    return tap_done();
}
