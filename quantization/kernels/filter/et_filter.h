/* The filter stages of toolkit/filtering/stages.py on one row of channels, in float32 and in the same order of
 * operations: equal to Python bit for bit as long as a multiplication and an addition are not fused (et_filter.c sees to it). */
#ifndef ET_FILTER_H
#define ET_FILTER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The sample into row, but for values that are not finite or beyond 1e12: each is held at the channel's last good one, 0
 * before there is any, so that no filter's memory takes it in. Returns how many were held. */
int32_t et_filter_hold(int32_t channels, float *good, const float *sample, float *row);

/* One second-order section, a0 = 1; gain is that for a constant input. */
typedef struct {
    float b0, b1, b2, a1, a2, gain;
} et_section;

/* Direct form II transposed, in place. state holds 2 values a channel for each section; it starts at the steady state
 * of the first row, when *started is 0. */
void et_filter_sections(const et_section *sections, int32_t count, int32_t channels, float *state, int32_t *started,
                        float *row);

/* |x|, in place. */
void et_filter_rectify(int32_t channels, float *row);

/* gain * x, in place. */
void et_filter_scale(const float *gain, int32_t channels, float *row);

/* How one IMU is mounted: sensor to segment axes, by rows, after `bias` is taken off the gyroscope, rad/s. */
typedef struct {
    float rotation[9];
    float bias[3];
} et_mounting;

/* Turns `count` IMUs, in place; six places of channels each: accelerometer x, y, z, gyroscope x, y, z. */
void et_filter_rotate(const et_mounting *mountings, const int16_t *places, int32_t count, float *row);

/* (x - mean) * inverse_deviation, in place. */
void et_filter_normalise(const float *mean, const float *inverse_deviation, int32_t channels, float *row);

/* Place of the next output row: `whole` input rows and `part` / denominator after the newest row. */
typedef struct {
    int32_t whole;
    int32_t part;
    int32_t started;
} et_resampler;

/* Takes a new row; `last` (channels) is the one before it. Call et_filter_resample_next until it returns 0, then
 * et_filter_resample_end. */
void et_filter_resample_begin(et_resampler *resampler);
int32_t et_filter_resample_next(et_resampler *resampler, int32_t numerator, int32_t denominator, int32_t channels,
                                const float *last, const float *row, float *output);
void et_filter_resample_end(int32_t channels, float *last, const float *row);

#ifdef __cplusplus
}
#endif

#endif
