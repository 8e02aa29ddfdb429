/* The units of one LSTM step on the Arm DSP extension. Define the macros, then include this file:
 *
 *   ET_LSTM_NAME                  void NAME(const et_lstm_dsp_call *)
 *   ET_LSTM_INPUT_BLOCKS          inputs in blocks of four, rounded up; ET_LSTM_UNIT_BLOCKS the same of the units
 *   ET_LSTM_INPUT_SHIFT_0 .. 3    et_lstm_numbers.input[gate].shift
 *   ET_LSTM_RECURRENT_SHIFT_0..3  et_lstm_numbers.recurrent[gate].shift
 *   ET_LSTM_FORGET_SHIFT, ET_LSTM_INPUT_CELL_SHIFT, ET_LSTM_HIDDEN_SHIFT, ET_LSTM_CELL_SHIFT, ET_LSTM_CELL_CLIP
 *
 * Products. Two rows of weights share each 16-bit lane as h = a + 256 b, so that SMLAD on the packed words gives
 * T = A + 256 B, two rows at once. A alone is needed too and costs three instructions for four products by Winograd's
 * identity (x2 + w0)(x0 + w2) = x0 x2 + w0 x0 + w2 x2 + w0 w2: SXTAB16 reads the a's out of the packed words and adds the
 * other columns. Then B = (T - A) / 256. The terms in w are part of the bias, those in x are summed once a step. Eight
 * products cost five instructions and their share of the loads. The generator asserts |weight| <= 127 and |2 B| < 2^23.
 *
 * Requantization. Inputs are expanded to 2 (x - zero point), so sums carry twice their value and SMMLAR's rounding of the
 * upper word is the specified first rounding; its addend is the half of the second rounding, whose sign correction is
 * one add; SSAT shifts and limits.
 *
 * Activations. The tables hold straight lines scaled so that the result is the upper halfword, which SMULxT reads.
 *
 * The stream, per unit: biases T, A of gates (input, forget), T, A of (cell, output); the input blocks, four words each
 * (columns 0, 2 and 1, 3 of the first pair of gates, then of the second); the same again for the recurrent weights.
 * In the unit loop all of r0-r12 and lr are in use; lr is the stream.
 */
    .syntax unified
    .thumb

#define ET_FRAME_INPUT 0      /* input_words, input_term */
#define ET_FRAME_RECURRENT 8  /* hidden_words, hidden_term */
#define ET_FRAME_NUMBERS 16
#define ET_FRAME_END 24
#define ET_FRAME_CELL 28      /* cell, hidden */
#define ET_FRAME_GATES 36     /* packed input products */
#define ET_FRAME_SIZE 48

#ifndef ET_LSTM_DSP_MACROS
#define ET_LSTM_DSP_MACROS

/* Blocks of four columns above which the products are a loop and not unrolled, for code size. */
#ifndef ET_LSTM_UNROLL
#define ET_LSTM_UNROLL 32
#endif

/* One block: four words of weights at lr, columns (0, 2) in \x and (1, 3) in \y. */
.macro et_block x, y
    ldmia lr!, {r2, r3, r4, r5}
    smlad r0, r2, \x, r0
    smlad r10, r4, \x, r10
    smlad r0, r3, \y, r0
    smlad r10, r5, \y, r10
    sxtab16 r2, \y, r2
    sxtab16 r3, \x, r3
    sxtab16 r4, \y, r4
    sxtab16 r5, \x, r5
    smlad r1, r2, r3, r1
    smlad r11, r4, r5, r11
.endm

/* Twice the four sums of a unit: A in r1 and r11, 256 B in r0 and r10. \frame holds the words and Winograd's term. */
.macro et_products blocks, frame
    ldrd r7, r6, [sp, #\frame]
    ldmia lr!, {r0, r1, r10, r11}
    sub r1, r1, r6
    sub r11, r11, r6
  .if \blocks <= ET_LSTM_UNROLL
    .rept \blocks / 2
    ldmia r7!, {r6, r8, r9, r12}
    et_block r6, r8
    et_block r9, r12
    .endr
    .if \blocks % 2
    ldrd r6, r8, [r7]
    et_block r6, r8
    .endif
  .else
    mov r12, #\blocks / 4
1:
    .rept 4
    ldrd r6, r8, [r7], #8
    et_block r6, r8
    .endr
    subs r12, r12, #1
    bne 1b
    .rept \blocks % 4
    ldrd r6, r8, [r7], #8
    et_block r6, r8
    .endr
  .endif
    sub r0, r0, r1
    sub r10, r10, r11
.endm

/* \result = saturated requantization of half of \doubled; \sign has its sign. \result holds the multiplier before. */
.macro et_requantize result, doubled, sign, rounding, shift
  .if \shift < 0
    smmlar \result, \doubled, \result, \rounding
    add \result, \result, \sign, asr #31
    ssat \result, #16, \result, asr #-(\shift)
  .else
    .if \shift > 0
    lsl \doubled, \doubled, #\shift
    .endif
    smmulr \result, \doubled, \result
    ssat \result, #16, \result
  .endif
.endm

/* The four products of a unit, packed: (input, forget) in r2, (cell, output) in r3. */
.macro et_requantize_four offset, shift0, shift1, shift2, shift3
    ldr r7, [sp, #ET_FRAME_NUMBERS]
    .if \offset
    adds r7, r7, #\offset
    .endif
    ldmia r7, {r2, r3, r4, r5, r6, r8, r9, r12}
    et_requantize r2, r1, r1, r6, \shift0
    asr r1, r0, #8
    et_requantize r3, r1, r0, r8, \shift1
    et_requantize r4, r11, r11, r9, \shift2
    asr r11, r10, #8
    et_requantize r5, r11, r10, r12, \shift3
    pkhbt r2, r2, r3, lsl #16
    pkhbt r3, r4, r5, lsl #16
.endm

/* \value: y in table steps; becomes the activation in the upper halfword. \bits is log2 of a line's length. */
.macro et_line value, table, bits, address, slope
    asr \address, \value, #\bits
    add \address, \table, \address, lsl #3
    ldrd \address, \slope, [\address]
    mla \value, \slope, \value, \address
.endm
#endif

    .section .text.ET_LSTM_NAME, "ax", %progbits
    .balign 4
    .global ET_LSTM_NAME
    .type ET_LSTM_NAME, %function
    .thumb_func
ET_LSTM_NAME:
    push {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}
    sub sp, sp, #ET_FRAME_SIZE
    ldmia r0, {r1, r2, r3, r4, r5, r6, r7, r8, r9}
    stmia sp, {r1, r2, r3, r4, r5, r6, r7, r8, r9}
    mov lr, r6
.balign 4
2:
    et_products ET_LSTM_INPUT_BLOCKS, ET_FRAME_INPUT
    et_requantize_four 0, ET_LSTM_INPUT_SHIFT_0, ET_LSTM_INPUT_SHIFT_1, ET_LSTM_INPUT_SHIFT_2, ET_LSTM_INPUT_SHIFT_3
    strd r2, r3, [sp, #ET_FRAME_GATES]
    et_products ET_LSTM_UNIT_BLOCKS, ET_FRAME_RECURRENT
    et_requantize_four 32, ET_LSTM_RECURRENT_SHIFT_0, ET_LSTM_RECURRENT_SHIFT_1, ET_LSTM_RECURRENT_SHIFT_2, ET_LSTM_RECURRENT_SHIFT_3
    ldrd r4, r5, [sp, #ET_FRAME_GATES]
    qadd16 r0, r2, r4             /* input gate low, forget gate high */
    qadd16 r1, r3, r5             /* cell gate low, output gate high */
    ldr r12, [sp, #ET_FRAME_NUMBERS]
    adds r12, r12, #64
    ldmia r12, {r2, r3, r4, r5, r6, r7, r8, r9}
    smultb r10, r0, r2            /* forget gate, in table steps: times three */
    et_line r10, r3, 9, r11, r12
    smulbb r0, r0, r2             /* input gate */
    et_line r0, r3, 9, r11, r12
    ldr r12, [sp, #ET_FRAME_CELL]
    ldrsh r11, [r12]
    smlatb r10, r10, r11, r5      /* forget gate * cell state, both roundings, sign from the cell */
    asr r11, r11, #31
    add r10, r10, r11, lsl #1
    smulbb r11, r1, r2            /* cell gate */
    ssat r11, #17, r11
    et_line r11, r4, 8, r12, r5
    smlatt r0, r0, r11, r6        /* input gate * cell gate */
    asr r11, r11, #31
    add r0, r0, r11, lsl #1
  .if ET_LSTM_INPUT_CELL_SHIFT > -14
    ssat r0, #16, r0, asr #1 - (ET_LSTM_INPUT_CELL_SHIFT)
  .else
    asr r0, r0, #1 - (ET_LSTM_INPUT_CELL_SHIFT)
  .endif
    add r0, r0, r10, asr #1 - (ET_LSTM_FORGET_SHIFT)
    ssat r0, #16, r0
  .if ET_LSTM_CELL_CLIP == 32767
    cmn r0, #32768
    it eq
    addeq r0, r0, #1
  .elseif ET_LSTM_CELL_CLIP > 0
    movw r11, #ET_LSTM_CELL_CLIP
    cmp r0, r11
    it gt
    movgt r0, r11
    cmn r0, r11
    it lt
    rsblt r0, r11, #0
  .endif
    smultb r1, r1, r2             /* output gate */
    et_line r1, r3, 9, r11, r12
    ldrd r11, r12, [sp, #ET_FRAME_CELL]
    strh r0, [r11], #2
  .if ET_LSTM_CELL_SHIFT < 0
    smlabb r0, r0, r2, r7
    asr r0, r0, #-(ET_LSTM_CELL_SHIFT)
  .else
    smulbb r0, r0, r7
  .endif
    ssat r0, #17, r0
    et_line r0, r4, 8, r5, r6
    smultt r0, r0, r1             /* output gate * tanh(cell) */
    lsl r0, r0, #1
    smmlar r8, r0, r8, r9
    add r8, r8, r0, asr #31
    ssat r8, #8, r8, asr #-(ET_LSTM_HIDDEN_SHIFT)
    strb r8, [r12], #1
    strd r11, r12, [sp, #ET_FRAME_CELL]
    ldr r0, [sp, #ET_FRAME_END]
    cmp lr, r0
    bne.w 2b
    add sp, sp, #ET_FRAME_SIZE
    pop {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size ET_LSTM_NAME, . - ET_LSTM_NAME

#undef ET_LSTM_NAME
#undef ET_LSTM_INPUT_BLOCKS
#undef ET_LSTM_UNIT_BLOCKS
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
