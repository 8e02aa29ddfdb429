/* Arm MPS2 with application note AN500: Cortex-M7 at 25 MHz, UART0 on interrupt 0. */
#define BOARD_UART 0x40004000u
#define BOARD_UART_CLOCK_HZ 25000000u

#include "cmsdk_uart.h"

const board_facts board = {"mps2-an500", "cortex-m7", 0};

uint32_t board_start(void) {
    cmsdk_start();
    return BOARD_UART_CLOCK_HZ;
}
