#include "et_squash.h"

void et_table_s8(int32_t count, const int8_t *table, const int8_t *x, int8_t *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = table[x[i] + 128];
    }
}

void et_table_s16(int32_t count, const int16_t *table, const int16_t *x, int16_t *y) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t place = x[i] + 32768;
        const int16_t *entry = &table[place >> 7];
        y[i] = (int16_t)(*entry + (((entry[1] - *entry) * (place & 0x7F) + 64) >> 7));
    }
}
