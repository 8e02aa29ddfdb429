#include "et_elementwise.h"

#define ET_NAME et_squared_difference_s8
#define ET_TYPE int8_t
#define ET_COMBINE(op, a, b) ((int32_t)((uint32_t)((a) - (b)) * (uint32_t)((a) - (b))))
#include "et_add_template.h"
