#include "et_elementwise.h"

#if defined(__ARM_FEATURE_MVE)
#include "et_mve.h"
#define ET_LANES ET_LANES_S8
#define ET_STORE vstrbq_p_s32
#define ET_COMBINE_LANES(sign, a, b) vmulq_s32(vsubq_s32((a), (b)), vsubq_s32((a), (b)))
#endif

#define ET_NAME et_squared_difference_s8
#define ET_TYPE int8_t
#define ET_COMBINE(sign, a, b) ((int32_t)((uint32_t)((a) - (b)) * (uint32_t)((a) - (b))))
#include "et_add_template.h"
