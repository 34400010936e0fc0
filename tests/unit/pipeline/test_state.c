/* Limits of keys and values, where a row is after others moved it, changes and windows ahead. */
#include "state_rig.h"

/* ---- limits ---- */

TAP_CASE(keys_are_bounded)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    char text[DL_STATE_KEY_LIMIT_BYTES + 1];
    memset(text, 'x', sizeof text);
    begin(f.state);
    int64_t file = file_of(f.state, DL_STATE_INSTANCE, "a");
    for (size_t part = 0; part < 4; part++) {
        dl_state_key key = key_a;
        dl_str *texts[] = {&key.partition_name, &key.study_uid, &key.series_uid, &key.sop_uid};
        dl_state_instance instance = {.place = {file, 1}}, got = {0};
        *texts[part] = (dl_str){text, DL_STATE_KEY_LIMIT_BYTES};
        TAP_OK(dl_state_put(f.state, &key, &instance, &shown_a, &err), err);
        TAP_TRUE(get(f.state, &key).known);
        TAP_OK(dl_state_ahead_add(f.state, &key, 1, &(dl_state_change){1, 1, false}, &err), err);
        *texts[part] = (dl_str){text, DL_STATE_KEY_LIMIT_BYTES + 1};
        TAP_STATUS(dl_state_put(f.state, &key, &instance, &shown_a, &err), DL_E_LIMIT);
        TAP_STATUS(dl_state_get(f.state, &key, &got, &err), DL_E_LIMIT);
        TAP_STATUS(dl_state_ahead_add(f.state, &key, 1, &(dl_state_change){1, 1, false}, &err),
                   DL_E_LIMIT);
        *texts[part] = (dl_str){text, 0};
        TAP_STATUS(dl_state_put(f.state, &key, &instance, &shown_a, &err), DL_E_INVALID);
        TAP_STATUS(dl_state_ahead_add(f.state, &key, 1, &(dl_state_change){1, 1, false}, &err),
                   DL_E_INVALID);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(shown_values_and_paths_are_bounded)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    static char text[DL_STATE_PATH_LIMIT_BYTES + 1];
    memset(text, 'p', sizeof text);
    int64_t file = 0;
    begin(f.state);
    TAP_OK(dl_state_file(f.state, DL_STATE_INSTANCE, (dl_str){text, DL_STATE_PATH_LIMIT_BYTES},
                         &file, &err),
           err);
    TAP_STATUS(dl_state_file(f.state, DL_STATE_INSTANCE, (dl_str){text, sizeof text}, &file, &err),
               DL_E_LIMIT);
    size_t limit = DL_STATE_SHOWN_LIMIT_BYTES;
    char *big = calloc(limit + 1, 1);
    TAP_TRUE(big != NULL);
    dl_state_instance instance = {.place = {file, 1}};
    dl_state_shown shown = {.patient_id = {big, limit - 64}};
    TAP_OK(dl_state_put(f.state, &key_a, &instance, &shown, &err), err);
    shown.patient_id.len = limit + 1;
    TAP_STATUS(dl_state_put(f.state, &key_a, &instance, &shown, &err), DL_E_LIMIT);
    instance.timestamp_us = INT64_MAX;
    instance.created_us = -2;
    TAP_STATUS(dl_state_put(f.state, &key_a, &instance, &shown_a, &err), DL_E_INVALID);
    dl_state_rollback(f.state);
    free(big);
    fixture_close(&f);
}

TAP_CASE(more_series_than_memory_keeps)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    enum { COUNT = DL_STATE_ENTITY_LIMIT + 500 };
    begin(f.state);
    int64_t file = file_of(f.state, DL_STATE_INSTANCE, "a");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            char series[32], sop[32];
            dl_state_key key = key_a;
            (void)snprintf(series, sizeof series, "1.%d", i);
            (void)snprintf(sop, sizeof sop, "2.%d", round);
            key.series_uid = dl_str_of(series);
            key.sop_uid = dl_str_of(sop);
            put_at(f.state, &key, i, file, i);
        }
    }
    dl_state_totals totals = {0};
    TAP_OK(dl_state_totals_get(f.state, &totals, &err), err);
    TAP_EQ_INT(totals.instances, 2 * COUNT);
    TAP_EQ_INT(totals.series, COUNT);
    TAP_EQ_INT(totals.studies, 1);
    commit(f.state);
    fixture_close(&f);
}

TAP_CASE(uids_are_packed_in_their_order)
{
    static const char *const texts[] = {"\x01",  "-", "-1", ".",   "./", "/",  "0",       "0.",
                                        "00",    "1", "1.", "1.2", "12", "1:", "1A",      "1\xff",
                                        "2.1.1", "9", ":",  "A",   "a.", "~",  "\xff\xff"};
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        dl_state_packed a, b;
        char out[DL_STATE_KEY_LIMIT_BYTES];
        dl_str back = DL_STR_NONE;
        TAP_OK(dl_state_pack(dl_str_of(texts[i]), "UID", &a, &err), err);
        TAP_OK(dl_state_unpack((dl_bytes){a.bytes, a.len}, out, &back, &err), err);
        TAP_EQ_STR(back, texts[i]);
        for (size_t k = 0; k < DL_COUNT_OF(texts); k++) {
            TAP_OK(dl_state_pack(dl_str_of(texts[k]), "UID", &b, &err), err);
            int want = dl_str_compare(dl_str_of(texts[i]), dl_str_of(texts[k]));
            int got =
                dl_str_compare((dl_str){(char *)a.bytes, a.len}, (dl_str){(char *)b.bytes, b.len});
            TAP_TRUE((want > 0) - (want < 0) == (got > 0) - (got < 0));
        }
    }
    static const uint8_t bad[][3] = {{0x1f, 0, 0}, {0xf0, 0, 0}, {0x05, 0x50, 0}, {0, 0, 0}};
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        char out[DL_STATE_KEY_LIMIT_BYTES];
        dl_str back = DL_STR("kept");
        TAP_STATUS(dl_state_unpack((dl_bytes){bad[i], i == 2 ? 2 : 1}, out, &back, &err),
                   DL_E_CORRUPT);
        TAP_EQ_STR(back, "kept");
    }
}

/* ---- forwarding ---- */

TAP_CASE(rows_follow_chains_and_splits_past_dead_rows)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    TAP_OK(dl_delta_bitmap_create(&dead, &err), err);
    for (uint64_t r = 0; r < 200000; r += 2) { /* even rows are dead: a large bitmap */
        TAP_OK(dl_delta_bitmap_add(dead, r, NULL, &err), err);
    }
    begin(f.state);
    int64_t a = file_of(f.state, DL_STATE_INSTANCE, "a"),
            b = file_of(f.state, DL_STATE_INSTANCE, "b");
    int64_t c = file_of(f.state, DL_STATE_INSTANCE, "c"),
            d = file_of(f.state, DL_STATE_INSTANCE, "d");
    TAP_TRUE(a != b && file_of(f.state, DL_STATE_SERIES, "a") != a);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, b, 0, 100000, 10, dead}, &err), err);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, c, 100000, 200000, -50000, dead}, &err),
           err);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){b, d, 0, 100, 0, NULL}, &err), err);
    static const struct {
        int64_t row;
        char file;
        int64_t want;
    } cases[] = {{1, 'd', 10},        {179, 'd', 99},   {181, 'b', 100},
                 {99999, 'b', 50009}, {100001, 'c', 0}, {199999, 'c', 49999},
                 {0, 0, 0},           {199998, 0, 0},   {200000, 'a', 200000}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
            dl_state_place place = {a, cases[i].row};
            TAP_OK(dl_state_resolve(f.state, &place, &err), err);
            int64_t want = cases[i].file == 'a'   ? a
                           : cases[i].file == 'b' ? b
                           : cases[i].file == 'c' ? c
                           : cases[i].file == 'd' ? d
                                                  : 0;
            TAP_EQ_INT(place.file, want);
            TAP_EQ_INT(place.row, cases[i].want);
        }
        if (round == 0) {
            commit(f.state);
            fixture_reopen(&f);
        }
    }
    dl_state_place nowhere = {0};
    TAP_OK(dl_state_resolve(f.state, &nowhere, &err), err);
    TAP_EQ_INT(nowhere.file, 0);
    fixture_close(&f);
}

TAP_CASE(a_circle_of_files_is_damage)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    int64_t a = file_of(f.state, DL_STATE_INSTANCE, "a"),
            b = file_of(f.state, DL_STATE_INSTANCE, "b");
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, b, 0, 10, 0, NULL}, &err), err);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){b, a, 0, 10, 0, NULL}, &err), err);
    dl_state_place place = {a, 3};
    TAP_STATUS(dl_state_resolve(f.state, &place, &err), DL_E_CORRUPT);
    TAP_EQ_INT(place.file, a);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(a_long_chain_and_many_bitmaps_stay_within_the_bound)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    enum { CHAIN = 3000 };
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    TAP_OK(dl_delta_bitmap_create(&dead, &err), err);
    for (uint64_t r = 0; r < 20000; r += 2) {
        TAP_OK(dl_delta_bitmap_add(dead, r + 100, NULL, &err), err);
    }
    begin(f.state);
    int64_t files[CHAIN];
    for (int i = 0; i < CHAIN; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "f%d", i);
        files[i] = file_of(f.state, DL_STATE_INSTANCE, path);
        if (i > 0) {
            TAP_OK(dl_state_forward(
                       f.state, &(dl_state_move){files[i - 1], files[i], 0, 30000, 0, dead}, &err),
                   err);
        }
    }
    dl_state_place place = {files[0], 50};
    TAP_OK(dl_state_resolve(f.state, &place, &err), err);
    TAP_EQ_INT(place.file, files[CHAIN - 1]);
    TAP_EQ_INT(place.row, 50);
    TAP_TRUE(f.state->forward_bytes <= DL_STATE_FORWARD_KEPT_BYTES + (64 << 10));
    dl_state_rollback(f.state);
    fixture_close(&f);
}

/* ---- ahead ---- */

static dl_status see_ahead(void *context, const dl_state_change *change, dl_error *err)
{
    dl_buf *out = context;
    return dl_buf_printf(out, err, "%lld@%lld%s ", (long long)change->sequence,
                         (long long)change->timestamp_us, change->is_delete ? "-" : "+");
}

TAP_CASE(changes_ahead_come_back_in_order_until_they_are_behind)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    DL_AUTO_BUF out;
    dl_buf_init(&out, 4096);
    dl_state_key other = key_a;
    other.sop_uid = DL_STR("1.2.3.5");
    begin(f.state);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 1, &(dl_state_change){300, 30, true}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 1, &(dl_state_change){20, 2, false}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 1, &(dl_state_change){20, 2, false}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 2, &(dl_state_change){25, 9, false}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &other, 1, &(dl_state_change){21, 9, false}, &err), err);
    TAP_OK(dl_state_ahead(f.state, &key_a, 1, see_ahead, &out, &err), err);
    TAP_EQ_STR(dl_buf_str(&out), "20@2+ 300@30- ");
    /* What is behind stays as long as the key has something ahead. */
    TAP_OK(dl_state_ahead_prune(f.state, 1, 299, &err), err);
    dl_buf_reset(&out);
    TAP_OK(dl_state_ahead(f.state, &key_a, 1, see_ahead, &out, &err), err);
    TAP_OK(dl_state_ahead(f.state, &other, 1, see_ahead, &out, &err), err);
    TAP_OK(dl_state_ahead(f.state, &key_a, 2, see_ahead, &out, &err), err);
    TAP_EQ_STR(dl_buf_str(&out), "20@2+ 300@30- 25@9+ ");
    TAP_OK(dl_state_ahead_prune(f.state, 1, 300, &err), err);
    dl_buf_reset(&out);
    TAP_OK(dl_state_ahead(f.state, &key_a, 1, see_ahead, &out, &err), err);
    TAP_OK(dl_state_ahead(f.state, &key_a, 2, see_ahead, &out, &err), err);
    TAP_EQ_STR(dl_buf_str(&out), "25@9+ ");
    dl_buf_clear(&out);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(windows_are_absorbed_where_they_touch)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    TAP_OK(dl_state_window_add(f.state, 1, 100, 200, 20, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 100, 200, 19, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 200, 300, 30, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 150, 160, 31, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 301, 400, 40, &err), err);
    TAP_OK(dl_state_window_add(f.state, 2, 0, 1000, 99, &err), err);
    int64_t end = 99, sequence = 10;
    TAP_OK(dl_state_window_absorb(f.state, 1, &end, &sequence, &err), err);
    TAP_TRUE(end == 99 && sequence == 10);
    end = 100;
    TAP_OK(dl_state_window_absorb(f.state, 1, &end, &sequence, &err), err);
    TAP_EQ_INT(end, 300);
    TAP_EQ_INT(sequence, 31);
    end = 301;
    TAP_OK(dl_state_window_absorb(f.state, 1, &end, &sequence, &err), err);
    TAP_EQ_INT(end, 400);
    TAP_EQ_INT(sequence, 40);
    int64_t low = INT64_MIN;
    TAP_OK(dl_state_window_absorb(f.state, 2, &low, &sequence, &err), err);
    TAP_TRUE(low == INT64_MIN && sequence == 40);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

int main(void)
{
    TAP_RUN(keys_are_bounded);
    TAP_RUN(shown_values_and_paths_are_bounded);
    TAP_RUN(more_series_than_memory_keeps);
    TAP_RUN(uids_are_packed_in_their_order);
    TAP_RUN(rows_follow_chains_and_splits_past_dead_rows);
    TAP_RUN(a_circle_of_files_is_damage);
    TAP_RUN(a_long_chain_and_many_bitmaps_stay_within_the_bound);
    TAP_RUN(changes_ahead_come_back_in_order_until_they_are_behind);
    TAP_RUN(windows_are_absorbed_where_they_touch);
    return tap_done();
}
