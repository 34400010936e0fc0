/* Settings, facts as JSON, the table of routes with its document, and the webhook. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "factory/routes_internal.h"
#include "factory/settings.h"

#include "support/served.h"

#include <unistd.h>

#define SECOND_US ((int64_t)1000000)
#define T0_US (1767600000 * SECOND_US) /* 2026-01-05T08:00:00Z */

static void write_settings(const home *h, const char *text)
{
    char path[128];
    dl_error err = {0};
    (void)snprintf(path, sizeof path, "%s/config/factory", h->folder);
    TAP_OK(dl_file_make_dirs(path, &err), err);
    (void)snprintf(path, sizeof path, "%s/config/factory/settings.json", h->folder);
    TAP_OK(dl_file_replace(path, dl_str_of(text), &err), err);
}

/* ---- settings ---- */

static const struct {
    const char *text;
    dl_status want;
    int64_t late_s;
    unsigned days;
    const char *webhook;
} settings_cases[] = {
    /* clang-format off */
    {"{}", DL_OK, 0, 45, ""},
    {"{\"webhook\": null}", DL_OK, 0, 45, ""},
    {"{\"webhook\": \"http://127.0.0.1:9/x\"}", DL_OK, 0, 45, "http://127.0.0.1:9/x"},
    {"{\"webhook\": {\"url\": \"https://a.example/\"}, /* why */ \"lateAfter\": \"01:02:03\"}", DL_OK, 3723, 45, "https://a.example/"},
    {"{\"webhook\": {\"type\": \"Environment\", \"name\": \"X\"}}", DL_OK, 0, 45, ""},
    {"{\"webhook\": {\"type\": \"File\", \"path\": \"/run/x\"}}", DL_OK, 0, 45, ""},
    {"{\"lateAfter\": 1}", DL_OK, 1, 45, ""},
    {"{\"lateAfter\": 0}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": 31622400}", DL_OK, 31622400, 45, ""},
    {"{\"lateAfter\": 31622401}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"366.00:00:00\"}", DL_OK, 31622400, 45, ""},
    {"{\"lateAfter\": \"366.00:00:01\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"23:59:59\"}", DL_OK, 86399, 45, ""},
    {"{\"lateAfter\": \"24:00:00\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"00:60:00\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"00:00:60\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"1:00:00\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"01:00:00x\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": \"01:00\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"lateAfter\": true}", DL_E_INVALID, 0, 0, NULL},
    {"{\"historyDays\": 1}", DL_OK, 0, 1, ""},
    {"{\"historyDays\": 0}", DL_E_INVALID, 0, 0, NULL},
    {"{\"historyDays\": 36500}", DL_OK, 0, 36500, ""},
    {"{\"historyDays\": 36501}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": \"ftp://a.example/\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": \"http://\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": \"http:///x\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": \"http://u:secret@a.example/\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": \"http://a.example/a@b\"}", DL_OK, 0, 45, "http://a.example/a@b"},
    {"{\"webhook\": \"http://a.example/a b\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": \"http://a.example/\\r\\nX: 1\"}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": 7}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": {\"type\": \"Vault\", \"name\": \"X\"}}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": {\"type\": \"Environment\", \"name\": \"\"}}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webhook\": {\"type\": \"File\", \"name\": \"X\"}}", DL_E_INVALID, 0, 0, NULL},
    {"{\"webHook\": null}", DL_E_INVALID, 0, 0, NULL},
    {"[]", DL_E_INVALID, 0, 0, NULL},
    {"{", DL_E_INVALID, 0, 0, NULL},
    {"", DL_E_INVALID, 0, 0, NULL},
    /* clang-format on */
};

static void check_settings(const home *h, size_t i)
{
    dl_error err = {0};
    dl_arena *arena = dl_arena_create(1 << 20);
    dl_factory_settings settings = {.history_days = 7};
    write_settings(h, settings_cases[i].text);
    dl_status status = dl_factory_settings_load(h->folder, arena, &settings, &err);
    TAP_EQ_INT(status, settings_cases[i].want);
    TAP_EQ_INT(err.message[0] != '\0', status != DL_OK);
    TAP_TRUE(strstr(err.message, "secret") == NULL);
    if (status == DL_OK) {
        TAP_EQ_INT(settings.late_after_us, settings_cases[i].late_s * SECOND_US);
        TAP_EQ_INT(settings.history_days, settings_cases[i].days);
        TAP_EQ_STR(settings.webhook, settings_cases[i].webhook);
    } else {
        TAP_EQ_INT(settings.history_days, 7); /* as it was */
    }
    dl_arena_destroy(arena);
}

static void check_url_length(size_t extra, dl_status want)
{
    static char url[DL_FACTORY_URL_LIMIT + 2];
    const size_t len = DL_FACTORY_URL_LIMIT + extra;
    memset(url, 'a', sizeof url);
    memcpy(url, "http://h/", 9);
    TAP_STATUS(dl_factory_url_check((dl_str){url, len}, "webhook", NULL), want);
}

TAP_CASE(an_address_has_a_longest_length)
{
    check_url_length(0, DL_OK);
    check_url_length(1, DL_E_INVALID);
}

TAP_CASE(settings_without_memory)
{
    home h;
    dl_status status = DL_E_NOMEM;
    home_begin(&h);
    write_settings(&h, "{\"webhook\": {\"type\": \"File\", \"path\": \"/x\"}, \"historyDays\": 2}");
    for (int64_t n = 0; status != DL_OK && n < 100; n++) {
        dl_factory_settings settings = {.history_days = 7};
        dl_arena *arena = dl_arena_create(1 << 20);
        dl_mem_fail_after(n);
        status = dl_factory_settings_load(h.folder, arena, &settings, NULL);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK ? settings.history_days == 2 : settings.history_days == 7);
        TAP_TRUE(n > 0 || status != DL_OK);
        dl_arena_destroy(arena);
    }
    TAP_STATUS(status, DL_OK);
    home_end(&h);
}

static void test_settings(void)
{
    home h;
    home_begin(&h);
    for (size_t i = 0; i < DL_COUNT_OF(settings_cases); i++) {
        TAP_ROW_BEGIN();
        check_settings(&h, i);
        TAP_ROW_END(settings_cases[i].text);
    }
    home_end(&h);
    TAP_RUN(an_address_has_a_longest_length);
    TAP_RUN(settings_without_memory);
}

/* ---- facts ---- */

typedef struct fact_text {
    dl_buf buf;
    dl_json_writer w;
} fact_text;

static dl_json_writer *text_begin(fact_text *t)
{
    dl_buf_init(&t->buf, 1 << 20);
    dl_json_writer_init(&t->w, &t->buf, NULL);
    return &t->w;
}

static void text_is(fact_text *t, const char *want)
{
    TAP_STATUS(dl_json_writer_status(&t->w), DL_OK);
    TAP_STATUS(dl_json_check(dl_buf_str(&t->buf), NULL), DL_OK);
    TAP_EQ_STR(dl_buf_str(&t->buf), want);
    dl_buf_clear(&t->buf);
}

TAP_CASE(a_run_of_a_window)
{
    const dl_run run = {.id = "11111111-2222-3333-4444-555555555555",
                        .group_id = "99999999-2222-3333-4444-555555555555",
                        .pipeline = DL_STR("copy"),
                        .trigger = DL_STR("hourly"),
                        .trigger_type = DL_FACTORY_TUMBLING,
                        .has_window = true,
                        .window_start_us = T0_US,
                        .window_end_us = T0_US + 3600 * SECOND_US,
                        .queued_us = T0_US + 3600 * SECOND_US,
                        .started_us = T0_US + 3601 * SECOND_US,
                        .ended_us = T0_US + 3603 * SECOND_US + 500000,
                        .status = DL_RUN_FAILED,
                        .attempt = 2,
                        .parameters = DL_STR("{\"BatchSize\":200}"),
                        .cause = DL_STR("no \"route\""),
                        .hint = DL_STR("test it"),
                        .counts = DL_STR("{\"changes\":3}")};
    fact_text t;
    dl_fact_run(text_begin(&t), &run);
    text_is(&t, "{\"runId\":\"11111111-2222-3333-4444-555555555555\","
                "\"runGroupId\":\"99999999-2222-3333-4444-555555555555\",\"attempt\":2,"
                "\"pipelineName\":\"copy\",\"invokedBy\":{\"name\":\"hourly\","
                "\"invokedByType\":\"TumblingWindowTrigger\"},\"status\":\"Failed\","
                "\"windowStart\":\"2026-01-05T08:00:00.000000Z\","
                "\"windowEnd\":\"2026-01-05T09:00:00.000000Z\",\"scheduledTime\":null,"
                "\"queued\":\"2026-01-05T09:00:00.000000Z\",\"notBefore\":null,"
                "\"runStart\":\"2026-01-05T09:00:01.000000Z\","
                "\"runEnd\":\"2026-01-05T09:00:03.500000Z\",\"durationInMs\":2500,"
                "\"parameters\":{\"BatchSize\":200},\"counts\":{\"changes\":3},"
                "\"cause\":\"no \\\"route\\\"\",\"hint\":\"test it\",\"cancelRequested\":false}");
}

TAP_CASE(a_run_by_hand_that_waits)
{
    const dl_run run = {.id = "a", .group_id = "a", .pipeline = DL_STR("p"), .attempt = 1};
    fact_text t;
    dl_fact_run(text_begin(&t), &run);
    text_is(&t, "{\"runId\":\"a\",\"runGroupId\":\"a\",\"attempt\":1,\"pipelineName\":\"p\","
                "\"invokedBy\":{\"name\":\"Manual\",\"invokedByType\":\"Manual\"},"
                "\"status\":\"Queued\",\"windowStart\":null,\"windowEnd\":null,"
                "\"scheduledTime\":null,\"queued\":null,\"notBefore\":null,\"runStart\":null,"
                "\"runEnd\":null,\"durationInMs\":null,\"parameters\":null,\"counts\":null,"
                "\"cause\":null,\"hint\":null,\"cancelRequested\":false}");
}

TAP_CASE(text_that_is_no_json_does_not_break_what_is_around_it)
{
    const dl_factory_entry entry = {.kind = DL_FACTORY_PIPELINE,
                                    .name = DL_STR("p"),
                                    .json = DL_STR("{\"a\": "),
                                    .fault = DL_STR("byte 6"),
                                    .state = DL_FACTORY_DRAFT};
    fact_text t;
    dl_fact_entry(text_begin(&t), &entry);
    text_is(&t, "{\"kind\":\"pipeline\",\"name\":\"p\",\"state\":\"Draft\",\"changed\":null,"
                "\"fault\":\"byte 6\",\"document\":null}");
}

TAP_CASE(a_trigger_that_never_fires_again)
{
    const dl_factory_entry entry = {.kind = DL_FACTORY_TRIGGER,
                                    .name = DL_STR("t"),
                                    .json = DL_STR("{}"),
                                    .state = DL_FACTORY_CHANGED,
                                    .changed_us = T0_US};
    const dl_trigger_facts facts = {
        .started = true, .next_us = INT64_MAX, .waiting = 1, .running = 2, .failed = 3};
    fact_text t;
    dl_fact_trigger(text_begin(&t), &entry, &facts);
    text_is(
        &t,
        "{\"kind\":\"trigger\",\"name\":\"t\",\"state\":\"Changed\","
        "\"changed\":\"2026-01-05T08:00:00.000000Z\",\"fault\":null,\"runtimeState\":\"Started\","
        "\"next\":null,\"waiting\":1,\"running\":2,\"failed\":3,\"document\":{}}");
}

TAP_CASE(windows_and_lines)
{
    dl_run_window window = {.trigger = DL_STR("t"),
                            .start_us = T0_US,
                            .end_us = T0_US + SECOND_US,
                            .waiting = true,
                            .waits_for = DL_STR("the delay")};
    fact_text t;
    dl_fact_window(text_begin(&t), &window);
    text_is(&t, "{\"triggerName\":\"t\",\"windowStart\":\"2026-01-05T08:00:00.000000Z\","
                "\"windowEnd\":\"2026-01-05T08:00:01.000000Z\",\"status\":\"Waiting\","
                "\"waitsFor\":\"the delay\",\"attempts\":0,\"runId\":null}");
    window.waiting = false;
    window.status = DL_RUN_SUCCEEDED;
    window.attempts = 2;
    (void)snprintf(window.run_id, sizeof window.run_id, "abc");
    dl_fact_window(text_begin(&t), &window);
    text_is(&t, "{\"triggerName\":\"t\",\"windowStart\":\"2026-01-05T08:00:00.000000Z\","
                "\"windowEnd\":\"2026-01-05T08:00:01.000000Z\",\"status\":\"Succeeded\","
                "\"waitsFor\":null,\"attempts\":2,\"runId\":\"abc\"}");
    const dl_run_line line = {
        .time_us = T0_US, .level = DL_STR("warn"), .text = DL_STR("a\nb\x1b[0m")};
    dl_fact_line(text_begin(&t), &line);
    text_is(&t, "{\"time\":\"2026-01-05T08:00:00.000000Z\",\"level\":\"warn\","
                "\"text\":\"a\\nb\\u001b[0m\"}");
}

/* ---- the table and its document ---- */

static void serve(served *s, dl_factory_routes **out_routes)
{
    dl_error err = {0};
    *s = (served){0};
    home_begin(&s->home);
    const dl_factory_routes_options options = {.factory = s->home.factory};
    TAP_OK(dl_factory_routes_create(&options, out_routes, &err), err);
    dl_http_app app = dl_factory_routes_app(*out_routes);
    served_begin(s, &app);
}

static void serve_end(served *s, dl_factory_routes *routes)
{
    served_end(s);
    dl_factory_routes_destroy(routes);
    home_end(&s->home);
}

TAP_CASE(routes_and_document_say_the_same)
{
    served s;
    dl_factory_routes *routes = NULL;
    size_t count = 0;
    const dl_api_route *table = dl_factory_route_table(&count);
    serve(&s, &routes);
    check_document(&s, "/factory/openapi.json", table, count);
    serve_end(&s, routes);
}

static const char *word_for(DL_UNUSED const char *name)
{
    return "0123abcd";
}

TAP_CASE(every_route_answers_every_method)
{
    served s;
    dl_factory_routes *routes = NULL;
    size_t count = 0;
    const dl_api_route *table = dl_factory_route_table(&count);
    serve(&s, &routes);
    /* "import" is also a name, and what is POSTed to may be one's name */
    check_methods(&s, table, count, word_for, "importPipeline");
    serve_end(&s, routes);
}

/* ---- the webhook ---- */

enum { PEER_LIMIT = 400 };

typedef struct peer {
    dl_http_server *server;
    pthread_mutex_t lock; /* guards all below */
    unsigned fail_first;  /* so many are answered with `fail_status` */
    unsigned fail_status;
    unsigned begun, asked; /* requests whose header, whose end has come */
    dl_buf bodies[PEER_LIMIT];
    bool hold; /* answers nothing meanwhile */
} peer;

static dl_status peer_begin(void *context, DL_UNUSED dl_http_exchange *x, void **out_state,
                            DL_UNUSED dl_error *err)
{
    peer *p = context;
    pthread_mutex_lock(&p->lock);
    p->begun++;
    pthread_mutex_unlock(&p->lock);
    *out_state = context;
    return DL_OK;
}

static dl_status peer_body(DL_UNUSED void *context, DL_UNUSED dl_http_exchange *x, void *state,
                           dl_bytes piece, dl_error *err)
{
    peer *p = state;
    pthread_mutex_lock(&p->lock);
    dl_buf *buf = &p->bodies[p->asked % PEER_LIMIT];
    buf->limit_bytes = 1 << 20;
    dl_status status = dl_buf_append(buf, piece.ptr, piece.len, err);
    pthread_mutex_unlock(&p->lock);
    return status;
}

static void peer_end(DL_UNUSED void *context, dl_http_exchange *x, void *state,
                     DL_UNUSED const dl_error *failure)
{
    peer *p = state;
    pthread_mutex_lock(&p->lock);
    unsigned status = p->asked < p->fail_first ? p->fail_status : 204;
    while (p->hold) {
        pthread_mutex_unlock(&p->lock);
        (void)usleep(5000);
        pthread_mutex_lock(&p->lock);
    }
    p->asked++;
    pthread_mutex_unlock(&p->lock);
    dl_http_respond(x, status, NULL, DL_STR(""));
}

static void peer_destroy(DL_UNUSED void *context, DL_UNUSED void *state)
{
}

static void peer_start(peer *p)
{
    dl_error err = {0};
    *p = (peer){0};
    pthread_mutex_init(&p->lock, NULL);
    const dl_http_app app = {.begin = peer_begin,
                             .body = peer_body,
                             .end = peer_end,
                             .destroy = peer_destroy,
                             .context = p};
    const dl_http_server_options options = {.host = "127.0.0.1", .body_limit_bytes = 1 << 20};
    TAP_OK(dl_http_server_start(&options, &app, &p->server, &err), err);
}

static void peer_stop(peer *p)
{
    dl_http_server_stop(p->server, 1000);
    for (size_t i = 0; i < PEER_LIMIT; i++) {
        dl_buf_clear(&p->bodies[i]);
    }
    pthread_mutex_destroy(&p->lock);
}

static unsigned peer_asked(peer *p)
{
    pthread_mutex_lock(&p->lock);
    unsigned asked = p->asked;
    pthread_mutex_unlock(&p->lock);
    return asked;
}

static bool peer_begins(peer *p, unsigned want)
{
    for (unsigned i = 0; i < 6000; i++) {
        pthread_mutex_lock(&p->lock);
        unsigned begun = p->begun;
        pthread_mutex_unlock(&p->lock);
        if (begun >= want) {
            return true;
        }
        (void)usleep(10000);
    }
    return false;
}

static void peer_hold(peer *p, bool hold)
{
    pthread_mutex_lock(&p->lock);
    p->hold = hold;
    pthread_mutex_unlock(&p->lock);
}

static bool peer_reaches(peer *p, unsigned want)
{
    for (unsigned i = 0; i < 12000; i++) {
        if (peer_asked(p) >= want) {
            return true;
        }
        (void)usleep(10000);
    }
    return false;
}

typedef struct hooked {
    home home;
    peer peer;
    dl_webhook *hook;
} hooked;

static void hook_begin(hooked *h, unsigned fail_first, unsigned fail_status)
{
    char text[128];
    home_begin(&h->home);
    peer_start(&h->peer);
    h->peer.fail_first = fail_first;
    h->peer.fail_status = fail_status;
    (void)snprintf(text, sizeof text, "{\"webhook\": \"http://127.0.0.1:%u/hook\"}",
                   (unsigned)dl_http_server_port(h->peer.server));
    write_settings(&h->home, text);
    TAP_OK(dl_webhook_create(h->home.factory, &h->hook, &h->home.err), h->home.err);
}

static void hook_end(hooked *h)
{
    dl_webhook_destroy(h->hook);
    peer_stop(&h->peer);
    home_end(&h->home);
}

static const dl_run failed_run = {.id = "11111111-2222-3333-4444-555555555555",
                                  .pipeline = {"copy", 4},
                                  .status = DL_RUN_FAILED,
                                  .attempt = 1,
                                  .cause = {"no route", 8}};

TAP_CASE(a_failure_is_told_and_a_success_is_not)
{
    static hooked h;
    hook_begin(&h, 0, 0);
    dl_run run = failed_run;
    run.status = DL_RUN_SUCCEEDED;
    dl_webhook_told(h.hook, &run, "Succeeded");
    run.status = DL_RUN_CANCELLED;
    dl_webhook_told(h.hook, &run, "Cancelled");
    dl_webhook_told(h.hook, &failed_run, "Failed");
    TAP_TRUE(peer_reaches(&h.peer, 1));
    (void)usleep(100000);
    TAP_EQ_INT(peer_asked(&h.peer), 1);
    dl_str told = dl_buf_str(&h.peer.bodies[0]), run_json, value;
    TAP_STATUS(dl_json_check(told, NULL), DL_OK);
    TAP_TRUE(dl_json_get(told, DL_STR("event"), &value));
    TAP_EQ_STR(value, "\"failed\"");
    TAP_TRUE(dl_json_get(told, DL_STR("run"), &run_json));
    TAP_TRUE(dl_json_get(run_json, DL_STR("cause"), &value));
    TAP_EQ_STR(value, "\"no route\"");
    hook_end(&h);
}

TAP_CASE(a_peer_in_trouble_is_tried_again)
{
    static hooked h;
    hook_begin(&h, 1, 503);
    dl_webhook_told(h.hook, &failed_run, "Failed");
    TAP_TRUE(peer_reaches(&h.peer, 2));
    (void)usleep(200000);
    TAP_EQ_INT(peer_asked(&h.peer), 2);
    TAP_TRUE(h.peer.bodies[0].len > 0 && h.peer.bodies[0].len == h.peer.bodies[1].len);
    hook_end(&h);
}

TAP_CASE(a_peer_that_refuses_is_not_asked_again)
{
    static hooked h;
    hook_begin(&h, 1, 400);
    dl_webhook_told(h.hook, &failed_run, "Failed");
    TAP_TRUE(peer_reaches(&h.peer, 1));
    (void)usleep(1500000); /* longer than the first pause */
    TAP_EQ_INT(peer_asked(&h.peer), 1);
    hook_end(&h);
}

/* One is under way and 256 wait: the 258th is dropped, and no run notices. */
TAP_CASE(a_slow_peer_holds_nobody_up_and_the_queue_has_a_bound)
{
    static hooked h;
    enum { WAITING = 256, MORE = 3 };
    hook_begin(&h, 0, 0);
    peer_hold(&h.peer, true);
    dl_webhook_told(h.hook, &failed_run, "Failed");
    TAP_TRUE(peer_begins(&h.peer, 1)); /* it is under way now */
    /* If this waited for the peer, nothing would be dropped. */
    for (unsigned i = 0; i < WAITING + MORE; i++) {
        dl_webhook_told(h.hook, &failed_run, "Failed");
    }
    peer_hold(&h.peer, false);
    TAP_TRUE(peer_reaches(&h.peer, 1 + WAITING));
    (void)usleep(300000);
    TAP_EQ_INT(peer_asked(&h.peer), 1 + WAITING);
    hook_end(&h);
}

TAP_CASE(ending_does_not_wait_for_a_peer_that_is_gone)
{
    home h;
    dl_webhook *hook = NULL;
    home_begin(&h);
    write_settings(&h, "{\"webhook\": \"http://127.0.0.1:1/\", \"lateAfter\": 1}");
    TAP_OK(dl_webhook_create(h.factory, &hook, &h.err), h.err);
    dl_webhook_told(hook, &failed_run, "Failed");
    (void)usleep(200000); /* the first try has failed, the next waits */
    int64_t began_us = dl_clock_monotonic_us();
    dl_webhook_destroy(hook);
    TAP_TRUE(dl_clock_monotonic_us() - began_us < 10 * SECOND_US); /* all tries take 15 */
    home_end(&h);
}

TAP_CASE(a_home_without_a_webhook_tells_nobody)
{
    home h;
    dl_webhook *hook = NULL;
    home_begin(&h);
    TAP_OK(dl_webhook_create(h.factory, &hook, &h.err), h.err);
    dl_webhook_told(hook, &failed_run, "Failed");
    dl_webhook_destroy(hook);
    dl_webhook_destroy(NULL);
    write_settings(&h, "{\"webhook\": 1}");
    hook = NULL;
    TAP_STATUS(dl_webhook_create(h.factory, &hook, &h.err), DL_E_INVALID);
    TAP_TRUE(hook == NULL);
    home_end(&h);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    test_settings();
    TAP_RUN(a_run_of_a_window);
    TAP_RUN(a_run_by_hand_that_waits);
    TAP_RUN(text_that_is_no_json_does_not_break_what_is_around_it);
    TAP_RUN(a_trigger_that_never_fires_again);
    TAP_RUN(windows_and_lines);
    TAP_RUN(routes_and_document_say_the_same);
    TAP_RUN(every_route_answers_every_method);
    TAP_RUN(a_failure_is_told_and_a_success_is_not);
    TAP_RUN(a_peer_in_trouble_is_tried_again);
    TAP_RUN(a_peer_that_refuses_is_not_asked_again);
    TAP_RUN(a_slow_peer_holds_nobody_up_and_the_queue_has_a_bound);
    TAP_RUN(ending_does_not_wait_for_a_peer_that_is_gone);
    TAP_RUN(a_home_without_a_webhook_tells_nobody);
    return tap_done();
}
