#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#define ET_LANES ET_LANES_S8
#define ET_STORE vstrbq_p_s32
#define ET_COMBINE_LANES(sign, a, b) vaddq_s32((a), vmulq_n_s32((b), (sign)))
#endif

#define ET_NAME et_add_s8
#define ET_TYPE int8_t
#define ET_COMBINE(sign, a, b) ((a) + (sign) * (b))
#include "et_add_template.h"
