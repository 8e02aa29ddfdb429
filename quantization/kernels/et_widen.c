#include "et_elementwise.h"

void et_widen(int32_t count, const int8_t *x, int16_t *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = x[i];
    }
}
