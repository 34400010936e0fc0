/**
 * The header that gen writes: 139 elements in the order of the file, those in sequences included.
 *
 * A row says where the value comes from; gen.c encodes it (PS3.5, explicit VR little endian).
 * Thread: immutable.
 */
#ifndef DL_BENCH_GEN_HEADER_H
#define DL_BENCH_GEN_HEADER_H

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
typedef enum source {
    TEXT,   /* row.text as it stands */
    NUMBER, /* row.text as unsigned 16-bit numbers, separated by '\' */
    SEQUENCE, SEQUENCE_KNOWN, ITEM, ITEM_KNOWN, /* of unknown length, of known length */
    END_ITEM, END_SEQUENCE,
    PRIVATE, /* BLOCK[row.tag] with row.text as its creator */
    PIXELS, EDGE,
    SOP_CLASS, SOP_UID, STUDY_UID, SERIES_UID, FRAME_UID, STUDY_DATE, STUDY_TIME, INSTANCE_TIME,
    ACCESSION, MODALITY_OF, PHYSICIAN, STUDY_DESCRIPTION, SERIES_DESCRIPTION, PATIENT_NAME,
    PATIENT_ID, BIRTH_DATE, SEX, AGE, STUDY_ID, SERIES_NUMBER, INSTANCE_NUMBER, POSITION, LOCATION,
    SOURCE_COUNT,
} source;
/* clang-format on */

typedef struct row {
    uint32_t tag;
    char vr[3];
    source from;
    const char *text;
} row;

/* clang-format off */
static const row HEADER[] = {
    {0x00080005, "CS", TEXT, "ISO_IR 192"},
    {0x00080008, "CS", TEXT, "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI"},
    {0x00080012, "DA", STUDY_DATE, NULL},
    {0x00080013, "TM", INSTANCE_TIME, NULL},
    {0x00080016, "UI", SOP_CLASS, NULL},
    {0x00080018, "UI", SOP_UID, NULL},
    {0x00080020, "DA", STUDY_DATE, NULL},
    {0x00080021, "DA", STUDY_DATE, NULL},
    {0x00080022, "DA", STUDY_DATE, NULL},
    {0x00080023, "DA", STUDY_DATE, NULL},
    {0x00080030, "TM", STUDY_TIME, NULL},
    {0x00080031, "TM", STUDY_TIME, NULL},
    {0x00080032, "TM", INSTANCE_TIME, NULL},
    {0x00080033, "TM", INSTANCE_TIME, NULL},
    {0x00080050, "SH", ACCESSION, NULL},
    {0x00080060, "CS", MODALITY_OF, NULL},
    {0x00080070, "LO", TEXT, "ACME Imaging"},
    {0x00080080, "LO", TEXT, "St. Example General Hospital"},
    {0x00080081, "ST", TEXT, "1 Example Way, Exampletown"},
    {0x00080090, "PN", PHYSICIAN, NULL},
    {0x00081010, "SH", TEXT, "CT99999"},
    {0x00081030, "LO", STUDY_DESCRIPTION, NULL},
    {0x00081032, "SQ", SEQUENCE, NULL},
      {0, "", ITEM, NULL},
        {0x00080100, "SH", TEXT, "RPID16"},
        {0x00080102, "SH", TEXT, "RADLEX"},
        {0x00080104, "LO", TEXT, "CT Chest with IV contrast"},
      {0, "", END_ITEM, NULL},
    {0, "", END_SEQUENCE, NULL},
    {0x0008103E, "LO", SERIES_DESCRIPTION, NULL},
    {0x00081040, "LO", TEXT, "Radiology"},
    {0x00081050, "PN", TEXT, "Reader^Rita"},
    {0x00081070, "PN", TEXT, "Tech^Terry"},
    {0x00081090, "LO", TEXT, "Example Scanner 64"},
    {0x00081110, "SQ", SEQUENCE_KNOWN, NULL},
      {0, "", ITEM_KNOWN, NULL},
        {0x00081150, "UI", TEXT, "1.2.840.10008.3.1.2.3.1"},
        {0x00081155, "UI", FRAME_UID, NULL},
      {0, "", END_ITEM, NULL},
    {0, "", END_SEQUENCE, NULL},
    {0x00081140, "SQ", SEQUENCE_KNOWN, NULL},
      {0, "", ITEM_KNOWN, NULL},
        {0x00081150, "UI", TEXT, "1.2.840.10008.5.1.4.1.1.2"},
        {0x00081155, "UI", FRAME_UID, NULL},
      {0, "", END_ITEM, NULL},
      {0, "", ITEM_KNOWN, NULL},
        {0x00081150, "UI", TEXT, "1.2.840.10008.5.1.4.1.1.2"},
        {0x00081155, "UI", FRAME_UID, NULL},
      {0, "", END_ITEM, NULL},
    {0, "", END_SEQUENCE, NULL},
    {0x00082111, "ST", TEXT, "not lossy"},
    {0x00100010, "PN", PATIENT_NAME, NULL},
    {0x00100020, "LO", PATIENT_ID, NULL},
    {0x00100021, "LO", TEXT, "HOSP1"},
    {0x00100030, "DA", BIRTH_DATE, NULL},
    {0x00100040, "CS", SEX, NULL},
    {0x00101010, "AS", AGE, NULL},
    {0x00101020, "DS", TEXT, "1.72"},
    {0x00101030, "DS", TEXT, "71.5"},
    {0x00104000, "LT", TEXT, ""},
    {0x00180010, "LO", TEXT, "APPLIED"},
    {0x00180015, "CS", TEXT, "CHEST"},
    {0x00180022, "CS", TEXT, "HELICAL MODE"},
    {0x00180050, "DS", TEXT, "1.25"},
    {0x00180060, "DS", TEXT, "120"},
    {0x00180090, "DS", TEXT, "500"},
    {0x00181000, "LO", TEXT, "63742"},
    {0x00181020, "LO", TEXT, "acme CT\\VB20A"},
    {0x00181030, "LO", TEXT, "ThoraxRoutine"},
    {0x00181100, "DS", TEXT, "341"},
    {0x00181110, "DS", TEXT, "1085.6"},
    {0x00181111, "DS", TEXT, "595"},
    {0x00181120, "DS", TEXT, "0"},
    {0x00181130, "DS", TEXT, "133"},
    {0x00181140, "CS", TEXT, "CW"},
    {0x00181150, "IS", TEXT, "500"},
    {0x00181151, "IS", TEXT, "233"},
    {0x00181152, "IS", TEXT, "116"},
    {0x00181160, "SH", TEXT, "FLAT"},
    {0x00181170, "IS", TEXT, "28"},
    {0x00181190, "DS", TEXT, "0.7"},
    {0x00181200, "DA", STUDY_DATE, NULL},
    {0x00181201, "TM", STUDY_TIME, NULL},
    {0x00181210, "SH", TEXT, "B30f"},
    {0x00185100, "CS", TEXT, "HFS"},
    {0, "", PRIVATE, "ACME CT HEADER 1.0"},
    {0x0020000D, "UI", STUDY_UID, NULL},
    {0x0020000E, "UI", SERIES_UID, NULL},
    {0x00200010, "SH", STUDY_ID, NULL},
    {0x00200011, "IS", SERIES_NUMBER, NULL},
    {0x00200012, "IS", TEXT, "1"},
    {0x00200013, "IS", INSTANCE_NUMBER, NULL},
    {0x00200032, "DS", POSITION, NULL},
    {0x00200037, "DS", TEXT, "1\\0\\0\\0\\1\\0"},
    {0x00200052, "UI", FRAME_UID, NULL},
    {0x00201040, "LO", TEXT, ""},
    {0x00201041, "DS", LOCATION, NULL},
    {1, "", PRIVATE, "ACME RECON 1.0"},
    {0x00280002, "US", NUMBER, "1"},
    {0x00280004, "CS", TEXT, "MONOCHROME2"},
    {0x00280010, "US", EDGE, NULL},
    {0x00280011, "US", EDGE, NULL},
    {0x00280030, "DS", TEXT, "0.666015625\\0.666015625"},
    {0x00280100, "US", NUMBER, "16"},
    {0x00280101, "US", NUMBER, "12"},
    {0x00280102, "US", NUMBER, "11"},
    {0x00280103, "US", NUMBER, "0"},
    {0x00280106, "US", NUMBER, "0"},
    {0x00280107, "US", NUMBER, "4095"},
    {0x00281050, "DS", TEXT, "40\\-600"},
    {0x00281051, "DS", TEXT, "400\\1200"},
    {0x00281052, "DS", TEXT, "-1024"},
    {0x00281053, "DS", TEXT, "1"},
    {0x00281055, "LO", TEXT, "WINDOW1\\WINDOW2"},
    {2, "", PRIVATE, "ACME CSA HEADER"},
    {0x00400244, "DA", STUDY_DATE, NULL},
    {0x00400245, "TM", STUDY_TIME, NULL},
    {0x00400253, "SH", TEXT, "PPS0001"},
    {0x00400254, "LO", TEXT, "CT chest"},
    {0x00400275, "SQ", SEQUENCE, NULL},
      {0, "", ITEM, NULL},
        {0x00321060, "LO", TEXT, "CT chest with contrast"},
        {0x00400007, "LO", TEXT, "CT chest"},
        {0x00400009, "SH", TEXT, "SPS77123"},
        {0x00401001, "SH", TEXT, "RP77123"},
      {0, "", END_ITEM, NULL},
    {0, "", END_SEQUENCE, NULL},
    {0x7FE00010, "OW", PIXELS, NULL},
};

/* Private blocks: group, what its elements are, how many. */
static const struct {
    uint16_t group;
    bool binary;
    unsigned count;
} BLOCK[] = {{0x0019, false, 12}, {0x0021, false, 9}, {0x0029, true, 4}};
/* clang-format on */

#endif
