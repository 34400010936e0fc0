#include "state_rig.h"

const dl_state_key key_a = {{"p", 1}, {"1.2", 3}, {"1.2.3", 5}, {"1.2.3.4", 7}};
const dl_state_shown shown_a = {{"20260105", 8}, {"d", 1},   {NULL, 0},
                                {"P1", 2},       {"A^B", 3}, {"CT", 2}};

int64_t file_of(dl_state *state, dl_state_kind kind, const char *path)
{
    dl_error err = {0};
    int64_t file = 0;
    TAP_OK(dl_state_file(state, kind, dl_str_of(path), &file, &err), err);
    return file;
}

void put_at(dl_state *state, const dl_state_key *key, int64_t time_us, int64_t file, int64_t row)
{
    dl_error err = {0};
    dl_state_instance instance = {
        .timestamp_us = time_us, .created_us = time_us, .place = {file, row}};
    TAP_OK(dl_state_put(state, key, &instance, &shown_a, &err), err);
}

dl_state_instance get(dl_state *state, const dl_state_key *key)
{
    dl_error err = {0};
    dl_state_instance instance = {0};
    TAP_OK(dl_state_get(state, key, &instance, &err), err);
    return instance;
}

void begin(dl_state *state)
{
    dl_error err = {0};
    TAP_OK(dl_state_begin(state, &err), err);
}

void commit(dl_state *state)
{
    dl_error err = {0};
    TAP_OK(dl_state_commit(state, &err), err);
}

static dl_status see_row(void *context, const dl_state_row *row, dl_error *err)
{
    (void)err;
    spots *s = context;
    s->count++;
    s->last = row->place;
    s->id = row->id;
    s->hash = row->written_hash;
    return DL_OK;
}

static dl_status see_place(void *context, dl_state_place place, dl_error *err)
{
    (void)err;
    spots *s = context;
    s->count++;
    s->last = place;
    return DL_OK;
}

spots dirty(dl_state *state, dl_state_kind kind)
{
    dl_error err = {0};
    spots s = {0};
    TAP_OK(dl_state_dirty(state, kind, 100, see_row, &s, &err), err);
    return s;
}

spots extras(dl_state *state, dl_state_kind kind)
{
    dl_error err = {0};
    spots s = {0};
    TAP_OK(dl_state_extras(state, kind, see_place, &s, &err), err);
    return s;
}
