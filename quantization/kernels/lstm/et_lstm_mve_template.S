/* The units of one LSTM step on Helium (MVE), four units at a time. Define the macros, then include this file:
 *
 *   ET_LSTM_NAME                  void NAME(const et_lstm_mve_call *)
 *   ET_LSTM_INPUTS, ET_LSTM_UNITS
 *   ET_LSTM_INPUT_SHIFT_0 .. 3    et_lstm_numbers.input[gate].shift
 *   ET_LSTM_RECURRENT_SHIFT_0..3  et_lstm_numbers.recurrent[gate].shift
 *   ET_LSTM_FORGET_SHIFT, ET_LSTM_INPUT_CELL_SHIFT, ET_LSTM_HIDDEN_SHIFT, ET_LSTM_CELL_SHIFT, ET_LSTM_CELL_CLIP
 *
 * Products. A row is one load and one VMLADAV for 16 columns; up to 64 columns of x stay in q0-q3 for the 16 rows of a
 * group. Rows are padded with zero weights, and the last load of x is predicated, so nothing outside x is read.
 *
 * Requantization. VQRDMULH is the first rounding; the second, halves away from zero, is VRSHR after the sign is added.
 *
 * Activations. Two gathering loads fetch the straight line of a segment; the result is the upper halfword.
 *
 * The stream, per group of four units: for each gate the input rows of the four units, column chunk by column chunk (16
 * bytes of unit 0, of unit 1, ...), then their four int32 biases; the same again for the recurrent weights.
 *
 * r1 stream, r3 numbers, r5 cell, r7 hidden, r9 x, r10 hidden before, r11 units left; r0, r2, r4, r6 sums.
 */
    .syntax unified
    .thumb

#ifndef ET_LSTM_MVE_MACROS
#define ET_LSTM_MVE_MACROS

#define ET_NUMBERS_INPUT 16
#define ET_NUMBERS_RECURRENT 32
#define ET_NUMBERS_HIDDEN 48

/* Loads chunk \chunk of \count bytes at \pointer to \q; bytes beyond count are not read and become zero. */
.macro et_load_chunk q, pointer, count, chunk
  .if (\count) - 16 * (\chunk) >= 16
    vldrb.u8 \q, [\pointer, #16 * (\chunk)]
  .else
    mov r12, #(\count) - 16 * (\chunk)
    vctp.8 r12
    vpst
    vldrbt.u8 \q, [\pointer, #16 * (\chunk)]
  .endif
.endm

/* The columns of \pointer that stay in registers: the first four chunks. */
.macro et_load_columns pointer, count
  .if \count <= 64
    et_load_chunk q0, \pointer, \count, 0
    .if \count > 16
    et_load_chunk q1, \pointer, \count, 1
    .endif
    .if \count > 32
    et_load_chunk q2, \pointer, \count, 2
    .endif
    .if \count > 48
    et_load_chunk q3, \pointer, \count, 3
    .endif
  .endif
.endm

/* Four rows times one chunk of columns in \q. */
.macro et_rows_chunk mnemonic, q
    vldrb.u8 q6, [r1], #16
    \mnemonic r0, q6, \q
    vldrb.u8 q7, [r1], #16
    \mnemonic r2, q7, \q
    vldrb.u8 q6, [r1], #16
    \mnemonic r4, q6, \q
    vldrb.u8 q7, [r1], #16
    \mnemonic r6, q7, \q
.endm

/* q7 = biases + the sums of four rows with the columns at \pointer. Clobbers q6, and q0 above 64 columns. */
.macro et_rows pointer, count
  .if \count <= 64
    et_rows_chunk vmladav.s8, q0
    .if \count > 16
    et_rows_chunk vmladava.s8, q1
    .endif
    .if \count > 32
    et_rows_chunk vmladava.s8, q2
    .endif
    .if \count > 48
    et_rows_chunk vmladava.s8, q3
    .endif
  .else
    mov r0, #0
    mov r2, #0
    mov r4, #0
    mov r6, #0
    mov r8, \pointer
    mov r12, #\count
    wlstp.8 lr, r12, 2f
1:
    vldrb.u8 q0, [r8], #16
    vldrb.u8 q6, [r1], #16
    vmladava.s8 r0, q6, q0
    vldrb.u8 q7, [r1], #16
    vmladava.s8 r2, q7, q0
    vldrb.u8 q6, [r1], #16
    vmladava.s8 r4, q6, q0
    vldrb.u8 q7, [r1], #16
    vmladava.s8 r6, q7, q0
    letp lr, 1b
2:
  .endif
    vmov d14, r0, r2
    vmov d15, r4, r6
    vldrw.u32 q6, [r1], #16
    vadd.i32 q7, q7, q6
.endm

/* \q / 2^\shift to nearest, halves away from zero. */
.macro et_divide q, temporary, shift
    vshr.s32 \temporary, \q, #31
    vadd.i32 \q, \q, \temporary
    vrshr.s32 \q, \q, #\shift
.endm

/* q7 times the multiplier at numbers + \offset times 2^\shift. */
.macro et_requantize offset, shift
    ldr r8, [r3, #\offset]
  .if \shift > 0
    vshl.i32 q7, q7, #\shift
  .endif
    vqrdmulh.s32 q7, q7, r8
  .if \shift < 0
    et_divide q7, q6, -(\shift)
  .endif
.endm

/* Recurrent rows of gate \gate, plus the input product in half \half (b or t) of \packed, to the stack. */
.macro et_recurrent_gate gate, half, packed, shift
    et_rows r10, et_units
    et_requantize ET_NUMBERS_RECURRENT + 4 * \gate, \shift
    vqmovn\half\().s32 q6, q7
    vqadd.s16 q6, q6, \packed
    vmovl\half\().s16 q6, q6
    vstrw.32 q6, [sp, #16 * \gate]
.endm

/* \y in table steps becomes the activation in the upper halfword; \place is its line. */
.macro et_activate y, place, base, slope, temporary1, temporary2
    vldrw.u32 \temporary1, [\base, \place, uxtw #2]
    vldrh.u32 \temporary2, [\slope, \place, uxtw #1]
    vmul.i32 \temporary2, \temporary2, \y
    vadd.i32 \y, \temporary1, \temporary2
.endm

.macro et_sigmoid q, place, temporary1, temporary2
    vmul.i32 \q, \q, r8
    vshr.s32 \place, \q, #9
    et_activate \q, \place, r0, r2, \temporary1, \temporary2
.endm

/* Outside +-65280 the lines are flat, so that only the place needs its limits. */
.macro et_tanh y, place, temporary1, temporary2
    vqshl.s32 \place, \y, #15
    vshr.s32 \place, \place, #23
    vshl.i32 \y, \y, #8
    et_activate \y, \place, r4, r6, \temporary1, \temporary2
.endm

/* \op.\size \q, \address for the units that are left, where their number is not a multiple of four. */
.macro et_units_access op, size, q, address:vararg
  .if et_units % 4
    vpst
    \op\()t.\size \q, \address
  .else
    \op\().\size \q, \address
  .endif
.endm
#endif

    .set et_units, ET_LSTM_UNITS /* macros are read once, symbols at each use */
    .section .text.ET_LSTM_NAME, "ax", %progbits
    .balign 4
    .global ET_LSTM_NAME
    .type ET_LSTM_NAME, %function
    .thumb_func
ET_LSTM_NAME:
    push {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}
    vpush {d8, d9, d10, d11, d12, d13, d14, d15}
    sub sp, sp, #64
    ldmia r0, {r1, r3, r5, r7, r9, r10}
    mov r11, #ET_LSTM_UNITS
.balign 4
3:
    et_load_columns r9, ET_LSTM_INPUTS
    et_rows r9, ET_LSTM_INPUTS
    et_requantize ET_NUMBERS_INPUT, ET_LSTM_INPUT_SHIFT_0
    vqmovnb.s32 q4, q7
    et_rows r9, ET_LSTM_INPUTS
    et_requantize ET_NUMBERS_INPUT + 4, ET_LSTM_INPUT_SHIFT_1
    vqmovnt.s32 q4, q7
    et_rows r9, ET_LSTM_INPUTS
    et_requantize ET_NUMBERS_INPUT + 8, ET_LSTM_INPUT_SHIFT_2
    vqmovnb.s32 q5, q7
    et_rows r9, ET_LSTM_INPUTS
    et_requantize ET_NUMBERS_INPUT + 12, ET_LSTM_INPUT_SHIFT_3
    vqmovnt.s32 q5, q7
    et_load_columns r10, ET_LSTM_UNITS
    et_recurrent_gate 0, b, q4, ET_LSTM_RECURRENT_SHIFT_0
    et_recurrent_gate 1, t, q4, ET_LSTM_RECURRENT_SHIFT_1
    et_recurrent_gate 2, b, q5, ET_LSTM_RECURRENT_SHIFT_2
    et_recurrent_gate 3, t, q5, ET_LSTM_RECURRENT_SHIFT_3

    ldmia r3, {r0, r2, r4, r6}    /* tables */
    mov r8, #3
  .if ET_LSTM_UNITS % 4
    vctp.32 r11
  .endif
    vldrw.u32 q1, [sp, #16]       /* forget gate */
    et_sigmoid q1, q2, q3, q4
    vshr.s32 q1, q1, #16
    et_units_access vldrh, s32, q2, [r5]
    vmul.i32 q1, q1, q2           /* times the cell state, rounded twice */
    vrshr.s32 q1, q1, #1
    et_divide q1, q2, -(ET_LSTM_FORGET_SHIFT)
    vldrw.u32 q0, [sp]            /* input gate */
    et_sigmoid q0, q2, q3, q4
    vldrw.u32 q5, [sp, #32]       /* cell gate */
    vmul.i32 q5, q5, r8
    et_tanh q5, q2, q3, q4
    vmullt.s16 q0, q0, q5
    vrshr.s32 q0, q0, #1
    et_divide q0, q2, -(ET_LSTM_INPUT_CELL_SHIFT)
  .if ET_LSTM_INPUT_CELL_SHIFT > -14
    vqmovnb.s32 q0, q0
    vmovlb.s16 q0, q0
  .endif
    vadd.i32 q0, q0, q1
    vqmovnb.s32 q0, q0
    vmovlb.s16 q0, q0             /* new cell state */
  .if ET_LSTM_CELL_CLIP > 0
    movw r12, #ET_LSTM_CELL_CLIP
    vdup.32 q1, r12
    .if ET_LSTM_CELL_CLIP < 32767
    vmin.s32 q0, q0, q1
    .endif
    vneg.s32 q1, q1
    vmax.s32 q0, q0, q1
  .endif
    et_units_access vstrh, 32, q0, [r5], #8
    ldr r12, [r3, #ET_NUMBERS_HIDDEN + 8]
    vmul.i32 q0, q0, r12
  .if ET_LSTM_CELL_SHIFT < 0
    vrshr.s32 q0, q0, #-(ET_LSTM_CELL_SHIFT)
  .endif
    et_tanh q0, q2, q3, q4
    vldrw.u32 q1, [sp, #48]       /* output gate */
    et_sigmoid q1, q2, q3, q4
    vmullt.s16 q7, q0, q1
    et_requantize ET_NUMBERS_HIDDEN, ET_LSTM_HIDDEN_SHIFT
    ldr r12, [r3, #ET_NUMBERS_HIDDEN + 4]
    vadd.i32 q7, q7, r12
    vqmovnb.s32 q7, q7
    vqmovnb.s16 q7, q7
    et_units_access vstrb, 32, q7, [r7], #4
    subs r11, r11, #4
    bgt.w 3b
    add sp, sp, #64
    vpop {d8, d9, d10, d11, d12, d13, d14, d15}
    pop {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size ET_LSTM_NAME, . - ET_LSTM_NAME

#undef ET_LSTM_NAME
#undef ET_LSTM_INPUTS
#undef ET_LSTM_UNITS
#undef ET_LSTM_INPUT_SHIFT_0
#undef ET_LSTM_INPUT_SHIFT_1
#undef ET_LSTM_INPUT_SHIFT_2
#undef ET_LSTM_INPUT_SHIFT_3
#undef ET_LSTM_RECURRENT_SHIFT_0
#undef ET_LSTM_RECURRENT_SHIFT_1
#undef ET_LSTM_RECURRENT_SHIFT_2
#undef ET_LSTM_RECURRENT_SHIFT_3
#undef ET_LSTM_FORGET_SHIFT
#undef ET_LSTM_INPUT_CELL_SHIFT
#undef ET_LSTM_HIDDEN_SHIFT
#undef ET_LSTM_CELL_SHIFT
#undef ET_LSTM_CELL_CLIP
