/* Arm MPS3 with application note AN547: Cortex-M55 at 32 MHz, secure alias of UART0, interrupt 33. */
#define BOARD_UART 0x59303000u
#define BOARD_UART_CLOCK_HZ 32000000u

#include "cmsdk_uart.h"

const board_facts board = {"mps3-an547", "cortex-m55", 33};

uint32_t board_start(void) {
    cmsdk_start();
    return BOARD_UART_CLOCK_HZ;
}
