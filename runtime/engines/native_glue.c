/* What ctypes needs of the generated model: the size of an instance, and calls with one argument whose pointers are bound once,
 * because converting an argument costs Python more than a layer costs here. */
#include "edgetool_model.h"

#include <string.h>

/* An instance, the rows of a window or of a step, and where the moments go. */
typedef struct {
    edgetool_state *state;
    const float *inputs[EDGETOOL_INPUTS];
    float *moments;
} edgetool_call;

int32_t edgetool_runtime_state_bytes(void);
int32_t edgetool_runtime_outputs(void);
int32_t edgetool_runtime_window(const edgetool_call *call);
int32_t edgetool_runtime_step(const edgetool_call *call);

int32_t edgetool_runtime_state_bytes(void) {
    return (int32_t)sizeof(edgetool_state);
}

int32_t edgetool_runtime_outputs(void) {
    return EDGETOOL_OUTPUTS;
}

/* The exponent of infinity and of what is not a number is the largest there is. */
static int finite(const float *values, int32_t count) {
    uint32_t most = 0;
    for (int32_t k = 0; k < count; ++k) {
        uint32_t bits;
        memcpy(&bits, &values[k], sizeof bits);
        bits &= 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    return most < 0x7F800000u;
}

/* The same of `rows` rows of every input. */
static int every_finite(const edgetool_call *call, int32_t rows) {
    static const int32_t widths[EDGETOOL_INPUTS] = EDGETOOL_WIDTHS;
    for (int32_t k = 0; k < EDGETOOL_INPUTS; ++k) {
        if (!finite(call->inputs[k], rows * widths[k])) {
            return 0;
        }
    }
    return 1;
}

/* 1, or 0 and nothing is changed if a value is not finite. */
int32_t edgetool_runtime_window(const edgetool_call *call) {
    if (!every_finite(call, EDGETOOL_WINDOW)) {
        return 0;
    }
    edgetool_window(call->state, EDGETOOL_EACH(call->inputs), call->moments);
    return 1;
}

#if EDGETOOL_HAS_STREAM
int32_t edgetool_runtime_step(const edgetool_call *call) {
    if (!every_finite(call, 1)) {
        return 0;
    }
    edgetool_step(call->state, EDGETOOL_EACH(call->inputs), call->moments);
    return 1;
}
#endif
