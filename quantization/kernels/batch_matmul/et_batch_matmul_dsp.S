/* Products of int16 values with int8 rows on the DSP extension; see et_batch_matmul_arm.h.
 *
 * et_batch_matmul_rows: the values are put on the stack in the order in which SXTB16 takes columns out of a word, (0, 2)
 * and (1, 3); then two rows at a time, 19 instructions for 16 products and their loads.
 *
 * et_batch_matmul_columns: four columns at a time. PKHBT and PKHTB put the bytes of two rows into one word, SXTB16 spreads
 * them, so that SMLAD adds both rows: 27 instructions for 16 products and their loads.
 */
    .syntax unified
    .thumb

/* \sum += the eight columns at \row times r5-r8. */
.macro et_eight_columns sum, row
    ldrd r9, r10, [\row], #8
    sxtb16 r11, r9
    sxtb16 r9, r9, ror #8
    smlad \sum, r11, r5, \sum
    smlad \sum, r9, r6, \sum
    sxtb16 r11, r10
    sxtb16 r10, r10, ror #8
    smlad \sum, r11, r7, \sum
    smlad \sum, r10, r8, \sum
.endm

.macro et_two_rows
    ldmia r0!, {r5, r6, r7, r8}
    et_eight_columns r3, r1
    et_eight_columns r4, r2
.endm

    .section .text.et_batch_matmul_rows, "ax", %progbits
    .balign 4
    .global et_batch_matmul_rows
    .type et_batch_matmul_rows, %function
    .thumb_func
et_batch_matmul_rows:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    ldmia r0, {r4, r5, r6, r7}    /* depth, columns, stride, factor */
    push {r3, r5, r7}             /* y, columns, factor: above the words */
    mov r12, sp
    sub r0, sp, r4, lsl #1
    mov sp, r0
1:
    ldrd r8, r9, [r1], #8
    pkhbt r10, r8, r9, lsl #16
    pkhtb r11, r9, r8, asr #16
    strd r10, r11, [r0], #8
    cmp r0, r12
    bne 1b
    mov r1, r2
    add r2, r2, r6
    rsb lr, r4, r6, lsl #1        /* from the end of a row to the next but one */
2:                            /* two rows */
    mov r0, sp
    sub r3, r12, r0               /* 2 depth */
    tst r3, #16
    mov r3, #0
    mov r4, #0
    bne 4f
    .balign 4
3:                            /* sixteen columns */
    et_two_rows
4:
    et_two_rows
    cmp r0, r12
    bne 3b
    ldmia r12, {r5, r6, r7}       /* y, columns, factor */
    add r1, r1, lr
    add r2, r2, lr
    smmulr r3, r3, r7
    smmulr r4, r4, r7
    ssat r3, #16, r3
    ssat r4, #16, r4
    strh r3, [r5], #2
    strh r4, [r5], #2
    subs r6, r6, #2
    stmia r12, {r5, r6}
    bne 2b
    add r12, r12, #12
    mov sp, r12
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_batch_matmul_rows, . - et_batch_matmul_rows

/* Two rows of four columns, values in \x. */
.macro et_two_by_four x
    ldr r8, [r0]
    ldr r9, [r0, r1]
    add r0, r0, r1, lsl #1
    pkhbt r12, r8, r9, lsl #16
    pkhtb r9, r9, r8, asr #16
    sxtb16 r8, r12
    sxtb16 r12, r12, ror #8
    smlad r4, r8, \x, r4
    smlad r5, r12, \x, r5
    sxtb16 r8, r9
    sxtb16 r9, r9, ror #8
    smlad r6, r8, \x, r6
    smlad r7, r9, \x, r7
.endm

    .section .text.et_batch_matmul_columns, "ax", %progbits
    .balign 4
    .global et_batch_matmul_columns
    .type et_batch_matmul_columns, %function
    .thumb_func
/* r0 b, r1 stride, r2 x, r3 the end of x; sums r4-r7; words r8, r9, r12; x r10, r11; lr the next columns of b. */
et_batch_matmul_columns:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    ldmia r0, {r4, r5, r6, r7}    /* depth, columns, stride, factor */
    push {r1, r3, r5, r7}         /* x, y, columns, factor */
    mov lr, r2
    mov r2, r1
    mov r1, r6
    add r3, r2, r4, lsl #1
1:
    mov r0, lr
    mov r4, #0
    mov r5, #0
    mov r6, #0
    mov r7, #0
    .balign 4
2:
    ldrd r10, r11, [r2], #8
    et_two_by_four r10
    et_two_by_four r11
    cmp r2, r3
    bne 2b
    ldmia sp, {r2, r8, r9, r10}   /* x, y, columns, factor */
    smmulr r4, r4, r10
    smmulr r5, r5, r10
    smmulr r6, r6, r10
    smmulr r7, r7, r10
    ssat r4, #16, r4
    ssat r5, #16, r5
    ssat r6, #16, r6
    ssat r7, #16, r7
    strh r4, [r8], #2
    strh r5, [r8], #2
    strh r6, [r8], #2
    strh r7, [r8], #2
    subs r9, r9, #4
    strd r8, r9, [sp, #4]
    add lr, lr, #4
    bne 1b
    add sp, sp, #16
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_batch_matmul_columns, . - et_batch_matmul_columns
