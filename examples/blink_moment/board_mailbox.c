/* For a microcontroller: your sensor drivers put samples into two mailboxes from their interrupts, and the lamp is one bit of a
 * GPIO register. Set LAMP_REGISTER and LAMP_BIT for your board; the defaults are the output register of port A of an STM32F405
 * (RM0090: GPIOA at 0x40020000, ODR at 0x14), bit 5. Turn the port's clock on and make the pin an output at start-up. */
#include "board_mailbox.h"

#include <stdint.h>

#include "board.h"
#include "edgetool_model.h"

#ifndef LAMP_REGISTER
#define LAMP_REGISTER 0x40020014u
#endif
#ifndef LAMP_BIT
#define LAMP_BIT 5
#endif

/* All volatile: the flag is not to be seen before the sample that it announces. */
static volatile float imu_sample[EDGETOOL_IMU_CHANNELS];
static volatile float emg_sample[EDGETOOL_EMG_CHANNELS];
static volatile int imu_full;
static volatile int emg_full;
volatile uint32_t board_lost_samples;

static void put(volatile float *box, volatile int *full, const float *sample, int count) {
    if (*full) {
        ++board_lost_samples;
        return;
    }
    for (int k = 0; k < count; ++k) {
        box[k] = sample[k];
    }
    *full = 1;
}

void board_put_imu(const float *sample) {
    put(imu_sample, &imu_full, sample, EDGETOOL_IMU_CHANNELS);
}

void board_put_emg(const float *sample) {
    put(emg_sample, &emg_full, sample, EDGETOOL_EMG_CHANNELS);
}

enum board_sample board_next(float *imu, float *emg) {
    for (;;) {
        if (imu_full) {
            for (int k = 0; k < EDGETOOL_IMU_CHANNELS; ++k) {
                imu[k] = imu_sample[k];
            }
            imu_full = 0;
            return BOARD_IMU;
        }
        if (emg_full) {
            for (int k = 0; k < EDGETOOL_EMG_CHANNELS; ++k) {
                emg[k] = emg_sample[k];
            }
            emg_full = 0;
            return BOARD_EMG;
        }
        /* Sleep here (WFI) if an interrupt wakes your core. */
    }
}

void board_lamp(float moment, int on) {
    volatile uint32_t *lamp = (volatile uint32_t *)(uintptr_t)LAMP_REGISTER;
    (void)moment;
    if (on) {
        *lamp |= 1u << LAMP_BIT;
    } else {
        *lamp &= ~(1u << LAMP_BIT);
    }
}
