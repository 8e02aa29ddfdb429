/* A lamp that is on while the wearer's joint bears a load: raw samples in, the contract's filters, one step of the model for
 * each row of its grid. All memory is static; nothing here knows which board it runs on. */
#include <stdint.h>

#include "board.h"
#include "edgetool_filters.h"
#include "edgetool_model.h"

#ifndef LAMP_OUTPUT
#define LAMP_OUTPUT 0 /* place in EDGETOOL_OUTPUT_NAMES */
#endif
#define LAMP_ON 0.3f /* Nm/kg; off again below LAMP_OFF, so that it does not flicker */
#define LAMP_OFF 0.2f

/* Rows of one stream that wait for the other: both begin with their first sample, and from there row k of either is at the same
 * time, but the filters do not give it out at the same sample. */
#define WAITING 16

static edgetool_state model;
static edgetool_imu_filter imu_filter;
static edgetool_emg_filter emg_filter;
static float imu_rows[WAITING + EDGETOOL_IMU_ROWS_MOST][EDGETOOL_IMU_CHANNELS];
static float emg_rows[WAITING + EDGETOOL_EMG_ROWS_MOST][EDGETOOL_EMG_CHANNELS];
static int32_t imu_waiting;
static int32_t emg_waiting;

static void start(void) {
    edgetool_reset(&model);
    edgetool_imu_filter_reset(&imu_filter);
    edgetool_emg_filter_reset(&emg_filter);
    imu_waiting = 0;
    emg_waiting = 0;
}

/* Row `first` of both streams has been used. */
static void forget(int32_t first) {
    imu_waiting -= first;
    emg_waiting -= first;
    for (int32_t row = 0; row < imu_waiting; ++row) {
        for (int32_t k = 0; k < EDGETOOL_IMU_CHANNELS; ++k) {
            imu_rows[row][k] = imu_rows[row + first][k];
        }
    }
    for (int32_t row = 0; row < emg_waiting; ++row) {
        for (int32_t k = 0; k < EDGETOOL_EMG_CHANNELS; ++k) {
            emg_rows[row][k] = emg_rows[row + first][k];
        }
    }
}

/* One step of the model for each row that both streams have. */
static void run(int *on) {
    int32_t row = 0;
    for (; row < imu_waiting && row < emg_waiting; ++row) {
        float moments[EDGETOOL_OUTPUTS];
        edgetool_step(&model, imu_rows[row], emg_rows[row], moments);
        const float moment = moments[LAMP_OUTPUT];
        *on = moment > (*on ? LAMP_OFF : LAMP_ON);
        board_lamp(moment, *on);
    }
    if (row > 0) {
        forget(row);
    }
}

int main(void) {
    float imu[EDGETOOL_IMU_CHANNELS];
    float emg[EDGETOOL_EMG_CHANNELS];
    int on = 0;
    start();
    for (;;) {
        switch (board_next(imu, emg)) {
        case BOARD_IMU:
            imu_waiting += edgetool_imu_push(&imu_filter, imu, imu_rows[imu_waiting]);
            break;
        case BOARD_EMG:
            emg_waiting += edgetool_emg_push(&emg_filter, emg, emg_rows[emg_waiting]);
            break;
        default:
            return 0;
        }
        run(&on);
        if (imu_waiting >= WAITING || emg_waiting >= WAITING) {
            start(); /* one stream has stopped: what the model remembers is not of now */
            on = 0;
        }
    }
}
