/* Start-up of a bare image for the emulated Arm boards: vectors, memory, FPU, and a call of main.
 *
 * Output and exit go through semihosting (Arm's "Semihosting for AArch32 and AArch64", BKPT 0xAB).
 * SysTick counts the processor clock, which QEMU with -icount shift=0 derives from executed instructions:
 * one instruction is 1 ns of virtual time, so a tick is 1e9 / clock instructions (40 at 25 MHz).
 */
#include "target.h"

extern uint32_t image_data_start[], image_data_end[], image_data_load[], image_bss_start[], image_bss_end[];
extern uint32_t image_stack_top[], image_stack_bottom[];

int main(void);
void image_start(void);
static void image_fault(void);

typedef void (*vector)(void);

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    (vector)(uintptr_t)image_stack_top, image_start, image_fault, image_fault, image_fault, image_fault, image_fault,
};

static int32_t semihost(int32_t operation, const void *argument) {
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void target_print(const char *text) {
    (void)semihost(0x04, text);
}

void target_exit(int32_t status) {
    const uint32_t block[2] = {0x20026u, (uint32_t)status};
    (void)semihost(0x20, block);
    for (;;) {
    }
}

static void image_fault(void) {
    target_print("FAULT\n");
    target_exit(99);
}

void target_print_number(int32_t value) {
    char text[12];
    uint32_t left = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    int place = 11;
    text[place] = '\0';
    do {
        text[--place] = (char)('0' + (int)(left % 10u));
        left /= 10u;
    } while (left != 0u);
    if (value < 0) {
        text[--place] = '-';
    }
    target_print(&text[place]);
}

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018u)

void target_ticks_start(void) {
    SYSTICK_CONTROL = 0u;
    SYSTICK_RELOAD = 0xFFFFFFu;
    SYSTICK_VALUE = 0u;
    SYSTICK_CONTROL = 5u;
}

uint32_t target_ticks(void) {
    return 0xFFFFFFu - SYSTICK_VALUE;
}

#define STACK_PAINT 0xA5C3A5C3u

void target_stack_paint(void) {
    uint32_t marker;
    const uintptr_t end = (uintptr_t)&marker - 64u;
    for (volatile uint32_t *word = image_stack_bottom; (uintptr_t)word < end; ++word) {
        *word = STACK_PAINT;
    }
}

uint32_t target_stack_used(void) {
    uint32_t marker;
    const uint32_t *word = image_stack_bottom;
    while (*word == STACK_PAINT) {
        ++word;
    }
    return (uint32_t)((uintptr_t)&marker - (uintptr_t)word);
}

void image_start(void) {
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: FPU and MVE on */
    __asm__ volatile("dsb\n isb" ::: "memory");
    const uint32_t *from = image_data_load;
    for (uint32_t *to = image_data_start; to < image_data_end; ++to) {
        *to = *from++;
    }
    for (uint32_t *to = image_bss_start; to < image_bss_end; ++to) {
        *to = 0u;
    }
    target_exit(main());
}
