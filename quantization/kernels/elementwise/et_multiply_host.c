/* et_multiply_s16 for processors with wide vectors: the same bits. A program that links this compiles et_multiply_s16.c with
 * -Det_multiply_s16=et_multiply_s16_portable, which does what is not a row of neighbours. */
#include "et_elementwise.h"
#include "et_host.h"

#undef et_multiply_s16
void et_multiply_s16(const et_multiply *op, const int16_t *a, const int16_t *b, int16_t *y);
void et_multiply_s16_portable(const et_multiply *op, const int16_t *a, const int16_t *b, int16_t *y);

/* Elements k and on, or the one that is repeated. */
ET_INLINE et_lanes et_operand(const int16_t *from, int32_t stride, int32_t k) {
    return stride == 0 ? et_lanes_all(*from) : et_lanes_load_s16(&from[k]);
}

/* The elements of a row that fill vectors. */
static int32_t whole_vectors(const et_multiply *op, const int16_t *a, const int16_t *b, int16_t *y) {
    const et_axes *axes = &op->axes;
    const et_lanes a_zero = et_lanes_all(op->a_zero);
    const et_lanes b_zero = et_lanes_all(op->b_zero);
    const et_lanes_scale scale = et_lanes_prepare(op->scale);
    const et_lanes zero_point = et_lanes_all(op->zero_point);
    const et_lanes low = et_lanes_all(op->low);
    const et_lanes high = et_lanes_all(op->high);
    int32_t k = 0;
    for (; k + ET_LANES <= axes->count[2]; k += ET_LANES) {
        const et_lanes left = et_lanes_subtract(et_operand(a, axes->a_stride[2], k), a_zero);
        const et_lanes right = et_lanes_subtract(et_operand(b, axes->b_stride[2], k), b_zero);
        const et_lanes value = et_lanes_add(et_lanes_requantize(et_lanes_product(left, right), scale), zero_point);
        et_lanes_store_s16(&y[k], et_lanes_clamp(value, low, high));
    }
    return k;
}

void et_multiply_s16(const et_multiply *op, const int16_t *a, const int16_t *b, int16_t *y) {
    const et_axes *axes = &op->axes;
    const int32_t a_step = axes->a_stride[2];
    const int32_t b_step = axes->b_stride[2];
    if (axes->count[0] * axes->count[1] != 1 || (uint32_t)a_step > 1u || (uint32_t)b_step > 1u) {
        et_multiply_s16_portable(op, a, b, y);
        return;
    }
    const int32_t done = axes->count[2] < ET_LANES ? 0 : whole_vectors(op, a, b, y);
    et_multiply rest = *op;
    rest.axes.count[2] = axes->count[2] - done;
    if (rest.axes.count[2] > 0) {
        et_multiply_s16_portable(&rest, &a[done * a_step], &b[done * b_step], &y[done]);
    }
}
