#include "et_batch_matmul.h"

void et_batch_matmul_s16(const et_batch_matmul *product, const int16_t *a, const int16_t *b, int16_t *y) {
    for (int32_t i = 0; i < product->rows; ++i) {
        for (int32_t j = 0; j < product->columns; ++j) {
            const int16_t *row = &a[i * product->a_row];
            const int16_t *column = &b[j * product->b_column];
            int64_t sum = 0;
            for (int32_t k = 0; k < product->depth; ++k) {
                sum += (int32_t)row[k * product->a_step] * column[k * product->b_step];
            }
            *y++ = (int16_t)et_clamp(et_requantize_wide(sum, product->scale), INT16_MIN, INT16_MAX);
        }
    }
}
