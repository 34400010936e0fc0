/* What could stand at a place: '|' in the texts below is where the cursor is. */
#include "delta/tables.h"
#include "query/query.h"

#include "tap.h"

static tables t;
static dl_query *query;
static char folder[300];
static dl_query_table names[2];

static void begin(void)
{
    dl_error err = {0};
    tables_init(&t, NULL);
    (void)snprintf(folder, sizeof folder, "%s/instance", t.folder);
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "instance", false, &table, &err), err);
    names[0] = (dl_query_table){
        .name = DL_STR("Instance"), .schema = DL_STR("lake"), .folder = dl_str_of(folder)};
    names[1] = (dl_query_table){.name = DL_STR("odd name"),
                                .schema = DL_STR("other"),
                                .folder = DL_STR("/nowhere"),
                                .broken = DL_STR("gone")};
    dl_query_options options = {.tables = names, .table_count = 2, .clock = dl_clock_system()};
    TAP_OK(dl_query_open(&options, &query, &err), err);
}

/* All words, joined by ' | '; `from` is the text that they stand instead of. */
static void complete(const char *text, dl_arena *arena, dl_buf *out, dl_str *out_replaced)
{
    const char *cursor = strchr(text, '|');
    size_t at = (size_t)(cursor - text), count = 0, from = 0;
    dl_str *words = NULL, statement = DL_STR_NONE;
    dl_error err = {0};
    TAP_OK(dl_arena_printf(arena, &statement, &err, "%.*s%s", (int)at, text, cursor + 1), err);
    TAP_OK(dl_query_complete(query, statement, at, arena, &words, &count, &from, &err), err);
    for (size_t i = 0; i < count; i++) {
        dl_status status =
            dl_buf_printf(out, &err, "%s%.*s", i == 0 ? "" : " | ", DL_STR_ARG(words[i]));
        TAP_OK(status, err);
    }
    TAP_TRUE(from <= at);
    *out_replaced = dl_str_slice(statement, from, at - from);
}

static const struct {
    const char *text, *words, *replaced;
} exact[] = {
    {"SELECT * FROM |", "Instance | \"odd name\"", ""},
    {"SELECT * FROM ins|", "Instance", "ins"},
    {"SELECT * FROM x JOIN INS|", "Instance", "INS"},
    {"DESCRIBE od|", "\"odd name\"", "od"},
    {"SELECT * FROM \"od|", "\"odd name\"", "\"od"},
    {"SELECT * FROM `od|", "`odd name`", "`od"},
    {"SELECT * FROM lake.|", "Instance", ""},
    {"SELECT * FROM OTHER.o|", "\"odd name\"", "o"},
    {"SELECT * FROM nowhere.|", "", ""},
    {"SELECT partitionN| FROM instance", "partitionName", "partitionN"},
    {"SELECT i.| FROM instance i", "partitionName | id | name | \"at\" | score | tags | info", ""},
    {"SELECT i.SC| FROM instance AS i", "score", "SC"},
    {"SELECT instance.sc| FROM instance", "score", "sc"},
    {"FROM instance WHERE sco|", "score", "sco"},
    {"SELECT 'par|", "", ""},
    {"SELECT 1 -- par|", "", ""},
    {"SELECT 1 /* par|", "", ""},
    {"-- x\nSEL|", "SELECT", "SEL"},
    {"SEL|", "SELECT", "SEL"},
    {"sel|", "select", "sel"},
    {"SELECT 1; FROM instance; SELECT parti| FROM b", "partition by", "parti"},
    {"FROM instance WHERE part|; SELECT 1", "partitionName | partition by", "part"},
    {"SELECT dicom_valu|", "dicom_value( | dicom_values(", "dicom_valu"},
    {"SELECT get_json_o|", "get_json_object(", "get_json_o"},
    {"SELECT COUNT_I|", "count_if(", "COUNT_I"},
    {"dicom_v|", "", "dicom_v"},
};

TAP_CASE(words_follow_from_the_place)
{
    for (size_t i = 0; i < DL_COUNT_OF(exact); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(16 << 20);
        DL_AUTO_BUF got = {0};
        dl_str replaced = DL_STR_NONE;
        dl_buf_init(&got, 1 << 20);
        TAP_ROW_BEGIN();
        complete(exact[i].text, arena, &got, &replaced);
        TAP_EQ_STR(dl_buf_str(&got), exact[i].words);
        TAP_EQ_STR(replaced, exact[i].replaced);
        TAP_ROW_END(exact[i].replaced);
    }
}

TAP_CASE(columns_come_before_functions_and_keywords)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(16 << 20);
    DL_AUTO_BUF got = {0};
    dl_str replaced = DL_STR_NONE;
    dl_buf_init(&got, 1 << 20);
    complete("SELECT i| FROM instance", arena, &got, &replaced);
    TAP_TRUE(dl_str_starts(dl_buf_str(&got), DL_STR("id | info | ")));
    ptrdiff_t function = dl_str_find_str(dl_buf_str(&got), DL_STR("isnan("));
    ptrdiff_t keyword = dl_str_find_str(dl_buf_str(&got), DL_STR("is null"));
    TAP_TRUE(function > 0 && keyword > function);
}

TAP_CASE(a_place_beyond_the_statement_is_refused)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(16 << 20);
    dl_str *words = NULL;
    size_t count = 7, from = 7;
    dl_error err = {0};
    TAP_STATUS(dl_query_complete(query, DL_STR("SELECT"), 7, arena, &words, &count, &from, &err),
               DL_E_INVALID);
    TAP_EQ_INT(count, 7);
    TAP_OK(dl_query_complete(query, DL_STR(""), 0, arena, &words, &count, &from, &err), err);
    TAP_TRUE(count > 10 && from == 0);
}

int main(void)
{
    begin();
    words_follow_from_the_place();
    TAP_RUN(columns_come_before_functions_and_keywords);
    TAP_RUN(a_place_beyond_the_statement_is_refused);
    dl_query_close(query);
    tables_clear(&t);
    return tap_done();
}
