/* What sensor drivers call, from their interrupts or from a loop: one whole sample, in the contract's channels and units. */
#ifndef BOARD_MAILBOX_H
#define BOARD_MAILBOX_H

#include <stdint.h>

void board_put_imu(const float *sample);
void board_put_emg(const float *sample);

/* Samples that came while their mailbox was full: 0 on a core that keeps up. */
extern volatile uint32_t board_lost_samples;

#endif
