/* Products of int16 values with raw int8 rows on the DSP extension, four sums at a time. See et_batch_matmul.h.
 *
 * void et_mixed_rows(const int32_t *x, const int8_t *rows, int32_t stride, int32_t blocks, int32_t sums[4])
 * sums[r] = x . row r, for rows `stride` apart. x holds, per block of four columns, columns (0, 2) and (1, 3) in lanes, as
 * SXTB16 takes them out of a word of the row. blocks is even. 22 instructions for 16 products and their loads.
 *
 * void et_mixed_columns(const int8_t *rows, int32_t stride, const int16_t *x, int32_t count, int32_t sums[4])
 * sums[j] = sum over k of x[k] * row k[j], for four neighbouring columns; count is a multiple of 4.
 */
    .syntax unified
    .thumb
    .section .text.et_mixed_rows, "ax", %progbits
    .balign 4
    .global et_mixed_rows
    .type et_mixed_rows, %function
    .thumb_func
et_mixed_rows:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    add r4, r1, r2
    add r5, r4, r2
    add r6, r5, r2
    mov r7, #0
    mov r8, #0
    mov r9, #0
    mov r10, #0
1:
    .rept 2
    ldrd r11, r12, [r0], #8
    ldr r2, [r1], #4
    sxtb16 lr, r2
    sxtb16 r2, r2, ror #8
    smlad r7, lr, r11, r7
    smlad r7, r2, r12, r7
    ldr r2, [r4], #4
    sxtb16 lr, r2
    sxtb16 r2, r2, ror #8
    smlad r8, lr, r11, r8
    smlad r8, r2, r12, r8
    ldr r2, [r5], #4
    sxtb16 lr, r2
    sxtb16 r2, r2, ror #8
    smlad r9, lr, r11, r9
    smlad r9, r2, r12, r9
    ldr r2, [r6], #4
    sxtb16 lr, r2
    sxtb16 r2, r2, ror #8
    smlad r10, lr, r11, r10
    smlad r10, r2, r12, r10
    .endr
    subs r3, r3, #2
    bne 1b
    ldr r0, [sp, #36]
    stmia r0, {r7, r8, r9, r10}
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_mixed_rows, . - et_mixed_rows

    .section .text.et_mixed_columns, "ax", %progbits
    .balign 4
    .global et_mixed_columns
    .type et_mixed_columns, %function
    .thumb_func
et_mixed_columns:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    mov r4, #0
    mov r5, #0
    mov r6, #0
    mov r7, #0
2:
    .rept 2
    ldr r10, [r2], #4
    ldr r8, [r0]
    ldr r11, [r0, r1]
    add r0, r0, r1, lsl #1
    sxtb16 r9, r8
    sxtb16 r8, r8, ror #8
    smlabb r4, r9, r10, r4
    smlabb r5, r8, r10, r5
    smlatb r6, r9, r10, r6
    smlatb r7, r8, r10, r7
    sxtb16 r9, r11
    sxtb16 r11, r11, ror #8
    smlabt r4, r9, r10, r4
    smlabt r5, r11, r10, r5
    smlatt r6, r9, r10, r6
    smlatt r7, r11, r10, r7
    .endr
    subs r3, r3, #4
    bne 2b
    ldr r0, [sp, #36]
    stmia r0, {r4, r5, r6, r7}
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_mixed_columns, . - et_mixed_columns
