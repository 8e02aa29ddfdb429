/* Reads the counter of ports/cortex_m.c while SysTick turns; the longest time between two readings and the whole, in
 * ticks, are its answer to every byte. */
#include "port.h"

#include "../firmware/ports/cortex_m.h"

#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)

int main(void) {
    port_start();
    /* Near its turn: load 300, and from then on the full turn again. */
    SYSTICK_RELOAD = 300u;
    SYSTICK_VALUE = 0u;
    while (SYSTICK_VALUE == 0u) {
    }
    SYSTICK_RELOAD = 0xFFFFFFu;
    const uint32_t begun = port_ticks();
    uint32_t result[2] = {0, 0};
    for (uint32_t before = begun; result[1] < 600u;) {
        const uint32_t now = port_ticks();
        const uint32_t apart = port_elapsed(before, now);
        result[0] = apart > result[0] ? apart : result[0];
        result[1] = port_elapsed(begun, now);
        before = now;
    }
    for (;;) {
        if (port_read() >= 0) {
            port_write((const uint8_t *)result, sizeof result);
        } else {
            port_wait();
        }
    }
}
