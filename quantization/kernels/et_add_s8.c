#include "et_elementwise.h"

#define ET_NAME et_add_s8
#define ET_TYPE int8_t
#define ET_COMBINE(op, a, b) ((a) + (op)->sign * (b))
#include "et_add_template.h"
