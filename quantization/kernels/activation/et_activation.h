/* Tables of the logistic function. et_sigmoid_table[i] is 65536 / (1 + exp(-i / 24)) as TFLM tabulates it
 * (lite/kernels/internal/common.h). */
#ifndef ET_ACTIVATION_H
#define ET_ACTIVATION_H

#include <stdint.h>

extern const uint16_t et_sigmoid_table[256];

#endif
