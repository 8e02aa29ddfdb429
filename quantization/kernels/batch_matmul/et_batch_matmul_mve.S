/* Products of int16 values with int8 rows on Helium; see et_batch_matmul_arm.h.
 *
 * et_batch_matmul_rows: four rows at a time, one load and one VMLADAVA for 8 products. et_batch_matmul_columns: 16 columns
 * at a time, one load and one VMLA for 4 products.
 */
    .syntax unified
    .thumb

    .section .text.et_batch_matmul_rows, "ax", %progbits
    .balign 4
    .global et_batch_matmul_rows
    .type et_batch_matmul_rows, %function
    .thumb_func
/* r0 x, r1-r4 rows, r5 depth, r7 the first of x, r9 stride, r11 the next row; sums r6, r8, r10, r12; q2 factor. */
et_batch_matmul_rows:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    mov r7, r1
    mov r11, r2
    ldrd r5, r1, [r0]
    ldrd r9, r2, [r0, #8]
    vdup.32 q2, r2
    mov r0, r3
    push {r0, r1}                 /* y, columns */
1:
    mov r0, r7
    mov r1, r11
    add r2, r1, r9
    add r3, r2, r9
    add r4, r3, r9
    add r11, r4, r9
    mov r6, #0
    mov r8, #0
    mov r10, #0
    mov r12, #0
    dlstp.16 lr, r5
2:
    vldrh.u16 q0, [r0], #16
    vldrb.s16 q1, [r1], #8
    vmladava.s16 r6, q0, q1
    vldrb.s16 q1, [r2], #8
    vmladava.s16 r8, q0, q1
    vldrb.s16 q1, [r3], #8
    vmladava.s16 r10, q0, q1
    vldrb.s16 q1, [r4], #8
    vmladava.s16 r12, q0, q1
    letp lr, 2b
    vmov d0, r6, r8
    vmov d1, r10, r12
    ldrd r0, r1, [sp]
    vrmulh.s32 q0, q0, q2
    vqmovnb.s32 q0, q0
    vstrh.32 q0, [r0], #8
    subs r1, r1, #4
    strd r0, r1, [sp]
    bne 1b
    pop {r0, r1, r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size et_batch_matmul_rows, . - et_batch_matmul_rows

    .section .text.et_batch_matmul_columns, "ax", %progbits
    .balign 4
    .global et_batch_matmul_columns
    .type et_batch_matmul_columns, %function
    .thumb_func
/* r0 b, r1 x, r2 the columns' first of b, r3 y, r4 value, r5 depth, r6 columns left, r7 stride, r8 the first of x, r12
 * factor. */
et_batch_matmul_columns:
    push {r4, r5, r6, r7, r8, lr}
    vpush {d8, d9}
    mov r8, r1
    ldrd r5, r6, [r0]
    ldrd r7, r12, [r0, #8]
1:
    mov r0, r2
    mov r1, r8
    vmov.i32 q0, #0
    vmov.i32 q1, #0
    vmov.i32 q2, #0
    vmov.i32 q3, #0
    dls lr, r5
2:
    ldrsh r4, [r1], #2
    vldrb.s32 q4, [r0]
    vmla.s32 q0, q4, r4
    vldrb.s32 q4, [r0, #4]
    vmla.s32 q1, q4, r4
    vldrb.s32 q4, [r0, #8]
    vmla.s32 q2, q4, r4
    vldrb.s32 q4, [r0, #12]
    vmla.s32 q3, q4, r4
    add r0, r0, r7
    le lr, 2b
    vdup.32 q4, r12
  .irp q, q0, q1, q2, q3
    vrmulh.s32 \q, \q, q4
    vqmovnb.s32 \q, \q
    vstrh.32 \q, [r3], #8
  .endr
    add r2, r2, #16
    subs r6, r6, #16
    bne 1b
    vpop {d8, d9}
    pop {r4, r5, r6, r7, r8, pc}
    .size et_batch_matmul_columns, . - et_batch_matmul_columns
