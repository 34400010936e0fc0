#include "fixture.h"

#include "base/mem.h"

/* ---- text ---- */

TAP_CASE(uids_are_packed_in_order)
{
    static const struct {
        const char *text;
        bool ok;
        const char *back;
    } cases[] = {
        {"1.2.840.10008.1.2.1", true, "1.2.840.10008.1.2.1"},
        {"1", true, "1"},
        {"1.2 ", true, "1.2"},
        {"0.00", true, "0.00"},
        {"", false, ""},
        {"  ", false, ""},
        {"1.2a", false, ""},
        {"1-2", false, ""},
        {"1 2", false, ""},
        {"1234567890123456789012345678901234567890123456789012345678901234", true,
         "1234567890123456789012345678901234567890123456789012345678901234"},
        {"12345678901234567890123456789012345678901234567890123456789012345", false, ""},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_index_uid uid = {0};
        char text[DL_INDEX_UID_LIMIT + 1] = "";
        TAP_EQ_INT(dl_index_uid_pack(dl_str_of(cases[i].text), &uid), cases[i].ok);
        if (cases[i].ok) {
            (void)dl_index_uid_text(dl_index_uid_bytes(&uid), text);
        }
        TAP_EQ_STR(dl_str_of(text), cases[i].back);
    }
    dl_index_uid a, b;
    TAP_TRUE(dl_index_uid_pack(DL_STR("1.2"), &a) && dl_index_uid_pack(DL_STR("1.2.0"), &b));
    TAP_TRUE(memcmp(a.bytes, b.bytes, a.len) <= 0 && a.len < b.len);
    TAP_TRUE(dl_index_uid_pack((dl_str){"1.2\0\0", 5}, &b)); /* NUL padding */
    TAP_TRUE(a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0);
}

TAP_CASE(text_is_folded)
{
    static const struct {
        const char *text;
        bool name;
        const char *want;
    } cases[] = {
        {"ABC x ", false, "abc x"},
        {"ABC", true, "abc"},
        {"MÜLLER", false, "müller"},
        {"MÜLLER^José", true, "muller^jose"},
        {"Straße", true, "strasse"},
        {"ΑΘΗΝΆ", true, "αθηνα"},
        {"山田^太郎", true, "山田^太郎"},
        {"", true, ""},
        {" A", false, " a"},
        {"e\xcc\x81", false, "\xc3\xa9"},
        {"\xff"
         "A",
         false,
         "\xff"
         "a"},
    };
    dl_arena *arena = dl_arena_create(1 << 20);
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_str folded = DL_STR_NONE;
        TAP_OK(dl_index_fold(dl_str_of(cases[i].text), cases[i].name, arena, &folded, &err), err);
        TAP_EQ_STR(folded, cases[i].want);
    }
    dl_arena_destroy(arena);
}

TAP_CASE(phrases_match_adjacent_word_prefixes_in_order)
{
    static const struct {
        const char *name, *phrase;
        bool want;
    } cases[] = {
        {"john^doe", "jo do", true},
        {"john^doe", "do", true},
        {"john^doe", "john", true},
        {"john^doe", "ohn", false},
        {"john^doe", "doe john", false},
        {"john^doe", "john doe x", false},
        {"anony mous", "ano mo", true},
        {"anony mous", "nony", false},
        {"anony mous", "mous anony", false},
        {"a b c", "a c", false},
        {"a b c", "b c", true},
        {"a ab abc", "ab ab", true},
        {"x^y=z^w", "y z", true},
        {"x", "", false},
        {"", "x", false},
        {"x y", " ^=", false},
        {"jo jo do", "jo do", true},
        {"x^y", "x^y", true},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        TAP_EQ_INT(dl_index_phrase_matches(dl_str_of(cases[i].name), dl_str_of(cases[i].phrase)),
                   cases[i].want);
        char row[80];
        (void)snprintf(row, sizeof row, "phrase '%s' in '%s'", cases[i].phrase, cases[i].name);
        TAP_ROW_END(row);
    }
}

TAP_CASE(attributes_are_those_of_the_contract)
{
    uint32_t before = 0;
    for (size_t i = 0; i < dl_index_attribute_count(); i++) {
        const dl_index_attribute *a = dl_index_attribute_at(i);
        TAP_TRUE(a->tag > before);
        TAP_TRUE(dl_index_attribute_find(a->tag) == a);
        before = a->tag;
    }
    TAP_EQ_INT(dl_index_attribute_count(), 14);
    TAP_TRUE(dl_index_attribute_find(0x00080061) != NULL);
    TAP_TRUE(dl_index_attribute_find(0x00080016) == NULL);
}

/* ---- partitions, settings, watermarks ---- */

TAP_CASE(partitions_and_settings_last)
{
    fixture f;
    fixture_begin(&f);
    int64_t key = 99;
    dl_index_partition *list = NULL;
    size_t count = 0;
    TAP_OK(dl_index_partition_find(f.index, DL_STR("Microsoft.Default"), &key, &f.err), f.err);
    TAP_EQ_INT(key, 1);
    TAP_STATUS(dl_index_partition_find(f.index, DL_STR("clinic-A"), &key, &f.err), DL_E_NOT_FOUND);
    TAP_EQ_INT(key, 1);
    TAP_OK(dl_index_partition_ensure(f.index, DL_STR("clinic-A"), &key, &f.err), f.err);
    TAP_EQ_INT(key, 2);
    TAP_OK(dl_index_partition_ensure(f.index, DL_STR("Clinic-A"), &key, &f.err), f.err);
    TAP_EQ_INT(key, 3);
    TAP_OK(dl_index_partition_ensure(f.index, DL_STR("clinic-A"), &key, &f.err), f.err);
    TAP_EQ_INT(key, 2);
    dl_str value = DL_STR_NONE;
    TAP_OK(dl_index_setting_get(f.index, DL_STR("workspace"), f.arena, &value, &f.err), f.err);
    TAP_TRUE(value.ptr == NULL);
    TAP_OK(dl_index_setting_put(f.index, DL_STR("workspace"), DL_STR("ws"), &f.err), f.err);
    TAP_OK(dl_index_setting_put(f.index, DL_STR("workspace"), DL_STR("ws2"), &f.err), f.err);
    fixture_reopen(&f);
    TAP_OK(dl_index_setting_get(f.index, DL_STR("workspace"), f.arena, &value, &f.err), f.err);
    TAP_EQ_STR(value, "ws2");
    TAP_OK(dl_index_partition_list(f.index, f.arena, &list, &count, &f.err), f.err);
    TAP_EQ_INT(count, 3);
    TAP_EQ_STR(list[1].name, "clinic-A");
    TAP_EQ_INT(list[2].key, 3);
    TAP_OK(dl_index_probe(f.index, &f.err), f.err);
    fixture_end(&f);
}

TAP_CASE(watermarks_are_never_given_twice)
{
    fixture f;
    fixture_begin(&f);
    int64_t last = 0;
    for (int i = 0; i < 3 * DL_INDEX_WATERMARK_BLOCK + 1; i++) { /* over the ends of blocks */
        int64_t next = fixture_watermark(&f);
        TAP_TRUE(next == last + 1);
        last = next;
    }
    fixture_reopen(&f); /* in order: no gap */
    TAP_EQ_INT(fixture_watermark(&f), last + 1);
    dl_index_tx *tx = NULL;
    TAP_OK(dl_index_begin(f.index, &tx, &f.err), f.err);
    dl_status status = DL_OK;
    int64_t ignored = 0;
    for (int i = 0; status == DL_OK && i < 2 * DL_INDEX_WATERMARK_BLOCK; i++) {
        status = dl_index_next_watermark(f.index, &ignored, &f.err);
    }
    TAP_STATUS(dl_index_setting_put(f.index, DL_STR("x"), DL_STR("y"), &f.err), DL_E_LIMIT);
    TAP_STATUS(dl_index_partition_ensure(f.index, DL_STR("x"), &ignored, &f.err), DL_E_LIMIT);
    TAP_EQ_INT(status, DL_E_LIMIT); /* says so instead of waiting for itself */
    dl_index_rollback(tx);
    TAP_TRUE(fixture_watermark(&f) > ignored);
    fixture_end(&f);
}

/* ---- stores ---- */

TAP_CASE(an_instance_is_stored_once_and_replaced_when_asked)
{
    fixture f;
    fixture_begin(&f);
    dl_index_put put = fixture_put(&f, "1.2 ", "1.2.3", "1.2.3.4",
                                   "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"P1\"]}");
    put.frames = (dl_bytes){(const uint8_t *)"frames", 6};
    TAP_EQ_INT(fixture_store(&f, put), DL_INDEX_STORED);
    dl_index_put again = fixture_put(&f, "1.2", "1.2.3", "1.2.3.4", "");
    TAP_EQ_INT(fixture_store(&f, again), DL_INDEX_EXISTS);
    TAP_EQ_INT(fixture_check(&f), 0);
    again.replace = true;
    again.not_before_us = 77;
    TAP_EQ_INT(fixture_store(&f, again), DL_INDEX_REPLACED);

    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    dl_index_scope scope = {1, DL_STR("1.2"), DL_STR_NONE, DL_STR_NONE, 0};
    dl_index_version *list = NULL;
    size_t count = 0;
    TAP_OK(dl_index_versions(s, &scope, f.arena, &list, &count, &f.err), f.err);
    TAP_EQ_INT(count, 1);
    TAP_EQ_INT(list[0].watermark, again.watermark);
    TAP_EQ_STR(list[0].sop_uid, "1.2.3.4");
    TAP_EQ_STR(list[0].transfer_syntax, "1.2.840.10008.1.2.1");
    TAP_EQ_INT(list[0].size_bytes, 100);
    TAP_OK(dl_index_metadata(s, put.watermark, &f.text, &f.err), f.err); /* still in the queue */
    TAP_EQ_STR(dl_buf_str(&f.text), "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"P1\"]}}");
    dl_bytes frames = {0};
    TAP_OK(dl_index_frames(s, put.watermark, f.arena, &frames, &f.err), f.err);
    TAP_TRUE(frames.len == 6 && memcmp(frames.ptr, "frames", 6) == 0);
    TAP_OK(dl_index_frames(s, again.watermark, f.arena, &frames, &f.err), f.err);
    TAP_EQ_INT(frames.len, 0);
    TAP_STATUS(dl_index_metadata(s, 12345, &f.text, &f.err), DL_E_NOT_FOUND);
    int64_t newest = 0, number = 0;
    TAP_OK(dl_index_summary(s, &scope, &newest, &number, &f.err), f.err);
    TAP_EQ_INT(newest, again.watermark);
    TAP_EQ_INT(number, 1);
    scope.study_uid = DL_STR("9.9");
    TAP_OK(dl_index_summary(s, &scope, &newest, &number, &f.err), f.err);
    TAP_EQ_INT(number, 0);
    dl_index_snapshot_end(s);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

TAP_CASE(bad_input_is_refused_and_the_transaction_goes_on)
{
    fixture f;
    fixture_begin(&f);
    dl_index_put good = fixture_put(&f, "1.2", "1.2.3", "1.2.3.4", "");
    dl_index_tx *tx = NULL;
    dl_index_outcome outcome = DL_INDEX_EXISTS;
    TAP_OK(dl_index_begin(f.index, &tx, &f.err), f.err);
    for (int i = 0; i < 6; i++) {
        dl_index_put bad = good;
        bad.watermark += 100 + i;
        bad.sop_uid = i == 0 ? DL_STR("1.x") : DL_STR("7.7");
        bad.study_uid = i == 1 ? DL_STR("") : good.study_uid;
        bad.metadata = i == 2 ? DL_STR("[]") : good.metadata;
        bad.partition = i == 3 ? 5 : 1;
        bad.watermark = i == 4 ? 0 : bad.watermark;
        bad.expires_us = i == 5 ? -1 : 0;
        TAP_STATUS(dl_index_put_instance(tx, &bad, &outcome, &f.err), DL_E_INVALID);
        TAP_EQ_INT(outcome, DL_INDEX_EXISTS); /* untouched */
    }
    TAP_OK(dl_index_put_instance(tx, &good, &outcome, &f.err), f.err);
    TAP_EQ_INT(outcome, DL_INDEX_STORED);
    dl_index_put used = good;
    used.sop_uid = DL_STR("1.2.3.5");
    TAP_STATUS(dl_index_put_instance(tx, &used, &outcome, &f.err), DL_E_INVALID);
    TAP_OK(dl_index_put_instance(tx, &good, &outcome, &f.err) == DL_OK ? DL_E_INVALID : DL_OK,
           f.err);
    dl_index_put twin = good;
    twin.watermark = good.watermark + 1;
    TAP_OK(dl_index_put_instance(tx, &twin, &outcome, &f.err), f.err);
    TAP_EQ_INT(outcome, DL_INDEX_EXISTS); /* the same UIDs twice in one transaction */
    TAP_OK(dl_index_commit(tx, &f.err), f.err);
    (void)fixture_watermark(&f);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

static dl_str study_attributes(fixture *f, const char *study)
{
    dl_index_snapshot *s = NULL;
    dl_index_hit *hits = NULL;
    size_t count = 0;
    dl_index_query query = {.partition = 1, .study_uid = dl_str_of(study), .limit = 10};
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(dl_index_search(s, &query, f->arena, &hits, &count, &f->err), f->err);
    dl_index_snapshot_end(s);
    return count == 1 ? hits[0].study_attributes : DL_STR_NONE;
}

#define LO(tag, text) "\"" tag "\":{\"vr\":\"LO\",\"Value\":[\"" text "\"]}"
#define ANSWER(members) "{" members "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}"

TAP_CASE(the_latest_value_that_is_not_empty_counts)
{
    fixture f;
    fixture_begin(&f);
    dl_index_put a = fixture_put(&f, "1.2", "1.2.3", "1", LO("00081030", "first"));
    dl_index_put b =
        fixture_put(&f, "1.2", "1.2.3", "2", "\"00081030\":{\"vr\":\"LO\"}," LO("00100020", "P"));
    dl_index_put c = fixture_put(&f, "1.2", "1.2.4", "3", LO("00081030", "third"));
    dl_index_put d =
        fixture_put(&f, "1.2", "1.2.4", "4", LO("00081030", " ") "," LO("00100020", "Q"));
    (void)fixture_store(&f, a);
    (void)fixture_store(&f, b);
    TAP_EQ_STR(study_attributes(&f, "1.2"),
               ANSWER(LO("00081030", "first") "," LO("00100020", "P") ","));
    (void)fixture_store(&f, d);
    TAP_EQ_STR(study_attributes(&f, "1.2"),
               ANSWER(LO("00081030", "first") "," LO("00100020", "Q") ","));
    (void)fixture_store(&f, c); /* a smaller watermark comes later: still laid by watermark */
    TAP_EQ_STR(study_attributes(&f, "1.2"),
               ANSWER(LO("00081030", "third") "," LO("00100020", "Q") ","));
    TAP_EQ_INT(fixture_check(&f), 0);
    int64_t count = 0;
    TAP_OK(fixture_delete(&f, "1.2", "1.2.4", "3", 0, &count), f.err);
    TAP_EQ_STR(study_attributes(&f, "1.2"),
               ANSWER(LO("00081030", "first") "," LO("00100020", "Q") ","));
    TAP_OK(fixture_delete(&f, "1.2", "1.2.4", "", 0, &count), f.err);
    TAP_EQ_STR(study_attributes(&f, "1.2"),
               ANSWER(LO("00081030", "first") "," LO("00100020", "P") ","));
    TAP_OK(fixture_delete(&f, "1.2", "1.2.3", "1", 0, &count), f.err);
    TAP_EQ_STR(study_attributes(&f, "1.2"), ANSWER(LO("00100020", "P") ","));
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

/* ---- feed ---- */

typedef struct feed_log {
    char text[4000];
    size_t len;
} feed_log;

static dl_status log_change(void *context, const dl_index_change *c, dl_error *err)
{
    feed_log *log = context;
    (void)err;
    log->len += (size_t)snprintf(
        log->text + log->len, sizeof log->text - log->len, "%lld:%d:%.*s:%lld/%lld%s ",
        (long long)c->sequence, c->action, DL_STR_ARG(c->sop_uid), (long long)c->watermark,
        (long long)c->current_watermark, c->metadata.ptr != NULL ? "m" : "");
    return DL_OK;
}

static void expect_feed(fixture *f, dl_index_change_query query, const char *want)
{
    feed_log log = {{0}, 0};
    dl_index_snapshot *s = NULL;
    TAP_OK(dl_index_snapshot_begin(f->index, &s, &f->err), f->err);
    TAP_OK(dl_index_changes(s, &query, log_change, &log, &f->err), f->err);
    dl_index_snapshot_end(s);
    TAP_EQ_STR(dl_str_of(log.text), want);
}

#define ALL .start_us = INT64_MIN, .end_us = INT64_MAX

TAP_CASE(the_feed_tells_every_change_and_ages_rows)
{
    fixture f;
    fixture_begin(&f);
    int64_t count = 0;
    expect_feed(&f, (dl_index_change_query){ALL, .limit = 10}, "");
    expect_feed(&f, (dl_index_change_query){.newest = true}, "");
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "1", ""));
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "2", ""));
    TAP_OK(fixture_delete(&f, "1.2", "1.2.3", "1", 0, &count), f.err);
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "1", ""));
    expect_feed(&f, (dl_index_change_query){ALL, .limit = 10},
                "1:1:1:1/3 2:1:2:2/2 3:3:1:1/3 4:1:1:3/3 ");
    expect_feed(&f, (dl_index_change_query){ALL, .limit = 2, .offset = 1, .metadata = true},
                "2:1:2:2/2m 3:3:1:1/3m ");
    expect_feed(&f,
                (dl_index_change_query){ALL, .limit = 10, .after_sequence = 1, .last_sequence = 2},
                "2:1:2:2/2 ");
    expect_feed(&f, (dl_index_change_query){ALL, .limit = 10, .offset = 4}, "");
    expect_feed(&f, (dl_index_change_query){ALL, .limit = 10, .offset = INT64_MAX}, "");
    expect_feed(&f, (dl_index_change_query){.newest = true, .metadata = true}, "4:1:1:3/3m ");
    TAP_OK(fixture_delete(&f, "1.2", "", "", 0, &count), f.err);
    TAP_EQ_INT(count, 2);
    expect_feed(&f,
                (dl_index_change_query){ALL, .limit = 10, .after_sequence = 3, .metadata = true},
                "4:1:1:3/0 5:3:2:2/0 6:3:1:3/0 ");
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

TAP_CASE(time_windows_are_found_by_their_edges)
{
    fixture f;
    fixture_begin(&f);
    for (int i = 0; i < 6; i++) {
        char sop[8];
        (void)snprintf(sop, sizeof sop, "1.%d", i);
        f.now_us = 1000 * (2000 + i / 2); /* two rows of (about) the same time */
        (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", sop, ""));
    }
    f.now_us = 1; /* the clock went back: times do not */
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "9", ""));
    expect_feed(
        &f, (dl_index_change_query){.start_us = INT64_MIN, .end_us = 2000 * 1000, .limit = 9}, "");
    expect_feed(&f,
                (dl_index_change_query){.start_us = INT64_MIN, .end_us = 2001 * 1000, .limit = 9},
                "1:1:1.0:1/1 2:1:1.1:2/2 ");
    expect_feed(&f,
                (dl_index_change_query){.start_us = 2001 * 1000, .end_us = 2002 * 1000, .limit = 9},
                "3:1:1.2:3/3 4:1:1.3:4/4 ");
    expect_feed(&f,
                (dl_index_change_query){
                    .start_us = 2001 * 1000, .end_us = INT64_MAX, .limit = 2, .offset = 2},
                "5:1:1.4:5/5 6:1:1.5:6/6 ");
    expect_feed(&f,
                (dl_index_change_query){.start_us = 2002 * 1000, .end_us = 3000 * 1000, .limit = 9},
                "5:1:1.4:5/5 6:1:1.5:6/6 7:1:9:7/7 ");
    expect_feed(
        &f, (dl_index_change_query){.start_us = 4000 * 1000, .end_us = INT64_MAX, .limit = 9}, "");
    expect_feed(&f, (dl_index_change_query){.start_us = INT64_MAX, .end_us = INT64_MIN, .limit = 9},
                "");
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

/* ---- cleanup queue, expiry ---- */

TAP_CASE(removed_versions_wait_in_the_queue)
{
    fixture f;
    fixture_begin(&f);
    int64_t count = 0;
    dl_index_garbage *list = NULL;
    size_t due = 0;
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "1", LO("00100020", "P")));
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "2", LO("00100020", "P")));
    TAP_OK(fixture_delete(&f, "1.2", "", "", 500, &count), f.err);
    TAP_OK(dl_index_garbage_due(f.index, &(dl_index_due){499, 10}, f.arena, &list, &due, &f.err),
           f.err);
    TAP_EQ_INT(due, 0);
    TAP_OK(dl_index_garbage_due(f.index, &(dl_index_due){500, 1}, f.arena, &list, &due, &f.err),
           f.err);
    TAP_EQ_INT(due, 1);
    TAP_EQ_INT(list[0].watermark, 1);
    TAP_EQ_STR(list[0].partition_name, "Microsoft.Default");
    dl_index_tx *tx = NULL;
    TAP_OK(dl_index_begin(f.index, &tx, &f.err), f.err);
    TAP_OK(dl_index_garbage_retry(tx, 1, 900, &f.err), f.err);
    TAP_OK(dl_index_garbage_done(tx, 2, &f.err), f.err);
    TAP_STATUS(dl_index_garbage_done(tx, 2, &f.err), DL_E_NOT_FOUND);
    TAP_STATUS(dl_index_garbage_retry(tx, 2, 900, &f.err), DL_E_NOT_FOUND);
    TAP_OK(dl_index_commit(tx, &f.err), f.err);
    TAP_OK(dl_index_garbage_due(f.index, &(dl_index_due){1000, 10}, f.arena, &list, &due, &f.err),
           f.err);
    TAP_EQ_INT(due, 1);
    TAP_EQ_INT(list[0].tries, 1);
    TAP_EQ_INT(fixture_check(&f), 0);
    TAP_OK(dl_index_begin(f.index, &tx, &f.err), f.err);
    TAP_OK(dl_index_garbage_done(tx, 1, &f.err), f.err);
    TAP_OK(dl_index_commit(tx, &f.err), f.err);
    TAP_EQ_INT(fixture_check(&f), 0);
    /* nothing of the patient is left in any table */
    dl_index_snapshot *s = NULL;
    dl_db_stmt *q = NULL;
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    TAP_OK(
        dl_db_query(s->conn->db,
                    "SELECT (SELECT count(*) FROM version) + (SELECT count(*) FROM metadata_base)"
                    " + (SELECT count(*) FROM study_text) + (SELECT count(*) FROM series_text)"
                    " + (SELECT count(*) FROM study_word) + (SELECT count(*) FROM study_modality)"
                    " + (SELECT count(*) FROM study WHERE patient_id IS NOT NULL)",
                    &q, &f.err),
        f.err);
    TAP_TRUE(dl_db_step(q));
    TAP_EQ_INT(dl_db_int(q, 0), 0);
    TAP_OK(dl_db_finish(q, &f.err), f.err);
    dl_index_snapshot_end(s);
    fixture_end(&f);
}

TAP_CASE(the_last_store_decides_when_a_study_expires)
{
    fixture f;
    fixture_begin(&f);
    dl_index_scope *list = NULL;
    size_t count = 0;
    dl_index_put put = fixture_put(&f, "1.2", "1.2.3", "1", "");
    put.expires_us = 700;
    (void)fixture_store(&f, put);
    TAP_OK(dl_index_expired(f.index, &(dl_index_due){699, 10}, f.arena, &list, &count, &f.err),
           f.err);
    TAP_EQ_INT(count, 0);
    TAP_OK(dl_index_expired(f.index, &(dl_index_due){700, 10}, f.arena, &list, &count, &f.err),
           f.err);
    TAP_EQ_INT(count, 1);
    TAP_EQ_STR(list[0].study_uid, "1.2");
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "2", "")); /* cancels it */
    TAP_OK(dl_index_expired(f.index, &(dl_index_due){9999, 10}, f.arena, &list, &count, &f.err),
           f.err);
    TAP_EQ_INT(count, 0);
    put = fixture_put(&f, "1.2", "1.2.3", "3", "");
    put.expires_us = 800;
    (void)fixture_store(&f, put);
    int64_t removed = 0;
    TAP_OK(fixture_delete(&f, "1.2", "", "", 0, &removed), f.err);
    TAP_OK(dl_index_expired(f.index, &(dl_index_due){9999, 10}, f.arena, &list, &count, &f.err),
           f.err);
    TAP_EQ_INT(count, 0);
    fixture_end(&f);
}

/** The worker lists studies first and deletes them one by one; stores go on meanwhile. */
TAP_CASE(a_store_after_the_list_saves_its_study)
{
    const int64_t later[] = {0, 701, 700};
    for (size_t i = 0; i < DL_COUNT_OF(later); i++) {
        fixture f;
        fixture_begin(&f);
        dl_index_scope *list = NULL;
        size_t count = 0;
        int64_t removed = 0;
        dl_index_tx *tx = NULL;
        dl_index_put put = fixture_put(&f, "1.2", "1.2.3", "1", "");
        put.expires_us = 600;
        (void)fixture_store(&f, put);
        TAP_OK(dl_index_expired(f.index, &(dl_index_due){700, 10}, f.arena, &list, &count, &f.err),
               f.err);
        TAP_EQ_INT(count, 1);
        put = fixture_put(&f, "1.2", "1.2.3", "2", "");
        put.expires_us = later[i];
        (void)fixture_store(&f, put);
        TAP_OK(dl_index_begin(f.index, &tx, &f.err), f.err);
        TAP_STATUS(dl_index_delete(tx, &list[0], 0, &removed, &f.err),
                   later[i] == 700 ? DL_OK : DL_E_NOT_FOUND);
        TAP_OK(dl_index_commit(tx, &f.err), f.err);
        TAP_EQ_INT(removed, later[i] == 700 ? 2 : 0);
        TAP_EQ_INT(fixture_check(&f), 0);
        fixture_end(&f);
    }
}

/** Not its study: a path with an empty segment must not reach further than a whole one. */
TAP_CASE(an_instance_without_its_series_is_nothing)
{
    fixture f;
    fixture_begin(&f);
    int64_t count = 0;
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "1", ""));
    TAP_STATUS(fixture_delete(&f, "1.2", "", "1", 0, &count), DL_E_NOT_FOUND);
    const dl_index_scope scope = {
        .partition = 1, .study_uid = DL_STR("1.2"), .sop_uid = DL_STR("1")};
    dl_index_snapshot *s = NULL;
    dl_index_version *list = NULL;
    size_t versions = 0;
    TAP_OK(dl_index_snapshot_begin(f.index, &s, &f.err), f.err);
    TAP_OK(dl_index_versions(s, &scope, f.arena, &list, &versions, &f.err), f.err);
    dl_index_snapshot_end(s);
    TAP_EQ_INT(versions, 0);
    fixture_end(&f);
}

TAP_CASE(deleting_what_is_not_there_is_not_found)
{
    fixture f;
    fixture_begin(&f);
    (void)fixture_store(&f, fixture_put(&f, "1.2", "1.2.3", "1", ""));
    static const char *const scopes[][3] = {
        {"1.3", "", ""}, {"1.2", "1.2.4", ""}, {"1.2", "1.2.3", "2"}, {"1.3", "1.2.3", "1"},
        {"x", "", ""},   {"1.2", "x", ""},     {"1.2", "1.2.3", "x"}};
    for (size_t i = 0; i < DL_COUNT_OF(scopes); i++) {
        int64_t count = 7;
        TAP_STATUS(fixture_delete(&f, scopes[i][0], scopes[i][1], scopes[i][2], 0, &count),
                   DL_E_NOT_FOUND);
        TAP_EQ_INT(count, 7);
    }
    int64_t count = 0;
    TAP_OK(fixture_delete(&f, "1.2 ", "1.2.3 ", "1 ", 0, &count), f.err); /* padded */
    TAP_EQ_INT(count, 1);
    TAP_STATUS(fixture_delete(&f, "1.2", "", "", 0, &count), DL_E_NOT_FOUND);
    TAP_EQ_INT(fixture_check(&f), 0);
    fixture_end(&f);
}

int main(void)
{
    TAP_RUN(uids_are_packed_in_order);
    TAP_RUN(text_is_folded);
    phrases_match_adjacent_word_prefixes_in_order();
    TAP_RUN(attributes_are_those_of_the_contract);
    TAP_RUN(partitions_and_settings_last);
    TAP_RUN(watermarks_are_never_given_twice);
    TAP_RUN(an_instance_is_stored_once_and_replaced_when_asked);
    TAP_RUN(bad_input_is_refused_and_the_transaction_goes_on);
    TAP_RUN(the_latest_value_that_is_not_empty_counts);
    TAP_RUN(the_feed_tells_every_change_and_ages_rows);
    TAP_RUN(time_windows_are_found_by_their_edges);
    TAP_RUN(removed_versions_wait_in_the_queue);
    TAP_RUN(the_last_store_decides_when_a_study_expires);
    TAP_RUN(a_store_after_the_list_saves_its_study);
    TAP_RUN(an_instance_without_its_series_is_nothing);
    TAP_RUN(deleting_what_is_not_there_is_not_found);
    return tap_done();
}
