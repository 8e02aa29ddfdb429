/* The part of the port that all Cortex-M boards share: vectors, start-up, counter, time, stack, receive ring.
 *
 * Registers: Armv7-M Architecture Reference Manual (DDI 0403E), Armv8-M (DDI 0553): SysTick, SCB, NVIC, DWT.
 *
 * Counter: DWT's cycle counter where it counts. QEMU does not emulate it, and a core may be made without it; then SysTick is taken.
 * On silicon SysTick counts core cycles; QEMU with -icount shift=0 derives it from executed instructions: one instruction is 1 ns of
 * virtual time, so a tick of a clock of F Hz is 1e9 / F instructions. Which of the two it is, is measured over instructions of which no
 * core does more than one a cycle; if it is neither, the image says that it has no counter. */
#include "cortex_m.h"

#include <stddef.h>
#include <string.h>

#include "edgetool_protocol.h"
#include "port.h"

extern uint32_t image_data_start[], image_data_end[], image_data_load[], image_bss_start[], image_bss_end[];
extern uint32_t image_stack_bottom[], image_stack_top[];

int main(void);
void image_start(void);

#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define SYSTICK_TURN 0x1000000u
#define NVIC_ENABLE(number) REGISTER(0xE000E100u + 4u * ((number) / 32u))
#define NVIC_DISABLE(number) REGISTER(0xE000E180u + 4u * ((number) / 32u))
#define NVIC_BIT(number) (1u << ((number) % 32u))
#define ICSR REGISTER(0xE000ED04u)
#define VTOR REGISTER(0xE000ED08u)
#define ICSR_SYSTICK_PENDING (1u << 26)
#define ICSR_SYSTICK_CLEAR (1u << 25)
#define AIRCR REGISTER(0xE000ED0Cu)
#define AIRCR_RESET 0x05FA0004u
#define CPACR REGISTER(0xE000ED88u)
#define DEMCR REGISTER(0xE000EDFCu)
#define DEMCR_TRACE (1u << 24)
#define DWT_CONTROL REGISTER(0xE0001000u)
#define DWT_CYCLES REGISTER(0xE0001004u)
#define DWT_LOCK REGISTER(0xE0001FB0u)
#define DWT_UNLOCK 0xC5ACCE55u

#define STACK_PAINT 0xA5C3A5C3u
#define INTERRUPTS 96

static port_board described;
static bool has_cycle_counter;
static volatile uint32_t turns; /* of SysTick, since it was begun anew */
static uint64_t ticks_before;   /* that */
static volatile uint8_t ring[PORT_RING_BYTES];
static volatile uint32_t ring_written;
static uint32_t ring_read;

/* Not cleared at start-up: it outlives a reset. After power-up it is whatever the memory holds, which does as well. */
__attribute__((section(".noinit"))) static uint8_t lives;

static void systick_turned(void) {
    ++turns;
}

static void received(void) {
    for (int byte = board_receive(); byte >= 0; byte = board_receive()) {
        const uint32_t place = ring_written;
        if (place - ring_read < PORT_RING_BYTES) {
            ring[place % PORT_RING_BYTES] = (uint8_t)byte;
            ring_written = place + 1u;
        }
    }
}

/* A fault starts the board anew; the host sees its greeting, and another boot number. */
static void fault(void) {
    __asm__ volatile("dsb" ::: "memory");
    AIRCR = AIRCR_RESET;
    for (;;) {
    }
}

typedef void (*vector)(void);

#define FOUR(handler) handler, handler, handler, handler
#define SIXTEEN(handler) FOUR(handler), FOUR(handler), FOUR(handler), FOUR(handler)

__attribute__((section(".vectors"), used)) static const vector vectors[16 + INTERRUPTS] = {
    (vector)(uintptr_t)image_stack_top,
    image_start,
    fault, /* NMI */
    fault, /* hard fault; the others escalate to it */
    FOUR(fault),
    FOUR(fault),
    fault,
    fault,
    fault,
    systick_turned,
    SIXTEEN(received),
    SIXTEEN(received),
    SIXTEEN(received),
    SIXTEEN(received),
    SIXTEEN(received),
    SIXTEEN(received),
};

static void paint_stack(void) {
    uint32_t marker;
    const uintptr_t end = (uintptr_t)&marker - 64u;
    for (volatile uint32_t *word = image_stack_bottom; (uintptr_t)word < end; ++word) {
        *word = STACK_PAINT;
    }
}

void image_start(void) {
    VTOR = (uint32_t)(uintptr_t)vectors; /* a boot loader may have left its own */
    CPACR |= 0xFu << 20;                 /* FPU, and Helium where there is one */
    __asm__ volatile("dsb\n isb" ::: "memory");
    const uint32_t *from = image_data_load;
    for (uint32_t *to = image_data_start; to < image_data_end; ++to) {
        *to = *from++;
    }
    for (uint32_t *to = image_bss_start; to < image_bss_end; ++to) {
        *to = 0u;
    }
    paint_stack();
    (void)main();
    fault();
}

static bool cycle_counter_counts(void) {
    DEMCR |= DEMCR_TRACE;
    DWT_LOCK = DWT_UNLOCK; /* Cortex-M7 (DDI 0489F) locks its DWT; the others ignore it */
    DWT_CYCLES = 0u;
    DWT_CONTROL |= 1u;
    const uint32_t before = DWT_CYCLES;
    __asm__ volatile("nop\n nop\n nop\n nop" ::: "memory");
    return DWT_CYCLES != before;
}

/* SysTick counts down, and turns (its interrupt) as it reaches 0, one tick before it is loaded with 2^24 - 1: so 0 is the first tick of
 * a turn, not its last. */
static uint64_t systick_ticks(void) {
    const uint32_t before = port_critical_enter();
    uint32_t value = SYSTICK_VALUE;
    uint32_t full = turns;
    if ((ICSR & ICSR_SYSTICK_PENDING) != 0u) { /* it has turned, and the interrupt waits for us */
        value = SYSTICK_VALUE;
        ++full;
    }
    port_critical_leave(before);
    return ticks_before + (uint64_t)full * SYSTICK_TURN + (SYSTICK_TURN - value) % SYSTICK_TURN;
}

/* The next turn, whose interrupt is counted with everything else, is as far off as it can be, and where ticks fall is the same each
 * time. Less than a tick of time is lost. */
static void systick_begin_anew(void) {
    const uint32_t before = port_critical_enter();
    ticks_before = systick_ticks();
    SYSTICK_VALUE = 0u;
    ICSR = ICSR_SYSTICK_CLEAR;
    turns = 0u;
    port_critical_leave(before);
}

#define CHAIN_ROUNDS 1000u
#define CHAIN_INSTRUCTIONS (10u * CHAIN_ROUNDS)
#define CHAIN_LEAST_CYCLES (8u * CHAIN_ROUNDS)

/* Eight sums a round, each of which needs the one before, a count and a branch. */
static void run_chain(void) {
    uint32_t rounds = CHAIN_ROUNDS;
    uint32_t sum = 0;
    __asm__ volatile("1: adds %0, %0, #1\n adds %0, %0, #1\n adds %0, %0, #1\n adds %0, %0, #1\n"
                     "adds %0, %0, #1\n adds %0, %0, #1\n adds %0, %0, #1\n adds %0, %0, #1\n"
                     "subs %1, %1, #1\n bne 1b"
                     : "+l"(sum), "+l"(rounds)::"cc");
}

/* ETF_COUNTER_...: what SysTick counts on this core. */
static uint8_t systick_counts(void) {
    const uint32_t begun = (uint32_t)systick_ticks();
    run_chain();
    const uint32_t ticks = (uint32_t)systick_ticks() - begun;
    const uint32_t emulated = (uint32_t)((uint64_t)CHAIN_INSTRUCTIONS * described.clock_hz / 1000000000u);
    const uint32_t slack = 4u + emulated / 50u; /* the reading itself, and rounding to ticks */
    if (ticks + slack >= emulated && ticks <= emulated + slack) {
        return ETF_COUNTER_INSTRUCTIONS;
    }
    return ticks >= CHAIN_LEAST_CYCLES ? ETF_COUNTER_CYCLES : ETF_COUNTER_NONE;
}

void port_start(void) {
    ++lives;
    described.board = board.name;
    described.core = board.core;
    described.clock_hz = board_start();
    SYSTICK_RELOAD = SYSTICK_TURN - 1u;
    SYSTICK_VALUE = 0u;
    SYSTICK_CONTROL = 7u; /* core clock, interrupt at each turn, on */
    has_cycle_counter = cycle_counter_counts();
    described.counter = has_cycle_counter ? ETF_COUNTER_CYCLES : systick_counts();
    described.counter_step = described.counter == ETF_COUNTER_NONE           ? 0.0f
                             : described.counter == ETF_COUNTER_INSTRUCTIONS ? 1e9f / (float)described.clock_hz
                                                                             : 1.0f;
    port_take_bytes();
    __asm__ volatile("cpsie i" ::: "memory");
}

const port_board *port_describe(void) {
    return &described;
}

uint8_t port_boot(void) {
    return lives;
}

int port_read(void) {
    if (ring_read == ring_written) {
        return -1;
    }
    const uint8_t byte = ring[ring_read % PORT_RING_BYTES];
    ++ring_read;
    return byte;
}

void port_wait(void) {
    /* With interrupts kept out a byte that comes now still ends the sleep, and is taken right after it. */
    const uint32_t before = port_critical_enter();
    if (ring_read == ring_written) {
        __asm__ volatile("wfi" ::: "memory");
    }
    port_critical_leave(before);
}

void port_write(const uint8_t *bytes, size_t size) {
    for (size_t place = 0; place < size; ++place) {
        while (!board_may_send()) {
        }
        board_send(bytes[place]);
    }
}

uint32_t port_ticks(void) {
    if (described.counter == ETF_COUNTER_NONE) {
        return 0;
    }
    return has_cycle_counter ? DWT_CYCLES : (uint32_t)systick_ticks();
}

uint32_t port_elapsed(uint32_t from, uint32_t to) {
    return to - from;
}

void port_hold_bytes(void) {
    NVIC_DISABLE(board.uart_interrupt) = NVIC_BIT(board.uart_interrupt);
    __asm__ volatile("dsb\n isb" ::: "memory"); /* from here on it is off */
    if (!has_cycle_counter) {
        systick_begin_anew();
    }
}

void port_take_bytes(void) {
    NVIC_ENABLE(board.uart_interrupt) = NVIC_BIT(board.uart_interrupt);
}

uint32_t port_time_us(void) {
    const uint32_t time = (uint32_t)(systick_ticks() * 1000000u / described.clock_hz);
    return time == 0u ? 1u : time;
}

uint32_t port_critical_enter(void) {
    uint32_t before;
    __asm__ volatile("mrs %0, primask\n cpsid i" : "=r"(before)::"memory");
    return before;
}

void port_critical_leave(uint32_t before) {
    __asm__ volatile("msr primask, %0" ::"r"(before) : "memory");
}

uint32_t port_stack_size(void) {
    return (uint32_t)((uintptr_t)image_stack_top - (uintptr_t)image_stack_bottom);
}

uint32_t port_stack_high_water(void) {
    const uint32_t *word = image_stack_bottom;
    while (*word == STACK_PAINT) {
        ++word;
    }
    return (uint32_t)((uintptr_t)image_stack_top - (uintptr_t)word);
}
