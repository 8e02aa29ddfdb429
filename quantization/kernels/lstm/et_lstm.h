/* One time step of an int8 LSTM layer with int16 cell state: TensorFlow Lite Micro's UNIDIRECTIONAL_SEQUENCE_LSTM
 * (lite/micro/kernels/lstm_eval.h), bit for bit. Gates are in the order input, forget, cell, output.
 */
#ifndef ET_LSTM_H
#define ET_LSTM_H

#include "et_math.h"

/* The scales of a layer. */
typedef struct {
    et_scale input[4];           /* input weights' sums to Q3.12, per gate */
    et_scale recurrent[4];       /* recurrent weights' sums to Q3.12, per gate */
    et_scale forget_cell;        /* forget gate (Q0.15) times cell state to cell state */
    et_scale input_cell;         /* input gate times cell gate (Q0.30) to cell state */
    et_scale hidden;             /* output gate times tanh of the cell (Q0.30) to the hidden state */
    int32_t cell_shift;          /* tanh's argument is 3 * cell * 2^cell_shift in its table's steps; 12 + log2(cell scale) */
    int32_t cell_clip;           /* cell state is limited to +-cell_clip; 0 means no limit but int16's */
    int32_t input_zero_point;    /* of the input, int8 */
    int32_t hidden_zero_point;   /* of the hidden state, int8; also the state after a reset */
} et_lstm_numbers;

/* Logistic function, Q3.12 to Q0.15, by interpolation in the table of 256 that TFLM has. */
int16_t et_sigmoid_q15(int16_t value);

/* Hyperbolic tangent of 3 * value * 2^shift table steps, to Q0.15; shift 0 is Q3.12. */
int16_t et_tanh_q15(int16_t value, int32_t shift);

/* The elementwise half of a unit: four gate sums (Q3.12) and the old cell state give the new cell state and the
 * new hidden state (returned, int8 range). */
int8_t et_lstm_unit(const et_lstm_numbers *numbers, const int16_t gate[4], int16_t *cell);

/* Portable layer. weights are [4][units][inputs] and [4][units][units]; the biases [4][units] contain
 * -zero point * row sum. x[inputs], hidden_before[units], cell[units] (updated), hidden[units] (written); hidden
 * must not overlap hidden_before. */
typedef struct {
    int32_t inputs;
    int32_t units;
    const int8_t *input_weights;
    const int8_t *recurrent_weights;
    const int32_t *input_bias;
    const int32_t *recurrent_bias;
} et_lstm_weights;

void et_lstm_step(const et_lstm_numbers *numbers, const et_lstm_weights *weights, const int8_t *x,
                  const int8_t *hidden_before, int16_t *cell, int8_t *hidden);

#endif
