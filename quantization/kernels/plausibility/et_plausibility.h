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
    int32_t imus, electrodes, tasks, columns;
    const int16_t *imu_columns;       /* imus * 6: accelerometer x, y, z, gyroscope x, y, z */
    const int16_t *electrode_columns; /* electrodes */
    const float *deviation, *mean;    /* of every column, in its unit */
    float scale, pace_scale;          /* 1 / the sum of a triangle's weights; 1 / the rows of a part */
    const float *task_mean, *task_slope, *speeds;
    const float *imu, *electrode, *timing, *lag, *late, *limits, *delays, *row;
    float novelty; /* limits the smoothed distance of a row */
} et_familiar;

/* The moments of the wearer's own walk, what makes deviations of differences, and when muscles work in it. */
typedef struct {
    const float *moments, *scales, *timing;
} et_own_walk;

/* How fast each IMU turns is summed in as many parts of a triangle, of a second each. */
enum { ET_PACES = 4 };

/* Adds a normalised row to two triangles' sums with the weights `up` and `down`, and to its part's `pace` (imus). */
void et_plausibility_add(const et_familiar *familiar, const float *row, float up, float down, float *rising,
                         float *falling, float *pace);

/* Judges a triangle's sums, which become its moments; `paces` (ET_PACES, imus) are those of its parts. `scratch` has as many floats as they, `figures` gets what is held against
 * the limits, `findings` has room for every sensor. Returns how many were found, or -1 where it is no steady
 * walk. */
int32_t et_plausibility_judge(const et_familiar *familiar, const et_own_walk *own, float *moments,
                              const float *paces, float *scratch, float *figures, et_finding *findings);

/* Smooths the distance of a normalised row from training people's into `novelty`; whether that is more than anybody's was. `novel`
 * is what this said of the row before. */
int32_t et_plausibility_novel(const et_familiar *familiar, const float *row, float *novelty, int32_t novel);

#ifdef __cplusplus
}
#endif

#endif
