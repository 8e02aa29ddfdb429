#include "et_plausibility.h"

/* As in et_filter.c: a fused multiply-add rounds once where Python rounds twice. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off", "Os") /* a row every 10 ms, a judgement every 2 s: small counts, not fast */
#else
#pragma STDC FP_CONTRACT OFF
#endif

/* For functions that are called from many places: smaller so. */
#if defined(__GNUC__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE
#endif

enum { PER_IMU = 10, PER_ELECTRODE = 2, MOST_IMUS = 16, PACKED_IMU = 55, PACKED_ELECTRODE = 3 };

#define LEAST_SPEED 0.08f
#define LEAST_PACE 0.3f
#define LEAST_SIGNAL 0.05f
#define SPEED_MARGIN 0.1f
#define FARTHEST 25.0f
#define LEAST_POWER 0.01f
#define FLAT 0.35f
#define EXPLAINED 0.7f
#define RATE 0.03125f
#define RELEASE 0.75f

typedef struct {
    const et_familiar *familiar;
    int32_t task;
    float held; /* speed above the task's mean */
} expectation;

static int32_t size_of(const et_familiar *f) {
    return PER_IMU * f->imus + (PER_ELECTRODE + f->imus) * f->electrodes;
}

static float square_of(const float *v) {
    return (v[0] * v[0] + v[1] * v[1]) + v[2] * v[2];
}

typedef struct {
    float up, down;
    float *rising, *falling;
} sums;

/* The next number of a row. */
static NOINLINE void add_one(sums *to, float value) {
    *to->rising = *to->rising + value * to->up;
    *to->falling = *to->falling + value * to->down;
    ++to->rising;
    ++to->falling;
}

static float physical(const et_familiar *f, const float *row, int32_t column) {
    return row[column] * f->deviation[column] + f->mean[column];
}

void et_plausibility_add(const et_familiar *familiar, const float *row, float up, float down, float *rising,
                         float *falling, float *pace) {
    const et_familiar *f = familiar;
    const int16_t *column = f->imu_columns;
    float turn[MOST_IMUS]; /* the gyroscopes' z */
    sums to = {up, down, rising, falling};
    for (int32_t i = 0; i < f->imus; ++i) {
        float v[6];
        for (int32_t k = 0; k < 6; ++k) {
            v[k] = physical(f, row, *column++);
            if (k < 3) {
                add_one(&to, v[k]);
            }
        }
        for (int32_t k = 3; k < 6; ++k) {
            for (int32_t l = k; l < 6; ++l) {
                add_one(&to, v[k] * v[l]);
            }
        }
        add_one(&to, square_of(v));
        pace[i] = pace[i] + square_of(&v[3]);
        turn[i] = v[5];
    }
    for (int32_t part = 0; part < 2; ++part) { /* of all electrodes their size, then when in a step they work */
        for (int32_t j = 0; j < f->electrodes; ++j) {
            const float e = physical(f, row, f->electrode_columns[j]);
            if (part == 0) {
                add_one(&to, e);
                add_one(&to, e * e);
            }
            for (int32_t i = 0; part != 0 && i < f->imus; ++i) {
                add_one(&to, e * turn[i]);
            }
        }
    }
}

static float power(const float *m) {
    return (m[3] + m[6]) + m[8];
}

/* Of the gyroscopes' mean squares over those of the own walk, the median. `step` is from an IMU's to the next; those of moments
 * are sums. */
static float middle(const et_familiar *f, const et_own_walk *own, const float *values, int32_t step) {
    float ranked[MOST_IMUS];
    for (int32_t i = 0; i < f->imus; ++i) {
        const float *m = &values[step * i];
        const float one = (step == 1 ? *m * f->pace_scale : power(m)) * own->scales[PER_IMU * i + 3];
        int32_t place = i;
        for (; place > 0 && ranked[place - 1] > one; --place) {
            ranked[place] = ranked[place - 1];
        }
        ranked[place] = one;
    }
    return (ranked[(f->imus - 1) / 2] + ranked[f->imus / 2]) * 0.5f;
}

static void deviate(const et_familiar *f, const et_own_walk *own, const float *moments, float *away) {
    const int32_t first = PER_IMU * f->imus;
    const int32_t second = first + PER_ELECTRODE * f->electrodes;
    for (int32_t i = 0; i < second; ++i) {
        away[i] = (moments[i] - own->moments[i]) * own->scales[i];
    }
    for (int32_t j = 0; j < f->electrodes; ++j) {
        const int32_t at = first + PER_ELECTRODE * j;
        const int32_t cross = second + f->imus * j;
        const float mean = moments[at];
        const int there = mean > LEAST_SIGNAL * own->moments[at];
        away[at + 1] = there ? (moments[at + 1] / mean) * own->scales[at + 1] - 1.0f : -1.0f;
        for (int32_t i = 0; i < f->imus; ++i) {
            away[cross + i] = there ? (moments[cross + i] / mean) * own->scales[cross + i] - own->timing[f->imus * j + i]
                                    : 0.0f;
        }
    }
}

static expectation expect(const et_familiar *f, int32_t task, float fast) {
    const float *speeds = &f->speeds[3 * task];
    const float low = speeds[0] - SPEED_MARGIN;
    const float high = speeds[2] + SPEED_MARGIN;
    float held = fast > low ? fast : low;
    held = held < high ? held : high;
    const expectation made = {f, task, held - speeds[1]};
    return made;
}

static float expected(const expectation *e, int32_t i) {
    const int32_t at = e->task * size_of(e->familiar) + i;
    return e->familiar->task_mean[at] + e->held * e->familiar->task_slope[at];
}

/* The squared length of L x, the lower triangle L packed by rows. */
static float whitened(const float *packed, const float *x, int32_t count) {
    float total = 0.0f;
    for (int32_t row = 0; row < count; ++row) {
        float value = 0.0f;
        for (int32_t column = 0; column <= row; ++column) {
            value = value + *packed++ * x[column];
        }
        total = total + value * value;
    }
    return total;
}

static int32_t nearest(const et_familiar *f, float fast, const float *away) {
    int32_t task = 0;
    float least = 0.0f;
    for (int32_t t = 0; t < f->tasks; ++t) {
        const expectation e = expect(f, t, fast);
        float cost = 0.0f;
        for (int32_t i = 0; i < f->imus; ++i) {
            float x[PER_IMU];
            for (int32_t k = 0; k < PER_IMU; ++k) {
                x[k] = away[PER_IMU * i + k] - expected(&e, PER_IMU * i + k);
            }
            const float square = whitened(&f->imu[PACKED_IMU * i], x, PER_IMU);
            cost = cost + (square < FARTHEST ? square : FARTHEST);
        }
        if (t == 0 || cost < least) {
            least = cost;
            task = t;
        }
    }
    return task;
}

static NOINLINE float magnitude(float value) {
    return value < 0.0f ? -value : value;
}

static float power_of(float xx, float yy, float zz) {
    const float power = ((xx + yy) + zz) + 1.0f;
    return power > LEAST_POWER ? power : LEAST_POWER;
}

/* The figures; `away` becomes what is left of it after the task. Returns the delay of EMG, s. */
static float figure(const expectation *e, float *away, float *figures) {
    const et_familiar *f = e->familiar;
    const int32_t n = f->imus;
    const int32_t m = f->electrodes;
    const int32_t first = PER_IMU * n;
    const int32_t second = first + PER_ELECTRODE * m;
    for (int32_t i = 0; i < n; ++i) {
        const int32_t at = PER_IMU * i;
        const float usual = power_of(expected(e, at + 3), expected(e, at + 6), expected(e, at + 8));
        figures[n + 2 * m + i] = magnitude(power_of(away[at + 3], away[at + 6], away[at + 8]) / usual - 1.0f);
    }
    for (int32_t i = 0; i < size_of(f); ++i) {
        away[i] = away[i] - expected(e, i);
    }
    for (int32_t i = 0; i < n; ++i) {
        figures[i] = whitened(&f->imu[PACKED_IMU * i], &away[PER_IMU * i], PER_IMU);
        figures[2 * n + 2 * m + i] = magnitude(away[PER_IMU * i + 9]);
    }
    const int32_t packed = n * (n + 1) / 2;
    float delay = 0.0f;
    for (int32_t j = 0; j < m; ++j) {
        const float *loudness = &f->electrode[PACKED_ELECTRODE * (e->task * m + j)];
        figures[n + j] = whitened(loudness, &away[first + PER_ELECTRODE * j], PER_ELECTRODE);
        figures[n + m + j] = whitened(&f->timing[packed * j], &away[second + n * j], n);
        for (int32_t i = 0; i < n; ++i) {
            delay = delay + f->lag[n * (m * e->task + j) + i] * away[second + n * j + i];
        }
    }
    figures[3 * n + 2 * m] = magnitude(delay);
    return delay;
}

/* Whether the delay explains what is unusual about the timing. */
static int explains(const expectation *e, float delay, const float *left, const float *figures) {
    const et_familiar *f = e->familiar;
    const float *late = &f->late[f->imus * f->electrodes * e->task];
    const int32_t second = PER_IMU * f->imus + PER_ELECTRODE * f->electrodes;
    const int32_t packed = f->imus * (f->imus + 1) / 2;
    float before = 0.0f;
    float after = 0.0f;
    for (int32_t j = 0; j < f->electrodes; ++j) {
        float x[MOST_IMUS];
        for (int32_t i = 0; i < f->imus; ++i) {
            const float moved = delay * late[f->imus * j + i];
            x[i] = left[second + f->imus * j + i] - moved;
        }
        before = before + figures[f->imus + f->electrodes + j];
        after = after + whitened(&f->timing[packed * j], x, f->imus);
    }
    return after < EXPLAINED * before;
}

/* Whether an electrode's envelope hardly varies, or there is none. */
static int flat(const expectation *e, const et_own_walk *own, const float *moments, int32_t place) {
    const int32_t at = PER_IMU * e->familiar->imus + PER_ELECTRODE * place;
    const float mean = moments[at];
    const float own_mean = own->moments[at];
    if (!(mean > LEAST_SIGNAL * own_mean)) {
        return 1;
    }
    const float varies = moments[at + 1] / (mean * mean) - 1.0f;
    const float more = (1.0f + expected(e, at + 1)) / (1.0f + expected(e, at));
    const float usual = (own->moments[at + 1] / (own_mean * own_mean)) * more - 1.0f;
    return varies < FLAT * usual;
}

static NOINLINE int over(const et_familiar *f, const float *figures, int32_t place) {
    return figures[place] > f->limits[place];
}

/* Of IMU `place`: 0, ET_ORIENTATION, or ET_UNLIKE_TRAINING if the sizes of its vectors are not its own. */
static NOINLINE int32_t imu_kind(const et_familiar *f, const float *figures, int32_t place) {
    const int32_t sizes = f->imus + 2 * f->electrodes + place;
    if (!over(f, figures, place)) {
        return 0;
    }
    return over(f, figures, sizes) || over(f, figures, sizes + f->imus) ? ET_UNLIKE_TRAINING : ET_ORIENTATION;
}

static int32_t put(et_finding *findings, int32_t count, int32_t kind, int32_t sensor) {
    findings[count].kind = (int8_t)kind;
    findings[count].sensor = (int8_t)sensor;
    return count + 1;
}

int32_t et_plausibility_judge(const et_familiar *familiar, const et_own_walk *own, float *moments,
                              const float *paces, float *scratch, float *figures, et_finding *findings) {
    const et_familiar *f = familiar;
    const int32_t n = f->imus;
    const int32_t m = f->electrodes;
    for (int32_t i = 0; i < size_of(f); ++i) {
        moments[i] = moments[i] * f->scale;
    }
    const float fast = middle(f, own, moments, PER_IMU);
    float slowest = fast;
    for (int32_t k = 0; k < ET_PACES; ++k) {
        const float pace = middle(f, own, &paces[n * k], 1);
        slowest = pace < slowest ? pace : slowest;
    }
    if (!(fast > LEAST_SPEED && slowest > LEAST_PACE * fast)) {
        return -1;
    }
    deviate(f, own, moments, scratch);
    const expectation e = expect(f, nearest(f, fast, scratch), fast);
    const float delay = figure(&e, scratch, figures);
    int32_t bad = 0, broken = 0, loud = 0, weak = 0, count = 0;
    for (int32_t i = 0; i < n; ++i) {
        const int32_t kind = imu_kind(f, figures, i);
        if (kind != 0) {
            ++bad;
            broken += kind == ET_UNLIKE_TRAINING;
            count = put(findings, count, kind, i);
        }
    }
    for (int32_t j = n; j < n + m; ++j) {
        const int off = over(f, figures, j);
        const int timing = bad == 0 && over(f, figures, m + j);
        loud += off;
        if (off || timing) {
            ++weak;
            count = put(findings, count, timing || flat(&e, own, moments, j - n) ? ET_ELECTRODE : ET_GAIN, j);
        }
    }
    if (figures[3 * n + 2 * m] > f->delays[e.task] && bad == 0 && loud == 0 && explains(&e, delay, scratch, figures)) {
        return put(findings, 0, ET_LATE_STREAM, -1);
    }
    if ((bad != 0 && 10 * weak > 3 * m) || 2 * broken > n) {
        return put(findings, 0, ET_UNFAMILIAR, -1);
    }
    return count;
}

int32_t et_plausibility_novel(const et_familiar *familiar, const float *row, float *novelty, int32_t novel) {
    *novelty = *novelty + (whitened(familiar->row, row, familiar->columns) - *novelty) * RATE;
    return *novelty > (novel != 0 ? familiar->novelty * RELEASE : familiar->novelty);
}
