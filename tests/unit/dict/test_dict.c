#include "dict/dict.h"

#include "tap.h"

enum { ENTRY_COUNT = 5124 }; /* rows of src/dict/data/elements.tsv */

TAP_CASE(entries_are_counted_and_sorted)
{
    TAP_EQ_INT(dl_dict_count(), ENTRY_COUNT);
    TAP_EQ_STR(dl_str_of(dl_dict_edition()), "2024c");
    for (size_t i = 1; i < dl_dict_count(); i++) {
        TAP_TRUE(dl_dict_at(i - 1)->tag < dl_dict_at(i)->tag);
    }
    TAP_TRUE(dl_dict_at(dl_dict_count()) == NULL);
}

TAP_CASE(every_entry_is_found_by_tag_and_keyword)
{
    for (size_t i = 0; i < dl_dict_count(); i++) {
        const dl_dict_entry *e = dl_dict_at(i);
        TAP_TRUE(dl_dict_find(e->tag) == e);
        TAP_TRUE(dl_dict_find_keyword(dl_str_of(e->keyword)) == e);
        TAP_TRUE(e->vm_min >= 1 && e->vm_min <= e->vm_max && e->vm_step >= 1);
    }
}

static const struct {
    uint32_t tag;
    dl_vr vr, other;
    const char *keyword;
    int vm_min, vm_max, vm_step;
    bool retired;
} spots[] = {
    /* clang-format off */
    {0x00020010, DL_VR('U', 'I'), 0, "TransferSyntaxUID",                     1, 1,                    1, false},
    {0x00080005, DL_VR('C', 'S'), 0, "SpecificCharacterSet",                  1, DL_DICT_VM_UNBOUNDED, 1, false},
    {0x00080008, DL_VR('C', 'S'), 0, "ImageType",                             2, DL_DICT_VM_UNBOUNDED, 1, false},
    {0x00100010, DL_VR('P', 'N'), 0, "PatientName",                           1, 1,                    1, false},
    {0x0020000d, DL_VR('U', 'I'), 0, "StudyInstanceUID",                      1, 1,                    1, false},
    {0x00280106, DL_VR('U', 'S'), DL_VR('S', 'S'), "SmallestImagePixelValue", 1, 1,                    1, false},
    {0x00283006, DL_VR('U', 'S'), DL_VR('O', 'W'), "LUTData",                 1, DL_DICT_VM_UNBOUNDED, 1, false},
    {0x30060050, DL_VR('D', 'S'), 0, "ContourData",                           3, DL_DICT_VM_UNBOUNDED, 3, false},
    {0x00282110, DL_VR('C', 'S'), 0, "LossyImageCompression",                 1, 1,                    1, false},
    {0x60003000, DL_VR('O', 'B'), DL_VR('O', 'W'), "OverlayData",             1, 1,                    1, false},
    {0x601e3000, DL_VR('O', 'B'), DL_VR('O', 'W'), "OverlayData",             1, 1,                    1, false},
    {0x50023000, DL_VR('O', 'B'), DL_VR('O', 'W'), "CurveData",               1, 1,                    1, true},
    {0x002031ff, DL_VR('C', 'S'), 0, "SourceImageIDs",                        1, DL_DICT_VM_UNBOUNDED, 1, true},
    {0x00280420, DL_VR('U', 'S'), 0, "RowsForNthOrderCoefficients",           1, 1,                    1, true},
    {0x7fe00010, DL_VR('O', 'B'), DL_VR('O', 'W'), "PixelData",               1, 1,                    1, false},
    {0x7fe00001, DL_VR('O', 'V'), 0, "ExtendedOffsetTable",                   1, 1,                    1, false},
    /* clang-format on */
};

TAP_CASE(spot_values)
{
    for (size_t i = 0; i < DL_COUNT_OF(spots); i++) {
        const dl_dict_entry *e = dl_dict_find(spots[i].tag);
        if (e == NULL) {
            TAP_FAIL("%08x is missing", spots[i].tag);
            continue;
        }
        TAP_EQ_STR(dl_str_of(e->keyword), spots[i].keyword);
        TAP_EQ_INT(e->vr, spots[i].vr);
        TAP_EQ_INT(e->other_vrs[0], spots[i].other);
        TAP_EQ_INT(e->vm_min, spots[i].vm_min);
        TAP_EQ_INT(e->vm_max, spots[i].vm_max);
        TAP_EQ_INT(e->vm_step, spots[i].vm_step);
        TAP_EQ_INT(e->retired, spots[i].retired);
    }
}

TAP_CASE(unknown_tags)
{
    static const uint32_t unknown[] = {0x00000000, 0x00090010, 0x60013000, 0x50010010, 0x00080004,
                                       0xffffffff, 0xfffee000, 0x10000000, 0x7f110010};
    for (size_t i = 0; i < DL_COUNT_OF(unknown); i++) {
        TAP_TRUE(dl_dict_find(unknown[i]) == NULL);
    }
    TAP_TRUE(dl_dict_find_keyword(DL_STR("patientname")) == NULL);
    TAP_TRUE(dl_dict_find_keyword(DL_STR("")) == NULL);
}

TAP_CASE(tags_are_parsed)
{
    uint32_t tag = 7;
    TAP_TRUE(dl_dict_parse_tag(DL_STR("0020000d"), &tag) && tag == 0x0020000d);
    TAP_TRUE(dl_dict_parse_tag(DL_STR("0020000D"), &tag) && tag == 0x0020000d);
    TAP_TRUE(dl_dict_parse_tag(DL_STR("00091001"), &tag) && tag == 0x00091001);
    TAP_TRUE(dl_dict_parse_tag(DL_STR("PatientID"), &tag) && tag == 0x00100020);
    TAP_TRUE(!dl_dict_parse_tag(DL_STR("0020000"), &tag));
    TAP_TRUE(!dl_dict_parse_tag(DL_STR("0020000g"), &tag));
    TAP_TRUE(!dl_dict_parse_tag(DL_STR("nonsense"), &tag));
    TAP_EQ_INT(tag, 0x00100020);
}

int main(void)
{
    TAP_RUN(entries_are_counted_and_sorted);
    TAP_RUN(every_entry_is_found_by_tag_and_keyword);
    TAP_RUN(spot_values);
    TAP_RUN(unknown_tags);
    TAP_RUN(tags_are_parsed);
    return tap_done();
}
