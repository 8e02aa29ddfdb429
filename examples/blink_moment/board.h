/* What the example asks of a board: samples in, one lamp out. Two files answer it: board_host.c and board_mailbox.c. */
#ifndef BOARD_H
#define BOARD_H

enum board_sample { BOARD_END, BOARD_IMU, BOARD_EMG };

/* Waits for the next sample of either stream and writes it to its array, channels and units as edgetool_model.h names them.
 * BOARD_END: there will be none. */
enum board_sample board_next(float *imu, float *emg);

/* Told after every step: the moment in Nm/kg, and whether the lamp is to be on. */
void board_lamp(float moment, int on);

#endif
