#include "dict/dict.h"

#include <string.h>

/* entries, repeating, slots_by_tag, slots_by_keyword, edition */
#include "dict_tables.h"

static uint32_t slot_of_tag(uint32_t tag)
{
    return (tag * TAG_MULTIPLIER) >> 18;
}

static uint32_t slot_of_keyword(dl_str keyword)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < keyword.len; i++) {
        h = (h ^ (uint8_t)keyword.ptr[i]) * 16777619u;
    }
    return (h ^ h >> 16) & (SLOT_COUNT - 1);
}

/** Elements of repeating groups: the group is even, and no plain element has the tag. */
static const dl_dict_entry *find_repeating(uint32_t tag)
{
    if ((tag >> 16 & 1) != 0 || (tag & 0xffff) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < DL_COUNT_OF(repeating); i++) {
        if ((tag & repeating[i].mask) == repeating[i].value) {
            return &entries[repeating[i].index];
        }
    }
    return NULL;
}

static bool may_repeat(uint32_t tag)
{
    switch (tag >> 24) {
    case 0x00:
        return tag >> 16 == 0x0020 || tag >> 16 == 0x0028;
    case 0x10:
    case 0x50:
    case 0x60:
    case 0x7f:
        return true;
    default:
        return false;
    }
}

const dl_dict_entry *dl_dict_find(uint32_t tag)
{
    uint32_t slot = slot_of_tag(tag);
    for (uint32_t step = 0; step <= LONGEST_PROBE; step++) {
        uint32_t found = slots_by_tag[(slot + step) & (SLOT_COUNT - 1)];
        if (found == 0) {
            break;
        }
        if (entries[found - 1].tag == tag) {
            return &entries[found - 1];
        }
    }
    return may_repeat(tag) ? find_repeating(tag) : NULL;
}

const dl_dict_entry *dl_dict_find_keyword(dl_str keyword)
{
    for (uint32_t slot = slot_of_keyword(keyword);; slot++) {
        uint32_t found = slots_by_keyword[slot & (SLOT_COUNT - 1)];
        if (found == 0) {
            return NULL;
        }
        if (dl_str_eq(dl_str_of(entries[found - 1].keyword), keyword)) {
            return &entries[found - 1];
        }
    }
}

bool dl_dict_parse_tag(dl_str text, uint32_t *out_tag)
{
    uint64_t value = 0;
    if (text.len == 8 && dl_str_hex_to_u64(text, &value)) {
        *out_tag = (uint32_t)value;
        return true;
    }
    const dl_dict_entry *entry = dl_dict_find_keyword(text);
    if (entry == NULL) {
        return false;
    }
    *out_tag = entry->tag;
    return true;
}

const char *dl_dict_edition(void)
{
    return edition;
}

size_t dl_dict_count(void)
{
    return DL_COUNT_OF(entries);
}

const dl_dict_entry *dl_dict_at(size_t index)
{
    return index < DL_COUNT_OF(entries) ? &entries[index] : NULL;
}
