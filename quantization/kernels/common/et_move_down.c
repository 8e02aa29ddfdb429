#include <string.h>

#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#elif defined(__GNUC__)
/* Eight words that may hold values of any type. */
typedef struct {
    int32_t words[8];
} __attribute__((may_alias)) chunk;
#endif

void et_move_down(int8_t *to, int32_t distance, int32_t count) {
    /* A C library's memmove may go by bytes. Reading runs ahead of writing, so each part is moved whole. */
    const int8_t *from = to + distance;
#if defined(__ARM_FEATURE_MVE)
    for (; count >= 16; count -= 16) {
        vstrbq_u8((uint8_t *)to, vldrbq_u8((const uint8_t *)from));
        from += 16;
        to += 16;
    }
#elif defined(__GNUC__)
    if (distance >= 32 && ((uintptr_t)to | (uintptr_t)distance) % 4u == 0u) {
        for (; count >= 32; count -= 32) {
            *(chunk *)(void *)to = *(const chunk *)(const void *)from;
            from += 32;
            to += 32;
        }
    }
#endif
    for (; count > 0; --count) {
        *to++ = *from++;
    }
}
