/* What cortex_m.c, the part of the port that all Cortex-M boards share, asks of one board. */
#ifndef EDGETOOL_CORTEX_M_H
#define EDGETOOL_CORTEX_M_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

typedef struct {
    const char *name;
    const char *core;
    uint8_t uart_interrupt; /* external interrupt of a received byte */
} board_facts;

extern const board_facts board;

/* Sets the clocks, then the UART: 921,600 baud, 8N1, an interrupt for every byte received. Returns the core clock, Hz. */
uint32_t board_start(void);

/* The byte that has come, or -1. Called by the interrupt until it returns -1. */
int board_receive(void);

/* Whether the UART takes a byte to send now; send it. */
bool board_may_send(void);
void board_send(uint8_t byte);

#endif
