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

/* Samples of a stream that may wait while a step is computed: EMG comes every millisecond, and a step may take as long. */
#define BOX 8u

/* All volatile: a sample is not to be seen before it is whole. `put` is written by the driver alone, `taken` by board_next. */
typedef struct {
    volatile uint32_t put;
    volatile uint32_t taken;
    volatile float *values;
    uint32_t channels;
} mailbox;

static volatile float imu_values[BOX * EDGETOOL_IMU_CHANNELS];
static volatile float emg_values[BOX * EDGETOOL_EMG_CHANNELS];
static mailbox imu_box = {0, 0, imu_values, EDGETOOL_IMU_CHANNELS};
static mailbox emg_box = {0, 0, emg_values, EDGETOOL_EMG_CHANNELS};
volatile uint32_t board_lost_samples;

static void put(mailbox *box, const float *sample) {
    const uint32_t place = box->put;
    if (place - box->taken == BOX) {
        ++board_lost_samples;
        return;
    }
    for (uint32_t k = 0; k < box->channels; ++k) {
        box->values[place % BOX * box->channels + k] = sample[k];
    }
    box->put = place + 1;
}

static int take(mailbox *box, float *sample) {
    const uint32_t place = box->taken;
    if (box->put == place) {
        return 0;
    }
    for (uint32_t k = 0; k < box->channels; ++k) {
        sample[k] = box->values[place % BOX * box->channels + k];
    }
    box->taken = place + 1;
    return 1;
}

void board_put_imu(const float *sample) {
    put(&imu_box, sample);
}

void board_put_emg(const float *sample) {
    put(&emg_box, sample);
}

enum board_sample board_next(float *imu, float *emg) {
    for (;;) {
        if (take(&imu_box, imu)) {
            return BOARD_IMU;
        }
        if (take(&emg_box, emg)) {
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
