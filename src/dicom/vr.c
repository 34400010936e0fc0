#include "dicom/internal.h"

/* PS3.5 table 6.2-1 and section 7.1.2. */
/* clang-format off */
static const dl_dicom_vr_info known[] = {
    {0, KIND_UNKNOWN, 1, true, false},
    {DL_VR('A', 'E'), KIND_TEXT,     1, false, false},
    {DL_VR('A', 'S'), KIND_TEXT,     1, false, false},
    {DL_VR('A', 'T'), KIND_BINARY,   4, false, false},
    {DL_VR('C', 'S'), KIND_TEXT,     1, false, false},
    {DL_VR('D', 'A'), KIND_TEXT,     1, false, false},
    {DL_VR('D', 'S'), KIND_NUMBER,   1, false, false},
    {DL_VR('D', 'T'), KIND_TEXT,     1, false, false},
    {DL_VR('F', 'D'), KIND_BINARY,   8, false, false},
    {DL_VR('F', 'L'), KIND_BINARY,   4, false, false},
    {DL_VR('I', 'S'), KIND_NUMBER,   1, false, false},
    {DL_VR('L', 'O'), KIND_TEXT,     1, false, true},
    {DL_VR('L', 'T'), KIND_PROSE,    1, false, true},
    {DL_VR('O', 'B'), KIND_BULK,     1, true,  false},
    {DL_VR('O', 'D'), KIND_BULK,     8, true,  false},
    {DL_VR('O', 'F'), KIND_BULK,     4, true,  false},
    {DL_VR('O', 'L'), KIND_BULK,     4, true,  false},
    {DL_VR('O', 'V'), KIND_BULK,     8, true,  false},
    {DL_VR('O', 'W'), KIND_BULK,     2, true,  false},
    {DL_VR('P', 'N'), KIND_NAME,     1, false, true},
    {DL_VR('S', 'H'), KIND_TEXT,     1, false, true},
    {DL_VR('S', 'L'), KIND_BINARY,   4, false, false},
    {DL_VR('S', 'Q'), KIND_SEQUENCE, 1, true,  false},
    {DL_VR('S', 'S'), KIND_BINARY,   2, false, false},
    {DL_VR('S', 'T'), KIND_PROSE,    1, false, true},
    {DL_VR('S', 'V'), KIND_BINARY,   8, true,  false},
    {DL_VR('T', 'M'), KIND_TEXT,     1, false, false},
    {DL_VR('U', 'C'), KIND_TEXT,     1, true,  true},
    {DL_VR('U', 'I'), KIND_TEXT,     1, false, false},
    {DL_VR('U', 'L'), KIND_BINARY,   4, false, false},
    {DL_VR('U', 'N'), KIND_BULK,     1, true,  false},
    {DL_VR('U', 'R'), KIND_PROSE,    1, true,  false},
    {DL_VR('U', 'S'), KIND_BINARY,   2, false, false},
    {DL_VR('U', 'T'), KIND_PROSE,    1, true,  true},
    {DL_VR('U', 'V'), KIND_BINARY,   8, true,  false},
};

/* Index into `known` by the two letters, from A. */
#define AT(a, b) [((a) - 'A') * 32 + ((b) - 'A')]
static const uint8_t by_letters[26 * 32] = {
    AT('A', 'E') = 1,  AT('A', 'S') = 2,  AT('A', 'T') = 3,  AT('C', 'S') = 4,  AT('D', 'A') = 5,
    AT('D', 'S') = 6,  AT('D', 'T') = 7,  AT('F', 'D') = 8,  AT('F', 'L') = 9,  AT('I', 'S') = 10,
    AT('L', 'O') = 11, AT('L', 'T') = 12, AT('O', 'B') = 13, AT('O', 'D') = 14, AT('O', 'F') = 15,
    AT('O', 'L') = 16, AT('O', 'V') = 17, AT('O', 'W') = 18, AT('P', 'N') = 19, AT('S', 'H') = 20,
    AT('S', 'L') = 21, AT('S', 'Q') = 22, AT('S', 'S') = 23, AT('S', 'T') = 24, AT('S', 'V') = 25,
    AT('T', 'M') = 26, AT('U', 'C') = 27, AT('U', 'I') = 28, AT('U', 'L') = 29, AT('U', 'N') = 30,
    AT('U', 'R') = 31, AT('U', 'S') = 32, AT('U', 'T') = 33, AT('U', 'V') = 34,
};
#undef AT
/* clang-format on */

const dl_dicom_vr_info *dl_dicom_vr_find(unsigned char a, unsigned char b)
{
    unsigned x = (unsigned)a - 'A';
    unsigned y = (unsigned)b - 'A';
    return x < 26 && y < 26 ? &known[by_letters[x * 32 + y]] : &known[0];
}

const dl_dicom_vr_info *dl_dicom_vr_of(dl_vr vr)
{
    return dl_dicom_vr_find((unsigned char)(vr >> 8), (unsigned char)(vr & 0xff));
}
