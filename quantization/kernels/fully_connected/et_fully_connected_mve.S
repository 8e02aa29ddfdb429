/* One row of FULLY_CONNECTED on int16 or widened int8 for Helium, equal to et_fully_connected_sum32_s16; see
 * et_fully_connected_arm.h.
 *
 * Four units at a time: one load and one VMLADAVA for 8 products of int16 or 16 of int8. The stream, per four units: their
 * biases, then per 8 (16) columns the weights of each unit's columns; missing ones are zero.
 *
 * r0 x, r1 layer, r2 y, r3 units left, r4 stream; sums r6, r8, r10, r12; r5 depth, r7 the first of x, r9 factors, r11 their
 * step.
 */
    .syntax unified
    .thumb

.macro et_fully_connected_units name, bits, load_x
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push {r4, r5, r6, r7, r8, r9, r10, r11, lr}
    mov r7, r1
    mov r1, r0
    ldrd r5, r3, [r0]
    ldr r9, [r0, #12]
    ldrd r11, r4, [r0, #16]
1:
    ldmia r4!, {r6, r8, r10, r12}
    mov r0, r7
    dlstp.\bits lr, r5
2:
    \load_x q0, [r0], #16
  .irp sum, r6, r8, r10, r12
  .if \bits == 8
    vldrb.u8 q1, [r4], #16
  .else
    vldrb.s16 q1, [r4], #8
  .endif
    vmladava.s\bits \sum, q0, q1
  .endr
    letp lr, 2b
    vldrw.u32 q1, [r9]
    vmov d0, r6, r8
    vmov d1, r10, r12
    ldr r0, [r1, #8]
    vrmulh.s32 q0, q0, q1
    add r9, r9, r11
    vdup.32 q1, r0
    vmax.s32 q0, q0, q1
    vqmovnb.s32 q0, q0
    vctp.32 r3
    vpst
    vstrht.32 q0, [r2], #8
    subs r3, r3, #4
    bgt 1b
    pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}
    .size \name, . - \name
.endm

    et_fully_connected_units et_fully_connected_mve_s16, 16, vldrh.u16
    et_fully_connected_units et_fully_connected_mve_s8, 8, vldrb.u8
