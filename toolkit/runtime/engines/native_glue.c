/* What ctypes needs of the generated model: the size of an instance, and one signature whether or not it has a stream. */
#include "edgetool_model.h"

#include <stddef.h>

int32_t edgetool_runtime_state_bytes(void);
int32_t edgetool_runtime_state_bytes(void) {
    return (int32_t)sizeof(edgetool_state);
}

int32_t edgetool_runtime_outputs(void);
int32_t edgetool_runtime_outputs(void) {
    return EDGETOOL_OUTPUTS;
}
