#include "tap.h"

#include "pipeline/pipeline.h"

#include <stdlib.h>

TAP_CASE(defaults_are_the_templates)
{
    dl_error err = {0};
    dl_pipeline_parameters p = dl_pipeline_parameters_default();
    TAP_EQ_INT(p.batch_size, 200);
    TAP_EQ_INT(p.api_version, 2);
    TAP_EQ_INT(p.start_us, INT64_C(-62135596800000000));
    TAP_EQ_INT(p.end_us, INT64_C(253402300799000000));
    TAP_EQ_STR(dl_str_of(p.container), "dicom");
    TAP_EQ_STR(dl_str_of(p.path[0]), "instance");
    TAP_EQ_STR(dl_str_of(p.path[1]), "series");
    TAP_EQ_STR(dl_str_of(p.path[2]), "study");
    TAP_EQ_INT(p.retention_hours, 720);
    TAP_OK(dl_pipeline_parameters_check(&p, false, &err), err);
}

TAP_CASE(names_are_the_templates)
{
    static const char *const names[] = {"BatchSize",       "ApiVersion",     "StartTime",
                                        "EndTime",         "ContainerName",  "InstanceTablePath",
                                        "SeriesTablePath", "StudyTablePath", "RetentionHours"};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        TAP_EQ_STR(dl_str_of(dl_pipeline_parameter_name(i)), names[i]);
    }
    TAP_TRUE(dl_pipeline_parameter_name(DL_COUNT_OF(names)) == NULL);
    dl_error err = {0};
    dl_pipeline_parameters p = dl_pipeline_parameters_default();
    TAP_STATUS(dl_pipeline_parameter_set(&p, "Batch", "1", &err), DL_E_NOT_FOUND);
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        TAP_TRUE(strstr(err.hint, names[i]) != NULL);
    }
}

static const struct {
    const char *name, *value;
    bool good;
    long long want;
} cases[] = {
    {"BatchSize", "1", true, 1},
    {"batchsize", "200", true, 200},
    {"BATCHSIZE", "100000", true, 100000},
    {"BatchSize", "0", false, 0},
    {"BatchSize", "100001", false, 0},
    {"BatchSize", "-1", false, 0},
    {"BatchSize", "", false, 0},
    {"BatchSize", "1.5", false, 0},
    {"BatchSize", "99999999999999999999", false, 0},
    {"ApiVersion", "2", true, 2},
    {"ApiVersion", "99", true, 99},
    {"ApiVersion", "1", false, 0},
    {"ApiVersion", "100", false, 0},
    {"ApiVersion", "v2", false, 0},
    {"StartTime", "1970-01-01T00:00:01Z", true, 1000000},
    {"StartTime", "1970-01-01T01:00:00.5+01:00", true, 500000},
    {"StartTime", "1970-01-01T00:00:00.0000010Z", true, 1},
    {"StartTime", "1970-01-01T00:00:00.0000001Z", true, 1}, /* up: what is earlier stays out */
    {"StartTime", "1970-01-01T00:00:00.00000001Z", false, 0},
    {"StartTime", "0001-01-01T00:00:00Z", true, -62135596800000000},
    {"StartTime", "0000-12-31T00:00:00Z", false, 0},
    {"StartTime", "1970-01-01T00:00:00", false, 0},
    {"StartTime", "1970-01-01", false, 0},
    {"StartTime", "1970-02-30T00:00:00Z", false, 0},
    {"StartTime", "", false, 0},
    {"EndTime", "9999-12-31T23:59:59Z", true, 253402300799000000},
    {"EndTime", "1970-01-01T24:00:00Z", false, 0},
    {"EndTime", "now", false, 0},
    {"RetentionHours", "0", true, 0},
    {"RetentionHours", "876000", true, 876000},
    {"RetentionHours", "876001", false, 0},
    {"RetentionHours", "-1", false, 0},
    {"RetentionHours", "a", false, 0},
};

static long long number_of(const dl_pipeline_parameters *p, const char *name)
{
    switch (name[0] | 32) {
    case 'b':
        return (long long)p->batch_size;
    case 'a':
        return p->api_version;
    case 's':
        return p->start_us;
    case 'e':
        return p->end_us;
    default:
        return p->retention_hours;
    }
}

static void test_cases(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_pipeline_parameters p = dl_pipeline_parameters_default();
        long long before = number_of(&p, cases[i].name);
        TAP_STATUS(dl_pipeline_parameter_set(&p, cases[i].name, cases[i].value, &err),
                   cases[i].good ? DL_OK : DL_E_INVALID);
        TAP_EQ_INT(number_of(&p, cases[i].name), cases[i].good ? cases[i].want : before);
        TAP_TRUE((err.message[0] == 0) == cases[i].good);
        char name[100];
        (void)snprintf(name, sizeof name, "%s '%s'", cases[i].name, cases[i].value);
        TAP_ROW_END(name);
    }
}

static const struct {
    const char *value;
    bool path, container;
} places[] = {
    {"a", true, true},
    {"a-b", true, true},
    {"lake/instance", true, false},
    {"a/b/c", true, false},
    {"m\xc3\xbc", true, true},
    {"A b", true, true},
    {"", false, false},
    {"/a", false, false},
    {"a/", false, false},
    {"a//b", false, false},
    {".", false, false},
    {"..", false, false},
    {"a/../b", false, false},
    {"a/.b", false, false},
    {"_a", false, false},
    {"a/_delta_log", false, false},
    {"a\\b", false, false},
    {"a\nb", false, false},
    {"x=1", false, false},
    {"\xff", false, false},
    {"a:b", true, true},
};

static void test_places(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(places); i++) {
        TAP_ROW_BEGIN();
        static const char *const names[] = {"InstanceTablePath", "SeriesTablePath",
                                            "StudyTablePath", "ContainerName"};
        for (size_t k = 0; k < DL_COUNT_OF(names); k++) {
            dl_error err = {0};
            dl_pipeline_parameters p = dl_pipeline_parameters_default();
            dl_pipeline_parameters before = p;
            bool good = k == 3 ? places[i].container : places[i].path;
            TAP_STATUS(dl_pipeline_parameter_set(&p, names[k], places[i].value, &err),
                       good ? DL_OK : DL_E_INVALID);
            const char *now = k == 3 ? p.container : p.path[k];
            const char *then = k == 3 ? before.container : before.path[k];
            TAP_EQ_STR(dl_str_of(now), good ? places[i].value : then);
            TAP_TRUE((err.hint[0] != 0) == !good);
        }
        char name[64];
        (void)snprintf(name, sizeof name, "place %zu", i);
        TAP_ROW_END(name);
    }
}

TAP_CASE(places_are_bounded)
{
    char text[513];
    dl_error err = {0};
    dl_pipeline_parameters p = dl_pipeline_parameters_default();
    memset(text, 'a', sizeof text);
    text[512] = '\0';
    TAP_STATUS(dl_pipeline_parameter_set(&p, "StudyTablePath", text, &err), DL_E_INVALID);
    TAP_EQ_STR(dl_str_of(p.path[2]), "study");
    text[511] = '\0';
    TAP_OK(dl_pipeline_parameter_set(&p, "StudyTablePath", text, &err), err);
    TAP_EQ_STR(dl_str_of(p.path[2]), text);
    text[256] = '\0';
    TAP_STATUS(dl_pipeline_parameter_set(&p, "ContainerName", text, &err), DL_E_INVALID);
    text[255] = '\0';
    TAP_OK(dl_pipeline_parameter_set(&p, "ContainerName", text, &err), err);
}

static const struct {
    const char *name, *set[3][2];
    bool short_retention, good;
} together[] = {
    {"an end after the start",
     {{"StartTime", "2026-01-01T00:00:00Z"}, {"EndTime", "2026-01-01T00:00:00.000001Z"}},
     false,
     true},
    {"an end at the start",
     {{"StartTime", "2026-01-01T00:00:00Z"}, {"EndTime", "2026-01-01T00:00:00Z"}},
     false,
     false},
    {"an end before the start",
     {{"StartTime", "2026-01-02T00:00:00Z"}, {"EndTime", "2026-01-01T00:00:00Z"}},
     false,
     false},
    {"two tables in one folder",
     {{"InstanceTablePath", "x"}, {"StudyTablePath", "x"}},
     false,
     false},
    {"a table in another", {{"InstanceTablePath", "x"}, {"StudyTablePath", "x/y"}}, false, false},
    {"a table in another, the other way",
     {{"InstanceTablePath", "x/y"}, {"SeriesTablePath", "x"}},
     false,
     false},
    {"names that only begin alike",
     {{"InstanceTablePath", "x"}, {"StudyTablePath", "xy"}},
     false,
     true},
    {"folders side by side",
     {{"InstanceTablePath", "x/a"}, {"StudyTablePath", "x/b"}},
     false,
     true},
    {"a week", {{"RetentionHours", "168"}}, false, true},
    {"less than a week", {{"RetentionHours", "167"}}, false, false},
    {"less than a week, allowed", {{"RetentionHours", "0"}}, true, true},
};

static void test_together(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(together); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_pipeline_parameters p = dl_pipeline_parameters_default();
        for (size_t k = 0; k < 3 && together[i].set[k][0] != NULL; k++) {
            TAP_OK(
                dl_pipeline_parameter_set(&p, together[i].set[k][0], together[i].set[k][1], &err),
                err);
        }
        TAP_STATUS(dl_pipeline_parameters_check(&p, together[i].short_retention, &err),
                   together[i].good ? DL_OK : DL_E_INVALID);
        TAP_TRUE((err.message[0] != 0 && err.hint[0] != 0) == !together[i].good);
        TAP_ROW_END(together[i].name);
    }
}

int main(void)
{
    TAP_RUN(defaults_are_the_templates);
    TAP_RUN(names_are_the_templates);
    test_cases();
    test_places();
    TAP_RUN(places_are_bounded);
    test_together();
    return tap_done();
}
