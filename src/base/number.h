/**
 * Number: the shortest decimal text that reads back as the same number.
 *
 * A thin layer over the C++ library's std::to_chars, which C has no counterpart of: printf would
 * have to try precisions one after the other and read each back.
 *
 * Thread: pure functions.
 * Standard: RFC 8259 section 6 (what comes out is a JSON number).
 */
#ifndef DL_BASE_NUMBER_H
#define DL_BASE_NUMBER_H

#include <stddef.h>

enum { DL_NUMBER_TEXT_SIZE = 32 };

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The text of a finite number, not NUL-terminated; returns its length. Plain notation from 1e-5 to
 * 1e16 ("0.1", "100000"), exponents beyond ("1e+16", "5e-324"). Zero is "0", or "-0" with its sign.
 */
size_t dl_number_format(double value, char out[DL_NUMBER_TEXT_SIZE]);
/** The same for single precision: fewer digits tell it apart. */
size_t dl_number_format_float(float value, char out[DL_NUMBER_TEXT_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
