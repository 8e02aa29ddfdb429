/* Arm MPS2+ with application note AN505: Cortex-M33 at 20 MHz, secure alias of UART0, interrupt 32. */
#define BOARD_UART 0x50200000u
#define BOARD_UART_CLOCK_HZ 20000000u

#include "cmsdk_uart.h"

const board_facts board = {"mps2-an505", "cortex-m33", 32};

uint32_t board_start(void) {
    cmsdk_start();
    return BOARD_UART_CLOCK_HZ;
}
