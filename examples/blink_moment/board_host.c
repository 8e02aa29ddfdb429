/* The board is this machine: samples are lines of standard input ("imu 0.1 -9.8 ..." or "emg 0.02 ..."), the lamp is standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "edgetool_model.h"

static void read_values(int count, float *values) {
    for (int k = 0; k < count; ++k) {
        if (scanf("%f", &values[k]) != 1) {
            fprintf(stderr, "a line has fewer than %d values\n", count);
            exit(2);
        }
    }
}

enum board_sample board_next(float *imu, float *emg) {
    char stream[8];
    if (scanf("%7s", stream) != 1) {
        return BOARD_END;
    }
    if (strcmp(stream, "imu") == 0) {
        read_values(EDGETOOL_IMU_CHANNELS, imu);
        return BOARD_IMU;
    }
    if (strcmp(stream, "emg") == 0) {
        read_values(EDGETOOL_EMG_CHANNELS, emg);
        return BOARD_EMG;
    }
    fprintf(stderr, "a line begins with %s, not with imu or emg\n", stream);
    exit(2);
}

void board_lamp(float moment, int on) {
    printf("%.9g %s\n", (double)moment, on ? "on" : "off");
}
