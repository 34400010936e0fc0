#include "tap.h"

#include "base/file.h"
#include "service/internal.h"

#include <stdlib.h>
#include <unistd.h>

static void check_setting(const char *name, const char *value, dl_status want)
{
    dl_service_settings settings;
    dl_service_settings before;
    dl_error err = {0};
    dl_service_settings_init(&settings);
    before = settings;
    dl_status status = dl_service_settings_set(&settings, dl_str_of(name), dl_str_of(value), &err);
    if (status != want || (status == DL_OK) != (err.message[0] == '\0')) {
        TAP_FAIL("%s=%s: %s (%s)", name, value, dl_status_name(status), err.message);
    }
    if (status != DL_OK && memcmp(&settings, &before, sizeof settings) != 0) {
        TAP_FAIL("%s=%s changed something although it was refused", name, value);
    }
}

TAP_CASE(a_list_of_names_has_a_longest_length)
{
    static char text[sizeof((dl_service_settings){0}.hosts) + 1];
    memset(text, 'a', sizeof text - 1);
    check_setting("http.hosts", text, DL_E_INVALID);
    text[sizeof text - 2] = '\0';
    check_setting("http.hosts", text, DL_OK);
}

TAP_CASE(settings_are_checked_at_their_bounds)
{
    static const struct {
        const char *name, *value;
        dl_status want;
    } cases[] = {
        {"service.workspace", "ws-1", DL_OK},
        {"service.workspace", "a/b", DL_E_INVALID},
        {"service.workspace", "..", DL_E_INVALID},
        {"service.name", "123456789012345678901234567890123456789012345678901234567890123", DL_OK},
        {"service.name", "1234567890123456789012345678901234567890123456789012345678901234",
         DL_E_INVALID},
        {"service.partitions", "on", DL_OK},
        {"service.partitions", "maybe", DL_E_INVALID},
        {"store.zero_preamble", "OFF", DL_OK},
        {"store.zero_preamble", "", DL_E_INVALID},
        {"store.deletion_delay", "0", DL_OK},
        {"store.deletion_delay", "-1", DL_E_INVALID},
        {"store.deletion_delay", "315360000", DL_OK},
        {"store.deletion_delay", "315360001", DL_E_INVALID},
        {"http.body_limit", "1024", DL_OK},
        {"http.body_limit", "1023", DL_E_INVALID},
        {"http.body_limit", "99999999999999999999", DL_E_INVALID},
        {"http.idle_timeout", "1", DL_OK},
        {"http.idle_timeout", "0", DL_E_INVALID},
        {"http.connections", "100000", DL_OK},
        {"http.connections", "100001", DL_E_INVALID},
        {"http.public_url", "", DL_OK},
        {"http.public_url", "https://a.example", DL_OK},
        {"http.public_url", "http://a.example:8443/x/y", DL_OK},
        {"http.public_url", "https://a.example/", DL_E_INVALID},
        {"http.public_url", "https://", DL_E_INVALID},
        {"http.public_url", "https:///x", DL_E_INVALID},
        {"http.public_url", "a.example", DL_E_INVALID},
        {"http.public_url", "ftp://a.example", DL_E_INVALID},
        {"http.public_url", "https://a.example/?x", DL_E_INVALID},
        {"http.public_url", "https://a.example/\"x", DL_E_INVALID},
        {"http.public_url", "https://a.example\r\n", DL_E_INVALID},
        {"http.hosts", "a.example, b.example", DL_OK},
        {"http.hosts", "", DL_OK},
        {"http.hosts", "a\r\nb", DL_E_INVALID},
        {"cors.origins", "https://a.example,https://b.example", DL_OK},
        {"cors.origins", "a\r\nX-Evil: 1", DL_E_INVALID},
        {"cors.origins", "", DL_OK},
        {"cors.origins", "*", DL_OK},
        {"cors.origins", "null", DL_OK},
        {"cors.origins", "http://localhost:3000, https://x_1.a-b.example:65535,", DL_OK},
        {"cors.origins", "http://[::1]:3000,http://127.0.0.1", DL_OK},
        {"cors.origins", "http://a.example:443,https://a.example:80", DL_OK},
        {"cors.origins", "chrome-extension://abcdefghijklmnop", DL_OK},
        {"cors.origins", "viewer.example", DL_E_INVALID},
        {"cors.origins", "localhost:3000", DL_E_INVALID},
        {"cors.origins", "://viewer.example", DL_E_INVALID},
        {"cors.origins", "https://", DL_E_INVALID},
        {"cors.origins", "https://:3000", DL_E_INVALID},
        {"cors.origins", "https://viewer.example/", DL_E_INVALID},
        {"cors.origins", "https://a.example,https://viewer.example/ohif", DL_E_INVALID},
        {"cors.origins", "https://a.example https://b.example", DL_E_INVALID},
        {"cors.origins", "https://Viewer.example", DL_E_INVALID},
        {"cors.origins", "HTTPS://viewer.example", DL_E_INVALID},
        {"cors.origins", "https://*.example", DL_E_INVALID},
        {"cors.origins", "https://u@viewer.example", DL_E_INVALID},
        {"cors.origins", "https://viewer.example:443", DL_E_INVALID},
        {"cors.origins", "http://viewer.example:80", DL_E_INVALID},
        {"cors.origins", "http://viewer.example:", DL_E_INVALID},
        {"cors.origins", "http://viewer.example:0", DL_E_INVALID},
        {"cors.origins", "http://viewer.example:080", DL_E_INVALID},
        {"cors.origins", "http://viewer.example:65536", DL_E_INVALID},
        {"cors.origins", "http://viewer.example:x", DL_E_INVALID},
        {"cors.max_age", "86401", DL_E_INVALID},
        {"no.such", "1", DL_E_INVALID},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        check_setting(cases[i].name, cases[i].value, cases[i].want);
    }
}

TAP_CASE(every_default_can_be_set)
{
    dl_service_settings a;
    dl_service_settings b;
    dl_error err = {0};
    dl_service_settings_init(&a);
    dl_service_settings_init(&b);
    for (size_t i = 0; i < dl_service_settings_count(); i++) {
        const char *name = NULL;
        const char *initial = NULL;
        const char *text = NULL;
        dl_service_settings_describe(i, &name, &initial, &text);
        TAP_OK(dl_service_settings_set(&b, dl_str_of(name), dl_str_of(initial), &err), err);
        TAP_TRUE(strlen(text) > 10);
    }
    TAP_EQ_INT(memcmp(&a, &b, sizeof a), 0);
    TAP_EQ_INT(a.body_limit_bytes, 4294967296);
    TAP_EQ_INT(a.partitions, -1);
    TAP_TRUE(a.zero_preamble && !a.put_dedup);
}

static dl_status load(const char *text, dl_service_settings *settings, dl_error *err)
{
    char home[] = "/tmp/dl-settings-XXXXXX";
    char path[128];
    dl_service_settings_init(settings);
    TAP_TRUE(mkdtemp(home) != NULL);
    (void)snprintf(path, sizeof path, "%s/config", home);
    TAP_OK(dl_file_make_dirs(path, err), *err);
    (void)snprintf(path, sizeof path, "%s/config/service.json", home);
    TAP_OK(dl_file_replace(path, dl_str_of(text), err), *err);
    dl_status status = dl_service_settings_load(settings, home, err);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/config", home);
    (void)rmdir(path);
    (void)rmdir(home);
    return status;
}

TAP_CASE(a_settings_file_is_read)
{
    dl_service_settings settings;
    dl_error err = {0};
    TAP_OK(load("{ // who we are\n \"service.workspace\": \"ws\",\n \"store.put_dedup\": true,\n"
                " \"http.idle_timeout\": 5, }",
                &settings, &err),
           err);
    TAP_EQ_STR(dl_str_of(settings.workspace), "ws");
    TAP_TRUE(settings.put_dedup);
    TAP_EQ_INT(settings.idle_timeout_s, 5);
    TAP_STATUS(load("{\"http.idle_timeout\": \"soon\"}", &settings, &err), DL_E_INVALID);
    TAP_STATUS(load("[1]", &settings, &err), DL_E_INVALID);
    TAP_STATUS(load("{\"a\":", &settings, &err), DL_E_INVALID);
    TAP_OK(dl_service_settings_load(&settings, "/nonexistent-home", &err), err);
}

TAP_CASE(file_names_follow_the_contract)
{
    static const struct {
        int64_t watermark;
        const char *name;
    } cases[] = {{1, "132_1"},   {2, "692_2"},     {3, "274_3"},          {10, "542_10"},
                 {45, "182_45"}, {100, "614_100"}, {123456, "311_123456"}};
    dl_service_settings settings;
    dl_service_settings_init(&settings);
    (void)dl_str_copy(DL_STR("ws"), settings.workspace, sizeof settings.workspace);
    (void)dl_str_copy(DL_STR("svc"), settings.name, sizeof settings.name);
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        char key[DL_SERVICE_KEY_SIZE];
        char want[DL_SERVICE_KEY_SIZE];
        dl_service_key(&settings, DL_STR("Microsoft.Default"), cases[i].watermark, key);
        (void)snprintf(want, sizeof want, "AHDS/ws/dicom/svc/Microsoft.Default/%s.dcm",
                       cases[i].name);
        TAP_EQ_STR(dl_str_of(key), want);
    }
}

TAP_CASE(every_route_has_its_action_and_words)
{
    size_t count = 0;
    const dl_service_route *routes = dl_service_routes(&count);
    TAP_TRUE(count > 40);
    for (size_t i = 0; i < count; i++) {
        bool body = (routes[i].flags & DL_ROUTE_BODY) != 0;
        TAP_TRUE(body == (routes[i].handle == NULL));
        TAP_TRUE(strlen(routes[i].summary) > 3);
        bool open = strncmp(routes[i].pattern, "health/", 7) == 0 ||
                    strncmp(routes[i].pattern, "api.", 4) == 0;
        TAP_EQ_INT(routes[i].action == DL_ACTION_NONE, open);
        if (strcmp(routes[i].method, "DELETE") == 0 &&
            strncmp(routes[i].pattern, "studies", 7) == 0) {
            TAP_EQ_INT(routes[i].action, DL_ACTION_DELETE);
        }
    }
}

int main(void)
{
    TAP_RUN(a_list_of_names_has_a_longest_length);
    TAP_RUN(settings_are_checked_at_their_bounds);
    TAP_RUN(every_default_can_be_set);
    TAP_RUN(a_settings_file_is_read);
    TAP_RUN(file_names_follow_the_contract);
    TAP_RUN(every_route_has_its_action_and_words);
    return tap_done();
}
