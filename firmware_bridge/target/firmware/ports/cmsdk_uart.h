/* Arm's CMSDK APB UART (DDI 0479), as on the MPS2 and MPS3 boards. BOARD_UART and BOARD_UART_CLOCK_HZ come from the board. */
#ifndef EDGETOOL_CMSDK_UART_H
#define EDGETOOL_CMSDK_UART_H

#include "cortex_m.h"

#define CMSDK_DATA REGISTER(BOARD_UART + 0x0u)
#define CMSDK_STATE REGISTER(BOARD_UART + 0x4u)
#define CMSDK_CONTROL REGISTER(BOARD_UART + 0x8u)
#define CMSDK_INTERRUPT REGISTER(BOARD_UART + 0xCu)
#define CMSDK_DIVIDER REGISTER(BOARD_UART + 0x10u)
#define CMSDK_SEND_FULL 1u
#define CMSDK_RECEIVE_FULL 2u
#define CMSDK_RECEIVED 2u
#define CMSDK_BAUD 921600u

static void cmsdk_start(void) {
    CMSDK_DIVIDER = BOARD_UART_CLOCK_HZ / CMSDK_BAUD;
    CMSDK_CONTROL = 1u | 2u | 8u; /* send, receive, interrupt on receive */
}

int board_receive(void) {
    if ((CMSDK_STATE & CMSDK_RECEIVE_FULL) == 0u) {
        return -1;
    }
    CMSDK_INTERRUPT = CMSDK_RECEIVED;
    return (int)(CMSDK_DATA & 0xFFu);
}

bool board_may_send(void) {
    return (CMSDK_STATE & CMSDK_SEND_FULL) == 0u;
}

void board_send(uint8_t byte) {
    CMSDK_DATA = byte;
}

#endif
