/* What the firmware asks of a board. A port is a folder of ports/ that answers this page; docs/FIRMWARE.md says how to write one. */
#ifndef EDGETOOL_PORT_H
#define EDGETOOL_PORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *board; /* for instance "mps2-an386" */
    const char *core;  /* for instance "cortex-m4" */
    uint32_t clock_hz; /* of the core, as it is set now */
    uint8_t counter;   /* ETF_COUNTER_...: what port_ticks counts */
    float counter_step; /* cycles or instructions a tick */
} port_board;

/* Clocks, UART and counter. Called once, before anything else of this page. */
void port_start(void);

/* What the board is, known after port_start. */
const port_board *port_describe(void);

/* A number that differs from that of the life before (PROTOCOL.md section 1). */
uint8_t port_boot(void);

/* The next byte received, or -1. Bytes are kept by an interrupt in a ring of PORT_RING_BYTES; what does not fit is lost, which the
 * frame's CRC then tells. */
int port_read(void);
#define PORT_RING_BYTES 1024u

/* Returns when a byte may have come; the core may sleep until then. */
void port_wait(void);

/* Sends all bytes; returns when the UART has taken the last. */
void port_write(const uint8_t *bytes, size_t size);

/* A free-running up-counter, and the ticks from one reading to a later one (less than a whole turn of the counter). Without a
 * counter always 0. */
uint32_t port_ticks(void);
uint32_t port_elapsed(uint32_t from, uint32_t to);

/* From hold to take received bytes wait in the UART, so that no interrupt for one falls into what is counted, and a counter that
 * needs interrupts of its own begins anew, so that they fall in the same places each time. What the UART has no room for is lost,
 * and the frame's CRC tells: a host that waits for its reply sends nothing meanwhile. */
void port_hold_bytes(void);
void port_take_bytes(void);

/* Microseconds since the start, modulo 2^32; never 0, which means that no clock is set. */
uint32_t port_time_us(void);

/* Keeps interrupts out; leave takes what enter gave. They nest. */
uint32_t port_critical_enter(void);
void port_critical_leave(uint32_t before);

/* Bytes that the stack may take, and the most it has taken since boot (by a pattern painted at start-up). */
uint32_t port_stack_size(void);
uint32_t port_stack_high_water(void);

#endif
