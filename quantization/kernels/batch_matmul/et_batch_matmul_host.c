/* et_batch_matmul_mixed_s16 for processors with wide vectors: whole blocks of columns at once, the same bits. A program
 * that links this compiles et_batch_matmul_mixed_s16.c with -Det_batch_matmul_mixed_s16=et_batch_matmul_mixed_s16_portable,
 * which does what is left. */
#include "et_batch_matmul.h"
#include "et_host_dot.h"

#undef et_batch_matmul_mixed_s16
void et_batch_matmul_mixed_s16(const et_batch_matmul_mixed *product, const int16_t *a, const int8_t *b, int16_t *y);
void et_batch_matmul_mixed_s16_portable(const et_batch_matmul_mixed *product, const int16_t *a, const int8_t *b,
    int16_t *y);

/* y = the products of `sums`, of which there are as many as count and at least ET_COLUMNS in memory. */
static void finish(const et_batch_matmul_mixed *product, const int32_t *sums, int32_t count, int16_t *y) {
    const et_lanes factor = et_lanes_all(product->factor);
    int32_t j = 0;
    for (; product->factor != 0 && j + ET_LANES <= count; j += ET_LANES) {
        et_lanes_store_s16(&y[j], et_lanes_upper_multiply(et_lanes_load(&sums[j]), factor));
    }
    for (; j < count; ++j) {
        const int32_t value = product->factor != 0 ? et_upper_multiply(sums[j], product->factor)
                                                   : et_requantize_wide(sums[j], product->scale);
        y[j] = (int16_t)et_clamp(value, INT16_MIN, INT16_MAX);
    }
}

/* Columns of row times b that are done here, of the ones that the others can do too: whole blocks. */
static int32_t columns_of(const et_batch_matmul_mixed *product, const int16_t *row, const int8_t *b, int16_t *y) {
    int32_t sums[ET_COLUMNS];
    int32_t j = 0;
    if (product->b_column == 1) {
        for (; j + ET_COLUMNS <= product->columns; j += ET_COLUMNS) {
            et_host_columns(row, product->a_step, &b[j], product->b_step, product->depth, sums);
            finish(product, sums, ET_COLUMNS, &y[j]);
        }
        return j;
    }
    while (product->a_step == 1 && product->b_step == 1 && j + 4 <= product->columns) {
        int32_t count = 0;
        for (; count < ET_COLUMNS && j + count + 4 <= product->columns; count += 4) {
            et_host_dots(row, &b[(j + count) * product->b_column], product->b_column, product->depth, &sums[count]);
        }
        finish(product, sums, count, &y[j]);
        j += count;
    }
    return j;
}

void et_batch_matmul_mixed_s16(const et_batch_matmul_mixed *product, const int16_t *a, const int8_t *b, int16_t *y) {
    et_batch_matmul_mixed rest = *product;
    rest.rows = 1;
    for (int32_t i = 0; i < product->rows; ++i, y += product->columns) {
        const int16_t *row = &a[i * product->a_row];
        const int32_t done = columns_of(product, row, b, y);
        rest.columns = product->columns - done;
        if (rest.columns > 0) {
            et_batch_matmul_mixed_s16_portable(&rest, row, &b[done * product->b_column], &y[done]);
        }
    }
}
