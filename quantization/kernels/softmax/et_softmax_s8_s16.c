#include "et_softmax.h"

#define ET_NAME et_softmax_s8_s16
#define ET_OUTPUT int16_t
#define ET_LOW INT16_MIN
#define ET_HIGH INT16_MAX
#define ET_BITS 16
#include "et_softmax_template.h"
