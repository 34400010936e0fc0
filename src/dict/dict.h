/**
 * Dictionary: the DICOM data dictionary (PS3.6), read-only, generated from src/dict/data/.
 *
 * A tag is one 32-bit number, group in the upper half: 0x00100010 is (0010,0010).
 * Repeating groups (50xx, 60xx) and the few masked elements of PS3.6 are found by their concrete
 * tag. Private elements are not in it; a private creator element (gggg,0010-00FF, odd group) is
 * LO 1.
 *
 * Thread: immutable.
 * Standard: PS3.6 (the edition is dl_dict_edition()), PS3.5 section 6.2.
 */
#ifndef DL_DICT_DICT_H
#define DL_DICT_DICT_H

#include "base/str.h"

/** A value representation, as its two letters: DL_VR('P', 'N'). */
#define DL_VR(a, b) ((uint16_t)((unsigned)(a) << 8 | (unsigned)(b)))
typedef uint16_t dl_vr;

enum { DL_DICT_VM_UNBOUNDED = 255 };

typedef struct dl_dict_entry {
    uint32_t tag;
    dl_vr vr;               /* the first VR that PS3.6 names */
    dl_vr other_vrs[2];     /* "US or SS or OW": the others, 0 where there are none */
    uint8_t vm_min, vm_max; /* vm_max is DL_DICT_VM_UNBOUNDED for "n" */
    uint8_t vm_step;        /* 2 for "2-2n", else 1 */
    bool retired;
    const char *keyword; /* "PatientName"; never NULL */
} dl_dict_entry;

/** NULL when PS3.6 does not list the tag. */
const dl_dict_entry *dl_dict_find(uint32_t tag);
/** Case-sensitive, as in PS3.6; NULL when unknown. */
const dl_dict_entry *dl_dict_find_keyword(dl_str keyword);
/** Eight hex digits (either case) or a keyword; false for anything else. Unknown hex tags are fine.
 */
bool dl_dict_parse_tag(dl_str text, uint32_t *out_tag);
/** "2024c" and the like. */
const char *dl_dict_edition(void);
size_t dl_dict_count(void);
/** Entries in ascending order of tag, for tests and listings. */
const dl_dict_entry *dl_dict_at(size_t index);

#endif
