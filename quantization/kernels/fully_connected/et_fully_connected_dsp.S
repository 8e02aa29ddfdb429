/* One row of FULLY_CONNECTED on int16 for the DSP extension, equal to et_fully_connected_sum32_s16; see
 * et_fully_connected_arm.h.
 *
 * Two rows of weights share each lane as a + 256 b. SMLALD on the packed words gives T = A + 256 B in 64 bits; A alone
 * comes from SXTB16, which reads the a's out of the packed words, and SMLAD; then B = (T - A) / 256. 14 instructions for 16
 * products and their loads. The stream, per four units: T of the first pair's biases (64 bits), its A, the same of the
 * second pair; then per four columns four words: columns (0, 1) and (2, 3) of the first pair, and of the second.
 *
 * void et_fully_connected_dsp(const et_fully_connected_arm *layer, const int16_t *x, int16_t *y)
 * r0 stream, r1 x; T of the first pair r2, r3, its A r4; T of the second r5, r6, its A r7; words r8-r11; x r12, lr.
 */
    .syntax unified
    .thumb

#define ET_FRAME_X 0
#define ET_FRAME_X_END 4
#define ET_FRAME_DEPTH 8     /* the fields of et_fully_connected_arm from here */
#define ET_FRAME_UNITS 12
#define ET_FRAME_LOW 16
#define ET_FRAME_FACTORS 20
#define ET_FRAME_STEP 24
#define ET_FRAME_Y 28
#define ET_FRAME_SIZE 32

.macro et_four_columns
    ldrd r12, lr, [r1], #8
    ldmia r0!, {r8, r9, r10, r11}
    smlald r2, r3, r8, r12
    smlald r5, r6, r10, r12
    smlald r2, r3, r9, lr
    smlald r5, r6, r11, lr
    sxtb16 r8, r8
    sxtb16 r9, r9
    sxtb16 r10, r10
    sxtb16 r11, r11
    smlad r4, r8, r12, r4
    smlad r7, r10, r12, r7
    smlad r4, r9, lr, r4
    smlad r7, r11, lr, r7
.endm

    .section .text.et_fully_connected_dsp, "ax", %progbits
    .balign 4
    .global et_fully_connected_dsp
    .type et_fully_connected_dsp, %function
    .thumb_func
et_fully_connected_dsp:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    sub sp, sp, #ET_FRAME_SIZE + 4
    ldmia r0, {r4, r5, r6, r7, r8, r9}
    add r3, r1, r4, lsl #1
    stmia sp, {r1, r3, r4, r5, r6, r7, r8}
    str r2, [sp, #ET_FRAME_Y]
    mov r0, r9
1:                            /* four units */
    ldr r12, [sp, #ET_FRAME_DEPTH]
    ldr r1, [sp, #ET_FRAME_X]
    ldmia r0!, {r2, r3, r4, r5, r6, r7}
    tst r12, #8
    bne 3f
2:                            /* sixteen columns */
    et_four_columns
    et_four_columns
3:
    et_four_columns
    et_four_columns
    ldr r8, [sp, #ET_FRAME_X_END]
    cmp r1, r8
    bne 2b
    subs r2, r2, r4
    sbc r3, r3, r4, asr #31
    lsr r2, r2, #8
    orr r2, r2, r3, lsl #24
    subs r5, r5, r7
    sbc r6, r6, r7, asr #31
    lsr r5, r5, #8
    orr r5, r5, r6, lsl #24
    ldr r12, [sp, #ET_FRAME_FACTORS]
    ldrd lr, r6, [sp, #ET_FRAME_STEP] /* and y */
    ldmia r12, {r8, r9, r10, r11}
    add r12, r12, lr
    str r12, [sp, #ET_FRAME_FACTORS]
    smmulr r4, r4, r8
    smmulr r2, r2, r9
    smmulr r7, r7, r10
    smmulr r5, r5, r11
    ldrd r3, r1, [sp, #ET_FRAME_UNITS] /* and low */
    cbz r1, 5f
    ssat r4, #16, r4
    ssat r2, #16, r2
    ssat r7, #16, r7
    ssat r5, #16, r5
4:
    cmp r3, #4
    blt 6f
    strh r4, [r6], #2
    strh r2, [r6], #2
    strh r7, [r6], #2
    strh r5, [r6], #2
    subs r3, r3, #4
    beq 7f
    str r3, [sp, #ET_FRAME_UNITS]
    str r6, [sp, #ET_FRAME_Y]
    b 1b
5:                            /* a low of 0 */
    usat r4, #15, r4
    usat r2, #15, r2
    usat r7, #15, r7
    usat r5, #15, r5
    b 4b
6:                            /* the last one to three units */
    strh r4, [r6]
    cmp r3, #2
    it ge
    strhge r2, [r6, #2]
    it gt
    strhgt r7, [r6, #4]
7:
    add sp, sp, #ET_FRAME_SIZE + 4
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_fully_connected_dsp, . - et_fully_connected_dsp
