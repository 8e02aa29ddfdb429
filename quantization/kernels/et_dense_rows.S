/* Four rows of int8 weights times int16 values on the DSP extension; see et_dense.h. Two rows share each lane as
 * a + 256 b. SMLALD on the packed words gives T = A + 256 B in 64 bits; A alone comes from SXTB16, which reads the a's
 * out of the packed words, and SMLAD; then B = (T - A) / 256. 14 instructions for 16 products and their loads.
 *
 * const int32_t *et_dense_rows(const int32_t *stream, const int16_t *x, int32_t count, int32_t sums[4])
 * r0 stream, r1 x; T of the first pair r2, r3, its A r4; T of the second r5, r6, its A r7; words r8-r11; x r12, lr.
 */
    .syntax unified
    .thumb
    .section .text.et_dense_rows, "ax", %progbits
    .balign 4
    .global et_dense_rows
    .type et_dense_rows, %function
    .thumb_func
et_dense_rows:
    push {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}
    add r2, r1, r2, lsl #1
    push {r2, r3}                 /* end of x */
    mov r2, #0
    mov r3, #0
    mov r4, #0
    mov r5, #0
    mov r6, #0
    mov r7, #0
1:
    .rept 2
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
    .endr
    ldr r8, [sp]
    cmp r1, r8
    bne 1b
    ldr r12, [sp, #8]             /* sums */
    subs r2, r2, r4
    sbc r3, r3, r4, asr #31
    lsr r2, r2, #8
    orr r2, r2, r3, lsl #24
    subs r5, r5, r7
    sbc r6, r6, r7, asr #31
    lsr r5, r5, #8
    orr r5, r5, r6, lsl #24
    str r4, [r12]
    str r2, [r12, #4]
    str r7, [r12, #8]
    str r5, [r12, #12]
    add sp, sp, #12
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_dense_rows, . - et_dense_rows
