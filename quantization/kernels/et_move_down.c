#include <string.h>

#include "et_elementwise.h"

void et_move_down(int8_t *to, int32_t distance, int32_t count) {
    /* 16 bytes a turn through a buffer that compilers keep in registers; a C library's memmove may go by bytes. */
    const int8_t *from = to + distance;
    for (; count >= 16; count -= 16) {
        int32_t words[4];
        memcpy(words, from, sizeof words);
        memcpy(to, words, sizeof words);
        from += 16;
        to += 16;
    }
    for (; count > 0; --count) {
        *to++ = *from++;
    }
}
