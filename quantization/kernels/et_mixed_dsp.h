/* The assembly of et_mixed_dsp.S, which says what it computes. */
#ifndef ET_MIXED_DSP_H
#define ET_MIXED_DSP_H

#include <stdint.h>

void et_mixed_rows(const int32_t *x, const int8_t *rows, int32_t stride, int32_t blocks, int32_t sums[4]);
void et_mixed_columns(const int8_t *rows, int32_t stride, const int16_t *x, int32_t count, int32_t sums[4]);

/* Most columns that et_mixed_matmul_s16 expands on the stack for et_mixed_rows. */
#define ET_MIXED_MOST 256

#endif
