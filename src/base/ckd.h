/**
 * Checked arithmetic under the names of C23's <stdckdint.h>: true when the result does not fit.
 */
#ifndef DL_BASE_CKD_H
#define DL_BASE_CKD_H

#define ckd_add(result, a, b) __builtin_add_overflow((a), (b), (result))
#define ckd_sub(result, a, b) __builtin_sub_overflow((a), (b), (result))
#define ckd_mul(result, a, b) __builtin_mul_overflow((a), (b), (result))

#endif
