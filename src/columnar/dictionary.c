#include "columnar/internal.h"

#include "base/cursor.h"
#include "base/mem.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    FIRST_WORDS = 32,
    FIRST_SLOTS = 64, /* always at least twice the words, so that a probe ends soon */
    LENGTH_BYTES = 4,
};
/* A row can bring this much in one leaf beyond DL_COLUMNAR_DICTIONARY_BYTES. */
static const size_t BYTES_LIMIT =
    (size_t)DL_COLUMNAR_ROW_LIMIT_BYTES + DL_COLUMNAR_DICTIONARY_BYTES;

static void forget(dl_columnar_dictionary *d)
{
    d->count = 1;
    d->last = 0;
    d->words[0] = (dl_columnar_word){.len = UINT32_MAX};
}

static bool grow_words(dl_columnar_dictionary *d)
{
    uint32_t cap = d->cap == 0 ? FIRST_WORDS : d->cap * 2;
    dl_columnar_word *words = dl_mem_resize(d->words, cap, sizeof *words);
    if (words == NULL) {
        return false;
    }
    d->words = words;
    d->cap = cap;
    if (d->count == 0) {
        forget(d);
        dl_buf_init(&d->bytes, BYTES_LIMIT);
    }
    return true;
}

static void put_slot(uint64_t *slots, uint32_t mask, uint32_t hash, uint32_t id)
{
    uint32_t at = hash & mask;
    while (slots[at] != 0) {
        at = (at + 1) & mask;
    }
    slots[at] = (uint64_t)hash << 32 | id;
}

static bool grow_slots(dl_columnar_dictionary *d)
{
    uint32_t slot_count = d->slot_count == 0 ? FIRST_SLOTS : d->slot_count * 2;
    uint64_t *slots = dl_mem_zalloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t id = 1; id < d->count; id++) {
        put_slot(slots, slot_count - 1, d->words[id].hash, id);
    }
    dl_mem_free(d->slots);
    d->slots = slots;
    d->slot_count = slot_count;
    return true;
}

/* Room for one word more. */
static bool make_room(dl_columnar_dictionary *d)
{
    return (d->count < d->cap || grow_words(d)) && (d->count * 2 <= d->slot_count || grow_slots(d));
}

static uint32_t add_word(dl_columnar_dictionary *d, dl_columnar_word word)
{
    uint32_t id = d->count++;
    d->words[id] = word;
    put_slot(d->slots, d->slot_count - 1, word.hash, id);
    return id;
}

uint32_t dl_columnar_dictionary_text(dl_columnar_dictionary *d, dl_str text)
{
    if (!make_room(d)) {
        return 0;
    }
    uint32_t hash = (uint32_t)XXH3_64bits(text.ptr, text.len);
    uint32_t mask = d->slot_count - 1;
    for (uint32_t at = hash & mask; d->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t id = (uint32_t)d->slots[at];
        const dl_columnar_word *word = &d->words[id];
        if (d->slots[at] >> 32 == hash && word->len == text.len &&
            dl_columnar_same(d->bytes.ptr + word->offset, text.ptr, text.len)) {
            return id;
        }
    }
    if (dl_buf_reserve(&d->bytes, LENGTH_BYTES + text.len, NULL) != DL_OK) {
        return 0;
    }
    dl_put_le32((uint8_t *)d->bytes.ptr + d->bytes.len, (uint32_t)text.len);
    uint32_t offset = (uint32_t)(d->bytes.len + LENGTH_BYTES);
    if (text.len > 0) {
        memcpy(d->bytes.ptr + offset, text.ptr, text.len);
    }
    d->bytes.len += LENGTH_BYTES + text.len;
    return add_word(d,
                    (dl_columnar_word){.offset = offset, .len = (uint32_t)text.len, .hash = hash});
}

uint32_t dl_columnar_dictionary_bits(dl_columnar_dictionary *d, uint64_t bits, size_t size_bytes)
{
    if (!make_room(d)) {
        return 0;
    }
    uint32_t hash = (uint32_t)((bits * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    uint32_t mask = d->slot_count - 1;
    for (uint32_t at = hash & mask; d->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t id = (uint32_t)d->slots[at];
        if (d->words[id].bits == bits) {
            return id;
        }
    }
    uint8_t plain[8];
    dl_put_le64(plain, bits);
    if (dl_buf_append(&d->bytes, plain, size_bytes, NULL) != DL_OK) {
        return 0;
    }
    return add_word(d, (dl_columnar_word){.bits = bits, .hash = hash});
}

void dl_columnar_dictionary_reset(dl_columnar_dictionary *d)
{
    if (d->count > 0) {
        forget(d);
        dl_buf_reset(&d->bytes);
    }
    if (d->slot_count > 0) {
        memset(d->slots, 0, d->slot_count * sizeof *d->slots);
    }
}

void dl_columnar_dictionary_clear(dl_columnar_dictionary *d)
{
    dl_mem_free(d->words);
    dl_mem_free(d->slots);
    dl_buf_clear(&d->bytes);
    *d = (dl_columnar_dictionary){0};
}
