/* STM32F405 (RM0090): USART1 on PA9 (send) and PA10 (receive), 168 MHz from the internal oscillator.
 *
 * QEMU's netduinoplus2 runs this image. Its clock tree (RCC) is not emulated: the PLL never says that it is ready, the wait below
 * ends, and the clock is QEMU's fixed 168 MHz; baud and pins mean nothing there. On silicon the PLL is ready within 0.3 ms. */
#include "cortex_m.h"

#define RCC 0x40023800u
#define RCC_CONTROL REGISTER(RCC + 0x00u)
#define RCC_PLL REGISTER(RCC + 0x04u)
#define RCC_CONFIG REGISTER(RCC + 0x08u)
#define RCC_AHB1_ENABLE REGISTER(RCC + 0x30u)
#define RCC_APB2_ENABLE REGISTER(RCC + 0x44u)
#define FLASH_ACCESS REGISTER(0x40023C00u)
#define GPIOA_MODE REGISTER(0x40020000u)
#define GPIOA_PULL REGISTER(0x4002000Cu)
#define GPIOA_FUNCTION_HIGH REGISTER(0x40020024u)
#define USART1 0x40011000u
#define USART_STATE REGISTER(USART1 + 0x00u)
#define USART_DATA REGISTER(USART1 + 0x04u)
#define USART_BAUD REGISTER(USART1 + 0x08u)
#define USART_CONTROL REGISTER(USART1 + 0x0Cu)
#define USART_OVERRUN (1u << 3)
#define USART_RECEIVED (1u << 5)
#define USART_SEND_EMPTY (1u << 7)

#define RESET_HZ 16000000u
#define FULL_HZ 168000000u
#define BAUD 921600u

const board_facts board = {"stm32f405", "cortex-m4", 37};

/* HSI 16 MHz / 16 * 336 / 2 = 168 MHz; APB2 at a half, APB1 at a quarter. True if the core runs on it. */
static bool clock_at_full_speed(void) {
    RCC_PLL = 16u | (336u << 6) | (0u << 16) | (7u << 24);
    RCC_CONTROL |= 1u << 24;
    for (uint32_t polls = 0; polls < 100000u; ++polls) {
        if ((RCC_CONTROL & (1u << 25)) != 0u) {
            FLASH_ACCESS = 5u | (7u << 8); /* five wait states at 168 MHz and 3.3 V; prefetch and both caches */
            RCC_CONFIG = (5u << 10) | (4u << 13) | 2u;
            while ((RCC_CONFIG & 0xCu) != 0x8u) {
            }
            return true;
        }
    }
    return false;
}

uint32_t board_start(void) {
    const bool full = clock_at_full_speed();
    const bool emulated = !full && RCC_CONTROL == 0u; /* silicon never reads 0 here: its oscillator is on */
    const uint32_t core_hz = full || emulated ? FULL_HZ : RESET_HZ;
    const uint32_t usart_hz = full ? FULL_HZ / 2u : RESET_HZ;
    RCC_AHB1_ENABLE |= 1u;
    RCC_APB2_ENABLE |= 1u << 4;
    GPIOA_MODE = (GPIOA_MODE & ~(0xFu << 18)) | (0xAu << 18);
    GPIOA_PULL = (GPIOA_PULL & ~(0xFu << 18)) | (0x4u << 18); /* an open receive line reads as idle */
    GPIOA_FUNCTION_HIGH = (GPIOA_FUNCTION_HIGH & ~0xFF0u) | 0x770u;
    USART_BAUD = (usart_hz + BAUD / 2u) / BAUD;
    USART_CONTROL = (1u << 13) | (1u << 5) | (1u << 3) | (1u << 2);
    return core_hz;
}

/* A byte that overran the one before may leave the overrun alone behind, which interrupts for ever: reading the data clears it too. */
int board_receive(void) {
    const uint32_t state = USART_STATE;
    if ((state & (USART_RECEIVED | USART_OVERRUN)) == 0u) {
        return -1;
    }
    const int byte = (int)(USART_DATA & 0xFFu);
    return (state & USART_RECEIVED) != 0u ? byte : -1;
}

bool board_may_send(void) {
    return (USART_STATE & USART_SEND_EMPTY) != 0u;
}

void board_send(uint8_t byte) {
    USART_DATA = byte;
}
