#include "et_batch_matmul.h"
#include "et_dot.h"

/* Sum of count elements, step apart. */
static int32_t strided_sum(const int8_t *values, int32_t step, int32_t count) {
    int32_t sum = 0;
    for (int32_t k = 0; k < count; ++k) {
        sum += values[k * step];
    }
    return sum;
}

static int32_t strided_dot(const int8_t *a, int32_t a_step, const int8_t *b, int32_t b_step, int32_t count) {
    int32_t sum = 0;
    for (int32_t k = 0; k < count; ++k) {
        sum += (int32_t)a[k * a_step] * b[k * b_step];
    }
    return sum;
}

/* sum (a - zero_a)(b - zero_b) = sum a b - zero_b sum a - zero_a sum b + depth zero_a zero_b: the inner loop has no
 * zero points, and sums whose factor is zero are not formed. */
void et_batch_matmul_s8(const et_batch_matmul *product, const int8_t *a, const int8_t *b, int8_t *y) {
    const int32_t corner = product->depth * product->a_zero * product->b_zero;
    const int contiguous = product->a_step == 1 && product->b_step == 1;
    for (int32_t i = 0; i < product->rows; ++i) {
        const int8_t *row = &a[i * product->a_row];
        const int32_t row_term =
            product->b_zero == 0 ? corner
                                 : corner - product->b_zero * strided_sum(row, product->a_step, product->depth);
        for (int32_t j = 0; j < product->columns; ++j) {
            const int8_t *column = &b[j * product->b_column];
            int32_t sum = row_term;
            if (product->a_zero != 0) {
                sum -= product->a_zero * strided_sum(column, product->b_step, product->depth);
            }
            sum = contiguous ? et_dot_s8(row, column, product->depth, sum)
                             : sum + strided_dot(row, product->a_step, column, product->b_step, product->depth);
            *y++ = (int8_t)et_clamp(et_requantize(sum, product->scale) + product->zero_point, INT8_MIN, INT8_MAX);
        }
    }
}
