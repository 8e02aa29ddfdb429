/* Are the sensors where they were at calibration? The moments of seconds of walking against the wearer's own walk:
 * toolkit/calibration/moments.py and toolkit/plausibility, in float32 and in the same order of operations. */
#ifndef ET_PLAUSIBILITY_H
#define ET_PLAUSIBILITY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a finding says (docs/PLAUSIBILITY.md). */
enum {
    ET_ORIENTATION = 1,
    ET_UNLIKE_TRAINING = 2,
    ET_GAIN = 3,
    ET_ELECTRODE = 4,
    ET_LATE_STREAM = 5,
    ET_UNFAMILIAR = 6
};

/* `sensor` counts the IMUs, then the electrodes; -1 is the movement, or all EMG. */
typedef struct {
    int8_t kind;
    int8_t sensor;
} et_finding;

/* What training people do, and which column of a row is which sensor: constants of a model. */
typedef struct {
    int32_t imus, electrodes, tasks;
    const int16_t *imu_columns;       /* imus * 6: accelerometer x, y, z, gyroscope x, y, z */
    const int16_t *electrode_columns; /* electrodes */
    const float *deviation, *mean;    /* of every column, in its unit */
    float scale;                      /* 1 / the sum of a triangle's weights */
    const float *task_mean, *task_slope, *speeds;
    const float *imu, *electrode, *timing, *lag, *late, *limits;
} et_familiar;

/* The moments of the wearer's own walk, what makes deviations of differences, and when muscles work in it. */
typedef struct {
    const float *moments, *scales, *timing;
} et_own_walk;

/* Adds a normalised row to two triangles' sums with the weights `up` and `down`. */
void et_plausibility_add(const et_familiar *familiar, const float *row, float up, float down, float *rising,
                         float *falling);

/* Judges a triangle's sums, which become its moments. `scratch` has as many floats as they, `figures` gets what is held against
 * the limits, `findings` has room for every sensor. Returns how many were found, or -1 where nobody walks. */
int32_t et_plausibility_judge(const et_familiar *familiar, const et_own_walk *own, float *moments, float *scratch,
                              float *figures, et_finding *findings);

#ifdef __cplusplus
}
#endif

#endif
