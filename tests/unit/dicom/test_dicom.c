#include "dicom/dicom.h"

#include "tap.h"

TAP_CASE(reader_is_made)
{
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
    TAP_TRUE(reader != NULL);
}

int main(void)
{
    TAP_RUN(reader_is_made);
    return tap_done();
}
