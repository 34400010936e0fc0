#include "pipeline/state_internal.h"

#include <string.h>
#include <xxhash.h>

/* A blob: for each of the six texts, a number in groups of 7 bits (0: NULL, else length + 1), then
 * its bytes. */

enum { TEXT_COUNT = 6, NUMBER_LIMIT_BYTES = 5 };

static void texts_of(const dl_state_shown *shown, dl_str out[TEXT_COUNT])
{
    out[0] = shown->study_date_text;
    out[1] = shown->study_description;
    out[2] = shown->issuer_of_patient_id;
    out[3] = shown->patient_id;
    out[4] = shown->patient_name;
    out[5] = shown->modality;
}

static char *put_number(char *at, size_t number)
{
    while (number >= 128) {
        *at++ = (char)((number & 127) | 128);
        number >>= 7;
    }
    *at++ = (char)number;
    return at;
}

static dl_status encode(dl_buf *blob, const dl_state_shown *shown, dl_error *err)
{
    dl_str texts[TEXT_COUNT];
    texts_of(shown, texts);
    size_t room = 0;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (texts[i].len > DL_STATE_SHOWN_LIMIT_BYTES) {
            return dl_error_set(err, DL_E_LIMIT,
                                "state index: a value of %zu bytes exceeds %d together",
                                texts[i].len, DL_STATE_SHOWN_LIMIT_BYTES);
        }
        room += texts[i].len + NUMBER_LIMIT_BYTES;
    }
    dl_buf_reset(blob);
    DL_TRY(dl_buf_reserve(blob, room, err));
    char *at = blob->ptr;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        at = put_number(at, texts[i].ptr == NULL ? 0 : texts[i].len + 1);
        if (texts[i].len > 0) {
            memcpy(at, texts[i].ptr, texts[i].len);
            at += texts[i].len;
        }
    }
    blob->len = (size_t)(at - blob->ptr);
    return DL_OK;
}

static bool take_text(dl_bytes *rest, dl_str *out_text)
{
    size_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (rest->len == 0 || shift > 28) {
            return false;
        }
        uint8_t byte = *rest->ptr;
        rest->ptr++;
        rest->len--;
        number |= (size_t)(byte & 127) << shift;
        if (byte < 128) {
            break;
        }
    }
    *out_text = DL_STR_NONE;
    if (number > 0) {
        if (number - 1 > rest->len) {
            return false;
        }
        *out_text = (dl_str){(const char *)rest->ptr, number - 1};
        rest->ptr += number - 1;
        rest->len -= number - 1;
    }
    return true;
}

dl_status dl_state_shown_of(dl_bytes blob, dl_state_shown *out_shown, dl_error *err)
{
    dl_state_shown shown = {0};
    if (blob.len > 0 &&
        !(take_text(&blob, &shown.study_date_text) && take_text(&blob, &shown.study_description) &&
          take_text(&blob, &shown.issuer_of_patient_id) && take_text(&blob, &shown.patient_id) &&
          take_text(&blob, &shown.patient_name) && take_text(&blob, &shown.modality) &&
          blob.len == 0)) {
        return dl_error_set(err, DL_E_CORRUPT, "state index: shown values are damaged");
    }
    *out_shown = shown;
    return DL_OK;
}

dl_status dl_state_shown_intern(dl_state *state, const dl_state_shown *shown, int64_t *out_id,
                                dl_error *err)
{
    DL_TRY(encode(&state->shown_blob, shown, err));
    dl_bytes blob = {(const uint8_t *)state->shown_blob.ptr, state->shown_blob.len};
    uint64_t hash = XXH3_64bits(blob.ptr, blob.len);
    dl_state_shown_slot *slot = &state->shown_slots[hash & (DL_STATE_SHOWN_SLOTS - 1)];
    if (slot->id != 0 && slot->hash == hash && slot->len == blob.len &&
        memcmp(slot->bytes, blob.ptr, blob.len) == 0) {
        *out_id = slot->id;
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "INSERT INTO shown(blob) VALUES(?1)", &q, err));
    dl_db_bind_bytes(q, 1, blob);
    DL_TRY(dl_db_run(q, err));
    *out_id = dl_db_last_id(state->db);
    if (blob.len <= DL_STATE_SHOWN_KEPT_BYTES) {
        slot->id = *out_id;
        slot->hash = hash;
        slot->len = blob.len;
        memcpy(slot->bytes, blob.ptr, blob.len);
    }
    return DL_OK;
}

/* ---- those that nobody has ---- */

static void bitmap_destroyp(dl_delta_bitmap **bitmap)
{
    dl_delta_bitmap_destroy(*bitmap);
}

static dl_status add_used(dl_state *state, dl_delta_bitmap *used, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT shown FROM instance", &q, err));
    dl_status status = DL_OK;
    int64_t last = 0;
    while (status == DL_OK && dl_db_step(q)) {
        int64_t id = dl_db_int(q, 0);
        if (id > 0 && id != last) {
            status = dl_delta_bitmap_add(used, (uint64_t)id, NULL, err);
            last = id;
        }
    }
    return dl_state_end(q, status, err);
}

/** The first after `*id` that is not `used`; 0: there is none. */
static dl_status next_idle(dl_state *state, const dl_delta_bitmap *used, int64_t *id, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT id FROM shown WHERE id > ?1 ORDER BY id", &q, err));
    dl_db_bind_int(q, 1, *id);
    int64_t found = 0;
    while (found == 0 && dl_db_step(q)) {
        int64_t at = dl_db_int(q, 0);
        found = at > 0 && dl_delta_bitmap_has(used, (uint64_t)at) ? 0 : at;
    }
    DL_TRY(dl_db_finish(q, err));
    *id = found;
    return DL_OK;
}

dl_status dl_state_shown_sweep(dl_state *state, dl_error *err)
{
    DL_CLEANUP(bitmap_destroyp) dl_delta_bitmap *used = NULL;
    for (size_t i = 0; i < DL_STATE_SHOWN_SLOTS; i++) {
        state->shown_slots[i].id = 0;
    }
    DL_TRY(dl_delta_bitmap_create(&used, err));
    DL_TRY(add_used(state, used, err));
    for (int64_t id = 0;;) {
        DL_TRY(next_idle(state, used, &id, err));
        if (id == 0) {
            return DL_OK;
        }
        dl_db_stmt *q = NULL;
        DL_TRY(dl_state_query(state, "DELETE FROM shown WHERE id = ?1", &q, err));
        dl_db_bind_int(q, 1, id);
        DL_TRY(dl_db_run(q, err));
    }
}
