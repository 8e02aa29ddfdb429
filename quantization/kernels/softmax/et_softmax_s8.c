#include "et_softmax.h"

#define ET_NAME et_softmax_s8
#define ET_OUTPUT int8_t
#define ET_LOW INT8_MIN
#define ET_HIGH INT8_MAX
#define ET_BITS 8
#include "et_softmax_template.h"
