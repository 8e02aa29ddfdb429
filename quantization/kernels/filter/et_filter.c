#include "et_filter.h"

/* A fused multiply-add rounds once where Python rounds twice, and compilers fuse by themselves unless they are told. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif

int32_t et_filter_hold(int32_t channels, float *good, const float *sample, float *row) {
    int32_t held = 0;
    for (int32_t channel = 0; channel < channels; ++channel) {
        const float x = sample[channel];
        if (x >= -1e12f && x <= 1e12f) { /* false of what is not a number */
            good[channel] = x;
        } else {
            ++held;
        }
        row[channel] = good[channel];
    }
    return held;
}

void et_filter_sections(const et_section *sections, int32_t count, int32_t channels, float *state, int32_t *started,
                        float *row) {
    for (int32_t channel = 0; *started == 0 && channel < channels; ++channel) {
        float x = row[channel];
        for (int32_t k = 0; k < count; ++k) {
            const et_section *section = &sections[k];
            float *z = &state[2 * (k * channels + channel)];
            const float steady = section->gain * x;
            z[1] = section->b2 * x - section->a2 * steady;
            z[0] = (section->b1 * x - section->a1 * steady) + z[1];
            x = steady;
        }
    }
    for (int32_t channel = 0; channel < channels; ++channel) {
        float x = row[channel];
        for (int32_t k = 0; k < count; ++k) {
            const et_section *section = &sections[k];
            float *z = &state[2 * (k * channels + channel)];
            const float y = section->b0 * x + z[0];
            z[0] = (section->b1 * x - section->a1 * y) + z[1];
            z[1] = section->b2 * x - section->a2 * y;
            x = y;
        }
        row[channel] = x;
    }
    *started = 1;
}

void et_filter_rectify(int32_t channels, float *row) {
    for (int32_t channel = 0; channel < channels; ++channel) {
        row[channel] = row[channel] < 0.0f ? -row[channel] : row[channel] + 0.0f; /* -0 becomes 0 */
    }
}

void et_filter_scale(const float *gain, int32_t channels, float *row) {
    for (int32_t channel = 0; channel < channels; ++channel) {
        row[channel] = gain[channel] * row[channel];
    }
}

static void turn(const float *r, const int16_t *places, float x, float y, float z, float *row) {
    for (int32_t i = 0; i < 3; ++i) {
        row[places[i]] = (r[3 * i] * x + r[3 * i + 1] * y) + r[3 * i + 2] * z;
    }
}

void et_filter_rotate(const et_mounting *mountings, const int16_t *places, int32_t count, float *row) {
    for (int32_t imu = 0; imu < count; ++imu) {
        const et_mounting *m = &mountings[imu];
        const int16_t *at = &places[6 * imu];
        turn(m->rotation, at, row[at[0]], row[at[1]], row[at[2]], row);
        turn(m->rotation, &at[3], row[at[3]] - m->bias[0], row[at[4]] - m->bias[1], row[at[5]] - m->bias[2], row);
    }
}

void et_filter_normalise(const float *mean, const float *inverse_deviation, int32_t channels, float *row) {
    for (int32_t channel = 0; channel < channels; ++channel) {
        row[channel] = (row[channel] - mean[channel]) * inverse_deviation[channel];
    }
}

void et_filter_resample_begin(et_resampler *resampler) {
    if (resampler->started != 0) {
        --resampler->whole;
    }
    resampler->started = 1;
}

int32_t et_filter_resample_next(et_resampler *resampler, int32_t numerator, int32_t denominator, int32_t channels,
                                const float *last, const float *row, float *output) {
    if (resampler->whole > 0 || (resampler->whole == 0 && resampler->part > 0)) {
        return 0; /* it lies after the newest row */
    }
    if (resampler->part == 0) {
        for (int32_t channel = 0; channel < channels; ++channel) {
            output[channel] = row[channel];
        }
    } else {
        /* In double, as Python: the two integers may have more than 24 bits. */
        const float weight = (float)((double)resampler->part / (double)denominator);
        for (int32_t channel = 0; channel < channels; ++channel) {
            output[channel] = last[channel] + weight * (row[channel] - last[channel]);
        }
    }
    resampler->whole += numerator / denominator;
    resampler->part += numerator % denominator;
    if (resampler->part >= denominator) {
        resampler->part -= denominator;
        ++resampler->whole;
    }
    return 1;
}

void et_filter_resample_end(int32_t channels, float *last, const float *row) {
    for (int32_t channel = 0; channel < channels; ++channel) {
        last[channel] = row[channel];
    }
}
