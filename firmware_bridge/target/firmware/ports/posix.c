/* The firmware as a process: the link is standard input and output. For tests with sanitizers, and to try a host without a board. */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "edgetool_protocol.h"
#include "port.h"

static const port_board board = {"posix", "host", 0, ETF_COUNTER_NONE, 0.0f};

void port_start(void) {
}

const port_board *port_describe(void) {
    return &board;
}

uint8_t port_boot(void) {
    return (uint8_t)getpid();
}

int port_read(void) {
    uint8_t byte;
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got <= 0) {
        exit(0); /* the host has gone */
    }
    return byte;
}

void port_wait(void) {
}

void port_write(const uint8_t *bytes, size_t size) {
    while (size > 0) {
        const ssize_t done = write(STDOUT_FILENO, bytes, size);
        if (done <= 0) {
            exit(1);
        }
        bytes += done;
        size -= (size_t)done;
    }
}

uint32_t port_ticks(void) {
    return 0;
}

uint32_t port_elapsed(uint32_t from, uint32_t to) {
    return to - from;
}

void port_hold_bytes(void) {
}

void port_take_bytes(void) {
}

uint32_t port_time_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    const uint32_t microseconds = (uint32_t)now.tv_sec * 1000000u + (uint32_t)(now.tv_nsec / 1000);
    return microseconds == 0u ? 1u : microseconds;
}

uint32_t port_critical_enter(void) {
    return 0;
}

void port_critical_leave(uint32_t before) {
    (void)before;
}

uint32_t port_stack_size(void) {
    return 0;
}

uint32_t port_stack_high_water(void) {
    return 0;
}
