/* What a test image may ask of the emulated board. */
#ifndef EDGETOOL_TEST_TARGET_H
#define EDGETOOL_TEST_TARGET_H

#include <stdint.h>

void target_print(const char *text);
void target_print_number(int32_t value);
void target_exit(int32_t status);

/* 24-bit up-counter of processor clock ticks; differences are exact modulo 2^24. */
void target_ticks_start(void);
uint32_t target_ticks(void);

/* Fill the free stack with a pattern; bytes of it overwritten below the caller's frame since. */
void target_stack_paint(void);
uint32_t target_stack_used(void);

#endif
