/* et_mixed_matmul_s16 for processors with wide vectors: whole blocks of columns at once, the same bits. A program that links
 * this compiles et_mixed_matmul_s16.c with -Det_mixed_matmul_s16=et_mixed_matmul_s16_portable, which does what is left. */
#include "et_batch_matmul.h"

#define ET_COLUMNS 64

void et_mixed_matmul_s16_portable(const et_mixed_matmul *product, const int16_t *a, const int8_t *b, int16_t *y);

static void et_finish(const et_mixed_matmul *product, const int32_t *restrict sums, int32_t count,
                      int16_t *restrict y) {
    const int32_t factor = product->factor;
    if (factor != 0) {
        for (int32_t j = 0; j < count; ++j) {
            y[j] = (int16_t)et_clamp(et_upper_multiply(sums[j], factor), INT16_MIN, INT16_MAX);
        }
        return;
    }
    for (int32_t j = 0; j < count; ++j) {
        y[j] = (int16_t)et_clamp(et_requantize_wide(sums[j], product->scale), INT16_MIN, INT16_MAX);
    }
}

void et_mixed_matmul_s16(const et_mixed_matmul *product, const int16_t *a, const int8_t *b, int16_t *y) {
    const int rows_lie_apart = product->b_column == 1;
    if (!rows_lie_apart && !(product->a_step == 1 && product->b_step == 1)) {
        et_mixed_matmul_s16_portable(product, a, b, y);
        return;
    }
    const int32_t depth = product->depth;
    for (int32_t i = 0; i < product->rows; ++i, y += product->columns) {
        const int16_t *row = &a[i * product->a_row];
        for (int32_t first = 0; first < product->columns; first += ET_COLUMNS) {
            const int32_t rest = product->columns - first;
            const int32_t count = rest < ET_COLUMNS ? rest : ET_COLUMNS;
            int32_t sums[ET_COLUMNS] = {0};
            if (rows_lie_apart) {
                for (int32_t k = 0; k < depth; ++k) {
                    const int32_t factor = row[k * product->a_step];
                    const int8_t *from = &b[k * product->b_step + first];
                    for (int32_t j = 0; j < count; ++j) {
                        sums[j] += factor * from[j];
                    }
                }
            } else {
                for (int32_t j = 0; j < count; ++j) {
                    const int8_t *column = &b[(first + j) * product->b_column];
                    int32_t sum = 0;
                    for (int32_t k = 0; k < depth; ++k) {
                        sum += (int32_t)row[k] * column[k];
                    }
                    sums[j] = sum;
                }
            }
            et_finish(product, sums, count, &y[first]);
        }
    }
}
